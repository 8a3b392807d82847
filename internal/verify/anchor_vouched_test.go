package verify

import (
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// Up to where a registry vouches for a package is said, where it stands farther on and no proof
// leads there; a registry with another root at the package's own size refuses it.
func TestWhatTheChainVouchesFor(t *testing.T) {
	w := newAnchoredWorld(t)
	if all := strings.Join(w.report(w.node).NotChecked, "\n"); strings.Contains(all, "it vouches for") {
		t.Errorf("a larger tree that has the package's vouches for all of it:\n%s", all)
	}
	w = newAnchoredWorld(t)
	size := w.info.Log.Size
	w.anchor(AnchorChain, "chain:1337:"+testRegistry, size-1)
	r := w.report(w.node)
	if all := strings.Join(r.NotChecked, "\n"); !r.OK || !strings.Contains(all, "it vouches for the first ") || !strings.Contains(all, "and not for what is younger") {
		t.Errorf("%v\n%s", r.OK, all)
	}
	w.node.record(testOrigin, size, tlog.Hash{9}, 91)
	if r := w.report(w.node); r.OK {
		t.Error("another root at the package's size")
	}
}

// Who cosigned the checkpoint of a passport's proof is said.
func TestPassportSaysWhoCosigned(t *testing.T) {
	r := &PassportReport{Passport: &PassportSubject{}, Logged: &PassportLogged{Witnesses: []PassportWitness{{"witness.example/first", "2026-11-23T10:00:00.000000Z"}}}}
	var b strings.Builder
	if err := r.Text(&b, false); err != nil || !strings.Contains(b.String(), "Cosigned witness.example/first, 2026-11-23T10:00:00") {
		t.Errorf("%v\n%s", err, b.String())
	}
}
