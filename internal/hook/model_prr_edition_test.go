package hook

import (
	"io"
	"strings"
	"testing"

	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/registry"
	"caos/internal/report"
)

// The last edition shows a version that is ready, with nothing in its way; what is classified
// higher than the model is told in no edition.
func TestModelPRREditions(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	w.reviewable()
	w.do(func(tx *db.Tx) error {
		_, err := w.registry.CreateProblem(tx, registry.ProblemReport{Title: "The sea state is a secret", Severity: registry.Low, ModelID: dly, Classification: "Confidential"}, by("mlo"))
		return err
	})
	x := w.voting(nil)
	for _, who := range []string{"bo", "bea", "carl"} {
		w.must(w.cast(x, who, report.Conditional, w.condition("Show the alarm")))
	}
	w.until(x.ID, "close-conditions", engine.StepWaiting)
	w.must(w.meet(x, "quin", w.review(dlyPRR).Conditions[0].ConditionID))
	w.ends(x, engine.Succeeded)
	v := w.review(dlyPRR)
	if len(v.Editions) != 3 {
		t.Fatalf("%+v", v.Editions)
	}
	for i, e := range v.Editions {
		page, facts := string(w.bytes(e.Digest)), string(w.bytes(e.FactsDigest))
		if strings.Contains(page, "sea state") || strings.Contains(facts, "sea state") || !strings.Contains(page, "PR-DLY-1") {
			t.Errorf("edition %s tells what is classified, or not that it exists", e.Version)
		}
		if strings.Contains(page, "is PRODUCTION_READY with the baseline") || i == 2 && !strings.Contains(page, "The version is PRODUCTION_READY") {
			t.Errorf("edition %s says that the version stands in its own way", e.Version)
		}
	}
}

// bytes reads an object.
func (w *world) bytes(digest string) []byte {
	w.t.Helper()
	f, size, err := w.objects.Open(digest)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	out := make([]byte, size)
	if _, err := io.ReadFull(f, out); err != nil {
		w.t.Fatal(err)
	}
	return out
}
