package location

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"caos"
)

// What a publication keeps beside its target is nobody's to read or to write: it is not
// published yet, or belongs to whoever published before. Mutation that makes this fail: parse
// and hidden take such names.
func TestNobodyNamesWhatIsKeptAside(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(Options{Roots: []string{dir}, TargetRoots: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".caos-0123/new/a.csv", ".other/a.csv", "b.csv"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	base := "file://" + dir
	for _, uri := range []string{base + "/.caos-0123/new/a.csv", base + "/.caos-*/new/", base + "/.caos-0123/", base + "/%2Ecaos-0123/new/a.csv"} {
		if err := l.Check(uri, false, Scope{}); caos.AsError(err).Rule != "location-name" {
			t.Errorf("read %s: %v", uri, err)
		}
		if _, err := l.Stage(context.Background(), Publication{Key: "k", Target: uri}, nil); err == nil {
			t.Errorf("published to %s", uri)
		}
	}
	for uri, want := range map[string]int{base + "/.c*/new/": -1, base + "/.*/": 1, base + "/.*/*/": -1, base + "/": 1} {
		found, err := l.Probe(context.Background(), uri, Scope{})
		if want < 0 && caos.KindOf(err) != caos.NotFound || want > 0 && (err != nil || len(found) != want) {
			t.Errorf("%s: %v %v", uri, found, err)
		}
	}
}

// A target behind a link that leads out of its root is refused by name, and nothing is said
// to need putting back.
func TestATargetBehindALink(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Open(Options{TargetRoots: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"file://" + dir + "/link/a.csv", "file://" + dir + "/link/deeper/a.csv"} {
		_, err = l.Stage(context.Background(), Publication{Key: "k", Target: target, Files: []Local{{Path: file, Name: "a.csv"}}}, nil)
		if e := caos.AsError(err); err == nil || e.Rule != "location-root" || e.Kind != caos.Denied {
			t.Errorf("%s: %v", target, err)
		}
		if err := l.Undo(context.Background(), &Staged{Key: "k", Target: target}); err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("%v %v", left, err)
	}
}
