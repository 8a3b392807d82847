package verify

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"io/fs"
	"path"
	"slices"
	"strings"

	"caos"
)

// OpenSSF Model Signing 1.0: a Sigstore bundle v0.3 with the hint of a public key and, in a
// DSSE envelope, an in-toto statement that lists every file of a folder. Source:
// github.com/sigstore/model-transparency, package model_signing.
const (
	ModelSignatureName = "model.sig"                            // where a folder's bundle lies in it
	ModelPredicate     = "https://model_signing/signature/v1.0" // predicate type of the statement
	modelBundleType    = "application/vnd.dev.sigstore.bundle.v0.3+json"

	// MaxModelBundle is the most bytes of a bundle that are read, and MaxModelFiles the
	// most files that one may list.
	MaxModelBundle = 16 << 20
	MaxModelFiles  = 20_000
	maxModelName   = 1024
)

// ModelResource is a file of a signed model.
type ModelResource struct {
	Name   string // relative to the model's folder, with slashes
	Digest string // "SHA256:" and hex of its bytes
}

// ModelStatement is what a bundle states.
type ModelStatement struct {
	Name            string          // of the model: for a baseline its id
	Root            string          // "SHA256:" and hex over the digests of all files, in their order
	Resources       []ModelResource // in the order of the statement
	Ignored         []string        // paths that the signer did not look at, relative
	FollowedLinks   bool            // the signer read symbolic links as if they were files
	KeyHint         string          // hex of SHA-256 of the key's PEM, "" in bundles before version 1.1
	KeyID           string          // CAOS id of the key, as the signature names it; "" in bundles of other tools
	StatementDigest string          // "SHA256:" and hex of the signed bytes
	BundleDigest    string          // "SHA256:" and hex of the bundle
}

// ModelBundle is a bundle that was read; nobody has looked at its signature yet.
type ModelBundle struct {
	ModelStatement
	payload, sig []byte
	keyPEM       []byte // of bundles before version 1.1, else empty
}

// The bundle as JSON. Fields that only older releases of the reference wrote are optional.
type modelBundle struct {
	MediaType string        `json:"mediaType"`
	Material  modelMaterial `json:"verificationMaterial"`
	Envelope  modelEnvelope `json:"dsseEnvelope"`
}

type modelMaterial struct {
	PublicKey   modelKey  `json:"publicKey"`
	TlogEntries []noEntry `json:"tlogEntries,omitempty"`
}

type noEntry struct{}

type modelKey struct {
	Hint       string `json:"hint,omitempty"`
	RawBytes   string `json:"rawBytes,omitempty"` // base64 of the key's PEM
	KeyDetails string `json:"keyDetails,omitempty"`
}

type modelEnvelope struct {
	Payload     string           `json:"payload"`
	PayloadType string           `json:"payloadType"`
	Signatures  []modelSignature `json:"signatures"`
}

type modelSignature struct {
	Sig   string  `json:"sig"`
	KeyID *string `json:"keyid,omitempty"` // a pointer, as some write null
}

type modelPredicate struct {
	_             struct{}           `open:"true"` // the format has verifiers ignore what they do not know here
	Serialization modelSerialization `json:"serialization"`
	Resources     []modelResource    `json:"resources"`
}

type modelSerialization struct {
	_             struct{} `open:"true"`
	Method        string   `json:"method"`
	HashType      string   `json:"hash_type"`
	AllowSymlinks bool     `json:"allow_symlinks"`
	IgnorePaths   []string `json:"ignore_paths,omitempty"`
}

type modelResource struct {
	Name      string `json:"name"`
	Algorithm string `json:"algorithm"`
	Digest    string `json:"digest"`
}

// ModelKeyPEM returns a public key as bundles and the reference tool know it, as PEM. It
// refuses all but ECDSA on P-256.
func ModelKeyPEM(pub crypto.PublicKey) ([]byte, error) {
	if p, ok := pub.(*ecdsa.PublicKey); !ok || p.Curve != elliptic.P256() {
		return nil, refuse("public_key", "is no ECDSA key on P-256")
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, caos.Wrap(caos.Invalid, err, "the public key cannot be encoded").WithField("public_key")
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

func modelKeyHint(keyPEM []byte) string {
	sum := sha256.Sum256(keyPEM)
	return hex.EncodeToString(sum[:])
}

// compareModelNames orders files as the reference does: folder by folder, each name by
// its bytes. "a/b" comes before "a-b" although '-' is less than '/'.
func compareModelNames(a, b string) int {
	for {
		a1, a2, aMore := strings.Cut(a, "/")
		b1, b2, bMore := strings.Cut(b, "/")
		if c := strings.Compare(a1, b1); c != 0 || !aMore || !bMore {
			switch {
			case c != 0:
				return c
			case aMore:
				return 1
			case bMore:
				return -1
			}
			return 0
		}
		a, b = a2, b2
	}
}

// BuildModelStatement returns the statement about a folder, in one spelling for the same
// files, and its root. The files are sorted in place.
func BuildModelStatement(name string, files []ModelResource) (statement []byte, root string, err error) {
	if !plainID(name) {
		return nil, "", refuse("name", "%s is not a name for a model", quote(name))
	}
	slices.SortFunc(files, func(a, b ModelResource) int { return compareModelNames(a.Name, b.Name) })
	if root, err = modelRoot(files); err != nil {
		return nil, "", err
	}
	b := make([]byte, 0, 256+160*len(files))
	b = append(b, `{"_type":"`+StatementType+`","predicate":{"resources":[`...)
	for i, f := range files {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"algorithm":"sha256","digest":"`...)
		b = append(append(b, strings.TrimPrefix(f.Digest, hashPrefix)...), `","name":`...)
		b = append(canonicalString(b, f.Name), '}')
	}
	b = append(b, `],"serialization":{"allow_symlinks":false,"hash_type":"sha256","ignore_paths":["`+ModelSignatureName+`"],"method":"files"}},`...)
	b = append(b, `"predicateType":"`+ModelPredicate+`","subject":[{"digest":{"sha256":"`...)
	b = append(append(b, strings.TrimPrefix(root, hashPrefix)...), `"},"name":`...)
	return append(canonicalString(b, name), `}]}`...), root, nil
}

// modelRoot checks a list of files and returns the digest over their digests.
func modelRoot(files []ModelResource) (string, error) {
	if len(files) == 0 || len(files) > MaxModelFiles {
		return "", refuse("resources", "a signed model has 1 to %d files, not %d", MaxModelFiles, len(files))
	}
	sum := sha256.New()
	seen := make(map[string]bool, len(files))
	for _, f := range files {
		if err := checkModelName(f.Name); err != nil {
			return "", err
		}
		if seen[f.Name] {
			return "", refuse("resources", "%s stands there twice", quote(f.Name))
		}
		seen[f.Name] = true
		h, err := ParseHash(f.Digest)
		if err != nil {
			return "", err
		}
		sum.Write(h[:])
	}
	for name := range seen {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if seen[dir] {
				return "", refuse("resources", "%s is a file and a folder", quote(dir))
			}
		}
	}
	return FormatHash([32]byte(sum.Sum(nil))), nil
}

func checkModelName(name string) error {
	switch {
	case name == ".":
		return refuse("resources", "the bundle signs one file, not a folder")
	case !fs.ValidPath(name) || strings.ContainsRune(name, 0):
		return refuse("resources", "%s is no path in a folder", quote(name))
	case name == ModelSignatureName:
		return refuse("resources", "a bundle cannot contain itself")
	case len(name) > maxModelName:
		return refuse("resources", "%s has more than %d bytes", quote(name), maxModelName)
	}
	return nil
}

// MarshalModelBundle writes the bundle of a statement. sig is ASN.1 DER over SHA-256 of
// PAE(InTotoType, statement).
func MarshalModelBundle(statement []byte, pub crypto.PublicKey, keyID string, sig []byte) ([]byte, error) {
	key, err := ModelKeyPEM(pub)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, 512+len(statement)*4/3)
	b = append(b, `{"mediaType":"`+modelBundleType+`","verificationMaterial":{"publicKey":{"hint":"`+modelKeyHint(key)+`"},"tlogEntries":[]},`...)
	b = append(b, `"dsseEnvelope":`...)
	// DSSE's own JSON has the names and alphabets that a Sigstore bundle has.
	b = append(b, MarshalEnvelope(InTotoType, statement, EnvelopeSignature{KeyID: keyID, Sig: encodeBase64(sig)})...)
	return append(b, '}'), nil
}

// ParseModelBundle reads a bundle and the statement in it. It does not check the signature;
// [ModelBundle.Verify] does. Bundles that are signed by way of a certificate or a
// transparency service, and folders that were hashed in another way than file by file with
// SHA-256, are refused.
func ParseModelBundle(data []byte) (*ModelBundle, error) {
	if len(data) > MaxModelBundle {
		return nil, refuse("bundle", "has %d bytes, more than %d", len(data), MaxModelBundle)
	}
	var m modelBundle
	if err := decodeStrict("bundle", data, shapeOf[modelBundle](), &m); err != nil {
		return nil, err
	}
	if m.MediaType != modelBundleType {
		return nil, refuse("bundle", "is a %s, not a %s", quote(m.MediaType), modelBundleType)
	}
	if len(m.Material.TlogEntries) > 0 {
		return nil, refuse("bundle", "has entries of a transparency service, which are not read here")
	}
	e := m.Envelope
	if e.PayloadType != InTotoType {
		return nil, refuse("bundle", "holds %s, not %s", quote(e.PayloadType), InTotoType)
	}
	if len(e.Signatures) != 1 {
		return nil, refuse("bundle", "has %d signatures, not one", len(e.Signatures))
	}
	b := &ModelBundle{}
	var ok1, ok2, ok3 bool
	b.payload, ok1 = decodeBase64(e.Payload)
	b.sig, ok2 = decodeBase64(e.Signatures[0].Sig)
	b.keyPEM, ok3 = decodeBase64(m.Material.PublicKey.RawBytes)
	if !ok1 || !ok2 || !ok3 {
		return nil, refuse("bundle", "has something in it that should be base64 and is not")
	}
	if err := b.read(); err != nil {
		return nil, err
	}
	b.KeyHint = m.Material.PublicKey.Hint
	if id := e.Signatures[0].KeyID; id != nil {
		b.KeyID = *id
	}
	b.StatementDigest, b.BundleDigest = FormatHash(sha256.Sum256(b.payload)), FormatHash(sha256.Sum256(data))
	return b, nil
}

// read takes the statement apart.
func (b *ModelBundle) read() error {
	s, err := ParseStatement(b.payload)
	if err != nil {
		return err
	}
	if s.PredicateType != ModelPredicate {
		return refuse("statement", "has a predicate of type %s, not %s", quote(s.PredicateType), ModelPredicate)
	}
	var p modelPredicate
	if err := decodeStrict("statement", s.Predicate, shapeOf[modelPredicate](), &p); err != nil {
		return err
	}
	if z := p.Serialization; z.Method != "files" || z.HashType != "sha256" {
		return refuse("statement", "was made with method %s and hash %s; files and sha256 are known here", quote(z.Method), quote(z.HashType))
	}
	b.Resources = make([]ModelResource, 0, len(p.Resources))
	for _, r := range p.Resources {
		if r.Algorithm != "sha256" {
			return refuse("statement", "has %s hashed with %s, not sha256", quote(r.Name), quote(r.Algorithm))
		}
		b.Resources = append(b.Resources, ModelResource{r.Name, hashPrefix + r.Digest})
	}
	if b.Root, err = modelRoot(b.Resources); err != nil {
		return err
	}
	if b.Root != hashPrefix+s.Subject[0].Digest.SHA256 {
		return refuse("statement", "says that the root is %s, but its files make %s", quote(s.Subject[0].Digest.SHA256), b.Root)
	}
	b.Name, b.Ignored, b.FollowedLinks = s.Subject[0].Name, p.Serialization.IgnorePaths, p.Serialization.AllowSymlinks
	for _, r := range b.Resources {
		if b.ignores(r.Name) {
			return refuse("statement", "lists %s and says that it is to be ignored", quote(r.Name))
		}
	}
	return nil
}

// ignores reports whether the signer left a path out. A bundle is never a part of what it
// signs, whether the statement says so or not.
func (s *ModelStatement) ignores(name string) bool {
	if name == ModelSignatureName {
		return true
	}
	for _, i := range s.Ignored {
		if i = path.Clean(i); name == i || i == "." || strings.HasPrefix(name, i+"/") {
			return true
		}
	}
	return false
}

// Verify checks that the bundle is signed by a key. It says nothing about any file.
func (b *ModelBundle) Verify(pub crypto.PublicKey) error {
	key, err := ModelKeyPEM(pub)
	if err != nil {
		return err
	}
	if b.KeyHint != "" && b.KeyHint != modelKeyHint(key) || len(b.keyPEM) > 0 && !bytes.Equal(b.keyPEM, key) {
		return refuse("signature", "the bundle says that it was signed by another key")
	}
	// Nothing signs the id, so nothing but the right one, or none, may stand there.
	if id, err := KeyID(PurposeBaseline, pub); err != nil || b.KeyID != "" && b.KeyID != id {
		return refuse("signature", "the bundle names another key")
	}
	if !verifySignature(pub, PAE(InTotoType, b.payload), b.sig) {
		return refuse("signature", "the bundle is not signed by this key")
	}
	return nil
}

// CheckModelBundle reads a bundle and checks that a key signed it.
func CheckModelBundle(bundle []byte, pub crypto.PublicKey) (*ModelStatement, error) {
	b, err := ParseModelBundle(bundle)
	if err != nil {
		return nil, err
	}
	if err := b.Verify(pub); err != nil {
		return nil, err
	}
	return &b.ModelStatement, nil
}

// ModelKey returns the key of purpose baseline that signed a bundle. A retired key still
// counts: a bundle alone does not tell when it was made. A compromised one does not.
func (t *Trust) ModelKey(b *ModelBundle) (*TrustKey, error) {
	for i := range t.Keys {
		k := &t.Keys[i]
		if k.Purpose != PurposeBaseline {
			continue
		}
		pub, err := k.Public()
		if err != nil {
			return nil, err
		}
		if b.Verify(pub) != nil {
			continue
		}
		if k.CompromisedAt != nil {
			return nil, refuse("signature", "%s is compromised; what it signed proves nothing without the log", k.ID)
		}
		return k, nil
	}
	return nil, refuse("signature", "no baseline key of the trust file signed the bundle")
}
