package readiness

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/codec"
	"caos/internal/db"
	"caos/internal/event"
)

// nounRisk is what the editions of a risk are kept as. Their scope is the model.
const nounRisk = "risk"

// numbering is how the nouns of a table get their ids.
type numbering struct{ prefix, table, column string } // column: of the id

// next returns the number of a model's next row, and its id: the one that somebody chose, or
// one made of the number, past those that somebody chose before.
func (n numbering) next(tx *db.Tx, given, modelID string) (id string, number int64, err error) {
	if err := tx.QueryRow(`SELECT COALESCE(MAX(number), 0) + 1 FROM `+n.table+` WHERE model_id = $1`, modelID).Scan(&number); err != nil {
		return "", 0, err
	}
	if given != "" {
		return given, number, nil
	}
	const tries = 100
	for i := number; i < number+tries; i++ {
		id = n.prefix + caos.ShortID(modelID) + "-" + strconv.FormatInt(i, 10)
		var taken int64
		if err := tx.QueryRow(`SELECT COUNT(*) FROM `+n.table+` WHERE `+n.column+` = $1`, id).Scan(&taken); err != nil || taken == 0 {
			return id, number, err
		}
	}
	return "", 0, caos.Errorf(caos.Conflict, "the next %d ids of %s are taken", tries, modelID).WithField(n.column).WithHint("give an id of your own")
}

// CreateRisk writes a risk of a model into the register. An empty RiskID gets the model's
// next number, an empty Owner is who acts, an empty ReviewOn follows from the scale.
// Project and Classification are the model's, which the caller has read. What only later
// acts set (status, acceptance, closure) is not read. Errors: Invalid naming the field,
// Conflict if the id is taken, TooLarge past 1000 risks of a model.
func (r *Readiness) CreateRisk(tx *db.Tx, k Risk, by By) (*Risk, error) {
	if k.Owner == "" {
		k.Owner = by.Actor
	}
	if err := r.knownPerson(tx, "owner", k.Owner); err != nil {
		return nil, err
	}
	k.Source, k.Importers = "", []string{}
	k.Involved = involve(nil, by.Actor, by.recorder(), k.Owner)
	k.Status = RiskOpen
	if err := r.insertRisk(tx, &k, by); err != nil {
		return nil, err
	}
	return &k, r.recordRisk(tx, &k, by, "risk raised")
}

// knownPerson refuses who is not an enabled person of the installation.
func (r *Readiness) knownPerson(tx *db.Tx, field, id string) error {
	if err := caos.CheckID("user", field, id); err != nil {
		return err
	}
	ok, err := r.people.KnownPerson(tx, id)
	if err == nil && !ok {
		err = caos.Errorf(caos.Invalid, "%s is not a person with an account", id).WithField(field).WithHint("caos user list shows who is")
	}
	return err
}

// insertRisk checks, completes and stores a new risk; source, status and who is involved are
// the caller's.
func (r *Readiness) insertRisk(tx *db.Tx, k *Risk, by By) error {
	id, number, err := numbering{"RISK-", "risks", "risk_id"}.next(tx, k.RiskID, k.ModelID)
	if err != nil {
		return err
	}
	k.RiskID = id
	if err := k.check(); err != nil {
		return err
	}
	now := r.now()
	scale := ShippedScale()
	k.weigh(scale)
	if k.ReviewOn == "" {
		k.ReviewOn = scale.NextReview(k.Stands(), now)
	}
	if err := k.reviewIsDue(scale, now); err != nil {
		return err
	}
	var have int64
	if err := tx.QueryRow(`SELECT COUNT(*) FROM risks WHERE model_id = $1`, k.ModelID).Scan(&have); err != nil {
		return err
	}
	if have >= maxRisksOf {
		return caos.Errorf(caos.TooLarge, "%s has %d risks, the limit of a register", k.ModelID, have).WithField("model_id").
			WithHint("keep the causes of one risk in its description")
	}
	k.LastReviewed, k.LastReviewedBy, k.ReviewNote, k.Accepted = nil, "", "", nil
	k.ClosureEvidence, k.ClosureReason, k.ClosedAt, k.ClosedBy = []string{}, "", nil, ""
	k.CreatedAt, k.UpdatedAt, k.CreatedBy, k.Revision, k.ContentRevision = now, now, by.Actor, 1, 1
	n, err := tx.ExecRows(`INSERT INTO risks (risk_id, number, model_id, version, title, description, category, likelihood, impact, residual_likelihood,
			residual_impact, stands, stands_level, mitigation, owner, status, review_on, last_reviewed, last_reviewed_by, review_note, accepted,
			closure_evidence, closure_reason, closed_at, closed_by, source, involved, importers, project, classification, created_at, created_by,
			updated_at, revision, content_revision)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 0, '', '', '', '[]', '', 0, '', $18, $19, $20, $21, $22, $23, $24, $25, 1, 1)
		ON CONFLICT (risk_id) DO NOTHING`,
		k.RiskID, number, k.ModelID, k.Version, k.Title, k.Description, k.Category, k.Likelihood, k.Impact, k.ResidualLikelihood,
		k.ResidualImpact, k.Stands(), string(k.StandsAt()), k.Mitigation, k.Owner, string(k.Status), k.ReviewOn, k.Source, codec.ListJSON(k.Involved),
		codec.ListJSON(k.Importers), k.Project, k.Classification, now.UnixMicro(), by.Actor, now.UnixMicro())
	if err != nil {
		return err
	}
	if n == 0 {
		return caos.Errorf(caos.Conflict, "the risk %s is there already", k.RiskID).WithField("risk_id").WithHint("leave the id out to get the next one")
	}
	if err := r.tellRisk(tx, EventRiskRaised, k); err != nil {
		return err
	}
	return r.keep(tx, edition{Noun: nounRisk, Scope: k.ModelID, ID: k.RiskID, Revision: k.Revision, Body: k})
}

// reviewIsDue refuses a review that is later than the scale allows.
func (k *Risk) reviewIsDue(s Scale, now time.Time) error {
	if latest := s.NextReview(k.Stands(), now); k.ReviewOn > latest {
		return caos.Errorf(caos.Invalid, "a risk that stands at %s is looked at again by %s at the latest, not on %s", k.StandsAt(), latest, k.ReviewOn).
			WithField("review_on").WithRule(RuleRiskReview).WithHint("leave it out to get the latest day")
	}
	return nil
}

func (r *Readiness) tellRisk(tx *db.Tx, what string, k *Risk) error {
	return r.events.Emit(tx, event.Event{Type: what, Subject: k.RiskID, Project: k.Project, Classification: k.Classification, Data: map[string]any{
		"risk_id": k.RiskID, "model_id": k.ModelID, "model_version": k.Version, "status": k.Status, "level": k.Level, "residual_level": k.ResidualLevel,
	}})
}

func (r *Readiness) recordRisk(tx *db.Tx, k *Risk, by By, what string) error {
	digest, err := k.Digest()
	if err != nil {
		return err
	}
	return r.record(tx, by, auditlog.Record{Resources: []string{k.RiskID, k.ModelID}, Project: k.Project, Classification: k.Classification, Details: map[string]any{
		"event": what, "title": k.Title, "model_version": k.Version, "score": k.Score, "level": k.Level, "residual_score": k.ResidualScore,
		"residual_level": k.ResidualLevel, "status": k.Status, "owner": k.Owner, "review_on": k.ReviewOn, "revision": k.Revision, "digest": digest,
		"closure_evidence": k.ClosureEvidence, "closure_reason": k.ClosureReason,
	}})
}

// UpdateRisk changes what a risk says until it is closed. A change of anything that an
// acceptance is about voids it. A heavier risk is reviewed earlier by itself. A high or critical
// one is not made lighter by who owns or owned the model. revision is
// the one that the caller saw, 0 for any. Errors: NotFound; Invalid naming the field;
// Conflict if it is closed or was changed meanwhile.
func (r *Readiness) UpdateRisk(tx *db.Tx, id string, u RiskUpdate, revision int64, by By) (*Risk, error) {
	k, err := r.openRisk(tx, id)
	if err != nil {
		return nil, err
	}
	if err := caos.CheckRevision(id, revision, k.Revision); err != nil {
		return nil, err
	}
	before := *k
	u.apply(k)
	if u.Owner != nil && *u.Owner != before.Owner {
		if err := r.knownPerson(tx, "owner", *u.Owner); err != nil {
			return nil, err
		}
	}
	if u.Status != nil {
		if err := caos.CheckWord("status", string(*u.Status), []string{string(RiskOpen), string(RiskMitigating)}); err != nil {
			return nil, caos.AsError(err).WithHint("OPEN or MITIGATING; accepting and closing a risk are acts of their own")
		}
		k.Status = *u.Status
	}
	k.weigh(ShippedScale())
	if err := k.lighter(&before, u.Owners, by); err != nil {
		return nil, err
	}
	k.Involved = involve(k.Involved, by.Actor, by.recorder(), k.Owner)
	return k, r.changeRisk(tx, k, &before, u.ReviewOn != nil, by)
}

// apply copies what an update names.
func (u RiskUpdate) apply(k *Risk) {
	for _, f := range []struct{ to, from *string }{
		{&k.Title, u.Title}, {&k.Description, u.Description}, {&k.Category, u.Category}, {&k.Mitigation, u.Mitigation}, {&k.Owner, u.Owner}, {&k.ReviewOn, u.ReviewOn},
	} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	for _, f := range []struct{ to, from *int }{
		{&k.Likelihood, u.Likelihood}, {&k.Impact, u.Impact}, {&k.ResidualLikelihood, u.ResidualLikelihood}, {&k.ResidualImpact, u.ResidualImpact},
	} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
}

// changeRisk checks and stores a risk that was changed, and voids an acceptance that was of
// something else. chosen says that somebody chose the day of the review, rather than the
// scale.
func (r *Readiness) changeRisk(tx *db.Tx, k, before *Risk, chosen bool, by By) error {
	if err := k.settle(before, chosen, r.now()); err != nil {
		return err
	}
	if err := r.storeRisk(tx, k); err != nil {
		return err
	}
	if err := r.tellChange(tx, k, before); err != nil {
		return err
	}
	what := "risk updated"
	if before.Accepted != nil && k.Accepted == nil {
		what = "risk updated; its acceptance by " + before.Accepted.By + " is void"
	}
	return r.recordRisk(tx, k, by, what)
}

// settle brings what follows from a change in order.
func (k *Risk) settle(before *Risk, chosen bool, now time.Time) error {
	if err := k.check(); err != nil {
		return err
	}
	scale := ShippedScale()
	k.weigh(scale)
	latest := scale.NextReview(k.Stands(), now)
	if k.ReviewOn == "" {
		k.ReviewOn = latest
	}
	if chosen {
		if err := k.reviewIsDue(scale, now); err != nil {
			return err
		}
	}
	k.ReviewOn = min(k.ReviewOn, latest)
	if k.content() != before.content() {
		k.ContentRevision++
		if k.Accepted != nil {
			k.Status = reopened(k)
		}
	}
	if k.Status != RiskAccepted {
		k.Accepted = nil
	}
	return nil
}

// reopened is where a risk stands that is accepted no more.
func reopened(k *Risk) RiskStatus {
	if strings.TrimSpace(k.Mitigation) != "" {
		return RiskMitigating
	}
	return RiskOpen
}

// tellChange announces a change of what stands.
func (r *Readiness) tellChange(tx *db.Tx, k, before *Risk) error {
	if k.Level == before.Level && k.ResidualLevel == before.ResidualLevel && k.Status == before.Status {
		return nil
	}
	return r.tellRisk(tx, EventRiskChanged, k)
}

// openRisk returns a risk that may still change.
func (r *Readiness) openRisk(tx *db.Tx, id string) (*Risk, error) {
	k, err := r.RiskIn(tx, id)
	if err == nil && k.Status == RiskClosed {
		return nil, caos.Errorf(caos.Conflict, "the risk %s is closed", id).WithHint("raise it again: caos risk add")
	}
	return k, err
}

// storeRisk writes a risk and keeps how it reads now.
func (r *Readiness) storeRisk(tx *db.Tx, k *Risk) error {
	before, accepted := k.Revision, ""
	k.UpdatedAt, k.Revision = r.now(), before+1
	if k.Accepted != nil {
		if text, err := json.Marshal(k.Accepted); err == nil { // texts, numbers and a moment always have a JSON form
			accepted = string(text)
		}
	}
	tx.ExecOne(caos.Errorf(caos.Conflict, "the risk %s was changed meanwhile", k.RiskID).WithHint("read it again"),
		`UPDATE risks SET title = $1, description = $2, category = $3, likelihood = $4, impact = $5, residual_likelihood = $6, residual_impact = $7,
			stands = $8, stands_level = $9, mitigation = $10, owner = $11, status = $12, review_on = $13, last_reviewed = $14, last_reviewed_by = $15,
			review_note = $16, accepted = $17, closure_evidence = $18, closure_reason = $19, closed_at = $20, closed_by = $21, source = $22,
			involved = $23, importers = $24, version = $25, updated_at = $26, revision = $27, content_revision = $28
		WHERE risk_id = $29 AND revision = $30`,
		k.Title, k.Description, k.Category, k.Likelihood, k.Impact, k.ResidualLikelihood, k.ResidualImpact,
		k.Stands(), string(k.StandsAt()), k.Mitigation, k.Owner, string(k.Status), k.ReviewOn, db.Instant(k.LastReviewed), k.LastReviewedBy,
		k.ReviewNote, accepted, codec.ListJSON(k.ClosureEvidence), k.ClosureReason, db.Instant(k.ClosedAt), k.ClosedBy, k.Source,
		codec.ListJSON(k.Involved), codec.ListJSON(k.Importers), k.Version, k.UpdatedAt.UnixMicro(), k.Revision, k.ContentRevision, k.RiskID, before)
	return r.keep(tx, edition{Noun: nounRisk, Scope: k.ModelID, ID: k.RiskID, Revision: k.Revision, Body: k})
}

// ReviewRisk records that somebody looked at a risk again, with what they found, and sets
// the day of the next look by the scale. What the risk says stays, and so does an acceptance.
func (r *Readiness) ReviewRisk(tx *db.Tx, id, note string, by By) (*Risk, error) {
	k, err := r.openRisk(tx, id)
	if err != nil {
		return nil, err
	}
	if !says(note) {
		return nil, caos.Errorf(caos.Invalid, "a review says what was found").WithField("note").WithHint("one sentence: unchanged, and why you think so")
	}
	if err := checkText("note", note); err != nil {
		return nil, err
	}
	now := r.now()
	k.LastReviewed, k.LastReviewedBy, k.ReviewNote = &now, by.Actor, note
	k.ReviewOn = ShippedScale().NextReview(k.Stands(), now)
	if err := r.storeRisk(tx, k); err != nil {
		return nil, err
	}
	return k, r.recordRisk(tx, k, by, "risk reviewed")
}

// CloseRisk ends a risk with evidence that it is gone, or the reason. Nobody who wrote,
// imported or owned it closes it, nor who owns or owned the model. Errors: NotFound, Invalid naming the field, Denied,
// Conflict if it is closed already.
func (r *Readiness) CloseRisk(tx *db.Tx, id string, end RiskClosing, by By) (*Risk, error) {
	k, err := r.openRisk(tx, id)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(k.separate("close", by.Actor, by.recorder()), k.notByOwner(end.Owners, "close", by.Actor, by.recorder())); err != nil {
		return nil, err
	}
	if len(end.Evidence) == 0 && !says(end.Reason) {
		return nil, caos.Errorf(caos.Invalid, "nothing shows that %s is gone", id).WithField("evidence").WithHint("name evidence, or give a reason")
	}
	if err := cmp.Or(checkIDs("evidence", end.Evidence, maxRefs), checkText("reason", end.Reason)); err != nil {
		return nil, err
	}
	if err := r.knownEvidence(tx, k.subject(), "evidence", end.Evidence); err != nil {
		return nil, err
	}
	now := r.now()
	k.Status, k.Accepted, k.ClosureEvidence, k.ClosureReason, k.ClosedAt, k.ClosedBy = RiskClosed, nil, codec.Listed(end.Evidence), end.Reason, &now, by.Actor
	if err := r.storeRisk(tx, k); err != nil {
		return nil, err
	}
	if err := r.tellRisk(tx, EventRiskClosed, k); err != nil {
		return nil, err
	}
	return k, r.recordRisk(tx, k, by, "risk closed")
}

// subject is what the risk is about, as far as it knows.
func (k *Risk) subject() Subject {
	return Subject{ModelID: k.ModelID, Version: k.Version, Project: k.Project, Classification: k.Classification}
}

// knownEvidence refuses ids that are not evidence of the subject.
func (r *Readiness) knownEvidence(tx *db.Tx, s Subject, field string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	missing, err := r.known(tx, s, ids)
	if err != nil || len(missing) == 0 {
		return err
	}
	return caos.Errorf(caos.Invalid, "%s is not evidence of %s", missing[0], s.ModelID).WithField(fmt.Sprintf("%s[%d]", field, slices.Index(ids, missing[0]))).
		WithHint("collect the evidence or register the document for this model first")
}
