package readiness

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"time"

	"caos"
	"caos/internal/codec"
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

	// Owners are who owns or ever owned the model, as the registry has it: they do not make a
	// high or critical risk lighter.
	Owners []string `json:"-"`
}

// RiskAcceptance is what somebody says who accepts a risk. SafetyLevel is the model's, as
// the registry has it now: it decides whether a personal key is needed. So are Owners, former
// ones too: they accept no risk of their model.
type RiskAcceptance struct {
	Reason      string
	SafetyLevel string
	Owners      []string
}

// RiskClosing says why a risk is gone: evidence, or a reason.
type RiskClosing struct {
	Evidence []string `json:"evidence,omitempty"` // ids
	Reason   string   `json:"reason,omitempty"`

	// Owners are who owns or ever owned the model: they close no risk of it.
	Owners []string `json:"-"`
}

// RiskFilter chooses risks; empty fields match all.
type RiskFilter struct {
	ModelID, Version, Project, Owner, Category string
	Status                                     RiskStatus
	Level                                      Level  // that stands
	ReviewBy                                   string // a day: only those that are not closed and to be reviewed by then
	Limit                                      int    // of a page; 0 means 100, the most is 1000
}

// riskID is the grammar of risk ids.
var riskID = regexp.MustCompile(`^RISK-[A-Z0-9][A-Z0-9-]{0,40}$`)

// Rules that refuse what somebody wants to do about a risk.
const (
	RuleRiskCritical = "risk-critical"        // a critical risk cannot be accepted
	RuleRiskRole     = "risk-acceptance-role" // the account holds no role in which it may be
	RuleRiskOwner    = "risk-owner"           // nobody owns it
	RuleRiskReview   = "risk-review"          // the next review is later than the scale allows
)

// check refuses what cannot be a risk, naming the field.
func (k *Risk) check() error {
	if !riskID.MatchString(k.RiskID) {
		return caos.Errorf(caos.Invalid, "%.80q is not the id of a risk", k.RiskID).WithField("risk_id").
			WithHint("it matches %s; leave it out to get one", riskID)
	}
	if err := cmp.Or(checkTitle("title", k.Title, maxLine), checkText("description", k.Description), checkLine("category", k.Category, maxWord),
		checkText("mitigation", k.Mitigation), checkRating("likelihood", k.Likelihood), checkRating("impact", k.Impact)); err != nil {
		return err
	}
	if k.ResidualLikelihood != 0 || k.ResidualImpact != 0 {
		if err := cmp.Or(checkRating("residual_likelihood", k.ResidualLikelihood), checkRating("residual_impact", k.ResidualImpact)); err != nil {
			return caos.AsError(err).WithHint("1 to 5 in both, or neither: what is left of a risk has a likelihood and an impact")
		}
	}
	if k.Owner != "" {
		if err := caos.CheckID("user", "owner", k.Owner); err != nil {
			return err
		}
	}
	if err := caos.CheckID("model", "model_id", k.ModelID); err != nil {
		return err
	}
	if k.Version != "" {
		if err := caos.CheckID("version", "model_version", k.Version); err != nil {
			return err
		}
	}
	return checkDate("review_on", k.ReviewOn)
}

func checkRating(field string, n int) error {
	if n < 1 || n > maxRating {
		return caos.Errorf(caos.Invalid, "%d is not between 1 and %d", n, maxRating).WithField(field).WithHint("1 is the least, %d the most", maxRating)
	}
	return nil
}

// weigh computes what follows from likelihood and impact.
func (k *Risk) weigh(s Scale) {
	k.Score, k.ResidualScore = k.Likelihood*k.Impact, k.ResidualLikelihood*k.ResidualImpact
	k.Level, k.ResidualLevel = s.Level(k.Score), s.Level(k.ResidualScore)
}

// content is what somebody accepts who accepts a risk, in the order of its canonical JSON.
type content struct {
	Category           string `json:"category"`
	ContentRevision    int64  `json:"content_revision"` // a risk that was changed and changed back is accepted anew
	Description        string `json:"description"`
	Impact             int    `json:"impact"`
	Likelihood         int    `json:"likelihood"`
	Mitigation         string `json:"mitigation"`
	ModelID            string `json:"model_id"`
	Owner              string `json:"owner"`
	ResidualImpact     int    `json:"residual_impact"`
	ResidualLikelihood int    `json:"residual_likelihood"`
	RiskID             string `json:"risk_id"`
	Title              string `json:"title"`
	Version            string `json:"model_version"`
}

func (k *Risk) content() content {
	return content{Category: k.Category, ContentRevision: k.ContentRevision, Description: k.Description, Impact: k.Impact, Likelihood: k.Likelihood,
		Mitigation: k.Mitigation, ModelID: k.ModelID, Owner: k.Owner, ResidualImpact: k.ResidualImpact, ResidualLikelihood: k.ResidualLikelihood,
		RiskID: k.RiskID, Title: k.Title, Version: k.Version}
}

// Digest is that of what somebody accepts who accepts the risk: its texts, ratings and
// owner in canonical JSON. When it is looked at, or by whom, is not in it.
func (k *Risk) Digest() (string, error) {
	body, err := codec.Canonical(k.content())
	if err != nil {
		return "", err
	}
	return digestOf(body), nil
}

func digestOf(body []byte) string {
	sum := sha256.Sum256(body)
	return "SHA256:" + hex.EncodeToString(sum[:])
}

// involve adds people to a list of those involved.
func involve(list []string, people ...string) []string {
	out := slices.Clone(list)
	for _, p := range people {
		if p != "" && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return codec.Listed(out)
}

// separate refuses when one of those who act wrote or owned the risk: nobody judges their
// own work.
func (k *Risk) separate(what string, people ...string) error {
	for _, p := range people {
		if slices.Contains(k.Involved, p) || slices.Contains(k.Importers, p) {
			return caos.Errorf(caos.Denied, "%s wrote, imported or owned %s and cannot %s it", p, k.RiskID, what).WithRule(RuleSeparation).
				WithHint("somebody else has to do this")
		}
	}
	return nil
}

// notByOwner refuses when one of those who act owns or owned the model.
func (k *Risk) notByOwner(owners []string, what string, people ...string) error {
	for _, p := range people {
		if slices.Contains(owners, p) {
			return caos.Errorf(caos.Denied, "%s owns or owned %s and cannot %s %s", p, k.ModelID, what, k.RiskID).WithRule(RuleSeparation).
				WithHint("somebody who never owned the model has to do this")
		}
	}
	return nil
}

// lighter refuses that the model's owner makes a risk lighter that stands against a release,
// or takes it from a version: what keeps a model back is not talked away by whose model it is.
func (k *Risk) lighter(before *Risk, owners []string, by By) error {
	heavy := before.StandsAt() == High || before.StandsAt() == Critical
	switch {
	case !heavy:
		return nil
	case k.Version != before.Version && k.Version != "": // some version is rid of it
		return k.notByOwner(owners, "move to another version", by.Actor, by.recorder())
	case k.Stands() >= before.Stands() || k.StandsAt() == before.StandsAt():
		return nil
	}
	return k.notByOwner(owners, "lower", by.Actor, by.recorder())
}
