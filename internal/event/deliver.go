package event

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"caos"
	"caos/internal/db"
)

// batchSize is how many events a subscriber reads at a time, and so the most that a crash
// makes it hear again.
const batchSize = 128

// errLost means that this node does not deliver to the subscriber any more: its lease ran
// out and another one took over, or a write whose answer was lost took effect after all.
var errLost = errors.New("event: no longer this node's to deliver")

// worker delivers to one durable subscriber.
type worker struct {
	o    *Outbox
	sub  Subscription
	wake chan struct{} // holds one: there may be events
}

// place is where a worker stands. It is written to the subscriber's row under fence.
type place struct {
	cursor  int64         // everything up to here is done
	saved   int64         // what the row says
	attempt int           // failures at the event after cursor
	pause   time.Duration // before the next attempt
	fence   int64
	singly  int // InTx: this many events go one by one, as one of them failed in company
}

// register makes sure that the subscriber has a row.
func (w *worker) register(ctx context.Context) error {
	start := "(SELECT seq FROM event_head WHERE id = 1)"
	if w.sub.FromStart {
		start = "0"
	}
	err := w.o.db.Write(ctx, func(tx *db.Tx) error {
		tx.Exec(w.o.sql(`INSERT INTO event_subscribers
			(name, pattern, cursor_seq, attempt, retry_at, last_error, lease_node, lease_until, fence, seen_at)
			VALUES ($1, $2, `+start+`, 0, 0, '', '', 0, 0, {{now}})
			ON CONFLICT (name) DO UPDATE SET pattern = excluded.pattern, seen_at = excluded.seen_at`), w.sub.Name, w.sub.Pattern)
		return nil
	})
	if err != nil {
		return fmt.Errorf("register subscriber %s: %w", w.sub.Name, err)
	}
	return nil
}

// run takes the lease whenever it is free, and delivers while it has it.
func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		at, err := w.acquire(ctx)
		if err != nil && !errors.Is(err, errLost) {
			w.warn(ctx, "cannot take the lease", err)
		}
		if err == nil {
			err = w.lead(ctx, at)
			if err != nil && !errors.Is(err, errLost) {
				w.warn(ctx, "delivery interrupted", err)
			}
		}
		pause := w.o.opt.Retry.First // the database is away
		if errors.Is(err, errLost) {
			pause = w.o.opt.Lease / 4 // somebody else delivers
		}
		if err != nil && !w.wait(ctx, pause) {
			return
		}
	}
}

// wait returns false if the worker has to stop.
func (w *worker) wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-w.o.opt.after(d):
		return true
	}
}

func (w *worker) warn(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		w.o.opt.Log.Warn("event subscriber: "+what, slog.String("subscriber", w.sub.Name), slog.Any("error", err))
	}
}

// shared reports whether other nodes may want the same subscriber. SQLite belongs to one
// process, which holds a lock file: whatever lease its predecessor left is void.
func (w *worker) shared() bool { return w.o.db.Dialect() == db.PostgreSQL }

// acquire takes the lease if it is free, its own or overdue.
func (w *worker) acquire(ctx context.Context) (place, error) {
	free, lease := "(lease_until < {{now}} OR lease_node = $3)", w.o.opt.Lease
	if !w.shared() {
		free, lease = "$3 <> ''", 100*365*24*time.Hour
	}
	var at place
	err := w.o.db.Write(ctx, func(tx *db.Tx) error {
		var pause int64
		err := tx.QueryRow(w.o.sql(`UPDATE event_subscribers
			SET lease_node = $1, lease_until = {{now}} + $2, fence = fence + 1, seen_at = {{now}}
			WHERE `+free+` AND name = $4
			RETURNING cursor_seq, attempt, fence, retry_at - {{now}}`),
			w.o.opt.Node, lease.Microseconds(), w.o.opt.Node, w.sub.Name).Scan(&at.cursor, &at.attempt, &at.fence, &pause)
		if errors.Is(err, sql.ErrNoRows) {
			return errLost
		}
		at.pause = max(0, time.Duration(pause)*time.Microsecond)
		return err
	})
	at.saved = at.cursor
	return at, err
}

// lead delivers until the context ends (nil), the lease is lost or the database fails.
func (w *worker) lead(ctx context.Context, at place) error {
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if w.shared() {
		renewed := make(chan struct{})
		go func() {
			defer close(renewed)
			cancel(w.renew(run, at.fence))
		}()
		defer func() { cancel(nil); <-renewed }()
	}
	err := w.deliver(run, &at)
	if ctx.Err() == nil {
		if cause := context.Cause(run); cause != nil {
			return cause
		}
		return err
	}
	return w.release(&at)
}

// deliver is the loop: read, hand over, move the cursor, wait for more.
func (w *worker) deliver(ctx context.Context, at *place) error {
	for {
		if at.pause > 0 && !w.wait(ctx, at.pause) {
			return ctx.Err()
		}
		at.pause = 0
		events, err := w.o.read(ctx, `SELECT seq, envelope FROM events WHERE seq > $1 ORDER BY seq LIMIT $2`, at.cursor, batchSize)
		if err != nil {
			return err
		}
		for rest := events; len(rest) > 0 && at.pause == 0; { // after a failure the events behind it wait
			if ctx.Err() != nil {
				return ctx.Err()
			}
			done, err := w.several(ctx, at, rest)
			if err != nil {
				return err
			}
			rest = rest[done:]
		}
		if at.cursor > at.saved {
			if err := w.save(ctx, at, ""); err != nil {
				return err
			}
		}
		if len(events) == batchSize || at.pause > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.wake:
		}
	}
}

// company is how many events an InTx subscriber gets in one transaction. Alone each would
// wait for an fsync of its own, and a subscriber could never keep up with the group commit
// that makes its events.
const company = 32

// several hands over the first events of a list and returns how many it is done with.
func (w *worker) several(ctx context.Context, at *place, events []Event) (int, error) {
	if w.sub.InTx == nil || at.attempt > 0 || at.singly > 0 {
		at.singly = max(0, at.singly-1)
		return 1, w.one(ctx, at, events[0])
	}
	events = events[:min(len(events), company)]
	last := events[len(events)-1].Sequence
	fit := make([]Event, 0, len(events))
	for _, e := range events {
		if Match(w.sub.Pattern, e.Type) {
			fit = append(fit, e)
		}
	}
	if len(fit) == 0 {
		at.cursor = last
		return len(events), nil
	}
	if len(fit) == 1 && Match(w.sub.Pattern, events[0].Type) {
		return 1, w.one(ctx, at, events[0])
	}
	failure, err := w.inTx(ctx, at, last, fit)
	if err != nil {
		return 0, err
	}
	if failure != nil { // all were undone; find out whose it is
		at.singly = len(events)
		return 0, nil
	}
	at.cursor = last
	return len(events), nil
}

// one hands over one event and says in at what came of it. Its error ends the leading.
func (w *worker) one(ctx context.Context, at *place, e Event) error {
	if !Match(w.sub.Pattern, e.Type) {
		at.cursor = e.Sequence
		return nil
	}
	failure, err := w.attempt(ctx, at, e)
	if err != nil {
		return err
	}
	if failure == nil {
		at.cursor, at.attempt = e.Sequence, 0
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err() // a handler that was told to stop has not failed
	}
	at.attempt++
	again, pause := w.o.opt.Retry.verdict(at.attempt, failure)
	if !again {
		return w.park(ctx, at, e, failure)
	}
	w.o.opt.Log.Warn("event not delivered, trying again", slog.String("subscriber", w.sub.Name), slog.String("event", e.ID),
		slog.Int("attempt", at.attempt), slog.Duration("pause", pause), slog.Any("error", failure))
	at.pause = pause
	return w.save(ctx, at, caos.AsError(failure).Message) // the cause is for the log alone
}

// attempt calls the subscriber. failure is the subscriber's own error; err is that of the
// database or of the lease, which says nothing about the event.
func (w *worker) attempt(ctx context.Context, at *place, e Event) (failure, err error) {
	if w.sub.Handle != nil {
		return guard(func() error { return w.sub.Handle(ctx, e) }), nil
	}
	return w.inTx(ctx, at, e.Sequence, []Event{e})
}

// inTx moves the cursor to a sequence and calls the subscriber for events, in one audited
// transaction.
func (w *worker) inTx(ctx context.Context, at *place, cursor int64, events []Event) (failure, err error) {
	next := place{cursor: cursor, saved: at.saved, fence: at.fence}
	err = w.o.db.Update(ctx, func(tx *db.Tx) error {
		failure = nil
		w.move(tx, &next, "")
		for _, e := range events {
			if failure = guard(func() error { return w.sub.InTx(tx, e) }); failure != nil {
				return failure
			}
		}
		return nil
	})
	switch {
	case err == nil:
		at.saved = cursor
		return nil, nil
	case errors.Is(err, errLost), errors.Is(err, db.ErrAborted), errors.Is(err, db.ErrUnknown):
		return nil, err
	case failure == nil:
		failure = err // a statement of the handler failed when it was sent, or its time ran out
	}
	return failure, nil
}

// guard turns a panic of a subscriber into a failure.
func guard(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = caos.Wrap(caos.Internal, fmt.Errorf("panic: %v\n%s", p, debug.Stack()), "an event subscriber panicked")
		}
	}()
	return fn()
}

// move writes the place in a transaction, if the lease still stands and the row is where
// this worker left it.
func (w *worker) move(tx *db.Tx, at *place, lastError string) {
	retry := at.pause.Microseconds()
	tx.ExecOne(errLost, w.o.sql(`UPDATE event_subscribers
		SET cursor_seq = $1, attempt = $2, retry_at = CASE WHEN CAST($3 AS BIGINT) > 0 THEN {{now}} + $4 ELSE 0 END, last_error = $5, seen_at = {{now}}
		WHERE name = $6 AND fence = $7 AND cursor_seq = $8`),
		at.cursor, at.attempt, retry, retry, clip(lastError), w.sub.Name, at.fence, at.saved)
}

func (w *worker) save(ctx context.Context, at *place, lastError string) error {
	err := w.o.db.Write(ctx, func(tx *db.Tx) error { w.move(tx, at, lastError); return nil })
	if err == nil {
		at.saved = at.cursor
	}
	return err
}

// park puts the event aside and goes on behind it, in one audited transaction with what
// OnPark writes.
func (w *worker) park(ctx context.Context, at *place, e Event, failure error) error {
	p := Parked{Subscriber: w.sub.Name, Event: e, Attempts: at.attempt, Error: clip(caos.AsError(failure).Message), At: w.o.opt.Now().UTC()}
	next := place{cursor: e.Sequence, saved: at.saved, fence: at.fence}
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("park event %s: %w", e.ID, err)
	}
	err = w.o.db.Update(ctx, func(tx *db.Tx) error {
		w.move(tx, &next, "")
		tx.Exec(w.o.sql(`INSERT INTO event_parked (subscriber, seq, event_id, envelope, attempts, last_error, parked_at)
			VALUES ($1, $2, $3, $4, $5, $6, {{now}})`), w.sub.Name, e.Sequence, e.ID, string(text), p.Attempts, p.Error)
		if w.o.opt.OnPark != nil {
			return w.o.opt.OnPark(tx, p)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("park event %s: %w", e.ID, err)
	}
	w.o.opt.Log.Error("event parked", slog.String("subscriber", w.sub.Name), slog.String("event", e.ID),
		slog.String("type", e.Type), slog.Int("attempts", p.Attempts), slog.Any("error", failure))
	at.cursor, at.saved, at.attempt = e.Sequence, e.Sequence, 0
	return nil
}

// renew keeps the lease until the context ends or it cannot: then its error ends the work,
// before the lease runs out and another node begins.
func (w *worker) renew(ctx context.Context, fence int64) error {
	left := w.o.opt.Lease
	tick := time.NewTicker(w.o.opt.Lease / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := w.o.db.Write(ctx, func(tx *db.Tx) error {
			tx.ExecOne(errLost, w.o.sql(`UPDATE event_subscribers SET lease_until = {{now}} + $1, seen_at = {{now}} WHERE name = $2 AND fence = $3`),
				w.o.opt.Lease.Microseconds(), w.sub.Name, fence)
			return nil
		})
		if err == nil {
			left = w.o.opt.Lease
			continue
		}
		if left -= w.o.opt.Lease / 4; errors.Is(err, errLost) || left <= w.o.opt.Lease/4 {
			return err
		}
	}
}

// release saves the place and lets another node begin at once. The context of the work has
// ended by then.
func (w *worker) release(at *place) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return w.o.db.Write(ctx, func(tx *db.Tx) error {
		tx.ExecOne(errLost, `UPDATE event_subscribers SET cursor_seq = $1, lease_until = 0 WHERE name = $2 AND fence = $3 AND cursor_seq = $4`,
			at.cursor, w.sub.Name, at.fence, at.saved)
		return nil
	})
}

// clip keeps an error text within a column's reason.
func clip(s string) string {
	if len(s) > 1000 {
		return s[:1000] + "…"
	}
	return s
}
