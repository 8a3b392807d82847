package location

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"caos"
	"caos/internal/outbound"
	"caos/internal/secret"
)

// bucket is a configured bucket with its client.
type bucket struct {
	Bucket
	opt    *Options
	client *s3.Client
}

// Format prints the name alone: what the client holds is nobody's business.
func (b *bucket) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "bucket "+b.Bucket.Bucket) }

func newBucket(cfg Bucket, opt *Options) *bucket {
	b := &bucket{Bucket: cfg, opt: opt}
	o := s3.Options{
		Region: cfg.region(), UsePathStyle: cfg.PathStyle, Credentials: aws.CredentialsProviderFunc(b.credentials),
		HTTPClient: b.httpClient(),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = fruitless
			o.MaxBackoff = 5 * time.Second
			o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
				return min(opt.Backoff<<min(attempt, 10), 5*time.Second), nil
			})
		}),
		// What is sent carries a checksum of our own choice, and what comes is checked here,
		// across a transfer that was broken and resumed.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	}
	if cfg.Endpoint != "" {
		o.BaseEndpoint = aws.String(strings.TrimSuffix(cfg.Endpoint, "/"))
	}
	if cfg.AccessKey == "" {
		o.Credentials = aws.AnonymousCredentials{}
	}
	b.client = s3.New(o)
	return b
}

// credentials are asked for at each request, so that a key that was put anew counts at once.
func (b *bucket) credentials(ctx context.Context) (aws.Credentials, error) {
	var out [2]string
	for i, s := range []string{b.AccessKey, b.SecretKey} {
		ref, err := secret.ParseRef(s)
		if err != nil {
			return aws.Credentials{}, err
		}
		value, err := b.opt.Secrets.Get(ctx, ref)
		if err != nil {
			return aws.Credentials{}, err
		}
		out[i] = strings.TrimSpace(string(value))
	}
	return aws.Credentials{AccessKeyID: out[0], SecretAccessKey: out[1], Source: "vault"}, nil
}

// maxAnswer bounds what a server may answer with where no object is asked for: a page of a
// listing has at most a thousand names of a kilobyte.
const maxAnswer = 16 << 20

// httpClient speaks to the endpoint alone. An administrator named it, so it may be private;
// Amazon's own is public.
func (b *bucket) httpClient() *http.Client {
	var allow []string
	if u, err := url.Parse(b.Endpoint); err == nil && u.Host != "" {
		allow = []string{HostPort(u)}
		if !b.PathStyle {
			allow = append(allow, b.Bucket.Bucket+"."+HostPort(u))
		}
	}
	connect := min(b.opt.Wait, 10*time.Second)
	dial := outbound.New(outbound.Config{Allow: allow, Connect: connect})
	return &http.Client{
		Transport: bounded{&http.Transport{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return dial.DialContext(ctx, network, addr)
			},
			TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: b.opt.RootCAs},
			TLSHandshakeTimeout:   connect,
			ResponseHeaderTimeout: b.opt.Wait, MaxResponseHeaderBytes: 64 << 10,
			IdleConnTimeout: 5 * time.Second, MaxConnsPerHost: 16, DisableCompression: true,
		}},
		// An object store that sends elsewhere is not the one that was configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded cuts answers that are no object off at maxAnswer.
type bounded struct{ next http.RoundTripper }

type objectKey struct{}

// RoundTrip answers as the next one does.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if r.Context().Value(objectKey{}) == nil {
		resp.Body = &shortened{resp.Body, maxAnswer}
	}
	return resp, nil
}

type shortened struct {
	io.ReadCloser
	left int64
}

func (s *shortened) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if s.left -= int64(n); s.left < 0 {
		return 0, caos.Errorf(caos.TooLarge, "the object store's answer has more than %d bytes", maxAnswer)
	}
	return n, err
}

// timed bounds one request without an object: what a server may take for it in all.
func (b *bucket) timed(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, 4*b.opt.Wait*fruitless, errSilent(4*b.opt.Wait*fruitless))
}

// fail puts an error of the object store into words that name no key and no endpoint.
func (b *bucket) fail(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var e *caos.Error
	if errors.As(err, &e) {
		return e
	}
	name := b.Bucket.Bucket
	var api smithy.APIError
	code := ""
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	status := statusOf(err)
	switch code {
	case "NoSuchBucket":
		return caos.Wrap(caos.NotFound, err, "there is no bucket %s", name).WithRule("location-bucket").WithHint("check bucket, endpoint and region under s3 in caos.yaml")
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidClientTokenId", "ExpiredToken", "InvalidToken", "XAdminUserNotFound":
		return caos.Wrap(caos.Denied, err, "the object store does not take the keys of the bucket %s", name).WithRule("location-credentials").
			WithHint("put the right ones into the vault: %s and %s", orNone(b.AccessKey), orNone(b.SecretKey))
	case "RequestTimeTooSkewed":
		return caos.Wrap(caos.Unavailable, err, "the object store's clock and ours differ").WithHint("set the clocks")
	case "PreconditionFailed":
		return errChanged("it was replaced")
	case "QuotaExceeded", "EntityTooLarge", "InsufficientStorage":
		return caos.Wrap(caos.Full, err, "the object store has no room for it").WithRule("disk-full")
	case "NoSuchKey", "NotFound":
		return caos.Wrap(caos.NotFound, err, "there is no such object").WithRule("source-missing")
	}
	switch {
	case status == http.StatusInsufficientStorage:
		return caos.Wrap(caos.Full, err, "the object store has no room for it").WithRule("disk-full")
	case status >= 300 && status < 400:
		return caos.Wrap(caos.Invalid, err, "the object store sends elsewhere").WithRule("outbound").WithHint("configure the endpoint and the region that the bucket %s is in", name)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return caos.Wrap(caos.Denied, err, "the keys of the bucket %s do not allow this", name).WithRule("location-credentials").
			WithHint("check the rights of %s at the object store", orNone(b.AccessKey))
	case status == http.StatusNotFound:
		return caos.Wrap(caos.NotFound, err, "there is no such object").WithRule("source-missing")
	case status == http.StatusPreconditionFailed:
		return errChanged("it was replaced")
	case status >= 400 && status < 500 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout:
		return caos.Wrap(caos.Invalid, err, "the object store refuses the request: %d %.60q", status, code)
	}
	if cause := context.Cause(ctx); cause != nil && errors.As(cause, &e) {
		return e
	}
	return caos.Wrap(caos.Unavailable, err, "the object store of the bucket %s does not answer as it should", name)
}

func orNone(ref string) string {
	if ref == "" {
		return "(none)"
	}
	return ref
}

func statusOf(err error) int {
	var resp *smithyhttp.ResponseError
	if errors.As(err, &resp) {
		return resp.HTTPStatusCode()
	}
	return 0
}

// refine finds out whether what a HEAD did not find is the object or the bucket: the answer
// to a HEAD has no words.
func (b *bucket) refine(ctx context.Context, err error) error {
	if caos.KindOf(err) != caos.NotFound {
		return err
	}
	_, asked := b.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &b.Bucket.Bucket, MaxKeys: aws.Int32(1)})
	if told := b.fail(ctx, asked); caos.KindOf(told) == caos.NotFound || caos.KindOf(told) == caos.Denied {
		return told
	}
	return err
}
