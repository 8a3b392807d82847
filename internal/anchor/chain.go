package anchor

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"caos"
	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/verify"
)

// onChain records checkpoints with a contract: an anchor is a subject of internal/chain, written
// in the transaction that writes the anchor, and followed until the transaction is final. What
// the contract has is looked at before.
type onChain struct {
	s   *Service
	set chain.Settings

	largest atomic.Uint64 // leaves of the largest checkpoint that it had when it was asked

	// of the log nextOf: the first block whose entries were not compared yet
	mu     sync.Mutex
	next   uint64
	nextOf string
	lookAt time.Time // when it is to be looked at again; guarded by place.busy
}

func (c *onChain) kind() string { return verify.AnchorChain }
func (c *onChain) name() string {
	return fmt.Sprintf("chain:%d:%s", c.set.ChainID, strings.ToLower(c.set.Registry))
}

// subjectID is the id of a checkpoint among what is recorded on chains.
func subjectID(origin string, size int64) string { return origin + "@" + strconv.FormatInt(size, 10) }

// give wants no second transaction while one is on its way: with a chain that is down for a
// day there would be many of them. Nor is anything put on top of what the log did not lead to.
func (c *onChain) give(ctx context.Context, g given) (got, error) {
	waiting, err := c.s.pendingOf(ctx, c)
	if err != nil {
		return got{}, err
	}
	for _, a := range waiting {
		if a.Origin == g.point.Origin {
			return got{none: true}, nil
		}
	}
	last, err := c.look(ctx, g.point.Origin)
	if err != nil {
		return got{}, err
	}
	if last.Size > uint64(g.point.Size) { //nolint:gosec // sizes are not negative
		return got{none: true}, nil // another node was faster
	}
	return got{pending: true}, nil
}

// want has the checkpoint recorded. One that FAILED is wanted again.
func (c *onChain) want(tx *db.Tx, a *Anchor, fresh bool) error {
	sub := chain.Subject{
		Kind: chain.KindCheckpoint, ID: subjectID(a.Origin, a.Size), ModelID: a.Origin, Version: strconv.FormatInt(a.Size, 10),
		Timestamp: a.At.Unix(), Project: a.Project, Classification: a.Classification,
	}
	point, err := pointOf([]byte(a.Checkpoint))
	if err != nil {
		return err
	}
	sub.ContentHash = "SHA256:" + hex.EncodeToString(point.Root[:])
	if fresh {
		return c.s.opt.Chain.Want(tx, sub)
	}
	n, err := tx.ExecRows(`UPDATE anchors SET state = 'PENDING', error = '', at = $1 WHERE kind = $2 AND destination = $3 AND origin = $4 AND size = $5 AND state = 'FAILED'`,
		a.At.UnixMicro(), a.Kind, a.Destination, a.Origin, a.Size)
	if err != nil || n == 0 {
		return err
	}
	_, err = c.s.opt.Chain.Again(tx, sub.Kind, sub.ID, chain.By{Actor: caos.SystemPrincipal().ID, RecordedBy: a.AskedBy})
	return err
}

func (s *Service) pendingOf(ctx context.Context, d destination) ([]*Anchor, error) {
	list, _, err := s.List(ctx, Filter{Kind: d.kind(), Destination: d.name(), State: Pending, Limit: 20}, "")
	return list, err
}

// follow takes over what became of the checkpoints that are on their way onto a chain.
// p.busy is held.
func (s *Service) follow(ctx context.Context, p *place) error {
	c, ok := p.destination.(*onChain)
	if !ok {
		return nil
	}
	waiting, err := s.pendingOf(ctx, c)
	if err != nil || len(waiting) == 0 {
		return err
	}
	var ids []string
	for _, a := range waiting {
		ids = append(ids, subjectID(a.Origin, a.Size))
	}
	subjects, err := s.opt.Chain.SubjectsOf(ctx, chain.KindCheckpoint, ids)
	if err != nil {
		return err
	}
	for _, a := range waiting {
		sub, known := subjects[subjectID(a.Origin, a.Size)]
		if !known {
			return caos.Errorf(caos.Internal, "the checkpoint of %s is not known to the chain's table", a.AnchorID)
		}
		if err := s.settle(ctx, p, a, sub); err != nil {
			return err
		}
	}
	return nil
}

// settle takes over what became of one.
func (s *Service) settle(ctx context.Context, p *place, a *Anchor, sub chain.Subject) error {
	a.ExecutionID, a.TransactionID, a.TxHash = sub.ExecutionID, sub.TransactionID, sub.Hash
	if sub.BlockNumber != nil {
		a.Block = *sub.BlockNumber
	}
	switch sub.State {
	case chain.SubjectConfirmed:
		a.State, a.ConfirmedAt = Confirmed, s.opt.Now()
		return s.opt.DB.Update(ctx, func(tx *db.Tx) error {
			fresh, err := s.moved(tx, a)
			if err != nil || !fresh {
				return err
			}
			if err := errors.Join(s.record(tx, "anchored", a), s.emit(tx, EventConfirmed, a)); err != nil {
				return err
			}
			return s.well(tx, a, a.At.Add(s.opt.Settings.Every))
		})
	case chain.SubjectFailed:
		why, known := s.why(ctx, sub)
		if !known {
			return nil // its execution is about to say it
		}
		a.State, a.Error = Failed, clip(why, 1000)
		if err := s.opt.DB.Update(ctx, func(tx *db.Tx) error {
			fresh, err := s.moved(tx, a)
			if err != nil || !fresh {
				return err
			}
			return errors.Join(s.record(tx, "anchor_failed", a), s.emit(tx, EventFailed, a))
		}); err != nil {
			return err
		}
		return s.chainFailed(ctx, p, a)
	}
	if s.opt.Now().Sub(a.At) < s.opt.AlertAfter {
		return nil
	}
	row, err := s.row(ctx, p)
	if err != nil || row.alertID != "" {
		return err
	}
	row.failingSince = a.At.UnixMicro()
	return s.failed(ctx, p, row, caos.Errorf(caos.Unavailable, "the checkpoint of %d leaves is not on the chain after %s (%s): %s", a.Size, s.opt.Now().Sub(a.At).Round(time.Second),
		sub.State, sub.Reason).WithHint("caos chain status says what holds the chain up"))
}

// sayingIts is how long the execution of a call that failed is waited for: it asks the contract
// why, which internal/chain does not.
const sayingIts = 2 * time.Minute

// why is why a checkpoint was not recorded, in the words of its execution if it has any. known
// is false while these may still come.
func (s *Service) why(ctx context.Context, sub chain.Subject) (why string, known bool) {
	if s.opt.Why == nil || sub.ExecutionID == "" {
		return sub.Reason, true
	}
	over, failure, err := s.opt.Why(ctx, sub.ExecutionID)
	switch {
	case err == nil && failure != nil:
		return failure.Message, true
	case err != nil || over || s.opt.Now().Sub(sub.ChangedAt) > sayingIts:
		return sub.Reason, true
	}
	return "", false
}

// moved writes the state of an anchor that was PENDING; fresh is false when somebody else was
// faster.
func (s *Service) moved(tx *db.Tx, a *Anchor) (fresh bool, err error) {
	n, err := tx.ExecRows(`UPDATE anchors SET state = $1, error = $2, confirmed_at = $3, execution_id = $4, transaction_id = $5, tx_hash = $6, block = $7, block_hash = $8
		WHERE anchor_id = $9 AND state = 'PENDING'`,
		string(a.State), a.Error, db.Micros(a.ConfirmedAt), a.ExecutionID, a.TransactionID, a.TxHash, int64(a.Block), a.BlockHash, a.AnchorID) //nolint:gosec // of a chain's blocks
	return n == 1, err
}

var numbers = regexp.MustCompile(`[0-9]+`)

// chainFailed judges why a contract refused a checkpoint. That it has another root of this
// size, or a larger tree than the log has, no honest log brings about.
func (s *Service) chainFailed(ctx context.Context, p *place, a *Anchor) error {
	row, err := s.row(ctx, p)
	if err != nil {
		return err
	}
	var failure error = caos.Errorf(caos.Unavailable, "the checkpoint of %d leaves was not recorded: %s", a.Size, a.Error).
		WithHint("caos execution show %s says more", a.ExecutionID)
	if known := refusal(a); known != nil {
		failure = known
	}
	_, stale, isStale := strings.Cut(a.Error, "StaleAnchor")
	switch {
	case strings.Contains(a.Error, "ForkedAnchor"):
		failure = diverged("the contract has another root for the tree of %d leaves: %s", a.Size, a.Error)
	case isStale:
		size, _, err := s.opt.Log.Root(ctx)
		if err != nil {
			return err
		}
		for _, n := range numbers.FindAllString(stale, 4) {
			if v, err := strconv.ParseInt(n, 10, 64); err != nil || v > size {
				failure = diverged("the contract has a tree of %s leaves, and the log has %d: %s", n, size, a.Error)
			}
		}
	}
	var d *divergence
	if c, ok := p.destination.(*onChain); ok && errors.As(failure, &d) && s.opt.Registry != nil {
		failure = c.confirm(ctx, a, d)
	}
	return s.failed(ctx, p, row, failure)
}

// confirm asks the registry for what its refusal says: the words of a refusal are those of one
// endpoint, and an accusation must not rest on them.
func (c *onChain) confirm(ctx context.Context, a *Anchor, said *divergence) error {
	ctx, cancel := context.WithTimeout(ctx, c.s.opt.Patience)
	defer cancel()
	if _, err := c.look(ctx, a.Origin); err != nil {
		return err // the divergence itself, if there is one
	}
	at, err := c.s.opt.Registry.AnchorAt(ctx, a.Origin, uint64(a.Size)) //nolint:gosec // sizes are not negative
	if err != nil {
		return err
	}
	if at.Size > 0 {
		if err := c.judge(ctx, a.Origin, at); err != nil {
			return err
		}
	}
	return caos.Errorf(caos.Unavailable, "an endpoint says that %s; the registry itself does not say so", said.what).
		WithHint("one of the chain's endpoints is wrong: caos chain status; the checkpoint is tried again")
}
