package secret

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"caos"
	"caos/internal/db"
)

// What a vault takes. It is for keys and tokens, not for files.
const (
	MaxValue   = 16 << 10 // bytes of a value
	MaxAtOnce  = 32       // values of one Put
	MaxOfPath  = 64       // values of a path
	maxSecrets = 10_000   // values of the vault
)

// classification of every value: its name is no more than that either.
const classification = "Restricted"

// Vault is the vault that comes with CAOS. All nodes of an installation share its rows and,
// with the folder for keys, its keyset.
type Vault struct {
	db   *db.DB
	now  func() time.Time
	ring *ring // nil: values are there, but their keyset is not
	dir  string
}

// Format prints no key and no value, by whatever verb.
func (v *Vault) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "secret.Vault") }

// Open opens the vault, and makes its keyset if there is neither one nor a value that was
// sealed under it. A keyset that is lost does not keep a node from starting: its values
// cannot be opened and no others put until it is restored or they are deleted.
func Open(ctx context.Context, opt Options) (*Vault, error) {
	v := &Vault{db: opt.DB, now: opt.Now, dir: opt.Keys}
	if v.now == nil {
		v.now = time.Now
	}
	r, err := openRing(opt.Keys)
	if errors.Is(err, fs.ErrNotExist) {
		var n int64
		if err := v.db.QueryRow(ctx, `SELECT count(*) FROM secrets`).Scan(&n); err != nil {
			return nil, fmt.Errorf("open the vault: %w", err)
		}
		if n > 0 {
			return v, nil
		}
		err = r.make()
	}
	if err != nil {
		return nil, err
	}
	v.ring = r
	return v, nil
}

func (v *Vault) sealedShut() error {
	if v.ring != nil {
		return nil
	}
	return caos.Errorf(caos.Unavailable, "the vault holds values, but its keyset, keys/%s, is gone", keysetFile).WithRule("vault-keyset").
		WithHint("restore it from a backup of the data folder's keys and start again; without one delete each secret, start again and put them anew")
}

// Get opens one value.
func (v *Vault) Get(ctx context.Context, ref Ref) ([]byte, error) {
	if err := ref.Check(); err != nil {
		return nil, err
	}
	var sealed []byte
	var id int64
	err := v.db.QueryRow(ctx, `SELECT sealed, key_id FROM secrets WHERE path = $1 AND name = $2`, ref.Path, ref.Key).Scan(&sealed, &id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, absent(ref)
	}
	if err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the vault cannot be read")
	}
	if err := v.sealedShut(); err != nil {
		return nil, err
	}
	if !v.ring.has(uint32(id)) { // another node has rotated the keyset
		if err := v.ring.load(); err != nil {
			return nil, err
		}
	}
	value, err := v.ring.open(ref, sealed)
	if err != nil { // what tink says of it is of no use, and the sealed value stays out of the log
		return nil, caos.Errorf(caos.Unavailable, "the seal of %s does not open: it was made under another keyset, or the row was changed", ref).WithRule("vault-seal").
			WithHint("if keys/%s is not the installation's, restore it; else put the value anew: caos secret put %s %s", keysetFile, ref.Path, ref.Key)
	}
	return value, nil
}

func absent(ref Ref) error {
	return caos.Errorf(caos.NotFound, "there is no secret %s", ref).WithHint("an administrator puts it there: caos secret put %s %s", ref.Path, ref.Key)
}

// check refuses what a vault does not take. Errors name keys, never values.
func check(path string, values map[string]Value) error {
	if err := checkPath(path); err != nil {
		return err
	}
	if len(values) == 0 || len(values) > MaxAtOnce {
		return caos.Errorf(caos.Invalid, "it is 1 to %d values at once", MaxAtOnce).WithField("values")
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		field := "values." + key
		if err := checkKey("values", key); err != nil {
			return err
		}
		switch value := string(values[key]); {
		case value == "":
			return caos.Errorf(caos.Invalid, "the value is empty").WithField(field)
		case len(value) > MaxValue:
			return caos.Errorf(caos.TooLarge, "the value has %d bytes, %d are allowed", len(value), MaxValue).WithField(field)
		case !utf8.ValidString(value):
			return caos.Errorf(caos.Invalid, "the value is no text").WithField(field).WithHint("encode it as base64")
		}
	}
	return nil
}

// Put sets values of a path and leaves its others. by is an account. The caller appends the
// audit record, without the values, in the same transaction.
func (v *Vault) Put(tx *db.Tx, path string, values map[string]Value, by string) ([]Entry, error) {
	if err := check(path, values); err != nil {
		return nil, err
	}
	if err := v.sealedShut(); err != nil {
		return nil, err
	}
	at := v.now()
	var out []Entry
	for _, key := range slices.Sorted(maps.Keys(values)) {
		e := Entry{Path: path, Key: key, Classification: classification, UpdatedAt: db.Moment(db.Micros(at)), UpdatedBy: by}
		ref := Ref{Path: path, Key: key}
		e.Ref = ref.String()
		sealed, id, err := v.ring.seal(ref, []byte(values[key]))
		if err != nil {
			return nil, caos.Errorf(caos.Internal, "the value cannot be sealed").WithField("values." + key)
		}
		if err := tx.QueryRow(`INSERT INTO secrets (path, name, sealed, key_id, revision, project, classification, updated_at, updated_by)
			VALUES ($1, $2, $3, $4, 1, $5, $6, $7, $8)
			ON CONFLICT (path, name) DO UPDATE SET sealed = excluded.sealed, key_id = excluded.key_id, revision = secrets.revision + 1,
			  updated_at = excluded.updated_at, updated_by = excluded.updated_by
			RETURNING revision`, path, key, sealed, int64(id), e.Project, e.Classification, db.Micros(at), by).Scan(&e.Revision); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, v.checkCounts(tx, path)
}

func (v *Vault) checkCounts(tx *db.Tx, path string) error {
	var ofPath, all int64
	if err := tx.QueryRow(`SELECT count(*) FROM secrets WHERE path = $1`, path).Scan(&ofPath); err != nil {
		return err
	}
	if err := tx.QueryRow(`SELECT count(*) FROM secrets`).Scan(&all); err != nil {
		return err
	}
	if ofPath > MaxOfPath || all > maxSecrets {
		return caos.Errorf(caos.TooLarge, "the path would have %d values, and the vault %d; %d and %d are allowed", ofPath, all, MaxOfPath, maxSecrets).WithField("path").
			WithHint("delete what is not used any more")
	}
	return nil
}

// Delete removes one value for good, also one whose seal does not open.
func (v *Vault) Delete(tx *db.Tx, ref Ref) (Entry, error) {
	if err := ref.Check(); err != nil {
		return Entry{}, err
	}
	e, err := scanEntry(tx.QueryRow(`DELETE FROM secrets WHERE path = $1 AND name = $2 RETURNING `+columns, ref.Path, ref.Key).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Entry{}, absent(ref)
	}
	return e, err
}

const columns = `path, name, revision, project, classification, updated_at, updated_by`

func scanEntry(scan func(...any) error) (Entry, error) {
	var e Entry
	var at int64
	err := scan(&e.Path, &e.Key, &e.Revision, &e.Project, &e.Classification, &at, &e.UpdatedBy)
	e.Ref, e.UpdatedAt = Ref{Path: e.Path, Key: e.Key}.String(), db.Moment(at)
	return e, err
}

// Filter says what a list is of.
type Filter struct {
	Path  string // only of this path
	Limit int    // of a page
}

// List gives the names of values, the last changed first, never the values.
func (v *Vault) List(ctx context.Context, f Filter, cursor string) ([]Entry, string, error) {
	var w db.Where
	w.Is("path", f.Path)
	return db.Page(v.db.Reader(ctx), &w, db.Listing[Entry]{Columns: columns, From: "secrets", At: "updated_at", ID: "(path || '#' || name)", Limit: f.Limit,
		Scan: scanEntry, Key: func(e Entry) (time.Time, string) { return e.UpdatedAt, e.Path + "#" + e.Key }}, cursor)
}

// Rotate makes a key that new values are sealed under. What older ones sealed still opens,
// until Reseal has gone through.
func (v *Vault) Rotate() error {
	if err := v.sealedShut(); err != nil {
		return err
	}
	return v.ring.rotate()
}

// resealed is how many rows one Reseal takes, to stay within the time of a transaction.
const resealed = 200

// Reseal seals values again that lie under an older key, and says how many; 0 ends it. A
// value that does not open is left as it is and not counted. The caller appends the audit
// record in the same transaction.
func (v *Vault) Reseal(tx *db.Tx) (int, error) {
	if err := v.sealedShut(); err != nil {
		return 0, err
	}
	type row struct {
		ref    Ref
		sealed []byte
	}
	var rows []row
	for _, id := range v.ring.older() {
		if err := tx.Query(`SELECT path, name, sealed FROM secrets WHERE key_id = $1 ORDER BY path, name LIMIT $2`, []any{int64(id), resealed}, func(scan func(...any) error) error {
			var r row
			err := scan(&r.ref.Path, &r.ref.Key, &r.sealed)
			rows = append(rows, r)
			return err
		}); err != nil {
			return 0, err
		}
	}
	n := 0
	for _, r := range rows {
		value, err := v.ring.open(r.ref, r.sealed)
		if err != nil {
			continue
		}
		sealed, id, err := v.ring.seal(r.ref, value)
		if err != nil {
			return n, caos.Errorf(caos.Internal, "a value cannot be sealed")
		}
		tx.Exec(`UPDATE secrets SET sealed = $1, key_id = $2 WHERE path = $3 AND name = $4`, sealed, int64(id), r.ref.Path, r.ref.Key)
		if n++; n == resealed {
			break
		}
	}
	return n, nil
}
