package location

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"caos"
)

// A publication to file:// keeps its own in a hidden folder beside the target:
//
//	parent/target            what is read
//	parent/.caos-<key>/new   staged; after Commit it is target
//	parent/.caos-<key>/old   after Commit: what was target before
//
// Commit exchanges new and target in one system call, so that whoever opens the target gets
// the old content or the new and never nothing. Which of the two is where is told by the
// identity of what was staged: it is saved before Commit begins, so that a Commit or Undo that
// died at any point can be done again.

// moving is what becomes of what has the other name already.
type moving int

const (
	ifFree   moving = iota // it stays, and the move is refused with fs.ErrExist
	exchange               // both change places; errors.ErrUnsupported where a file system cannot
)

// corner is a target with its hidden folder.
type corner struct {
	root   *os.Root // the allowed folder
	parent *os.File // of the target
	name   string   // of the target in it
	aside  string   // of the hidden folder in it
}

func (l *Locations) corner(p *place, st *Staged, build bool) (*corner, error) {
	dir, name, err := l.root(p, true)
	if err != nil {
		return nil, err
	}
	root, err := openRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	parent := path.Dir(name)
	if build {
		if err := makeFolders(root, parent); err != nil {
			return nil, err
		}
	}
	at, err := root.OpenRoot(parent)
	if err != nil {
		return nil, err
	}
	f, err := at.Open(".")
	if err != nil {
		return nil, errors.Join(err, at.Close())
	}
	return &corner{root: at, parent: f, name: path.Base(name), aside: aside(p, st)}, nil
}

func (c *corner) close() { _ = errors.Join(c.parent.Close(), c.root.Close()) } // all that was written is synced

// makeFolders makes a folder and those above it, each durable.
func makeFolders(root *os.Root, name string) error {
	if name == "." {
		return nil
	}
	if st, err := root.Stat(name); err == nil && st.IsDir() {
		return nil
	}
	if err := makeFolders(root, path.Dir(name)); err != nil {
		return err
	}
	if err := root.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // what is published is for others
		return err
	}
	return syncDir(root, path.Dir(name))
}

func syncDir(root *os.Root, name string) error {
	d, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// identity is the inode of a name with the moment at which it was made, "" if there is none.
// The inode alone would not do: a file system gives that of a removed file to the next one.
// All names are on one device, whose own number may be another one after a restart.
func (c *corner) identity(name string) (string, error) {
	dir, base, err := c.dir(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer c.leave(dir)
	id, err := identify(dir, base)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return id, err
}

// dir opens the folder that a name of the corner is in: the target's, which is open, or the
// hidden one.
func (c *corner) dir(name string) (*os.File, string, error) {
	if name == c.name {
		return c.parent, name, nil
	}
	d, err := c.root.Open(c.aside)
	return d, path.Base(name), err
}

// leave closes what dir opened.
func (c *corner) leave(d *os.File) {
	if d != nil && d != c.parent {
		_ = d.Close() // opened for looking names up
	}
}

func (c *corner) fresh() string { return c.aside + "/new" }
func (c *corner) kept() string  { return c.aside + "/old" }

// stageLocal writes files into the hidden folder and syncs them from the inside out.
func (l *Locations) stageLocal(ctx context.Context, s staging) error {
	c, err := l.corner(s.p, s.st, true)
	if err != nil {
		return stored(err, "the target's folder cannot be made")
	}
	defer c.close()
	if err := c.clear(); err != nil {
		return err
	}
	folder := wholeFolder(s.p, s.files)
	if err := c.suits(folder); err != nil {
		return err
	}
	if err := c.vacant(s.st); err != nil {
		return stored(err, "the target cannot be looked at")
	}
	err = c.fill(ctx, s, folder)
	if err == nil {
		s.st.Identity, err = c.identity(c.fresh())
	}
	if err != nil {
		if cleaning := c.root.RemoveAll(c.aside); cleaning != nil {
			err = errors.Join(err, cleaning)
		}
		return stored(err, "the target cannot be written")
	}
	return nil
}

// suits refuses to put a file where a folder is and the other way round: most likely a
// slash is missing, and a folder full of files would go.
func (c *corner) suits(folder bool) error {
	st, err := c.root.Lstat(c.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.Mode()&fs.ModeSymlink != 0:
		return caos.Errorf(caos.Conflict, "the target is a link").WithRule("target-kind").WithHint("name what it leads to, or remove it")
	case folder && !st.IsDir():
		return caos.Errorf(caos.Conflict, "the target is a file, and what is published is a folder").WithRule("target-kind").WithHint("name another target, or remove the file")
	case !folder && st.IsDir():
		return caos.Errorf(caos.Conflict, "the target is a folder, and what is published is a file").WithRule("target-kind").WithHint("end the target with a slash to replace the folder whole")
	case !folder && !st.Mode().IsRegular():
		return caos.Errorf(caos.Conflict, "the target is not a file").WithRule("target-kind")
	}
	return nil
}

// vacant refuses a folder that has anything in it, where the publication is the first one
// there.
func (c *corner) vacant(st *Staged) error {
	if !st.New {
		return nil
	}
	d, err := c.root.Open(c.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	switch _, err := d.Readdirnames(1); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return errOccupied()
}

// clear removes what an earlier attempt left. It never removes what was kept for an Undo.
func (c *corner) clear() error {
	if old, err := c.identity(c.kept()); err != nil || old != "" {
		return errors.Join(err, errKept(c))
	}
	return c.root.RemoveAll(c.aside)
}

func errKept(c *corner) error {
	return caos.Errorf(caos.Conflict, "an earlier publication keeps in %s/old what was at the target before it", c.aside).WithRule("target-changed").
		WithHint("look at it, move it to where it belongs or remove it, and run again")
}

func (c *corner) fill(ctx context.Context, s staging, folder bool) error {
	if err := c.root.Mkdir(c.aside, 0o700); err != nil { // what is not published yet is nobody's to read
		return err
	}
	made := []string{c.aside}
	if folder {
		made = append(made, c.fresh())
		if err := c.root.Mkdir(c.fresh(), 0o755); err != nil { //nolint:gosec // what is published is for others
			return err
		}
	}
	known := map[string]bool{}
	base := "file://" + escape(s.p.parts)
	for _, f := range sorted(s.files) {
		to, uri := c.fresh(), base
		if folder {
			to, uri = c.fresh()+"/"+f.Name, base+escape(strings.Split(f.Name, "/"))
			for i, ch := range f.Name {
				dir := c.fresh() + "/" + f.Name[:i]
				if ch != '/' || known[dir] {
					continue
				}
				known[dir] = true
				made = append(made, dir)
				if err := c.root.Mkdir(dir, 0o755); err != nil { //nolint:gosec // as above
					return err
				}
			}
		}
		sum, n, err := c.copy(ctx, s, f, to)
		if err != nil {
			return err
		}
		s.st.Files = append(s.st.Files, StagedFile{Name: f.Name, URI: uri, Size: n, Digest: sum})
	}
	for i := len(made) - 1; i >= 0; i-- {
		if err := syncDir(c.root, made[i]); err != nil {
			return err
		}
	}
	return c.parent.Sync()
}

// copy writes one file and syncs it.
func (c *corner) copy(ctx context.Context, s staging, f Local, to string) (string, int64, error) {
	in, st, err := s.src.open(f)
	if err != nil {
		return "", 0, caos.AsError(err).WithField("files")
	}
	defer in.Close()
	out, err := c.root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return "", 0, err
	}
	sum := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(out, sum, tally(s.told)), &patient{ctx: ctx, from: io.LimitReader(in, st.Size()+1)}, make([]byte, 256<<10))
	if err == nil && n != st.Size() {
		err = caos.Errorf(caos.Conflict, "%.100q changed while it was published", f.Name).WithRule("scratch-changed").WithField("files")
	}
	if err == nil {
		err = same(f, digest(sum))
	}
	if err == nil {
		err = out.Sync()
	}
	return digest(sum), n, errors.Join(err, out.Close())
}

// tally tells of bytes written.
type tally func(n int64)

func (t tally) Write(p []byte) (int, error) { t(int64(len(p))); return len(p), nil }

// commitLocal puts what is staged in the target's place. See the top of this file.
func (l *Locations) commitLocal(p *place, st *Staged) error {
	c, err := l.corner(p, st, false)
	if err != nil {
		return stored(err, "the target's folder cannot be opened")
	}
	defer c.close()
	for range 3 { // the target may come or go meanwhile
		done, err := c.swap(st)
		if err != nil {
			return stored(err, "the target cannot be replaced")
		}
		if done {
			return stored(c.settle(st.Identity), "the target cannot be replaced")
		}
	}
	return caos.Errorf(caos.Conflict, "somebody else keeps changing the target").WithRule("target-changed")
}

// swap makes one attempt at the exchange. It reports true if what was staged is the target.
func (c *corner) swap(st *Staged) (bool, error) {
	staged := st.Identity
	target, err := c.identity(c.name)
	if err != nil {
		return false, err
	}
	if target == staged && staged != "" {
		return true, nil
	}
	fresh, err := c.identity(c.fresh())
	if err != nil {
		return false, err
	}
	if fresh != staged || staged == "" {
		return false, caos.Errorf(caos.Conflict, "what was staged for the target is gone").WithRule("staged-lost").WithHint("run it again")
	}
	if target == "" {
		err := c.rename(c.fresh(), c.name, ifFree)
		return err == nil, ignoring(err, fs.ErrExist)
	}
	if err := c.vacant(st); err != nil {
		return false, err
	}
	err = c.rename(c.fresh(), c.name, exchange)
	if errors.Is(err, errors.ErrUnsupported) {
		// A file system that cannot exchange: for a moment there is no target. Undo and a
		// second Commit know what to do from there.
		return false, c.rename(c.name, c.kept(), ifFree)
	}
	return err == nil, ignoring(err, fs.ErrNotExist)
}

func ignoring(err, ignored error) error {
	if errors.Is(err, ignored) {
		return nil
	}
	return err
}

// settle gives what was exchanged its name, and makes all of it durable.
func (c *corner) settle(staged string) error {
	fresh, err := c.identity(c.fresh())
	if err != nil {
		return err
	}
	if fresh != "" && fresh != staged {
		if err := c.rename(c.fresh(), c.kept(), ifFree); err != nil {
			return err
		}
	}
	if err := syncDir(c.root, c.aside); err != nil && !errors.Is(err, fs.ErrNotExist) { // gone after Finish
		return err
	}
	return c.parent.Sync()
}

// rename moves or exchanges two names, each looked up in a folder that is held open, so that
// nobody can put a link in between.
func (c *corner) rename(from, to string, how moving) error {
	fromDir, fromName, err := c.dir(from)
	if err != nil {
		return err
	}
	defer c.leave(fromDir)
	toDir, toName, err := c.dir(to)
	if err != nil {
		return err
	}
	defer c.leave(toDir)
	return renameat(fromDir, fromName, toDir, toName, how)
}

// undoLocal brings back what was there.
func (l *Locations) undoLocal(p *place, st *Staged) error {
	c, err := l.corner(p, st, false)
	if errors.Is(err, fs.ErrNotExist) || st.Identity == "" && escapes(err) {
		return nil // nothing was ever staged
	}
	if err != nil {
		return stored(err, "the target's folder cannot be opened")
	}
	defer c.close()
	return stored(c.undo(st.Identity), "the target cannot be restored")
}

func (c *corner) undo(staged string) error {
	target, err := c.identity(c.name)
	if err != nil {
		return err
	}
	before := c.kept()
	old, err := c.identity(before)
	if err == nil && old == "" && staged != "" && target == staged {
		before = c.fresh() // Commit died between the exchange and its second step
		old, err = c.identity(before)
	}
	if err != nil {
		return err
	}
	switch {
	case staged == "" && old != "":
		return errKept(c)
	case staged != "" && target == staged && old != "":
		err = c.rename(before, c.name, exchange)
		if errors.Is(err, errors.ErrUnsupported) {
			if err = c.rename(c.name, c.fresh(), ifFree); err == nil {
				err = c.rename(before, c.name, ifFree)
			}
		}
	case staged != "" && target == staged:
		err = c.rename(c.name, c.fresh(), ifFree)
	case target == "" && old != "" && old != staged:
		err = c.rename(before, c.name, ifFree)
	case old != "" && old != staged && old != target:
		return errKept(c) // somebody else has published since, and what we keep may be all there is of it
	}
	if err == nil {
		err = c.parent.Sync()
	}
	if err != nil {
		return err
	}
	return c.drop()
}

// finishLocal removes what Undo needed.
func (l *Locations) finishLocal(p *place, st *Staged) error {
	c, err := l.corner(p, st, false)
	if err != nil {
		return stored(err, "the target's folder cannot be opened")
	}
	defer c.close()
	if fresh, err := c.identity(c.fresh()); err != nil || fresh == st.Identity && fresh != "" {
		return errors.Join(err, caos.Errorf(caos.Conflict, "it was staged and never made visible").WithRule("not-committed"))
	}
	return stored(c.drop(), "what was kept beside the target cannot be removed")
}

func (c *corner) drop() error {
	if err := c.root.RemoveAll(c.aside); err != nil {
		return err
	}
	return c.parent.Sync()
}
