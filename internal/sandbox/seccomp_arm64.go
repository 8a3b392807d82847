//go:build linux

package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_AARCH64
	triplet   = "aarch64-linux-gnu"
)

// legacy are calls of this architecture alone.
var legacy = []uintptr{unix.SYS_FSTATAT}

// legacyFork are the same for a program that starts others: none.
var legacyFork = []uintptr{}
