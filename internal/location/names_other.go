//go:build !linux

package location

import (
	"errors"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// identify tells a file of a folder from every other one that is there.
func identify(dir *os.File, name string) (string, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return "", &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return strconv.FormatUint(uint64(st.Ino), 10), nil
}

func renameat(fromDir *os.File, from string, toDir *os.File, to string, how moving) error {
	if how == exchange {
		return errors.ErrUnsupported
	}
	return renameFree(fromDir, from, toDir, to)
}
