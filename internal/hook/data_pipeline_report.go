package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"caos"
	"caos/internal/dataset"
	"caos/internal/engine"
	"caos/internal/object"
	"caos/internal/report"
	"caos/internal/worker"
)

// This file writes the execution report of a run, also of one that failed.

// writeReport makes the report and puts it into the object store. A report that cannot be
// made is a finding: what is published stays, whatever is said of it.
func (h *dataPipeline) writeReport(ctx context.Context, r *engine.Run, s *pipelineState) error {
	err := h.putReport(ctx, r, s, h.document(r, s, *s.Out.Status))
	if err == nil || ctx.Err() != nil || caos.KindOf(err).Retryable() && r.Attempt < pipelineRetry().MaxAttempts {
		return err
	}
	r.Find(noRunReport(s, err))
	return nil
}

func noRunReport(s *pipelineState, err error) caos.Finding {
	return caos.Finding{Rule: "report-not-written", Subject: s.In.PipelineID, Message: "the execution report could not be kept: " + caos.AsError(err).Message,
		Remedy: "see the server's log; the execution itself has the same facts"}
}

// reportFailure clears up behind a run that came to nothing, and says what became of it.
func (h *dataPipeline) reportFailure(ctx context.Context, r *engine.Run, s *pipelineState) error {
	if err := h.clear(r.ExecutionID); err != nil && r.Attempt < undoRetry().MaxAttempts {
		return err
	}
	if s.Published { // it was stopped before what an undo would have needed was dropped
		if err := h.finish(ctx, r, s, undoRetry()); err != nil {
			return err
		}
	}
	if !s.Settled || s.HTML != nil {
		return nil
	}
	status := pipelineFailed
	if r.Ending == engine.Cancelled {
		status = dataset.RunCancelled
	}
	if s.Published {
		status = *s.Out.Status
	}
	if !s.Published {
		s.fail(r, whyEnded(r))
	}
	err := h.putReport(ctx, r, s, h.document(r, s, status))
	if err == nil || ctx.Err() != nil || caos.KindOf(err).Retryable() && r.Attempt < undoRetry().MaxAttempts {
		return err
	}
	r.Find(noRunReport(s, err))
	return nil
}

// putReport keeps a report as HTML and as JSON.
func (h *dataPipeline) putReport(ctx context.Context, r *engine.Run, s *pipelineState, doc *report.Pipeline) error {
	var html bytes.Buffer
	if err := report.PipelineHTML(&html, doc); err != nil {
		return fmt.Errorf("report of %s: %w", r.ExecutionID, err)
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return fmt.Errorf("report of %s: %w", r.ExecutionID, err)
	}
	stored := h.clock()
	page, err := h.objects.Put(ctx, &html, object.PutOptions{})
	if err != nil {
		return err
	}
	facts, err := h.objects.Put(ctx, bytes.NewReader(append(text, '\n')), object.PutOptions{})
	if err != nil {
		return err
	}
	s.HTML, s.JSON, s.Stored = &page, &facts, stored
	return nil
}

// document is the report of a run.
func (h *dataPipeline) document(r *engine.Run, s *pipelineState, status string) *report.Pipeline {
	doc := &report.Pipeline{ExecutionID: r.ExecutionID, PipelineID: s.In.PipelineID, Version: s.In.PipelineVersion, Digest: s.Digest, Title: s.Title, Owner: s.Owner,
		Project: s.Project, Classification: s.Classification, Mode: s.In.ExecutionMode, Interval: s.interval(), RequestedBy: r.RequestedBy, Status: status,
		Score: s.Out.DataQualityScore, Issues: s.Out.Issues, Outputs: s.Out.OutputDatasets, AskedAt: s.AskedAt, BeganAt: s.BeganAt, EndedAt: r.Now.UTC().Truncate(time.Millisecond),
		Moments: s.Moments}
	if s.Out.RecordsProcessed != nil {
		doc.Records = *s.Out.RecordsProcessed
	}
	if s.Out.ExecutionTimeSeconds != nil {
		doc.Seconds = *s.Out.ExecutionTimeSeconds
	}
	for _, f := range r.Findings {
		doc.Findings = append(doc.Findings, report.Finding{Rule: f.Rule, Subject: f.Subject, Message: f.Message, Remedy: f.Remedy})
	}
	if len(doc.Findings) == 0 && r.Cause != nil {
		doc.Findings = []report.Finding{{Rule: r.Cause.Rule, Message: r.Cause.Message, Remedy: r.Cause.Hint}}
	}
	doc.Compute = report.PipeCosts{MemoryBytes: s.Limits.MemoryBytes, Threads: s.Limits.Threads, ScratchBytes: s.Limits.ScratchBytes, Timeout: s.Limits.Timeout.Seconds(),
		WaitedCompute: s.Waited}
	if !s.BeganAt.IsZero() {
		doc.Compute.WaitedTurn = max(0, s.BeganAt.Sub(s.AskedAt).Seconds())
	}
	if s.Made != nil {
		doc.Compute.PeakBytes, doc.Compute.WorkerSeconds, doc.Compute.FetchSeconds = s.Made.Peak, s.Made.Seconds+s.Made.CheckSeconds, s.Made.FetchSeconds
	}
	s.reportParts(doc)
	doc.Verification = s.proofs(r)
	return doc
}

// reportParts says of each source, transform and target what became of it.
func (s *pipelineState) reportParts(doc *report.Pipeline) {
	for _, x := range s.Sel.Sources {
		doc.Sources = append(doc.Sources, s.reportSource(x))
	}
	g := s.Sel.Reads()
	for _, x := range s.Sel.Transforms {
		step := report.PipeStep{Name: x.Name, From: g[x.Name], State: report.PartNotRun, SQL: x.SQL, Rows: -1}
		if s.Made != nil {
			for _, m := range s.Made.Steps {
				if m.Name == x.Name {
					step.State, step.Rows, step.Seconds, step.Columns = report.PartDone, m.Rows, m.Seconds, reportColumns(m.Columns)
				}
			}
		}
		if s.failedAt(doc, x.Name) {
			step.State = report.PartFailed
		}
		doc.Steps = append(doc.Steps, step)
	}
	for _, x := range s.Sel.Targets {
		doc.Targets = append(doc.Targets, s.reportTarget(doc, x))
	}
	for i, x := range s.Sel.Sources {
		if doc.Sources[i].State == report.PartNotRun && s.failedAt(doc, x.Name) {
			doc.Sources[i].State = report.PartFailed
		}
	}
}

// failedAt reports whether a finding is about a part.
func (s *pipelineState) failedAt(doc *report.Pipeline, name string) bool {
	for _, f := range doc.Findings {
		if f.Subject == name {
			return true
		}
	}
	return false
}

func (s *pipelineState) reportSource(x dataset.Source) report.PipeIn {
	at := s.source(x.Name)
	in := report.PipeIn{Name: x.Name, URI: x.URI, Format: x.Format, Optional: x.Optional, State: report.PartNotRun, Dataset: at.Dataset, Digest: at.Version, Files: []report.PipeFile{}}
	if at.Missing != "" {
		in.State, in.Reason = report.PartMissing, at.Missing
		return in
	}
	for _, f := range at.Files {
		in.Files = append(in.Files, report.PipeFile{Name: f.URI, Digest: f.Digest, Bytes: max(f.Size, 0)})
		in.Bytes += max(f.Size, 0)
	}
	if got := s.input(x.Name); got != nil {
		in.State, in.Rows, in.Rejected, in.Columns = report.PartDone, got.Rows, got.Rejected, reportColumns(got.Columns)
		for _, j := range got.Rejects {
			in.Rejects = append(in.Rejects, report.PipeReject{File: s.fileURI(j.File), Line: j.Line, Column: j.Column, Message: j.Message})
		}
	}
	return in
}

func (s *pipelineState) reportTarget(doc *report.Pipeline, x dataset.Target) report.PipeOut {
	at, o := s.target(x.Name), s.output(x.Name)
	out := report.PipeOut{Name: x.Name, From: x.From, URI: x.URI, Format: x.Format, Optional: x.Optional, State: report.PartNotRun, Dataset: at.Dataset, N: at.N, Page: at.Page,
		Quality: at.Quality, Files: []report.PipeFile{}}
	if o != nil {
		out.Rows, out.Bytes, out.Digest, out.Columns = o.Rows, o.Bytes, at.Checked, reportColumns(o.Columns)
		for _, f := range outputFiles(o) {
			out.Files = append(out.Files, report.PipeFile{Name: f.Name, Digest: f.Digest, Bytes: f.Bytes})
		}
	}
	switch {
	case at.N > 0:
		out.State = report.PartDone
	case at.Undone:
		out.State = report.PartUndone
	case at.Failed != "":
		out.State, out.Reason = report.PartFailed, at.Failed
	case s.failedAt(doc, x.Name):
		out.State = report.PartFailed
	}
	return out
}

func reportColumns(list []worker.Column) (out []report.PipeColumn) {
	for _, c := range list {
		out = append(out, report.PipeColumn{Name: c.Name, Type: c.Type})
	}
	return out
}

// proofs say how somebody checks the report without trusting it.
func (s *pipelineState) proofs(r *engine.Run) []report.PipeProof {
	out := []report.PipeProof{{Text: "The run, its steps and the audit record of each.", Command: "caos execution show " + r.ExecutionID},
		{Text: "The log that has the records: every byte is hashed again.", Command: "caos audit verify"}}
	for _, t := range s.Targets {
		if t.N == 0 {
			continue
		}
		out = append(out, report.PipeProof{Text: "Version " + fmt.Sprint(t.N) + " of " + t.Dataset + ", and the digests of its files.", Command: fmt.Sprintf("caos dataset show %s --version %d", t.Dataset, t.N), Expect: t.Digest},
			report.PipeProof{Text: "Where it came from.", Command: fmt.Sprintf("caos lineage %s@%d --up", t.Dataset, t.N)})
		if o := s.output(t.Name); o != nil && len(o.Files) == 1 {
			out = append(out, report.PipeProof{Text: "Its only file has this digest.", Command: "sha256sum " + lastPartOf(s.definitionOf(t.Name).URI), Expect: strings.TrimPrefix(o.Files[0].Digest, "SHA256:")})
		}
	}
	return out
}

func lastPartOf(uri string) string {
	uri = strings.TrimRight(uri, "/")
	return uri[strings.LastIndexByte(uri, '/')+1:]
}
