package verify

import (
	"encoding/json"

	"golang.org/x/mod/sumdb/tlog"
)

// in-toto names that CAOS writes.
const (
	StatementType     = "https://in-toto.io/Statement/v1"
	EvidencePredicate = "urn:caos:evidence:v1" // predicate: EvidenceClaim and more
	PackagePredicate  = "urn:caos:package:v1"  // predicate: {"package_id"}
)

// Statement is an in-toto Statement v1: what is said about which bytes.
type Statement struct {
	Type          string          `json:"_type"`
	Subject       []Subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// Subject names bytes by their digest.
type Subject struct {
	Name   string `json:"name"`
	Digest Digest `json:"digest"`
}

// Digest is in-toto's digest set; SHA-256 is the one that is used and required.
type Digest struct {
	SHA256 string `json:"sha256"` // 64 lower-case hex digits
}

// EvidenceClaim is the part of an evidence predicate that a verifier understands. The
// predicate may say more.
type EvidenceClaim struct {
	_            struct{} `open:"true"`
	EvidenceID   string   `json:"evidence_id"`
	Requirements []string `json:"requirement_ids"` // requirements this item is evidence for; may be empty
	Objectives   []string `json:"objective_ids"`   // objectives likewise
}

// NewStatement returns the JSON of a statement about one subject. digest is SHA-256 of the
// subject's bytes.
func NewStatement(name string, digest [32]byte, predicateType string, predicate any) ([]byte, error) {
	p, err := json.Marshal(predicate)
	if err != nil {
		return nil, err
	}
	return json.Marshal(Statement{
		Type:          StatementType,
		Subject:       []Subject{{Name: name, Digest: Digest{SHA256: tlogHex(digest)}}},
		PredicateType: predicateType,
		Predicate:     p,
	})
}

// ParseStatement reads a statement with exactly one subject.
func ParseStatement(payload []byte) (Statement, error) {
	return parseStatement(payload, shapeOf[Statement]())
}

func parseStatement(payload []byte, sh *shape) (Statement, error) {
	var s Statement
	if err := decodeStrict("statement", payload, sh, &s); err != nil {
		return s, err
	}
	if s.Type != StatementType {
		return s, refuse("statement", "is of type %s, not %s", quote(s.Type), StatementType)
	}
	if len(s.Subject) != 1 {
		return s, refuse("statement", "has %d subjects, not one", len(s.Subject))
	}
	if _, err := parseHex(s.Subject[0].Digest.SHA256); err != nil {
		return s, err
	}
	return s, nil
}

func tlogHex(h tlog.Hash) string { return FormatHash(h)[len(hashPrefix):] }
