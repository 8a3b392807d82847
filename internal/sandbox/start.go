//go:build linux && (amd64 || arm64)

package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"caos"
)

// The inner half knows itself by both: the second would stop any other program, such as a
// test binary that does not call Main, at once with a usage error.
const (
	innerName = "caos-sandbox"
	innerFlag = "-caos-sandbox-inner-half"
)

// Descriptors of the inner half.
const (
	specFD   = 3 // its orders; the other end stays open as long as the outer half lives
	statusFD = 4 // why it could not start; closed unwritten when the program executes
)

// killGrace is how long a killed run may take to be gone and its pipes drained.
const killGrace = 2 * time.Second

// Process is a started run.
type Process struct {
	cmd    *exec.Cmd
	group  *cgroup
	family bool
	peak   atomic.Int64
	ended  chan struct{}
	exit   Exit
}

// protocol is the form of orders. The halves may be of different builds; an inner half that
// does not know every order by name refuses, rather than holding less than was asked for.
const protocol = 3

// otherBuild is how an inner half begins to say that it does not know its orders.
const otherBuild = "the sandboxed program and the one that starts it are of different builds"

// orders is what the outer half tells the inner one.
type orders struct {
	Protocol int
	Spec     Spec
	Mounts   []mount
	UID      int  // -1: stays what it is
	Drop     bool // has capabilities to give up
	Data     bool // hold the memory by RLIMIT_DATA, for want of a control group
	Pin      bool // hold the processors by affinity, for want of a control group
	Probe    bool // build everything, execute nothing

	program, ruleset int // descriptors of the inner half at the level reduced
}

// mount is one thing that is visible inside.
type mount struct {
	Source string // resolved
	Target string
	Folder bool
	Write  bool
	Exec   bool
}

// Start starts a run and returns when the program executes in its sandbox. The end of ctx
// ends the whole tree of processes at once, and so does the end of this process, however
// it comes. What Start needs to change on disk is the ownership of Folder's subfolders
// when the caller is root.
func Start(ctx context.Context, s Spec, stdin io.Reader, stdout, stderr io.Writer) (*Process, error) {
	return start(ctx, orders{Protocol: protocol, Spec: s}, stdin, stdout, stderr)
}

func start(ctx context.Context, o orders, stdin io.Reader, stdout, stderr io.Writer) (*Process, error) {
	if err := o.prepare(); err != nil {
		return nil, err
	}
	group, err := newCgroup(o.Spec)
	if err != nil {
		return nil, err
	}
	o.Data, o.Pin = o.Spec.MemoryBytes > 0 && !group.memory, o.Spec.Threads > 0 && !group.cpu
	p := &Process{group: group, family: o.family(), ended: make(chan struct{})}
	orderRead, orderWrite, err := os.Pipe()
	if err != nil {
		group.remove()
		return nil, err
	}
	statusRead, statusWrite, err := os.Pipe()
	if err != nil {
		closeAll(orderRead, orderWrite)
		group.remove()
		return nil, err
	}
	defer statusRead.Close()
	p.cmd = o.command(ctx)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdin, stdout, stderr
	p.cmd.ExtraFiles = []*os.File{orderRead, statusWrite}
	started := make(chan error)
	go p.hold(started, orderWrite)
	err = <-started
	closeAll(orderRead, statusWrite)
	if err != nil {
		closeAll(orderWrite)
		group.remove()
		return nil, o.refused(err)
	}
	if err := p.command(o, orderWrite, statusRead); err != nil {
		p.Kill()
		p.Wait()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	return p, nil
}

// command gives the inner half its orders and waits until the program executes.
func (p *Process) command(o orders, to io.Writer, from io.Reader) error {
	if err := p.group.add(p.cmd.Process.Pid); err != nil {
		return caos.Wrap(caos.Unavailable, err, "the run cannot be put into its control group")
	}
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if _, err := to.Write(append(text, '\n')); err != nil {
		return o.refused(fmt.Errorf("the inner half ended before it had its orders: %w", err))
	}
	answer, err := io.ReadAll(io.LimitReader(from, 4096))
	said, ready := strings.CutPrefix(string(answer), held)
	switch {
	case err != nil:
		return o.refused(err)
	case ready && said == "": // then closed by execve
		return nil
	case said == "":
		said = "the program is no inner half, or ended before everything held"
	}
	return o.refused(errors.New(said))
}

// hold starts the inner half and waits for its end on one and the same thread: the kernel
// sends the signal of a dead parent when the thread that started the child is gone. It
// keeps the orders' pipe open, by whose other end the inner half sees that we live.
func (p *Process) hold(started chan<- error, alive *os.File) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	_ = p.cmd.Wait()
	if p.family { // those that it left behind
		_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
	}
	// How it ended is in ProcessState; a copy that failed is the caller's reader or writer.
	closeAll(alive)
	state := p.cmd.ProcessState
	p.exit = Exit{Code: state.ExitCode(), PeakBytes: p.peak.Load(), CPU: state.UserTime() + state.SystemTime()}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		p.exit.Signal = status.Signal()
	}
	p.exit.MemoryKilled = p.group.outOfMemory()
	p.group.remove()
	close(p.ended)
}

// Wait waits for the end of the run and of everything it started.
func (p *Process) Wait() Exit {
	<-p.ended
	return p.exit
}

// Ended is closed when the run has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Kill ends the run and everything it started. It does not wait.
func (p *Process) Kill() {
	select {
	case <-p.ended:
	default:
		_ = kill(p.cmd, p.family)
	}
}

// kill ends a run's first process, and with it its process namespace or, where it has none
// and may have started others, its process group.
func kill(cmd *exec.Cmd, family bool) error {
	if family {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	}
	return cmd.Process.Kill() // knows whether the process is still the one that was started
}

// Memory returns the largest and the present resident memory of the run so far, in bytes;
// 0 when it has ended. The kernel's count for a child starts with its parent's, so this is
// read from the process itself.
func (p *Process) Memory() (peak, now int64) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "status"))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, "VmHWM:"):
			peak = kilobytes(line)
		case strings.HasPrefix(line, "VmRSS:"):
			now = kilobytes(line)
		}
	}
	if peak > p.peak.Load() {
		p.peak.Store(peak)
	}
	return peak, now
}

func kilobytes(line string) int64 {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return 0
	}
	n, _ := strconv.ParseInt(fields[1], 10, 64)
	return n << 10
}

// family reports whether a run may have processes that do not end with its first.
func (o *orders) family() bool { return o.Spec.Level == Reduced && o.Spec.Fork }

func (o *orders) command(ctx context.Context) *exec.Cmd {
	// The context's end is acted on by Cancel.
	cmd := exec.CommandContext(ctx, o.Spec.Init)
	cmd.Args = []string{innerName, innerFlag}
	cmd.Env = []string{"GOMAXPROCS=1", "GOGC=off"} // of the inner half alone
	cmd.Dir = "/"
	cmd.WaitDelay = killGrace
	cmd.Cancel = func() error { return kill(cmd, o.family()) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
	if o.Spec.Level == Namespaces {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
			syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS | syscall.CLONE_NEWUSER
		if os.Geteuid() == 0 {
			cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = sameIDs("/proc/self/uid_map"), sameIDs("/proc/self/gid_map")
			cmd.SysProcAttr.GidMappingsEnableSetgroups = true
		} else {
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
			cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SETPCAP}
		}
	}
	return cmd
}

// refused turns the failure to build a sandbox into an error that names the way out.
func (o *orders) refused(cause error) error {
	if strings.HasPrefix(cause.Error(), otherBuild) { // the machine is not to blame
		return caos.Wrap(caos.Unavailable, cause, "%s and %s are of different builds", filepath.Base(os.Args[0]), filepath.Base(o.Spec.Program)).
			WithHint("build both together with `make build`, and install both").WithRule("sandbox-build")
	}
	if o.Spec.Level == Reduced {
		return caos.Wrap(caos.Unavailable, cause, "this machine cannot hold a run even at the sandbox level reduced: %s", firstLine(cause)).
			WithHint("the kernel must have seccomp; docs/worker.md lists what each level needs").WithRule("sandbox")
	}
	return caos.Wrap(caos.Unavailable, cause, "this machine refuses the namespaces that a sandboxed run needs: %s", firstLine(cause)).
		WithHint("allow user namespaces to this service (docs/worker.md says how), or set `sandbox: reduced` in caos.yaml to accept less isolation").
		WithRule("sandbox")
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	return line
}

// Check says whether this machine can run a sandbox of a level, by building one around
// nothing; the error names the setting that accepts less. The running program must be one
// that calls Main.
func Check(ctx context.Context, level Level) error {
	program, err := os.Executable()
	if err != nil {
		return caos.Wrap(caos.Unavailable, err, "the running program cannot be found")
	}
	var said bytes.Buffer
	p, err := start(ctx, orders{Protocol: protocol, Spec: Spec{Program: program, Level: level}, Probe: true}, nil, io.Discard, &said)
	if err != nil {
		return err
	}
	if exit := p.Wait(); exit.Code != 0 {
		return (&orders{Spec: Spec{Level: level}}).refused(errors.New("the inner half ended: " + said.String()))
	}
	return nil
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
