package dataset

import (
	"context"
	"time"

	"caos"
	"caos/internal/db"
)

// The modes of a run, in the specification's words.
const (
	ModeScheduled   = "SCHEDULED"
	ModeOnDemand    = "ON_DEMAND"
	ModeEventDriven = "EVENT_DRIVEN"
)

// The status of a run: RunRunning until it ended, then the specification's words.
const (
	RunRunning   = "RUNNING"
	RunSuccess   = "SUCCESS"
	RunPartial   = "PARTIAL"
	RunFailed    = "FAILED"
	RunCancelled = "CANCELLED"
)

// Run is an execution of a pipeline, as lists and the history show it.
type Run struct {
	ExecutionID    string        `json:"execution_id"`
	PipelineID     string        `json:"pipeline_id"`
	Version        string        `json:"pipeline_version"`
	Mode           string        `json:"execution_mode"`
	Interval       string        `json:"interval"` // 2001-01-01/2001-02-01, "" for none
	Status         string        `json:"status"`
	Records        int64         `json:"records_processed"`
	Score          *float64      `json:"data_quality_score"`
	Seconds        float64       `json:"execution_time_seconds"`
	Outputs        []string      `json:"output_datasets"`
	Issues         []string      `json:"issues"`
	Contracts      []ContractRef `json:"contracts"` // that its targets were checked by
	Project        string        `json:"project"`
	Classification string        `json:"classification"`
	StartedAt      time.Time     `json:"started_at"`
	EndedAt        *time.Time    `json:"ended_at"`
}

// ContractRef is a version of a contract that a target was checked by.
type ContractRef struct {
	Target     string `json:"target"`
	ContractID string `json:"contract_id"`
	Version    string `json:"version"`
	Digest     string `json:"digest"`
}

// RunFilter chooses runs; empty fields match all.
type RunFilter struct {
	PipelineID, Version, Mode, Status, Interval, Project string
	Limit                                                int // of a page; 0 means 100, the most is 1000
}

// TakeTurn queues an execution for a pipeline, once however often it is called, and returns
// the execution whose turn it is before this one's, "" if it is this one's turn. Turns come
// in the order of the first call; one whose execution has ended without leaving is over.
func (d *Datasets) TakeTurn(tx *db.Tx, pipelineID, executionID string) (ahead string, err error) {
	return "", caos.Errorf(caos.Unavailable, "not there yet")
}

// LeaveTurn ends an execution's turn, or its waiting for it. It may be called any number of
// times.
func (d *Datasets) LeaveTurn(tx *db.Tx, executionID string) error {
	return caos.Errorf(caos.Unavailable, "not there yet")
}

// PutRun writes what became of a run so far, in place of what was written before. Its audit
// record is that of the execution's commit.
func (d *Datasets) PutRun(tx *db.Tx, r Run) error {
	return caos.Errorf(caos.Unavailable, "not there yet")
}

// RunOf returns a run, or a NotFound error.
func (d *Datasets) RunOf(ctx context.Context, executionID string) (*Run, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// RunIn is RunOf as a transaction sees it.
func (d *Datasets) RunIn(tx *db.Tx, executionID string) (*Run, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// Runs lists runs, latest started first. cursor is "" and then the one returned.
func (d *Datasets) Runs(ctx context.Context, f RunFilter, cursor string) ([]*Run, string, error) {
	return nil, "", caos.Errorf(caos.Unavailable, "not there yet")
}
