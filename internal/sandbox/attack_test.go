//go:build linux && (amd64 || arm64)

package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"caos"
)

// attack is what this test binary does when it is not a test: inside a sandbox what a
// program that was fooled would try, outside what a host does to a sandbox. Each line it
// prints is one attempt and its answer.
func attack(act string, args []string) int {
	switch act {
	case "look":
		look(args)
	case "touch":
		touch(args)
	case "calls":
		calls()
	case "hold": // says hello, and stays
		fmt.Println("here")
		_, _ = io.Copy(io.Discard, os.Stdin)
		select {}
	case "threads":
		threads()
	case "family":
		child := exec.Command(os.Args[0])
		child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
		child.Env = []string{"ACT=spin"}
		if err := child.Start(); err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println("child", child.Process.Pid)
		_ = child.Wait()
	case "memory":
		return fill()
	case "spin":
		for range 4 {
			go func() {
				for n := 0; ; n++ {
					_ = n
				}
			}()
		}
		select {}
	case "bigfile":
		f, err := os.Create("out/big")
		if err == nil {
			_, err = f.Write(make([]byte, 2<<20))
		}
		fmt.Println(err)
	case "die":
		_ = unix.Kill(os.Getpid(), unix.SIGSEGV)
		var p *int
		*p = 1
	case "outer":
		return outer(args)
	case "refused":
		return refused()
	}
	return 0
}

func look(args []string) {
	for _, path := range args {
		entries, err := os.ReadDir(path)
		fmt.Print(path, ":")
		if err != nil {
			fmt.Print(" ", errno(err))
		}
		for _, e := range entries {
			fmt.Print(" ", e.Name())
		}
		fmt.Println()
	}
	fmt.Println("pid", os.Getpid(), "uid", os.Getuid(), "gid", os.Getgid(), "groups", len(groups()), "env", os.Environ())
}

func groups() []int {
	ids, _ := syscall.Getgroups()
	return ids
}

func errno(err error) string {
	if err == nil {
		return "done"
	}
	var e syscall.Errno
	for err != nil {
		if n, ok := err.(syscall.Errno); ok {
			e = n
			break
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err.Error()
		}
		err = u.Unwrap()
	}
	return unix.ErrnoName(e)
}

// touch tries to read and to change files.
func touch(args []string) {
	for _, path := range args {
		_, err := os.ReadFile(path)
		fmt.Println("read " + path + "\t" + errno(err))
	}
	say := func(what string, err error) { fmt.Println(what + "\t" + errno(err)) }
	say("write in", os.WriteFile("in/new", nil, 0o600))
	say("change in", os.WriteFile("in/data", []byte("x"), 0o600))
	say("mode in", os.Chmod("in/data", 0o777))
	say("remove in", os.Remove("in/data"))
	say("write work", os.WriteFile("new", nil, 0o600))
	say("write root", os.WriteFile("/new", nil, 0o600))
	say("write tmp", os.WriteFile("/tmp/new", nil, 0o600))
	say("change program", os.WriteFile(os.Args[0], []byte("x"), 0o600))
	say("symlink", os.Symlink("/etc/passwd", "out/link"))
	say("hard link", os.Link("in/data", "out/link"))
	say("fifo", unix.Mkfifo("out/fifo", 0o600))
	say("device", unix.Mknod("out/null", unix.S_IFCHR|0o600, 0x103))
	say("owner", os.Chown("out", 0, 0))
	say("write out", os.WriteFile("out/ok", []byte("ok"), 0o600))
	say("execute out", unix.Exec("out/ok", []string{"x"}, nil))
}

// calls tries what no filter may let through.
func calls() {
	say := func(what string, err error) { fmt.Println(what + "\t" + errno(err)) }
	raw := func(what string, nr uintptr, a ...uintptr) {
		var args [6]uintptr
		copy(args[:], a)
		_, _, e := unix.Syscall6(nr, args[0], args[1], args[2], args[3], args[4], args[5])
		if e != 0 {
			say(what, e)
		} else {
			fmt.Println(what + "\tdone")
		}
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6, unix.AF_UNIX, unix.AF_NETLINK, unix.AF_PACKET, unix.AF_VSOCK} {
		_, err := unix.Socket(family, unix.SOCK_STREAM, 0)
		say("socket "+strconv.Itoa(family), err)
	}
	_, err := net.DialTimeout("tcp", "127.0.0.1:22", time.Second)
	fmt.Println("dial\t" + strconv.FormatBool(err != nil))
	start := exec.Command(os.Args[0])
	start.Stdin, start.Stdout, start.Stderr = os.Stdin, os.Stdout, os.Stderr
	say("start a process", start.Run())
	raw("fork", unix.SYS_CLONE, uintptr(unix.SIGCHLD))
	raw("clone3", unix.SYS_CLONE3, 0, 0)
	raw("unshare", unix.SYS_UNSHARE, unix.CLONE_NEWUSER)
	raw("setns", unix.SYS_SETNS, 0, 0)
	raw("thread in a namespace", unix.SYS_CLONE, unix.CLONE_THREAD|unix.CLONE_NEWUSER)
	raw("mount", unix.SYS_MOUNT, 0, 0, 0, 0, 0)
	raw("chroot", unix.SYS_CHROOT, 0)
	raw("ptrace", unix.SYS_PTRACE, unix.PTRACE_TRACEME)
	raw("process_vm_readv", unix.SYS_PROCESS_VM_READV, 1)
	raw("setuid 0", unix.SYS_SETUID, 0)
	raw("setresuid 0", unix.SYS_SETRESUID, 0, 0, 0)
	raw("bpf", unix.SYS_BPF)
	raw("io_uring", unix.SYS_IO_URING_SETUP, 1, 0)
	raw("userfaultfd", unix.SYS_USERFAULTFD)
	raw("keyctl", unix.SYS_KEYCTL)
	raw("perf", unix.SYS_PERF_EVENT_OPEN)
	raw("memfd", unix.SYS_MEMFD_CREATE)
	raw("execveat", unix.SYS_EXECVEAT)
	raw("module", unix.SYS_INIT_MODULE)
	raw("reboot", unix.SYS_REBOOT)
	raw("kill all", unix.SYS_KILL, ^uintptr(0), 9)
	raw("kill parent", unix.SYS_KILL, uintptr(os.Getppid()), 9)
	raw("tgkill another", unix.SYS_TGKILL, 2, 2, 9)
	raw("signals of a pipe to another", unix.SYS_FCNTL, 0, unix.F_SETOWN, uintptr(os.Getppid()))
	raw("signals of a pipe to a thread", unix.SYS_FCNTL, 0, unix.F_SETOWN_EX, 0)
	raw("another signal of a pipe", unix.SYS_FCNTL, 0, unix.F_SETSIG, uintptr(unix.SIGKILL))
	raw("signals of a folder", unix.SYS_FCNTL, 0, unix.F_NOTIFY, 1)
	raw("affinity", unix.SYS_SCHED_SETAFFINITY, 0)
	raw("ioctl TIOCSTI", unix.SYS_IOCTL, 0, unix.TIOCSTI, 0)
	raw("new filter of another's", unix.SYS_PIDFD_GETFD, 0, 0, 0)
	limit := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	say("raise a limit", unix.Prlimit(0, unix.RLIMIT_DATA, &limit, nil))
	say("read a limit", unix.Prlimit(0, unix.RLIMIT_CORE, nil, &limit))
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: 1, Permitted: 1}}
	say("capset", unix.Capset(&header, &data[0]))
	say("lock", Lock())
	say("execute after lock", unix.Exec(os.Args[0], os.Args, nil))
}

func threads() {
	var wait sync.WaitGroup
	stop := make(chan struct{})
	for i := range 10_000 {
		wait.Add(1)
		go func() {
			runtime.LockOSThread()
			if i%16 == 0 {
				fmt.Println(i)
			}
			wait.Done()
			<-stop
		}()
		wait.Wait()
	}
}

// fill takes memory in steps, so that what is held can be seen.
func fill() int {
	var all [][]byte
	for range 64 {
		b := make([]byte, 32<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		all = append(all, b)
	}
	fmt.Println("had", len(all)*32, "MiB")
	return 0
}

// outer is a host: it starts a run and tells its process, so that a test can kill the host.
// With "hide" it has no control groups.
func outer(args []string) int {
	if args[0] == "hide" {
		if err := unix.Mount("tmpfs", cgroupRoot, "tmpfs", 0, ""); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	s := Spec{Program: args[1], Env: []string{"ACT=" + args[2]}, Folder: args[3], Write: []string{"out"}, MemoryBytes: 256 << 20, Threads: 1, Level: Level(args[4])}
	libraries, err := Libraries(args[1])
	if err != nil {
		fmt.Println(err)
		return 1
	}
	s.ReadOnly = libraries
	read, _, err := os.Pipe()
	if err != nil {
		return 1
	}
	var out bytes.Buffer
	p, err := Start(context.Background(), s, read, &out, os.Stderr)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("pid", p.cmd.Process.Pid)
	exit := p.Wait()
	fmt.Println("exit", exit.Code, exit.Signal, exit.MemoryKilled, strings.TrimSpace(out.String()))
	return 0
}

// refused is a host that may not make namespaces: a filter answers clone as hardened
// containers do. At the other level it runs.
func refused() int {
	runtime.LockOSThread()
	low, _ := arg(0)
	filter := append(head(), on(unix.SYS_CLONE, load(low), anyBit(namespaceFlags, 0, 1), ret(retPerm), ret(retAllow))...)
	filter = append(filter, on(unix.SYS_CLONE3, ret(retNosys))...)
	filter = append(filter, ret(retAllow))
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		fmt.Println(err)
		return 1
	}
	if err := install(filter, unix.SECCOMP_FILTER_FLAG_TSYNC); err != nil {
		fmt.Println(err)
		return 1
	}
	for _, level := range levels() {
		err := Check(context.Background(), level)
		e := caos.AsError(err)
		if err == nil {
			e = &caos.Error{}
		}
		fmt.Printf("%s: %s %s | %s\n", level, e.Kind, e.Message, e.Hint)
	}
	return 0
}

// copyProgram puts this test binary where every user can run it.
func copyProgram(dir string) (string, error) {
	from, err := os.Executable()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return "", err
	}
	to := filepath.Join(dir, "program")
	return to, os.WriteFile(to, text, 0o755)
}
