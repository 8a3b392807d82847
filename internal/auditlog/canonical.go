package auditlog

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/gowebpki/jcs"
)

// The canonical form of RFC 8785, written in one pass over JSON text. It exists because
// records are encoded while every other writer waits: it is some ten times faster than a
// general implementation, to which the tests compare it.

// maxDepth bounds the nesting of details; deeper JSON is refused.
const maxDepth = 64

// maxExact is the largest integer that every reader of JSON keeps exact.
const maxExact = 1 << 53

// canonicalizer reads src and appends its canonical form to out.
type canonicalizer struct {
	src   []byte
	pos   int
	out   []byte
	depth int
}

// appendCanonical appends the canonical form of one JSON text to dst. It refuses
// duplicate keys, text that is not UTF-8, lone surrogates, integers beyond 2^53 and
// nesting deeper than maxDepth.
func appendCanonical(dst, src []byte) ([]byte, error) {
	c := canonicalizer{src: src, out: dst}
	if err := c.value(); err != nil {
		return dst, err
	}
	c.space()
	if c.pos != len(c.src) {
		return dst, c.errorf("something follows the value")
	}
	return c.out, nil
}

func (c *canonicalizer) errorf(format string, args ...any) error {
	return fmt.Errorf("byte %d: %s", c.pos, fmt.Sprintf(format, args...))
}

func (c *canonicalizer) space() {
	for c.pos < len(c.src) {
		switch c.src[c.pos] {
		case ' ', '\t', '\n', '\r':
			c.pos++
		default:
			return
		}
	}
}

// peek returns the next byte that is not white space, 0 at the end.
func (c *canonicalizer) peek() byte {
	c.space()
	if c.pos == len(c.src) {
		return 0
	}
	return c.src[c.pos]
}

func (c *canonicalizer) value() error {
	switch b := c.peek(); {
	case b == '"':
		return c.text()
	case b == '{':
		return c.object()
	case b == '[':
		return c.array()
	case b == '-' || b >= '0' && b <= '9':
		return c.number()
	case b == 't':
		return c.literal("true")
	case b == 'f':
		return c.literal("false")
	case b == 'n':
		return c.literal("null")
	}
	return c.errorf("a value is missing")
}

func (c *canonicalizer) literal(word string) error {
	if !bytes.HasPrefix(c.src[c.pos:], []byte(word)) {
		return c.errorf("a value is missing")
	}
	c.pos += len(word)
	c.out = append(c.out, word...)
	return nil
}

func (c *canonicalizer) enter() error {
	if c.depth++; c.depth > maxDepth {
		return c.errorf("nested deeper than %d", maxDepth)
	}
	c.pos++
	return nil
}

func (c *canonicalizer) array() error {
	if err := c.enter(); err != nil {
		return err
	}
	c.out = append(c.out, '[')
	if c.peek() == ']' {
		return c.leave(']')
	}
	for {
		if err := c.value(); err != nil {
			return err
		}
		switch c.peek() {
		case ',':
			c.pos++
			c.out = append(c.out, ',')
		case ']':
			return c.leave(']')
		default:
			return c.errorf("an array is not closed")
		}
	}
}

func (c *canonicalizer) leave(bracket byte) error {
	c.pos++
	c.depth--
	c.out = append(c.out, bracket)
	return nil
}

// member is a "key":value fragment of the output.
type member struct{ start, keyEnd, end int }

// object writes the members in the order of the input and puts them in order afterwards,
// which most often is no work at all.
func (c *canonicalizer) object() error {
	if err := c.enter(); err != nil {
		return err
	}
	c.out = append(c.out, '{')
	if c.peek() == '}' {
		return c.leave('}')
	}
	var few [16]member
	members, sorted, from := few[:0], true, len(c.out)
	for {
		m := member{start: len(c.out)}
		if c.peek() != '"' {
			return c.errorf("a key is missing")
		}
		if err := c.text(); err != nil {
			return err
		}
		m.keyEnd = len(c.out)
		if c.peek() != ':' {
			return c.errorf("a colon is missing")
		}
		c.pos++
		c.out = append(c.out, ':')
		if err := c.value(); err != nil {
			return err
		}
		m.end = len(c.out)
		if n := len(members); sorted && n > 0 {
			sorted = compareKeys(c.key(members[n-1]), c.key(m)) < 0
		}
		members = append(members, m)
		switch c.peek() {
		case ',':
			c.pos++
			c.out = append(c.out, ',')
			continue
		case '}':
		default:
			return c.errorf("an object is not closed")
		}
		if !sorted {
			if err := c.reorder(members, from); err != nil {
				return err
			}
		}
		return c.leave('}')
	}
}

// key returns the text of a member's key between its quotes, still escaped.
func (c *canonicalizer) key(m member) []byte { return c.out[m.start+1 : m.keyEnd-1] }

func (c *canonicalizer) reorder(members []member, from int) error {
	slices.SortFunc(members, func(a, b member) int { return compareKeys(c.key(a), c.key(b)) })
	tidy := make([]byte, 0, len(c.out)-from)
	for i, m := range members {
		if i > 0 {
			if bytes.Equal(c.key(members[i-1]), c.key(m)) {
				return c.errorf("the key %q appears twice", c.key(m))
			}
			tidy = append(tidy, ',')
		}
		tidy = append(tidy, c.out[m.start:m.end]...)
	}
	c.out = append(c.out[:from], tidy...)
	return nil
}

// compareKeys orders canonical keys by their UTF-16 code units, as RFC 8785 demands.
func compareKeys(a, b []byte) int {
	if plain(a) && plain(b) {
		return bytes.Compare(a, b)
	}
	return slices.Compare(utf16.Encode([]rune(unescape(a))), utf16.Encode([]rune(unescape(b))))
}

func plain(s []byte) bool {
	for _, b := range s {
		if b == '\\' || b >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// unescape undoes the escapes that appendString writes.
func unescape(s []byte) string {
	q := append(append([]byte{'"'}, s...), '"')
	c := canonicalizer{src: q}
	text, _ := c.unquote()
	return string(text)
}

// text copies a string literal in canonical form.
func (c *canonicalizer) text() error {
	start := c.pos + 1
	ascii := true
	for i := start; i < len(c.src); i++ {
		switch b := c.src[i]; {
		case b == '"':
			if !ascii && !utf8.Valid(c.src[start:i]) {
				return c.errorf("the text is not UTF-8")
			}
			c.out = append(c.out, c.src[c.pos:i+1]...)
			c.pos = i + 1
			return nil
		case b == '\\':
			text, err := c.unquote()
			if err != nil {
				return err
			}
			c.out = appendString(c.out, string(text))
			return nil
		case b < ' ':
			return c.errorf("a control character in a string")
		case b >= utf8.RuneSelf:
			ascii = false
		}
	}
	return c.errorf("a string is not closed")
}

// unquote decodes the string literal at pos.
func (c *canonicalizer) unquote() ([]byte, error) {
	var text []byte
	for i := c.pos + 1; i < len(c.src); {
		switch b := c.src[i]; {
		case b == '"':
			if !utf8.Valid(text) {
				return nil, c.errorf("the text is not UTF-8")
			}
			c.pos = i + 1
			return text, nil
		case b < ' ':
			return nil, c.errorf("a control character in a string")
		case b != '\\':
			text = append(text, b)
			i++
		default:
			r, n := escape(c.src[i:])
			if n == 0 {
				return nil, c.errorf("an escape that JSON does not have")
			}
			text = utf8.AppendRune(text, r)
			i += n
		}
	}
	return nil, c.errorf("a string is not closed")
}

// escape decodes one backslash escape and returns how many bytes it took, 0 for none. A
// surrogate counts only together with its other half.
func escape(s []byte) (rune, int) {
	if len(s) < 2 {
		return 0, 0
	}
	switch s[1] {
	case '"', '\\', '/':
		return rune(s[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r, ok := hex4(s[2:])
		if !ok {
			return 0, 0
		}
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		if len(s) < 12 || s[6] != '\\' || s[7] != 'u' {
			return 0, 0
		}
		low, ok := hex4(s[8:])
		if full := utf16.DecodeRune(r, low); ok && full != utf8.RuneError {
			return full, 12
		}
	}
	return 0, 0
}

func hex4(s []byte) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for _, b := range s[:4] {
		switch {
		case b >= '0' && b <= '9':
			r = r<<4 | rune(b-'0')
		case b >= 'a' && b <= 'f':
			r = r<<4 | rune(b-'a'+10)
		case b >= 'A' && b <= 'F':
			r = r<<4 | rune(b-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// appendString appends s, which is UTF-8, as a canonical string literal.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		b := s[i]
		if b >= ' ' && b != '"' && b != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\b':
			dst = append(dst, `\b`...)
		case '\t':
			dst = append(dst, `\t`...)
		case '\n':
			dst = append(dst, `\n`...)
		case '\f':
			dst = append(dst, `\f`...)
		case '\r':
			dst = append(dst, `\r`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// number copies a number in the form that ECMAScript would print.
func (c *canonicalizer) number() error {
	start := c.pos
	digits := func() bool {
		from := c.pos
		for c.pos < len(c.src) && c.src[c.pos] >= '0' && c.src[c.pos] <= '9' {
			c.pos++
		}
		return c.pos > from
	}
	at := func(set string) bool { return c.pos < len(c.src) && bytes.IndexByte([]byte(set), c.src[c.pos]) >= 0 }
	if at("-") {
		c.pos++
	}
	if at("0") {
		c.pos++
	} else if !digits() {
		return c.errorf("a number without digits")
	}
	whole := true
	if at(".") {
		whole = false
		if c.pos++; !digits() {
			return c.errorf("a number without digits after its point")
		}
	}
	if at("eE") {
		whole = false
		c.pos++
		if at("+-") {
			c.pos++
		}
		if !digits() {
			return c.errorf("a number without an exponent")
		}
	}
	lit := c.src[start:c.pos]
	if whole && len(lit) <= 15 && lit[0] != '-' {
		c.out = append(c.out, lit...) // as ECMAScript prints it
		return nil
	}
	f, err := strconv.ParseFloat(string(lit), 64)
	if err != nil {
		return c.errorf("a number too large for JSON")
	}
	exact := !whole || len(lit) <= 17
	if whole && exact {
		n, _ := strconv.ParseInt(string(lit), 10, 64)
		exact = n <= maxExact && n >= -maxExact
	}
	if a := math.Abs(f); !exact || a > maxExact && a < 1e21 { // printed as an integer below 1e21
		return c.errorf("an integer beyond 2^53 would be read differently by others; send it as a string")
	}
	text, err := jcs.NumberToJSON(f)
	if err != nil {
		return c.errorf("a number too large for JSON")
	}
	c.out = append(c.out, text...)
	return nil
}
