package chain

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"caos"
	"caos/internal/db"
	"caos/internal/ethereum"
)

// cryWidth is how many transactions are sent at once. Nodes keep only so many whose nonce is
// ahead of what they have seen; with the lowest first and not all at once, few are.
const cryWidth = 24

// ways lets a few through at a time, the lowest nonce first.
type ways struct {
	mu    sync.Mutex
	free  int
	queue waiters
}

type waiter struct {
	nonce uint64
	place int // in the heap, -1: let through
	go_   chan struct{}
}

func newWays(n int) *ways { return &ways{free: n} }

// enter waits for a way. leave is to be called afterwards, unless there is an error.
func (w *ways) enter(ctx context.Context, nonce uint64) error {
	w.mu.Lock()
	if w.free > 0 {
		w.free--
		w.mu.Unlock()
		return nil
	}
	me := &waiter{nonce: nonce, go_: make(chan struct{})}
	heap.Push(&w.queue, me)
	w.mu.Unlock()
	select {
	case <-me.go_:
		return nil
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if me.place >= 0 {
		heap.Remove(&w.queue, me.place)
	} else { // let through meanwhile
		w.pass()
	}
	return ctx.Err()
}

func (w *ways) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pass()
}

// pass gives a way to whoever is next. The caller holds mu.
func (w *ways) pass() {
	if len(w.queue) == 0 {
		w.free++
		return
	}
	close(heap.Pop(&w.queue).(*waiter).go_)
}

// waiters is a heap.
type waiters []*waiter

// Len, Less, Swap, Push and Pop are heap.Interface.
func (q waiters) Len() int           { return len(q) }
func (q waiters) Less(i, j int) bool { return q[i].nonce < q[j].nonce }
func (q waiters) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push is of heap.Interface.
func (q *waiters) Push(x any) {
	w := x.(*waiter)
	w.place = len(*q)
	*q = append(*q, w)
}

// Pop is of heap.Interface.
func (q *waiters) Pop() any {
	last := len(*q) - 1
	w := (*q)[last]
	w.place = -1
	*q = (*q)[:last]
	return w
}

// Submit sends a signed transaction to the network, unless that was done. It may be called
// any number of times, on any node. Unavailable means that no endpoint took it yet: it goes
// out later by itself, and trying again does no harm. What the network refuses for other
// causes is no error: the transaction's reason says so, and the keeper sees to it.
func (c *Chain) Submit(ctx context.Context, id string) (*Transaction, error) {
	if c.net == nil {
		return nil, errNoChain()
	}
	t, err := c.Transaction(ctx, id)
	if err != nil {
		return nil, err
	}
	switch {
	case t.Status == Prepared && t.Attempts == 0:
		return nil, caos.Errorf(caos.Conflict, "%s is not signed", id)
	case t.Status != Signed:
		return t, nil
	}
	if err := c.elsewhere(t); err != nil {
		return nil, err
	}
	r := &row{Transaction: *t}
	if err := c.readVersions(ctx, []*row{r}); err != nil {
		return nil, err
	}
	if len(r.versions) == 0 {
		return nil, caos.Errorf(caos.Internal, "%s is signed, and its bytes are gone", id)
	}
	err = c.cry(ctx, r)
	return &r.Transaction, err
}

// readVersions reads the live attempts of transactions.
func (c *Chain) readVersions(ctx context.Context, list []*row) error {
	byID := map[string]*row{}
	ids := make([]any, len(list))
	for i, r := range list {
		byID[r.TransactionID], ids[i], r.versions = r, r.TransactionID, nil
	}
	for len(ids) > 0 {
		part := ids[:min(some, len(ids))]
		ids = ids[len(part):]
		err := c.opt.DB.Reader(ctx)(`SELECT transaction_id, n, hash, nonce, raw, max_fee, tip, cancels, sent_at, error FROM chain_attempts
			WHERE transaction_id IN (`+places(1, len(part))+`) AND dead = 0 ORDER BY transaction_id, n`, part, func(scan func(...any) error) error {
			var v version
			var id, hash, raw, fee, tip string
			var nonce, cancels, sent int64
			err := scan(&id, &v.n, &hash, &nonce, &raw, &fee, &tip, &cancels, &sent, &v.err)
			v.hash, v.nonce, v.raw, v.cancels, v.sent = common.HexToHash(hash), uint64(nonce), common.FromHex(raw), cancels == 1, sent > 0
			v.offer = ethereum.Offer{MaxFee: wei(fee), Tip: wei(tip)}
			if r := byID[id]; r != nil {
				r.versions = append(r.versions, v)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// cry sends the last attempt of a transaction and notes what the network said. The error is
// Unavailable or nil.
func (c *Chain) cry(ctx context.Context, r *row) error {
	v := r.versions[len(r.versions)-1]
	if err := c.ways.enter(ctx, v.nonce); err != nil {
		return caos.Wrap(caos.Unavailable, err, "%s waits to be sent", r.TransactionID)
	}
	err := c.net.Send(ctx, v.raw)
	c.ways.leave()
	c.cries.note(v.hash, c.opt.Now())
	switch {
	case err == nil, ethereum.Is(err, ethereum.AlreadyKnown):
		err = nil
	case ethereum.Is(err, ethereum.NonceTooLow):
		// It is mined already, or its nonce was spent by something else: the keeper finds out.
		err = nil
	}
	defer poke(c.kick)
	r.said = err
	if err == nil {
		if a := c.accounts[common.HexToAddress(r.From)]; v.err != "" && (a == nil || a.trouble() == "") { // nothing waits for a signature because of it
			c.ended(ctx, metricFunds, r.From, "the network takes what the account sends")
		}
		return c.markSent(ctx, r, v)
	}
	refused := caos.AsError(err)
	c.noteError(ctx, r, v, refused)
	r.Reason = refused.Message
	if ethereum.Is(err, ethereum.InsufficientFunds) {
		c.raise(ctx, alarm{kind: "CHAIN", metric: metricFunds, subject: r.From, severity: high, actions: []string{"fund the account"},
			message: "the account " + r.Account + " (" + r.From + ") cannot pay for what it is to send: " + refused.Message})
	}
	if refused.Kind.Retryable() {
		return refused
	}
	return nil
}

// markSent moves a transaction from SIGNED to SENT, which any node may do.
func (c *Chain) markSent(ctx context.Context, r *row, v version) error {
	if r.Status != Signed && v.sent && v.err == "" {
		return nil
	}
	now := c.now()
	if r.Status != Signed { // sent again, after an error or with other fees
		return c.opt.DB.Write(ctx, func(tx *db.Tx) error {
			tx.Exec(`UPDATE chain_attempts SET sent_at = $1, error = '' WHERE transaction_id = $2 AND n = $3`, now.UnixMicro(), r.TransactionID, int64(v.n))
			tx.Exec(`UPDATE chain_transactions SET reason = '' WHERE transaction_id = $1 AND live = 1`, r.TransactionID)
			return nil
		})
	}
	return c.opt.DB.Update(ctx, func(tx *db.Tx) error {
		tx.Exec(`UPDATE chain_attempts SET sent_at = $1, error = '' WHERE transaction_id = $2 AND n = $3`, now.UnixMicro(), r.TransactionID, int64(v.n))
		n, err := tx.ExecRows(`UPDATE chain_transactions SET status = 'SENT', sent_at = $1, reason = '' WHERE transaction_id = $2 AND status = 'SIGNED'`, now.UnixMicro(), r.TransactionID)
		if err != nil || n == 0 { // somebody else was first
			return err
		}
		t := &r.Transaction
		t.Status, t.SentAt, t.Reason = Sent, &now, ""
		if err := c.transactionRecord(tx, itself(t.ExecutionID), t, "transaction sent", nil); err != nil {
			return err
		}
		return c.tell(tx, EventSent, t, false)
	})
}

// noteError keeps what the network said, for whoever looks.
func (c *Chain) noteError(ctx context.Context, r *row, v version, refused *caos.Error) {
	words := clip(refused.Message, maxReason)
	if v.err == words {
		return
	}
	err := c.opt.DB.Write(ctx, func(tx *db.Tx) error {
		tx.Exec(`UPDATE chain_attempts SET error = $1 WHERE transaction_id = $2 AND n = $3`, words, r.TransactionID, int64(v.n))
		tx.Exec(`UPDATE chain_transactions SET reason = $1 WHERE transaction_id = $2 AND status IN ('SIGNED', 'SENT')`, words, r.TransactionID)
		return nil
	})
	c.warn(ctx, "note what the network said of "+r.TransactionID, err)
}

// cries remembers when attempts were last sent, so that they are not sent all the time. What
// a restart forgets is sent once more.
type cries struct {
	mu sync.Mutex
	at map[common.Hash]time.Time
}

func (c *cries) note(h common.Hash, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == nil {
		c.at = map[common.Hash]time.Time{}
	}
	if at.IsZero() {
		delete(c.at, h)
	} else {
		c.at[h] = at
	}
}

func (c *cries) last(h common.Hash) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at[h]
}

// keep forgets all but some.
func (c *cries) keep(wanted map[common.Hash]bool, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for h, at := range c.at {
		if !wanted[h] && now.Sub(at) > time.Minute {
			delete(c.at, h)
		}
	}
}
