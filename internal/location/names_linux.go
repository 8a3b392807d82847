package location

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// identify tells a file of a folder from every other one, also from the next that gets its inode.
func identify(dir *os.File, name string) (string, error) {
	var st unix.Statx_t
	if err := unix.Statx(int(dir.Fd()), name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO|unix.STATX_BTIME, &st); err != nil {
		return "", &fs.PathError{Op: "statx", Path: name, Err: err}
	}
	id := strconv.FormatUint(st.Ino, 10)
	if st.Mask&unix.STATX_BTIME != 0 {
		id += fmt.Sprintf("@%d.%09d", st.Btime.Sec, st.Btime.Nsec)
	}
	return id, nil
}

func renameat(fromDir *os.File, from string, toDir *os.File, to string, how moving) error {
	flags := uint(unix.RENAME_NOREPLACE)
	if how == exchange {
		flags = unix.RENAME_EXCHANGE
	}
	err := unix.Renameat2(int(fromDir.Fd()), from, int(toDir.Fd()), to, flags)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	if how == exchange {
		return errors.ErrUnsupported
	}
	return renameFree(fromDir, from, toDir, to)
}
