//go:build linux && (amd64 || arm64)

package sandbox

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"caos"
)

// workFolder is where the run's folder is seen inside.
const workFolder = "/job"

// Users that runs get when the caller is root: a range that no distribution gives to
// anybody, out of which two runs at once meet by chance once in hundred millions.
const (
	firstUID = 0x7000_0000
	lastUID  = 0x7fff_0000
)

// prepare fills in what is not said, resolves paths and gives the folder to the run.
func (o *orders) prepare() error {
	s := &o.Spec
	if s.Level == "" {
		s.Level = Namespaces
	}
	if s.Level != Namespaces && s.Level != Reduced {
		return caos.Errorf(caos.Invalid, "there is no sandbox level %q", s.Level).WithField("sandbox").WithHint("say namespaces or reduced")
	}
	if s.Processes == 0 {
		s.Processes = 256
	}
	if s.OpenFiles == 0 {
		s.OpenFiles = 1024
	}
	if s.Init == "" {
		s.Init = "/proc/self/exe"
	}
	o.UID, o.Drop = -1, s.Level == Namespaces
	if os.Geteuid() == 0 {
		o.Drop = true
		o.UID = s.UID
		if o.UID == 0 {
			uid, err := chooseUID()
			if err != nil {
				return err
			}
			o.UID = uid
		}
	}
	if err := o.addMounts(); err != nil {
		return err
	}
	if s.Folder == "" || o.UID < 0 {
		return nil
	}
	if s.Level == Reduced { // there is no other way to the subfolders
		if err := enterable(s.Folder, o.UID); err != nil {
			return err
		}
	}
	return give(s.Folder, s.Write, o.UID)
}

func enterable(folder string, gid int) error {
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	if err := os.Chown(folder, -1, gid); err != nil {
		return err
	}
	return os.Chmod(folder, info.Mode().Perm()|0o010)
}

func (o *orders) addMounts() error {
	s := &o.Spec
	program, err := filepath.Abs(s.Program)
	if err != nil {
		return err
	}
	s.Program = program
	for _, path := range append([]string{program}, s.ReadOnly...) {
		m, err := visible(path)
		if err != nil {
			return caos.Wrap(caos.Unavailable, err, "a file that the sandboxed program needs is missing: %s", path)
		}
		if info, err := os.Stat(m.Source); err == nil && o.UID >= 0 && info.Mode().Perm()&0o005 < needed(m.Folder, path == program) {
			return caos.Errorf(caos.Unavailable, "%s may not be used by other users, and a run has a user of its own", path).
				WithHint("chmod a+rx %s", path).WithRule("sandbox")
		}
		m.Exec = true
		o.Mounts = append(o.Mounts, m)
	}
	if s.Folder == "" {
		return nil
	}
	folder, err := filepath.EvalSymlinks(s.Folder)
	if err != nil {
		return caos.Wrap(caos.Unavailable, err, "the run's folder is missing")
	}
	if s.Folder, err = filepath.Abs(folder); err != nil {
		return err
	}
	entries, err := os.ReadDir(s.Folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() { // a symbolic link is none either
			continue
		}
		o.Mounts = append(o.Mounts, mount{
			Source: filepath.Join(s.Folder, e.Name()), Target: filepath.Join(workFolder, e.Name()),
			Folder: true, Write: slices.Contains(s.Write, e.Name()),
		})
	}
	return nil
}

// needed are the rights that everybody must have to a file that a run uses.
func needed(folder, program bool) os.FileMode {
	if folder || program {
		return 0o005
	}
	return 0o004
}

func visible(path string) (mount, error) {
	source, err := filepath.EvalSymlinks(path)
	if err != nil {
		return mount{}, err
	}
	info, err := os.Stat(source)
	if err != nil {
		return mount{}, err
	}
	return mount{Source: source, Target: path, Folder: info.IsDir()}, nil
}

// chooseUID picks a user that nobody else is, among those that exist in this user
// namespace.
func chooseUID() (int, error) {
	for _, r := range slices.Backward(sameIDs("/proc/self/uid_map")) {
		first, last := max(r.ContainerID, firstUID), min(r.ContainerID+r.Size, lastUID)
		if first >= last { // a container with few users: the upper half of them
			first, last = r.ContainerID+r.Size/2, r.ContainerID+r.Size
		}
		if first >= 1000 && last-first > 1000 {
			return first + rand.IntN(last-first), nil //nolint:gosec // not a secret
		}
	}
	return 0, caos.Errorf(caos.Unavailable, "this user namespace has no users to give to runs").
		WithHint("let the server run as another user than root, or give its container a range of users")
}

// sameIDs maps every id of this user namespace to itself.
func sameIDs(file string) []syscall.SysProcIDMap {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var ids []syscall.SysProcIDMap
	for line := range strings.Lines(string(text)) {
		var inside, outside, size int
		if n, _ := fmt.Sscan(line, &inside, &outside, &size); n == 3 {
			ids = append(ids, syscall.SysProcIDMap{ContainerID: inside, HostID: inside, Size: size})
		}
	}
	return ids
}

// give lets the user of a run read the folder's subfolders, by group, and own those it may
// write. Files keep their owner where they are read-only, so that the run cannot change
// their mode either. A file with another name elsewhere is refused: its other name would
// change hands with it.
func give(folder string, write []string, uid int) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		top, _, _ := strings.Cut(name, "/")
		owner, mode := -1, info.Mode().Perm()|0o040
		if slices.Contains(write, top) {
			owner, mode = uid, mode|0o600
		}
		switch {
		case d.IsDir():
			mode |= 0o010
			if owner >= 0 {
				mode |= 0o100
			}
		case !d.Type().IsRegular():
			return nil // a link leads nowhere inside, and is left alone
		case links(info) > 1:
			return caos.Errorf(caos.Invalid, "%s has more than one name on this disk", name).
				WithHint("what a run reads must be a copy in its own folder").WithRule("sandbox")
		}
		if err := root.Lchown(name, owner, uid); err != nil {
			return err
		}
		return root.Chmod(name, mode)
	})
}

func links(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink)
	}
	return 1
}

// Take gives everything in a subfolder of a run that has ended back to the caller.
// Symbolic links and what is neither file nor folder are removed: a program that was
// fooled could have left them as traps. Folders deeper than a path is long are refused:
// thousands of them would take the caller's memory, with a path for each.
func Take(folder, name string) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), name, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if len(name) > unix.PathMax {
			return fmt.Errorf("%.40s… is deeper than a path is long", name)
		}
		if !d.IsDir() && !d.Type().IsRegular() {
			return root.Remove(name)
		}
		if os.Geteuid() == 0 {
			if err := root.Lchown(name, 0, os.Getegid()); err != nil {
				return err
			}
		}
		if d.IsDir() {
			return root.Chmod(name, 0o700)
		}
		return root.Chmod(name, 0o600)
	})
}

// Libraries lists the host files that a program needs to be loaded: its interpreter and
// its shared libraries, and theirs. Where one cannot be found the usual folders of
// libraries are returned instead.
func Libraries(program string) ([]string, error) {
	found := map[string]string{}
	queue := []string{program}
	for len(queue) > 0 {
		needed, interpreter, err := imports(queue[0])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", queue[0], err)
		}
		queue = queue[1:]
		if interpreter != "" {
			found[interpreter] = interpreter
		}
		for _, name := range needed {
			if _, ok := found[name]; ok {
				continue
			}
			path, ok := findLibrary(name)
			if !ok {
				return libraryFolders(), nil
			}
			found[name] = path
			queue = append(queue, path)
		}
	}
	var paths []string
	for _, path := range found {
		if !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths, nil
}

func imports(path string) (needed []string, interpreter string, err error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP && p.Filesz < unix.PathMax {
			text := make([]byte, p.Filesz)
			if _, err := p.ReadAt(text, 0); err != nil {
				return nil, "", err
			}
			interpreter = strings.TrimRight(string(text), "\x00")
		}
	}
	needed, err = f.ImportedLibraries()
	if errors.Is(err, elf.ErrNoSymbols) {
		err = nil
	}
	return needed, interpreter, err
}

func libraryFolders() (folders []string) {
	for _, path := range []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64"} {
		if _, err := os.Stat(path); err == nil {
			folders = append(folders, path)
		}
	}
	return folders
}

func findLibrary(name string) (string, bool) {
	for _, dir := range []string{"/lib/" + triplet, "/usr/lib/" + triplet, "/lib64", "/usr/lib64", "/lib", "/usr/lib"} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, true
		}
	}
	return "", false
}
