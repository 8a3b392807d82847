package engine

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
)

// Decision is what a person (or a system with a right to) says to a waiting execution.
type Decision struct {
	Topic   string          `json:"topic"` // what the execution waits for, as its WaitSpec named it
	Payload json.RawMessage `json:"payload"`
	Actor   string          `json:"actor_id"` // who decides; must be By unless By may act on behalf
	By      caos.Principal  `json:"-"`        // who authenticated
}

// Guard decides inside the transaction, on the execution as it is there, whether the
// caller may do what it asks.
type Guard func(tx *db.Tx, x *Execution) error

// Decide gives a decision to a waiting execution. The step that waits judges it in this
// same commit: when it refuses, nothing changes and the caller gets its reason.
func (e *Engine) Decide(ctx context.Context, id string, d Decision, guard Guard) (*Execution, error) {
	return e.intervene(ctx, id, guard, nil, func(t *turn) error {
		if t.next.Status != Waiting || t.next.Topic == "" || t.next.Topic != d.Topic {
			return caos.Errorf(caos.Conflict, "execution %s does not wait for %q", id, d.Topic).WithField("topic").
				WithHint("it is %s%s", t.next.Status, waitsFor(t.next.Topic))
		}
		if t.next.cur.Wait.over(t.now) {
			return caos.Errorf(caos.Conflict, "the time for %q is over", d.Topic).WithField("topic").
				WithHint("it ended at %s", caos.FormatTime(t.next.cur.Wait.next()))
		}
		t.record.Type, t.record.Actor, t.record.RecordedBy = auditlog.Decided, d.Actor, d.By.ID
		_, err := t.wake(Wake{Kind: WakeDecision, Decision: &d})
		return err
	})
}

func waitsFor(topic string) string {
	if topic == "" {
		return ""
	}
	return " and waits for " + topic
}

// Cancel stops an execution. A Call under way on this node is told to stop; compensation
// runs where the plan has one. An execution that is BLOCKED because its plan is not in this
// binary is stopped, too, without compensation, and says so.
func (e *Engine) Cancel(ctx context.Context, id, reason string, by caos.Principal, guard Guard) (*Execution, error) {
	bare := func(t *turn) error {
		if t.next.Status.Final() {
			return caos.Errorf(caos.Conflict, "execution %s is %s and cannot be cancelled", id, t.next.Status)
		}
		t.record.Actor, t.record.RecordedBy = by.ID, by.ID
		t.next.Status = Cancelled
		t.next.Error = caos.Errorf(caos.Conflict, "cancelled by %s: %s", by.ID, reason).
			WithHint("revision %d of its hook is not in this binary, so nothing of it was undone", t.next.Revision)
		return nil
	}
	return e.intervene(ctx, id, guard, bare, func(t *turn) error {
		if t.next.Status.Final() || t.next.cur.Undo {
			return caos.Errorf(caos.Conflict, "execution %s is %s and cannot be cancelled", id, t.next.Status)
		}
		t.record.Actor, t.record.RecordedBy = by.ID, by.ID
		t.next.Error = caos.Errorf(caos.Conflict, "cancelled by %s: %s", by.ID, reason)
		t.giveUp(Cancelled)
		t.after = append(t.after, func() { e.interrupt(id) })
		return nil
	})
}

// Retry makes a FAILED execution try its failed step again, with all its attempts.
func (e *Engine) Retry(ctx context.Context, id string, by caos.Principal, guard Guard) (*Execution, error) {
	return e.intervene(ctx, id, guard, nil, func(t *turn) error {
		n := t.next
		if n.Status != Failed || n.cur.Undo || len(n.cur.Frames) == 0 {
			return caos.Errorf(caos.Conflict, "execution %s cannot be retried: it is %s", id, n.Status).
				WithHint("only an execution that FAILED at a step and was not compensated can be retried; submit a new one")
		}
		t.record.Actor, t.record.RecordedBy = by.ID, by.ID
		n.Status, n.Error, n.WakeAt, n.finished, n.running = Running, nil, t.now, time.Time{}, 0
		n.Findings = n.Findings[:max(len(n.Findings)-n.cur.Rejected, 0)] // those of steps that were done stay
		n.cur.Phase, n.cur.Attempt, n.cur.Wait, n.cur.Rejected = "", 0, nil, 0
		return nil
	})
}

// intervene commits a turn that somebody other than a worker asked for. bare is what it
// does where this binary lacks the plan, nil for nothing.
func (e *Engine) intervene(ctx context.Context, id string, guard Guard, bare, lead func(*turn) error) (*Execution, error) {
	for try := 0; ; try++ {
		r, err := e.load(ctx, id)
		if err != nil {
			return nil, err
		}
		spec := turnSpec{id: id, prev: r, flow: e.flowFor(r), lead: lead}
		if spec.flow == nil && bare != nil {
			spec.flow, spec.bare = &Flow{hook: r.HookID}, bare
		}
		if spec.flow == nil {
			return nil, caos.Errorf(caos.Unavailable, "execution %s needs a binary with revision %d of %s", id, r.Revision, r.HookID)
		}
		spec.check = func(tx *db.Tx) error {
			if guard == nil {
				return nil
			}
			return guard(tx, &r.Execution)
		}
		next, err := e.commit(ctx, spec)
		if err == nil {
			return &next.Execution, nil
		}
		if !errors.Is(err, errStale) || try >= 50 {
			return nil, err
		}
	}
}

// interrupt cancels the Call that this node is doing for an execution, or is about to do.
func (e *Engine) interrupt(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.active[id]
	if a == nil {
		return
	}
	a.next, a.stop = nil, true
	if a.cancel != nil {
		a.cancel()
	}
}
