package chain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"caos"
	"caos/internal/db"
	"caos/internal/ethereum"
)

const (
	mostLive    = 5000             // transactions that are looked after at once
	idleLook    = 15 * time.Second // how often the head is read while nothing goes on
	alertAfter  = 10 * time.Minute // of no endpoint that answers
	alertAgain  = 10 * time.Minute // the same alert of this process
	sweepEvery  = time.Minute      // for what executions left behind
	bumpBlocks  = 3                // blocks in which a transaction could have been, before it is offered more
	losses      = 3                // nonces that a transaction loses before it is FAILED
	refusalsMax = 3                // refusals of the same bytes before their nonce is spent by something else
)

// keeper is the loop of a node. It acts for the accounts whose lease it holds.
type keeper struct {
	c        *Chain
	road     *road
	epochs   map[common.Address]int64 // as of the last look: another one is a look from the beginning
	gaps     map[common.Address]gap
	refuse   map[common.Hash]int
	doubts   map[common.Address]doubt
	unsure   map[common.Address]bool // whether all that is final is still there is to be found out
	looked   time.Time               // at the head
	swept    time.Time
	enlisted time.Time
}

// doubt is why nothing of an account is confirmed although its time has come: endpoints
// contradict each other, or too few of them answer.
type doubt struct {
	words string
	few   time.Time // since when too few answer, zero if they do
}

// charge is an account that the keeper acts for in one look, and its transactions.
type charge struct {
	a     *account
	epoch int64
	fresh bool // the lease is new: nothing is known of what was sent
	rows  []*row
	final []place // blocks of what is final and watched
	moves []*move
	was   doubt // of the last look
	// unsure: in the last look it could not be said whether what is final is still there; again:
	// nor can it in this one.
	unsure, again bool
	// latest is how many transactions of the account are mined; asked if it is needed.
	latest uint64
	asked  bool
}

// place is a block in which transactions lie.
type place struct {
	number uint64
	hash   common.Hash
}

func newKeeper(c *Chain) *keeper {
	return &keeper{c: c, epochs: map[common.Address]int64{}, gaps: map[common.Address]gap{}, refuse: map[common.Hash]int{}, doubts: map[common.Address]doubt{}, unsure: map[common.Address]bool{},
		road: &road{net: c.net, keep: c.opt.Settings.Confirmations + watched + 16, now: c.opt.Now}}
}

// since is how long ago a moment of this process was.
func (c *Chain) since(at time.Time) time.Duration { return c.opt.Now().Sub(at) }

// keep is the keeper's loop.
func (c *Chain) keep(ctx context.Context) {
	k := newKeeper(c)
	poll := min(max(c.opt.Settings.BlockTime/4, 250*time.Millisecond), 4*time.Second)
	for ctx.Err() == nil {
		began := time.Now()
		c.warn(ctx, "look after what was sent", k.look(ctx))
		select {
		case <-ctx.Done():
			return
		case <-time.After(poll):
		case <-c.kick: // several that were sent together are one look
			select {
			case <-ctx.Done():
				return
			case <-time.After(max(0, poll/8-time.Since(began))):
			}
		}
	}
}

// renew keeps the leases while a look takes long, as it does when endpoints hang.
func (c *Chain) renew(ctx context.Context) {
	for tick := time.NewTicker(c.opt.Lease / 4); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
		if c.cutOff() { // the keeper gives back what it has
			continue
		}
		for _, a := range c.all() {
			if a.lease.held() > 0 {
				_ = a.lease.hold(ctx) // the next look says what is wrong
			}
		}
	}
}

// look is one round.
func (k *keeper) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if k.c.cutOff() {
		k.leave(ctx)
		if err := k.listen(ctx); err != nil {
			return err
		}
	}
	if err := k.enlist(ctx); err != nil {
		return err
	}
	charges := k.lead(ctx)
	if len(charges) == 0 {
		return nil
	}
	if k.c.since(k.swept) > sweepEvery {
		k.swept = k.c.opt.Now()
		if err := k.sweep(ctx, charges); err != nil {
			return err
		}
	}
	busy, err := k.busy(ctx, charges)
	if err != nil || !busy && k.c.since(k.looked) < idleLook {
		return err
	}
	head, err := k.c.net.Head(ctx)
	if err = k.heard(ctx, busy, err); err != nil {
		return err
	}
	// Rows are read after the head: what is in a block up to it was signed before.
	if err := k.read(ctx, charges); err != nil {
		return err
	}
	s, err := k.road.walk(ctx, head, max(10*time.Second, 3*k.c.opt.Settings.BlockTime))
	if err != nil {
		return err
	}
	others := func(at common.Address) bool { // another node's business
		return !slices.ContainsFunc(charges, func(ch *charge) bool { return ch.a.address == at })
	}
	maps.DeleteFunc(k.doubts, func(at common.Address, _ doubt) bool { return others(at) })
	maps.DeleteFunc(k.unsure, func(at common.Address, _ bool) bool { return others(at) })
	k.c.view.set(k.road.tip, k.c.now(), k.doubt())
	var errs []error
	for _, ch := range charges {
		k.epochs[ch.a.address] = ch.epoch
		if err := k.account(ctx, ch, s); err != nil {
			k.epochs[ch.a.address] = 0 // the blocks of this step are not read again: each is asked for
			errs = append(errs, err)
		}
	}
	k.c.view.set(k.road.tip, k.c.now(), k.doubt())
	return errors.Join(errs...)
}

// doubt says why nothing is confirmed, "" while there is no doubt.
func (k *keeper) doubt() string {
	for _, a := range slices.SortedFunc(maps.Keys(k.doubts), common.Address.Cmp) {
		return k.doubts[a].words
	}
	return ""
}

// lead takes the leases that are to be had.
func (k *keeper) lead(ctx context.Context) []*charge {
	var out []*charge
	for _, a := range k.c.all() {
		if err := a.lease.hold(ctx); err != nil {
			if caos.KindOf(err) != caos.Unavailable {
				k.c.warn(ctx, "take an account", err)
			}
			continue
		}
		if epoch := a.lease.held(); epoch > 0 {
			out = append(out, &charge{a: a, epoch: epoch, fresh: k.epochs[a.address] != epoch})
		}
	}
	return out
}

// busy reports whether anything goes on, and has what others were asked to sign signed.
func (k *keeper) busy(ctx context.Context, charges []*charge) (bool, error) {
	busy := false
	for _, ch := range charges {
		var live int64
		q := k.c.opt.DB.Reader(ctx)
		err := q(`SELECT COUNT(*) FROM chain_transactions WHERE live > 0 AND `+k.c.ours+` AND sender = $1 AND status <> 'PREPARED'`, []any{ch.a.address.Hex()}, func(scan func(...any) error) error { return scan(&live) })
		if err != nil {
			return false, err
		}
		var ids []string
		err = q(k.c.atServer(`SELECT transaction_id FROM chain_transactions WHERE live = 1 AND `+k.c.ours+` AND sender = $1 AND status = 'PREPARED' AND asked >= {{now}} / 60000000 ORDER BY prepared_at LIMIT 64`), []any{ch.a.address.Hex()},
			func(scan func(...any) error) error {
				var id string
				err := scan(&id)
				ids = append(ids, id)
				return err
			})
		if err != nil {
			return false, err
		}
		ch.a.mu.Lock()
		idle := !ch.a.busy
		ch.a.mu.Unlock()
		if idle && len(ids) > 0 && ch.a.signer != nil {
			ch.a.enqueue(ids...)
		}
		busy = busy || live > 0
	}
	return busy, nil
}

// heard keeps whether the network answers, and says so when it has not for long.
func (k *keeper) heard(ctx context.Context, busy bool, err error) error {
	if err == nil {
		k.looked = k.c.opt.Now()
		k.c.reach.heard(k.looked, true)
		k.c.ended(ctx, metricUnreachable, "chain", "an endpoint answers again")
		k.c.ended(ctx, metricWrongChain, "chain", "an endpoint of the configured chain answers")
		return nil
	}
	down := k.c.reach.heard(k.c.opt.Now(), false)
	tip, _, _ := k.c.view.get()
	k.c.view.set(tip, time.Time{}, caos.AsError(err).Message)
	switch {
	case ethereum.Is(err, ethereum.WrongChain):
		k.c.raise(ctx, alarm{kind: "COMPLIANCE", metric: metricWrongChain, subject: "chain", severity: high, message: caos.AsError(err).Message})
	case busy && k.c.since(down) > alertAfter:
		k.c.raise(ctx, alarm{kind: "CHAIN", metric: metricUnreachable, subject: "chain", severity: medium, actions: []string{"check the endpoints"},
			message: "no endpoint of the chain has answered for " + k.c.since(down).Round(time.Minute).String() + ": transactions wait. " + caos.AsError(err).Message})
	}
	return err
}

// read reads what is to be looked after.
func (k *keeper) read(ctx context.Context, charges []*charge) error {
	q := k.c.opt.DB.Reader(ctx)
	for _, ch := range charges {
		var err error
		ch.rows, err = rows(q, `live = 1 AND `+k.c.ours+` AND sender = $1 AND status <> 'PREPARED' ORDER BY nonce LIMIT $2`, ch.a.address.Hex(), mostLive)
		if err != nil {
			return err
		}
		if err := k.c.readVersions(ctx, ch.rows); err != nil {
			return err
		}
		err = q(`SELECT DISTINCT block_number, block_hash FROM chain_transactions WHERE live = 2 AND `+k.c.ours+` AND sender = $1 AND block_number IS NOT NULL`, []any{ch.a.address.Hex()},
			func(scan func(...any) error) error {
				var n int64
				var hash string
				err := scan(&n, &hash)
				ch.final = append(ch.final, place{uint64(n), common.HexToHash(hash)})
				return err
			})
		if err != nil {
			return err
		}
	}
	return nil
}

// account looks after one account after a step of the road.
func (k *keeper) account(ctx context.Context, ch *charge, s step) error {
	ch.was, ch.unsure = k.doubts[ch.a.address], k.unsure[ch.a.address]
	if s.cold || s.reorg || len(s.fresh) > 0 || ch.fresh || ch.unsure || ch.was.words != "" {
		delete(k.doubts, ch.a.address)
		err := k.advance(ctx, ch, s)
		k.unsure[ch.a.address] = ch.again || err != nil && ch.unsure
		if err != nil {
			if _, doubted := k.doubts[ch.a.address]; !doubted && ch.was.words != "" {
				k.doubts[ch.a.address] = ch.was // a look that did not come to its end clears nothing
			}
			return err
		}
		if !ch.was.few.IsZero() && k.doubts[ch.a.address].few.IsZero() {
			k.c.ended(ctx, metricTooFew, "chain", "enough endpoints answer again")
		}
	}
	return k.push(ctx, ch)
}

// advance moves what has come into blocks, or out of them, or deep enough.
func (k *keeper) advance(ctx context.Context, ch *charge, s step) error {
	if err := k.mined(ctx, ch, s); err != nil {
		return err
	}
	if err := k.replaced(ctx, ch, s); err != nil {
		return err
	}
	if err := k.confirm(ctx, ch); err != nil {
		return err
	}
	if err := k.overtaken(ctx, ch); err != nil {
		return err
	}
	if err := k.apply(ctx, ch); err != nil {
		return err
	}
	return k.count(ctx, ch)
}

// unmined are the transactions that are signed and in no block, the lowest nonce first.
func (ch *charge) unmined() []*row {
	var out []*row
	for _, r := range ch.rows {
		if (r.Status == Signed || r.Status == Sent) && r.Nonce != nil && !ch.moving(r) {
			out = append(out, r)
		}
	}
	return out
}

func (ch *charge) moving(r *row) bool {
	return slices.ContainsFunc(ch.moves, func(m *move) bool { return m.r == r })
}

// mined finds what came into a block.
func (k *keeper) mined(ctx context.Context, ch *charge, s step) error {
	waiting := ch.unmined()
	if len(waiting) == 0 {
		return nil
	}
	wanted, hashes := map[common.Hash]bool{}, []common.Hash{}
	for _, r := range waiting {
		for _, v := range r.versions {
			wanted[v.hash] = true
			hashes = append(hashes, v.hash)
		}
	}
	var found map[common.Hash]*types.Receipt
	var err error
	if s.cold || ch.fresh || len(hashes) <= few && len(hashes) <= 2*len(s.fresh) {
		found, err = k.road.oneByOne(ctx, hashes)
	} else {
		found, err = k.road.inBlocks(ctx, s.fresh, wanted)
	}
	if err != nil {
		return err
	}
	ch.take(waiting, found)
	return nil
}

// take makes moves of what was found.
func (ch *charge) take(waiting []*row, found map[common.Hash]*types.Receipt) {
	if len(found) == 0 {
		return
	}
	for _, r := range waiting {
		for _, v := range r.versions {
			if receipt := found[v.hash]; receipt != nil {
				ch.moves = append(ch.moves, &move{r: r, to: Mined, receipt: receipt, version: v})
				break
			}
		}
	}
}

// replaced finds what lay in a block that is not there any more.
func (k *keeper) replaced(ctx context.Context, ch *charge, s step) error {
	if !s.cold && !s.reorg && !ch.fresh && !ch.unsure {
		return nil
	}
	gone, asked := map[place]bool{}, map[place]bool{}
	look := func(p place) error {
		if asked[p] || s.reorg && !ch.fresh && !ch.unsure && p.number < s.fork {
			return nil
		}
		asked[p] = true
		on, err := k.road.canonical(ctx, p.number, p.hash)
		gone[p] = err == nil && !on
		return err
	}
	var lost []*row
	for _, r := range ch.rows {
		if r.Status != Mined || r.BlockNumber == nil {
			continue
		}
		p := place{*r.BlockNumber, common.HexToHash(r.BlockHash)}
		if err := look(p); err != nil {
			return err
		}
		if gone[p] {
			lost = append(lost, r)
		}
	}
	slices.SortFunc(ch.final, func(a, b place) int { return cmp.Compare(a.number, b.number) })
	for _, p := range ch.final {
		if err := look(p); err != nil {
			return err
		}
		if !gone[p] {
			continue
		}
		if sure, err := k.vanished(ctx, p); err != nil && !k.doubtful(ctx, ch, p, err) {
			return err
		} else if !sure {
			ch.again = true
			break // nor will it be known of what lies above
		}
		back, err := rows(k.c.opt.DB.Reader(ctx), `live = 2 AND `+k.c.ours+` AND sender = $1 AND block_number = $2 AND block_hash = $3`, ch.a.address.Hex(), int64(p.number), p.hash.Hex())
		if err != nil {
			return err
		}
		if err := k.c.readVersions(ctx, back); err != nil {
			return err
		}
		lost = append(lost, back...)
	}
	return k.back(ctx, ch, lost)
}

// vanished reports whether it is sure that a block of what is final is gone. One endpoint's word
// for another chain takes nothing back: those that answer must have the same other block in its
// place, or, if no one has come that far, the same block as their last; and be as many as were
// asked for when it became final.
func (k *keeper) vanished(ctx context.Context, p place) (bool, error) {
	at := k.road.tip
	if p.number <= at.Number {
		hash, err := k.c.net.Agreed(ctx, p.number)
		if ethereum.Is(err, ethereum.Missing) { // the next step of the road finds out
			return false, nil
		}
		return err == nil && hash != p.hash, err
	}
	if _, err := k.c.net.Block(ctx, p.number); !ethereum.Is(err, ethereum.Missing) {
		return false, err
	}
	hash, err := k.c.net.Agreed(ctx, at.Number)
	if ethereum.Is(err, ethereum.Missing) {
		return false, nil
	}
	return err == nil && hash == at.Hash, err
}

// back returns transactions whose block is gone to where they were, unless they are in
// another block already.
func (k *keeper) back(ctx context.Context, ch *charge, lost []*row) error {
	if len(lost) == 0 {
		return nil
	}
	var hashes []common.Hash
	for _, r := range lost {
		for _, v := range r.versions {
			hashes = append(hashes, v.hash)
			k.c.cries.note(v.hash, time.Time{})
		}
	}
	found, err := k.road.oneByOne(ctx, hashes)
	if err != nil {
		return err
	}
	ch.take(lost, found)
	for _, r := range lost {
		if !ch.moving(r) {
			ch.moves = append(ch.moves, &move{r: r, to: Sent, reorg: true})
		}
	}
	for _, m := range ch.moves {
		m.reorg = m.reorg || slices.Contains(lost, m.r)
	}
	return nil
}

// confirm makes final what has enough blocks on top, if its block is still there when it is
// read anew, holds the same receipt, and the endpoints agree on it.
func (k *keeper) confirm(ctx context.Context, ch *charge) error {
	ripe := map[place][]*move{}
	n := k.c.opt.Settings.Confirmations
	add := func(m *move, number uint64, hash common.Hash) {
		if number <= k.road.tip.Number && k.road.tip.Number-number+1 >= n {
			p := place{number, hash}
			ripe[p] = append(ripe[p], m)
		}
	}
	for _, m := range ch.moves {
		if m.to == Mined {
			add(m, m.receipt.BlockNumber.Uint64(), m.receipt.BlockHash)
		}
	}
	for _, r := range ch.rows {
		if r.Status == Mined && r.BlockNumber != nil && !ch.moving(r) {
			add(&move{r: r, to: Mined}, *r.BlockNumber, common.HexToHash(r.BlockHash))
		}
	}
	for p, list := range ripe {
		found, err := k.reread(ctx, p, list)
		if err != nil {
			if k.doubtful(ctx, ch, p, err) {
				continue
			}
			return err
		}
		if found != nil && !ch.again {
			k.c.ended(ctx, metricTooFew, "chain", "enough endpoints answer again")
		}
		for _, m := range list {
			k.judge(ch, m, found)
		}
	}
	return nil
}

// doubtful reports whether an error says that a block is not to be believed yet, and keeps
// why. It is looked at again when the keeper looks next, whether there is a new block or not.
func (k *keeper) doubtful(ctx context.Context, ch *charge, p place, err error) bool {
	d := doubt{words: caos.AsError(err).Message}
	switch {
	case ethereum.Is(err, ethereum.Disagree):
		k.contradicted(ctx, p, err)
	case ethereum.Is(err, ethereum.TooFew):
		if d.few = ch.was.few; d.few.IsZero() {
			d.few = k.c.opt.Now()
		}
		if k.c.since(d.few) > alertAfter {
			k.c.raise(ctx, alarm{kind: "CHAIN", metric: metricTooFew, subject: "chain", severity: medium, actions: []string{"check the endpoints", "lower chain.agree"},
				message: "too few endpoints of the chain have answered for " + k.c.since(d.few).Round(time.Minute).String() + ": transactions wait. " + caos.AsError(err).Message})
		}
	default:
		return false
	}
	if had := k.doubts[ch.a.address]; d.few.IsZero() { // of another block in this look
		d.few = had.few
	}
	k.doubts[ch.a.address] = d
	return true
}

// contradicted says that nothing is believed of a block.
func (k *keeper) contradicted(ctx context.Context, p place, err error) {
	k.c.raise(ctx, alarm{kind: "COMPLIANCE", metric: "endpoints_disagree", subject: "chain", severity: critical, actions: []string{"find out which endpoint is wrong", "remove it from the configuration"},
		message: fmt.Sprintf("the endpoints of the chain contradict each other about block %d: nothing is confirmed while they do. %s", p.number, caos.AsError(err).Error())})
}

// reread reads a block and the receipts of transactions in it once more.
func (k *keeper) reread(ctx context.Context, p place, list []*move) (map[common.Hash]*types.Receipt, error) {
	b, err := k.c.net.Block(ctx, p.number)
	if err != nil {
		return nil, err
	}
	if b.Hash != p.hash { // the next step of the road finds out
		return nil, nil
	}
	if err := k.c.net.Agree(ctx, p.number); err != nil {
		return nil, err
	}
	wanted, hashes := map[common.Hash]bool{}, []common.Hash{}
	for _, m := range list {
		h := m.hash()
		wanted[h] = true
		hashes = append(hashes, h)
	}
	var found map[common.Hash]*types.Receipt
	if len(hashes) <= few {
		found, err = k.road.oneByOne(ctx, hashes)
	} else {
		found, err = k.road.inBlocks(ctx, []ethereum.Block{b}, wanted)
	}
	if err != nil {
		return nil, err
	}
	// A true block says nothing of a receipt: that is compared as well.
	if err := k.c.net.AgreeReceipts(ctx, slices.Collect(maps.Values(found))); err != nil {
		return found, err
	}
	return found, nil
}

// judge makes a transaction final by its receipt, if that is there.
func (k *keeper) judge(ch *charge, m *move, found map[common.Hash]*types.Receipt) {
	receipt := found[m.hash()]
	if receipt == nil && found != nil && m.receipt == nil && m.r.Status == Mined {
		// Its block is there and it is not in it: whoever said so was wrong. Out it goes again.
		ch.moves = append(ch.moves, &move{r: m.r, to: Sent, reorg: true})
		return
	}
	if receipt == nil || m.receipt != nil && receipt.BlockHash != m.receipt.BlockHash || m.receipt == nil && receipt.BlockHash.Hex() != m.r.BlockHash {
		return
	}
	for _, v := range m.r.versions {
		if v.hash == receipt.TxHash {
			m.version = v
		}
	}
	m.receipt, m.mined, m.to = receipt, m.r.Status != Mined || m.reorg, Confirmed
	if m.version.cancels || receipt.Status != types.ReceiptStatusSuccessful {
		m.to = Failed
	}
	if !slices.Contains(ch.moves, m) {
		ch.moves = append(ch.moves, m)
	}
}

// count keeps how many blocks are on top of what is mined and not final, for whoever looks,
// and stops watching what is deep enough.
func (k *keeper) count(ctx context.Context, ch *charge) error {
	tip, depth := int64(k.road.tip.Number), int64(k.c.opt.Settings.Confirmations+watched)
	if len(ch.rows)+len(ch.final) == 0 {
		return nil
	}
	return k.c.opt.DB.Write(ctx, func(tx *db.Tx) error {
		if !ch.again { // what may be gone is watched until that is known
			tx.Exec(`UPDATE chain_transactions SET live = 0 WHERE live = 2 AND `+k.c.ours+` AND sender = $1 AND block_number <= $2`, ch.a.address.Hex(), tip-depth)
		}
		tx.Exec(`UPDATE chain_transactions SET confirmations = CASE WHEN $1 >= block_number THEN $2 - block_number + 1 ELSE 0 END
			WHERE live = 1 AND status = 'MINED' AND `+k.c.ours+` AND sender = $3`, tip, tip, ch.a.address.Hex())
		return nil
	})
}

// sweep gives up what was never signed and whose execution is over.
func (k *keeper) sweep(ctx context.Context, charges []*charge) error {
	for _, ch := range charges {
		if err := k.idle(ctx, ch); err != nil {
			return err
		}
		if k.c.opt.Ended == nil {
			continue
		}
		left, err := rows(k.c.opt.DB.Reader(ctx), `live = 1 AND `+k.c.ours+` AND sender = $1 AND status = 'PREPARED' AND lost = 0 AND prepared_at < $2 ORDER BY prepared_at LIMIT 100`,
			ch.a.address.Hex(), k.c.now().Add(-sweepEvery).UnixMicro())
		if err != nil {
			return err
		}
		for _, r := range left {
			err := k.c.opt.DB.Update(ctx, func(tx *db.Tx) error {
				over, err := k.c.opt.Ended(tx, r.ExecutionID)
				if err != nil || !over {
					return err
				}
				return k.c.giveUp(tx, &r.Transaction, ReasonAbandoned+": "+r.ExecutionID+" ended before it was signed", itself(r.ExecutionID))
			})
			if err != nil && caos.KindOf(err) != caos.Unavailable {
				return err
			}
		}
	}
	return nil
}

// idle ends the alerts of an account for which nothing waits any more.
func (k *keeper) idle(ctx context.Context, ch *charge) error {
	var open int64
	err := k.c.opt.DB.Reader(ctx)(`SELECT COUNT(*) FROM chain_transactions WHERE live = 1 AND `+k.c.ours+` AND sender = $1 AND status IN ('PREPARED', 'SIGNED', 'SENT')`,
		[]any{ch.a.address.Hex()}, func(scan func(...any) error) error { return scan(&open) })
	if err == nil && open == 0 {
		for _, metric := range []string{metricFunds, metricFeeCap} {
			k.c.ended(ctx, metric, ch.a.address.Hex(), "nothing waits for it any more")
		}
	}
	return err
}
