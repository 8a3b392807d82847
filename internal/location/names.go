package location

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// renameFree renames where no system call can look and rename at once.
func renameFree(fromDir *os.File, from string, toDir *os.File, to string) error {
	var st unix.Stat_t
	err := unix.Fstatat(int(toDir.Fd()), to, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == nil:
		return unix.EEXIST
	case !errors.Is(err, unix.ENOENT):
		return err
	}
	return unix.Renameat(int(fromDir.Fd()), from, int(toDir.Fd()), to)
}
