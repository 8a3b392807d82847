package hook

import (
	"cmp"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/contract"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/event"
	"caos/internal/object"
	"caos/internal/worker"
)

// This file has what a run leaves behind: versions and lineage, what it says of itself, and
// what it starts. It also ends runs that came to nothing.

// recordLineage makes what is published known: the versions, what they came from, and the
// run. From this commit on nothing is undone.
func (h *dataPipeline) recordLineage(tx *db.Tx, r *engine.Run, s *pipelineState) error {
	var edges []dataset.Edge
	run := dataset.ExecutionNode(r.ExecutionID, s.In.PipelineID+" "+s.In.PipelineVersion, s.status(), r.Now).In(s.Project, s.Classification)
	for _, src := range s.Sel.Sources {
		node, err := h.sawSource(tx, r, s, src)
		if err != nil {
			return err
		}
		if node != nil {
			edges = append(edges, dataset.Edge{From: *node, To: run, Kind: dataset.EdgeRead, ExecutionID: r.ExecutionID, At: r.Now})
		}
	}
	s.Out.OutputDatasets = []string{}
	for _, t := range s.Sel.Targets {
		at, o := s.target(t.Name), s.output(t.Name)
		if !at.Committed || o == nil {
			continue
		}
		v := dataset.Version{PipelineID: s.In.PipelineID, Target: t.Name, ExecutionID: r.ExecutionID, Interval: s.interval(), URI: t.URI, Rows: o.Rows,
			Columns: datasetColumns(o.Columns), Files: outputFiles(o), Project: s.Project, Classification: s.Classification}
		if ref := s.contractOf(t.Name); ref != nil {
			v.Contract = ref.ContractID + "@" + ref.Version
		}
		made, err := h.datasets.Publish(tx, v, h.by(r))
		if err != nil {
			return err
		}
		at.Dataset, at.N, at.Digest = made.DatasetID, made.N, made.Digest
		at.Page = h.baseURL + "/v1/datasets/" + url.PathEscape(made.DatasetID) + "/versions/" + strconv.FormatInt(made.N, 10)
		s.Out.OutputDatasets = append(s.Out.OutputDatasets, at.Page)
		edges = append(edges, dataset.Edge{From: run, To: dataset.VersionNode(made), Kind: dataset.EdgeWrote, ExecutionID: r.ExecutionID, At: r.Now})
	}
	if len(s.Out.OutputDatasets) == 0 {
		return engine.Reject(caos.Finding{Rule: "nothing-published", Subject: s.In.PipelineID, Message: "none of the targets could be published", Remedy: "see the issues of the targets"})
	}
	if err := h.datasets.Link(tx, edges, h.by(r)); err != nil {
		return err
	}
	s.Published = true
	s.settle(r.Now)
	if err := h.datasets.RecordRunEvent(tx, h.lineageRun(r, s).Complete(r.Now), s.Project, s.Classification); err != nil {
		return err
	}
	r.Record.Type, r.Record.Resources = auditlog.Data, s.resources(r.ExecutionID)
	r.Record.Details = map[string]any{"pipeline_id": s.In.PipelineID, "pipeline_version": s.In.PipelineVersion, "definition_digest": s.Digest, "published": s.published()}
	return h.datasets.PutRun(tx, s.run(r, dataset.RunRunning))
}

// published is what the audit record says of the versions.
func (s *pipelineState) published() (out []map[string]any) {
	for _, t := range s.Targets {
		if t.N > 0 {
			out = append(out, map[string]any{"dataset_id": t.Dataset, "version": t.N, "digest": t.Digest})
		}
	}
	return out
}

// sawSource is the node of what was read from a source: the version of a dataset, if the
// bytes are those that a pipeline published there, else an external version. Nil for a source
// that was not read.
func (h *dataPipeline) sawSource(tx *db.Tx, r *engine.Run, s *pipelineState, src dataset.Source) (*dataset.Node, error) {
	at := s.source(src.Name)
	in := s.input(src.Name)
	if at.Missing != "" || in == nil {
		return nil, nil
	}
	files := make([]dataset.File, len(at.Files))
	for i, f := range at.Files {
		files[i] = dataset.File{Name: f.Name, Digest: f.Digest, Bytes: f.Size}
	}
	known, err := h.publishedAs(tx, src.URI, files)
	if err != nil {
		return nil, err
	}
	if known != nil && known.Project == s.Project {
		at.Dataset, at.Version = known.DatasetID+"@"+strconv.FormatInt(known.N, 10), known.Digest
		node := dataset.VersionNode(known)
		return &node, nil
	}
	x, err := h.datasets.Saw(tx, dataset.External{URI: src.URI, Rows: in.Rows, Files: files, Columns: datasetColumns(in.Columns), Project: s.Project,
		Classification: s.Classification, FirstSeenBy: r.ExecutionID})
	if err != nil {
		return nil, err
	}
	at.Dataset, at.Version = x.ExternalID+"@"+strconv.FormatInt(x.N, 10), x.Digest
	node := dataset.ExternalNode(x)
	return &node, nil
}

// publishedAs is the latest version that a pipeline here published at a URI, if its files
// have these bytes.
func (h *dataPipeline) publishedAs(tx *db.Tx, uri string, files []dataset.File) (*dataset.Version, error) {
	v, err := h.datasets.VersionAt(tx, uri)
	if err != nil || v == nil {
		return nil, err
	}
	have := map[string]int{}
	for _, f := range files {
		have[f.Digest]++
	}
	for _, f := range v.Files {
		have[f.Digest]--
	}
	for _, n := range have {
		if n != 0 {
			return nil, nil
		}
	}
	return v, nil
}

// settle fixes what the output says once it is clear what is published.
func (s *pipelineState) settle(now time.Time) {
	status := s.status()
	s.Out.Status = &status
	s.Out.Issues = s.issues()
	s.clockIt(now)
}

// clockIt fixes the time that the run took: without waiting for its turn and for compute.
func (s *pipelineState) clockIt(now time.Time) {
	took := 0.0
	if !s.BeganAt.IsZero() {
		took = max(0, math.Round((now.Sub(s.BeganAt).Seconds()-s.Waited)*1000)/1000)
	}
	s.Out.ExecutionTimeSeconds = &took
}

// status is SUCCESS if nothing is missing, and PARTIAL if only optional things are.
func (s *pipelineState) status() string {
	for _, x := range s.Sources {
		if x.Missing != "" {
			return pipelinePartial
		}
	}
	for _, t := range s.Targets {
		if t.Failed != "" {
			return pipelinePartial
		}
	}
	return pipelineSuccess
}

// sentences collects issues.
type sentences struct{ list []string }

func (l *sentences) add(format string, args ...any) {
	text := strings.TrimSpace(strings.ToValidUTF8(fmt.Sprintf(format, args...), ""))
	if text == "" {
		return
	}
	if !strings.ContainsRune(".!?…", rune(text[len(text)-1])) {
		text += "."
	}
	if len(text) > maxIssueBytes {
		text = strings.ToValidUTF8(text[:maxIssueBytes], "") + "…"
	}
	if text[0] >= 'a' && text[0] <= 'z' {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	if !slices.Contains(l.list, text) {
		l.list = append(l.list, text)
	}
}

// bounded are the first issues, and how many more there are.
func (l *sentences) bounded() []string {
	if len(l.list) > maxIssueCount {
		more := len(l.list) - maxIssueCount + 1
		return append(l.list[:maxIssueCount-1], fmt.Sprintf("There are %d more issues.", more))
	}
	return l.list
}

// Bounds of the issues of an output.
const (
	maxIssueCount = 200
	maxIssueBytes = 1000
)

// issues are sentences that name a source or target and a cause.
func (s *pipelineState) issues() []string {
	l := &sentences{list: []string{}}
	for _, x := range s.Sel.Sources {
		at, in := s.source(x.Name), s.input(x.Name)
		switch {
		case at.Left:
			l.add("source %s was not chosen, and a table without rows stood for it", x.Name)
		case at.Missing != "" && s.Made != nil && slices.Contains(s.Made.Empty, x.Name):
			l.add("source %s could not be read, and a table without rows stood for it: %s", x.Name, at.Missing)
		case at.Missing != "":
			l.add("source %s could not be read: %s", x.Name, at.Missing)
		case in == nil && s.Made != nil:
			l.add("source %s was not read, because nothing that was made needs it", x.Name)
		case in != nil && in.Rejected > 0:
			l.add("source %s: %s left out%s", x.Name, countOf(in.Rejected, "row was", "rows were"), s.firstReject(in.Rejects))
		case in != nil && in.Rows == 0:
			l.add("source %s has no rows", x.Name)
		}
	}
	for _, name := range s.Sel.Left {
		if len(s.In.DataSources) == 0 {
			break // nobody asked for it by name
		}
		l.add("source %s was chosen and not read: nothing that was chosen needs it", name)
	}
	for _, t := range s.Sel.Targets {
		s.targetIssues(t, l)
	}
	return l.bounded()
}

func (s *pipelineState) targetIssues(t dataset.Target, l *sentences) {
	at := s.target(t.Name)
	switch {
	case at.Failed != "":
		l.add("target %s is not published: %s", t.Name, strings.TrimPrefix(at.Failed, "target "+t.Name+": "))
		return
	case s.output(t.Name) == nil || at.Checked == "":
		return
	case at.Quality == nil && len(s.Contracts) == 0:
		l.add("target %s was not checked: the definition names no contract for it", t.Name)
	case at.Quality == nil:
		l.add("target %s was not checked: it has no contract", t.Name)
	case at.Weight[1] == 0:
		l.add("target %s was checked by no blocking check: %s has none", t.Name, at.Quality.Contract)
	}
	if s.output(t.Name).Rows == 0 {
		l.add("target %s has no rows", t.Name)
	}
	if at.Quality != nil {
		for _, k := range at.Quality.Checks {
			if !k.Passed && k.Severity != contract.SeverityError {
				l.add("target %s: %s", t.Name, checkText(k))
			}
		}
	}
}

// firstReject says where the first row lies that was left out.
func (s *pipelineState) firstReject(list []worker.Reject) string {
	if len(list) == 0 {
		return ""
	}
	at := s.fileURI(list[0].File)
	if list[0].Line > 0 {
		at += ", line " + strconv.FormatInt(list[0].Line, 10)
	}
	return ", the first is " + at + ": " + list[0].Message
}

// input is what the worker found a source to be, nil for one that it did not read.
func (s *pipelineState) input(source string) *worker.InputResult {
	if s.Made == nil {
		return nil
	}
	for i := range s.Made.Inputs {
		if s.Made.Inputs[i].Name == source {
			return &s.Made.Inputs[i]
		}
	}
	return nil
}

func countOf(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatInt(n, 10) + " " + many
}

// lineageRun is the run as OpenLineage is told of it, as far as it is known.
func (h *dataPipeline) lineageRun(r *engine.Run, s *pipelineState) dataset.LineageRun {
	x := dataset.LineageRun{Namespace: h.baseURL, ExecutionID: r.ExecutionID, Job: s.In.PipelineID, Hook: r.HookID, Title: s.Title}
	if i := s.Sel.Interval; i != nil {
		x.From, x.To = i.Start, i.End
	}
	var sql []string
	for _, t := range s.Sel.Transforms {
		sql = append(sql, "-- "+t.Name+"\n"+t.SQL)
	}
	x.SQL = strings.Join(sql, ";\n\n")
	if s.Made != nil {
		x.Engine = s.Made.Engine
	}
	for _, src := range s.Sel.Sources {
		at, in := s.source(src.Name), s.input(src.Name)
		if at.Missing != "" {
			continue
		}
		d := dataset.LineageData{URI: src.URI, Version: at.Version}
		if in != nil {
			rows, bytes, files := in.Rows, in.Bytes, int64(len(at.Files))
			d.Rows, d.Bytes, d.Files, d.Columns = &rows, &bytes, &files, lineageColumns(in.Columns)
		}
		x.Inputs = append(x.Inputs, d)
	}
	for _, t := range s.Sel.Targets {
		at, o := s.target(t.Name), s.output(t.Name)
		d := dataset.LineageData{URI: t.URI}
		if o != nil && at.Committed {
			rows, bytes, files := o.Rows, o.Bytes, int64(len(o.Files))
			d.Version, d.Rows, d.Bytes, d.Files, d.Columns = at.Digest, &rows, &bytes, &files, lineageColumns(o.Columns)
			d.Assertions = assertionsOf(at)
		}
		if at.Failed == "" {
			x.Outputs = append(x.Outputs, d)
		}
	}
	return x
}

func lineageColumns(list []worker.Column) (out []dataset.LineageColumn) {
	for _, c := range list {
		out = append(out, dataset.LineageColumn{Name: c.Name, Type: c.Type})
	}
	return out
}

func assertionsOf(at *pipeTarget) (out []dataset.LineageAssertion) {
	if at.Quality == nil {
		return nil
	}
	for _, k := range at.Quality.Checks {
		out = append(out, dataset.LineageAssertion{Assertion: k.ID, Name: k.Name, Column: k.Column, Severity: k.Severity, Success: k.Passed, Expected: k.Expected, Actual: k.Value})
	}
	return out
}

// triggerDownstream ends the run and tells whoever follows it: DATA.VALIDATE of each output,
// and of a SUCCESS the workflows that are subscribed to it.
func (h *dataPipeline) triggerDownstream(tx *db.Tx, r *engine.Run, s *pipelineState) error {
	if err := h.bindReport(tx, r, s); err != nil {
		return err
	}
	r.Record.Resources = s.resources(r.ExecutionID)
	for _, t := range s.Targets {
		if t.N == 0 {
			continue
		}
		if err := h.tell(tx, r, s, t); err != nil {
			return err
		}
	}
	if *s.Out.Status == pipelineSuccess {
		e := event.Event{Type: EventPipelineSucceeded, Subject: s.In.PipelineID, Project: s.Project, Classification: s.Classification,
			Data: map[string]any{"execution_id": r.ExecutionID, "pipeline_id": s.In.PipelineID, "status": pipelineSuccess, "outputs": s.Out.OutputDatasets}}
		if err := h.emit(tx, e); err != nil {
			return err
		}
	}
	if err := h.datasets.PutRun(tx, s.run(r, *s.Out.Status)); err != nil {
		return err
	}
	return h.leave(tx, r)
}

// completed is the event of one output. Conditions of triggers can only compare, so a field
// says whether there is anything that the output can be validated by.
func (h *dataPipeline) completed(r *engine.Run, s *pipelineState, t pipeTarget) event.Event {
	rules, ref := "", s.contractOf(t.Name)
	if ref != nil {
		rules = ref.ContractID
	}
	return event.Event{Type: EventPipelineCompleted, Subject: s.In.PipelineID, Project: s.Project, Classification: s.Classification,
		Data: map[string]any{"execution_id": r.ExecutionID, "pipeline_id": s.In.PipelineID, "status": *s.Out.Status, "dataset_id": t.Dataset,
			"dataset_uri": t.Page, "has_contract": ref != nil, "validation_rules_id": rules}}
}

func (h *dataPipeline) emit(tx *db.Tx, e event.Event) error {
	if h.events == nil {
		return nil
	}
	return h.events.Emit(tx, e)
}

// tell emits the event of an output. That nothing validates it is a finding: data that are
// never validated look just like data that are.
func (h *dataPipeline) tell(tx *db.Tx, r *engine.Run, s *pipelineState, t pipeTarget) error {
	e := h.completed(r, s, t)
	if err := h.emit(tx, e); err != nil {
		return err
	}
	if s.contractOf(t.Name) == nil {
		r.Find(caos.Finding{Rule: "no-contract", Subject: t.Name, Message: "target " + t.Name + " is published, and no contract says what its data must be like",
			Remedy: "register a contract and name it in the next version of the definition: caos contract apply -f FILE"})
		return nil
	}
	if h.listens == nil {
		return nil
	}
	names, err := h.listens(tx, e)
	if err != nil || len(names) > 0 {
		return err
	}
	r.Find(caos.Finding{Rule: "nobody-validates", Subject: t.Name, Message: "target " + t.Name + " is published, and no trigger starts its validation",
		Remedy: "enable the one that comes with CAOS: caos trigger enable pipeline-validation --as SERVICE; for this run: caos validate " + r.ExecutionID})
	return nil
}

// leave gives the turn to the run behind.
func (h *dataPipeline) leave(tx *db.Tx, r *engine.Run) error {
	behind, err := h.datasets.Behind(tx, r.ExecutionID)
	if err != nil {
		return err
	}
	if err := h.datasets.LeaveTurn(tx, r.ExecutionID); err != nil {
		return err
	}
	if behind != "" {
		r.Wake(tx, behind)
	}
	return nil
}

// Kinds of the objects of a run.
const (
	KindPipelineReport     = "pipeline-report"      // HTML
	KindPipelineReportJSON = "pipeline-report-json" // the same as JSON
)

// bindReport keeps the report for as long as the run is known.
func (h *dataPipeline) bindReport(tx *db.Tx, r *engine.Run, s *pipelineState) error {
	if s.HTML == nil || s.JSON == nil || r.Now.Sub(s.Stored) > object.Grace/2 {
		return nil // there is a finding, or it may have been swept
	}
	for kind, ref := range map[string]object.Ref{KindPipelineReport: *s.HTML, KindPipelineReportJSON: *s.JSON} {
		b := object.Binding{Owner: r.ExecutionID, Kind: kind, Project: s.Project, Classification: s.Classification}
		if err := h.objects.Bind(tx, ref, b); err != nil {
			return err
		}
	}
	return nil
}

// recordFailure ends a run that failed or was cancelled. One that has published stays so.
func (h *dataPipeline) recordFailure(tx *db.Tx, r *engine.Run, s *pipelineState) error {
	r.Record.Resources = s.resources(r.ExecutionID)
	if err := h.bindReport(tx, r, s); err != nil {
		return err
	}
	why := whyEnded(r)
	status := dataset.RunFailed
	if r.Ending == engine.Cancelled {
		status = dataset.RunCancelled
	}
	if s.Published {
		r.Find(caos.Finding{Rule: "publication-stands", Subject: s.In.PipelineID, Message: "the targets are published and stay so; not all that follows was done",
			Remedy: "validate them with: caos validate " + r.ExecutionID})
		status = *s.Out.Status
	} else {
		s.fail(r, why)
	}
	if !s.BeganAt.IsZero() && !s.Published {
		x := h.lineageRun(r, s)
		e := x.Fail(r.Now, why)
		if r.Ending == engine.Cancelled {
			e = x.Abort(r.Now, why)
		}
		if err := h.datasets.RecordRunEvent(tx, e, s.Project, s.Classification); err != nil {
			return err
		}
	}
	if s.Settled { // else there was never a run: the request could not be read
		if err := h.datasets.PutRun(tx, s.run(r, status)); err != nil {
			return err
		}
	}
	return h.leave(tx, r)
}

// fail makes the output that of a run which published nothing.
func (s *pipelineState) fail(r *engine.Run, why string) {
	failed := pipelineFailed
	s.Out.Status, s.Out.OutputDatasets = &failed, []string{}
	s.clockIt(r.Now)
	l := &sentences{list: []string{}}
	for _, f := range r.Findings {
		l.add("%s", cmp.Or(f.Message, f.Rule))
	}
	if len(r.Findings) == 0 {
		l.add("%s", why)
	}
	for _, text := range s.issues() {
		l.add("%s", text)
	}
	s.Out.Issues = l.bounded()
}

// whyEnded is why an execution fails or is cancelled, in a sentence.
func whyEnded(r *engine.Run) string {
	if r.Cause != nil && r.Cause.Message != "" {
		return r.Cause.Message
	}
	return "the run ended " + string(r.Ending)
}
