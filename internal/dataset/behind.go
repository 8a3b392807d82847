package dataset

import "caos/internal/db"

// Behind returns the execution that waits for this one to leave its turn, "" if none does.
func (d *Datasets) Behind(tx *db.Tx, executionID string) (behind string, err error) {
	err = tx.Query(`SELECT w.execution_id FROM pipeline_turns w JOIN pipeline_turns t ON w.pipeline_id = t.pipeline_id AND w.place > t.place
 WHERE t.execution_id = $1 ORDER BY w.place LIMIT 1`, []any{executionID}, func(scan func(...any) error) error { return scan(&behind) })
	return behind, err
}
