package worker_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caos"
	"caos/internal/worker"
	"caos/internal/worker/workertest"
)

// The program is replaced while the server runs: the next run is the new one's, with its own
// libraries, and what is said of it is true. Mutation that makes this fail: renew does nothing.
func TestProgramReplaced(t *testing.T) {
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	real, place := workertest.TestProgram(t), filepath.Join(t.TempDir(), "caos-worker")
	put := func(from string) {
		t.Helper()
		raw, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(place+".new", raw, 0o755)
		}
		if err == nil {
			err = os.Rename(place+".new", place)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put(own)
	r := worker.New(worker.Options{Program: place})
	if said, err := r.Version(context.Background()); err != nil || said != "a worker that was fooled" {
		t.Fatalf("%q %v", said, err)
	}
	put(real)
	if said, err := r.Version(context.Background()); err != nil || !strings.Contains(said, "DuckDB") {
		t.Errorf("%q %v", said, err)
	}
	folder := files(t, map[string]string{"a.csv": "id\n1\n"})
	if _, err := r.Run(context.Background(), folder, worker.Job{Inputs: []worker.Input{{Name: "a", Files: []string{"a.csv"}, Format: "csv"}}}, limits(), nil); err != nil {
		t.Error(err)
	}
	if err := os.Remove(place); err != nil {
		t.Fatal(err)
	}
	if err := r.Available(context.Background()); caos.KindOf(err) != caos.Unavailable || caos.AsError(err).Hint == "" {
		t.Errorf("%v", err)
	}
}
