package registry

import (
	"encoding/json"
	"fmt"
	"time"

	"caos/internal/codec"
	"caos/internal/db"
)

// nounProblem is what editions of problem reports are kept under, in the table that
// package readiness keeps its own in.
const nounProblem = "problem"

// maxPastProblems bounds how many problem reports of a model are read back at once.
const maxPastProblems = 1000

// keepProblem keeps how a problem report reads after a change, so that what stood against a
// review can be seen later.
func (r *Registry) keepProblem(tx *db.Tx, p *ProblemReport) error {
	body, err := codec.Canonical(p)
	if err != nil {
		return fmt.Errorf("registry: keep %s: %w", p.ProblemID, err)
	}
	tx.Exec(`INSERT INTO row_history (noun, id, revision, scope, at, body) VALUES ($1, $2, $3, $4, $5, $6)`,
		nounProblem, p.ProblemID, p.Revision, p.ModelID, p.UpdatedAt.UnixMicro(), string(body))
	return tx.Err()
}

// OpenProblemsAt returns the problem reports that were open at a moment and concern a
// version, by id. unknown counts those that were there then and of which nobody kept how
// they read.
func (r *Registry) OpenProblemsAt(tx *db.Tx, modelID, version string, at time.Time) (open []ProblemReport, unknown int64, err error) {
	open = []ProblemReport{}
	us := at.UnixMicro()
	err = tx.Query(`SELECT h.body FROM row_history h WHERE h.noun = $1 AND h.scope = $2 AND h.revision =
			(SELECT MAX(l.revision) FROM row_history l WHERE l.noun = h.noun AND l.id = h.id AND l.at <= $3)
		ORDER BY h.id LIMIT $4`, []any{nounProblem, modelID, us, maxPastProblems}, func(scan func(...any) error) error {
		var body string
		if err := scan(&body); err != nil {
			return err
		}
		var p ProblemReport
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			return fmt.Errorf("registry: read what was kept of a problem report: %w", err)
		}
		if p.Status != ProblemClosed && concerns(p.Baselines, modelID, version) {
			open = append(open, p)
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	err = tx.QueryRow(`SELECT COUNT(*) FROM problem_reports p WHERE p.model_id = $1 AND p.created_at <= $2 AND NOT EXISTS
		(SELECT 1 FROM row_history h WHERE h.noun = $3 AND h.id = p.problem_id AND h.at <= $4)`, modelID, us, nounProblem, us).Scan(&unknown)
	return open, unknown, err
}
