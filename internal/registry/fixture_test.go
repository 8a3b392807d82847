package registry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/event"
	"caos/internal/object"
	"caos/internal/registry"
)

const (
	fcs     = "NN-FCS-001"
	v210    = "2.1.0"
	zeroes  = "SHA256:0000000000000000000000000000000000000000000000000000000000000000"
	theExec = "EXEC-20261123T100000.000000Z"
)

var (
	anna  = registry.By{Actor: "anna", RecordedBy: "anna"}   // registers
	bruno = registry.By{Actor: "bruno", RecordedBy: "bruno"} // decides
)

// fixture is a registry with everything it stands on.
type fixture struct {
	*registry.Registry
	t       testing.TB
	d       *db.DB
	log     *auditlog.Log
	objects *object.Store
	events  *event.Outbox
	clock   atomic.Int64
}

func newFixture(t testing.TB, d *db.DB, dir string, slot int) *fixture {
	t.Helper()
	f := &fixture{t: t, d: d}
	f.clock.Store(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC).UnixMicro())
	now := func() time.Time { return time.UnixMicro(f.clock.Add(1000)) }
	stamps := caos.NewStamper(now, time.Time{}, slot, 2)
	quiet := slog.New(slog.DiscardHandler)
	var err error
	f.log, err = auditlog.Open(context.Background(), auditlog.Options{DB: d, Origin: "log.example/caos", Stamps: stamps, Now: now, Log: quiet, PublishEvery: time.Hour})
	f.ok(err)
	f.objects, err = object.Open(filepath.Join(dir, "objects"), d, time.Now)
	f.ok(err)
	f.events, err = event.Open(event.Options{DB: d, Stamps: stamps, Now: now, Log: quiet, Poll: time.Hour})
	f.ok(err)
	f.Registry, err = registry.Open(registry.Options{DB: d, Objects: f.objects, Log: f.log, Events: f.events, Now: now})
	f.ok(err)
	t.Cleanup(func() {
		f.events.Close()
		f.objects.Close()
		if err := f.log.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// eachDB runs a test on both databases.
func eachDB(t *testing.T, fn func(t *testing.T, f *fixture)) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) { fn(t, newFixture(t, d, t.TempDir(), 0)) })
}

func (f *fixture) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) update(fn func(tx *db.Tx) error) error {
	f.t.Helper()
	return f.d.Update(context.Background(), fn)
}

func (f *fixture) must(fn func(tx *db.Tx) error) {
	f.t.Helper()
	f.ok(f.update(fn))
}

// put stores bytes and returns their digest.
func (f *fixture) put(data string) string {
	f.t.Helper()
	ref, err := f.objects.Put(context.Background(), strings.NewReader(data), object.PutOptions{})
	f.ok(err)
	return ref.Digest
}

func (f *fixture) model(id string) *registry.Model {
	f.t.Helper()
	var m *registry.Model
	f.must(func(tx *db.Tx) (err error) {
		m, err = f.CreateModel(tx, registry.Model{ModelID: id, Name: "Flight control", Family: "MLP", SafetyLevel: "DAL-A", Regime: "EASA_CS-25",
			Owner: "otto", Project: "demo", Classification: "Internal"}, anna)
		return err
	})
	return m
}

func (f *fixture) version(id, version string) *registry.Version {
	f.t.Helper()
	var v *registry.Version
	f.must(func(tx *db.Tx) (err error) {
		v, err = f.CreateVersion(tx, registry.Version{ModelID: id, Version: version, Framework: "PyTorch 2.9", CompatibleWith: []string{"2.0.x"},
			SafetyImpact: "none", CertificationImpact: "minor"}, anna)
		return err
	})
	return v
}

func (f *fixture) attach(id, version, name, role, data string) (*registry.Artifact, error) {
	f.t.Helper()
	digest := f.put(data)
	size, report, err := f.Inspect(context.Background(), digest, name)
	if err != nil {
		return nil, err
	}
	var a *registry.Artifact
	err = f.update(func(tx *db.Tx) (err error) {
		a, err = f.Attach(tx, id, version, registry.Artifact{Name: name, Role: role, Digest: digest, Size: size, Scan: report}, anna)
		return err
	})
	return a, err
}

// register takes a document all the way in.
func (f *fixture) register(d registry.Document, data string, by registry.By) (*registry.Document, error) {
	f.t.Helper()
	if d.Version == "" {
		d.Version = "1.0"
	}
	if d.Title == "" {
		d.Title = "A document"
	}
	d.Digest = f.put(data)
	p, err := f.ReadDocument(context.Background(), d.Kind, d.Digest)
	if err != nil {
		return nil, err
	}
	var out *registry.Document
	err = f.update(func(tx *db.Tx) (err error) {
		out, err = f.RegisterDocument(tx, d, p, by)
		return err
	})
	return out, err
}

func (f *fixture) decide(q registry.Decision, by registry.By) (*registry.Document, error) {
	f.t.Helper()
	var out *registry.Document
	err := f.update(func(tx *db.Tx) (err error) {
		out, err = f.DecideDocument(tx, q, by)
		return err
	})
	return out, err
}

func (f *fixture) facts(id, version, report string) (*registry.FreezeFacts, error) {
	f.t.Helper()
	var out *registry.FreezeFacts
	err := f.update(func(tx *db.Tx) (err error) {
		out, err = f.FreezeFacts(tx, id, version, report)
		return err
	})
	return out, err
}

func (f *fixture) claim(id, version, execution string) error {
	return f.update(func(tx *db.Tx) error { return f.ClaimFreeze(tx, id, version, execution) })
}

// freeze freezes a version whose artifacts are there.
func (f *fixture) freeze(id, version string) {
	f.t.Helper()
	f.ok(f.claim(id, version, theExec))
	f.must(func(tx *db.Tx) error { return f.Freeze(tx, f.baseline(tx, id, version), anna) })
}

// baseline is what a freeze would hand in.
func (f *fixture) baseline(tx *db.Tx, id, version string) registry.Baseline {
	f.t.Helper()
	list, err := f.ArtifactsIn(tx, id, version)
	if err != nil {
		f.t.Error(err)
	}
	b := registry.Baseline{ModelID: id, Version: version, ExecutionID: theExec, RootDigest: zeroes, StatementDigest: zeroes, BundleDigest: zeroes,
		KeyID: "baseline-1", VVReportID: "95-00-07-01-001", VVReportVersion: "1.0"}
	for _, a := range list {
		b.Files = append(b.Files, registry.BaselineFile{Path: a.Name, Role: a.Role, Digest: a.Digest, Size: a.Size})
	}
	return b
}

// emitted lists the events of a type, oldest first.
func (f *fixture) emitted(pattern string) []event.Event {
	f.t.Helper()
	events, _, err := f.events.Since(context.Background(), event.Query{Pattern: pattern, Limit: 1000})
	f.ok(err)
	return events
}

// records lists what the audit log has about a resource, latest first: the event of each.
func (f *fixture) records(resource string) []string {
	f.t.Helper()
	page, err := f.log.List(context.Background(), auditlog.Filter{Resource: resource}, "")
	f.ok(err)
	var out []string
	for _, s := range page.Records {
		rec, err := auditlog.ParseRecord(s.Record)
		f.ok(err)
		raw, err := json.Marshal(rec.Details)
		f.ok(err)
		var details struct {
			Event string `json:"event"`
		}
		f.ok(json.Unmarshal(raw, &details))
		out = append(out, details.Event)
	}
	return out
}

func wantError(t testing.TB, err error, kind caos.Kind, field, say string) {
	t.Helper()
	var e *caos.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Field != field || !strings.Contains(e.Message+" "+e.Hint, say) {
		t.Errorf("got %v (%+v)\nwant %s on %q saying %q", err, e, kind, field, say)
	}
}

func wantList(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// report is a V&V report about NN-FCS-001 2.1.0 with some tests.
func report(status string, tests ...string) string {
	return fmt.Sprintf(`{"document_id":"95-00-07-01-001","model_id":"NN-FCS-001","model_version":"2.1.0","status":%q,"performed_on":"2026-11-20",
		"environment":"test bench","requirements":[{"requirement_id":"REQ-1","title":"Accuracy"}],"tests":[%s]}`, status, strings.Join(tests, ","))
}

func test(id, result, more string) string {
	return fmt.Sprintf(`{"test_id":%q,"title":"t","requirement_ids":["REQ-1"],"result":%q%s}`, id, result, more)
}

func of(id string) *string { return &id }
