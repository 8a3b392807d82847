package dpp

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/object"
)

// ClaimRequest asks for the identifier of a passport.
type ClaimRequest struct {
	ModelID   string
	Version   string
	Event     Event
	ClaimedBy string // an execution, or whoever makes the passport without one

	// Ended reports whether an execution is over, so that one which could not clear up
	// behind itself does not hold an identifier for ever. May be nil.
	Ended func(tx *db.Tx, execution string) (bool, error)
}

// claimLife is how long somebody who is no execution may hold an identifier without making
// its passport, which takes milliseconds.
const claimLife = time.Hour

// Claim takes the next identifier of an event, which no one else gets. An execution that
// claims again has its first one. Errors: Invalid; Conflict if the event does not recur and
// has its passport, or somebody is making it.
func (p *Passports) Claim(tx *db.Tx, req ClaimRequest) (*Claim, error) {
	if err := caos.CheckID("model", "model_id", req.ModelID); err != nil {
		return nil, err
	}
	if err := caos.CheckID("version", "model_version", req.Version); err != nil {
		return nil, err
	}
	if !req.Event.Valid() {
		return nil, caos.Errorf(caos.Invalid, "%.40q is no event", req.Event).WithField("lifecycle_event")
	}
	last, err := lastClaim(tx, req)
	if err != nil {
		return nil, err
	}
	if last != nil && last.by == req.ClaimedBy && strings.HasPrefix(last.by, "EXEC-") {
		return &last.Claim, nil
	}
	left, err := p.mayClaim(tx, req, last)
	if err != nil {
		return nil, err
	}
	if left {
		if err := p.Release(tx, last.PassportID, last.by); err != nil {
			return nil, err
		}
		last = nil
	}
	c := Claim{Occurrence: 1, At: p.now()}
	if last != nil {
		c.Occurrence = last.Occurrence + 1
	}
	c.PassportID = ID(req.ModelID, req.Version, req.Event, c.Occurrence)
	if c.StatusList, c.StatusIndex, err = p.place(tx, c.PassportID, c.At); err != nil {
		return nil, err
	}
	tx.Exec(`INSERT INTO passport_claims (passport_id, model_id, version, event, n, claimed_by, claimed_at, status_list, status_index) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9)`,
		c.PassportID, req.ModelID, req.Version, string(req.Event), c.Occurrence, req.ClaimedBy, c.At.UnixMicro(), c.StatusList, c.StatusIndex)
	return &c, tx.Err()
}

// CheckClaim says what Claim would refuse, and changes nothing.
func (p *Passports) CheckClaim(tx *db.Tx, req ClaimRequest) error {
	last, err := lastClaim(tx, req)
	if err != nil {
		return err
	}
	_, err = p.mayClaim(tx, req, last)
	return err
}

type claimed struct {
	Claim
	by string
}

func lastClaim(tx *db.Tx, req ClaimRequest) (last *claimed, err error) {
	err = tx.Query(`SELECT passport_id, n, claimed_by, claimed_at, status_list, status_index FROM passport_claims
 WHERE model_id = $1 AND version = $2 AND event = $3 ORDER BY n DESC LIMIT 1`,
		[]any{req.ModelID, req.Version, string(req.Event)}, func(scan func(...any) error) error {
			var at int64
			last = &claimed{}
			err := scan(&last.PassportID, &last.Occurrence, &last.by, &at, &last.StatusList, &last.StatusIndex)
			last.At = time.UnixMicro(at).UTC()
			return err
		})
	return last, err
}

// mayClaim says why there can be no further passport for the event. left reports that the
// last identifier is held by somebody who will not make its passport any more.
func (p *Passports) mayClaim(tx *db.Tx, req ClaimRequest, last *claimed) (left bool, err error) {
	if last == nil || req.Event.Recurs() {
		return false, nil
	}
	made, err := getPassport(tx.Query, p.baseURL, last.PassportID)
	if err != nil && caos.KindOf(err) != caos.NotFound {
		return false, err
	}
	if made != nil {
		return false, caos.Errorf(caos.Conflict, "%s %s has its passport for %s: %s, issued on %s", req.ModelID, req.Version, req.Event, made.PassportID, caos.FormatTime(made.IssuedAt)).
			WithField("lifecycle_event").WithRule("passport-once").WithHint("read it at %s", made.Page)
	}
	if !strings.HasPrefix(last.by, "EXEC-") {
		left = p.now().Sub(last.At) > claimLife
	} else if req.Ended != nil {
		if left, err = req.Ended(tx, last.by); err != nil {
			return false, err
		}
	}
	if left {
		return true, nil
	}
	return false, caos.Errorf(caos.Conflict, "%s is being made by %s", last.PassportID, last.by).
		WithField("lifecycle_event").WithRule("passport-once").WithHint("wait for it to end")
}

// Release gives an identifier back whose passport was not made. One that has its passport,
// or is somebody else's, stays as it is, which is no error.
func (p *Passports) Release(tx *db.Tx, passportID, claimedBy string) error {
	tx.Exec(`DELETE FROM passport_claims WHERE passport_id = $1 AND claimed_by = $2
 AND NOT EXISTS (SELECT 1 FROM passports WHERE passports.passport_id = passport_claims.passport_id)`, passportID, claimedBy)
	return tx.Err()
}

// Store writes the two files of a passport, durable and under their digests. Nothing refers
// to them yet: what Insert does not bind is swept.
func (p *Passports) Store(ctx context.Context, d *Document) error {
	for _, f := range []struct {
		bytes  []byte
		digest string
	}{{d.Credential, d.Digest}, {d.Annex, d.AnnexHash}} {
		opt := object.PutOptions{MaxBytes: maxAnnex, ExpectSHA256: f.digest, ExpectSize: int64(len(f.bytes))}
		if _, err := p.objects.Put(ctx, bytes.NewReader(f.bytes), opt); err != nil {
			return err
		}
	}
	return nil
}

// The kinds under which a passport binds its files in the object store.
const (
	objectCredential = "passport"
	objectAnnex      = "passport-annex"
)

// noChain says why a passport has no transaction.
const noChain = "it has no transaction of its own; the audit record of the passport states its digest, and the published checkpoint covers that record"

// Insert keeps a signed and stored passport: the row, the bindings of its files, its first
// line of history, and its audit record.
func (p *Passports) Insert(tx *db.Tx, d Draft, doc *Document, by By) (*Passport, error) {
	if doc.PassportID != d.PassportID {
		return nil, caos.Errorf(caos.Internal, "the files are of %s and not of %s", doc.PassportID, d.PassportID)
	}
	row := &Passport{
		PassportID: d.PassportID, ModelID: d.ModelID, Version: d.Version, Event: d.Event, Occurrence: d.Occurrence,
		CID: doc.CID, URI: doc.URI(), Digest: doc.Digest, Size: int64(len(doc.Credential)), AnnexDigest: doc.AnnexHash, AnnexSize: int64(len(doc.Annex)),
		BaselineID: d.Baseline.BaselineID, RootDigest: d.Baseline.RootDigest, KeyID: doc.KeyID, Issuer: doc.Issuer, IssuedAt: d.At.UTC(),
		IssuedBy: d.IssuedBy, ExecutionID: d.ExecutionID, ChainReason: noChain, Page: p.PageURI(d.PassportID),
		Project: d.Project, Classification: d.Classification, StatusList: d.StatusList, StatusIndex: d.StatusIndex,
	}
	if row.StatusList > 0 {
		row.StatusURI = p.baseURL + StatusPath(row.StatusList)
	}
	receipt, err := p.log.Append(tx, by.record(row, "passport issued", map[string]any{
		"passport_id": row.PassportID, "passport_digest": row.Digest, "annex_digest": row.AnnexDigest, "cid": row.CID, "key_id": row.KeyID,
		"lifecycle_event": row.Event, "baseline_id": row.BaselineID, "root_digest": row.RootDigest,
	}))
	if err != nil {
		return nil, err
	}
	row.RecordID = receipt.ID
	if err := p.publish(tx, row); err != nil {
		return nil, err
	}
	tx.Exec(`INSERT INTO passports (passport_id, model_id, version, event, n, cid, digest, size, annex_digest, annex_size, baseline_id, root_digest,
 key_id, issuer, issued_at, issued_by, execution_id, record_id, chain_tx_id, chain_reason, project, classification,
 public_record_id, status_list, status_index) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,NULL,$19,$20,$21,$22,$23,$24)`,
		row.PassportID, row.ModelID, row.Version, string(row.Event), row.Occurrence, row.CID, row.Digest, row.Size, row.AnnexDigest, row.AnnexSize,
		row.BaselineID, row.RootDigest, row.KeyID, row.Issuer, row.IssuedAt.UnixMicro(), row.IssuedBy, row.ExecutionID, row.RecordID, row.ChainReason,
		row.Project, row.Classification, row.PublicRecordID, row.StatusList, row.StatusIndex)
	for _, f := range []struct {
		kind string
		ref  object.Ref
	}{{objectCredential, object.Ref{Digest: row.Digest, Size: row.Size}}, {objectAnnex, object.Ref{Digest: row.AnnexDigest, Size: row.AnnexSize}}} {
		b := object.Binding{Owner: row.PassportID, Kind: f.kind, Hold: true, Project: row.Project, Classification: row.Classification}
		if err := p.objects.Bind(tx, f.ref, b); err != nil {
			return nil, err
		}
	}
	_, err = history(tx, Entry{PassportID: row.PassportID, Kind: KindIssued, Subject: row.PassportID, At: row.IssuedAt, Actor: row.IssuedBy, ExecutionID: row.ExecutionID})
	if err != nil {
		return nil, err
	}
	if err := p.enterIssued(tx, row); err != nil {
		return nil, err
	}
	return row, p.emit(tx, EventIssued, row)
}

// enterIssued tells the version's other passports of one that says it is out of service.
func (p *Passports) enterIssued(tx *db.Tx, row *Passport) error {
	switch row.Event {
	case Rollback, Retirement:
		return p.Enter(tx, row.ModelID, row.Version, Entry{Kind: string(row.Event), Subject: row.PassportID, At: row.IssuedAt, Actor: row.IssuedBy, ExecutionID: row.ExecutionID})
	}
	return nil
}

// Enter adds a line about a version's being rolled back or retired to the history of its
// passports, but for the one that is the line's subject. Of e, Kind, Subject, Actor and
// ExecutionID count; the same again adds nothing. The caller appends the audit record of what
// happened.
func (p *Passports) Enter(tx *db.Tx, modelID, version string, e Entry) error {
	if e.Kind != KindRollback && e.Kind != KindRetirement {
		return caos.Errorf(caos.Invalid, "%.40q is not entered by itself", e.Kind).WithField("kind")
	}
	if e.At.IsZero() {
		e.At = p.now()
	}
	tx.Exec(`INSERT INTO passport_history (passport_id, kind, subject, happened_at, actor, execution_id)
 SELECT passport_id, CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS BIGINT), CAST($4 AS TEXT), CAST($5 AS TEXT) FROM passports WHERE model_id = $6 AND version = $7 AND passport_id <> $8
 ON CONFLICT (passport_id, kind, subject) DO NOTHING`, e.Kind, e.Subject, e.At.UnixMicro(), e.Actor, e.ExecutionID, modelID, version, e.Subject)
	return tx.Err()
}

// record is the audit record of what happened to a passport.
func (b By) record(row *Passport, what string, details map[string]any) auditlog.Record {
	details["event"] = what
	by := b.RecordedBy
	if by == "" {
		by = b.Actor
	}
	return auditlog.Record{
		Type: auditlog.Data, Actor: b.Actor, RecordedBy: by, Resources: []string{row.PassportID, row.ModelID, row.ModelID + "@" + row.Version, row.BaselineID},
		Details: details, Execution: b.Execution, Hook: b.Hook, Project: row.Project, Classification: row.Classification,
	}
}

// history adds a line, and reports whether it is new.
func history(tx *db.Tx, e Entry) (bool, error) {
	n, err := tx.ExecRows(`INSERT INTO passport_history (passport_id, kind, subject, happened_at, actor, execution_id) VALUES ($1,$2,$3,$4,$5,$6)
 ON CONFLICT (passport_id, kind, subject) DO NOTHING`, e.PassportID, e.Kind, e.Subject, e.At.UnixMicro(), e.Actor, e.ExecutionID)
	return n == 1, err
}

// Index brings the index up to date with a passport: which is the latest of its model,
// version and event, and how many there are. The figures are counted, not added up, so
// doing it twice changes nothing.
func (p *Passports) Index(tx *db.Tx, passportID string) error {
	row, err := getPassport(tx.Query, p.baseURL, passportID)
	if err != nil {
		return err
	}
	var count, at int64
	var latest string
	err = tx.QueryRow(`SELECT COUNT(*) FROM passports WHERE model_id = $1 AND version = $2 AND event = $3`, row.ModelID, row.Version, string(row.Event)).Scan(&count)
	if err != nil {
		return err
	}
	err = tx.QueryRow(`SELECT passport_id, issued_at FROM passports WHERE model_id = $1 AND version = $2 AND event = $3
 ORDER BY issued_at DESC, n DESC LIMIT 1`, row.ModelID, row.Version, string(row.Event)).Scan(&latest, &at)
	if err != nil {
		return err
	}
	tx.Exec(`INSERT INTO passport_index (model_id, version, event, passport_id, issued_at, passports) VALUES ($1,$2,$3,$4,$5,$6)
 ON CONFLICT (model_id, version, event) DO UPDATE SET passport_id = excluded.passport_id, issued_at = excluded.issued_at, passports = excluded.passports`,
		row.ModelID, row.Version, string(row.Event), latest, at, count)
	return tx.Err()
}

// EvidenceRef is an item of evidence that is to be linked.
type EvidenceRef struct {
	ID      string
	Project string // of the package that it is in; "" belongs to all
}

// LinkEvidence adds an item of evidence to the history of the model's latest passport. It
// reports false, and changes nothing, if the model has none, or one of another project:
// nobody enters anything into the passport of what is not theirs to see.
func (p *Passports) LinkEvidence(tx *db.Tx, modelID string, item EvidenceRef, by By) (bool, error) {
	row, err := latestOf(tx, p.baseURL, modelID)
	if err != nil || row == nil || item.Project != "" && item.Project != row.Project {
		return false, err
	}
	evidenceID := item.ID
	added, err := history(tx, Entry{PassportID: row.PassportID, Kind: KindEvidence, Subject: evidenceID, At: p.now(), Actor: by.Actor, ExecutionID: by.Execution})
	if err != nil || !added {
		return err == nil, err
	}
	rec := by.record(row, "evidence linked to passport", map[string]any{"passport_id": row.PassportID, "evidence_id": evidenceID})
	_, err = p.log.Append(tx, rec)
	return true, err
}

// Exists reports whether a model has a passport.
func (p *Passports) Exists(tx *db.Tx, modelID string) (bool, error) {
	row, err := latestOf(tx, p.baseURL, modelID)
	return row != nil, err
}

func latestOf(tx *db.Tx, baseURL, modelID string) (row *Passport, err error) {
	err = tx.Query(`SELECT `+columns+` FROM passports WHERE model_id = $1 ORDER BY issued_at DESC, passport_id DESC LIMIT 1`, []any{modelID},
		func(scan func(...any) error) (err error) {
			row, err = scanPassport(baseURL, scan)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("dpp: latest passport of %s: %w", modelID, err)
	}
	return row, nil
}
