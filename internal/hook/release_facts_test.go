package hook

import (
	"context"
	"slices"
	"strings"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/report"
)

// What comes up between a review and the last signature under its release stops the release:
// the signature is refused, and "why" says the same before anybody signs.
func TestReleaseFactsGetWorse(t *testing.T) {
	t.Parallel()
	for name, worse := range map[string]func(w *world){
		"a high problem": func(w *world) {
			w.do(func(tx *db.Tx) error {
				_, err := w.registry.CreateProblem(tx, registry.ProblemReport{Title: "Wrong sign", Severity: registry.High, ModelID: dly}, by("mlo"))
				return err
			})
		},
		"a critical risk": func(w *world) { w.risk("RISK-DLY-9", 5, 5) },
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Run(t, func(t *testing.T, d *db.DB) {
				w := newWorld(t, d)
				w.reviewable()
				x := w.voting(nil)
				for _, who := range []string{"bo", "bea", "carl"} {
					w.must(w.cast(x, who, report.Approved))
				}
				w.ends(x, engine.Succeeded)
				var s readiness.Subject
				ask := func() (err error) {
					w.do(func(tx *db.Tx) error {
						if s, err = newModelPRR(w.parts).subject(tx, PRRInput{ModelID: dly, BaselineID: w.review(dlyPRR).BaselineID}); err != nil {
							return err
						}
						err = StillReady(w.parts)(tx, s)
						return nil
					})
					return err
				}
				why := func() Verdict {
					t.Helper()
					x, err := w.WhyRelease(context.Background(), w.as("rel"), Subject{Model: dly, Version: dlyVersion})
					if err != nil {
						t.Fatal(err)
					}
					i := slices.IndexFunc(x.Gates, func(v Verdict) bool { return v.Gate == "release-facts" })
					if i < 0 {
						t.Fatalf("why does not ask for the facts: %+v", x.Gates)
					}
					return x.Gates[i]
				}
				if err := ask(); err != nil || !why().Pass {
					t.Fatalf("as the review found it: %v, %+v", err, why())
				}
				worse(w)
				if e := caos.AsError(ask()); e == nil || e.Kind != caos.Conflict || e.Rule != "release-facts" || e.Hint == "" {
					t.Errorf("the signature: %+v", e)
				}
				if v := why(); v.Pass || v.Finding.Remedy == "" {
					t.Errorf("why: %+v", v)
				}
			})
		})
	}
}

// An answer that rests on a document which was rejected since is none.
func TestAnswersRestOnRejected(t *testing.T) {
	item := func(id, status string, evidence ...string) *readiness.Item {
		return &readiness.Item{ItemID: id, Status: readiness.ItemStatus(status), Criticality: "CRITICAL", Evidence: evidence}
	}
	f := &prrFacts{Checklist: &readiness.Checklist{Items: []*readiness.Item{
		item("1.1", "COMPLETE", "EVID-1", "95-00-01-001"), item("1.2", "COMPLETE", "95-00-01-002"), item("1.3", "NOT_APPLICABLE"), item("1.4", "PLANNED", "95-00-01-001")}}}
	f.unanswer([]string{"95-00-01-001"})
	critical, _ := f.Checklist.Open()
	if len(critical) != 2 || critical[0].ItemID != "1.1" || critical[1].ItemID != "1.4" || !strings.Contains(critical[0].Note, "95-00-01-001") {
		t.Errorf("open: %+v", critical)
	}
}
