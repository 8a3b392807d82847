package httpapi

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/registry"
)

type linkList struct {
	Paging
	End      string `query:"end" maxLength:"200" doc:"either end"`
	Source   string `query:"source_id" maxLength:"200"`
	Target   string `query:"target_id" maxLength:"200"`
	Relation string `query:"relation" enum:"DRVF,REFN,IMPL,VALD,DEPO,PRNT,REFS,SUPR"`
	Project  string `query:"project" maxLength:"100"`
}

// LinkPath names a traceability link.
type LinkPath struct {
	ID string `path:"link_id" maxLength:"64" example:"LINK-0123456789abcdef0123"`
}

type tracePath struct {
	ID    string `path:"id" maxLength:"200" doc:"of a requirement, a model, MODEL@VERSION, a baseline, a document …" example:"NN-FCS-001"`
	Depth int    `query:"depth" minimum:"1" maximum:"8" default:"3" doc:"how many links away"`
}

// LinkBody makes a traceability link, or changes what is said of the one with these ends,
// relation and project.
type LinkBody struct {
	SourceID       string `json:"source_id" maxLength:"200" example:"95-00-03-REQ-001"`
	SourceType     string `json:"source_type" maxLength:"64" example:"Requirement"`
	TargetID       string `json:"target_id" maxLength:"200" example:"NN-FCS-001@2.1.0"`
	TargetType     string `json:"target_type" maxLength:"64" example:"Model"`
	Relation       string `json:"relation" enum:"DRVF,REFN,IMPL,VALD,DEPO,PRNT,REFS,SUPR" doc:"what the target does to the source, in the programme's direction: is derived from it, refines, implements, validates or depends on it, is its child, references or supersedes it"`
	Rationale      string `json:"rationale,omitempty" maxLength:"4000"`
	Status         string `json:"status,omitempty" maxLength:"64" doc:"ACTIVE if left out"`
	VerifiedOn     string `json:"verified_on,omitempty" maxLength:"10" doc:"YYYY-MM-DD"`
	VerifiedBy     string `json:"verified_by,omitempty" maxLength:"300"`
	Project        string `json:"project,omitempty" maxLength:"64" doc:"that of the model at an end, or the caller's, if left out"`
	Classification string `json:"classification,omitempty" enum:"Public,Internal,Restricted,Confidential,Regulated"`
}

func (a *API) registerLinks() {
	read, write := may("link:read"), may("link:write")
	operation(a, get("/v1/links", read).as("list-links", "links", "List traceability links, latest first"), a.listLinks)
	operation(a, post("/v1/links", write).answers(http.StatusCreated).as("put-link", "links", "Make a traceability link, or change what is said of it").
		about("A link from a model, a version (MODEL@VERSION) or a baseline to a Requirement makes that a requirement which a freeze has to show verified. Answers 200 if the link was there already."), a.putLink)
	operation(a, get("/v1/links/{link_id}", read).as("get-link", "links", "A traceability link"),
		func(c *call, p *LinkPath, _ *none) (*registry.Link, error) { return a.linkNamed(c, p.ID) })
	operation(a, del("/v1/links/{link_id}", write).as("delete-link", "links", "Remove a traceability link").about("What it said stays in the audit log."), a.deleteLink)
	operation(a, get("/v1/trace/{id}", read).as("trace", "links", "What hangs together with something by links, in both directions"), a.trace)
}

func linkResource(l *registry.Link) auth.Resource {
	return auth.Resource{Type: "Link", ID: l.LinkID, Project: l.Project, Classification: l.Classification, Owner: l.CreatedBy}
}

// linkNamed returns a link that the caller may see.
func (a *API) linkNamed(c *call, id string) (*registry.Link, error) {
	l, err := a.Registry.Link(c.ctx(), id)
	if err != nil {
		return nil, c.unknown("link", err)
	}
	return l, a.seeFor(c, "link:read", "link", linkResource(l))
}

func (a *API) listLinks(c *call, p *linkList, _ *none) (Page[*registry.Link], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*registry.Link]{}, err
	}
	f := registry.LinkFilter{End: p.End, SourceID: p.Source, TargetID: p.Target, Relation: registry.Relation(p.Relation),
		Project: onlyProject(sees, p.Project), Limit: p.Limit}
	list, next, err := a.Registry.Links(c.ctx(), f, p.Cursor)
	return visible(sees, list, next, linkResource), err
}

// scopeOfLink gives a link the project and classification of the model at one of its ends,
// where the caller sees it and said nothing else.
func (a *API) scopeOfLink(c *call, l *registry.Link) error {
	for _, end := range []string{l.SourceID, l.TargetID} {
		id, _, _ := strings.Cut(end, "@")
		if model, _, err := registry.ParseBaselineID(end); err == nil {
			id = model
		}
		if caos.CheckID("model", "", id) != nil {
			continue
		}
		m, err := a.Registry.Model(c.ctx(), id)
		if err == nil {
			err = a.Auth.Allow(c.by, "model:read", modelResource(m))
		}
		switch caos.KindOf(err) {
		case caos.NotFound, caos.Denied: // the registry decides whether it may be linked all the same
			continue
		}
		if err != nil {
			return err
		}
		l.Project, l.Classification = cmp.Or(l.Project, m.Project), cmp.Or(l.Classification, m.Classification)
		return nil
	}
	l.Project = cmp.Or(l.Project, c.by.Project)
	return nil
}

func (a *API) putLink(c *call, _ *none, body *LinkBody) (*registry.Link, error) {
	l := registry.Link{SourceID: body.SourceID, SourceType: body.SourceType, TargetID: body.TargetID, TargetType: body.TargetType,
		Relation: registry.Relation(body.Relation), Rationale: body.Rationale, Status: body.Status, VerifiedOn: body.VerifiedOn, VerifiedBy: body.VerifiedBy,
		Project: body.Project, Classification: body.Classification}
	if err := a.scopeOfLink(c, &l); err != nil {
		return nil, err
	}
	// What is there already may be classified higher than what would be said now.
	there, _, err := a.Registry.Links(c.ctx(), registry.LinkFilter{SourceID: l.SourceID, TargetID: l.TargetID, Relation: l.Relation, Project: l.Project, Limit: 1000}, "")
	if err != nil {
		return nil, err
	}
	for _, old := range there {
		if err := a.Auth.Allow(c.by, c.endpoint.Rule.Action, linkResource(old)); err != nil && old.Project == l.Project {
			return nil, err
		}
	}
	var made *registry.Link
	var outcome registry.Outcome
	err = a.DB.Update(c.ctx(), func(tx *db.Tx) (err error) {
		if made, outcome, err = a.Registry.PutLink(tx, l, c.who()); err != nil {
			return err
		}
		return a.authorize(c, tx, linkResource(made))
	})
	if err != nil {
		return nil, err
	}
	if outcome != registry.Created {
		c.status = http.StatusOK
	}
	c.set("Location", "/v1/links/"+url.PathEscape(made.LinkID))
	return made, nil
}

func (a *API) deleteLink(c *call, p *LinkPath, _ *none) (Done, error) {
	if _, err := a.linkNamed(c, p.ID); err != nil {
		return Done{}, err
	}
	err := a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		l, err := a.Registry.LinkIn(tx, p.ID)
		if err != nil {
			return err
		}
		if err := a.authorize(c, tx, linkResource(l)); err != nil {
			return err
		}
		return a.Registry.DeleteLink(tx, p.ID, c.who())
	})
	return Done{err == nil}, err
}

// trace follows those links that the caller sees.
func (a *API) trace(c *call, p *tracePath, _ *none) (*registry.Trace, error) {
	sees, err := a.visibility(c)
	if err != nil {
		return nil, err
	}
	return a.Registry.Trace(c.ctx(), registry.TraceQuery{ID: p.ID, Depth: p.Depth, Sees: func(project, classification string) bool {
		return sees.Owner == "" && sees.Sees("", project, classification)
	}})
}
