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
	"strconv"
	"strings"
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
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	root, err := drawNext(dec)
	if err != nil {
		return err
	}
	title := "CAOS"
	if p, ok := v.(*Problem); ok {
		title = p.Title
	}
	var next string
	for _, m := range root.Members {
		if m.Name == "next_cursor" && m.Value.Text != "" {
			q := c.r.URL.Query()
			q.Set("cursor", m.Value.Text)
			next = "?" + q.Encode()
		}
	}
	return c.api.pages.value.Execute(w, map[string]any{
		"Title": title, "Path": clip(c.r.URL.Path, 300), "Value": root, "Next": next, "Trail": trail(c.r.URL.Path), "By": c.by.ID,
	})
}

type crumb struct{ Name, Link string }

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
	Kind    string   // object, list, rows, text, null
	Columns []string // of rows, whose Items are lists of as many values
}

type member struct {
	Name  string
	Value drawn
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

// rows turns a list of objects that have the same members, all of them plain values, into
// a table. Members that no object has a value for are left out.
func (d drawn) rows() drawn {
	if len(d.Items) == 0 || d.Items[0].Kind != "object" {
		return d
	}
	names := d.Items[0].Members
	used := make([]bool, len(names))
	for _, item := range d.Items {
		if len(item.Members) != len(names) {
			return d
		}
		for i, m := range item.Members {
			if m.Name != names[i].Name || m.Value.Kind != "text" && m.Value.Kind != "null" {
				return d
			}
			used[i] = used[i] || m.Value.Kind == "text"
		}
	}
	table := drawn{Kind: "rows"}
	for i, m := range names {
		if used[i] {
			table.Columns = append(table.Columns, m.Name)
		}
	}
	for _, item := range d.Items {
		row := drawn{Kind: "list"}
		for i, m := range item.Members {
			if used[i] {
				row.Items = append(row.Items, m.Value)
			}
		}
		table.Items = append(table.Items, row)
	}
	return table
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
		d.Members = append(d.Members, member{Name: fmt.Sprint(name), Value: v})
	}
	_, err := dec.Token()
	return d, err
}

// linkOf gives the address of what a text names, if it has one here. Only addresses of
// this server are links: a page must not lead away to a place that an input named.
func linkOf(s string) string {
	if len(s) > 300 || strings.ContainsAny(s, " \t\r\n<>\"'\\") {
		return ""
	}
	for _, kind := range []struct{ prefix, path string }{
		{"EXEC-", "/v1/executions/"}, {"AUDIT-", "/v1/audit/"}, {"EVID-", "/v1/evidence/"}, {"CERT-PKG-", "/v1/packages/"},
		{"CAOS.PROD.", "/v1/hooks/"}, {"object://SHA256:", "/v1/objects/"},
	} {
		if rest, ok := strings.CutPrefix(s, kind.prefix); ok && rest != "" {
			return kind.path + url.PathEscape(strings.TrimPrefix(s, "object://"))
		}
	}
	if strings.HasPrefix(s, "/v1/") || strings.HasPrefix(s, "/log/") {
		return s
	}
	return ""
}

// classOf picks the colour of the words that matter most.
func classOf(s string) string {
	switch s {
	case "SUCCEEDED", "COMPLIANT", "CLOSED", "ACTIVE":
		return "good"
	case "FAILED", "CRITICAL", "HIGH", "REVIEW_REQUIRED", "BLOCKED", "REVOKED":
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
