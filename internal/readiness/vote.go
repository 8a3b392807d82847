package readiness

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"caos"
	"caos/internal/codec"
	"caos/internal/db"
	"caos/internal/verify"
)

// Roles of those who vote.
const (
	roleBoard = "prr-board"
	roleChief = verify.RoleChiefEngineer
)

const (
	maxComment    = 500 // bytes of what a voter says besides
	maxConditions = 20  // of one vote
)

// Ballot is what a voter says.
type Ballot struct {
	Outcome    string           `json:"outcome"` // APPROVED, CONDITIONAL, REJECTED
	Comment    string           `json:"comment,omitempty"`
	Conditions []ConditionDraft `json:"conditions,omitempty"` // of CONDITIONAL, at least one
}

// Vote is a vote that was cast: a decision with what it was about.
type Vote struct {
	Decision
	Comment    string           `json:"comment"`
	Conditions []ConditionDraft `json:"conditions"`
}

func (b *Ballot) check() error {
	if err := cmp.Or(caos.CheckWord("outcome", b.Outcome, outcomes()), checkLine("comment", b.Comment, maxComment)); err != nil {
		return err
	}
	if b.Outcome != verify.OutcomeConditional && len(b.Conditions) > 0 {
		return caos.Errorf(caos.Invalid, "a vote that is %s has no conditions", b.Outcome).WithField("conditions").WithHint("vote CONDITIONAL, or leave them out")
	}
	if b.Outcome == verify.OutcomeConditional && len(b.Conditions) == 0 {
		return caos.Errorf(caos.Invalid, "a conditional vote says under which conditions").WithField("conditions").WithRule(RuleCondition).
			WithHint("give at least one, with text, owner and due_on")
	}
	if len(b.Conditions) > maxConditions {
		return caos.Errorf(caos.TooLarge, "%d conditions, more than %d", len(b.Conditions), maxConditions).WithField("conditions").WithHint("put what belongs together into one")
	}
	return nil
}

// Vote casts a person's vote on the report of a review. The voters are the members, who
// hold prr-board now, and the holders of chief-engineer, all of whom may know of the model;
// nobody who is barred, twice, or after the close. Refusals change nothing and name their
// rule.
func (r *Readiness) Vote(tx *db.Tx, id string, b Ballot, proof Proof, p caos.Principal) (*Vote, error) {
	v, act, err := r.voteAct(tx, id, b, p)
	if err != nil {
		return nil, err
	}
	d, err := r.decide(tx, act, proof, p)
	if err != nil {
		return nil, err
	}
	conditions, err := codec.Canonical(append([]ConditionDraft{}, b.Conditions...))
	if err != nil {
		return nil, err
	}
	n, err := tx.ExecRows(`INSERT INTO review_votes (prr_id, person, seq, decision_id, outcome, comment, conditions) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT DO NOTHING`, v.PRRID, p.ID, len(v.Votes)+1, d.DecisionID, d.Outcome, b.Comment, string(conditions))
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, decidedAlready(p.ID, v.PRRID, "an earlier vote")
	}
	vote := &Vote{Decision: *d, Comment: b.Comment, Conditions: append([]ConditionDraft{}, b.Conditions...)}
	v.Votes = append(v.Votes, vote)
	return vote, r.storeReview(tx, v)
}

// ProposeVote returns what a person would sign to cast a vote, or why they cannot. It
// changes nothing.
func (r *Readiness) ProposeVote(tx *db.Tx, id string, b Ballot, p caos.Principal) (Proposal, error) {
	_, act, err := r.voteAct(tx, id, b, p)
	if err != nil {
		return Proposal{}, err
	}
	return r.propose(tx, act, p)
}

// voteAct checks who votes, on what and when, and puts it into an act.
func (r *Readiness) voteAct(tx *db.Tx, id string, b Ballot, p caos.Principal) (*Review, Act, error) {
	v, err := r.ReviewIn(tx, id)
	if err != nil {
		return nil, Act{}, err
	}
	if err := b.check(); err != nil {
		return nil, Act{}, err
	}
	if v.Status != ReviewVoting {
		return nil, Act{}, caos.Errorf(caos.Conflict, "the review %s is %s: there is nothing to vote on", v.PRRID, v.Status).WithRule(RuleVotesOpen).
			WithHint("see caos review show %s", v.PRRID)
	}
	if now := r.now(); now.After(v.ClosesAt) {
		return nil, Act{}, caos.Errorf(caos.Conflict, "the vote on %s closed at %s", v.PRRID, caos.FormatTime(v.ClosesAt)).WithRule(RuleVotesOpen).
			WithHint("ask for a second review of the baseline")
	}
	role, err := r.votingRole(tx, v, p)
	if err != nil {
		return nil, Act{}, err
	}
	if err := r.notBarred(tx, v.Subject, p, "vote on "+v.PRRID); err != nil {
		return nil, Act{}, err
	}
	if better(b.Outcome, v.Best) {
		return nil, Act{}, caos.Errorf(caos.Conflict, "the findings allow no better decision on %s than %s", v.PRRID, v.Best).WithField("outcome").WithRule(RuleBestPossible).
			WithHint("the summary of the report names what stands against more; vote %s or worse", v.Best)
	}
	if err := r.checkDrafts(tx, "conditions", b.Conditions); err != nil {
		return nil, Act{}, err
	}
	act := Act{What: verify.VoteWhat(v.PRRID, b.Outcome), Subject: v.PRRID, Digest: v.ReportDigest, Meaning: voteMeaning(v, b), Outcome: b.Outcome, Role: role,
		SafetyLevel: v.SafetyLevel, Project: v.Project, Classification: v.Classification, Resources: []string{v.PRRID, v.ModelID, v.BaselineID, v.ReportID},
		Details: map[string]any{"event": "vote cast", "report_version": v.ReportVersion}}
	if len(act.Meaning) > maxMeaning {
		return nil, Act{}, caos.Errorf(caos.TooLarge, "what would be signed has %d bytes, more than %d", len(act.Meaning), maxMeaning).WithField("conditions").
			WithHint("shorten the comment and the conditions")
	}
	return v, act, nil
}

// votingRole returns the role in which a person votes, or refuses.
func (r *Readiness) votingRole(tx *db.Tx, v *Review, p caos.Principal) (string, error) {
	for _, role := range []string{roleChief, roleBoard} {
		if role == roleBoard && !slices.Contains(v.Members, p.ID) || !p.Has(role) {
			continue // a token that was made for less speaks for less
		}
		holders, err := r.people.WithRole(tx, role, v.Project, v.Classification)
		if err != nil {
			return "", err
		}
		if slices.Contains(holders, p.ID) {
			return role, nil
		}
	}
	return "", caos.Errorf(caos.Denied, "%.80s has no vote on %s", p.ID, v.PRRID).WithRule(RuleBoardMember).
		WithHint("its members who hold %s (%s) and the chief engineers vote, if they may know of %s", roleBoard, strings.Join(v.Members, ", "), v.ModelID)
}

// voteMeaning says in words what a vote means. All that the voter says is in it, so that
// nobody can add to it afterwards.
func voteMeaning(v *Review, b Ballot) string {
	subject := fmt.Sprintf("%s %s, baseline %s, on report %s %s", v.ModelID, v.Version, v.BaselineID, v.ReportID, v.ReportVersion)
	var s string
	switch b.Outcome {
	case verify.OutcomeApproved:
		s = "APPROVED: " + subject + ", is ready for production"
	case verify.OutcomeConditional:
		s = "CONDITIONAL: " + subject + ", is ready for production when these conditions are met: " + draftWords(b.Conditions)
	default:
		s = "REJECTED: " + subject + ", is not ready for production"
	}
	if b.Comment != "" {
		s += ". Comment: " + b.Comment
	}
	return s
}

func votesOf(q query, v *Review) error {
	return q(`SELECT `+prefixed("d.", decisionColumns)+`, v.comment, v.conditions FROM review_votes v JOIN decisions d ON d.decision_id = v.decision_id
		WHERE v.prr_id = $1 ORDER BY v.seq`, []any{v.PRRID}, func(scan func(...any) error) error {
		vote := &Vote{}
		var conditions string
		d, err := scanDecision(func(dest ...any) error { return scan(append(dest, &vote.Comment, &conditions)...) })
		if err != nil {
			return err
		}
		vote.Decision = *d
		v.Votes = append(v.Votes, vote)
		return errors.Join(readJSON(conditions, &vote.Conditions))
	})
}

// prefixed puts a table's name before each of a list of columns.
func prefixed(table, columns string) string {
	list := strings.Split(columns, ",")
	for i, c := range list {
		list[i] = table + strings.TrimSpace(c)
	}
	return strings.Join(list, ", ")
}
