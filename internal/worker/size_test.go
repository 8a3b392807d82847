package worker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a worker hides from the look at its folder is no way around its limit: files deeper
// than a path is long, and in folders that can be written to and not listed.
func TestSizeOfWhatIsHidden(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "f"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := size(root); n < 1<<20 || n > 2<<20 {
		t.Errorf("%d bytes", n)
	}
	t.Run("deep", func(t *testing.T) {
		deep, err := os.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		top := deep.Name()
		for range 30 {
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
		defer deep.Close()
		if err := deep.WriteFile("f", make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		if n := size(top); n < 1<<50 {
			t.Errorf("%d bytes", n)
		}
	})
	t.Run("not listed", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("root lists everything")
		}
		dir := filepath.Join(t.TempDir(), "d")
		if err := os.Mkdir(dir, 0o300); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.Chmod(dir, 0o700) }()
		if n := size(filepath.Dir(dir)); n < 1<<50 {
			t.Errorf("%d bytes", n)
		}
	})
}
