package registry

import (
	"caos/internal/db"
)

// FreezeFacts is all that the gates of a freeze look at, as of one moment. What is not there
// is nil. Nothing in it is a verdict.
type FreezeFacts struct {
	Model               *Model            `json:"model"`
	Version             *Version          `json:"version"`
	Artifacts           []*Artifact       `json:"artifacts"` // by name
	Conversions         []*Conversion     `json:"conversions"`
	VVReport            *Document         `json:"vv_report"` // the latest version of the document asked for, whatever its kind and model
	VV                  *VVFacts          `json:"vv"`        // what it says; nil if it is no V&V report
	SafetyAssessment    *Document         `json:"safety_assessment"`
	DefectList          *Document         `json:"defect_list"`
	DocumentationReview *Document         `json:"documentation_review"`
	OpenDefects         []OpenDefect      `json:"open_defects"`      // of all defect lists of the version that nothing superseded, worst first, at most 100
	OpenDefectCount     map[string]int    `json:"open_defect_count"` // by severity, all of them
	OpenProblems        []ProblemReport   `json:"open_problems"`
	Requirements        []string          `json:"requirements"`        // ids, sorted: linked to the version, or planned to be verified for it
	RequirementSources  map[string]string `json:"requirement_sources"` // id of the link or document by requirement
	Earlier             []*Baseline       `json:"earlier"`             // of other versions of the model, latest first, without files
}

// VVFacts is what a V&V report says, counted. Lists that can be long hold the first
// entries; the counts beside them are complete.
type VVFacts struct {
	DocumentID     string                        `json:"document_id"` // as the report itself states them
	ModelID        string                        `json:"model_id"`
	ModelVersion   string                        `json:"model_version"`
	Status         string                        `json:"status"`
	PerformedOn    string                        `json:"performed_on"`
	Artifacts      []VVArtifact                  `json:"artifacts"` // what was tested
	Tests          int                           `json:"tests"`
	Results        map[string]int                `json:"results"`      // tests by result
	NotPassed      []VVTest                      `json:"not_passed"`   // the first 100 tests whose result is not PASSED
	Contradicted   []VVTest                      `json:"contradicted"` // the first 100 that say PASSED and miss, or do not state, what their own threshold wants
	Contradictions int                           `json:"contradictions"`
	Requirements   map[string]VVRequirementFacts `json:"requirements"` // by id: those that the report lists or a test names
}

// VVRequirementFacts is what a report says about one requirement.
type VVRequirementFacts struct {
	Tests    int    `json:"tests"`               // that name it
	Passed   int    `json:"passed"`              // of them, with nothing to contradict it
	FirstBad string `json:"first_bad,omitempty"` // id of the first test of it that did not pass
}

// Verified reports whether at least one test of the requirement passed and none did not.
func (f VVRequirementFacts) Verified() bool { return f.Tests > 0 && f.Passed == f.Tests }

// OpenDefect is a defect that is not CLOSED, and the list it is in.
type OpenDefect struct {
	DocumentID string `json:"document_id"`
	Defect
}

// FreezeFacts reads what the gates of a freeze look at. An unknown or malformed report id
// leaves VVReport nil. Errors: NotFound without the model or the version.
func (r *Registry) FreezeFacts(tx *db.Tx, modelID, version, vvReportID string) (*FreezeFacts, error) {
	return nil, unfinished()
}
