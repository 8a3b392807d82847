package flightdelay

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"caos"
)

type report struct {
	Status    string `json:"status"`
	Artifacts []struct{ Name, Digest string }
	Tests     []struct {
		ID           string   `json:"test_id"`
		Result       string   `json:"result"`
		Requirements []string `json:"requirement_ids"`
		Operator     string   `json:"operator"`
		Value        float64  `json:"value"`
		Threshold    float64  `json:"threshold"`
	} `json:"tests"`
	Requirements []struct {
		ID string `json:"requirement_id"`
	} `json:"requirements"`
}

func read[T any](t *testing.T, name string) (v T) {
	t.Helper()
	if err := json.Unmarshal(text(t, name), &v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

func text(t *testing.T, name string) []byte {
	t.Helper()
	b, err := Files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func digest(b []byte) string { return fmt.Sprintf("SHA256:%x", sha256.Sum256(b)) }

// TestReport compares the report with the plan and with the files it is about: neither a
// result nor a threshold stands in two places without agreeing.
func TestReport(t *testing.T) {
	plan, got := read[report](t, "vv-plan.json"), read[report](t, "vv-report.json")
	if got.Status != "PASSED" || len(got.Tests) != len(plan.Tests) || len(got.Requirements) != len(plan.Requirements) {
		t.Fatalf("status %s, %d of %d tests, %d of %d requirements", got.Status, len(got.Tests), len(plan.Tests), len(got.Requirements), len(plan.Requirements))
	}
	tested := map[string]bool{}
	for i, r := range got.Tests {
		p := plan.Tests[i]
		if r.ID != p.ID || r.Operator != p.Operator || r.Threshold != p.Threshold || !slices.Equal(r.Requirements, p.Requirements) {
			t.Errorf("%s is not the test that was planned", r.ID)
		}
		if holds := map[string]bool{"<=": r.Value <= r.Threshold, "<": r.Value < r.Threshold, ">=": r.Value >= r.Threshold, "==": r.Value == r.Threshold}[r.Operator]; !holds || r.Result != "PASSED" {
			t.Errorf("%s says %s of %g %s %g", r.ID, r.Result, r.Value, r.Operator, r.Threshold)
		}
		for _, q := range r.Requirements {
			tested[q] = true
		}
	}
	for _, q := range got.Requirements {
		if err := caos.CheckID("document", "requirement_id", q.ID); err != nil || !tested[q.ID] {
			t.Errorf("%s: tested %v, %v", q.ID, tested[q.ID], err)
		}
	}
	for _, a := range got.Artifacts {
		if d := digest(text(t, a.Name)); d != a.Digest {
			t.Errorf("%s has digest %s, the report tested %s", a.Name, d, a.Digest)
		}
	}
	log := read[map[string]any](t, "training-log.json")
	conversion := read[map[string]any](t, "conversion.json")
	if d := digest(text(t, "model.onnx")); log["model.onnx"] != d || conversion["to_digest"] != d {
		t.Errorf("the training log or the conversion record is of another model than %s", d)
	}
}

// TestCard finds the figures of the model card in the report.
func TestCard(t *testing.T) {
	card, said := string(text(t, "model-card.md")), string(text(t, "vv-report.json"))
	for _, line := range strings.Split(card, "\n") {
		if !strings.HasPrefix(line, "| mean absolute error") {
			continue
		}
		for _, cell := range strings.Split(strings.Trim(line, "| "), "|")[1:] {
			if figure := strings.Trim(cell, " *"); !strings.Contains(said, figure) {
				t.Errorf("the card says %s, which the report does not", figure)
			}
		}
	}
	if strings.ContainsAny(card, "{}") {
		t.Error("a figure of the card was not filled in")
	}
}

func TestFiles(t *testing.T) {
	for _, a := range Artifacts() {
		if b := text(t, a.File); len(b) == 0 || len(b) > 300_000 {
			t.Errorf("%s has %d bytes", a.File, len(b))
		}
	}
	for _, d := range Documents() {
		if err := caos.CheckID("document", "id", d.ID); err != nil {
			t.Error(err)
		}
		text(t, d.File)
	}
	rows, err := csv.NewReader(bytes.NewReader(text(t, TraceFile))).ReadAll()
	if err != nil || len(rows) < 15 {
		t.Errorf("%d links: %v", len(rows), err)
	}
	err = fs.WalkDir(Files, ".", func(name string, _ fs.DirEntry, err error) error {
		if err == nil && strings.Contains(name, "__pycache__") {
			t.Errorf("%s should not be there", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
