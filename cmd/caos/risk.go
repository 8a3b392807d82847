package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"caos/internal/client"
	"caos/internal/readiness"
)

func newRisk(e *environment) *cobra.Command {
	named := completed(e.ids("/v1/risks", "risk_id", "title"), riskShow(e), riskUpdate(e), riskReview(e), riskAccept(e), riskClose(e))
	return parent("risk", "Keep the risk register", append(append(completed(e.ids("/v1/models", "model_id", "name"), riskAdd(e), riskMatrix(e)), riskList(e)), named...)...)
}

func riskPath(id string) string { return "/v1/risks/" + escape(id) }

// riskFlags are what a risk says of itself.
func riskFlags(c *cobra.Command) {
	f := c.Flags()
	f.String("title", "", "what may happen, in one line")
	f.String("description", "", "in a paragraph")
	f.String("category", "", "such as Operational")
	f.Int("likelihood", 0, "1 to 5")
	f.Int("impact", 0, "1 to 5")
	f.String("mitigation", "", "what is done about it")
	f.Int("residual-likelihood", 0, "1 to 5, once that is done")
	f.Int("residual-impact", 0, "1 to 5, once that is done")
	f.String("owner", "", "account that sees to it")
	f.String("review-on", "", "day by which it is looked at again; by its level if left out")
}

func riskFields() []string {
	return []string{"title", "description", "category", "likelihood", "impact", "mitigation", "residual-likelihood", "residual-impact", "owner", "review-on"}
}

// riskGiven reads the flags that were given; figures are figures.
func riskGiven(c *cobra.Command, further ...string) (map[string]any, error) {
	body := given(c, append(riskFields(), further...)...)
	for _, name := range []string{"likelihood", "impact", "residual_likelihood", "residual_impact"} {
		s, ok := body[name].(string)
		if !ok {
			continue
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 5 {
			return nil, usage("%s is not on the scale", s).WithField(strings.ReplaceAll(name, "_", "-")).WithHint("1 is the lowest, 5 the highest")
		}
		body[name] = n
	}
	if on, ok := body["review_on"].(string); ok {
		if err := checkDay("review-on", on); err != nil {
			return nil, err
		}
	}
	return body, nil
}

func riskAdd(e *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "add MODEL --title TITLE --likelihood N --impact N", Aliases: []string{"create"}, Short: "Put a risk of a model into the register", Args: wants("MODEL"),
		Long: "Adds a risk. Likelihood times impact is its score; the scale makes of it a level, and a date by which it is looked at again. " +
			"A risk register in CSV or YAML is read by caos import.",
		Example: "  caos risk add NN-DLY-001 --title 'Sensor drift at night' --likelihood 3 --impact 4 --mitigation 'Nightly calibration' --residual-likelihood 1 --residual-impact 4\n" +
			"  caos import risks.csv",
		RunE: func(c *cobra.Command, args []string) error {
			body, err := riskGiven(c, "classification")
			if err != nil {
				return err
			}
			body["model_id"] = args[0]
			if strings.Contains(args[0], "@") {
				if body["model_id"], body["model_version"], err = modelVersion(args[0]); err != nil {
					return err
				}
			}
			if f := c.Flags().Lookup("id"); f.Changed {
				body["risk_id"] = f.Value.String()
			}
			return e.riskAnswered(c.Context(), posting("/v1/risks", body))
		},
	}
	riskFlags(c)
	c.Flags().String("id", "", "such as RISK-DLY-1; the model's next number if left out")
	_ = c.MarkFlagRequired("title")
	_ = c.MarkFlagRequired("likelihood")
	_ = c.MarkFlagRequired("impact")
	_ = c.RegisterFlagCompletionFunc("owner", e.flagIDs("/v1/users", "id", "name"))
	return c
}

func (e *environment) riskAnswered(ctx context.Context, call client.Call) error {
	x, body, err := ask[readiness.Risk](ctx, e, call)
	if err != nil {
		return err
	}
	return e.give(body, func() { e.risk(x) })
}

// weight colours a text by a level.
func (e *environment) weight(l readiness.Level) func(string) string {
	switch l {
	case readiness.Low:
		return e.paint.good
	case readiness.Medium:
		return e.paint.warn
	case readiness.High, readiness.Critical:
		return e.paint.bad
	}
	return asIs
}

func (e *environment) risk(x *readiness.Risk) {
	score := func(l, i, s int, level readiness.Level) string {
		if s == 0 {
			return "not assessed"
		}
		return fmt.Sprintf("%s: %d × %d = %d", level, l, i, s)
	}
	about := about(x.ModelID, x.Version)
	if x.Version == "" {
		about += ", every version"
	}
	review := x.ReviewOn
	if review != "" && x.Status != readiness.RiskClosed {
		review += " " + distance(daysLeft(x.ReviewOn, e.now()))
	}
	e.line("%s  %s", e.paint.bold(clean(x.RiskID)), clean(x.Title))
	e.line("%s  %s", e.paint.dim(padded("stands at", 10)), e.weight(x.StandsAt())(fmt.Sprintf("%s (%d)", x.StandsAt(), x.Stands())))
	e.pairs(pair{"status    ", string(x.Status)}, pair{"about", about}, pair{"category", x.Category}, pair{"initial", score(x.Likelihood, x.Impact, x.Score, x.Level)},
		pair{"residual", score(x.ResidualLikelihood, x.ResidualImpact, x.ResidualScore, x.ResidualLevel)}, pair{"owner", orDash(x.Owner)}, pair{"review by", review},
		pair{"reviewed", byWhom(when(x.LastReviewed), x.LastReviewedBy)}, pair{"found", x.ReviewNote}, pair{"source", x.Source},
		pair{"written", byWhom(moment(x.CreatedAt), x.CreatedBy)}, pair{"revision", strconv.FormatInt(x.Revision, 10)})
	for _, p := range []pair{{"description", x.Description}, {"mitigation", x.Mitigation}} {
		if p.value != "" {
			e.flow(e.paint.dim(padded(p.name, 10))+"  ", "            ", clean(p.value), asIs)
		}
	}
	if a := x.Accepted; a != nil {
		e.flow(e.paint.dim(padded("accepted", 10))+"  ", "            ", clean(fmt.Sprintf("%s by %s as %s, in %s: %s", moment(a.At), a.By, a.Role, a.DecisionID, a.Reason)), asIs)
	}
	if x.ClosedAt != nil {
		why := strings.Join(x.ClosureEvidence, ", ")
		if x.ClosureReason != "" {
			why = strings.TrimPrefix(why+"; "+x.ClosureReason, "; ")
		}
		e.flow(e.paint.dim(padded("closed", 10))+"  ", "            ", clean(byWhom(when(x.ClosedAt), x.ClosedBy)+": "+why), asIs)
	}
}

func riskList(e *environment) *cobra.Command {
	l := listed[readiness.Risk]{path: "/v1/risks", head: []string{"risk", "stands at", "was", "status", "about", "owner", "review by", "title"}, drop: []string{"was", "about", "owner", "review by"},
		row: func(x readiness.Risk) []string {
			review := x.ReviewOn
			if x.Status != readiness.RiskClosed && review != "" && daysLeft(review, e.now()) < 0 {
				review += " !"
			}
			return []string{x.RiskID, fmt.Sprintf("%d %s", x.Stands(), x.StandsAt()), number(x.Score), string(x.Status), about(x.ModelID, x.Version), orDash(x.Owner), review, x.Title}
		}}
	var model, version, owner, status, level, due, project string
	c := &cobra.Command{
		Use: "list", Short: "List risks, latest first", Args: noArgs, Example: "  caos risk list --model NN-DLY-001 --level High\n  caos risk list --review-by 2026-12-01",
		RunE: func(c *cobra.Command, _ []string) error {
			if level != "" {
				level = strings.ToUpper(level[:1]) + strings.ToLower(level[1:])
			}
			l.query = query("model_id", model, "model_version", version, "owner", owner, "status", strings.ToUpper(status), "level", level, "review_by", due, "project", project)
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	f := c.Flags()
	f.StringVar(&model, "model", "", "of this model")
	f.StringVar(&version, "model-version", "", "raised about this version")
	f.StringVar(&owner, "owner", "", "of this account")
	f.StringVar(&status, "status", "", "that is "+strings.Join(readiness.RiskStatuses(), ", "))
	f.StringVar(&level, "level", "", "that stands at "+strings.Join(levels(), ", "))
	f.StringVar(&due, "review-by", "", "to be looked at again by this day")
	f.StringVar(&project, "project", "", "of this project")
	words(c, "status", readiness.RiskStatuses())
	words(c, "level", levels())
	return c
}

func levels() []string {
	var out []string
	for _, l := range readiness.ShippedScale().Levels() {
		out = append(out, string(l))
	}
	return out
}

func riskShow(e *environment) *cobra.Command {
	return &cobra.Command{Use: "show RISK", Short: "Show a risk", Args: wants("RISK"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.riskAnswered(c.Context(), getting(riskPath(args[0]), nil))
		}}
}

func riskUpdate(e *environment) *cobra.Command {
	var revision string
	c := &cobra.Command{
		Use: "update RISK", Short: "Edit a risk that is not closed", Args: wants("RISK"),
		Long:    "Edits a risk. A change of what an acceptance was about voids the acceptance.",
		Example: "  caos risk update RISK-DLY-1 --residual-likelihood 1 --residual-impact 3 --status MITIGATING",
		RunE: func(c *cobra.Command, args []string) error {
			body, err := riskGiven(c, "status")
			if err != nil {
				return err
			}
			if len(body) == 0 {
				return usage("nothing is to be changed").WithHint("give at least one of %s", flagsOf(append(riskFields(), "status")))
			}
			if s, ok := body["status"].(string); ok {
				body["status"] = strings.ToUpper(s)
				if err := oneOf("status", strings.ToUpper(s), "OPEN", "MITIGATING"); err != nil {
					return err
				}
			}
			return e.riskAnswered(c.Context(), patching(riskPath(args[0]), body, revision))
		},
	}
	riskFlags(c)
	c.Flags().String("status", "", "where it stands: OPEN or MITIGATING")
	c.Flags().StringVar(&revision, "revision", "", "only if the risk is still as it was at this revision")
	words(c, "status", []string{"OPEN", "MITIGATING"})
	return c
}

func riskReview(e *environment) *cobra.Command {
	var note string
	c := &cobra.Command{
		Use: "review RISK --note TEXT", Short: "Note that a risk was looked at again", Args: wants("RISK"),
		Long: "Notes what was found, and sets the day of the next look by the level at which the risk stands.",
		RunE: func(c *cobra.Command, args []string) error {
			return e.riskAnswered(c.Context(), posting(riskPath(args[0])+"/review", map[string]string{"note": note}))
		},
	}
	c.Flags().StringVar(&note, "note", "", "what was found")
	_ = c.MarkFlagRequired("note")
	return c
}

func riskAccept(e *environment) *cobra.Command {
	var reason string
	var s signing
	c := &cobra.Command{
		Use: "accept RISK --reason TEXT", Short: "Decide to live with what is left of a risk", Args: wants("RISK"),
		Long: "Accepts what is left of a risk, in your own name: a High one the Chief Engineer alone, a Low or Medium one also a safety-engineer or a qa-lead, a Critical one nobody. " +
			"Never who wrote or owned it.",
		Example: "  caos risk accept RISK-DLY-1 --reason 'The estimate is advisory' --key ~/.ssh/id_ed25519",
		RunE: func(c *cobra.Command, args []string) error {
			x, _, err := ask[readiness.Risk](c.Context(), e, getting(riskPath(args[0]), nil))
			if err != nil {
				return err
			}
			side := e.aside()
			side.risk(x)
			side.line("")
			a := act{title: "Accept " + x.RiskID + " as it stands: " + string(x.StandsAt()) + " (" + number(x.Stands()) + ")", path: riskPath(x.RiskID) + "/accept",
				body: map[string]any{"reason": reason}, says: []string{"ACCEPTED as ", x.RiskID, x.ModelID, x.Title, reason}, of: "what the risk says above", how: "whose digest was computed here"}
			if a.about, err = x.Digest(); err != nil {
				return err
			}
			for _, role := range []string{"chief-engineer", "safety-engineer", "qa-lead"} {
				a.what = append(a.what, "accept:"+x.RiskID+":"+role)
			}
			_, body, err := decided[readiness.Risk](c.Context(), e, a, s)
			if err != nil {
				return err
			}
			if e.machine() {
				return e.give(body, nil)
			}
			return e.riskAnswered(c.Context(), getting(riskPath(x.RiskID), nil))
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why one can live with it; it is part of what you sign")
	s.bind(c)
	_ = c.MarkFlagRequired("reason")
	return c
}

func riskClose(e *environment) *cobra.Command {
	var b readiness.RiskClosing
	c := &cobra.Command{
		Use: "close RISK", Short: "Close a risk that is gone, with evidence or the reason", Args: wants("RISK"), Long: "Closes a risk. Never by who wrote or owned it.",
		Example: "  caos risk close RISK-DLY-1 --evidence EVID-DLY-20261123T101500.123456Z",
		RunE: func(c *cobra.Command, args []string) error {
			if len(b.Evidence) == 0 && strings.TrimSpace(b.Reason) == "" {
				return usage("nothing says that it is gone").WithField("evidence").WithHint("give --evidence ID or --reason TEXT")
			}
			return e.riskAnswered(c.Context(), posting(riskPath(args[0])+"/close", b))
		},
	}
	c.Flags().StringSliceVar(&b.Evidence, "evidence", nil, "id of what shows that it is gone")
	c.Flags().StringVar(&b.Reason, "reason", "", "in words, where there is none")
	return c
}
