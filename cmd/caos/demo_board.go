package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"caos"
	flightdelay "caos/examples/flight-delay"
	"caos/internal/auth"
	"caos/internal/client"
	"caos/internal/engine"
	"caos/internal/hook"
	"caos/internal/httpapi"
	"caos/internal/importer"
	"caos/internal/readiness"
	"caos/internal/verify"
)

// The third part of the story: a board looks at the frozen model, votes, and two people
// release it. Nothing in it is deployed, and the checklist says so: what would be about a
// place of operation is answered as not applicable, by somebody who may and who signs it.
const (
	hookReview    = "CAOS.PROD.MODEL.PRR"
	secondMember  = "prr-board-2"
	demoPlatform  = "demo-server"
	notDeployed   = "A demonstration: nothing is deployed, so the question does not arise"
	demoCondition = "Those who use it read that a single forecast is hardly better than a constant"
)

// boardScenes are told after the freeze.
func (st *stage) boardScenes() []func(context.Context) error {
	return []func(context.Context) error{st.modelEvidence, st.signingKeys, st.riskRegister, st.whyNotReady, st.checklist, st.review, st.votes, st.conditions, st.release}
}

// signingKeys gives three people keys of their own, each with somebody else's word.
func (st *stage) signingKeys(ctx context.Context) error {
	st.screen.chapter("Keys of their own, so that not even the server can vote for them")
	for _, k := range []struct{ who, by string }{{"chief-engineer", "qa-lead"}, {"prr-board", "chief-engineer"}, {"qa-lead", "configuration-manager"}} {
		key, err := st.enrol(ctx, k.who)
		if err != nil {
			return err
		}
		path := "/v1/keys/" + escape(key.ID) + "/countersign"
		if k.who == "chief-engineer" {
			err = st.people[k.who].Post(ctx, path, nil, nil)
			if err := st.refused(k.who+" vouches for their own key", err); err != nil {
				return err
			}
		}
		if err := st.people[k.by].Post(ctx, path, nil, &key); err != nil {
			return err
		}
		if key.Status != auth.KeyActive {
			return fmt.Errorf("the key of %s is %s", k.who, key.Status)
		}
		st.screen.good("%s enrols an SSH key, and %s vouches for it with a second factor", k.who, k.by)
	}
	return nil
}

// sign does something that a person answers for with their own key: it asks what is to be
// signed, signs that, and sends it.
func (st *stage) sign(ctx context.Context, who, path string, body map[string]any, into any) error {
	a, err := st.people[who].Do(ctx, client.Call{Method: http.MethodPost, Path: path, Query: query("propose", "true"), JSON: body})
	if err != nil {
		return err
	}
	var p readiness.Proposal
	if err := a.Decode(&p); err != nil {
		return err
	}
	if p.Namespace != verify.DecisionNamespace {
		return fmt.Errorf("the server asks %s for a signature in the namespace %q", who, p.Namespace)
	}
	signer := st.signers[who]
	signature, err := sshSignature(signer.PublicKey(), p.Namespace, []byte(p.Statement), signWith(signer))
	if err != nil {
		return err
	}
	signed := map[string]any{"statement": p.Statement, "signature": string(signature)}
	for k, v := range body {
		signed[k] = v
	}
	return st.people[who].Post(ctx, path, signed, into)
}

// signWith signs with a key that is at hand.
func signWith(signer ssh.Signer) func([]byte) (*ssh.Signature, error) {
	return func(b []byte) (*ssh.Signature, error) { return signer.Sign(rand.Reader, b) }
}

// imported has the configuration manager import a table of the example's.
func (st *stage) imported(ctx context.Context, name string) (importer.Report, error) {
	var report importer.Report
	text, err := flightdelay.Files.ReadFile(name)
	if err != nil {
		return report, err
	}
	a, err := st.people["configuration-manager"].Do(ctx, client.Call{Method: http.MethodPost, Path: "/v1/imports", Query: query("name", name),
		Body: text, Header: http.Header{"Content-Type": {"text/csv"}}})
	if err != nil {
		return report, err
	}
	err = a.Decode(&report)
	return report, err
}

// riskRegister imports the risks of the model.
func (st *stage) riskRegister(ctx context.Context) error {
	st.screen.chapter("What could go wrong")
	if _, err := st.imported(ctx, flightdelay.RiskFile); err != nil {
		return err
	}
	risks, _, err := unpaged[readiness.Risk](ctx, st.people["safety-engineer"], "/v1/risks", query("model_id", frozenModel))
	if err != nil {
		return err
	}
	levels := map[string]int{}
	for _, k := range risks {
		levels[string(k.Level)]++
	}
	var words []string
	for _, level := range []string{"Critical", "High", "Medium", "Low"} {
		if n := levels[level]; n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, level))
		}
	}
	st.screen.good("the register of %s: %s (%s by the programme's scale)", flightdelay.RiskFile, plural(len(risks), "risk", "risks"), strings.Join(words, ", "))
	return nil
}

// whyNotReady shows what stands between the frozen version and its review.
func (st *stage) whyNotReady(ctx context.Context) error {
	st.screen.chapter("Is it ready for production?")
	var x hook.Explanation
	if err := st.people["release-manager"].Get(ctx, demoVersion()+"/why/prr", nil, &x); err != nil {
		return err
	}
	stops := 0
	for _, g := range x.Gates {
		if g.Finding == nil || g.Gate == "board" || g.Gate == "authorised" {
			continue // who will sit on the board is said when it is called
		}
		if stops++; stops <= 4 {
			st.screen.caught("%s: %s", g.Finding.Rule, g.Finding.Message)
		}
	}
	if stops == 0 {
		return errors.New("nothing stands against a review, though no question of the checklist was answered")
	}
	return nil
}

// checklist answers the questions.
func (st *stage) checklist(ctx context.Context) error {
	st.screen.chapter("Thirty-two questions, each answered with evidence or a signature")
	lists, _, err := unpaged[readiness.Checklist](ctx, st.people["qa-lead"], "/v1/checklists", query("baseline_id", st.baseline))
	if err != nil {
		return err
	}
	if len(lists) != 1 {
		return fmt.Errorf("%s has %d checklists", st.baseline, len(lists))
	}
	var list readiness.Checklist
	path := "/v1/checklists/" + escape(lists[0].ChecklistID)
	if err := st.people["qa-lead"].Get(ctx, path, nil, &list); err != nil {
		return err
	}
	evidence := map[string][]string{
		"2.1": {flightdelay.VVReport}, "2.2": {flightdelay.VVReport}, "2.3": {flightdelay.VVReport}, "3.2": {"95-00-07-DLY-003", flightdelay.VVReport},
		"3.3": {"95-00-07-DLY-003"}, "4.3": {st.baseline}, "6.3": {flightdelay.VVReport}, "7.2": {"95-00-04-DLY-001"}, "8.1": {st.vvEvidence},
	}
	byFreeze, shown, none := 0, 0, 0
	for _, it := range list.Items {
		item := path + "/items/" + escape(it.ItemID)
		switch ids := evidence[it.ItemID]; {
		case it.Status == readiness.ItemComplete:
			byFreeze++
		case len(ids) > 0:
			who := "vv-lead"
			if it.OwnerRole == "certification" || it.OwnerRole == "data-engineer" {
				who = it.OwnerRole
			}
			if shown++; shown == 1 {
				if err := st.emptyAnswer(ctx, who, item); err != nil {
					return err
				}
			}
			if err := st.people[who].Post(ctx, item+"/complete", map[string]any{"evidence": ids}, nil); err != nil {
				return err
			}
		default:
			none++
			if err := st.sign(ctx, "qa-lead", item+"/complete", map[string]any{"not_applicable": true, "reason": notDeployed}, nil); err != nil {
				return err
			}
		}
	}
	st.screen.good("the freeze itself answered %d, by what it proved", byFreeze)
	st.screen.good("%d are answered with evidence", shown)
	st.screen.good("%d do not arise, because nothing is deployed here: qa-lead says so and signs each with their own key", none)
	return nil
}

// emptyAnswer is a question ticked off with nothing to show.
func (st *stage) emptyAnswer(ctx context.Context, who, item string) error {
	err := st.people[who].Post(ctx, item+"/complete", map[string]any{"evidence": []string{}}, nil)
	if e := caos.AsError(err); err == nil || e.Kind != caos.Invalid {
		return fmt.Errorf("an item was completed with nothing to show: %w", err)
	}
	st.screen.caught("%s ticks an item off with nothing to show: %s", who, caos.AsError(err).Message)
	return nil
}

// review calls the board.
func (st *stage) review(ctx context.Context) error {
	st.screen.chapter("The review")
	const who = "release-manager"
	board := []string{"model-owner", "prr-board", secondMember}
	body, err := json.Marshal(hook.PRRInput{ModelID: frozenModel, BaselineID: st.baseline, CriteriaChecklistID: "95-00-09-01-005",
		PRRBoardMembers: append(board, "vv-lead"), PRRDate: time.Now().UTC().AddDate(0, 0, 7).Format(time.DateOnly)})
	if err != nil {
		return err
	}
	_, err = submit(ctx, st.people[who], submission{hook: hookReview, body: body})
	if e := caos.AsError(err); err == nil || e.Rule == "" {
		return fmt.Errorf("a board with somebody who is not on it: %w", err)
	}
	st.screen.caught("a board that names vv-lead: %s", caos.AsError(err).Message)
	if body, err = json.Marshal(hook.PRRInput{ModelID: frozenModel, BaselineID: st.baseline, CriteriaChecklistID: "95-00-09-01-005",
		PRRBoardMembers: board, PRRDate: time.Now().UTC().AddDate(0, 0, 7).Format(time.DateOnly)}); err != nil {
		return err
	}
	st.screen.hook(hookReview, frozenModel+" "+frozenVersion, who)
	a, err := submit(ctx, st.people[who], submission{hook: hookReview, body: body})
	if err != nil {
		return err
	}
	x, err := execution(a.Body)
	if err != nil {
		return err
	}
	if x, err = st.until(ctx, who, x, 0); err != nil {
		return err
	}
	st.prr = x.ID
	reviews, _, err := unpaged[readiness.Review](ctx, st.people["chief-engineer"], "/v1/reviews", query("baseline_id", st.baseline))
	if err != nil {
		return err
	}
	if len(reviews) != 1 || reviews[0].Status != readiness.ReviewVoting {
		return fmt.Errorf("%d reviews of %s, the execution is %s: %v", len(reviews), st.baseline, x.Status, x.Findings)
	}
	r := reviews[0]
	st.reviewID = r.PRRID
	for _, format := range []string{"html", "pdf"} {
		var b bytes.Buffer
		if _, err := st.people["prr-board"].Download(ctx, "/v1/reviews/"+escape(r.PRRID)+"/report", query("format", format), &b); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(st.dir, r.PRRID+"."+format), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	st.screen.facts(pair{"review", r.PRRID}, pair{"report", r.ReportID + ", for the board to read: " + r.PRRID + ".html and .pdf"}, pair{"best possible", r.Best},
		pair{"votes until", caos.FormatTime(r.ClosesAt)})
	return nil
}

// until follows an execution until it waits or has ended, and shows the actions after the
// given one.
func (st *stage) until(ctx context.Context, who string, x *engine.Execution, after int) (*engine.Execution, error) {
	for deadline := time.Now().Add(patience); x.Status != engine.Waiting && !x.Status.Final(); {
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%s is %s", x.ID, x.Status)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
		var err error
		if x, err = executionOf(ctx, st.people[who], x.ID); err != nil {
			return nil, err
		}
	}
	for _, a := range actionsOf(x) {
		if a.Number > after && a.FinishedAt != nil {
			st.screen.step(a)
		}
	}
	return x, nil
}

// votes lets the board vote: with keys, and with a second factor where that is allowed.
func (st *stage) votes(ctx context.Context) error {
	st.screen.chapter("The votes")
	path := "/v1/reviews/" + escape(st.reviewID) + "/votes"
	err := st.people["model-owner"].Post(ctx, path, map[string]any{"outcome": "APPROVED"}, nil)
	if err := st.refused("model-owner, who sits on the board, votes for their own model", err); err != nil {
		return err
	}
	due := time.Now().UTC().AddDate(0, 0, 14).Format(time.DateOnly)
	if err := st.sign(ctx, "prr-board", path, map[string]any{"outcome": "CONDITIONAL",
		"conditions": []map[string]any{{"text": demoCondition, "owner": "model-owner", "due_on": due}}}, nil); err != nil {
		return err
	}
	st.screen.good("prr-board votes CONDITIONAL with their own key: %q", demoCondition)
	err = st.sign(ctx, "prr-board", path, map[string]any{"outcome": "APPROVED"}, nil)
	if caos.KindOf(err) != caos.Conflict {
		return fmt.Errorf("a second vote: %w", err)
	}
	st.screen.caught("prr-board votes again: %s", caos.AsError(err).Message)
	if err := st.people[secondMember].Post(ctx, path, map[string]any{"outcome": "APPROVED"}, nil); err != nil {
		return err
	}
	st.screen.good("%s votes APPROVED with a second factor: shown as asserted by the server", secondMember)
	if err := st.sign(ctx, "chief-engineer", path, map[string]any{"outcome": "APPROVED"}, nil); err != nil {
		return err
	}
	st.screen.good("chief-engineer votes APPROVED with their own key: everybody who may has spoken")
	return nil
}

// conditions closes what the board asked for, by somebody else than its owner.
func (st *stage) conditions(ctx context.Context) error {
	st.screen.chapter("The condition")
	x, err := executionOf(ctx, st.people["release-manager"], st.prr)
	if err != nil {
		return err
	}
	if x, err = st.until(ctx, "release-manager", x, 4); err != nil {
		return err
	}
	var r readiness.Review
	if err := st.people["qa-lead"].Get(ctx, "/v1/reviews/"+escape(st.reviewID), nil, &r); err != nil {
		return err
	}
	if r.BoardDecision != "CONDITIONAL" || len(r.Conditions) != 1 {
		return fmt.Errorf("the board decided %q with %d conditions; the execution is %s: %v", r.BoardDecision, len(r.Conditions), x.Status, x.Findings)
	}
	c := r.Conditions[0]
	st.screen.good("the board's decision is CONDITIONAL: %s is open until somebody other than %s closes it", c.ConditionID, c.Owner)
	path := "/v1/reviews/" + escape(st.reviewID) + "/conditions/" + escape(c.ConditionID) + "/close"
	card := map[string]any{"evidence": []string{"95-00-04-DLY-001"}, "note": "The model card says so in its first section"}
	err = st.people["model-owner"].Post(ctx, path, card, nil)
	if err := st.refused("model-owner closes it", err); err != nil {
		return err
	}
	if err := st.sign(ctx, "qa-lead", path, card, nil); err != nil {
		return err
	}
	st.screen.good("qa-lead closes it with the model card as evidence and their own key")
	if x, err = executionOf(ctx, st.people["release-manager"], x.ID); err != nil {
		return err
	}
	if x, err = st.until(ctx, "release-manager", x, 5); err != nil {
		return err
	}
	st.result.Hooks[hookReview] = demoHook{Execution: x.ID, Status: x.Status, Output: x.Output}
	var out hook.PRROutput
	if err := json.Unmarshal(x.Output, &out); err != nil || out.PRRDecision == nil || *out.PRRDecision != "APPROVED" {
		return fmt.Errorf("the review did not end APPROVED: %s: %w", x.Output, err)
	}
	st.screen.good("%s: %s, and %s %s is PRODUCTION_READY", st.reviewID, *out.PRRDecision, frozenModel, frozenVersion)
	return nil
}

// release authorises the release by two people.
func (st *stage) release(ctx context.Context) error {
	st.screen.chapter("The release: two roles, two people")
	list, _, err := unpaged[readiness.ReleaseAuthorization](ctx, st.people["release-manager"], "/v1/release-authorizations", query("baseline_id", st.baseline))
	if err != nil {
		return err
	}
	if len(list) != 1 {
		return fmt.Errorf("%s has %d release authorisations", st.baseline, len(list))
	}
	id := list[0].AuthorizationID
	path := "/v1/release-authorizations/" + escape(id)
	scope := map[string]any{"platforms": []string{demoPlatform}, "strategies": []string{"CANARY"}, "not_after": caos.FormatTime(time.Now().AddDate(0, 1, 0)),
		"rationale": "Shown to those who plan turnarounds, beside the figures that they have"}
	if _, err := st.people["release-manager"].Do(ctx, client.Call{Method: http.MethodPatch, Path: path, JSON: scope}); err != nil {
		return err
	}
	if err := st.people["release-manager"].Post(ctx, path+"/request", nil, nil); err != nil {
		return err
	}
	st.screen.good("release-manager asks for %s: %s, CANARY, one month", id, demoPlatform)
	err = st.people["release-manager"].Post(ctx, path+"/approve", map[string]any{}, nil)
	if err := st.refused("release-manager approves it", err); err != nil {
		return err
	}
	for _, who := range []string{"chief-engineer", "qa-lead"} {
		if err := st.sign(ctx, who, path+"/approve", map[string]any{"role": who}, nil); err != nil {
			return err
		}
		st.screen.good("%s approves it with their own key", who)
		if who == "chief-engineer" {
			err := st.sign(ctx, who, path+"/approve", map[string]any{"role": "qa-lead"}, nil)
			if err := st.refused("chief-engineer approves it again, for qa-lead", err); err != nil {
				return err
			}
		}
	}
	for _, platform := range []string{demoPlatform, "another-server"} {
		var answer httpapi.ReleaseCheck
		if err := st.people["mlops-engineer"].Get(ctx, path+"/check", query("platform", platform, "strategy", "CANARY"), &answer); err != nil {
			return err
		}
		if answer.Authorised != (platform == demoPlatform) {
			return fmt.Errorf("%s on %s: authorised is %t", id, platform, answer.Authorised)
		}
		if answer.Authorised {
			st.screen.good("would it allow a deployment to %s? yes", platform)
			continue
		}
		i := slices.IndexFunc(answer.Checks, func(c readiness.Check) bool { return !c.Pass })
		st.screen.caught("would it allow one to %s? no: %s", platform, answer.Checks[i].Message)
	}
	return nil
}
