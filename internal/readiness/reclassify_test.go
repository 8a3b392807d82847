package readiness

import (
	"context"
	"testing"
	"time"

	"caos/internal/db"
)

// A model that is classified higher takes what is known of its readiness along, and one that
// is classified lower leaves it where it is.
func TestReclassify(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *desk) {
		c := d.open(delay("1.0.0"))
		other := delay("1.0.0")
		other.ModelID, other.BaselineID = "NN-FCS-001", "BL-FCS-1.0.0"
		o := d.open(other)
		d.must(func(tx *db.Tx) error {
			d.insertReview(tx, "PRR-1", "VOTING", time.Now())
			_, err := d.CreateRisk(tx, Risk{ModelID: fly, Title: "Drift", Likelihood: 2, Impact: 2, Owner: "sam", Project: "demo", Classification: "Internal"}, By{Actor: "vera"})
			return err
		})
		for _, step := range []struct{ to, is string }{{"Restricted", "Restricted"}, {"Public", "Restricted"}, {"Regulated", "Regulated"}} {
			d.must(func(tx *db.Tx) error { return d.Reclassify(tx, fly, step.to) })
			if got, err := d.Checklist(context.Background(), c.ChecklistID); err != nil || got.Classification != step.is {
				t.Errorf("%s: %s %v", step.to, got.Classification, err)
			}
			for _, table := range []string{"reviews", "risks"} {
				if n := d.count(`SELECT COUNT(*) FROM `+table+` WHERE classification = $1`, step.is); n != 1 {
					t.Errorf("%s: %s did not follow", step.to, table)
				}
			}
		}
		if got, err := d.Checklist(context.Background(), o.ChecklistID); err != nil || got.Classification != "Internal" {
			t.Errorf("another model: %s %v", got.Classification, err)
		}
	})
}
