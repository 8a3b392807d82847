package chain

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"caos/internal/db"
)

// mishaps makes a share of commits end badly, each way in turn.
type mishaps struct {
	mu   sync.Mutex
	dice *rand.Rand
	on   bool
}

func (m *mishaps) at(p db.Point) db.Action {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case !m.on || m.dice.IntN(8) > 0:
	case p == db.AtCommit:
		return db.Refuse
	case p == db.AtCommitted:
		return db.Fail
	}
	return db.Proceed
}

func (m *mishaps) set(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.on = on
}

// Whatever happens in whatever order: nodes that die, commits whose answers are lost, blocks
// that are replaced, transactions that are dropped, a network that is away, another wallet.
// In the end each transaction is CONFIRMED, once, and the chain has as many as we have sent.
// CHAIN_SEED repeats a history.
func TestHistory(t *testing.T) {
	seed := uint64(time.Now().UnixNano() % 1_000_000)
	if n, err := strconv.ParseUint(os.Getenv("CHAIN_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("CHAIN_SEED=%d", seed)
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		dice := rand.New(rand.NewPCG(seed, 1))
		m := &mishaps{dice: rand.New(rand.NewPCG(seed, 2))}
		short := func(o *Options) { o.Lease = 200 * time.Millisecond }
		s := p.sail(&db.Fault{At: m.at}, short)
		var ids []string
		others := 0
		p.dev.Mine(8) // what the account did before, such as deploying the contract, is never taken back
		base, err := s.net.Nonce(ctx, p.signers[0].Address(), false)
		ok(t, err)
		step := func(x string) {
			_, err := s.Sign(ctx, x)
			if err == nil && dice.IntN(4) > 0 {
				_, _ = s.Submit(ctx, x)
			}
		}
		for range 60 {
			switch roll := dice.IntN(20); {
			case roll < 6:
				x := s.prepare(len(ids)).TransactionID
				ids = append(ids, x)
				m.set(true)
				step(x)
			case roll < 9 && len(ids) > 0:
				m.set(true)
				step(ids[dice.IntN(len(ids))])
			case roll < 13:
				m.set(true)
				_ = s.k.look(ctx)
			case roll < 15:
				p.dev.Mine(1)
			case roll == 15:
				p.dev.Mine(1 + dice.IntN(5))
				m.set(true)
				_ = s.k.look(ctx)
				p.dev.Reorg(1 + dice.IntN(4)) // also what was confirmed
			case roll == 16:
				p.dev.DropPending()
			case roll == 17:
				p.proxy.LoseAnswer("eth_sendRawTransaction", .5)
			case roll == 18:
				p.proxy.LoseAnswer("eth_sendRawTransaction", 0)
				// The first of ours that is not mined loses its nonce, unless ours is faster.
				if others < 2 {
					if n, err := s.net.Nonce(ctx, p.signers[0].Address(), false); err == nil && p.tryElsewhere(n) {
						others++
					}
				}
			default:
				s.sink()
				s = p.sail(&db.Fault{At: m.at}, short)
				takeOver(t, s)
			}
			m.set(false)
			p.later(time.Duration(dice.IntN(6000)) * time.Millisecond)
		}
		p.proxy.LoseAnswer("eth_sendRawTransaction", 0)
		for end := time.Now().Add(90 * time.Second); time.Now().Before(end); {
			for _, id := range ids { // as executions do that are tried again
				if s.get(id).Status == Prepared {
					step(id)
				}
			}
			p.later(10 * time.Second)
			_ = s.k.look(ctx)
			s.Chain.work.Wait()
			p.dev.Mine(1)
			var open int
			ok(t, s.d.QueryRow(ctx, `SELECT COUNT(*) FROM chain_transactions WHERE status <> 'CONFIRMED'`).Scan(&open))
			if open == 0 {
				break
			}
		}
		for n, id := range ids {
			if x := s.get(id); x.Status != Confirmed || !p.recorded(n) {
				t.Errorf("%d: %s %s nonce %v attempts %d", n, x.Status, x.Reason, x.Nonce, x.Attempts)
			}
		}
		var rows int // with those that fill gaps
		ok(t, s.d.QueryRow(ctx, `SELECT COUNT(DISTINCT nonce) FROM chain_transactions`).Scan(&rows))
		sent, err := s.net.Nonce(ctx, p.signers[0].Address(), false)
		ok(t, err)
		if foreign := int(sent-base) - rows; rows < len(ids) || foreign < 0 || foreign > others {
			t.Errorf("%d transactions, %d of another wallet at most, and the chain has %d", rows, others, sent-base)
		}
		t.Logf("%d transactions, %d of another wallet, %d on the chain", rows, others, sent-base)
	})
}
