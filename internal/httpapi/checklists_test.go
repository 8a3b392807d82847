package httpapi

import (
	"os"
	"strings"
	"testing"

	"caos/internal/readiness"
)

const ownTemplate = `template_id: 95-00-09-01-077
version: "1.0"
title: Our own questions
groups:
  - id: G1
    title: First
    items:
      - {item_id: "1.1", title: Is it there, question: Is it there at all}
      - {item_id: "1.2", title: Is it fine, question: Does it look fine, criticality: MINOR, owner_role: qa-lead}
`

// TestChecklists goes through templates, checklists and the ways of answering an item.
func TestChecklists(t *testing.T) {
	w := newWorld(t)
	w.freeze("P2")
	const templates = "/v1/checklist-templates"
	yaml := []string{"Content-Type", "application/yaml"}
	made := w.do("cora", "POST", templates, ownTemplate, yaml...).wants(t, 201)
	if made.header.Get("Location") != templates+"/95-00-09-01-077?version=1.0" {
		t.Errorf("%v", made.header)
	}
	w.refuses(map[string]refused{
		"no items":       {"cora", "POST", templates, "template_id: 95-00-09-01-078\nversion: \"1\"\ntitle: None\ngroups: []\n", yaml, 422, "groups"},
		"unknown key":    {"cora", "POST", templates, ownTemplate + "more: 1\n", yaml, 422, "more"},
		"no right":       {"mo", "POST", templates, ownTemplate, yaml, 403, ""},
		"says otherwise": {"cora", "POST", templates, strings.Replace(ownTemplate, "Is it there at all", "Is it here", 1), yaml, 409, "version"},
		"odd query":      {"cora", "POST", templates + "?x=1", ownTemplate, yaml, 422, "x"},
		"too long":       {"cora", "POST", templates, strings.Repeat("#", 300<<10), yaml, 413, ""},
		"not there":      {"cora", "GET", templates + "/95-00-09-01-999", nil, nil, 404, "template_id"},
	})
	if n := len(items(t, w.do("o1", "GET", templates, nil))); n != 2 {
		t.Errorf("somebody of one project sees %d templates of all projects", n)
	}
	if got := w.do("o1", "GET", templates+"/95-00-09-01-005", nil).wants(t, 200).json(t); len(got["groups"].([]any)) != 8 {
		t.Errorf("%v", got["groups"])
	}

	list := w.do("cora", "POST", "/v1/checklists", `{"template_id":"95-00-09-01-077","baseline_id":"BL-DLY-1.0.0"}`).wants(t, 201)
	path := list.header.Get("Location")
	id := strings.TrimPrefix(path, "/v1/checklists/")
	if w.do("cora", "POST", "/v1/checklists", `{"template_id":"95-00-09-01-077","baseline_id":"BL-DLY-1.0.0"}`).wants(t, 201).header.Get("Location") != path {
		t.Error("a second checklist was opened")
	}
	one, two := path+"/items/1.1", path+"/items/1.2"
	edited := w.do("mo", "PATCH", one, `{"owner":"mo","note":"soon","status":"IN_PROGRESS"}`, "If-Match", `"1"`).wants(t, 200)
	if edited.header.Get("ETag") != `"2"` || edited.json(t)["status"] != "IN_PROGRESS" {
		t.Errorf("%v %s", edited.header, edited.body)
	}
	w.refuses(map[string]refused{
		"stale":              {"mo", "PATCH", one, `{"note":"x"}`, []string{"If-Match", `"1"`}, 412, "If-Match"},
		"a status":           {"mo", "PATCH", one, `{"status":"COMPLETE"}`, nil, 422, "status"},
		"owner unknown":      {"mo", "PATCH", one, `{"owner":"nobody"}`, nil, 422, "owner"},
		"past":               {"mo", "PATCH", one, `{"due_on":"2020-01-01"}`, nil, 422, "due_on"},
		"no such item":       {"mo", "PATCH", path + "/items/9.9", `{"note":"x"}`, nil, 404, "item_id"},
		"no such baseline":   {"mo", "POST", "/v1/checklists", `{"baseline_id":"BL-NOT-1.0.0"}`, nil, 404, "baseline_id"},
		"odd baseline":       {"mo", "POST", "/v1/checklists", `{"baseline_id":"../x"}`, nil, 422, "baseline_id"},
		"no template":        {"mo", "POST", "/v1/checklists", `{"template_id":"95-00-09-01-999","baseline_id":"BL-DLY-1.0.0"}`, nil, 404, "template_id"},
		"reopen what is not": {"mo", "POST", one + "/reopen", `{"reason":"x"}`, nil, 409, ""},
	})
	w.alike(w.do("o1", "GET", path, nil), w.do("o1", "GET", "/v1/checklists/CHK-NOT", nil))
	w.alike(w.do("p1", "PATCH", one, `{"note":"x"}`), w.do("p1", "PATCH", "/v1/checklists/CHK-NOT/items/1.1", `{"note":"x"}`))

	shown := w.evidenceDocument("95-00-09-00-001", "P2")
	counted := func() string {
		return string(w.do("aud", "GET", path, nil).wants(t, 200).body)
	}
	qa, _ := w.enrol("qa", "cora")
	words := map[string]any{"reason": "Looked at it"}
	w.denies(id, counted, map[string]denied{
		"nothing to show":          {"mo", one + "/complete", map[string]any{}, nil, 422, "evidence-required"},
		"evidence not there":       {"mo", one + "/complete", map[string]any{"evidence": []string{"EVID-NOT-1"}}, nil, 422, "evidence-known"},
		"of another model":         {"cert", one + "/complete", map[string]any{"evidence": []string{w.evidenceDocument("95-00-09-00-002", "P1")}}, nil, 422, "evidence-known"},
		"words without proof":      {"mo", one + "/complete", words, nil, 401, "decision-step-up"},
		"words with a code only":   {"mo", one + "/complete", words, []string{"MFA", ""}, 403, "personal-key-required"},
		"not applicable, no words": {"qa", one + "/complete", map[string]any{"not_applicable": true}, nil, 422, "item-not-applicable"},
		"not applicable, its owner": {"mo", one + "/complete?propose=true", map[string]any{"not_applicable": true, "reason": "x"},
			nil, 403, "item-not-applicable"},
		"other words": {"qa", two + "/complete", with(w.signed("qa", two+"/complete", words, qa), "reason", "Other words"), nil, 403, "statement-fresh"},
	})
	w.do("mo", "POST", one+"/complete", map[string]any{"evidence": []string{shown}}).wants(t, 200)
	if got := w.do("qa", "POST", two+"/complete", w.signed("qa", two+"/complete", with(words, "not_applicable", true), qa)).wants(t, 200).json(t); got["status"] != "NOT_APPLICABLE" || got["decision_id"] == "" {
		t.Errorf("%v", got)
	}
	w.do("qa", "POST", one+"/reopen", `{"reason":"It was the wrong document"}`).wants(t, 200)
	if got := w.do("aud", "GET", path, nil).wants(t, 200).json(t)["items"].([]any)[0].(map[string]any); got["status"] != "IN_PROGRESS" || len(got["evidence"].([]any)) != 0 {
		t.Errorf("%v", got)
	}
	if n := len(items(t, w.do("aud", "GET", "/v1/checklists?model_id=NN-DLY-001", nil))); n != 1 {
		t.Errorf("%d checklists", n)
	}
	page := w.do("aud", "GET", path, nil, "Accept", "text/html").wants(t, 200)
	if !strings.Contains(string(page.body), "Is it fine") {
		t.Errorf("%s", page.body)
	}
	w.classify("Restricted")
	w.do("aud", "GET", path, nil).wants(t, 404)
}

// TestShippedTemplate: what CAOS brings along can be registered as it is.
func TestShippedTemplate(t *testing.T) {
	data := must(os.ReadFile("../readiness/templates/" + readiness.ShippedTemplate + ".yaml"))(t)
	w := newWorld(t)
	w.do("cora", "POST", "/v1/checklist-templates", strings.Replace(string(data), readiness.ShippedTemplate, "95-00-09-01-079", 1), "Content-Type", "application/yaml").wants(t, 201)
}
