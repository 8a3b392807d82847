package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
	"caos/internal/httpapi"
	"caos/internal/readiness"
	"caos/internal/verify"
)

func newRelease(e *environment) *cobra.Command {
	named := completed(e.ids("/v1/release-authorizations", "authorization_id", "status"), releaseShow(e), releaseScope(e), releaseRequest(e),
		releaseSign(e, "approve"), releaseSign(e, "reject"), releaseRevoke(e), releaseCheck(e))
	return parent("release", "Ask for releases, approve and revoke them, and check what they allow",
		append([]*cobra.Command{releaseList(e), completed(e.versions, releaseOpen(e))[0]}, named...)...)
}

func releasePath(id string) string { return "/v1/release-authorizations/" + escape(id) }

func (e *environment) releaseOf(ctx context.Context, arg string) (string, error) {
	return e.latest(ctx, arg, "/v1/release-authorizations", "authorization_id", "release authorisation")
}

func (e *environment) readRelease(ctx context.Context, arg string) (*readiness.ReleaseAuthorization, []byte, error) {
	id, err := e.releaseOf(ctx, arg)
	if err != nil {
		return nil, nil, err
	}
	return ask[readiness.ReleaseAuthorization](ctx, e, getting(releasePath(id), nil))
}

func releaseList(e *environment) *cobra.Command {
	l := listed[readiness.ReleaseAuthorization]{path: "/v1/release-authorizations", head: []string{"release", "status", "strategies", "until", "requested by", "platforms"}, drop: []string{"strategies", "requested by", "until"},
		row: func(x readiness.ReleaseAuthorization) []string {
			return []string{x.AuthorizationID, string(x.Status), orDash(strings.Join(x.Strategies, ", ")), orDash(when(x.NotAfter)), orDash(x.RequestedBy), orDash(strings.Join(x.Platforms, ", "))}
		}}
	var model, version, status, project string
	c := &cobra.Command{Use: "list", Short: "List release authorisations, latest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l.query = query("model_id", model, "model_version", version, "status", strings.ToUpper(status), "project", project)
			return l.show(c.Context(), e)
		}}
	l.page.bind(c)
	f := c.Flags()
	f.StringVar(&model, "model", "", "of this model")
	f.StringVar(&version, "model-version", "", "of this version of it")
	f.StringVar(&status, "status", "", "that is "+strings.Join(releaseStates(), ", "))
	f.StringVar(&project, "project", "", "of this project")
	words(c, "status", releaseStates())
	return c
}

func releaseStates() []string {
	return []string{"DRAFT", "REQUESTED", "AUTHORISED", "REJECTED", "REVOKED", "EXPIRED"}
}

func releaseOpen(e *environment) *cobra.Command {
	var platforms []string
	var review string
	c := &cobra.Command{
		Use: "open MODEL@VERSION", Short: "Open a release authorisation for a version that is ready for production", Args: wants("MODEL@VERSION"),
		Long: "Opens a draft. A review that ends APPROVED opens the first by itself; this is for the next one, when that was rejected or revoked or has expired.",
		RunE: func(c *cobra.Command, args []string) error {
			if _, _, err := modelVersion(args[0]); err != nil {
				return err
			}
			if review == "" {
				var err error
				if review, err = e.reviewOf(c.Context(), args[0]); err != nil {
					return err
				}
			}
			return e.releaseAnswered(c.Context(), posting("/v1/release-authorizations", httpapi.NewReleaseBody{PRRID: review, Platforms: platforms}))
		},
	}
	c.Flags().StringSliceVar(&platforms, "platform", nil, "where it may go")
	c.Flags().StringVar(&review, "review", "", "on which it rests; the version's latest if left out")
	return c
}

// releaseAnswered sends what changes a release, or reads one, and shows it.
func (e *environment) releaseAnswered(ctx context.Context, call client.Call) error {
	x, body, err := ask[readiness.ReleaseAuthorization](ctx, e, call)
	if err != nil {
		return err
	}
	return e.give(body, func() { e.release(x) })
}

func releaseShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "show RELEASE", Short: "Show a release authorisation: its scope, who signed, what it lacks", Args: wants("RELEASE"),
		Long: "Shows a release authorisation. Signatures are checked here. Instead of its id MODEL@VERSION will do.",
		RunE: func(c *cobra.Command, args []string) error {
			x, body, err := e.readRelease(c.Context(), args[0])
			if err != nil {
				return err
			}
			return e.give(body, func() { e.release(x) })
		},
	}
}

func (e *environment) release(x *readiness.ReleaseAuthorization) {
	e.releaseScope(x)
	e.pairs(pair{"review    ", x.PRRID}, pair{"opened", byWhom(moment(x.OpenedAt), x.OpenedBy)}, pair{"requested", byWhom(when(x.RequestedAt), x.RequestedBy)},
		pair{"decided", when(x.EndedAt)}, pair{"revoked", byWhom(when(x.RevokedAt), x.RevokedBy)}, pair{"reason", x.RevokeReason}, pair{"revision", strconv.FormatInt(x.Revision, 10)})
	if len(x.Approvals) > 0 {
		e.line("")
		rows := rowsOf(x.Approvals, func(d *readiness.Decision) []string {
			return []string{d.Person, d.Role, d.Outcome, moment(d.DecidedAt), proofOf(d)}
		})
		e.fitted([]string{"signed by", "as", "says", "at", "proof"}, rows, "at", "says")
	}
	e.releaseNext(x)
}

// releaseScope writes what a release would allow.
func (e *environment) releaseScope(x *readiness.ReleaseAuthorization) {
	window := ""
	if x.NotAfter != nil {
		from := "its authorisation"
		if x.NotBefore != nil {
			from = moment(*x.NotBefore)
		}
		window = fmt.Sprintf("from %s until %s (%s)", from, moment(*x.NotAfter), left(*x.NotAfter, e.now()))
	}
	e.pairs(pair{"release", x.AuthorizationID}, pair{"status    ", string(x.Status)}, pair{"about", about(x.ModelID, x.Version) + ", baseline " + x.BaselineID},
		pair{"platforms", orDash(strings.Join(x.Platforms, ", "))}, pair{"strategies", orDash(strings.Join(x.Strategies, ", "))}, pair{"window", orDash(window)}, pair{"rationale", x.Rationale})
	e.pairs(pair{"root", x.RootDigest}, pair{"scope", scopeDigest(x)}) // by themselves: with so short a name they fit a line of 80 columns
}

// scopeDigest is the digest that is signed, having checked that it is that of the scope which
// the server shows, and that this scope says what it shows beside it.
func scopeDigest(x *readiness.ReleaseAuthorization) string {
	if x.Scope == "" {
		return ""
	}
	if err := checkScope(x); err != nil {
		return "DIFFERS: " + err.Error()
	}
	return x.ScopeDigest
}

// checkScope refuses a scope that does not say what the release is shown with.
func checkScope(x *readiness.ReleaseAuthorization) error {
	if verify.StatementHash([]byte(x.Scope)) != x.ScopeDigest {
		return caos.Errorf(caos.Denied, "the scope has another digest than the server says").WithField("scope_digest").WithRule("scope-differs")
	}
	var s struct {
		ID         string   `json:"authorization_id"`
		Baseline   string   `json:"baseline_id"`
		Model      string   `json:"model_id"`
		Version    string   `json:"model_version"`
		Root       string   `json:"root_digest"`
		NotAfter   string   `json:"not_after"`
		NotBefore  string   `json:"not_before"`
		Platforms  []string `json:"platforms"`
		Strategies []string `json:"strategies"`
		Rationale  string   `json:"rationale"`
	}
	if err := json.Unmarshal([]byte(x.Scope), &s); err != nil {
		return caos.Wrap(caos.Denied, err, "the scope cannot be read").WithField("scope")
	}
	at := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return caos.FormatTime(*t)
	}
	list := func(l []string) string { return strings.Join(l, "\x00") }
	for _, f := range []struct{ name, signed, shown string }{
		{"authorization_id", s.ID, x.AuthorizationID}, {"baseline_id", s.Baseline, x.BaselineID}, {"model_id", s.Model, x.ModelID}, {"model_version", s.Version, x.Version},
		{"root_digest", s.Root, x.RootDigest}, {"not_after", s.NotAfter, at(x.NotAfter)}, {"not_before", s.NotBefore, at(x.NotBefore)},
		{"platforms", list(s.Platforms), list(x.Platforms)}, {"strategies", list(s.Strategies), list(x.Strategies)}, {"rationale", s.Rationale, x.Rationale},
	} {
		if f.signed != f.shown {
			return caos.Errorf(caos.Denied, "the scope has another %s than the release is shown with", f.name).WithField(f.name).WithRule("scope-differs")
		}
	}
	return nil
}

// releaseNext says what happens next.
func (e *environment) releaseNext(x *readiness.ReleaseAuthorization) {
	var say []string
	id := x.AuthorizationID
	switch x.Status {
	case readiness.AuthorizationDraft:
		if len(x.Platforms) == 0 || len(x.Strategies) == 0 || x.NotAfter == nil || x.Rationale == "" {
			say = append(say, "give it a scope: caos release scope "+id+" --platform NAME --strategy CANARY --until DAY --rationale TEXT")
		}
		say = append(say, "ask for it: caos release request "+id)
	case readiness.AuthorizationRequested:
		missing := x.Missing
		if _, policy := verify.ShippedDecisionPolicy(); len(missing) == 0 && x.PolicyDigest == policy.Digest() {
			missing = policy.TallyRelease(nil, nil).Missing // nobody has signed yet
		}
		for _, m := range missing {
			say = append(say, "missing: "+m)
		}
		say = append(say, "sign it: caos release approve "+id+" --role ROLE")
	case readiness.AuthorizationAuthorised:
		say = []string{"ask what it allows: caos release check " + id + " --platform NAME --strategy CANARY", "stop it: caos release revoke " + id + " --reason TEXT"}
	case readiness.AuthorizationRejected, readiness.AuthorizationRevoked, readiness.AuthorizationExpired:
		say = []string{"ask for another: caos release open " + about(x.ModelID, x.Version)}
	}
	e.line("")
	e.line("%s", e.paint.bold("NEXT"))
	for _, s := range say {
		e.flow("  "+e.paint.accent("→")+" ", "    ", clean(s), asIs)
	}
}

func releaseScope(e *environment) *cobra.Command {
	var revision, from, until string
	c := &cobra.Command{
		Use: "scope RELEASE", Short: "Say where, how and until when a release is wanted", Args: wants("RELEASE"),
		Long: "Gives a draft its scope. What is not given is left as it is. A day as --from begins it, as --until it is the last one; both in UTC. Once it is requested the scope stands.",
		Example: "  caos release scope REL-AUTH-NN-DLY-001-1.0.0 --platform ops-east,ops-west --strategy CANARY --until 2027-03-31 --rationale 'Winter schedule'\n" +
			"  caos release scope NN-DLY-001@1.0.0 --from 2026-12-01T06:00:00Z",
		RunE: func(c *cobra.Command, args []string) error {
			body := map[string]any{}
			for flag, field := range map[string]string{"platform": "platforms", "strategy": "strategies", "rationale": "rationale"} {
				if v, ok := given(c, flag)[flag]; ok {
					body[field] = v
				}
			}
			if list, ok := body["strategies"].([]string); ok {
				for i := range list {
					list[i] = strings.ToUpper(strings.ReplaceAll(list[i], "-", "_"))
					if err := oneOf("strategy", list[i], readiness.Strategies()...); err != nil {
						return err
					}
				}
			}
			for flag, v := range map[string]string{"from": from, "until": until} {
				if v == "" {
					continue
				}
				t, err := instantOf(flag, v, flag == "until")
				if err != nil {
					return err
				}
				body[map[string]string{"from": "not_before", "until": "not_after"}[flag]] = t
			}
			if len(body) == 0 {
				return usage("nothing is to be changed").WithHint("give at least one of --platform, --strategy, --from, --until, --rationale")
			}
			id, err := e.releaseOf(c.Context(), args[0])
			if err != nil {
				return err
			}
			return e.releaseAnswered(c.Context(), patching(releasePath(id), body, revision))
		},
	}
	f := c.Flags()
	f.StringSlice("platform", nil, "where it may go; all of them")
	f.StringSlice("strategy", nil, "how: "+strings.Join(readiness.Strategies(), ", ")+"; all that are allowed")
	f.StringVar(&from, "from", "", "day or moment at which it begins; with its authorisation if left out")
	f.StringVar(&until, "until", "", "last day, or moment at which it ends")
	f.String("rationale", "", "why")
	f.StringVar(&revision, "revision", "", "only if it is still as it was at this revision")
	words(c, "strategy", readiness.Strategies())
	return c
}

// instantOf reads a day or a moment; of a day its begin, or its end.
func instantOf(field, v string, end bool) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, v); err == nil {
		if end {
			t = t.AddDate(0, 0, 1)
		}
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		return t, usage("%q is neither a day nor a moment with a time zone", v).WithField(field).WithHint("write it as 2026-12-31 or 2026-12-31T18:00:00Z")
	}
	return t.UTC(), nil
}

func releaseRequest(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "request RELEASE", Short: "Ask for a release: its scope stands from then on", Args: wants("RELEASE"),
		Long: "Fixes the scope and asks the Chief Engineer and the Quality Assurance Lead to sign it. Whoever shaped the scope or asks does not sign.",
		RunE: func(c *cobra.Command, args []string) error {
			id, err := e.releaseOf(c.Context(), args[0])
			if err != nil {
				return err
			}
			return e.releaseAnswered(c.Context(), posting(releasePath(id)+"/request", map[string]any{}))
		},
	}
}

func releaseSign(e *environment, verb string) *cobra.Command {
	var role string
	var s signing
	short, title := "Sign a release, in one of the two roles that must", "Approve"
	if verb == "reject" {
		short, title = "Reject a release; one rejection ends it", "Reject"
	}
	c := &cobra.Command{
		Use: verb + " RELEASE", Short: short, Args: wants("RELEASE"),
		Long: "Signs the digest of the scope, having checked here that it is the scope that is shown. A release takes a chief-engineer and a qa-lead, two different people, " +
			"neither of whom asked for it, or owned, froze or verified the version.",
		Example: "  caos release " + verb + " REL-AUTH-NN-DLY-001-1.0.0 --role qa-lead --key ~/.ssh/id_ed25519",
		RunE: func(c *cobra.Command, args []string) error {
			x, _, err := e.readRelease(c.Context(), args[0])
			if err != nil {
				return err
			}
			e.aside().releaseScope(x)
			e.aside().line("")
			a := act{title: title + " " + x.AuthorizationID, path: releasePath(x.AuthorizationID) + "/" + verb, body: map[string]any{}, of: "the scope above", says: []string{x.ModelID, x.Version, x.BaselineID}}
			if role != "" {
				a.body["role"] = role
			}
			for _, r := range []string{verify.RoleChiefEngineer, verify.RoleQALead} {
				what := verify.ApproveWhat(x.AuthorizationID, r)
				if verb == "reject" {
					what = verify.RejectWhat(x.AuthorizationID, r)
				}
				if role == "" || role == r {
					a.what = append(a.what, what)
				}
			}
			if x.Scope != "" {
				if err := checkScope(x); err != nil {
					return err
				}
				a.about, a.how = x.ScopeDigest, "whose digest was computed here"
			}
			return e.releaseDecided(c.Context(), a, s)
		},
	}
	c.Flags().StringVar(&role, "role", "", "in which you sign: chief-engineer or qa-lead; that which you hold if left out")
	words(c, "role", []string{verify.RoleChiefEngineer, verify.RoleQALead})
	s.bind(c)
	return c
}

func (e *environment) releaseDecided(ctx context.Context, a act, s signing) error {
	x, body, err := decided[readiness.ReleaseAuthorization](ctx, e, a, s)
	if err != nil {
		return err
	}
	return e.give(body, func() { e.release(x) })
}

func releaseRevoke(e *environment) *cobra.Command {
	var reason string
	var s signing
	c := &cobra.Command{
		Use: "revoke RELEASE --reason TEXT", Short: "Take a release back, at once and for good", Args: wants("RELEASE"),
		Long:    "Ends a release: what is not deployed yet will not be. One person suffices, and so does --totp at every safety level: what stops a release must not wait for a key.",
		Example: "  caos release revoke REL-AUTH-NN-DLY-001-1.0.0 --reason 'Estimates below zero at night' --totp",
		RunE: func(c *cobra.Command, args []string) error {
			x, _, err := e.readRelease(c.Context(), args[0])
			if err != nil {
				return err
			}
			e.aside().releaseScope(x)
			e.aside().line("")
			return e.releaseDecided(c.Context(), act{title: "Revoke " + x.AuthorizationID, path: releasePath(x.AuthorizationID) + "/revoke", body: map[string]any{"reason": reason},
				what: []string{"revoke:" + x.AuthorizationID}, says: []string{x.AuthorizationID, reason}, of: "the release above"}, s)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why")
	s.bind(c)
	_ = c.MarkFlagRequired("reason")
	return c
}

func releaseCheck(e *environment) *cobra.Command {
	var platforms []string
	var strategy, at string
	c := &cobra.Command{
		Use: "check RELEASE --platform NAME --strategy CANARY", Short: "Say whether a release would allow a deployment, and why", Args: wants("RELEASE"),
		Long:    "Asks every condition of the authorisation about a deployment, now or at another moment, and changes nothing. The exit code is 0 if it would be allowed and 1 if not.",
		Example: "  caos release check REL-AUTH-NN-DLY-001-1.0.0 --platform ops-east --strategy CANARY --at 2027-01-15",
		RunE: func(c *cobra.Command, args []string) error {
			strategy = strings.ToUpper(strings.ReplaceAll(strategy, "-", "_"))
			if err := oneOf("strategy", strategy, readiness.Strategies()...); err != nil {
				return err
			}
			id, err := e.releaseOf(c.Context(), args[0])
			if err != nil {
				return err
			}
			q := query("strategy", strategy, "platform", strings.Join(platforms, ","))
			words := "now"
			if at != "" {
				t, err := instantOf("at", at, false)
				if err != nil {
					return err
				}
				words = "at " + moment(t)
				q.Set("at", caos.FormatTime(t))
			}
			v, body, err := ask[httpapi.ReleaseCheck](c.Context(), e, getting(releasePath(id)+"/check", q))
			if err != nil {
				return err
			}
			if err := e.give(body, func() { e.releaseChecked(v, id, strings.Join(platforms, ", ")+" by "+strategy+" "+words) }); err != nil || v.Authorised {
				return err
			}
			return failed()
		},
	}
	f := c.Flags()
	f.StringSliceVar(&platforms, "platform", nil, "where")
	f.StringVar(&strategy, "strategy", "", "how: "+strings.Join(readiness.Strategies(), ", "))
	f.StringVar(&at, "at", "", "when, as 2027-01-15 or 2027-01-15T18:00:00Z; now if left out")
	words(c, "strategy", readiness.Strategies())
	_ = c.MarkFlagRequired("platform")
	_ = c.MarkFlagRequired("strategy")
	return c
}

func (e *environment) releaseChecked(v *httpapi.ReleaseCheck, id, what string) {
	verdict := e.paint.good("allows it")
	if !v.Authorised {
		verdict = e.paint.bad("does not allow it")
	}
	e.line("%s %s: %s", e.paint.bold(clean(id)), verdict, clean(what))
	e.line("")
	for _, c := range v.Checks {
		mark := e.paint.good("pass")
		if !c.Pass {
			mark = e.paint.bad("stop")
		}
		e.flow("  "+mark+"  "+e.paint.accent(clean(c.Rule))+" ", "        ", clean(c.Message), asIs)
		if c.Remedy != "" {
			e.flow("        "+e.paint.dim("remedy")+" ", "          ", clean(c.Remedy), asIs)
		}
	}
}
