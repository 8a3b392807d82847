package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"caos/internal/engine"
)

// metrics are what Prometheus is told about executions and this node (§11.2 of the
// specification), beside what the API tells about requests.
type metrics struct {
	ended   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	compute []prometheus.Collector
}

func newMetrics(alloc *engine.Allocator) *metrics {
	m := &metrics{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "caos_executions_ended_total",
			Help: "Executions that ended, by hook, version and status."}, []string{"hook_id", "hook_version", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "caos_execution_seconds",
			Help: "From submission to end, waits included.", Buckets: []float64{.005, .02, .1, .5, 2, 10, 60, 600, 3600, 86400}}, []string{"hook_id"}),
	}
	gauge := func(name, help string, read func(total, free engine.Resources, waiting int) float64) {
		m.compute = append(m.compute, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return read(alloc.Usage()) }))
	}
	gauge("caos_compute_memory_free_bytes", "Memory that the allocator has left.", func(_, free engine.Resources, _ int) float64 { return float64(free.MemoryBytes) })
	gauge("caos_compute_threads_free", "Threads that the allocator has left.", func(_, free engine.Resources, _ int) float64 { return float64(free.Threads) })
	gauge("caos_compute_waiting", "Requests for compute that wait.", func(_, _ engine.Resources, waiting int) float64 { return float64(waiting) })
	return m
}

func (m *metrics) collectors() []prometheus.Collector {
	return append([]prometheus.Collector{m.ended, m.seconds}, m.compute...)
}

// count counts an execution that ended on this node.
func (m *metrics) count(x engine.Execution) {
	m.ended.WithLabelValues(x.HookID, x.HookVersion, string(x.Status)).Inc()
	if x.FinishedAt == nil {
		return
	}
	from, err := time.Parse(time.RFC3339, x.CreatedAt)
	to, err2 := time.Parse(time.RFC3339, *x.FinishedAt)
	if err == nil && err2 == nil {
		m.seconds.WithLabelValues(x.HookID).Observe(to.Sub(from).Seconds())
	}
}
