package readiness

import (
	"context"
	"errors"
	"time"

	"caos"
	"caos/internal/codec"
	"caos/internal/db"
	"caos/internal/verify"
)

const authorizationColumns = `authorization_id, model_id, version, n, baseline_id, root_digest, safety_level, prr_id, status, platforms, strategies,
	not_before, not_after, rationale, scope, scope_digest, opened_at, opened_by, execution_id, requested_at, requested_by, requesters, policy_digest,
	ended_at, record_id, revoked_at, revoked_by, revoke_reason, project, classification, updated_at, revision`

func scanAuthorization(scan func(...any) error) (*ReleaseAuthorization, error) {
	a, _, err := scanNumbered(scan)
	return a, err
}

// scanNumbered reads a row, and which of its version's authorisations it is.
func scanNumbered(scan func(...any) error) (*ReleaseAuthorization, int, error) {
	a := ReleaseAuthorization{Approvals: []*Decision{}, Missing: []string{}}
	var n int
	var platforms, strategies, requesters string
	var before, after, opened, requested, ended, revoked, updated int64
	err := scan(&a.AuthorizationID, &a.ModelID, &a.Version, &n, &a.BaselineID, &a.RootDigest, &a.SafetyLevel, &a.PRRID, &a.Status, &platforms, &strategies,
		&before, &after, &a.Rationale, &a.Scope, &a.ScopeDigest, &opened, &a.OpenedBy, &a.ExecutionID, &requested, &a.RequestedBy, &requesters, &a.PolicyDigest,
		&ended, &a.RecordID, &revoked, &a.RevokedBy, &a.RevokeReason, &a.Project, &a.Classification, &updated, &a.Revision)
	if err != nil {
		return nil, 0, err
	}
	a.NotBefore, a.NotAfter, a.OpenedAt, a.RequestedAt = db.Optional(before), db.Optional(after), db.Moment(opened), db.Optional(requested)
	a.EndedAt, a.RevokedAt, a.UpdatedAt = db.Optional(ended), db.Optional(revoked), db.Moment(updated)
	return &a, n, errors.Join(readJSON(platforms, &a.Platforms), readJSON(strategies, &a.Strategies), readJSON(requesters, &a.Requesters))
}

func getAuthorization(q query, id string) (*ReleaseAuthorization, error) {
	if !db.Storable(id) {
		id = ""
	}
	var a *ReleaseAuthorization
	err := q(`SELECT `+authorizationColumns+` FROM release_authorizations WHERE authorization_id = $1`, []any{id}, func(scan func(...any) error) (err error) {
		a, err = scanAuthorization(scan)
		return err
	})
	if err == nil && a == nil {
		err = caos.Errorf(caos.NotFound, "there is no release authorisation %.80s", id).WithField("authorization_id").WithHint("caos release list shows those there are")
	}
	return a, err
}

// complete adds what other rows say of an authorisation: its approvals, and what it lacks.
func (r *Readiness) complete(q query, a *ReleaseAuthorization) error {
	err := q(`SELECT `+decisionColumns+` FROM decisions WHERE subject = $1 AND role <> '' ORDER BY decided_at, decision_id LIMIT 100`, []any{a.AuthorizationID},
		func(scan func(...any) error) error {
			d, err := scanDecision(scan)
			a.Approvals = append(a.Approvals, d)
			return err
		})
	if err == nil && a.Status == AuthorizationRequested {
		_, policy := verify.ShippedDecisionPolicy()
		a.Missing = codec.Listed(policy.TallyRelease(nil, ballots(a.Approvals)).Missing)
	}
	return err
}

// AuthorizationIn returns a release authorisation as a transaction sees it, with its stored
// status: that its window is over is for the caller to see.
func (r *Readiness) AuthorizationIn(tx *db.Tx, id string) (*ReleaseAuthorization, error) {
	a, err := getAuthorization(within(tx), id)
	if err != nil {
		return nil, err
	}
	return a, r.complete(within(tx), a)
}

// Authorization returns a release authorisation as it is now, or a NotFound error.
func (r *Readiness) Authorization(ctx context.Context, id string) (*ReleaseAuthorization, error) {
	a, err := getAuthorization(r.pool(ctx), id)
	if err != nil {
		return nil, err
	}
	a.at(r.now())
	return a, r.complete(r.pool(ctx), a)
}

// AuthorizationFilter chooses release authorisations; empty fields match all.
type AuthorizationFilter struct {
	ModelID, Version, BaselineID, Project string
	Status                                AuthorizationStatus // as stored: EXPIRED ones are found as AUTHORISED or REQUESTED
	Limit                                 int                 // of a page; 0 means 100, the most is 1000
}

// Authorizations lists release authorisations, latest first, without their approvals.
// cursor is "" and then the one returned.
func (r *Readiness) Authorizations(ctx context.Context, f AuthorizationFilter, cursor string) ([]*ReleaseAuthorization, string, error) {
	w := new(db.Where)
	w.Is("model_id", f.ModelID)
	w.Is("version", f.Version)
	w.Is("baseline_id", f.BaselineID)
	w.Is("project", f.Project)
	w.Is("status", string(f.Status))
	list, next, err := db.Page(r.pool(ctx), w, db.Listing[*ReleaseAuthorization]{Columns: authorizationColumns, From: "release_authorizations", At: "opened_at", ID: "authorization_id", Limit: f.Limit,
		Scan: scanAuthorization,
		Key:  func(a *ReleaseAuthorization) (time.Time, string) { return a.OpenedAt, a.AuthorizationID },
	}, cursor)
	now := r.now()
	for _, a := range list {
		a.at(now)
	}
	return list, next, err
}

// LatestAuthorization returns the last release authorisation that was opened for a version,
// with its stored status, nil if there is none.
func (r *Readiness) LatestAuthorization(tx *db.Tx, modelID, version string) (*ReleaseAuthorization, error) {
	var a *ReleaseAuthorization
	err := tx.Query(`SELECT `+authorizationColumns+` FROM release_authorizations WHERE model_id = $1 AND version = $2 ORDER BY n DESC LIMIT 1`, []any{modelID, version},
		func(scan func(...any) error) (err error) {
			a, err = scanAuthorization(scan)
			return err
		})
	if err != nil || a == nil {
		return nil, err
	}
	return a, r.complete(within(tx), a)
}

// releaseRequesters returns who shaped or asked for the releases of a version, or could have
// in their stead.
func releaseRequesters(tx *db.Tx, s Subject) ([]Hand, error) {
	var out []Hand
	err := tx.Query(`SELECT authorization_id, requested_by, requesters FROM release_authorizations WHERE model_id = $1 AND version = $2 ORDER BY n`, []any{s.ModelID, s.Version},
		func(scan func(...any) error) error {
			var id, by, list string
			if err := scan(&id, &by, &list); err != nil {
				return err
			}
			var people []string
			err := readJSON(list, &people)
			for _, p := range people {
				part := PartReleaseRecorder
				if p == by {
					part = PartReleaseRequester
				}
				out = append(out, Hand{Person: p, Part: part, Source: id})
			}
			return err
		})
	return out, err
}
