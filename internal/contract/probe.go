package contract

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// probe is one check on its way through a compilation: what it asks the two passes, and how
// their answers become a result.
type probe struct {
	check   *Check
	problem string // why it cannot run
	columns []string

	failing string // aggregate: rows that break the rule
	base    string // aggregate: what 100 percent is
	broken  string // condition on one row; NULL is not broken
	flagged *flag  // outliers: decided in the second pass
	keys    string // aggregate: rows beyond the first of their key

	judge func(*answers, *CheckResult) // for what is not a number of rows
	query string                       // name of the query of a check of kind sql
}

// flag is an outlier check: fences are short names of derived values.
type flag struct {
	column, lower, upper, doubt string
	condition                   string
}

// compiler makes probes.
type compiler struct {
	*scan
	object *Object
	opt    Options
}

// probe prepares one check.
func (c *compiler) probe(k *Check) *probe {
	p := &probe{check: k}
	for _, name := range k.Properties {
		prop := c.object.property(name)
		column := prop.Column()
		typ, ok := c.types[column]
		if !ok {
			p.problem = fmt.Sprintf("the data has no column %q", clip(column))
			for have := range c.types {
				if strings.EqualFold(have, column) {
					p.problem += fmt.Sprintf("; it has %q", clip(have))
				}
			}
			return p
		}
		if !sayable(column) {
			p.problem = fmt.Sprintf("the name of column %q cannot be written in SQL", clip(column))
			return p
		}
		_ = typ
		p.columns = append(p.columns, column)
	}
	c.prepare(p)
	if p.problem == "" && p.broken != "" && p.failing == "" {
		p.failing = c.countIf(p.broken)
	}
	if k.rule.perValue && len(p.columns) > 0 {
		p.base = c.present(p.columns[0])
		if len(p.columns) > 1 {
			p.base = c.countIf(c.allPresent(p.columns))
		}
	}
	return p
}

// allPresent is the condition that no column is null.
func (c *compiler) allPresent(columns []string) string {
	var list []string
	for _, name := range columns {
		list = append(list, c.col(name)+" IS NOT NULL")
	}
	return strings.Join(list, " AND ")
}

// prepare fills what the check's metric needs.
func (c *compiler) prepare(p *probe) {
	r := &p.check.rule
	switch p.check.Metric {
	case "rowCount":
		p.judge = func(a *answers, res *CheckResult) { a.compareNumber(res, float64(a.rows), "rows") }
	case "present":
		p.judge = func(_ *answers, res *CheckResult) { res.Passed, res.Value = true, "present" }
	case "type":
		c.typeCheck(p, r)
	case "nullValues", "required":
		p.broken, p.failing = c.col(p.columns[0])+" IS NULL", c.nulls(p.columns[0])
	case "duplicateValues", "unique":
		c.duplicates(p)
	case "primaryKey":
		c.duplicates(p)
		var nulls []string
		for _, name := range p.columns {
			nulls = append(nulls, c.col(name)+" IS NULL")
		}
		p.broken = strings.Join(nulls, " OR ")
		if len(nulls) == 1 {
			p.failing = c.nulls(p.columns[0])
		}
	case "missingValues":
		c.missing(p, r)
	case "invalidValues", "values":
		c.valueSets(p, r)
	case "pattern", "regularExpression":
		p.broken = c.matching(p, r)
	case "range":
		c.ranged(p, r)
	case "length":
		if c.text(p) {
			col := asText(c.col(p.columns[0]), c.types[p.columns[0]])
			p.broken = "NOT (" + r.interval.condition("length("+col+")") + ")"
		}
	case "multipleOf":
		c.multiple(p, r)
	case "compare":
		c.compared(p, r)
	case "referentialIntegrity", "foreignKey":
		c.reference(p, r)
	case "freshness":
		c.freshness(p, r)
	case "outliers":
		c.outliers(p, r)
	case "statistic":
		c.statistic(p, r)
	case "distribution":
		c.distribution(p, r)
	case "columns":
		c.columnList(p, r)
	}
}

// cannot notes that a check makes no sense on a column of that type.
func (c *compiler) cannot(p *probe, column, needs string) bool {
	p.problem = fmt.Sprintf("column %q is %s; the check needs %s", clip(column), clip(c.types[column]), needs)
	return false
}

func (c *compiler) text(p *probe) bool {
	if c.class(p.columns[0]) != classText {
		return c.cannot(p, p.columns[0], "text")
	}
	return true
}

func (c *compiler) numeric(p *probe) bool {
	if !c.class(p.columns[0]).numeric() {
		return c.cannot(p, p.columns[0], "numbers")
	}
	return true
}

// duplicates counts the rows beyond the first of each key. A key with a null in it is no
// key, as in SQL; nullValues finds those.
func (c *compiler) duplicates(p *probe) {
	if len(p.columns) == 1 {
		p.keys = c.derive(c.present(p.columns[0]) + " - " + c.distinct(p.columns[0]))
		return
	}
	var list []string
	for _, name := range p.columns {
		list = append(list, c.col(name))
	}
	all := c.allPresent(p.columns)
	p.keys = c.derive(c.countIf(all) + " - " + c.agg("count(DISTINCT row("+strings.Join(list, ", ")+")) FILTER (WHERE "+all+")"))
}

// among writes that a column equals one of the literals; those that it can never equal are
// left out, and counted.
func (c *compiler) among(column string, list []literal) (cond string, never int) {
	col, typ := c.col(column), c.types[column]
	var order []string
	values := map[string][]string{}
	for _, l := range list {
		o, ok := compare(col, typ, l)
		if !ok {
			if !l.null {
				never++
			}
			continue
		}
		if values[o.column] == nil {
			order = append(order, o.column)
		}
		values[o.column] = append(values[o.column], o.value)
	}
	var parts []string
	for _, left := range order {
		parts = append(parts, left+" IN ("+strings.Join(values[left], ", ")+")")
	}
	return strings.Join(parts, " OR "), never
}

func hasNull(list []literal) bool {
	return slices.ContainsFunc(list, func(l literal) bool { return l.null })
}

func (c *compiler) missing(p *probe, r *rule) {
	// A value that the column's type cannot hold, such as 'N/A' among integers, is simply
	// never there.
	cond, _ := c.among(p.columns[0], r.missing)
	var parts []string
	if cond != "" {
		parts = append(parts, cond)
	}
	if hasNull(r.missing) {
		parts = append(parts, c.col(p.columns[0])+" IS NULL")
	}
	if len(parts) == 0 {
		parts = []string{"FALSE"}
	}
	p.broken = strings.Join(parts, " OR ")
}

// valueSets is for lists of valid, banned or required values, with or without a pattern.
func (c *compiler) valueSets(p *probe, r *rule) {
	column := p.columns[0]
	list := slices.Concat(r.valid, r.banned, r.contains)
	cond, never := c.among(column, list)
	if len(list) > 0 && (c.class(column) == classOther || never > 0 && cond == "") {
		p.problem = fmt.Sprintf("column %q is %s: none of the values listed can be in it", clip(column), clip(c.types[column]))
		return
	}
	switch {
	case len(r.contains) > 0:
		c.contained(p, r.contains, cond)
	case len(r.banned) > 0:
		p.broken = cond
	default:
		var parts []string
		if len(r.valid) > 0 && cond == "" {
			parts = append(parts, c.col(column)+" IS NOT NULL") // only null is valid
		} else if cond != "" {
			parts = append(parts, "NOT ("+cond+")")
		}
		if r.pattern != "" {
			m := c.matching(p, r)
			parts = append(parts, m)
		}
		p.broken = strings.Join(parts, " OR ")
	}
}

func (c *compiler) contained(p *probe, list []literal, cond string) {
	if cond == "" {
		cond = "FALSE"
	}
	wanted := map[string]bool{}
	for _, l := range list {
		if o, ok := compare(c.col(p.columns[0]), c.types[p.columns[0]], l); ok {
			wanted[o.column+"="+o.value] = true
		} else {
			wanted[l.String()] = true
		}
	}
	found := c.agg("count(DISTINCT " + c.col(p.columns[0]) + ") FILTER (WHERE " + cond + ")")
	n := float64(len(wanted))
	p.judge = func(a *answers, res *CheckResult) {
		if have, ok := a.number(found); ok {
			a.compareNumber(res, max(0, n-have), "values that do not occur")
			return
		}
		a.unknown(res)
	}
}

// matching is the condition that a text does not match, or does where it must not.
func (c *compiler) matching(p *probe, r *rule) string {
	if !c.text(p) {
		return ""
	}
	col := asText(c.col(p.columns[0]), c.types[p.columns[0]])
	f := "regexp_matches"
	if r.full || anchored(r.pattern) {
		f = "regexp_full_match"
	}
	cond := f + "(" + col + ", " + quoteText(r.pattern) + ")"
	if r.negate {
		return cond
	}
	return "NOT " + cond
}

// condition writes an interval of numbers.
func (v interval) condition(expr string) string {
	side := func(l *literal, op string, ex bool) string {
		f, _ := literalFloat(*l)
		if ex {
			op = op[:1]
		}
		return expr + " " + op + " " + doubleLiteral(f)
	}
	var parts []string
	if v.min != nil {
		parts = append(parts, side(v.min, ">=", v.exMin))
	}
	if v.max != nil {
		parts = append(parts, side(v.max, "<=", v.exMax))
	}
	return strings.Join(parts, " AND ")
}

func (c *compiler) ranged(p *probe, r *rule) {
	column := p.columns[0]
	col, typ := c.col(column), c.types[column]
	if !c.class(column).ordered() && c.class(column) != classText {
		c.cannot(p, column, "numbers, text, dates or times")
		return
	}
	side := func(l *literal) (o operand, ok bool) {
		if o, ok = compare(col, typ, *l); !ok {
			p.problem = fmt.Sprintf("column %q is %s, which has no order with %q", clip(column), clip(typ), clip(l.String()))
		}
		return o, ok
	}
	// A floating-point column has two bounds always, so that NaN and infinities, which lie in
	// no range, are outside; NaN is above everything.
	lo, hi := r.interval.min, r.interval.max
	if c.class(column) == classFloat {
		most := strconv.FormatFloat(math.MaxFloat64, 'g', -1, 64)
		if floatType(typ) == "FLOAT" {
			most = strconv.FormatFloat(math.MaxFloat32, 'g', -1, 32)
		}
		if lo == nil {
			lo = &literal{text: "-" + most}
		}
		if hi == nil {
			hi = &literal{text: most}
		}
	}
	var from, to operand
	ok := true
	if lo != nil {
		from, ok = side(lo)
	}
	if ok && hi != nil {
		to, ok = side(hi)
	}
	if !ok {
		return
	}
	lower, upper := ">=", "<="
	if r.interval.exMin {
		lower = ">"
	}
	if r.interval.exMax {
		upper = "<"
	}
	switch {
	case lo == nil:
		p.broken = "NOT (" + to.column + " " + upper + " " + to.value + ")"
	case hi == nil:
		p.broken = "NOT (" + from.column + " " + lower + " " + from.value + ")"
	case from.column == to.column && !r.interval.exMin && !r.interval.exMax:
		p.broken = from.column + " NOT BETWEEN " + from.value + " AND " + to.value
	default:
		p.broken = "NOT (" + from.column + " " + lower + " " + from.value + " AND " + to.column + " " + upper + " " + to.value + ")"
	}
}

func (c *compiler) multiple(p *probe, r *rule) {
	if !c.numeric(p) {
		return
	}
	x := c.double(p.columns[0])
	m := doubleLiteral(r.multiple)
	p.broken = "abs(" + x + " / " + m + " - round(" + x + " / " + m + ")) > 1e-9"
	if c.class(p.columns[0]) == classFloat {
		p.broken += " OR NOT isfinite(" + c.col(p.columns[0]) + ")"
	}
}

// compared relates two columns of one row.
func (c *compiler) compared(p *probe, r *rule) {
	l, rt := p.columns[0], p.columns[1]
	cl, cr := c.class(l), c.class(rt)
	x, y := c.col(l), c.col(rt)
	switch {
	case cl == classOther || cr == classOther:
		p.problem = fmt.Sprintf("columns %q (%s) and %q (%s) have no order", clip(l), clip(c.types[l]), clip(rt), clip(c.types[rt]))
		return
	case cl == cr && cl == classText:
		x, y = asText(x, c.types[l]), asText(y, c.types[rt])
	case cl.numeric() && cr.numeric():
		if c.types[l] != c.types[rt] {
			x, y = c.double(l), c.double(rt)
		}
	case (cl == classDate || cl == classTimestamp) && (cr == classDate || cr == classTimestamp):
		if cl != cr || c.types[l] != c.types[rt] {
			x, y = "CAST("+x+" AS TIMESTAMP)", "CAST("+y+" AS TIMESTAMP)"
		}
	case cl != cr:
		p.problem = fmt.Sprintf("columns %q (%s) and %q (%s) cannot be compared", clip(l), clip(c.types[l]), clip(rt), clip(c.types[rt]))
		return
	}
	p.broken = "NOT (" + x + " " + r.relation + " " + y + ")"
	for _, name := range []string{l, rt} {
		if c.class(name) == classFloat {
			p.broken += " OR NOT isfinite(" + c.col(name) + ")"
		}
	}
	p.broken = "(" + c.allPresent(p.columns) + ") AND (" + p.broken + ")"
}

// reference looks a key up in another table of the job: a hash join whose other side is that
// table's distinct keys, in the same pass.
func (c *compiler) reference(p *probe, r *rule) {
	other, ok := c.opt.Tables[r.table]
	if !ok {
		var have []string
		for name := range c.opt.Tables {
			have = append(have, clip(name))
		}
		slices.Sort(have)
		p.problem = fmt.Sprintf("the table %q is not among the inputs (%s)", clip(r.table), strings.Join(have, ", "))
		return
	}
	var left, right, keys []string
	for i, name := range r.columns {
		at := slices.IndexFunc(other, func(col Column) bool { return col.Name == name })
		if at < 0 || !sayable(name) {
			p.problem = fmt.Sprintf("the table %q has no column %q", clip(r.table), clip(name))
			return
		}
		x, y := c.col(p.columns[i]), "r."+quoteName(name)
		mine, theirs := c.types[p.columns[i]], other[at].Type
		common, ok := commonType(mine, theirs)
		if !ok {
			p.problem = fmt.Sprintf("column %q is %s, and %s.%s is %s: they have no common values", clip(p.columns[i]), clip(mine), clip(r.table), clip(name), clip(theirs))
			return
		}
		if common != "" {
			x, y = "CAST("+x+" AS "+common+")", "CAST("+y+" AS "+common+")"
		}
		left, right = append(left, x), append(right, y)
		keys = append(keys, "r."+quoteName(name)+" IS NOT NULL")
	}
	x, y := left[0], right[0]
	if len(left) > 1 {
		x, y = "row("+strings.Join(left, ", ")+")", "row("+strings.Join(right, ", ")+")"
	}
	m := c.mark(x + " IN (SELECT " + y + " FROM " + quoteName(r.table) + " AS r WHERE " + strings.Join(keys, " AND ") + ")")
	p.broken = c.allPresent(p.columns) + " AND NOT " + m
}

// commonType is the type in which two columns are compared: "" for as they are.
func commonType(a, b string) (string, bool) {
	ca, cb := classOf(a), classOf(b)
	switch {
	case ca == classOther || cb == classOther:
		return "", false
	case strings.EqualFold(a, b):
		return "", true
	case ca == classText && cb == classText:
		return "VARCHAR", true
	case ca == classInteger && cb == classInteger && !strings.Contains(strings.ToUpper(a+b), "HUGE"):
		return "HUGEINT", true
	case ca.numeric() && cb.numeric():
		return "DOUBLE", true
	case (ca == classDate || ca == classTimestamp) && (cb == classDate || cb == classTimestamp):
		return "TIMESTAMP", true
	}
	return "", ca == cb
}

func (c *compiler) freshness(p *probe, r *rule) {
	column := p.columns[0]
	cls := c.class(column)
	if !cls.moment() {
		c.cannot(p, column, "dates or timestamps")
		return
	}
	col := plainMoment(c.col(column), c.types[column])
	now := momentText(cls, c.opt.Now)
	newest := c.derive("epoch_us(" + c.extreme("max("+col+") FILTER (WHERE isfinite("+col+") AND "+col+" <= "+now+")") + ")")
	later := c.countIf(col + " > " + now)
	p.judge = func(a *answers, res *CheckResult) {
		res.Expected = "newest value at most " + ageText(r.maxAge) + " old"
		if n, ok := a.number(later); ok && n > 0 {
			res.Message = strconv.FormatInt(int64(n), 10) + " values lie in the future and do not count"
		}
		us, ok := a.number(newest)
		if !ok {
			res.Value = "no value"
			res.Message = strings.TrimPrefix(res.Message+"; there is no value to judge", "; ")
			return
		}
		at := time.UnixMicro(int64(us)).UTC()
		age := c.opt.Now.Sub(at)
		seconds := age.Seconds()
		res.Measured, res.Passed = &seconds, age <= r.maxAge
		res.Value = ageText(age) + " old"
	}
}

func ageText(d time.Duration) string {
	d = d.Round(time.Second)
	days := d / (24 * time.Hour)
	rest := (d % (24 * time.Hour)).String()
	if days == 0 {
		return rest
	}
	if d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", days)
	}
	return fmt.Sprintf("%dd%s", days, rest)
}
