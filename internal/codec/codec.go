// Package codec is the one door for text that others wrote: it reads JSON and YAML
// strictly, and it writes canonical JSON (RFC 8785) for everything that is hashed or
// signed.
//
// Strict means that two programs can never read the same bytes differently: a key is
// spelled exactly as the field is, appears once, and nothing follows the document. Size,
// depth and number of values are bounded before anything is built from them. A refusal is
// a *caos.Error that names the field by its path, such as steps[2].name.
//
// Reading is two passes over the bytes. The first, in scan.go, walks the text beside the
// Go type that it is meant for and finds every reason to refuse; it builds nothing. The
// second is encoding/json, which then cannot meet a surprise. YAML is turned into JSON
// first (yaml.go), from the part of YAML that has one meaning in every version of it.
package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime"
	"reflect"
	"strings"

	"caos"
)

// Limits bounds what a document may cost. A zero field means its default.
type Limits struct {
	MaxBytes int64 // length of the text
	MaxDepth int   // objects and arrays inside each other
	MaxNodes int   // values, counting objects, arrays and scalars
}

// DefaultLimits is for request bodies: 1 MiB, 64 deep, 100,000 values.
func DefaultLimits() Limits {
	return Limits{MaxBytes: 1 << 20, MaxDepth: 64, MaxNodes: 100_000}
}

func (l Limits) filled() Limits {
	d := DefaultLimits()
	if l.MaxBytes <= 0 {
		l.MaxBytes = d.MaxBytes
	}
	if l.MaxDepth <= 0 {
		l.MaxDepth = d.MaxDepth
	}
	if l.MaxNodes <= 0 {
		l.MaxNodes = d.MaxNodes
	}
	return l
}

// Decode reads one JSON or YAML document into the value that into points to. contentType
// is a media type, "" meaning JSON. The error is a *caos.Error, Invalid or TooLarge,
// whose Field is the path of what is wrong; into is then not to be used.
//
// A null is accepted only where Go has a nil: pointers, maps, slices and any.
func Decode(data []byte, contentType string, into any, lim Limits) error {
	rv := reflect.ValueOf(into)
	if rv.Kind() != reflect.Pointer || rv.IsNil() {
		return caos.Errorf(caos.Internal, "codec: Decode wants a pointer, got %T", into)
	}
	text, s, err := prepare(data, contentType, rv.Type().Elem(), lim)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return s.locate(err)
	}
	return nil
}

// Value reads one document as strictly as Decode does, into maps, slices, strings, bools,
// nil and json.Number. It is what a JSON Schema validator wants.
func Value(data []byte, contentType string, lim Limits) (any, error) {
	text, s, err := prepare(data, contentType, nil, lim)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, s.locate(err)
	}
	return v, nil
}

// JSON returns the document as JSON text, after the same checks. JSON comes back as it
// is, YAML translated with its keys in their order.
func JSON(data []byte, contentType string, lim Limits) ([]byte, error) {
	text, _, err := prepare(data, contentType, nil, lim)
	if err != nil {
		return nil, err
	}
	return text, nil
}

// prepare returns data as JSON that passed every check, and the scanner that knows where
// things are in it.
func prepare(data []byte, contentType string, t reflect.Type, lim Limits) ([]byte, *scanner, error) {
	lim = lim.filled()
	if int64(len(data)) > lim.MaxBytes {
		return nil, nil, caos.Errorf(caos.TooLarge, "the document has %d bytes, the limit is %d", len(data), lim.MaxBytes).
			WithHint("send less, or upload large content as an artifact")
	}
	isYAML, err := yamlContent(contentType)
	if err != nil {
		return nil, nil, err
	}
	if isYAML {
		if data, err = yamlToJSON(data, lim); err != nil {
			return nil, nil, err
		}
	}
	s := &scanner{data: data, lim: lim, yaml: isYAML, root: t}
	if err := s.document(); err != nil {
		return nil, nil, err
	}
	return data, s, nil
}

// yamlContent tells YAML from JSON by media type and refuses everything else.
func yamlContent(contentType string) (bool, error) {
	switch contentType { // the two that nearly every request has
	case "", "application/json":
		return false, nil
	case "application/yaml":
		return true, nil
	}
	mt, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false, caos.Errorf(caos.Invalid, "the content type cannot be read").WithField("Content-Type").
			WithHint("send application/json or application/yaml")
	}
	if cs, ok := params["charset"]; ok && !strings.EqualFold(cs, "utf-8") && !strings.EqualFold(cs, "us-ascii") {
		return false, caos.Errorf(caos.Invalid, "the charset is not UTF-8").WithField("Content-Type").
			WithHint("send UTF-8")
	}
	switch {
	case mt == "application/json" || mt == "text/json" || strings.HasSuffix(mt, "+json"):
		return false, nil
	case mt == "application/yaml" || mt == "application/x-yaml" || mt == "text/yaml" || mt == "text/x-yaml" || strings.HasSuffix(mt, "+yaml"):
		return true, nil
	}
	return false, caos.Errorf(caos.Invalid, "the content type is neither JSON nor YAML").WithField("Content-Type").
		WithHint("send application/json or application/yaml")
}

// locate turns an error of encoding/json, after a clean scan, into one with a path. What
// is left for it to find are the values that types with their own UnmarshalJSON or
// UnmarshalText refuse, so a second scan tries each of those alone.
func (s *scanner) locate(err error) error {
	var ce *caos.Error
	if errors.As(err, &ce) && ce.Field != "" {
		return ce
	}
	again := &scanner{data: s.data, lim: s.lim, yaml: s.yaml, root: s.root, try: true}
	if found := again.document(); found != nil {
		return found
	}
	if ce != nil {
		return ce
	}
	return caos.Errorf(caos.Invalid, "the document does not fit: %v", err)
}
