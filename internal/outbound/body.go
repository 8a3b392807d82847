package outbound

import (
	"context"
	"errors"
	"io"
	"time"

	"caos"
)

// body is a response body under watch. Only time spent waiting for the server counts: a
// reader that is slow itself loses nothing.
type body struct {
	next   io.ReadCloser
	cfg    *Config
	ctx    context.Context // of this one exchange; ended by cancel
	cancel context.CancelCauseFunc

	left   int64
	got    int64
	waited time.Duration
}

// Read reads at most what is left of the limit and one byte more, to tell a body that
// ends there from one that goes on.
func (b *body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	idle := time.AfterFunc(b.cfg.IdleBody, func() { b.cancel(errIdle(b.cfg.IdleBody)) })
	start := time.Now()
	n, err := b.next.Read(p)
	idle.Stop()
	b.waited += time.Since(start)
	b.got += int64(n)
	if int64(n) > b.left {
		n = int(b.left)
		b.left = 0
		return n, tooLarge(b.cfg.MaxBytes)
	}
	b.left -= int64(n)
	if err == nil && b.waited > b.cfg.IdleBody && float64(b.got) < b.waited.Seconds()*float64(b.cfg.MinRate) {
		b.cancel(nil)
		return n, caos.Errorf(caos.Unavailable, "the server sends less than %d bytes a second", b.cfg.MinRate)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		var ce *caos.Error
		if errors.As(context.Cause(b.ctx), &ce) {
			return n, ce
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return n, caos.Wrap(caos.Unavailable, err, "the server's answer broke off")
		}
		return n, unreachable(err)
	}
	return n, err
}

// Close ends the exchange.
func (b *body) Close() error {
	b.cancel(nil)
	return b.next.Close()
}

func errIdle(d time.Duration) error {
	return caos.Errorf(caos.Unavailable, "the server sent nothing for %s", d)
}

func errSlow(d time.Duration) error {
	return caos.Errorf(caos.Unavailable, "the server did not answer in time: its answer was not complete after %s", d)
}
