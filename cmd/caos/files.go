package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/schollz/progressbar/v3"

	"caos"
)

// openFile opens a regular file for reading, and says in words why it cannot.
func openFile(name string) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, unreadable(name, err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, unreadable(name, err)
	}
	if info.IsDir() {
		f.Close()
		return nil, caos.Errorf(caos.Invalid, "%s is a folder", name)
	}
	return f, nil
}

func unreadable(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return caos.Errorf(caos.NotFound, "there is no file %s", name)
	case errors.Is(err, fs.ErrPermission):
		return caos.Errorf(caos.Denied, "%s may not be read", name)
	}
	return caos.Wrap(caos.Invalid, err, "%s cannot be read", name)
}

// writeWhole writes a file that appears complete or not at all, and never over another one
// unless it may.
func writeWhole(name string, overwrite bool, write func(io.Writer) error) (err error) {
	if _, err := os.Lstat(name); err == nil && !overwrite {
		return caos.Errorf(caos.Conflict, "%s exists", name).WithHint("choose another name with --out, or give --force")
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return caos.Wrap(caos.Unavailable, err, "%s cannot be written", name)
	}
	defer func() {
		f.Close()
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return caos.Wrap(caos.Unavailable, err, "%s cannot be written", name)
	}
	return os.Rename(f.Name(), name)
}

// bar is a progress bar on standard error; without a terminal, or for programs, it is
// nothing. A size of -1 is unknown.
func (e *environment) bar(size int64, what string) *progressbar.ProgressBar {
	shown := e.errTerminal && !e.machine()
	o := []progressbar.Option{
		progressbar.OptionSetWriter(e.err), progressbar.OptionSetVisibility(shown), progressbar.OptionSetDescription(what),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(24), progressbar.OptionThrottle(100 * time.Millisecond),
		progressbar.OptionEnableColorCodes(false), progressbar.OptionShowElapsedTimeOnFinish(),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerHead: "█", SaucerPadding: "░", BarStart: "▕", BarEnd: "▏"}),
	}
	if size >= 0 {
		o = append(o, progressbar.OptionShowBytes(true), progressbar.OptionUseIECUnits(true))
	} else {
		o = append(o, progressbar.OptionSpinnerType(14), progressbar.OptionSetElapsedTime(true))
	}
	return progressbar.NewOptions64(size, o...)
}
