package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	_ "embed"

	"caos/internal/contract"
	"caos/internal/worker"
)

// Sizes of the table whose checks are measured.
const (
	checkedRows = 10_000_000
	pandasRows  = 1_000_000
)

//go:embed checks.odcs.yaml
var checksContract []byte

//go:embed checks_ge.py
var pandasChecks []byte

// plant is what the measurements of data need: CAOS's worker, and DuckDB without it.
type plant struct {
	dir    string
	runner *worker.Runner
	duckdb string // bench/duckdb
}

func (b *bench) plant(ctx context.Context, name string) (*plant, error) {
	p := &plant{dir: filepath.Join(b.dir, name), runner: worker.New(worker.Options{Program: filepath.Join(b.bin, "caos-worker")})}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return nil, err
	}
	if err := p.runner.Available(ctx); err != nil {
		return nil, err
	}
	p.duckdb = filepath.Join(p.dir, "duckdb")
	build := exec.CommandContext(ctx, "go", "build", "-o", p.duckdb, "./duckdb")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the peer: %w: %s", err, tail(out))
	}
	return p, nil
}

// peer runs bench/duckdb and returns what it printed.
func (p *plant) peer(ctx context.Context, into any, args ...string) error {
	cmd := exec.CommandContext(ctx, p.duckdb, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("duckdb %s: %w: %s", args[0], err, tail(stderr.Bytes()))
	}
	return json.Unmarshal(out, into)
}

// folder makes the folder of one run of the worker, with files in it.
func (p *plant) folder(name string, files ...string) (string, error) {
	dir := filepath.Join(p.dir, name)
	in := filepath.Join(dir, worker.InFolder)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(in, 0o755)); err != nil {
		return "", err
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err == nil {
			err = os.WriteFile(filepath.Join(in, filepath.Base(f)), text, 0o644) // the sandbox takes no second name of a file
		}
		if err != nil {
			return "", err
		}
	}
	return dir, nil
}

// generous is more than any of these runs needs.
func generous() worker.Limits {
	return worker.Limits{MemoryBytes: 4 << 30, Threads: 2, ScratchBytes: 16 << 30, Timeout: 10 * time.Minute}
}

// counted is what the checks of the generated table find.
type counted struct {
	Rows        int64   `json:"rows"`
	Temperature int64   `json:"temperature_outliers"`
	Pressure    int64   `json:"pressure_outliers"`
	Seconds     float64 `json:"seconds"`
}

// measureChecks measures the checks of a data contract: 20 checks of 12 columns.
func measureChecks(ctx context.Context, b *bench) ([]row, error) {
	p, err := b.plant(ctx, "checks")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(p.dir)
	large, small := checkedRows, pandasRows
	if b.short {
		large, small = checkedRows/20, pandasRows/20
	}
	file := filepath.Join(p.dir, "large.parquet")
	if err := p.peer(ctx, &counted{}, "generate", strconv.Itoa(large), file); err != nil {
		return nil, err
	}
	ours, theirs := []float64{}, []float64{}
	var peak int64
	for range b.reps {
		out, seconds, err := p.check(ctx, file)
		if err != nil {
			return nil, err
		}
		var hand counted
		begun := time.Now()
		if err := p.peer(ctx, &hand, "checks", "2", file); err != nil {
			return nil, err
		}
		if out.rows != hand.Rows || out.anomalies != hand.Temperature+hand.Pressure {
			return nil, fmt.Errorf("the contract found %d rows and %d extreme values, the SQL by hand %d and %d", out.rows, out.anomalies, hand.Rows, hand.Temperature+hand.Pressure)
		}
		ours, theirs, peak = append(ours, seconds), append(theirs, time.Since(begun).Seconds()), max(peak, out.peak)
	}
	rows := []row{rated(fmt.Sprintf("20 checks of %d rows, 12 columns", large), "s", ours).noMoreThan("DuckDB, SQL by hand", theirs, 1.15).
		with("whole processes, the sandbox's start included; peak %d MB", peak>>20)}
	more, err := p.pandas(ctx, b, small)
	return append(rows, more...), err
}

type found struct {
	rows, anomalies, peak int64
}

// check runs the contract's checks on a file.
func (p *plant) check(ctx context.Context, file string) (found, float64, error) {
	dir, err := p.folder("run", file)
	if err != nil {
		return found{}, 0, err
	}
	begun := time.Now()
	c, err := contract.Parse(checksContract)
	if err != nil {
		return found{}, 0, err
	}
	compiled, err := c.Objects[0].Compile("readings", checkedColumns(), contract.Options{Now: begun})
	if err != nil {
		return found{}, 0, err
	}
	job := worker.Job{Inputs: []worker.Input{{Name: "readings", Files: []string{filepath.Base(file)}, Format: "parquet"}}}
	for _, s := range compiled.Steps {
		job.Steps = append(job.Steps, worker.Statement{Name: s.Name, SQL: s.SQL, Table: s.Table})
	}
	for _, q := range compiled.Queries {
		job.Queries = append(job.Queries, worker.Query{Name: q.Name, SQL: q.SQL, MaxRows: q.MaxRows})
	}
	res, err := p.runner.Run(ctx, dir, job, generous(), nil)
	if err != nil {
		return found{}, 0, err
	}
	answers := map[string]contract.Rows{}
	for name, r := range res.Queries {
		answers[name] = contract.Rows{Rows: r.Rows, Truncated: r.Truncated}
		for _, k := range r.Columns {
			a := answers[name]
			a.Columns = append(a.Columns, contract.Column{Name: k.Name, Type: k.Type})
			answers[name] = a
		}
	}
	out := compiled.Evaluate(answers)
	took := time.Since(begun).Seconds()
	if out.Status != contract.Pass || out.Performed < 20 {
		return found{}, 0, fmt.Errorf("%d checks, %s: %+v", out.Performed, out.Status, out.Checks)
	}
	return found{out.Rows, out.Anomalies, res.PeakBytes}, took, nil
}

func checkedColumns() []contract.Column {
	return []contract.Column{{Name: "id", Type: "BIGINT"}, {Name: "taken_at", Type: "TIMESTAMP"}, {Name: "sensor", Type: "VARCHAR"}, {Name: "unit", Type: "VARCHAR"},
		{Name: "temperature", Type: "DOUBLE"}, {Name: "pressure", Type: "DOUBLE"}, {Name: "humidity", Type: "DOUBLE"}, {Name: "pulses", Type: "INTEGER"},
		{Name: "status", Type: "VARCHAR"}, {Name: "calibrated", Type: "BOOLEAN"}, {Name: "part", Type: "VARCHAR"}, {Name: "batch", Type: "INTEGER"}}
}

// pandas compares with Great Expectations, where a Python has it: CAOS_BENCH_PYTHON names one.
func (p *plant) pandas(ctx context.Context, b *bench, rows int) ([]row, error) {
	python := os.Getenv("CAOS_BENCH_PYTHON")
	if python == "" {
		python = "python3"
	}
	if exec.CommandContext(ctx, python, "-c", "import great_expectations, pandas, pyarrow").Run() != nil {
		b.say("no Great Expectations: CAOS_BENCH_PYTHON names a Python that has great_expectations 1.x, pandas and pyarrow")
		return nil, nil
	}
	file, script := filepath.Join(p.dir, "small.parquet"), filepath.Join(p.dir, "checks_ge.py")
	if err := errors.Join(p.peer(ctx, &counted{}, "generate", strconv.Itoa(rows), file), os.WriteFile(script, pandasChecks, 0o644)); err != nil {
		return nil, err
	}
	var ours, whole, inside []float64
	version := ""
	for range b.reps {
		_, seconds, err := p.check(ctx, file)
		if err != nil {
			return nil, err
		}
		begun := time.Now()
		out, err := exec.CommandContext(ctx, python, script, file).Output()
		if err != nil {
			return nil, fmt.Errorf("great expectations: %w", err)
		}
		ours, whole = append(ours, seconds), append(whole, time.Since(begun).Seconds())
		var said struct {
			Seconds float64  `json:"seconds"`
			Checks  int      `json:"checks"`
			Failed  []string `json:"failed"`
			Version string   `json:"version"`
		}
		if err := json.Unmarshal(out, &said); err != nil || said.Checks != 20 || len(said.Failed) > 0 {
			return nil, fmt.Errorf("great expectations said %s: %w", tail(out), err)
		}
		inside, version = append(inside, said.Seconds), said.Version
	}
	metric := fmt.Sprintf("20 checks of %d rows", rows)
	return []row{
		rated(metric+", whole processes", "s", ours).fasterThan("Great Expectations", whole, 10).with("version %s on pandas, from the start of Python; why 10 is in docs/decisions/0021", version),
		rated(metric+", without Python's start", "s", ours).against("Great Expectations", inside, 0).with("from opening the file; of CAOS still the whole process"),
	}, nil
}

// measureETL measures the transformation of three million flights.
func measureETL(ctx context.Context, b *bench) ([]row, error) {
	source := os.Getenv("CAOS_BENCH_FLIGHTS")
	if source == "" {
		source = "../../shared/data/flights-3m.parquet"
	}
	if _, err := os.Stat(source); err != nil {
		b.say("no flights: CAOS_BENCH_FLIGHTS names flights-3m.parquet of the npm package vega-datasets")
		return nil, nil
	}
	p, err := b.plant(ctx, "etl")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(p.dir)
	file := filepath.Join(p.dir, "flights-3m.parquet")
	text, err := os.ReadFile(source)
	if err == nil {
		err = os.WriteFile(file, text, 0o644)
	}
	if err != nil {
		return nil, err
	}
	var ours, theirs []float64
	var peak int64
	for range b.reps {
		dir, err := p.folder("run", file)
		if err != nil {
			return nil, err
		}
		begun := time.Now()
		res, err := p.runner.Run(ctx, dir, flightsJob(), generous(), nil)
		if err != nil {
			return nil, err
		}
		ours, peak = append(ours, time.Since(begun).Seconds()), max(peak, res.PeakBytes)
		raw := filepath.Join(p.dir, "raw")
		if err := errors.Join(os.RemoveAll(raw), os.Mkdir(raw, 0o755)); err != nil {
			return nil, err
		}
		begun = time.Now()
		if err := p.peer(ctx, &counted{}, "etl", file, raw); err != nil {
			return nil, err
		}
		theirs = append(theirs, time.Since(begun).Seconds())
		if err := sameFiles(filepath.Join(raw, "training.csv"), res.Outputs, dir); err != nil {
			return nil, err
		}
	}
	return []row{rated("ETL of 3,000,000 flights", "s", ours).noMoreThan("DuckDB alone", theirs, 1.15).
		with("whole processes; CAOS's with its sandbox and the digests of all that was written; peak %d MB of %d", peak>>20, generous().MemoryBytes>>20)}, nil
}

func flightsJob() worker.Job {
	no := false
	order := []string{"date", "origin", "destination", "distance", "delay"}
	month := func(from, to string) string {
		return "SELECT strftime(date, '%Y-%m-%dT%H:%M') AS date, delay, distance, origin, destination FROM flights WHERE delay >= -120 AND date >= TIMESTAMP '" + from + "' AND date < TIMESTAMP '" + to + "'"
	}
	return worker.Job{
		Inputs: []worker.Input{{Name: "flights", Files: []string{"flights-3m.parquet"}, Format: "parquet"}},
		Steps: []worker.Statement{{Name: "by_month", SQL: "SELECT *, strftime(date, '%Y-%m') AS month FROM flights"},
			{Name: "training", SQL: month("2001-01-01", "2001-03-01")}, {Name: "evaluation", SQL: month("2001-03-01", "2001-04-01")}},
		Outputs: []worker.Output{{Name: "windows", From: "by_month", Format: "parquet", PartitionBy: []string{"month"}},
			{Name: "training", From: "training", Format: "csv", Header: &no, OrderBy: order}, {Name: "evaluation", From: "evaluation", Format: "csv", Header: &no, OrderBy: order}},
	}
}

// sameFiles compares the training table of both.
func sameFiles(raw string, outputs []worker.OutputResult, dir string) error {
	want, err := os.ReadFile(raw)
	if err != nil {
		return err
	}
	for _, o := range outputs {
		if o.Name != "training" || len(o.Files) != 1 {
			continue
		}
		got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(o.Files[0].Path)))
		if err == nil && !bytes.Equal(got, want) {
			err = errors.New("the two wrote different training tables")
		}
		return err
	}
	return errors.New("no training table was written")
}
