package baseline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"caos"
	"caos/internal/sign"
)

// child is what a test's child process does: it writes or discards a baseline, and is
// killed by itself, as if by somebody else, at one of the steps.
func child(args string) int {
	f := strings.SplitN(args, ":", 4)
	var at int64
	if _, err := fmt.Sscan(f[1], &at); err != nil {
		return 2
	}
	s, err := Open(f[2], func() time.Time { return testTime })
	if err != nil {
		return 2
	}
	k, err := sign.OpenKeys(f[3])
	if err != nil {
		return 2
	}
	signer, err := k.Signer(sign.Baseline)
	if err != nil {
		return 2
	}
	var n atomic.Int64
	s.fault = func(string) error {
		if n.Add(1) == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal may take a moment
		}
		return nil
	}
	if f[0] == "discard" {
		err = s.Discard(context.Background(), testID, testOwner)
	} else {
		_, err = s.Write(context.Background(), draft(signer), nil)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// runChild reports whether the child was killed.
func runChild(t *testing.T, what string, at int, dir, keys string) bool {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), fmt.Sprintf("CAOS_BASELINE_CHILD=%s:%d:%s:%s", what, at, dir, keys))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return false
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled():
		return true
	}
	t.Fatalf("step %d: %v %s", at, err, out)
	return false
}

// wholeOrNothing checks what a crash or an error may leave, as it lies there.
func wholeOrNothing(t *testing.T, dir string, signer sign.Signer, step any) (whole bool) {
	t.Helper()
	s := &Store{}
	var err error
	if s.root, err = os.OpenRoot(dir); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ids, err := s.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(ids) == 0 {
		if _, _, err := s.Open(testID, "model.onnx"); caos.KindOf(err) != caos.NotFound {
			t.Errorf("step %v: %v", step, err)
		}
		return false
	}
	problems, err := s.Verify(context.Background(), testID, signer.Public(), nil)
	if err != nil || len(problems) > 0 {
		t.Errorf("step %v left a part: %v %v", step, err, problems)
	}
	return true
}

// TestKilled: a process that is killed at any step of a write leaves nothing or a whole
// baseline, and the same write succeeds afterwards, as does its removal.
func TestKilled(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	k, err := sign.OpenKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	signer := signerOf(t, k)
	killed, whole := 0, 0
	for at := 1; ; at++ {
		dir := tempDir(t)
		if !runChild(t, "write", at, dir, keys) {
			break
		}
		killed++
		if wholeOrNothing(t, dir, signer, at) {
			whole++
		}
		s := openStore(t, dir)
		if left, err := filepath.Glob(filepath.Join(dir, stagingPre+"*")); err != nil || len(left) > 0 {
			t.Errorf("step %d: opening left %v", at, left)
		}
		if at%2 == 0 {
			if err := s.Discard(context.Background(), testID, testOwner); err != nil {
				t.Errorf("step %d: %v", at, err)
			}
			if left := listing(t, dir); len(left) > 0 {
				t.Errorf("step %d: discarding left %v", at, left)
			}
		}
		write(t, s, draft(signer))
		intact(t, s, signer)
	}
	// Two for the claim, four for folders, four for each file, three for the bundle, four
	// for folders again, four for the name.
	if want := 2 + 4 + 4*4 + 3 + 4 + 4; killed != want || whole != 2 {
		t.Errorf("killed at %d steps, not %d; %d times the baseline was whole, not twice", killed, want, whole)
	}
	for at := 1; ; at++ {
		dir := tempDir(t)
		write(t, openStore(t, dir), draft(signer))
		if !runChild(t, "discard", at, dir, keys) {
			if at != 3 {
				t.Errorf("discarding has %d steps", at-1)
			}
			return
		}
		if wholeOrNothing(t, dir, signer, at) {
			t.Error("is there in spite of being discarded")
		}
		s := openStore(t, dir)
		if err := s.Discard(context.Background(), testID, testOwner); err != nil {
			t.Error(err)
		}
		if left := listing(t, dir); len(left) > 0 {
			t.Errorf("discarding again left %v", left)
		}
	}
}

// TestFailingSteps: a disk that fails at any step leaves nothing or a whole baseline.
func TestFailingSteps(t *testing.T) {
	signer := newSigner(t)
	for fail := 1; ; fail++ {
		dir := tempDir(t)
		s := openStore(t, dir)
		var mu sync.Mutex
		n, failed := 0, ""
		s.fault = func(step string) error {
			mu.Lock()
			defer mu.Unlock()
			if n++; n == fail {
				failed = step
				return &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
			}
			return nil
		}
		_, err := s.Write(context.Background(), draft(signer), nil)
		if failed == "" {
			if err != nil {
				t.Error(err)
			}
			break
		}
		if caos.KindOf(err) != caos.Full {
			t.Errorf("%s: %v", failed, err)
		}
		if whole := wholeOrNothing(t, dir, signer, failed); whole != (failed == "renamed" || failed == "done") {
			t.Errorf("%s: whole is %v", failed, whole)
		} else if left := listing(t, dir); !whole && len(left) > 0 {
			t.Errorf("%s left %v", failed, left)
		}
		s.fault = nil
		write(t, s, draft(signer))
		intact(t, s, signer)
	}
}

// TestSyncs: a crash of the machine keeps only what was synced, which no test here can try
// out; so everything has to be synced, and in the right order: files, the folders they are
// in, the record, and only then the name, and the folder that it stands in.
func TestSyncs(t *testing.T) {
	dir, signer := tempDir(t), newSigner(t)
	s := openStore(t, dir)
	var mu sync.Mutex
	var synced []string
	s.sync = func(f *os.File) error {
		mu.Lock()
		defer mu.Unlock()
		name, err := filepath.Rel(dir, f.Name())
		synced = append(synced, name)
		return errors.Join(err, f.Sync())
	}
	s.fault = func(step string) error {
		if step == "renamed" {
			mu.Lock()
			defer mu.Unlock()
			synced = append(synced, "its name")
		}
		return nil
	}
	write(t, s, draft(signer))
	const in = stagingPre + testID
	record := []string{recordName(testID), recordsDir}
	if !slices.Equal(synced[:2], record) {
		t.Errorf("the claim: %v", synced[:2])
	}
	rest := synced[2:]
	slices.Sort(rest[:4]) // several at once
	want := []string{
		in + "/model.onnx", in + "/sub-x/weights.bin", in + "/sub/deep/notes é.txt", in + "/sub/empty",
		in + "/model.sig", in + "/sub/deep", in + "/sub-x", in + "/sub", in, record[0], record[1], "its name", ".",
	}
	slices.Sort(want[5:8])
	if slices.Sort(rest[5:8]); !slices.Equal(rest, want) {
		t.Errorf("%v\n%v", rest, want)
	}
}
