package report

import (
	"io"
	"time"
)

// Pipeline is what the execution report of a data pipeline says. Its JSON is the report's
// other form.
type Pipeline struct {
	ExecutionID    string `json:"execution_id"`
	PipelineID     string `json:"pipeline_id"`
	Version        string `json:"pipeline_version"`
	Digest         string `json:"definition_digest"` // of the definition's canonical JSON
	Title          string `json:"title"`
	Owner          string `json:"owner"`
	Project        string `json:"project"`
	Classification string `json:"classification"`
	Mode           string `json:"execution_mode"`
	Interval       string `json:"interval"` // what the run was about, "" for nothing in particular
	RequestedBy    string `json:"requested_by"`

	Status   string     `json:"status"` // SUCCESS, PARTIAL, FAILED or CANCELLED
	Records  int64      `json:"records_processed"`
	Score    *float64   `json:"data_quality_score"`
	Seconds  float64    `json:"execution_time_seconds"` // without waiting for turn and compute
	Issues   []string   `json:"issues"`
	Outputs  []string   `json:"output_datasets"`
	Findings []Finding  `json:"findings"` // why it failed, and what would mend it
	AskedAt  time.Time  `json:"requested_at"`
	BeganAt  time.Time  `json:"started_at"` // its turn came
	EndedAt  time.Time  `json:"ended_at"`   // the report was made
	Moments  []Moment   `json:"timeline"`
	Compute  PipeCosts  `json:"compute"`
	Sources  []PipeIn   `json:"sources"`
	Steps    []PipeStep `json:"transforms"`
	Targets  []PipeOut  `json:"targets"`

	Verification []PipeProof `json:"verification"`
}

// Finding is something that stands against a run.
type Finding struct {
	Rule    string `json:"rule"`
	Subject string `json:"subject"`
	Message string `json:"message"`
	Remedy  string `json:"remedy"`
}

// PipeProof is a way to check the report.
type PipeProof struct {
	Text    string `json:"text"`
	Command string `json:"command,omitempty"`
	Expect  string `json:"expect,omitempty"`
}

// Moment is a line of the timeline.
type Moment struct {
	At      time.Time `json:"at"`
	Text    string    `json:"text"`
	Seconds float64   `json:"seconds"` // that it took, 0 for a moment
}

// PipeCosts is the compute that was asked for and used.
type PipeCosts struct {
	MemoryBytes   int64   `json:"memory_bytes"`
	Threads       int     `json:"threads"`
	ScratchBytes  int64   `json:"scratch_bytes"`
	Timeout       float64 `json:"timeout_seconds"`
	PeakBytes     int64   `json:"peak_bytes"`
	WorkerSeconds float64 `json:"worker_seconds"`
	FetchSeconds  float64 `json:"fetch_seconds"`
	WaitedTurn    float64 `json:"waited_for_turn_seconds"`
	WaitedCompute float64 `json:"waited_for_compute_seconds"`
	Node          string  `json:"node,omitempty"`
}

// The states of the parts of a run.
const (
	PartDone    = "DONE"
	PartMissing = "MISSING" // an optional source that could not be read
	PartFailed  = "FAILED"
	PartNotRun  = "NOT RUN"
	PartUndone  = "UNDONE" // a target that was published and taken back
)

// PipeIn is a source.
type PipeIn struct {
	Name     string       `json:"name"`
	URI      string       `json:"uri"`
	Format   string       `json:"format"`
	Optional bool         `json:"optional"`
	State    string       `json:"state"`
	Reason   string       `json:"reason,omitempty"` // of a state that is not DONE
	Dataset  string       `json:"dataset"`          // id and version that lineage knows it by
	Digest   string       `json:"digest"`
	Rows     int64        `json:"rows"`
	Rejected int64        `json:"rejected"`
	Bytes    int64        `json:"bytes"`
	Files    []PipeFile   `json:"files"`
	Columns  []PipeColumn `json:"columns"`
	Rejects  []PipeReject `json:"rejects"`
}

// PipeFile is a file that was read or written.
type PipeFile struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	Bytes  int64  `json:"bytes"`
}

// PipeColumn is a column of a table.
type PipeColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// PipeReject is a row that was left out.
type PipeReject struct {
	File    string `json:"file"`
	Line    int64  `json:"line"`
	Column  string `json:"column"`
	Message string `json:"message"`
}

// PipeStep is a transform.
type PipeStep struct {
	Name    string       `json:"name"`
	From    []string     `json:"from"` // sources and transforms that it reads
	State   string       `json:"state"`
	Reason  string       `json:"reason,omitempty"`
	Rows    int64        `json:"rows"` // -1 for a view, which is computed where it is read
	Seconds float64      `json:"seconds"`
	Columns []PipeColumn `json:"columns"`
	SQL     string       `json:"sql"`
}

// PipeOut is a target.
type PipeOut struct {
	Name     string       `json:"name"`
	From     string       `json:"from"`
	URI      string       `json:"uri"`
	Format   string       `json:"format"`
	Optional bool         `json:"optional"`
	State    string       `json:"state"`
	Reason   string       `json:"reason,omitempty"`
	Dataset  string       `json:"dataset"`
	N        int64        `json:"version"` // 0 if none was published
	Page     string       `json:"dataset_uri"`
	Digest   string       `json:"digest"`
	Rows     int64        `json:"rows"`
	Bytes    int64        `json:"bytes"`
	Files    []PipeFile   `json:"files"`
	Columns  []PipeColumn `json:"columns"`
	Quality  *PipeQuality `json:"quality"` // nil without a contract
}

// PipeQuality is what came of checking a target before it was published.
type PipeQuality struct {
	Contract  string      `json:"contract"` // id@version
	Digest    string      `json:"contract_digest"`
	Status    string      `json:"status"`           // PASS, WARNING or FAIL
	Reason    string      `json:"reason,omitempty"` // of a FAIL without a failed check
	Score     *float64    `json:"score"`
	Blocking  *float64    `json:"blocking_score"`
	Performed int         `json:"performed"`
	Passed    int         `json:"passed"`
	Failed    int         `json:"failed"`
	Anomalies int64       `json:"anomalies"`
	Checks    []PipeCheck `json:"checks"`
}

// PipeCheck is one check.
type PipeCheck struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Column   string `json:"column"`
	Severity string `json:"severity"`
	Passed   bool   `json:"passed"`
	Value    string `json:"value"`
	Expected string `json:"expected"`
	Failing  int64  `json:"failing_rows"`
	Message  string `json:"message"`
}

// PipelineHTML writes the report as one HTML file, as HTML does. The bytes depend on r alone.
func PipelineHTML(w io.Writer, r *Pipeline) error { return writeHTML(w, buildPipeline(r)) }
