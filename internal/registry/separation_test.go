package registry_test

import (
	"fmt"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/registry"
)

// The owner of a model, now or ever, judges nothing that stands against its freeze.
func TestOwnerTakesNothingOff(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.version(fcs, v210)
		otto, olga := registry.By{Actor: "otto"}, registry.By{Actor: "olga"}
		f.must(func(tx *db.Tx) error { // given away, it is still otto's
			_, err := f.UpdateModel(tx, fcs, registry.ModelChange{Owner: ptr("olga")}, 0, otto)
			return err
		})
		p, err := f.problem(registry.ProblemReport{ModelID: fcs, Title: "Oscillates", Severity: registry.High}, anna)
		f.ok(err)
		slow, err := f.problem(registry.ProblemReport{ModelID: fcs, Title: "Slow", Severity: registry.Low}, anna)
		f.ok(err)
		end := registry.Closing{Evidence: []string{"95-00-07-FCS-002"}, Statement: "gone"}
		closing := func(id string, by registry.By) error {
			return f.update(func(tx *db.Tx) error {
				_, err := f.CloseProblem(tx, id, end, by)
				return err
			})
		}
		const no = "separation-of-duties"
		for _, by := range []registry.By{otto, olga, {Actor: "bruno", RecordedBy: "otto"}} {
			refused(t, closing(p.ProblemID, by), caos.Denied, no, "owns or owned NN-FCS-001")
			refused(t, f.update(func(tx *db.Tx) error {
				_, err := f.UpdateProblem(tx, p.ProblemID, registry.ProblemUpdate{Severity: ptr(registry.Low)}, 0, by)
				return err
			}), caos.Denied, no, "owns or owned NN-FCS-001")
		}
		f.ok(closing(slow.ProblemID, otto)) // stands against nothing
		f.ok(closing(p.ProblemID, bruno))

		plan := registry.Document{DocumentID: "95-00-12-01-001", Kind: "vv-plan", ModelID: fcs, ModelVersion: v210}
		list := registry.Document{DocumentID: "95-00-11-01-001", Kind: "defect-list"}
		none := `{"model_id":"NN-FCS-001","model_version":"2.1.0","defects":[]}`
		_, err = f.register(plan, `{"requirements":[{"requirement_id":"REQ-1"},{"requirement_id":"REQ-2"}]}`, anna)
		f.ok(err)
		_, err = f.register(list, defects, anna)
		f.ok(err)
		plan.Version, list.Version = "1.1", "1.1"
		for _, by := range []registry.By{otto, olga} {
			_, err = f.register(plan, `{"requirements":[{"requirement_id":"REQ-1"}]}`, by)
			refused(t, err, caos.Denied, no, "the requirement REQ-2")
			_, err = f.register(plan, "a plan in words", by)
			refused(t, err, caos.Denied, no, "the requirement REQ-1")
			_, err = f.register(list, none, by)
			refused(t, err, caos.Denied, no, "the open defect D-3")
		}
		_, err = f.register(plan, `{"requirements":[{"requirement_id":"REQ-1"},{"requirement_id":"REQ-2"},{"requirement_id":"REQ-3"}]}`, otto)
		f.ok(err) // more is welcome
		_, err = f.register(list, none, bruno)
		f.ok(err)
	})
}

// A document on which a freeze rests is not made to be about something else, which would
// take what it says out of the freeze's sight.
func TestDocumentsStay(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.version(fcs, v210)
		f.version(fcs, "2.2.0")
		const next = `{"document_id":"95-00-07-01-001","model_id":"NN-FCS-001","model_version":"2.2.0","status":"PASSED","performed_on":"2026-11-20","tests":[]}`
		vv := registry.Document{DocumentID: "95-00-07-01-001", Kind: "vv-report"}
		_, err := f.register(vv, report("FAILED", test("T-1", "FAILED", "")), anna)
		f.ok(err)
		vv.Version = "2.0"
		_, err = f.register(vv, next, anna)
		wantError(t, err, caos.Conflict, "document_id", "is about NN-FCS-001@2.1.0")
		sa := registry.Document{DocumentID: "95-00-08-01-001", Kind: "safety-assessment", ModelID: fcs, ModelVersion: v210}
		_, err = f.register(sa, "unsafe", anna)
		f.ok(err)
		sa.Version, sa.ModelID, sa.ModelVersion, sa.Project = "2.0", "", "", "demo"
		_, err = f.register(sa, "about nothing", anna)
		wantError(t, err, caos.Conflict, "document_id", fmt.Sprintf("is about %s@%s", fcs, v210))
	})
}
