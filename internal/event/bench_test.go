package event

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// BenchmarkEmitToDelivered measures events from Emit in a transaction of their own, 64 at a
// time, to their delivery, for both kinds of subscriber.
func BenchmarkEmitToDelivered(b *testing.B) {
	for _, dialect := range []db.Dialect{db.SQLite, db.PostgreSQL} {
		for _, kind := range []string{"Handle", "InTx"} {
			b.Run(string(dialect)+"/"+kind, func(b *testing.B) {
				d := dbtest.Open(b, dialect)
				o, err := Open(Options{DB: d, Stamps: caos.NewStamper(time.Now, time.Time{}, 0, 1)})
				if err != nil {
					b.Fatal(err)
				}
				defer o.Close()
				var heard atomic.Int64
				done := make(chan struct{})
				count := func() error {
					if heard.Add(1) == int64(b.N) {
						close(done)
					}
					return nil
				}
				s := Subscription{Name: "s", Pattern: "*"}
				if kind == "InTx" {
					s.InTx = func(*db.Tx, Event) error { return count() }
				} else {
					s.Handle = func(context.Context, Event) error { return count() }
				}
				if err := o.Subscribe(s); err != nil {
					b.Fatal(err)
				}
				if err := o.Start(context.Background()); err != nil {
					b.Fatal(err)
				}
				b.SetParallelism(32)
				b.ResetTimer()
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						if err := d.Update(context.Background(), func(tx *db.Tx) error {
							return o.Emit(tx, Event{Type: "caos.thing.happened", Subject: "s"})
						}); err != nil {
							b.Error(err)
						}
					}
				})
				emitted := b.Elapsed()
				<-done
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
				b.ReportMetric(float64((b.Elapsed() - emitted).Milliseconds()), "ms-behind")
			})
		}
	}
}
