package registry

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/db"
)

// KindPRRReport is the report of a production readiness review.
const KindPRRReport = "prr-report"

// MarkProductionReady notes in the industrialisation record of a version that a review found
// it ready. A version without a record gets one. Marking again changes nothing.
func (r *Registry) MarkProductionReady(tx *db.Tx, modelID, version string, by By) (*Industrialisation, error) {
	out, _, err := r.putIndustrialisation(tx, Industrialisation{ModelID: modelID, Version: version, ProductionReady: true}, by, "found ready for production")
	return out, err
}

// FreeDocumentID returns the lowest free document id of a series, after skip free ones that
// others are about to take: prefix and a number of three digits, of four when those are used
// up. prefix is of our own making, such as "95-00-09-02-".
func (r *Registry) FreeDocumentID(tx *db.Tx, prefix string, skip int) (string, error) {
	for digits, from, to := 3, 1, 999; digits <= 4; digits, from, to = digits+1, to+1, 9999 {
		taken := map[int]bool{}
		err := tx.Query(`SELECT DISTINCT document_id FROM documents WHERE document_id LIKE $1 AND LENGTH(document_id) = $2 LIMIT 10000`,
			[]any{prefix + "%", len(prefix) + digits}, func(scan func(...any) error) error {
				var id string
				err := scan(&id)
				if n, bad := strconv.Atoi(strings.TrimPrefix(id, prefix)); bad == nil {
					taken[n] = true
				}
				return err
			})
		if err != nil {
			return "", err
		}
		for n := from; n <= to; n++ {
			if taken[n] {
				continue
			}
			if skip--; skip < 0 {
				return fmt.Sprintf("%s%0*d", prefix, digits, n), nil
			}
		}
	}
	return "", caos.Errorf(caos.Conflict, "no document id of the series %s is free", prefix).WithField("document_id").
		WithHint("the series has room for 9999 documents")
}

// ChangesIn lists the changes of a model as a transaction sees them, latest first, at most
// 1000.
func (r *Registry) ChangesIn(tx *db.Tx, modelID string) ([]*Change, error) {
	w := new(db.Where)
	w.Is("model_id", modelID)
	out, _, err := db.Page(within(tx), w, db.Listing[*Change]{Columns: changeColumns, From: "changes", At: "created_at", ID: "change_id", Limit: 1000,
		Scan: scanChange,
		Key:  func(c *Change) (time.Time, string) { return c.CreatedAt, c.ChangeID },
	}, "")
	return out, err
}

// ProblemsIn lists the problem reports of a model as a transaction sees them, latest first,
// at most 1000.
func (r *Registry) ProblemsIn(tx *db.Tx, modelID string) ([]*ProblemReport, error) {
	w := new(db.Where)
	w.Is("model_id", modelID)
	out, _, err := db.Page(within(tx), w, db.Listing[*ProblemReport]{Columns: problemColumns, From: "problem_reports", At: "created_at", ID: "problem_id", Limit: 1000,
		Scan: scanProblem,
		Key:  func(p *ProblemReport) (time.Time, string) { return p.CreatedAt, p.ProblemID },
	}, "")
	return out, err
}
