package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"caos"
)

// call is one request on its way through this package.
type call struct {
	api      *API
	r        *http.Request
	w        *writer
	by       caos.Principal
	trace    string // W3C trace id, 32 hex digits: the caller's or a new one
	span     string // 16 hex digits of our own: the request id
	endpoint *endpoint
	routed   bool          // a route, or a problem of ours, answers: not the multiplexer
	seen     *routeMetrics // of the route
	started  time.Time

	execution   string // id of the execution the request is about, for the log
	problemKind string
	fault       error  // cause of a 5xx, for the log alone
	status      int    // that an operation wants instead of its usual one
	body        []byte // read before the route was entered, because a second factor is bound to it
	bodyRead    bool
	recorded    bool // a refusal is in the audit log already
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// TraceID returns the trace id of the request that ctx belongs to, "" if there is none.
func TraceID(ctx context.Context) string {
	if c := callOf(ctx); c != nil {
		return c.trace
	}
	return ""
}

func (c *call) ctx() context.Context { return c.r.Context() }

// path returns a variable of the route's path.
func (c *call) path(name string) string { return c.r.PathValue(name) }

// set sets a header of the answer.
func (c *call) set(name, value string) { c.w.Header().Set(name, value) }

// ServeHTTP answers a request. It is the whole of the API: routes, pages, problems.
func (a *API) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	c := &call{api: a, started: a.now(), seen: a.metrics.unrouted}
	c.w = &writer{ResponseWriter: rw, c: c}
	c.trace, c.span = traceIDs(r.Header.Get("Traceparent"))
	c.r = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
	h := rw.Header()
	a.secure(h)
	h.Set("Caos-Trace-Id", c.trace)
	a.metrics.busy.Add(1)
	defer c.end()
	if err := refuseEncoding(r); err != nil {
		c.fail(err)
		return
	}
	a.mux.ServeHTTP(c.w, c.r)
}

// secure sets the headers that every answer carries. Nothing that is served needs
// scripts, frames or anybody else's content; the one style sheet is named by its hash.
func (a *API) secure(h http.Header) {
	h["Content-Security-Policy"] = a.csp
	h["X-Content-Type-Options"] = nosniff
	h["Referrer-Policy"] = noReferrer
	h["Cross-Origin-Resource-Policy"] = sameOrigin
	h["Strict-Transport-Security"] = oneYear
	h["Cache-Control"] = noStore
}

// The values are shared by all answers, and nobody changes the slices: net/http replaces
// them on Set.
var (
	nosniff    = []string{"nosniff"}
	noReferrer = []string{"no-referrer"}
	sameOrigin = []string{"same-origin"}
	oneYear    = []string{"max-age=31536000"}
	noStore    = []string{"no-store"}
)

// refuseEncoding refuses compressed bodies: what they unpack to is not bounded by what
// was sent, and no client needs them.
func refuseEncoding(r *http.Request) error {
	for _, enc := range r.Header["Content-Encoding"] {
		if enc != "" && !strings.EqualFold(enc, "identity") {
			return refuse(http.StatusUnsupportedMediaType, caos.Errorf(caos.Invalid, "bodies are not accepted with a content encoding").
				WithField("Content-Encoding").WithHint("send the body as it is, without compression"))
		}
	}
	return nil
}

// end is the last thing that happens to a request: the panic, the log line, the metrics.
func (c *call) end() {
	p := recover()
	if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so, too
		c.finish()
		panic(p)
	}
	if p != nil {
		stack := debug.Stack()
		if c.w.status != 0 {
			// Part of an answer is out. Only breaking the connection tells the client.
			c.fault = fmt.Errorf("panic after the answer began: %v\n%s", p, stack)
			c.finish()
			panic(http.ErrAbortHandler)
		}
		c.fail(fmt.Errorf("panic: %v\n%s", p, stack))
	}
	c.finish()
}

func (c *call) finish() {
	defer c.api.metrics.busy.Add(-1)
	if c.w.status == 0 {
		c.w.status = http.StatusOK // net/http writes it when a handler wrote nothing
	}
	took := c.api.now().Sub(c.started)
	c.seen.observe(c.w.status, took)
	level := slog.LevelInfo
	if c.w.status >= 500 {
		level = slog.LevelError
	}
	if !c.api.log.Enabled(c.r.Context(), level) {
		return
	}
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs, slog.String("trace_id", c.trace), slog.String("request_id", c.span),
		slog.String("method", c.r.Method), slog.String("path", clip(c.r.URL.Path, 300)),
		slog.Int("status", c.w.status), slog.Int64("bytes", c.w.bytes), slog.Duration("took", took))
	if c.by.ID != "" {
		attrs = append(attrs, slog.String("principal", c.by.ID), slog.String("token", c.by.Token))
	}
	if c.execution != "" {
		attrs = append(attrs, slog.String("execution_id", c.execution))
	}
	if c.problemKind != "" {
		attrs = append(attrs, slog.String("kind", c.problemKind), slog.String("client", sourceOf(c.r.RemoteAddr)))
	}
	if c.fault != nil {
		attrs = append(attrs, slog.String("error", c.fault.Error()))
	}
	c.api.log.LogAttrs(c.r.Context(), level, "request", attrs...)
}

// traceIDs takes the trace id from a W3C traceparent header, if it is a valid one, and
// makes a span id of our own.
func traceIDs(parent string) (trace, span string) {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails, says its documentation
	span = hex.EncodeToString(b[16:])
	if len(parent) >= 55 && parent[2] == '-' && parent[35] == '-' && parent[52] == '-' && parent[:2] != "ff" &&
		(len(parent) == 55 || parent[:2] != "00" && parent[55] == '-') &&
		lowerHex(parent[:2]) && lowerHex(parent[3:35]) && lowerHex(parent[36:52]) && lowerHex(parent[53:55]) &&
		strings.Trim(parent[3:35], "0") != "" && strings.Trim(parent[36:52], "0") != "" {
		return parent[3:35], span
	}
	return hex.EncodeToString(b[:16]), span
}

func lowerHex(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// writer counts what goes out, and turns the multiplexer's own refusals into problems.
type writer struct {
	http.ResponseWriter
	c      *call
	status int
	bytes  int64
	mute   bool // the body is the multiplexer's, not ours
}

// Unwrap lets http.ResponseController reach the connection.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *writer) WriteHeader(status int) {
	if w.status != 0 || w.mute {
		return
	}
	if status < 200 {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	if !w.c.routed && status >= 400 {
		w.c.fail(unrouted(status))
		w.mute = true
		return
	}
	if h := w.Header(); h.Get("Content-Type") == pageType {
		h.Set("Content-Type", pageType+"; charset=utf-8")
	}
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(p []byte) (int, error) {
	if w.mute {
		return len(p), nil
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// unrouted translates what the multiplexer, or a handler of another package, refuses.
func unrouted(status int) error {
	switch status {
	case http.StatusMethodNotAllowed:
		return refuse(status, caos.Errorf(caos.Invalid, "this resource does not have that method").
			WithHint("the Allow header lists its methods"))
	case http.StatusServiceUnavailable:
		return caos.Errorf(caos.Unavailable, "this cannot be served now").WithHint("GET /readyz says why")
	case http.StatusInternalServerError:
		return caos.Errorf(caos.Internal, "the handler failed")
	}
	return refuse(status, caos.Errorf(caos.NotFound, "there is nothing at this path").
		WithHint("GET /docs describes the API"))
}
