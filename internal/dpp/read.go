package dpp

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"caos"
	"caos/internal/db"
)

// query reads rows, from the read pool or inside a transaction.
type query = db.Query

func (p *Passports) pool(ctx context.Context) query {
	return p.db.Reader(ctx)
}

const columns = `passport_id, model_id, version, event, n, cid, digest, size, annex_digest, annex_size, baseline_id, root_digest, key_id, issuer,
 issued_at, issued_by, execution_id, record_id, chain_tx_id, chain_reason, project, classification, public_record_id, chain_id, chain_block,
 status_list, status_index, revoked_at, revoked_by, revoke_reason`

func scanPassport(baseURL string, scan func(...any) error) (*Passport, error) {
	var p Passport
	var at int64
	var tx sql.NullString
	var revoked sql.NullInt64
	err := scan(&p.PassportID, &p.ModelID, &p.Version, &p.Event, &p.Occurrence, &p.CID, &p.Digest, &p.Size, &p.AnnexDigest, &p.AnnexSize, &p.BaselineID,
		&p.RootDigest, &p.KeyID, &p.Issuer, &at, &p.IssuedBy, &p.ExecutionID, &p.RecordID, &tx, &p.ChainReason, &p.Project, &p.Classification,
		&p.PublicRecordID, &p.ChainID, &p.ChainBlock, &p.StatusList, &p.StatusIndex, &revoked, &p.RevokedBy, &p.RevokeReason)
	if err != nil {
		return nil, fmt.Errorf("dpp: read passport: %w", err)
	}
	p.IssuedAt, p.URI, p.Page = time.UnixMicro(at).UTC(), "ipfs://"+p.CID, baseURL+PagePath(p.PassportID)
	if tx.Valid {
		p.ChainTxID = &tx.String
	}
	if revoked.Valid {
		at := time.UnixMicro(revoked.Int64).UTC()
		p.RevokedAt = &at
	}
	if p.StatusList > 0 {
		p.StatusURI = baseURL + StatusPath(p.StatusList)
	}
	return &p, nil
}

func getPassport(q query, baseURL, id string) (*Passport, error) {
	return one(q, baseURL, `passport_id = $1`, id)
}

// plain reports whether a text could be an identifier: what could not be one is not asked
// for, because a database may refuse the very text.
func plain(id string) bool {
	return len(id) <= 128 && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._:", r)
	})
}

func one(q query, baseURL, where, arg string) (row *Passport, err error) {
	if !plain(arg) {
		return nil, absent()
	}
	err = q(`SELECT `+columns+` FROM passports WHERE `+where, []any{arg}, func(scan func(...any) error) (err error) {
		row, err = scanPassport(baseURL, scan)
		return err
	})
	if err != nil {
		return nil, err
	}
	if row == nil {
		return nil, absent()
	}
	return row, nil
}

func absent() error {
	return caos.Errorf(caos.NotFound, "there is no such passport").WithField("passport_id").WithHint("GET /v1/passports lists them")
}

// Get returns a passport, or a NotFound error.
func (p *Passports) Get(ctx context.Context, id string) (*Passport, error) {
	return getPassport(p.pool(ctx), p.baseURL, id)
}

// ByCID returns the passport whose credential has a content identifier, or a NotFound error.
func (p *Passports) ByCID(ctx context.Context, cid string) (*Passport, error) {
	return one(p.pool(ctx), p.baseURL, `cid = $1`, cid)
}

// Credential returns the signed credential of a passport, byte for byte, checked against
// its digest.
func (p *Passports) Credential(row *Passport) ([]byte, error) { return p.bytes(row.Digest) }

// Annex returns the annex of a passport, byte for byte, checked against its digest. It is
// for whoever has passport:read alone.
func (p *Passports) Annex(row *Passport) ([]byte, error) { return p.bytes(row.AnnexDigest) }

func (p *Passports) bytes(digest string) ([]byte, error) {
	f, size, err := p.objects.VerifyReader(digest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > maxAnnex {
		return nil, caos.Errorf(caos.Internal, "the stored file of a passport has %d bytes", size)
	}
	return io.ReadAll(f)
}

// Filter chooses passports; empty fields match all.
type Filter struct {
	ModelID string
	Version string
	Event   Event
	Project string
	Latest  bool // of each model, version and event only the latest
	Limit   int  // of a page; 0 means 100, the most is 1000
}

// List lists passports, latest first. cursor is "" and then the one returned. Errors:
// Invalid naming the field of the API.
func (p *Passports) List(ctx context.Context, f Filter, cursor string) ([]*Passport, string, error) {
	for _, one := range []struct{ field, text string }{{"model_id", f.ModelID}, {"model_version", f.Version}, {"lifecycle_event", string(f.Event)}} {
		if !plain(one.text) {
			return nil, "", caos.Errorf(caos.Invalid, "%.80q is not an identifier", one.text).WithField(one.field)
		}
	}
	if strings.ContainsRune(f.Project, 0) || !utf8.ValidString(f.Project) {
		return nil, "", caos.Errorf(caos.Invalid, "%.80q is not a project", f.Project).WithField("project")
	}
	w := new(db.Where)
	w.Is("model_id", f.ModelID)
	w.Is("version", f.Version)
	w.Is("event", string(f.Event))
	w.Is("project", f.Project)
	if f.Latest {
		w.And(`passport_id IN (SELECT passport_id FROM passport_index)`)
	}
	return db.Page(p.pool(ctx), w, db.Listing[*Passport]{Columns: columns, From: "passports", At: "issued_at", ID: "passport_id", Limit: f.Limit,
		Scan: func(row func(...any) error) (*Passport, error) { return scanPassport(p.baseURL, row) },
		Key:  func(one *Passport) (time.Time, string) { return one.IssuedAt, one.PassportID },
	}, cursor)
}

// ByModel lists the passports of a model, latest first.
func (p *Passports) ByModel(ctx context.Context, modelID, cursor string) ([]*Passport, string, error) {
	return p.List(ctx, Filter{ModelID: modelID}, cursor)
}

// History lists what happened to a passport, latest first. limit 0 means 100.
func (p *Passports) History(ctx context.Context, id string, limit int, cursor string) ([]Entry, string, error) {
	return p.history(ctx, id, "", limit, cursor)
}

func (p *Passports) history(ctx context.Context, id, kind string, limit int, cursor string) ([]Entry, string, error) {
	if !plain(id) {
		return nil, "", absent()
	}
	w := new(db.Where)
	w.Is("passport_id", id)
	w.Is("kind", kind)
	return db.Page(p.pool(ctx), w, db.Listing[Entry]{Columns: "passport_id, kind, subject, happened_at, actor, execution_id",
		From: "passport_history", At: "happened_at", ID: "subject", Limit: limit, Scan: scanEntry,
		Key: func(e Entry) (time.Time, string) { return e.At, e.Subject },
	}, cursor)
}

func scanEntry(scan func(...any) error) (Entry, error) {
	var e Entry
	var at int64
	err := scan(&e.PassportID, &e.Kind, &e.Subject, &at, &e.Actor, &e.ExecutionID)
	e.At = time.UnixMicro(at).UTC()
	return e, err
}

// Linked counts the items of evidence in a passport's history.
func (p *Passports) Linked(ctx context.Context, id string) (n int64, err error) {
	err = p.db.QueryRow(ctx, `SELECT COUNT(*) FROM passport_history WHERE passport_id = $1 AND kind = $2`, id, KindEvidence).Scan(&n)
	return n, err
}
