package readiness

import (
	"caos/internal/db"
)

// ReviewOf returns the review of a baseline that is going on, or else the one that was
// opened last, with its votes and conditions; nil if there was none.
func (r *Readiness) ReviewOf(tx *db.Tx, baselineID string) (*Review, error) {
	if !db.Storable(baselineID) {
		return nil, nil
	}
	var id string
	err := tx.Query(`SELECT prr_id FROM reviews WHERE baseline_id = $1
		ORDER BY CASE WHEN status IN ('PREPARING', 'VOTING', 'CONDITIONAL') THEN 0 ELSE 1 END, opened_at DESC, prr_id DESC LIMIT 1`,
		[]any{baselineID}, func(scan func(...any) error) error { return scan(&id) })
	if err != nil || id == "" {
		return nil, err
	}
	return r.ReviewIn(tx, id)
}

// Origin is the name of the log that decisions are recorded in.
func (r *Readiness) Origin() string { return r.origin }
