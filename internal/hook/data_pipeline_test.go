package hook

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/report"
)

// The seven actions of section 5.1, end to end: a real source, the real worker, a real target.
func TestDataPipeline(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		ctx := context.Background()
		w.write("flights.csv", flightsCSV)
		w.registerData(w.daily(""), dailyRules)
		x, _ := w.runs(nil)
		out := w.ended(x, pipelineSuccess)
		steps := map[string]engine.StepRecord{}
		for _, s := range x.Steps {
			steps[s.Step] = s
		}
		done := func(t *testing.T, names ...string) {
			t.Helper()
			for _, n := range names {
				if steps[n].Status != engine.StepDone {
					t.Errorf("step %s: %+v", n, steps[n])
				}
			}
		}
		t.Run("1 Validate data source availability", func(t *testing.T) {
			done(t, "settle-request", "take-turn", "begin-run", "probe-sources")
			if _, waited := steps["await-turn"]; waited {
				t.Error("it waited for a turn that was free")
			}
			if !strings.HasPrefix(out.ExecutionID, "EXEC-DP-DLY-001-") || out.ExecutionID != x.ID {
				t.Errorf("execution_id %q of %q", out.ExecutionID, x.ID)
			}
		})
		t.Run("2 Allocate compute resources", func(t *testing.T) {
			done(t, "allocate-compute")
			if total, free, waiting := w.engine.Allocator().Usage(); free != total || waiting != 0 {
				t.Errorf("of %+v %+v is free, %d wait", total, free, waiting)
			}
		})
		t.Run("3 Execute ETL workflow", func(t *testing.T) {
			done(t, "run-etl", "stage-targets", "commit-target", "finish-targets")
			if out.RecordsProcessed == nil || *out.RecordsProcessed != 4 {
				t.Errorf("records %v", out.RecordsProcessed)
			}
			files := tree(t, w.dirs.targets)
			if len(files) != 1 || files["train.parquet"] == "" {
				t.Errorf("targets %v", files)
			}
		})
		t.Run("4 Perform data quality checks", func(t *testing.T) {
			done(t, "check-quality", "judge-quality")
			if out.DataQualityScore == nil || *out.DataQualityScore != 1 {
				t.Errorf("score %v", out.DataQualityScore)
			}
			if len(out.Issues) != 1 || !strings.Contains(out.Issues[0], "Target train") || !strings.Contains(out.Issues[0], "many") {
				t.Errorf("issues %q", out.Issues)
			}
		})
		t.Run("5 Update data lineage records", func(t *testing.T) {
			done(t, "record-lineage")
			v, err := w.datasets.VersionOf(ctx, "DP-DLY-001.train", 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(v.Files) != 1 || v.Rows != 4 || v.ExecutionID != x.ID || v.Contract != "95-00-09-02-004@1.0.0" ||
				v.Files[0].Digest != "SHA256:"+tree(t, w.dirs.targets)["train.parquet"] {
				t.Errorf("version %+v", v)
			}
			if len(out.OutputDatasets) != 1 || out.OutputDatasets[0] != baseURL+"/v1/datasets/DP-DLY-001.train/versions/1" {
				t.Errorf("outputs %v", out.OutputDatasets)
			}
			w.counts(map[string]int{`SELECT COUNT(*) FROM external_versions`: 1, `SELECT COUNT(*) FROM openlineage_events`: 2, `SELECT COUNT(*) FROM lineage_edges`: 2,
				`SELECT COUNT(*) FROM openlineage_events WHERE event_type = 'COMPLETE' AND event LIKE '%"DuckDB"%' AND event LIKE '%"9.8.7"%'`: 1})
		})
		t.Run("6 Generate execution report", func(t *testing.T) {
			done(t, "write-report")
			var doc report.Pipeline
			if err := json.Unmarshal([]byte(w.objectOf(x.ID, KindPipelineReportJSON)), &doc); err != nil || doc.Status != pipelineSuccess || doc.Records != 4 || len(doc.Targets) != 1 || doc.Targets[0].N != 1 {
				t.Errorf("report %+v %v", doc, err)
			}
			html := w.objectOf(x.ID, KindPipelineReport)
			for _, want := range []string{"SUCCESS", "DP-DLY-001.train", "<svg class=\"flow", "95-00-09-02-004@1.0.0", x.ID} {
				if !strings.Contains(html, want) {
					t.Errorf("the report has no %q", want)
				}
			}
			if folder := os.Getenv("CAOS_REPORT_LOOK"); folder != "" {
				_ = os.WriteFile(folder+"/pipeline-real.html", []byte(html), 0o600)
			}
		})
		t.Run("7 Trigger downstream workflows if successful", func(t *testing.T) {
			done(t, "trigger-downstream")
			w.counts(map[string]int{`SELECT COUNT(*) FROM events WHERE type='caos.pipeline.completed'`: 1, `SELECT COUNT(*) FROM events WHERE type='caos.pipeline.succeeded'`: 1,
				`SELECT COUNT(*) FROM pipeline_turns`: 0, `SELECT COUNT(*) FROM pipeline_runs WHERE status='SUCCESS'`: 1})
		})
		w.noScratch()
	})
}
