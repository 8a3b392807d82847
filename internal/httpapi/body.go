package httpapi

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/codec"
)

// Limits of what a client may send, and of how slowly.
const (
	bodyLimit   = 1 << 20          // bytes of a document
	bodyTime    = 15 * time.Second // to send a document
	streamPause = 30 * time.Second // the longest pause in an upload or a download
)

// readBody reads a document: at most limit bytes, sent within bodyTime.
func (c *call) readBody(limit int64) ([]byte, error) {
	if c.bodyRead {
		if int64(len(c.body)) > limit {
			return nil, tooLarge(limit)
		}
		return c.body, nil
	}
	if c.r.ContentLength > limit {
		c.set("Connection", "close") // the rest of it is not worth reading
		return nil, tooLarge(limit)
	}
	rc := http.NewResponseController(c.w.ResponseWriter)
	_ = rc.SetReadDeadline(time.Now().Add(bodyTime)) // not supported by a test's recorder
	body, err := readAll(http.MaxBytesReader(c.w.ResponseWriter, c.r.Body, limit), c.r.ContentLength)
	if err != nil {
		return nil, brokenBody(err)
	}
	// A deadline that stays would end the request's context while it waits for its answer.
	_ = rc.SetReadDeadline(time.Time{})
	c.body, c.bodyRead = body, true
	return body, nil
}

func readAll(r io.Reader, length int64) ([]byte, error) {
	if length < 0 {
		return io.ReadAll(r)
	}
	body := make([]byte, length)
	_, err := io.ReadFull(r, body)
	return body, err
}

// brokenBody says why a body could not be read.
func brokenBody(err error) error {
	var big *http.MaxBytesError
	var slow net.Error
	switch {
	case errors.As(err, &big):
		return tooLarge(big.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return refuse(http.StatusRequestTimeout, caos.Wrap(caos.Invalid, err, "the body did not arrive in time").
			WithHint("send it without pauses"))
	}
	return refuse(http.StatusBadRequest, caos.Wrap(caos.Invalid, err, "the body ended early").WithHint("send it again"))
}

// mediaType checks that a document is in one of the two forms that are read, and returns
// the header's value.
func (c *call) mediaType() (string, error) {
	ct := c.r.Header.Get("Content-Type")
	if ct == "" || ct == "application/json" || ct == "application/yaml" {
		return ct, nil
	}
	mt, _, err := mime.ParseMediaType(ct)
	switch {
	case err != nil:
	case mt == "application/json", mt == "text/json", strings.HasSuffix(mt, "+json"):
		return ct, nil
	case mt == "application/yaml", mt == "application/x-yaml", mt == "text/yaml", mt == "text/x-yaml", strings.HasSuffix(mt, "+yaml"):
		return ct, nil
	}
	return "", refuse(http.StatusUnsupportedMediaType, caos.Errorf(caos.Invalid, "a body is JSON or YAML").
		WithField("Content-Type").WithHint("send application/json or application/yaml"))
}

// decode reads the request's body into a value, strictly, and holds it against its schema.
func (c *call) decode(into any, schema *huma.Schema) error {
	ct, err := c.mediaType()
	if err != nil {
		return err
	}
	limit := c.endpoint.bodyLimit()
	body, err := c.readBody(limit)
	if err != nil {
		return err
	}
	lim := codec.DefaultLimits()
	lim.MaxBytes = limit
	if err := codec.Decode(body, ct, into, lim); err != nil {
		return err
	}
	text, err := codec.JSON(body, ct, lim)
	if err != nil {
		return err
	}
	return c.suits(text, schema)
}

// suits holds a body against its schema in the OpenAPI document: lengths, enumerations,
// what must be there. Its form has been checked before.
func (c *call) suits(text []byte, schema *huma.Schema) error {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return err
	}
	path, res := huma.NewPathBuffer(nil, 0), &huma.ValidateResult{}
	huma.Validate(c.api.huma.OpenAPI().Components.Schemas, schema, path, huma.ModeWriteToServer, v, res)
	if len(res.Errors) == 0 {
		return nil
	}
	return fromHuma(&huma.ErrorModel{Status: http.StatusUnprocessableEntity, Errors: []*huma.ErrorDetail{res.Errors[0].(huma.ErrorDetailer).ErrorDetail()}})
}

// patient reads a stream whose sender may be slow, but not silent.
type patient struct {
	from io.Reader
	rc   *http.ResponseController
}

func (p patient) Read(b []byte) (int, error) {
	_ = p.rc.SetReadDeadline(time.Now().Add(streamPause))
	_ = p.rc.SetWriteDeadline(time.Now().Add(2 * streamPause)) // the answer comes after the upload
	return p.from.Read(b)
}

// stream returns the body of an upload of at most limit bytes.
func (c *call) stream(limit int64) io.Reader {
	return patient{
		from: http.MaxBytesReader(c.w.ResponseWriter, c.r.Body, limit),
		rc:   http.NewResponseController(c.w.ResponseWriter),
	}
}

// outflow writes a stream to a reader who may be slow, but not silent.
type outflow struct {
	w  *writer
	rc *http.ResponseController
}

func (o outflow) Write(b []byte) (int, error) {
	_ = o.rc.SetWriteDeadline(time.Now().Add(streamPause))
	return o.w.Write(b)
}

func (c *call) outflow() outflow {
	return outflow{w: c.w, rc: http.NewResponseController(c.w.ResponseWriter)}
}
