package hook

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"caos"
)

// scratch is the folder with one folder for each execution that handles files. It holds
// nothing that cannot be made again.
type scratch struct {
	folder string
	whole  sync.Map // execution → true: this process wrote its files and watched over them since
}

// of is the folder of an execution.
func (c *scratch) of(execution string) string { return filepath.Join(c.folder, execution) }

// fresh gives an execution an empty folder.
func (c *scratch) fresh(execution string) (string, error) {
	if c.folder == "" {
		return "", caos.Errorf(caos.Unavailable, "this installation has no scratch folder")
	}
	if err := c.remove(execution); err != nil {
		return "", err
	}
	dir := c.of(execution)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", scratchError(err)
	}
	return dir, nil
}

// remove drops what an execution has. What a worker wrote may have rights that keep even
// its owner out.
func (c *scratch) remove(execution string) error {
	c.whole.Delete(execution)
	if c.folder == "" {
		return nil
	}
	dir := c.of(execution)
	err := os.RemoveAll(dir)
	if err != nil {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if d != nil && d.IsDir() {
				_ = os.Chmod(path, 0o700)
			}
			return nil
		})
		err = os.RemoveAll(dir)
	}
	if err != nil {
		return scratchError(err)
	}
	return nil
}

func scratchError(err error) error {
	return caos.Wrap(caos.Unavailable, err, "the scratch folder cannot be used").WithHint("see the rights and the room of the data folder's scratch")
}
