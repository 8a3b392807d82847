package main

import (
	"encoding/json"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"caos/internal/registry"
)

func newIndustrialisation(e *environment) *cobra.Command {
	return parent("industrialisation", "See how versions come into production", append([]*cobra.Command{industrialisationList(e)},
		completed(e.versions, industrialisationShow(e), industrialisationUpdate(e))...)...)
}

func industrialisationPath(model, version string) string {
	return "/v1/industrialisation/" + escape(model) + "/" + escape(version)
}

func phases() []string { return []string{"PLANNING", "PREPARATION", "VALIDATION", "PRODUCTION"} }

func industrialisationList(e *environment) *cobra.Command {
	l := listed[registry.Industrialisation]{path: "/v1/industrialisation", head: []string{"model", "version", "phase", "ready", "release", "platforms"},
		row: func(x registry.Industrialisation) []string {
			return []string{x.ModelID, x.Version, string(x.Phase), yesNo(x.ProductionReady), orDash(x.ReleaseTarget), strings.Join(x.TargetPlatforms, ", ")}
		}}
	var model, phase string
	c := &cobra.Command{
		Use: "list", Short: "List the records, latest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l.query = query("model_id", model, "phase", strings.ToUpper(phase))
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	c.Flags().StringVar(&model, "model", "", "of this model")
	c.Flags().StringVar(&phase, "phase", "", "in the phase "+strings.Join(phases(), ", "))
	words(c, "phase", phases())
	return c
}

func industrialisationShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "show MODEL@VERSION", Short: "Show a record, with what imports have left in it", Args: wants("MODEL@VERSION"),
		RunE: func(c *cobra.Command, args []string) error {
			model, version, err := modelVersion(args[0])
			if err != nil {
				return err
			}
			x, body, err := ask[registry.Industrialisation](c.Context(), e, getting(industrialisationPath(model, version), nil))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.industrialisation(x) })
		},
	}
}

func industrialisationUpdate(e *environment) *cobra.Command {
	fields := []string{"phase", "target-platforms", "release-target", "checklist-template"}
	c := &cobra.Command{
		Use: "update MODEL@VERSION", Short: "Plan how a version comes into production", Args: wants("MODEL@VERSION"),
		Long:    "Changes the record, and opens it if there is none. Whether the version is ready for production is found by its readiness review alone.",
		Example: "  caos industrialisation update NN-DLY-001@1.0.0 --phase PREPARATION --release-target 2027-Q1",
		RunE: func(c *cobra.Command, args []string) error {
			model, version, err := modelVersion(args[0])
			if err != nil {
				return err
			}
			change := given(c, fields...)
			if len(change) == 0 {
				return usage("nothing is to be changed").WithHint("give at least one of %s", flagsOf(fields))
			}
			x, body, err := ask[registry.Industrialisation](c.Context(), e, patching(industrialisationPath(model, version), change, ""))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.industrialisation(x) })
		},
	}
	f := c.Flags()
	f.String("phase", "", "where it stands: "+strings.Join(phases(), ", "))
	f.StringSlice("target-platforms", nil, "all platforms that it is for")
	f.String("release-target", "", "when, such as 2027-Q1")
	f.String("checklist-template", "", "document id of the readiness checklist")
	words(c, "phase", phases())
	return c
}

func (e *environment) industrialisation(x *registry.Industrialisation) {
	e.pairs(pair{"version", about(x.ModelID, x.Version)}, pair{"phase", string(x.Phase)}, pair{"ready", yesNo(x.ProductionReady)}, pair{"release", x.ReleaseTarget},
		pair{"platforms", strings.Join(x.TargetPlatforms, ", ")}, pair{"checklist", x.ChecklistTemplate}, pair{"project", x.Project}, pair{"classification", x.Classification},
		pair{"opened by", x.OpenedBy}, pair{"execution", x.ExecutionID})
	names := make([]string, 0, len(x.Sections))
	for name := range x.Sections {
		names = append(names, name)
	}
	sort.Strings(names)
	for i, name := range names {
		if i == 0 {
			e.line("")
			e.line("%s", e.paint.bold("kept from imports"))
		}
		e.line("  %s  %s", clean(name), e.paint.dim(bytesOf(int64(len(x.Sections[name])))+entriesOf(x.Sections[name])))
	}
}

// entriesOf counts what a section has, if it is a list.
func entriesOf(raw json.RawMessage) string {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return ""
	}
	return ", " + plural(len(list), "entry", "entries")
}
