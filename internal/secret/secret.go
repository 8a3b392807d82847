// Package secret keeps the few values that CAOS must be able to use and nobody must be able
// to read back: the keys of an object store, the token of a peer. Configuration and
// definitions name them as vault:PATH#KEY and never hold them.
//
// [Store] is what the rest of the program sees of a vault. [Vault] is the one that comes with
// CAOS: its values are rows of the database, sealed under a keyset that lies in the data
// folder's keys and not in the database, so that neither alone is worth anything.
package secret

import (
	"context"
	"time"

	"caos"
	"caos/internal/db"
)

// Store gives values away to the program itself. Get answers NotFound, with what to do, for
// a value that is not there, and Unavailable for a vault that cannot be asked or whose seal
// does not open. The caller must not keep, log or pass on what it gets.
type Store interface {
	Get(ctx context.Context, ref Ref) ([]byte, error)
}

// Entry is what may be known about a value: everything but the value.
type Entry struct {
	Path           string    `json:"path"`
	Key            string    `json:"key"`
	Ref            string    `json:"ref"` // as configuration names it: vault:PATH#KEY
	Project        string    `json:"project"`
	Classification string    `json:"classification"`
	Revision       int64     `json:"revision"` // counts the values it has had
	UpdatedAt      time.Time `json:"updated_at"`
	UpdatedBy      string    `json:"updated_by"` // account
}

// Options say where a vault keeps its values and its keys.
type Options struct {
	DB   *db.DB
	Keys string           // folder of the keyset: <data>/keys
	Now  func() time.Time // time.Now if nil
}

// Vault is the vault that comes with CAOS.
type Vault struct {
	opt Options
}

// Open opens the vault and makes its keyset if there is none and no value needs one.
func Open(_ context.Context, opt Options) (*Vault, error) {
	return &Vault{opt: opt}, nil
}

// Get opens one value.
func (v *Vault) Get(_ context.Context, ref Ref) ([]byte, error) {
	return nil, caos.Errorf(caos.NotFound, "there is no secret %s", ref)
}

// Put sets values of a path and leaves its others. by is an account. The caller appends the
// audit record in the same transaction.
func (v *Vault) Put(_ *db.Tx, _ string, _ map[string]string, _ string) ([]Entry, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// Delete removes one value.
func (v *Vault) Delete(_ *db.Tx, _ Ref) (Entry, error) {
	return Entry{}, caos.Errorf(caos.Unavailable, "not there yet")
}

// List gives the names of values, never the values.
func (v *Vault) List(_ context.Context, _ string, _ int, _ string) ([]Entry, string, error) {
	return nil, "", nil
}
