package readiness

import (
	"context"

	"caos/internal/db"
)

// Risk returns a risk, or a NotFound error.
func (r *Readiness) Risk(ctx context.Context, id string) (*Risk, error) { return nil, notYet() }

// RiskIn returns a risk as a transaction sees it.
func (r *Readiness) RiskIn(tx *db.Tx, id string) (*Risk, error) { return nil, notYet() }

// Risks lists risks, latest first. cursor is "" and then the one returned.
func (r *Readiness) Risks(ctx context.Context, f RiskFilter, cursor string) ([]*Risk, string, error) {
	return nil, "", notYet()
}

// maxRisksOf bounds the register of one model as a review reads it.
const maxRisksOf = 1000

// RisksOf returns the risks that concern a version of a model, closed ones too, the heaviest
// that stand first; an empty version means all. There are at most 1000 of one model.
func (r *Readiness) RisksOf(tx *db.Tx, modelID, version string) ([]*Risk, error) {
	return nil, notYet()
}
