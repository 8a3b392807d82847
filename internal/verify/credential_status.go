package verify

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Whether a passport was revoked stands in a status list, as the W3C recommendation
// "Bitstring Status List v1.0" has it: a signed credential with one bit for each of at least
// 131,072 passports, so that whoever fetches it does not tell which of them is meant.

// The names of a status list.
const (
	StatusListType    = "BitstringStatusListCredential" // of the credential
	StatusSubjectType = "BitstringStatusList"           // of its subject
	StatusEntryType   = "BitstringStatusListEntry"      // of a passport's credentialStatus
	StatusRevocation  = "revocation"                    // the only purpose that passports use
)

// MinStatusBits is the fewest bits of a status list (Bitstring Status List v1.0, section 6.1);
// maxStatusBytes bounds what a list may unfold to, and maxStatusIndex what may name a bit.
const (
	MinStatusBits  = 131_072
	maxStatusBytes = 1 << 20
	maxStatusIndex = maxStatusBytes * 8
)

// StatusEntry says where a passport's bit is.
type StatusEntry struct {
	_       struct{} `open:"true"`
	ID      string   `json:"id,omitempty"`
	Type    string   `json:"type"`
	Purpose string   `json:"statusPurpose"`
	Index   string   `json:"statusListIndex"`      // decimal
	List    string   `json:"statusListCredential"` // address of the list
}

// statusEntryOf reads a credential's credentialStatus; nil if it has none. Anything but one
// entry about revocation is refused: a state that we cannot read could be that the passport
// does not count.
func statusEntryOf(raw json.RawMessage) (*StatusEntry, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var e StatusEntry
	if err := decodeStrict("credentialStatus", raw, shapeOf[StatusEntry](), &e); err != nil {
		return nil, err
	}
	switch {
	case e.Type != StatusEntryType || e.Purpose != StatusRevocation:
		return nil, refuse("credentialStatus", "of type %s for %s is not known", quote(e.Type), quote(e.Purpose))
	case !printable(e.List, 500):
		return nil, refuse("credentialStatus.statusListCredential", "%s is not an address", quote(e.List))
	}
	if _, err := e.index(); err != nil {
		return nil, err
	}
	return &e, nil
}

func (e *StatusEntry) index() (int64, error) {
	n, ok := decimal(e.Index)
	if !ok || n >= maxStatusIndex {
		return 0, refuse("credentialStatus.statusListIndex", "%s is not a place in a list", quote(e.Index))
	}
	return n, nil
}

// StatusList is a status list whose proof holds.
type StatusList struct {
	ID         string // address, as passports name it
	Issuer     string // did:key of the key that signed
	KeyID      string // that key in the trust file
	Digest     string // "SHA256:" and hex of its canonical form
	ValidFrom  time.Time
	ValidUntil time.Time // it has to be fetched again after that
	bits       []byte
}

// statusListFields are the members of a status list that are looked at.
type statusListFields struct {
	_          struct{}        `open:"true"`
	Context    json.RawMessage `json:"@context"`
	ID         string          `json:"id"`
	Type       json.RawMessage `json:"type"`
	Issuer     json.RawMessage `json:"issuer"`
	ValidFrom  string          `json:"validFrom"`
	ValidUntil string          `json:"validUntil"`
	Subject    statusSubject   `json:"credentialSubject"`
}

type statusSubject struct {
	_       struct{} `open:"true"`
	ID      string   `json:"id,omitempty"`
	Type    string   `json:"type"`
	Purpose string   `json:"statusPurpose"`
	Bits    string   `json:"encodedList"`
}

// CheckStatusList verifies a status list offline: its proof, that it is by a passport key of
// the trust file that was never reported stolen, and its form. Whether it is the latest one
// only its times tell.
func CheckStatusList(raw []byte, trust Trust) (*StatusList, error) {
	_, did, unsecured, err := CheckProof(raw)
	if err != nil {
		return nil, err
	}
	canonical, err := canonicalJSON("status list", raw)
	if err != nil {
		return nil, err
	}
	k, err := trust.passportKey(did)
	if err != nil {
		return nil, err
	}
	if k.CompromisedAt != nil {
		return nil, refuse("key", "%s is compromised; what it signed proves nothing", k.ID)
	}
	l := &StatusList{Issuer: did, KeyID: k.ID, Digest: FormatHash(sha256.Sum256(canonical))}
	return l, l.read(unsecured)
}

func (l *StatusList) read(unsecured []byte) (err error) {
	var f statusListFields
	if err := decodeStrict("status list", unsecured, shapeOf[statusListFields](), &f); err != nil {
		return err
	}
	contexts, types := textsOf(f.Context), textsOf(f.Type)
	issuer, err := issuerOf(f.Issuer)
	switch {
	case err != nil:
		return err
	case len(contexts) != 1 || contexts[0] != CredentialContext:
		return refuse("@context", "is not that of a status list")
	case !slices.Contains(types, CredentialType) || !slices.Contains(types, StatusListType):
		return refuse("type", "is not that of a status list")
	case issuer != l.Issuer:
		return refuse("issuer", "%s is not who signed", quote(issuer))
	case f.Subject.Type != StatusSubjectType || f.Subject.Purpose != StatusRevocation:
		return refuse("credentialSubject", "of type %s for %s is not known", quote(f.Subject.Type), quote(f.Subject.Purpose))
	case !printable(f.ID, 500):
		return refuse("id", "%s is not an address", quote(f.ID))
	}
	if l.ValidFrom, err = time.Parse(time.RFC3339Nano, f.ValidFrom); err != nil {
		return refuse("validFrom", "%s is not a time", quote(f.ValidFrom))
	}
	if l.ValidUntil, err = time.Parse(time.RFC3339Nano, f.ValidUntil); err != nil || !l.ValidUntil.After(l.ValidFrom) {
		return refuse("validUntil", "%s is not a time after the list's beginning", quote(f.ValidUntil))
	}
	l.ID = f.ID
	l.bits, err = unfoldStatus(f.Subject.Bits)
	return err
}

// unfoldStatus reads the bits of a list: 'u', and base64url without padding of their gzip
// form. What unfolds to more than any list of ours has is refused while it unfolds.
func unfoldStatus(text string) ([]byte, error) {
	body, ok := strings.CutPrefix(text, "u")
	packed, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if !ok || err != nil || base64.RawURLEncoding.EncodedLen(len(packed)) != len(body) {
		return nil, refuse("credentialSubject.encodedList", "is not multibase base64url")
	}
	in := bytes.NewReader(packed)
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, refuse("credentialSubject.encodedList", "is not gzip")
	}
	z.Multistream(false) // readers differ in what they make of a second one
	bits, err := io.ReadAll(io.LimitReader(z, maxStatusBytes+1))
	switch {
	case err != nil:
		return nil, refuse("credentialSubject.encodedList", "is damaged gzip")
	case len(bits) > maxStatusBytes:
		return nil, refuse("credentialSubject.encodedList", "has more than %d bytes", maxStatusBytes)
	case in.Len() > 0:
		return nil, refuse("credentialSubject.encodedList", "goes on behind its gzip form")
	case len(bits)*8 < MinStatusBits:
		return nil, refuse("credentialSubject.encodedList", "has %d bits, fewer than %d", len(bits)*8, MinStatusBits)
	}
	return bits, nil
}

// FoldStatus writes the bits of a list as its encodedList has them.
func FoldStatus(bits []byte) (string, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(bits); err != nil {
		return "", err
	}
	if err := z.Close(); err != nil {
		return "", err
	}
	return "u" + base64.RawURLEncoding.EncodeToString(b.Bytes()), nil
}

// SetStatus sets the bit at a place. Place 0 is the left-most bit of the first byte.
func SetStatus(bits []byte, place int64) { bits[place/8] |= 0x80 >> (place % 8) }

// Revoked reports whether the bit of a passport is set. Errors: Invalid if the passport names
// no list, another one, or a place that this one does not have.
func (l *StatusList) Revoked(c *Credential) (bool, error) {
	e := c.Status
	if e == nil {
		return false, refuse("credentialStatus", "is missing: the passport names no status list")
	}
	if e.List != l.ID {
		return false, refuse("status", "is the list %s, the passport names %s", quote(l.ID), quote(e.List))
	}
	n, err := e.index()
	if err != nil {
		return false, err
	}
	if n >= int64(len(l.bits))*8 {
		return false, refuse("credentialStatus.statusListIndex", "%s is not in a list of %s places", e.Index, strconv.Itoa(len(l.bits)*8))
	}
	return l.bits[n/8]&(0x80>>(n%8)) != 0, nil
}
