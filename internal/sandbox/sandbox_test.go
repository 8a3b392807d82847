//go:build linux && (amd64 || arm64)

package sandbox

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	Main()
	if act := os.Getenv("ACT"); act != "" {
		os.Exit(attack(act, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// spec is a run of this test binary as a program that does what act says.
func spec(t *testing.T, level Level, act string, args ...string) Spec {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	libraries, err := Libraries(program)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for _, name := range []string{"in", "out", "tmp"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "in", "data"), []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	return Spec{
		Program: program, Args: args, Env: []string{"ACT=" + act}, Folder: folder, Write: []string{"out", "tmp"},
		ReadOnly: libraries, MemoryBytes: 256 << 20, Threads: 1, FileBytes: 1 << 20, Processes: 64, Level: level,
	}
}

// run runs to the end and returns what was said on standard output.
func run(t *testing.T, s Spec) (string, Exit) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	p, err := Start(ctx, s, strings.NewReader("hello"), &out, &errs)
	if err != nil {
		t.Fatal(err)
	}
	exit := p.Wait()
	if errs.Len() > 0 {
		t.Logf("standard error: %s", errs.String())
	}
	return out.String(), exit
}

func levels() []Level { return []Level{Namespaces, Reduced} }
