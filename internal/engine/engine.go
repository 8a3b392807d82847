package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
)

// Recorder is what the engine needs of the audit log.
type Recorder interface {
	Append(tx *db.Tx, r auditlog.Record) (auditlog.Receipt, error)
}

// Options are what an Engine is made of. DB, Log and Stamps are required.
type Options struct {
	DB     *db.DB
	Log    Recorder
	Stamps *caos.Stamper
	Now    func() time.Time // the wall clock; time.Now when nil
	Flows  []*Flow          // every revision this binary can run; the last of a hook is the newest
	Slots  int              // executions that this node runs at once; 32 when zero
	Node   string           // name of this node; "local" when empty
	Budget Resources        // what the allocator may give out
	Logger *slog.Logger
	Random func() float64 // jitter in [0,1); math/rand/v2 when nil
	River  *RiverOptions  // shares the executions with other nodes; nil for a single machine

	// OnFinal, if set, is called after a commit that ended an execution. It must not block.
	OnFinal func(Execution)

	// Announce, if set, is called in every commit that ends an execution, to emit an event.
	Announce func(tx *db.Tx, x Execution) error

	// CheckOutput, if set, is asked about every output before it is saved. What it refuses
	// is a defect of the hook: the commit does not happen, and is charged to the step that
	// the execution stands on.
	CheckOutput func(hook string, output []byte) error

	// Halted, if set, is asked before every turn of a worker. While it returns an error
	// nothing is done: a log that takes no records must not be followed by effects.
	Halted func(hook string) error
}

// Engine submits and runs executions.
type Engine struct {
	db          *db.DB
	log         Recorder
	stamps      *caos.Stamper
	now         func() time.Time
	random      func() float64
	logger      *slog.Logger
	node        string
	queue       queue
	holder      holder                      // the queue, too
	starter     starter                     // the queue, too
	sweep       func(context.Context) error // finds executions whose wake-up was lost
	doubts      chan struct{}               // capacity 1: a wake-up may have been lost just now
	hub         *hub
	alloc       *Allocator
	onFinal     func(Execution)
	announce    func(tx *db.Tx, x Execution) error
	checkOutput func(hook string, output []byte) error
	halted      func(hook string) error

	policies sync.Map // hook id → policy, where the registry differs from the plan

	flows  map[string]*Flow // by hook id and revision
	newest map[string]*Flow // by hook id
	slots  chan struct{}

	ctx    context.Context // of everything that runs; cancelled by Stop
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	active  map[string]*active // executions that a worker of this node is driving
	stopped bool
}

// active is an execution in the hands of a worker.
type active struct {
	next   *row               // as this worker last wrote it: what it goes on from without reading it again; nil to read
	stop   bool               // somebody on this node moved the execution since next was taken
	cancel context.CancelFunc // of the Call under way
	again  bool               // somebody asked for another look while it was being driven
	seen   int64              // version of the execution when it was last read
	done   chan struct{}      // closed when this node drives it no more

	pending *turnSpec // a turn whose commit the database could not take; of the worker alone
}

// New makes an Engine. Nothing runs before Start.
func New(o Options) (*Engine, error) {
	e := &Engine{db: o.DB, log: o.Log, stamps: o.Stamps, now: o.Now, random: o.Random, logger: o.Logger, node: o.Node,
		hub: newHub(), alloc: NewAllocator(o.Budget), onFinal: o.OnFinal, announce: o.Announce, checkOutput: o.CheckOutput, halted: o.Halted,
		flows: map[string]*Flow{}, newest: map[string]*Flow{}, active: map[string]*active{}}
	if e.now == nil {
		e.now = time.Now
	}
	if e.random == nil {
		e.random = rand.Float64
	}
	if e.logger == nil {
		e.logger = slog.New(slog.DiscardHandler)
	}
	if e.node == "" {
		e.node = localNode
	}
	if o.Slots == 0 {
		o.Slots = 32
	}
	e.slots = make(chan struct{}, o.Slots)
	for _, f := range o.Flows {
		key := flowKey(f.hook, f.revision)
		if e.flows[key] != nil {
			return nil, fmt.Errorf("engine: revision %d of %s is listed twice", f.revision, f.hook)
		}
		e.flows[key] = f
		if n := e.newest[f.hook]; n == nil || n.revision < f.revision {
			e.newest[f.hook] = f
		}
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.doubts = make(chan struct{}, 1)
	if o.River == nil {
		q := newLocalQueue(e.now)
		e.queue, e.holder, e.starter, e.sweep = q, q, q, e.recover
		return e, nil
	}
	q, err := newRiverQueue(e, *o.River)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	e.queue, e.holder, e.starter, e.sweep = q, q, q, q.sweep
	return e, nil
}

func flowKey(hook string, revision int) string { return fmt.Sprintf("%s#%d", hook, revision) }

// Start finds what an earlier process left and begins to run executions. It returns when
// everything that was left is queued.
func (e *Engine) Start(ctx context.Context) error {
	if err := e.starter.Start(e.ctx, e.take); err != nil {
		return fmt.Errorf("start queue: %w", err)
	}
	if err := e.sweep(ctx); err != nil {
		return errors.Join(fmt.Errorf("recover executions: %w", err), e.Stop(ctx))
	}
	e.wg.Go(func() { e.sweeps(e.ctx, sweepEvery) })
	e.wg.Go(func() { e.runSchedules(e.ctx, time.Second) })
	return nil
}

// Stop ends the engine: no new execution is begun, Calls under way are told to stop, and
// what they were doing is done again after the next Start. It waits for them until ctx
// ends.
func (e *Engine) Stop(ctx context.Context) error {
	e.mu.Lock()
	e.stopped = true
	e.mu.Unlock()
	e.cancel()
	done := make(chan struct{})
	go func() {
		e.starter.Stop()
		e.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("executions still running: %w", ctx.Err())
	}
}

// Allocator gives out this node's memory, threads and slots.
func (e *Engine) Allocator() *Allocator { return e.alloc }

// Flow returns the newest plan of a hook, nil when there is none.
func (e *Engine) Flow(hook string) *Flow { return e.newest[hook] }

// policy is a hook's retry policy and timeout as the registry has them.
type policy struct {
	retry   RetryPolicy
	timeout time.Duration
}

// SetPolicy makes the retry policy and timeout of the hook registry hold, from the next
// attempt of any execution on.
func (e *Engine) SetPolicy(hook string, retry RetryPolicy, timeout time.Duration) {
	e.policies.Store(hook, policy{retry, timeout})
}

func (e *Engine) policyOf(f *Flow) policy {
	if p, ok := e.policies.Load(f.hook); ok {
		return p.(policy)
	}
	return policy{f.retry, f.timeout}
}

// flowFor returns the plan that can go on with a stored execution: its own revision, or a
// newer one that says it can.
func (e *Engine) flowFor(r *row) *Flow {
	if f := e.flows[flowKey(r.HookID, r.Revision)]; f != nil {
		return f
	}
	f := e.newest[r.HookID]
	if f == nil {
		return nil
	}
	for _, old := range f.older {
		if old == r.Revision {
			return f
		}
	}
	return nil
}

// recover queues every execution that has something left to do, parks those of unknown
// revisions and frees those that were parked for this binary.
func (e *Engine) recover(ctx context.Context) error {
	rows, err := e.db.Query(ctx, `SELECT execution_id, hook_id, revision, status, wake_at, updated_at FROM executions
 WHERE finished_at IS NULL`)
	if err != nil {
		return err
	}
	defer rows.Close()
	type left struct {
		r  row
		at time.Time
	}
	var all []left
	for rows.Next() {
		var l left
		var status string
		var wake *int64
		var updated int64
		if err := rows.Scan(&l.r.ID, &l.r.HookID, &l.r.Revision, &status, &wake, &updated); err != nil {
			return err
		}
		l.r.Status, l.r.updated = Status(status), time.UnixMicro(updated)
		if wake != nil {
			l.r.WakeAt = time.UnixMicro(*wake)
		}
		if !l.r.due(e.now()) {
			l.at = l.r.WakeAt
		}
		all = append(all, l)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close()
	for _, l := range all {
		known := e.flowFor(&l.r) != nil
		if known == (l.r.Status == Blocked) {
			// Neither a full disk nor a log in recovery mode keeps a node from starting.
			if err := e.park(ctx, l.r.ID, !known); waits(caos.KindOf(err)) {
				e.logger.Warn("execution cannot be parked or freed yet", "execution_id", l.r.ID, "error", err)
			} else if err != nil {
				return err
			}
		}
		if known && !l.r.WakeAt.IsZero() {
			e.queue.Found(l.r.ID, l.at)
		}
	}
	return nil
}

// park moves an execution into or out of BLOCKED.
func (e *Engine) park(ctx context.Context, id string, block bool) error {
	err := e.db.Update(ctx, func(tx *db.Tx) error {
		r, err := loadTx(tx, id)
		if err != nil || r.Status.Final() || (r.Status == Blocked) == block {
			return err
		}
		from := r.Version
		r.Version++
		r.updated = e.now().UTC()
		if block {
			r.Error = caos.Errorf(caos.Unavailable, "revision %d of %s is not in this binary", r.Revision, r.HookID).
				WithHint("start the caos binary of hook version %s, or a newer one that lists revision %d as one it can go on from", r.HookVersion, r.Revision)
			r.Status = Blocked
		} else {
			r.Error, r.Status = nil, Running
			if r.cur.Phase == phaseWaiting {
				r.Status = Waiting
				if err := r.missed(tx); err != nil {
					return err
				}
			}
		}
		rec := auditlog.Record{Time: r.updated, Type: auditlog.Execution, Actor: "caos", RecordedBy: "caos", Execution: r.ID, Hook: r.HookID,
			Project: r.Project, Classification: r.Classification, Details: map[string]any{"status": r.Status, "revision": r.Revision}}
		receipt, err := e.log.Append(tx, rec)
		if err != nil {
			return err
		}
		r.lastRecord = receipt.ID
		if err := r.update(tx, from); err != nil || block || r.WakeAt.IsZero() {
			return err
		}
		e.queue.Wake(tx, r.ID, later(r.WakeAt, r.updated), false)
		return nil
	})
	if errors.Is(err, errStale) {
		return nil
	}
	return err
}

// wakeParent makes a parent that waits for this child look at it. The version moves, so
// that a turn of the parent that has not seen the child's end cannot overwrite the wake-up.
// A parent that waits for something else keeps its own moment.
func (e *Engine) wakeParent(tx *db.Tx, id, child string, now time.Time) {
	tx.Exec(`UPDATE executions SET wake_at=$1, updated_at=$1, version=version+1 WHERE execution_id=$2 AND status=$3 AND cursor LIKE $4`,
		now.UnixMicro(), id, string(Waiting), `%"child":"`+child+`"%`)
	e.queue.Wake(tx, id, time.Time{}, false)
}

// Wake makes an execution look again now whose Wait step has WaitSpec.Signal; one that waits
// for nothing of the kind, or does not wait yet, stays as it is. Whoever calls it changes, in
// the same transaction, what the step will look at.
func (e *Engine) Wake(tx *db.Tx, id string) {
	tx.Exec(`UPDATE executions SET wake_at=$1, updated_at=$1, version=version+1 WHERE execution_id=$2 AND status=$3 AND cursor LIKE $4`,
		e.now().UTC().UnixMicro(), id, string(Waiting), `%"signal":true%`)
	e.queue.Wake(tx, id, time.Time{}, false)
}

// later is the moment for which a queue is told of an execution: the zero time, which is
// now whatever the clock does until the queue reads it, unless the moment lies after the
// commit's own.
func later(at, commit time.Time) time.Time {
	if at.After(commit) {
		return at
	}
	return time.Time{}
}

// pause waits, or less when ctx ends.
func (e *Engine) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-e.ctx.Done():
	case <-t.C:
	}
}

// observe counts a finished execution.
func (e *Engine) observe(r *row) {
	if r.Status.Final() && e.onFinal != nil {
		e.onFinal(r.Execution)
	}
}

// digest is the SHA-256 of b in hexadecimal.
func digest(b json.RawMessage) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
