package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"caos"
)

// describeAll gives the OpenAPI document once all routes are there.
func (a *API) describeAll() []byte {
	oapi := a.huma.OpenAPI()
	// huma's own form of errors is never sent.
	delete(oapi.Components.Schemas.Map(), "ErrorModel")
	delete(oapi.Components.Schemas.Map(), "ErrorDetail")
	delete(oapi.Components.Schemas.Map(), "None")
	for name, schema := range oapi.Components.Schemas.Map() {
		nullable(schema, oapi.Components.Schemas.TypeFromRef("#/components/schemas/"+name))
	}
	if a.BaseURL != "" {
		oapi.Servers = []*huma.Server{{URL: a.BaseURL}}
	}
	text, err := json.Marshal(oapi)
	if err == nil {
		text, err = withSchemas(text, a.hookSchemas)
	}
	if err != nil {
		panic(fmt.Sprintf("httpapi: the OpenAPI document: %v", err))
	}
	return text
}

// nullable lets a field be null that is a pointer to a struct and is never left out; huma
// does so for other pointers alone.
func nullable(schema *huma.Schema, t reflect.Type) {
	if t == nil || t.Kind() != reflect.Struct {
		return
	}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		p := schema.Properties[name]
		if p == nil || p.Ref == "" || f.Type.Kind() != reflect.Pointer || strings.Contains(options, "omitempty") {
			continue
		}
		schema.Properties[name] = &huma.Schema{Description: p.Description, AnyOf: []*huma.Schema{{Ref: p.Ref}, {Type: "null"}}}
	}
}

// withSchemas adds the hooks' schemas, as they are, to the document's components.
func withSchemas(doc []byte, schemas map[string][]byte) ([]byte, error) {
	var root map[string]any
	if err := json.Unmarshal(doc, &root); err != nil {
		return nil, err
	}
	components, _ := root["components"].(map[string]any)
	all, _ := components["schemas"].(map[string]any)
	for name, text := range schemas {
		all[name] = json.RawMessage(text)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(root)
	return out.Bytes(), err
}

// OpenAPI returns the OpenAPI 3.1 document as JSON.
func (a *API) OpenAPI() []byte { return slices.Clone(a.openapi) }

type docsPage struct {
	Version string
	Intro   []string
	Groups  []docsGroup
	Schemas []docsSchema
}

type docsGroup struct {
	Name       string
	Operations []docsOperation
}

type docsOperation struct {
	ID, Method, Path, Summary, Rule string
	Doc                             []string
	Params                          []docsField
	Body                            []docsRef
	Answers                         []docsAnswer
}

type docsField struct {
	Name, In, Type, Doc, Link string
	Required                  bool
}

type docsAnswer struct {
	Status, Doc string
	Body        []docsRef
}

type docsRef struct{ Name, Link string }

type docsSchema struct {
	Name, Doc string
	Fields    []docsField
}

// docsPage arranges the OpenAPI document for reading.
func (a *API) docsPage() docsPage {
	oapi := a.huma.OpenAPI()
	page := docsPage{Version: a.Version, Intro: paragraphs(apiDescription)}
	groups := map[string]*docsGroup{}
	for _, path := range slices.Sorted(maps.Keys(oapi.Paths)) {
		for _, op := range operationsOf(oapi.Paths[path]) {
			g := groups[op.Tags[0]]
			if g == nil {
				g = &docsGroup{Name: op.Tags[0]}
				groups[op.Tags[0]] = g
			}
			g.Operations = append(g.Operations, docsFor(op))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		page.Groups = append(page.Groups, *groups[name])
	}
	schemas := oapi.Components.Schemas.Map()
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		s := docsSchema{Name: name, Doc: schemas[name].Description}
		for _, field := range slices.Sorted(maps.Keys(schemas[name].Properties)) {
			p := schemas[name].Properties[field]
			ref := refOf(p)
			s.Fields = append(s.Fields, docsField{Name: field, Type: ref.Name, Link: ref.Link, Doc: p.Description,
				Required: slices.Contains(schemas[name].Required, field)})
		}
		page.Schemas = append(page.Schemas, s)
	}
	return page
}

// operationsOf lists the operations of a path in the order of their methods.
func operationsOf(item *huma.PathItem) (ops []*huma.Operation) {
	for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Delete, item.Patch} {
		if op != nil {
			ops = append(ops, op)
		}
	}
	return ops
}

func docsFor(op *huma.Operation) docsOperation {
	d := docsOperation{ID: op.OperationID, Method: op.Method, Path: op.Path, Summary: op.Summary, Rule: ruleInWords(op), Doc: paragraphs(op.Description)}
	for _, p := range op.Parameters {
		d.Params = append(d.Params, docsField{Name: p.Name, In: p.In, Required: p.Required, Doc: p.Description, Type: refOf(p.Schema).Name})
	}
	if op.RequestBody != nil {
		for _, ct := range slices.Sorted(maps.Keys(op.RequestBody.Content)) {
			d.Body = append(d.Body, docsRef{Name: ct})
			if ref := refOf(op.RequestBody.Content[ct].Schema); ref.Link != "" {
				d.Body = append(d.Body, ref)
			}
		}
	}
	for _, code := range slices.Sorted(maps.Keys(op.Responses)) {
		r := op.Responses[code]
		answer := docsAnswer{Status: code, Doc: r.Description}
		if m := r.Content["application/json"]; m != nil && m.Schema != nil {
			answer.Body = append(answer.Body, refOf(m.Schema))
		}
		if code != "default" {
			d.Answers = append(d.Answers, answer)
		}
	}
	return d
}

func ruleInWords(op *huma.Operation) string {
	rule, _ := op.Extensions["x-caos-rule"].(map[string]any)
	if rule["public"] == true {
		return "Public."
	}
	words := fmt.Sprintf("Needs a token that may %v", rule["action"])
	if rule["step_up"] == true {
		words += ", and a second factor"
	}
	return words + "."
}

// refOf names a schema, with a link if it has a name of its own.
func refOf(s *huma.Schema) docsRef {
	switch {
	case s == nil:
		return docsRef{}
	case s.Ref != "":
		name := strings.TrimPrefix(s.Ref, "#/components/schemas/")
		return docsRef{Name: name, Link: "#schema-" + name}
	case len(s.AnyOf) > 0:
		return refOf(s.AnyOf[0])
	case len(s.OneOf) > 0:
		names := make([]string, len(s.OneOf))
		for i, one := range s.OneOf {
			names[i] = refOf(one).Name
		}
		return docsRef{Name: strings.Join(names, " | ")}
	case s.Items != nil:
		in := refOf(s.Items)
		return docsRef{Name: "[" + in.Name + "]", Link: in.Link}
	case len(s.Enum) > 0:
		words := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			words[i] = fmt.Sprint(v)
		}
		return docsRef{Name: strings.Join(words, " | ")}
	case s.Type == "":
		return docsRef{Name: "any"}
	case s.Format != "":
		return docsRef{Name: s.Type + " (" + s.Format + ")"}
	}
	return docsRef{Name: s.Type}
}

func paragraphs(s string) (out []string) {
	for p := range strings.SplitSeq(s, "\n\n") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

// registerHealth adds what a load balancer and a monitoring system ask.
func (a *API) registerHealth() {
	operation(a, get("/healthz", anyone()).as("healthz", "operations", "The process is alive"),
		func(*call, *none, *none) (Health, error) { return Health{Status: "ok"}, nil })
	operation(a, get("/readyz", anyone()).as("readyz", "operations", "The installation can take work"),
		func(*call, *none, *none) (Health, error) {
			select {
			case <-a.draining:
				return Health{}, caos.Errorf(caos.Unavailable, "the server is stopping")
			default:
			}
			if a.Ready != nil {
				if err := a.Ready(); err != nil {
					return Health{}, err
				}
			}
			return Health{Status: "ready"}, nil
		})
	rule := may("metrics:read")
	if a.PublicMetrics {
		rule = anyone()
	}
	metrics := a.metrics.handler()
	a.plain(get("/metrics", rule).as("metrics", "operations", "Metrics in the Prometheus text format"),
		huma.Operation{Responses: binary("200", "The metrics", "text/plain")},
		func(c *call) error { metrics.ServeHTTP(c.w, c.r); return nil })
}

// Health is the answer of /healthz and /readyz.
type Health struct {
	Status string `json:"status" doc:"ok, or ready"`
}

// binary describes an answer that is not a document.
func binary(status, description string, types ...string) map[string]*huma.Response {
	content := map[string]*huma.MediaType{}
	for _, t := range types {
		content[t] = &huma.MediaType{Schema: &huma.Schema{Type: "string", Format: "binary"}}
	}
	return map[string]*huma.Response{status: {Description: description, Content: content}}
}

// answersWith describes an answer that is a document.
func (a *API) answersWith(status, description string, example any) map[string]*huma.Response {
	schema := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(example), true, "")
	return map[string]*huma.Response{status: {Description: description, Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}}}
}

// param describes a parameter of a plain route.
func param(name, in, doc string, schema *huma.Schema) *huma.Param {
	return &huma.Param{Name: name, In: in, Description: doc, Required: in == "path", Schema: schema}
}

// words is the schema of a text.
func words() *huma.Schema { return &huma.Schema{Type: "string"} }

var _ http.Handler = (*API)(nil)
