package readiness

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/codec"
	"caos/internal/db"
)

// Rules that refuse the completion of an item.
const (
	RuleTemplateItems    = "template-items"      // a template, or a group of it, without items
	RuleEvidenceRequired = "evidence-required"   // neither evidence nor a signed statement
	RuleEvidenceKnown    = "evidence-known"      // ids that are no evidence of the version
	RuleNotApplicable    = "item-not-applicable" // not said by a qa-lead or safety-engineer who never owned the item
)

// maxItemStatement bounds the words that complete an item, in bytes: with the item's title
// they have to fit what is signed.
const maxItemStatement = 1000

// nounItem is what the history calls checklist items.
const nounItem = "item"

// ItemRef names an item.
type ItemRef struct {
	ChecklistID string `json:"checklist_id"`
	ItemID      string `json:"item_id"`
}

// String is the item's id outside its checklist, such as "CHK-DLY-1.0.0/1.1".
func (f ItemRef) String() string { return f.ChecklistID + "/" + f.ItemID }

// ItemChange is what may be changed about an open item; nil leaves a field. The status is
// PLANNED or IN_PROGRESS here.
type ItemChange struct {
	Owner  *string     `json:"owner,omitempty"`  // user id, "" for nobody
	DueOn  *string     `json:"due_on,omitempty"` // 2026-11-30, not past; "" for none
	Note   *string     `json:"note,omitempty"`
	Status *ItemStatus `json:"status,omitempty"`
}

// Completion says why an item is answered: evidence, or a statement that is signed, or both.
type Completion struct {
	Evidence      []string `json:"evidence,omitempty"`       // ids
	Statement     string   `json:"statement,omitempty"`      // in words, one line
	NotApplicable bool     `json:"not_applicable,omitempty"` // the question does not arise for this version
}

// itemRow is an item as its history keeps it.
type itemRow struct {
	ChecklistID string `json:"checklist_id"`
	Item
}

func itemKey(c *Checklist, i *Item) string { return ItemRef{c.ChecklistID, i.ItemID}.String() }

func (r *Readiness) insertItem(tx *db.Tx, c *Checklist, i *Item, seq int) error {
	tx.Exec(`INSERT INTO checklist_items (checklist_id, item_id, seq, group_id, group_title, title, question, criticality, owner_role, evidence_hint, fact,
			status, owner, involved, due_on, note, evidence, decision_id, completed_by, completed_at, imported, updated_at, revision)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, '', '[]', '', '', '[]', '', '', 0, '', $13, 1)`,
		c.ChecklistID, i.ItemID, seq, i.Group, i.GroupTitle, i.Title, i.Question, string(i.Criticality), i.OwnerRole, i.EvidenceHint, i.Fact,
		string(i.Status), i.UpdatedAt.UnixMicro())
	return r.keepItem(tx, c, i)
}

func (r *Readiness) keepItem(tx *db.Tx, c *Checklist, i *Item) error {
	return r.keep(tx, edition{Noun: nounItem, Scope: c.BaselineID, ID: itemKey(c, i), Revision: i.Revision, At: i.UpdatedAt, Body: itemRow{c.ChecklistID, *i}})
}

// storeItem writes what may change about an item.
func (r *Readiness) storeItem(tx *db.Tx, c *Checklist, i *Item) error {
	before := i.Revision
	i.UpdatedAt, i.Revision = r.now(), before+1
	tx.ExecOne(caos.Errorf(caos.Conflict, "the item %s was changed meanwhile", itemKey(c, i)).WithHint("read it again"),
		`UPDATE checklist_items SET status = $1, owner = $2, involved = $3, due_on = $4, note = $5, evidence = $6, decision_id = $7, completed_by = $8,
			completed_at = $9, imported = $10, updated_at = $11, revision = $12
		WHERE checklist_id = $13 AND item_id = $14 AND revision = $15`,
		string(i.Status), i.Owner, codec.ListJSON(i.Involved), i.DueOn, i.Note, codec.ListJSON(i.Evidence), i.DecisionID, i.CompletedBy,
		db.Instant(i.CompletedAt), i.Imported, i.UpdatedAt.UnixMicro(), i.Revision, c.ChecklistID, i.ItemID, before)
	return r.keepItem(tx, c, i)
}

// recordItem records a change of an item.
func (r *Readiness) recordItem(tx *db.Tx, c *Checklist, i *Item, by By, what string) error {
	return r.record(tx, by, auditlog.Record{Resources: append(c.resources(), i.Evidence...), Project: c.Project, Classification: c.Classification,
		Details: map[string]any{"event": what, "item_id": i.ItemID, "status": i.Status, "owner": i.Owner, "due_on": i.DueOn, "evidence": i.Evidence,
			"decision_id": i.DecisionID, "revision": i.Revision}})
}

// itemIn reads an item and its checklist.
func (r *Readiness) itemIn(tx *db.Tx, at ItemRef) (*Checklist, *Item, error) {
	c, err := r.ChecklistIn(tx, at.ChecklistID)
	if err != nil {
		return nil, nil, err
	}
	i, err := c.item(at.ItemID)
	return c, i, err
}

// openItem is itemIn for an item that is not answered yet.
func (r *Readiness) openItem(tx *db.Tx, at ItemRef) (*Checklist, *Item, error) {
	c, i, err := r.itemIn(tx, at)
	if err == nil && i.Closed() {
		err = caos.Errorf(caos.Conflict, "the item %s is %s", at, i.Status).WithField("status").
			WithHint("open it again first, with a reason: caos checklist reopen %s %s", at.ChecklistID, at.ItemID)
	}
	return c, i, err
}

// UpdateItem changes owner, due date, note or status of an open item. revision is the one
// that the caller saw, 0 for any.
func (r *Readiness) UpdateItem(tx *db.Tx, at ItemRef, change ItemChange, revision int64, by By) (*Item, error) {
	c, i, err := r.openItem(tx, at)
	if err != nil {
		return nil, err
	}
	if err := caos.CheckRevision(at.String(), revision, i.Revision); err != nil {
		return nil, err
	}
	before := *i
	if err := r.changeItem(tx, c, i, change); err != nil {
		return nil, err
	}
	if i.Owner == before.Owner && i.DueOn == before.DueOn && i.Note == before.Note && i.Status == before.Status {
		return i, nil
	}
	if err := r.storeItem(tx, c, i); err != nil {
		return nil, err
	}
	return i, r.recordItem(tx, c, i, by, "checklist item updated")
}

// changeItem applies a change to an item, refusing what cannot be.
func (r *Readiness) changeItem(tx *db.Tx, c *Checklist, i *Item, change ItemChange) error {
	if change.Owner != nil && *change.Owner != i.Owner {
		if err := r.checkOwner(tx, *change.Owner, c.Subject); err != nil {
			return err
		}
		i.Owner = *change.Owner
		if i.Owner != "" && !slices.Contains(i.Involved, i.Owner) {
			i.Involved = slices.Sorted(slices.Values(append(slices.Clone(i.Involved), i.Owner)))
		}
	}
	if change.DueOn != nil && *change.DueOn != i.DueOn {
		if err := checkDate("due_on", *change.DueOn); err != nil {
			return err
		}
		if *change.DueOn != "" && *change.DueOn < day(r.now()) {
			return caos.Errorf(caos.Invalid, "the day %s is past", *change.DueOn).WithField("due_on").WithHint("today or later")
		}
		i.DueOn = *change.DueOn
	}
	if change.Note != nil {
		if err := checkText("note", *change.Note); err != nil {
			return err
		}
		i.Note = *change.Note
	}
	if change.Status != nil {
		if err := caos.CheckWord("status", string(*change.Status), []string{string(ItemPlanned), string(ItemInProgress)}); err != nil {
			return caos.AsError(err).WithHint("PLANNED or IN_PROGRESS; an item is completed with evidence or a signed statement: caos checklist complete")
		}
		i.Status = *change.Status
	}
	return nil
}

// checkOwner refuses somebody who is not here, or may not know of the checklist; "" is
// nobody.
func (r *Readiness) checkOwner(tx *db.Tx, owner string, s Subject) error {
	if owner == "" {
		return nil
	}
	if err := caos.CheckID("user", "owner", owner); err != nil {
		return err
	}
	known, err := r.people.KnownPerson(tx, owner)
	if err == nil && !known {
		return caos.Errorf(caos.Invalid, "there is no person %s, or the account is off", owner).WithField("owner").WithHint("caos user list shows who there is")
	}
	if err != nil {
		return err
	}
	may, err := r.mayKnow(tx, owner, s.Project, s.Classification)
	if err == nil && !may {
		err = caos.Errorf(caos.Invalid, "%s has no role in which they may know of it", owner).WithField("owner").WithRule("need-to-know").
			WithHint("an admin gives them a role, the project and the clearance, or somebody else owns the item")
	}
	return err
}

// MayKnow reports whether somebody is here, and holds some role in which they may know of
// things of a project and classification.
func (r *Readiness) MayKnow(tx *db.Tx, id, project, classification string) (bool, error) {
	known, err := r.people.KnownPerson(tx, id)
	if err != nil || !known {
		return false, err
	}
	return r.mayKnow(tx, id, project, classification)
}

// mayKnow reports whether a person holds some role in which they may know of things of a
// project and classification.
func (r *Readiness) mayKnow(tx *db.Tx, id, project, classification string) (bool, error) {
	roles, err := r.people.RolesOf(tx, id)
	if err != nil {
		return false, err
	}
	for _, role := range roles {
		holders, err := r.people.WithRole(tx, role, project, classification)
		if err != nil || slices.Contains(holders, id) {
			return err == nil, err
		}
	}
	return false, nil
}

// ProposeCompletion returns what somebody is asked to sign to complete an item with a
// statement, after the checks that CompleteItem makes.
func (r *Readiness) ProposeCompletion(tx *db.Tx, at ItemRef, done Completion, p caos.Principal) (Proposal, error) {
	c, i, err := r.openItem(tx, at)
	if err != nil {
		return Proposal{}, err
	}
	if done.Statement == "" {
		return Proposal{}, caos.Errorf(caos.Invalid, "there is no statement to sign").WithField("statement").WithRule(RuleEvidenceRequired).
			WithHint("evidence alone needs no signature")
	}
	if err := r.checkCompletion(tx, c, i, done, p); err != nil {
		return Proposal{}, err
	}
	act, err := completionAct(c, i, done, p)
	if err != nil {
		return Proposal{}, err
	}
	return r.propose(tx, act, p)
}

// CompleteItem answers an item: with evidence that is known for the version, or with a
// statement that p signs, which is kept as a decision. That a question does not arise is
// always signed, by a qa-lead or safety-engineer who never owned the item and had no hand
// in the version.
func (r *Readiness) CompleteItem(tx *db.Tx, at ItemRef, done Completion, proof Proof, p caos.Principal) (*Item, error) {
	c, i, err := r.openItem(tx, at)
	if err != nil {
		return nil, err
	}
	if err := r.checkCompletion(tx, c, i, done, p); err != nil {
		return nil, err
	}
	if done.Statement == "" && proof != (Proof{}) {
		return nil, caos.Errorf(caos.Invalid, "there is a signature and no statement that it would be of").WithField("statement").
			WithHint("say in one line why the item is complete")
	}
	if done.Statement != "" {
		act, err := completionAct(c, i, done, p)
		if err != nil {
			return nil, err
		}
		d, err := r.decide(tx, act, proof, p)
		if err != nil {
			return nil, err
		}
		i.DecisionID = d.DecisionID
	}
	now := r.now()
	i.Status, i.Evidence, i.CompletedBy, i.CompletedAt = ItemComplete, codec.Listed(done.Evidence), p.ID, &now
	if done.NotApplicable {
		i.Status = ItemNotApplicable
	}
	if err := r.storeItem(tx, c, i); err != nil {
		return nil, err
	}
	what := "checklist item completed"
	if done.NotApplicable {
		what = "checklist item not applicable"
	}
	if err := r.recordItem(tx, c, i, By{Actor: p.ID}, what); err != nil {
		return nil, err
	}
	return i, r.settleChecklist(tx, c)
}

// checkCompletion refuses a completion that shows nothing, or that p may not say.
func (r *Readiness) checkCompletion(tx *db.Tx, c *Checklist, i *Item, done Completion, p caos.Principal) error {
	switch {
	case done.NotApplicable && !says(done.Statement):
		return caos.Errorf(caos.Invalid, "that an item does not apply needs a signed statement").WithField("statement").WithRule(RuleNotApplicable).
			WithHint("say in one line why the question does not arise for this version")
	case len(done.Evidence) == 0 && !says(done.Statement):
		return caos.Errorf(caos.Invalid, "an item is complete with evidence or a signed statement, and there is neither").WithField("evidence").
			WithRule(RuleEvidenceRequired).WithHint("name what shows it: %s", cmp.Or(i.EvidenceHint, "ids of evidence, documents, baselines or audit records"))
	}
	if err := cmp.Or(checkIDs("evidence", done.Evidence, maxRefs), checkLine("statement", done.Statement, maxItemStatement)); err != nil {
		return err
	}
	if len(done.Evidence) > 0 {
		missing, err := r.known(tx, c.Subject, done.Evidence)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			return caos.Errorf(caos.Invalid, "%s: no evidence of %s@%s", strings.Join(missing[:min(len(missing), 5)], ", "), c.ModelID, c.Version).
				WithField("evidence").WithRule(RuleEvidenceKnown).
				WithHint("name evidence, documents, baselines, passports or audit records that are about this model and version")
		}
	}
	if !done.NotApplicable {
		return nil
	}
	return r.mayDismiss(tx, c, i, p)
}

// mayDismiss refuses somebody who may not say that an item does not apply.
func (r *Readiness) mayDismiss(tx *db.Tx, c *Checklist, i *Item, p caos.Principal) error {
	refuse := func(format string, args ...any) error {
		return caos.Errorf(caos.Denied, format, args...).WithRule(RuleNotApplicable).WithHint("a qa-lead or safety-engineer who never owned the item says so")
	}
	if dismissRole(p) == "" {
		return refuse("%.80s is neither qa-lead nor safety-engineer", p.ID)
	}
	parties, err := r.people.Parties(tx, p)
	if err != nil {
		return err
	}
	for _, id := range append([]string{p.ID}, parties...) {
		if slices.Contains(i.Involved, id) {
			return refuse("%s owned the item %s", id, i.ItemID)
		}
	}
	return r.notBarred(tx, c.Subject, p, "say that "+itemKey(c, i)+" does not apply")
}

// dismissRole is the role in which somebody says that an item does not apply, "" for none.
func dismissRole(p caos.Principal) string {
	for _, role := range []string{"qa-lead", "safety-engineer"} {
		if p.Has(role) {
			return role
		}
	}
	return ""
}

// completionAct is what somebody signs to complete an item with a statement. Its digest is
// over the question, the answer and the item's revision: what is signed answers this item as
// it stands, once.
func completionAct(c *Checklist, i *Item, done Completion, p caos.Principal) (Act, error) {
	outcome, role := ItemComplete, ""
	if done.NotApplicable {
		outcome, role = ItemNotApplicable, dismissRole(p)
	}
	text, err := codec.Canonical(map[string]any{
		"checklist_id": c.ChecklistID, "template_digest": c.TemplateDigest, "baseline_id": c.BaselineID, "root_digest": c.RootDigest,
		"item_id": i.ItemID, "title": i.Title, "question": i.Question, "criticality": i.Criticality, "revision": i.Revision,
		"outcome": outcome, "statement": done.Statement, "evidence": codec.Listed(done.Evidence),
	})
	if err != nil {
		return Act{}, fmt.Errorf("readiness: digest of a completion: %w", err)
	}
	sum := sha256.Sum256(text)
	key := itemKey(c, i)
	before, after := i.around(c, outcome, done.Evidence)
	return Act{What: "complete:" + key, Subject: key, Digest: "SHA256:" + hex.EncodeToString(sum[:]), Meaning: before + done.Statement + after, Outcome: string(outcome), Role: role,
		SafetyLevel: c.SafetyLevel, Project: c.Project, Classification: c.Classification, Resources: c.resources(),
		Details: map[string]any{"evidence": codec.Listed(done.Evidence)}}, nil
}

// around is what stands before and after somebody's own words in what they sign about an item.
func (i *Item) around(c *Checklist, outcome ItemStatus, evidence []string) (before, after string) {
	words := "is complete"
	if outcome == ItemNotApplicable {
		words = "does not apply"
	}
	if shown := strings.Join(evidence, ", "); shown != "" && len(shown) <= 500 {
		after = "; shown by " + shown
	} else if shown != "" {
		after = fmt.Sprintf("; shown by %d ids", len(evidence))
	}
	return fmt.Sprintf("%s: item %s of %s (%s) %s: ", outcome, i.ItemID, c.ChecklistID, i.Title, words), after
}

// ReasonsOf returns, by item, in whose own words the items of a checklist are answered that
// were answered with a signed statement.
func (r *Readiness) ReasonsOf(tx *db.Tx, c *Checklist) (map[string]string, error) {
	meanings, out := map[string]string{}, map[string]string{}
	err := tx.Query(`SELECT d.decision_id, d.meaning FROM checklist_items i JOIN decisions d ON d.decision_id = i.decision_id
		WHERE i.checklist_id = $1 AND i.decision_id <> ''`, []any{c.ChecklistID}, func(scan func(...any) error) error {
		var id, meaning string
		err := scan(&id, &meaning)
		meanings[id] = meaning
		return err
	})
	for _, i := range c.Items {
		if said := meanings[i.DecisionID]; i.DecisionID != "" && said != "" {
			before, after := i.around(c, i.Status, i.Evidence)
			out[i.ItemID] = strings.TrimSuffix(strings.TrimPrefix(said, before), after)
		}
	}
	return out, err
}

// ReopenItem takes an answer back. What it was stays in the history, and its decision stands
// as one that was made.
func (r *Readiness) ReopenItem(tx *db.Tx, at ItemRef, reason string, by By) (*Item, error) {
	c, i, err := r.itemIn(tx, at)
	if err != nil {
		return nil, err
	}
	if !i.Closed() {
		return nil, caos.Errorf(caos.Conflict, "the item %s is open", at).WithField("status")
	}
	if err := checkTitle("reason", reason, maxItemStatement); err != nil {
		return nil, err
	}
	was := map[string]any{"event": "checklist item reopened", "item_id": i.ItemID, "reason": reason, "was": i.Status, "evidence": i.Evidence,
		"decision_id": i.DecisionID, "completed_by": i.CompletedBy}
	i.Status, i.Evidence, i.DecisionID, i.CompletedBy, i.CompletedAt = ItemInProgress, []string{}, "", "", nil
	if err := r.storeItem(tx, c, i); err != nil {
		return nil, err
	}
	if err := r.record(tx, by, auditlog.Record{Resources: c.resources(), Project: c.Project, Classification: c.Classification, Details: was}); err != nil {
		return nil, err
	}
	return i, r.settleChecklist(tx, c)
}

// CompleteFacts completes the open items whose fact was shown, with the evidence of each
// fact, which the caller answers for. It returns the ids of the items, in order.
func (r *Readiness) CompleteFacts(tx *db.Tx, checklistID string, facts map[string][]string, by By) ([]string, error) {
	c, err := r.ChecklistIn(tx, checklistID)
	if err != nil {
		return nil, err
	}
	done, all := []string{}, []string{}
	for _, i := range c.Items {
		evidence := facts[i.Fact]
		if i.Fact == "" || i.Closed() || len(evidence) == 0 {
			continue
		}
		if err := checkIDs("evidence", evidence, maxRefs); err != nil {
			return nil, err
		}
		now := r.now()
		i.Status, i.Evidence, i.CompletedBy, i.CompletedAt = ItemComplete, evidence, by.Actor, &now
		if err := r.storeItem(tx, c, i); err != nil {
			return nil, err
		}
		done = append(done, i.ItemID)
		for _, id := range evidence {
			if !slices.Contains(all, id) {
				all = append(all, id)
			}
		}
	}
	if len(done) == 0 {
		return done, nil
	}
	err = r.record(tx, by, auditlog.Record{Resources: append(c.resources(), all...), Project: c.Project, Classification: c.Classification,
		Details: map[string]any{"event": "checklist items completed by what was shown", "items": done, "evidence": all}})
	if err != nil {
		return nil, err
	}
	return done, r.settleChecklist(tx, c)
}
