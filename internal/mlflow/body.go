package mlflow

import (
	"context"
	"errors"
	"io"
	"time"

	"caos"
)

// watched is an answer's body: a server that stops sending, or trickles, is cut. Only time
// spent waiting for the server counts.
type watched struct {
	next    io.ReadCloser
	ctx     context.Context // of this one exchange; ended by cancel
	cancel  context.CancelCauseFunc
	idle    time.Duration
	minRate int64
	host    string

	got    int64
	waited time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	timer := time.AfterFunc(w.idle, func() {
		w.cancel(caos.Errorf(caos.Unavailable, "%s sent nothing for %s", w.host, w.idle).WithField("source").WithHint("try again later; nothing is fetched twice that is attached already"))
	})
	start := time.Now()
	n, err := w.next.Read(p)
	timer.Stop()
	w.waited += time.Since(start)
	w.got += int64(n)
	if err == nil && w.waited > w.idle && float64(w.got) < w.waited.Seconds()*float64(w.minRate) {
		return n, caos.Errorf(caos.Unavailable, "%s sends less than %d bytes a second", w.host, w.minRate).WithField("source").WithHint("try again later")
	}
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	var known *caos.Error
	if errors.As(context.Cause(w.ctx), &known) {
		return n, known
	}
	if w.ctx.Err() != nil {
		return n, context.Cause(w.ctx)
	}
	return n, caos.Wrap(caos.Unavailable, err, "the answer of %s broke off after %d bytes", w.host, w.got).WithField("source").WithHint("repeat the command")
}

// Close ends the exchange.
func (w *watched) Close() error {
	w.cancel(nil)
	return w.next.Close()
}

// exact is a body that must have as many bytes as the listing said.
type exact struct {
	io.ReadCloser
	file File
	got  int64
}

func (x *exact) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if room := x.file.Size - x.got + 1; int64(len(p)) > room { // one more, to see that it ends
		p = p[:room]
	}
	n, err := x.ReadCloser.Read(p)
	x.got += int64(n)
	switch {
	case x.got > x.file.Size:
		return 0, wrongSize(x.file, "more")
	case errors.Is(err, io.EOF) && x.got < x.file.Size:
		return n, wrongSize(x.file, "fewer")
	}
	return n, err
}

func wrongSize(f File, than string) error {
	return caos.Errorf(caos.Invalid, "%s has %s than the %d bytes of the server's listing", f.Path, than, f.Size).WithField("source").WithRule("mlflow-size").
		WithHint("it changed meanwhile, or the server is broken: import it again, and ask whoever runs the server if this stays")
}
