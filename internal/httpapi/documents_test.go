package httpapi

import (
	"strings"
	"testing"
)

// vvReport is a V&V report of NN-DLY-001 1.0.0 that passed.
func vvReport() map[string]any {
	return map[string]any{
		"document_id": "95-00-07-01-001", "model_id": "NN-DLY-001", "model_version": "1.0.0", "status": "PASSED", "performed_on": "2026-11-20",
		"tests": []any{map[string]any{"test_id": "T-1", "title": "error on March", "requirement_ids": []string{"REQ-DLY-001"}, "result": "PASSED",
			"metric": "mae", "value": 11.5, "unit": "min", "operator": "<=", "threshold": 15}},
	}
}

func document(kind, digest string) map[string]any {
	return map[string]any{"document_id": "95-00-07-01-001", "version": "1.0", "kind": kind, "title": "A document", "digest": digest,
		"model_id": "NN-DLY-001", "model_version": "1.0.0"}
}

func with(m map[string]any, change ...any) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = v
	}
	for i := 0; i+1 < len(change); i += 2 {
		out[change[i].(string)] = change[i+1]
	}
	return out
}

func TestDocuments(t *testing.T) {
	w := newWorld(t)
	w.newVersion("NN-DLY-001", "P2")
	digest := w.upload("vera", text(t, vvReport()))
	const path = "/v1/documents"
	report := document("vv-report", digest)
	failed := w.upload("vera", text(t, with(vvReport(), "model_version", "2.0.0")))
	odd := w.upload("vera", text(t, with(vvReport(), "Status", "PASSED")))
	twice := w.upload("vera", `{"status":"FAILED",`+text(t, vvReport())[1:])
	deep := w.upload("vera", `{"tests":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+`}`)
	before := len(items(t, w.do("aud", "GET", path, nil)))
	w.refuses(map[string]refused{
		"by the owner's role":     {"owen", "POST", path, report, nil, 403, ""},
		"by another role":         {"cora", "POST", path, report, nil, 403, ""},
		"missing role":            {"ira", "POST", path, report, nil, 403, ""},
		"unknown digest":          {"vera", "POST", path, with(report, "digest", "SHA256:"+strings.Repeat("0", 64)), nil, 404, "digest"},
		"unknown model":           {"vera", "POST", path, with(report, "model_id", "NN-NOT-001"), nil, 404, "model_id"},
		"unknown version":         {"vera", "POST", path, with(report, "model_version", "7.0.0"), nil, 422, "model_version"},
		"of another version":      {"vera", "POST", path, with(report, "digest", failed), nil, 422, ""},
		"wrong-case key inside":   {"vera", "POST", path, with(report, "digest", odd), nil, 422, ""},
		"duplicate key inside":    {"vera", "POST", path, with(report, "digest", twice), nil, 422, ""},
		"deep":                    {"vera", "POST", path, with(report, "digest", deep), nil, 422, ""},
		"malformed id":            {"vera", "POST", path, with(report, "document_id", "../../etc"), nil, 422, "document_id"},
		"malformed version":       {"vera", "POST", path, with(report, "version", "one"), nil, 422, "version"},
		"malformed kind":          {"vera", "POST", path, with(report, "kind", "VV Report"), nil, 422, "kind"},
		"another document's id":   {"vera", "POST", path, with(report, "document_id", "95-00-07-01-999"), nil, 422, ""},
		"another project":         {"vera", "POST", path, with(report, "project", "P1"), nil, 422, "project"},
		"unknown field":           {"vera", "POST", path, with(report, "status", "APPROVED"), nil, 422, "status"},
		"no document, no content": {"vera", "GET", path + "/95-00-07-01-001/content", nil, nil, 404, "document_id"},
	})
	if after := len(items(t, w.do("aud", "GET", path, nil))); after != before {
		t.Errorf("%d documents became %d", before, after)
	}
	made := w.do("vera", "POST", path, report).wants(t, 201)
	if got := made.json(t); got["status"] != "REGISTERED" || got["stated"] != "PASSED" || got["registered_by"] != "vera" || got["project"] != "P2" {
		t.Errorf("%s", made.body)
	}
	if made.header.Get("Location") != path+"/95-00-07-01-001?version=1.0" {
		t.Errorf("%v", made.header)
	}
	one := path + "/95-00-07-01-001"
	if got := w.do("aud", "GET", one, nil).wants(t, 200).json(t); got["results"] == nil {
		t.Errorf("%v", got)
	}
	if a := w.do("aud", "GET", one+"/content?version=1.0", nil).wants(t, 200); string(a.body) != text(t, vvReport()) || !strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%v %s", a.header, a.body)
	}
	w.do("aud", "GET", one+"/content?version=1.0&version=2.0", nil).wants(t, 422)
	for _, p := range []string{"", "/versions", "/content"} {
		w.alike(w.do("p1", "GET", one+p, nil), w.do("p1", "GET", path+"/95-00-07-01-777"+p, nil))
	}
	w.alike(w.do("o1", "POST", path, with(report, "kind", "design")), w.do("o1", "POST", path, with(report, "kind", "design", "model_id", "NN-NOT-001")))
	if n := len(items(t, w.do("p1", "GET", path, nil))); n != 0 {
		t.Errorf("%d documents of another project", n)
	}
	w.do("vera", "POST", path, with(report, "version", "1.1")).wants(t, 201)
	versions := items(t, w.do("aud", "GET", one+"/versions", nil))
	if len(versions) != 2 || versions[1].(map[string]any)["status"] != "SUPERSEDED" {
		t.Errorf("%v", versions)
	}
	if n := len(items(t, w.do("aud", "GET", path+"?latest=true&kind=vv-report&model_id=NN-DLY-001", nil))); n != 1 {
		t.Errorf("%d latest versions", n)
	}
}

// TestOwnReport: who owns a model registers no V&V report of it, with whatever roles.
func TestOwnReport(t *testing.T) {
	w := newWorld(t)
	path := w.newVersion("NN-DLY-001", "")
	w.do("cora", "PATCH", strings.TrimSuffix(path, "/versions/1.0.0"), `{"owner":"both"}`).wants(t, 200)
	report := document("vv-report", w.upload("both", text(t, vvReport())))
	a := w.do("both", "POST", "/v1/documents", report).wants(t, 403)
	if a.json(t)["rule"] != "vv-report-by-another" {
		t.Errorf("%s", a.body)
	}
	// Giving the model away for a moment changes nothing.
	w.do("cora", "PATCH", strings.TrimSuffix(path, "/versions/1.0.0"), `{"owner":"owen"}`).wants(t, 200)
	w.do("both", "POST", "/v1/documents", report).wants(t, 403)
	// Nor does it help to leave out what the report itself says.
	if a := w.do("both", "POST", "/v1/documents", with(report, "model_id", "", "model_version", "")).wants(t, 403); a.json(t)["rule"] != "vv-report-by-another" {
		t.Errorf("%s", a.body)
	}
	w.do("vera", "POST", "/v1/documents", report).wants(t, 201)
	// Nor does an owner, now or then, decide about documents on it.
	if a := w.do("both", "POST", "/v1/documents/95-00-07-01-001/decision", `{"approve":true,"version":"1.0"}`, "MFA", "").wants(t, 403); a.json(t)["rule"] != "separation-of-duties" {
		t.Errorf("%s", a.body)
	}
}

func TestDecisions(t *testing.T) {
	w := newWorld(t)
	w.newVersion("NN-DLY-001", "P2")
	safety := document("safety-assessment", w.upload("cert", "an assessment"))
	w.do("cert", "POST", "/v1/documents", safety).wants(t, 201)
	review := with(document("documentation-review", w.upload("qa", "a review")), "document_id", "95-00-07-01-002")
	w.do("qa", "POST", "/v1/documents", review).wants(t, 201)
	const one, two = "/v1/documents/95-00-07-01-001/decision", "/v1/documents/95-00-07-01-002/decision"
	yes := map[string]any{"approve": true, "version": "1.0"}
	mfa := []string{"MFA", ""}
	w.refuses(map[string]refused{
		"no second factor":     {"sam", "POST", one, yes, nil, 401, ""},
		"another role's":       {"qa", "POST", one, yes, mfa, 403, ""},
		"no deciding role":     {"cert", "POST", one, yes, mfa, 403, ""},
		"not safety's":         {"sam", "POST", two, yes, mfa, 403, ""},
		"by who registered it": {"qa", "POST", two, yes, mfa, 403, ""},
		"which version":        {"sam", "POST", one, `{"approve":true}`, mfa, 422, "version"},
		"not the latest":       {"sam", "POST", one, `{"approve":true,"version":"0.9"}`, mfa, 404, "version"},
		"rejected without why": {"sam", "POST", one, `{"approve":false,"version":"1.0"}`, mfa, 422, "statement"},
		"no document":          {"sam", "POST", "/v1/documents/95-00-07-01-003/decision", yes, mfa, 404, "document_id"},
		"foreign spelling":     {"sam", "POST", one, `{"Approve":true,"version":"1.0"}`, mfa, 422, "Approve"},
	})
	got := w.do("sam", "POST", one, yes, mfa...).wants(t, 200).json(t)
	if got["status"] != "APPROVED" || got["decided_by"] != "sam" {
		t.Errorf("%v", got)
	}
	w.do("sam", "POST", one, yes, mfa...).wants(t, 409)
	got = w.do("both", "POST", two, map[string]any{"approve": false, "version": "1.0", "statement": "a page is missing"}, mfa...).wants(t, 200).json(t)
	if got["status"] != "REJECTED" || got["statement"] != "a page is missing" {
		t.Errorf("%v", got)
	}
}
