// Package dataset keeps what the data layer knows: pipelines and contracts as people wrote
// them, by version; runs and whose turn it is; datasets and their versions by content
// digest; what validations found, and where data came from and went.
//
// It runs nothing. Hooks fetch, transform, check and publish, and write here what became of
// it, in the transaction of their step.
package dataset

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/event"
)

// Recorder is the audit log, as far as datasets need it.
type Recorder interface {
	Append(tx *db.Tx, r auditlog.Record) (auditlog.Receipt, error)
}

// Options say what a Datasets is made of. Now and what follows it may be left out.
type Options struct {
	DB     *db.DB
	Log    Recorder
	Events *event.Outbox
	Stamps *caos.Stamper
	Now    func() time.Time // nil means time.Now

	// Ended reports whether an execution is over, whatever became of it. Without it a turn
	// ends by LeaveTurn alone.
	Ended func(tx *db.Tx, executionID string) (bool, error)

	// Limits is what a run may ask of a node at most. Zero fields are the package's own bounds.
	Limits Limits
}

// Datasets is the store of all nouns of this package. Its methods may be called from any
// goroutine.
type Datasets struct {
	db     *db.DB
	log    Recorder
	events *event.Outbox
	stamps *caos.Stamper
	clock  func() time.Time
	ended  func(tx *db.Tx, executionID string) (bool, error)
	limits Limits
}

// Open returns the datasets kept in a database. It has nothing to close.
func Open(opt Options) (*Datasets, error) {
	if opt.DB == nil || opt.Log == nil || opt.Events == nil || opt.Stamps == nil {
		return nil, caos.Errorf(caos.Internal, "datasets need a database, an audit log, an outbox and a stamper")
	}
	d := &Datasets{db: opt.DB, log: opt.Log, events: opt.Events, stamps: opt.Stamps, clock: opt.Now, ended: opt.Ended, limits: opt.Limits}
	if d.clock == nil {
		d.clock = time.Now
	}
	if d.ended == nil {
		d.ended = func(*db.Tx, string) (bool, error) { return false, nil }
	}
	return d, nil
}

// Limits is what a run may ask of a node at most.
func (d *Datasets) Limits() Limits { return d.limits }

// now is the moment of a change as it can be stored.
func (d *Datasets) now() time.Time { return d.clock().UTC().Truncate(time.Microsecond) }

// By is who does something, for the audit record.
type By struct {
	Actor      string // who is said to have acted
	RecordedBy string // who authenticated; "" for the same
	Execution  string // EXEC-… if a hook does it
	Hook       string
	Actions    []auditlog.Action
}

// recorder is who authenticated.
func (b By) recorder() string {
	if b.RecordedBy == "" {
		return b.Actor
	}
	return b.RecordedBy
}

// record appends the audit record of a change, by whoever made it. An empty type is
// auditlog.Data.
func (d *Datasets) record(tx *db.Tx, by By, rec auditlog.Record) error {
	if rec.Type == "" {
		rec.Type = auditlog.Data
	}
	rec.Actor, rec.RecordedBy, rec.Execution, rec.Hook, rec.Actions = by.Actor, by.recorder(), by.Execution, by.Hook, by.Actions
	_, err := d.log.Append(tx, rec)
	return err
}

// query reads rows, from the read pool or inside a transaction.
type query = db.Query

func (d *Datasets) pool(ctx context.Context) query { return d.db.Reader(ctx) }

func within(tx *db.Tx) query { return tx.Query }

// readJSON reads a JSON text of a row.
func readJSON(text string, into any) error {
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("dataset: read what is stored: %w", err)
	}
	return nil
}

// writeJSON is the JSON text of a column.
func writeJSON(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("dataset: write what is to be stored: %w", err)
	}
	return string(text), nil
}
