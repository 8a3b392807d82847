package event

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits for something that must happen; it is not a time anything takes.
const patience = 30 * time.Second

// open makes an outbox whose pauses between attempts take no time and whose pump stands
// still, so that nothing depends on the clock.
func open(t *testing.T, d *db.DB, change func(*Options)) *Outbox {
	t.Helper()
	opt := Options{
		DB: d, Stamps: caos.NewStamper(time.Now, time.Time{}, 0, 1), Poll: time.Hour,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	opt.after = func(d time.Duration) <-chan time.Time {
		c := make(chan time.Time, 1)
		if d < time.Hour {
			c <- time.Time{}
		}
		return c
	}
	if change != nil {
		change(&opt)
	}
	o, err := Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return o
}

func emit(t *testing.T, d *db.DB, o *Outbox, subjects ...string) {
	t.Helper()
	for _, s := range subjects {
		err := d.Update(context.Background(), func(tx *db.Tx) error {
			return o.Emit(tx, Event{Type: "caos.thing.happened", Subject: s, Data: map[string]string{"id": s}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// heard collects subjects and tells when as many as wanted are there.
type heard struct {
	mu  sync.Mutex
	all []string
	c   chan struct{}
}

func newHeard() *heard { return &heard{c: make(chan struct{}, 1)} }

func (h *heard) add(e Event) {
	h.mu.Lock()
	h.all = append(h.all, e.Subject)
	h.mu.Unlock()
	nudge(h.c)
}

func (h *heard) wait(t *testing.T, want ...string) {
	t.Helper()
	limit := time.After(patience)
	for {
		h.mu.Lock()
		got := slices.Clone(h.all)
		h.mu.Unlock()
		if len(got) >= len(want) {
			if !slices.Equal(got, want) {
				t.Fatalf("heard %q, want %q", got, want)
			}
			return
		}
		select {
		case <-h.c:
		case <-limit:
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
}

func (h *heard) handle(_ context.Context, e Event) error { h.add(e); return nil }

func start(t *testing.T, o *Outbox, subs ...Subscription) {
	t.Helper()
	for _, s := range subs {
		if err := o.Subscribe(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// settled waits until the subscriber's row says that nothing is left.
func settled(t *testing.T, o *Outbox, name string) Status {
	t.Helper()
	limit := time.After(patience)
	for {
		list, err := o.Statuses(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(list, func(s Status) bool { return s.Subscriber == name })
		if i >= 0 && list[i].Behind == 0 {
			return list[i]
		}
		select {
		case <-time.After(time.Millisecond):
		case <-limit:
			t.Fatalf("%s never had everything: %+v", name, list)
		}
	}
}

func TestEmitLivesAndDiesWithItsTransaction(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		o := open(t, d, nil)
		emit(t, d, o, "a")
		no := errors.New("no")
		err := d.Update(context.Background(), func(tx *db.Tx) error {
			if err := o.Emit(tx, Event{Type: "caos.thing.happened", Subject: "lost"}); err != nil {
				return err
			}
			return no
		})
		if !errors.Is(err, no) {
			t.Fatal(err)
		}
		emit(t, d, o, "b")
		events, last, err := o.Since(context.Background(), Query{})
		if err != nil || len(events) != 2 || last != 2 {
			t.Fatalf("%v events up to %d, %v", events, last, err)
		}
		for i, want := range []string{"a", "b"} {
			if e := events[i]; e.Subject != want || e.Sequence != int64(i+1) || e.Source != "/caos" || e.ID == "" || e.Time.IsZero() {
				t.Errorf("event %d is %+v", i, e)
			}
		}
		if events, _, _ := o.Since(context.Background(), Query{Subject: "b", Pattern: "caos.thing.*", Limit: 5000}); len(events) != 1 {
			t.Errorf("by subject: %v", events)
		}
		if events, last, _ := o.Since(context.Background(), Query{Pattern: "caos.other.*"}); len(events) != 0 || last != 2 {
			t.Errorf("by pattern: %v, go on at %d", events, last)
		}
		if events, last, _ := o.Since(context.Background(), Query{Project: "other"}); len(events) != 0 || last != 0 {
			t.Errorf("by project: %v, go on at %d", events, last)
		}
	})
}

func TestEmitRefuses(t *testing.T) {
	d := dbtest.Open(t, db.SQLite)
	o := open(t, d, nil)
	for name, e := range map[string]Event{
		"type":        {Type: "Thing"},
		"source":      {Type: "caos.a.b", Source: "://"},
		"long source": {Type: "caos.a.b", Source: "/" + strings.Repeat("a", maxAttribute)},
		"subject":     {Type: "caos.a.b", Subject: strings.Repeat("a", maxAttribute+1)},
		"big data":    {Type: "caos.a.b", Data: strings.Repeat("a", MaxData)},
		"no JSON":     {Type: "caos.a.b", Data: make(chan int)},
	} {
		err := d.Update(context.Background(), func(tx *db.Tx) error { return o.Emit(tx, e) })
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if events, _, _ := o.Since(context.Background(), Query{}); len(events) != 0 {
		t.Errorf("left behind: %v", events)
	}
}

func TestDeliveryInOrderAndCatchUp(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		first := open(t, d, nil)
		emit(t, d, first, "before")
		late, all := newHeard(), newHeard()
		subs := []Subscription{
			{Name: "late", Pattern: "caos.thing.*", Handle: late.handle},
			{Name: "all", Pattern: "*", FromStart: true, Handle: all.handle},
			{Name: "other", Pattern: "caos.other.happened", Handle: func(context.Context, Event) error { return errors.New("not mine") }},
		}
		start(t, first, subs...)
		emit(t, d, first, "one", "two")
		all.wait(t, "before", "one", "two")
		late.wait(t, "one", "two")
		first.Close()

		emit(t, d, first, "while nobody ran")
		second := open(t, d, nil)
		start(t, second, subs...)
		emit(t, d, second, "three")
		all.wait(t, "before", "one", "two", "while nobody ran", "three")
		late.wait(t, "one", "two", "while nobody ran", "three")
		if s := settled(t, second, "other"); s.Attempt != 0 || s.Node != "local" {
			t.Errorf("status of the uninterested: %+v", s)
		}
	})
}

func TestFailureHoldsTheLine(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		o := open(t, d, func(opt *Options) { opt.Retry = Retry{Attempts: 5, First: time.Millisecond, Max: time.Millisecond} })
		h := newHeard()
		var failures atomic.Int64
		start(t, o, Subscription{Name: "s", Pattern: "*", Handle: func(_ context.Context, e Event) error {
			if e.Subject == "b" && failures.Add(1) <= 3 {
				if failures.Load() == 2 {
					panic("seeded")
				}
				return caos.Errorf(caos.Unavailable, "not now")
			}
			h.add(e)
			return nil
		}})
		emit(t, d, o, "a", "b", "c")
		h.wait(t, "a", "b", "c")
		if s := settled(t, o, "s"); s.Attempt != 0 || s.Error != "" || s.Parked != 0 {
			t.Errorf("after success: %+v", s)
		}
	})
}

func TestPoisonIsParkedAndSettledLater(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		var parked []Parked
		var healed atomic.Bool
		parkFails := true
		o := open(t, d, func(opt *Options) {
			opt.Retry = Retry{Attempts: 3, First: time.Millisecond, Max: time.Millisecond}
			opt.OnPark = func(tx *db.Tx, p Parked) error {
				if parkFails { // the first try is undone as a whole, and repeated
					parkFails = false
					return errors.New("no room for an alert")
				}
				parked = append(parked, p)
				return nil
			}
		})
		h, tx := newHeard(), newHeard()
		calls := 0
		start(t, o,
			Subscription{Name: "call", Pattern: "*", Handle: func(_ context.Context, e Event) error {
				if e.Subject == "poison" && !healed.Load() {
					calls++
					return caos.Errorf(caos.Unavailable, "cannot digest")
				}
				h.add(e)
				return nil
			}})
		emit(t, d, o, "a", "poison", "b")
		h.wait(t, "a", "b")
		settled(t, o, "call")
		if len(parked) != 1 || parked[0].Event.Subject != "poison" || parked[0].Subscriber != "call" || !strings.Contains(parked[0].Error, "cannot digest") {
			t.Fatalf("OnPark heard %+v", parked)
		}
		if calls < 3 {
			t.Errorf("tried %d times, want at least 3", calls)
		}
		list, err := o.Parked(context.Background(), 10)
		if err != nil || len(list) != 1 || list[0].Event.Subject != "poison" || list[0].Event.Sequence != 2 {
			t.Fatalf("Parked: %+v, %v", list, err)
		}
		if err := o.Redeliver(context.Background(), "call", 2); err == nil {
			t.Error("redelivered although the subscriber still refuses")
		}
		healed.Store(true)
		if err := o.Redeliver(context.Background(), "call", 2); err != nil {
			t.Fatal(err)
		}
		h.wait(t, "a", "b", "poison")
		if err := o.Redeliver(context.Background(), "call", 2); caos.KindOf(err) != caos.NotFound {
			t.Errorf("a second time: %v", err)
		}
		if err := o.Redeliver(context.Background(), "nobody", 2); caos.KindOf(err) != caos.NotFound {
			t.Errorf("to nobody: %v", err)
		}
		_ = tx
	})
}

func TestHopelessErrorParksAtOnce(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		o := open(t, d, nil)
		var calls atomic.Int64
		start(t, o, Subscription{Name: "tx", Pattern: "*", InTx: func(*db.Tx, Event) error {
			calls.Add(1)
			return caos.Errorf(caos.Invalid, "never")
		}})
		emit(t, d, o, "a")
		if s := settled(t, o, "tx"); s.Parked != 1 || calls.Load() != 1 {
			t.Errorf("%+v after %d calls", s, calls.Load())
		}
	})
}

// unlucky chooses the transactions that are hit: two of five, so that neither taking the
// lease nor the work after it is always the victim.
func unlucky(n int64) bool { return n%5 == 1 || n%5 == 3 }

// TestInTxInCompany has one bad event among many that share transactions: it alone is
// parked, and the others take effect once and in order.
func TestInTxInCompany(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		o := open(t, d, nil)
		var want []string
		for i := range 3 * company {
			s := fmt.Sprintf("%03d", i)
			if i == company+5 {
				s = "poison"
			} else {
				want = append(want, s)
			}
			emit(t, d, o, s)
		}
		start(t, o, Subscription{Name: "s", Pattern: "*", FromStart: true, InTx: func(tx *db.Tx, e Event) error {
			if e.Subject == "poison" {
				return caos.Errorf(caos.Invalid, "never")
			}
			return note(tx, e)
		}})
		if s := settled(t, o, "s"); s.Parked != 1 {
			t.Errorf("%+v", s)
		}
		if got := notes(t, d); !slices.Equal(got, want) {
			t.Errorf("effects %q", got)
		}
	})
}

// note is an effect that would show up twice if it happened twice.
func note(tx *db.Tx, e Event) error {
	tx.Exec(`INSERT INTO notices (notice_id, subject, body, link, source, project, classification, created_at)
		VALUES ($1, $2, '', '', '', '', '', (SELECT count(*) FROM notices))`, fmt.Sprintf("%s-%d", e.Subject, e.Time.UnixMicro()), e.Subject)
	return nil
}

func notes(t *testing.T, d *db.DB) []string {
	t.Helper()
	rows, err := d.Query(context.Background(), `SELECT subject FROM notices ORDER BY created_at, notice_id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

// TestInTxHappensOnce breaks transactions at every point, one after another, lost as well as
// kept although an error was reported, and counts the effects.
func TestInTxHappensOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		for _, c := range []struct {
			name   string
			at     db.Point
			action db.Action
		}{
			{"lost before COMMIT", db.AtCommit, db.Fail},
			{"COMMIT refused", db.AtCommit, db.Refuse},
			{"kept, reported as an error", db.AtCommitted, db.Fail},
			{"function never run", db.AtFunction, db.Fail},
		} {
			t.Run(c.name, func(t *testing.T) {
				var armed atomic.Bool
				var hits atomic.Int64
				d := dbtest.OpenWith(t, db.Options{URL: dbtest.URL(t, dialect), Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Fault: &db.Fault{At: func(p db.Point) db.Action {
					if p == c.at && armed.Load() && unlucky(hits.Add(1)) {
						return c.action
					}
					return db.Proceed
				}}})
				o := open(t, d, nil)
				names := []string{"a", "b", "c", "d", "e"}
				emit(t, d, o, names...)
				if err := o.Subscribe(Subscription{Name: "s", Pattern: "*", FromStart: true, InTx: note}); err != nil {
					t.Fatal(err)
				}
				if err := o.Start(context.Background()); err != nil {
					t.Fatal(err)
				}
				armed.Store(true)
				settled(t, o, "s")
				armed.Store(false)
				if got := notes(t, d); !slices.Equal(got, names) {
					t.Errorf("effects %q, want %q", got, names)
				}
				if list, err := o.Parked(context.Background(), 10); err != nil || len(list) != 0 {
					t.Errorf("a broken database was blamed on events: %+v, %v", list, err)
				}
			})
		}
	})
}

// TestHandleAfterBrokenCursorWrites shows at least once: whatever happens to the writes of
// the cursor, nothing is skipped and the order of first deliveries holds.
func TestHandleAfterBrokenCursorWrites(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		for _, action := range []db.Point{db.AtCommit, db.AtCommitted} {
			var armed atomic.Bool
			var hits atomic.Int64
			d := dbtest.OpenWith(t, db.Options{URL: dbtest.URL(t, dialect), Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Fault: &db.Fault{At: func(p db.Point) db.Action {
				if p == action && armed.Load() && unlucky(hits.Add(1)) {
					return db.Fail
				}
				return db.Proceed
			}}})
			o := open(t, d, nil)
			names := []string{"a", "b", "c", "d", "e"}
			emit(t, d, o, names...)
			var mu sync.Mutex
			var first []string
			seen := map[string]bool{}
			start(t, o, Subscription{Name: "s", Pattern: "*", FromStart: true, Handle: func(_ context.Context, e Event) error {
				mu.Lock()
				defer mu.Unlock()
				if !seen[e.Subject] {
					seen[e.Subject] = true
					first = append(first, e.Subject)
				}
				armed.Store(true)
				return nil
			}})
			settled(t, o, "s")
			armed.Store(false)
			o.Close()
			if !slices.Equal(first, names) {
				t.Errorf("first deliveries %q, want %q", first, names)
			}
		}
	})
}

// TestNumbersBecomeVisibleInOrder has many writers emit at the same time, audited and not:
// a subscriber that meets number n has met all below.
func TestNumbersBecomeVisibleInOrder(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		o := open(t, d, nil)
		const writers, each = 8, 20
		done := make(chan struct{})
		var next int64
		start(t, o, Subscription{Name: "s", Pattern: "*", Handle: func(_ context.Context, e Event) error {
			if e.Sequence != next+1 {
				t.Errorf("event %d came after event %d", e.Sequence, next)
			}
			if next = e.Sequence; next == writers*each {
				close(done)
			}
			return nil
		}})
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					write := d.Update
					if i%2 == w%2 {
						write = d.Write
					}
					err := write(context.Background(), func(tx *db.Tx) error {
						return o.Emit(tx, Event{Type: "caos.thing.happened", Subject: fmt.Sprint(w)})
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		select {
		case <-done:
		case <-time.After(patience):
			t.Fatalf("heard %d of %d", next, writers*each)
		}
	})
}
