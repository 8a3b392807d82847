package hook

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/location"
	"caos/internal/object"
)

// What a node has of executions that ended elsewhere goes; what of one that has not, stays.
func TestSweepScratch(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		ctx := context.Background()
		w.write("flights.csv", flightsCSV)
		w.registerData(w.daily(""), dailyRules)
		ended, _ := w.runs(nil)
		if err := d.Write(ctx, func(tx *db.Tx) error {
			tx.Exec(`UPDATE executions SET status='RUNNING' WHERE execution_id=$1`, ended.ID)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for i, want := range []int{0, 1, 0} {
			if i == 1 {
				if err := d.Write(ctx, func(tx *db.Tx) error {
					tx.Exec(`UPDATE executions SET status='FAILED' WHERE execution_id=$1`, ended.ID)
					return nil
				}); err != nil {
					t.Fatal(err)
				}
			}
			if i < 2 {
				if err := os.MkdirAll(filepath.Join(w.dirs.data, ended.ID, etlFolder, "in"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := SweepScratch(ctx, d, w.dirs.data); err != nil || got != want {
				t.Errorf("round %d: %d folders removed, not %d: %v", i, got, want, err)
			}
		}
		w.noScratch()
	})
}

// A run that is cancelled after its publication was recorded, and before what an undo would
// have needed was dropped, leaves nothing beside its targets.
func TestStoppedAfterPublication(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		ctx := context.Background()
		w.write("made.csv", "new")
		if err := os.WriteFile(w.target("train.csv"), []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
		h := newDataPipeline(w.parts)
		const id = "EXEC-DP-DLY-001-20261122T101500.123456Z"
		st, err := h.locations.Stage(ctx, location.Publication{Key: id + "/train", Target: "file://" + w.target("train.csv"), Folder: w.files,
			Files: []location.Local{{Path: "made.csv", Name: "train.csv"}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.locations.Commit(ctx, st); err != nil {
			t.Fatal(err)
		}
		s := &pipelineState{Settled: true, Published: true, HTML: &object.Ref{}, Targets: []pipeTarget{{Name: "train", Staged: st, Committed: true, N: 1}}}
		for range 2 {
			if err := h.reportFailure(ctx, &engine.Run{ExecutionID: id, Ending: engine.Cancelled, Attempt: 1}, s); err != nil {
				t.Fatal(err)
			}
		}
		w.only("train.csv")
		if text, err := os.ReadFile(w.target("train.csv")); err != nil || string(text) != "new" {
			t.Errorf("the target holds %q: %v", text, err)
		}
	})
}

// A node that was silent while another one came to the end of the run stages its targets too
// late, and takes that back.
func TestStagedTooLate(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		ctx := context.Background()
		w.write("flights.csv", flightsCSV)
		w.registerData(w.daily(""), dailyRules)
		ended, _ := w.runs(nil)
		before := tree(t, w.dirs.targets)
		h := newDataPipeline(w.parts)
		st, err := h.locations.Stage(ctx, location.Publication{Key: ended.ID + "/train", Target: "file://" + w.target("train.parquet"), Folder: w.files,
			Files: []location.Local{{Path: "flights.csv", Name: "train.parquet"}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := &pipelineState{Targets: []pipeTarget{{Name: "train", Staging: true, Staged: st}}}
		if err := h.mine(ctx, &engine.Run{ExecutionID: ended.ID, Attempt: 1}, s); caos.KindOf(err) != caos.Unavailable {
			t.Errorf("it goes on: %v", err)
		}
		if after := tree(t, w.dirs.targets); !sameTree(before, after) {
			t.Errorf("%v became %v", before, after)
		}
		w.only("train.parquet")
	})
}
