package dataset

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/event"
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
	Engine      string         // what the worker says of itself: "caos-worker 1.2.0, DuckDB v1.5.6"; "" if nothing was run yet
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

// ValidationRun is a validation as OpenLineage is told of it: a run that reads one version,
// with what it measured and asserted. Of columns that are masked it tells no values.
func ValidationRun(namespace string, v *Validation) LineageRun {
	r := LineageRun{Namespace: namespace, ExecutionID: v.ExecutionID, Job: v.ContractID, Hook: "CAOS.PROD.DATA.VALIDATE", Engine: v.Engine}
	if v.PipelineExecution != "" && v.PipelineID != "" {
		r.Parent = &LineageParent{ExecutionID: v.PipelineExecution, Job: v.PipelineID}
	}
	rows, bytes := v.Rows, v.Bytes
	in := LineageData{URI: v.DatasetURI, Version: v.DatasetDigest, Rows: &rows, Bytes: &bytes}
	number := func(text string) *float64 {
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return &f
		}
		return nil
	}
	for _, c := range v.Profile {
		in.Columns = append(in.Columns, LineageColumn{Name: c.Name, Type: c.Type})
		nulls, distinct := c.Nulls, c.Distinct
		m := LineageMetric{Column: c.Name, Nulls: &nulls, Distinct: &distinct}
		if !c.Masked {
			m.Min, m.Max = number(c.Min), number(c.Max)
			for i, q := range c.Quantiles {
				if places := []string{"0", "0.05", "0.25", "0.5", "0.75", "0.95", "1"}; len(c.Quantiles) == len(places) {
					if m.Quantiles == nil {
						m.Quantiles = map[string]float64{}
					}
					m.Quantiles[places[i]] = q
				}
			}
		}
		in.Metrics = append(in.Metrics, m)
	}
	for _, k := range v.Checks {
		in.Assertions = append(in.Assertions, LineageAssertion{Assertion: cmp.Or(k.Metric, k.Kind, k.ID), Name: cmp.Or(k.Name, k.ID), Column: k.Column, Severity: k.Severity,
			Success: k.Passed, Expected: k.Expected, Actual: k.Value})
	}
	r.Inputs = []LineageData{in}
	return r
}

// RunID is the UUID of an execution's run: version 8 of RFC 9562, made from the first 16
// bytes of a SHA-256 as its appendix B.2 has it. It follows from the execution's id, so that
// every node and every repetition tells of the same run; and from the namespace, as a copy of
// an installation has the same executions and may tell the same receiver. Version 5 would
// need SHA-1.
func RunID(namespace, executionID string) string {
	sum := sha256.Sum256([]byte("openlineage run\x00" + namespace + "\x00" + executionID))
	b := sum[:16]
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Where the schemas of the events and of their facets are.
const (
	runEventSchema = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
	facetSchemas   = "https://openlineage.io/spec/facets/"
)

// producer is the URI of who tells: the installation, which is also the namespace of its jobs.
func (r LineageRun) producer() string { return cmp.Or(r.Namespace, "urn:caos") }

// facet is one with what every facet has: schema is its version and name.
func (r LineageRun) facet(version, name string, members map[string]any) map[string]any {
	members["_producer"] = r.producer()
	members["_schemaURL"] = facetSchemas + version + "/" + name + ".json#/$defs/" + name
	return members
}

// MarshalJSON writes the event as the specification has it.
func (e RunEvent) MarshalJSON() ([]byte, error) {
	r := e.Run
	event := map[string]any{
		"eventType": e.EventType, "eventTime": caos.FormatTime(e.EventTime), "producer": r.producer(), "schemaURL": runEventSchema,
		"run":    map[string]any{"runId": e.RunID, "facets": r.runFacets(e.Error)},
		"job":    map[string]any{"namespace": r.producer(), "name": r.Job, "facets": r.jobFacets()},
		"inputs": []any{}, "outputs": []any{},
	}
	for list, data := range map[string][]LineageData{"inputs": r.Inputs, "outputs": r.Outputs} {
		out := make([]any, len(data))
		for i, d := range data {
			out[i] = r.dataset(d, list == "outputs")
		}
		event[list] = out
	}
	return json.Marshal(event)
}

// processingEngine finds the engine in what a worker says of itself: its last part, if that
// has a version.
func processingEngine(said string) (name, version string) {
	last := strings.TrimSpace(said[strings.LastIndexByte(said, ',')+1:])
	name, version, _ = strings.Cut(last, " ")
	version = strings.TrimPrefix(version, "v")
	if version == "" || !digit(version[0]) {
		return name, ""
	}
	return name, version
}

func (r LineageRun) runFacets(failure string) map[string]any {
	facets := map[string]any{}
	if !r.From.IsZero() {
		nominal := map[string]any{"nominalStartTime": caos.FormatTime(r.From)}
		if !r.To.IsZero() {
			nominal["nominalEndTime"] = caos.FormatTime(r.To)
		}
		facets["nominalTime"] = r.facet("1-0-1", "NominalTimeRunFacet", nominal)
	}
	if p := r.Parent; p != nil {
		facets["parent"] = r.facet("1-2-0", "ParentRunFacet", map[string]any{
			"run": map[string]any{"runId": RunID(r.Namespace, p.ExecutionID)}, "job": map[string]any{"namespace": r.producer(), "name": p.Job}})
	}
	if name, version := processingEngine(r.Engine); version != "" {
		facets["processing_engine"] = r.facet("1-1-1", "ProcessingEngineRunFacet", map[string]any{"name": name, "version": version})
	}
	if failure != "" {
		facets["errorMessage"] = r.facet("1-0-1", "ErrorMessageRunFacet", map[string]any{"message": failure, "programmingLanguage": "SQL"})
	}
	return facets
}

func (r LineageRun) jobFacets() map[string]any {
	kind := "PIPELINE"
	if strings.HasSuffix(r.Hook, ".VALIDATE") {
		kind = "VALIDATION"
	}
	facets := map[string]any{"jobType": r.facet("2-0-4", "JobTypeJobFacet", map[string]any{"processingType": "BATCH", "integration": "CAOS", "jobType": kind})}
	if r.SQL != "" {
		facets["sql"] = r.facet("1-1-0", "SQLJobFacet", map[string]any{"query": r.SQL, "dialect": "duckdb"})
	}
	if r.Title != "" {
		facets["documentation"] = r.facet("1-1-0", "DocumentationJobFacet", map[string]any{"description": r.Title})
	}
	return facets
}

// dataset is a dataset of an event, as what was read or what was written.
func (r LineageRun) dataset(d LineageData, output bool) map[string]any {
	namespace, name := datasetName(r.producer(), d.URI)
	facets := map[string]any{}
	if len(d.Columns) > 0 {
		fields := make([]any, len(d.Columns))
		for i, c := range d.Columns {
			fields[i] = map[string]any{"name": c.Name, "type": c.Type, "ordinal_position": i + 1}
		}
		facets["schema"] = r.facet("1-2-0", "SchemaDatasetFacet", map[string]any{"fields": fields})
	}
	if d.Version != "" {
		facets["version"] = r.facet("1-0-1", "DatasetVersionDatasetFacet", map[string]any{"datasetVersion": d.Version})
	}
	out := map[string]any{"namespace": namespace, "name": name, "facets": facets}
	counted := map[string]any{}
	for name, n := range map[string]*int64{"rowCount": d.Rows, "size": d.Bytes, "fileCount": d.Files} {
		if n != nil {
			counted[name] = *n
		}
	}
	if output {
		if len(counted) > 0 {
			out["outputFacets"] = map[string]any{"outputStatistics": r.facet("1-0-2", "OutputStatisticsOutputDatasetFacet", counted)}
		}
		return out
	}
	of := map[string]any{}
	if len(counted) > 0 {
		of["inputStatistics"] = r.facet("1-0-0", "InputStatisticsInputDatasetFacet", counted)
	}
	if len(d.Metrics) > 0 {
		of["dataQualityMetrics"] = r.facet("1-0-3", "DataQualityMetricsInputDatasetFacet", d.metrics())
	}
	if len(d.Assertions) > 0 {
		of["dataQualityAssertions"] = r.facet("1-1-0", "DataQualityAssertionsDatasetFacet", map[string]any{"assertions": d.assertions()})
	}
	out["inputFacets"] = of
	return out
}

// metrics are the members of dataQualityMetrics. What is no number in JSON is left out.
func (d LineageData) metrics() map[string]any {
	columns := map[string]any{}
	for _, m := range d.Metrics {
		c := map[string]any{}
		for name, n := range map[string]*int64{"nullCount": m.Nulls, "distinctCount": m.Distinct} {
			if n != nil {
				c[name] = *n
			}
		}
		for name, v := range map[string]*float64{"count": m.Count, "min": m.Min, "max": m.Max} {
			if v != nil && finite(*v) {
				c[name] = *v
			}
		}
		quantiles := map[string]float64{}
		for q, v := range m.Quantiles {
			if finite(v) {
				quantiles[q] = v
			}
		}
		if len(quantiles) > 0 {
			c["quantiles"] = quantiles
		}
		columns[m.Column] = c
	}
	out := map[string]any{"columnMetrics": columns}
	for name, n := range map[string]*int64{"rowCount": d.Rows, "bytes": d.Bytes, "fileCount": d.Files} {
		if n != nil {
			out[name] = *n
		}
	}
	return out
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// assertions are the members of dataQualityAssertions. OpenLineage calls a warning warn.
func (d LineageData) assertions() []any {
	out := make([]any, len(d.Assertions))
	for i, x := range d.Assertions {
		a := map[string]any{"assertion": x.Assertion, "success": x.Success}
		severity := x.Severity
		if severity == "warning" {
			severity = "warn"
		}
		for name, text := range map[string]string{"name": x.Name, "column": x.Column, "severity": severity, "expected": x.Expected, "actual": x.Actual} {
			if text != "" {
				a[name] = text
			}
		}
		out[i] = a
	}
	return out
}

// datasetName is a location by OpenLineage's conventions: its namespace is the store and its
// name the place there. They have none for HTTP, where the store is the server. User, query
// and fragment of an address may be secrets, and are no part of the name.
func datasetName(otherwise, uri string) (namespace, name string) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" || u.Opaque != "" {
		return otherwise, cmp.Or(strings.Trim(uri, "/ "), "unnamed")
	}
	path := strings.TrimRight(u.Path, "/")
	switch scheme := strings.ToLower(u.Scheme); {
	case scheme == "file" && u.Host == "":
		return "file", cmp.Or(path, "/")
	case scheme == "s3":
		return "s3://" + u.Host, cmp.Or(strings.TrimLeft(path, "/"), "/")
	default:
		return scheme + "://" + u.Host, cmp.Or(path, "/")
	}
}

// EventRunRecorded is the event of an OpenLineage event that was kept: seq.
const EventRunRecorded = "caos.lineage.recorded"

// maxRunEvent bounds an OpenLineage event in bytes of JSON. One that is longer loses what
// describes its data and keeps what it says of their way.
const maxRunEvent = 1 << 20

// encode is the event's JSON within its bound.
func (e RunEvent) encode() (string, error) {
	text, err := writeJSON(e)
	if err != nil || len(text) <= maxRunEvent {
		return text, err
	}
	slim := func(all []LineageData) []LineageData {
		out := make([]LineageData, len(all))
		for i, d := range all {
			d.Columns, d.Metrics, d.Assertions = nil, nil, nil
			out[i] = d
		}
		return out
	}
	e.Run.SQL, e.Run.Inputs, e.Run.Outputs = "", slim(e.Run.Inputs), slim(e.Run.Outputs)
	return writeJSON(e)
}

// RecordRunEvent keeps an OpenLineage event of an execution and has it sent, if this
// installation sends any. It belongs into the transaction that makes the event true. The same
// kind of event of the same execution is kept once; its audit record is that of the
// execution's commit.
func (d *Datasets) RecordRunEvent(tx *db.Tx, e RunEvent, project, classification string) error {
	text, err := e.encode()
	if err != nil {
		return err
	}
	var seq int64
	if err := tx.QueryRow(`SELECT COALESCE(MAX(seq), 0) + 1 FROM openlineage_events`).Scan(&seq); err != nil {
		return err
	}
	if classification == "" {
		classification = "Internal"
	}
	n, err := tx.ExecRows(`INSERT INTO openlineage_events
		(event_id, seq, execution_id, run_id, event_type, event_time, event, project, classification, tried_at, sent_at, refused_at, refusal)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, 0, '') ON CONFLICT (execution_id, event_type) DO NOTHING`,
		d.stamps.ID("OL-"), seq, e.Run.ExecutionID, e.RunID, e.EventType, db.Micros(e.EventTime), text, project, classification)
	if err != nil || n == 0 {
		return err
	}
	return d.events.Emit(tx, event.Event{Type: EventRunRecorded, Subject: e.Run.ExecutionID, Project: project, Classification: classification,
		Data: map[string]any{"seq": seq, "event_type": e.EventType}})
}

// KeptRunEvent is an OpenLineage event as it was kept, with what became of it.
type KeptRunEvent struct {
	EventID        string          `json:"event_id"`
	ExecutionID    string          `json:"execution_id"`
	RunID          string          `json:"run_id"`
	EventType      string          `json:"event_type"`
	Event          json.RawMessage `json:"event"` // OpenLineage's JSON
	SentAt         *time.Time      `json:"sent_at"`
	Refusal        string          `json:"refusal"` // why it is not sent, "" if nothing speaks against it
	Project        string          `json:"project"`
	Classification string          `json:"classification"`
}

// RunEvents returns the OpenLineage events of an execution, in the order in which they were
// made: a handful.
func (d *Datasets) RunEvents(ctx context.Context, executionID string) ([]KeptRunEvent, error) {
	out := []KeptRunEvent{}
	if !db.Storable(executionID) {
		return out, nil
	}
	err := d.pool(ctx)(`SELECT event_id, execution_id, run_id, event_type, event, sent_at, refusal, project, classification FROM openlineage_events
		WHERE execution_id = $1 ORDER BY seq LIMIT 100`, []any{executionID}, func(scan func(...any) error) error {
		var e KeptRunEvent
		var text string
		var sent int64
		if err := scan(&e.EventID, &e.ExecutionID, &e.RunID, &e.EventType, &text, &sent, &e.Refusal, &e.Project, &e.Classification); err != nil {
			return err
		}
		e.Event, e.SentAt = json.RawMessage(text), db.Optional(sent)
		out = append(out, e)
		return nil
	})
	return out, err
}
