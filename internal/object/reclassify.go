package object

import "caos/internal/db"

// Reclassify changes, in tx, how what an owner keeps is classified: whoever may see the
// owner may see its objects, and nobody else.
func (s *Store) Reclassify(tx *db.Tx, owner, classification string) error {
	tx.Exec(`UPDATE object_refs SET classification = $1 WHERE owner = $2`, classification, owner)
	return tx.Err()
}
