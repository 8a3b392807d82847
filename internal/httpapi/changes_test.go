package httpapi

import (
	"strings"
	"testing"

	"caos/internal/auditlog"
	"caos/internal/db"
)

// evidenceDocument registers a document that others can cite, and returns its id.
func (w *world) evidenceDocument(id, project string) string {
	w.t.Helper()
	w.do("vera", "POST", "/v1/documents", map[string]any{"document_id": id, "version": "1.0", "kind": "test-record", "title": "Evidence",
		"digest": w.upload("vera", "evidence "+id), "project": project}).wants(w.t, 201)
	return id
}

func TestChanges(t *testing.T) {
	w := newWorld(t)
	w.newModel("NN-DLY-001", "P2")
	const path = "/v1/changes"
	ask := map[string]any{"model_id": "NN-DLY-001", "title": "Train on April too", "class": "Major", "baselines": []string{"BL-DLY-1.0.0"}}
	made := w.do("owen", "POST", path, ask).wants(t, 201)
	id := made.json(t)["change_id"].(string)
	one := path + "/" + id
	if made.header.Get("Location") != one || made.header.Get("ETag") != `"1"` || made.json(t)["status"] != "OPEN" || made.json(t)["project"] != "P2" || made.json(t)["evidence"] == nil {
		t.Errorf("%v %s", made.header, made.body)
	}
	shown, hidden := w.evidenceDocument("95-00-09-00-001", "P2"), w.evidenceDocument("95-00-09-00-002", "P1")
	_ = hidden
	yes, end := map[string]any{"approve": true, "statement": "needed"}, map[string]any{"evidence": []string{shown}, "statement": "done"}
	w.refuses(map[string]refused{
		"unknown model":       {"owen", "POST", path, with(ask, "model_id", "NN-NOT-001"), nil, 404, "model_id"},
		"malformed model":     {"owen", "POST", path, with(ask, "model_id", "../x"), nil, 422, "model_id"},
		"unknown class":       {"owen", "POST", path, with(ask, "class", "Huge"), nil, 422, "class"},
		"no title":            {"owen", "POST", path, with(ask, "title", ""), nil, 422, "title"},
		"unknown owner":       {"owen", "POST", path, with(ask, "owner", "nobody"), nil, 422, "owner"},
		"there already":       {"owen", "POST", path, with(ask, "change_id", id), nil, 409, ""},
		"odd id":              {"owen", "POST", path, with(ask, "change_id", "CHG-../x"), nil, 422, "change_id"},
		"missing role":        {"aud", "POST", path, ask, nil, 403, ""},
		"sets its own status": {"owen", "POST", path, with(ask, "status", "APPROVED"), nil, 422, "status"},
		"malformed baseline":  {"owen", "POST", path, with(ask, "baselines", []string{"a b"}), nil, 422, "baselines[0]"},
		"stale":               {"owen", "PATCH", one, `{"impact":"x"}`, []string{"If-Match", `"4"`}, 412, "If-Match"},
		"may not decide":      {"mo", "POST", one + "/decision", yes, nil, 403, ""},
		"decision, no word":   {"chief", "POST", one + "/decision", `{"approve":true,"statement":""}`, nil, 422, "statement"},
		"closed too early":    {"chief", "POST", one + "/close", end, nil, 409, ""},
	})
	w.alike(w.do("p1", "GET", one, nil), w.do("p1", "GET", path+"/CHG-DLY-77", nil))
	w.alike(w.do("p1", "POST", path, ask), w.do("p1", "POST", path, with(ask, "model_id", "NN-NOT-001")))
	w.do("qa", "PATCH", one, `{"safety_impact":"none"}`, "If-Match", `"1"`).wants(t, 200)
	if a := w.do("qa", "POST", one+"/decision", yes).wants(t, 403); a.json(t)["rule"] != "separation-of-duties" {
		t.Errorf("%s", a.body)
	}
	w.do("chief", "POST", one+"/decision", yes).wants(t, 200)
	w.do("owen", "PATCH", one, `{"title":"Something else"}`).wants(t, 409)
	w.refuses(map[string]refused{
		"no evidence":      {"chief", "POST", one + "/close", `{"evidence":[]}`, nil, 422, "evidence"},
		"unknown evidence": {"chief", "POST", one + "/close", `{"evidence":["95-00-09-00-404"]}`, nil, 422, "evidence[0]"},
		"odd evidence":     {"chief", "POST", one + "/close", `{"evidence":["../../x"]}`, nil, 422, "evidence[0]"},
	})
	if got := w.do("chief", "POST", one+"/close", end).wants(t, 200).json(t); got["status"] != "CLOSED" || got["closed_by"] != "chief" {
		t.Errorf("%v", got)
	}
	if n := len(items(t, w.do("aud", "GET", path+"?status=CLOSED&model_id=NN-DLY-001&class=Major", nil))); n != 1 {
		t.Errorf("%d changes", n)
	}
	if n := len(items(t, w.do("p1", "GET", path, nil))); n != 0 {
		t.Errorf("%d changes of another project", n)
	}
}

func TestProblemReports(t *testing.T) {
	w := newWorld(t)
	w.newModel("NN-DLY-001", "P2")
	const path = "/v1/problem-reports"
	found := map[string]any{"model_id": "NN-DLY-001", "title": "Late at night it is wrong", "severity": "HIGH"}
	made := w.do("owen", "POST", path, found).wants(t, 201)
	one := path + "/" + made.json(t)["problem_id"].(string)
	shown := w.evidenceDocument("95-00-09-00-001", "P2")
	end := map[string]any{"evidence": []string{shown}, "statement": "trained again"}
	w.refuses(map[string]refused{
		"unknown severity":            {"owen", "POST", path, with(found, "severity", "BAD"), nil, 422, "severity"},
		"missing role":                {"aud", "POST", path, found, nil, 403, ""},
		"closed by a patch":           {"owen", "PATCH", one, `{"status":"CLOSED"}`, nil, 422, "status"},
		"stale":                       {"owen", "PATCH", one, `{"status":"IN_PROGRESS"}`, []string{"If-Match", `"2"`}, 412, "If-Match"},
		"talked down":                 {"owen", "PATCH", one, `{"severity":"LOW"}`, nil, 403, ""},
		"by a role that cannot close": {"mo", "PATCH", one, `{"severity":"LOW"}`, nil, 403, ""},
		"moved elsewhere":             {"mo", "PATCH", one, `{"baselines":["BL-DLY-9.0.0"]}`, nil, 403, ""},
		"may not close":               {"mo", "POST", one + "/close", end, nil, 403, ""},
		"no evidence":                 {"qa", "POST", one + "/close", `{"evidence":[]}`, nil, 422, "evidence"},
		"nothing of it":               {"qa", "POST", one + "/close", `{"evidence":["AUDIT-1"]}`, nil, 422, "evidence[0]"},
	})
	w.alike(w.do("p1", "GET", one, nil), w.do("p1", "GET", path+"/PR-DLY-77", nil))
	w.do("owen", "PATCH", one, `{"status":"IN_PROGRESS","impact":"five minutes"}`, "If-Match", `"1"`).wants(t, 200)
	if got := w.do("sam", "POST", one+"/close", end).wants(t, 200).json(t); got["status"] != "CLOSED" || len(got["closure_evidence"].([]any)) != 1 {
		t.Errorf("%v", got)
	}
	w.do("qa", "POST", one+"/close", end).wants(t, 409)
	// Who closes may also judge that it is less bad, if it is not their own.
	low := path + "/" + w.do("owen", "POST", path, with(found, "severity", "CRITICAL")).wants(t, 201).json(t)["problem_id"].(string)
	w.do("qa", "PATCH", low, `{"severity":"MEDIUM"}`).wants(t, 200)
	own := path + "/" + w.do("qa", "POST", path, found).wants(t, 201).json(t)["problem_id"].(string)
	w.do("qa", "PATCH", own, `{"severity":"MEDIUM"}`).wants(t, 403)
	if n := len(items(t, w.do("aud", "GET", path+"?severity=HIGH", nil))); n != 2 {
		t.Errorf("%d problem reports", n)
	}
}

func TestLinks(t *testing.T) {
	w := newWorld(t)
	w.newModel("NN-DLY-001", "P2")
	w.newModel("NN-FCS-001", "P1")
	const path = "/v1/links"
	link := map[string]any{"source_id": "NN-DLY-001", "source_type": "Model", "target_id": "REQ-DLY-001", "target_type": "Requirement", "relation": "IMPL"}
	made := w.do("vera", "POST", path, link).wants(t, 201)
	got := made.json(t)
	one := path + "/" + got["link_id"].(string)
	if got["project"] != "P2" || got["status"] != "ACTIVE" || made.header.Get("Location") != one {
		t.Errorf("%v", got)
	}
	w.do("vera", "POST", path, link).wants(t, 200)
	w.do("vera", "POST", path, with(link, "rationale", "the model does it", "verified_on", "2026-11-20")).wants(t, 200)
	w.do("vera", "POST", path, with(link, "source_id", "REQ-DLY-001", "source_type", "Requirement", "target_id", "95-00-07-01-001", "target_type", "Document", "relation", "VALD", "project", "P2")).wants(t, 201)
	w.refuses(map[string]refused{
		"unknown relation": {"vera", "POST", path, with(link, "relation", "LOVE"), nil, 422, "relation"},
		"to itself":        {"vera", "POST", path, with(link, "target_id", "NN-DLY-001"), nil, 422, "target_id"},
		"odd end":          {"vera", "POST", path, with(link, "target_id", "../x y"), nil, 422, "target_id"},
		"odd day":          {"vera", "POST", path, with(link, "verified_on", "yesterday"), nil, 422, "verified_on"},
		"other project":    {"vera", "POST", path, with(link, "project", "P1"), nil, 403, ""},
		"missing role":     {"qa", "POST", path, link, nil, 403, ""},
		"foreign model":    {"p1", "POST", path, link, nil, 403, ""},
		"may not delete":   {"qa", "DELETE", one, nil, nil, 403, ""},
		"too deep":         {"vera", "GET", "/v1/trace/NN-DLY-001?depth=9", nil, nil, 422, "depth"},
		"odd root":         {"vera", "GET", "/v1/trace/a%20b", nil, nil, 422, "id"},
	})
	w.alike(w.do("p1", "GET", one, nil), w.do("p1", "GET", path+"/LINK-00000000000000000000", nil))
	w.alike(w.do("p1", "DELETE", one, nil), w.do("p1", "DELETE", path+"/LINK-00000000000000000000", nil))
	if n := len(items(t, w.do("aud", "GET", path+"?end=REQ-DLY-001", nil))); n != 2 {
		t.Errorf("%d links", n)
	}
	if tr := w.do("aud", "GET", "/v1/trace/NN-DLY-001", nil).wants(t, 200).json(t); len(tr["nodes"].([]any)) != 3 || len(tr["links"].([]any)) != 2 {
		t.Errorf("%v", tr)
	}
	if tr := w.do("p1", "GET", "/v1/trace/NN-DLY-001", nil).wants(t, 200).json(t); len(tr["nodes"].([]any)) != 1 || len(tr["links"].([]any)) != 0 {
		t.Errorf("somebody else's links are shown: %v", tr)
	}
	w.do("vera", "DELETE", one, nil).wants(t, 200)
	w.do("vera", "GET", one, nil).wants(t, 404)
}

// TestLinkOfHigherClass: what is classified is not changed, nor opened, by saying it again.
func TestLinkOfHigherClass(t *testing.T) {
	w := newWorld(t)
	w.do("root", "PUT", "/v1/users/cora/scope", `{"all_projects":true,"clearances":["Restricted"]}`, "MFA", "").wants(t, 200)
	link := map[string]any{"source_id": "REQ-1", "source_type": "Requirement", "target_id": "REQ-2", "target_type": "Requirement", "relation": "REFN", "rationale": "secret"}
	id := w.do("cora", "POST", "/v1/links", with(link, "classification", "Restricted")).wants(t, 201).json(t)["link_id"].(string)
	w.do("vera", "GET", "/v1/links/"+id, nil).wants(t, 404)
	w.do("vera", "POST", "/v1/links", with(link, "rationale", "mine")).wants(t, 403)
	if got := w.do("cora", "GET", "/v1/links/"+id, nil).wants(t, 200).json(t); got["rationale"] != "secret" || got["classification"] != "Restricted" {
		t.Errorf("%v", got)
	}
}

func TestIndustrialisation(t *testing.T) {
	w := newWorld(t)
	w.newVersion("NN-DLY-001", "P2")
	const one = "/v1/industrialisation/NN-DLY-001/1.0.0"
	w.do("mo", "GET", one, nil).wants(t, 404)
	made := w.do("mo", "PATCH", one, `{"target_platforms":["edge-a"],"release_target":"2027-Q1"}`).wants(t, 200)
	if got := made.json(t); got["phase"] != "PLANNING" || got["production_ready"] != false || made.header.Get("ETag") == "" {
		t.Errorf("%s", made.body)
	}
	w.refuses(map[string]refused{
		"unknown phase":   {"mo", "PATCH", one, `{"phase":"DONE"}`, nil, 422, "phase"},
		"ready by word":   {"mo", "PATCH", one, `{"production_ready":true}`, nil, 422, "production_ready"},
		"missing role":    {"vera", "PATCH", one, `{"phase":"PREPARATION"}`, nil, 403, ""},
		"no such version": {"mo", "PATCH", "/v1/industrialisation/NN-DLY-001/9.0.0", `{"phase":"PREPARATION"}`, nil, 404, "version"},
		"stale":           {"mo", "PATCH", one, `{"phase":"PREPARATION"}`, []string{"If-Match", `"5"`}, 412, "If-Match"},
		"foreign project": {"p1", "PATCH", one, `{"phase":"PREPARATION"}`, nil, 404, "model_id"},
	})
	w.alike(w.do("p1", "GET", one, nil), w.do("p1", "GET", "/v1/industrialisation/NN-NOT-001/1.0.0", nil))
	got := w.do("mo", "PATCH", one, `{"phase":"PREPARATION"}`, "If-Match", made.header.Get("ETag")).wants(t, 200).json(t)
	if got["phase"] != "PREPARATION" || got["release_target"] != "2027-Q1" {
		t.Errorf("%v", got)
	}
	if n := len(items(t, w.do("aud", "GET", "/v1/industrialisation?phase=PREPARATION", nil))); n != 1 {
		t.Errorf("%d records", n)
	}
	if n := len(items(t, w.do("p1", "GET", "/v1/industrialisation", nil))); n != 0 {
		t.Errorf("%d records of another project", n)
	}
}

const matrix = "Source_ID,Source_Type,Target_ID,Target_Type,Relationship,Rationale,Status,Last_Verified,Verified_By\n" +
	"95-00-03-REQ-001,Requirement,95-00-09-01-001,Process,IMPL,Freeze implements it,ACTIVE,2025-11-17,Board\n"

func TestImports(t *testing.T) {
	w := newWorld(t)
	csv := []string{"Content-Type", "text/csv"}
	const path = "/v1/imports?name=matrix.csv"
	dry := w.do("cert", "POST", path+"&dry_run=true&project=P2", matrix, csv...).wants(t, 200).json(t)
	if dry["dry_run"] != true || dry["kind"] != "traceability" {
		t.Errorf("%v", dry)
	}
	if n := len(items(t, w.do("aud", "GET", "/v1/statements", nil))) + len(items(t, w.do("aud", "GET", "/v1/links", nil))); n != 0 {
		t.Errorf("a dry run left %d things", n)
	}
	got := w.do("cert", "POST", path+"&project=P2", matrix, csv...).wants(t, 200).json(t)
	if got["changed"] != true || got["project"] != "P2" {
		t.Errorf("%v", got)
	}
	if again := w.do("cert", "POST", path+"&project=P2", matrix, csv...).wants(t, 200).json(t); again["changed"] != false {
		t.Errorf("%v", again)
	}
	broken := strings.Replace(matrix, "IMPL", "NONE", 1)
	big := strings.Repeat("x", 9<<20)
	before := len(items(t, w.do("aud", "GET", "/v1/statements", nil)))
	w.refuses(map[string]refused{
		"no name":         {"cert", "POST", "/v1/imports", matrix, csv, 422, "name"},
		"misspelt":        {"cert", "POST", path + "&dryrun=true", matrix, csv, 422, "dryrun"},
		"twice":           {"cert", "POST", path + "&project=P1&project=P2", matrix, csv, 422, "project"},
		"not a boolean":   {"cert", "POST", path + "&dry_run=yes", matrix, csv, 422, "dry_run"},
		"broken":          {"cert", "POST", path, broken, csv, 422, ""},
		"cut off":         {"cert", "POST", path, matrix + `"95-00-03`, csv, 422, ""},
		"binary":          {"cert", "POST", path, "PK\x03\x04zip", csv, 422, ""},
		"empty":           {"cert", "POST", path, "", csv, 422, ""},
		"too large":       {"cert", "POST", path, big, csv, 413, ""},
		"missing role":    {"vera", "POST", path, matrix, csv, 403, ""},
		"another project": {"c1", "POST", path + "&project=P2", matrix, csv, 403, ""},
		"odd class":       {"cert", "POST", path + "&classification=Secret", matrix, csv, 422, "classification"},
		"not cleared":     {"cert", "POST", path + "&classification=Restricted", matrix, csv, 403, ""},
	})
	if a := w.do("cert", "POST", path, broken, csv...); !strings.Contains(string(a.body), "line 2") {
		t.Errorf("where it is broken is not said: %s", a.body)
	}
	list := items(t, w.do("aud", "GET", "/v1/statements", nil))
	if len(list) != before || before == 0 {
		t.Fatalf("%d statements became %d", before, len(list))
	}
	one := "/v1/statements/" + list[0].(map[string]any)["statement_id"].(string)
	w.do("aud", "GET", one, nil).wants(t, 200)
	w.alike(w.do("p1", "GET", one, nil), w.do("p1", "GET", "/v1/statements/STMT-000000000000000000000000", nil))
	if n := len(items(t, w.do("p1", "GET", "/v1/statements", nil))); n != 0 {
		t.Errorf("%d statements of another project", n)
	}
}

// TestEvident: an audit record is evidence for those who may read it.
func TestEvident(t *testing.T) {
	w := newWorld(t)
	w.newModel("NN-DLY-001", "P2")
	var record string
	err := w.db.Update(t.Context(), func(tx *db.Tx) error {
		r, err := w.log.Append(tx, auditlog.Record{Type: auditlog.Data, Actor: "mo", RecordedBy: "mo", Details: map[string]any{"event": "test"}, Project: "P2"})
		record = r.ID
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]any{"model_id": "NN-DLY-001", "title": "It is wrong", "severity": "HIGH"}
	one := "/v1/problem-reports/" + w.do("owen", "POST", "/v1/problem-reports", found).wants(t, 201).json(t)["problem_id"].(string)
	w.do("qa", "POST", one+"/close", map[string]any{"evidence": []string{record}, "statement": "seen"}).wants(t, 200)
}
