package engine

import (
	"caos"
	"caos/internal/db"
)

// Ended reports, inside a transaction, whether an execution is over. One that is not there
// is: what it held can be taken from it.
func Ended(tx *db.Tx, id string) (bool, error) {
	r, err := loadTx(tx, id)
	if caos.KindOf(err) == caos.NotFound {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return r.Status.Final(), nil
}
