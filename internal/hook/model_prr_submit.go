package hook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/verify"
)

// This file has what the request for a review alone shows: the gates before an execution
// comes into being, and the input that is meant when somebody wonders.

func (h *modelPRR) baselineKnown(tx *db.Tx, q Question) (map[string]any, error) {
	in, err := inputOf[PRRInput](q.Input)
	if err != nil {
		return nil, err
	}
	facts := map[string]any{"model_id": in.ModelID, "baseline_id": in.BaselineID}
	s, err := h.subject(tx, in)
	if err != nil {
		return facts, err
	}
	v, err := h.registry.VersionIn(tx, s.ModelID, s.Version)
	if err != nil {
		return facts, err
	}
	facts["model_version"], facts["state"] = v.Version, v.State
	if v.State != registry.Frozen || v.BaselineID != s.BaselineID {
		return facts, caos.Errorf(caos.Conflict, "%s is %s, and only a FROZEN version is reviewed", registry.VersionKey(s.ModelID, s.Version), v.State).
			WithField("baseline_id").WithRule("baseline-known").WithHint("freeze the next version and review that")
	}
	return facts, nil
}

// reviewOpen refuses a second review while one is going on, naming it.
func (h *modelPRR) reviewOpen(tx *db.Tx, q Question) (map[string]any, error) {
	in, err := inputOf[PRRInput](q.Input)
	if err != nil {
		return nil, err
	}
	v, err := h.readiness.ReviewOf(tx, in.BaselineID)
	if err != nil || v == nil {
		return nil, err
	}
	facts := map[string]any{"prr_id": v.PRRID, "status": v.Status}
	if v.Status.Open() {
		return facts, caos.Errorf(caos.Conflict, "the review %s of %s is going on", v.PRRID, v.BaselineID).WithField("baseline_id").WithRule(readiness.RuleReviewOpen).
			WithHint("see what it waits for: caos review show %s", v.PRRID)
	}
	return facts, nil
}

func (h *modelPRR) checklistThere(tx *db.Tx, q Question) (map[string]any, error) {
	in, err := inputOf[PRRInput](q.Input)
	if err != nil {
		return nil, err
	}
	facts := map[string]any{"criteria_checklist_id": in.CriteriaChecklistID}
	t, err := h.readiness.TemplateIn(tx, in.CriteriaChecklistID, "")
	if err != nil {
		return facts, named(err, "criteria_checklist_id")
	}
	if t.Project != "" && t.Project != q.Named.Project {
		return facts, caos.Errorf(caos.NotFound, "there is no checklist template %s, or it is not for this project", in.CriteriaChecklistID).WithField("criteria_checklist_id")
	}
	c, err := h.readiness.ChecklistOf(tx, in.CriteriaChecklistID, in.BaselineID)
	if err != nil {
		return facts, named(err, "criteria_checklist_id")
	}
	critical, minor := c.Open()
	facts["checklist_id"], facts["open_critical"], facts["open_minor"] = c.ChecklistID, len(critical), len(minor)
	return facts, nil
}

// boardKnown refuses a member who could not vote as one.
func (h *modelPRR) boardKnown(tx *db.Tx, q Question) (map[string]any, error) {
	in, err := inputOf[PRRInput](q.Input)
	if err != nil {
		return nil, err
	}
	facts := map[string]any{"members": len(in.PRRBoardMembers)}
	holders, err := h.people.WithRole(tx, "prr-board", q.Named.Project, q.Named.Classification)
	if err != nil {
		return facts, err
	}
	for i, m := range in.PRRBoardMembers {
		refuse := func(hint, format string, args ...any) error {
			return caos.Errorf(caos.Invalid, format, args...).WithField(fmt.Sprintf("prr_board_members[%d]", i)).WithRule("board").WithHint("%s", hint)
		}
		known, err := h.people.KnownPerson(tx, m)
		switch {
		case err != nil:
			return facts, err
		case slices.Contains(in.PRRBoardMembers[:i], m):
			return facts, refuse("name each member once", "%s is named twice", m)
		case !known:
			return facts, refuse("name members by the ids of their accounts", "%s is no enabled person of this installation", m)
		case !slices.Contains(holders, m):
			return facts, refuse("an admin grants the role, with the project and clearance that it takes: caos user grant "+m+" prr-board",
				"%s does not hold prr-board, or may not know of %s", m, in.ModelID)
		}
	}
	return facts, nil
}

// quorumReachable refuses a board that could never decide: those who had a hand in the
// version are barred, and so is who asks.
func (h *modelPRR) quorumReachable(tx *db.Tx, q Question) (map[string]any, error) {
	in, err := inputOf[PRRInput](q.Input)
	if err != nil {
		return nil, err
	}
	s, err := h.subject(tx, in)
	if err != nil {
		return nil, err
	}
	barred, err := h.readiness.Barred(tx, s)
	if err != nil {
		return nil, err
	}
	names := barredNames(barred)
	for _, id := range []string{q.By.ID, q.By.EnabledBy} {
		if id != "" && !slices.Contains(names, id) {
			names = append(names, id)
		}
	}
	chiefs, err := h.people.WithRole(tx, verify.RoleChiefEngineer, s.Project, s.Classification)
	if err != nil {
		return nil, err
	}
	among := slices.DeleteFunc(slices.Clone(names), func(id string) bool { return !slices.Contains(in.PRRBoardMembers, id) && !slices.Contains(chiefs, id) })
	facts := map[string]any{"members": len(in.PRRBoardMembers), "chief_engineers": len(chiefs), "barred": among}
	_, rules := verify.ShippedDecisionPolicy()
	if ok, why := rules.CanReach(in.PRRBoardMembers, names, chiefs); !ok {
		return facts, caos.Errorf(caos.Invalid, "this board cannot come to a decision: %s", why).WithField("prr_board_members").WithRule("quorum-reachable").
			WithHint("name members who had no hand in the version; requester, owners, V&V authors and who froze it cannot vote")
	}
	return facts, nil
}

func (h *modelPRR) dateAhead(tx *db.Tx, q Question) (map[string]any, error) {
	in, err := inputOf[PRRInput](q.Input)
	if err != nil {
		return nil, err
	}
	facts := map[string]any{"prr_date": in.PRRDate}
	ends, err := closesAt(in.PRRDate)
	if err != nil {
		return facts, err
	}
	now := h.now()
	facts["closes_at"] = caos.FormatTime(ends)
	refuse := func(format string, args ...any) error {
		return caos.Errorf(caos.Invalid, format, args...).WithField("prr_date").WithRule("prr-date").WithHint("give today (%s) or a day within a year", dayOf(now))
	}
	switch {
	case !ends.After(now):
		return facts, refuse("%s is past", in.PRRDate)
	case ends.After(now.Add(maxPRRDays * 24 * time.Hour)):
		return facts, refuse("%s is more than %d days ahead", in.PRRDate, maxPRRDays)
	}
	return facts, nil
}

// ask makes the input of a review that somebody wonders about: of the version's baseline, by
// all who could be on the board, today.
func (h *modelPRR) ask(ctx context.Context, about Subject, by caos.Principal) (json.RawMessage, error) {
	if h.registry == nil || h.readiness == nil || h.db == nil {
		return nil, caos.Errorf(caos.Unavailable, "this installation has no model registry")
	}
	in := PRRInput{ModelID: about.Model, BaselineID: registry.BaselineID(about.Model, about.Version), CriteriaChecklistID: readinessTemplate,
		PRRBoardMembers: []string{}, PRRDate: dayOf(h.now())}
	err := h.db.Update(ctx, func(tx *db.Tx) error {
		m, err := h.registry.ModelIn(tx, about.Model)
		if err != nil {
			return err
		}
		v, err := h.registry.VersionIn(tx, about.Model, about.Version)
		if err != nil {
			return err
		}
		if v.BaselineID != "" {
			in.BaselineID = v.BaselineID
		}
		board, err := h.people.WithRole(tx, "prr-board", m.Project, m.Classification)
		if err != nil {
			return err
		}
		in.PRRBoardMembers = append(in.PRRBoardMembers, slices.DeleteFunc(board, func(id string) bool { return id == by.ID })...)
		return errDryRun
	})
	if !errors.Is(err, errDryRun) {
		return nil, err
	}
	return json.Marshal(in)
}
