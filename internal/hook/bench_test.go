package hook

import (
	"context"
	"encoding/json"
	"testing"

	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// BenchmarkCertAudit submits audit reports from 64 callers in process: read, validated,
// authorised, judged, durable and sealed.
func BenchmarkCertAudit(b *testing.B) {
	for _, dialect := range []db.Dialect{db.SQLite, db.PostgreSQL} {
		b.Run(string(dialect), func(b *testing.B) {
			w := newWorld(b, dbtest.Open(b, dialect))
			body, err := json.Marshal(auditInput(nil))
			if err != nil {
				b.Fatal(err)
			}
			by := w.as("mlo")
			b.SetParallelism(32)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					x, err := w.Submit(context.Background(), Request{Hook: auditHook, Body: body, ContentType: "application/json", By: by})
					if err != nil || !x.Status.Final() {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reports/s")
		})
	}
}

// BenchmarkModelFreeze freezes a version with 1 MB of weights, from the submission to its
// end: gates, baseline, signature, passport, notices, planning. Each round has a version, and
// an installation, of its own.
func BenchmarkModelFreeze(b *testing.B) {
	for _, dialect := range []db.Dialect{db.SQLite, db.PostgreSQL} {
		b.Run(string(dialect), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				w := newWorld(b, dbtest.Open(b, dialect))
				w.ready(1 << 20)
				b.StartTimer()
				var out FreezeOutput
				w.done("conny", freezeHook, freezeRequest(nil), &out)
				b.StopTimer()
				w.close()
				b.StartTimer()
			}
		})
	}
}
