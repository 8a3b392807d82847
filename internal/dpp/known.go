package dpp

import "caos/internal/db"

// Known reports whether id is a passport.
func (p *Passports) Known(tx *db.Tx, id string) (bool, error) {
	var n int64
	err := tx.QueryRow(`SELECT COUNT(*) FROM passports WHERE passport_id = $1`, id).Scan(&n)
	return n > 0, err
}
