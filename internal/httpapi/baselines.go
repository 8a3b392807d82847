package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/registry"
)

// Integrity reads a baseline's bytes again and compares them with what was frozen. It keeps
// what it found with the baseline, raises an alert if anything differs, and returns the
// baseline as it is then.
type Integrity interface {
	CheckBaseline(ctx context.Context, id string, by registry.By) (*registry.Baseline, error)
}

type baselineList struct {
	Paging
	Model   string `query:"model_id" maxLength:"64"`
	Check   string `query:"check_status" enum:"INTACT,DAMAGED" doc:"what the last check of the bytes found"`
	Project string `query:"project" maxLength:"100"`
}

// BaselinePath names a baseline.
type BaselinePath struct {
	ID string `path:"baseline_id" maxLength:"120" example:"BL-FCS-2.1.0"`
}

// checks is how many baselines are read again at once on demand: each keeps a disk busy.
const checks = 2

// checkTime is how long a check on demand may take: 10 GB from a slow disk.
const checkTime = 15 * time.Minute

func (a *API) registerBaselines() {
	read := may("baseline:read")
	operation(a, get("/v1/baselines", read).as("list-baselines", "baselines", "List baselines, latest first"), a.listBaselines)
	operation(a, get("/v1/baselines/{baseline_id}", read).as("get-baseline", "baselines", "A baseline with its files"),
		func(c *call, p *BaselinePath, _ *none) (*registry.Baseline, error) { return a.baseline(c, p.ID) })
	if a.Integrity != nil {
		a.checking = make(chan struct{}, checks)
		operation(a, post("/v1/baselines/{baseline_id}/verify", may("baseline:verify")).as("verify-baseline", "baselines", "Read a baseline's bytes again and compare them with what was frozen").
			about("The answer is the baseline: check_status is INTACT or DAMAGED, and problems names what was changed, is missing or too much. Damage is also an alert."), a.verifyBaseline)
	}
	if a.Baselines == nil {
		return
	}
	one := param("baseline_id", "path", "the baseline", words())
	a.plain(get("/v1/baselines/{baseline_id}/bundle", read).as("get-baseline-bundle", "baselines", "The signature of a baseline").
		about("A bundle as OpenSSF Model Signing has it. The model-signing tool checks the files against it."),
		huma.Operation{Parameters: []*huma.Param{one}, Responses: binary("200", "A Sigstore bundle", bundleType)}, a.baselineBundle)
	a.plain(get("/v1/baselines/{baseline_id}/files/{path...}", read).as("get-baseline-file", "baselines", "A file of a baseline"),
		huma.Operation{Parameters: []*huma.Param{one, param("path", "path", "of the file in the baseline, with slashes", words())},
			Responses: binary("200", "The bytes that were frozen; Content-Digest says which", "application/octet-stream")}, a.baselineFile)
	a.plain(get("/v1/baselines/{baseline_id}/export", may("baseline:export")).as("export-baseline", "baselines", "A baseline as one file that proves itself").
		about("A tar of the files and the signature. Check it offline with caos-verify FILE --trust trust.json."),
		huma.Operation{Parameters: []*huma.Param{one}, Responses: binary("200", "A tar", "application/x-tar")}, a.exportBaseline)
}

// bundleType is the media type of Sigstore bundles.
const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

func baselineResource(b *registry.Baseline) auth.Resource {
	return auth.Resource{Type: "Baseline", ID: b.BaselineID, Project: b.Project, Classification: b.Classification}
}

// baseline returns a baseline that the caller may see.
func (a *API) baseline(c *call, id string) (*registry.Baseline, error) {
	b, err := a.Registry.Baseline(c.ctx(), id)
	if err != nil {
		return nil, c.unknown("baseline", err)
	}
	c.execution = b.ExecutionID
	return b, a.seeFor(c, "baseline:read", "baseline", baselineResource(b))
}

func (a *API) listBaselines(c *call, p *baselineList, _ *none) (Page[*registry.Baseline], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*registry.Baseline]{}, err
	}
	f := registry.BaselineFilter{ModelID: p.Model, CheckStatus: p.Check, Project: onlyProject(sees, p.Project), Limit: p.Limit}
	list, next, err := a.Registry.Baselines(c.ctx(), f, p.Cursor)
	return visible(sees, list, next, baselineResource), err
}

func (a *API) verifyBaseline(c *call, p *BaselinePath, _ *none) (*registry.Baseline, error) {
	b, err := a.baseline(c, p.ID)
	if err != nil {
		return nil, err
	}
	if err := a.Auth.Allow(c.by, c.endpoint.Rule.Action, baselineResource(b)); err != nil {
		return nil, err
	}
	select {
	case a.checking <- struct{}{}:
		defer func() { <-a.checking }()
	default:
		return nil, caos.Errorf(caos.Limited, "other baselines are being read").WithHint("try again when that is done; every baseline is also checked daily")
	}
	ctx, cancel := context.WithTimeout(c.ctx(), checkTime)
	defer cancel()
	_ = http.NewResponseController(c.w.ResponseWriter).SetWriteDeadline(time.Now().Add(checkTime + streamPause)) // not supported by a test's recorder
	return a.Integrity.CheckBaseline(ctx, p.ID, c.who())
}

func (a *API) baselineBundle(c *call) error {
	b, err := a.baseline(c, c.path("baseline_id"))
	if err != nil {
		return err
	}
	bundle, err := a.Baselines.Bundle(b.BaselineID)
	if err != nil {
		return notServed(err)
	}
	sum := sha256.Sum256(bundle)
	if "SHA256:"+hex.EncodeToString(sum[:]) != b.BundleDigest {
		return notServed(errors.New("the bundle is not the one that was sealed"))
	}
	c.set("Content-Type", bundleType)
	c.set("Content-Disposition", attachment("model.sig"))
	c.set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
	c.set("Content-Length", strconv.Itoa(len(bundle)))
	_, _ = c.w.Write(bundle) // nobody is left to tell
	return nil
}

// notServed says that a baseline's bytes are not what was frozen, or not to be had.
func notServed(err error) error {
	return caos.Wrap(caos.Unavailable, err, "the baseline cannot be served as it was frozen").WithHint("POST …/verify says what is wrong with it")
}

// baselineFile streams a file of a baseline. Only a path that the baseline's own list has
// is ever looked for on disk.
func (a *API) baselineFile(c *call) error {
	b, err := a.baseline(c, c.path("baseline_id"))
	if err != nil {
		return err
	}
	want := c.path("path")
	var file *registry.BaselineFile
	for i := range b.Files {
		if b.Files[i].Path == want {
			file = &b.Files[i]
		}
	}
	if file == nil {
		return caos.Errorf(caos.NotFound, "the baseline has no such file").WithField("path").WithHint("GET /v1/baselines/%s lists its files", b.BaselineID)
	}
	f, size, err := a.Baselines.Open(b.BaselineID, file.Path)
	if err != nil {
		return notServed(err)
	}
	defer f.Close()
	if size != file.Size {
		return notServed(fmt.Errorf("%s has %d bytes, not %d", file.Path, size, file.Size))
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", attachment(file.Path[strings.LastIndexByte(file.Path, '/')+1:]))
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("ETag", `"`+file.Digest+`"`)
	if sum, err := hex.DecodeString(strings.TrimPrefix(file.Digest, "SHA256:")); err == nil {
		h.Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum)+":")
	}
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method == http.MethodHead {
		return nil
	}
	if err := copyChecked(c.outflow(), &checked{from: f, sum: sha256.New(), want: file.Digest}); err != nil {
		c.fault = err
		panic(http.ErrAbortHandler) // a damaged file must not look like a whole one
	}
	return nil
}

// checked fails at the end of a stream whose digest is not the one that it must have.
type checked struct {
	from io.Reader
	sum  hash.Hash
	want string // "SHA256:<hex>"
}

func (r *checked) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.sum.Write(p[:n])
	if errors.Is(err, io.EOF) && "SHA256:"+hex.EncodeToString(r.sum.Sum(nil)) != r.want {
		return n, fmt.Errorf("the bytes are not those of %s", r.want)
	}
	return n, err
}

// exportBaseline streams a baseline. That it was given away is in the log before the first
// byte is out.
func (a *API) exportBaseline(c *call) error {
	b, err := a.baseline(c, c.path("baseline_id"))
	if err != nil {
		return err
	}
	if err := a.Auth.Allow(c.by, c.endpoint.Rule.Action, baselineResource(b)); err != nil {
		return err
	}
	if c.r.Method == http.MethodHead {
		return nil // nothing is given away
	}
	err = a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		if err := a.authorize(c, tx, baselineResource(b)); err != nil {
			return err
		}
		_, err := a.Log.Append(tx, auditlog.Record{Type: auditlog.Access, Time: a.now(), Actor: c.by.ID, RecordedBy: c.by.ID, Resources: []string{b.BaselineID},
			Details: map[string]any{"event": "baseline exported", "root_digest": b.RootDigest}, Project: b.Project, Classification: b.Classification})
		return err
	})
	if err != nil {
		return err
	}
	out := &begun{c: c, begin: func() {
		c.set("Content-Type", "application/x-tar")
		c.set("Content-Disposition", attachment(b.BaselineID+".tar"))
	}}
	if err := a.Baselines.Export(c.ctx(), b.BaselineID, out); err != nil {
		if c.w.status == 0 {
			return notServed(err)
		}
		c.fault = err
		panic(http.ErrAbortHandler) // half a baseline must not look like a whole one
	}
	return nil
}
