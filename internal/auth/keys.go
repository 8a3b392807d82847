package auth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/verify"
)

// KeyNamespace is the SSH signature namespace of enrolments. A signature made for it
// counts for nothing else, and none made for anything else counts as one.
const KeyNamespace = "caos-key@v1"

// Life of a personal key.
const (
	KeyEnrolled    = "enrolled"    // its holder showed possession; it counts for nothing yet
	KeyActive      = "active"      // a second person vouched for it; it counts from that record on
	KeyRevoked     = "revoked"     // it counts up to the record that ended it
	KeyCompromised = "compromised" // it counts up to the moment stated
)

const (
	statementAge = 10 * time.Minute // how old an enrolment statement may be, and how far ahead
	maxPublicKey = 1024
	maxSignature = 4096
	maxKeys      = 20 // keys of one person that are enrolled or active
)

// PersonalKey is a person's SSH key.
type PersonalKey struct {
	ID               string     `json:"key_id"` // "personal-" and 16 hex digits of the key's SHA-256
	User             string     `json:"user"`
	PublicKey        string     `json:"public_key"`  // authorized_keys form, without comment
	Fingerprint      string     `json:"fingerprint"` // as ssh-keygen -l prints it
	Status           string     `json:"status"`
	EnrolledAt       time.Time  `json:"enrolled_at"`
	EnrolRecord      string     `json:"enrol_record"`
	CountersignedBy  string     `json:"countersigned_by,omitempty"`
	ActiveAt         *time.Time `json:"active_at"`
	ActiveRecord     string     `json:"active_record,omitempty"`
	EndedAt          *time.Time `json:"ended_at"`
	EndedBy          string     `json:"ended_by,omitempty"`
	EndedRecord      string     `json:"ended_record,omitempty"`
	CompromisedSince *time.Time `json:"compromised_since,omitempty"`
}

// KeyStatement is what the holder of a key signs with it to enrol it. The fields are in
// the order of their names and need no escaping, so encoding/json writes them canonically.
type KeyStatement struct {
	Origin    string `json:"origin"` // of the installation's log
	Person    string `json:"person"`
	PublicKey string `json:"public_key"`
	Time      string `json:"time"` // caos.TimeLayout
	Type      string `json:"type"` // "personal-key-enrolment"
	V         int    `json:"v"`    // 1
}

const keyStatementType = "personal-key-enrolment"

// NewKeyStatement returns the bytes to sign (ssh-keygen -Y sign -n caos-key@v1) to enrol a
// public key given in authorized_keys form; a comment in it is dropped.
func NewKeyStatement(origin, person, publicKey string, now time.Time) ([]byte, error) {
	pub, err := parsePublicKey(publicKey)
	if err != nil {
		return nil, err
	}
	return encodeStatement(KeyStatement{Origin: origin, Person: person, PublicKey: pub.String(), Time: caos.FormatTime(now), Type: keyStatementType, V: 1})
}

// encodeStatement writes a statement in its one spelling.
func encodeStatement(s KeyStatement) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// parsePublicKey accepts one Ed25519 or ECDSA P-256 key, also of a hardware token.
func parsePublicKey(text string) (verify.SSHKey, error) {
	k, err := verify.ParseSSHKey(text)
	if err != nil || len(text) > maxPublicKey || strings.ContainsAny(strings.TrimSpace(text), "\r\n") {
		return k, caos.Wrap(caos.Invalid, err, "not one SSH public key").WithField("public_key").
			WithHint("give the line of a .pub file, as ssh-keygen -t ed25519 makes it")
	}
	if !slices.Contains(keyTypes(), k.Type) {
		return k, caos.Errorf(caos.Invalid, "keys of type %s are not accepted", k.Type).WithField("public_key").
			WithHint("use one of %s", strings.Join(keyTypes(), ", "))
	}
	return k, nil
}

func keyTypes() []string {
	return []string{"ssh-ed25519", "ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"}
}

func keyID(k verify.SSHKey) string {
	sum := sha256.Sum256(k.Blob)
	return "personal-" + hex.EncodeToString(sum[:8])
}

// EnrolKey takes in a person's own key: statement is what NewKeyStatement made for them
// within the last ten minutes, signature its SSH signature by that key. The key counts
// only after CountersignKey.
func (a *Auth) EnrolKey(ctx context.Context, p caos.Principal, statement, signature []byte) (PersonalKey, error) {
	s, pub, err := a.checkStatement(p, statement, signature)
	if err != nil {
		return PersonalKey{}, err
	}
	k := PersonalKey{ID: keyID(pub), User: p.ID, PublicKey: s.PublicKey, Fingerprint: pub.Fingerprint(), Status: KeyEnrolled}
	err = a.changeKey(ctx, func(tx *db.Tx) (auditlog.Record, func(string), error) {
		if err := a.Authorize(tx, p, "key:enrol", Resource{Type: "Key", ID: k.ID, Owner: p.ID}, nil); err != nil {
			return auditlog.Record{}, nil, err
		}
		var n int64
		if err := tx.QueryRow(`SELECT COUNT(*) FROM personal_keys WHERE user_id = $1 AND status IN ('enrolled', 'active')`, p.ID).Scan(&n); err != nil {
			return auditlog.Record{}, nil, err
		}
		if n >= maxKeys {
			return auditlog.Record{}, nil, caos.Errorf(caos.Limited, "%s has %d keys", p.ID, n).WithHint("revoke those that are not needed")
		}
		parties, err := a.Parties(tx, p)
		if err != nil {
			return auditlog.Record{}, nil, err
		}
		rec := a.record(auditlog.Access, p, "personal-key-offered", map[string]any{
			"person": p.ID, "key_id": k.ID, "ssh_key": k.PublicKey,
			"statement": string(statement), "signature": string(signature), "namespace": KeyNamespace,
		}, k.ID, p.ID)
		return rec, func(record string) {
			k.EnrolRecord, k.EnrolledAt = record, rec.Time.UTC().Truncate(time.Microsecond)
			tx.ExecOne(caos.Errorf(caos.Conflict, "this key was enrolled before").WithField("public_key").WithHint("make a new key pair; one that was ever enrolled is not taken again"),
				`INSERT INTO personal_keys (key_id, user_id, public_key, fingerprint, status, statement, signature, parties, enrolled_at, enrol_record)
  VALUES ($1, $2, $3, $4, 'enrolled', $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
				k.ID, p.ID, k.PublicKey, k.Fingerprint, string(statement), string(signature), strings.Join(parties, ","), rec.Time.UnixMicro(), record)
		}, nil
	})
	return k, err
}

// checkStatement proves possession: the statement is this person's, for this
// installation, fresh, in its one spelling, and signed by the key in it.
func (a *Auth) checkStatement(p caos.Principal, statement, signature []byte) (KeyStatement, verify.SSHKey, error) {
	var s KeyStatement
	var none verify.SSHKey
	if len(statement) > maxSignature || len(signature) > maxSignature {
		return s, none, caos.Errorf(caos.TooLarge, "a statement and its signature have at most %d bytes each", maxSignature).WithField("statement")
	}
	dec := json.NewDecoder(bytes.NewReader(statement))
	dec.DisallowUnknownFields()
	err := dec.Decode(&s)
	canonical, encErr := encodeStatement(s)
	if err != nil || encErr != nil || !bytes.Equal(canonical, statement) || s.Type != keyStatementType || s.V != 1 {
		return s, none, caos.Errorf(caos.Invalid, "not an enrolment statement in its canonical form").WithField("statement").WithHint("make it with caos key enrol")
	}
	if s.Person != p.ID || s.Origin != a.o.Origin {
		return s, none, caos.Errorf(caos.Invalid, "the statement is for %s at %s, not for %s at %s", clip(s.Person), clip(s.Origin), p.ID, a.o.Origin).WithField("statement")
	}
	at, err := time.Parse(caos.TimeLayout, s.Time)
	if age := a.o.Now().Sub(at); err != nil || age > statementAge || age < -statementAge {
		return s, none, caos.Errorf(caos.Invalid, "the statement's time is not within ten minutes of the server's").WithField("statement").WithHint("check the clock and sign a new one")
	}
	pub, err := parsePublicKey(s.PublicKey)
	if err != nil {
		return s, none, err
	}
	if pub.String() != s.PublicKey {
		return s, none, caos.Errorf(caos.Invalid, "the public key has a comment or odd spacing").WithField("statement")
	}
	if by, err := verify.VerifySSHSig(signature, statement, KeyNamespace); err != nil || by.String() != s.PublicKey {
		return s, none, caos.Wrap(caos.Invalid, err, "the signature is not this key's over this statement").WithField("signature").
			WithHint("sign with: ssh-keygen -Y sign -n %s -f KEY", KeyNamespace)
	}
	return s, pub, nil
}

// CountersignKey makes another person's key count: by vouches that it is theirs. Neither
// its holder nor anyone who could have enrolled it in their stead can do that.
func (a *Auth) CountersignKey(ctx context.Context, by caos.Principal, id string) (PersonalKey, error) {
	if err := checkKeyID(id); err != nil {
		return PersonalKey{}, err
	}
	var k PersonalKey
	err := a.changeKey(ctx, func(tx *db.Tx) (auditlog.Record, func(string), error) {
		found, offer, err := a.keyRow(tx, id)
		if err != nil {
			return auditlog.Record{}, nil, err
		}
		res := Resource{Type: "Key", ID: id, Owner: found.User, Parties: offer.parties}
		if err := a.Authorize(tx, by, "key:countersign", res, nil); err != nil {
			return auditlog.Record{}, nil, err
		}
		if found.ID == "" {
			return auditlog.Record{}, nil, noKey(id)
		}
		if err := a.countersignable(tx, found); err != nil {
			return auditlog.Record{}, nil, err
		}
		// What the verifier reads (verify.Enrolment), and the proof of possession.
		rec := a.record(auditlog.Key, by, verify.EnrolmentActive, map[string]any{
			"person": found.User, "ssh_key": found.PublicKey, "countersigned_by": by.ID, "key_id": id, "offer_record": found.EnrolRecord,
			"possession": map[string]any{"statement": offer.statement, "signature": offer.signature, "namespace": KeyNamespace},
		}, id, found.User)
		k = found
		return rec, func(record string) {
			at := rec.Time.UTC().Truncate(time.Microsecond)
			k.Status, k.CountersignedBy, k.ActiveAt, k.ActiveRecord = KeyActive, by.ID, &at, record
			tx.ExecOne(caos.Errorf(caos.Conflict, "the key was countersigned or ended meanwhile"),
				`UPDATE personal_keys SET status = 'active', countersigned_by = $1, active_at = $2, active_record = $3 WHERE key_id = $4 AND status = 'enrolled'`,
				by.ID, at.UnixMicro(), record, id)
		}, nil
	})
	return k, err
}

func (a *Auth) countersignable(tx *db.Tx, k PersonalKey) error {
	if k.Status != KeyEnrolled {
		return caos.Errorf(caos.Conflict, "the key is %s", k.Status).WithHint("only an enrolled key can be countersigned")
	}
	ok, err := a.KnownPerson(tx, k.User)
	if err == nil && !ok {
		return caos.Errorf(caos.Conflict, "%s is not an enabled person", k.User)
	}
	return err
}

// RevokeKey ends a key. since is the zero time, or the moment from which the key may have
// been in the wrong hands: then it counts up to that moment only.
func (a *Auth) RevokeKey(ctx context.Context, by caos.Principal, id string, since time.Time) (PersonalKey, error) {
	if err := checkKeyID(id); err != nil {
		return PersonalKey{}, err
	}
	if since.After(a.o.Now()) {
		return PersonalKey{}, caos.Errorf(caos.Invalid, "it lies in the future").WithField("compromised_since").WithHint("state the earliest moment at which the key may have been in other hands")
	}
	var k PersonalKey
	err := a.changeKey(ctx, func(tx *db.Tx) (auditlog.Record, func(string), error) {
		found, _, err := a.keyRow(tx, id)
		if err != nil {
			return auditlog.Record{}, nil, err
		}
		if err := a.Authorize(tx, by, "key:revoke", Resource{Type: "Key", ID: id, Owner: found.User}, nil); err != nil {
			return auditlog.Record{}, nil, err
		}
		if found.ID == "" {
			return auditlog.Record{}, nil, noKey(id)
		}
		// A revoked key may turn out to have been compromised; nothing else follows an end.
		if found.Status == KeyCompromised || found.Status == KeyRevoked && since.IsZero() {
			return auditlog.Record{}, nil, caos.Errorf(caos.Conflict, "the key is %s already", found.Status)
		}
		k = found
		details := map[string]any{
			"person": k.User, "ssh_key": k.PublicKey, "countersigned_by": k.CountersignedBy, "key_id": id, "active_record": k.ActiveRecord,
		}
		k.Status = KeyRevoked
		var micro *int64
		if !since.IsZero() {
			at := since.UTC().Truncate(time.Microsecond)
			k.Status, k.CompromisedSince = KeyCompromised, &at
			details["compromised_since"] = caos.FormatTime(at)
			m := at.UnixMicro()
			micro = &m
		}
		rec := a.record(auditlog.Key, by, verify.EnrolmentRevoked, details, id, k.User)
		return rec, func(record string) {
			at := rec.Time.UTC().Truncate(time.Microsecond)
			k.EndedAt, k.EndedBy, k.EndedRecord = &at, by.ID, record
			tx.ExecOne(caos.Errorf(caos.Conflict, "the key changed meanwhile"),
				`UPDATE personal_keys SET status = $1, ended_at = $2, ended_by = $3, ended_record = $4, compromised_since = $5 WHERE key_id = $6 AND status = $7`,
				k.Status, at.UnixMicro(), by.ID, record, nullable(micro), id, found.Status)
		}, nil
	})
	return k, err
}

func nullable(n *int64) any {
	if n == nil {
		return nil
	}
	return *n
}

// changeKey is change for keys, whose rows name the record that changed them.
func (a *Auth) changeKey(ctx context.Context, fn func(tx *db.Tx) (auditlog.Record, func(record string), error)) error {
	err := a.o.DB.Update(ctx, func(tx *db.Tx) error {
		rec, store, err := fn(tx)
		if err != nil {
			return err
		}
		receipt, err := a.o.Log.Append(tx, rec)
		if err != nil {
			return err
		}
		store(receipt.ID)
		a.raise(tx)
		return nil
	})
	if err != nil {
		return errors.Join(err, a.RecordRefusal(ctx, err))
	}
	return nil
}

func checkKeyID(id string) error {
	rest, ok := strings.CutPrefix(id, "personal-")
	if raw, err := hex.DecodeString(rest); !ok || err != nil || len(raw) != 8 || strings.ToLower(rest) != rest {
		return caos.Errorf(caos.Invalid, "%q is not a personal key's id", clip(id)).WithField("key_id").WithHint("it is personal- and 16 hex digits")
	}
	return nil
}

func noKey(id string) error { return caos.Errorf(caos.NotFound, "there is no key %s", id) }

const keyColumns = `key_id, user_id, public_key, fingerprint, status, enrolled_at, enrol_record, COALESCE(countersigned_by, ''), active_at,
  COALESCE(active_record, ''), ended_at, COALESCE(ended_by, ''), COALESCE(ended_record, ''), compromised_since, parties, statement, signature`

// offer is what a key was enrolled with.
type offer struct {
	parties              []string
	statement, signature string
}

// scanKey reads keyColumns.
func scanKey(scan func(...any) error) (PersonalKey, offer, error) {
	var k PersonalKey
	var enrolled int64
	var active, ended, since *int64
	var parties string
	var o offer
	err := scan(&k.ID, &k.User, &k.PublicKey, &k.Fingerprint, &k.Status, &enrolled, &k.EnrolRecord, &k.CountersignedBy, &active,
		&k.ActiveRecord, &ended, &k.EndedBy, &k.EndedRecord, &since, &parties, &o.statement, &o.signature)
	k.EnrolledAt = time.UnixMicro(enrolled).UTC()
	k.ActiveAt, k.EndedAt, k.CompromisedSince = moment(active), moment(ended), moment(since)
	o.parties = splitList(parties)
	return k, o, err
}

// keyRow returns a key, a zero one if there is none.
func (a *Auth) keyRow(tx *db.Tx, id string) (PersonalKey, offer, error) {
	k, o, err := scanKey(tx.QueryRow(`SELECT `+keyColumns+` FROM personal_keys WHERE key_id = $1`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return PersonalKey{}, offer{}, nil
	}
	return k, o, err
}

// ListKeys returns the keys of a person, or of everyone for user "", oldest first, at most
// 1000.
func (a *Auth) ListKeys(ctx context.Context, p caos.Principal, user string) ([]PersonalKey, error) {
	if user != "" {
		if err := caos.CheckID("user", "user", user); err != nil {
			return nil, err
		}
	}
	if err := a.Allow(p, "key:read", Resource{Type: "Key", ID: "keys", Owner: user}); err != nil {
		return nil, err
	}
	rows, err := a.o.DB.Query(ctx, `SELECT `+keyColumns+` FROM personal_keys WHERE user_id = $1 OR $2 = '' ORDER BY enrolled_at, key_id LIMIT 1000`, user, user)
	if err != nil {
		return nil, unavailable(err)
	}
	defer rows.Close()
	var out []PersonalKey
	for rows.Next() {
		k, _, err := scanKey(rows.Scan)
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, rows.Err()
}
