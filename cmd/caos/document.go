package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/httpapi"
	"caos/internal/registry"
)

func newDocument(e *environment) *cobra.Command {
	named := completed(e.ids("/v1/documents", "document_id", "title"), documentShow(e), documentGet(e),
		documentDecide(e, "approve", "Approve a document", true), documentDecide(e, "reject", "Reject a document", false))
	return parent("document", "Keep documents and decide about them", append([]*cobra.Command{documentRegister(e), documentList(e)}, named...)...)
}

func documentPath(id string) string { return "/v1/documents/" + escape(id) }

// documentKinds are the kinds that a freeze asks for; other words are kinds too.
func documentKinds() []string {
	return []string{registry.KindVVReport, registry.KindVVPlan, registry.KindSafetyAssessment, registry.KindDefectList, registry.KindDocumentationReview,
		"model-card", "design", "requirements", "other"}
}

func documentRegister(e *environment) *cobra.Command {
	var b httpapi.NewDocumentBody
	c := &cobra.Command{
		Use: "register FILE --id DOCUMENT --kind KIND", Short: "Upload a document and register a version of it", Args: wants("FILE"),
		Long: "Uploads a document and registers it under its id. A new version takes the place of the former one. V&V reports, V&V plans and defect lists are read: " +
			"JSON or YAML of a strict form, of which every mistake is named. The same version with the same bytes again changes nothing.",
		Example: "  caos document register vv-report.json --id 95-00-07-01-001 --kind vv-report --model NN-DLY-001 --model-version 1.0.0\n" +
			"  caos document register hazards.pdf --id 95-00-07-02-001 --version 1.1 --kind safety-assessment --model NN-DLY-001 --model-version 1.0.0 --title 'Hazard analysis'",
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkDocument(&b); err != nil {
				return err
			}
			if b.Title == "" {
				b.Title = filepath.Base(args[0])
			}
			if b.MediaType == "" {
				b.MediaType = mediaType(args[0])
			}
			cl, err := e.connect()
			if err != nil {
				return err
			}
			var answer []byte
			var d registry.Document
			err = e.bring(c.Context(), cl, args[0], func(digest string) error {
				b.Digest = digest
				a, err := cl.Do(c.Context(), posting("/v1/documents", b))
				if err != nil {
					return err
				}
				answer = a.Body
				return a.Decode(&d)
			})
			if err != nil {
				return err
			}
			return e.give(answer, func() { e.document(&d) })
		},
	}
	f := c.Flags()
	f.StringVar(&b.DocumentID, "id", "", "of the document, such as 95-00-07-01-001")
	f.StringVar(&b.Version, "version", "1.0", "of the document; higher than the former one")
	f.StringVar(&b.Kind, "kind", "", "what it is: "+strings.Join(documentKinds(), ", ")+", or another word")
	f.StringVar(&b.Title, "title", "", "one line; the file's name if left out")
	f.StringVar(&b.ModelID, "model", "", "model that it is about")
	f.StringVar(&b.ModelVersion, "model-version", "", "version of the model that it is about")
	f.StringVar(&b.MediaType, "media-type", "", "guessed from the name if left out")
	f.StringVar(&b.Project, "project", "", "the model's, or yours, if left out")
	f.StringVar(&b.Classification, "classification", "", "who may know of it: "+strings.Join(caos.Classifications(), ", "))
	words(c, "kind", documentKinds())
	words(c, "classification", caos.Classifications())
	_ = c.MarkFlagRequired("id")
	_ = c.MarkFlagRequired("kind")
	return c
}

// checkDocument refuses ids of the wrong form before anything is uploaded.
func checkDocument(b *httpapi.NewDocumentBody) error {
	for _, id := range []struct{ kind, field, value string }{
		{"document", "id", b.DocumentID}, {"model", "model", b.ModelID}, {"version", "model-version", b.ModelVersion},
	} {
		if id.value == "" && id.field != "id" {
			continue
		}
		if err := caos.CheckID(id.kind, id.field, id.value); err != nil {
			return err
		}
	}
	if b.ModelVersion != "" && b.ModelID == "" {
		return usage("a version of no model").WithField("model-version").WithHint("name the model with --model")
	}
	return nil
}

func documentHead() []string {
	return []string{"document", "version", "kind", "status", "states", "about", "registered by", "title"}
}

// documentDrop are the columns that a narrow terminal does without.
func documentDrop() []string { return []string{"registered by", "about", "states", "version"} }

func documentRow(d registry.Document) []string {
	return []string{d.DocumentID, d.Version, d.Kind, string(d.Status), orDash(d.Stated), orDash(about(d.ModelID, d.ModelVersion)), d.RegisteredBy, d.Title}
}

// about names a model or a version of it.
func about(model, version string) string {
	if version == "" {
		return model
	}
	return model + "@" + version
}

func documentList(e *environment) *cobra.Command {
	l := listed[registry.Document]{path: "/v1/documents", head: documentHead(), drop: documentDrop(), row: documentRow}
	var kind, status, model, version, project string
	var all bool
	c := &cobra.Command{
		Use: "list", Short: "List documents, latest first", Args: noArgs,
		Example: "  caos document list --model NN-DLY-001 --model-version 1.0.0 --kind vv-report",
		RunE: func(c *cobra.Command, _ []string) error {
			l.query = query("kind", kind, "status", strings.ToUpper(status), "model_id", model, "model_version", version, "project", project)
			if !all && status == "" {
				l.query.Set("latest", "true")
			}
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	f := c.Flags()
	f.StringVar(&kind, "kind", "", "of this kind")
	f.StringVar(&status, "status", "", "that is REGISTERED, APPROVED, REJECTED or SUPERSEDED")
	f.StringVar(&model, "model", "", "about this model")
	f.StringVar(&version, "model-version", "", "about this version of it")
	f.StringVar(&project, "project", "", "of this project")
	f.BoolVar(&all, "superseded", false, "those that were superseded too")
	words(c, "kind", documentKinds())
	words(c, "status", []string{"REGISTERED", "APPROVED", "REJECTED", "SUPERSEDED"})
	return c
}

func documentShow(e *environment) *cobra.Command {
	var version string
	c := &cobra.Command{
		Use: "show DOCUMENT", Short: "Show a document, what was read out of it, and its versions", Args: wants("DOCUMENT"),
		RunE: func(c *cobra.Command, args []string) error {
			d, body, err := e.readDocument(c.Context(), args[0], version)
			if err != nil {
				return err
			}
			if e.machine() {
				return e.give(body, nil)
			}
			cl, err := e.connect()
			if err != nil {
				return err
			}
			versions, _, err := unpaged[registry.Document](c.Context(), cl, documentPath(args[0])+"/versions", nil)
			if err != nil {
				return err
			}
			e.document(d)
			if err := e.results(d); err != nil {
				return err
			}
			if len(versions) > 1 {
				e.line("")
				e.table([]string{"version", "status", "registered", "by", "digest"}, rowsOf(versions, func(d registry.Document) []string {
					return []string{d.Version, string(d.Status), moment(d.RegisteredAt), d.RegisteredBy, short(d.Digest)}
				}))
			}
			return nil
		},
	}
	c.Flags().StringVar(&version, "version", "", "of the document; the latest if left out")
	return c
}

func (e *environment) readDocument(ctx context.Context, id, version string) (*registry.Document, []byte, error) {
	if err := caos.CheckID("document", "document_id", id); err != nil {
		return nil, nil, err
	}
	return ask[registry.Document](ctx, e, getting(documentPath(id), query("version", version)))
}

// document writes a document for people.
func (e *environment) document(d *registry.Document) {
	e.pairs(pair{"document", d.DocumentID}, pair{"version", d.Version}, pair{"kind", d.Kind}, pair{"title", d.Title}, pair{"status", string(d.Status)},
		pair{"states", d.Stated}, pair{"about", about(d.ModelID, d.ModelVersion)}, pair{"digest", d.Digest}, pair{"is", strings.TrimSpace(bytesOf(d.Size) + " " + d.MediaType)},
		pair{"project", d.Project}, pair{"classification", d.Classification}, pair{"registered", byWhom(moment(d.RegisteredAt), d.RegisteredBy)},
		pair{"decided", byWhom(when(d.DecidedAt), d.DecidedBy)}, pair{"statement", d.Statement})
}

// results writes what was read out of a document.
func (e *environment) results(d *registry.Document) error {
	if len(d.Results) == 0 {
		return nil
	}
	read := func(v any) error {
		if err := json.Unmarshal(d.Results, v); err != nil {
			return caos.Wrap(caos.Internal, err, "what was read out of the document cannot be shown").WithHint("is this program as new as the server?")
		}
		return nil
	}
	switch d.Kind {
	case registry.KindVVReport:
		var r registry.VVReport
		if err := read(&r); err != nil {
			return err
		}
		e.line("")
		e.fitted([]string{"test", "result", "requirements", "title", "measured"}, rowsOf(r.Tests, func(t registry.VVTest) []string {
			return []string{t.TestID, t.Result, orDash(strings.Join(t.RequirementIDs, ", ")), t.Title, orDash(measured(t))}
		}), "title", "requirements")
	case registry.KindVVPlan:
		var p registry.VVPlan
		if err := read(&p); err != nil {
			return err
		}
		e.line("")
		e.table([]string{"requirement", "title"}, rowsOf(p.Requirements, func(r registry.VVRequirement) []string { return []string{r.RequirementID, r.Title} }))
	case registry.KindDefectList:
		var l registry.DefectList
		if err := read(&l); err != nil {
			return err
		}
		e.line("")
		e.table([]string{"defect", "severity", "status", "title"}, rowsOf(l.Defects, func(x registry.Defect) []string { return []string{x.DefectID, x.Severity, x.Status, x.Title} }))
	}
	return nil
}

// measured writes what a test measured, and against what: the figures first, because the name
// of the metric is what may be cut.
func measured(t registry.VVTest) string {
	if t.Value == nil {
		return ""
	}
	number := func(f float64) string { return strconv.FormatFloat(f, 'g', 6, 64) }
	s := number(*t.Value)
	if t.Threshold != nil {
		s += " " + t.Operator + " " + number(*t.Threshold)
	}
	if t.Unit != "" {
		s += " " + t.Unit
	}
	if t.Metric != "" {
		s += ", " + t.Metric
	}
	return s
}

func documentGet(e *environment) *cobra.Command {
	var out, version string
	var force bool
	c := &cobra.Command{
		Use: "get DOCUMENT --out FILE", Short: "Download a document", Args: wants("DOCUMENT"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := caos.CheckID("document", "document_id", args[0]); err != nil {
				return err
			}
			path := documentPath(args[0]) + "/content"
			if q := query("version", version); len(q) > 0 {
				path += "?" + q.Encode()
			}
			return e.download(c.Context(), path, out, force)
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to write, - for standard output")
	c.Flags().StringVar(&version, "version", "", "of the document; the latest if left out")
	c.Flags().BoolVar(&force, "force", false, "write over a file that exists")
	_ = c.MarkFlagRequired("out")
	return c
}

func documentDecide(e *environment, use, title string, approve bool) *cobra.Command {
	b := httpapi.DocumentDecisionBody{Approve: approve}
	short, example := title, "  caos document approve 95-00-07-02-001 --statement 'Hazards and mitigations are complete'"
	if !approve {
		example = "  caos document reject 95-00-07-02-001 --statement 'Hazard 3 has no mitigation'"
	}
	c := &cobra.Command{
		Use: use + " DOCUMENT --statement TEXT", Short: short, Args: wants("DOCUMENT"), Example: example,
		Long: title + ": its latest version, unless --version says which one you have read; another one is then refused. " +
			"Neither who registered it nor the owner of its model decides. It needs a second factor.",
		RunE: func(c *cobra.Command, args []string) error {
			if b.Version == "" {
				latest, _, err := e.readDocument(c.Context(), args[0], "")
				if err != nil {
					return err
				}
				b.Version = latest.Version
			} else if err := caos.CheckID("document", "document_id", args[0]); err != nil {
				return err
			}
			d, body, err := ask[registry.Document](c.Context(), e, posting(documentPath(args[0])+"/decision", b))
			if err != nil {
				return err
			}
			return e.give(body, func() {
				e.line("%s %s is %s", d.DocumentID, d.Version, e.paint.word(string(d.Status)))
				if d.Statement != "" {
					e.line("%s", e.paint.dim(fmt.Sprintf("%s: %s", d.DecidedBy, clean(d.Statement))))
				}
			})
		},
	}
	c.Flags().StringVar(&b.Statement, "statement", "", "why")
	c.Flags().StringVar(&b.Version, "version", "", "version that you have read; the latest if left out")
	if !approve {
		_ = c.MarkFlagRequired("statement")
	}
	return c
}
