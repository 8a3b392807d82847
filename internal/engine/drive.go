package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"caos"
	"caos/internal/db"
)

// trySlot takes a free worker slot of this node if there is one.
func (e *Engine) trySlot() bool {
	if e.ctx.Err() != nil {
		return false
	}
	select {
	case e.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (e *Engine) freeSlot() { <-e.slots }

// take is called by the queue when an execution is due: it waits for a slot and drives it.
func (e *Engine) take(id string) {
	select {
	case e.slots <- struct{}{}:
		e.drive(id)
	case <-e.ctx.Done():
	}
}

// drive runs an execution in the background until nothing is left to do now; the channel
// is closed then. The caller holds a slot, which is given back at the end. An execution
// that this node is driving already is looked at once more instead.
func (e *Engine) drive(id string) <-chan struct{} {
	e.mu.Lock()
	if a := e.active[id]; a != nil || e.stopped {
		done := make(chan struct{})
		if a != nil {
			a.again, done = true, a.done
		} else {
			close(done)
		}
		e.mu.Unlock()
		e.freeSlot()
		return done
	}
	a := &active{done: make(chan struct{})}
	e.active[id] = a
	e.wg.Add(1)
	e.mu.Unlock()
	go func() {
		defer e.wg.Done()
		defer close(a.done)
		defer e.freeSlot()
		for more := true; more; {
			e.work(id, a)
			e.mu.Lock()
			more, a.again = a.again && !e.stopped, false
			e.mu.Unlock()
			if more {
				continue
			}
			e.holder.Release(id, a.seen) // who asks for a look from here on is heard below
			e.mu.Lock()
			if more, a.again = a.again && !e.stopped, false; !more {
				delete(e.active, id)
			}
			e.mu.Unlock()
		}
	}()
	return a.done
}

// work does turn after turn. An error that is not the execution's own (the database is
// away, the disk is full) is waited out: nothing is lost, because nothing was said.
func (e *Engine) work(id string, a *active) {
	doubt := false
	for failures := 0; e.ctx.Err() == nil; {
		more := false
		held, err := e.holder.Hold(e.ctx, id, doubt)
		if err == nil && !held {
			return // another node has it
		}
		if err == nil {
			more, err = e.once(id, a)
			doubt = errors.Is(err, errStale)
		}
		switch {
		case err == nil && !more:
			return
		case err == nil, errors.Is(err, errStale):
			failures = 0
			continue
		case caos.KindOf(err) == caos.NotFound:
			return
		}
		failures++
		e.logger.Warn("execution cannot go on yet", "execution_id", id, "failures", failures, "error", err)
		e.pause(e.ctx, DefaultRetry().delay(min(failures, 6), e.random()))
	}
}

// once does one turn and reports whether there is more to do right now.
func (e *Engine) once(id string, a *active) (bool, error) {
	e.mu.Lock()
	r := a.next
	a.next, a.stop = nil, false
	e.mu.Unlock()
	if a.pending != nil {
		return e.conclude(a, a.pending)
	}
	var err error
	if r == nil {
		if r, err = e.load(e.ctx, id); err != nil {
			return false, err
		}
	}
	e.mu.Lock()
	a.seen = r.Version
	e.mu.Unlock()
	if r.Status.Final() || r.Status == Blocked || r.WakeAt.IsZero() {
		return false, nil
	}
	if !r.due(e.now()) {
		e.queue.Found(id, r.WakeAt)
		return false, nil
	}
	flow := e.flowFor(r)
	if flow == nil {
		return false, e.park(e.ctx, id, true)
	}
	if e.halted != nil {
		if err := e.halted(r.HookID); err != nil {
			return false, err
		}
	}
	spec := &turnSpec{id: id, prev: r, flow: flow, driven: true, own: true}
	if r.Status == Waiting {
		if spec.lead, err = e.dueWake(r); err != nil || spec.lead == nil {
			return false, err
		}
	} else if err := e.effect(r, flow, a, spec); err != nil {
		return false, err
	}
	return e.conclude(a, spec)
}

// conclude commits a turn of a worker and reports whether there is more to do right now.
// If the database cannot take it, the turn is kept: what a Call did is not done again only
// because its result could not be written yet.
func (e *Engine) conclude(a *active, spec *turnSpec) (bool, error) {
	next, err := e.commit(e.ctx, *spec)
	a.pending = nil
	if err != nil {
		if errors.Is(err, db.ErrBudget) {
			spec.overruns++
		}
		if !errors.Is(err, errStale) {
			a.pending = spec
		}
		return false, err
	}
	if next.Status != Running || !next.due(e.now()) {
		return false, nil
	}
	e.mu.Lock()
	if !a.stop && !a.again {
		a.next = next
	}
	e.mu.Unlock()
	return true, nil
}

// dueWake returns the lead of a turn that wakes a Wait step, nil when nothing is due.
func (e *Engine) dueWake(r *row) (func(*turn) error, error) {
	ws := r.cur.Wait
	now := e.now()
	w := Wake{}
	switch {
	case ws == nil:
		return func(*turn) error { return caos.Errorf(caos.Internal, "execution %s waits for nothing", r.ID) }, nil
	case ws.Until > 0 && ws.Until <= now.UnixMicro():
		w.Kind = WakeTime
	case ws.Deadline > 0 && ws.Deadline <= now.UnixMicro():
		w.Kind = WakeDeadline
	}
	if ws.Child != "" {
		child, err := e.Get(e.ctx, ws.Child)
		if err != nil {
			return nil, err
		}
		if child.Status.Final() {
			w = Wake{Kind: WakeChild, Child: child}
		}
	}
	if w.Kind == "" && ws.Signal { // it is due, and for none of the other reasons
		w.Kind = WakeSignal
	}
	if w.Kind == "" {
		return nil, nil
	}
	return func(t *turn) error {
		path := t.next.cur.path()
		if cause := t.amends.stops[path]; cause != nil {
			n, err := t.flow.find(&t.next.cur)
			if err != nil || n == nil {
				return err
			}
			t.next.Status = Running
			t.fail(n, cause, false)
			return nil
		}
		t.at.Store(&path)
		done, err := t.wake(w)
		t.at.Store(nil)
		if err != nil {
			return &stepFailure{path: path, err: err}
		}
		if !done { // woken by something that it chose to outlive
			t.next.cur.Wait.outlive(w.Kind)
			t.next.WakeAt = t.next.cur.Wait.next()
		}
		return nil
	}, nil
}

// wake gives something that happened to the Wait step that the cursor stands on.
func (t *turn) wake(w Wake) (bool, error) {
	n, err := t.flow.find(&t.next.cur)
	if err != nil || n == nil || n.kind != kindWait {
		return false, caos.Wrap(caos.Internal, err, "execution %s does not stand on a wait", t.next.ID)
	}
	var done bool
	err = protect(func() (err error) { done, err = n.wake(t.tx, t.context(n), t.s, w); return err })
	if err == nil {
		err = t.settle()
	}
	if err != nil || !done {
		return false, err
	}
	t.mark(n, StepDone, nil)
	t.next.Status, t.next.Topic, t.next.WakeAt = Running, "", t.now
	t.flow.advance(&t.next.cur, t.s)
	return true, nil
}

// effect does the Call that the execution stands on, if its intent is committed, and puts
// what came of it into the spec of the next turn.
func (e *Engine) effect(r *row, flow *Flow, a *active, spec *turnSpec) error {
	n, err := flow.find(&r.cur)
	if err != nil {
		spec.fault = caos.Wrap(caos.Internal, err, "execution %s stands on a step that its plan does not have", r.ID)
		return nil
	}
	if n == nil || n.kind != kindCall || r.cur.Phase != phaseIntent {
		return nil
	}
	var s any
	if err := protect(func() (err error) { s, err = flow.decode(r.schema, r.state); return err }); err != nil {
		spec.fault = caos.Wrap(caos.Internal, err, "the saved state of %s cannot be read", r.ID)
		return nil
	}
	ctx, cancel, timedOut := e.callContext(r, flow, n)
	defer cancel()
	e.mu.Lock()
	if a.cancel, a.seen = cancel, r.Version; a.stop {
		cancel()
	}
	e.mu.Unlock()
	run := &Run{ExecutionID: r.ID, HookID: r.HookID, By: r.by, RequestedBy: r.RequestedBy, Parent: r.Parent, Project: r.Project, Step: n.name, Attempt: r.cur.Attempt + 1,
		Now: e.now().UTC(), stamps: e.stamps, progress: func(p Progress) { e.hub.progress(r.ID, p) }}
	run.Item, run.Round = r.cur.scope()
	if r.cur.Undo {
		run.Ending, run.Cause, run.Findings = r.cur.Undoing, r.Error, r.Findings
	}
	began := time.Now()
	// The result is kept as bytes: a turn that is tried again must start from it, not from
	// what the steps after the Call made of it in a transaction that was rolled back.
	var result []byte
	err = protect(func() (err error) {
		if err = n.call(ctx, run, s); err == nil {
			result, err = json.Marshal(s)
		}
		return err
	})
	spec.elapsed = time.Since(began)
	if e.ctx.Err() != nil {
		return e.ctx.Err() // stopping: the effect is done again after the next start
	}
	if err != nil && timedOut() {
		err = caos.Wrap(caos.Unavailable, err, "step %s did not end in its time", n.name).
			WithHint("timeout_seconds of %s bounds the running time of an execution", r.HookID)
	}
	if err != nil {
		// The record and the API show what may be shown; the cause is for the log alone.
		e.logger.Warn("step failed", "execution_id", r.ID, "step", n.name, "attempt", run.Attempt, "kind", string(caos.KindOf(err)), "error", err)
	}
	limit := e.policyOf(flow).timeout
	spent := timedOut() && limit > 0 && r.running+spec.elapsed >= limit && !r.cur.Undo
	spec.lead = func(t *turn) error {
		if err != nil {
			t.fail(n, err, spent)
			return nil
		}
		s, err := flow.decode(flow.schema, result)
		if err != nil {
			return err
		}
		t.s = s
		t.next.Findings = append(t.next.Findings, run.found...)
		t.mark(n, StepDone, nil)
		t.flow.advance(&t.next.cur, t.s)
		return nil
	}
	return nil
}

// callContext bounds a Call by the step's own timeout and by what is left of the hook's.
func (e *Engine) callContext(r *row, flow *Flow, n *node) (context.Context, context.CancelFunc, func() bool) {
	limit := n.timeout
	if whole := e.policyOf(flow).timeout; whole > 0 && !r.cur.Undo {
		left := max(whole-r.running, time.Millisecond)
		if limit == 0 || left < limit {
			limit = left
		}
	}
	if limit == 0 {
		ctx, cancel := context.WithCancel(e.ctx)
		return ctx, cancel, func() bool { return false }
	}
	ctx, cancel := context.WithTimeout(e.ctx, limit)
	return ctx, cancel, func() bool { return errors.Is(context.Cause(ctx), context.DeadlineExceeded) }
}

// protect turns a panic of a step into an error: one defect must not end the process that
// watches over everything else.
func protect(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = caos.Wrap(caos.Internal, fmt.Errorf("panic: %v\n%s", p, debug.Stack()), "a step failed in an unforeseen way")
		}
	}()
	return fn()
}
