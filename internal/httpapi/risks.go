package httpapi

import (
	"net/http"
	"net/url"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/readiness"
	"caos/internal/registry"
)

type riskList struct {
	Paging
	Model    string `query:"model_id" maxLength:"64"`
	Version  string `query:"model_version" maxLength:"64" doc:"raised about this version"`
	Owner    string `query:"owner" maxLength:"64"`
	Category string `query:"category" maxLength:"64"`
	Status   string `query:"status" enum:"OPEN,MITIGATING,ACCEPTED,CLOSED"`
	Level    string `query:"level" enum:"Low,Medium,High,Critical" doc:"that stands: the residual one, or the initial one while none is assessed"`
	ReviewBy string `query:"review_by" maxLength:"10" doc:"only those that are not closed and have to be looked at again by this day" example:"2026-11-30"`
	Project  string `query:"project" maxLength:"100"`
}

// RiskPath names a risk.
type RiskPath struct {
	ID string `path:"risk_id" maxLength:"64" example:"RISK-DLY-1"`
}

type riskEditPath struct {
	RiskPath
	IfMatch string `header:"If-Match" maxLength:"64" doc:"ETag of the risk that is edited"`
}

// NewRiskBody puts a risk into the register.
type NewRiskBody struct {
	RiskID             string `json:"risk_id,omitempty" maxLength:"64" doc:"RISK-…; the model's next number if left out"`
	ModelID            string `json:"model_id" maxLength:"64"`
	ModelVersion       string `json:"model_version,omitempty" maxLength:"64" doc:"left out: every version has it"`
	Title              string `json:"title" minLength:"1" maxLength:"300"`
	Description        string `json:"description,omitempty" maxLength:"4000"`
	Category           string `json:"category,omitempty" maxLength:"64" example:"Operational"`
	Likelihood         int    `json:"likelihood" minimum:"1" maximum:"5"`
	Impact             int    `json:"impact" minimum:"1" maximum:"5"`
	Mitigation         string `json:"mitigation,omitempty" maxLength:"4000"`
	ResidualLikelihood int    `json:"residual_likelihood,omitempty" minimum:"0" maximum:"5" doc:"when the mitigation works; left out with residual_impact: not assessed"`
	ResidualImpact     int    `json:"residual_impact,omitempty" minimum:"0" maximum:"5"`
	Owner              string `json:"owner,omitempty" maxLength:"64" doc:"the caller if left out"`
	ReviewOn           string `json:"review_on,omitempty" maxLength:"10" doc:"the day by which it is looked at again; follows from its level if left out" example:"2026-11-30"`
}

// RiskEditBody changes what it names of a risk that is not closed.
type RiskEditBody struct {
	Title              *string `json:"title,omitempty" maxLength:"300"`
	Description        *string `json:"description,omitempty" maxLength:"4000"`
	Category           *string `json:"category,omitempty" maxLength:"64"`
	Likelihood         *int    `json:"likelihood,omitempty" minimum:"1" maximum:"5"`
	Impact             *int    `json:"impact,omitempty" minimum:"1" maximum:"5"`
	Mitigation         *string `json:"mitigation,omitempty" maxLength:"4000"`
	ResidualLikelihood *int    `json:"residual_likelihood,omitempty" minimum:"0" maximum:"5" doc:"0 with residual_impact 0: not assessed"`
	ResidualImpact     *int    `json:"residual_impact,omitempty" minimum:"0" maximum:"5"`
	Owner              *string `json:"owner,omitempty" maxLength:"64"`
	Status             *string `json:"status,omitempty" enum:"OPEN,MITIGATING"`
	ReviewOn           *string `json:"review_on,omitempty" maxLength:"10"`
}

// RiskReviewBody says that a risk was looked at again.
type RiskReviewBody struct {
	Note string `json:"note" minLength:"1" maxLength:"4000" doc:"what was found"`
}

// RiskAcceptBody accepts what is left of a risk.
type RiskAcceptBody struct {
	Reason string `json:"reason" minLength:"1" maxLength:"1000" doc:"why one can live with it; part of what is signed"`
	ProofBody
}

// RiskCloseBody says why a risk is gone.
type RiskCloseBody struct {
	Evidence []string `json:"evidence,omitempty" maxItems:"100" doc:"ids of what shows it"`
	Reason   string   `json:"reason,omitempty" maxLength:"4000" doc:"in words; needed without evidence"`
}

type riskAcceptPath struct {
	RiskPath
	Proposing
}

func (a *API) registerRisks() {
	read, write := may("risk:read"), may("risk:write")
	operation(a, get("/v1/risks", read).as("list-risks", "risks", "The risk register, latest first"), a.listRisks)
	operation(a, post("/v1/risks", write).answers(http.StatusCreated).as("create-risk", "risks", "Put a risk of a model into the register").
		about("Likelihood and impact are 1 to 5; score and levels follow from the programme's scale: Low to 4, Medium to 9, High to 14, Critical above."), a.createRisk)
	operation(a, get("/v1/risks/{risk_id}", read).as("get-risk", "risks", "A risk"),
		func(c *call, p *RiskPath, _ *none) (*readiness.Risk, error) {
			k, err := a.riskNamed(c, p.ID)
			if err == nil {
				c.set("ETag", etag(k.Revision))
			}
			return k, err
		})
	operation(a, patch("/v1/risks/{risk_id}", write).as("edit-risk", "risks", "Edit a risk that is not closed").
		about("A change of anything that an acceptance was about voids the acceptance."), a.editRisk)
	operation(a, post("/v1/risks/{risk_id}/review", write).as("review-risk", "risks", "Note that a risk was looked at again").
		about("The day of the next look follows from the risk's level."),
		func(c *call, p *RiskPath, body *RiskReviewBody) (*readiness.Risk, error) {
			return a.changeRisk(c, p.ID, func(tx *db.Tx, _ *readiness.Risk) (*readiness.Risk, error) {
				return a.Readiness.ReviewRisk(tx, p.ID, body.Note, c.actor())
			})
		})
	accept := post("/v1/risks/{risk_id}/accept", may("risk:accept")).as("accept-risk", "risks", "Accept what is left of a risk").
		about("A decision in one's own name. A High one is accepted by a chief-engineer, a lower one by a safety-engineer or qa-lead, too; a Critical one by nobody. " +
			"Never by who owns, wrote or brought it.")
	operation(a, orProposal[readiness.Risk](a, accept), a.acceptRisk)
	operation(a, post("/v1/risks/{risk_id}/close", may("risk:close")).as("close-risk", "risks", "Close a risk that is gone, with evidence or the reason").
		about("Never by who owns, wrote or brought it."), a.closeRisk)
}

// riskResource is a risk as the policies see it. Whoever had a hand in it neither accepts nor
// closes it.
func riskResource(k *readiness.Risk) auth.Resource {
	return auth.Resource{Type: "Risk", ID: k.RiskID, Project: k.Project, Classification: k.Classification, Owner: k.Owner,
		Parties: append(append([]string{}, k.Involved...), k.Importers...)}
}

// riskNamed returns a risk that the caller may see.
func (a *API) riskNamed(c *call, id string) (*readiness.Risk, error) {
	k, err := a.Readiness.Risk(c.ctx(), id)
	if err != nil {
		return nil, c.unknown("risk", err)
	}
	return k, a.seeOf(c, "risk:read", "risk", riskResource(k), k.ModelID)
}

// seeOf is seeFor for something that is said about a model: whoever may not know of the model
// as it is now does not know of that either.
func (a *API) seeOf(c *call, action, noun string, res auth.Resource, modelID string) error {
	if err := a.seeFor(c, action, noun, res); err != nil {
		return err
	}
	m, err := a.Registry.Model(c.ctx(), modelID)
	if err != nil {
		return c.unknown(noun, err)
	}
	about := modelResource(m)
	about.Type, about.ID, about.Owner = res.Type, res.ID, res.Owner
	return a.seeFor(c, action, noun, about)
}

func (a *API) listRisks(c *call, p *riskList, _ *none) (Page[*readiness.Risk], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*readiness.Risk]{}, err
	}
	f := readiness.RiskFilter{ModelID: p.Model, Version: p.Version, Project: onlyProject(sees, p.Project), Owner: p.Owner, Category: p.Category,
		Status: readiness.RiskStatus(p.Status), Level: readiness.Level(p.Level), ReviewBy: p.ReviewBy, Limit: p.Limit}
	list, next, err := a.Readiness.Risks(c.ctx(), f, p.Cursor)
	return visible(sees, list, next, riskResource), err
}

func (a *API) createRisk(c *call, _ *none, body *NewRiskBody) (*readiness.Risk, error) {
	m, err := a.aboutModel(c, body.ModelID)
	if err != nil {
		return nil, err
	}
	k := readiness.Risk{RiskID: body.RiskID, ModelID: body.ModelID, Version: body.ModelVersion, Title: body.Title, Description: body.Description, Category: body.Category,
		Likelihood: body.Likelihood, Impact: body.Impact, Mitigation: body.Mitigation, ResidualLikelihood: body.ResidualLikelihood, ResidualImpact: body.ResidualImpact,
		Owner: orSelf(body.Owner, c), ReviewOn: body.ReviewOn, Project: m.Project, Classification: m.Classification}
	var made *readiness.Risk
	err = a.DB.Update(c.ctx(), func(tx *db.Tx) (err error) {
		if k.Version != "" {
			if _, err := a.Registry.VersionIn(tx, k.ModelID, k.Version); caos.KindOf(err) == caos.NotFound {
				return caos.Errorf(caos.NotFound, "the model has no such version").WithField("model_version")
			} else if err != nil {
				return caos.AsError(err).WithField("model_version")
			}
		}
		if err := a.knownPerson(tx, "owner", k.Owner); err != nil {
			return err
		}
		if made, err = a.Readiness.CreateRisk(tx, k, c.actor()); err != nil {
			return err
		}
		return a.authorize(c, tx, riskResource(made))
	})
	if err != nil {
		return nil, err
	}
	c.set("Location", "/v1/risks/"+url.PathEscape(made.RiskID))
	c.set("ETag", etag(made.Revision))
	return made, nil
}

// changeRisk runs do in a transaction that may do the route's action to a risk as it is there.
func (a *API) changeRisk(c *call, id string, do func(tx *db.Tx, k *readiness.Risk) (*readiness.Risk, error)) (*readiness.Risk, error) {
	if _, err := a.riskNamed(c, id); err != nil {
		return nil, err
	}
	var after *readiness.Risk
	err := a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		before, err := a.Readiness.RiskIn(tx, id)
		if err != nil {
			return err
		}
		if err := a.authorize(c, tx, riskResource(before)); err != nil {
			return err
		}
		after, err = do(tx, before)
		return err
	})
	if err != nil {
		return nil, stale(err)
	}
	c.set("ETag", etag(after.Revision))
	return after, nil
}

func (a *API) editRisk(c *call, p *riskEditPath, body *RiskEditBody) (*readiness.Risk, error) {
	revision, err := seen(p.IfMatch)
	if err != nil {
		return nil, err
	}
	u := readiness.RiskUpdate{Title: body.Title, Description: body.Description, Category: body.Category, Likelihood: body.Likelihood, Impact: body.Impact,
		Mitigation: body.Mitigation, ResidualLikelihood: body.ResidualLikelihood, ResidualImpact: body.ResidualImpact, Owner: body.Owner,
		Status: (*readiness.RiskStatus)(body.Status), ReviewOn: body.ReviewOn}
	return a.changeRisk(c, p.ID, func(tx *db.Tx, before *readiness.Risk) (*readiness.Risk, error) {
		if body.Owner != nil && *body.Owner != before.Owner {
			if err := a.knownPerson(tx, "owner", *body.Owner); err != nil {
				return nil, err
			}
		}
		m, err := a.Registry.ModelIn(tx, before.ModelID)
		if err != nil {
			return nil, err
		}
		u.Owners = ownersOf(m)
		return a.Readiness.UpdateRisk(tx, p.ID, u, revision, c.actor())
	})
}

func (a *API) acceptRisk(c *call, p *riskAcceptPath, body *RiskAcceptBody) (any, error) {
	if _, err := a.riskNamed(c, p.ID); err != nil {
		return nil, err
	}
	said := readiness.RiskAcceptance{Reason: body.Reason}
	return a.inPerson(c, personalAct{Proposing: p.Proposing, ProofBody: body.ProofBody,
		subject: func(tx *db.Tx) (auth.Resource, error) {
			k, err := a.Readiness.RiskIn(tx, p.ID)
			if err != nil {
				return auth.Resource{}, err
			}
			m, err := a.Registry.ModelIn(tx, k.ModelID)
			if err != nil {
				return auth.Resource{}, err
			}
			said.SafetyLevel, said.Owners = m.SafetyLevel, ownersOf(m)
			return riskResource(k), nil
		},
		ask: func(tx *db.Tx) (readiness.Proposal, error) {
			return a.Readiness.ProposeAcceptance(tx, p.ID, said, c.by)
		},
		do: func(tx *db.Tx, proof readiness.Proof) (any, error) {
			k, _, err := a.Readiness.AcceptRisk(tx, p.ID, said, proof, c.by)
			return k, err
		},
	})
}

func (a *API) closeRisk(c *call, p *RiskPath, body *RiskCloseBody) (*readiness.Risk, error) {
	if _, err := a.riskNamed(c, p.ID); err != nil {
		return nil, err
	}
	if err := a.citable(c, body.Evidence); err != nil {
		return nil, err
	}
	return a.changeRisk(c, p.ID, func(tx *db.Tx, k *readiness.Risk) (*readiness.Risk, error) {
		m, err := a.Registry.ModelIn(tx, k.ModelID)
		if err != nil {
			return nil, err
		}
		return a.Readiness.CloseRisk(tx, p.ID, readiness.RiskClosing{Evidence: body.Evidence, Reason: body.Reason, Owners: ownersOf(m)}, c.actor())
	})
}

// ownersOf are who owns or ever owned a model: they judge no risk of it.
func ownersOf(m *registry.Model) []string { return append([]string{m.Owner}, m.FormerOwners...) }
