package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestVerdicts holds the arithmetic of the table.
func TestVerdicts(t *testing.T) {
	if m := median([]float64{9, 1, 5}); m != 5 {
		t.Error(m)
	}
	if m := median([]float64{9, 1, 5, 6}); m != 5.5 {
		t.Error(m)
	}
	r := rated("m", "/s", []float64{10, 30, 20})
	for _, c := range []struct {
		row  row
		want string
	}{
		{r, reported}, {r.against("p", []float64{4}, 5), met}, {r.against("p", []float64{4.1}, 5), missed}, {r.against("p", []float64{4}, 0), reported},
		{r.atLeast(20), met}, {r.atLeast(20.1), missed}, {r.atMost(20), met}, {r.atMost(19.9), missed},
	} {
		if c.row.Verdict != c.want {
			t.Errorf("%+v is not %s", c.row, c.want)
		}
	}
	var out bytes.Buffer
	report{Facts: machine(t.TempDir()), Repetitions: 3, Rows: []row{r.atLeast(25)}}.print(&out)
	if !strings.Contains(out.String(), "MISSED") {
		t.Error(out.String())
	}
}

// TestSections runs each measurement for a moment, so that a change of an API that it uses
// is found by the tests. What it measures is not looked at.
func TestSections(t *testing.T) {
	b := &bench{short: true, reps: 1, duration: 100 * time.Millisecond, dir: t.TempDir(), bin: t.TempDir(), say: t.Logf}
	for _, s := range []section{{"append", measureAppend}, {"steps", measureSteps}, {"package", measurePackage}, {"baseline", measureBaseline}} {
		t.Run(s.name, func(t *testing.T) {
			rows, err := s.run(t.Context(), b)
			if err != nil || len(rows) == 0 {
				t.Fatal(rows, err)
			}
		})
	}
}
