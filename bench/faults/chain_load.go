package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"caos/bench/faults/chaining"
	"caos/bench/faults/sample"
	"caos/internal/ethereum/chaintest"
)

// sends is the load of a campaign that records productions on a chain, and its harm. The
// productions are given to the clients bit by bit while nodes are killed, so that the kills
// meet transactions that are signed, sent and mined.
type sends struct {
	count int // productions
	kills int
	chain *chaintest.Chain
	proxy *chaintest.Proxy // between the nodes and the chain
	net   chaining.Network // through the proxy

	given   int
	begin   chan int
	reorgs  atomic.Int64
	removed atomic.Int64 // transactions that were in blocks and forgotten
}

func newSends(t testing.TB, count, kills int) *sends {
	f := &sends{count: count, kills: kills, chain: chaintest.Start(t, chaintest.Options{BlockTime: 500 * time.Millisecond})}
	f.proxy = chaintest.NewProxy(t, f.chain.URL)
	a := f.chain.Accounts[1]
	f.net = chaining.Network{URL: f.proxy.URL, ChainID: f.chain.ChainID, Registry: f.chain.Deploy(t).Hex(), Keystore: a.Keystore, Password: a.Password,
		BlockTime: 500 * time.Millisecond, BumpAfter: 10 * time.Second, Lease: 2 * time.Second}
	return f
}

// prepare registers the contract, before any node runs.
func (f *sends) prepare(ctx context.Context, c *cluster) error {
	c.chain = true
	f.begin = make(chan int, f.count)
	if err := f.net.Write(c.dir); err != nil {
		return err
	}
	desk, err := chaining.OpenAlone(ctx, c.url, c.dir)
	if err != nil {
		return err
	}
	if err := desk.Register(ctx, f.net); err != nil {
		_ = desk.Close()
		return err
	}
	return desk.Close()
}

// give lets clients begin with productions, up to a number of all.
func (f *sends) give(upTo int) {
	for ; f.given < min(upTo, f.count); f.given++ {
		f.begin <- f.given
	}
}

// run takes every production that is given to the clients to its acknowledgement.
func (f *sends) run(ctx context.Context, t *traffic) {
	var wg sync.WaitGroup
	for range f.count {
		select {
		case i := <-f.begin:
			wg.Go(func() { f.one(ctx, t, i) })
		case <-ctx.Done():
			wg.Wait()
			return
		}
	}
	wg.Wait()
}

func (f *sends) one(ctx context.Context, t *traffic, i int) {
	key := fmt.Sprintf("production-%d", i)
	r := t.insist(ctx, fmt.Sprintf("/record/%d", i), key)
	var a sample.Answer
	if r.status != http.StatusOK || json.Unmarshal(r.body, &a) != nil {
		t.problem("submission %s was refused: %d %s", key, r.status, r.body)
		return
	}
	t.mu.Lock()
	t.acks[key] = ack{a.ID, chaining.Hook}
	t.mu.Unlock()
	t.acked.Add(1)
}

// reorg replaces the last three blocks; what was in them is forgotten by the chain.
func (f *sends) reorg() {
	f.removed.Add(int64(len(f.chain.Reorg(3))))
	f.reorgs.Add(1)
}

// kill kills nodes at random moments while productions are on their way, now and then once
// more while they start. After every tenth kill the chain is reorganised.
func (f *sends) kill(ctx context.Context, c *cluster) error {
	for done := 0; done < f.kills && ctx.Err() == nil; {
		f.give((done + 1) * f.count / f.kills)
		pause(ctx, rand.N(900*time.Millisecond))
		p := c.nodes[rand.IntN(len(c.nodes))]
		if !p.kill() {
			return fmt.Errorf("node %d ended by itself: %s", p.number, p.output())
		}
		done++
		if done%10 == 0 {
			f.reorg()
		}
		if done < f.kills && rand.IntN(10) == 0 {
			if _, err := p.launch(); err != nil {
				return err
			}
			pause(ctx, time.Duration(rand.IntN(400))*time.Millisecond)
			if p.kill() {
				done++
			}
		}
		starting, cancel := context.WithTimeout(ctx, 3*time.Minute)
		err := p.start(starting)
		cancel()
		if err != nil {
			return err
		}
	}
	f.give(f.count)
	return ctx.Err()
}

// mislead loses answers, reorganises the chain, makes its node forget what waits, and takes
// the network away for a while.
func (f *sends) mislead(rounds int) func(context.Context, *cluster) error {
	return func(ctx context.Context, _ *cluster) error {
		f.proxy.LoseAnswer("eth_sendRawTransaction", 1.0/3)
		for _, method := range []string{"eth_getTransactionReceipt", "eth_getTransactionCount", "eth_getBlockByNumber", "eth_estimateGas"} {
			f.proxy.LoseAnswer(method, 0.1)
		}
		for i := range rounds {
			f.give((i + 1) * f.count / rounds)
			pause(ctx, 2*time.Second)
			switch i % 4 {
			case 0, 2:
				f.reorg()
			case 1:
				f.removed.Add(int64(f.chain.DropPending()))
			case 3:
				f.proxy.Down(true)
				pause(ctx, 3*time.Second)
				f.proxy.Down(false)
			}
		}
		for _, method := range []string{"eth_sendRawTransaction", "eth_getTransactionReceipt", "eth_getTransactionCount", "eth_getBlockByNumber", "eth_estimateGas"} {
			f.proxy.LoseAnswer(method, 0)
		}
		return ctx.Err()
	}
}

// quiet waits until every transaction is final: one whose block vanished after its execution
// had ended is on its way again.
func (f *sends) quiet(ctx context.Context, c *cluster, t *traffic, v *verdict) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	calm := 0
	for ctx.Err() == nil && calm < 6 { // for longer than a keeper takes to see a reorganisation
		r, err := t.k.ask(http.MethodGet, "/sending", "")
		if calm++; err != nil || r.status != http.StatusOK || strings.TrimSpace(string(r.body)) != "0" {
			calm = 0
		}
		pause(ctx, 500*time.Millisecond)
	}
	if calm == 0 {
		v.problem("transactions do not become final")
	}
}

// sleep stops nodes one after the other for longer than the others wait for them.
func (f *sends) sleep(rounds int) func(context.Context, *cluster) error {
	return func(ctx context.Context, c *cluster) error {
		for i := range rounds {
			f.give((i + 1) * f.count / rounds)
			pause(ctx, rand.N(700*time.Millisecond))
			if err := c.nodes[i%len(c.nodes)].nap(ctx, func() error { return nil }); err != nil {
				return err
			}
		}
		return nil
	}
}
