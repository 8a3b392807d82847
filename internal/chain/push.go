package chain

import (
	"context"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/ethereum"
)

// What is not mined is pushed: sent again when the network may have dropped it, offered more
// when others pay more, given another nonce when its own was spent, and a gap in front of it
// is filled.

// gap is a nonce that nobody has, and what waits behind it.
type gap struct {
	nonce uint64
	since time.Time
	looks int
}

// nonces asks how many transactions of an account are mined.
func (k *keeper) nonces(ctx context.Context, ch *charge) (uint64, error) {
	if ch.asked {
		return ch.latest, nil
	}
	n, err := k.c.net.Nonce(ctx, ch.a.address, false)
	ch.latest, ch.asked = n, err == nil
	return n, err
}

// overtaken finds transactions whose nonce is spent while none of their attempts is mined.
// Only when that has lasted as many blocks as make a transaction final, and neither the
// attempts' receipts nor the blocks around have any of them, is the nonce taken to be lost.
func (k *keeper) overtaken(ctx context.Context, ch *charge) error {
	waiting := ch.unmined()
	if len(waiting) == 0 {
		return nil
	}
	latest, err := k.nonces(ctx, ch)
	if err != nil {
		return err
	}
	var over []*row
	for _, r := range waiting {
		switch {
		case *r.Nonce < latest:
			over = append(over, r)
		case r.overtaken > 0:
			if err := k.setOvertaken(ctx, r, 0); err != nil {
				return err
			}
		}
	}
	if len(over) == 0 {
		return nil
	}
	var hashes []common.Hash
	wanted := map[common.Hash]bool{}
	for _, r := range over {
		for _, v := range r.versions {
			hashes = append(hashes, v.hash)
			wanted[v.hash] = true
		}
	}
	found, err := k.road.oneByOne(ctx, hashes)
	if err != nil {
		return err
	}
	ch.take(over, found)
	var lost []*row
	for _, r := range over {
		switch {
		case ch.moving(r):
		case r.overtaken == 0:
			if err := k.setOvertaken(ctx, r, k.road.tip.Number); err != nil {
				return err
			}
		case k.road.tip.Number >= r.overtaken+k.c.opt.Settings.Confirmations:
			lost = append(lost, r)
		}
	}
	if len(lost) == 0 {
		return nil
	}
	return k.lost(ctx, ch, lost, wanted)
}

func (k *keeper) setOvertaken(ctx context.Context, r *row, block uint64) error {
	r.overtaken = block
	return k.c.opt.DB.Write(ctx, func(tx *db.Tx) error {
		tx.Exec(`UPDATE chain_transactions SET overtaken_block = $1 WHERE transaction_id = $2 AND live = 1`, int64(block), r.TransactionID)
		return nil
	})
}

// lost makes sure once more that transactions have lost their nonces.
func (k *keeper) lost(ctx context.Context, ch *charge, lost []*row, wanted map[common.Hash]bool) error {
	if err := k.c.net.Agree(ctx, k.road.tip.Number); err != nil {
		if k.doubtful(ctx, ch, place{k.road.tip.Number, k.road.tip.Hash}, err) {
			return nil
		}
		return err
	}
	var around []ethereum.Block
	for n := lost[0].overtaken - min(16, lost[0].overtaken); n <= k.road.tip.Number; n++ {
		if b, has := k.road.blocks[n]; has {
			around = append(around, b)
		}
	}
	found, err := k.road.inBlocks(ctx, around, wanted)
	if err != nil {
		return err
	}
	ch.take(lost, found)
	for _, r := range lost {
		if ch.moving(r) {
			continue
		}
		spent, err := k.spent(ctx, r)
		if err != nil {
			return err
		}
		if !spent {
			continue
		}
		m := &move{r: r, to: Prepared, reason: fmt.Sprintf("%s: nonce %d was spent by a transaction that is not ours", ReasonNonce, *r.Nonce)}
		if r.lost+1 >= losses || r.versions[len(r.versions)-1].cancels {
			m.to = Failed
		}
		ch.moves = append(ch.moves, m)
	}
	return nil
}

// spent asks the network by other ways whether a nonce is spent by something else: it must
// not know any of the attempts, and must refuse the last one for its nonce. Sending that
// once more does no harm: it is the transaction that is wanted.
func (k *keeper) spent(ctx context.Context, r *row) (bool, error) {
	for _, v := range r.versions {
		known, _, err := k.c.net.Transaction(ctx, v.hash)
		if err != nil || known { // an endpoint is late with its index, or lies
			return false, err
		}
	}
	err := k.c.net.Send(ctx, r.versions[len(r.versions)-1].raw)
	switch {
	case ethereum.Is(err, ethereum.NonceTooLow):
		return true, nil
	case err == nil, ethereum.Is(err, ethereum.AlreadyKnown):
		k.c.raise(ctx, alarm{kind: "COMPLIANCE", metric: "endpoint_contradicts_itself", subject: "chain", severity: high, actions: []string{"find out which endpoint is wrong"},
			message: fmt.Sprintf("an endpoint says that nonce %d of %s is spent, and takes %s, which has it", *r.Nonce, r.Account, r.TransactionID)})
		return false, nil
	}
	return false, nil // what else it finds wrong, or that it is away, says nothing of the nonce
}

// push sends again what may have been dropped, and offers more for what is stuck.
func (k *keeper) push(ctx context.Context, ch *charge) error {
	var due []*row
	again := max(2*k.c.opt.Settings.BlockTime, 5*time.Second)
	waiting := ch.unmined()
	wanted := map[common.Hash]bool{}
	for _, r := range waiting {
		v := r.versions[len(r.versions)-1]
		wanted[v.hash] = true
		if r.overtaken > 0 || len(due) >= together {
			continue
		}
		last := k.c.cries.last(v.hash)
		switch {
		case last.IsZero() && r.Status == Signed && v.n == 1 && r.SignedAt != nil && !k.c.longAgo(*r.SignedAt, 2*time.Second): // its execution is about to
		case last.IsZero(), k.c.since(last) > again:
			due = append(due, r)
		}
	}
	k.c.cries.keep(wanted, k.c.opt.Now())
	if len(waiting) == 0 {
		delete(k.gaps, ch.a.address)
		return nil
	}
	k.cryAll(ctx, due)
	if ch.a.signer == nil { // the rest needs a signature
		return nil
	}
	if err := k.refusals(ctx, ch, due); err != nil {
		return err
	}
	if err := k.stuck(ctx, ch, waiting); err != nil {
		return err
	}
	if len(due) > 0 {
		return k.fill(ctx, ch, waiting)
	}
	return nil
}

func (k *keeper) cryAll(ctx context.Context, due []*row) {
	gate := make(chan struct{}, abreast)
	var parts sync.WaitGroup
	for _, r := range due {
		gate <- struct{}{}
		parts.Go(func() {
			defer func() { <-gate }()
			r.said = nil
			if err := k.c.cry(ctx, r); err != nil && r.said == nil {
				k.c.warn(ctx, "send "+r.TransactionID+" again", err)
			}
		})
	}
	parts.Wait()
}

// refusals counts how often the network said that it never takes some bytes. In the end
// their nonce is spent by a transaction that does nothing, so that those behind go on.
func (k *keeper) refusals(ctx context.Context, ch *charge, due []*row) error {
	for _, r := range due {
		v := r.versions[len(r.versions)-1]
		if r.said == nil {
			delete(k.refuse, v.hash)
			if r.Status == Sent { // what nobody has said anything of was not tried
				k.c.ended(ctx, metricRefused, r.TransactionID, "the network took it")
			}
			continue
		}
		never := ethereum.Is(r.said, ethereum.GasTooLow) || ethereum.Is(r.said, ethereum.ExceedsCap) && r.GasLimit > k.road.tip.GasLimit && k.road.tip.GasLimit > 0
		odd := ethereum.Is(r.said, ethereum.BadRequest) || ethereum.Is(r.said, ethereum.ExceedsCap)
		if !never && !odd {
			continue
		}
		k.refuse[v.hash]++
		if odd && !never {
			k.c.raise(ctx, alarm{kind: "CHAIN", metric: metricRefused, subject: r.TransactionID, severity: high,
				message: "the network does not take " + r.TransactionID + ", and those behind it wait: " + r.said.Error(), project: r.Project, classification: r.Classification})
			if k.refuse[v.hash] < 20 || r.SignedAt == nil || !k.c.longAgo(*r.SignedAt, time.Hour) {
				continue
			}
		}
		if k.refuse[v.hash] < refusalsMax || v.cancels {
			continue
		}
		delete(k.refuse, v.hash)
		if err := k.again(ctx, ch, r, true); err != nil {
			return err
		}
	}
	return nil
}

// stuck offers more for transactions that could have been in several blocks and were not.
func (k *keeper) stuck(ctx context.Context, ch *charge, waiting []*row) error {
	if len(waiting) == 0 {
		return nil
	}
	tip := k.road.tip
	if !k.c.longAgo(waiting[0].pricedAt, k.c.opt.Settings.BumpAfter) {
		k.c.ended(ctx, metricFeeCap, ch.a.address.Hex(), "the network takes what configuration allows")
	}
	for i, r := range waiting {
		v := r.versions[len(r.versions)-1]
		if i >= together {
			break
		}
		if r.overtaken > 0 || !k.c.longAgo(r.pricedAt, k.c.opt.Settings.BumpAfter) {
			continue
		}
		refused := ethereum.Is(r.said, ethereum.Underpriced) && !(v.n == 1 && strings.Contains(strings.ToLower(r.said.Error()), "replac"))
		cheap := tip.BaseFee != nil && v.offer.MaxFee.Cmp(new(big.Int).Div(new(big.Int).Mul(tip.BaseFee, big.NewInt(9)), big.NewInt(8))) < 0
		first := i == 0 // those behind it cannot be mined before it
		passed := tip.Number >= r.pricedBlock+bumpBlocks
		if !refused && !(passed && (first || cheap)) {
			continue
		}
		if err := k.again(ctx, ch, r, v.cancels); err != nil {
			if ethereum.Is(err, ethereum.ExceedsCap) {
				k.c.raise(ctx, alarm{kind: "CHAIN", metric: metricFeeCap, subject: r.From, severity: medium, actions: []string{"raise max_fee_gwei", "wait"},
					message: "the network asks for more than configuration allows: transactions of " + r.Account + " wait. " + err.Error()})
				return nil
			}
			return err
		}
	}
	return nil
}

// again signs a transaction anew under its nonce, with other fees, and sends it.
func (k *keeper) again(ctx context.Context, ch *charge, r *row, cancels bool) error {
	v, err := ch.a.again(ctx, ch.epoch, r, cancels)
	if err != nil {
		return err
	}
	r.versions = append(r.versions, v)
	if err := k.c.cry(ctx, r); err != nil {
		k.c.warn(ctx, "send "+r.TransactionID+" with other fees", err)
	}
	return nil
}

// again makes and stores another attempt of a transaction that has a nonce.
func (a *account) again(ctx context.Context, epoch int64, r *row, cancels bool) (version, error) {
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return version{}, ctx.Err()
	}
	if err := a.ready(ctx, epoch); err != nil {
		return version{}, err
	}
	last := r.versions[len(r.versions)-1]
	offer, err := ethereum.Bump(last.offer, a.facts.fees, a.c.opt.Settings.Caps)
	if err != nil {
		return version{}, err
	}
	v, err := a.version(ctx, r, *r.Nonce, offer, cancels)
	if err != nil {
		return version{}, err
	}
	from := r.Status
	err = a.certain(ctx, v.hash, func(tx *db.Tx) error {
		a.lease.fence(tx, epoch)
		return a.store(tx, signed{r, v}, from)
	})
	return v, err
}

// fill closes a gap: a nonce that another wallet's transaction had, which the network
// dropped, while ours behind it wait. It looks several times before it believes in one.
func (k *keeper) fill(ctx context.Context, ch *charge, waiting []*row) error {
	latest, err := k.c.net.Nonce(ctx, ch.a.address, false)
	if err != nil {
		return err
	}
	next, err := k.c.net.Nonce(ctx, ch.a.address, true)
	if err != nil {
		return err
	}
	highest, ours := *waiting[len(waiting)-1].Nonce, false
	for _, r := range ch.rows {
		ours = ours || r.Nonce != nil && *r.Nonce == next
	}
	if ours || next < latest || next >= highest {
		delete(k.gaps, ch.a.address)
		return nil
	}
	g := k.gaps[ch.a.address]
	if g.nonce != next || g.looks == 0 {
		g = gap{nonce: next, since: k.c.opt.Now()}
	}
	g.looks++
	k.gaps[ch.a.address] = g
	if g.looks < 3 || k.c.since(g.since) < 2*k.c.opt.Settings.BlockTime {
		return nil
	}
	delete(k.gaps, ch.a.address)
	return k.c.warnOf(ctx, ch.a.filler(ctx, ch.epoch, next))
}

func (c *Chain) warnOf(ctx context.Context, err error) error {
	c.warn(ctx, "fill a gap between nonces", err)
	return nil
}

// filler signs a transaction that does nothing under a nonce that nobody has. The keeper
// sends it as any other.
func (a *account) filler(ctx context.Context, epoch int64, nonce uint64) error {
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := a.ready(ctx, epoch); err != nil || nonce >= a.next {
		return err
	}
	offer, err := ethereum.Price(a.facts.fees, a.c.opt.Settings.Caps)
	if err != nil {
		return err
	}
	now := a.c.now()
	r := &row{Transaction: Transaction{TransactionID: a.c.opt.Stamps.ID("TX-"), ChainID: a.c.opt.Settings.ChainID, Address: a.address.Hex(), Function: "", Account: a.name,
		From: a.address.Hex(), GasLimit: minGas, Status: Prepared, PreparedAt: now}}
	v, err := a.version(ctx, r, nonce, offer, true)
	if err != nil {
		return err
	}
	v.cancels = false // what it does is what it is for
	return a.certain(ctx, v.hash, func(tx *db.Tx) error {
		a.lease.fence(tx, epoch)
		tx.Exec(`INSERT INTO chain_transactions (transaction_id, execution_id, contract_id, chain_id, address, function, params, data, account, sender, nonce, gas_limit, hash,
				attempts, status, reason, live, asked, lost, overtaken_block, priced_block, priced_at, block_number, block_hash, reverted, gas_used, effective_gas_price,
				confirmations, receipt_digest, subject_kind, subject_id, prepared_at, signed_at, sent_at, mined_at, confirmed_at, project, classification)
			VALUES ($1, '', '', $2, $3, '', '{}', '0x', $4, $5, NULL, $6, '', 0, 'PREPARED', '', 1, 0, 0, 0, 0, 0, NULL, '', 0, NULL, '', 0, '', '', '', $7, 0, 0, 0, 0, '', 'Internal')`,
			r.TransactionID, int64(r.ChainID), r.Address, r.Account, r.From, int64(r.GasLimit), now.UnixMicro())
		copied := *r
		if err := a.store(tx, signed{&copied, v}, Prepared); err != nil {
			return err
		}
		words := fmt.Sprintf("a gap between the nonces of %s: %d was another wallet's, which the network dropped. A transaction that does nothing fills it.", a.name, nonce)
		err := a.c.alarm(tx, alarm{kind: "CHAIN", metric: "nonce_gap", subject: a.address.Hex(), severity: medium, message: words})
		if err != nil {
			return err
		}
		return a.c.record(tx, itself(""), auditlog.Record{Resources: []string{r.TransactionID, a.address.Hex()}, Details: map[string]any{"event": "nonce gap filled", "nonce": nonce}})
	})
}
