package codec

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
)

// what is what a Go type accepts from JSON.
type what uint8

const (
	anything what = iota // any, types with their own UnmarshalJSON
	text                 // string
	textual              // string that the type's own UnmarshalText reads
	boolean
	integer
	unsigned
	floating
	anyNumber // json.Number
	object    // struct
	mapping
	sequence
	base64 // []byte
)

// shape is a Go type seen from JSON.
type shape struct {
	what     what
	nullable bool
	bits     int
	elem     reflect.Type // of mapping and sequence; the type itself for textual and anything
	fixed    int          // length of an array, -1 of a slice
	fields   []field      // of object
}

type field struct {
	name   string
	typ    reflect.Type
	quoted bool // ",string"
}

// shapeOf follows the rules of encoding/json, so that what the scan promises is what the
// decoder then does.
func shapeOf(t reflect.Type) shape {
	if t == nil {
		return shape{what: anything, nullable: true}
	}
	s := shape{elem: t}
	for t.Kind() == reflect.Pointer {
		if t.Implements(jsonUnmarshaler()) {
			s.what, s.elem = anything, t
			s.nullable = true
			return s
		}
		s.nullable = true
		t = t.Elem()
	}
	if t.PkgPath() == "" && t.Kind() != reflect.Struct { // predeclared or unnamed: no methods
		s.kind(t)
		return s
	}
	p := reflect.PointerTo(t)
	if p.Implements(jsonUnmarshaler()) {
		s.what, s.nullable, s.elem = anything, true, t
		return s
	}
	if p.Implements(textUnmarshaler()) {
		s.what, s.elem = textual, t
		return s
	}
	s.kind(t)
	return s
}

func (s *shape) kind(t reflect.Type) {
	switch t.Kind() {
	case reflect.String:
		s.what = text
		if t == reflect.TypeFor[json.Number]() {
			s.what = anyNumber
		}
	case reflect.Bool:
		s.what = boolean
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		s.what, s.bits = integer, t.Bits()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		s.what, s.bits = unsigned, t.Bits()
	case reflect.Float32, reflect.Float64:
		s.what, s.bits = floating, t.Bits()
	case reflect.Struct:
		s.what, s.fields = object, fieldsOf(t)
	case reflect.Map:
		s.what, s.elem, s.nullable = mapping, t.Elem(), true
	case reflect.Slice:
		s.what, s.elem, s.nullable, s.fixed = sequence, t.Elem(), true, -1
		if t.Elem().Kind() == reflect.Uint8 {
			s.what = base64
		}
	case reflect.Array:
		s.what, s.elem, s.fixed = sequence, t.Elem(), t.Len()
	default:
		s.what, s.nullable, s.elem = anything, true, nil
	}
}

func jsonUnmarshaler() reflect.Type { return reflect.TypeFor[json.Unmarshaler]() }
func textUnmarshaler() reflect.Type { return reflect.TypeFor[encoding.TextUnmarshaler]() }

// fieldsOf lists the JSON members of a struct. Embedded structs are opened; of two
// members with one name the shallower wins, and two at the same depth cancel out, as in
// encoding/json (tags that break such ties are not worth supporting here: then neither
// name is known and the type fails its first test).
func fieldsOf(t reflect.Type) []field {
	flat := true
	out := make([]field, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		if embedded(f) {
			flat = false
			break
		}
		if fd, ok := member(f); ok {
			out = append(out, fd)
		}
	}
	if flat {
		return out
	}
	return promoted(t)
}

func promoted(t reflect.Type) []field {
	var out []field
	taken := map[string]bool{}
	seen := map[reflect.Type]bool{t: true}
	for level := []reflect.Type{t}; len(level) > 0; {
		var next []reflect.Type
		var found []field
		count := map[string]int{}
		for _, st := range level {
			for i := range st.NumField() {
				f := st.Field(i)
				if embedded(f) {
					et := f.Type
					if et.Kind() == reflect.Pointer {
						et = et.Elem()
					}
					if !seen[et] {
						seen[et] = true
						next = append(next, et)
					}
					continue
				}
				if fd, ok := member(f); ok && !taken[fd.name] {
					found = append(found, fd)
					count[fd.name]++
				}
			}
		}
		for _, fd := range found {
			if count[fd.name] == 1 {
				out = append(out, fd)
			}
			taken[fd.name] = true
		}
		level = next
	}
	return out
}

// embedded reports whether f's own members appear in the place of f.
func embedded(f reflect.StructField) bool {
	if !f.Anonymous {
		return false
	}
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return t.Kind() == reflect.Struct && name == ""
}

func member(f reflect.StructField) (field, bool) {
	if f.PkgPath != "" {
		return field{}, false
	}
	tag := f.Tag.Get("json")
	if tag == "-" {
		return field{}, false
	}
	name, opts, _ := strings.Cut(tag, ",")
	if name == "" {
		name = f.Name
	}
	return field{name: name, typ: f.Type, quoted: opts != "" && strings.Contains(","+opts+",", ",string,")}, true
}
