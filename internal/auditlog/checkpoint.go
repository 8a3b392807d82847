package auditlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"caos"
	"caos/internal/sign"
	"caos/internal/verify"
)

// Checkpoint returns the signed checkpoint of the committed log. It is signed when it is
// first asked for and kept until the log has grown. In recovery mode there is none: it
// would contradict those that were published.
func (l *Log) Checkpoint(ctx context.Context) ([]byte, error) {
	if on, reason := l.Recovery(); on {
		return nil, caos.Errorf(caos.Unavailable, "the audit log is in recovery mode: %s", reason).
			WithHint("two people have to run caos recover")
	}
	l.noteMu.Lock()
	defer l.noteMu.Unlock()
	h, err := readHead(ctx, l.db)
	if err != nil {
		return nil, err
	}
	if l.note != nil && h.generation == l.noteOf.generation && h.size == l.noteOf.size && h.root == l.noteOf.root {
		return l.note, nil
	}
	// The signer is asked for after the head was read, so that it is never a key that a
	// leaf in that tree has retired.
	if l.keys == nil {
		return nil, caos.Errorf(caos.NotFound, "the log has no checkpoint key")
	}
	signer, err := l.keys.Signer(sign.Checkpoint)
	if err != nil {
		return nil, err
	}
	text := verify.Checkpoint{Origin: h.origin, Size: h.size, Root: h.root}.Text()
	note, err := sign.Note(ctx, signer, text, h.origin)
	if err != nil {
		return nil, err
	}
	l.note, l.noteOf = note, h
	return note, nil
}

// Publish gives the present checkpoint to the sink. It is done every PublishEvery anyhow.
// If the sink already has what this log cannot have led to, the log goes into recovery
// mode.
func (l *Log) Publish(ctx context.Context) error {
	if l.sink == nil || l.keys == nil {
		return nil
	}
	if on, _ := l.Recovery(); on {
		return nil
	}
	note, err := l.Checkpoint(ctx)
	if err != nil {
		return err
	}
	err = l.sink.Publish(ctx, note)
	if !errors.Is(err, ErrStale) && !errors.Is(err, ErrFork) {
		return err
	}
	// Another node may have published a later checkpoint first. Then the database, read
	// anew, has that tree too.
	h, err := readHead(ctx, l.db)
	if err != nil {
		return err
	}
	reason, err := l.compare(ctx, h)
	if err != nil || reason == "" {
		return err
	}
	l.enterRecovery(reason)
	return caos.Errorf(caos.Conflict, "the published checkpoints contradict the log: %s", reason)
}

func (l *Log) enterRecovery(reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.recovery == "" {
		l.recovery = reason
		l.log.Error("the audit log enters recovery mode", slog.String("reason", reason))
	}
}

// publishLoop publishes what changed, until Close.
func (l *Log) publishLoop(every time.Duration) {
	defer close(l.stopped)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-l.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-l.changed:
		}
		if err := l.Publish(ctx); err != nil && ctx.Err() == nil {
			l.log.Error("a checkpoint could not be published", slog.Any("error", err))
			select { // try again although nothing may have changed
			case l.changed <- struct{}{}:
			default:
			}
		}
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
	}
}

// compare says why the log of head h cannot be the one whose checkpoints were published,
// "" if it can. Other nodes append and publish while it looks: what is published was
// committed before, so the head is read again after the sink, and that one is compared.
func (l *Log) compare(ctx context.Context, h head) (string, error) {
	if l.sink == nil {
		return "", nil
	}
	for {
		next, err := l.sink.Last(ctx, originOf(l.base, h.generation+1))
		if err != nil {
			return "", err
		}
		last, err := l.sink.Last(ctx, h.origin)
		if err != nil {
			return "", err
		}
		now, err := readHead(ctx, l.db)
		if err != nil {
			return "", err
		}
		if now.generation != h.generation { // somebody recovered the log just then
			h = now
			continue
		}
		if next != nil {
			return "a checkpoint of its successor was published, which the database does not know", nil
		}
		if last == nil {
			return "", nil
		}
		c, err := readNote(last)
		if err != nil {
			return "its last published checkpoint cannot be read: " + err.Error(), nil
		}
		return contradiction(ctx, l.db, now, c)
	}
}

// neverPublished reports whether a log that has leaves finds no checkpoint of its own at
// its sink. Somebody may have removed them to hide that the log was cut short.
func (l *Log) neverPublished(ctx context.Context, h head) (bool, error) {
	if l.sink == nil || h.size == 0 {
		return false, nil
	}
	last, err := l.sink.Last(ctx, h.origin)
	return last == nil, err
}

// Unpublished reports whether the log had leaves, but no published checkpoint, when it was
// opened.
func (l *Log) Unpublished() bool { return l.unpublished }

// contradiction compares a published checkpoint with the tiles of the log.
func contradiction(ctx context.Context, d reader, h head, c verify.Checkpoint) (string, error) {
	if c.Size > h.size {
		return fmt.Sprintf("it has %d leaves, and a checkpoint of %d was published", h.size, c.Size), nil
	}
	root, err := rootAt(ctx, d, h.generation, c.Size)
	if caos.KindOf(err) == caos.NotFound {
		return "its tiles are incomplete", nil
	}
	if err != nil {
		return "", err
	}
	if root != c.Root {
		return fmt.Sprintf("its first %d leaves are not those of the checkpoint that was published", c.Size), nil
	}
	return "", nil
}

// Root returns size and root of the committed log.
func (l *Log) Root(ctx context.Context) (size int64, root tlog.Hash, err error) {
	h, err := readHead(ctx, l.db)
	return h.size, h.root, err
}
