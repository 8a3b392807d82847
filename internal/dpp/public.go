package dpp

import (
	"context"
	"encoding/base64"
	"slices"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/event"
	"caos/internal/verify"
)

// Public reports whether anybody may know of what has a classification. What is not
// classified is Internal, and passports of what is Internal are public.
func Public(classification string) bool {
	return slices.Contains([]string{"", "Public", "Internal"}, classification)
}

// publish appends the record of a passport that may be shown to anybody, beside the one that
// says who did it. The record of a passport that is not public keeps its need-to-know.
func (p *Passports) publish(tx *db.Tx, row *Passport) error {
	rec := auditlog.Record{Type: auditlog.Data, Actor: system, Resources: []string{row.PassportID}, Details: map[string]any{
		"event": "passport", "passport_id": row.PassportID, "credential_digest": row.Digest, "annex_digest": row.AnnexDigest, "cid": row.CID,
	}}
	if !Public(row.Classification) {
		rec.Project, rec.Classification = row.Project, row.Classification
	}
	receipt, err := p.log.Append(tx, rec)
	if err != nil {
		return err
	}
	row.PublicRecordID = receipt.ID
	return nil
}

// PublishMissing appends the public records of passports that were issued before there were
// any, and returns how many. It is done when the server starts.
func (p *Passports) PublishMissing(ctx context.Context) (n int, err error) {
	for {
		var ids []string
		err := p.pool(ctx)(`SELECT passport_id FROM passports WHERE public_record_id = '' ORDER BY passport_id LIMIT 50`, nil, func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			ids = append(ids, id)
			return err
		})
		if err != nil || len(ids) == 0 {
			return n, err
		}
		made := 0
		err = p.db.Update(ctx, func(tx *db.Tx) error {
			made = 0
			for _, id := range ids {
				row, err := getPassport(tx.Query, p.baseURL, id)
				if err != nil {
					return err
				}
				if row.PublicRecordID != "" {
					continue // another node did
				}
				if err := p.publish(tx, row); err != nil {
					return err
				}
				tx.Exec(`UPDATE passports SET public_record_id = $1 WHERE passport_id = $2`, row.PublicRecordID, id)
				made++
			}
			return tx.Err()
		})
		if err != nil {
			return n, err
		}
		n += made
	}
}

// Proof returns what shows anybody that the audit log has a passport: its public record and
// the proof of it in the tree of the freshest checkpoint. Errors: NotFound for a passport
// whose public record was not made yet; Unavailable while the log signs no checkpoints.
func (p *Passports) Proof(ctx context.Context, row *Passport) (*verify.PassportProof, error) {
	if row.PublicRecordID == "" {
		return nil, caos.Errorf(caos.NotFound, "%s has no public record yet", row.PassportID).WithField("passport_id").
			WithHint("it was issued by an earlier version; its record is made when the server has been running for a while")
	}
	s, err := p.log.Get(ctx, row.PublicRecordID)
	if err != nil {
		return nil, err
	}
	text, err := p.log.ProveStored(ctx, s)
	if err != nil {
		return nil, err
	}
	proof, err := verify.ParseProof(text)
	if err != nil {
		return nil, caos.Wrap(caos.Internal, err, "the proof of %s cannot be read", s.ID)
	}
	return &verify.PassportProof{
		PassportID: row.PassportID, RecordID: s.ID, Record: string(s.Record), Salt: base64.StdEncoding.EncodeToString(s.Salt[:]),
		Leaf: string(s.Leaf), Index: s.Index, Proof: string(text), Checkpoint: string(proof.Checkpoint),
	}, nil
}

// emit tells others what happened to a passport.
func (p *Passports) emit(tx *db.Tx, kind string, row *Passport) error {
	if p.events == nil {
		return nil
	}
	return p.events.Emit(tx, event.Event{Type: kind, Subject: row.PassportID, Project: row.Project, Classification: row.Classification,
		Data: Issued{PassportID: row.PassportID, ModelID: row.ModelID, Version: row.Version, Event: row.Event, CID: row.CID}})
}
