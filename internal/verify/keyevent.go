package verify

import (
	"crypto"
	"encoding/json"

	"caos"
)

// KeyStatementType is the DSSE payload type of key statements. Signing them through PAE
// keeps them apart from whatever else the same key signs.
const KeyStatementType = "application/vnd.caos.key-statement+json"

// What can happen to a key.
const (
	KeyCreated     = "created"
	KeyRetired     = "retired"
	KeyCompromised = "compromised"
)

// KeyEvent is what the log's KEY records carry in their details: one thing that happened
// to a key, and a signature over it.
type KeyEvent struct {
	Signature string `json:"signature"` // base64, by the key Statement names, over PAE(KeyStatementType, Statement)
	Statement string `json:"statement"` // KeyStatement, canonical JSON
}

// KeyStatement says what happened to a key. The fields are in the order of their JSON
// names, so that encoding/json writes them canonically.
type KeyStatement struct {
	Algorithm string `json:"algorithm"`
	Event     string `json:"event"` // KeyCreated, KeyRetired or KeyCompromised
	KeyID     string `json:"key_id"`
	PublicKey string `json:"public_key"` // base64 of the PKIX DER
	Purpose   string `json:"purpose"`
	SignedBy  string `json:"signed_by"` // key id of the predecessor, or of the key itself where there is none
	Time      string `json:"time"`      // caos.TimeLayout
}

// Canonical returns the statement's one spelling.
func (s KeyStatement) Canonical() (string, error) {
	// No field may need escaping, so that encoding/json and RFC 8785 agree.
	if _, err := s.Key(); err != nil {
		return "", err
	}
	if !plainID(s.SignedBy) || !plainTime(s.Time) {
		return "", refuse("key statement", "has a malformed signer or time")
	}
	switch s.Event {
	case KeyCreated, KeyRetired, KeyCompromised:
	default:
		return "", refuse("key statement", "has the unknown event %s", quote(s.Event))
	}
	b, err := json.Marshal(s)
	return string(b), err
}

// Key returns the key that the statement is about, without leaves.
func (s KeyStatement) Key() (TrustKey, error) {
	k := TrustKey{ID: s.KeyID, Purpose: s.Purpose, Algorithm: s.Algorithm, PublicKey: s.PublicKey}
	return k, k.check()
}

// Parse reads the statement strictly; it does not check the signature.
func (e KeyEvent) Parse() (KeyStatement, error) {
	var s KeyStatement
	if len(e.Statement) > 4096 {
		return s, caos.Errorf(caos.TooLarge, "has %d bytes", len(e.Statement)).WithField("key statement")
	}
	if err := decodeStrict("key statement", []byte(e.Statement), shapeOf[KeyStatement](), &s); err != nil {
		return s, err
	}
	canonical, err := s.Canonical()
	if err != nil {
		return s, err
	}
	if canonical != e.Statement {
		return s, refuse("key statement", "is not in canonical form")
	}
	return s, nil
}

// Verify checks the event's signature with the public key of the signer it names.
func (e KeyEvent) Verify(signer crypto.PublicKey) error {
	sig, ok := decodeBase64(e.Signature)
	if !ok || !verifySignature(signer, PAE(KeyStatementType, []byte(e.Statement)), sig) {
		return refuse("key statement", "is not signed by the key it names")
	}
	return nil
}
