package hook

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"caos"
	"caos/internal/db"
	"caos/internal/engine"
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

// SweepScratch removes the folders of executions that are over: one that went on at another
// node is cleared up there, and what this node had of it stays until somebody looks. It
// returns how many it removed.
func SweepScratch(ctx context.Context, d *db.DB, folder string) (removed int, err error) {
	list, err := os.ReadDir(folder)
	if err != nil {
		return 0, scratchError(err)
	}
	c := &scratch{folder: folder}
	for _, f := range list {
		over := false
		err := d.Write(ctx, func(tx *db.Tx) (err error) {
			over, err = engine.Ended(tx, f.Name())
			return err
		})
		if err != nil {
			return removed, err
		}
		if !over {
			continue
		}
		if err := c.remove(f.Name()); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}
