package httpapi

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caos/internal/baseline"
	"caos/internal/db"
	"caos/internal/registry"
	"caos/internal/sign"
)

// freeze makes a baseline of NN-DLY-001 1.0.0 without the hook and its gates.
func (w *world) freeze(project string) {
	w.t.Helper()
	version := w.newVersion("NN-DLY-001", project)
	for name, content := range map[string]string{"model/weights.bin": strings.Repeat("weights ", 40_000), "card.md": "A model card"} {
		w.do("owen", "POST", version+"/artifacts", map[string]any{"name": name, "role": "other", "digest": w.upload("owen", content)}).wants(w.t, 201)
	}
	w.do("vera", "POST", "/v1/documents", document("vv-report", w.upload("vera", text(w.t, vvReport())))).wants(w.t, 201)
	list := must(w.registry.Artifacts(w.t.Context(), "NN-DLY-001", "1.0.0"))(w.t)
	draft := baseline.Draft{ID: "BL-DLY-1.0.0", Owner: "EXEC-1", Signer: must(w.keys.Signer(sign.Baseline))(w.t)}
	frozen := registry.Baseline{ModelID: "NN-DLY-001", Version: "1.0.0", ExecutionID: "EXEC-1", VVReportID: "95-00-07-01-001", VVReportVersion: "1.0"}
	for _, x := range list {
		draft.Files = append(draft.Files, baseline.Source{Path: x.Name, Digest: x.Digest, Size: x.Size, Open: func() (io.ReadCloser, error) {
			f, _, err := w.objects.Open(x.Digest)
			return f, err
		}})
		frozen.Files = append(frozen.Files, registry.BaselineFile{Path: x.Name, Role: x.Role, Digest: x.Digest, Size: x.Size})
	}
	sealed := must(w.frozen.Write(w.t.Context(), draft, nil))(w.t)
	frozen.RootDigest, frozen.StatementDigest, frozen.BundleDigest, frozen.KeyID = sealed.Root, sealed.StatementDigest, sealed.BundleDigest, sealed.KeyID
	err := w.db.Update(w.t.Context(), func(tx *db.Tx) error {
		return errors.Join(w.registry.ClaimFreeze(tx, "NN-DLY-001", "1.0.0", "EXEC-1"), w.registry.Freeze(tx, frozen, registry.By{Actor: "cora"}))
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestBaselines(t *testing.T) {
	w := newWorld(t)
	w.freeze("P2")
	const one, none = "/v1/baselines/BL-DLY-1.0.0", "/v1/baselines/BL-DLY-7.0.0"
	got := w.do("aud", "GET", one, nil).wants(t, 200).json(t)
	if files, _ := got["files"].([]any); len(files) != 2 || got["check_status"] != "" || got["model_id"] != "NN-DLY-001" {
		t.Errorf("%v", got)
	}
	if n := len(items(t, w.do("aud", "GET", "/v1/baselines?model_id=NN-DLY-001", nil))); n != 1 {
		t.Errorf("%d baselines", n)
	}
	if n := len(items(t, w.do("p1", "GET", "/v1/baselines", nil))); n != 0 {
		t.Errorf("%d baselines of another project", n)
	}
	for _, p := range []string{"", "/bundle", "/files/card.md", "/export"} {
		w.alike(w.do("p1", "GET", one+p, nil), w.do("p1", "GET", none+p, nil))
	}
	w.alike(w.do("p1", "POST", one+"/verify", nil), w.do("p1", "POST", none+"/verify", nil))
	file := w.do("aud", "GET", one+"/files/model/weights.bin", nil).wants(t, 200)
	if len(file.body) != 320_000 || !strings.HasPrefix(file.header.Get("Content-Digest"), "sha-256=:") || file.header.Get("Content-Disposition") != `attachment; filename="weights.bin"` {
		t.Errorf("%v", file.header)
	}
	if bundle := w.do("aud", "GET", one+"/bundle", nil).wants(t, 200); !bytes.Contains(bundle.body, []byte("dsseEnvelope")) || bundle.header.Get("Content-Type") != bundleType {
		t.Errorf("%v %.200s", bundle.header, bundle.body)
	}
	for _, p := range []string{"..%2f..%2fcaos.db", "%2e%2e/%2e%2e/etc/passwd", "model", "model/", "model.sig", "model/../card.md%00", ".%2fcard.md", "model%5cweights.bin", "%2fetc%2fpasswd", "card.md/"} {
		if a := w.do("aud", "GET", one+"/files/"+p, nil); a.status == 200 || a.status >= 500 {
			t.Errorf("%s: %d %.200s", p, a.status, a.body)
		}
	}
	w.refuses(map[string]refused{
		"may not verify": {"owen", "POST", one + "/verify", nil, nil, 403, ""},
		"may not export": {"vera", "GET", one + "/export", nil, nil, 403, ""},
		"odd id":         {"aud", "GET", "/v1/baselines/..%2f..%2fx", nil, nil, 422, "baseline_id"},
		"odd status":     {"aud", "GET", "/v1/baselines?check_status=GOOD", nil, nil, 422, "check_status"},
	})
	if got := w.do("aud", "POST", one+"/verify", nil).wants(t, 200).json(t); got["check_status"] != registry.Intact {
		t.Errorf("%v", got)
	}
	for range checks { // as many as are read at once are being read
		w.api.checking <- struct{}{}
	}
	if a := w.do("aud", "POST", one+"/verify", nil).wants(t, 429); a.header.Get("Retry-After") == "" {
		t.Errorf("%v", a.header)
	}
	export := w.do("aud", "GET", one+"/export", nil).wants(t, 200)
	names := map[string]bool{}
	for tr := tar.NewReader(bytes.NewReader(export.body)); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names[h.Name] = true
	}
	if export.header.Get("Content-Disposition") != `attachment; filename="BL-DLY-1.0.0.tar"` || len(names) < 3 {
		t.Errorf("%v %v", export.header, names)
	}
	if a := w.do("aud", "GET", "/v1/audit?resource=BL-DLY-1.0.0&type=ACCESS", nil).wants(t, 200); strings.Count(string(a.body), `"baseline exported"`) != 1 {
		t.Errorf("that it was given away is recorded otherwise than once: %s", a.body)
	}
	// What is frozen does not change.
	version := "/v1/models/NN-DLY-001/versions/1.0.0"
	w.refuses(map[string]refused{
		"attach":  {"owen", "POST", version + "/artifacts", map[string]any{"name": "late", "role": "other", "digest": w.upload("owen", "late")}, nil, 409, ""},
		"detach":  {"owen", "DELETE", version + "/artifacts?name=card.md", nil, nil, 409, ""},
		"reword":  {"owen", "PATCH", version, `{"safety_impact":"none"}`, nil, 409, ""},
		"convert": {"owen", "POST", version + "/conversions", `{"from":"card.md","to":"model/weights.bin","tool":"t","tool_version":"1"}`, nil, 409, ""},
	})
}

// TestDamagedBaseline flips one stored byte: it is found, and never served as whole.
func TestDamagedBaseline(t *testing.T) {
	w := newWorld(t)
	w.freeze("P2")
	const one = "/v1/baselines/BL-DLY-1.0.0"
	damaged := 0
	err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() != "weights.bin" {
			return err
		}
		damaged++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text[200_000] ^= 1
		return errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, text, 0o600), os.Chmod(path, 0o444))
	})
	if err != nil || damaged != 1 {
		t.Fatalf("%d files damaged: %v", damaged, err)
	}
	if a, err := w.try("aud", "GET", one+"/files/model/weights.bin", nil); err == nil && a.status == 200 {
		t.Errorf("a damaged file was served whole")
	}
	w.do("aud", "GET", one+"/files/card.md", nil).wants(t, 200)
	if a, err := w.try("aud", "GET", one+"/export", nil); err == nil && a.status == 200 {
		t.Errorf("a damaged baseline was exported: %d bytes", len(a.body))
	}
	got := w.do("aud", "POST", one+"/verify", nil).wants(t, 200).json(t)
	if problems, _ := got["problems"].([]any); got["check_status"] != registry.Damaged || len(problems) != 1 || !strings.Contains(problems[0].(string), "weights.bin") {
		t.Errorf("%v", got)
	}
	if n := len(items(t, w.do("aud", "GET", "/v1/baselines?check_status=DAMAGED", nil))); n != 1 {
		t.Errorf("%d damaged baselines", n)
	}
}
