package contract

// profiled says where the numbers of one column's profile are; empty names were not asked for.
type profiled struct {
	name, typ                                    string
	nulls, invalid, distinct, min, max, mean, sd string
	quantiles                                    []pq
	redacted                                     bool
	flagged                                      *probe
}

type pq struct {
	p      float64
	answer string
}

func profileQuantiles() []float64 { return []float64{0.05, 0.25, 0.5, 0.75, 0.95} }

// profile describes columns. Those that checks look at get nulls, and whatever the
// checks computed anyway. With Options.Profile every column gets
// everything its type has.
func (c *compiler) profile(probes []*probe) []profiled {
	var list []profiled
	checked := map[string]*probe{}
	seen := map[string]bool{}
	for _, p := range probes {
		if p.problem != "" || p.check.Kind == KindSQL {
			continue
		}
		for _, name := range p.columns {
			if p.check.Metric != "type" && p.check.Metric != "present" {
				seen[name] = true
			}
		}
		if p.flagged != nil && checked[p.flagged.column] == nil {
			checked[p.flagged.column] = p
		}
	}
	for _, name := range c.names {
		if !sayable(name) || !c.opt.Profile && !seen[name] {
			continue
		}
		list = append(list, c.profileOf(name, checked[name]))
	}
	return list
}

func (c *compiler) profileOf(name string, flagged *probe) profiled {
	p := profiled{name: name, typ: c.types[name], redacted: c.opt.Redact[name], flagged: flagged}
	col, cls := c.col(name), c.class(name)
	p.nulls = c.nulls(name)
	have := func(expr string) string { return c.aggOf[expr] } // only if a check asked
	if c.opt.Profile {
		have = c.agg
	}
	if c.opt.Profile || c.values[name] != "" {
		p.invalid = c.invalid(name)
	}
	if cls.ordered() && !p.redacted {
		v := col
		if c.opt.Profile || c.values[name] != "" {
			v = c.value(name)
		}
		p.min, p.max = c.asText("min("+v+")"), c.asText("max("+v+")")
	}
	p.distinct = have("count(DISTINCT " + col + ")")
	if !cls.numeric() || p.redacted || !c.opt.Profile && cls == classFloat && c.values[name] == "" {
		return p
	}
	p.mean = have(c.meanOf(name))
	p.sd = have(c.stddevOf(name))
	if c.opt.Profile {
		for _, q := range profileQuantiles() {
			c.quantile(name, q)
		}
	}
	if q := c.quant[name]; q != nil {
		for _, v := range q.ps {
			p.quantiles = append(p.quantiles, pq{v, c.quantile(name, v)})
		}
	}
	return p
}

// asText returns an extreme as text, if a check computed it or every column is described.
func (c *compiler) asText(extreme string) string {
	if _, ok := c.aggOf[extreme]; !ok && !c.opt.Profile {
		return ""
	}
	return c.derive("CAST(" + c.extreme(extreme) + " AS VARCHAR)")
}
