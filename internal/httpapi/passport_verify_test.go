package httpapi

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"caos/internal/db"
	"caos/internal/dpp"
	"caos/internal/verify"
)

// vectorsPath has the vectors of internal/verify: honest and falsified passports.
const vectorsPath = "../verify/testdata/passport/vectors.json"

// The script of the page comes to the verdict that the vectors state, as internal/verify
// does, and the check that fails first is the one that has to.
func TestPassportVectorsInTheBrowser(t *testing.T) {
	vectors := must(os.ReadFile(vectorsPath))(t)
	b := newBrowser(t)
	b.open(scriptAlone(t, vectors))
	var results []struct {
		Name, Verdict, Want, Fails, First, Says string
	}
	b.run(`(async () => {
		const all = await (await fetch("/file.json")).json(), enc = new TextEncoder(), out = [];
		if (await caosPassport.able()) throw new Error(await caosPassport.able());
		for (const v of all.vectors) {
			const files = {};
			for (const [name, text] of Object.entries({ ...all.honest, ...v.files })) files[name] = enc.encode(text);
			for (const [name, text] of Object.entries(v.base64 || {})) files[name] = Uint8Array.from(atob(text), c => c.charCodeAt(0));
			const r = await caosPassport.verify(files, { now: Date.parse(all.now) });
			const first = r.checks.find(c => c.state === "bad");
			out.push({ Name: v.name, Want: v.verdict, Verdict: r.verdict, Fails: v.fails || "", First: first?.id || "", Says: first?.says || "" });
		}
		return out;
	})()`, &results)
	if len(results) < 40 {
		t.Errorf("%d results", len(results))
	}
	for _, r := range results {
		if r.Verdict != r.Want || r.First != r.Fails {
			t.Errorf("%s: %s at %q and not %s at %q: %s", r.Name, r.Verdict, r.First, r.Want, r.Fails, r.Says)
		}
	}
}

// scriptAlone serves the script on a page without a passport, beside a file.
func scriptAlone(t *testing.T, file []byte) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/file.json":
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(file)
		case "/script.js":
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = w.Write([]byte(passportScript))
		default:
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte(`<!doctype html><title>vectors</title><script src="/script.js"></script>`))
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// Both programs take the same texts, and bring them into the same form.
func TestCanonicalFormInTheBrowser(t *testing.T) {
	texts := [][]byte{[]byte(""), []byte("\ufeff{}"), []byte(`"\ud800"`), []byte(`"\ud83d\ude00"`), []byte(`"\u2028\u007f\u0000"`), []byte(`{"__proto__":1,"a":{"__proto__":[]}}`), []byte(`{"toString":1}`),
		[]byte(`{"\uD834\uDD1E":1,"\uFB33":2,"é":3,"\r":4,"1":5,"10":6,"2":7}`), []byte(`[-0,0e5,1E-7,1e21,123456789012345680,4.50,2e-3,5e-324,1.7976931348623157e308,9007199254740992,-9007199254740992,9007199254740993]`),
		[]byte(`[1e21]`), []byte(`[9007199254740991.5]`), []byte(`[-9007199254740993.5]`), []byte(`[1.]`), []byte(`[.5]`), []byte(`[+1]`), []byte(`[0x1]`), []byte(`[NaN]`), []byte(`nul`), []byte(`{"a":1,}`), []byte("[1\v]"), []byte("\"\t\"")}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // texts for a test
	for range 3000 {
		switch random.IntN(3) {
		case 0: // any number that a signed text may have, in one of its spellings
			f := math.Float64frombits(random.Uint64())
			texts = append(texts, []byte(strconv.FormatFloat(f, "efg"[random.IntN(3)], random.IntN(25)-1, 64)))
		case 1:
			texts = append(texts, []byte(strconv.FormatFloat(random.NormFloat64()*math.Pow(10, float64(random.IntN(40)-25)), 'g', -1, 64)))
		default: // a text with one byte that is another
			b := []byte(`{"b":["é😀\u00e9\ud83d\ude00\n",true,null,-1.5e3],"a":{"c":"\\/","\u0061":12}}`)
			b[random.IntN(len(b))] = byte(random.IntN(256))
			texts = append(texts, b)
		}
	}
	b := newBrowser(t)
	b.open(scriptAlone(t, must(json.Marshal(texts))(t)))
	var got []string
	b.run(`(async () => {
		const out = [];
		for (const text of await (await fetch("/file.json")).json()) out.push(await caosPassport.canonicalHash(Uint8Array.from(atob(text), c => c.charCodeAt(0))));
		return out;
	})()`, &got)
	taken := 0
	for i, text := range texts {
		want := ""
		if input, err := verify.ProofInput(text, []byte("{}")); err == nil {
			want = hex.EncodeToString(input[32:])
			taken++
		}
		if got[i] != want {
			t.Errorf("%q: %s and not %s", text, got[i], want)
		}
	}
	if taken < len(texts)/4 {
		t.Errorf("%d of %d texts are taken", taken, len(texts))
	}
}

// openPassport opens the page of the world's passport and has it verified.
func openPassport(w *world, b *browser) {
	w.t.Helper()
	b.open(w.url + passportPage)
	b.run(clickAndWait, nil)
}

// clickAndWait presses the button of a passport's page and waits for what it says.
const clickAndWait = `new Promise(done => {
	document.getElementById("check").click();
	const look = () => document.getElementById("check").disabled ? setTimeout(look, 5) : done();
	look();
})`

// shownChecks is what the page says after it was verified.
type shownChecks struct {
	Verdict string            // of the section, "" if the check did not come to one
	Says    string            // the sentence above the checks
	States  map[string]string // of each check by its name: ok, bad, none
	Took    float64           // milliseconds
}

func readChecks(b *browser) (s shownChecks) {
	b.t.Helper()
	b.run(`({
		Verdict: document.getElementById("verify").dataset.verdict || "",
		Says: document.getElementById("verdict").innerText,
		States: Object.fromEntries([...document.querySelectorAll("#checks > li")].map(li => [li.querySelector("strong").innerText, li.className])),
	})`, &s)
	return s
}

// A reader presses the button, and the browser finds by itself that all is well, within a
// second; what is revoked it calls revoked.
func TestPassportPageVerifiesItself(t *testing.T) {
	w := newWorld(t)
	w.issue("P1")
	b := newBrowser(t)
	for _, width := range []int{1200, 390} {
		b.widen(width)
		b.open(w.url + passportPage)
		b.picture("passport-" + strconv.Itoa(width))
		began := time.Now()
		b.run(clickAndWait, nil)
		took := time.Since(began)
		s := readChecks(b)
		if s.Verdict != "verified" || len(s.States) != 11 || !strings.Contains(s.Says, "10 checks hold") || !strings.Contains(s.Says, "that the server is honest is not") {
			t.Errorf("%+v", s)
		}
		for name, state := range s.States {
			if want := map[bool]string{true: "none", false: "ok"}[name == "Witnesses"]; state != want {
				t.Errorf("%s: %s", name, state)
			}
		}
		t.Logf("%d pixels: verified in %v: %s", width, took, s.Says)
		if took > time.Second {
			t.Errorf("the browser needed %v", took)
		}
		b.run(`document.querySelectorAll("#checks details").forEach((d, i) => { d.open = i < 2 })`, nil)
		b.picture("passport-verified-" + strconv.Itoa(width))
		var wide bool
		if b.run(`document.documentElement.scrollWidth > innerWidth`, &wide); wide {
			t.Errorf("at %d pixels the page has to be scrolled sideways", width)
		}
	}
	b.paper("passport-verified")
	const hash = "0x4e3a3754410177e6937ef1f84bba68ea139e8d1a2258c5f85db9f1cd715a1bdd"
	if err := w.db.Update(t.Context(), func(tx *db.Tx) error { return w.dpp.Confirmed(tx, passportID, hash, 1234, 1337) }); err != nil {
		t.Fatal(err)
	}
	b.open(w.url + passportPage)
	b.picture("passport-chain-390")
	err := w.db.Update(t.Context(), func(tx *db.Tx) error {
		_, err := w.dpp.Revoke(tx, passportID, "the report was withdrawn", dpp.By{Actor: "cora"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	b.ask("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": "dark"}}}, nil)
	openPassport(w, b)
	if s := readChecks(b); s.Verdict != "revoked" || s.States["Revocation"] != "bad" || s.States["Signature"] != "ok" || !strings.Contains(s.Says, "Revoked.") {
		t.Errorf("%+v", s)
	}
	b.picture("passport-revoked-390")
}

// Who may read a passport sees the annex on the same page after signing in as browsers do,
// and the check works for passports that are not for everybody.
func TestPassportPageForReaders(t *testing.T) {
	w := newWorld(t)
	w.issue("P1")
	page := func(who string) string {
		return string(w.do("", "GET", passportPage, nil, "Accept", "text/html", "Authorization", "Basic "+basic(w.tokens[who])).wants(t, 200).body)
	}
	for _, c := range []struct {
		who  string
		sees bool
	}{{"aud", true}, {"p1", true}, {"newbie", false}} {
		text := page(c.who)
		for _, part := range []string{"secret remark", "/files/card.md", "95-00-07-01-001", "every file with its digest", "Signed in as " + c.who} {
			if strings.Contains(text, part) != c.sees {
				t.Errorf("%s: %q is there: %v", c.who, part, !c.sees)
			}
		}
	}
	// Every link that a reader is given leads somewhere.
	for _, l := range regexp.MustCompile(`href="(/[^"]+)"`).FindAllStringSubmatch(page("aud"), -1) {
		w.do("aud", "GET", l[1], nil).wants(t, 200)
	}
	asked := w.do("", "GET", passportPage+"?signin", nil, "Accept", "text/html")
	none := w.do("", "GET", "/dpp/DPP-NONE?signin", nil, "Accept", "text/html")
	if asked.status != 401 || none.status != 401 || !strings.Contains(strings.Join(asked.header.Values("WWW-Authenticate"), " "), "Basic") {
		t.Errorf("%d %v, of one that is not there %d", asked.status, asked.header, none.status)
	}
	trust := must(verify.ParseTrust(w.do("", "GET", passportPage+"/trust", nil).wants(t, 200).body))(t)
	if now := must(verify.ParseTrust(w.do("", "GET", "/v1/trust", nil).wants(t, 200).body))(t); !reflect.DeepEqual(trust, now) {
		t.Errorf("%v and %v", trust, now)
	}
	w.do("root", "PUT", "/v1/users/aud/scope", `{"all_projects":true,"projects":[],"clearances":["Restricted"]}`, "MFA", "").wants(t, 200)
	w.classify("Restricted")
	w.do("", "GET", passportPage+"/trust", nil).wants(t, 404)
	b := newBrowser(t)
	b.ask("Network.enable", map[string]any{}, nil)
	b.ask("Network.setExtraHTTPHeaders", map[string]any{"headers": map[string]string{"Authorization": "Basic " + basic(w.tokens["aud"])}}, nil)
	for _, width := range []int{1200, 390} {
		b.widen(width)
		openPassport(w, b)
		if s := readChecks(b); s.Verdict != "verified" {
			t.Errorf("%+v", s)
		}
		b.picture("passport-reader-" + strconv.Itoa(width))
	}
}

// What does not fit is shown as failed, whoever sends it, and the reader's own trust file
// counts more than the server's.
func TestPassportPageFindsFalsehood(t *testing.T) {
	w := newWorld(t)
	w.issue("P1")
	other := newWorld(t) // another installation, whose keys are others
	b := newBrowser(t)
	b.widen(390)
	openPassport(w, b)
	foreign := string(other.do("", "GET", "/v1/trust", nil).wants(t, 200).body)
	own := string(w.do("", "GET", "/v1/trust", nil).wants(t, 200).body)
	choose := func(text string) shownChecks {
		t.Helper()
		quoted := string(must(json.Marshal(text))(t))
		b.run(`new Promise(done => {
			const files = new DataTransfer(), section = document.getElementById("verify"), verdict = document.getElementById("verdict");
			files.items.add(new File([`+quoted+`], "mine.json"));
			verdict.replaceChildren();
			section.dispatchEvent(new DragEvent("drop", { dataTransfer: files, cancelable: true }));
			const look = () => verdict.innerText === "" || document.getElementById("check").disabled ? setTimeout(look, 5) : done();
			look();
		})`, nil)
		return readChecks(b)
	}
	if s := choose(own); s.Verdict != "verified" || !strings.Contains(s.Says, "your own file mine.json") {
		t.Errorf("%+v", s)
	}
	if s := choose(foreign); s.Verdict != "failed" || s.States["The key is known"] != "bad" || s.States["Head of the log"] != "bad" || s.States["Signature"] != "ok" || s.States["Place in the log"] != "none" {
		t.Errorf("%+v", s)
	}
	b.picture("passport-foreign-390")
	if s := choose("{}"); s.Verdict != "failed" || s.States["Trust file"] != "bad" {
		t.Errorf("%+v", s)
	}
	// Hostile text from a file is shown as text.
	if s := choose(`{"<img src=x onerror=alert(1)>":1}`); s.Verdict != "failed" {
		t.Errorf("%+v", s)
	}
	var images int
	if b.run(`document.querySelectorAll("#checks img").length`, &images); images != 0 {
		t.Error("text became markup")
	}
}

// A member that a newer trust file may have is known to the script as well: it refuses what
// it does not know.
func TestScriptKnowsTrustFiles(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[verify.Trust](), reflect.TypeFor[verify.TrustKey](), reflect.TypeFor[verify.TrustChain](), reflect.TypeFor[verify.PassportProof]()} {
		for i := range typ.NumField() {
			name, optional, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if name == "" {
				continue
			}
			if want := name + map[bool]string{true: `?": "`, false: `: "`}[optional != ""]; !strings.Contains(passportScript, want) {
				t.Errorf("the script does not know %s of %s", name, typ)
			}
		}
	}
}
