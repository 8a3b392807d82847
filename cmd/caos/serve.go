package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"caos/internal/app"
)

// stopWithin is how long a server may take to stop.
const stopWithin = 30 * time.Second

func newServe(e *environment) *cobra.Command {
	var data, listen, logFormat string
	var asJSON bool
	c := &cobra.Command{
		Use:   "serve --data DIR",
		Short: "Serve an installation until it is told to stop",
		Long: "Serves the data folder that caos init made, over TLS 1.3. The log goes to standard error. It stops cleanly on SIGTERM or Ctrl-C: requests under way are answered, " +
			"executions under way are finished by the next start.",
		Example: "  caos serve --data caos-data\n  caos serve --data caos-data --listen 127.0.0.1:0 --json",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if data == "" {
				return usage("no data folder is named").WithField("data").WithHint("caos serve --data caos-data; caos init makes one")
			}
			cfg, err := app.Load(data, e.getenv)
			if err != nil {
				return err
			}
			if listen != "" {
				cfg.Listen = listen
				if err := cfg.Check(); err != nil {
					return err
				}
			}
			logger, err := e.logger(cfg.LogLevel, logFormat)
			if err != nil {
				return err
			}
			return e.serve(c.Context(), app.New(cfg, logger, version), asJSON)
		},
	}
	f := c.Flags()
	f.StringVar(&data, "data", "", "data folder")
	f.StringVar(&listen, "listen", "", "host:port instead of the configured one; port 0 takes a free one")
	f.BoolVar(&asJSON, "json", false, "one line of JSON when it serves")
	f.StringVar(&logFormat, "log-format", "auto", "of standard error: json, text, or auto (text on a terminal)")
	return c
}

// serve runs a node until the context ends or the node fails.
func (e *environment) serve(ctx context.Context, a *app.App, asJSON bool) error {
	if err := a.Start(ctx); err != nil {
		return err
	}
	if asJSON {
		if err := json.NewEncoder(e.out).Encode(struct {
			Ready bool   `json:"ready"`
			URL   string `json:"url"`
		}{true, a.URL()}); err != nil {
			return err
		}
	} else {
		e.line("%s at %s", e.paint.good("CAOS serves"), e.paint.bold(a.URL()))
		e.line("%s", e.paint.dim("Its API is described at "+a.URL()+"/docs. Ctrl-C stops it."))
	}
	var failure error
	select {
	case <-ctx.Done():
	case failure = <-a.Wait():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if err := a.Stop(stopping); err != nil && failure == nil {
		failure = err
	}
	if failure == nil && !asJSON {
		e.line("stopped")
	}
	return failure
}

// logger writes structured logs to standard error.
func (e *environment) logger(level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usage("%q is not a level", level).WithField("log_level").WithHint("one of debug, info, warn, error")
	}
	o := &slog.HandlerOptions{Level: l}
	switch {
	case format == "text" || format == "auto" && e.errTerminal:
		return slog.New(slog.NewTextHandler(e.err, o)), nil
	case format == "json" || format == "auto":
		return slog.New(slog.NewJSONHandler(e.err, o)), nil
	}
	return nil, usage("%q is not a format of the log", format).WithField("log-format").WithHint("one of json, text, auto")
}
