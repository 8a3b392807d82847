package importer

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"

	"caos"
	"caos/internal/registry"
)

// baselineForm finds what may be a baseline id in a text.
var baselineForm = regexp.MustCompile(`\bBL-[A-Z0-9]+(-[0-9A-Za-z.]+)+`)

// baselinesIn returns the baseline ids in a text, each once.
func baselinesIn(text string) []string {
	var out []string
	for _, id := range baselineForm.FindAllString(text, 20) {
		for len(id) > 0 && id[len(id)-1] == '.' { // of the sentence
			id = id[:len(id)-1]
		}
		if _, _, err := registry.ParseBaselineID(id); err == nil {
			out = append(out, id)
		}
	}
	return out
}

// model makes a model, a version and an industrialisation record of an entry, and keeps what
// it states about a baseline as no more than a statement.
func (a *applying) model(it *item, said registry.Said) error {
	m := it.model
	var before *modelEntry
	if said.Before != nil {
		before = parseModel(said.Before.Body)
	}
	have, err := a.reg.ModelIn(a.tx, m.ModelID)
	switch {
	case caos.KindOf(err) == caos.NotFound:
		err = a.create(it)
	case err != nil:
	case have.Project != a.opt.Project:
		err = caos.Errorf(caos.Conflict, "the model %s is registered in another project", m.ModelID).WithField("project").
			WithHint("import the file into that project, or give the model another id")
	case !a.mayTouch(have.Classification):
		err = higher(m.ModelID)
	default:
		err = a.update(it, have, before)
	}
	if err != nil {
		return err
	}
	there, err := a.makeVersion(it)
	if err != nil {
		return err
	}
	if m.Baseline != "" {
		if err := a.stateBaseline(it, there); err != nil {
			return err
		}
	}
	if !there {
		return nil
	}
	return a.plans(it, before)
}

// mayTouch reports whether the import, and so whoever runs it, may know of what has a
// classification.
func (a *applying) mayTouch(classification string) bool {
	return caos.Sensitivity(classification) <= caos.Sensitivity(a.opt.Classification)
}

func higher(what string) error {
	return caos.Errorf(caos.Denied, "%s is classified higher than the import", what).WithRule("need-to-know").WithField("classification").
		WithHint("import the file with a classification at least as high")
}

// create registers a model that is not there. What the file calls its owner is a team
// rather than a user of CAOS; then whoever imports the file owns the model.
func (a *applying) create(it *item) error {
	m := it.model
	owner := a.by.Actor
	if m.Owner != "" && m.Owner != owner {
		known := false
		if a.opt.User != nil && caos.CheckID("user", "", m.Owner) == nil {
			var err error
			if known, err = a.opt.User(a.tx, m.Owner); err != nil {
				return err
			}
		}
		if known {
			owner = m.Owner
		} else {
			a.note("line %d: %s states the owner %q, which is no user; %s owns the model now (change it: caos model update %s --owner USER)",
				it.line, m.ModelID, clip(m.Owner), owner, m.ModelID)
		}
	}
	_, err := a.reg.CreateModel(a.tx, registry.Model{ModelID: m.ModelID, Name: m.Name, SafetyLevel: m.Level, Regime: m.Regime, Owner: owner,
		Project: a.opt.Project, Classification: a.opt.Classification}, a.by)
	if err != nil {
		return err
	}
	a.mapped(it.section, "models").count(registry.Created)
	a.touched(registry.Created, m.ModelID)
	return nil
}

// update changes a model in what the file states otherwise than before, unless somebody has
// changed the model meanwhile: then people know better than the file.
func (a *applying) update(it *item, have *registry.Model, before *modelEntry) error {
	m := it.model
	var c registry.ModelChange
	changes := false
	for _, f := range []struct {
		field, has, states, stated string
		to                         **string
	}{
		{"name", have.Name, m.Name, before.or().Name, &c.Name},
		{"safety_level", have.SafetyLevel, m.Level, before.or().Level, &c.SafetyLevel},
		{"regime", have.Regime, m.Regime, before.or().Regime, &c.Regime},
	} {
		switch {
		case f.has == f.states:
		case before != nil && f.has == f.stated:
			*f.to, changes = &f.states, true
		default:
			a.note("line %d: %s has the %s %q and the file states %q; the model stays as it is, the statement has the file's word",
				it.line, m.ModelID, f.field, clip(f.has), clip(f.states))
		}
	}
	o := registry.Unchanged
	if changes {
		o = registry.Updated
		if _, err := a.reg.UpdateModel(a.tx, m.ModelID, c, have.Revision, a.by); err != nil {
			return err
		}
	}
	a.mapped(it.section, "models").count(o)
	a.touched(o, m.ModelID)
	return nil
}

// or is the entry, or an empty one.
func (m *modelEntry) or() *modelEntry {
	if m == nil {
		return &modelEntry{}
	}
	return m
}

// makeVersion registers the version, as REGISTERED and no more: what the file calls frozen
// has no bytes here. It reports whether the version is there then.
func (a *applying) makeVersion(it *item) (bool, error) {
	m := it.model
	_, err := a.reg.VersionIn(a.tx, m.ModelID, m.Version)
	if err == nil {
		a.mapped(it.section, "versions").count(registry.Unchanged)
		return true, nil
	}
	if caos.KindOf(err) != caos.NotFound {
		return false, err
	}
	_, err = a.reg.CreateVersion(a.tx, registry.Version{ModelID: m.ModelID, Version: m.Version}, a.by)
	switch caos.KindOf(err) {
	case "":
		a.mapped(it.section, "versions").count(registry.Created)
		a.touched(registry.Created, registry.VersionKey(m.ModelID, m.Version))
		return true, nil
	case caos.Invalid, caos.Conflict:
		a.note("line %d: %s is not registered: %s; it is kept as a statement", it.line, registry.VersionKey(m.ModelID, m.Version), caos.AsError(err).Message)
		return false, nil
	}
	return false, err
}

// baseline is what the entry states about a baseline, by itself: this is where whoever looks
// for its id finds that a file knows of it.
func (a *applying) baseline(it *item) registry.Statement {
	s := a.statement(it)
	s.Entry, s.Subject, s.Kind, s.Pointer = it.entry+baselineEntry, it.model.Baseline, "baseline", it.pointer+"/baseline_id"
	return s
}

func (a *applying) stateBaseline(it *item, registered bool) error {
	s := a.baseline(it)
	var all map[string]json.RawMessage
	if err := json.Unmarshal(it.body, &all); err != nil {
		return caos.Wrap(caos.Internal, err, "an entry cannot be read again")
	}
	var b bytes.Buffer
	for _, key := range []string{"model_id", "version", "status", "freeze_date", "baseline_id"} {
		if v, ok := all[key]; ok {
			b.WriteString(map[bool]string{true: "{", false: ","}[b.Len() == 0])
			b.WriteString(`"` + key + `":`)
			b.Write(v)
		}
	}
	b.WriteByte('}')
	s.Body = b.Bytes()
	list := []registry.Statement{s}
	said, err := a.reg.PutStatements(a.tx, list, a.by)
	if err != nil {
		return err
	}
	if is := registry.BaselineID(it.model.ModelID, it.model.Version); is != it.model.Baseline {
		a.note("line %d: the file states the baseline %s for %s, whose baseline will be %s", it.line, it.model.Baseline, it.entry, is)
	}
	if said[0].Outcome != registry.Unchanged {
		open := "and " + it.entry + " may be frozen"
		if !registered {
			open = "and its version is not registered"
		}
		a.note("line %d: the baseline %s is a statement alone: nothing of it is stored here, it passes no gate, %s", it.line, it.model.Baseline, open)
	}
	a.mapped(it.section, "baseline statements").count(said[0].Outcome)
	a.touched(said[0].Outcome, list[0].StatementID)
	return nil
}

// plans keeps what the file states about the version's way into production, with the entries
// of other sections that name the model. What CAOS or people have changed since stays.
func (a *applying) plans(it *item, before *modelEntry) error {
	m := it.model
	i := registry.Industrialisation{ModelID: m.ModelID, Version: m.Version, Phase: registry.Phase(m.Phase), TargetPlatforms: m.Platforms, ReleaseTarget: m.Release}
	if m.Ready {
		a.note("line %d: the file states that %s is ready for production; that is for a review of CAOS to find, and kept as a statement", it.line, it.entry)
	}
	old, err := a.reg.IndustrialisationIn(a.tx, m.ModelID, m.Version)
	if err != nil && caos.KindOf(err) != caos.NotFound {
		return err
	}
	if a.plan.latest[m.ModelID] == m.Version {
		i.Sections = a.plan.sections(m.ModelID)
	}
	if err == nil {
		was := before.or()
		for _, f := range []struct {
			field, has, states, stated string
			leave                      func()
		}{
			{"phase", string(old.Phase), m.Phase, was.Phase, func() { i.Phase = "" }},
			{"release target", old.ReleaseTarget, m.Release, was.Release, func() { i.ReleaseTarget = "" }},
			{"target platforms", strings.Join(old.TargetPlatforms, ", "), strings.Join(m.Platforms, ", "), strings.Join(was.Platforms, ", "),
				func() { i.TargetPlatforms = nil }},
		} {
			if f.has == "" || f.has == f.states || f.states == "" || before != nil && f.has == f.stated {
				continue
			}
			f.leave()
			a.note("line %d: the record of %s has the %s %q and the file states %q; the record stays as it is", it.line, it.entry, f.field, clip(f.has), clip(f.states))
		}
		a.dropped(old, &i)
	}
	return a.industrialise(it.section, i)
}

// dropped has sections taken out of a record that the file put there and that name the model
// no more.
func (a *applying) dropped(old, i *registry.Industrialisation) {
	for name, body := range old.Sections {
		var p part
		if _, still := i.Sections[name]; i.Sections != nil && !still && json.Unmarshal(body, &p) == nil && p.Source == a.plan.Name && name != readinessSection {
			i.Sections[name] = nil
		}
	}
}
