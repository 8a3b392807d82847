package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"caos/internal/registry"
)

const modelFiles = "../../internal/modelfile/testdata"

// TestTrials examines every model file there is: either it is refused with a hint, or its
// drafts are documents that the registry reads, and the report says what the tests say.
func TestTrials(t *testing.T) {
	entries, err := os.ReadDir(modelFiles)
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, e := range entries {
		s, err := examine(t.Context(), filepath.Join(modelFiles, e.Name()), io.Discard)
		if err != nil {
			if text := err.Error(); !strings.Contains(text, "MODEL: ") {
				t.Errorf("%s: %v", e.Name(), err)
			}
			continue
		}
		tried++
		drafts, err := s.drafts(time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range drafts {
			if !strings.HasPrefix(d.title, sandboxMark) || !strings.Contains(string(d.text), sandboxMark) {
				t.Errorf("%s of %s is not marked", d.file, e.Name())
			}
			if strings.ContainsAny(string(d.text), "{}") && strings.HasSuffix(d.file, ".md") {
				t.Errorf("%s of %s has a place that was not filled in:\n%s", d.file, e.Name(), d.text)
			}
			switch d.kind {
			case registry.KindVVReport:
				checkReport(t, s, d.text)
			case registry.KindDefectList:
				if _, err := registry.ParseDefectList(d.text); err != nil {
					t.Errorf("%s: %v", e.Name(), err)
				}
			case registry.KindVVPlan:
				if p, err := registry.ParseVVPlan(d.text); err != nil || len(p.Requirements) != len(tryRequirements()) {
					t.Errorf("%s: %v %v", e.Name(), p, err)
				}
			}
		}
	}
	if tried < 5 {
		t.Errorf("only %d files could be tried", tried)
	}
}

func checkReport(t *testing.T, s *subject, text []byte) {
	t.Helper()
	r, err := registry.ParseVVReport(text)
	if err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	if (r.Status == "PASSED") != (s.passed() == len(s.tests)) {
		t.Errorf("%s: %s with %d of %d tests passed", s.name, r.Status, s.passed(), len(s.tests))
	}
	tested := map[string]bool{}
	for _, x := range r.Tests {
		for _, id := range x.RequirementIDs {
			tested[id] = true
		}
	}
	for _, q := range tryRequirements() {
		if !tested[q.id] {
			t.Errorf("%s is tested by nothing", q.id)
		}
	}
}
