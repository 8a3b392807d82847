package verify

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/gowebpki/jcs"
)

// A data integrity proof by the cryptosuite eddsa-jcs-2022, as the W3C recommendation
// "Data Integrity EdDSA Cryptosuites v1.0", section 3.3, has it: document and proof
// options are each brought into canonical form (RFC 8785) and hashed, and the two hashes
// are what Ed25519 signs.

// The names that a proof carries.
const (
	ProofType    = "DataIntegrityProof"
	ProofSuite   = "eddsa-jcs-2022"
	ProofPurpose = "assertionMethod"
)

// maxCredential is the most bytes of a credential that are read.
const maxCredential = 1 << 20

// maxExact is the largest integer that every JSON reader understands as the same number.
const maxExact = 1 << 53

// IntegrityProof is a data integrity proof, in the only form that is read here: members that are
// not known could change what the proof means.
type IntegrityProof struct {
	Context    json.RawMessage `json:"@context,omitempty"` // that of the document, when it was signed
	Type       string          `json:"type"`
	Suite      string          `json:"cryptosuite"`
	Created    json.RawMessage `json:"created,omitempty"` // text of RFC 3339; what the signer says; nil for nothing
	Method     string          `json:"verificationMethod"`
	Purpose    string          `json:"proofPurpose"`
	ProofValue string          `json:"proofValue"` // 'z' and base58btc of 64 bytes
}

// ProofInput returns the 64 bytes that are signed: the SHA-256 of the proof's options
// (without proofValue, with the document's @context) and that of the document without its
// proof, both in canonical form.
func ProofInput(document, options []byte) ([]byte, error) {
	doc, err := canonicalJSON("document", document)
	if err != nil {
		return nil, err
	}
	opt, err := canonicalJSON("proof", options)
	if err != nil {
		return nil, err
	}
	optHash, docHash := sha256.Sum256(opt), sha256.Sum256(doc)
	return append(optHash[:], docHash[:]...), nil
}

// ProofValue writes a signature as a proof carries it.
func ProofValue(sig []byte) string { return "z" + encodeBase58(sig) }

// canonicalJSON brings JSON text into canonical form. Text that two readers could
// understand in two ways is refused: repeated keys, integers that a float64 cannot hold,
// halves of surrogate pairs.
func canonicalJSON(what string, text []byte) ([]byte, error) {
	if len(text) > maxCredential {
		return nil, refuse(what, "has %d bytes, more than %d", len(text), maxCredential)
	}
	var whole json.RawMessage
	if err := decodeStrict(what, text, &shape{}, &whole); err != nil {
		return nil, err
	}
	if err := plainTokens(text, false); err != nil {
		return nil, refuse(what, "%v", err)
	}
	out, err := jcs.Transform(text)
	if err != nil {
		return nil, refuse(what, "has no canonical form")
	}
	return out, nil
}

// decodePlain is decodeStrict for text that must be the same to all readers, and in which no
// number has a fraction.
func decodePlain(what string, data []byte, s *shape, into any) error {
	if err := decodeStrict(what, data, s, into); err != nil {
		return err
	}
	if err := plainTokens(data, true); err != nil {
		return refuse(what, "%v", err)
	}
	return nil
}

// plainTokens looks at the numbers and the strings of well-formed JSON. whole says that
// numbers must be written without a fraction or an exponent.
func plainTokens(text []byte, whole bool) error {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			start := i
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			if loneSurrogate(text[start+1 : i]) {
				return errors.New("has half of a surrogate pair")
			}
		case c >= '0' && c <= '9':
			start := i
			for i < len(text) && strings.IndexByte("0123456789.eE+-", text[i]) >= 0 {
				i++
			}
			if err := plainNumber(string(text[start:i])); err != nil {
				return err
			}
			if whole && bytes.ContainsAny(text[start:i], ".eE") {
				return errors.New("has the number " + quote(string(text[start:i])) + " where only whole ones belong")
			}
			i--
		}
	}
	return nil
}

// plainNumber refuses numbers that a float64, which is all that canonical JSON has, may not
// hold: readers with longer numbers would see another one than was signed.
func plainNumber(s string) error {
	whole := !strings.ContainsAny(s, ".eE")
	f, err := strconv.ParseFloat(s, 64)
	n, errWhole := strconv.ParseUint(s, 10, 64)
	if err != nil || whole && (errWhole != nil || n > maxExact) || !whole && f >= maxExact {
		return errors.New("has the number " + quote(s) + ", which not every reader understands as the same")
	}
	return nil
}

// loneSurrogate reports whether the escapes in a string's text leave half a pair.
func loneSurrogate(s []byte) bool {
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		i++
		unit, ok := escapedUnit(s, i)
		if !ok {
			continue // another escape; i stands on its letter
		}
		i += 4
		switch {
		case unit >= 0xdc00 && unit <= 0xdfff:
			return true
		case unit >= 0xd800 && unit < 0xdc00:
			if i+2 >= len(s) || s[i+1] != '\\' {
				return true
			}
			if low, ok := escapedUnit(s, i+2); !ok || low < 0xdc00 || low > 0xdfff {
				return true
			}
			i += 6
		}
	}
	return false
}

// escapedUnit reads uXXXX at position i.
func escapedUnit(s []byte, i int) (uint64, bool) {
	if i+5 > len(s) || s[i] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(s[i+1:i+5]), 16, 16)
	return n, err == nil
}

// CheckProof verifies the proof of a JSON document whose key is named by a did:key, and
// returns the proof, that did:key, and the document without its proof.
func CheckProof(raw []byte) (p IntegrityProof, did string, unsecured []byte, err error) {
	if _, err := canonicalJSON("credential", raw); err != nil {
		return p, "", nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members["proof"] == nil {
		return p, "", nil, refuse("proof", "is missing")
	}
	if err := decodeStrict("proof", members["proof"], shapeOf[IntegrityProof](), &p); err != nil {
		return p, "", nil, err
	}
	key, did, err := p.key()
	if err != nil {
		return p, "", nil, err
	}
	sig, ok := decodeBase58(strings.TrimPrefix(p.ProofValue, "z"))
	if !ok || !strings.HasPrefix(p.ProofValue, "z") || len(sig) != ed25519.SignatureSize {
		return p, "", nil, refuse("proof.proofValue", "is not a signature of 64 bytes in base58btc")
	}
	if err := p.fits(members["@context"]); err != nil {
		return p, "", nil, err
	}
	if p.Context != nil {
		members["@context"] = p.Context
	}
	options, err := optionsOf(members["proof"])
	if err != nil {
		return p, "", nil, err
	}
	delete(members, "proof")
	if unsecured, err = json.Marshal(members); err != nil {
		return p, "", nil, refuse("credential", "cannot be written again")
	}
	input, err := ProofInput(unsecured, options)
	if err != nil {
		return p, "", nil, err
	}
	if !ed25519.Verify(key, input, sig) {
		return p, "", nil, refuse("proof.proofValue", "is not a signature by %s over this document", quote(did))
	}
	return p, did, unsecured, nil
}

// key returns the key that the proof names.
func (p *IntegrityProof) key() (ed25519.PublicKey, string, error) {
	switch {
	case p.Type != ProofType || p.Suite != ProofSuite:
		return nil, "", refuse("proof", "of type %s and suite %s is not known", quote(p.Type), quote(p.Suite))
	case p.Purpose != ProofPurpose:
		return nil, "", refuse("proof.proofPurpose", "is %s and not %s", quote(p.Purpose), ProofPurpose)
	}
	if p.Created != nil {
		var at string
		err := json.Unmarshal(p.Created, &at)
		if _, ok := parseTime(at); !ok || err != nil {
			return nil, "", refuse("proof.created", "%s is not a time", quote(string(p.Created)))
		}
	}
	did, _, _ := strings.Cut(p.Method, "#")
	key, err := ParseDIDKey(did)
	if err != nil || p.Method != VerificationMethod(did) {
		return nil, "", refuse("proof.verificationMethod", "%s is not the key of a did:key", quote(p.Method))
	}
	return key, did, nil
}

// fits checks that the document has the contexts that were signed. The recommendation lets
// further ones follow; here they would change what the words mean after they were signed.
func (p *IntegrityProof) fits(document json.RawMessage) error {
	if p.Context == nil {
		return nil
	}
	signed, has := listOf(p.Context), listOf(document)
	if len(signed) != len(has) {
		return refuse("@context", "is not the one that was signed")
	}
	for i := range signed {
		if !bytes.Equal(signed[i], has[i]) {
			return refuse("@context", "is not the one that was signed")
		}
	}
	return nil
}

// listOf reads a JSON value as a list: what is not one is a list of itself. Its items are
// in canonical form.
func listOf(raw json.RawMessage) []json.RawMessage {
	var list []json.RawMessage
	if len(raw) == 0 {
		return nil
	}
	if json.Unmarshal(raw, &list) != nil {
		list = []json.RawMessage{raw}
	}
	for i, item := range list {
		if c, err := jcs.Transform(append(append([]byte{'['}, item...), ']')); err == nil {
			list[i] = c
		}
	}
	return list
}

// optionsOf returns a proof without its value.
func optionsOf(proof json.RawMessage) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(proof, &members); err != nil {
		return nil, refuse("proof", "is not an object")
	}
	delete(members, "proofValue")
	return json.Marshal(members)
}
