package evidence

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/verify"
)

// Status is where a package stands.
type Status string

// A package is OPEN until it is CLOSED; a closed one takes nothing more. Stored.
const (
	Open   Status = "OPEN"
	Closed Status = "CLOSED"
)

// Package is a certification package.
type Package struct {
	PackageID      string         `json:"package_id"`
	ModelID        string         `json:"model_id"`
	Title          string         `json:"title"`
	Project        string         `json:"project"`
	Classification string         `json:"classification"` // of items that have none of their own; see Classifications
	Status         Status         `json:"status"`
	PlanVersion    int            `json:"plan_version"` // 0 without a plan
	Findings       []caos.Finding `json:"findings"`     // those that stood when it was closed
	Statement      string         `json:"statement"`    // why it was closed in spite of them
	CreatedAt      time.Time      `json:"created_at"`
	CreatedBy      string         `json:"created_by"`
	UpdatedAt      time.Time      `json:"updated_at"`
	ClosedAt       *time.Time     `json:"closed_at"`
	ClosedBy       string         `json:"closed_by"`
	Counts         Counts         `json:"counts"`
}

// Counts is the package's part of the dashboard.
type Counts struct {
	Items    int64 `json:"items"`
	Passed   int64 `json:"passed"`
	Failed   int64 `json:"failed"`
	Recorded int64 `json:"recorded"`
	Planned  int64 `json:"planned"` // requirements and objectives of the plan
	Covered  int64 `json:"covered"` // those of them that an item covers
	Outside  int64 `json:"outside"` // mentions of ids that the plan does not have
}

// By is who does something, for the audit record.
type By struct {
	Actor      string // who is said to have acted
	RecordedBy string // who authenticated; "" for the same
	Execution  string // EXEC-… if a hook does it
	Hook       string
	Actions    []auditlog.Action
}

func (b By) record(p *Package, what string, details map[string]any) auditlog.Record {
	details["event"] = what
	by := b.RecordedBy
	if by == "" {
		by = b.Actor
	}
	return auditlog.Record{
		Type: auditlog.Evidence, Actor: b.Actor, RecordedBy: by, Resources: []string{p.PackageID, p.ModelID},
		Details: details, Execution: b.Execution, Hook: b.Hook, Actions: b.Actions, Project: p.Project, Classification: p.Classification,
	}
}

// Create opens a package for a model. An empty PackageID is derived from the model:
// CERT-PKG-FCS, then CERT-PKG-FCS-2 and so on. The package as created is returned.
func (r *Repository) Create(tx *db.Tx, p Package, by By) (*Package, error) {
	if err := caos.CheckID("model", "model_id", p.ModelID); err != nil {
		return nil, err
	}
	if p.Classification != "" && caos.Sensitivity(p.Classification) >= len(caos.Classifications()) {
		return nil, caos.Errorf(caos.Invalid, "%.40q is not a classification", p.Classification).WithField("classification").
			WithHint("one of %s", strings.Join(caos.Classifications(), ", "))
	}
	if len(p.Title) > maxLine || len(p.Project) > 64 {
		return nil, caos.Errorf(caos.Invalid, "the title or the project's name is too long").WithField("title")
	}
	if p.PackageID == "" {
		id, err := freeID(tx, p.ModelID)
		if err != nil {
			return nil, err
		}
		p.PackageID = id
	}
	if err := caos.CheckID("package", "package_id", p.PackageID); err != nil {
		return nil, err
	}
	now := r.now().UTC().Truncate(time.Microsecond)
	p.Status, p.CreatedAt, p.UpdatedAt, p.CreatedBy, p.Findings, p.PlanVersion = Open, now, now, by.Actor, []caos.Finding{}, 0
	n, err := tx.ExecRows(`INSERT INTO packages (package_id, model_id, title, project, classification, status, plan_version, findings, statement, created_at, created_by, updated_at)
		VALUES ($1, $2, $3, $4, $5, 'OPEN', 0, '[]', '', $6, $7, $8) ON CONFLICT (package_id) DO NOTHING`,
		p.PackageID, p.ModelID, p.Title, p.Project, p.Classification, now.UnixMicro(), by.Actor, now.UnixMicro())
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, caos.Errorf(caos.Conflict, "the package %s is there already", p.PackageID).WithField("package_id").
			WithHint("use it, or give another id")
	}
	tx.Exec(`INSERT INTO package_counts (package_id, items, passed, failed, recorded, planned, covered, outside) VALUES ($1, 0, 0, 0, 0, 0, 0, 0)`, p.PackageID)
	_, err = r.log.Append(tx, by.record(&p, "package created", map[string]any{"title": p.Title}))
	return &p, err
}

func freeID(tx *db.Tx, modelID string) (string, error) {
	base := "CERT-PKG-" + caos.ShortID(modelID)
	taken := map[string]bool{}
	err := tx.Query(`SELECT package_id FROM packages WHERE model_id = $1 OR package_id = $2`, []any{modelID, base}, func(scan func(...any) error) error {
		var id string
		err := scan(&id)
		taken[id] = true
		return err
	})
	id := base
	for n := 2; taken[id]; n++ {
		id = base + "-" + strconv.Itoa(n)
	}
	return id, err
}

const packageColumns = `p.package_id, p.model_id, p.title, p.project, p.classification, p.status, p.plan_version, p.findings, p.statement,
	p.created_at, p.created_by, p.updated_at, p.closed_at, p.closed_by,
	c.items, c.passed, c.failed, c.recorded, c.planned, c.covered, c.outside`

func scanPackage(scan func(...any) error) (*Package, error) {
	var p Package
	var findings string
	var created, updated int64
	var closed sql.NullInt64
	var closedBy sql.NullString
	err := scan(&p.PackageID, &p.ModelID, &p.Title, &p.Project, &p.Classification, &p.Status, &p.PlanVersion, &findings, &p.Statement,
		&created, &p.CreatedBy, &updated, &closed, &closedBy,
		&p.Counts.Items, &p.Counts.Passed, &p.Counts.Failed, &p.Counts.Recorded, &p.Counts.Planned, &p.Counts.Covered, &p.Counts.Outside)
	if err != nil {
		return nil, err
	}
	p.CreatedAt, p.UpdatedAt = time.UnixMicro(created).UTC(), time.UnixMicro(updated).UTC()
	if closed.Valid {
		t := time.UnixMicro(closed.Int64).UTC()
		p.ClosedAt, p.ClosedBy = &t, closedBy.String
	}
	if err := json.Unmarshal([]byte(findings), &p.Findings); err != nil {
		return nil, fmt.Errorf("evidence: read findings of %s: %w", p.PackageID, err)
	}
	return &p, nil
}

func getPackage(q query, id string) (*Package, error) {
	var p *Package
	err := q(`SELECT `+packageColumns+` FROM packages p JOIN package_counts c ON c.package_id = p.package_id WHERE p.package_id = $1`,
		[]any{id}, func(scan func(...any) error) (err error) {
			p, err = scanPackage(scan)
			return err
		})
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, caos.Errorf(caos.NotFound, "there is no package %s", id).WithField("certification_package_id").
			WithHint("make it with: caos package create")
	}
	return p, nil
}

// Package returns a package, or a NotFound error.
func (r *Repository) Package(ctx context.Context, id string) (*Package, error) {
	return getPackage(r.pool(ctx), id)
}

// PackageIn returns a package as a transaction sees it.
func (r *Repository) PackageIn(tx *db.Tx, id string) (*Package, error) {
	return getPackage(within(tx), id)
}

// PackageFilter chooses packages; empty fields match all.
type PackageFilter struct {
	ModelID string
	Status  Status
	Project string
	Limit   int // of a page; 0 means 100, the most is 1000
}

// Packages lists packages, latest first. cursor is "" and then the one returned.
func (r *Repository) Packages(ctx context.Context, f PackageFilter, cursor string) ([]*Package, string, error) {
	w := new(db.Where)
	w.Is("p.model_id", f.ModelID)
	w.Is("p.status", string(f.Status))
	w.Is("p.project", f.Project)
	const from = "packages p JOIN package_counts c ON c.package_id = p.package_id"
	return db.Page(r.pool(ctx), w, db.Listing[*Package]{Columns: packageColumns, From: from, At: "p.created_at", ID: "p.package_id", Limit: f.Limit,
		Scan: scanPackage,
		Key:  func(p *Package) (time.Time, string) { return p.CreatedAt, p.PackageID },
	}, cursor)
}

// openPackage returns a package that still takes changes.
func openPackage(tx *db.Tx, id string) (*Package, error) {
	p, err := getPackage(within(tx), id)
	if err != nil {
		return nil, err
	}
	if p.Status != Open {
		return nil, caos.Errorf(caos.Conflict, "the package %s was closed on %s", id, caos.FormatTime(*p.ClosedAt)).
			WithField("certification_package_id").WithHint("make a further package for what comes later")
	}
	return p, nil
}

// Attach puts an audit record into a package that the record does not name, such as the
// record of a freeze decision. decision is the decision's own file (verify.DecisionFile),
// nil if there is none. Records that name the package are in it anyway. That the record is
// there is checked before the transaction, by CheckRecord.
func (r *Repository) Attach(tx *db.Tx, packageID, recordID string, decision []byte, by By) error {
	p, err := openPackage(tx, packageID)
	if err != nil {
		return err
	}
	if len(decision) > 0 {
		if file, _, _, err := verify.ParseDecisionFile(decision); err != nil || file.Record != recordID {
			return caos.Errorf(caos.Invalid, "the decision's file does not belong to the record %.100s", recordID).WithField("decision")
		}
	}
	now := r.now().UnixMicro()
	tx.Exec(`INSERT INTO package_records (package_id, record_id, decision, created_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (package_id, record_id) DO NOTHING`, packageID, recordID, string(decision), now)
	tx.Exec(`UPDATE packages SET updated_at = $1 WHERE package_id = $2`, now, packageID)
	_, err = r.log.Append(tx, by.record(p, "record attached", map[string]any{"audit_record_id": recordID}))
	return err
}

// MayHold refuses what belongs to another project, or is classified higher than the
// package: whoever may export the package would get it.
func (p *Package) MayHold(project, classification string) error {
	if project == "" || project == p.Project {
		if caos.Sensitivity(classification) <= caos.Sensitivity(p.Classification) {
			return nil
		}
	}
	return caos.Errorf(caos.Denied, "it belongs to another project, or is classified higher than %s", p.PackageID).WithRule("need-to-know").
		WithHint("put it into a package of that project and classification")
}

// CheckRecord returns a NotFound error unless the audit log has the record.
func (r *Repository) CheckRecord(ctx context.Context, recordID string) error {
	if _, err := r.log.Get(ctx, recordID); err != nil {
		return caos.AsError(err).WithField("audit_record_id")
	}
	return nil
}

// Close ends a package. Findings, such as requirements without evidence, need a statement
// that says why it is closed in spite of them; full reports whether there were none.
func (r *Repository) Close(tx *db.Tx, id, statement string, by By) (full bool, err error) {
	p, err := openPackage(tx, id)
	if err != nil {
		return false, err
	}
	st, err := status(within(tx), p)
	if err != nil {
		return false, err
	}
	if len(statement) > maxText {
		return false, caos.Errorf(caos.Invalid, "the statement is longer than %d bytes", maxText).WithField("statement")
	}
	if len(st.Findings) > 0 && strings.TrimSpace(statement) == "" {
		return false, caos.Errorf(caos.Conflict, "the package %s has %d findings: %s", id, len(st.Findings), st.Findings[0].Message).
			WithRule("package-coverage").WithHint("clear them (caos package status %s lists all), or close with a statement that answers for them", id)
	}
	findings, err := json.Marshal(st.Findings)
	if err != nil {
		return false, fmt.Errorf("evidence: write findings: %w", err)
	}
	now := r.now().UnixMicro()
	tx.Exec(`UPDATE packages SET status = 'CLOSED', findings = $1, statement = $2, closed_at = $3, closed_by = $4, updated_at = $5 WHERE package_id = $6`,
		string(findings), statement, now, by.Actor, now, id)
	_, err = r.log.Append(tx, by.record(p, "package closed", map[string]any{
		"findings": len(st.Findings), "statement": statement, "items": p.Counts.Items,
		"planned": p.Counts.Planned, "covered": p.Counts.Covered, "full_coverage": len(st.Findings) == 0,
	}))
	return len(st.Findings) == 0, err
}
