package engine

import (
	"context"
	"encoding/json"
	"testing"

	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// BenchmarkMixed runs executions of seven steps (4 InTx, 3 Calls without an effect) from 20
// callers, each until it has ended.
func BenchmarkMixed(b *testing.B) {
	nop := func(*db.Tx, *Run, *sampleState) error { return nil }
	call := func(context.Context, *Run, *sampleState) error { return nil }
	p := Plan[sampleState]{Hook: sampleHook, Version: "1.0.0", Revision: 1, Schema: 1,
		Begin: func(*Run, json.RawMessage) (*sampleState, error) { return &sampleState{}, nil },
		Steps: []Step[sampleState]{InTx(1, "a", "a", nop), Call(2, "b", "b", call), InTx(3, "c", "c", nop), Call(4, "d", "d", call),
			InTx(5, "e", "e", nop), Call(6, "f", "f", call), InTx(7, "g", "g", nop)},
		Output: func(s *sampleState) any { return s }}
	for _, dialect := range []db.Dialect{db.SQLite, db.PostgreSQL} {
		b.Run(string(dialect), func(b *testing.B) {
			ended := make(chan string, 1024)
			w := start(b, dbtest.Open(b, dialect), b.TempDir(), func(o *Options) { o.OnFinal = func(x Execution) { ended <- x.ID } }, p.Flow())
			sem := make(chan struct{}, 20)
			b.ResetTimer()
			go func() {
				for range b.N {
					sem <- struct{}{}
					go func() {
						if _, err := w.submit(""); err != nil {
							b.Error(err)
						}
					}()
				}
			}()
			for range b.N {
				<-ended
				<-sem
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "executions/s")
		})
	}
}
