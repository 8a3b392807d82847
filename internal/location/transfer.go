package location

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"time"

	"caos"
)

// transfer is one file on its way to a folder of ours. It is hashed as it is written.
type transfer struct {
	want     File // as it was probed
	got      File
	dst      string
	out      *os.File
	sum      hash.Hash
	also     hash.Hash // of the algorithm in which the server states a checksum; may be nil
	done     int64
	limit    int64
	progress Progress
	opt      *Options
}

func newTransfer(dst string, want File, l *Locations, progress Progress) (*transfer, error) {
	f, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, stored(err, "the scratch file cannot be made")
	}
	if progress == nil {
		progress = func(int64, int64) {}
	}
	return &transfer{want: want, got: want, dst: dst, out: f, sum: sha256.New(), limit: l.opt.MaxBytes, progress: progress, opt: &l.opt}, nil
}

// stored puts an error of our own disk into words.
func stored(err error, what string) error {
	var e *caos.Error
	switch {
	case err == nil, errors.As(err, &e):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return caos.Wrap(caos.Full, err, "%s: no room is left on the disk", what).WithRule("disk-full").WithHint("make room and run it again")
	case errors.Is(err, syscall.EROFS), errors.Is(err, os.ErrPermission):
		return caos.Wrap(caos.Denied, err, "%s: the server's account may not write there", what).WithHint("give it the right to, or choose another place")
	case escapes(err):
		return caos.Wrap(caos.Denied, err, "%s: a link leads out of the allowed folder", what).WithRule("location-root").WithHint("remove the link, or name what it leads to, which an administrator has to allow")
	}
	return caos.Wrap(caos.Unavailable, err, "%s", what)
}

// escapes reports whether a root refused a name because a link in it leads out.
func escapes(err error) bool { return err != nil && strings.Contains(err.Error(), "escapes") }

// Write takes what came.
func (t *transfer) Write(p []byte) (int, error) {
	if t.done+int64(len(p)) > t.limit {
		return 0, errTooLarge(t.done+int64(len(p)), t.limit)
	}
	if t.want.Size >= 0 && t.done+int64(len(p)) > t.want.Size {
		return 0, errChanged("it is longer than it was")
	}
	n, err := t.out.Write(p)
	t.sum.Write(p[:n])
	if t.also != nil {
		t.also.Write(p[:n])
	}
	t.done += int64(n)
	t.progress(t.done, t.want.Size)
	if err != nil {
		return n, stored(err, "the scratch file cannot be written")
	}
	return n, nil
}

// again forgets what came so far.
func (t *transfer) again() error {
	if t.done == 0 {
		return nil
	}
	if err := t.out.Truncate(0); err != nil {
		return stored(err, "the scratch file cannot be written")
	}
	if _, err := t.out.Seek(0, io.SeekStart); err != nil {
		return stored(err, "the scratch file cannot be written")
	}
	t.sum.Reset()
	if t.also != nil {
		t.also.Reset()
	}
	t.done = 0
	return nil
}

// end closes the file, and removes it after an error.
func (t *transfer) end(err error) error {
	if err == nil {
		t.got.Size, t.got.Digest = t.done, digest(t.sum)
		if t.want.Digest != "" && t.want.Digest != t.got.Digest {
			err = errChanged("its content is another")
		}
	}
	if closing := t.out.Close(); err == nil && closing != nil {
		err = stored(closing, "the scratch file cannot be written")
	}
	if err != nil {
		_ = os.Remove(t.dst) // the folder goes with its execution in any case
	}
	return err
}

func digest(h hash.Hash) string { return "SHA256:" + hex.EncodeToString(h.Sum(nil)) }

// Attempts of one transfer: so many that bring nothing in a row, and so many in all, because
// a server that breaks off after each byte would otherwise hold us for ever.
const (
	fruitless = 5
	attempts  = 50
)

// part is what a server sends from some offset on.
type part struct {
	body  io.ReadCloser
	whole bool // it is from the beginning, whatever was asked for
}

// resume copies a file that open reads from an offset, going on after each break. open's
// errors of the kind Unavailable are worth another attempt, others are final.
func (t *transfer) resume(ctx context.Context, open func(ctx context.Context, from int64) (part, error)) error {
	var last error
	for attempt, idle := 0, 0; attempt < attempts && idle < fruitless; attempt++ {
		if attempt > 0 {
			if err := t.opt.pause(ctx, idle); err != nil {
				return err
			}
		}
		before := t.done
		complete, err := t.attempt(ctx, open)
		if complete {
			return nil
		}
		if !retryable(ctx, err) {
			return err
		}
		last = err
		if idle++; t.done > before {
			idle = 0
		}
	}
	e := caos.AsError(last)
	return e.WithHint("it broke off %d bytes into the file, and again when it was resumed; run it again later", t.done)
}

// retryable reports whether another attempt may do better.
func retryable(ctx context.Context, err error) bool {
	return ctx.Err() == nil && caos.KindOf(err) == caos.Unavailable
}

func (t *transfer) attempt(ctx context.Context, open func(ctx context.Context, from int64) (part, error)) (bool, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p, err := open(ctx, t.done)
	if err != nil {
		return false, err
	}
	defer p.body.Close()
	if p.whole {
		if err := t.again(); err != nil {
			return false, err
		}
	}
	_, err = io.Copy(t, &watched{from: p.body, wait: t.opt.Wait, cut: cancel})
	switch {
	case err != nil:
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		if caos.KindOf(err) == caos.Internal {
			err = caos.Wrap(caos.Unavailable, err, "the server's answer broke off")
		}
		return false, err
	case t.want.Size >= 0 && t.done < t.want.Size:
		return false, caos.Errorf(caos.Unavailable, "the server's answer broke off")
	}
	return true, nil
}

// watched cuts a transfer whose server falls silent. Time that we take ourselves does not count.
type watched struct {
	from io.Reader
	wait time.Duration
	cut  context.CancelCauseFunc
}

func (w *watched) Read(p []byte) (int, error) {
	timer := time.AfterFunc(w.wait, func() { w.cut(errSilent(w.wait)) })
	defer timer.Stop()
	return w.from.Read(p)
}

func errSilent(d time.Duration) error {
	return caos.Errorf(caos.Unavailable, "the server sent nothing for %s", d)
}

// pause waits before another attempt: longer each time, and not all at the same moment.
func (o *Options) pause(ctx context.Context, n int) error {
	d := min(o.Backoff<<min(n, 10), 10*time.Second)
	d = d/2 + rand.N(d/2+1) //nolint:gosec // no secret
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// hashed reads to the end and returns the digest and the length.
func hashed(ctx context.Context, r io.Reader, limit int64) (string, int64, error) {
	sum := sha256.New()
	buf := make([]byte, 256<<10)
	var n int64
	for {
		if err := ctx.Err(); err != nil {
			return "", n, context.Cause(ctx)
		}
		k, err := r.Read(buf)
		sum.Write(buf[:k])
		if n += int64(k); n > limit {
			return "", n, errTooLarge(n, limit)
		}
		if errors.Is(err, io.EOF) {
			return digest(sum), n, nil
		}
		if err != nil {
			return "", n, fmt.Errorf("read: %w", err)
		}
	}
}
