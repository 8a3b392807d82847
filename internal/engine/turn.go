package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
)

// turn is the work of one commit on one execution: it starts from the row as it was read,
// goes as far as it can without leaving the database, and writes everything at once. A
// turn that is rolled back leaves no trace, because it changed a copy.
type turn struct {
	e    *Engine
	flow *Flow
	tx   *db.Tx
	prev *row // as read; nil for a submission
	next *row // what will be written
	s    any  // the plan's state, decoded for this turn
	now  time.Time

	record     auditlog.Record
	actions    []auditlog.Action
	effect     string // key of the effect that this commit announces
	onRecorded []func(auditlog.Receipt)
	after      []func() // once committed

	amends *amends                 // what earlier tries of this turn came to grief at
	at     *atomic.Pointer[string] // path of the step that is being run, for whoever gives up the turn
	began  time.Time

	driven  bool          // a worker of this node goes on with the execution after the commit
	elapsed time.Duration // running time since the last commit
}

// turnSpec says what a turn is to do.
type turnSpec struct {
	id       string // of the execution
	idem     string // of a submission: its idempotency key
	prev     *row
	flow     *Flow
	lead     func(t *turn) error // before the steps: a Call's result, a decision, a cancellation
	own      bool                // nobody asked for the turn who could be told that it failed
	fault    error               // a defect that was met before the turn began
	overruns int                 // how often the turn was given up because it took too long
	bare     func(t *turn) error // all that can be done without the plan, which this binary does not have
	check    func(tx *db.Tx) error
	fresh    func(now time.Time) *row // makes the row of a submission
	driven   bool
	elapsed  time.Duration
}

// commit runs a turn until the database has said yes or no. It returns the row as
// written, errStale when somebody else was faster, or the error that refused the turn.
func (e *Engine) commit(ctx context.Context, spec turnSpec) (*row, error) {
	recordID := e.stamps.ID("AUDIT-")
	amends := &amends{whole: spec.fault}
	if spec.bare != nil {
		amends.dead = errNoPlan
	}
	doubtful := false // an earlier try may have been committed
	began := time.Now()
	for try := 1; ; try++ {
		var out *row
		var finished *turn
		var at atomic.Pointer[string]
		now := *amends // a try that was given up goes on reading it
		err := e.db.Update(ctx, func(tx *db.Tx) error {
			t := &turn{e: e, flow: spec.flow, tx: tx, prev: spec.prev, now: e.now().UTC(), amends: &now, at: &at, began: time.Now(), driven: spec.driven, elapsed: spec.elapsed}
			t.record.Minted = !doubtful
			if err := t.run(spec, recordID); err != nil {
				return err
			}
			out, finished = t.next, t
			return nil
		})
		switch {
		case err == nil:
			finished.committed()
			return out, nil
		case db.IsFull(err):
			return nil, err // nothing happened, and nothing will until somebody makes room
		case errors.Is(err, db.ErrAborted), errors.Is(err, db.ErrUnknown):
			// Nothing, or nobody knows what, happened. The same turn again under the same
			// record id: the unique key or the version says which it was.
			doubtful = doubtful || errors.Is(err, db.ErrUnknown)
			if enough(try, time.Since(began)) || ctx.Err() != nil {
				return nil, caos.Wrap(caos.Unavailable, err, "the database did not confirm the commit").
					WithHint("repeat the request with the same Idempotency-Key: it is done once at most")
			}
			e.pause(ctx, time.Duration(try)*5*time.Millisecond)
			continue
		}
		if doubtful {
			if r, ok := e.settled(ctx, spec, recordID); ok {
				e.doubt() // what was to follow the commit did not
				return r, nil
			}
		}
		if !amends.learn(spec, err, at.Load()) {
			return nil, err
		}
		if amends.whole != nil {
			e.logger.Error("execution met a defect", "execution_id", spec.id, "hook_id", spec.flow.hook, "ends", amends.dead != nil, "error", err)
		}
	}
}

// enough reports whether a turn that the database does not take has been tried for long
// enough. A database that is locked by another program makes each try wait for ten seconds:
// whoever waits for the answer must get one before their connection is closed.
func enough(tries int, took time.Duration) bool {
	return tries >= 20 || took >= 15*time.Second
}

// settled reports whether a refused turn was in fact committed by an earlier try whose
// answer was lost. It is asked only after the refusal of a later try, which waited for
// whatever the earlier one had locked.
func (e *Engine) settled(ctx context.Context, spec turnSpec, recordID string) (*row, bool) {
	r, err := e.load(ctx, spec.id)
	if err != nil {
		return nil, false
	}
	// A submission's id is its own, so the row is the one that it made, whoever went on
	// with it since.
	if spec.fresh != nil && r.idem == spec.idem {
		return r, true
	}
	// Somebody may have gone on with it since, and a step that goes on waiting names no more
	// than the last decision that it was given: the log has them all.
	kept, err := auditlog.Kept(ctx, e.db, recordID)
	return r, err == nil && kept
}

// run does the turn's work inside the transaction.
func (t *turn) run(spec turnSpec, recordID string) error {
	t.record = auditlog.Record{ID: recordID, Time: t.now, Type: auditlog.Execution, Minted: t.record.Minted}
	if spec.check != nil {
		if err := spec.check(t.tx); err != nil {
			return err
		}
	}
	if spec.fresh != nil {
		t.next = spec.fresh(t.now)
		s, err := t.flow.begin(t.context(nil), t.next.Input)
		if err != nil {
			return err
		}
		t.s = s
		t.flow.start(&t.next.cur, t.s)
	} else {
		t.next = spec.prev.clone()
		if t.next.WakeAt.After(t.now) && t.next.due(t.now) {
			t.next.WakeAt = t.now // the clock was set back
		}
		if t.amends.dead == nil {
			s, err := t.flow.decode(t.next.schema, t.next.state)
			if err != nil {
				return caos.Wrap(caos.Internal, err, "the saved state of %s cannot be read", t.next.ID)
			}
			t.s = s
		}
	}
	t.next.lastRecord = recordID
	if err := t.play(spec); err != nil {
		return err
	}
	return t.save()
}

// play does what the turn is for, or makes amends for what it could not do.
func (t *turn) play(spec turnSpec) error {
	switch {
	case spec.bare != nil:
		return spec.bare(t)
	case t.amends.dead != nil:
		t.end(t.amends.dead)
		return nil
	case t.amends.whole != nil:
		n, err := t.flow.find(&t.next.cur)
		if err != nil || n == nil {
			return caos.Wrap(caos.Internal, err, "execution %s stands on no step", t.next.ID)
		}
		t.next.Status = Running
		if t.fail(n, t.amends.whole, false) {
			return nil
		}
	case spec.lead != nil:
		if err := spec.lead(t); err != nil {
			return err
		}
	}
	return t.forward()
}

// end ends the execution as it stands: nothing of its hook is run any more, no
// compensation either.
func (t *turn) end(cause error) {
	if n, err := t.flow.find(&t.next.cur); err == nil && n != nil {
		t.mark(n, StepFailed, cause)
	}
	t.next.Status = Failed
	if t.next.Error == nil {
		t.next.Error = caos.AsError(cause)
	}
}

// context makes the Run that a step of this turn gets.
func (t *turn) context(n *node) *Run {
	r := &Run{ExecutionID: t.next.ID, HookID: t.next.HookID, By: t.next.by, RequestedBy: t.next.RequestedBy, Parent: t.next.Parent, Project: t.next.Project,
		Attempt: t.next.cur.Attempt + 1, Now: t.now, Record: &t.record, RecordID: t.record.ID, stamps: t.e.stamps, turn: t}
	if t.next.cur.Undo {
		r.Ending, r.Cause, r.Findings = t.next.cur.Undoing, t.next.Error, t.next.Findings
	}
	if n != nil {
		r.Step = n.name
		r.Item, r.Round = t.next.cur.scope()
	}
	return r
}

// forward runs steps until one needs the outside world, waits, or fails, or none is left.
func (t *turn) forward() error {
	for t.next.Status == Running || t.next.Status == Queued {
		n, err := t.flow.find(&t.next.cur)
		if err != nil {
			return caos.Wrap(caos.Internal, err, "execution %s cannot go on", t.next.ID)
		}
		if n == nil {
			t.finish()
			return nil
		}
		if t.next.WakeAt.After(t.now) { // a retry that is not due yet
			return nil
		}
		t.next.Status, t.next.WakeAt = Running, t.now
		path := t.next.cur.path()
		if cause := t.amends.stops[path]; cause != nil {
			if t.fail(n, cause, false) {
				return nil
			}
			continue
		}
		if t.long() {
			return nil
		}
		t.at.Store(&path)
		again, err := t.step(n)
		t.at.Store(nil)
		if err != nil {
			return &stepFailure{path: path, err: err}
		}
		if !again {
			return nil
		}
	}
	return nil
}

// long reports whether a loop has done enough for one commit: others wait for it, it has a
// time budget, and its record has room for so many actions. Steps outside loops are few,
// and stay together.
func (t *turn) long() bool {
	return len(t.next.cur.Frames) > 1 && (len(t.actions) >= 500 || len(t.actions) > 0 && time.Since(t.began) > 100*time.Millisecond)
}

// step runs, announces or arms the step that the cursor stands on and reports whether the
// turn can go on behind it.
func (t *turn) step(n *node) (bool, error) {
	switch n.kind {
	case kindInTx:
		if err := protect(func() error { return n.inTx(t.tx, t.context(n), t.s) }); err != nil {
			return false, err
		}
		if err := t.settle(); err != nil {
			return false, err
		}
		t.mark(n, StepDone, nil)
		t.flow.advance(&t.next.cur, t.s)
		return true, nil
	case kindCall:
		if t.next.cur.Phase == phaseIntent { // announced in an earlier turn, effect not done
			return false, nil
		}
		if n.before != nil {
			if err := protect(func() error { return n.before(t.tx, t.context(n), t.s) }); err != nil {
				return false, err
			}
			if err := t.settle(); err != nil {
				return false, err
			}
		}
		t.next.cur.Phase = phaseIntent
		t.effect = t.context(n).Key()
		t.mark(n, StepIntent, nil)
		return false, nil
	case kindWait:
		if t.next.cur.Phase == phaseWaiting {
			return false, nil
		}
		return false, t.arm(n)
	}
	return false, fmt.Errorf("step %s has no kind", n.name)
}

// arm begins a Wait.
func (t *turn) arm(n *node) error {
	var w WaitSpec
	err := protect(func() (err error) { w, err = n.arm(t.tx, t.context(n), t.s); return err })
	if err == nil {
		err = t.settle()
	}
	if err != nil {
		return err
	}
	if w.Topic == "" && w.Child == "" && w.Until.IsZero() {
		return caos.Errorf(caos.Internal, "step %s waits for nothing", n.name)
	}
	ws := &waitState{Topic: w.Topic, Child: w.Child, Signal: w.Signal}
	if !w.Until.IsZero() {
		ws.Until = w.Until.UnixMicro()
	}
	if !w.Deadline.IsZero() {
		ws.Deadline = w.Deadline.UnixMicro()
	}
	at := ws.next()
	if w.Child != "" { // it may have ended before anybody waited
		child, err := loadTx(t.tx, w.Child)
		if err != nil {
			return err
		}
		if child.Status.Final() {
			at = t.now
		}
	}
	t.next.cur.Phase, t.next.cur.Wait = phaseWaiting, ws
	t.next.Status, t.next.Topic, t.next.WakeAt = Waiting, w.Topic, at
	t.mark(n, StepWaiting, nil)
	return nil
}

// finish ends the execution after its last step.
func (t *turn) finish() {
	switch {
	case t.next.cur.Undo:
		t.next.Status = t.next.cur.Undoing
	case t.flow.failed(t.s):
		t.next.Status = Failed
	default:
		t.next.Status = Succeeded
	}
}

// mark writes the step's record. A step has one record for each item and round; a retry
// changes it instead of adding another.
func (t *turn) mark(n *node, status StepStatus, cause error) {
	item, round := t.next.cur.scope()
	now := caos.FormatTime(t.now)
	rec := StepRecord{Number: n.number, Action: n.action, Step: n.name, Kind: string(n.kind), Item: item, Round: round, StartedAt: now}
	at := -1
	for i := len(t.next.Steps) - 1; i >= 0; i-- {
		if s := &t.next.Steps[i]; s.Step == n.name && s.Item == item && s.Round == round {
			rec, at = *s, i
			break
		}
	}
	rec.Status, rec.AuditRecordID, rec.Error, rec.FinishedAt = status, t.record.ID, nil, nil
	rec.Attempt = t.next.cur.Attempt + 1
	if cause != nil {
		text := caos.AsError(cause).Message
		var reject *Rejection
		if errors.As(cause, &reject) {
			text = reject.Error()
		}
		rec.Error = &text
	}
	if status == StepDone || status == StepFailed {
		rec.FinishedAt = &now
	}
	if at < 0 {
		t.next.Steps = append(forget(t.next.Steps, rec), rec)
	} else {
		t.next.Steps[at] = rec
	}
	t.actions = append(t.actions, auditlog.Action{Number: n.number, Name: n.action, Step: n.name, Status: string(status)})
}

// maxSteps bounds the step records that an execution keeps: the row is written whole by
// every commit. The audit log has them all.
const maxSteps = 1000

// forget makes room for the record of a round by dropping that of its step's oldest one.
func forget(steps []StepRecord, rec StepRecord) []StepRecord {
	if len(steps) < maxSteps || rec.Round == 0 {
		return steps
	}
	for i, s := range steps {
		if s.Step == rec.Step && s.Item == rec.Item && s.Round < rec.Round {
			return slices.Delete(steps, i, i+1)
		}
	}
	return steps
}

// fail records that the step the cursor stands on failed, and decides what comes next: a
// later attempt (which it reports), compensation, or the end. last forbids another attempt.
func (t *turn) fail(n *node, cause error, last bool) bool {
	cur := &t.next.cur
	t.next.Topic = ""
	policy := t.e.policyOf(t.flow).retry
	if n.retry != nil {
		policy = *n.retry
	}
	var reject *Rejection
	if errors.As(cause, &reject) {
		t.next.Findings = append(t.next.Findings, reject.Findings...)
		cur.Rejected = len(reject.Findings)
		cause = &caos.Error{Kind: caos.Denied, Message: reject.Error(), Rule: firstRule(reject.Findings), Err: cause}
	} else if !last && caos.KindOf(cause).Retryable() && cur.Attempt+1 < policy.MaxAttempts {
		t.mark(n, StepRetrying, cause)
		cur.Attempt++
		cur.Phase = ""
		t.next.WakeAt = t.now.Add(policy.delay(cur.Attempt, t.e.random()))
		t.next.Status = Running
		return true
	}
	t.mark(n, StepFailed, cause)
	if t.next.Error == nil {
		t.next.Error = caos.AsError(cause)
	}
	t.giveUp(Failed)
	return false
}

func firstRule(f []caos.Finding) string {
	if len(f) == 0 {
		return ""
	}
	return f[0].Rule
}

// giveUp ends the execution, after compensation where the plan has one and anything was
// done that may need it.
func (t *turn) giveUp(end Status) {
	cur := &t.next.cur
	done := false
	for _, s := range t.next.Steps {
		done = done || s.Status == StepDone || s.Status == StepIntent || s.Kind == string(kindCall)
	}
	if cur.Undo || len(t.flow.undo) == 0 || !done {
		t.next.Status = end
		return
	}
	cur.Undo, cur.Undoing = true, end
	t.next.Status, t.next.WakeAt, t.next.Topic = Running, t.now, ""
	t.flow.start(cur, t.s)
}

// save appends the audit record and writes the row; nothing of the turn exists before.
func (t *turn) save() error {
	n := t.next
	if n.Status.Final() {
		n.WakeAt, n.Topic, n.finished = time.Time{}, "", t.now
	}
	receipt, err := t.e.log.Append(t.tx, t.recordNow())
	if err != nil {
		return err
	}
	for _, fn := range t.onRecorded {
		fn(receipt)
	}
	if t.amends.dead == nil {
		if err := t.encode(); err != nil {
			return err
		}
	}
	n.updated, n.running = t.now, n.running+t.elapsed
	if t.prev == nil {
		n.Version = 1
		err = n.insert(t.tx)
	} else {
		n.Version = t.prev.Version + 1
		err = n.update(t.tx, t.prev.Version)
	}
	if err != nil {
		return err
	}
	n.show()
	if n.Status.Final() && t.e.announce != nil {
		if err := t.e.announce(t.tx, n.Execution); err != nil {
			return err
		}
	}
	if n.Status.Final() && n.Parent != "" {
		t.e.wakeParent(t.tx, n.Parent, n.ID, t.now)
	}
	t.enqueue()
	return t.tx.Err()
}

// encode turns the plan's state into what is stored and shown of it.
func (t *turn) encode() (err error) {
	n := t.next
	if n.state, err = json.Marshal(t.s); err != nil {
		return fmt.Errorf("encode state of %s: %w", n.ID, err)
	}
	if n.Output, err = json.Marshal(t.flow.output(t.s)); err != nil {
		return fmt.Errorf("encode output of %s: %w", n.ID, err)
	}
	if t.e.checkOutput != nil {
		if err := t.e.checkOutput(n.HookID, n.Output); err != nil {
			return caos.Wrap(caos.Internal, err, "the output of %s is not what its schema says", n.HookID)
		}
	}
	n.schema, n.Revision, n.HookVersion = t.flow.schema, t.flow.revision, t.flow.version
	return nil
}

// enqueue tells the queue, in the transaction, when the execution is to be run again.
func (t *turn) enqueue() {
	n, q := t.next, t.e.queue
	goesOn := n.Status == Running && !n.WakeAt.After(t.now)
	switch {
	case goesOn && t.driven:
		if t.prev == nil {
			q.Wake(t.tx, n.ID, time.Time{}, true)
		}
	case t.prev == nil && n.Status.Final():
	default:
		if t.prev != nil {
			q.Done(t.tx, n.ID)
		}
		if !n.Status.Final() && !n.WakeAt.IsZero() {
			q.Wake(t.tx, n.ID, later(n.WakeAt, t.now), false)
		}
	}
}

// recordNow completes the audit record of this commit.
func (t *turn) recordNow() auditlog.Record {
	r, n := &t.record, t.next
	r.Execution, r.Hook, r.Actions = n.ID, n.HookID, t.actions
	if r.Actor == "" {
		r.Actor = n.RequestedBy
	}
	if r.RecordedBy == "" {
		r.RecordedBy = n.by.ID
	}
	if r.Resources == nil && n.ModelID != "" {
		r.Resources = []string{n.ModelID}
	}
	if r.Project == "" {
		r.Project = n.Project
	}
	if r.Classification == "" {
		r.Classification = n.Classification
	}
	d, ok := r.Details.(map[string]any)
	if !ok && r.Details != nil {
		return *r
	}
	if d == nil {
		d = map[string]any{}
	}
	d["status"] = n.Status
	if t.prev == nil {
		d["input_sha256"] = digest(n.Input)
	}
	if t.effect != "" {
		d["effect"] = t.effect
	}
	if n.Error != nil {
		d["error"] = n.Error.Message
	}
	if len(n.Findings) > 0 && (n.Status.Final() || t.prev == nil || len(n.Findings) != len(t.prev.Findings)) {
		d["findings"] = n.Findings
	}
	if n.Status.Final() && len(t.onRecorded) == 0 && t.amends.dead == nil {
		d["output"] = t.flow.output(t.s)
	}
	r.Details = d
	return *r
}

// committed runs what had to wait for the commit.
func (t *turn) committed() {
	for _, fn := range t.after {
		fn()
	}
	t.e.hub.publish(t.next.ID)
	t.e.observe(t.next)
}
