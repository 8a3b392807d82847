package verify

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// Outcomes of a vote and of a review, and what a release authorisation becomes.
const (
	OutcomeApproved    = "APPROVED"
	OutcomeConditional = "CONDITIONAL"
	OutcomeRejected    = "REJECTED"
	OutcomeAuthorised  = "AUTHORISED" // of a release authorisation alone
	OutcomeClosed      = "CLOSED"     // of a condition, and of all conditions of a review
)

// Roles that the shipped policy names.
const (
	RoleChiefEngineer = "chief-engineer"
	RoleQALead        = "qa-lead"
)

// moreThanHalf is the one way to count members that policies of version 1 know.
const moreThanHalf = "more-than-half"

// MaxPolicy is the most bytes that a decision policy may have.
const MaxPolicy = 64 << 10

// DecisionPolicy says when the decisions of several people make one. Every decision and
// outcome names its policy by digest, so that a verifier can apply the same rules years
// later. The fields are in the order of their JSON names: its one form is canonical JSON.
type DecisionPolicy struct {
	Conditions  ConditionPolicy `json:"conditions"`
	ID          string          `json:"id"`           // such as "caos-decisions-1"
	PersonalKey []string        `json:"personal_key"` // safety levels at which a decision needs the person's own key; in byte order
	Release     ReleasePolicy   `json:"release"`
	Review      ReviewPolicy    `json:"review"`
	V           int             `json:"v"` // 1
}

// ConditionPolicy is about the conditions of a review.
type ConditionPolicy struct {
	NotByOwner bool `json:"not_by_owner"` // version 1: true
}

// ReleasePolicy is about release authorisations.
type ReleasePolicy struct {
	Roles     []string `json:"roles"`      // one approval in each of these
	TwoPeople bool     `json:"two_people"` // version 1: true; nobody's word counts for two roles
}

// ReviewPolicy is about the votes of a review board.
type ReviewPolicy struct {
	Members             string   `json:"members"`               // version 1: "more-than-half" of all named members, barred ones included
	OneRejectionRejects bool     `json:"one_rejection_rejects"` // version 1: true
	Roles               []string `json:"roles"`                 // somebody of each must vote, member or not
}

// ShippedDecisionPolicy returns the policy that comes with the program: its bytes, which
// are canonical, and what they mean.
func ShippedDecisionPolicy() ([]byte, DecisionPolicy) {
	p := DecisionPolicy{
		Conditions:  ConditionPolicy{NotByOwner: true},
		ID:          "caos-decisions-1",
		PersonalKey: []string{"DAL-A", "DAL-B"},
		Release:     ReleasePolicy{Roles: []string{RoleChiefEngineer, RoleQALead}, TwoPeople: true},
		Review:      ReviewPolicy{Members: moreThanHalf, OneRejectionRejects: true, Roles: []string{RoleChiefEngineer}},
		V:           1,
	}
	data, err := marshalPlain(p)
	if err != nil {
		panic(err) // strings, booleans and a number
	}
	return data, p
}

// KnownDecisionPolicy returns the bytes of the policy of a digest: the shipped one, or one
// that an earlier version shipped.
func KnownDecisionPolicy(digest string) (data []byte, ok bool) {
	data, _ = ShippedDecisionPolicy()
	return data, PolicyDigest(data) == digest
}

// PolicyDigest is what decisions name a policy by: "SHA256:" and hex of its bytes.
func PolicyDigest(data []byte) string { return FormatHash(sha256.Sum256(data)) }

// Digest returns the digest of the policy's canonical bytes.
func (p DecisionPolicy) Digest() string {
	data, err := marshalPlain(p)
	if err != nil {
		panic(err) // strings, booleans and numbers
	}
	return PolicyDigest(data)
}

// ParseDecisionPolicy reads a policy in its canonical form and nothing else. A rule that
// this version cannot apply is refused, not ignored.
func ParseDecisionPolicy(data []byte) (DecisionPolicy, error) {
	var p DecisionPolicy
	if len(data) > MaxPolicy {
		return p, refuse("policy", "has %d bytes, more than %d", len(data), MaxPolicy)
	}
	if err := decodeStrict("policy", data, shapeOf[DecisionPolicy](), &p); err != nil {
		return p, err
	}
	switch {
	case p.V != 1:
		return p, refuse("policy", "is of version %d, which is not known: a newer caos-verify may read it", p.V)
	case !plainID(p.ID):
		return p, refuse("policy", "has the id %s", quote(p.ID))
	case p.Review.Members != moreThanHalf || !p.Review.OneRejectionRejects || !p.Release.TwoPeople || !p.Conditions.NotByOwner:
		return p, refuse("policy", "has a rule that version 1 does not know")
	case !namesInOrder(p.Review.Roles, 1), !namesInOrder(p.Release.Roles, 2):
		return p, refuse("policy", "needs one role for reviews and two for releases at least, at most 8, in byte order, each once")
	case !namesInOrder(p.PersonalKey, 0):
		return p, refuse("policy", "needs its safety levels in byte order, each once")
	}
	if again, err := marshalPlain(p); err != nil || !bytes.Equal(again, data) {
		return p, refuse("policy", "is not in canonical form")
	}
	return p, nil
}

// namesInOrder reports whether list has at least n and at most 8 different identifiers in
// byte order.
func namesInOrder(list []string, n int) bool {
	for i, s := range list {
		if !plainID(s) || i > 0 && list[i-1] >= s {
			return false
		}
	}
	return len(list) >= n && len(list) <= 8
}

// SafetyLevels lists the safety levels, the least critical first; "" is not assessed.
func SafetyLevels() []string { return []string{"", "DAL-E", "DAL-D", "DAL-C", "DAL-B", "DAL-A"} }

// moreCritical reports whether one safety level is more critical than another.
func moreCritical(a, b string) bool {
	return slices.Index(SafetyLevels(), a) > slices.Index(SafetyLevels(), b)
}

// NeedsPersonalKey reports whether decisions about a model of this safety level must be
// signed by the person's own key.
func (p DecisionPolicy) NeedsPersonalKey(safetyLevel string) bool {
	return slices.Contains(p.PersonalKey, safetyLevel)
}

// Ballot is what one person decided: a vote, or an approval of a release.
type Ballot struct {
	Person   string   // user id
	Outcome  string   // of a vote OutcomeApproved, OutcomeConditional or OutcomeRejected; of a release OutcomeApproved or OutcomeRejected
	Roles    []string // that the person had then
	Role     string   // of an approval: in which it was given; one of Roles
	Personal bool     // signed by the person's own key
}

// Tally is what ballots come to.
type Tally struct {
	Outcome string   // "" while it is open
	Quorum  bool     // enough have spoken
	Final   bool     // no ballot that may still be cast changes Outcome: rejected, or everybody named who is not barred has spoken
	Counted []string // who counted, in the order of the ballots
	Heard   []string // them, and who would have counted but is barred: what they have against it stands
	Waiting []string // who of those named may still speak, in their order
	Missing []string // what the quorum still lacks, in words
}

// TallyReview counts the votes of a review by members, none of whom is named twice, and by
// holders of the policy's roles. Whoever is barred counts as a member but not as a voter:
// their ballot carries nothing, and what it has against an outcome stands, or a critic could
// be silenced by making them a party. A person's first valid ballot counts, no other. The outcome is never better than best; a
// best of OutcomeRejected, or one that is not known, rejects without a vote.
func (p DecisionPolicy) TallyReview(members, barred []string, best string, ballots []Ballot) Tally {
	var t Tally
	outcome := OutcomeApproved
	if rank(best) < rank(outcome) {
		outcome = best
	}
	caution, voted, roles := outcome, 0, map[string]bool{}
	for _, b := range ballots {
		member := slices.Contains(members, b.Person)
		switch {
		case rank(b.Outcome) < 0 || b.Person == "" || slices.Contains(t.Heard, b.Person):
			continue
		case !member && !slices.ContainsFunc(p.Review.Roles, func(r string) bool { return slices.Contains(b.Roles, r) }):
			continue
		}
		t.Heard = append(t.Heard, b.Person)
		if rank(b.Outcome) < rank(caution) {
			caution = b.Outcome
		}
		if slices.Contains(barred, b.Person) {
			continue
		}
		t.Counted = append(t.Counted, b.Person)
		if member {
			voted++
		}
		for _, r := range b.Roles {
			roles[r] = true
		}
		if rank(b.Outcome) < rank(outcome) {
			outcome = b.Outcome
		}
	}
	for _, m := range members {
		if !slices.Contains(barred, m) && !slices.Contains(t.Counted, m) {
			t.Waiting = append(t.Waiting, m)
		}
	}
	if need := len(members)/2 + 1; voted < need {
		t.Missing = append(t.Missing, fmt.Sprintf("%s of the %d members (%d voted, more than half have to)",
			count(int64(need-voted), "more vote", "more votes"), len(members), voted))
	}
	for _, r := range p.Review.Roles {
		if !roles[r] {
			t.Missing = append(t.Missing, "the vote of a "+r)
		}
	}
	t.Quorum = len(t.Missing) == 0
	switch {
	case rank(outcome) <= rank(OutcomeRejected):
		t.Outcome, t.Final = OutcomeRejected, true
	case t.Quorum:
		t.Outcome, t.Final = caution, len(t.Waiting) == 0 || rank(caution) == 0
	}
	return t
}

// rank orders outcomes from worst to best; what is none is below all.
func rank(outcome string) int {
	return slices.Index([]string{OutcomeRejected, OutcomeConditional, OutcomeApproved}, outcome)
}

// CanReach reports whether a board of these members could reach a quorum at all, and if
// not, why. chiefs are the holders of the role that a review needs, member or not.
func (p DecisionPolicy) CanReach(members, barred, chiefs []string) (ok bool, why string) {
	in := func(list []string) (n int) {
		for _, m := range list {
			if !slices.Contains(barred, m) {
				n++
			}
		}
		return n
	}
	need := len(members)/2 + 1
	switch can := in(members); {
	case len(members) == 0:
		return false, "no member is named"
	case can < need:
		return false, fmt.Sprintf("%d of the %d members may vote, %d have to: the others are barred", can, len(members), need)
	case in(chiefs) == 0:
		return false, "nobody who holds " + strings.Join(p.Review.Roles, ", ") + " may vote"
	}
	return true, ""
}

// TallyRelease counts the approvals of a release: one in each role of the policy, each by
// another person who holds it and is not barred. A person's first valid ballot counts, no
// other, so nobody can speak for two roles. One rejection rejects.
func (p DecisionPolicy) TallyRelease(barred []string, approvals []Ballot) Tally {
	var t Tally
	given, rejected := map[string]bool{}, false
	for _, b := range approvals {
		switch {
		case b.Person == "" || slices.Contains(barred, b.Person) || slices.Contains(t.Counted, b.Person),
			b.Outcome != OutcomeApproved && b.Outcome != OutcomeRejected,
			!slices.Contains(p.Release.Roles, b.Role) || !slices.Contains(b.Roles, b.Role):
			continue
		case b.Outcome == OutcomeRejected:
			rejected = true
		case given[b.Role]:
			continue // another has approved in this role already
		default:
			given[b.Role] = true
		}
		t.Counted = append(t.Counted, b.Person)
	}
	for _, r := range p.Release.Roles {
		if !given[r] {
			t.Waiting = append(t.Waiting, r)
			t.Missing = append(t.Missing, "the approval of a "+r)
		}
	}
	t.Quorum = len(t.Missing) == 0
	switch {
	case rejected:
		t.Outcome, t.Final = OutcomeRejected, true
	case t.Quorum:
		t.Outcome, t.Final = OutcomeAuthorised, true
	}
	return t
}
