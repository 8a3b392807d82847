package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"caos"
	"caos/internal/codec"
)

// maxKeys bounds the keys of all objects that are open at one moment.
const maxKeys = 100_000

// jsonStream walks a JSON document of any length with little memory: token by token where
// it is long, value by value where a value is small. Duplicate keys, depth, trailing data
// and oversized values are refused, as everywhere.
type jsonStream struct {
	rd    *reading
	dec   *json.Decoder
	depth int
	keys  int
}

func (rd *reading) json() *jsonStream {
	dec := json.NewDecoder(rd.src)
	dec.UseNumber()
	return &jsonStream{rd: rd, dec: dec}
}

func (j *jsonStream) token() (json.Token, error) {
	tok, err := j.dec.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		return nil, err
	}
	j.rd.src.mark(j.dec.InputOffset())
	return tok, nil
}

// open steps into an object or array that is expected here.
func (j *jsonStream) open(want json.Delim, where string) error {
	tok, err := j.token()
	if err != nil {
		return err
	}
	if tok != want {
		return refuse("%s is not %s", where, map[json.Delim]string{'{': "an object", '[': "a list"}[want])
	}
	return j.deeper()
}

func (j *jsonStream) deeper() error {
	if j.depth++; j.depth > j.rd.lim.MaxDepth {
		return caos.Errorf(caos.TooLarge, "the JSON is nested more than %d deep", j.rd.lim.MaxDepth)
	}
	return nil
}

// object calls fn for each key of an object that begins here. fn must take in the value.
func (j *jsonStream) object(where string, fn func(key string) error) error {
	if err := j.open('{', where); err != nil {
		return err
	}
	return j.members(fn)
}

func (j *jsonStream) members(fn func(key string) error) error {
	seen := map[string]bool{}
	for j.dec.More() {
		tok, err := j.token()
		if err != nil {
			return err
		}
		key, ok := tok.(string)
		if !ok {
			return refuse("a key is not a string")
		}
		if seen[key] {
			return refuse("the key %.60q appears twice in one object", key)
		}
		seen[key] = true
		if j.keys++; j.keys > maxKeys {
			return caos.Errorf(caos.TooLarge, "an object has more than %d keys", maxKeys)
		}
		if err := fn(key); err != nil {
			return err
		}
	}
	j.keys -= len(seen)
	return j.close()
}

// array calls fn for each item of a list that begins here. fn must take in the item.
func (j *jsonStream) array(where string, fn func(i int) error) error {
	if err := j.open('[', where); err != nil {
		return err
	}
	return j.items(fn)
}

func (j *jsonStream) items(fn func(i int) error) error {
	for i := 0; j.dec.More(); i++ {
		if i >= j.rd.lim.MaxItems {
			return caos.Errorf(caos.TooLarge, "a list has more than %d items", j.rd.lim.MaxItems)
		}
		if err := fn(i); err != nil {
			return err
		}
	}
	return j.close()
}

func (j *jsonStream) close() error {
	j.depth--
	_, err := j.token()
	return err
}

// skip takes in a value of any size and forgets it.
func (j *jsonStream) skip() error {
	tok, err := j.token()
	if err != nil {
		return err
	}
	d, ok := tok.(json.Delim)
	if !ok {
		return nil
	}
	if err := j.deeper(); err != nil {
		return err
	}
	if d == '{' {
		return j.members(func(string) error { return j.skip() })
	}
	return j.items(func(int) error { return j.skip() })
}

// value takes in one value of at most MaxValue bytes, as strictly as a request body.
func (j *jsonStream) value() (any, error) {
	var raw json.RawMessage
	if err := j.dec.Decode(&raw); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		return nil, err
	}
	j.rd.src.mark(j.dec.InputOffset())
	v, err := codec.Value(raw, "application/json", codec.Limits{
		MaxBytes: int64(j.rd.lim.MaxValue), MaxDepth: max(1, j.rd.lim.MaxDepth-j.depth),
	})
	if err != nil {
		return nil, inside(fmt.Sprintf("the value that ends at byte %d", j.dec.InputOffset()), err)
	}
	return v, nil
}

// inside makes an error of codec, which names a field of the value it read, one about a
// place in the artifact.
func inside(place string, err error) error {
	e := caos.AsError(err)
	if e.Field != "" {
		place += ", " + clip(e.Field, 80)
	}
	return &caos.Error{Kind: e.Kind, Message: place + ": " + e.Message, Hint: e.Hint, Field: "artifact_uri"}
}

// str takes in a value that has to be a string.
func (j *jsonStream) str(where string) (string, error) {
	tok, err := j.token()
	if err != nil {
		return "", err
	}
	s, ok := tok.(string)
	if !ok {
		return "", refuse("%s is not a string", where)
	}
	return s, nil
}

// end refuses anything after the document.
func (j *jsonStream) end() error {
	_, err := j.dec.Token()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	return refuse("something follows the end of the JSON document")
}

// first returns the first member of m that is there among names.
func first(m map[string]any, names ...string) any {
	for _, n := range names {
		if v, ok := m[n]; ok && v != nil {
			return v
		}
	}
	return nil
}

func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

// words reads a list of strings, or one string with commas.
func words(v any) []string {
	switch v := v.(type) {
	case string:
		return strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ';' || r == ' ' })
	case []any:
		out := make([]string, 0, len(v))
		for _, w := range v {
			out = append(out, text(w))
		}
		return out
	}
	return nil
}
