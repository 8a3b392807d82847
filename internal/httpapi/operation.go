package httpapi

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/goccy/go-yaml"
)

// none stands for no parameters, or no body.
type none struct{}

// reply is the shape that huma expects of an answer.
type reply[T any] struct {
	Status int
	Body   T
}

// operation registers a route whose parameters (P: fields tagged path, query, header),
// body (B, or none) and answer (T) are typed. The answer is written as JSON, YAML or a
// page, as the client accepts.
func operation[P, B, T any](a *API, e endpoint, fn func(c *call, p *P, body *B) (T, error)) {
	op := a.describe(e)
	var schema *huma.Schema
	if body := reflect.TypeFor[B](); body != reflect.TypeFor[none]() {
		schema = a.huma.OpenAPI().Components.Schemas.Schema(body, true, e.id+"-body")
		op.Metadata = map[string]any{"body": schema}
	}
	if e.either != nil {
		if op.Metadata == nil {
			op.Metadata = map[string]any{}
		}
		op.Metadata["either"] = e.either
	}
	a.pending = &e
	huma.Register(a.huma, op, func(ctx context.Context, p *P) (*reply[T], error) {
		c := callOf(ctx)
		c.set("Vary", "Accept")
		var body B
		if schema != nil {
			if err := c.decode(&body, schema); err != nil {
				c.fail(err)
				return nil, nil
			}
		}
		if paged, ok := any(p).(interface{ cursor() *string }); ok {
			at, err := a.cursors.open(e.id, *paged.cursor())
			if err != nil {
				c.fail(err)
				return nil, nil
			}
			*paged.cursor() = at
		}
		out, err := fn(c, p, &body)
		if err != nil {
			c.fail(err)
			return nil, nil
		}
		if page, ok := any(&out).(interface{ next() *string }); ok {
			*page.next() = a.cursors.seal(e.id, *page.next())
		}
		status := c.status
		if status == 0 {
			status = op.DefaultStatus
		}
		return &reply[T]{Status: status, Body: out}, nil
	})
}

// plain registers a route that reads its request and writes its answer itself. op
// describes what is special about it: parameters, request body, responses.
func (a *API) plain(e endpoint, op huma.Operation, h func(c *call) error) {
	d := a.describe(e)
	d.Parameters, d.RequestBody, d.Metadata = op.Parameters, op.RequestBody, op.Metadata
	d.Responses = op.Responses
	if d.Responses == nil {
		d.Responses = map[string]*huma.Response{}
	}
	if !e.undoc {
		a.huma.OpenAPI().AddOperation(&d)
	}
	a.route(e, func(c *call) {
		if err := h(c); err != nil {
			c.fail(err)
		}
	})
}

// describe is the part of a description that all routes share.
func (a *API) describe(e endpoint) huma.Operation {
	status := e.status
	if status == 0 {
		status = http.StatusOK
	}
	op := huma.Operation{
		OperationID: e.id, Method: e.Method, Path: strings.ReplaceAll(e.Path, "...}", "}"), Summary: e.summary, Description: e.doc,
		Tags: []string{e.tag}, DefaultStatus: status,
	}
	if e.Rule.Public {
		op.Security = []map[string][]string{}
		op.Extensions = map[string]any{"x-caos-rule": map[string]any{"public": true}}
		return op
	}
	op.Security = []map[string][]string{{"token": {}}}
	op.Extensions = map[string]any{"x-caos-rule": map[string]any{"action": e.Rule.Action, "step_up": e.Rule.StepUp}}
	return op
}

// mux is what huma sees of the multiplexer: whatever it registers passes through
// API.route, with the rule of the operation that is being registered.
type mux struct{ a *API }

func (m mux) HandleFunc(_ string, h func(http.ResponseWriter, *http.Request)) {
	e := m.a.pending
	m.a.pending = nil
	if e == nil {
		panic("httpapi: huma registers a route of its own")
	}
	m.a.route(*e, func(c *call) { h(c.w, c.r) })
}

func (m mux) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.a.mux.ServeHTTP(w, r) }

// document completes an operation's description when huma adds it: the body that this
// package reads itself, and the form of refusals.
func (a *API) document(oapi *huma.OpenAPI, op *huma.Operation) {
	if schema, ok := op.Metadata["body"].(*huma.Schema); ok {
		op.RequestBody = &huma.RequestBody{Required: true, Content: documents(schema)}
	}
	for code := range op.Responses {
		if code == "default" {
			delete(op.Responses, code)
		}
	}
	if either, ok := op.Metadata["either"].([]*huma.Schema); ok {
		op.Responses[strconv.Itoa(op.DefaultStatus)].Content = map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{OneOf: either}}}
	}
	if rule, _ := op.Extensions["x-caos-rule"].(map[string]any); rule["step_up"] == true {
		op.Parameters = append(op.Parameters, param("CAOS-MFA", "header", "the second factor: totp CODE", words()))
	}
	problem := oapi.Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	op.Responses["default"] = &huma.Response{
		Description: "A refusal",
		Content:     map[string]*huma.MediaType{problemType: {Schema: problem}},
	}
	for code, r := range op.Responses {
		if code == "default" || r.Content == nil {
			continue
		}
		if json := r.Content["application/json"]; json != nil && r.Content["application/yaml"] == nil {
			r.Content["application/yaml"] = json
		}
	}
}

// documents describes a body that may be JSON or YAML.
func documents(schema *huma.Schema) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{"application/json": {Schema: schema}, "application/yaml": {Schema: schema}}
}

// formats are the forms in which answers are written; the first media type that the
// client accepts, JSON otherwise. Bodies of requests do not pass here.
func formats() map[string]huma.Format {
	jsonFormat := huma.Format{Marshal: writeJSON}
	return map[string]huma.Format{
		"application/json": jsonFormat,
		"json":             jsonFormat,
		"application/yaml": {Marshal: writeYAML},
		pageType:           {Marshal: writeHTML},
	}
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func writeYAML(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	out, err := yaml.JSONToYAML(text)
	if err != nil {
		return err
	}
	_, err = w.Write(out)
	return err
}

// transform replaces huma's own refusals, which are about parameters, by problems. It is
// called before the status is written.
func (a *API) transform(ctx huma.Context, _ string, v any) (any, error) {
	if m, ok := v.(*huma.ErrorModel); ok {
		c := callOf(ctx.Context())
		c.fail(fromHuma(m))
		c.w.mute = true // what huma writes now goes nowhere: the answer is out
		return none{}, nil
	}
	return v, nil
}
