package hook

import (
	"context"
	"errors"
	"slices"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/verify"
)

// This file answers "caos why MODEL@VERSION release": what stands between a version and its
// release. Whether the release authorisation allows a deployment is decided by
// readiness.Authorises alone, the same function that whatever deploys asks.

// release answers about a version, now or at about.At.
func (h *modelPRR) release(ctx context.Context, about Subject) (out []Verdict, err error) {
	err = h.db.Update(ctx, func(tx *db.Tx) error {
		m, err := h.registry.ModelIn(tx, about.Model)
		if err != nil {
			return err
		}
		v, err := h.registry.VersionIn(tx, about.Model, about.Version)
		if err != nil {
			return err
		}
		if out, err = h.releaseVerdicts(tx, v, about.At); err != nil {
			return err
		}
		if about.At.IsZero() {
			if err := h.whoClears(tx, out, m); err != nil {
				return err
			}
		}
		return errDryRun
	})
	if !errors.Is(err, errDryRun) {
		return nil, err
	}
	return out, nil
}

// releaseVerdicts answers every condition of a release: at is a moment that is past, or zero
// for now.
func (h *modelPRR) releaseVerdicts(tx *db.Tx, v *registry.Version, at time.Time) ([]Verdict, error) {
	state, moment := v.State, at
	if at.IsZero() {
		moment = h.now()
	}
	var b *registry.Baseline
	var a *readiness.ReleaseAuthorization
	var err error
	if v.BaselineID != "" {
		if b, err = h.registry.BaselineIn(tx, v.BaselineID); err != nil {
			return nil, err
		}
	}
	switch {
	case at.IsZero():
		a, err = h.readiness.LatestAuthorization(tx, v.ModelID, v.Version)
	case v.FrozenAt == nil || v.FrozenAt.After(at):
		b, state = nil, registry.Registered
	default:
		if state, err = h.stateAt(tx, v, at); err == nil {
			a, err = h.authorizationAt(tx, v, at)
		}
	}
	if err != nil {
		return nil, err
	}
	out := []Verdict{stateForRelease(v, state), authorisationOpen(v, a)}
	if a == nil || b == nil {
		return out, nil
	}
	approvals, err := h.approvals(tx, a, at.IsZero())
	if err != nil {
		return nil, err
	}
	out = append(out, approvals...)
	out = append(out, authorised(a, b, moment)...)
	intact := baselineIntact(&prrFacts{Subject: a.Subject, Baseline: b})
	intact.Ceiling = ""
	if !at.IsZero() {
		intact.Facts["history"] = noHistory
	}
	if out = append(out, intact); !at.IsZero() {
		return out, nil // the facts of a review have a past of their own: why prr --at
	}
	still, err := h.readyStill(tx, a.Subject, moment)
	return append(out, still), err
}

func stateForRelease(v *registry.Version, state registry.State) Verdict {
	key := registry.VersionKey(v.ModelID, v.Version)
	out := passes("version-state", "A review has found the version ready for production", map[string]any{"state": state})
	if state == registry.ProductionReady || state == registry.Released {
		return out
	}
	return out.stops(clearing{}, key, "see what stands between it and a review: caos why "+key+" prr", "%s is %s", key, state)
}

func authorisationOpen(v *registry.Version, a *readiness.ReleaseAuthorization) Verdict {
	key := registry.VersionKey(v.ModelID, v.Version)
	out := passes("release-open", "A release authorisation of the version was opened", map[string]any{"authorization": "none"})
	if a == nil {
		return out.stops(clearing{action: "release:write"}, key, "a review that approves the version opens it; later ones: caos release open "+key,
			"there is no release authorisation of %s", key)
	}
	out.Facts = map[string]any{"authorization": a.AuthorizationID, "status": a.Status, "prr_id": a.PRRID, "platforms": a.Platforms, "strategies": a.Strategies}
	return out
}

// approvals answers for each role that has to approve whether it did, and who could.
func (h *modelPRR) approvals(tx *db.Tx, a *readiness.ReleaseAuthorization, now bool) ([]Verdict, error) {
	_, rules := verify.ShippedDecisionPolicy()
	barred, err := h.readiness.Barred(tx, a.Subject)
	if err != nil {
		return nil, err
	}
	var out []Verdict
	for _, role := range rules.Release.Roles {
		v := passes("approval-"+role, "A "+role+" who had no hand in the version approved the release", map[string]any{"authorization": a.AuthorizationID})
		i := slices.IndexFunc(a.Approvals, func(d *readiness.Decision) bool { return d.Role == role && d.Outcome == verify.OutcomeApproved })
		if i >= 0 {
			v.Facts["approved_by"], v.Facts["decision_id"] = a.Approvals[i].Person, a.Approvals[i].DecisionID
			out = append(out, v)
			continue
		}
		v = v.stops(clearing{}, a.AuthorizationID, approvalRemedy(a), "the approval of a %s is missing", role)
		if now {
			holders, err := h.people.WithRole(tx, role, a.Project, a.Classification)
			if err != nil {
				return nil, err
			}
			holders = slices.DeleteFunc(holders, func(id string) bool {
				return len(barred[id]) > 0 || slices.ContainsFunc(a.Approvals, func(d *readiness.Decision) bool { return d.Person == id })
			})
			v.Who = &Who{Roles: []string{role}, People: append([]string{}, holders...)}
		}
		out = append(out, v)
	}
	return out, nil
}

func approvalRemedy(a *readiness.ReleaseAuthorization) string {
	switch a.Status {
	case readiness.AuthorizationDraft:
		return "it is a draft: a release manager gives it a scope and asks for it, then it is approved: caos release request " + a.AuthorizationID
	case readiness.AuthorizationRequested:
		return "caos release approve " + a.AuthorizationID
	}
	return "ask for another authorisation: caos release open " + registry.VersionKey(a.ModelID, a.Version)
}

// authorised asks the authorisation about its own baseline on its own platforms by the first
// strategy that it allows: whether it is in force at all.
func authorised(a *readiness.ReleaseAuthorization, b *registry.Baseline, at time.Time) []Verdict {
	d := readiness.Deployment{BaselineID: b.BaselineID, RootDigest: b.RootDigest, Platforms: a.Platforms, At: at}
	if len(a.Strategies) > 0 {
		d.Strategy = a.Strategies[0]
	}
	var out []Verdict
	for _, c := range readiness.Authorises(a, d) {
		v := passes(c.Rule, c.Message, map[string]any{"authorization": a.AuthorizationID})
		switch c.Rule {
		case "release-window":
			v.Facts["at"] = caos.FormatTime(at)
		case "release-platforms":
			v.Facts["platforms"] = a.Platforms
		case "release-strategy":
			v.Facts["strategies"] = a.Strategies
		}
		if !c.Pass {
			by := clearing{}
			if a.Status == readiness.AuthorizationDraft {
				by = clearing{action: "release:write"}
			}
			v = v.stops(by, a.AuthorizationID, c.Remedy, "%s", c.Message)
		}
		v.Action = releaseAction(c.Rule)
		out = append(out, v)
	}
	return out
}

// releaseAction says in words what a condition of a release protects.
func releaseAction(rule string) string {
	switch rule {
	case "release-authorised":
		return "The release authorisation is in force"
	case "release-baseline":
		return "It is for the bytes that were frozen"
	case "release-platforms":
		return "It names the platforms"
	case "release-strategy":
		return "It allows a strategy"
	case "release-window":
		return "Its window is open"
	}
	return rule
}
