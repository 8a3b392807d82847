package sandbox

import (
	"context"
	"errors"
	"io"
)

// Process is a started run.
type Process struct{}

// Start starts a run and returns when the program executes in its sandbox. The end of ctx
// ends the whole tree of processes at once.
func Start(_ context.Context, _ Spec, _ io.Reader, _, _ io.Writer) (*Process, error) {
	return nil, errors.New("not built yet")
}

// Wait waits for the end of the run and of everything it started.
func (p *Process) Wait() Exit { return Exit{} }

// Main is the first statement of a program that is an inner half. In any other process it
// returns at once.
func Main() {}

// Check says whether this machine can run a sandbox of a level; the error names the
// setting that accepts less.
func Check(_ context.Context, _ Level) error { return nil }
