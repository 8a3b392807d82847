package hook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/contract"
	"caos/internal/dataset"
	"caos/internal/location"
	"caos/internal/worker"
)

// This file checks files against an object of a contract. DATA.PIPELINE does so with what it
// is about to publish, DATA.VALIDATE with what was published.

// quality holds what checks are run with.
type quality struct{ worker Worker }

// qualityRun says what is checked, and by what.
type qualityRun struct {
	Folder      string           // of this check alone, in the execution's scratch folder; made, and removed at the end
	Table       string           // name of the table that statements see: the target's
	Files       []location.Local // of the table, on this machine; Name is kept, so that partitions stay what they are
	Move        bool             // the files, these and those of Tables, are not needed any more where they are
	Format      string           // parquet, csv, json or ndjson
	Compression string           // "" for by content
	CSV         *dataset.CSV     // of csv; nil for the ordinary dialect
	Columns     []dataset.Column // of the table, as it was written
	PartitionBy []string         // columns that the names of folders hold
	Object      *contract.Object
	Tables      []qualityTable // what checks of integrity look things up in
	Limits      dataset.Limits
	Now         time.Time // what freshness is measured against
	MaxSamples  int       // rows kept of each failed check; 0 means contract's, below 0 none
	Profile     bool      // describe the columns, too
}

// qualityTable is another table of a check.
type qualityTable struct {
	Name        string
	Files       []location.Local
	Format      string
	Compression string
	Columns     []dataset.Column
	CSV         *dataset.CSV
	PartitionBy []string
	MaxRejected int64
}

// qualityResult is what came of it.
type qualityResult struct {
	Outcome *contract.Outcome
	SQL     []contract.Query // every statement that was run, steps included
	Columns []contract.Column
	Bytes   int64   // that were read
	Peak    int64   // bytes of memory
	Seconds float64 // of the worker
	Engine  string  // the worker and its engine, with their versions; "" if it does not say
}

// maxDropped bounds how often a job is run again without a statement that cannot run.
const maxDropped = 50

// contractObject is the object of a contract that is about a target: the one of its name, or
// of its physical name, or the only one.
func contractObject(c *contract.Contract, target string) (*contract.Object, error) {
	for i := range c.Objects {
		if c.Objects[i].Name == target {
			return &c.Objects[i], nil
		}
	}
	for i := range c.Objects {
		if strings.EqualFold(c.Objects[i].PhysicalName, target) || strings.EqualFold(c.Objects[i].Name, target) {
			return &c.Objects[i], nil
		}
	}
	if len(c.Objects) == 1 {
		return &c.Objects[0], nil
	}
	names := make([]string, len(c.Objects))
	for i := range c.Objects {
		names[i] = c.Objects[i].Name
	}
	return nil, caos.Errorf(caos.Invalid, "contract %s version %s describes %s and none of them is %.80q", c.ID, c.Version, count(len(c.Objects), "object"), target).
		WithField("validation_rules_id").WithHint("name an object of the contract after the target; it has: %.400s", strings.Join(names, ", "))
}

// checkFiles runs the checks in a worker. progress is called with percents, and may be nil.
// The caller has the compute: Limits is what it was given. Errors are *caos.Error, or a
// *worker.Failure that workerError turns into one; checks that fail, or cannot run, are no
// error.
func (q quality) checkFiles(ctx context.Context, run qualityRun, progress func(percent float64)) (_ *qualityResult, err error) {
	if err := os.RemoveAll(run.Folder); err != nil { // of a process that died
		return nil, scratchError(err)
	}
	defer func() { _ = os.RemoveAll(run.Folder) }() // what is left is swept at the next start
	job, compiled, err := q.prepare(run)
	if err != nil {
		return nil, err
	}
	lim := worker.Limits{MemoryBytes: run.Limits.MemoryBytes, Threads: run.Limits.Threads, ScratchBytes: run.Limits.ScratchBytes, Timeout: run.Limits.Timeout}
	for tries := 0; ; tries++ {
		job.Steps, job.Queries = statementsOf(compiled)
		res, err := q.worker.Run(ctx, run.Folder, job, lim, func(p worker.Progress) {
			if progress != nil && p.Percent >= 0 {
				progress(p.Percent)
			}
		})
		var f *worker.Failure
		if errors.As(err, &f) && tries < maxDropped && f.Phase == "query" && (f.Kind == worker.KindSQL || f.Kind == worker.KindRefused) && compiled.Drop(f.Name, f.Message) {
			continue // a rule somebody wrote cannot run; the others can
		}
		if err != nil {
			return nil, err
		}
		out, err := judged(run, compiled, res)
		if err == nil {
			out.Engine, _ = q.worker.Version(ctx) // known since it was asked whether it is there; a report can do without
		}
		return out, err
	}
}

// judged is the verdict on what a worker found.
func judged(run qualityRun, compiled *contract.Compiled, res *worker.Result) (*qualityResult, error) {
	answers := make(map[string]contract.Rows, len(res.Queries))
	for name, rows := range res.Queries {
		answers[name] = contract.Rows{Columns: contractColumns(rows.Columns), Rows: rows.Rows, Truncated: rows.Truncated}
	}
	out := &qualityResult{Outcome: compiled.Evaluate(answers), Peak: res.PeakBytes, Seconds: res.Seconds}
	for _, in := range res.Inputs {
		if out.Bytes += in.Bytes; in.Name == tableName(run.Table) {
			out.Columns = contractColumns(in.Columns)
		}
	}
	for _, s := range compiled.Steps {
		out.SQL = append(out.SQL, contract.Query{Name: s.Name, SQL: s.SQL})
	}
	out.SQL = append(out.SQL, compiled.Queries...)
	o := out.Outcome
	passed, failed := 0, 0
	for _, k := range o.Checks {
		if k.Passed && !k.CannotRun {
			passed++
		} else {
			failed++
		}
	}
	if o.Performed != len(o.Checks) || o.Passed != passed || o.Failed != failed {
		return nil, caos.Errorf(caos.Internal, "the outcome counts %d passed and %d failed of %d checks, and lists %d passed and %d failed", o.Passed, o.Failed, o.Performed, passed, failed)
	}
	return out, nil
}

// prepare puts the files where the worker reads them and compiles the checks.
func (q quality) prepare(run qualityRun) (worker.Job, *contract.Compiled, error) {
	name := tableName(run.Table)
	in, err := run.bringIn(qualityTable{Name: name, Files: run.Files, Format: run.Format, Compression: run.Compression, Columns: run.Columns, CSV: run.CSV, PartitionBy: run.PartitionBy})
	if err != nil {
		return worker.Job{}, nil, err
	}
	job := worker.Job{Inputs: []worker.Input{in}}
	tables := map[string][]contract.Column{}
	for _, t := range run.Tables {
		if tableName(t.Name) == name {
			continue
		}
		t.Name = tableName(t.Name)
		other, err := run.bringIn(t)
		if err != nil {
			return worker.Job{}, nil, err
		}
		job.Inputs = append(job.Inputs, other)
		for _, c := range t.Columns {
			tables[t.Name] = append(tables[t.Name], contract.Column{Name: c.Name, Type: c.Type})
		}
	}
	columns := make([]contract.Column, len(run.Columns))
	for i, c := range run.Columns {
		columns[i] = contract.Column{Name: c.Name, Type: c.Type}
	}
	compiled, err := run.Object.Compile(name, columns, contract.Options{Now: run.Now, Tables: tables, MaxSamples: run.MaxSamples, Profile: run.Profile})
	return job, compiled, err
}

// bringIn puts the files of a table where the worker reads them. They are moved or copied: a
// second name of a file would let whoever has the first change what a run reads.
func (run *qualityRun) bringIn(t qualityTable) (worker.Input, error) {
	in := worker.Input{Name: t.Name, Format: t.Format, Compression: t.Compression, MaxRejected: t.MaxRejected, PartitionBy: t.PartitionBy}
	for _, c := range t.Columns {
		in.Columns = append(in.Columns, worker.Column{Name: c.Name, Type: c.Type})
	}
	if c := t.CSV; c != nil {
		in.CSV = &worker.CSV{Delimiter: c.Delimiter, Quote: c.Quote, Escape: c.Escape, Null: c.Null, Header: c.Header, Encoding: c.Encoding,
			DateFormat: c.DateFormat, TimestampFormat: c.TimestampFormat}
	}
	for i, f := range t.Files {
		name := filepath.FromSlash(f.Name)
		if name == "" {
			name = strconv.Itoa(i)
		}
		if !filepath.IsLocal(name) {
			return in, caos.Errorf(caos.Invalid, "%.200q is not the name of a file of %s", f.Name, t.Name)
		}
		to := filepath.Join(run.Folder, worker.InFolder, t.Name, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return in, scratchError(err)
		}
		if err := run.place(f.Path, to); err != nil {
			return in, scratchError(err)
		}
		in.Files = append(in.Files, t.Name+"/"+filepath.ToSlash(name))
	}
	return in, nil
}

func (run *qualityRun) place(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", filepath.Base(from))
	}
	if run.Move && os.Rename(from, to) == nil {
		return nil
	}
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

// tableName is a name as a table of the worker: letters, digits and underscores.
func tableName(s string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, s)
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		name = "t_" + name
	}
	return name
}

func contractColumns(list []worker.Column) []contract.Column {
	out := make([]contract.Column, len(list))
	for i, c := range list {
		out[i] = contract.Column{Name: c.Name, Type: c.Type}
	}
	return out
}

func statementsOf(c *contract.Compiled) (steps []worker.Statement, queries []worker.Query) {
	for _, s := range c.Steps {
		steps = append(steps, worker.Statement{Name: s.Name, SQL: s.SQL, Table: s.Table})
	}
	for _, q := range c.Queries {
		queries = append(queries, worker.Query{Name: q.Name, SQL: q.SQL, MaxRows: q.MaxRows})
	}
	return steps, queries
}
