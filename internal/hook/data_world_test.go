package hook

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/worker"
	"caos/internal/worker/workertest"
)

// testWorker is the real worker, built when a test first needs it. A test may break it.
type testWorker struct {
	t      testing.TB
	once   sync.Once
	runner *worker.Runner
	runs   atomic.Int64

	mu     sync.Mutex
	broken error                               // what Available and Run say instead
	failed error                               // what Run says instead
	hang   bool                                // Run waits for its end instead
	before func(folder string, job worker.Job) // called before a run
}

func (w *testWorker) real() *worker.Runner {
	w.once.Do(func() { w.runner = worker.New(worker.Options{Program: workertest.TestProgram(w.t)}) })
	return w.runner
}

func (w *testWorker) fault(run bool) (func(string, worker.Job), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if run && w.failed != nil {
		return nil, w.failed
	}
	return w.before, w.broken
}

// breaks has the worker fail with err, nil for not any more.
func (w *testWorker) breaks(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = err
}

// fails has runs fail with err, nil for not any more.
func (w *testWorker) fails(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = err
}

// hangs has the next run of this process wait until it is ended.
func (w *testWorker) hangs() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hang = true
}

// meanwhile has fn called before each run.
func (w *testWorker) meanwhile(fn func(folder string, job worker.Job)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before = fn
}

func (w *testWorker) Version(context.Context) (string, error) {
	return "caos-worker 0.0.0-test, DuckDB v9.8.7", nil
}

func (w *testWorker) Available(context.Context) error {
	_, err := w.fault(false)
	return err
}

func (w *testWorker) Run(ctx context.Context, folder string, job worker.Job, lim worker.Limits, progress func(worker.Progress)) (*worker.Result, error) {
	before, err := w.fault(true)
	if err != nil {
		return nil, err
	}
	if before != nil {
		before(folder, job)
	}
	w.runs.Add(1)
	if w.hang {
		<-ctx.Done()
		return nil, &worker.Failure{Kind: worker.KindCancelled, Message: "ended"}
	}
	return w.real().Run(ctx, folder, job, lim, progress)
}

// dataBy is the data engineer.
func dataBy() dataset.By { return dataset.By{Actor: "dana"} }

// registerData stores a pipeline and a contract, "" for none.
func (w *world) registerData(pipeline, rules string) {
	w.t.Helper()
	var stored dataset.Contract
	var err error
	if rules != "" {
		if stored, err = dataset.ReadContract([]byte(rules)); err != nil {
			w.t.Fatalf("%+v", err)
		}
	}
	var def dataset.Definition
	if pipeline != "" {
		if def, err = dataset.ParseDefinition([]byte(pipeline), ""); err != nil {
			w.t.Fatalf("%+v", err)
		}
	}
	err = w.db.Update(context.Background(), func(tx *db.Tx) error {
		if rules != "" {
			if _, err := w.datasets.RegisterContract(tx, stored, dataBy()); err != nil {
				return err
			}
		}
		if pipeline == "" {
			return nil
		}
		_, err := w.datasets.Register(tx, def, []byte(pipeline), dataBy())
		return err
	})
	if err != nil {
		w.t.Fatalf("%+v", err)
	}
}

// noScratch fails if a data hook left something behind.
func (w *world) noScratch() {
	w.t.Helper()
	left, err := os.ReadDir(w.dirs.data)
	if err != nil || len(left) != 0 {
		w.t.Errorf("scratch is left: %v %v", left, err)
	}
}

// target is where a dataset of the tests is published.
func (w *world) target(name string) string { return filepath.Join(w.dirs.targets, name) }
