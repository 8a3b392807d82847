package httpapi

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/readiness"
)

// TestReview takes a review through votes and conditions: each person with their own key or
// second factor.
func TestReview(t *testing.T) {
	w := newWorld(t)
	w.freeze("P2") // of a DAL-B model: decisions are signed
	path, execution := w.review("CONDITIONAL")
	bea, _ := w.enrol("bea", "cora")
	ben, _ := w.enrol("ben", "cora")
	chief, _ := w.enrol("chief", "cora")
	shown := w.evidenceDocument("95-00-09-00-001", "P2")
	due := w.now().AddDate(0, 0, 14).UTC().Format(time.DateOnly)
	conditional := map[string]any{"outcome": "CONDITIONAL", "conditions": []map[string]any{{"text": "Show the March run", "owner": "ben", "due_on": due}}}

	proposal := w.do("bea", "POST", path+"/votes?propose=true", conditional).wants(t, 200).json(t)
	if proposal["personal_key"] != true || !strings.Contains(proposal["meaning"].(string), "Show the March run (owner ben, due "+due+")") {
		t.Errorf("%v", proposal)
	}
	if v := w.do("aud", "GET", path, nil).wants(t, 200).json(t); len(v["votes"].([]any)) != 0 {
		t.Errorf("a proposal was counted: %v", v)
	}
	after := w.do("bea", "POST", path+"/votes", w.signed("bea", path+"/votes", conditional, bea)).wants(t, 200).json(t)
	votes := after["votes"].([]any)
	if len(votes) != 1 || votes[0].(map[string]any)["person"] != "bea" || votes[0].(map[string]any)["proof"] != "sshsig" {
		t.Fatalf("%v", after)
	}
	w.do("ben", "POST", path+"/votes", w.signed("ben", path+"/votes", conditional, ben)).wants(t, 200)
	// The route of executions asks the same, and takes the vote in the same way.
	asked := w.signed("chief", path+"/votes", conditional, chief)
	w.do("chief", "POST", "/v1/executions/"+execution+"/decisions", map[string]any{"topic": "vote", "payload": asked}, "MFA", "").wants(t, 200)
	v := w.do("aud", "GET", path, nil).wants(t, 200).json(t)
	conditions := v["conditions"].([]any)
	if v["status"] != "CONDITIONAL" || v["board_decision"] != "CONDITIONAL" || len(conditions) != 1 {
		t.Fatalf("%v", v)
	}
	id := conditions[0].(map[string]any)["condition_id"].(string)
	end := map[string]any{"evidence": []string{shown}, "note": "seen"}
	closing := path + "/conditions/" + id + "/close"
	counted := w.votes(v["prr_id"].(string))
	other, _ := w.enrol("qa", "cora")
	w.denies(v["prr_id"].(string), counted, map[string]denied{
		"its owner":         {"ben", closing, end, []string{"MFA", ""}, 403, "condition-by-another"},
		"no proof":          {"bea", closing, end, nil, 401, "decision-step-up"},
		"only a code":       {"bea", closing, end, []string{"MFA", ""}, 403, "personal-key-required"},
		"unknown evidence":  {"bea", closing, with(end, "evidence", []string{"EVID-NOT-1"}), []string{"MFA", ""}, 422, "evidence-known"},
		"after the vote":    {"bea", path + "/votes", conditional, []string{"MFA", ""}, 409, "votes-open"},
		"signed for a vote": {"qa", closing, with(w.signed("qa", closing, end, other), "note", "changed"), nil, 403, "statement-fresh"},
	})
	w.refuses(map[string]refused{
		"no such condition": {"bea", "POST", path + "/conditions/COND-NOT-1/close?propose=true", end, nil, 404, "condition_id"},
		"no evidence":       {"bea", "POST", closing + "?propose=true", with(end, "evidence", []string{}), nil, 422, "evidence"},
		"an odd id":         {"bea", "POST", closing + "?propose=true", with(end, "evidence", []string{"../x"}), nil, 422, ""},
		"of no role":        {"mo", "POST", closing + "?propose=true", end, nil, 403, ""},
	})
	w.do("qa", "POST", closing, w.signed("qa", closing, end, other)).wants(t, 200)
	if v := w.do("aud", "GET", path, nil).wants(t, 200).json(t); v["decision"] != "APPROVED" || v["board_decision"] != "CONDITIONAL" || v["status"] != "DECIDED" {
		t.Errorf("%v", v)
	}
	w.until(execution, engine.Succeeded)
	list := items(t, w.do("aud", "GET", "/v1/decisions?subject="+v["prr_id"].(string), nil))
	if len(list) != 3 {
		t.Fatalf("%v", list)
	}
	d := w.do("aud", "GET", "/v1/decisions/"+list[0].(map[string]any)["decision_id"].(string), nil).wants(t, 200).json(t)
	if d["proof"] != "sshsig" || d["statement"] == "" || d["audit_record_id"] == "" {
		t.Errorf("%v", d)
	}
	w.alike(w.do("o1", "GET", "/v1/decisions/"+d["decision_id"].(string), nil), w.do("o1", "GET", "/v1/decisions/DEC-NOT", nil))
	if n := len(items(t, w.do("o1", "GET", "/v1/decisions", nil))); n != 0 {
		t.Errorf("somebody of another project sees %d decisions", n)
	}
}

// TestVotesRefused goes through every vote that must not count.
func TestVotesRefused(t *testing.T) {
	w := newWorld(t)
	w.freeze("P2")
	path, execution := w.review("CONDITIONAL")
	const prr = "PRR-NN-DLY-001-1.0.0"
	votes := path + "/votes"
	counted := w.votes(prr)
	reject := map[string]any{"outcome": "REJECTED", "comment": "no"}
	bea, beaID := w.enrol("bea", "cora")
	ben, _ := w.enrol("ben", "")
	someone := newKey(t)
	for _, who := range []string{"owen", "rel", "vera"} { // who had a hand in the version sits on boards, too
		w.do("root", "PUT", "/v1/users/"+who+"/roles/prr-board", nil, "MFA", "").wants(t, 200)
	}
	good := w.signed("bea", votes, reject, bea)
	wrongSpace := with(good, "signature", sshsig(t, bea, "file", good["statement"].(string)))
	w.denies(prr, counted, map[string]denied{
		"the owner":                 {"owen", votes, reject, []string{"MFA", ""}, 403, "separation-of-duties"},
		"who asked for it":          {"rel", votes, reject, []string{"MFA", ""}, 403, "separation-of-duties"},
		"the V&V author":            {"vera", votes, reject, []string{"MFA", ""}, 403, "separation-of-duties"},
		"the owner's proposal":      {"owen", votes + "?propose=true", reject, nil, 403, "separation-of-duties"},
		"without a role that votes": {"qa", votes, reject, []string{"MFA", ""}, 403, "deny-by-default"},
		"no proof at all":           {"bea", votes, reject, nil, 401, "decision-step-up"},
		"only a code":               {"bea", votes, reject, []string{"MFA", ""}, 403, "personal-key-required"},
		"better than possible":      {"bea", votes + "?propose=true", with(reject, "outcome", "APPROVED"), nil, 409, "best-possible"},
		"no conditions":             {"bea", votes + "?propose=true", with(reject, "outcome", "CONDITIONAL"), nil, 422, "condition-needed"},
		"another's statement":       {"ben", votes, good, nil, 403, "statement-fresh"},
		"another outcome":           {"bea", votes, with(good, "outcome", "CONDITIONAL", "conditions", []map[string]any{{"text": "x", "owner": "ben", "due_on": "2199-01-01"}}), nil, 403, "statement-fresh"},
		"another comment":           {"bea", votes, with(good, "comment", "yes"), nil, 403, "statement-fresh"},
		"for another namespace":     {"bea", votes, wrongSpace, nil, 403, "signature"},
		"not a signature":           {"bea", votes, with(good, "signature", "x"), nil, 403, "signature"},
		"a key that is nobody's":    {"bea", votes, w.signed("bea", votes, reject, someone), nil, 403, "key-not-active"},
		"a key not countersigned":   {"ben", votes, w.signed("ben", votes, reject, ben), nil, 403, "key-not-active"},
		"another report":            {"bea", votes, w.signedOver(t, "bea", votes, reject, bea), nil, 403, "statement-fresh"},
		"through executions, for another": {"bea", "/v1/executions/" + execution + "/decisions", map[string]any{"topic": "vote", "actor_id": "ben", "payload": good},
			[]string{"MFA", ""}, 403, "personal-decision"},
		"through executions, the owner": {"owen", "/v1/executions/" + execution + "/decisions", map[string]any{"topic": "vote", "payload": reject}, []string{"MFA", ""}, 403, "separation-of-duties"},
	})
	w.refuses(map[string]refused{
		"unknown outcome":     {"bea", "POST", votes, with(reject, "outcome", "MAYBE"), nil, 422, "outcome"},
		"unknown key":         {"bea", "POST", votes, with(reject, "person", "ben"), nil, 422, ""},
		"half a proof":        {"bea", "POST", votes, with(reject, "statement", good["statement"]), nil, 422, "signature"},
		"the other half":      {"bea", "POST", votes, with(reject, "signature", good["signature"]), nil, 422, "statement"},
		"a proposal's proof":  {"bea", "POST", votes + "?propose=true", good, nil, 422, "statement"},
		"a long comment":      {"bea", "POST", votes, with(reject, "comment", strings.Repeat("x", 501)), nil, 422, "comment"},
		"no owner":            {"bea", "POST", votes + "?propose=true", with(reject, "outcome", "CONDITIONAL", "conditions", []map[string]any{{"text": "x", "owner": "nobody", "due_on": "2199-01-01"}}), nil, 422, "conditions[0].owner"},
		"due in the past":     {"bea", "POST", votes + "?propose=true", with(reject, "outcome", "CONDITIONAL", "conditions", []map[string]any{{"text": "x", "owner": "ben", "due_on": "2020-01-01"}}), nil, 422, "conditions[0].due_on"},
		"a service":           {"bot", "POST", votes, reject, nil, 403, ""},
		"an unknown review":   {"bea", "POST", "/v1/reviews/PRR-NOT/votes", reject, nil, 404, "prr_id"},
		"unknown query":       {"bea", "POST", votes + "?proposed=true", reject, nil, 422, ""},
		"a body without end":  {"bea", "POST", votes, `{"outcome":"REJECTED","comment":"` + strings.Repeat("x", 2<<20) + `"}`, nil, 413, ""},
		"of another project":  {"p1", "POST", votes, reject, nil, 403, ""},
		"no such condition":   {"bea", "POST", path + "/conditions/COND-NOT-1/close?propose=true", map[string]any{"evidence": []string{"95-00-07-01-001"}}, nil, 404, "condition_id"},
		"nobody":              {"", "POST", votes, reject, nil, 401, ""},
		"not a proper method": {"bea", "PUT", votes, reject, nil, 405, ""},
	})
	// A key that was revoked after the statement was signed counts no more.
	w.do("bea", "POST", "/v1/keys/"+beaID+"/revoke", `{}`).wants(t, 200)
	w.denies(prr, counted, map[string]denied{"a revoked key": {"bea", votes, good, nil, 403, "key-not-active"}})
	// An old statement is none, however well it is signed.
	again, _ := w.enrol("bea", "cora")
	late := w.signed("bea", votes, reject, again)
	w.shift.Add(int64(11 * time.Minute))
	w.denies(prr, counted, map[string]denied{"a replayed statement": {"bea", votes, late, nil, 403, "statement-fresh"}})
	voted := w.signed("bea", votes, reject, again)
	w.do("bea", "POST", votes, voted).wants(t, 200)
	if v := w.do("aud", "GET", path, nil).wants(t, 200).json(t); v["status"] != "DECIDED" || v["decision"] != "REJECTED" {
		t.Errorf("%v", v)
	}
	w.denies(prr, counted, map[string]denied{
		"twice":           {"bea", votes, voted, nil, 409, "votes-open"},
		"after the close": {"chief", votes, reject, []string{"MFA", ""}, 409, "votes-open"},
	})
}

// signedOver signs a statement about another report than the one that is voted on.
func (w *world) signedOver(t *testing.T, who, path string, body map[string]any, key ssh.Signer) map[string]any {
	t.Helper()
	p := w.do(who, "POST", path+"?propose=true", body).wants(t, 200).json(t)
	statement := strings.Replace(p["statement"].(string), p["digest"].(string), "SHA256:"+strings.Repeat("a", 64), 1)
	return with(with(body, "statement", statement), "signature", sshsig(t, key, "caos-decision@v1", statement))
}

// TestVoteTwice: a second vote is refused by name while the vote is open.
func TestVoteTwice(t *testing.T) {
	w := newWorld(t)
	w.freeze("P2")
	path, _ := w.review("APPROVED")
	bea, _ := w.enrol("bea", "cora")
	yes := map[string]any{"outcome": "APPROVED"}
	voted := w.signed("bea", path+"/votes", yes, bea)
	w.do("bea", "POST", path+"/votes", voted).wants(t, 200)
	w.denies("PRR-NN-DLY-001-1.0.0", w.votes("PRR-NN-DLY-001-1.0.0"), map[string]denied{
		"the same again":      {"bea", path + "/votes", voted, nil, 409, "decided-already"},
		"a proposal for that": {"bea", path + "/votes?propose=true", with(yes, "outcome", "REJECTED"), nil, 409, "decided-already"},
	})
}

// TestReviewReport: who may read the report gets the bytes that are voted on.
func TestReviewReport(t *testing.T) {
	w := newWorld(t)
	w.freeze("P2")
	path, _ := w.review("APPROVED")
	a := w.do("bea", "GET", path+"/report", nil).wants(t, 200)
	if !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") || !strings.Contains(string(a.body), "A report") || !strings.HasPrefix(a.header.Get("Content-Digest"), "sha-256=:") ||
		!strings.HasPrefix(a.header.Get("Content-Disposition"), "inline") {
		t.Errorf("%v %s", a.header, a.body)
	}
	for _, want := range []string{"sandbox", "default-src 'none'", "frame-ancestors 'none'"} {
		if got := a.header.Get("Content-Security-Policy"); !strings.Contains(got, want) || strings.Contains(got, "script") {
			t.Errorf("policy %q lacks %q", got, want)
		}
	}
	for query, want := range map[string]string{"?format=pdf": "application/pdf", "?format=json": "application/json", "?format=html&version=1.0": "text/html"} {
		if a := w.do("bea", "GET", path+"/report"+query, nil).wants(t, 200); !strings.HasPrefix(a.header.Get("Content-Type"), want) {
			t.Errorf("%s: %v", query, a.header)
		}
	}
	if a := w.do("bea", "GET", path+"/report", nil, "Accept", "application/pdf").wants(t, 200); !strings.HasPrefix(string(a.body), "%PDF") {
		t.Errorf("%s", a.body)
	}
	w.refuses(map[string]refused{
		"why at the zero time": {"bea", "GET", "/v1/models/NN-DLY-001/versions/1.0.0/why/prr?at=0001-01-01T00:00:00Z", nil, nil, 422, "at"},
		"odd format":           {"bea", "GET", path + "/report?format=exe", nil, nil, 422, "format"},
		"odd query":            {"bea", "GET", path + "/report?x=1", nil, nil, 422, "x"},
		"twice":                {"bea", "GET", path + "/report?format=pdf&format=html", nil, nil, 422, "format"},
		"no edition":           {"bea", "GET", path + "/report?version=9.0", nil, nil, 404, "version"},
		"other project":        {"o1", "GET", path + "/report", nil, nil, 404, "prr_id"},
	})
	w.alike(w.do("o1", "GET", path, nil), w.do("o1", "GET", "/v1/reviews/PRR-NOT", nil))
	w.alike(w.do("b1", "POST", path+"/votes?propose=true", `{"outcome":"REJECTED"}`), w.do("b1", "POST", "/v1/reviews/PRR-NOT/votes?propose=true", `{"outcome":"REJECTED"}`))
	if n := len(items(t, w.do("o1", "GET", "/v1/reviews", nil))); n != 0 {
		t.Errorf("somebody of another project sees %d reviews", n)
	}
	if n := len(items(t, w.do("bea", "GET", "/v1/reviews?model_id=NN-DLY-001&model_version=1.0.0&status=VOTING", nil))); n != 1 {
		t.Errorf("%d reviews", n)
	}
	page := w.do("bea", "GET", path, nil, "Accept", "text/html").wants(t, 200)
	if !strings.Contains(string(page.body), "PRR-NN-DLY-001-1.0.0") || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") {
		t.Errorf("%s", page.body)
	}
	// What has become secret since is nobody's who lacks the clearance.
	w.classify("Restricted")
	w.do("bea", "GET", path, nil).wants(t, http.StatusNotFound)
	w.do("bea", "GET", path+"/report", nil).wants(t, http.StatusNotFound)
}

// TestBoardIsPersonal: no token of somebody who had a hand in the version votes.
func TestBoardIsPersonal(t *testing.T) {
	w := newWorld(t)
	w.freeze("P2")
	path, _ := w.review("APPROVED")
	err := w.db.Update(t.Context(), func(tx *db.Tx) error {
		barred, err := w.ready.Barred(tx, readiness.Subject{ModelID: "NN-DLY-001", Version: "1.0.0"})
		for _, id := range []string{"owen", "rel", "vera", "cora"} {
			if len(barred[id]) == 0 {
				t.Errorf("%s is not barred: %v", id, barred)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if a := w.do("bea", "POST", path+"/votes?propose=true", `{"outcome":"APPROVED"}`); a.status != 200 {
		t.Errorf("%s", a.body)
	}
}
