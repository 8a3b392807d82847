package dataset

import (
	"slices"
	"strings"
	"time"

	"caos"
)

// graph is what a definition's parts need of each other, by name in lower case.
type graph struct {
	facts   []sqlFacts // of the transforms
	sources map[string]int
	steps   map[string]int
}

func (d *Definition) graph() *graph {
	g := &graph{sources: map[string]int{}, steps: map[string]int{}}
	for i, s := range d.Sources {
		g.sources[strings.ToLower(s.Name)] = i
	}
	words := sqlWords()
	for i, t := range d.Transforms {
		g.steps[strings.ToLower(t.Name)] = i
		g.facts = append(g.facts, lookAt(t.SQL, words))
	}
	return g
}

// firm are the transforms that must come before one: those that it says, and those that its
// SQL reads. A transform that reads itself is among its own.
func (g *graph) firm(d *Definition, step int) []int {
	var out []int
	for _, name := range slices.Concat(d.Transforms[step].After, g.facts[step].reads) {
		if at, ok := g.steps[strings.ToLower(name)]; ok && !slices.Contains(out, at) {
			out = append(out, at)
		}
	}
	return out
}

// loose are further transforms whose names stand in the SQL: they may be columns, too.
func (g *graph) loose(step int) []int {
	var out []int
	for name, at := range g.steps {
		if at != step && g.facts[step].mentions[name] {
			out = append(out, at)
		}
	}
	return out
}

// cycle returns the names of transforms that wait for each other, the first again at the
// end; nil if none do.
func (g *graph) cycle(d *Definition) []string {
	const (
		fresh = iota
		open
		done
	)
	state := make([]int, len(d.Transforms))
	var trail []int
	var visit func(at int) []string
	visit = func(at int) []string {
		state[at] = open
		trail = append(trail, at)
		for _, next := range g.firm(d, at) {
			switch state[next] {
			case open:
				var names []string
				for _, i := range trail[slices.Index(trail, next):] {
					names = append(names, d.Transforms[i].Name)
				}
				slices.Reverse(names) // who comes first stands first
				return append(names, names[0])
			case fresh:
				if found := visit(next); found != nil {
					return found
				}
			}
		}
		state[at] = done
		trail = trail[:len(trail)-1]
		return nil
	}
	for i := range d.Transforms {
		if state[i] == fresh {
			if found := visit(i); found != nil {
				return found
			}
		}
	}
	return nil
}

// order returns the transforms in an order in which each comes after those it needs, and
// after those that it may mean where that can be; otherwise as they were written. The
// definition has no cycle.
func (g *graph) order(d *Definition) []int {
	var out []int
	placed := make([]bool, len(d.Transforms))
	ready := func(needs []int) bool {
		return !slices.ContainsFunc(needs, func(i int) bool { return !placed[i] })
	}
	firm, loose := make([][]int, len(d.Transforms)), make([][]int, len(d.Transforms))
	for i := range d.Transforms {
		firm[i], loose[i] = g.firm(d, i), g.loose(i)
	}
	for len(out) < len(d.Transforms) {
		pick := -1
		for i := range d.Transforms {
			if placed[i] || !ready(firm[i]) {
				continue
			}
			if ready(loose[i]) {
				pick = i
				break
			}
			if pick < 0 {
				pick = i
			}
		}
		if pick < 0 {
			return nil // a cycle
		}
		placed[pick] = true
		out = append(out, pick)
	}
	return out
}

// Ordered returns the transforms in an order in which each comes after those it reads.
func (d *Definition) Ordered() ([]Transform, error) {
	g := d.graph()
	if loop := g.cycle(d); loop != nil {
		return nil, caos.Errorf(caos.Invalid, "%s wait for each other", strings.Join(loop, " → ")).WithField("transforms").WithRule("transform-cycle")
	}
	out := []Transform{}
	for _, i := range g.order(d) {
		out = append(out, d.Transforms[i])
	}
	return out, nil
}

// needs returns which transforms and sources a target's data is made of. A name that stands
// in the SQL counts: it is better to read too much than to miss a table.
func (g *graph) needs(d *Definition, from string, steps, sources map[int]bool) {
	from = strings.ToLower(from)
	if i, ok := g.sources[from]; ok {
		sources[i] = true
		return
	}
	at, ok := g.steps[from]
	if !ok || steps[at] {
		return
	}
	steps[at] = true
	for _, name := range d.Transforms[at].After {
		g.needs(d, name, steps, sources)
	}
	for name := range g.facts[at].mentions {
		g.needs(d, name, steps, sources)
	}
}

// Reads returns, by the name of a transform, the sources and transforms that its data may come
// from, in the order of the definition: those that it says come before it, and those whose
// names stand in its SQL, where a column's may be one, too.
func (d *Definition) Reads() map[string][]string {
	g := d.graph()
	out := make(map[string][]string, len(d.Transforms))
	for i, t := range d.Transforms {
		read := func(name string) bool {
			return name != t.Name && (g.facts[i].mentions[strings.ToLower(name)] || slices.ContainsFunc(t.After, func(a string) bool { return strings.EqualFold(a, name) }))
		}
		var reads []string
		for _, s := range d.Sources {
			if read(s.Name) {
				reads = append(reads, s.Name)
			}
		}
		for _, u := range d.Transforms {
			if read(u.Name) {
				reads = append(reads, u.Name)
			}
		}
		out[t.Name] = reads
	}
	return out
}

// Reads returns what Definition.Reads does, of what was selected.
func (sel *Selection) Reads() map[string][]string {
	d := Definition{Sources: sel.Sources, Transforms: sel.Transforms}
	return d.Reads()
}

// Selection is what one run is to do of a definition.
type Selection struct {
	Sources    []Source    // to be read, URIs expanded
	Without    []Source    // optional ones that were not chosen and that SQL reads: tables without rows
	Transforms []Transform // in order; those that the targets need
	Targets    []Target    // URIs expanded
	Interval   *Interval   // nil if the run is about none
	Span       string      // Interval as text in the pipeline's zone, "" for none
	Left       []string    // names of chosen sources that nothing chosen reads
}

// Select chooses among a definition's sources and targets by a hook's input, all if it names
// none, and settles the interval: the one that an entry of sources names ("flights@A/B"),
// else that of the moment at, which is a schedule's nominal time or when the run was asked
// for. Where sources are chosen and targets are not, the targets are those that can be made
// of them. Errors are Invalid, of the field data_sources or target_datasets.
func (d *Definition) Select(sources, targets []string, at time.Time) (*Selection, error) {
	zone, err := d.Location()
	if err != nil {
		return nil, err
	}
	chosen, interval, err := d.chooseSources(sources, zone)
	if err != nil {
		return nil, err
	}
	if interval == nil {
		if interval, err = d.IntervalAt(at); err != nil {
			return nil, err
		}
	}
	sel := &Selection{Interval: interval}
	if interval != nil {
		sel.Span = interval.Text(zone)
	}
	g := d.graph()
	if loop := g.cycle(d); loop != nil {
		return nil, caos.Errorf(caos.Invalid, "%s wait for each other", strings.Join(loop, " → ")).WithField("transforms").WithRule("transform-cycle")
	}
	steps, read, err := d.chooseTargets(g, chosen, targets, sel)
	if err != nil {
		return nil, err
	}
	for _, i := range g.order(d) {
		if steps[i] {
			sel.Transforms = append(sel.Transforms, d.Transforms[i])
		}
	}
	for i, s := range d.Sources {
		switch {
		case chosen[i] && (read[i] || s.Reference):
			sel.Sources = append(sel.Sources, s)
		case chosen[i]:
			sel.Left = append(sel.Left, s.Name)
		case read[i]:
			sel.Without = append(sel.Without, s)
		}
	}
	return sel, sel.expand(zone)
}

// chooseSources reads the hook's data_sources: names, each with an interval or without, and
// no two with different ones.
func (d *Definition) chooseSources(entries []string, zone *time.Location) (chosen map[int]bool, interval *Interval, err error) {
	chosen = map[int]bool{}
	for n, entry := range entries {
		field := indexed("data_sources", n)
		name, span, dated := strings.Cut(entry, "@")
		at := slices.IndexFunc(d.Sources, func(s Source) bool { return s.Name == name })
		if at < 0 {
			return nil, nil, caos.Errorf(caos.Invalid, "%s has no source %.80q", d.PipelineID, name).WithField(field).WithRule("source-unknown").
				WithHint("it has %s; leave the list empty for all", names(d.Sources, func(s Source) string { return s.Name }))
		}
		if chosen[at] {
			return nil, nil, caos.Errorf(caos.Invalid, "%s is named twice", name).WithField(field).WithRule("source-twice")
		}
		chosen[at] = true
		if !dated {
			continue
		}
		if d.Interval == IntervalNone {
			return nil, nil, caos.Errorf(caos.Invalid, "runs of %s are not about an interval", d.PipelineID).WithField(field).WithRule("interval-none").
				WithHint("name the source alone, or give the pipeline an interval")
		}
		i, err := ParseInterval(span, zone)
		if err != nil {
			return nil, nil, caos.AsError(err).WithField(field)
		}
		if interval != nil && (!interval.Start.Equal(i.Start) || !interval.End.Equal(i.End)) {
			return nil, nil, caos.Errorf(caos.Invalid, "a run is about one interval, and %s and %s are two", interval.Text(zone), i.Text(zone)).
				WithField(field).WithRule("interval-twice").WithHint("run each by itself")
		}
		interval = &i
	}
	if len(entries) == 0 {
		for i := range d.Sources {
			chosen[i] = true
		}
	}
	return chosen, interval, nil
}

// chooseTargets adds the targets to a selection and says what they are made of.
func (d *Definition) chooseTargets(g *graph, chosen map[int]bool, entries []string, sel *Selection) (steps, read map[int]bool, err error) {
	steps, read = map[int]bool{}, map[int]bool{}
	missing := func(from string) (string, map[int]bool, map[int]bool) {
		s, r := map[int]bool{}, map[int]bool{}
		g.needs(d, from, s, r)
		for i := range d.Sources {
			if r[i] && !chosen[i] && !d.Sources[i].Optional {
				return d.Sources[i].Name, nil, nil
			}
		}
		return "", s, r
	}
	add := func(t Target, s, r map[int]bool) {
		sel.Targets = append(sel.Targets, t)
		for i := range s {
			steps[i] = true
		}
		for i := range r {
			read[i] = true
		}
	}
	seen := map[string]bool{}
	for n, entry := range entries {
		field := indexed("target_datasets", n)
		at := slices.IndexFunc(d.Targets, func(t Target) bool { return t.Name == entry || DatasetID(d.PipelineID, t.Name) == entry })
		if at < 0 {
			return nil, nil, caos.Errorf(caos.Invalid, "%s has no target %.80q", d.PipelineID, entry).WithField(field).WithRule("target-unknown").
				WithHint("it has %s; leave the list empty for all", names(d.Targets, func(t Target) string { return t.Name }))
		}
		t := d.Targets[at]
		if seen[t.Name] {
			return nil, nil, caos.Errorf(caos.Invalid, "%s is named twice", t.Name).WithField(field).WithRule("target-twice")
		}
		seen[t.Name] = true
		source, s, r := missing(t.From)
		if source != "" {
			return nil, nil, caos.Errorf(caos.Invalid, "%s is made of %s, which is not among the sources chosen", t.Name, source).WithField(field).
				WithRule("source-not-chosen").WithHint("choose %s, too, or leave the list of sources empty for all", source)
		}
		add(t, s, r)
	}
	if len(entries) > 0 {
		return steps, read, nil
	}
	for _, t := range d.Targets {
		if source, s, r := missing(t.From); source == "" {
			add(t, s, r)
		}
	}
	if len(sel.Targets) == 0 {
		return nil, nil, caos.Errorf(caos.Invalid, "no target can be made of the sources chosen alone").WithField("data_sources").WithRule("source-not-chosen").
			WithHint("choose more of them, or leave the list empty for all")
	}
	return steps, read, nil
}

// expand puts the interval into all locations, and looks again whether a run would read or
// write one place twice.
func (sel *Selection) expand(zone *time.Location) error {
	for i := range sel.Sources {
		uri, err := ExpandURI(sel.Sources[i].URI, sel.Interval, zone)
		if err != nil {
			return caos.AsError(err).WithField("sources." + sel.Sources[i].Name + ".uri")
		}
		sel.Sources[i].URI = uri
	}
	for i := range sel.Targets {
		field := "targets." + sel.Targets[i].Name + ".uri"
		uri, err := ExpandURI(sel.Targets[i].URI, sel.Interval, zone)
		if err != nil {
			return caos.AsError(err).WithField(field)
		}
		sel.Targets[i].URI = uri
		for _, t := range sel.Targets[:i] {
			if overlaps(t.URI, uri) {
				return caos.Errorf(caos.Invalid, "it would be published over %s for this interval", t.Name).WithField(field).WithRule("target-overlap")
			}
		}
		for _, s := range sel.Sources {
			if overlaps(s.URI, uri) {
				return caos.Errorf(caos.Invalid, "it would be published over source %s for this interval", s.Name).WithField(field).WithRule("target-is-source")
			}
		}
	}
	return nil
}

func names[T any](list []T, name func(T) string) string {
	var out []string
	for _, v := range list[:min(len(list), 20)] {
		out = append(out, name(v))
	}
	if len(list) > len(out) {
		out = append(out, "…")
	}
	return strings.Join(out, ", ")
}
