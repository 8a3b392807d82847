package baseline

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"unicode"
	"unicode/utf8"

	"caos"
	"caos/internal/verify"
)

// Write makes the baseline of a draft and returns when all of it is on disk. report, which
// may be nil, is told how many of the total bytes are written, by one caller at a time.
//
// When it fails, nothing is left. When it is cut off by a crash, the same draft may be
// written again: if the baseline had come to be, Write reads all of it, compares it with the
// draft and returns what the first one would have returned.
//
// Errors: Invalid for a draft that cannot be a baseline and for a file that has not the
// bytes which its source says; Conflict if the id has another owner's baseline or another
// content; Full when the disk is; Unavailable while another writer has the id; a source's
// own error if that is a *caos.Error.
func (s *Store) Write(ctx context.Context, d Draft, report func(done, total int64)) (*Sealed, error) {
	w, err := newWriting(s, d, report)
	if err != nil {
		return nil, err
	}
	l, err := s.lock(d.ID)
	if err != nil {
		return nil, err
	}
	defer l.close()
	there, err := s.exists(d.ID)
	if err != nil {
		return nil, err
	}
	if there {
		return w.again(ctx, l)
	}
	sealed, err := w.anew(ctx, l)
	if err == nil {
		return sealed, nil
	}
	if there, gone := s.exists(d.ID); there || gone != nil {
		return nil, err // it is complete, and only its name may not be on disk yet: the next Write sees to that
	}
	return nil, errors.Join(err, s.removeTree(stagingPre+d.ID), l.remove())
}

// writing is one call of Write.
type writing struct {
	s         *Store
	d         Draft
	keyPEM    []byte
	statement []byte
	sealed    *Sealed // without what the bundle adds

	mu     sync.Mutex
	report func(done, total int64)
	done   int64
	err    error // the first
}

// newWriting checks a draft and builds the statement about it.
func newWriting(s *Store, d Draft, report func(done, total int64)) (*writing, error) {
	if err := CheckID("id", d.ID); err != nil {
		return nil, err
	}
	if err := caos.CheckID("resource", "owner", d.Owner); err != nil {
		return nil, err
	}
	if d.Signer == nil || !strings.HasPrefix(d.Signer.KeyID(), verify.PurposeBaseline+"-") {
		return nil, caos.Errorf(caos.Internal, "a baseline is signed with a key of purpose baseline").WithRule("key-purpose")
	}
	key, err := verify.ModelKeyPEM(d.Signer.Public())
	if err != nil {
		return nil, err
	}
	if err := checkPaths(d.Files); err != nil {
		return nil, err
	}
	w := &writing{s: s, d: d, keyPEM: key, report: report}
	resources := make([]verify.ModelResource, 0, len(d.Files))
	sizes := make(map[string]int64, len(d.Files))
	var total int64
	for _, f := range d.Files {
		if f.Size < 0 || total+f.Size < total || f.Open == nil {
			return nil, caos.Errorf(caos.Invalid, "the file %s has no usable size or source", f.Path).WithField("files")
		}
		total += f.Size
		resources = append(resources, verify.ModelResource{Name: f.Path, Digest: f.Digest})
		sizes[f.Path] = f.Size
	}
	statement, root, err := verify.BuildModelStatement(d.ID, resources)
	if err != nil {
		return nil, err
	}
	w.statement = statement
	w.sealed = &Sealed{Root: root, Bytes: total, Files: make([]File, 0, len(resources))}
	for _, r := range resources {
		w.sealed.Files = append(w.sealed.Files, File{Path: r.Name, Digest: r.Digest, Size: sizes[r.Name]})
	}
	return w, nil
}

const (
	maxPath = 200
	maxPart = 100
)

// checkPaths refuses names that would be something else, or the same, on another system.
func checkPaths(files []Source) error {
	bad := func(p, why string) error {
		return caos.Errorf(caos.Invalid, "%.220q %s", p, why).WithField("files").
			WithHint("name files by relative paths of at most %d bytes, with slashes", maxPath)
	}
	spelled := map[string]string{strings.ToLower(verify.ModelSignatureName): ""}
	for _, f := range files {
		p := f.Path
		switch {
		case !utf8.ValidString(p):
			return bad(p, "is not UTF-8")
		case !fs.ValidPath(p) || p == ".":
			return bad(p, "is no relative path within a folder")
		case len(p) > maxPath:
			return bad(p, "is too long for a file of a baseline")
		case strings.Contains(p, `\`) || strings.ContainsFunc(p, func(r rune) bool { return !unicode.IsPrint(r) }):
			return bad(p, "has a character that not every system can have in a name")
		}
		for part := range strings.SplitSeq(p, "/") {
			if part[0] == '.' || len(part) > maxPart {
				return bad(p, "has a part that begins with a dot or is too long")
			}
		}
		for q := p; q != "."; q = path.Dir(q) {
			fold := strings.ToLower(strings.ToUpper(q))
			if was, ok := spelled[fold]; ok && was != q {
				return bad(p, "differs in upper and lower case alone from another, or has the name of the bundle")
			}
			spelled[fold] = q
		}
	}
	return nil
}

// anew writes the whole baseline under its staging name and gives it its own.
func (w *writing) anew(ctx context.Context, l *locked) (*Sealed, error) {
	s, id := w.s, w.d.ID
	rec := &record{Version: 1, BaselineID: id, Owner: w.d.Owner, Started: caos.FormatTime(s.now()),
		KeyID: w.d.Signer.KeyID(), PublicKey: string(w.keyPEM)}
	if err := inOrder(s.at("claim"), func() error { return l.write(rec) }, s.at("claimed")); err != nil {
		return nil, err
	}
	staging := stagingPre + id
	if err := s.removeTree(staging); err != nil {
		return nil, err
	}
	folders, err := w.makeFolders(staging)
	if err != nil {
		return nil, err
	}
	if err := w.copyAll(ctx, staging); err != nil {
		return nil, err
	}
	if err := w.seal(ctx, staging); err != nil {
		return nil, err
	}
	for _, f := range slices.Backward(folders) { // the deepest first: a folder is synced when all in it is
		err := inOrder(s.at("folder"), func() error { return s.root.Chmod(f, folderMode) }, func() error { return s.syncFolder(f) })
		if err != nil {
			return nil, diskError(err)
		}
	}
	rec.Sealed, rec.Root, rec.BundleDigest = caos.FormatTime(s.now()), w.sealed.Root, w.sealed.BundleDigest
	err = inOrder(s.at("record"), func() error { return l.write(rec) },
		s.at("rename"), func() error { return s.root.Rename(staging, id) },
		s.at("renamed"), func() error { return s.syncFolder(".") }, s.at("done"))
	if err != nil {
		return nil, diskError(err)
	}
	return w.sealed, nil
}

// makeFolders makes the staging folder and those in it, and returns their names, parents
// first.
func (w *writing) makeFolders(staging string) ([]string, error) {
	set := map[string]bool{staging: true}
	for _, f := range w.d.Files {
		for dir := path.Dir(path.Join(staging, f.Path)); !set[dir]; dir = path.Dir(dir) {
			set[dir] = true
		}
	}
	folders := make([]string, 0, len(set))
	for dir := range set {
		folders = append(folders, dir)
	}
	slices.Sort(folders)
	for _, dir := range folders {
		if err := inOrder(w.s.at("mkdir"), func() error { return w.s.root.Mkdir(dir, 0o700) }); err != nil {
			return nil, diskError(err)
		}
	}
	return folders, nil
}

// copyAll copies the files, several at once and the largest first.
func (w *writing) copyAll(ctx context.Context, staging string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	files := slices.Clone(w.d.Files)
	slices.SortStableFunc(files, func(a, b Source) int { return int(min(max(b.Size-a.Size, -1), 1)) })
	next := make(chan Source)
	var wg sync.WaitGroup
	// Twice the processors: some of them wait for the disk.
	for range min(len(files), 2*runtime.GOMAXPROCS(0), 8) {
		wg.Go(func() {
			for f := range next {
				if err := w.copyFile(ctx, path.Join(staging, f.Path), f); err != nil {
					w.fail(err)
					cancel()
				}
			}
		})
	}
feed:
	for _, f := range files {
		select {
		case next <- f:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	wg.Wait()
	if w.err == nil && ctx.Err() != nil {
		w.err = caos.Wrap(caos.Unavailable, ctx.Err(), "the freeze was cancelled")
	}
	return w.err
}

// fail keeps the first error: those after it come from the cancellation.
func (w *writing) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

func (w *writing) progress(n int64) {
	if w.report == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done += n
	w.report(w.done, w.sealed.Bytes)
}

// create makes a file that nobody may write once it is closed.
func (s *Store) create(name string) (*os.File, error) {
	f, err := s.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, diskError(err)
	}
	return f, nil
}

// finish syncs and closes a file that create made.
func (s *Store) finish(f *os.File) error {
	err := inOrder(func() error { return f.Chmod(fileMode) }, s.at("sync"), func() error { return s.sync(f) }, s.at("synced"), f.Close)
	if err != nil {
		return diskError(err)
	}
	return nil
}

// copyFile copies one file, hashing what it copies, and syncs it.
func (w *writing) copyFile(ctx context.Context, name string, src Source) (err error) {
	if err := w.s.at("create")(); err != nil {
		return err
	}
	r, err := src.Open()
	if err != nil {
		return sourceError(src, err)
	}
	defer r.Close()
	f, err := w.s.create(name)
	if err != nil {
		return err
	}
	defer f.Close() // twice where all went well, which does no harm
	if err := reserve(f, src.Size); err != nil {
		return diskError(err)
	}
	digest, n, err := w.stream(ctx, f, r, src)
	if err != nil {
		return err
	}
	if n != src.Size {
		return caos.Errorf(caos.Invalid, "the file %s has %d bytes or more, not the %d that are recorded", src.Path, n, src.Size).WithField("files")
	}
	if digest != src.Digest {
		return caos.Errorf(caos.Invalid, "the file %s has the digest %s, not the recorded %s", src.Path, digest, src.Digest).
			WithField("files").WithHint("its bytes were changed since they were registered")
	}
	if err := w.s.at("written")(); err != nil {
		return err
	}
	return w.s.finish(f)
}

// writeStep is after how many bytes the kernel is asked to begin writing.
const writeStep = 8 << 20

// stream copies at most one byte more than the source should have. While a piece is
// written, the hash of it is computed beside.
func (w *writing) stream(ctx context.Context, f *os.File, r io.Reader, src Source) (digest string, total int64, err error) {
	h := verify.StartModelHash(src.Size)
	defer func() { digest = h.Sum() }()
	r = io.LimitReader(r, src.Size+1)
	var started int64
	for {
		b := h.Buffer()
		n, rerr := io.ReadFull(r, b)
		h.Add(b[:n])
		if n > 0 {
			if _, err := f.Write(b[:n]); err != nil {
				return "", total, diskError(err)
			}
		}
		total += int64(n)
		w.progress(int64(n))
		if total-started >= writeStep {
			startWriting(f, started, total-started)
			started = total
		}
		switch {
		case errors.Is(rerr, io.EOF) || errors.Is(rerr, io.ErrUnexpectedEOF):
			return "", total, nil
		case rerr != nil:
			return "", total, sourceError(src, rerr)
		case ctx.Err() != nil:
			return "", total, caos.Wrap(caos.Unavailable, ctx.Err(), "the freeze was cancelled")
		}
	}
}

func sourceError(src Source, err error) error {
	var e *caos.Error
	if errors.As(err, &e) {
		return err
	}
	return caos.Wrap(caos.Unavailable, err, "the file %s cannot be read from where it is kept", src.Path).WithHint("the server's log has the cause")
}

// seal signs the statement and writes the bundle.
func (w *writing) seal(ctx context.Context, staging string) error {
	sig, err := w.d.Signer.Sign(ctx, verify.PAE(verify.InTotoType, w.statement))
	if err != nil {
		return caos.Wrap(caos.Unavailable, err, "the key %s could not sign", w.d.Signer.KeyID())
	}
	bundle, err := verify.MarshalModelBundle(w.statement, w.d.Signer.Public(), w.d.Signer.KeyID(), sig)
	if err != nil {
		return err
	}
	// Read as everybody else will read it, before anybody can.
	st, err := verify.CheckModelBundle(bundle, w.d.Signer.Public())
	if err != nil {
		return caos.Wrap(caos.Internal, err, "the bundle of %s does not verify", w.d.ID)
	}
	w.sealed.StatementDigest, w.sealed.BundleDigest, w.sealed.KeyID = st.StatementDigest, st.BundleDigest, w.d.Signer.KeyID()
	if err := w.s.at("bundle")(); err != nil {
		return err
	}
	f, err := w.s.create(path.Join(staging, verify.ModelSignatureName))
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(bundle); err != nil {
		return diskError(err)
	}
	return w.s.finish(f)
}

// again answers for a baseline that is there already.
func (w *writing) again(ctx context.Context, l *locked) (*Sealed, error) {
	s, id := w.s, w.d.ID
	taken := func(why string) error {
		return caos.Errorf(caos.Conflict, "the baseline %s %s", id, why).WithField("id").
			WithHint("a baseline is written once; what no record speaks of can be discarded")
	}
	rec, err := l.read()
	if err != nil {
		return nil, err
	}
	if rec == nil { // lost; what is there decides
		rec = &record{Version: 1, BaselineID: id, Owner: w.d.Owner, KeyID: w.d.Signer.KeyID(), PublicKey: string(w.keyPEM)}
	}
	if rec.Owner != w.d.Owner {
		return nil, taken("was written by " + rec.Owner)
	}
	pub, err := rec.public()
	if err != nil {
		return nil, err
	}
	bundle, err := s.Bundle(id)
	if err != nil {
		return nil, err
	}
	st, err := verify.CheckModelBundle(bundle, pub)
	if err != nil {
		return nil, caos.Wrap(caos.Conflict, err, "the baseline %s is there and its bundle does not verify", id).WithField("id")
	}
	if st.Name != id || st.Root != w.sealed.Root || !slices.EqualFunc(st.Resources, w.sealed.Files, func(r verify.ModelResource, f File) bool { return r.Name == f.Path && r.Digest == f.Digest }) {
		return nil, taken("is there with other files")
	}
	problems, err := s.compare(ctx, id, st, w.report)
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, caos.Errorf(caos.Conflict, "the baseline %s is there and was damaged: %s %s", id, problems[0].Path, problems[0].Message).WithField("id")
	}
	if rec.Sealed == "" || rec.BundleDigest != st.BundleDigest {
		rec.Sealed, rec.Root, rec.BundleDigest = caos.FormatTime(s.now()), st.Root, st.BundleDigest
		if err := l.write(rec); err != nil {
			return nil, err
		}
	}
	// The crash may have come before the name was on disk.
	if err := s.syncFolder("."); err != nil {
		return nil, err
	}
	w.sealed.StatementDigest, w.sealed.BundleDigest, w.sealed.KeyID = st.StatementDigest, st.BundleDigest, rec.KeyID
	return w.sealed, nil
}

// Discard removes a baseline of owner's, whole or half written, that no row speaks of. It is
// no error if there is none. Another owner's is a Conflict.
func (s *Store) Discard(ctx context.Context, id, owner string) error {
	if err := CheckID("id", id); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	l, err := s.lock(id)
	if err != nil {
		return err
	}
	defer l.close()
	rec, err := l.read()
	if err != nil {
		return err
	}
	there, err := s.exists(id)
	if err != nil {
		return err
	}
	if rec != nil && rec.Owner != owner || rec == nil && there {
		by := "nobody knows whom"
		if rec != nil {
			by = rec.Owner
		}
		return caos.Errorf(caos.Conflict, "the baseline %s was written by %s", id, by).WithField("owner")
	}
	if err := s.removeTree(stagingPre + id); err != nil {
		return err
	}
	if there {
		// First the name, at once; then what had it, bit by bit.
		if err := s.root.Rename(id, stagingPre+id); err != nil {
			return diskError(err)
		}
		err := inOrder(func() error { return s.syncFolder(".") }, s.at("discard"), func() error { return s.removeTree(stagingPre + id) }, s.at("discarded"))
		if err != nil {
			return err
		}
	}
	return l.remove()
}
