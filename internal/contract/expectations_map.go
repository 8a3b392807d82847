package contract

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
)

// arguments18 are an expectation's keyword arguments.
type arguments18 map[string]any

func (a arguments18) text(name string) (string, bool) { s, ok := a[name].(string); return s, ok }

// scalar returns an argument as a literal; ok is false if it is missing, null or no scalar.
func (a arguments18) scalar(name string) (literal, bool) {
	l, ok := toLiteral(a[name])
	return l, ok && !l.null
}

func toLiteral(v any) (literal, bool) {
	switch v := v.(type) {
	case nil:
		return literal{null: true}, true
	case bool:
		return literal{isBool: true, b: v}, true
	case string:
		return literal{isText: true, text: v}, sayableText(v)
	case json.Number:
		var l literal
		return l, l.UnmarshalJSON([]byte(v)) == nil
	}
	return literal{}, false
}

// toAny is what a literal is in the document.
func (l literal) toAny() any {
	switch {
	case l.null:
		return nil
	case l.isBool:
		return l.b
	case l.isText:
		return l.text
	}
	return json.Number(l.text)
}

func (a arguments18) list(name string) ([]literal, error) {
	raw, ok := a[name].([]any)
	if !ok || len(raw) == 0 || len(raw) > maxList {
		return nil, unmapped("its " + name + " is no list of values")
	}
	var out []literal
	for _, v := range raw {
		l, ok := toLiteral(v)
		if !ok {
			return nil, unmapped("its " + name + " holds something that is no scalar")
		}
		out = append(out, l)
	}
	return out, nil
}

func anyList(list []literal) []any {
	out := make([]any, len(list))
	for i, l := range list {
		out[i] = l.toAny()
	}
	return out
}

func (a arguments18) names(name string) ([]string, error) {
	list, err := a.list(name)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, l := range list {
		if !l.isText || !sayable(l.text) || len(l.text) > maxName || slices.Contains(out, l.text) {
			return nil, unmapped("its " + name + " is no list of different names")
		}
		out = append(out, l.text)
	}
	return out, nil
}

func (a arguments18) flag(name string) bool { b, _ := a[name].(bool); return b }

// mostly returns the share that must be right, exactly; 1 if none is given.
func (a arguments18) mostly() (*big.Rat, error) {
	v, ok := a["mostly"]
	if !ok || v == nil {
		return big.NewRat(1, 1), nil
	}
	n, ok := v.(json.Number)
	if ok {
		if r, ok := new(big.Rat).SetString(string(n)); ok && len(n) < 30 && r.Sign() >= 0 && r.Cmp(big.NewRat(1, 1)) <= 0 {
			return r, nil
		}
	}
	return nil, unmapped("its mostly is no share between 0 and 1")
}

func percentOf(r *big.Rat) json.Number {
	s := new(big.Rat).Mul(r, big.NewRat(100, 1)).FloatString(12)
	return json.Number(strings.TrimSuffix(strings.TrimRight(s, "0"), "."))
}

// bound says how many values may break the rule: none, or what mostly leaves. Great
// Expectations counts its share among the values that are not null.
func (x *mapping) bound() ([]member, error) {
	m, err := x.args.mostly()
	if err != nil {
		return nil, err
	}
	rest := new(big.Rat).Sub(big.NewRat(1, 1), m)
	if rest.Sign() == 0 {
		return nil, nil
	}
	return []member{{"mustBeLessOrEqualTo", percentOf(rest)}, {"unit", "percent"}, {"of", "values"}}, nil
}

// interval writes min_value and max_value.
func (x *mapping) interval(low, high string) ([]member, error) {
	var out []member
	for _, s := range []struct{ arg, strict, key, exclusive string }{{low, "strict_min", "min", "exclusiveMin"}, {high, "strict_max", "max", "exclusiveMax"}} {
		v, given := x.args[s.arg]
		if !given || v == nil {
			continue
		}
		l, ok := x.args.scalar(s.arg)
		if !ok || l.isBool {
			return nil, unmapped("its " + s.arg + " is no number, date or time")
		}
		out = append(out, member{s.key, l.toAny()})
		if x.args.flag(s.strict) {
			out = append(out, member{s.exclusive, true})
		}
	}
	if len(out) == 0 {
		return nil, unmapped("it has no bound")
	}
	return out, nil
}

func (x *mapping) column() (string, error) {
	s, ok := x.args.text("column")
	if !ok {
		return "", unmapped("it names no column")
	}
	return s, nil
}

// counted maps an expectation on single values to a check of the engine caos.
func (x *mapping) counted(check string, members []member, err error) error {
	column, err2 := x.column()
	b, err3 := x.bound()
	for _, e := range []error{err, err2, err3} {
		if e != nil {
			return e
		}
	}
	x.custom(column, check, append(members, b...)...)
	return nil
}

// expectationMappers are the expectations that have a counterpart, without expect_.
func expectationMappers() map[string]func(*mapping) error {
	return map[string]func(*mapping) error{
		"column_to_exist":                         (*mapping).exists,
		"table_row_count_to_be_between":           func(x *mapping) error { return x.statistic("rowCount") },
		"table_row_count_to_equal":                (*mapping).rowCount,
		"table_column_count_to_be_between":        func(x *mapping) error { return x.statistic("columnCount") },
		"table_column_count_to_equal":             (*mapping).columnCount,
		"table_columns_to_match_ordered_list":     func(x *mapping) error { return x.columnNames("column_list", true) },
		"table_columns_to_match_set":              func(x *mapping) error { return x.columnNames("column_set", false) },
		"column_values_to_not_be_null":            func(x *mapping) error { return x.nulls(false) },
		"column_values_to_be_null":                func(x *mapping) error { return x.nulls(true) },
		"column_values_to_be_unique":              (*mapping).unique,
		"column_values_to_be_in_set":              func(x *mapping) error { return x.set("in") },
		"column_values_to_not_be_in_set":          func(x *mapping) error { return x.set("notIn") },
		"column_values_to_be_between":             (*mapping).between,
		"column_values_to_match_regex":            func(x *mapping) error { return x.regex(false) },
		"column_values_to_not_match_regex":        func(x *mapping) error { return x.regex(true) },
		"column_values_to_match_regex_list":       func(x *mapping) error { return x.regexList(false) },
		"column_values_to_not_match_regex_list":   func(x *mapping) error { return x.regexList(true) },
		"column_values_to_match_like_pattern":     func(x *mapping) error { return x.like(false) },
		"column_values_to_not_match_like_pattern": func(x *mapping) error { return x.like(true) },
		"column_value_lengths_to_be_between": func(x *mapping) error {
			v, err := x.interval("min_value", "max_value")
			return x.counted("length", v, err)
		},
		"column_value_lengths_to_equal":                      (*mapping).lengthEqual,
		"column_value_z_scores_to_be_less_than":              (*mapping).zScores,
		"column_values_to_be_of_type":                        (*mapping).typed,
		"column_values_to_be_in_type_list":                   (*mapping).typed,
		"column_values_to_match_strftime_format":             (*mapping).strftime,
		"column_values_to_be_json_parseable":                 (*mapping).jsonParseable,
		"column_mean_to_be_between":                          func(x *mapping) error { return x.statistic("mean") },
		"column_median_to_be_between":                        func(x *mapping) error { return x.statistic("median") },
		"column_stdev_to_be_between":                         func(x *mapping) error { return x.statistic("stddev") },
		"column_sum_to_be_between":                           func(x *mapping) error { return x.statistic("sum") },
		"column_min_to_be_between":                           func(x *mapping) error { return x.statistic("min") },
		"column_max_to_be_between":                           func(x *mapping) error { return x.statistic("max") },
		"column_quantile_values_to_be_between":               (*mapping).quantiles,
		"column_unique_value_count_to_be_between":            func(x *mapping) error { return x.statistic("distinctCount") },
		"column_proportion_of_unique_values_to_be_between":   func(x *mapping) error { return x.statistic("distinctShare") },
		"column_proportion_of_non_null_values_to_be_between": (*mapping).nonNullShare,
		"column_distinct_values_to_be_in_set":                func(x *mapping) error { return x.set("in") },
		"column_distinct_values_to_contain_set":              func(x *mapping) error { return x.set("contains") },
		"column_distinct_values_to_equal_set":                func(x *mapping) error { return errorsOf(x.set("in"), func() error { return x.set("contains") }) },
		"column_most_common_value_to_be_in_set":              (*mapping).mostCommon,
		"compound_columns_to_be_unique":                      (*mapping).compound,
		"select_column_values_to_be_unique_within_record":    (*mapping).withinRecord,
		"multicolumn_values_to_be_unique":                    (*mapping).withinRecord,
		"multicolumn_sum_to_equal":                           (*mapping).sumEqual,
		"column_pair_values_a_to_be_greater_than_b":          (*mapping).pairGreater,
		"column_pair_values_to_be_equal":                     func(x *mapping) error { return x.pair("=") },
		"column_pair_values_to_be_in_set":                    (*mapping).pairInSet,
	}
}

func errorsOf(err error, next func() error) error {
	if err != nil {
		return err
	}
	return next()
}

func (x *mapping) exists() error {
	column, err := x.column()
	if err != nil {
		return err
	}
	x.property(column)
	x.checks = append(x.checks, plainID(column)+".present")
	if _, ok := x.args["column_index"]; ok && x.args["column_index"] != nil {
		x.notef("its place among the columns is not checked")
	}
	if x.severity != SeverityError {
		x.notef("a missing column is always an error here")
	}
	return nil
}

func (x *mapping) statistic(name string) error {
	v, err := x.interval("min_value", "max_value")
	if err != nil {
		return err
	}
	column := ""
	if !strings.HasSuffix(name, "Count") || name == "distinctCount" {
		if column, err = x.column(); err != nil {
			return err
		}
	}
	for _, m := range v {
		if s, ok := m.value.(string); ok && name != "min" && name != "max" {
			return unmapped("its bound " + clip(s) + " is no number")
		}
	}
	x.custom(column, "statistic", append([]member{{"statistic", name}}, v...)...)
	return nil
}

func (x *mapping) rowCount() error {
	l, ok := x.args.scalar("value")
	if !ok || !l.number() {
		return unmapped("its value is no number")
	}
	x.rule("", member{"metric", "rowCount"}, member{"mustBe", l.toAny()})
	return nil
}

func (x *mapping) columnCount() error {
	l, ok := x.args.scalar("value")
	if !ok || !l.number() {
		return unmapped("its value is no number")
	}
	x.custom("", "statistic", member{"statistic", "columnCount"}, member{"min", l.toAny()}, member{"max", l.toAny()})
	return nil
}

func (x *mapping) columnNames(arg string, ordered bool) error {
	names, err := x.args.names(arg)
	if err != nil {
		return err
	}
	list := make([]any, len(names))
	for i, n := range names {
		list[i] = n
	}
	exact := true
	if v, ok := x.args["exact_match"].(bool); ok {
		exact = v
	}
	x.custom("", "columns", member{"names", list}, member{"ordered", ordered}, member{"exact", exact})
	return nil
}

func (x *mapping) nulls(wanted bool) error {
	column, err := x.column()
	if err != nil {
		return err
	}
	m, err := x.args.mostly()
	if err != nil {
		return err
	}
	all := m.Cmp(big.NewRat(1, 1)) == 0
	switch {
	case wanted:
		x.rule(column, member{"metric", "nullValues"}, member{"mustBeGreaterOrEqualTo", percentOf(m)}, member{"unit", "percent"})
	case all:
		x.rule(column, member{"metric", "nullValues"}, member{"mustBe", json.Number("0")})
	default:
		x.rule(column, member{"metric", "nullValues"}, member{"mustBeLessOrEqualTo", percentOf(m.Sub(big.NewRat(1, 1), m))}, member{"unit", "percent"})
	}
	return nil
}

func (x *mapping) unique() error {
	column, err := x.column()
	if err != nil {
		return err
	}
	m, err := x.args.mostly()
	if err != nil {
		return err
	}
	if m.Cmp(big.NewRat(1, 1)) == 0 {
		x.rule(column, member{"metric", "duplicateValues"}, member{"mustBe", json.Number("0")})
		return nil
	}
	// Great Expectations counts every row of a value that occurs twice, the standard's metric
	// those beyond the first.
	x.property(column)
	c, err := x.sqlName(column)
	if err != nil {
		return err
	}
	rest := new(big.Rat).Sub(big.NewRat(1, 1), m)
	x.rule(column, member{"type", "sql"}, member{"query", "SELECT coalesce(100.0 * sum(CASE WHEN n > 1 THEN n ELSE 0 END) / nullif(sum(n), 0), 0) FROM (SELECT count(*) AS n FROM {object} WHERE " +
		c + " IS NOT NULL GROUP BY " + c + ") AS g"}, member{"mustBeLessOrEqualTo", percentOf(rest)}, member{"unit", "percent"})
	return nil
}

// sqlName quotes a column for a query of an imported check, unless it holds a placeholder,
// which would be replaced.
func (x *mapping) sqlName(column string) (string, error) {
	if propertyPlaceholder.MatchString(column) || objectPlaceholder.MatchString(column) || !sayable(column) || len(column) > maxName {
		return "", unmapped("its column cannot be named in a query")
	}
	return quoteName(column), nil
}

func sqlLiteral(l literal) (string, error) {
	switch {
	case l.isText && (propertyPlaceholder.MatchString(l.text) || objectPlaceholder.MatchString(l.text)):
		return "", unmapped("a value cannot be named in a query")
	case l.isText:
		return quoteText(l.text), nil
	case l.isBool:
		return strings.ToUpper(fmt.Sprint(l.b)), nil
	case l.null:
		return "", unmapped("null is one of its values")
	}
	return l.text, nil
}

func (x *mapping) set(key string) error {
	list, err := x.args.list("value_set")
	if err != nil {
		return err
	}
	if key == "contains" {
		list = slices.DeleteFunc(list, func(l literal) bool { return l.null })
		column, err := x.column()
		if err != nil || len(list) == 0 {
			return unmapped("it names no values")
		}
		x.custom(column, "values", member{key, anyList(list)})
		return nil
	}
	return x.counted("values", []member{{key, anyList(list)}}, nil)
}

func (x *mapping) between() error {
	v, err := x.interval("min_value", "max_value")
	if x.args.flag("parse_strings_as_datetimes") {
		x.notef("texts are not read as dates here")
	}
	return x.counted("range", v, err)
}

func (x *mapping) lengthEqual() error {
	l, ok := x.args.scalar("value")
	if !ok || !l.number() {
		return unmapped("its value is no number")
	}
	return x.counted("length", []member{{"min", l.toAny()}, {"max", l.toAny()}}, nil)
}

func (x *mapping) regex(not bool) error {
	p, _ := x.args.text("regex")
	return x.pattern(p, "search", not)
}

func (x *mapping) pattern(p, match string, not bool) error {
	if err := checkPattern(p, "regex"); err != nil {
		return unmapped("its pattern is none that RE2 knows: " + clip(err.Error()))
	}
	v := []member{{"pattern", p}, {"match", match}}
	if not {
		v = append(v, member{"not", true})
	}
	return x.counted("regularExpression", v, nil)
}

func (x *mapping) regexList(not bool) error {
	list, err := x.args.list("regex_list")
	if err != nil {
		return err
	}
	var parts []string
	for _, l := range list {
		if !l.isText {
			return unmapped("its regex_list holds something that is no text")
		}
		parts = append(parts, "(?:"+l.text+")")
	}
	if on, _ := x.args.text("match_on"); on == "all" && !not && len(parts) > 1 {
		if m, err := x.args.mostly(); err != nil || m.Cmp(big.NewRat(1, 1)) != 0 {
			return unmapped("several patterns that must match together, mostly")
		}
		for _, p := range parts {
			if err := x.pattern(p, "search", false); err != nil {
				return err
			}
		}
		return nil
	}
	return x.pattern(strings.Join(parts, "|"), "search", not)
}

// like translates a LIKE pattern.
func (x *mapping) like(not bool) error {
	p, ok := x.args.text("like_pattern")
	if !ok || p == "" {
		return unmapped("it has no pattern")
	}
	var b strings.Builder
	b.WriteString("(?s)")
	for _, r := range p {
		switch r {
		case '%':
			b.WriteString(".*")
		case '_':
			b.WriteByte('.')
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	return x.pattern(b.String(), "full", not)
}

func (x *mapping) zScores() error {
	l, ok := x.args.scalar("threshold")
	if !ok || !l.number() {
		return unmapped("its threshold is no number")
	}
	if !x.args.flag("double_sided") {
		return unmapped("it looks at one side only")
	}
	b, err := x.bound()
	if err != nil {
		return err
	}
	if b == nil {
		b = []member{{"mustBe", json.Number("0")}}
	}
	column, err := x.column()
	if err != nil {
		return err
	}
	if f, _ := literalFloat(l); !(f > 0 && f <= 1000) {
		return unmapped("its threshold is not between 0 and 1,000")
	}
	x.notef("a score equal to the threshold is no outlier here")
	x.custom(column, "outliers", append([]member{{"method", "zscore"}, {"threshold", l.toAny()}}, b...)...)
	return nil
}
