package evidence

import (
	"context"
	"fmt"
	"slices"

	"caos"
	"caos/internal/verify"
)

// maxFindings bounds the findings that a status lists; a last one counts the others.
const maxFindings = 500

// PackageStatus is where a package stands against its plan.
type PackageStatus struct {
	Package  *Package        `json:"package"`
	Coverage verify.Coverage `json:"coverage"`
	Findings []caos.Finding  `json:"findings"` // empty means full coverage with nothing to answer for
	Full     bool            `json:"full"`
}

// Status computes the coverage of a package and everything that speaks against closing it.
func (r *Repository) Status(ctx context.Context, id string) (*PackageStatus, error) {
	p, err := r.Package(ctx, id)
	if err != nil {
		return nil, err
	}
	return status(r.pool(ctx), p)
}

// mention is one id that an item names.
type mention struct {
	kind       kind
	id         string
	evidenceID string
	covering   bool
	planned    bool
}

func status(q query, p *Package) (*PackageStatus, error) {
	var missing [2][]string
	counts := map[kind]*verify.CoverageOf{requirement: {}, objective: {}}
	err := q(`SELECT kind, id, covering FROM package_planned WHERE package_id = $1 ORDER BY kind, id`, []any{p.PackageID}, func(scan func(...any) error) error {
		var k kind
		var id string
		var covering int64
		if err := scan(&k, &id, &covering); err != nil {
			return err
		}
		c := counts[k]
		c.Planned++
		if covering > 0 {
			c.Covered++
			return nil
		}
		i := 0
		if k == objective {
			i = 1
		}
		missing[i] = append(missing[i], id)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var against []mention
	err = q(`SELECT kind, id, evidence_id, covering, planned FROM evidence_covers
		WHERE package_id = $1 AND (covering = 0 OR planned = 0) ORDER BY kind, id, evidence_id`, []any{p.PackageID}, func(scan func(...any) error) error {
		var m mention
		var covering, planned int64
		err := scan(&m.kind, &m.id, &m.evidenceID, &covering, &planned)
		m.covering, m.planned = covering == 1, planned == 1
		against = append(against, m)
		return err
	})
	if err != nil {
		return nil, err
	}
	st := &PackageStatus{Package: p}
	for i, c := range []*verify.CoverageOf{counts[requirement], counts[objective]} {
		c.Missing = append([]string{}, missing[i]...)
		slices.Sort(c.Missing)
	}
	st.Coverage = verify.Coverage{Requirements: *counts[requirement], Objectives: *counts[objective]}
	st.Findings = findings(p, st.Coverage, against)
	st.Full = len(st.Findings) == 0
	return st, nil
}

// findings says what is wrong with a package: nothing planned, nothing collected, ids
// without evidence, evidence that failed, ids outside the plan.
func findings(p *Package, c verify.Coverage, against []mention) []caos.Finding {
	out := []caos.Finding{}
	if p.PlanVersion == 0 {
		out = append(out, caos.Finding{Rule: "package-plan", Subject: p.PackageID, Message: "the package has no plan, so nothing shows what it should cover",
			Remedy: "plan it with: caos package plan " + p.PackageID})
	}
	if p.Counts.Items == 0 {
		out = append(out, caos.Finding{Rule: "package-empty", Subject: p.PackageID, Message: "the package holds no evidence", Remedy: "collect it with CAOS.PROD.CERT.EVIDENCE"})
	}
	for _, m := range []struct {
		kind kind
		ids  []string
	}{{requirement, c.Requirements.Missing}, {objective, c.Objectives.Missing}} {
		for _, id := range m.ids {
			out = append(out, caos.Finding{Rule: "package-coverage", Subject: id, Message: fmt.Sprintf("no evidence covers the %s %s", m.kind, id),
				Remedy: "collect evidence that names it, or plan without it"})
		}
	}
	for _, m := range against {
		if !m.covering {
			out = append(out, failedFinding(m.kind, m.id, m.evidenceID))
		}
		if !m.planned {
			out = append(out, outsideFinding(m.kind, m.id, m.evidenceID))
		}
	}
	if n := len(out) - maxFindings; n > 0 {
		out = append(out[:maxFindings], caos.Finding{Rule: "package-findings", Subject: p.PackageID, Message: fmt.Sprintf("and %d more findings", n)})
	}
	return out
}

// Dashboard returns the counts of every package, as the transactions kept them.
func (r *Repository) Dashboard(ctx context.Context) (map[string]Counts, error) {
	return counts(r.pool(ctx), `SELECT package_id, items, passed, failed, recorded, planned, covered, outside FROM package_counts`)
}

// Recount computes what Dashboard should return from the evidence itself.
func (r *Repository) Recount(ctx context.Context) (map[string]Counts, error) {
	return counts(r.pool(ctx), `SELECT p.package_id,
		(SELECT COUNT(*) FROM evidence e WHERE e.package_id = p.package_id),
		(SELECT COUNT(*) FROM evidence e WHERE e.package_id = p.package_id AND e.verdict = 'PASSED'),
		(SELECT COUNT(*) FROM evidence e WHERE e.package_id = p.package_id AND e.verdict = 'FAILED'),
		(SELECT COUNT(*) FROM evidence e WHERE e.package_id = p.package_id AND e.verdict = 'RECORDED'),
		(SELECT COUNT(*) FROM package_planned n WHERE n.package_id = p.package_id),
		(SELECT COUNT(*) FROM package_planned n WHERE n.package_id = p.package_id AND EXISTS (SELECT 1 FROM evidence_covers c
			WHERE c.package_id = n.package_id AND c.kind = n.kind AND c.id = n.id AND c.covering = 1)),
		(SELECT COUNT(*) FROM evidence_covers c WHERE c.package_id = p.package_id AND NOT EXISTS (SELECT 1 FROM package_planned n
			WHERE n.package_id = c.package_id AND n.kind = c.kind AND n.id = c.id))
		FROM packages p`)
}

func counts(q query, sql string) (map[string]Counts, error) {
	out := map[string]Counts{}
	err := q(sql, nil, func(scan func(...any) error) error {
		var id string
		var c Counts
		err := scan(&id, &c.Items, &c.Passed, &c.Failed, &c.Recorded, &c.Planned, &c.Covered, &c.Outside)
		out[id] = c
		return err
	})
	return out, err
}
