package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"caos/internal/alert"
	"caos/internal/db"
	"caos/internal/evidence"
	"caos/internal/notify"
	"caos/internal/verify"
)

const junit = `<?xml version="1.0"?><testsuite name="fcs" tests="2" failures="0"><testcase classname="a" name="one" time="0.1"/><testcase classname="a" name="two" time="0.1"/></testsuite>`

func digest(s string) (hexSum, b64 string) {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(sum[:])
}

func TestObjects(t *testing.T) {
	w := newWorld(t)
	sum, b64 := digest(junit)
	up := func(body any, headers ...string) answer {
		return w.do("vera", "POST", "/v1/objects", body, append([]string{"Content-Type", "application/octet-stream"}, headers...)...)
	}
	a := up(junit, "Content-Digest", "sha-256=:"+b64+":").wants(t, 201)
	if a.json(t)["uri"] != "object://SHA256:"+sum || a.header.Get("Location") != "/v1/objects/SHA256:"+sum {
		t.Errorf("%v %s", a.header, a.body)
	}
	w.do("vera", "POST", "/v1/objects?sha256="+sum, junit).wants(t, 201)
	got := w.do("vera", "GET", "/v1/objects/SHA256:"+sum, nil).wants(t, 200)
	if string(got.body) != junit || got.header.Get("Content-Digest") != "sha-256=:"+b64+":" || got.header.Get("Content-Type") != "application/octet-stream" ||
		!strings.HasPrefix(got.header.Get("Content-Disposition"), "attachment;") {
		t.Errorf("%v", got.header)
	}
	_, wrong := digest("something else")
	before := w.files()
	for name, send := range map[string]func() answer{
		"other bytes":        func() answer { return up("other", "Content-Digest", "sha-256=:"+b64+":") },
		"other bytes by hex": func() answer { return w.do("vera", "POST", "/v1/objects?sha256="+sum, "other") },
		"no digest":          func() answer { return up("other", "Content-Digest", "md5=:abc=:") },
		"half a digest":      func() answer { return up("other", "Content-Digest", "sha-256=:abc=:") },
		"two digests": func() answer {
			return w.do("vera", "POST", "/v1/objects?sha256="+sum, "other", "Content-Digest", "sha-256=:"+wrong+":")
		},
		"unknown parameter":   func() answer { return w.do("vera", "POST", "/v1/objects?md5=1", "other") },
		"nobody":              func() answer { return w.do("", "POST", "/v1/objects", "other") },
		"no right":            func() answer { return w.do("aud", "POST", "/v1/objects", "other") },
		"too large, declared": func() answer { return up(bytes.NewReader(make([]byte, 9<<20))) },
	} {
		if a := send(); a.status < 400 || a.status >= 500 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a, err := w.try("vera", "POST", "/v1/objects", io.LimitReader(zeros{}, 1<<30)); err == nil && a.status != 413 {
		t.Errorf("too large, not declared: %d %s", a.status, a.body)
	}
	if after := w.files(); !slices.Equal(after, before) {
		t.Errorf("%v became %v", before, after)
	}
}

// TestUploadInterrupted breaks off in the middle: nothing is kept.
func TestUploadInterrupted(t *testing.T) {
	w := newWorld(t)
	before := w.files()
	for _, declared := range []int64{-1, 4 << 20} {
		broken := io.MultiReader(io.LimitReader(zeros{}, 1<<20), failing{})
		req := must(http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/v1/objects", broken))(t)
		req.ContentLength = declared
		req.Header.Set("Authorization", "Bearer "+w.tokens["vera"])
		if resp, err := w.client.Do(req); err == nil {
			resp.Body.Close()
			t.Errorf("the broken upload was answered %d", resp.StatusCode)
		}
	}
	w.idle()
	if after := w.files(); !slices.Equal(after, before) {
		t.Errorf("%v became %v", before, after)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the cable was pulled") }

// files lists what the object store holds on disk.
func (w *world) files() (list []string) {
	w.t.Helper()
	err := filepath.WalkDir(w.objdir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// TestDamagedObject shows that a client does not get all the bytes of an object that is
// not what it was.
func TestDamagedObject(t *testing.T) {
	w := newWorld(t)
	w.do("vera", "POST", "/v1/objects", junit).wants(t, 201)
	for _, f := range w.files() {
		text := must(os.ReadFile(f))(t)
		text[10] ^= 1
		if err := errors.Join(os.Chmod(f, 0o600), os.WriteFile(f, text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	sum, _ := digest(junit)
	if a, err := w.try("vera", "GET", "/v1/objects/SHA256:"+sum, nil); err == nil && a.status == 200 {
		t.Errorf("served %d bytes", len(a.body))
	}
}

// collect puts an artifact into a package, as CERT.EVIDENCE does.
func (w *world) collect(packageID, artifact string) string {
	w.t.Helper()
	sum, _ := digest(artifact)
	w.do("vera", "POST", "/v1/objects", artifact).wants(w.t, 201)
	id := w.evidence.NewID("NN-FCS-001")
	req := evidence.Request{ModelID: "NN-FCS-001", Type: evidence.TestResult, Category: evidence.Verification, PackageID: packageID,
		ArtifactURI: "object://SHA256:" + sum, Metadata: evidence.Metadata{RequirementIDs: []string{"REQ-1"}}}
	it := must(w.evidence.Collect(w.t.Context(), id, req, "vera"))(w.t)
	err := w.db.Update(w.t.Context(), func(tx *db.Tx) error {
		_, err := w.evidence.Insert(tx, *it, evidence.By{Actor: "vera"})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// TestPackage runs a certification package from its opening to an export that verifies.
func TestPackage(t *testing.T) {
	w := newWorld(t)
	made := w.do("cert", "POST", "/v1/packages", `{"model_id":"NN-FCS-001","title":"Demo","project":"P1"}`).wants(t, 201)
	id := made.json(t)["package_id"].(string)
	path := "/v1/packages/" + id
	if made.header.Get("Location") != path {
		t.Errorf("%v", made.header)
	}
	w.do("mo", "POST", "/v1/packages", `{"model_id":"NN-FCS-001"}`).wants(t, 403)
	w.do("cert", "PUT", path+"/plan", `{}`).wants(t, 422)
	plan := w.do("cert", "PUT", path+"/plan", `{"requirement_ids":["REQ-1","REQ-2"],"source":"test"}`).wants(t, 200)
	w.do("vera", "PUT", path+"/plan", `{"requirement_ids":["REQ-1"]}`, "If-Match", `"0"`).wants(t, 412)
	w.do("vera", "PUT", path+"/plan", `{"requirement_ids":["REQ-1"]}`, "If-Match", plan.header.Get("ETag")).wants(t, 200)
	w.do("cert", "GET", path+"/plan?version=1", nil).wants(t, 200)
	item := w.collect(id, junit)
	w.do("cert", "GET", path+"/status", nil).wants(t, 200)
	artifact := w.do("cert", "GET", evidence.ArtifactPath(item), nil).wants(t, 200)
	if string(artifact.body) != junit || artifact.header.Get("Content-Disposition") != `attachment; filename="`+item+`.junit"` {
		t.Errorf("%v", artifact.header)
	}
	w.do("cert", "GET", "/v1/evidence/"+item+"/envelope", nil).wants(t, 200)
	w.do("cert", "GET", "/v1/evidence/"+item, nil).wants(t, 200)
	if n := len(w.do("cert", "GET", "/v1/evidence?package_id="+id+"&covers=REQ-1", nil).wants(t, 200).json(t)["items"].([]any)); n != 1 {
		t.Errorf("%d items", n)
	}
	report := w.do("cert", "POST", auditPathURL, report()).wants(t, 200).json(t)["output"].(map[string]any)["audit_record_id"].(string)
	w.do("cert", "POST", path+"/records", `{"audit_record_id":"`+report+`"}`).wants(t, 200)
	w.do("cert", "POST", path+"/records", `{"audit_record_id":"AUDIT-0"}`).wants(t, 404)
	w.do("vera", "POST", path+"/records", `{"audit_record_id":"`+report+`"}`).wants(t, 404) // may not read the record
	w.do("cert", "POST", path+"/close", `{}`).wants(t, 401)
	closed := w.do("cert", "POST", path+"/close", `{}`, "MFA", "").wants(t, 200).json(t)
	if closed["full"] != true {
		t.Errorf("%v", closed)
	}
	w.do("cert", "PUT", path+"/plan", `{"requirement_ids":["REQ-9"]}`).wants(t, 409)
	w.do("mo", "GET", path+"/export", nil).wants(t, 403)
	w.do("cert", "GET", path+"/export?for=everybody", nil).wants(t, 422)
	file := w.do("cert", "GET", path+"/export?for=authority", nil).wants(t, 200)
	if file.header.Get("Content-Disposition") != `attachment; filename="`+id+`.caospkg"` {
		t.Errorf("%v", file.header)
	}
	trust := must(verify.ParseTrust(w.do("", "GET", "/v1/trust", nil).wants(t, 200).body))(t)
	rep := must(verify.Package(bytes.NewReader(file.body), int64(len(file.body)), trust, verify.PackageOptions{}))(t)
	if !rep.OK {
		t.Errorf("the export does not verify: %+v", rep)
	}
	dash := w.do("cert", "GET", "/v1/dashboards/evidence", nil).wants(t, 200).json(t)["data"].(map[string]any)
	if counts, _ := dash[id].(map[string]any); counts["items"] != 1.0 || counts["covered"] != 1.0 {
		t.Errorf("%v", dash)
	}
	w.do("aud", "GET", "/v1/dashboards/audit-log", nil).wants(t, 200)
	w.do("aud", "GET", "/v1/dashboards/other", nil).wants(t, 404)
}

// TestEvidence uploads an artifact, has CERT.EVIDENCE collect it, and follows every
// address in the output.
func TestEvidence(t *testing.T) {
	w := newWorld(t)
	id := w.do("cert", "POST", "/v1/packages", `{"model_id":"NN-FCS-001"}`).wants(t, 201).json(t)["package_id"].(string)
	uri := w.do("vera", "POST", "/v1/objects", junit).wants(t, 201).json(t)["uri"].(string)
	in := map[string]any{"model_id": "NN-FCS-001", "evidence_type": "TEST_RESULT", "evidence_category": "VERIFICATION", "artifact_uri": uri,
		"artifact_metadata": map[string]any{"requirement_ids": []string{"REQ-1"}}, "certification_package_id": id}
	const path = "/v1/hooks/CAOS.PROD.CERT.EVIDENCE/executions"
	a := w.do("vera", "POST", path, in, "Prefer", "wait=30")
	x := a.wants(t, 200).json(t)
	if x["status"] != "SUCCEEDED" {
		t.Fatalf("%s", a.body)
	}
	followed := 0
	for name, v := range x["output"].(map[string]any) {
		if s, ok := v.(string); ok && strings.HasSuffix(name, "_uri") {
			w.do("vera", "GET", strings.TrimPrefix(s, "https://caos.test"), nil).wants(t, 200)
			followed++
		}
	}
	if followed == 0 {
		t.Errorf("no address in %s", a.body)
	}
	in["artifact_uri"] = "http://127.0.0.1/secret"
	if a := w.do("vera", "POST", path, in, "Prefer", "wait=30"); a.status == 200 && a.json(t)["status"] == "SUCCEEDED" {
		t.Errorf("%s", a.body)
	}
	in["artifact_uri"] = uri
	in["certification_package_id"] = "CERT-PKG-NONE"
	w.do("vera", "POST", path, in).wants(t, 404)
	if n := len(w.do("cert", "GET", "/v1/notices", nil).wants(t, 200).json(t)["items"].([]any)); n != 1 {
		t.Errorf("%d notices to the certification team", n)
	}
}

// TestProof fetches a record, checks it against the log's own files, and the proof
// against the trust file.
func TestProof(t *testing.T) {
	w := newWorld(t)
	out := w.do("mo", "POST", auditPathURL, report()).wants(t, 200).json(t)["output"].(map[string]any)
	id := out["audit_record_id"].(string)
	rec := w.do("aud", "GET", "/v1/audit/"+id, nil).wants(t, 200).json(t)
	proof := w.do("aud", "GET", "/v1/audit/"+id+"/proof", nil).wants(t, 200)
	if rec["proof"] != string(proof.body) || rec["audit_record_hash"] != out["audit_record_hash"] {
		t.Errorf("%v\n%s", rec, proof.body)
	}
	leaf := []byte(rec["leaf"].(string))
	if verify.FormatHash(verify.RecordHash(leaf)) != rec["audit_record_hash"] {
		t.Error("the hash is not the leaf's")
	}
	if _, err := verify.ParseProof(proof.body); err != nil {
		t.Error(err)
	}
	entries := w.do("", "GET", "/log/entries/000.p/"+fmt.Sprint(int(rec["leaf_index"].(float64))+1), nil).wants(t, 200)
	if !bytes.Contains(entries.body, leaf) || !strings.Contains(entries.header.Get("Cache-Control"), "immutable") {
		t.Errorf("%v", entries.header)
	}
	w.do("", "GET", "/log/tile/0/000.p/2", nil).wants(t, 200)
	w.do("mo", "GET", "/v1/audit/"+id, nil).wants(t, 200) // its own record
	w.do("p1", "GET", "/v1/audit/"+id, nil).wants(t, 404)
}

func TestAlerts(t *testing.T) {
	w := newWorld(t)
	var id string
	raise := func(project string) {
		err := w.db.Update(t.Context(), func(tx *db.Tx) (err error) {
			id, err = w.alerts.Raise(tx, alert.Alert{AlertType: alert.Anomaly, Severity: alert.High, ModelID: "NN-FCS-001", MetricName: "digest", AlertMessage: "a byte changed",
				Subject: "SHA256:1", Source: "test", Project: project})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	raise("P2")
	path := "/v1/alerts/" + id
	w.do("p1", "GET", path, nil).wants(t, 404)
	w.do("p1", "POST", path+"/ack", `{}`).wants(t, 404)
	if n := len(w.do("p1", "GET", "/v1/alerts", nil).wants(t, 200).json(t)["items"].([]any)); n != 0 {
		t.Errorf("%d alerts of another project", n)
	}
	w.do("aud", "POST", path+"/ack", `{}`).wants(t, 403)
	w.do("ira", "POST", path+"/ack", `{"note":"looking"}`).wants(t, 200)
	w.do("ira", "POST", path+"/close", `{}`).wants(t, 422)
	w.do("mo", "POST", path+"/close", `{"reason":"no"}`).wants(t, 403)
	a := w.do("ira", "POST", path+"/close", `{"reason":"restored from backup"}`).wants(t, 200)
	if a.json(t)["state"] != "CLOSED" || a.header.Get("ETag") == "" {
		t.Errorf("%s", a.body)
	}
	records := w.do("aud", "GET", "/v1/audit?type=ALERT&resource="+id, nil).wants(t, 200).json(t)["items"].([]any)
	if len(records) != 2 {
		t.Errorf("%d audit records", len(records))
	}
	w.do("aud", "GET", "/v1/alerts?unclosed=true&min_severity=HIGH", nil).wants(t, 200)
}

func TestNotices(t *testing.T) {
	w := newWorld(t)
	err := w.db.Update(t.Context(), func(tx *db.Tx) error {
		_, err := w.notices.Send(tx, notify.Notice{Subject: "Frozen", Body: "The model is frozen.", Source: "test", People: []string{"mo"}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	list := w.do("mo", "GET", "/v1/notices?unread=true", nil).wants(t, 200).json(t)["items"].([]any)
	if len(list) != 1 {
		t.Fatalf("%v", list)
	}
	id := list[0].(map[string]any)["notice_id"].(string)
	w.do("aud", "POST", "/v1/notices/"+id+"/read", nil).wants(t, 404)
	w.do("mo", "POST", "/v1/notices/"+id+"/read", nil).wants(t, 200)
	if n := len(w.do("mo", "GET", "/v1/notices?unread=true", nil).wants(t, 200).json(t)["items"].([]any)); n != 0 {
		t.Errorf("%d notices", n)
	}
}
