package app

import (
	"os"
	"path/filepath"
	"testing"

	"caos"
)

// TestFileRoots refuses folders from which file:// addresses could reach the keys.
func TestFileRoots(t *testing.T) {
	top := t.TempDir()
	data := filepath.Join(top, "data")
	link := filepath.Join(top, "link")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(data, link); err != nil {
		t.Fatal(err)
	}
	for root, fine := range map[string]bool{
		filepath.Join(top, "artifacts"): true, top + "/data-artifacts": true,
		data: false, filepath.Join(data, "objects"): false, top: false, "/": false, link: false, top + "/artifacts/..": false, "artifacts": false,
	} {
		c := Defaults(data)
		c.Origin, c.FileRoots = "caos.test/log", []string{root}
		err := c.Check()
		if fine != (err == nil) || err != nil && caos.AsError(err).Field != "file_roots[0]" {
			t.Errorf("%s: %v", root, err)
		}
	}
}
