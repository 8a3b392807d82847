package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"caos"
)

// Config says which server is asked, and as whom.
type Config struct {
	URL    string // https://host:port, without a path
	Token  string // bearer token; "" asks as nobody
	CAFile string // PEM of the authority that signed the server's certificate; "" for the system's
	Agent  string // User-Agent

	// Codes gives the codes of the second factor when an operation asks for one. Nil: the
	// challenge is returned as the error it is.
	Codes Codes
}

// Client asks one server as one person. It may be used by several goroutines.
type Client struct {
	base  *url.URL
	token string
	agent string
	codes Codes
	http  *http.Client
}

// maxAnswer bounds an answer that is read into memory.
const maxAnswer = 64 << 20

// New returns a client. Errors: Invalid for an address that is not https, or an authority
// that cannot be read.
func New(c Config) (*Client, error) {
	base, err := url.Parse(strings.TrimSuffix(c.URL, "/"))
	if err != nil || base.Scheme != "https" || base.Host == "" || base.Path != "" || base.RawQuery != "" || base.User != nil {
		return nil, caos.Errorf(caos.Invalid, "%q is not the address of a CAOS server", clip(c.URL)).WithField("url").
			WithHint("give https://HOST:PORT in CAOS_URL or --url")
	}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS13},
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   10 * time.Second,
		IdleConnTimeout:       time.Minute,
		ResponseHeaderTimeout: 2 * time.Minute, // longer than the longest wait that can be asked for
	}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, caos.Wrap(caos.Invalid, err, "the certificate authority %s cannot be read", c.CAFile).WithField("ca").
				WithHint("name the ca_file that caos init printed in CAOS_CA or --ca")
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, caos.Errorf(caos.Invalid, "%s holds no certificate", c.CAFile).WithField("ca").
				WithHint("name the ca_file that caos init printed in CAOS_CA or --ca")
		}
	}
	return &Client{base: base, token: c.Token, agent: c.Agent, codes: c.Codes, http: &http.Client{
		Transport: t,
		// The API redirects nowhere; a redirect must not carry the token away.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// URL is the server's address.
func (c *Client) URL() string { return c.base.String() }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Call is one request.
type Call struct {
	Method string
	Path   string // from /, escaped
	Query  url.Values
	Header http.Header

	JSON any    // body, encoded as JSON; nil for none
	Body []byte // or: the body as it is, with its Content-Type in Header
}

// Answer is what the server said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Decode reads an answer's JSON.
func (a *Answer) Decode(into any) error {
	if err := json.Unmarshal(a.Body, into); err != nil {
		return caos.Wrap(caos.Internal, err, "the server's answer cannot be read").WithHint("is this program as new as the server?")
	}
	return nil
}

// Do sends a request and reads the whole answer. When the server asks for a second factor
// it is sent again with a code. Refusals are a *Refusal around a *caos.Error.
func (c *Client) Do(ctx context.Context, call Call) (*Answer, error) {
	body := call.Body
	header := call.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if call.JSON != nil {
		var err error
		if body, err = json.Marshal(call.JSON); err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		header.Set("Content-Type", "application/json")
	}
	send := func(mfa string) (*Answer, error) {
		if mfa != "" {
			header.Set("CAOS-MFA", "totp "+mfa)
		}
		res, err := c.send(ctx, call.Method, c.address(call.Path, call.Query), header, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		return c.read(res)
	}
	return c.withFactor(ctx, send)
}

// Get asks for path and reads the answer into v.
func (c *Client) Get(ctx context.Context, path string, query url.Values, v any) error {
	a, err := c.Do(ctx, Call{Method: http.MethodGet, Path: path, Query: query})
	if err != nil {
		return err
	}
	return a.Decode(v)
}

// Post sends body as JSON to path and reads the answer into v, unless v is nil.
func (c *Client) Post(ctx context.Context, path string, body, v any) error {
	a, err := c.Do(ctx, Call{Method: http.MethodPost, Path: path, JSON: body})
	if err != nil || v == nil {
		return err
	}
	return a.Decode(v)
}

func (c *Client) address(path string, query url.Values) string {
	s := c.base.String() + path
	if len(query) > 0 {
		s += "?" + query.Encode()
	}
	return s
}

func (c *Client) send(ctx context.Context, method, address string, header http.Header, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, caos.Wrap(caos.Invalid, err, "the request cannot be made")
	}
	if header != nil {
		req.Header = header.Clone()
	}
	if req.ContentLength == 0 {
		req.Body = http.NoBody
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json")
	}
	req.Header.Set("User-Agent", c.agent)
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	return res, nil
}

// unreachable says in a person's words why there is no answer.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	e := caos.Wrap(caos.Unavailable, err, "%s does not answer", c.base.Host).
		WithHint("is the server running? Start it with: caos serve --data DIR")
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	switch {
	case errors.As(err, &unknown):
		e.Message = "the certificate of " + c.base.Host + " is signed by an authority that is not known here"
		return e.WithHint("name the ca_file that caos init printed in CAOS_CA or --ca")
	case errors.As(err, &hostname):
		e.Message = "the certificate of " + c.base.Host + " is for other names"
		return e.WithHint("use the address that the server was configured with, or set base_url in caos.yaml")
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Message = "nothing listens at " + c.base.Host
	}
	return e
}

// read takes an answer apart; anything but success is an error.
func (c *Client) read(res *http.Response) (*Answer, error) {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the answer of %s broke off", c.base.Host)
	}
	if len(body) > maxAnswer {
		return nil, caos.Errorf(caos.TooLarge, "the answer is longer than %d bytes", maxAnswer).WithHint("ask for less with --limit")
	}
	if res.StatusCode >= 300 {
		return nil, refusalOf(res, body)
	}
	return &Answer{Status: res.StatusCode, Header: res.Header, Body: body}, nil
}

func clip(s string) string {
	if len(s) > 120 {
		return s[:120] + "…"
	}
	return s
}
