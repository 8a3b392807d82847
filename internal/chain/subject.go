package chain

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"caos"
	"caos/internal/auditlog"
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

const subjectColumns = `kind, id, model_id, version, content_hash, stated_at, state, round, execution_id, transaction_id, hash, block_number, reason, project, classification,
	wanted_at, changed_at`

func scanSubject(scan func(...any) error) (*Subject, error) {
	var s Subject
	var kind, state string
	var wanted, changed int64
	var block *int64
	err := scan(&kind, &s.ID, &s.ModelID, &s.Version, &s.ContentHash, &s.Timestamp, &state, &s.Round, &s.ExecutionID, &s.TransactionID, &s.Hash, &block, &s.Reason,
		&s.Project, &s.Classification, &wanted, &changed)
	s.Kind, s.State, s.BlockNumber, s.WantedAt, s.ChangedAt = SubjectKind(kind), SubjectState(state), unsigned(block), db.Moment(wanted), db.Moment(changed)
	return &s, err
}

var contentHash = regexp.MustCompile(`^SHA256:[0-9a-f]{64}$`)

func kinds() []SubjectKind {
	return []SubjectKind{KindPassport, KindAudit, KindEvidence, KindCheckpoint}
}

// Want has a subject recorded. One that is known stays as it is. It writes a row and may
// be called when an audit record's hash is known (engine's OnRecorded).
func (c *Chain) Want(tx *db.Tx, s Subject) error {
	if !slices.Contains(kinds(), s.Kind) || s.ID == "" || !db.Storable(s.ID+s.ModelID+s.Version) || !contentHash.MatchString(s.ContentHash) {
		return caos.Errorf(caos.Internal, "not something that can be recorded: %s %.80q %.80q", s.Kind, s.ID, s.ContentHash)
	}
	now := c.now()
	if s.Timestamp <= 0 {
		s.Timestamp = now.Unix()
	}
	tx.Exec(`INSERT INTO chain_subjects (kind, id, model_id, version, content_hash, stated_at, state, round, tries, next_at, execution_id, transaction_id, hash, block_number,
			reason, project, classification, wanted_at, changed_at)
		VALUES ($1, $2, $3, $4, $5, $6, 'WANTED', 1, 0, 0, '', '', '', NULL, '', $7, $8, $9, $10)
		ON CONFLICT (kind, id) DO NOTHING`,
		string(s.Kind), s.ID, s.ModelID, s.Version, s.ContentHash, s.Timestamp, s.Project, s.Classification, now.UnixMicro(), now.UnixMicro())
	tx.AfterCommit(func() { poke(c.wanted) })
	return nil
}

// awaken is how many subjects a change of the contracts wakes: more is too much for one
// commit. The others look for themselves, ten minutes later at most.
const awaken = 1000

// awake has subjects tried now that could not be started: what kept them from it may be
// another since this commit.
func (c *Chain) awake(tx *db.Tx) {
	now := c.now().UnixMicro()
	tx.Exec(`UPDATE chain_subjects SET next_at = $1 WHERE state = 'WANTED' AND next_at > $2 AND (kind, id) IN (SELECT kind, id FROM chain_subjects
		WHERE state = 'WANTED' AND next_at > $3 ORDER BY next_at LIMIT $4)`, now, now, now, awaken)
	tx.AfterCommit(func() { poke(c.wanted) })
}

// Again wants a subject that FAILED once more. Any other is a Conflict.
func (c *Chain) Again(tx *db.Tx, kind SubjectKind, id string, by By) (*Subject, error) {
	s, err := c.SubjectIn(tx, kind, id)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, caos.Errorf(caos.NotFound, "%s %.80q was never to be recorded", kind, id)
	}
	if s.State != SubjectFailed {
		return nil, caos.Errorf(caos.Conflict, "%s %s is %s", kind, id, s.State).WithHint("only what FAILED is recorded anew")
	}
	if err := c.follow(tx, s); err != nil {
		return nil, err
	}
	now := c.now()
	tx.ExecOne(caos.Errorf(caos.Conflict, "%s %s was changed meanwhile", kind, id), `UPDATE chain_subjects SET state = 'WANTED', round = round + 1, tries = 0, next_at = 0,
			execution_id = '', transaction_id = '', hash = '', block_number = NULL, reason = '', changed_at = $1 WHERE kind = $2 AND id = $3 AND state = 'FAILED'`,
		now.UnixMicro(), string(kind), id)
	tx.AfterCommit(func() { poke(c.wanted) })
	err = c.record(tx, by, auditlog.Record{Resources: []string{id}, Details: map[string]any{"event": "subject wanted again", "kind": kind, "round": s.Round + 1, "reason": s.Reason},
		Project: s.Project, Classification: s.Classification})
	if err != nil {
		return nil, err
	}
	return c.SubjectIn(tx, kind, id)
}

// Link says which execution records a subject that is WANTED. A subject that is further is
// left alone.
func (c *Chain) Link(tx *db.Tx, kind SubjectKind, id, executionID string) error {
	n, err := tx.ExecRows(`UPDATE chain_subjects SET state = 'STARTED', execution_id = $1, reason = '', changed_at = $2 WHERE kind = $3 AND id = $4 AND state = 'WANTED'`,
		executionID, c.now().UnixMicro(), string(kind), id)
	if err != nil || n == 0 {
		return err
	}
	if err := c.started(tx, kind, executionID); err != nil {
		return err
	}
	// The execution may have come further before it was linked.
	t, err := c.TransactionOf(tx, executionID)
	if err != nil || t == nil {
		return err
	}
	_, err = c.Settle(tx, executionID, t)
	return err
}

// Settle takes over into an execution's subject what became of its transaction. It returns
// the subject, nil if the execution records none. The keeper does the same of itself.
func (c *Chain) Settle(tx *db.Tx, executionID string, t *Transaction) (*Subject, error) {
	if executionID == "" || t == nil {
		return nil, nil
	}
	state := Started
	switch t.Status {
	case Confirmed:
		state = SubjectConfirmed
	case Failed:
		state = SubjectFailed
	}
	reason := ""
	if state == SubjectFailed {
		reason = t.Reason
	}
	var block any
	if t.BlockNumber != nil {
		block = int64(*t.BlockNumber)
	}
	var s *Subject
	err := tx.Query(`UPDATE chain_subjects SET state = $1, transaction_id = $2, hash = $3, block_number = $4, reason = $5, changed_at = $6
		WHERE execution_id = $7 RETURNING `+subjectColumns,
		[]any{string(state), t.TransactionID, t.Hash, block, reason, c.now().UnixMicro(), executionID}, func(scan func(...any) error) (err error) {
			s, err = scanSubject(scan)
			return err
		})
	if err != nil || s == nil {
		return s, err
	}
	switch state {
	case SubjectFailed:
		err = c.notRecorded(tx, s)
	case SubjectConfirmed:
		err = errors.Join(c.started(tx, s.Kind, executionID), c.over(tx, metricNotRecorded, s.ID, "it is recorded by "+t.TransactionID))
	}
	return s, err
}

// notRecorded says that something is not on the chain that was to be.
func (c *Chain) notRecorded(tx *db.Tx, s *Subject) error {
	if err := c.follow(tx, s); err != nil {
		return err
	}
	return c.alarm(tx, alarm{kind: "CHAIN", metric: metricNotRecorded, subject: s.ID, severity: high, actions: []string{"remove the cause", "record it again"},
		message: fmt.Sprintf("%s %s was not recorded on the chain: %s", s.Kind, s.ID, s.Reason), project: s.Project, classification: s.Classification})
}

func findSubject(q query, kind SubjectKind, id string) (*Subject, error) {
	if !db.Storable(id) || !db.Storable(string(kind)) {
		return nil, nil
	}
	var s *Subject
	err := q(`SELECT `+subjectColumns+` FROM chain_subjects WHERE kind = $1 AND id = $2`, []any{string(kind), id}, func(scan func(...any) error) (err error) {
		s, err = scanSubject(scan)
		return err
	})
	return s, err
}

// SubjectOf returns a subject, or nil if it was never wanted.
func (c *Chain) SubjectOf(ctx context.Context, kind SubjectKind, id string) (*Subject, error) {
	return findSubject(c.opt.DB.Reader(ctx), kind, id)
}

// SubjectIn is SubjectOf as a transaction sees it.
func (c *Chain) SubjectIn(tx *db.Tx, kind SubjectKind, id string) (*Subject, error) {
	return findSubject(tx.Query, kind, id)
}

// SubjectsOf returns those of a kind with one of at most 1000 ids, by id.
func (c *Chain) SubjectsOf(ctx context.Context, kind SubjectKind, ids []string) (map[string]Subject, error) {
	out := map[string]Subject{}
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !db.Storable(id) })
	for ids = ids[:min(len(ids), 1000)]; len(ids) > 0; {
		part := ids[:min(some, len(ids))]
		ids = ids[len(part):]
		args := []any{string(kind)}
		for _, id := range part {
			args = append(args, id)
		}
		err := c.opt.DB.Reader(ctx)(`SELECT `+subjectColumns+` FROM chain_subjects WHERE kind = $1 AND id IN (`+places(2, len(part))+`)`, args, func(scan func(...any) error) error {
			s, err := scanSubject(scan)
			out[s.ID] = *s
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Subjects lists subjects, the newest first.
func (c *Chain) Subjects(ctx context.Context, f SubjectFilter, cursor string) ([]*Subject, string, error) {
	w := new(db.Where)
	w.Is("kind", string(f.Kind))
	w.Is("state", string(f.State))
	w.Is("project", f.Project)
	return db.Page(c.opt.DB.Reader(ctx), w, db.Listing[*Subject]{Columns: subjectColumns, From: "chain_subjects", At: "wanted_at", ID: "id", Limit: f.Limit,
		Scan: scanSubject, Key: func(s *Subject) (time.Time, string) { return s.WantedAt, s.ID },
	}, cursor)
}

// The starting of what is wanted. One node does it, one subject at a time. What is started
// twice, because a node died before it was written down, is one execution, by its key.

const starterLease = "starter"

// startWanted starts subjects until the context ends.
func (c *Chain) startWanted(ctx context.Context) {
	l := &lease{c: c, name: starterLease}
	sweep := time.Time{}
	for ctx.Err() == nil {
		pause := time.Second
		if err := l.hold(ctx); err != nil {
			pause = c.opt.Lease / 4
		} else if c.opt.Now().Sub(sweep) > time.Minute {
			sweep = c.opt.Now()
			if err := c.endStarted(ctx); err != nil {
				c.warn(ctx, "look for subjects that were left behind", err)
			}
		} else if more, err := c.startNext(ctx); err != nil {
			c.warn(ctx, "start what is to be recorded", err)
		} else if more {
			continue
		}
		select {
		case <-ctx.Done():
		case <-c.wanted:
		case <-time.After(pause):
		}
	}
	l.drop()
}

// startNext starts the oldest subject whose time has come; more says that there was one.
func (c *Chain) startNext(ctx context.Context) (more bool, err error) {
	var s *Subject
	var tries int64
	now := c.now()
	err = c.opt.DB.Reader(ctx)(`SELECT `+subjectColumns+`, tries FROM chain_subjects WHERE state = 'WANTED' AND next_at <= $1 ORDER BY next_at, wanted_at LIMIT 1`, []any{now.UnixMicro()},
		func(scan func(...any) error) (err error) {
			s, err = scanSubject(func(dest ...any) error { return scan(append(dest, &tries)...) })
			return err
		})
	if err != nil || s == nil {
		return false, err
	}
	id, err := c.opt.Start(ctx, *s)
	if ctx.Err() != nil {
		return false, nil
	}
	if err == nil {
		return true, c.opt.DB.Update(ctx, func(tx *db.Tx) error { return c.Link(tx, s.Kind, s.ID, id) })
	}
	// It stays wanted: what is missing (a contract, an account, a role) can be put right.
	pause := min(time.Second<<min(tries, 10), 10*time.Minute)
	c.log.Warn("chain: cannot start what is to be recorded", "kind", s.Kind, "id", s.ID, "error", err)
	reason := caos.AsError(err).Error()
	if hint := caos.AsError(err).Hint; hint != "" {
		reason += "; " + hint
	}
	after := c.opt.DB.Update(ctx, func(tx *db.Tx) error {
		tx.Exec(`UPDATE chain_subjects SET tries = tries + 1, next_at = $1, reason = $2 WHERE kind = $3 AND id = $4 AND state = 'WANTED'`,
			now.Add(pause).UnixMicro(), clip(reason, maxReason), string(s.Kind), s.ID)
		if err := c.follow(tx, s); err != nil {
			return err
		}
		if tries < triesAlert || caos.KindOf(err).Retryable() {
			return nil
		}
		return c.alarm(tx, alarm{kind: "CHAIN", metric: metricNotStarted, subject: string(s.Kind), severity: high,
			message: fmt.Sprintf("%s %s cannot be recorded on the chain: %s", s.Kind, s.ID, caos.AsError(err).Message), project: s.Project, classification: s.Classification})
	})
	return true, after
}

// endStarted finds subjects whose execution is over although nothing was said of them.
func (c *Chain) endStarted(ctx context.Context) error {
	if c.opt.Ended == nil {
		return nil
	}
	var left []*Subject
	err := c.opt.DB.Reader(ctx)(`SELECT `+subjectColumns+` FROM chain_subjects WHERE state = 'STARTED' AND next_at <= $1 AND changed_at < $2 ORDER BY changed_at LIMIT 100`,
		[]any{c.now().UnixMicro(), c.now().Add(-time.Minute).UnixMicro()}, func(scan func(...any) error) error {
			s, err := scanSubject(scan)
			left = append(left, s)
			return err
		})
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range left {
		errs = append(errs, c.opt.DB.Update(ctx, func(tx *db.Tx) error { return c.endSubject(tx, s) }))
	}
	return errors.Join(errs...)
}

func (c *Chain) endSubject(tx *db.Tx, s *Subject) error {
	t, err := c.TransactionOf(tx, s.ExecutionID)
	if err != nil {
		return err
	}
	if t != nil { // the keeper sees to it
		_, err = c.Settle(tx, s.ExecutionID, t)
		return err
	}
	over, err := c.opt.Ended(tx, s.ExecutionID)
	if err != nil || !over {
		return err
	}
	reason := "its execution " + s.ExecutionID + " ended and sent nothing"
	n, err := tx.ExecRows(`UPDATE chain_subjects SET state = 'FAILED', reason = $1, changed_at = $2 WHERE kind = $3 AND id = $4 AND state = 'STARTED' AND execution_id = $5`,
		reason, c.now().UnixMicro(), string(s.Kind), s.ID, s.ExecutionID)
	if err != nil || n == 0 {
		return err
	}
	failed := *s
	failed.Reason = reason
	if err := c.notRecorded(tx, &failed); err != nil {
		return err
	}
	return c.record(tx, itself(s.ExecutionID), auditlog.Record{Resources: []string{s.ID}, Details: map[string]any{"event": "subject failed", "kind": s.Kind, "reason": reason},
		Project: failed.Project, Classification: failed.Classification})
}
