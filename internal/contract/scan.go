package contract

import (
	"fmt"
	"strconv"
	"strings"
)

// scan collects what both passes over a table need. The innermost SELECT gives every column
// a short name of ours, so that a foreign name is written exactly once:
//
//	SELECT t."name" AS c0, …, c0 IN (SELECT …) AS m0 FROM "table" AS t
//
// The first pass aggregates it (a0, a1, …; lists of quantiles q0, …) and computes fences and
// the like from the aggregates (d0, …). The second joins the one row of the first.
type scan struct {
	table   string
	names   []string // of the data's columns, in order
	types   map[string]string
	columns []string // in the order of c0, c1, …
	number  map[string]int
	marks   []string
	values  map[string]string // of floating-point columns: the mark that holds what is usable
	aggs    []string
	aggOf   map[string]string
	inside  map[int]bool          // aggregates that stay in the worker: extremes as the data has them
	quant   map[string]*quantiles // by column name
	order   []string              // keys of quant as they came
	derived []string
	deriveN map[string]string
}

type quantiles struct {
	name   string // q0
	column string // c0
	ps     []float64
}

func newScan(table string, columns []Column) *scan {
	s := &scan{table: table, types: map[string]string{}, number: map[string]int{}, aggOf: map[string]string{}, inside: map[int]bool{}, values: map[string]string{},
		quant: map[string]*quantiles{}, deriveN: map[string]string{}}
	for _, c := range columns {
		s.names = append(s.names, c.Name)
		s.types[c.Name] = c.Type
	}
	return s
}

// col returns the short name of a data column.
func (s *scan) col(name string) string {
	n, ok := s.number[name]
	if !ok {
		n = len(s.columns)
		s.number[name] = n
		s.columns = append(s.columns, name)
	}
	return "c" + strconv.Itoa(n)
}

func (s *scan) class(name string) class { return classOf(s.types[name]) }

// mark adds a computed column, such as whether a key is found elsewhere.
func (s *scan) mark(expr string) string {
	s.marks = append(s.marks, expr)
	return "m" + strconv.Itoa(len(s.marks)-1)
}

// agg returns the short name of an aggregate; the same expression is computed once.
func (s *scan) agg(expr string) string {
	if a, ok := s.aggOf[expr]; ok {
		return a
	}
	a := "a" + strconv.Itoa(len(s.aggs))
	s.aggs = append(s.aggs, expr)
	s.aggOf[expr] = a
	return a
}

// countIf counts the rows for which a condition is true.
func (s *scan) countIf(cond string) string { return s.agg("count(*) FILTER (WHERE " + cond + ")") }

// extreme returns the short name of a minimum or maximum in the column's own type.
func (s *scan) extreme(expr string) string {
	a := s.agg(expr)
	n, _ := strconv.Atoi(a[1:])
	s.inside[n] = true
	return a
}

func (s *scan) rows() string { return s.agg("count(*)") }

// derive returns the short name of an expression over aggregates.
func (s *scan) derive(expr string) string {
	if d, ok := s.deriveN[expr]; ok {
		return d
	}
	d := "d" + strconv.Itoa(len(s.derived))
	s.derived = append(s.derived, expr)
	s.deriveN[expr] = d
	return d
}

// value returns the short name of a column without what takes no part in statistics: NaN,
// infinities, and numbers so large that their squares are infinite become null. Other types
// are returned as they are.
func (s *scan) value(name string) string {
	col := s.col(name)
	if s.class(name) != classFloat {
		return col
	}
	if v, ok := s.values[name]; ok {
		return v
	}
	s.values[name] = s.mark("CASE WHEN abs(" + col + ") <= CAST('1e150' AS DOUBLE) THEN " + col + " END")
	return s.values[name]
}

// double writes a number as DOUBLE.
func double(expr, typ string) string {
	if strings.EqualFold(typ, "DOUBLE") {
		return expr
	}
	return "CAST(" + expr + " AS DOUBLE)"
}

func (s *scan) double(name string) string { return double(s.col(name), s.types[name]) }

func (s *scan) valueDouble(name string) string { return double(s.value(name), s.types[name]) }

func (s *scan) meanOf(name string) string {
	if t := strings.ToUpper(s.types[name]); s.class(name) == classInteger && !strings.Contains(t, "HUGE") {
		return "avg(" + s.col(name) + ")" // sums of integers are exact
	}
	return "avg(" + s.valueDouble(name) + ")"
}

func (s *scan) stddevOf(name string) string { return "stddev_samp(" + s.valueDouble(name) + ")" }

func (s *scan) lowest(name string) string {
	return s.derive("CAST(" + s.extreme("min("+s.value(name)+")") + " AS DOUBLE)")
}

func (s *scan) highest(name string) string {
	return s.derive("CAST(" + s.extreme("max("+s.value(name)+")") + " AS DOUBLE)")
}

func (s *scan) distinct(name string) string { return s.agg("count(DISTINCT " + s.col(name) + ")") }

func (s *scan) present(name string) string { return s.agg("count(" + s.col(name) + ")") }

// nulls counts the rows without a value.
func (s *scan) nulls(name string) string { return s.derive(s.rows() + " - " + s.present(name)) }

// invalid counts NaN, infinities and what is too large for statistics; "" for types that
// have none of them.
func (s *scan) invalid(name string) string {
	if s.class(name) != classFloat {
		return ""
	}
	return s.derive(s.present(name) + " - " + s.agg("count("+s.value(name)+")"))
}

// quantile returns the short name of one exact quantile; all of a column are one aggregate.
func (s *scan) quantile(name string, p float64) string {
	q := s.quant[name]
	if q == nil {
		q = &quantiles{name: "q" + strconv.Itoa(len(s.order)), column: name}
		s.quant[name], s.order = q, append(s.order, name)
	}
	at := len(q.ps)
	for i, have := range q.ps {
		if have == p {
			at = i
		}
	}
	if at == len(q.ps) {
		q.ps = append(q.ps, p)
	}
	return s.derive("CAST(" + q.name + "[" + strconv.Itoa(at+1) + "] AS DOUBLE)")
}

// source is the innermost SELECT.
func (s *scan) source() string {
	list := make([]string, 0, len(s.columns)+len(s.marks)+1)
	for i, name := range s.columns {
		list = append(list, fmt.Sprintf("t.%s AS c%d", quoteName(name), i))
	}
	if len(list) == 0 {
		list = append(list, "1 AS c0")
	}
	from := "(SELECT " + strings.Join(list, ", ") + " FROM " + quoteName(s.table) + " AS t) AS b"
	if len(s.marks) == 0 {
		return from
	}
	list = []string{"b.*"}
	for i, m := range s.marks {
		list = append(list, fmt.Sprintf("%s AS m%d", m, i))
	}
	return "(SELECT " + strings.Join(list, ", ") + " FROM " + from + ") AS b"
}

// sourceOf is the innermost SELECT of some columns alone.
func (s *scan) sourceOf(columns []string) string {
	list := make([]string, len(columns))
	for i, name := range columns {
		list[i] = "t." + quoteName(name) + " AS " + s.col(name)
	}
	return "(SELECT " + strings.Join(list, ", ") + " FROM " + quoteName(s.table) + " AS t) AS b"
}

// first is the first pass: one row. Integers keep their type for quantiles, which DuckDB
// finds faster among them, and exactly.
func (s *scan) first() string {
	var list []string
	for i, a := range s.aggs {
		list = append(list, fmt.Sprintf("%s AS a%d", a, i))
	}
	for _, name := range s.order {
		q := s.quant[name]
		ps := make([]string, len(q.ps))
		for i, p := range q.ps {
			ps[i] = strconv.FormatFloat(p, 'f', -1, 64)
		}
		arg := s.col(name)
		if c := s.class(name); c != classInteger {
			arg = s.valueDouble(name)
		}
		list = append(list, "quantile_cont("+arg+", ["+strings.Join(ps, ", ")+"]) AS "+q.name)
	}
	inner := "SELECT " + strings.Join(list, ", ") + " FROM " + s.source()
	if len(s.derived) == 0 {
		return inner
	}
	list = []string{"x.*"}
	for i, d := range s.derived {
		list = append(list, fmt.Sprintf("%s AS d%d", d, i))
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM (" + inner + ") AS x"
}

// totals lists the columns of the first pass that the worker returns.
func (s *scan) totals() []string {
	var list []string
	for i := range s.aggs {
		if !s.inside[i] {
			list = append(list, "a"+strconv.Itoa(i))
		}
	}
	for i := range s.derived {
		list = append(list, "d"+strconv.Itoa(i))
	}
	return list
}
