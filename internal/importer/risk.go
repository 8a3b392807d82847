package importer

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"caos"
	"caos/internal/readiness"
	"caos/internal/registry"
)

// riskSection is under which the rows of a risk register are kept.
const riskSection = "risk_register"

// maxRisks bounds a register: that of one model has no more, and a file has one model as a
// rule.
const maxRisks = 1000

// riskField returns the field that a column or key of a risk register means, "" for one that
// is not known. Programmes call the same things by many names.
func riskField(name string) string {
	switch name = strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '_'
	}, name), "_"); name {
	case "risk_id", "id", "risk_no", "risk_number", "ref":
		return "risk_id"
	case "title", "risk", "name", "risk_title", "risk_name", "summary":
		return "title"
	case "description", "risk_description", "details":
		return "description"
	case "category", "risk_category", "type":
		return "category"
	case "likelihood", "probability", "l", "p":
		return "likelihood"
	case "impact", "severity", "consequence", "i", "s":
		return "impact"
	case "score", "risk_score", "initial_score", "rating":
		return "score"
	case "level", "risk_level", "priority", "initial_level":
		return "level"
	case "mitigation", "mitigations", "mitigation_plan", "mitigation_strategy", "treatment", "controls":
		return "mitigation"
	case "residual_likelihood", "residual_probability", "residual_l", "residual_p":
		return "residual_likelihood"
	case "residual_impact", "residual_severity", "residual_i", "residual_s":
		return "residual_impact"
	case "residual_score", "residual_risk", "residual":
		return "residual_score"
	case "residual_level":
		return "residual_level"
	case "owner", "risk_owner", "responsible":
		return "owner"
	case "status", "state", "risk_status":
		return "status"
	case "review_on", "review_date", "next_review", "next_review_date", "review":
		return "review_on"
	case "model_id", "model":
		return "model_id"
	case "model_version", "version":
		return "model_version"
	}
	return ""
}

// readsAsRisks reports whether the names are those of a risk register.
func readsAsRisks(names []string) bool {
	fields := map[string]bool{}
	for _, n := range names {
		fields[riskField(n)] = true
	}
	return fields["risk_id"] && fields["title"] && fields["likelihood"] && fields["impact"]
}

// riskCells are what a row states, by field, without the space around it.
type riskCells map[string]string

// number reads a rating or score; an empty cell is 0.
func (c riskCells) number(field string, most int) (int, error) {
	text := c[field]
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most || strconv.Itoa(n) != text {
		return 0, caos.Errorf(caos.Invalid, "%.40q is not a whole number from 1 to %d", text, most).WithField(field).
			WithHint("1 is the least, %d the most", most)
	}
	return n, nil
}

// risk reads the row. Errors name the field.
func (c riskCells) risk() (*readiness.StatedRisk, error) {
	s := &readiness.StatedRisk{RiskID: c["risk_id"], ModelID: c["model_id"], Version: c["model_version"], Title: c["title"], Description: c["description"],
		Category: c["category"], Mitigation: c["mitigation"], Owner: c["owner"], Status: c["status"], ReviewOn: c["review_on"]}
	if err := registry.CheckDate("review_on", s.ReviewOn); err != nil {
		return nil, err
	}
	for _, f := range []struct {
		field string
		to    *int
	}{
		{"likelihood", &s.Likelihood}, {"impact", &s.Impact}, {"residual_likelihood", &s.ResidualLikelihood}, {"residual_impact", &s.ResidualImpact},
	} {
		var err error
		if *f.to, err = c.number(f.field, 5); err != nil {
			return nil, err
		}
	}
	if err := s.Check(); err != nil {
		return nil, err
	}
	if err := c.agrees("score", "level", s.Likelihood*s.Impact); err != nil {
		return nil, err
	}
	return s, c.agrees("residual_score", "residual_level", s.ResidualLikelihood*s.ResidualImpact)
}

// agrees refuses a score or level that is not that of likelihood × impact: one of them is
// wrong, and nobody here knows which.
func (c riskCells) agrees(score, level string, is int) error {
	n, err := c.number(score, 25)
	if err != nil {
		return err
	}
	if n != 0 && is == 0 {
		return caos.Errorf(caos.Invalid, "a residual score of %d without what it is the product of", n).WithField(score).
			WithHint("add the columns residual_likelihood and residual_impact, 1 to 5 each")
	}
	if n != 0 && n != is {
		return caos.Errorf(caos.Invalid, "the score is %d, and likelihood × impact is %d", n, is).WithField(score).WithHint("correct the one that is wrong")
	}
	want := string(readiness.ShippedScale().Level(is))
	if word := c[level]; word != "" && !strings.EqualFold(word, want) {
		return caos.Errorf(caos.Invalid, "the level is %.40q, and a score of %d is %s", word, is, cmp.Or(want, "none")).WithField(level).
			WithHint("Low to 4, Medium to 9, High to 14, Critical above")
	}
	return nil
}

// riskColumns refuses columns that mean the same, and notes those that are not known.
func (t *table) riskColumns() error {
	if err := t.columns(nil); err != nil {
		return err
	}
	t.unknown = notes{} // columns knows none of them
	t.fields = make([]string, len(t.header))
	for i, name := range t.header {
		t.fields[i] = riskField(name)
		line, column := t.csv.FieldPos(i)
		if t.fields[i] == "" {
			t.unknown.add("line 1: the column %s is not known; it is kept in the statements", name)
		} else if first := slices.Index(t.fields[:i], t.fields[i]); first >= 0 {
			return t.where(line, column, name, "the columns %s and %s both mean %s", t.header[first], name, t.fields[i]).WithHint("rename or remove one of the two")
		}
	}
	return nil
}

// riskRow reads a row of a risk register.
func (t *table) riskRow(seen map[string]int) error {
	cells, at := riskCells{}, map[string]int{}
	for i, field := range t.fields {
		if field != "" {
			cells[field], at[field] = strings.TrimSpace(t.row[i]), i
		}
	}
	if len(t.plan.items) == maxRisks {
		return t.cell(0, "the register has more than %d risks", maxRisks).WithHint("divide the file by model")
	}
	s, err := cells.risk()
	if err != nil {
		e := caos.AsError(err)
		out := t.cell(at[e.Field], "%s", e.Message)
		out.Kind, out.Hint = e.Kind, e.Hint
		return out
	}
	if err := t.once(seen, riskKey(s), "the risk "+clip(s.RiskID), at["risk_id"]); err != nil {
		return err
	}
	return t.item(riskItem(s))
}

// riskKey is what tells the rows of a register apart: R-1 and r_1 are one risk.
func riskKey(s *readiness.StatedRisk) string { return s.ID(cmp.Or(s.ModelID, "NN-A-001")) }

// ofModel stands between the id and the model of a row that says its model.
const ofModel = " of "

// riskItem is an entry of a register. A row is found again by its id, and its model if it
// says that.
func riskItem(s *readiness.StatedRisk) item {
	it := item{section: riskSection, entry: s.RiskID, kind: "risk", risk: s}
	if s.ModelID != "" {
		it.entry += ofModel + s.ModelID
	}
	return it
}

// riskEntry names a row within the file. A register that does not say its model may be kept
// for several.
func (a *applying) riskEntry(it *item) string {
	if it.risk.ModelID == "" && a.modelID != "" {
		return a.modelID + " " + it.entry
	}
	return it.entry
}

// riskEntryOf is the other way: the model that was said for the file, "" if the row says it.
func riskEntryOf(entry string) (modelID, row string) {
	if model, rest, ok := strings.Cut(entry, " "); ok && !strings.Contains(entry, ofModel) && caos.CheckID("model", "", model) == nil {
		return model, rest
	}
	return "", entry
}

// statedBefore reads a row as it was kept; nil if it stated no risk then.
func statedBefore(body []byte) *readiness.StatedRisk {
	cells, err := cellsOf(body)
	if err != nil {
		return nil
	}
	s, err := cells.risk()
	if err != nil {
		return nil
	}
	return s
}

// cellsOf are the fields of a kept row. What is neither text nor a number is refused.
func cellsOf(body []byte) (riskCells, error) {
	var row map[string]json.RawMessage
	if err := json.Unmarshal(body, &row); err != nil {
		return nil, err
	}
	cells := riskCells{}
	for name, raw := range row {
		field := riskField(name)
		if field == "" {
			continue
		}
		text, err := scalar(raw)
		if err != nil {
			return nil, caos.Errorf(caos.Invalid, "a text or a number belongs here").WithField(name)
		}
		cells[field] = strings.TrimSpace(text)
	}
	return cells, nil
}

// scalar is a JSON text or number as a cell has it; null is empty.
func scalar(raw json.RawMessage) (string, error) {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return "", err
	}
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case float64:
		return string(raw), nil
	}
	return "", strconv.ErrSyntax
}

// risk makes a risk of a row.
func (a *applying) risk(it *item, said registry.Said, source string) error {
	if a.opt.Readiness == nil {
		return caos.Errorf(caos.Unavailable, "no risk register is kept here")
	}
	in := readiness.RiskImport{Stated: *it.risk, Source: source}
	if in.Stated.ModelID == "" {
		in.Stated.ModelID = a.modelID
	}
	if in.Stated.Version == "" && in.Stated.ModelID == a.modelID {
		in.Stated.Version = a.version
	}
	m, err := a.riskModel(in.Stated.ModelID, in.Stated.Version)
	if err != nil {
		return err
	}
	in.Project, in.Classification, in.Owners = m.Project, m.Classification, append([]string{m.Owner}, m.FormerOwners...)
	if said.Before != nil {
		if in.Before = statedBefore(said.Before.Body); in.Before != nil && in.Before.Version == "" && in.Stated.ModelID == a.modelID {
			in.Before.Version = a.version
		}
	}
	done, err := a.opt.Readiness.ImportRisk(a.tx, in, readiness.By{Actor: a.by.Actor, RecordedBy: a.by.RecordedBy, Execution: a.by.Execution, Hook: a.by.Hook})
	if err != nil {
		return err
	}
	o := registry.Unchanged
	switch {
	case done.Created:
		o = registry.Created
	case done.Changed:
		o = registry.Updated
	}
	a.mapped(it.section, "risks").count(o)
	a.touched(o, done.Risk.RiskID)
	for _, n := range done.Notes {
		a.note("line %d: %s", it.line, n)
	}
	return nil
}

// riskModel is the model of a row, if whoever imports may touch it.
func (a *applying) riskModel(modelID, version string) (*registry.Model, error) {
	if modelID == "" {
		return nil, caos.Errorf(caos.Invalid, "the row does not say of which model").WithField("model_id").
			WithHint("add a column model_id, or say it for the whole file: caos import --baseline NN-FCS-001 %s", a.plan.Name)
	}
	m, err := a.reg.ModelIn(a.tx, modelID)
	if caos.KindOf(err) == caos.NotFound || err == nil && m.Project != a.opt.Project {
		return nil, caos.Errorf(caos.NotFound, "the model %s is not registered in this project", modelID).WithField("model_id").
			WithHint("register it first: caos model create %s", modelID)
	}
	if err != nil {
		return nil, err
	}
	if !a.mayTouch(m.Classification) {
		return nil, higher(modelID)
	}
	if version != "" {
		if _, err := a.reg.VersionIn(a.tx, modelID, version); caos.KindOf(err) == caos.NotFound {
			return nil, caos.Errorf(caos.NotFound, "the version %s is not registered", registry.VersionKey(modelID, version)).WithField("model_version").
				WithHint("register it first, or leave the version out: the risk is then one of every version")
		} else if err != nil {
			return nil, err
		}
	}
	return m, nil
}

// aboutRisks finds out what a risk register is about that does not say so itself: a model, or
// one version of it.
func (a *applying) aboutRisks() error {
	if a.opt.Baseline == "" {
		return nil
	}
	if caos.CheckID("model", "baseline", a.opt.Baseline) == nil {
		a.modelID = a.opt.Baseline
		return nil
	}
	return a.about()
}
