package dpp

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/codec"
	"caos/internal/db"
	"caos/internal/verify"
)

// A passport that must not be relied on any more is revoked. Its signature stays what it is;
// that it counts no more stands in a status list, which the passport names from the day it is
// signed. Lists are signed by the passport key and served to anybody.

// statusBits is how many places a list has, and statusFull how many of them are given before
// the next list begins: half, so that a free one is found in a few draws.
const (
	statusBits = verify.MinStatusBits
	statusFull = statusBits / 2
)

// Ages of a signed list. It says itself until when it may be relied on, because an old one
// would hide what was revoked since; it is made anew long before.
const (
	statusStep = 6 * time.Hour
	statusLife = 24 * time.Hour
)

// maxReason is the most characters of why a passport was revoked.
const maxReason = 500

// StatusPath is where a status list is.
func StatusPath(list int64) string { return "/dpp/status/" + strconv.FormatInt(list, 10) }

// StatusList is a signed status list.
type StatusList struct {
	List       int64
	Credential []byte // application/vc, canonical JSON
	Digest     string // of Credential
	ValidFrom  time.Time
	ValidUntil time.Time
	keyID      string
	changed    int64 // state of the list that it tells of; see Revoke
}

// place draws a free place for a passport. That it is drawn, and from a list that is never
// more than half full, keeps two passports' places from telling which is the older.
func (p *Passports) place(tx *db.Tx, passportID string, at time.Time) (list, place int64, err error) {
	var taken int64
	err = tx.Query(`SELECT list, taken FROM passport_status_lists ORDER BY list DESC LIMIT 1`, nil, func(scan func(...any) error) error { return scan(&list, &taken) })
	if err != nil {
		return 0, 0, err
	}
	if list == 0 || taken >= statusFull {
		list++
		tx.Exec(`INSERT INTO passport_status_lists (list, taken, changed_at) VALUES ($1, 0, $2)`, list, at.UnixMicro())
	}
	for range 64 { // half are free: 2^-64 that none is found
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails, says its documentation
		place = int64(binary.BigEndian.Uint64(b[:]) % statusBits)
		n, err := tx.ExecRows(`INSERT INTO passport_status_places (list, place, passport_id) VALUES ($1, $2, $3) ON CONFLICT (list, place) DO NOTHING`, list, place, passportID)
		if err != nil {
			return 0, 0, err
		}
		if n == 1 {
			tx.Exec(`UPDATE passport_status_lists SET taken = taken + 1 WHERE list = $1`, list)
			return list, place, tx.Err()
		}
	}
	return 0, 0, caos.Errorf(caos.Internal, "no free place was found in status list %d", list)
}

// Revoke says that a passport must not be relied on any more, for good. Errors: Invalid,
// NotFound; Conflict if it was revoked before.
func (p *Passports) Revoke(tx *db.Tx, passportID, reason string, by By) (*Passport, error) {
	reason = strings.TrimSpace(reason)
	if n := len([]rune(reason)); n == 0 || n > maxReason || strings.ContainsRune(reason, 0) {
		return nil, caos.Errorf(caos.Invalid, "a passport is revoked with a reason of 1 to %d characters", maxReason).WithField("reason")
	}
	row, err := getPassport(tx.Query, p.baseURL, passportID)
	if err != nil {
		return nil, err
	}
	if row.Revoked() {
		return nil, caos.Errorf(caos.Conflict, "%s was revoked on %s by %s", passportID, caos.FormatTime(*row.RevokedAt), row.RevokedBy).
			WithField("passport_id").WithRule("passport-revoked")
	}
	at := p.now()
	receipt, err := p.log.Append(tx, by.record(row, "passport revoked", map[string]any{
		"passport_id": passportID, "passport_digest": row.Digest, "reason": reason, "status_list": row.StatusList, "status_index": row.StatusIndex,
	}))
	if err != nil {
		return nil, err
	}
	tx.Exec(`UPDATE passports SET revoked_at = $1, revoked_by = $2, revoke_reason = $3 WHERE passport_id = $4`, at.UnixMicro(), by.Actor, reason, passportID)
	// Lists that are signed already are known by this to be old, so no two changes may have the
	// same, nor a later one less, whatever the clocks of our nodes say.
	tx.Exec(`UPDATE passport_status_lists SET changed_at = CASE WHEN changed_at < $1 THEN $1 ELSE changed_at + 1 END WHERE list = $2`, at.UnixMicro(), row.StatusList)
	row.RevokedAt, row.RevokedBy, row.RevokeReason = &at, by.Actor, reason
	if _, err := history(tx, Entry{PassportID: passportID, Kind: KindRevoked, Subject: receipt.ID, At: at, Actor: by.Actor, ExecutionID: by.Execution}); err != nil {
		return nil, err
	}
	return row, p.emit(tx, EventRevoked, row)
}

// Status returns a signed status list, or a NotFound error. It is signed when it is first
// asked for, and again when a passport was revoked, the key changed or hours have passed.
func (p *Passports) Status(ctx context.Context, list int64) (*StatusList, error) {
	var changed int64
	err := p.pool(ctx)(`SELECT changed_at FROM passport_status_lists WHERE list = $1`, []any{list}, func(scan func(...any) error) error { return scan(&changed) })
	if err != nil {
		return nil, err
	}
	if changed == 0 {
		return nil, caos.Errorf(caos.NotFound, "there is no such status list").WithField("list")
	}
	from := p.now().Truncate(statusStep) // the same on every node
	if at := time.UnixMicro(changed).UTC(); at.After(from) {
		from = at
	}
	signer, _, err := p.signer()
	if err != nil {
		return nil, err
	}
	p.listsMu.Lock()
	kept := p.lists[list]
	p.listsMu.Unlock()
	// Its time alone would not do: a revocation may have been committed since which began before.
	if kept != nil && kept.ValidFrom.Equal(from) && kept.changed == changed && kept.keyID == signer.KeyID() {
		return kept, nil
	}
	made, err := p.signStatus(ctx, list, from)
	if err != nil {
		return nil, err
	}
	made.changed = changed // read before the bits: they may be newer, never older
	p.listsMu.Lock()
	p.lists[list] = made
	p.listsMu.Unlock()
	return made, nil
}

// statusCredential is a status list before it is signed.
type statusCredential struct {
	Context    []string       `json:"@context"`
	ID         string         `json:"id"`
	Type       []string       `json:"type"`
	Issuer     string         `json:"issuer"`
	ValidFrom  string         `json:"validFrom"`
	ValidUntil string         `json:"validUntil"`
	Subject    map[string]any `json:"credentialSubject"`
}

func (p *Passports) signStatus(ctx context.Context, list int64, from time.Time) (*StatusList, error) {
	bits := make([]byte, statusBits/8)
	err := p.pool(ctx)(`SELECT status_index FROM passports WHERE status_list = $1 AND revoked_at IS NOT NULL`, []any{list}, func(scan func(...any) error) error {
		var place int64
		if err := scan(&place); err != nil {
			return err
		}
		if place < 0 || place >= statusBits {
			return caos.Errorf(caos.Internal, "place %d is in no status list", place)
		}
		verify.SetStatus(bits, place)
		return nil
	})
	if err != nil {
		return nil, err
	}
	folded, err := verify.FoldStatus(bits)
	if err != nil {
		return nil, err
	}
	signer, did, err := p.signer()
	if err != nil {
		return nil, err
	}
	id, until := p.baseURL+StatusPath(list), from.Add(statusLife)
	unsecured, err := codec.Canonical(statusCredential{
		Context: []string{verify.CredentialContext}, ID: id, Type: []string{verify.CredentialType, verify.StatusListType}, Issuer: did,
		ValidFrom: caos.FormatTime(from), ValidUntil: caos.FormatTime(until),
		Subject: map[string]any{"id": id + "#list", "type": verify.StatusSubjectType, "statusPurpose": verify.StatusRevocation, "encodedList": folded},
	})
	if err != nil {
		return nil, err
	}
	signed, err := secure(ctx, signer, did, unsecured, from)
	if err != nil {
		return nil, err
	}
	return &StatusList{List: list, Credential: signed, Digest: digestOf(signed), ValidFrom: from, ValidUntil: until, keyID: signer.KeyID()}, nil
}
