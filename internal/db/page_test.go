package db_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// TestPage walks a list whose items share moments, in pages that end between them.
func TestPage(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		var want []string
		write := func(tx *db.Tx) error {
			tx.Exec(`CREATE TABLE things (id TEXT PRIMARY KEY, at BIGINT NOT NULL, color TEXT NOT NULL)`)
			for i := range 9 {
				id := "T" + strconv.Itoa(i)
				tx.Exec(`INSERT INTO things (id, at, color) VALUES ($1, $2, $3)`, id, 100+i/4, []string{"red", "blue"}[i%2])
				if i%2 == 0 && i > 0 {
					want = append(want, id)
				}
			}
			return nil
		}
		if err := d.Write(t.Context(), write); err != nil {
			t.Fatal(err)
		}
		slices.Reverse(want)
		type thing struct {
			id string
			at int64
		}
		read := func(color, cursor string, limit int) ([]thing, string, error) {
			w := new(db.Where)
			w.Is("color", color)
			w.Is("id", "")
			w.And("id > ? AND id < ?", "T0", "T9")
			return db.Page(d.Reader(t.Context()), w, db.Listing[thing]{Columns: "id, at", From: "things", At: "at", ID: "id", Limit: limit,
				Scan: func(scan func(...any) error) (v thing, err error) {
					err = scan(&v.id, &v.at)
					return v, err
				},
				Key: func(v thing) (time.Time, string) { return time.UnixMicro(v.at), v.id },
			}, cursor)
		}
		var got []string
		for cursor, n := "", 0; n == 0 || cursor != ""; n++ {
			list, next, err := read("red", cursor, 2)
			if err != nil || n > 2 {
				t.Fatalf("page %d: %v", n, err)
			}
			for _, v := range list {
				got = append(got, v.id)
			}
			cursor = next
		}
		if !slices.Equal(got, want) {
			t.Errorf("read %v, want %v", got, want)
		}
		for _, never := range []string{"green", "re\x00d", "re\xff"} {
			if list, next, err := read(never, "", 0); err != nil || list == nil || len(list) != 0 || next != "" {
				t.Errorf("%q: %v %q %v, want an empty list", never, list, next, err)
			}
		}
		if _, _, err := read("", "x", 0); caos.KindOf(err) != caos.Invalid {
			t.Errorf("a cursor that is none: %v", err)
		}
	})
}
