package anchor

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"time"

	"caos"
	"caos/internal/verify"
)

// stamper is a time-stamp server (RFC 3161, over HTTP).
type stamper struct {
	s       *Service
	url     string
	trusted []*x509.Certificate
}

// maxClock is how far the clocks of others may be off ours.
const maxClock = 10 * time.Minute

// maxCertificates is the most certificates of one server.
const maxCertificates = 16

func newStamper(s *Service, t Timestamp) (*stamper, error) {
	if u, err := url.Parse(t.URL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, invalid("url", "%.200q is not a web address", t.URL)
	}
	d := &stamper{s: s, url: t.URL}
	bad := invalid("certificate", "the certificate of the time-stamp server %.200q is not PEM", t.URL).
		WithHint("the certificate that its tokens must lead to, from who runs it; several may stand one after another")
	for rest := t.Certificate; len(bytes.TrimSpace(rest)) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" || len(d.trusted) == maxCertificates {
			return nil, bad
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, bad
		}
		d.trusted = append(d.trusted, c)
	}
	if len(d.trusted) == 0 {
		return nil, bad
	}
	return d, nil
}

func (d *stamper) kind() string { return verify.AnchorTimestamp }
func (d *stamper) name() string { return d.url }

// query is a TimeStampReq.
type query struct {
	Version int
	Imprint struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}
	Nonce       *big.Int
	Certificate bool
}

// queryOf asks for a time stamp of a text. The nonce tells an answer to this request from an
// older one.
func queryOf(text []byte) (der []byte, nonce *big.Int, err error) {
	if nonce, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64)); err != nil {
		return nil, nil, caos.Wrap(caos.Internal, err, "no random numbers")
	}
	q := query{Version: 1, Nonce: nonce, Certificate: true}
	sum := sha256.Sum256(text)
	q.Imprint.Algorithm = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, Parameters: asn1.NullRawValue}
	q.Imprint.Digest = sum[:]
	der, err = asn1.Marshal(q)
	return der, nonce, err
}

// give asks for a time stamp of the signed checkpoint, byte for byte.
func (d *stamper) give(ctx context.Context, g given) (got, error) {
	der, nonce, err := queryOf(g.note)
	if err != nil {
		return got{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(der))
	if err != nil {
		return got{}, caos.Wrap(caos.Invalid, err, "the address of the time-stamp server cannot be asked")
	}
	req.Header.Set("Content-Type", "application/timestamp-query")
	req.Header.Set("Accept", "application/timestamp-reply")
	resp, err := d.s.opt.HTTP.Do(req)
	if err != nil {
		var e *caos.Error
		if errors.As(err, &e) {
			return got{}, e
		}
		return got{}, caos.Wrap(caos.Unavailable, err, "the time-stamp server cannot be reached")
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return got{}, caos.Errorf(caos.Unavailable, "the time-stamp server answers %d", resp.StatusCode)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, verify.MaxTimestamp+1))
	if err != nil {
		return got{}, caos.Wrap(caos.Unavailable, err, "the answer of the time-stamp server broke off")
	}
	stamp, err := verify.CheckTimestamp(answer, g.note, d.trusted)
	if err != nil {
		return got{}, caos.Wrap(caos.Invalid, err, "the time stamp %s", caos.AsError(err).Message).WithRule("timestamp-answer").
			WithHint("if the server has a new certificate, get it from who runs it and put it into caos.yaml")
	}
	if stamp.Nonce == nil || stamp.Nonce.Cmp(nonce) != 0 {
		return got{}, caos.Errorf(caos.Invalid, "the time stamp answers another request than ours").WithRule("timestamp-answer")
	}
	// A server whose clock is wrong swears nothing that anybody would want.
	if off := stamp.At.Sub(d.s.opt.Now()); off > maxClock || off < -maxClock {
		return got{}, caos.Errorf(caos.Invalid, "the time stamp says %s, and it is %s here", caos.FormatTime(stamp.At), caos.FormatTime(d.s.opt.Now())).WithRule("timestamp-answer").
			WithHint("set the clock of this machine, or ask who runs the server")
	}
	return got{proof: answer, proved: stamp.At}, nil
}
