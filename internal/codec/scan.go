package codec

import (
	"bytes"
	encoding "encoding/base64"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"caos"
)

// maxNumberLength bounds the text of one number: far more digits than a float64 has, far
// fewer than would cost anything.
const maxNumberLength = 100

// scanner walks a JSON text beside a Go type and refuses the text at the first thing that
// is wrong with it. It owns nothing but its place in the text.
type scanner struct {
	data []byte
	pos  int
	lim  Limits
	yaml bool         // the text was translated from YAML: positions mean nothing to the sender
	try  bool         // give each value with a reader of its own to that reader
	root reflect.Type // nil for any

	depth  int
	nodes  int
	path   []segment
	keys   [][]byte // keys of all objects that are open, innermost last
	shapes []known  // in the order in which they were met
}

// known is a type whose shape was made. Documents have few types, so a list is searched.
type known struct {
	typ   reflect.Type
	shape *shape
}

// segment is one part of a path: a key, or an index when key is nil.
type segment struct {
	key   []byte
	index int
}

// document checks the whole text.
func (s *scanner) document() error {
	if !utf8.Valid(s.data) {
		return caos.Errorf(caos.Invalid, "the document is not valid UTF-8")
	}
	if bytes.HasPrefix(s.data, []byte("\xef\xbb\xbf")) {
		return caos.Errorf(caos.Invalid, "the document begins with a byte order mark").WithHint("send UTF-8 without one")
	}
	s.space()
	if s.pos == len(s.data) {
		return caos.Errorf(caos.Invalid, "the document is empty").WithHint("send a JSON or YAML document")
	}
	if err := s.value(s.root, false); err != nil {
		return err
	}
	s.space()
	if s.pos != len(s.data) {
		return s.syntax("something follows the end of the document")
	}
	return nil
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) value(t reflect.Type, quoted bool) error {
	if s.nodes++; s.nodes > s.lim.MaxNodes {
		return s.fail(caos.TooLarge, "the document has more than %d values", s.lim.MaxNodes)
	}
	if s.pos == len(s.data) {
		return s.syntax("the document ends too early")
	}
	sh := s.shape(t)
	start := s.pos
	c := s.data[s.pos]
	var err error
	switch {
	case c == '{':
		err = s.object(sh)
	case c == '[':
		err = s.array(sh)
	case c == '"':
		err = s.stringValue(sh, quoted)
	case c == '-' || c >= '0' && c <= '9':
		err = s.numberValue(sh, quoted)
	default:
		err = s.literal(sh)
	}
	if err == nil && s.try && (sh.what == anything || sh.what == textual) {
		err = s.own(sh, s.data[start:s.pos])
	}
	return err
}

func (s *scanner) shape(t reflect.Type) *shape {
	for i := range s.shapes {
		if s.shapes[i].typ == t {
			return s.shapes[i].shape
		}
	}
	sh := shapeOf(t)
	if s.shapes == nil {
		s.shapes = make([]known, 0, 16)
	}
	s.shapes = append(s.shapes, known{t, &sh})
	return &sh
}

func (s *scanner) enter() error {
	if s.depth++; s.depth > s.lim.MaxDepth {
		return s.fail(caos.TooLarge, "the document is nested more than %d deep", s.lim.MaxDepth)
	}
	s.pos++
	s.space()
	return nil
}

func (s *scanner) object(sh *shape) error {
	if sh.what != object && sh.what != mapping && sh.what != anything {
		return s.mismatch(sh, "an object")
	}
	if err := s.enter(); err != nil {
		return err
	}
	mark := len(s.keys)
	defer func() { s.keys = s.keys[:mark]; s.depth-- }()
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	var many map[string]bool
	for {
		if s.peek() != '"' {
			return s.syntax("a key in double quotes belongs here")
		}
		key, err := s.str()
		if err != nil {
			return err
		}
		s.path = append(s.path, segment{key: key})
		if many, err = s.once(mark, key, many); err != nil {
			return err
		}
		t, quoted, err := s.child(sh, key)
		if err != nil {
			return err
		}
		s.space()
		if s.peek() != ':' {
			return s.syntax("a colon belongs after the key")
		}
		s.pos++
		s.space()
		if err := s.value(t, quoted); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
		if done, err := s.more('}'); done || err != nil {
			return err
		}
	}
}

// once refuses a key that the open object already has. Small objects compare, large ones
// keep a set.
func (s *scanner) once(mark int, key []byte, many map[string]bool) (map[string]bool, error) {
	dup := false
	if many != nil {
		dup = many[string(key)]
		many[string(key)] = true
	} else {
		for _, k := range s.keys[mark:] {
			if bytes.Equal(k, key) {
				dup = true
				break
			}
		}
		s.keys = append(s.keys, key)
		if n := len(s.keys) - mark; n == 24 {
			many = make(map[string]bool, 2*n)
			for _, k := range s.keys[mark:] {
				many[string(k)] = true
			}
		}
	}
	if dup {
		return many, s.fail(caos.Invalid, "the key appears twice").WithHint("keep one of them")
	}
	return many, nil
}

// child is the type of the value under key, or the refusal of the key.
func (s *scanner) child(sh *shape, key []byte) (reflect.Type, bool, error) {
	switch sh.what {
	case mapping:
		return sh.elem, false, nil
	case object:
		for i := range sh.fields {
			if f := &sh.fields[i]; f.name == string(key) {
				return f.typ, f.quoted, nil
			}
		}
		return nil, false, s.unknown(sh, string(key))
	}
	return nil, false, nil
}

func (s *scanner) unknown(sh *shape, key string) error {
	names := make([]string, 0, len(sh.fields))
	for _, f := range sh.fields {
		if strings.EqualFold(f.name, key) {
			return s.fail(caos.Invalid, "the key is in the wrong case").WithHint("spell it %q", f.name)
		}
		names = append(names, f.name)
	}
	e := s.fail(caos.Invalid, "unknown field")
	if len(names) > 0 && len(names) <= 40 {
		return e.WithHint("known here: %s", strings.Join(names, ", "))
	}
	return e
}

func (s *scanner) array(sh *shape) error {
	if sh.what != sequence && sh.what != anything {
		return s.mismatch(sh, "a list")
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer func() { s.depth-- }()
	if s.peek() == ']' {
		s.pos++
		return s.length(sh, 0)
	}
	var elem reflect.Type
	if sh.what == sequence {
		elem = sh.elem
	}
	for i := 0; ; i++ {
		s.path = append(s.path, segment{index: i})
		if err := s.value(elem, false); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
		if done, err := s.more(']'); done || err != nil {
			if err == nil {
				err = s.length(sh, i+1)
			}
			return err
		}
	}
}

func (s *scanner) length(sh *shape, n int) error {
	if sh.what == sequence && sh.fixed >= 0 && n != sh.fixed {
		return s.fail(caos.Invalid, "the list has %d items, not %d", n, sh.fixed)
	}
	return nil
}

// more steps over a comma, or over the end of the object or array.
func (s *scanner) more(end byte) (done bool, err error) {
	s.space()
	switch s.peek() {
	case ',':
		s.pos++
		s.space()
		if s.peek() == end {
			return false, s.syntax("nothing follows the last comma")
		}
		return false, nil
	case end:
		s.pos++
		return true, nil
	}
	if s.pos == len(s.data) {
		return false, s.syntax("the document ends too early")
	}
	return false, s.syntax("a comma or %q belongs here", end)
}

func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) stringValue(sh *shape, quoted bool) error {
	start := s.pos
	b, err := s.str()
	if err != nil {
		return err
	}
	switch sh.what {
	case text, textual, anything:
		return nil
	case base64:
		if _, err := encoding.StdEncoding.DecodeString(string(b)); err != nil {
			return s.fail(caos.Invalid, "not base64")
		}
		return nil
	}
	if quoted {
		inner := scanner{data: b, lim: s.lim, path: s.path, yaml: s.yaml}
		if err := inner.value(sh.elem, false); err != nil || inner.pos != len(b) {
			s.pos = start
			return s.mismatch(sh, "another string")
		}
		return nil
	}
	return s.mismatch(sh, "a string")
}

func (s *scanner) literal(sh *shape) error {
	for _, word := range [...]string{"null", "true", "false"} {
		if !bytes.HasPrefix(s.data[s.pos:], []byte(word)) {
			continue
		}
		s.pos += len(word)
		if word == "null" {
			if !sh.nullable {
				return s.mismatch(sh, "null")
			}
			return nil
		}
		if sh.what != boolean && sh.what != anything {
			return s.mismatch(sh, "a "+word)
		}
		return nil
	}
	return s.syntax("not a JSON value")
}

func (s *scanner) numberValue(sh *shape, quoted bool) error {
	b, err := s.number()
	if err != nil {
		return err
	}
	if quoted {
		return s.mismatch(sh, "a bare number")
	}
	switch sh.what {
	case anything, anyNumber:
		return nil
	case floating:
		if _, err := strconv.ParseFloat(string(b), sh.bits); err != nil {
			return s.fail(caos.Invalid, "the number is too large for this field")
		}
		return nil
	case integer:
		if _, err := strconv.ParseInt(string(b), 10, sh.bits); err != nil {
			return s.fail(caos.Invalid, "not a whole number of this field's range")
		}
		return nil
	case unsigned:
		if _, err := strconv.ParseUint(string(b), 10, sh.bits); err != nil {
			return s.fail(caos.Invalid, "not a whole, not negative number of this field's range")
		}
		return nil
	}
	return s.mismatch(sh, "a number")
}

// number steps over one number. Its value must fit a float64: every reader downstream
// may make one of it, and readers with big numbers would build 1e999999999 digit by
// digit.
func (s *scanner) number() ([]byte, error) {
	start := s.pos
	if s.peek() == '-' {
		s.pos++
	}
	switch n := s.digits(); {
	case n == 0:
		return nil, s.syntax("a number has digits")
	case n > 1 && s.data[s.pos-n] == '0':
		return nil, s.syntax("a number does not begin with 0")
	}
	simple := true
	if s.peek() == '.' {
		simple = false
		s.pos++
		if s.digits() == 0 {
			return nil, s.syntax("digits belong after the point")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		simple = false
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		exp := s.pos
		if s.digits() == 0 {
			return nil, s.syntax("digits belong after the e")
		}
		if n, err := strconv.Atoi(string(s.data[exp:s.pos])); err != nil || n > 400 {
			return nil, s.fail(caos.Invalid, "the number's exponent is out of range")
		}
	}
	b := s.data[start:s.pos]
	if len(b) > maxNumberLength {
		return nil, s.fail(caos.TooLarge, "the number has more than %d characters", maxNumberLength)
	}
	if !simple {
		if f, err := strconv.ParseFloat(string(b), 64); err != nil || math.IsInf(f, 0) {
			return nil, s.fail(caos.Invalid, "the number is out of range")
		}
	}
	return b, nil
}

func (s *scanner) digits() int {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos] >= '0' && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos - start
}

// str steps over one string and returns its content: a part of the text, or a copy if it
// has escapes.
func (s *scanner) str() ([]byte, error) {
	s.pos++
	start := s.pos
	escaped := false
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			raw := s.data[start:s.pos]
			s.pos++
			if !escaped {
				return raw, nil
			}
			return s.unescape(s.data[start-1 : s.pos])
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return nil, err
			}
		case c < 0x20:
			return nil, s.syntax("a control character inside a string")
		default:
			s.pos++
		}
	}
	return nil, s.syntax("the document ends inside a string")
}

// escape steps over one escape sequence. Half a surrogate pair is refused, since readers
// differ on it, and so is U+0000, which no database column holds.
func (s *scanner) escape() error {
	if s.pos+1 >= len(s.data) {
		return s.syntax("the document ends inside a string")
	}
	switch s.data[s.pos+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos += 2
		return nil
	case 'u':
	default:
		return s.syntax("an unknown escape inside a string")
	}
	r, ok := s.hex(s.pos + 2)
	if !ok {
		return s.syntax("four hexadecimal digits belong after \\u")
	}
	switch {
	case r == 0:
		return s.fail(caos.Invalid, "the character U+0000 cannot be stored")
	case r >= 0xDC00 && r <= 0xDFFF:
		return s.syntax("half a surrogate pair")
	case r >= 0xD800 && r <= 0xDBFF:
		lo, ok := rune(0), false
		if bytes.HasPrefix(s.data[s.pos+6:], []byte(`\u`)) {
			lo, ok = s.hex(s.pos + 8)
		}
		if !ok || lo < 0xDC00 || lo > 0xDFFF {
			return s.syntax("half a surrogate pair")
		}
		s.pos += 6
	}
	s.pos += 6
	return nil
}

func (s *scanner) hex(at int) (rune, bool) {
	if at+4 > len(s.data) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(s.data[at:at+4]), 16, 16)
	return rune(n), err == nil
}

func (s *scanner) unescape(quoted []byte) ([]byte, error) {
	var out string
	if err := json.Unmarshal(quoted, &out); err != nil {
		return nil, s.syntax("a string that cannot be read")
	}
	return []byte(out), nil
}

// own gives raw to the type's own reader and keeps what that says.
func (s *scanner) own(sh *shape, raw []byte) error {
	if sh.elem == nil || sh.elem.Kind() == reflect.Interface {
		return nil
	}
	err := json.Unmarshal(raw, reflect.New(sh.elem).Interface())
	if err == nil {
		return nil
	}
	if e := caos.AsError(err); e.Kind != caos.Internal {
		return e.WithField(s.where())
	}
	return s.fail(caos.Invalid, "the value cannot be read: %v", err)
}
