package readiness

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"caos"
	"caos/internal/db"
)

const riskColumns = `risk_id, model_id, version, title, description, category, likelihood, impact, residual_likelihood, residual_impact, mitigation, owner,
	status, review_on, last_reviewed, last_reviewed_by, review_note, accepted, closure_evidence, closure_reason, closed_at, closed_by, source, involved,
	importers, project, classification, created_at, created_by, updated_at, revision, content_revision`

func scanRisk(scan func(...any) error) (*Risk, error) {
	var k Risk
	var accepted, evidence, involved, importers string
	var reviewed, closed, created, updated int64
	err := scan(&k.RiskID, &k.ModelID, &k.Version, &k.Title, &k.Description, &k.Category, &k.Likelihood, &k.Impact, &k.ResidualLikelihood, &k.ResidualImpact,
		&k.Mitigation, &k.Owner, &k.Status, &k.ReviewOn, &reviewed, &k.LastReviewedBy, &k.ReviewNote, &accepted, &evidence, &k.ClosureReason, &closed,
		&k.ClosedBy, &k.Source, &involved, &importers, &k.Project, &k.Classification, &created, &k.CreatedBy, &updated, &k.Revision, &k.ContentRevision)
	if err != nil {
		return nil, err
	}
	k.LastReviewed, k.ClosedAt, k.CreatedAt, k.UpdatedAt = db.Optional(reviewed), db.Optional(closed), db.Moment(created), db.Moment(updated)
	k.weigh(ShippedScale())
	if accepted != "" {
		k.Accepted = &Acceptance{}
		err = readJSON(accepted, k.Accepted)
	}
	return &k, errors.Join(err, readJSON(evidence, &k.ClosureEvidence), readJSON(involved, &k.Involved), readJSON(importers, &k.Importers))
}

func getRisk(q query, id string) (*Risk, error) {
	var k *Risk
	if db.Storable(id) {
		err := q(`SELECT `+riskColumns+` FROM risks WHERE risk_id = $1`, []any{id}, func(scan func(...any) error) (err error) {
			k, err = scanRisk(scan)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if k == nil {
		return nil, caos.Errorf(caos.NotFound, "there is no risk %.80q", id).WithField("risk_id").WithHint("caos risk list shows those there are")
	}
	return k, nil
}

// Risk returns a risk, or a NotFound error.
func (r *Readiness) Risk(ctx context.Context, id string) (*Risk, error) {
	return getRisk(r.pool(ctx), id)
}

// RiskIn returns a risk as a transaction sees it.
func (r *Readiness) RiskIn(tx *db.Tx, id string) (*Risk, error) { return getRisk(within(tx), id) }

// Risks lists risks, latest first. cursor is "" and then the one returned.
func (r *Readiness) Risks(ctx context.Context, f RiskFilter, cursor string) ([]*Risk, string, error) {
	w := new(db.Where)
	w.Is("model_id", f.ModelID)
	w.Is("version", f.Version)
	w.Is("project", f.Project)
	w.Is("owner", f.Owner)
	w.Is("category", f.Category)
	w.Is("status", string(f.Status))
	w.Is("stands_level", string(f.Level))
	if f.ReviewBy != "" {
		if err := checkDate("review_by", f.ReviewBy); err != nil {
			return nil, "", err
		}
		w.And("status <> 'CLOSED' AND review_on <= ?", f.ReviewBy)
	}
	return db.Page(r.pool(ctx), w, db.Listing[*Risk]{Columns: riskColumns, From: "risks", At: "created_at", ID: "risk_id", Limit: f.Limit,
		Scan: scanRisk,
		Key:  func(k *Risk) (time.Time, string) { return k.CreatedAt, k.RiskID },
	}, cursor)
}

// maxRisksOf bounds the register of one model: a review reads all of it.
const maxRisksOf = 1000

// RisksOf returns the risks that concern a version of a model, closed ones too, the heaviest
// that stand first; an empty version means all. There are at most 1000 of one model.
func (r *Readiness) RisksOf(tx *db.Tx, modelID, version string) ([]*Risk, error) {
	out := []*Risk{}
	if !db.Storable(modelID) || !db.Storable(version) {
		return out, nil
	}
	where, args := `model_id = $1`, []any{modelID}
	if version != "" {
		where, args = where+` AND version IN ('', $2)`, append(args, version)
	}
	err := tx.Query(`SELECT `+riskColumns+` FROM risks WHERE `+where+` ORDER BY stands DESC, number, risk_id LIMIT `+strconv.Itoa(maxRisksOf), args,
		func(scan func(...any) error) error {
			k, err := scanRisk(scan)
			out = append(out, k)
			return err
		})
	return out, err
}

// RisksAt is RisksOf as the register read at a moment.
func (r *Readiness) RisksAt(tx *db.Tx, modelID, version string, at time.Time) ([]*Risk, error) {
	bodies, err := r.PastOf(tx, nounRisk, modelID, at)
	if err != nil {
		return nil, err
	}
	out := []*Risk{}
	for _, body := range bodies {
		k := &Risk{}
		if err := readJSON(string(body), k); err != nil {
			return nil, err
		}
		if version == "" || k.Version == "" || k.Version == version {
			out = append(out, k)
		}
	}
	slices.SortStableFunc(out, func(a, b *Risk) int {
		return cmp.Or(cmp.Compare(b.Stands(), a.Stands()), a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.RiskID, b.RiskID))
	})
	return out, nil
}
