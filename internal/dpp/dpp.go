// Package dpp makes and keeps digital product passports: for each event in the life of a
// model's version, a W3C verifiable credential that anyone can check without asking us.
//
// A passport is two files. The credential has what anyone may know: identifiers, the event,
// the baseline's digest, counts and dates. The annex has the rest, and is read with the
// permission passport:read: what the caller said, names and digests of artifacts, documents
// and people. The credential states the digest of the annex, which begins with a random
// salt, so that nothing in it can be guessed or changed.
//
// A passport comes into being in five steps, which a hook makes the steps of an execution
// and [Passports.Issue] does in one go: [Passports.Claim] takes the identifier, the caller
// fills in a [Draft], [Passports.Sign] makes and signs the files, [Passports.Store] writes
// them, and [Passports.Insert] keeps the row. What [Passports.Index] and the history say is
// kept by the same transactions that change it.
package dpp

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/event"
	"caos/internal/object"
	"caos/internal/sign"
	"caos/internal/verify"
)

// Event is what happened to a version.
type Event string

// The events. The first three come through the hook of the specification; the others are
// entries that CAOS makes itself. Stored and signed: never rename one.
const (
	Freeze        Event = "FREEZE"
	Deployment    Event = "DEPLOYMENT"
	Certification Event = "CERTIFICATION"
	Rollback      Event = "ROLLBACK"
	Retirement    Event = "RETIREMENT"
)

// Events lists every event.
func Events() []Event { return []Event{Freeze, Deployment, Certification, Rollback, Retirement} }

// Valid reports whether e is one of Events.
func (e Event) Valid() bool { return slices.Contains(Events(), e) }

// Recurs reports whether a version may have more than one passport for the event: it is
// frozen once and retired once.
func (e Event) Recurs() bool { return e != Freeze && e != Retirement }

// ID is the identifier of the nth passport for an event: DPP-NN-FCS-001-2.1.0-FREEZE, and
// DPP-NN-FCS-001-2.1.0-DEPLOYMENT-2 for the second deployment.
func ID(modelID, version string, e Event, n int64) string {
	id := "DPP-" + modelID + "-" + version + "-" + string(e)
	if n > 1 {
		id += "-" + strconv.FormatInt(n, 10)
	}
	return id
}

// PagePath is where a passport's public page is.
func PagePath(passportID string) string { return "/dpp/" + passportID }

// Passport is the row of a passport.
type Passport struct {
	PassportID     string    `json:"passport_id"`
	ModelID        string    `json:"model_id"`
	Version        string    `json:"version"`
	Event          Event     `json:"event"`
	Occurrence     int64     `json:"occurrence"` // 1 for the first of its event
	CID            string    `json:"cid"`        // of the credential's bytes
	URI            string    `json:"uri"`        // "ipfs://" and the CID
	Digest         string    `json:"digest"`     // of the credential
	Size           int64     `json:"size"`       // bytes
	AnnexDigest    string    `json:"annex_digest"`
	AnnexSize      int64     `json:"annex_size"`
	BaselineID     string    `json:"baseline_id"`
	RootDigest     string    `json:"root_digest"` // of the baseline
	KeyID          string    `json:"key_id"`      // that signed
	Issuer         string    `json:"issuer"`      // did:key of that key
	IssuedAt       time.Time `json:"issued_at"`
	IssuedBy       string    `json:"issued_by"`
	ExecutionID    string    `json:"execution_id"`
	RecordID       string    `json:"audit_record_id"`   // states the digests
	PublicRecordID string    `json:"public_record_id"`  // states them too, and may be shown to anybody; "" until it was made
	ChainTxID      *string   `json:"blockchain_tx_id"`  // null until a transaction is confirmed
	ChainReason    string    `json:"blockchain_reason"` // why there is none
	ChainID        string    `json:"chain_id"`          // of that transaction, decimal; "" while there is none
	ChainBlock     int64     `json:"chain_block"`       // that has it; 0 while there is none
	Page           string    `json:"verification_uri"`  // the public page
	Project        string    `json:"project"`           // the model's
	Classification string    `json:"classification"`    // the model's when it was issued

	// Where its bit is among those that say which passports were revoked. A passport from
	// before there were lists has StatusList 0 and no StatusURI.
	StatusList  int64  `json:"status_list"`
	StatusIndex int64  `json:"status_index"`
	StatusURI   string `json:"status_uri"` // of the signed list

	RevokedAt    *time.Time `json:"revoked_at"` // null: it counts
	RevokedBy    string     `json:"revoked_by"`
	RevokeReason string     `json:"revoke_reason"`
}

// Revoked reports whether the passport counts no more.
func (p *Passport) Revoked() bool { return p.RevokedAt != nil }

// Entry is one line of a passport's history.
type Entry struct {
	PassportID  string    `json:"passport_id"`
	Kind        string    `json:"kind"`    // one of the Kind constants
	Subject     string    `json:"subject"` // what the kind says
	At          time.Time `json:"at"`
	Actor       string    `json:"actor"`
	ExecutionID string    `json:"execution_id"`
}

// The kinds of entries. Stored.
const (
	KindIssued     = "ISSUED"     // subject: the passport
	KindEvidence   = "EVIDENCE"   // the item of evidence that was linked
	KindChain      = "CHAIN"      // hash of the transaction that was confirmed
	KindWithdrawn  = "UNCHAINED"  // hash of one that was confirmed and is on the chain no more
	KindPinned     = "PINNED"     // ipfs:// address under which an IPFS node has it
	KindRevoked    = "REVOKED"    // the audit record of the revocation
	KindRollback   = "ROLLBACK"   // the passport or execution by which the version was taken out of service
	KindRetirement = "RETIREMENT" // the passport or execution by which the version was retired
)

// EventIssued is emitted with every passport; its subject is the passport, its data an
// [Issued]. EventRevoked and EventChained have the same form.
const (
	EventIssued  = "caos.passport.issued"
	EventRevoked = "caos.passport.revoked"
	EventChained = "caos.passport.chained" // its transaction is confirmed
)

// Issued is the data of an event about a passport.
type Issued struct {
	PassportID string `json:"passport_id"`
	ModelID    string `json:"model_id"`
	Version    string `json:"model_version"`
	Event      Event  `json:"lifecycle_event"`
	CID        string `json:"cid"`
}

// By is who does something, for the audit record.
type By struct {
	Actor      string // who is said to have acted
	RecordedBy string // who authenticated; "" for the same
	Execution  string // EXEC-… if a hook does it
	Hook       string
}

// Recorder is the audit log, as far as passports need it.
type Recorder interface {
	Append(tx *db.Tx, r auditlog.Record) (auditlog.Receipt, error)
	Get(ctx context.Context, id string) (*auditlog.Stored, error)
	ProveStored(ctx context.Context, s *auditlog.Stored) ([]byte, error)
}

// Emitter takes events in the transaction that they are about. *event.Outbox is one.
type Emitter interface {
	Emit(tx *db.Tx, e event.Event) error
}

// Keys gives signers by purpose.
type Keys interface {
	Signer(p sign.Purpose) (sign.Signer, error)
}

// Options say what Passports are made of. DB, Objects, Log, Keys and BaseURL are required.
type Options struct {
	DB      *db.DB
	Objects *object.Store
	Log     Recorder
	Keys    Keys
	Now     func() time.Time // nil means time.Now
	BaseURL string           // where pages are reached, without a trailing slash
	Origin  string           // name of the audit log, as its checkpoints have it
	Events  Emitter          // nil: nobody is told
	Related Related          // nil: links to what others keep are null

	// Classified returns the classification of a model now, so that raising it keeps its
	// passports off public places. nil: the passport's own counts alone.
	Classified func(ctx context.Context, modelID string) (string, error)
}

// Passports are the passports of an installation. Its methods may be called from any
// goroutine.
type Passports struct {
	db      *db.DB
	objects *object.Store
	log     Recorder
	keys    Keys
	clock   func() time.Time
	baseURL string
	origin  string
	events  Emitter
	related Related
	level   func(ctx context.Context, modelID string) (string, error)

	listsMu sync.Mutex
	lists   map[int64]*StatusList // signed lists, of which each is made anew when it changes or ages
}

// Open returns the passports in a database. It has nothing to close.
func Open(opt Options) (*Passports, error) {
	if opt.DB == nil || opt.Objects == nil || opt.Log == nil || opt.Keys == nil {
		return nil, caos.Errorf(caos.Internal, "passports need a database, an object store, an audit log and keys")
	}
	p := &Passports{db: opt.DB, objects: opt.Objects, log: opt.Log, keys: opt.Keys, clock: opt.Now,
		baseURL: strings.TrimSuffix(opt.BaseURL, "/"), origin: opt.Origin, events: opt.Events, related: opt.Related, level: opt.Classified, lists: map[int64]*StatusList{}}
	if p.clock == nil {
		p.clock = time.Now
	}
	return p, nil
}

// now is the present as it can be stored.
func (p *Passports) now() time.Time { return p.clock().UTC().Truncate(time.Microsecond) }

// PageURI is the address of a passport's public page.
func (p *Passports) PageURI(passportID string) string { return p.baseURL + PagePath(passportID) }

// Claim is an identifier that somebody has taken for a passport.
type Claim struct {
	PassportID string    `json:"passport_id"`
	Occurrence int64     `json:"occurrence"`
	At         time.Time `json:"at"`

	// Its place among the bits that say which passports were revoked; list 0 means none.
	StatusList  int64 `json:"status_list,omitempty"`
	StatusIndex int64 `json:"status_index,omitempty"`
}

// Draft is what a passport will say. It is saved between the steps of an execution.
type Draft struct {
	Claim
	ModelID        string          `json:"model_id"`
	Version        string          `json:"version"`
	Event          Event           `json:"event"`
	Salt           string          `json:"salt"` // random, so that the annex's digest tells nothing
	Project        string          `json:"project"`
	Classification string          `json:"classification"`
	IssuedBy       string          `json:"issued_by"`
	ExecutionID    string          `json:"execution_id"`
	Model          ModelFacts      `json:"model"`
	Baseline       BaselineFacts   `json:"baseline"`
	Files          []FileFacts     `json:"files"`     // of the baseline
	Documents      []DocumentFacts `json:"documents"` // about the version
	Artifacts      []ArtifactHash  `json:"artifacts"` // hashed for this passport
	Metadata       json.RawMessage `json:"metadata"`  // what the caller said: a JSON object
}

// ModelFacts are what the registry says of the model and its version.
type ModelFacts struct {
	Name                string   `json:"name"`
	Family              string   `json:"family"`
	SafetyLevel         string   `json:"safety_level"`
	Regime              string   `json:"regime"`
	Owner               string   `json:"owner"`
	Description         string   `json:"description"`
	State               string   `json:"state"` // of the version, when the passport was made
	Framework           string   `json:"framework"`
	Supersedes          string   `json:"supersedes"`
	CompatibleWith      []string `json:"compatible_with"`
	SafetyImpact        string   `json:"safety_impact"`
	CertificationImpact string   `json:"certification_impact"`
}

// BaselineFacts are what the registry says of the frozen version.
type BaselineFacts struct {
	BaselineID      string    `json:"baseline_id"`
	FreezeID        string    `json:"freeze_id"`
	RootDigest      string    `json:"root_digest"`
	StatementDigest string    `json:"statement_digest"`
	KeyID           string    `json:"key_id"`
	Files           int64     `json:"files"`
	Bytes           int64     `json:"bytes"`
	FrozenAt        time.Time `json:"frozen_at"`
	FrozenBy        string    `json:"frozen_by"`
	VVReportID      string    `json:"vv_report_id"`
	VVReportVersion string    `json:"vv_report_version"`
}

// FileFacts is a file of the baseline, as the registry has it.
type FileFacts struct {
	Path   string `json:"path"`
	Role   string `json:"role"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

// DocumentFacts is a document about the version.
type DocumentFacts struct {
	DocumentID string `json:"document_id"`
	Version    string `json:"version"`
	Kind       string `json:"kind"`
	Status     string `json:"status"`
	Stated     string `json:"stated"`
	Digest     string `json:"digest"`
}

// ArtifactHash is an artifact that was read and hashed for the passport.
type ArtifactHash struct {
	URI    string `json:"uri"`
	Digest string `json:"digest"` // "SHA256:" and hex of what was read
	Size   int64  `json:"size"`   // bytes that were read
}

// Document is a passport's two files, made and signed.
type Document struct {
	PassportID string `json:"passport_id"`
	Credential []byte `json:"credential"` // canonical JSON
	Annex      []byte `json:"annex"`      // canonical JSON
	Digest     string `json:"digest"`     // of Credential
	AnnexHash  string `json:"annex_digest"`
	CID        string `json:"cid"`
	KeyID      string `json:"key_id"`
	Issuer     string `json:"issuer"`
}

// URI is the content address of the credential.
func (d *Document) URI() string { return "ipfs://" + d.CID }

// Issue makes a passport outside of an execution of DPP.CREATE, for events that CAOS
// enters by itself, such as ROLLBACK and RETIREMENT. Of the draft everything but Claim and
// Salt is the caller's. A failure leaves no passport. Errors: Invalid, Conflict.
func (p *Passports) Issue(ctx context.Context, d Draft, by By) (*Passport, error) {
	if d.IssuedBy == "" {
		d.IssuedBy = by.Actor
	}
	owner := by.Execution
	if owner == "" {
		owner = by.Actor
	}
	err := p.db.Update(ctx, func(tx *db.Tx) error {
		c, err := p.Claim(tx, ClaimRequest{ModelID: d.ModelID, Version: d.Version, Event: d.Event, ClaimedBy: owner})
		if err == nil {
			d.Claim = *c
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	d.Salt = NewSalt()
	made, err := p.finish(ctx, d, by)
	if err != nil {
		undo := p.db.Update(context.WithoutCancel(ctx), func(tx *db.Tx) error { return p.Release(tx, d.PassportID, owner) })
		if undo != nil {
			return nil, caos.Wrap(caos.KindOf(err), err, "the passport %s was not made, and its identifier stays taken", d.PassportID)
		}
		return nil, err
	}
	return made, nil
}

// finish signs, stores and inserts a claimed passport.
func (p *Passports) finish(ctx context.Context, d Draft, by By) (made *Passport, err error) {
	doc, err := p.Sign(ctx, d)
	if err != nil {
		return nil, err
	}
	if err := p.Store(ctx, doc); err != nil {
		return nil, err
	}
	err = p.db.Update(ctx, func(tx *db.Tx) error {
		if made, err = p.Insert(tx, d, doc, by); err != nil {
			return err
		}
		return p.Index(tx, d.PassportID)
	})
	return made, err
}

// signer returns the passport key's signer with its did:key.
func (p *Passports) signer() (sign.Signer, string, error) {
	s, err := p.keys.Signer(sign.Passport)
	if err != nil {
		return nil, "", err
	}
	pub, err := verify.PassportKey(s.Public())
	if err != nil {
		return nil, "", err
	}
	return s, verify.DIDKey(pub), nil
}
