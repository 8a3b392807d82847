package hook

import (
	"cmp"
	"context"
	"encoding/json"
	"reflect"
	"time"

	"caos"
	"caos/internal/auth"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/event"
	"caos/internal/location"
	"caos/internal/object"
	"caos/internal/report"
	"caos/internal/worker"
)

// CAOS.PROD.DATA.PIPELINE, section 5.1: reads the sources of a registered pipeline, runs its
// SQL in a worker, checks what came out against its contracts, and publishes it.
//
// Nothing is visible before everything was checked: the files are written to a scratch
// folder, checked there, staged whole beside their targets, and then made visible target by
// target. A required target that fails takes the others back. What is published is what was
// checked: its digests are in the saved state, and a scratch folder that is lost is made and
// checked again.

const pipelineHook = "CAOS.PROD.DATA.PIPELINE"

// The words of the output's status.
const (
	pipelineSuccess = "SUCCESS"
	pipelinePartial = "PARTIAL"
	pipelineFailed  = "FAILED"
)

// Events of pipelines that have ended and published something.
const (
	EventPipelineCompleted = "caos.pipeline.completed" // of each output: execution_id, pipeline_id, status, dataset_id, dataset_uri, has_contract, validation_rules_id
	EventPipelineSucceeded = "caos.pipeline.succeeded" // of SUCCESS alone: execution_id, pipeline_id, outputs
)

// PipelineInput is the hook's input.
type PipelineInput struct {
	PipelineID      string   `json:"pipeline_id" jsonschema:"pattern=^DP-[A-Z][A-Z0-9]{0\\,15}-[0-9]{3\\,6}$"`
	PipelineVersion string   `json:"pipeline_version" jsonschema:"pattern=^(0|[1-9][0-9]{0\\,5})\\.(0|[1-9][0-9]{0\\,5})$"`
	ExecutionMode   string   `json:"execution_mode" jsonschema:"enum=SCHEDULED,enum=ON_DEMAND,enum=EVENT_DRIVEN"`
	DataSources     []string `json:"data_sources" jsonschema:"maxItems=200,description=Names of sources of the definition; none means all. NAME@START/END says which interval the run is about."`
	TargetDatasets  []string `json:"target_datasets" jsonschema:"maxItems=200,description=Names of targets of the definition; none means all."`
}

// PipelineOutput is the hook's output.
type PipelineOutput struct {
	ExecutionID          string   `json:"execution_id"`
	Status               *string  `json:"status" jsonschema:"enum=SUCCESS,enum=PARTIAL,enum=FAILED"`
	RecordsProcessed     *int64   `json:"records_processed"`
	DataQualityScore     *float64 `json:"data_quality_score"`
	ExecutionTimeSeconds *float64 `json:"execution_time_seconds"`
	OutputDatasets       []string `json:"output_datasets"`
	Issues               []string `json:"issues"`
}

// pipelineState is what the hook remembers between commits.
type pipelineState struct {
	In             PipelineInput         `json:"in"`
	Title          string                `json:"title"`
	Owner          string                `json:"owner"`
	Digest         string                `json:"digest"` // of the definition
	Project        string                `json:"project"`
	Classification string                `json:"classification"`
	Sel            dataset.Selection     `json:"selection"` // what this run does of the definition, fixed at submission
	Limits         dataset.Limits        `json:"limits"`
	Contracts      []dataset.ContractRef `json:"contracts"` // by which its targets are checked, fixed when it begins

	Settled bool      `json:"settled"` // what the run does is fixed
	AskedAt time.Time `json:"asked_at"`
	BeganAt time.Time `json:"began_at"` // its turn came
	FoundAt time.Time `json:"found_at"` // its sources were found
	Ahead   string    `json:"ahead"`    // execution whose turn is before this one's
	Waited  float64   `json:"waited"`   // for compute, seconds

	Sources []pipeSource    `json:"sources"`
	Targets []pipeTarget    `json:"targets"`
	Made    *pipeMade       `json:"made"` // what the worker made, from step 3
	Moments []report.Moment `json:"moments"`

	Published bool        `json:"published"` // lineage says so: nothing is undone any more
	HTML      *object.Ref `json:"html"`
	JSON      *object.Ref `json:"json"`
	Stored    time.Time   `json:"stored"` // when, on the safe side

	Out PipelineOutput `json:"out"`
}

// pipeSource is a source as the run found it.
type pipeSource struct {
	Name    string          `json:"name"`
	Files   []location.File `json:"files"`   // as probed; with digests once fetched
	Missing string          `json:"missing"` // why an optional one could not be read
	Left    bool            `json:"left"`    // it was not chosen
	Bytes   int64           `json:"bytes"`
	Dataset string          `json:"dataset"` // by which lineage knows what was read: id@version
	Version string          `json:"version"` // content digest
}

// pipeTarget is a target as far as the run came with it.
type pipeTarget struct {
	Name      string              `json:"name"`
	Failed    string              `json:"failed"`  // why an optional one is not published
	Checked   string              `json:"checked"` // content digest of what was checked
	Blocked   bool                `json:"blocked"` // the checks forbid its publication
	Quality   *report.PipeQuality `json:"quality"`
	Weight    [2]float64          `json:"weight"`  // of the blocking checks: passed, all
	Own       bool                `json:"own"`     // the pipeline has published there before
	Staging   bool                `json:"staging"` // there may be something to undo
	Staged    *location.Staged    `json:"staged"`
	Committed bool                `json:"committed"`
	Undone    bool                `json:"undone"`
	Rows      int64               `json:"rows"`
	Dataset   string              `json:"dataset"`
	N         int64               `json:"version"` // published
	Page      string              `json:"page"`
	Digest    string              `json:"digest"`
}

// pipeMade is what a run of the worker made, and from what.
type pipeMade struct {
	Engine       string                `json:"engine"` // the worker and its engine, with their versions; "" if it does not say
	Inputs       []worker.InputResult  `json:"inputs"`
	Steps        []worker.StepResult   `json:"steps"`
	Outputs      []worker.OutputResult `json:"outputs"`
	Peak         int64                 `json:"peak"`
	Seconds      float64               `json:"seconds"`
	FetchSeconds float64               `json:"fetch_seconds"`
	CheckSeconds float64               `json:"check_seconds"`
	Empty        []string              `json:"empty"` // missing sources that a table without rows stood for
}

// Listener reports which enabled triggers an event would start.
type Listener func(tx *db.Tx, e event.Event) ([]string, error)

// dataPipeline holds the only things the hook may touch.
type dataPipeline struct {
	datasets  *dataset.Datasets
	locations *location.Locations
	worker    Worker
	quality   quality
	objects   *object.Store
	events    *event.Outbox
	directory Directory
	allowed   func(tx *db.Tx, p caos.Principal, action string, res auth.Resource, further map[string]any) error // nil where nobody is asked
	listens   Listener
	holds     *holds
	scratch   *scratch
	available *availability
	db        *db.DB
	clock     func() time.Time
	baseURL   string
}

// DataPipeline makes the hook.
func DataPipeline(c Collaborators) *Hook {
	h := newDataPipeline(c)
	return &Hook{
		ID: pipelineHook, Version: "1.0.0", Section: "5.1", Title: "Data Pipeline Orchestration Hook", Trigger: "Scheduled or event-driven data pipeline execution",
		Owner: "Data Engineering", Retry: engine.DefaultRetry(), Timeout: 24 * time.Hour,
		Input: reflect.TypeFor[PipelineInput](), Output: reflect.TypeFor[PipelineOutput](),
		Read: h.read,
		Gates: []Gate{
			{Name: "pipeline-known", Action: "The pipeline has this version and is not retired", Test: h.pipelineKnown},
			{Name: "selection-known", Action: "The sources and targets are the definition's, and the interval is well formed", Test: h.selectionKnown},
			{Name: "mode-honest", Action: "Only a schedule says SCHEDULED, and only an event or a webhook EVENT_DRIVEN", Test: h.modeHonest},
			{Name: "compute-fits", Action: "The node has the compute that the definition asks for", Test: h.computeFits},
			{Name: "worker-available", Action: "caos-worker can run on this machine", Test: h.workerAvailable},
			{Name: "locations-allowed", Action: "The pipeline's project may read its sources and write its targets", Test: h.locationsAllowed},
			{Name: "contracts-known", Action: "The contracts that the targets are checked by are registered", Test: h.contractsKnown},
		},
		Flow: h.plan().Flow(),
	}
}

func newDataPipeline(c Collaborators) *dataPipeline {
	h := &dataPipeline{datasets: c.Datasets, locations: c.Locations, worker: c.Worker, quality: quality{worker: c.Worker}, objects: c.Objects, events: c.Events, directory: c.Directory, allowed: c.Allowed,
		listens: c.Listens, holds: newHolds(c.Compute), scratch: &scratch{folder: c.Scratch}, available: &availability{}, db: c.DB, clock: c.Now, baseURL: c.BaseURL}
	if h.clock == nil {
		h.clock = time.Now
	}
	return h
}

func (h *dataPipeline) plan() engine.Plan[pipelineState] {
	const (
		validate = "Validate data source availability"
		etl      = "Execute ETL workflow"
	)
	return engine.Plan[pipelineState]{
		Hook: pipelineHook, Version: "1.0.0", Revision: 1, Schema: 1,
		Begin: func(r *engine.Run, input json.RawMessage) (*pipelineState, error) {
			in, err := inputOf[PipelineInput](input)
			return &pipelineState{In: in, AskedAt: r.Now, Out: PipelineOutput{ExecutionID: r.ExecutionID, OutputDatasets: []string{}, Issues: []string{}}}, err
		},
		Steps: []engine.Step[pipelineState]{
			engine.InTx(1, validate, "settle-request", h.settleRequest),
			engine.Repeat("turn", func(s *pipelineState) bool { return s.Ahead == "" },
				engine.InTx(1, validate, "take-turn", h.takeTurn),
				engine.Each("ahead", (*pipelineState).ahead, engine.Wait(1, validate, "await-turn", h.awaitTurn, h.turnCame))),
			engine.InTx(1, validate, "begin-run", h.beginRun),
			engine.Call(1, validate, "probe-sources", h.probeSources).Retry(pipelineRetry()),
			engine.Call(2, "Allocate compute resources", "allocate-compute", h.allocateCompute).Retry(computeRetry()),
			engine.Call(3, etl, "run-etl", h.runETL).Retry(pipelineRetry()),
			engine.Call(4, "Perform data quality checks", "check-quality", h.checkQuality).Retry(pipelineRetry()),
			engine.InTx(4, "Perform data quality checks", "judge-quality", h.judgeQuality),
			engine.Call(3, etl, "stage-targets", h.stageTargets).Before(h.beginStaging).Retry(pipelineRetry()),
			engine.Each("targets", (*pipelineState).staged, engine.Call(3, etl, "commit-target", h.commitTarget).Before(h.mayCommit).Retry(pipelineRetry())),
			engine.InTx(5, "Update data lineage records", "record-lineage", h.recordLineage),
			engine.Call(3, etl, "finish-targets", h.finishTargets).Retry(pipelineRetry()),
			engine.Call(6, "Generate execution report", "write-report", h.writeReport).Retry(pipelineRetry()),
			engine.InTx(7, "Trigger downstream workflows if successful", "trigger-downstream", h.triggerDownstream),
		},
		Output: func(s *pipelineState) any { return s.Out },
		// Also of an execution that is cancelled. What lineage knows is published and stays.
		Compensate: []engine.Step[pipelineState]{
			engine.Each("published", (*pipelineState).undoable, engine.Call(3, etl, "undo-target", h.undoTarget).Retry(undoRetry())),
			engine.Call(6, "Generate execution report", "report-failure", h.reportFailure).Retry(undoRetry()),
			engine.InTx(5, "Update data lineage records", "record-failure", h.recordFailure),
		},
	}
}

// pipelineRetry is for what other systems do: sources and targets are down for minutes, too.
func pipelineRetry() engine.RetryPolicy {
	return engine.RetryPolicy{MaxAttempts: 5, InitialIntervalMS: 1000, MaxIntervalMS: 30_000, Factor: 3, Jitter: 0.2}
}

// computeRetry comes back for compute for as long as the hook's own time lasts.
func computeRetry() engine.RetryPolicy {
	return engine.RetryPolicy{MaxAttempts: 100_000, InitialIntervalMS: 2000, MaxIntervalMS: 10_000, Factor: 1.5, Jitter: 0.5}
}

// undoRetry takes back a publication from a store that is away for a while.
func undoRetry() engine.RetryPolicy {
	return engine.RetryPolicy{MaxAttempts: 8, InitialIntervalMS: 500, MaxIntervalMS: 30_000, Factor: 2, Jitter: 0.2}
}

// read says what an input names. Of a pipeline that does not exist the gates will say so.
func (h *dataPipeline) read(ctx context.Context, input json.RawMessage) (Named, error) {
	in, err := inputOf[PipelineInput](input)
	if err != nil {
		return Named{}, err
	}
	n := Named{ExecutionPrefix: "EXEC-" + in.PipelineID + "-"}
	if h.datasets == nil || h.locations == nil || h.worker == nil {
		return n, caos.Errorf(caos.Unavailable, "this installation runs no pipelines")
	}
	h.available.look(ctx, h.worker) // the gate is asked in a transaction, which must not wait for a program
	p, err := h.datasets.Pipeline(ctx, in.PipelineID, in.PipelineVersion)
	if caos.KindOf(err) == caos.NotFound {
		return n, nil
	}
	if err != nil {
		return n, err
	}
	n.Project, n.Classification, n.Owner = p.Project, p.Classification, p.Owner
	return n, nil
}

func (h *dataPipeline) by(r *engine.Run) dataset.By {
	return dataset.By{Actor: r.RequestedBy, RecordedBy: r.By.ID, Execution: r.ExecutionID, Hook: r.HookID}
}

func (s *pipelineState) scope() location.Scope {
	return location.Scope{Project: s.Project, Classification: s.Classification}
}

// source and target return the part of the state, which is there for every selected one.
func (s *pipelineState) source(name string) *pipeSource {
	for i := range s.Sources {
		if s.Sources[i].Name == name {
			return &s.Sources[i]
		}
	}
	s.Sources = append(s.Sources, pipeSource{Name: name})
	return &s.Sources[len(s.Sources)-1]
}

func (s *pipelineState) target(name string) *pipeTarget {
	for i := range s.Targets {
		if s.Targets[i].Name == name {
			return &s.Targets[i]
		}
	}
	s.Targets = append(s.Targets, pipeTarget{Name: name})
	return &s.Targets[len(s.Targets)-1]
}

// definitionOf returns the selected source or target of a name.
func (s *pipelineState) definitionOf(name string) dataset.Target {
	for _, t := range s.Sel.Targets {
		if t.Name == name {
			return t
		}
	}
	return dataset.Target{Name: name}
}

// contractOf is the contract that a target is checked by, nil for none.
func (s *pipelineState) contractOf(target string) *dataset.ContractRef {
	for i := range s.Contracts {
		if s.Contracts[i].Target == target {
			return &s.Contracts[i]
		}
	}
	return nil
}

// moment adds a line to the timeline.
func (s *pipelineState) moment(at time.Time, text string, took time.Duration) {
	if len(s.Moments) < maxMoments {
		s.Moments = append(s.Moments, report.Moment{At: at.UTC().Truncate(time.Millisecond), Text: text, Seconds: took.Round(time.Millisecond).Seconds()})
	}
}

// maxMoments bounds the timeline.
const maxMoments = 60

func (s *pipelineState) resources(execution string) []string {
	out := []string{s.In.PipelineID}
	for _, t := range s.Sel.Targets {
		out = append(out, dataset.DatasetID(s.In.PipelineID, t.Name))
	}
	return append(out, cmp.Or(execution, s.Out.ExecutionID))
}
