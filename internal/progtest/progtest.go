// Package progtest builds programs of this module for tests: once for what their sources are,
// for all packages and runs.
package progtest

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Program is a program of the module, and what it is built from.
type Program struct {
	Name    string   // its folder below cmd/
	Flags   []string // of go build
	Env     []string // besides that of the test
	Sources []string // files and folders from the module's root, besides its own folder
	Module  string   // only what go.mod says of this module counts; "" for all of go.mod and go.sum
}

// keep is how long a built program is kept.
const keep = 24 * time.Hour

// Build builds a program unless that was done for these sources, and returns its path.
func Build(t testing.TB, p Program) string {
	t.Helper()
	root := moduleRoot(t)
	path := filepath.Join(os.TempDir(), p.Name+"-"+p.digest(t, root))
	if built(path) {
		return path
	}
	// Tests of several packages want it at once: one builds, the others wait.
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if built(path) {
		return path
	}
	p.forget()
	cmd := exec.Command("go", append(append([]string{"build"}, p.Flags...), "-ldflags", "-s -w", "-o", path+".new", "./cmd/"+p.Name)...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), p.Env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s cannot be built: %v\n%s", p.Name, err, out)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}

// built says whether the program is there, and nobody else's.
func built(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(owner.Uid) == os.Geteuid()
}

// forget removes programs of sources that were changed since.
func (p Program) forget() {
	old, _ := filepath.Glob(filepath.Join(os.TempDir(), p.Name+"-*"))
	for _, path := range old {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > keep {
			_ = os.Remove(path)
		}
	}
}

// moduleRoot is the folder of this module, above this file. bench/ has a go.mod of its own,
// so the programs tell which is meant.
func moduleRoot(t testing.TB) string {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) { // built with -trimpath
		dir, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		file = filepath.Join(dir, "x")
	}
	for dir := filepath.Dir(file); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "cmd", "caos")); err == nil {
			return dir
		}
	}
	t.Fatal("the module's folder cannot be found")
	return ""
}

// digest is of everything that the program is built from.
func (p Program) digest(t testing.TB, root string) string {
	t.Helper()
	h := sha256.New()
	sources := append([]string{"cmd/" + p.Name}, p.Sources...)
	if p.Module == "" {
		sources = append(sources, "go.mod", "go.sum")
	}
	for _, name := range sources {
		err := filepath.WalkDir(filepath.Join(root, name), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, path)
			h.Write([]byte(rel + "\x00"))
			h.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mod)) {
		if p.Module != "" && strings.Contains(line, p.Module+" ") || strings.HasPrefix(line, "go ") {
			h.Write([]byte(line))
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
