package httpapi

import (
	"os"
	"strings"
	"testing"
)

// TestFreeze takes a model from its registration to a verified baseline, each person with
// their own role, through the API alone.
func TestFreeze(t *testing.T) {
	w := newWorld(t)
	const hook, why = "/v1/hooks/CAOS.PROD.MODEL.FREEZE/executions", "/v1/models/NN-DLY-001/versions/1.0.0/why/freeze"
	w.do("owen", "POST", "/v1/models", `{"model_id":"NN-DLY-001","name":"Delay","safety_level":"DAL-D","project":"P2"}`).wants(t, 201)
	w.do("mo", "POST", "/v1/models/NN-DLY-001/versions", `{"version":"1.0.0"}`).wants(t, 201)
	const version = "/v1/models/NN-DLY-001/versions/1.0.0"
	w.do("mo", "POST", version+"/artifacts", map[string]any{"name": "card.md", "role": "design-document", "digest": w.upload("mo", "# A model card\n")}).wants(t, 201)
	onnx := must(os.ReadFile("../../examples/flight-delay/model.onnx"))(t)
	w.do("mo", "POST", version+"/artifacts", map[string]any{"name": "model.onnx", "role": "inference", "digest": w.upload("mo", string(onnx))}).wants(t, 201)
	w.do("vera", "POST", "/v1/links", `{"source_id":"NN-DLY-001","source_type":"Model","target_id":"REQ-DLY-001","target_type":"Requirement","relation":"IMPL"}`).wants(t, 201)
	w.do("vera", "POST", "/v1/documents", document("vv-report", w.upload("vera", text(t, vvReport())))).wants(t, 201)
	in := map[string]any{"model_id": "NN-DLY-001", "model_version": "1.0.0", "vv_report_id": "95-00-07-01-001", "vv_status": "PASSED", "freeze_requester": "owen", "freeze_rationale": "V&V passed"}
	if a := w.do("owen", "POST", hook, in).wants(t, 401); a.json(t)["rule"] != "freeze-step-up" || !strings.Contains(a.header.Get("WWW-Authenticate"), "acr_values") {
		t.Errorf("%v %s", a.header, a.body)
	}
	w.do("vera", "POST", hook, in, "MFA", "").wants(t, 403)
	for _, path := range []string{hook, hook + "?dry_run=true"} {
		foreign := w.do("p1", "POST", path, with(in, "freeze_requester", "p1"), "MFA", "").wants(t, 404).json(t)
		absent := w.do("p1", "POST", path, with(with(in, "freeze_requester", "p1"), "model_id", "NN-NONE-001"), "MFA", "").wants(t, 404).json(t)
		for _, a := range []map[string]any{foreign, absent} {
			delete(a, "trace_id")
		}
		if text(t, foreign) != text(t, absent) {
			t.Errorf("%s: a foreign model: %v, one that is not there: %v", path, foreign, absent)
		}
	}
	failed := w.do("owen", "POST", hook, in, "MFA", "", "Prefer", "wait=30").wants(t, 200).json(t)
	if failed["status"] != "FAILED" || !strings.Contains(text(t, failed["findings"]), "safety-approved") {
		t.Fatalf("%v", failed)
	}
	asked := w.do("owen", "GET", why, nil).wants(t, 200)
	if !strings.Contains(string(asked.body), "safety-engineer") {
		t.Errorf("who could clear it is not said: %s", asked.body)
	}
	for id, d := range map[string]struct{ kind, by, decides string }{
		"95-00-07-01-002": {"safety-assessment", "cert", "sam"}, "95-00-07-01-003": {"documentation-review", "cert", "qa"},
	} {
		w.do(d.by, "POST", "/v1/documents", with(document(d.kind, w.upload(d.by, "a "+d.kind)), "document_id", id)).wants(t, 201)
		w.do(d.decides, "POST", "/v1/documents/"+id+"/decision", `{"approve":true,"version":"1.0"}`, "MFA", "").wants(t, 200)
	}
	defects := `{"model_id":"NN-DLY-001","model_version":"1.0.0","defects":[]}`
	w.do("qa", "POST", "/v1/documents", with(document("defect-list", w.upload("qa", defects)), "document_id", "95-00-07-01-004")).wants(t, 201)
	done := w.do("owen", "POST", hook, in, "MFA", "", "Prefer", "wait=30").wants(t, 200).json(t)
	if done["status"] != "SUCCEEDED" {
		t.Fatalf("%v\n%s", done, w.do("owen", "GET", why, nil).body)
	}
	out := done["output"].(map[string]any)
	if out["baseline_id"] != "BL-DLY-1.0.0" || out["status"] != "SUCCESS" {
		t.Errorf("%v", out)
	}
	if got := w.do("aud", "POST", "/v1/baselines/BL-DLY-1.0.0/verify", nil).wants(t, 200).json(t); got["check_status"] != "INTACT" {
		t.Errorf("%v", got)
	}
	if got := w.do("owen", "GET", version, nil).wants(t, 200).json(t); got["state"] != "FROZEN" {
		t.Errorf("%v", got)
	}
	again := w.do("owen", "POST", hook, in, "MFA", "").wants(t, 409)
	if !strings.Contains(string(again.body), "FREEZE-NN-DLY-001-1.0.0") {
		t.Errorf("the freeze is not named: %s", again.body)
	}
}
