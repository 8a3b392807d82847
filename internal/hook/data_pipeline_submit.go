package hook

import (
	"context"
	"strconv"
	"sync"
	"time"

	"caos"
	"caos/internal/auth"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/location"
)

// This file has what the request for a run alone shows: the gates before an execution comes
// into being.

// availability remembers for a moment whether the worker can run, because finding out starts
// a program, and a gate is asked in a transaction.
type availability struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

// availableFor is how long what was found out holds.
const availableFor = 30 * time.Second

func (a *availability) look(ctx context.Context, w Worker) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil && !a.at.IsZero() && time.Since(a.at) < availableFor {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	a.err, a.at = w.Available(ctx), time.Now()
}

func (a *availability) said() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// about returns the pipeline and the input of a question.
func (h *dataPipeline) about(tx *db.Tx, q Question) (*dataset.Pipeline, PipelineInput, error) {
	in, err := inputOf[PipelineInput](q.Input)
	if err != nil {
		return nil, in, err
	}
	p, err := h.datasets.PipelineIn(tx, in.PipelineID, in.PipelineVersion)
	return p, in, err
}

func (h *dataPipeline) pipelineKnown(tx *db.Tx, q Question) (map[string]any, error) {
	p, in, err := h.about(tx, q)
	facts := map[string]any{"pipeline_id": in.PipelineID, "pipeline_version": in.PipelineVersion}
	if caos.KindOf(err) == caos.NotFound {
		if latest, lookErr := h.datasets.PipelineIn(tx, in.PipelineID, ""); lookErr == nil && latest.Project == q.Named.Project && q.Named.Project != "" {
			return facts, named(err, "pipeline_version")
		}
		return facts, named(err, "pipeline_id")
	}
	if err != nil {
		return facts, err
	}
	if err := knowable(tx, q, "pipeline:read", auth.Resource{Type: "Pipeline", ID: p.PipelineID, Project: p.Project, Classification: p.Classification, Owner: p.Owner}); err != nil {
		return facts, err
	}
	facts["digest"], facts["latest"] = p.Digest, p.Latest
	if p.RetiredAt != nil {
		return facts, retired(p)
	}
	return facts, nil
}

func retired(p *dataset.Pipeline) error {
	return caos.Errorf(caos.Conflict, "%s was retired at %s: %s", p.PipelineID, caos.FormatTime(*p.RetiredAt), clip(p.RetiredReason)).WithField("pipeline_id").
		WithRule("pipeline-retired").WithHint("no run of it begins any more; its datasets and their history stay")
}

// selectionKnown refuses names that the definition does not have and intervals that are none.
func (h *dataPipeline) selectionKnown(tx *db.Tx, q Question) (map[string]any, error) {
	p, in, err := h.about(tx, q)
	if err != nil {
		return nil, named(err, "pipeline_id")
	}
	sel, err := p.Select(in.DataSources, in.TargetDatasets, nominal(q.By, h.clock()))
	if err != nil {
		return nil, err
	}
	facts := map[string]any{"sources": namesOfSources(sel.Sources), "targets": namesOfTargets(sel.Targets)}
	if sel.Interval != nil {
		facts["interval"] = sel.Interval.String()
	}
	return facts, nil
}

// nominal is the moment that a run is about: a schedule's nominal time, else the given one.
func nominal(by caos.Principal, now time.Time) time.Time {
	if by.Cause != nil && by.Cause.Nominal != nil {
		return *by.Cause.Nominal
	}
	return now
}

func namesOfSources(list []dataset.Source) []string {
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = x.Name
	}
	return out
}

func namesOfTargets(list []dataset.Target) []string {
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = x.Name
	}
	return out
}

// modeHonest keeps people from saying that a schedule or an event did what they did.
func (h *dataPipeline) modeHonest(_ *db.Tx, q Question) (map[string]any, error) {
	in, err := inputOf[PipelineInput](q.Input)
	if err != nil {
		return nil, err
	}
	facts := map[string]any{"execution_mode": in.ExecutionMode}
	if q.By.Cause != nil {
		facts["trigger"] = q.By.Cause.Trigger
	}
	switch {
	case in.ExecutionMode == dataset.ModeScheduled && !q.By.CausedBy(caos.CauseCron):
		return facts, caos.Errorf(caos.Invalid, "only a schedule says SCHEDULED").WithField("execution_mode").WithRule("mode-honest").
			WithHint("say ON_DEMAND; the pipeline's schedule is a trigger of kind CRON, see caos trigger list")
	case in.ExecutionMode == dataset.ModeEventDriven && !q.By.CausedBy(caos.CauseEvent, caos.CauseWebhook):
		return facts, caos.Errorf(caos.Invalid, "only an event or a webhook says EVENT_DRIVEN").WithField("execution_mode").WithRule("mode-honest").
			WithHint("say ON_DEMAND; the pipeline's subscriptions are triggers, see caos trigger list")
	}
	return facts, nil
}

// computeFits refuses what the node can never give.
func (h *dataPipeline) computeFits(tx *db.Tx, q Question) (map[string]any, error) {
	p, _, err := h.about(tx, q)
	if err != nil {
		return nil, named(err, "pipeline_id")
	}
	want, err := p.Compute.Request()
	if err != nil {
		return nil, err
	}
	facts := map[string]any{"memory_bytes": want.MemoryBytes, "threads": want.Threads, "scratch_bytes": want.ScratchBytes, "timeout_seconds": want.Timeout.Seconds()}
	if h.holds.allocator == nil || h.holds.allocator() == nil {
		return facts, nil
	}
	has, _, waiting := h.holds.allocator().Usage()
	facts["node_memory_bytes"], facts["node_threads"], facts["waiting"] = has.MemoryBytes, has.Threads, waiting
	if want.MemoryBytes > has.MemoryBytes || want.Threads > has.Threads {
		return facts, caos.Errorf(caos.Invalid, "%s asks for %d bytes of memory and %s, and this node gives %d and %s at most", p.PipelineID, want.MemoryBytes,
			count(want.Threads, "thread"), has.MemoryBytes, strconv.Itoa(has.Threads)).WithField("pipeline_id").
			WithHint("register a version that asks for less compute, or raise memory_bytes and threads in the node's configuration")
	}
	return facts, nil
}

// resourcesOf is what the allocator is asked for.
func resourcesOf(l dataset.Limits) engine.Resources {
	return engine.Resources{MemoryBytes: l.MemoryBytes, Threads: l.Threads}
}

func (h *dataPipeline) workerAvailable(*db.Tx, Question) (map[string]any, error) {
	return nil, h.available.said()
}

// locationsAllowed asks of every address whether it may be used, without touching it.
func (h *dataPipeline) locationsAllowed(tx *db.Tx, q Question) (map[string]any, error) {
	p, in, err := h.about(tx, q)
	if err != nil {
		return nil, named(err, "pipeline_id")
	}
	sel, err := p.Select(in.DataSources, in.TargetDatasets, nominal(q.By, h.clock()))
	if err != nil {
		return nil, err
	}
	return map[string]any{"sources": len(sel.Sources), "targets": len(sel.Targets)}, h.mayUse(sel, location.Scope{Project: p.Project, Classification: p.Classification})
}

// mayUse refuses addresses that a pipeline may not use, naming the source or target.
func (h *dataPipeline) mayUse(sel *dataset.Selection, scope location.Scope) error {
	for _, s := range sel.Sources {
		if err := h.locations.Check(s.URI, false, scope); err != nil {
			return regarding("source "+s.Name, err, "data_sources")
		}
	}
	for _, t := range sel.Targets {
		if err := h.locations.Check(t.URI, true, scope); err != nil {
			return regarding("target "+t.Name, err, "target_datasets")
		}
	}
	return nil
}

// regarding puts what an error is about before it. The field is that of the input, not of a
// configuration that the caller cannot see.
func regarding(what string, err error, field string) error {
	e := *caos.AsError(err)
	e.Message = what + ": " + e.Message
	if e.Field = field; e.Rule == "" {
		e.Rule = "locations-allowed"
	}
	return &e
}

// contractsKnown resolves the contracts of the targets.
func (h *dataPipeline) contractsKnown(tx *db.Tx, q Question) (map[string]any, error) {
	p, in, err := h.about(tx, q)
	if err != nil {
		return nil, named(err, "pipeline_id")
	}
	sel, err := p.Select(in.DataSources, in.TargetDatasets, nominal(q.By, h.clock()))
	if err != nil {
		return nil, err
	}
	refs, err := h.resolveContracts(tx, p, sel)
	facts := map[string]any{}
	for _, r := range refs {
		facts[r.Target] = r.ContractID + "@" + r.Version
	}
	return facts, err
}

// resolveContracts finds the version of the contract of each target that has one.
func (h *dataPipeline) resolveContracts(tx *db.Tx, p *dataset.Pipeline, sel *dataset.Selection) ([]dataset.ContractRef, error) {
	out := []dataset.ContractRef{}
	for _, t := range sel.Targets {
		ref := p.ContractOf(t)
		if ref == "" {
			continue
		}
		id, version, err := dataset.ParseContractRef(ref)
		if err != nil {
			return out, named(err, "pipeline_id")
		}
		c, err := h.datasets.ContractIn(tx, id, version)
		if err == nil && (c.Project != "" && c.Project != p.Project || above(c.Classification, p.Classification)) {
			err = caos.Errorf(caos.NotFound, "there is no contract %s, or it is not for this project", ref) // which of the two is nobody's business
		}
		if err != nil {
			if caos.KindOf(err) == caos.NotFound {
				return out, caos.Errorf(caos.Conflict, "target %s: there is no contract %s", t.Name, ref).WithField("target_datasets").WithRule("contracts-known").
					WithHint("register it: caos contract apply FILE")
			}
			return out, err
		}
		out = append(out, dataset.ContractRef{Target: t.Name, ContractID: c.ContractID, Version: c.Version, Digest: c.Digest})
	}
	return out, nil
}
