package worker_test

import (
	"os"
	"path/filepath"
	"testing"

	"caos/internal/worker"
)

// TestRefusedStatements: what the worker refuses arrives as a refusal, wherever it stands,
// and nothing is written. cmd/caos-worker has the list of what is tried.
func TestRefusedStatements(t *testing.T) {
	folder := files(t, map[string]string{"a.csv": "id,name\n1,x\n", "secret.csv": "k\nv\n"})
	in := []worker.Input{{Name: "a", Files: []string{"a.csv"}, Format: "csv"}}
	for name, job := range map[string]worker.Job{
		"query":       {Inputs: in, Queries: []worker.Query{{Name: "q", SQL: "SELECT * FROM read_text('/etc/passwd')"}}},
		"view":        {Inputs: in, Steps: []worker.Statement{{Name: "s", SQL: "SELECT * FROM 'in/secret.csv'"}}},
		"table":       {Inputs: in, Steps: []worker.Statement{{Name: "s", SQL: "SELECT * FROM '/proc/1/environ'", Table: true}}},
		"copy":        {Inputs: in, Steps: []worker.Statement{{Name: "s", SQL: "COPY a TO 'out/x.csv'", Table: true}}},
		"two":         {Inputs: in, Steps: []worker.Statement{{Name: "s", SQL: "SELECT 1; ATTACH ':memory:' AS m"}}},
		"later step":  {Inputs: in, Steps: []worker.Statement{{Name: "s", SQL: "SELECT * FROM t"}, {Name: "t", SQL: "SELECT 1"}}},
		"output":      {Inputs: in, Outputs: []worker.Output{{Name: "o", From: "in/secret.csv", Format: "csv"}}},
		"output name": {Inputs: in, Outputs: []worker.Output{{Name: "../o", From: "a", Format: "csv"}}},
		"table name":  {Inputs: []worker.Input{{Name: "a; ATTACH", Files: []string{"a.csv"}, Format: "csv"}}},
		"engine name": {Inputs: in, Steps: []worker.Statement{{Name: "caos_rejects", SQL: "SELECT 1"}}},
		"variable":    {Inputs: in, Variables: map[string]any{"x = 1; SET y": 1}},
	} {
		result, f := do(t, folder, job)
		if f == nil || f.Kind != worker.KindRefused {
			t.Errorf("%s: %v %v", name, result, f)
		}
	}
	if entries, _ := os.ReadDir(filepath.Join(folder, "out")); len(entries) > 0 {
		t.Errorf("something was written: %v", entries)
	}
}
