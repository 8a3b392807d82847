package httpapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"caos"
	"caos/internal/dataset"
)

// Pages are what a browser gets: any answer, drawn as nested tables, with links where a
// value names something that has an address. There is no script.

const pageType = "text/html"

var (
	//go:embed page.css
	pageCSS string
	//go:embed page.html
	pageHTML string
	//go:embed docs.html
	docsHTML string
)

// pages are the parsed templates, and the policy that names their style sheet.
type pages struct {
	value, docs *template.Template
	csp         string
}

func newPages() *pages {
	sum := sha256.Sum256([]byte(pageCSS))
	funcs := template.FuncMap{
		"style": func() template.HTML { return template.HTML("<style>" + pageCSS + "</style>") }, //nolint:gosec // our own file
	}
	return &pages{
		value: template.Must(template.New("page").Funcs(funcs).Parse(pageHTML)),
		docs:  template.Must(template.New("docs").Funcs(funcs).Parse(docsHTML)),
		csp: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}
}

// wantsPage reports whether the client prefers HTML to everything else, as browsers do.
func (c *call) wantsPage() bool {
	first, _, _ := strings.Cut(c.r.Header.Get("Accept"), ",")
	first, _, _ = strings.Cut(first, ";")
	return strings.EqualFold(strings.TrimSpace(first), pageType)
}

// writePage answers with v drawn as a page.
func (c *call) writePage(status int, v any) {
	var b bytes.Buffer
	if err := c.renderPage(&b, v); err != nil {
		panic(err) // the template is ours, and v was made by us
	}
	c.set("Content-Type", pageType+"; charset=utf-8")
	c.set("Vary", "Accept")
	c.set("Content-Length", strconv.Itoa(b.Len()))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(b.Bytes()) // nobody is left to tell
}

// writeHTML is the format behind Accept: text/html. huma hands over the response writer.
func writeHTML(w io.Writer, v any) error {
	out, ok := w.(*writer)
	if !ok {
		return fmt.Errorf("a page is written to %T", w)
	}
	return out.c.renderPage(w, v)
}

func (c *call) renderPage(w io.Writer, v any) error {
	text, err := json.Marshal(inLines(v))
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	root, err := drawNext(dec)
	if err != nil {
		return err
	}
	root.own(c.api.BaseURL)
	if t, ok := v.(*TransactionView); ok && t.Explorer != "" {
		root.leave(t.Explorer)
	}
	title, more := "CAOS", c.further()
	problem, _ := v.(*Problem)
	if problem != nil {
		title, more = problem.Title, nil
		if problem.Status == http.StatusNotFound && c.by.ID == "" && strings.HasPrefix(c.r.URL.Path, "/dpp/") {
			more = []crumb{{"Sign in", "?signin"}} // whether there is something to see or not
		}
	}
	var picture template.HTML
	switch p := v.(type) {
	case pictured:
		picture = p.picture()
	case *dataset.Pipeline:
		picture = pipelinePicture(p)
	}
	var next string
	shown := root
	for _, m := range root.Members {
		if m.Name == "items" && len(root.Members) <= 2 {
			shown = m.Value // a list is the page
		}
		if m.Name == "next_cursor" && m.Value.Text != "" {
			q := c.r.URL.Query()
			q.Set("cursor", m.Value.Text)
			next = "?" + q.Encode()
		}
	}
	return c.api.pages.value.Execute(w, map[string]any{
		"Title": title, "Problem": problem, "Path": clip(c.r.URL.Path, 300), "Value": shown, "Picture": picture, "Next": next, "Further": more, "Trail": trail(c.r.URL.Path), "By": c.by.ID,
	})
}

type crumb struct{ Name, Link string }

// further are the pages one step below this one, such as the versions of a model.
func (c *call) further() (more []crumb) {
	if c.endpoint == nil || c.endpoint.Method != http.MethodGet {
		return nil
	}
	for _, r := range c.api.routes {
		rest, ok := strings.CutPrefix(r.Path, c.endpoint.Path+"/")
		if ok && r.Method == http.MethodGet && !strings.ContainsAny(rest, "/{") {
			if r.Path == "/v1/lineage/events" { // of an execution, which has to be named
				continue
			}
			more = append(more, crumb{rest, strings.TrimSuffix(c.r.URL.EscapedPath(), "/") + "/" + rest})
		}
	}
	if c.endpoint.Path == "/v1/chain" {
		more = append(more, crumb{"transactions", "/v1/transactions"})
	}
	return more
}

// trail is the way to a page, each part with its link.
func trail(path string) (crumbs []crumb) {
	link := ""
	for part := range strings.SplitSeq(strings.Trim(clip(path, 300), "/"), "/") {
		link += "/" + url.PathEscape(part)
		crumbs = append(crumbs, crumb{part, link})
	}
	return crumbs
}

// drawn is a JSON value as the template takes it: an object, a list, or a text.
type drawn struct {
	Members []member
	Items   []drawn
	Text    string
	Link    string
	Class   string
	Whole   string   // the text, where Text is only its beginning
	Kind    string   // object, list, rows, text, null
	Columns []string // of rows, whose Items are lists of as many values
}

type member struct {
	Name  string
	Value drawn
	Empty bool // a text without a character: a page does not spend a line on it
}

// drawNext reads one value. The depth is bounded by what this package encodes itself.
func drawNext(dec *json.Decoder) (drawn, error) {
	tok, err := dec.Token()
	if err != nil {
		return drawn{}, err
	}
	switch t := tok.(type) {
	case json.Delim:
		if t == '{' {
			return drawObject(dec)
		}
		d := drawn{Kind: "list"}
		for dec.More() {
			item, err := drawNext(dec)
			if err != nil {
				return d, err
			}
			d.Items = append(d.Items, item)
		}
		_, err := dec.Token()
		return d.rows(), err
	case string:
		return drawn{Kind: "text", Text: t, Link: linkOf(t), Class: classOf(t)}, nil
	case nil:
		return drawn{Kind: "null"}, nil
	}
	return drawn{Kind: "text", Text: fmt.Sprint(tok)}, nil
}

// rows turns a list of objects whose members are plain values, or short lists of such, into a
// table. What an object lacks is an empty cell; members that no object has a value for are
// left out.
func (d drawn) rows() drawn {
	if len(d.Items) == 0 {
		return d
	}
	var names []string
	used, at := map[string]bool{}, make([]map[string]drawn, len(d.Items))
	for n, item := range d.Items {
		if item.Kind != "object" {
			return d
		}
		at[n] = map[string]drawn{}
		for i := range item.Members {
			m := &item.Members[i]
			m.Value = m.Value.inline()
			if m.Value.Kind != "text" && m.Value.Kind != "null" {
				return d
			}
			if _, known := used[m.Name]; !known {
				names, used[m.Name] = append(names, m.Name), false
			}
			used[m.Name] = used[m.Name] || m.Value.Kind == "text" && m.Value.Text != ""
			at[n][m.Name] = m.Value
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !used[name] })
	if len(names) > maxColumns {
		return d
	}
	table := drawn{Kind: "rows", Columns: names}
	for n := range d.Items {
		row := drawn{Kind: "list"}
		for _, name := range names {
			cell, there := at[n][name]
			if !there {
				cell = drawn{Kind: "text"}
			}
			row.Items = append(row.Items, cell.cell())
		}
		table.Items = append(table.Items, row)
	}
	return table
}

// maxColumns is how wide a table may be before its objects are easier to read one by one.
const maxColumns = 24

// cell is a value as it stands in a table: of a digest the beginning, and what is short on
// one line.
func (d drawn) cell() drawn {
	if len(d.Text) > 64 && strings.HasPrefix(d.Text, "SHA256:") {
		d.Text, d.Whole = d.Text[:19]+"…", d.Text
	}
	switch {
	case len(d.Text) <= 32:
		d.Class = strings.TrimSpace(d.Class + " short")
	case len(d.Text) > 48 && strings.Contains(d.Text, " "):
		d.Class = strings.TrimSpace(d.Class + " long") // sentences get room, or they are a word to a line
	}
	return d
}

// inline is a short list of plain values as one text, and anything else as it is.
func (d drawn) inline() drawn {
	if d.Kind != "list" || len(d.Items) > 4 {
		return d
	}
	if len(d.Items) == 0 {
		return drawn{Kind: "null"}
	}
	var texts []string
	for _, item := range d.Items {
		if item.Kind != "text" {
			return d
		}
		texts = append(texts, item.Text)
	}
	return drawn{Kind: "text", Text: strings.Join(texts, ", "), Link: linkOf(strings.Join(texts, ", "))}
}

func drawObject(dec *json.Decoder) (drawn, error) {
	d := drawn{Kind: "object"}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return d, err
		}
		v, err := drawNext(dec)
		if err != nil {
			return d, err
		}
		if name == "problem" && v.Kind == "text" && v.Link == "" {
			v.Class = "bad"
		}
		d.Members = append(d.Members, member{Name: fmt.Sprint(name), Value: v, Empty: v.Kind == "text" && v.Text == ""})
	}
	_, err := dec.Token()
	d.refer()
	return d, err
}

// refer gives links to members that name something only together with their neighbours: a
// version with its model, a document by its id.
func (d drawn) refer() {
	texts := map[string]*drawn{}
	for i := range d.Members {
		if v := &d.Members[i].Value; v.Kind == "text" {
			texts[d.Members[i].Name] = v
		}
	}
	link := func(name, path string, parts ...string) {
		v := texts[name]
		if v == nil || v.Text == "" || v.Link != "" {
			return
		}
		for _, part := range parts {
			if texts[part] == nil || texts[part].Text == "" {
				return
			}
			path = strings.Replace(path, "*", url.PathEscape(texts[part].Text), 1)
		}
		v.Link = path
	}
	link("vv_report_id", "/v1/documents/*", "vv_report_id")
	link("version", "/v1/documents/*?version=*", "document_id", "version")
	link("document_id", "/v1/documents/*", "document_id")
	link("template_id", "/v1/checklist-templates/*", "template_id")
	link("report_version", "/v1/reviews/*/report?version=*", "prr_id", "report_version")
	link("model_version", "/v1/models/*/versions/*", "model_id", "model_version")
	link("pipeline_version", "/v1/pipelines/*?version=*", "pipeline_id", "pipeline_version")
	link("dataset_version", "/v1/datasets/*/versions/*", "dataset_id", "dataset_version")
	link("version", "/v1/datasets/*/versions/*", "dataset_id", "version")
	link("version", "/v1/contracts/*?version=*", "contract_id", "version")
	link("contract_id", "/v1/contracts/*", "contract_id")
	link("validation_rules_id", "/v1/contracts/*", "validation_rules_id")
	link("version", "/v1/models/*/versions/*", "model_id", "version")
}

// linkOf gives the address of what a text names, if it has one here. Only addresses of
// this server are links: a page must not lead away to a place that an input named.
func linkOf(s string) string {
	if len(s) > 300 || strings.ContainsAny(s, " \t\r\n<>\"'\\") {
		return ""
	}
	for _, kind := range []struct{ prefix, path string }{
		{"EXEC-", "/v1/executions/"}, {"AUDIT-", "/v1/audit/"}, {"EVID-", "/v1/evidence/"}, {"CERT-PKG-", "/v1/packages/"}, {"DPP-", "/v1/passports/"},
		{"BL-", "/v1/baselines/"}, {"CHG-", "/v1/changes/"}, {"PR-", "/v1/problem-reports/"}, {"LINK-", "/v1/links/"}, {"STMT-", "/v1/statements/"},
		{"PRR-", "/v1/reviews/"}, {"REL-AUTH-", "/v1/release-authorizations/"}, {"DEC-", "/v1/decisions/"}, {"RISK-", "/v1/risks/"}, {"CHK-", "/v1/checklists/"},
		{"CPLAN-", "/v1/certification-plans/"}, {"VAL-EXEC-", "/v1/validations/"},
		{"TX-", "/v1/transactions/"}, {"CTR-", "/v1/chain/contracts/"}, {"ANCHOR-", "/v1/anchors/"}, {"ALERT-", "/v1/alerts/"},
		{"CAOS.PROD.", "/v1/hooks/"}, {"object://SHA256:", "/v1/objects/"},
	} {
		if rest, ok := strings.CutPrefix(s, kind.prefix); ok && rest != "" {
			if kind.prefix == "CHK-" {
				s, _, _ = strings.Cut(s, "/") // an item is on its checklist's page
			}
			return kind.path + url.PathEscape(strings.TrimPrefix(s, "object://"))
		}
	}
	if link := linkOfData(s); link != "" {
		return link
	}
	if model, version, _ := strings.Cut(s, "@"); caos.CheckID("model", "", model) == nil {
		if version == "" {
			return "/v1/models/" + url.PathEscape(model)
		}
		return "/v1/models/" + url.PathEscape(model) + "/versions/" + url.PathEscape(version)
	}
	if strings.HasPrefix(s, "/v1/") || strings.HasPrefix(s, "/log/") || strings.HasPrefix(s, "/dpp/") {
		return s
	}
	return ""
}

// own gives links to texts that are addresses of this server, as outputs of hooks have them.
func (d *drawn) own(base string) {
	if rest, ok := strings.CutPrefix(d.Text, base+"/"); ok && base != "" && d.Link == "" {
		d.Link = linkOf("/" + rest)
	}
	for i := range d.Items {
		d.Items[i].own(base)
	}
	for i := range d.Members {
		d.Members[i].Value.own(base)
	}
}

// leave gives a link to a place elsewhere that configuration names.
func (d *drawn) leave(place string) {
	for i := range d.Members {
		if v := &d.Members[i].Value; d.Members[i].Name == "explorer" && v.Text == place {
			v.Link = place
		}
	}
}

// linkOfData gives the address of a pipeline, of a dataset (DP-DLY-001.train) or of a version
// of one (DP-DLY-001.train@3).
func linkOfData(s string) string {
	pipeline, target, of := strings.Cut(s, ".")
	if caos.CheckID("pipeline", "", pipeline) != nil {
		return ""
	}
	if !of {
		return "/v1/pipelines/" + url.PathEscape(pipeline)
	}
	name, n, versioned := strings.Cut(target, "@")
	if !versioned {
		return "/v1/datasets/" + url.PathEscape(s)
	}
	return "/v1/datasets/" + url.PathEscape(pipeline+"."+name) + "/versions/" + url.PathEscape(n)
}

// classOf picks the colour of the words that matter most.
func classOf(s string) string {
	switch s {
	case "SUCCEEDED", "SUCCESS", "PASS", "COMPLIANT", "CLOSED", "ACTIVE", "FROZEN", "RELEASED", "APPROVED", "PASSED", "INTACT", "AUTHORISED", "COMPLETE", "SHOWN", "CONFIRMED":
		return "good"
	case "REJECTED", "DAMAGED", "FAILED", "FAIL", "CRITICAL", "HIGH", "REVIEW_REQUIRED", "BLOCKED", "REVOKED", "FAILING", "DIVERGED", "Critical":
		return "bad"
	}
	return ""
}

// registerDocs adds the description of the API, for programs and for people.
func (a *API) registerDocs() {
	page := get("/docs", anyone()).as("docs", "meta", "This API, for people")
	page.undoc = true
	a.route(page, func(c *call) {
		c.set("Content-Type", pageType+"; charset=utf-8")
		if err := a.pages.docs.Execute(c.outflow(), a.docsPage()); err != nil {
			panic(err)
		}
	})
	doc := get("/openapi.json", anyone()).as("openapi", "meta", "This API, for programs")
	doc.undoc = true
	a.route(doc, func(c *call) {
		c.set("Content-Type", "application/openapi+json")
		c.set("Cache-Control", "no-cache")
		_, _ = c.w.Write(a.openapi)
	})
	root := get("/{$}", anyone()).as("root", "meta", "Leads to the documentation")
	root.undoc = true
	a.route(root, func(c *call) { http.Redirect(c.w, c.r, "/docs", http.StatusFound) })
}
