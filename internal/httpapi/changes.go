package httpapi

import (
	"fmt"
	"net/http"
	"net/url"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/registry"
)

type changeList struct {
	Paging
	Model   string `query:"model_id" maxLength:"64"`
	Owner   string `query:"owner" maxLength:"64"`
	Status  string `query:"status" enum:"OPEN,APPROVED,REJECTED,CLOSED"`
	Class   string `query:"class" enum:"Critical,Major,Minor,Enhancement"`
	Project string `query:"project" maxLength:"100"`
}

// ChangePath names a change.
type ChangePath struct {
	ID string `path:"change_id" maxLength:"100" example:"CHG-FCS-1"`
}

type changeEditPath struct {
	ChangePath
	IfMatch string `header:"If-Match" maxLength:"64" doc:"ETag of the change that is edited"`
}

// NewChangeBody asks for a change to a model.
type NewChangeBody struct {
	ChangeID            string   `json:"change_id,omitempty" maxLength:"64" doc:"CHG-…; the model's next number if left out"`
	ModelID             string   `json:"model_id" maxLength:"64"`
	Title               string   `json:"title" minLength:"1" maxLength:"300"`
	Description         string   `json:"description,omitempty" maxLength:"4000"`
	Class               string   `json:"class" enum:"Critical,Major,Minor,Enhancement"`
	Baselines           []string `json:"baselines,omitempty" maxItems:"100" doc:"ids of the baselines that it affects"`
	Impact              string   `json:"impact,omitempty" maxLength:"4000"`
	SafetyImpact        string   `json:"safety_impact,omitempty" maxLength:"4000"`
	CertificationImpact string   `json:"certification_impact,omitempty" maxLength:"4000"`
	Owner               string   `json:"owner,omitempty" maxLength:"64" doc:"the caller if left out"`
	Classification      string   `json:"classification,omitempty" enum:"Public,Internal,Restricted,Confidential,Regulated"`
}

// ChangeEditBody changes what it names of a change that is OPEN.
type ChangeEditBody struct {
	Title               *string   `json:"title,omitempty" maxLength:"300"`
	Description         *string   `json:"description,omitempty" maxLength:"4000"`
	Class               *string   `json:"class,omitempty" enum:"Critical,Major,Minor,Enhancement"`
	Baselines           *[]string `json:"baselines,omitempty" maxItems:"100"`
	Impact              *string   `json:"impact,omitempty" maxLength:"4000"`
	SafetyImpact        *string   `json:"safety_impact,omitempty" maxLength:"4000"`
	CertificationImpact *string   `json:"certification_impact,omitempty" maxLength:"4000"`
	Owner               *string   `json:"owner,omitempty" maxLength:"64"`
}

// VerdictBody approves or rejects.
type VerdictBody struct {
	Approve   bool   `json:"approve"`
	Statement string `json:"statement" minLength:"1" maxLength:"4000" doc:"why"`
}

// ClosingBody ends a change or a problem report.
type ClosingBody struct {
	Evidence  []string `json:"evidence" minItems:"1" maxItems:"20" doc:"ids of documents, items of evidence or audit records that show it"`
	Statement string   `json:"statement,omitempty" maxLength:"4000" doc:"how it was resolved"`
}

func (a *API) registerChanges() {
	read, end := may("change:read"), may("change:close")
	operation(a, get("/v1/changes", read).as("list-changes", "changes", "List changes, latest first"), a.listChanges)
	operation(a, post("/v1/changes", may("change:write")).answers(http.StatusCreated).as("create-change", "changes", "Ask for a change to a model"), a.createChange)
	operation(a, get("/v1/changes/{change_id}", read).as("get-change", "changes", "A change"),
		func(c *call, p *ChangePath, _ *none) (*registry.Change, error) {
			x, err := a.changeNamed(c, p.ID)
			if err == nil {
				c.set("ETag", etag(x.Revision))
			}
			return x, err
		})
	operation(a, patch("/v1/changes/{change_id}", may("change:write")).as("edit-change", "changes", "Edit a change that nobody decided about yet"), a.editChange)
	operation(a, post("/v1/changes/{change_id}/decision", end).as("decide-change", "changes", "Approve or reject a change").about("Never by who wrote or owned it."),
		func(c *call, p *ChangePath, body *VerdictBody) (*registry.Change, error) {
			return a.endChange(c, p.ID, func(tx *db.Tx) (*registry.Change, error) {
				return a.Registry.DecideChange(tx, p.ID, body.Approve, body.Statement, c.who())
			})
		})
	operation(a, post("/v1/changes/{change_id}/close", end).as("close-change", "changes", "End an approved change with evidence that it was done").about("Never by who wrote or owned it."),
		func(c *call, p *ChangePath, body *ClosingBody) (*registry.Change, error) {
			if _, err := a.changeNamed(c, p.ID); err != nil {
				return nil, err
			}
			if err := a.citable(c, body.Evidence); err != nil {
				return nil, err
			}
			return a.endChange(c, p.ID, func(tx *db.Tx) (*registry.Change, error) {
				return a.Registry.CloseChange(tx, p.ID, registry.Closing{Evidence: body.Evidence, Statement: body.Statement}, c.who())
			})
		})
}

func changeResource(x *registry.Change) auth.Resource {
	return auth.Resource{Type: "Change", ID: x.ChangeID, Project: x.Project, Classification: x.Classification, Owner: x.Owner, Parties: x.Involved}
}

// changeNamed returns a change that the caller may see.
func (a *API) changeNamed(c *call, id string) (*registry.Change, error) {
	x, err := a.Registry.Change(c.ctx(), id)
	if err != nil {
		return nil, c.unknown("change", err)
	}
	return x, a.seeFor(c, "change:read", "change", changeResource(x))
}

// aboutModel refuses a model that is not there or not for the caller, both alike.
func (a *API) aboutModel(c *call, id string) (*registry.Model, error) {
	if err := caos.CheckID("model", "model_id", id); err != nil {
		return nil, err
	}
	m, err := a.Registry.Model(c.ctx(), id)
	if err == nil {
		err = a.seeFor(c, "model:read", "model", modelResource(m))
	}
	if caos.KindOf(err) == caos.NotFound {
		return nil, caos.Errorf(caos.NotFound, "there is no such model, or it is not for you").WithField("model_id")
	}
	return m, err
}

// citable refuses evidence that is not there or not for the caller, both alike: what closes
// something can be looked at.
func (a *API) citable(c *call, ids []string) error {
	for i, id := range ids {
		field := fmt.Sprintf("evidence[%d]", i)
		if err := caos.CheckID("resource", field, id); err != nil {
			return err
		}
		there, err := a.evident(c, id)
		if err != nil {
			return err
		}
		if !there {
			return caos.Errorf(caos.Invalid, "there is no such document, evidence, baseline, passport or audit record, or it is not for you").WithField(field).
				WithHint("register the document or collect the evidence first")
		}
	}
	return nil
}

// evident reports whether an id is that of a document, an item of evidence, a baseline, a
// passport or an audit record that the caller may read.
func (a *API) evident(c *call, id string) (bool, error) {
	find := []struct {
		action string
		there  bool
		get    func() (auth.Resource, error)
	}{
		{"document:read", a.Registry != nil, func() (auth.Resource, error) {
			d, err := a.Registry.Document(c.ctx(), id)
			if err != nil {
				return auth.Resource{}, err
			}
			return documentResource(d), nil
		}},
		{"evidence:read", a.Evidence != nil, func() (auth.Resource, error) {
			it, err := a.Evidence.Get(c.ctx(), id)
			if err != nil {
				return auth.Resource{}, err
			}
			return auth.Resource{Type: "Evidence", ID: it.EvidenceID, Project: it.Project, Classification: it.Classification, Owner: it.CollectedBy}, nil
		}},
		{"baseline:read", a.Registry != nil, func() (auth.Resource, error) {
			b, err := a.Registry.Baseline(c.ctx(), id)
			if err != nil {
				return auth.Resource{}, err
			}
			return baselineResource(b), nil
		}},
		{"passport:read", a.Passports != nil, func() (auth.Resource, error) {
			p, err := a.Passports.Get(c.ctx(), id)
			if err != nil {
				return auth.Resource{}, err
			}
			return passportResource(p), nil
		}},
		{"audit:read", a.Log != nil, func() (auth.Resource, error) {
			s, rec, err := a.readRecord(c.ctx(), id)
			if err != nil {
				return auth.Resource{}, err
			}
			return recordResource(s, rec), nil
		}},
	}
	for _, f := range find {
		if !f.there {
			continue
		}
		res, err := f.get()
		if err == nil {
			res.Type = kindOf(f.action)
			err = a.Auth.Allow(c.by, f.action, res)
		}
		switch caos.KindOf(err) {
		case caos.NotFound, caos.Denied, caos.Invalid: // an id of another kind
			continue
		}
		return err == nil, err
	}
	return false, nil
}

func (a *API) listChanges(c *call, p *changeList, _ *none) (Page[*registry.Change], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*registry.Change]{}, err
	}
	f := registry.ChangeFilter{ModelID: p.Model, Owner: p.Owner, Status: registry.ChangeStatus(p.Status), Class: registry.ChangeClass(p.Class),
		Project: onlyProject(sees, p.Project), Limit: p.Limit}
	list, next, err := a.Registry.Changes(c.ctx(), f, p.Cursor)
	return visible(sees, list, next, changeResource), err
}

func (a *API) createChange(c *call, _ *none, body *NewChangeBody) (*registry.Change, error) {
	if _, err := a.aboutModel(c, body.ModelID); err != nil {
		return nil, err
	}
	x := registry.Change{ChangeID: body.ChangeID, ModelID: body.ModelID, Title: body.Title, Description: body.Description, Class: registry.ChangeClass(body.Class),
		Baselines: body.Baselines, Impact: body.Impact, SafetyImpact: body.SafetyImpact, CertificationImpact: body.CertificationImpact,
		Owner: orSelf(body.Owner, c), Classification: body.Classification}
	var made *registry.Change
	err := a.DB.Update(c.ctx(), func(tx *db.Tx) (err error) {
		if err := a.knownPerson(tx, "owner", x.Owner); err != nil {
			return err
		}
		if made, err = a.Registry.CreateChange(tx, x, c.who()); err != nil {
			return err
		}
		return a.authorize(c, tx, changeResource(made))
	})
	if err != nil {
		return nil, err
	}
	c.set("Location", "/v1/changes/"+url.PathEscape(made.ChangeID))
	c.set("ETag", etag(made.Revision))
	return made, nil
}

func (a *API) editChange(c *call, p *changeEditPath, body *ChangeEditBody) (*registry.Change, error) {
	revision, err := seen(p.IfMatch)
	if err != nil {
		return nil, err
	}
	if _, err := a.changeNamed(c, p.ID); err != nil {
		return nil, err
	}
	u := registry.ChangeUpdate{Title: body.Title, Description: body.Description, Impact: body.Impact, SafetyImpact: body.SafetyImpact,
		CertificationImpact: body.CertificationImpact, Owner: body.Owner, Class: (*registry.ChangeClass)(body.Class), Baselines: body.Baselines}
	var after *registry.Change
	err = a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		before, err := a.Registry.ChangeIn(tx, p.ID)
		if err != nil {
			return err
		}
		if err := a.authorize(c, tx, changeResource(before)); err != nil {
			return err
		}
		if body.Owner != nil && *body.Owner != before.Owner {
			if err := a.knownPerson(tx, "owner", *body.Owner); err != nil {
				return err
			}
		}
		after, err = a.Registry.UpdateChange(tx, p.ID, u, revision, c.who())
		return err
	})
	if err != nil {
		return nil, stale(err)
	}
	c.set("ETag", etag(after.Revision))
	return after, nil
}

// endChange runs do, which decides about a change or closes it, for somebody who may.
func (a *API) endChange(c *call, id string, do func(tx *db.Tx) (*registry.Change, error)) (*registry.Change, error) {
	if _, err := a.changeNamed(c, id); err != nil {
		return nil, err
	}
	var after *registry.Change
	err := a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		before, err := a.Registry.ChangeIn(tx, id)
		if err != nil {
			return err
		}
		if err := a.authorize(c, tx, changeResource(before)); err != nil {
			return err
		}
		after, err = do(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.set("ETag", etag(after.Revision))
	return after, nil
}
