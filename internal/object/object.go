// Package object keeps bytes under their SHA-256: evidence artifacts, baselines,
// documents. An object is written once, read many times and never changed.
//
// On disk an object is root/ab/cdef…, named by the 64 hexadecimal digits of its digest,
// and root/tmp holds what is on its way in. The file is complete, synced and under its
// name before any row speaks of it, so a crash can leave a file without a row but never a
// row without its file. [Store.Bind] writes the row in the transaction of whoever needs
// the object; [Store.Sweep] removes what nobody bound for seven days.
//
// Every path goes through os.Root: no name, link or digest leads out of the folder.
package object

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"caos"
	"caos/internal/db"
)

const (
	// Grace is how long an object may wait for its first row.
	Grace = 7 * 24 * time.Hour

	prefix      = "SHA256:"
	tmpDir      = "tmp"
	tmpLifetime = 24 * time.Hour
	asidePrefix = "aside-" // of objects in tmp that a sweep is deciding about
	defaultMax  = 1 << 30
	bufferSize  = 128 << 10
)

// Ref names stored bytes.
type Ref struct {
	Digest string `json:"digest"` // "SHA256:<64 lower-case hex>"
	Size   int64  `json:"size"`   // bytes
}

// PutOptions says what may come in.
type PutOptions struct {
	MaxBytes     int64  // more is refused; 0 means 1 GiB
	ExpectSHA256 string // digest that the bytes must have, with or without "SHA256:"; "" for any
	ExpectSize   int64  // length that they must have; 0 for any
}

// Binding is why an object is kept.
type Binding struct {
	Owner          string    // id of the thing that refers to it, such as an evidence id
	Kind           string    // what it is to its owner, such as "artifact"
	RetainUntil    time.Time // zero for no floor
	Hold           bool      // never to be removed until released by a decision
	Project        string
	Classification string
}

// Store is an open object store. It is safe for concurrent use, and two processes may
// share the folder.
type Store struct {
	root *os.Root
	db   *db.DB
	now  func() time.Time
}

// Open opens the store in the folder root, making it if it is not there.
func Open(root string, d *db.DB, now func() time.Time) (*Store, error) {
	if err := os.MkdirAll(root, 0o750); err != nil {
		return nil, fmt.Errorf("object store: %w", err)
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, fmt.Errorf("object store: %w", err)
	}
	if err := r.Mkdir(tmpDir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		r.Close()
		return nil, fmt.Errorf("object store: %w", err)
	}
	return &Store{root: r, db: d, now: now}, nil
}

// Close releases the folder.
func (s *Store) Close() error { return s.root.Close() }

// ParseDigest returns the hexadecimal digits of "SHA256:<64 lower-case hex>", or an
// Invalid error.
func ParseDigest(digest string) (string, error) {
	h, ok := strings.CutPrefix(digest, prefix)
	if !ok || len(h) != 2*sha256.Size || strings.Trim(h, "0123456789abcdef") != "" {
		return "", caos.Errorf(caos.Invalid, "%.80q is not a digest", digest).
			WithHint("a digest is SHA256: and 64 lower-case hexadecimal digits")
	}
	return h, nil
}

func path(h string) string { return h[:2] + "/" + h[2:] }

// Put stores what r gives, using little memory whatever its size. When it returns without
// an error the bytes are on disk under their digest. When it fails, for whatever reason,
// nothing is left of them.
//
// Errors: TooLarge over MaxBytes; Invalid for another digest or length than expected, or
// when r ends early; Full when the disk is; r's own error if that is a *caos.Error.
func (s *Store) Put(ctx context.Context, r io.Reader, opt PutOptions) (Ref, error) {
	if opt.MaxBytes <= 0 {
		opt.MaxBytes = defaultMax
	}
	tmp := tmpDir + "/" + rand.Text()
	f, err := s.root.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return Ref{}, diskError(err)
	}
	defer s.root.Remove(tmp) // gone already if it was renamed
	defer f.Close()
	sum := sha256.New()
	n, err := copyBounded(ctx, io.MultiWriter(f, sum), r, opt.MaxBytes)
	if err != nil {
		return Ref{}, err
	}
	h := hex.EncodeToString(sum.Sum(nil))
	if err := expected(opt, h, n); err != nil {
		return Ref{}, err
	}
	if err := f.Chmod(0o440); err != nil {
		return Ref{}, diskError(err)
	}
	if err := f.Sync(); err != nil {
		return Ref{}, diskError(err)
	}
	if err := f.Close(); err != nil {
		return Ref{}, diskError(err)
	}
	if err := s.place(ctx, tmp, h, n); err != nil {
		return Ref{}, err
	}
	return Ref{Digest: prefix + h, Size: n}, nil
}

// copyBounded copies until r ends. Its errors say whose fault it was.
func copyBounded(ctx context.Context, w io.Writer, r io.Reader, limit int64) (int64, error) {
	buf := make([]byte, bufferSize)
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return 0, caos.Wrap(caos.Unavailable, err, "the upload was cancelled")
		}
		n, err := r.Read(buf)
		if total += int64(n); total > limit {
			return 0, caos.Errorf(caos.TooLarge, "the content has more than %d bytes", limit).
				WithHint("the limit is set in the server's configuration")
		}
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return 0, diskError(err)
			}
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			var ce *caos.Error
			if errors.As(err, &ce) {
				return 0, ce
			}
			return 0, caos.Wrap(caos.Invalid, err, "the content broke off after %d bytes", total).WithHint("send it again")
		}
	}
}

func expected(opt PutOptions, h string, n int64) error {
	if opt.ExpectSize > 0 && n != opt.ExpectSize {
		return caos.Errorf(caos.Invalid, "the content has %d bytes, not the %d announced", n, opt.ExpectSize).WithHint("send it again")
	}
	if opt.ExpectSHA256 == "" {
		return nil
	}
	want := strings.ToLower(strings.TrimPrefix(opt.ExpectSHA256, prefix))
	if want != h {
		return caos.Errorf(caos.Invalid, "the content's digest is %s%s, not the one announced", prefix, h).
			WithHint("it was changed on its way, or another file was meant")
	}
	return nil
}

// place gives the finished file its name, or finds that the same bytes have it already.
// A sweep, of this or another process, may take the old file away at any moment; then
// this one takes its place.
func (s *Store) place(ctx context.Context, tmp, h string, size int64) error {
	made := false
	if err := s.root.Mkdir(h[:2], 0o750); err == nil {
		made = true
	} else if !errors.Is(err, fs.ErrExist) {
		return diskError(err)
	}
	for range 3 {
		now := s.now()
		switch err := s.root.Chtimes(path(h), now, now); { // first of all young again: no sweep takes it now
		case err == nil:
			err := s.same(ctx, h, size)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
		case errors.Is(err, fs.ErrNotExist):
			if err := s.root.Chtimes(tmp, now, now); err != nil {
				return diskError(err)
			}
			if err := s.root.Rename(tmp, path(h)); err != nil {
				return diskError(err)
			}
		default:
			return diskError(err)
		}
		// Also when the file was there before: its own Put may not have come this far.
		if err := s.syncDir(h[:2]); err != nil {
			return err
		}
		if made {
			return s.syncDir(".")
		}
		return nil
	}
	return caos.Errorf(caos.Unavailable, "the object store is being swept").WithHint("try again")
}

// same makes sure that the bytes stored under h are those bytes.
func (s *Store) same(ctx context.Context, h string, size int64) error {
	f, err := s.root.Open(path(h))
	if err != nil {
		return err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || fi.Size() != size || !fi.Mode().IsRegular() {
		return damaged(h)
	}
	got, err := digestOf(ctx, f)
	if err != nil {
		return diskError(err)
	}
	if got != h {
		return damaged(h)
	}
	return nil
}

func damaged(h string) error {
	return caos.Errorf(caos.Internal, "the stored object %s%s was changed on disk", prefix, h).
		WithHint("restore it from a backup; the daily check raises an alert that names it")
}

func (s *Store) syncDir(name string) error {
	d, err := s.root.Open(name)
	if err != nil {
		return diskError(err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return diskError(err)
	}
	return nil
}

// diskError tells a full disk from a broken one.
func diskError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return caos.Wrap(caos.Full, err, "there is no room left to store the content").WithHint("free space on the server's disk")
	}
	return caos.Wrap(caos.Unavailable, err, "the object store cannot be written").WithHint("the server's log has the cause")
}

// Bind records in tx that ref is needed, and why. The floors of an earlier binding of the
// same owner and kind are only raised. Bind within Grace after Put.
func (s *Store) Bind(tx *db.Tx, ref Ref, b Binding) error {
	if _, err := ParseDigest(ref.Digest); err != nil {
		return err
	}
	now := s.now().UnixMicro()
	tx.Exec(`INSERT INTO objects (digest, size, created_at) VALUES ($1, $2, $3) ON CONFLICT (digest) DO NOTHING`,
		ref.Digest, ref.Size, now)
	until := int64(0)
	if !b.RetainUntil.IsZero() {
		until = b.RetainUntil.UnixMicro()
	}
	hold := 0
	if b.Hold {
		hold = 1
	}
	tx.Exec(`INSERT INTO object_refs (digest, owner, kind, retain_until, hold, project, classification, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (digest, owner, kind) DO UPDATE SET
			retain_until = CASE WHEN excluded.retain_until > object_refs.retain_until THEN excluded.retain_until ELSE object_refs.retain_until END,
			hold = CASE WHEN excluded.hold > object_refs.hold THEN excluded.hold ELSE object_refs.hold END`,
		ref.Digest, b.Owner, b.Kind, until, hold, b.Project, b.Classification, now)
	return tx.Err()
}

const selectRefs = `SELECT owner, kind, retain_until, hold, project, classification FROM object_refs WHERE digest = $1 ORDER BY owner, kind LIMIT 1000`

// References lists what keeps an object, so that a reader's rights can be judged by it.
func (s *Store) References(ctx context.Context, digest string) ([]Binding, error) {
	if _, err := ParseDigest(digest); err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, selectRefs, digest)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Binding
	for rows.Next() {
		b, err := scanBinding(rows.Scan)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, rows.Err()
}

// ReferencesIn is References as a transaction sees them.
func (s *Store) ReferencesIn(tx *db.Tx, digest string) ([]Binding, error) {
	var out []Binding
	err := tx.Query(selectRefs, []any{digest}, func(scan func(...any) error) error {
		b, err := scanBinding(scan)
		out = append(out, b)
		return err
	})
	return out, err
}

func scanBinding(scan func(...any) error) (Binding, error) {
	var b Binding
	var until, hold int64
	if err := scan(&b.Owner, &b.Kind, &until, &hold, &b.Project, &b.Classification); err != nil {
		return b, fmt.Errorf("object: read references: %w", err)
	}
	if until > 0 {
		b.RetainUntil = time.UnixMicro(until).UTC()
	}
	b.Hold = hold != 0
	return b, nil
}

// Stat returns the size of an object that is there, NotFound for one that is not, and
// Internal if its size on disk is not the recorded one.
func (s *Store) Stat(digest string) (Ref, error) {
	f, size, err := s.Open(digest)
	if err != nil {
		return Ref{}, err
	}
	f.Close()
	return Ref{Digest: digest, Size: size}, nil
}

// Open returns the bytes of an object and their number, which is checked against the
// recorded one. It does not hash them; VerifyReader does.
func (s *Store) Open(digest string) (io.ReadSeekCloser, int64, error) {
	h, err := ParseDigest(digest)
	if err != nil {
		return nil, 0, err
	}
	f, err := s.root.Open(path(h))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, caos.Errorf(caos.NotFound, "there is no object %s", digest)
	}
	if err != nil {
		return nil, 0, diskError(err)
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, diskError(err)
	}
	recorded, err := s.recorded(digest)
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	if !fi.Mode().IsRegular() || recorded >= 0 && fi.Size() != recorded {
		f.Close()
		return nil, 0, damaged(h)
	}
	return f, fi.Size(), nil
}

// recorded is the size in the object's row, -1 without one.
func (s *Store) recorded(digest string) (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var size int64
	err := s.db.QueryRow(ctx, `SELECT size FROM objects WHERE digest = $1`, digest).Scan(&size)
	if errors.Is(err, sql.ErrNoRows) {
		return -1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("object: read size: %w", err)
	}
	return size, nil
}

// VerifyReader returns the bytes of an object through a check: the reader ends with an
// Internal error in place of io.EOF if they are not the ones that were stored.
func (s *Store) VerifyReader(digest string) (io.ReadCloser, int64, error) {
	f, size, err := s.Open(digest)
	if err != nil {
		return nil, 0, err
	}
	h, _ := ParseDigest(digest)
	return &verifying{ReadCloser: f, sum: sha256.New(), want: h}, size, nil
}

type verifying struct {
	io.ReadCloser
	sum  hash.Hash
	want string
}

func (v *verifying) Read(p []byte) (int, error) {
	n, err := v.ReadCloser.Read(p)
	v.sum.Write(p[:n])
	if errors.Is(err, io.EOF) {
		if want, _ := hex.DecodeString(v.want); !bytes.Equal(v.sum.Sum(nil), want) {
			return n, damaged(v.want)
		}
	}
	return n, err
}

// digestOf hashes r, in pieces, until it ends or ctx does.
func digestOf(ctx context.Context, r io.Reader) (string, error) {
	sum := sha256.New()
	buf := make([]byte, bufferSize)
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := r.Read(buf)
		sum.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(sum.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
}
