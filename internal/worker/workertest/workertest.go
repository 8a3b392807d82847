// Package workertest gives tests the real caos-worker.
package workertest

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"caos/internal/progtest"
	"caos/internal/worker"
)

// TestProgram builds caos-worker once for what its sources are now, and returns its path.
// It skips the test where there is no C++ compiler, or where the machine refuses the
// sandbox's namespaces, as many containers do, and fails it there with CI=true.
// CAOS_TEST_WORKER names a program that is there already.
func TestProgram(t testing.TB) string {
	t.Helper()
	path := program(t)
	if err := worker.New(worker.Options{Program: path}).Available(t.Context()); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return path
}

func program(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("CAOS_TEST_WORKER"); path != "" {
		return path
	}
	compiler, err := findCompiler()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return progtest.Build(t, progtest.Program{Name: "caos-worker", Env: []string{"CGO_ENABLED=1", "CXX=" + compiler},
		Sources: []string{"error.go", "internal/worker", "internal/sandbox"}})
}

func findCompiler() (string, error) {
	for _, name := range []string{os.Getenv("CXX"), "g++", "clang++", "c++"} {
		if name == "" {
			continue
		}
		if _, err := exec.LookPath(strings.Fields(name)[0]); err == nil {
			return name, nil
		}
	}
	return "", errors.New("no C++ compiler for caos-worker: apt-get install g++, or your system's package")
}
