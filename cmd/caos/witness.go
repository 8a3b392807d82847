package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/verify"
	"caos/internal/witness"
)

func newWitness(e *environment) *cobra.Command {
	return parent("witness", "Cosign the checkpoints of other people's logs", witnessKey(e), witnessRun(e))
}

func witnessKey(e *environment) *cobra.Command {
	var data, name string
	c := &cobra.Command{
		Use: "key --data DIR [--name NAME]", Short: "Print the key of a witness, making it if there is none", Args: noArgs,
		Long: "The key is what logs configure, and what auditors have in their trust files. A name is an address without its scheme; nothing needs to be there. " +
			"The folder holds the private key and what the witness has cosigned: back it up, but never run two copies, and never go back to an older state.",
		Example: "  caos witness key --data /var/lib/witness --name witness.example/w1",
		RunE: func(_ *cobra.Command, _ []string) error {
			key, err := witness.ReadKey(data)
			if caos.KindOf(err) == caos.NotFound && name != "" {
				var made *witness.Key
				if made, err = witness.Create(data, name); err == nil {
					key = made.String()
				}
			}
			if err != nil {
				return err
			}
			// A name that is passed over would end up in somebody's trust file beside another's key.
			if has, _, _ := strings.Cut(key, "+"); name != "" && has != name {
				return caos.Errorf(caos.Conflict, "the witness in %s has the name %s, not %s", data, has, name).WithField("name").WithRule("witness-name").
					WithHint("leave out --name to print its key, or make another witness in another folder: a key keeps its name")
			}
			return e.giveValue(map[string]string{"key": key}, func() { e.line("%s", key) })
		},
	}
	c.Flags().StringVar(&data, "data", "", "folder of the witness")
	c.Flags().StringVar(&name, "name", "", "of a new key, such as witness.example/w1")
	_ = c.MarkFlagRequired("data")
	return c
}

// witnessing are the flags of caos witness run.
type witnessing struct {
	data, listen, cert, key string
	logs, trust             []string
	asJSON                  bool
}

func witnessRun(e *environment) *cobra.Command {
	var w witnessing
	c := &cobra.Command{
		Use: "run --data DIR --log ORIGIN=KEY", Short: "Serve a witness (C2SP tlog-witness) until it is told to stop", Args: noArgs,
		Long: "Cosigns checkpoints of the logs that are named, each only if it extends the last one that was cosigned. Needs no installation of CAOS, and is best run by somebody else " +
			"than who runs the log. Without a certificate it speaks plain HTTP: put it behind what speaks TLS, or name one.",
		Example: "  caos witness run --data /var/lib/witness --listen 0.0.0.0:8095 --trust trust.json\n" +
			"  caos witness run --data w --log log.example/one=log.example/one+0123abcd+AQ…",
		RunE: func(c *cobra.Command, _ []string) error { return e.witness(c.Context(), w) },
	}
	f := c.Flags()
	f.StringVar(&w.data, "data", "", "folder of the witness, made by caos witness key")
	f.StringVar(&w.listen, "listen", "127.0.0.1:8095", "host:port; port 0 takes a free one")
	f.StringArrayVar(&w.logs, "log", nil, "ORIGIN=KEY: a log and a key that may sign its checkpoints; again for more")
	f.StringArrayVar(&w.trust, "trust", nil, "trust file of a log of CAOS, which has origin and keys; again for more")
	f.StringVar(&w.cert, "tls-cert", "", "PEM file with the certificate chain")
	f.StringVar(&w.key, "tls-key", "", "PEM file with its key")
	f.BoolVar(&w.asJSON, "json", false, "one line of JSON when it serves")
	_ = c.MarkFlagRequired("data")
	return c
}

// read makes logs of the flags.
func (w *witnessing) read() ([]witness.Log, error) {
	var logs []witness.Log
	add := func(l witness.Log) {
		for i := range logs {
			if logs[i].Origin == l.Origin {
				logs[i].Keys = append(logs[i].Keys, l.Keys...)
				return
			}
		}
		logs = append(logs, l)
	}
	for _, s := range w.logs {
		origin, key, ok := strings.Cut(s, "=")
		if !ok || origin == "" || key == "" {
			return nil, usage("%.100q is not ORIGIN=KEY", s).WithField("log").WithHint("log.example/one=log.example/one+0123abcd+AQ…; of a log of CAOS: --trust with its trust file")
		}
		add(witness.Log{Origin: origin, Keys: []string{key}})
	}
	for _, name := range w.trust {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, usage("the trust file cannot be read: %v", err).WithField("trust")
		}
		t, err := verify.ParseTrust(text)
		if err != nil {
			return nil, err
		}
		l, err := witness.LogOf(t)
		if err != nil {
			return nil, err
		}
		add(l)
	}
	return logs, nil
}

// witness serves until the context ends.
func (e *environment) witness(ctx context.Context, w witnessing) error {
	if (w.cert == "") != (w.key == "") {
		return usage("a certificate and its key go together").WithField("tls-key")
	}
	logs, err := w.read()
	if err != nil {
		return err
	}
	folder, err := witness.Open(w.data)
	if err != nil {
		return err
	}
	defer folder.Close()
	logger, err := e.logger("info", "auto")
	if err != nil {
		return err
	}
	s, err := witness.NewServer(folder, logs, e.now, logger)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", w.listen)
	if err != nil {
		return usage("%.100q cannot be listened on: %v", w.listen, err).WithField("listen")
	}
	srv := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug)}
	ended := make(chan error, 1)
	scheme := "http"
	if w.cert != "" {
		scheme = "https"
		go func() { ended <- srv.ServeTLS(l, w.cert, w.key) }()
	} else {
		go func() { ended <- srv.Serve(l) }()
	}
	e.witnessReady(scheme+"://"+l.Addr().String(), folder.Key(), w.asJSON)
	select {
	case err = <-ended:
	case <-ctx.Done():
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		err = srv.Shutdown(stopping)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (e *environment) witnessReady(address, key string, asJSON bool) {
	if asJSON {
		_ = json.NewEncoder(e.out).Encode(map[string]any{"ready": true, "url": address, "key": key})
		return
	}
	e.line("%s at %s", e.paint.good("The witness serves"), e.paint.bold(address))
	e.line("Logs configure it with its key:\n  %s", key)
}
