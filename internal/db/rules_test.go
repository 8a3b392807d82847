package db_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
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

var quiet = slog.New(slog.DiscardHandler)

// open opens a database with the items table and a counting sealer.
func open(t *testing.T, dialect db.Dialect, opt db.Options) (*db.DB, *countingSealer) {
	t.Helper()
	if opt.URL == "" {
		opt.URL = dbtest.URL(t, dialect)
	}
	opt.Log = quiet
	d := dbtest.OpenWith(t, opt)
	err := d.Write(context.Background(), func(tx *db.Tx) error {
		tx.Exec("CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, n BIGINT NOT NULL)")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s := newCountingSealer(t, d)
	d.SetSealer(s)
	return d, s
}

// clear empties the tables for the next case.
func clear(t *testing.T, d *db.DB) {
	t.Helper()
	err := d.Write(context.Background(), func(tx *db.Tx) error {
		tx.Exec("DELETE FROM items")
		tx.Exec("DELETE FROM seals")
		tx.Exec("UPDATE head SET size = 0")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// together runs fns in one transaction, in their order, and returns their answers. A
// function in front holds the transaction open until all of them wait behind it.
func together(t *testing.T, d *db.DB, fns ...func(*db.Tx) error) []error {
	t.Helper()
	errs := make([]error, len(fns))
	begun, hold := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := d.Update(context.Background(), func(*db.Tx) error { close(begun); <-hold; return nil })
		if err != nil && !errors.Is(err, db.ErrAborted) && !errors.Is(err, db.ErrUnknown) {
			t.Errorf("function in front: %v", err)
		}
	})
	<-begun
	for i, fn := range fns {
		wg.Go(func() { errs[i] = d.Update(context.Background(), fn) })
		db.AwaitWaiting(d, i+1)
	}
	close(hold)
	wg.Wait()
	return errs
}

func insert(id string) func(*db.Tx) error {
	return func(tx *db.Tx) error {
		tx.Exec("INSERT INTO items (id, n) VALUES ($1, $2)", id, 1)
		tx.Emit(id)
		return nil
	}
}

// ids returns the items that are there, in order, as one text.
func ids(t testing.TB, d *db.DB) string {
	t.Helper()
	rows, err := d.Query(context.Background(), "SELECT id FROM items ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		all = append(all, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// check checks that exactly the given items are there and that each of them is sealed.
func check(t *testing.T, d *db.DB, want string) {
	t.Helper()
	got := ids(t, d)
	if got != want {
		t.Errorf("items %q, want %q", got, want)
	}
	if n := len(strings.Fields(got)); sealed(t, d) != n {
		t.Errorf("%d items and %d sealed entries", n, sealed(t, d))
	}
}

var errOwn = errors.New("own error")

// A function that fails, in whatever way, loses its own rows and nobody else's.
//
// Mutations that make it fail: no ROLLBACK TO in wire.finish; ignoring the sticky error in
// Tx.end ("swallows", "one row"); no recover in call.run; treating a Goexit as success.
func TestFailingFunctions(t *testing.T) {
	bad := func(then func(tx *db.Tx) error) func(*db.Tx) error {
		return func(tx *db.Tx) error {
			tx.Emit("bad")
			tx.Exec("INSERT INTO items (id, n) VALUES ('bad', 1)")
			return then(tx)
		}
	}
	cases := map[string]struct {
		fn   func(*db.Tx) error
		want func(error) bool
	}{
		"errs": {bad(func(*db.Tx) error { return errOwn }), func(err error) bool { return errors.Is(err, errOwn) }},
		"errs after a query": {bad(func(tx *db.Tx) error {
			var n int
			if err := tx.QueryRow("SELECT count(*) FROM items").Scan(&n); err != nil {
				return err
			}
			tx.Exec("INSERT INTO items (id, n) VALUES ('bad2', 1)")
			return errOwn
		}), func(err error) bool { return errors.Is(err, errOwn) }},
		"swallows a kept error": {bad(func(tx *db.Tx) error {
			tx.Exec("INSERT INTO items (id, n) VALUES ('bad', 2)")
			tx.Exec("INSERT INTO items (id, n) VALUES ('bad3', 2)")
			return nil
		}), db.IsUnique},
		"swallows an error": {bad(func(tx *db.Tx) error {
			_, _ = tx.ExecRows("INSERT INTO items (id, n) VALUES ('bad', 2)")
			tx.Exec("INSERT INTO items (id, n) VALUES ('bad3', 2)")
			return nil
		}), db.IsUnique},
		"meets another row count": {bad(func(tx *db.Tx) error {
			tx.ExecOne(errOwn, "UPDATE items SET n = 3 WHERE id = 'nobody'")
			tx.Exec("INSERT INTO items (id, n) VALUES ('bad3', 2)")
			return nil
		}), func(err error) bool { return err == errOwn }},
		"meets another row count and calls it full": {bad(func(tx *db.Tx) error {
			tx.ExecOne(caos.Errorf(caos.Full, "no slot left"), "UPDATE items SET n = 3 WHERE id = 'nobody'")
			return nil
		}), func(err error) bool { return caos.KindOf(err) == caos.Full && !errors.Is(err, db.ErrAborted) }},
		"has a syntax error": {bad(func(tx *db.Tx) error { tx.Exec("INSERT INTO"); return nil }),
			func(err error) bool { return err != nil && !errors.Is(err, db.ErrAborted) }},
		"has a bad argument": {bad(func(tx *db.Tx) error { tx.Exec("UPDATE items SET n = $1", struct{}{}); return nil }),
			func(err error) bool { return err != nil && !errors.Is(err, db.ErrAborted) }},
		"passes a time": {bad(func(tx *db.Tx) error { tx.Exec("UPDATE items SET n = $1", time.Time{}); return nil }),
			func(err error) bool { return err != nil && strings.Contains(err.Error(), "UnixMicro") }},
		"commits": {bad(func(tx *db.Tx) error { tx.Exec(" commit ;"); return nil }),
			func(err error) bool { return err != nil && !errors.Is(err, db.ErrAborted) }},
		"panics": {bad(func(*db.Tx) error { panic("oh") }),
			func(err error) bool { return caos.KindOf(err) == caos.Internal && strings.Contains(err.Error(), "oh") }},
		"ends its goroutine": {bad(func(*db.Tx) error { runtime.Goexit(); return nil }),
			func(err error) bool { return caos.KindOf(err) == caos.Internal }},
	}
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		url := dbtest.URL(t, dialect)
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				d, s := open(t, dialect, db.Options{URL: url})
				clear(t, d)
				for _, with := range [][]func(*db.Tx) error{{insert("a"), c.fn, insert("b")}, {c.fn}, {c.fn, c.fn, insert("c")}} {
					for i, err := range together(t, d, with...) {
						id := fmt.Sprintf("function %d of %d", i, len(with))
						if len(with) == 3 && i == 2 || len(with) == 3 && i == 0 && s.committed.Load() == 1 {
							if err != nil {
								t.Errorf("%s: %v", id, err)
							}
						} else if !c.want(err) {
							t.Errorf("%s: %v", id, err)
						}
					}
				}
				check(t, d, "a b c")
			})
		}
	})
}

// Nobody is answered before COMMIT has returned.
//
// Mutation: answer a failed function in runPart.
func TestAnswersComeAfterCommit(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		var answered atomic.Int32
		early := false
		fault := &db.Fault{At: func(p db.Point) db.Action {
			early = early || p == db.AtCommitted && answered.Load() > 0
			return db.Proceed
		}}
		d, _ := open(t, dialect, db.Options{Fault: fault})
		begun, hold := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		update := func(fn func(*db.Tx) error) {
			wg.Go(func() { _ = d.Update(context.Background(), fn); answered.Add(1) })
		}
		update(func(*db.Tx) error { close(begun); <-hold; return errOwn })
		<-begun
		update(func(*db.Tx) error { return errOwn })
		db.AwaitWaiting(d, 1)
		update(insert("a"))
		db.AwaitWaiting(d, 2)
		close(hold)
		wg.Wait()
		if early {
			t.Error("answered before COMMIT")
		}
		check(t, d, "a")
	})
}

// A function that takes too long is cut off; its transaction goes on without it, and what
// it still tries is refused.
//
// Mutations: no timer in caller.call (the test hangs); Tx.end without w = nil (late row).
func TestSlowFunction(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		d, _ := open(t, dialect, db.Options{Budget: 60 * time.Millisecond})
		hang, late := make(chan struct{}), make(chan error, 3)
		slow := func(tx *db.Tx) error {
			tx.Exec("INSERT INTO items (id, n) VALUES ('slow', 1)")
			row := tx.QueryRow("SELECT count(*) FROM items")
			<-hang
			tx.Exec("INSERT INTO items (id, n) VALUES ('late', 1)")
			tx.Emit("late")
			var n int
			late <- row.Scan(&n)
			_, err := tx.ExecRows("INSERT INTO items (id, n) VALUES ('late', 1)")
			late <- err
			late <- tx.Err()
			return nil
		}
		start := time.Now()
		errs := together(t, d, insert("a"), slow, insert("b"))
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		if errs[0] != nil || errs[2] != nil || caos.KindOf(errs[1]) != caos.Unavailable {
			t.Errorf("answers: %v", errs)
		}
		close(hang)
		for range cap(late) {
			if err := <-late; err == nil {
				t.Error("a revoked transaction was used")
			}
		}
		if err := d.Update(t.Context(), insert("c")); err != nil {
			t.Error(err)
		}
		check(t, d, "a b c")
	})
}

// A function that uses the database behind its transaction's back waits for itself; the
// budget ends that.
func TestNestedUse(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		d, _ := open(t, dialect, db.Options{Budget: 60 * time.Millisecond})
		inner := make(chan error, 1)
		err := d.Update(t.Context(), func(tx *db.Tx) error {
			inner <- d.Update(context.Background(), insert("inner"))
			return nil
		})
		if caos.KindOf(err) != caos.Unavailable {
			t.Errorf("outer: %v", err)
		}
		if err := <-inner; err != nil {
			t.Errorf("inner: %v", err)
		}
		err = d.Update(t.Context(), func(tx *db.Tx) error {
			var n int
			tx.Emit("outer")
			tx.Exec("INSERT INTO items (id, n) VALUES ('outer', 1)")
			return d.QueryRow(context.Background(), "SELECT count(*) FROM items").Scan(&n)
		})
		if err != nil {
			t.Errorf("read: %v", err)
		}
		check(t, d, "inner outer")
	})
}

// A context that ends while its caller waits takes it out of the queue: nothing happened.
// One that ends later changes nothing: the caller gets the outcome.
//
// Mutation: returning ctx.Err() in submit without take (the second part).
func TestCancelled(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		d, _ := open(t, dialect, db.Options{})
		if err := d.Update(ended(t), insert("x")); !errors.Is(err, context.Canceled) || !errors.Is(err, db.ErrAborted) {
			t.Errorf("already over: %v", err)
		}

		begun, hold := make(chan struct{}), make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		during := make(chan error, 1)
		go func() {
			during <- d.Update(ctx, func(tx *db.Tx) error {
				tx.Exec("INSERT INTO items (id, n) VALUES ('during', 1)")
				tx.Emit("during")
				close(begun)
				<-hold
				return nil
			})
		}()
		<-begun
		waiting, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() { left <- d.Update(waiting, insert("left")) }()
		db.AwaitWaiting(d, 1)
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) || caos.KindOf(err) != caos.Unavailable {
			t.Errorf("while waiting: %v", err)
		}
		cancel()
		close(hold)
		if err := <-during; err != nil {
			t.Errorf("during: %v", err)
		}
		check(t, d, "during")
	})
}

func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// Closing lets the transaction under way end and turns away who waits.
func TestCloseWhileBusy(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		url := dbtest.URL(t, dialect)
		d, _ := open(t, dialect, db.Options{URL: url, MaxBatch: 1})
		begun, hold := make(chan struct{}), make(chan struct{})
		busy, waiting, writing := make(chan error, 1), make(chan error, 1), make(chan error, 1)
		go func() {
			busy <- d.Update(context.Background(), func(tx *db.Tx) error { close(begun); <-hold; return insert("busy")(tx) })
		}()
		<-begun
		go func() { waiting <- d.Update(context.Background(), insert("waiting")) }()
		db.AwaitWaiting(d, 1)
		closed := make(chan error, 1)
		go func() { closed <- d.Close() }()
		db.AwaitClosing(d)
		go func() { writing <- d.Write(context.Background(), insert("writing")) }()
		for _, c := range []chan error{writing} {
			if err := <-c; caos.KindOf(err) != caos.Unavailable || !errors.Is(err, db.ErrAborted) {
				t.Errorf("late caller: %v", err)
			}
		}
		close(hold)
		if err := <-busy; err != nil {
			t.Errorf("busy: %v", err)
		}
		if err := <-waiting; caos.KindOf(err) != caos.Unavailable {
			t.Errorf("waiting: %v", err)
		}
		if err := <-closed; err != nil {
			t.Errorf("close: %v", err)
		}
		again := dbtest.OpenWith(t, db.Options{URL: url})
		check(t, again, "busy")
	})
}

// Write leaves no seal, and takes turns with Update.
func TestWrite(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		d, _ := open(t, dialect, db.Options{})
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				if err := d.Write(t.Context(), func(tx *db.Tx) error {
					tx.Exec("INSERT INTO items (id, n) VALUES ($1, 0)", fmt.Sprintf("w%02d", i))
					return nil
				}); err != nil {
					t.Error(err)
				}
				if err := d.Update(t.Context(), insert(fmt.Sprintf("u%02d", i))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := len(strings.Fields(ids(t, d))); n != 80 || sealed(t, d) != 40 {
			t.Errorf("%d items, %d sealed", n, sealed(t, d))
		}
		if err := d.Write(t.Context(), func(tx *db.Tx) error { tx.Exec("INSERT INTO nowhere VALUES (1)"); return nil }); err == nil {
			t.Error("write into nowhere succeeded")
		}
	})
}
