package contract

import (
	"encoding/json"
	"math/big"
	"slices"
	"strings"
)

// This file maps expectations on types, distributions, and several columns at once. The last
// become queries, because Great Expectations' treatment of missing values in them is no
// check of the engine.

// typed sets the logical type of a column.
func (x *mapping) typed() error {
	column, err := x.column()
	if err != nil {
		return err
	}
	var names []string
	if s, ok := x.args.text("type_"); ok {
		names = []string{s}
	} else {
		list, err := x.args.list("type_list")
		if err != nil {
			return unmapped("it names no type")
		}
		for _, l := range list {
			names = append(names, l.text)
		}
	}
	logical := ""
	for _, n := range names {
		l := logicalOf(n)
		switch {
		case l == "":
			return unmapped("its type " + clip(n) + " has no logical type")
		case logical == "" || logical == l:
			logical = l
		case logical+l == "integernumber" || logical+l == "numberinteger":
			logical = "number"
		default:
			return unmapped("its types are of several kinds")
		}
	}
	p := x.property(column)
	if p.logical != "" && p.logical != logical {
		return unmapped("the suite gives the column another type before")
	}
	p.logical = logical
	x.checks = append(x.checks, plainID(column)+".type")
	x.notef("any type of the kind %s is accepted", logical)
	if x.severity != SeverityError {
		x.notef("another type is always an error here")
	}
	return nil
}

// logicalOf tells the standard's logical type of a type's name in pandas, Spark or SQL.
func logicalOf(name string) string {
	n := strings.ToLower(strings.TrimSuffix(strings.TrimSpace(name), "Type"))
	switch {
	case strings.HasPrefix(n, "datetime64"):
		return "timestamp"
	case strings.HasPrefix(n, "decimal"), strings.HasPrefix(n, "numeric"):
		return "number"
	case strings.HasPrefix(n, "varchar"), strings.HasPrefix(n, "char"):
		return "string"
	}
	switch n {
	case "int", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "integer", "bigint", "smallint", "tinyint", "hugeint", "long", "short":
		return "integer"
	case "float", "float16", "float32", "float64", "double", "real", "double_precision", "double precision", "number":
		return "number"
	case "str", "string", "object", "text", "unicode":
		return "string"
	case "bool", "boolean", "bool_":
		return "boolean"
	case "date":
		return "date"
	case "datetime", "timestamp":
		return "timestamp"
	case "time":
		return "time"
	}
	return ""
}

func (x *mapping) quantiles() error {
	column, err := x.column()
	if err != nil {
		return err
	}
	if v, ok := x.args["allow_relative_error"]; ok && v != nil && v != false {
		x.notef("quantiles are exact here")
	}
	ranges, _ := x.args["quantile_ranges"].(map[string]any)
	ps, _ := ranges["quantiles"].([]any)
	values, _ := ranges["value_ranges"].([]any)
	if len(ps) == 0 || len(ps) != len(values) || len(ps) > 50 {
		return unmapped("its quantile_ranges have no quantiles with as many value_ranges")
	}
	var list []any
	for i := range ps {
		pair, _ := values[i].([]any)
		p, ok := toLiteral(ps[i])
		if len(pair) != 2 || !ok || !p.number() {
			return unmapped("its quantile_ranges are no numbers with pairs of numbers")
		}
		q := fields{{"p", p.toAny()}}
		for j, key := range []string{"min", "max"} {
			switch l, ok := toLiteral(pair[j]); {
			case ok && l.null:
			case ok && l.number():
				q = append(q, member{key, l.toAny()})
			default:
				return unmapped("its value_ranges are no numbers")
			}
		}
		if len(q) > 1 {
			list = append(list, q)
		}
	}
	if len(list) == 0 {
		return unmapped("it has no bound")
	}
	x.notef("a quantile between two values is interpolated here; Great Expectations takes the nearest value")
	x.custom(column, "distribution", member{"quantiles", list})
	return nil
}

func (x *mapping) nonNullShare() error {
	column, err := x.column()
	if err != nil {
		return err
	}
	out := []member{{"statistic", "nullShare"}}
	for _, s := range []struct{ arg, strict, key, exclusive string }{{"max_value", "strict_max", "min", "exclusiveMin"}, {"min_value", "strict_min", "max", "exclusiveMax"}} {
		l, ok := x.args.scalar(s.arg)
		if !ok {
			continue
		}
		r, ok := new(big.Rat).SetString(l.text)
		if !l.number() || !ok || len(l.text) > 30 {
			return unmapped("its " + s.arg + " is no number")
		}
		text := new(big.Rat).Sub(big.NewRat(1, 1), r).FloatString(15)
		out = append(out, member{s.key, json.Number(strings.TrimSuffix(strings.TrimRight(text, "0"), "."))})
		if x.args.flag(s.strict) {
			out = append(out, member{s.exclusive, true})
		}
	}
	if len(out) == 1 {
		return unmapped("it has no bound")
	}
	x.custom(column, "statistic", out...)
	return nil
}

func (x *mapping) strftime() error {
	column, err := x.column()
	if err != nil {
		return err
	}
	format, ok := x.args.text("strftime_format")
	if !ok || format == "" {
		return unmapped("it has no format")
	}
	f, err := sqlLiteral(literal{isText: true, text: format})
	if err != nil {
		return err
	}
	x.notef("the format is read by another program, to which few directives mean something else")
	return x.brokenRows(column, []string{column}, func(c []string) (string, string) {
		return c[0] + " IS NOT NULL", "try_strptime(CAST(" + c[0] + " AS VARCHAR), " + f + ") IS NULL"
	})
}

func (x *mapping) jsonParseable() error {
	column, err := x.column()
	if err != nil {
		return err
	}
	return x.brokenRows(column, []string{column}, func(c []string) (string, string) {
		return c[0] + " IS NOT NULL", "NOT json_valid(CAST(" + c[0] + " AS VARCHAR))"
	})
}

func (x *mapping) mostCommon() error {
	column, err := x.column()
	if err != nil {
		return err
	}
	list, err := x.args.list("value_set")
	if err != nil {
		return err
	}
	c, err := x.sqlName(column)
	if err != nil {
		return err
	}
	var values []string
	for _, l := range list {
		v, err := sqlLiteral(l)
		if err != nil {
			return err
		}
		values = append(values, v)
	}
	x.property(column)
	in := "v IN (" + strings.Join(values, ", ") + ")"
	verdict := "CASE WHEN count(*) = 1 AND bool_and(" + in + ") THEN 0 ELSE 1 END"
	if x.args.flag("ties_okay") {
		verdict = "CASE WHEN bool_or(" + in + ") THEN 0 ELSE 1 END"
	}
	x.rule(column, member{"type", "sql"}, member{"query", "SELECT " + verdict + " FROM (SELECT " + c + " AS v, count(*) AS n, max(count(*)) OVER () AS m FROM {object} WHERE " + c +
		" IS NOT NULL GROUP BY " + c + ") AS g WHERE n = m"}, member{"mustBe", json.Number("0")})
	return nil
}

// brokenRows makes a query that counts rows, or their percentage where mostly allows some:
// of those for which the first condition holds, those for which the second does.
func (x *mapping) brokenRows(at string, columns []string, conditions func(c []string) (of, broken string)) error {
	m, err := x.args.mostly()
	if err != nil {
		return err
	}
	var quoted []string
	for _, name := range columns {
		c, err := x.sqlName(name)
		if err != nil {
			return err
		}
		quoted = append(quoted, c)
	}
	for _, name := range columns {
		x.property(name)
	}
	of, broken := conditions(quoted)
	rest := new(big.Rat).Sub(big.NewRat(1, 1), m)
	if rest.Sign() == 0 {
		x.rule(at, member{"type", "sql"}, member{"query", "SELECT count(*) FROM {object} WHERE " + of + " AND " + broken}, member{"mustBe", json.Number("0")})
		return nil
	}
	x.rule(at, member{"type", "sql"}, member{"query", "SELECT coalesce(100.0 * count(*) FILTER (WHERE " + broken + ") / nullif(count(*), 0), 0) FROM {object} WHERE " + of},
		member{"mustBeLessOrEqualTo", percentOf(rest)}, member{"unit", "percent"})
	return nil
}

// relevant is the condition under which a row with missing values takes part.
func (x *mapping) relevant(c []string, def string) (string, error) {
	how, _ := x.args.text("ignore_row_if")
	var all, any []string
	for _, name := range c {
		all, any = append(all, name+" IS NULL"), append(any, name+" IS NOT NULL")
	}
	switch orElse(how, def) {
	case "both_values_are_missing", "all_values_are_missing":
		return "NOT (" + strings.Join(all, " AND ") + ")", nil
	case "either_value_is_missing", "any_value_is_missing":
		return strings.Join(any, " AND "), nil
	case "neither", "never":
		return "TRUE", nil
	}
	return "", unmapped("its ignore_row_if is not known: " + clip(how))
}

// several maps an expectation on several columns.
func (x *mapping) several(names []string, def string, broken func(c []string) string) error {
	if _, err := x.relevant(names, def); err != nil {
		return err
	}
	return x.brokenRows("", names, func(c []string) (string, string) {
		of, _ := x.relevant(c, def)
		return of, broken(c)
	})
}

func (x *mapping) pairNames() ([]string, error) {
	a, okA := x.args.text("column_A")
	b, okB := x.args.text("column_B")
	if !okA || !okB || a == b {
		return nil, unmapped("it names no two columns")
	}
	return []string{a, b}, nil
}

func (x *mapping) pairGreater() error {
	if x.args.flag("or_equal") {
		return x.pair(">=")
	}
	return x.pair(">")
}

func (x *mapping) pair(op string) error {
	names, err := x.pairNames()
	if err != nil {
		return err
	}
	return x.several(names, "both_values_are_missing", func(c []string) string {
		return "(" + c[0] + " " + op + " " + c[1] + ") IS NOT TRUE"
	})
}

func (x *mapping) pairInSet() error {
	names, err := x.pairNames()
	if err != nil {
		return err
	}
	pairs, _ := x.args["value_pairs_set"].([]any)
	if len(pairs) == 0 || len(pairs) > 500 {
		return unmapped("its value_pairs_set is no list of at most 500 pairs")
	}
	var literals [][2]string
	for _, p := range pairs {
		pair, _ := p.([]any)
		if len(pair) != 2 {
			return unmapped("its value_pairs_set holds something that is no pair")
		}
		var two [2]string
		for i := range pair {
			l, ok := toLiteral(pair[i])
			if !ok {
				return unmapped("its value_pairs_set holds something that is no scalar")
			}
			if two[i], err = sqlLiteral(l); err != nil {
				return err
			}
		}
		literals = append(literals, two)
	}
	return x.several(names, "both_values_are_missing", func(c []string) string {
		var any []string
		for _, l := range literals {
			any = append(any, "("+c[0]+" = "+l[0]+" AND "+c[1]+" = "+l[1]+")")
		}
		return "(" + strings.Join(any, " OR ") + ") IS NOT TRUE"
	})
}

func (x *mapping) compound() error {
	names, err := x.args.names("column_list")
	if err != nil {
		return err
	}
	m, err := x.args.mostly()
	if err != nil || m.Cmp(big.NewRat(1, 1)) != 0 {
		return unmapped("a key that is mostly unique")
	}
	list := make([]any, len(names))
	for i, n := range names {
		x.property(n)
		list[i] = n
	}
	x.notef("rows with a missing part of the key are not compared")
	x.rule("", member{"metric", "duplicateValues"}, member{"arguments", fields{{"properties", list}}}, member{"mustBe", json.Number("0")})
	return nil
}

func (x *mapping) withinRecord() error {
	names, err := x.args.names("column_list")
	if err != nil || len(names) < 2 || len(names) > 50 {
		return unmapped("its column_list does not name 2 to 50 columns")
	}
	return x.several(names, "all_values_are_missing", func(c []string) string {
		var any []string
		for i := range c {
			for j := range i {
				any = append(any, c[j]+" = "+c[i])
			}
		}
		return "(" + strings.Join(any, " OR ") + ")"
	})
}

func (x *mapping) sumEqual() error {
	names, err := x.args.names("column_list")
	if err != nil || len(names) > 100 {
		return unmapped("its column_list is no list of at most 100 names")
	}
	total, ok := x.args.scalar("sum_total")
	if !ok || !total.number() {
		return unmapped("its sum_total is no number")
	}
	return x.several(names, "all_values_are_missing", func(c []string) string {
		parts := slices.Clone(c)
		for i := range parts {
			parts[i] = "coalesce(" + parts[i] + ", 0)"
		}
		return "(" + strings.Join(parts, " + ") + ") <> " + total.text
	})
}
