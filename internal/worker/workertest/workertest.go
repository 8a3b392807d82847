// Package workertest gives tests the real caos-worker.
package workertest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

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
	root := moduleRoot(t)
	path := filepath.Join(os.TempDir(), "caos-worker-"+digest(t, root))
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
	forget()
	cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", path+".new", "./cmd/caos-worker")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=1", "CXX="+compiler)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("caos-worker cannot be built: %v\n%s", err, out)
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
func forget() {
	old, _ := filepath.Glob(filepath.Join(os.TempDir(), "caos-worker-*"))
	for _, path := range old {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > keep {
			_ = os.Remove(path)
		}
	}
}

// keep is how long a built program is kept.
const keep = 24 * time.Hour

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

// moduleRoot is the folder of go.mod, above this file.
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
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("the module's folder cannot be found")
	return ""
}

// digest is of everything that the program is built from.
func digest(t testing.TB, root string) string {
	t.Helper()
	h := sha256.New()
	for _, name := range []string{"go.mod", "go.sum", "error.go", "cmd/caos-worker", "internal/worker", "internal/sandbox"} {
		err := filepath.WalkDir(filepath.Join(root, name), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			h.Write([]byte(rel))
			h.Write([]byte{0})
			h.Write(text)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
