package hook

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"caos"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
)

// What a pipeline published for another project is not there as a source, although the folder may be read. Mutation that makes this fail: reachable
// returns all that was found.
func TestDataPipelineReadsNothingOfOthers(t *testing.T) {
	t.Parallel()
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

// Who is limited to a project learns nothing of pipelines and runs outside of it, also not of
// those of no project, by submitting. Mutation that makes this fail: knowable returns nil.
func TestRunningIsNoWayToFindOut(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.write("flights.csv", flightsCSV)
		w.registerData(strings.Replace(w.daily(""), "project: flight-delay\n", "", 1), dailyRules)
		x, _ := w.runs(nil)
		w.ended(x, pipelineSuccess)
		limited := w.as("dana")
		limited.Project = "other"
		refusal := func(hook string, input map[string]any) caos.Error {
			body, err := json.Marshal(input)
			if err != nil {
				t.Fatal(err)
			}
			x, err := w.Submit(context.Background(), Request{Hook: hook, Body: body, ContentType: "application/json", By: limited})
			if err == nil {
				t.Fatalf("it ran: %+v", x)
			}
			e := *caos.AsError(err)
			return caos.Error{Kind: e.Kind, Message: e.Message, Field: e.Field, Hint: e.Hint, Rule: e.Rule}
		}
		same := func(what string, a, b caos.Error) {
			if a.Kind != caos.NotFound || a.Error() != b.Error() || a.Field != b.Field || a.Hint != b.Hint || a.Rule != b.Rule {
				t.Errorf("%s: %+v, and of what is not there %+v", what, a, b)
			}
		}
		same("pipeline", refusal(pipelineHook, pipelineRequest(nil)), refusal(pipelineHook, pipelineRequest(map[string]any{"pipeline_id": "DP-NOT-001"})))
		rules := map[string]any{"execution_id": x.ID, "dataset_uri": "file://" + w.target("train.parquet"), "validation_rules_id": "95-00-09-02-004"}
		there := refusal(validateHook, rules)
		rules["execution_id"] = "EXEC-DP-NOT-001-20261122T101500.123456Z"
		same("run", there, refusal(validateHook, rules))

		// A link in the place of what was published is not followed, and said.
		if err := os.Remove(w.target("train.parquet")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/etc/passwd", w.target("train.parquet")); err != nil {
			t.Fatal(err)
		}
		rules["execution_id"] = x.ID
		v, err := w.submit("dana", validateHook, rules)
		if err != nil || findingOf(v, ruleDatasetChanged) == nil {
			t.Errorf("%+v %v", v, err)
		}
	})
}

// A version of a contract that is above the pipeline's classification is not used, also if it
// came after the pipeline: reports of runs quote it.
// Mutation that makes this fail: resolveContracts does not compare.
func TestDataPipelineContractAboveIt(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.write("flights.csv", flightsCSV)
		w.registerData(w.daily(""), dailyRules)
		rules, err := dataset.ReadContract([]byte(strings.Replace(dailyRules, "version: 1.0.0", "version: 2.0.0", 1)))
		if err != nil {
			t.Fatal(err)
		}
		rules.Classification = "Regulated"
		if err := d.Update(t.Context(), func(tx *db.Tx) error {
			_, err := w.datasets.RegisterContract(tx, rules, dataBy())
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if x, err := w.submit("dana", pipelineHook, pipelineRequest(nil)); caos.AsError(err).Rule != "contracts-known" {
			t.Errorf("%+v %v", x, err)
		}
	})
}
