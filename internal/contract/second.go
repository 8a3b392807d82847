package contract

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// sampled is a source of sample rows: n is its number among the flags, or the name of the
// query that finds duplicate keys.
type sampled struct {
	check   *Check
	columns []string // of the data, in the order of v1, v2, …
	query   string
	p       *probe
}

// union counts the distinct values of one column that any outlier check flagged.
type union struct{ column, answer string }

// second is the second pass: it flags rows with what the first pass found, counts what the
// outlier checks flagged, and keeps the smallest few rows of each flag, so that the same
// data gives the same sample whatever the order of reading. A check of which the first pass
// found no failing row costs nothing here, and if that is all of them the table is not read.
func (c *compiler) second(out *Compiled) string {
	var guards, flags, list []string
	add := func(guard, cond string) string {
		f := "f" + strconv.Itoa(len(flags))
		guards = append(guards, guard)
		flags = append(flags, "CASE WHEN s."+guard+" > 0 THEN ("+cond+") ELSE FALSE END AS "+f)
		return f
	}
	byColumn := map[string][]string{}
	for _, p := range out.probes {
		if p.problem != "" {
			continue
		}
		if p.flagged != nil {
			f := add(p.flagged.doubt, p.flagged.condition)
			p.failing = "n" + f[1:]
			list = append(list, "count(*) FILTER (WHERE "+f+") AS "+p.failing)
			byColumn[p.flagged.column] = append(byColumn[p.flagged.column], f)
			list = c.keep(out, p, f, list, "-abs("+c.double(p.flagged.column)+" - (l"+f[1:]+" + u"+f[1:]+") / 2)")
			flags[len(flags)-1] += fmt.Sprintf(", s.%s AS l%s, s.%s AS u%s", p.flagged.lower, f[1:], p.flagged.upper, f[1:])
		} else if p.broken != "" && c.opt.MaxSamples > 0 {
			f := add(p.failing, p.broken)
			list = c.keep(out, p, f, list, "CAST(0 AS DOUBLE)")
		}
	}
	if len(flags) == 0 {
		return ""
	}
	for _, column := range c.names {
		if fs := byColumn[column]; len(fs) > 0 {
			u := union{column, "u_" + strconv.Itoa(len(out.unions))}
			out.unions = append(out.unions, u)
			list = append(list, "count(DISTINCT "+c.col(column)+") FILTER (WHERE "+strings.Join(fs, " OR ")+") AS "+u.answer)
		}
	}
	any := make([]string, len(flags))
	guarded := make([]string, len(guards))
	for i := range flags {
		any[i] = "f" + strconv.Itoa(i)
		guarded[i] = guards[i] + " > 0"
	}
	slices.Sort(guarded)
	return "SELECT " + strings.Join(list, ", ") + " FROM (SELECT b.*, " + strings.Join(flags, ", ") + " FROM " + c.source() +
		" CROSS JOIN (SELECT * FROM " + quoteName(out.names.first) + " WHERE " + strings.Join(slices.Compact(guarded), " OR ") + ") AS s) AS y WHERE " +
		strings.Join(any, " OR ")
}

// keep adds the sample of one flag to the second pass.
func (c *compiler) keep(out *Compiled, p *probe, flag string, list []string, order string) []string {
	if c.opt.MaxSamples < 0 {
		return list
	}
	columns := c.shown(p.columns)
	out.samples = append(out.samples, sampled{check: p.check, columns: columns, p: p})
	var cells []string
	for _, name := range columns {
		cells = append(cells, c.cell(name))
	}
	return append(list, "min({'o': "+order+", 'v': ["+strings.Join(cells, ", ")+"]}, "+strconv.Itoa(c.opt.MaxSamples)+") FILTER (WHERE "+flag+") AS x"+
		strconv.Itoa(len(out.samples)-1))
}

// shown are the columns of a sample: those that the check looks at, then the primary key;
// without a key the first column, which often is one.
func (c *compiler) shown(columns []string) []string {
	list := slices.Clone(columns)
	add := func(name string) {
		if _, ok := c.types[name]; ok && sayable(name) && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	key := false
	for i := range c.object.Properties {
		if p := &c.object.Properties[i]; p.PrimaryKey {
			key = true
			add(p.Column())
		}
	}
	if !key {
		for _, name := range c.names[:min(1, len(c.names))] {
			add(name)
		}
	}
	return list
}

// cell writes a column's value as text for people, or that it is redacted.
func (c *compiler) cell(name string) string {
	if c.opt.Redact[name] {
		return "'(redacted)'"
	}
	return "coalesce(left(CAST(" + c.col(name) + " AS VARCHAR), 200), '(null)')"
}

// readSecond makes the queries that return what the second pass kept.
func (c *compiler) readSecond(out *Compiled) []Query {
	var list []Query
	var counts []string
	for _, p := range out.probes {
		if p.flagged != nil && p.problem == "" {
			counts = append(counts, p.failing)
		}
	}
	for _, u := range out.unions {
		counts = append(counts, u.answer)
	}
	if len(counts) > 0 {
		list = append(list, Query{Name: out.names.flags, MaxRows: 1, SQL: "SELECT " + strings.Join(counts, ", ") + " FROM " + quoteName(out.names.second)})
	}
	if len(out.samples) == 0 {
		return list
	}
	wide := 0
	var parts, cells []string
	for i, s := range out.samples {
		wide = max(wide, len(s.columns))
		parts = append(parts, fmt.Sprintf("{'k': %d, 'l': x%d}", i, i))
	}
	for i := range wide {
		cells = append(cells, fmt.Sprintf("w.v[%d] AS v%d", i+1, i+1))
	}
	sql := "SELECT k, " + strings.Join(cells, ", ") + " FROM (SELECT k, unnest(l) AS w FROM (SELECT e.k AS k, e.l AS l FROM (SELECT unnest([" +
		strings.Join(parts, ", ") + "]) AS e FROM " + quoteName(out.names.second) + ") AS p) AS p2) AS p3 ORDER BY k, w.o, w.v"
	return append(list, Query{Name: out.names.samples, SQL: sql, MaxRows: max(1, len(out.samples)*c.opt.MaxSamples)})
}

// duplicateKeys makes a query for each check of keys that names some keys found twice. It
// reads those columns once more, but only if the first pass found duplicates: joined with
// no row, the table is not read.
func (c *compiler) duplicateKeys(out *Compiled) []Query {
	if c.opt.MaxSamples < 0 {
		return nil
	}
	var list []Query
	for i, p := range out.probes {
		if p.keys == "" || p.problem != "" {
			continue
		}
		var short, cells []string
		for _, name := range p.columns {
			short = append(short, c.col(name))
		}
		for j, name := range p.columns {
			cells = append(cells, fmt.Sprintf("%s AS v%d", c.cell(name), j+1))
		}
		keys := strings.Join(short, ", ")
		name := fmt.Sprintf("%s_keys_%d", c.opt.Prefix, i)
		sql := "SELECT CAST(n AS VARCHAR) AS v0, " + strings.Join(cells, ", ") + " FROM (SELECT " + keys + ", count(*) AS n FROM " + c.sourceOf(p.columns) +
			" CROSS JOIN (SELECT * FROM " + quoteName(out.names.first) + " WHERE " + p.keys + " > 0) AS s WHERE " + c.allPresent(p.columns) +
			" GROUP BY " + keys + " HAVING count(*) > 1 ORDER BY " + keys + " LIMIT " + strconv.Itoa(c.opt.MaxSamples) + ") AS y ORDER BY " + keys
		list = append(list, Query{Name: name, SQL: sql, MaxRows: c.opt.MaxSamples})
		out.keys = append(out.keys, sampled{check: p.check, columns: p.columns, query: name, p: p})
	}
	return list
}

// replaceAll replaces without giving $ in the replacement a meaning.
func replaceAll(re *regexp.Regexp, s, with string) string {
	return re.ReplaceAllStringFunc(s, func(string) string { return with })
}
