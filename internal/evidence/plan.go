package evidence

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/codec"
	"caos/internal/db"
)

// maxPlanned bounds the ids of one plan: setting it has to fit into the time that one
// function of a shared transaction may take.
const maxPlanned = 10_000

// Plan is what a package has to give evidence for. Setting a plan again makes a new
// version; the old ones stay.
type Plan struct {
	PackageID    string    `json:"package_id"`
	Version      int       `json:"version"`
	Requirements []string  `json:"requirement_ids"` // sorted
	Objectives   []string  `json:"objective_ids"`   // sorted
	Source       string    `json:"source"`          // where the ids come from, in words
	CreatedAt    time.Time `json:"created_at"`
	CreatedBy    string    `json:"created_by"`
}

// SetPlan makes a new version of a package's plan and counts anew what is covered.
func (r *Repository) SetPlan(tx *db.Tx, plan Plan, by By) (*Plan, error) {
	p, err := openPackage(tx, plan.PackageID)
	if err != nil {
		return nil, err
	}
	if plan.Requirements, err = plannedIDs("requirement_ids", plan.Requirements); err != nil {
		return nil, err
	}
	if plan.Objectives, err = plannedIDs("objective_ids", plan.Objectives); err != nil {
		return nil, err
	}
	if len(plan.Requirements)+len(plan.Objectives) == 0 {
		return nil, caos.Errorf(caos.Invalid, "the plan names no requirement and no objective").WithField("requirement_ids").
			WithHint("nothing planned would be covered by nothing: name what the package has to show")
	}
	if len(plan.Source) > maxLine {
		return nil, caos.Errorf(caos.Invalid, "the text is longer than %d bytes", maxLine).WithField("source")
	}
	plan.Version, plan.CreatedAt, plan.CreatedBy = p.PlanVersion+1, r.now().UTC().Truncate(time.Microsecond), by.Actor
	reqs, objs := codec.ListJSON(plan.Requirements), codec.ListJSON(plan.Objectives)
	now := plan.CreatedAt.UnixMicro()
	tx.Exec(`INSERT INTO package_plans (package_id, version, requirements, objectives, source, created_at, created_by) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		p.PackageID, plan.Version, reqs, objs, plan.Source, now, by.Actor)
	tx.Exec(`DELETE FROM package_planned WHERE package_id = $1`, p.PackageID)
	insertPlanned(tx, p.PackageID, requirement, reqs)
	insertPlanned(tx, p.PackageID, objective, objs)
	recount(tx, p)
	tx.Exec(`UPDATE packages SET plan_version = $1, updated_at = $2 WHERE package_id = $3`, plan.Version, now, p.PackageID)
	_, err = r.log.Append(tx, by.record(p, "plan set", map[string]any{
		"plan_version": plan.Version, "requirements": len(plan.Requirements), "objectives": len(plan.Objectives),
		"requirements_hash": digestOf([]byte(reqs)), "objectives_hash": digestOf([]byte(objs)), "source": plan.Source,
	}))
	return &plan, err
}

func plannedIDs(field string, ids []string) ([]string, error) {
	if len(ids) > maxPlanned {
		return nil, caos.Errorf(caos.TooLarge, "%d ids, more than %d", len(ids), maxPlanned).WithField(field)
	}
	for i, id := range ids {
		if err := CheckCoverID(indexed(field, i), id); err != nil {
			return nil, err
		}
	}
	out := slices.Clone(ids)
	slices.Sort(out)
	for i := 1; i < len(out); i++ {
		if out[i] == out[i-1] {
			return nil, caos.Errorf(caos.Invalid, "the id %s is planned twice", out[i]).WithField(field)
		}
	}
	if out == nil {
		out = []string{}
	}
	return out, nil
}

// insertPlanned enters the ids of a JSON list in one statement: row by row, a large plan
// would hold up everybody in the transaction.
func insertPlanned(tx *db.Tx, packageID string, k kind, ids string) {
	each := "json_each($3) AS item"
	if tx.Dialect() == db.PostgreSQL {
		each = "jsonb_array_elements_text(CAST($3 AS JSONB)) AS item(value)"
	}
	tx.Exec(`INSERT INTO package_planned (package_id, kind, id, covering) SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), item.value, 0 FROM `+each,
		packageID, string(k), ids)
}

// recount settles, after the plan has changed, which mentions are planned and how often
// each planned id is covered.
func recount(tx *db.Tx, p *Package) {
	packageID := p.PackageID
	if p.Counts.Items == 0 {
		tx.Exec(`UPDATE package_counts SET covered = 0, outside = 0,
			planned = (SELECT COUNT(*) FROM package_planned p WHERE p.package_id = package_counts.package_id) WHERE package_id = $1`, packageID)
		return
	}
	tx.Exec(`UPDATE evidence_covers SET planned = CASE WHEN EXISTS (SELECT 1 FROM package_planned p
		WHERE p.package_id = evidence_covers.package_id AND p.kind = evidence_covers.kind AND p.id = evidence_covers.id) THEN 1 ELSE 0 END
		WHERE package_id = $1`, packageID)
	tx.Exec(`UPDATE package_planned SET covering = (SELECT COUNT(*) FROM evidence_covers c
		WHERE c.package_id = package_planned.package_id AND c.kind = package_planned.kind AND c.id = package_planned.id AND c.covering = 1)
		WHERE package_id = $1`, packageID)
	tx.Exec(`UPDATE package_counts SET
		planned = (SELECT COUNT(*) FROM package_planned p WHERE p.package_id = package_counts.package_id),
		covered = (SELECT COUNT(*) FROM package_planned p WHERE p.package_id = package_counts.package_id AND p.covering > 0),
		outside = (SELECT COUNT(*) FROM evidence_covers c WHERE c.package_id = package_counts.package_id AND c.planned = 0)
		WHERE package_id = $1`, packageID)
}

// PlanOf returns a version of a package's plan, 0 meaning the present one.
func (r *Repository) PlanOf(ctx context.Context, packageID string, version int) (*Plan, error) {
	p, err := r.Package(ctx, packageID)
	if err != nil {
		return nil, err
	}
	if version == 0 {
		version = p.PlanVersion
	}
	return planOf(r.pool(ctx), packageID, version)
}

func planOf(q query, packageID string, version int) (*Plan, error) {
	var plan *Plan
	err := q(`SELECT requirements, objectives, source, created_at, created_by FROM package_plans WHERE package_id = $1 AND version = $2`,
		[]any{packageID, version}, func(scan func(...any) error) error {
			p := Plan{PackageID: packageID, Version: version}
			var reqs, objs string
			var created int64
			if err := scan(&reqs, &objs, &p.Source, &created, &p.CreatedBy); err != nil {
				return err
			}
			p.CreatedAt = time.UnixMicro(created).UTC()
			plan = &p
			return errors.Join(json.Unmarshal([]byte(reqs), &p.Requirements), json.Unmarshal([]byte(objs), &p.Objectives))
		})
	if err == nil && plan == nil {
		return nil, caos.Errorf(caos.NotFound, "the package %s has no plan of version %d", packageID, version).
			WithHint("plan it with: caos package plan %s", packageID)
	}
	return plan, err
}

// file writes the plan as plan.json of a package file, with how the package stood.
func (p *Plan) file(status Status, findings []caos.Finding, statement string) ([]byte, error) {
	return codec.Canonical(struct {
		Objectives   []string       `json:"objective_ids"`
		PackageID    string         `json:"package_id"`
		Requirements []string       `json:"requirement_ids"`
		Version      int            `json:"version"` // of the format
		PlanVersion  int            `json:"plan_version"`
		Source       string         `json:"source"`
		CreatedAt    string         `json:"created_at"`
		CreatedBy    string         `json:"created_by"`
		Status       Status         `json:"status"`
		Findings     []caos.Finding `json:"findings"`
		Statement    string         `json:"statement"`
	}{p.Objectives, p.PackageID, p.Requirements, 1, p.Version, p.Source, caos.FormatTime(p.CreatedAt), p.CreatedBy, status, findings, statement})
}

// IDSource says where ReadIDs finds ids.
type IDSource struct {
	Column      string // of a CSV table with a header; "" reads a plain list, one id a line
	WhereColumn string // take only rows in which this column…
	WhereValue  string // …has this value
}

// ReadIDs reads requirement or objective ids for a plan, each once, in the order of their
// first appearance. Empty cells are passed over; anything else that is no id is refused
// with its row.
func ReadIDs(in io.Reader, from IDSource) ([]string, error) {
	in = io.LimitReader(in, 64<<20)
	seen := map[string]bool{}
	var out []string
	take := func(row int, id string) error {
		id = strings.TrimSpace(id)
		if id == "" || seen[id] {
			return nil
		}
		if err := CheckCoverID(fmt.Sprintf("row %d", row), id); err != nil {
			return err
		}
		if len(out) >= maxPlanned {
			return caos.Errorf(caos.TooLarge, "more than %d ids", maxPlanned)
		}
		seen[id] = true
		out = append(out, id)
		return nil
	}
	if from.Column == "" {
		sc := bufio.NewScanner(in)
		for n := 1; sc.Scan(); n++ {
			if line := sc.Text(); !strings.HasPrefix(line, "#") {
				if err := take(n, line); err != nil {
					return nil, err
				}
			}
		}
		if err := sc.Err(); err != nil {
			return nil, caos.Wrap(caos.Invalid, err, "the list cannot be read")
		}
		return out, nil
	}
	return out, readColumn(in, from, take)
}

func readColumn(in io.Reader, from IDSource, take func(row int, id string) error) error {
	r := csv.NewReader(in)
	r.ReuseRecord = true
	column, filter := -1, -1
	for n := 1; ; n++ {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			if column < 0 {
				return caos.Errorf(caos.Invalid, "the table is empty")
			}
			return nil
		}
		if err != nil {
			return caos.Wrap(caos.Invalid, err, "the table cannot be read")
		}
		if n == 1 {
			for i, h := range row {
				h = strings.TrimSpace(strings.TrimPrefix(h, "\ufeff"))
				if h == from.Column {
					column = i
				}
				if h == from.WhereColumn && h != "" {
					filter = i
				}
			}
			if column < 0 || from.WhereColumn != "" && filter < 0 {
				return caos.Errorf(caos.Invalid, "the table has no column %.60q or %.60q", from.Column, from.WhereColumn).
					WithHint("it has: %s", clip(strings.Join(row, ", "), 300))
			}
			continue
		}
		if filter >= 0 && strings.TrimSpace(row[filter]) != from.WhereValue {
			continue
		}
		if err := take(n, row[column]); err != nil {
			return err
		}
	}
}
