package readiness

import (
	"slices"

	"caos"
	"caos/internal/db"
	"caos/internal/verify"
)

// criticality orders safety levels, the least critical first.
func criticality(safetyLevel string) int {
	return slices.Index(verify.SafetyLevels(), safetyLevel)
}

// Reassess carries a model's new safety level to what is still to be decided about it, as
// far as it is more critical: from then on that level says how decisions are proven. One
// that is less critical loosens nothing that was begun. The caller records the change of
// the model.
func (r *Readiness) Reassess(tx *db.Tx, modelID, safetyLevel string) error {
	for _, less := range verify.SafetyLevels() {
		if criticality(less) >= criticality(safetyLevel) {
			continue
		}
		args := []any{safetyLevel, modelID, less}
		tx.Exec(`UPDATE checklists SET safety_level = $1 WHERE model_id = $2 AND safety_level = $3`, args...)
		tx.Exec(`UPDATE reviews SET safety_level = $1 WHERE model_id = $2 AND safety_level = $3 AND status IN ('PREPARING', 'VOTING', 'CONDITIONAL')`, args...)
		tx.Exec(`UPDATE release_authorizations SET safety_level = $1 WHERE model_id = $2 AND safety_level = $3 AND status IN ('DRAFT', 'REQUESTED')`, args...)
	}
	return tx.Err()
}

// unproven lists who decided on the server's word alone, where the policy demands a key of
// one's own now: the version has become more critical since. What they said against it is
// heard; it carries nothing.
func unproven(safetyLevel string, decisions []*Decision) (people []string) {
	if _, policy := verify.ShippedDecisionPolicy(); policy.NeedsPersonalKey(safetyLevel) {
		for _, d := range decisions {
			if !d.Personal() {
				people = append(people, d.Person)
			}
		}
	}
	return people
}

// lapsed lists who decided with a key that was in the wrong hands by then, as was found out
// since: nobody knows who signed.
func (r *Readiness) lapsed(tx *db.Tx, decisions []*Decision) (people []string, err error) {
	for _, d := range decisions {
		if !d.Personal() {
			continue
		}
		stands, err := r.keys.KeyStood(tx, d.KeyID, d.DecidedAt)
		if err != nil {
			return nil, err
		}
		if !stands {
			people = append(people, d.Person)
		}
	}
	return people, nil
}

// standing lists, sorted, whose decisions do not count at this moment: who is barred, whose
// proof the safety level does not accept any more, and whose key was compromised.
func (r *Readiness) standing(tx *db.Tx, s Subject, decisions []*Decision) ([]string, error) {
	barred, err := r.Barred(tx, s)
	if err != nil {
		return nil, err
	}
	lapsed, err := r.lapsed(tx, decisions)
	if err != nil {
		return nil, err
	}
	out := slices.Concat(barredAmong(barred, decisions), unproven(s.SafetyLevel, decisions), lapsed)
	slices.Sort(out)
	return slices.Compact(out), nil
}

// Proven refuses (rule personal-key-required or key-not-active) a review whose closed
// conditions rest on what does not count any more: a word of the server's at a safety level
// that demands a key of one's own since, or a key that was compromised.
func (r *Readiness) Proven(tx *db.Tx, v *Review) error {
	for _, c := range v.Conditions {
		if c.Status != ConditionClosed {
			continue
		}
		d, err := r.DecisionIn(tx, c.DecisionID)
		if err != nil {
			return err
		}
		if len(unproven(v.SafetyLevel, []*Decision{d})) > 0 {
			return caos.Errorf(caos.Conflict, "%s was closed by %s without a key of their own, which %s demands since", c.ConditionID, d.Person, v.SafetyLevel).WithRule(RulePersonalKey).
				WithHint("ask for another review, and decide with keys of one's own")
		}
		lapsed, err := r.lapsed(tx, []*Decision{d})
		if err != nil {
			return err
		}
		if len(lapsed) > 0 {
			return caos.Errorf(caos.Conflict, "%s was closed with a key of %s that was compromised by then", c.ConditionID, d.Person).WithRule(RuleKey).
				WithHint("ask for another review")
		}
	}
	return nil
}
