package engine

import (
	"caos"
	"caos/internal/db"
)

// Reclassify carries a model's new classification to its executions that are classified as
// less: what they were told and what they came to is told to nobody else. The caller records
// the change of the model.
func Reclassify(tx *db.Tx, modelID, classification string) error {
	for _, less := range append(caos.Classifications(), "") {
		if caos.Sensitivity(less) < caos.Sensitivity(classification) {
			tx.Exec(`UPDATE executions SET classification = $1 WHERE model_id = $2 AND classification = $3`, classification, modelID, less)
		}
	}
	return tx.Err()
}
