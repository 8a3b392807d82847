package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/readiness"
	"caos/internal/verify"
)

// outcomes are the votes, in the words of the command line.
func outcomes() []string { return []string{"approve", "conditional", "reject"} }

func outcomeOf(word string) string {
	switch word {
	case "approve":
		return verify.OutcomeApproved
	case "conditional":
		return verify.OutcomeConditional
	}
	return verify.OutcomeRejected
}

func newVote(e *environment) *cobra.Command {
	var b readiness.Ballot
	var s signing
	var conditions []string
	var report string
	c := &cobra.Command{
		Use: "vote REVIEW approve|conditional|reject", Short: "Vote in a readiness review, with a key of your own", Args: wants("REVIEW", "VOTE"),
		Long: "Casts your vote. First it shows what the review found and the best decision that this allows, then exactly what you are about to sign; " +
			"it signs only a statement that says what you asked for, about the report that you can read: name its file with --report, or it is fetched and compared. " +
			"A vote counts once and is not taken back. Members of the board and the Chief Engineer vote; who asked for the review, or owned, froze or verified the version, does not. " +
			"With --totp the server asserts the vote instead, where the policy allows that for the model's safety level.",
		Example: "  caos vote PRR-NN-DLY-001-1.0.0 approve --report report.html\n" +
			"  caos vote NN-DLY-001@1.0.0 conditional --condition 'Show the estimate at night;ada;2026-12-20' --key ~/.ssh/id_ed25519\n" +
			"  caos vote PRR-NN-DLY-001-1.0.0 reject --comment 'The fault tree is missing' --totp",
		ValidArgsFunction: func(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return outcomes(), cobra.ShellCompDirectiveNoFileComp
			}
			return e.ids("/v1/reviews", "prr_id", "status")(c, args, typed)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := oneOf("VOTE", args[1], outcomes()...); err != nil {
				return err
			}
			b.Outcome = outcomeOf(args[1])
			var err error
			if b.Conditions, err = conditionsGiven(conditions); err != nil {
				return err
			}
			id, err := e.reviewOf(c.Context(), args[0])
			if err != nil {
				return err
			}
			return e.vote(c, id, b, report, s)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&conditions, "condition", nil, "'text;owner;due', such as 'Show the estimate at night;ada;2026-12-20'")
	f.StringVar(&b.Comment, "comment", "", "why, in a sentence; it is part of what you sign")
	f.StringVar(&report, "report", "", "file of the report that you have read; it must be the one that is voted on")
	s.bind(c)
	return c
}

func (e *environment) vote(c *cobra.Command, id string, b readiness.Ballot, report string, s signing) error {
	x, _, err := e.readReview(c.Context(), id)
	if err != nil {
		return err
	}
	e.aside().summary(c.Context(), x)
	a := act{title: "Your vote: " + b.Outcome, path: reviewPath(id) + "/votes", what: []string{verify.VoteWhat(id, b.Outcome)}, of: "the report " + x.ReportID + " " + x.ReportVersion,
		says: []string{b.Outcome + ":", x.ModelID, x.BaselineID}}
	for _, d := range b.Conditions {
		a.says = append(a.says, fmt.Sprintf("%s (owner %s, due %s)", d.Text, d.Owner, d.DueOn))
	}
	if b.Comment != "" {
		a.says = append(a.says, b.Comment)
	}
	if x.Status == readiness.ReviewVoting { // else the server says why there is nothing to vote on
		if a.how, err = e.reportRead(c.Context(), x, report); err != nil {
			return err
		}
		a.about = x.ReportDigest
	}
	if a.body, err = bodyOf(b); err != nil {
		return err
	}
	_, body, err := decided[map[string]any](c.Context(), e, a, s)
	if err != nil {
		return err
	}
	if e.machine() {
		return e.give(body, nil)
	}
	e.line("%s %s on %s", e.paint.good("✓"), e.verdict(b.Outcome)(b.Outcome), clean(id))
	if x, _, err = e.readReview(c.Context(), id); err != nil {
		return nil //nolint:nilerr // the vote stands; how the review goes on can be asked later
	}
	e.line("")
	e.votes(x)
	e.conditions(x)
	e.next(x)
	return nil
}

// conditionsGiven reads conditions as they are typed: text;owner;due.
func conditionsGiven(list []string) ([]readiness.ConditionDraft, error) {
	var out []readiness.ConditionDraft
	for _, s := range list {
		at := strings.Split(s, ";")
		if len(at) < 3 {
			return nil, usage("%q has no owner and due date", s).WithField("condition").WithHint("write it as 'TEXT;OWNER;2026-12-20'")
		}
		n := len(at)
		d := readiness.ConditionDraft{Text: strings.TrimSpace(strings.Join(at[:n-2], ";")), Owner: strings.TrimSpace(at[n-2]), DueOn: strings.TrimSpace(at[n-1])}
		if d.Text == "" {
			return nil, usage("%q says nothing", s).WithField("condition").WithHint("write it as 'TEXT;OWNER;2026-12-20'")
		}
		if err := caos.CheckID("user", "condition", d.Owner); err != nil {
			return nil, err
		}
		if err := checkDay("condition", d.DueOn); err != nil {
			return nil, err
		}
		if slices.Contains(out, d) {
			return nil, usage("%q is stated twice", s).WithField("condition")
		}
		out = append(out, d)
	}
	return out, nil
}

// checkDay refuses what is not a day.
func checkDay(field, v string) error {
	if _, err := time.Parse(time.DateOnly, v); err != nil {
		return usage("%q is not a day", v).WithField(field).WithHint("write it as 2026-12-20")
	}
	return nil
}

func digestOfBytes(data []byte) string {
	sum := sha256.Sum256(data)
	return "SHA256:" + hex.EncodeToString(sum[:])
}
