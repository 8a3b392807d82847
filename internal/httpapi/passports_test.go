package httpapi

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"caos/internal/db"
	"caos/internal/dpp"
	"caos/internal/registry"
	"caos/internal/sign"
	"caos/internal/verify"
)

const (
	passportID   = "DPP-NN-DLY-001-1.0.0-FREEZE"
	passportPage = "/dpp/" + passportID
)

// issue freezes NN-DLY-001 1.0.0 in a project and has DPP.CREATE make its passport.
func (w *world) issue(project string) map[string]any {
	w.t.Helper()
	w.freeze(project)
	in := map[string]any{"model_id": "NN-DLY-001", "model_version": "1.0.0", "lifecycle_event": "FREEZE", "metadata": map[string]any{"note": "secret remark"},
		"artifacts": []string{"https://caos.test/v1/baselines/BL-DLY-1.0.0/files/card.md"}}
	x := w.do("cora", "POST", "/v1/hooks/CAOS.PROD.DPP.CREATE/executions", in, "Prefer", "wait=30").wants(w.t, 200).json(w.t)
	if x["status"] != "SUCCEEDED" {
		w.t.Fatalf("%v", x)
	}
	return x["output"].(map[string]any)
}

// classify sets the model's classification, as its owner would.
func (w *world) classify(class string) {
	w.t.Helper()
	err := w.db.Update(w.t.Context(), func(tx *db.Tx) error {
		_, err := w.registry.UpdateModel(tx, "NN-DLY-001", registry.ModelChange{Classification: &class}, 0, registry.By{Actor: "owen"})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestPassports(t *testing.T) {
	w := newWorld(t)
	out := w.issue("P1")
	if out["dpp_record_id"] != passportID || out["blockchain_tx_id"] != nil || out["blockchain_confirmed"] != false || len(out) != 5 {
		t.Errorf("%v", out)
	}
	// Every address in the output answers a GET, that of IPFS at the gateway here.
	w.do("", "GET", strings.TrimPrefix(out["dpp_verification_uri"].(string), "https://caos.test"), nil).wants(t, 200)
	cid := strings.TrimPrefix(out["dpp_uri"].(string), "ipfs://")
	raw := w.do("", "GET", "/ipfs/"+cid, nil).wants(t, 200)
	if verify.CID(sha256.Sum256(raw.body)) != cid {
		t.Error("the content identifier is not that of what comes")
	}
	row := w.do("aud", "GET", "/v1/passports/"+passportID, nil).wants(t, 200).json(t)
	if row["uri"] != out["dpp_uri"] || row["event"] != "FREEZE" || row["project"] != "P1" || row["verification_uri"] != out["dpp_verification_uri"] {
		t.Errorf("%v", row)
	}
	for _, q := range []string{"", "?model_id=NN-DLY-001", "?model_version=1.0.0&lifecycle_event=FREEZE&latest=true", "?project=P1"} {
		if n := len(items(t, w.do("p1", "GET", "/v1/passports"+q, nil))); n != 1 {
			t.Errorf("%s: %d passports", q, n)
		}
	}
	for _, q := range []string{"?model_id=NN-FCS-001", "?lifecycle_event=DEPLOYMENT", "?project=P2"} {
		if n := len(items(t, w.do("aud", "GET", "/v1/passports"+q, nil))); n != 0 {
			t.Errorf("%s: %d passports", q, n)
		}
	}
	annex := w.do("aud", "GET", "/v1/passports/"+passportID+"/annex", nil).wants(t, 200)
	trust := must(verify.ParseTrust(w.do("", "GET", "/v1/trust", nil).wants(t, 200).body))(t)
	cred := must(verify.CheckCredential(raw.body, trust))(t)
	if err := cred.CheckAnnex(annex.body); err != nil || !bytes.Contains(annex.body, []byte("secret remark")) || cred.ID != out["dpp_verification_uri"] {
		t.Errorf("%s: %v", annex.body, err)
	}
	w.do("", "GET", "/v1/passports/"+passportID+"/annex", nil).wants(t, 401)
	w.do("newbie", "GET", "/v1/passports/"+passportID+"/annex", nil).wants(t, 403)
	history := items(t, w.do("aud", "GET", "/v1/passports/"+passportID+"/history", nil))
	if len(history) != 1 {
		t.Errorf("%v", history)
	}
	w.refuses(map[string]refused{
		"odd event":     {"aud", "GET", "/v1/passports?lifecycle_event=LAUNCH", nil, nil, 422, "lifecycle_event"},
		"no passport":   {"aud", "GET", "/v1/passports/DPP-NONE", nil, nil, 404, "passport_id"},
		"no page":       {"", "GET", "/dpp/DPP-NONE", nil, nil, 404, "passport_id"},
		"no content":    {"", "GET", "/ipfs/" + verify.CID(sha256.Sum256(nil)), nil, nil, 404, "cid"},
		"no context":    {"", "GET", "/contexts/passport-v9", nil, nil, 404, "name"},
		"no parameter":  {"aud", "GET", "/v1/passports?colour=red", nil, nil, 422, ""},
		"an odd cursor": {"aud", "GET", "/v1/passports?cursor=x", nil, nil, 422, "cursor"},
	})
}

// Neither the size of an answer, nor a header, nor how soon it comes tells a passport that is
// not for everybody from one that is not there.
func TestHiddenPassportGivesNoHint(t *testing.T) {
	w := newWorld(t)
	w.issue("P1")
	cid := w.do("aud", "GET", "/v1/passports/"+passportID, nil).wants(t, 200).json(t)["cid"].(string)
	w.classify("Restricted")
	ask := func(method, path, accept string) string {
		t.Helper()
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("Accept", accept)
		r.Header.Set("Origin", "https://elsewhere.example")
		rec := httptest.NewRecorder()
		began := time.Now()
		w.api.ServeHTTP(rec, r)
		if took := time.Since(began); took < absentAfter || rec.Code != 404 {
			t.Errorf("%s %s: %d after %v", method, path, rec.Code, took)
		}
		header := rec.Header().Clone()
		header.Del("Caos-Trace-Id")
		return fmt.Sprint(rec.Code, header, rec.Body.Len())
	}
	none := "/dpp/DPP-NN-DLY-001-7.0.0-FREEZE"
	for there, other := range map[string]string{passportPage: none, passportPage + "/credential": none + "/credential", passportPage + "/proof": none + "/proof",
		passportPage + "/trust": none + "/trust", "/ipfs/" + cid: "/ipfs/" + verify.CID(sha256.Sum256(nil))} {
		for _, accept := range []string{"", "text/html", "application/vc"} {
			for _, method := range []string{"GET", "HEAD"} {
				if a, b := ask(method, there, accept), ask(method, other, accept); a != b {
					t.Errorf("%s %s %q:\n%s\n%s", method, there, accept, a, b)
				}
			}
		}
	}
}

// What takes longer than the first step ends at another one.
func TestHiddenPassportWaitsInSteps(t *testing.T) {
	for _, took := range []time.Duration{0, time.Millisecond, absentAfter, absentAfter + 20*time.Microsecond, 7*absentAfter - 1} {
		if rest := untilStep(took); rest <= 0 || (took+rest)%absentAfter != 0 {
			t.Errorf("after %v it waits %v", took, rest)
		}
	}
}

// Whoever may not know of a project hears of its passports what they hear of none.
func TestPassportNeedToKnow(t *testing.T) {
	w := newWorld(t)
	w.issue("P2")
	for _, p := range []string{"", "/annex", "/history"} {
		w.alike(w.do("p1", "GET", "/v1/passports/"+passportID+p, nil), w.do("p1", "GET", "/v1/passports/DPP-NN-DLY-001-7.0.0-FREEZE"+p, nil))
	}
	if n := len(items(t, w.do("p1", "GET", "/v1/passports", nil))); n != 0 {
		t.Errorf("%d passports of another project", n)
	}
	// The public part is for everybody until the model is classified Restricted or higher.
	public := []string{passportPage, passportPage + "/credential", "/ipfs/" + w.do("aud", "GET", "/v1/passports/"+passportID, nil).wants(t, 200).json(t)["cid"].(string)}
	absent := []string{"/dpp/DPP-NN-DLY-001-7.0.0-FREEZE", "/dpp/DPP-NN-DLY-001-7.0.0-FREEZE/credential", "/ipfs/" + verify.CID(sha256.Sum256(nil))}
	for _, p := range public {
		w.do("", "GET", p, nil).wants(t, 200)
	}
	for _, class := range []string{"Restricted", "Regulated"} {
		w.classify(class)
		for i, p := range public {
			for _, accept := range []string{"", "text/html", "application/vc"} {
				for _, auth := range []string{"", "Bearer nonsense"} {
					headers := []string{"Accept", accept}
					if auth != "" {
						headers = append(headers, "Authorization", auth)
					}
					there, none := w.do("", "GET", p, nil, headers...), w.do("", "GET", absent[i], nil, headers...)
					if there.status != none.status || there.status == 200 || accept != "text/html" && there.json(t)["detail"] != none.json(t)["detail"] {
						t.Errorf("%s %s %q: %d %s, of one that is not there %d %s", class, p, auth, there.status, there.body, none.status, none.body)
					}
				}
			}
			w.do("p1", "GET", p, nil).wants(t, 404)
		}
		// A telephone that read the QR code finds the way in, whether there is something or not.
		for _, p := range []string{passportPage, "/dpp/DPP-NN-NOT-001-1.0.0-FREEZE"} {
			if text := string(w.do("", "GET", p, nil, "Accept", "text/html").wants(t, 404).body); !strings.Contains(text, `<a href="?signin">Sign in</a>`) || !strings.Contains(text, "<p>there is no such passport, or it is not for you</p>") {
				t.Errorf("%s: %s", p, text)
			}
		}
		w.do("", "GET", passportPage, nil).wants(t, 404)
	}
	w.classify("Public")
	w.do("", "GET", passportPage, nil).wants(t, 200)
	// Of one that was issued while the model was classified, the page of another says nothing.
	if err := w.db.Update(t.Context(), func(tx *db.Tx) error {
		tx.Exec(`INSERT INTO passport_claims (passport_id, model_id, version, event, n, claimed_by, claimed_at) VALUES ('DPP-NN-DLY-001-1.0.0-CERTIFICATION', 'NN-DLY-001', '1.0.0', 'CERTIFICATION', 1, 'cora', 1)`)
		const same = `digest, size, annex_digest, annex_size, baseline_id, root_digest, key_id, issuer, issued_at, issued_by, execution_id, record_id, chain_tx_id, chain_reason, project`
		tx.Exec(`INSERT INTO passports (passport_id, model_id, version, event, n, cid, classification, ` + same + `)
			SELECT 'DPP-NN-DLY-001-1.0.0-CERTIFICATION', model_id, version, 'CERTIFICATION', n, cid || 'x', 'Restricted', ` + same + ` FROM passports`)
		return tx.Err()
	}); err != nil {
		t.Fatal(err)
	}
	if a := w.do("", "GET", passportPage, nil).wants(t, 200); strings.Contains(string(a.body), "CERTIFICATION") {
		t.Errorf("%s", a.body)
	}
}

func TestPassportPage(t *testing.T) {
	w := newWorld(t)
	w.issue("P1")
	page := w.do("", "GET", passportPage, nil, "Accept", "text/html,application/xhtml+xml,*/*;q=0.8").wants(t, 200)
	text := string(page.body)
	csp := page.header.Get("Content-Security-Policy")
	if !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") || !strings.Contains(csp, "default-src 'none'; style-src 'sha256-") || !strings.Contains(csp, "script-src 'sha256-") || strings.Contains(csp, "unsafe") {
		t.Errorf("%v", page.header)
	}
	for _, want := range []string{
		"<h1>NN-DLY-001 version 1.0.0</h1>", "width=device-width", "The signature holds", "BL-DLY-1.0.0", "caos-verify " + passportID + ".json --trust trust.json",
		`href="/dpp/` + passportID + `/credential"`, `href="/v1/trust"`, "It has no transaction on a chain", `href="/contexts/passport-v2"`, `<svg class="qr"`, "Verify in this browser", "did:key:z6Mk", "ipfs://bafkrei",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	text = strings.Replace(strings.Replace(text, passportCSS, "", 1), "<script>"+passportScript+"</script>", "", 1)
	for _, secret := range []string{"secret remark", "card.md", "weights", "cora", "owen", "95-00-07", "<script", "EXEC-"} {
		if strings.Contains(text, secret) {
			t.Errorf("the public page says %q", secret)
		}
	}
	// Every link on it leads somewhere.
	links := regexp.MustCompile(`href="([^"]+)"`).FindAllStringSubmatch(text, -1)
	for _, l := range links {
		if l[1] == "?signin" {
			w.do("", "GET", passportPage+l[1], nil, "Accept", "text/html").wants(t, 401)
			continue
		}
		who := ""
		if strings.HasPrefix(l[1], "/v1/passports/") {
			who = "aud" // the page says that these are not for all
		}
		w.do(who, "GET", l[1], nil).wants(t, 200)
	}
	if len(links) < 8 {
		t.Errorf("%d links", len(links))
	}
	saved := w.do("", "GET", passportPage+"/credential", nil).wants(t, 200)
	if saved.header.Get("Content-Disposition") != `attachment; filename="`+passportID+`.json"` || !strings.HasPrefix(saved.header.Get("Content-Digest"), "sha-256=:") {
		t.Errorf("%v", saved.header)
	}
	for accept, want := range map[string]string{
		"": "text/html; charset=utf-8", "*/*": "text/html; charset=utf-8", "application/vc": "application/vc", "application/ld+json": "application/ld+json",
		"application/json": "application/json", "application/json, text/html;q=0.5": "application/json", "application/*": "application/vc",
		"image/png": "text/html; charset=utf-8", "application/vc;q=0": "text/html; charset=utf-8", "text/html;q=0.1, application/ld+json;q=0.2": "application/ld+json",
	} {
		a := w.do("", "GET", passportPage, nil, "Accept", accept).wants(t, 200)
		if a.header.Get("Content-Type") != want || !strings.Contains(a.header.Get("Vary"), "Accept") {
			t.Errorf("%q: %v", accept, a.header)
		}
		if !strings.HasPrefix(want, "text/html") && !bytes.Equal(a.body, saved.body) {
			t.Errorf("%q: another credential", accept)
		}
	}
	for _, name := range []string{"credentials-v2", "passport-v1", "passport-v2"} {
		if a := w.do("", "GET", "/contexts/"+name, nil).wants(t, 200); a.header.Get("Content-Type") != jsonLDMedia || !bytes.Contains(a.body, []byte("@context")) {
			t.Errorf("%v", a.header)
		}
	}
	head := w.do("", "HEAD", passportPage, nil).wants(t, 200)
	if len(head.body) != 0 {
		t.Errorf("%s", head.body)
	}
}

// A stored credential that was changed is never shown as a passport.
func TestDamagedPassport(t *testing.T) {
	w := newWorld(t)
	w.issue("P1")
	digest := w.do("aud", "GET", "/v1/passports/"+passportID, nil).wants(t, 200).json(t)["digest"].(string)
	hex := strings.TrimPrefix(digest, "SHA256:")
	path := filepath.Join(w.objdir, hex[:2], hex[2:])
	text := must(os.ReadFile(path))(t)
	bad := bytes.Replace(text, []byte("DAL-"), []byte("DAL_"), 1)
	if bytes.Equal(bad, text) {
		bad[len(bad)/2] ^= 1
	}
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, bad, fs.FileMode(0o600))); err != nil {
		t.Fatal(err)
	}
	for _, accept := range []string{"text/html", "application/vc"} {
		if a := w.do("", "GET", passportPage, nil, "Accept", accept); a.status < 500 || strings.Contains(string(a.body), "The signature holds") {
			t.Errorf("%s: %d %s", accept, a.status, a.body)
		}
	}
}

// A passport's history shows evidence to those alone who may see the evidence.
func TestPassportEvidence(t *testing.T) {
	w := newWorld(t)
	w.issue("P1")
	pkg := w.do("cert", "POST", "/v1/packages", `{"model_id":"NN-DLY-001","project":"P1"}`).wants(t, 201).json(t)["package_id"].(string)
	uri := w.do("vera", "POST", "/v1/objects", junit).wants(t, 201).json(t)["uri"].(string)
	in := map[string]any{"model_id": "NN-DLY-001", "evidence_type": "TEST_RESULT", "evidence_category": "VERIFICATION", "artifact_uri": uri,
		"artifact_metadata": map[string]any{"requirement_ids": []string{"REQ-1"}}, "certification_package_id": pkg}
	out := w.do("vera", "POST", "/v1/hooks/CAOS.PROD.CERT.EVIDENCE/executions", in, "Prefer", "wait=30").wants(t, 200).json(t)["output"].(map[string]any)
	if out["dpp_record_updated"] != true {
		t.Errorf("%v", out)
	}
	list := items(t, w.do("aud", "GET", "/v1/passports/"+passportID+"/history", nil))
	if len(list) != 2 || fmt.Sprint(list[0]) == "" || !strings.Contains(fmt.Sprint(list[0]), out["evidence_id"].(string)) {
		t.Errorf("%v", list)
	}
	if text := string(w.do("", "GET", passportPage, nil).wants(t, 200).body); !strings.Contains(text, "1 item of certification evidence was linked") || strings.Contains(text, "EVID-") {
		t.Errorf("%s", text)
	}
}

func TestNegotiate(t *testing.T) {
	for _, c := range []struct{ accept, want string }{
		{"", "a/x"}, {"*/*", "a/x"}, {"b/y", "b/y"}, {"b/*", "b/y"}, {"c/z", "a/x"}, {"a/x;q=0.1,b/y;q=0.2", "b/y"}, {"B/Y", "b/y"},
		{"b/y;q=2, a/x;q=0.1", "a/x"}, {"b/y;q=x", "a/x"}, {"*/*;q=0.1, b/y", "b/y"}, {"a/x;q=0, b/*;q=0.1", "b/y"}, {"b/y;v=1;q=0.9, a/x;q=0.8", "b/y"},
		{strings.Repeat("b/y,", 4000), "a/x"}, {";;,,=", "a/x"}, {"b/y;q=NaN", "a/x"},
	} {
		if got := negotiate([]string{c.accept}, "a/x", "b/y"); got != c.want {
			t.Errorf("%.40q: %s", c.accept, got)
		}
	}
}

func FuzzNegotiate(f *testing.F) {
	f.Add("text/html;q=0.1, application/*;q=0.5")
	f.Fuzz(func(t *testing.T, accept string) {
		if got := negotiate([]string{accept}, "a/x", "b/y"); got != "a/x" && got != "b/y" {
			t.Fatalf("%q: %q", accept, got)
		}
	})
}

// A passport outlives its key: one that was retired, and one that was stolen after the
// passport was recorded.
func TestPassportOutlivesItsKey(t *testing.T) {
	w := newWorld(t)
	w.issue("P1")
	key := w.do("aud", "GET", "/v1/passports/"+passportID, nil).wants(t, 200).json(t)["key_id"].(string)
	must(w.log.KeyRotated(t.Context(), sign.Passport, "root"))(t)
	page := string(w.do("", "GET", passportPage, nil).wants(t, 200).body)
	if !strings.Contains(page, "The signature holds") || strings.Contains(page, "The key was reported stolen later") {
		t.Errorf("after a rotation: %s", page)
	}
	must(w.log.KeyCompromised(t.Context(), key, "root"))(t)
	page = string(w.do("", "GET", passportPage, nil).wants(t, 200).body)
	if !strings.Contains(page, "The signature holds") || !strings.Contains(page, "The key was reported stolen later") {
		t.Errorf("after it was stolen: %s", page)
	}
}

// What stands in the way of relying on a passport is said before anything else, and nothing
// that is shown can become markup.
func TestPassportPageWarnings(t *testing.T) {
	sheet := newPassportSheet()
	row := &dpp.Passport{PassportID: passportID, ModelID: "NN-DLY-001", Version: "1.0.0", Event: dpp.Freeze, Classification: "Restricted"}
	show := func(v *passportView) string {
		t.Helper()
		var b bytes.Buffer
		v.Row = row
		if err := sheet.page.Execute(&b, v); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	broken := show(&passportView{Problem: "<script>alert(1)</script>"})
	if !strings.Contains(broken, "Do not rely on this passport") || strings.Contains(broken, "<script>") || strings.Contains(broken, "The signature holds") || strings.Contains(broken, "What it says") {
		t.Errorf("%s", broken)
	}
	closed := show(&passportView{Holds: true, Closed: true, Sandbox: true, Subject: verify.PassportSubject{ModelFamily: "<b>x</b>"}})
	if !strings.Contains(closed, "SANDBOX.") || !strings.Contains(closed, "Not public.") || !strings.Contains(closed, "Restricted") || strings.Contains(closed, "<b>x") || !strings.Contains(closed, "not assessed") {
		t.Errorf("%s", closed)
	}
	hash, at := "0x"+strings.Repeat("ab", 32), time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	row.ChainTxID, row.ChainID, row.ChainBlock, row.RevokedAt, row.RevokeReason = &hash, "1", 77, &at, "a secret reason"
	chained := show(&passportView{Holds: true, Explorer: "https://explorer.test/tx/" + hash})
	if !strings.Contains(chained, `href="https://explorer.test/tx/`+hash) || !strings.Contains(chained, "Confirmed in block 77 of chain 1") || strings.Contains(chained, "has no transaction") ||
		!strings.Contains(chained, "Revoked.") || !strings.Contains(chained, "2026-11-23 12:00:00 UTC") || strings.Contains(chained, "a secret reason") {
		t.Errorf("%s", chained)
	}
	if reader := show(&passportView{Holds: true, SignedIn: "aud"}); !strings.Contains(reader, "a secret reason") {
		t.Errorf("%s", reader)
	}
	for n, want := range map[int64]string{0: "0 bytes", 1: "1 byte", 999: "999 bytes", 1000: "1.0 kB (1000 bytes)", 999_960: "1.0 MB (999960 bytes)", 12_000_000_000: "12.0 GB (12000000000 bytes)"} {
		if got := sizeInWords(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
