package httpapi

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"caos/internal/verify"
)

// A passport is revoked with a second factor by those who may; from then on its row, its
// history and the list that it names say so to whoever asks, and its signature holds as before.
func TestPassportRevoked(t *testing.T) {
	w := newWorld(t)
	w.issue("P1")
	row := w.do("aud", "GET", "/v1/passports/"+passportID, nil).wants(t, 200).json(t)
	at := must(url.Parse(row["status_uri"].(string)))(t)
	if at.Host != "caos.test" || at.Path != "/dpp/status/1" || row["revoked_at"] != nil {
		t.Fatalf("%v", row)
	}
	trust := must(verify.ParseTrust(w.do("", "GET", "/v1/trust", nil).wants(t, 200).body))(t)
	cred := must(verify.CheckCredential(w.do("", "GET", passportPage+"/credential", nil).wants(t, 200).body, trust))(t)
	revoked := func() bool {
		a := w.do("", "GET", at.Path, nil).wants(t, 200)
		if got := a.header.Get("Content-Type"); got != credentialMedia || a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%v", a.header)
		}
		return must(must(verify.CheckStatusList(a.body, trust))(t).Revoked(cred))(t)
	}
	if revoked() {
		t.Error("revoked from the start")
	}
	path := "/v1/passports/" + passportID + "/revoke"
	why := map[string]any{"reason": "the report was withdrawn"}
	w.do("", "POST", path, why).wants(t, 401)
	w.do("cora", "POST", path, why).wants(t, 401)
	w.do("aud", "POST", path, why, "MFA", "").wants(t, 403)
	w.do("cora", "POST", path, map[string]any{}, "MFA", "").wants(t, 422)
	w.do("cora", "POST", path, map[string]any{"reason": " "}, "MFA", "").wants(t, 422)
	w.do("cora", "POST", "/v1/passports/DPP-NN-DLY-001-7.0.0-FREEZE/revoke", why, "MFA", "").wants(t, 404)
	if revoked() {
		t.Error("revoked by what was refused")
	}
	after := w.do("cora", "POST", path, why, "MFA", "").wants(t, 200).json(t)
	if after["revoked_by"] != "cora" || after["revoke_reason"] != "the report was withdrawn" || after["revoked_at"] == nil {
		t.Errorf("%v", after)
	}
	if !revoked() {
		t.Error("the list does not say so")
	}
	if a := w.do("cora", "POST", path, why, "MFA", "").wants(t, 409).json(t); a["rule"] != "passport-revoked" {
		t.Errorf("%v", a)
	}
	if text := string(w.do("aud", "GET", "/v1/passports", nil, "Accept", "text/html").wants(t, 200).body); !strings.Contains(text, `<td data-column="revoked"><span class="text short">20`) || !strings.Contains(text, `href="/dpp/`+passportID+`"`) {
		t.Errorf("the list does not say that it was revoked, or does not lead to its page:\n%s", text)
	}
	history := items(t, w.do("aud", "GET", "/v1/passports/"+passportID+"/history", nil))
	if len(history) != 2 {
		t.Fatalf("%v", history)
	}
	if latest := history[0].(map[string]any); latest["kind"] != "REVOKED" || !strings.HasPrefix(latest["subject"].(string), "AUDIT-") {
		t.Errorf("%v", history)
	}
	must(verify.CheckCredential(w.do("", "GET", passportPage+"/credential", nil).wants(t, 200).body, trust))(t)
	for _, odd := range []string{"/dpp/status/0", "/dpp/status/01", "/dpp/status/2", "/dpp/status/x", "/dpp/status/-1", "/dpp/status/99999999999999999999"} {
		w.do("", "GET", odd, nil).wants(t, 404)
	}
}

// What shows that the log has a passport is everybody's, as the passport is; its links are for
// those who may read it, and each leads somewhere.
func TestPassportProofAndLinks(t *testing.T) {
	w := newWorld(t)
	w.issue("P2")
	trust := must(verify.ParseTrust(w.do("", "GET", "/v1/trust", nil).wants(t, 200).body))(t)
	raw := w.do("", "GET", passportPage+"/credential", nil).wants(t, 200).body
	a := w.do("", "GET", passportPage+"/proof", nil).wants(t, 200)
	l := must(verify.CheckLoggedPassport(raw, a.body, trust))(t)
	if l.Subject.PassportID != passportID || a.header.Get("ETag") != `"`+verify.FormatHash(sha256.Sum256(a.body))+`"` {
		t.Errorf("%+v %v", l, a.header)
	}
	// Only what is said in words is searched: among the hashes and signatures in base64, two letters
	// of a project's name turn up by chance in every seventh proof.
	fields := a.json(t)
	if got := slices.Sorted(maps.Keys(fields)); !slices.Equal(got, []string{"checkpoint", "index", "leaf", "passport_id", "proof", "record", "record_id", "salt"}) {
		t.Errorf("the proof has the fields %v", got)
	}
	told := fmt.Sprint(fields["record"], fields["leaf"])
	if !strings.Contains(told, "credential_digest") || !strings.Contains(told, "commitment") {
		t.Errorf("the proof has no record or leaf: %s", a.body)
	}
	for _, secret := range []string{"secret remark", "cora", "owen", "EXEC-", "P2"} {
		if strings.Contains(told, secret) {
			t.Errorf("the proof says %q: %s", secret, told)
		}
	}
	w.do("", "GET", passportPage+"/annex", nil).wants(t, 404)
	w.do("", "GET", "/v1/passports/"+passportID+"/links", nil).wants(t, 401)
	w.do("newbie", "GET", "/v1/passports/"+passportID+"/links", nil).wants(t, 403)
	w.alike(w.do("p1", "GET", "/v1/passports/"+passportID+"/links", nil), w.do("p1", "GET", "/v1/passports/DPP-NN-DLY-001-7.0.0-FREEZE/links", nil))
	links := w.do("aud", "GET", "/v1/passports/"+passportID+"/links", nil).wants(t, 200).json(t)
	for _, name := range []string{"credential", "annex", "status", "baseline_manifest", "log_proof"} {
		at, ok := links[name].(string)
		if !ok {
			t.Errorf("%s: %v", name, links[name])
			continue
		}
		w.do("aud", "GET", must(url.Parse(at))(t).Path, nil).wants(t, 200)
	}
	// Classified, it is told to those alone who may read it.
	w.classify("Restricted")
	w.alike(w.do("", "GET", passportPage+"/proof", nil), w.do("", "GET", "/dpp/DPP-NN-DLY-001-7.0.0-FREEZE/proof", nil))
	w.do("aud", "GET", passportPage+"/proof", nil).wants(t, 404) // without the clearance
}
