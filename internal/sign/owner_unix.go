//go:build unix

package sign

import (
	"io/fs"
	"os"
	"syscall"
)

// ownedByUs reports whether the user we run as owns a file.
func ownedByUs(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}
