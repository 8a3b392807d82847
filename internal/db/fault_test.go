package db_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// arm makes a fault that happens once, at a point of the next transaction that reaches it
// after fire is called.
func arm(at db.Point, action db.Action) (fault *db.Fault, fire func()) {
	var armed atomic.Bool
	f := &db.Fault{At: func(p db.Point) db.Action {
		if p == at && armed.CompareAndSwap(true, false) {
			return action
		}
		return db.Proceed
	}}
	return f, func() { armed.Store(true) }
}

// settle submits under the same key until there is an answer, as every caller of Update
// must: a unique violation means that an earlier attempt was committed after all.
func settle(ctx context.Context, d *db.DB, id string, attempts *int) error {
	for {
		*attempts++
		err := d.Update(ctx, insert(id))
		switch {
		case db.IsUnique(err):
			return nil
		case !errors.Is(err, db.ErrAborted) && !errors.Is(err, db.ErrUnknown):
			return err
		case *attempts > 20:
			return fmt.Errorf("not settled: %w", err)
		}
	}
}

// COMMIT never sent, refused, or answered by an error, and its connection killed at every
// point: everybody in the transaction gets the right answer, and submitting again under the
// same key gives one effect.
//
// Mutations that make it fail: answering nil after an error of settle; answering aborted
// for an error at AtCommitted; reusing the connection after an error (its open transaction
// swallows the second attempt); skipping the checks of the session's state and of COMMIT's
// tag ("refused" on PostgreSQL).
func TestCommitFaults(t *testing.T) {
	cases := []struct {
		name   string
		at     db.Point
		action db.Action
		unsure bool // the answer may be unknown
		lands  bool // the first attempt is committed
		lost   bool // the first attempt is not committed
	}{
		{"begin fails", db.AtBegin, db.Fail, false, false, true},
		{"killed at begin", db.AtBegin, db.Kill, false, false, true},
		{"function fails", db.AtFunction, db.Fail, false, false, true},
		{"killed at function", db.AtFunction, db.Kill, false, false, true},
		{"seal fails", db.AtSeal, db.Fail, false, false, true},
		{"killed at seal", db.AtSeal, db.Kill, false, false, true},
		{"COMMIT never sent", db.AtCommit, db.Fail, false, false, true},
		{"COMMIT refused", db.AtCommit, db.Refuse, false, false, true},
		{"killed at COMMIT", db.AtCommit, db.Kill, true, false, true},
		{"killed around COMMIT", db.AtCommit, db.KillSoon, true, false, false},
		{"COMMIT succeeded but reported an error", db.AtCommitted, db.Fail, true, true, false},
	}
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		url := dbtest.URL(t, dialect)
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				fault, fire := arm(c.at, c.action)
				d, s := open(t, dialect, db.Options{URL: url, Fault: fault})
				clear(t, d)
				var errs []error
				if c.at == db.AtBegin {
					fire()
					errs = []error{d.Update(t.Context(), insert("a"))}
				} else {
					first := func(tx *db.Tx) error { fire(); return insert("a")(tx) }
					errs = together(t, d, first, insert("b"))
				}
				if c.at == db.AtFunction {
					errs = errs[:1] // the second function is not in that transaction any more
				}
				for _, err := range errs {
					aborted, unknown := errors.Is(err, db.ErrAborted), errors.Is(err, db.ErrUnknown)
					switch {
					case aborted && unknown, unknown && !c.unsure, c.lands && !unknown, c.lost && err == nil,
						err != nil && !aborted && !unknown, err != nil && caos.KindOf(err) != caos.Unavailable:
						t.Errorf("answer: %v", err)
					}
				}
				if n := s.committed.Load() + s.aborted.Load() + s.unknown.Load(); n != 1 && c.at != db.AtFunction {
					t.Errorf("the sealer heard %d committed, %d aborted, %d unknown", s.committed.Load(), s.aborted.Load(), s.unknown.Load())
				}
				for _, id := range []string{"a", "b"} {
					attempts := 0
					if err := settle(t.Context(), d, id, &attempts); err != nil {
						t.Errorf("settle %s: %v", id, err)
					}
				}
				check(t, d, "a b")
			})
		}
	})
}

// The same under load: many callers, a fault every few transactions, each caller settles,
// and in the end every key is there once and sealed once.
func TestFaultsUnderLoad(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		var n atomic.Int64
		var armed atomic.Bool
		points := []struct {
			at     db.Point
			action db.Action
		}{
			{db.AtCommitted, db.Fail}, {db.AtCommit, db.KillSoon}, {db.AtSeal, db.Kill}, {db.AtCommit, db.Fail},
			{db.AtFunction, db.Kill}, {db.AtCommit, db.Refuse}, {db.AtCommit, db.Kill}, {db.AtBegin, db.Kill},
		}
		fault := &db.Fault{At: func(p db.Point) db.Action {
			i := n.Load()
			if c := points[i/4%int64(len(points))]; armed.Load() && i%4 == 3 && c.at == p {
				n.Add(1)
				return c.action
			}
			if p == db.AtBegin && i%4 != 3 {
				n.Add(1)
			}
			return db.Proceed
		}}
		d, s := open(t, dialect, db.Options{Fault: fault, MaxBatch: 8})
		armed.Store(true)
		var wg sync.WaitGroup
		var attempts atomic.Int64
		const callers, each = 16, 20
		for c := range callers {
			wg.Go(func() {
				for i := range each {
					tries := 0
					if err := settle(context.Background(), d, fmt.Sprintf("%02d-%02d", c, i), &tries); err != nil {
						t.Error(err)
					}
					attempts.Add(int64(tries))
				}
			})
		}
		wg.Wait()
		if n := len(strings.Fields(ids(t, d))); n != callers*each || sealed(t, d) != n {
			t.Errorf("%d items and %d sealed, want %d", n, sealed(t, d), callers*each)
		}
		t.Logf("%d attempts; transactions: %d committed, %d aborted, %d unknown",
			attempts.Load(), s.committed.Load(), s.aborted.Load(), s.unknown.Load())
	})
}

// A full disk in the middle of a transaction: SQLite may have rolled everything back by
// itself, so nothing may be run on the connection any more. All are told Full, and no row
// is left without its seal.
//
// Mutations that make it fail: SQLITE_FULL missing in isFatal (its function alone is told
// Full); the same together with ignoring the error of ROLLBACK TO in wire.finish (rows of
// later functions are then committed alone, unsealed).
func TestDiskFull(t *testing.T) {
	full, free := make(chan struct{}), make(chan struct{})
	fault := &db.Fault{At: func(p db.Point) db.Action {
		select {
		case <-free:
			return db.Proceed
		default:
		}
		select {
		case <-full:
			if p == db.AtFunction {
				return db.DiskFull
			}
		default:
		}
		return db.Proceed
	}}
	d, s := open(t, db.SQLite, db.Options{Fault: fault})
	if err := d.Update(t.Context(), insert("before")); err != nil {
		t.Fatal(err)
	}
	close(full)
	large := func(id string) func(*db.Tx) error {
		return func(tx *db.Tx) error {
			tx.Emit(id)
			tx.Exec("INSERT INTO items (id, n) VALUES ($1, 1)", id)
			tx.Exec("INSERT INTO items (id, n) VALUES ($1, 1)", id+strings.Repeat("x", 100_000))
			return nil
		}
	}
	for _, err := range together(t, d, insert("a"), large("large"), insert("b"), insert("c")) {
		// Who came behind the abort ran in a transaction of its own and may have had room.
		if err != nil && (caos.KindOf(err) != caos.Full || !errors.Is(err, db.ErrAborted) || !db.IsFull(err)) {
			t.Errorf("answer: %v", err)
		}
	}
	if s.aborted.Load() == 0 {
		t.Error("no transaction was aborted")
	}
	if err := d.Update(t.Context(), large("again")); caos.KindOf(err) != caos.Full {
		t.Errorf("still full: %v", err)
	}
	got := strings.Fields(ids(t, d))
	if len(got) == 0 || len(got) != sealed(t, d) || strings.Contains(strings.Join(got, " "), "x") {
		t.Errorf("items %q, %d sealed", got, sealed(t, d))
	}
	close(free)
	if err := d.Update(t.Context(), insert("d")); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// A sealer that cannot write stops everything, and its own words reach the caller.
func TestSealerFails(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		d, s := open(t, dialect, db.Options{})
		var no error = caos.Errorf(caos.Unavailable, "the log is in recovery").WithHint("run caos recover")
		s.sealErr.Store(&no)
		for _, err := range together(t, d, insert("a"), insert("b")) {
			if e := caos.AsError(err); e.Message != "the log is in recovery" || e.Hint == "" || !errors.Is(err, db.ErrAborted) {
				t.Errorf("answer: %v", err)
			}
		}
		check(t, d, "")
		s.sealErr.Store(nil)
		if err := d.Update(t.Context(), insert("a")); err != nil {
			t.Error(err)
		}
		check(t, d, "a")
	})
}

// Two nodes take the same rows in opposite orders. The head, locked first by everybody,
// keeps their transactions apart, so that no deadlock can be.
//
// Mutation: Begin of countingSealer without FOR UPDATE fails by deadlock.
func TestOppositeLockOrders(t *testing.T) {
	url := dbtest.URL(t, db.PostgreSQL)
	one, _ := open(t, db.PostgreSQL, db.Options{URL: url})
	two, _ := open(t, db.PostgreSQL, db.Options{URL: url})
	const rows, rounds = 4, 60
	for i := range rows {
		if err := one.Update(t.Context(), insert(fmt.Sprintf("row%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	var wg sync.WaitGroup
	for node, d := range []*db.DB{one, two} {
		for range 8 {
			wg.Go(func() {
				for range rounds {
					err := d.Update(context.Background(), func(tx *db.Tx) error {
						for i := range rows {
							if node == 1 {
								i = rows - 1 - i
							}
							if _, err := tx.ExecRows("UPDATE items SET n = n + 1 WHERE id = $1", fmt.Sprintf("row%d", i)); err != nil {
								return err
							}
						}
						return nil
					})
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	var sum int
	if err := one.QueryRow(t.Context(), "SELECT sum(n) FROM items").Scan(&sum); err != nil || sum != rows*(1+2*8*rounds) {
		t.Errorf("sum %d, %v", sum, err)
	}
	t.Logf("%d updates in %v", 2*8*rounds, time.Since(start))
}
