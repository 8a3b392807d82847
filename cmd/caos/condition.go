package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/readiness"
	"caos/internal/verify"
)

func newCondition(e *environment) *cobra.Command {
	return parent("condition", "See the conditions of reviews and close them", conditionList(e), completed(e.openConditions, conditionClose(e))[0])
}

// openConditions completes a condition that is open.
func (e *environment) openConditions(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, err := e.conditionsThat(c.Context(), "", func(x *readiness.Condition) bool { return x.Status == readiness.ConditionOpen })
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []cobra.Completion
	for _, x := range list {
		out = append(out, cobra.CompletionWithDesc(clean(x.ConditionID), clean(x.Text)))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// conditionsThat reads the conditions of a review, or of those reviews that wait for some.
func (e *environment) conditionsThat(ctx context.Context, review string, fit func(*readiness.Condition) bool) ([]*readiness.Condition, error) {
	ids := []string{review}
	if review == "" {
		cl, err := e.connect()
		if err != nil {
			return nil, err
		}
		reviews, _, err := list[readiness.Review](ctx, cl, "/v1/reviews", query("status", string(readiness.ReviewConditional)), paging{limit: 50})
		if err != nil {
			return nil, err
		}
		ids = nil
		for _, x := range reviews {
			ids = append(ids, x.PRRID)
		}
	}
	out := []*readiness.Condition{}
	for _, id := range ids {
		x, _, err := e.readReview(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, c := range x.Conditions {
			if fit(c) {
				out = append(out, c)
			}
		}
	}
	return out, nil
}

func conditionList(e *environment) *cobra.Command {
	var owner string
	var all bool
	c := &cobra.Command{
		Use: "list [REVIEW]", Short: "List the open conditions of reviews", Example: "  caos condition list --owner ada\n  caos condition list PRR-NN-DLY-001-1.0.0 --all",
		Long: "Lists the conditions of a review, or of every review that waits for some.",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return wants("REVIEW")(c, args)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			review := ""
			if len(args) == 1 {
				var err error
				if review, err = e.reviewOf(c.Context(), args[0]); err != nil {
					return err
				}
			}
			found, err := e.conditionsThat(c.Context(), review, func(x *readiness.Condition) bool {
				return (all || x.Status == readiness.ConditionOpen) && (owner == "" || x.Owner == owner)
			})
			if err != nil {
				return err
			}
			return e.giveValue(map[string]any{"items": found}, func() {
				rows := rowsOf(found, func(x *readiness.Condition) []string {
					due := x.DueOn
					if x.Status == readiness.ConditionOpen {
						due += " " + distance(daysLeft(x.DueOn, e.now()))
					}
					return []string{x.ConditionID, string(x.Status), x.Owner, due, x.PRRID, x.Text}
				})
				e.fitted([]string{"condition", "status", "owner", "due", "review", "text"}, rows, "review", "status")
			})
		},
	}
	c.ValidArgsFunction = e.ids("/v1/reviews", "prr_id", "status")
	c.Flags().StringVar(&owner, "owner", "", "of this account")
	c.Flags().BoolVar(&all, "all", false, "closed ones too")
	return c
}

func conditionClose(e *environment) *cobra.Command {
	var b readiness.Closing
	var s signing
	c := &cobra.Command{
		Use: "close [REVIEW] CONDITION --evidence ID", Short: "Say that a condition is met, and by what",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return wants("CONDITION")(c, args)
		},
		Long: "Closes a condition with the ids of what shows that it is met. You decide that in your own name: never as its owner, nor as somebody who " +
			"asked for the review, or owned, froze or verified the version. When the last one is closed, the version becomes ready for production.",
		Example: "  caos condition close COND-DLY-1.0.0-1 --evidence 95-00-07-01-009 --note 'Shown on the night data'",
		RunE: func(c *cobra.Command, args []string) error {
			review, id := "", args[len(args)-1]
			if len(args) == 2 {
				var err error
				if review, err = e.reviewOf(c.Context(), args[0]); err != nil {
					return err
				}
			}
			x, err := e.findCondition(c.Context(), id, review)
			if err != nil {
				return err
			}
			body, err := bodyOf(b)
			if err != nil {
				return err
			}
			e.aside().condition(x)
			e.aside().line("")
			a := act{title: "Close " + x.ConditionID, path: reviewPath(x.PRRID) + "/conditions/" + escape(x.ConditionID) + "/close", body: body,
				what: []string{verify.CloseWhat(x.ConditionID)}, says: append([]string{x.ConditionID, x.Text, b.Note}, b.Evidence...), of: "the condition with this evidence and note"}
			_, answer, err := decided[map[string]any](c.Context(), e, a, s)
			if err != nil {
				return err
			}
			if e.machine() {
				return e.give(answer, nil)
			}
			e.line("%s %s is closed", e.paint.good("✓"), clean(x.ConditionID))
			if after, _, err := e.readReview(c.Context(), x.PRRID); err == nil {
				e.conditions(after)
				e.next(after)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringSliceVar(&b.Evidence, "evidence", nil, "id of what shows that it is met")
	f.StringVar(&b.Note, "note", "", "in a sentence; it is part of what you sign")
	s.bind(c)
	_ = c.MarkFlagRequired("evidence")
	return c
}

// findCondition finds a condition by its id, in one review or in all that wait for some.
func (e *environment) findCondition(ctx context.Context, id, review string) (*readiness.Condition, error) {
	found, err := e.conditionsThat(ctx, review, func(x *readiness.Condition) bool { return x.ConditionID == id })
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		hint := "caos condition list has those that are open"
		if review != "" {
			hint = "caos review show " + review + " lists them"
		}
		return nil, caos.Errorf(caos.NotFound, "there is no open condition %s", strings.TrimSpace(id)).WithField("condition_id").WithHint("%s", hint)
	}
	return found[0], nil
}
