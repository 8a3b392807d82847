package dataset

import (
	"time"

	"caos"
	"caos/internal/db"
)

// LineageRun is a run as OpenLineage is told of it. The same values make its START and its
// end; what is not known yet at the start is left out.
type LineageRun struct {
	Namespace   string         // of jobs: the address of this installation
	ExecutionID string         // EXEC-…; the run's UUID is made from it
	Job         string         // id of the pipeline, or of the contract that a validation applies
	Hook        string         // that runs it
	Title       string         // of the job, "" for none
	Parent      *LineageParent // that started the run, nil for none
	SQL         string         // of the job, "" for none
	From, To    time.Time      // nominal interval; zero for none
	Engine      string         // such as "DuckDB"; "" if nothing was run yet
	Version     string         // of the engine
	Inputs      []LineageData
	Outputs     []LineageData
}

// LineageParent is the run that started another.
type LineageParent struct{ ExecutionID, Job string }

// LineageData is a dataset that a run read or wrote.
type LineageData struct {
	URI        string
	Version    string // content digest, "" if it is not known yet
	Rows       *int64
	Bytes      *int64
	Files      *int64
	Columns    []LineageColumn
	Metrics    []LineageMetric    // of its columns, as a validation measured them
	Assertions []LineageAssertion // that a validation made
}

// LineageColumn is a column of a dataset.
type LineageColumn struct{ Name, Type string }

// LineageMetric is what was measured of a column; nil was not.
type LineageMetric struct {
	Column          string
	Nulls, Distinct *int64
	Count, Min, Max *float64
	Quantiles       map[string]float64 // by the quantile, such as "0.25"
}

// LineageAssertion is a check and what came of it.
type LineageAssertion struct {
	Assertion, Name, Column, Severity string // Severity: error, warning or info
	Success                           bool
	Expected, Actual                  string
}

// RunEvent is an OpenLineage event. Its JSON is to version 2-0-2 of the specification.
type RunEvent struct {
	EventType string // START, COMPLETE, FAIL or ABORT
	EventTime time.Time
	RunID     string // UUID
	Run       LineageRun
	Error     string // in words, of FAIL and ABORT
}

// Start tells that a run began.
func (r LineageRun) Start(at time.Time) RunEvent { return r.event("START", at, "") }

// Complete tells that a run ended well.
func (r LineageRun) Complete(at time.Time) RunEvent { return r.event("COMPLETE", at, "") }

// Fail tells that a run failed, and why in words.
func (r LineageRun) Fail(at time.Time, why string) RunEvent { return r.event("FAIL", at, why) }

// Abort tells that a run was cancelled, and why in words.
func (r LineageRun) Abort(at time.Time, why string) RunEvent { return r.event("ABORT", at, why) }

func (r LineageRun) event(kind string, at time.Time, why string) RunEvent {
	return RunEvent{EventType: kind, EventTime: at, RunID: RunID(r.Namespace, r.ExecutionID), Run: r, Error: why}
}

// RunID is the UUID of an execution's run.
func RunID(namespace, executionID string) string { return "" }

// MarshalJSON writes the event as the specification has it.
func (e RunEvent) MarshalJSON() ([]byte, error) {
	return nil, caos.Errorf(caos.Internal, "not written yet")
}

// RecordRunEvent keeps an OpenLineage event of an execution and has it sent, if this
// installation sends any. It belongs into the transaction that makes the event true. The same
// kind of event of the same execution is kept once.
func (d *Datasets) RecordRunEvent(tx *db.Tx, e RunEvent, project, classification string) error {
	return caos.Errorf(caos.Unavailable, "not there yet")
}
