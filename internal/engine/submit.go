package engine

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
)

// Submission asks for an execution. Hook, Input and By are required.
type Submission struct {
	ID          string          // execution id; minted when empty
	Hook        string          // hook id
	Input       json.RawMessage // validated against the hook's schema already
	By          caos.Principal
	RequestedBy string // who is said to ask; By when empty
	IdemKey     string // the client's key, made unique per caller and hook by the caller of Submit; the execution id when empty
	BodyHash    string // tells a repeat of a request from another one under the same key
	ModelID     string
	Project     string
	// Classification of what it is about, "" for none.
	Classification string

	// Check decides inside the submitting transaction whether the execution may exist:
	// authorisation and what the request alone shows. Its error leaves no execution.
	Check func(tx *db.Tx) error
}

// Submit makes an execution, runs its leading InTx steps in the same commit and goes on
// in the background if anything is left. The same key and body give the execution that is
// there already, with Existing set; another body under the key is a Conflict.
func (e *Engine) Submit(ctx context.Context, sub Submission) (*Execution, error) {
	flow := e.newest[sub.Hook]
	if flow == nil {
		return nil, caos.Errorf(caos.NotFound, "no hook %q", sub.Hook).WithField("hook_id").
			WithHint("GET /v1/hooks lists the hooks of this installation")
	}
	if sub.ID == "" {
		sub.ID = e.stamps.ID("EXEC-")
	}
	if sub.RequestedBy == "" {
		sub.RequestedBy = sub.By.ID
	}
	if sub.IdemKey == "" {
		sub.IdemKey = sub.ID
	}
	slot := e.trySlot()
	r, err := e.commit(ctx, turnSpec{id: sub.ID, idem: sub.IdemKey, flow: flow, check: sub.Check, driven: slot, fresh: func(now time.Time) *row { return e.fresh(sub, flow, now) }})
	if err != nil {
		if slot {
			e.freeSlot()
		}
		if db.IsUnique(err) {
			return e.existing(ctx, sub, err)
		}
		return nil, err
	}
	if slot {
		if r.Status == Running && r.due(e.now()) {
			e.drive(r.ID)
		} else {
			e.freeSlot()
		}
	}
	return &r.Execution, nil
}

// NewID returns an execution id with the given prefix that is never given twice.
func (e *Engine) NewID(prefix string) string { return e.stamps.ID(prefix) }

// fresh is the row of a submission before its first step.
func (e *Engine) fresh(sub Submission, f *Flow, now time.Time) *row {
	return &row{
		Execution: Execution{ID: sub.ID, HookID: f.hook, HookVersion: f.version, Revision: f.revision, Status: Queued, Input: sub.Input,
			Findings: []caos.Finding{}, Children: []string{}, Steps: []StepRecord{}, RequestedBy: sub.RequestedBy,
			ModelID: sub.ModelID, Project: sub.Project, Classification: sub.Classification, WakeAt: now},
		schema: f.schema, by: sub.By, idem: sub.IdemKey, bodyHash: sub.BodyHash, created: now, updated: now,
	}
}

// existing answers a submission whose key is taken: by itself (an earlier try whose
// answer was lost), by a repeat, or by a different request.
func (e *Engine) existing(ctx context.Context, sub Submission, cause error) (*Execution, error) {
	r, err := scanRow(e.db.QueryRow(ctx, `SELECT `+rowColumns+` FROM executions WHERE idem_key=$1`, sub.IdemKey).Scan)
	if err != nil {
		return nil, fmt.Errorf("look up idempotency key: %w", errors.Join(err, cause))
	}
	if r.ID == sub.ID {
		// Our own insert, committed although its answer was lost. If a worker was to go on
		// with it here, it does not know; the queue's wake-up does.
		if !r.Status.Final() && !r.WakeAt.IsZero() {
			e.queue.Found(r.ID, r.WakeAt)
		}
		return &r.Execution, nil
	}
	if r.bodyHash != sub.BodyHash || r.HookID != sub.Hook {
		return nil, caos.Errorf(caos.Conflict, "this Idempotency-Key was used for another request (execution %s)", r.ID).
			WithField("Idempotency-Key").WithHint("use a new key for a new request, or repeat the first one unchanged")
	}
	r.Existing = true
	return &r.Execution, nil
}

// Repeated returns the execution that a submission under a client's key repeats, nil if
// there is none. It is for a repetition that Check refuses, because the state of things has
// changed since the first time.
func (e *Engine) Repeated(ctx context.Context, sub Submission) (*Execution, error) {
	r, err := scanRow(e.db.QueryRow(ctx, `SELECT `+rowColumns+` FROM executions WHERE idem_key=$1`, sub.IdemKey).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up idempotency key: %w", err)
	}
	if r.bodyHash != sub.BodyHash || r.HookID != sub.Hook {
		return nil, nil
	}
	r.Existing = true
	return &r.Execution, nil
}

// ChildSpec asks for a child execution.
type ChildSpec struct {
	Hook    string
	Input   any // marshalled to JSON; must satisfy the child's schema
	ModelID string
}

// Start makes a child execution in the parent's commit and returns its id. The child runs
// as the parent's principal. Wait for it with a WaitSpec that names it.
func (r *Run) Start(tx *db.Tx, c ChildSpec) (string, error) {
	if r.turn == nil {
		return "", caos.Errorf(caos.Internal, "a child can be started inside a commit only")
	}
	e := r.turn.e
	flow := e.newest[c.Hook]
	if flow == nil {
		return "", caos.Errorf(caos.Unavailable, "hook %s is not in this binary", c.Hook)
	}
	input, err := json.Marshal(c.Input)
	if err != nil {
		return "", fmt.Errorf("encode input of child %s: %w", c.Hook, err)
	}
	key, old, err := r.childKey(tx, c.Hook, input)
	if err != nil || old != "" {
		return old, err
	}
	id := e.stamps.ID("EXEC-")
	child := e.fresh(Submission{ID: id, Hook: c.Hook, Input: input, By: r.By, RequestedBy: r.RequestedBy, IdemKey: key, ModelID: c.ModelID,
		Project: r.turn.next.Project, Classification: r.turn.next.Classification}, flow, r.Now)
	child.Parent = r.ExecutionID
	t := &turn{e: e, flow: flow, tx: tx, next: child, now: r.Now, amends: &amends{}}
	t.record = auditlog.Record{ID: e.stamps.ID("AUDIT-"), Time: r.Now, Type: auditlog.Execution, Minted: true}
	if t.s, err = flow.begin(t.context(nil), input); err != nil {
		return "", err
	}
	flow.start(&child.cur, t.s)
	child.lastRecord = t.record.ID
	if err := t.save(); err != nil {
		return "", err
	}
	r.turn.next.Children = append(r.turn.next.Children, id)
	return id, nil
}

// childKey returns the key under which a step is to start a child, or the child that the
// step has already: one that was tried again goes on with it, unless it ended without
// success.
func (r *Run) childKey(tx *db.Tx, hook string, input json.RawMessage) (key, old string, err error) {
	key = r.Key()
	for n := 2; ; n++ {
		c, err := scanRow(tx.QueryRow(`SELECT `+rowColumns+` FROM executions WHERE idem_key=$1`, key).Scan)
		if errors.Is(err, sql.ErrNoRows) {
			return key, "", nil
		}
		if err != nil {
			return "", "", err
		}
		same := c.Parent == r.ExecutionID && c.HookID == hook && bytes.Equal(c.Input, input)
		if same && (!c.Status.Final() || c.Status == Succeeded) {
			return "", c.ID, nil
		}
		key = fmt.Sprintf("%s#%d", r.Key(), n)
	}
}

// Child makes a step that starts a child execution and waits for its end. done gets the
// ended child, whatever its status.
func Child[S any](number int, action, name string, start func(tx *db.Tx, r *Run, s *S) (ChildSpec, error),
	done func(tx *db.Tx, r *Run, s *S, child *Execution) error) Step[S] {
	return Wait(number, action, name,
		func(tx *db.Tx, r *Run, s *S) (WaitSpec, error) {
			spec, err := start(tx, r, s)
			if err != nil {
				return WaitSpec{}, err
			}
			id, err := r.Start(tx, spec)
			return WaitSpec{Child: id}, err
		},
		func(tx *db.Tx, r *Run, s *S, w Wake) (bool, error) {
			return true, done(tx, r, s, w.Child)
		})
}

// Get returns an execution.
func (e *Engine) Get(ctx context.Context, id string) (*Execution, error) {
	r, err := e.load(ctx, id)
	if err != nil {
		return nil, err
	}
	return &r.Execution, nil
}

// Await returns the execution when it is final, or as it is after wait.
func (e *Engine) Await(ctx context.Context, id string, wait time.Duration) (*Execution, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var last *Execution
	for x := range e.Watch(ctx, id) {
		if x.Execution != nil {
			last = x.Execution
			if last.Status.Final() {
				return last, nil
			}
		}
	}
	if last == nil {
		return e.Get(context.WithoutCancel(ctx), id)
	}
	return last, nil
}
