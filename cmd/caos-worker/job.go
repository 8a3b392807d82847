//go:build cgo

package main

import (
	"context"
	"time"

	"caos/internal/worker"
)

// maxRows of a query that does not say; worker.ReadJob holds the bound.
const maxRows = 1000

// do does a job. The error is a *worker.Failure.
func do(job *worker.Job, out *events) (*worker.Result, error) {
	ctx := context.Background() // CAOS ends a job by ending this process
	e, err := open(ctx, job, out)
	if err != nil {
		return nil, failure(err, worker.PhaseStart, "")
	}
	result := &worker.Result{Queries: map[string]worker.Rows{}}
	for _, in := range job.Inputs {
		e.progress(worker.PhaseInput, in.Name, 0, -1)
		r, err := e.input(ctx, in)
		if err != nil {
			return nil, failure(err, worker.PhaseInput, in.Name)
		}
		e.progress(worker.PhaseInput, in.Name, r.Rows, 100)
		result.Inputs = append(result.Inputs, *r)
	}
	e.total = 0
	for _, s := range job.Steps {
		e.progress(worker.PhaseStep, s.Name, 0, -1)
		r, err := e.step(ctx, s)
		if err != nil {
			return nil, failure(err, worker.PhaseStep, s.Name)
		}
		e.progress(worker.PhaseStep, s.Name, max(r.Rows, 0), 100)
		result.Steps = append(result.Steps, *r)
	}
	for _, o := range job.Outputs {
		e.progress(worker.PhaseOutput, o.Name, 0, -1)
		r, err := e.output(ctx, o)
		if err != nil {
			return nil, failure(err, worker.PhaseOutput, o.Name)
		}
		e.progress(worker.PhaseOutput, o.Name, r.Rows, 100)
		result.Outputs = append(result.Outputs, *r)
	}
	for _, q := range job.Queries {
		e.progress(worker.PhaseQuery, q.Name, 0, -1)
		r, err := e.query(ctx, q)
		if err != nil {
			return nil, failure(err, worker.PhaseQuery, q.Name)
		}
		result.Queries[q.Name] = *r
	}
	return result, nil // the database ends with the process
}

// step makes a table or a view of a statement.
func (e *engine) step(ctx context.Context, s worker.Statement) (*worker.StepResult, error) {
	begin := time.Now()
	tree, err := e.tree(ctx, s.SQL)
	if err != nil {
		return nil, err
	}
	r := &worker.StepResult{Name: s.Name, Rows: -1}
	what := "VIEW"
	if s.Table {
		what = "TABLE"
	}
	if _, err := e.exec(ctx, worker.PhaseStep, s.Name, "CREATE "+what+" "+ident(s.Name)+" AS\n"+s.SQL); err != nil {
		return nil, err
	}
	e.know(s.Name, s.Table || e.isPlain(tree))
	if s.Table {
		if r.Rows, err = e.number(ctx, "SELECT count(*) FROM "+ident(s.Name)); err != nil {
			return nil, err
		}
	}
	if r.Columns, err = e.describe(ctx, "SELECT * FROM "+ident(s.Name)); err != nil {
		return nil, err
	}
	r.Seconds = time.Since(begin).Seconds()
	return r, nil
}
