package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/sign"
)

// TestMain lets more tests run at once than there are cores, because they mostly wait: for
// commits, for retries, for nodes to be missed. When all have ended it checks that no node
// left a goroutine behind; a single test could not tell its own from those of others.
func TestMain(m *testing.M) {
	dbtest.Waiting(6)
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must come, on a busy machine too. It is less
// than the time between two searches for lost wake-ups: what only they find comes too late.
const patience = 3 * sweepEvery / 4

// world is one life of a process: an engine with a real log on a database that may
// outlive it, and the outside that its Calls touch.
type world struct {
	t    testing.TB
	db   *db.DB
	log  *auditlog.Log
	eng  *Engine
	once sync.Once
}

// outside is what Calls have effects on. It survives the processes.
type outside struct {
	mu    sync.Mutex
	calls map[string]int // by key
	hold  chan struct{}  // when not nil, a Call waits for it
	fail  func(key string, attempt int) error
}

func newOutside() *outside { return &outside{calls: map[string]int{}} }

func (o *outside) do(ctx context.Context, r *Run) error {
	o.mu.Lock()
	o.calls[r.Key()]++
	n, hold, fail := o.calls[r.Key()], o.hold, o.fail
	o.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if fail != nil {
		return fail(r.Key(), n)
	}
	return nil
}

func (o *outside) keys() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []string
	for k := range o.calls {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// sampleState is the saved state of the sample hook.
type sampleState struct {
	Shipped []string `json:"shipped"`
	Rounds  int      `json:"rounds"`
	Said    string   `json:"said"`
	Record  string   `json:"record"`
}

const sampleHook = "CAOS.PROD.TEST.SAMPLE"

// effect leaves a trace that shows a step which ran twice.
func effect(tx *db.Tx, r *Run) error {
	tx.Exec(`INSERT INTO effects (trace) VALUES ($1)`, r.Key())
	return tx.Err()
}

// sample is a hook with every kind of step.
func sample(o *outside) Plan[sampleState] {
	call := func(ctx context.Context, r *Run, s *sampleState) error {
		if err := o.do(ctx, r); err != nil {
			return err
		}
		s.Shipped = append(s.Shipped, r.Key())
		return nil
	}
	trace := func(tx *db.Tx, r *Run, _ *sampleState) error { return effect(tx, r) }
	return Plan[sampleState]{
		Hook: sampleHook, Version: "1.0.0", Revision: 1, Schema: 1,
		Retry: RetryPolicy{MaxAttempts: 3, InitialIntervalMS: 1, MaxIntervalMS: 5, Factor: 2},
		Begin: func(_ *Run, in json.RawMessage) (*sampleState, error) { return &sampleState{}, nil },
		Steps: []Step[sampleState]{
			InTx(1, "Reserve", "reserve", trace),
			Call(2, "Ship", "ship", call),
			InTx(3, "Book", "book", trace),
			Each("platforms", func(*sampleState) []string { return []string{"a", "b"} },
				Call(4, "Push to a platform", "push", call),
				InTx(4, "Note the platform", "note", trace)),
			Repeat("bake", func(s *sampleState) bool { return s.Rounds >= 2 },
				Call(5, "Bake", "bake-round", call),
				InTx(5, "Count the round", "count", func(tx *db.Tx, r *Run, s *sampleState) error { s.Rounds++; return effect(tx, r) })),
			Wait(6, "Ask", "ask",
				func(_ *db.Tx, r *Run, _ *sampleState) (WaitSpec, error) { return WaitSpec{Topic: "go"}, nil },
				func(tx *db.Tx, r *Run, s *sampleState, w Wake) (bool, error) {
					if err := json.Unmarshal(w.Decision.Payload, &s.Said); err != nil {
						return false, caos.Wrap(caos.Invalid, err, "say a word").WithField("payload")
					}
					return s.Said == "yes", effect(tx, r)
				}),
			InTx(7, "Close", "close", func(tx *db.Tx, r *Run, s *sampleState) error {
				r.OnRecorded(func(rc auditlog.Receipt) { s.Record = rc.Hash })
				return effect(tx, r)
			}),
		},
		Output: func(s *sampleState) any { return s },
	}
}

// sampleKeys are the keys that one whole run leaves outside and in the database.
func sampleKeys(id string) (calls, effects []string) {
	for _, k := range []string{"ship", "push/a", "push/b", "bake-round/1", "bake-round/2"} {
		calls = append(calls, id+"/"+k)
	}
	for _, k := range []string{"reserve", "book", "note/a", "note/b", "count/1", "count/2", "ask", "close"} {
		effects = append(effects, id+"/"+k)
	}
	slices.Sort(calls)
	slices.Sort(effects)
	return calls, effects
}

// start begins a life on a database. keys is the folder of the log's keys, which outlives
// the process as the database does.
func start(t testing.TB, d *db.DB, keys string, mod func(*Options), flows ...*Flow) *world {
	t.Helper()
	ctx := context.Background()
	w := &world{t: t, db: d}
	err := d.Write(ctx, func(tx *db.Tx) error {
		tx.Exec(`CREATE TABLE IF NOT EXISTS effects (trace TEXT NOT NULL)`)
		return tx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	k, err := sign.OpenKeys(filepath.Join(keys, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	floor, err := auditlog.LastTime(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	stamps := caos.NewStamper(time.Now, floor, 0, 1)
	w.log, err = auditlog.Open(ctx, auditlog.Options{DB: d, Keys: k, Origin: "caos.test/log", Stamps: stamps})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{DB: d, Log: w.log, Stamps: stamps, Flows: flows}
	if mod != nil {
		mod(&o)
	}
	if w.eng, err = New(o); err != nil {
		t.Fatal(err)
	}
	if err := w.eng.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.stop)
	return w
}

func (w *world) stop() {
	w.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := w.eng.Stop(ctx); err != nil {
			w.t.Error(err)
		}
		_ = w.log.Close() // on a database that was made to fail this fails too
	})
}

func by() caos.Principal { return caos.Principal{ID: "tester", Roles: []string{"service"}} }

func (w *world) submit(id string) (*Execution, error) {
	return w.eng.Submit(context.Background(), Submission{ID: id, Hook: sampleHook, Input: json.RawMessage(`{}`), By: by()})
}

// until waits for a status and fails the test if another final one comes instead.
func (w *world) until(id string, want Status) *Execution {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var last *Execution
	for u := range w.eng.Watch(ctx, id) {
		if u.Execution == nil {
			continue
		}
		if last = u.Execution; last.Status == want {
			return last
		}
	}
	w.t.Fatalf("execution %s did not become %s: %s", id, want, show(last))
	return nil
}

func show(x *Execution) string {
	b, _ := json.Marshal(x)
	return string(b)
}

func (w *world) say(id, word string) (*Execution, error) {
	p, _ := json.Marshal(word)
	return w.eng.Decide(context.Background(), id, Decision{Topic: "go", Payload: p, Actor: "tester", By: by()}, nil)
}

// effects lists the traces that InTx steps left, sorted.
func (w *world) effects() []string {
	w.t.Helper()
	rows, err := w.db.Query(context.Background(), `SELECT trace FROM effects ORDER BY trace`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

// whole checks that a run left exactly what one run leaves.
func (w *world) whole(id string, o *outside) {
	w.t.Helper()
	calls, effects := sampleKeys(id)
	if got := w.effects(); !slices.Equal(got, effects) {
		w.t.Errorf("InTx effects\n got %v\nwant %v", got, effects)
	}
	if got := o.keys(); !slices.Equal(got, calls) {
		w.t.Errorf("keys of Calls\n got %v\nwant %v", got, calls)
	}
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var errOutside = fmt.Errorf("the outside is down")
