package verify

import (
	"encoding/base64"
	"strconv"
	"strings"
)

const (
	// MaxEnvelope is the most bytes of a DSSE envelope that are read.
	MaxEnvelope   = 4 << 20
	maxSignatures = 16
	// InTotoType is the payload type of in-toto statements.
	InTotoType = "application/vnd.in-toto+json"
)

// Envelope is a DSSE v1 envelope: a payload, what it is, and signatures over both.
type Envelope struct {
	Payload     string              `json:"payload"`     // base64 of the exact bytes that are signed
	PayloadType string              `json:"payloadType"` // media type of the payload
	Signatures  []EnvelopeSignature `json:"signatures"`

	payload []byte
}

// EnvelopeSignature is one signature of an envelope.
type EnvelopeSignature struct {
	KeyID string `json:"keyid"` // CAOS key id; a hint, not authenticated
	Sig   string `json:"sig"`   // base64
}

// PAE is DSSE's pre-authentication encoding: the bytes that are really signed. The lengths
// in it make sure that no other pair of type and payload encodes to the same bytes.
func PAE(payloadType string, payload []byte) []byte {
	b := make([]byte, 0, len(payload)+len(payloadType)+48)
	b = append(b, "DSSEv1 "...)
	b = strconv.AppendInt(b, int64(len(payloadType)), 10)
	b = append(append(append(b, ' '), payloadType...), ' ')
	b = strconv.AppendInt(b, int64(len(payload)), 10)
	return append(append(b, ' '), payload...)
}

// ParseEnvelope reads an envelope. It takes both alphabets of base64, as DSSE demands, and
// is stricter than DSSE in refusing fields it does not know: nothing in an envelope should
// be readable as something that was not checked.
func ParseEnvelope(data []byte) (*Envelope, error) {
	return parseEnvelope(data, shapeOf[Envelope]())
}

func parseEnvelope(data []byte, s *shape) (*Envelope, error) {
	if len(data) > MaxEnvelope {
		return nil, refuse("envelope", "has %d bytes, more than %d", len(data), MaxEnvelope)
	}
	var e Envelope
	if err := decodeStrict("envelope", data, s, &e); err != nil {
		return nil, err
	}
	var ok bool
	if e.payload, ok = decodeAnyBase64(e.Payload); !ok {
		return nil, refuse("envelope", "has a payload that is not base64")
	}
	if e.PayloadType == "" || len(e.PayloadType) > 200 {
		return nil, refuse("envelope", "has no usable payload type")
	}
	if len(e.Signatures) == 0 || len(e.Signatures) > maxSignatures {
		return nil, refuse("envelope", "has %d signatures, not 1 to %d", len(e.Signatures), maxSignatures)
	}
	return &e, nil
}

func decodeAnyBase64(s string) ([]byte, bool) {
	if !strings.ContainsAny(s, "-_") {
		return decodeBase64(s)
	}
	b, err := base64.URLEncoding.Strict().DecodeString(s)
	if err != nil || base64.URLEncoding.EncodedLen(len(b)) != len(s) {
		return nil, false
	}
	return b, true
}

// MarshalEnvelope writes an envelope in the one spelling that packages may contain.
func MarshalEnvelope(payloadType string, payload []byte, sigs ...EnvelopeSignature) []byte {
	b := make([]byte, 0, 2*len(payload)+512)
	b = append(b, `{"payload":"`...)
	b = base64.StdEncoding.AppendEncode(b, payload)
	b = append(b, `","payloadType":`...)
	b = canonicalString(b, payloadType)
	b = append(b, `,"signatures":[`...)
	for i, s := range sigs {
		if i > 0 {
			b = append(b, ',')
		}
		b = canonicalString(append(b, `{"keyid":`...), s.KeyID)
		b = canonicalString(append(b, `,"sig":`...), s.Sig)
		b = append(b, '}')
	}
	return append(b, `]}`...)
}

// Bytes returns the payload.
func (e *Envelope) Bytes() []byte { return e.payload }

// Verify checks the signatures of an envelope of a payload type. keys returns the key of an
// id or why it may not sign. At least one signature must be by such a key, and every
// signature by such a key must be right; signatures by others are ignored, as DSSE says.
// It returns the id of the first key that signed.
func (e *Envelope) Verify(payloadType string, keys func(id string) (*TrustKey, error)) (string, error) {
	if e.PayloadType != payloadType {
		return "", refuse("envelope", "holds %s, not %s", quote(e.PayloadType), payloadType)
	}
	message := PAE(e.PayloadType, e.payload)
	signer := ""
	var first error
	for _, s := range e.Signatures {
		k, err := keys(s.KeyID)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		sig, ok := decodeAnyBase64(s.Sig)
		if !ok {
			return "", refuse("envelope", "has a signature that is not base64")
		}
		if err := k.Verify(message, sig); err != nil {
			return "", err
		}
		if signer == "" {
			signer = k.ID
		}
	}
	if signer == "" {
		return "", first
	}
	return signer, nil
}
