package httpapi

import (
	"net/url"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/auth"
	"caos/internal/dataset"
)

type validationList struct {
	Paging
	Dataset   string `query:"dataset_id" maxLength:"200"`
	N         int64  `query:"dataset_version" minimum:"0" doc:"of this version of the dataset"`
	Contract  string `query:"contract_id" maxLength:"64" doc:"by this contract"`
	Pipeline  string `query:"pipeline_id" maxLength:"64" doc:"of what this pipeline published"`
	Execution string `query:"execution_id" maxLength:"200" doc:"of the validation, or of the pipeline that wrote the data"`
	Status    string `query:"overall_status" enum:"PASS,WARNING,FAIL"`
	Project   string `query:"project" maxLength:"100"`
}

// ValidationPath names a validation.
type ValidationPath struct {
	ID string `path:"validation_id" maxLength:"64" example:"VAL-EXEC-20261122T101500.123456Z"`
}

type datasetHistory struct {
	DatasetPath
	Paging
	Contract string `query:"contract_id" maxLength:"64" doc:"by this contract"`
	Status   string `query:"overall_status" enum:"PASS,WARNING,FAIL"`
}

type trendOf struct {
	DatasetPath
	Contract string `query:"contract_id" maxLength:"64" doc:"by this contract; by all if left out"`
	Limit    int    `query:"limit" minimum:"1" maximum:"400" default:"100" doc:"points at most, the latest"`
}

// TrendView is how a dataset did over time.
type TrendView struct {
	DatasetID string               `json:"dataset_id"`
	Points    []dataset.TrendPoint `json:"points" nullable:"false" doc:"the oldest first"`
}

// ValidationView is a validation with the addresses of its report.
type ValidationView struct {
	dataset.Validation
	Report string `json:"validation_report_uri" doc:"the report, for people"`
}

func (a *API) registerValidations() {
	read := may("validation:read")
	operation(a, get("/v1/validations", read).as("list-validations", "validations", "Validations without their checks, latest first").
		about("A validation is made by submitting CAOS.PROD.DATA.VALIDATE."), a.listValidations)
	operation(a, get("/v1/validations/{validation_id}", read).as("get-validation", "validations", "A validation: verdict, scores, checks, anomalies, and what changed since the last one"),
		func(c *call, p *ValidationPath, _ *none) (*ValidationView, error) {
			v, err := a.validationNamed(c, p.ID)
			if err != nil {
				return nil, err
			}
			return &ValidationView{Validation: *v, Report: a.BaseURL + "/v1/validations/" + url.PathEscape(v.ValidationID) + "/report"}, nil
		})
	a.plain(get("/v1/validations/{validation_id}/report", read).as("get-validation-report", "validations", "The report of a validation").
		about("HTML for people, JSON for programs. Content-Digest says which bytes they are."),
		huma.Operation{
			Parameters: []*huma.Param{
				param("validation_id", "path", "the validation", words()),
				param("format", "query", "html if left out, or what Accept prefers", &huma.Schema{Type: "string", Enum: []any{"html", "json"}}),
			},
			Responses: binary("200", "The report", "text/html", "application/json"),
		}, a.validationReport)
	operation(a, get("/v1/datasets/{dataset_id}/validations", read).as("list-dataset-validations", "validations", "The validations of a dataset, latest first"), a.listDatasetValidations)
	operation(a, get("/v1/datasets/{dataset_id}/trend", read).as("get-dataset-trend", "validations", "Scores, failed checks and anomalies of a dataset over time"), a.datasetTrend)
}

// validationResource is a validation as the policies see it.
func validationResource(v *dataset.Validation) auth.Resource {
	return auth.Resource{Type: "Validation", ID: v.ValidationID, Project: v.Project, Classification: v.Classification, Owner: v.RequestedBy}
}

// validationNamed returns a validation that the caller may see.
func (a *API) validationNamed(c *call, id string) (*dataset.Validation, error) {
	v, err := a.Datasets.Validation(c.ctx(), id)
	if err != nil {
		return nil, c.unknown("validation", err)
	}
	return v, a.seeFor(c, "validation:read", "validation", validationResource(v))
}

func (a *API) listValidations(c *call, p *validationList, _ *none) (Page[*dataset.Validation], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*dataset.Validation]{}, err
	}
	f := dataset.ValidationFilter{DatasetID: p.Dataset, N: p.N, ContractID: p.Contract, PipelineID: p.Pipeline, Execution: p.Execution, Status: p.Status,
		Project: onlyProject(sees, p.Project), Limit: p.Limit}
	list, next, err := a.Datasets.Validations(c.ctx(), f, p.Cursor)
	return visible(sees, list, next, validationResource), err
}

func (a *API) listDatasetValidations(c *call, p *datasetHistory, _ *none) (Page[*dataset.Validation], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*dataset.Validation]{}, err
	}
	if _, err := a.validatedDataset(c, p.ID); err != nil {
		return Page[*dataset.Validation]{}, err
	}
	list, next, err := a.Datasets.Validations(c.ctx(), dataset.ValidationFilter{DatasetID: p.ID, ContractID: p.Contract, Status: p.Status, Limit: p.Limit}, p.Cursor)
	return visible(sees, list, next, validationResource), err
}

// validatedDataset returns a dataset whose validations are asked for.
func (a *API) validatedDataset(c *call, id string) (*dataset.Dataset, error) {
	d, err := a.Datasets.Dataset(c.ctx(), id)
	if err != nil {
		return nil, c.unknown("dataset", err)
	}
	return d, a.seeFor(c, "dataset:read", "dataset", datasetResource(d))
}

func (a *API) datasetTrend(c *call, p *trendOf, _ *none) (*TrendView, error) {
	sees, err := a.visibility(c)
	if err != nil {
		return nil, err
	}
	d, err := a.validatedDataset(c, p.ID)
	if err != nil {
		return nil, err
	}
	list, err := a.Datasets.Trend(c.ctx(), d.DatasetID, p.Contract, p.Limit)
	out := &TrendView{DatasetID: d.DatasetID, Points: []dataset.TrendPoint{}}
	for _, x := range list {
		if sees.Sees("", x.Project, x.Classification) {
			out.Points = append(out.Points, x)
		}
	}
	return out, err
}

// validationReport serves the report of a validation, as HTML or JSON.
func (a *API) validationReport(c *call) error {
	format, err := formatOf(c)
	if err != nil {
		return err
	}
	v, err := a.validationNamed(c, c.path("validation_id"))
	if err != nil {
		return err
	}
	return a.serveReport(c, v.ValidationID, format, reportDigests{html: v.ReportHTML, json: v.ReportJSON})
}

// formatOf is the form in which a report that is HTML or JSON is wanted.
func formatOf(c *call) (string, error) {
	format, err := onlyQuery(c, "format")
	if err != nil {
		return "", err
	}
	if format == "" {
		format = map[string]string{"text/html": "html", "application/json": "json"}[negotiate(c.r.Header["Accept"], "text/html", "application/json")]
	}
	if !slices.Contains([]string{"html", "json"}, format) {
		return "", caos.Errorf(caos.Invalid, "there is no such format").WithField("format").WithHint("html or json")
	}
	return format, nil
}

// reportDigests are the objects that a report is kept as.
type reportDigests struct{ html, json string }

// serveReport serves a report that CAOS made.
func (a *API) serveReport(c *call, name, format string, d reportDigests) error {
	c.set("Vary", "Accept")
	what := download{digest: d.html, media: "text/html; charset=utf-8", name: name + ".html", policy: reportPolicy}
	if format == "json" {
		what = download{digest: d.json, media: "application/json", name: name + ".json"}
	}
	if what.digest == "" || a.Objects == nil {
		return caos.Errorf(caos.NotFound, "there is no report of %s in this form", name).WithField("format")
	}
	return a.serveObject(c, what)
}
