package registry_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/registry"
)

const yamlReport = `document_id: 95-00-07-01-001
model_id: NN-FCS-001
model_version: 2.1.0
status: PASSED
performed_on: "2026-11-20"
environment: test bench
requirements:
  - requirement_id: REQ-1
    title: Accuracy
tests:
  - test_id: T-1
    title: t
    requirement_ids: [REQ-1]
    result: PASSED
    metric: mae
    value: 11.5
    unit: min
    operator: "<="
    threshold: 12
`

func TestVVReport(t *testing.T) {
	j, err := registry.ParseVVReport([]byte(report("PASSED", test("T-1", "PASSED", `,"metric":"mae","value":11.5,"unit":"min","operator":"<=","threshold":12`))))
	if err != nil {
		t.Fatal(err)
	}
	y, err := registry.ParseVVReport([]byte(yamlReport))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(j, y) {
		t.Errorf("JSON gave %+v\nYAML gave %+v", j, y)
	}
	if j.Tests[0].RequirementIDs[0] != "REQ-1" || *j.Tests[0].Value != 11.5 {
		t.Errorf("read %+v", j)
	}
	bare, err := registry.ParseVVReport([]byte(`{"document_id":"95-00-07-01-001","model_id":"NN-FCS-001","model_version":"2.1.0","status":"INCOMPLETE","performed_on":"2026-02-28","tests":[]}`))
	if err != nil || len(bare.Tests) != 0 {
		t.Errorf("a report without tests: %+v, %v", bare, err)
	}
}

func TestVVReportsAreRefused(t *testing.T) {
	good := report("PASSED", test("T-1", "PASSED", ""), test("T-2", "PASSED", ""))
	edit := func(old, new string) string {
		out := strings.Replace(good, old, new, 1)
		if out == good {
			t.Fatalf("%q is not in the report", old)
		}
		return out
	}
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	for name, c := range map[string]struct {
		data  string
		kind  caos.Kind
		field string
	}{
		"nothing":             {"", caos.Invalid, ""},
		"binary":              {"\x7fELF\x00\x01", caos.Invalid, ""},
		"no object":           {`["a"]`, caos.Invalid, ""},
		"cut off":             {good[:len(good)/2], caos.Invalid, "requirements[0].requirement_id"},
		"something behind":    {good + "{}", caos.Invalid, ""},
		"unknown field":       {edit(`"status"`, `"verdict":"FINE","status"`), caos.Invalid, "verdict"},
		"duplicate field":     {edit(`"status":"PASSED"`, `"status":"FAILED","status":"PASSED"`), caos.Invalid, "status"},
		"other case":          {edit(`"status"`, `"Status"`), caos.Invalid, "Status"},
		"null":                {edit(`"PASSED"`, `null`), caos.Invalid, "status"},
		"document id":         {edit("95-00-07-01-001", "../95"), caos.Invalid, "document_id"},
		"no document id":      {edit(`"document_id":"95-00-07-01-001",`, ""), caos.Invalid, "document_id"},
		"model id":            {edit("NN-FCS-001", "FCS"), caos.Invalid, "model_id"},
		"model version":       {edit("2.1.0", "2.1"), caos.Invalid, "model_version"},
		"status":              {edit(`"status":"PASSED"`, `"status":"passed"`), caos.Invalid, "status"},
		"day":                 {edit("2026-11-20", "2026-02-30"), caos.Invalid, "performed_on"},
		"day with time":       {edit("2026-11-20", "2026-11-20T10:00:00Z"), caos.Invalid, "performed_on"},
		"no tests":            {`{"document_id":"95-00-07-01-001","model_id":"NN-FCS-001","model_version":"2.1.0","status":"PASSED","performed_on":"2026-11-20"}`, caos.Invalid, "tests"},
		"requirement id":      {edit(`{"requirement_id":"REQ-1"`, `{"requirement_id":"req 1"`), caos.Invalid, "requirements[0].requirement_id"},
		"requirement twice":   {edit(`{"requirement_id":"REQ-1"`, `{"requirement_id":"REQ-1"},{"requirement_id":"REQ-1"`), caos.Invalid, "requirements[1].requirement_id"},
		"test twice":          {edit(`"T-2"`, `"T-1"`), caos.Invalid, "tests[1].test_id"},
		"test without id":     {edit(`"test_id":"T-2",`, ""), caos.Invalid, "tests[1].test_id"},
		"blank test id":       {edit(`"T-2"`, `" T-2"`), caos.Invalid, "tests[1].test_id"},
		"test id with tab":    {edit(`"T-2"`, `"T\t2"`), caos.Invalid, "tests[1].test_id"},
		"result":              {edit(`"result":"PASSED"`, `"result":"OK"`), caos.Invalid, "tests[0].result"},
		"test's requirement":  {edit(`"requirement_ids":["REQ-1"]`, `"requirement_ids":["R-1","r/2"]`), caos.Invalid, "tests[0].requirement_ids[1]"},
		"same requirement":    {edit(`"requirement_ids":["REQ-1"]`, `"requirement_ids":["R-1","R-1"]`), caos.Invalid, "tests[0].requirement_ids[1]"},
		"many requirements":   {edit(`"requirement_ids":["REQ-1"]`, `"requirement_ids":[`+list(201, `"R-%d"`)+`]`), caos.TooLarge, "tests[0].requirement_ids"},
		"NaN":                 {edit(`"result":"PASSED"`, `"result":"PASSED","value":NaN`), caos.Invalid, "tests[0].value"},
		"Infinity":            {edit(`"result":"PASSED"`, `"result":"PASSED","value":-Infinity`), caos.Invalid, "tests[0].value"},
		"NaN as text":         {edit(`"result":"PASSED"`, `"result":"PASSED","value":"NaN"`), caos.Invalid, "tests[0].value"},
		"too big a number":    {edit(`"result":"PASSED"`, `"result":"PASSED","value":1e999`), caos.Invalid, "tests[0].value"},
		"threshold alone":     {edit(`"result":"PASSED"`, `"result":"PASSED","threshold":1`), caos.Invalid, "tests[0].operator"},
		"operator alone":      {edit(`"result":"PASSED"`, `"result":"PASSED","operator":"<"`), caos.Invalid, "tests[0].operator"},
		"operator":            {edit(`"result":"PASSED"`, `"result":"PASSED","operator":"=<","threshold":1`), caos.Invalid, "tests[0].operator"},
		"artifact name":       {edit(`"tests"`, `"artifacts":[{"name":"../m","digest":"`+zeroes+`"}],"tests"`), caos.Invalid, "artifacts[0].name"},
		"artifact digest":     {edit(`"tests"`, `"artifacts":[{"name":"m","digest":"md5"}],"tests"`), caos.Invalid, "artifacts[0].digest"},
		"artifact twice":      {edit(`"tests"`, `"artifacts":[{"name":"m","digest":"`+zeroes+`"},{"name":"m","digest":"`+zeroes+`"}],"tests"`), caos.Invalid, "artifacts[1].name"},
		"long note":           {edit(`"result":"PASSED"`, `"result":"PASSED","note":"`+strings.Repeat("x", 4001)+`"`), caos.TooLarge, "tests[0].note"},
		"summary":             {edit(`"tests"`, `"summary":"a\u0000b","tests"`), caos.Invalid, "summary"},
		"deep":                {edit(`"environment":"test bench"`, `"environment":`+deep), caos.Invalid, "environment"},
		"too many tests":      {report("PASSED", list(10_001, `{"test_id":"T-%d","title":"","requirement_ids":[],"result":"PASSED"}`)), caos.TooLarge, "tests"},
		"too many bytes":      {edit(`"test bench"`, `"`+strings.Repeat("x", 4<<20)+`"`), caos.TooLarge, ""},
		"YAML anchors":        {strings.Replace(yamlReport, "environment: test bench", "environment: &a test bench\nsummary: *a", 1), caos.Invalid, ""},
		"YAML bomb":           {"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b]\n", caos.Invalid, ""},
		"YAML tag":            {strings.Replace(yamlReport, "test bench", "!!python/object:os.system x", 1), caos.Invalid, ""},
		"YAML deep":           {strings.Repeat("[", 5000), caos.TooLarge, ""},
		"YAML NaN":            {strings.Replace(yamlReport, "value: 11.5", "value: .nan", 1), caos.Invalid, ""},
		"YAML Infinity":       {strings.Replace(yamlReport, "threshold: 12", "threshold: -.inf", 1), caos.Invalid, ""},
		"YAML duplicate":      {yamlReport + "status: FAILED\n", caos.Invalid, "status"},
		"YAML two documents":  {yamlReport + "---\n" + yamlReport, caos.Invalid, ""},
		"YAML version number": {strings.Replace(yamlReport, "2.1.0", "2.1", 1), caos.Invalid, "model_version"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := registry.ParseVVReport([]byte(c.data))
			wantError(t, err, c.kind, c.field, "")
		})
	}
}

// list writes n elements of a JSON list.
func list(n int, format string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(parts, ",")
}

const defects = `{"model_id":"NN-FCS-001","model_version":"2.1.0","defects":[
	{"defect_id":"D-1","title":"Noise","severity":"LOW","status":"OPEN"},
	{"defect_id":"D-2","title":"Crash","severity":"CRITICAL","status":"CLOSED","resolution":"fixed"},
	{"defect_id":"D-3","title":"Drift","severity":"HIGH","status":"IN_PROGRESS"}]}`

func TestDefectLists(t *testing.T) {
	l, err := registry.ParseDefectList([]byte(defects))
	if err != nil || len(l.Defects) != 3 || l.Defects[1].Resolution != "fixed" {
		t.Errorf("%+v, %v", l, err)
	}
	none, err := registry.ParseDefectList([]byte("model_id: NN-FCS-001\nmodel_version: 2.1.0\ndefects: []\n"))
	if err != nil || len(none.Defects) != 0 {
		t.Errorf("%+v, %v", none, err)
	}
	for name, c := range map[string]struct {
		old, new, field string
		kind            caos.Kind
	}{
		"model":      {"NN-FCS-001", "x", "model_id", caos.Invalid},
		"version":    {"2.1.0", "two", "model_version", caos.Invalid},
		"no list":    {`"defects":[`, `"defect":[`, "defect", caos.Invalid},
		"severity":   {`"CRITICAL"`, `"BLOCKER"`, "defects[1].severity", caos.Invalid},
		"lower case": {`"OPEN"`, `"open"`, "defects[0].status", caos.Invalid},
		"twice":      {`"D-3"`, `"D-1"`, "defects[2].defect_id", caos.Invalid},
		"no id":      {`"D-3"`, `""`, "defects[2].defect_id", caos.Invalid},
		"title":      {`"Drift"`, `"a\nb"`, "defects[2].title", caos.Invalid},
		"unknown":    {`"status":"OPEN"`, `"status":"OPEN","owner":"x"`, "defects[0].owner", caos.Invalid},
		"too many":   {`"defects":[`, `"defects":[` + list(10_000, `{"defect_id":"X-%d","title":"","severity":"LOW","status":"OPEN"}`) + ",", "defects", caos.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := registry.ParseDefectList([]byte(strings.Replace(defects, c.old, c.new, 1)))
			wantError(t, err, c.kind, c.field, "")
		})
	}
	_, err = registry.ParseDefectList([]byte(`{"model_id":"NN-FCS-001","model_version":"2.1.0"}`))
	wantError(t, err, caos.Invalid, "defects", "[] if there are none")
}

func TestVVPlans(t *testing.T) {
	p, err := registry.ParseVVPlan([]byte(`{"document_id":"95-00-07-01-000","model_id":"NN-FCS-001","strategy":{"x":1},"requirements":[{"requirement_id":"REQ-1","title":"a","method":"test"},{"requirement_id":"REQ-2"}]}`))
	if err != nil || len(p.Requirements) != 2 || p.Requirements[1].RequirementID != "REQ-2" || p.DocumentID != "95-00-07-01-000" {
		t.Errorf("%+v, %v", p, err)
	}
	p, err = registry.ParseVVPlan([]byte("title: Plan\nrequirements:\n  - requirement_id: REQ-1\n"))
	if err != nil || len(p.Requirements) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	for name, prose := range map[string]string{
		"PDF": "%PDF-1.7\xff\x00", "Markdown": "# Plan\n\nThe requirements: see below.\n* [x](y)\n", "text": "Plan", "other YAML": "title: x\n", "nothing": "",
	} {
		if p, err := registry.ParseVVPlan([]byte(prose)); p != nil || err != nil {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	for _, bad := range []string{`{"a":1}`, `{"requirements":null}`, "requirements:\n", "requirements: see below\n"} {
		_, err := registry.ParseVVPlan([]byte(bad))
		wantError(t, err, caos.Invalid, "requirements", "")
	}
	for _, bad := range []string{"title: [\nrequirements:\n- requirement_id: A\n", `{"requirements":[`, "requirements:\n- &a requirement_id: A\n", "\xff\nrequirements:\n"} {
		if p, err := registry.ParseVVPlan([]byte(bad)); caos.KindOf(err) != caos.Invalid {
			t.Errorf("%q: %+v, %v", bad, p, err)
		}
	}
	_, err = registry.ParseVVPlan([]byte("requirements:\n" + strings.Repeat("- requirement_id: A\n", 1<<20/20+1)))
	wantError(t, err, caos.TooLarge, "", "")
	for field, bad := range map[string]string{
		"requirements":                   `{"requirements":{"a":1}}`,
		"requirements[0]":                `{"requirements":["REQ-1"]}`,
		"requirements[1].requirement_id": `{"requirements":[{"requirement_id":"REQ-1"},{"requirement_id":"REQ-1"}]}`,
		"requirements[0].requirement_id": `{"requirements":[{"title":"x"}]}`,
		"requirements[0].title":          `{"requirements":[{"requirement_id":"REQ-1","title":5}]}`,
		"model_id":                       `{"model_id":"FCS","requirements":[]}`,
		"document_id":                    `{"document_id":7,"requirements":[]}`,
	} {
		_, err := registry.ParseVVPlan([]byte(bad))
		wantError(t, err, caos.Invalid, field, "")
	}
}

func TestReadDocument(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		dir := t.TempDir()
		f := newFixture(t, d, dir, 0)
		ctx := context.Background()
		digest := f.put(yamlReport)
		p, err := f.ReadDocument(ctx, "vv-report", digest)
		f.ok(err)
		if p.Stated != "PASSED" || p.MediaType != "application/yaml" || p.Size != int64(len(yamlReport)) || !json.Valid(p.Results) || p.Digest != digest {
			t.Errorf("%+v", p)
		}
		_, err = f.ReadDocument(ctx, "defect-list", digest)
		wantError(t, err, caos.Invalid, "document_id", "")
		_, err = f.ReadDocument(ctx, "vv-report", f.put("  "))
		wantError(t, err, caos.Invalid, "", "")
		_, err = f.ReadDocument(ctx, "safety-assessment", f.put(""))
		wantError(t, err, caos.Invalid, "digest", "no bytes")
		_, err = f.ReadDocument(ctx, "safety-assessment", zeroes)
		wantError(t, err, caos.NotFound, "digest", "")
		_, err = f.ReadDocument(ctx, "safety-assessment", "x")
		wantError(t, err, caos.Invalid, "digest", "")
		for _, kind := range []string{"", "x", "Safety", "a--b", "-a", "a-", "a b", "../x", strings.Repeat("a", 33)} {
			_, err = f.ReadDocument(ctx, kind, digest)
			wantError(t, err, caos.Invalid, "kind", "not a kind")
		}
		any, err := f.ReadDocument(ctx, "safety-assessment", f.put("%PDF"))
		f.ok(err)
		if any.Results != nil || any.Size != 4 {
			t.Errorf("%+v", any)
		}
		_, err = f.ReadDocument(ctx, "vv-report", f.put(strings.Repeat(" ", 4<<20+1)))
		wantError(t, err, caos.TooLarge, "digest", "")
		book, err := f.ReadDocument(ctx, "vv-plan", f.put(strings.Repeat("x", 4<<20+1)))
		f.ok(err)
		if book.VVPlan != nil {
			t.Error("a book was read as a plan")
		}
		_, err = f.ReadDocument(ctx, "vv-plan", f.put("requirements:\n"+strings.Repeat("- requirement_id: A\n", 4<<20/20+1)))
		wantError(t, err, caos.TooLarge, "digest", "")
		stopped, cancel := context.WithCancel(ctx)
		cancel()
		if _, err = f.ReadDocument(stopped, "vv-report", digest); err == nil {
			t.Error("read on although nobody waits")
		}

		// Bytes that changed in the store are not read as what they were.
		hex := strings.TrimPrefix(digest, "SHA256:")
		name := dir + "/objects/" + hex[:2] + "/" + hex[2:]
		f.ok(os.Chmod(name, 0o600))
		f.ok(os.WriteFile(name, []byte(strings.Replace(yamlReport, "PASSED", "FAILED", 1)), 0o600))
		_, err = f.ReadDocument(ctx, "vv-report", digest)
		if caos.KindOf(err) != caos.Internal {
			t.Errorf("changed bytes were read: %v", err)
		}
	})
}

// The demo's own documents are read, and agree with each other.
func TestExampleDocuments(t *testing.T) {
	read := func(name string) []byte {
		data, err := os.ReadFile("../../examples/flight-delay/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	plan, err := registry.ParseVVPlan(read("vv-plan.json"))
	if err != nil || len(plan.Requirements) == 0 {
		t.Fatalf("%+v, %v", plan, err)
	}
	vv, err := registry.ParseVVReport(read("vv-report.json"))
	if err != nil || vv.ModelID != plan.ModelID || vv.ModelVersion != plan.ModelVersion {
		t.Fatalf("%+v, %v", vv, err)
	}
	l, err := registry.ParseDefectList(read("defect-list.json"))
	if err != nil || l.ModelID != plan.ModelID {
		t.Fatalf("%+v, %v", l, err)
	}
	named := map[string]bool{}
	for _, one := range vv.Tests {
		for _, id := range one.RequirementIDs {
			named[id] = true
		}
	}
	for _, q := range plan.Requirements {
		if !named[q.RequirementID] {
			t.Errorf("no test names %s", q.RequirementID)
		}
	}
}
