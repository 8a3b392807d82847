package readiness

import (
	"context"
	"time"

	"caos"
	"caos/internal/db"
)

func getDecision(q query, id string) (*Decision, error) {
	if !storable(id) {
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
	w := newWhere()
	w.is("subject", f.Subject)
	w.is("model_id", f.ModelID)
	w.is("person", f.Person)
	w.is("project", f.Project)
	return page(r.pool(ctx), w, listing[Decision]{decisionColumns, "decisions", "decided_at", "decision_id", f.Limit, scanDecision, func(d *Decision) (time.Time, string) {
		return d.DecidedAt, d.DecisionID
	}}, cursor)
}
