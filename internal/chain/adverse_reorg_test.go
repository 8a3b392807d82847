package chain

import (
	"context"
	"math/big"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/core/types"

	"caos/internal/ethereum"
)

// drive lets time, blocks and looks pass until a transaction has a state.
func (s *ship) drive(id string, want Status, rounds int) *Transaction {
	s.t.Helper()
	for range rounds {
		if s.get(id).Status == want {
			break
		}
		s.p.later(10 * time.Second)
		s.look(1)
		s.Chain.work.Wait()
		s.p.dev.Mine(1)
	}
	return s.is(id, want)
}

// A reorganisation forgets our mined transaction, and another wallet's has its nonce in the
// new blocks. Ours gets another nonce once that is final, and is recorded once.
func TestAdverseNonceTakenByReorg(t *testing.T) {
	t.Parallel()
	for name, depth := range map[string]int{"before it is final": 1, "after": 4} {
		t.Run(name, func(t *testing.T) {
			eachPort(t, func(t *testing.T, p *port) {
				s := p.sail(nil)
				x := s.send(1)
				p.dev.Mine(depth)
				s.look(2)
				before := s.get(x.TransactionID)
				if depth == 4 && before.Status != Confirmed || depth == 1 && before.Status != Mined {
					t.Fatalf("%+v", before)
				}
				p.dev.Reorg(depth)
				p.elsewhere(*x.Nonce, 50)
				p.dev.Mine(1)
				s.look(1)
				got := s.drive(x.TransactionID, Confirmed, 20)
				if *got.Nonce != *x.Nonce+1 || got.Attempts != 2 || got.Hash == x.Hash {
					t.Errorf("%+v", got)
				}
				if !p.recorded(1) {
					t.Error("not recorded")
				}
				if depth == 4 && s.alerts("confirmed_transaction_vanished") != 1 {
					t.Error("nobody was told that a final one vanished")
				}
			})
		})
	}
}

// Of two versions one is mined, the block vanishes, and the other is mined.
func TestAdverseOtherVersionAfterReorg(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		s := p.sail(nil)
		x := s.send(1)
		p.proxy.Fail("eth_sendRawTransaction", -32000, "replacement transaction underpriced")
		p.dev.DropPending()
		p.dev.Mine(4)
		s.look(1)
		p.later(s.Settings().BumpAfter + time.Second)
		s.look(1)
		p.proxy.Fail("eth_sendRawTransaction", 0, "")
		y := s.get(x.TransactionID)
		if y.Attempts != 2 {
			t.Fatalf("%+v", y)
		}
		r := &row{Transaction: *y}
		ok(t, s.readVersions(ctx, []*row{r}))
		ok(t, s.net.Send(ctx, r.versions[1].raw))
		p.dev.Mine(4)
		s.look(2)
		if y = s.is(x.TransactionID, Confirmed); y.Hash != y.Hashes[1] {
			t.Fatalf("%+v", y)
		}
		p.dev.Reorg(4)
		p.dev.DropPending()
		ok(t, s.net.Send(ctx, r.versions[0].raw))
		p.dev.Mine(1)
		s.look(1)
		if y = s.is(x.TransactionID, Mined); y.Hash != y.Hashes[0] {
			t.Errorf("%+v", y)
		}
		p.dev.Mine(5)
		s.look(1)
		if y = s.is(x.TransactionID, Confirmed); y.Hash != y.Hashes[0] || y.Attempts != 2 {
			t.Errorf("%+v", y)
		}
		if s.alerts("confirmed_transaction_vanished") != 1 {
			t.Error("nobody was told")
		}
		s.gapless(1)
	})
}

// What the contract refused in a block that vanished may succeed, or be refused, again.
func TestAdverseFailedThenReorg(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		s := p.sail(nil)
		x := s.prepareData(1, []byte{1, 2, 3, 4})
		_, err := s.Sign(context.Background(), x.TransactionID)
		ok(t, err)
		_, err = s.Submit(context.Background(), x.TransactionID)
		ok(t, err)
		p.dev.Mine(3)
		s.look(2)
		s.is(x.TransactionID, Failed)
		p.dev.Reorg(3)
		s.look(1)
		if y := s.is(x.TransactionID, Sent); y.Reverted || y.Reason != "" || y.ConfirmedAt != nil {
			t.Errorf("%+v", y)
		}
		p.dev.Mine(5)
		s.look(2)
		if y := s.is(x.TransactionID, Failed); !y.Reverted || y.Reason == "" {
			t.Errorf("%+v", y)
		}
		s.gapless(1)
	})
}

// The chain is reorganised while others sign and send: each is mined once in the end.
func TestAdverseReorgsUnderLoad(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		s := p.sail(nil)
		base, err := s.net.Nonce(ctx, p.signers[0].Address(), false)
		ok(t, err)
		const all = 24
		var ids []string
		for n := range all {
			x := s.prepare(n)
			ids = append(ids, x.TransactionID)
			x, err := s.Sign(ctx, x.TransactionID)
			ok(t, err)
			if n%3 != 0 { // a third is left to the keeper
				_, err = s.Submit(ctx, x.TransactionID)
				ok(t, err)
			}
			switch n % 5 {
			case 1:
				p.dev.Mine(1)
			case 2:
				s.look(1)
			case 3:
				p.dev.Mine(1)
				p.dev.Reorg(1)
			case 4:
				p.dev.Mine(2)
				s.look(1)
				p.dev.Reorder(2)
			}
			p.later(3 * time.Second)
		}
		for range 30 {
			p.later(10 * time.Second)
			s.look(1)
			p.dev.Mine(1)
		}
		p.dev.Mine(3)
		s.look(2)
		for n, id := range ids {
			if x := s.get(id); x.Status != Confirmed || x.Attempts > 2 {
				t.Errorf("%d: %s %s attempts %d nonce %v", n, x.Status, x.Reason, x.Attempts, x.Nonce)
			}
			if !p.recorded(n) {
				t.Errorf("%d is not recorded", n)
			}
		}
		s.gapless(all)
		if got, err := s.net.Nonce(ctx, p.signers[0].Address(), false); err != nil || got-base != all {
			t.Errorf("the account sent %d transactions for %d, %v", got-base, all, err)
		}
	})
}

// Another wallet takes the nonce of every attempt: in the end the transaction is FAILED and
// says why, and the next one of the account goes its way.
func TestAdverseNonceTakenAgainAndAgain(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		s := p.sail(nil)
		x := s.prepare(1)
		x, err := s.Sign(ctx, x.TransactionID)
		ok(t, err)
		p.proxy.Fail("eth_sendRawTransaction", -32000, "txpool is full") // ours never gets there
		for range losses {
			got := s.get(x.TransactionID)
			if got.Nonce == nil {
				t.Fatalf("%+v", got)
			}
			p.elsewhere(*got.Nonce, 2)
			p.dev.Mine(1)
			p.proxy.Fail("eth_sendRawTransaction", -32000, "nonce too low") // only an endpoint that says so is believed
			for range 8 {
				p.later(10 * time.Second)
				s.look(1)
				p.dev.Mine(1)
				s.Chain.work.Wait()
				if now := s.get(x.TransactionID); now.Status == Failed || now.Nonce != nil && *now.Nonce != *got.Nonce {
					break
				}
			}
		}
		p.proxy.Fail("eth_sendRawTransaction", 0, "")
		if got := s.is(x.TransactionID, Failed); got.Reason == "" || got.Reverted {
			t.Errorf("%+v", got)
		}
		if s.told(EventFailed, x.TransactionID) != 1 {
			t.Error("not told once")
		}
		<-time.After(factsLast)
		y := s.send(2)
		p.dev.Mine(3)
		s.look(2)
		s.is(y.TransactionID, Confirmed)
		if p.recorded(1) || !p.recorded(2) {
			t.Error("recorded what was given up, or not what was sent")
		}
	})
}

// Bytes that were given up for another nonce are dead for good: that nonce is spent, and
// sending them is refused by the chain.
func TestAdverseDeadBytes(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		s := p.sail(nil)
		p.dev.Mine(20) // the contract itself must stay
		x := s.prepare(1)
		x, err := s.Sign(ctx, x.TransactionID)
		ok(t, err)
		r := &row{Transaction: *x}
		ok(t, s.readVersions(ctx, []*row{r}))
		old := new(types.Transaction)
		ok(t, old.UnmarshalBinary(r.versions[0].raw))
		p.elsewhere(*x.Nonce, 2)
		p.dev.Mine(1)
		got := s.drive(x.TransactionID, Confirmed, 20)
		if *got.Nonce == *x.Nonce {
			t.Fatalf("%+v", got)
		}
		if err := s.net.Send(ctx, r.versions[0].raw); !ethereum.Is(err, ethereum.NonceTooLow) {
			t.Errorf("the old bytes: %v", err)
		}
		// The blocks in which it was lost vanish, and the old bytes come first. Both are ours
		// now: the contract records the same content once.
		p.dev.Reorg(12)
		p.dev.DropPending()
		if err := s.net.Send(ctx, r.versions[0].raw); err != nil {
			t.Skipf("the chain does not go back that far: %v", err)
		}
		p.dev.Mine(1)
		got = s.drive(x.TransactionID, Confirmed, 30)
		if !p.recorded(1) {
			t.Error("not recorded")
		}
		t.Logf("%s with nonce %d after %d attempts; first tip %s", got.Status, *got.Nonce, got.Attempts, new(big.Int).Set(old.GasTipCap()))
	})
}
