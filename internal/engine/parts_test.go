package engine

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// walk lists the steps that a cursor visits.
func walk(t *testing.T, f *Flow, s any) []string {
	t.Helper()
	var c cursor
	var out []string
	for f.start(&c, s); len(c.Frames) > 0; f.advance(&c, s) {
		raw, err := json.Marshal(c) // a cursor must survive being stored at any step
		if err != nil {
			t.Fatal(err)
		}
		c = cursor{}
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatal(err)
		}
		if _, err := f.find(&c); err != nil {
			t.Fatal(err)
		}
		out = append(out, c.path())
		if s := s.(*sampleState); strings.HasSuffix(c.path(), "/count") {
			s.Rounds++
		}
		if len(out) > 1000 {
			t.Fatal("the cursor does not end")
		}
	}
	return out
}

func TestCursor(t *testing.T) {
	nop := func(*db.Tx, *Run, *sampleState) error { return nil }
	step := func(name string) Step[sampleState] { return InTx(1, "a", name, nop) }
	of := func(items ...string) func(*sampleState) []string {
		return func(*sampleState) []string { return items }
	}
	for _, c := range []struct {
		name  string
		steps []Step[sampleState]
		want  string
	}{
		{"flat", []Step[sampleState]{step("a"), step("b")}, "a b"},
		{"each", []Step[sampleState]{Each("e", of("x", "y"), step("a"), step("b")), step("c")}, "e[x]/a e[x]/b e[y]/a e[y]/b c"},
		{"empty each", []Step[sampleState]{Each("e", of(), step("a")), step("c")}, "c"},
		{"only an empty each", []Step[sampleState]{Each("e", of(), step("a"))}, ""},
		{"each at the end", []Step[sampleState]{step("c"), Each("e", of("x"), step("a"))}, "c e[x]/a"},
		{"nested", []Step[sampleState]{Each("e", of("x", "y"), Each("f", of("1", "2"), step("a")))}, "e[x]/f[1]/a e[x]/f[2]/a e[y]/f[1]/a e[y]/f[2]/a"},
		{"empty inside", []Step[sampleState]{Each("e", of("x", "y"), Each("f", of(), step("a"))), step("z")}, "z"},
		{"repeat", []Step[sampleState]{Repeat("r", func(s *sampleState) bool { return s.Rounds >= 3 }, step("count")), step("z")}, "r#1/count r#2/count r#3/count z"},
		{"repeat in each", []Step[sampleState]{Each("e", of("x", "y"), Repeat("r", func(s *sampleState) bool { return s.Rounds%2 == 0 }, step("count")))},
			"e[x]/r#1/count e[x]/r#2/count e[y]/r#1/count e[y]/r#2/count"},
	} {
		f := Plan[sampleState]{Hook: "H", Steps: c.steps, Begin: func(*Run, json.RawMessage) (*sampleState, error) { return nil, nil }, Output: func(*sampleState) any { return nil }}.Flow()
		if got := strings.Join(walk(t, f, &sampleState{}), " "); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestRetryDelay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := RetryPolicy{InitialIntervalMS: rapid.Int64Range(1, 5000).Draw(t, "initial"), Factor: rapid.Float64Range(1, 10).Draw(t, "factor"), Jitter: rapid.Float64Range(0, 1).Draw(t, "jitter")}
		p.MaxIntervalMS = p.InitialIntervalMS + rapid.Int64Range(0, 100_000).Draw(t, "more")
		attempt := rapid.IntRange(1, 1000).Draw(t, "attempt")
		d := p.delay(attempt, rapid.Float64Range(0, 0.999).Draw(t, "random"))
		if d < 0 || d > time.Duration(p.MaxIntervalMS)*time.Millisecond {
			t.Fatalf("delay %v of %+v after attempt %d", d, p, attempt)
		}
		if p.Jitter == 0 && attempt > 1 && d < p.delay(attempt-1, 0) {
			t.Fatalf("the pause shrinks: %+v", p)
		}
	})
}

func TestAllocator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAllocator(Resources{MemoryBytes: 100, Threads: 4, Slots: 2})
		ctx := context.Background()
		if _, err := a.Acquire(ctx, Resources{MemoryBytes: 101}); caos.KindOf(err) != caos.Invalid {
			t.Errorf("what never fits: %v", err)
		}
		if _, err := a.Acquire(ctx, Resources{Threads: -1}); caos.KindOf(err) != caos.Invalid {
			t.Errorf("a negative request: %v", err)
		}
		first, err := a.Acquire(ctx, Resources{MemoryBytes: 80, Threads: 1, Slots: 1})
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		get := func(name string, r Resources) {
			release, err := a.Acquire(ctx, r)
			if err != nil {
				t.Error(err)
				return
			}
			order = append(order, name)
			release()
		}
		go get("large", Resources{MemoryBytes: 90})
		synctest.Wait()
		go get("small", Resources{MemoryBytes: 20}) // would fit now, but must not overtake
		synctest.Wait()
		if len(order) != 0 {
			t.Errorf("%v went ahead", order)
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := a.Acquire(short, Resources{Slots: 2}); caos.KindOf(err) != caos.Unavailable {
			t.Errorf("a caller that gives up: %v", err)
		}
		first()
		first()
		synctest.Wait()
		if !slices.Equal(order, []string{"large", "small"}) {
			t.Errorf("order %v", order)
		}
		if total, free, waiting := a.Usage(); total != free || waiting != 0 {
			t.Errorf("after all: %+v free of %+v, %d wait", free, total, waiting)
		}
	})
}

// A parent starts a child in its own commit, waits without holding anything, and goes on
// with what the child ended as.
func TestChild(t *testing.T) {
	t.Parallel()
	type state struct{ Child, Status string }
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		o := newOutside()
		o.fail = func(key string, _ int) error {
			if strings.HasSuffix(key, "/ship") {
				return caos.Errorf(caos.Invalid, "no ship")
			}
			return nil
		}
		parent := Plan[state]{Hook: "CAOS.PROD.TEST.PARENT", Version: "1.0.0", Revision: 1, Schema: 1,
			Begin: func(*Run, json.RawMessage) (*state, error) { return &state{}, nil },
			Steps: []Step[state]{
				Child(1, "Start the child", "child", func(_ *db.Tx, _ *Run, _ *state) (ChildSpec, error) {
					return ChildSpec{Hook: sampleHook, Input: map[string]any{}}, nil
				}, func(tx *db.Tx, r *Run, s *state, child *Execution) error {
					s.Child, s.Status = child.ID, string(child.Status)
					return effect(tx, r)
				}),
			},
			Output: func(s *state) any { return s },
		}
		w := start(t, d, t.TempDir(), nil, sample(o).Flow(), parent.Flow())
		x, err := w.eng.Submit(context.Background(), Submission{ID: "EXEC-P", Hook: parent.Hook, Input: json.RawMessage(`{}`), By: by()})
		if err != nil {
			t.Fatal(err)
		}
		if x.Status != Waiting || len(x.Children) != 1 {
			t.Fatalf("%s", show(x))
		}
		x = w.until("EXEC-P", Succeeded)
		var s state
		if err := json.Unmarshal(x.Output, &s); err != nil || s.Child != x.Children[0] || s.Status != string(Failed) {
			t.Errorf("%s", show(x))
		}
		kids, _, err := w.eng.List(context.Background(), Filter{Parent: "EXEC-P"}, "", 0)
		if err != nil || len(kids) != 1 || kids[0].ID != s.Child {
			t.Errorf("children %v %v", kids, err)
		}
	})
}

// timeout_seconds ends an execution whose Call hangs, and never counts a Wait.
func TestTimeout(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		o := newOutside()
		o.hold = make(chan struct{})
		p := sample(o)
		p.Timeout = 50 * time.Millisecond
		w := start(t, d, t.TempDir(), nil, p.Flow())
		must[*Execution](t)(w.submit("EXEC-1"))
		x := w.until("EXEC-1", Failed)
		if x.Error == nil || !strings.Contains(x.Error.Message, "did not end in its time") {
			t.Errorf("%s", show(x))
		}
	})
}

// A Wait is over at its moment by the wall clock, even if that jumps.
func TestWaitUntilAndDeadline(t *testing.T) {
	t.Parallel()
	type state struct{ Woken []string }
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		clock := newClock()
		until := clock.now().Add(time.Hour)
		wait := func(name string, spec WaitSpec) Step[state] {
			return Wait(1, "Wait", name, func(*db.Tx, *Run, *state) (WaitSpec, error) { return spec, nil },
				func(_ *db.Tx, r *Run, s *state, w Wake) (bool, error) {
					s.Woken = append(s.Woken, r.Step+" "+string(w.Kind))
					return true, nil
				})
		}
		p := Plan[state]{Hook: "CAOS.PROD.TEST.WAIT", Version: "1.0.0", Revision: 1, Schema: 1,
			Begin:  func(*Run, json.RawMessage) (*state, error) { return &state{}, nil },
			Steps:  []Step[state]{wait("until", WaitSpec{Until: until}), wait("vote", WaitSpec{Topic: "vote", Deadline: until.Add(time.Hour)})},
			Output: func(s *state) any { return s }}
		w := start(t, d, t.TempDir(), func(o *Options) { o.Now = clock.now }, p.Flow())
		x, err := w.eng.Submit(context.Background(), Submission{ID: "EXEC-1", Hook: p.Hook, Input: json.RawMessage(`{}`), By: by()})
		if err != nil || x.Status != Waiting {
			t.Fatal(show(x), err)
		}
		clock.move(-2 * time.Hour)
		clock.move(5 * time.Hour) // past both moments
		x = w.until("EXEC-1", Succeeded)
		var s state
		if err := json.Unmarshal(x.Output, &s); err != nil || !slices.Equal(s.Woken, []string{"until time", "vote deadline"}) {
			t.Errorf("%s %v", x.Output, err)
		}
	})
}

// Released revisions' stored executions, one per file, are resumed by this binary.
func TestGoldenStates(t *testing.T) {
	files, err := filepath.Glob("testdata/states/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden states: %v", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var g struct {
				Revision, Schema int
				State, Cursor    json.RawMessage
			}
			if err := json.Unmarshal(raw, &g); err != nil {
				t.Fatal(err)
			}
			d, o := dbtest.Open(t, db.SQLite), newOutside()
			w := start(t, d, t.TempDir(), nil, sample(o).Flow())
			f := w.eng.newest[sampleHook]
			r := w.eng.fresh(Submission{ID: "EXEC-1", Hook: sampleHook, Input: json.RawMessage(`{}`), By: by(), RequestedBy: "tester", IdemKey: "EXEC-1"}, f, time.Now().UTC())
			r.Status, r.Revision, r.schema, r.state, r.lastRecord, r.Version = Running, g.Revision, g.Schema, g.State, "AUDIT-golden", 1
			if err := json.Unmarshal(g.Cursor, &r.cur); err != nil {
				t.Fatal(err)
			}
			if err := d.Write(context.Background(), func(tx *db.Tx) error { return r.insert(tx) }); err != nil {
				t.Fatal(err)
			}
			w.eng.queue.Found("EXEC-1", time.Time{})
			w.until("EXEC-1", Waiting)
			if x := must[*Execution](t)(w.say("EXEC-1", "yes")); x.Status != Succeeded {
				t.Errorf("%s", show(x))
			}
		})
	}
}

func TestPlansThatCannotBeRight(t *testing.T) {
	for name, p := range map[string]Plan[sampleState]{
		"no steps":   {Hook: "H", Begin: func(*Run, json.RawMessage) (*sampleState, error) { return nil, nil }, Output: func(*sampleState) any { return nil }},
		"name twice": func() Plan[sampleState] { p := sample(newOutside()); p.Steps = append(p.Steps, p.Steps[0]); return p }(),
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted", name)
				}
			}()
			p.Flow()
		}()
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := start(t, d, t.TempDir(), nil, sample(newOutside()).Flow())
		want := 7
		for range want {
			must[*Execution](t)(w.submit(""))
		}
		var seen []string
		for cursor := ""; ; {
			page, next, err := w.eng.List(context.Background(), Filter{Hook: sampleHook}, cursor, 3)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range page {
				seen = append(seen, x.ID)
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		if len(seen) != want || len(slices.Compact(slices.Sorted(slices.Values(seen)))) != want {
			t.Errorf("pages show %v", seen)
		}
		if _, _, err := w.eng.List(context.Background(), Filter{}, "%%", 3); caos.KindOf(err) != caos.Invalid {
			t.Errorf("a made-up cursor: %v", err)
		}
		for _, id := range seen {
			w.until(id, Waiting)
		}
		st, err := w.eng.Stats(context.Background(), sampleHook)
		if err != nil || st.Executions != want || st.ByStatus["WAITING"] != want || len(st.Steps) == 0 {
			t.Errorf("%+v %v", st, err)
		}
	})
}

// A database that makes every try wait is given up before the submitter's connection is.
func TestEnough(t *testing.T) {
	for _, c := range []struct {
		tries int
		took  time.Duration
		want  bool
	}{{1, 0, false}, {19, time.Second, false}, {20, time.Second, true}, {1, 10 * time.Second, false}, {2, 20 * time.Second, true}} {
		if got := enough(c.tries, c.took); got != c.want {
			t.Errorf("%d tries in %s: %v", c.tries, c.took, got)
		}
	}
}
