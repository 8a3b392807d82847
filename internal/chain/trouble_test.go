package chain

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
)

// Blocks that are replaced: what was in them is where the chain has it, or is sent again.
func TestReorganised(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		s := p.sail(nil)
		// Before it is final: forgotten, sent again by the same bytes, mined once.
		x := s.send(1)
		p.dev.Mine(2)
		s.look(1)
		s.is(x.TransactionID, Mined)
		p.dev.Reorg(2)
		s.look(1)
		y := s.get(x.TransactionID)
		if y.Status != Sent || y.BlockNumber != nil || y.Hash != x.Hash || y.Attempts != 1 {
			t.Fatalf("%+v", y)
		}
		p.dev.Mine(1)
		s.look(1)
		s.is(x.TransactionID, Mined)
		// Moved into a later block.
		p.dev.Reorder(1)
		s.look(1)
		p.dev.Mine(1)
		s.look(2)
		s.is(x.TransactionID, Mined)
		p.dev.Mine(3)
		s.look(1)
		s.is(x.TransactionID, Confirmed)
		if s.alerts("confirmed_transaction_vanished") != 0 {
			t.Error("an alert for what happens daily")
		}
		// After it is final: it comes back, and an alert says so.
		p.dev.Reorg(5)
		s.look(1)
		y = s.is(x.TransactionID, Sent)
		if y.ConfirmedAt != nil || y.BlockHash != "" || s.alerts("confirmed_transaction_vanished") != 1 {
			t.Errorf("%+v", y)
		}
		p.dev.Mine(4)
		s.look(2)
		s.is(x.TransactionID, Confirmed)
		if !p.recorded(1) {
			t.Error("not recorded")
		}
		s.gapless(1)
	})
}

// A keeper that begins after a reorganisation finds it as well.
func TestReorganisedWhileNobodyLooked(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		s := p.sail(nil)
		x, y := s.send(1), s.send(2)
		p.dev.Mine(4)
		s.look(2)
		s.is(x.TransactionID, Confirmed)
		s.sink()
		p.dev.Reorg(4)
		p.dev.Mine(1)
		p.later(time.Minute)
		s = p.sail(nil, func(o *Options) { o.Lease = time.Millisecond })
		takeOver(t, s)
		s.look(2)
		s.is(x.TransactionID, Sent)
		s.is(y.TransactionID, Sent)
		p.dev.Mine(3)
		s.look(2)
		s.is(x.TransactionID, Confirmed)
		s.is(y.TransactionID, Confirmed)
		s.gapless(2)
	})
}

// takeOver gives a node the recorder's lease, which a dead one may have had: it is over.
func takeOver(t *testing.T, s *ship) {
	t.Helper()
	ctx, l := context.Background(), s.accounts[s.p.signers[0].Address()].lease
	var err error
	for range 50 { // the test may have commits fail
		err = s.d.Write(ctx, func(tx *db.Tx) error {
			tx.Exec(`UPDATE chain_leases SET ends_at = 0`)
			return tx.Err()
		})
		if err == nil {
			err = l.hold(ctx)
		}
		if err == nil {
			return
		}
	}
	t.Fatal(err)
}

// What the network forgets is sent again, by the same bytes.
func TestDropped(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		s := p.sail(nil)
		x, y := s.send(1), s.send(2)
		if n := p.dev.DropPending(); n != 2 {
			t.Fatalf("%d were pending", n)
		}
		s.look(1)
		p.dev.Mine(1)
		s.look(1)
		s.is(x.TransactionID, Sent)
		p.later(10 * time.Second)
		s.look(1)
		p.dev.Mine(3)
		s.look(1)
		for _, x := range []*Transaction{x, y} {
			if got := s.is(x.TransactionID, Confirmed); got.Attempts != 1 || got.Hash != x.Hash {
				t.Errorf("%+v", got)
			}
		}
		s.gapless(2)
	})
}

// Another wallet of the account takes a nonce between signing and sending.
func TestNonceTaken(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		s := p.sail(nil)
		x := s.prepare(1)
		x, err := s.Sign(ctx, x.TransactionID)
		ok(t, err)
		y := s.prepare(2)
		y, err = s.Sign(ctx, y.TransactionID)
		ok(t, err)
		base := *x.Nonce
		p.elsewhere(base, 2)
		p.dev.Mine(1)
		_, err = s.Submit(ctx, x.TransactionID)
		ok(t, err)
		_, err = s.Submit(ctx, y.TransactionID)
		ok(t, err)
		s.look(1)
		s.is(x.TransactionID, Sent)
		p.dev.Mine(1)
		s.look(1)
		s.is(x.TransactionID, Sent) // not final yet: nothing is signed anew
		p.dev.Mine(3)
		s.look(1)
		s.Chain.work.Wait()
		got := s.get(x.TransactionID)
		if got.Status != Signed || *got.Nonce != base+2 || got.Attempts != 2 {
			t.Fatalf("%+v", got)
		}
		if s.alerts("account_used_elsewhere") != 1 {
			t.Error("nobody was told")
		}
		p.later(5 * time.Second)
		s.look(1)
		p.dev.Mine(3)
		s.look(2)
		s.is(x.TransactionID, Confirmed)
		s.is(y.TransactionID, Confirmed)
		if !p.recorded(1) || !p.recorded(2) {
			t.Error("not recorded")
		}

		// One that was used while nobody signed is skipped, and said.
		p.elsewhere(base+3, 2)
		p.dev.Mine(1)
		p.later(time.Hour)
		<-time.After(factsLast)
		z := s.send(3)
		if *z.Nonce != base+4 {
			t.Errorf("nonce %d", *z.Nonce)
		}
	})
}

// A pending transaction of another wallet is passed over; when the network drops it, the gap
// is filled.
func TestGap(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		s := p.sail(nil)
		first := s.send(1)
		p.dev.Mine(1)
		s.look(1)
		p.elsewhere(*first.Nonce+1, 2)
		<-time.After(factsLast)
		x := s.send(2)
		if *x.Nonce != *first.Nonce+2 {
			t.Fatalf("nonce %d", *x.Nonce)
		}
		p.dev.DropPending()
		p.dev.Mine(1)
		for range 4 {
			p.later(10 * time.Second)
			s.look(1)
			p.dev.Mine(1)
		}
		p.dev.Mine(3)
		p.later(10 * time.Second)
		s.look(1)
		p.dev.Mine(4)
		s.look(2)
		s.is(x.TransactionID, Confirmed)
		if s.alerts("nonce_gap") != 1 {
			t.Errorf("%d alerts", s.alerts("nonce_gap"))
		}
		s.gapless(3)
	})
}

// What nobody mines is offered more for, and both versions stay known.
func TestStuck(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		s := p.sail(nil)
		p.proxy.Lie("eth_feeHistory", func(result json.RawMessage) json.RawMessage {
			var m map[string]json.RawMessage
			_ = json.Unmarshal(result, &m)
			m["baseFeePerGas"] = json.RawMessage(`["0x1","0x1","0x1","0x1","0x1","0x1","0x1","0x1","0x1","0x1","0x1"]`)
			out, _ := json.Marshal(m)
			return out
		})
		x := s.send(1)
		p.proxy.Lie("eth_feeHistory", nil)
		attempts, err := s.Attempts(context.Background(), x.TransactionID)
		ok(t, err)
		t.Logf("offered %s/%s", attempts[0].MaxFee, attempts[0].Tip)
		p.dev.DropPending() // whatever the node would do with it: it is stuck
		p.proxy.Fail("eth_sendRawTransaction", -32000, "transaction underpriced")
		s.look(1)
		p.dev.Mine(4)
		s.look(1)
		p.later(s.Settings().BumpAfter + time.Second)
		<-time.After(factsLast)
		s.look(1)
		y := s.get(x.TransactionID)
		if y.Attempts != 2 || *y.Nonce != *x.Nonce || len(y.Hashes) != 2 || y.Status != Sent {
			t.Fatalf("%+v", y)
		}
		p.proxy.Fail("eth_sendRawTransaction", 0, "")
		p.later(10 * time.Second)
		s.look(1)
		p.dev.Mine(3)
		s.look(1)
		y = s.is(x.TransactionID, Confirmed)
		if y.Hash != y.Hashes[1] {
			t.Errorf("%+v", y)
		}
		s.gapless(1)
	})
}

// Whichever version is mined counts.
func TestFirstVersionMined(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
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
		ok(t, s.readVersions(context.Background(), []*row{r}))
		ok(t, s.net.Send(context.Background(), r.versions[0].raw))
		p.dev.Mine(3)
		s.look(1)
		if y = s.is(x.TransactionID, Confirmed); y.Hash != x.Hash {
			t.Errorf("%+v", y)
		}
	})
}

// Bytes that the network never takes do not hold up what is behind them.
func TestRefused(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		s := p.sail(nil)
		k := s.contract()
		var x *Transaction
		s.change(func(tx *db.Tx) (err error) {
			x, err = s.Prepare(tx, Request{ExecutionID: "EXEC-X", ContractID: k.ContractID, Address: k.Address, Function: recordSignature, Data: bytes.Repeat([]byte{1}, 200), GasLimit: 21_000,
				Account: "recorder"}, By{Actor: "mia"})
			return err
		})
		x, err := s.Sign(ctx, x.TransactionID)
		ok(t, err)
		_, err = s.Submit(ctx, x.TransactionID)
		ok(t, err)
		y := s.send(2)
		for range refusalsMax + 1 {
			p.later(10 * time.Second)
			s.look(1)
		}
		p.dev.Mine(3)
		s.look(2)
		if got := s.is(x.TransactionID, Failed); len(got.Hashes) != 2 || got.Reverted {
			t.Errorf("%+v", got)
		} else {
			t.Log(got.Reason)
		}
		s.is(y.TransactionID, Confirmed)
		s.gapless(2)
		if s.open("transaction_refused") != 0 {
			t.Error("an alert of what is over")
		}
	})
}

// An account without funds gets no nonce, and goes on when it has some.
func TestNoFunds(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		s := p.sail(nil)
		x := s.prepare(1)
		p.proxy.Lie("eth_getBalance", func(json.RawMessage) json.RawMessage { return json.RawMessage(`"0x1"`) })
		_, err := s.Sign(context.Background(), x.TransactionID)
		if caos.KindOf(err) != caos.Unavailable || caos.AsError(err).Rule != "account-funds" {
			t.Fatalf("%v", err)
		}
		if s.alerts("account_out_of_funds") != 1 {
			t.Error("nobody was told")
		}
		problem := func() string {
			status, err := s.Status(context.Background())
			ok(t, err)
			for _, a := range status.Accounts {
				if a.Waiting > 0 {
					return a.Problem
				}
			}
			return ""
		}
		if said := problem(); !strings.Contains(said, "has 1 wei") {
			t.Errorf("the status says %q", said)
		}
		if words := s.waits(x.TransactionID); !strings.Contains(words, "has 1 wei") || s.get(x.TransactionID).Reason != words {
			t.Errorf("the transaction says %q", words)
		}
		p.proxy.Lie("eth_getBalance", nil)
		<-time.After(factsLast)
		_, err = s.Sign(context.Background(), x.TransactionID)
		ok(t, err)
		if s.open("account_out_of_funds") != 0 || s.waits(x.TransactionID) != "" {
			t.Errorf("the trouble is over, and the alert is open, or it waits: %q", s.waits(x.TransactionID))
		}
		s.gapless(1)
	})
}

// Nothing is lost while no endpoint answers, or answers get lost, and nothing is sent twice.
func TestAway(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		s := p.sail(nil)
		w := s.prepare(0)
		x := s.prepare(1)
		x, err := s.Sign(ctx, x.TransactionID)
		ok(t, err)
		p.proxy.LoseAnswer("eth_sendRawTransaction", 1)
		if _, err := s.Submit(ctx, x.TransactionID); caos.KindOf(err) != caos.Unavailable {
			t.Fatalf("lost: %v", err)
		}
		s.is(x.TransactionID, Signed)
		p.proxy.LoseAnswer("eth_sendRawTransaction", 0)
		p.proxy.Down(true)
		<-time.After(factsLast)
		if _, err := s.Sign(ctx, w.TransactionID); caos.KindOf(err) != caos.Unavailable {
			t.Fatalf("signed: %v", err)
		}
		p.dev.Mine(1)
		for range 3 {
			p.later(20 * time.Minute)
			if err := s.k.look(ctx); caos.KindOf(err) != caos.Unavailable {
				t.Fatalf("looked: %v", err)
			}
		}
		if s.alerts("chain_unreachable") != 1 {
			t.Error("nobody was told")
		}
		p.proxy.Down(false)
		for end := time.Now().Add(30 * time.Second); s.k.look(ctx) != nil && time.Now().Before(end); { // the client leaves an endpoint out for a while
			<-time.After(100 * time.Millisecond)
		}
		s.look(1)
		if got := s.is(x.TransactionID, Mined); got.Attempts != 1 {
			t.Errorf("%+v", got)
		}
		if s.open("chain_unreachable") != 0 {
			t.Error("an endpoint answers, and the alert is open")
		}
		_, err = s.Sign(ctx, w.TransactionID)
		ok(t, err)
		_, err = s.Submit(ctx, w.TransactionID)
		ok(t, err)
		p.dev.Mine(3)
		s.look(2)
		s.is(x.TransactionID, Confirmed)
		s.is(w.TransactionID, Confirmed)
		s.gapless(2)
	})
}

// A process that dies after signing: what it signed goes out, by whoever comes next.
func TestSuccessor(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		s := p.sail(nil)
		x := s.prepare(1)
		x, err := s.Sign(context.Background(), x.TransactionID)
		ok(t, err)
		s.sink()
		s = p.sail(nil)
		takeOver(t, s)
		p.later(10 * time.Second)
		s.look(1)
		s.is(x.TransactionID, Sent)
		p.dev.Mine(3)
		s.look(1)
		if got := s.is(x.TransactionID, Confirmed); got.Hash != x.Hash {
			t.Errorf("%+v", got)
		}
		s.gapless(1)
	})
}

// faulty makes every nth commit of a node end badly, at a point.
func faulty(point db.Point, action db.Action, nth int) (*db.Fault, func(bool)) {
	var mu sync.Mutex
	on, n := false, 0
	return &db.Fault{At: func(at db.Point) db.Action {
			mu.Lock()
			defer mu.Unlock()
			if !on || at != point {
				return db.Proceed
			}
			if n++; n%nth == 0 {
				return action
			}
			return db.Proceed
		}}, func(v bool) {
			mu.Lock()
			defer mu.Unlock()
			on = v
		}
}

// Commits that are refused, and commits that happen although nobody answers: each content
// is recorded once, and no nonce is missing.
func TestBadCommits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		point  db.Point
		action db.Action
	}{{"refused", db.AtCommit, db.Refuse}, {"kept", db.AtCommitted, db.Fail}} {
		t.Run(c.name, func(t *testing.T) {
			eachPort(t, func(t *testing.T, p *port) {
				ctx := context.Background()
				fault, set := faulty(c.point, c.action, 3)
				s := p.sail(fault)
				const n = 12
				var list []*Transaction
				for i := range n {
					list = append(list, s.prepare(i))
				}
				set(true)
				for _, x := range list {
					for try := 0; ; try++ {
						y, err := s.Sign(ctx, x.TransactionID)
						if err == nil {
							y, err = s.Submit(ctx, x.TransactionID)
						}
						if err == nil && y.Status != Prepared {
							break
						}
						if try > 50 {
							t.Fatalf("%s: %v", x.TransactionID, err)
						}
					}
				}
				p.dev.Mine(3)
				for range 40 {
					_ = s.k.look(ctx)
					p.later(6 * time.Second)
				}
				set(false)
				s.look(3)
				for i, x := range list {
					if got := s.is(x.TransactionID, Confirmed); got.Attempts != 1 || !p.recorded(i) {
						t.Errorf("%+v", got)
					}
				}
				s.gapless(n)
			})
		})
	}
}

// Many at once on one account, as the keeper runs: all are mined once.
func TestMany(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		const n = 200
		p.dev.SetBlockTime(time.Second)
		s := p.sail(nil, confirmations(1))
		s.contract()
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		began := time.Now()
		ids := make([]string, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				ids[i] = s.send(i).TransactionID
			})
		}
		all.Wait()
		t.Logf("%d sent after %s", n, time.Since(began))
		left := map[string]bool{}
		for _, id := range ids {
			left[id] = true
		}
		for end := time.Now().Add(time.Minute); len(left) > 0 && time.Now().Before(end); {
			<-time.After(50 * time.Millisecond)
			var open int
			ok(t, s.d.QueryRow(ctx, `SELECT COUNT(*) FROM chain_transactions WHERE status <> 'CONFIRMED'`).Scan(&open))
			if open == 0 {
				break
			}
		}
		t.Logf("%d confirmed after %s", n, time.Since(began))
		stop()
		ok(t, <-done)
		for i, id := range ids {
			s.is(id, Confirmed)
			if i%20 == 0 && !p.recorded(i) {
				t.Errorf("%d is not recorded", i)
			}
		}
		s.gapless(n)
		if s.alerts("account_used_elsewhere") != 0 {
			t.Error("it takes itself for another wallet")
		}
	})
}

// Two nodes with one account: one sends, the other asks it to; when it is gone, the other
// takes over, and what the first wakes up with is thrown away.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	p := newPort(t, db.PostgreSQL)
	ctx := context.Background()
	one := p.sail(nil)
	one.look(1)
	two := p.sail(nil)
	if err := two.accounts[p.signers[0].Address()].lease.hold(ctx); err == nil {
		t.Fatal("both have the account")
	}
	life, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- one.Run(life) }()
	var list []*Transaction
	for i := range 6 {
		x := two.prepare(i)
		x, err := two.Sign(ctx, x.TransactionID)
		ok(t, err)
		x, err = two.Submit(ctx, x.TransactionID)
		ok(t, err)
		list = append(list, x)
	}
	stop()
	ok(t, <-done)
	a := one.accounts[p.signers[0].Address()]
	takeOver(t, two)
	// The first one does not know yet.
	a.lease.mu.Lock()
	a.lease.epoch, a.lease.until = 1, time.Now().Add(time.Hour)
	a.lease.mu.Unlock()
	x := two.prepare(100)
	if _, err := a.sign(ctx, []string{x.TransactionID}); err == nil {
		t.Fatal("a node signed that has lost its lease")
	}
	two.is(x.TransactionID, Prepared)
	x, err := two.Sign(ctx, x.TransactionID)
	ok(t, err)
	_, err = two.Submit(ctx, x.TransactionID)
	ok(t, err)
	p.dev.Mine(3)
	two.look(2)
	for _, y := range append(list, x) {
		two.is(y.TransactionID, Confirmed)
	}
	two.gapless(7)
}
