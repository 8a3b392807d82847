//go:build !linux || !(amd64 || arm64)

package sandbox

import (
	"context"
	"io"

	"caos"
)

// Process is a started run; there are none here.
type Process struct{}

func unsupported() error {
	return caos.Errorf(caos.Unavailable, "sandboxed runs need Linux on amd64 or arm64").
		WithHint("run the CAOS server on Linux").WithRule("sandbox")
}

// Start refuses: this system has nothing to hold a run with.
func Start(context.Context, Spec, io.Reader, io.Writer, io.Writer) (*Process, error) {
	return nil, unsupported()
}

// Wait returns at once.
func (p *Process) Wait() Exit { return Exit{Code: -1} }

// Ended is never closed.
func (p *Process) Ended() <-chan struct{} { return nil }

// Kill does nothing.
func (p *Process) Kill() {}

// Memory knows nothing.
func (p *Process) Memory() (peak, now int64) { return 0, 0 }

// Main returns at once.
func Main() {}

// Lock refuses.
func Lock() error { return unsupported() }

// Check refuses.
func Check(context.Context, Level) error { return unsupported() }

// Take refuses.
func Take(string, string) error { return unsupported() }

// Libraries refuses.
func Libraries(string) ([]string, error) { return nil, unsupported() }
