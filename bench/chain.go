package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"

	"caos"
	"caos/bench/faults/chaining"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/hook"

	registry "caos/internal/ethereum/binding"
)

const (
	submitters  = 64
	atOnce      = 200
	receiptPoll = 100 * time.Millisecond // of the client loop without CAOS
)

// measureChain measures transactions from the request to the receipt, on a chain that makes a
// block a second, beside a loop that does the same with Ethereum's client library alone: try
// the call, ask for gas and fees, sign, send, wait for the receipt. All send from one account.
func measureChain(ctx context.Context, b *bench) (_ []row, err error) {
	duration := 20 * time.Second
	if b.short {
		duration = 5 * time.Second
	}
	var out []row
	for _, x := range []struct {
		blockTime, name string
		factor          float64
	}{{"1s", "a block a second", 0.8}, {"0", "a block at once for what was sent", 0}} {
		var ours, peers []float64
		for i := range b.reps {
			v, err := b.chainCAOS(ctx, filepath.Join(b.dir, fmt.Sprintf("chain-%s-%d", x.blockTime, i)), x.blockTime, duration)
			if err != nil {
				return out, err
			}
			p, err := b.chainPeer(ctx, filepath.Join(b.dir, fmt.Sprintf("chain-peer-%s-%d", x.blockTime, i)), x.blockTime, duration)
			if err != nil {
				return out, err
			}
			ours, peers = append(ours, v), append(peers, p)
		}
		r := rated(fmt.Sprintf("transactions to receipt, %d submitters, one account, %s", submitters, x.name), "/s", ours).against("go-ethereum client loop", peers, x.factor)
		if x.factor > 0 {
			r = r.with("CAOS: the hook's first steps, a commit and an audit record each, on SQLite; confirmations are not waited for; a block a second lets %d a second through at most", submitters)
		} else {
			r = r.with("no network does that: the figure says what the steps cost; CAOS looks for blocks four times a second")
		}
		if b.short && r.Verdict == missed {
			r.Verdict = partial
		}
		out = append(out, r)
	}
	burst, err := b.chainBurst(ctx)
	return append(out, burst), err
}

// purse is all that sends transactions.
type purse struct {
	*stack
	desk *chaining.Desk
	net  chaining.Network
}

// openPurse opens the hook on a chain of its own.
func (b *bench) openPurse(ctx context.Context, dir, blockTime string) (p *purse, c *chaining.Devchain, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	if c, err = b.devchain(ctx, dir, blockTime); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	s, err := openStack(ctx, stackOptions{url: "sqlite:" + filepath.Join(dir, "caos.db"), dir: dir})
	if err != nil {
		return nil, nil, err
	}
	p = &purse{stack: s, net: c.Network}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	quiet := slog.New(slog.DiscardHandler)
	if p.desk, err = chaining.Open(chaining.Parts{DB: s.db, Log: s.log, Stamps: s.stamps, Dir: dir, Node: "bench", Now: time.Now, Logger: quiet}, p.net); err != nil {
		return nil, nil, err
	}
	if err := p.desk.Register(ctx, p.net); err != nil {
		return nil, nil, err
	}
	if s.eng, err = engine.New(engine.Options{DB: s.db, Log: s.log, Stamps: s.stamps, Flows: hook.Flows(p.desk.Hooks), Node: "bench", Logger: quiet}); err != nil {
		return nil, nil, err
	}
	if err := p.desk.Serve(ctx, s.eng); err != nil {
		return nil, nil, err
	}
	if err := s.eng.Start(ctx); err != nil {
		return nil, nil, err
	}
	return p, c, p.desk.Start(ctx)
}

func (p *purse) close() error {
	if p.desk != nil {
		p.desk.Quiet()
	}
	err := p.stack.close()
	if p.desk != nil {
		err = errors.Join(err, p.desk.Close())
	}
	return err
}

func (b *bench) devchain(ctx context.Context, dir, blockTime string) (*chaining.Devchain, error) {
	return chaining.StartDevchain(ctx, filepath.Join(b.bin, "caos-devchain"), filepath.Join(dir, "chain"), blockTime)
}

// mined tells submitters when the receipt of an execution's transaction is there. One reader
// looks for all of them.
type mined struct {
	mu   sync.Mutex
	wait map[string]chan struct{}
	seen map[string]bool
}

func (m *mined) of(execution string) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	ch := make(chan struct{})
	if m.seen[execution] {
		close(ch)
	} else {
		m.wait[execution] = ch
	}
	return ch
}

func (m *mined) watch(ctx context.Context, d *db.DB) error {
	since := int64(1) // 0 is: not mined
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return nil
		case <-tick.C:
		}
		rows, err := d.Query(ctx, `SELECT execution_id, mined_at FROM chain_transactions WHERE mined_at >= $1 ORDER BY mined_at`, since)
		if err != nil {
			return err
		}
		m.mu.Lock()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id, &since); err != nil {
				break
			}
			if ch := m.wait[id]; ch != nil {
				close(ch)
				delete(m.wait, id)
			}
			m.seen[id] = true
		}
		m.mu.Unlock()
		if err := errors.Join(rows.Err(), rows.Close()); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// submit submits, and again under the same key where the server asked for that.
func (p *purse) submit(ctx context.Context, req hook.Request) (x *engine.Execution, err error) {
	for range 5 {
		if x, err = p.desk.Service.Submit(ctx, req); err == nil || !caos.KindOf(err).Retryable() {
			break
		}
	}
	return x, err
}

// send takes one production to its receipt.
func (p *purse) send(ctx context.Context, m *mined, i int) error {
	req, err := chaining.Request(p.net, i, fmt.Sprintf("p-%d", i))
	if err != nil {
		return err
	}
	x, err := p.submit(ctx, req)
	if err != nil {
		return err
	}
	select {
	case <-m.of(x.ID):
		return nil
	case <-time.After(time.Minute):
		x, err := p.eng.Get(ctx, x.ID)
		return fmt.Errorf("%s has no receipt after a minute: it is %+v (%v)", x.ID, x, err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// watching runs fn while somebody looks for receipts.
func (p *purse) watching(ctx context.Context, fn func(*mined) error) error {
	m := &mined{wait: map[string]chan struct{}{}, seen: map[string]bool{}}
	looking, enough := context.WithCancel(ctx)
	var looked error
	var wg sync.WaitGroup
	wg.Go(func() { looked = m.watch(looking, p.db) })
	err := fn(m)
	enough()
	wg.Wait()
	if err == nil {
		err = looked
	}
	return err
}

func (b *bench) chainCAOS(ctx context.Context, dir, blockTime string, duration time.Duration) (rate float64, err error) {
	defer os.RemoveAll(dir)
	p, c, err := b.openPurse(ctx, dir, blockTime)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	defer func() { err = errors.Join(err, p.close()) }()
	var done int
	var seconds float64
	var next atomic.Int64
	err = p.watching(ctx, func(m *mined) (err error) {
		var n int64
		n, seconds, err = closedLoop(submitters, duration, func(int) error { return p.send(ctx, m, int(next.Add(1))-1) })
		done = int(n)
		return err
	})
	if err != nil {
		return 0, err
	}
	if err := p.check(ctx, done); err != nil {
		return 0, err
	}
	return float64(done) / seconds, nil
}

// chainBurst submits many at once and waits for the end of all.
func (b *bench) chainBurst(ctx context.Context) (r row, err error) {
	dir := filepath.Join(b.dir, "chain-burst")
	defer os.RemoveAll(dir)
	p, c, err := b.openPurse(ctx, dir, "1s")
	if err != nil {
		return r, err
	}
	defer c.Close()
	defer func() { err = errors.Join(err, p.close()) }()
	begun := time.Now()
	ids := make([]string, atOnce)
	var wg sync.WaitGroup
	errs := make(chan error, atOnce)
	for i := range ids {
		wg.Go(func() {
			req, err := chaining.Request(p.net, i, fmt.Sprintf("p-%d", i))
			if err != nil {
				errs <- err
				return
			}
			x, err := p.submit(ctx, req)
			if err != nil {
				errs <- err
				return
			}
			ids[i] = x.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if len(errs) > 0 {
			return r, <-errs
		}
		x, err := p.eng.Await(ctx, id, 2*time.Minute)
		if err != nil || x.Status != engine.Succeeded {
			return r, fmt.Errorf("%s is %+v: %w", id, x, err)
		}
	}
	took := time.Since(begun).Seconds()
	if err := p.check(ctx, atOnce); err != nil {
		return r, err
	}
	return rated(fmt.Sprintf("%d transactions of one account at once, to the end of their executions", atOnce), "s", []float64{took}).
		with("3 confirmations at a block a second; each mined once, nonces without a gap"), nil
}

// check holds that each of the first n productions is on the chain once, and nothing else of
// the account's, under nonces without a gap, and that CAOS knows it.
func (p *purse) check(ctx context.Context, n int) error {
	seen, err := chaining.Recorded(ctx, p.net)
	if err != nil {
		return err
	}
	if len(seen.Productions) != n || seen.Sent != n {
		return fmt.Errorf("%d were asked for; the chain has %d productions by %d transactions", n, len(seen.Productions), seen.Sent)
	}
	if err := p.desk.Gapless(ctx); err != nil {
		return err
	}
	_, err = p.stack.check(ctx)
	return err
}

// chainPeer is the same without CAOS.
func (b *bench) chainPeer(ctx context.Context, dir, blockTime string, duration time.Duration) (rate float64, err error) {
	defer os.RemoveAll(dir)
	c, err := b.devchain(ctx, dir, blockTime)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	key, err := keystore.DecryptKey(c.Keystore, c.Password)
	if err != nil {
		return 0, err
	}
	client, err := ethclient.DialContext(ctx, c.URL)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	p := &peerLoop{client: client, key: key, contract: common.HexToAddress(c.Registry), bind: registry.NewProductionRegistry(), chainID: new(big.Int).SetUint64(c.ChainID)}
	if p.nonce, err = client.PendingNonceAt(ctx, key.Address); err != nil {
		return 0, err
	}
	var next atomic.Int64
	done, seconds, err := closedLoop(submitters, duration, func(int) error { return p.send(ctx, int(next.Add(1))-1) })
	if err != nil {
		return 0, err
	}
	seen, err := chaining.Recorded(ctx, c.Network)
	if err == nil && len(seen.Productions) != int(done) {
		err = fmt.Errorf("%d receipts and %d productions", done, len(seen.Productions))
	}
	return float64(done) / seconds, err
}

// peerLoop is a client that keeps nothing.
type peerLoop struct {
	client   *ethclient.Client
	key      *keystore.Key
	contract common.Address
	bind     *registry.ProductionRegistry
	chainID  *big.Int

	mu    sync.Mutex
	nonce uint64
}

func (p *peerLoop) send(ctx context.Context, i int) error {
	model, version := chaining.Model(i)
	call := ethereum.CallMsg{From: p.key.Address, To: &p.contract, Data: p.bind.PackRecordProduction(model, version, chaining.Content(i), chaining.Moment)}
	if _, err := p.client.CallContract(ctx, call, nil); err != nil {
		return err
	}
	gas, err := p.client.EstimateGas(ctx, call)
	if err != nil {
		return err
	}
	tip, err := p.client.SuggestGasTipCap(ctx)
	if err != nil {
		return err
	}
	head, err := p.client.HeaderByNumber(ctx, nil)
	if err != nil {
		return err
	}
	tx, err := p.broadcast(ctx, &types.DynamicFeeTx{ChainID: p.chainID, To: &p.contract, Data: call.Data, Gas: gas * 12 / 10, GasTipCap: tip,
		GasFeeCap: new(big.Int).Add(tip, new(big.Int).Lsh(head.BaseFee, 1))})
	if err != nil {
		return err
	}
	for {
		if r, err := p.client.TransactionReceipt(ctx, tx.Hash()); err == nil {
			if r.Status != types.ReceiptStatusSuccessful {
				return errors.New("reverted")
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(receiptPoll):
		}
	}
}

// broadcast gives a transaction the next nonce and sends it: one at a time, because a node
// drops what comes too far ahead of its turn.
func (p *peerLoop) broadcast(ctx context.Context, inner *types.DynamicFeeTx) (*types.Transaction, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	inner.Nonce = p.nonce
	tx, err := types.SignNewTx(p.key.PrivateKey, types.LatestSignerForChainID(p.chainID), inner)
	if err != nil {
		return nil, err
	}
	if err := p.client.SendTransaction(ctx, tx); err != nil {
		return nil, err
	}
	p.nonce++
	return tx, nil
}
