package report

import (
	"io"
	"time"
)

// Verdicts of a validation of data.
const (
	Pass    = "PASS"
	Warning = "WARNING"
	Fail    = "FAIL"
)

// Quality is all that the report of a validation of data shows. As in [Review], every string
// is text from anybody, an empty one is left out, and equal input gives equal bytes. Values of
// samples are masked before they come here.
type Quality struct {
	ValidationID   string // VAL-EXEC-…
	ExecutionID    string
	Classification string // of the dataset, printed on every page
	Project        string
	RequestedBy    string
	At             time.Time // when the validation was written up
	Link           string    // http address of this report, or ""

	DatasetID         string
	DatasetVersion    int64
	DatasetURI        string
	DatasetDigest     string
	PipelineID        string
	PipelineExecution string // that wrote the dataset
	ContractID        string
	ContractVersion   string
	ContractName      string
	ContractDigest    string
	ContractObject    string
	Engine            string  // what counted
	Program           string  // version of CAOS
	Rows, Bytes       int64   // that were read
	Seconds           float64 // that the worker took

	Status     string   // Pass, Warning or Fail
	Score      *float64 // 0 to 1; nil when there was nothing to score
	Dimensions []QualityDimension
	Checks     []QualityCheck
	Anomalies  int64 // distinct values that checks of outliers flagged
	Columns    []QualityColumn
	Samples    []QualitySample
	Findings   []QualityFinding
	Statements []QualityStatement
	Trend      []QualityPoint // oldest first, this validation last
	Change     *QualityChange // nil without a validation before
}

// QualityDimension is a dimension of quality: completeness, accuracy, consistency, …
type QualityDimension struct {
	Name           string
	Score          *float64
	Passed, Failed int
}

// QualityCheck is what came of a check.
type QualityCheck struct {
	ID, Name, Description string
	Column                string // "" for a check of the whole table
	Dimension             string
	Severity              string // error, warning or info
	Weight                float64
	Passed                bool
	CannotRun             bool
	Value, Expected       string
	FailingRows           int64
	Message               string
}

// QualityStatement is a statement that was run on the dataset.
type QualityStatement struct{ Name, SQL string }

// QualityColumn is what was found in a column.
type QualityColumn struct {
	Name, Type string
	Nulls      int64
	Distinct   int64 // -1 if it was not counted
	Min, Max   string
	Mean       *float64
	Quantiles  []float64 // at 0, 5, 25, 50, 75, 95 and 100 percent; none for what is no number
	Outliers   []QualityOutlier
	Masked     bool
}

// QualityOutlier is what a check of outliers flagged in a column.
type QualityOutlier struct {
	Check     string // id
	Rule      string // in words
	Low, High *float64
	Rows      int64 // outside of the bounds
}

// QualitySample is a row that a check flagged.
type QualitySample struct {
	Check  string // id
	Values []QualityValue
}

// QualityValue is a value of a sample.
type QualityValue struct {
	Column, Value string
	Masked        bool
}

// QualityFinding is what else there is to say, and what would clear it.
type QualityFinding struct{ Rule, Message, Remedy string }

// QualityPoint is a validation of the same dataset and contract.
type QualityPoint struct {
	ValidationID string
	At           time.Time
	Version      int64
	Status       string
	Score        *float64
}

// QualityChange is what differs from the validation before.
type QualityChange struct {
	Previous        string // validation id
	Status          string // of that one
	Score           *float64
	Rows            int64 // more than before; negative for fewer
	DatasetChanged  bool
	ContractChanged bool
	FailingNow      []string // names of checks
	PassingNow      []string
	Added, Dropped  []string
}

// ValidationHTML writes the report of a validation as one HTML file without scripts or
// anything from elsewhere. Serve it as [HTML] is.
func ValidationHTML(w io.Writer, q *Quality) error { return writeHTML(w, buildQuality(q)) }
