// Package baseline keeps frozen models: folders that are written once, hashed while they
// are written, signed as OpenSSF Model Signing says, and never changed.
//
// On disk a baseline is root/<id>: the model's files, read-only, and model.sig, the bundle
// that names every one of them. root/.staging holds what is on its way in. A folder gets
// its name when it is complete and synced, so that a crash leaves the whole of a baseline
// or nothing that bears its name; what it leaves under .staging the next Write or Discard
// clears away.
//
// Every path goes through os.Root: no name and no link leads out of the folder.
package baseline

import (
	"context"
	"crypto"
	"errors"
	"io"
	"time"

	"caos/internal/sign"
)

// Source is a file that goes into a baseline.
type Source struct {
	Path   string                        // in the baseline, relative, with slashes
	Digest string                        // "SHA256:<hex>" that its bytes must have
	Size   int64                         // bytes
	Open   func() (io.ReadCloser, error) // called once, closed by Write
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
	Changed   = "changed"   // other bytes, another size, another mode, or something that is no file
	Missing   = "missing"   // named by the bundle, not in the folder
	Extra     = "extra"     // in the folder, not named by the bundle
	Signature = "signature" // the bundle is not signed by the key
	Manifest  = "manifest"  // the bundle is missing, unreadable, or contradicts itself
)

// Problem is one difference between a baseline and what was frozen.
type Problem struct {
	Path    string `json:"path"` // of the file; "model.sig" for the bundle, "." for the folder
	Kind    string `json:"kind"` // Changed, Missing, Extra, Signature or Manifest
	Message string `json:"message"`
}

// Store is an open store of baselines. It is safe for concurrent use; one process at a
// time opens a folder.
type Store struct{}

var errNotYet = errors.New("baseline: not written yet")

// Open opens the store in the folder root, making it if it is not there.
func Open(root string, now func() time.Time) (*Store, error) { return &Store{}, nil }

// Close releases the folder.
func (s *Store) Close() error { return nil }

// Draft is a baseline that is to be written.
type Draft struct {
	ID     string      // of the baseline, and the name of its folder
	Owner  string      // id of the execution that writes it
	Files  []Source    // in any order
	Signer sign.Signer // with a key of purpose baseline
}

// Write makes the baseline of a draft.
func (s *Store) Write(ctx context.Context, d Draft, report func(done, total int64)) (*Sealed, error) {
	return nil, errNotYet
}

// Owner returns who wrote the baseline id or began to, "" when nobody did.
func (s *Store) Owner(id string) (string, error) { return "", errNotYet }

// Discard removes what owner has of a baseline that never came to be.
func (s *Store) Discard(ctx context.Context, id, owner string) error { return errNotYet }

// Verify compares a baseline with its bundle, and the bundle with the key.
func (s *Store) Verify(ctx context.Context, id string, pub crypto.PublicKey, report func(done, total int64)) ([]Problem, error) {
	return nil, errNotYet
}

// Open returns a file of a baseline and its size.
func (s *Store) Open(id, path string) (io.ReadSeekCloser, int64, error) { return nil, 0, errNotYet }

// Bundle returns the bytes of a baseline's model.sig.
func (s *Store) Bundle(id string) ([]byte, error) { return nil, errNotYet }

// Export writes a baseline as a deterministic tar.
func (s *Store) Export(ctx context.Context, id string, w io.Writer) error { return errNotYet }

// List returns the ids of all baselines.
func (s *Store) List(ctx context.Context) ([]string, error) { return nil, errNotYet }
