package hook

import (
	"context"

	"caos/internal/worker"
)

// Worker runs the jobs of the data hooks; a *worker.Runner does.
type Worker interface {
	// Available says whether jobs can run on this machine; an Unavailable error has the remedy.
	Available(ctx context.Context) error

	// Version says which worker and which engine it is, as "caos-worker 1.2.0, DuckDB v1.5.6".
	Version(ctx context.Context) (string, error)

	// Run does a job in folder, whose in/ has its files. The error is a *worker.Failure.
	Run(ctx context.Context, folder string, job worker.Job, lim worker.Limits, progress func(worker.Progress)) (*worker.Result, error)
}
