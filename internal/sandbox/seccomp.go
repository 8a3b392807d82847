//go:build linux && (amd64 || arm64)

package sandbox

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data; both architectures are little-endian.
const (
	offsetNr   = 0
	offsetArch = 4
	offsetArgs = 16
)

// allowed are the system calls that a program on files and threads needs. Everything else
// is answered ENOSYS, which C libraries meet with an older call, or EPERM where there is
// none: a program that asks for a socket sees that it may not have one.
var allowed = []uintptr{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_PREADV, unix.SYS_PWRITEV,
	unix.SYS_CLOSE, unix.SYS_LSEEK, unix.SYS_DUP, unix.SYS_DUP3, unix.SYS_PIPE2, unix.SYS_FLOCK,
	unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNC_FILE_RANGE, unix.SYS_FALLOCATE, unix.SYS_FADVISE64, unix.SYS_FTRUNCATE, unix.SYS_TRUNCATE,
	unix.SYS_OPENAT, unix.SYS_FSTAT, unix.SYS_STATX, unix.SYS_STATFS, unix.SYS_FSTATFS, unix.SYS_GETDENTS64, unix.SYS_READLINKAT,
	unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_UNLINKAT, unix.SYS_MKDIRAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2,
	unix.SYS_GETCWD, unix.SYS_CHDIR, unix.SYS_UMASK,
	unix.SYS_MMAP, unix.SYS_MPROTECT, unix.SYS_MUNMAP, unix.SYS_MREMAP, unix.SYS_MADVISE, unix.SYS_MSYNC, unix.SYS_MINCORE, unix.SYS_BRK,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGTIMEDWAIT, unix.SYS_SIGALTSTACK,
	unix.SYS_FUTEX, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_SCHED_GETPARAM, unix.SYS_SCHED_GETSCHEDULER, unix.SYS_GETCPU, unix.SYS_MEMBARRIER,
	unix.SYS_SET_ROBUST_LIST, unix.SYS_GET_ROBUST_LIST, unix.SYS_SET_TID_ADDRESS, unix.SYS_RSEQ, unix.SYS_RESTART_SYSCALL,
	unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETRES, unix.SYS_GETTIMEOFDAY, unix.SYS_TIMES,
	unix.SYS_GETPID, unix.SYS_GETPPID, unix.SYS_GETTID, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID,
	unix.SYS_GETRUSAGE, unix.SYS_GETRLIMIT, unix.SYS_SYSINFO, unix.SYS_UNAME, unix.SYS_GETRANDOM,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2, unix.SYS_PPOLL, unix.SYS_PSELECT6,
	unix.SYS_EXECVE, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_SECCOMP, unix.SYS_CLOSE_RANGE,
}

// forking is needed besides by a program that starts others.
var forking = []uintptr{
	unix.SYS_WAIT4, unix.SYS_WAITID, unix.SYS_KILL, unix.SYS_TGKILL, unix.SYS_SETPGID, unix.SYS_GETPGID, unix.SYS_SETSID, unix.SYS_GETSID,
	unix.SYS_FCHDIR, unix.SYS_UTIMENSAT, unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_SEND_SIGNAL,
}

// denied are refused with EPERM, because ENOSYS would say that the kernel is old.
var denied = []uintptr{
	unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_ACCEPT, unix.SYS_ACCEPT4,
	unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_RECVFROM, unix.SYS_RECVMSG,
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT,
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_SYMLINKAT, unix.SYS_LINKAT, unix.SYS_MKNODAT, unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT, unix.SYS_SETXATTR,
	unix.SYS_SETRLIMIT, unix.SYS_SETPRIORITY, unix.SYS_SCHED_SETAFFINITY, unix.SYS_SCHED_SETSCHEDULER,
	unix.SYS_BPF, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_MEMFD_CREATE, unix.SYS_EXECVEAT,
	unix.SYS_KILL, unix.SYS_TKILL, unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETRESUID, unix.SYS_SETRESGID, unix.SYS_SETGROUPS, unix.SYS_CAPSET,
	unix.SYS_IO_URING_SETUP,
}

const (
	retAllow  = unix.SECCOMP_RET_ALLOW
	retKill   = unix.SECCOMP_RET_KILL_PROCESS
	retPerm   = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	retNosys  = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	retNotTTY = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOTTY)
	// namespaceFlags of clone make a namespace.
	namespaceFlags = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET
)

func stmt(code uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: k} }

func jump(code uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: code, Jt: yes, Jf: no, K: k}
}

func load(offset uint32) unix.SockFilter {
	return stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset)
}
func ret(k uint32) unix.SockFilter { return stmt(unix.BPF_RET|unix.BPF_K, k) }
func equal(k uint32, yes, no uint8) unix.SockFilter {
	return jump(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, k, yes, no)
}

func anyBit(k uint32, yes, no uint8) unix.SockFilter {
	return jump(unix.BPF_JMP|unix.BPF_JSET|unix.BPF_K, k, yes, no)
}

// head ends calls by another architecture's numbers, whose meaning would be another.
func head() []unix.SockFilter {
	return []unix.SockFilter{
		load(offsetArch), equal(auditArch, 1, 0), ret(retKill),
		load(offsetNr), jump(unix.BPF_JMP|unix.BPF_JGE|unix.BPF_K, 0x4000_0000, 0, 1), ret(retKill),
	}
}

// on answers one system call; rules must end in a return on every path.
func on(nr uintptr, rules ...unix.SockFilter) []unix.SockFilter {
	return append([]unix.SockFilter{equal(uint32(nr), 0, uint8(len(rules)))}, rules...)
}

// arg is the offset of the low or high half of an argument.
func arg(i uint32) (low, high uint32) { return offsetArgs + 8*i, offsetArgs + 8*i + 4 }

// program is the filter of a run whose process has the given number.
func program(fork bool, pid int) []unix.SockFilter {
	f := head()
	for _, nr := range append(allowed, legacy...) {
		f = append(f, on(nr, ret(retAllow))...)
	}
	low0, _ := arg(0)
	new2, new2High := arg(2)
	f = append(f, on(unix.SYS_IOCTL, ret(retNotTTY))...)
	// Whoever owns a descriptor gets a signal of any kind when there is something to read:
	// without a process namespace that could be any process of the same user.
	cmd, _ := arg(1)
	f = append(f, on(unix.SYS_FCNTL, load(cmd), equal(unix.F_SETOWN, 4, 0), equal(unix.F_SETOWN_EX, 3, 0), equal(unix.F_SETSIG, 2, 0), equal(unix.F_NOTIFY, 1, 0),
		ret(retAllow), ret(retPerm))...)
	// Limits may be read, not set.
	f = append(f, on(unix.SYS_PRLIMIT64, load(new2), equal(0, 0, 3), load(new2High), equal(0, 0, 1), ret(retAllow), ret(retPerm))...)
	f = append(f, on(unix.SYS_PRCTL, load(low0), equal(unix.PR_SET_NAME, 4, 0), equal(unix.PR_GET_NAME, 3, 0), equal(unix.PR_SET_VMA, 2, 0),
		equal(unix.PR_SET_NO_NEW_PRIVS, 1, 0), ret(retPerm), ret(retAllow))...)
	if fork {
		for _, nr := range append(forking, legacyFork...) {
			f = append(f, on(nr, ret(retAllow))...)
		}
		f = append(f, on(unix.SYS_CLONE, load(low0), anyBit(namespaceFlags, 0, 1), ret(retPerm), ret(retAllow))...)
	} else {
		f = append(f, on(unix.SYS_CLONE, load(low0), anyBit(namespaceFlags, 2, 0), anyBit(unix.CLONE_THREAD, 0, 1), ret(retAllow), ret(retPerm))...)
		f = append(f, on(unix.SYS_TGKILL, load(low0), equal(uint32(pid), 0, 1), ret(retAllow), ret(retPerm))...)
		f = append(f, on(unix.SYS_KILL, load(low0), equal(uint32(pid), 0, 1), ret(retAllow), ret(retPerm))...)
	}
	for _, nr := range denied {
		f = append(f, on(nr, ret(retPerm))...)
	}
	return append(f, ret(retNosys))
}

// denyOnly is a filter that refuses a few calls and leaves the others to those before it.
func denyOnly(refused []uintptr) []unix.SockFilter {
	f := head()
	for _, nr := range refused {
		f = append(f, on(nr, ret(retPerm))...)
	}
	return append(f, ret(retAllow))
}

func install(filter []unix.SockFilter, flags uintptr) error {
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return errno
	}
	return nil
}
