package readiness

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/db"
)

// StatedRisk is what a file says about a risk: its texts, and numbers of 0 for what it does
// not say.
type StatedRisk struct {
	RiskID             string // in the file's form, such as R-001
	ModelID            string // "" if the file does not say
	Version            string
	Title              string
	Description        string
	Category           string
	Likelihood         int
	Impact             int
	Mitigation         string
	ResidualLikelihood int
	ResidualImpact     int
	Owner              string
	Status             string // in the file's words
	ReviewOn           string
}

// statusWords are the words in which registers state where a risk stands, and the states.
func statusWords(word string) (RiskStatus, bool) {
	switch strings.ToLower(strings.NewReplacer("_", " ", "-", " ").Replace(strings.TrimSpace(word))) {
	case "", "open", "new", "identified", "active":
		return RiskOpen, true
	case "mitigating", "in progress", "in mitigation", "mitigated", "treating", "monitoring":
		return RiskMitigating, true
	case "accepted":
		return RiskAccepted, true
	case "closed", "resolved", "retired":
		return RiskClosed, true
	}
	return "", false
}

// Check refuses what cannot be a risk, naming the field in the API's words.
func (s *StatedRisk) Check() error {
	if strings.TrimSpace(s.RiskID) == "" || len(s.RiskID) > 24 || riskIDOf(s.RiskID, "NN-A-001") == "" {
		return caos.Errorf(caos.Invalid, "%.40q cannot name a risk", s.RiskID).WithField("risk_id").
			WithHint("1 to 24 letters, digits and single dashes, such as R-001: it is by this that a later state of the file finds the risk again")
	}
	if _, ok := statusWords(s.Status); !ok {
		return caos.Errorf(caos.Invalid, "%.40q is no state of a risk", s.Status).WithField("status").WithHint("Open, Mitigating, Accepted or Closed")
	}
	k := s.risk("NN-A-001")
	if s.ModelID != "" {
		k.ModelID = s.ModelID
	}
	k.RiskID, k.Owner = "RISK-A", ""
	if err := checkLine("owner", s.Owner, 200); err != nil {
		return err
	}
	return k.check()
}

// riskIDOf is the id that a risk of a file has here: its own if it has our form, else one
// made of it and the model; "" if that cannot be done. The same row has the same id each
// time.
func riskIDOf(stated, modelID string) string {
	id := strings.ToUpper(strings.Map(func(r rune) rune {
		if r == '_' || r == '.' || r == ' ' || r == '/' {
			return '-'
		}
		return r
	}, strings.TrimSpace(stated)))
	if riskID.MatchString(id) {
		return id
	}
	if id = "RISK-" + caos.ShortID(modelID) + "-" + id; riskID.MatchString(id) {
		return id
	}
	return ""
}

// ID is the id that the risk has here, as one of a model.
func (s *StatedRisk) ID(modelID string) string { return riskIDOf(s.RiskID, modelID) }

// risk is the risk of a model that is stated.
func (s *StatedRisk) risk(modelID string) Risk {
	return Risk{RiskID: riskIDOf(s.RiskID, modelID), Title: s.Title, Description: s.Description, Category: s.Category, Likelihood: s.Likelihood, Impact: s.Impact,
		Mitigation: s.Mitigation, ResidualLikelihood: s.ResidualLikelihood, ResidualImpact: s.ResidualImpact, ModelID: modelID, Version: s.Version, ReviewOn: s.ReviewOn}
}

// RiskImport is a row of a risk register on its way in. The statement that keeps the row's
// own words is the caller's.
type RiskImport struct {
	Stated         StatedRisk  // with its model
	Before         *StatedRisk // what the same row of the file stated before, nil if nothing
	Source         string      // id of the statement
	Project        string      // the model's
	Classification string
	Owners         []string // who owns or ever owned the model
}

// RiskImported says what became of a row.
type RiskImported struct {
	Risk             *Risk
	Created, Changed bool
	Notes            []string // what a reader would not expect
}

func (i *RiskImported) note(format string, args ...any) {
	i.Notes = append(i.Notes, fmt.Sprintf(format, args...))
}

// ImportRisk makes a risk of a row, or brings one up to date that the row made before: what
// the file states otherwise than before is taken over, unless somebody has changed it here
// meanwhile. A row never accepts or closes a risk, and an owner that is nobody's account is
// none. Whoever imports neither accepts nor closes it. It writes no audit record: the import
// has one. Errors: Invalid naming the field, Conflict if the id is another model's.
func (r *Readiness) ImportRisk(tx *db.Tx, in RiskImport, by By) (*RiskImported, error) {
	if err := in.Stated.Check(); err != nil {
		return nil, err
	}
	out := &RiskImported{}
	id := riskIDOf(in.Stated.RiskID, in.Stated.ModelID)
	if id == "" {
		return nil, caos.Errorf(caos.Invalid, "%.40q and the name of %s are too long for the id of a risk together", in.Stated.RiskID, in.Stated.ModelID).
			WithField("risk_id").WithHint("give the row a shorter id, or one that begins with RISK-")
	}
	k, err := r.RiskIn(tx, id)
	switch {
	case caos.KindOf(err) == caos.NotFound:
		return out, r.importNew(tx, in, out, by)
	case err != nil:
		return nil, err
	case k.ModelID != in.Stated.ModelID || k.Project != in.Project:
		return nil, caos.Errorf(caos.Conflict, "the risk %s is another model's", id).WithField("risk_id").WithHint("give the row an id of its own")
	}
	out.Risk = k
	return out, r.importChange(tx, in, out, by)
}

// importNew makes the risk of a row that had none.
func (r *Readiness) importNew(tx *db.Tx, in RiskImport, out *RiskImported, by By) error {
	k := in.Stated.risk(in.Stated.ModelID)
	owner, err := r.importOwner(tx, in.Stated.Owner)
	if err != nil {
		return err
	}
	if owner == "" {
		out.note("%s has no owner: the file states %q, which is no person with an account here", k.RiskID, clip(in.Stated.Owner))
	}
	k.Owner, k.Source, k.Project, k.Classification = owner, in.Source, in.Project, in.Classification
	k.Involved, k.Importers = involve(nil, owner), involve(nil, by.Actor, by.recorder())
	k.Status = RiskOpen
	switch stated, _ := statusWords(in.Stated.Status); stated {
	case RiskMitigating:
		k.Status = RiskMitigating
	case RiskAccepted, RiskClosed:
		k.Status = reopened(&k)
		out.note("%s is stated as %s, and is %s here: that is for somebody to decide", k.RiskID, clip(in.Stated.Status), k.Status)
	}
	k.weigh(ShippedScale())
	k.clipReview(r.now(), out)
	if err := r.insertRisk(tx, &k, by); err != nil {
		return err
	}
	out.Risk, out.Created, out.Changed = &k, true, true
	return nil
}

// importOwner is who a file calls the owner, "" unless that is a person with an account.
func (r *Readiness) importOwner(tx *db.Tx, stated string) (string, error) {
	if caos.CheckID("user", "owner", stated) != nil {
		return "", nil
	}
	known, err := r.people.KnownPerson(tx, stated)
	if err != nil || !known {
		return "", err
	}
	return stated, nil
}

// clipReview brings a stated review that is later than the scale allows forward.
func (k *Risk) clipReview(now time.Time, out *RiskImported) {
	if latest := ShippedScale().NextReview(k.Stands(), now); k.ReviewOn > latest {
		out.note("%s is stated to be looked at again on %s; at %s that is by %s", k.RiskID, k.ReviewOn, k.StandsAt(), latest)
		k.ReviewOn = latest
	}
}

// importChange takes over what a row states otherwise than before.
func (r *Readiness) importChange(tx *db.Tx, in RiskImport, out *RiskImported, by By) error {
	k, before := out.Risk, *out.Risk
	if err := r.merge(tx, in, out); err != nil {
		return err
	}
	if k.Status == RiskClosed {
		if k.content() != before.content() {
			*k = before
			out.note("%s is closed here; what the file states of it now is kept as a statement alone", k.RiskID)
		}
		return nil
	}
	if k.content() == before.content() && k.Status == before.Status && k.ReviewOn == before.ReviewOn {
		return nil
	}
	k.weigh(ShippedScale())
	if err := k.lighter(&before, in.Owners, by); err != nil {
		return err
	}
	k.clipReview(r.now(), out)
	if err := k.settle(&before, false, r.now()); err != nil {
		return err
	}
	if before.Accepted != nil && k.Accepted == nil {
		out.note("%s was accepted by %s; that is void, as the file states something else now", k.RiskID, before.Accepted.By)
	}
	k.Source, k.Importers = in.Source, involve(k.Importers, by.Actor, by.recorder())
	k.Involved = involve(k.Involved, k.Owner)
	out.Changed = true
	if err := r.storeRisk(tx, k); err != nil {
		return err
	}
	return r.tellChange(tx, k, &before)
}

// merge copies the fields of a row that the file states otherwise than before, where nobody
// has changed them here.
func (r *Readiness) merge(tx *db.Tx, in RiskImport, out *RiskImported) error {
	k, was, now := out.Risk, StatedRisk{}, in.Stated
	if in.Before != nil {
		was = *in.Before
	}
	for _, f := range []struct {
		name     string
		has      *string
		now, was string
		needed   bool // cannot be taken back
	}{
		{"title", &k.Title, now.Title, was.Title, true}, {"description", &k.Description, now.Description, was.Description, false},
		{"category", &k.Category, now.Category, was.Category, false}, {"mitigation", &k.Mitigation, now.Mitigation, was.Mitigation, false},
		{"version", &k.Version, now.Version, was.Version, false},
	} {
		switch {
		case *f.has == f.now, f.now == "" && (f.was == "" || f.needed):
		case in.Before != nil && *f.has == f.was:
			*f.has = f.now
		default:
			out.note("%s has the %s %q and the file states %q; it stays as it is", k.RiskID, f.name, clip(*f.has), clip(f.now))
		}
	}
	for _, f := range []struct {
		name       string
		has1, has2 *int
		now1, now2 int
		was1, was2 int
	}{
		{"likelihood and impact", &k.Likelihood, &k.Impact, now.Likelihood, now.Impact, was.Likelihood, was.Impact},
		{"residual likelihood and impact", &k.ResidualLikelihood, &k.ResidualImpact, now.ResidualLikelihood, now.ResidualImpact, was.ResidualLikelihood, was.ResidualImpact},
	} {
		switch {
		case *f.has1 == f.now1 && *f.has2 == f.now2, f.now1 == 0 && f.was1 == 0:
		case in.Before != nil && *f.has1 == f.was1 && *f.has2 == f.was2:
			*f.has1, *f.has2 = f.now1, f.now2
		default:
			out.note("%s has %s of %d and %d and the file states %d and %d; it stays as it is", k.RiskID, f.name, *f.has1, *f.has2, f.now1, f.now2)
		}
	}
	return r.mergeState(tx, in, was, out)
}

// mergeState is merge for owner, status and review, which people move on here: what the file
// still states in the same words is no news.
func (r *Readiness) mergeState(tx *db.Tx, in RiskImport, was StatedRisk, out *RiskImported) error {
	k, now := out.Risk, in.Stated
	if in.Before == nil || now.Owner != was.Owner {
		owner, err := r.importOwner(tx, now.Owner)
		if err != nil {
			return err
		}
		stated, err := r.importOwner(tx, was.Owner)
		if err != nil {
			return err
		}
		switch {
		case owner == k.Owner || now.Owner == "":
		case owner == "":
			out.note("%s is owned by %q here; the file states %q, which is no person with an account", k.RiskID, k.Owner, clip(now.Owner))
		case k.Owner == "" || in.Before != nil && k.Owner == stated:
			k.Owner = owner
		default:
			out.note("%s is owned by %s here and the file states %s; it stays as it is", k.RiskID, k.Owner, owner)
		}
	}
	if in.Before != nil && now.ReviewOn != was.ReviewOn && now.ReviewOn != "" {
		k.ReviewOn = now.ReviewOn
	}
	if in.Before == nil || now.Status == was.Status {
		return nil
	}
	switch stated, _ := statusWords(now.Status); {
	case stated == k.Status:
	case slices.Contains([]RiskStatus{RiskOpen, RiskMitigating}, stated) && slices.Contains([]RiskStatus{RiskOpen, RiskMitigating}, k.Status):
		k.Status = stated
	default:
		out.note("%s is stated as %s, and stays %s here: that is for somebody to decide", k.RiskID, clip(now.Status), k.Status)
	}
	return nil
}
