package verify

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"caos"
)

// MaxLeaf is the most bytes a leaf can have. Leaves are public and kept for ever, so the
// bound is part of the format.
const MaxLeaf = 512

// Leaf is the public part of an audit record, version 1: enough to prove that a record
// existed and when, and nothing about what it says.
type Leaf struct {
	V          int    `json:"v"`          // 1
	ID         string `json:"id"`         // audit record id
	Time       string `json:"time"`       // the server's time, caos.TimeLayout
	Type       string `json:"type"`       // upper-case word, such as DEPLOYMENT
	Commitment string `json:"commitment"` // "SHA256:" and hex of Commitment
}

// The canonical spelling of a leaf, in pieces: RFC 8785 sorts the keys, and the grammars
// of the values leave nothing to escape.
const (
	leafStart = `{"commitment":"`
	leafID    = `","id":"`
	leafTime  = `","time":"`
	leafType  = `","type":"`
	leafEnd   = `","v":1}`
)

// LeafBytes returns the leaf of a record in canonical JSON. It returns nil for fields that
// CheckLeaf refuses, since such a leaf could never be verified.
func LeafBytes(id, at, typ string, commitment [32]byte) []byte {
	if CheckLeaf(id, at, typ) != nil {
		return nil
	}
	b := make([]byte, 0, MaxLeaf)
	b = append(b, leafStart...)
	b = append(b, hashPrefix...)
	b = hex.AppendEncode(b, commitment[:])
	b = append(b, leafID...)
	b = append(b, id...)
	b = append(b, leafTime...)
	b = append(b, at...)
	b = append(b, leafType...)
	b = append(b, typ...)
	return append(b, leafEnd...)
}

// CheckLeaf refuses an id, time or type that cannot stand in a leaf: ids are up to 128 of
// letters, digits and ._:- starting with a letter or digit; times are in caos.TimeLayout;
// types are up to 32 upper-case letters and underscores.
func CheckLeaf(id, at, typ string) error {
	if !plainID(id) {
		return refuse("id", "%s is not an audit record id", quote(id))
	}
	if !plainTime(at) {
		return refuse("time", "%s is not a time like %s", quote(at), caos.TimeLayout)
	}
	if !plainType(typ) {
		return refuse("type", "%s is not a record type", quote(typ))
	}
	return nil
}

// ParseLeaf reads a leaf. It accepts exactly what LeafBytes writes: a single other byte,
// even one that JSON would allow, is an error, so that a leaf has one spelling and one
// hash.
func ParseLeaf(data []byte) (Leaf, error) {
	if len(data) > MaxLeaf {
		return Leaf{}, refuse("leaf", "has %d bytes, more than %d", len(data), MaxLeaf)
	}
	rest := string(data)
	cut := func(sep string) string {
		before, after, ok := strings.Cut(rest, sep)
		if !ok {
			rest = ""
			return ""
		}
		rest = after
		return before
	}
	head := cut(leafStart)
	l := Leaf{V: 1, Commitment: cut(leafID), ID: cut(leafTime), Time: cut(leafType), Type: cut(leafEnd)}
	c, err := ParseHash(l.Commitment)
	if err != nil || head != "" || rest != "" {
		return Leaf{}, refuse("leaf", "is not a version 1 leaf: %s", quote(string(data)))
	}
	if err := CheckLeaf(l.ID, l.Time, l.Type); err != nil {
		return Leaf{}, err
	}
	// The pieces above are found in order, so this can only differ by an oversight in
	// them; a verifier does not rely on that.
	if string(LeafBytes(l.ID, l.Time, l.Type, c)) != string(data) {
		return Leaf{}, refuse("leaf", "is not in canonical form")
	}
	return l, nil
}

// Commitment hides a record in its leaf: SHA-256 of the 32 random bytes of salt followed
// by the record's stored bytes. Without the salt the record cannot be guessed from it.
func Commitment(salt [32]byte, record []byte) [32]byte {
	h := sha256.New()
	h.Write(salt[:])
	h.Write(record)
	return [32]byte(h.Sum(nil))
}

// RecordHash is the RFC 6962 hash of a leaf: what the tree is built of, and what CAOS
// shows as audit_record_hash.
func RecordHash(leaf []byte) tlog.Hash { return tlog.RecordHash(leaf) }

const hashPrefix = "SHA256:"

// FormatHash writes a hash as "SHA256:" and 64 lower-case hex digits.
func FormatHash(h tlog.Hash) string { return hashPrefix + hex.EncodeToString(h[:]) }

// ParseHash reads what FormatHash writes and nothing else.
func ParseHash(s string) (tlog.Hash, error) {
	digits, ok := strings.CutPrefix(s, hashPrefix)
	if !ok {
		return tlog.Hash{}, refuse("hash", "%s does not start with %s", quote(s), hashPrefix)
	}
	return parseHex(digits)
}

// parseHex reads exactly 64 lower-case hex digits.
func parseHex(s string) (h tlog.Hash, err error) {
	if len(s) != 64 {
		return h, refuse("hash", "%s is not 64 hex digits", quote(s))
	}
	for i := range 32 {
		hi, ok1 := hexDigit(s[2*i])
		lo, ok2 := hexDigit(s[2*i+1])
		if !ok1 || !ok2 {
			return tlog.Hash{}, refuse("hash", "%s is not 64 lower-case hex digits", quote(s))
		}
		h[i] = hi<<4 | lo
	}
	return h, nil
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// plainID reports whether an id is safe in a path, a log line and unescaped JSON.
func plainID(id string) bool {
	if id == "" || len(id) > 128 || !isAlnum(id[0]) {
		return false
	}
	for i := range len(id) {
		if c := id[i]; !isAlnum(c) && c != '-' && c != '.' && c != '_' && c != ':' {
			return false
		}
	}
	return true
}

func plainType(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && c != '_' {
			return false
		}
	}
	return true
}

// plainTime accepts a moment in caos.TimeLayout only; time.Parse would also take fewer or
// more decimals and a comma, and takes most of the time of reading a leaf.
func plainTime(s string) bool {
	if !formed(s, "dddd-dd-ddTdd:dd:dd.ddddddZ") {
		return false
	}
	two := func(i int) int { return int(s[i]-'0')*10 + int(s[i+1]-'0') }
	year, month, day := two(0)*100+two(2), two(5), two(8)
	if month < 1 || month > 12 || day < 1 || two(11) > 23 || two(14) > 59 || two(17) > 59 {
		return false
	}
	return day <= 28 || day <= time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// formed reports whether s has digits where form has a 'd', and the very same elsewhere.
func formed(s, form string) bool {
	if len(s) != len(form) {
		return false
	}
	for i := range len(s) {
		if digit := s[i] >= '0' && s[i] <= '9'; digit != (form[i] == 'd') || !digit && s[i] != form[i] {
			return false
		}
	}
	return true
}
