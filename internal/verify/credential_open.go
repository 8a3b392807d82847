package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A passport and a status list are credentials of one form. What they have in common is read
// here, once.

// credentialHead are the members of a credential that are looked at. @context, type and
// issuer are read by hand: each has more than one form.
type credentialHead struct {
	_          struct{}        `open:"true"`
	Context    json.RawMessage `json:"@context"`
	ID         string          `json:"id"`
	Type       json.RawMessage `json:"type"`
	Issuer     json.RawMessage `json:"issuer"`
	ValidFrom  string          `json:"validFrom"`
	ValidUntil string          `json:"validUntil,omitempty"`
	Subject    json.RawMessage `json:"credentialSubject"`
	Status     json.RawMessage `json:"credentialStatus,omitempty"`
}

// openedCredential is a credential whose proof holds. Whether its key counts is not asked yet.
type openedCredential struct {
	head      credentialHead
	did       string   // of the key that signed
	digest    [32]byte // SHA-256 of the canonical form, proof and all
	validFrom time.Time
}

// openCredential checks the proof of a credential and reads its members. They are read from
// the canonical form, so that a number counts as what was signed, however it is written.
func openCredential(what string, raw []byte) (*openedCredential, error) {
	canonical, err := canonicalJSON(what, raw)
	if err != nil {
		return nil, err
	}
	_, did, unsecured, err := CheckProof(canonical)
	if err != nil {
		return nil, err
	}
	o := &openedCredential{did: did, digest: sha256.Sum256(canonical)}
	return o, decodeStrict(what, unsecured, shapeOf[credentialHead](), &o.head)
}

// check checks that the credential is one of a type of ours, issued by who signed it, and
// returns its contexts.
func (o *openedCredential) check(kind string) (contexts []string, err error) {
	contexts = textsOf(o.head.Context)
	types := textsOf(o.head.Type)
	issuer, err := issuerOf(o.head.Issuer)
	switch {
	case err != nil:
		return nil, err
	case len(contexts) == 0 || contexts[0] != CredentialContext:
		return nil, refuse("@context", "does not begin with %s", CredentialContext)
	case !slices.Contains(types, CredentialType) || !slices.Contains(types, kind):
		return nil, refuse("type", "is not %s and %s", CredentialType, kind)
	case issuer != o.did:
		return nil, refuse("issuer", "%s is not who signed", quote(issuer))
	case !isAddress(o.head.ID):
		return nil, refuse("id", "%s is not an address", quote(o.head.ID))
	}
	var ok bool
	if o.validFrom, ok = parseTime(o.head.ValidFrom); !ok {
		return nil, refuse("validFrom", "%s is not a time", quote(o.head.ValidFrom))
	}
	return contexts, nil
}

// issuerOf reads an issuer: its identifier, or an object that has one.
func issuerOf(raw json.RawMessage) (string, error) {
	var id string
	if json.Unmarshal(raw, &id) == nil {
		return id, nil
	}
	type party struct {
		_  struct{} `open:"true"`
		ID string   `json:"id"`
	}
	var object party
	err := decodeStrict("issuer", raw, shapeOf[party](), &object)
	return object.ID, err
}

// textsOf reads a string or a list of strings; nil for anything else.
func textsOf(raw json.RawMessage) (list []string) {
	if bytes.HasPrefix(raw, []byte{'"'}) {
		raw = slices.Concat([]byte{'['}, raw, []byte{']'})
	}
	if decodeStrict("list", raw, shapeOf[[]string](), &list) != nil {
		return nil
	}
	return list
}

// parseTime reads a time of RFC 3339, and no more: time.Parse alone takes hours of one digit,
// commas and zones that there are not, of which other readers make something else.
func parseTime(s string) (t time.Time, ok bool) {
	const head = len("2006-01-02T15:04:05")
	if len(s) <= head || !formed(s[:head], "dddd-dd-ddTdd:dd:dd") {
		return t, false
	}
	zone := s[head:]
	if fraction, ok := strings.CutPrefix(zone, "."); ok {
		zone = strings.TrimLeft(fraction, "0123456789")
		if n := len(fraction) - len(zone); n < 1 || n > 9 {
			return t, false
		}
	}
	if zone != "Z" && (!formed(strings.Replace(zone, "-", "+", 1), "+dd:dd") || zone[1:3] > "23" || zone[4:] > "59") {
		return t, false
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t, err == nil
}

// notBefore refuses what begins later than now, but for how far clocks may be apart.
func notBefore(from, now time.Time) error {
	if from.Sub(now) > maxClock {
		return refuse("validFrom", "is %s, which is still to come", from.UTC().Format(time.RFC3339))
	}
	return nil
}

// isAddress reports whether s is an address of HTTP that all readers understand alike: with a
// host, without a user, spaces or control characters.
func isAddress(s string) bool {
	scheme, rest, ok := strings.Cut(s, "://")
	scheme = strings.ToLower(scheme)
	host, _, _ := strings.Cut(rest, "/")
	odd := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
	return ok && (scheme == "https" || scheme == "http") && host != "" && !strings.ContainsAny(host, `?#@\`) &&
		len(s) <= 500 && utf8.ValidString(s) && !strings.ContainsFunc(s, odd)
}
