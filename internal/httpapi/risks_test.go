package httpapi

import (
	"strings"
	"testing"
)

func TestRisks(t *testing.T) {
	w := newWorld(t)
	w.newVersion("NN-DLY-001", "P2") // DAL-B
	const path = "/v1/risks"
	ask := map[string]any{"model_id": "NN-DLY-001", "title": "Winter data are few", "likelihood": 3, "impact": 4, "category": "Data"}
	made := w.do("mo", "POST", path, ask).wants(t, 201)
	one := made.header.Get("Location")
	id := strings.TrimPrefix(one, path+"/")
	if got := made.json(t); got["level"] != "High" || got["owner"] != "mo" || got["project"] != "P2" {
		t.Errorf("%v", got)
	}
	w.refuses(map[string]refused{
		"unknown model":   {"mo", "POST", path, with(ask, "model_id", "NN-NOT-001"), nil, 404, "model_id"},
		"unknown version": {"mo", "POST", path, with(ask, "model_version", "9.9.9"), nil, 404, "model_version"},
		"odd version":     {"mo", "POST", path, with(ask, "model_version", "x"), nil, 422, "model_version"},
		"likelihood":      {"mo", "POST", path, with(ask, "likelihood", 6), nil, 422, "likelihood"},
		"half a residual": {"mo", "POST", path, with(ask, "residual_likelihood", 2), nil, 422, ""},
		"owner":           {"mo", "POST", path, with(ask, "owner", "nobody"), nil, 422, "owner"},
		"taken":           {"mo", "POST", path, with(ask, "risk_id", id), nil, 409, ""},
		"stale":           {"mo", "PATCH", one, `{"title":"x"}`, []string{"If-Match", `"7"`}, 412, "If-Match"},
		"not a level":     {"mo", "GET", path + "?level=Huge", nil, nil, 422, "level"},
		"no note":         {"mo", "POST", one + "/review", `{}`, nil, 422, "note"},
		"no right":        {"bea", "POST", path, ask, nil, 403, ""},
	})
	w.alike(w.do("p1", "GET", one, nil), w.do("p1", "GET", path+"/RISK-NOT", nil))
	w.do("mo", "PATCH", one, `{"residual_likelihood":2,"residual_impact":4,"mitigation":"More of them"}`, "If-Match", `"1"`).wants(t, 200)
	w.do("sam", "POST", one+"/review", `{"note":"As before"}`).wants(t, 200)
	counted := func() string { return string(w.do("aud", "GET", one, nil).wants(t, 200).body) }
	qa, _ := w.enrol("qa", "cora")
	accept := map[string]any{"reason": "Few flights in winter"}
	w.denies(id, counted, map[string]denied{
		"its owner":        {"mo", one + "/accept", accept, []string{"MFA", ""}, 403, "deny-by-default"},
		"no proof":         {"qa", one + "/accept", accept, nil, 401, "decision-step-up"},
		"a code only":      {"qa", one + "/accept", accept, []string{"MFA", ""}, 403, "personal-key-required"},
		"for another risk": {"qa", one + "/accept", with(w.signed("qa", one+"/accept", accept, qa), "reason", "x"), nil, 403, "statement-fresh"},
	})
	w.do("qa", "POST", one+"/accept", w.signed("qa", one+"/accept", accept, qa)).wants(t, 200)
	if got := w.do("aud", "GET", one, nil).wants(t, 200).json(t); got["status"] != "ACCEPTED" || got["accepted"].(map[string]any)["by"] != "qa" {
		t.Errorf("%v", got)
	}
	// Who wrote a risk does not accept it, whatever their roles.
	own := w.do("qa", "POST", path, with(ask, "likelihood", 1, "impact", 2, "owner", "mo")).wants(t, 201).header.Get("Location")
	w.denies(strings.TrimPrefix(own, path+"/"), func() string { return "" }, map[string]denied{"who wrote it": {"qa", own + "/accept?propose=true", accept, nil, 403, "separation-of-duties"}})
	w.do("qa", "POST", own+"/close", `{"reason":"gone"}`).wants(t, 403)
	w.do("sam", "POST", own+"/close", `{"reason":"gone"}`).wants(t, 200)
	// A critical one is nobody's to accept.
	critical := w.do("mo", "POST", path, with(ask, "likelihood", 5, "impact", 5)).wants(t, 201).header.Get("Location")
	w.denies(strings.TrimPrefix(critical, path+"/"), func() string { return "" }, map[string]denied{"critical": {"chief", critical + "/accept?propose=true", accept, nil, 403, "risk-critical"}})
	if n := len(items(t, w.do("aud", "GET", path+"?model_id=NN-DLY-001&status=CLOSED", nil))); n != 1 {
		t.Errorf("%d closed risks", n)
	}
	if n := len(items(t, w.do("p1", "GET", path, nil))); n != 0 {
		t.Errorf("somebody of another project sees %d risks", n)
	}
}

func TestCertificationPlans(t *testing.T) {
	w := newWorld(t)
	w.newVersion("NN-DLY-001", "P2")
	const path = "/v1/certification-plans"
	list := items(t, w.do("aud", "GET", "/v1/objective-catalogues", nil))
	catalogue := list[0].(map[string]any)["catalogue_id"].(string)
	objective := w.do("aud", "GET", "/v1/objective-catalogues/"+catalogue, nil).wants(t, 200).json(t)["objectives"].([]any)[0].(map[string]any)["id"].(string)
	ask := map[string]any{"model_id": "NN-DLY-001", "catalogue_id": catalogue, "title": "Plan"}
	made := w.do("cert", "POST", path, ask).wants(t, 201)
	one := made.header.Get("Location")
	if got := made.json(t); got["coverage"].(map[string]any)["applicable"].(float64) < 10 || got["project"] != "P2" {
		t.Errorf("%v", got["coverage"])
	}
	w.refuses(map[string]refused{
		"catalogue":            {"cert", "POST", path, with(ask, "catalogue_id", "none"), nil, 404, ""},
		"model":                {"cert", "POST", path, with(ask, "model_id", "NN-NOT-001"), nil, 404, "model_id"},
		"no right":             {"mo", "POST", path, ask, nil, 403, ""},
		"no justification":     {"cert", "PATCH", one + "/objectives/" + objective, `{"applicable":false}`, nil, 422, "justification"},
		"no objective":         {"cert", "PATCH", one + "/objectives/XX-99", `{"means":"x"}`, nil, 404, "objective_id"},
		"evidence not there":   {"cert", "PATCH", one + "/objectives/" + objective, `{"evidence":["EVID-NOT-1"]}`, nil, 422, "evidence[0]"},
		"owner":                {"cert", "PATCH", one + "/objectives/" + objective, `{"owner":"nobody"}`, nil, 422, "owner"},
		"stale":                {"cert", "PATCH", one + "/objectives/" + objective, `{"means":"x"}`, []string{"If-Match", `"9"`}, 412, "If-Match"},
		"no such catalogue":    {"cert", "GET", "/v1/objective-catalogues/none", nil, nil, 404, "catalogue_id"},
		"shown by nothing yet": {"cert", "PATCH", one + "/objectives/" + objective, `{"status":"SHOWN"}`, nil, 422, ""},
	})
	w.alike(w.do("c1", "GET", one, nil), w.do("c1", "GET", path+"/CPLAN-NOT", nil))
	edited := w.do("cert", "PATCH", one+"/objectives/"+objective, `{"applicable":false,"justification":"It learns nothing in flight"}`).wants(t, 200)
	if edited.json(t)["applicable"] != false || edited.header.Get("ETag") == "" {
		t.Errorf("%s", edited.body)
	}
	if got := w.do("aud", "GET", one, nil).wants(t, 200).json(t)["coverage"].(map[string]any)["not_applicable"].([]any); len(got) != 1 || got[0] != objective {
		t.Errorf("%v", got)
	}
	if n := len(items(t, w.do("aud", "GET", path+"?model_id=NN-DLY-001", nil))); n != 1 {
		t.Errorf("%d plans", n)
	}
}
