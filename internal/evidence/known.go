package evidence

import "caos/internal/db"

// Known reports whether id is a package, the model of a package, or an evidence item.
func (r *Repository) Known(tx *db.Tx, id string) (bool, error) {
	var n int64
	err := tx.QueryRow(`SELECT (SELECT COUNT(*) FROM packages WHERE package_id = $1 OR model_id = $1)
		+ (SELECT COUNT(*) FROM evidence WHERE evidence_id = $1)`, id).Scan(&n)
	return n > 0, err
}

// KnownOf reports whether id is an evidence item of a model that shows something: one that
// failed shows nothing.
func (r *Repository) KnownOf(tx *db.Tx, id, modelID string) (bool, error) {
	var n int64
	err := tx.QueryRow(`SELECT COUNT(*) FROM evidence WHERE evidence_id = $1 AND model_id = $2 AND verdict <> $3`, id, modelID, string(Failed)).Scan(&n)
	return n > 0, err
}
