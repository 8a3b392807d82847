package httpapi

import (
	"cmp"
	"net/http"
	"net/url"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/registry"
)

type modelList struct {
	Paging
	Family  string `query:"family" maxLength:"100"`
	Owner   string `query:"owner" maxLength:"64"`
	Project string `query:"project" maxLength:"100"`
}

// ModelPath names a model.
type ModelPath struct {
	Model string `path:"model_id" maxLength:"64" example:"NN-FCS-001"`
}

// VersionPath names a version of a model.
type VersionPath struct {
	ModelPath
	Version string `path:"version" maxLength:"64" example:"2.1.0"`
}

type modelChangePath struct {
	ModelPath
	IfMatch string `header:"If-Match" maxLength:"64" doc:"ETag of the model that is changed"`
}

type versionChangePath struct {
	VersionPath
	IfMatch string `header:"If-Match" maxLength:"64" doc:"ETag of the version that is changed"`
}

type versionList struct {
	ModelPath
	Paging
}

// NewModelBody registers a model.
type NewModelBody struct {
	ModelID        string `json:"model_id" doc:"NN-SYSTEM-NNN" example:"NN-FCS-001"`
	Name           string `json:"name" minLength:"1" maxLength:"300"`
	Family         string `json:"family,omitempty" maxLength:"64"`
	SafetyLevel    string `json:"safety_level,omitempty" enum:"DAL-A,DAL-B,DAL-C,DAL-D,DAL-E"`
	Regime         string `json:"regime,omitempty" maxLength:"64" doc:"under which it is certified" example:"EASA_CS-25"`
	Owner          string `json:"owner,omitempty" maxLength:"64" doc:"who answers for it; the caller if left out"`
	Project        string `json:"project,omitempty" maxLength:"64" doc:"the caller's if left out"`
	Classification string `json:"classification,omitempty" enum:"Public,Internal,Restricted,Confidential,Regulated"`
	Description    string `json:"description,omitempty" maxLength:"4000"`
}

// ModelChangeBody changes what it names of a model. The project stays.
type ModelChangeBody struct {
	Name        *string `json:"name,omitempty" maxLength:"300"`
	Family      *string `json:"family,omitempty" maxLength:"64"`
	SafetyLevel *string `json:"safety_level,omitempty" enum:"DAL-A,DAL-B,DAL-C,DAL-D,DAL-E"`
	Regime      *string `json:"regime,omitempty" maxLength:"64"`
	Owner       *string `json:"owner,omitempty" maxLength:"64"`
	Class       *string `json:"classification,omitempty" enum:"Public,Internal,Restricted,Confidential,Regulated"`
	Description *string `json:"description,omitempty" maxLength:"4000"`
}

// NewVersionBody registers a version of a model.
type NewVersionBody struct {
	Version             string   `json:"version" doc:"a semantic version without a build part, higher than all there are" example:"2.1.0"`
	Framework           string   `json:"framework,omitempty" maxLength:"64"`
	Description         string   `json:"description,omitempty" maxLength:"4000"`
	Supersedes          string   `json:"supersedes,omitempty" maxLength:"64" doc:"the version that it replaces"`
	CompatibleWith      []string `json:"compatible_with,omitempty" maxItems:"100" doc:"such as 2.0.x"`
	SafetyImpact        string   `json:"safety_impact,omitempty" maxLength:"4000"`
	CertificationImpact string   `json:"certification_impact,omitempty" maxLength:"4000"`
}

// VersionChangeBody changes what it names of a version that is not frozen.
type VersionChangeBody struct {
	Framework           *string   `json:"framework,omitempty" maxLength:"64"`
	Description         *string   `json:"description,omitempty" maxLength:"4000"`
	Supersedes          *string   `json:"supersedes,omitempty" maxLength:"64"`
	CompatibleWith      *[]string `json:"compatible_with,omitempty" maxItems:"100"`
	SafetyImpact        *string   `json:"safety_impact,omitempty" maxLength:"4000"`
	CertificationImpact *string   `json:"certification_impact,omitempty" maxLength:"4000"`
}

func (a *API) registerModels() {
	read, bring := may("model:read"), may("model:artifact")
	operation(a, get("/v1/models", read).as("list-models", "models", "List models, latest first"), a.listModels)
	operation(a, post("/v1/models", may("model:create")).answers(http.StatusCreated).as("create-model", "models", "Register a model"), a.createModel)
	operation(a, get("/v1/models/{model_id}", read).as("get-model", "models", "A model"),
		func(c *call, p *ModelPath, _ *none) (*registry.Model, error) {
			m, err := a.model(c, p.Model)
			if err == nil {
				c.set("ETag", etag(m.Revision))
			}
			return m, err
		})
	operation(a, patch("/v1/models/{model_id}", may("model:update")).as("update-model", "models", "Change what is said of a model").
		about("Send the ETag that you saw as If-Match; a change that somebody else made meanwhile is then not overwritten."), a.updateModel)
	operation(a, get("/v1/models/{model_id}/versions", read).as("list-versions", "models", "The versions of a model, latest first"), a.listVersions)
	operation(a, post("/v1/models/{model_id}/versions", bring).answers(http.StatusCreated).as("create-version", "models", "Register a version of a model"), a.createVersion)
	operation(a, get("/v1/models/{model_id}/versions/{version}", read).as("get-version", "models", "A version of a model"),
		func(c *call, p *VersionPath, _ *none) (*registry.Version, error) {
			v, err := a.version(c, p)
			if err == nil {
				c.set("ETag", etag(v.Revision))
			}
			return v, err
		})
	operation(a, patch("/v1/models/{model_id}/versions/{version}", may("model:update")).as("update-version", "models", "Change what is said of a version").
		about("Only before it is frozen."), a.updateVersion)
	a.registerArtifacts()
}

func modelResource(m *registry.Model) auth.Resource {
	return auth.Resource{Type: "Model", ID: m.ModelID, Project: m.Project, Classification: m.Classification, Owner: m.Owner}
}

// who is the caller, for the records of the registry.
func (c *call) who() registry.By { return registry.By{Actor: c.by.ID, RecordedBy: c.by.ID} }

// model returns a model that the caller may see.
func (a *API) model(c *call, id string) (*registry.Model, error) {
	m, err := a.Registry.Model(c.ctx(), id)
	if err != nil {
		return nil, c.unknown("model", err)
	}
	return m, a.seeFor(c, "model:read", "model", modelResource(m))
}

// version returns a version of a model that the caller may see.
func (a *API) version(c *call, p *VersionPath) (*registry.Version, error) {
	if _, err := a.model(c, p.Model); err != nil {
		return nil, err
	}
	v, err := a.Registry.Version(c.ctx(), p.Model, p.Version)
	if caos.KindOf(err) == caos.NotFound {
		return nil, caos.Errorf(caos.NotFound, "the model has no such version").WithField("version")
	}
	return v, err
}

// changeModel runs do in a transaction that may do the route's action to a model as it is
// there. further are the facts that the action's policies know besides.
func (a *API) changeModel(c *call, id string, further map[string]any, do func(tx *db.Tx, m *registry.Model) error) error {
	if _, err := a.model(c, id); err != nil {
		return err
	}
	return a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		m, err := a.Registry.ModelIn(tx, id)
		if err != nil {
			return err
		}
		if err := a.Auth.Authorize(tx, c.by, c.endpoint.Rule.Action, modelResource(m), further); err != nil {
			return err
		}
		return do(tx, m)
	})
}

// seen reads an If-Match header for the registry, where 0 stands for whatever there is.
func seen(ifMatch string) (int64, error) {
	n, err := revisionOf(ifMatch)
	if err == nil && n == 0 {
		return 0, refuse(http.StatusPreconditionFailed, caos.Errorf(caos.Conflict, "it is not an ETag of this resource").WithField("If-Match"))
	}
	return max(n, 0), err
}

// stale gives a conflict about the revision that a caller saw the status and the field that
// HTTP has for it.
func stale(err error) error {
	if e := caos.AsError(err); e.Kind == caos.Conflict && (e.Field == "If-Match" || e.Field == "revision") {
		return refuse(http.StatusPreconditionFailed, e.WithField("If-Match"))
	}
	return err
}

// knownPerson refuses the id of nobody.
func (a *API) knownPerson(tx *db.Tx, field, id string) error {
	if err := caos.CheckID("user", field, id); err != nil {
		return err
	}
	known, err := a.Auth.KnownPerson(tx, id)
	if err == nil && !known {
		err = caos.Errorf(caos.Invalid, "there is no person %q", id).WithField(field).WithHint("an administrator makes accounts")
	}
	return err
}

func (a *API) listModels(c *call, p *modelList, _ *none) (Page[registry.Model], error) {
	page := Page[registry.Model]{Items: []registry.Model{}}
	sees, err := a.visibility(c)
	if err != nil {
		return page, err
	}
	f := registry.ModelFilter{Project: onlyProject(sees, p.Project), Family: p.Family, Owner: p.Owner, Limit: p.Limit}
	list, next, err := a.Registry.Models(c.ctx(), f, p.Cursor)
	page.NextCursor = next
	for _, m := range list {
		if sees.Sees(m.Owner, m.Project, m.Classification) {
			page.Items = append(page.Items, *m)
		}
	}
	return page, err
}

func (a *API) createModel(c *call, _ *none, body *NewModelBody) (*registry.Model, error) {
	m := registry.Model{ModelID: body.ModelID, Name: body.Name, Family: body.Family, SafetyLevel: body.SafetyLevel, Regime: body.Regime,
		Owner: orSelf(body.Owner, c), Project: cmp.Or(body.Project, c.by.Project), Classification: body.Classification, Description: body.Description}
	var made *registry.Model
	err := a.DB.Update(c.ctx(), func(tx *db.Tx) (err error) {
		if err := a.knownPerson(tx, "owner", m.Owner); err != nil {
			return err
		}
		if made, err = a.Registry.CreateModel(tx, m, c.who()); err != nil {
			return err
		}
		return a.authorize(c, tx, modelResource(made))
	})
	if err != nil {
		return nil, err
	}
	c.set("Location", "/v1/models/"+url.PathEscape(made.ModelID))
	c.set("ETag", etag(made.Revision))
	return made, nil
}

func (a *API) updateModel(c *call, p *modelChangePath, body *ModelChangeBody) (*registry.Model, error) {
	revision, err := seen(p.IfMatch)
	if err != nil {
		return nil, err
	}
	change := registry.ModelChange{Name: body.Name, Family: body.Family, SafetyLevel: body.SafetyLevel, Regime: body.Regime, Owner: body.Owner,
		Classification: body.Class, Description: body.Description}
	var after *registry.Model
	err = a.changeModel(c, p.Model, nil, func(tx *db.Tx, before *registry.Model) (err error) {
		if body.Owner != nil && *body.Owner != before.Owner {
			if err := a.knownPerson(tx, "owner", *body.Owner); err != nil {
				return err
			}
		}
		if after, err = a.Registry.UpdateModel(tx, p.Model, change, revision, c.who()); err != nil {
			return err
		}
		// Nobody moves a model to where they may not follow it; giving it away is allowed.
		moved := modelResource(after)
		moved.Owner, moved.Parties = before.Owner, before.FormerOwners
		return a.Auth.Authorize(tx, c.by, c.endpoint.Rule.Action, moved, map[string]any{"declassifies": lowered(before.Classification, after.Classification)})
	})
	if err != nil {
		return nil, stale(err)
	}
	c.set("ETag", etag(after.Revision))
	return after, nil
}

// lowered reports whether a classification is more open than it was. What is not classified
// is Internal.
func lowered(before, after string) bool {
	return caos.Sensitivity(after) < caos.Sensitivity(before)
}

func (a *API) listVersions(c *call, p *versionList, _ *none) (Page[registry.Version], error) {
	page := Page[registry.Version]{Items: []registry.Version{}}
	if _, err := a.model(c, p.Model); err != nil {
		return page, err
	}
	list, next, err := a.Registry.Versions(c.ctx(), p.Model, p.Limit, p.Cursor)
	page.NextCursor = next
	for _, v := range list {
		page.Items = append(page.Items, *v)
	}
	return page, err
}

func (a *API) createVersion(c *call, p *ModelPath, body *NewVersionBody) (*registry.Version, error) {
	v := registry.Version{ModelID: p.Model, Version: body.Version, Framework: body.Framework, Description: body.Description, Supersedes: body.Supersedes,
		CompatibleWith: body.CompatibleWith, SafetyImpact: body.SafetyImpact, CertificationImpact: body.CertificationImpact}
	var made *registry.Version
	err := a.changeModel(c, p.Model, nil, func(tx *db.Tx, _ *registry.Model) (err error) {
		made, err = a.Registry.CreateVersion(tx, v, c.who())
		return err
	})
	if err != nil {
		return nil, err
	}
	c.set("Location", "/v1/models/"+url.PathEscape(p.Model)+"/versions/"+url.PathEscape(made.Version))
	c.set("ETag", etag(made.Revision))
	return made, nil
}

func (a *API) updateVersion(c *call, p *versionChangePath, body *VersionChangeBody) (*registry.Version, error) {
	revision, err := seen(p.IfMatch)
	if err != nil {
		return nil, err
	}
	if _, err := a.version(c, &p.VersionPath); err != nil {
		return nil, err
	}
	change := registry.VersionChange{Framework: body.Framework, Description: body.Description, Supersedes: body.Supersedes,
		CompatibleWith: body.CompatibleWith, SafetyImpact: body.SafetyImpact, CertificationImpact: body.CertificationImpact}
	var after *registry.Version
	err = a.changeModel(c, p.Model, nil, func(tx *db.Tx, _ *registry.Model) (err error) {
		after, err = a.Registry.UpdateVersion(tx, registry.VersionAt{ModelID: p.Model, Version: p.Version, Revision: revision}, change, c.who())
		return err
	})
	if err != nil {
		return nil, stale(err)
	}
	c.set("ETag", etag(after.Revision))
	return after, nil
}
