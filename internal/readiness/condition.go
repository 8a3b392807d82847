package readiness

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/codec"
	"caos/internal/db"
	"caos/internal/event"
	"caos/internal/verify"
)

// maxConditionText bounds a condition, in bytes: voters sign all of theirs in one statement.
const maxConditionText = 160

// maxOpened bounds the conditions of one review.
const maxOpened = 500

// ConditionStatus is where a condition stands.
type ConditionStatus string

// The states of a condition. Stored.
const (
	ConditionOpen   ConditionStatus = "OPEN"
	ConditionClosed ConditionStatus = "CLOSED"
)

// ConditionDraft is a condition as a voter or a finding states it.
type ConditionDraft struct {
	Text  string `json:"text"`   // one line of at most 160 bytes
	Owner string `json:"owner"`  // user id: who sees to it
	DueOn string `json:"due_on"` // YYYY-MM-DD
}

// Condition is what a conditional decision demands before it is an approval.
type Condition struct {
	ConditionID    string          `json:"condition_id"` // COND-DLY-1.0.0-1
	PRRID          string          `json:"prr_id"`
	Text           string          `json:"text"`
	Owner          string          `json:"owner"`
	DueOn          string          `json:"due_on"`
	AskedBy        []string        `json:"asked_by"` // user ids of who voted with it; none: a finding of the review
	Status         ConditionStatus `json:"status"`
	Evidence       []string        `json:"evidence"`
	Note           string          `json:"note"`
	ClosedBy       string          `json:"closed_by"`
	ClosedAt       *time.Time      `json:"closed_at"`
	DecisionID     string          `json:"decision_id"` // of who closed it
	ModelID        string          `json:"model_id"`
	Version        string          `json:"model_version"`
	BaselineID     string          `json:"baseline_id"`
	Project        string          `json:"project"`
	Classification string          `json:"classification"`
	OpenedAt       time.Time       `json:"opened_at"`
	Revision       int64           `json:"revision"`
}

// Closing is with what a condition is closed.
type Closing struct {
	Evidence []string `json:"evidence"` // ids, at least one
	Note     string   `json:"note,omitempty"`
}

// checkDrafts refuses conditions that nobody could meet.
func (r *Readiness) checkDrafts(tx *db.Tx, field string, drafts []ConditionDraft) error {
	today := day(r.now())
	for i, d := range drafts {
		at := fmt.Sprintf("%s[%d].", field, i)
		if err := cmp.Or(checkTitle(at+"text", d.Text, maxConditionText), caos.CheckID("user", at+"owner", d.Owner), checkDate(at+"due_on", d.DueOn)); err != nil {
			return err
		}
		if d.DueOn < today {
			return caos.Errorf(caos.Invalid, "%q is not today or later", d.DueOn).WithField(at+"due_on").WithHint("YYYY-MM-DD; today is %s", today)
		}
		if slices.Contains(drafts[:i], d) {
			return caos.Errorf(caos.Invalid, "the condition is stated twice").WithField(at + "text").WithHint("state it once")
		}
		ok, err := r.people.KnownPerson(tx, d.Owner)
		if err != nil {
			return err
		}
		if !ok {
			return caos.Errorf(caos.Invalid, "%s is not an enabled person", d.Owner).WithField(at + "owner").WithHint("name somebody who can see to it")
		}
	}
	return nil
}

// draftWords lists conditions in one line.
func draftWords(drafts []ConditionDraft) string {
	words := make([]string, len(drafts))
	for i, d := range drafts {
		words[i] = fmt.Sprintf("(%d) %s (owner %s, due %s)", i+1, d.Text, d.Owner, d.DueOn)
	}
	return strings.Join(words, "; ")
}

// gather puts together the conditions of the votes that are heard and extra ones, each once,
// with who asked for it.
func gather(v *Review, heard []string, extra []ConditionDraft) []*Condition {
	var out []*Condition
	add := func(d ConditionDraft, by string) {
		i := slices.IndexFunc(out, func(c *Condition) bool { return c.Text == d.Text && c.Owner == d.Owner && c.DueOn == d.DueOn })
		if i < 0 {
			i, out = len(out), append(out, &Condition{Text: d.Text, Owner: d.Owner, DueOn: d.DueOn, AskedBy: []string{}})
		}
		if by != "" && !slices.Contains(out[i].AskedBy, by) {
			out[i].AskedBy = append(out[i].AskedBy, by)
		}
	}
	for _, vote := range v.Votes {
		if slices.Contains(heard, vote.Person) {
			for _, d := range vote.Conditions {
				add(d, vote.Person)
			}
		}
	}
	for _, d := range extra {
		add(d, "")
	}
	return out
}

// conditionID names a review's nth condition. The part before the last hyphen is the
// review's id, shortened, so that no two reviews have one in common.
func conditionID(prr string, n int) string {
	short := strings.TrimPrefix(prr, "PRR-NN-")
	if system, rest, ok := strings.Cut(short, "-001-"); ok && !strings.Contains(system, "-") {
		short = system + "-" + rest
	}
	return "COND-" + short + "-" + strconv.Itoa(n)
}

func (r *Readiness) openConditions(tx *db.Tx, v *Review, c Count, extra []ConditionDraft, by By) error {
	for i, d := range extra { // made by a hook: its owners and dates may be past
		if err := cmp.Or(checkTitle(fmt.Sprintf("conditions[%d].text", i), d.Text, maxLine), caos.CheckID("user", fmt.Sprintf("conditions[%d].owner", i), d.Owner),
			checkDate(fmt.Sprintf("conditions[%d].due_on", i), d.DueOn)); err != nil {
			return err
		}
	}
	list := gather(v, c.Heard, extra)
	if len(list) == 0 {
		return caos.Errorf(caos.Invalid, "a conditional decision says under which conditions").WithField("conditions").WithRule(RuleCondition).
			WithHint("the findings that stand against an approval become conditions, with an owner each")
	}
	if len(list) > maxOpened {
		return caos.Errorf(caos.TooLarge, "%d conditions, more than %d", len(list), maxOpened).WithField("conditions").WithHint("reject, and ask again when less is open")
	}
	now := r.now()
	ids := []string{v.PRRID, v.ModelID, v.BaselineID}
	for i, one := range list {
		one.ConditionID, one.PRRID, one.Status, one.OpenedAt, one.Revision = conditionID(v.PRRID, i+1), v.PRRID, ConditionOpen, now, 1
		one.ModelID, one.Version, one.BaselineID, one.Project, one.Classification = v.ModelID, v.Version, v.BaselineID, v.Project, v.Classification
		one.Evidence = []string{}
		tx.Exec(`INSERT INTO review_conditions (condition_id, prr_id, n, text, owner, due_on, asked_by, status, evidence, note, closed_by, closed_at, decision_id,
				model_id, version, baseline_id, project, classification, opened_at, revision)
			VALUES ($1, $2, $3, $4, $5, $6, $7, 'OPEN', '[]', '', '', 0, '', $8, $9, $10, $11, $12, $13, 1)`,
			one.ConditionID, v.PRRID, i+1, one.Text, one.Owner, one.DueOn, codec.ListJSON(one.AskedBy), v.ModelID, v.Version, v.BaselineID, v.Project, v.Classification,
			now.UnixMicro())
		if err := r.keepCondition(tx, one); err != nil {
			return err
		}
		ids = append(ids, one.ConditionID)
	}
	v.Conditions = list
	return r.record(tx, by, auditlog.Record{Resources: ids, Details: map[string]any{"event": "conditions opened", "conditions": len(list)},
		Project: v.Project, Classification: v.Classification})
}

func (r *Readiness) keepCondition(tx *db.Tx, c *Condition) error {
	return r.keep(tx, edition{Noun: "condition", Scope: c.BaselineID, ID: c.ConditionID, Revision: c.Revision, Body: c})
}

// ConditionRef names a condition of a review.
type ConditionRef struct {
	PRRID       string
	ConditionID string
}

// CloseCondition closes a condition of a review with evidence. It is a decision of somebody
// other than its owner (rule condition-by-another), who is not barred from the version.
func (r *Readiness) CloseCondition(tx *db.Tx, at ConditionRef, end Closing, proof Proof, p caos.Principal) (*Condition, error) {
	v, c, act, err := r.closeAct(tx, at, end, p)
	if err != nil {
		return nil, err
	}
	d, err := r.decide(tx, act, proof, p)
	if err != nil {
		return nil, err
	}
	before := c.Revision
	c.Status, c.Evidence, c.Note, c.ClosedBy, c.ClosedAt, c.DecisionID, c.Revision = ConditionClosed, end.Evidence, end.Note, p.ID, &d.DecidedAt, d.DecisionID, before+1
	tx.ExecOne(caos.Errorf(caos.Conflict, "the condition %s was closed meanwhile", c.ConditionID),
		`UPDATE review_conditions SET status = 'CLOSED', evidence = $1, note = $2, closed_by = $3, closed_at = $4, decision_id = $5, revision = $6
		WHERE condition_id = $7 AND revision = $8 AND status = 'OPEN'`,
		codec.ListJSON(c.Evidence), c.Note, c.ClosedBy, d.DecidedAt.UnixMicro(), c.DecisionID, c.Revision, c.ConditionID, before)
	if err := r.keepCondition(tx, c); err != nil {
		return nil, err
	}
	if err := r.storeReview(tx, v); err != nil {
		return nil, err
	}
	left := 0
	for _, one := range v.Conditions {
		if one.Status == ConditionOpen {
			left++
		}
	}
	return c, r.events.Emit(tx, event.Event{Type: EventConditionClosed, Subject: c.ConditionID, Project: v.Project, Classification: v.Classification, Data: map[string]any{
		"condition_id": c.ConditionID, "prr_id": v.PRRID, "model_id": v.ModelID, "model_version": v.Version, "baseline_id": v.BaselineID, "open": left,
	}})
}

// ProposeClosing returns what a person would sign to close a condition, or why they cannot.
// It changes nothing.
func (r *Readiness) ProposeClosing(tx *db.Tx, at ConditionRef, end Closing, p caos.Principal) (Proposal, error) {
	_, _, act, err := r.closeAct(tx, at, end, p)
	if err != nil {
		return Proposal{}, err
	}
	return r.propose(tx, act, p)
}

func (r *Readiness) closeAct(tx *db.Tx, at ConditionRef, end Closing, p caos.Principal) (*Review, *Condition, Act, error) {
	none := func(err error) (*Review, *Condition, Act, error) { return nil, nil, Act{}, err }
	id := at.ConditionID
	v, err := r.ReviewIn(tx, at.PRRID)
	if err != nil {
		return none(err)
	}
	i := slices.IndexFunc(v.Conditions, func(c *Condition) bool { return c.ConditionID == id })
	if i < 0 {
		return none(caos.Errorf(caos.NotFound, "%s has no condition %.80s", v.PRRID, id).WithField("condition_id").WithHint("caos review show %s lists them", v.PRRID))
	}
	c := v.Conditions[i]
	if c.Status != ConditionOpen || v.Status != ReviewConditional {
		return none(caos.Errorf(caos.Conflict, "the condition %s is %s and its review %s", id, c.Status, v.Status).WithField("condition_id").WithRule(RuleClosable).
			WithHint("see caos review show %s", v.PRRID))
	}
	parties, err := r.people.Parties(tx, p)
	if err != nil {
		return none(err)
	}
	if slices.Contains(append(parties, p.ID), c.Owner) {
		return none(caos.Errorf(caos.Denied, "%s owns the condition %s, or acts for who does, and cannot close it", p.ID, id).WithRule(RuleByAnother).
			WithHint("somebody other than %s looks at the evidence and closes it", c.Owner))
	}
	if err := r.notBarred(tx, v.Subject, p, "close "+id); err != nil {
		return none(err)
	}
	if err := r.checkClosing(tx, v, end); err != nil {
		return none(err)
	}
	digest, err := c.digest(v, end)
	if err != nil {
		return none(err)
	}
	act := Act{What: verify.CloseWhat(id), Subject: id, Digest: digest, Outcome: verify.OutcomeClosed, SafetyLevel: v.SafetyLevel, Project: v.Project, Classification: v.Classification,
		Meaning:   closeMeaning(v, c, end),
		Resources: append([]string{id, v.PRRID, v.ModelID, v.BaselineID}, end.Evidence...),
		Details:   map[string]any{"event": "condition closed", "prr_id": v.PRRID, "owner": c.Owner, "evidence": end.Evidence}}
	if len(act.Meaning) > maxMeaning {
		return none(caos.Errorf(caos.TooLarge, "what would be signed has %d bytes, more than %d", len(act.Meaning), maxMeaning).WithField("evidence").
			WithHint("name fewer items, or put them into a document of their own; shorten the note"))
	}
	return v, c, act, nil
}

func (r *Readiness) checkClosing(tx *db.Tx, v *Review, end Closing) error {
	if len(end.Evidence) == 0 {
		return caos.Errorf(caos.Invalid, "a condition is closed with evidence").WithField("evidence").WithRule(RuleEvidenceRequired).WithHint("name at least one evidence item or document")
	}
	if err := cmp.Or(checkIDs("evidence", end.Evidence, maxRefs), checkLine("note", end.Note, maxComment)); err != nil {
		return err
	}
	missing, err := r.known(tx, v.Subject, end.Evidence)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return caos.Errorf(caos.Invalid, "%.80s is not evidence of %s %s", missing[0], v.ModelID, v.Version).WithField("evidence").WithRule(RuleEvidenceKnown).
			WithHint("register it first; evidence that is revoked, or another model's, does not count")
	}
	return nil
}

// digest is of what the person who closes a condition looked at.
func (c *Condition) digest(v *Review, end Closing) (string, error) {
	b, err := codec.Canonical(map[string]any{"condition_id": c.ConditionID, "prr_id": v.PRRID, "text": c.Text, "owner": c.Owner, "due_on": c.DueOn,
		"evidence": end.Evidence, "note": end.Note, "baseline_id": v.BaselineID, "root_digest": v.RootDigest, "report_digest": v.ReportDigest})
	if err != nil {
		return "", err
	}
	return verify.FormatHash(sha256.Sum256(b)), nil
}

func closeMeaning(v *Review, c *Condition, end Closing) string {
	s := fmt.Sprintf("CLOSED: the condition %s of %s, %s (owner %s, due %s), is met, as %s show", c.ConditionID, v.PRRID, c.Text, c.Owner, c.DueOn, strings.Join(end.Evidence, ", "))
	if len(end.Evidence) == 1 {
		s += "s"
	}
	if end.Note != "" {
		s += ". Note: " + end.Note
	}
	return s
}

const conditionColumns = `condition_id, prr_id, text, owner, due_on, asked_by, status, evidence, note, closed_by, closed_at, decision_id, model_id, version,
	baseline_id, project, classification, opened_at, revision`

func scanCondition(scan func(...any) error) (*Condition, error) {
	var c Condition
	var asked, evidence string
	var closed, opened int64
	err := scan(&c.ConditionID, &c.PRRID, &c.Text, &c.Owner, &c.DueOn, &asked, &c.Status, &evidence, &c.Note, &c.ClosedBy, &closed, &c.DecisionID, &c.ModelID, &c.Version,
		&c.BaselineID, &c.Project, &c.Classification, &opened, &c.Revision)
	if err != nil {
		return nil, err
	}
	c.ClosedAt, c.OpenedAt = db.Optional(closed), db.Moment(opened)
	return &c, errors.Join(readJSON(asked, &c.AskedBy), readJSON(evidence, &c.Evidence))
}

func conditionsOf(q query, v *Review) error {
	return q(`SELECT `+conditionColumns+` FROM review_conditions WHERE prr_id = $1 ORDER BY n`, []any{v.PRRID}, func(scan func(...any) error) error {
		c, err := scanCondition(scan)
		v.Conditions = append(v.Conditions, c)
		return err
	})
}
