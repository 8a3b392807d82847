// Package sign holds CAOS's private keys, each for one purpose, and makes signatures with
// them. Whoever signs needs only a Signer; that the keys lie in files today is known to
// Keys alone, so that a PKCS#11 module or a remote key service can take its place.
package sign

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"caos"
	"caos/internal/verify"
)

// Purpose is what a key is for. A key never serves two purposes: a signature made for one
// could otherwise be presented as one for another.
type Purpose string

// The purposes; their algorithms are those of verify.AlgorithmFor.
const (
	Checkpoint Purpose = verify.PurposeCheckpoint
	Evidence   Purpose = verify.PurposeEvidence
	Baseline   Purpose = verify.PurposeBaseline
	Passport   Purpose = verify.PurposePassport
	TLS        Purpose = verify.PurposeTLS
	Encryption Purpose = verify.PurposeEncryption
)

// Purposes returns every purpose.
func Purposes() []Purpose {
	return []Purpose{Checkpoint, Evidence, Baseline, Passport, TLS, Encryption}
}

// Signer makes signatures with one private key, wherever that is kept.
type Signer interface {
	KeyID() string            // "<purpose>-<16 hex digits>", as trust files name the key
	Algorithm() string        // verify.Ed25519 or verify.ECDSAP256
	Public() crypto.PublicKey // ed25519.PublicKey or *ecdsa.PublicKey
	// Sign signs the message itself; an algorithm that needs a digest makes it. Ed25519
	// signatures have 64 bytes, ECDSA ones are ASN.1 DER over SHA-256.
	Sign(ctx context.Context, message []byte) ([]byte, error)
}

// purposeOf returns the purpose that a signer's key id declares.
func purposeOf(s Signer) Purpose {
	i := strings.LastIndexByte(s.KeyID(), '-')
	if i < 0 {
		return ""
	}
	return Purpose(s.KeyID()[:i])
}

func wrongPurpose(s Signer, what string) error {
	return caos.Errorf(caos.Internal, "%s may not be signed with %s", what, s.KeyID()).
		WithRule("key-purpose").WithHint("ask for the signer of the right purpose")
}

// DSSE signs a payload and returns the envelope. Checkpoint, TLS and encryption keys are
// refused.
func DSSE(ctx context.Context, s Signer, payloadType string, payload []byte) ([]byte, error) {
	switch purposeOf(s) {
	case Evidence, Baseline, Passport:
	default:
		return nil, wrongPurpose(s, "an envelope")
	}
	sig, err := signPAE(ctx, s, payloadType, payload)
	if err != nil {
		return nil, err
	}
	return verify.MarshalEnvelope(payloadType, payload, sig), nil
}

func signPAE(ctx context.Context, s Signer, payloadType string, payload []byte) (verify.EnvelopeSignature, error) {
	sig, err := s.Sign(ctx, verify.PAE(payloadType, payload))
	if err != nil {
		return verify.EnvelopeSignature{}, caos.Wrap(caos.Unavailable, err, "the key %s could not sign", s.KeyID())
	}
	return verify.EnvelopeSignature{KeyID: s.KeyID(), Sig: encode(sig)}, nil
}

// PackageSigner returns what verify.WritePackage asks for: a function that signs a
// package's manifest, as an in-toto statement about its digest, with an evidence key.
func PackageSigner(ctx context.Context, s Signer) func(statement []byte) ([]byte, error) {
	return func(statement []byte) ([]byte, error) {
		if purposeOf(s) != Evidence {
			return nil, wrongPurpose(s, "a package")
		}
		return DSSE(ctx, s, verify.InTotoType, statement)
	}
}

// Note signs a text as a C2SP signed note under a name, for a checkpoint the log's origin.
// Only an Ed25519 key of purpose checkpoint may; text ends in a newline.
func Note(ctx context.Context, s Signer, text, name string) ([]byte, error) {
	if purposeOf(s) != Checkpoint {
		return nil, wrongPurpose(s, "a checkpoint")
	}
	pub, ok := s.Public().(ed25519.PublicKey)
	if !ok {
		return nil, wrongPurpose(s, "a checkpoint")
	}
	vkey, err := note.NewEd25519VerifierKey(name, pub)
	if err != nil {
		return nil, caos.Wrap(caos.Invalid, err, "a note cannot be signed under this name").WithField("name")
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, caos.Wrap(caos.Internal, err, "the note's key is malformed")
	}
	signed, err := note.Sign(&note.Note{Text: text}, noteSigner{ctx, s, v})
	if err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the checkpoint could not be signed")
	}
	return signed, nil
}

// noteSigner lets package note sign with a Signer. It lives for one call of Note, which is
// why it may keep a context.
type noteSigner struct {
	ctx context.Context
	s   Signer
	v   note.Verifier
}

func (n noteSigner) Name() string                    { return n.v.Name() }
func (n noteSigner) KeyHash() uint32                 { return n.v.KeyHash() }
func (n noteSigner) Sign(msg []byte) ([]byte, error) { return n.s.Sign(n.ctx, msg) }
