package contract

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// answers are the numbers that the worker found, by their short names.
type answers struct {
	values map[string]any
	rows   int64
	empty  bool // no rows, and the contract allows it
}

// numberOf reads a number as the worker writes it. ok is false for null and for what is no
// finite number.
func numberOf(v any) (f float64, ok bool) {
	var err error
	switch v := v.(type) {
	case float64:
		f = v
	case int64:
		f = float64(v)
	case int:
		f = float64(v)
	case bool:
		if v {
			f = 1
		}
	case json.Number:
		f, err = v.Float64()
	case string:
		f, err = strconv.ParseFloat(v, 64)
	default:
		return 0, false
	}
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}

func (a *answers) number(name string) (float64, bool) {
	v, ok := a.values[name]
	if !ok {
		return 0, false
	}
	return numberOf(v)
}

// unknown is the result of a number that does not exist, such as the mean of nothing: a
// failure, but where the contract allows an empty table and it is one.
func (a *answers) unknown(res *CheckResult) {
	res.Value = "no value"
	if a.empty {
		res.Passed, res.Message = true, "no rows, which the contract allows"
		return
	}
	res.Passed = false
	if res.Message == "" {
		res.Message = "there is no value to judge"
	}
}

// compareNumber applies the check's operator.
func (a *answers) compareNumber(res *CheckResult, v float64, unit string) {
	res.Measured = &v
	res.Value = strings.TrimSpace(number(v) + " " + unit)
	res.Expected = expected(res.Operator, res.Bounds, unit)
	res.Passed = holds(res.Operator, res.Bounds, v)
}

// holds applies an operator of the standard. mustBeBetween leaves its bounds out, as the
// standard defines it: greater than the one and less than the other.
func holds(op string, b []float64, v float64) bool {
	switch op {
	case "mustBe":
		return v == b[0]
	case "mustNotBe":
		return v != b[0]
	case "mustBeGreaterThan":
		return v > b[0]
	case "mustBeGreaterOrEqualTo":
		return v >= b[0]
	case "mustBeLessThan":
		return v < b[0]
	case "mustBeLessOrEqualTo":
		return v <= b[0]
	case "mustBeBetween":
		return v > b[0] && v < b[1]
	case "mustNotBeBetween":
		return !(v > b[0] && v < b[1])
	}
	return false
}

func expected(op string, b []float64, unit string) string {
	sign := map[string]string{"mustBe": "=", "mustNotBe": "≠", "mustBeGreaterThan": ">", "mustBeGreaterOrEqualTo": "≥", "mustBeLessThan": "<", "mustBeLessOrEqualTo": "≤"}
	if unit == "percent" {
		unit = "%"
	}
	switch op {
	case "":
		return ""
	case "mustBeBetween":
		return strings.TrimSpace("> " + number(b[0]) + " and < " + number(b[1]) + " " + unit)
	case "mustNotBeBetween":
		return strings.TrimSpace("≤ " + number(b[0]) + " or ≥ " + number(b[1]) + " " + unit)
	}
	return strings.TrimSpace(sign[op] + " " + number(b[0]) + " " + unit)
}

// Evaluate judges the rows that the worker returned for the queries, by the names of the
// queries. A query without an answer is a check that cannot run.
func (c *Compiled) Evaluate(results map[string]Rows) *Outcome {
	a := &answers{values: map[string]any{}}
	for _, name := range []string{c.names.totals, c.names.flags} {
		r := results[name]
		if len(r.Rows) == 0 {
			continue
		}
		for i, col := range r.Columns {
			if i < len(r.Rows[0]) {
				a.values[col.Name] = r.Rows[0][i]
			}
		}
	}
	n, counted := a.number(c.rows)
	a.rows = int64(n)
	a.empty = counted && a.rows == 0 && c.empty
	out := &Outcome{Rows: a.rows, Dimensions: map[string]*float64{"completeness": nil, "accuracy": nil, "consistency": nil}}
	for _, p := range c.probes {
		res := c.answer(p, a, counted, results)
		out.Checks = append(out.Checks, res)
	}
	for _, u := range c.unions {
		v, _ := a.number(u.answer)
		out.Anomalies += int64(v)
	}
	out.Samples = c.readSamples(results)
	for _, p := range c.columns {
		out.Columns = append(out.Columns, p.read(a))
	}
	out.judge(counted, a)
	return out
}

// answer is the result of one check.
func (c *Compiled) answer(p *probe, a *answers, counted bool, results map[string]Rows) CheckResult {
	res := CheckResult{Check: *p.check, Expected: expected(p.check.Operator, p.check.Bounds, p.check.Unit)}
	cannot := func(why string) CheckResult {
		res.CannotRun, res.Passed, res.Message = true, false, why
		return res
	}
	switch {
	case p.problem != "":
		return cannot(p.problem)
	case p.check.Kind == KindSQL:
		c.sqlAnswer(p, &res, results)
		return res
	case !counted:
		return cannot("the worker gave no answer")
	case p.judge != nil:
		p.judge(a, &res)
		return res
	}
	failing := 0.0
	for _, name := range []string{p.failing, p.keys} {
		if name == "" {
			continue
		}
		n, ok := a.number(name)
		if !ok {
			return cannot("the worker gave no answer")
		}
		failing += n
	}
	res.FailingRows = int64(failing)
	base := float64(a.rows)
	if p.base != "" {
		base, _ = a.number(p.base)
	}
	share := 0.0 // nothing of nothing
	if base > 0 {
		share = 100 * failing / base
	}
	v := failing
	if p.check.Unit == "percent" {
		v = share
	}
	res.Measured = &v
	res.Value = fmt.Sprintf("%s of %s rows (%s)", number(failing), number(base), percentage(share))
	if p.base != "" {
		res.Value = strings.Replace(res.Value, " rows ", " values ", 1)
	}
	if p.check.Operator == "" {
		res.Passed, res.Expected = true, "reported, not judged"
		return res
	}
	res.Passed = holds(p.check.Operator, p.check.Bounds, v)
	return res
}

func (c *Compiled) sqlAnswer(p *probe, res *CheckResult, results map[string]Rows) {
	rows, ok := results[p.query]
	cannot := func(why string) { res.CannotRun, res.Message = true, why }
	switch {
	case !ok:
		cannot("the query was not run")
	case len(rows.Rows) != 1 || len(rows.Rows[0]) != 1 || rows.Truncated:
		cannot(fmt.Sprintf("the query gives %d rows of %d columns, not one number", len(rows.Rows), len(rows.Columns)))
	case rows.Rows[0][0] == nil:
		res.Value, res.Message = "null", "the query gives null, which is no number"
	default:
		v, ok := numberOf(rows.Rows[0][0])
		if !ok {
			cannot(fmt.Sprintf("the query gives %q, which is no number", clip(fmt.Sprint(rows.Rows[0][0]))))
			return
		}
		new(answers).compareNumber(res, v, p.check.Unit)
	}
}

// judge draws the sum.
func (out *Outcome) judge(counted bool, a *answers) {
	var all, good, blocking, blockingGood float64
	byDim := map[string][2]float64{}
	out.Status = Pass
	for i := range out.Checks {
		k := &out.Checks[i]
		d := byDim[k.Dimension]
		all, d[1] = all+k.Weight, d[1]+k.Weight
		out.Performed++
		if k.Blocking() {
			blocking += k.Weight
		}
		if k.Passed {
			out.Passed++
			good, d[0] = good+k.Weight, d[0]+k.Weight
			if k.Blocking() {
				blockingGood += k.Weight
			}
		} else {
			out.Failed++
			if k.Blocking() {
				out.Status, out.Blocked = Fail, true
			} else if out.Status == Pass {
				out.Status = Warning
			}
		}
		byDim[k.Dimension] = d
	}
	out.Score, out.BlockingScore = ratio(good, all), ratio(blockingGood, blocking)
	for name, d := range byDim {
		out.Dimensions[name] = ratio(d[0], d[1])
	}
	switch {
	case out.Performed == 0:
		out.refuse("the contract has no check for this table: nothing to check is no pass")
	case counted && a.rows == 0 && !a.empty:
		out.refuse("the table has no rows; a contract that allows it says so: rowCount mustBeGreaterOrEqualTo 0")
	}
}

func (out *Outcome) refuse(why string) {
	out.Status, out.Reason, out.Blocked = Fail, why, true
	zero := 0.0
	if out.Score != nil {
		out.Score = &zero
	}
	if out.BlockingScore != nil {
		out.BlockingScore = &zero
	}
}

func ratio(part, whole float64) *float64 {
	if whole == 0 {
		return nil
	}
	r := part / whole
	return &r
}

// readSamples brings the sample rows together, in the order of the checks.
func (c *Compiled) readSamples(results map[string]Rows) []Sample {
	byCheck := map[string][]Sample{}
	for _, row := range results[c.names.samples].Rows {
		if len(row) == 0 {
			continue
		}
		k, ok := numberOf(row[0])
		if !ok || k < 0 || int(k) >= len(c.samples) {
			continue
		}
		s := &c.samples[int(k)]
		byCheck[s.check.ID] = append(byCheck[s.check.ID], Sample{s.check.ID, cells(s.columns, row[1:])})
	}
	for i := range c.keys {
		s := &c.keys[i]
		for _, row := range results[s.query].Rows {
			if len(row) == 0 {
				continue
			}
			m := cells(s.columns, row[1:])
			m["(rows)"] = fmt.Sprint(row[0])
			byCheck[s.check.ID] = append(byCheck[s.check.ID], Sample{s.check.ID, m})
		}
	}
	var out []Sample
	for _, p := range c.probes {
		list := byCheck[p.check.ID]
		out = append(out, list[:min(len(list), max(0, c.opt.MaxSamples))]...)
	}
	return out
}

func cells(columns []string, values []any) map[string]string {
	m := map[string]string{}
	for i, name := range columns {
		if i < len(values) && values[i] != nil {
			m[name] = fmt.Sprint(values[i])
		}
	}
	return m
}

func (p *profiled) read(a *answers) Profile {
	out := Profile{Name: p.name, Type: p.typ, Redacted: p.redacted}
	count := func(name string) *int64 {
		if v, ok := a.number(name); ok {
			n := int64(v)
			return &n
		}
		return nil
	}
	float := func(name string) *float64 {
		if v, ok := a.number(name); ok {
			return &v
		}
		return nil
	}
	text := func(name string) string {
		if v, ok := a.values[name]; ok && v != nil {
			return fmt.Sprint(v)
		}
		return ""
	}
	out.Nulls, out.Invalid, out.Distinct = count(p.nulls), count(p.invalid), count(p.distinct)
	out.Min, out.Max = text(p.min), text(p.max)
	out.Mean, out.StdDev = float(p.mean), float(p.sd)
	for _, q := range p.quantiles {
		if v, ok := a.number(q.answer); ok {
			out.Quantiles = append(out.Quantiles, Quantile{q.p, v})
		}
	}
	slices.SortFunc(out.Quantiles, func(x, y Quantile) int { return int(math.Copysign(1, x.P-y.P)) })
	if f := p.flagged; f != nil {
		out.Outliers = count(f.failing)
		if !p.redacted {
			out.Lower, out.Upper = float(f.flagged.lower), float(f.flagged.upper)
		}
	}
	return out
}

// percentage writes a share of rows as people read it: with three significant digits, and a
// share that is not all or nothing never as if it were.
func percentage(share float64) string {
	switch {
	case share == 0 || share == 100:
		return strconv.FormatFloat(share, 'f', 0, 64) + " %"
	case share < 1e-6:
		return "below 0.000001 %"
	case share > 99.99:
		return "above 99.99 %"
	}
	digits := 2
	for v := share; v < 1; v *= 10 {
		digits++
	}
	return strings.TrimRight(strings.TrimRight(strconv.FormatFloat(share, 'f', digits, 64), "0"), ".") + " %"
}
