package event

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// node is one process of an installation on PostgreSQL.
type node struct {
	db     *db.DB
	outbox *Outbox
	heard  *heard
}

func newNode(t *testing.T, url string, slot int, lease time.Duration) *node {
	t.Helper()
	n := &node{db: dbtest.OpenWith(t, db.Options{URL: url}), heard: newHeard()}
	var err error
	n.outbox, err = Open(Options{
		DB: n.db, Stamps: caos.NewStamper(time.Now, time.Time{}, slot, 8), Node: fmt.Sprint("node-", slot),
		Lease: lease, Poll: 5 * time.Millisecond, Retry: Retry{Attempts: 3, First: 5 * time.Millisecond, Max: 5 * time.Millisecond},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.outbox.Close)
	return n
}

func (n *node) start(t *testing.T) {
	t.Helper()
	start(t, n.outbox, Subscription{Name: "s", Pattern: "*", FromStart: true, Handle: n.heard.handle})
}

func (n *node) subjects() []string {
	n.heard.mu.Lock()
	defer n.heard.mu.Unlock()
	return slices.Clone(n.heard.all)
}

// TestOneNodeDelivers has two nodes and events from both: one hears all of them, in order,
// the other none; when it stops, the other goes on where it stopped.
func TestOneNodeDelivers(t *testing.T) {
	url := dbtest.URL(t, db.PostgreSQL)
	first, second := newNode(t, url, 1, 4*time.Second), newNode(t, url, 2, 4*time.Second)
	first.start(t)
	emit(t, first.db, first.outbox, "a")
	first.heard.wait(t, "a")
	second.start(t)
	emit(t, second.db, second.outbox, "b")
	emit(t, first.db, first.outbox, "c")
	first.heard.wait(t, "a", "b", "c")
	first.outbox.Close()
	emit(t, second.db, second.outbox, "d")
	second.heard.wait(t, "d")
	if got := first.subjects(); len(got) != 3 {
		t.Errorf("the stopped node heard %q", got)
	}
	if s := settled(t, second.outbox, "s"); s.Node != "node-2" {
		t.Errorf("delivered by %q", s.Node)
	}
}

// TestDeadNodeIsReplaced takes the database away from the node that delivers, so that it
// neither renews its lease nor gives it back.
func TestDeadNodeIsReplaced(t *testing.T) {
	url := dbtest.URL(t, db.PostgreSQL)
	first, second := newNode(t, url, 1, time.Second), newNode(t, url, 2, time.Second)
	first.start(t)
	emit(t, first.db, first.outbox, "a")
	first.heard.wait(t, "a")
	settled(t, first.outbox, "s")
	second.start(t)
	if err := first.db.Close(); err != nil {
		t.Fatal(err)
	}
	emit(t, second.db, second.outbox, "b", "c")
	second.heard.wait(t, "b", "c")
}

// TestFrozenNodeCannotMoveTheCursor lets a node hold an event for longer than its lease, as
// one that was stopped and woken would, and have another take over meanwhile.
func TestFrozenNodeCannotMoveTheCursor(t *testing.T) {
	url := dbtest.URL(t, db.PostgreSQL)
	first, second := newNode(t, url, 1, time.Hour), newNode(t, url, 2, 4*time.Second)
	began, wake, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var once sync.Once
	start(t, first.outbox, Subscription{Name: "s", Pattern: "*", FromStart: true, Handle: func(context.Context, Event) error {
		once.Do(func() { close(began); <-wake; defer close(ended) })
		return nil
	}})
	emit(t, first.db, first.outbox, "a")
	<-began
	// The lease runs out unnoticed: renewing an hour's lease is far away.
	if err := second.db.Write(context.Background(), func(tx *db.Tx) error {
		tx.ExecOne(nil, `UPDATE event_subscribers SET lease_until = 0 WHERE name = 's'`)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	second.start(t)
	emit(t, second.db, second.outbox, "b")
	second.heard.wait(t, "a", "b") // "a" again: at least once
	settled(t, second.outbox, "s")
	emit(t, second.db, second.outbox, "c")
	second.heard.wait(t, "a", "b", "c")
	before := fence(t, second.db)
	close(wake)
	<-ended
	first.outbox.Close()
	if got := settled(t, second.outbox, "s"); got.Node != "node-2" {
		t.Errorf("after waking: %+v", got)
	}
	if after := fence(t, second.db); after != before {
		t.Errorf("the woken node changed the row: fence %d, was %d", after, before)
	}
}

func fence(t *testing.T, d *db.DB) (n int64) {
	t.Helper()
	if err := d.QueryRow(context.Background(), `SELECT fence FROM event_subscribers WHERE name = 's'`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestInTxFencedAgainstTakeover shows that the effect of a node that lost its lease is
// undone with its cursor.
func TestInTxFencedAgainstTakeover(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		o := open(t, d, nil)
		emit(t, d, o, "a")
		w := &worker{o: o, sub: Subscription{Name: "s", Pattern: "*", FromStart: true, InTx: note}, wake: make(chan struct{}, 1)}
		ctx := context.Background()
		if err := w.register(ctx); err != nil {
			t.Fatal(err)
		}
		old, err := w.acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		current, err := w.acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		events, _, err := o.Since(ctx, Query{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.one(ctx, &old, events[0]); !errors.Is(err, errLost) {
			t.Fatalf("the old lease still delivers: %v", err)
		}
		if got := notes(t, d); len(got) != 0 {
			t.Fatalf("its effect stayed: %q", got)
		}
		for range 2 { // the second time is a repetition by the same holder
			if err := w.one(ctx, &current, events[0]); err != nil && !errors.Is(err, errLost) {
				t.Fatal(err)
			}
			current.cursor = 0
		}
		if got := notes(t, d); len(got) != 1 {
			t.Errorf("effects %q, want one", got)
		}
	})
}

func TestWatch(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		o := open(t, d, nil)
		mine, stop := o.Watch("mine")
		any, stopAny := o.Watch("")
		emit(t, d, o, "other")
		<-any // AfterCommit has run before Update answered
		select {
		case <-mine:
			t.Error("heard of another subject")
		default:
		}
		emit(t, d, o, "mine", "mine")
		<-mine
		<-any
		select {
		case <-mine:
			t.Error("signals did not run together")
		default:
		}
		stop()
		stopAny()
		emit(t, d, o, "mine")
		select {
		case <-mine:
			t.Error("heard after stop")
		default:
		}
		if len(o.watchers) != 0 {
			t.Errorf("left behind: %v", o.watchers)
		}
	})
}

// TestPumpFindsWhatNobodyAnnounced covers events of other nodes and those whose COMMIT went
// unanswered.
func TestPumpFindsWhatNobodyAnnounced(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		here, there := open(t, d, nil), open(t, d, nil)
		mine, stop := here.Watch("mine")
		defer stop()
		emit(t, d, there, "other", "mine")
		head, err := here.announceSince(context.Background(), 0)
		if err != nil || head != 2 {
			t.Fatalf("head %d, %v", head, err)
		}
		<-mine
		emit(t, d, there, "other")
		if head, err = here.announceSince(context.Background(), head); err != nil || head != 3 {
			t.Fatalf("head %d, %v", head, err)
		}
		select {
		case <-mine:
			t.Error("announced twice")
		default:
		}
		here.announceAll()
		<-mine
	})
}

func TestSweepKeepsWhatIsStillWanted(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		now := time.Now()
		o := open(t, d, func(opt *Options) { opt.Keep, opt.Now = time.Hour, func() time.Time { return now } })
		emit(t, d, o, "a", "b", "c")
		w := &worker{o: o, sub: Subscription{Name: "s", Pattern: "*", FromStart: true}, wake: make(chan struct{}, 1)}
		if err := w.register(context.Background()); err != nil {
			t.Fatal(err)
		}
		at, err := w.acquire(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		gone := func(want int64) {
			t.Helper()
			if n, err := o.Sweep(context.Background()); err != nil || n != want {
				t.Errorf("%d events gone, want %d, %v", n, want, err)
			}
		}
		gone(0) // young
		now = now.Add(2 * time.Hour)
		gone(0) // old, but the subscriber has had none
		at.cursor = 2
		if err := w.save(context.Background(), &at, ""); err != nil {
			t.Fatal(err)
		}
		gone(2)
		// A subscriber that nobody runs any more holds nothing back.
		if err := d.Write(context.Background(), func(tx *db.Tx) error {
			tx.ExecOne(nil, `UPDATE event_subscribers SET seen_at = 0 WHERE name = 's'`)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		gone(1)
		emit(t, d, o, "d")
		if events, _, err := o.Since(context.Background(), Query{}); err != nil || len(events) != 1 || events[0].Sequence != 4 {
			t.Errorf("numbers start again after a sweep: %+v, %v", events, err)
		}
	})
}

func TestSubscribeRefuses(t *testing.T) {
	o := open(t, dbtest.Open(t, db.SQLite), nil)
	good := Subscription{Name: "s", Pattern: "*", InTx: note}
	for what, s := range map[string]Subscription{
		"no name":     {Pattern: "*", InTx: note},
		"no handler":  {Name: "x", Pattern: "*"},
		"two":         {Name: "x", Pattern: "*", InTx: note, Handle: newHeard().handle},
		"bad pattern": {Name: "x", Pattern: "thing.*", InTx: note},
	} {
		if err := o.Subscribe(s); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
	if err := o.Subscribe(good); err != nil {
		t.Fatal(err)
	}
	if err := o.Subscribe(good); err == nil {
		t.Error("the same name twice was taken")
	}
	if err := o.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := o.Subscribe(Subscription{Name: "late", Pattern: "*", InTx: note}); err == nil {
		t.Error("taken after Start")
	}
	if err := o.Start(context.Background()); err == nil {
		t.Error("started twice")
	}
	o.Close()
	o.Close()
	if _, err := Open(Options{}); err == nil {
		t.Error("made of nothing")
	}
}

// TestStartAmongCommits starts while events are committed: who announces a commit and who
// asks for one may not wait for each other.
func TestStartAmongCommits(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		o := open(t, d, nil)
		heard := newHeard()
		if err := o.Subscribe(Subscription{Name: "s", Pattern: "*", Handle: func(_ context.Context, e Event) error { heard.add(e); return nil }}); err != nil {
			t.Fatal(err)
		}
		ctx, enough := context.WithCancel(context.Background())
		begun := make(chan struct{}, 4)
		var emitters sync.WaitGroup
		for range 4 {
			emitters.Go(func() {
				for ctx.Err() == nil {
					_ = d.Update(ctx, func(tx *db.Tx) error {
						return o.Emit(tx, Event{Type: "caos.thing.happened", Subject: "x", Data: map[string]string{}})
					})
					nudge(begun)
				}
			})
		}
		defer emitters.Wait()
		defer enough()
		<-begun
		starting, done := context.WithTimeout(ctx, patience)
		defer done()
		if err := o.Start(starting); err != nil {
			t.Fatalf("Start among commits: %v", err)
		}
	})
}
