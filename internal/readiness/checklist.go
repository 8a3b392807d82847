package readiness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/event"
)

// EventChecklistCompleted is emitted when the last critical item of a checklist closes.
const EventChecklistCompleted = "caos.checklist.completed"

// ItemStatus is where a checklist item stands.
type ItemStatus string

// The states of a checklist item. Stored.
const (
	ItemPlanned       ItemStatus = "PLANNED"
	ItemInProgress    ItemStatus = "IN_PROGRESS"
	ItemComplete      ItemStatus = "COMPLETE"
	ItemNotApplicable ItemStatus = "NOT_APPLICABLE"
)

// Checklist is a template's questions asked about one baseline.
type Checklist struct {
	ChecklistID     string `json:"checklist_id"` // CHK-DLY-1.0.0; with -2 for a second template of the version
	TemplateID      string `json:"template_id"`
	TemplateVersion string `json:"template_version"`
	TemplateDigest  string `json:"template_digest"`
	Title           string `json:"title"`
	Subject
	OpenedAt    time.Time  `json:"opened_at"`
	OpenedBy    string     `json:"opened_by"`
	ExecutionID string     `json:"execution_id"` // the freeze that opened it, "" for a person
	CompletedAt *time.Time `json:"completed_at"` // when its last critical item closed, nil while one is open
	Items       []*Item    `json:"items"`        // in the order of the template; empty in lists
}

// Item is one question of a checklist and how it was answered.
type Item struct {
	ItemID       string      `json:"item_id"`
	Group        string      `json:"group"` // "M1"
	GroupTitle   string      `json:"group_title"`
	Title        string      `json:"title"`
	Question     string      `json:"question"`
	Criticality  Criticality `json:"criticality"`
	OwnerRole    string      `json:"owner_role"` // whose work it usually is
	EvidenceHint string      `json:"evidence_hint"`
	Fact         string      `json:"fact"`
	Status       ItemStatus  `json:"status"`
	Owner        string      `json:"owner"`    // user id, "" for nobody yet
	Involved     []string    `json:"involved"` // who ever owned it, sorted: they do not say that it does not apply
	DueOn        string      `json:"due_on"`   // 2026-11-30, "" for none
	Note         string      `json:"note"`
	Evidence     []string    `json:"evidence"`    // ids
	DecisionID   string      `json:"decision_id"` // of the signed statement that completed it
	CompletedBy  string      `json:"completed_by"`
	CompletedAt  *time.Time  `json:"completed_at"`
	Imported     string      `json:"imported"` // what a file stated about it, never a status
	UpdatedAt    time.Time   `json:"updated_at"`
	Revision     int64       `json:"revision"`
}

// Closed reports whether the item is answered.
func (i *Item) Closed() bool { return i.Status == ItemComplete || i.Status == ItemNotApplicable }

// Open returns the items that are not answered, those that stand against an approval first.
func (c *Checklist) Open() (critical, minor []*Item) {
	for _, i := range c.Items {
		switch {
		case i.Closed():
		case i.Criticality == MinorItem:
			minor = append(minor, i)
		default:
			critical = append(critical, i)
		}
	}
	return critical, minor
}

// item returns an item of the checklist, or a NotFound error.
func (c *Checklist) item(id string) (*Item, error) {
	if i := slices.IndexFunc(c.Items, func(it *Item) bool { return it.ItemID == id }); i >= 0 {
		return c.Items[i], nil
	}
	return nil, caos.Errorf(caos.NotFound, "the checklist %s has no item %.40q", c.ChecklistID, id).WithField("item_id").
		WithHint("caos checklist show %s lists its items", c.ChecklistID)
}

func (s *Subject) check() error {
	err := cmp.Or(
		caos.CheckID("model", "model_id", s.ModelID),
		caos.CheckID("version", "model_version", s.Version),
		caos.CheckID("resource", "baseline_id", s.BaselineID),
		checkLine("root_digest", s.RootDigest, maxLine),
		checkLine("safety_level", s.SafetyLevel, maxWord),
		checkScope(s.Project, s.Classification),
	)
	if s.Classification == "" {
		s.Classification = "Internal"
	}
	return err
}

// OpenChecklist asks the questions of a template's latest version about a baseline. The
// checklist that is there for this template and baseline is returned as it is. NotFound if
// there is no such template, or none that the baseline's project may know of.
func (r *Readiness) OpenChecklist(tx *db.Tx, templateID string, s Subject, by By) (*Checklist, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	have, err := r.ChecklistOf(tx, templateID, s.BaselineID)
	if err == nil || caos.KindOf(err) != caos.NotFound {
		return have, err
	}
	t, err := r.TemplateIn(tx, templateID, "")
	if err != nil {
		return nil, err
	}
	if t.Project != "" && t.Project != s.Project || caos.Sensitivity(t.Classification) > caos.Sensitivity(s.Classification) {
		return nil, noTemplate(templateID) // its questions are not this project's to know
	}
	now := r.now()
	c := &Checklist{TemplateID: t.TemplateID, TemplateVersion: t.Version, TemplateDigest: t.Digest, Title: t.Title, Subject: s,
		OpenedAt: now, OpenedBy: by.Actor, ExecutionID: by.Execution, Items: []*Item{}}
	if c.ChecklistID, err = freeChecklistID(tx, s); err != nil {
		return nil, err
	}
	tx.ExecOne(nil, `INSERT INTO checklists (checklist_id, template_id, template_version, template_digest, title, model_id, version, baseline_id, root_digest,
			safety_level, project, classification, opened_at, opened_by, execution_id, completed_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 0)`,
		c.ChecklistID, c.TemplateID, c.TemplateVersion, c.TemplateDigest, c.Title, s.ModelID, s.Version, s.BaselineID, s.RootDigest,
		s.SafetyLevel, s.Project, s.Classification, now.UnixMicro(), c.OpenedBy, c.ExecutionID)
	for _, g := range t.Groups {
		for _, q := range g.Items {
			it := &Item{ItemID: q.ItemID, Group: g.ID, GroupTitle: g.Title, Title: q.Title, Question: q.Question, Criticality: q.Criticality,
				OwnerRole: q.OwnerRole, EvidenceHint: q.EvidenceHint, Fact: q.Fact, Status: ItemPlanned, Involved: []string{}, Evidence: []string{},
				UpdatedAt: now, Revision: 1}
			c.Items = append(c.Items, it)
			if err := r.insertItem(tx, c, it, len(c.Items)); err != nil {
				return nil, err
			}
		}
	}
	err = r.record(tx, by, auditlog.Record{Resources: c.resources(), Project: s.Project, Classification: s.Classification,
		Details: map[string]any{"event": "checklist opened", "template_version": t.Version, "template_digest": t.Digest, "items": len(c.Items)}})
	if err != nil {
		return nil, err
	}
	return c, r.settleChecklist(tx, c)
}

// resources are the ids under which what happens to a checklist is found.
func (c *Checklist) resources() []string {
	return []string{c.ChecklistID, c.ModelID, c.BaselineID, c.TemplateID}
}

// freeChecklistID returns the version's next id. Versions may end in a number themselves:
// what is free is asked, not calculated.
func freeChecklistID(tx *db.Tx, s Subject) (string, error) {
	const most = 100
	base := "CHK-" + caos.ShortID(s.ModelID) + "-" + s.Version
	for n := range most {
		id := base
		if n > 0 {
			id += "-" + strconv.Itoa(n+1)
		}
		var taken int
		if err := tx.QueryRow(`SELECT COUNT(*) FROM checklists WHERE checklist_id = $1`, id).Scan(&taken); err != nil {
			return "", err
		}
		if taken == 0 {
			return id, nil
		}
	}
	return "", caos.Errorf(caos.Conflict, "the version has %d checklists already", most).WithField("template_id").WithHint("use one of them")
}

// settleChecklist notes whether all critical items are closed, and says so when they have become it.
func (r *Readiness) settleChecklist(tx *db.Tx, c *Checklist) error {
	critical, _ := c.Open()
	if (len(critical) == 0) == (c.CompletedAt != nil) {
		return nil
	}
	if len(critical) > 0 {
		c.CompletedAt = nil
	} else {
		now := r.now()
		c.CompletedAt = &now
	}
	tx.ExecOne(nil, `UPDATE checklists SET completed_at = $1 WHERE checklist_id = $2`, db.Instant(c.CompletedAt), c.ChecklistID)
	if c.CompletedAt == nil {
		return nil
	}
	return r.events.Emit(tx, event.Event{Type: EventChecklistCompleted, Subject: c.ChecklistID, Project: c.Project, Classification: c.Classification,
		Data: map[string]any{"checklist_id": c.ChecklistID, "template_id": c.TemplateID, "model_id": c.ModelID, "model_version": c.Version, "baseline_id": c.BaselineID}})
}

const checklistColumns = `checklist_id, template_id, template_version, template_digest, title, model_id, version, baseline_id, root_digest, safety_level,
	project, classification, opened_at, opened_by, execution_id, completed_at`

func scanChecklist(scan func(...any) error) (*Checklist, error) {
	c := Checklist{Items: []*Item{}}
	var opened, completed int64
	err := scan(&c.ChecklistID, &c.TemplateID, &c.TemplateVersion, &c.TemplateDigest, &c.Title, &c.ModelID, &c.Version, &c.BaselineID, &c.RootDigest,
		&c.SafetyLevel, &c.Project, &c.Classification, &opened, &c.OpenedBy, &c.ExecutionID, &completed)
	c.OpenedAt, c.CompletedAt = db.Moment(opened), db.Optional(completed)
	return &c, err
}

const itemColumns = `item_id, group_id, group_title, title, question, criticality, owner_role, evidence_hint, fact, status, owner, involved, due_on, note,
	evidence, decision_id, completed_by, completed_at, imported, updated_at, revision`

func scanItem(scan func(...any) error) (*Item, error) {
	var i Item
	var involved, evidence string
	var completed, updated int64
	err := scan(&i.ItemID, &i.Group, &i.GroupTitle, &i.Title, &i.Question, &i.Criticality, &i.OwnerRole, &i.EvidenceHint, &i.Fact, &i.Status, &i.Owner, &involved,
		&i.DueOn, &i.Note, &evidence, &i.DecisionID, &i.CompletedBy, &completed, &i.Imported, &updated, &i.Revision)
	if err != nil {
		return nil, err
	}
	i.CompletedAt, i.UpdatedAt = db.Optional(completed), db.Moment(updated)
	return &i, errors.Join(readJSON(involved, &i.Involved), readJSON(evidence, &i.Evidence))
}

// checklistBy reads one checklist with its items; where is a condition of one row.
func checklistBy(q query, where string, args ...any) (*Checklist, error) {
	var c *Checklist
	err := q(`SELECT `+checklistColumns+` FROM checklists WHERE `+where, args, func(scan func(...any) error) (err error) {
		c, err = scanChecklist(scan)
		return err
	})
	if err != nil || c == nil {
		return nil, err
	}
	return c, q(`SELECT `+itemColumns+` FROM checklist_items WHERE checklist_id = $1 ORDER BY seq LIMIT `+strconv.Itoa(maxTemplateItems), []any{c.ChecklistID},
		func(scan func(...any) error) error {
			i, err := scanItem(scan)
			c.Items = append(c.Items, i)
			return err
		})
}

func getChecklist(q query, id string) (*Checklist, error) {
	if !db.Storable(id) {
		id = ""
	}
	c, err := checklistBy(q, `checklist_id = $1`, id)
	if err == nil && c == nil {
		err = caos.Errorf(caos.NotFound, "there is no checklist %.80s", id).WithField("checklist_id").WithHint("caos checklist list shows those there are")
	}
	return c, err
}

// Checklist returns a checklist with its items, or a NotFound error.
func (r *Readiness) Checklist(ctx context.Context, id string) (*Checklist, error) {
	return getChecklist(r.pool(ctx), id)
}

// ChecklistIn returns a checklist as a transaction sees it.
func (r *Readiness) ChecklistIn(tx *db.Tx, id string) (*Checklist, error) {
	return getChecklist(within(tx), id)
}

// ChecklistOf returns the checklist of a template for a baseline, or a NotFound error.
func (r *Readiness) ChecklistOf(tx *db.Tx, templateID, baselineID string) (*Checklist, error) {
	if !db.Storable(templateID) || !db.Storable(baselineID) {
		templateID, baselineID = "", ""
	}
	c, err := checklistBy(within(tx), `template_id = $1 AND baseline_id = $2`, templateID, baselineID)
	if err == nil && c == nil {
		err = caos.Errorf(caos.NotFound, "there is no checklist of %.80s for %.80s", templateID, baselineID).WithField("template_id").
			WithHint("open it: caos checklist open %.80s --template %.80s", baselineID, templateID)
	}
	return c, err
}

// ChecklistsOf returns the ids of a baseline's checklists, earliest first.
func (r *Readiness) ChecklistsOf(tx *db.Tx, baselineID string) ([]string, error) {
	ids := []string{}
	err := tx.Query(`SELECT checklist_id FROM checklists WHERE baseline_id = $1 ORDER BY opened_at, checklist_id LIMIT 100`, []any{baselineID},
		func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			ids = append(ids, id)
			return err
		})
	return ids, err
}

// ChecklistFilter chooses checklists; empty fields match all.
type ChecklistFilter struct {
	ModelID, Version, BaselineID, TemplateID, Project string
	Limit                                             int // of a page; 0 means 100, the most is 1000
}

// Checklists lists checklists without their items, latest first. cursor is "" and then the
// one returned.
func (r *Readiness) Checklists(ctx context.Context, f ChecklistFilter, cursor string) ([]*Checklist, string, error) {
	w := new(db.Where)
	w.Is("model_id", f.ModelID)
	w.Is("version", f.Version)
	w.Is("baseline_id", f.BaselineID)
	w.Is("template_id", f.TemplateID)
	w.Is("project", f.Project)
	return db.Page(r.pool(ctx), w, db.Listing[*Checklist]{Columns: checklistColumns, From: "checklists", At: "opened_at", ID: "checklist_id", Limit: f.Limit,
		Scan: scanChecklist,
		Key:  func(c *Checklist) (time.Time, string) { return c.OpenedAt, c.ChecklistID },
	}, cursor)
}

// ChecklistAt returns a checklist as it was at a moment, nil if it was not open then.
func (r *Readiness) ChecklistAt(tx *db.Tx, templateID, baselineID string, at time.Time) (*Checklist, error) {
	c, err := r.ChecklistOf(tx, templateID, baselineID)
	if caos.KindOf(err) == caos.NotFound || err == nil && c.OpenedAt.After(at) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	was := map[string]*Item{}
	err = tx.Query(`SELECT h.body FROM row_history h JOIN checklist_items i ON h.id = i.checklist_id || '/' || i.item_id
		WHERE i.checklist_id = $1 AND h.noun = 'item' AND h.revision =
			(SELECT MAX(l.revision) FROM row_history l WHERE l.noun = h.noun AND l.id = h.id AND l.at <= $2)`, []any{c.ChecklistID, at.UnixMicro()},
		func(scan func(...any) error) error {
			var body string
			var row itemRow
			if err := scan(&body); err != nil {
				return err
			}
			err := readJSON(body, &row)
			was[row.ItemID] = &row.Item
			return err
		})
	if err != nil {
		return nil, err
	}
	c.CompletedAt = nil // when it was completed first is not kept
	for n, i := range c.Items {
		if c.Items[n] = was[i.ItemID]; c.Items[n] == nil {
			return nil, fmt.Errorf("readiness: item %s of %s has no history", i.ItemID, c.ChecklistID)
		}
	}
	return c, nil
}
