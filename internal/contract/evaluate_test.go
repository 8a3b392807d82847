package contract

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// flights is a table whose every count below was made by hand.
const flights = `SELECT * FROM (VALUES
 (1, 'AA', 10.0::DOUBLE, 5::SMALLINT, DATE '2026-01-01', TIMESTAMP '2026-01-01 10:00:00', TIMESTAMPTZ '2026-01-01 10:00:00+02', 1.10::DECIMAL(5,2), true, [1,2], {'a': 1}, 'SFO', 'f1'),
 (2, 'UA', 12.0, 7, DATE '2026-01-02', TIMESTAMP '2026-01-02 09:00:00', TIMESTAMPTZ '2026-01-02 10:00:00+00', 2.20, true, [3], {'a': 2}, 'JFK', 'f2'),
 (3, '', 11.0, 6, DATE '2026-01-03', TIMESTAMP '2026-01-03 11:00:00', NULL, 3.30, false, NULL, NULL, 'XXX', 'f3'),
 (4, NULL, 'nan', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
 (5, 'AA', 'inf', 9, DATE '2027-05-05', TIMESTAMP '2026-01-05 10:00:00', NULL, 999.99, true, [], {'a': 3}, 'SFO', 'f5'),
 (5, 'N/A', '-inf', 8, DATE '2026-01-04', TIMESTAMP '2026-01-06 10:00:00', NULL, 5.50, false, [4], {'a': 4}, 'LAX', 'F6'),
 (7, 'AA', -0.0, 100, 'infinity', TIMESTAMP '2026-01-07 10:00:00', NULL, 6.60, true, [5], {'a': 5}, 'SFO', 'f77'),
 (8, 'dl', 0.0, 6, DATE '2026-01-06', TIMESTAMP '2026-01-08 10:00:00', NULL, 7.70, true, [6], {'a': 6}, NULL, 'f8')
) AS v(id, carrier, delay, dep, day, "at", tz, price, ok, list, obj, origin, "evil "" name")`

func flightColumns() []Column {
	return []Column{{"id", "INTEGER"}, {"carrier", "VARCHAR"}, {"delay", "DOUBLE"}, {"dep", "SMALLINT"}, {"day", "DATE"}, {"at", "TIMESTAMP"},
		{"tz", "TIMESTAMP WITH TIME ZONE"}, {"price", "DECIMAL(5,2)"}, {"ok", "BOOLEAN"}, {"list", "INTEGER[]"}, {"obj", "STRUCT(a INTEGER)"}, {"origin", "VARCHAR"}, {`evil " name`, "VARCHAR"}}
}

// contractOf describes every column, with checks given as "property | check".
func contractOf(columns []Column, checks []string) string {
	var b strings.Builder
	b.WriteString("apiVersion: v3.1.0\nkind: DataContract\nid: 95-00-09-02-004\nversion: 1.0.0\nstatus: active\nschema:\n- name: data\n  properties:\n")
	by := map[string][]string{}
	for _, c := range checks {
		p, rest, _ := strings.Cut(c, " | ")
		by[p] = append(by[p], rest)
	}
	for _, c := range columns {
		fmt.Fprintf(&b, "  - name: %q\n", c.Name)
		if len(by[c.Name]) > 0 {
			b.WriteString("    quality:\n")
		}
		for _, k := range by[c.Name] {
			b.WriteString("    - " + k + "\n")
		}
	}
	if len(by[""]) > 0 {
		b.WriteString("  quality:\n")
	}
	for _, k := range by[""] {
		b.WriteString("  - " + k + "\n")
	}
	return b.String()
}

func caosCheck(id, implementation string) string {
	return "{id: " + id + ", type: custom, engine: caos, implementation: {" + implementation + "}}"
}

func TestEvaluate(t *testing.T) {
	now := time.Date(2026, 1, 9, 0, 0, 0, 0, time.UTC)
	type want struct {
		on, check string
		failing   int64
		passed    bool
		measured  float64 // -1: none
	}
	// Of 8 rows.
	wants := []want{
		{"carrier", "{id: X, metric: nullValues, mustBe: 1}", 1, true, 1},
		{"carrier", "{id: X, metric: nullValues, mustBeLessThan: 12.5, unit: percent}", 1, false, 12.5},
		{"carrier", "{id: X, metric: nullValues, mustBeLessOrEqualTo: 12.5, unit: percent}", 1, true, 12.5},
		{"carrier", "{id: X, metric: missingValues, mustBe: 3, arguments: {missingValues: [null, '', 'N/A']}}", 3, true, 3},
		{"carrier", "{id: X, metric: missingValues, mustBe: 0, arguments: {missingValues: ['n/a']}}", 0, true, 0},
		{"dep", "{id: X, metric: missingValues, mustBe: 1, arguments: {missingValues: [null, '', 100.5]}}", 1, true, 1}, // '' and 100.5 cannot be in it
		{"dep", "{id: X, metric: missingValues, mustBe: 2, arguments: {missingValues: [null, 100]}}", 2, true, 2},
		{"carrier", "{id: X, metric: invalidValues, mustBe: 0, arguments: {validValues: [AA, UA]}}", 3, false, 3},
		{"carrier", "{id: X, metric: invalidValues, mustBeBetween: [2, 4], arguments: {pattern: '^[A-Z]{2}$'}}", 3, true, 3},
		{"carrier", "{id: X, metric: invalidValues, mustBeBetween: [2, 3], arguments: {pattern: '^[A-Z]{2}$'}}", 3, false, 3}, // its bounds are outside
		{"carrier", "{id: X, metric: invalidValues, mustNotBeBetween: [2, 3], arguments: {pattern: '[A-Z]'}}", 2, true, 2},
		{"carrier", "{id: X, metric: invalidValues, mustBe: 3, arguments: {validValues: [AA, UA, dl], pattern: '^[A-Z]{2}$'}}", 3, true, 3},
		{"delay", "{id: X, metric: invalidValues, mustBe: 5, arguments: {validValues: [0, 10, 11.5]}}", 5, true, 5}, // -0 is 0
		{"delay", "{id: X, metric: missingValues, mustBe: 2, arguments: {missingValues: ['NaN', '-Infinity']}}", 2, true, 2},
		{"price", "{id: X, metric: invalidValues, mustBe: 5, arguments: {validValues: [1.1, 2.20, 5.505]}}", 5, true, 5},
		{"ok", "{id: X, metric: invalidValues, mustBe: 2, arguments: {validValues: [true]}}", 2, true, 2},
		{"day", "{id: X, metric: invalidValues, mustBe: 6, arguments: {validValues: ['2026-01-01']}}", 6, true, 6},
		{"carrier", "{id: X, metric: duplicateValues, mustBe: 2}", 2, true, 2}, // AA three times
		{"id", "{id: X, metric: duplicateValues, mustBeLessThan: 12.5, unit: percent}", 1, false, 12.5},
		{"delay", "{id: X, metric: duplicateValues, mustBe: 1}", 1, true, 1}, // 0 and -0 are one value
		{"list", "{id: X, metric: duplicateValues, mustBe: 0}", 0, true, 0},
		{"", "{id: X, metric: duplicateValues, mustBe: 0, arguments: {properties: [id, carrier]}}", 0, true, 0},
		{"", "{id: X, metric: duplicateValues, mustBe: 2, arguments: {properties: [carrier, origin]}}", 2, true, 2},
		{"", "{id: X, metric: rowCount, mustBe: 8}", 0, true, 8},
		{"", "{id: X, metric: rowCount, mustNotBe: 8}", 0, false, 8},
		{"delay", "{id: X, type: sql, query: 'SELECT count(*) FROM {object} WHERE ${column} > 5', mustBe: 5}", 0, true, 5}, // NaN is above all
		{`evil " name`, "{id: X, type: sql, query: 'SELECT count({property}) FROM ${table}', mustBe: 7}", 0, true, 7},
		{"ok", "{id: X, type: sql, query: 'SELECT bool_or({property}) FROM {object}', mustBe: true}", 0, true, 1},
		{"ok", "{id: X, type: sql, query: 'SELECT max(price) FROM {object}', mustBe: 999.99}", 0, true, 999.99},
		{"ok", "{id: X, type: sql, query: 'SELECT NULL', mustBe: 0}", 0, false, -1},
		{"ok", "{id: X, type: sql, query: 'SELECT price FROM {object}', mustBe: 0}", 0, false, -1},
		{"delay", caosCheck("X", "range: {min: 0, max: 11, mustBe: 4}"), 4, true, 4}, // 12, NaN, ±Inf
		{"delay", caosCheck("X", "range: {min: 0}"), 3, false, 3},
		{"delay", caosCheck("X", "range: {max: 100}"), 3, false, 3},
		{"delay", caosCheck("X", "range: {min: 0, exclusiveMin: true, max: 12, exclusiveMax: true}"), 6, false, 6},
		{"dep", caosCheck("X", "range: {max: 9.5}"), 1, false, 1},
		{"price", caosCheck("X", "range: {min: 1.105, max: 1000}"), 1, false, 1},
		{"price", caosCheck("X", "range: {max: 100000}"), 0, true, 0}, // no DECIMAL(5,2)
		{"day", caosCheck("X", "range: {min: '2026-01-02', max: '2026-12-31'}"), 3, false, 3},
		{"at", caosCheck("X", "range: {min: '2026-01-02T09:00:00Z'}"), 1, false, 1},
		{"tz", caosCheck("X", "range: {min: '2026-01-01T08:00:01Z'}"), 1, false, 1},
		{"carrier", caosCheck("X", "range: {min: A, max: Z, of: values, unit: percent, mustBeLessThan: 29}"), 2, true, 100.0 * 2 / 7},
		{"carrier", caosCheck("X", "length: {min: 2, max: 2}"), 2, false, 2},
		{"carrier", caosCheck("X", "values: {notIn: ['', 'N/A']}"), 2, false, 2},
		{"carrier", caosCheck("X", "values: {contains: [AA, BB, UA], mustBeLessOrEqualTo: 1}"), 0, true, 1},
		{"carrier", caosCheck("X", `regularExpression: {pattern: "[A-Z]{2}"}`), 3, false, 3},
		{"carrier", caosCheck("X", `regularExpression: {pattern: "[A-Z]", match: search}`), 2, false, 2},
		{"carrier", caosCheck("X", `regularExpression: {pattern: "/", match: search, not: true}`), 1, false, 1},
		{"id", caosCheck("X", "compare: {operator: '<=', right: dep}"), 1, false, 1},
		{"dep", caosCheck("X", "compare: {operator: '<', right: delay}"), 4, false, 4}, // 8 < -Inf, 100 < 0, 6 < 0, and Inf is no value
		{"day", caosCheck("X", "compare: {operator: '<=', right: at}"), 2, false, 2},
		{"origin", caosCheck("X", "referentialIntegrity: {references: airports.iata, mustBe: 1}"), 1, true, 1},
		{"origin", caosCheck("X", "referentialIntegrity: {properties: [origin, dep], references: [airports.iata, airports.n]}"), 4, false, 4},
		{"at", caosCheck("X", "freshness: {maxAge: 14h}"), 0, true, 14 * 3600},
		{"at", caosCheck("X", "freshness: {maxAge: 13h}"), 0, false, 14 * 3600},
		{"day", caosCheck("X", "freshness: {maxAge: 3d}"), 0, true, 3 * 24 * 3600}, // 2027 and infinity do not count
		{"dep", caosCheck("X", "outliers: {method: iqr}"), 1, true, -2},            // quartiles 6 and 8.5, fences 2.25 and 12.25
		{"dep", caosCheck("X", "outliers: {method: iqr, mustBe: 0}"), 1, false, 1},
		{"dep", caosCheck("X", "outliers: {method: zscore, threshold: 2, unit: percent, mustBeLessThan: 12.5}"), 1, false, 12.5},
		{"delay", caosCheck("X", "outliers: {method: iqr}"), 3, true, -2}, // NaN and infinities
		{"delay", caosCheck("X", "statistic: {statistic: mean, min: 6.6, max: 6.6}"), 0, true, 6.6},
		{"delay", caosCheck("X", "statistic: {statistic: median, min: 10, max: 10}"), 0, true, 10},
		{"dep", caosCheck("X", "statistic: {statistic: sum, min: 141, max: 141}"), 0, true, 141},
		{"dep", caosCheck("X", "statistic: {statistic: max, max: 100, exclusiveMax: true}"), 0, false, 100},
		{"day", caosCheck("X", "statistic: {statistic: min, min: '2026-01-01'}"), 0, true, float64(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro())},
		{"carrier", caosCheck("X", "statistic: {statistic: distinctCount, min: 5, max: 5}"), 0, true, 5},
		{"carrier", caosCheck("X", "statistic: {statistic: distinctShare, min: 0.7, max: 0.72}"), 0, true, 5.0 / 7},
		{"carrier", caosCheck("X", "statistic: {statistic: nullShare, max: 0.125}"), 0, true, 0.125},
		{"", caosCheck("X", "statistic: {statistic: columnCount, min: 13, max: 13}"), 0, true, 13},
		{"dep", caosCheck("X", "distribution: {quantiles: [{p: 0.5, min: 7, max: 7}], mean: {min: 20, max: 21}}"), 0, true, -2},
		{"ok", caosCheck("X", "distribution: {shares: {'true': 0.7}, tolerance: 0.02}"), 0, true, -2}, // 5 of 7
		{"ok", caosCheck("X", "distribution: {shares: {'true': 0.7, 'false': 0.1}, tolerance: 0.1}"), 0, false, -2},
		{"", caosCheck("X", "columns: {names: [id, carrier], exact: false}"), 0, true, 0},
		{"", caosCheck("X", "columns: {names: [id, nope]}"), 0, false, 13},
	}
	var checks []string
	for i, w := range wants {
		checks = append(checks, w.on+" | "+strings.Replace(w.check, "id: X", fmt.Sprintf("id: k%d", i), 1))
	}
	o := mustParse(t, contractOf(flightColumns(), checks)).Objects[0]
	k, err := o.Compile("data", flightColumns(), Options{Now: now, Profile: true, Tables: map[string][]Column{"airports": {{"iata", "VARCHAR"}, {"n", "BIGINT"}}}})
	if err != nil {
		t.Fatal(err)
	}
	steps := append([]Statement{{Name: "data", SQL: flights, Table: true},
		{Name: "airports", SQL: "SELECT * FROM (VALUES ('SFO', 5), ('JFK', 7), ('LAX', NULL), (NULL, 9)) AS v(iata, n)", Table: true}}, k.Steps...)
	res, f := runSQL(t, steps, k.Queries, data{})
	if f != nil {
		t.Fatalf("%s: %s\n%s", f.Name, f.Message, k.Steps[0].SQL)
	}
	out := k.Evaluate(res)
	by := map[string]CheckResult{}
	for _, r := range out.Checks {
		by[r.ID] = r
	}
	for i, w := range wants {
		r := by[fmt.Sprintf("k%d", i)]
		m := -1.0
		if r.Measured != nil {
			m = *r.Measured
		}
		if r.Passed != w.passed || r.FailingRows != w.failing || w.measured != -2 && (m-w.measured > 1e-9 || w.measured-m > 1e-9) {
			t.Errorf("%s | %s\n got %v, %d rows, measured %v: %s | %s | %s", w.on, w.check, r.Passed, r.FailingRows, m, r.Value, r.Expected, r.Message)
		}
	}
	if out.Rows != 8 || out.Anomalies != 4 { // 100 in dep; NaN and two infinities in delay
		t.Errorf("rows %d anomalies %d", out.Rows, out.Anomalies)
	}
	profiles := map[string]Profile{}
	for _, p := range out.Columns {
		profiles[p.Name] = p
	}
	delay := profiles["delay"]
	if *delay.Nulls != 0 || *delay.Invalid != 3 || *delay.Distinct != 7 || *delay.Mean != 6.6 || delay.Max != "12.0" || len(delay.Quantiles) != 5 {
		t.Errorf("%+v", delay)
	}
	var keys []string
	for _, s := range out.Samples {
		if s.Check == "k18" {
			keys = append(keys, s.Row["id"]+"×"+s.Row["(rows)"])
		}
	}
	if !slices.Equal(keys, []string{"5×2"}) {
		t.Errorf("duplicate keys shown: %v", keys)
	}
}

func TestCannotRun(t *testing.T) {
	cols := []Column{{"list", "INTEGER[]"}, {"text", "VARCHAR"}, {"n", "INTEGER"}, {"missing", ""}, {"Case", ""}}
	checks := []string{
		"list | {id: a, metric: invalidValues, mustBe: 0, arguments: {validValues: [1]}}",
		"list | " + caosCheck("b", "range: {min: 1}"),
		"text | " + caosCheck("c", "outliers: {method: iqr}"),
		"text | " + caosCheck("d", "freshness: {maxAge: 1d}"),
		"n | {id: e, metric: invalidValues, mustBe: 0, arguments: {pattern: x}}",
		"n | {id: f, metric: invalidValues, mustBe: 0, arguments: {validValues: [x]}}",
		"n | " + caosCheck("g", "range: {min: x}"),
		"n | " + caosCheck("h", "referentialIntegrity: {references: nowhere.x}"),
		"missing | {id: i, metric: nullValues, mustBe: 0}",
		"missing | {id: j, type: sql, query: 'SELECT count({property}) FROM {object}', mustBe: 0}",
		"n | " + caosCheck("k", "compare: {operator: '<', right: text}"),
		"n | " + caosCheck("l", "referentialIntegrity: {references: other.t}"),
	}
	o := mustParse(t, contractOf(cols, checks)).Objects[0]
	have := []Column{{"list", "INTEGER[]"}, {"text", "VARCHAR"}, {"n", "INTEGER"}, {"case", "INTEGER"}}
	k, err := o.Compile("data", have, Options{Now: time.Unix(0, 0), Tables: map[string][]Column{"other": {{"t", "INTEGER[]"}}}})
	if err != nil {
		t.Fatal(err)
	}
	out := k.Evaluate(map[string]Rows{"dq_totals": {Columns: []Column{{Name: "a0"}}, Rows: [][]any{{5}}}})
	n := 0
	for _, r := range out.Checks {
		if len(r.ID) == 1 {
			n++
			if !r.CannotRun || r.Passed || r.Message == "" || r.Message == "the worker gave no answer" {
				t.Errorf("%s: %+v", r.ID, r)
			}
		}
		if r.ID == "Case.present" && !strings.Contains(r.Message, `it has "case"`) {
			t.Error(r.Message)
		}
	}
	if n != len(checks) || out.Status != Fail {
		t.Errorf("%d of %d, %s", n, len(checks), out.Status)
	}
}

func TestVerdict(t *testing.T) {
	table := func(rows int) string {
		return fmt.Sprintf("SELECT i AS a, NULL::DOUBLE AS b FROM range(%d) AS r(i)", rows)
	}
	cols := []Column{{"a", "BIGINT"}, {"b", "DOUBLE"}}
	bare := "apiVersion: v3.1.0\nkind: DataContract\nid: 95-00-09-02-004\nversion: 1.0.0\nstatus: active\nschema:\n- name: data\n"
	for _, c := range []struct {
		name, contract string
		rows           int
		status         string
		score          float64 // -1: null
		reason         string
	}{
		{"nothing to check", bare, 3, Fail, -1, "no check"},
		{"no rows", contractOf(cols, nil), 0, Fail, 0, "no rows"},
		{"no rows, allowed", contractOf(cols, []string{" | {metric: rowCount, mustBeGreaterOrEqualTo: 0}", "a | {metric: nullValues, mustBeLessThan: 1, unit: percent}",
			"b | " + caosCheck("m", "statistic: {statistic: mean, min: 0}"), "b | " + caosCheck("d", "distribution: {quantiles: [{p: 0.5, min: 1}]}")}), 0, Pass, 1, ""},
		{"all null", contractOf(cols, []string{"b | " + caosCheck("m", "statistic: {statistic: mean, min: 0}")}), 4, Fail, 2.0 / 3, ""},
		{"all null, outliers", contractOf(cols, []string{"b | " + caosCheck("m", "outliers: {method: zscore}"), "b | " + caosCheck("n", "outliers: {method: iqr, mustBe: 0}")}), 4, Pass, 1, ""},
		{"pass", contractOf(cols, []string{"a | {metric: nullValues, mustBe: 0}"}), 4, Pass, 1, ""},
		{"warning", contractOf(cols, []string{"b | {metric: nullValues, mustBe: 0, severity: warning, customProperties: [{property: weight, value: 2}]}"}), 4, Warning, 0.5, ""},
		{"info", contractOf(cols, []string{"b | {metric: nullValues, mustBe: 0, severity: info}"}), 4, Warning, 2.0 / 3, ""},
		{"error", contractOf(cols, []string{"b | {metric: nullValues, mustBe: 0}", "b | {metric: nullValues, mustBe: 0, severity: info}"}), 4, Fail, 0.5, ""},
	} {
		o := mustParse(t, c.contract).Objects[0]
		out := judge(t, &o, table(c.rows), cols, Options{Now: time.Unix(1e9, 0)})
		score := -1.0
		if out.Score != nil {
			score = *out.Score
		}
		if out.Status != c.status || score != c.score || !strings.Contains(out.Reason, c.reason) || out.Blocked != (c.status == Fail) {
			t.Errorf("%s: %s %v %q blocked %v; %+v", c.name, out.Status, score, out.Reason, out.Blocked, out.Checks)
		}
		if _, ok := out.Dimensions["consistency"]; !ok {
			t.Errorf("%v", slices.Collect(maps.Keys(out.Dimensions)))
		}
	}
}

func TestDrop(t *testing.T) {
	cols := []Column{{"a", "BIGINT"}}
	o := mustParse(t, contractOf(cols, []string{"a | {id: bad, type: sql, query: 'SELECT nothing FROM {object}', mustBe: 0}", "a | {id: worse, type: sql, query: 'SELECT count(*) FROM other', mustBe: 0}", "a | {id: good, type: sql, query: 'SELECT count(*) FROM {object}', mustBe: 2}"})).Objects[0]
	k, err := o.Compile("data", cols, Options{})
	if err != nil {
		t.Fatal(err)
	}
	steps := append([]Statement{{Name: "data", SQL: "SELECT 1 AS a UNION ALL SELECT 2", Table: true}}, k.Steps...)
	for tries := 0; ; tries++ {
		res, f := runSQL(t, steps, k.Queries, data{})
		if f != nil {
			if tries > 2 || !k.Drop(f.Name, f.Message) {
				t.Fatalf("%+v", f)
			}
			continue
		}
		out := k.Evaluate(res)
		for _, r := range out.Checks {
			if cannot := r.ID == "bad" || r.ID == "worse"; r.CannotRun != cannot || r.Passed == cannot {
				t.Errorf("%+v", r)
			}
		}
		break
	}
	if k.Drop("dq_totals", "x") || k.Drop("", "x") {
		t.Error("a query of ours was dropped")
	}
}

func TestSamplesAreRedacted(t *testing.T) {
	text := strings.Replace(contractOf([]Column{{"id", ""}, {"name", ""}, {"age", ""}}, []string{"age | " + caosCheck("r", "range: {max: 100}"), "name | {id: n, metric: duplicateValues, mustBe: 0}", "age | " + caosCheck("o", "outliers: {method: iqr}")}),
		`- name: "name"`, `- name: "name"`+"\n    classification: confidential", 1)
	text = strings.Replace(text, `- name: "id"`, `- name: "id"`+"\n    primaryKey: true", 1)
	o := mustParse(t, text).Objects[0]
	cols := []Column{{"id", "BIGINT"}, {"name", "VARCHAR"}, {"age", "INTEGER"}}
	sql := "SELECT i AS id, 'secret' || (i % 50) AS name, CASE WHEN i % 10 = 0 THEN 900 + i ELSE i % 7 END::INTEGER AS age FROM range(100) AS r(i)"
	var first *Outcome
	for range 2 {
		out := judge(t, &o, sql, cols, Options{MaxSamples: 3, Redact: map[string]bool{"age": true}, Profile: true})
		count := map[string]int{}
		for _, s := range out.Samples {
			count[s.Check]++
			if strings.Contains(fmt.Sprint(s.Row), "secret") || s.Row["age"] != "" && s.Row["age"] != "(redacted)" {
				t.Errorf("%+v", s)
			}
			if s.Check == "r" && s.Row["id"] == "" {
				t.Errorf("no key: %+v", s)
			}
		}
		if count["r"] != 3 || count["n"] != 3 || count["o"] != 3 {
			t.Errorf("%v", count)
		}
		for _, p := range out.Columns {
			if p.Redacted != (p.Name != "id") || p.Redacted && (p.Min != "" || p.Mean != nil || len(p.Quantiles) > 0 || p.Upper != nil) {
				t.Errorf("%+v", p)
			}
		}
		if first != nil && fmt.Sprint(first.Samples) != fmt.Sprint(out.Samples) {
			t.Error("the sample changed")
		}
		first = out
	}
}
