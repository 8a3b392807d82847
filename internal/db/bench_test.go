package db_test

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// BenchmarkUpdate measures audited writes with many callers at once: "six" is a query, an
// insert, a compare-and-swap and three more inserts, as a short hook makes; "insert" is a
// single one. Every operation is durable and sealed when it counts.
func BenchmarkUpdate(b *testing.B) {
	for _, dialect := range []db.Dialect{db.SQLite, db.PostgreSQL} {
		b.Run(string(dialect)+"/six/64", func(b *testing.B) { benchmark(b, dialect, 64, sixStatements) })
		b.Run(string(dialect)+"/six/256", func(b *testing.B) { benchmark(b, dialect, 256, sixStatements) })
		b.Run(string(dialect)+"/insert/64", func(b *testing.B) { benchmark(b, dialect, 64, oneInsert) })
		b.Run(string(dialect)+"/insert/256", func(b *testing.B) { benchmark(b, dialect, 256, oneInsert) })
	}
}

func benchmark(b *testing.B, dialect db.Dialect, callers int, fn func(tx *db.Tx, id string) error) {
	d := dbtest.Open(b, dialect)
	err := d.Write(context.Background(), func(tx *db.Tx) error {
		tx.Exec("CREATE TABLE runs (id TEXT PRIMARY KEY, version BIGINT NOT NULL, state TEXT NOT NULL)")
		tx.Exec("CREATE TABLE steps (run TEXT NOT NULL, n BIGINT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (run, n))")
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	d.SetSealer(newCountingSealer(b, d))
	var serial atomic.Int64
	b.SetParallelism(callers / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			id := "EXEC-" + strconv.FormatInt(serial.Add(1), 10)
			if err := d.Update(context.Background(), func(tx *db.Tx) error { return fn(tx, id) }); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
}

var errStale = errors.New("stale")

func sixStatements(tx *db.Tx, id string) error {
	body := strings.Repeat("x", 200)
	var n int
	if err := tx.QueryRow("SELECT count(*) FROM runs WHERE id = $1", id).Scan(&n); err != nil {
		return err
	}
	tx.Exec("INSERT INTO runs (id, version, state) VALUES ($1, $2, $3)", id, 1, body)
	tx.ExecOne(errStale, "UPDATE runs SET version = version + 1 WHERE id = $1 AND version = $2", id, 1)
	for i := range 3 {
		tx.Exec("INSERT INTO steps (run, n, body) VALUES ($1, $2, $3)", id, i, body)
	}
	tx.Emit(id)
	return nil
}

func oneInsert(tx *db.Tx, id string) error {
	tx.Exec("INSERT INTO runs (id, version, state) VALUES ($1, $2, $3)", id, 1, "x")
	tx.Emit(id)
	return nil
}
