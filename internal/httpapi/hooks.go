package httpapi

import (
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/auth"
	"caos/internal/engine"
	"caos/internal/hook"
)

// HookPath names a hook.
type HookPath struct {
	ID string `path:"hook_id" maxLength:"100" example:"CAOS.PROD.CERT.AUDIT"`
}

type hookVersionPath struct {
	HookPath
	Version string `path:"version" maxLength:"30" example:"1.0.0"`
	IfMatch string `header:"If-Match" maxLength:"64" doc:"ETag of the registration that the change is made to"`
}

// RegistrationBody changes what can be changed of a registration (§11.1 of the
// specification). Id and version are those of the path, the schemas those of the code;
// they may be repeated.
type RegistrationBody struct {
	HookID         string             `json:"hook_id,omitempty"`
	HookVersion    string             `json:"hook_version,omitempty"`
	HookStatus     string             `json:"hook_status" enum:"ACTIVE,DEPRECATED"`
	HookOwner      string             `json:"hook_owner" minLength:"1" maxLength:"200"`
	InputSchema    string             `json:"input_schema_uri,omitempty"`
	OutputSchema   string             `json:"output_schema_uri,omitempty"`
	Retry          engine.RetryPolicy `json:"retry_policy"`
	TimeoutSeconds int                `json:"timeout_seconds" minimum:"1" doc:"of running time"`
}

func (a *API) registerHooks() {
	read := may("hook:read")
	operation(a, get("/v1/hooks", read).as("list-hooks", "hooks", "The hooks of this installation"),
		func(c *call, _ *none, _ *none) (Page[hook.Registration], error) {
			list, err := a.Hooks.List(c.ctx())
			return Page[hook.Registration]{Items: list}, err
		})
	operation(a, get("/v1/hooks/{hook_id}", read).as("get-hook", "hooks", "A hook's registration"),
		func(c *call, p *HookPath, _ *none) (hook.Registration, error) {
			r, err := a.Hooks.Get(c.ctx(), p.ID)
			if err == nil {
				c.set("ETag", etag(r.Revision))
			}
			return r, err
		})
	operation(a, put("/v1/hooks/{hook_id}/versions/{version}", mayWithMFA("hook:register")).as("put-hook-version", "hooks", "Change a hook's registration").
		about("Status, owner, retry policy and timeout can be changed. Send the ETag of GET /v1/hooks/{hook_id} as If-Match."), a.putHook)
	operation(a, get("/v1/hooks/{hook_id}/stats", read).as("hook-stats", "hooks", "Figures of a hook's executions in the last day"),
		func(c *call, p *HookPath, _ *none) (engine.Stats, error) { return a.Hooks.Stats(c.ctx(), p.ID) })
	a.plain(get("/v1/schemas/{hook_id}/{version}/{which}", read).as("get-schema", "hooks", "The JSON Schema of a hook's input or output"),
		huma.Operation{
			Parameters: []*huma.Param{
				param("hook_id", "path", "", words()), param("version", "path", "", words()),
				param("which", "path", "", &huma.Schema{Type: "string", Enum: []any{"input", "output"}}),
			},
			Responses: binary("200", "A JSON Schema, draft 2020-12", "application/schema+json"),
		},
		func(c *call) error {
			text, err := a.Hooks.Schema(c.path("hook_id"), c.path("version"), c.path("which"))
			if err != nil {
				return err
			}
			c.set("Content-Type", "application/schema+json")
			c.set("Cache-Control", "private, max-age=3600")
			_, _ = c.w.Write(text)
			return nil
		})
}

func (a *API) putHook(c *call, p *hookVersionPath, body *RegistrationBody) (hook.Registration, error) {
	if body.HookID != "" && body.HookID != p.ID {
		return hook.Registration{}, caos.Errorf(caos.Invalid, "it is not the hook of the path").WithField("hook_id")
	}
	if body.HookVersion != "" && body.HookVersion != p.Version {
		return hook.Registration{}, caos.Errorf(caos.Invalid, "it is not the version of the path").WithField("hook_version")
	}
	revision, err := revisionOf(p.IfMatch)
	if err != nil {
		return hook.Registration{}, err
	}
	r, err := a.Hooks.Put(c.ctx(), c.by, hook.Registration{HookID: p.ID, HookVersion: p.Version, HookStatus: body.HookStatus, HookOwner: body.HookOwner,
		InputSchema: body.InputSchema, OutputSchema: body.OutputSchema, Retry: body.Retry, TimeoutSeconds: body.TimeoutSeconds}, revision)
	if err != nil {
		return r, precondition(err)
	}
	a.statuses.forget()
	c.set("ETag", etag(r.Revision))
	return r, nil
}

// etag is the strong entity tag of a revision.
func etag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// revisionOf reads an If-Match header: the revision that it names, or -1 for none and "*".
func revisionOf(ifMatch string) (int64, error) {
	if ifMatch == "" || ifMatch == "*" {
		return -1, nil
	}
	if n, err := strconv.ParseInt(strings.Trim(ifMatch, `"`), 10, 64); err == nil && n >= 0 && etag(n) == ifMatch {
		return n, nil
	}
	return 0, refuse(http.StatusPreconditionFailed, caos.Errorf(caos.Conflict, "it is not an ETag of this resource").WithField("If-Match"))
}

// precondition gives a conflict about If-Match the status that HTTP has for it.
func precondition(err error) error {
	if e := caos.AsError(err); e.Kind == caos.Conflict && e.Field == "If-Match" {
		return refuse(http.StatusPreconditionFailed, e)
	}
	return err
}

// registerSubmission adds the route through which all work enters.
func (a *API) registerSubmission() {
	a.plain(post("/v1/hooks/{hook_id}/executions", may("hook:submit")).on(a.submitted).as("submit", "hooks", "Run a hook").
		about("The body is the hook's input, as the specification has it. The answer is the execution: 200 if it has ended, 202 with its Location if it goes on.\n\n"+
			"The same Idempotency-Key with the same body gives the same execution (and Idempotent-Replayed: true); with another body it is a conflict. "+
			"Prefer: wait=SECONDS waits for the end, 60 seconds at most. A deprecated hook answers with CAOS-Hook-Status: DEPRECATED. With dry_run=true nothing happens, and the answer explains every gate."),
		a.submissionDoc(), a.submit)
}

// submitted is the hook that a submission is for. That there is no such hook is for the
// hook service to say, and to record.
func (a *API) submitted(c *call) (auth.Resource, bool) {
	id := c.path("hook_id")
	return auth.Resource{Type: "Hook", ID: id, Project: c.by.Project}, a.Hooks.Lookup(id) != nil
}

// submissionDoc describes the submission: the bodies are the hooks' schemas by reference.
func (a *API) submissionDoc() huma.Operation {
	input := &huma.Schema{}
	for _, h := range a.Hooks.Hooks() {
		for _, which := range []string{"input", "output"} {
			name := fmt.Sprintf("%s-%s.%s", h.ID, h.Version, which)
			text, err := a.Hooks.Schema(h.ID, h.Version, which)
			if err != nil {
				panic(fmt.Sprintf("httpapi: schema of %s: %v", h.ID, err)) // the service has checked them all
			}
			a.hookSchemas[name] = text
			if which == "input" {
				input.OneOf = append(input.OneOf, &huma.Schema{Ref: "#/components/schemas/" + name})
			}
		}
	}
	schemas := a.huma.OpenAPI().Components.Schemas
	execution := schemas.Schema(reflect.TypeFor[engine.Execution](), true, "Execution")
	explanation := schemas.Schema(reflect.TypeFor[hook.Explanation](), true, "Explanation")
	answer := map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{OneOf: []*huma.Schema{execution, explanation}}}}
	location := &huma.Param{Description: "where the execution is", Schema: words()}
	return huma.Operation{
		Parameters: []*huma.Param{
			param("hook_id", "path", "the hook", words()),
			param("dry_run", "query", "explain instead of doing", &huma.Schema{Type: "boolean"}),
			param("Idempotency-Key", "header", "at most 128 printable ASCII characters, unique for this caller and hook", words()),
			param("Prefer", "header", "wait=SECONDS", words()),
			param("CAOS-Hook-Version", "header", "the version whose interface the body is written for", words()),
			param("CAOS-MFA", "header", "a second factor: totp CODE", words()),
		},
		RequestBody: &huma.RequestBody{Required: true, Content: documents(input)},
		Responses: map[string]*huma.Response{
			"200": {Description: "The execution has ended, or the dry run's explanation", Content: answer},
			"202": {Description: "The execution goes on", Headers: map[string]*huma.Param{"Location": location},
				Content: map[string]*huma.MediaType{"application/json": {Schema: execution}}},
		},
	}
}
