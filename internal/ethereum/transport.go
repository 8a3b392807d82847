package ethereum

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"caos/internal/outbound"
)

// hostPort is what of an address is dialled.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return strings.ToLower(net.JoinHostPort(u.Hostname(), port))
}

// keeping returns a client that dials as outbound does, and keeps its connections: a chain
// is asked many times a second, by the same configured addresses, and a connection each
// would run out of ports. It follows no redirect. allow are the endpoints' own hosts: that
// the configuration names them is the permission to reach them.
func keeping(allow []string) (client *http.Client, idle func()) {
	d := outbound.New(outbound.Config{Allow: allow, Connect: 5 * time.Second})
	tr := &http.Transport{
		Proxy:                  nil,
		DialContext:            d.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        30 * time.Second,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
	client = &http.Client{
		Transport:     tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return client, tr.CloseIdleConnections
}
