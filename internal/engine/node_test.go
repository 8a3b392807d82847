package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// clock is a wall clock that a test moves.
type clock struct{ us atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.us.Store(time.Date(2026, 11, 22, 10, 15, 30, 0, time.UTC).UnixMicro())
	return c
}

func (c *clock) now() time.Time        { return time.UnixMicro(c.us.Load()).UTC() }
func (c *clock) move(by time.Duration) { c.us.Add(by.Microseconds()) }

func TestClaimNode(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	if n := must[Node](t)(ClaimNode(ctx, dbtest.Open(t, db.SQLite), "x")); n.Slot != 0 || n.Slots != 1 {
		t.Errorf("on SQLite: %+v", n)
	}
	d := dbtest.Open(t, db.PostgreSQL)
	var mu sync.Mutex
	var all []Node
	var wg sync.WaitGroup
	for range nodeSlots {
		wg.Go(func() {
			n, err := ClaimNode(ctx, d, "a host's näme; DROP TABLE nodes")
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, n)
		})
	}
	wg.Wait()
	slices.SortFunc(all, func(a, b Node) int { return a.Slot - b.Slot })
	names := map[string]bool{}
	for i, n := range all {
		names[n.Name] = true
		if n.Slot != i {
			t.Errorf("slot %d, want %d", n.Slot, i)
		}
	}
	if len(names) != nodeSlots {
		t.Errorf("%d names for %d nodes", len(names), nodeSlots)
	}
	if _, err := ClaimNode(ctx, d, ""); caos.KindOf(err) != caos.Full {
		t.Errorf("one too many: %v", err)
	}
	// Silence frees a slot after a minute, not before, and by the server's clock alone.
	old := func(who string, s int) {
		if err := d.Write(ctx, func(tx *db.Tx) error {
			tx.Exec(`UPDATE nodes SET seen=`+serverNow+` - $1 WHERE node=$2`, s*1_000_000, who)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	old(all[7].Name, 50)
	if _, err := ClaimNode(ctx, d, ""); caos.KindOf(err) != caos.Full {
		t.Errorf("slot given away after 50 s: %v", err)
	}
	old(all[7].Name, 61)
	if n := must[Node](t)(ClaimNode(ctx, d, "")); n.Slot != 7 {
		t.Errorf("slot %d, want 7", n.Slot)
	}
	if err := beat(ctx, d, all[7].Name); err == nil || !strings.Contains(err.Error(), errLost.Error()) {
		t.Errorf("the node that lost its slot may go on: %v", err)
	}
}

// The life signs of a node whose own clock is wrong are right: they are the server's.
func TestHeartbeatsByTheServersClock(t *testing.T) {
	t.Parallel()
	c, o := newCluster(t), newOutside()
	wrong := newClock()
	wrong.move(-10 * 365 * 24 * time.Hour)
	p := quick(o)
	p.Retry = RetryPolicy{MaxAttempts: 3, InitialIntervalMS: 3_000, MaxIntervalMS: 3_000, Factor: 1} // long enough to be seen
	a := c.join(func(opt *Options) { opt.Now = wrong.now }, p.Flow())
	age := func() int {
		return a.count(`SELECT `+serverNow+` - seen FROM nodes WHERE node=$1`, a.node.Name)
	}
	seen := func() int { return a.count(`SELECT seen FROM nodes WHERE node=$1`, a.node.Name) }
	first := seen()
	eventually(t, "heartbeats", func() bool { return seen() > first })
	if n := age(); n < 0 || n > int(patience.Microseconds()) {
		t.Errorf("last heartbeat %d µs ago", n)
	}
	// Its delays are right, too: what it plans for later is planned by the server's clock.
	o.fail = func(_ string, n int) error {
		if n == 1 {
			return errOutside
		}
		return nil
	}
	must[*Execution](t)(a.submit("EXEC-1"))
	eventually(t, "a retry is planned", func() bool {
		return a.count(`SELECT count(*) FROM river_job WHERE state='scheduled' AND abs(extract(epoch from scheduled_at - now())) < 60`) == 1
	})
}

func TestRiverOptionsRefused(t *testing.T) {
	t.Parallel()
	f := plain(func() error { return nil })
	d := dbtest.Open(t, db.SQLite)
	if _, err := New(Options{DB: d, Node: "n", Flows: []*Flow{f}, River: &RiverOptions{}}); caos.AsError(err).Field != "database" {
		t.Errorf("SQLite: %v", err)
	}
	p := dbtest.Open(t, db.PostgreSQL)
	if _, err := New(Options{DB: p, Flows: []*Flow{f}, River: &RiverOptions{}}); err == nil {
		t.Error("no name")
	}
	e := must[*Engine](t)(New(Options{DB: p, Node: "n", Flows: []*Flow{f}, River: &RiverOptions{URL: "postgres://u:secret@%zz"}}))
	if err := e.Start(context.Background()); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("bad address: %v", err)
	}
}

// A node whose place was given away stops working and says so.
func TestLostPlace(t *testing.T) {
	t.Parallel()
	c, o := newCluster(t), newOutside()
	lost := make(chan struct{})
	a := c.join(func(opt *Options) { opt.River.Lost = func() { close(lost) } }, quick(o).Flow())
	if err := a.db.Write(context.Background(), func(tx *db.Tx) error {
		tx.Exec(`DELETE FROM nodes WHERE node=$1`, a.node.Name)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-lost:
	case <-time.After(patience):
		t.Fatal("it was not told")
	}
	must[*Execution](t)(a.submit("EXEC-1"))
	b := c.join(nil, quick(o).Flow())
	b.until("EXEC-1", Succeeded)
	if n := len(a.eng.underway()); n != 0 {
		t.Errorf("it still drives %d executions", n)
	}
}

func TestDue(t *testing.T) {
	commit := newClock().now()
	cases := []struct {
		name   string
		status Status
		wake   time.Duration // after the commit that wrote it
		now    time.Duration // after that commit
		want   bool
	}{
		{"at once", Running, 0, 0, true},
		{"at once, clock back", Running, 0, -30 * time.Second, true},
		{"at once, woken by a child, clock back", Waiting, 0, -24 * time.Hour, true},
		{"retry, not yet", Running, time.Minute, 59 * time.Second, false},
		{"retry", Running, time.Minute, time.Minute, true},
		{"retry, clock a little back", Running, time.Minute, -time.Second, false},
		{"retry, clock far back", Running, time.Minute, -time.Hour, true},
		{"deadline, clock far back", Waiting, time.Minute, -time.Hour, false},
		{"deadline, clock forth", Waiting, time.Minute, time.Hour, true},
	}
	for _, c := range cases {
		r := &row{Execution: Execution{Status: c.status, WakeAt: commit.Add(c.wake)}, updated: commit}
		if got := r.due(commit.Add(c.now)); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// Retries, waits and what is simply next survive a wall clock that is set forth and back.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		o, at := newOutside(), newClock()
		o.fail = func(key string, n int) error {
			if strings.HasSuffix(key, "/ship") && n == 1 {
				return errOutside
			}
			return nil
		}
		p := quick(o)
		p.Retry = RetryPolicy{MaxAttempts: 3, InitialIntervalMS: 600_000, MaxIntervalMS: 600_000, Factor: 1}
		w := start(t, d, t.TempDir()+"/keys", func(opt *Options) { opt.Now = at.now }, p.Flow())
		planned := func(id string) {
			t.Helper()
			eventually(t, "a retry is planned", func() bool {
				x := must[*Execution](t)(w.eng.Get(context.Background(), id))
				return x.WakeAt.After(at.now())
			})
		}
		must[*Execution](t)(w.submit("EXEC-forth"))
		planned("EXEC-forth")
		at.move(11 * time.Minute)
		w.until("EXEC-forth", Succeeded)

		must[*Execution](t)(w.submit("EXEC-back"))
		planned("EXEC-back")
		at.move(-24 * time.Hour)
		w.eng.doubt() // or within a minute
		w.until("EXEC-back", Succeeded)

		o.mu.Lock()
		o.fail, o.hold = nil, make(chan struct{})
		o.mu.Unlock()
		must[*Execution](t)(w.submit("EXEC-during"))
		eventually(t, "it is in its Call", func() bool { return slices.Contains(o.keys(), "EXEC-during/ship") })
		at.move(-24 * time.Hour)
		o.mu.Lock()
		close(o.hold)
		o.hold = nil
		o.mu.Unlock()
		w.until("EXEC-during", Succeeded)
	})
}

// plain is a hook of one InTx step.
func plain(begin func() error) *Flow {
	return Plan[sampleState]{
		Hook: "CAOS.PROD.TEST.PLAIN", Version: "1.0.0", Revision: 1, Schema: 1,
		Begin:  func(*Run, json.RawMessage) (*sampleState, error) { return &sampleState{}, begin() },
		Steps:  []Step[sampleState]{InTx(1, "Do", "do", func(tx *db.Tx, r *Run, _ *sampleState) error { return effect(tx, r) })},
		Output: func(s *sampleState) any { return s },
	}.Flow()
}

func put(t *testing.T, w *world, s Schedule) {
	t.Helper()
	s.Hook, s.Input, s.By, s.Enabled = "CAOS.PROD.TEST.PLAIN", json.RawMessage(`{}`), by(), true
	if err := w.db.Update(context.Background(), func(tx *db.Tx) error { return w.eng.PutSchedule(tx, s) }); err != nil {
		t.Fatal(err)
	}
}

func schedule(t *testing.T, w *world) Schedule {
	t.Helper()
	return must[[]Schedule](t)(w.eng.Schedules(context.Background()))[0]
}

// Any number of nodes run each nominal time once, whatever their clocks do. Mutations that
// make this fail: a key that is not the nominal time; no rewind.
func TestSchedulesRunOnce(t *testing.T) {
	c, at := newCluster(t), newClock()
	mod := func(o *Options) { o.Now = at.now }
	var nodes []*member
	for range 2 {
		nodes = append(nodes, c.join(mod, plain(func() error { return nil })))
	}
	put(t, nodes[0].world, Schedule{Name: "each-minute", Cron: "* * * * *"})
	runs := func() int { return nodes[0].count(`SELECT count(*) FROM effects`) }
	look := func() { // beside the loops that look each second
		var wg sync.WaitGroup
		for _, n := range nodes {
			wg.Go(func() {
				if err := n.eng.dueSchedules(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	steps := []struct {
		move time.Duration
		want int
	}{
		{0, 0}, {30 * time.Second, 1}, {0, 1}, {time.Minute, 2}, {time.Minute, 3},
		{-119 * time.Second, 3}, {time.Minute, 3}, {time.Minute, 3}, {time.Minute, 4}, // back: nothing twice
		{7 * time.Hour, 5},                               // missed times are not made up one by one
		{3 * 365 * 24 * time.Hour, 6},                    // far ahead …
		{-3 * 365 * 24 * time.Hour, 6}, {time.Minute, 7}, // … and right again: it goes on
		{time.Minute, 8},
	}
	for i, s := range steps {
		at.move(s.move)
		look()
		look()
		if got := runs(); got != s.want {
			t.Fatalf("step %d, at %v: %d runs, want %d (%+v)", i, at.now(), got, s.want, schedule(t, nodes[0].world))
		}
	}
	if s := schedule(t, nodes[0].world); s.LastExecution == "" || s.LastError != "" || s.LastAt.IsZero() {
		t.Errorf("%+v", s)
	}
}

// A schedule that is refused moves on and says why; one that fails for a passing reason is
// tried again for the same time.
func TestScheduleRefused(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		at := newClock()
		var begun atomic.Int32
		var refusal atomic.Pointer[caos.Error]
		refusal.Store(caos.Errorf(caos.Unavailable, "not now"))
		flow := plain(func() error {
			begun.Add(1)
			if r := refusal.Load(); r != nil {
				return r
			}
			return nil
		})
		w := start(t, d, t.TempDir()+"/keys", func(o *Options) { o.Now = at.now }, flow)
		put(t, w, Schedule{Name: "s", Cron: "*/5 * * * *", Zone: "Europe/Paris"})
		first := schedule(t, w).NextAt
		at.move(5 * time.Minute)
		if err := w.eng.dueSchedules(context.Background()); caos.KindOf(err) != caos.Unavailable {
			t.Errorf("a passing failure: %v", err)
		}
		if s := schedule(t, w); !s.NextAt.Equal(first) {
			t.Errorf("a passing failure moved it on to %v", s.NextAt)
		}
		refusal.Store(caos.Errorf(caos.Denied, "the service identity was disabled"))
		eventually(t, "the loop moves it on", func() bool { return schedule(t, w).NextAt.After(first) })
		n := begun.Load()
		_ = w.eng.dueSchedules(context.Background())
		s := schedule(t, w)
		if begun.Load() != n || s.LastError != "the service identity was disabled" || !s.LastAt.Equal(first) || s.LastExecution != "" {
			t.Errorf("%d more tries, %+v", begun.Load()-n, s)
		}
		refusal.Store(nil)
		at.move(5 * time.Minute)
		eventually(t, "it runs again", func() bool { return schedule(t, w).LastExecution != "" })
		if s := schedule(t, w); s.LastError != "" {
			t.Errorf("%+v", s)
		}
	})
}

func TestScheduleTimes(t *testing.T) {
	at := func(s string) time.Time { return must[time.Time](t)(time.Parse(time.RFC3339, s)) }
	cases := []struct{ cron, zone, now, next, latest string }{
		{"* * * * *", "", "2026-11-22T10:15:30Z", "2026-11-22T10:16:00Z", "2026-11-22T10:15:00Z"},
		{"* * * * *", "", "2026-11-22T10:15:00Z", "2026-11-22T10:16:00Z", "2026-11-22T10:15:00Z"},
		{"0 3 * * *", "Europe/Paris", "2026-11-22T10:15:30Z", "2026-11-23T02:00:00Z", "2026-11-22T02:00:00Z"},
		{"0 0 1 1 *", "UTC", "2026-11-22T10:15:30Z", "2027-01-01T00:00:00Z", "2026-01-01T00:00:00Z"},
		{"*/15 9-17 * * 1-5", "", "2026-11-20T17:50:00Z", "2026-11-23T09:00:00Z", "2026-11-20T17:45:00Z"},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s at %s", c.cron, c.now), func(t *testing.T) {
			s := Schedule{Cron: c.cron, Zone: c.zone}
			if n := must[time.Time](t)(s.next(at(c.now))); !n.Equal(at(c.next)) {
				t.Errorf("next %v, want %s", n, c.next)
			}
			if n := must[time.Time](t)(s.latest(at(c.now))); !n.Equal(at(c.latest)) {
				t.Errorf("latest %v, want %s", n, c.latest)
			}
		})
	}
	for _, bad := range []Schedule{{Cron: ""}, {Cron: "@daily"}, {Cron: "* * * * * *"}, {Cron: "61 * * * *"}, {Cron: "* * * * *", Zone: "Mars/Base"}} {
		if _, err := bad.next(at("2026-11-22T10:15:30Z")); caos.KindOf(err) != caos.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
