package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"caos"
	"caos/internal/codec"
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

// ContractRef is the version of a contract that a target was checked by.
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

// Bounds of what is kept of a run.
const (
	maxIssues = 200
	maxIssue  = 1000 // bytes
)

// maxTurns bounds how many runs of one pipeline may wait.
const maxTurns = 1000

// TakeTurn queues an execution for a pipeline, once however often it is called, and returns
// the execution that it has to wait for, "" if it is this one's turn. Turns come in the
// order of the first call. What has ended without leaving its turn is taken out, so that a
// run that died keeps nobody waiting. Errors: TooLarge if a thousand runs wait already.
func (d *Datasets) TakeTurn(tx *db.Tx, pipelineID, executionID string) (ahead string, err error) {
	place, err := d.queue(tx, pipelineID, executionID)
	if err != nil {
		return "", err
	}
	for range maxTurns {
		ahead = ""
		err := tx.Query(`SELECT execution_id FROM pipeline_turns WHERE pipeline_id = $1 AND place < $2 ORDER BY place DESC LIMIT 1`, []any{pipelineID, place},
			func(scan func(...any) error) error { return scan(&ahead) })
		if err != nil || ahead == "" {
			return "", err
		}
		over, err := d.ended(tx, ahead)
		if err != nil || !over {
			return ahead, err
		}
		tx.Exec(`DELETE FROM pipeline_turns WHERE execution_id = $1`, ahead)
	}
	return ahead, tx.Err()
}

// queue gives an execution its place, which it keeps.
func (d *Datasets) queue(tx *db.Tx, pipelineID, executionID string) (place int64, err error) {
	var of string
	err = tx.Query(`SELECT pipeline_id, place FROM pipeline_turns WHERE execution_id = $1`, []any{executionID}, func(scan func(...any) error) error { return scan(&of, &place) })
	if err != nil {
		return 0, err
	}
	if of != "" {
		if of != pipelineID {
			return 0, caos.Errorf(caos.Internal, "%s waits for its turn of %s, not of %s", executionID, of, pipelineID)
		}
		return place, nil
	}
	var waiting int64
	if err := tx.QueryRow(`SELECT COUNT(*), COALESCE(MAX(place), 0) + 1 FROM pipeline_turns WHERE pipeline_id = $1`, pipelineID).Scan(&waiting, &place); err != nil {
		return 0, err
	}
	if waiting >= maxTurns {
		return 0, caos.Errorf(caos.TooLarge, "%d runs of %s wait already", waiting, pipelineID).WithField("pipeline_id").WithRule("pipeline-turns").
			WithHint("wait for them, or cancel some")
	}
	tx.Exec(`INSERT INTO pipeline_turns (execution_id, pipeline_id, place) VALUES ($1, $2, $3)`, executionID, pipelineID, place)
	return place, tx.Err()
}

// LeaveTurn ends an execution's turn, or its waiting for it. It may be called any number of
// times.
func (d *Datasets) LeaveTurn(tx *db.Tx, executionID string) error {
	tx.Exec(`DELETE FROM pipeline_turns WHERE execution_id = $1`, executionID)
	return tx.Err()
}

// check refuses what is no run, and bounds what is kept of it.
func (r *Run) check() error {
	if err := errors.Join(caos.CheckID("resource", "execution_id", r.ExecutionID), caos.CheckID("pipeline", "pipeline_id", r.PipelineID),
		caos.CheckWord("execution_mode", r.Mode, []string{ModeScheduled, ModeOnDemand, ModeEventDriven}),
		caos.CheckWord("status", r.Status, []string{RunRunning, RunSuccess, RunPartial, RunFailed, RunCancelled})); err != nil {
		return err
	}
	if r.Score != nil && (math.IsNaN(*r.Score) || *r.Score < 0 || *r.Score > 1) {
		return caos.Errorf(caos.Invalid, "a score is between 0 and 1").WithField("data_quality_score")
	}
	if math.IsNaN(r.Seconds) || math.IsInf(r.Seconds, 0) || r.Seconds < 0 || r.Records < 0 {
		return caos.Errorf(caos.Invalid, "records and seconds are counted from 0")
	}
	if (r.EndedAt == nil) != (r.Status == RunRunning) {
		return caos.Errorf(caos.Invalid, "a run that is %s has ended or not", r.Status).WithField("ended_at")
	}
	issues := []string{}
	for i, text := range r.Issues {
		if i == maxIssues-1 && len(r.Issues) > maxIssues {
			issues = append(issues, fmt.Sprintf("and %d more", len(r.Issues)-i))
			break
		}
		issues = append(issues, clip(text, maxIssue))
	}
	r.Issues, r.Outputs = issues, codec.Listed(r.Outputs)
	if r.Contracts == nil {
		r.Contracts = []ContractRef{}
	}
	return nil
}

// clip shortens a text, and makes it one that every database takes.
func clip(s string, n int) string {
	s = strings.ReplaceAll(s, "\x00", "")
	if len(s) > n {
		s = s[:n-len("…")] + "…"
	}
	return strings.ToValidUTF8(s, "")
}

// PutRun writes what became of a run so far, in place of what was written before; pipeline,
// version, mode, project and start stay as they were first. Its audit record is that of the
// execution's commit. A list of issues is cut at 200, each at 1000 bytes.
func (d *Datasets) PutRun(tx *db.Tx, r Run) error {
	if err := r.check(); err != nil {
		return err
	}
	contracts, err := writeJSON(r.Contracts)
	if err != nil {
		return err
	}
	n, err := tx.ExecRows(`INSERT INTO pipeline_runs (execution_id, pipeline_id, version, run_mode, span, status, records, score, seconds, outputs, issues, contracts,
			project, classification, started_at, ended_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
		ON CONFLICT (execution_id) DO UPDATE SET span = excluded.span, status = excluded.status, records = excluded.records, score = excluded.score,
			seconds = excluded.seconds, outputs = excluded.outputs, issues = excluded.issues, contracts = excluded.contracts,
			classification = excluded.classification, ended_at = excluded.ended_at
		WHERE pipeline_runs.pipeline_id = excluded.pipeline_id`,
		r.ExecutionID, r.PipelineID, r.Version, r.Mode, r.Interval, r.Status, r.Records, r.Score, r.Seconds, codec.ListJSON(r.Outputs), codec.ListJSON(r.Issues), contracts,
		r.Project, r.Classification, r.StartedAt.UnixMicro(), db.Instant(r.EndedAt))
	if err == nil && n == 0 {
		err = caos.Errorf(caos.Internal, "%s is a run of another pipeline than %s", r.ExecutionID, r.PipelineID)
	}
	return err
}

const runColumns = `execution_id, pipeline_id, version, run_mode, span, status, records, score, seconds, outputs, issues, contracts, project, classification, started_at, ended_at`

func scanRun(scan func(...any) error) (*Run, error) {
	var r Run
	var outputs, issues, contracts string
	var started, ended int64
	err := scan(&r.ExecutionID, &r.PipelineID, &r.Version, &r.Mode, &r.Interval, &r.Status, &r.Records, &r.Score, &r.Seconds, &outputs, &issues, &contracts,
		&r.Project, &r.Classification, &started, &ended)
	if err != nil {
		return nil, err
	}
	r.StartedAt, r.EndedAt = db.Moment(started), db.Optional(ended)
	return &r, errors.Join(readJSON(outputs, &r.Outputs), readJSON(issues, &r.Issues), readJSON(contracts, &r.Contracts))
}

func getRun(q query, executionID string) (*Run, error) {
	var r *Run
	if db.Storable(executionID) {
		err := q(`SELECT `+runColumns+` FROM pipeline_runs WHERE execution_id = $1`, []any{executionID}, func(scan func(...any) error) (err error) {
			r, err = scanRun(scan)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if r == nil {
		return nil, caos.Errorf(caos.NotFound, "there is no run %.80q, or it is not for you", executionID).WithField("execution_id").
			WithHint("caos pipeline history shows those there are")
	}
	return r, nil
}

// RunOf returns a run, or a NotFound error.
func (d *Datasets) RunOf(ctx context.Context, executionID string) (*Run, error) {
	return getRun(d.pool(ctx), executionID)
}

// RunIn is RunOf as a transaction sees it.
func (d *Datasets) RunIn(tx *db.Tx, executionID string) (*Run, error) {
	return getRun(within(tx), executionID)
}

// Runs lists runs, latest started first. cursor is "" and then the one returned.
func (d *Datasets) Runs(ctx context.Context, f RunFilter, cursor string) ([]*Run, string, error) {
	w := new(db.Where)
	w.Is("pipeline_id", f.PipelineID)
	w.Is("version", f.Version)
	w.Is("run_mode", f.Mode)
	w.Is("status", f.Status)
	w.Is("span", f.Interval)
	w.Is("project", f.Project)
	return db.Page(d.pool(ctx), w, db.Listing[*Run]{Columns: runColumns, From: "pipeline_runs", At: "started_at", ID: "execution_id",
		Limit: cmp.Or(f.Limit, 100), Scan: scanRun, Key: func(r *Run) (time.Time, string) { return r.StartedAt, r.ExecutionID },
	}, cursor)
}
