package hook

import (
	"testing"

	"caos/internal/engine"
)

// A process dies at a commit of DATA.PIPELINE, whichever it is and however the commit ends,
// and another one takes over, which finds the scratch folder or does not: one version is
// published, of what was checked, once. Mutations that make this fail: stageTargets without
// again; a publication under another key at each attempt.
func TestDataPipelineDiesAtEveryCommit(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs a pipeline, with its workers, for each commit")
	}
	t.Parallel()
	for _, lost := range []bool{false, true} {
		t.Run(map[bool]string{false: "the scratch folder is there", true: "the scratch folder is lost"}[lost], func(t *testing.T) {
			ordeal{commits: 9, ends: engine.Succeeded, brief: true, prepare: func(w *world) (string, any) {
				w.dirs.lost.Store(lost)
				w.write("flights.csv", flightsCSV)
				w.registerData(w.daily(""), dailyRules)
				return pipelineHook, pipelineRequest(nil)
			}, holds: func(w *world, x *engine.Execution) {
				w.ended(x, pipelineSuccess)
				w.counts(map[string]int{`SELECT COUNT(*) FROM dataset_versions`: 1, `SELECT COUNT(*) FROM pipeline_turns`: 0, `SELECT COUNT(*) FROM openlineage_events`: 2,
					`SELECT COUNT(*) FROM pipeline_runs WHERE status='SUCCESS'`: 1, `SELECT COUNT(*) FROM events WHERE type='caos.pipeline.completed'`: 1,
					`SELECT COUNT(*) FROM events WHERE type='caos.pipeline.succeeded'`: 1, `SELECT COUNT(*) FROM lineage_edges`: 2})
				w.only("train.parquet")
				w.noScratch()
			}}.everywhere(t)
		})
	}
}

// The same of a run that its checks stop after the worker made everything: whatever commit
// the process dies at, nothing is published and nothing is left.
func TestDataPipelineFailsAndDiesAtEveryCommit(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs a pipeline, with its workers, for each commit")
	}
	t.Parallel()
	ordeal{commits: 6, ends: engine.Failed, brief: true, prepare: func(w *world) (string, any) {
		w.write("flights.csv", "flight_date,carrier,distance,delay\n2001-01-01,AA,,4\n")
		w.registerData(w.daily(""), dailyRules)
		return pipelineHook, pipelineRequest(nil)
	}, holds: func(w *world, x *engine.Execution) {
		w.ended(x, pipelineFailed)
		w.counts(map[string]int{`SELECT COUNT(*) FROM dataset_versions`: 0, `SELECT COUNT(*) FROM pipeline_turns`: 0, `SELECT COUNT(*) FROM openlineage_events`: 2,
			`SELECT COUNT(*) FROM pipeline_runs WHERE status='FAILED'`: 1, `SELECT COUNT(*) FROM events WHERE type IN ('caos.pipeline.completed', 'caos.pipeline.succeeded')`: 0})
		w.only()
		w.noScratch()
	}}.everywhere(t)
}
