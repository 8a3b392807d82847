package auditlog

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"caos/internal/db"
)

// BenchmarkAppend measures durable, sealed records of 1 KB by numbers of callers that each
// wait for theirs.
func BenchmarkAppend(b *testing.B) {
	for _, dialect := range []db.Dialect{db.SQLite, db.PostgreSQL} {
		for _, callers := range []int{1, 64, 256} {
			b.Run(fmt.Sprintf("%s-%d", dialect, callers), func(b *testing.B) {
				f := newFixture(b, dialect, fixtureOptions{every: time.Second})
				r := kilobyte()
				b.ResetTimer()
				var wg sync.WaitGroup
				todo := make(chan struct{}, b.N)
				for range b.N {
					todo <- struct{}{}
				}
				close(todo)
				for range callers {
					wg.Go(func() {
						for range todo {
							err := f.d.Update(context.Background(), func(tx *db.Tx) error {
								_, err := f.Append(tx, r)
								return err
							})
							if err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			})
		}
	}
}

func kilobyte() Record {
	return Record{
		Type: Deployment, Actor: "user-17", RecordedBy: "ci", Resources: []string{"NN-FCS-001"},
		Details: map[string]any{"note": strings.Repeat("x", 700), "platform": "edge-7", "attempt": 3},
	}
}

func BenchmarkPrepare(b *testing.B) {
	f := newFixture(b, db.SQLite, fixtureOptions{})
	r := kilobyte()
	for b.Loop() {
		if err := r.check(); err != nil {
			b.Fatal(err)
		}
		if _, err := f.prepare(r); err != nil {
			b.Fatal(err)
		}
	}
}
