package verify

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// TestCommandAsksChains: --ethereum is for packages and passports, and what the chain says
// decides.
func TestCommandAsksChains(t *testing.T) {
	w := newAnchoredWorld(t)
	w.report() // puts the anchors into the package
	dir := t.TempDir()
	put := func(name string, data []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	text, err := w.trust.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	file, trust := put("package", w.write()), put("trust.json", text)
	run := func(want int, part string, args ...string) {
		t.Helper()
		var out bytes.Buffer
		if got := Main(args, &out, &out, false); got != want || !strings.Contains(strings.Join(strings.Fields(out.String()), " "), part) {
			t.Errorf("%q: exit %d, want %d and %q\n%s", args, got, want, part, out.String())
		}
	}
	run(ExitOK, "on chain: not checked (give --ethereum URL", file, "--trust", trust)
	run(ExitOK, "recorded in block 90, 11 blocks deep", file, "--trust", trust, "--ethereum", w.node.url)
	run(ExitUsage, "did not answer", file, "--trust", trust, "--ethereum", "http://127.0.0.1:1")
	run(ExitUsage, "a node's address is https://", file, "--trust", trust, "--ethereum", "nowhere")

	// A node that answers the first questions and then is silent: what was asked for and not
	// answered by then is not fine.
	ends := make(chan struct{})
	questions := new(atomic.Int64)
	silent := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if questions.Add(1) > 2 {
			<-ends
			return
		}
		w.node.ServeHTTP(out, r)
	}))
	defer silent.Close()
	defer close(ends)
	run(ExitFailed, "--timeout was reached", file, "--trust", trust, "--ethereum", silent.URL, "--timeout", "2s")
	run(ExitUsage, "--timeout is a time", file, "--trust", trust, "--timeout", "0s")

	clear(w.node.anchors)
	run(ExitFailed, "is not recorded", file, "--trust", trust, "--ethereum", w.node.url, "--json")
}

func TestPassportOnChain(t *testing.T) {
	text, err := os.ReadFile("testdata/passport/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Honest struct {
			Credential string `json:"credential"`
			Trust      string `json:"trust"`
		} `json:"honest"`
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	honest := vectors.Honest
	trust, err := ParseTrust([]byte(honest.Trust))
	if err != nil {
		t.Fatal(err)
	}
	trust.Chains = []TrustChain{{1337, testRegistry}}
	node := newTestNode(t, 1337, testRegistry)
	check := func(trust Trust, nodes ...string) *PassportReport {
		t.Helper()
		r := verifyPassport(strings.NewReader(honest.Credential), int64(len(honest.Credential)), trust, PassportFiles{})
		var chains *Chains
		if len(nodes) > 0 {
			if chains, err = OpenChains(t.Context(), nodes, nil); err != nil {
				t.Fatal(err)
			}
		}
		r.onChain(t.Context(), chains, trust)
		return r
	}
	if r := check(trust); !r.OK || !strings.Contains(strings.Join(r.NotChecked, "\n"), "on chain: not checked (give --ethereum URL)") {
		t.Fatalf("%+v", r)
	}
	r := check(trust, node.url)
	if r.OK || len(r.Chain) != 1 || r.Chain[0].Recorded {
		t.Errorf("a passport that is not recorded: %+v", r)
	}
	hash := strings.TrimPrefix(r.Digest, hashPrefix)
	node.records[r.Passport.ModelID+" "+r.Passport.ModelVersion+" "+hash] = 80
	r = check(trust, node.url)
	if !r.OK || !r.Chain[0].Recorded || r.Chain[0].Block != 80 || r.Chain[0].Recorder != "0x"+strings.Repeat("ab", 20) {
		t.Errorf("%+v", r)
	}
	var b strings.Builder
	if err := r.Text(&b, false); err != nil || !strings.Contains(b.String(), "recorded in block 80, 21 blocks deep, at 2026-11-23T05:00:00") {
		t.Error(b.String(), err)
	}
	// What must not pass for an answer.
	for name, refuse := range map[string]func() *PassportReport{
		"another version recorded": func() *PassportReport {
			node.records = map[string]uint64{r.Passport.ModelID + " 9.9.9 " + hash: 80}
			return check(trust, node.url)
		},
		"another passport recorded": func() *PassportReport {
			node.records = map[string]uint64{r.Passport.ModelID + " " + r.Passport.ModelVersion + " " + strings.Repeat("00", 32): 80}
			return check(trust, node.url)
		},
		"a chain that nobody trusts": func() *PassportReport { return check(trust, newTestNode(t, 7, testRegistry).url) },
		"no chain trusted":           func() *PassportReport { none := trust; none.Chains = nil; return check(none, node.url) },
		"a recorder that is no address": func() *PassportReport {
			node.records = map[string]uint64{r.Passport.ModelID + " " + r.Passport.ModelVersion + " " + hash: 80}
			node.bend = func(m string, was any) any {
				if m == "eth_call" {
					s := was.(string)
					return s[:len(s)-64] + "1" + s[len(s)-63:]
				}
				return was
			}
			return check(trust, node.url)
		},
	} {
		if r := refuse(); r.OK {
			t.Errorf("%s: taken", name)
		}
		node.bend = nil
	}
}
