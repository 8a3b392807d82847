package httpapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"caos"
	"caos/internal/db"
)

// TestProblems shows what each kind of error becomes.
func TestProblems(t *testing.T) {
	cases := []struct {
		err    error
		status int
		kind   caos.Kind
		field  string
		header string // a header that must be there, with a part of its value
	}{
		{caos.Errorf(caos.Invalid, "no").WithField("plan[3].id").WithHint("yes").WithRule("r"), 422, caos.Invalid, "plan[3].id", ""},
		{caos.Errorf(caos.TooLarge, "no"), 413, caos.TooLarge, "", ""},
		{caos.Errorf(caos.Unauthenticated, "no"), 401, caos.Unauthenticated, "", `WWW-Authenticate: Bearer realm="CAOS"`},
		{caos.Errorf(caos.StepUp, "no"), 401, caos.StepUp, "", `WWW-Authenticate: Bearer realm="CAOS", error="insufficient_user_authentication"`},
		{caos.Errorf(caos.Denied, "no"), 403, caos.Denied, "", ""},
		{caos.Errorf(caos.NotFound, "no"), 404, caos.NotFound, "", ""},
		{caos.Errorf(caos.Conflict, "no"), 409, caos.Conflict, "", ""},
		{caos.Errorf(caos.Limited, "no"), 429, caos.Limited, "", "Retry-After: 2"},
		{caos.Errorf(caos.Unavailable, "no"), 503, caos.Unavailable, "", "Retry-After: 2"},
		{caos.Errorf(caos.Full, "no"), 507, caos.Full, "", ""},
		{caos.Errorf(caos.Internal, "the secret plans"), 500, caos.Internal, "", ""},
		{errors.New("the secret plans"), 500, caos.Internal, "", ""},
		{fmt.Errorf("while: %w", caos.Errorf(caos.Conflict, "no")), 409, caos.Conflict, "", ""},
		{fmt.Errorf("while: %w", db.ErrUnknown), 503, caos.Unavailable, "", "Retry-After: 2"},
		{refuse(http.StatusPreconditionFailed, caos.Errorf(caos.Conflict, "no")), 412, caos.Conflict, "", ""},
		{&http.MaxBytesError{Limit: 5}, 413, caos.TooLarge, "", ""},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%d_%s", c.status, c.kind), func(t *testing.T) {
			a := newBare()
			rec := httptest.NewRecorder()
			bareCall(a, rec, func(x *call) { x.fail(c.err) })
			var p Problem
			if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil {
				t.Fatal(err)
			}
			if rec.Code != c.status || p.Status != c.status || p.Kind != string(c.kind) || p.Field != c.field || p.Type != "urn:caos:problem:"+string(c.kind) {
				t.Errorf("got %d %+v", rec.Code, p)
			}
			if rec.Header().Get("Content-Type") != problemType || p.TraceID == "" || p.Instance != "/x" || p.Title == "" {
				t.Errorf("got %v %+v", rec.Header(), p)
			}
			if strings.Contains(rec.Body.String(), "secret") {
				t.Errorf("the cause was shown: %s", rec.Body)
			}
			if name, value, _ := strings.Cut(c.header, ": "); name != "" && !strings.HasPrefix(rec.Header().Get(name), value) {
				t.Errorf("%s is %q", name, rec.Header().Get(name))
			}
		})
	}
}

// newBare is an API without nouns: the frame alone.
func newBare() *API {
	a := &API{mux: http.NewServeMux(), metrics: newMetrics(nil), pages: newPages(), hookSchemas: map[string][]byte{}, draining: make(chan struct{})}
	a.now, a.log, a.csp = realNow, discard(), []string{a.pages.csp}
	a.huma = a.newHuma()
	return a
}

func bareCall(a *API, rec *httptest.ResponseRecorder, fn func(*call)) {
	r := httptest.NewRequest(http.MethodGet, "/x", nil)
	c := &call{api: a, r: r, seen: a.metrics.unrouted, trace: "t"}
	c.w = &writer{ResponseWriter: rec, c: c}
	c.r = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
	fn(c)
}

func TestPanicIsAProblem(t *testing.T) {
	a := newBare()
	a.plain(get("/boom", anyone()), noDoc(), func(*call) error { panic("the secret plans") })
	a.plain(get("/late", anyone()), noDoc(), func(c *call) error {
		c.w.WriteHeader(200)
		panic("half way")
	})
	rec := httptest.NewRecorder()
	a.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/boom", nil))
	if rec.Code != 500 || strings.Contains(rec.Body.String(), "secret") || !strings.Contains(rec.Body.String(), "trace_id") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("a panic in the middle of an answer gave %v", p)
		}
	}()
	a.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/late", nil))
}

func TestTraceIDs(t *testing.T) {
	good := "4bf92f3577b34da6a3ce929d0e0e4736"
	cases := map[string]bool{
		"00-" + good + "-00f067aa0ba902b7-01":                    true,
		"00-" + good + "-00f067aa0ba902b7-00":                    true,
		"01-" + good + "-00f067aa0ba902b7-01-more":               true,
		"00-" + good + "-00f067aa0ba902b7-01-more":               false,
		"ff-" + good + "-00f067aa0ba902b7-01":                    false,
		"00-" + strings.ToUpper(good) + "-00f067aa0ba902b7-01":   false,
		"00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01": false,
		"00-" + good + "-0000000000000000-01":                    false,
		"00-" + good + "-00f067aa0ba902b7":                       false,
		"":                                                       false,
		"00-" + good[:31] + "\n-00f067aa0ba902b7-01":             false,
		"zz-" + good + "-00f067aa0ba902b7-01":                    false,
		strings.Repeat("a", 5000):                                false,
	}
	for header, ok := range cases {
		trace, span := traceIDs(header)
		if (trace == good) != ok || len(trace) != 32 || len(span) != 16 {
			t.Errorf("%.70q gives %s %s", header, trace, span)
		}
	}
}

func FuzzTraceIDs(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Fuzz(func(t *testing.T, s string) {
		if trace, span := traceIDs(s); !lowerHex(trace) || len(trace) != 32 || len(span) != 16 {
			t.Errorf("%q gives %q %q", s, trace, span)
		}
	})
}

func TestPrefer(t *testing.T) {
	cases := []struct {
		header  string
		applied string
		ok      bool
	}{
		{"", "", true}, {"wait=10", "wait=10", true}, {"respond-async, wait=5", "wait=5", true}, {"wait=600", "wait=60", true},
		{`wait="7"`, "wait=7", true}, {"wait=7; foo", "wait=7", true}, {"WAIT = 3", "wait=3", true}, {"wait=0", "wait=0", true},
		{"wait=-1", "", false}, {"wait=1.5", "", false}, {"wait", "", false}, {"wait=99999999999999999999", "", false},
		{"wait=4, wait=9", "wait=4", true}, {"return=minimal", "", true},
	}
	for _, c := range cases {
		_, applied, err := waitOf([]string{c.header})
		if applied != c.applied || (err == nil) != c.ok {
			t.Errorf("%q: %q %v", c.header, applied, err)
		}
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("wait=10", "sha-256=:abc=:", `"12"`)
	f.Fuzz(func(t *testing.T, prefer, digest, match string) {
		if d, applied, err := waitOf([]string{prefer}); err == nil && (d < 0 || d > maxWait || d > 0 && applied == "") {
			t.Errorf("%q waits %s", prefer, d)
		}
		if got, err := expectedDigest(http.Header{"Content-Digest": {digest}}, nil); err == nil && len(got) != 64 {
			t.Errorf("%q is read as %q", digest, got)
		}
		if n, err := revisionOf(match); err == nil && n < -1 {
			t.Errorf("%q is read as %d", match, n)
		}
		if !strings.HasPrefix(attachment(match), `attachment; filename="`) || strings.ContainsAny(attachment(match)[22:len(attachment(match))-1], "\"\\/\r\n") {
			t.Errorf("%q is offered as %s", match, attachment(match))
		}
	})
}

// TestBadInput is what the outside sends when it means harm or makes mistakes.
func TestBadInput(t *testing.T) {
	w := newWorld(t)
	deep := strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	with := func(change func(map[string]any)) string {
		in := report()
		change(in)
		text, _ := json.Marshal(in)
		return string(text)
	}
	good := with(func(map[string]any) {})
	cases := []struct {
		name, who, method, path, body string
		headers                       []string
		status                        int
		field                         string
	}{
		{"unknown hook", "mo", "POST", "/v1/hooks/CAOS.PROD.NO.SUCH/executions", good, nil, 404, "hook_id"},
		{"unknown path", "mo", "GET", "/v1/nothing", "", nil, 404, ""},
		{"unknown method", "mo", "PATCH", "/v1/executions", "", nil, 405, ""},
		{"unknown field", "mo", "POST", auditPathURL, with(func(m map[string]any) { m["extra"] = 1 }), nil, 422, "extra"},
		{"missing field", "mo", "POST", auditPathURL, with(func(m map[string]any) { delete(m, "actor_id") }), nil, 422, "actor_id"},
		{"duplicate key", "mo", "POST", auditPathURL, `{"actor_id":"a","actor_id":"b"}`, nil, 422, "actor_id"},
		{"wrong-case key", "mo", "POST", auditPathURL, with(func(m map[string]any) { m["Actor_ID"] = m["actor_id"]; delete(m, "actor_id") }), nil, 422, ""},
		{"wrong type", "mo", "POST", auditPathURL, with(func(m map[string]any) { m["actor_id"] = 7 }), nil, 422, "actor_id"},
		{"wrong enum", "mo", "POST", auditPathURL, with(func(m map[string]any) { m["action_type"] = "deployment" }), nil, 422, "action_type"},
		{"malformed resource id", "mo", "POST", auditPathURL, with(func(m map[string]any) { m["affected_resources"] = []string{"NN-FCS-001", "../etc"} }), nil, 422, "affected_resources[1]"},
		{"malformed time", "mo", "POST", auditPathURL, with(func(m map[string]any) { m["timestamp"] = "yesterday" }), nil, 422, "timestamp"},
		{"trailing data", "mo", "POST", auditPathURL, good + "{}", nil, 422, ""},
		{"not JSON", "mo", "POST", auditPathURL, "{", nil, 422, ""},
		{"empty body", "mo", "POST", auditPathURL, "", nil, 422, ""},
		{"deep JSON", "mo", "POST", auditPathURL, deep, nil, 413, ""},
		{"YAML bomb", "mo", "POST", auditPathURL, bomb, []string{"Content-Type", "application/yaml"}, 422, ""},
		{"other media type", "mo", "POST", auditPathURL, good, []string{"Content-Type", "text/plain"}, 415, "Content-Type"},
		{"gzip", "mo", "POST", auditPathURL, zipped(t, 64<<20), []string{"Content-Encoding", "gzip"}, 415, "Content-Encoding"},
		{"no token", "", "POST", auditPathURL, good, nil, 401, "Authorization"},
		{"bad token", "", "POST", auditPathURL, good, []string{"Authorization", "Bearer caos_aaaaaaaaaaaaaaaa_bbbb"}, 401, ""},
		{"token as basic", "", "POST", auditPathURL, good, []string{"Authorization", "Basic " + basic(w.tokens["mo"])}, 401, "Authorization"},
		{"missing role", "newbie", "POST", auditPathURL, good, nil, 403, ""},
		{"wrong role", "aud", "POST", auditPathURL, good, nil, 403, ""},
		{"unknown query", "mo", "POST", auditPathURL + "?dryrun=true", good, nil, 422, "dryrun"},
		{"bad query", "mo", "POST", auditPathURL + "?dry_run=yes", good, nil, 422, "dry_run"},
		{"bad wait", "mo", "POST", auditPathURL, good, []string{"Prefer", "wait=soon"}, 422, "Prefer"},
		{"bad version", "mo", "POST", auditPathURL, good, []string{"CAOS-Hook-Version", "9.0.0"}, 404, "CAOS-Hook-Version"},
		{"bad key", "mo", "POST", auditPathURL, good, []string{"Idempotency-Key", strings.Repeat("k", 500)}, 422, "Idempotency-Key"},
		{"bad cursor", "mo", "GET", "/v1/executions?cursor=zzz", "", nil, 422, "cursor"},
		{"bad limit", "mo", "GET", "/v1/executions?limit=1000000", "", nil, 422, "limit"},
		{"bad status", "mo", "GET", "/v1/executions?status=DONE", "", nil, 422, "status"},
		{"malformed user id", "root", "GET", "/v1/users/..%2f..%2fetc", "", nil, 422, "user"},
		{"malformed digest", "cert", "GET", "/v1/objects/SHA256:abc", "", nil, 422, ""},
		{"unknown execution", "aud", "GET", "/v1/executions/EXEC-1", "", nil, 404, ""},
		{"unknown record", "aud", "GET", "/v1/audit/AUDIT-1", "", nil, 404, "id"},
		{"control characters", "aud", "GET", "/v1/audit/AUDIT-%00%0a", "", nil, 404, "id"},
		{"wrong-case body field", "cert", "POST", "/v1/packages", `{"Model_id":"NN-FCS-001"}`, nil, 422, "Model_id"},
		{"missing body field", "ira", "POST", "/v1/alerts/ALERT-1/close", `{}`, nil, 422, "reason"},
		{"long body field", "ira", "POST", "/v1/alerts/ALERT-1/close", `{"reason":"` + strings.Repeat("x", 5000) + `"}`, nil, 422, "reason"},
		{"null body", "ira", "POST", "/v1/alerts/ALERT-1/close", `null`, nil, 422, ""},
		{"malformed model", "cert", "POST", "/v1/packages", `{"model_id":"nn-fcs"}`, nil, 422, "model_id"},
		{"traversal", "", "GET", "/log/tile/0/../../x", "", nil, 0, ""},
		{"unknown tile", "", "GET", "/log/tile/0/x999/999", "", nil, 404, ""},
	}
	before := w.executions()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var body any
			if c.method != "GET" {
				body = c.body
			}
			a := w.do(c.who, c.method, c.path, body, c.headers...)
			if c.status == 0 {
				if a.status < 300 || a.status >= 500 {
					t.Fatalf("status %d: %s", a.status, a.body)
				}
				return
			}
			p := a.wants(t, c.status).json(t)
			if a.header.Get("Content-Type") != problemType || c.field != "" && p["field"] != c.field {
				t.Errorf("%s: %s", a.header.Get("Content-Type"), a.body)
			}
			if p["trace_id"] == "" || p["detail"] == "" {
				t.Errorf("%s", a.body)
			}
		})
	}
	if after := w.executions(); after != before {
		t.Errorf("%d executions became %d", before, after)
	}
}

func basic(token string) string {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.SetBasicAuth("me", token)
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Basic ")
}

// zipped is n zeros, compressed.
func zipped(t *testing.T, n int64) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.CopyN(z, zeros{}, n); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// executions counts what is in the database.
func (w *world) executions() (n int) {
	w.t.Helper()
	if err := w.db.QueryRow(w.t.Context(), `SELECT count(*) FROM executions`).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// TestGigabyte sends a body of 1 GB: it is cut at the limit, declared or not.
func TestGigabyte(t *testing.T) {
	w := newWorld(t)
	for _, declared := range []bool{true, false} {
		sent := &counted{r: io.LimitReader(zeros{}, 1<<30)}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+auditPathURL, sent)
		if err != nil {
			t.Fatal(err)
		}
		if declared {
			req.ContentLength = 1 << 30
		}
		req.Header.Set("Authorization", "Bearer "+w.tokens["mo"])
		resp, err := w.client.Do(req)
		if sent.n.Load() > 64<<20 {
			t.Errorf("%d bytes were taken", sent.n.Load())
		}
		if err != nil {
			// The server may close the connection before the client has read the answer.
			t.Logf("declared=%v: %v after %d bytes", declared, err, sent.n.Load())
			continue
		}
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("status %d", resp.StatusCode)
		}
		resp.Body.Close()
	}
	w.do("mo", "POST", auditPathURL, report()).wants(t, 200)
}

type counted struct {
	r io.Reader
	n atomic.Int64 // the transport may still read when the answer is there
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
