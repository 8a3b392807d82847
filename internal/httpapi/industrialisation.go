package httpapi

import (
	"caos"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/registry"
)

type industrialisationList struct {
	Paging
	Model   string `query:"model_id" maxLength:"64"`
	Phase   string `query:"phase" enum:"PLANNING,PREPARATION,VALIDATION,PRODUCTION"`
	Project string `query:"project" maxLength:"100"`
}

type industrialisationPath struct {
	VersionPath
	IfMatch string `header:"If-Match" maxLength:"64" doc:"ETag of the record that is changed"`
}

// IndustrialisationBody changes what it names of how a version comes into production.
type IndustrialisationBody struct {
	Phase             string   `json:"phase,omitempty" enum:"PLANNING,PREPARATION,VALIDATION,PRODUCTION"`
	TargetPlatforms   []string `json:"target_platforms,omitempty" maxItems:"100"`
	ReleaseTarget     string   `json:"release_target,omitempty" maxLength:"64" example:"2026-Q1"`
	ChecklistTemplate string   `json:"checklist_template,omitempty" maxLength:"100" doc:"document id of the readiness checklist"`
}

func (a *API) registerIndustrialisation() {
	read := may("industrialisation:read")
	operation(a, get("/v1/industrialisation", read).as("list-industrialisation", "industrialisation", "How versions come into production, latest opened first"), a.listIndustrialisation)
	operation(a, get("/v1/industrialisation/{model_id}/{version}", read).as("get-industrialisation", "industrialisation", "How a version comes into production"),
		func(c *call, p *VersionPath, _ *none) (*registry.Industrialisation, error) {
			x, err := a.industrialisationOf(c, p)
			if err == nil {
				c.set("ETag", etag(x.Revision))
			}
			return x, err
		})
	operation(a, patch("/v1/industrialisation/{model_id}/{version}", may("industrialisation:write")).as("edit-industrialisation", "industrialisation", "Plan how a version comes into production").
		about("Opens the record if there is none. Whether a version is ready for production is found by its readiness review alone."), a.editIndustrialisation)
}

func industrialisationResource(x *registry.Industrialisation) auth.Resource {
	return auth.Resource{Type: "Industrialisation", ID: registry.VersionKey(x.ModelID, x.Version), Project: x.Project, Classification: x.Classification, Owner: x.OpenedBy}
}

// industrialisationOf returns the record of a version that the caller may see.
func (a *API) industrialisationOf(c *call, p *VersionPath) (*registry.Industrialisation, error) {
	x, err := a.Registry.Industrialisation(c.ctx(), p.Model, p.Version)
	if err != nil {
		return nil, c.unknown("industrialisation record", err)
	}
	return x, a.seeFor(c, "industrialisation:read", "industrialisation record", industrialisationResource(x))
}

func (a *API) listIndustrialisation(c *call, p *industrialisationList, _ *none) (Page[*registry.Industrialisation], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*registry.Industrialisation]{}, err
	}
	f := registry.IndustrialisationFilter{ModelID: p.Model, Phase: registry.Phase(p.Phase), Project: onlyProject(sees, p.Project), Limit: p.Limit}
	list, next, err := a.Registry.Industrialisations(c.ctx(), f, p.Cursor)
	return visible(sees, list, next, industrialisationResource), err
}

func (a *API) editIndustrialisation(c *call, p *industrialisationPath, body *IndustrialisationBody) (*registry.Industrialisation, error) {
	revision, err := seen(p.IfMatch)
	if err != nil {
		return nil, err
	}
	if _, err := a.version(c, &p.VersionPath); err != nil {
		return nil, err
	}
	x := registry.Industrialisation{ModelID: p.Model, Version: p.Version, Phase: registry.Phase(body.Phase), TargetPlatforms: body.TargetPlatforms,
		ReleaseTarget: body.ReleaseTarget, ChecklistTemplate: body.ChecklistTemplate}
	var after *registry.Industrialisation
	err = a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		before, err := a.Registry.IndustrialisationIn(tx, p.Model, p.Version)
		if err != nil && caos.KindOf(err) != caos.NotFound {
			return err
		}
		if revision != 0 && (err != nil || before.Revision != revision) {
			return caos.Errorf(caos.Conflict, "it is not as you saw it").WithField("If-Match").WithHint("read it again and repeat the change")
		}
		if after, _, err = a.Registry.PutIndustrialisation(tx, x, c.who()); err != nil {
			return err
		}
		return a.authorize(c, tx, industrialisationResource(after))
	})
	if err != nil {
		return nil, stale(err)
	}
	c.set("ETag", etag(after.Revision))
	return after, nil
}
