package contract

import (
	"encoding/json"
	"fmt"
	"strings"

	"caos"
	"caos/internal/codec"
)

// ImportReport says what became of each expectation of a suite.
type ImportReport struct {
	Suite    string         `json:"suite"`
	Format   string         `json:"format"` // "0.18" or "1.x"
	Mapped   []MappedRule   `json:"mapped"`
	Unmapped []UnmappedRule `json:"unmapped"`
}

// MappedRule is an expectation and the checks that it became.
type MappedRule struct {
	Index       int      `json:"index"` // in the suite, from 0
	Expectation string   `json:"expectation"`
	Column      string   `json:"column,omitempty"`
	Checks      []string `json:"checks"`         // ids of checks of the contract
	Note        string   `json:"note,omitempty"` // where the two do not mean exactly the same
}

// UnmappedRule is an expectation that has no counterpart here, and why.
type UnmappedRule struct {
	Index       int    `json:"index"`
	Expectation string `json:"expectation"`
	Column      string `json:"column,omitempty"`
	Reason      string `json:"reason"`
}

// docSuite is a suite of either format: 0.18 has expectation_suite_name and expectation_type,
// 1.x has name and type.
type docSuite struct {
	Name         string           `json:"name"`
	OldName      string           `json:"expectation_suite_name"`
	Expectations []docExpectation `json:"expectations"`
}

type docExpectation struct {
	Type     string         `json:"type"`
	OldType  string         `json:"expectation_type"`
	Kwargs   map[string]any `json:"kwargs"`
	Severity string         `json:"severity"`
	Meta     any            `json:"meta"`
}

// ImportExpectations turns a Great Expectations suite (0.18 or 1.x, JSON) into a contract
// with the given id and version. Every expectation is in the report: mapped, with the checks
// that it became and where they differ, or unmapped with the reason. The error is Invalid
// if the text is no suite, or if nothing in it can be mapped.
func ImportExpectations(text []byte, id, version string) ([]byte, ImportReport, error) {
	report := ImportReport{Mapped: []MappedRule{}, Unmapped: []UnmappedRule{}}
	if err := caos.CheckID("document", "id", id); err != nil {
		return nil, report, err
	}
	raw, err := codec.JSON(text, mediaType(text), codec.Limits{MaxBytes: maxBytes})
	if err != nil {
		return nil, report, err
	}
	var s docSuite
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	if err := dec.Decode(&s); err != nil {
		return nil, report, caos.Wrap(caos.Invalid, err, "the text is not a suite of expectations")
	}
	report.Suite, report.Format = s.Name, "1.x"
	if s.OldName != "" || len(s.Expectations) > 0 && s.Expectations[0].OldType != "" {
		report.Suite, report.Format = orElse(s.OldName, s.Name), "0.18"
	}
	if len(s.Expectations) == 0 {
		return nil, report, invalid("expectations", "a suite without expectations").WithHint("a suite of Great Expectations is an object with name and expectations")
	}
	if len(s.Expectations) > maxChecks {
		return nil, report, caos.Errorf(caos.TooLarge, "a suite has at most %d expectations", maxChecks).WithField("expectations")
	}
	m := &mapper{byName: map[string]*mapProperty{}}
	for i := range s.Expectations {
		m.expectation(i, &s.Expectations[i], &report)
	}
	if len(report.Mapped) == 0 {
		return nil, report, invalid("expectations", "none of the %d expectations can be mapped: %s", len(s.Expectations), report.Unmapped[0].Reason)
	}
	for i := range report.Mapped { // a property with a type is looked for by the check of its type
		for j, id := range report.Mapped[i].Checks {
			if p := m.byName[report.Mapped[i].Column]; p != nil && p.logical != "" && strings.HasSuffix(id, ".present") {
				report.Mapped[i].Checks[j] = strings.TrimSuffix(id, "present") + "type"
			}
		}
	}
	out := m.document(id, version, report.Suite)
	if _, err := Parse(out); err != nil {
		return nil, report, caos.AsError(err).WithHint("the suite was mapped, but what came out is no contract: %s", clip(caos.AsError(err).Hint))
	}
	return out, report, nil
}

// mapper collects what expectations become.
type mapper struct {
	order   []string
	byName  map[string]*mapProperty
	quality []any
}

type mapProperty struct {
	logical string
	quality []any
}

// mapping is one expectation on its way.
type mapping struct {
	*mapper
	args     arguments18
	index    int
	kind     string // without expect_
	severity string
	checks   []string
	notes    []string
}

// unmapped is why an expectation has no counterpart. It is an error only inside this file's
// mapping.
type unmapped string

func (u unmapped) Error() string { return string(u) }

func (m *mapper) expectation(i int, e *docExpectation, report *ImportReport) {
	kind := orElse(e.Type, e.OldType)
	x := &mapping{mapper: m, args: arguments18(e.Kwargs), index: i, kind: strings.TrimPrefix(snake(kind), "expect_")}
	column, _ := e.Kwargs["column"].(string)
	err := x.common(e)
	if err == nil {
		f, ok := expectationMappers()[x.kind]
		if !ok {
			err = unmapped("there is no check like it here")
		} else {
			err = f(x)
		}
	}
	if err != nil {
		report.Unmapped = append(report.Unmapped, UnmappedRule{i, clip(kind), clip(column), err.Error()})
		return
	}
	report.Mapped = append(report.Mapped, MappedRule{i, clip(kind), clip(column), x.checks, strings.Join(x.notes, "; ")})
}

// common refuses what changes the meaning of every expectation, and reads the severity.
func (x *mapping) common(e *docExpectation) error {
	for _, name := range []string{"row_condition", "condition_parser"} {
		if v, ok := e.Kwargs[name]; ok && v != nil && v != "" {
			return unmapped("it applies to some rows only (" + name + ")")
		}
	}
	for name, v := range e.Kwargs {
		if m, ok := v.(map[string]any); ok && name != "quantile_ranges" && name != "partition_object" {
			for key := range m {
				if strings.HasPrefix(key, "$") {
					return unmapped("its argument " + name + " is a parameter that a run supplies")
				}
			}
		}
	}
	switch strings.ToLower(e.Severity) {
	case "", "critical":
		x.severity = SeverityError
	case "warning", "info":
		x.severity = strings.ToLower(e.Severity)
	default:
		return unmapped("its severity is not known: " + clip(e.Severity))
	}
	if v, ok := e.Kwargs["column"]; ok {
		if s, isText := v.(string); !isText || !sayable(s) || len(s) > maxName {
			return unmapped("its column is no name")
		}
	}
	return nil
}

// snake turns ExpectColumnToExist, as some 1.x files write it, into expect_column_to_exist.
func snake(s string) string {
	if !strings.HasPrefix(s, "Expect") {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// property returns the property of a column, described from now on.
func (m *mapper) property(name string) *mapProperty {
	p := m.byName[name]
	if p == nil {
		p = &mapProperty{}
		m.byName[name] = p
		m.order = append(m.order, name)
	}
	return p
}

// rule adds a quality element to a property, or to the object if column is "".
func (x *mapping) rule(column string, members ...member) {
	id := fmt.Sprintf("ge-%d", x.index)
	if len(x.checks) > 0 {
		id = fmt.Sprintf("ge-%d-%d", x.index, len(x.checks)+1)
	}
	x.checks = append(x.checks, id)
	q := fields{{"id", id}, {"name", "expect_" + x.kind}}
	q = append(q, members...)
	if x.severity != SeverityError {
		q = append(q, member{"severity", x.severity})
	}
	if column == "" {
		x.quality = append(x.quality, q)
		return
	}
	p := x.property(column)
	p.quality = append(p.quality, q)
}

// custom adds a check of the engine caos.
func (x *mapping) custom(column, check string, members ...member) {
	x.rule(column, member{"type", "custom"}, member{"engine", "caos"}, member{"implementation", fields{{check, fields(members)}}})
}

func (x *mapping) notef(format string, args ...any) {
	x.notes = append(x.notes, fmt.Sprintf(format, args...))
}

// document writes the contract.
func (m *mapper) document(id, version, suite string) []byte {
	var props []any
	for _, name := range m.order {
		p := m.byName[name]
		f := fields{{"name", name}}
		if p.logical != "" {
			f = append(f, member{"logicalType", p.logical})
		}
		if len(p.quality) > 0 {
			f = append(f, member{"quality", p.quality})
		}
		props = append(props, f)
	}
	name := suite
	if !sayable(name) || len(name) > maxName {
		name = "imported"
	}
	object := fields{{"name", name}}
	if len(props) > 0 {
		object = append(object, member{"properties", props})
	}
	if len(m.quality) > 0 {
		object = append(object, member{"quality", m.quality})
	}
	doc := fields{{"apiVersion", "v3.1.0"}, {"kind", "DataContract"}, {"id", id}, {"version", version}, {"status", "draft"}, {"name", name},
		{"description", fields{{"purpose", "Imported from a Great Expectations suite."}}}, {"schema", []any{object}}}
	var w yamlText
	w.node(doc, 0, false)
	return w.Bytes()
}
