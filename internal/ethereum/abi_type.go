package ethereum

import (
	"fmt"
	"strconv"
	"strings"

	"caos"
)

// Bounds of what an uploaded ABI may ask for. A contract that people wrote stays far below;
// one that asks for more wants to cost memory.
const (
	maxABI       = 256 << 10 // bytes of its text
	maxEntries   = 2048      // functions, events, errors
	maxParams    = 64        // of a function, an event, an error or a tuple
	maxTypeDepth = 8         // arrays and tuples inside each other
	maxWords     = 4096      // 32-byte words of a value of fixed size
	maxName      = 256       // bytes of an identifier
)

// kind is what a type is at its outermost.
type kind uint8

const (
	kindUint kind = iota
	kindInt
	kindAddress
	kindBool
	kindFixedBytes
	kindBytes
	kindString
	kindArray // a fixed number of elements
	kindList  // any number of elements
	kindTuple
)

// abiType is a type of the contract ABI. It is never changed after it was made.
type abiType struct {
	kind    kind
	size    int      // bits of numbers, bytes of bytesN, elements of a fixed array
	elem    *abiType // of arrays and lists
	fields  []abiField
	dynamic bool   // lies in the tail, its offset in the head
	words   int    // 32-byte words in the head: 1 for what is dynamic
	name    string // canonical, as signatures have it
}

// abiField is a parameter or a tuple's component.
type abiField struct {
	name    string
	typ     *abiType
	indexed bool // of events
}

// typeOf reads a type as ABIs spell it. components are a tuple's.
func typeOf(text string, components func() ([]abiField, error), depth int) (*abiType, error) {
	if depth > maxTypeDepth {
		return nil, caos.Errorf(caos.TooLarge, "arrays and tuples lie more than %d deep in each other", maxTypeDepth)
	}
	if strings.HasSuffix(text, "]") {
		open := strings.LastIndexByte(text, '[')
		if open < 1 {
			return nil, unknownType(text)
		}
		elem, err := typeOf(text[:open], components, depth+1)
		if err != nil {
			return nil, err
		}
		return arrayOf(elem, text[open+1:len(text)-1])
	}
	if text == "tuple" {
		if components == nil {
			return nil, unknownType(text)
		}
		fields, err := components()
		if err != nil {
			return nil, err
		}
		return tupleOf(fields)
	}
	return scalarOf(text)
}

func arrayOf(elem *abiType, length string) (*abiType, error) {
	if length == "" {
		return &abiType{kind: kindList, elem: elem, dynamic: true, words: 1, name: elem.name + "[]"}, nil
	}
	n, ok := smallNumber(length)
	if !ok || n == 0 {
		return nil, caos.Errorf(caos.Invalid, "%q is not a length of an array", clip(length, 40))
	}
	if n > maxWords || n*elem.words > maxWords {
		return nil, caos.Errorf(caos.TooLarge, "an array of %s elements is larger than %d words", clip(length, 40), maxWords)
	}
	t := &abiType{kind: kindArray, size: n, elem: elem, dynamic: elem.dynamic, words: n * elem.words, name: fmt.Sprintf("%s[%d]", elem.name, n)}
	if t.dynamic {
		t.words = 1
	}
	return t, nil
}

func tupleOf(fields []abiField) (*abiType, error) {
	if len(fields) == 0 {
		return nil, caos.Errorf(caos.Invalid, "a tuple without components")
	}
	t := &abiType{kind: kindTuple, fields: fields}
	names := make([]string, 0, len(fields))
	for _, f := range fields {
		t.dynamic = t.dynamic || f.typ.dynamic
		t.words += f.typ.words
		names = append(names, f.typ.name)
	}
	t.name = "(" + strings.Join(names, ",") + ")"
	if t.words > maxWords {
		return nil, caos.Errorf(caos.TooLarge, "a tuple of more than %d words", maxWords)
	}
	if t.dynamic {
		t.words = 1
	}
	return t, nil
}

func scalarOf(text string) (*abiType, error) {
	t := &abiType{words: 1, name: text}
	switch text {
	case "address":
		t.kind = kindAddress
		return t, nil
	case "bool":
		t.kind = kindBool
		return t, nil
	case "string":
		t.kind, t.dynamic = kindString, true
		return t, nil
	case "bytes":
		t.kind, t.dynamic = kindBytes, true
		return t, nil
	case "function": // an address and a selector
		t.kind, t.size = kindFixedBytes, 24
		return t, nil
	case "uint", "int":
		return nil, unknownType(text).WithHint("write its full name: %s256", text)
	}
	for _, p := range []struct {
		prefix   string
		kind     kind
		max, mod int
	}{{"uint", kindUint, 256, 8}, {"int", kindInt, 256, 8}, {"bytes", kindFixedBytes, 32, 1}} {
		digits, is := strings.CutPrefix(text, p.prefix)
		if !is {
			continue
		}
		if n, ok := smallNumber(digits); ok && n >= p.mod && n <= p.max && n%p.mod == 0 {
			t.kind, t.size = p.kind, n
			return t, nil
		}
	}
	return nil, unknownType(text)
}

func unknownType(text string) *caos.Error {
	return caos.Errorf(caos.Invalid, "the type %q is unknown", clip(text, 80)).
		WithHint("give the ABI as the compiler wrote it")
}

// smallNumber reads digits without sign and leading zero, up to six of them.
func smallNumber(s string) (int, bool) {
	if s == "" || len(s) > 6 || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// identifier reports whether s may be a name in Solidity or Vyper.
func identifier(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '$'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// params are the fields as the API shows them.
func paramsOf(fields []abiField) []Param {
	out := make([]Param, 0, len(fields))
	for _, f := range fields {
		out = append(out, Param{Name: f.name, Type: f.typ.name})
	}
	return out
}

// signatureOf is a name with the canonical types of its arguments.
func signatureOf(name string, fields []abiField) string {
	types := make([]string, 0, len(fields))
	for _, f := range fields {
		types = append(types, f.typ.name)
	}
	return name + "(" + strings.Join(types, ",") + ")"
}

// headWords is the length of the head of a list of fields.
func headWords(fields []abiField) int {
	n := 0
	for _, f := range fields {
		n += f.typ.words
	}
	return n
}

// clip shortens foreign text to n bytes, and replaces what is not printable.
func clip(s string, n int) string {
	cut := len(s) > n
	if cut {
		s = s[:n]
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r >= 0x80 && r < 0xa0 || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
	if cut {
		s += "…"
	}
	return s
}
