package readiness

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/codec"
	"caos/internal/db"
	"caos/internal/event"
	"caos/internal/verify"
)

// ReviewStatus is where a review stands.
type ReviewStatus string

// The states of a review. Stored.
const (
	ReviewPreparing   ReviewStatus = "PREPARING"   // its report is being made
	ReviewVoting      ReviewStatus = "VOTING"      // the board votes on the report
	ReviewConditional ReviewStatus = "CONDITIONAL" // decided; conditions have to be closed
	ReviewDecided     ReviewStatus = "DECIDED"     // approved or rejected for good
	ReviewFailed      ReviewStatus = "FAILED"      // it came to no decision
	ReviewCancelled   ReviewStatus = "CANCELLED"
)

// ReviewStatuses lists them in order.
func ReviewStatuses() []string {
	return []string{string(ReviewPreparing), string(ReviewVoting), string(ReviewConditional), string(ReviewDecided), string(ReviewFailed), string(ReviewCancelled)}
}

// Open reports whether a review of this status is still going on.
func (s ReviewStatus) Open() bool {
	return s == ReviewPreparing || s == ReviewVoting || s == ReviewConditional
}

// Events of reviews.
const (
	EventReviewOpened    = "caos.review.opened"
	EventReviewDecided   = "caos.review.decided"
	EventConditionClosed = "caos.condition.closed"
)

// Rules that refuse something about a review, besides those of decisions.
const (
	RuleReviewOpen   = "review-open"          // another review of the baseline is going on
	RuleVotesOpen    = "votes-open"           // nothing can be voted on, or not any more
	RuleBoardMember  = "board-member"         // neither a member with prr-board nor a chief engineer
	RuleBestPossible = "best-possible"        // better than the findings allow
	RuleCondition    = "condition-needed"     // CONDITIONAL says under which conditions
	RuleQuorum       = "quorum"               // the votes do not carry the decision
	RuleByAnother    = "condition-by-another" // a condition is not closed by its owner
	RuleOpenLeft     = "conditions-open"      // not all conditions are closed
	RuleClosable     = "condition-open"       // the condition is closed, or its review is over
)

// maxMembers bounds a board.
const maxMembers = 50

// ReviewReport is one edition of the report of a review: a document and its companions.
type ReviewReport struct {
	ReportID    string `json:"report_id"` // document id
	Version     string `json:"version"`   // 1.0 is voted on; 2.0 has the decision
	Digest      string `json:"digest"`    // of the HTML, the document
	PDFDigest   string `json:"pdf_digest"`
	FactsDigest string `json:"facts_digest"` // of the JSON of all that it shows
}

// Review is a production readiness review of a baseline.
type Review struct {
	PRRID       string `json:"prr_id"` // PRR-NN-DLY-001-1.0.0, -2 for the second of the version
	ExecutionID string `json:"execution_id"`
	Subject
	ChecklistID   string         `json:"checklist_id"`
	Members       []string       `json:"members"`  // user ids, as they were named
	PRRDate       string         `json:"prr_date"` // YYYY-MM-DD
	ClosesAt      time.Time      `json:"closes_at"`
	Status        ReviewStatus   `json:"status"`
	Best          string         `json:"best"`      // best decision that the findings allow, "" while it is prepared
	ReportID      string         `json:"report_id"` // the edition that is voted on, "" while it is prepared, as the next four
	ReportVersion string         `json:"report_version"`
	ReportDigest  string         `json:"report_digest"`
	PDFDigest     string         `json:"pdf_digest"`
	FactsDigest   string         `json:"facts_digest"`
	Editions      []ReviewReport `json:"editions"` // all of them, that one first
	RequestedBy   string         `json:"requested_by"`
	RecordedBy    string         `json:"recorded_by"`
	EnabledBy     string         `json:"enabled_by"`     // who switched the trigger on that asked, ""
	Decision      string         `json:"decision"`       // APPROVED once all conditions are closed
	BoardDecision string         `json:"board_decision"` // what the board decided; stays
	PolicyDigest  string         `json:"policy_digest"`
	Votes         []*Vote        `json:"votes"`      // in the order in which they were cast; left out of lists
	Conditions    []*Condition   `json:"conditions"` // left out of lists
	OpenedAt      time.Time      `json:"opened_at"`
	DecidedAt     *time.Time     `json:"decided_at"` // by the board
	Revision      int64          `json:"revision"`

	Standing *Standing `json:"standing,omitempty"` // while it is voted on, of one review that is asked for
}

// Standing is how a vote that is open stands at this moment.
type Standing struct {
	Outcome string   `json:"outcome"` // if it closed now, "" without a quorum
	Quorum  bool     `json:"quorum"`
	Missing []string `json:"missing"` // what the quorum lacks, in words
	Waiting []string `json:"waiting"` // members who may still vote
	Barred  []string `json:"barred"`  // members who cannot, because they had a hand in the version
}

// Stand sets how the vote on a review stands, if it is open.
func (r *Readiness) Stand(tx *db.Tx, v *Review) error {
	if v.Status != ReviewVoting {
		return nil
	}
	c, err := r.count(tx, v)
	if err != nil {
		return err
	}
	v.Standing = &Standing{Outcome: c.Outcome, Quorum: c.Quorum, Missing: codec.Listed(c.Missing), Waiting: codec.Listed(c.Waiting), Barred: []string{}}
	for _, m := range v.Members {
		if slices.Contains(c.Barred, m) {
			v.Standing.Barred = append(v.Standing.Barred, m)
		}
	}
	return nil
}

func (v *Review) check(now time.Time) error {
	if err := cmp.Or(caos.CheckID("model", "model_id", v.ModelID), caos.CheckID("version", "model_version", v.Version),
		checkTitle("baseline_id", v.BaselineID, maxLine), checkTitle("checklist_id", v.ChecklistID, maxLine)); err != nil {
		return err
	}
	if len(v.Members) == 0 || len(v.Members) > maxMembers {
		return caos.Errorf(caos.Invalid, "a board has 1 to %d members", maxMembers).WithField("prr_board_members").WithHint("name people who hold %s", roleBoard)
	}
	for i, m := range v.Members {
		if err := caos.CheckID("user", "prr_board_members["+strconv.Itoa(i)+"]", m); err != nil {
			return err
		}
		if slices.Contains(v.Members[:i], m) {
			return caos.Errorf(caos.Invalid, "%s is named twice", m).WithField("prr_board_members[" + strconv.Itoa(i) + "]").WithHint("name each member once")
		}
	}
	if v.PRRDate == "" || !v.ClosesAt.After(now) {
		return caos.Errorf(caos.Invalid, "the board could not vote: its time would be over").WithField("prr_date").WithHint("give today or a later day")
	}
	return checkDate("prr_date", v.PRRDate)
}

// OpenReview begins a review of a baseline: who asked is by, and everything but the id and
// what comes later is v's. Errors: Conflict (rule review-open) while another review of the
// baseline goes on, naming it.
func (r *Readiness) OpenReview(tx *db.Tx, v Review, by By) (*Review, error) {
	now := r.now()
	if err := v.check(now); err != nil {
		return nil, err
	}
	var open string
	var n int64
	if err := tx.Query(`SELECT prr_id, n, baseline_id, status FROM reviews WHERE model_id = $1 AND version = $2`, []any{v.ModelID, v.Version}, func(scan func(...any) error) error {
		var id, baseline, status string
		var number int64
		err := scan(&id, &number, &baseline, &status)
		n = max(n, number)
		if baseline == v.BaselineID && ReviewStatus(status).Open() {
			open = id
		}
		return err
	}); err != nil {
		return nil, err
	}
	if open != "" {
		return nil, caos.Errorf(caos.Conflict, "the review %s of %s is going on", open, v.BaselineID).WithField("baseline_id").WithRule(RuleReviewOpen).
			WithHint("wait for its decision or cancel it: caos review show %s", open)
	}
	_, policy := verify.ShippedDecisionPolicy()
	v.Status, v.OpenedAt, v.Revision, v.PolicyDigest = ReviewPreparing, now, 0, policy.Digest()
	v.RequestedBy, v.RecordedBy, v.DecidedAt = by.Actor, by.recorder(), nil
	v.Best, v.ReportID, v.ReportVersion, v.ReportDigest, v.PDFDigest, v.FactsDigest, v.Decision, v.BoardDecision = "", "", "", "", "", "", "", ""
	v.Members, v.Editions, v.Votes, v.Conditions = slices.Clone(v.Members), []ReviewReport{}, []*Vote{}, []*Condition{}
	if err := r.insertReview(tx, &v, n+1); err != nil {
		return nil, err
	}
	if err := r.keepReview(tx, &v); err != nil {
		return nil, err
	}
	if err := r.events.Emit(tx, event.Event{Type: EventReviewOpened, Subject: v.PRRID, Project: v.Project, Classification: v.Classification, Data: map[string]any{
		"prr_id": v.PRRID, "model_id": v.ModelID, "model_version": v.Version, "baseline_id": v.BaselineID, "prr_date": v.PRRDate, "members": v.Members,
	}}); err != nil {
		return nil, err
	}
	return &v, r.recordReview(tx, &v, by, "review opened", map[string]any{"members": v.Members, "prr_date": v.PRRDate, "closes_at": caos.FormatTime(v.ClosesAt),
		"checklist_id": v.ChecklistID, "enabled_by": v.EnabledBy})
}

// reviewID is the id of a version's nth review. Pre-releases such as 1.0.0-2 could read the
// same as the second review of 1.0.0: the caller takes the next number then.
func reviewID(s Subject, n int64) string {
	id := "PRR-" + s.ModelID + "-" + s.Version
	if n > 1 {
		id += "-" + strconv.FormatInt(n, 10)
	}
	return id
}

func (r *Readiness) insertReview(tx *db.Tx, v *Review, n int64) error {
	for last := n + 100; n < last; n++ {
		v.PRRID = reviewID(v.Subject, n)
		rows, err := tx.ExecRows(`INSERT INTO reviews (prr_id, n, execution_id, model_id, version, baseline_id, root_digest, safety_level, checklist_id, members,
				prr_date, closes_at, status, best, report_id, report_version, report_digest, pdf_digest, facts_digest, editions, requested_by, recorded_by, enabled_by,
				decision, board_decision, policy_digest, project, classification, opened_at, decided_at, updated_at, revision)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, '', '', '', '', '', '', '[]', $14, $15, $16, '', '', $17, $18, $19, $20, 0, $21, 1)
			ON CONFLICT (prr_id) DO NOTHING`,
			v.PRRID, n, v.ExecutionID, v.ModelID, v.Version, v.BaselineID, v.RootDigest, v.SafetyLevel, v.ChecklistID, codec.ListJSON(v.Members),
			v.PRRDate, v.ClosesAt.UnixMicro(), string(v.Status), v.RequestedBy, v.RecordedBy, v.EnabledBy,
			v.PolicyDigest, v.Project, v.Classification, v.OpenedAt.UnixMicro(), v.OpenedAt.UnixMicro())
		if err != nil {
			return err
		}
		if rows == 1 {
			v.Revision = 1
			return nil
		}
	}
	return caos.Errorf(caos.Conflict, "there is no free id for a review of %s %s", v.ModelID, v.Version).WithField("baseline_id").WithHint("cancelled reviews keep their ids; freeze a new version")
}

// storeReview writes a change, and keeps how the row reads now.
func (r *Readiness) storeReview(tx *db.Tx, v *Review) error {
	editions, err := codec.Canonical(v.Editions)
	if err != nil {
		return err
	}
	before := v.Revision
	v.Revision++
	tx.ExecOne(caos.Errorf(caos.Conflict, "the review %s was changed meanwhile", v.PRRID).WithHint("read it again"),
		`UPDATE reviews SET status = $1, best = $2, report_id = $3, report_version = $4, report_digest = $5, pdf_digest = $6, facts_digest = $7, editions = $8,
			decision = $9, board_decision = $10, policy_digest = $11, decided_at = $12, updated_at = $13, revision = $14 WHERE prr_id = $15 AND revision = $16`,
		string(v.Status), v.Best, v.ReportID, v.ReportVersion, v.ReportDigest, v.PDFDigest, v.FactsDigest, string(editions),
		v.Decision, v.BoardDecision, v.PolicyDigest, db.Instant(v.DecidedAt), r.now().UnixMicro(), v.Revision, v.PRRID, before)
	return r.keepReview(tx, v)
}

func (r *Readiness) keepReview(tx *db.Tx, v *Review) error {
	return r.keep(tx, edition{Noun: "review", Scope: v.BaselineID, ID: v.PRRID, Revision: v.Revision, Body: v})
}

func (r *Readiness) recordReview(tx *db.Tx, v *Review, by By, what string, more map[string]any) error {
	details := map[string]any{"event": what, "status": v.Status}
	for k, one := range more {
		details[k] = one
	}
	return r.record(tx, by, auditlog.Record{Resources: []string{v.PRRID, v.ModelID, v.BaselineID}, Details: details, Project: v.Project, Classification: v.Classification})
}

// Prepared opens the vote on a report. best is the best decision that the findings allow.
func (r *Readiness) Prepared(tx *db.Tx, id string, report ReviewReport, best string, by By) (*Review, error) {
	v, err := r.ReviewIn(tx, id)
	if err != nil {
		return nil, err
	}
	if v.Status != ReviewPreparing {
		return nil, caos.Errorf(caos.Conflict, "the review %s is %s", id, v.Status).WithHint("its report was made before")
	}
	if err := cmp.Or(caos.CheckWord("best", best, outcomes()), report.check()); err != nil {
		return nil, err
	}
	v.Status, v.Best, v.ReportID, v.ReportVersion, v.ReportDigest = ReviewVoting, best, report.ReportID, report.Version, report.Digest
	v.PDFDigest, v.FactsDigest, v.Editions = report.PDFDigest, report.FactsDigest, []ReviewReport{report}
	if err := r.storeReview(tx, v); err != nil {
		return nil, err
	}
	return v, r.recordReview(tx, v, by, "review opened for votes", map[string]any{"best": best, "report": report})
}

func (e ReviewReport) check() error {
	if err := cmp.Or(caos.CheckID("document", "report_id", e.ReportID), checkTitle("report_version", e.Version, maxWord)); err != nil {
		return err
	}
	if _, err := verify.ParseHash(e.Digest); err != nil {
		return caos.Errorf(caos.Invalid, "%.80q is not a digest", e.Digest).WithField("report_digest").WithHint("SHA256: and 64 hex digits")
	}
	return cmp.Or(checkLine("pdf_digest", e.PDFDigest, maxLine), checkLine("facts_digest", e.FactsDigest, maxLine))
}

// AddEdition keeps a later edition of the report. What was voted on stays what it was.
func (r *Readiness) AddEdition(tx *db.Tx, id string, report ReviewReport, by By) (*Review, error) {
	v, err := r.ReviewIn(tx, id)
	if err != nil {
		return nil, err
	}
	if err := report.check(); err != nil {
		return nil, err
	}
	if v.Status == ReviewPreparing || len(v.Editions) >= 100 || slices.ContainsFunc(v.Editions, func(e ReviewReport) bool { return e.Version == report.Version }) {
		return nil, caos.Errorf(caos.Conflict, "the review %s takes no edition %s of its report", id, report.Version).WithField("report_version").
			WithHint("give the next version; the one that is voted on comes first")
	}
	v.Editions = append(v.Editions, report)
	if err := r.storeReview(tx, v); err != nil {
		return nil, err
	}
	return v, r.recordReview(tx, v, by, "edition of the review's report", map[string]any{"report": report})
}

// outcomes lists what a vote and a review can say, the best first.
func outcomes() []string {
	return []string{verify.OutcomeApproved, verify.OutcomeConditional, verify.OutcomeRejected}
}

// better reports whether one outcome is better than another.
func better(a, b string) bool {
	return slices.Index(outcomes(), a) < slices.Index(outcomes(), b)
}

// Count is how a review stands: the tally and what it was made of.
type Count struct {
	verify.Tally
	Ballots      []verify.Ballot // of everybody who voted, in order
	Barred       []string        // user ids, sorted: whose ballots would not count or did not, barred or without a proof that stands
	PolicyDigest string
}

// Tally counts the votes of a review on the facts of this moment: a voter who has become
// barred since, or in whose stead somebody barred could have voted, does not count.
func (r *Readiness) Tally(tx *db.Tx, id string) (Count, error) {
	v, err := r.ReviewIn(tx, id)
	if err != nil {
		return Count{}, err
	}
	return r.count(tx, v)
}

func (r *Readiness) count(tx *db.Tx, v *Review) (Count, error) {
	_, policy := verify.ShippedDecisionPolicy()
	c := Count{PolicyDigest: policy.Digest()}
	cast := make([]*Decision, len(v.Votes))
	for i, vote := range v.Votes {
		cast[i] = &vote.Decision
	}
	var err error
	if c.Barred, err = r.standing(tx, v.Subject, cast); err != nil {
		return Count{}, err
	}
	c.Ballots = ballots(cast)
	c.Tally = policy.TallyReview(v.Members, c.Barred, v.Best, c.Ballots)
	return c, nil
}

// Decide ends the vote with a decision that the votes carry, or a worse one: the findings of
// this moment may allow less than they did. CONDITIONAL opens the conditions of the votes
// that count and extra ones. Errors: Conflict (rule quorum) for more than the votes carry.
func (r *Readiness) Decide(tx *db.Tx, id, decision string, extra []ConditionDraft, by By) (*Review, error) {
	v, err := r.ReviewIn(tx, id)
	if err != nil {
		return nil, err
	}
	if err := caos.CheckWord("decision", decision, outcomes()); err != nil {
		return nil, err
	}
	if v.Status != ReviewVoting {
		return nil, caos.Errorf(caos.Conflict, "the review %s is %s", id, v.Status).WithRule(RuleVotesOpen).WithHint("only a vote that is open can be decided")
	}
	c, err := r.count(tx, v)
	if err != nil {
		return nil, err
	}
	if decision != verify.OutcomeRejected && (c.Outcome == "" || better(decision, c.Outcome)) {
		return nil, caos.Errorf(caos.Conflict, "the votes on %s do not carry %s", id, decision).WithRule(RuleQuorum).WithField("decision").
			WithHint("their outcome is %q", c.Outcome)
	}
	now := r.now()
	v.Status, v.Decision, v.BoardDecision, v.DecidedAt, v.PolicyDigest = ReviewDecided, decision, decision, &now, c.PolicyDigest
	if decision == verify.OutcomeConditional {
		v.Status = ReviewConditional
		if err := r.openConditions(tx, v, c, extra, by); err != nil {
			return nil, err
		}
	}
	if err := r.storeReview(tx, v); err != nil {
		return nil, err
	}
	if err := r.tellDecided(tx, v); err != nil {
		return nil, err
	}
	return v, r.recordReview(tx, v, by, "review decided", map[string]any{"decision": decision, "tally": c.Outcome, "best": v.Best, "barred": codec.Listed(c.Barred)})
}

func (r *Readiness) tellDecided(tx *db.Tx, v *Review) error {
	return r.events.Emit(tx, event.Event{Type: EventReviewDecided, Subject: v.PRRID, Project: v.Project, Classification: v.Classification, Data: map[string]any{
		"prr_id": v.PRRID, "model_id": v.ModelID, "model_version": v.Version, "baseline_id": v.BaselineID, "status": v.Status, "decision": v.Decision,
		"board_decision": v.BoardDecision,
	}})
}

// EndReview ends a review that is going on: DECIDED makes a conditional one approved, when
// all conditions are closed (rule conditions-open); FAILED and CANCELLED leave it without a
// decision to act upon.
func (r *Readiness) EndReview(tx *db.Tx, id string, status ReviewStatus, by By) (*Review, error) {
	v, err := r.ReviewIn(tx, id)
	if err != nil {
		return nil, err
	}
	if err := caos.CheckWord("status", string(status), []string{string(ReviewDecided), string(ReviewFailed), string(ReviewCancelled)}); err != nil {
		return nil, err
	}
	if !v.Status.Open() || status == ReviewDecided && v.Status != ReviewConditional {
		return nil, caos.Errorf(caos.Conflict, "the review %s is %s and cannot become %s", id, v.Status, status).WithField("status").
			WithHint("a review is decided by its votes, and what is decided stands")
	}
	if status == ReviewDecided {
		for _, one := range v.Conditions {
			if one.Status != ConditionClosed {
				return nil, caos.Errorf(caos.Conflict, "the condition %s of %s is open", one.ConditionID, id).WithRule(RuleOpenLeft).
					WithHint("somebody other than %s closes it with evidence: caos condition close %s", one.Owner, one.ConditionID)
			}
		}
		v.Decision = verify.OutcomeApproved
	}
	v.Status = status
	if err := r.storeReview(tx, v); err != nil {
		return nil, err
	}
	if status == ReviewDecided {
		if err := r.tellDecided(tx, v); err != nil {
			return nil, err
		}
	}
	return v, r.recordReview(tx, v, by, "review ended", map[string]any{"decision": v.Decision, "board_decision": v.BoardDecision})
}
