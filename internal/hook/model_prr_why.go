package hook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/report"
	"caos/internal/verify"
)

// This file answers "caos why MODEL@VERSION prr": what a review would find now, who could
// clear it, and what a review that is going on waits for; and what it would have found at a
// moment that is past.

func (h *modelPRR) now() time.Time {
	if h.clock == nil {
		return time.Now()
	}
	return h.clock()
}

// explain answers the checks of a review for a submission, without one.
func (h *modelPRR) explain(ctx context.Context, d *db.DB, q Question) (out []Verdict, err error) {
	in, err := inputOf[PRRInput](q.Input)
	if err != nil {
		return nil, err
	}
	err = d.Update(ctx, func(tx *db.Tx) error {
		s, err := h.subject(tx, in)
		if err != nil {
			return err
		}
		f, err := h.facts(tx, s, in.CriteriaChecklistID, h.now())
		if err != nil {
			return err
		}
		out = prrVerdicts(f)
		v, err := h.readiness.ReviewOf(tx, s.BaselineID)
		if err != nil {
			return err
		}
		if v != nil && v.Status.Open() {
			waits, err := h.waiting(tx, v)
			if err != nil {
				return err
			}
			out = append(out, waits...)
		}
		if err := h.whoClears(tx, out, f.Freeze.Model); err != nil {
			return err
		}
		return errDryRun
	})
	if !errors.Is(err, errDryRun) {
		return nil, err
	}
	return out, nil
}

// whoClears says of every verdict that does not hold who could clear it.
func (h *modelPRR) whoClears(tx *db.Tx, list []Verdict, m *registry.Model) (err error) {
	at := scope{m.Project, m.Classification, m.Owner}
	for i := range list {
		if list[i].Pass || list[i].Who != nil {
			continue
		}
		if list[i].Who, err = clearers(tx, h.policies, h.people, list[i].clearing, at); err != nil {
			return err
		}
	}
	return nil
}

// waiting says what a review that is going on waits for, and for whom.
func (h *modelPRR) waiting(tx *db.Tx, v *readiness.Review) ([]Verdict, error) {
	barred, err := h.readiness.Barred(tx, v.Subject)
	if err != nil {
		return nil, err
	}
	switch v.Status {
	case readiness.ReviewVoting:
		return h.waitingVotes(tx, v, barred)
	case readiness.ReviewConditional:
		return []Verdict{waitingConditions(v, barredNames(barred))}, nil
	}
	return nil, nil
}

func (h *modelPRR) waitingVotes(tx *db.Tx, v *readiness.Review, barred map[string][]readiness.Hand) ([]Verdict, error) {
	c, err := h.readiness.Tally(tx, v.PRRID)
	if err != nil {
		return nil, err
	}
	out := passes("votes", "The board has voted", map[string]any{"prr_id": v.PRRID, "best": v.Best, "votes": len(v.Votes), "closes_at": caos.FormatTime(v.ClosesAt), "report_id": v.ReportID})
	if c.Final {
		return []Verdict{out}, nil
	}
	chiefs, err := h.people.WithRole(tx, verify.RoleChiefEngineer, v.Project, v.Classification)
	if err != nil {
		return nil, err
	}
	who := slices.DeleteFunc(append(slices.Clone(c.Waiting), chiefs...), func(id string) bool {
		return len(barred[id]) > 0 || slices.ContainsFunc(v.Votes, func(b *readiness.Vote) bool { return b.Person == id })
	})
	slices.Sort(who)
	message := "not every member has voted"
	if len(c.Missing) > 0 {
		message = "the vote lacks " + strings.Join(c.Missing, " and ")
	}
	out = out.stops(clearing{}, v.PRRID, fmt.Sprintf("they vote until %s: caos vote %s approve, conditional or reject", caos.FormatTime(v.ClosesAt), v.PRRID), "%s", message)
	out.Who = &Who{Roles: []string{"prr-board", verify.RoleChiefEngineer}, People: append([]string{}, slices.Compact(who)...)}
	return []Verdict{out}, nil
}

func waitingConditions(v *readiness.Review, barred []string) Verdict {
	var open []string
	not := slices.Clone(barred)
	for _, c := range v.Conditions {
		if c.Status != readiness.ConditionClosed {
			open = append(open, c.ConditionID+" (owner "+c.Owner+", due "+c.DueOn+")")
			not = append(not, c.Owner)
		}
	}
	out := passes("conditions", "Every condition of the board is closed", map[string]any{"prr_id": v.PRRID, "conditions": len(v.Conditions), "open": len(open)})
	if len(open) == 0 {
		return out
	}
	return out.stops(clearing{action: "review:condition", not: not}, v.PRRID, "somebody other than its owner closes each with evidence: caos condition close "+strings.Fields(open[0])[0]+" --evidence ID",
		"%s open: %s", count(len(open), "condition"), some(open))
}

// noHistory is what a verdict about the past says of facts that nobody kept.
const noHistory = "no history is kept of this: it is as of now"

// past answers the checks of a review as they would have been at a moment: checklist, risks
// and problem reports as they read then, the rest as it is now, which the facts say.
func (h *modelPRR) past(ctx context.Context, about Subject) (out []Verdict, err error) {
	at := about.At
	err = h.db.Update(ctx, func(tx *db.Tx) error {
		v, err := h.registry.VersionIn(tx, about.Model, about.Version)
		if err != nil {
			return err
		}
		if v.FrozenAt == nil || v.FrozenAt.After(at) {
			out = []Verdict{passes("version-frozen", "The version is frozen as this baseline, and no further", map[string]any{"frozen_at": v.FrozenAt}).
				stops(clearing{}, registry.VersionKey(v.ModelID, v.Version), "see what stood against its freeze", "%s was not frozen then", registry.VersionKey(v.ModelID, v.Version))}
			return errDryRun
		}
		f, unknown, err := h.pastFacts(tx, v, at)
		if err != nil {
			return err
		}
		out = prrVerdicts(f)
		for i := range out {
			if out[i].Facts == nil {
				out[i].Facts = map[string]any{}
			}
			switch out[i].Gate {
			case "version-frozen", "checklist-critical", "checklist-minor", "risk-register", "risk-critical", "risk-high":
			case "defects":
				out[i].Facts["history"] = "problem reports as they read then; of defect lists " + noHistory
				if unknown > 0 {
					out[i].Facts["without_history"] = unknown
				}
			default:
				out[i].Facts["history"] = noHistory
			}
		}
		return errDryRun
	})
	if !errors.Is(err, errDryRun) {
		return nil, err
	}
	return out, nil
}

// pastFacts reads the facts as far as they were kept. unknown counts problem reports of
// which nobody kept how they read then.
func (h *modelPRR) pastFacts(tx *db.Tx, v *registry.Version, at time.Time) (f *prrFacts, unknown int64, err error) {
	s, err := h.subject(tx, PRRInput{ModelID: v.ModelID, BaselineID: v.BaselineID})
	if err != nil {
		return nil, 0, err
	}
	if f, err = h.facts(tx, s, readinessTemplate, at); err != nil {
		return nil, 0, err
	}
	if f.Checklist, err = h.readiness.ChecklistAt(tx, readinessTemplate, s.BaselineID, at); err != nil {
		return nil, 0, err
	}
	if f.Risks, err = h.risksAt(tx, s, at); err != nil {
		return nil, 0, err
	}
	if f.Freeze.OpenProblems, unknown, err = h.registry.OpenProblemsAt(tx, s.ModelID, s.Version, at); err != nil {
		return nil, 0, err
	}
	if f.Freeze.Version.State, err = h.stateAt(tx, f.Freeze.Version, at); err != nil {
		return nil, 0, err
	}
	return f, unknown, nil
}

func (h *modelPRR) risksAt(tx *db.Tx, s readiness.Subject, at time.Time) ([]*readiness.Risk, error) {
	rows, err := h.readiness.PastOf(tx, "risk", s.ModelID, at)
	if err != nil {
		return nil, err
	}
	out := []*readiness.Risk{}
	for _, raw := range rows {
		var k readiness.Risk
		if err := json.Unmarshal(raw, &k); err != nil {
			return nil, fmt.Errorf("read what was kept of a risk: %w", err)
		}
		if k.Version == "" || k.Version == s.Version {
			out = append(out, &k)
		}
	}
	return out, nil
}

// stateAt is the state of a frozen version at a moment: it became more than FROZEN when a
// review approved it, and more than that when its release was authorised.
func (h *modelPRR) stateAt(tx *db.Tx, v *registry.Version, at time.Time) (registry.State, error) {
	state := registry.Frozen
	rows, err := h.readiness.PastOf(tx, "review", v.BaselineID, at)
	if err != nil {
		return state, err
	}
	for _, raw := range rows {
		var past readiness.Review
		if err := json.Unmarshal(raw, &past); err != nil {
			return state, fmt.Errorf("read what was kept of a review: %w", err)
		}
		if past.Status == readiness.ReviewDecided && past.Decision == report.Approved && v.State != registry.Frozen {
			state = registry.ProductionReady
		}
	}
	a, err := h.authorizationAt(tx, v, at)
	if err == nil && a != nil && a.EndedAt != nil && v.State == registry.Released && a.Status != readiness.AuthorizationRejected {
		state = registry.Released
	}
	return state, err
}

// authorizationAt is the last release authorisation of a version as it read at a moment, nil
// if there was none.
func (h *modelPRR) authorizationAt(tx *db.Tx, v *registry.Version, at time.Time) (last *readiness.ReleaseAuthorization, err error) {
	rows, err := h.readiness.PastOf(tx, "release", v.BaselineID, at)
	if err != nil {
		return nil, err
	}
	for _, raw := range rows {
		var a readiness.ReleaseAuthorization
		if err := json.Unmarshal(raw, &a); err != nil {
			return nil, fmt.Errorf("read what was kept of a release authorisation: %w", err)
		}
		if last == nil || !a.OpenedAt.Before(last.OpenedAt) {
			last = &a
		}
	}
	return last, nil
}
