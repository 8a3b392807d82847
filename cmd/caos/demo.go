package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"caos/internal/engine"
)

func newDemo(e *environment) *cobra.Command {
	var o demoFlags
	c := &cobra.Command{
		Use: "demo", Short: "Run the main job on a real programme's files, in a temporary folder", Args: noArgs,
		Long: "Starts a server of its own in a temporary folder and takes a real programme's files to an evidence package that proves itself: as several people, " +
			"with a refusal, a kill -9 in the middle, an export, an offline check, and two manipulations that are found. The package stays when the demo ends.",
		Example: "  caos demo\n  caos demo --json | tail -n 1 | jq .package",
		RunE: func(c *cobra.Command, _ []string) error {
			return e.demo(c.Context(), o)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.json, "json", false, "one JSON object on one line at the end; the story goes to standard error")
	f.BoolVar(&o.keep, "keep", false, "leave the server running and its data in place")
	f.StringVar(&o.flights, "flights", "", "flights-3m.parquet of the npm package vega-datasets; the extract is used where it is not found")
	f.StringVar(&o.dir, "dir", "", "work in this folder, which must not exist or be empty")
	return c
}

type demoFlags struct {
	json, keep bool
	dir        string
	flights    string
}

// demoResult is what scripts read.
type demoResult struct {
	Hooks          map[string]demoHook `json:"hooks"`
	Package        string              `json:"package"`
	Verified       bool                `json:"verified"`
	TamperDetected bool                `json:"tamper_detected"`
	Seconds        float64             `json:"seconds"`
}

type demoHook struct {
	Execution string          `json:"execution_id"`
	Status    engine.Status   `json:"status"`
	Output    json.RawMessage `json:"output"`
}

// demo plays the story on a stage of its own.
func (e *environment) demo(ctx context.Context, o demoFlags) (err error) {
	signal.Ignore(syscall.SIGPIPE) // a reader that leaves (| head) must not leave the server behind
	started := time.Now()
	dir, err := demoFolder(o.dir)
	if err != nil {
		return err
	}
	s := newScreen(e, o.json, started)
	st := &stage{e: e, screen: s, dir: dir, data: filepath.Join(dir, "data"), keep: o.keep, flights: o.flights, result: demoResult{Hooks: map[string]demoHook{}}, signers: map[string]ssh.Signer{}}
	defer func() { err = errors.Join(err, st.clear(err)) }()
	st.chooseSandbox(ctx)
	s.title("CAOS demo", "a real model is frozen, reviewed and released, and that is proven")
	for _, scene := range st.scenes() {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := scene(ctx); err != nil {
			return fmt.Errorf("the demo stopped in part %d: %w", s.part, err)
		}
	}
	st.result.Seconds = float64(time.Since(started).Milliseconds()) / 1000
	if !st.result.Verified || !st.result.TamperDetected {
		return errors.New("the demo ended without its proof")
	}
	if err := st.curtain(ctx); err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(e.out).Encode(st.result)
	}
	return nil
}

// demoFolder makes the folder that the demo works in.
func demoFolder(dir string) (string, error) {
	if dir == "" {
		return os.MkdirTemp("", "caos-demo-")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return "", usage("%s is not empty", dir).WithField("dir").WithHint("choose another folder")
	}
	return dir, os.MkdirAll(dir, 0o700)
}
