package contract

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/codec"
)

// docCustom is the implementation of a check of the engine "caos": exactly one member.
type docCustom struct {
	Outliers             *docOutliers     `json:"outliers,omitempty"`
	ReferentialIntegrity *docReferences   `json:"referentialIntegrity,omitempty"`
	Freshness            *docFreshness    `json:"freshness,omitempty"`
	RegularExpression    *docRegular      `json:"regularExpression,omitempty"`
	Distribution         *docDistribution `json:"distribution,omitempty"`
	Range                *docRange        `json:"range,omitempty"`
	Length               *docRange        `json:"length,omitempty"`
	Values               *docValues       `json:"values,omitempty"`
	Compare              *docCompare      `json:"compare,omitempty"`
	Statistic            *docStatistic    `json:"statistic,omitempty"`
	Columns              *docColumns      `json:"columns,omitempty"`
}

func customNames() []string {
	return []string{"outliers", "referentialIntegrity", "freshness", "regularExpression", "distribution", "range", "length", "values",
		"compare", "statistic", "columns"}
}

// counted is what every check that counts rows may say.
type counted struct {
	docOperators
	Unit string `json:"unit,omitempty"` // rows (default) or percent
	Of   string `json:"of,omitempty"`   // percent of rows (default) or of values: of those that are not null
}

type docOutliers struct {
	counted
	Property  string   `json:"property,omitempty"`
	Method    string   `json:"method"`
	Factor    *float64 `json:"factor,omitempty"`
	Threshold *float64 `json:"threshold,omitempty"`
}

type docReferences struct {
	counted
	Property   string   `json:"property,omitempty"`
	Properties []string `json:"properties,omitempty"`
	References texts    `json:"references"`
}

// texts is a string or a list of strings.
type texts []string

// UnmarshalJSON reads either form.
func (t *texts) UnmarshalJSON(raw []byte) error {
	if strings.HasPrefix(strings.TrimSpace(string(raw)), "[") {
		return json.Unmarshal(raw, (*[]string)(t))
	}
	s, err := unquoteJSON(raw)
	*t = texts{s}
	return err
}

type docFreshness struct {
	Property string `json:"property,omitempty"`
	MaxAge   string `json:"maxAge"`
}

type docRegular struct {
	counted
	Property string `json:"property,omitempty"`
	Pattern  string `json:"pattern"`
	Match    string `json:"match,omitempty"` // full (default) or search
	Not      bool   `json:"not,omitempty"`
}

type docRange struct {
	counted
	Property     string   `json:"property,omitempty"`
	Min          *literal `json:"min,omitempty"`
	Max          *literal `json:"max,omitempty"`
	ExclusiveMin bool     `json:"exclusiveMin,omitempty"`
	ExclusiveMax bool     `json:"exclusiveMax,omitempty"`
}

type docValues struct {
	counted
	Property string    `json:"property,omitempty"`
	In       []literal `json:"in,omitempty"`
	NotIn    []literal `json:"notIn,omitempty"`
	Contains []literal `json:"contains,omitempty"`
}

type docCompare struct {
	counted
	Left     string `json:"left,omitempty"`
	Operator string `json:"operator"`
	Right    string `json:"right"`
}

type docStatistic struct {
	Property     string   `json:"property,omitempty"`
	Statistic    string   `json:"statistic"`
	Min          *literal `json:"min,omitempty"`
	Max          *literal `json:"max,omitempty"`
	ExclusiveMin bool     `json:"exclusiveMin,omitempty"`
	ExclusiveMax bool     `json:"exclusiveMax,omitempty"`
}

type docColumns struct {
	Names   []string `json:"names"`
	Ordered bool     `json:"ordered,omitempty"`
	Exact   *bool    `json:"exact,omitempty"` // no further columns; default true
}

// span is a closed interval of numbers, open where a side is missing.
type span struct {
	Min *float64 `json:"min,omitempty"`
	Max *float64 `json:"max,omitempty"`
}

func (s *span) holds(v float64) bool {
	return (s.Min == nil || v >= *s.Min) && (s.Max == nil || v <= *s.Max)
}

type quantileSpan struct {
	P   float64  `json:"p"`
	Min *float64 `json:"min,omitempty"`
	Max *float64 `json:"max,omitempty"`
}

// distribution is what a column's values must look like as a whole.
type distribution struct {
	Mean      *span              `json:"mean,omitempty"`
	StdDev    *span              `json:"stddev,omitempty"`
	Quantiles []quantileSpan     `json:"quantiles,omitempty"`
	Shares    map[string]float64 `json:"shares,omitempty"`
	Tolerance *float64           `json:"tolerance,omitempty"`
}

type docDistribution struct {
	distribution
	Property string `json:"property,omitempty"`
}

func (b *builder) customCheck(c *Check, q *docQuality, path string) error {
	c.Kind = KindCustom
	if q.Engine != "caos" {
		return invalid(path+".engine", "%q is not run here", clip(q.Engine)).
			WithHint("engine: caos; a Great Expectations suite is imported with caos contract import-ge")
	}
	if c.Unit != "" {
		return invalid(path+".unit", "belongs into the implementation")
	}
	path += ".implementation"
	d, err := decodeCustom(q.Implementation, path)
	if err != nil {
		return err
	}
	p := &customParser{b: b, c: c}
	if err := p.read(d, path); err != nil {
		return err
	}
	return nil
}

// decodeCustom reads an implementation, which the standard has as an object or as text; text
// is YAML or JSON.
func decodeCustom(raw json.RawMessage, path string) (*docCustom, error) {
	var d docCustom
	if strings.HasPrefix(strings.TrimSpace(string(raw)), `"`) {
		s, err := unquoteJSON(raw)
		if err != nil {
			return nil, invalid(path, "is not a text")
		}
		if err := at(codec.Decode([]byte(s), mediaType([]byte(s)), &d, codec.Limits{}), path); err != nil {
			return nil, err
		}
	} else if err := decodeStrict(raw, &d, path); err != nil {
		e := caos.AsError(err)
		if name, ok := strings.CutPrefix(e.Field, path+"."); ok && !strings.ContainsAny(name, ".[") && !slices.Contains(customNames(), name) {
			return nil, e.WithHint("the engine has %s", strings.Join(customNames(), ", "))
		}
		return nil, err
	}
	return &d, nil
}

// customParser fills one check from its implementation.
type customParser struct {
	b    *builder
	c    *Check
	path string
}

func (p *customParser) read(d *docCustom, path string) error {
	type reader struct {
		set  bool
		read func() error
	}
	readers := []reader{
		{d.Outliers != nil, func() error { return p.outliers(d.Outliers) }},
		{d.ReferentialIntegrity != nil, func() error { return p.references(d.ReferentialIntegrity) }},
		{d.Freshness != nil, func() error { return p.freshness(d.Freshness) }},
		{d.RegularExpression != nil, func() error { return p.regular(d.RegularExpression) }},
		{d.Distribution != nil, func() error { return p.distribution(d.Distribution) }},
		{d.Range != nil, func() error { return p.bounds(d.Range) }},
		{d.Length != nil, func() error { return p.bounds(d.Length) }},
		{d.Values != nil, func() error { return p.values(d.Values) }},
		{d.Compare != nil, func() error { return p.compare(d.Compare) }},
		{d.Statistic != nil, func() error { return p.statistic(d.Statistic) }},
		{d.Columns != nil, func() error { return p.columns(d.Columns) }},
	}
	var found func() error
	for i, r := range readers {
		if !r.set {
			continue
		}
		if found != nil {
			return invalid(path, "needs exactly one check, has %s and %s", p.c.Metric, customNames()[i])
		}
		found, p.c.Metric = r.read, customNames()[i]
	}
	if found == nil {
		return invalid(path, "names no check").WithHint("one of %s", strings.Join(customNames(), ", "))
	}
	p.path = join(path, p.c.Metric)
	return found()
}

// on sets the property: the one named, else the one that the check hangs on.
func (p *customParser) on(name string) error {
	if name == "" {
		name = p.c.Property
	}
	if name == "" {
		return invalid(p.path+".property", "is required at object level")
	}
	if err := p.b.known(name, p.path+".property"); err != nil {
		return err
	}
	p.c.Properties = []string{name}
	return nil
}

// count sets operator and unit; def is what holds if the check states no bound.
func (p *customParser) count(k counted, def string) error {
	op, bounds, err := k.operator(p.path)
	if err != nil {
		return err
	}
	if p.c.Operator != "" {
		return invalid(p.path, "the operator stands inside the implementation")
	}
	if op == "" && def != "" {
		op, bounds = def, []float64{0}
	}
	p.c.Operator, p.c.Bounds, p.c.Unit = op, bounds, k.Unit
	if err := unitOf(p.c, p.path); err != nil {
		return err
	}
	switch k.Of {
	case "", "rows":
	case "values":
		p.c.rule.perValue = true
	default:
		return invalid(p.path+".of", "%q is not known", clip(k.Of)).WithHint("percent of rows, or of values (those that are not null)")
	}
	return nil
}

func (p *customParser) outliers(d *docOutliers) error {
	r := &p.c.rule
	number := func(v *float64, name string, def float64) error {
		r.factor = def
		if v != nil {
			r.factor = *v
		}
		if !(r.factor > 0 && r.factor <= 1000) {
			return invalid(p.path+"."+name, "is a number above 0 and at most 1,000")
		}
		return nil
	}
	var err error
	switch r.method = d.Method; d.Method {
	case "iqr":
		if d.Threshold != nil {
			return invalid(p.path+".threshold", "belongs to zscore").WithHint("iqr has factor: how many interquartile ranges beyond the quartiles")
		}
		err = number(d.Factor, "factor", 1.5)
	case "zscore":
		if d.Factor != nil {
			return invalid(p.path+".factor", "belongs to iqr").WithHint("zscore has threshold: how many standard deviations from the mean")
		}
		err = number(d.Threshold, "threshold", 3)
	default:
		return invalid(p.path+".method", "%q is not a method", clip(d.Method)).WithHint("iqr or zscore")
	}
	if err == nil {
		err = p.on(d.Property)
	}
	if err == nil {
		err = p.count(d.counted, "") // without a bound outliers are reported and judged by people
	}
	return err
}

func (p *customParser) references(d *docReferences) error {
	props := d.Properties
	if len(props) == 0 {
		if err := p.on(d.Property); err != nil {
			return err
		}
		props = p.c.Properties
	} else if d.Property != "" {
		return invalid(p.path, "has property or properties, not both")
	}
	if err := p.key(props, d.References); err != nil {
		return err
	}
	return p.count(d.counted, "mustBe")
}

// key sets the properties and the columns of the other table that they must be found in.
func (p *customParser) key(props, references []string) error {
	if len(props) > 16 || len(references) != len(props) {
		return invalid(p.path+".references", "names one column for each property, as table.column")
	}
	for i, name := range props {
		if err := p.b.known(name, p.path+".properties"+index(i)); err != nil {
			return err
		}
		dot := strings.LastIndexByte(references[i], '.')
		if dot <= 0 || dot == len(references[i])-1 || !sayable(references[i]) || len(references[i]) > 2*maxName {
			return invalid(p.path+".references", "%q is not table.column", clip(references[i]))
		}
		table, column := references[i][:dot], references[i][dot+1:]
		if p.c.rule.table != "" && p.c.rule.table != table {
			return invalid(p.path+".references", "a key lies in one table, not in %s and %s", clip(p.c.rule.table), clip(table))
		}
		p.c.rule.table = table
		p.c.rule.columns = append(p.c.rule.columns, column)
	}
	p.c.Properties = props
	return nil
}

func (p *customParser) freshness(d *docFreshness) error {
	age, ok := parseAge(d.MaxAge)
	if !ok {
		return invalid(p.path+".maxAge", "%q is not a length of time", clip(d.MaxAge)).WithHint("such as 90m, 36h, 7d or 1d12h")
	}
	p.c.rule.maxAge = age
	return p.on(d.Property)
}

// parseAge reads Go's notation of durations with d for days in front.
func parseAge(s string) (time.Duration, bool) {
	total := time.Duration(0)
	if days, rest, ok := strings.Cut(s, "d"); ok {
		var n int
		if _, err := fmt.Sscanf(days, "%d", &n); err != nil || n < 0 || n > 100_000 || days != fmt.Sprint(n) {
			return 0, false
		}
		if total, s = time.Duration(n)*24*time.Hour, rest; s == "" {
			return total, n > 0
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > 100_000*time.Hour*24 || total+d <= 0 {
		return 0, false
	}
	return total + d, true
}

func (p *customParser) regular(d *docRegular) error {
	if err := checkPattern(d.Pattern, p.path+".pattern"); err != nil {
		return err
	}
	switch d.Match {
	case "", "full":
		p.c.rule.full = true
	case "search":
	default:
		return invalid(p.path+".match", "%q is not known", clip(d.Match)).WithHint("full or search")
	}
	p.c.rule.pattern, p.c.rule.negate = d.Pattern, d.Not
	if err := p.on(d.Property); err != nil {
		return err
	}
	return p.count(d.counted, "mustBe")
}

func (p *customParser) bounds(d *docRange) error {
	v := interval{d.Min, d.Max, d.ExclusiveMin, d.ExclusiveMax}
	if err := v.check(p.path, p.c.Metric == "length"); err != nil {
		return err
	}
	p.c.rule.interval = v
	if err := p.on(d.Property); err != nil {
		return err
	}
	return p.count(d.counted, "mustBe")
}

// check refuses an interval without a side, or with its sides the wrong way round.
func (v interval) check(path string, numbers bool) error {
	if v.min == nil && v.max == nil {
		return invalid(path, "needs min or max")
	}
	for name, l := range map[string]*literal{"min": v.min, "max": v.max} {
		if l != nil && (l.null || l.isBool || numbers && !l.number()) {
			return invalid(path+"."+name, "is a number, or a date or time as text").WithHint("lengths, counts and statistics are numbers")
		}
	}
	if v.min != nil && v.max != nil && v.min.number() && v.max.number() {
		lo, _ := literalFloat(*v.min)
		if hi, _ := literalFloat(*v.max); lo > hi {
			return invalid(path+".min", "is above max")
		}
	}
	if v.exMin && v.min == nil || v.exMax && v.max == nil {
		return invalid(path, "exclusiveMin and exclusiveMax are true or false beside min and max")
	}
	return nil
}

func (p *customParser) values(d *docValues) error {
	n := 0
	for _, l := range [][]literal{d.In, d.NotIn, d.Contains} {
		if len(l) > 0 {
			n++
		}
		if len(l) > maxList {
			return caos.Errorf(caos.TooLarge, "a list of values has at most %d", maxList).WithField(p.path)
		}
	}
	if n != 1 {
		return invalid(p.path, "needs exactly one of in, notIn and contains")
	}
	p.c.rule.valid, p.c.rule.banned, p.c.rule.contains = d.In, d.NotIn, d.Contains
	if err := p.on(d.Property); err != nil {
		return err
	}
	if len(d.Contains) > 0 && (d.Unit != "" || d.Of != "") {
		return invalid(p.path+".unit", "contains counts the values that do not occur: it has no unit")
	}
	return p.count(d.counted, "mustBe")
}

func (p *customParser) compare(d *docCompare) error {
	op := map[string]string{"=": "=", "!=": "<>", "<>": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}[d.Operator]
	if op == "" {
		return invalid(p.path+".operator", "%q is not a comparison", clip(d.Operator)).WithHint("one of =, !=, <, <=, >, >=")
	}
	if err := p.on(d.Left); err != nil {
		return err
	}
	if err := p.b.known(d.Right, p.path+".right"); err != nil {
		return err
	}
	p.c.Properties = append(p.c.Properties, d.Right)
	p.c.rule.relation = op
	return p.count(d.counted, "mustBe")
}

func statisticNames() []string {
	return []string{"rowCount", "columnCount", "mean", "stddev", "median", "min", "max", "sum", "distinctCount", "distinctShare", "nullShare"}
}

func (p *customParser) statistic(d *docStatistic) error {
	if !slices.Contains(statisticNames(), d.Statistic) {
		return invalid(p.path+".statistic", "%q is not a statistic", clip(d.Statistic)).WithHint("one of %s", strings.Join(statisticNames(), ", "))
	}
	v := interval{d.Min, d.Max, d.ExclusiveMin, d.ExclusiveMax}
	moments := d.Statistic == "min" || d.Statistic == "max"
	if err := v.check(p.path, !moments); err != nil {
		return err
	}
	p.c.rule.stat, p.c.rule.interval = d.Statistic, v
	if d.Statistic == "rowCount" || d.Statistic == "columnCount" {
		if d.Property != "" || p.c.Property != "" {
			return invalid(p.path, "%s belongs to an object, not to a property", d.Statistic)
		}
		p.c.Dimension = orElse(p.c.Dimension, dimensionOf("rowCount"))
		return nil
	}
	return p.on(d.Property)
}

func orElse(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func (p *customParser) distribution(d *docDistribution) error {
	r := d.distribution
	if r.Mean == nil && r.StdDev == nil && len(r.Quantiles) == 0 && len(r.Shares) == 0 {
		return invalid(p.path, "needs mean, stddev, quantiles or shares")
	}
	spans := map[string]*span{"mean": r.Mean, "stddev": r.StdDev}
	for i, q := range r.Quantiles {
		if !(q.P >= 0 && q.P <= 1) {
			return invalid(p.path+".quantiles"+index(i)+".p", "is between 0 and 1")
		}
		spans["quantiles"+index(i)] = &span{q.Min, q.Max}
	}
	for name, s := range spans {
		if s != nil && (s.Min == nil && s.Max == nil || s.Min != nil && s.Max != nil && *s.Min > *s.Max) {
			return invalid(p.path+"."+name, "needs min or max, the smaller first")
		}
	}
	if len(r.Quantiles) > 50 || len(r.Shares) > 500 {
		return caos.Errorf(caos.TooLarge, "at most 50 quantiles and 500 shares").WithField(p.path)
	}
	sum := 0.0
	for name, share := range r.Shares {
		if !(share >= 0 && share <= 1) || !sayableText(name) {
			return invalid(p.path+".shares", "the share of %q is not between 0 and 1", clip(name))
		}
		sum += share
	}
	switch {
	case len(r.Shares) > 0 && sum > 1+1e-9:
		return invalid(p.path+".shares", "add up to %g", sum).WithHint("shares are parts of 1; what is missing to 1 is the share of all other values")
	case len(r.Shares) > 0 && (r.Tolerance == nil || !(*r.Tolerance >= 0 && *r.Tolerance < 1)):
		return invalid(p.path+".tolerance", "is required: how far a share may be off, such as 0.05")
	case len(r.Shares) == 0 && r.Tolerance != nil:
		return invalid(p.path+".tolerance", "belongs to shares")
	case math.IsNaN(sum):
		return invalid(p.path+".shares", "are numbers")
	}
	p.c.rule.dist = r
	return p.on(d.Property)
}

func (p *customParser) columns(d *docColumns) error {
	if p.c.Property != "" {
		return invalid(p.path, "belongs to an object, not to a property")
	}
	if len(d.Names) == 0 || len(d.Names) > maxProperties {
		return invalid(p.path+".names", "needs 1 to %d names", maxProperties)
	}
	p.c.rule.columns, p.c.rule.ordered, p.c.rule.exact = d.Names, d.Ordered, d.Exact == nil || *d.Exact
	return nil
}
