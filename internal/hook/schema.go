package hook

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	generate "github.com/invopop/jsonschema"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"caos"
)

// The committed schemas are the only validators of hook bodies. They are generated from
// the Go types (go test ./internal/hook -run TestSchemas -update) and compared with them
// by test, so that a change of an interface is seen in review.
//
//go:embed schema/*.json
var schemaFiles embed.FS

// SchemaName is the file name of a hook's schema; which is "input" or "output".
func SchemaName(id, version, which string) string {
	return fmt.Sprintf("%s-%s.%s.json", id, version, which)
}

// SchemaURI is the identifier of a schema in the registry.
func SchemaURI(id, version, which string) string {
	return fmt.Sprintf("schema://%s/%s/%s", id, version, which)
}

// GenerateSchema makes the JSON Schema 2020-12 of a hook's input or output type.
func GenerateSchema(h *Hook, which string) ([]byte, error) {
	t := h.Input
	if which == "output" {
		t = h.Output
	}
	r := generate.Reflector{DoNotReference: true, Anonymous: true, AllowAdditionalProperties: false,
		Mapper: func(t reflect.Type) *generate.Schema {
			if t == reflect.TypeFor[map[string]any]() {
				return &generate.Schema{Type: "object"}
			}
			return nil
		}}
	s := r.ReflectFromType(t)
	s.ID = generate.ID(SchemaURI(h.ID, h.Version, which))
	s.Title = h.ID + " " + which
	s.Description = fmt.Sprintf("%s: %s, section %s of 95-00-09-00-007.", h.Title, which, h.Section)
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	// A pointer field is a field that may be null: in an output, what is not true yet.
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	nullable(doc, t)
	out, err := json.MarshalIndent(doc, "", "  ")
	return append(out, '\n'), err
}

// nullable lets pointer fields of struct t be null in its schema.
func nullable(doc map[string]any, t reflect.Type) {
	props, _ := doc["properties"].(map[string]any)
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		p, ok := props[name].(map[string]any)
		if !ok || f.Type.Kind() != reflect.Pointer {
			continue
		}
		if typ, ok := p["type"].(string); ok {
			p["type"] = []any{typ, "null"}
		}
		if enum, ok := p["enum"].([]any); ok {
			p["enum"] = append(enum, nil)
		}
	}
}

// schemas holds the compiled schemas by SchemaName.
type schemas map[string]*jsonschema.Schema

// compileSchemas compiles the committed schemas of the hooks. Nothing is ever loaded from
// a file or the network.
func compileSchemas(hooks []*Hook) (schemas, error) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.UseLoader(refuseLoader{})
	out := schemas{}
	for _, h := range hooks {
		for _, which := range []string{"input", "output"} {
			name := SchemaName(h.ID, h.Version, which)
			data, err := schemaFiles.ReadFile("schema/" + name)
			if err != nil {
				return nil, fmt.Errorf("schema of %s: %w", h.ID, err)
			}
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
			if err != nil {
				return nil, fmt.Errorf("schema %s: %w", name, err)
			}
			uri := SchemaURI(h.ID, h.Version, which)
			if err := c.AddResource(uri, doc); err != nil {
				return nil, fmt.Errorf("schema %s: %w", name, err)
			}
			if out[name], err = c.Compile(uri); err != nil {
				return nil, fmt.Errorf("schema %s: %w", name, err)
			}
		}
	}
	return out, nil
}

type refuseLoader struct{}

func (refuseLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("schemas are not loaded from %s", url)
}

// validate checks a decoded body and returns an Invalid error that names the field.
func (s schemas) validate(name string, body any) error {
	schema := s[name]
	if schema == nil {
		return caos.Errorf(caos.Internal, "no schema %s", name)
	}
	err := schema.Validate(body)
	var v *jsonschema.ValidationError
	if err == nil || !errors.As(err, &v) {
		return err
	}
	v = telling(v)
	field := fieldPath(v.InstanceLocation)
	text := v.ErrorKind.LocalizedString(message.NewPrinter(language.English))
	hint := ""
	switch k := v.ErrorKind.(type) {
	case *kind.Required:
		field, text = joinPath(field, k.Missing[0]), "is required"
	case *kind.AdditionalProperties:
		field, text = joinPath(field, k.Properties[0]), "is not a field of this hook"
		hint = "field names are those of the specification, letter by letter"
		if near := nearest(schema, k.Properties[0]); near != "" {
			hint = "it is written " + near
		}
	case *kind.Enum:
		text = "must be " + words(k.Want)
	case *kind.Pattern:
		text = fmt.Sprintf("%q is not well formed", clip(k.Got))
		hint = "it must match " + k.Want
	}
	e := caos.Errorf(caos.Invalid, "%s", text).WithField(field)
	if hint != "" {
		e = e.WithHint("%s", hint)
	}
	return e
}

// telling picks, of several reasons, the one that helps most: an unknown key before a
// missing one, because a misspelt key is both.
func telling(v *jsonschema.ValidationError) *jsonschema.ValidationError {
	var leaves []*jsonschema.ValidationError
	var walk func(*jsonschema.ValidationError)
	walk = func(v *jsonschema.ValidationError) {
		if len(v.Causes) == 0 {
			leaves = append(leaves, v)
		}
		for _, c := range v.Causes {
			walk(c)
		}
	}
	walk(v)
	for _, l := range leaves {
		if _, ok := l.ErrorKind.(*kind.AdditionalProperties); ok {
			return l
		}
	}
	return leaves[0]
}

// nearest returns the field that differs from key in case or separators alone.
func nearest(s *jsonschema.Schema, key string) string {
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s))
	}
	for name := range s.Properties {
		if plain(name) == plain(key) {
			return name
		}
	}
	return ""
}

func fieldPath(parts []string) string {
	path := ""
	for _, p := range parts {
		if _, err := strconv.Atoi(p); err == nil && path != "" {
			path += "[" + p + "]"
			continue
		}
		path = joinPath(path, p)
	}
	return path
}

func joinPath(path, name string) string {
	if path == "" {
		return name
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
		return s[:80] + "…"
	}
	return s
}
