package httpapi

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"caos/internal/db"
	"caos/internal/dpp"
)

// vectorsPath has the vectors of internal/verify: honest and falsified passports.
const vectorsPath = "../verify/testdata/passport/vectors.json"

// The script of the page comes to the verdict that the vectors state, as internal/verify
// does, and the check that fails first is the one that has to.
func TestPassportVectorsInTheBrowser(t *testing.T) {
	vectors := must(os.ReadFile(vectorsPath))(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/vectors.json":
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(vectors)
		case "/script.js":
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = w.Write([]byte(passportScript))
		default:
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte(`<!doctype html><title>vectors</title><script src="/script.js"></script>`))
		}
	}))
	t.Cleanup(s.Close)
	b := newBrowser(t)
	b.open(s.URL)
	var results []struct {
		Name, Verdict, Want, Fails, First, Says string
	}
	b.run(`(async () => {
		const all = await (await fetch("/vectors.json")).json(), enc = new TextEncoder(), out = [];
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
	err := w.db.Update(t.Context(), func(tx *db.Tx) error {
		_, err := w.dpp.Revoke(tx, passportID, "the report was withdrawn", dpp.By{Actor: "cora"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	openPassport(w, b)
	if s := readChecks(b); s.Verdict != "revoked" || s.States["Revocation"] != "bad" || s.States["Signature"] != "ok" || !strings.Contains(s.Says, "Revoked.") {
		t.Errorf("%+v", s)
	}
	b.picture("passport-revoked-390")
}
