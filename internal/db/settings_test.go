package db_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// Durability and safety hang on settings of the connection that writes; they are read back
// through a function's own transaction.
func TestWriterSettings(t *testing.T) {
	want := map[db.Dialect]map[string]string{
		db.SQLite: {
			"SELECT journal_mode FROM pragma_journal_mode": "wal",
			"SELECT synchronous FROM pragma_synchronous":   "2",
			"SELECT foreign_keys FROM pragma_foreign_keys": "1",
			"SELECT timeout FROM pragma_busy_timeout":      "10000",
		},
		db.PostgreSQL: {
			"SELECT current_setting('idle_in_transaction_session_timeout')": "3s",
			"SELECT current_setting('synchronous_commit')":                  "on",
			"SELECT current_setting('application_name')":                    "caos",
		},
	}
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		for query, value := range want[d.Dialect()] {
			err := d.Update(t.Context(), func(tx *db.Tx) error {
				var got string
				err := tx.QueryRow(query).Scan(&got)
				if got != value {
					t.Errorf("%s: %q, want %q", query, got, value)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
}

// The read pool cannot write, so that nothing escapes the seal by it.
func TestReadersCannotWrite(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		d, _ := open(t, dialect, db.Options{})
		rows, err := d.Query(t.Context(), "INSERT INTO items (id, n) VALUES ('x', 1) RETURNING id")
		if err == nil {
			for rows.Next() {
			}
			err = rows.Err()
			rows.Close()
		}
		if err == nil {
			t.Error("a reader wrote")
		}
		check(t, d, "")
	})
}

func TestOpenRefuses(t *testing.T) {
	for url, field := range map[string]string{
		"":                              "database",
		"mysql://x":                     "database",
		"sqlite:":                       "database",
		"sqlite::memory:":               "database",
		"postgres://u:secret@[bad/port": "database",
	} {
		_, err := db.Open(t.Context(), db.Options{URL: url, Log: quiet})
		if e := caos.AsError(err); e.Kind != caos.Invalid || e.Field != field || e.Hint == "" || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := db.Open(t.Context(), db.Options{URL: "sqlite:" + t.TempDir() + "/no/such/folder/x.db", Log: quiet}); err == nil {
		t.Error("opened a file in a folder that does not exist")
	}
	if _, err := db.Open(t.Context(), db.Options{URL: "postgres://nobody@127.0.0.1:1/none", Log: quiet}); err == nil || strings.Contains(err.Error(), "password") {
		t.Errorf("no server: %v", err)
	}
}

// Nobody but the server may read the file.
func TestFileMode(t *testing.T) {
	url := dbtest.URL(t, db.SQLite)
	open(t, db.SQLite, db.Options{URL: url})
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(strings.TrimPrefix(url, "sqlite:") + suffix)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%q: %v, %v", suffix, info.Mode(), err)
		}
	}
}

// A path is taken as it is, whatever characters it has.
func TestOddPath(t *testing.T) {
	path := t.TempDir() + "/a b?c=%41#d&_pragma=synchronous(OFF).db"
	d := dbtest.OpenWith(t, db.Options{URL: "sqlite:" + path})
	if err := d.Update(t.Context(), func(tx *db.Tx) error { tx.Exec("CREATE TABLE x (y TEXT)"); return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// Nodes that start together migrate once.
func TestOpenTogether(t *testing.T) {
	url := dbtest.URL(t, db.PostgreSQL)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			d, err := db.Open(context.Background(), db.Options{URL: url, Log: quiet})
			if err != nil {
				t.Error(err)
				return
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// Unlike database/sql, the transaction may be used while the rows of a query are handled.
func TestUseInsideQuery(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		d, _ := open(t, dialect, db.Options{})
		err := d.Update(t.Context(), func(tx *db.Tx) error {
			for _, id := range []string{"a", "b"} {
				if err := insert(id)(tx); err != nil {
					return err
				}
			}
			return tx.Query("SELECT id, n = 1 FROM items ORDER BY id", nil, func(scan func(...any) error) error {
				var id string
				var one bool
				if err := scan(&id, &one); err != nil {
					return err
				}
				if !one {
					t.Errorf("%s: n = 1 is false", id)
				}
				return insert(id + id)(tx)
			})
		})
		if err != nil {
			t.Error(err)
		}
		check(t, d, "a aa b bb")
	})
}

// A server that ended all sessions, as at a restart, is not seen by those who read.
//
// Mutation: no retry in Query and QueryRow.
func TestReadersSurviveKill(t *testing.T) {
	url := dbtest.URL(t, db.PostgreSQL)
	d, _ := open(t, db.PostgreSQL, db.Options{URL: url})
	admin, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	var wg sync.WaitGroup
	for range 8 { // fills the pool
		wg.Go(func() {
			var n int
			if err := d.QueryRow(t.Context(), "SELECT count(*) FROM items, pg_sleep(0.05)").Scan(&n); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for range 2 {
		_, err := admin.Exec(t.Context(), `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		if err != nil {
			t.Fatal(err)
		}
		check(t, d, "")
		if err := d.Update(t.Context(), func(*db.Tx) error { return nil }); err != nil && !errors.Is(err, db.ErrAborted) {
			t.Error(err)
		}
	}
}
