package httpapi

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"caos"
	"caos/internal/anchor"
	"caos/internal/verify"
	"caos/internal/witness"
)

// A reader whose trust file asks for a witness gets a proof under the checkpoint that the
// witness has cosigned, though the log has grown since; before there is one, the page calls
// the check not complete.
func TestPassportPageWithWitnesses(t *testing.T) {
	w := newWorld(t)
	w.issue("P1")
	trust := must(w.log.Trust(t.Context()))(t)
	dir := filepath.Join(t.TempDir(), "witness")
	key := must(witness.Create(dir, "witness.example/one"))(t)
	folder := must(witness.Open(dir))(t)
	t.Cleanup(func() { _ = folder.Close() })
	server := must(witness.NewServer(folder, []witness.Log{must(witness.LogOf(trust))(t)}, w.now, slog.New(slog.DiscardHandler)))(t)
	s := httptest.NewServer(server)
	t.Cleanup(s.Close)
	stamps := caos.NewStamper(w.now, w.now(), 0, 2)
	anchors := must(anchor.Open(anchor.Options{DB: w.db, Log: w.log, Stamps: stamps, Alerts: w.alerts, Now: w.now, Logger: slog.New(slog.DiscardHandler),
		Settings: anchor.Settings{Witnesses: []anchor.Witness{{URL: s.URL, Key: key.String()}}, Quorum: 1}}))(t)
	w.api.Anchors = anchors

	trust.Witnesses, trust.WitnessQuorum = []string{key.String()}, 1
	file := string(must(json.Marshal(string(must(trust.Marshal())(t))))(t))
	b := newBrowser(t)
	b.widen(390)
	b.open(w.url + passportPage)
	look := func() shownChecks {
		t.Helper()
		b.run(`new Promise(done => {
			const files = new DataTransfer(), input = document.getElementById("trust"), verdict = document.getElementById("verdict");
			files.items.add(new File([`+file+`], "trust.json"));
			verdict.replaceChildren();
			input.files = files.files;
			input.dispatchEvent(new Event("change"));
			const look = () => verdict.innerText === "" || document.getElementById("check").disabled ? setTimeout(look, 5) : done();
			look();
		})`, nil)
		return readChecks(b)
	}
	if s := look(); s.Verdict != "incomplete" || s.States["Witnesses"] != "none" || !strings.Contains(s.Says, "Not complete.") {
		t.Errorf("%+v", s)
	}
	if _, err := anchors.Now(t.Context(), caos.Principal{ID: "root"}); err != nil {
		t.Fatal(err)
	}
	w.do("cora", "POST", "/v1/problem-reports", `{}`) // the log grows, whatever comes of it
	if s := look(); s.Verdict != "verified" || s.States["Witnesses"] != "ok" || !strings.Contains(s.Says, "11 checks hold") {
		t.Errorf("%+v", s)
	}
	b.picture("passport-witness-390")
	// The files that the page used satisfy the other verifier as well.
	raw := w.do("", "GET", passportPage+"/credential", nil).wants(t, 200).body
	proof := w.do("", "GET", passportPage+"/proof", nil).wants(t, 200).body
	if _, err := verify.CheckLoggedPassport(raw, proof, trust); err != nil {
		t.Error(err)
	}
}
