package hook

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"caos/internal/contract"
	"caos/internal/dataset"
	"caos/internal/report"
	"caos/internal/worker"
)

// graphState is a → x → y, b → y, c alone; targets of x, y and c.
func graphState(missing string, columns bool, optional ...string) *pipelineState {
	s := &pipelineState{In: PipelineInput{PipelineID: dpDaily}}
	for _, n := range []string{"a", "b", "c"} {
		src := dataset.Source{Name: n, Optional: true}
		if columns {
			src.Columns = []dataset.Column{{Name: `q"`, Type: "INTEGER"}, {Name: "w", Type: "VARCHAR"}}
		}
		s.Sel.Sources = append(s.Sel.Sources, src)
		if s.source(n); n == missing {
			s.source(n).Missing = "gone"
		}
	}
	s.Sel.Transforms = []dataset.Transform{{Name: "x", SQL: "SELECT * FROM A"}, {Name: "y", SQL: "SELECT * FROM x, b"}}
	for _, n := range []string{"x", "y", "c"} {
		s.Sel.Targets = append(s.Sel.Targets, dataset.Target{Name: "t" + n, From: strings.ToUpper(n), Optional: slices.Contains(optional, n)})
		s.target("t" + n)
	}
	return s
}

func TestPipelineWork(t *testing.T) {
	for _, c := range []struct {
		name, missing         string
		columns               bool
		optional              []string
		load, targets, stops  string
		empty, steps, without string
	}{
		{name: "all", load: "a b c", steps: "x y", targets: "tx ty tc"},
		{name: "an empty table", missing: "b", columns: true, load: "a c", empty: "b", steps: "x y", targets: "tx ty tc"},
		{name: "a required target", missing: "b", load: "a c", steps: "x", targets: "tx tc", stops: "ty"},
		{name: "an optional target", missing: "b", optional: []string{"y"}, load: "a c", steps: "x", targets: "tx tc", without: "ty"},
		{name: "further up", missing: "a", optional: []string{"x", "y"}, load: "c", targets: "tc", without: "tx ty"},
		{name: "a source that nothing reads", missing: "c", optional: []string{"c"}, load: "a b", steps: "x y", targets: "tx ty", without: "tc"},
	} {
		s := graphState(c.missing, c.columns, c.optional...)
		w, stop := s.work()
		var steps, stops []string
		for _, x := range w.transforms {
			steps = append(steps, x.Name)
		}
		for _, f := range stop {
			stops = append(stops, f.Subject)
		}
		for what, pair := range map[string][2]string{"load": {strings.Join(namesOfSources(w.load), " "), c.load}, "empty": {strings.Join(namesOfSources(w.empty), " "), c.empty},
			"steps": {strings.Join(steps, " "), c.steps}, "targets": {strings.Join(namesOfTargets(w.targets), " "), c.targets}, "stops": {strings.Join(stops, " "), c.stops},
			"without": {strings.Join(slices.Sorted(maps.Keys(w.without)), " "), c.without}} {
			if pair[0] != pair[1] {
				t.Errorf("%s: %s %q, want %q", c.name, what, pair[0], pair[1])
			}
		}
	}
	s := graphState("", false)
	w, _ := s.work()
	if hit := namesOfTargets(s.hit(w, "a", false)); strings.Join(hit, " ") != "tx ty" {
		t.Errorf("hit by a: %v", hit)
	}
	if hit := namesOfTargets(s.hit(w, "tc", true)); strings.Join(hit, " ") != "tc" {
		t.Errorf("hit by tc: %v", hit)
	}
	if got, want := emptyTable(graphState("", true).Sel.Sources[0].Columns), `SELECT CAST(NULL AS INTEGER) AS "q""", CAST(NULL AS VARCHAR) AS "w" WHERE false`; got != want {
		t.Errorf("%s", got)
	}
}

// The score is that of all blocking checks of all targets; without any there is none.
func TestPipelineScore(t *testing.T) {
	s := graphState("", false)
	if s.score() != nil {
		t.Error("a score of nothing")
	}
	o := &contract.Outcome{Checks: []contract.CheckResult{
		{Check: contract.Check{ID: "a", Severity: contract.SeverityError, Weight: 3}, Passed: true},
		{Check: contract.Check{ID: "b", Severity: contract.SeverityError, Weight: 1}},
		{Check: contract.Check{ID: "c", Severity: contract.SeverityWarning, Weight: 50}}}}
	s.target("tx").Weight, s.target("ty").Weight = weightOf(o), [2]float64{1, 1}
	if got := s.score(); got == nil || *got != 0.8 {
		t.Errorf("%v", got)
	}
	s.target("tx").Blocked, s.target("tx").Quality = true, qualityShown(&dataset.ContractRef{ContractID: "95-00-09-02-004", Version: "1.0.0"}, o)
	if stop := s.judge(); len(stop) != 1 || stop[0].Subject != "tx" || !strings.Contains(stop[0].Message, "check b failed") {
		t.Errorf("%+v", stop)
	}
	s.Sel.Targets[0].Optional = true
	if stop := s.judge(); len(stop) != 0 || !strings.Contains(s.target("tx").Failed, "check b failed") || s.status() != pipelinePartial {
		t.Errorf("%+v %+v", stop, s.target("tx"))
	}
}

func TestPipelineIssues(t *testing.T) {
	s := graphState("a", false)
	s.Made = &pipeMade{Inputs: []worker.InputResult{{Name: "b", Rows: 0}, {Name: "c", Rows: 4, Rejected: 2, Rejects: []worker.Reject{{File: "in/c/x.csv", Line: 3, Message: "too long"}}}},
		Outputs: []worker.OutputResult{{Name: "tc", Rows: 0}}}
	s.target("tc").Checked, s.target("tc").Quality = "SHA256:00", &report.PipeQuality{Contract: "95-00-09-02-004@1.0.0", Checks: []report.PipeCheck{{ID: "w", Severity: "warning", Value: "1", Expected: "2"}}}
	s.target("tx").Failed = "target tx: its store is away"
	want := []string{"Source a could not be read: gone.", "Source b has no rows.", "Source c: 2 rows were left out, the first is in/c/x.csv, line 3: too long.",
		"Target tx is not published: its store is away.", "Target tc was checked by no blocking check: 95-00-09-02-004@1.0.0 has none.", "Target tc has no rows.",
		"Target tc: check w failed: measured 1, expected 2."}
	if got := s.issues(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	l := &sentences{}
	for range 3 {
		l.add("%s", strings.Repeat("ä", 900))
	}
	l.add("%s", " ")
	for i := range 500 {
		l.add("issue %d", i)
	}
	if got := l.bounded(); len(got) != maxIssueCount || len(got[0]) > maxIssueBytes+10 {
		t.Errorf("%d issues, the first of %d bytes", len(got), len(got[0]))
	}
}
