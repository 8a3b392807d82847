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
	"fmt"
	"io"
	"log/slog"
	"time"

	"caos/internal/db"
)

// Store gives values away to the program itself. Get answers NotFound, with what to do, for
// a value that is not there, and Unavailable for a vault that cannot be asked or a value
// whose seal does not open. The caller keeps, logs and passes on nothing of what it gets.
type Store interface {
	Get(ctx context.Context, ref Ref) ([]byte, error)
}

// Value is a value on its way in. It is read from JSON and written nowhere: neither by a
// formatting verb, nor by a log, nor as JSON.
type Value string

// Format prints nothing of the value, by whatever verb.
func (v Value) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[secret]") }

// LogValue logs nothing of the value.
func (v Value) LogValue() slog.Value { return slog.StringValue("[secret]") }

// MarshalText writes nothing of the value.
func (v Value) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// Entry is what may be known about a value: everything but the value.
type Entry struct {
	Path           string    `json:"path"`
	Key            string    `json:"key"`
	Ref            string    `json:"ref" doc:"as configuration names it"`
	Revision       int64     `json:"revision" doc:"counts the values it has had since it was made"`
	Project        string    `json:"project"`
	Classification string    `json:"classification"`
	UpdatedAt      time.Time `json:"updated_at"`
	UpdatedBy      string    `json:"updated_by"`
}

// Options say where a vault keeps its values and its keys.
type Options struct {
	DB   *db.DB
	Keys string           // folder of the keyset: <data>/keys; it exists
	Now  func() time.Time // time.Now if nil
}
