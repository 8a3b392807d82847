package app

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caos/internal/alert"
	"caos/internal/auditlog"
	"caos/internal/baseline"
	"caos/internal/db"
	"caos/internal/object"
	"caos/internal/registry"
	"caos/internal/sign"
	"caos/internal/trigger"
)

// freeze makes a baseline without asking any gate.
func (n *node) freeze(model, version string, files map[string]string) string {
	n.t.Helper()
	ctx := context.Background()
	by, exec := registry.By{Actor: "admin", RecordedBy: "admin"}, "EXEC-20261123T000000.000001Z"
	check := func(err error) {
		n.t.Helper()
		if err != nil {
			n.t.Fatal(err)
		}
	}
	check(n.db.Update(ctx, func(tx *db.Tx) error {
		if _, err := n.registry.CreateModel(tx, registry.Model{ModelID: model, Name: "Test", Owner: "admin"}, by); err != nil {
			return err
		}
		_, err := n.registry.CreateVersion(tx, registry.Version{ModelID: model, Version: version}, by)
		return err
	}))
	b := registry.Baseline{BaselineID: registry.BaselineID(model, version), ModelID: model, Version: version, FreezeID: registry.FreezeID(model, version), ExecutionID: exec,
		VVReportID: "95-00-07-01-001", VVReportVersion: "1.0"}
	var sources []baseline.Source
	for name, text := range files {
		ref, err := n.objects.Put(ctx, strings.NewReader(text), object.PutOptions{})
		check(err)
		size, scan, err := n.registry.Inspect(ctx, ref.Digest, name)
		check(err)
		check(n.db.Update(ctx, func(tx *db.Tx) error {
			_, err := n.registry.Attach(tx, model, version, registry.Artifact{Name: name, Role: "other", Digest: ref.Digest, Size: size, Format: string(scan.Format), Scan: scan}, by)
			return err
		}))
		b.Files = append(b.Files, registry.BaselineFile{Path: name, Role: "other", Digest: ref.Digest, Size: size})
		sources = append(sources, baseline.Source{Path: name, Digest: ref.Digest, Size: size, Open: func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(text)), nil
		}})
	}
	check(n.db.Update(ctx, func(tx *db.Tx) error { return n.registry.ClaimFreeze(tx, model, version, exec) }))
	signer, err := n.keys.Signer(sign.Baseline)
	check(err)
	sealed, err := n.frozen.Write(ctx, baseline.Draft{ID: b.BaselineID, Owner: exec, Files: sources, Signer: signer}, nil)
	check(err)
	b.RootDigest, b.StatementDigest, b.BundleDigest, b.KeyID, b.Bytes = sealed.Root, sealed.StatementDigest, sealed.BundleDigest, sealed.KeyID, sealed.Bytes
	check(n.db.Update(ctx, func(tx *db.Tx) error { return n.registry.Freeze(tx, b, by) }))
	return b.BaselineID
}

// damages are the alerts about baselines.
func (n *node) damages() map[string]alert.Alert {
	n.t.Helper()
	list, _, err := n.alerts.List(context.Background(), alert.Filter{Limit: 100}, "")
	if err != nil {
		n.t.Fatal(err)
	}
	out := map[string]alert.Alert{}
	for _, a := range list {
		if a.Source == "baseline" {
			if out[a.Subject].AlertID != "" {
				n.t.Errorf("two alerts of %s", a.Subject)
			}
			out[a.Subject] = a
		}
	}
	return out
}

// Each changed, missing and extra file of a baseline is one CRITICAL alert that names both,
// however often it is found, and the baseline's row says what was found last. Mutations that
// make this fail: checkAll that stops at the first damaged baseline; damaged without the path.
func TestIntegrity(t *testing.T) {
	n := launch(t, db.SQLite)
	ctx := context.Background()
	whole := n.freeze("NN-AAA-001", "1.0.0", map[string]string{"a.txt": "the first", "deep/b.txt": "the second"})
	hurt := n.freeze("NN-BBB-001", "1.0.0", map[string]string{"a.txt": "the first", "b.txt": "the second", "c.txt": "the third"})
	n.checks.checkAll(ctx)
	if d := n.damages(); len(d) != 0 {
		t.Fatalf("nothing is wrong: %+v", d)
	}
	for _, id := range []string{whole, hurt} {
		if b, err := n.registry.Baseline(ctx, id); err != nil || b.CheckStatus != registry.Intact || b.CheckedAt == nil || len(b.Problems) != 0 {
			t.Errorf("%+v %v", b, err)
		}
	}

	before, err := n.registry.Baseline(ctx, whole)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(n.cfg.path("baselines"), hurt)
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(os.Chmod(dir, 0o700))
	ok(os.Chmod(filepath.Join(dir, "a.txt"), 0o600))
	raw, err := os.ReadFile(filepath.Join(dir, "a.txt"))
	ok(err)
	ok(os.WriteFile(filepath.Join(dir, "a.txt"), bytes.Replace(raw, []byte("f"), []byte("F"), 1), 0o600))
	ok(os.Chmod(filepath.Join(dir, "a.txt"), 0o444))
	ok(os.Remove(filepath.Join(dir, "b.txt")))
	ok(os.WriteFile(filepath.Join(dir, "more.txt"), []byte("x"), 0o444))
	ok(os.Chmod(dir, 0o555))
	for day := range 3 {
		n.checks.checkAll(ctx)
		d := n.damages()
		for _, file := range []string{"a.txt", "b.txt", "more.txt"} {
			a, there := d[hurt+":"+file]
			if !there || a.Severity != alert.Critical || a.Count != int64(day+1) || a.ModelID != "NN-BBB-001" || !strings.Contains(a.AlertMessage, hurt) || !strings.Contains(a.AlertMessage, file) {
				t.Errorf("day %d, %s: %+v", day, file, a)
			}
		}
		if len(d) != 3 {
			t.Errorf("day %d: %d alerts: %+v", day, len(d), d)
		}
	}
	b, err := n.registry.Baseline(ctx, hurt)
	if err != nil || b.CheckStatus != registry.Damaged || len(b.Problems) != 3 {
		t.Errorf("%+v %v", b, err)
	}
	if b, err := n.registry.Baseline(ctx, whole); err != nil || b.CheckStatus != registry.Intact || !b.CheckedAt.After(*before.CheckedAt) {
		t.Errorf("the other one: %+v %v", b, err)
	}
	page, err := n.log.List(ctx, auditlog.Filter{Type: auditlog.Alert, Resource: hurt}, "")
	if err != nil || len(page.Records) != 3 {
		t.Errorf("%d records, %v", len(page.Records), err)
	}
}

// A bundle that is signed by the right key and is not the one that was frozen is damage.
func TestIntegrityOfTheBundle(t *testing.T) {
	n := launch(t, db.SQLite)
	ctx := context.Background()
	id := n.freeze("NN-AAA-001", "1.0.0", map[string]string{"a.txt": "the first"})
	signer, err := n.keys.Signer(sign.Baseline)
	if err != nil {
		t.Fatal(err)
	}
	// Whoever has the folder and the key freezes something else in its place.
	other := filepath.Join(t.TempDir(), "other")
	t.Cleanup(func() { _ = baseline.RemoveAll(other) })
	store, err := baseline.Open(other, n.now)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := n.objects.Put(ctx, strings.NewReader("another"), object.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Write(ctx, baseline.Draft{ID: id, Owner: "EXEC-1", Signer: signer, Files: []baseline.Source{{Path: "a.txt", Digest: ref.Digest, Size: 7, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("another")), nil
	}}}}, nil); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(n.cfg.path("baselines"), id)
	for _, step := range []func() error{
		store.Close, func() error { return os.Chmod(dir, 0o700) }, func() error { return os.RemoveAll(dir) },
		func() error { return os.Chmod(filepath.Join(other, id), 0o755) },
		func() error { return os.CopyFS(dir, os.DirFS(filepath.Join(other, id))) },
		func() error { return os.Chmod(filepath.Join(dir, "a.txt"), 0o444) },
		func() error { return os.Chmod(filepath.Join(dir, "model.sig"), 0o444) },
		func() error { return os.Chmod(dir, 0o555) },
		func() error { // the note beside it, too
			note, err := os.ReadFile(filepath.Join(other, ".records", id+".json"))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(n.cfg.path("baselines"), ".records", id+".json"), note, 0o640)
		},
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	b, err := n.checks.CheckBaseline(ctx, id, registry.By{Actor: "admin"})
	if err != nil || b.CheckStatus != registry.Damaged || len(b.Problems) != 1 || !strings.Contains(b.Problems[0], "not the one that was sealed") {
		t.Errorf("%+v %v", b, err)
	}
}

// What lies in the place of a baseline's folder, and a row that was changed, are damage and
// no error: an error raises no alert.
func TestIntegrityOfFolderAndRow(t *testing.T) {
	n := launch(t, db.SQLite)
	ctx := context.Background()
	id := n.freeze("NN-AAA-001", "1.0.0", map[string]string{"a.txt": "the first"})
	check := func(want string) {
		t.Helper()
		b, err := n.checks.CheckBaseline(ctx, id, registry.By{Actor: "admin"})
		if err != nil || strings.Join(b.Problems, "; ") != want {
			t.Errorf("%+v %v", b, err)
		}
	}
	dir := filepath.Join(n.cfg.path("baselines"), id)
	for _, step := range []func() error{
		func() error { return os.Chmod(dir, 0o755) }, // else its owner could not move it
		func() error { return os.Rename(dir, dir+"x") },
		func() error { return os.Symlink(id+"x", dir) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	check(". (changed): is not a folder any more")
	for _, step := range []func() error{
		func() error { return os.Remove(dir) }, func() error { return os.Rename(dir+"x", dir) }, func() error { return os.Chmod(dir, 0o555) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	check("")
	for _, sql := range []string{`UPDATE baselines SET root_digest = 'SHA256:' || substr(root_digest, 8, 63) || 'x'`, `UPDATE baselines SET root_digest = statement_digest`} {
		if err := n.db.Update(ctx, func(tx *db.Tx) error {
			tx.Exec(sql)
			return tx.Err()
		}); err != nil {
			t.Fatal(err)
		}
		check("model.sig (manifest): the registry's row of the baseline says something else than what was signed when the version was frozen")
	}
}

// A folder that no freeze made is an alert, and so is a folder that is gone.
func TestIntegrityOfTheStore(t *testing.T) {
	n := launch(t, db.SQLite)
	ctx := context.Background()
	id := n.freeze("NN-AAA-001", "1.0.0", map[string]string{"a.txt": "the first"})
	root := n.cfg.path("baselines")
	for _, step := range []func() error{
		func() error { return os.Mkdir(filepath.Join(root, "BL-ZZZ-1.0.0"), 0o755) },
		func() error { return os.Chmod(filepath.Join(root, id), 0o755) }, // else its owner could not move it
		func() error { return os.Rename(filepath.Join(root, id), filepath.Join(t.TempDir(), id)) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	n.checks.checkAll(ctx)
	d := n.damages()
	if _, there := d["BL-ZZZ-1.0.0:."]; !there {
		t.Errorf("the folder that no freeze made: %+v", d)
	}
	gone := false
	for subject, a := range d {
		gone = gone || strings.HasPrefix(subject, id+":") && a.Severity == alert.Critical
	}
	if b, err := n.registry.Baseline(ctx, id); err != nil || b.CheckStatus != registry.Damaged || !gone {
		t.Errorf("the folder that is gone: %+v %v %+v", b, err, d)
	}
}

// The triggers that come with CAOS are there, disabled, and do not come back.
func TestShippedTriggers(t *testing.T) {
	n := launch(t, db.SQLite)
	ctx := context.Background()
	for _, d := range trigger.Shipped() {
		got, err := n.triggers.Get(ctx, d.Name)
		if err != nil || got.Enabled || got.Hook != d.Hook {
			t.Fatalf("%+v %v", got, err)
		}
		if err := n.db.Update(ctx, func(tx *db.Tx) error { tx.Exec(`DELETE FROM triggers WHERE name=$1`, d.Name); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.ship(ctx); err != nil {
		t.Fatal(err)
	}
	if list, err := n.triggers.List(ctx, "", 10); err != nil || len(list) != 0 {
		t.Errorf("%+v %v", list, err)
	}
}
