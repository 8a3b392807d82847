package sign

import (
	"cmp"
	"crypto"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"caos"
	"caos/internal/verify"
)

// State is where a key is in its life.
type State string

// A key is created, becomes active, and ends retired or compromised. At most one key of a
// purpose is active. Only an active key signs.
const (
	Created     State = "created"
	Active      State = "active"
	Retired     State = "retired"
	Compromised State = "compromised"
)

// Info describes a key; it is also what its .json file holds.
type Info struct {
	Version   int     `json:"version"` // 1
	ID        string  `json:"id"`
	Purpose   Purpose `json:"purpose"`
	Algorithm string  `json:"algorithm"`
	PublicKey string  `json:"public_key"` // base64 of the PKIX DER
	State     State   `json:"state"`
	Created   string  `json:"created"` // caos.TimeLayout
}

type key struct {
	info    Info
	private any // nil once it has been taken away from a key that is no longer needed
}

// Keys are the private keys of an installation: a folder of mode 0700 with two files of
// mode 0600 for each key, <id>.pem (PKCS#8) and <id>.json (Info). The .json is written
// last, so a .pem alone is a key that was never used. It is safe for concurrent use; only
// one process may have the folder open for writing.
type Keys struct {
	root *os.Root

	mu   sync.Mutex
	keys map[string]*key // by id
}

// OpenKeys opens the key folder, making an empty one if there is none. It refuses a folder
// or file that others may read or own, and a private key that is not the one its name and
// description say.
func OpenKeys(dir string) (*Keys, error) {
	root, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	k := &Keys{root: root, keys: map[string]*key{}}
	if err := k.load(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return k, nil
}

// Close gives the folder back. Signers that were handed out go on working.
func (k *Keys) Close() error { return k.root.Close() }

func (k *Keys) load() error {
	names, err := fs.Glob(k.root.FS(), "*.json")
	if err != nil {
		return caos.Wrap(caos.Unavailable, err, "the key folder cannot be read")
	}
	active := map[Purpose]string{}
	for _, name := range names {
		if strings.HasPrefix(name, ".") {
			continue // left behind by a crash in writePrivate; the next write replaces it
		}
		one, err := k.loadKey(name)
		if err != nil {
			return err
		}
		if one == nil {
			continue
		}
		if one.info.State == Active {
			if other := active[one.info.Purpose]; other != "" {
				return caos.Errorf(caos.Internal, "the keys %s and %s are both active for %s", other, one.info.ID, one.info.Purpose).
					WithHint("restore the key folder from a backup")
			}
			active[one.info.Purpose] = one.info.ID
		}
		k.keys[one.info.ID] = one
	}
	return nil
}

// isKeystore says whether a file is of the form "Web3 Secret Storage".
func isKeystore(data []byte) bool {
	var f struct {
		Crypto *struct {
			Cipher string `json:"cipher"`
			KDF    string `json:"kdf"`
		} `json:"crypto"`
	}
	return json.Unmarshal(data, &f) == nil && f.Crypto != nil && f.Crypto.Cipher != "" && f.Crypto.KDF != ""
}

// loadKey reads a key. Of a file that is a chain account's encrypted key it returns nil: those
// may lie here, too, because this is the folder that all nodes share.
func (k *Keys) loadKey(name string) (*key, error) {
	bad := func(err error, why string) error {
		var e *caos.Error
		if errors.As(err, &e) {
			return err
		}
		return caos.Wrap(caos.Internal, err, "the key file %s %s", name, why).WithField(name).
			WithHint("restore the key folder from a backup")
	}
	data, err := readPrivate(k.root, name)
	if err != nil {
		return nil, bad(err, "cannot be read")
	}
	var one key
	if err := json.Unmarshal(data, &one.info); err != nil {
		return nil, bad(err, "is not JSON")
	}
	i := one.info
	if i.Version == 3 && isKeystore(data) {
		return nil, nil
	}
	if i.Version != 1 || name != i.ID+".json" {
		return nil, bad(nil, "describes another key")
	}
	tk := verify.TrustKey{ID: i.ID, Purpose: string(i.Purpose), Algorithm: i.Algorithm, PublicKey: i.PublicKey}
	pub, err := tk.Public()
	if err != nil {
		return nil, bad(err, "contradicts itself")
	}
	pemName := i.ID + ".pem"
	data, err = readPrivate(k.root, pemName)
	if errors.Is(err, fs.ErrNotExist) && (i.State == Retired || i.State == Compromised) {
		return &one, nil // taken away; its public half stays known
	}
	if err != nil {
		return nil, bad(err, "has no readable "+pemName)
	}
	if one.private, err = parsePrivate(data); err != nil {
		return nil, bad(err, "has a malformed "+pemName)
	}
	if half, ok := publicOf(one.private).(interface{ Equal(crypto.PublicKey) bool }); !ok || !half.Equal(pub) {
		return nil, bad(nil, "does not belong to "+pemName)
	}
	return &one, nil
}

// List returns every key, ordered by purpose and time of creation.
func (k *Keys) List() []Info {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []Info
	for _, one := range k.keys {
		all = append(all, one.info)
	}
	slices.SortFunc(all, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.Purpose, b.Purpose), cmp.Compare(a.Created, b.Created), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// Signer returns a signer with the active key of a purpose. TLS and encryption keys are
// not for signing documents and are refused: see TLSKey and EncryptionKey.
func (k *Keys) Signer(p Purpose) (Signer, error) {
	if p == TLS || p == Encryption {
		return nil, caos.Errorf(caos.Internal, "%s keys sign nothing", p).WithRule("key-purpose")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	one, err := k.active(p)
	if err != nil {
		return nil, err
	}
	return one.signer()
}

// TLSKey returns the active key for certificates.
func (k *Keys) TLSKey() (crypto.Signer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	one, err := k.active(TLS)
	if err != nil {
		return nil, err
	}
	s, ok := one.private.(crypto.Signer)
	if !ok {
		return nil, caos.Errorf(caos.Internal, "the key %s cannot sign", one.info.ID)
	}
	return s, nil
}

// EncryptionKey returns the active key that data keys are wrapped for.
func (k *Keys) EncryptionKey() (*ecdh.PrivateKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	one, err := k.active(Encryption)
	if err != nil {
		return nil, err
	}
	s, ok := one.private.(*ecdh.PrivateKey)
	if !ok {
		return nil, caos.Errorf(caos.Internal, "the key %s cannot encrypt", one.info.ID)
	}
	return s, nil
}

// Derived returns a secret of 32 bytes for one use, which its label names: the same wherever
// these keys are, until the active encryption key becomes another.
func (k *Keys) Derived(label string) ([]byte, error) {
	own, err := k.EncryptionKey()
	if err != nil {
		return nil, err
	}
	return hkdf.Key(sha256.New, own.Bytes(), nil, label, 32)
}

// active returns the active key of a purpose. k.mu is held.
func (k *Keys) active(p Purpose) (*key, error) {
	for _, one := range k.keys {
		if one.info.Purpose == p && one.info.State == Active {
			return one, nil
		}
	}
	return nil, caos.Errorf(caos.NotFound, "there is no active key for %s", p).WithHint("caos init makes it; restore the folder keys from a backup")
}

func (o *key) signer() (Signer, error) {
	s, ok := o.private.(crypto.Signer)
	if !ok {
		return nil, caos.Errorf(caos.Internal, "the key %s has no private half here", o.info.ID)
	}
	return &fileSigner{id: o.info.ID, algorithm: o.info.Algorithm, private: s}, nil
}

// save writes a key's description. k.mu is held.
func (k *Keys) save(info Info) error {
	data, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return err
	}
	if err := writePrivate(k.root, info.ID+".json", append(data, '\n')); err != nil {
		return caos.Wrap(caos.Unavailable, err, "the key %s could not be written", info.ID)
	}
	return nil
}

// generate makes a key and its file, without a description yet. k.mu is held.
func (k *Keys) generate(p Purpose, at time.Time) (*key, error) {
	private, err := newPrivate(p)
	if err != nil {
		return nil, err
	}
	pub := publicOf(private)
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, caos.Wrap(caos.Internal, err, "a new key cannot be encoded")
	}
	id, err := verify.KeyID(string(p), pub)
	if err != nil {
		return nil, err
	}
	data, err := marshalPrivate(private)
	if err != nil {
		return nil, caos.Wrap(caos.Internal, err, "a new key cannot be encoded")
	}
	if err := writePrivate(k.root, id+".pem", data); err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the key %s could not be written", id)
	}
	return &key{private: private, info: Info{
		Version: 1, ID: id, Purpose: p, Algorithm: verify.AlgorithmFor(string(p)),
		PublicKey: encode(der), State: Created, Created: caos.FormatTime(at),
	}}, nil
}
