package readiness

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
)

func (g *register) plan() *CertificationPlan {
	g.t.Helper()
	var p *CertificationPlan
	g.ok(g.do(func(tx *db.Tx) (err error) {
		p, err = g.CreatePlan(tx, CertificationPlan{ModelID: fly, Regime: "EASA_CS-25", CatalogueID: "easa-cp-02", Project: "demo", Classification: "Internal"}, ada)
		return err
	}))
	return p
}

func (g *register) set(plan, id string, u ObjectiveChange, revision int64) (*PlannedObjective, error) {
	var o *PlannedObjective
	err := g.do(func(tx *db.Tx) (err error) {
		o, err = g.UpdateObjective(tx, ObjectiveAt{plan, id, revision}, u, ada)
		return err
	})
	return o, err
}

func TestPlan(t *testing.T) {
	eachRegister(t, func(t *testing.T, g *register) {
		g.ok(g.do(func(tx *db.Tx) error {
			p, err := g.PlanOf(tx, fly)
			if p != nil || PlanCoverage(p).Objectives != 0 {
				t.Errorf("a plan that nobody made: %+v", p)
			}
			return err
		}))
		c, err := CatalogueByID("easa-cp-02")
		g.ok(err)
		p := g.plan()
		if p.PlanID != "CPLAN-DLY-1" || len(p.Objectives) != len(c.Objectives) || p.CatalogueDigest != c.Digest || p.Objectives[0].ID != c.Objectives[0].ID {
			t.Fatalf("%+v", p)
		}
		opened := time.UnixMicro(g.clock.Load())
		for _, o := range p.Objectives {
			if !o.Applicable || o.Status != ObjectiveOpen || o.Revision != 1 {
				t.Fatalf("%+v", o)
			}
		}
		for _, bad := range []struct {
			field, rule string
			u           ObjectiveChange
		}{
			{"justification", "objective-justified", ObjectiveChange{Applicable: ptr(false), Justification: ptr(" ")}},
			{"evidence", "objective-evidence", ObjectiveChange{Status: ptr(ObjectiveShown)}},
			{"evidence[0]", "", ObjectiveChange{Evidence: &[]string{"OTHER-1"}}},
			{"evidence[1]", "", ObjectiveChange{Evidence: &[]string{"EVID-1", "EVID-1"}}},
			{"status", "", ObjectiveChange{Status: ptr(ObjectiveStatus("DONE"))}},
			{"status", "", ObjectiveChange{Applicable: ptr(false), Justification: ptr("no"), Status: ptr(ObjectiveInProgress)}},
			{"owner", "", ObjectiveChange{Owner: ptr("nobody")}},
			{"requirement_ids[0]", "", ObjectiveChange{RequirementIDs: &[]string{"a b"}}},
		} {
			_, err := g.set(p.PlanID, "DM-06", bad.u, 0)
			g.refused(err, caos.Invalid, bad.field, bad.rule)
		}
		_, err = g.set(p.PlanID, "NO-01", ObjectiveChange{}, 0)
		g.refused(err, caos.NotFound, "objective_id", "")
		_, err = g.set("CPLAN-NO-1", "DM-06", ObjectiveChange{}, 0)
		g.refused(err, caos.NotFound, "plan_id", "")

		o, err := g.set(p.PlanID, "DM-06", ObjectiveChange{Means: ptr("split by month"), Owner: ptr("bob"), Status: ptr(ObjectiveShown),
			RequirementIDs: &[]string{"REQ-D03"}, Evidence: &[]string{"EVID-1"}}, 1)
		g.ok(err)
		if o.Revision != 2 || o.Status != ObjectiveShown || o.UpdatedBy != "ada" {
			t.Errorf("%+v", o)
		}
		shown := time.UnixMicro(g.clock.Load())
		_, err = g.set(p.PlanID, "DM-06", ObjectiveChange{Means: ptr("x")}, 1)
		g.refused(err, caos.Conflict, "revision", "")
		_, err = g.set(p.PlanID, "DM-06", ObjectiveChange{Evidence: &[]string{}}, 0)
		g.refused(err, caos.Invalid, "evidence", "objective-evidence")
		_, err = g.set(p.PlanID, "HF-10", ObjectiveChange{Applicable: ptr(false), Justification: ptr("it does not speak")}, 0)
		g.ok(err)
		// what does not apply is not shown
		_, err = g.set(p.PlanID, "DM-06", ObjectiveChange{Applicable: ptr(false), Justification: ptr("no")}, 0)
		g.ok(err)
		_, err = g.set(p.PlanID, "DM-06", ObjectiveChange{Applicable: ptr(true)}, 0)
		g.ok(err)

		p, err = g.Plan(context.Background(), p.PlanID)
		g.ok(err)
		got := PlanCoverage(p)
		if got.Applicable != got.Objectives-1 || got.WithEvidence != 1 || got.Shown != 0 || !slices.Equal(got.NotApplicable, []string{"HF-10"}) ||
			len(got.Without) != got.Applicable-1 || slices.Contains(got.Without, "DM-06") || p.Revision != 5 {
			t.Errorf("revision %d, %+v", p.Revision, got)
		}
		g.ok(g.do(func(tx *db.Tx) error {
			for at, want := range map[time.Time]Coverage{opened: {Shown: 0, Applicable: got.Objectives}, shown: {Shown: 1, Applicable: got.Objectives}} {
				then, err := g.PlanAt(tx, fly, at)
				if err != nil {
					return err
				}
				if c := PlanCoverage(then); c.Shown != want.Shown || c.Applicable != want.Applicable {
					t.Errorf("at %s: %+v", at, c)
				}
			}
			before, err := g.PlanAt(tx, fly, opened.Add(-time.Hour))
			if before != nil {
				t.Error("a plan before there was one")
			}
			return err
		}))

		second := g.plan()
		g.ok(g.do(func(tx *db.Tx) error {
			latest, err := g.PlanOf(tx, fly)
			if err == nil && (latest.PlanID != second.PlanID || latest.PlanID != "CPLAN-DLY-2") {
				t.Errorf("the latest is %s", latest.PlanID)
			}
			return err
		}))
		list, _, err := g.Plans(context.Background(), PlanFilter{ModelID: fly}, "")
		g.ok(err)
		if len(list) != 2 || len(list[0].Objectives) != 0 {
			t.Errorf("%d plans", len(list))
		}
		for field, bad := range map[string]CertificationPlan{
			"catalogue_id": {ModelID: fly, CatalogueID: "no"}, "catalogue_version": {ModelID: fly, CatalogueID: "easa-cp-02", CatalogueVersion: "9.0.0"},
		} {
			g.refused(g.do(func(tx *db.Tx) error { _, err := g.CreatePlan(tx, bad, ada); return err }), caos.NotFound, field, "")
		}
		g.refused(g.do(func(tx *db.Tx) error {
			_, err := g.CreatePlan(tx, CertificationPlan{ModelID: "NN", CatalogueID: "easa-cp-02"}, ada)
			return err
		}), caos.Invalid, "model_id", "")
	})
}

// TestCatalogue holds the shipped catalogue to what it says of itself.
func TestCatalogue(t *testing.T) {
	all, err := Catalogues()
	if err != nil || len(all) != 1 {
		t.Fatalf("%d catalogues, %v", len(all), err)
	}
	c := all[0]
	families, checked := map[string]int{}, 0
	for _, o := range c.Objectives {
		family, _, _ := strings.Cut(o.ID, "-")
		families[family]++
		if o.Checked {
			checked++
		}
		if strings.Contains(strings.ToLower(o.Title), "the applicant") {
			t.Errorf("%s has the source's words: %s", o.ID, o.Title)
		}
	}
	for family, want := range map[string]int{"CO": 6, "CL": 1, "SA": 3, "IS": 3, "ET": 8, "DA": 10, "DM": 9, "LM": 16, "IMP": 12, "CM": 1, "QA": 1, "RU": 3,
		"SU": 2, "EXP": 19, "HF": 30, "SRM": 2, "ORG": 8} {
		if families[family] != want {
			t.Errorf("%s has %d objectives, want %d", family, families[family], want)
		}
	}
	if checked != len(c.Objectives)-families["ORG"] || !strings.Contains(c.Note, "Check against EASA's text") || !strings.HasPrefix(c.Digest, "SHA256:") {
		t.Errorf("%d of %d are checked; %s", checked, len(c.Objectives), c.Note)
	}
}

func FuzzCatalogue(f *testing.F) {
	for _, s := range []string{
		`{"catalogue_id":"a","version":"1.0.0","title":"T","source":"S","note":"","checked":"","objectives":[{"id":"A-1","chapter":"C","title":"T","checked":true}]}`,
		`{}`, `[`, `{"objectives":[{"id":"A"},{"id":"A"}]}`, `{"catalogue_id":"a","objectives":null}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseCatalogue(data)
		if err != nil {
			if k := caos.KindOf(err); k != caos.Invalid && k != caos.TooLarge {
				t.Errorf("%v", err)
			}
			return
		}
		if len(c.Objectives) == 0 || c.CatalogueID == "" || len(c.Digest) != 71 {
			t.Errorf("%+v", c)
		}
	})
}
