package main

import (
	"strings"

	"github.com/spf13/cobra"

	"caos/internal/readiness"
)

func newDecision(e *environment) *cobra.Command {
	return parent("decision", "See what people decided in their own name, and how it is proven", decisionList(e),
		completed(e.ids("/v1/decisions", "decision_id", "what"), decisionShow(e))[0])
}

func decisionList(e *environment) *cobra.Command {
	l := listed[readiness.Decision]{path: "/v1/decisions", head: []string{"decision", "person", "act", "outcome", "at", "proof"}, drop: []string{"at", "outcome", "decision"},
		row: func(x readiness.Decision) []string {
			return []string{x.DecisionID, x.Person, x.What, orDash(x.Outcome), moment(x.DecidedAt), proofOf(&x)}
		}}
	var subject, model, person string
	c := &cobra.Command{
		Use: "list", Short: "List decisions, latest first", Args: noArgs, Example: "  caos decision list --model NN-DLY-001",
		RunE: func(c *cobra.Command, _ []string) error {
			l.query = query("subject", subject, "model_id", model, "person", person)
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	f := c.Flags()
	f.StringVar(&subject, "subject", "", "on this review, condition, release, risk or checklist item")
	f.StringVar(&model, "model", "", "about this model")
	f.StringVar(&person, "person", "", "of this account")
	return c
}

func decisionShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "show DECISION", Short: "Show a decision with its statement, and check its signature", Args: wants("DECISION"),
		Long: "Shows a decision. Its signature is checked here; that the key was the person's and counted is what caos verify checks in a package.",
		RunE: func(c *cobra.Command, args []string) error {
			x, body, err := ask[readiness.Decision](c.Context(), e, getting("/v1/decisions/"+escape(args[0]), nil))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.decision(x) })
		},
	}
}

func (e *environment) decision(x *readiness.Decision) {
	e.pairs(pair{"decision", x.DecisionID}, pair{"by", x.Person + rolesOf(x.Roles)}, pair{"as", x.Role}, pair{"act", x.What}, pair{"outcome", x.Outcome},
		pair{"on", x.Subject}, pair{"digest", x.Digest}, pair{"model", x.ModelID}, pair{"at", moment(x.DecidedAt)}, pair{"proof", proofOf(x)}, pair{"key", x.KeyID},
		pair{"audit record", x.RecordID}, pair{"policy", x.PolicyDigest}, pair{"project", x.Project}, pair{"classification", x.Classification})
	e.line("")
	e.line("%s", e.paint.bold("what it says"))
	e.flow("  ", "  ", clean(x.Meaning), asIs)
	e.line("")
	e.line("%s", e.paint.bold("what was signed"))
	e.line("%s", strings.TrimSpace(clean(x.Statement)))
}
