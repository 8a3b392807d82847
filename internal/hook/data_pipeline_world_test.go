package hook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caos"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/engine"
)

const dpDaily = "DP-DLY-001"

// flightsCSV is the source of most tests.
const flightsCSV = `flight_date,carrier,distance,delay
2001-01-01,AA,120,4
2001-01-01,BB,310,-2
2001-01-02,AA,95,61
2001-01-02,CC,2100,17
`

// dailyRules is the contract of most tests: two blocking checks and a warning.
const dailyRules = `apiVersion: v3.1.0
kind: DataContract
id: 95-00-09-02-004
version: 1.0.0
status: active
name: Daily flights
schema:
  - name: train
    properties:
      - name: carrier
        logicalType: string
        required: true
      - name: distance
        logicalType: integer
        quality:
          - type: library
            metric: nullValues
            mustBe: 0
    quality:
      - id: rows
        type: library
        metric: rowCount
        mustBeGreaterThan: 0
      - id: many
        type: library
        metric: rowCount
        mustBeGreaterThan: 1000000
        severity: warning
`

// pipelineText is a definition; more is YAML that goes behind sources, transforms and
// targets.
func (w *world) pipelineText(version, sources, transforms, targets, more string) string {
	return fmt.Sprintf("pipeline_id: %s\npipeline_version: %q\ntitle: Daily flights\nowner: dana\nproject: flight-delay\nsources:\n%s\ntransforms:\n%s\ntargets:\n%s\n%s", dpDaily, version,
		sources, transforms, targets, more)
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}

// daily is the pipeline of most tests over a source file.
func (w *world) daily(more string) string {
	return w.pipelineText("1.0", indent(`- name: flights
  uri: file://`+filepath.Join(w.files, "flights.csv")+`
  format: csv
  columns:
    - {name: flight_date, type: DATE}
    - {name: carrier, type: VARCHAR, required: true}
    - {name: distance, type: INTEGER}
    - {name: delay, type: INTEGER}`), indent(`- name: features
  materialise: true
  sql: SELECT carrier, distance, delay > 15 AS late FROM flights`), indent(`- name: train
  from: features
  uri: file://`+w.target("train.parquet")+`
  format: parquet
  contract: 95-00-09-02-004`), "compute: {memory: 512 MiB, threads: 1, scratch: 64 MiB, timeout: 60s}\n"+more)
}

func (w *world) write(name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.files, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// pipelineRequest is the hook's input.
func pipelineRequest(change map[string]any) map[string]any {
	in := map[string]any{"pipeline_id": dpDaily, "pipeline_version": "1.0", "execution_mode": "ON_DEMAND", "data_sources": []string{}, "target_datasets": []string{}}
	for k, v := range change {
		in[k] = v
	}
	return in
}

// runs submits a run, waits for its end, and returns it with its output.
func (w *world) runs(change map[string]any) (*engine.Execution, PipelineOutput) {
	w.t.Helper()
	x, err := w.submit("dana", pipelineHook, pipelineRequest(change))
	if err != nil {
		w.t.Fatalf("%+v", err)
	}
	return x, w.pipelineOutput(x)
}

func (w *world) pipelineOutput(x *engine.Execution) (out PipelineOutput) {
	w.t.Helper()
	if err := json.Unmarshal(x.Output, &out); err != nil {
		w.t.Fatalf("%s: %v", x.Output, err)
	}
	return out
}

// ended fails unless the run ended with a status of the specification.
func (w *world) ended(x *engine.Execution, status string) PipelineOutput {
	w.t.Helper()
	out := w.pipelineOutput(x)
	want := engine.Succeeded
	if status == pipelineFailed {
		want = engine.Failed
	}
	if out.Status == nil || *out.Status != status || x.Status != want {
		raw, _ := json.MarshalIndent(x, "", " ")
		w.t.Fatalf("not %s: %s", status, raw)
	}
	return out
}

// tree is a folder's files with the digests of their bytes.
func tree(t testing.TB, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		sum := sha256.Sum256(raw)
		name, _ := filepath.Rel(root, path)
		out[name] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sameTree(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// findingOf is the finding with a rule, nil if there is none.
func findingOf(x *engine.Execution, rule string) *caos.Finding {
	for i := range x.Findings {
		if x.Findings[i].Rule == rule {
			return &x.Findings[i]
		}
	}
	return nil
}

// objectOf is the text of an object that belongs to an execution.
func (w *world) objectOf(owner, kind string) string {
	w.t.Helper()
	var digest string
	if err := w.db.QueryRow(context.Background(), `SELECT digest FROM object_refs WHERE owner=$1 AND kind=$2`, owner, kind).Scan(&digest); err != nil {
		w.t.Fatalf("%s of %s: %v", kind, owner, err)
	}
	r, n, err := w.objects.Open(digest)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	raw := make([]byte, n)
	if _, err := r.Read(raw); err != nil {
		w.t.Fatal(err)
	}
	return string(raw)
}

// tryRegister registers a definition, or says why not.
func (w *world) tryRegister(text string) error {
	w.t.Helper()
	def, err := dataset.ParseDefinition([]byte(text), "")
	if err != nil {
		return err
	}
	return w.db.Update(context.Background(), func(tx *db.Tx) error {
		_, err := w.datasets.Register(tx, def, []byte(text), dataBy())
		return err
	})
}

// holdAll is all the compute of the node.
func holdAll(w *world) engine.Resources {
	total, _, _ := w.engine.Allocator().Usage()
	return total
}

// submitAsync submits a run and does not wait for it.
func (w *world) submitAsync(input map[string]any) (*engine.Execution, error) {
	w.t.Helper()
	raw, err := json.Marshal(input)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.Submit(context.Background(), Request{Hook: pipelineHook, Body: raw, ContentType: "application/json", By: w.as("dana")})
}

// reaches waits for a step to be begun.
func (w *world) reaches(id, step string) *engine.Execution {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for u := range w.engine.Watch(ctx, id) {
		if u.Execution == nil {
			continue
		}
		for _, s := range u.Execution.Steps {
			if s.Step == step {
				return u.Execution
			}
		}
	}
	w.t.Fatalf("%s never came to %s", id, step)
	return nil
}

func (w *world) await(id string) *engine.Execution {
	w.t.Helper()
	x, err := w.engine.Await(context.Background(), id, patience)
	if err != nil || !x.Status.Final() {
		w.t.Fatalf("%s: %+v %v", id, x, err)
	}
	return x
}
