package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
	"caos/internal/httpapi"
	"caos/internal/registry"
)

func newChange(e *environment) *cobra.Command {
	named := completed(e.ids("/v1/changes", "change_id", "title"), changeShow(e), changeUpdate(e),
		changeDecide(e, "approve", "Approve a change", true), changeDecide(e, "reject", "Reject a change", false), changeClose(e))
	return parent("change", "Ask for changes to models, decide and close them", append(append(completed(e.ids("/v1/models", "model_id", "name"), changeCreate(e)), changeList(e)), named...)...)
}

func changePath(id string) string { return "/v1/changes/" + escape(id) }

func changeCreate(e *environment) *cobra.Command {
	var b httpapi.NewChangeBody
	c := &cobra.Command{
		Use: "create MODEL --title TITLE --class CLASS", Short: "Ask for a change to a model", Args: wants("MODEL"),
		Long:    "Asks for a change. Whoever wrote or owned it neither approves nor closes it.",
		Example: "  caos change create NN-DLY-001 --title 'Retrain on spring data' --class Major --baseline BL-DLY-1.0.0 --safety-impact none",
		RunE: func(c *cobra.Command, args []string) error {
			if b.ModelID = args[0]; b.Class != "" {
				b.Class = strings.ToUpper(b.Class[:1]) + strings.ToLower(b.Class[1:])
			}
			if err := caos.CheckID("model", "model_id", b.ModelID); err != nil {
				return err
			}
			if err := oneOf("class", b.Class, registry.ChangeClasses()...); err != nil {
				return err
			}
			if err := checkBaselines(b.Baselines); err != nil {
				return err
			}
			return e.changed(c.Context(), posting("/v1/changes", b))
		},
	}
	f := c.Flags()
	f.StringVar(&b.Title, "title", "", "what is to change, in one line")
	f.StringVar(&b.Class, "class", "", "how much it is: "+strings.Join(registry.ChangeClasses(), ", "))
	f.StringVar(&b.ChangeID, "id", "", "such as CHG-DLY-1; the model's next number if left out")
	f.StringVar(&b.Description, "description", "", "in a paragraph")
	f.StringSliceVar(&b.Baselines, "baseline", nil, "baseline that it affects")
	f.StringVar(&b.Impact, "impact", "", "in words")
	f.StringVar(&b.SafetyImpact, "safety-impact", "", "in words")
	f.StringVar(&b.CertificationImpact, "certification-impact", "", "in words")
	f.StringVar(&b.Owner, "owner", "", "account that sees to it; yours if left out")
	f.StringVar(&b.Classification, "classification", "", "the model's if left out")
	words(c, "class", registry.ChangeClasses())
	words(c, "classification", caos.Classifications())
	_ = c.MarkFlagRequired("title")
	_ = c.MarkFlagRequired("class")
	return c
}

// checkBaselines refuses what is no id of a baseline.
func checkBaselines(ids []string) error {
	for _, id := range ids {
		if _, _, err := registry.ParseBaselineID(id); err != nil {
			return usage("%q is not a baseline id", id).WithField("baseline").WithHint("a baseline id looks like BL-FCS-2.1.0; caos baseline list")
		}
	}
	return nil
}

// changed sends what makes or ends a change, and shows the change.
func (e *environment) changed(ctx context.Context, call client.Call) error {
	x, body, err := ask[registry.Change](ctx, e, call)
	if err != nil {
		return err
	}
	return e.give(body, func() { e.changeRequest(x) })
}

func (e *environment) changeRequest(x *registry.Change) {
	e.pairs(pair{"change", x.ChangeID}, pair{"title", x.Title}, pair{"class", string(x.Class)}, pair{"status", string(x.Status)}, pair{"model", x.ModelID},
		pair{"baselines", strings.Join(x.Baselines, ", ")}, pair{"description", x.Description}, pair{"impact", x.Impact}, pair{"safety impact", x.SafetyImpact},
		pair{"certification impact", x.CertificationImpact}, pair{"owner", x.Owner}, pair{"project", x.Project}, pair{"classification", x.Classification},
		pair{"raised", byWhom(moment(x.CreatedAt), x.CreatedBy)}, pair{"decided", byWhom(when(x.DecidedAt), x.DecidedBy)},
		pair{"closed", byWhom(when(x.ClosedAt), x.ClosedBy)}, pair{"evidence", strings.Join(x.Evidence, ", ")}, pair{"statement", x.Statement})
}

func changeList(e *environment) *cobra.Command {
	l := listed[registry.Change]{path: "/v1/changes", head: []string{"change", "class", "status", "model", "owner", "raised", "title"}, drop: []string{"raised", "owner"}, row: func(x registry.Change) []string {
		return []string{x.ChangeID, string(x.Class), string(x.Status), x.ModelID, x.Owner, moment(x.CreatedAt), x.Title}
	}}
	var model, owner, status, class string
	c := &cobra.Command{
		Use: "list", Short: "List changes, latest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l.query = query("model_id", model, "owner", owner, "status", strings.ToUpper(status), "class", class)
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	f := c.Flags()
	f.StringVar(&model, "model", "", "to this model")
	f.StringVar(&owner, "owner", "", "of this account")
	f.StringVar(&status, "status", "", "that is OPEN, APPROVED, REJECTED or CLOSED")
	f.StringVar(&class, "class", "", "of class "+strings.Join(registry.ChangeClasses(), ", "))
	words(c, "status", []string{"OPEN", "APPROVED", "REJECTED", "CLOSED"})
	words(c, "class", registry.ChangeClasses())
	return c
}

func changeShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "show CHANGE", Short: "Show a change", Args: wants("CHANGE"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.changed(c.Context(), getting(changePath(args[0]), nil))
		},
	}
}

func changeUpdate(e *environment) *cobra.Command {
	fields := []string{"title", "class", "description", "impact", "safety-impact", "certification-impact", "owner", "baselines"}
	c := &cobra.Command{
		Use: "update CHANGE", Short: "Edit a change that nobody decided about yet", Args: wants("CHANGE"),
		Example: "  caos change update CHG-DLY-1 --impact 'Estimates shift by less than a minute'",
		RunE: func(c *cobra.Command, args []string) error {
			body := given(c, fields...)
			if len(body) == 0 {
				return usage("nothing is to be changed").WithHint("give at least one of %s", flagsOf(fields))
			}
			return e.changed(c.Context(), patching(changePath(args[0]), body, ""))
		},
	}
	f := c.Flags()
	f.String("title", "", "what is to change, in one line")
	f.String("class", "", "how much it is: "+strings.Join(registry.ChangeClasses(), ", "))
	f.String("description", "", "in a paragraph")
	f.String("impact", "", "in words")
	f.String("safety-impact", "", "in words")
	f.String("certification-impact", "", "in words")
	f.String("owner", "", "account that sees to it")
	f.StringSlice("baselines", nil, "all baselines that it affects")
	words(c, "class", registry.ChangeClasses())
	return c
}

func changeDecide(e *environment, use, title string, approve bool) *cobra.Command {
	b := httpapi.VerdictBody{Approve: approve}
	c := &cobra.Command{
		Use: use + " CHANGE --statement TEXT", Short: title, Args: wants("CHANGE"), Long: title + ". Never by who wrote or owned it.",
		RunE: func(c *cobra.Command, args []string) error {
			return e.changed(c.Context(), posting(changePath(args[0])+"/decision", b))
		},
	}
	c.Flags().StringVar(&b.Statement, "statement", "", "why")
	_ = c.MarkFlagRequired("statement")
	return c
}

func changeClose(e *environment) *cobra.Command {
	return closing("close CHANGE --evidence ID", "CHANGE", "End an approved change with evidence that it was done", "  caos change close CHG-DLY-1 --evidence 95-00-07-01-001 --statement 'Verified on release 1.1.0'",
		func(ctx context.Context, id string, b httpapi.ClosingBody) error {
			return e.changed(ctx, posting(changePath(id)+"/close", b))
		})
}

// closing makes the command that ends a change or a problem report.
func closing(use, word, title, example string, do func(context.Context, string, httpapi.ClosingBody) error) *cobra.Command {
	var b httpapi.ClosingBody
	c := &cobra.Command{
		Use: use, Short: title, Args: wants(word), Example: example,
		Long: title + ": documents, items of evidence or audit records that you can see. Never by who wrote or owned it.",
		RunE: func(c *cobra.Command, args []string) error { return do(c.Context(), args[0], b) },
	}
	c.Flags().StringSliceVar(&b.Evidence, "evidence", nil, "id of what shows it")
	c.Flags().StringVar(&b.Statement, "statement", "", "how it was resolved")
	_ = c.MarkFlagRequired("evidence")
	return c
}
