package httpapi

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/object"
)

// definition is a pipeline of a project that reads and writes where this world allows it.
func (w *world) definition(id, version, project string) string {
	return fmt.Sprintf(`{"pipeline_id":%q,"pipeline_version":%q,"title":"Flights","project":%q,
		"sources":[{"name":"flights","uri":"file://%[4]s/in/f.csv","format":"csv"}],
		"transforms":[{"name":"clean","sql":"SELECT * FROM flights"}],
		"targets":[{"name":"train","from":"clean","uri":"file://%[4]s/out/t.parquet","format":"parquet"}],
		"schedule":{"cron":"30 4 1 * *"},"interval":"day"}`, id, version, project, w.dir)
}

const dataContract = `apiVersion: v3.1.0
kind: DataContract
id: 95-00-09-02-004
version: 1.0.0
name: Flights
status: active
schema:
  - name: train
    quality:
      - {id: enough, metric: rowCount, mustBeGreaterThan: 1}
`

func (w *world) ranges() {
	for _, name := range []string{"in", "out"} {
		if err := os.MkdirAll(filepath.Join(w.dir, name), 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
}

func TestPipelinesAreRegistered(t *testing.T) {
	w := newWorld(t)
	w.ranges()
	one := w.definition("DP-DLY-001", "1.0", "")
	out := w.do("dana", "POST", "/v1/pipelines?dry_run=true", one).wants(t, 200).json(t)
	if out["outcome"] != "CREATED" || out["dry_run"] != true {
		t.Errorf("%v", out)
	}
	w.do("dana", "GET", "/v1/pipelines/DP-DLY-001", nil).wants(t, 404) // nothing was kept
	a := w.do("dana", "POST", "/v1/pipelines", one).wants(t, 201)
	if got := a.header.Get("Location"); got != "/v1/pipelines/DP-DLY-001?version=1.0" {
		t.Error(got)
	}
	if got := fmt.Sprint(a.json(t)["triggers"]); got != "[dp-dly-001-schedule]" {
		t.Error(got)
	}
	if tr := w.do("mo", "GET", "/v1/triggers/dp-dly-001-schedule", nil).wants(t, 200).json(t); tr["enabled"] != false || tr["cron"] != "30 4 1 * *" {
		t.Errorf("%v", tr)
	}
	if out := w.do("dana", "POST", "/v1/pipelines", one).wants(t, 200).json(t); out["outcome"] != "UNCHANGED" {
		t.Errorf("%v", out)
	}
	changed := strings.Replace(one, `"Flights"`, `"Other"`, 1)
	w.do("dana", "POST", "/v1/pipelines", changed).wants(t, 409)
	if out := w.do("dana", "POST", "/v1/pipelines?dry_run=true", changed).wants(t, 200).json(t); out["outcome"] != "REFUSED" || out["kind"] != "conflict" {
		t.Errorf("%v", out)
	}
	if got := string(w.do("aud", "GET", "/v1/pipelines/DP-DLY-001/definition", nil).wants(t, 200).body); got != one {
		t.Errorf("the text came back as %s", got)
	}
	w.do("aud", "GET", "/v1/pipelines/DP-DLY-001?version=2.0", nil).wants(t, 404)
	w.do("aud", "GET", "/v1/pipelines/DP-DLY-001/definition?versoin=1.0", nil).wants(t, 422)
	for _, who := range []string{"qa", "aud", "owen", "bot", "root"} {
		w.do(who, "POST", "/v1/pipelines", w.definition("DP-DLY-002", "1.0", "")).wants(t, 403)
		w.do(who, "POST", "/v1/pipelines?dry_run=true", w.definition("DP-DLY-002", "1.0", "")).wants(t, 403)
		if who != "bot" && who != "root" {
			w.do(who, "POST", "/v1/pipelines/DP-DLY-001/retire", `{"reason":"x"}`).wants(t, 403)
		}
	}
	w.do("mo", "POST", "/v1/pipelines/DP-DLY-001/retire", `{"reason":"over"}`).wants(t, 200)
	w.do("mo", "POST", "/v1/pipelines/DP-DLY-001/retire", `{"reason":"over"}`).wants(t, 409)
	if list := w.do("aud", "GET", "/v1/pipelines?retired=false", nil).wants(t, 200).json(t)["items"].([]any); len(list) != 0 {
		t.Errorf("%v", list)
	}
}

// TestWhatSpeaksAgainstAPipeline: everything at once, each with its field and what to do, and
// nothing that the caller may not know of.
func TestWhatSpeaksAgainstAPipeline(t *testing.T) {
	w := newWorld(t)
	w.ranges()
	w.do("qa", "POST", "/v1/contracts?project=P2", dataContract, "Content-Type", "application/yaml").wants(t, 201)
	bad := strings.NewReplacer(w.dir+"/in/", "/etc/", w.dir+"/out/", w.dir+"/in/", `"interval"`, `"contract":"95-00-09-02-004","interval"`).Replace(w.definition("DP-DLY-001", "1.0", ""))
	out := w.do("dana", "POST", "/v1/pipelines?dry_run=true", bad).wants(t, 200).json(t)
	fields := map[string]string{}
	for _, f := range out["findings"].([]any) {
		f := f.(map[string]any)
		fields[f["field"].(string)] = f["rule"].(string)
		if f["severity"] == "error" && f["remedy"] == nil {
			t.Errorf("no remedy: %v", f)
		}
	}
	for _, want := range []string{"sources[0].uri", "targets[0].uri", "contract"} {
		if fields[want] == "" {
			t.Errorf("%s is not found wrong: %v", want, fields)
		}
	}
	if fields["contract"] != "contract-project" {
		t.Errorf("%v", fields)
	}
	p := w.do("dana", "POST", "/v1/pipelines", bad).wants(t, 422).json(t)
	if p["field"] == nil || p["hint"] == nil || !strings.Contains(p["detail"].(string), "more errors") {
		t.Errorf("%v", p)
	}
	// Of another project's contract somebody limited to theirs hears nothing.
	out = w.do("d1", "POST", "/v1/pipelines?dry_run=true", strings.Replace(bad, `"project":""`, `"project":"P1"`, 1)).wants(t, 200).json(t)
	if text := fmt.Sprint(out); strings.Contains(text, "P2") || !strings.Contains(text, "contract-known") {
		t.Errorf("%s", text)
	}
	for _, text := range []string{"", "{", `{"pipeline_id":3}`, `{"pipeline_id":"DP-DLY-001","pipeline_idd":1}`} {
		out := w.do("dana", "POST", "/v1/pipelines?dry_run=true", text).wants(t, 200).json(t)
		if list := out["findings"].([]any); out["outcome"] != "REFUSED" || len(list) == 0 {
			t.Errorf("%q: %v", text, out)
		}
		w.do("dana", "POST", "/v1/pipelines", text).wants(t, 422)
	}
	w.do("dana", "POST", "/v1/pipelines?dryrun=true", w.definition("DP-DLY-001", "1.0", "")).wants(t, 422)
	w.do("dana", "POST", "/v1/pipelines", strings.Repeat(" ", 1<<20)+"{}").wants(t, 413)
	w.do("dana", "GET", "/v1/pipelines/DP-DLY-001", nil).wants(t, 404)
}

// TestDataOfAnotherProject: what lies outside somebody's projects or clearance is answered
// like what is not there, on every route.
func TestDataOfAnotherProject(t *testing.T) {
	w := newWorld(t)
	w.ranges()
	w.do("dana", "POST", "/v1/pipelines", w.definition("DP-DLY-001", "1.0", "P2")).wants(t, 201)
	w.do("qa", "POST", "/v1/contracts?project=P2", dataContract, "Content-Type", "application/yaml").wants(t, 201)
	secret := strings.Replace(w.definition("DP-SEC-001", "1.0", "P1"), `"interval"`, `"classification":"Restricted","interval"`, 1)
	w.do("dana", "POST", "/v1/pipelines", secret).wants(t, 403) // who has no clearance makes nothing of that class
	const run, val = "EXEC-DP-DLY-001-20261122T101500.123456Z", "VAL-EXEC-20261122T101500.123456Z"
	ref, err := w.objects.Put(t.Context(), strings.NewReader("<html></html>"), object.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	err = w.db.Update(t.Context(), func(tx *db.Tx) error {
		score, ended := 0.5, w.now().Add(time.Second)
		if err := w.datasets.PutRun(tx, dataset.Run{ExecutionID: run, PipelineID: "DP-DLY-001", Version: "1.0", Mode: dataset.ModeOnDemand, Status: dataset.RunSuccess,
			Outputs: []string{}, Issues: []string{}, Project: "P2", Classification: "Internal", StartedAt: w.now(), EndedAt: &ended}); err != nil {
			return err
		}
		if err := w.objects.Bind(tx, ref, object.Binding{Owner: run, Kind: "pipeline-report", Project: "P2"}); err != nil {
			return err
		}
		if _, err := w.datasets.Publish(tx, dataset.Version{PipelineID: "DP-DLY-001", Target: "train", ExecutionID: run, URI: "file:///out/t", Rows: 3, Project: "P2", Classification: "Internal",
			Files: []dataset.File{{Name: "t.parquet", Digest: ref.Digest, Bytes: 13}}}, dataset.By{Actor: "dana"}); err != nil {
			return err
		}
		return w.datasets.PutValidation(tx, dataset.Validation{ValidationID: val, ExecutionID: "EXEC-20261122T101500.123456Z", PipelineExecution: run, PipelineID: "DP-DLY-001",
			DatasetID: "DP-DLY-001.train", N: 1, DatasetURI: "file:///out/t", DatasetDigest: ref.Digest, ContractID: "95-00-09-02-004", ContractVersion: "1.0.0", ContractDigest: ref.Digest,
			Status: dataset.ValidationWarning, Score: &score, Performed: 2, Passed: 1, Failed: 1, Checks: []dataset.ValidationCheck{}, ReportHTML: ref.Digest, ReportJSON: ref.Digest,
			Project: "P2", Classification: "Internal", RequestedBy: "dana", StartedAt: w.now(), ValidatedAt: w.now().Add(time.Second)})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/v1/pipelines/DP-DLY-001", "/v1/pipelines/DP-DLY-001?version=1.0", "/v1/pipelines/DP-DLY-001/versions", "/v1/pipelines/DP-DLY-001/runs", "/v1/pipelines/DP-DLY-001/definition",
		"/v1/pipelines/DP-DLY-001/runs/" + run, "/v1/pipelines/DP-DLY-001/runs/" + run + "/report",
		"/v1/contracts/95-00-09-02-004", "/v1/contracts/95-00-09-02-004/versions", "/v1/contracts/95-00-09-02-004/document",
		"/v1/datasets/DP-DLY-001.train", "/v1/datasets/DP-DLY-001.train/versions", "/v1/datasets/DP-DLY-001.train/versions/1", "/v1/datasets/DP-DLY-001.train/validations",
		"/v1/datasets/DP-DLY-001.train/trend", "/v1/validations/" + val, "/v1/validations/" + val + "/report",
	} {
		w.do("aud", "GET", path, nil).wants(t, 200)
		got := w.do("d1", "GET", path, nil).wants(t, 404).json(t)
		away := strings.NewReplacer("DP-DLY-001", "DP-NOT-001", "95-00-09-02-004", "95-00-09-02-999", val, "VAL-EXEC-20261122T101500.999999Z").Replace(path)
		none := w.do("d1", "GET", away, nil).wants(t, 404).json(t)
		if got["detail"] != none["detail"] || got["field"] != none["field"] || got["hint"] != none["hint"] {
			t.Errorf("%s tells that it is there: %v, not %v", path, got, none)
		}
		if a := w.do("aud", "GET", path, nil, "Accept", "text/html").wants(t, 200); strings.Contains(string(a.body), "<script") {
			t.Errorf("%s has a script", path)
		}
	}
	w.do("d1", "POST", "/v1/pipelines/DP-DLY-001/retire", `{"reason":"x"}`).wants(t, 404)
	w.do("d1", "POST", "/v1/pipelines", w.definition("DP-DLY-001", "1.1", "P1")).wants(t, 409)
	w.do("d1", "POST", "/v1/pipelines", w.definition("DP-DLY-003", "1.0", "P2")).wants(t, 403)
	w.do("d1", "POST", "/v1/contracts", dataContract, "Content-Type", "application/yaml").wants(t, 409)
	for _, path := range []string{"/v1/pipelines", "/v1/contracts", "/v1/datasets", "/v1/validations", "/v1/pipelines?project=P2", "/v1/datasets?project=P2", "/v1/validations?project=P2"} {
		if list := w.do("d1", "GET", path, nil).wants(t, 200).json(t)["items"].([]any); len(list) != 0 {
			t.Errorf("%s: %v", path, list)
		}
		if list := w.do("aud", "GET", path, nil).wants(t, 200).json(t)["items"].([]any); len(list) != 1 {
			t.Errorf("%s: %v", path, list)
		}
	}
	w.do("aud", "GET", "/v1/pipelines/DP-DLY-002/runs/"+run, nil).wants(t, 404)
	page := string(w.do("aud", "GET", "/v1/validations", nil, "Accept", "text/html").wants(t, 200).body)
	for _, link := range []string{`href="/v1/validations/` + val + `"`, `href="/v1/datasets/DP-DLY-001.train"`, `href="/v1/pipelines/DP-DLY-001"`} {
		if !strings.Contains(page, link) {
			t.Errorf("the list of validations lacks %s", link)
		}
	}
}

func TestContractsAreRegistered(t *testing.T) {
	w := newWorld(t)
	yaml := []string{"Content-Type", "application/yaml"}
	for _, who := range []string{"mo", "aud", "owen", "bot"} {
		w.do(who, "POST", "/v1/contracts", dataContract, yaml...).wants(t, 403)
	}
	if out := w.do("qa", "POST", "/v1/contracts?dry_run=true", dataContract, yaml...).wants(t, 200).json(t); out["outcome"] != "CHECKED" {
		t.Errorf("%v", out)
	}
	w.do("aud", "GET", "/v1/contracts/95-00-09-02-004", nil).wants(t, 404)
	w.do("qa", "POST", "/v1/contracts", dataContract, yaml...).wants(t, 201)
	if out := w.do("dana", "POST", "/v1/contracts", dataContract, yaml...).wants(t, 200).json(t); out["outcome"] != "UNCHANGED" {
		t.Errorf("%v", out)
	}
	w.do("dana", "POST", "/v1/contracts", strings.Replace(dataContract, "mustBeGreaterThan: 1", "mustBeGreaterThan: 2", 1), yaml...).wants(t, 409)
	p := w.do("dana", "POST", "/v1/contracts", strings.Replace(dataContract, "rowCount", "rowsCount", 1), yaml...).wants(t, 422).json(t)
	if p["field"] != "schema[0].quality[0].metric" {
		t.Errorf("%v", p)
	}
	k := w.do("aud", "GET", "/v1/contracts/95-00-09-02-004", nil).wants(t, 200).json(t)
	if check := k["schema"].([]any)[0].(map[string]any)["checks"].([]any)[0].(map[string]any); check["check_id"] != "enough" || check["severity"] != "error" {
		t.Errorf("%v", check)
	}
	if got := string(w.do("aud", "GET", "/v1/contracts/95-00-09-02-004/document?version=1.0.0", nil).wants(t, 200).body); got != dataContract {
		t.Error(got)
	}
	const suite = `{"expectation_suite_name":"flights","meta":{"great_expectations_version":"0.18.1"},"expectations":[
		{"expectation_type":"expect_column_values_to_not_be_null","kwargs":{"column":"carrier"},"meta":{}},
		{"expectation_type":"expect_the_moon","kwargs":{},"meta":{}}]}`
	out := w.do("dana", "POST", "/v1/contracts/import?contract_id=95-00-09-02-005", suite).wants(t, 200).json(t)
	report := out["report"].(map[string]any)
	if out["outcome"] != "CHECKED" || len(report["mapped"].([]any)) != 1 || len(report["unmapped"].([]any)) != 1 || !strings.Contains(out["text"].(string), "carrier") {
		t.Errorf("%v", out)
	}
	w.do("dana", "GET", "/v1/contracts/95-00-09-02-005", nil).wants(t, 404)
	w.do("dana", "POST", "/v1/contracts/import?contract_id=95-00-09-02-005&register=true", suite).wants(t, 200)
	w.do("dana", "GET", "/v1/contracts/95-00-09-02-005", nil).wants(t, 200)
	w.do("dana", "POST", "/v1/contracts/import?contract_id=95-00-09-02-005&register=maybe", suite).wants(t, 422)
	w.do("dana", "POST", "/v1/contracts/import", suite).wants(t, 422)
	w.do("dana", "POST", "/v1/contracts?classification=Secret", dataContract, yaml...).wants(t, 422)
}
