package readiness

import (
	"context"
	"errors"
	"time"

	"caos"
	"caos/internal/db"
)

const reviewColumns = `prr_id, execution_id, model_id, version, baseline_id, root_digest, safety_level, checklist_id, members, prr_date, closes_at, status, best,
	report_id, report_version, report_digest, pdf_digest, facts_digest, editions, requested_by, recorded_by, enabled_by, decision, board_decision,
	policy_digest, project, classification, opened_at, decided_at, revision`

func scanReview(scan func(...any) error) (*Review, error) {
	var v Review
	var members, editions string
	var closes, opened, decided int64
	err := scan(&v.PRRID, &v.ExecutionID, &v.ModelID, &v.Version, &v.BaselineID, &v.RootDigest, &v.SafetyLevel, &v.ChecklistID, &members, &v.PRRDate, &closes,
		&v.Status, &v.Best, &v.ReportID, &v.ReportVersion, &v.ReportDigest, &v.PDFDigest, &v.FactsDigest, &editions, &v.RequestedBy, &v.RecordedBy, &v.EnabledBy,
		&v.Decision, &v.BoardDecision, &v.PolicyDigest, &v.Project, &v.Classification, &opened, &decided, &v.Revision)
	if err != nil {
		return nil, err
	}
	v.ClosesAt, v.OpenedAt, v.DecidedAt = db.Moment(closes), db.Moment(opened), db.Optional(decided)
	v.Votes, v.Conditions = []*Vote{}, []*Condition{}
	return &v, errors.Join(readJSON(members, &v.Members), readJSON(editions, &v.Editions))
}

func getReview(q query, id string) (*Review, error) {
	if !db.Storable(id) {
		id = ""
	}
	var v *Review
	if err := q(`SELECT `+reviewColumns+` FROM reviews WHERE prr_id = $1`, []any{id}, func(scan func(...any) error) (err error) {
		v, err = scanReview(scan)
		return err
	}); err != nil {
		return nil, err
	}
	if v == nil {
		return nil, caos.Errorf(caos.NotFound, "there is no review %.80s", id).WithField("prr_id").WithHint("caos review list shows those there are")
	}
	if err := votesOf(q, v); err != nil {
		return nil, err
	}
	return v, conditionsOf(q, v)
}

// Review returns a review with its votes and conditions, or a NotFound error.
func (r *Readiness) Review(ctx context.Context, id string) (*Review, error) {
	return getReview(r.pool(ctx), id)
}

// ReviewIn returns a review as a transaction sees it.
func (r *Readiness) ReviewIn(tx *db.Tx, id string) (*Review, error) {
	return getReview(within(tx), id)
}

// PreparingBefore counts the reviews, of whatever model, that were opened before this one
// and whose reports are still being made.
func (r *Readiness) PreparingBefore(tx *db.Tx, id string) (n int, err error) {
	err = tx.QueryRow(`SELECT COUNT(*) FROM reviews a, reviews b WHERE b.prr_id = $1 AND a.status = 'PREPARING'
		AND (a.opened_at < b.opened_at OR a.opened_at = b.opened_at AND a.prr_id < b.prr_id)`, id).Scan(&n)
	return n, err
}

// ReviewFilter chooses reviews; empty fields match all.
type ReviewFilter struct {
	ModelID, Version, BaselineID, ExecutionID, Project string
	Status                                             ReviewStatus
	Limit                                              int // of a page; 0 means 100, the most is 1000
}

// Reviews lists reviews without their votes and conditions, latest first. cursor is "" and
// then the one returned.
func (r *Readiness) Reviews(ctx context.Context, f ReviewFilter, cursor string) ([]*Review, string, error) {
	w := new(db.Where)
	w.Is("model_id", f.ModelID)
	w.Is("version", f.Version)
	w.Is("baseline_id", f.BaselineID)
	w.Is("execution_id", f.ExecutionID)
	w.Is("project", f.Project)
	w.Is("status", string(f.Status))
	return db.Page(r.pool(ctx), w, db.Listing[*Review]{Columns: reviewColumns, From: "reviews", At: "opened_at", ID: "prr_id", Limit: f.Limit,
		Scan: scanReview,
		Key:  func(v *Review) (time.Time, string) { return v.OpenedAt, v.PRRID },
	}, cursor)
}
