package engine

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
)

func TestWholeRun(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		o := newOutside()
		w := start(t, d, t.TempDir(), nil, sample(o).Flow())
		x := must[*Execution](t)(w.submit("EXEC-1"))
		if x.Status != Running || len(x.Steps) != 2 || x.Steps[1].Status != StepIntent {
			t.Fatalf("after submission: %s", show(x))
		}
		x = w.until("EXEC-1", Waiting)
		if x.Topic != "go" {
			t.Fatalf("waits for %q", x.Topic)
		}
		if _, err := w.eng.Decide(context.Background(), "EXEC-1", Decision{Topic: "stop", By: by()}, nil); caos.KindOf(err) != caos.Conflict {
			t.Errorf("decision on another topic: %v", err)
		}
		if _, err := w.eng.Decide(context.Background(), "EXEC-1", Decision{Topic: "go", Payload: json.RawMessage(`7`), By: by()}, nil); caos.KindOf(err) != caos.Invalid {
			t.Errorf("decision that the step refuses: %v", err)
		}
		x = must[*Execution](t)(w.say("EXEC-1", "yes"))
		if x.Status != Succeeded || x.FinishedAt == nil {
			t.Fatalf("after the decision: %s", show(x))
		}
		w.whole("EXEC-1", o)
		var out sampleState
		if err := json.Unmarshal(x.Output, &out); err != nil || !strings.HasPrefix(out.Record, "SHA256:") || len(out.Shipped) != 5 {
			t.Errorf("output %s (%v)", x.Output, err)
		}
		for _, s := range x.Steps {
			if s.Status != StepDone || s.AuditRecordID == "" || s.FinishedAt == nil {
				t.Errorf("step %+v", s)
			}
		}
	})
}

// Every commit of a run is broken in every way, and the run still leaves what one run
// leaves. Mutations that make this fail: not minting the record id before the first try
// (settled finds nothing, effects double), saving without the version in the WHERE clause,
// dropping the redo of a turn after ErrAborted.
func TestEveryCommitBrokenOnce(t *testing.T) {
	t.Parallel()
	broken(t, false)
}

// The same, but the process dies at that moment and another one takes over.
func TestEveryCommitKilled(t *testing.T) {
	t.Parallel()
	broken(t, true)
}

func broken(t *testing.T, dies bool) {
	cases := []struct {
		name  string
		point db.Point
		act   db.Action
	}{
		{"before", db.AtBegin, db.Fail}, {"never sent", db.AtCommit, db.Fail}, {"refused", db.AtCommit, db.Refuse}, {"kept but error", db.AtCommitted, db.Fail},
	}
	dbtest.EachAtOnce(t, func(t *testing.T, dialect db.Dialect) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				for k := 1; ; k++ {
					if reached := breakAt(t, dialect, c.point, c.act, k, dies); !reached {
						if k < 8 {
							t.Fatalf("only %d commits were broken", k-1)
						}
						return
					}
				}
			})
		}
	})
}

// breakAt runs the sample hook with the k-th commit broken and reports whether there was
// one.
func breakAt(t *testing.T, dialect db.Dialect, point db.Point, act db.Action, k int, dies bool) bool {
	t.Helper()
	url, keys, o := dbtest.URL(t, dialect), t.TempDir(), newOutside()
	var mu sync.Mutex
	armed, seen, dead := false, 0, make(chan struct{})
	fault := &db.Fault{At: func(p db.Point) db.Action {
		mu.Lock()
		defer mu.Unlock()
		if !armed {
			return db.Proceed
		}
		if seen >= k && dies && p == db.AtBegin {
			return db.Fail
		}
		if p != point {
			return db.Proceed
		}
		if seen++; seen == k {
			close(dead)
			return act
		}
		return db.Proceed
	}}
	d := must[*db.DB](t)(db.Open(context.Background(), db.Options{URL: url, Fault: fault, Log: slog.New(slog.DiscardHandler), Budget: dbtest.Budget}))
	defer d.Close()
	w := start(t, d, keys, nil, sample(o).Flow())
	mu.Lock()
	armed = true
	mu.Unlock()
	run := func() error {
		if _, err := w.submit("EXEC-1"); err != nil {
			return err
		}
		return nil
	}
	finish := func(w *world) {
		x := w.until("EXEC-1", Waiting)
		if x.Status == Waiting {
			if _, err := w.say("EXEC-1", "yes"); err != nil && caos.KindOf(err) != caos.Conflict {
				t.Fatal(err)
			}
		}
	}
	if !dies {
		if err := run(); err != nil {
			t.Fatalf("commit %d: %v", k, err)
		}
		finish(w)
		w.whole("EXEC-1", o)
		mu.Lock()
		defer mu.Unlock()
		return seen >= k
	}
	submitted := make(chan struct{})
	go func() { // as long as this process lives
		defer close(submitted)
		if run() != nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for u := range w.eng.Watch(ctx, "EXEC-1") {
			if u.Execution != nil && u.Execution.Status == Waiting {
				_, _ = w.say("EXEC-1", "yes") // a dead process answers nobody
				return
			}
		}
	}()
	over := make(chan struct{})
	go func() { <-submitted; close(over) }()
	select {
	case <-dead:
	case <-over:
	}
	w.stop()
	<-submitted
	mu.Lock()
	armed = false
	reached := seen >= k
	mu.Unlock()
	if err := d.Close(); err != nil {
		t.Logf("close: %v", err)
	}
	next := start(t, must[*db.DB](t)(db.Open(context.Background(), db.Options{URL: url, Budget: dbtest.Budget})), keys, nil, sample(o).Flow())
	defer next.db.Close()
	defer next.stop()
	// The client that got no answer asks again under the same id.
	x := must[*Execution](t)(next.submit("EXEC-1"))
	if !x.Status.Final() {
		finish(next)
	}
	next.until("EXEC-1", Succeeded)
	next.whole("EXEC-1", o)
	return reached
}

func TestRetryAndGiveUp(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		o := newOutside()
		o.fail = func(key string, attempt int) error {
			if strings.HasSuffix(key, "/ship") && attempt < 3 {
				return caos.Errorf(caos.Unavailable, "carrier is away")
			}
			if strings.HasSuffix(key, "/push/b") {
				return caos.Errorf(caos.Invalid, "platform b is of another make")
			}
			return nil
		}
		w := start(t, d, t.TempDir(), nil, sample(o).Flow())
		must[*Execution](t)(w.submit("EXEC-1"))
		x := w.until("EXEC-1", Failed)
		if x.Error == nil || x.Error.Message != "platform b is of another make" {
			t.Fatalf("error %+v", x.Error)
		}
		for _, s := range x.Steps {
			if s.Step == "ship" && (s.Attempt != 3 || s.Status != StepDone) {
				t.Errorf("ship: %+v", s)
			}
			if s.Step == "push" && s.Item == "b" && (s.Status != StepFailed || s.Attempt != 1) {
				t.Errorf("push b: %+v", s)
			}
		}
		o.mu.Lock()
		o.fail = nil
		o.mu.Unlock()
		must[*Execution](t)(w.eng.Retry(context.Background(), "EXEC-1", by(), nil))
		w.until("EXEC-1", Waiting)
		x = must[*Execution](t)(w.say("EXEC-1", "yes"))
		if x.Status != Succeeded || x.Error != nil {
			t.Fatalf("after retry: %s", show(x))
		}
		w.whole("EXEC-1", o)
		if _, err := w.eng.Retry(context.Background(), "EXEC-1", by(), nil); caos.KindOf(err) != caos.Conflict {
			t.Errorf("retry of a success: %v", err)
		}
	})
}

func TestAttemptsRunOut(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		o := newOutside()
		o.fail = func(string, int) error { return errOutside }
		w := start(t, d, t.TempDir(), nil, sample(o).Flow())
		must[*Execution](t)(w.submit("EXEC-1"))
		x := w.until("EXEC-1", Failed)
		if n := o.calls["EXEC-1/ship"]; n != 3 {
			t.Errorf("%d attempts, want 3", n)
		}
		if got := w.effects(); !slices.Equal(got, []string{"EXEC-1/reserve"}) {
			t.Errorf("effects %v", got)
		}
		if strings.Contains(x.Error.Message, errOutside.Error()) {
			t.Errorf("a hidden cause is shown: %q", x.Error.Message)
		}
	})
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		o := newOutside()
		w := start(t, d, t.TempDir(), nil, sample(o).Flow())
		sub := Submission{Hook: sampleHook, Input: json.RawMessage(`{}`), By: by(), IdemKey: "k", BodyHash: "h"}
		var wg sync.WaitGroup
		ids := make([]string, 16)
		for i := range ids {
			wg.Go(func() {
				x, err := w.eng.Submit(context.Background(), sub)
				if err != nil {
					t.Error(err)
					return
				}
				ids[i] = x.ID
			})
		}
		wg.Wait()
		if c := slices.Compact(slices.Sorted(slices.Values(ids))); len(c) != 1 {
			t.Fatalf("one key made %v", c)
		}
		sub.BodyHash = "other"
		if _, err := w.eng.Submit(context.Background(), sub); caos.KindOf(err) != caos.Conflict {
			t.Errorf("other body under the key: %v", err)
		}
		w.until(ids[0], Waiting)
	})
}

func TestCancelStopsTheCall(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		o := newOutside()
		o.hold = make(chan struct{})
		undone := make(chan string, 1)
		p := sample(o)
		p.Compensate = []Step[sampleState]{InTx(0, "Undo", "undo", func(tx *db.Tx, r *Run, _ *sampleState) error {
			tx.AfterCommit(func() { undone <- r.Key() })
			return nil
		})}
		w := start(t, d, t.TempDir(), nil, p.Flow())
		must[*Execution](t)(w.submit("EXEC-1"))
		if _, err := w.eng.Cancel(context.Background(), "EXEC-1", "no longer wanted", by(), func(*db.Tx, *Execution) error {
			return caos.Errorf(caos.Denied, "not yours")
		}); caos.KindOf(err) != caos.Denied {
			t.Fatalf("guard: %v", err)
		}
		must[*Execution](t)(w.eng.Cancel(context.Background(), "EXEC-1", "no longer wanted", by(), nil))
		x := w.until("EXEC-1", Cancelled)
		if <-undone != "EXEC-1/undo" || !strings.Contains(x.Error.Message, "no longer wanted") {
			t.Errorf("%s", show(x))
		}
	})
}

func TestGateRejects(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		p := sample(newOutside())
		p.Steps[0] = InTx(1, "Gate", "gate", func(tx *db.Tx, r *Run, _ *sampleState) error {
			if err := effect(tx, r); err != nil {
				return err
			}
			return Reject(caos.Finding{Rule: "gate.no", Message: "no plan", Remedy: "make one"}, caos.Finding{Rule: "gate.two", Message: "no owner"})
		})
		w := start(t, d, t.TempDir(), nil, p.Flow())
		x := must[*Execution](t)(w.submit("EXEC-1"))
		if x.Status != Failed || len(x.Findings) != 2 || x.Error.Rule != "gate.no" {
			t.Fatalf("%s", show(x))
		}
		if got := w.effects(); len(got) != 0 {
			t.Errorf("the failed step left %v", got)
		}
	})
}

func TestCheckLeavesNoExecution(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := start(t, d, t.TempDir(), nil, sample(newOutside()).Flow())
		_, err := w.eng.Submit(context.Background(), Submission{ID: "EXEC-1", Hook: sampleHook, Input: json.RawMessage(`{}`), By: by(),
			Check: func(tx *db.Tx) error { return caos.Errorf(caos.Denied, "no").WithRule("r") }})
		if caos.AsError(err).Rule != "r" {
			t.Fatalf("%v", err)
		}
		if _, err := w.eng.Get(context.Background(), "EXEC-1"); caos.KindOf(err) != caos.NotFound {
			t.Errorf("%v", err)
		}
	})
}

// A worker that was taken over in its sleep cannot write when it wakes up. Mutation that
// makes this fail: leaving the version out of updateRow's WHERE clause.
func TestStaleWorker(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		o := newOutside()
		o.hold = make(chan struct{})
		w := start(t, d, t.TempDir(), nil, sample(o).Flow())
		must[*Execution](t)(w.submit("EXEC-1"))
		old := must[*row](t)(w.eng.load(context.Background(), "EXEC-1"))
		close(o.hold)
		w.until("EXEC-1", Waiting)
		_, err := w.eng.commit(context.Background(), turnSpec{id: old.ID, prev: old, flow: w.eng.newest[sampleHook], lead: func(tn *turn) error {
			n, _ := tn.flow.find(&tn.next.cur)
			tn.mark(n, StepDone, nil)
			tn.flow.advance(&tn.next.cur, tn.s)
			return nil
		}})
		if !errors.Is(err, errStale) {
			t.Fatalf("a stale worker wrote: %v", err)
		}
		must[*Execution](t)(w.say("EXEC-1", "yes"))
		w.whole("EXEC-1", o)
	})
}

func TestUnknownRevisionIsParked(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		url, keys, o := dbtest.URL(t, dialect), t.TempDir(), newOutside()
		p := sample(o)
		p.Revision = 2
		life := func(f *Flow) *world {
			d := must[*db.DB](t)(db.Open(context.Background(), db.Options{URL: url, Budget: dbtest.Budget}))
			t.Cleanup(func() { d.Close() })
			return start(t, d, keys, nil, f)
		}
		w := life(p.Flow())
		must[*Execution](t)(w.submit("EXEC-1"))
		w.until("EXEC-1", Waiting)
		w.stop()
		w = life(sample(o).Flow()) // an older binary
		x := w.until("EXEC-1", Blocked)
		if !strings.Contains(x.Error.Message, "revision 2") {
			t.Errorf("%+v", x.Error)
		}
		w.stop()
		p.Revision, p.Older = 3, []int{1, 2}
		w = life(p.Flow())
		w.until("EXEC-1", Waiting)
		if x := must[*Execution](t)(w.say("EXEC-1", "yes")); x.Status != Succeeded || x.Revision != 3 {
			t.Errorf("%s", show(x))
		}
		w.whole("EXEC-1", o)
	})
}
