//go:build linux && (amd64 || arm64)

package sandbox

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// held is what an inner half says when everything holds, before it executes the program.
// What it says after that is why it could not.
const held = "held\n"

// Main is the first statement of a program that can be an inner half. In any other process
// it returns at once.
func Main() {
	if len(os.Args) != 2 || os.Args[0] != innerName || os.Args[1] != innerFlag {
		return
	}
	// Privileges, filters and the signal of a dead parent belong to a thread; execve
	// makes this one the whole process.
	runtime.LockOSThread()
	unix.CloseOnExec(statusFD)
	status := os.NewFile(statusFD, "status")
	if err := become(status); err != nil {
		fmt.Fprint(status, err)
		os.Exit(126)
	}
	os.Exit(0)
}

func become(status io.Writer) error {
	pipe := os.NewFile(specFD, "orders")
	line, err := bufio.NewReaderSize(pipe, 64<<10).ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("orders: %w", err)
	}
	var o orders
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&o); err != nil {
		return fmt.Errorf("%s: %w", otherBuild, err)
	}
	if o.Protocol != protocol {
		return fmt.Errorf("%s: it was given orders of form %d and knows form %d", otherBuild, o.Protocol, protocol)
	}
	var steps []step
	if o.Spec.Level == Namespaces {
		steps = append(steps, step{"new root", o.root})
	} else {
		steps = append(steps, step{"folder", o.folder}, step{"landlock rules", o.rules})
	}
	steps = append(steps, step{"limits", o.limits}, step{"capabilities", o.capabilities})
	if o.Spec.Level == Reduced {
		steps = append(steps, step{"landlock", o.restrict})
	}
	steps = append(steps, step{"parent", o.parent}, step{"system call filter", o.filter})
	// The first may take the folder away that the last ones would be read from.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0) // the first to go, before the server
	for _, s := range steps {
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if _, err := io.WriteString(status, held); err != nil || o.Probe {
		return err
	}
	path := o.Spec.Program
	if o.program > 0 {
		path = fmt.Sprintf("/proc/self/fd/%d", o.program)
	}
	argv := append([]string{o.Spec.Program}, o.Spec.Args...)
	return fmt.Errorf("execute %s: %w", o.Spec.Program, unix.Exec(path, argv, o.Spec.Env))
}

type step struct {
	name string
	do   func() error
}

// folder goes, without a root of its own, where the run works, and takes hold of the
// program: the user that the run becomes may not be able to walk to either.
func (o *orders) folder() (err error) {
	if o.program, err = unix.Open(o.Spec.Program, unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("%s: %w", o.Spec.Program, err)
	}
	if o.Spec.Folder == "" {
		return nil
	}
	return unix.Chdir(o.Spec.Folder)
}

// root builds a root that holds what the orders name, moves into it and forgets the host's.
func (o *orders) root() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	base, err := mountPoint()
	if err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", base, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=1m,nr_inodes=4k,mode=0755"); err != nil {
		return fmt.Errorf("tmpfs: %w", err)
	}
	// The host's root goes below the new one, where every source can still be found,
	// also those that the new root's mount point hides.
	old := fmt.Sprintf("host-%x", rand.Uint64()) //nolint:gosec // not a secret
	if err := os.Mkdir(filepath.Join(base, old), 0o700); err != nil {
		return err
	}
	if err := unix.PivotRoot(base, filepath.Join(base, old)); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	for _, m := range o.Mounts {
		if err := m.bind("/" + old); err != nil {
			return fmt.Errorf("%s: %w", m.Target, err)
		}
	}
	if err := os.MkdirAll(workFolder, 0o755); err != nil {
		return err
	}
	if err := unix.Unmount("/"+old, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the host: %w", err)
	}
	if err := os.Remove("/" + old); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("read-only root: %w", err)
	}
	if err := unix.Sethostname([]byte("sandbox")); err != nil {
		return err
	}
	return unix.Chdir(workFolder)
}

func mountPoint() (string, error) {
	for _, path := range []string{"/tmp", "/mnt", "/run", "/usr", "/dev"} {
		if info, err := os.Lstat(path); err == nil && info.IsDir() {
			return path, nil
		}
	}
	return "", errors.New("the host has no folder to mount the new root on")
}

func (m mount) bind(host string) error {
	if err := os.MkdirAll(filepath.Dir(m.Target), 0o755); err != nil {
		return err
	}
	if m.Folder {
		if err := os.MkdirAll(m.Target, 0o755); err != nil {
			return err
		}
	} else if err := os.WriteFile(m.Target, nil, 0o644); err != nil {
		return err
	}
	if err := unix.Mount(host+m.Source, m.Target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if !m.Write {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if !m.Exec {
		attr.Attr_set |= unix.MOUNT_ATTR_NOEXEC
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, m.Target, unix.AT_RECURSIVE, &attr); err != nil {
		return fmt.Errorf("mount attributes (Linux 5.12 or later has them): %w", err)
	}
	return nil
}

// limits sets what the kernel counts per process.
func (o *orders) limits() error {
	s := o.Spec
	limits := map[int]uint64{
		unix.RLIMIT_CORE: 0, unix.RLIMIT_MEMLOCK: 0, unix.RLIMIT_MSGQUEUE: 0,
		unix.RLIMIT_NOFILE: uint64(s.OpenFiles),
	}
	if s.FileBytes > 0 {
		limits[unix.RLIMIT_FSIZE] = uint64(s.FileBytes)
	}
	// Without namespaces and a user of its own, a run's processes are counted with all
	// others of its user.
	if o.UID >= 0 || s.Level == Namespaces {
		limits[unix.RLIMIT_NPROC] = uint64(s.Processes)
	}
	if o.Data {
		limits[unix.RLIMIT_DATA] = uint64(s.MemoryBytes) + dataSlack
	}
	for resource, n := range limits {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			return fmt.Errorf("limit %d to %d: %w", resource, n, err)
		}
	}
	if o.Pin {
		return pin(s.Threads)
	}
	return nil
}

// dataSlack is what a process of many threads reserves without using: their stacks and the
// allocator's arenas.
const dataSlack = 256 << 20

// pin restricts the run to as many processors as it may have threads, chosen by chance.
func pin(threads int) error {
	var have unix.CPUSet
	if err := unix.SchedGetaffinity(0, &have); err != nil {
		return err
	}
	var cpus []int
	for i := range len(have) * int(unsafe.Sizeof(have[0])) * 8 {
		if have.IsSet(i) {
			cpus = append(cpus, i)
		}
	}
	if threads >= len(cpus) {
		return nil
	}
	rand.Shuffle(len(cpus), func(i, j int) { cpus[i], cpus[j] = cpus[j], cpus[i] })
	var want unix.CPUSet
	for _, cpu := range cpus[:threads] {
		want.Set(cpu)
	}
	return unix.SchedSetaffinity(0, &want)
}

// capabilities gives up every privilege, for good.
func (o *orders) capabilities() error {
	if o.Drop {
		for c := range 64 {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); errors.Is(err, unix.EINVAL) {
				break // the kernel has no more
			} else if err != nil {
				return fmt.Errorf("bounding set: %w", err)
			}
		}
	}
	if o.UID >= 0 {
		id := uintptr(o.UID)
		for _, call := range []struct {
			nr      uintptr
			a, b, c uintptr
		}{{unix.SYS_SETGROUPS, 0, 0, 0}, {unix.SYS_SETRESGID, id, id, id}, {unix.SYS_SETRESUID, id, id, id}} {
			if _, _, errno := unix.RawSyscall(call.nr, call.a, call.b, call.c); errno != 0 {
				return fmt.Errorf("user %d: %w", o.UID, errno)
			}
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("ambient set: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return err
	}
	unix.Umask(0o077)
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// parent asks for the parent's death once more, because a change of user forgets it, and
// makes sure that it was not dead before.
func (o *orders) parent() error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	fds := []unix.PollFd{{Fd: specFD, Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, 0); err != nil && !errors.Is(err, unix.EINTR) {
		return err
	}
	if fds[0].Revents&unix.POLLHUP != 0 {
		return errors.New("the parent is gone")
	}
	return unix.Close(specFD)
}

// rules says which of the host's files are left, where the kernel has Landlock: those that
// the orders name. The user that the run becomes could not open all of them.
func (o *orders) rules() error {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return nil // a kernel without it: docs/worker.md says what that leaves open
	}
	read := uint64(unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR)
	write := uint64(unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG)
	never := uint64(unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO |
		unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_MAKE_SYM)
	if abi >= 2 {
		write |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		write |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: read | write | never | unix.LANDLOCK_ACCESS_FS_EXECUTE}
	size := unsafe.Sizeof(attr.Handled_access_fs)
	if abi >= 4 {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
		size += unsafe.Sizeof(attr.Handled_access_net)
	}
	ruleset, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return errno
	}
	unix.CloseOnExec(int(ruleset))
	o.ruleset = int(ruleset)
	for _, m := range o.Mounts {
		access := read
		if m.Exec {
			access |= unix.LANDLOCK_ACCESS_FS_EXECUTE
		}
		if m.Write {
			access |= write
		}
		if err := allow(int(ruleset), m, access); err != nil {
			return fmt.Errorf("%s: %w", m.Source, err)
		}
	}
	return nil
}

// restrict leaves no other files than the rules say.
func (o *orders) restrict() error {
	if o.ruleset == 0 {
		return nil
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(o.ruleset), 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func allow(ruleset int, m mount, access uint64) error {
	fd, err := unix.Open(m.Source, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if !m.Folder {
		access &= unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_EXECUTE
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// filter installs the system call filter on this thread, and with it on the program.
func (o *orders) filter() error {
	return install(program(o.Spec.Fork, os.Getpid()), 0)
}

// Lock takes from the calling process what only its start needed: executing programs. It
// is called by the sandboxed program itself, before it reads anything from outside.
func Lock() error {
	refused := []uintptr{unix.SYS_EXECVE, unix.SYS_EXECVEAT}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil && !slices.Contains([]error{unix.EPERM, unix.ENOSYS}, err) {
		return err
	}
	return install(denyOnly(refused), unix.SECCOMP_FILTER_FLAG_TSYNC)
}
