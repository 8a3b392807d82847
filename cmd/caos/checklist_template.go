package main

import (
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"caos/internal/client"
	"caos/internal/readiness"
)

// maxTemplate is the most that the server reads as a template.
const maxTemplate = 256 << 10

func newTemplate(e *environment) *cobra.Command {
	return parent("template", "See checklist templates and register your own", templateList(e),
		completed(e.ids("/v1/checklist-templates", "template_id", "title"), templateShow(e))[0], templateRegister(e))
}

func templatePath(id string) string { return "/v1/checklist-templates/" + escape(id) }

func templateList(e *environment) *cobra.Command {
	l := listed[readiness.Template]{path: "/v1/checklist-templates", head: []string{"template", "version", "items", "critical", "registered", "title"}, drop: []string{"registered", "critical"},
		row: func(x readiness.Template) []string {
			items, critical := 0, 0
			for _, g := range x.Groups {
				for _, i := range g.Items {
					if items++; i.Criticality != readiness.MinorItem {
						critical++
					}
				}
			}
			return []string{x.TemplateID, x.Version, number(items), number(critical), byWhom(moment(x.RegisteredAt), x.RegisteredBy), x.Title}
		}}
	c := &cobra.Command{Use: "list", Short: "List checklist templates", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return l.show(c.Context(), e) }}
	l.page.bind(c)
	return c
}

func templateShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "show TEMPLATE", Short: "Show the questions of a checklist template", Args: wants("TEMPLATE"),
		RunE: func(c *cobra.Command, args []string) error {
			x, body, err := ask[readiness.Template](c.Context(), e, getting(templatePath(args[0]), nil))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.template(x) })
		},
	}
}

func (e *environment) template(x *readiness.Template) {
	e.pairs(pair{"template", x.TemplateID}, pair{"version", x.Version}, pair{"title", x.Title}, pair{"source", x.Source}, pair{"digest", x.Digest},
		pair{"registered", byWhom(moment(x.RegisteredAt), x.RegisteredBy)})
	for _, g := range x.Groups {
		e.line("")
		e.line("%s  %s", e.paint.accent(clean(g.ID)), e.paint.bold(clean(g.Title)))
		for _, i := range g.Items {
			mark := " "
			if i.Criticality != readiness.MinorItem {
				mark = e.paint.bad("!")
			}
			e.flow("  "+mark+" "+padded(clean(i.ItemID), 5), "         ", clean(i.Title), e.paint.bold)
			e.flow("         ", "         ", clean(i.Question), asIs)
			var more []string
			for _, p := range []pair{{"usually", i.OwnerRole}, {"shown by", i.EvidenceHint}, {"CAOS knows", i.Fact}} {
				if p.value != "" {
					more = append(more, p.name+" "+clean(p.value))
				}
			}
			if len(more) > 0 {
				e.flow("         ", "         ", strings.Join(more, "; "), e.paint.dim)
			}
		}
	}
	e.line("")
	e.line("%s", e.paint.dim("! an open item allows no approval; the others at most a conditional one"))
}

func templateRegister(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "register FILE", Short: "Register a checklist template, or a new version of one", Args: wants("FILE"),
		Long:    "Registers a template: YAML or JSON of a strict form, of which every mistake is named. Checklists that are open keep the version that they were made from.",
		Example: "  caos checklist template show 95-00-09-01-005 -o yaml\n  caos checklist template register ours.yaml",
		RunE: func(c *cobra.Command, args []string) error {
			text, err := e.readInput(args[0], maxTemplate)
			if err != nil {
				return err
			}
			kind := "application/json"
			if isYAML(args[0], text) {
				kind = "application/yaml"
			}
			x, body, err := ask[readiness.Template](c.Context(), e, client.Call{Method: http.MethodPost, Path: "/v1/checklist-templates", Header: http.Header{"Content-Type": {kind}}, Body: text})
			if err != nil {
				return err
			}
			return e.give(body, func() { e.template(x) })
		},
	}
}
