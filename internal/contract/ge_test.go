package contract

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"caos/internal/worker"
)

func TestExpectationsAgree(t *testing.T) {
	suite, err := os.ReadFile("testdata/suite-1.x.json")
	if err != nil {
		t.Fatal(err)
	}
	var theirs []struct {
		Type       string
		Success    bool
		Unexpected *float64
		Observed   string
		Error      string
	}
	raw, _ := os.ReadFile("testdata/suite-1.x.results.json")
	if err := json.Unmarshal(raw, &theirs); err != nil {
		t.Fatal(err)
	}
	text, report, err := ImportExpectations(suite, "95-00-09-02-004", "1.0.0")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, u := range report.Unmapped {
		t.Log("unmapped:", u)
	}
	c, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	columns := []Column{{"flight_id", "BIGINT"}, {"carrier", "VARCHAR"}, {"origin", "VARCHAR"}, {"dest", "VARCHAR"}, {"day", "DATE"}, {"dep", "BIGINT"},
		{"arr", "BIGINT"}, {"delay", "DOUBLE"}, {"distance", "BIGINT"}, {"tail", "VARCHAR"}}
	k, err := c.Objects[0].Compile("flights", columns, Options{})
	if err != nil {
		t.Fatal(err)
	}
	csv, _ := os.ReadFile("testdata/flights.csv")
	in := worker.Input{Name: "flights", Files: []string{"flights.csv"}, Format: "csv"}
	for _, col := range columns {
		in.Columns = append(in.Columns, worker.Column{Name: col.Name, Type: col.Type})
	}
	res, f := runSQL(t, k.Steps, k.Queries, data{inputs: []worker.Input{in}, files: map[string][]byte{"flights.csv": csv}})
	if f != nil {
		t.Fatalf("%s %s: %s", f.Kind, f.Name, f.Message)
	}
	o := k.Evaluate(res)
	byID := map[string]CheckResult{}
	for _, r := range o.Checks {
		byID[r.ID] = r
	}
	for _, m := range report.Mapped {
		passed := true
		var shown []string
		for _, id := range m.Checks {
			r, ok := byID[id]
			if !ok {
				t.Errorf("%d %s: no check %s", m.Index, m.Expectation, id)
			}
			passed = passed && r.Passed
			shown = append(shown, r.Value+" | "+r.Expected+" | "+r.Message)
			if u := theirs[m.Index].Unexpected; u != nil && r.Kind != KindSQL && r.Unit != "" && m.Expectation != "expect_column_values_to_be_null" && float64(r.FailingRows) != *u {
				t.Logf("%d %s: failing %d, theirs %g", m.Index, m.Expectation, r.FailingRows, *u)
			}
		}
		if passed != theirs[m.Index].Success {
			t.Errorf("%d %s %s: ours %v (%s), theirs %v (observed %s, unexpected %v, %s)", m.Index, m.Expectation, m.Column, passed, strings.Join(shown, "; "), theirs[m.Index].Success, theirs[m.Index].Observed, theirs[m.Index].Unexpected, theirs[m.Index].Error)
		}
	}
	t.Log(len(report.Mapped), "mapped", len(report.Unmapped), "unmapped")
}

// TestExpectationsOld reads the same suite in the shape of 0.18, which has no severities.
func TestExpectationsOld(t *testing.T) {
	text, err := os.ReadFile("testdata/suite-0.18.json")
	if err != nil {
		t.Fatal(err)
	}
	out, report, err := ImportExpectations(text, "95-00-09-02-004", "1.0.0")
	if err != nil || report.Format != "0.18" || len(report.Mapped) != 48 || len(report.Unmapped) != 1 || report.Suite != "flights.warning" {
		t.Fatalf("%v %s %d %d", err, report.Format, len(report.Mapped), len(report.Unmapped))
	}
	if strings.Contains(string(out), "severity") {
		t.Error("a severity came from nowhere")
	}
}
