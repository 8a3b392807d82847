package importer

import (
	"cmp"
	"encoding/json"
	"errors"
	"strings"

	"caos"
	"caos/internal/db"
	"caos/internal/registry"
)

// errUndo ends a dry run's transaction.
var errUndo = errors.New("dry run")

// Run applies a whole file, in as many transactions as it needs. update runs a function in
// an audited transaction, and authorises it there: db.Update, with whatever the caller has
// to check. If a long file stops half way, what was applied stays and importing the file
// again does the rest: every piece is idempotent.
func Run(update func(fn func(tx *db.Tx) error) error, reg *registry.Registry, plan *Plan, opt Options, by registry.By) (*Report, error) {
	total := newReport(plan, opt)
	for {
		var piece *Report
		err := update(func(tx *db.Tx) (err error) {
			if piece, err = Apply(tx, reg, plan, opt, by); err == nil && opt.DryRun {
				err = errUndo
			}
			return err
		})
		switch {
		case err != nil && !errors.Is(err, errUndo):
			if opt.From > 0 {
				e := caos.AsError(err)
				err = caos.Wrap(e.Kind, err, "%s: the first %d of %d entries are imported, then: %s", plan.Name, opt.From, len(plan.items), e.Message).
					WithField(e.Field).WithHint("import the file again: what is there stays, the rest follows")
			}
			return nil, err
		case piece == nil:
			return nil, caos.Errorf(caos.Internal, "the transaction did not run")
		}
		total.add(piece)
		if total.Next == 0 {
			total.stay()
			total.Notes = append(append([]string{}, plan.notes...), total.notes.all()...)
			return total, nil
		}
		opt.From, opt.After = total.Next, total.After
	}
}

func newReport(plan *Plan, opt Options) *Report {
	return &Report{File: plan.Name, Digest: plan.Digest, Kind: plan.Kind, Entries: len(plan.items), Project: opt.Project, DryRun: opt.DryRun,
		Mapped: []Mapped{}, Kept: []Kept{}, Notes: []string{}}
}

// Apply applies up to PieceSize entries of a file, from Options.From on, in the caller's
// audited transaction. Report.Next is where the next piece begins, 0 after the last.
// Errors: Invalid without the baseline of a readiness table, NotFound if its version is not
// registered, Conflict or Denied for models of another project. Notes about the file itself
// are not in the report of a piece; Run adds them.
func Apply(tx *db.Tx, reg *registry.Registry, plan *Plan, opt Options, by registry.By) (*Report, error) {
	if opt.From < 0 || opt.From > len(plan.items) {
		return nil, caos.Errorf(caos.Internal, "there is no entry %d of %d", opt.From, len(plan.items))
	}
	if plan.keys == nil {
		return nil, caos.Errorf(caos.Internal, "the plan does not come from Read")
	}
	a := &applying{tx: tx, reg: reg, plan: plan, opt: opt, by: by, Report: newReport(plan, opt), records: map[string]bool{}}
	a.Pieces = 1
	about := func() error { return nil }
	switch plan.Kind {
	case Readiness:
		about = a.about
	case RiskRegister:
		about = a.aboutRisks
	}
	if err := about(); err != nil {
		return nil, err
	}
	to := plan.piece(opt.From)
	if err := a.entries(plan.items[opt.From:to]); err != nil {
		return nil, err
	}
	if to < len(plan.items) {
		a.Next = to
	} else if err := a.end(); err != nil {
		return nil, err
	}
	a.Notes = append(a.Notes, a.notes.all()...)
	return a.Report, a.record()
}

// piece is where the piece that begins at an entry ends. A model counts for several, and so
// does a risk: much is made of them.
func (p *Plan) piece(from int) int {
	const model, risk = 15, 4
	for weight := 0; from < len(p.items); from++ {
		switch it := &p.items[from]; {
		case it.model != nil:
			weight += model - 1
		case it.risk != nil:
			weight += risk - 1
		}
		if weight++; weight > PieceSize {
			break
		}
	}
	return from
}

// applying is a piece of a file being applied.
type applying struct {
	*Report
	tx   *db.Tx
	reg  *registry.Registry
	plan *Plan
	opt  Options
	by   registry.By

	modelID, version string // what a readiness table is about
	resources        []string
	records          map[string]bool // whether a version has an industrialisation record
}

// about finds out which version a readiness table is about.
func (a *applying) about() error {
	if a.opt.Baseline == "" {
		return caos.Errorf(caos.Invalid, "%s is a readiness table, and does not say of which baseline", a.plan.Name).WithField("baseline").
			WithHint("name it: caos import --baseline BL-FCS-2.1.0 %s", a.plan.Name)
	}
	model, version, ok := strings.Cut(a.opt.Baseline, "@")
	if !ok {
		var err error
		if model, version, err = registry.ParseBaselineID(a.opt.Baseline); err != nil {
			return caos.AsError(err).WithField("baseline")
		}
	}
	if err := caos.CheckID("model", "baseline", model); err != nil {
		return err
	}
	if err := caos.CheckID("version", "baseline", version); err != nil {
		return err
	}
	v, err := a.reg.VersionIn(a.tx, model, version)
	if caos.KindOf(err) == caos.NotFound || err == nil && v.Project != a.opt.Project {
		return caos.Errorf(caos.NotFound, "the version %s is not registered in this project", registry.VersionKey(model, version)).WithField("baseline").
			WithHint("import the registry that describes it first, or register it: caos model version %s %s", model, version)
	}
	if err == nil && !a.mayTouch(v.Classification) {
		err = higher(registry.VersionKey(model, version))
	}
	a.modelID, a.version = model, version
	return err
}

// entries applies a part of the file: statements first, which everything else rests on.
func (a *applying) entries(items []item) error {
	said, list, err := a.state(items)
	if err != nil {
		return err
	}
	var links []registry.Link
	var linked []*item
	for i := range items {
		it := &items[i]
		a.Said.count(said[i].Outcome)
		switch {
		case it.model != nil:
			if err := a.model(it, said[i]); err != nil {
				return it.locate(a.plan, err)
			}
		case it.link != nil:
			l := *it.link
			l.Project, l.Classification, l.Source = a.opt.Project, a.opt.Classification, list[i].StatementID
			links, linked = append(links, l), append(linked, it)
		case it.risk != nil:
			if err := a.risk(it, said[i], list[i].StatementID); err != nil {
				return it.locate(a.plan, err)
			}
		default:
			if err := a.keep(it, said[i].Outcome); err != nil {
				return err
			}
		}
	}
	if len(links) == 0 {
		return a.table(items)
	}
	outcomes, err := a.reg.PutLinks(a.tx, links, a.by)
	if err != nil {
		return err
	}
	for i, o := range outcomes {
		a.mapped(linked[i].section, "links").count(o)
		a.touched(o, links[i].LinkID)
	}
	return nil
}

// locate says which entry an error is about.
func (it *item) locate(p *Plan, err error) error {
	e := caos.AsError(err)
	if e.Kind == caos.Internal || e.Kind.Retryable() {
		return err
	}
	return caos.Wrap(e.Kind, err, "%s, line %d: %s", p.Name, it.line, e.Message).WithField(e.Field).WithHint("%s", e.Hint).WithRule(e.Rule)
}

// state puts the statements of the entries.
func (a *applying) state(items []item) ([]registry.Said, []registry.Statement, error) {
	list := make([]registry.Statement, len(items))
	for i := range items {
		list[i] = a.statement(&items[i])
	}
	said, err := a.reg.PutStatements(a.tx, list, a.by)
	for i := range said {
		a.touched(said[i].Outcome, list[i].StatementID)
	}
	return said, list, err
}

func (a *applying) statement(it *item) registry.Statement {
	s := registry.Statement{
		SourceName: a.plan.Name, SourceDigest: a.plan.Digest, Section: it.section, Entry: it.entry, Pointer: it.pointer,
		Subject: it.subject, Kind: it.kind, Body: it.body, Project: a.opt.Project, Classification: a.opt.Classification,
	}
	if a.plan.Kind == Readiness {
		s.Subject = registry.BaselineID(a.modelID, a.version)
		s.Entry = s.Subject + " " + s.Entry // the same table may be kept for several baselines
	}
	if it.risk != nil {
		s.Subject, s.Entry = it.risk.ID(cmp.Or(it.risk.ModelID, a.modelID)), a.riskEntry(it)
	}
	return s
}

// touched remembers what a change was made to, for the record.
func (a *applying) touched(o registry.Outcome, id string) {
	if o != registry.Unchanged {
		a.Changed = true
		a.resources = append(a.resources, id)
	}
}

func (c *Counts) count(o registry.Outcome) {
	switch o {
	case registry.Created:
		c.Created++
	case registry.Updated:
		c.Updated++
	case registry.Unchanged:
		c.Unchanged++
	}
}

// keep counts an entry that nothing is made of, and says where else it is kept.
func (a *applying) keep(it *item, o registry.Outcome) error {
	k := a.kept(it.section)
	k.count(o)
	if a.plan.Kind == Readiness {
		k.under(registry.VersionKey(a.modelID, a.version))
	}
	for _, id := range it.models {
		v := a.plan.latest[id]
		if v == "" {
			a.note("line %d: %s names %s, which the file does not describe; it is kept as a statement alone", it.line, name(it), id)
			continue
		}
		there, err := a.recorded(id, v)
		if err != nil {
			return err
		}
		if there {
			k.under(registry.VersionKey(id, v))
		}
	}
	return nil
}

// recorded reports whether a version has an industrialisation record: a version that could
// not be registered has none. In a dry run the pieces before this one are undone.
func (a *applying) recorded(modelID, version string) (bool, error) {
	key := registry.VersionKey(modelID, version)
	there, known := a.records[key]
	if known || a.opt.DryRun && a.opt.From > 0 {
		return there || !known, nil
	}
	_, err := a.reg.IndustrialisationIn(a.tx, modelID, version)
	if err != nil && caos.KindOf(err) != caos.NotFound {
		return false, err
	}
	a.records[key] = err == nil
	return err == nil, nil
}

// name is what an entry is called in a note.
func name(it *item) string {
	if it.subject != "" {
		return it.subject
	}
	return it.section
}

// part is what a file stated, as an industrialisation record keeps it.
type part struct {
	Source  string            `json:"source"`  // name of the file
	Entries []json.RawMessage `json:"entries"` // in its words
}

// sections gathers what the file states about a version and nothing else has a place for.
func (p *Plan) sections(modelID string) map[string]json.RawMessage {
	parts := map[string]*part{}
	for _, i := range p.naming[modelID] {
		it := &p.items[i]
		if parts[it.section] == nil {
			parts[it.section] = &part{Source: p.Name}
		}
		parts[it.section].Entries = append(parts[it.section].Entries, it.body)
	}
	return encode(parts)
}

func encode(parts map[string]*part) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for name, one := range parts {
		if text, err := json.Marshal(one); err == nil { // strings and JSON always have a JSON form
			out[name] = text
		}
	}
	return out
}

// table keeps the rows of a readiness table whole under the industrialisation record. The
// first piece does it for the whole table.
func (a *applying) table(items []item) error {
	if a.plan.Kind != Readiness || a.opt.From > 0 {
		return nil
	}
	all := &part{Source: a.plan.Name}
	mine := registry.BaselineID(a.modelID, a.version)
	for i := range a.plan.items {
		it := &a.plan.items[i]
		all.Entries = append(all.Entries, it.body)
		for _, other := range baselinesIn(string(it.body)) {
			if other != mine {
				a.note("line %d: the row speaks of %s, the import was told %s", it.line, other, mine)
			}
		}
	}
	err := a.industrialise(readinessSection, registry.Industrialisation{
		ModelID: a.modelID, Version: a.version, Sections: encode(map[string]*part{readinessSection: all}),
	})
	if err != nil {
		return err
	}
	return a.checklists()
}

// industrialise puts an industrialisation record and counts it.
func (a *applying) industrialise(section string, i registry.Industrialisation) error {
	_, o, err := a.reg.PutIndustrialisation(a.tx, i, a.by)
	if err != nil {
		return err
	}
	a.mapped(section, "industrialisation records").count(o)
	a.touched(o, registry.VersionKey(i.ModelID, i.Version))
	return nil
}

// end ends what an earlier state of the file stated and this one does not.
func (a *applying) end() error {
	ended, next, err := a.reg.EndMissing(a.tx, registry.StatementFile{Project: a.opt.Project, SourceName: a.plan.Name}, a.opt.After,
		func(s *registry.Statement) bool {
			if a.plan.Kind == Readiness && s.Subject != registry.BaselineID(a.modelID, a.version) {
				return false
			}
			if model, _ := riskEntryOf(s.Entry); a.plan.Kind == RiskRegister && model != "" && model != a.modelID {
				return false
			}
			return !a.states(s.Key())
		})
	if err != nil {
		return err
	}
	if next != "" {
		a.Next, a.After = len(a.plan.items), next
	}
	for i := range ended {
		a.touched(registry.Updated, ended[i].StatementID)
		switch ended[i].Kind {
		case "link":
			a.gone.links++
		case "model":
			a.gone.models++
		case "risk":
			a.gone.risks++
		}
	}
	a.Ended = len(ended)
	return nil
}

// states reports whether the file has an entry.
func (a *applying) states(key registry.StatementKey) bool {
	if a.plan.Kind == Readiness {
		key.Entry = strings.TrimPrefix(key.Entry, registry.BaselineID(a.modelID, a.version)+" ")
	}
	if a.plan.Kind == RiskRegister {
		_, key.Entry = riskEntryOf(key.Entry)
	}
	return a.plan.keys[key]
}

// record appends the audit record of a piece that changed something.
func (a *applying) record() error {
	if !a.Changed {
		return nil
	}
	kept := map[string]Counts{}
	for _, k := range a.Kept {
		kept[k.Section] = k.Counts
	}
	return a.reg.RecordImport(a.tx, registry.ImportRecord{
		SourceName: a.plan.Name, SourceDigest: a.plan.Digest, Project: a.opt.Project, Classification: a.opt.Classification, Resources: a.resources,
		Details: map[string]any{
			"kind": a.plan.Kind, "entries": len(a.plan.items), "from": a.opt.From, "statements": a.Said, "statements_ended": a.Ended,
			"mapped": a.Mapped, "kept": kept,
		},
	}, a.by)
}
