package verify

import "slices"

// What outcome records are about.
const (
	OutcomeOfReview     = "review"     // the board's decision
	OutcomeOfConditions = "conditions" // that all conditions of a review are closed
	OutcomeOfRelease    = "release"    // a release authorisation
)

// VoteWhat is the "what" of a vote: "vote:PRR-…:APPROVED".
func VoteWhat(prrID, outcome string) string { return "vote:" + prrID + ":" + outcome }

// CloseWhat is the "what" of closing a condition: "close:COND-…".
func CloseWhat(conditionID string) string { return "close:" + conditionID }

// ApproveWhat is the "what" of approving a release in a role:
// "approve:REL-AUTH-…:chief-engineer".
func ApproveWhat(authorizationID, role string) string {
	return "approve:" + authorizationID + ":" + role
}

// RejectWhat is the "what" of rejecting a release in a role:
// "reject:REL-AUTH-…:chief-engineer".
func RejectWhat(authorizationID, role string) string {
	return "reject:" + authorizationID + ":" + role
}

// OutcomeDetails are the details of an audit record of type DECISION or AUTHORISATION that
// says what several decisions came to. A verifier computes it again from the decisions and
// the policy. Lists are empty, never null.
type OutcomeDetails struct {
	_             struct{}           `open:"true"`
	OutcomeOf     string             `json:"outcome_of"`     // OutcomeOfReview, OutcomeOfConditions or OutcomeOfRelease
	Subject       string             `json:"subject"`        // PRR-… or REL-AUTH-…
	SubjectDigest string             `json:"subject_digest"` // what was decided on: of the report that was voted on (also in the record about its conditions), or of the release's scope
	PolicyDigest  string             `json:"policy_digest"`  // DecisionPolicy.Digest
	SafetyLevel   string             `json:"safety_level"`   // DAL-A … DAL-E, "" while it is not assessed
	Members       []string           `json:"members"`        // of the board; empty for a release
	Best          string             `json:"best"`           // best outcome that the checks of the review allowed; "" for a release
	Barred        []string           `json:"barred"`         // whom separation of duties keeps from deciding, when it was decided
	Votes         []OutcomeVote      `json:"votes"`          // every vote, closing or approval, in the order of their records
	Outcome       string             `json:"outcome"`        // "" if a review ended without a quorum
	Conditions    []OutcomeCondition `json:"conditions,omitempty"`
	ReportDigest  string             `json:"report_digest,omitempty"` // of the HTML report that was voted on
	PDFDigest     string             `json:"pdf_digest,omitempty"`    // of the same as PDF
	Scope         string             `json:"scope,omitempty"`         // of a release: the text whose SHA-256 is SubjectDigest
}

// MarshalJSON writes lists that are nil as empty ones.
func (o OutcomeDetails) MarshalJSON() ([]byte, error) {
	o.Votes = slices.Clone(o.Votes)
	for i := range o.Votes {
		o.Votes[i].Roles = listed(o.Votes[i].Roles)
	}
	o.Members, o.Barred, o.Votes = listed(o.Members), listed(o.Barred), listed(o.Votes)
	type plain OutcomeDetails
	return marshalPlain(plain(o))
}

func listed[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// OutcomeVote is one decision that an outcome rests on.
type OutcomeVote struct {
	Record  string   `json:"record"`            // id of the DECISION record
	Person  string   `json:"person"`            // user id
	Outcome string   `json:"outcome"`           // APPROVED, CONDITIONAL, REJECTED; CLOSED of a closing
	Roles   []string `json:"roles"`             // that the person had then, as the DECISION record says
	Role    string   `json:"role"`              // in which it was decided; "" for none
	Proof   string   `json:"proof"`             // ProofSSH or ProofServer
	Subject string   `json:"subject,omitempty"` // of a closing: COND-…; otherwise the outcome's subject
	Digest  string   `json:"digest,omitempty"`  // of a closing: of the condition; otherwise the outcome's subject_digest
}

// OutcomeCondition is a condition of a review.
type OutcomeCondition struct {
	ConditionID string `json:"condition_id"`
	Text        string `json:"text"`
	Owner       string `json:"owner"`  // user id
	DueOn       string `json:"due_on"` // YYYY-MM-DD
	From        string `json:"from"`   // record of the vote that demanded it; "" if the checks of the review did
}
