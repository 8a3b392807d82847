package registry

import (
	"context"
	"encoding/json"
)

// Parsed is what reading a document's bytes gave.
type Parsed struct {
	Kind     string          // as it was read
	Digest   string          // of the bytes that were read
	Size     int64           // bytes
	Stated   string          // a V&V report's status
	Results  json.RawMessage // canonical JSON; nil for kinds that are not read
	VVReport *VVReport       // of kind vv-report
	VVPlan   *VVPlan         // of kind vv-plan that is JSON or YAML
	Defects  *DefectList     // of kind defect-list
}

// ReadDocument reads an object as a document of a kind, strictly. V&V reports and defect
// lists are JSON or YAML; a V&V plan that is JSON or YAML is read too; of all others only
// the size is looked at. It reads files, so it is called outside any transaction. Errors:
// NotFound without the object, Invalid naming the field, TooLarge.
func (r *Registry) ReadDocument(ctx context.Context, kind, digest string) (*Parsed, error) {
	return nil, unfinished()
}

// VVReport is a V&V report as it is written.
type VVReport struct {
	DocumentID   string          `json:"document_id"`
	ModelID      string          `json:"model_id"`
	ModelVersion string          `json:"model_version"`
	Status       string          `json:"status"`       // PASSED, FAILED, INCOMPLETE
	PerformedOn  string          `json:"performed_on"` // YYYY-MM-DD
	Environment  string          `json:"environment,omitempty"`
	Artifacts    []VVArtifact    `json:"artifacts,omitempty"` // what was tested
	Requirements []VVRequirement `json:"requirements,omitempty"`
	Tests        []VVTest        `json:"tests"`
	Summary      string          `json:"summary,omitempty"`
}

// VVArtifact is a file that a V&V report says it tested.
type VVArtifact struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// VVRequirement is a requirement that a V&V plan or report is about.
type VVRequirement struct {
	RequirementID string `json:"requirement_id"`
	Title         string `json:"title,omitempty"`
}

// VVTest is one test of a V&V report. Value, Operator and Threshold are what was measured
// and what it was held against.
type VVTest struct {
	TestID         string   `json:"test_id"`
	Title          string   `json:"title"`
	RequirementIDs []string `json:"requirement_ids"`
	Result         string   `json:"result"` // PASSED, FAILED, SKIPPED, ERROR
	Metric         string   `json:"metric,omitempty"`
	Value          *float64 `json:"value,omitempty"`
	Unit           string   `json:"unit,omitempty"`
	Operator       string   `json:"operator,omitempty"` // <=, <, >=, >, ==
	Threshold      *float64 `json:"threshold,omitempty"`
	Note           string   `json:"note,omitempty"`
}

// VVPlan is the part of a V&V plan that is read: which requirements are to be verified.
type VVPlan struct {
	DocumentID   string          `json:"document_id"`
	ModelID      string          `json:"model_id"`
	ModelVersion string          `json:"model_version,omitempty"`
	Title        string          `json:"title,omitempty"`
	Requirements []VVRequirement `json:"requirements"`
}

// DefectList is a list of a model version's defects.
type DefectList struct {
	ModelID      string   `json:"model_id"`
	ModelVersion string   `json:"model_version"`
	Defects      []Defect `json:"defects"`
}

// Defect is one entry of a defect list.
type Defect struct {
	DefectID   string `json:"defect_id"`
	Title      string `json:"title"`
	Severity   string `json:"severity"` // CRITICAL, HIGH, MEDIUM, LOW
	Status     string `json:"status"`   // OPEN, IN_PROGRESS, CLOSED
	Resolution string `json:"resolution,omitempty"`
}
