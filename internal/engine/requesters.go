package engine

import (
	"encoding/json"
	"fmt"

	"caos"
	"caos/internal/db"
)

// Requester is who asked for an execution, and who submitted it for them.
type Requester struct {
	ExecutionID string
	RequestedBy string          // the identity that the input states
	By          string          // who authenticated
	EnabledBy   string          // who switched the trigger on that submitted it, "" for none
	Input       json.RawMessage // what was asked for
}

// Requesters returns who ever asked for a hook about a model, whatever became of it, oldest
// first. All of them: whoever is missed would be let pass where they are barred.
func Requesters(tx *db.Tx, hookID, modelID string) ([]Requester, error) {
	if modelID == "" {
		return nil, nil
	}
	var out []Requester
	err := tx.Query(`SELECT execution_id, requested_by, principal, input FROM executions WHERE model_id = $1 AND hook_id = $2 ORDER BY created_at, execution_id`,
		[]any{modelID, hookID}, func(scan func(...any) error) error {
			var r Requester
			var principal, input string
			if err := scan(&r.ExecutionID, &r.RequestedBy, &principal, &input); err != nil {
				return err
			}
			var by caos.Principal
			if err := json.Unmarshal([]byte(principal), &by); err != nil {
				return fmt.Errorf("read who submitted %s: %w", r.ExecutionID, err)
			}
			r.By, r.EnabledBy, r.Input = by.ID, by.EnabledBy, json.RawMessage(input)
			out = append(out, r)
			return nil
		})
	return out, err
}
