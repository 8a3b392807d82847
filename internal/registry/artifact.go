package registry

import (
	"context"
	"time"

	"caos/internal/db"
	"caos/internal/modelfile"
)

// Artifact is one file of a version.
type Artifact struct {
	ModelID     string            `json:"model_id"`
	Version     string            `json:"version"`
	Name        string            `json:"name"` // relative path with slashes, unique in the version
	Role        string            `json:"role"` // one of Roles
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"` // bytes
	MediaType   string            `json:"media_type"`
	Format      string            `json:"format"` // as found by the scan
	Source      string            `json:"source"` // where it came from, in words or as an address without secrets
	Description string            `json:"description"`
	Scan        *modelfile.Report `json:"scan"`
	AddedAt     time.Time         `json:"added_at"`
	AddedBy     string            `json:"added_by"`
}

// ArtifactRoles lists what an artifact may be for.
func ArtifactRoles() []string {
	return []string{
		"trained", "converted", "inference", "architecture", "weights", "configuration", "training-dataset", "validation-dataset",
		"test-results", "training-log", "traceability-matrix", "safety-document", "design-document", "other",
	}
}

// Inspect scans an object that is to become an artifact, without loading it, and returns
// its size in bytes. It reads files, so it is called outside any transaction. Errors:
// Invalid for a digest or name of the wrong form and for zero bytes, NotFound without the
// object.
func (r *Registry) Inspect(ctx context.Context, digest, name string) (int64, *modelfile.Report, error) {
	return 0, nil, unfinished()
}

// Attach adds a file to a version and binds its object. Size, Format and Scan are what
// Inspect returned. The same name with the same digest changes nothing. Errors: NotFound,
// Invalid naming the field, TooLarge, Conflict for another digest under the name, once the
// version is not REGISTERED any more, and while a freeze has it.
func (r *Registry) Attach(tx *db.Tx, modelID, version string, a Artifact, by By) (*Artifact, error) {
	return nil, unfinished()
}

// Detach takes a file out of a version. Its bytes stay bound: they are part of its history.
func (r *Registry) Detach(tx *db.Tx, modelID, version, name string, by By) error { return unfinished() }

// Artifacts lists the files of a version by name, all of them.
func (r *Registry) Artifacts(ctx context.Context, modelID, version string) ([]*Artifact, error) {
	return nil, unfinished()
}

// ArtifactsIn lists them as a transaction sees them.
func (r *Registry) ArtifactsIn(tx *db.Tx, modelID, version string) ([]*Artifact, error) {
	return nil, unfinished()
}
