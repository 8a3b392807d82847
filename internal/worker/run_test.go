package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"caos/internal/sandbox"
	"caos/internal/worker"
	"caos/internal/worker/workertest"
)

func runner(t testing.TB, level sandbox.Level) *worker.Runner {
	t.Helper()
	return worker.New(worker.Options{Program: workertest.TestProgram(t), Level: level})
}

// files makes a run's folder with files in in/.
func files(t testing.TB, in map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range in {
		path := filepath.Join(folder, worker.InFolder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func limits() worker.Limits {
	return worker.Limits{MemoryBytes: 512 << 20, Threads: 2, ScratchBytes: 256 << 20, Timeout: time.Minute}
}

func do(t testing.TB, folder string, job worker.Job) (*worker.Result, *worker.Failure) {
	t.Helper()
	result, err := runner(t, "").Run(context.Background(), folder, job, limits(), nil)
	if err == nil {
		return result, nil
	}
	var f *worker.Failure
	if !errors.As(err, &f) {
		t.Fatalf("%T is no Failure: %v", err, err)
	}
	return nil, f
}

func show(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

func TestAJob(t *testing.T) {
	folder := files(t, map[string]string{"a.csv": "id,name,amount\n1,x,1.5\n2,y,\n3,z,2.25\n"})
	var seen []worker.Progress
	result, err := runner(t, "").Run(context.Background(), folder, worker.Job{
		Variables: map[string]any{"interval_start": "2001-01-01T00:00:00Z"},
		Inputs:    []worker.Input{{Name: "a", Files: []string{"a.csv"}, Format: "csv"}},
		Steps:     []worker.Statement{{Name: "b", SQL: "SELECT id, upper(name) AS name, amount FROM a WHERE id > 1"}, {Name: "c", SQL: "SELECT * FROM b", Table: true}},
		Outputs:   []worker.Output{{Name: "t", From: "c", Format: "parquet", OrderBy: []string{"id"}}, {Name: "u", From: "b", Format: "csv", Compression: "gzip"}},
		Queries:   []worker.Query{{Name: "q", SQL: "SELECT *, getvariable('interval_start') AS s FROM c ORDER BY id"}},
	}, limits(), func(p worker.Progress) { seen = append(seen, p) })
	if err != nil {
		t.Fatal(err)
	}
	t.Log(show(result))
	t.Log(show(seen))
}

func BenchmarkEmpty(b *testing.B) {
	r := runner(b, "")
	folder := files(b, map[string]string{"a.csv": "id,name\n"})
	for b.Loop() {
		if _, err := r.Run(context.Background(), folder, worker.Job{
			Inputs:  []worker.Input{{Name: "a", Files: []string{"a.csv"}, Format: "csv"}},
			Steps:   []worker.Statement{{Name: "b", SQL: "SELECT * FROM a"}},
			Outputs: []worker.Output{{Name: "t", From: "b", Format: "parquet"}},
			Queries: []worker.Query{{Name: "q", SQL: "SELECT count(*) FROM b"}},
		}, limits(), nil); err != nil {
			b.Fatal(err)
		}
	}
}
