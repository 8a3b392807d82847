package codec

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"caos"
)

// fail makes the error for the value that the scanner is at.
func (s *scanner) fail(kind caos.Kind, format string, args ...any) *caos.Error {
	return &caos.Error{Kind: kind, Message: fmt.Sprintf(format, args...), Field: s.where()}
}

// syntax makes the error for text that is not JSON at all, with its place.
func (s *scanner) syntax(format string, args ...any) error {
	e := caos.Errorf(caos.Invalid, "not JSON: %s", fmt.Sprintf(format, args...)).WithField(s.where())
	if s.yaml {
		return e
	}
	done := s.data[:min(s.pos, len(s.data))]
	line := bytes.Count(done, []byte("\n")) + 1
	column := len(done) - bytes.LastIndexByte(done, '\n')
	return e.WithHint("line %d, column %d", line, column)
}

// mismatch makes the error for a value of the wrong type.
func (s *scanner) mismatch(sh *shape, got string) error {
	e := s.fail(caos.Invalid, "%s belongs here, not %s", sh.what, got)
	if s.yaml && (sh.what == text || sh.what == textual) && (got == "a number" || got == "a true" || got == "a false" || got == "null") {
		return e.WithHint("put it in quotes: YAML reads the bare word as %s", strings.TrimPrefix(got, "a "))
	}
	return e
}

func (w what) String() string {
	switch w {
	case text, textual, base64:
		return "a string"
	case boolean:
		return "true or false"
	case integer, unsigned:
		return "a whole number"
	case floating, anyNumber:
		return "a number"
	case object, mapping:
		return "an object"
	case sequence:
		return "a list"
	}
	return "a value"
}

// where is the path of the value that the scanner is at, short enough for a log line.
func (s *scanner) where() string {
	var b strings.Builder
	for _, seg := range s.path {
		if b.Len() > 300 {
			b.WriteString("…")
			break
		}
		switch {
		case seg.key == nil:
			b.WriteByte('[')
			b.WriteString(strconv.Itoa(seg.index))
			b.WriteByte(']')
		case plain(seg.key):
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.Write(seg.key)
		default:
			k := seg.key
			if len(k) > 64 {
				k = k[:64]
			}
			b.WriteString("[" + strconv.QuoteToASCII(strings.ToValidUTF8(string(k), "")) + "]")
		}
	}
	return b.String()
}

// plain reports whether a key can stand in a path as it is.
func plain(key []byte) bool {
	if len(key) == 0 || len(key) > 64 {
		return false
	}
	for _, c := range key {
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}
