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

// vkey is the verifier key of a witness as others configure it (C2SP signed-note).
func vkey(name string, pub ed25519.PublicKey) string {
	key := append([]byte{algCosignature}, pub...)
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	return fmt.Sprintf("%s+%x+%s", name, sum[:4], base64.StdEncoding.EncodeToString(key))
}

// message is what a cosignature of type 4 signs.
func message(at uint64, text []byte) []byte {
	return append([]byte("cosignature/v1\ntime "+strconv.FormatUint(at, 10)+"\n"), text...)
}

// strict64 reads base64 that is written as we would write it.
func strict64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || base64.StdEncoding.EncodeToString(b) != s {
		return nil, fmt.Errorf("not canonical base64")
	}
	return b, nil
}

// timeOf is when a cosignature was made, by the clock of the witness.
func timeOf(sig note.Signature) (time.Time, error) {
	b, err := strict64(sig.Base64)
	if err != nil || len(b) != 4+sigSize {
		return time.Time{}, caos.Errorf(caos.Invalid, "the cosignature is malformed")
	}
	return time.Unix(int64(binary.BigEndian.Uint64(b[4:])), 0).UTC(), nil //nolint:gosec // Verify refuses what does not fit
}

// Key is the private key of a witness.
type Key struct {
	*verify.WitnessKey
	private ed25519.PrivateKey
}

func keyOf(name string, private ed25519.PrivateKey) (*Key, error) {
	pub, err := verify.ParseWitnessKey(vkey(name, private.Public().(ed25519.PublicKey)))
	return &Key{pub, private}, err
}

// String is the verifier key as others configure it.
func (k *Key) String() string { return vkey(k.Name(), k.private.Public().(ed25519.PublicKey)) }

// NewKey makes a key for a name, such as witness.example/w1. Errors have the field "name".
func NewKey(name string) (*Key, error) {
	if err := verify.CheckOrigin(name); err != nil {
		return nil, caos.Errorf(caos.Invalid, "%.80q cannot be the name of a witness", name).WithField("name").
			WithHint("an address without its scheme, such as witness.example/w1")
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, caos.Wrap(caos.Internal, err, "no random numbers")
	}
	return keyOf(name, private)
}

const privatePrefix = "PRIVATE+KEY+"

// parsePrivate reads a key file: a signer key as other programs for signed notes write it,
// PRIVATE+KEY+<name>+<8 hex digits>+<base64 of 4 and the seed>.
func parsePrivate(text string) (*Key, error) {
	bad := func(why string) error {
		return caos.Errorf(caos.Invalid, "the key file of the witness %s", why).WithField("data").WithHint("restore it from a backup, or make a new witness in another folder")
	}
	rest, ok := strings.CutPrefix(strings.TrimSuffix(text, "\n"), privatePrefix)
	parts := strings.SplitN(rest, "+", 3) // base64 may have a + as well
	if !ok || len(parts) != 3 {
		return nil, bad("holds no private key")
	}
	seed, err := strict64(parts[2])
	if err != nil || len(seed) != 1+ed25519.SeedSize || seed[0] != algCosignature {
		return nil, bad("holds a key of another type than Ed25519 cosignatures")
	}
	k, err := keyOf(parts[0], ed25519.NewKeyFromSeed(seed[1:]))
	if err != nil || k.secret() != text {
		return nil, bad("does not fit its name")
	}
	return k, nil
}

// secret is what the key file holds.
func (k *Key) secret() string {
	return fmt.Sprintf("%s%s+%08x+%s\n", privatePrefix, k.Name(), k.KeyHash(),
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
