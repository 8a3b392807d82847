package evidence_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/evidence"
	"caos/internal/object"
	"caos/internal/sign"
	"caos/internal/verify"
)

const (
	model   = "NN-FCS-001"
	example = "../../examples/programme/"
)

// world is a repository with everything it stands on.
type world struct {
	*evidence.Repository
	t       testing.TB
	d       *db.DB
	log     *auditlog.Log
	keys    *sign.Keys
	objects *object.Store
	dir     string
	scratch string
	options evidence.Options
	now     atomic.Int64
}

func newWorld(t testing.TB, d *db.DB, client *http.Client) *world {
	t.Helper()
	w := &world{t: t, d: d, dir: t.TempDir()}
	w.now.Store(time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC).UnixMicro())
	now := func() time.Time { return time.UnixMicro(w.now.Add(1000)) }
	keys, err := sign.OpenKeys(filepath.Join(w.dir, "keys"))
	w.ok(err)
	w.keys = keys
	for _, p := range []sign.Purpose{sign.Checkpoint, sign.Evidence} {
		_, err := keys.Create(context.Background(), p, now())
		w.ok(err)
	}
	stamps := caos.NewStamper(now, time.Time{}, 0, 1)
	w.log, err = auditlog.Open(context.Background(), auditlog.Options{
		DB: d, Keys: keys, Origin: "log.example/caos", Stamps: stamps, Now: now, Log: slog.New(slog.DiscardHandler), PublishEvery: time.Hour,
	})
	w.ok(err)
	w.objects, err = object.Open(filepath.Join(w.dir, "objects"), d, time.Now)
	w.ok(err)
	w.scratch = filepath.Join(w.dir, "scratch")
	w.ok(os.Mkdir(w.scratch, 0o700))
	w.options = evidence.Options{
		DB: d, Objects: w.objects, Log: w.log, Keys: keys, Stamps: stamps, Now: now, HTTP: client, Scratch: w.scratch,
		Roots: []string{filepath.Join(w.dir, "in"), example}, Limits: evidence.Limits{MaxBytes: 8 << 20}, Retain: 24 * time.Hour,
	}
	w.Repository, err = evidence.New(w.options)
	w.ok(err)
	w.ok(os.Mkdir(filepath.Join(w.dir, "in"), 0o700))
	t.Cleanup(func() {
		w.objects.Close()
		if err := w.log.Close(); err != nil {
			t.Error(err)
		}
		keys.Close()
	})
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) update(fn func(tx *db.Tx) error) error {
	w.t.Helper()
	return w.d.Update(context.Background(), fn)
}

var by = evidence.By{Actor: "anna", RecordedBy: "anna"}

func (w *world) create(p evidence.Package) *evidence.Package {
	w.t.Helper()
	var out *evidence.Package
	w.ok(w.update(func(tx *db.Tx) (err error) {
		out, err = w.Create(tx, p, by)
		return err
	}))
	return out
}

func (w *world) plan(id string, reqs, objs []string) *evidence.Plan {
	w.t.Helper()
	var out *evidence.Plan
	w.ok(w.update(func(tx *db.Tx) (err error) {
		out, err = w.SetPlan(tx, evidence.Plan{PackageID: id, Requirements: reqs, Objectives: objs, Source: "the test"}, by)
		return err
	}))
	return out
}

// file writes an artifact below the allowed folder and returns its address.
func (w *world) file(name, content string) string {
	w.t.Helper()
	p := filepath.Join(w.dir, "in", name)
	w.ok(os.WriteFile(p, []byte(content), 0o600))
	return "file://" + p
}

func (w *world) request(pkg, uri string, typ evidence.Type, meta evidence.Metadata) evidence.Request {
	return evidence.Request{ModelID: model, Type: typ, Category: evidence.Verification, ArtifactURI: uri, Metadata: meta, PackageID: pkg}
}

// collect takes one artifact all the way in.
func (w *world) collect(req evidence.Request) (*evidence.Inserted, error) {
	w.t.Helper()
	return w.collectAs(req, "")
}

func (w *world) collectAs(req evidence.Request, classification string) (*evidence.Inserted, error) {
	w.t.Helper()
	it, err := w.Collect(w.t.Context(), w.NewID(req.ModelID), req, "anna")
	if err != nil {
		return nil, err
	}
	it.Classification = classification
	saved, err := json.Marshal(it) // as a hook's saved state would hold it
	w.ok(err)
	var back evidence.Item
	w.ok(json.Unmarshal(saved, &back))
	var ins *evidence.Inserted
	err = w.update(func(tx *db.Tx) (err error) {
		ins, err = w.Insert(tx, back, by)
		return err
	})
	return ins, err
}

func (w *world) export(id string, audience evidence.Audience) []byte {
	w.t.Helper()
	var b bytes.Buffer
	w.ok(w.Export(w.t.Context(), id, audience, nil, &b))
	return b.Bytes()
}

// verified checks a package file offline.
func (w *world) verified(file []byte) *verify.Report {
	w.t.Helper()
	trust, err := w.log.Trust(w.t.Context())
	w.ok(err)
	report, err := verify.Package(bytes.NewReader(file), int64(len(file)), trust, verify.PackageOptions{})
	w.ok(err)
	return report
}

func junit(tests ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8"?><testsuites><testsuite name="s" tests="%d">`, len(tests))
	for i, inner := range tests {
		fmt.Fprintf(&b, `<testcase classname="c" name="t%d">%s</testcase>`, i, inner)
	}
	b.WriteString(`</testsuite></testsuites>`)
	return b.String()
}

func wantError(t testing.TB, err error, kind caos.Kind, field, say string) {
	t.Helper()
	var e *caos.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Field != field || !strings.Contains(e.Message+" "+e.Hint, say) {
		t.Errorf("got %v (%+v)\nwant %s on %q saying %q", err, e, kind, field, say)
	}
}

func run(t *testing.T, fn func(t *testing.T, w *world)) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) { fn(t, newWorld(t, d, nil)) })
}
