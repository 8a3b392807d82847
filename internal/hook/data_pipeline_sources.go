package hook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"caos"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/engine"
)

// This file has a run up to the moment at which it has its compute: what it is to do, whose
// turn it is, what its sources are.

// settleRequest fixes what the run does: the version's definition with the interval of this
// moment. What is registered or retired later does not change it.
func (h *dataPipeline) settleRequest(tx *db.Tx, r *engine.Run, s *pipelineState) error {
	p, err := h.datasets.PipelineIn(tx, s.In.PipelineID, s.In.PipelineVersion)
	if err != nil {
		return named(err, "pipeline_id")
	}
	sel, err := p.Select(s.In.DataSources, s.In.TargetDatasets, nominal(r.By, r.Now))
	if err != nil {
		return err
	}
	if s.Limits, err = p.Compute.Request(); err != nil {
		return err
	}
	s.Sel, s.Title, s.Owner, s.Digest, s.Project, s.Classification = *sel, p.Title, p.Owner, p.Digest, p.Project, p.Classification
	s.Settled, s.AskedAt = true, r.Now.UTC()
	s.Sel.Sources = append(slices.Clone(sel.Sources), sel.Without...)
	for _, x := range s.Sel.Sources {
		s.source(x.Name)
	}
	for _, x := range sel.Without {
		*s.source(x.Name) = pipeSource{Name: x.Name, Left: true, Missing: "it was not chosen"}
	}
	for _, x := range sel.Targets {
		s.target(x.Name)
	}
	r.Record.Resources = s.resources(r.ExecutionID)
	return nil
}

// takeTurn queues the run behind those of the same pipeline that came before it.
func (h *dataPipeline) takeTurn(tx *db.Tx, r *engine.Run, s *pipelineState) (err error) {
	s.Ahead, err = h.datasets.TakeTurn(tx, s.In.PipelineID, r.ExecutionID)
	r.Record.Resources = s.resources(r.ExecutionID)
	return err
}

func (s *pipelineState) ahead() []string {
	if s.Ahead == "" {
		return nil
	}
	return []string{s.Ahead}
}

// turnLook is how often a run that waits for another one looks by itself. The one ahead wakes
// it when it leaves; one that ended without doing so is found like this.
const turnLook = 2 * time.Minute

func (h *dataPipeline) awaitTurn(_ *db.Tx, r *engine.Run, s *pipelineState) (engine.WaitSpec, error) {
	r.Record.Resources = append(s.resources(r.ExecutionID), s.Ahead)
	return engine.WaitSpec{Child: s.Ahead, Until: r.Now.Add(turnLook)}, nil
}

// turnCame ends the wait; the next round asks whose turn it is.
func (h *dataPipeline) turnCame(_ *db.Tx, _ *engine.Run, _ *pipelineState, _ engine.Wake) (bool, error) {
	return true, nil
}

// beginRun starts the run, of which the history and OpenLineage hear now. What was true when
// it was asked for may have changed while it waited.
func (h *dataPipeline) beginRun(tx *db.Tx, r *engine.Run, s *pipelineState) error {
	s.BeganAt = r.Now.UTC()
	if waited := s.BeganAt.Sub(s.AskedAt); waited > time.Second {
		s.moment(s.AskedAt, "asked for; waited for the runs before it", waited)
	}
	p, err := h.stillThere(tx, s)
	if err != nil {
		return err
	}
	if s.Contracts, err = h.resolveContracts(tx, p, &s.Sel); err != nil {
		return reject(err, "contracts-known", s.In.PipelineID)
	}
	if err := h.datasets.PutRun(tx, s.run(r, dataset.RunRunning)); err != nil {
		return err
	}
	r.Record.Resources = s.resources(r.ExecutionID)
	return h.datasets.RecordRunEvent(tx, h.lineageRun(r, s).Start(s.BeganAt), s.Project, s.Classification)
}

// stillThere returns the pipeline unless it was retired since.
func (h *dataPipeline) stillThere(tx *db.Tx, s *pipelineState) (*dataset.Pipeline, error) {
	p, err := h.datasets.PipelineIn(tx, s.In.PipelineID, s.In.PipelineVersion)
	if err != nil {
		return nil, err
	}
	if p.RetiredAt != nil {
		return nil, reject(retired(p), "pipeline-retired", p.PipelineID)
	}
	return p, nil
}

// reject makes a finding of an error that no repetition mends. Another one is returned as it
// is, and tried again.
func reject(err error, rule, subject string) error {
	var known *caos.Error
	if err == nil || !errors.As(err, &known) || known.Kind.Retryable() {
		return err
	}
	return engine.Reject(caos.Finding{Rule: cmp.Or(known.Rule, rule), Subject: subject, Message: known.Message, Remedy: cmp.Or(known.Hint, "see docs/pipelines.md")})
}

// run is the run as the history shows it.
func (s *pipelineState) run(r *engine.Run, status string) dataset.Run {
	x := dataset.Run{ExecutionID: r.ExecutionID, PipelineID: s.In.PipelineID, Version: s.In.PipelineVersion, Mode: s.In.ExecutionMode, Interval: s.interval(),
		Status: status, Outputs: s.Out.OutputDatasets, Issues: s.Out.Issues, Contracts: s.Contracts, Score: s.Out.DataQualityScore,
		Project: s.Project, Classification: s.Classification, StartedAt: s.BeganAt}
	if x.StartedAt.IsZero() {
		x.StartedAt = s.AskedAt
	}
	if s.Out.RecordsProcessed != nil {
		x.Records = *s.Out.RecordsProcessed
	}
	if s.Out.ExecutionTimeSeconds != nil {
		x.Seconds = *s.Out.ExecutionTimeSeconds
	}
	if status != dataset.RunRunning {
		now := r.Now.UTC().Truncate(time.Microsecond)
		x.EndedAt = &now
	}
	return x
}

func (s *pipelineState) interval() string {
	return s.Sel.Span
}

// Bounds of the files of one run: they are all in its saved state and in its lineage.
const (
	maxProbed  = 5000
	maxWritten = 4000
)

// probeSources looks whether every source is there, and notes what it is: its files with
// digest, ETag or version, by which a change is noticed when they are fetched.
func (h *dataPipeline) probeSources(ctx context.Context, r *engine.Run, s *pipelineState) error {
	began, files := h.clock(), 0
	for i, src := range s.Sel.Sources {
		r.Report(engine.Progress{Done: int64(i), Total: int64(len(s.Sel.Sources)), Unit: "sources", Message: "probe " + src.Name})
		at := s.source(src.Name)
		if at.Left {
			continue
		}
		*at = pipeSource{Name: src.Name}
		found, err := reachable(ctx, h.locations, h.datasets, src.URI, s.scope())
		if err == nil && len(found) == 0 || err != nil && caos.AsError(err).Rule == "source-missing" {
			err = caos.Errorf(caos.NotFound, "there is no file at %s", src.URI).WithRule("source-missing")
		}
		if err != nil {
			if err := h.without(r, s, src, err); err != nil {
				return err
			}
			continue
		}
		if at.Files, files = found, files+len(found); files > maxProbed {
			return engine.Reject(caos.Finding{Rule: "too-many-files", Subject: src.Name, Message: fmt.Sprintf("the sources have more than %d files", maxProbed),
				Remedy: "make the pattern narrower, or run the pipeline for a smaller interval"})
		}
	}
	s.FoundAt = h.clock().UTC()
	s.moment(began, fmt.Sprintf("looked at %s: %s", count(len(s.Sel.Sources), "source"), count(files, "file")), h.clock().Sub(began))
	if _, stop := s.work(); len(stop) > 0 {
		return engine.Reject(stop...)
	}
	return nil
}

// without goes on without an optional source. A required one stops the run with a finding;
// what may pass is tried again first, for an optional one, too.
func (h *dataPipeline) without(r *engine.Run, s *pipelineState, src dataset.Source, err error) error {
	e := caos.AsError(err)
	if e.Kind.Retryable() && r.Attempt < pipelineRetry().MaxAttempts {
		return regarding("source "+src.Name, err, "")
	}
	if src.Optional {
		s.source(src.Name).Missing = e.Message
		return nil
	}
	if e.Kind.Retryable() {
		return regarding("source "+src.Name, err, "")
	}
	rule := e.Rule
	if rule == "" && e.Kind == caos.NotFound { // of what leads to the source, such as a secret
		rule = "location-credentials"
	}
	if rule == "" {
		rule = "source-" + map[caos.Kind]string{caos.NotFound: "missing", caos.Conflict: "changed", caos.TooLarge: "too-large", caos.Denied: "denied"}[e.Kind]
	}
	if rule == "source-" {
		rule = "source-unreadable"
	}
	return engine.Reject(caos.Finding{Rule: rule, Subject: src.Name, Message: "source " + src.Name + ": " + e.Message,
		Remedy: cmp.Or(e.Hint, "put it where the definition says, or make the source optional")})
}

// allocateCompute waits for the compute that the definition asks for.
func (h *dataPipeline) allocateCompute(ctx context.Context, r *engine.Run, s *pipelineState) error {
	r.Report(engine.Progress{Message: "waiting for compute"})
	done, err := h.holds.use(ctx, r.ExecutionID, resourcesOf(s.Limits), true)
	if err != nil {
		return err
	}
	done()
	took := h.clock().Sub(s.FoundAt) // also between the attempts
	s.Waited = took.Seconds()
	s.moment(s.FoundAt, fmt.Sprintf("was given %s of memory and %s", sizeText(s.Limits.MemoryBytes), count(s.Limits.Threads, "thread")), took)
	return nil
}

// sizeText writes a size as the definition does.
func sizeText(n int64) string {
	switch {
	case n >= 1<<30 && n%(1<<28) == 0:
		return fmt.Sprintf("%g GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d bytes", n)
}
