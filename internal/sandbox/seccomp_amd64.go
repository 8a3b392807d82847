//go:build linux

package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_X86_64
	triplet   = "x86_64-linux-gnu"
)

// legacy are calls that later architectures no longer have.
var legacy = []uintptr{
	unix.SYS_OPEN, unix.SYS_STAT, unix.SYS_LSTAT, unix.SYS_NEWFSTATAT, unix.SYS_ACCESS, unix.SYS_UNLINK, unix.SYS_RMDIR, unix.SYS_MKDIR,
	unix.SYS_RENAME, unix.SYS_READLINK, unix.SYS_DUP2, unix.SYS_PIPE, unix.SYS_POLL, unix.SYS_SELECT, unix.SYS_EPOLL_WAIT,
	unix.SYS_EPOLL_CREATE, unix.SYS_ARCH_PRCTL, unix.SYS_TIME,
}

// legacyFork are the same for a program that starts others.
var legacyFork = []uintptr{unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_GETPGRP, unix.SYS_CHMOD}
