package chaintest

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

// Program builds caos-devchain once for what its sources are now, and returns its path.
// CAOS_TEST_DEVCHAIN names a program that is there already.
func Program(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("CAOS_TEST_DEVCHAIN"); path != "" {
		return path
	}
	root := moduleRoot(t)
	path := filepath.Join(os.TempDir(), "caos-devchain-"+digest(t, root))
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
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", path+".new", "./cmd/caos-devchain")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("caos-devchain cannot be built: %v\n%s", err, out)
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
	old, _ := filepath.Glob(filepath.Join(os.TempDir(), "caos-devchain-*"))
	for _, path := range old {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > keep {
			_ = os.Remove(path)
		}
	}
}

// keep is how long a built program is kept.
const keep = 24 * time.Hour

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
		if _, err := os.Stat(filepath.Join(dir, "cmd", "caos-devchain")); err == nil {
			return dir
		}
	}
	t.Fatal("the folder with cmd/caos-devchain cannot be found")
	return ""
}

// digest is of what the program is built from: its own files, the contract's binding, which
// is all it uses of the package beside this one, and the versions of its modules.
func digest(t testing.TB, root string) string {
	t.Helper()
	names := []string{filepath.Join(root, "internal", "ethereum", "binding", "production_registry.go")}
	err := filepath.WalkDir(filepath.Join(root, "cmd", "caos-devchain"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		h.Write([]byte(strings.TrimPrefix(name, root)))
		h.Write([]byte{0})
		h.Write(text)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mod)) {
		if strings.Contains(line, "ethereum/go-ethereum ") || strings.HasPrefix(line, "go ") {
			h.Write([]byte(line))
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
