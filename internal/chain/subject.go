package chain

import (
	"context"
	"fmt"
	"time"

	"caos/internal/db"
)

// SubjectKind says what of ours is recorded.
type SubjectKind string

// The kinds of subject. Stored: never rename one.
const (
	KindPassport   SubjectKind = "passport"   // content hash: the credential's digest
	KindAudit      SubjectKind = "audit"      // content hash: the record's leaf hash
	KindEvidence   SubjectKind = "evidence"   // content hash: the artifact's digest
	KindCheckpoint SubjectKind = "checkpoint" // model id: the log's origin; version: its size in decimal; content hash: its root
)

// SubjectState is how far the recording of a subject is.
type SubjectState string

// The states of a subject.
const (
	Wanted           SubjectState = "WANTED"
	Started          SubjectState = "STARTED"   // an execution does it
	SubjectConfirmed SubjectState = "CONFIRMED" // it is on the chain
	SubjectFailed    SubjectState = "FAILED"
)

// Subject is something of ours that is recorded on the chain, once. Timestamp is fixed
// when it is first wanted, so that every attempt says the same.
type Subject struct {
	Kind           SubjectKind  `json:"kind"`
	ID             string       `json:"id"`
	ModelID        string       `json:"model_id,omitempty"`
	Version        string       `json:"version,omitempty"`
	ContentHash    string       `json:"content_hash,omitempty"` // SHA256:…
	Timestamp      int64        `json:"timestamp,omitempty"`    // unix seconds
	Project        string       `json:"project,omitempty"`
	Classification string       `json:"classification,omitempty"`
	State          SubjectState `json:"state,omitempty"`
	Round          int          `json:"round,omitempty"` // from 1; one more for each Again
	ExecutionID    string       `json:"execution_id,omitempty"`
	TransactionID  string       `json:"transaction_id,omitempty"`
	Hash           string       `json:"hash,omitempty"` // of the transaction
	BlockNumber    *uint64      `json:"block_number,omitempty"`
	Reason         string       `json:"reason,omitempty"` // why it FAILED, or is not started yet
	WantedAt       time.Time    `json:"wanted_at"`
	ChangedAt      time.Time    `json:"changed_at"`
}

// Key is the idempotency key of the execution that records the subject.
func (s Subject) Key() string {
	key := "chain/" + string(s.Kind) + "/" + s.ID
	if s.Round > 1 {
		key += fmt.Sprint("/", s.Round)
	}
	return key
}

// SubjectFilter chooses subjects; empty fields match all.
type SubjectFilter struct {
	Kind    SubjectKind
	State   SubjectState
	Project string
	Limit   int // of a page; 0 means 100
}

// Want has a subject recorded. One that is known stays as it is. It writes a row and may
// be called when an audit record's hash is known (engine's OnRecorded).
func (c *Chain) Want(tx *db.Tx, s Subject) error { return errSoon() }

// Again wants a subject that FAILED once more. Any other is a Conflict.
func (c *Chain) Again(tx *db.Tx, kind SubjectKind, id string, by By) (*Subject, error) {
	return nil, errSoon()
}

// Link says which execution records a subject that is WANTED. A subject that is further is
// left alone.
func (c *Chain) Link(tx *db.Tx, kind SubjectKind, id, executionID string) error { return errSoon() }

// Settle takes over into an execution's subject what became of its transaction. It returns
// the subject, nil if the execution records none. The keeper does the same of itself.
func (c *Chain) Settle(tx *db.Tx, executionID string, t *Transaction) (*Subject, error) {
	return nil, errSoon()
}

// SubjectOf returns a subject, or nil if it was never wanted.
func (c *Chain) SubjectOf(ctx context.Context, kind SubjectKind, id string) (*Subject, error) {
	return nil, errSoon()
}

// SubjectIn is SubjectOf as a transaction sees it.
func (c *Chain) SubjectIn(tx *db.Tx, kind SubjectKind, id string) (*Subject, error) {
	return nil, errSoon()
}

// SubjectsOf returns those of a kind with one of at most 1000 ids, by id.
func (c *Chain) SubjectsOf(ctx context.Context, kind SubjectKind, ids []string) (map[string]Subject, error) {
	return nil, errSoon()
}

// Subjects lists subjects, the newest first.
func (c *Chain) Subjects(ctx context.Context, f SubjectFilter, cursor string) ([]*Subject, string, error) {
	return nil, "", errSoon()
}
