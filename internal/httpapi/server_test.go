package httpapi

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"caos/internal/db"
	"caos/internal/db/dbtest"
)

func TestOldTLSIsRefused(t *testing.T) {
	w := newWorld(t)
	conf := w.client.Transport.(*http.Transport).TLSClientConfig.Clone()
	conf.MaxVersion = tls.VersionTLS12
	if conn, err := tls.Dial("tcp", strings.TrimPrefix(w.url, "https://"), conf); err == nil {
		conn.Close()
		t.Error("TLS 1.2 was accepted")
	}
	conf.MaxVersion, conf.NextProtos = 0, []string{"h2"}
	conn := must(tls.Dial("tcp", strings.TrimPrefix(w.url, "https://"), conf))(t)
	defer conn.Close()
	if s := conn.ConnectionState(); s.Version != tls.VersionTLS13 || s.NegotiatedProtocol != "h2" {
		t.Errorf("%x %s", s.Version, s.NegotiatedProtocol)
	}
}

// TestSlowClients sends headers, then a body, a byte now and then: both run into their
// limits, in no time. The handler is not the whole API: a database does not live in a
// bubble of virtual time.
func TestSlowClients(t *testing.T) {
	for name, sent := range map[string]string{
		"headers": "POST /slow HTTP/1.1\r\nHost: x\r\n",
		"body":    "POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nContent-Type: application/json\r\n\r\n{",
		"upload":  "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newBare()
				operation(a, post("/slow", anyone()).as("slow", "x", "x"), func(*call, *none, *map[string]any) (Done, error) { return Done{true}, nil })
				up := post("/upload", anyone()).as("upload", "x", "x")
				up.streams = true
				a.plain(up, noDoc(), func(c *call) error {
					_, err := io.Copy(io.Discard, c.stream(1<<20))
					return brokenBody(err)
				})
				srv := Server{Handler: a}.Config()
				client, server := net.Pipe()
				l := &oneConn{conn: server, closed: make(chan struct{})}
				done := make(chan error, 1)
				go func() { done <- srv.Serve(l) }()
				began, stop := time.Now(), make(chan struct{})
				go func() {
					_, _ = io.WriteString(client, sent)
					for { // one byte every five seconds is alive, and too slow
						select {
						case <-time.After(5 * time.Second):
						case <-stop:
							return
						}
						b := []byte{' '}
						if name == "headers" {
							b = []byte{'x'}
						}
						if name == "upload" {
							return // silent
						}
						if _, err := client.Write(b); err != nil {
							return
						}
					}
				}()
				answer, _ := io.ReadAll(client)
				if took := time.Since(began); took > 2*time.Minute {
					t.Errorf("it took %s", took)
				}
				if name != "headers" && !bytes.Contains(answer, []byte(" 408 ")) {
					t.Errorf("answered %q", answer)
				}
				close(stop)
				client.Close()
				srv.Close()
				<-done
			})
		})
	}
}

// oneConn is a listener with one connection.
type oneConn struct {
	conn   net.Conn
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}
func (l *oneConn) Close() error   { close(l.closed); return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// TestOverlongHeaders sends more header than fits.
func TestOverlongHeaders(t *testing.T) {
	w := newWorld(t)
	a, err := w.try("mo", "GET", "/v1/hooks", nil, "X-Long", strings.Repeat("x", 1<<20))
	if err == nil && a.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%d", a.status)
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t)
	w.do("mo", "POST", auditPathURL, report()).wants(t, 200)
	w.do("mo", "GET", "/v1/nothing", nil).wants(t, 404)
	w.do("", "GET", "/metrics", nil).wants(t, 401)
	w.do("aud", "GET", "/metrics", nil).wants(t, 403)
	text := string(w.do("mo", "GET", "/metrics", nil).wants(t, 200).body)
	for _, want := range []string{
		`caos_http_requests_total{method="POST",route="/v1/hooks/{hook_id}/executions",status="200"} 1`,
		`caos_http_requests_total{method="",route="unrouted",status="404"} 1`,
		`caos_submissions_total{hook="CAOS.PROD.CERT.AUDIT",status="SUCCEEDED"} 1`,
		`caos_http_request_duration_seconds_count{method="POST",route="/v1/hooks/{hook_id}/executions"} 1`,
		"caos_event_streams 0", "go_goroutines",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no line %s", want)
		}
	}
}

// TestServerLog shows what net/http logs going to the structured log.
func TestServerLog(t *testing.T) {
	var b bytes.Buffer
	q := quiet{slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if _, err := q.Write([]byte("http: TLS handshake error\n")); err != nil || !strings.Contains(b.String(), "handshake") {
		t.Errorf("%v %s", err, b.String())
	}
}

// idle waits until the server has finished every request it began: a request on a new
// connection is answered, and none is in the handler.
func (w *world) idle() {
	w.t.Helper()
	for range 1000 {
		if w.api.metrics.busy.Load() == 0 {
			return
		}
		w.do("", "GET", "/healthz", nil).wants(w.t, 200)
	}
	w.t.Fatal("a request does not end")
}

// TestStorageFails fills the disk, and breaks commits, under a running server: the action
// does not happen, the caller is told which of the two it was, reads go on.
func TestStorageFails(t *testing.T) {
	var mode atomic.Int64 // 0 well, 1 disk full, 2 COMMIT not sent, 3 COMMIT unanswered
	fault := &db.Fault{At: func(p db.Point) db.Action {
		switch m := mode.Load(); {
		case p == db.AtBegin && m == 1:
			return db.DiskFull
		case p == db.AtBegin && m == 0:
			return db.DiskFree
		case p == db.AtCommit && m == 2, p == db.AtCommitted && m == 3:
			return db.Fail
		}
		return db.Proceed
	}}
	w := newWorldOn(t, dbtest.OpenWith(t, db.Options{URL: dbtest.URL(t, db.SQLite), Fault: fault, Log: discard()}))
	w.do("mo", "POST", auditPathURL, report()).wants(t, 200)
	count := w.executions()
	in := report()
	in["action_details"] = map[string]any{"long": strings.Repeat("x", 200_000)}
	mode.Store(1)
	a := w.do("mo", "POST", auditPathURL, in).wants(t, 507)
	if a.json(t)["kind"] != "full" || a.header.Get("Content-Type") != problemType {
		t.Errorf("%s", a.body)
	}
	w.do("aud", "GET", "/v1/executions", nil).wants(t, 200)
	mode.Store(2)
	a = w.do("mo", "POST", auditPathURL, report()).wants(t, 503)
	if a.header.Get("Retry-After") == "" {
		t.Errorf("%v", a.header)
	}
	if n := w.executions(); n != count {
		t.Errorf("%d executions became %d", count, n)
	}
	mode.Store(3)
	a = w.do("mo", "POST", auditPathURL, report(), "Idempotency-Key", "again")
	mode.Store(0)
	if a.status != 200 && a.status != 503 {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.do("mo", "POST", auditPathURL, report()).wants(t, 200)
}

// TestDrain shows what a server does between the wish to stop and the stop: it says so,
// ends its streams and lets go of those who wait.
func TestDrain(t *testing.T) {
	w := newWorld(t)
	id := w.start("")
	events := w.follow("chief", "/v1/executions/"+id+"/events", "")
	<-events
	w.do("", "GET", "/readyz", nil).wants(t, 200)
	w.api.Drain()
	w.api.Drain()
	drain(events)
	w.do("", "GET", "/readyz", nil).wants(t, 503)
	w.do("mo", "POST", auditPathURL, report(), "Prefer", "wait=60").wants(t, 200)
}
