package main

import (
	"bytes"
	"encoding/json"

	"github.com/spf13/cobra"

	"caos/internal/registry"
)

func newStatement(e *environment) *cobra.Command {
	return parent("statement", "See what imported files state", statementList(e), statementShow(e))
}

func statementList(e *environment) *cobra.Command {
	l := listed[registry.Statement]{path: "/v1/statements", head: []string{"statement", "kind", "subject", "section", "imported", "file"}, drop: []string{"imported", "file"},
		row: func(s registry.Statement) []string {
			return []string{s.StatementID, s.Kind, orDash(s.Subject), s.Section, moment(s.ImportedAt), s.SourceName}
		}}
	var file, subject, section, kind string
	var ended bool
	c := &cobra.Command{
		Use: "list", Short: "List statements, latest first", Args: noArgs,
		Example: "  caos statement list --subject NN-FCS-001@2.1.0",
		RunE: func(c *cobra.Command, _ []string) error {
			l.query = query("source_name", file, "subject", subject, "section", section, "kind", kind)
			if ended {
				l.query.Set("ended", "true")
			}
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	f := c.Flags()
	f.StringVar(&file, "file", "", "of the file with this name")
	f.StringVar(&subject, "subject", "", "about this")
	f.StringVar(&section, "section", "", "of this section of a file")
	f.StringVar(&kind, "kind", "", "such as model, baseline, link or readiness-item")
	f.BoolVar(&ended, "ended", false, "also those that a later state of the file took back")
	return c
}

func statementShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "show STATEMENT", Short: "Show a statement with the words of the file", Args: wants("STATEMENT"),
		RunE: func(c *cobra.Command, args []string) error {
			s, body, err := ask[registry.Statement](c.Context(), e, getting("/v1/statements/"+escape(args[0]), nil))
			if err != nil {
				return err
			}
			return e.give(body, func() {
				e.pairs(pair{"statement", s.StatementID}, pair{"about", s.Subject}, pair{"kind", s.Kind}, pair{"file", s.SourceName}, pair{"digest", s.SourceDigest},
					pair{"section", s.Section}, pair{"place", s.Pointer}, pair{"imported", byWhom(moment(s.ImportedAt), s.ImportedBy)}, pair{"ended", when(s.EndedAt)},
					pair{"now said by", s.SupersededBy}, pair{"project", s.Project}, pair{"classification", s.Classification})
				e.line("")
				e.words(s.Body)
			})
		},
	}
}

// words writes JSON of strangers, indented, without what a terminal would obey.
func (e *environment) words(raw json.RawMessage) {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return
	}
	for line := range bytes.Lines(b.Bytes()) {
		e.line("%s", clean(string(bytes.TrimRight(line, "\n"))))
	}
}
