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

func newProblem(e *environment) *cobra.Command {
	named := completed(e.ids("/v1/problem-reports", "problem_id", "title"), problemShow(e), problemUpdate(e), problemClose(e))
	return parent("problem", "Report problems of models and close them", append(append(completed(e.ids("/v1/models", "model_id", "name"), problemCreate(e)), problemList(e)), named...)...)
}

func problemPath(id string) string { return "/v1/problem-reports/" + escape(id) }

func severities() []string { return []string{"CRITICAL", "HIGH", "MEDIUM", "LOW"} }

func problemCreate(e *environment) *cobra.Command {
	var b httpapi.NewProblemBody
	c := &cobra.Command{
		Use: "create MODEL --title TITLE --severity SEVERITY", Short: "Report a problem of a model", Args: wants("MODEL"),
		Long:    "Reports a problem. While one of severity CRITICAL or HIGH is open, no version that has it is frozen. Whoever wrote or owned it does not close it.",
		Example: "  caos problem create NN-DLY-001 --title 'Estimates below zero at night' --severity HIGH --impact 'Advisory display'",
		RunE: func(c *cobra.Command, args []string) error {
			b.ModelID, b.Severity = args[0], strings.ToUpper(b.Severity)
			if err := caos.CheckID("model", "model_id", b.ModelID); err != nil {
				return err
			}
			if err := oneOf("severity", b.Severity, severities()...); err != nil {
				return err
			}
			if err := checkBaselines(b.Baselines); err != nil {
				return err
			}
			return e.problemReported(c.Context(), posting("/v1/problem-reports", b))
		},
	}
	f := c.Flags()
	f.StringVar(&b.Title, "title", "", "what is wrong, in one line")
	f.StringVar(&b.Severity, "severity", "", "how bad it is: "+strings.Join(severities(), ", "))
	f.StringVar(&b.ProblemID, "id", "", "such as PR-DLY-1; the model's next number if left out")
	f.StringVar(&b.Description, "description", "", "in a paragraph")
	f.StringSliceVar(&b.Baselines, "baseline", nil, "baseline in which it was found; every version has it if left out")
	f.StringVar(&b.Impact, "impact", "", "in words")
	f.StringVar(&b.Owner, "owner", "", "account that sees to it; yours if left out")
	f.StringVar(&b.Classification, "classification", "", "the model's if left out")
	words(c, "severity", severities())
	words(c, "classification", caos.Classifications())
	_ = c.MarkFlagRequired("title")
	_ = c.MarkFlagRequired("severity")
	return c
}

// problemReported sends what makes or ends a problem report, and shows the report.
func (e *environment) problemReported(ctx context.Context, call client.Call) error {
	x, body, err := ask[registry.ProblemReport](ctx, e, call)
	if err != nil {
		return err
	}
	return e.give(body, func() { e.problemReport(x) })
}

func (e *environment) problemReport(x *registry.ProblemReport) {
	e.pairs(pair{"problem", x.ProblemID}, pair{"title", x.Title}, pair{"severity", string(x.Severity)}, pair{"status", string(x.Status)}, pair{"model", x.ModelID},
		pair{"baselines", strings.Join(x.Baselines, ", ")}, pair{"description", x.Description}, pair{"impact", x.Impact}, pair{"owner", x.Owner},
		pair{"project", x.Project}, pair{"classification", x.Classification}, pair{"reported", byWhom(moment(x.CreatedAt), x.CreatedBy)},
		pair{"closed", byWhom(when(x.ClosedAt), x.ClosedBy)}, pair{"evidence", strings.Join(x.ClosureEvidence, ", ")}, pair{"resolution", x.Resolution})
}

func problemList(e *environment) *cobra.Command {
	l := listed[registry.ProblemReport]{path: "/v1/problem-reports", head: []string{"problem", "severity", "status", "model", "owner", "reported", "title"}, drop: []string{"reported", "owner"},
		row: func(x registry.ProblemReport) []string {
			return []string{x.ProblemID, string(x.Severity), string(x.Status), x.ModelID, x.Owner, moment(x.CreatedAt), x.Title}
		}}
	var model, owner, status, severity string
	c := &cobra.Command{
		Use: "list", Short: "List problem reports, latest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l.query = query("model_id", model, "owner", owner, "status", strings.ToUpper(status), "severity", strings.ToUpper(severity))
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	f := c.Flags()
	f.StringVar(&model, "model", "", "of this model")
	f.StringVar(&owner, "owner", "", "of this account")
	f.StringVar(&status, "status", "", "that is OPEN, IN_PROGRESS or CLOSED")
	f.StringVar(&severity, "severity", "", "of severity "+strings.Join(severities(), ", "))
	words(c, "status", []string{"OPEN", "IN_PROGRESS", "CLOSED"})
	words(c, "severity", severities())
	return c
}

func problemShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "show PROBLEM", Short: "Show a problem report", Args: wants("PROBLEM"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.problemReported(c.Context(), getting(problemPath(args[0]), nil))
		},
	}
}

func problemUpdate(e *environment) *cobra.Command {
	fields := []string{"title", "severity", "status", "description", "impact", "owner", "baselines"}
	c := &cobra.Command{
		Use: "update PROBLEM", Short: "Edit a problem report that is not closed", Args: wants("PROBLEM"),
		Long:    "Edits a problem report. To make an open problem weigh less you must be somebody who could close it.",
		Example: "  caos problem update PR-DLY-1 --status IN_PROGRESS",
		RunE: func(c *cobra.Command, args []string) error {
			body := given(c, fields...)
			if len(body) == 0 {
				return usage("nothing is to be changed").WithHint("give at least one of %s", flagsOf(fields))
			}
			return e.problemReported(c.Context(), patching(problemPath(args[0]), body, ""))
		},
	}
	f := c.Flags()
	f.String("title", "", "what is wrong, in one line")
	f.String("severity", "", "how bad it is: "+strings.Join(severities(), ", "))
	f.String("status", "", "where it stands: OPEN or IN_PROGRESS")
	f.String("description", "", "in a paragraph")
	f.String("impact", "", "in words")
	f.String("owner", "", "account that sees to it")
	f.StringSlice("baselines", nil, "all baselines in which it was found")
	words(c, "severity", severities())
	words(c, "status", []string{"OPEN", "IN_PROGRESS"})
	return c
}

func problemClose(e *environment) *cobra.Command {
	return closing("close PROBLEM --evidence ID", "PROBLEM", "Close a problem report with evidence that the problem is gone",
		"  caos problem close PR-DLY-1 --evidence EVID-DLY-20261123T101500.123456Z --statement 'Estimates are clipped at zero'",
		func(ctx context.Context, id string, b httpapi.ClosingBody) error {
			return e.problemReported(ctx, posting(problemPath(id)+"/close", b))
		})
}
