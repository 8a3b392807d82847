//go:build unix

package app

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"caos"
)

// lock makes this process the only one on a data folder. The kernel gives the lock back
// however the process ends.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, caos.Wrap(caos.Conflict, err, "another caos process has the data folder open").
			WithHint("stop it first, or give this node a data folder of its own")
	}
	return f, nil
}
