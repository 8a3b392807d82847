package contract

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"caos"
)

// The dated JSON Schema of the standard; odcs/NOTICE names its source and licence.
//
//go:embed odcs/odcs-json-schema-v3.1.0-20260505.json
var odcsSchema []byte

var (
	errScalar = errors.New("a list of scalars: strings, numbers, true, false, null")
	errNumber = errors.New("a number beyond what a double holds")
)

// validateODCS checks a decoded document against the standard's JSON Schema. The errors are
// Invalid and name the field; the first helps most.
func validateODCS(doc any) []error {
	schema, err := standard()
	if err != nil {
		return []error{fmt.Errorf("schema of the standard: %w", err)}
	}
	var v *jsonschema.ValidationError
	switch err = schema.Validate(doc); {
	case err == nil:
		return nil
	case !errors.As(err, &v):
		return []error{err}
	}
	first := telling(v)
	out, seen := []error{schemaError(first)}, []string{place(first)}
	for _, consequence := range []bool{false, true} {
		for _, x := range apart(v) {
			x = telling(x)
			if _, unevaluated := x.ErrorKind.(*kind.FalseSchema); unevaluated == consequence && !covered(x, seen) {
				seen = append(seen, place(x))
				out = append(out, schemaError(x))
			}
		}
	}
	return out
}

// place is where in the document a refusal is, with a slash behind it.
func place(v *jsonschema.ValidationError) string {
	return strings.Join(v.InstanceLocation, "/") + "/"
}

// covered reports whether a refusal lies at, in or around one that was named, of which it is a
// consequence then. A field that nothing evaluated is often one of a refusal beside it.
func covered(v *jsonschema.ValidationError, seen []string) bool {
	at := place(v)
	around := at
	if _, unevaluated := v.ErrorKind.(*kind.FalseSchema); unevaluated && len(v.InstanceLocation) > 0 {
		around = strings.Join(v.InstanceLocation[:len(v.InstanceLocation)-1], "/") + "/"
	}
	return slices.ContainsFunc(seen, func(other string) bool { return strings.HasPrefix(other, around) || strings.HasPrefix(at, other) })
}

// apart are refusals that have nothing to do with each other: not the branches of alternatives.
func apart(v *jsonschema.ValidationError) (out []*jsonschema.ValidationError) {
	switch v.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		for _, c := range v.Causes {
			out = append(out, apart(c)...)
		}
	default:
		out = append(out, v)
	}
	return out
}

func standard() (*jsonschema.Schema, error) {
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(odcsSchema))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.UseLoader(refuseLoader{})
	const uri = "schema://odcs/v3.1.0"
	if err := c.AddResource(uri, parsed); err != nil {
		return nil, err
	}
	return c.Compile(uri)
}

type refuseLoader struct{}

// Load refuses: nothing is ever loaded from a file or the network.
func (refuseLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("schemas are not loaded from %s", url)
}

func schemaError(v *jsonschema.ValidationError) error {
	field := fieldPath(v.InstanceLocation)
	text := v.ErrorKind.LocalizedString(message.NewPrinter(language.English))
	hint := "what the Open Data Contract Standard v3.1.0 allows is in docs/data-contracts.md"
	switch k := v.ErrorKind.(type) {
	case *kind.Required:
		field, text = join(field, k.Missing[0]), "is required"
	case *kind.AdditionalProperties:
		field, text = join(field, k.Properties[0]), "is not a field of the standard here"
	case *kind.FalseSchema:
		text = "is not a field of the standard here"
	case *kind.Enum:
		text = "must be " + words(k.Want)
	case *kind.Pattern:
		text, hint = fmt.Sprintf("%q is not well formed", clip(k.Got)), "it must match "+k.Want
	case *kind.OneOf:
		text = "needs exactly one of its alternatives"
		if strings.Contains(v.SchemaURL, "Operators") {
			text, hint = "needs exactly one operator", "one of "+strings.Join(operatorNames(), ", ")
		}
	}
	return caos.Errorf(caos.Invalid, "%s", text).WithField(field).WithHint("%s", hint)
}

// telling picks, of several reasons, the one that helps most. A schema of alternatives
// complains about every branch: the deepest place in the document is nearest to the
// mistake, and there an unknown key says more than a missing one.
func telling(v *jsonschema.ValidationError) *jsonschema.ValidationError {
	var best *jsonschema.ValidationError
	score := -1
	var walk func(*jsonschema.ValidationError)
	walk = func(v *jsonschema.ValidationError) {
		_, oneOf := v.ErrorKind.(*kind.OneOf)
		if len(v.Causes) == 0 || oneOf && strings.Contains(v.SchemaURL, "Operators") {
			s := 4 * len(v.InstanceLocation)
			switch v.ErrorKind.(type) {
			case *kind.AdditionalProperties:
				s += 7
			case *kind.OneOf:
				s += 5
			case *kind.FalseSchema:
				s -= 3 // unevaluated: often only a consequence of another refusal around it
			case *kind.Enum, *kind.Pattern, *kind.Type, *kind.Const:
				s += 3
			case *kind.Required:
				s += 5
			}
			if s > score {
				best, score = v, s
			}
			return
		}
		for _, c := range v.Causes {
			walk(c)
		}
	}
	walk(v)
	return best
}

func fieldPath(parts []string) string {
	path := ""
	for _, p := range parts {
		if _, err := strconv.Atoi(p); err == nil && path != "" {
			path += "[" + p + "]"
			continue
		}
		path = join(path, p)
	}
	return path
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	if strings.HasPrefix(name, "[") || name == "" {
		return path + name
	}
	return path + "." + name
}

func words(list []any) string {
	var out []string
	for _, v := range list {
		if v != nil {
			out = append(out, fmt.Sprint(v))
		}
	}
	return strings.Join(out, ", ")
}

func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}

func unquoteJSON(raw []byte) (s string, err error) {
	err = json.Unmarshal(raw, &s)
	return s, err
}
