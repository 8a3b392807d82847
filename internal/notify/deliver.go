package notify

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"runtime/debug"
	"time"

	"caos"
	"caos/internal/alert"
	"caos/internal/db"
)

// grab is how many messages a node takes at a time. Their lease covers all of them at the
// slowest, so that no other node sends them meanwhile.
const grab = 8

var errLost = errors.New("notify: the message is another node's now")

// Start begins to deliver, first what an earlier run left. Close stops.
func (n *Notifier) Start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cancel != nil || n.closed {
		return errors.New("notify: Start is called once")
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	// A worker per sink: one that hangs does not hold up the others.
	for _, w := range n.workers {
		n.running.Go(func() { n.run(ctx, w) })
	}
	n.running.Go(func() { n.retain(ctx) })
	return nil
}

// Close stops delivery and waits for the one under way, whose context ends. It may be
// called more than once, and without Start.
func (n *Notifier) Close() {
	n.mu.Lock()
	n.closed = true
	cancel := n.cancel
	n.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	n.running.Wait()
}

// worker delivers to one sink.
type worker struct {
	sink Sink
	wake chan struct{} // holds one: there may be messages
}

func (n *Notifier) run(ctx context.Context, w *worker) {
	if n.db.Dialect() == db.SQLite {
		// The database belongs to this process: what its predecessor took is free.
		n.warn(ctx, "cannot free messages of the last run", n.db.Write(ctx, func(tx *db.Tx) error {
			tx.Exec(`UPDATE notice_outbox SET lease_until = 0 WHERE state = 'PENDING' AND lease_until > 0 AND sink = $1`, w.sink.Name())
			return nil
		}))
	}
	for {
		batch, err := n.take(ctx, w.sink.Name())
		n.warn(ctx, "cannot read the outbox", err)
		for i, m := range batch {
			if ctx.Err() != nil {
				n.giveBack(batch[i:])
				return
			}
			n.warn(ctx, "message not settled", n.one(ctx, w.sink, m))
		}
		if len(batch) > 0 {
			continue
		}
		// A failed message becomes due while nobody sends a new one, so look again in time.
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-n.opt.after(n.opt.Poll):
		}
	}
}

func (n *Notifier) retain(ctx context.Context) {
	for {
		_, err := n.Sweep(ctx)
		n.warn(ctx, "cannot remove old notices", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Hour):
		}
	}
}

func (n *Notifier) warn(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		n.opt.Log.Warn("notices: "+what, slog.Any("error", err))
	}
}

// taken is a message under this node's lease.
type taken struct {
	Message
	sink  string
	lease string
}

// take leases messages that are due. A read comes first, so that an idle node writes
// nothing.
func (n *Notifier) take(ctx context.Context, sink string) ([]taken, error) {
	var one int
	err := n.db.QueryRow(ctx, n.sql(`SELECT 1 FROM notice_outbox WHERE state = 'PENDING' AND sink = $1 AND next_at <= {{now}} AND lease_until < {{now}} LIMIT 1`), sink).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for messages: %w", err)
	}
	var raw [12]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return nil, fmt.Errorf("make lease: %w", err)
	}
	lease := hex.EncodeToString(raw[:])
	length := (grab + 1) * n.opt.Timeout
	var batch []taken
	err = n.db.Write(ctx, func(tx *db.Tx) error {
		batch = nil
		// The conditions stand twice: on PostgreSQL a row that another node takes between
		// the inner look and the update is judged again by the outer ones alone.
		rows := n.sql(`UPDATE notice_outbox SET lease_until = {{now}} + $1, lease = $2, attempt = attempt + 1
			WHERE (notice_id, person, sink) IN (
				SELECT notice_id, person, sink FROM notice_outbox
				WHERE state = 'PENDING' AND sink = $3 AND next_at <= {{now}} AND lease_until < {{now}} ORDER BY next_at, notice_id, person LIMIT $4)
			AND state = 'PENDING' AND next_at <= {{now}} AND lease_until < {{now}}
			RETURNING notice_id, person, sink, attempt`)
		err := tx.Query(rows, []any{length.Microseconds(), lease, sink, grab}, func(scan func(...any) error) error {
			m := taken{lease: lease}
			err := scan(&m.NoticeID, &m.Person, &m.sink, &m.Attempt)
			batch = append(batch, m)
			return err
		})
		if err != nil {
			return err
		}
		for i := range batch {
			m := &batch[i]
			var created int64
			err := tx.QueryRow(`SELECT subject, body, link, source, created_at FROM notices WHERE notice_id = $1`, m.NoticeID).
				Scan(&m.Subject, &m.Body, &m.Link, &m.Source, &created)
			if err != nil {
				return fmt.Errorf("notice %s: %w", m.NoticeID, err)
			}
			m.SentAt, m.Key = time.UnixMicro(created).UTC(), m.NoticeID+"/"+m.Person+"/"+m.sink
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("take messages: %w", err)
	}
	return batch, nil
}

// one delivers a message and writes down what came of it.
func (n *Notifier) one(ctx context.Context, sink Sink, m taken) error {
	failure := n.deliver(ctx, sink, m.Message)
	if failure == nil {
		return n.settle(m, "SENT", 0, nil)
	}
	if ctx.Err() != nil {
		n.giveBack([]taken{m})
		return nil
	}
	kind := caos.KindOf(failure)
	if m.Attempt >= n.opt.Attempts || !kind.Retryable() && kind != caos.Limited {
		return n.park(ctx, m, failure)
	}
	pause := n.pause(m.Attempt, mathrand.Float64())
	n.opt.Log.Warn("notice not delivered, trying again", slog.String("notice", m.NoticeID), slog.String("person", m.Person),
		slog.String("sink", m.sink), slog.Int("attempt", m.Attempt), slog.Duration("pause", pause), slog.Any("error", failure))
	return n.settle(m, "PENDING", pause, failure)
}

func (n *Notifier) deliver(ctx context.Context, sink Sink, m Message) (err error) {
	ctx, cancel := context.WithTimeout(ctx, n.opt.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = caos.Wrap(caos.Internal, fmt.Errorf("panic: %v\n%s", p, debug.Stack()), "a sink panicked")
		}
	}()
	return sink.Deliver(ctx, m)
}

// pause is how long to wait after the given number of failed attempts; spread, from 0 to 1,
// moves it by up to a fifth either way.
func (n *Notifier) pause(attempts int, spread float64) time.Duration {
	d := n.opt.First
	for range attempts - 1 {
		if d *= 2; d >= n.opt.Max {
			break
		}
	}
	return time.Duration(float64(min(d, n.opt.Max)) * (0.8 + 0.4*spread))
}

const settleSQL = `UPDATE notice_outbox SET state = $1, next_at = {{now}} + $2, lease_until = 0, last_error = $3, changed_at = {{now}}
	WHERE notice_id = $4 AND person = $5 AND sink = $6 AND lease = $7 AND state = 'PENDING'`

// settle writes an outcome. It does not end with the worker's context: the message is out.
func (n *Notifier) settle(m taken, state string, pause time.Duration, failure error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	text := ""
	if failure != nil {
		text = clip(failure.Error(), maxLink)
	}
	return n.db.Write(ctx, func(tx *db.Tx) error {
		tx.ExecOne(errLost, n.sql(settleSQL), state, pause.Microseconds(), text, m.NoticeID, m.Person, m.sink, m.lease)
		return nil
	})
}

// park gives a message up, in one audited transaction with the alert that says so.
func (n *Notifier) park(ctx context.Context, m taken, failure error) error {
	text := clip(failure.Error(), maxLink)
	err := n.db.Update(ctx, func(tx *db.Tx) error {
		tx.ExecOne(errLost, n.sql(settleSQL), "PARKED", int64(0), text, m.NoticeID, m.Person, m.sink, m.lease)
		if n.opt.Alerts == nil {
			return nil
		}
		_, err := n.opt.Alerts.Raise(tx, alert.Alert{
			Kind: "NOTIFY", AlertType: alert.Anomaly, Severity: alert.High, MetricName: "notice_delivery", Source: "notify", Subject: "sink:" + m.sink,
			CurrentValue: alert.Value(float64(m.Attempt)), ThresholdValue: alert.Value(float64(n.opt.Attempts)),
			AlertMessage:       fmt.Sprintf("notice %s for %s could not be delivered by %s: %s", m.NoticeID, m.Person, m.sink, caos.AsError(failure).Message),
			RecommendedActions: []string{"check the sink's configuration", "tell the person another way"},
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("park notice %s: %w", m.NoticeID, err)
	}
	n.opt.Log.Error("notice parked", slog.String("notice", m.NoticeID), slog.String("person", m.Person), slog.String("sink", m.sink), slog.Any("error", failure))
	return nil
}

// giveBack returns messages that were taken and not tried.
func (n *Notifier) giveBack(batch []taken) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	// If this fails the leases run out.
	_ = n.db.Write(ctx, func(tx *db.Tx) error {
		for _, m := range batch {
			tx.Exec(`UPDATE notice_outbox SET lease_until = 0, attempt = attempt - 1 WHERE notice_id = $1 AND person = $2 AND sink = $3 AND lease = $4`,
				m.NoticeID, m.Person, m.sink, m.lease)
		}
		return nil
	})
}

// Sweep removes notices older than Options.Keep, delivered or not, and returns how many.
func (n *Notifier) Sweep(ctx context.Context) (int64, error) {
	before := n.opt.Now().Add(-n.opt.Keep).UnixMicro()
	const old = `(SELECT notice_id FROM notices WHERE created_at < $1 ORDER BY created_at, notice_id LIMIT 500)`
	var total int64
	for {
		var gone int64
		err := n.db.Write(ctx, func(tx *db.Tx) (err error) {
			tx.Exec(`DELETE FROM notice_recipients WHERE notice_id IN `+old, before)
			tx.Exec(`DELETE FROM notice_outbox WHERE notice_id IN `+old, before)
			gone, err = tx.ExecRows(`DELETE FROM notices WHERE notice_id IN `+old, before)
			return err
		})
		if err != nil {
			return total, fmt.Errorf("sweep notices: %w", err)
		}
		if total += gone; gone < 500 {
			return total, nil
		}
	}
}

// Pending counts messages by state, for metrics: PENDING, SENT, PARKED.
func (n *Notifier) Pending(ctx context.Context) (map[string]int64, error) {
	rows, err := n.db.Query(ctx, `SELECT state, count(*) FROM notice_outbox GROUP BY state`)
	if err != nil {
		return nil, fmt.Errorf("count messages: %w", err)
	}
	defer rows.Close()
	counts := map[string]int64{"PENDING": 0, "SENT": 0, "PARKED": 0}
	for rows.Next() {
		var state string
		var count int64
		if err := rows.Scan(&state, &count); err != nil {
			return nil, fmt.Errorf("count messages: %w", err)
		}
		counts[state] = count
	}
	return counts, rows.Err()
}
