package contract

import (
	"fmt"
	"strings"
	"time"

	"caos"
)

// Column is a column of the data as the worker describes it. Type is DuckDB's.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Statement is a table or view that the worker makes; the fields are those of its Job.
type Statement struct {
	Name  string
	SQL   string
	Table bool
}

// Query is a statement whose rows the worker returns; the fields are those of its Job.
type Query struct {
	Name    string
	SQL     string
	MaxRows int
}

// Rows is the answer to one Query as the worker gives it: numbers as float64, int64 or
// json.Number, decimals and integers beyond 2^53 as strings, NaN and infinities as "NaN",
// "Infinity", "-Infinity".
type Rows struct {
	Columns   []Column
	Rows      [][]any
	Truncated bool
}

// Options are what a compilation needs besides the contract.
type Options struct {
	Now        time.Time           // what freshness is measured against
	Tables     map[string][]Column // the other tables of the same job, for referential integrity
	MaxSamples int                 // failing rows shown per check; 0 means 20, below 0 none, at most 100
	Redact     map[string]bool     // columns whose values never leave the worker
	Prefix     string              // begins the names of steps and queries; empty means dq. Two objects in one job need two
	Profile    bool                // also describe every column (distinct values, quantiles): it may cost more than the checks
}

// Compiled is an object's checks as SQL. Steps go at the end of a job's steps, Queries to
// its queries; names are unique under Options.Prefix.
type Compiled struct {
	Steps   []Statement
	Queries []Query

	object  *Object
	probes  []*probe
	columns []profiled
	opt     Options
	names   names
	rows    string // aggregate: the number of rows
	unions  []union
	samples []sampled
	keys    []sampled // duplicates: one query each
	empty   bool      // the contract allows a table without rows
}

// names are those of the steps and queries.
type names struct{ first, second, totals, flags, samples string }

const (
	maxStatement   = 1 << 20 // bytes: what the worker reads
	defaultSamples = 20
	mostSamples    = 100
)

// Compile writes the SQL for table, which has the columns given. What cannot be checked on
// these columns (a property that is missing, a type that has no order) is no error: it is a
// failed check with a message in the Outcome. The error is a *caos.Error for a table or
// prefix without a usable name, and TooLarge if the SQL exceeds what the worker reads.
func (o *Object) Compile(table string, columns []Column, opt Options) (*Compiled, error) {
	if !sayable(table) {
		return nil, caos.Errorf(caos.Invalid, "a table needs a name")
	}
	if opt.Prefix == "" {
		opt.Prefix = "dq"
	}
	if plainID(opt.Prefix) != opt.Prefix || strings.ContainsAny(opt.Prefix, ".-+") {
		return nil, caos.Errorf(caos.Internal, "%q cannot begin the name of a step", clip(opt.Prefix))
	}
	switch {
	case opt.MaxSamples == 0:
		opt.MaxSamples = defaultSamples
	case opt.MaxSamples > mostSamples:
		opt.MaxSamples = mostSamples
	}
	c := &compiler{scan: newScan(table, columns), object: o, opt: opt}
	for i := range o.Properties {
		if p := &o.Properties[i]; p.Classification != "" && !strings.EqualFold(p.Classification, "public") {
			c.redacted(p.Column())
		}
	}
	out := &Compiled{object: o, opt: opt, rows: c.rows(), empty: allowsEmpty(o),
		names: names{opt.Prefix + "_first", opt.Prefix + "_second", opt.Prefix + "_totals", opt.Prefix + "_flags", opt.Prefix + "_samples"}}
	for i := range o.Checks {
		p := c.probe(&o.Checks[i])
		if p.check.Kind == KindSQL && p.problem == "" {
			c.sqlQuery(out, p, i)
		}
		out.probes = append(out.probes, p)
	}
	out.columns = c.profile(out.probes)
	out.Steps = []Statement{{Name: out.names.first, Table: true}}
	second := c.second(out)
	out.Steps[0].SQL = c.first() // last: the second pass may ask more of the first
	totals := "SELECT " + strings.Join(c.totals(), ", ") + " FROM " + quoteName(out.names.first)
	out.Queries = append([]Query{{Name: out.names.totals, SQL: totals, MaxRows: 1}}, out.Queries...)
	if second != "" {
		out.Steps = append(out.Steps, Statement{Name: out.names.second, SQL: second, Table: true})
		out.Queries = append(out.Queries, c.readSecond(out)...)
	}
	out.Queries = append(out.Queries, c.duplicateKeys(out)...)
	for _, s := range out.Steps {
		if len(s.SQL) > maxStatement {
			return nil, caos.Errorf(caos.TooLarge, "the checks of %s are %d bytes of SQL, the limit is %d", clip(o.Name), len(s.SQL), maxStatement).
				WithHint("split the contract, or look long lists of values up in a table")
		}
	}
	return out, nil
}

func (c *compiler) redacted(column string) {
	m := map[string]bool{column: true}
	for k, v := range c.opt.Redact {
		m[k] = m[k] || v
	}
	c.opt.Redact = m
}

// sqlQuery makes the query of a check that its author wrote. A placeholder stands where the
// author put it, quoted as a name.
func (c *compiler) sqlQuery(out *Compiled, p *probe, i int) {
	sql := replaceAll(objectPlaceholder, p.check.rule.query, quoteName(c.table))
	if len(p.columns) > 0 {
		sql = replaceAll(propertyPlaceholder, sql, quoteName(p.columns[0]))
	}
	p.query = fmt.Sprintf("%s_sql_%d", c.opt.Prefix, i)
	out.Queries = append(out.Queries, Query{Name: p.query, SQL: sql, MaxRows: 2})
}

// allowsEmpty reports whether a check of the row count says that no rows are fine.
func allowsEmpty(o *Object) bool {
	for i := range o.Checks {
		k := &o.Checks[i]
		switch {
		case k.Metric == "rowCount" && k.Operator == "mustBeGreaterOrEqualTo" && k.Bounds[0] <= 0,
			k.Metric == "rowCount" && k.Operator == "mustBe" && k.Bounds[0] == 0:
			return true
		case k.Metric == "statistic" && k.rule.stat == "rowCount" && k.rule.interval.min != nil && !k.rule.interval.exMin:
			if f, err := literalFloat(*k.rule.interval.min); err == nil && f <= 0 {
				return true
			}
		}
	}
	return false
}

// Drop takes a query that the worker refused or could not run (its name is in the worker's
// failure) out of the job, and notes its check as one that cannot run. It reports whether
// there was such a query: then the job may be run again without it. Only the queries of
// checks of kind sql can be dropped: the others are ours, and their failure is a defect.
func (c *Compiled) Drop(query, message string) bool {
	for _, p := range c.probes {
		if p.query == "" || p.query != query {
			continue
		}
		p.query, p.problem = "", "the query cannot run: "+clip(message)
		for i := range c.Queries {
			if c.Queries[i].Name == query {
				c.Queries = append(c.Queries[:i:i], c.Queries[i+1:]...)
				break
			}
		}
		return true
	}
	return false
}
