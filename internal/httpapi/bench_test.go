package httpapi

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkSubmit is CERT.AUDIT through TLS with keep-alive, 64 clients in this process.
func BenchmarkSubmit(b *testing.B) {
	w := newWorld(b)
	body := must(json.Marshal(report()))(b)
	const clients = 64
	var left atomic.Int64
	left.Store(int64(b.N))
	var mu sync.Mutex
	var took []time.Duration
	var wg sync.WaitGroup
	b.ResetTimer()
	began := time.Now()
	for range clients {
		wg.Go(func() {
			var own []time.Duration
			for left.Add(-1) >= 0 {
				start := time.Now()
				req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, w.url+auditPathURL, bytes.NewReader(body))
				if err != nil {
					b.Error(err)
					return
				}
				req.Header.Set("Authorization", "Bearer "+w.tokens["mo"])
				req.Header.Set("Content-Type", "application/json")
				resp, err := w.client.Do(req)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					b.Errorf("status %d", resp.StatusCode)
					return
				}
				own = append(own, time.Since(start))
			}
			mu.Lock()
			took = append(took, own...)
			mu.Unlock()
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	if len(took) > 0 {
		b.ReportMetric(float64(len(took))/time.Since(began).Seconds(), "exec/s")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	}
}

// BenchmarkFrame is a guarded GET without work behind it: what the frame itself costs.
func BenchmarkFrame(b *testing.B) {
	w := newWorld(b)
	for b.Loop() {
		w.do("mo", "GET", "/v1/roles", nil)
	}
}
