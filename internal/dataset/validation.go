package dataset

import (
	"regexp"
	"time"

	"caos"
)

// The verdicts of a validation: the spec's overall_status (section 5.2).
const (
	ValidationPass    = "PASS"
	ValidationWarning = "WARNING" // only checks failed that do not block
	ValidationFail    = "FAIL"
)

// ValidationStatuses lists them, the best first.
func ValidationStatuses() []string {
	return []string{ValidationPass, ValidationWarning, ValidationFail}
}

// validationID is the grammar of validation ids.
var validationID = regexp.MustCompile(`^VAL-EXEC-[0-9]{8}T[0-9]{6}\.[0-9]{6}Z$`)

// Validation is what came of checking one version of a dataset against one version of a
// contract. It is written once, with its report, and never changed.
type Validation struct {
	ValidationID      string `json:"validation_id"`      // VAL-EXEC-<stamp>
	ExecutionID       string `json:"execution_id"`       // of the DATA.VALIDATE that made it
	PipelineExecution string `json:"pipeline_execution"` // EXEC-DP-…, that wrote the dataset
	PipelineID        string `json:"pipeline_id"`

	DatasetID     string `json:"dataset_id"`
	N             int64  `json:"dataset_version"`
	DatasetURI    string `json:"dataset_uri"`
	DatasetDigest string `json:"dataset_digest"` // of the version; the bytes that were read have it

	ContractID      string `json:"validation_rules_id"`
	ContractVersion string `json:"contract_version"`
	ContractDigest  string `json:"contract_digest"`
	ContractObject  string `json:"contract_object"` // name of the schema object whose checks these are
	Engine          string `json:"engine"`          // what counted, such as "DuckDB 1.5.6"; "" if it did not say

	Status     string              `json:"overall_status"` // PASS, WARNING or FAIL
	Score      *float64            `json:"quality_score"`  // 0 to 1, nil when there was nothing to score
	Dimensions map[string]*float64 `json:"dimensions"`     // scores by dimension of quality
	Performed  int                 `json:"checks_performed"`
	Passed     int                 `json:"checks_passed"`
	Failed     int                 `json:"checks_failed"`
	Anomalies  int64               `json:"anomalies_detected"` // distinct flagged values, before any cap
	Rows       int64               `json:"rows"`
	Bytes      int64               `json:"bytes"`   // that were read
	Seconds    float64             `json:"seconds"` // of the worker

	Checks   []ValidationCheck  `json:"checks"`
	Samples  []ValidationSample `json:"samples"`
	Profile  []ColumnProfile    `json:"profile"`
	Findings []caos.Finding     `json:"findings"`

	// Statements are what was run. The report's JSON has them; a row has not.
	Statements []ValidationStatement `json:"statements,omitempty"`

	ReportHTML string `json:"report_html"` // digest of the object
	ReportJSON string `json:"report_json"`

	Previous string             `json:"previous"` // validation of the same dataset and contract that it was compared with, "" for none
	Changes  *ValidationChanges `json:"changes"`  // nil without a previous one
	AlertID  string             `json:"alert_id"` // raised by it, "" if none was

	Project        string    `json:"project"`
	Classification string    `json:"classification"`
	RequestedBy    string    `json:"requested_by"`
	StartedAt      time.Time `json:"started_at"`
	ValidatedAt    time.Time `json:"validated_at"`
}

// ValidationCheck is what came of one check.
type ValidationCheck struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Column      string   `json:"column"`    // "" for a check of the whole table
	Dimension   string   `json:"dimension"` // completeness, accuracy, consistency, …
	Kind        string   `json:"kind"`      // library, sql, custom or schema
	Metric      string   `json:"metric"`
	Severity    string   `json:"severity"` // error (blocking), warning or info
	Weight      float64  `json:"weight"`
	Passed      bool     `json:"passed"`
	CannotRun   bool     `json:"cannot_run"` // it has failed for that
	Value       string   `json:"value"`      // as measured, with its unit
	Expected    string   `json:"expected"`
	Measured    *float64 `json:"measured"` // nil for what is no number
	FailingRows int64    `json:"failing_rows"`
	Message     string   `json:"message"`
}

// ValidationStatement is a statement that was run on the dataset.
type ValidationStatement struct {
	Name string `json:"name"`
	SQL  string `json:"sql"`
}

// ValidationSample is a row that a check flagged. Values are clipped and masked before
// they come here.
type ValidationSample struct {
	Check  string        `json:"check"` // id
	Values []SampleValue `json:"values"`
}

// SampleValue is a value of a sample, in the order of the table's columns.
type SampleValue struct {
	Column string `json:"column"`
	Value  string `json:"value"`
	Masked bool   `json:"masked,omitempty"`
}

// ColumnProfile describes a column as it was read. Figures that the column has not, or
// that would disclose what is masked, are nil.
type ColumnProfile struct {
	Name      string    `json:"name"`
	Type      string    `json:"type"`
	Nulls     int64     `json:"nulls"`
	Distinct  int64     `json:"distinct"`
	Min       string    `json:"min"`
	Max       string    `json:"max"`
	Mean      *float64  `json:"mean"`
	Quantiles []float64 `json:"quantiles"` // at 0, 5, 25, 50, 75, 95 and 100 percent, or none
	Outliers  []Outlier `json:"outliers,omitempty"`
	Masked    bool      `json:"masked,omitempty"`
}

// Outlier says what a check of outliers flagged in a column.
type Outlier struct {
	Check string   `json:"check"` // id
	Rule  string   `json:"rule"`  // in words
	Low   *float64 `json:"low"`   // values below are flagged
	High  *float64 `json:"high"`  // and above
	Rows  int64    `json:"rows"`  // outside of the bounds
}

// ValidationChanges says what differs from the previous validation.
type ValidationChanges struct {
	Previous   string   `json:"previous"` // validation id
	Dataset    bool     `json:"dataset_changed"`
	Contract   bool     `json:"contract_changed"`
	Score      *float64 `json:"score_change"` // nil if either has none
	Rows       int64    `json:"rows_change"`
	Status     string   `json:"previous_status"`
	FailingNow []string `json:"failing_now"` // ids of checks that passed before
	PassingNow []string `json:"passing_now"` // ids of checks that failed before
	Added      []string `json:"added"`       // ids of checks that are new
	Dropped    []string `json:"dropped"`     // ids of checks that are gone
}

// TrendPoint is a validation as a point of its dataset's history.
type TrendPoint struct {
	ValidationID    string    `json:"validation_id"`
	At              time.Time `json:"at"`
	N               int64     `json:"dataset_version"`
	ContractVersion string    `json:"contract_version"`
	Status          string    `json:"overall_status"`
	Score           *float64  `json:"quality_score"`
	Failed          int       `json:"checks_failed"`
	Anomalies       int64     `json:"anomalies_detected"`
	Rows            int64     `json:"rows"`
	Project         string    `json:"project"`
	Classification  string    `json:"classification"`
}

// ValidationFilter chooses validations; empty fields match all.
type ValidationFilter struct {
	DatasetID, ContractID, PipelineID, Execution, Status, Project string // Execution: of the validation, or of the pipeline
	N                                                             int64  // version of the dataset, 0 for any
	Limit                                                         int    // of a page; 0 means 100, the most is 1000
}
