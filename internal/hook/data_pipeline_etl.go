package hook

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"caos"
	"caos/internal/dataset"
	"caos/internal/engine"
	"caos/internal/worker"
)

// This file fetches the sources and has the worker make the targets' files of them, in the
// execution's scratch folder. Nothing outside of that folder changes.

// Names below an execution's scratch folder.
const (
	etlFolder   = "etl"
	checkFolder = "check"
)

// shownEvery is how often progress is told.
const shownEvery = 100 * time.Millisecond

// runETL fetches the sources and makes the targets' files.
func (h *dataPipeline) runETL(ctx context.Context, r *engine.Run, s *pipelineState) error {
	ctx, cancel := h.watched(ctx, r)
	defer cancel()
	done, err := h.compute(ctx, r, s)
	if err != nil {
		return err
	}
	defer done()
	return h.makeFiles(ctx, r, s)
}

// compute is the compute that the run was given, or, in another process than the one that it
// was given in, as much again.
func (h *dataPipeline) compute(ctx context.Context, r *engine.Run, s *pipelineState) (func(), error) {
	began := h.clock()
	done, err := h.holds.use(ctx, r.ExecutionID, resourcesOf(s.Limits), false)
	s.Waited += h.clock().Sub(began).Seconds()
	return done, err
}

// lookEvery is how often a long step looks whether its execution was cancelled elsewhere.
const lookEvery = time.Second

// watched ends with ctx, or soon after somebody cancelled the execution on another node.
func (h *dataPipeline) watched(ctx context.Context, r *engine.Run) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if h.db == nil {
		return ctx, cancel
	}
	go func() {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if gone, err := engine.GivenUp(ctx, h.db, r.ExecutionID); err == nil && gone {
					cancel()
					return
				}
			}
		}
	}()
	return ctx, cancel
}

// makeFiles does the work from the start, in an empty folder: what an earlier attempt or
// another process left there is not trusted.
func (h *dataPipeline) makeFiles(ctx context.Context, r *engine.Run, s *pipelineState) error {
	began := h.clock()
	ctx, cancel := context.WithTimeoutCause(ctx, s.Limits.Timeout, errPipelineTime)
	defer cancel()
	dir, err := h.scratch.fresh(r.ExecutionID)
	if err != nil {
		return err
	}
	dir = filepath.Join(dir, etlFolder)
	if err := h.fetch(ctx, r, s, dir); err != nil {
		return timeUp(ctx, s, err)
	}
	fetched := h.clock()
	for {
		w, stop := s.work()
		if len(stop) > 0 {
			return engine.Reject(stop...)
		}
		for name, why := range w.without {
			s.target(name).Failed = why
		}
		if err := emptyFolders(dir, worker.OutFolder, worker.TempFolder); err != nil {
			return err
		}
		lim := limitsOf(s.Limits)
		lim.Timeout -= h.clock().Sub(began)
		res, err := h.worker.Run(ctx, dir, s.job(w), lim, tellWorker(r))
		if err == nil {
			if n := writtenBy(res); n > maxWritten {
				return engine.Reject(caos.Finding{Rule: "too-many-files", Subject: s.In.PipelineID, Message: fmt.Sprintf("the targets have %d files, and %d are allowed", n, maxWritten),
					Remedy: "partition by columns of fewer values"})
			}
			s.keep(w, res)
			s.Made.Engine, _ = h.worker.Version(ctx) // known since it was asked whether it is there; lineage can do without
			s.Made.FetchSeconds = fetched.Sub(began).Seconds()
			s.moment(began, fmt.Sprintf("fetched %s of %s", sizeText(s.fetchedBytes()), count(len(w.load), "source")), fetched.Sub(began))
			s.moment(fetched, fmt.Sprintf("made %s of %d rows", count(len(w.targets), "target"), *s.Out.RecordsProcessed), h.clock().Sub(fetched))
			h.scratch.whole.Store(r.ExecutionID, true)
			return nil
		}
		if err := s.lessThan(ctx, r, w, err); err != nil {
			return err
		}
	}
}

func writtenBy(res *worker.Result) (n int) {
	for _, o := range res.Outputs {
		n += len(o.Files)
	}
	return n
}

var errPipelineTime = errors.New("the pipeline's timeout is over")

// timeUp says that the definition's timeout is what ended a step.
func timeUp(ctx context.Context, s *pipelineState, err error) error {
	if !errors.Is(context.Cause(ctx), errPipelineTime) {
		return err
	}
	return engine.Reject(caos.Finding{Rule: "worker-time", Subject: s.In.PipelineID, Message: fmt.Sprintf("the run was not done after %s", s.Limits.Timeout),
		Remedy: "raise compute.timeout in the definition, or make a smaller interval"})
}

func limitsOf(l dataset.Limits) worker.Limits {
	return worker.Limits{MemoryBytes: l.MemoryBytes, Threads: l.Threads, ScratchBytes: l.ScratchBytes, Timeout: l.Timeout}
}

func emptyFolders(dir string, names ...string) error {
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return scratchError(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return scratchError(err)
		}
	}
	return nil
}

// fetch brings the files of the sources into in/<source>/. Each must still be what it was
// when it was probed.
func (h *dataPipeline) fetch(ctx context.Context, r *engine.Run, s *pipelineState, dir string) error {
	w, stop := s.work()
	if len(stop) > 0 {
		return engine.Reject(stop...)
	}
	var total int64
	for _, src := range w.load {
		for _, f := range s.source(src.Name).Files {
			total += max(f.Size, 0)
		}
	}
	if total > s.Limits.ScratchBytes {
		return scratchFull(s, fmt.Sprintf("the sources have %s", sizeText(total)))
	}
	if err := emptyFolders(dir, worker.InFolder); err != nil {
		return err
	}
	tell := tellFetch(r, total)
	for _, src := range w.load {
		if err := h.fetchSource(ctx, s, src, dir, tell); err != nil {
			if e := caos.AsError(err); e.Kind == caos.Full {
				return scratchFull(s, "source "+src.Name+": "+e.Message)
			}
			if ctx.Err() != nil {
				return err
			}
			if err := h.without(r, s, src, err); err != nil {
				return err
			}
			if err := os.RemoveAll(filepath.Join(dir, worker.InFolder, src.Name)); err != nil {
				return scratchError(err)
			}
		}
	}
	return nil
}

// fetchSource fetches one source. More than fits into the scratch folder is not fetched, also
// if its size was not known.
func (h *dataPipeline) fetchSource(ctx context.Context, s *pipelineState, src dataset.Source, dir string, tell func(name string, done int64)) error {
	at := s.source(src.Name)
	if err := os.MkdirAll(filepath.Join(dir, worker.InFolder, src.Name), 0o755); err != nil {
		return scratchError(err)
	}
	at.Bytes = 0
	files := make([]dataset.File, 0, len(at.Files))
	for i, f := range at.Files {
		before := s.fetchedBytes()
		ctx, cancel := context.WithCancelCause(ctx)
		got, err := h.locations.Fetch(ctx, f, s.scope(), filepath.Join(dir, worker.InFolder, src.Name, f.Name), func(done, _ int64) {
			if before+done > s.Limits.ScratchBytes {
				cancel(errScratchFull)
			}
			tell(src.Name, before+done)
		})
		cause := context.Cause(ctx)
		cancel(nil)
		if errors.Is(cause, errScratchFull) {
			return caos.Errorf(caos.Full, "%s and what is there already are more than the scratch folder may hold", f.URI)
		}
		if err != nil {
			return err
		}
		at.Files[i] = got
		at.Bytes += got.Size
		files = append(files, dataset.File{Name: got.Name, Digest: got.Digest, Bytes: got.Size})
	}
	digest, err := dataset.ContentDigest(files)
	at.Version = digest
	return err
}

var errScratchFull = errors.New("the scratch folder is full")

func scratchFull(s *pipelineState, what string) error {
	return engine.Reject(caos.Finding{Rule: "scratch-full", Subject: s.In.PipelineID, Message: what + ", and the run asked for " + sizeText(s.Limits.ScratchBytes) + " of scratch",
		Remedy: "raise compute.scratch in the definition, make room on the disk of the data folder, or make a smaller interval"})
}

func (s *pipelineState) fetchedBytes() (n int64) {
	for _, x := range s.Sources {
		n += x.Bytes
	}
	return n
}

// tellFetch shows how much was fetched.
func tellFetch(r *engine.Run, total int64) func(string, int64) {
	var last time.Time
	return func(name string, done int64) {
		if now := time.Now(); now.Sub(last) >= shownEvery || done == total {
			last = now
			r.Report(engine.Progress{Done: done, Total: max(total, done), Unit: "bytes", Message: "fetch " + name})
		}
	}
}

// tellWorker shows what the worker does, in words that are not its own.
func tellWorker(r *engine.Run) func(worker.Progress) {
	words := map[string]string{"start": "start", "input": "load", "step": "transform", "output": "write", "query": "check"}
	var last time.Time
	phase := ""
	return func(p worker.Progress) {
		now, at := time.Now(), p.Phase+p.Name
		if now.Sub(last) < shownEvery && at == phase {
			return
		}
		last, phase = now, at
		shown := engine.Progress{Done: p.Rows, Unit: "rows", Message: strings.TrimSpace(words[p.Phase] + " " + p.Name), Percent: max(p.Percent, 0)}
		if p.TotalBytes > 0 {
			shown.Done, shown.Total, shown.Unit = min(p.Bytes, p.TotalBytes), p.TotalBytes, "bytes"
		}
		r.Report(shown)
	}
}

// job is what the worker is to do.
func (s *pipelineState) job(w *pipeWork) worker.Job {
	job := worker.Job{Variables: map[string]any{"now": s.BeganAt.Format(time.RFC3339)}}
	if i := s.Sel.Interval; i != nil {
		job.Variables["interval_start"], job.Variables["interval_end"] = i.Start.UTC().Format(time.RFC3339), i.End.UTC().Format(time.RFC3339)
	}
	for _, src := range w.load {
		in := worker.Input{Name: src.Name, Format: src.Format, Compression: src.Compression, Columns: workerColumns(src.Columns), CSV: workerCSV(src.CSV), MaxRejected: src.MaxRejected}
		for _, f := range s.source(src.Name).Files {
			in.Files = append(in.Files, src.Name+"/"+f.Name)
		}
		job.Inputs = append(job.Inputs, in)
	}
	for _, src := range w.empty {
		job.Steps = append(job.Steps, worker.Statement{Name: src.Name, SQL: emptyTable(src.Columns), Table: true})
	}
	for _, t := range w.transforms {
		job.Steps = append(job.Steps, worker.Statement{Name: t.Name, SQL: t.SQL, Table: t.Materialise})
	}
	for _, t := range w.targets {
		job.Outputs = append(job.Outputs, worker.Output{Name: t.Name, From: t.From, Format: t.Format, Compression: t.Compression, PartitionBy: t.PartitionBy, OrderBy: t.OrderBy, Header: t.Header})
	}
	return job
}

func workerColumns(list []dataset.Column) []worker.Column {
	var out []worker.Column
	for _, c := range list {
		out = append(out, worker.Column{Name: c.Name, Type: c.Type, Required: c.Required})
	}
	return out
}

func workerCSV(c *dataset.CSV) *worker.CSV {
	if c == nil {
		return nil
	}
	return &worker.CSV{Delimiter: c.Delimiter, Quote: c.Quote, Escape: c.Escape, Null: c.Null, Header: c.Header, Encoding: c.Encoding,
		DateFormat: c.DateFormat, TimestampFormat: c.TimestampFormat}
}

// emptyTable is a table of the columns that a missing source should have had.
func emptyTable(columns []dataset.Column) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = fmt.Sprintf(`CAST(NULL AS %s) AS "%s"`, c.Type, strings.ReplaceAll(c.Name, `"`, `""`))
	}
	return "SELECT " + strings.Join(list, ", ") + " WHERE false"
}

// keep notes what the worker made.
func (s *pipelineState) keep(w *pipeWork, res *worker.Result) {
	s.Made = &pipeMade{Inputs: res.Inputs, Steps: res.Steps, Outputs: res.Outputs, Peak: res.PeakBytes, Seconds: res.Seconds}
	var rows int64
	for _, in := range res.Inputs {
		rows += in.Rows + in.Rejected
	}
	s.Out.RecordsProcessed = &rows
	for _, o := range res.Outputs {
		s.target(o.Name).Rows = o.Rows
	}
	s.Made.Empty = namesOfSources(w.empty)
}

// lessThan decides what a failure of the worker means: something that passes, something that
// an optional source or target is given up for, or the end.
func (s *pipelineState) lessThan(ctx context.Context, r *engine.Run, w *pipeWork, err error) error {
	var f *worker.Failure
	if !errors.As(err, &f) {
		return err
	}
	if ctx.Err() != nil && f.Kind == worker.KindCancelled {
		return timeUp(ctx, s, caos.Wrap(caos.Unavailable, err, "the worker was stopped"))
	}
	if f.Kind == worker.KindUnavailable || f.Kind == worker.KindCrash && r.Attempt < 2 {
		return caos.Wrap(caos.Unavailable, err, "%s", s.failure(f).Message).WithHint("%s", f.Hint())
	}
	found := s.failure(f)
	switch f.Kind {
	case worker.KindTime:
		found.Subject, found.Message = s.In.PipelineID, fmt.Sprintf("the run was not done after %s; it was at %s", s.Limits.Timeout, found.Message)
		return engine.Reject(found)
	case worker.KindMemory, worker.KindDisk, worker.KindCrash: // whoever happened to be at it is not the cause
		return engine.Reject(found)
	}
	if f.Phase == "input" {
		for _, src := range w.load {
			if src.Name == f.Name && src.Optional {
				s.source(src.Name).Missing = strings.TrimPrefix(found.Message, "source "+src.Name+", ")
				return nil
			}
		}
	}
	hit := s.hit(w, f.Name, f.Phase == "output")
	for _, t := range hit {
		if !t.Optional {
			return engine.Reject(found)
		}
	}
	if len(hit) == 0 {
		return engine.Reject(found)
	}
	for _, t := range hit {
		s.target(t.Name).Failed = found.Message
	}
	return nil
}

// failure is a failure of the worker in the words of the definition: it names the source,
// transform or target, the file where it was found, and the line.
func (s *pipelineState) failure(f *worker.Failure) caos.Finding {
	rule, _, remedy := f.Finding()
	where := map[string]string{"input": "source ", "step": "transform ", "output": "target ", "query": "check "}[f.Phase] + f.Name
	if strings.TrimSpace(where) == "" {
		where = "the worker"
	}
	switch {
	case f.File != "":
		where += ", " + s.fileURI(f.File)
		if f.Line > 0 {
			where += fmt.Sprintf(", line %d", f.Line)
		}
	case f.Phase == "input":
		where += ", " + s.addressOf(f.Name)
	}
	message, _, _ := strings.Cut(f.Message, " This limit was set by ") // of settings that are not the definition's
	text := where + ": " + message
	if f.LastWords != "" {
		text += "; its last words: " + clip(strings.Join(strings.Fields(f.LastWords), " "))
	}
	return caos.Finding{Rule: rule, Subject: f.Name, Message: text, Remedy: remedy}
}

// addressOf is where a source lies: its only file, or the address of all.
func (s *pipelineState) addressOf(source string) string {
	if files := s.source(source).Files; len(files) == 1 {
		return files[0].URI
	}
	for _, x := range s.Sel.Sources {
		if x.Name == source {
			return x.URI
		}
	}
	return source
}

// fileURI is where a file of the worker's folder came from.
func (s *pipelineState) fileURI(file string) string {
	name := strings.TrimPrefix(path.Clean(file), worker.InFolder+"/")
	source, base, _ := strings.Cut(name, "/")
	for _, x := range s.Sources {
		if x.Name != source {
			continue
		}
		for _, f := range x.Files {
			if f.Name == base {
				return f.URI
			}
		}
	}
	return file
}
