package verify

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"caos"
)

// maxDepth bounds the nesting of any JSON that is read here; our own formats need five.
const maxDepth = 64

// refuse makes the error of a parser: what field is wrong, and how.
func refuse(field, format string, args ...any) error {
	return caos.Errorf(caos.Invalid, format, args...).WithField(field)
}

// A shape is what a JSON text may look like: encoding/json alone would let unknown keys,
// repeated keys and keys in another case through, and two readers could then understand
// two different things from the same signed bytes.
type shape struct {
	fields map[string]shapeField // of an object with known keys, nil otherwise
	open   bool                  // an object that may have further keys
	elem   *shape                // of an array
	solid  bool                  // null is refused: encoding/json would read it as a zero value
}

type shapeField struct {
	shape    *shape
	required bool
}

// shapeOf derives the shape from T's json tags. Fields without omitempty are required; a
// blank field tagged `open:"true"` lets an object carry keys that we do not know.
func shapeOf[T any]() *shape { return shapeType(reflect.TypeFor[T]()) }

func shapeType(t reflect.Type) *shape {
	solid := true
	for t.Kind() == reflect.Pointer {
		t, solid = t.Elem(), false
	}
	switch {
	case t == reflect.TypeFor[json.RawMessage]():
		return &shape{}
	case t == reflect.TypeFor[time.Time](), t == reflect.TypeFor[[]byte]():
		return &shape{solid: solid} // strings
	case t.Kind() == reflect.Slice:
		return &shape{elem: shapeType(t.Elem()), solid: solid}
	case t.Kind() != reflect.Struct:
		return &shape{solid: solid}
	}
	s := &shape{fields: map[string]shapeField{}, solid: solid}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name == "_" && f.Tag.Get("open") == "true" {
			s.open = true
		}
		name, opt, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" || name == "" {
			continue
		}
		s.fields[name] = shapeField{shapeType(f.Type), !strings.Contains(opt, "omit")}
	}
	return s
}

// decodeStrict reads JSON into *into and refuses unknown, missing, repeated or wrong-case
// keys, invalid UTF-8, trailing data and deep nesting. what names the text in errors.
func decodeStrict(what string, data []byte, s *shape, into any) error {
	if !utf8.Valid(data) {
		return refuse(what, "is not valid UTF-8")
	}
	if err := json.Unmarshal(data, into); err != nil {
		var te *json.UnmarshalTypeError
		if errors.As(err, &te) {
			return refuse(what, "field %q has the wrong type (%s)", te.Field, te.Value)
		}
		return refuse(what, "is not the expected JSON: %v", err)
	}
	w := walker{data: data}
	if err := w.value(s, 0); err != nil {
		return refuse(what, "%v", err)
	}
	return nil
}

// walker goes over JSON that encoding/json has found well formed and compares it with a
// shape. It never needs to handle a syntax error, but stops rather than run off the end.
type walker struct {
	data []byte
	pos  int
}

var errShort = errors.New("unexpected end")

func (w *walker) space() byte {
	for ; w.pos < len(w.data); w.pos++ {
		switch w.data[w.pos] {
		case ' ', '\t', '\n', '\r':
		default:
			return w.data[w.pos]
		}
	}
	return 0
}

func (w *walker) value(s *shape, depth int) error {
	if depth > maxDepth {
		return errors.New("is nested too deeply")
	}
	switch w.space() {
	case 0:
		return errShort
	case '{':
		return w.object(s, depth)
	case '[':
		return w.array(s, depth)
	case '"':
		_, err := w.str()
		return err
	case 'n':
		if s.solid {
			return errors.New("has null where a value belongs")
		}
	}
	for ; w.pos < len(w.data); w.pos++ {
		switch w.data[w.pos] {
		case ',', '}', ']', ' ', '\t', '\n', '\r':
			return nil
		}
	}
	return nil
}

func (w *walker) array(s *shape, depth int) error {
	elem := s.elem
	if elem == nil {
		elem = &shape{}
	}
	w.pos++
	for {
		switch w.space() {
		case 0:
			return errShort
		case ']':
			w.pos++
			return nil
		case ',':
			w.pos++
		default:
			if err := w.value(elem, depth+1); err != nil {
				return err
			}
		}
	}
}

func (w *walker) object(s *shape, depth int) error {
	seen := keySet{}
	w.pos++
	for {
		switch w.space() {
		case 0:
			return errShort
		case '}':
			w.pos++
			return s.complete(&seen)
		case ',':
			w.pos++
			continue
		}
		key, err := w.str()
		if err != nil {
			return err
		}
		if !seen.add(key) {
			return errors.New("repeats the key " + quote(key))
		}
		child, err := s.child(key)
		if err != nil {
			return err
		}
		if w.space() != ':' {
			return errShort
		}
		w.pos++
		if err := w.value(child, depth+1); err != nil {
			return err
		}
	}
}

// str consumes a string and returns its value.
func (w *walker) str() (string, error) {
	start, escaped := w.pos, false
	for w.pos++; w.pos < len(w.data); w.pos++ {
		switch w.data[w.pos] {
		case '\\':
			escaped = true
			w.pos++
		case '"':
			w.pos++
			raw := w.data[start:w.pos]
			if !escaped {
				return string(raw[1 : len(raw)-1]), nil
			}
			var v string
			err := json.Unmarshal(raw, &v)
			return v, err
		}
	}
	return "", errShort
}

func (s *shape) child(key string) (*shape, error) {
	if s.fields == nil {
		return &shape{}, nil
	}
	if f, ok := s.fields[key]; ok {
		return f.shape, nil
	}
	for name := range s.fields {
		if strings.EqualFold(name, key) {
			return nil, errors.New("has the key " + quote(key) + ", which is spelled " + quote(name))
		}
	}
	if s.open {
		return &shape{}, nil
	}
	return nil, errors.New("has the unknown key " + quote(key))
}

func (s *shape) complete(seen *keySet) error {
	missing := ""
	for name, f := range s.fields {
		if f.required && !seen.has(name) && (missing == "" || name < missing) {
			missing = name
		}
	}
	if missing != "" {
		return errors.New("lacks the key " + quote(missing))
	}
	return nil
}

// keySet finds repeated keys; small objects, nearly all, cost no map.
type keySet struct {
	few  []string
	many map[string]struct{}
}

func (k *keySet) has(key string) bool {
	if k.many != nil {
		_, ok := k.many[key]
		return ok
	}
	for _, s := range k.few {
		if s == key {
			return true
		}
	}
	return false
}

func (k *keySet) add(key string) bool {
	if k.has(key) {
		return false
	}
	switch {
	case k.many != nil:
		k.many[key] = struct{}{}
	case len(k.few) < 16:
		k.few = append(k.few, key)
	default:
		k.many = make(map[string]struct{}, 32)
		for _, s := range append(k.few, key) {
			k.many[s] = struct{}{}
		}
	}
	return true
}

// quote shows a hostile string in a message: cut, and with anything odd escaped.
func quote(s string) string {
	if len(s) > 80 {
		s = s[:80] + "..."
	}
	b, _ := json.Marshal(strings.ToValidUTF8(s, "?"))
	return string(b)
}

// canonicalString writes s as RFC 8785 does: only what must be escaped is.
func canonicalString(b []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\b':
			b = append(b, '\\', 'b')
		case c == '\f':
			b = append(b, '\\', 'f')
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == '\t':
			b = append(b, '\\', 't')
		case c < 0x20:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// decodeBase64 reads standard base64 in its one canonical spelling: padded, no line
// breaks, unused bits zero.
func decodeBase64(s string) ([]byte, bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	// The decoder skips line breaks, so the length tells whether there were any.
	if err != nil || base64.StdEncoding.EncodedLen(len(b)) != len(s) {
		return nil, false
	}
	return b, true
}

func encodeBase64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
