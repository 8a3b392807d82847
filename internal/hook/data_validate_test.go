package hook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caos"
	"caos/internal/alert"
	"caos/internal/auditlog"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/notify"
	"caos/internal/worker"
)

const (
	dlyRules    = "95-00-09-02-004"
	dlyPipeline = "DP-DLY-001"
)

// flightsPipeline publishes one CSV file.
func (w *world) flightsPipeline(contractRef string) string {
	return `
pipeline_id: DP-DLY-001
pipeline_version: "1.0"
title: Flights
sources:
  - {name: flights, uri: "file://` + w.files + `/flights.csv", format: csv}
  - {name: carriers, uri: "file://` + w.files + `/carriers.csv", format: csv, reference: true, columns: [{name: code, type: VARCHAR}]}
transforms: [{name: clean, sql: SELECT * FROM flights}]
targets: [{name: train, uri: "file://` + w.target("train.csv") + `", from: clean, format: csv}]
contract: ` + contractRef + `
compute: {memory: 512 MB, threads: 1, scratch: 200 MB, timeout: 2m}
`
}

// flightRules are rules of each kind; what is in more is added to the object's quality.
func flightRules(version, more string) string {
	return `
apiVersion: v3.1.0
kind: DataContract
id: ` + dlyRules + `
version: ` + version + `
name: Flights
status: active
schema:
  - name: train
    properties:
      - {name: id, logicalType: integer, primaryKey: true, required: true}
      - name: delay
        logicalType: number
        quality:
          - {id: delay-there, name: Delays are there, metric: nullValues, mustBeLessThan: 30, unit: percent, dimension: completeness, severity: error}
          - {id: delay-possible, type: custom, engine: caos, implementation: {range: {min: -120, max: 2880}}, dimension: accuracy, severity: warning}
          - {id: delay-usual, type: custom, engine: caos, implementation: {outliers: {method: iqr, factor: 1.5}}, dimension: accuracy, severity: info}
      - name: carrier
        logicalType: string
        quality:
          - {id: carrier-known, type: custom, engine: caos, implementation: {referentialIntegrity: {references: carriers.code}}, dimension: consistency, severity: error}
      - name: pilot
        logicalType: string
        classification: restricted
        quality:
          - {id: pilot-name, metric: invalidValues, arguments: {pattern: "^[A-Z][a-z]+$"}, mustBe: 0, dimension: conformity, severity: warning}
    quality:
      - {id: rows, metric: rowCount, mustBeGreaterThan: 0, dimension: completeness, severity: error}
` + more
}

const goodFlights = `id,delay,carrier,pilot
1,5,AA,Ann
2,3,AA,Bob
3,8,UA,Cid
4,7,UA,Dee
5,4,AA,Eve
6,,UA,Fay
`

// flightColumns are those of the dataset.
func flightColumns() []dataset.Column {
	return []dataset.Column{{Name: "id", Type: "BIGINT"}, {Name: "delay", Type: "BIGINT"}, {Name: "carrier", Type: "VARCHAR"}, {Name: "pilot", Type: "VARCHAR"}}
}

// flown registers pipeline and rules, and publishes the first version.
func (w *world) flown(text string) map[string]any {
	w.t.Helper()
	w.file("carriers.csv", "code\nAA\nUA\n")
	w.registerData(w.flightsPipeline(dlyRules), flightRules("1.0.0", ""))
	return w.published(text)
}

// published writes a version as a pipeline run would have, and returns the input that
// validates it.
func (w *world) published(text string) map[string]any {
	w.t.Helper()
	path := w.target("train.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(text))
	run := w.engine.NewID("EXEC-" + dlyPipeline + "-")
	now := w.dirs.now()
	err := w.db.Update(context.Background(), func(tx *db.Tx) error {
		if err := w.datasets.PutRun(tx, dataset.Run{ExecutionID: run, PipelineID: dlyPipeline, Version: "1.0", Mode: dataset.ModeOnDemand, Status: dataset.RunSuccess,
			Outputs: []string{}, Issues: []string{}, Contracts: []dataset.ContractRef{}, Classification: "Internal", StartedAt: now, EndedAt: &now}); err != nil {
			return err
		}
		_, err := w.datasets.Publish(tx, dataset.Version{PipelineID: dlyPipeline, Target: "train", ExecutionID: run, URI: "file://" + path, Rows: int64(strings.Count(text, "\n")) - 1,
			Columns: flightColumns(), Files: []dataset.File{{Name: "train.csv", Digest: "SHA256:" + hex.EncodeToString(sum[:]), Bytes: int64(len(text))}}}, dataBy())
		return err
	})
	if err != nil {
		w.t.Fatalf("%+v", err)
	}
	return map[string]any{"execution_id": run, "validation_rules_id": dlyRules, "dataset_uri": "file://" + path}
}

// object reads what is stored under a digest.
func (w *world) object(digest string) string {
	w.t.Helper()
	f, _, err := w.objects.VerifyReader(digest)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	raw, err := io.ReadAll(f)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(raw)
}

func (w *world) validation(id string) *dataset.Validation {
	w.t.Helper()
	v, err := w.datasets.Validation(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// Flights with delays that are missing, impossible and unusual, and a carrier nobody knows.
const badFlights = `id,delay,carrier,pilot
1,5,AA,Ann
2,,AA,Bob
3,12,XX,<script>alert(1)</script>
4,,UA,Dee
5,9000,AA,Eve
6,,UA,Fay
7,4,UA,Gus
8,6,UA,Hal
9,7,UA,Ian
`

func TestDataValidate(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		ctx := context.Background()
		var good, bad ValidateOutput
		input := w.flown(goodFlights)
		w.done("dana", validateHook, input, &good)
		before := w.validation(*good.ValidationID)
		input = w.published(badFlights)
		x := w.done("dana", validateHook, input, &bad)
		v := w.validation(*bad.ValidationID)
		w.noScratch()

		t.Run("1 Load validation rules", func(t *testing.T) {
			c, err := w.datasets.Contract(ctx, dlyRules, "1.0.0")
			if err != nil || v.ContractDigest != c.Digest || v.ContractVersion != "1.0.0" || v.ContractObject != "train" {
				t.Errorf("rules %s %s %s %v", v.ContractVersion, v.ContractDigest, v.ContractObject, err)
			}
		})
		t.Run("2 Execute validation checks (completeness, accuracy, consistency)", func(t *testing.T) {
			if *good.OverallStatus != dataset.ValidationPass || before.Failed != 0 {
				t.Errorf("good flights: %s, %d failed: %+v", *good.OverallStatus, before.Failed, before.Checks)
			}
			failed := map[string]int64{}
			for _, k := range v.Checks {
				if !k.Passed {
					failed[k.ID] = k.FailingRows
				}
			}
			want := map[string]int64{"delay-there": 3, "delay-possible": 1, "carrier-known": 1, "pilot-name": 1}
			for id, n := range want {
				if failed[id] != n {
					t.Errorf("%s: %d rows, want %d", id, failed[id], n)
				}
			}
			if len(failed) != len(want) || *bad.OverallStatus != dataset.ValidationFail || v.Rows != 9 {
				t.Errorf("failed %v, %s, %d rows", failed, *bad.OverallStatus, v.Rows)
			}
		})
		t.Run("3 Calculate data quality metrics", func(t *testing.T) {
			if *bad.ChecksPerformed != *bad.ChecksPassed+*bad.ChecksFailed || *bad.ChecksFailed != 4 || *good.QualityScore != 1 {
				t.Errorf("%d performed, %d passed, %d failed, score %v", *bad.ChecksPerformed, *bad.ChecksPassed, *bad.ChecksFailed, *good.QualityScore)
			}
			passed, all := 0.0, 0.0
			for _, k := range v.Checks {
				if all += k.Weight; k.Passed {
					passed += k.Weight
				}
			}
			if math.Abs(*bad.QualityScore-passed/all) > 1e-12 {
				t.Errorf("score %v, want %v", *bad.QualityScore, passed/all)
			}
			for _, dimension := range []string{"completeness", "accuracy", "consistency"} {
				if v.Dimensions[dimension] == nil || *v.Dimensions[dimension] >= 1 || *before.Dimensions[dimension] != 1 {
					t.Errorf("%s: %v", dimension, v.Dimensions[dimension])
				}
			}
		})
		t.Run("4 Flag anomalies and outliers", func(t *testing.T) {
			if *bad.AnomaliesDetected != 1 || *good.AnomaliesDetected != 0 || !hasFinding(x, "anomalies-flagged") {
				t.Errorf("%d anomalies, %d, %v", *bad.AnomaliesDetected, *good.AnomaliesDetected, x.Findings)
			}
			shown := map[string]bool{}
			for _, s := range v.Samples {
				for _, value := range s.Values {
					shown[value.Column] = true
					if value.Column == "pilot" && (!value.Masked || value.Value != "") {
						t.Errorf("a masked value is in a sample: %+v", value)
					}
				}
			}
			if len(v.Samples) == 0 || !shown["id"] || !shown["pilot"] {
				t.Errorf("samples %+v", v.Samples)
			}
		})
		t.Run("5 Update data quality dashboard", func(t *testing.T) {
			q, err := w.datasets.Quality(ctx, func(string, string) bool { return true })
			if err != nil || len(q.Standing) != 1 || q.Standing[0].Validations != 2 || q.Standing[0].Passes != 1 || q.Standing[0].Fails != 1 || q.Standing[0].ValidationID != v.ValidationID || q.Standing[0].FailingSince == nil {
				t.Errorf("%+v %v", q, err)
			}
			if v.Previous != before.ValidationID || v.Changes == nil || len(v.Changes.FailingNow) != 4 || !v.Changes.Dataset || v.Changes.Contract || v.Changes.Status != dataset.ValidationPass {
				t.Errorf("previous %q %+v", v.Previous, v.Changes)
			}
			page := w.object(v.ReportHTML)
			for _, want := range []string{"FAIL", "Delays are there", "What is wrong", v.ValidationID, v.DatasetDigest, "Failing now:"} {
				if !strings.Contains(page, want) {
					t.Errorf("the report does not say %q", want)
				}
			}
			if strings.Contains(page, "Cid") || strings.Contains(page, "<script") || strings.Contains(page, "alert(1)") {
				t.Error("the report shows what is masked, or is a script")
			}
			var text dataset.Validation
			if err := json.Unmarshal([]byte(w.object(v.ReportJSON)), &text); err != nil || text.ValidationID != v.ValidationID || len(text.Statements) == 0 || len(text.Checks) != v.Performed {
				t.Errorf("the report as JSON: %v %+v", err, text)
			}
			if refs, err := w.objects.References(ctx, v.ReportHTML); err != nil || len(refs) != 1 || refs[0].Owner != v.ValidationID {
				t.Errorf("bindings %v %v", refs, err)
			}
			if *bad.ValidationReportURI != baseURL+"/v1/validations/"+v.ValidationID+"/report" {
				t.Errorf("validation_report_uri %s", *bad.ValidationReportURI)
			}
		})
		t.Run("6 Alert on validation failures", func(t *testing.T) {
			list, _, err := w.alerts.List(ctx, alert.Filter{}, "")
			if err != nil || len(list) != 1 || list[0].AlertType != alert.Anomaly || !strings.HasPrefix(list[0].AlertID, "ALERT-DATA-") || list[0].Severity != alert.High ||
				list[0].Subject != "DP-DLY-001.train" || v.AlertID != list[0].AlertID || !strings.Contains(list[0].AlertMessage, "Delays are there") {
				t.Errorf("alerts %+v %v, of the validation %q", list, err, v.AlertID)
			}
			for _, who := range []string{"dana", "quin"} {
				if notices, _, err := w.notifier.List(ctx, who, notify.Filter{}, ""); err != nil || len(notices) != 1 || !strings.Contains(notices[0].Subject, "FAIL") {
					t.Errorf("notices of %s: %+v %v", who, notices, err)
				}
			}
			w.healed(list[0].AlertID)
		})
		page, err := w.log.List(ctx, auditlog.Filter{Type: auditlog.Data, Resource: v.ValidationID}, "")
		if err != nil || len(page.Records) == 0 {
			t.Errorf("no record names the validation: %v", err)
		}
	})
}

// healed publishes good flights again: the alert stays, and somebody is told to close it.
func (w *world) healed(alertID string) {
	w.t.Helper()
	var out ValidateOutput
	x := w.done("dana", validateHook, w.published(goodFlights), &out)
	if *out.OverallStatus != dataset.ValidationPass || !hasFinding(x, "alert-still-open") || !strings.Contains(x.Findings[len(x.Findings)-1].Message, alertID) {
		w.t.Errorf("%s %+v", *out.OverallStatus, x.Findings)
	}
	if list, _, err := w.alerts.List(context.Background(), alert.Filter{Unclosed: true}, ""); err != nil || len(list) != 1 {
		w.t.Errorf("an alert that nobody closed: %v %v", list, err)
	}
	if notices, _, err := w.notifier.List(context.Background(), "dana", notify.Filter{}, ""); err != nil || len(notices) != 2 || !strings.Contains(notices[0].Subject, "PASS") {
		w.t.Errorf("notices: %+v %v", notices, err)
	}
}

func hasFinding(x *engine.Execution, rule string) bool {
	for _, f := range x.Findings {
		if f.Rule == rule {
			return true
		}
	}
	return false
}

// What the request alone shows is refused, and leaves no execution.
func TestDataValidateRefusals(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		good := w.flown(goodFlights)
		w.worker.breaks(caos.Errorf(caos.Unavailable, "there is no worker").WithHint("build it"))
		if _, err := w.submit("dana", validateHook, good); caos.KindOf(err) != caos.Unavailable || caos.AsError(err).Hint == "" {
			t.Errorf("without a worker: %v", err)
		}
		w.worker.breaks(nil)
		other := w.published(goodFlights)
		failed := w.engine.NewID("EXEC-" + dlyPipeline + "-")
		now := w.dirs.now()
		if err := w.db.Update(context.Background(), func(tx *db.Tx) error {
			return w.datasets.PutRun(tx, dataset.Run{ExecutionID: failed, PipelineID: dlyPipeline, Version: "1.0", Mode: dataset.ModeOnDemand, Status: dataset.RunFailed, Classification: "Internal", StartedAt: now, EndedAt: &now})
		}); err != nil {
			t.Fatal(err)
		}
		w.registerData("", strings.NewReplacer(dlyRules, "95-00-09-02-009", "name: train", "name: other\n    physicalName: other\n  - name: another").Replace(flightRules("1.0.0", "")))
		for name, c := range map[string]struct {
			who    string
			change map[string]any
			kind   caos.Kind
			field  string
			rule   string
		}{
			"missing role":       {"olga", nil, caos.Denied, "", ""},
			"no execution":       {"dana", map[string]any{"execution_id": "EXEC-DP-DLY-001-20200101T000000.000000Z"}, caos.NotFound, "execution_id", ""},
			"malformed":          {"dana", map[string]any{"execution_id": "DP-DLY-001"}, caos.Invalid, "execution_id", ""},
			"failed run":         {"dana", map[string]any{"execution_id": failed}, caos.Conflict, "execution_id", "pipeline-published"},
			"another dataset":    {"dana", map[string]any{"dataset_uri": "file:///etc/passwd"}, caos.Invalid, "dataset_uri", "dataset-of-execution"},
			"another version":    {"dana", map[string]any{"dataset_uri": baseURL + "/v1/datasets/DP-DLY-001.train/versions/2"}, caos.Invalid, "dataset_uri", "dataset-of-execution"},
			"no such rules":      {"dana", map[string]any{"validation_rules_id": "95-00-09-02-999"}, caos.NotFound, "validation_rules_id", "rules-registered"},
			"no such version":    {"dana", map[string]any{"validation_rules_id": dlyRules + "@9.9.9"}, caos.NotFound, "validation_rules_id", "rules-registered"},
			"rules with a space": {"dana", map[string]any{"validation_rules_id": "95-00 OR 1=1"}, caos.Invalid, "validation_rules_id", ""},
			"unknown field":      {"dana", map[string]any{"colour": "red"}, caos.Invalid, "colour", ""},
		} {
			in := map[string]any{}
			for _, m := range []map[string]any{good, c.change} {
				for k, v := range m {
					in[k] = v
				}
			}
			_, err := w.submit(c.who, validateHook, in)
			e := caos.AsError(err)
			if err == nil || e.Kind != c.kind || c.field != "" && e.Field != c.field || c.rule != "" && e.Rule != c.rule {
				t.Errorf("%s: %v (kind %s, field %q, rule %q)", name, err, e.Kind, e.Field, e.Rule)
			}
		}
		for name, in := range map[string]map[string]any{"classified": w.secret("DP-SEC-001"), "none": {"execution_id": "EXEC-DP-SEC-001-20200101T000000.000000Z", "validation_rules_id": dlyRules, "dataset_uri": "file:///x"}} {
			if _, err := w.submit("dana", validateHook, in); caos.KindOf(err) != caos.NotFound || caos.AsError(err).Message != "there is no such execution, or it is not for you" {
				t.Errorf("%s: %v", name, err)
			}
		}
		w.counts(map[string]int{`SELECT COUNT(*) FROM executions`: 0, `SELECT COUNT(*) FROM validations`: 0})

		// Its address in the API names a version as well as its location does; a contract whose
		// objects are all about something else ends the execution with a sentence.
		var out ValidateOutput
		other["dataset_uri"] = baseURL + "/v1/datasets/DP-DLY-001.train/versions/2"
		w.done("dana", validateHook, other, &out)
		other["validation_rules_id"] = "95-00-09-02-009"
		x, err := w.submit("dana", validateHook, other)
		if err != nil || x.Status != engine.Failed || x.Error == nil || !strings.Contains(x.Error.Message, "none of them is") {
			t.Errorf("rules about something else: %v %+v", err, x)
		}
	})
}

// secret publishes a version that only few may know of, and returns the input that validates
// it.
func (w *world) secret(pipeline string) map[string]any {
	w.t.Helper()
	run, now := w.engine.NewID("EXEC-"+pipeline+"-"), w.dirs.now()
	err := w.db.Update(context.Background(), func(tx *db.Tx) error {
		if err := w.datasets.PutRun(tx, dataset.Run{ExecutionID: run, PipelineID: pipeline, Version: "1.0", Mode: dataset.ModeOnDemand, Status: dataset.RunSuccess,
			Classification: "Regulated", StartedAt: now, EndedAt: &now}); err != nil {
			return err
		}
		_, err := w.datasets.Publish(tx, dataset.Version{PipelineID: pipeline, Target: "train", ExecutionID: run, URI: "file:///secret.csv", Columns: flightColumns(), Classification: "Regulated",
			Files: []dataset.File{{Name: "secret.csv", Digest: "SHA256:" + strings.Repeat("0", 64), Bytes: 1}}}, dataBy())
		return err
	})
	if err != nil {
		w.t.Fatalf("%+v", err)
	}
	return map[string]any{"execution_id": run, "validation_rules_id": dlyRules, "dataset_uri": "file:///secret.csv"}
}

// What is wrong with the data, the rules or the worker is a finding, and no verdict.
func TestDataValidateTroubles(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		path := w.target("train.csv")
		input := w.flown(goodFlights)
		fails := func(name, rule, says string) {
			t.Helper()
			x, err := w.submit("dana", validateHook, input)
			if err != nil || x.Status != engine.Failed || !hasFinding(x, rule) || !strings.Contains(x.Findings[len(x.Findings)-1].Message, says) {
				raw, _ := json.Marshal(x)
				t.Errorf("%s: %v %s", name, err, raw)
			}
			w.noScratch()
		}
		write := func(text string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(strings.Replace(goodFlights, "5,AA", "6,AA", 1))
		fails("another byte", ruleDatasetChanged, "digest")
		newer := w.published(badFlights)
		fails("published again", ruleDatasetChanged, "is not version 1")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		fails("gone", "dataset-gone", "is no more at")
		write(badFlights)
		input = newer
		w.worker.fails(&worker.Failure{Kind: worker.KindMemory, Phase: "step", Name: "dq_first", Message: "more than 512 MB"})
		fails("too large for its compute", "worker-memory", "more than 512 MB")
		w.worker.fails(nil)
		unreadable := w.published("id,delay,carrier,pilot\n1,2\n\"3")
		input = unreadable
		fails("no CSV", "worker-input", "train.csv")
		w.counts(map[string]int{`SELECT COUNT(*) FROM validations`: 0, `SELECT COUNT(*) FROM alerts`: 0, `SELECT COUNT(*) FROM quality_standing`: 0})
	})
}

// Rules that cannot run have failed, the others are checked; nothing to check is a FAIL.
func TestDataValidateCannotRun(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		input := w.flown(goodFlights)
		w.registerData("", flightRules("1.1.0", `
      - {id: wrong-sql, type: sql, query: "SELECT count(*) FROM nowhere", mustBe: 0, severity: warning}
      - {id: right-sql, type: sql, query: "SELECT count(*) FROM {object} WHERE delay > 100", mustBe: 0}
`))
		if err := os.Remove(filepath.Join(w.files, "carriers.csv")); err != nil {
			t.Fatal(err)
		}
		var out ValidateOutput
		x := w.done("dana", validateHook, input, &out)
		v := w.validation(*out.ValidationID)
		could := map[string]bool{}
		for _, k := range v.Checks {
			could[k.ID] = !k.CannotRun
			if k.CannotRun && (k.Passed || k.Message == "") {
				t.Errorf("%s cannot run, and passed %v, because %q", k.ID, k.Passed, k.Message)
			}
		}
		if could["wrong-sql"] || could["carrier-known"] || !could["right-sql"] || !could["delay-there"] || v.ContractVersion != "1.1.0" || !hasFinding(x, "reference-missing") ||
			*out.OverallStatus != dataset.ValidationFail || *out.ChecksFailed != 2 {
			t.Errorf("%v %s %d failed %+v", could, *out.OverallStatus, *out.ChecksFailed, x.Findings)
		}
		w.file("carriers.csv", "code\nAA\nUA\n")
		x = w.done("dana", validateHook, w.published("id,delay,carrier,pilot\n"), &out)
		if *out.OverallStatus != dataset.ValidationFail || !hasFinding(x, "nothing-to-check") && *out.ChecksFailed == 0 {
			t.Errorf("no rows: %s %+v", *out.OverallStatus, x.Findings)
		}
		list, _, err := w.alerts.List(context.Background(), alert.Filter{}, "")
		if err != nil || len(list) != 1 || list[0].Count != 2 || list[0].Severity != alert.Critical {
			t.Errorf("alerts %+v %v", list, err)
		}
	})
}

// A version of the rules that comes while they are used changes nothing, and two validations
// of one dataset at once are two.
func TestDataValidateMeanwhile(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		input := w.flown(goodFlights)
		once := false
		w.worker.meanwhile(func(string, worker.Job) {
			if !once {
				once = true
				w.registerData("", flightRules("2.0.0", "\n      - {id: many-rows, metric: rowCount, mustBeGreaterThan: 1000, severity: error}\n"))
			}
		})
		var out ValidateOutput
		w.done("dana", validateHook, input, &out)
		if v := w.validation(*out.ValidationID); v.ContractVersion != "1.0.0" || v.Status != dataset.ValidationPass {
			t.Errorf("%s by %s", v.Status, v.ContractVersion)
		}
		w.worker.meanwhile(nil)
		body, err := json.Marshal(input)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for range 3 {
			x, err := w.Submit(context.Background(), Request{Hook: validateHook, Body: body, ContentType: "application/json", By: w.as("dana")})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, x.ID)
		}
		for _, id := range ids {
			x, err := w.engine.Await(context.Background(), id, patience)
			if err != nil || x.Status != engine.Succeeded {
				t.Fatalf("%v %+v", err, x)
			}
		}
		w.counts(map[string]int{`SELECT COUNT(*) FROM validations`: 4, `SELECT validations FROM quality_standing`: 4, `SELECT fails FROM quality_standing`: 3, `SELECT COUNT(*) FROM alerts`: 1,
			`SELECT count FROM alerts`: 3})
		w.noScratch()
	})
}

// The version of the rules is the one asked for, else the one that the pipeline pins, else the
// latest.
func TestDataValidateRulesByVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	w.file("carriers.csv", "code\nAA\nUA\n")
	w.registerData("", flightRules("1.0.0", ""))
	w.registerData(w.flightsPipeline(dlyRules+"@1.0.0"), flightRules("1.1.0", ""))
	w.registerData("", flightRules("2.0.0", ""))
	w.registerData("", strings.Replace(flightRules("3.0.0", ""), dlyRules, "95-00-09-02-007", 1))
	input := w.published(goodFlights)
	for ref, want := range map[string]string{dlyRules: "1.0.0", dlyRules + "@1.1.0": "1.1.0", dlyRules + "@2.0.0": "2.0.0", "95-00-09-02-007": "3.0.0"} {
		input["validation_rules_id"] = ref
		var out ValidateOutput
		w.done("dana", validateHook, input, &out)
		if v := w.validation(*out.ValidationID); v.ContractVersion != want || v.Status != dataset.ValidationPass {
			t.Errorf("%s: %s by %s, want %s", ref, v.Status, v.ContractVersion, want)
		}
	}
}

// A process dies at a commit of a validation, whichever it is and however the commit ends:
// there is one validation, counted once, one alert raised once, one notice for each, one edge
// of the lineage. Mutations that make this fail: run-checks that leaves its folder; an alert that is raised in
// flag-anomalies, a commit earlier than the verdict is written.
func TestDataValidateDiesAtEveryCommit(t *testing.T) {
	t.Parallel()
	ordeal{commits: 3, ends: engine.Succeeded, brief: true, prepare: func(w *world) (string, any) {
		return validateHook, w.flown(badFlights)
	}, holds: func(w *world, x *engine.Execution) {
		var out ValidateOutput
		if err := json.Unmarshal(x.Output, &out); err != nil || out.OverallStatus == nil || *out.OverallStatus != dataset.ValidationFail || out.ValidationReportURI == nil {
			w.t.Fatalf("output %s %v", x.Output, err)
		}
		w.counts(map[string]int{`SELECT COUNT(*) FROM validations`: 1, `SELECT validations FROM quality_standing`: 1, `SELECT SUM(validations) FROM quality_days`: 1,
			`SELECT COUNT(*) FROM alerts`: 1, `SELECT count FROM alerts`: 1, `SELECT COUNT(*) FROM object_refs`: 2, `SELECT COUNT(*) FROM notices`: 1,
			`SELECT COUNT(*) FROM lineage_edges`: 1, `SELECT COUNT(*) FROM events WHERE type='caos.dataset.validated'`: 1})
		w.noScratch()
	}}.everywhere(t)
}

// As many checks as a contract may have, of which many fail, with rows that are hostile: the
// verdict, the report and the row come about, and no commit takes longer than its budget.
func TestDataValidateHuge(t *testing.T) {
	t.Parallel()
	d := dbtest.Open(t, db.SQLite)
	w := newWorld(t, d)
	w.flown(goodFlights)
	var more strings.Builder
	for i := range 950 {
		fmt.Fprintf(&more, "      - {id: c%d, name: %q, metric: rowCount, mustBeLessThan: %d, severity: warning}\n", i, strings.Repeat("long ", 20), i%5)
	}
	w.registerData("", flightRules("1.1.0", more.String()))
	var rows strings.Builder
	rows.WriteString("id,delay,carrier,pilot\n")
	for i := range 200 {
		fmt.Fprintf(&rows, "%d,%d,\"<b>\u202E%s\x07\",x\n", i, i*50, strings.Repeat("é", 300))
	}
	var out ValidateOutput
	w.done("dana", validateHook, w.published(rows.String()), &out)
	v := w.validation(*out.ValidationID)
	if v.Performed != len(v.Checks) || v.Performed < 950 || len(v.Samples) == 0 {
		t.Errorf("%d checks of %d, %d samples", len(v.Checks), v.Performed, len(v.Samples))
	}
	page := w.object(v.ReportHTML)
	for _, sign := range "\u202E\x07" {
		if strings.ContainsRune(page, sign) {
			t.Errorf("sign %U is in the report", sign)
		}
	}
	if strings.Contains(page, "<b>\u202E") || len(page) > 8<<20 {
		t.Errorf("a report of %d bytes", len(page))
	}
	var size int64
	if err := d.QueryRow(context.Background(), `SELECT LENGTH(state) FROM executions WHERE execution_id = $1`, v.ExecutionID).Scan(&size); err != nil || size > 16<<10 {
		t.Errorf("the state that is kept has %d bytes, %v", size, err)
	}
	w.noScratch()
}
