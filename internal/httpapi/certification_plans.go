package httpapi

import (
	"net/http"
	"net/url"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/readiness"
)

type planList struct {
	Paging
	Model     string `query:"model_id" maxLength:"64"`
	Catalogue string `query:"catalogue_id" maxLength:"64"`
	Project   string `query:"project" maxLength:"100"`
}

// PlanPath names a certification plan.
type PlanPath struct {
	ID string `path:"plan_id" maxLength:"64" example:"CPLAN-DLY-1"`
}

type objectivePath struct {
	PlanPath
	Objective string `path:"objective_id" maxLength:"64" example:"DM-06"`
	IfMatch   string `header:"If-Match" maxLength:"64" doc:"ETag of the objective that is changed: its revision in quotes"`
}

// NewPlanBody opens a certification plan.
type NewPlanBody struct {
	PlanID           string `json:"plan_id,omitempty" maxLength:"64" doc:"CPLAN-…; the model's next number if left out"`
	ModelID          string `json:"model_id" maxLength:"64"`
	Title            string `json:"title,omitempty" maxLength:"300"`
	Regime           string `json:"regime,omitempty" maxLength:"64" doc:"the rules it is certified under; the model's if left out" example:"EASA_CS-25"`
	CatalogueID      string `json:"catalogue_id" maxLength:"64" example:"easa-cp-02"`
	CatalogueVersion string `json:"catalogue_version,omitempty" maxLength:"32" doc:"the newest if left out"`
}

// ObjectiveBody changes what it names of an objective of a plan.
type ObjectiveBody struct {
	Applicable     *bool     `json:"applicable,omitempty" doc:"false needs a justification"`
	Justification  *string   `json:"justification,omitempty" maxLength:"4000"`
	Means          *string   `json:"means,omitempty" maxLength:"4000" doc:"of compliance"`
	Owner          *string   `json:"owner,omitempty" maxLength:"64"`
	Status         *string   `json:"status,omitempty" enum:"OPEN,IN_PROGRESS,SHOWN"`
	RequirementIDs *[]string `json:"requirement_ids,omitempty" maxItems:"200"`
	Evidence       *[]string `json:"evidence,omitempty" maxItems:"100" doc:"ids of what shows it"`
}

// PlanView is a certification plan with how much of it is shown.
type PlanView struct {
	*readiness.CertificationPlan
	Coverage readiness.Coverage `json:"coverage"`
}

func (a *API) registerCertificationPlans() {
	read, write := may("plan:read"), may("plan:write")
	operation(a, get("/v1/certification-plans", read).as("list-certification-plans", "certification-plans", "Certification plans without their objectives, latest first"), a.listPlans)
	operation(a, post("/v1/certification-plans", write).answers(http.StatusCreated).as("create-certification-plan", "certification-plans", "Open a certification plan of a model from a catalogue").
		about("Every objective of the catalogue applies and is open at first. The latest plan of a model counts."), a.createPlan)
	operation(a, get("/v1/certification-plans/{plan_id}", read).as("get-certification-plan", "certification-plans", "A certification plan, with how much of it is shown"),
		func(c *call, p *PlanPath, _ *none) (PlanView, error) {
			x, err := a.planNamed(c, p.ID)
			if err != nil {
				return PlanView{}, err
			}
			c.set("ETag", etag(x.Revision))
			return PlanView{x, readiness.PlanCoverage(x)}, nil
		})
	operation(a, patch("/v1/certification-plans/{plan_id}/objectives/{objective_id}", write).as("edit-objective", "certification-plans", "Plan how an objective is shown, or that it does not apply").
		about("An objective does not apply only with a justification, and is SHOWN only with evidence."), a.editObjective)
}

func planResource(x *readiness.CertificationPlan) auth.Resource {
	return auth.Resource{Type: "Plan", ID: x.PlanID, Project: x.Project, Classification: x.Classification, Owner: x.CreatedBy}
}

// planNamed returns a certification plan that the caller may see.
func (a *API) planNamed(c *call, id string) (*readiness.CertificationPlan, error) {
	x, err := a.Readiness.Plan(c.ctx(), id)
	if err != nil {
		return nil, c.unknown("certification plan", err)
	}
	return x, a.seeOf(c, "plan:read", "certification plan", planResource(x), x.ModelID)
}

func (a *API) listPlans(c *call, p *planList, _ *none) (Page[*readiness.CertificationPlan], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*readiness.CertificationPlan]{}, err
	}
	f := readiness.PlanFilter{ModelID: p.Model, CatalogueID: p.Catalogue, Project: onlyProject(sees, p.Project), Limit: p.Limit}
	list, next, err := a.Readiness.Plans(c.ctx(), f, p.Cursor)
	return visible(sees, list, next, planResource), err
}

func (a *API) createPlan(c *call, _ *none, body *NewPlanBody) (PlanView, error) {
	m, err := a.aboutModel(c, body.ModelID)
	if err != nil {
		return PlanView{}, err
	}
	x := readiness.CertificationPlan{PlanID: body.PlanID, ModelID: body.ModelID, Title: body.Title, Regime: body.Regime, CatalogueID: body.CatalogueID,
		CatalogueVersion: body.CatalogueVersion, Project: m.Project, Classification: m.Classification}
	if x.Regime == "" {
		x.Regime = m.Regime
	}
	var made *readiness.CertificationPlan
	err = a.DB.Update(c.ctx(), func(tx *db.Tx) (err error) {
		if made, err = a.Readiness.CreatePlan(tx, x, c.actor()); err != nil {
			return err
		}
		return a.authorize(c, tx, planResource(made))
	})
	if err != nil {
		return PlanView{}, err
	}
	c.set("Location", "/v1/certification-plans/"+url.PathEscape(made.PlanID))
	c.set("ETag", etag(made.Revision))
	return PlanView{made, readiness.PlanCoverage(made)}, nil
}

func (a *API) editObjective(c *call, p *objectivePath, body *ObjectiveBody) (*readiness.PlannedObjective, error) {
	revision, err := seen(p.IfMatch)
	if err != nil {
		return nil, err
	}
	if _, err := a.planNamed(c, p.ID); err != nil {
		return nil, err
	}
	if body.Evidence != nil {
		if err := a.citable(c, *body.Evidence); err != nil {
			return nil, err
		}
	}
	u := readiness.ObjectiveChange{Applicable: body.Applicable, Justification: body.Justification, Means: body.Means, Owner: body.Owner,
		Status: (*readiness.ObjectiveStatus)(body.Status), RequirementIDs: body.RequirementIDs, Evidence: body.Evidence}
	var after *readiness.PlannedObjective
	err = a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		before, err := a.Readiness.PlanIn(tx, p.ID)
		if err != nil {
			return err
		}
		if err := a.authorize(c, tx, planResource(before)); err != nil {
			return err
		}
		if body.Owner != nil && *body.Owner != "" {
			if err := a.knownPerson(tx, "owner", *body.Owner); err != nil {
				return err
			}
		}
		after, err = a.Readiness.UpdateObjective(tx, readiness.ObjectiveAt{PlanID: p.ID, ObjectiveID: p.Objective, Revision: revision}, u, c.actor())
		if caos.KindOf(err) == caos.NotFound {
			return caos.AsError(err).WithField("objective_id")
		}
		return err
	})
	if err != nil {
		return nil, stale(err)
	}
	c.set("ETag", etag(after.Revision))
	return after, nil
}
