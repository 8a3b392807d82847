package db_test

import (
	"context"
	"sync/atomic"
	"testing"

	"caos/internal/db"
)

// countingSealer stands for the audit log: a head row that every audited transaction locks
// first, and one seal row per transaction that counts the entries.
type countingSealer struct {
	size      int64 // of the head read by Begin; used by the committing goroutine alone
	committed atomic.Int64
	aborted   atomic.Int64
	unknown   atomic.Int64
	sealErr   atomic.Pointer[error]
}

func newCountingSealer(t testing.TB, d *db.DB) *countingSealer {
	t.Helper()
	err := d.Write(context.Background(), func(tx *db.Tx) error {
		tx.Exec("CREATE TABLE IF NOT EXISTS head (one BIGINT PRIMARY KEY, size BIGINT NOT NULL)")
		tx.Exec("CREATE TABLE IF NOT EXISTS seals (first BIGINT PRIMARY KEY, entries BIGINT NOT NULL)")
		tx.Exec("INSERT INTO head (one, size) VALUES (1, 0) ON CONFLICT DO NOTHING")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return &countingSealer{}
}

func (s *countingSealer) Begin(tx *db.Tx) error {
	query := "SELECT size FROM head WHERE one = 1"
	if tx.Dialect() == db.PostgreSQL {
		query += " FOR UPDATE"
	}
	return tx.QueryRow(query).Scan(&s.size)
}

func (s *countingSealer) Seal(tx *db.Tx, entries []any) error {
	if err := s.sealErr.Load(); err != nil {
		return *err
	}
	tx.Exec("INSERT INTO seals (first, entries) VALUES ($1, $2)", s.size, len(entries))
	tx.ExecOne(errStale, "UPDATE head SET size = $1 WHERE one = 1 AND size = $2", s.size+int64(len(entries)), s.size)
	return nil
}

func (s *countingSealer) Done(committed, unknown bool) {
	switch {
	case committed:
		s.committed.Add(1)
	case unknown:
		s.unknown.Add(1)
	default:
		s.aborted.Add(1)
	}
}

// sealed returns how many entries the seals count.
func sealed(t testing.TB, d *db.DB) (n int) {
	t.Helper()
	if err := d.QueryRow(context.Background(), "SELECT COALESCE(sum(entries), 0) FROM seals").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
