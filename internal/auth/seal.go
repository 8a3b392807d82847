package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"caos"
)

// Sealer encrypts small secrets at rest. context names what the secret is and whose, so
// that a sealed value moved to another row does not open.
type Sealer interface {
	Seal(context string, secret []byte) ([]byte, error)
	Open(context string, sealed []byte) ([]byte, error)
}

// The key file of the purpose encryption that secrets of accounts are sealed with.
const sealFile = "encryption-accounts.key"

// FileSealer is AES-256-GCM under a key from a file. A sealed value is the format byte 1,
// 4 bytes of the key's SHA-256, a 12-byte nonce, and the ciphertext with its tag.
type FileSealer struct {
	aead cipher.AEAD
	id   [4]byte
}

const (
	sealFormat = 1
	sealHeader = 1 + 4
)

// OpenFileSealer reads the key encryption-accounts.key (64 hex digits, mode 0600) from the
// folder for keys, or makes it if there is none.
func OpenFileSealer(dir string) (*FileSealer, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("folder for keys: %w", err)
	}
	defer root.Close()
	text, err := readKey(root)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeKey(root); err == nil || errors.Is(err, fs.ErrExist) { // another process was faster
			text, err = readKey(root)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", sealFile, err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("key %s: not 64 hex digits: restore it from a backup, second factors cannot be read without it", sealFile)
	}
	return newFileSealer(key)
}

func newFileSealer(key []byte) (*FileSealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(key)
	return &FileSealer{aead: aead, id: [4]byte(sum[:4])}, nil
}

func readKey(root *os.Root) (string, error) {
	f, err := root.Open(sealFile)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("mode is %#o: others can read it: chmod 600", st.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, 1024))
	return string(b), err
}

// makeKey writes a fresh key under another name first, so that a crash leaves no half key.
func makeKey(root *os.Root) error {
	var key [32]byte
	if _, err := rand.Read(key[:]); err != nil {
		return err
	}
	tmp := fmt.Sprintf("%s.%x.tmp", sealFile, key[:4])
	f, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = root.Remove(tmp) }()
	_, err = f.WriteString(hex.EncodeToString(key[:]) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := root.Link(tmp, sealFile); err != nil { // fails if the file is there, unlike a rename
		return err
	}
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Seal encrypts a secret.
func (s *FileSealer) Seal(context string, secret []byte) ([]byte, error) {
	out := make([]byte, sealHeader+s.aead.NonceSize(), 128)
	out[0] = sealFormat
	copy(out[1:], s.id[:])
	if _, err := rand.Read(out[sealHeader:]); err != nil {
		return nil, err
	}
	return s.aead.Seal(out, out[sealHeader:], secret, []byte(context)), nil
}

// Open decrypts what Seal made with the same context.
func (s *FileSealer) Open(context string, sealed []byte) ([]byte, error) {
	head := sealHeader + s.aead.NonceSize()
	if len(sealed) < head || sealed[0] != sealFormat {
		return nil, caos.Errorf(caos.Internal, "a sealed secret is damaged or of a newer format")
	}
	if [4]byte(sealed[1:sealHeader]) != s.id {
		return nil, caos.Errorf(caos.Internal, "a sealed secret belongs to another key").
			WithHint("restore %s from the backup of the same installation", sealFile)
	}
	out, err := s.aead.Open(nil, sealed[sealHeader:head], sealed[head:], []byte(context))
	if err != nil {
		return nil, caos.Wrap(caos.Internal, err, "a sealed secret does not open")
	}
	return out, nil
}
