package readiness

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"caos"
	"caos/internal/db"
)

// maxReason bounds the reason of an acceptance, which is part of what a person signs.
const maxReason = 800

// AcceptRisk records the decision of a person to live with what is left of a risk: a
// [Decision] on the risk's digest, in a role that may accept a risk of that level. Nobody
// accepts what they wrote, imported or owned, a risk of a model that they own or owned, nor
// what somebody did or owns who could have acted in their stead. Errors: NotFound; Conflict if it is closed or accepted already or nobody owns
// it; Denied naming the rule; those of the proof.
func (r *Readiness) AcceptRisk(tx *db.Tx, id string, a RiskAcceptance, proof Proof, p caos.Principal) (*Risk, *Decision, error) {
	k, act, err := r.accepting(tx, id, a, p)
	if err != nil {
		return nil, nil, err
	}
	d, err := r.decide(tx, act, proof, p)
	if err != nil {
		return nil, nil, err
	}
	k.Status = RiskAccepted
	k.Accepted = &Acceptance{By: p.ID, Role: d.Role, Reason: a.Reason, DecisionID: d.DecisionID, Digest: d.Digest, At: d.DecidedAt, ResidualScore: k.Stands()}
	if err := r.storeRisk(tx, k); err != nil {
		return nil, nil, err
	}
	return k, d, r.tellRisk(tx, EventRiskAccepted, k)
}

// ProposeAcceptance is what p is asked to sign to accept a risk. It refuses what AcceptRisk
// would refuse, and changes nothing.
func (r *Readiness) ProposeAcceptance(tx *db.Tx, id string, a RiskAcceptance, p caos.Principal) (Proposal, error) {
	_, act, err := r.accepting(tx, id, a, p)
	if err != nil {
		return Proposal{}, err
	}
	return r.propose(tx, act, p)
}

// accepting checks all of an acceptance but its proof.
func (r *Readiness) accepting(tx *db.Tx, id string, a RiskAcceptance, p caos.Principal) (*Risk, Act, error) {
	k, err := r.openRisk(tx, id)
	if err != nil {
		return nil, Act{}, err
	}
	switch {
	case k.Status == RiskAccepted:
		return nil, Act{}, caos.Errorf(caos.Conflict, "%s was accepted by %s (%s)", id, k.Accepted.By, k.Accepted.DecisionID).
			WithHint("it stays accepted until somebody changes what it says")
	case k.Owner == "":
		return nil, Act{}, caos.Errorf(caos.Conflict, "nobody owns %s", id).WithField("owner").WithRule(RuleRiskOwner).
			WithHint("give it an owner first: caos risk update %s --owner USER", id)
	}
	if err := checkTitle("reason", a.Reason, maxReason); err != nil {
		return nil, Act{}, err
	}
	role, err := r.acceptor(tx, k, a.Owners, p)
	if err != nil {
		return nil, Act{}, err
	}
	digest, err := k.Digest()
	if err != nil {
		return nil, Act{}, err
	}
	scope, left := "every version of "+k.ModelID, "its residual score is"
	if k.Version != "" {
		scope = k.ModelID + " " + k.Version
	}
	if k.ResidualScore == 0 {
		left = "no residual is assessed, its score is"
	}
	return k, Act{
		What: "accept:" + id + ":" + role, Subject: id, Digest: digest, Role: role, SafetyLevel: a.SafetyLevel, Project: k.Project, Classification: k.Classification,
		Meaning:   fmt.Sprintf("ACCEPTED as %s: the risk %s of %s (%s); %s %d (%s). Reason: %s", role, id, scope, k.Title, left, k.Stands(), k.StandsAt(), a.Reason),
		Resources: []string{id, k.ModelID},
		Details: map[string]any{"event": "risk accepted", "model_version": k.Version, "score": k.Score, "level": k.Level,
			"residual_score": k.ResidualScore, "residual_level": k.ResidualLevel, "reason": a.Reason},
	}, nil
}

// acceptor returns the role in which p may accept a risk, or refuses.
func (r *Readiness) acceptor(tx *db.Tx, k *Risk, owners []string, p caos.Principal) (string, error) {
	scale := ShippedScale()
	if len(scale.band(k.Stands()).AcceptedBy) == 0 {
		return "", caos.Errorf(caos.Denied, "%s stands at %s (%d): such a risk cannot be accepted", k.RiskID, k.StandsAt(), k.Stands()).WithRule(RuleRiskCritical).
			WithHint("mitigate it, and assess what is left: caos risk update %s", k.RiskID)
	}
	if err := cmp.Or(k.separate("accept", p.ID), k.notByOwner(owners, "accept", p.ID)); err != nil {
		return "", err
	}
	parties, err := r.people.Parties(tx, p)
	if err != nil {
		return "", err
	}
	if i := slices.IndexFunc(parties, func(id string) bool { return slices.Contains(k.Involved, id) || slices.Contains(owners, id) }); i >= 0 {
		return "", caos.Errorf(caos.Denied, "%s, who wrote or owned %s or owns its model, gave %s this account, token or trigger: %s cannot accept it", parties[i], k.RiskID, p.ID, p.ID).
			WithRule(RuleSeparation).WithHint("use a token of your own, or let somebody else do this")
	}
	roles, err := r.people.RolesOf(tx, p.ID)
	if err != nil {
		return "", err
	}
	if role := scale.MayAccept(k.Stands(), roles); role != "" {
		return role, nil
	}
	return "", caos.Errorf(caos.Denied, "a risk that stands at %s is accepted by a %s; %s is %s", k.StandsAt(), strings.Join(scale.band(k.Stands()).AcceptedBy, ", "), p.ID,
		cmp.Or(strings.Join(roles, ", "), "none of them")).WithRule(RuleRiskRole).WithHint("ask one of them to look at %s", k.RiskID)
}
