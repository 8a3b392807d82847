package hook

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"caos"
	"caos/internal/contract"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/location"
	"caos/internal/report"
	"caos/internal/worker"
)

// This file checks what was made, before anybody can see it.

// ensure has the files of the saved state in the scratch folder. They may be gone: the
// process died, or another node goes on. Then they are made again, and what differs from what
// was checked is checked again.
func (h *dataPipeline) ensure(ctx context.Context, r *engine.Run, s *pipelineState) error {
	there, err := h.intact(ctx, r.ExecutionID, s.Made)
	if err != nil || there {
		return err
	}
	s.moment(h.clock(), "the scratch folder was lost; everything is fetched and made again", 0)
	return h.makeFiles(ctx, r, s)
}

// intact reports whether the files are there that the state speaks of. A process that wrote
// them itself knows; another one reads them.
func (h *dataPipeline) intact(ctx context.Context, execution string, made *pipeMade) (bool, error) {
	if made == nil {
		return false, nil
	}
	if _, ok := h.scratch.whole.Load(execution); ok {
		_, err := os.Stat(filepath.Join(h.scratch.of(execution), etlFolder, worker.OutFolder))
		return err == nil, nil
	}
	dir := filepath.Join(h.scratch.of(execution), etlFolder)
	for _, o := range made.Outputs {
		for _, f := range o.Files {
			digest, err := digestOfFile(ctx, filepath.Join(dir, filepath.FromSlash(f.Path)))
			if ctx.Err() != nil {
				return false, caos.Wrap(caos.Unavailable, ctx.Err(), "the files could not be read in time")
			}
			if err != nil || digest != f.Digest {
				return false, nil
			}
		}
	}
	for _, in := range made.Inputs { // references, which checks read
		if _, err := os.Stat(filepath.Join(dir, worker.InFolder, in.Name)); err != nil {
			return false, nil
		}
	}
	h.scratch.whole.Store(execution, true)
	return true, nil
}

func digestOfFile(ctx context.Context, name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, readerUntil{ctx, f}); err != nil {
		return "", err
	}
	return "SHA256:" + hex.EncodeToString(sum.Sum(nil)), nil
}

// output is what the worker made of a target, nil for one that was not made.
func (s *pipelineState) output(target string) *worker.OutputResult {
	if s.Made == nil {
		return nil
	}
	for i := range s.Made.Outputs {
		if s.Made.Outputs[i].Name == target {
			return &s.Made.Outputs[i]
		}
	}
	return nil
}

// contentOf is the digest by which versions of a target are told apart.
func contentOf(o *worker.OutputResult) (string, error) { return dataset.ContentDigest(outputFiles(o)) }

// outputFiles are the files of an output as they are published.
func outputFiles(o *worker.OutputResult) []dataset.File {
	out := make([]dataset.File, len(o.Files))
	for i, f := range o.Files {
		out[i] = dataset.File{Name: nameOf(o, f), Digest: f.Digest, Bytes: f.Bytes}
	}
	return out
}

func nameOf(o *worker.OutputResult, f worker.File) string {
	return strings.TrimPrefix(f.Path, worker.OutFolder+"/"+o.Name+"/")
}

// locals are the files of an output on this machine.
func (h *dataPipeline) locals(execution string, o *worker.OutputResult) []location.Local {
	out := make([]location.Local, len(o.Files))
	for i, f := range o.Files {
		out[i] = location.Local{Path: filepath.Join(h.scratch.of(execution), etlFolder, filepath.FromSlash(f.Path)), Name: nameOf(o, f)}
	}
	return out
}

// checkQuality checks every target that has a contract.
func (h *dataPipeline) checkQuality(ctx context.Context, r *engine.Run, s *pipelineState) error {
	ctx, cancel := h.watched(ctx, r)
	defer cancel()
	done, err := h.compute(ctx, r, s)
	if err != nil {
		return err
	}
	defer done()
	if err := h.ensure(ctx, r, s); err != nil {
		return err
	}
	return h.checkTargets(ctx, r, s)
}

// checkTargets checks the targets whose bytes were not checked yet.
func (h *dataPipeline) checkTargets(ctx context.Context, r *engine.Run, s *pipelineState) error {
	began, checked := h.clock(), 0
	for _, t := range s.Sel.Targets {
		at, o := s.target(t.Name), s.output(t.Name)
		if at.Failed != "" || o == nil {
			continue
		}
		content, err := contentOf(o)
		if err != nil {
			return err
		}
		if content == at.Checked {
			continue
		}
		at.Quality, at.Blocked, at.Weight = nil, false, [2]float64{}
		if ref := s.contractOf(t.Name); ref != nil {
			if err := h.checkTarget(ctx, r, s, t); err != nil {
				return err
			}
			checked++
		}
		at.Checked, at.Digest = content, content
	}
	s.Out.DataQualityScore = s.score()
	if checked > 0 {
		s.moment(began, "checked "+count(checked, "target"), h.clock().Sub(began))
	}
	return nil
}

// checkTarget checks one target against its contract, as it was when the run began.
func (h *dataPipeline) checkTarget(ctx context.Context, r *engine.Run, s *pipelineState, t dataset.Target) error {
	ref, at, o := s.contractOf(t.Name), s.target(t.Name), s.output(t.Name)
	stored, err := h.datasets.Contract(ctx, ref.ContractID, ref.Version)
	if err != nil {
		return err
	}
	object, err := objectFor(stored, ref, t.Name)
	if err != nil {
		return reject(regarding("target "+t.Name, err, ""), "contract-unfit", t.Name)
	}
	r.Report(engine.Progress{Unit: "rows", Total: o.Rows, Message: "check " + t.Name})
	res, err := h.quality.checkFiles(ctx, qualityRun{Folder: filepath.Join(h.scratch.of(r.ExecutionID), checkFolder, t.Name), Table: t.Name, Files: h.locals(r.ExecutionID, o),
		Format: t.Format, Compression: t.Compression, CSV: writtenCSV(t), Columns: datasetColumns(o.Columns), PartitionBy: t.PartitionBy, Object: object, Tables: h.references(r.ExecutionID, s),
		Limits: s.Limits, Now: s.BeganAt, MaxSamples: -1}, func(percent float64) {
		r.Report(engine.Progress{Unit: "rows", Percent: percent, Message: "check " + t.Name})
	})
	var f *worker.Failure
	if errors.As(err, &f) {
		if f.Kind == worker.KindUnavailable || f.Kind == worker.KindCancelled || f.Kind == worker.KindCrash && r.Attempt < 2 {
			return caos.Wrap(caos.Unavailable, err, "the checks of target %s did not end: %s", t.Name, f.Message).WithHint("%s", f.Hint())
		}
		found := s.failure(f)
		found.Subject, found.Message = t.Name, "the checks of target "+t.Name+" could not be run: "+found.Message
		return engine.Reject(found)
	}
	if err != nil {
		return reject(regarding("target "+t.Name, err, ""), "checks-not-run", t.Name)
	}
	at.Quality, at.Weight, at.Blocked = qualityShown(ref, res.Outcome), weightOf(res.Outcome), res.Outcome.Blocked || res.Outcome.Status == contract.Fail
	s.Made.Peak = max(s.Made.Peak, res.Peak)
	s.Made.CheckSeconds += res.Seconds
	return nil
}

// objectFor is the part of a contract that a target is checked by.
func objectFor(stored *dataset.Contract, ref *dataset.ContractRef, target string) (*contract.Object, error) {
	c, err := contract.Parse(stored.Text)
	if err != nil {
		return nil, err
	}
	if c.Digest != ref.Digest {
		return nil, caos.Errorf(caos.Conflict, "contract %s %s is not what it was when the run began", ref.ContractID, ref.Version)
	}
	return contractObject(c, target)
}

func datasetColumns(list []worker.Column) []dataset.Column {
	out := make([]dataset.Column, len(list))
	for i, c := range list {
		out[i] = dataset.Column{Name: c.Name, Type: c.Type}
	}
	return out
}

// references are the sources that checks of integrity look things up in, as they were
// fetched.
func (h *dataPipeline) references(execution string, s *pipelineState) []qualityTable {
	var out []qualityTable
	for _, src := range s.Sel.Sources {
		at := s.source(src.Name)
		if !src.Reference || at.Missing != "" {
			continue
		}
		t := qualityTable{Name: src.Name, Format: src.Format, Compression: src.Compression, Columns: src.Columns, CSV: src.CSV, MaxRejected: src.MaxRejected}
		for _, in := range s.Made.Inputs {
			if in.Name == src.Name && len(t.Columns) == 0 {
				t.Columns = datasetColumns(in.Columns)
			}
		}
		for _, f := range at.Files {
			t.Files = append(t.Files, location.Local{Path: filepath.Join(h.scratch.of(execution), etlFolder, worker.InFolder, src.Name, f.Name), Name: f.Name})
		}
		out = append(out, t)
	}
	return out
}

// maxKeptChecks bounds the results that the state keeps of one target; those that failed
// come first. The validation that follows has all.
const maxKeptChecks = 200

// qualityShown is an outcome as the report shows it.
func qualityShown(ref *dataset.ContractRef, o *contract.Outcome) *report.PipeQuality {
	q := &report.PipeQuality{Contract: ref.ContractID + "@" + ref.Version, Digest: ref.Digest, Status: o.Status, Reason: o.Reason, Score: o.Score, Blocking: o.BlockingScore,
		Performed: o.Performed, Passed: o.Passed, Failed: o.Failed, Anomalies: o.Anomalies, Checks: []report.PipeCheck{}}
	for _, passed := range []bool{false, true} {
		for _, k := range o.Checks {
			if k.Passed == passed && len(q.Checks) < maxKeptChecks {
				q.Checks = append(q.Checks, report.PipeCheck{ID: k.ID, Name: k.Name, Column: k.Property, Severity: k.Severity, Passed: k.Passed,
					Value: clip(k.Value), Expected: clip(k.Expected), Failing: k.FailingRows, Message: clip(k.Message)})
			}
		}
	}
	return q
}

// weightOf is the weight of the blocking checks that passed, and of all of them.
func weightOf(o *contract.Outcome) (w [2]float64) {
	for _, k := range o.Checks {
		if k.Blocking() {
			w[1] += k.Weight
			if k.Passed {
				w[0] += k.Weight
			}
		}
	}
	return w
}

// score is that of the blocking checks of all targets that were checked, nil if there were
// none.
func (s *pipelineState) score() *float64 {
	var passed, all float64
	for _, t := range s.Targets {
		passed, all = passed+t.Weight[0], all+t.Weight[1]
	}
	if all <= 0 {
		return nil
	}
	score := passed / all
	return &score
}

// judgeQuality keeps what the checks block from being published.
func (h *dataPipeline) judgeQuality(_ *db.Tx, r *engine.Run, s *pipelineState) error {
	r.Record.Resources = s.resources(r.ExecutionID)
	return engine.Reject(s.judge()...)
}

// judge gives up optional targets that are blocked, and returns what stops the run.
func (s *pipelineState) judge() []caos.Finding {
	var stop []caos.Finding
	left := 0
	for _, t := range s.Sel.Targets {
		at := s.target(t.Name)
		switch {
		case at.Failed != "":
		case !at.Blocked:
			left++
		case t.Optional:
			at.Failed = "its data do not meet " + at.Quality.Contract + ": " + firstAndMore(blocking(at))
		default:
			stop = append(stop, blockedBy(t.Name, at)...)
		}
	}
	if len(stop) == 0 && left == 0 {
		stop = append(stop, caos.Finding{Rule: "nothing-to-publish", Subject: s.In.PipelineID, Message: "no target is left that can be published", Remedy: "see the issues of the targets"})
	}
	return stop
}

// maxBlocking bounds the findings about one target.
const maxBlocking = 20

// blockedBy are the findings of a required target that its checks block.
func blockedBy(name string, at *pipeTarget) []caos.Finding {
	var out []caos.Finding
	all := blocking(at)
	for _, text := range all[:min(len(all), maxBlocking)] {
		out = append(out, caos.Finding{Rule: "quality-blocked", Subject: name, Message: "target " + name + ": " + text,
			Remedy: "correct the data or the SQL; if the rule is what is wrong, register a new version of " + at.Quality.Contract})
	}
	return out
}

// blocking says in sentences which checks forbid the publication of a target.
func blocking(at *pipeTarget) []string {
	var out []string
	for _, k := range at.Quality.Checks {
		if !k.Passed && k.Severity == contract.SeverityError {
			out = append(out, checkText(k))
		}
	}
	if len(out) == 0 {
		out = append(out, cmp.Or(at.Quality.Reason, "there was nothing to check"))
	}
	return out
}

func firstAndMore(list []string) string {
	if len(list) == 0 {
		return ""
	}
	if len(list) > 1 {
		return fmt.Sprintf("%s (and %s more)", list[0], count(len(list)-1, "check"))
	}
	return list[0]
}

// checkText says in a sentence how a check failed.
func checkText(k report.PipeCheck) string {
	name := cmp.Or(k.Name, k.ID)
	text := "check " + name
	if k.Column != "" && !strings.Contains(name, k.Column) {
		text += " of " + k.Column
	}
	text += " failed"
	var more []string
	if k.Value != "" {
		more = append(more, "measured "+k.Value)
	}
	if k.Expected != "" {
		more = append(more, "expected "+k.Expected)
	}
	if k.Message != "" {
		more = append(more, k.Message)
	}
	more = slices.DeleteFunc(more, func(s string) bool { return s == "" })
	if len(more) > 0 {
		text += ": " + strings.Join(more, ", ")
	}
	return text
}
