package event

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"caos"
	"caos/internal/db"
)

// sweepEvery is how often old events are looked for, sweepStep how many go in one
// transaction.
const (
	sweepEvery = time.Hour
	sweepStep  = 1000
)

func (o *Outbox) retain(ctx context.Context) {
	for {
		if _, err := o.Sweep(ctx); err != nil && ctx.Err() == nil {
			o.opt.Log.Warn("cannot remove old events", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(sweepEvery):
		}
	}
}

// Sweep removes events older than Options.Keep that every subscriber has had, and returns
// how many. A subscriber that has not been heard of for as long holds nothing back. Parked
// events stay until they are settled.
func (o *Outbox) Sweep(ctx context.Context) (int64, error) {
	keep := o.opt.Keep.Microseconds()
	var floor sql.NullInt64
	if err := o.db.QueryRow(ctx, o.sql(`SELECT min(cursor_seq) FROM event_subscribers WHERE seen_at >= {{now}} - $1`), keep).Scan(&floor); err != nil {
		return 0, fmt.Errorf("sweep events: %w", err)
	}
	where, args := "time < $1", []any{o.opt.Now().Add(-o.opt.Keep).UnixMicro()}
	if floor.Valid {
		where, args = where+" AND seq <= $2", append(args, floor.Int64)
	}
	query := fmt.Sprintf(`DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE %s ORDER BY time LIMIT %d)`, where, sweepStep)
	var total int64
	for {
		var n int64
		err := o.db.Write(ctx, func(tx *db.Tx) (err error) {
			n, err = tx.ExecRows(query, args...)
			return err
		})
		if err != nil {
			return total, fmt.Errorf("sweep events: %w", err)
		}
		if total += n; n < sweepStep {
			return total, nil
		}
	}
}

// Parked lists the events that were put aside, the oldest first, at most limit.
func (o *Outbox) Parked(ctx context.Context, limit int) ([]Parked, error) {
	rows, err := o.db.Query(ctx, `SELECT subscriber, seq, envelope, attempts, last_error, parked_at FROM event_parked ORDER BY parked_at, subscriber, seq LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("read parked events: %w", err)
	}
	defer rows.Close()
	var list []Parked
	for rows.Next() {
		var p Parked
		var text string
		var at, seq int64
		if err := rows.Scan(&p.Subscriber, &seq, &text, &p.Attempts, &p.Error, &at); err != nil {
			return nil, fmt.Errorf("read parked events: %w", err)
		}
		if err := json.Unmarshal([]byte(text), &p.Event); err != nil {
			return nil, fmt.Errorf("read parked event %d: %w", seq, err)
		}
		p.Event.Sequence, p.At = seq, time.UnixMicro(at).UTC()
		list = append(list, p)
	}
	return list, rows.Err()
}

// Redeliver gives a parked event to its subscriber again, out of order, and forgets it if
// the subscriber takes it. This node must know the subscriber.
func (o *Outbox) Redeliver(ctx context.Context, subscriber string, seq int64) error {
	w := o.worker(subscriber)
	if w == nil {
		return caos.Errorf(caos.NotFound, "no event subscriber is called %q here", clip(subscriber)).WithField("subscriber")
	}
	var text string
	err := o.db.QueryRow(ctx, `SELECT envelope FROM event_parked WHERE subscriber = $1 AND seq = $2`, subscriber, seq).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return caos.Errorf(caos.NotFound, "event %d is not parked for %s", seq, subscriber).WithField("sequence")
	}
	if err != nil {
		return fmt.Errorf("read parked event: %w", err)
	}
	var e Event
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return fmt.Errorf("read parked event %d: %w", seq, err)
	}
	e.Sequence = seq
	gone := caos.Errorf(caos.Conflict, "event %d was settled by somebody else meanwhile", seq)
	forget := func(tx *db.Tx) {
		tx.ExecOne(gone, `DELETE FROM event_parked WHERE subscriber = $1 AND seq = $2`, subscriber, seq)
	}
	if w.sub.InTx != nil {
		return o.db.Update(ctx, func(tx *db.Tx) error {
			forget(tx)
			return guard(func() error { return w.sub.InTx(tx, e) })
		})
	}
	if err := guard(func() error { return w.sub.Handle(ctx, e) }); err != nil {
		return err
	}
	return o.db.Write(ctx, func(tx *db.Tx) error { forget(tx); return nil })
}

func (o *Outbox) worker(name string) *worker {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range o.workers {
		if w.sub.Name == name {
			return w
		}
	}
	return nil
}

// Status is how far a durable subscriber is.
type Status struct {
	Subscriber string `json:"subscriber"`
	Behind     int64  `json:"behind"`  // events it has not had yet, fitting its pattern or not
	Attempt    int    `json:"attempt"` // failed attempts at the next one
	Parked     int64  `json:"parked"`
	Error      string `json:"error,omitempty"` // of the last attempt
	Node       string `json:"node,omitempty"`  // who delivers to it
}

// Statuses lists all durable subscribers that ever were, by name.
func (o *Outbox) Statuses(ctx context.Context) ([]Status, error) {
	rows, err := o.db.Query(ctx, o.sql(`SELECT name, (SELECT seq FROM event_head WHERE id = 1) - cursor_seq, attempt, last_error,
		CASE WHEN lease_until > {{now}} THEN lease_node ELSE '' END,
		(SELECT count(*) FROM event_parked p WHERE p.subscriber = s.name)
		FROM event_subscribers s ORDER BY name`))
	if err != nil {
		return nil, fmt.Errorf("read subscribers: %w", err)
	}
	defer rows.Close()
	var list []Status
	for rows.Next() {
		var s Status
		if err := rows.Scan(&s.Subscriber, &s.Behind, &s.Attempt, &s.Error, &s.Node, &s.Parked); err != nil {
			return nil, fmt.Errorf("read subscribers: %w", err)
		}
		list = append(list, s)
	}
	return list, rows.Err()
}
