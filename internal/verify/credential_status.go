package verify

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"caos"
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
	Size    *int64   `json:"statusSize,omitempty"` // bits of one entry; 1 if it is not there
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
	case e.Size != nil && *e.Size != 1:
		return nil, refuse("credentialStatus.statusSize", "is %d: its bits would stand elsewhere, and say more than we know", *e.Size)
	case !isAddress(e.List):
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

type statusSubject struct {
	_       struct{} `open:"true"`
	ID      string   `json:"id,omitempty"`
	Type    string   `json:"type"`
	Purpose string   `json:"statusPurpose"`
	Bits    string   `json:"encodedList"`
}

// CheckStatusList verifies a status list offline: its proof, that it is by a passport key of
// the trust file that is neither retired nor reported stolen, and its form. Whether it is the
// latest one only its times tell, see [StatusList.CheckTime].
func CheckStatusList(raw []byte, trust Trust) (*StatusList, error) {
	o, err := openCredential("status list", raw)
	if err != nil {
		return nil, err
	}
	k, err := trust.passportKey(o.did)
	switch {
	case err != nil:
		return nil, err
	case k.CompromisedAt != nil:
		return nil, refuse("key", "%s is compromised; what it signed proves nothing", k.ID)
	case k.ActiveUntil != nil:
		// Nothing shows when a list was signed, and its successor signs them all anew.
		return nil, refuse("key", "%s was retired, and signs no lists any more: fetch the list again", k.ID)
	}
	l := &StatusList{Issuer: o.did, KeyID: k.ID, Digest: FormatHash(o.digest)}
	return l, l.read(o)
}

func (l *StatusList) read(o *openedCredential) error {
	contexts, err := o.check(StatusListType)
	if err != nil {
		return err
	}
	var s statusSubject
	if err := decodeStrict("credentialSubject", o.head.Subject, shapeOf[statusSubject](), &s); err != nil {
		return err
	}
	switch {
	case len(contexts) != 1:
		return refuse("@context", "is not that of a status list")
	case s.Type != StatusSubjectType || s.Purpose != StatusRevocation:
		return refuse("credentialSubject", "of type %s for %s is not known", quote(s.Type), quote(s.Purpose))
	}
	var ok bool
	if l.ValidUntil, ok = parseTime(o.head.ValidUntil); !ok || !l.ValidUntil.After(o.validFrom) {
		return refuse("validUntil", "%s is not a time after the list's beginning", quote(o.head.ValidUntil))
	}
	l.ID, l.ValidFrom = o.head.ID, o.validFrom
	l.bits, err = unfoldStatus(s.Bits)
	return err
}

// CheckTime refuses a list that does not count at a moment of the reader's clock: one that is
// out of date would hide what was revoked since.
func (l *StatusList) CheckTime(now time.Time) error {
	if now.After(l.ValidUntil) {
		return refuse("status", "counted until %s: what was revoked since it does not know; fetch it again", caos.FormatTime(l.ValidUntil))
	}
	return notBefore(l.ValidFrom, now)
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
