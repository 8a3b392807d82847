package hook

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// folderDaily is the daily pipeline with a folder for a target.
func (w *world) folderDaily(id, version, folder string) string {
	text := strings.Replace(w.daily(""), "uri: file://"+w.target("train.parquet"), "uri: file://"+w.target(folder)+"/", 1)
	return strings.Replace(strings.Replace(text, dpDaily, id, 1), `pipeline_version: "1.0"`, `pipeline_version: "`+version+`"`, 1)
}

// A folder that is full of what the pipeline has not published is not replaced: a target that
// is a part too short would take all with it. Nor is one in, at or around which another
// pipeline publishes. Mutation that makes this fail: New and Neighbours are left out.
func TestDataPipelineTargetIsOthers(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.write("flights.csv", flightsCSV)
		w.registerData(w.folderDaily(dpDaily, "1.0", "lake"), dailyRules)
		theirs := filepath.Join(w.target("lake"), "theirs.txt")
		if err := os.MkdirAll(w.target("lake"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(theirs, []byte("a year of work"), 0o644); err != nil {
			t.Fatal(err)
		}
		before := tree(t, w.dirs.targets)
		x, _ := w.runs(nil)
		out := w.ended(x, pipelineFailed)
		if f := findingOf(x, "target-occupied"); f == nil || f.Subject != "train" || f.Remedy == "" || len(out.Issues) == 0 {
			t.Errorf("%+v", x.Findings)
		}
		if after := tree(t, w.dirs.targets); !sameTree(before, after) {
			t.Errorf("%v, before %v", after, before)
		}
		w.noScratch()

		// Once it is empty it is the pipeline's, and stays so.
		if err := os.Remove(theirs); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			x, _ := w.runs(nil)
			w.ended(x, pipelineSuccess)
		}
		before = tree(t, w.dirs.targets)

		for _, v := range [][2]string{{"1.0", "lake"}, {"1.1", "lake/deeper"}} {
			if err := w.tryRegister(w.folderDaily("DP-DLY-002", v[0], v[1])); err != nil {
				t.Fatal(err)
			}
		}
		for _, version := range []string{"1.0", "1.1"} {
			x, _ := w.runs(map[string]any{"pipeline_id": "DP-DLY-002", "pipeline_version": version})
			w.ended(x, pipelineFailed)
			if f := findingOf(x, "target-taken"); f == nil || !strings.Contains(f.Message, dpDaily+".train") || f.Remedy == "" {
				t.Errorf("%s: %+v", version, x.Findings)
			}
			if after := tree(t, w.dirs.targets); !sameTree(before, after) {
				t.Errorf("%s: %v, before %v", version, after, before)
			}
		}
	})
}
