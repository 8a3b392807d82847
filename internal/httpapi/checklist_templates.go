package httpapi

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/readiness"
)

// templateLimit is how long a template may be, in bytes.
const templateLimit = 256 << 10

type templateList struct {
	Paging
	Template string `query:"template_id" maxLength:"100" doc:"the versions of this one"`
	Project  string `query:"project" maxLength:"100"`
}

type templatePath struct {
	ID      string `path:"template_id" maxLength:"100" example:"95-00-09-01-005"`
	Version string `query:"version" maxLength:"16" doc:"of the template; the latest if left out"`
}

func (a *API) registerChecklistTemplates() {
	read := may("checklist:read")
	operation(a, get("/v1/checklist-templates", read).as("list-checklist-templates", "checklists", "Checklist templates, latest first"), a.listTemplates)
	register := post("/v1/checklist-templates", may("template:register")).answers(http.StatusCreated).as("register-checklist-template", "checklists", "Register a version of a checklist template").
		about("The body is the template, as YAML or JSON: template_id, version, title, and groups of items, each with item_id, title, question and, where it helps, criticality (CRITICAL if left out, or MINOR), " +
			"owner_role and evidence_hint. It is read strictly; one without items is refused. A new version has a higher number; checklists that are open keep theirs.")
	register.limit = templateLimit
	a.plain(register, huma.Operation{
		Parameters: []*huma.Param{
			param("project", "query", "that may use it; every project, or the caller's only one, if left out", words()),
			param("classification", "query", "of its questions; Internal if left out", &huma.Schema{Type: "string", Enum: []any{"Public", "Internal", "Restricted", "Confidential", "Regulated"}}),
		},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/yaml": {Schema: words()}, "application/json": {Schema: &huma.Schema{Type: "object"}}}},
		Responses:   a.answersWith("201", "The version that is registered", readiness.Template{}),
	}, a.registerTemplate)
	operation(a, get("/v1/checklist-templates/{template_id}", read).as("get-checklist-template", "checklists", "A version of a checklist template"), a.getTemplate)
}

// seesTemplate reports whether a template is for the caller: one of no project is for every
// project.
func seesTemplate(sees auth.Visibility, t *readiness.Template) bool {
	if t.Project == "" {
		return slices.Contains(sees.Classifications, t.Classification)
	}
	return sees.Sees(t.RegisteredBy, t.Project, t.Classification)
}

func (a *API) listTemplates(c *call, p *templateList, _ *none) (Page[*readiness.Template], error) {
	page := Page[*readiness.Template]{Items: []*readiness.Template{}}
	sees, err := a.visibility(c)
	if err != nil {
		return page, err
	}
	list, next, err := a.Readiness.Templates(c.ctx(), readiness.TemplateFilter{TemplateID: p.Template, Project: p.Project, Limit: p.Limit}, p.Cursor)
	page.NextCursor = next
	for _, t := range list {
		if seesTemplate(sees, t) {
			page.Items = append(page.Items, t)
		}
	}
	return page, err
}

func (a *API) getTemplate(c *call, p *templatePath, _ *none) (*readiness.Template, error) {
	sees, err := a.visibility(c)
	if err != nil {
		return nil, err
	}
	t, err := a.Readiness.Template(c.ctx(), p.ID, p.Version)
	if err == nil && !seesTemplate(sees, t) {
		err = c.absent("checklist template")
	}
	return t, c.unknown("checklist template", err)
}

func (a *API) registerTemplate(c *call) error {
	q := c.r.URL.Query()
	for name, values := range q {
		if name != "project" && name != "classification" || len(values) > 1 || len(values[0]) > 100 {
			return caos.Errorf(caos.Invalid, "unknown, repeated or overlong query parameter").WithField(clip(name, 80)).WithHint("this route has project and classification")
		}
	}
	kind, err := c.mediaType()
	if err != nil {
		return err
	}
	body, err := c.readBody(c.endpoint.bodyLimit())
	if err != nil {
		return err
	}
	res := auth.Resource{Type: "Template", Project: cmp.Or(q.Get("project"), c.by.Project), Classification: q.Get("classification")}
	t, err := readiness.ParseTemplate(body, kind)
	if err != nil {
		return c.refusedAct(res, err)
	}
	res.ID, t.Project, t.Classification = t.TemplateID, res.Project, res.Classification
	var made *readiness.Template
	err = a.DB.Update(c.ctx(), func(tx *db.Tx) (err error) {
		if err := a.authorize(c, tx, res); err != nil {
			return err
		}
		made, err = a.Readiness.RegisterTemplate(tx, t, c.actor())
		return err
	})
	if err != nil {
		return c.refusedAct(res, err)
	}
	c.set("Location", "/v1/checklist-templates/"+url.PathEscape(made.TemplateID)+"?version="+url.QueryEscape(made.Version))
	return c.json(http.StatusCreated, made)
}
