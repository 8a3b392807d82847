package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/auth"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/hook"
	"caos/internal/location"
	"caos/internal/trigger"
)

type pipelineList struct {
	Paging
	Owner   string `query:"owner" maxLength:"64" doc:"of this account"`
	Retired string `query:"retired" enum:"true,false" doc:"only those that are retired, or that are not"`
	Project string `query:"project" maxLength:"100"`
}

// PipelinePath names a pipeline.
type PipelinePath struct {
	ID string `path:"pipeline_id" maxLength:"64" example:"DP-DLY-001"`
}

type pipelineVersionPath struct {
	PipelinePath
	Version string `query:"version" maxLength:"32" doc:"the latest if left out" example:"1.0"`
}

type pipelinePages struct {
	PipelinePath
	Paging
}

// RunPath names a run of a pipeline.
type RunPath struct {
	PipelinePath
	Execution string `path:"execution_id" maxLength:"200" example:"EXEC-DP-DLY-001-20261122T101500.123456Z"`
}

// RunView is a run with the address of its report.
type RunView struct {
	dataset.Run
	Report string `json:"report_uri" doc:"the execution report, for people; \"\" before there is one"`
}

type runList struct {
	PipelinePath
	Paging
	Version  string `query:"version" maxLength:"32" doc:"of this version"`
	Mode     string `query:"execution_mode" enum:"SCHEDULED,ON_DEMAND,EVENT_DRIVEN"`
	Status   string `query:"status" enum:"RUNNING,SUCCESS,PARTIAL,FAILED,CANCELLED"`
	Interval string `query:"interval" maxLength:"64" doc:"about this interval" example:"2001-01-01/2001-02-01"`
}

// AppliedPipeline is what came of a definition that was sent.
type AppliedPipeline struct {
	Outcome  string                `json:"outcome" enum:"CREATED,UNCHANGED,REFUSED" doc:"of a dry run: what it would be"`
	DryRun   bool                  `json:"dry_run"`
	Pipeline *dataset.Pipeline     `json:"pipeline" doc:"as it is, or would be, registered; null if it was refused"`
	Kind     string                `json:"kind,omitempty" doc:"of a dry run that would be refused: the kind of the problem" example:"conflict"`
	Findings []dataset.LintFinding `json:"findings" nullable:"false" doc:"what is wrong with the definition; of one that was registered, warnings alone"`
	Triggers []string              `json:"triggers" nullable:"false" doc:"that its schedule and its events became; each is enabled by somebody who may"`
}

func (a *API) registerPipelines() {
	read, write := may("pipeline:read"), may("pipeline:write")
	operation(a, get("/v1/pipelines", read).as("list-pipelines", "pipelines", "Pipelines, the latest version of each, latest registered first"), a.listPipelines)
	apply := post("/v1/pipelines", write).answers(http.StatusCreated).as("apply-pipeline", "pipelines", "Register a version of a pipeline").
		about("The body is the definition, YAML or JSON, at most 1 MiB. The same version with the same content again changes nothing; with another content it is refused. " +
			"With dry_run=true nothing is kept, and the answer lists everything that is wrong, what only this server knows included: whether the locations may be used, " +
			"whether the contracts are there, and whether the version is higher than the latest. A schedule and subscriptions become triggers, which stay off until somebody enables them.")
	responses := a.answersWith("201", "It is registered, and was not before", AppliedPipeline{})
	responses["200"] = a.answersWith("200", "It was there already, or nothing was to be kept", AppliedPipeline{})["200"]
	a.plain(apply, huma.Operation{
		Parameters:  []*huma.Param{param("dry_run", "query", "list what is wrong and keep nothing", &huma.Schema{Type: "boolean"})},
		RequestBody: &huma.RequestBody{Required: true, Content: documents(&huma.Schema{Type: "object"})},
		Responses:   responses,
	}, a.applyPipeline)
	operation(a, get("/v1/pipelines/{pipeline_id}", read).as("get-pipeline", "pipelines", "A version of a pipeline"),
		func(c *call, p *pipelineVersionPath, _ *none) (*dataset.Pipeline, error) {
			return a.pipelineNamed(c, p.ID, p.Version)
		})
	operation(a, get("/v1/pipelines/{pipeline_id}/versions", read).as("list-pipeline-versions", "pipelines", "The versions of a pipeline, the highest first"), a.listPipelineVersions)
	operation(a, get("/v1/pipelines/{pipeline_id}/runs", read).as("list-pipeline-runs", "pipelines", "The runs of a pipeline, latest first"), a.listRuns)
	operation(a, get("/v1/pipelines/{pipeline_id}/runs/{execution_id}", read).as("get-pipeline-run", "pipelines", "A run of a pipeline, and where its report is"), a.getRun)
	a.plain(get("/v1/pipelines/{pipeline_id}/runs/{execution_id}/report", read).as("get-pipeline-report", "pipelines", "The execution report of a run").
		about("HTML for people, with a picture of how the data went; JSON for programs. A run that failed has one, too. Content-Digest says which bytes they are."),
		huma.Operation{
			Parameters: []*huma.Param{param("pipeline_id", "path", "the pipeline", words()), param("execution_id", "path", "the run", words()),
				param("format", "query", "html if left out, or what Accept prefers", &huma.Schema{Type: "string", Enum: []any{"html", "json"}})},
			Responses: binary("200", "The report", "text/html", "application/json"),
		}, a.runReport)
	a.plain(get("/v1/pipelines/{pipeline_id}/definition", read).as("get-pipeline-definition", "pipelines", "The definition as it was written"),
		huma.Operation{
			Parameters: []*huma.Param{param("pipeline_id", "path", "the pipeline", words()), param("version", "query", "the latest if left out", words())},
			Responses:  binary("200", "The text", "text/plain"),
		}, a.pipelineText)
	operation(a, post("/v1/pipelines/{pipeline_id}/retire", write).as("retire-pipeline", "pipelines", "Take a pipeline out of use").
		about("No run of it begins any more. What it published stays."), a.retirePipeline)
}

// pipelineResource is a pipeline as the policies see it.
func pipelineResource(p *dataset.Pipeline) auth.Resource {
	return auth.Resource{Type: "Pipeline", ID: p.PipelineID, Project: p.Project, Classification: p.Classification, Owner: p.Owner}
}

// data is the caller, for the records of datasets.
func (c *call) data() dataset.By { return dataset.By{Actor: c.by.ID, RecordedBy: c.by.ID} }

// pipelineNamed returns a version of a pipeline, the latest if version is "", that the caller
// may see. Whether they may is asked of the latest version too, which says what the pipeline
// is now.
func (a *API) pipelineNamed(c *call, id, version string) (*dataset.Pipeline, error) {
	p, err := a.Datasets.Pipeline(c.ctx(), id, "")
	if err != nil {
		return nil, c.unknown("pipeline", err)
	}
	if err := a.seeFor(c, "pipeline:read", "pipeline", pipelineResource(p)); err != nil || version == "" || version == p.PipelineVersion {
		return p, err
	}
	p, err = a.Datasets.Pipeline(c.ctx(), id, version)
	if caos.KindOf(err) == caos.NotFound {
		return nil, caos.Errorf(caos.NotFound, "the pipeline %s has no version %.32s", id, version).WithField("version").WithHint("GET /v1/pipelines/%s/versions lists them", id)
	}
	if err != nil {
		return nil, err
	}
	return p, a.seeFor(c, "pipeline:read", "pipeline", pipelineResource(p))
}

func (a *API) listPipelines(c *call, p *pipelineList, _ *none) (Page[*dataset.Pipeline], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*dataset.Pipeline]{}, err
	}
	f := dataset.PipelineFilter{Project: onlyProject(sees, p.Project), Owner: p.Owner, Limit: p.Limit}
	if p.Retired != "" {
		retired := p.Retired == "true"
		f.Retired = &retired
	}
	list, next, err := a.Datasets.Pipelines(c.ctx(), f, p.Cursor)
	return visible(sees, list, next, pipelineResource), err
}

func (a *API) listPipelineVersions(c *call, p *pipelinePages, _ *none) (Page[*dataset.Pipeline], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*dataset.Pipeline]{}, err
	}
	if _, err := a.pipelineNamed(c, p.ID, ""); err != nil {
		return Page[*dataset.Pipeline]{}, err
	}
	list, next, err := a.Datasets.Versions(c.ctx(), p.ID, p.Limit, p.Cursor)
	return visible(sees, list, next, pipelineResource), err
}

func (a *API) listRuns(c *call, p *runList, _ *none) (Page[*dataset.Run], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*dataset.Run]{}, err
	}
	of, err := a.pipelineNamed(c, p.ID, "")
	if err != nil {
		return Page[*dataset.Run]{}, err
	}
	f := dataset.RunFilter{PipelineID: of.PipelineID, Version: p.Version, Mode: p.Mode, Status: p.Status, Interval: p.Interval, Limit: p.Limit}
	list, next, err := a.Datasets.Runs(c.ctx(), f, p.Cursor)
	return visible(sees, list, next, func(r *dataset.Run) auth.Resource { return runResource(r, of) }), err
}

// runResource is a run as the policies see it: part of its pipeline.
func runResource(r *dataset.Run, of *dataset.Pipeline) auth.Resource {
	return auth.Resource{Type: "Pipeline", ID: r.ExecutionID, Project: r.Project, Classification: r.Classification, Owner: of.Owner}
}

// runNamed returns a run of a pipeline that the caller may see.
func (a *API) runNamed(c *call, pipeline, execution string) (*dataset.Run, error) {
	of, err := a.pipelineNamed(c, pipeline, "")
	if err != nil {
		return nil, err
	}
	r, err := a.Datasets.RunOf(c.ctx(), execution)
	if err == nil && r.PipelineID != pipeline {
		err = c.absent("run of the pipeline")
	}
	if err != nil {
		return nil, c.unknown("run of the pipeline", err)
	}
	return r, a.seeFor(c, "pipeline:read", "run of the pipeline", runResource(r, of))
}

func (a *API) getRun(c *call, p *RunPath, _ *none) (*RunView, error) {
	r, err := a.runNamed(c, p.ID, p.Execution)
	if err != nil {
		return nil, err
	}
	d, err := a.reportOf(c, r.ExecutionID)
	out := &RunView{Run: *r}
	if d.html != "" {
		out.Report = a.BaseURL + "/v1/pipelines/" + url.PathEscape(r.PipelineID) + "/runs/" + url.PathEscape(r.ExecutionID) + "/report"
	}
	return out, err
}

// reportOf finds the report that a run keeps.
func (a *API) reportOf(c *call, execution string) (d reportDigests, err error) {
	if a.Objects == nil {
		return d, nil
	}
	kept, err := a.Objects.Of(c.ctx(), execution)
	for _, o := range kept {
		switch {
		case o.Kind == hook.KindPipelineReport && d.html == "":
			d.html = o.Digest
		case o.Kind == hook.KindPipelineReportJSON && d.json == "":
			d.json = o.Digest
		}
	}
	return d, err
}

func (a *API) runReport(c *call) error {
	format, err := formatOf(c)
	if err != nil {
		return err
	}
	r, err := a.runNamed(c, c.path("pipeline_id"), c.path("execution_id"))
	if err != nil {
		return err
	}
	d, err := a.reportOf(c, r.ExecutionID)
	if err != nil {
		return err
	}
	return a.serveReport(c, r.ExecutionID, format, d)
}

// pipelineText serves a definition as somebody wrote it. It is shown as text, whatever is in it.
func (a *API) pipelineText(c *call) error {
	version, err := onlyQuery(c, "version")
	if err != nil {
		return err
	}
	p, err := a.pipelineNamed(c, c.path("pipeline_id"), version)
	if err != nil {
		return err
	}
	return c.text(p.Text)
}

// text answers with a text that somebody else wrote.
func (c *call) text(text []byte) error {
	c.set("Content-Type", "text/plain; charset=utf-8")
	c.set("Content-Length", fmt.Sprint(len(text)))
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(text) // nobody is left to tell
	return nil
}

// onlyQuery reads the query of a plain route that has one parameter, "" if it is not given.
func onlyQuery(c *call, name string) (string, error) {
	q, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return "", caos.Errorf(caos.Invalid, "the query cannot be read").WithField("query")
	}
	for key, values := range q {
		if key != name || len(values) > 1 || len(values[0]) > 200 {
			return "", caos.Errorf(caos.Invalid, "unknown, repeated or overlong query parameter").WithField(clip(key, 80)).WithHint("this route has %s, once", name)
		}
	}
	return q.Get(name), nil
}

func (a *API) retirePipeline(c *call, p *PipelinePath, body *ReasonBody) (*dataset.Pipeline, error) {
	if _, err := a.pipelineNamed(c, p.ID, ""); err != nil {
		return nil, err
	}
	var after *dataset.Pipeline
	err := a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		before, err := a.Datasets.PipelineIn(tx, p.ID, "")
		if err != nil {
			return err
		}
		if err := a.authorize(c, tx, pipelineResource(before)); err != nil {
			return err
		}
		if after, err = a.Datasets.Retire(tx, p.ID, body.Reason, c.data()); err != nil || a.Triggers == nil {
			return err
		}
		return a.Triggers.DisarmPipeline(tx, c.by, p.ID, p.ID+" is retired")
	})
	return after, err
}

// armPipeline makes triggers of a pipeline's schedule and events, switched off.
func (a *API) armPipeline(c *call, tx *db.Tx, p *dataset.Pipeline) ([]string, error) {
	if a.Triggers == nil {
		return []string{}, nil
	}
	of := trigger.Pipeline{ID: p.PipelineID, Version: p.PipelineVersion, Project: p.Project, Classification: p.Classification}
	if p.Schedule != nil {
		of.Cron, of.Zone = p.Schedule.Cron, p.Schedule.Zone
	}
	for _, e := range p.Events {
		of.Events = append(of.Events, trigger.PipelineEvent{Type: e.Type, Where: e.Where})
	}
	return a.Triggers.ArmPipeline(tx, c.by, of)
}

// errDry ends the transaction of a dry run: what it did is rolled back.
var errDry = errors.New("a dry run keeps nothing")

// applyPipeline registers a definition, or says what is wrong with it.
func (a *API) applyPipeline(c *call) error {
	dry, err := dryRun(c.r.URL.RawQuery)
	if err != nil {
		return err
	}
	kind, err := c.mediaType()
	if err != nil {
		return err
	}
	body, err := c.readBody(c.endpoint.bodyLimit())
	if err != nil {
		return err
	}
	x, err := a.judgePipeline(c, body, kind)
	if err != nil {
		return err
	}
	out := AppliedPipeline{DryRun: dry, Outcome: "REFUSED", Findings: filled(x.findings), Triggers: []string{}}
	if x.refused() {
		out.Kind = string(caos.Invalid)
	} else {
		if err := a.keepPipeline(c, x, &out); err != nil {
			if !dry || caos.KindOf(err) == caos.Internal {
				return err
			}
			out.Findings = append([]dataset.LintFinding{finding("", err)}, out.Findings...)
			out.Outcome, out.Pipeline, out.Kind = "REFUSED", nil, string(caos.KindOf(err))
		}
	}
	if out.Outcome == "REFUSED" && !dry {
		return x.refusal()
	}
	if out.Outcome == "CREATED" && !dry {
		c.set("Location", "/v1/pipelines/"+url.PathEscape(out.Pipeline.PipelineID)+"?version="+url.QueryEscape(out.Pipeline.PipelineVersion))
		return c.json(http.StatusCreated, out)
	}
	return c.json(http.StatusOK, out)
}

// keepPipeline registers a definition that nothing speaks against. In a dry run it does the
// same and takes it back, so that both are refused for the same reasons.
func (a *API) keepPipeline(c *call, x *judged, out *AppliedPipeline) error {
	err := a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		out.Outcome = "CREATED"
		res := auth.Resource{Type: "Pipeline", ID: x.def.PipelineID, Project: x.def.Project, Classification: x.def.Classification, Owner: x.def.Owner}
		if err := a.authorize(c, tx, res); err != nil {
			return err
		}
		if err := a.replaceable(c, tx, x, out); err != nil {
			return err
		}
		if err := a.knownPerson(tx, "owner", x.def.Owner); err != nil {
			return err
		}
		made, err := a.Datasets.Register(tx, x.def, x.text, c.data())
		if err != nil {
			return err
		}
		out.Pipeline = made
		if out.Outcome == "CREATED" {
			if out.Triggers, err = a.armPipeline(c, tx, made); err != nil {
				return err
			}
		}
		if out.DryRun {
			return errDry
		}
		return nil
	})
	if errors.Is(err, errDry) {
		return nil
	}
	return err
}

// replaceable refuses a version of a pipeline whose latest one is not the caller's to replace.
func (a *API) replaceable(c *call, tx *db.Tx, x *judged, out *AppliedPipeline) error {
	former, err := a.Datasets.PipelineIn(tx, x.def.PipelineID, "")
	if caos.KindOf(err) == caos.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if err := a.authorize(c, tx, pipelineResource(former)); caos.KindOf(err) == caos.Denied {
		// Whose it is, and what is in it, is not the caller's to know.
		return caos.Wrap(caos.Conflict, err, "the id %s is taken", x.def.PipelineID).WithField("pipeline_id").WithRule("pipeline-id-free").
			WithHint("choose another id")
	} else if err != nil {
		return err
	}
	same, err := a.Datasets.PipelineIn(tx, x.def.PipelineID, x.def.PipelineVersion)
	if err == nil {
		digest, err := x.def.Digest()
		if err != nil {
			return err
		}
		if same.Digest == digest {
			out.Outcome = "UNCHANGED"
		}
		return nil
	}
	if caos.KindOf(err) == caos.NotFound {
		return nil
	}
	return err
}

// judged is a definition with what speaks against it.
type judged struct {
	def      dataset.Definition
	text     []byte
	findings []dataset.LintFinding
}

func (x *judged) refused() bool {
	for _, f := range x.findings {
		if f.Severity == dataset.LintError {
			return true
		}
	}
	return false
}

// refusal is the first error among the findings, and says how many there are.
func (x *judged) refusal() error {
	n := 0
	var first *caos.Error
	for _, f := range x.findings {
		if f.Severity != dataset.LintError {
			continue
		}
		if n++; first == nil {
			first = caos.Errorf(caos.Invalid, "%s", f.Message).WithField(f.Field).WithRule(f.Rule)
			if f.Remedy != "" {
				first = first.WithHint("%s", f.Remedy)
			}
		}
	}
	if n > 1 {
		first.Message += fmt.Sprintf(" (and %d more errors, which dry_run=true lists)", n-1)
	}
	return first
}

// finding is an error about a definition as a finding.
func finding(field string, err error) dataset.LintFinding {
	e := caos.AsError(err)
	f := dataset.LintFinding{Rule: e.Rule, Severity: dataset.LintError, Field: field, Message: e.Message, Remedy: e.Hint}
	if f.Field == "" {
		f.Field = e.Field
	}
	return f
}

// judgePipeline reads a definition and says what is wrong with it: by itself, and in this
// installation. The error is about the request and not about the definition.
func (a *API) judgePipeline(c *call, text []byte, kind string) (*judged, error) {
	x := &judged{text: text}
	var err error
	if x.def, err = dataset.ParseDefinition(text, kind); err != nil {
		if k := caos.KindOf(err); k != caos.Invalid && k != caos.TooLarge {
			return nil, err
		}
		f := finding("", err)
		if f.Rule == "" {
			f.Rule = "pipeline-form"
		}
		x.findings = append(x.findings, f)
		return x, nil
	}
	sees, err := a.Auth.Visible(c.by, "pipeline:read", "Pipeline")
	if err != nil {
		return nil, err
	}
	if x.def.Project == "" {
		x.def.Project = onlyProject(sees, c.by.Project)
	}
	x.def.Owner = orSelf(x.def.Owner, c)
	// What may be found out about locations and contracts is for those who may write pipelines
	// of that project.
	res := auth.Resource{Type: "Pipeline", ID: x.def.PipelineID, Project: x.def.Project, Classification: x.def.Classification, Owner: x.def.Owner}
	if err := a.Auth.Allow(c.by, c.endpoint.Rule.Action, res); err != nil {
		return nil, err
	}
	x.findings = append(x.findings, dataset.Lint(x.def, a.Datasets.Limits())...)
	x.findings = append(x.findings, a.lintLocations(x.def)...)
	found, err := a.lintContracts(c, x.def)
	x.findings = append(x.findings, found...)
	return x, err
}

// lintLocations says which sources may not be read and which targets not be written. Where a
// location depends on the run's interval it is looked at for the one before now.
func (a *API) lintLocations(def dataset.Definition) (found []dataset.LintFinding) {
	if a.Locations == nil {
		return nil
	}
	scope := location.Scope{Project: def.Project, Classification: def.Classification}
	zone, err := def.Location()
	if err != nil {
		return nil // the schedule's finding says so
	}
	now := a.now().UTC()
	sample := &dataset.Interval{Start: now.AddDate(0, -1, 0), End: now}
	check := func(field, uri string, write bool) {
		expanded, err := dataset.ExpandURI(uri, sample, zone)
		if err != nil {
			return // likewise
		}
		if err := a.Locations.Check(expanded, write, scope); err != nil {
			f := finding(field, err)
			if f.Rule == "" {
				f.Rule = "location-allowed"
			}
			found = append(found, f)
		}
	}
	for i, s := range def.Sources {
		check(fmt.Sprintf("sources[%d].uri", i), s.URI, false)
	}
	for i, t := range def.Targets {
		check(fmt.Sprintf("targets[%d].uri", i), t.URI, true)
	}
	return found
}

// lintContracts says which contracts are not there, for the caller.
func (a *API) lintContracts(c *call, def dataset.Definition) (found []dataset.LintFinding, err error) {
	type place struct{ field, ref string }
	places := []place{{"contract", def.Contract}}
	for i, t := range def.Targets {
		places = append(places, place{fmt.Sprintf("targets[%d].contract", i), t.Contract})
	}
	for _, p := range places {
		if p.ref == "" {
			continue
		}
		id, version, err := dataset.ParseContractRef(p.ref)
		if err != nil {
			continue // the definition's own finding says so
		}
		k, err := a.Datasets.Contract(c.ctx(), id, version)
		if err == nil {
			err = a.seeFor(c, "contract:read", "contract", contractResource(k))
		}
		switch {
		case caos.KindOf(err) == caos.NotFound:
			found = append(found, dataset.LintFinding{Rule: "contract-known", Severity: dataset.LintError, Field: p.field,
				Message: fmt.Sprintf("there is no contract %.100s, or it is not for you", p.ref), Remedy: "register it first: caos contract apply -f FILE"})
		case err != nil:
			return nil, err
		case caos.Sensitivity(k.Classification) > caos.Sensitivity(def.Classification):
			found = append(found, dataset.LintFinding{Rule: "contract-classification", Severity: dataset.LintError, Field: p.field,
				Message: fmt.Sprintf("the contract %.100s is %s, and reports of the pipeline's runs, which quote it, would be less than that", p.ref, k.Classification),
				Remedy:  "raise the pipeline's classification to " + k.Classification})
		case k.Project != "" && k.Project != def.Project:
			found = append(found, dataset.LintFinding{Rule: "contract-project", Severity: dataset.LintError, Field: p.field,
				Message: fmt.Sprintf("the contract %.100s belongs to the project %s", p.ref, k.Project), Remedy: "name a contract of the pipeline's project, or one of no project"})
		}
	}
	return found, nil
}
