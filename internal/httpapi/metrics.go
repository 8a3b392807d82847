package httpapi

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"caos/internal/engine"
)

// metrics are what the API counts about itself. The registry belongs to the installation:
// other packages' collectors come in through Options.Collectors.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	executed *prometheus.CounterVec
	streams  prometheus.Gauge
	unrouted *routeMetrics
	busy     atomic.Int64 // requests under way
}

func newMetrics(more []prometheus.Collector) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "caos_http_requests_total", Help: "Requests answered, by route, method and status.",
		}, []string{"route", "method", "status"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "caos_http_request_duration_seconds", Help: "Time from the request's headers to the end of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .02, .04, .08, .16, .32, .64, 1.28, 5, 30},
		}, []string{"route", "method"}),
		executed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "caos_submissions_total", Help: "Executions returned to their submitters, by hook and status.",
		}, []string{"hook", "status"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "caos_event_streams", Help: "Event streams open now.",
		}),
	}
	m.registry.MustRegister(m.requests, m.latency, m.executed, m.streams,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "caos_http_requests_in_flight", Help: "Requests under way, event streams included.",
	}, func() float64 { return float64(m.busy.Load()) }))
	m.registry.MustRegister(more...)
	m.unrouted = m.route("", "unrouted")
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, DisableCompression: true})
}

// routeMetrics is what is counted for one route; the counter of a status is looked up
// once.
type routeMetrics struct {
	requests *prometheus.CounterVec
	latency  prometheus.Observer
	statuses sync.Map // int → prometheus.Counter
}

func (m *metrics) route(method, path string) *routeMetrics {
	labels := prometheus.Labels{"route": path, "method": method}
	return &routeMetrics{
		requests: m.requests.MustCurryWith(labels),
		latency:  m.latency.With(labels),
	}
}

func (r *routeMetrics) observe(status int, took time.Duration) {
	n, ok := r.statuses.Load(status)
	if !ok {
		n, _ = r.statuses.LoadOrStore(status, r.requests.WithLabelValues(strconv.Itoa(status)))
	}
	n.(prometheus.Counter).Inc()
	r.latency.Observe(took.Seconds())
}

// submitted counts an execution that was returned to its submitter.
func (m *metrics) submitted(hook string, status engine.Status) {
	m.executed.WithLabelValues(hook, string(status)).Inc()
}
