package hook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/policy"
)

// Who is who could make a gate hold.
type Who struct {
	Roles  []string `json:"roles"`  // that the policies allow it
	People []string `json:"people"` // who hold one of them and may know of the matter, as far as there are any
}

// Subject is what "why" is asked about.
type Subject struct {
	Model, Version string
	At             time.Time // a moment that is past; zero for now
}

// Why says what a hook would do if the caller submitted it for a version of a model now:
// every gate, its facts, and who could clear those that do not hold. It changes nothing. Of
// a moment that is past it says what the gates of the steps would have found, as far as that
// was kept, and not who could have cleared it. Whether the caller may know of the model is
// for whoever asks Why.
//
// Errors: NotFound for a hook that cannot be asked, Invalid for a moment that is to come or
// a hook that keeps nothing of the past.
func (s *Service) Why(ctx context.Context, by caos.Principal, hookID string, about Subject) (*Explanation, error) {
	h := s.hooks[hookID]
	if h == nil || h.Ask == nil {
		return nil, caos.Errorf(caos.NotFound, "nothing explains %q", clip(hookID)).WithField("operation").WithHint("the operation is freeze, prr or release")
	}
	input, err := h.Ask(ctx, about, by)
	if err != nil {
		return nil, err
	}
	named, err := h.Read(ctx, input)
	if err != nil {
		return nil, err
	}
	q := s.question(prepared{hook: h, input: input, named: named}, by)
	if about.At.IsZero() {
		return s.explain(ctx, q, true)
	}
	if h.Past == nil {
		return nil, caos.Errorf(caos.Invalid, "of what stood against a %s in the past nothing is kept", operationOf(hookID)).WithField("at").
			WithHint("ask without it; the past is known of prr and release")
	}
	return s.without(ctx, q, about, h.Past)
}

// WhyRelease says what stands between a version of a model and its release, as Why does.
func (s *Service) WhyRelease(ctx context.Context, by caos.Principal, about Subject) (*Explanation, error) {
	h := s.hooks[prrHook]
	if h == nil || h.Release == nil {
		return nil, caos.Errorf(caos.NotFound, "nothing explains a release here").WithField("operation").WithHint("the operation is freeze")
	}
	input, err := h.Ask(ctx, about, by)
	if err != nil {
		return nil, err
	}
	named, err := h.Read(ctx, input)
	if err != nil {
		return nil, err
	}
	x, err := s.without(ctx, s.question(prepared{hook: h, input: input, named: named}, by), about, h.Release)
	if err == nil {
		x.Hook, x.Best, x.Steps = "", "", []Planned{}
	}
	return x, err
}

// without answers what no submission is behind: verdicts for whoever may know of them.
func (s *Service) without(ctx context.Context, q Question, about Subject, answer func(context.Context, Subject) ([]Verdict, error)) (*Explanation, error) {
	x := &Explanation{Hook: q.Hook.ID, Would: WouldRun, Gates: []Verdict{}, Steps: []Planned{}}
	if at := about.At; !at.IsZero() {
		if at.After(s.now()) {
			return nil, caos.Errorf(caos.Invalid, "%s is yet to come", caos.FormatTime(at)).WithField("at").WithHint("give a moment that is past, or none for now")
		}
		x.At = caos.FormatTime(at)
	}
	mayLook := false
	err := s.db.Update(ctx, func(tx *db.Tx) error {
		first := s.authorised(tx, q)
		if mayLook = first.Pass || s.seesDocuments(tx, q); !mayLook {
			x.Gates = []Verdict{first}
		}
		return errDryRun
	})
	if !errors.Is(err, errDryRun) {
		return nil, err
	}
	if mayLook {
		if x.Gates, err = answer(ctx, about); err != nil {
			return nil, err
		}
	}
	x.conclude()
	for _, v := range x.Gates {
		if !v.Pass && v.Ceiling == "" {
			x.Would = WouldBeRefused
		}
	}
	return x, nil
}

// conclude works out what a board could decide at best, where a board decides.
func (x *Explanation) conclude() {
	for _, v := range x.Gates {
		x.Best = worseOutcome(x.Best, v.Ceiling)
	}
}

// operationOf is what a hook is called by whoever asks why.
func operationOf(hookID string) string {
	return strings.ToLower(hookID[strings.LastIndexByte(hookID, '.')+1:])
}

// explain asks every gate of a submission, and then those of its steps if the first ones let
// it come into being. all says to go on although the caller may not submit.
func (s *Service) explain(ctx context.Context, q Question, all bool) (*Explanation, error) {
	x := &Explanation{Hook: q.Hook.ID, Would: WouldRun, Steps: []Planned{}}
	for _, st := range q.Hook.Flow.Describe() {
		x.Steps = append(x.Steps, Planned{st.Number, st.Action, st.Name, st.Kind})
	}
	mayLook := true
	var hidden error // what a submission would answer without a word more
	err := s.db.Update(ctx, func(tx *db.Tx) error {
		first := s.authorised(tx, q)
		x.Gates = []Verdict{first}
		if !first.Pass && !all && strings.HasPrefix(first.Finding.Rule, "need-to-know-") {
			hidden = caos.Errorf(caos.Denied, "%s", first.Finding.Message).WithRule(first.Finding.Rule)
			return errDryRun
		}
		if mayLook = first.Pass || all && s.seesDocuments(tx, q); !mayLook {
			return errDryRun // what the other gates look at is not for this caller
		}
		for _, g := range q.Hook.Gates {
			facts, err := g.Test(tx, q)
			if err != nil && caos.KindOf(err) == caos.Internal {
				return err
			}
			if e := caos.AsError(err); err != nil && !all && e.Kind == caos.NotFound && e.Field == absentField(q.Input) {
				hidden = err
				return errDryRun
			}
			x.Gates = append(x.Gates, verdict(g, facts, err))
		}
		return errDryRun
	})
	if !errors.Is(err, errDryRun) {
		return nil, err
	}
	if hidden != nil {
		return nil, hidden
	}
	for _, v := range x.Gates {
		if !v.Pass {
			x.Would = WouldBeRefused
		}
	}
	if q.Hook.Explain == nil || !mayLook {
		return x, nil
	}
	further, err := q.Hook.Explain(ctx, s.db, q)
	if caos.KindOf(err) == caos.NotFound {
		return x, nil // an earlier gate has said what is not there
	}
	if err != nil {
		return nil, err
	}
	for _, v := range further {
		if !v.Pass && v.Ceiling == "" && x.Would == WouldRun && !waits(v) {
			x.Would = WouldFail
		}
	}
	x.Gates = append(x.Gates, further...)
	x.conclude()
	return x, nil
}

// waits reports whether a verdict is about a review that is going on already.
func waits(v Verdict) bool { return v.Gate == "votes" || v.Gate == "conditions" }

// authorised is the verdict about the caller. That a second factor is missing stops nobody
// here: nothing happens yet.
func (s *Service) authorised(tx *db.Tx, q Question) Verdict {
	g := Gate{Name: "authorised", Action: "The caller may submit this hook"}
	err := s.authorise(tx, q)
	if caos.KindOf(err) == caos.StepUp {
		return verdict(g, map[string]any{"second_factor": "needed with the submission"}, nil)
	}
	return verdict(g, nil, err)
}

// seesDocuments reports whether the caller may know what documents about the matter say.
func (s *Service) seesDocuments(tx *db.Tx, q Question) bool {
	return s.auth.Authorize(tx, q.By, "document:read", auth.Resource{Type: "Document", ID: q.Named.Model, Project: q.Named.Project, Classification: q.Named.highest()}, nil) == nil
}

// scope is where something lies that a clearing is about.
type scope struct {
	project, classification, owner string
}

// clearers finds who may do what a gate wants: the roles by asking the policies for each,
// and the people among those who hold one.
func clearers(tx *db.Tx, policies *policy.Set, people People, c clearing, at scope) (*Who, error) {
	who := &Who{Roles: []string{}, People: []string{}}
	if c.action == "" || policies == nil || people == nil {
		return nil, nil
	}
	for _, role := range caos.Roles() {
		if len(c.only) > 0 && !slices.Contains(c.only, role) {
			continue
		}
		holders, err := people.WithRole(tx, role, at.project, at.classification)
		if err != nil {
			return nil, err
		}
		holders = slices.DeleteFunc(holders, func(id string) bool { return slices.Contains(c.not, id) || !mayClear(policies, c, at, id, role) })
		if len(holders) == 0 && !mayClear(policies, c, at, "", role) {
			continue
		}
		who.Roles = append(who.Roles, role)
		who.People = append(who.People, holders...)
	}
	slices.Sort(who.People)
	who.People = slices.Compact(who.People)
	return who, nil
}

// mayClear asks the policies about somebody with one role and all the clearance there is.
func mayClear(policies *policy.Set, c clearing, at scope, id, role string) bool {
	types := policies.ResourceTypes(c.action)
	if len(types) == 0 {
		return false
	}
	subject := policies.NewSubject(caos.Principal{ID: cmp.Or(id, "nobody"), Roles: []string{role}}, policy.Standing{Clearances: []string{"Restricted", "Confidential", "Regulated"}}).WithMFA(true)
	return policies.Decide(policy.Request{Subject: subject, Action: c.action, ResourceType: types[0], Resource: cmp.Or(c.resource, "any"), Context: c.context,
		Attrs: policy.Attributes{Project: at.project, Classification: at.classification, Owner: at.owner}}).Allow
}

// explain answers the gates of step 1 for a submission, without one.
func (h *modelFreeze) explain(ctx context.Context, d *db.DB, q Question) ([]Verdict, error) {
	in, err := inputOf[FreezeInput](q.Input)
	if err != nil {
		return nil, err
	}
	var out []Verdict
	var documents []gateDocument
	err = d.Update(ctx, func(tx *db.Tx) error {
		facts, err := h.registry.FreezeFacts(tx, in.ModelID, in.ModelVersion, in.VVReportID)
		if err != nil {
			return err
		}
		out, documents = freezeVerdicts(facts, freezeQuery{in: in}), gateDocuments(facts)
		at := scope{facts.Model.Project, facts.Model.Classification, facts.Model.Owner}
		for i := range out {
			if !out[i].Pass {
				if out[i].Who, err = clearers(tx, h.policies, h.people, out[i].clearing, at); err != nil {
					return err
				}
			}
		}
		return errDryRun
	})
	if !errors.Is(err, errDryRun) {
		return nil, err
	}
	hashed, err := h.hash(ctx, documents)
	if err != nil {
		return nil, err
	}
	return append(out, documentsUnchanged(documents, hashed)), nil
}

// ask makes the input of a freeze that somebody wonders about: with the latest V&V report of
// the version, and themselves as the requester.
func (h *modelFreeze) ask(ctx context.Context, about Subject, by caos.Principal) (json.RawMessage, error) {
	if h.registry == nil {
		return nil, caos.Errorf(caos.Unavailable, "this installation has no model registry")
	}
	in := FreezeInput{ModelID: about.Model, ModelVersion: about.Version, VVStatus: "PASSED", FreezeRequester: by.ID, FreezeRationale: "why"}
	report, err := h.latestReport(ctx, about)
	if err != nil {
		return nil, err
	}
	if report != nil {
		in.VVReportID = report.DocumentID
		in.VVStatus = cmp.Or(report.Stated, "PASSED")
	}
	return json.Marshal(in)
}

// Interfaces that package auth has to satisfy.
var _ People = (*auth.Auth)(nil)
