package auth

import (
	"context"
	"database/sql"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
)

// The parameters that every authenticator app understands (RFC 6238 with its defaults).
const (
	totpPeriod  = 30 // seconds
	totpSecret  = 20 // bytes
	totpSkew    = 1  // steps before and after the server's that count
	totpContext = "totp:"

	freeAttempts = 5                // wrong codes in a row before waiting begins
	firstWait    = 30 * time.Second // doubled with each further wrong code
	longestWait  = 15 * time.Minute
)

// step returns the step that a code stands for, if it is one of those that count now and
// later than last. Both are the number of 30-second periods since 1970.
func step(secret, code string, now time.Time, last int64) (int64, bool) {
	at := now.Unix() / totpPeriod
	found, ok := int64(0), false
	for n := at - totpSkew; n <= at+totpSkew; n++ {
		if n < 0 {
			continue
		}
		// Every step is tried, so that the time taken does not say which one matched.
		match, err := hotp.ValidateCustom(code, uint64(n), secret, hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && match && n > last && !ok {
			found, ok = n, true
		}
	}
	return found, ok
}

// verdict is what became of one attempt.
type verdict int

const (
	accepted verdict = iota
	notEnrolled
	locked
	wrong
)

// attempt counts an attempt and checks the code, in one committed transaction of its own:
// of any number of requests with the same code, on any node, one is accepted. column is
// "secret" or "pending".
func (a *Auth) attempt(ctx context.Context, user, code, column string) (v verdict, wait time.Duration, err error) {
	now := a.o.Now()
	err = a.o.DB.Write(ctx, func(tx *db.Tx) error {
		v, wait = wrong, 0
		var sealed []byte
		var last, retry int64
		var failed int64
		// The row is locked from here on, and the attempt counts already.
		query := `UPDATE totp SET failures = failures + 1 WHERE user_id = $1 AND retry_at <= $2 RETURNING ` + column + `, last_step, failures, retry_at`
		err := tx.QueryRow(query, user, now.UnixMicro()).Scan(&sealed, &last, &failed, &retry)
		if errors.Is(err, sql.ErrNoRows) {
			v, wait, err = a.noAttempt(tx, user, now)
			return err
		}
		if err != nil {
			return err
		}
		if len(sealed) == 0 {
			v = notEnrolled
			tx.Exec(`UPDATE totp SET failures = failures - 1 WHERE user_id = $1`, user)
			return nil
		}
		secret, err := a.o.Sealer.Open(totpContext+user, sealed)
		if err != nil {
			return err
		}
		if n, ok := step(string(secret), code, now, last); ok {
			v = accepted
			tx.Exec(`UPDATE totp SET last_step = $1, failures = 0, retry_at = 0 WHERE user_id = $2`, n, user)
			return nil
		}
		if failed >= freeAttempts {
			wait = min(firstWait<<min(failed-freeAttempts, 10), longestWait)
			tx.Exec(`UPDATE totp SET retry_at = $1 WHERE user_id = $2`, now.Add(wait).UnixMicro(), user)
		}
		return nil
	})
	return v, wait, err
}

func (a *Auth) noAttempt(tx *db.Tx, user string, now time.Time) (verdict, time.Duration, error) {
	var retry int64
	err := tx.QueryRow(`SELECT retry_at FROM totp WHERE user_id = $1`, user).Scan(&retry)
	if errors.Is(err, sql.ErrNoRows) {
		return notEnrolled, 0, nil
	}
	// A clock that was set back must not lock anyone out for longer than the longest wait.
	wait := time.UnixMicro(retry).Sub(now)
	if wait > longestWait {
		tx.Exec(`UPDATE totp SET retry_at = $1 WHERE user_id = $2`, now.Add(longestWait).UnixMicro(), user)
		wait = longestWait
	}
	return locked, wait, err
}

// useCode spends the code of a header on this one request.
func (a *Auth) useCode(ctx context.Context, p caos.Principal, header string, digest []byte) error {
	code, err := parseMFA(header)
	if err != nil {
		return err
	}
	v, wait, err := a.attempt(ctx, p.ID, code, "secret")
	if err != nil {
		return unavailable(err)
	}
	return a.judge(ctx, p, v, wait, digest)
}

// judge turns a verdict into an answer, and records a wrong code: whoever sent it holds a
// valid token. Waiting bounds how many records that can be.
func (a *Auth) judge(ctx context.Context, p caos.Principal, v verdict, wait time.Duration, digest []byte) error {
	const field = "CAOS-MFA"
	switch v {
	case accepted:
		return nil
	case notEnrolled:
		return caos.Errorf(caos.Unauthenticated, "this account has no second factor").WithField(field).
			WithHint("enrol one first: caos user totp")
	case locked:
		return caos.Errorf(caos.Limited, "too many wrong codes").WithField(field).
			WithHint("try again in %s", wait.Round(time.Second))
	}
	details := map[string]any{"request": hex.EncodeToString(digest)}
	if len(digest) > 64 {
		details["request"] = hex.EncodeToString(digest[:64])
	}
	err := a.o.DB.Update(ctx, func(tx *db.Tx) error {
		_, err := a.o.Log.Append(tx, a.record(auditlog.Access, p, "second-factor-refused", details, p.ID))
		return err
	})
	return errors.Join(caos.Errorf(caos.Unauthenticated, "the code is wrong, or was used already").WithField(field).
		WithHint("wait for the next code; each counts once"), err)
}

// TOTPSecret is a fresh second factor. It is shown once.
type TOTPSecret struct {
	Secret string `json:"secret"` // base32
	URI    string `json:"uri"`    // otpauth://…, for a QR code
}

func (a *Auth) newTOTP(user string) (TOTPSecret, []byte, error) {
	var b [totpSecret]byte
	if _, err := io.ReadFull(a.o.Random, b[:]); err != nil {
		return TOTPSecret{}, nil, fmt.Errorf("random bytes: %w", err)
	}
	secret := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])
	sealed, err := a.o.Sealer.Seal(totpContext+user, []byte(secret))
	q := url.Values{"secret": {secret}, "issuer": {a.o.Origin}, "period": {"30"}, "digits": {"6"}, "algorithm": {"SHA1"}}
	uri := url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + a.o.Origin + ":" + user, RawQuery: q.Encode()}
	return TOTPSecret{Secret: secret, URI: uri.String()}, sealed, err
}

// EnrolTOTP gives p a second factor, which counts once ConfirmTOTP has seen a code of it.
// Replacing one that counts is sensitive; until the new one is confirmed the old one
// stays.
func (a *Auth) EnrolTOTP(ctx context.Context, p caos.Principal) (TOTPSecret, error) {
	secret, sealed, err := a.newTOTP(p.ID)
	if err != nil {
		return TOTPSecret{}, err
	}
	err = a.change(ctx, func(tx *db.Tx) (auditlog.Record, error) {
		has, err := hasTOTP(tx, p.ID)
		if err != nil {
			return auditlog.Record{}, err
		}
		action := "totp:enrol"
		if has {
			action = "totp:replace"
		}
		if err := a.Authorize(tx, p, action, account(p.ID), nil); err != nil {
			return auditlog.Record{}, err
		}
		tx.Exec(`INSERT INTO totp (user_id, pending, last_step, failures, retry_at, changed_at) VALUES ($1, $2, 0, 0, 0, $3)
  ON CONFLICT (user_id) DO UPDATE SET pending = excluded.pending, changed_at = excluded.changed_at`, p.ID, sealed, a.micro())
		return a.record(auditlog.Access, p, "second-factor-offered", nil, p.ID), nil
	})
	return secret, err
}

// ConfirmTOTP makes the secret of EnrolTOTP p's second factor, given one of its codes,
// which is thereby used.
func (a *Auth) ConfirmTOTP(ctx context.Context, p caos.Principal, code string) error {
	if _, err := parseMFA("totp " + code); err != nil {
		return caos.Errorf(caos.Invalid, "a code is six digits").WithField("code").WithHint("send the current code of the authenticator")
	}
	if err := a.Allow(p, "totp:enrol", account(p.ID)); err != nil {
		return errors.Join(err, a.RecordRefusal(ctx, err))
	}
	v, wait, err := a.attempt(ctx, p.ID, code, "pending")
	if err != nil {
		return unavailable(err)
	}
	if v == notEnrolled {
		return caos.Errorf(caos.Conflict, "no second factor waits for confirmation").WithHint("enrol one first: caos user totp")
	}
	if err := a.judge(ctx, p, v, wait, nil); err != nil {
		return err
	}
	return a.change(ctx, func(tx *db.Tx) (auditlog.Record, error) {
		if err := a.Authorize(tx, p, "totp:enrol", account(p.ID), nil); err != nil {
			return auditlog.Record{}, err
		}
		none := caos.Errorf(caos.Conflict, "the second factor was confirmed or replaced meanwhile").WithHint("enrol again if it does not work")
		tx.ExecOne(none, `UPDATE totp SET secret = pending, pending = NULL, changed_at = $1 WHERE user_id = $2 AND pending IS NOT NULL`, a.micro(), p.ID)
		return a.record(auditlog.Access, p, "second-factor-enrolled", nil, p.ID), nil
	})
}

// ResetTOTP takes away the second factor of another, who lost it. They enrol a new one
// with their token; until then nothing sensitive is open to them.
func (a *Auth) ResetTOTP(ctx context.Context, by caos.Principal, user string) error {
	if err := caos.CheckID("user", "user", user); err != nil {
		return err
	}
	return a.change(ctx, func(tx *db.Tx) (auditlog.Record, error) {
		if err := a.Authorize(tx, by, "totp:reset", account(user), nil); err != nil {
			return auditlog.Record{}, err
		}
		tx.ExecOne(caos.Errorf(caos.NotFound, "%s has no second factor", user),
			`UPDATE totp SET secret = NULL, pending = NULL, changed_at = $1 WHERE user_id = $2 AND (secret IS NOT NULL OR pending IS NOT NULL)`, a.micro(), user)
		return a.record(auditlog.Access, by, "second-factor-reset", nil, user), nil
	})
}

func hasTOTP(tx *db.Tx, user string) (bool, error) {
	var n int64
	err := tx.QueryRow(`SELECT COUNT(*) FROM totp WHERE user_id = $1 AND secret IS NOT NULL`, user).Scan(&n)
	return n > 0, err
}

func account(id string) Resource { return Resource{Type: "Account", ID: id, Owner: id} }

func (a *Auth) micro() int64 { return a.o.Now().UnixMicro() }
