package hook

import (
	"sort"
	"testing"
	"time"

	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// BenchmarkDataPipelineEmpty is what a run costs before there is any data: from submission to
// report, with a contract, on a table without rows.
func BenchmarkDataPipelineEmpty(b *testing.B) {
	w := newWorld(b, dbtest.Open(b, db.SQLite))
	w.write("flights.csv", "flight_date,carrier,distance,delay\n")
	w.registerData(w.daily(""), emptyRules)
	w.runs(nil) // the worker is built and in the page cache
	var all []time.Duration
	for b.Loop() {
		began := time.Now()
		x, _ := w.runs(nil)
		all = append(all, time.Since(began))
		w.ended(x, pipelineSuccess)
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)-1].Microseconds())/1000, "max-ms")
}

// emptyRules allows a table without rows.
const emptyRules = `apiVersion: v3.1.0
kind: DataContract
id: 95-00-09-02-004
version: 1.0.0
status: active
schema:
  - name: train
    properties:
      - name: carrier
        logicalType: string
        required: true
    quality:
      - id: rows
        type: library
        metric: rowCount
        mustBeGreaterOrEqualTo: 0
`
