package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/codec"
	"caos/internal/db"
	"caos/internal/event"
)

// ChangeClass is how much a change touches. The words are the programme's.
type ChangeClass string

// The change classes. Stored.
const (
	ClassCritical    ChangeClass = "Critical"
	ClassMajor       ChangeClass = "Major"
	ClassMinor       ChangeClass = "Minor"
	ClassEnhancement ChangeClass = "Enhancement"
)

// ChangeClasses lists the classes, the heaviest first.
func ChangeClasses() []string {
	return []string{string(ClassCritical), string(ClassMajor), string(ClassMinor), string(ClassEnhancement)}
}

// ChangeStatus is where a change stands: OPEN, then APPROVED or REJECTED, and an approved
// one CLOSED when it is done.
type ChangeStatus string

// The states of a change. Stored.
const (
	ChangeOpen     ChangeStatus = "OPEN"
	ChangeApproved ChangeStatus = "APPROVED"
	ChangeRejected ChangeStatus = "REJECTED"
	ChangeClosed   ChangeStatus = "CLOSED"
)

// The events of changes and problem reports. Their subject is the id of the change or
// report, their data that id with model_id, status, and class or severity.
const (
	EventChangeRaised   = "caos.change.raised"
	EventChangeDecided  = "caos.change.decided"
	EventChangeClosed   = "caos.change.closed"
	EventProblemRaised  = "caos.problem.raised"
	EventProblemChanged = "caos.problem.changed" // of severity or status
	EventProblemClosed  = "caos.problem.closed"
)

// Change is a change to a model that is asked for after it was frozen.
type Change struct {
	ChangeID            string       `json:"change_id"` // CHG-FCS-1 if CAOS gave it
	Title               string       `json:"title"`
	Description         string       `json:"description"`
	Class               ChangeClass  `json:"class"`
	Status              ChangeStatus `json:"status"`
	ModelID             string       `json:"model_id"`
	Baselines           []string     `json:"baselines"` // ids of the baselines that it affects
	Impact              string       `json:"impact"`
	SafetyImpact        string       `json:"safety_impact"`
	CertificationImpact string       `json:"certification_impact"`
	Owner               string       `json:"owner"`     // user id
	Evidence            []string     `json:"evidence"`  // ids of what shows that it was done
	Statement           string       `json:"statement"` // of who decided, then of who closed it
	Project             string       `json:"project"`
	Classification      string       `json:"classification"`
	CreatedAt           time.Time    `json:"created_at"`
	CreatedBy           string       `json:"created_by"`
	UpdatedAt           time.Time    `json:"updated_at"`
	DecidedAt           *time.Time   `json:"decided_at"`
	DecidedBy           string       `json:"decided_by"`
	ClosedAt            *time.Time   `json:"closed_at"`
	ClosedBy            string       `json:"closed_by"`
	Revision            int64        `json:"revision"`
	Involved            []string     `json:"involved"` // who ever wrote or owned it, sorted: they neither decide nor close
}

// ChangeUpdate is what may be changed about a change while it is OPEN; nil leaves a field.
type ChangeUpdate struct {
	Title, Description, Impact, SafetyImpact, CertificationImpact, Owner *string
	Class                                                                *ChangeClass
	Baselines                                                            *[]string
}

// Closing is what ends a change or a problem report.
type Closing struct {
	Evidence  []string // ids of documents, evidence items or audit records; at least one
	Statement string   // how it was resolved
	// Known says whether the id of a piece of evidence is that of something the closer may
	// cite; nil takes every id of the right form.
	Known func(tx *db.Tx, id string) (bool, error)
}

// check refuses an ending without evidence, or with evidence that is not there.
func (c Closing) check(tx *db.Tx, field string) error {
	if len(c.Evidence) == 0 {
		return caos.Errorf(caos.Invalid, "nothing shows that it is resolved").WithField(field).
			WithHint("name at least one document, evidence item or audit record")
	}
	if err := checkIDs(field, c.Evidence, 100); err != nil {
		return err
	}
	if err := checkText("statement", c.Statement); err != nil {
		return err
	}
	for i, id := range c.Evidence {
		if c.Known == nil {
			break
		}
		ok, err := c.Known(tx, id)
		if err != nil {
			return err
		}
		if !ok {
			return caos.Errorf(caos.Invalid, "there is no %s", id).WithField(fmt.Sprintf("%s[%d]", field, i)).
				WithHint("register the document or collect the evidence first")
		}
	}
	return nil
}

// checkIDs refuses a list of ids that is too long, has one twice, or one of the wrong form.
func checkIDs(field string, ids []string, most int) error {
	if len(ids) > most {
		return caos.Errorf(caos.TooLarge, "%d ids, more than %d", len(ids), most).WithField(field)
	}
	for i, id := range ids {
		at := fmt.Sprintf("%s[%d]", field, i)
		if err := caos.CheckID("resource", at, id); err != nil {
			return err
		}
		if slices.Contains(ids[:i], id) {
			return caos.Errorf(caos.Invalid, "the id %s is listed twice", id).WithField(at)
		}
	}
	return nil
}

// involve adds people to a list of those involved.
func involve(list []string, people ...string) []string {
	for _, p := range people {
		if p != "" && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	slices.Sort(list)
	return list
}

// separate refuses when one of those who act was involved: nobody judges their own work.
func separate(what string, involved []string, by By) error {
	for _, p := range []string{by.Actor, by.recorder()} {
		if slices.Contains(involved, p) {
			return caos.Errorf(caos.Denied, "%s wrote or owned %s", p, what).WithRule("separation-of-duties").
				WithHint("somebody else has to do this")
		}
	}
	return nil
}

// check refuses what cannot be a change, naming the field.
func (c *Change) check() error {
	if err := caos.CheckWord("class", string(c.Class), ChangeClasses()); err != nil {
		return err
	}
	if strings.TrimSpace(c.Title) == "" {
		return caos.Errorf(caos.Invalid, "it has no title").WithField("title").WithHint("one line that says what is to change")
	}
	if err := checkLine("title", c.Title, maxLine); err != nil {
		return err
	}
	for _, f := range []struct{ name, text string }{
		{"description", c.Description}, {"impact", c.Impact}, {"safety_impact", c.SafetyImpact}, {"certification_impact", c.CertificationImpact},
	} {
		if err := checkText(f.name, f.text); err != nil {
			return err
		}
	}
	if err := caos.CheckID("user", "owner", c.Owner); err != nil {
		return err
	}
	return checkIDs("baselines", c.Baselines, 100)
}

// numbering is how the things of a table get their ids.
type numbering struct{ prefix, table, field string } // field: of the id, also the column

// next returns the number of a model's next thing, and its id: the one that somebody chose,
// checked, or one made of the number, past those that somebody chose before.
func (n numbering) next(tx *db.Tx, given, modelID string) (id string, number int64, err error) {
	if err := tx.QueryRow(`SELECT COALESCE(MAX(number), 0) + 1 FROM `+n.table+` WHERE model_id = $1`, modelID).Scan(&number); err != nil {
		return "", 0, err
	}
	if given != "" {
		if err := caos.CheckID("resource", n.field, given); err != nil {
			return "", 0, err
		}
		if !strings.HasPrefix(given, n.prefix) || len(given) > maxWord || strings.ContainsAny(given, "/:@+") {
			return "", 0, caos.Errorf(caos.Invalid, "%.80q is no id for it", given).WithField(n.field).
				WithHint("begin with %s, or leave it out to get one", n.prefix)
		}
		return given, number, nil
	}
	const tries = 100
	for end := number + tries; number < end; number++ {
		id = n.prefix + caos.ShortID(modelID) + "-" + strconv.FormatInt(number, 10)
		var taken int64
		if err := tx.QueryRow(`SELECT count(*) FROM `+n.table+` WHERE `+n.field+` = $1`, id).Scan(&taken); err != nil || taken == 0 {
			return id, number, err
		}
	}
	return "", 0, caos.Errorf(caos.Conflict, "the next %d ids of %s are taken", tries, modelID).WithField(n.field).WithHint("give an id of your own")
}

// CreateChange opens a change to a model, in the model's project and classified at least as
// high. An empty ChangeID gets the model's next number, an empty Owner is who acts.
func (r *Registry) CreateChange(tx *db.Tx, c Change, by By) (*Change, error) {
	m, err := r.ModelIn(tx, c.ModelID)
	if err != nil {
		return nil, err
	}
	if c.Project, c.Classification, err = scopeOf(m, c.Project, c.Classification); err != nil {
		return nil, err
	}
	if c.Owner == "" {
		c.Owner = by.Actor
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	id, number, err := numbering{"CHG-", "changes", "change_id"}.next(tx, c.ChangeID, c.ModelID)
	if err != nil {
		return nil, err
	}
	c.ChangeID = id
	now := r.now()
	c.Status, c.CreatedAt, c.UpdatedAt, c.CreatedBy, c.Revision = ChangeOpen, now, now, by.Actor, 1
	c.Evidence, c.Statement, c.DecidedAt, c.DecidedBy, c.ClosedAt, c.ClosedBy = []string{}, "", nil, "", nil, ""
	c.Involved = involve(nil, by.Actor, by.recorder(), c.Owner)
	c.Baselines = codec.Listed(c.Baselines)
	n, err := tx.ExecRows(`INSERT INTO changes (change_id, number, model_id, title, description, class, status, baselines, impact, safety_impact,
			certification_impact, owner, involved, evidence, statement, project, classification, created_at, created_by, updated_at,
			decided_at, decided_by, closed_at, closed_by, revision)
		VALUES ($1, $2, $3, $4, $5, $6, 'OPEN', $7, $8, $9, $10, $11, $12, '[]', '', $13, $14, $15, $16, $17, 0, '', 0, '', 1)
		ON CONFLICT (change_id) DO NOTHING`,
		c.ChangeID, number, c.ModelID, c.Title, c.Description, string(c.Class), codec.ListJSON(c.Baselines), c.Impact, c.SafetyImpact,
		c.CertificationImpact, c.Owner, codec.ListJSON(c.Involved), c.Project, c.Classification, now.UnixMicro(), by.Actor, now.UnixMicro())
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, caos.Errorf(caos.Conflict, "the change %s is there already", c.ChangeID).WithField("change_id").
			WithHint("leave the id out to get the next one")
	}
	if err := r.tellChange(tx, EventChangeRaised, &c); err != nil {
		return nil, err
	}
	return &c, r.recordChange(tx, &c, by, "change raised")
}

// scopeOf is the project and classification of what is said about a model.
func scopeOf(m *Model, project, classification string) (string, string, error) {
	if project != "" && project != m.Project {
		return "", "", caos.Errorf(caos.Invalid, "the model %s belongs to another project", m.ModelID).WithField("project").
			WithHint("leave it out: what is said about a model is in the model's project")
	}
	if err := checkScope(project, classification); err != nil {
		return "", "", err
	}
	return m.Project, caos.Stricter(m.Classification, classification), nil
}

func (r *Registry) tellChange(tx *db.Tx, what string, c *Change) error {
	return r.events.Emit(tx, event.Event{Type: what, Subject: c.ChangeID, Project: c.Project, Classification: c.Classification, Data: map[string]any{
		"change_id": c.ChangeID, "model_id": c.ModelID, "class": c.Class, "status": c.Status, "baselines": c.Baselines,
	}})
}

func (r *Registry) recordChange(tx *db.Tx, c *Change, by By, what string) error {
	return r.record(tx, by, note{
		Event: what, Resources: append([]string{c.ChangeID, c.ModelID}, c.Baselines...), Project: c.Project, Classification: c.Classification,
		Details: map[string]any{"title": c.Title, "class": c.Class, "status": c.Status, "owner": c.Owner, "evidence": c.Evidence, "statement": c.Statement},
	})
}

// UpdateChange changes what an OPEN change says. revision is the one that the caller saw, 0
// for any.
func (r *Registry) UpdateChange(tx *db.Tx, id string, u ChangeUpdate, revision int64, by By) (*Change, error) {
	c, err := r.ChangeIn(tx, id)
	if err != nil {
		return nil, err
	}
	if err := caos.CheckRevision(id, revision, c.Revision); err != nil {
		return nil, err
	}
	if c.Status != ChangeOpen {
		return nil, caos.Errorf(caos.Conflict, "the change %s is %s", id, c.Status).WithHint("raise a further change")
	}
	for _, f := range []struct{ to, from *string }{
		{&c.Title, u.Title}, {&c.Description, u.Description}, {&c.Impact, u.Impact}, {&c.SafetyImpact, u.SafetyImpact},
		{&c.CertificationImpact, u.CertificationImpact}, {&c.Owner, u.Owner},
	} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if u.Class != nil {
		c.Class = *u.Class
	}
	if u.Baselines != nil {
		c.Baselines = codec.Listed(*u.Baselines)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	c.Involved = involve(c.Involved, by.Actor, by.recorder(), c.Owner)
	r.storeChange(tx, c)
	return c, r.recordChange(tx, c, by, "change updated")
}

// storeChange writes a change that was read in the same transaction, as its next revision.
func (r *Registry) storeChange(tx *db.Tx, c *Change) {
	before := c.Revision
	c.UpdatedAt, c.Revision = r.now(), before+1
	tx.ExecOne(caos.Errorf(caos.Conflict, "the change %s was changed meanwhile", c.ChangeID).WithHint("read it again"),
		`UPDATE changes SET title = $1, description = $2, class = $3, status = $4, baselines = $5, impact = $6, safety_impact = $7,
			certification_impact = $8, owner = $9, involved = $10, evidence = $11, statement = $12, updated_at = $13,
			decided_at = $14, decided_by = $15, closed_at = $16, closed_by = $17, revision = $18 WHERE change_id = $19 AND revision = $20`,
		c.Title, c.Description, string(c.Class), string(c.Status), codec.ListJSON(c.Baselines), c.Impact, c.SafetyImpact,
		c.CertificationImpact, c.Owner, codec.ListJSON(c.Involved), codec.ListJSON(c.Evidence), c.Statement, c.UpdatedAt.UnixMicro(),
		db.Instant(c.DecidedAt), c.DecidedBy, db.Instant(c.ClosedAt), c.ClosedBy, c.Revision, c.ChangeID, before)
}

// DecideChange approves or rejects an OPEN change. Nobody who wrote or owned it decides.
func (r *Registry) DecideChange(tx *db.Tx, id string, approve bool, statement string, by By) (*Change, error) {
	c, err := r.ChangeIn(tx, id)
	if err != nil {
		return nil, err
	}
	if c.Status != ChangeOpen {
		return nil, caos.Errorf(caos.Conflict, "the change %s is %s already", id, c.Status)
	}
	if err := separate(id, c.Involved, by); err != nil {
		return nil, err
	}
	if err := checkText("statement", statement); err != nil {
		return nil, err
	}
	if strings.TrimSpace(statement) == "" {
		return nil, caos.Errorf(caos.Invalid, "a decision says why").WithField("statement")
	}
	now := r.now()
	c.Status, c.Statement, c.DecidedAt, c.DecidedBy = ChangeRejected, statement, &now, by.Actor
	if approve {
		c.Status = ChangeApproved
	}
	r.storeChange(tx, c)
	if err := r.tellChange(tx, EventChangeDecided, c); err != nil {
		return nil, err
	}
	return c, r.recordChange(tx, c, by, "change decided")
}

// CloseChange ends an APPROVED change with the evidence that it was done. Nobody who wrote
// or owned it closes it.
func (r *Registry) CloseChange(tx *db.Tx, id string, end Closing, by By) (*Change, error) {
	c, err := r.ChangeIn(tx, id)
	if err != nil {
		return nil, err
	}
	if c.Status != ChangeApproved {
		return nil, caos.Errorf(caos.Conflict, "the change %s is %s", id, c.Status).WithHint("only an APPROVED change is closed")
	}
	if err := separate(id, c.Involved, by); err != nil {
		return nil, err
	}
	if err := end.check(tx, "evidence"); err != nil {
		return nil, err
	}
	now := r.now()
	c.Status, c.Evidence, c.ClosedAt, c.ClosedBy = ChangeClosed, end.Evidence, &now, by.Actor
	if end.Statement != "" {
		c.Statement = end.Statement
	}
	r.storeChange(tx, c)
	if err := r.tellChange(tx, EventChangeClosed, c); err != nil {
		return nil, err
	}
	return c, r.recordChange(tx, c, by, "change closed")
}

const changeColumns = `change_id, model_id, title, description, class, status, baselines, impact, safety_impact, certification_impact, owner,
	involved, evidence, statement, project, classification, created_at, created_by, updated_at, decided_at, decided_by, closed_at, closed_by, revision`

func scanChange(scan func(...any) error) (*Change, error) {
	var c Change
	var baselines, involved, evidence string
	var created, updated, decided, closed int64
	err := scan(&c.ChangeID, &c.ModelID, &c.Title, &c.Description, &c.Class, &c.Status, &baselines, &c.Impact, &c.SafetyImpact,
		&c.CertificationImpact, &c.Owner, &involved, &evidence, &c.Statement, &c.Project, &c.Classification, &created, &c.CreatedBy, &updated,
		&decided, &c.DecidedBy, &closed, &c.ClosedBy, &c.Revision)
	if err != nil {
		return nil, err
	}
	c.CreatedAt, c.UpdatedAt, c.DecidedAt, c.ClosedAt = db.Moment(created), db.Moment(updated), db.Optional(decided), db.Optional(closed)
	return &c, errors.Join(readList(baselines, &c.Baselines), readList(involved, &c.Involved), readList(evidence, &c.Evidence))
}

func getChange(q query, id string) (*Change, error) {
	var c *Change
	err := q(`SELECT `+changeColumns+` FROM changes WHERE change_id = $1`, []any{id}, func(scan func(...any) error) (err error) {
		c, err = scanChange(scan)
		return err
	})
	if err == nil && c == nil {
		err = caos.Errorf(caos.NotFound, "there is no change %.80s", id).WithField("change_id").WithHint("caos change list shows those there are")
	}
	return c, err
}

// Change returns a change, or a NotFound error.
func (r *Registry) Change(ctx context.Context, id string) (*Change, error) {
	return getChange(r.pool(ctx), id)
}

// ChangeIn returns a change as a transaction sees it.
func (r *Registry) ChangeIn(tx *db.Tx, id string) (*Change, error) { return getChange(within(tx), id) }

// ChangeFilter chooses changes; empty fields match all.
type ChangeFilter struct {
	ModelID, Project, Owner string
	Status                  ChangeStatus
	Class                   ChangeClass
	Limit                   int // of a page; 0 means 100, the most is 1000
}

// Changes lists changes, latest first. cursor is "" and then the one returned.
func (r *Registry) Changes(ctx context.Context, f ChangeFilter, cursor string) ([]*Change, string, error) {
	w := new(db.Where)
	w.Is("model_id", f.ModelID)
	w.Is("project", f.Project)
	w.Is("owner", f.Owner)
	w.Is("status", string(f.Status))
	w.Is("class", string(f.Class))
	return db.Page(r.pool(ctx), w, db.Listing[*Change]{Columns: changeColumns, From: "changes", At: "created_at", ID: "change_id", Limit: f.Limit,
		Scan: scanChange,
		Key:  func(c *Change) (time.Time, string) { return c.CreatedAt, c.ChangeID },
	}, cursor)
}

// reclassifyAbout carries a model's new classification to the changes, problem reports and
// industrialisation records of it. Changes and reports are only raised: they may have a
// reason of their own to be higher.
func reclassifyAbout(tx *db.Tx, m *Model) {
	for _, c := range append(caos.Classifications(), "") {
		if caos.Sensitivity(c) < caos.Sensitivity(m.Classification) {
			tx.Exec(`UPDATE changes SET classification = $1 WHERE model_id = $2 AND classification = $3`, m.Classification, m.ModelID, c)
			tx.Exec(`UPDATE problem_reports SET classification = $1 WHERE model_id = $2 AND classification = $3`, m.Classification, m.ModelID, c)
			for _, end := range []string{"source_id", "target_id"} { // one index each
				tx.Exec(`UPDATE links SET classification = $1 WHERE (`+end+` = $2 OR `+end+` IN (SELECT model_id || '@' || version FROM model_versions WHERE model_id = $3)
					OR `+end+` IN (SELECT baseline_id FROM baselines WHERE model_id = $4)) AND classification = $5`, m.Classification, m.ModelID, m.ModelID, m.ModelID, c)
				tx.Exec(`UPDATE statements SET classification = $1 WHERE classification = $2 AND statement_id IN (SELECT source FROM links WHERE `+end+` = $3
					OR `+end+` IN (SELECT model_id || '@' || version FROM model_versions WHERE model_id = $4)
					OR `+end+` IN (SELECT baseline_id FROM baselines WHERE model_id = $5))`, m.Classification, c, m.ModelID, m.ModelID, m.ModelID) // what they were made of
			}
			tx.Exec(`UPDATE statements SET classification = $1 WHERE (subject = $2 OR subject IN (SELECT model_id || '@' || version FROM model_versions WHERE model_id = $3)
				OR subject IN (SELECT baseline_id FROM baselines WHERE model_id = $4)) AND classification = $5`, m.Classification, m.ModelID, m.ModelID, m.ModelID, c)
		}
	}
	tx.Exec(`UPDATE industrialisations SET classification = $1 WHERE model_id = $2`, m.Classification, m.ModelID)
}

// readList reads a list that was stored.
func readList(text string, into *[]string) error {
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("registry: read a stored list: %w", err)
	}
	return nil
}
