package registry

import (
	"context"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/event"
	"caos/internal/object"
)

// Recorder is the audit log, as far as the registry needs it.
type Recorder interface {
	Append(tx *db.Tx, r auditlog.Record) (auditlog.Receipt, error)
}

// Options say what a registry is made of. Now, Reclassified and Reassessed may be left out.
type Options struct {
	DB      *db.DB
	Objects *object.Store
	Log     Recorder
	Events  *event.Outbox
	Now     func() time.Time // nil means time.Now

	// Reclassified is told, in the transaction, that a model has another classification: what
	// others keep about it has to follow.
	Reclassified func(tx *db.Tx, modelID, classification string) error
	// Reassessed is told, in the transaction, that a model has another safety level: what is
	// decided about it from then on is proven as that level demands.
	Reassessed func(tx *db.Tx, modelID, safetyLevel string) error
}

// Registry is the registry. Its methods may be called from any goroutine.
type Registry struct {
	db      *db.DB
	objects *object.Store
	log     Recorder
	events  *event.Outbox
	clock   func() time.Time

	reclassified func(tx *db.Tx, modelID, classification string) error
	reassessed   func(tx *db.Tx, modelID, safetyLevel string) error
}

// Open returns the registry in a database. It has nothing to close.
func Open(opt Options) (*Registry, error) {
	if opt.DB == nil || opt.Objects == nil || opt.Log == nil || opt.Events == nil {
		return nil, caos.Errorf(caos.Internal, "the registry needs a database, an object store, an audit log and an outbox")
	}
	r := &Registry{db: opt.DB, objects: opt.Objects, log: opt.Log, events: opt.Events, clock: opt.Now, reclassified: opt.Reclassified, reassessed: opt.Reassessed}
	if r.clock == nil {
		r.clock = time.Now
	}
	return r, nil
}

// now is the moment of a change as it can be stored.
func (r *Registry) now() time.Time { return r.clock().UTC().Truncate(time.Microsecond) }

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

// note is what is recorded of one change.
type note struct {
	Type           auditlog.Type // "" means auditlog.Data
	Event          string        // in words, such as "model created"
	Resources      []string      // ids of what was changed
	Project        string
	Classification string
	Details        map[string]any // added to the event
}

// record appends the audit record of a change.
func (r *Registry) record(tx *db.Tx, by By, n note) error {
	details := map[string]any{"event": n.Event}
	for k, v := range n.Details {
		details[k] = v
	}
	if n.Type == "" {
		n.Type = auditlog.Data
	}
	_, err := r.log.Append(tx, auditlog.Record{
		Type: n.Type, Actor: by.Actor, RecordedBy: by.recorder(), Resources: n.Resources, Details: details,
		Execution: by.Execution, Hook: by.Hook, Actions: by.Actions, Project: n.Project, Classification: n.Classification,
	})
	return err
}

// query reads rows, from the read pool or inside a transaction.
type query = db.Query

func (r *Registry) pool(ctx context.Context) query {
	return r.db.Reader(ctx)
}

func within(tx *db.Tx) query { return tx.Query }
