package hook

import (
	"context"
	"slices"
	"strings"
	"testing"

	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/registry"
	"caos/internal/report"
)

// cleared gives people a clearance.
func (w *world) cleared(people ...string) {
	w.t.Helper()
	for _, who := range people {
		w.must(w.auth.SetScope(context.Background(), w.as("admin"), who, auth.Scope{AllProjects: true, Clearances: []string{"Confidential"}}))
	}
}

// told are who got a notice whose subject has a text.
func (w *world) told(text string) (people []string) {
	w.t.Helper()
	w.do(func(tx *db.Tx) error {
		return tx.Query(`SELECT r.person FROM notice_recipients r JOIN notices n ON n.notice_id = r.notice_id WHERE n.subject LIKE $1 ORDER BY r.person`, []any{"%" + text + "%"},
			func(scan func(...any) error) error {
				var p string
				err := scan(&p)
				people = append(people, p)
				return err
			})
	})
	return people
}

// A model that is classified higher while its review goes on: what comes after is as secret
// as the model, is told to those alone who may know of it, and hides nothing from them.
func TestModelPRRRaised(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.reviewable()
		w.cleared("bo", "bea", "carl")
		x := w.voting(nil)
		w.do(func(tx *db.Tx) error {
			secret := "Confidential"
			_, err := w.registry.UpdateModel(tx, dly, registry.ModelChange{Classification: &secret}, 0, by("conny"))
			return err
		})
		for _, who := range []string{"bo", "bea", "carl"} {
			w.must(w.cast(x, who, report.Approved))
		}
		w.ends(x, engine.Succeeded)
		a, err := w.readiness.Authorization(context.Background(), dlyRelease)
		w.must(err)
		if a.Classification != "Confidential" {
			t.Errorf("the release authorisation of a model that is Confidential is %s", a.Classification)
		}
		if got := w.told(dlyPRR + ": APPROVED"); !slices.Equal(got, []string{"bea", "bo", "carl"}) {
			t.Errorf("the decision was told %v", got)
		}
		v := w.review(dlyPRR)
		if page := string(w.bytes(v.Editions[1].Digest)); !strings.Contains(page, "Late data") || !strings.Contains(page, "CONFIDENTIAL") {
			t.Error("the report hides a risk that is classified as the report is")
		}
	})
}

// What documents and packages that are classified higher than the model are called, and what
// people said of them, is in no edition and not in its facts.
func TestModelPRRWithholds(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	w.reviewable()
	for _, d := range []registry.Document{about("95-00-07-03-001", "2.0", registry.KindDefectList), about("95-00-07-02-001", "2.0", registry.KindSafetyAssessment),
		about("95-00-07-04-001", "2.0", registry.KindDocumentationReview)} {
		d.Classification, d.Title = "Confidential", "The sea state is a secret"
		var content any = "Text."
		if d.Kind == registry.KindDefectList {
			content = defects(map[string]any{"defect_id": "D-SECRET", "title": "sea state", "severity": "LOW", "status": "OPEN"})
		}
		w.register(d, content, by("vera"))
	}
	w.do(func(tx *db.Tx) error {
		_, err := w.registry.DecideDocument(tx, registry.Decision{DocumentID: "95-00-07-02-001", Version: "2.0", Approve: true, Statement: "the sea state is safe"}, by("sam"))
		return err
	})
	w.voting(nil)
	v := w.review(dlyPRR)
	for _, e := range v.Editions {
		for _, digest := range []string{e.Digest, e.FactsDigest} {
			if text := string(w.bytes(digest)); strings.Contains(text, "sea state") || strings.Contains(text, "D-SECRET") {
				at := strings.Index(text, "sea state")
				t.Errorf("edition %s tells what is classified: %s", e.Version, text[max(0, at-100):at+40])
			}
		}
	}
}
