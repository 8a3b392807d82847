package outbound_test

import (
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/outbound"
)

// names is a resolver with fixed answers.
type names map[string][]string

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, s := range n[host] {
		out = append(out, netip.MustParseAddr(s))
	}
	if out == nil {
		return nil, &net.DNSError{Name: host, IsNotFound: true}
	}
	return out, nil
}

func TestForbidden(t *testing.T) {
	for _, s := range []string{
		"0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.0.1", "169.254.169.254", "172.31.0.1",
		"192.168.1.1", "192.0.0.8", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "fec0::1",
		"::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1",
		"2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "100::1", "5f00::1",
	} {
		if outbound.Forbidden(netip.MustParseAddr(s)) == "" {
			t.Errorf("%s is allowed", s)
		}
	}
	for _, s := range []string{"8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1", "2606:4700::1", "2a00:1450::1"} {
		if why := outbound.Forbidden(netip.MustParseAddr(s)); why != "" {
			t.Errorf("%s is %s", s, why)
		}
	}
	if outbound.Forbidden(netip.Addr{}) == "" {
		t.Error("the zero address is allowed")
	}
}

func get(t *testing.T, cfg outbound.Config, u string) ([]byte, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", u, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := outbound.New(cfg).Client().Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

func wantError(t *testing.T, err error, kind caos.Kind, say string) {
	t.Helper()
	var e *caos.Error
	if !errors.As(err, &e) || e.Kind != kind || !strings.Contains(e.Message, say) {
		t.Fatalf("got %v, want %s saying %q", err, kind, say)
	}
}

func host(t *testing.T, s *httptest.Server) string {
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// TestRefusesAddresses points every spelling of a forbidden place at a live server, which
// must never be asked.
func TestRefusesAddresses(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the server was reached") }))
	defer s.Close()
	_, port, _ := net.SplitHostPort(host(t, s))
	r := names{
		"loop.test": {"127.0.0.1"}, "mixed.test": {"93.184.216.34", "127.0.0.1"}, "mapped.test": {"::ffff:127.0.0.1"},
		"six.test": {"::1"}, "nat64.test": {"64:ff9b::7f00:1"}, "meta.test": {"169.254.169.254"}, "any.test": {"0.0.0.0"},
	}
	for _, h := range []string{"127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]", "loop.test", "mixed.test", "mapped.test", "six.test", "nat64.test", "meta.test", "any.test"} {
		_, err := get(t, outbound.Config{Resolver: r}, "https://"+h+":"+port+"/")
		wantError(t, err, caos.Invalid, "is not fetched from")
	}
	for _, h := range []string{"localhost", "2130706433", "127.1", "0x7f.0.0.1"} { // by the system's resolver, if it knows them
		if _, err := get(t, outbound.Config{}, "https://"+h+":"+port+"/"); err == nil {
			t.Errorf("%s was fetched", h)
		}
	}
}

func TestRefusesRequests(t *testing.T) {
	for u, say := range map[string]string{
		"http://8.8.8.8/":         "plain http",
		"ftp://8.8.8.8/":          "scheme",
		"file:///etc/passwd":      "no host",
		"https://u:p@8.8.8.8/":    "user name or password",
		"gopher://8.8.8.8:70/":    "scheme",
		"https:///path":           "no host",
		"http://127.0.0.1:9/":     "plain http",
		"unix://localhost/socket": "scheme",
	} {
		_, err := get(t, outbound.Config{}, u)
		wantError(t, err, caos.Invalid, say)
	}
	_, err := get(t, outbound.Config{Resolver: names{}}, "https://nowhere.test/")
	wantError(t, err, caos.Unavailable, "no address")
}

func TestAllowed(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	s := httptest.NewTLSServer(h)
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	b, err := get(t, outbound.Config{Allow: []string{host(t, s)}, RootCAs: roots}, s.URL)
	if err != nil || string(b) != "hello" {
		t.Fatal(string(b), err)
	}
	_, err = get(t, outbound.Config{Allow: []string{host(t, s)}}, s.URL)
	wantError(t, err, caos.Invalid, "certificate")

	plain := httptest.NewServer(h)
	defer plain.Close()
	b, err = get(t, outbound.Config{Allow: []string{host(t, plain)}}, plain.URL)
	if err != nil || string(b) != "hello" {
		t.Fatal(string(b), err)
	}
	_, err = get(t, outbound.Config{Allow: []string{host(t, s)}}, plain.URL) // another port is not allowed
	wantError(t, err, caos.Invalid, "plain http")
}

func TestRedirects(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the other host was reached") }))
	defer other.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/same":
			http.Redirect(w, r, "/end", http.StatusFound)
		case "/other":
			http.Redirect(w, r, other.URL, http.StatusFound)
		case "/scheme":
			http.Redirect(w, r, "https://"+r.Host+"/end", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		default:
			io.WriteString(w, "end")
		}
	}))
	defer s.Close()
	cfg := outbound.Config{Allow: []string{host(t, s), host(t, other)}}
	if b, err := get(t, cfg, s.URL+"/same"); err != nil || string(b) != "end" {
		t.Fatal(string(b), err)
	}
	_, err := get(t, cfg, s.URL+"/other")
	wantError(t, err, caos.Invalid, "another host")
	_, err = get(t, cfg, s.URL+"/scheme")
	wantError(t, err, caos.Invalid, "another host")
	_, err = get(t, cfg, s.URL+"/loop")
	wantError(t, err, caos.Invalid, "more than 3 times")
	cfg.MaxRedirects = -1
	_, err = get(t, cfg, s.URL+"/same")
	wantError(t, err, caos.Invalid, "more than 0 times")
}

// TestServersThatHang has one server for each way of never coming to an end.
func TestServersThatHang(t *testing.T) {
	stop := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		switch r.URL.Path {
		case "/header":
			<-stop
		case "/body":
			io.WriteString(w, "some")
			w.(http.Flusher).Flush()
			<-stop
		case "/trickle":
			for {
				select {
				case <-r.Context().Done():
					return
				case <-stop:
					return
				case <-tick.C:
					io.WriteString(w, "x")
					w.(http.Flusher).Flush()
				}
			}
		case "/flood":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		case "/short":
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "short")
		case "/long":
			w.Header().Set("Content-Length", "999999999")
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			z.Write(make([]byte, 1<<20))
			z.Close()
		case "/exact":
			fmt.Fprint(w, strings.Repeat("x", 1<<20))
		}
	}))
	defer s.Close()
	defer close(stop)
	cfg := outbound.Config{Allow: []string{host(t, s)}, Header: 150 * time.Millisecond, IdleBody: 150 * time.Millisecond, Timeout: 5 * time.Second, MaxBytes: 1 << 20}
	for path, want := range map[string]struct {
		kind caos.Kind
		say  string
	}{
		"/header":  {caos.Unavailable, "did not answer in time"},
		"/body":    {caos.Unavailable, "sent nothing"},
		"/trickle": {caos.Unavailable, "less than 1024 bytes"},
		"/flood":   {caos.TooLarge, "more than 1048576"},
		"/long":    {caos.TooLarge, "more than 1048576"},
		"/short":   {caos.Unavailable, "broke off"},
		"/gzip":    {caos.Invalid, "compresses"},
	} {
		t.Run(path, func(t *testing.T) {
			_, err := get(t, cfg, s.URL+path)
			wantError(t, err, want.kind, want.say)
		})
	}
	if b, err := get(t, cfg, s.URL+"/exact"); err != nil || len(b) != 1<<20 {
		t.Fatal(len(b), err)
	}
	cfg.IdleBody, cfg.Timeout = time.Minute, 200*time.Millisecond
	_, err := get(t, cfg, s.URL+"/trickle")
	wantError(t, err, caos.Unavailable, "in time")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", s.URL+"/exact", nil)
	_, err = outbound.New(cfg).Client().Do(req)
	wantError(t, err, caos.Unavailable, "cancelled")
}

// TestNothingListens covers a port that is closed.
func TestNothingListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, err = get(t, outbound.Config{Allow: []string{addr}}, "https://"+addr)
	wantError(t, err, caos.Unavailable, "cannot be reached")
}
