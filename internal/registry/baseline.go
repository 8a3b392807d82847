package registry

import (
	"context"
	"time"

	"caos/internal/db"
)

// What the last check of a baseline's bytes found. Stored.
const (
	Intact  = "INTACT"
	Damaged = "DAMAGED"
)

// Baseline is a frozen version: what it consists of, for ever. Only what the checks of its
// bytes find changes.
type Baseline struct {
	BaselineID          string         `json:"baseline_id"` // BL-FCS-2.1.0
	ModelID             string         `json:"model_id"`
	Version             string         `json:"version"`
	FreezeID            string         `json:"freeze_id"`
	ExecutionID         string         `json:"execution_id"`
	RootDigest          string         `json:"root_digest"`      // of all files, as the signed statement has it
	StatementDigest     string         `json:"statement_digest"` // of the signed statement
	BundleDigest        string         `json:"bundle_digest"`    // of model.sig
	KeyID               string         `json:"key_id"`
	Files               []BaselineFile `json:"files,omitempty"` // by path; left out of lists
	FileCount           int            `json:"file_count"`
	Bytes               int64          `json:"bytes"` // of all files
	FrozenAt            time.Time      `json:"frozen_at"`
	FrozenBy            string         `json:"frozen_by"`
	VVReportID          string         `json:"vv_report_id"`
	VVReportVersion     string         `json:"vv_report_version"`
	Supersedes          string         `json:"supersedes"`
	CompatibleWith      []string       `json:"compatible_with"`
	SafetyImpact        string         `json:"safety_impact"`
	CertificationImpact string         `json:"certification_impact"`
	Project             string         `json:"project"`
	Classification      string         `json:"classification"`
	CheckedAt           *time.Time     `json:"checked_at"`   // nil before the first check
	CheckStatus         string         `json:"check_status"` // "", INTACT, DAMAGED
	Problems            []string       `json:"problems"`     // what the last check found, at most 100
}

// BaselineFile is one file of a baseline.
type BaselineFile struct {
	Path   string `json:"path"`
	Role   string `json:"role"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"` // bytes
}

// BaselineFilter chooses baselines; empty fields match all.
type BaselineFilter struct {
	ModelID     string
	Project     string
	CheckStatus string
	Limit       int // of a page; 0 means 100, the most is 1000
}

// Freeze makes a claimed version FROZEN and keeps its baseline. Of b the fields up to
// VVReportVersion count, FileCount and Bytes excepted; FrozenAt zero is now; what is empty
// of FreezeID, BaselineID and FrozenBy is what it has to be. Supersedes, CompatibleWith,
// impacts, project and classification are those of the version. Announces caos.model.frozen
// and caos.model.state. Errors: NotFound, Invalid naming the field, Conflict if the version
// is not claimed by b.ExecutionID or its artifacts are not among the files.
func (r *Registry) Freeze(tx *db.Tx, b Baseline, by By) error { return unfinished() }

// Baseline returns a baseline with its files, or a NotFound error.
func (r *Registry) Baseline(ctx context.Context, id string) (*Baseline, error) {
	return nil, unfinished()
}

// BaselineIn returns a baseline as a transaction sees it.
func (r *Registry) BaselineIn(tx *db.Tx, id string) (*Baseline, error) { return nil, unfinished() }

// Baselines lists baselines without their files, latest first. cursor is "" and then the one
// returned.
func (r *Registry) Baselines(ctx context.Context, f BaselineFilter, cursor string) ([]*Baseline, string, error) {
	return nil, "", unfinished()
}

// Checked keeps what a check of a baseline's bytes found: status is INTACT or DAMAGED.
func (r *Registry) Checked(tx *db.Tx, id, status string, problems []string, by By) error {
	return unfinished()
}
