package registry

import (
	"context"
	"time"

	"caos/internal/db"
)

// Conversion says how one artifact of a version was made from another.
type Conversion struct {
	ModelID     string         `json:"model_id"`
	Version     string         `json:"version"`
	From        string         `json:"from"` // artifact name
	To          string         `json:"to"`   // artifact name
	FromDigest  string         `json:"from_digest"`
	ToDigest    string         `json:"to_digest"`
	Tool        string         `json:"tool"`
	ToolVersion string         `json:"tool_version"`
	Parameters  map[string]any `json:"parameters"`
	Equivalence string         `json:"equivalence"` // id of the document or evidence that shows that both compute the same, "" for none
	RecordedAt  time.Time      `json:"recorded_at"`
	RecordedBy  string         `json:"recorded_by"`
}

// RecordConversion adds a conversion record to a version. Both artifacts must be there;
// digests that are left out are theirs, others are refused. The same pair again replaces the
// record. Errors: NotFound, Invalid naming the field, Conflict as for Attach.
func (r *Registry) RecordConversion(tx *db.Tx, c Conversion, by By) (*Conversion, error) {
	return nil, unfinished()
}

// Conversions lists the conversion records of a version by names.
func (r *Registry) Conversions(ctx context.Context, modelID, version string) ([]*Conversion, error) {
	return nil, unfinished()
}

// ConversionsIn lists them as a transaction sees them.
func (r *Registry) ConversionsIn(tx *db.Tx, modelID, version string) ([]*Conversion, error) {
	return nil, unfinished()
}
