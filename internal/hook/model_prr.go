package hook

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/codec"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/evidence"
	"caos/internal/notify"
	"caos/internal/object"
	"caos/internal/policy"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/report"
	"caos/internal/verify"
)

// CAOS.PROD.MODEL.PRR, section 4.2: a board reviews whether a frozen version is ready for
// production.
//
// What the facts allow is decided by one pure function, prrVerdicts (model_prr_gates.go):
// each check has a ceiling, the best decision that it allows, and votes can only lower the
// lowest of them. It is asked when the report is made, again in the transaction that records
// the decision, and again in the one that makes the version PRODUCTION_READY, because days
// lie between them. A review that ends REJECTED has SUCCEEDED: the board has decided. One
// that comes to no decision, or whose decision the facts have overtaken, has FAILED.

const prrHook = "CAOS.PROD.MODEL.PRR"

// What a waiting review is told.
const (
	topicVote      = "vote"
	topicCondition = "condition"
)

// reportSeries is the series of document ids that reports are numbered in.
const reportSeries = "95-00-09-02-"

// maxPRRDays is how far ahead a board may meet.
const maxPRRDays = 366

// PRRInput is the hook's input.
type PRRInput struct {
	ModelID             string   `json:"model_id" jsonschema:"pattern=^NN-[A-Z][A-Z0-9]{0\\,15}-[0-9]{3\\,6}$"`
	BaselineID          string   `json:"baseline_id" jsonschema:"pattern=^BL-[A-Z][A-Z0-9]{0\\,15}(-[0-9]{3\\,6})?-[0-9][0-9A-Za-z.-]{0\\,60}$"`
	CriteriaChecklistID string   `json:"criteria_checklist_id" jsonschema:"pattern=^[0-9A-Za-z]{2\\,12}(-[0-9A-Za-z]{1\\,12}){2\\,5}$,description=The template; its instance for the baseline is what the review reads."`
	PRRBoardMembers     []string `json:"prr_board_members" jsonschema:"minItems=1,maxItems=50,pattern=^[a-z][a-z0-9._-]{1\\,63}$"`
	PRRDate             string   `json:"prr_date" jsonschema:"pattern=^[0-9]{4}-[0-9]{2}-[0-9]{2}$,description=Votes close at its end in UTC."`
}

// PRROutput is the hook's output. What is not so yet is null.
type PRROutput struct {
	PRRID         *string  `json:"prr_id"`
	PRRDecision   *string  `json:"prr_decision" jsonschema:"enum=APPROVED,enum=CONDITIONAL,enum=REJECTED"`
	PRRConditions []string `json:"prr_conditions"`
	PRRReportID   *string  `json:"prr_report_id"`
	NextSteps     []string `json:"next_steps"`
}

// prrState is what the hook remembers between commits. The facts are not in it: they lie in
// the object store under their digest.
type prrState struct {
	In          PRRInput          `json:"in"`
	PRRID       string            `json:"prr_id"`
	Subject     readiness.Subject `json:"subject"`
	Best        string            `json:"best"`        // best decision that the checks allowed when they were last asked
	Found       []string          `json:"found"`       // rules of the findings that the execution has
	ReportID    string            `json:"report_id"`   // "" until the first edition is registered
	Rendered    *rendered         `json:"rendered"`    // the edition that is to be registered next, nil for none
	Decision    string            `json:"decision"`    // the board's, "" before
	Conditioned []string          `json:"conditioned"` // checklist items that became conditions
	Ready       bool              `json:"ready"`       // the version is PRODUCTION_READY: nothing is undone any more
	Failed      bool              `json:"failed"`      // it came to no decision that counts
	Remedies    []string          `json:"remedies"`    // of the findings that stood last, at most 8
	Out         PRROutput         `json:"out"`
}

// rendered is an edition of the report that lies in the object store.
type rendered struct {
	ReportID string     `json:"report_id"`
	Version  string     `json:"version"`
	Best     string     `json:"best"` // that it shows
	HTML     object.Ref `json:"html"`
	PDF      object.Ref `json:"pdf"`
	Facts    object.Ref `json:"facts"`
	At       time.Time  `json:"at"` // before they were stored
}

// modelPRR holds the only things the hook may touch.
type modelPRR struct {
	registry  *registry.Registry
	readiness *readiness.Readiness
	evidence  *evidence.Repository
	objects   *object.Store
	notifier  *notify.Notifier
	people    People
	policies  *policy.Set
	db        *db.DB
	log       *auditlog.Log
	clock     func() time.Time
	baseURL   string
}

// ModelPRR makes the hook.
func ModelPRR(c Collaborators) *Hook {
	h := newModelPRR(c)
	return &Hook{
		ID: prrHook, Version: "1.0.0", Section: "4.2", Title: "Production Readiness Review (PRR) Hook", Trigger: "Completion of all industrialization criteria",
		Owner: "Production Planning Board", Retry: engine.DefaultRetry(), Timeout: time.Hour,
		Input: reflect.TypeFor[PRRInput](), Output: reflect.TypeFor[PRROutput](),
		Read: h.read,
		Gates: []Gate{
			{Name: "baseline-known", Action: "The baseline is that of this model, and its version is FROZEN", Test: h.baselineKnown},
			{Name: "review-open", Action: "No other review of the baseline is going on", Test: h.reviewOpen},
			{Name: "checklist", Action: "The checklist template is registered, and its checklist for this baseline is open", Test: h.checklistThere},
			{Name: "board", Action: "Every member of the board is an enabled person who holds prr-board and may know of the model, named once", Test: h.boardKnown},
			{Name: "quorum-reachable", Action: "Enough members and a Chief Engineer may vote: neither requester, nor owner, nor V&V author", Test: h.quorumReachable},
			{Name: "prr-date", Action: "The board meets today or within a year", Test: h.dateAhead},
		},
		Explain: h.explain, Ask: h.ask, Past: h.past, Release: h.release,
		Flow: h.plan().Flow(),
	}
}

func newModelPRR(c Collaborators) *modelPRR {
	return &modelPRR{registry: c.Registry, readiness: c.Readiness, evidence: c.Evidence, objects: c.Objects, notifier: c.Notifier, people: c.People,
		policies: c.Policies, db: c.DB, log: c.Log, clock: c.Now, baseURL: c.BaseURL}
}

func (h *modelPRR) plan() engine.Plan[prrState] {
	return engine.Plan[prrState]{
		Hook: prrHook, Version: "1.0.0", Revision: 1, Schema: 1,
		Begin: func(_ *engine.Run, input json.RawMessage) (*prrState, error) {
			in, err := inputOf[PRRInput](input)
			return &prrState{In: in, Best: report.Approved, Out: PRROutput{PRRConditions: []string{}, NextSteps: []string{}}}, err
		},
		Steps: []engine.Step[prrState]{
			engine.InTx(1, "Validate all industrialization criteria", "open-review", h.openReview),
			engine.InTx(1, "Validate all industrialization criteria", "check-criteria", h.checkCriteria),
			engine.InTx(2, "Check risk register for acceptable status", "check-risks", h.checkRisks),
			engine.InTx(3, "Verify certification evidence completeness", "check-evidence", h.checkEvidence),
			engine.Repeat("report", (*prrState).registered,
				engine.Call(4, "Generate PRR report", "render-report", h.render),
				engine.InTx(4, "Generate PRR report", "register-report", h.registerReport)),
			engine.Wait(5, "Record PRR decision", "collect-votes", h.openVotes, h.vote),
			engine.InTx(5, "Record PRR decision", "record-decision", h.recordDecision),
			engine.Each("decision-report", (*prrState).decided, engine.Repeat("decision-edition", (*prrState).registered,
				engine.Call(5, "Record PRR decision", "render-decision", h.render),
				engine.InTx(5, "Record PRR decision", "register-decision-report", h.registerDecision))),
			engine.Wait(6, "Update model status to PRODUCTION_READY (if approved)", "close-conditions", h.openConditions, h.closeCondition),
			engine.InTx(6, "Update model status to PRODUCTION_READY (if approved)", "update-status", h.updateStatus),
			engine.Each("closing-report", (*prrState).closed, engine.Repeat("closing-edition", (*prrState).registered,
				engine.Call(6, "Update model status to PRODUCTION_READY (if approved)", "render-closing", h.render),
				engine.InTx(6, "Update model status to PRODUCTION_READY (if approved)", "register-closing-report", h.registerClosing))),
			engine.InTx(7, "Trigger release preparation workflow", "prepare-release", h.prepareRelease),
		},
		Output: func(s *prrState) any { return s.Out },
		Failed: func(s *prrState) bool { return s.Failed },
		Compensate: []engine.Step[prrState]{
			engine.InTx(5, "Record PRR decision", "end-review", h.endReview),
		},
	}
}

// registered reports that there is no edition left to register.
func (s *prrState) registered() bool { return s.Rendered == nil }

// decided lists the edition that shows the decision, if there was one.
func (s *prrState) decided() []string {
	if s.Decision == "" {
		return nil
	}
	return []string{s.PRRID}
}

// closed lists the edition that shows how the conditions were closed, if there were any.
func (s *prrState) closed() []string {
	if !s.Ready || s.Decision != report.Conditional {
		return nil
	}
	return []string{s.PRRID}
}

// read says what an input names. Of what does not exist the gates will say so.
func (h *modelPRR) read(ctx context.Context, input json.RawMessage) (Named, error) {
	in, err := inputOf[PRRInput](input)
	if err != nil {
		return Named{}, err
	}
	n := Named{Model: in.ModelID}
	if h.registry == nil || h.readiness == nil {
		return n, caos.Errorf(caos.Unavailable, "this installation has no model registry")
	}
	m, err := h.registry.Model(ctx, in.ModelID)
	if caos.KindOf(err) == caos.NotFound {
		return n, nil
	}
	if err != nil {
		return n, err
	}
	n.Project, n.Classification, n.Owner = m.Project, m.Classification, m.Owner
	return n, nil
}

func (h *modelPRR) by(r *engine.Run) readiness.By {
	return readiness.By{Actor: r.RequestedBy, RecordedBy: r.By.ID, Execution: r.ExecutionID, Hook: r.HookID}
}

func (h *modelPRR) registrar(r *engine.Run) registry.By {
	return registry.By{Actor: r.RequestedBy, RecordedBy: r.By.ID, Execution: r.ExecutionID, Hook: r.HookID}
}

// subject is the version that a review is about, as the registry has it.
func (h *modelPRR) subject(tx *db.Tx, in PRRInput) (readiness.Subject, error) {
	var s readiness.Subject
	m, err := h.registry.ModelIn(tx, in.ModelID)
	if err != nil {
		return s, named(err, "model_id")
	}
	b, err := h.registry.BaselineIn(tx, in.BaselineID)
	if err != nil {
		return s, named(err, "baseline_id")
	}
	if b.ModelID != m.ModelID {
		return s, caos.Errorf(caos.Invalid, "%s is no baseline of %s", in.BaselineID, in.ModelID).WithField("baseline_id").WithRule("baseline-known").
			WithHint("its versions and their baselines: caos model show %s", in.ModelID)
	}
	return readiness.Subject{ModelID: m.ModelID, Version: b.Version, BaselineID: b.BaselineID, RootDigest: b.RootDigest, SafetyLevel: m.SafetyLevel,
		Project: m.Project, Classification: m.Classification}, nil
}

// closesAt is the last moment for votes of a day, UTC.
func closesAt(day string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return t, caos.Errorf(caos.Invalid, "%q is not a day", clip(day)).WithField("prr_date").WithRule("prr-date").WithHint("write it as 2026-11-30")
	}
	return t.Add(24*time.Hour - time.Microsecond), nil
}

// openReview begins the review: from here on there is no other of the baseline, and whoever
// asked for it can never vote.
func (h *modelPRR) openReview(tx *db.Tx, r *engine.Run, s *prrState) (err error) {
	if s.Subject, err = h.subject(tx, s.In); err != nil {
		return err
	}
	c, err := h.readiness.ChecklistOf(tx, s.In.CriteriaChecklistID, s.In.BaselineID)
	if err != nil {
		return err
	}
	ends, err := closesAt(s.In.PRRDate)
	if err != nil {
		return err
	}
	v, err := h.readiness.OpenReview(tx, readiness.Review{ExecutionID: r.ExecutionID, Subject: s.Subject, ChecklistID: c.ChecklistID, Members: s.In.PRRBoardMembers,
		PRRDate: s.In.PRRDate, ClosesAt: ends, EnabledBy: r.By.EnabledBy}, h.by(r))
	if err != nil {
		return err
	}
	s.PRRID, s.Out.PRRID = v.PRRID, &v.PRRID
	r.Record.Resources = []string{v.PRRID, s.Subject.ModelID, s.Subject.BaselineID, c.ChecklistID}
	return nil
}

// judge takes verdicts in: the best decision that is left, and what is new as findings.
func (s *prrState) judge(r *engine.Run, list []Verdict) {
	s.Best = worseOutcome(s.Best, bestOf(list))
	s.findNew(r, list)
}

// findNew adds the findings of verdicts that do not hold, each rule once.
func (s *prrState) findNew(r *engine.Run, list []Verdict) {
	for _, f := range openFindings(list) {
		if !slices.Contains(s.Found, f.Rule) {
			s.Found = append(s.Found, f.Rule)
			r.Find(f)
		}
	}
}

func (h *modelPRR) checkCriteria(tx *db.Tx, r *engine.Run, s *prrState) error {
	f := &prrFacts{Subject: s.Subject, Today: dayOf(r.Now)}
	if err := h.readCriteria(tx, f, s.In.CriteriaChecklistID); err != nil {
		return err
	}
	s.judge(r, criteriaVerdicts(f))
	return nil
}

func (h *modelPRR) checkRisks(tx *db.Tx, r *engine.Run, s *prrState) error {
	f := &prrFacts{Subject: s.Subject, Today: dayOf(r.Now)}
	if err := h.readRisks(tx, f); err != nil {
		return err
	}
	s.judge(r, riskVerdicts(f))
	return nil
}

func (h *modelPRR) checkEvidence(tx *db.Tx, r *engine.Run, s *prrState) error {
	f := &prrFacts{Subject: s.Subject, Today: dayOf(r.Now)}
	if err := h.readEvidence(tx, f); err != nil {
		return err
	}
	s.judge(r, evidenceVerdicts(f))
	return nil
}

// openVotes waits for the board, until the end of its day. There is nothing to vote on if
// the facts allow no better decision than REJECTED.
func (h *modelPRR) openVotes(tx *db.Tx, r *engine.Run, s *prrState) (engine.WaitSpec, error) {
	v, err := h.readiness.ReviewIn(tx, s.PRRID)
	if err != nil {
		return engine.WaitSpec{}, err
	}
	if v.Best == report.Rejected {
		return engine.WaitSpec{Until: r.Now}, nil
	}
	return engine.WaitSpec{Topic: topicVote, Deadline: v.ClosesAt}, nil
}

// castVote is what a voter sends.
type castVote struct {
	Outcome    string                     `json:"outcome"`
	Comment    string                     `json:"comment,omitempty"`
	Conditions []readiness.ConditionDraft `json:"conditions,omitempty"`
	Statement  string                     `json:"statement,omitempty"`
	Signature  string                     `json:"signature,omitempty"`
}

// vote takes one vote, and ends the wait when no other can change what they come to.
func (h *modelPRR) vote(tx *db.Tx, _ *engine.Run, s *prrState, w engine.Wake) (bool, error) {
	if w.Kind != engine.WakeDecision {
		return true, nil
	}
	var cast castVote
	if err := personally(w.Decision, &cast); err != nil {
		return false, err
	}
	if _, err := h.readiness.Vote(tx, s.PRRID, readiness.Ballot{Outcome: cast.Outcome, Comment: cast.Comment, Conditions: cast.Conditions},
		readiness.Proof{Statement: cast.Statement, Signature: cast.Signature}, w.Decision.By); err != nil {
		return false, err
	}
	c, err := h.readiness.Tally(tx, s.PRRID)
	return c.Final, err
}

// personally reads what a person sends to a waiting review. Nobody decides for another.
func personally(d *engine.Decision, into any) error {
	if d.Actor != d.By.ID {
		return caos.Errorf(caos.Denied, "%s cannot decide for %s", clip(d.By.ID), clip(d.Actor)).WithField("actor_id").WithRule(readiness.RulePersonal).
			WithHint("decisions are made by people with their own token")
	}
	return codec.Decode(d.Payload, "application/json", into, codec.DefaultLimits())
}

// recordDecision counts the votes, asks all checks again, and records the decision: the
// worse of what the votes carry and what the facts allow at this moment. The commit's record
// says how it came about, so that a verifier can count again.
func (h *modelPRR) recordDecision(tx *db.Tx, r *engine.Run, s *prrState) error {
	f, err := h.facts(tx, s.Subject, s.In.CriteriaChecklistID, r.Now)
	if err != nil {
		return err
	}
	list := prrVerdicts(f)
	s.findNew(r, list)
	s.Remedies = remedies(list)
	v, err := h.readiness.ReviewIn(tx, s.PRRID)
	if err != nil {
		return err
	}
	c, err := h.readiness.Tally(tx, s.PRRID)
	if err != nil {
		return err
	}
	best := worseOutcome(v.Best, bestOf(list))
	r.Record.Type, r.Record.Resources = auditlog.Decided, []string{s.PRRID, s.Subject.ModelID, s.Subject.BaselineID, v.ReportID}
	if c.Outcome == "" {
		r.Record.Details = outcomeMap(reviewOutcome(v, c, v.Best, ""))
		return h.withoutQuorum(tx, r, s, c)
	}
	outcome := worseOutcome(c.Outcome, best)
	var extra []readiness.ConditionDraft
	if outcome == report.Conditional {
		extra, s.Conditioned = conditionsOf(f, list)
	}
	if v, err = h.readiness.Decide(tx, s.PRRID, outcome, extra, h.by(r)); err != nil {
		return err
	}
	s.Decision, s.Out.PRRDecision = outcome, &outcome
	s.Out.PRRConditions = conditionLines(v.Conditions)
	r.Record.Details = outcomeMap(reviewOutcome(v, c, best, outcome))
	return nil
}

// withoutQuorum ends a review in which too few voted.
func (h *modelPRR) withoutQuorum(tx *db.Tx, r *engine.Run, s *prrState, c readiness.Count) error {
	s.Failed = true
	r.Find(caos.Finding{Rule: readiness.RuleQuorum, Subject: s.PRRID, Message: "the vote closed without a quorum: it lacks " + strings.Join(c.Missing, " and "),
		Remedy: "ask for another review with a date on which they can vote: " + s.again()})
	if _, err := h.readiness.EndReview(tx, s.PRRID, readiness.ReviewFailed, h.by(r)); err != nil {
		return err
	}
	return h.tell(tx, r, s, notify.Notice{Subject: s.PRRID + " came to no decision", Body: "Too few voted until " + s.In.PRRDate + ": it lacked " + strings.Join(c.Missing, " and ") + ".\n" +
		"Another review of the baseline can be asked for: " + s.again(), Link: "/v1/reviews/" + s.PRRID})
}

// again is the command that asks for another review.
func (s *prrState) again() string {
	return fmt.Sprintf("caos prr %s --board %s --date YYYY-MM-DD", registry.VersionKey(s.In.ModelID, s.Subject.Version), strings.Join(s.In.PRRBoardMembers, ","))
}

// openConditions waits until all conditions are closed, however long that takes: reminders
// go out meanwhile, and the execution can be cancelled.
func (h *modelPRR) openConditions(_ *db.Tx, r *engine.Run, s *prrState) (engine.WaitSpec, error) {
	if s.Decision != report.Conditional {
		return engine.WaitSpec{Until: r.Now}, nil
	}
	return engine.WaitSpec{Topic: topicCondition}, nil
}

// metCondition is what somebody sends who closes a condition.
type metCondition struct {
	ConditionID string   `json:"condition_id"`
	Evidence    []string `json:"evidence"`
	Note        string   `json:"note,omitempty"`
	Statement   string   `json:"statement,omitempty"`
	Signature   string   `json:"signature,omitempty"`
}

// closeCondition closes one condition, and ends the wait with the last.
func (h *modelPRR) closeCondition(tx *db.Tx, _ *engine.Run, s *prrState, w engine.Wake) (bool, error) {
	if w.Kind != engine.WakeDecision {
		return true, nil
	}
	var met metCondition
	if err := personally(w.Decision, &met); err != nil {
		return false, err
	}
	if _, err := h.readiness.CloseCondition(tx, readiness.ConditionRef{PRRID: s.PRRID, ConditionID: met.ConditionID}, readiness.Closing{Evidence: met.Evidence, Note: met.Note},
		readiness.Proof{Statement: met.Statement, Signature: met.Signature}, w.Decision.By); err != nil {
		return false, err
	}
	v, err := h.readiness.ReviewIn(tx, s.PRRID)
	if err != nil {
		return false, err
	}
	open := slices.ContainsFunc(v.Conditions, func(c *readiness.Condition) bool { return c.Status != readiness.ConditionClosed })
	return !open, nil
}

// updateStatus makes an approved version PRODUCTION_READY, if every check still allows the
// decision: what has come to light since the board decided stops it.
func (h *modelPRR) updateStatus(tx *db.Tx, r *engine.Run, s *prrState) error {
	r.Record.Resources = []string{s.PRRID, s.Subject.ModelID, s.Subject.BaselineID}
	if s.Failed || s.Decision == report.Rejected {
		return nil
	}
	f, err := h.facts(tx, s.Subject, s.In.CriteriaChecklistID, r.Now)
	if err != nil {
		return err
	}
	f.Conditioned = s.Conditioned
	v, err := h.readiness.ReviewIn(tx, s.PRRID)
	if err != nil {
		return err
	}
	unproven := h.readiness.Proven(tx, v)
	if unproven != nil && caos.KindOf(unproven) != caos.Conflict {
		return unproven
	}
	list := append(prrVerdicts(f), closingsProven(v, unproven))
	if !allows(list, s.Decision) {
		return h.overtaken(tx, r, s, list)
	}
	if s.Decision == report.Conditional {
		if v, err = h.readiness.EndReview(tx, s.PRRID, readiness.ReviewDecided, h.by(r)); err != nil {
			return err
		}
		closings, err := h.closings(tx, v)
		if err != nil {
			return err
		}
		r.Record.Type, r.Record.Details = auditlog.Decided, outcomeMap(closings)
	}
	if _, err := h.registry.Transition(tx, s.Subject.ModelID, s.Subject.Version, registry.ProductionReady, h.registrar(r)); err != nil {
		return err
	}
	s.Ready, s.Out.PRRDecision = true, &v.Decision
	return nil
}

// allows reports whether the verdicts allow a decision that the board has made. Of a
// conditional one, what is still minor has to be among its conditions, which are closed.
func allows(list []Verdict, decision string) bool {
	if decision == report.Approved {
		return bestOf(list) == report.Approved
	}
	return bestOf(list) != report.Rejected && !slices.ContainsFunc(list, func(v Verdict) bool { return v.Gate == "checklist-minor" && !v.Pass })
}

// overtaken ends a review whose decision the facts do not allow any more.
func (h *modelPRR) overtaken(tx *db.Tx, r *engine.Run, s *prrState, list []Verdict) error {
	s.Failed, s.Remedies = true, remedies(list)
	s.findNew(r, list)
	r.Find(caos.Finding{Rule: "decision-overtaken", Subject: s.PRRID, Message: fmt.Sprintf("the board decided %s, and what is known now does not allow that any more: the version stays FROZEN", s.Decision),
		Remedy: "clear the findings, then ask for another review: " + s.again()})
	if s.Decision == report.Conditional {
		if _, err := h.readiness.EndReview(tx, s.PRRID, readiness.ReviewFailed, h.by(r)); err != nil {
			return err
		}
	}
	return h.tell(tx, r, s, notify.Notice{Subject: s.PRRID + ": the facts have overtaken the decision", Link: "/v1/reviews/" + s.PRRID,
		Body: fmt.Sprintf("The board decided %s. Since then:\n- %s\n%s stays FROZEN.", s.Decision, strings.Join(messages(list), "\n- "), registry.VersionKey(s.In.ModelID, s.Subject.Version))})
}

// endReview ends the review of an execution that was cancelled, or failed for another reason
// than those above. A decision that was made stands, and so does what came of it.
func (h *modelPRR) endReview(tx *db.Tx, r *engine.Run, s *prrState) error {
	if s.PRRID == "" {
		return nil
	}
	r.Record.Resources = []string{s.PRRID, s.Subject.ModelID, s.Subject.BaselineID}
	v, err := h.readiness.ReviewIn(tx, s.PRRID)
	if err != nil {
		return err
	}
	if !v.Status.Open() {
		message := "the board's decision stands, and the version was not made PRODUCTION_READY"
		if s.Ready {
			message = "the version is PRODUCTION_READY and stays so; not all that follows was done"
		}
		r.Find(caos.Finding{Rule: "decision-stands", Subject: s.PRRID, Message: message,
			Remedy: fmt.Sprintf("look at the steps of the execution and at: caos review show %s; caos release list --model %s", s.PRRID, s.In.ModelID)})
		return nil
	}
	status := readiness.ReviewFailed
	if r.Ending == engine.Cancelled {
		status = readiness.ReviewCancelled
	}
	if _, err := h.readiness.EndReview(tx, s.PRRID, status, h.by(r)); err != nil {
		return err
	}
	s.Out.NextSteps = []string{"Ask for another review when it is wanted: `" + s.again() + "`."}
	return h.tell(tx, r, s, notify.Notice{Subject: s.PRRID + " is " + string(status), Body: "The review ended without a decision. There is nothing to vote on any more.", Link: "/v1/reviews/" + s.PRRID})
}

// outcomeMap is an outcome as details of a record, to which the engine adds its own.
func outcomeMap(o verify.OutcomeDetails) map[string]any {
	raw, err := json.Marshal(o)
	out := map[string]any{}
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		panic(err) // strings and lists of them
	}
	return out
}
