// Package outbound is the only way out to addresses that users supply: an artifact to
// fetch, a webhook to call. It exists so that such an address can never reach what the
// server can reach and the user cannot: its own ports, its network, a cloud's metadata.
//
// A name is resolved here, at the moment of dialling, and every address it has is judged;
// the connection then goes to the judged address and not through a second look-up. Only
// https is spoken. Configuration may name exceptions, host and port together, which may
// also be plain http. Redirects stay on the same host; no proxy of the environment is
// used; nothing is decompressed; a server that hangs, trickles or floods is cut.
//
// Every error is a *caos.Error whose message may be shown to who supplied the address.
package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"caos"
)

// Resolver finds the addresses of a name; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Config says what may be reached and how long it may take. Zero fields mean defaults.
type Config struct {
	Allow        []string       // "host:port" that may be reached although forbidden, by http too
	Timeout      time.Duration  // a whole exchange with its body; 5 min. A redirect begins another
	Connect      time.Duration  // look-up, connection and TLS each; 10 s
	Header       time.Duration  // from the request to the answer's header; 30 s
	IdleBody     time.Duration  // without a byte of body, and the span over which MinRate is judged; 20 s
	MinRate      int64          // bytes a second that a body must bring on average; 1024
	MaxBytes     int64          // of a body; 1 GiB
	MaxRedirects int            // 3; negative for none
	Resolver     Resolver       // the system's
	RootCAs      *x509.CertPool // the system's
}

// Dialler makes connections that cannot reach forbidden addresses.
type Dialler struct {
	cfg    Config
	allow  map[string]bool
	client *http.Client
}

// New returns a Dialler for cfg.
func New(cfg Config) *Dialler {
	fill(&cfg.Timeout, 5*time.Minute)
	fill(&cfg.Connect, 10*time.Second)
	fill(&cfg.Header, 30*time.Second)
	fill(&cfg.IdleBody, 20*time.Second)
	fill(&cfg.MinRate, 1024)
	fill(&cfg.MaxBytes, 1<<30)
	fill(&cfg.MaxRedirects, 3)
	if cfg.Resolver == nil {
		cfg.Resolver = net.DefaultResolver
	}
	d := &Dialler{cfg: cfg, allow: make(map[string]bool, len(cfg.Allow))}
	for _, hp := range cfg.Allow {
		d.allow[strings.ToLower(hp)] = true
	}
	tr := &http.Transport{
		Proxy:                  nil, // a proxy would do the dialling, unchecked
		DialContext:            d.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.RootCAs},
		TLSHandshakeTimeout:    cfg.Connect,
		ResponseHeaderTimeout:  cfg.Header,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
		DisableKeepAlives:      true, // every request is dialled, so every request is judged
	}
	d.client = &http.Client{
		Transport:     &guard{d: d, next: tr},
		CheckRedirect: d.redirect, // and no Timeout: its errors hide their cause; the guard has one
	}
	return d
}

func fill[T int | int64 | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

// Client returns the HTTP client. It is safe for concurrent use and keeps no cookies.
func (d *Dialler) Client() *http.Client { return d.client }

// DialContext connects to addr, "host:port", if every address of the host may be reached.
func (d *Dialler) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return nil, caos.Errorf(caos.Invalid, "only TCP is dialled")
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, caos.Wrap(caos.Invalid, err, "the address has no host and port")
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Connect)
	defer cancel()
	ips, err := d.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	if !d.allow[strings.ToLower(addr)] {
		for _, ip := range ips {
			if why := Forbidden(ip); why != "" {
				return nil, refuse(host, why)
			}
		}
	}
	var last error
	for _, ip := range ips {
		conn, err := new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(ip.String(), port))
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, unreachable(last)
}

func (d *Dialler) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	found, err := d.cfg.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the host %q has no address", clip(host)).WithHint("check the name")
	}
	if len(found) == 0 {
		return nil, caos.Errorf(caos.Unavailable, "the host %q has no address", clip(host))
	}
	for i, ip := range found {
		found[i] = ip.Unmap() // the resolver writes IPv4 addresses either way
	}
	return found, nil
}

func refuse(host, why string) error {
	return caos.Errorf(caos.Invalid, "the host %q is %s and is not fetched from", clip(host), why).
		WithRule("outbound").
		WithHint("upload the content instead, or have an administrator allow this host and port in the configuration")
}

// redirect follows only within the same scheme, host and port.
func (d *Dialler) redirect(req *http.Request, via []*http.Request) error {
	if len(via) > d.cfg.MaxRedirects {
		return caos.Errorf(caos.Invalid, "the server redirects more than %d times", max(0, d.cfg.MaxRedirects)).WithRule("outbound")
	}
	if first := via[0].URL; first.Scheme != req.URL.Scheme || hostPort(first) != hostPort(req.URL) {
		return caos.Errorf(caos.Invalid, "the server redirects to another host").WithRule("outbound").
			WithHint("give the address it redirects to")
	}
	return nil
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return strings.ToLower(net.JoinHostPort(u.Hostname(), port))
}

// guard is the transport: it judges the request before and the answer after.
type guard struct {
	d    *Dialler
	next http.RoundTripper
}

func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := g.d.admit(req.URL); err != nil {
		return nil, err
	}
	timed, end := context.WithTimeoutCause(req.Context(), g.d.cfg.Timeout, errSlow(g.d.cfg.Timeout))
	ctx, cut := context.WithCancelCause(timed)
	cancel := func(cause error) {
		cut(cause)
		end()
	}
	resp, err := g.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, unreachable(err)
	}
	refused := func(err error) (*http.Response, error) {
		cancel(nil)
		resp.Body.Close()
		return nil, err
	}
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return refused(caos.Errorf(caos.Invalid, "the server compresses its answer").WithRule("outbound").
			WithHint("serve the content without a Content-Encoding"))
	}
	if resp.ContentLength > g.d.cfg.MaxBytes {
		return refused(tooLarge(g.d.cfg.MaxBytes))
	}
	resp.Body = &body{next: resp.Body, cfg: &g.d.cfg, left: g.d.cfg.MaxBytes, cancel: cancel, ctx: ctx}
	return resp, nil
}

func (d *Dialler) admit(u *url.URL) error {
	if u.Hostname() == "" {
		return caos.Errorf(caos.Invalid, "the address has no host")
	}
	if u.User != nil {
		return caos.Errorf(caos.Invalid, "the address carries a user name or password").WithHint("leave credentials out of addresses")
	}
	switch {
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && d.allow[hostPort(u)]:
		return nil
	case u.Scheme == "http":
		return caos.Errorf(caos.Invalid, "plain http is not fetched").WithRule("outbound").
			WithHint("use https, or have an administrator allow this host and port in the configuration")
	}
	return caos.Errorf(caos.Invalid, "the scheme %q is not fetched", clip(u.Scheme)).WithHint("use https")
}

func tooLarge(limit int64) error {
	return caos.Errorf(caos.TooLarge, "the server's answer has more than %d bytes", limit)
}

// unreachable puts an error of the network into words without the addresses it names.
func unreachable(err error) error {
	var ce *caos.Error
	if errors.As(err, &ce) {
		return ce
	}
	if errors.Is(err, context.Canceled) {
		return caos.Wrap(caos.Unavailable, err, "the request was cancelled")
	}
	var ne net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &ne) && ne.Timeout() {
		return caos.Wrap(caos.Unavailable, err, "the server did not answer in time")
	}
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return caos.Wrap(caos.Invalid, err, "the server's certificate is not trusted").WithRule("outbound")
	}
	return caos.Wrap(caos.Unavailable, err, "the server cannot be reached")
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
