package evidence_test

import (
	"slices"
	"testing"

	"caos/internal/db"
	"caos/internal/evidence"
)

// A planned id is covered by any package of the model, and not while the latest item that
// names it failed for it. Mutation that makes this fail: readNeeds in another order.
func TestStandingIn(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		standing := func() (out *evidence.Standing) {
			t.Helper()
			w.ok(w.update(func(tx *db.Tx) (err error) {
				out, err = w.StandingIn(tx, model, "")
				return err
			}))
			return out
		}
		if s := standing(); s.Planned != 0 || len(s.Needs) != 0 || len(s.Items) != 0 {
			t.Fatalf("of nothing: %+v", s)
		}
		one, two := w.create(evidence.Package{ModelID: model}), w.create(evidence.Package{ModelID: model})
		w.plan(one.PackageID, []string{"REQ-1", "REQ-2"}, []string{"OBJ-1"})
		w.plan(two.PackageID, []string{"REQ-2"}, nil)
		need := func(id string) evidence.Need {
			t.Helper()
			s := standing()
			i := slices.IndexFunc(s.Needs, func(n evidence.Need) bool { return n.ID == id })
			if len(s.Needs) != 3 || i < 0 || s.Planned != 2 {
				t.Fatalf("%+v", s.Needs)
			}
			return s.Needs[i]
		}
		collect := func(pkg, name, body string) string {
			t.Helper()
			ins, err := w.collect(w.request(pkg, w.file(name, body), evidence.TestResult, evidence.Metadata{RequirementIDs: []string{"REQ-2"}}))
			w.ok(err)
			return ins.Item.EvidenceID
		}
		const bad = `<testsuite name="s" tests="1"><testcase classname="c" name="n"><failure message="no"/></testcase></testsuite>`
		const good = `<testsuite name="s" tests="1"><testcase classname="c" name="n"/></testsuite>`
		first := collect(two.PackageID, "bad.xml", bad)
		if n := need("REQ-2"); n.Covered || n.Failed != first {
			t.Errorf("failed: %+v", n)
		}
		second := collect(two.PackageID, "good.xml", good)
		if n := need("REQ-2"); !n.Covered || n.Failed != "" || !slices.Equal(n.Items, []string{second}) {
			t.Errorf("covered: %+v", n)
		}
		third := collect(one.PackageID, "again.xml", bad)
		if n := need("REQ-2"); n.Covered || n.Failed != third {
			t.Errorf("failed again: %+v", n)
		}
		if n := need("REQ-1"); n.Covered || n.Failed != "" {
			t.Errorf("never named: %+v", n)
		}
		if s := standing(); s.Total != 3 || len(s.Items) != 3 || s.Items[0].EvidenceID != third || s.Items[0].Name != "again.xml" || !slices.Equal(s.Items[0].Covers, []string{"REQ-2"}) {
			t.Errorf("%+v", s.Items[0])
		}
	})
}
