package location_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"caos"
	"caos/internal/location"
)

// site is a web server that serves one file, well or badly.
type site struct {
	data     []byte
	etag     string
	modified string
	noRange  bool
	noHead   bool
	cuts     atomic.Int32          // how many answers break off after 100,000 bytes
	each     func(r *http.Request) // before each answer
	answer   func(http.ResponseWriter, *http.Request) bool
	ranged   atomic.Int32
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.answer != nil && s.answer(w, r) {
		return
	}
	if s.each != nil {
		s.each(r)
	}
	if s.noHead && r.Method == http.MethodHead {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	if s.etag != "" {
		h.Set("Etag", s.etag)
	}
	if s.modified != "" {
		h.Set("Last-Modified", s.modified)
	}
	body, status := s.data, http.StatusOK
	if rg := r.Header.Get("Range"); rg != "" && !s.noRange {
		s.ranged.Add(1)
		if v := r.Header.Get("If-Range"); v == s.etag && v != "" || v == s.modified && v != "" {
			from, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(rg, "bytes="), "-"))
			h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(body)-1, len(body)))
			body, status = body[from:], http.StatusPartialContent
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	if s.cuts.Add(-1) >= 0 {
		_, _ = w.Write(body[:min(len(body), 100_000)])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(body)
}

func serve(t testing.TB, h http.Handler, change func(*location.Options)) (*location.Locations, string) {
	t.Helper()
	srv := httptest.NewTLSServer(h)
	t.Cleanup(srv.Close)
	srv.Config.ErrorLog = nil
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	opt := location.Options{Allow: []string{strings.TrimPrefix(srv.URL, "https://")}, RootCAs: pool, Wait: 2 * time.Second}
	if change != nil {
		change(&opt)
	}
	return open(t, opt), srv.URL
}

func TestWeb(t *testing.T) {
	data := noise(400_000)
	date := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).Format(http.TimeFormat)
	for name, c := range map[string]struct {
		site   *site
		cuts   int32
		ranged int32
		want   string // rule or kind of the error
	}{
		"whole":                              {site: &site{etag: `"a"`}},
		"no HEAD":                            {site: &site{etag: `"a"`, noHead: true}},
		"nothing to compare":                 {site: &site{}},
		"resumed by ETag":                    {site: &site{etag: `"a"`}, cuts: 3, ranged: 3},
		"resumed by date":                    {site: &site{modified: date}, cuts: 2, ranged: 2},
		"weak ETag: begun again":             {site: &site{etag: `W/"a"`, modified: date}, cuts: 2},
		"no validator: begun again":          {site: &site{}, cuts: 2},
		"server without ranges: begun again": {site: &site{etag: `"a"`, noRange: true}, cuts: 2},
		"breaks off for ever, never gets on": {site: &site{}, cuts: 1000, want: "unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			c.site.data = data
			c.site.cuts.Store(c.cuts)
			l, address := serve(t, c.site, nil)
			found, err := l.Probe(t.Context(), address+"/d/flights.csv.gz?v=1", location.Scope{})
			if err != nil || len(found) != 1 || found[0].Name != "flights.csv.gz" {
				t.Fatalf("%+v, %v", found, err)
			}
			if c.site.noHead {
				c.site.cuts.Store(c.cuts) // the probe was a GET, too
			}
			dst := filepath.Join(t.TempDir(), "x")
			got, err := l.Fetch(t.Context(), found[0], location.Scope{}, dst, nil)
			if c.want != "" {
				if string(caos.KindOf(err)) != c.want {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || got.Digest != hexSum(data) || !bytes.Equal([]byte(read(t, dst)), data) {
				t.Errorf("%+v, %v", got, err)
			}
			if n := c.site.ranged.Load(); n != c.ranged {
				t.Errorf("%d requests with a range, want %d", n, c.ranged)
			}
		})
	}
}

// TestWebChanged has the file change between probe and fetch, and while it is fetched.
func TestWebChanged(t *testing.T) {
	for _, when := range []string{"before", "during", "during, without ranges", "shorter, same validator"} {
		t.Run(when, func(t *testing.T) {
			s := &site{data: noise(300_000), etag: `"a"`, noRange: when == "during, without ranges"}
			l, address := serve(t, s, nil)
			found, err := l.Probe(t.Context(), address+"/x", location.Scope{})
			if err != nil {
				t.Fatal(err)
			}
			other := func() { s.data, s.etag = bytes.Repeat([]byte("x"), 300_000), `"b"` }
			gets := 0
			switch when {
			case "before":
				other()
			case "shorter, same validator":
				s.data = s.data[:200_000]
			default:
				s.cuts.Store(1)
				s.each = func(r *http.Request) {
					if gets++; gets == 2 {
						other()
					}
				}
			}
			_, err = l.Fetch(t.Context(), found[0], location.Scope{}, filepath.Join(t.TempDir(), "x"), nil)
			if e := caos.AsError(err); e.Kind != caos.Conflict || e.Rule != "source-changed" {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestWebRefusals(t *testing.T) {
	status := func(n int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(n); return true }
	}
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request) bool
		change func(*location.Options)
		want   string
	}{
		"404": {answer: status(404), want: "not_found/source-missing"},
		"401": {answer: status(401), want: "denied/location-credentials"},
		"403": {answer: status(403), want: "denied/location-credentials"},
		"500": {answer: status(500), want: "unavailable"},
		"418": {answer: status(418), want: "invalid"},
		"redirect elsewhere": {answer: func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "https://169.254.169.254/latest", http.StatusFound)
			return true
		}, want: "invalid/outbound"},
		"private, not allowed": {change: func(o *location.Options) { o.Allow = nil }, want: "invalid/outbound"},
		"untrusted":            {change: func(o *location.Options) { o.RootCAs = x509.NewCertPool() }, want: "invalid/outbound"},
		"compressed": {answer: func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "x")
			return true
		}, want: "invalid/outbound"},
		"too large, said": {answer: func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "2000")
			_, _ = w.Write(make([]byte, 2000))
			return true
		}, change: func(o *location.Options) { o.MaxBytes = 1000 }, want: "too_large"},
		"too large, not said": {answer: func(w http.ResponseWriter, r *http.Request) bool {
			for r.Method == http.MethodGet {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					break
				}
			}
			return true
		}, change: func(o *location.Options) { o.MaxBytes = 1 << 20 }, want: "too_large"},
		"hangs": {answer: func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true },
			change: func(o *location.Options) { o.Wait = 200 * time.Millisecond }, want: "unavailable"},
		"falls silent": {answer: func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Length", "2000")
			w.WriteHeader(http.StatusOK)
			if r.Method == http.MethodGet {
				_, _ = w.Write(make([]byte, 100))
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}
			return true
		}, change: func(o *location.Options) { o.Wait = 200 * time.Millisecond }, want: "unavailable"},
		"a part that was not asked for": {answer: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet {
				w.Header().Set("Content-Range", "bytes 5-9/10")
				w.WriteHeader(http.StatusPartialContent)
			}
			return true
		}, want: "invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &site{data: []byte("x"), answer: c.answer}
			l, address := serve(t, s, c.change)
			began := time.Now()
			found, err := l.Probe(t.Context(), address+"/x", location.Scope{})
			if err == nil {
				_, err = l.Fetch(t.Context(), found[0], location.Scope{}, filepath.Join(t.TempDir(), "x"), nil)
			}
			got := string(caos.KindOf(err))
			if e := caos.AsError(err); err != nil && e.Rule != "" {
				got += "/" + e.Rule
			}
			if got != c.want {
				t.Errorf("%s, want %s: %v", got, c.want, err)
			}
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func FuzzLocation(f *testing.F) {
	for _, s := range []string{"file:///a/b", "s3://lake/a/*", "s3://lake/%2e%2e/x", "https://h/x?y", "file:///a/%00", "file:///%2A*/", "s3://lake//", "file://\x00"} {
		f.Add(s)
	}
	l, err := location.Open(location.Options{Roots: []string{"/srv/in"}, TargetRoots: []string{"/srv/in/out"}, Buckets: []location.Bucket{{Bucket: "lake"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		for _, write := range []bool{false, true} {
			err := l.Check(uri, write, location.Scope{})
			if err == nil {
				if strings.Contains(uri, "/../") || strings.ContainsAny(uri, "\x00\n\r") || write && strings.HasPrefix(uri, "http") {
					t.Errorf("%q is taken", uri)
				}
				continue
			}
			if k := caos.KindOf(err); k == caos.Internal || caos.AsError(err).Field != "uri" {
				t.Errorf("%q: %v", uri, err)
			}
		}
	})
}
