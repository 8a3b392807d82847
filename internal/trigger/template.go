package trigger

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"caos"
	"caos/internal/alert"
	"caos/internal/codec"
)

// A template is a JSON object in which a string that is one reference, such as
// "${event.data.package_id}", stands for the value it names, whatever that is. There is
// nothing else to it: no text around a reference, no condition, no function. A string that
// shall begin with "${" is written with another dollar sign before it.

// template is a parsed template.
type template struct {
	root any // maps, slices, scalars, and reference
	refs []reference
}

// reference is the path of a value: event, data, package_id.
type reference struct {
	path []string
	at   string // where it stands in the input
}

func (r reference) String() string { return "${" + strings.Join(r.path, ".") + "}" }

// Bounds of templates and of what they become.
const (
	maxReferences = 200
	maxPath       = 16
	maxRendered   = 1 << 20 // bytes; also what a submission may have
)

var segment = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// occurrence is what fired a trigger, as templates and conditions see it.
type occurrence struct {
	id             string // unique for this trigger: event id, nominal time, webhook id
	kind           string // an event's type; "cron", "webhook"
	source         string
	subject        string
	time           string // RFC 3339
	project        string
	classification string
	data           any // decoded with json.Number
	digest         string
}

// attributes are what a reference event.<name> can name, by kind of trigger.
func attributes(kind Kind) []string {
	if kind == KindEvent {
		return []string{"id", "type", "time", "source", "subject", "project", "classification"}
	}
	return []string{"id", "type", "time"}
}

// parseTemplate reads a template for a kind of trigger.
func parseTemplate(text json.RawMessage, kind Kind) (*template, error) {
	root, err := codec.Value(text, "application/json", codec.Limits{MaxBytes: maxTemplate, MaxDepth: 32, MaxNodes: 5000})
	if err != nil {
		e := caos.AsError(err)
		return nil, e.WithField(strings.TrimSuffix("input."+e.Field, "."))
	}
	if _, ok := root.(map[string]any); !ok {
		return nil, invalid("input", "a hook's input is an object")
	}
	t := &template{}
	if t.root, err = t.parse(root, "input", kind); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *template) parse(v any, at string, kind Kind) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if strings.Contains(key, "${") {
				return nil, invalid(at, "a key cannot be a reference").WithHint("references stand for values alone")
			}
			var err error
			if out[key], err = t.parse(v[key], at+"."+clip(key, 80), kind); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i := range v {
			var err error
			if out[i], err = t.parse(v[i], fmt.Sprintf("%s[%d]", at, i), kind); err != nil {
				return nil, err
			}
		}
		return out, nil
	case string:
		return t.parseString(v, at, kind)
	}
	return v, nil
}

func (t *template) parseString(s, at string, kind Kind) (any, error) {
	switch {
	case strings.HasPrefix(s, "$${"):
		return s[1:], nil
	case !strings.Contains(s, "${"):
		return s, nil
	case !strings.HasPrefix(s, "${") || !strings.HasSuffix(s, "}"):
		return nil, invalid(at, "a reference stands for a whole value, with nothing before or behind it").
			WithHint("write ${event.data.field} alone, or begin the text with $${ if it is none")
	}
	ref := reference{path: strings.Split(s[2:len(s)-1], "."), at: at}
	if err := ref.check(kind); err != nil {
		return nil, err
	}
	if t.refs = append(t.refs, ref); len(t.refs) > maxReferences {
		return nil, caos.Errorf(caos.TooLarge, "more than %d references", maxReferences).WithField(at)
	}
	return ref, nil
}

// check refuses references to what no firing of the kind can have.
func (r reference) check(kind Kind) error {
	unknown := func(hint string, args ...any) error {
		return invalid(r.at, "%s names nothing", clip(r.String(), 120)).WithHint(hint, args...)
	}
	for _, word := range r.path {
		if !segment.MatchString(word) {
			return unknown("a reference is names between dots, such as ${event.data.field}")
		}
	}
	if len(r.path) > maxPath {
		return unknown("a path has at most %d names", maxPath)
	}
	if len(r.path) < 2 {
		return unknown("it begins with event or trigger, such as ${event.id}")
	}
	switch {
	case r.path[0] == "trigger":
		if len(r.path) != 2 || !slices.Contains([]string{"name", "runs_as", "enabled_by"}, r.path[1]) {
			return unknown("trigger has name, runs_as and enabled_by")
		}
	case r.path[0] != "event":
		return unknown("it begins with event or trigger, such as ${event.id}")
	case r.path[1] == "data":
		if kind == KindCron {
			return unknown("a schedule brings no data: it has event.id and event.time")
		}
	case len(r.path) != 2 || !slices.Contains(attributes(kind), r.path[1]):
		return unknown("event has data and %s here", strings.Join(attributes(kind), ", "))
	}
	return nil
}

// known refuses references and conditions on fields that the events of the trigger's type
// do not have, as far as their form is known here.
func (t *template) known(d Definition) error {
	fields := dataFields(d.EventType)
	if d.Kind != KindEvent || fields == nil {
		return nil
	}
	for _, ref := range t.refs {
		if len(ref.path) > 2 && ref.path[0] == "event" && ref.path[1] == "data" && !slices.Contains(fields, ref.path[2]) {
			return invalid(ref.at, "%s names nothing: %s events have no such field", clip(ref.String(), 120), d.EventType).
				WithHint("their data has %s", strings.Join(fields, ", "))
		}
	}
	for key := range d.Where {
		if path := strings.Split(key, "."); path[0] == "data" && !slices.Contains(fields, path[1]) {
			return invalid("where."+key, "%s events have no such field", d.EventType).WithHint("their data has %s", strings.Join(fields, ", "))
		}
	}
	return nil
}

// dataFields are the fields of an event's data, nil where they are not known to all events
// that the pattern fits.
func dataFields(pattern string) []string {
	switch {
	case strings.HasPrefix(pattern, "caos.execution."):
		return []string{"execution_id", "hook_id", "hook_version", "status", "model_id", "parent_id", "output"}
	case strings.HasPrefix(pattern, "caos.alert."):
		return alertFields()
	case pattern == "caos.package.closed":
		return []string{"package_id", "model_id", "full_coverage", "closed_by", "model_version", "baseline_id"}
	case strings.HasPrefix(pattern, "caos.document."):
		return []string{"document_id", "version", "kind", "model_id", "model_version", "status"}
	case pattern == "caos.model.frozen":
		return []string{"model_id", "model_version", "freeze_id", "baseline_id", "root_digest", "execution_id"}
	case pattern == "caos.model.state":
		return []string{"model_id", "model_version", "from", "to"}
	}
	return nil
}

// alertFields are the members of an alert's JSON: an alert's events carry it whole.
func alertFields() []string {
	var out []string
	for f := range fieldsOf(reflect.TypeFor[alert.Alert]()) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "-" {
			out = append(out, name)
		}
	}
	return out
}

func fieldsOf(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// render makes the hook's input for a firing. A reference to what is not there is an Invalid
// error that names where it stands.
func (t *template) render(tr *Trigger, o occurrence) (json.RawMessage, error) {
	root, err := fill(t.root, tr, o)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(root)
	if err != nil {
		return nil, fmt.Errorf("encode input: %w", err)
	}
	if len(text) > maxRendered {
		return nil, caos.Errorf(caos.TooLarge, "the input has %d bytes, the limit is %d", len(text), maxRendered).WithField("input")
	}
	return text, nil
}

func fill(v any, tr *Trigger, o occurrence) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, x := range v {
			var err error
			if out[key], err = fill(x, tr, o); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			var err error
			if out[i], err = fill(x, tr, o); err != nil {
				return nil, err
			}
		}
		return out, nil
	case reference:
		x, ok := v.find(tr, o)
		if !ok {
			return nil, invalid(v.at, "%s is not in what fired the trigger", v).WithRule("trigger-template").
				WithHint("correct the reference, or name in where what the event must have")
		}
		return x, nil
	}
	return v, nil
}

func (r reference) find(tr *Trigger, o occurrence) (any, bool) {
	if r.path[0] == "trigger" {
		switch r.path[1] {
		case "name":
			return tr.Name, true
		case "runs_as":
			return tr.RunsAs, true
		}
		return tr.EnabledBy, true
	}
	return o.find(r.path[1:])
}

// find returns the value of a path such as data.package_id.
func (o occurrence) find(path []string) (any, bool) {
	switch path[0] {
	case "id":
		return o.id, true
	case "type":
		return o.kind, true
	case "time":
		return o.time, true
	case "source":
		return o.source, true
	case "subject":
		return o.subject, true
	case "project":
		return o.project, true
	case "classification":
		return o.classification, true
	case "data":
		return dig(o.data, path[1:])
	}
	return nil, false
}

// dig follows names into objects and numbers into lists.
func dig(v any, path []string) (any, bool) {
	for _, word := range path {
		switch x := v.(type) {
		case map[string]any:
			var ok bool
			if v, ok = x[word]; !ok {
				return nil, false
			}
		case []any:
			i, err := strconv.Atoi(word)
			if err != nil || i < 0 || i >= len(x) || strconv.Itoa(i) != word {
				return nil, false
			}
			v = x[i]
		default:
			return nil, false
		}
	}
	return v, true
}
