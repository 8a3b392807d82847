package dataset

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/event"
)

// official compiles the schemas of OpenLineage, and nothing from the network.
func official(t testing.TB) func(event []byte) error {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	files, err := filepath.Glob("testdata/openlineage/facets/*.json")
	if err != nil || len(files) < 13 {
		t.Fatalf("%d schemas of facets: %v", len(files), err)
	}
	names := map[string]string{} // of members, by schema
	for _, path := range append(files, "testdata/openlineage/OpenLineage.json") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		id := doc.(map[string]any)["$id"].(string)
		if err := c.AddResource(id, doc); err != nil {
			t.Fatal(err)
		}
		for member, def := range asObject(doc.(map[string]any)["properties"]) {
			names[id+asObject(def)["$ref"].(string)] = member
		}
	}
	whole, err := c.Compile("https://openlineage.io/spec/2-0-2/OpenLineage.json")
	if err != nil {
		t.Fatal(err)
	}
	return func(event []byte) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(event))
		if err != nil {
			return err
		}
		if err := whole.Validate(v); err != nil {
			return err
		}
		return eachFacet(v, func(member string, facet map[string]any) error {
			address, _ := facet["_schemaURL"].(string)
			if names[address] != member {
				return fmt.Errorf("a facet called %s says that it is one of %s", member, address)
			}
			schema, err := c.Compile(address)
			if err != nil {
				return err
			}
			return schema.Validate(facet)
		})
	}
}

func asObject(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// eachFacet calls fn for everything in a member called facets, inputFacets or outputFacets.
func eachFacet(v any, fn func(string, map[string]any) error) error {
	switch x := v.(type) {
	case []any:
		for _, item := range x {
			if err := eachFacet(item, fn); err != nil {
				return err
			}
		}
	case map[string]any:
		for name, member := range x {
			if strings.HasSuffix(strings.ToLower(name), "facets") {
				for called, facet := range asObject(member) {
					if err := fn(called, asObject(facet)); err != nil {
						return err
					}
				}
			}
			if err := eachFacet(member, fn); err != nil {
				return err
			}
		}
	}
	return nil
}

// fullRun has all that a run can say.
func fullRun() LineageRun {
	n := func(i int64) *int64 { return &i }
	f := func(v float64) *float64 { return &v }
	return LineageRun{
		Namespace: "https://caos.example", ExecutionID: "EXEC-DP-DLY-001-20261123T100000.000001Z", Job: "DP-DLY-001", Hook: "CAOS.PROD.DATA.PIPELINE", Title: "Delays",
		Parent: &LineageParent{ExecutionID: "EXEC-20261123T095959.000001Z", Job: "CAOS.PROD.DATA.PIPELINE"}, SQL: "SELECT 1",
		From: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2001, 2, 1, 0, 0, 0, 0, time.UTC), Engine: "caos-worker 1.2.0, DuckDB v1.5.6",
		Inputs: []LineageData{{URI: "s3://flights/2001/*.parquet", Version: "SHA256:aa", Rows: n(5), Bytes: n(70), Files: n(2), Columns: []LineageColumn{{"delay", "INTEGER"}},
			Metrics:    []LineageMetric{{Column: "delay", Nulls: n(0), Distinct: n(4), Count: f(5), Min: f(math.Inf(-1)), Max: f(9), Quantiles: map[string]float64{"0.5": 2, "0.9": math.NaN()}}},
			Assertions: []LineageAssertion{{Assertion: "nullValues", Name: "no nulls", Column: "delay", Severity: "warning", Success: true, Expected: "0", Actual: "0"}}}},
		Outputs: []LineageData{{URI: "file:///data/train/", Version: "SHA256:bb", Rows: n(5), Bytes: n(60), Files: n(1), Columns: []LineageColumn{{"delay", "INTEGER"}, {"origin", "VARCHAR"}}}},
	}
}

func TestOpenLineageIsToTheSpecification(t *testing.T) {
	valid := official(t)
	at := time.Date(2026, 11, 23, 10, 0, 0, 1000, time.UTC)
	for _, r := range []LineageRun{{ExecutionID: "EXEC-1", Job: "x"}, {Namespace: "https://caos.example", ExecutionID: "EXEC-1", Job: "x", Hook: "CAOS.PROD.DATA.VALIDATE", Engine: "DuckDB 1",
		Inputs: []LineageData{{URI: "not a URI"}}, Outputs: []LineageData{{URI: ""}}}, fullRun()} {
		for _, e := range []RunEvent{r.Start(at), r.Complete(at), r.Fail(at, "the source is gone"), r.Abort(at, "cancelled")} {
			text, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			if err := valid(text); err != nil {
				t.Errorf("%s: %v\n%s", e.EventType, err, text)
			}
		}
	}
	mean := 2.5
	v := &Validation{ValidationID: "VAL-EXEC-1", ExecutionID: "EXEC-2", PipelineExecution: "EXEC-DP-1", PipelineID: "DP-DLY-001", ContractID: "95-00-09-02-004", DatasetURI: "file:///data/train",
		DatasetDigest: "SHA256:aa", Rows: 5, Bytes: 60, Engine: "DuckDB 1.5.6", Checks: []ValidationCheck{{ID: "c1", Kind: "sql", Severity: "error", Expected: "0", Value: "1"}},
		Profile: []ColumnProfile{{Name: "delay", Type: "INTEGER", Distinct: 3, Min: "-7", Max: "1688", Mean: &mean, Quantiles: []float64{-7, -5, 0, 1, 2, 9, 1688}},
			{Name: "who", Type: "VARCHAR", Min: "111", Max: "999", Masked: true}}}
	checked, err := json.Marshal(ValidationRun("https://caos.example", v).Complete(at))
	if err != nil || valid(checked) != nil || !bytes.Contains(checked, []byte(`"max":1688`)) || !bytes.Contains(checked, []byte(`"version":"1.5.6"`)) || bytes.Contains(checked, []byte("999")) {
		t.Errorf("a validation: %v %v\n%s", err, valid(checked), checked)
	}
	text, err := json.Marshal(fullRun().Fail(at, "why"))
	if err != nil {
		t.Fatal(err)
	}
	for _, facet := range []string{"nominalTime", "parent", "processing_engine", "errorMessage", "sql", "documentation", "jobType", "schema", "version", "inputStatistics",
		"outputStatistics", "dataQualityMetrics", "dataQualityAssertions"} {
		if !bytes.Contains(text, []byte(`"`+facet+`":{`)) {
			t.Errorf("no facet %s", facet)
		}
	}
	// The oracle can say no: to a facet of the wrong shape, and to one under the wrong name.
	for old, wrong := range map[string]string{`"assertion":"nullValues"`: `"assertion":1`, `"documentation":{`: `"dokumentation":{`, `"eventType":"FAIL"`: `"eventType":"BROKEN"`,
		`"nominalStartTime":"2001-01-01T`: `"nominalStartTime":"2001-13-01T`} {
		if broken := bytes.Replace(text, []byte(old), []byte(wrong), 1); bytes.Equal(broken, text) || valid(broken) == nil {
			t.Errorf("%s passes, or is not there", wrong)
		}
	}
}

func TestDatasetNames(t *testing.T) {
	for uri, want := range map[string]string{
		"file:///data/a.parquet":                  "file|/data/a.parquet",
		"file:///data/train/":                     "file|/data/train",
		"file://nas/data/a.csv":                   "file://nas|/data/a.csv",
		"file:///":                                "file|/",
		"s3://flights/2001/*.parquet":             "s3://flights|2001/*.parquet",
		"s3://flights":                            "s3://flights|/",
		"https://u:secret@x.example:8443/a?k=v#f": "https://x.example:8443|/a",
		"no uri": "https://caos.example|no uri",
		"":       "https://caos.example|unnamed",
	} {
		if namespace, name := datasetName("https://caos.example", uri); namespace+"|"+name != want {
			t.Errorf("%q is %s|%s, want %s", uri, namespace, name, want)
		}
	}
}

func FuzzDatasetName(f *testing.F) {
	for _, seed := range []string{"file:///a/b", "s3://bucket/k", "https://u:p@h/x?y", ":", "", "//", "a:b", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		namespace, name := datasetName("urn:caos", uri)
		if namespace == "" || name == "" {
			t.Errorf("%q has no name: %q %q", uri, namespace, name)
		}
		if strings.Contains(namespace, "@") && strings.Contains(uri, "://") {
			t.Errorf("%q shows a user: %q", uri, namespace)
		}
	})
}

func TestRunID(t *testing.T) {
	id := RunID("https://caos.example", "EXEC-1")
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(id) {
		t.Errorf("%s is no UUID of version 8", id)
	}
	if id != RunID("https://caos.example", "EXEC-1") || id == RunID("https://caos.example", "EXEC-2") || id == RunID("https://copy.example", "EXEC-1") {
		t.Error("a run's id does not follow from its installation and execution alone")
	}
}

func TestRunEventsAreKeptOnce(t *testing.T) {
	valid := official(t)
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		k := openLoom(t, d, event.Options{})
		r := fullRun()
		long := r
		for i := range 60000 {
			long.Outputs[0].Columns = append(long.Outputs[0].Columns, LineageColumn{fmt.Sprintf("column_%d", i), "VARCHAR"})
		}
		at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
		for range 2 {
			for _, e := range []RunEvent{r.Start(at), long.Complete(at.Add(time.Second))} {
				k.ok(k.do(func(tx *db.Tx) error { return k.RecordRunEvent(tx, e, "delay", "") }))
			}
		}
		kept, err := k.RunEvents(context.Background(), r.ExecutionID)
		k.ok(err)
		if len(kept) != 2 || kept[0].EventType != "START" || kept[1].EventType != "COMPLETE" || kept[0].RunID != kept[1].RunID || kept[0].Classification != "Internal" {
			t.Fatalf("kept: %+v", kept)
		}
		for _, e := range kept {
			if err := valid(e.Event); err != nil || len(e.Event) > maxRunEvent {
				t.Errorf("%s of %d bytes: %v", e.EventType, len(e.Event), err)
			}
		}
		list, _, err := k.events.Since(context.Background(), event.Query{Subject: r.ExecutionID})
		k.ok(err)
		if len(list) != 2 {
			t.Errorf("%d events tell of two", len(list))
		}
	})
}

func TestProcessingEngine(t *testing.T) {
	for said, want := range map[string][2]string{
		"caos-worker 1.2.0, DuckDB v1.5.6": {"DuckDB", "1.5.6"},
		"DuckDB 1.5.6":                     {"DuckDB", "1.5.6"},
		"DuckDB, in caos-worker":           {"in", ""},
		"caos-worker dev":                  {"caos-worker", ""},
		"":                                 {"", ""},
	} {
		if name, version := processingEngine(said); name != want[0] || version != want[1] {
			t.Errorf("%q: %q %q", said, name, version)
		}
	}
}
