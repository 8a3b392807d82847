package registry_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/modelfile"
	"caos/internal/registry"
)

func TestArtifactNames(t *testing.T) {
	for _, good := range []string{"model.onnx", "onnx/model.onnx", "a b/c-d_e+f=g@h~1 (2)[3].txt", "A/b/C/d", strings.Repeat("abc/", 49) + "abc"} {
		if err := registry.CheckArtifactName("name", good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", ".", "..", "../x", "a/../b", "a/..", "/etc/passwd", "a//b", "a/", ".hidden", "a/.b", "./a", `a\b`, `C:\x`, "C:x", "a\x00b", "a\nb", "-rf", "a/-x",
		"a.", "a /b", " a", "a|b", "a*", "a?", "ä.onnx", "a\u202eb", "a%2e%2e", "$(x)", "`x`", "a;b", "a&b", "a<b", `a"b`, "a'b", strings.Repeat("x", 101), strings.Repeat("ab/", 67),
	} {
		wantError(t, registry.CheckArtifactName("name", bad), caos.Invalid, "name", "cannot be the name")
	}
}

func TestArtifactsAreRefused(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.version(fcs, v210)
		_, err := f.attach(fcs, v210, "empty.bin", "weights", "")
		wantError(t, err, caos.Invalid, "digest", "no bytes")
		_, _, err = f.Inspect(context.Background(), zeroes, "x.bin")
		wantError(t, err, caos.NotFound, "digest", "")
		_, _, err = f.Inspect(context.Background(), "SHA256:../../etc", "x.bin")
		wantError(t, err, caos.Invalid, "digest", "")
		_, _, err = f.Inspect(context.Background(), zeroes, "../x.bin")
		wantError(t, err, caos.Invalid, "name", "")
		_, err = f.attach(fcs, v210, "x.bin", "secret", "x")
		wantError(t, err, caos.Invalid, "role", "one of trained")
		_, err = f.attach(fcs, "9.9.9", "x.bin", "weights", "x")
		wantError(t, err, caos.NotFound, "version", "")
		_, err = f.attach("NN-X", v210, "x.bin", "weights", "x")
		wantError(t, err, caos.Invalid, "model_id", "")
		good := registry.Artifact{Name: "x.bin", Role: "weights", Digest: f.put("x"), Size: 1, Scan: &modelfile.Report{Format: modelfile.FormatUnknown}}
		for name, c := range map[string]struct {
			change func(*registry.Artifact)
			kind   caos.Kind
			field  string
		}{
			"zero size":   {func(a *registry.Artifact) { a.Size = 0 }, caos.Invalid, "digest"},
			"less":        {func(a *registry.Artifact) { a.Size = -1 }, caos.Invalid, "digest"},
			"no scan":     {func(a *registry.Artifact) { a.Scan = nil }, caos.Internal, ""},
			"digest":      {func(a *registry.Artifact) { a.Digest = "SHA256:x" }, caos.Invalid, "digest"},
			"media type":  {func(a *registry.Artifact) { a.MediaType = "text/html\r\nX: y" }, caos.Invalid, "media_type"},
			"source":      {func(a *registry.Artifact) { a.Source = "a\nb" }, caos.Invalid, "source"},
			"description": {func(a *registry.Artifact) { a.Description = "a\x1bb" }, caos.Invalid, "description"},
		} {
			a := good
			c.change(&a)
			err := f.update(func(tx *db.Tx) error { _, err := f.Attach(tx, fcs, v210, a, anna); return err })
			t.Run(name, func(t *testing.T) { wantError(t, err, c.kind, c.field, "") })
		}
		list, err := f.Artifacts(context.Background(), fcs, v210)
		f.ok(err)
		if len(list) != 0 {
			t.Errorf("refusals left %d artifacts", len(list))
		}
	})
}

func TestArtifacts(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.version(fcs, v210)
		a, err := f.attach(fcs, v210, "onnx/model.onnx", "inference", "pretend")
		f.ok(err)
		if a.Size != 7 || a.Scan == nil || a.Format == "" || a.AddedBy != "anna" || a.MediaType != "application/octet-stream" {
			t.Errorf("attached %+v", a)
		}
		again, err := f.attach(fcs, v210, "onnx/model.onnx", "inference", "pretend")
		f.ok(err)
		if !again.AddedAt.Equal(a.AddedAt) {
			t.Error("the same artifact again was another one")
		}
		_, err = f.attach(fcs, v210, "onnx/model.onnx", "inference", "other bytes")
		wantError(t, err, caos.Conflict, "name", a.Digest)
		_, err = f.attach(fcs, v210, "onnx/model.onnx", "trained", "pretend")
		wantError(t, err, caos.Conflict, "name", "as inference")
		_, err = f.attach(fcs, v210, "ONNX/Model.onnx", "inference", "pretend")
		wantError(t, err, caos.Conflict, "name", "differ in case")
		_, err = f.attach(fcs, v210, "onnx", "other", "a file where a folder is")
		wantError(t, err, caos.Conflict, "name", "")
		_, err = f.attach(fcs, v210, "onnx/model.onnx/x", "other", "a folder where a file is")
		wantError(t, err, caos.Conflict, "name", "")
		_, err = f.attach(fcs, v210, "card.md", "other", "# Card")
		f.ok(err)
		v, err := f.Version(context.Background(), fcs, v210)
		f.ok(err)
		if v.Artifacts != 2 || v.Revision != 3 {
			t.Errorf("%d artifacts at revision %d", v.Artifacts, v.Revision)
		}
		refs, err := f.objects.References(context.Background(), a.Digest)
		f.ok(err)
		if len(refs) != 1 || refs[0].Owner != "NN-FCS-001@2.1.0" || refs[0].Project != "demo" || refs[0].Classification != "Internal" {
			t.Errorf("bound by %+v", refs)
		}
		detach := func(name string) error {
			return f.update(func(tx *db.Tx) error { return f.Detach(tx, fcs, v210, name, anna) })
		}
		wantError(t, detach("nothing"), caos.NotFound, "name", "")
		wantError(t, detach("../x"), caos.Invalid, "name", "")
		f.ok(detach("card.md"))
		list, err := f.Artifacts(context.Background(), fcs, v210)
		f.ok(err)
		if len(list) != 1 || list[0].Name != "onnx/model.onnx" || list[0].Digest != a.Digest || list[0].Scan.Format != a.Scan.Format {
			t.Errorf("left %+v", list)
		}
		wantList(t, f.records("NN-FCS-001@2.1.0"), "artifact detached", "artifact attached", "artifact attached", "version registered")

		// A version that a freeze has, and a frozen one, do not change.
		f.ok(f.claim(fcs, v210, theExec))
		_, err = f.attach(fcs, v210, "late.bin", "other", "late")
		wantError(t, err, caos.Conflict, "version", theExec)
		wantError(t, detach("onnx/model.onnx"), caos.Conflict, "version", theExec)
		_, err = f.attach(fcs, v210, "onnx/model.onnx", "inference", "pretend") // as it is
		f.ok(err)
		f.freeze(fcs, v210)
		_, err = f.attach(fcs, v210, "late.bin", "other", "late")
		wantError(t, err, caos.Conflict, "version", "FREEZE-NN-FCS-001-2.1.0")
		wantError(t, detach("onnx/model.onnx"), caos.Conflict, "version", "FREEZE-NN-FCS-001-2.1.0")
	})
}

// A report of any length is kept, without what can be looked up in the file, and never
// without the finding that stops a freeze.
func TestLongReports(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.version(fcs, v210)
		report := &modelfile.Report{Format: modelfile.FormatPickle, Code: true, Summary: map[string]any{"globals": strings.Repeat("x", 100_000)}}
		for i := range 500 {
			report.Findings = append(report.Findings, modelfile.Finding{Rule: "low", Severity: modelfile.Low, Message: fmt.Sprint(i, strings.Repeat("y", 5000))})
		}
		report.Findings = append(report.Findings, modelfile.Finding{Rule: "pickle-import", Severity: modelfile.Critical, Message: "os.system"})
		f.must(func(tx *db.Tx) error {
			_, err := f.Attach(tx, fcs, v210, registry.Artifact{Name: "m.pkl", Role: "trained", Digest: f.put("p"), Size: 1, Scan: report}, anna)
			return err
		})
		list, err := f.Artifacts(context.Background(), fcs, v210)
		f.ok(err)
		raw, err := json.Marshal(list[0].Scan)
		f.ok(err)
		if len(raw) > 16<<10 || list[0].Scan.Findings[0].Rule != "pickle-import" || len(list[0].Scan.Blocks("trained")) != 1 || !list[0].Scan.Code {
			t.Errorf("kept %d bytes: %.300s", len(raw), raw)
		}
		if len(report.Findings) != 501 {
			t.Error("the caller's report was changed")
		}
	})
}

func TestTooManyArtifacts(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.version(fcs, v210)
		digest, scan := f.put("x"), &modelfile.Report{Format: modelfile.FormatUnknown}
		one := func(tx *db.Tx, i int) error {
			_, err := f.Attach(tx, fcs, v210, registry.Artifact{Name: fmt.Sprintf("f%04d", i), Role: "other", Digest: digest, Size: 1, Scan: scan}, anna)
			return err
		}
		f.must(func(tx *db.Tx) error {
			if err := one(tx, 0); err != nil {
				return err
			}
			for i := 1; i < 1000; i++ { // what Attach would write
				tx.Exec(`INSERT INTO model_artifacts SELECT model_id, version, $1, role, digest, size, media_type, format, source, description, scan, added_at, added_by
					FROM model_artifacts WHERE name = 'f0000'`, fmt.Sprintf("f%04d", i))
			}
			return tx.Err()
		})
		wantError(t, f.update(func(tx *db.Tx) error { return one(tx, 1000) }), caos.TooLarge, "name", "1000 artifacts")
	})
}
