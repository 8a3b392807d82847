package db

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Update runs fn as an audited write; see the package comment. It returns when the
// transaction that holds fn has ended, with fn's error, or with one that is [ErrAborted] or
// [ErrUnknown]. The context only takes the caller out of the queue: once fn has begun the
// caller gets the outcome, however late. fn must do no I/O besides tx: everybody waits for
// it, and it is cut off when the budget is spent.
func (d *DB) Update(ctx context.Context, fn func(*Tx) error) error {
	return d.submit(ctx, d.updates, fn)
}

// Write runs fn in a transaction without the audit log's seal and lock, for what no auditor
// needs (heartbeats, last-used times). On SQLite it shares the one writer connection.
func (d *DB) Write(ctx context.Context, fn func(*Tx) error) error {
	if d.writes != nil {
		return d.submit(ctx, d.writes, fn)
	}
	d.gate.RLock()
	select {
	case <-d.closing:
		d.gate.RUnlock()
		return notBegun(errClosed)
	default:
	}
	d.running.Add(1)
	d.gate.RUnlock()
	defer d.running.Done()
	c, err := d.connect(ctx)
	if err != nil {
		return notBegun(err)
	}
	r := &request{fn: fn, answer: make(chan error, 1)}
	var calls caller
	defer calls.stop()
	b := &batch{d: d, calls: &calls, w: wire{c: c, pipelined: true}}
	b.run(r, nil)
	return <-r.answer
}

// request is one call of Update or Write in the queue.
type request struct {
	fn     func(*Tx) error
	taken  atomic.Bool // by the batch that runs it, or by its caller who leaves
	answer chan error  // gets one value
}

func (r *request) take() bool { return r.taken.CompareAndSwap(false, true) }

func (d *DB) submit(ctx context.Context, queue chan<- *request, fn func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return notBegun(err)
	}
	select {
	case <-d.closing:
		return notBegun(errClosed)
	default:
	}
	r := &request{fn: fn, answer: make(chan error, 1)}
	select {
	case queue <- r:
	case <-ctx.Done():
		return notBegun(ctx.Err())
	case <-d.closing:
		return notBegun(errClosed)
	}
	select {
	case err := <-r.answer:
		return err
	case <-ctx.Done():
		if r.take() {
			return notBegun(ctx.Err())
		}
	case <-d.stopped:
		if r.take() {
			return notBegun(errClosed)
		}
	}
	return <-r.answer
}

// commitLoop is the one writer. Updates and Writes take turns, so that neither starves.
func (d *DB) commitLoop() {
	defer close(d.stopped)
	var calls caller
	defer calls.stop()
	for {
		select {
		case <-d.closing:
			return
		default:
		}
		select {
		case <-d.closing:
			return
		case r := <-d.updates:
			d.runBatch(&calls, r, d.updates)
			select {
			case r := <-d.writes:
				d.runBatch(&calls, r, d.writes)
			default:
			}
		case r := <-d.writes:
			d.runBatch(&calls, r, d.writes)
		}
	}
}

// connectTimeout bounds how long the commit loop waits for a connection.
const connectTimeout = 5 * time.Second

func (d *DB) runBatch(calls *caller, first *request, queue <-chan *request) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	c, err := d.connect(ctx)
	cancel()
	if err != nil {
		d.opt.Log.Error("no connection for writing", slog.Any("error", err))
		refuseAll(first, queue, aborted(err))
		return
	}
	b := &batch{d: d, calls: calls, w: wire{c: c, pipelined: d.dialect == PostgreSQL}}
	if s := d.sealer.Load(); s != nil && queue == (<-chan *request)(d.updates) {
		b.sealer = *s
	}
	if !first.take() {
		if first = next(queue); first == nil {
			c.close(true)
			return
		}
	}
	b.run(first, queue)
}

// refuseAll answers everybody who waits: without a connection each of them would wait as
// long again.
func refuseAll(r *request, queue <-chan *request, err error) {
	if r.take() {
		r.answer <- err
	}
	for r := next(queue); r != nil; r = next(queue) {
		r.answer <- err
	}
}

// batch is one transaction and the requests it serves.
type batch struct {
	d      *DB
	w      wire
	sealer Sealer // nil for Write
	calls  *caller
	parts  []part
}

type part struct {
	r   *request
	tx  *Tx
	err error // why the part was undone
}

// maxGather bounds how long a transaction takes in more functions: a PostgreSQL cluster
// has one writer at a time, and the first caller waits for the last.
const maxGather = 50 * time.Millisecond

// run runs the transaction. The first request has been taken; more come from queue.
func (b *batch) run(first *request, queue <-chan *request) {
	err := b.fill(first, queue)
	if err != nil {
		err = aborted(err)
	}
	committed := false
	if err == nil {
		committed, err = b.settle()
	}
	if b.sealer != nil {
		b.sealer.Done(committed, errors.Is(err, ErrUnknown))
	}
	// Unless a ROLLBACK was answered, only a new connection is sure to have no transaction
	// open.
	b.w.c.close(err == nil || b.w.rollback())
	if err != nil {
		b.d.opt.Log.Error("transaction lost", slog.Any("error", err), slog.Int("functions", len(b.parts)))
	}
	for i := range b.parts {
		p := &b.parts[i]
		if err == nil && p.err == nil {
			b.afterCommit(p.tx)
		}
	}
	for i := range b.parts {
		p := &b.parts[i]
		if err != nil {
			p.r.answer <- err
		} else {
			p.r.answer <- p.err
		}
	}
}

// fill begins the transaction and runs the functions. Its error aborts the transaction.
func (b *batch) fill(first *request, queue <-chan *request) error {
	b.parts = append(b.parts, part{r: first})
	b.w.control("BEGIN")
	if err := b.fault(AtBegin); err != nil {
		return err
	}
	if b.sealer != nil {
		if err := b.asRoot(b.sealer.Begin); err != nil {
			return fmt.Errorf("begin seal: %w", err)
		}
	}
	if !b.w.pipelined {
		if err := b.w.flush(nil); err != nil {
			return err
		}
	}
	start := time.Now()
	for {
		if err := b.runPart(&b.parts[len(b.parts)-1]); err != nil {
			return err
		}
		if queue == nil || len(b.parts) >= b.d.opt.MaxBatch || time.Since(start) > maxGather {
			return b.w.flush(nil)
		}
		r := next(queue)
		if r == nil {
			return b.w.flush(nil)
		}
		b.parts = append(b.parts, part{r: r})
	}
}

// next takes a waiting request, nil if there is none.
func next(queue <-chan *request) *request {
	for {
		select {
		case r := <-queue:
			if r.take() {
				return r
			}
		default:
			return nil
		}
	}
}

// runPart runs one function under its savepoint. Its error is that of the transaction.
func (b *batch) runPart(p *part) error {
	p.tx = &Tx{dialect: b.d.dialect, w: &b.w}
	if err := b.fault(AtFunction); err != nil {
		return err
	}
	start := b.d.opt.Now()
	p.err = p.tx.end(b.calls.call(b.d.opt.Budget, p.tx, p.r.fn))
	if took := b.d.opt.Now().Sub(start); took > slowFn {
		b.d.opt.Log.Warn("slow function in a shared transaction", slog.Duration("took", took),
			slog.String("function", nameOf(p.r.fn)), slog.Any("error", p.err))
	}
	return b.w.finish(p.tx, p.err == nil)
}

func nameOf(fn func(*Tx) error) string {
	if f := runtime.FuncForPC(reflect.ValueOf(fn).Pointer()); f != nil {
		return f.Name()
	}
	return "unknown"
}

// settle seals and commits what the functions left, or rolls back if that is nothing. Its
// error is everybody's answer.
func (b *batch) settle() (committed bool, err error) {
	var entries []any
	kept := false
	for i := range b.parts {
		p := &b.parts[i]
		if p.err == nil {
			p.err = p.tx.late
		}
		if p.err == nil {
			kept = true
			entries = append(entries, p.tx.emitted...)
		}
	}
	if !kept {
		if !b.w.rollback() {
			return false, aborted(b.w.broken)
		}
		return false, nil
	}
	if b.sealer != nil && len(entries) > 0 {
		if err := b.fault(AtSeal); err != nil {
			return false, aborted(err)
		}
		seal := func(tx *Tx) error { return b.sealer.Seal(tx, entries) }
		if err := b.asRoot(seal); err != nil {
			return false, aborted(fmt.Errorf("seal: %w", err))
		}
	}
	if err := b.fault(AtCommit); err != nil {
		return false, aborted(err)
	}
	if err := b.w.c.commit(); err != nil {
		b.w.broken = err
		if errors.Is(err, ErrUnknown) {
			return false, unknown(err)
		}
		return false, aborted(err)
	}
	if err := b.fault(AtCommitted); err != nil {
		b.w.broken = err
		return false, unknown(err)
	}
	return true, nil
}

// asRoot runs one of the sealer's functions outside any savepoint. Any failure of it is a
// failure of the transaction.
func (b *batch) asRoot(fn func(*Tx) error) (err error) {
	tx := &Tx{dialect: b.d.dialect, w: &b.w, root: true}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if err := tx.end(fn(tx)); err != nil {
		return err
	}
	return b.w.flush(nil)
}

func (b *batch) afterCommit(tx *Tx) {
	for _, fn := range tx.after {
		func() {
			defer func() {
				if p := recover(); p != nil {
					b.d.opt.Log.Error("panic after commit", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
				}
			}()
			fn()
		}()
	}
}
