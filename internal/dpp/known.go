package dpp

import "caos/internal/db"

// Known reports whether id is a passport.
func (p *Passports) Known(tx *db.Tx, id string) (bool, error) {
	var n int64
	err := tx.QueryRow(`SELECT COUNT(*) FROM passports WHERE passport_id = $1`, id).Scan(&n)
	return n > 0, err
}

// KnownOf reports whether id is a passport of a version of a model; "" stands for any version.
func (p *Passports) KnownOf(tx *db.Tx, id, modelID, version string) (bool, error) {
	var of string
	err := tx.Query(`SELECT version FROM passports WHERE passport_id = $1 AND model_id = $2`, []any{id, modelID}, func(scan func(...any) error) error { return scan(&of) })
	return of != "" && (version == "" || of == version), err
}
