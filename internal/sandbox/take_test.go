//go:build linux && (amd64 || arm64)

package sandbox

import (
	"os"
	"strings"
	"testing"
)

// A run that leaves folders deeper than a path is long does not take the caller's time and
// memory: they are refused, and can be removed.
func TestTakeDeepFolders(t *testing.T) {
	folder := t.TempDir()
	if err := os.Mkdir(folder+"/out", 0o700); err != nil {
		t.Fatal(err)
	}
	deep, err := os.OpenRoot(folder + "/out")
	if err != nil {
		t.Fatal(err)
	}
	for range 60 {
		name := strings.Repeat("d", 200)
		if err := deep.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
		next, err := deep.OpenRoot(name)
		if err != nil {
			t.Fatal(err)
		}
		_ = deep.Close()
		deep = next
	}
	_ = deep.Close()
	if err := Take(folder, "out"); err == nil || len(err.Error()) > 200 {
		t.Errorf("%v", err)
	}
	if err := os.RemoveAll(folder + "/out"); err != nil {
		t.Error(err)
	}
}
