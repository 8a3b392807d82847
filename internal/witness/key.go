package witness

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"caos"
	"caos/internal/verify"
)

// algCosignature is the signature type of Ed25519 cosignatures (C2SP signed-note).
const algCosignature = 0x04

// sigSize is the bytes of a cosignature: a time in seconds, and an Ed25519 signature.
const sigSize = 8 + ed25519.SignatureSize

// keyHash is the number that stands before a signature of a key (C2SP tlog-cosignature).
func keyHash(name string, pub ed25519.PublicKey) uint32 {
	h := sha256.New()
	h.Write([]byte(name + "\n"))
	h.Write([]byte{algCosignature})
	h.Write(pub)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

// message is what a cosignature of type 4 signs.
func message(at uint64, text []byte) []byte {
	return append([]byte("cosignature/v1\ntime "+strconv.FormatUint(at, 10)+"\n"), text...)
}

// Verifier checks cosignatures of one witness. It is a note.Verifier.
type Verifier struct {
	name string
	pub  ed25519.PublicKey
}

// ParseKey reads the verifier key of a witness: <name>+<8 hex digits>+<base64 of 4 and the
// Ed25519 public key>. Errors have the field "key".
func ParseKey(vkey string) (*Verifier, error) {
	name, hash, key, err := cutKey(vkey)
	if err != nil {
		return nil, err
	}
	if len(key) != 1+ed25519.PublicKeySize || key[0] != algCosignature {
		return nil, badKey("is of another type than Ed25519 cosignatures")
	}
	v := &Verifier{name: name, pub: ed25519.PublicKey(key[1:])}
	if v.KeyHash() != hash {
		return nil, badKey("does not fit its name")
	}
	return v, nil
}

func cutKey(vkey string) (name string, hash uint32, key []byte, err error) {
	name, rest, _ := strings.Cut(vkey, "+")
	hex, text, ok := strings.Cut(rest, "+")
	if !ok || len(vkey) > 1000 || verify.CheckOrigin(name) != nil {
		return "", 0, nil, badKey("is not a name, eight digits and a key with + between")
	}
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil || len(hex) != 8 {
		return "", 0, nil, badKey("has no eight hexadecimal digits in its middle")
	}
	if key, err = strict64(text); err != nil || len(key) == 0 {
		return "", 0, nil, badKey("does not end in base64")
	}
	return name, uint32(n), key, nil
}

func badKey(why string) error {
	return caos.Errorf(caos.Invalid, "the verifier key of the witness %s", why).WithField("key").
		WithHint("it is what caos witness key prints, as witness.example/w1+0123abcd+BA…")
}

// strict64 reads base64 that is written as we would write it.
func strict64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || base64.StdEncoding.EncodeToString(b) != s {
		return nil, fmt.Errorf("not canonical base64")
	}
	return b, nil
}

// Name is the name of the witness's key.
func (v *Verifier) Name() string { return v.name }

// KeyHash is the key's id in signature lines.
func (v *Verifier) KeyHash() uint32 { return keyHash(v.name, v.pub) }

// Verify reports whether sig is a cosignature of the text of a checkpoint. One without a
// time is none.
func (v *Verifier) Verify(msg, sig []byte) bool {
	if len(sig) != sigSize {
		return false
	}
	at := binary.BigEndian.Uint64(sig)
	if at == 0 || at > 1<<63-1 {
		return false
	}
	return ed25519.Verify(v.pub, message(at, msg), sig[8:])
}

// String is the verifier key as others configure it.
func (v *Verifier) String() string {
	return fmt.Sprintf("%s+%08x+%s", v.name, v.KeyHash(), base64.StdEncoding.EncodeToString(append([]byte{algCosignature}, v.pub...)))
}

// timeOf is when a cosignature was made, by the clock of the witness.
func timeOf(sig note.Signature) (time.Time, error) {
	b, err := strict64(sig.Base64)
	if err != nil || len(b) != 4+sigSize {
		return time.Time{}, badCosignature("is malformed")
	}
	return time.Unix(int64(binary.BigEndian.Uint64(b[4:])), 0).UTC(), nil //nolint:gosec // Verify refuses what does not fit
}

func badCosignature(why string) error {
	return caos.Errorf(caos.Invalid, "the cosignature %s", why).WithField("cosignature")
}

// Key is the private key of a witness.
type Key struct {
	Verifier
	private ed25519.PrivateKey
}

// NewKey makes a key for a name, such as witness.example/w1. Errors have the field "name".
func NewKey(name string) (*Key, error) {
	if err := verify.CheckOrigin(name); err != nil {
		return nil, caos.Errorf(caos.Invalid, "%.80q cannot be the name of a witness", name).WithField("name").
			WithHint("an address without its scheme, such as witness.example/w1")
	}
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, caos.Wrap(caos.Internal, err, "no random numbers")
	}
	return &Key{Verifier{name, pub}, private}, nil
}

const privatePrefix = "PRIVATE+KEY+"

// parsePrivate reads a key file: a signer key as other programs for signed notes write it.
func parsePrivate(text string) (*Key, error) {
	rest, ok := strings.CutPrefix(strings.TrimSuffix(text, "\n"), privatePrefix)
	if !ok {
		return nil, badKey("file holds no private key")
	}
	name, hash, key, err := cutKey(rest)
	if err != nil {
		return nil, err
	}
	if len(key) != 1+ed25519.SeedSize || key[0] != algCosignature {
		return nil, badKey("file holds a key of another type than Ed25519 cosignatures")
	}
	private := ed25519.NewKeyFromSeed(key[1:])
	k := &Key{Verifier{name, private.Public().(ed25519.PublicKey)}, private}
	if k.KeyHash() != hash {
		return nil, badKey("file does not fit its name")
	}
	return k, nil
}

// secret is what the key file holds.
func (k *Key) secret() string {
	return fmt.Sprintf("%s%s+%08x+%s\n", privatePrefix, k.name, k.KeyHash(),
		base64.StdEncoding.EncodeToString(append([]byte{algCosignature}, k.private.Seed()...)))
}

// cosigner signs one checkpoint as of one moment. It is a note.Signer.
type cosigner struct {
	*Key
	at time.Time
}

// Sign makes the cosignature of a checkpoint's text.
func (c cosigner) Sign(msg []byte) ([]byte, error) {
	at := uint64(c.at.Unix()) //nolint:gosec // of a clock after 1970: cosign looked
	sig := binary.BigEndian.AppendUint64(make([]byte, 0, sigSize), at)
	return append(sig, ed25519.Sign(c.private, message(at, msg))...), nil
}

// cosign returns the signature line of a cosignature, and the note with it: the text, the
// log's signatures that were verified, and ours.
func (k *Key) cosign(n *note.Note, at time.Time) (line, signed []byte, err error) {
	if at.Unix() <= 0 {
		return nil, nil, caos.Errorf(caos.Internal, "the clock stands before 1970")
	}
	signed, err = note.Sign(&note.Note{Text: n.Text, Sigs: n.Sigs}, cosigner{k, at})
	if err != nil {
		return nil, nil, caos.Wrap(caos.Internal, err, "the checkpoint could not be cosigned")
	}
	// What package note writes of another's signatures and of ours are lines; ours is the last.
	lines := strings.SplitAfter(string(signed), "\n")
	return []byte(lines[len(lines)-2]), signed, nil
}
