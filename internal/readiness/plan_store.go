package readiness

import (
	"cmp"
	"context"
	"errors"
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

// EventPlanChanged announces a plan that was opened or changed: plan_id, model_id,
// catalogue_id, objective_id ("" when it was opened) and status of the objective.
const EventPlanChanged = "caos.certification-plan.changed"

// nounObjective is what the editions of a planned objective are kept as, under the plan's id
// and the objective's with a slash between. Their scope is the plan.
const nounObjective = "objective"

// CreatePlan opens a certification plan of a model from a catalogue, with every objective of
// it: applicable and open. Of plan, ModelID, Project, Classification (the model's, which the
// caller has read), Title, Regime, CatalogueID and CatalogueVersion ("" for the one that is
// there) are read. An earlier plan of the model stays; PlanOf gives the latest. Errors:
// Invalid naming the field, NotFound without the catalogue.
func (r *Readiness) CreatePlan(tx *db.Tx, plan CertificationPlan, by By) (*CertificationPlan, error) {
	c, err := CatalogueByID(plan.CatalogueID)
	if err != nil {
		return nil, err
	}
	if plan.CatalogueVersion != "" && plan.CatalogueVersion != c.Version {
		return nil, caos.Errorf(caos.NotFound, "the catalogue %s is here in version %s", c.CatalogueID, c.Version).WithField("catalogue_version").
			WithHint("leave it out")
	}
	p := CertificationPlan{ModelID: plan.ModelID, Title: cmp.Or(plan.Title, c.Title), Regime: plan.Regime, CatalogueID: c.CatalogueID, CatalogueVersion: c.Version,
		CatalogueDigest: c.Digest, Project: plan.Project, Classification: plan.Classification, CreatedBy: by.Actor, Revision: 1}
	if err := cmp.Or(caos.CheckID("model", "model_id", p.ModelID), checkTitle("title", p.Title, maxLine), checkLine("regime", p.Regime, maxWord)); err != nil {
		return nil, err
	}
	var number int64
	if p.PlanID, number, err = (numbering{"CPLAN-", "certification_plans", "plan_id"}).next(tx, "", p.ModelID); err != nil {
		return nil, err
	}
	p.CreatedAt = r.now()
	p.UpdatedAt = p.CreatedAt
	tx.Exec(`INSERT INTO certification_plans (plan_id, number, model_id, title, regime, catalogue_id, catalogue_version, catalogue_digest, project,
			classification, created_at, created_by, updated_at, revision)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1)`,
		p.PlanID, number, p.ModelID, p.Title, p.Regime, p.CatalogueID, p.CatalogueVersion, p.CatalogueDigest, p.Project,
		p.Classification, p.CreatedAt.UnixMicro(), p.CreatedBy, p.UpdatedAt.UnixMicro())
	for _, o := range c.Objectives {
		p.Objectives = append(p.Objectives, &PlannedObjective{ID: o.ID, Chapter: o.Chapter, Title: o.Title, Applicable: true, Status: ObjectiveOpen,
			RequirementIDs: []string{}, Evidence: []string{}, UpdatedAt: p.CreatedAt, UpdatedBy: by.Actor, Revision: 1})
	}
	insertObjectives(tx, &p)
	return &p, r.tellPlan(tx, &p, nil, by, "certification plan opened")
}

// insertObjectives writes the objectives of a new plan, many in a statement. How they read at
// first is in the plan's record and catalogue; their history begins with the first change.
func insertObjectives(tx *db.Tx, p *CertificationPlan) {
	const columns = 7
	seq := 0
	for some := range slices.Chunk(p.Objectives, 50) {
		values, args := make([]string, len(some)), make([]any, 0, columns*len(some))
		for i, o := range some {
			seq++
			at := make([]string, columns)
			for j := range at {
				at[j] = "$" + strconv.Itoa(i*columns+j+1)
			}
			values[i] = "(" + strings.Join(at[:4], ", ") + ", " + at[4] + ", 1, '', '', '', 'OPEN', '[]', '[]', " + at[5] + ", " + at[6] + ", 1)"
			args = append(args, p.PlanID, o.ID, seq, o.Chapter, o.Title, o.UpdatedAt.UnixMicro(), o.UpdatedBy)
		}
		tx.Exec(`INSERT INTO certification_objectives (plan_id, objective_id, seq, chapter, title, applicable, justification, means, owner, status,
			requirement_ids, evidence, updated_at, updated_by, revision) VALUES `+strings.Join(values, ", "), args...)
	}
}

// tellPlan announces and records what happened to a plan, or to an objective of it.
func (r *Readiness) tellPlan(tx *db.Tx, p *CertificationPlan, o *PlannedObjective, by By, what string) error {
	details := map[string]any{"event": what, "catalogue_id": p.CatalogueID, "catalogue_version": p.CatalogueVersion, "catalogue_digest": p.CatalogueDigest,
		"regime": p.Regime, "revision": p.Revision}
	data := map[string]any{"plan_id": p.PlanID, "model_id": p.ModelID, "catalogue_id": p.CatalogueID, "objective_id": "", "status": ""}
	if o != nil {
		for k, v := range map[string]any{"objective_id": o.ID, "applicable": o.Applicable, "justification": o.Justification, "means": o.Means, "owner": o.Owner,
			"status": o.Status, "requirement_ids": o.RequirementIDs, "evidence": o.Evidence} {
			details[k] = v
		}
		data["objective_id"], data["status"] = o.ID, o.Status
	} else {
		details["objectives"] = len(p.Objectives)
	}
	if err := r.events.Emit(tx, event.Event{Type: EventPlanChanged, Subject: p.PlanID, Project: p.Project, Classification: p.Classification, Data: data}); err != nil {
		return err
	}
	return r.record(tx, by, auditlog.Record{Resources: []string{p.PlanID, p.ModelID}, Details: details, Project: p.Project, Classification: p.Classification})
}

// UpdateObjective changes what a plan says about an objective. Errors: NotFound; Invalid for an objective that does not
// apply without a justification, or is SHOWN without evidence; Conflict if somebody else
// changed it.
func (r *Readiness) UpdateObjective(tx *db.Tx, at ObjectiveAt, u ObjectiveChange, by By) (*PlannedObjective, error) {
	planID, objectiveID := at.PlanID, at.ObjectiveID
	p, err := planHead(within(tx), planID)
	if err != nil {
		return nil, err
	}
	list, err := objectives(within(tx), planID, objectiveID)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, caos.Errorf(caos.NotFound, "the plan %s has no objective %.40q", planID, objectiveID).WithField("objective_id").
			WithHint("caos plan show %s lists them", planID)
	}
	o := list[0]
	if err := caos.CheckRevision(planID+" "+o.ID, at.Revision, o.Revision); err != nil {
		return nil, err
	}
	owner, evidence := o.Owner, o.Evidence
	u.apply(o)
	if o.Owner != owner && o.Owner != "" {
		if err := r.knownPerson(tx, "owner", o.Owner); err != nil {
			return nil, err
		}
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	fresh := slices.DeleteFunc(slices.Clone(o.Evidence), func(id string) bool { return slices.Contains(evidence, id) })
	if err := r.knownEvidence(tx, Subject{ModelID: p.ModelID, Project: p.Project, Classification: p.Classification}, "evidence", fresh); err != nil {
		return nil, err
	}
	seen, seenPlan := o.Revision, p.Revision
	o.UpdatedAt, o.UpdatedBy, o.Revision = r.now(), by.Actor, seen+1
	p.UpdatedAt, p.Revision = o.UpdatedAt, seenPlan+1
	stale := caos.Errorf(caos.Conflict, "%s of %s was changed meanwhile", o.ID, planID).WithHint("read it again")
	tx.ExecOne(stale, `UPDATE certification_objectives SET applicable = $1, justification = $2, means = $3, owner = $4, status = $5, requirement_ids = $6,
			evidence = $7, updated_at = $8, updated_by = $9, revision = $10 WHERE plan_id = $11 AND objective_id = $12 AND revision = $13`,
		flag(o.Applicable), o.Justification, o.Means, o.Owner, string(o.Status), codec.ListJSON(o.RequirementIDs),
		codec.ListJSON(o.Evidence), o.UpdatedAt.UnixMicro(), o.UpdatedBy, o.Revision, planID, o.ID, seen)
	tx.ExecOne(stale, `UPDATE certification_plans SET updated_at = $1, revision = revision + 1 WHERE plan_id = $2`, p.UpdatedAt.UnixMicro(), planID)
	if err := r.keep(tx, edition{Noun: nounObjective, Scope: planID, ID: planID + "/" + o.ID, Revision: o.Revision, Body: o}); err != nil {
		return nil, err
	}
	return o, r.tellPlan(tx, p, o, by, "certification objective changed")
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// apply copies what a change names. An objective that does not apply is not SHOWN either.
func (u ObjectiveChange) apply(o *PlannedObjective) {
	for _, f := range []struct{ to, from *string }{{&o.Justification, u.Justification}, {&o.Means, u.Means}, {&o.Owner, u.Owner}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if u.RequirementIDs != nil {
		o.RequirementIDs = codec.Listed(*u.RequirementIDs)
	}
	if u.Evidence != nil {
		o.Evidence = codec.Listed(*u.Evidence)
	}
	if u.Applicable != nil {
		o.Applicable = *u.Applicable
		if !o.Applicable {
			o.Status = ObjectiveOpen
		}
	}
	if u.Status != nil {
		o.Status = *u.Status
	}
}

func (o *PlannedObjective) check() error {
	if err := cmp.Or(checkText("justification", o.Justification), checkText("means", o.Means), caos.CheckWord("status", string(o.Status), ObjectiveStatuses()),
		checkIDs("requirement_ids", o.RequirementIDs, maxRefs), checkIDs("evidence", o.Evidence, maxRefs)); err != nil {
		return err
	}
	switch {
	case !o.Applicable && !says(o.Justification):
		return caos.Errorf(caos.Invalid, "%s is said not to apply, without a reason", o.ID).WithField("justification").WithRule("objective-justified").
			WithHint("say why it does not apply to this model")
	case !o.Applicable && o.Status != ObjectiveOpen:
		return caos.Errorf(caos.Invalid, "%s does not apply: nothing is in progress or shown", o.ID).WithField("status").WithHint("make it applicable first")
	case o.Status == ObjectiveShown && len(o.Evidence) == 0:
		return caos.Errorf(caos.Invalid, "%s is said to be shown, and nothing shows it", o.ID).WithField("evidence").WithRule("objective-evidence").
			WithHint("name at least one item of evidence or document of the model")
	}
	return nil
}

const planColumns = `plan_id, model_id, title, regime, catalogue_id, catalogue_version, catalogue_digest, project, classification, created_at, created_by,
	updated_at, revision`

func scanPlan(scan func(...any) error) (*CertificationPlan, error) {
	p := CertificationPlan{Objectives: []*PlannedObjective{}}
	var created, updated int64
	err := scan(&p.PlanID, &p.ModelID, &p.Title, &p.Regime, &p.CatalogueID, &p.CatalogueVersion, &p.CatalogueDigest, &p.Project, &p.Classification, &created,
		&p.CreatedBy, &updated, &p.Revision)
	p.CreatedAt, p.UpdatedAt = db.Moment(created), db.Moment(updated)
	return &p, err
}

// planHead reads a plan without its objectives.
func planHead(q query, id string) (*CertificationPlan, error) {
	var p *CertificationPlan
	if db.Storable(id) {
		err := q(`SELECT `+planColumns+` FROM certification_plans WHERE plan_id = $1`, []any{id}, func(scan func(...any) error) (err error) {
			p, err = scanPlan(scan)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if p == nil {
		return nil, caos.Errorf(caos.NotFound, "there is no certification plan %.80q", id).WithField("plan_id").WithHint("caos plan list shows those there are")
	}
	return p, nil
}

// objectives reads the objectives of a plan in the catalogue's order, or one of them.
func objectives(q query, planID, one string) ([]*PlannedObjective, error) {
	out := []*PlannedObjective{}
	where, args := `plan_id = $1`, []any{planID}
	if one != "" {
		if !db.Storable(one) {
			return out, nil
		}
		where, args = where+` AND objective_id = $2`, append(args, one)
	}
	err := q(`SELECT objective_id, chapter, title, applicable, justification, means, owner, status, requirement_ids, evidence, updated_at, updated_by, revision
		FROM certification_objectives WHERE `+where+` ORDER BY seq LIMIT `+strconv.Itoa(maxObjectives), args, func(scan func(...any) error) error {
		var o PlannedObjective
		var applicable, updated int64
		var requirements, evidence string
		if err := scan(&o.ID, &o.Chapter, &o.Title, &applicable, &o.Justification, &o.Means, &o.Owner, &o.Status, &requirements, &evidence, &updated,
			&o.UpdatedBy, &o.Revision); err != nil {
			return err
		}
		o.Applicable, o.UpdatedAt = applicable == 1, db.Moment(updated)
		out = append(out, &o)
		return errors.Join(readJSON(requirements, &o.RequirementIDs), readJSON(evidence, &o.Evidence))
	})
	return out, err
}

func getPlan(q query, id string) (*CertificationPlan, error) {
	p, err := planHead(q, id)
	if err != nil {
		return nil, err
	}
	p.Objectives, err = objectives(q, id, "")
	return p, err
}

// Plan returns a certification plan with its objectives, or a NotFound error.
func (r *Readiness) Plan(ctx context.Context, id string) (*CertificationPlan, error) {
	return getPlan(r.pool(ctx), id)
}

// PlanIn returns a certification plan as a transaction sees it.
func (r *Readiness) PlanIn(tx *db.Tx, id string) (*CertificationPlan, error) {
	return getPlan(within(tx), id)
}

// Plans lists certification plans without their objectives, latest first. cursor is "" and
// then the one returned.
func (r *Readiness) Plans(ctx context.Context, f PlanFilter, cursor string) ([]*CertificationPlan, string, error) {
	w := new(db.Where)
	w.Is("model_id", f.ModelID)
	w.Is("project", f.Project)
	w.Is("catalogue_id", f.CatalogueID)
	return db.Page(r.pool(ctx), w, db.Listing[*CertificationPlan]{Columns: planColumns, From: "certification_plans", At: "created_at", ID: "plan_id", Limit: f.Limit,
		Scan: scanPlan,
		Key:  func(p *CertificationPlan) (time.Time, string) { return p.CreatedAt, p.PlanID },
	}, cursor)
}

// PlanOf returns the latest certification plan of a model with its objectives, nil if there
// is none.
func (r *Readiness) PlanOf(tx *db.Tx, modelID string) (*CertificationPlan, error) {
	var id string
	if !db.Storable(modelID) {
		return nil, nil
	}
	err := tx.Query(`SELECT plan_id FROM certification_plans WHERE model_id = $1 ORDER BY number DESC LIMIT 1`, []any{modelID},
		func(scan func(...any) error) error { return scan(&id) })
	if err != nil || id == "" {
		return nil, err
	}
	return r.PlanIn(tx, id)
}

// PlanAt is PlanOf as it read at a moment.
func (r *Readiness) PlanAt(tx *db.Tx, modelID string, at time.Time) (*CertificationPlan, error) {
	var id string
	if !db.Storable(modelID) {
		return nil, nil
	}
	err := tx.Query(`SELECT plan_id FROM certification_plans WHERE model_id = $1 AND created_at <= $2 ORDER BY number DESC LIMIT 1`, []any{modelID, at.UnixMicro()},
		func(scan func(...any) error) error { return scan(&id) })
	if err != nil || id == "" {
		return nil, err
	}
	p, err := r.PlanIn(tx, id)
	if err != nil {
		return nil, err
	}
	bodies, err := r.PastOf(tx, nounObjective, id, at)
	if err != nil {
		return nil, err
	}
	then := map[string]*PlannedObjective{}
	for _, body := range bodies {
		o := &PlannedObjective{}
		if err := readJSON(string(body), o); err != nil {
			return nil, err
		}
		then[o.ID] = o
	}
	p.Revision, p.UpdatedAt = 1, p.CreatedAt
	for i, o := range p.Objectives {
		past := then[o.ID]
		if past == nil { // as the plan was opened
			past = &PlannedObjective{ID: o.ID, Chapter: o.Chapter, Title: o.Title, Applicable: true, Status: ObjectiveOpen, RequirementIDs: []string{},
				Evidence: []string{}, UpdatedAt: p.CreatedAt, UpdatedBy: p.CreatedBy, Revision: 1}
		} else if past.UpdatedAt.After(p.UpdatedAt) {
			p.UpdatedAt = past.UpdatedAt
		}
		p.Objectives[i] = past
		p.Revision += past.Revision - 1
	}
	return p, nil
}
