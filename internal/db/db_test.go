package db_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"caos/internal/db"
	"caos/internal/db/dbtest"
)

func table(t testing.TB, d *db.DB) {
	t.Helper()
	err := d.Write(context.Background(), func(tx *db.Tx) error {
		tx.Exec("CREATE TABLE items (id TEXT PRIMARY KEY, n BIGINT NOT NULL)")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func count(t testing.TB, d *db.DB) (n int) {
	t.Helper()
	if err := d.QueryRow(context.Background(), "SELECT count(*) FROM items").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestStatements(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		table(t, d)
		after := false
		err := d.Update(t.Context(), func(tx *db.Tx) error {
			tx.Exec("INSERT INTO items (id, n) VALUES ($1, $2)", "a", 1)
			tx.ExecOne(errors.New("no a"), "UPDATE items SET n = $1 WHERE id = $2", 2, "a")
			n, err := tx.ExecRows("INSERT INTO items (id, n) VALUES ($1, $2), ($3, $4)", "b", 3, "c", 4)
			if err != nil || n != 2 {
				t.Errorf("ExecRows: %d, %v", n, err)
			}
			var sum int64
			if err := tx.QueryRow("SELECT sum(n) FROM items").Scan(&sum); err != nil || sum != 9 {
				t.Errorf("sum: %d, %v", sum, err)
			}
			if err := tx.QueryRow("SELECT n FROM items WHERE id = $1", "x").Scan(&sum); err != sql.ErrNoRows {
				t.Errorf("no row: %v", err)
			}
			ids := ""
			err = tx.Query("SELECT id FROM items WHERE n > $1 ORDER BY id", []any{1}, func(scan func(...any) error) error {
				var id string
				err := scan(&id)
				ids += id
				return err
			})
			tx.AfterCommit(func() { after = true })
			if ids != "abc" {
				t.Errorf("ids: %q", ids)
			}
			return err
		})
		if err != nil || !after || count(t, d) != 3 {
			t.Fatalf("err %v, after %v, count %d", err, after, count(t, d))
		}
		err = d.Update(t.Context(), func(tx *db.Tx) error {
			tx.Exec("INSERT INTO items (id, n) VALUES ($1, $2)", "d", 1)
			tx.Exec("INSERT INTO items (id, n) VALUES ($1, $2)", "a", 1)
			return nil
		})
		if !db.IsUnique(err) || count(t, d) != 3 {
			t.Fatalf("err %v, count %d", err, count(t, d))
		}
	})
}
