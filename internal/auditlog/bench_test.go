package auditlog

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"caos/internal/db"
	"caos/internal/verify"
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

// BenchmarkVerify measures Verify over CAOS_BENCH_RECORDS records (1,000,000 if it is not
// set) of about 1 KB, on a file as an auditor would have it.
func BenchmarkVerify(b *testing.B) {
	n := 1_000_000
	if s := os.Getenv("CAOS_BENCH_RECORDS"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	f := newFixture(b, db.SQLite, fixtureOptions{every: time.Second})
	r := kilobyte()
	start := time.Now()
	for i := 0; i < n; i += 1000 {
		err := f.d.Update(context.Background(), func(tx *db.Tx) error {
			for j := range min(1000, n-i) {
				r.Actor = "user-" + strconv.Itoa(j%17)
				if _, err := f.Append(tx, r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("%d records appended in %v", n, time.Since(start))
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	f.d.Close()
	for b.Loop() {
		cpu := processorTime(b)
		sum, err := Verify(context.Background(), VerifyOptions{Path: strings.TrimPrefix(f.url, "sqlite:"), Published: []Sink{f.sink}})
		if err != nil || sum.Problems > 0 || sum.Records != int64(n+genesis) {
			b.Fatalf("%+v, %v", sum, err)
		}
		b.ReportMetric(sum.Took.Seconds(), "s")
		b.ReportMetric((processorTime(b) - cpu).Seconds(), "cpu-s")
		b.ReportMetric(float64(sum.Checkpoints), "checkpoints")
	}
}

// processorTime is what this process has used, which a busy machine does not disturb.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOpenCheckpoint is what Verify spends on each published checkpoint.
func BenchmarkOpenCheckpoint(b *testing.B) {
	f := newFixture(b, db.SQLite, fixtureOptions{})
	trust := f.trust(b)
	note, err := f.Checkpoint(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := verify.OpenLoggedCheckpoint(note, trust); err != nil {
			b.Fatal(err)
		}
	}
}
