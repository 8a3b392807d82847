//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	cgroupRoot   = "/sys/fs/cgroup"
	cgroupPrefix = "caos-run-" // then the number of the process that made it
	cpuPeriod    = 100_000     // microseconds
)

// cgroup is the control group of a run, in one hierarchy (version 2) or in several
// (version 1), or in none where this process may not make any.
type cgroup struct {
	folders     []string
	memory, cpu bool // held by it
	oom         string
}

// newCgroup makes a control group that holds what it can. Having none is no error: limits
// per process hold then.
func newCgroup(s Spec) (*cgroup, error) {
	g := &cgroup{}
	if s.MemoryBytes <= 0 && s.Threads <= 0 {
		return g, nil
	}
	name := fmt.Sprintf("%s%d-%x", cgroupPrefix, os.Getpid(), rand.Uint64()) //nolint:gosec // not a secret
	own := ownGroups()
	if path, ok := own[""]; ok && exists(filepath.Join(cgroupRoot, "cgroup.controllers")) {
		g.unified(filepath.Join(cgroupRoot, path), name, s)
		return g, nil
	}
	if path, ok := own["memory"]; ok && s.MemoryBytes > 0 {
		limit := strconv.FormatInt(s.MemoryBytes, 10)
		if dir := g.child(filepath.Join(cgroupRoot, "memory"), path, name); dir != "" && set(dir, "memory.limit_in_bytes", limit) == nil {
			_ = set(dir, "memory.memsw.limit_in_bytes", limit) // absent without swap accounting
			g.memory, g.oom = true, filepath.Join(dir, "memory.oom_control")
		}
	}
	if path, ok := own["cpu"]; ok && s.Threads > 0 && s.Threads < runtime.NumCPU() {
		if dir := g.child(filepath.Join(cgroupRoot, "cpu"), path, name); dir != "" && set(dir, "cpu.cfs_quota_us", strconv.Itoa(s.Threads*cpuPeriod)) == nil {
			g.cpu = true
		}
	}
	if path, ok := own["pids"]; ok {
		if dir := g.child(filepath.Join(cgroupRoot, "pids"), path, name); dir != "" {
			_ = set(dir, "pids.max", strconv.Itoa(s.Processes)) // RLIMIT_NPROC holds as well
		}
	}
	return g, nil
}

// unified makes the group in a version 2 hierarchy: below this process's own group if it
// may have members and children both, else beside it, as systemd's delegation wants it.
func (g *cgroup) unified(own, name string, s Spec) {
	for _, parent := range []string{own, filepath.Dir(own)} {
		if parent == filepath.Dir(cgroupRoot) {
			continue
		}
		sweep(parent)
		dir := filepath.Join(parent, name)
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		if !exists(filepath.Join(dir, "memory.max")) {
			_ = set(parent, "cgroup.subtree_control", "+memory +pids +cpu")
		}
		if s.MemoryBytes > 0 && set(dir, "memory.max", strconv.FormatInt(s.MemoryBytes, 10)) == nil {
			_ = set(dir, "memory.swap.max", "0")
			_ = set(dir, "memory.oom.group", "1")
			g.memory, g.oom = true, filepath.Join(dir, "memory.events")
		}
		g.cpu = s.Threads > 0 && set(dir, "cpu.max", fmt.Sprintf("%d %d", s.Threads*cpuPeriod, cpuPeriod)) == nil
		_ = set(dir, "pids.max", strconv.Itoa(s.Processes))
		if g.memory || g.cpu {
			g.folders = append(g.folders, dir)
			return
		}
		_ = unix.Rmdir(dir)
	}
}

// child makes a group below this process's own in a version 1 hierarchy.
func (g *cgroup) child(hierarchy, own, name string) string {
	parent := filepath.Join(hierarchy, own)
	if !exists(parent) { // the paths are the host's, the mount is ours
		parent = hierarchy
	}
	sweep(parent)
	dir := filepath.Join(parent, name)
	if os.Mkdir(dir, 0o755) != nil {
		return ""
	}
	g.folders = append(g.folders, dir)
	return dir
}

// sweep removes the groups of processes that died before they could.
func sweep(parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), cgroupPrefix)
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(number)
		if err == nil && errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			_ = unix.Rmdir(filepath.Join(parent, e.Name())) // refused by the kernel while anybody is in it
		}
	}
}

func (g *cgroup) add(pid int) error {
	for _, dir := range g.folders {
		if err := set(dir, "cgroup.procs", strconv.Itoa(pid)); err != nil {
			return err
		}
	}
	return nil
}

// outOfMemory reports whether the kernel killed anybody in the group for want of memory.
func (g *cgroup) outOfMemory() bool {
	if g.oom == "" {
		return false
	}
	text, err := os.ReadFile(g.oom)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok && n != "0" {
			return true
		}
	}
	return false
}

// remove removes the group. Its members are dead or dying; the last may take a moment.
func (g *cgroup) remove() {
	for _, dir := range g.folders {
		for wait := time.Millisecond; wait < killGrace; wait *= 2 {
			if err := unix.Rmdir(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
				break
			}
			time.Sleep(wait)
		}
	}
}

// ownGroups gives this process's group by controller; "" is version 2.
func ownGroups() map[string]string {
	own := map[string]string{}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return own
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 {
			for controller := range strings.SplitSeq(parts[1], ",") {
				own[controller] = parts[2]
			}
		}
	}
	return own
}

func set(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
