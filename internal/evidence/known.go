package evidence

import "caos/internal/db"

// Known reports whether id is a package, the model of a package, or an evidence item.
func (r *Repository) Known(tx *db.Tx, id string) (bool, error) {
	var n int64
	err := tx.QueryRow(`SELECT (SELECT COUNT(*) FROM packages WHERE package_id = $1 OR model_id = $1)
		+ (SELECT COUNT(*) FROM evidence WHERE evidence_id = $1)`, id).Scan(&n)
	return n > 0, err
}
