package readiness

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/codec"
	"caos/internal/db"
	"caos/internal/verify"
)

// This file has what people decide about a release authorisation. Each decision is a signed
// statement about the digest of its scope; all writes of an installation happen one after
// another, so an approval and a revocation at the same moment have one winner, and the other
// is told what became of it.

// The rules by which a decision about a release is refused, besides those of every decision.
const (
	RuleReleaseRole   = "release-role"       // the role is not one that signs, or not the person's
	RuleTwoPeople     = "release-two-people" // the person, or the role, has spoken already
	RuleReleaseScope  = "release-scope"      // the scope is not whole, or not what is known now
	RuleReleaseWindow = "release-window"     // the window is over
)

// approval is the act of approving or rejecting a release in a role.
func (a *ReleaseAuthorization) approval(role, outcome string) Act {
	what, verb := verify.ApproveWhat(a.AuthorizationID, role), "approve"
	if outcome == verify.OutcomeRejected {
		what, verb = verify.RejectWhat(a.AuthorizationID, role), "reject"
	}
	act := Act{What: what, Subject: a.AuthorizationID, Digest: a.ScopeDigest, Outcome: outcome, Role: role,
		Meaning:     fmt.Sprintf("As %s I %s the release of %s %s (%s) %s.", role, verb, a.ModelID, a.Version, a.BaselineID, a.terms()),
		SafetyLevel: a.SafetyLevel, Project: a.Project, Classification: a.Classification, Resources: a.resources()}
	if len(act.Meaning) > maxMeaning { // the digest still binds every platform
		act.Meaning = fmt.Sprintf("As %s I %s the release of %s %s (%s) to %d platforms, as its scope says.", role, verb, a.ModelID, a.Version, a.BaselineID, len(a.Platforms))
	}
	return act
}

// terms says in words where, how and when.
func (a *ReleaseAuthorization) terms() string {
	from := "its authorisation"
	if a.NotBefore != nil {
		from = caos.FormatTime(*a.NotBefore)
	}
	return fmt.Sprintf("to %s by %s from %s until %s", strings.Join(a.Platforms, ", "), strings.Join(a.Strategies, ", "), from, caos.FormatTime(*a.NotAfter))
}

// deciding reads an authorisation and refuses whoever cannot approve or reject it in a role
// now. It returns the role, which may be left out by somebody who holds just one that signs.
func (r *Readiness) deciding(tx *db.Tx, id, role string, p caos.Principal) (*ReleaseAuthorization, string, error) {
	a, err := r.AuthorizationIn(tx, id)
	if err != nil {
		return nil, "", err
	}
	if a.Status != AuthorizationRequested {
		return nil, "", a.wrongState("nobody approves or rejects it now", AuthorizationRequested)
	}
	if !a.NotAfter.After(r.now()) {
		return nil, "", caos.Errorf(caos.Conflict, "the window of %s ended at %s", id, caos.FormatTime(*a.NotAfter)).WithRule(RuleReleaseWindow).WithField("not_after").
			WithHint("withdraw it and open another: caos release revoke %s", id)
	}
	var scope releaseScope
	if err := json.Unmarshal([]byte(a.Scope), &scope); err != nil {
		return nil, "", fmt.Errorf("readiness: scope of %s: %w", id, err)
	}
	if scope.SafetyLevel != a.SafetyLevel {
		return nil, "", caos.Errorf(caos.Conflict, "%s became %s after the scope of %s was fixed, which says %q", a.ModelID, a.SafetyLevel, id, scope.SafetyLevel).
			WithRule(RuleReleaseScope).WithField("authorization_id").WithHint("withdraw it and open another: caos release revoke %s", id)
	}
	_, policy := verify.ShippedDecisionPolicy()
	held, err := r.people.RolesOf(tx, p.ID)
	if err != nil {
		return nil, "", err
	}
	held = slices.DeleteFunc(slices.Clone(held), func(h string) bool { return !slices.Contains(policy.Release.Roles, h) || !p.Has(h) })
	if role == "" && len(held) == 1 {
		role = held[0]
	}
	if !slices.Contains(held, role) {
		return nil, "", caos.Errorf(caos.Denied, "%s does not hold the role %s, in which a release is signed", p.ID, orAny(role, policy.Release.Roles)).
			WithField("role").WithRule(RuleReleaseRole).WithHint("the roles that sign are %s", strings.Join(policy.Release.Roles, " and "))
	}
	if err := r.notBarred(tx, a.Subject, p, "sign "+id); err != nil {
		return nil, "", err
	}
	for _, d := range a.Approvals {
		switch {
		case d.Person == p.ID:
			return nil, "", caos.Errorf(caos.Denied, "%s has signed %s as %s already", p.ID, id, d.Role).WithRule(RuleTwoPeople).WithField("role").
				WithHint("a release takes two people; one who regrets revokes it: caos release revoke %s", id)
		case d.Role == role:
			return nil, "", caos.Errorf(caos.Conflict, "%s was signed as %s by %s already", id, role, d.Person).WithRule(RuleTwoPeople).WithField("role").
				WithHint("it lacks: %s", strings.Join(a.Missing, ", "))
		}
	}
	return a, role, nil
}

func orAny(role string, roles []string) string {
	if role == "" {
		return strings.Join(roles, " or ")
	}
	return role
}

// ProposeApproval returns what p would sign to approve a release, or to reject it, in a
// role.
func (r *Readiness) ProposeApproval(tx *db.Tx, id, role, outcome string, p caos.Principal) (Proposal, error) {
	a, role, err := r.deciding(tx, id, role, p)
	if err != nil {
		return Proposal{}, err
	}
	return r.propose(tx, a.approval(role, outcome), p)
}

// Approve takes p's approval of a release in a role. With the last one that the policy asks
// for it is AUTHORISED.
func (r *Readiness) Approve(tx *db.Tx, id, role string, proof Proof, p caos.Principal) (*ReleaseAuthorization, error) {
	return r.signRelease(tx, id, signing{role, verify.OutcomeApproved}, proof, p)
}

// Reject takes p's rejection, in a role that could have approved. One rejects.
func (r *Readiness) Reject(tx *db.Tx, id, role string, proof Proof, p caos.Principal) (*ReleaseAuthorization, error) {
	return r.signRelease(tx, id, signing{role, verify.OutcomeRejected}, proof, p)
}

// signing is in which role somebody says what.
type signing struct{ role, outcome string }

func (r *Readiness) signRelease(tx *db.Tx, id string, s signing, proof Proof, p caos.Principal) (*ReleaseAuthorization, error) {
	a, role, err := r.deciding(tx, id, s.role, p)
	if err != nil {
		return nil, err
	}
	d, err := r.decide(tx, a.approval(role, s.outcome), proof, p)
	if err != nil {
		return nil, err
	}
	a.Approvals = append(a.Approvals, d)
	standing, err := r.standing(tx, a.Subject, a.Approvals)
	if err != nil {
		return nil, err
	}
	_, policy := verify.ShippedDecisionPolicy()
	tally := policy.TallyRelease(standing, ballots(a.Approvals))
	a.Missing = codec.Listed(tally.Missing)
	if tally.Outcome == "" {
		r.store(tx, a)
		return a, r.keep(tx, edition{Noun: nounRelease, Scope: a.BaselineID, ID: a.AuthorizationID, Revision: a.Revision, Body: a})
	}
	return a, r.concludeRelease(tx, a, tally.Outcome, standing, p)
}

// names lists who is barred, sorted.
func names(barred map[string][]Hand) []string {
	out := make([]string, 0, len(barred))
	for id := range barred {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

func ballots(list []*Decision) []verify.Ballot {
	out := make([]verify.Ballot, len(list))
	for i, d := range list {
		out[i] = verify.Ballot{Person: d.Person, Outcome: d.Outcome, Roles: d.Roles, Role: d.Role, Personal: d.Personal()}
	}
	return out
}

// concludeRelease stores what the approvals come to, with the record that says so: from it, the
// decisions and the policy a verifier computes the outcome again.
func (r *Readiness) concludeRelease(tx *db.Tx, a *ReleaseAuthorization, outcome string, barred []string, p caos.Principal) error {
	now := r.now()
	a.Status, a.EndedAt, a.Missing = AuthorizationStatus(outcome), &now, []string{}
	details := verify.OutcomeDetails{OutcomeOf: verify.OutcomeOfRelease, Subject: a.AuthorizationID, SubjectDigest: a.ScopeDigest, PolicyDigest: a.PolicyDigest,
		SafetyLevel: a.SafetyLevel, Members: []string{}, Barred: barred, Votes: []verify.OutcomeVote{}, Outcome: outcome, Scope: a.Scope}
	for _, d := range a.Approvals {
		details.Votes = append(details.Votes, verify.OutcomeVote{Record: d.RecordID, Person: d.Person, Outcome: d.Outcome, Roles: d.Roles, Role: d.Role, Proof: d.Proof})
	}
	receipt, err := r.log.Append(tx, auditlog.Record{Type: auditlog.Authorisation, Actor: p.ID, RecordedBy: p.ID, Resources: a.resources(), Details: details,
		Project: a.Project, Classification: a.Classification})
	if err != nil {
		return err
	}
	a.RecordID = receipt.ID
	r.store(tx, a)
	if a.Status == AuthorizationAuthorised {
		if err := r.released(tx, a.Subject, By{Actor: p.ID}); err != nil {
			return err
		}
	}
	if err := r.keep(tx, edition{Noun: nounRelease, Scope: a.BaselineID, ID: a.AuthorizationID, Revision: a.Revision, Body: a}); err != nil {
		return err
	}
	return r.announceRelease(tx, EventReleaseDecided, a)
}

// revocation is the act of taking a release back. The digest of a draft, which has no scope
// yet, is that of its id.
func (a *ReleaseAuthorization) revocation(reason string) Act {
	digest := a.ScopeDigest
	if digest == "" {
		digest = verify.StatementHash([]byte(a.AuthorizationID))
	}
	return Act{What: "revoke:" + a.AuthorizationID, Subject: a.AuthorizationID, Digest: digest, Outcome: string(AuthorizationRevoked),
		Meaning: fmt.Sprintf("I revoke %s, the release of %s %s (%s): %s", a.AuthorizationID, a.ModelID, a.Version, a.BaselineID, reason),
		Project: a.Project, Classification: a.Classification, Resources: a.resources()}
}

// revoking reads an authorisation that can be taken back. Whoever is barred from approving
// may revoke: stopping is safe.
func (r *Readiness) revoking(tx *db.Tx, id, reason string) (*ReleaseAuthorization, error) {
	a, err := r.AuthorizationIn(tx, id)
	if err != nil {
		return nil, err
	}
	if err := checkTitle("reason", reason, maxLine); err != nil {
		return nil, err
	}
	switch a.Status {
	case AuthorizationDraft, AuthorizationRequested, AuthorizationAuthorised:
		return a, nil
	}
	return nil, a.wrongState("there is nothing to take back", AuthorizationDraft, AuthorizationRequested, AuthorizationAuthorised)
}

// ProposeRevocation returns what p would sign to revoke a release.
func (r *Readiness) ProposeRevocation(tx *db.Tx, id, reason string, p caos.Principal) (Proposal, error) {
	a, err := r.revoking(tx, id, reason)
	if err != nil {
		return Proposal{}, err
	}
	return r.propose(tx, a.revocation(reason), p)
}

// Revoke takes a release back, at once and for good: what was not deployed yet will not be.
// One person suffices, and a second factor does at every safety level, because what stops a
// release must not wait for a key.
func (r *Readiness) Revoke(tx *db.Tx, id, reason string, proof Proof, p caos.Principal) (*ReleaseAuthorization, error) {
	a, err := r.revoking(tx, id, reason)
	if err != nil {
		return nil, err
	}
	if _, err := r.decide(tx, a.revocation(reason), proof, p); err != nil {
		return nil, err
	}
	now := r.now()
	a.Status, a.RevokedAt, a.RevokedBy, a.RevokeReason, a.Missing = AuthorizationRevoked, &now, p.ID, reason, []string{}
	r.store(tx, a)
	if err := r.announceRelease(tx, EventReleaseRevoked, a); err != nil {
		return nil, err
	}
	return a, r.tellRelease(tx, a, By{Actor: p.ID}, "release revoked")
}

// at sets what the clock makes of an authorisation.
func (a *ReleaseAuthorization) at(now time.Time) {
	if (a.Status == AuthorizationAuthorised || a.Status == AuthorizationRequested) && a.NotAfter != nil && !a.NotAfter.After(now) {
		a.Status = AuthorizationExpired
	}
}
