//go:build linux && (amd64 || arm64)

package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"caos"
)

func TestMain(m *testing.M) {
	Main()
	if act := os.Getenv("ACT"); act != "" {
		os.Exit(attack(act, os.Args[1:]))
	}
	os.Exit(m.Run())
}

func levels() []Level { return []Level{Namespaces, Reduced} }

// eachLevel runs a test at both levels.
func eachLevel(t *testing.T, test func(*testing.T, Level)) {
	for _, level := range levels() {
		t.Run(string(level), func(t *testing.T) {
			if err := Check(t.Context(), level); err != nil {
				if os.Getenv("CI") == "true" && level == Reduced {
					t.Fatal(err)
				}
				t.Skip(err)
			}
			test(t, level)
		})
	}
}

// spec is a run of this test binary as a program that does what act says.
func spec(t testing.TB, level Level, act string, args ...string) Spec {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	libraries, err := Libraries(program)
	if err != nil {
		t.Fatal(err)
	}
	return Spec{
		Program: program, Args: args, Env: []string{"ACT=" + act}, Folder: folder(t), Write: []string{"out", "tmp"},
		ReadOnly: libraries, MemoryBytes: 256 << 20, Threads: 1, FileBytes: 1 << 20, Processes: 64, Level: level,
	}
}

func folder(t testing.TB) string {
	t.Helper()
	folder := t.TempDir()
	for _, name := range []string{"in", "out", "tmp"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "in", "data"), []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// run runs to the end and returns what was said on standard output.
func run(t testing.TB, s Spec) (string, Exit) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	p, err := Start(ctx, s, strings.NewReader("hello"), &out, &errs)
	if err != nil {
		t.Fatal(err)
	}
	exit := p.Wait()
	if ctx.Err() != nil {
		t.Fatal("it did not end")
	}
	if errs.Len() > 0 {
		t.Logf("standard error: %.300s", errs.String())
	}
	return out.String(), exit
}

// answers are the lines that an attack printed, by what it tried.
func answers(out string) map[string]string {
	said := map[string]string{}
	for line := range strings.Lines(out) {
		if what, answer, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			said[what] = answer
		}
	}
	return said
}

func TestWhatIsSeen(t *testing.T) {
	eachLevel(t, func(t *testing.T, level Level) {
		other := folder(t)
		out, _ := run(t, spec(t, level, "look", "in", "/", "/etc", "/proc", "/root", "/home", "/tmp", other, filepath.Dir(other), "/job"))
		t.Log(out)
		if !strings.Contains(out, "in: data\n") {
			t.Error("its own input is not seen")
		}
		if !strings.Contains(out, "env [ACT=look]") {
			t.Error("the environment is not what was given")
		}
		for line := range strings.Lines(out) {
			path, seen, _ := strings.Cut(strings.TrimSpace(line), ": ")
			if level == Namespaces && path == "/job" && seen != "in out tmp" {
				t.Errorf("/job holds %s", seen)
			}
			if strings.HasPrefix(path, "/") && path != "/job" && path != "/" && seen != "ENOENT" && seen != "EACCES" && !strings.HasPrefix(seen, "go-build") && !strings.HasPrefix(seen, "caos-sandbox-") && seen != "" {
				t.Errorf("%s is seen: %s", path, seen)
			}
		}
		if os.Geteuid() == 0 && (strings.Contains(out, "uid 0") || strings.Contains(out, "gid 0") || !strings.Contains(out, "groups 0")) {
			t.Error("it has root's user or groups")
		}
		if level == Namespaces && !strings.Contains(out, "pid 1 ") {
			t.Error("it is not the first of its processes")
		}
	})
}

func TestFilesCannotBeTouched(t *testing.T) {
	eachLevel(t, func(t *testing.T, level Level) {
		other := folder(t)
		s := spec(t, level, "touch", "/etc/passwd", "/proc/1/environ", filepath.Join(other, "in", "data"), "in/trap", "../../etc/passwd", "in/data")
		if err := os.Symlink("/etc/passwd", filepath.Join(s.Folder, "in", "trap")); err != nil {
			t.Fatal(err)
		}
		out, _ := run(t, s)
		said := answers(out)
		if said["read in/data"] != "done" {
			t.Errorf("its own input: %s", said["read in/data"])
		}
		for _, what := range []string{
			"read /etc/passwd", "read /proc/1/environ", "read " + filepath.Join(other, "in", "data"), "read in/trap", "read ../../etc/passwd",
			"write in", "change in", "mode in", "remove in", "write work", "write root", "write tmp", "change program", "symlink", "hard link", "fifo", "device", "owner", "execute out",
		} {
			switch said[what] {
			case "EPERM", "EACCES", "EROFS", "ENOENT":
			default:
				t.Errorf("%s: %q", what, said[what])
			}
		}
		text, err := os.ReadFile(filepath.Join(s.Folder, "out", "ok"))
		if err != nil || string(text) != "ok" {
			t.Errorf("it cannot write where it may: %q, %v", text, err)
		}
		if text, err := os.ReadFile(filepath.Join(s.Folder, "in", "data")); err != nil || string(text) != "data" {
			t.Errorf("its input is %q now, %v", text, err)
		}
		if err := Take(s.Folder, "out"); err != nil {
			t.Error(err)
		}
		info, err := os.Stat(filepath.Join(s.Folder, "out", "ok"))
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) {
			t.Error("what it wrote is not ours again")
		}
	})
}

func TestCallsAreRefused(t *testing.T) {
	eachLevel(t, func(t *testing.T, level Level) {
		out, exit := run(t, spec(t, level, "calls"))
		said := answers(out)
		if exit.Code != 0 || len(said) < 43 {
			t.Fatalf("exit %+v after %d attempts:\n%s", exit, len(said), out)
		}
		for what, answer := range said {
			switch what {
			case "read a limit", "lock":
				if answer != "done" {
					t.Errorf("%s: %q", what, answer)
				}
			case "dial":
				if answer != "true" {
					t.Error("it dialled")
				}
			default:
				if answer != "EPERM" && answer != "ENOSYS" && answer != "ENOTTY" {
					t.Errorf("%s: %q", what, answer)
				}
			}
		}
	})
}

func TestThreadsAreBounded(t *testing.T) {
	eachLevel(t, func(t *testing.T, level Level) {
		out, exit := run(t, spec(t, level, "threads"))
		if exit.Code == 0 && exit.Signal == nil {
			t.Error("ten thousand threads ran")
		}
		fields := strings.Fields(out)
		if len(fields) == 0 {
			t.Fatal("not even one ran")
		}
		if last, _ := strconv.Atoi(fields[len(fields)-1]); last > 64 && (level == Namespaces || os.Geteuid() == 0) {
			t.Errorf("%d threads ran", last)
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	eachLevel(t, func(t *testing.T, level Level) {
		out, exit := run(t, spec(t, level, "memory"))
		if exit.Code == 0 || strings.Contains(out, "had") {
			t.Errorf("2 GiB were taken of 256 MiB: %+v %s", exit, out)
		}
		t.Logf("%+v", exit)
	})
}

// Without control groups the limit of each process holds.
func TestMemoryIsBoundedWithoutControlGroups(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("hides control groups, which takes root")
	}
	eachLevel(t, func(t *testing.T, level Level) {
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, "hide", program, "memory", folder(t), string(level))
		cmd.Env = []string{"ACT=outer"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		out, err := cmd.Output()
		if err != nil || !strings.Contains(string(out), "exit 2") || strings.Contains(string(out), "had") {
			t.Errorf("%s %v", out, err)
		}
	})
}

func TestFilesAreBounded(t *testing.T) {
	eachLevel(t, func(t *testing.T, level Level) {
		s := spec(t, level, "bigfile")
		out, exit := run(t, s)
		info, err := os.Stat(filepath.Join(s.Folder, "out", "big"))
		if err != nil || info.Size() > s.FileBytes {
			t.Errorf("%v bytes of %d: %+v %s", info.Size(), s.FileBytes, exit, out)
		}
	})
}

func TestProcessorsAreBounded(t *testing.T) {
	eachLevel(t, func(t *testing.T, level Level) {
		ctx, cancel := context.WithTimeout(context.Background(), 600*time.Millisecond)
		defer cancel()
		begin := time.Now()
		p, err := Start(ctx, spec(t, level, "spin"), nil, io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		exit := p.Wait()
		if took := time.Since(begin); exit.CPU > took+took/4 {
			t.Errorf("%s of processor in %s of one", exit.CPU, took)
		}
	})
}

func TestEndOfContextEndsItAtOnce(t *testing.T) {
	eachLevel(t, func(t *testing.T, level Level) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		read, write := io.Pipe()
		p, err := Start(ctx, spec(t, level, "hold"), nil, write, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(read).ReadString('\n'); line != "here\n" {
			t.Fatal(line, err)
		}
		begin := time.Now()
		cancel()
		exit := p.Wait()
		if took := time.Since(begin); took > time.Second || exit.Signal != syscall.SIGKILL {
			t.Errorf("it ended after %s with %+v", took, exit)
		}
		gone(t, p.cmd.Process.Pid)
		if left := leftGroups(); len(left) > 0 {
			t.Errorf("control groups are left: %v", left)
		}
		if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || bytes.Contains(mounts, []byte(" "+workFolder+"/")) {
			t.Errorf("mounts are left: %s %v", mounts, err)
		}
	})
}

// Two runs at once have two users, so that neither can read what the other may, nor signal it.
func TestTwoRunsAtOnce(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("runs have users of their own when root starts them")
	}
	eachLevel(t, func(t *testing.T, level Level) {
		seen := map[string]bool{}
		for range 2 {
			ctx, cancel := context.WithCancel(context.Background())
			s := spec(t, level, "hold")
			p, err := Start(ctx, s, nil, io.Discard, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { cancel(); p.Wait() }()
			info, err := os.Stat(filepath.Join(s.Folder, "out"))
			if err != nil {
				t.Fatal(err)
			}
			owner := info.Sys().(*syscall.Stat_t)
			status, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/status")
			if err != nil {
				t.Fatal(err)
			}
			uid := strconv.Itoa(int(owner.Uid))
			for _, want := range []string{"Uid:\t" + uid + "\t" + uid + "\t" + uid + "\t" + uid + "\n", "CapEff:\t0000000000000000\n", "CapPrm:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
				if !strings.Contains(string(status), want) {
					t.Errorf("%q is not in its status:\n%s", want, status)
				}
			}
			if owner.Uid == 0 || seen[uid] || info.Mode().Perm()&0o007 != 0 {
				t.Errorf("user %s, mode %v", uid, info.Mode())
			}
			seen[uid] = true
		}
	})
}

func TestACrashIsToldFromAnExit(t *testing.T) {
	eachLevel(t, func(t *testing.T, level Level) {
		_, exit := run(t, spec(t, level, "die"))
		if exit.Code == 0 && exit.Signal == nil {
			t.Errorf("%+v", exit)
		}
	})
}

// A host that is killed leaves no process and no control group that the next one does not
// remove.
func TestNothingOutlivesItsHost(t *testing.T) {
	eachLevel(t, func(t *testing.T, level Level) {
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, "as it is", program, "hold", folder(t), string(level))
		cmd.Env = []string{"ACT=outer"}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(stdout).ReadString('\n')
		pid, _ := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "pid ")))
		if pid == 0 {
			t.Fatal(line, err)
		}
		if err := unix.Kill(pid, 0); err != nil {
			t.Fatal("it does not run: ", err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		gone(t, pid)
		run(t, spec(t, level, "look"))
		if left := leftGroups(); len(left) > 0 {
			t.Errorf("control groups are left: %v", left)
		}
	})
}

func gone(t *testing.T, pid int) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Second)
	for !errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		if text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); bytes.Contains(text, []byte(") Z ")) {
			return // dead, and waiting for the host's host to notice
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d is still there", pid)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// leftGroups are control groups of runs whose host is dead or is this test.
func leftGroups() (left []string) {
	for controller, path := range ownGroups() {
		for _, dir := range []string{filepath.Join(cgroupRoot, controller, path), filepath.Join(cgroupRoot, path)} {
			found, _ := filepath.Glob(filepath.Join(dir, cgroupPrefix+strconv.Itoa(os.Getpid())+"-*"))
			left = append(left, found...)
		}
	}
	return left
}

func TestRefusedNamespacesNameTheWayOut(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = []string{"ACT=refused"}
	out, err := cmd.CombinedOutput()
	lines := strings.Split(string(out), "\n")
	if err != nil || len(lines) < 2 {
		t.Fatalf("%s %v", out, err)
	}
	if !strings.Contains(lines[0], "unavailable this machine refuses the namespaces") || !strings.Contains(lines[0], "`sandbox: reduced`") {
		t.Errorf("namespaces: %s", lines[0])
	}
	if strings.TrimSpace(lines[1]) != "reduced:   |" {
		t.Errorf("reduced: %s", lines[1])
	}
}

// Everything holds for a caller that is not root, too.
func TestAsAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("becomes another user, which takes root")
	}
	dir, err := os.MkdirTemp("", "caos-sandbox-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	program, err := copyProgram(dir)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-test.v", "-test.run", "^Test(WhatIsSeen|FilesCannot|CallsAre|MemoryIsBounded|FilesAre|EndOf|ACrash|NothingOut|Processors)")
	cmd.Env = []string{"TMPDIR=" + dir}
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "--- ") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// A run that may start processes leaves none behind.
func TestAFamilyEndsTogether(t *testing.T) {
	eachLevel(t, func(t *testing.T, level Level) {
		dir, err := os.MkdirTemp("", "caos-sandbox-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // a program that its own user must reach
			t.Fatal(err)
		}
		s := spec(t, level, "family")
		if s.Program, err = copyProgram(dir); err != nil {
			t.Fatal(err)
		}
		s.Fork = true
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		read, write := io.Pipe()
		p, err := Start(ctx, s, nil, write, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(read).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "child ") {
			t.Fatal(line, err)
		}
		group := childrenOf(p.cmd.Process.Pid)
		if len(group) == 0 {
			t.Fatal("it has no child")
		}
		cancel()
		p.Wait()
		for _, pid := range group {
			gone(t, pid)
		}
	})
}

// childrenOf lists processes whose parent is pid.
func childrenOf(pid int) (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		status, _ := os.ReadFile("/proc/" + e.Name() + "/status")
		if strings.Contains(string(status), "\nPPid:\t"+strconv.Itoa(pid)+"\n") {
			pids = append(pids, n)
		}
	}
	return pids
}

func TestBadOrders(t *testing.T) {
	for name, change := range map[string]func(*Spec){
		"level":      func(s *Spec) { s.Level = "none" },
		"no program": func(s *Spec) { s.Program = "/nowhere" },
		"no library": func(s *Spec) { s.ReadOnly = append(s.ReadOnly, "/nowhere") },
		"no folder":  func(s *Spec) { s.Folder = "/nowhere" },
		"private program": func(s *Spec) {
			s.Program = filepath.Join(s.Folder, "program")
			if err := os.WriteFile(s.Program, []byte("x"), 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"no inner half": func(s *Spec) {
			s.Init = "/bin/true"
		},
		"two names": func(s *Spec) {
			if os.Geteuid() != 0 {
				s.Level = "none"
			} else if err := os.Link(filepath.Join(s.Folder, "in", "data"), filepath.Join(s.Folder, "in", "again")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		s := spec(t, Namespaces, "look")
		change(&s)
		p, err := Start(t.Context(), s, nil, io.Discard, io.Discard)
		if err == nil {
			t.Errorf("%s: it ran: %+v", name, p.Wait())
			continue
		}
		if kind := caos.KindOf(err); kind != caos.Invalid && kind != caos.Unavailable {
			t.Errorf("%s: %s: %v", name, kind, err)
		}
	}
}

func BenchmarkStart(b *testing.B) {
	for _, level := range levels() {
		b.Run(string(level), func(b *testing.B) {
			s := spec(b, level, "")
			s.Env = []string{"ACT=nothing"}
			for b.Loop() {
				run(b, s)
			}
		})
	}
}
