package db_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// TestAgainstModel runs random functions in one transaction and compares what is there
// afterwards with a model that runs them one after another, each whole or not at all. It is
// the test of the statements that PostgreSQL keeps back across functions: whichever of them
// fails, and however late that is found, only its function may be undone, and functions
// behind it must come to the same rows.
//
// Mutations that make it fail: releasing savepoints optimistically; not sending the rest
// again after a failure in wire.flush; taking a savepoint's name that is still open.
func TestAgainstModel(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		d, _ := open(t, dialect, db.Options{})
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 1))
		model := map[string]int{}
		sealedBefore := 0
		for round := range 40 {
			plans := make([]plan, 1+random.IntN(60))
			fns := make([]func(*db.Tx) error, len(plans))
			for i := range plans {
				plans[i] = makePlan(random)
				fns[i] = plans[i].run
			}
			errs := together(t, d, fns...)
			for i, p := range plans {
				next, ok := p.apply(model)
				if ok {
					model = next
					sealedBefore++
				}
				if ok != (errs[i] == nil) {
					t.Fatalf("round %d, function %d %v: answer %v, model %v", round, i, p, errs[i], ok)
				}
			}
			compare(t, d, model, round)
			if n := sealed(t, d); n != sealedBefore {
				t.Fatalf("round %d: %d sealed, want %d", round, n, sealedBefore)
			}
		}
	})
}

func compare(t *testing.T, d *db.DB, model map[string]int, round int) {
	t.Helper()
	var want []string
	for _, id := range slices.Sorted(maps.Keys(model)) {
		want = append(want, fmt.Sprintf("%s=%d", id, model[id]))
	}
	rows, err := d.Query(t.Context(), "SELECT id, n FROM items ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var id string
		var n int
		if err := rows.Scan(&id, &n); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s=%d", id, n))
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("round %d:\n got %v\nwant %v", round, got, want)
	}
}

// plan is what a random function does, one letter per statement.
type plan struct {
	ops  string // i insert, u update one that must be there, r read, d delete, e own error, p panic, w read twice
	keys []string
}

func makePlan(random *rand.Rand) plan {
	var p plan
	for range random.IntN(6) {
		op := "iiiuuurdd"[random.IntN(9)]
		if random.IntN(25) == 0 {
			op = "ep"[random.IntN(2)]
		}
		p.ops += string(op)
		p.keys = append(p.keys, string(rune('a'+random.IntN(20))))
	}
	return p
}

func (p plan) run(tx *db.Tx) error {
	for i, op := range p.ops {
		id := p.keys[i]
		switch op {
		case 'i':
			tx.Exec("INSERT INTO items (id, n) VALUES ($1, 1)", id)
		case 'u':
			tx.ExecOne(errStale, "UPDATE items SET n = n + 1 WHERE id = $1", id)
		case 'd':
			tx.Exec("DELETE FROM items WHERE id = $1", id)
		case 'r': // doubles what it reads, so that a stale read shows
			var n int
			if err := tx.QueryRow("SELECT COALESCE(max(n), 0) FROM items WHERE id = $1", id).Scan(&n); err != nil {
				return err
			}
			tx.Exec("UPDATE items SET n = $1 WHERE id = $2", n%1000*2, id)
		case 'e':
			return errors.New("own error")
		case 'p':
			panic("own panic")
		}
	}
	tx.Emit(p.ops)
	return nil
}

// apply is the model: the rows after the plan, or false if it fails.
func (p plan) apply(rows map[string]int) (map[string]int, bool) {
	rows = maps.Clone(rows)
	for i, op := range p.ops {
		id := p.keys[i]
		n, there := rows[id]
		switch {
		case op == 'i' && there, op == 'u' && !there, op == 'e', op == 'p':
			return nil, false
		case op == 'i':
			rows[id] = 1
		case op == 'u':
			rows[id] = n + 1
		case op == 'd':
			delete(rows, id)
		case op == 'r' && there:
			rows[id] = n % 1000 * 2
		}
	}
	return rows, true
}

// More statements, and more bytes, than are kept back at once.
func TestManyStatements(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		d, _ := open(t, dialect, db.Options{Budget: 20 * time.Second})
		many := func(prefix string, pad, twice int) func(*db.Tx) error {
			return func(tx *db.Tx) error {
				for i := range 1300 {
					tx.Exec("INSERT INTO items (id, n) VALUES ($1, $2)", fmt.Sprint(prefix, i, strings.Repeat("x", pad)), i)
					tx.Emit(i)
				}
				if twice >= 0 {
					tx.Exec("INSERT INTO items (id, n) VALUES ($1, $2)", fmt.Sprint(prefix, twice, strings.Repeat("x", pad)), 0)
				}
				return nil
			}
		}
		errs := together(t, d, many("a", 0, -1), many("b", 0, 5), many("c", 1500, -1), many("d", 1500, 1290), many("e", 0, 1299))
		for i, failed := range []bool{false, true, false, true, true} {
			if db.IsUnique(errs[i]) != failed || (errs[i] != nil) != failed {
				t.Errorf("function %d: %v", i, errs[i])
			}
		}
		if n := len(strings.Fields(ids(t, d))); n != 2600 || sealed(t, d) != n {
			t.Errorf("%d items, %d sealed", n, sealed(t, d))
		}
	})
}

// More different texts than the statement cache holds, in one function and across many.
func TestManyTexts(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		d, _ := open(t, dialect, db.Options{Budget: 20 * time.Second})
		for round := range 3 {
			err := d.Update(t.Context(), func(tx *db.Tx) error {
				for i := range 400 {
					id := fmt.Sprintf("%d-%03d", round, i)
					tx.Exec("INSERT INTO items (id, n) VALUES ('"+id+"', $1)", i)
					tx.Emit(id)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if n := len(strings.Fields(ids(t, d))); n != 1200 || sealed(t, d) != n {
			t.Errorf("%d items, %d sealed", n, sealed(t, d))
		}
	})
}
