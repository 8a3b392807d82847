package worker

import (
	"context"
	"log/slog"

	"caos/internal/sandbox"
)

// Options is what a Runner stands on.
type Options struct {
	Program string        // path of caos-worker; see Find
	Level   sandbox.Level // "" is sandbox.Namespaces
	Logger  *slog.Logger  // nil is silent
}

// Runner runs jobs. It may be used by several goroutines at once.
type Runner struct {
	options Options
}

// New returns a Runner. It starts nothing: Available says whether it can run.
func New(o Options) *Runner { return &Runner{options: o} }

// Available says whether jobs can run on this machine: nil, or an Unavailable error with
// the remedy.
func (r *Runner) Available(_ context.Context) error { return nil }

// Run does one job in folder, which has in/ with the job's files and gets out/ and tmp/.
// The error is a *Failure. progress may be nil; it is called by one goroutine.
func (r *Runner) Run(_ context.Context, _ string, _ Job, _ Limits, _ func(Progress)) (*Result, error) {
	return nil, &Failure{Kind: KindUnavailable, Message: "not built yet"}
}

// Find returns the path of caos-worker: the setting, else the program beside the running
// one, else the one on PATH, else "".
func Find(setting string) string { return setting }
