package chain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"caos/internal/db"
)

// move is a change of a transaction's state that the chain asks for.
type move struct {
	r       *row
	to      Status // Sent (its block is gone), Mined, Confirmed, Failed, Prepared (its nonce is lost)
	receipt *types.Receipt
	version version // which attempt was mined
	mined   bool    // it becomes final in the look that found its block: that is told, too
	reorg   bool    // its block is gone
	reason  string  // of Failed without a receipt
}

// hash is that of the attempt that was mined.
func (m *move) hash() common.Hash {
	if m.receipt != nil {
		return m.receipt.TxHash
	}
	return common.HexToHash(m.r.Hash)
}

// inOne is how many moves are one function of a commit: it has 250 ms.
const inOne = 16

// apply writes the moves of an account. Functions that wait together share a commit.
func (k *keeper) apply(ctx context.Context, ch *charge) error {
	moves := ch.moves
	ch.moves = nil
	errs := make([]error, (len(moves)+inOne-1)/inOne)
	var parts sync.WaitGroup
	for i := range errs {
		part := moves[i*inOne : min(len(moves), (i+1)*inOne)]
		parts.Go(func() {
			errs[i] = k.c.opt.DB.Update(ctx, func(tx *db.Tx) error {
				ch.a.lease.fence(tx, ch.epoch)
				for _, m := range part {
					if err := k.c.move(tx, m); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	parts.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, m := range moves {
		if m.to == Prepared {
			k.c.lostNonce(ctx, m.r)
		}
		if m.to == Sent { // it goes out again in this look
			m.r.BlockNumber = nil
			if m.r.Status.Final() {
				ch.rows = append(ch.rows, m.r)
			}
		}
		m.r.Status = m.to
	}
	slices.SortStableFunc(ch.rows, func(a, b *row) int { return cmp.Compare(number(a.Nonce), number(b.Nonce)) })
	return nil
}

// number is a number that may be missing.
func number(n *uint64) uint64 {
	if n == nil {
		return 0
	}
	return *n
}

// move changes one transaction. Whatever is written about it is written here.
func (c *Chain) move(tx *db.Tx, m *move) error {
	now, was := c.now(), m.r.Transaction
	t := was // what is told in a function that is undone must not stay
	t.Hashes = m.r.Hashes
	t.Status = m.to
	live, words := int64(1), map[string]any{}
	switch {
	case m.to == Prepared || m.to == Failed && m.receipt == nil:
		return c.moveLost(tx, m, &t)
	case m.to == Sent:
		t.BlockNumber, t.BlockHash, t.GasUsed, t.EffectiveGasPrice, t.Confirmations, t.Reverted, t.MinedAt, t.ConfirmedAt, t.Reason = nil, "", nil, "", 0, false, nil, nil, ""
		words["vanished_block"] = was.BlockHash
	default:
		number, used := m.receipt.BlockNumber.Uint64(), m.receipt.GasUsed
		t.Hash, t.BlockNumber, t.BlockHash, t.GasUsed = m.receipt.TxHash.Hex(), &number, m.receipt.BlockHash.Hex(), &used
		t.Reverted, t.Reason, t.Confirmations = m.receipt.Status != types.ReceiptStatusSuccessful, "", 0
		t.EffectiveGasPrice = "0"
		if m.receipt.EffectiveGasPrice != nil {
			t.EffectiveGasPrice = m.receipt.EffectiveGasPrice.String()
		}
		if tip := c.view.number(); tip >= number {
			t.Confirmations = tip - number + 1
		}
		if was.MinedAt == nil || m.reorg {
			t.MinedAt = &now
		}
		words["block_number"], words["block_hash"], words["gas_used"] = number, t.BlockHash, used
		if m.to.Final() {
			t.ConfirmedAt, live = &now, 2
			words["confirmations"] = t.Confirmations
		} else {
			t.ConfirmedAt = nil
		}
		if m.to == Failed {
			t.Reason = fmt.Sprintf("%s: the contract refused in block %d", ReasonReverted, number)
			if m.version.cancels {
				t.Reason = ReasonRefused + ": the network would not take it, and a transaction that does nothing has spent its nonce: " + m.r.refusal()
			}
			words["reason"] = t.Reason
		}
	}
	tx.ExecOne(errMoved(&was), `UPDATE chain_transactions SET status = $1, reason = $2, live = $3, overtaken_block = 0, hash = $4, block_number = $5, block_hash = $6, reverted = $7,
			gas_used = $8, effective_gas_price = $9, confirmations = $10, mined_at = $11, confirmed_at = $12
		WHERE transaction_id = $13 AND (status = $14 OR status = 'SENT' AND $15 = 'SIGNED') AND attempts = $16`,
		string(t.Status), t.Reason, live, t.Hash, signedNumber(t.BlockNumber), t.BlockHash, flag(t.Reverted),
		signedNumber(t.GasUsed), t.EffectiveGasPrice, int64(t.Confirmations), db.Instant(t.MinedAt), db.Instant(t.ConfirmedAt),
		t.TransactionID, string(was.Status), string(was.Status), int64(was.Attempts))
	if m.reorg {
		words["reorganised"] = true
		if err := c.reorganised(tx, m, &was); err != nil {
			return err
		}
	}
	return c.announce(tx, m, &t, words)
}

// refusal is what the network said of a transaction before it was cancelled.
func (r *row) refusal() string {
	words := "no more is known"
	for _, v := range r.versions {
		if !v.cancels && v.err != "" {
			words = v.err
		}
	}
	return words
}

// signedNumber is a column that may be NULL.
func signedNumber(n *uint64) any {
	if n == nil {
		return nil
	}
	return int64(*n)
}

// announce writes and tells what every move has to, and settles the subject.
func (c *Chain) announce(tx *db.Tx, m *move, t *Transaction, words map[string]any) error {
	events := map[Status]string{Sent: EventSent, Mined: EventMined, Confirmed: EventConfirmed, Failed: EventFailed}
	what := map[Status]string{Sent: "transaction is out of its block", Mined: "transaction mined", Confirmed: "transaction confirmed", Failed: "transaction failed", Prepared: "nonce lost"}
	err := c.transactionRecord(tx, itself(t.ExecutionID), t, what[t.Status], words)
	if m.mined {
		early := *t
		early.Status, early.Reason = Mined, ""
		err = errors.Join(err, c.tell(tx, EventMined, &early, m.reorg))
	}
	if kind := events[t.Status]; kind != "" {
		err = errors.Join(err, c.tell(tx, kind, t, m.reorg))
	}
	if err != nil {
		return err
	}
	if t.Status.Final() {
		if err := c.over(tx, metricRefused, t.TransactionID, "it is "+string(t.Status)); err != nil {
			return err
		}
	}
	if _, err := c.Settle(tx, t.ExecutionID, t); err != nil {
		return err
	}
	return c.wake(tx, t)
}

// reorganised says that what was final is not. What was only mined is the chain's daily
// business.
func (c *Chain) reorganised(tx *db.Tx, m *move, was *Transaction) error {
	if !was.Status.Final() {
		return nil
	}
	return c.alarm(tx, alarm{kind: "COMPLIANCE", metric: "confirmed_transaction_vanished", subject: was.TransactionID, severity: critical,
		message: fmt.Sprintf("the chain was reorganised deeper than %d blocks: %s, which was %s, is not in block %s any more. It is sent again.",
			c.opt.Settings.Confirmations, was.TransactionID, was.Status, was.BlockHash),
		project: was.Project, classification: was.Classification, actions: []string{"ask for more confirmations", "investigate"}})
}

// moveLost takes a nonce away from a transaction. It gets another, until it has lost several.
func (c *Chain) moveLost(tx *db.Tx, m *move, t *Transaction) error {
	was, now := m.r.Transaction, c.now()
	t.Nonce, t.Reason = nil, m.reason
	live, asked := int64(1), int64(1)
	if m.to == Failed {
		live, asked, t.ConfirmedAt = 0, 0, &now
	}
	tx.ExecOne(errMoved(&was), `UPDATE chain_transactions SET status = $1, reason = $2, live = $3, asked = $4, nonce = NULL, lost = lost + 1, overtaken_block = 0, confirmed_at = $5
		WHERE transaction_id = $6 AND status IN ('SIGNED', 'SENT') AND attempts = $7 AND nonce = $8`,
		string(m.to), t.Reason, live, asked, db.Instant(t.ConfirmedAt), t.TransactionID, int64(was.Attempts), signedNumber(was.Nonce))
	tx.Exec(`UPDATE chain_attempts SET dead = 1 WHERE transaction_id = $1`, t.TransactionID)
	return c.announce(tx, m, t, map[string]any{"lost_nonce": *was.Nonce, "reason": m.reason})
}

// lostNonce has a transaction signed under another nonce, and says why.
func (c *Chain) lostNonce(ctx context.Context, r *row) {
	c.raise(ctx, alarm{kind: "COMPLIANCE", metric: "account_used_elsewhere", subject: r.From, severity: high, actions: []string{"find out who has the key"},
		message: fmt.Sprintf("another wallet used the account %s: it spent the nonce %d of %s, which is sent under another", r.Account, *r.Nonce, r.TransactionID)})
	if a := c.accounts[common.HexToAddress(r.From)]; a != nil {
		a.enqueue(r.TransactionID)
	}
}

// longAgo reports whether a moment is further back than d.
func (c *Chain) longAgo(at time.Time, d time.Duration) bool { return c.opt.Now().Sub(at) >= d }
