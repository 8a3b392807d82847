package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"caos/internal/readiness"
)

func newCatalogue(e *environment) *cobra.Command {
	return parent("catalogue", "See the objectives that authorities publish", catalogueList(e),
		completed(e.ids("/v1/objective-catalogues", "catalogue_id", "title"), catalogueShow(e))[0])
}

func catalogueList(e *environment) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the catalogues of objectives", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			items, body, err := unpaged[readiness.Catalogue](c.Context(), cl, "/v1/objective-catalogues", nil)
			if err != nil {
				return err
			}
			return e.give(body, func() {
				e.table([]string{"catalogue", "version", "objectives", "title"}, rowsOf(items, func(x readiness.Catalogue) []string {
					return []string{x.CatalogueID, x.Version, number(len(x.Objectives)), x.Title}
				}))
			})
		}}
}

func catalogueShow(e *environment) *cobra.Command {
	var chapter string
	c := &cobra.Command{
		Use: "show CATALOGUE", Short: "Show the objectives of a catalogue", Args: wants("CATALOGUE"),
		RunE: func(c *cobra.Command, args []string) error {
			x, body, err := ask[readiness.Catalogue](c.Context(), e, getting("/v1/objective-catalogues/"+escape(args[0]), nil))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.catalogue(x, chapter) })
		},
	}
	c.Flags().StringVar(&chapter, "chapter", "", "only the objectives of this chapter")
	return c
}

func (e *environment) catalogue(x *readiness.Catalogue, chapter string) {
	e.line("%s %s  %s", e.paint.bold(clean(x.CatalogueID)), clean(x.Version), clean(x.Title))
	e.flow("  ", "  ", clean(x.Source), e.paint.dim)
	e.flow("  ", "  ", clean(x.Note), e.paint.warn)
	if x.Checked != "" {
		e.flow("  ", "  ", clean("✓ "+x.Checked), e.paint.dim)
	}
	last, n := "", 0
	for _, o := range x.Objectives {
		if chapter != "" && o.Chapter != chapter {
			continue
		}
		if o.Chapter != last {
			last = o.Chapter
			e.line("")
			e.line("%s", e.paint.accent(clean(last)))
		}
		n++
		mark := " "
		if o.Checked {
			mark = e.paint.good("✓")
		}
		e.flow(fmt.Sprintf("  %s %s ", mark, e.paint.bold(padded(clean(o.ID), 8))), "              ", clean(o.Title), asIs)
	}
	if n == 0 {
		e.line("%s", e.paint.dim("none"))
	}
}
