package location_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"caos"
	"caos/internal/location"
	"caos/internal/location/s3test"
	"caos/internal/secret"
)

// keys is a vault of a test.
type keys map[string]string

func (k keys) Get(_ context.Context, r secret.Ref) ([]byte, error) {
	v, ok := k[r.String()]
	if !ok {
		return nil, caos.Errorf(caos.NotFound, "there is no secret %s", r).WithHint("caos secret put %s %s", r.Path, r.Key)
	}
	return []byte(v), nil
}

const (
	accessRef = "vault:s3/test#access"
	secretRef = "vault:s3/test#secret"
)

func lake(endpoint string) location.Bucket {
	return location.Bucket{Bucket: "lake", Endpoint: endpoint, AccessKey: accessRef, SecretKey: secretRef, PathStyle: true, Write: true}
}

func openLake(t testing.TB, s *s3test.Server, endpoint string, change func(*location.Options)) *location.Locations {
	t.Helper()
	opt := location.Options{Buckets: []location.Bucket{lake(endpoint)}, Secrets: keys{accessRef: s.Access, secretRef: s.Secret}}
	if change != nil {
		change(&opt)
	}
	return open(t, opt)
}

// gateway is a proxy before the object store that fails as a test says.
type gateway struct {
	*httptestServer
	mu     sync.Mutex
	before func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
	cut    func(r *http.Request) int                         // bytes of the answer's body until the connection breaks; -1: none
	change func(r *http.Response)
	seen   []string
}

type httptestServer struct{ URL string }

func newGateway(t testing.TB, s *s3test.Server) *gateway {
	t.Helper()
	to, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{}
	rp := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // what was signed
		},
		ModifyResponse: func(r *http.Response) error {
			g.mu.Lock()
			change, cut := g.change, -1
			if g.cut != nil {
				cut = g.cut(r.Request)
			}
			g.mu.Unlock()
			if change != nil {
				change(r)
			}
			if cut >= 0 {
				r.Body = struct {
					io.Reader
					io.Closer
				}{io.MultiReader(io.LimitReader(r.Body, int64(cut)), broken{}), r.Body}
			}
			return nil
		},
		FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0),
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		before := g.before
		g.seen = append(g.seen, r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("Range"))
		g.mu.Unlock()
		if before != nil && before(w, r) {
			return
		}
		rp.ServeHTTP(w, r)
	})}
	go func() { _ = srv.Serve(l) }() // closed below
	t.Cleanup(func() { _ = srv.Close() })
	g.httptestServer = &httptestServer{"http://" + l.Addr().String()}
	return g
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func (g *gateway) set(fn func(g *gateway)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	fn(g)
}

func isGet(r *http.Request, key string) bool {
	return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, key)
}

func noise(n int) []byte {
	out := make([]byte, n)
	x := uint32(1)
	for i := range out {
		x = x*1664525 + 1013904223
		out[i] = byte(x >> 24)
	}
	return out
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return "SHA256:" + hex.EncodeToString(sum[:])
}

func TestS3Probe(t *testing.T) {
	s := s3test.Start(t, "lake", "empty")
	for _, key := range []string{"one.csv", "y/2001-01/part-0.csv", "y/2001-01/part-1.csv", "y/2001-02/part-0.csv", "y/2001-02/_SUCCESS", "y/.tmp/part-9.csv", "y/a b+c%&=.csv", "y/ü.csv"} {
		s.Put(t, "lake", key, "text of "+key)
	}
	l := openLake(t, s, s.URL, nil)
	for uri, want := range map[string][]string{
		"one.csv":              {"one.csv"},
		"y/":                   {"_.csv", "a_b_c___.csv", "part-0.csv", "part-0-2.csv", "part-1.csv"},
		"y/2001-*/part-0.csv":  {"part-0.csv", "part-0-2.csv"},
		"y/2001-*/":            {"part-0.csv", "part-1.csv", "part-0-2.csv"},
		"y/2001-02/_*":         {"_SUCCESS"},
		"y/a%20b%2Bc%25&=.csv": {"a_b_c___.csv"},
		"y/%C3%BC.csv":         {"_.csv"},
		"*.csv":                {"one.csv"},
		"none.csv":             nil,
		"none/":                nil,
	} {
		found, err := l.Probe(t.Context(), "s3://lake/"+uri, location.Scope{})
		if want == nil {
			if e := caos.AsError(err); e.Kind != caos.NotFound || e.Rule != "source-missing" {
				t.Errorf("%s: %v", uri, err)
			}
			continue
		}
		var got []string
		for _, f := range found {
			got = append(got, f.Name)
			dst := filepath.Join(t.TempDir(), "x")
			again, err := l.Fetch(t.Context(), f, location.Scope{}, dst, nil)
			if err != nil || f.ETag == "" || f.Size < 9 || again.Digest != sha(read(t, dst)) || !strings.HasPrefix(read(t, dst), "text of ") {
				t.Errorf("%s: %+v, %v", f.URI, again, err)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", uri, got, err, want)
		}
	}
}

// TestS3Resume cuts the connection three times; the transfer goes on where it stopped.
func TestS3Resume(t *testing.T) {
	s := s3test.Start(t, "lake")
	data := noise(3 << 20)
	s.Put(t, "lake", "big", string(data))
	g := newGateway(t, s)
	cuts := 0
	g.set(func(g *gateway) {
		g.cut = func(r *http.Request) int {
			if isGet(r, "/big") && cuts < 3 {
				cuts++
				return 700_000
			}
			return -1
		}
	})
	l := openLake(t, s, g.URL, nil)
	found, err := l.Probe(t.Context(), "s3://lake/big", location.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	dst := filepath.Join(t.TempDir(), "x")
	var last int64
	got, err := l.Fetch(t.Context(), found[0], location.Scope{}, dst, func(done, total int64) {
		if done < last || total != int64(len(data)) {
			t.Errorf("progress %d after %d of %d", done, last, total)
		}
		last = done
	})
	if err != nil || got.Digest != hexSum(data) || !bytes.Equal([]byte(read(t, dst)), data) {
		t.Fatalf("%+v, %v", got, err)
	}
	ranged := 0
	for _, r := range g.seen {
		if strings.Contains(r, " bytes=") {
			ranged++
		}
	}
	if ranged != 3 || last != int64(len(data)) {
		t.Errorf("%d requests with a range in %v", ranged, g.seen)
	}
}

// TestS3Replaced has the object change between probe and fetch, during the fetch, and go away.
func TestS3Replaced(t *testing.T) {
	s := s3test.Start(t, "lake")
	g := newGateway(t, s)
	l := openLake(t, s, g.URL, nil)
	for name, change := range map[string]func(){
		"replaced": func() { s.Put(t, "lake", "k", strings.Repeat("y", 1<<20)) },
		"gone": func() {
			_, _ = s.Client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("lake"), Key: aws.String("k")})
		},
		"shorter": func() { s.Put(t, "lake", "k", "y") },
	} {
		for _, when := range []string{"before", "during"} {
			t.Run(name+" "+when, func(t *testing.T) {
				s.Put(t, "lake", "k", strings.Repeat("x", 1<<20))
				found, err := l.Probe(t.Context(), "s3://lake/k", location.Scope{})
				if err != nil {
					t.Fatal(err)
				}
				if when == "before" {
					change()
				} else {
					g.set(func(g *gateway) {
						g.cut = func(r *http.Request) int {
							if !isGet(r, "/k") {
								return -1
							}
							change()
							g.cut = nil
							return 1000
						}
					})
				}
				dst := filepath.Join(t.TempDir(), "x")
				_, err = l.Fetch(t.Context(), found[0], location.Scope{}, dst, nil)
				if e := caos.AsError(err); e.Kind != caos.Conflict || e.Rule != "source-changed" {
					t.Errorf("%v", err)
				}
				if _, err := os.Stat(dst); err == nil {
					t.Error("something is left")
				}
			})
		}
	}
}

func TestS3Checksum(t *testing.T) {
	s := s3test.Start(t, "lake")
	g := newGateway(t, s)
	l := openLake(t, s, g.URL, nil)
	for _, alg := range []types.ChecksumAlgorithm{types.ChecksumAlgorithmSha256, types.ChecksumAlgorithmCrc64nvme, types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c, types.ChecksumAlgorithmSha1} {
		for _, times := range []int{0, 1, 2} {
			key := fmt.Sprintf("k-%s-%d", strings.ToLower(string(alg)), times)
			if _, err := s.Client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("lake"), Key: &key, Body: strings.NewReader("abcdefgh"), ChecksumAlgorithm: alg}); err != nil {
				t.Fatal(err)
			}
			left := times
			g.set(func(g *gateway) {
				g.change = func(r *http.Response) {
					if isGet(r.Request, "/"+key) && left > 0 {
						left--
						_ = r.Body.Close()
						r.Body = io.NopCloser(strings.NewReader("abcdXfgh"))
					}
				}
			})
			found, err := l.Probe(t.Context(), "s3://lake/"+key, location.Scope{})
			if err != nil {
				t.Fatal(err)
			}
			dst := filepath.Join(t.TempDir(), "x")
			_, err = l.Fetch(t.Context(), found[0], location.Scope{}, dst, nil)
			switch {
			case times < 2 && (err != nil || read(t, dst) != "abcdefgh"):
				t.Errorf("%s, damaged %d times: %v", alg, times, err)
			case times == 2 && caos.AsError(err).Rule != "source-checksum":
				t.Errorf("%s, damaged twice: %v", alg, err)
			}
		}
	}
}

// TestS3Errors has a store that is ill, in each way that it may be.
func TestS3Errors(t *testing.T) {
	s := s3test.Start(t, "lake")
	s.Put(t, "lake", "k", strings.Repeat("x", 100_000))
	answer := func(status int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(status); return true }
	}
	some := func(n int32, then func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
		var left atomic.Int32
		left.Store(n)
		return func(w http.ResponseWriter, r *http.Request) bool { return left.Add(-1) >= 0 && then(w, r) }
	}
	hang := func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
	for name, c := range map[string]struct {
		before func(http.ResponseWriter, *http.Request) bool
		cut    func(*http.Request) int
		change func(*location.Options)
		uri    string
		want   string
	}{
		"all is well":         {},
		"two times 503":       {before: some(2, answer(503))},
		"two times 500":       {before: some(2, answer(500))},
		"503 for ever":        {before: answer(503), want: "unavailable"},
		"hangs once":          {before: some(1, hang)},
		"hangs for ever":      {before: hang, want: "unavailable"},
		"breaks off for ever": {cut: func(r *http.Request) int { return map[bool]int{true: 0, false: -1}[isGet(r, "/k")] }, want: "unavailable"},
		"redirects": {before: func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusTemporaryRedirect)
			return true
		}, want: "invalid/outbound"},
		"redirects for good": {before: func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "https://example.org/", http.StatusMovedPermanently)
			return true
		}, want: "invalid/outbound"},
		"forbidden":                 {before: answer(403), want: "denied/location-credentials"},
		"wrong secret key":          {change: func(o *location.Options) { o.Secrets = keys{accessRef: s.Access, secretRef: "wrong-hunter2"} }, want: "denied/location-credentials"},
		"unknown access key":        {change: func(o *location.Options) { o.Secrets = keys{accessRef: "nobody-hunter2", secretRef: s.Secret} }, want: "denied/location-credentials"},
		"no key in the vault":       {change: func(o *location.Options) { o.Secrets = keys{} }, want: "not_found"},
		"missing bucket":            {change: func(o *location.Options) { b := o.Buckets[0]; b.Bucket = "none"; o.Buckets = append(o.Buckets, b) }, uri: "s3://none/k", want: "not_found/location-bucket"},
		"missing bucket, folder":    {change: func(o *location.Options) { b := o.Buckets[0]; b.Bucket = "none"; o.Buckets = append(o.Buckets, b) }, uri: "s3://none/k/", want: "not_found/location-bucket"},
		"missing object":            {uri: "s3://lake/none", want: "not_found/source-missing"},
		"listing without end":       {before: endless, uri: "s3://lake/x/", want: "too_large"},
		"listing that is too large": {before: huge, uri: "s3://lake/x/", want: "too_large"},
		"listing of other things":   {before: listing("other"), uri: "s3://lake/x/", want: "invalid/location-name"},
		"hostile name, up":          {before: listing("x/../../etc/passwd"), uri: "s3://lake/x/", want: "not_found/source-missing"},
		"hostile name, control":     {before: listing("x/a&#10;b"), uri: "s3://lake/x/", want: "invalid/location-name"},
		"hostile name, backslash":   {before: listing(`x/a\b`), uri: "s3://lake/x/", want: "invalid/location-name"},
		"hostile name, empty part":  {before: listing(`x//b`), uri: "s3://lake/x/", want: "invalid/location-name"},
		"too large":                 {change: func(o *location.Options) { o.MaxBytes = 99_999 }, want: "too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, s)
			g.set(func(g *gateway) { g.before, g.cut = c.before, c.cut })
			l := openLake(t, s, g.URL, func(o *location.Options) {
				o.Wait = 300 * time.Millisecond
				if c.change != nil {
					c.change(o)
				}
			})
			uri := c.uri
			if uri == "" {
				uri = "s3://lake/k"
			}
			began := time.Now()
			found, err := l.Probe(t.Context(), uri, location.Scope{})
			if err == nil {
				_, err = l.Fetch(t.Context(), found[0], location.Scope{}, filepath.Join(t.TempDir(), "x"), nil)
			}
			got := string(caos.KindOf(err))
			if e := caos.AsError(err); err != nil && e.Rule != "" {
				got += "/" + e.Rule
			}
			if got != c.want {
				t.Errorf("%s, want %q: %v", got, c.want, err)
			}
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("it took %s", took)
			}
			if e := caos.AsError(err); err != nil {
				if shown := err.Error() + e.Message + e.Hint; strings.Contains(shown, "hunter2") || strings.Contains(shown, s.Secret) {
					t.Errorf("a key is shown: %s", shown)
				}
				if strings.Contains(e.Message+e.Hint, "127.0.0.1") {
					t.Errorf("the endpoint is shown: %s", e.Message)
				}
			}
		})
	}
}

func page(keys []string, more bool) string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>lake</Name>`)
	fmt.Fprintf(&b, "<IsTruncated>%v</IsTruncated>", more)
	if more {
		fmt.Fprintf(&b, "<NextContinuationToken>%d</NextContinuationToken>", time.Now().UnixNano())
	}
	for _, k := range keys {
		fmt.Fprintf(&b, `<Contents><Key>%s</Key><LastModified>2026-11-23T10:00:00.000Z</LastModified><ETag>"abc"</ETag><Size>1</Size></Contents>`, k)
	}
	b.WriteString(`</ListBucketResult>`)
	return b.String()
}

func listing(keys ...string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = io.WriteString(w, page(keys, false))
		return true
	}
}

// endless lists for ever.
func endless(w http.ResponseWriter, _ *http.Request) bool {
	var keys []string
	for i := range 1000 {
		keys = append(keys, fmt.Sprintf("x/%d-%d", time.Now().UnixNano(), i))
	}
	_, _ = io.WriteString(w, page(keys, true))
	return true
}

// huge answers with one page that does not end.
func huge(w http.ResponseWriter, _ *http.Request) bool {
	_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>`)
	chunk := strings.Repeat("x", 1<<20)
	for range 40 {
		if _, err := io.WriteString(w, chunk); err != nil {
			return true
		}
	}
	return true
}

// TestS3DuplicateNames has as many files of one name as there may be, and one more.
func TestS3DuplicateNames(t *testing.T) {
	s := s3test.Start(t, "lake")
	for n, fine := range map[int]bool{10_000: true, 10_001: false} {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf("x/%05d/part-0.csv.gz", i))
		}
		g := newGateway(t, s)
		g.set(func(g *gateway) { g.before = listing(all...) })
		found, err := openLake(t, s, g.URL, nil).Probe(t.Context(), "s3://lake/x/", location.Scope{})
		if (err == nil) != fine {
			t.Errorf("%d: %v", n, err)
		}
		names := map[string]bool{}
		for _, f := range found {
			names[f.Name] = true
			if !strings.HasSuffix(f.Name, ".csv.gz") || filepath.Base(f.Name) != f.Name {
				t.Errorf("%q", f.Name)
			}
		}
		if fine && len(names) != n {
			t.Errorf("%d files have %d names", n, len(names))
		}
	}
}

// TestS3Memory publishes and fetches 200 MiB and measures what that takes.
func TestS3Memory(t *testing.T) {
	if testing.Short() {
		t.Skip("200 MiB")
	}
	s := s3test.Start(t, "lake")
	const size = 200 << 20
	src := filepath.Join(t.TempDir(), "big")
	f, err := os.Create(src)
	if err != nil {
		t.Fatal(err)
	}
	block := noise(1 << 20)
	for i := range size >> 20 {
		block[0] = byte(i)
		if _, err := f.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	l := openLake(t, s, s.URL, nil)
	measured := func(what string, fn func()) {
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		var peak atomic.Uint64
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak.Store(max(peak.Load(), m.HeapInuse))
				select {
				case <-stop:
					return
				case <-tick.C:
				}
			}
		}()
		began := time.Now()
		fn()
		close(stop)
		<-done
		grown := int64(peak.Load()) - int64(before.HeapInuse)
		t.Logf("%s: %d MiB in %s, heap grew by %.1f MiB", what, size>>20, time.Since(began).Round(time.Millisecond), float64(grown)/(1<<20))
		if grown > 24<<20 {
			t.Errorf("%s: the heap grew by %d bytes", what, grown)
		}
	}
	var st *location.Staged
	measured("publish", func() {
		if st, err = l.Stage(t.Context(), location.Publication{Key: "k", Target: "s3://lake/big", Files: []location.Local{{Path: src, Name: "big"}}}, nil); err == nil {
			err = l.Commit(t.Context(), st)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	found, err := l.Probe(t.Context(), "s3://lake/big", location.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	var got location.File
	measured("fetch", func() {
		got, err = l.Fetch(t.Context(), found[0], location.Scope{}, filepath.Join(t.TempDir(), "x"), nil)
	})
	if err != nil || got.Digest != st.Files[0].Digest {
		t.Errorf("%+v, %v", got, err)
	}
}
