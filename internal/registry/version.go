package registry

import (
	"context"
	"time"

	"caos"
	"caos/internal/db"
)

// Version is one version of a model.
type Version struct {
	ModelID             string     `json:"model_id"`
	Version             string     `json:"version"` // semantic version without a build part
	State               State      `json:"state"`
	Framework           string     `json:"framework"` // what it was made with, such as "PyTorch 2.9"
	Description         string     `json:"description"`
	Supersedes          string     `json:"supersedes"`           // an earlier version, "" for none
	CompatibleWith      []string   `json:"compatible_with"`      // versions and ranges such as 2.0.x
	SafetyImpact        string     `json:"safety_impact"`        // in words
	CertificationImpact string     `json:"certification_impact"` // in words
	Freezing            string     `json:"freezing"`             // the execution that has it claimed, "" for none
	FreezeID            string     `json:"freeze_id"`            // "" until it is frozen
	BaselineID          string     `json:"baseline_id"`          // likewise
	FrozenAt            *time.Time `json:"frozen_at"`
	CreatedAt           time.Time  `json:"created_at"`
	CreatedBy           string     `json:"created_by"`
	UpdatedAt           time.Time  `json:"updated_at"`
	Revision            int64      `json:"revision"`       // counts changes from 1, those of artifacts included; the ETag
	Artifacts           int        `json:"artifacts"`      // how many it has
	Project             string     `json:"project"`        // the model's
	Classification      string     `json:"classification"` // the model's
}

// VersionChange is what of a version is to be different; nil fields stay.
type VersionChange struct {
	Framework           *string   `json:"framework,omitempty"`
	Description         *string   `json:"description,omitempty"`
	Supersedes          *string   `json:"supersedes,omitempty"`
	CompatibleWith      *[]string `json:"compatible_with,omitempty"`
	SafetyImpact        *string   `json:"safety_impact,omitempty"`
	CertificationImpact *string   `json:"certification_impact,omitempty"`
}

// VersionKey is how a version is named in records and links: "NN-FCS-001@2.1.0".
func VersionKey(modelID, version string) string { return modelID + "@" + version }

// FreezeID is the id of the freeze of a version: "FREEZE-NN-FCS-001-2.1.0".
func FreezeID(modelID, version string) string { return "FREEZE-" + modelID + "-" + version }

// BaselineID is the id of the baseline of a version: "BL-FCS-2.1.0".
func BaselineID(modelID, version string) string {
	return "BL-" + caos.ShortID(modelID) + "-" + version
}

// CreateVersion registers a version of a model: REGISTERED, without artifacts. Of v the
// fields from ModelID to CertificationImpact count, State excepted. Errors: NotFound without
// the model; Invalid for what is no semantic version or not higher than the highest version
// that the model has, which it names; Conflict if the version is there already.
func (r *Registry) CreateVersion(tx *db.Tx, v Version, by By) (*Version, error) {
	return nil, unfinished()
}

// UpdateVersion changes what is said of a version that the caller saw at a revision (0 for
// any). Errors: NotFound, Invalid, Conflict for another revision, once it is not REGISTERED
// any more, and while a freeze has it.
func (r *Registry) UpdateVersion(tx *db.Tx, at VersionAt, c VersionChange, by By) (*Version, error) {
	return nil, unfinished()
}

// VersionAt names a version, at a revision of it if Revision is not 0.
type VersionAt struct {
	ModelID  string
	Version  string
	Revision int64
}

// Version returns a version, or a NotFound error.
func (r *Registry) Version(ctx context.Context, modelID, version string) (*Version, error) {
	return nil, unfinished()
}

// VersionIn returns a version as a transaction sees it.
func (r *Registry) VersionIn(tx *db.Tx, modelID, version string) (*Version, error) {
	return nil, unfinished()
}

// Versions lists the versions of a model, latest first. limit 0 means 100.
func (r *Registry) Versions(ctx context.Context, modelID string, limit int, cursor string) ([]*Version, string, error) {
	return nil, "", unfinished()
}

// ClaimFreeze gives a REGISTERED version to an execution that freezes it, which stops all
// change of it. Claiming again by the same execution changes nothing. Its record is that of
// the execution's commit. Errors: NotFound; Conflict naming the freeze of a frozen version,
// or the execution that has it claimed.
func (r *Registry) ClaimFreeze(tx *db.Tx, modelID, version, execution string) error {
	return unfinished()
}

// ReleaseFreeze takes the claim of an execution back. A version that it has not claimed (any
// more) stays as it is, which is no error.
func (r *Registry) ReleaseFreeze(tx *db.Tx, modelID, version, execution string) error {
	return unfinished()
}

// Transition moves a version to another state by the table of State.May, and announces it
// as caos.model.state. FROZEN is reached by Freeze alone. Errors: NotFound, Invalid, Conflict.
func (r *Registry) Transition(tx *db.Tx, modelID, version string, to State, by By) (*Version, error) {
	return nil, unfinished()
}
