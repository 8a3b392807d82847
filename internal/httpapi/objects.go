package httpapi

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/object"
)

// StoredObject is what an upload has become.
type StoredObject struct {
	URI    string `json:"uri" doc:"for artifact_uri and other inputs" example:"object://SHA256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

func (a *API) registerObjects() {
	upload := post("/v1/objects", may("object:write")).answers(http.StatusCreated).as("put-object", "objects", "Upload an artifact").
		about("The body is the artifact itself. With Content-Digest: sha-256=:BASE64: (RFC 9530), or sha256=HEX in the query, other bytes are refused. " +
			"An interrupted upload leaves nothing. What nothing refers to is removed after seven days.")
	upload.streams = true
	a.plain(upload, huma.Operation{
		Parameters: []*huma.Param{
			param("sha256", "query", "the digest that the bytes must have, 64 hexadecimal digits", words()),
			param("Content-Digest", "header", "likewise, as RFC 9530 has it", words()),
		},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}},
		Responses:   a.answersWith("201", "It is stored", StoredObject{}),
	}, a.putObject)
	a.plain(get("/v1/objects/{digest}", may("object:read")).as("get-object", "objects", "An artifact's bytes"),
		huma.Operation{
			Parameters: []*huma.Param{param("digest", "path", "SHA256:HEX", words())},
			Responses:  binary("200", "The bytes; Content-Digest says which", "application/octet-stream"),
		}, a.getObject)
}

func (a *API) putObject(c *call) error {
	want, err := expectedDigest(c.r.Header, c.r.URL.Query())
	if err != nil {
		return err
	}
	limit := a.MaxObject
	if c.r.ContentLength > limit {
		c.set("Connection", "close")
		return objectTooLarge(limit)
	}
	opt := object.PutOptions{MaxBytes: limit, ExpectSHA256: want}
	if c.r.ContentLength > 0 {
		opt.ExpectSize = c.r.ContentLength
	}
	body := &broken{from: c.stream(limit)}
	ref, err := a.Objects.Put(c.ctx(), body, opt)
	if err != nil {
		if body.err != nil {
			// The store may call an interrupted stream its own failure; it is the client's.
			return brokenBody(body.err)
		}
		return err
	}
	err = a.DB.Write(c.ctx(), func(tx *db.Tx) error {
		a.Objects.Sent(tx, ref.Digest, c.by.ID)
		return tx.Err()
	})
	if err != nil {
		return err
	}
	c.set("Location", "/v1/objects/"+url.PathEscape(ref.Digest))
	return c.json(http.StatusCreated, StoredObject{URI: "object://" + ref.Digest, Digest: ref.Digest, Size: ref.Size})
}

func objectTooLarge(limit int64) error {
	return caos.Errorf(caos.TooLarge, "the object is longer than %d bytes", limit).WithHint("split it, or have the limit raised")
}

// broken remembers how a body ended, if not well.
type broken struct {
	from io.Reader
	err  error
}

func (b *broken) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // io.EOF is never wrapped
		b.err = err
	}
	return n, err
}

// expectedDigest reads which bytes the client means to send, "" if it does not say.
func expectedDigest(h http.Header, q url.Values) (string, error) {
	for name := range q {
		if name != "sha256" {
			return "", caos.Errorf(caos.Invalid, "unknown query parameter").WithField(clip(name, 80)).WithHint("this route has sha256")
		}
	}
	want := ""
	if q.Has("sha256") {
		want = strings.TrimPrefix(q.Get("sha256"), "SHA256:")
		if len(want) != 64 || strings.Trim(want, "0123456789abcdef") != "" || len(q["sha256"]) > 1 {
			return "", caos.Errorf(caos.Invalid, "not a SHA-256 digest").WithField("sha256").WithHint("64 lower-case hexadecimal digits")
		}
	}
	values := h["Content-Digest"]
	if len(values) == 0 {
		return want, nil
	}
	stated := ""
	for one := range strings.SplitSeq(strings.Join(values, ","), ",") {
		alg, value, _ := strings.Cut(strings.TrimSpace(one), "=")
		if alg != "sha-256" {
			continue
		}
		sum, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(strings.TrimPrefix(value, ":"), ":"))
		if err != nil || len(sum) != 32 || !strings.HasPrefix(value, ":") {
			return "", caos.Errorf(caos.Invalid, "not a SHA-256 digest").WithField("Content-Digest").WithHint("write it as sha-256=:BASE64:")
		}
		stated = hex.EncodeToString(sum)
	}
	switch {
	case stated == "":
		return "", caos.Errorf(caos.Invalid, "it states no SHA-256").WithField("Content-Digest").WithHint("write it as sha-256=:BASE64:")
	case want != "" && want != stated:
		return "", caos.Errorf(caos.Invalid, "it contradicts sha256 of the query").WithField("Content-Digest")
	}
	return stated, nil
}

// getObject serves bytes to whoever may see something that refers to them. What nothing
// refers to yet is nobody's: those see it who are not confined to projects.
func (a *API) getObject(c *call) error {
	digest := c.path("digest")
	refs, err := a.Objects.References(c.ctx(), digest)
	if err != nil {
		return err
	}
	if err := a.seeObject(c, digest, refs); err != nil {
		return err
	}
	return a.serveObject(c, download{digest: digest, media: "application/octet-stream", name: strings.ReplaceAll(digest, ":", "-")})
}

func (a *API) seeObject(c *call, digest string, refs []object.Binding) error {
	if len(refs) == 0 {
		return a.see(c, "object", auth.Resource{ID: digest})
	}
	sees, err := a.visibility(c)
	if err != nil {
		return err
	}
	for _, b := range refs {
		if sees.Sees(b.Owner, b.Project, b.Classification) {
			return nil
		}
	}
	b := refs[0]
	return a.see(c, "object", auth.Resource{ID: digest, Project: b.Project, Classification: b.Classification, Owner: b.Owner})
}

// download is a file on its way to a client.
type download struct {
	digest string // of the stored object
	media  string
	name   string // for the file that a browser saves
	policy string // Content-Security-Policy of what CAOS made itself and a browser may show; "" for what it only saves
}

// serveObject streams a stored object. What others brought is never shown inside a page of
// this server, whatever it claims to be: a browser saves it.
func (a *API) serveObject(c *call, d download) error {
	f, size, err := a.Objects.VerifyReader(d.digest)
	if err != nil {
		return err
	}
	defer f.Close()
	h := c.w.Header()
	h.Set("Content-Type", d.media)
	h.Set("Content-Disposition", attachment(d.name))
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	if d.policy != "" {
		h.Set("Content-Disposition", "inline"+strings.TrimPrefix(attachment(d.name), "attachment"))
		h.Set("Content-Security-Policy", d.policy)
	}
	h.Set("ETag", `"`+d.digest+`"`)
	if sum, err := hex.DecodeString(strings.TrimPrefix(d.digest, "SHA256:")); err == nil {
		h.Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum)+":")
	}
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method == http.MethodHead {
		return nil
	}
	if err := copyChecked(c.outflow(), f); err != nil {
		c.fault = err
		panic(http.ErrAbortHandler) // a short body must not look like a whole one
	}
	return nil
}

// copyChecked copies what checks itself at its end, and keeps the last piece back until it
// has: a client that was promised a length does not get all of it from a damaged object.
func copyChecked(w io.Writer, r io.Reader) error {
	held, next := make([]byte, 0, 64<<10), make([]byte, 64<<10)
	for {
		n, err := r.Read(next)
		if n > 0 {
			if _, err := w.Write(held); err != nil {
				return err
			}
			held, next = next[:n], held[:cap(held)]
		}
		if errors.Is(err, io.EOF) {
			_, err = w.Write(held)
			return err
		}
		if err != nil {
			return err
		}
	}
}

// attachment is a Content-Disposition with a name that no system reads as anything else.
func attachment(name string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '_'
	}, clip(name, 120))
	clean = strings.TrimLeft(clean, ".")
	if clean == "" {
		clean = "download"
	}
	return `attachment; filename="` + clean + `"`
}
