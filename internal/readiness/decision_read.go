package readiness

import (
	"context"
	"time"

	"caos"
	"caos/internal/db"
)

func getDecision(q query, id string) (*Decision, error) {
	if !db.Storable(id) {
		id = ""
	}
	var d *Decision
	err := q(`SELECT `+decisionColumns+` FROM decisions WHERE decision_id = $1`, []any{id}, func(scan func(...any) error) (err error) {
		d, err = scanDecision(scan)
		return err
	})
	if err == nil && d == nil {
		err = caos.Errorf(caos.NotFound, "there is no decision %.80s", id).WithField("decision_id").WithHint("caos decision list shows those there are")
	}
	return d, err
}

// DecisionByID returns a decision, or a NotFound error.
func (r *Readiness) DecisionByID(ctx context.Context, id string) (*Decision, error) {
	return getDecision(r.pool(ctx), id)
}

// DecisionIn returns a decision as a transaction sees it.
func (r *Readiness) DecisionIn(tx *db.Tx, id string) (*Decision, error) {
	return getDecision(within(tx), id)
}

// DecisionFilter chooses decisions; empty fields match all.
type DecisionFilter struct {
	Subject, ModelID, Person, Project string
	Limit                             int // of a page; 0 means 100, the most is 1000
}

// Decisions lists decisions, latest first. cursor is "" and then the one returned.
func (r *Readiness) Decisions(ctx context.Context, f DecisionFilter, cursor string) ([]*Decision, string, error) {
	w := new(db.Where)
	w.Is("subject", f.Subject)
	w.Is("model_id", f.ModelID)
	w.Is("person", f.Person)
	w.Is("project", f.Project)
	return db.Page(r.pool(ctx), w, db.Listing[*Decision]{Columns: decisionColumns, From: "decisions", At: "decided_at", ID: "decision_id", Limit: f.Limit,
		Scan: scanDecision,
		Key:  func(d *Decision) (time.Time, string) { return d.DecidedAt, d.DecisionID },
	}, cursor)
}
