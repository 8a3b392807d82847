package contract

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// evilNames are names that would do something if they were not quoted.
func evilNames() []string {
	return []string{`"`, `""`, `'`, `a"b`, `a""; SELECT 1; --`, "line\nbreak", "tab\there", "select", "ORDER", "table", `\`, `\"`, "é", "日本", "🛩", "a b", " lead", "trail ", "--", "/* x */",
		"$1", "?", "{object}", "{property}", "%s", "a.b", "t", "b", "s", "c0", "a0", "d0", "x", "y", "*", "(", ";", "\u202ex", " ", "'; DROP TABLE t; --", `" || (SELECT 1) || "`, "NULL", "1"}
}

// evilObject has a column of each name with checks of every kind that writes the name.
func evilObject(names []string) (*Object, []Column, string) {
	o := &Object{Name: "evil"}
	var columns []Column
	var cells []string
	for i, name := range names {
		o.Properties = append(o.Properties, Property{Name: name})
		columns = append(columns, Column{name, "VARCHAR"})
		cells = append(cells, "CASE WHEN i = "+strconv.Itoa(i)+" THEN "+quoteText(name)+" ELSE 'x' END AS "+quoteName(name))
		add := func(metric string, r rule) {
			o.Checks = append(o.Checks, Check{ID: fmt.Sprintf("%s-%d", metric, i), Metric: metric, Kind: KindCustom, Properties: []string{name}, Operator: "mustBe", Bounds: []float64{0}, Unit: "rows", Weight: 1, Severity: "error", rule: r})
		}
		add("nullValues", rule{})
		add("duplicateValues", rule{})
		add("invalidValues", rule{valid: []literal{{isText: true, text: name}}})
		if i%6 == 0 { // a join each
			add("referentialIntegrity", rule{table: names[len(names)-1], columns: []string{name}})
		}
		add("sql", rule{query: "SELECT count(*) - count(DISTINCT {property}) FROM {object}"})
		o.Checks[len(o.Checks)-1].Kind = KindSQL
	}
	return o, columns, "SELECT " + strings.Join(cells, ", ") + " FROM range(60) AS r(i)"
}

func checkEvil(t *testing.T, names []string) {
	o, columns, sql := evilObject(names)
	table, other := "tidy", names[len(names)-1]
	k, err := o.Compile(table, columns, Options{Profile: true, Tables: map[string][]Column{other: columns}})
	if err != nil {
		t.Fatal(err)
	}
	steps := append([]Statement{{Name: table, SQL: sql, Table: true}}, k.Steps...)
	// The worker names its tables with letters; a name that it would not give is looked up by
	// a query of its own below, here the other table has a plain name.
	for i := range steps {
		steps[i].SQL = strings.ReplaceAll(steps[i].SQL, " FROM "+quoteName(other)+" AS r", ` FROM "tidy" AS r`)
	}
	res, f := runSQL(t, steps, k.Queries, data{})
	if f != nil {
		t.Fatalf("%q: %s %s", names, f.Name, f.Message)
	}
	out := k.Evaluate(res)
	for _, r := range out.Checks {
		name := r.Properties[0]
		want := map[string]float64{"nullValues": 0, "referentialIntegrity": 0, "duplicateValues": 58, "sql": 58, "invalidValues": 59}[r.Metric]
		if name == "x" {
			want = map[string]float64{"nullValues": 0, "referentialIntegrity": 0, "duplicateValues": 59, "sql": 59, "invalidValues": 0}[r.Metric]
		}
		if r.CannotRun || r.Measured == nil || *r.Measured != want {
			t.Errorf("%q %s: %v %s %s", name, r.Metric, r.Measured, r.Value, r.Message)
		}
	}
}

func TestEvilNames(t *testing.T) { checkEvil(t, evilNames()) }

func TestQuoting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		if q := quoteName(s); len(q) < 2 || strings.ReplaceAll(q[1:len(q)-1], `""`, `"`) != s || strings.Contains(strings.ReplaceAll(q[1:len(q)-1], `""`, ""), `"`) {
			t.Fatal(q)
		}
		if q := quoteText(s); strings.ReplaceAll(q[1:len(q)-1], "''", "'") != s || strings.Contains(strings.ReplaceAll(q[1:len(q)-1], "''", ""), "'") {
			t.Fatal(q)
		}
	})
}

// FuzzNames sends a name through the real engine. Without -fuzz it runs its corpus.
func FuzzNames(f *testing.F) {
	f.Add("a\"b'c")
	f.Add("\u202e;--\n")
	f.Fuzz(func(t *testing.T, name string) {
		if !sayable(name) || len(name) > maxName || strings.EqualFold(name, "plain") || strings.ToLower(name) != name || name == "x" {
			return
		}
		checkEvil(t, []string{name, "plain"})
	})
}

func TestClasses(t *testing.T) {
	for typ, want := range map[string]class{"VARCHAR": classText, "ENUM('a', 'b')": classText, "UUID": classText, "HUGEINT": classInteger, "DECIMAL(5,2)": classDecimal,
		"float": classFloat, "BOOLEAN": classBool, "DATE": classDate, "TIMESTAMP_NS": classTimestamp, "TIMESTAMP WITH TIME ZONE": classTimestampTZ, "TIME": classTime,
		"INTEGER[]": classOther, "INTEGER[3]": classOther, "STRUCT(a VARCHAR)": classOther, "MAP(INTEGER, DATE)": classOther, "BLOB": classOther, "INTERVAL": classOther, "": classOther} {
		if got := classOf(typ); got != want {
			t.Errorf("%s: %d", typ, got)
		}
	}
	for a, b := range map[string]string{"int": "INTEGER", "varchar(20)": "VARCHAR", "numeric(5, 2)": "DECIMAL(5,2)", "timestamptz": "TIMESTAMP WITH TIME ZONE", "double  precision": "DOUBLE", "text[]": "TEXT[]"} {
		if physicalType(a) != physicalType(b) {
			t.Errorf("%s is %s, %s is %s", a, physicalType(a), b, physicalType(b))
		}
	}
	if physicalType("VARCHAR[]") == physicalType("VARCHAR") || physicalType("VARCHAR(3)[]") == physicalType("VARCHAR") {
		t.Error("a list is no text")
	}
}

// TestOracle compares the SQL with plain loops over random small tables.
func TestOracle(t *testing.T) {
	checks := []string{
		"f | {id: nulls, metric: nullValues, mustBe: 0}",
		"f | " + caosCheck("range", "range: {min: -1, max: 2}"),
		"f | " + caosCheck("low", "range: {min: 0, exclusiveMin: true}"),
		"f | {id: valid, metric: invalidValues, mustBe: 0, arguments: {validValues: [0, 1, 2.5]}}",
		"f | {id: dup, metric: duplicateValues, mustBe: 0}",
		"f | " + caosCheck("iqr", "outliers: {method: iqr}"),
		"f | " + caosCheck("z", "outliers: {method: zscore, threshold: 1}"),
		"f | " + caosCheck("mean", "statistic: {statistic: mean, min: 0}"),
		"f | " + caosCheck("median", "statistic: {statistic: median, min: 0}"),
		"s | {id: missing, metric: missingValues, mustBe: 0, arguments: {missingValues: [null, '', b]}}",
		"s | {id: pat, metric: invalidValues, mustBe: 0, arguments: {pattern: '^[ab]$'}}",
		"s | " + caosCheck("fk", "referentialIntegrity: {references: keys.k}"),
		" | {id: both, metric: duplicateValues, mustBe: 0, arguments: {properties: [s, i]}}",
		"i | " + caosCheck("cmp", "compare: {operator: '<', right: f}"),
		"i | " + caosCheck("quart", "outliers: {method: iqr, factor: 0.5}"),
	}
	cols := []Column{{"f", "DOUBLE"}, {"s", "VARCHAR"}, {"i", "INTEGER"}}
	o := mustParse(t, contractOf(cols, checks)).Objects[0]
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	rng := rand.New(rand.NewPCG(7, uint64(rounds)))
	for range rounds {
		var rows []row
		for range rng.IntN(40) {
			rows = append(rows, randomRow(rng))
		}
		out := judge2(t, &o, rows, cols)
		compareOracle(t, rows, out)
	}
}

type row struct {
	f, i *float64
	s    *string
}

func randomRow(rng *rand.Rand) row {
	var r row
	if rng.IntN(6) > 0 {
		v := []float64{0, math.Copysign(0, -1), 1, 2.5, -3, 2, 1e200, math.NaN(), math.Inf(1), math.Inf(-1), 7, 0.5, rng.NormFloat64()}[rng.IntN(13)]
		r.f = &v
	}
	if rng.IntN(6) > 0 {
		v := []string{"", "a", "b", "c", "A", "a\n"}[rng.IntN(6)]
		r.s = &v
	}
	if rng.IntN(6) > 0 {
		v := float64(rng.IntN(8) * rng.IntN(8))
		r.i = &v
	}
	return r
}

func judge2(t *testing.T, o *Object, rows []row, cols []Column) *Outcome {
	k, err := o.Compile("data", cols, Options{Tables: map[string][]Column{"keys": {{"k", "VARCHAR"}}}})
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, r := range rows {
		f, s, i := "NULL", "NULL", "NULL"
		if r.f != nil {
			f = "'" + strconv.FormatFloat(*r.f, 'g', -1, 64) + "'"
		}
		if r.s != nil {
			s = quoteText(*r.s)
		}
		if r.i != nil {
			i = number(*r.i)
		}
		list = append(list, "(CAST("+f+" AS DOUBLE), CAST("+s+" AS VARCHAR), CAST("+i+" AS INTEGER))")
	}
	sql := "SELECT * FROM (VALUES " + strings.Join(list, ", ") + ") AS v(f, s, i)"
	if len(rows) == 0 {
		sql = "SELECT CAST(1 AS DOUBLE) AS f, 'a' AS s, CAST(1 AS INTEGER) AS i WHERE false"
	}
	steps := append([]Statement{{Name: "data", SQL: sql, Table: true}, {Name: "keys", SQL: "SELECT * FROM (VALUES ('a'), ('b'), (NULL)) AS v(k)", Table: true}}, k.Steps...)
	res, f := runSQL(t, steps, k.Queries, data{})
	if f != nil {
		t.Fatalf("%s %s", f.Name, f.Message)
	}
	return k.Evaluate(res)
}

func compareOracle(t *testing.T, rows []row, out *Outcome) {
	want := map[string]int{}
	var fs, is []float64
	seenF, seenPair := map[string]bool{}, map[string]bool{}
	add := func(name string, broken bool) {
		if broken {
			want[name]++
		}
	}
	for _, r := range rows {
		add("nulls", r.f == nil)
		if r.f != nil {
			f := *r.f
			add("range", !(f >= -1 && f <= 2))
			add("low", !(f > 0) || math.IsInf(f, 0))
			add("valid", !(f == 0 || f == 1 || f == 2.5))
			key := fmt.Sprint(f + 0)
			if f == 0 {
				key = "0"
			}
			add("dup", seenF[key])
			seenF[key] = true
			fs = append(fs, f)
			if r.i != nil {
				add("cmp", !(*r.i < f) || math.IsInf(f, 0) || math.IsNaN(f))
			}
		}
		add("missing", r.s == nil || *r.s == "" || *r.s == "b")
		if r.s != nil {
			add("pat", *r.s != "a" && *r.s != "b")
			add("fk", *r.s != "a" && *r.s != "b")
			if r.i != nil {
				key := fmt.Sprintf("%q %v", *r.s, *r.i)
				add("both", seenPair[key])
				seenPair[key] = true
			}
		}
		if r.i != nil {
			is = append(is, *r.i)
		}
	}
	flaggedF, usable := map[string]bool{}, usableOf(fs)
	fences := map[string][2]float64{}
	if len(usable) > 0 {
		q1, q3 := quantileOf(usable, 0.25), quantileOf(usable, 0.75)
		fences["iqr"] = [2]float64{q1 - 1.5*(q3-q1), q3 + 1.5*(q3-q1)}
		mean, sd := meanOf(usable)
		fences["z"] = [2]float64{mean - sd, mean + sd}
	}
	for _, name := range []string{"iqr", "z"} {
		for _, f := range fs {
			b, ok := fences[name]
			one := ok && usable[0] == usable[len(usable)-1]
			if one {
				b = [2]float64{usable[0], usable[0]}
			}
			out := !ok || !(f >= b[0] && f <= b[1])
			add(name, out)
			if out {
				k := fmt.Sprint(f)
				if f == 0 {
					k = "0"
				}
				flaggedF[k] = true
			}
		}
	}
	flaggedI := map[float64]bool{}
	if u := usableOf(is); len(u) > 0 && u[0] != u[len(u)-1] {
		q1, q3 := quantileOf(u, 0.25), quantileOf(u, 0.75)
		for _, v := range is {
			if v < q1-0.5*(q3-q1) || v > q3+0.5*(q3-q1) {
				want["quart"]++
				flaggedI[v] = true
			}
		}
	}
	if int(out.Anomalies) != len(flaggedF)+len(flaggedI) || int(out.Rows) != len(rows) {
		t.Errorf("anomalies %d, want %d; rows %d, want %d", out.Anomalies, len(flaggedF)+len(flaggedI), out.Rows, len(rows))
	}
	for _, r := range out.Checks {
		switch r.ID {
		case "mean", "median":
			if (r.Measured == nil) != (len(usable) == 0) {
				t.Errorf("%s: %+v of %v", r.ID, r, usable)
			} else if r.Measured != nil {
				m, _ := meanOf(usable)
				if r.ID == "median" {
					m = quantileOf(usable, 0.5)
				}
				if math.Abs(m-*r.Measured) > 1e-9*(1+math.Abs(m)) {
					t.Errorf("%s: %v, want %v", r.ID, *r.Measured, m)
				}
			}
		default:
			if !strings.HasSuffix(r.ID, ".present") && int(r.FailingRows) != want[r.ID] {
				t.Errorf("%s: %d, want %d; %s\n%s", r.ID, r.FailingRows, want[r.ID], r.Message, showRows(rows))
			}
		}
	}
}

func showRows(rows []row) string {
	var b strings.Builder
	for _, r := range rows {
		for _, p := range []*float64{r.f, r.i} {
			if p == nil {
				b.WriteString("null ")
			} else {
				fmt.Fprint(&b, *p, " ")
			}
		}
		b.WriteString("| ")
	}
	return b.String()
}

// usableOf returns what takes part in statistics, sorted.
func usableOf(list []float64) []float64 {
	var out []float64
	for _, f := range list {
		if math.Abs(f) <= 1e150 {
			out = append(out, f)
		}
	}
	slices.Sort(out)
	return out
}

func quantileOf(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	lo := int(at)
	if lo+1 >= len(sorted) {
		return sorted[lo]
	}
	return sorted[lo] + (sorted[lo+1]-sorted[lo])*(at-float64(lo))
}

func meanOf(list []float64) (mean, sd float64) {
	for _, f := range list {
		mean += f
	}
	mean /= float64(len(list))
	for _, f := range list {
		sd += (f - mean) * (f - mean)
	}
	return mean, math.Sqrt(sd / float64(len(list)-1))
}
