package httpapi

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// approved is a review that ended APPROVED, with the keys of who voted and of qa.
func (w *world) approved() map[string]ssh.Signer {
	w.t.Helper()
	path, _ := w.review("APPROVED")
	keys := map[string]ssh.Signer{}
	yes := map[string]any{"outcome": "APPROVED"}
	for _, who := range []string{"bea", "ben", "chief"} {
		keys[who], _ = w.enrol(who, "cora")
		w.do(who, "POST", path+"/votes", w.signed(who, path+"/votes", yes, keys[who])).wants(w.t, 200)
	}
	keys["qa"], _ = w.enrol("qa", "cora")
	if v := w.do("aud", "GET", path, nil).wants(w.t, 200).json(w.t); v["decision"] != "APPROVED" {
		w.t.Fatalf("%v", v)
	}
	return keys
}

func TestReleases(t *testing.T) {
	w := newWorld(t)
	w.freeze("P2")
	const path, prr = "/v1/release-authorizations", "PRR-NN-DLY-001-1.0.0"
	keys := w.approved()
	w.refuses(map[string]refused{
		"no such review": {"rel", "POST", path, `{"prr_id":"PRR-NOT"}`, nil, 404, "prr_id"},
		"no right":       {"mo", "POST", path, `{"prr_id":"` + prr + `"}`, nil, 403, ""},
	})
	one := w.do("rel", "POST", path, map[string]any{"prr_id": prr, "platforms": []string{"EDGE-1"}}).wants(t, 201).header.Get("Location")
	id := strings.TrimPrefix(one, path+"/")
	until := w.now().AddDate(0, 1, 0).UTC().Format(time.RFC3339)
	w.denies(id, func() string { return "" }, map[string]denied{
		"no scope yet":      {"rel", one + "/request", nil, nil, 422, "release-scope"},
		"not requested yet": {"chief", one + "/approve?propose=true", map[string]any{}, nil, 409, "release-state"},
	})
	scope := map[string]any{"strategies": []string{"CANARY"}, "not_after": until, "rationale": "The board approved it"}
	w.refuses(map[string]refused{
		"strategy":        {"rel", "PATCH", one, with(scope, "strategies", []string{"BIG_BANG"}), nil, 422, "strategies[0]"},
		"stale":           {"rel", "PATCH", one, scope, []string{"If-Match", `"9"`}, 412, "If-Match"},
		"open already":    {"rel", "POST", path, `{"prr_id":"` + prr + `"}`, nil, 409, ""},
		"odd moment":      {"rel", "PATCH", one, with(scope, "not_after", "tomorrow"), nil, 422, "not_after"},
		"check's moment":  {"rel", "GET", one + "/check?at=x", nil, nil, 422, "at"},
		"check's unknown": {"rel", "GET", one + "/check?baseline_id=BL-NOT-1.0.0", nil, nil, 404, "baseline_id"},
	})
	w.do("rel", "PATCH", one, scope, "If-Match", `"1"`).wants(t, 200)
	w.do("rel", "POST", one+"/request", nil).wants(t, 200)
	for _, who := range []string{"rel", "owen"} {
		w.do("root", "PUT", "/v1/users/"+who+"/roles/chief-engineer", nil, "MFA", "").wants(t, 200)
	}
	counted := func() string {
		x := w.do("aud", "GET", one, nil).wants(t, 200).json(t)
		return text(t, []any{x["status"], x["approvals"]})
	}
	sign := map[string]any{}
	w.denies(id, counted, map[string]denied{
		"who asked":             {"rel", one + "/approve", sign, []string{"MFA", ""}, 403, "separation-of-duties"},
		"the owner":             {"owen", one + "/approve", sign, []string{"MFA", ""}, 403, "separation-of-duties"},
		"without such a role":   {"bea", one + "/approve", sign, []string{"MFA", ""}, 403, "deny-by-default"},
		"in another's role":     {"qa", one + "/approve?propose=true", map[string]any{"role": "chief-engineer"}, nil, 403, "release-role"},
		"no proof":              {"qa", one + "/approve", sign, nil, 401, "decision-step-up"},
		"a code only":           {"qa", one + "/approve", sign, []string{"MFA", ""}, 403, "personal-key-required"},
		"a rejection as such":   {"qa", one + "/approve", w.signed("qa", one+"/reject", sign, keys["qa"]), nil, 403, "statement-fresh"},
		"revoked without proof": {"rel", one + "/revoke", map[string]any{"reason": "x"}, nil, 401, "decision-step-up"},
	})
	w.do("chief", "POST", one+"/approve", w.signed("chief", one+"/approve", sign, keys["chief"])).wants(t, 200)
	w.denies(id, counted, map[string]denied{
		"twice":                      {"chief", one + "/approve?propose=true", sign, nil, 403, "release-two-people"},
		"by one person in two roles": {"chief", one + "/approve?propose=true", map[string]any{"role": "qa-lead"}, nil, 403, "release-role"},
	})
	if got := w.do("aud", "GET", one+"/check", nil).wants(t, 200).json(t); got["authorised"] != false {
		t.Errorf("one signature authorises: %v", got)
	}
	done := w.do("qa", "POST", one+"/approve", w.signed("qa", one+"/approve", sign, keys["qa"])).wants(t, 200).json(t)
	if done["status"] != "AUTHORISED" || len(done["approvals"].([]any)) != 2 {
		t.Fatalf("%v", done)
	}
	check := func(query string, want bool) {
		got := w.do("aud", "GET", one+"/check"+query, nil).wants(t, 200).json(t)
		if got["authorised"] != want {
			t.Errorf("%s: %v", query, got)
		}
	}
	check("?platform=EDGE-1&strategy=CANARY", true)
	check("", true)
	check("?platform=EDGE-2&strategy=CANARY", false)
	check("?platform=EDGE-1&strategy=ROLLING", false)
	check("?at=2199-01-01T00:00:00Z", false)
	w.alike(w.do("o1", "GET", one, nil), w.do("o1", "GET", path+"/REL-AUTH-NOT", nil))
	w.alike(w.do("b1", "POST", one+"/approve?propose=true", sign), w.do("b1", "POST", path+"/REL-AUTH-NOT/approve?propose=true", sign))
	// One person suffices to stop it, with a code, whoever they are.
	w.do("rel", "POST", one+"/revoke", map[string]any{"reason": "The data were wrong"}, "MFA", "").wants(t, 200)
	w.denies(id, counted, map[string]denied{"revoked already": {"ira", one + "/revoke", map[string]any{"reason": "x"}, []string{"MFA", ""}, 409, "release-state"}})
	check("", false)
	if n := len(items(t, w.do("aud", "GET", path+"?model_id=NN-DLY-001&model_version=1.0.0&status=REVOKED", nil))); n != 1 {
		t.Errorf("%d releases", n)
	}
	page := w.do("aud", "GET", one+"/check", nil, "Accept", "text/html").wants(t, 200)
	if !strings.Contains(string(page.body), "release-platforms") {
		t.Errorf("%s", page.body)
	}
}

// TestReleaseRests: without an approved review there is none.
func TestReleaseRests(t *testing.T) {
	w := newWorld(t)
	w.freeze("P2")
	w.review("APPROVED")
	w.refuses(map[string]refused{"not decided": {"rel", "POST", "/v1/release-authorizations", `{"prr_id":"PRR-NN-DLY-001-1.0.0"}`, nil, 409, "prr_id"}})
}
