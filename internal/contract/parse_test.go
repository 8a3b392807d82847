package contract

import (
	"errors"
	"strings"
	"testing"

	"caos"
)

// head begins every document of these tests.
const head = "apiVersion: v3.1.0\nkind: DataContract\nid: 95-00-09-02-004\nversion: 1.0.0\nstatus: active\nschema:\n- name: flights\n  properties:\n  - name: a\n  - name: b\n    quality:\n"

// withCheck is a contract with one check of property b, or with one of the object if it is
// led by "object:".
func withCheck(check string) string {
	if rest, ok := strings.CutPrefix(check, "object:"); ok {
		return strings.TrimSuffix(head, "    quality:\n") + "  quality:\n  - " + strings.TrimSpace(rest) + "\n"
	}
	return head + "    - " + check + "\n"
}

func mustParse(t testing.TB, text string) *Contract {
	t.Helper()
	c, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%#v\n%s", err, text)
	}
	return c
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ check, field, says string }{
		{`{metric: medianValues, mustBe: 0}`, "schema[0].properties[1].quality[0].metric", "nullValues"},
		{`{metric: nullValues}`, "schema[0].properties[1].quality[0]", "operator"},
		{`{metric: nullValues, mustBe: 0, mustBeLessThan: 3}`, "schema[0].properties[1].quality[0]", "exactly one operator"},
		{`{metric: nullValues, mustBeAround: 0}`, "schema[0].properties[1].quality[0]", ""},
		{`{metric: nullValues, mustBe: 0, unit: shells}`, "schema[0].properties[1].quality[0].unit", "rows or percent"},
		{`{metric: nullValues, mustBe: none}`, "schema[0].properties[1].quality[0].mustBe", "number"},
		{`{metric: nullValues, mustBeBetween: [3, 1]}`, "schema[0].properties[1].quality[0].mustBeBetween", "smaller first"},
		{`{metric: nullValues, mustBe: 0, arguments: {pattern: x}}`, "schema[0].properties[1].quality[0].arguments.pattern", "no argument"},
		{`{metric: nullValues, mustBe: 0, arguments: {threshold: 1}}`, "schema[0].properties[1].quality[0].arguments.threshold", ""},
		{`{metric: nullValues, mustBe: 0, severity: fatal}`, "schema[0].properties[1].quality[0].severity", "error"},
		{`{metric: nullValues, mustBe: 0, dimension: beauty}`, "schema[0].properties[1].quality[0].dimension", "accuracy"},
		{`{metric: nullValues, mustBe: 0, customProperties: [{property: wait, value: 1}]}`, "schema[0].properties[1].quality[0].customProperties[0].property", "weight"},
		{`{metric: nullValues, mustBe: 0, customProperties: [{property: weight, value: -1}]}`, "schema[0].properties[1].quality[0].customProperties[0].value", "above 0"},
		{`{metric: nullValues, mustBe: 0, schedule: "0 1 * * *"}`, "schema[0].properties[1].quality[0].schedule", "pipeline"},
		{`{metric: missingValues, mustBe: 0}`, "schema[0].properties[1].quality[0].arguments.missingValues", "required"},
		{`{metric: invalidValues, mustBe: 0}`, "schema[0].properties[1].quality[0].arguments", "validValues or pattern"},
		{`{metric: invalidValues, mustBe: 0, arguments: {pattern: "(?=x)"}}`, "schema[0].properties[1].quality[0].arguments.pattern", "RE2"},
		{`{metric: invalidValues, mustBe: 0, arguments: {validValues: [[1]]}}`, "schema[0].properties[1].quality[0].arguments.validValues", "scalars"},
		{`{metric: rowCount, mustBe: 0}`, "schema[0].properties[1].quality[0].metric", "object"},
		{`object: {metric: nullValues, mustBe: 0}`, "schema[0].quality[0].metric", "property"},
		{`object: {metric: rowCount, mustBe: 50, unit: percent}`, "schema[0].quality[0].unit", "percentage"},
		{`object: {metric: duplicateValues, mustBe: 0}`, "schema[0].quality[0].arguments.properties", "required"},
		{`object: {metric: duplicateValues, mustBe: 0, arguments: {properties: [a, z]}}`, "schema[0].quality[0].arguments.properties[1]", "it has a, b"},
		{`{type: sql, mustBe: 0}`, "schema[0].properties[1].quality[0].query", "required"},
		{`{type: sql, query: SELECT 1}`, "schema[0].properties[1].quality[0]", "operator"},
		{`object: {type: sql, query: "SELECT max({property}) FROM {object}", mustBe: 0}`, "schema[0].quality[0].query", "below its property"},
		{`{type: custom, engine: soda, implementation: x}`, "schema[0].properties[1].quality[0].engine", "caos"},
		{`{type: custom, engine: caos, implementation: {magic: {}}}`, "schema[0].properties[1].quality[0].implementation.magic", "outliers"},
		{`{type: custom, engine: caos, implementation: {}}`, "schema[0].properties[1].quality[0].implementation", "outliers"},
		{`{type: custom, engine: caos, implementation: {outliers: {method: mad}}}`, "schema[0].properties[1].quality[0].implementation.outliers.method", "iqr or zscore"},
		{`{type: custom, engine: caos, implementation: {outliers: {method: iqr, threshold: 3}}}`, "schema[0].properties[1].quality[0].implementation.outliers.threshold", "factor"},
		{`{type: custom, engine: caos, implementation: {outliers: {method: iqr, colour: 3}}}`, "schema[0].properties[1].quality[0].implementation.outliers.colour", ""},
		{`{type: custom, engine: caos, implementation: "outliers: {method: iqr, colour: 3}"}`, "schema[0].properties[1].quality[0].implementation.outliers.colour", ""},
		{`{type: custom, engine: caos, implementation: {freshness: {maxAge: soon}}}`, "schema[0].properties[1].quality[0].implementation.freshness.maxAge", "36h"},
		{`{type: custom, engine: caos, implementation: {range: {}}}`, "schema[0].properties[1].quality[0].implementation.range", "min or max"},
		{`{type: custom, engine: caos, implementation: {range: {min: 3, max: 1}}}`, "schema[0].properties[1].quality[0].implementation.range.min", "above max"},
		{`{type: custom, engine: caos, implementation: {referentialIntegrity: {references: airports}}}`, "schema[0].properties[1].quality[0].implementation.referentialIntegrity.references", "table.column"},
		{`{type: custom, engine: caos, implementation: {distribution: {shares: {x: 0.8, y: 0.4}, tolerance: 0.1}}}`, "schema[0].properties[1].quality[0].implementation.distribution.shares", "parts of 1"},
		{`{type: custom, engine: caos, implementation: {distribution: {shares: {x: 0.5}}}}`, "schema[0].properties[1].quality[0].implementation.distribution.tolerance", "required"},
		{`object: {type: custom, engine: caos, implementation: {range: {min: 1}}}`, "schema[0].quality[0].implementation.range.property", "required"},
		{`{type: custom, engine: caos, implementation: {statistic: {statistic: mode, min: 1}}}`, "schema[0].properties[1].quality[0].implementation.statistic.statistic", "mean"},
		{`{type: custom, engine: caos, implementation: {compare: {operator: "~", right: a}}}`, "schema[0].properties[1].quality[0].implementation.compare.operator", "<="},
		{`{type: text, description: x, mustBe: 0}`, "schema[0].properties[1].quality[0]", ""},
	} {
		_, err := Parse([]byte(withCheck(c.check)))
		var e *caos.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", c.check, err)
			continue
		}
		if e.Kind != caos.Invalid || !strings.HasPrefix(e.Field, c.field) || !strings.Contains(e.Message+" "+e.Hint, c.says) {
			t.Errorf("%s:\n got %s %s | %s | %s\nwant %s … %s", c.check, e.Kind, e.Field, e.Message, e.Hint, c.field, c.says)
		}
	}
}

func TestParseRefusesDocuments(t *testing.T) {
	good := withCheck(`{metric: nullValues, mustBe: 0}`)
	mustParse(t, good)
	for _, c := range []struct{ old, new, field string }{
		{"apiVersion: v3.1.0", "apiVersion: v3.0.2", "apiVersion"},
		{"apiVersion: v3.1.0", "apiVersion: v9", "apiVersion"},
		{"id: 95-00-09-02-004", "id: flights", "id"},
		{"version: 1.0.0", `version: ""`, "version"},
		{"status: active", "statuss: active", "status"},
		{"status: active", "status: active\nfavourite: x", "favourite"},
		{"status: active", "status: active\ndescription: {colour: x}", "description.colour"},
		{"kind: DataContract", "kind: Recipe", "kind"},
		{"- name: a\n", "- name: b\n", "schema[0].properties[1].name"},
		{"- name: a\n", "- {name: a, physicalName: b}\n", "schema[0].properties[1].physicalName"},
		{"- name: a\n", "- {name: a, logicalType: integer, logicalTypeOptions: {format: i32}}\n", "schema[0].properties[0].logicalTypeOptions.format"},
		{"- name: a\n", "- {name: a, logicalType: integer, logicalTypeOptions: {minimum: 5, maximum: 3}}\n", "schema[0].properties[0].logicalTypeOptions.min"},
		{"- name: a\n", "- {name: a, logicalType: array, items: {name: x, required: true}}\n", "schema[0].properties[0]"},
		{"- name: a\n", "- {name: a, relationships: [{to: airports/id/properties/x}]}\n", "schema[0].properties[0].relationships[0].to"},
		{"- name: a\n", "- {name: a, colour: red}\n", "schema[0].properties[0]"},
		{"- {metric: nullValues, mustBe: 0}", "- {id: x, metric: nullValues, mustBe: 0}\n    - {id: x, metric: nullValues, mustBe: 0}", "schema[0].properties[1].quality[1].id"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if text == good {
			t.Fatalf("%q is not in the document", c.old)
		}
		_, err := Parse([]byte(text))
		var e *caos.Error
		if !errors.As(err, &e) || e.Kind != caos.Invalid || !strings.HasPrefix(e.Field, c.field) {
			t.Errorf("%s: got %#v, want %s", c.new, err, c.field)
		}
	}
	if _, err := Parse([]byte(good + strings.Repeat("#", maxBytes))); caos.KindOf(err) != caos.TooLarge {
		t.Error(err)
	}
	many := good + strings.Repeat("    - {metric: nullValues, mustBe: 0}\n", maxChecks)
	if _, err := Parse([]byte(many)); caos.KindOf(err) != caos.TooLarge {
		t.Error(err)
	}
}

func TestParseMakesChecks(t *testing.T) {
	c := mustParse(t, `
apiVersion: v3.1.0
kind: DataContract
id: 95-00-09-02-004
version: 1.2.0
status: active
description: {purpose: Flights for training.}
schema:
- name: airports
  physicalName: airports_v2
  properties:
  - {name: code, physicalName: iata}
- name: flights
  properties:
  - {name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 2}
  - {name: day, logicalType: date, primaryKey: true, primaryKeyPosition: 1}
  - {name: origin, required: true, relationships: [{to: airports.code}]}
  - {name: tail, unique: true, logicalType: string, logicalTypeOptions: {minLength: 4, maxLength: 6, pattern: "^N"}}
  - name: delay
    classification: confidential
    quality:
    - {type: text, description: Delays are minutes.}
    - {metric: nullValues, mustBe: 0, customProperties: [{property: weight, value: 2.5}]}
    - {metric: nullValues, mustBeLessThan: 5, unit: percent, severity: warning}
    - {id: far, type: custom, engine: caos, severity: info, dimension: consistency, implementation: "outliers: {method: iqr}"}
`)
	o := &c.Objects[1]
	var got []string
	for _, k := range o.Checks {
		got = append(got, k.ID+" "+k.Kind+" "+k.Dimension+" "+k.Severity)
	}
	want := []string{"id.type schema conformity error", "day.type schema conformity error", "origin.present schema conformity error",
		"origin.required schema completeness error", "origin.foreignKey schema consistency error", "tail.type schema conformity error",
		"tail.unique schema uniqueness error", "tail.length schema conformity error", "tail.pattern schema conformity error",
		"delay.present schema conformity error", "delay.nullValues library completeness error", "delay.nullValues-2 library completeness warning",
		"far custom consistency info", "day-id.primaryKey schema uniqueness error"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	fk := o.Checks[4]
	if fk.rule.table != "airports_v2" || fk.rule.columns[0] != "iata" {
		t.Errorf("%+v", fk.rule)
	}
	if o.Checks[10].Weight != 2.5 || len(o.Texts) != 1 || c.Description == "" || !strings.HasPrefix(c.Digest, "SHA256:") {
		t.Errorf("%+v %v %+v", o.Checks[10], o.Texts, c)
	}
	if far := o.Checks[12]; far.Operator != "" || far.rule.factor != 1.5 {
		t.Errorf("%+v", far)
	}
}

func TestParseAge(t *testing.T) {
	for s, hours := range map[string]float64{"36h": 36, "7d": 168, "1d12h": 36, "90m": 1.5, "0": -1, "": -1, "-3h": -1, "3 d": -1, "d": -1, "0d": -1, "1e9h": -1} {
		d, ok := parseAge(s)
		if ok != (hours > 0) || ok && d.Hours() != hours {
			t.Errorf("%q: %v %v", s, d, ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(withCheck(`{metric: nullValues, mustBe: 0}`))
	f.Add(withCheck(`{metric: invalidValues, mustBe: 0, arguments: {validValues: [1, "x", null, true, 1e300], pattern: "^a|b$"}}`))
	f.Add(withCheck(`{type: custom, engine: caos, implementation: "distribution: {shares: {x: 0.5}, tolerance: 0.1}"}`))
	f.Add(withCheck(`{type: sql, query: "SELECT max({property}) FROM ${table}", mustBeBetween: [0, 5]}`))
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse([]byte(text))
		if err != nil {
			if caos.KindOf(err) != caos.Invalid && caos.KindOf(err) != caos.TooLarge {
				t.Fatalf("%v", err)
			}
			return
		}
		for i := range c.Objects {
			o := &c.Objects[i]
			var columns []Column
			for j, p := range o.Properties {
				columns = append(columns, Column{p.Column(), []string{"DOUBLE", "VARCHAR", "DATE", "DECIMAL(5,2)", "INTEGER[]"}[j%5]})
			}
			k, err := o.Compile("t", columns, Options{Profile: true})
			if err != nil {
				if caos.KindOf(err) != caos.TooLarge {
					t.Fatal(err)
				}
				continue
			}
			out := k.Evaluate(nil)
			if out.Performed != len(o.Checks) || out.Passed+out.Failed != out.Performed {
				t.Fatalf("%+v", out)
			}
		}
	})
}

func FuzzImportExpectations(f *testing.F) {
	f.Add(`{"name":"s","expectations":[{"type":"expect_column_values_to_be_between","kwargs":{"column":"a","min_value":1,"mostly":0.9}}]}`)
	f.Add(`{"expectation_suite_name":"s","expectations":[{"expectation_type":"expect_column_values_to_match_regex","kwargs":{"column":"a\u007f\"'{object}","regex":"^x: [y]\n#"}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		out, report, err := ImportExpectations([]byte(text), "95-00-09-02-004", "1.0.0")
		if err != nil {
			if caos.KindOf(err) != caos.Invalid && caos.KindOf(err) != caos.TooLarge {
				t.Fatal(err)
			}
			if e := caos.AsError(err); strings.Contains(e.Hint, "what came out is no contract") {
				t.Fatalf("%v: %s\n%s", err, e.Hint, text)
			}
			return
		}
		if len(report.Mapped) == 0 {
			t.Fatal("nothing mapped, and no error")
		}
		if _, err := Parse(out); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	})
}
