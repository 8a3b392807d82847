package location

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"caos"
)

// root finds the allowed folder that a file:// location lies in, and its path within it.
func (l *Locations) root(p *place, write bool) (root, name string, err error) {
	full := "/" + strings.Join(p.parts, "/")
	allowed := l.opt.TargetRoots
	if !write {
		allowed = append(append([]string{}, l.opt.Roots...), l.opt.TargetRoots...)
	}
	for _, r := range allowed {
		rel, ok := strings.CutPrefix(full, strings.TrimSuffix(r, "/")+"/")
		if full == r && !write && p.folder {
			rel, ok = ".", true
		}
		if ok && len(r) > len(root) {
			root, name = r, rel
		}
	}
	switch {
	case root == "" && write:
		return "", "", caos.Errorf(caos.Denied, "files are not published there").WithRule("location-root").WithHint("an administrator names a folder around it under target_roots in caos.yaml, and starts the server again; that folder itself is no target")
	case root == "":
		return "", "", caos.Errorf(caos.Denied, "files are not read from there").WithRule("location-root").WithHint("an administrator names a folder around it under file_roots in caos.yaml, and starts the server again")
	}
	return root, name, nil
}

func openRoot(dir string) (*os.Root, error) {
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the folder %s cannot be opened", dir).WithHint("make it, or correct file_roots or target_roots")
	}
	return r, nil
}

// openRegular opens a file that is one: a FIFO would hang, and a device never end. A link
// that leads out of the root is refused by the root.
func openRegular(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	f, err := root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, unread(err)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = caos.Errorf(caos.Invalid, "it is not a file").WithRule("location-file").WithHint("folders end with a slash; pipes and devices are not read")
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, st, nil
}

// unread puts an error of reading a file into words.
func unread(err error) error {
	var e *caos.Error
	switch {
	case errors.As(err, &e):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return caos.Wrap(caos.NotFound, err, "there is no such file").WithRule("source-missing")
	case errors.Is(err, fs.ErrPermission):
		return caos.Wrap(caos.Denied, err, "the server's account may not read it").WithRule("location-file")
	case errors.Is(err, syscall.ENXIO):
		return caos.Wrap(caos.Invalid, err, "it is not a file").WithRule("location-file")
	case escapes(err):
		return caos.Wrap(caos.Denied, err, "a link leads out of the allowed folder").WithRule("location-root")
	}
	return caos.Wrap(caos.Unavailable, err, "the file cannot be read")
}

// probeLocal finds and hashes files.
func (l *Locations) probeLocal(ctx context.Context, p *place) ([]File, error) {
	dir, name, err := l.root(p, false)
	if err != nil {
		return nil, err
	}
	root, err := openRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	found := []string{name}
	if !p.one() {
		if found, err = walk(ctx, root, p, len(strings.Split(strings.Trim(dir, "/"), "/"))); err != nil {
			return nil, err
		}
	}
	var files []File
	for _, name := range found {
		f, err := l.describe(ctx, root, name)
		if err != nil {
			e := caos.AsError(err)
			if !p.one() {
				e.Message = path.Base(name) + ": " + e.Message
			}
			return nil, e
		}
		f.URI = "file://" + escape(strings.Split(strings.Trim(dir+"/"+name, "/"), "/"))
		files = append(files, f)
	}
	return files, nil
}

func (l *Locations) describe(ctx context.Context, root *os.Root, name string) (File, error) {
	f, st, err := openRegular(root, name)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	if st.Size() > l.opt.MaxBytes {
		return File{}, errTooLarge(st.Size(), l.opt.MaxBytes)
	}
	sum, n, err := hashed(ctx, io.LimitReader(f, st.Size()), l.opt.MaxBytes)
	if err != nil {
		return File{}, unread(err)
	}
	if err := unchanged(f, st, n); err != nil {
		return File{}, err
	}
	return File{Name: path.Base(name), Size: n, Digest: sum, Modified: st.ModTime().UTC().Truncate(time.Microsecond)}, nil
}

// unchanged refuses a file that was written to while it was read.
func unchanged(f *os.File, before fs.FileInfo, read int64) error {
	after, err := f.Stat()
	if err != nil {
		return unread(err)
	}
	if read != before.Size() || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return errChanged("it is being written to")
	}
	return nil
}

// walk finds the files below the fixed part of a location that fit it. offset is how many
// parts of the location are the root's own. What is neither file nor folder is refused where
// it would be part of the source.
func walk(ctx context.Context, root *os.Root, p *place, offset int) ([]string, error) {
	base := strings.Join(p.fixed()[offset:], "/")
	if base == "" {
		base = "."
	}
	own := append([]string{}, p.parts[:offset]...)
	var out []string
	seen := 0
	err := fs.WalkDir(root.FS(), base, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return unread(err)
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if name == base {
			if !d.IsDir() {
				return caos.Errorf(caos.Invalid, "it is not a folder").WithRule("location-file").WithHint("leave out the slash")
			}
			return nil
		}
		if seen++; seen > maxListed {
			return errTooMany(maxListed)
		}
		parts := append(append([]string{}, own...), strings.Split(name, "/")...)
		if d.IsDir() {
			if p.hidden(parts) || !p.folder && len(parts) >= len(p.parts) || len(parts) > len(p.parts)+maxDepth {
				return fs.SkipDir
			}
			return nil
		}
		if p.hidden(parts) || !p.fits(parts) {
			return nil
		}
		if err := checkName(d.Name()); err != nil {
			return err
		}
		if out = append(out, name); len(out) > maxFiles {
			return errTooMany(maxFiles)
		}
		return nil
	})
	if err != nil {
		return nil, unread(err)
	}
	return out, nil
}

func errTooMany(n int) error {
	return caos.Errorf(caos.TooLarge, "there are more than %d files", n).WithField("uri").WithHint("name fewer by a narrower pattern, or make larger files")
}

// fetchLocal copies a file and compares it with what was hashed when it was found.
func (l *Locations) fetchLocal(ctx context.Context, p *place, t *transfer) error {
	dir, name, err := l.root(p, false)
	if err != nil {
		return err
	}
	root, err := openRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	f, st, err := openRegular(root, name)
	if caos.KindOf(err) == caos.NotFound {
		return errChanged("it is gone")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if t.want.Size >= 0 && st.Size() != t.want.Size {
		return errChanged("it has another size")
	}
	buf := make([]byte, 256<<10)
	if _, err := io.CopyBuffer(t, &patient{ctx: ctx, from: io.LimitReader(f, st.Size())}, buf); err != nil {
		return unread(err)
	}
	t.got.Modified = st.ModTime().UTC().Truncate(time.Microsecond)
	return unchanged(f, st, t.done)
}

// patient reads until its context ends.
type patient struct {
	ctx  context.Context
	from io.Reader
}

func (p *patient) Read(b []byte) (int, error) {
	if p.ctx.Err() != nil {
		return 0, context.Cause(p.ctx)
	}
	return p.from.Read(b)
}
