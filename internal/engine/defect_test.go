package engine

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// short is a hook with a Call and what a test puts behind it.
func short(o *outside, steps ...Step[sampleState]) Plan[sampleState] {
	p := sample(o)
	p.Retry.MaxAttempts = 2
	p.Steps = append(slices.Clone(p.Steps[:2]), steps...)
	return p
}

func failing(name string, do func(tx *db.Tx, r *Run, s *sampleState) error) Step[sampleState] {
	return InTx(3, "Fail", name, do)
}

// wakes is a step that is woken by time at once.
func wakes(name string, wake func(tx *db.Tx, r *Run, s *sampleState, w Wake) (bool, error)) Step[sampleState] {
	return Wait(3, "Fail", name, func(_ *db.Tx, r *Run, _ *sampleState) (WaitSpec, error) { return WaitSpec{Until: r.Now}, nil }, wake)
}

// Whatever is wrong with a hook, its execution ends FAILED at the step that is to blame; no
// worker is kept busy for ever, and the failed step leaves nothing. Mutation that makes all
// but three of them fail: amends.learn that returns false for what is no stepFailure.
func TestDefectsEndAnExecution(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	corrupt := func(column, value string) func(w *world) {
		return func(w *world) {
			err := w.db.Write(context.Background(), func(tx *db.Tx) error {
				tx.Exec(`UPDATE executions SET `+column+`=$1, version=version+1 WHERE execution_id='EXEC-1'`, value)
				return nil
			})
			if err != nil {
				w.t.Fatal(err)
			}
		}
	}
	cases := []struct {
		name  string
		steps []Step[sampleState]
		undo  []Step[sampleState]
		check func(hook string, output []byte) error
		harm  func(w *world) // done while the Call is under way
		at    string         // the step that failed
		calls int            // of ship, at most
		brief bool           // it uses up the time of a transaction's function, so that is short
	}{
		{name: "step panics", steps: []Step[sampleState]{failing("bad", func(*db.Tx, *Run, *sampleState) error { panic("boom") })}, at: "bad", calls: 1},
		{name: "step takes too long", steps: []Step[sampleState]{failing("bad", func(*db.Tx, *Run, *sampleState) error { <-never; return nil })}, at: "bad", calls: 1, brief: true},
		{name: "statement fails", steps: []Step[sampleState]{failing("bad", func(tx *db.Tx, r *Run, _ *sampleState) error {
			tx.Exec(`INSERT INTO nothing_of_the_kind (trace) VALUES ($1)`, r.Key())
			return nil
		}), InTx(4, "Go on", "good", func(tx *db.Tx, r *Run, _ *sampleState) error { return effect(tx, r) })}, at: "bad", calls: 1},
		{name: "check of a Call panics", steps: []Step[sampleState]{Call(3, "Fail", "bad", func(context.Context, *Run, *sampleState) error { return nil }).
			Before(func(*db.Tx, *Run, *sampleState) error { panic("boom") })}, at: "bad", calls: 1},
		{name: "wake fails", steps: []Step[sampleState]{wakes("bad", func(tx *db.Tx, r *Run, _ *sampleState, _ Wake) (bool, error) {
			return true, errors.Join(effect(tx, r), boom)
		})}, at: "bad", calls: 1},
		{name: "wake panics", steps: []Step[sampleState]{wakes("bad", func(*db.Tx, *Run, *sampleState, Wake) (bool, error) { panic("boom") })}, at: "bad", calls: 1},
		{name: "statement of wake fails", steps: []Step[sampleState]{wakes("bad", func(tx *db.Tx, _ *Run, _ *sampleState, _ Wake) (bool, error) {
			tx.Exec(`INSERT INTO nothing_of_the_kind (trace) VALUES (1)`)
			return true, nil
		})}, at: "bad", calls: 1},
		{name: "wake takes too long", steps: []Step[sampleState]{wakes("bad", func(*db.Tx, *Run, *sampleState, Wake) (bool, error) { <-never; return true, nil })}, at: "bad", calls: 1, brief: true},
		{name: "round without end", steps: []Step[sampleState]{Repeat("again", func(*sampleState) bool { <-never; return false },
			failing("bad", func(*db.Tx, *Run, *sampleState) error { return nil }))}, at: "bad", calls: 1, brief: true},
		{name: "output is not its schema's", steps: []Step[sampleState]{failing("bad", func(_ *db.Tx, _ *Run, s *sampleState) error { s.Said = "bad"; return nil })},
			check: func(_ string, out []byte) error {
				if strings.Contains(string(out), `"said":"bad"`) {
					return boom
				}
				return nil
			}, at: "ship", calls: 2},
		{name: "compensation fails", steps: []Step[sampleState]{failing("bad", func(*db.Tx, *Run, *sampleState) error { return Reject(caos.Finding{Message: "no"}) })},
			undo: []Step[sampleState]{InTx(0, "Undo", "undo", func(*db.Tx, *Run, *sampleState) error { return boom })}, at: "undo", calls: 1},
		{name: "state cannot be read", harm: corrupt("state", `{"rounds":"many"}`), at: "ship", calls: 1},
		{name: "step is unknown", steps: []Step[sampleState]{failing("bad", func(*db.Tx, *Run, *sampleState) error { return nil })},
			harm: corrupt("cursor", `{"frames":[{"step":"gone"}]}`), calls: 1},
	}
	dbtest.EachAtOnce(t, func(t *testing.T, dialect db.Dialect) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				o := newOutside()
				o.hold = make(chan struct{})
				p := short(o, c.steps...)
				p.Compensate = c.undo
				opt := db.Options{URL: dbtest.URL(t, dialect)}
				if c.brief {
					opt.Budget = time.Second // several times that of production: a busy machine does not use it up
				}
				d := dbtest.OpenWith(t, opt)
				w := start(t, d, t.TempDir(), func(op *Options) { op.CheckOutput = c.check }, p.Flow())
				must[*Execution](t)(w.submit("EXEC-1"))
				if c.harm != nil {
					c.harm(w)
				}
				close(o.hold)
				x := w.until("EXEC-1", Failed)
				if x.Error == nil || x.Error.Message == "" {
					t.Errorf("no reason: %s", show(x))
				}
				failed := ""
				for _, s := range x.Steps {
					if s.Status == StepFailed {
						failed = s.Step
					}
				}
				if failed != c.at {
					t.Errorf("step %q failed, want %q: %s", failed, c.at, show(x))
				}
				if n := o.counts()["EXEC-1/ship"]; n > c.calls {
					t.Errorf("%d effects of the Call, want %d", n, c.calls)
				}
				if got := w.effects(); !slices.Equal(got, []string{"EXEC-1/reserve"}) {
					t.Errorf("effects %v", got)
				}
			})
		}
	})
}

// What a Call did is not done again only because the database could not take its result.
// Mutation that makes this fail: dropping active.pending.
func TestCallIsNotRepeatedForTheDatabase(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		var away atomic.Int32 // transactions that are refused
		fault := &db.Fault{At: func(p db.Point) db.Action {
			if p == db.AtBegin && away.Load() > 0 {
				away.Add(-1)
				return db.Fail
			}
			return db.Proceed
		}}
		o := newOutside()
		w := start(t, dbtest.OpenWith(t, db.Options{URL: dbtest.URL(t, dialect), Fault: fault}), t.TempDir(), nil,
			short(o, failing("book", func(tx *db.Tx, r *Run, _ *sampleState) error { return effect(tx, r) })).Flow())
		o.fail = func(string, int) error { away.Store(30); return nil }
		must[*Execution](t)(w.submit("EXEC-1"))
		w.until("EXEC-1", Succeeded)
		if n := o.counts()["EXEC-1/ship"]; n != 1 {
			t.Errorf("the Call was made %d times", n)
		}
	})
}

// The answer to the commit of a vote is lost, and before it is tried again another vote is
// cast: the first voter is told that it was taken, not that they voted before. Mutation that
// makes this fail: settled asking only what the row and its steps name.
func TestVoteInDoubt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		var lose, lost, other atomic.Bool
		fault := &db.Fault{At: func(p db.Point) db.Action {
			if p == db.AtCommitted && lose.CompareAndSwap(true, false) {
				lost.Store(true)
				return db.Fail
			}
			return db.Proceed
		}}
		d := must[*db.DB](t)(db.Open(context.Background(), db.Options{URL: dbtest.URL(t, dialect), Fault: fault, Log: slog.New(slog.DiscardHandler), Budget: dbtest.Budget}))
		defer d.Close()
		p := short(newOutside(), Wait(3, "Vote", "vote",
			func(*db.Tx, *Run, *sampleState) (WaitSpec, error) { return WaitSpec{Topic: "go"}, nil },
			func(tx *db.Tx, _ *Run, _ *sampleState, w Wake) (bool, error) {
				vote := string(w.Decision.Payload)
				if vote == `"first"` && lost.Load() && !other.Load() {
					return false, db.ErrAborted // until the other has voted
				}
				var n, all int
				err := tx.QueryRow(`SELECT COUNT(CASE WHEN trace = $1 THEN 1 END), COUNT(*) FROM effects WHERE trace LIKE '"%'`, vote).Scan(&n, &all)
				if err == nil && n > 0 {
					err = caos.Errorf(caos.Conflict, "voted already")
				}
				if err != nil {
					return false, err
				}
				tx.Exec(`INSERT INTO effects (trace) VALUES ($1)`, vote)
				return all == 2, nil
			}))
		w := start(t, d, t.TempDir(), nil, p.Flow())
		must[*Execution](t)(w.submit("EXEC-1"))
		w.until("EXEC-1", Waiting)
		lose.Store(true)
		first := make(chan error)
		go func() { _, err := w.say("EXEC-1", "first"); first <- err }()
		eventually(t, "the answer was lost", lost.Load)
		must[*Execution](t)(w.say("EXEC-1", "second"))
		other.Store(true)
		if err := <-first; err != nil {
			t.Errorf("a vote that was taken: %v", err)
		}
		must[*Execution](t)(w.say("EXEC-1", "third"))
		w.until("EXEC-1", Succeeded)
	})
}

// A decision that comes after the time for it is refused, also if the step was not woken
// yet. Mutation that makes this fail: Decide without waitState.over.
func TestDecisionAfterTheDeadline(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		clock := newClock()
		var asleep atomic.Bool
		var woken atomic.Int32
		p := short(newOutside(), Wait(3, "Vote", "vote",
			func(_ *db.Tx, r *Run, _ *sampleState) (WaitSpec, error) {
				return WaitSpec{Topic: "go", Until: r.Now.Add(24 * time.Hour), Deadline: r.Now.Add(48 * time.Hour)}, nil
			},
			func(_ *db.Tx, _ *Run, s *sampleState, w Wake) (bool, error) {
				if w.Kind == WakeDecision {
					return true, nil
				}
				woken.Add(1)
				s.Said += string(w.Kind) + " "
				return false, nil // outlives both
			}))
		w := start(t, d, t.TempDir(), func(o *Options) {
			o.Now = clock.now
			o.Halted = func(string) error {
				if asleep.Load() {
					return caos.Errorf(caos.Unavailable, "asleep")
				}
				return nil
			}
		}, p.Flow())
		must[*Execution](t)(w.submit("EXEC-1"))
		w.until("EXEC-1", Waiting)
		asleep.Store(true)
		clock.move(25 * time.Hour)
		if _, err := w.say("EXEC-1", "yes"); caos.KindOf(err) != caos.Conflict {
			t.Fatalf("a decision after the time for it: %v", err)
		}
		asleep.Store(false)
		eventually(t, "woken by time", func() bool { return woken.Load() == 1 })
		clock.move(25 * time.Hour)
		eventually(t, "woken by the deadline", func() bool { return woken.Load() == 2 })
		eventually(t, "decided once the deadline was outlived", func() bool {
			_, err := w.say("EXEC-1", "yes")
			return err == nil
		})
		if x := w.until("EXEC-1", Succeeded); !strings.Contains(string(x.Output), "time deadline ") {
			t.Errorf("%s", show(x))
		}
	})
}

// A retry takes back the findings of the step that failed and keeps those of the others;
// findings of a Call count. Mutations: clearing all findings in Retry; dropping run.found.
func TestFindingsOfARetry(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		var open atomic.Bool
		o := newOutside()
		p := short(o,
			Call(3, "Look", "look", func(_ context.Context, r *Run, _ *sampleState) error {
				r.Find(caos.Finding{Message: "seen"})
				return nil
			}),
			InTx(4, "Gate", "gate", func(_ *db.Tx, r *Run, _ *sampleState) error {
				if !open.Load() {
					r.Find(caos.Finding{Message: "half done"})
					return Reject(caos.Finding{Message: "closed"})
				}
				return nil
			}))
		w := start(t, d, t.TempDir(), nil, p.Flow())
		must[*Execution](t)(w.submit("EXEC-1"))
		told := func(x *Execution) (out []string) {
			for _, f := range x.Findings {
				out = append(out, f.Message)
			}
			return out
		}
		if got := told(w.until("EXEC-1", Failed)); !slices.Equal(got, []string{"seen", "closed"}) {
			t.Errorf("findings %v", got)
		}
		must[*Execution](t)(w.eng.Retry(context.Background(), "EXEC-1", by(), nil))
		if got := told(w.until("EXEC-1", Failed)); !slices.Equal(got, []string{"seen", "closed"}) {
			t.Errorf("after a retry: findings %v", got)
		}
		open.Store(true)
		must[*Execution](t)(w.eng.Retry(context.Background(), "EXEC-1", by(), nil))
		if got := told(w.until("EXEC-1", Succeeded)); !slices.Equal(got, []string{"seen"}) {
			t.Errorf("after success: findings %v", got)
		}
	})
}

// A step that starts a child can be tried again: it goes on with a child that succeeded,
// and starts another one after one that did not. Mutation: Start under Run.Key alone.
func TestChildIsTriedAgain(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		const childHook = "CAOS.PROD.TEST.CHILD"
		o := newOutside()
		var refuse, fails atomic.Bool
		refuse.Store(true)
		fails.Store(true)
		child := short(o, InTx(3, "End", "end", func(*db.Tx, *Run, *sampleState) error {
			if fails.Load() {
				return Reject(caos.Finding{Message: "not today"})
			}
			return nil
		}))
		child.Hook = childHook
		parent := short(o, Child(3, "Delegate", "delegate",
			func(*db.Tx, *Run, *sampleState) (ChildSpec, error) {
				return ChildSpec{Hook: childHook, Input: struct{}{}}, nil
			},
			func(_ *db.Tx, _ *Run, _ *sampleState, x *Execution) error {
				if x.Status != Succeeded || refuse.Load() {
					return caos.Errorf(caos.Conflict, "the child ended %s", x.Status)
				}
				return nil
			}))
		w := start(t, d, t.TempDir(), nil, parent.Flow(), child.Flow())
		must[*Execution](t)(w.submit("EXEC-1"))
		w.until("EXEC-1", Failed)
		fails.Store(false)
		must[*Execution](t)(w.eng.Retry(context.Background(), "EXEC-1", by(), nil))
		x := w.until("EXEC-1", Failed)
		if x.Error.Message != "the child ended SUCCEEDED" || len(x.Children) != 2 {
			t.Fatalf("after the first retry: %s", show(x))
		}
		refuse.Store(false)
		must[*Execution](t)(w.eng.Retry(context.Background(), "EXEC-1", by(), nil))
		if x = w.until("EXEC-1", Succeeded); len(x.Children) != 2 {
			t.Errorf("a child that had succeeded was done again: %s", show(x))
		}
	})
}

// The end of a child that nobody waits for leaves its parent's own moment alone, and the
// record of an intent names the effect by its key. Mutations: wakeParent that asks for no
// child; recordNow without the effect.
func TestChildThatNobodyWaitsFor(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		const childHook = "CAOS.PROD.TEST.CHILD"
		o := newOutside()
		o.hold = make(chan struct{})
		child := short(o)
		child.Hook = childHook
		var at atomic.Int64
		parent := short(o,
			InTx(3, "Start", "begin", func(tx *db.Tx, r *Run, _ *sampleState) error {
				_, err := r.Start(tx, ChildSpec{Hook: childHook, Input: struct{}{}})
				return err
			}),
			Wait(4, "Wait", "wait", func(_ *db.Tx, r *Run, _ *sampleState) (WaitSpec, error) {
				at.Store(r.Now.Add(time.Hour).UnixMicro())
				return WaitSpec{Topic: "go", Deadline: time.UnixMicro(at.Load())}, nil
			}, func(*db.Tx, *Run, *sampleState, Wake) (bool, error) { return true, nil }))
		parent.Steps = parent.Steps[2:]
		w := start(t, d, t.TempDir(), nil, parent.Flow(), child.Flow())
		x := must[*Execution](t)(w.submit("EXEC-1"))
		kid := must[*Execution](t)(w.eng.Get(context.Background(), x.Children[0]))
		eventually(t, "announced", func() bool { return len(o.counts()) == 1 })
		kid = must[*Execution](t)(w.eng.Get(context.Background(), kid.ID))
		rec := must[*auditlog.Stored](t)(w.log.Get(context.Background(), kid.Steps[1].AuditRecordID))
		if !strings.Contains(string(rec.Record), `"effect":"`+kid.ID+`/ship"`) {
			t.Errorf("the intent's record does not name the effect: %s", rec.Record)
		}
		close(o.hold)
		w.until(kid.ID, Succeeded)
		if x = must[*Execution](t)(w.eng.Get(context.Background(), "EXEC-1")); x.WakeAt.UnixMicro() != at.Load() {
			t.Errorf("the parent is looked at %v, not at its deadline %v", x.WakeAt, time.UnixMicro(at.Load()))
		}
	})
}

// deaf is a log that takes no records, as one in recovery mode does.
type deaf struct {
	Recorder
	on atomic.Bool
}

func (l *deaf) Append(tx *db.Tx, r auditlog.Record) (auditlog.Receipt, error) {
	if l.on.Load() {
		return auditlog.Receipt{}, caos.Errorf(caos.Unavailable, "the audit log is in recovery mode")
	}
	return l.Recorder.Append(tx, r)
}

// A node starts although its log takes no records, does nothing, and goes on afterwards.
// Mutations: recover that fails when an execution cannot be parked; once without halted.
func TestLogThatTakesNoRecords(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		url, keys, o := dbtest.URL(t, dialect), t.TempDir(), newOutside()
		var log deaf
		life := func(flows ...*Flow) *world {
			d := must[*db.DB](t)(db.Open(context.Background(), db.Options{URL: url, Budget: dbtest.Budget}))
			t.Cleanup(func() { d.Close() })
			return start(t, d, keys, func(op *Options) {
				log.Recorder = op.Log
				op.Log = &log
				op.Halted = func(string) error {
					if log.on.Load() {
						return caos.Errorf(caos.Unavailable, "the audit log is in recovery mode")
					}
					return nil
				}
			}, flows...)
		}
		parked := sample(o)
		parked.Hook, parked.Revision = "CAOS.PROD.TEST.PARKED", 7
		o.hold = make(chan struct{})
		w := life(short(o).Flow(), parked.Flow())
		must[*Execution](t)(w.submit("EXEC-1"))
		must[*Execution](t)(w.eng.Submit(context.Background(), Submission{ID: "EXEC-2", Hook: parked.Hook, Input: json.RawMessage(`{}`), By: by()}))
		w.stop()
		log.on.Store(true)
		before := o.counts()
		close(o.hold)
		w = life(short(o).Flow())
		tick, stop := context.WithTimeout(context.Background(), 300*time.Millisecond)
		<-tick.Done()
		stop()
		if after := o.counts(); after["EXEC-1/ship"] != before["EXEC-1/ship"] {
			t.Error("an effect that the log cannot tell of")
		}
		log.on.Store(false)
		w.until("EXEC-1", Succeeded)
		w.eng.doubt()
		w.until("EXEC-2", Blocked)
		x := must[*Execution](t)(w.eng.Cancel(context.Background(), "EXEC-2", "not needed", by(), nil))
		if x.Status != Cancelled || !strings.Contains(x.Error.Hint, "nothing of it was undone") {
			t.Errorf("a parked execution is not cancelled: %s", show(x))
		}
	})
}

// A long loop takes several commits, its records stay bounded, and an item that is named
// twice is done once. Mutations: turn.long always false (on a loop of 1,200: the log
// refuses so many actions); forget that drops nothing.
func TestLongLoops(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		p := short(newOutside(),
			Each("twice", func(*sampleState) []string { return []string{"a", "b", "a"} },
				InTx(3, "Note", "note", func(tx *db.Tx, r *Run, _ *sampleState) error { return effect(tx, r) })),
			Repeat("rounds", func(s *sampleState) bool { return s.Rounds >= 1200 },
				InTx(4, "Count", "count", func(_ *db.Tx, _ *Run, s *sampleState) error { s.Rounds++; return nil })))
		w := start(t, d, t.TempDir(), nil, p.Flow())
		must[*Execution](t)(w.submit("EXEC-1"))
		x := w.until("EXEC-1", Succeeded)
		if last := x.Steps[len(x.Steps)-1]; len(x.Steps) > maxSteps || last.Round != 1200 || x.Steps[0].Step != "reserve" {
			t.Errorf("%d step records, the last %+v", len(x.Steps), last)
		}
		if got := w.effects(); !slices.Equal(got, []string{"EXEC-1/note/a", "EXEC-1/note/b", "EXEC-1/reserve"}) {
			t.Errorf("effects %v", got)
		}
		defer func() {
			if recover() == nil {
				t.Error("a Repeat in a Repeat has keys that are given twice")
			}
		}()
		short(newOutside(), Repeat("outer", func(*sampleState) bool { return true }, Repeat("inner", func(*sampleState) bool { return true },
			failing("x", nil)))).Flow()
	})
}

// A Call that used up the hook's whole time failed in its only attempt.
func TestTimeUsedUp(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		o := newOutside()
		o.hold = make(chan struct{})
		p := short(o)
		p.Timeout = 50 * time.Millisecond
		w := start(t, d, t.TempDir(), nil, p.Flow())
		must[*Execution](t)(w.submit("EXEC-1"))
		x := w.until("EXEC-1", Failed)
		if s := x.Steps[1]; s.Attempt != 1 || s.Status != StepFailed {
			t.Errorf("%+v", s)
		}
	})
}
