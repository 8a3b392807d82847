package hook

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/evidence"
	"caos/internal/notify"
	"caos/internal/verify"
)

const evidenceHook = "CAOS.PROD.CERT.EVIDENCE"

const goodJUnit = `<?xml version="1.0"?><testsuite name="gates" tests="2"><testcase classname="gates" name="opens"/><testcase classname="gates" name="closes"/></testsuite>`

// file puts an artifact where file:// addresses may name it.
func (w *world) file(name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.files, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return "file://" + path
}

func evidenceInput(uri string, change func(m map[string]any)) map[string]any {
	m := map[string]any{"model_id": model, "evidence_type": "TEST_RESULT", "evidence_category": "VERIFICATION", "artifact_uri": uri,
		"artifact_metadata": map[string]any{"format": "junit", "requirement_ids": []string{"95-00-03-REQ-001"}}, "certification_package_id": pkg}
	if change != nil {
		change(m)
	}
	return m
}

func TestCertEvidence(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.makePackage()
		ctx := context.Background()
		var out EvidenceOutput
		x := w.done("cora", evidenceHook, evidenceInput(w.file("report.xml", goodJUnit), nil), &out)
		item, err := w.evidence.Get(ctx, *out.EvidenceID)
		if err != nil {
			t.Fatal(err)
		}

		t.Run("1 Validate evidence artifact", func(t *testing.T) {
			if item.Summary.Format != evidence.JUnit || item.Verdict != evidence.Passed || item.Summary.Tests == nil || item.Summary.Tests.Total != 2 {
				t.Errorf("summary %+v", item.Summary)
			}
			bad, err := w.submit("cora", evidenceHook, evidenceInput(w.file("empty.xml", `<testsuite name="none" tests="0"></testsuite>`), nil))
			if err != nil || bad.Status != engine.Failed || bad.Error == nil {
				t.Errorf("a report without tests: %v %v", bad, err)
			}
		})
		t.Run("2 Calculate artifact hash for integrity", func(t *testing.T) {
			ref, err := w.objects.Stat(*out.EvidenceHash)
			if err != nil || ref.Size != int64(len(goodJUnit)) || item.Digest != *out.EvidenceHash {
				t.Errorf("%+v %v", ref, err)
			}
		})
		t.Run("3 Store in evidence repository", func(t *testing.T) {
			refs, err := w.objects.References(ctx, *out.EvidenceHash)
			if err != nil || len(refs) != 1 || refs[0].Owner != *out.EvidenceID {
				t.Errorf("bindings %+v %v", refs, err)
			}
			env, err := verify.ParseEnvelope([]byte(item.Envelope))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(env.Bytes()), *out.EvidenceID) {
				t.Errorf("the statement does not name the item: %s", env.Bytes())
			}
			if *out.EvidenceURI != baseURL+"/v1/evidence/"+*out.EvidenceID+"/artifact" {
				t.Errorf("evidence_uri %s", *out.EvidenceURI)
			}
			if rec := w.record(item.RecordID); rec["type"] != "EVIDENCE" || rec["execution"] != x.ID {
				t.Errorf("record %v", rec)
			}
		})
		t.Run("4 Update certification package index", func(t *testing.T) {
			st, err := w.evidence.Status(ctx, pkg)
			if err != nil || !out.CertificationPackageUpdated {
				t.Fatal(err, out.CertificationPackageUpdated)
			}
			if st.Package.Counts.Items != 1 || st.Package.Counts.Covered != 1 {
				t.Errorf("counts %+v", st.Package.Counts)
			}
		})
		t.Run("5 Create blockchain record (if applicable)", func(t *testing.T) {
			last := w.record(x.Steps[len(x.Steps)-1].AuditRecordID)
			reasons := last["details"].(map[string]any)["reasons"].(map[string]any)
			if out.BlockchainTxID != nil || !strings.Contains(reasons["blockchain_tx_id"].(string), "checkpoint covers") {
				t.Errorf("tx %v, reasons %v", out.BlockchainTxID, reasons)
			}
		})
		t.Run("6 Update DPP with evidence link", func(t *testing.T) {
			last := w.record(x.Steps[len(x.Steps)-1].AuditRecordID)
			reasons := last["details"].(map[string]any)["reasons"].(map[string]any)
			if out.DPPRecordUpdated || !strings.Contains(reasons["dpp_record_updated"].(string), "no passport yet") {
				t.Errorf("dpp_record_updated %v, reasons %v", out.DPPRecordUpdated, reasons)
			}
		})
		t.Run("7 Notify certification team", func(t *testing.T) {
			page, _, err := w.notifier.List(ctx, "cora", notify.Filter{}, "")
			if err != nil || len(page) != 1 || !strings.Contains(page[0].Subject, *out.EvidenceID) {
				t.Errorf("notices of the certification team: %+v %v", page, err)
			}
			if other, _, _ := w.notifier.List(ctx, "mlo", notify.Filter{}, ""); len(other) != 0 {
				t.Errorf("somebody else was told: %+v", other)
			}
		})
	})
}

func TestCertEvidenceRefusals(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.makePackage()
		good := w.file("report.xml", goodJUnit)
		meta := func(k string, v any) func(m map[string]any) {
			return func(m map[string]any) { m["artifact_metadata"].(map[string]any)[k] = v }
		}
		for name, c := range map[string]struct {
			who    string
			uri    string
			change func(m map[string]any)
			kind   caos.Kind
			field  string
		}{
			"missing role":          {"aud", good, nil, caos.Denied, ""},
			"unknown package":       {"cora", good, func(m map[string]any) { m["certification_package_id"] = "CERT-PKG-NONE" }, caos.NotFound, "certification_package_id"},
			"other model":           {"cora", good, func(m map[string]any) { m["model_id"] = "NN-ENG-001" }, caos.Invalid, "model_id"},
			"malformed model":       {"cora", good, func(m map[string]any) { m["model_id"] = "FCS" }, caos.Invalid, "model_id"},
			"unknown metadata":      {"cora", good, meta("colour", "red"), caos.Invalid, "artifact_metadata.colour"},
			"malformed requirement": {"cora", good, meta("requirement_ids", []string{"a b"}), caos.Invalid, "artifact_metadata.requirement_ids[0]"},
			"format of other type":  {"cora", good, meta("format", "pdf"), caos.Invalid, "artifact_metadata.format"},
			"unknown scheme":        {"cora", "gopher://x/y", nil, caos.Invalid, "artifact_uri"},
			"object store address":  {"cora", "s3://bucket/key", nil, caos.Invalid, "artifact_uri"},
		} {
			_, err := w.submit(c.who, evidenceHook, evidenceInput(c.uri, c.change))
			e := caos.AsError(err)
			if err == nil || e.Kind != c.kind || (c.field != "" && e.Field != c.field) {
				t.Errorf("%s: %v (kind %s, field %q)", name, err, e.Kind, e.Field)
			}
		}
		for name, c := range map[string]struct {
			uri    string
			change func(m map[string]any)
			says   string
		}{
			"not what it claims": {w.file("lie.xml", "%PDF-1.4 not xml"), nil, ""},
			"wrong digest":       {good, meta("sha256", strings.Repeat("0", 64)), "digest"},
			"missing file":       {"file://" + filepath.Join(w.files, "none.xml"), nil, ""},
			"outside the roots":  {"file:///etc/passwd", nil, ""},
			"zip bomb":           {w.file("bomb.xml", "\x1f\x8b\x08\x00\x00\x00\x00\x00"), nil, ""},
		} {
			x, err := w.submit("cora", evidenceHook, evidenceInput(c.uri, c.change))
			if err != nil {
				continue // refused at the door is as good
			}
			if x.Status != engine.Failed || x.Error == nil || !strings.Contains(x.Error.Message, c.says) {
				t.Errorf("%s: %s %+v", name, x.Status, x.Error)
			}
		}
		st, err := w.evidence.Status(context.Background(), pkg)
		if err != nil || st.Package.Counts.Items != 0 {
			t.Errorf("refused artifacts left items: %+v %v", st, err)
		}
	})
}
