package importer_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/importer"
)

// models is a registry of n models.
func manyModels(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"models":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"model_id":"NN-A-%03d","model_name":"A","version":"1.0.0","safety_level":"DAL-E","baseline_id":"BL-A-%03d-1.0.0","target_platforms":["x"]}`, i+100, i+100)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// BenchmarkPiece says how long the longest transaction of an import takes: it has to stay
// well below what db.Update gives.
func BenchmarkPiece(b *testing.B) {
	for _, c := range []struct {
		name string
		data []byte
	}{{"links", long(1500)}, {"models", manyModels(60)}} {
		for _, dialect := range []db.Dialect{db.SQLite, db.PostgreSQL} {
			b.Run(c.name+"/"+string(dialect), func(b *testing.B) {
				for b.Loop() {
					w := newWorld(b, dbtest.Open(b, dialect))
					plan, err := importer.Read("long", c.data)
					w.ok(err)
					var worst, first time.Duration
					_, err = importer.Run(func(fn func(tx *db.Tx) error) error {
						return w.do(func(tx *db.Tx) error {
							start := time.Now()
							err := fn(tx)
							took := time.Since(start)
							if first == 0 {
								first = took
							}
							worst = max(worst, took)
							return err
						})
					}, w.Registry, plan, programmeProject, carla)
					w.ok(err)
					b.ReportMetric(float64(worst.Microseconds())/1000, "ms/longest")
					b.ReportMetric(float64(first.Microseconds())/1000, "ms/first")
				}
			})
		}
	}
}
