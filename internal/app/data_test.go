package app

import (
	"os"
	"path/filepath"
	"testing"
)

// TestScratchIsSwept: what a process that died left behind is gone when the next one starts.
func TestScratchIsSwept(t *testing.T) {
	a := New(Config{DataDir: t.TempDir()}, nil, "test")
	left := filepath.Join(a.scratch(), "EXEC-DP-DLY-001-20261122T101500.123456Z", "in")
	if err := os.MkdirAll(left, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(left, "f.csv"), []byte("x"), 0o444); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.openScratch(t.Context()); err != nil {
			t.Fatal(err)
		}
		if list, err := os.ReadDir(a.scratch()); err != nil || len(list) != 0 {
			t.Errorf("%v, %v", list, err)
		}
	}
}
