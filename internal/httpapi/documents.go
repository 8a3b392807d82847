package httpapi

import (
	"cmp"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/registry"
)

type documentList struct {
	Paging
	Kind    string `query:"kind" maxLength:"32" doc:"such as vv-report"`
	Status  string `query:"status" enum:"REGISTERED,APPROVED,REJECTED,SUPERSEDED"`
	Model   string `query:"model_id" maxLength:"64"`
	Version string `query:"model_version" maxLength:"64"`
	Latest  bool   `query:"latest" doc:"leave superseded versions out"`
	Project string `query:"project" maxLength:"100"`
}

// DocumentPath names a document.
type DocumentPath struct {
	ID string `path:"document_id" maxLength:"100" example:"95-00-07-01-001"`
}

type documentVersionPath struct {
	DocumentPath
	Version string `query:"version" maxLength:"32" doc:"of the document; the latest if left out"`
}

// NewDocumentBody registers a version of a document.
type NewDocumentBody struct {
	ObjectBody
	DocumentID     string `json:"document_id" doc:"two to six words of letters and digits between hyphens" example:"95-00-07-01-001"`
	Version        string `json:"version" maxLength:"16" doc:"higher than the former one, which it supersedes" example:"1.0"`
	Kind           string `json:"kind" maxLength:"32" doc:"vv-report, vv-plan, safety-assessment, defect-list, documentation-review, or another word of lower-case letters and hyphens"`
	Title          string `json:"title" minLength:"1" maxLength:"300"`
	ModelID        string `json:"model_id,omitempty" maxLength:"64" doc:"the model that it is about"`
	ModelVersion   string `json:"model_version,omitempty" maxLength:"64" doc:"the version that it is about"`
	MediaType      string `json:"media_type,omitempty" maxLength:"100"`
	Project        string `json:"project,omitempty" maxLength:"64" doc:"the model's, or the caller's, if left out"`
	Classification string `json:"classification,omitempty" enum:"Public,Internal,Restricted,Confidential,Regulated"`
}

// DocumentDecisionBody decides about the latest version of a document.
type DocumentDecisionBody struct {
	Approve   bool   `json:"approve"`
	Statement string `json:"statement,omitempty" maxLength:"4000" doc:"why; needed to reject"`
	Version   string `json:"version" maxLength:"32" doc:"the version that was read"`
}

func (a *API) registerDocuments() {
	read := may("document:read")
	operation(a, get("/v1/documents", read).as("list-documents", "documents", "List documents, latest first"), a.listDocuments)
	operation(a, post("/v1/documents", may("document:register")).answers(http.StatusCreated).as("register-document", "documents", "Register a version of a document").
		about("Upload it first with POST /v1/objects. A V&V report (kind vv-report) and a defect list (kind defect-list), as JSON or YAML, are read strictly: what they state is kept beside the bytes. "+
			"The V&V report of a model is registered by a vv-lead who does not own the model. The same version with the same bytes again changes nothing."), a.registerDocument)
	operation(a, get("/v1/documents/{document_id}", read).as("get-document", "documents", "A version of a document, with what was read out of it"),
		func(c *call, p *documentVersionPath, _ *none) (*registry.Document, error) {
			return a.documentOf(c, p.ID, p.Version)
		})
	operation(a, get("/v1/documents/{document_id}/versions", read).as("list-document-versions", "documents", "The versions of a document, latest first"), a.listDocumentVersions)
	a.plain(get("/v1/documents/{document_id}/content", read).as("get-document-content", "documents", "The document itself"),
		huma.Operation{
			Parameters: []*huma.Param{param("document_id", "path", "the document", words()), param("version", "query", "of the document; the latest if left out", words())},
			Responses:  binary("200", "The bytes that were registered; Content-Digest says which", "application/octet-stream"),
		}, a.documentContent)
	operation(a, post("/v1/documents/{document_id}/decision", mayWithMFA("document:decide")).as("decide-document", "documents", "Approve or reject a document").
		about("A safety engineer decides about safety assessments, a qa-lead about all others; never who registered it, nor the owner of the model that it is about."), a.decideDocument)
}

func documentResource(d *registry.Document) auth.Resource {
	return auth.Resource{Type: "Document", ID: d.DocumentID, Project: d.Project, Classification: d.Classification, Owner: d.RegisteredBy}
}

// documentOf returns a version of a document, "" for the latest, that the caller may see.
func (a *API) documentOf(c *call, id, version string) (d *registry.Document, err error) {
	if version == "" {
		d, err = a.Registry.Document(c.ctx(), id)
	} else {
		d, err = a.Registry.DocumentVersion(c.ctx(), id, version)
	}
	if err != nil {
		return nil, c.unknown("document", err)
	}
	return d, a.seeFor(c, "document:read", "document", documentResource(d))
}

func (a *API) listDocuments(c *call, p *documentList, _ *none) (Page[*registry.Document], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*registry.Document]{}, err
	}
	f := registry.DocumentFilter{Kind: p.Kind, Status: registry.DocumentStatus(p.Status), ModelID: p.Model, ModelVersion: p.Version,
		Project: onlyProject(sees, p.Project), Latest: p.Latest, Limit: p.Limit}
	list, next, err := a.Registry.Documents(c.ctx(), f, p.Cursor)
	return visible(sees, list, next, documentResource), err
}

func (a *API) listDocumentVersions(c *call, p *DocumentPath, _ *none) (Page[*registry.Document], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*registry.Document]{}, err
	}
	if _, err := a.documentOf(c, p.ID, ""); err != nil {
		return Page[*registry.Document]{}, err
	}
	list, err := a.Registry.DocumentVersions(c.ctx(), p.ID)
	return visible(sees, list, "", documentResource), err
}

// visible is the page of those items that the caller sees.
func visible[T any](sees auth.Visibility, list []*T, next string, resource func(*T) auth.Resource) Page[*T] {
	page := Page[*T]{Items: []*T{}, NextCursor: next}
	for _, x := range list {
		if r := resource(x); sees.Sees(r.Owner, r.Project, r.Classification) {
			page.Items = append(page.Items, x)
		}
	}
	return page
}

func (a *API) registerDocument(c *call, _ *none, body *NewDocumentBody) (*registry.Document, error) {
	d := registry.Document{DocumentID: body.DocumentID, Version: body.Version, Kind: body.Kind, Title: body.Title, ModelID: body.ModelID,
		ModelVersion: body.ModelVersion, MediaType: body.MediaType, Project: body.Project, Classification: body.Classification}
	var err error
	if d.Digest, err = a.uploaded(c, body.ObjectBody); err != nil {
		return nil, err
	}
	parsed, err := a.Registry.ReadDocument(c.ctx(), d.Kind, d.Digest)
	if err != nil {
		return nil, err
	}
	// What the document itself says that it is about counts as much as what the caller says.
	if d.ModelID = cmp.Or(d.ModelID, parsed.Model()); d.ModelID != "" {
		m, err := a.aboutModel(c, d.ModelID)
		if err != nil {
			return nil, err
		}
		if d.Project != "" && d.Project != m.Project {
			return nil, caos.Errorf(caos.Invalid, "the model %s belongs to another project", d.ModelID).WithField("project").WithHint("leave it out: a document about a model is in the model's project")
		}
	} else {
		d.Project = cmp.Or(d.Project, c.by.Project)
	}
	var made *registry.Document
	err = a.DB.Update(c.ctx(), func(tx *db.Tx) (err error) {
		further := map[string]any{"kind": d.Kind}
		var owners []string
		if d.ModelID != "" {
			m, err := a.Registry.ModelIn(tx, d.ModelID)
			if err != nil {
				return err
			}
			further["model_owner"], owners = m.Owner, append(owners, m.FormerOwners...)
		}
		// A version takes the place of the former one: that must be the caller's to replace.
		former, err := a.Registry.DocumentIn(tx, d.DocumentID)
		if err == nil {
			err = a.Auth.Authorize(tx, c.by, c.endpoint.Rule.Action, documentResource(former), further)
		}
		if err != nil && caos.KindOf(err) != caos.NotFound {
			return err
		}
		if made, err = a.Registry.RegisterDocument(tx, d, parsed, c.who()); err != nil {
			return err
		}
		res := documentResource(made)
		res.Parties = owners
		return a.Auth.Authorize(tx, c.by, c.endpoint.Rule.Action, res, further)
	})
	if err != nil {
		return nil, err
	}
	c.set("Location", "/v1/documents/"+url.PathEscape(made.DocumentID)+"?version="+url.QueryEscape(made.Version))
	return made, nil
}

// documentContent streams the bytes of a document. It is never shown as a page of this
// server, whatever it claims to be.
func (a *API) documentContent(c *call) error {
	q := c.r.URL.Query()
	for name, values := range q {
		if name != "version" || len(values) > 1 {
			return caos.Errorf(caos.Invalid, "unknown or repeated query parameter").WithField(clip(name, 80)).WithHint("this route has version, once")
		}
	}
	d, err := a.documentOf(c, c.path("document_id"), q.Get("version"))
	if err != nil {
		return err
	}
	media := "application/octet-stream"
	switch d.MediaType {
	case "application/json", "application/yaml", "application/pdf", "text/plain", "text/markdown", "text/csv":
		media = d.MediaType
	}
	return a.serveObject(c, download{digest: d.Digest, media: media, name: d.DocumentID + "-" + d.Version})
}

func (a *API) decideDocument(c *call, p *DocumentPath, body *DocumentDecisionBody) (*registry.Document, error) {
	if _, err := a.documentOf(c, p.ID, ""); err != nil {
		return nil, err
	}
	if body.Version == "" {
		return nil, missing("version")
	}
	var after *registry.Document
	err := a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		d, err := a.Registry.DocumentIn(tx, p.ID)
		if err != nil {
			return err
		}
		res := documentResource(d)
		res.Parties = []string{d.RegisteredBy, d.RecordedBy}
		if d.ModelID != "" {
			m, err := a.Registry.ModelIn(tx, d.ModelID)
			if err != nil {
				return err
			}
			res.Parties = append(append(res.Parties, m.Owner), m.FormerOwners...)
		}
		if err := a.Auth.Authorize(tx, c.by, c.endpoint.Rule.Action, res, map[string]any{"kind": d.Kind}); err != nil {
			return err
		}
		after, err = a.Registry.DecideDocument(tx, registry.Decision{DocumentID: p.ID, Version: body.Version, Approve: body.Approve, Statement: body.Statement}, c.who())
		return err
	})
	return after, err
}
