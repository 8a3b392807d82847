package policy

import (
	"fmt"
	"maps"
	"slices"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

// vocabulary is the schema in the form in which requests are checked against it.
type vocabulary struct {
	resolved  *resolved.Schema
	validator *validate.Validator
	roles     map[types.String]bool
	// shapes is keyed by resource type; it is read only after load.
	shapes map[types.EntityType]resolved.RecordType
}

func parseSchema(text []byte) (*vocabulary, error) {
	var s schema.Schema
	s.SetFilename(schemaFile)
	if err := s.UnmarshalCedar(text); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	r, err := s.Resolve()
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	v := &vocabulary{
		resolved:  r,
		validator: validate.New(r),
		roles:     make(map[types.String]bool),
		shapes:    make(map[types.EntityType]resolved.RecordType),
	}
	for _, uid := range r.Enums[roleType].Values {
		v.roles[uid.ID] = true
	}
	for name, e := range r.Entities {
		v.shapes[name] = e.Shape
	}
	return v, nil
}

// convert turns the values of a request into a Cedar record, refusing names and types that
// the schema does not have and required names that are missing.
func convert(shape resolved.RecordType, values map[string]any) (types.RecordMap, error) {
	out := make(types.RecordMap, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		attr, ok := shape[types.String(name)]
		if !ok {
			return nil, fmt.Errorf("unknown attribute %q", name)
		}
		v, err := value(attr.Type, values[name])
		if err != nil {
			return nil, fmt.Errorf("attribute %q: %w", name, err)
		}
		out[types.String(name)] = v
	}
	for name, attr := range shape {
		if _, ok := out[name]; !ok && !attr.Optional {
			return nil, fmt.Errorf("attribute %q is missing", name)
		}
	}
	return out, nil
}

// value converts one Go value. Only what the schema uses is known: strings, booleans, whole
// numbers and sets of strings.
func value(t resolved.IsType, v any) (types.Value, error) {
	switch t := t.(type) {
	case resolved.StringType:
		if s, ok := v.(string); ok {
			return types.String(s), nil
		}
	case resolved.BoolType:
		if b, ok := v.(bool); ok {
			return types.Boolean(b), nil
		}
	case resolved.LongType:
		switch n := v.(type) {
		case int:
			return types.Long(n), nil
		case int64:
			return types.Long(n), nil
		}
	case resolved.SetType:
		if _, ok := t.Element.(resolved.StringType); ok {
			if list, ok := v.([]string); ok {
				return stringSet(list), nil
			}
		}
	}
	return nil, fmt.Errorf("a %T does not fit", v)
}

func stringSet(list []string) types.Set {
	if len(list) == 0 {
		return types.Set{}
	}
	vals := make([]types.Value, len(list))
	for i, s := range list {
		vals[i] = types.String(s)
	}
	return types.NewSet(vals...)
}
