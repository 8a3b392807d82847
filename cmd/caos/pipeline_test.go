package main

import (
	"strings"
	"testing"
	"time"

	"charm.land/lipgloss/v2"

	"caos/internal/dataset"
	"caos/internal/engine"
)

func TestIntervals(t *testing.T) {
	for _, c := range []struct{ from, to, every, want string }{
		{"2001-01-01", "2001-03-01", "month", "2001-01-01/2001-02-01 2001-02-01/2001-03-01"},
		{"2001-01-31", "2001-03-02", "month", "2001-01-31/2001-02-01 2001-02-01/2001-03-01 2001-03-01/2001-03-02"},
		{"2000-02-28", "2000-03-01", "day", "2000-02-28/2000-02-29 2000-02-29/2000-03-01"},
		{"2001-01-01", "2001-01-10", "week", "2001-01-01/2001-01-08 2001-01-08/2001-01-10"},
		{"2001-07-01", "2002-02-01", "year", "2001-07-01/2002-01-01 2002-01-01/2002-02-01"},
	} {
		got, err := intervals(c.from, c.to, c.every)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%v: %v, %v", c, got, err)
		}
	}
	for _, c := range [][3]string{{"2001-01-01", "2001-01-01", "day"}, {"2001-02-01", "2001-01-01", "day"}, {"1990-01-01", "2020-01-01", "day"}, {"2001-13-01", "2001-01-01", "day"},
		{"2001-01-01", "2001-02-01", "hour"}, {"", "", "day"}} {
		if got, err := intervals(c[0], c[1], c[2]); err == nil {
			t.Errorf("%v: %v", c, got)
		}
	}
}

func TestScores(t *testing.T) {
	f := func(v float64) *float64 { return &v }
	for want, list := range map[string][]*float64{"": {f(1)}, "▁█": {f(0.5), f(1)}, "██": {f(1), f(1)}, "▁·█": {f(0), nil, f(1)}} {
		if got := sparkline(list); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for want, v := range map[string]*float64{"-": nil, "1.0000": f(1), "0.9999": f(0.99999), "0.8571": f(6. / 7)} {
		if got := scoreOf(v); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for want, n := range map[string]int64{"0": 0, "999": 999, "1,000": 1000, "3,000,000": 3_000_000, "-1,234": -1234} {
		if got := grouped(n); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestProgressLineFits(t *testing.T) {
	for _, width := range []int{40, 80, 120} {
		for _, p := range []engine.Progress{
			{Step: "run-etl"}, {Message: strings.Repeat("a long message ", 20), Done: 1 << 40, Total: 1 << 41, Unit: "bytes", Percent: 50},
			{Message: "\x1b[31mred", Done: 12_345_678, Unit: "rows"}, {Done: 2, Total: 3, Unit: "sources", Percent: 250},
		} {
			got := cut(progressLine(p, time.Minute, width), width-1)
			if lipgloss.Width(got) >= width || strings.Contains(got, "\x1b") {
				t.Errorf("at %d: %q", width, got)
			}
		}
	}
}

func TestRunInput(t *testing.T) {
	p := &dataset.Pipeline{Definition: dataset.Definition{PipelineID: "DP-DLY-001", PipelineVersion: "1.0", Sources: []dataset.Source{{Name: "a"}, {Name: "b"}}}}
	for want, o := range map[string]runOptions{
		"": {}, "b": {sources: []string{"b"}}, "a@2001-01-01/2001-02-01 b": {interval: "2001-01-01/2001-02-01"},
		"b@2001-01-01/2001-02-01": {interval: "2001-01-01/2001-02-01", sources: []string{"b"}},
	} {
		if in := o.inputOf(p); strings.Join(in.Sources, " ") != want || in.Mode != dataset.ModeOnDemand || in.Targets == nil {
			t.Errorf("%+v, want %s", in, want)
		}
	}
	if of, err := pipelineOfRun("EXEC-DP-DLY-001-20261122T101500.123456Z"); err != nil || of != "DP-DLY-001" {
		t.Error(of, err)
	}
	for _, id := range []string{"", "EXEC-", "EXEC-20261122T101500.123456Z", "DP-DLY-001", "-"} {
		if of, err := pipelineOfRun(id); err == nil {
			t.Errorf("%q is a run of %s", id, of)
		}
	}
}
