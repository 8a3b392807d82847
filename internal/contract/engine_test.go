package contract

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"caos/internal/sandbox"
	"caos/internal/worker"
	"caos/internal/worker/workertest"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

// data is what a test's engine reads besides steps: files in in/, by name.
type data struct {
	inputs []worker.Input
	files  map[string][]byte
}

// runSQL makes the steps and answers the queries with the real worker. A failure of the
// worker comes back as its name and message.
func runSQL(t testing.TB, steps []Statement, queries []Query, d data) (map[string]Rows, *worker.Failure) {
	t.Helper()
	folder, err := os.MkdirTemp("", "caos-contract-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	if err := os.MkdirAll(filepath.Join(folder, "in"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range d.files {
		if err := os.WriteFile(filepath.Join(folder, "in", name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	job := worker.Job{Inputs: d.inputs}
	for _, s := range steps {
		job.Steps = append(job.Steps, worker.Statement{Name: s.Name, SQL: s.SQL, Table: s.Table})
	}
	for _, q := range queries {
		job.Queries = append(job.Queries, worker.Query{Name: q.Name, SQL: q.SQL, MaxRows: q.MaxRows})
	}
	run := worker.New(worker.Options{Program: workertest.TestProgram(t)})
	res, err := run.Run(context.Background(), folder, job, worker.Limits{MemoryBytes: 1 << 30, Threads: 2, Timeout: 2 * time.Minute}, nil)
	var f *worker.Failure
	if errors.As(err, &f) {
		return nil, f
	}
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]Rows{}
	for name, r := range res.Queries {
		rows := Rows{Rows: r.Rows, Truncated: r.Truncated}
		for _, c := range r.Columns {
			rows.Columns = append(rows.Columns, Column{c.Name, c.Type})
		}
		out[name] = rows
	}
	return out, nil
}

// judge compiles an object for the result of a SELECT, runs it and judges it.
func judge(t testing.TB, o *Object, sql string, columns []Column, opt Options) *Outcome {
	t.Helper()
	c, err := o.Compile("data", columns, opt)
	if err != nil {
		t.Fatal(err)
	}
	steps := append([]Statement{{Name: "data", SQL: sql, Table: true}}, c.Steps...)
	res, f := runSQL(t, steps, c.Queries, data{})
	if f != nil {
		for _, s := range append(c.Steps, Statement{Name: "data", SQL: sql}) {
			t.Log(s.Name, s.SQL)
		}
		t.Fatalf("worker: %s %s %s", f.Kind, f.Name, f.Message)
	}
	return c.Evaluate(res)
}
