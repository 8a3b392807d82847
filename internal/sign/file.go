package sign

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"context"

	"caos"
	"caos/internal/verify"
)

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// fileSigner signs with a private key in memory.
type fileSigner struct {
	id, algorithm string
	private       crypto.Signer
}

func (f *fileSigner) KeyID() string            { return f.id }
func (f *fileSigner) Algorithm() string        { return f.algorithm }
func (f *fileSigner) Public() crypto.PublicKey { return f.private.Public() }

func (f *fileSigner) Sign(ctx context.Context, message []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if f.algorithm == verify.Ed25519 {
		return f.private.Sign(nil, message, crypto.Hash(0))
	}
	sum := sha256.Sum256(message)
	return f.private.Sign(rand.Reader, sum[:], crypto.SHA256)
}

// newPrivate makes a private key for a purpose.
func newPrivate(p Purpose) (any, error) {
	switch verify.AlgorithmFor(string(p)) {
	case verify.Ed25519:
		_, priv, err := ed25519.GenerateKey(rand.Reader)
		return priv, err
	case verify.ECDSAP256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case verify.X25519:
		return ecdh.X25519().GenerateKey(rand.Reader)
	}
	return nil, caos.Errorf(caos.Invalid, "%q is not a purpose of a key", string(p)).WithField("purpose")
}

// publicOf returns the public half of what newPrivate makes.
func publicOf(private any) crypto.PublicKey {
	switch k := private.(type) {
	case crypto.Signer:
		return k.Public()
	case *ecdh.PrivateKey:
		return k.PublicKey()
	}
	return nil
}

const pemType = "PRIVATE KEY"

func marshalPrivate(private any) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), nil
}

func parsePrivate(data []byte) (any, error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != pemType || len(rest) > 0 || len(block.Headers) > 0 {
		return nil, errors.New("not one PKCS#8 PEM block")
	}
	return x509.ParsePKCS8PrivateKey(block.Bytes)
}

// readPrivate reads a file of the key folder. A key that others could read or that
// somebody else owns is not a secret, so it is refused, as is a link that leads elsewhere.
func readPrivate(root *os.Root, name string) ([]byte, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if err := checkPrivate(info, name); err != nil {
		return nil, err
	}
	if info.Size() > 64<<10 {
		return nil, caos.Errorf(caos.TooLarge, "the key file %s has %d bytes", name, info.Size()).WithField(name)
	}
	return root.ReadFile(name)
}

func checkPrivate(info fs.FileInfo, name string) error {
	if !info.Mode().IsRegular() {
		return caos.Errorf(caos.Denied, "%s in the key folder is not a regular file", name).WithField(name).
			WithRule("key-file").WithHint("replace it with the file itself")
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return caos.Errorf(caos.Denied, "the key file %s has mode %04o, so others may read it", name, perm).WithField(name).
			WithRule("key-file").WithHint("if nobody else can have read it: chmod 600 %s; else report the key compromised", name)
	}
	if !ownedByUs(info) {
		return caos.Errorf(caos.Denied, "the key file %s belongs to another user", name).WithField(name).
			WithRule("key-file").WithHint("run CAOS as the user who owns its data folder")
	}
	return nil
}

// writePrivate writes a file of the key folder so that after a crash there is the old
// content or the new, never a part: write aside, fsync, rename, fsync the folder.
func writePrivate(root *os.Root, name string, data []byte) error {
	tmp := tempPrefix + name
	if err := root.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = root.Rename(tmp, name)
	}
	if err != nil {
		return errors.Join(err, root.Remove(tmp))
	}
	return syncFolder(root)
}

const tempPrefix = ".new-"

func syncFolder(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// openFolder opens the key folder, making it if needed, and refuses one that others can
// enter.
func openFolder(dir string) (*os.Root, error) {
	if err := os.MkdirAll(filepath.Clean(dir), 0o700); err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the key folder cannot be made").WithField(dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the key folder cannot be opened").WithField(dir)
	}
	info, err := root.Stat(".")
	switch {
	case err != nil:
	case info.Mode().Perm()&0o077 != 0:
		err = caos.Errorf(caos.Denied, "the key folder %s has mode %04o, so others may enter it", dir, info.Mode().Perm()).
			WithField(dir).WithRule("key-file").WithHint("chmod 700 %s", dir)
	case !ownedByUs(info):
		err = caos.Errorf(caos.Denied, "the key folder %s belongs to another user", dir).
			WithField(dir).WithRule("key-file").WithHint("run CAOS as the user who owns its data folder")
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}
