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
)

// TestProgram builds caos-worker once for what its sources are now, and returns its path.
// It skips the test where there is no C++ compiler, and fails it there with CI=true.
// CAOS_TEST_WORKER names a program that is there already.
func TestProgram(t testing.TB) string {
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
	cmd := exec.Command("go", "build", "-o", path+".new", "./cmd/caos-worker")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=1", "CXX="+compiler)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("caos-worker cannot be built: %v\n%s", err, out)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}

func built(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
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
