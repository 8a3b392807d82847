package registry

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/codec"
	"caos/internal/db"
	"caos/internal/event"

	"github.com/Masterminds/semver/v3"
)

// Severity is how bad a problem is.
type Severity string

// The severities. Stored.
const (
	Critical Severity = "CRITICAL"
	High     Severity = "HIGH"
	Medium   Severity = "MEDIUM"
	Low      Severity = "LOW"
)

// Severities lists them, the worst first.
func Severities() []string {
	return []string{string(Critical), string(High), string(Medium), string(Low)}
}

// Blocks reports whether an open problem of this severity stands against a freeze. A word
// that is none of the severities does.
func (s Severity) Blocks() bool { return s != Medium && s != Low }

// ProblemStatus is where a problem report stands.
type ProblemStatus string

// The states of a problem report. Stored.
const (
	ProblemOpen       ProblemStatus = "OPEN"
	ProblemInProgress ProblemStatus = "IN_PROGRESS"
	ProblemClosed     ProblemStatus = "CLOSED"
)

// ProblemReport is a problem that was found in a model.
type ProblemReport struct {
	ProblemID       string        `json:"problem_id"` // PR-FCS-1 if CAOS gave it
	Title           string        `json:"title"`
	Description     string        `json:"description"`
	Severity        Severity      `json:"severity"`
	Status          ProblemStatus `json:"status"`
	ModelID         string        `json:"model_id"`
	Baselines       []string      `json:"baselines"` // ids of baselines in which it was found; none means every version has it
	Impact          string        `json:"impact"`
	Owner           string        `json:"owner"`            // user id
	ClosureEvidence []string      `json:"closure_evidence"` // ids of what shows that it is gone
	Resolution      string        `json:"resolution"`       // of who closed it
	Project         string        `json:"project"`
	Classification  string        `json:"classification"`
	CreatedAt       time.Time     `json:"created_at"`
	CreatedBy       string        `json:"created_by"`
	UpdatedAt       time.Time     `json:"updated_at"`
	ClosedAt        *time.Time    `json:"closed_at"`
	ClosedBy        string        `json:"closed_by"`
	Revision        int64         `json:"revision"`
	Involved        []string      `json:"involved"` // who ever wrote or owned it, sorted: they do not close it
}

// ProblemUpdate is what may be changed about a problem report until it is CLOSED; nil
// leaves a field. The status is OPEN or IN_PROGRESS here.
type ProblemUpdate struct {
	Title, Description, Impact, Owner *string
	Severity                          *Severity
	Status                            *ProblemStatus
	Baselines                         *[]string
}

func (p *ProblemReport) check() error {
	if err := caos.CheckWord("severity", string(p.Severity), Severities()); err != nil {
		return err
	}
	if strings.TrimSpace(p.Title) == "" {
		return caos.Errorf(caos.Invalid, "it has no title").WithField("title").WithHint("one line that says what is wrong")
	}
	if err := checkLine("title", p.Title, maxLine); err != nil {
		return err
	}
	if err := checkText("description", p.Description); err != nil {
		return err
	}
	if err := checkText("impact", p.Impact); err != nil {
		return err
	}
	if err := caos.CheckID("user", "owner", p.Owner); err != nil {
		return err
	}
	return checkIDs("baselines", p.Baselines, 100)
}

// CreateProblem reports a problem of a model, in the model's project and classified at
// least as high. An empty ProblemID gets the model's next number, an empty Owner is who
// acts.
func (r *Registry) CreateProblem(tx *db.Tx, p ProblemReport, by By) (*ProblemReport, error) {
	m, err := r.ModelIn(tx, p.ModelID)
	if err != nil {
		return nil, err
	}
	if p.Project, p.Classification, err = scopeOf(m, p.Project, p.Classification); err != nil {
		return nil, err
	}
	if p.Owner == "" {
		p.Owner = by.Actor
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	id, number, err := numbering{"PR-", "problem_reports", "problem_id"}.next(tx, p.ProblemID, p.ModelID)
	if err != nil {
		return nil, err
	}
	p.ProblemID = id
	now := r.now()
	p.Status, p.CreatedAt, p.UpdatedAt, p.CreatedBy, p.Revision = ProblemOpen, now, now, by.Actor, 1
	p.ClosureEvidence, p.Resolution, p.ClosedAt, p.ClosedBy = []string{}, "", nil, ""
	p.Involved, p.Baselines = involve(nil, by.Actor, by.recorder(), p.Owner), codec.Listed(p.Baselines)
	n, err := tx.ExecRows(`INSERT INTO problem_reports (problem_id, number, model_id, title, description, severity, status, baselines, impact, owner,
			involved, closure_evidence, resolution, project, classification, created_at, created_by, updated_at, closed_at, closed_by, revision)
		VALUES ($1, $2, $3, $4, $5, $6, 'OPEN', $7, $8, $9, $10, '[]', '', $11, $12, $13, $14, $15, 0, '', 1)
		ON CONFLICT (problem_id) DO NOTHING`,
		p.ProblemID, number, p.ModelID, p.Title, p.Description, string(p.Severity), codec.ListJSON(p.Baselines), p.Impact, p.Owner,
		codec.ListJSON(p.Involved), p.Project, p.Classification, now.UnixMicro(), by.Actor, now.UnixMicro())
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, caos.Errorf(caos.Conflict, "the problem report %s is there already", p.ProblemID).WithField("problem_id").
			WithHint("leave the id out to get the next one")
	}
	if err := cmp.Or(r.keepProblem(tx, &p), r.tellProblem(tx, EventProblemRaised, &p)); err != nil {
		return nil, err
	}
	return &p, r.recordProblem(tx, &p, by, "problem reported")
}

func (r *Registry) tellProblem(tx *db.Tx, what string, p *ProblemReport) error {
	return r.events.Emit(tx, event.Event{Type: what, Subject: p.ProblemID, Project: p.Project, Classification: p.Classification, Data: map[string]any{
		"problem_id": p.ProblemID, "model_id": p.ModelID, "severity": p.Severity, "status": p.Status, "baselines": p.Baselines,
	}})
}

func (r *Registry) recordProblem(tx *db.Tx, p *ProblemReport, by By, what string) error {
	return r.record(tx, by, note{
		Event: what, Resources: append([]string{p.ProblemID, p.ModelID}, p.Baselines...), Project: p.Project, Classification: p.Classification,
		Details: map[string]any{"title": p.Title, "severity": p.Severity, "status": p.Status, "owner": p.Owner,
			"closure_evidence": p.ClosureEvidence, "resolution": p.Resolution},
	})
}

// UpdateProblem changes what a report says until it is closed. revision is the one that the
// caller saw, 0 for any. What stands against a freeze cannot be talked down by those who
// wrote or own the report: a severity that no longer blocks, or other baselines than
// before, need somebody else.
func (r *Registry) UpdateProblem(tx *db.Tx, id string, u ProblemUpdate, revision int64, by By) (*ProblemReport, error) {
	p, err := r.ProblemIn(tx, id)
	if err != nil {
		return nil, err
	}
	if err := caos.CheckRevision(id, revision, p.Revision); err != nil {
		return nil, err
	}
	if p.Status == ProblemClosed {
		return nil, caos.Errorf(caos.Conflict, "the problem report %s is closed", id).WithHint("report the problem again")
	}
	before := *p
	for _, f := range []struct{ to, from *string }{
		{&p.Title, u.Title}, {&p.Description, u.Description}, {&p.Impact, u.Impact}, {&p.Owner, u.Owner},
	} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if u.Severity != nil {
		p.Severity = *u.Severity
	}
	if u.Status != nil {
		p.Status = *u.Status
		if err := caos.CheckWord("status", string(p.Status), []string{string(ProblemOpen), string(ProblemInProgress)}); err != nil {
			return nil, caos.AsError(err).WithHint("OPEN or IN_PROGRESS; a report is closed with evidence")
		}
	}
	if u.Baselines != nil {
		p.Baselines = codec.Listed(*u.Baselines)
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	if weakened(&before, p) {
		if err := separate(id, before.Involved, by); err != nil {
			return nil, err
		}
		if err := r.notByOwner(tx, p.ModelID, "weaken "+id, by); err != nil {
			return nil, err
		}
	}
	p.Involved = involve(p.Involved, by.Actor, by.recorder(), p.Owner)
	if err := r.storeProblem(tx, p); err != nil {
		return nil, err
	}
	if p.Severity != before.Severity || p.Status != before.Status {
		if err := r.tellProblem(tx, EventProblemChanged, p); err != nil {
			return nil, err
		}
	}
	return p, r.recordProblem(tx, p, by, "problem report updated")
}

// weakened reports whether a report stands against less than it did.
func weakened(before, after *ProblemReport) bool {
	if !before.Severity.Blocks() {
		return false
	}
	if !after.Severity.Blocks() || len(before.Baselines) == 0 && len(after.Baselines) > 0 {
		return true
	}
	if len(after.Baselines) == 0 {
		return false
	}
	return slices.ContainsFunc(before.Baselines, func(b string) bool { return !slices.Contains(after.Baselines, b) })
}

func (r *Registry) storeProblem(tx *db.Tx, p *ProblemReport) error {
	before := p.Revision
	p.UpdatedAt, p.Revision = r.now(), before+1
	tx.ExecOne(caos.Errorf(caos.Conflict, "the problem report %s was changed meanwhile", p.ProblemID).WithHint("read it again"),
		`UPDATE problem_reports SET title = $1, description = $2, severity = $3, status = $4, baselines = $5, impact = $6, owner = $7, involved = $8,
			closure_evidence = $9, resolution = $10, updated_at = $11, closed_at = $12, closed_by = $13, revision = $14
		WHERE problem_id = $15 AND revision = $16`,
		p.Title, p.Description, string(p.Severity), string(p.Status), codec.ListJSON(p.Baselines), p.Impact, p.Owner, codec.ListJSON(p.Involved),
		codec.ListJSON(p.ClosureEvidence), p.Resolution, p.UpdatedAt.UnixMicro(), db.Instant(p.ClosedAt), p.ClosedBy, p.Revision, p.ProblemID, before)
	return r.keepProblem(tx, p)
}

// CloseProblem ends a report with evidence that the problem is gone. Nobody who wrote or
// owned it closes it, nor, if it stands against a freeze, who owns or owned the model.
func (r *Registry) CloseProblem(tx *db.Tx, id string, end Closing, by By) (*ProblemReport, error) {
	p, err := r.ProblemIn(tx, id)
	if err != nil {
		return nil, err
	}
	if p.Status == ProblemClosed {
		return nil, caos.Errorf(caos.Conflict, "the problem report %s is closed already", id)
	}
	if err := separate(id, p.Involved, by); err != nil {
		return nil, err
	}
	if p.Severity.Blocks() {
		if err := r.notByOwner(tx, p.ModelID, "close "+id, by); err != nil {
			return nil, err
		}
	}
	if err := end.check(tx, "closure_evidence"); err != nil {
		return nil, err
	}
	now := r.now()
	p.Status, p.ClosureEvidence, p.Resolution, p.ClosedAt, p.ClosedBy = ProblemClosed, end.Evidence, end.Statement, &now, by.Actor
	if err := r.storeProblem(tx, p); err != nil {
		return nil, err
	}
	if err := r.tellProblem(tx, EventProblemClosed, p); err != nil {
		return nil, err
	}
	return p, r.recordProblem(tx, p, by, "problem report closed")
}

const problemColumns = `problem_id, model_id, title, description, severity, status, baselines, impact, owner, involved, closure_evidence,
	resolution, project, classification, created_at, created_by, updated_at, closed_at, closed_by, revision`

func scanProblem(scan func(...any) error) (*ProblemReport, error) {
	var p ProblemReport
	var baselines, involved, evidence string
	var created, updated, closed int64
	err := scan(&p.ProblemID, &p.ModelID, &p.Title, &p.Description, &p.Severity, &p.Status, &baselines, &p.Impact, &p.Owner, &involved, &evidence,
		&p.Resolution, &p.Project, &p.Classification, &created, &p.CreatedBy, &updated, &closed, &p.ClosedBy, &p.Revision)
	if err != nil {
		return nil, err
	}
	p.CreatedAt, p.UpdatedAt, p.ClosedAt = db.Moment(created), db.Moment(updated), db.Optional(closed)
	return &p, errors.Join(readList(baselines, &p.Baselines), readList(involved, &p.Involved), readList(evidence, &p.ClosureEvidence))
}

func getProblem(q query, id string) (*ProblemReport, error) {
	var p *ProblemReport
	err := q(`SELECT `+problemColumns+` FROM problem_reports WHERE problem_id = $1`, []any{id}, func(scan func(...any) error) (err error) {
		p, err = scanProblem(scan)
		return err
	})
	if err == nil && p == nil {
		err = caos.Errorf(caos.NotFound, "there is no problem report %.80s", id).WithField("problem_id").WithHint("caos problem list shows those there are")
	}
	return p, err
}

// Problem returns a problem report, or a NotFound error.
func (r *Registry) Problem(ctx context.Context, id string) (*ProblemReport, error) {
	return getProblem(r.pool(ctx), id)
}

// ProblemIn returns a problem report as a transaction sees it.
func (r *Registry) ProblemIn(tx *db.Tx, id string) (*ProblemReport, error) {
	return getProblem(within(tx), id)
}

// ProblemFilter chooses problem reports; empty fields match all.
type ProblemFilter struct {
	ModelID, Project, Owner string
	Status                  ProblemStatus
	Severity                Severity
	Limit                   int // of a page; 0 means 100, the most is 1000
}

// Problems lists problem reports, latest first. cursor is "" and then the one returned.
func (r *Registry) Problems(ctx context.Context, f ProblemFilter, cursor string) ([]*ProblemReport, string, error) {
	w := new(db.Where)
	w.Is("model_id", f.ModelID)
	w.Is("project", f.Project)
	w.Is("owner", f.Owner)
	w.Is("status", string(f.Status))
	w.Is("severity", string(f.Severity))
	return db.Page(r.pool(ctx), w, db.Listing[*ProblemReport]{Columns: problemColumns, From: "problem_reports", At: "created_at", ID: "problem_id", Limit: f.Limit,
		Scan: scanProblem,
		Key:  func(p *ProblemReport) (time.Time, string) { return p.CreatedAt, p.ProblemID },
	}, cursor)
}

// openProblems returns the problem reports that are not closed and concern a version, in
// the order in which they were reported.
func openProblems(tx *db.Tx, modelID, version string) ([]ProblemReport, error) {
	out := []ProblemReport{}
	err := tx.Query(`SELECT `+problemColumns+` FROM problem_reports WHERE model_id = $1 AND status <> 'CLOSED' ORDER BY number, problem_id`, []any{modelID},
		func(scan func(...any) error) error {
			p, err := scanProblem(scan)
			if err == nil && concerns(p.Baselines, modelID, version) {
				out = append(out, *p)
			}
			return err
		})
	return out, err
}

// concerns reports whether a problem that was found in some baselines concerns a version of
// a model. A problem is in every version from the first one in which it was found, until
// somebody closes it; one that names no baseline, or a baseline whose version cannot be
// told, is in every version.
func concerns(baselines []string, modelID, version string) bool {
	want, err := semver.StrictNewVersion(version)
	if err != nil || len(baselines) == 0 {
		return true
	}
	for _, b := range baselines {
		number, ours := strings.CutPrefix(b, "BL-"+caos.ShortID(modelID)+"-")
		v, err := semver.StrictNewVersion(number)
		if !ours || err != nil || !v.GreaterThan(want) {
			return true
		}
	}
	return false
}
