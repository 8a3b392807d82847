// Package baseline keeps frozen models: folders that are written once, hashed while they
// are written, signed as OpenSSF Model Signing says, and never changed.
//
// On disk:
//
//	root/<id>/             the model's files (mode 0444, folders 0555) and model.sig, nothing else:
//	                       any tool for Model Signing can check it as it lies there
//	root/.records/<id>.json  who wrote it and with which key; also the lock of its writer
//	root/.staging-<id>/    a baseline on its way in, or on its way out
//
// A folder gets its name when all of it is complete and synced, so a crash leaves the
// whole of a baseline or nothing under its name. What it leaves under .staging-<id> the
// next Write, Discard or Open removes. Staging folders are neighbours of what they become,
// because a folder that nobody may write can be renamed within its parent only.
//
// Every path goes through os.Root: no name and no link leads out of the folder.
package baseline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"caos"
	"caos/internal/sign"
	"caos/internal/verify"
)

const (
	recordsDir = ".records"
	stagingPre = ".staging-"

	fileMode   = 0o444
	folderMode = 0o555
)

// Source is a file that goes into a baseline.
type Source struct {
	Path   string                        // in the baseline, relative, with slashes; see checkPath
	Digest string                        // "SHA256:<hex>" that its bytes must have
	Size   int64                         // bytes
	Open   func() (io.ReadCloser, error) // called once at most, closed by Write
}

// Draft is a baseline that is to be written.
type Draft struct {
	ID     string      // of the baseline, and the name of its folder
	Owner  string      // id of the execution that writes it
	Files  []Source    // in any order
	Signer sign.Signer // with a key of purpose baseline
}

// File is a file of a sealed baseline.
type File struct {
	Path   string `json:"path"`   // relative, with slashes
	Digest string `json:"digest"` // "SHA256:<hex>"
	Size   int64  `json:"size"`   // bytes
}

// Sealed says what was written.
type Sealed struct {
	Root            string // "SHA256:<hex>": the digest that the bundle's subject states
	StatementDigest string // "SHA256:<hex>" of the signed in-toto statement
	BundleDigest    string // "SHA256:<hex>" of model.sig
	KeyID           string // key of purpose baseline that signed
	Files           []File // in the order of the bundle
	Bytes           int64  // of the files, without model.sig
}

// The kinds of problems.
const (
	Changed   = verify.ModelChanged   // other bytes or another size, another mode, or something that is no file
	Missing   = verify.ModelMissing   // named by the bundle, not in the folder
	Extra     = verify.ModelExtra     // in the folder, not named by the bundle
	Signature = verify.ModelSignature // the bundle is not signed by the key
	Manifest  = verify.ModelManifest  // the bundle is missing, unreadable, another baseline's, or was replaced
)

// Problem is one difference between a baseline and what was frozen. Path is that of the
// file, "model.sig" for the bundle, "." for the folder.
type Problem = verify.ModelProblem

// Store is an open store of baselines. It is safe for concurrent use, also by processes
// that share the folder.
type Store struct {
	root *os.Root
	now  func() time.Time

	// fault, which tests set, is called at every step at which a crash could come; sync,
	// which tests watch, is (*os.File).Sync.
	fault func(step string) error
	sync  func(f *os.File) error
}

// Open opens the store in the folder root, making it if it is not there, and removes what
// crashes left under way.
func Open(root string, now func() time.Time) (*Store, error) {
	if err := os.MkdirAll(root, 0o750); err != nil {
		return nil, fmt.Errorf("baselines: %w", err)
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, fmt.Errorf("baselines: %w", err)
	}
	s := &Store{root: r, now: now, sync: (*os.File).Sync}
	if err := r.Mkdir(recordsDir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, errors.Join(fmt.Errorf("baselines: %w", err), r.Close())
	}
	if err := s.clear(); err != nil {
		return nil, errors.Join(fmt.Errorf("baselines: %w", err), r.Close())
	}
	return s, nil
}

// Close releases the folder.
func (s *Store) Close() error { return s.root.Close() }

// clear removes staging folders that no writer has locked.
func (s *Store) clear() error {
	names, err := s.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		id, ok := strings.CutPrefix(name, stagingPre)
		if !ok || CheckID("id", id) != nil {
			continue
		}
		l, err := s.lock(id)
		if caos.KindOf(err) == caos.Unavailable {
			continue
		}
		if err != nil {
			return err
		}
		err = s.removeTree(name)
		if rec, rerr := l.read(); err == nil && rerr == nil && rec == nil {
			err = l.remove() // made by this lock
		}
		l.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// names lists the top of the store.
func (s *Store) names() ([]string, error) {
	entries, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return nil, diskError(err)
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// List returns the ids of all baselines, in order.
func (s *Store) List(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(names, func(n string) bool { return CheckID("id", n) != nil }), nil
}

var baselineID = regexp.MustCompile(`^[A-Z][A-Za-z0-9._-]{1,127}$`)

// CheckID returns an Invalid error that names field unless id can be the name of a
// baseline's folder.
func CheckID(field, id string) error {
	if !baselineID.MatchString(id) {
		return caos.Errorf(caos.Invalid, "%.80q is not a baseline id", id).WithField(field).WithHint("a baseline id looks like BL-FCS-2.1.0")
	}
	return nil
}

// at is a step at which a crash could come.
func (s *Store) at(step string) func() error {
	return func() error {
		if s.fault == nil {
			return nil
		}
		if err := s.fault(step); err != nil {
			return diskError(err)
		}
		return nil
	}
}

// inOrder does one thing after the other until one fails.
func inOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// exists reports whether there is a folder of a name. Anything else of that name is an
// error.
func (s *Store) exists(name string) (bool, error) {
	info, err := s.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, diskError(err)
	}
	if !info.IsDir() {
		return false, caos.Errorf(caos.Internal, "%s in the store of baselines is not a folder", name).
			WithHint("something else put it there; look at it and remove it")
	}
	return true, nil
}

// RemoveAll removes a folder and all in it, baselines too: those are read-only, and only
// root can empty read-only folders. It is for throw-away instances and tests.
func RemoveAll(dir string) error {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	if err := makeWritable(root, "."); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// makeWritable makes a folder and those in it writable for its owner. A folder is made so
// before it is read.
func makeWritable(root *os.Root, name string) error {
	return fs.WalkDir(root.FS(), name, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = root.Chmod(p, 0o700)
		}
		return err
	})
}

// removeTree removes a folder that may be read-only, and syncs that it is gone.
func (s *Store) removeTree(name string) error {
	if ok, err := s.exists(name); err != nil || !ok {
		return err
	}
	err := makeWritable(s.root, name)
	if err == nil {
		err = s.root.RemoveAll(name)
	}
	if err != nil {
		return diskError(err)
	}
	return s.syncFolder(".")
}

func (s *Store) syncFolder(name string) error {
	d, err := s.root.Open(name)
	if err != nil {
		return diskError(err)
	}
	defer d.Close()
	if err := s.sync(d); err != nil {
		return diskError(err)
	}
	return nil
}

// diskError tells a full disk from a broken one. An error that says what to do is kept.
func diskError(err error) error {
	var e *caos.Error
	if errors.As(err, &e) {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return caos.Wrap(caos.Full, err, "there is no room left for the baseline").WithHint("free space on the server's disk")
	}
	return caos.Wrap(caos.Unavailable, err, "the store of baselines cannot be used").WithHint("the server's log has the cause")
}
