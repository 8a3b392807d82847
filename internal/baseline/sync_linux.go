package baseline

import (
	"errors"
	"os"
	"syscall"
)

// startWriting has the kernel begin to write part of a file, without waiting, so that the
// sync at its end finds little left to do.
func startWriting(f *os.File, from, n int64) {
	const write = 2                                        // SYNC_FILE_RANGE_WRITE
	_ = syscall.SyncFileRange(int(f.Fd()), from, n, write) // a hint: the sync decides
}

// reserve takes the room for a file, so that a disk that is too small says so before
// anything is copied. File systems that cannot do that find out later.
func reserve(f *os.File, size int64) error {
	if size == 0 {
		return nil
	}
	err := syscall.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		return err
	}
	return nil
}
