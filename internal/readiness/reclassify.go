package readiness

import (
	"caos"
	"caos/internal/db"
)

// Reclassify carries a model's new classification to everything here that is about it, as
// far as that is less classified: nothing becomes known to more people. The caller records
// the change of the model.
func (r *Readiness) Reclassify(tx *db.Tx, modelID, classification string) error {
	for _, less := range append(caos.Classifications(), "") {
		if caos.Sensitivity(less) >= caos.Sensitivity(classification) {
			continue
		}
		for _, table := range []string{"checklists", "risks", "certification_plans", "reviews", "review_conditions", "decisions", "release_authorizations"} {
			tx.Exec(`UPDATE `+table+` SET classification = $1 WHERE model_id = $2 AND classification = $3`, classification, modelID, less)
		}
	}
	return tx.Err()
}
