package hook

import (
	"strings"
	"testing"

	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/readiness"
	"caos/internal/registry"
)

// The report says in a person's own words why an item was answered without evidence, and how
// many items were not answered because they do not apply.
func TestModelPRRReasons(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	c := "CHK-DLY-1.0.0"
	w.reviewable("5.4", "7.3")
	w.do(func(tx *db.Tx) error {
		_, err := w.readiness.CompleteItem(tx, readiness.ItemRef{ChecklistID: c, ItemID: "5.4"},
			readiness.Completion{Statement: "Nobody else uses the machine; shown by the rota", NotApplicable: true}, readiness.Proof{}, w.as("quin"))
		if err != nil {
			return err
		}
		_, err = w.readiness.CompleteItem(tx, readiness.ItemRef{ChecklistID: c, ItemID: "7.3"},
			readiness.Completion{Statement: "The course took place", Evidence: []string{"EVID-DLY-7"}}, readiness.Proof{}, w.as("mlo"))
		return err
	})
	w.do(func(tx *db.Tx) error {
		long := strings.Repeat("what it is for\n", 250)
		_, err := w.registry.UpdateModel(tx, dly, registry.ModelChange{Description: &long}, 0, by("conny"))
		return err
	})
	w.voting(nil)
	e := w.review(dlyPRR).Editions[0]
	page, facts := string(w.bytes(e.Digest)), string(w.bytes(e.FactsDigest))
	for _, want := range []string{"Nobody else uses the machine; shown by the rota", "The course took place", "1 not applicable", "1 criterion is not applicable"} {
		if !strings.Contains(page, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	if n := strings.Count(page, "what it is for"); n == 0 || n > 40 {
		t.Errorf("the first page says %d times what the model is for", n)
	}
	if !strings.Contains(facts, `"reasons":{"5.4":"Nobody else uses the machine; shown by the rota","7.3":"The course took place"}`) {
		t.Error("the facts do not have the reasons")
	}
}
