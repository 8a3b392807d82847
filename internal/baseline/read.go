package baseline

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"caos"
	"caos/internal/verify"
)

// folder opens the folder of a baseline.
func (s *Store) folder(id string) (*os.Root, error) {
	if err := CheckID("id", id); err != nil {
		return nil, err
	}
	there, err := s.exists(id)
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, caos.Errorf(caos.NotFound, "there is no baseline %s in the store", id)
	}
	dir, err := s.root.OpenRoot(id)
	if err != nil {
		return nil, diskError(err)
	}
	return dir, nil
}

// openFile opens a file of a folder that is a file and nothing else: a link, or a pipe that
// would wait for a writer, is refused.
func openFile(dir *os.Root, name string) (*os.File, int64, error) {
	odd := func() error {
		return caos.Errorf(caos.Internal, "%.220q in the baseline is not a file any more", name).WithHint("verify the baseline")
	}
	link, err := dir.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, 0, caos.Errorf(caos.NotFound, "there is no file %.220q in the baseline", name).WithField("path")
	}
	if err != nil {
		return nil, 0, diskError(err)
	}
	if !link.Mode().IsRegular() {
		return nil, 0, odd()
	}
	f, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, diskError(err)
	}
	// Between the two something else may have been put in its place.
	info, err := f.Stat()
	if err != nil || !os.SameFile(link, info) {
		f.Close()
		return nil, 0, odd()
	}
	return f, info.Size(), nil
}

// Open returns a file of a baseline and its size in bytes. It does not hash it; Verify and
// Export do.
func (s *Store) Open(id, path string) (io.ReadSeekCloser, int64, error) {
	if !fs.ValidPath(path) || path == "." {
		return nil, 0, caos.Errorf(caos.Invalid, "%.220q is no path in a baseline", path).WithField("path").
			WithHint("a path is relative, with slashes, without . and ..")
	}
	dir, err := s.folder(id)
	if err != nil {
		return nil, 0, err
	}
	defer dir.Close()
	f, size, err := openFile(dir, path)
	if err != nil {
		return nil, 0, err
	}
	return f, size, nil
}

// Bundle returns the bytes of a baseline's model.sig. Whoever has a row about the baseline
// compares their digest with the recorded one: a bundle of another time, rightly signed,
// is found in no other way.
func (s *Store) Bundle(id string) ([]byte, error) {
	f, _, err := s.Open(id, verify.ModelSignatureName)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, verify.MaxModelBundle+1))
	if err != nil {
		return nil, diskError(err)
	}
	return data, nil
}

// Verify reads all of a baseline and compares it with its bundle, the bundle with the key
// and with what was recorded when it was written. report, which may be nil, is told how
// many of the total bytes are done. The problems come in the order of paths; none means
// that the baseline is intact. A folder that is gone is a problem like any other: whoever
// asks has a row that says that there was one.
func (s *Store) Verify(ctx context.Context, id string, pub crypto.PublicKey, report func(done, total int64)) ([]Problem, error) {
	if err := CheckID("id", id); err != nil {
		return nil, err
	}
	rec, err := s.record(id)
	if err != nil {
		return nil, err
	}
	bundle, problem, err := s.bundleOrProblem(id)
	if err != nil || problem != nil {
		return problem, err
	}
	b, err := verify.ParseModelBundle(bundle)
	if err != nil {
		return []Problem{{Path: verify.ModelSignatureName, Kind: Manifest, Message: err.Error()}}, nil
	}
	var problems []Problem
	found := func(kind, format string, args ...any) {
		problems = append(problems, Problem{Path: verify.ModelSignatureName, Kind: kind, Message: fmt.Sprintf(format, args...)})
	}
	if err := b.Verify(pub); err != nil {
		found(Signature, "%v", err)
	}
	if b.Name != id {
		found(Manifest, "is the bundle of %s", b.Name)
	}
	switch {
	case rec == nil:
		problems = append(problems, Problem{Path: ".", Kind: Manifest, Message: "the record beside the folder is missing or unreadable"})
	case rec.BundleDigest != b.BundleDigest:
		found(Manifest, "was replaced: it has the digest %s, the one that was written %s", b.BundleDigest, rec.BundleDigest)
	}
	more, err := s.compare(ctx, id, &b.ModelStatement, report)
	return append(problems, more...), err
}

// bundleOrProblem reads the bundle, or says as a problem why it cannot be read.
func (s *Store) bundleOrProblem(id string) ([]byte, []Problem, error) {
	info, err := s.root.Lstat(id)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, []Problem{{Path: ".", Kind: Missing, Message: "the folder of the baseline is missing"}}, nil
	case err != nil:
		return nil, nil, diskError(err)
	case !info.IsDir():
		return nil, []Problem{{Path: ".", Kind: Changed, Message: "is not a folder any more"}}, nil
	}
	bundle, err := s.Bundle(id)
	switch caos.KindOf(err) {
	case "":
		return bundle, nil, nil
	case caos.NotFound, caos.Internal:
		return nil, []Problem{{Path: verify.ModelSignatureName, Kind: Manifest, Message: caos.AsError(err).Message}}, nil
	}
	return nil, nil, err
}

// compare compares the folder of a baseline with a statement, byte by byte and mode by
// mode.
func (s *Store) compare(ctx context.Context, id string, st *verify.ModelStatement, report func(done, total int64)) ([]Problem, error) {
	dir, err := s.folder(id)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := s.list(dir)
	if err != nil {
		return nil, err
	}
	problems, err := st.Compare(ctx, entries, report)
	if err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the check of %s was cancelled", id)
	}
	modes, err := checkModes(dir)
	problems = append(problems, modes...)
	slices.SortStableFunc(problems, func(a, b Problem) int { return strings.Compare(a.Path, b.Path) })
	return problems, err
}

// list lists the folder of a baseline; its files are opened as openFile does it.
func (s *Store) list(dir *os.Root) ([]verify.ModelEntry, error) {
	entries, err := verify.ListModel(dir.FS())
	if err != nil {
		return nil, diskError(err)
	}
	for i := range entries {
		if e := &entries[i]; e.Odd == "" {
			e.Open = func() (io.ReadCloser, error) {
				f, _, err := openFile(dir, e.Path)
				return f, err
			}
		}
	}
	return entries, nil
}

// checkModes finds what somebody could write, and files that have a second name somewhere
// under which they could be written.
func checkModes(dir *os.Root) (problems []Problem, err error) {
	err = fs.WalkDir(dir.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(fileMode)
		switch {
		case d.IsDir():
			want = fs.ModeDir | folderMode
		case !info.Mode().IsRegular():
			return nil // found by others
		}
		if info.Mode() != want {
			problems = append(problems, Problem{Path: name, Kind: Changed, Message: fmt.Sprintf("has the mode %v, not %v", info.Mode(), want)})
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && !d.IsDir() && st.Nlink > 1 {
			problems = append(problems, Problem{Path: name, Kind: Changed, Message: "has a second name (a hard link)"})
		}
		return nil
	})
	if err != nil {
		return nil, diskError(err)
	}
	return problems, nil
}

// Export writes a baseline as one tar file, always the same for the same baseline: its
// public key, model.sig and the files; see verify.WriteModelTar. Every byte is compared on
// its way, and a damaged baseline ends in an Internal error and a file without an end.
func (s *Store) Export(ctx context.Context, id string, w io.Writer) error {
	bundle, err := s.Bundle(id)
	if err != nil {
		return err
	}
	rec, err := s.record(id)
	if err != nil {
		return err
	}
	if rec == nil {
		return caos.Errorf(caos.Internal, "the record of the baseline %s is missing, and its public key with it", id).WithHint("restore it from a backup")
	}
	pub, err := rec.public()
	if err != nil {
		return err
	}
	dir, err := s.folder(id)
	if err != nil {
		return err
	}
	defer dir.Close()
	entries, err := s.list(dir)
	if err != nil {
		return err
	}
	return verify.WriteModelTar(ctx, w, bundle, pub, entries)
}

// public returns the key in a record.
func (r *record) public() (crypto.PublicKey, error) {
	if block, _ := pem.Decode([]byte(r.PublicKey)); block != nil {
		if pub, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
			return pub, nil
		}
	}
	return nil, caos.Errorf(caos.Internal, "the record of the baseline %s has an unreadable key", r.BaselineID).WithHint("restore it from a backup")
}
