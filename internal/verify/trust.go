package verify

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"

	"golang.org/x/mod/sumdb/note"

	"caos"
)

// Purposes of keys. A key has one purpose for life, and its id starts with it.
const (
	PurposeCheckpoint = "checkpoint" // Ed25519, signs the log's checkpoints
	PurposeEvidence   = "evidence"   // Ed25519, signs evidence envelopes and package manifests
	PurposeBaseline   = "baseline"   // ECDSA P-256, signs model baselines
	PurposePassport   = "passport"   // Ed25519, signs digital product passports
	PurposeTLS        = "tls"        // ECDSA P-256, the server's certificates
	PurposeEncryption = "encryption" // X25519, data at rest; signs nothing
)

// Algorithms as trust files and signatures name them.
const (
	Ed25519   = "ed25519"
	ECDSAP256 = "ecdsa-p256" // over SHA-256, ASN.1 DER signatures
	X25519    = "x25519"
)

// MaxTrust is the most bytes of a trust file that are read, and maxTrustKeys the most keys.
const (
	MaxTrust     = 1 << 20
	maxTrustKeys = 2000
)

// Trust is what an auditor holds beside a package: which log, and which keys may speak for
// it from which leaf to which. It comes by a way of its own; nothing in a package can
// change it.
type Trust struct {
	Version   int        `json:"version"`   // 1
	Origin    string     `json:"origin"`    // first line of every checkpoint
	LogID     string     `json:"log_id"`    // which log of that origin: a successor after a recovery has another
	Keys      []TrustKey `json:"keys"`      // in order of birth
	Witnesses []string   `json:"witnesses"` // verifier keys of witnesses: NAME+HASH+KEY (C2SP tlog-cosignature, Ed25519)

	// Who else may speak for the log's past. Files from before there were any lack these.
	WitnessQuorum         int          `json:"witness_quorum,omitempty"`         // so many of Witnesses must have cosigned what a package rests on; 0: as many as there are
	TimestampCertificates []string     `json:"timestamp_certificates,omitempty"` // base64 of the DER: of time-stamp servers or of who certified them
	Chains                []TrustChain `json:"chains,omitempty"`                 // where checkpoints and passports are recorded
}

// TrustKey is a public key and the leaves at which it counts.
type TrustKey struct {
	ID            string `json:"id"`                  // "<purpose>-<first 16 hex of SHA-256 of the DER>"
	Purpose       string `json:"purpose"`             // one of the Purpose constants
	Algorithm     string `json:"algorithm"`           // Ed25519, ECDSAP256 or X25519
	PublicKey     string `json:"public_key"`          // base64 of the PKIX DER
	ActiveFrom    int64  `json:"active_from_leaf"`    // index of the leaf of its birth
	ActiveUntil   *int64 `json:"active_until_leaf"`   // index of the leaf that retires it, from which it no longer counts; null while active
	CompromisedAt *int64 `json:"compromised_at_leaf"` // index of the leaf that reports it compromised, or null

	pub crypto.PublicKey // PublicKey parsed, once Check has run
}

// KeyID returns the id of a public key of some purpose.
func KeyID(purpose string, pub crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", caos.Wrap(caos.Invalid, err, "the public key cannot be encoded").WithField("public_key")
	}
	return keyIDFromDER(purpose, der), nil
}

func keyIDFromDER(purpose string, der []byte) string {
	sum := sha256.Sum256(der)
	return purpose + "-" + hex.EncodeToString(sum[:8])
}

// AlgorithmFor returns the one algorithm that keys of a purpose have, "" for an unknown
// purpose.
func AlgorithmFor(purpose string) string {
	switch purpose {
	case PurposeCheckpoint, PurposeEvidence, PurposePassport:
		return Ed25519
	case PurposeBaseline, PurposeTLS:
		return ECDSAP256
	case PurposeEncryption:
		return X25519
	}
	return ""
}

// ParseTrust reads a trust file strictly and checks every key in it.
func ParseTrust(data []byte) (Trust, error) {
	if len(data) > MaxTrust {
		return Trust{}, caos.Errorf(caos.TooLarge, "has %d bytes, more than %d", len(data), MaxTrust).WithField("trust file")
	}
	var t Trust
	if err := decodePlain("trust file", data, shapeOf[Trust](), &t); err != nil {
		return Trust{}, err
	}
	return t, t.Check()
}

// Check refuses a trust file that contradicts itself, and prepares its keys for use.
func (t *Trust) Check() error {
	if t.Version != 1 {
		return refuse("version", "trust files of version %d are not known; a newer caos-verify may read it", t.Version)
	}
	if err := CheckOrigin(t.Origin); err != nil {
		return err
	}
	if !plainID(t.LogID) {
		return refuse("log_id", "%s is not a log id", quote(t.LogID))
	}
	if len(t.Keys) == 0 || len(t.Keys) > maxTrustKeys {
		return refuse("keys", "a trust file has 1 to %d keys, not %d", maxTrustKeys, len(t.Keys))
	}
	seen := map[string]bool{}
	for i := range t.Keys {
		k := &t.Keys[i]
		if err := k.check(); err != nil {
			return err
		}
		// One key in two purposes could have a signature of one taken for the other.
		if seen[k.ID] || seen[k.PublicKey] {
			return refuse("keys", "the key %s stands there twice", k.ID)
		}
		seen[k.ID], seen[k.PublicKey] = true, true
	}
	return t.checkOutside()
}

func (k *TrustKey) check() error {
	der, ok := decodeBase64(k.PublicKey)
	if !ok || len(der) > 1024 {
		return refuse("keys", "the public key of %s is not base64 of a DER key", quote(k.ID))
	}
	if AlgorithmFor(k.Purpose) == "" {
		return refuse("keys", "the key %s has the unknown purpose %s", quote(k.ID), quote(k.Purpose))
	}
	if k.Algorithm != AlgorithmFor(k.Purpose) {
		return refuse("keys", "the key %s of purpose %s has the algorithm %s, not %s", quote(k.ID), k.Purpose, quote(k.Algorithm), AlgorithmFor(k.Purpose))
	}
	if k.ID != keyIDFromDER(k.Purpose, der) {
		return refuse("keys", "the id %s is not that of its public key", quote(k.ID))
	}
	pub, err := x509.ParsePKIXPublicKey(der)
	if err != nil || algorithmOf(pub) != k.Algorithm {
		return refuse("keys", "the public key of %s is not an %s key", k.ID, k.Algorithm)
	}
	if k.ActiveFrom < 0 || k.ActiveFrom > MaxTreeSize || outOfOrder(k.ActiveUntil, k.ActiveFrom) || outOfOrder(k.CompromisedAt, k.ActiveFrom) {
		return refuse("keys", "the leaves of %s are out of order", k.ID)
	}
	k.pub = pub
	return nil
}

func outOfOrder(leaf *int64, from int64) bool {
	return leaf != nil && (*leaf < from || *leaf > MaxTreeSize)
}

func algorithmOf(pub crypto.PublicKey) string {
	switch p := pub.(type) {
	case ed25519.PublicKey:
		return Ed25519
	case *ecdsa.PublicKey:
		if p.Curve == elliptic.P256() {
			return ECDSAP256
		}
	case *ecdh.PublicKey:
		if p.Curve() == ecdh.X25519() {
			return X25519
		}
	}
	return ""
}

// Marshal writes the trust file, for people as much as for programs.
func (t Trust) Marshal() ([]byte, error) {
	if t.Keys == nil {
		t.Keys = []TrustKey{}
	}
	if t.Witnesses == nil {
		t.Witnesses = []string{}
	}
	b, err := json.MarshalIndent(t, "", "  ")
	return append(b, '\n'), err
}

// Find returns a key by id and purpose, whenever it was active.
func (t *Trust) Find(id, purpose string) (*TrustKey, error) {
	for i := range t.Keys {
		k := &t.Keys[i]
		if k.ID != id {
			continue
		}
		if k.Purpose != purpose {
			return nil, refuse("key", "%s is a key for %s and cannot sign for %s", quote(id), k.Purpose, purpose)
		}
		return k, nil
	}
	return nil, refuse("key", "%s is not in the trust file", quote(id))
}

// Key returns the key if its signatures count at a leaf: for signatures that are bound to
// that leaf by the log, such as an evidence envelope that a record of the log names. A key
// that was compromised later still counts there, since nobody could put the leaf in front
// of the report.
func (t Trust) Key(id, purpose string, leaf int64) (*TrustKey, error) {
	k, err := t.Find(id, purpose)
	if err != nil {
		return nil, err
	}
	return k, k.Counts(leaf)
}

// UnloggedKey is Key for signatures that only claim to belong to a leaf, such as that of a
// checkpoint or a manifest: who stole the key could claim any leaf, so a compromised key
// never counts.
func (t Trust) UnloggedKey(id, purpose string, leaf int64) (*TrustKey, error) {
	k, err := t.Find(id, purpose)
	if err == nil && k.CompromisedAt != nil {
		return nil, refuse("key", "%s is compromised; what it signed outside the log proves nothing", id)
	}
	if err != nil {
		return nil, err
	}
	return k, k.Counts(leaf)
}

// Counts says why a signature bound to a leaf does not count, nil if it does.
func (k *TrustKey) Counts(leaf int64) error {
	switch {
	case leaf < k.ActiveFrom:
		return refuse("key", "%s was born at leaf %d, after leaf %d", k.ID, k.ActiveFrom, leaf)
	case k.ActiveUntil != nil && leaf >= *k.ActiveUntil:
		return refuse("key", "%s was retired at leaf %d and does not count at leaf %d", k.ID, *k.ActiveUntil, leaf)
	case k.CompromisedAt != nil && leaf >= *k.CompromisedAt:
		return refuse("key", "%s was reported compromised at leaf %d and does not count at leaf %d", k.ID, *k.CompromisedAt, leaf)
	}
	return nil
}

func (k *TrustKey) activeAt(leaf int64) bool {
	return leaf >= k.ActiveFrom && (k.ActiveUntil == nil || leaf < *k.ActiveUntil)
}

// Public returns the parsed public key.
func (k *TrustKey) Public() (crypto.PublicKey, error) {
	if k.pub != nil {
		return k.pub, nil
	}
	c := *k // a Trust may be shared by goroutines, so nothing is written to it here
	err := c.check()
	return c.pub, err
}

// Verify checks a signature over a message with the key's algorithm. Whether the key
// counts where the signature stands is another question: see Trust.Key.
func (k *TrustKey) Verify(message, sig []byte) error {
	pub, err := k.Public()
	if err != nil {
		return err
	}
	if !verifySignature(pub, message, sig) {
		return refuse("signature", "is not by %s over these bytes", k.ID)
	}
	return nil
}

func verifySignature(pub crypto.PublicKey, message, sig []byte) bool {
	switch p := pub.(type) {
	case ed25519.PublicKey:
		return len(sig) == ed25519.SignatureSize && ed25519.Verify(p, message, sig)
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(message)
		return len(sig) <= 80 && ecdsa.VerifyASN1(p, sum[:], sig)
	}
	return false
}

func (k *TrustKey) noteVerifier(origin string) (note.Verifier, error) {
	pub, err := k.Public()
	if err != nil {
		return nil, err
	}
	ed, ok := pub.(ed25519.PublicKey)
	if !ok {
		return nil, refuse("keys", "%s is not an Ed25519 key", k.ID)
	}
	vkey, err := note.NewEd25519VerifierKey(origin, ed)
	if err != nil {
		return nil, refuse("origin", "%v", err)
	}
	return note.NewVerifier(vkey)
}
