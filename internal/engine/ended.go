package engine

import (
	"context"

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

// GivenUp reports whether an execution has ended or is being compensated. A node that is in a
// long Call learns from it that somebody cancelled the execution on another node, whose word
// reaches no Call here.
func GivenUp(ctx context.Context, d *db.DB, id string) (bool, error) {
	r, err := scanRow(d.QueryRow(ctx, selectRow, id).Scan)
	if err != nil {
		return false, err
	}
	return r.Status.Final() || r.cur.Undo, nil
}
