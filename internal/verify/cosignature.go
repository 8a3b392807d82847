package verify

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

const (
	// cosignatureType is the signature type of timestamped Ed25519 cosignatures (C2SP
	// signed-note and tlog-cosignature).
	cosignatureType = 4
	cosignatureSize = 8 + ed25519.SignatureSize // a time in seconds, and the signature
	maxCosigned     = 1 << 40                   // seconds: no clock goes that far, and time.Time stays well within its bounds
)

// WitnessKey is the public key of a witness: who cosigns checkpoints of other people's logs
// once it has seen that they only grow. It is a note.Verifier.
type WitnessKey struct {
	name string
	pub  ed25519.PublicKey
}

// ParseWitnessKey reads a verifier key: <name>+<8 hex digits>+<base64 of 4 and the Ed25519
// public key>, where the digits are those of name and key.
func ParseWitnessKey(text string) (*WitnessKey, error) {
	name, rest, _ := strings.Cut(text, "+")
	digits, key, ok := strings.Cut(rest, "+")
	if !ok || len(text) > 1000 || CheckOrigin(name) != nil {
		return nil, refuse("witnesses", "%s is not a name, eight digits and a key with + between", quote(text))
	}
	b, ok := decodeBase64(key)
	if !ok || len(b) != 1+ed25519.PublicKeySize || b[0] != cosignatureType {
		return nil, refuse("witnesses", "the key of %s is not an Ed25519 key of a witness (type 4)", quote(name))
	}
	k := &WitnessKey{name: name, pub: b[1:]}
	if !strings.EqualFold(digits, k.digits()) {
		return nil, refuse("witnesses", "the digits of %s are not those of its name and key", quote(name))
	}
	return k, nil
}

func (k *WitnessKey) digits() string {
	s := strconv.FormatUint(uint64(k.KeyHash()), 16)
	return strings.Repeat("0", 8-len(s)) + s
}

// Name is the name in the witness's signature lines.
func (k *WitnessKey) Name() string { return k.name }

// KeyHash is the number that begins its signatures.
func (k *WitnessKey) KeyHash() uint32 {
	sum := sha256.Sum256(slices.Concat([]byte(k.name+"\n"), []byte{cosignatureType}, k.pub))
	return binary.BigEndian.Uint32(sum[:])
}

// Verify reports whether sig is a cosignature of a checkpoint's text. One without a time is
// none: it would only say that the tree is older than nothing.
func (k *WitnessKey) Verify(text, sig []byte) bool {
	at, ok := cosignedAt(sig)
	if !ok {
		return false
	}
	signed := "cosignature/v1\ntime " + strconv.FormatUint(at, 10) + "\n" + string(text)
	return ed25519.Verify(k.pub, []byte(signed), sig[8:])
}

func cosignedAt(sig []byte) (uint64, bool) {
	if len(sig) != cosignatureSize {
		return 0, false
	}
	at := binary.BigEndian.Uint64(sig)
	return at, at > 0 && at < maxCosigned
}

// Cosignature is a witness's word that it saw a log grow into a checkpoint.
type Cosignature struct {
	Witness string    // name of its key
	At      time.Time // by the witness's clock
}

// OpenCosigned is OpenCheckpoint for a checkpoint that others may have cosigned: it also
// returns the cosignatures by witnesses of the trust file, in the order of the trust file.
// Lines by others are ignored; a wrong one by a witness of the trust file is an error.
func OpenCosigned(signed []byte, trust Trust) (Checkpoint, []Cosignature, error) {
	c, err := OpenCheckpoint(signed, trust)
	if err != nil {
		return c, nil, err
	}
	by, err := cosignatures(signed, trust)
	return c, by, err
}

// Cosignatures returns the cosignatures of a note by witnesses of the trust file, whoever
// signed it besides.
func Cosignatures(signed []byte, trust Trust) ([]Cosignature, error) {
	return cosignatures(signed, trust)
}

func cosignatures(signed []byte, trust Trust) ([]Cosignature, error) {
	keys, err := trust.witnesses()
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	known := make([]note.Verifier, len(keys))
	for i, k := range keys {
		known[i] = k
	}
	n, err := note.Open(signed, note.VerifierList(known...))
	if unverified := (*note.UnverifiedNoteError)(nil); errors.As(err, &unverified) {
		return nil, nil // no line is by a witness of the trust file
	}
	if err != nil {
		return nil, refuse("cosignature", "%v", err)
	}
	if !bytes.HasPrefix(signed, []byte(n.Text+"\n")) {
		return nil, refuse("cosignature", "is in no well-formed note")
	}
	var by []Cosignature
	for _, k := range keys {
		for _, s := range n.Sigs {
			if s.Name != k.name || s.Hash != k.KeyHash() {
				continue
			}
			b, ok := decodeBase64(s.Base64)
			if !ok {
				return nil, refuse("cosignature", "of %s is in a non-canonical spelling", k.name)
			}
			at, _ := cosignedAt(b[4:])
			by = append(by, Cosignature{k.name, time.Unix(int64(at), 0).UTC()}) //nolint:gosec // cosignedAt bounds it
		}
	}
	return by, nil
}
