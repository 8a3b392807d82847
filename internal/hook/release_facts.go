package hook

import (
	"fmt"
	"strings"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/readiness"
	"caos/internal/report"
)

// StillReady refuses a release that two people have signed although the facts would have a
// review of the version rejected by now: a problem was reported, a risk has grown, a file of
// the baseline is damaged. Weeks may lie between the review and the second signature. It is
// asked in the transaction of that signature, which then counts for nothing.
func StillReady(c Collaborators) func(tx *db.Tx, s readiness.Subject) error {
	h := newModelPRR(c)
	return func(tx *db.Tx, s readiness.Subject) error {
		v, err := h.readyStill(tx, s, h.now())
		if err != nil || v.Pass {
			return err
		}
		return caos.Errorf(caos.Conflict, "%s", v.Finding.Message).WithRule(v.Finding.Rule).WithField("authorization_id").WithHint("%s", v.Finding.Remedy)
	}
}

// readyStill asks every check of a review again, of a version that a review has approved.
func (h *modelPRR) readyStill(tx *db.Tx, s readiness.Subject, now time.Time) (Verdict, error) {
	out := passes("release-facts", "Nothing has come up since the review that would have it rejected", map[string]any{"baseline_id": s.BaselineID})
	review, err := h.readiness.ReviewOf(tx, s.BaselineID)
	if err != nil {
		return out, err
	}
	key := s.ModelID + "@" + s.Version
	if review == nil {
		return out.stops(clearing{}, key, "ask for a review: caos prr "+key, "there is no review of %s", s.BaselineID), nil
	}
	list, err := h.readiness.ChecklistIn(tx, review.ChecklistID)
	if err != nil {
		return out, err
	}
	f, err := h.facts(tx, s, list.TemplateID, now)
	if err != nil {
		return out, err
	}
	f.Ready = true
	var worse []string
	remedy := ""
	for _, v := range prrVerdicts(f) {
		if !v.Pass && v.Ceiling == report.Rejected {
			worse = append(worse, v.Finding.Message)
			if remedy == "" {
				remedy = v.Finding.Remedy
			}
		}
	}
	out.Facts["prr_id"] = review.PRRID
	if len(worse) == 0 {
		return out, nil
	}
	text := strings.Join(firstLines(worse, 3), "; ")
	return out.stops(clearing{}, key, remedy, "%s", fmt.Sprintf("since %s: %s", review.PRRID, text)), nil
}
