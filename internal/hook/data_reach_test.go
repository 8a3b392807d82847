package hook

import (
	"strings"
	"testing"

	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
)

// What a pipeline published for another project is not there as a source, although the folder may be read. Mutation that makes this fail: reachable
// returns all that was found.
func TestDataPipelineReadsNothingOfOthers(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.write("flights.csv", flightsCSV)
		w.registerData(w.daily(""), dailyRules)
		run := func(id string) *engine.Execution {
			x, _ := w.runs(map[string]any{"pipeline_id": id})
			return x
		}
		w.ended(run(dpDaily), pipelineSuccess)

		reader := func(id, project string) string {
			return "pipeline_id: " + id + "\npipeline_version: \"1.0\"\ntitle: Reader\nowner: dana\nproject: " + project + `
sources:
  - name: theirs
    uri: file://` + w.target("train.parquet") + `
targets:
  - name: copy
    from: theirs
    uri: file://` + w.target(strings.ToLower(id)+".parquet") + "\ncompute: {memory: 512 MiB, threads: 1, scratch: 64 MiB, timeout: 60s}\n"
		}
		for id, text := range map[string]string{
			"DP-DLY-011": reader("DP-DLY-011", "other"),
		} {
			w.registerData(text, "")
			before := tree(t, w.dirs.targets)
			x := run(id)
			w.ended(x, pipelineFailed)
			f := findingOf(x, "source-missing")
			if f == nil || f.Message != "source theirs: there is no file at file://"+w.target("train.parquet") {
				t.Errorf("%s: %+v", id, x.Findings)
			}
			if after := tree(t, w.dirs.targets); !sameTree(before, after) {
				t.Errorf("%s: %v, before %v", id, after, before)
			}
		}
		w.registerData(reader("DP-DLY-013", "flight-delay"), "")
		w.ended(run("DP-DLY-013"), pipelineSuccess)
	})
}
