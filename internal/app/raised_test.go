package app

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/evidence"
	"caos/internal/readiness"
	"caos/internal/registry"
)

// What was known of a model that is classified higher afterwards is known to nobody else any
// more: its executions, what files stated of its risks, and what a board decided, although
// the package that it is exported with is no secret.
func TestRaisedModel(t *testing.T) {
	n := launch(t, db.SQLite)
	ctx := context.Background()
	const model = "NN-FCS-001"
	n.board(model, "2.1.0")
	_, obj := n.do("POST", "/v1/objects", `<testsuite name="s" tests="1"><testcase name="t" classname="c"/></testsuite>`, "Content-Type", "application/octet-stream")
	do := func(fn func(tx *db.Tx) error) {
		t.Helper()
		if err := n.db.Update(ctx, fn); err != nil {
			t.Fatal(err)
		}
	}
	do(func(tx *db.Tx) error {
		if _, err := n.readiness.CreateRisk(tx, readiness.Risk{RiskID: "RISK-FCS-1", Title: "Late", Likelihood: 1, Impact: 1, ModelID: model}, readiness.By{Actor: "admin"}); err != nil {
			return err
		}
		_, err := n.registry.PutStatements(tx, []registry.Statement{{SourceName: "risks.csv", SourceDigest: "SHA256:" + string(bytes.Repeat([]byte("a"), 64)), Section: "risk_register",
			Entry: "RISK-FCS-1", Pointer: "line 2", Subject: "RISK-FCS-1", Kind: "risk", Body: json.RawMessage(`{"title":"Late"}`)}}, registry.By{Actor: "admin"})
		if err != nil {
			return err
		}
		_, err = n.evidence.Create(tx, evidence.Package{PackageID: "CERT-PKG-FCS", ModelID: model}, evidence.By{Actor: "admin", RecordedBy: "admin"})
		return err
	})
	const table = "Source_ID,Source_Type,Target_ID,Target_Type,Relationship,Rationale,Status,Last_Verified,Verified_By\n95-00-03-REQ-001,Requirement,NN-FCS-001,Model,IMPL,Range,ACTIVE,2026-11-23,vv-lead\n"
	if status, x := n.do("POST", "/v1/imports?name=traceability.csv", table, "Content-Type", "text/csv"); status != http.StatusOK {
		t.Fatalf("%d %v", status, x)
	}
	status, x := n.do("POST", "/v1/hooks/CAOS.PROD.CERT.EVIDENCE/executions", map[string]any{
		"model_id": model, "evidence_type": "TEST_RESULT", "evidence_category": "VERIFICATION", "artifact_uri": obj["uri"],
		"artifact_metadata": map[string]any{"format": "junit", "requirement_ids": []string{"95-00-03-REQ-001"}}, "certification_package_id": "CERT-PKG-FCS",
	}, "Prefer", "wait=20")
	if status != http.StatusOK || x["status"] != "SUCCEEDED" {
		t.Fatalf("%d %v", status, x)
	}
	execution := "/v1/executions/" + x["execution_id"].(string)
	sees := func(want bool) {
		t.Helper()
		status, _ := n.do("GET", execution, nil)
		_, list := n.do("GET", "/v1/statements", nil)
		if items, _ := list["items"].([]any); (status == http.StatusOK) != want || (len(items) == 2) != want || !want && len(items) > 0 {
			t.Errorf("the execution %d, statements %v; want them seen: %v", status, list, want)
		}
	}
	sees(true)
	do(func(tx *db.Tx) error {
		secret := "Confidential"
		_, err := n.registry.UpdateModel(tx, model, registry.ModelChange{Classification: &secret}, 0, registry.By{Actor: "admin"})
		return err
	})
	sees(false)
	if status, x := n.do("GET", "/v1/packages/CERT-PKG-FCS/export", nil); status != http.StatusForbidden {
		t.Errorf("the export by somebody without the clearance: %d %v", status, x)
	}
	refuse := func(c string) error {
		if c == "Confidential" {
			return caos.Errorf(caos.Denied, "no")
		}
		return nil
	}
	var b bytes.Buffer
	if err := n.evidence.Export(ctx, "CERT-PKG-FCS", evidence.Authority, refuse, &b); caos.KindOf(err) != caos.Denied || b.Len() > 0 {
		t.Errorf("%v, %d bytes", err, b.Len())
	}
	if err := n.evidence.Export(ctx, "CERT-PKG-FCS", evidence.Supplier, refuse, io.Discard); err != nil {
		t.Errorf("what suppliers get is no secret: %v", err)
	}
}
