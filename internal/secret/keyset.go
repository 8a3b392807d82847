package secret

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"caos"
)

// keysetFile lies in the folder for keys. It is not named .json: those are signing keys.
const keysetFile = "encryption-secrets.keyset"

// ring is the keyset in memory. Nothing of it is printed.
type ring struct {
	dir string

	mu      sync.RWMutex
	handle  *keyset.Handle // nil: there is none, see Vault
	cipher  tink.AEAD
	primary uint32
	ids     map[uint32]bool
}

// Format prints no key, by whatever verb.
func (r *ring) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "secret.ring") }

// openRing reads the keyset. It is fs.ErrNotExist if there is none.
func openRing(dir string) (*ring, error) {
	r := &ring{dir: dir}
	return r, r.load()
}

func (r *ring) load() error {
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return caos.Wrap(caos.Unavailable, err, "the folder for keys cannot be opened")
	}
	defer root.Close()
	text, err := readKeyset(root)
	if err != nil {
		return err
	}
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		return errKeyset("it is no keyset") // the cause might repeat what it read
	}
	return r.use(h)
}

func errKeyset(why string) error {
	return caos.Errorf(caos.Unavailable, "the keyset of the vault, keys/%s: %s", keysetFile, why).WithRule("vault-keyset").
		WithHint("restore it from a backup of the data folder's keys")
}

func (r *ring) use(h *keyset.Handle) error {
	cipher, err := aead.New(h)
	if err != nil {
		return errKeyset("its keys are not for encryption")
	}
	primary, err := h.Primary()
	if err != nil {
		return errKeyset("it has no primary key")
	}
	ids := map[uint32]bool{}
	for i := range h.Len() {
		if e, err := h.Entry(i); err == nil && e.KeyStatus() == keyset.Enabled {
			ids[e.KeyID()] = true
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handle, r.cipher, r.primary, r.ids = h, cipher, primary.KeyID(), ids
	return nil
}

// readKeyset reads the file and refuses one that others can read.
func readKeyset(root *os.Root) ([]byte, error) {
	st, err := root.Lstat(keysetFile)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, errKeyset("it is not a regular file")
	}
	if perm := st.Mode().Perm(); perm&0o077 != 0 {
		return nil, caos.Errorf(caos.Denied, "the keyset of the vault, keys/%s, has mode %04o, so others may read it", keysetFile, perm).WithRule("key-file").
			WithHint("if nobody else can have read it: chmod 600; else make it anew and put every secret anew")
	}
	if st.Size() > 1<<20 {
		return nil, errKeyset("it is too large")
	}
	return root.ReadFile(keysetFile)
}

// make makes the first keyset. Of several processes that do so at once one wins, and the
// others read what it made.
func (r *ring) make() error {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("make a keyset: %w", err)
	}
	err = r.write(h, func(root *os.Root, tmp string) error {
		return root.Link(tmp, keysetFile) // fails if the file is there, unlike a rename
	})
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return r.load()
}

// rotate adds a key, which new values are sealed under; what the others sealed still opens.
// Nodes that share the folder notice when they meet a value that they cannot open.
//
// Of two that rotate at once the second adds to what the first has written: a key that got
// lost between them would take with it what was sealed under it meanwhile.
func (r *ring) rotate() error {
	unlock, err := r.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := r.load(); err != nil {
		return err
	}
	r.mu.RLock()
	m := keyset.NewManagerFromHandle(r.handle)
	r.mu.RUnlock()
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("rotate the keyset: %w", err)
	}
	if err := m.SetPrimary(id); err != nil {
		return fmt.Errorf("rotate the keyset: %w", err)
	}
	h, err := m.Handle()
	if err != nil {
		return fmt.Errorf("rotate the keyset: %w", err)
	}
	if err := r.write(h, func(root *os.Root, tmp string) error { return root.Rename(tmp, keysetFile) }); err != nil {
		return err
	}
	return r.use(h)
}

// lock keeps every other process, and the rest of this one, from rotating. The kernel ends it
// with the process.
func (r *ring) lock() (unlock func(), err error) {
	failed := func(err error) error {
		return caos.Wrap(caos.Unavailable, err, "the keyset of the vault cannot be locked")
	}
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the folder for keys cannot be opened")
	}
	defer root.Close()
	f, err := root.OpenFile(".lock-"+keysetFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, failed(err)
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(failed(err), f.Close())
	}
	return func() { _ = f.Close() }, nil // nothing was written to it
}

// write writes a keyset whole and synced under another name, then puts it in its place.
func (r *ring) write(h *keyset.Handle, place func(root *os.Root, tmp string) error) error {
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&text)); err != nil {
		return errKeyset("it cannot be written")
	}
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return caos.Wrap(caos.Unavailable, err, "the folder for keys cannot be opened")
	}
	defer root.Close()
	var n [6]byte
	_, _ = rand.Read(n[:]) // never fails
	tmp := ".new-" + keysetFile + "-" + hex.EncodeToString(n[:])
	f, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return caos.Wrap(caos.Unavailable, err, "the keyset of the vault cannot be written")
	}
	defer func() { _ = root.Remove(tmp) }()
	_, err = f.Write(text.Bytes())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return caos.Wrap(caos.Unavailable, err, "the keyset of the vault cannot be written")
	}
	if err := place(root, tmp); err != nil {
		return err
	}
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (r *ring) has(id uint32) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.ids[id]
}

// older lists the keys that nothing new is sealed under.
func (r *ring) older() []uint32 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var ids []uint32
	for id := range r.ids {
		if id != r.primary {
			ids = append(ids, id)
		}
	}
	return ids
}

// seal encrypts a value for one name under the primary key.
func (r *ring) seal(ref Ref, value []byte) (sealed []byte, id uint32, err error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	sealed, err = r.cipher.Encrypt(value, bound(ref))
	return sealed, r.primary, err
}

func (r *ring) open(ref Ref, sealed []byte) ([]byte, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.cipher.Decrypt(sealed, bound(ref))
}

// bound is what a value is sealed for: in another row it does not open.
func bound(ref Ref) []byte { return []byte("caos-secret-v1\n" + ref.Path + "#" + ref.Key) }
