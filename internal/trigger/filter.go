package trigger

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"caos/internal/event"
)

// filter says which events fire a trigger: the type fits, and every condition holds.
type filter struct {
	pattern    string // "" fits everything
	conditions []condition
}

// condition wants a field to have a value. A field that is not there has none.
type condition struct {
	path []string
	want any // string, bool, float64 or nil
}

func parseFilter(d Definition) (filter, error) {
	f := filter{pattern: d.EventType}
	if len(d.Where) > maxConditions {
		return f, invalid("where", "%d conditions, %d at most", len(d.Where), maxConditions)
	}
	for _, key := range slices.Sorted(maps.Keys(d.Where)) {
		at := "where." + clip(key, 80)
		path := strings.Split(key, ".")
		for _, word := range path {
			if !segment.MatchString(word) {
				return f, invalid(at, "it is not the path of a field").WithHint("such as subject or data.status")
			}
		}
		isData := path[0] == "data" && len(path) > 1
		isAttribute := len(path) == 1 && slices.Contains([]string{"source", "subject", "project", "classification"}, path[0]) && d.Kind == KindEvent
		if len(path) > maxPath || !isData && !isAttribute {
			return f, invalid(at, "it is not a field that a condition can be about").WithHint("source, subject, project or classification of an event, or data.<field>")
		}
		want, ok := scalar(d.Where[key])
		if !ok {
			return f, invalid(at, "a condition wants a text of at most %d bytes, a number, true, false or null", maxText)
		}
		f.conditions = append(f.conditions, condition{path, want})
	}
	return f, nil
}

// scalar returns a value that can be compared: numbers as float64, which is what they are
// compared as. It reports false for objects, lists and what is too long or too large.
func scalar(v any) (any, bool) {
	switch v := v.(type) {
	case nil, bool, float64:
		return v, true
	case string:
		return v, len(v) <= maxText
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	}
	return nil, false
}

func (f filter) match(o occurrence) bool {
	if f.pattern != "" && !event.Match(f.pattern, o.kind) {
		return false
	}
	for _, c := range f.conditions {
		v, ok := o.find(c.path)
		if !ok {
			return false
		}
		if have, ok := scalar(v); !ok || have != c.want {
			return false
		}
	}
	return true
}
