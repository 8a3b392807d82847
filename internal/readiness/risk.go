package readiness

import (
	"time"

	"caos"
	"caos/internal/db"
)

// RiskStatus is where a risk stands.
type RiskStatus string

// The states of a risk. Stored.
const (
	RiskOpen       RiskStatus = "OPEN"
	RiskMitigating RiskStatus = "MITIGATING" // something is being done about it
	RiskAccepted   RiskStatus = "ACCEPTED"   // somebody decided to live with what is left of it
	RiskClosed     RiskStatus = "CLOSED"     // it is gone
)

// RiskStatuses lists them in the order of a risk's life.
func RiskStatuses() []string {
	return []string{string(RiskOpen), string(RiskMitigating), string(RiskAccepted), string(RiskClosed)}
}

// The events of risks: risk_id, model_id, model_version, status, level and residual_level
// (what the board would look at).
const (
	EventRiskRaised   = "caos.risk.raised"
	EventRiskChanged  = "caos.risk.changed" // of level, residual level or status; an acceptance that a change voided, too
	EventRiskAccepted = "caos.risk.accepted"
	EventRiskClosed   = "caos.risk.closed"
)

// Risk is a risk of putting a model into production. Score and levels are computed from
// likelihood and impact by the scale; a residual of 0 is "not assessed".
type Risk struct {
	RiskID             string      `json:"risk_id"` // RISK-DLY-1 if CAOS gave it
	Title              string      `json:"title"`
	Description        string      `json:"description"`
	Category           string      `json:"category"`
	Likelihood         int         `json:"likelihood"` // 1 to 5
	Impact             int         `json:"impact"`     // 1 to 5
	Score              int         `json:"score"`
	Level              Level       `json:"level"`
	Mitigation         string      `json:"mitigation"`
	ResidualLikelihood int         `json:"residual_likelihood"` // 1 to 5, 0 with ResidualImpact 0
	ResidualImpact     int         `json:"residual_impact"`
	ResidualScore      int         `json:"residual_score"`
	ResidualLevel      Level       `json:"residual_level"` // "" if not assessed
	Owner              string      `json:"owner"`          // user id, "" while nobody owns it
	Status             RiskStatus  `json:"status"`
	ReviewOn           string      `json:"review_on"` // 2026-11-30: the day by which it is to be looked at again
	LastReviewed       *time.Time  `json:"last_reviewed"`
	LastReviewedBy     string      `json:"last_reviewed_by"`
	ReviewNote         string      `json:"review_note"`
	Accepted           *Acceptance `json:"accepted"`         // nil unless it is ACCEPTED
	ClosureEvidence    []string    `json:"closure_evidence"` // ids
	ClosureReason      string      `json:"closure_reason"`
	ClosedAt           *time.Time  `json:"closed_at"`
	ClosedBy           string      `json:"closed_by"`
	ModelID            string      `json:"model_id"`
	Version            string      `json:"model_version"` // "" for every version
	Source             string      `json:"source"`        // statement of the file it comes from, "" if a person wrote it
	Involved           []string    `json:"involved"`      // who ever wrote or owned it, sorted: they neither accept nor close it
	Importers          []string    `json:"importers"`     // who brought it in from a file, sorted: neither do they
	Project            string      `json:"project"`
	Classification     string      `json:"classification"`
	CreatedAt          time.Time   `json:"created_at"`
	CreatedBy          string      `json:"created_by"`
	UpdatedAt          time.Time   `json:"updated_at"`
	Revision           int64       `json:"revision"`
	ContentRevision    int64       `json:"content_revision"` // counts changes of what an acceptance is about
}

// Acceptance is a decision to live with a risk.
type Acceptance struct {
	By            string    `json:"by"`
	Role          string    `json:"role"` // in which it was decided
	Reason        string    `json:"reason"`
	DecisionID    string    `json:"decision_id"`
	Digest        string    `json:"digest"` // Risk.Digest as it was accepted
	At            time.Time `json:"at"`
	ResidualScore int       `json:"residual_score"` // that was accepted
}

// Stands is the score that counts now: the residual one, or the initial one if no residual
// was assessed.
func (k *Risk) Stands() int {
	if k.ResidualScore > 0 {
		return k.ResidualScore
	}
	return k.Score
}

// StandsAt is the level of Stands.
func (k *Risk) StandsAt() Level {
	if k.ResidualScore > 0 {
		return k.ResidualLevel
	}
	return k.Level
}

// RiskUpdate is what may be changed about a risk until it is CLOSED; nil leaves a field.
// The status is OPEN or MITIGATING here.
type RiskUpdate struct {
	Title              *string     `json:"title,omitempty"`
	Description        *string     `json:"description,omitempty"`
	Category           *string     `json:"category,omitempty"`
	Likelihood         *int        `json:"likelihood,omitempty"`
	Impact             *int        `json:"impact,omitempty"`
	Mitigation         *string     `json:"mitigation,omitempty"`
	ResidualLikelihood *int        `json:"residual_likelihood,omitempty"`
	ResidualImpact     *int        `json:"residual_impact,omitempty"`
	Owner              *string     `json:"owner,omitempty"`
	Status             *RiskStatus `json:"status,omitempty"`
	ReviewOn           *string     `json:"review_on,omitempty"`
}

// RiskAcceptance is what somebody says who accepts a risk. SafetyLevel is the model's, as
// the registry has it now: it decides whether a personal key is needed.
type RiskAcceptance struct {
	Reason      string
	SafetyLevel string
}

// RiskClosing says why a risk is gone: evidence, or a reason.
type RiskClosing struct {
	Evidence []string `json:"evidence,omitempty"` // ids
	Reason   string   `json:"reason,omitempty"`
}

// RiskFilter chooses risks; empty fields match all.
type RiskFilter struct {
	ModelID, Version, Project, Owner, Category string
	Status                                     RiskStatus
	Level                                      Level  // that stands
	ReviewBy                                   string // a day: only those that are not closed and to be reviewed by then
	Limit                                      int    // of a page; 0 means 100, the most is 1000
}

// CreateRisk writes a risk of a model into the register. An empty RiskID gets the model's
// next number, an empty Owner is who acts, an empty ReviewOn follows from the scale.
// Project and Classification are the model's, which the caller has read. Errors: Invalid
// naming the field, Conflict if the id is taken.
func (r *Readiness) CreateRisk(tx *db.Tx, k Risk, by By) (*Risk, error) { return nil, notYet() }

// UpdateRisk changes what a risk says until it is closed. A change of anything that an
// acceptance is about voids it. revision is the one that the caller saw, 0 for any.
func (r *Readiness) UpdateRisk(tx *db.Tx, id string, u RiskUpdate, revision int64, by By) (*Risk, error) {
	return nil, notYet()
}

// ReviewRisk records that somebody looked at a risk again, and sets the day of the next
// look.
func (r *Readiness) ReviewRisk(tx *db.Tx, id, note string, by By) (*Risk, error) {
	return nil, notYet()
}

// AcceptAct is what p would decide by accepting a risk, after every check of AcceptRisk but
// the proof: what Propose turns into the statement to sign.
func (r *Readiness) AcceptAct(tx *db.Tx, id string, a RiskAcceptance, p caos.Principal) (Act, error) {
	return Act{}, notYet()
}

// AcceptRisk records the decision of a person to live with what is left of a risk.
func (r *Readiness) AcceptRisk(tx *db.Tx, id string, a RiskAcceptance, proof Proof, p caos.Principal) (*Risk, *Decision, error) {
	return nil, nil, notYet()
}

// CloseRisk ends a risk with evidence that it is gone, or the reason.
func (r *Readiness) CloseRisk(tx *db.Tx, id string, end RiskClosing, by By) (*Risk, error) {
	return nil, notYet()
}

func notYet() error { return caos.Errorf(caos.Internal, "not built yet") }
