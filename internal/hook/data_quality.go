package hook

import (
	"context"
	"time"

	"caos"
	"caos/internal/contract"
	"caos/internal/dataset"
	"caos/internal/location"
)

// This file checks files against an object of a contract. DATA.PIPELINE does so with what it
// is about to publish, DATA.VALIDATE with what was published.

// quality holds what checks are run with.
type quality struct{}

// qualityRun says what is checked, and by what.
type qualityRun struct {
	Folder      string           // of this check alone, in the execution's scratch folder; made, and removed at the end
	Files       []location.Local // of the table, on this machine; Name is kept, so that partitions stay what they are
	Format      string           // parquet, csv, json or ndjson
	Compression string           // "" for by content
	Columns     []dataset.Column // of the table, as it was written
	Object      *contract.Object
	Tables      []qualityTable // what checks of integrity look things up in
	Limits      dataset.Limits
	Now         time.Time // what freshness is measured against
	MaxSamples  int       // rows kept of each failed check; 0 means contract's, below 0 none
	Profile     bool      // describe the columns, too
}

// qualityTable is another table of a check.
type qualityTable struct {
	Name                string
	Files               []location.Local
	Format, Compression string
	Columns             []dataset.Column
}

// qualityResult is what came of it.
type qualityResult struct {
	Outcome *contract.Outcome
	SQL     []contract.Query // every statement that was run, steps included
	Engine  string           // what counted, such as "DuckDB 1.5.6"
	Bytes   int64            // that were read
	Peak    int64            // bytes of memory
	Seconds float64          // of the worker
}

// checkFiles runs the checks in a worker. progress is called with percents, and may be nil.
// The caller has the compute: Limits is what it was given. Errors are *caos.Error or a
// *worker.Failure; checks that fail, or cannot run, are no error.
func (q quality) checkFiles(ctx context.Context, run qualityRun, progress func(percent float64)) (*qualityResult, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}
