package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/httpapi"
	"caos/internal/readiness"
)

func newPlan(e *environment) *cobra.Command {
	named := completed(e.ids("/v1/certification-plans", "plan_id", "title"), planShow(e))
	return parent("plan", "Plan what is shown to the authority (certification plan)", append([]*cobra.Command{
		completed(e.ids("/v1/models", "model_id", "name"), planCreate(e))[0], planList(e), completed(e.planObjectives, planSet(e))[0],
	}, named...)...)
}

func planPath(id string) string { return "/v1/certification-plans/" + escape(id) }

// planObjectives completes a plan, and then an objective of it.
func (e *environment) planObjectives(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return e.ids("/v1/certification-plans", "plan_id", "title")(c, args, typed)
	}
	x, _, err := ask[readiness.CertificationPlan](c.Context(), e, getting(planPath(args[0]), nil))
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []cobra.Completion
	for _, o := range x.Objectives {
		out = append(out, cobra.CompletionWithDesc(clean(o.ID), clean(o.Title)))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func planCreate(e *environment) *cobra.Command {
	var b httpapi.NewPlanBody
	c := &cobra.Command{
		Use: "create MODEL", Short: "Open a certification plan of a model from a catalogue of objectives", Args: wants("MODEL"),
		Long:    "Opens a plan with every objective of the catalogue, applicable and open. Say of each with caos plan set how it is met, or that it does not apply.",
		Example: "  caos plan create NN-DLY-001 --catalogue easa-cp-02 --regime EASA_CS-25",
		RunE: func(c *cobra.Command, args []string) error {
			b.ModelID = args[0]
			if err := caos.CheckID("model", "model_id", b.ModelID); err != nil {
				return err
			}
			x, body, err := ask[httpapi.PlanView](c.Context(), e, posting("/v1/certification-plans", b))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.certificationPlan(x.CertificationPlan) })
		},
	}
	f := c.Flags()
	f.StringVar(&b.CatalogueID, "catalogue", "easa-cp-02", "catalogue of objectives")
	f.StringVar(&b.CatalogueVersion, "catalogue-version", "", "the newest if left out")
	f.StringVar(&b.Regime, "regime", "", "rules that it is certified under; the model's if left out")
	f.StringVar(&b.Title, "title", "", "in one line")
	f.StringVar(&b.PlanID, "id", "", "such as CPLAN-DLY-1; the model's next number if left out")
	_ = c.RegisterFlagCompletionFunc("catalogue", e.flagIDs("/v1/objective-catalogues", "catalogue_id", "title"))
	return c
}

func planList(e *environment) *cobra.Command {
	l := listed[readiness.CertificationPlan]{path: "/v1/certification-plans", head: []string{"plan", "model", "regime", "catalogue", "opened", "title"}, drop: []string{"opened", "regime"},
		row: func(x readiness.CertificationPlan) []string {
			return []string{x.PlanID, x.ModelID, x.Regime, x.CatalogueID + " " + x.CatalogueVersion, moment(x.CreatedAt), x.Title}
		}}
	var model, catalogue string
	c := &cobra.Command{Use: "list", Short: "List certification plans, latest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l.query = query("model_id", model, "catalogue_id", catalogue)
			return l.show(c.Context(), e)
		}}
	l.page.bind(c)
	c.Flags().StringVar(&model, "model", "", "of this model")
	c.Flags().StringVar(&catalogue, "catalogue", "", "made from this catalogue")
	return c
}

func planShow(e *environment) *cobra.Command {
	var only string
	c := &cobra.Command{
		Use: "show PLAN", Short: "Show a certification plan: what still lacks evidence first", Args: wants("PLAN"),
		Example: "  caos plan show CPLAN-DLY-1\n  caos plan show CPLAN-DLY-1 --objective DM-06",
		RunE: func(c *cobra.Command, args []string) error {
			x, body, err := ask[httpapi.PlanView](c.Context(), e, getting(planPath(args[0]), nil))
			if err != nil {
				return err
			}
			if only == "" {
				return e.give(body, func() { e.certificationPlan(x.CertificationPlan) })
			}
			at := slices.IndexFunc(x.Objectives, func(o *readiness.PlannedObjective) bool { return o.ID == only })
			if at < 0 {
				return caos.Errorf(caos.NotFound, "%s has no objective %q", x.PlanID, only).WithField("objective").WithHint("caos plan show %s lists them", x.PlanID)
			}
			return e.giveValue(x.Objectives[at], func() { e.objective(x.Objectives[at]) })
		},
	}
	c.Flags().StringVar(&only, "objective", "", "only this one, with all that is said of it")
	return c
}

// certificationPlan writes a plan: how much is shown, then its objectives, those without evidence first.
func (e *environment) certificationPlan(x *readiness.CertificationPlan) {
	c := readiness.PlanCoverage(x)
	e.line("%s  %s", e.paint.bold(clean(x.PlanID)), clean(x.Title))
	e.line("%s", e.paint.dim(clean(fmt.Sprintf("%s, %s, %s %s, opened %s by %s", x.ModelID, orDash(x.Regime), x.CatalogueID, x.CatalogueVersion, day(x.CreatedAt), x.CreatedBy))))
	e.line("")
	e.line("%s  %s have evidence, %d shown, %d do not apply", e.gauge(c.WithEvidence, c.Applicable), ratio(c.WithEvidence, c.Applicable), c.Shown, len(c.NotApplicable))
	e.line("")
	list := slices.Clone(x.Objectives)
	order := func(o *readiness.PlannedObjective) int {
		switch {
		case !o.Applicable:
			return 3
		case len(o.Evidence) == 0:
			return 0
		case o.Status != readiness.ObjectiveShown:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(list, func(a, b *readiness.PlannedObjective) int { return order(a) - order(b) })
	rows := rowsOf(list, func(o *readiness.PlannedObjective) []string {
		status, evidence := string(o.Status), number(len(o.Evidence))
		if !o.Applicable {
			status, evidence = "n/a", "-"
		}
		return []string{o.ID, status, evidence, orDash(o.Owner), orDash(o.Means), o.Title}
	})
	for i := range rows {
		rows[i][4] = cut(clean(rows[i][4]), 28)
	}
	e.fitted([]string{"objective", "status", "evidence", "owner", "means", "title"}, rows, "means", "owner")
}

func (e *environment) objective(o *readiness.PlannedObjective) {
	e.line("%s  %s", e.paint.bold(clean(o.ID)), clean(o.Title))
	e.pairs(pair{"chapter", o.Chapter}, pair{"applies", yesNo(o.Applicable)}, pair{"justification", o.Justification}, pair{"means", o.Means}, pair{"status", string(o.Status)},
		pair{"owner", o.Owner}, pair{"requirements", strings.Join(o.RequirementIDs, ", ")}, pair{"evidence", strings.Join(o.Evidence, ", ")},
		pair{"changed", byWhom(moment(o.UpdatedAt), o.UpdatedBy)}, pair{"revision", strconv.FormatInt(o.Revision, 10)})
}

func planSet(e *environment) *cobra.Command {
	var no, yes bool
	var revision string
	fields := []string{"justification", "means", "owner", "status", "requirement", "evidence"}
	c := &cobra.Command{
		Use: "set PLAN OBJECTIVE…", Short: "Plan how objectives are shown, or say that they do not apply", Args: wants("PLAN", "OBJECTIVE…"),
		Long: "Says the same of every objective that is named, one after the other; what is not given is left as it is. An applicable objective without evidence keeps a review from approving.",
		Example: "  caos plan set CPLAN-DLY-1 DM-06 --means 'Data quality report' --owner vera --evidence 95-00-07-01-001 --status SHOWN\n" +
			"  caos plan set CPLAN-DLY-1 LM-12 LM-13 --not-applicable --justification 'No pruning is done'",
		RunE: func(c *cobra.Command, args []string) error {
			body := given(c, fields...)
			if v, ok := body["requirement"]; ok {
				body["requirement_ids"] = v
				delete(body, "requirement")
			}
			if no || yes {
				body["applicable"] = yes
			}
			if s, ok := body["status"].(string); ok {
				body["status"] = strings.ToUpper(s)
				if err := oneOf("status", strings.ToUpper(s), readiness.ObjectiveStatuses()...); err != nil {
					return err
				}
			}
			if len(body) == 0 {
				return usage("nothing is to be changed").WithHint("give at least one of %s", flagsOf(append(fields, "not-applicable")))
			}
			if len(args) > 2 && revision != "" {
				return usage("each objective has a revision of its own").WithField("revision").WithHint("leave --revision out, or name one objective")
			}
			return e.setObjectives(c.Context(), args[0], args[1:], body, revision)
		},
	}
	f := c.Flags()
	f.String("means", "", "of compliance, in words")
	f.String("owner", "", "account that sees to it")
	f.String("status", "", "how far it is: "+strings.Join(readiness.ObjectiveStatuses(), ", "))
	f.StringSlice("requirement", nil, "id of a requirement that covers it; all of them")
	f.StringSlice("evidence", nil, "id of what shows it; all of them")
	f.String("justification", "", "why it does not apply")
	f.BoolVar(&no, "not-applicable", false, "it does not apply to the model")
	f.BoolVar(&yes, "applicable", false, "it does apply")
	f.StringVar(&revision, "revision", "", "only if the objective is still as it was at this revision")
	c.MarkFlagsMutuallyExclusive("applicable", "not-applicable")
	words(c, "status", readiness.ObjectiveStatuses())
	return c
}

// setObjectives says the same of each objective. It stops at the first that is refused; those
// before it stay said, and the error names which one it was.
func (e *environment) setObjectives(ctx context.Context, plan string, ids []string, body map[string]any, revision string) error {
	done := make([]*readiness.PlannedObjective, 0, len(ids))
	for _, id := range ids {
		x, answer, err := ask[readiness.PlannedObjective](ctx, e, patching(planPath(plan)+"/objectives/"+escape(id), body, revision))
		if err != nil {
			if len(ids) > 1 {
				return fmt.Errorf("%s, after %s: %w", clean(id), plural(len(done), "objective", "objectives"), err)
			}
			return err
		}
		if len(ids) == 1 {
			return e.give(answer, func() { e.objective(x) })
		}
		done = append(done, x)
	}
	return e.giveValue(done, func() { e.line("%s of %s set", plural(len(done), "objective", "objectives"), clean(plan)) })
}
