// Package readiness keeps what a board looks at before a model goes into production, and
// what it decides: checklists and their templates, the risk register, certification plans,
// reviews with their votes and conditions, and release authorisations.
//
// It knows nothing of the registry. Callers say in a [Subject] which version it is about,
// and what belongs to other packages (people, keys, hands, evidence) comes in through
// [Options].
package readiness

import (
	"context"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/event"
)

// Recorder is the audit log, as far as readiness needs it.
type Recorder interface {
	Append(tx *db.Tx, r auditlog.Record) (auditlog.Receipt, error)
}

// People is what readiness asks about the people of an installation.
type People interface {
	KnownPerson(tx *db.Tx, id string) (bool, error)                             // an enabled account of a person
	WithRole(tx *db.Tx, role, project, classification string) ([]string, error) // enabled people who hold it and may know of the scope
	RolesOf(tx *db.Tx, id string) ([]string, error)                             // roles of the account now, sorted
	Parties(tx *db.Tx, p caos.Principal) ([]string, error)                      // who could have acted in p's stead
}

// Keys is what readiness asks about the keys that people sign with.
type Keys interface {
	// ActiveKey returns the id of a person's key, given its public half in OpenSSH form. It
	// refuses (NotFound, Denied) one that is not theirs or not active.
	ActiveKey(tx *db.Tx, person, sshKey string) (keyID string, err error)
	// KeyStood reports whether what a key signed at a moment counts: false for one that is
	// known by now to have been compromised then.
	KeyStood(tx *db.Tx, keyID string, at time.Time) (bool, error)
}

// Hand is somebody's part in a version, which keeps them from deciding on it.
type Hand struct {
	Person string `json:"person"` // user id
	Part   string `json:"part"`   // OWNER, FORMER_OWNER, FREEZE_REQUESTER, VV_AUTHOR, REVIEW_REQUESTER, RELEASE_REQUESTER; …_RECORDER for who acted for them
	Source string `json:"source"` // id of what shows it
}

// Options say what a Readiness is made of. Now and what follows Origin may be left out.
type Options struct {
	DB     *db.DB
	Log    Recorder
	Events *event.Outbox
	Stamps *caos.Stamper
	Now    func() time.Time // nil means time.Now
	People People
	Keys   Keys
	Origin string // of the log: reports say where what they state is logged

	// Hands returns who had a hand in a version. Without it nobody had.
	Hands func(tx *db.Tx, modelID, version string) ([]Hand, error)

	// Known returns those of ids that are not evidence of the subject: unknown, of another
	// model, withdrawn or revoked. Without it no evidence is known.
	Known func(tx *db.Tx, s Subject, ids []string) (missing []string, err error)

	// Released is told in the transaction in which a release is authorised, and may refuse
	// it: a version that was retired meanwhile is not released.
	Released func(tx *db.Tx, s Subject, by By) error
}

// Readiness is the store of all nouns of this package. Its methods may be called from any
// goroutine.
type Readiness struct {
	db     *db.DB
	log    Recorder
	events *event.Outbox
	stamps *caos.Stamper
	clock  func() time.Time
	people People
	keys   Keys
	origin string
	hands  func(tx *db.Tx, modelID, version string) ([]Hand, error)
	known  func(tx *db.Tx, s Subject, ids []string) (missing []string, err error)

	released func(tx *db.Tx, s Subject, by By) error
}

// Open returns the readiness kept in a database. It has nothing to close.
func Open(opt Options) (*Readiness, error) {
	if opt.DB == nil || opt.Log == nil || opt.Events == nil || opt.Stamps == nil || opt.People == nil || opt.Keys == nil {
		return nil, caos.Errorf(caos.Internal, "readiness needs a database, an audit log, an outbox, a stamper, people and keys")
	}
	r := &Readiness{db: opt.DB, log: opt.Log, events: opt.Events, stamps: opt.Stamps, clock: opt.Now, people: opt.People, keys: opt.Keys,
		origin: opt.Origin, hands: opt.Hands, known: opt.Known, released: opt.Released}
	if r.clock == nil {
		r.clock = time.Now
	}
	if r.hands == nil {
		r.hands = func(*db.Tx, string, string) ([]Hand, error) { return nil, nil }
	}
	if r.known == nil {
		r.known = func(_ *db.Tx, _ Subject, ids []string) ([]string, error) { return ids, nil }
	}
	if r.released == nil {
		r.released = func(*db.Tx, Subject, By) error { return nil }
	}
	return r, nil
}

// now is the moment of a change as it can be stored.
func (r *Readiness) now() time.Time { return r.clock().UTC().Truncate(time.Microsecond) }

// Subject is the version of a model that something is about, as the registry has it. Nouns
// of a whole model leave out what belongs to a version.
type Subject struct {
	ModelID        string `json:"model_id"`
	Version        string `json:"model_version"`
	BaselineID     string `json:"baseline_id"`
	RootDigest     string `json:"root_digest"`
	SafetyLevel    string `json:"safety_level"`
	Project        string `json:"project"`
	Classification string `json:"classification"`
}

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
func (r *Readiness) record(tx *db.Tx, by By, rec auditlog.Record) error {
	if rec.Type == "" {
		rec.Type = auditlog.Data
	}
	rec.Actor, rec.RecordedBy, rec.Execution, rec.Hook, rec.Actions = by.Actor, by.recorder(), by.Execution, by.Hook, by.Actions
	_, err := r.log.Append(tx, rec)
	return err
}

// query reads rows, from the read pool or inside a transaction.
type query = db.Query

func (r *Readiness) pool(ctx context.Context) query { return r.db.Reader(ctx) }

func within(tx *db.Tx) query { return tx.Query }
