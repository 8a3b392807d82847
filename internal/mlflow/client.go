package mlflow

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"caos"
)

// Options say how a server is spoken to. Zero fields mean defaults.
type Options struct {
	// PlainHTTP speaks http instead of https: what is read can then be changed on its way,
	// and credentials can be read.
	PlainHTTP bool

	// Username and Password together, or else Token, are sent with every request, as
	// MLflow's own client does.
	Username, Password, Token string

	RootCAs *x509.CertPool // who signs servers' certificates; the system's
	Agent   string         // User-Agent
	Limits  Limits
}

// Limits bound what a server may send.
type Limits struct {
	Answer  int64         // bytes of a JSON answer; 8 MiB
	Files   int           // files of a version; 10,000
	Folders int           // folders of a version; 1,000
	Depth   int           // folders inside folders; 16
	Total   int64         // bytes of all files; 64 GiB
	Header  time.Duration // until an answer begins; 30 s
	Idle    time.Duration // without a byte of it; 60 s
	Whole   time.Duration // for a JSON answer from first to last byte; 2 min
	MinRate int64         // bytes a second that a body must bring on average; 1024
}

func (l *Limits) fill() {
	fill(&l.Answer, 8<<20)
	fill(&l.Files, 10_000)
	fill(&l.Folders, 1_000)
	fill(&l.Depth, 16)
	fill(&l.Total, 64<<30)
	fill(&l.Header, 30*time.Second)
	fill(&l.Idle, time.Minute)
	fill(&l.Whole, 2*time.Minute)
	fill(&l.MinRate, 1024)
}

func fill[T int | int64 | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

// Client reads from one tracking server.
type Client struct {
	base string // scheme://host/prefix, without a slash at its end
	host string
	opt  Options
	http *http.Client
}

// New returns a client of the server that src lies on.
func New(src Source, opt Options) *Client {
	opt.Limits.fill()
	scheme := "https"
	if opt.PlainHTTP {
		scheme = "http"
	}
	return &Client{base: scheme + "://" + src.Host + src.Prefix, host: src.Host, opt: opt, http: &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: opt.RootCAs},
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    10 * time.Second,
			ResponseHeaderTimeout:  opt.Limits.Header,
			MaxResponseHeaderBytes: 64 << 10,
			IdleConnTimeout:        30 * time.Second,
			DisableCompression:     true, // sizes are compared; and a bomb is not unpacked
		},
		CheckRedirect: stay,
	}}
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// stay follows redirects on the same scheme and host only: elsewhere the credentials would
// go along, and the answer would be another server's.
func stay(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	if !strings.EqualFold(first.Scheme, req.URL.Scheme) || !strings.EqualFold(first.Host, req.URL.Host) {
		return caos.Errorf(caos.Invalid, "the server redirects to another address").WithField("source").WithRule("mlflow-redirect").
			WithHint("give the address that it redirects to: %s", clip(req.URL.Host))
	}
	if len(via) > 3 {
		return caos.Errorf(caos.Invalid, "the server redirects in circles").WithField("source").WithRule("mlflow-redirect")
	}
	return nil
}

// open sends a GET and returns the answer if it is one of success. The caller closes its
// body, which ends the exchange.
func (c *Client) open(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	address := c.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		cancel(nil)
		return nil, caos.Wrap(caos.Invalid, err, "the request cannot be made").WithField("source")
	}
	req.Header.Set("Accept-Encoding", "identity")
	if c.opt.Agent != "" {
		req.Header.Set("User-Agent", c.opt.Agent)
	}
	switch {
	case c.opt.Username != "" && c.opt.Password != "":
		req.SetBasicAuth(c.opt.Username, c.opt.Password)
	case c.opt.Token != "":
		req.Header.Set("Authorization", "Bearer "+c.opt.Token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		err = c.unreachable(ctx, err)
		cancel(nil)
		return nil, err
	}
	res.Body = &watched{next: res.Body, ctx: ctx, cancel: cancel, idle: c.opt.Limits.Idle, minRate: c.opt.Limits.MinRate, host: c.host}
	if enc := res.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		res.Body.Close()
		return nil, caos.Errorf(caos.Invalid, "%s compresses its answers although asked not to", c.host).WithField("source").
			WithHint("ask whoever runs it, or a proxy before it, to serve them as they are")
	}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		return nil, c.refusal(res)
	}
	return res, nil
}

// get reads a JSON answer into v.
func (c *Client) get(ctx context.Context, path string, query url.Values, v any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.opt.Limits.Whole, errSlow(c.host))
	defer cancel()
	res, err := c.open(ctx, path, query)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, c.opt.Limits.Answer+1))
	if err != nil {
		return err
	}
	if int64(len(body)) > c.opt.Limits.Answer {
		return caos.Errorf(caos.TooLarge, "%s answers with more than %d bytes", c.host, c.opt.Limits.Answer).WithField("source").WithRule("mlflow-answer")
	}
	if err := json.Unmarshal(body, v); err != nil {
		return caos.Wrap(caos.Invalid, err, "%s does not answer as an MLflow tracking server does", c.host).WithField("source").
			WithHint("is the address that of the tracking server itself?")
	}
	return nil
}

// refusal puts an answer that is no success into words.
func (c *Client) refusal(res *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(res.Body, 16<<10)) // best effort: the status says enough
	var said struct {
		Code    string `json:"error_code"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(body, &said)
	what := clip(said.Message)
	if what == "" {
		what = res.Status
	}
	fail := func(kind caos.Kind) *caos.Error {
		return caos.Errorf(kind, "%s says: %s", c.host, what).WithField("source")
	}
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		return fail(caos.Unauthenticated).WithHint("set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN")
	case res.StatusCode == http.StatusForbidden:
		return fail(caos.Denied).WithHint("ask for READ permission on the registered model and its experiment")
	case said.Code == "RESOURCE_DOES_NOT_EXIST":
		return fail(caos.NotFound).WithHint("the names and versions are in the model registry of the server")
	case res.StatusCode == http.StatusNotFound:
		return fail(caos.NotFound).WithHint("is the address that of an MLflow tracking server?")
	case res.StatusCode == http.StatusTooManyRequests:
		return fail(caos.Limited).WithHint("try again later")
	case res.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(body), "serve-artifacts"):
		return c.unproxied("it runs with --no-serve-artifacts")
	case res.StatusCode >= 500:
		return fail(caos.Unavailable).WithHint("try again later")
	}
	return fail(caos.Invalid)
}

// unproxied says that the files cannot be had through the server.
func (c *Client) unproxied(why string) error {
	return caos.Errorf(caos.Invalid, "%s does not serve the files of this version: %s", c.host, why).WithField("source").WithRule("mlflow-proxy").
		WithHint("have the tracking server serve them (--serve-artifacts), or download them with: mlflow artifacts download, and add each with: caos model artifact add")
}

func (c *Client) unreachable(ctx context.Context, err error) error {
	var known *caos.Error
	if errors.As(err, &known) { // such as a redirect elsewhere
		return known
	}
	if errors.As(context.Cause(ctx), &known) {
		return known
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	e := caos.Wrap(caos.Unavailable, err, "%s does not answer", c.host).WithField("source").WithHint("is the MLflow tracking server running, and is the port right?")
	var unknown x509.UnknownAuthorityError
	var timeout net.Error
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		e.Kind, e.Message = caos.Invalid, "the certificate of "+c.host+" is signed by an authority that is not known here"
		return e.WithHint("name its PEM file in MLFLOW_TRACKING_SERVER_CERT_PATH")
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		e.Kind, e.Message = caos.Invalid, c.host+" speaks plain http"
		return e.WithHint("give --insecure-http if the way there is safe: a file can then be changed on it, and a password read")
	case errors.As(err, &timeout) && timeout.Timeout():
		e.Message = c.host + " does not answer in time"
	}
	return e
}

func errSlow(host string) error {
	return caos.Errorf(caos.Unavailable, "%s does not finish its answer in time", host).WithField("source").WithHint("try again later")
}
