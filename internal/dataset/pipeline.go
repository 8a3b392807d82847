package dataset

import (
	"context"
	"time"

	"caos"
	"caos/internal/db"
)

// Pipeline is a registered version of a definition.
type Pipeline struct {
	Definition
	Digest        string     `json:"digest"` // SHA256:… of the definition's canonical JSON
	Latest        bool       `json:"latest"`
	RegisteredAt  time.Time  `json:"registered_at"`
	RegisteredBy  string     `json:"registered_by"`
	RetiredAt     *time.Time `json:"retired_at"` // of the whole pipeline
	RetiredBy     string     `json:"retired_by"`
	RetiredReason string     `json:"retired_reason"`

	Text []byte `json:"-"` // as it was written
}

// PipelineFilter chooses pipelines; empty fields match all. Lists show the latest versions.
type PipelineFilter struct {
	Project, Owner string
	Retired        *bool
	Limit          int // of a page; 0 means 100, the most is 1000
}

// Events of pipelines: pipeline_id, pipeline_version.
const (
	EventPipelineRegistered = "caos.pipeline.registered"
	EventPipelineRetired    = "caos.pipeline.retired"
)

// Register stores a version of a pipeline. The same definition again answers the same.
// Errors: Invalid or TooLarge by the first lint error; Conflict for a version that there is
// with another content, a version that is not higher than the latest, another project, a
// classification below that of a dataset of the pipeline, or a retired pipeline.
func (d *Datasets) Register(tx *db.Tx, def Definition, text []byte, by By) (*Pipeline, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// Pipeline returns a version of a pipeline, the latest if version is "", or a NotFound error.
func (d *Datasets) Pipeline(ctx context.Context, id, version string) (*Pipeline, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// PipelineIn is Pipeline as a transaction sees it.
func (d *Datasets) PipelineIn(tx *db.Tx, id, version string) (*Pipeline, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// Pipelines lists the latest versions, latest registered first. cursor is "" and then the
// one returned.
func (d *Datasets) Pipelines(ctx context.Context, f PipelineFilter, cursor string) ([]*Pipeline, string, error) {
	return nil, "", caos.Errorf(caos.Unavailable, "not there yet")
}

// Versions lists the versions of a pipeline, the highest first, at most limit (0: 100).
func (d *Datasets) Versions(ctx context.Context, id string, limit int, cursor string) ([]*Pipeline, string, error) {
	return nil, "", caos.Errorf(caos.Unavailable, "not there yet")
}

// Retire takes a pipeline out of use: no run of it begins any more. A second time is a
// Conflict.
func (d *Datasets) Retire(tx *db.Tx, id, reason string, by By) (*Pipeline, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}
