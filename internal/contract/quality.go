package contract

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"caos"
)

// rule is what a check does, with its arguments checked. Which fields are set depends on the
// check's metric.
type rule struct {
	missing  []literal // missingValues
	valid    []literal // invalidValues, values: nothing else is allowed
	banned   []literal // values: none of these is allowed
	contains []literal // values: each must occur
	pattern  string
	full     bool // the pattern must match the whole value
	negate   bool // the pattern must not match
	query    string
	method   string  // outliers: iqr, zscore
	factor   float64 // outliers
	table    string  // referentialIntegrity: the other table, and its columns
	columns  []string
	maxAge   time.Duration
	interval interval // range, length, statistic
	relation string   // compare: =, <>, <, <=, >, >=
	stat     string   // statistic
	dist     distribution
	ordered  bool // columns
	exact    bool // columns
	logical  string
	physical string
	multiple float64
	perValue bool // percent is of the values that are not null, not of the rows
}

// interval is a lower and an upper bound, either of which may be missing.
type interval struct {
	min, max     *literal
	exMin, exMax bool
}

// docOperators are the comparisons of the standard; exactly one is used.
type docOperators struct {
	MustBe           *literal  `json:"mustBe,omitempty"`
	MustNotBe        *literal  `json:"mustNotBe,omitempty"`
	Greater          *float64  `json:"mustBeGreaterThan,omitempty"`
	GreaterOrEqual   *float64  `json:"mustBeGreaterOrEqualTo,omitempty"`
	Less             *float64  `json:"mustBeLessThan,omitempty"`
	LessOrEqual      *float64  `json:"mustBeLessOrEqualTo,omitempty"`
	MustBeBetween    []float64 `json:"mustBeBetween,omitempty"`
	MustNotBeBetween []float64 `json:"mustNotBeBetween,omitempty"`
}

func operatorNames() []string {
	return []string{"mustBe", "mustNotBe", "mustBeGreaterThan", "mustBeGreaterOrEqualTo", "mustBeLessThan", "mustBeLessOrEqualTo",
		"mustBeBetween", "mustNotBeBetween"}
}

// operator returns the one operator with its bounds, or "" if there is none. A boolean is 1
// or 0, as a query may answer with one.
func (o docOperators) operator(path string) (name string, bounds []float64, err error) {
	scalar := func(l *literal) []float64 {
		switch {
		case l == nil:
			return nil
		case l.isBool && l.b:
			return []float64{1}
		case l.isBool:
			return []float64{0}
		case l.number():
			f, _ := literalFloat(*l)
			return []float64{f}
		}
		return []float64{math.NaN()}
	}
	one := func(f *float64) []float64 {
		if f == nil {
			return nil
		}
		return []float64{*f}
	}
	all := [][]float64{scalar(o.MustBe), scalar(o.MustNotBe), one(o.Greater), one(o.GreaterOrEqual), one(o.Less), one(o.LessOrEqual),
		o.MustBeBetween, o.MustNotBeBetween}
	for i, b := range all {
		if b == nil {
			continue
		}
		if name != "" {
			return "", nil, invalid(path, "needs exactly one operator, has %s and %s", name, operatorNames()[i])
		}
		name, bounds = operatorNames()[i], b
		where := join(path, name)
		two := strings.HasSuffix(name, "Between")
		switch {
		case two && (len(b) != 2 || b[0] >= b[1]):
			return "", nil, invalid(where, "is two numbers, the smaller first")
		case slices.ContainsFunc(b, math.IsNaN):
			return "", nil, invalid(where, "is a number, true or false")
		}
	}
	return name, bounds, nil
}

// docQuality is one element of a quality list.
type docQuality struct {
	docOperators
	ID             string          `json:"id"`
	Name           string          `json:"name"`
	Description    string          `json:"description"`
	Type           string          `json:"type"`
	Metric         string          `json:"metric"`
	Rule           string          `json:"rule"`
	Arguments      json.RawMessage `json:"arguments"`
	Query          string          `json:"query"`
	Engine         string          `json:"engine"`
	Implementation json.RawMessage `json:"implementation"`
	Dimension      string          `json:"dimension"`
	Severity       string          `json:"severity"`
	Unit           string          `json:"unit"`
	Schedule       string          `json:"schedule"`
	Scheduler      string          `json:"scheduler"`
	Custom         []struct {
		Property string          `json:"property"`
		Value    json.RawMessage `json:"value"`
	} `json:"customProperties"`
}

// quality makes the check of one element; property is empty at object level.
func (b *builder) quality(q *docQuality, property, path string) error {
	c := Check{Name: q.Name, Description: q.Description, Property: property, Dimension: q.Dimension, Unit: q.Unit}
	if q.Rule != "" {
		return invalid(path+".rule", "is deprecated").WithHint("write metric: %s", clip(q.Rule))
	}
	if q.Schedule != "" || q.Scheduler != "" {
		return invalid(path+".schedule", "checks have no schedule of their own").WithHint("they run with every validation; a pipeline has the schedule")
	}
	if err := b.weigh(&c, q, path); err != nil {
		return err
	}
	var err error
	if c.Operator, c.Bounds, err = q.operator(path); err != nil {
		return err
	}
	switch {
	case q.Type == "text":
		if q.Metric != "" || c.Operator != "" {
			return invalid(path+".type", "a rule of type text is for people and has no metric")
		}
		b.object.Texts = append(b.object.Texts, strings.TrimSpace(q.Description))
		return nil
	case q.Type == "sql":
		err = b.sqlCheck(&c, q, path)
	case q.Type == "custom":
		err = b.customCheck(&c, q, path)
	default:
		err = b.libraryCheck(&c, q, path)
	}
	if err != nil {
		return err
	}
	if c.Dimension == "" {
		c.Dimension = dimensionOf(c.Metric)
	}
	return b.add(c, q.ID, path)
}

// weigh reads severity and weight.
func (b *builder) weigh(c *Check, q *docQuality, path string) error {
	switch q.Severity {
	case "":
		c.Severity = SeverityError
	case SeverityError, SeverityWarning, SeverityInfo:
		c.Severity = q.Severity
	default:
		return invalid(path+".severity", "%q is not a severity", clip(q.Severity)).
			WithHint("error blocks a publication and makes a FAIL; warning and info make a WARNING")
	}
	c.Weight = 1
	for i, p := range q.Custom {
		where := join(path, "customProperties"+index(i))
		if p.Property != "weight" {
			return invalid(where+".property", "%q is not known", clip(p.Property)).WithHint("a check may have weight")
		}
		if err := json.Unmarshal(p.Value, &c.Weight); err != nil || !(c.Weight > 0 && c.Weight <= 1000) {
			return invalid(where+".value", "a weight is a number above 0 and at most 1,000")
		}
	}
	return nil
}

// arguments are those of the library's metrics.
type arguments struct {
	MissingValues []literal `json:"missingValues"`
	ValidValues   []literal `json:"validValues"`
	Pattern       *string   `json:"pattern"`
	Properties    []string  `json:"properties"`
}

func (b *builder) libraryCheck(c *Check, q *docQuality, path string) error {
	c.Kind, c.Metric = KindLibrary, q.Metric
	var a arguments
	if len(q.Arguments) > 0 {
		if err := decodeStrict(q.Arguments, &a, path+".arguments"); err != nil {
			return err
		}
	}
	if q.Query != "" || q.Engine != "" {
		return invalid(path, "a metric has no query and no engine")
	}
	if c.Operator == "" {
		return invalid(path, "needs exactly one operator").WithHint("one of %s", strings.Join(operatorNames(), ", "))
	}
	if err := a.belong(c, path+".arguments"); err != nil {
		return err
	}
	atProperty := c.Property != ""
	if atProperty != (c.Metric != "rowCount" && (c.Metric != "duplicateValues" || atProperty)) {
		place := "to a property"
		if atProperty {
			place = "to an object, not to a property"
		}
		return invalid(path+".metric", "%s belongs %s", c.Metric, place)
	}
	if c.Metric == "rowCount" {
		if c.Unit == "percent" {
			return invalid(path+".unit", "the number of rows is no percentage")
		}
	}
	if err := unitOf(c, path); err != nil {
		return err
	}
	c.rule = rule{missing: a.MissingValues, valid: a.ValidValues}
	switch c.Metric {
	case "rowCount":
		return nil
	case "duplicateValues":
		return b.duplicates(c, a.Properties, path)
	case "invalidValues":
		if a.Pattern != nil {
			if err := checkPattern(*a.Pattern, path+".arguments.pattern"); err != nil {
				return err
			}
			c.rule.pattern = *a.Pattern
		}
	}
	c.Properties = []string{c.Property}
	return nil
}

// belong refuses arguments that the metric does not have, and misses those it needs.
func (a arguments) belong(c *Check, path string) error {
	has := map[string]bool{"missingValues": a.MissingValues != nil, "validValues": a.ValidValues != nil, "pattern": a.Pattern != nil, "properties": a.Properties != nil}
	takes := map[string][]string{"missingValues": {"missingValues"}, "invalidValues": {"validValues", "pattern"}, "duplicateValues": {"properties"}}[c.Metric]
	for _, name := range []string{"missingValues", "validValues", "pattern", "properties"} {
		if has[name] && !slices.Contains(takes, name) {
			return invalid(path+"."+name, "is no argument of %s", c.Metric)
		}
	}
	if max(len(a.MissingValues), len(a.ValidValues), len(a.Properties)) > maxList {
		return caos.Errorf(caos.TooLarge, "a list of values has at most %d", maxList).WithField(path)
	}
	switch {
	case c.Metric == "missingValues" && len(a.MissingValues) == 0:
		return invalid(path+".missingValues", "is required: the values that count as missing").WithHint("such as [null, '', 'N/A']")
	case c.Metric == "invalidValues" && len(a.ValidValues) == 0 && a.Pattern == nil:
		return invalid(path, "invalidValues needs validValues or pattern")
	case c.Metric == "duplicateValues" && c.Property == "" && len(a.Properties) == 0:
		return invalid(path+".properties", "is required: the properties that are unique together")
	case c.Metric == "duplicateValues" && c.Property != "" && a.Properties != nil:
		return invalid(path+".properties", "belongs to a check of the object, not of a property")
	}
	return nil
}

func (b *builder) duplicates(c *Check, properties []string, path string) error {
	if c.Property != "" {
		c.Properties = []string{c.Property}
		return nil
	}
	for i, name := range properties {
		where := path + ".arguments.properties" + index(i)
		if err := b.known(name, where); err != nil {
			return err
		}
		if slices.Contains(properties[:i], name) {
			return invalid(where, "%q is named twice", clip(name))
		}
	}
	c.Properties = properties
	return nil
}

// known refuses the name of a property that the object does not describe.
func (b *builder) known(name, path string) error {
	if b.object.property(name) != nil {
		return nil
	}
	var have []string
	for i := range min(len(b.object.Properties), 20) {
		have = append(have, clip(b.object.Properties[i].Name))
	}
	return invalid(path, "%q is not a property of %s", clip(name), clip(b.object.Name)).WithHint("it has %s", strings.Join(have, ", "))
}

func unitOf(c *Check, path string) error {
	switch c.Unit {
	case "":
		c.Unit = "rows"
	case "rows", "percent":
	default:
		return invalid(path+".unit", "%q is not a unit", clip(c.Unit)).WithHint("rows or percent")
	}
	return nil
}

// maxQuery bounds the SQL of one check.
const maxQuery = 16 << 10

func (b *builder) sqlCheck(c *Check, q *docQuality, path string) error {
	c.Kind, c.Metric = KindSQL, "sql"
	if q.Metric != "" || q.Engine != "" {
		return invalid(path, "a query has no metric and no engine")
	}
	if c.Operator == "" {
		return invalid(path, "needs exactly one operator").WithHint("one of %s", strings.Join(operatorNames(), ", "))
	}
	query := strings.TrimSpace(q.Query)
	if query == "" || len(query) > maxQuery || !sayableText(query) {
		return invalid(path+".query", "is one SELECT of at most %d bytes", maxQuery)
	}
	if c.Property == "" && propertyPlaceholder.MatchString(query) {
		return invalid(path+".query", "{property} stands for a property, and this check belongs to the object").WithHint("move the check below its property")
	}
	if c.Property != "" {
		c.Properties = []string{c.Property}
	}
	switch c.Unit {
	case "", "rows", "percent":
	default:
		return invalid(path+".unit", "%q is not a unit", clip(c.Unit)).WithHint("rows or percent")
	}
	c.rule.query = query
	return nil
}

// dimensionOf is the dimension of a check that names none.
func dimensionOf(metric string) string {
	switch metric {
	case "nullValues", "missingValues", "required", "rowCount":
		return "completeness"
	case "duplicateValues", "unique", "primaryKey":
		return "uniqueness"
	case "referentialIntegrity", "foreignKey", "compare":
		return "consistency"
	case "freshness":
		return "timeliness"
	case "range", "outliers", "distribution", "statistic", "multipleOf", "sql":
		return "accuracy"
	}
	return "conformity"
}
