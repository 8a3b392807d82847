package hook

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"time"

	"caos"
	"caos/internal/auth"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/location"
)

// This file publishes what was checked: every target is staged whole beside its place first,
// so that what can fail slowly has happened before anything is visible.

// publication is the name of a target's publication, the same for every attempt.
func (s *pipelineState) publication(execution, target string) string {
	return execution + "/" + target
}

// beginStaging notes, before anything is written, that there may be something to undo, and
// whose the targets are: what another pipeline has published is not replaced, and a folder
// that this one has never published to must be empty.
func (h *dataPipeline) beginStaging(tx *db.Tx, r *engine.Run, s *pipelineState) error {
	var taken []caos.Finding
	for _, t := range s.Sel.Targets {
		at := s.target(t.Name)
		if at.Failed != "" || s.output(t.Name) == nil {
			continue
		}
		own, other, err := h.datasets.Neighbours(tx, s.In.PipelineID, t.URI)
		switch {
		case err != nil:
			return err
		case other == nil:
			at.Staging, at.Own = true, own
		case t.Optional:
			at.Failed = takenBy(other, s.Project)
		default:
			taken = append(taken, caos.Finding{Rule: "target-taken", Subject: t.Name, Message: "target " + t.Name + ": " + takenBy(other, s.Project),
				Remedy: "register a version of the pipeline whose target lies elsewhere, or retire the pipeline that publishes there"})
		}
	}
	if len(taken) > 0 {
		return engine.Reject(taken...)
	}
	r.Record.Resources = s.resources(r.ExecutionID)
	return nil
}

// takenBy says whose a location is; a dataset of another project is not named.
func takenBy(other *dataset.Dataset, project string) string {
	who := "another project"
	if other.Project == project {
		who = other.DatasetID
	}
	return "there, in it or around it lies what " + who + " has published, and a target is replaced whole"
}

// stageTargets writes the checked files beside their targets. Files that are not there any
// more are made again first, and checked again if they are not the same; the publication
// compares every byte with the digest that was checked.
func (h *dataPipeline) stageTargets(ctx context.Context, r *engine.Run, s *pipelineState) error {
	ctx, cancel := h.watched(ctx, r)
	defer cancel()
	began := h.clock()
	if err := h.again(ctx, r, s); err != nil {
		return err
	}
	h.holds.end(r.ExecutionID) // nothing is computed any more
	staged, bytes := 0, int64(0)
	for _, t := range s.Sel.Targets {
		at, o := s.target(t.Name), s.output(t.Name)
		if at.Failed != "" || o == nil {
			continue
		}
		if content, err := contentOf(o); err != nil || content != at.Checked {
			return caos.Wrap(caos.Internal, err, "target %s is not what was checked", t.Name)
		}
		if err := h.stageTarget(ctx, r, s, t); err != nil {
			h.scratch.whole.Delete(r.ExecutionID) // look closely the next time
			return err
		}
		if at.Staged != nil {
			staged, bytes = staged+1, bytes+o.Bytes
		}
	}
	if staged == 0 {
		return engine.Reject(caos.Finding{Rule: "nothing-to-publish", Subject: s.In.PipelineID, Message: "no target is left that can be published: " + s.whyNone(&pipeWork{}),
			Remedy: "see the issues of the targets"})
	}
	if err := h.mine(ctx, r, s); err != nil {
		return err
	}
	s.moment(began, fmt.Sprintf("staged %s, %s", count(staged, "target"), sizeText(bytes)), h.clock().Sub(began))
	return nil
}

// mine takes back what was just staged if another node has come to the end of the run
// meanwhile, because this one was silent for long: nobody else would.
func (h *dataPipeline) mine(ctx context.Context, r *engine.Run, s *pipelineState) error {
	run, err := h.datasets.RunOf(ctx, r.ExecutionID)
	if err != nil || run.Status == dataset.RunRunning && len(run.Outputs) == 0 {
		return err
	}
	for _, name := range s.staged() {
		if err := h.locations.Undo(ctx, s.target(name).Staged); err != nil {
			return regarding("target "+name, err, "")
		}
	}
	return caos.Errorf(caos.Unavailable, "another node has gone on with this run")
}

// again has the checked files in the scratch folder, or other ones that are checked as well.
func (h *dataPipeline) again(ctx context.Context, r *engine.Run, s *pipelineState) error {
	there, err := h.intact(ctx, r.ExecutionID, s.Made)
	if err != nil || there {
		return err
	}
	done, err := h.compute(ctx, r, s)
	if err != nil {
		return err
	}
	defer done()
	if err := h.ensure(ctx, r, s); err != nil {
		return err
	}
	if err := h.checkTargets(ctx, r, s); err != nil {
		return err
	}
	return engine.Reject(s.judge()...)
}

// stageTarget stages one target. An optional one that cannot be is given up.
func (h *dataPipeline) stageTarget(ctx context.Context, r *engine.Run, s *pipelineState, t dataset.Target) error {
	at, o := s.target(t.Name), s.output(t.Name)
	files := h.locals(r.ExecutionID, o)
	folder := filepath.Join(h.scratch.of(r.ExecutionID), etlFolder)
	for i := range files {
		files[i].Path, files[i].Digest = filepath.FromSlash(o.Files[i].Path), o.Files[i].Digest
	}
	var last time.Time
	st, err := h.locations.Stage(ctx, location.Publication{Key: s.publication(r.ExecutionID, t.Name), Target: t.URI, Folder: folder, Files: files, Scope: s.scope(), New: !at.Own}, func(done, total int64) {
		if now := time.Now(); now.Sub(last) >= shownEvery || done == total {
			last = now
			r.Report(engine.Progress{Done: done, Total: total, Unit: "bytes", Message: "publish " + t.Name})
		}
	})
	at.Staged = st
	if err == nil {
		return nil
	}
	return h.withoutTarget(ctx, r, s, t, err)
}

// withoutTarget gives an optional target up; a required one stops the run. What may pass is
// tried again first.
func (h *dataPipeline) withoutTarget(ctx context.Context, r *engine.Run, s *pipelineState, t dataset.Target, err error) error {
	e := caos.AsError(err)
	if ctx.Err() != nil || e.Rule == "scratch-changed" {
		return caos.Wrap(caos.Unavailable, err, "target %s: %s", t.Name, e.Message)
	}
	if e.Kind.Retryable() && e.Kind != caos.Full && r.Attempt < pipelineRetry().MaxAttempts {
		return regarding("target "+t.Name, err, "")
	}
	if !t.Optional {
		return engine.Reject(caos.Finding{Rule: cmp.Or(e.Rule, "target-failed"), Subject: t.Name, Message: "target " + t.Name + ": " + e.Message,
			Remedy: cmp.Or(e.Hint, "see whether the target can be written, and run the pipeline again")})
	}
	undo := location.Staged{Key: s.publication(r.ExecutionID, t.Name), Target: t.URI, Scope: s.scope()}
	if st := s.target(t.Name).Staged; st != nil {
		undo = *st
	}
	if err := h.locations.Undo(ctx, &undo); err != nil && r.Attempt < pipelineRetry().MaxAttempts {
		return regarding("target "+t.Name, err, "")
	}
	at := s.target(t.Name)
	at.Failed, at.Staged, at.Staging = e.Message, nil, false
	return nil
}

// staged are the targets to be made visible.
func (s *pipelineState) staged() (out []string) {
	for _, t := range s.Targets {
		if t.Staged != nil && t.Failed == "" {
			out = append(out, t.Name)
		}
	}
	return out
}

// mayCommit asks again, in the commit that announces the publication, what the request was
// allowed by: the pipeline is in use, the account that asked may still act, and the target is
// one that the project may publish to.
func (h *dataPipeline) mayCommit(tx *db.Tx, r *engine.Run, s *pipelineState) error {
	t := s.definitionOf(r.Item)
	r.Record.Resources = []string{s.In.PipelineID, dataset.DatasetID(s.In.PipelineID, t.Name)}
	if _, err := h.stillThere(tx, s); err != nil {
		return err
	}
	if h.directory != nil && r.By.ID != caos.SystemPrincipal().ID {
		known, enabled, err := h.directory.KnownActor(tx, r.By.ID)
		if err != nil {
			return err
		}
		if !known || !enabled {
			return engine.Reject(caos.Finding{Rule: "requester-disabled", Subject: r.By.ID, Message: "the account " + r.By.ID + " that asked for the run is disabled",
				Remedy: "somebody else who may run the pipeline submits it again"})
		}
	}
	if err := h.stillAllowed(tx, r, s); err != nil {
		return err
	}
	if err := h.locations.Check(t.URI, true, s.scope()); err != nil {
		return reject(regarding("target "+t.Name, err, ""), "locations-allowed", t.Name)
	}
	return nil
}

// stillAllowed asks the policies again whether whoever asked for the run may: a role, a
// project or a clearance may have been withdrawn since. A token that has expired is no
// reason to stop.
func (h *dataPipeline) stillAllowed(tx *db.Tx, r *engine.Run, s *pipelineState) error {
	if h.allowed == nil || r.By.ID == caos.SystemPrincipal().ID {
		return nil
	}
	p, scope := r.By, s.scope()
	p.Token = ""
	err := h.allowed(tx, p, "hook:submit", auth.Resource{Type: "Hook", ID: pipelineHook, Project: cmp.Or(scope.Project, p.Project), Classification: scope.Classification}, nil)
	if caos.KindOf(err) != caos.Denied {
		return err
	}
	return engine.Reject(caos.Finding{Rule: "requester-not-allowed", Subject: p.ID, Message: "the account " + p.ID + " that asked for the run may not run it any more: " + caos.AsError(err).Message,
		Remedy: "somebody who may run the pipeline submits it again"})
}

// commitTarget makes one target visible, and keeps what was there until lineage knows of the
// new version.
func (h *dataPipeline) commitTarget(ctx context.Context, r *engine.Run, s *pipelineState) error {
	t := s.definitionOf(r.Item)
	at := s.target(t.Name)
	r.Report(engine.Progress{Done: 0, Total: 1, Unit: "targets", Message: "publish " + t.Name})
	if err := h.locations.Commit(ctx, at.Staged); err != nil {
		return h.withoutTarget(ctx, r, s, t, err)
	}
	at.Committed = true
	s.moment(h.clock(), "published "+t.Name, 0)
	return nil
}

// finishTargets drops what an undo would have needed: there is nothing to undo any more. What
// cannot be dropped is a finding.
func (h *dataPipeline) finishTargets(ctx context.Context, r *engine.Run, s *pipelineState) error {
	if err := h.finish(ctx, r, s, pipelineRetry()); err != nil {
		return err
	}
	if err := h.clear(r.ExecutionID); err != nil {
		if r.Attempt < pipelineRetry().MaxAttempts {
			return err
		}
		r.Find(caos.Finding{Rule: "scratch-left", Subject: r.ExecutionID, Message: "the files of the run could not be removed from the scratch folder",
			Remedy: "see the server's log; they are removed when the node starts again"})
	}
	return nil
}

// finish drops what is kept beside the targets that are published.
func (h *dataPipeline) finish(ctx context.Context, r *engine.Run, s *pipelineState, retry engine.RetryPolicy) error {
	for i := range s.Targets {
		at := &s.Targets[i]
		if at.Staged == nil || !at.Committed {
			continue
		}
		if err := h.locations.Finish(ctx, at.Staged); err != nil {
			if ctx.Err() != nil || caos.KindOf(err).Retryable() && r.Attempt < retry.MaxAttempts {
				return regarding("target "+at.Name, err, "")
			}
			r.Find(caos.Finding{Rule: "target-leftover", Subject: at.Name, Message: "target " + at.Name + " is published; what was there before could not be removed: " + caos.AsError(err).Message,
				Remedy: "remove what begins with .caos- beside the target"})
		}
	}
	return nil
}

// clear gives back all that the execution has on this node.
func (h *dataPipeline) clear(execution string) error {
	h.holds.end(execution)
	return h.scratch.remove(execution)
}

// undoable are the targets of which there may be something to take back.
func (s *pipelineState) undoable() (out []string) {
	if s.Published {
		return nil
	}
	for _, t := range s.Targets {
		if t.Staging || t.Staged != nil {
			out = append(out, t.Name)
		}
	}
	return out
}

// undoTarget puts back what was at a target. What cannot be put back in all attempts is a
// finding, so that the turn does not stay taken.
func (h *dataPipeline) undoTarget(ctx context.Context, r *engine.Run, s *pipelineState) error {
	t := s.definitionOf(r.Item)
	at := s.target(t.Name)
	undo := &location.Staged{Key: s.publication(r.ExecutionID, t.Name), Target: t.URI, Scope: s.scope()}
	if at.Staged != nil {
		undo = at.Staged
	}
	err := h.locations.Undo(ctx, undo)
	if err == nil {
		at.Undone, at.Committed, at.Staged, at.Staging = at.Committed, false, nil, false
		return nil
	}
	if ctx.Err() != nil || caos.KindOf(err).Retryable() && r.Attempt < undoRetry().MaxAttempts {
		return regarding("target "+t.Name, err, "")
	}
	r.Find(caos.Finding{Rule: "target-not-undone", Subject: t.Name, Message: "target " + t.Name + " could not be put back as it was: " + caos.AsError(err).Message,
		Remedy: "what was there lies beside it under a name that begins with .caos-; the next run that succeeds replaces the target"})
	return nil
}
