package contract

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"caos"
)

// outliers puts fences around the usable values; the second pass counts what lies outside.
func (c *compiler) outliers(p *probe, r *rule) {
	if !c.numeric(p) {
		return
	}
	column := p.columns[0]
	k := doubleLiteral(r.factor)
	var lower, upper string
	if r.method == "iqr" {
		q1, q3 := c.quantile(column, 0.25), c.quantile(column, 0.75)
		lower, upper = q1+" - "+k+" * ("+q3+" - "+q1+")", q3+" + "+k+" * ("+q3+" - "+q1+")"
	} else {
		mean, sd := c.agg(c.meanOf(column)), c.agg(c.stddevOf(column))
		lower, upper = mean+" - "+k+" * "+sd, mean+" + "+k+" * "+sd
	}
	low, high := c.lowest(column), c.highest(column)
	f := &flag{column: column, lower: c.derive(lower), upper: c.derive(upper)}
	// A column of one value has no outliers, whatever rounding makes of its mean; without a
	// usable value all that is there is flagged.
	inside := func(fence, extreme, none string) string {
		return c.derive("CASE WHEN " + low + " < " + high + " THEN " + fence + " WHEN " + low + " = " + high + " THEN " + extreme + " ELSE CAST('" + none + "' AS DOUBLE) END")
	}
	from, to := inside(f.lower, low, "inf"), inside(f.upper, high, "-inf")
	f.condition = c.double(column) + " NOT BETWEEN s." + from + " AND s." + to // NaN is above everything
	doubt := low + " < " + from + " OR " + high + " > " + to
	if n := c.invalid(column); n != "" {
		doubt += " OR " + n + " > 0"
	}
	f.doubt = c.derive("CASE WHEN " + doubt + " THEN 1 ELSE 0 END")
	p.flagged = f
}

// statistic compares one number of a column with bounds.
func (c *compiler) statistic(p *probe, r *rule) {
	var name string // of the answer
	unit := ""
	var value func(a *answers) (float64, bool)
	moment := false
	switch r.stat {
	case "rowCount":
		value, unit = func(a *answers) (float64, bool) { return float64(a.rows), true }, "rows"
	case "columnCount":
		n := float64(len(c.types))
		value, unit = func(*answers) (float64, bool) { return n, true }, "columns"
	case "distinctCount":
		name, unit = c.distinct(p.columns[0]), "distinct values"
	case "distinctShare":
		name = c.derive(c.distinct(p.columns[0]) + " / CAST(nullif(" + c.present(p.columns[0]) + ", 0) AS DOUBLE)")
	case "nullShare":
		name = c.derive("(" + c.rows() + " - " + c.present(p.columns[0]) + ") / CAST(nullif(" + c.rows() + ", 0) AS DOUBLE)")
	case "min", "max":
		if cls := c.class(p.columns[0]); cls.moment() {
			moment = true
			col := plainMoment(c.col(p.columns[0]), c.types[p.columns[0]])
			e := c.extreme(r.stat + "(" + col + ")")
			name = c.derive("CASE WHEN isfinite(" + e + ") THEN epoch_us(" + e + ") END") // an infinite date is no date
			break
		}
		if !c.numeric(p) {
			return
		}
		if name = c.lowest(p.columns[0]); r.stat == "max" {
			name = c.highest(p.columns[0])
		}
	default:
		if !c.numeric(p) {
			return
		}
		column := p.columns[0]
		switch r.stat {
		case "mean":
			name = c.agg(c.meanOf(column))
		case "stddev":
			name = c.agg(c.stddevOf(column))
		case "median":
			name = c.quantile(column, 0.5)
		case "sum":
			name = c.agg("sum(" + c.valueDouble(column) + ")")
		}
	}
	lo, hi, err := r.interval.numbers(moment)
	if err != "" {
		p.problem = err
		return
	}
	if value == nil {
		value = func(a *answers) (float64, bool) { return a.number(name) }
	}
	show := func(v float64) string {
		if moment {
			return time.UnixMicro(int64(v)).UTC().Format(time.RFC3339)
		}
		return number(v)
	}
	p.judge = func(a *answers, res *CheckResult) {
		res.Expected = strings.TrimSpace(r.stat + " " + r.interval.text())
		v, ok := value(a)
		if !ok {
			a.unknown(res)
			return
		}
		res.Measured, res.Value = &v, strings.TrimSpace(show(v)+" "+unit)
		res.Passed = !(v < lo || v > hi || r.interval.exMin && v == lo || r.interval.exMax && v == hi)
	}
}

// numbers returns the interval's sides as numbers, microseconds for moments.
func (v interval) numbers(moment bool) (lo, hi float64, problem string) {
	side := func(l *literal, open float64) float64 {
		switch {
		case l == nil:
			return open
		case moment && l.isText:
			for _, layout := range []string{"2006-01-02", "2006-01-02 15:04:05.999999", "2006-01-02T15:04:05.999999", time.RFC3339Nano} {
				if t, err := time.Parse(layout, l.text); err == nil {
					return float64(t.UnixMicro())
				}
			}
		case !moment && l.number():
			f, _ := literalFloat(*l)
			return f
		}
		problem = fmt.Sprintf("the column has no order with %q", clip(l.String()))
		return open
	}
	lo, hi = side(v.min, math.Inf(-1)), side(v.max, math.Inf(1))
	return lo, hi, problem
}

// text shows an interval to people.
func (v interval) text() string {
	var parts []string
	if v.min != nil {
		parts = append(parts, map[bool]string{false: "≥ ", true: "> "}[v.exMin]+v.min.String())
	}
	if v.max != nil {
		parts = append(parts, map[bool]string{false: "≤ ", true: "< "}[v.exMax]+v.max.String())
	}
	return strings.Join(parts, " and ")
}

func (s *span) text() string {
	var parts []string
	if s.Min != nil {
		parts = append(parts, "≥ "+number(*s.Min))
	}
	if s.Max != nil {
		parts = append(parts, "≤ "+number(*s.Max))
	}
	return strings.Join(parts, " and ")
}

// number writes a measured value as people read it.
func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return caos.GroupDigits(strconv.FormatFloat(v, 'f', 0, 64))
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}

// distribution checks several statistics of one column at once; all must hold.
func (c *compiler) distribution(p *probe, r *rule) {
	column := p.columns[0]
	d := &r.dist
	type part struct {
		name, answer string
		span         span
	}
	var parts []part
	if d.Mean != nil || d.StdDev != nil || len(d.Quantiles) > 0 {
		if !c.numeric(p) {
			return
		}
	}
	if d.Mean != nil {
		parts = append(parts, part{"mean", c.agg(c.meanOf(column)), *d.Mean})
	}
	if d.StdDev != nil {
		parts = append(parts, part{"stddev", c.agg(c.stddevOf(column)), *d.StdDev})
	}
	for _, q := range d.Quantiles {
		parts = append(parts, part{"quantile " + number(q.P), c.quantile(column, q.P), span{q.Min, q.Max}})
	}
	shares := c.shares(p, d)
	if p.problem != "" {
		return
	}
	p.judge = func(a *answers, res *CheckResult) {
		var values, wanted, wrong []string
		for _, x := range parts {
			wanted = append(wanted, x.name+" "+x.span.text())
			v, ok := a.number(x.answer)
			if !ok {
				wrong = append(wrong, x.name+" has no value")
				continue
			}
			values = append(values, x.name+" "+number(v))
			if len(parts) == 1 && len(d.Shares) == 0 {
				res.Measured = &v
			}
			if !x.span.holds(v) {
				wrong = append(wrong, x.name+" is "+number(v))
			}
		}
		if shares != nil {
			off, worst, ok := shares(a)
			if !ok {
				wrong = append(wrong, "there are no values")
			} else {
				values = append(values, "largest difference of a share "+number(off)+" ("+worst+")")
				if off > *d.Tolerance {
					wrong = append(wrong, "the share of "+worst+" is off by "+number(off))
				}
				if len(parts) == 0 {
					res.Measured = &off
				}
			}
			wanted = append(wanted, "shares within "+number(*d.Tolerance))
		}
		res.Value, res.Expected = strings.Join(values, ", "), strings.Join(wanted, ", ")
		res.Message = strings.Join(wrong, "; ")
		res.Passed = len(wrong) == 0
		if len(wrong) > 0 && a.rows == 0 {
			a.unknown(res)
		}
	}
}

// shares counts each expected category; what is not listed is one more category, with what
// is missing to 1.
func (c *compiler) shares(p *probe, d *distribution) func(*answers) (float64, string, bool) {
	if len(d.Shares) == 0 {
		return nil
	}
	column := p.columns[0]
	total := c.present(column)
	names := make([]string, 0, len(d.Shares))
	for name := range d.Shares {
		names = append(names, name)
	}
	sort.Strings(names)
	counts := make([]string, len(names))
	for i, name := range names {
		l := literal{isText: true, text: name}
		switch cls := c.class(column); {
		case cls.numeric():
			if f, err := strconv.ParseFloat(name, 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
				l = literal{text: name}
			}
		case cls == classBool:
			l = literal{isBool: name == "true" || name == "false", b: name == "true"}
		}
		o, ok := compare(c.col(column), c.types[column], l)
		if !ok {
			p.problem = fmt.Sprintf("column %q is %s: %q cannot be in it", clip(column), clip(c.types[column]), clip(name))
			return nil
		}
		counts[i] = c.countIf(o.column + " = " + o.value)
	}
	return func(a *answers) (off float64, worst string, ok bool) {
		n, ok := a.number(total)
		if !ok || n == 0 {
			return 0, "", false
		}
		rest, left := 1.0, n
		for i, name := range names {
			have, _ := a.number(counts[i])
			left -= have
			rest -= d.Shares[name]
			if diff := math.Abs(have/n - d.Shares[name]); diff > off || worst == "" {
				off, worst = diff, strconv.Quote(clip(name))
			}
		}
		if diff := math.Abs(left/n - max(0, rest)); diff > off+1e-12 {
			off, worst = diff, "all other values"
		}
		return off, worst, true
	}
}

// typeCheck is answered by the columns alone.
func (c *compiler) typeCheck(p *probe, r *rule) {
	typ := c.types[p.columns[0]]
	var wrong []string
	if r.logical != "" && !isLogical(r.logical, typ) {
		wrong = append(wrong, r.logical)
	}
	if r.physical != "" && physicalType(r.physical) != physicalType(typ) {
		wrong = append(wrong, r.physical)
	}
	p.judge = func(_ *answers, res *CheckResult) {
		res.Value = typ
		res.Expected = strings.TrimSpace(strings.Join([]string{r.logical, r.physical}, " "))
		if res.Passed = len(wrong) == 0; !res.Passed {
			res.Message = fmt.Sprintf("column %q is %s, not %s", clip(p.columns[0]), clip(typ), strings.Join(wrong, " and not "))
		}
	}
}

// isLogical tells whether a DuckDB type is one of a logical type of the standard.
func isLogical(logical, typ string) bool {
	cls := classOf(typ)
	upper := strings.ToUpper(strings.TrimSpace(typ))
	switch logical {
	case "string":
		return cls == classText
	case "integer":
		if cls == classDecimal {
			_, scale := decimalShape(typ)
			return scale == 0
		}
		return cls == classInteger
	case "number":
		return cls.numeric()
	case "boolean":
		return cls == classBool
	case "date":
		return cls == classDate
	case "time":
		return cls == classTime || strings.HasPrefix(upper, "TIME WITH")
	case "timestamp":
		return cls == classTimestamp || cls == classTimestampTZ
	case "array":
		return strings.HasSuffix(upper, "]")
	case "object":
		return !strings.HasSuffix(upper, "]") && (strings.HasPrefix(upper, "STRUCT") || strings.HasPrefix(upper, "MAP") || upper == "JSON")
	}
	return false
}

// physicalType brings the spellings of one DuckDB type together. A length in VARCHAR(n) has
// no meaning to DuckDB and is dropped.
func physicalType(typ string) string {
	t := strings.Join(strings.Fields(strings.ToUpper(typ)), " ")
	base, rest, sized := strings.Cut(t, "(")
	base = strings.TrimSpace(base)
	alias := map[string]string{"INT": "INTEGER", "INT4": "INTEGER", "SIGNED": "INTEGER", "INT8": "BIGINT", "LONG": "BIGINT", "INT2": "SMALLINT",
		"SHORT": "SMALLINT", "INT1": "TINYINT", "DOUBLE PRECISION": "DOUBLE", "FLOAT8": "DOUBLE", "REAL": "FLOAT", "FLOAT4": "FLOAT",
		"TEXT": "VARCHAR", "STRING": "VARCHAR", "CHAR": "VARCHAR", "BPCHAR": "VARCHAR", "BOOL": "BOOLEAN", "LOGICAL": "BOOLEAN",
		"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE", "DATETIME": "TIMESTAMP", "TIMESTAMP_US": "TIMESTAMP", "NUMERIC": "DECIMAL",
		"BYTEA": "BLOB", "BINARY": "BLOB", "VARBINARY": "BLOB"}
	if a, ok := alias[base]; ok {
		base = a
	}
	switch {
	case base == "DECIMAL":
		w, s := decimalShape(t)
		return fmt.Sprintf("DECIMAL(%d,%d)", w, s)
	case base == "VARCHAR" || !sized:
		if i := strings.LastIndexByte(t, ')'); sized && i >= 0 {
			base += t[i+1:] // VARCHAR(3)[] stays a list
		}
		return base
	}
	return base + "(" + strings.ReplaceAll(rest, " ", "")
}

// columnList compares the names of the data's columns with those listed.
func (c *compiler) columnList(p *probe, r *rule) {
	order := c.names
	p.judge = func(_ *answers, res *CheckResult) {
		var wrong []string
		for _, name := range r.columns {
			if !slices.Contains(order, name) {
				wrong = append(wrong, fmt.Sprintf("no column %q", clip(name)))
			}
		}
		if r.exact {
			for _, name := range order {
				if !slices.Contains(r.columns, name) {
					wrong = append(wrong, fmt.Sprintf("column %q is not expected", clip(name)))
				}
			}
		}
		if r.ordered && len(wrong) == 0 {
			at := -1
			for _, name := range r.columns {
				i := slices.Index(order, name)
				if i < at {
					wrong = append(wrong, fmt.Sprintf("column %q comes too early", clip(name)))
					break
				}
				at = i
			}
		}
		n := float64(len(wrong))
		res.Measured, res.Passed = &n, len(wrong) == 0
		res.Value = fmt.Sprintf("%d columns", len(order))
		res.Expected = fmt.Sprintf("%d columns by name", len(r.columns))
		if len(wrong) > 20 {
			wrong = append(wrong[:20], fmt.Sprintf("and %d more", len(wrong)-20))
		}
		res.Message = strings.Join(wrong, "; ")
	}
}
