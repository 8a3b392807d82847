package readiness

import (
	"context"
	"fmt"
	"testing"

	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// BenchmarkDue looks for what is due among 10,000 open items with a date, none of which is.
func BenchmarkDue(b *testing.B) {
	for _, dialect := range []db.Dialect{db.SQLite, db.PostgreSQL} {
		b.Run(string(dialect), func(b *testing.B) {
			d := newDesk(b, dbtest.Open(b, dialect), 0)
			for n := range 312 {
				d.open(delay(fmt.Sprintf("1.%d.0", n)))
			}
			d.must(func(tx *db.Tx) error {
				tx.Exec(`UPDATE checklist_items SET due_on = '2027-11-25'`)
				return nil
			})
			now := d.on("2026-11-24")
			b.ResetTimer()
			for b.Loop() {
				if list, err := d.Due(context.Background(), now); err != nil || len(list) != 0 {
					b.Fatal(len(list), err)
				}
			}
		})
	}
}

// BenchmarkChecklist reads a checklist of 32 items, as every gate of a review does.
func BenchmarkChecklist(b *testing.B) {
	for _, dialect := range []db.Dialect{db.SQLite, db.PostgreSQL} {
		b.Run(string(dialect), func(b *testing.B) {
			d := newDesk(b, dbtest.Open(b, dialect), 0)
			c := d.open(delay("1.0.0"))
			b.ResetTimer()
			for b.Loop() {
				if _, err := d.Checklist(context.Background(), c.ChecklistID); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
