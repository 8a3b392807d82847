package httpapi

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/importer"
	"caos/internal/registry"
)

type statementList struct {
	Paging
	Source  string `query:"source_name" maxLength:"300" doc:"of this file"`
	Digest  string `query:"source_digest" maxLength:"80" doc:"of these bytes"`
	Section string `query:"section" maxLength:"64"`
	Subject string `query:"subject" maxLength:"200" doc:"about this"`
	Kind    string `query:"kind" maxLength:"64"`
	Ended   bool   `query:"ended" doc:"also those that a later state of the file took back"`
	Project string `query:"project" maxLength:"100"`
}

type statementPath struct {
	ID string `path:"statement_id" maxLength:"64" example:"STMT-0123456789abcdef01234567"`
}

func (a *API) registerImports() {
	run := post("/v1/imports", may("import:run")).as("import", "imports", "Take over the records of a programme").
		about("The body is the file: an industrialisation registry (JSON), a traceability matrix (CSV), a production readiness table (CSV) or a risk register (CSV or YAML), found out by its content. " +
			"A broken file is refused whole, with line and column. Importing a file again changes nothing. What a file states is kept as statements and passes no gate. " +
			"With dry_run=true nothing is kept, and the answer is the report of what would be.")
	run.limit = importer.MaxBytes
	a.plain(run, huma.Operation{
		Parameters: []*huma.Param{
			param("name", "query", "of the file, for the report and the statements", words()),
			param("baseline", "query", "what a readiness table is about, such as BL-FCS-2.1.0, or a risk register that does not say so itself: also NN-FCS-001", words()),
			param("project", "query", "in which everything is made; the caller's if left out", words()),
			param("classification", "query", "of what is made; Internal if left out", &huma.Schema{Type: "string", Enum: []any{"Public", "Internal", "Restricted", "Confidential", "Regulated"}}),
			param("dry_run", "query", "report without keeping anything", &huma.Schema{Type: "boolean"}),
		},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json": {Schema: &huma.Schema{}}, "text/csv": {Schema: words()}, "application/octet-stream": {Schema: words()},
		}},
		Responses: a.answersWith("200", "What was made of the file", importer.Report{}),
	}, a.runImport)
	read := may("statement:read")
	operation(a, get("/v1/statements", read).as("list-statements", "imports", "What imported files state, latest first"), a.listStatements)
	operation(a, get("/v1/statements/{statement_id}", read).as("get-statement", "imports", "What an imported file states"),
		func(c *call, p *statementPath, _ *none) (*registry.Statement, error) {
			s, err := a.Registry.Statement(c.ctx(), p.ID)
			if err != nil {
				return nil, c.unknown("statement", err)
			}
			return s, a.see(c, "statement", statementResource(s))
		})
}

func statementResource(s *registry.Statement) auth.Resource {
	return auth.Resource{Type: "Statement", ID: s.StatementID, Project: s.Project, Classification: s.Classification, Owner: s.ImportedBy}
}

func (a *API) listStatements(c *call, p *statementList, _ *none) (Page[*registry.Statement], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*registry.Statement]{}, err
	}
	f := registry.StatementFilter{SourceName: p.Source, SourceDigest: p.Digest, Section: p.Section, Subject: p.Subject, Kind: p.Kind, Ended: p.Ended,
		Project: onlyProject(sees, p.Project), Limit: p.Limit}
	list, next, err := a.Registry.Statements(c.ctx(), f, p.Cursor)
	return visible(sees, list, next, statementResource), err
}

// importQuery reads the parameters of an import strictly: a misspelt dry_run must not
// become an import.
func importQuery(query string) (name string, opt importer.Options, err error) {
	q, err := url.ParseQuery(query)
	if err != nil {
		return "", opt, caos.Errorf(caos.Invalid, "the query cannot be read").WithField("query")
	}
	for key, values := range q {
		if len(values) > 1 {
			return "", opt, caos.Errorf(caos.Invalid, "there is more than one").WithField(clip(key, 80))
		}
		switch value := values[0]; key {
		case "name":
			name = value
		case "baseline":
			opt.Baseline = value
		case "project":
			opt.Project = value
		case "classification":
			if !slices.Contains(caos.Classifications(), value) {
				return "", opt, caos.Errorf(caos.Invalid, "there is no such classification").WithField("classification").WithHint("one of %s", strings.Join(caos.Classifications(), ", "))
			}
			opt.Classification = value
		case "dry_run":
			if value != "true" && value != "false" {
				return "", opt, caos.Errorf(caos.Invalid, "it is true or false").WithField("dry_run")
			}
			opt.DryRun = value == "true"
		default:
			return "", opt, caos.Errorf(caos.Invalid, "unknown query parameter").WithField(clip(key, 80)).WithHint("this route has name, baseline, project, classification and dry_run")
		}
	}
	if name == "" {
		return "", opt, missing("name")
	}
	return name, opt, nil
}

func (a *API) runImport(c *call) error {
	name, opt, err := importQuery(c.r.URL.RawQuery)
	if err != nil {
		return err
	}
	opt.Project = cmp.Or(opt.Project, c.by.Project)
	into := auth.Resource{Type: "Import", ID: name, Project: opt.Project, Classification: opt.Classification}
	if err := a.Auth.Allow(c.by, c.endpoint.Rule.Action, into); err != nil {
		return err
	}
	body, err := c.readBody(c.endpoint.bodyLimit())
	if err != nil {
		return err
	}
	plan, err := importer.Read(name, body)
	if err != nil {
		return err
	}
	opt.User = a.Auth.KnownPerson
	opt.Readiness = a.Readiness
	report, err := importer.Run(func(fn func(tx *db.Tx) error) error {
		return a.DB.Update(c.ctx(), func(tx *db.Tx) error {
			if err := a.authorize(c, tx, into); err != nil {
				return err
			}
			return fn(tx)
		})
	}, a.Registry, plan, opt, c.who())
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, report)
}
