package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
)

func TestTwoNodesShareTheWork(t *testing.T) {
	t.Parallel()
	c, o := newCluster(t), newOutside()
	a, b := c.join(steady, quick(o).Flow()), c.join(steady, quick(o).Flow())
	ids := submitAll(t, 200, 20, a, b)
	eventually(t, "all executions end", func() bool { return a.open() == 0 })
	a.exactly(ids, false)
	for key, n := range o.counts() {
		if n != 1 {
			t.Errorf("%s was called %d times, and nothing went wrong", key, n)
		}
	}
	eventually(t, "no job is left", func() bool { return a.count(`SELECT count(*) FROM river_job WHERE finalized_at IS NULL`) == 0 })
}

// One of two nodes is cut off at a random moment, with the life signs of production, and
// the other ends what it had begun. Mutations that make this fail: no rescue; a rescue that
// does not look at the last heartbeat; effects outside the commit that has the version.
func TestNodeKilled(t *testing.T) {
	c, o := newCluster(t), newOutside()
	times := func(opt *Options) { opt.River.beat, opt.River.dead = 0, 0 }
	a, b := c.join(times, quick(o).Flow()), c.join(times, quick(o).Flow())
	var killed time.Time
	moment := make(chan struct{})
	at := 20 + rand.IntN(120)
	go func() {
		defer close(moment)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		for n := 0; n < at && ctx.Err() == nil; {
			_ = b.db.QueryRow(ctx, `SELECT count(*) FROM executions`).Scan(&n)
		}
		a.kill()
		killed = time.Now()
	}()
	ids := submitAll(t, 200, 20, a, b)
	<-moment
	left := b.open()
	eventually(t, "all executions end", func() bool { return b.open() == 0 })
	took := time.Since(killed)
	t.Logf("%d executions were open when the node was killed; all ended %v later", left, took.Round(10*time.Millisecond))
	if took > 12*time.Second {
		t.Errorf("took %v", took)
	}
	b.exactly(ids, false)
	a.stop()
	b.exactly(ids, false) // what the dead node was about to do did not happen after all
}

// A fifth of all transactions of two nodes break before, at or after their COMMIT, and
// every execution ends with nothing done twice, without waiting for a sweep.
func TestBrokenTransactions(t *testing.T) {
	t.Parallel()
	c, o := newCluster(t), newOutside()
	o.fail = func(key string, n int) error {
		if strings.HasSuffix(key, "/push/a") && n == 1 {
			return errOutside // so that a retry is planned, too
		}
		return nil
	}
	mod := func(opt *Options) { opt.Slots = 4 }
	a, b := c.join(mod, quick(o).Flow()), c.join(mod, quick(o).Flow())
	for _, n := range []*member{a, b} {
		n.luck.Store(200)
	}
	ids := submitAll(t, 40, 10, a, b)
	eventually(t, "all executions end", func() bool { return a.open() == 0 })
	for _, n := range []*member{a, b} {
		n.luck.Store(0)
	}
	a.exactly(ids, false)
}

// A submission is committed, nobody learns it, and the caller does not come back. The node
// finds out that it said it would go on with it.
func TestUnansweredSubmission(t *testing.T) {
	t.Parallel()
	c, o := newCluster(t), newOutside()
	a := c.join(steady, quick(o).Flow())
	a.lose.Store(true)
	x, err := a.submit("EXEC-1")
	if caos.KindOf(err) != caos.Unavailable {
		t.Fatalf("%s, %v", show(x), err)
	}
	a.mute.Store(false)
	a.until("EXEC-1", Succeeded)
	a.exactly([]string{"EXEC-1"}, false)
}

// A node sleeps through a takeover in the middle of a Call. What it brings back is refused.
func TestSleepingNode(t *testing.T) {
	t.Parallel()
	c, oa, ob := newCluster(t), newOutside(), newOutside()
	wake := make(chan struct{})
	deaf := func(p Plan[sampleState], o *outside) *Flow { // a Call that hears nothing while its process is stopped
		p.Steps[1] = Call(2, "Ship", "ship", func(_ context.Context, r *Run, s *sampleState) error {
			err := o.do(context.Background(), r)
			s.Said = "from the sleeper"
			return err
		})
		return p.Flow()
	}
	oa.hold = wake
	a, b := c.join(nil, deaf(quick(oa), oa)), c.join(nil, quick(ob).Flow())
	must[*Execution](t)(a.submit("EXEC-1"))
	eventually(t, "the first node is in its Call", func() bool { return len(oa.keys()) == 1 })
	a.mute.Store(true) // as SIGSTOP: no heartbeat, no commit
	b.until("EXEC-1", Succeeded)
	a.mute.Store(false)
	close(wake)
	eventually(t, "the sleeper gives up", func() bool { return len(a.eng.underway()) == 0 })
	x := must[*Execution](t)(b.eng.Get(context.Background(), "EXEC-1"))
	if strings.Contains(string(x.Output), "sleeper") || x.Status != Succeeded {
		t.Errorf("the sleeper wrote: %s", x.Output)
	}
	b.exactly([]string{"EXEC-1"}, false)
	eventually(t, "it is a living node again", func() bool {
		return a.count(`SELECT count(*) FROM nodes WHERE node=$1 AND seen > `+serverNow+` - $2`, a.node.Name, silence.Microseconds()) == 1
	})
	must[*Execution](t)(a.submit("EXEC-2"))
}

// A node wakes up while the one that took over is still in the same Call. Its result is as
// good as any and is kept, but only the node that has the execution now goes on with it.
func TestOneGoesOn(t *testing.T) {
	t.Parallel()
	c, oa, ob := newCluster(t), newOutside(), newOutside()
	oa.hold, ob.hold = make(chan struct{}), make(chan struct{})
	deaf := quick(oa)
	deaf.Steps[1] = Call(2, "Ship", "ship", func(_ context.Context, r *Run, s *sampleState) error {
		err := oa.do(context.Background(), r)
		s.Said = "from the sleeper"
		return err
	})
	a := c.join(nil, deaf.Flow())
	must[*Execution](t)(a.submit("EXEC-1"))
	eventually(t, "the first node is in its Call", func() bool { return len(oa.keys()) == 1 })
	b := c.join(nil, quick(ob).Flow())
	a.mute.Store(true)
	// The first node still reaches the queue, and may win the job a few times and give it back.
	eventually(t, "the second node is in the same Call", func() bool { return len(ob.keys()) == 1 })
	a.mute.Store(false)
	q := a.eng.queue.(*riverQueue)
	eventually(t, "the first node is alive again", q.fresh)
	close(oa.hold)
	eventually(t, "it lets go", func() bool { return len(a.eng.underway()) == 0 })
	close(ob.hold)
	x := b.until("EXEC-1", Succeeded)
	if !strings.Contains(string(x.Output), "sleeper") {
		t.Errorf("its result was thrown away: %s", x.Output)
	}
	if keys := oa.keys(); len(keys) != 1 {
		t.Errorf("it went on with %v", keys)
	}
	b.exactly([]string{"EXEC-1"}, false)
}

// A node that was silent wakes up and tells the queue that it is done with what another has at
// work by now: this must not end or put off the other's job, or a third would begin the same.
func TestLateReport(t *testing.T) {
	t.Parallel()
	c, o := newCluster(t), newOutside()
	o.hold = make(chan struct{})
	a := c.join(steady, quick(o).Flow())
	must[*Execution](t)(a.submit("EXEC-1"))
	eventually(t, "the Call begins", func() bool { return len(o.keys()) == 1 })
	var number int64
	if err := a.db.QueryRow(context.Background(), `SELECT id FROM river_job WHERE finalized_at IS NULL`).Scan(&number); err != nil {
		t.Fatal(err)
	}
	change := func(sql string, args ...any) {
		t.Helper()
		if err := a.db.Write(context.Background(), func(tx *db.Tx) error { tx.Exec(sql, args...); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	for _, took := range []string{"rescued", "claimed"} {
		switch took {
		case "rescued":
			change(`UPDATE river_job SET attempted_by=ARRAY['vanished']`)
		case "claimed": // as by a timer, while what came before is still to be reported
			if ours, err := a.eng.queue.(*riverQueue).Hold(context.Background(), "EXEC-1", true); !ours || err != nil {
				t.Fatal(ours, err)
			}
		}
		has := func() bool {
			return a.count(`SELECT count(*) FROM river_job WHERE finalized_at IS NULL AND state='running' AND id<>$1 AND `+lastBy+`=$2`, number, a.node.Name) == 1
		}
		eventually(t, "the job is "+took, has)
		change(`UPDATE river_job SET state='scheduled', scheduled_at=now() WHERE id=$1 AND state='running'`, number)
		change(`UPDATE river_job SET state='completed', finalized_at=now() WHERE id=$1 AND state='running'`, number)
		if !has() {
			t.Errorf("%s: a report on the old job reached the new one", took)
		}
		if err := a.db.QueryRow(context.Background(), `SELECT id FROM river_job WHERE finalized_at IS NULL`).Scan(&number); err != nil {
			t.Fatal(err)
		}
	}
	close(o.hold)
	a.until("EXEC-1", Succeeded)
	for key, n := range o.counts() {
		if n != 1 {
			t.Errorf("%s was called %d times", key, n)
		}
	}
	eventually(t, "no job is left", func() bool { return a.count(`SELECT count(*) FROM river_job WHERE finalized_at IS NULL`) == 0 })
}

// Wake-ups of an execution that is being driven lead to one more look, not to a second
// worker.
func TestNeverTwiceAtOnce(t *testing.T) {
	t.Parallel()
	c, o := newCluster(t), newOutside()
	o.hold = make(chan struct{})
	a := c.join(steady, quick(o).Flow())
	must[*Execution](t)(a.submit("EXEC-1"))
	eventually(t, "the Call begins", func() bool { return len(o.keys()) == 1 })
	looks := func() bool {
		a.eng.mu.Lock()
		defer a.eng.mu.Unlock()
		return a.eng.active["EXEC-1"].again
	}
	for _, wake := range []func(tx *db.Tx){
		func(tx *db.Tx) { a.eng.queue.Wake(tx, "EXEC-1", time.Now(), false) },
		func(tx *db.Tx) { tx.Exec(dropJob, "EXEC-1"); tx.Exec(readyJob, "EXEC-1") },
		func(tx *db.Tx) { a.eng.queue.Found("EXEC-1", time.Time{}) },
	} {
		a.eng.mu.Lock()
		a.eng.active["EXEC-1"].again = false
		a.eng.mu.Unlock()
		if err := a.db.Write(context.Background(), func(tx *db.Tx) error { wake(tx); return nil }); err != nil {
			t.Fatal(err)
		}
		eventually(t, "another look is noted", looks)
	}
	close(o.hold)
	a.until("EXEC-1", Succeeded)
	for key, n := range o.counts() {
		if n != 1 {
			t.Errorf("%s was called %d times", key, n)
		}
	}
	eventually(t, "no job is left", func() bool { return a.count(`SELECT count(*) FROM river_job WHERE finalized_at IS NULL`) == 0 })
}

// A job that River hands out too early is put back to its time, also when that fails at
// first.
func TestEarlyJob(t *testing.T) {
	t.Parallel()
	c, o := newCluster(t), newOutside()
	o.fail = func(string, int) error { return errOutside }
	p := quick(o)
	p.Retry = RetryPolicy{MaxAttempts: 3, InitialIntervalMS: 600_000, MaxIntervalMS: 600_000, Factor: 1}
	a := c.join(nil, p.Flow())
	must[*Execution](t)(a.submit("EXEC-1"))
	planned := func() bool {
		return a.count(`SELECT count(*) FROM river_job WHERE state='scheduled' AND finalized_at IS NULL AND scheduled_at > now() + interval '9 minutes'`) == 1
	}
	eventually(t, "a retry is planned", planned)
	other := must[*db.DB](t)(db.Open(context.Background(), db.Options{URL: c.url, Budget: dbtest.Budget}))
	defer other.Close()
	for _, muted := range []bool{false, true} {
		a.mute.Store(muted)
		if err := other.Write(context.Background(), func(tx *db.Tx) error {
			tx.Exec(`UPDATE river_job SET state='available', scheduled_at=now() WHERE state='scheduled'`)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if muted {
			eventually(t, "it cannot be put back", func() bool {
				return a.count(`SELECT count(*) FROM river_job WHERE finalized_at IS NULL AND metadata ? 'snoozes'`) == 1
			})
			a.mute.Store(false)
		}
		eventually(t, "the retry is planned again", planned)
	}
	if n := o.counts()["EXEC-1/ship"]; n != 1 {
		t.Errorf("%d attempts", n)
	}
}

func TestLostWakeUpIsFound(t *testing.T) {
	t.Parallel()
	c, o := newCluster(t), newOutside()
	o.hold = make(chan struct{})
	a := c.join(nil, quick(o).Flow())
	must[*Execution](t)(a.submit("EXEC-1"))
	eventually(t, "the Call begins", func() bool { return len(o.keys()) == 1 })
	a.kill()
	b := c.join(func(opt *Options) { opt.Slots = 1 }, quick(o).Flow())
	if err := b.db.Write(context.Background(), func(tx *db.Tx) error {
		tx.Exec(`DELETE FROM river_job`)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	close(o.hold)
	b.eng.doubt()
	b.until("EXEC-1", Succeeded)
	b.exactly([]string{"EXEC-1"}, false)
}

// A retry fires on time although River's scheduler looks every few seconds only, and fires
// all the same when the node that had the timer is gone.
func TestRetriesFire(t *testing.T) {
	c, o := newCluster(t), newOutside()
	o.fail = func(_ string, attempt int) error {
		if attempt == 1 {
			return errOutside
		}
		return nil
	}
	p := quick(o)
	p.Retry = RetryPolicy{MaxAttempts: 3, InitialIntervalMS: 300, MaxIntervalMS: 300, Factor: 1}
	a := c.join(nil, p.Flow())
	began := time.Now()
	must[*Execution](t)(a.submit("EXEC-1"))
	a.until("EXEC-1", Succeeded)
	if took := time.Since(began); took < 5*300*time.Millisecond || took > 4*time.Second {
		t.Errorf("five retries after 300 ms each took %v", took)
	}
	p.Retry.InitialIntervalMS, p.Retry.MaxIntervalMS = 1500, 1500
	b := c.join(nil, p.Flow())
	must[*Execution](t)(b.submit("EXEC-2"))
	eventually(t, "a retry is planned", func() bool { return a.count(`SELECT count(*) FROM river_job WHERE state='scheduled'`) == 1 })
	b.kill()
	o.mu.Lock()
	o.fail = nil
	o.mu.Unlock()
	a.until("EXEC-2", Succeeded)
}

// Two nodes that find an empty database at the same moment both come up, apart.
func TestNodesStartTogether(t *testing.T) {
	t.Parallel()
	c, o := newCluster(t), newOutside()
	// The log's first leaf is not this test's concern.
	c.join(nil, quick(o).Flow()).stop()
	d := must[*db.DB](t)(db.Open(context.Background(), db.Options{URL: c.url, Budget: dbtest.Budget}))
	if err := d.Write(context.Background(), func(tx *db.Tx) error {
		tx.Exec(`DROP TABLE river_job, river_leader, river_queue, river_migration, river_notification CASCADE`)
		tx.Exec(`DROP TYPE river_job_state CASCADE`)
		tx.Exec(`DROP FUNCTION IF EXISTS river_job_state_in_bitmask`)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	nodes := make([]*member, 3)
	var wg sync.WaitGroup
	for i := range nodes {
		wg.Go(func() {
			var err error
			if nodes[i], err = c.tryJoin(nil, quick(o).Flow()); err != nil {
				t.Errorf("node %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	seen := map[int]bool{}
	for _, n := range nodes {
		if seen[n.node.Slot] || n.node.Slots != nodeSlots {
			t.Errorf("slot %d of %d", n.node.Slot, n.node.Slots)
		}
		seen[n.node.Slot] = true
	}
	ids := submitAll(t, 12, 3, nodes...)
	eventually(t, "all end", func() bool { return nodes[0].open() == 0 })
	nodes[0].exactly(ids, false)
}

// A cancellation at one node stops the Call that another one is doing.
func TestCancelFromAnotherNode(t *testing.T) {
	t.Parallel()
	c, o := newCluster(t), newOutside()
	stopped := make(chan struct{})
	o.hold = make(chan struct{})
	p := quick(o)
	p.Steps[1] = Call(2, "Ship", "ship", func(ctx context.Context, r *Run, _ *sampleState) error {
		err := o.do(ctx, r)
		close(stopped)
		return err
	})
	a, b := c.join(steady, p.Flow()), c.join(steady, p.Flow())
	must[*Execution](t)(a.submit("EXEC-1"))
	eventually(t, "the Call begins", func() bool { return len(o.keys()) == 1 })
	must[*Execution](t)(b.eng.Cancel(context.Background(), "EXEC-1", "no longer wanted", by(), nil))
	select {
	case <-stopped:
	case <-time.After(patience):
		t.Fatal("the Call goes on")
	}
	eventually(t, "the worker lets go", func() bool { return len(a.eng.underway()) == 0 })
	if x := must[*Execution](t)(a.eng.Get(context.Background(), "EXEC-1")); x.Status != Cancelled {
		t.Errorf("%s", show(x))
	}
	if n := a.count(`SELECT count(*) FROM river_job WHERE finalized_at IS NULL`); n != 0 {
		t.Errorf("%d jobs are left", n)
	}
}

// An execution that an older binary parked goes on when a newer one joins.
func TestBlockedIsReexamined(t *testing.T) {
	t.Parallel()
	c, o := newCluster(t), newOutside()
	p := quick(o)
	p.Revision = 2
	o.hold = make(chan struct{})
	a := c.join(nil, p.Flow())
	must[*Execution](t)(a.submit("EXEC-1"))
	eventually(t, "the Call begins", func() bool { return len(o.keys()) == 1 })
	a.stop()
	b := c.join(nil, quick(o).Flow())
	b.until("EXEC-1", Blocked)
	close(o.hold)
	p.Revision, p.Older = 3, []int{2}
	n := c.join(nil, p.Flow())
	if x := n.until("EXEC-1", Succeeded); x.Revision != 3 {
		t.Errorf("%s", show(x))
	}
	n.exactly([]string{"EXEC-1"}, false)
}

// A parent that is parked while its child ends is woken when it is freed.
func TestParkedParent(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	plan := func(revision int, older ...int) *Flow {
		return Plan[sampleState]{
			Hook: sampleHook, Version: "1.0.0", Revision: revision, Schema: 1, Older: older,
			Begin: func(*Run, json.RawMessage) (*sampleState, error) { return &sampleState{}, nil },
			Steps: []Step[sampleState]{Child(1, "Ask another hook", "child",
				func(*db.Tx, *Run, *sampleState) (ChildSpec, error) {
					return ChildSpec{Hook: "CAOS.PROD.TEST.CHILD", Input: struct{}{}}, nil
				},
				func(_ *db.Tx, _ *Run, s *sampleState, x *Execution) error { s.Said = string(x.Status); return nil })},
			Output: func(s *sampleState) any { return s },
		}.Flow()
	}
	o := newOutside()
	o.hold = make(chan struct{})
	p := quick(o)
	p.Hook = "CAOS.PROD.TEST.CHILD"
	a := c.join(nil, plan(2), p.Flow())
	x := must[*Execution](t)(a.submit("EXEC-1"))
	x = a.until(x.ID, Waiting)
	eventually(t, "the child is in its Call", func() bool { return len(o.keys()) == 1 })
	if err := a.eng.park(context.Background(), "EXEC-1", true); err != nil {
		t.Fatal(err)
	}
	close(o.hold)
	a.until(x.Children[0], Succeeded)
	if x := must[*Execution](t)(a.eng.Get(context.Background(), "EXEC-1")); x.Status != Blocked {
		t.Fatalf("%s", show(x))
	}
	b := c.join(nil, plan(3, 2), p.Flow())
	if x := b.until("EXEC-1", Succeeded); !strings.Contains(string(x.Output), string(Succeeded)) {
		t.Errorf("%s", show(x))
	}
}

// A node that starts leaves alone what living nodes are doing.
func TestStartStealsNothing(t *testing.T) {
	t.Parallel()
	c, o := newCluster(t), newOutside()
	o.hold = make(chan struct{})
	a := c.join(steady, quick(o).Flow())
	for i := range 5 {
		must[*Execution](t)(a.submit(fmt.Sprintf("EXEC-%04d", i)))
	}
	eventually(t, "all are in their Call", func() bool { return len(o.keys()) == 5 })
	b := c.join(steady, quick(o).Flow())
	if err := b.eng.sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM river_job WHERE state='running' AND `+lastBy+`=$1`, a.node.Name); n != 5 {
		t.Errorf("the first node still has %d of 5 jobs", n)
	}
	close(o.hold)
	eventually(t, "all end", func() bool { return a.open() == 0 })
	for key, n := range o.counts() {
		if n != 1 {
			t.Errorf("%s was called %d times", key, n)
		}
	}
}

// A node that stops gives what it was doing to the others at once.
func TestStopHandsOver(t *testing.T) {
	t.Parallel()
	c, o := newCluster(t), newOutside()
	o.hold = make(chan struct{})
	a, b := c.join(steady, quick(o).Flow()), c.join(steady, quick(o).Flow())
	for i := range 5 {
		must[*Execution](t)(a.submit(fmt.Sprintf("EXEC-%04d", i)))
	}
	eventually(t, "all are in their Call", func() bool { return len(o.keys()) == 5 })
	a.stop()
	close(o.hold)
	eventually(t, "all end", func() bool { return b.open() == 0 })
}

// The statements of river.go are written for one version of River's tables. When this test
// fails, read the new migrations, check every statement against them and raise the number.
func TestRiverSchema(t *testing.T) {
	m := must[*rivermigrate.Migrator[pgx.Tx]](t)(rivermigrate.New(riverpgxv5.New(nil), nil))
	all := m.AllVersions()
	if last := all[len(all)-1].Version; last != riverSchema {
		t.Errorf("River's tables are at version %d, the statements were written for %d", last, riverSchema)
	}
}
