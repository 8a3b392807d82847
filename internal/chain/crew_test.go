package chain

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/ethereum"
	"caos/internal/ethereum/chaintest"
)

// by has a node ask a proxy of its own.
func by(p *port, proxy *chaintest.Proxy) rule {
	return func(o *Options) {
		client, err := ethereum.Open(ethereum.Settings{ChainID: p.dev.ChainID, Endpoints: []string{proxy.URL}, Timeout: 2 * time.Second, Now: p.now,
			HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
		ok(p.t, err)
		o.Client = client
	}
}

// A node that no endpoint answers leaves its account to another one. Nothing is sent twice,
// also when it comes back in the middle of what it did.
func TestCutOff(t *testing.T) {
	p := newPort(t, db.PostgreSQL)
	ctx := context.Background()
	other := chaintest.NewProxy(t, p.dev.URL)
	long := func(o *Options) { o.Lease = time.Minute } // it must not end by itself here
	mine, theirs := p.sail(nil, by(p, p.proxy), long), p.sail(nil, by(p, other), long)
	first := mine.send(1)
	p.dev.Mine(1)
	mine.look(1)
	if err := theirs.k.look(ctx); err != nil {
		t.Fatal(err)
	}
	waiting := mine.prepare(2)
	third, late := mine.prepare(3), mine.prepare(4)
	waiting, err := mine.Sign(ctx, waiting.TransactionID)
	ok(t, err)
	a := mine.accounts[p.signers[0].Address()]
	epoch := a.lease.held()
	if epoch == 0 || theirs.accounts[a.address].lease.held() != 0 {
		t.Fatal("who has the account?")
	}

	p.proxy.Down(true)
	_ = mine.k.look(ctx)
	p.later(cutOffAfter - time.Second)
	_ = mine.k.look(ctx)
	theirs.look(1)
	if a.lease.held() != epoch || theirs.accounts[a.address].lease.held() != 0 {
		t.Fatal("it changed hands at once")
	}
	p.later(2 * time.Second)
	if err := mine.k.look(ctx); caos.KindOf(err) != caos.Unavailable {
		t.Errorf("%v", err)
	}
	if a.lease.held() != 0 {
		t.Fatal("a node without a network keeps the account")
	}
	theirs.look(1)
	if got := theirs.accounts[a.address].lease.held(); got != epoch+1 {
		t.Fatalf("epoch %d after %d", got, epoch)
	}
	p.dev.Mine(4)
	theirs.look(2)
	for _, x := range []*Transaction{first, waiting} {
		theirs.is(x.TransactionID, Confirmed)
	}

	// What is prepared on the node without a network is signed by the other.
	done := make(chan error, 1)
	go func() {
		_, err := mine.Sign(ctx, third.TransactionID)
		done <- err
	}()
	for end := time.Now().Add(30 * time.Second); mine.get(third.TransactionID).Status == Prepared && time.Now().Before(end); {
		theirs.look(1)
		<-time.After(50 * time.Millisecond)
	}
	ok(t, <-done)
	// A signature that the first node had begun before is thrown away.
	r, err := rows(mine.d.Reader(ctx), `transaction_id = $1`, late.TransactionID)
	ok(t, err)
	nonce := *mine.get(third.TransactionID).Nonce
	v, err := a.version(ctx, r[0], nonce, ethereum.Offer{MaxFee: wei("200000000000"), Tip: wei("1000000000")}, false)
	ok(t, err)
	a.next = nonce
	if err := a.commit(ctx, epoch, []signed{{r[0], v}}); !errors.Is(err, errLost) {
		t.Errorf("two nodes sign for one account: %v", err)
	}
	mine.is(late.TransactionID, Prepared)

	p.proxy.Down(false)
	p.later(time.Minute)
	mine.look(2)
	if a.lease.held() != 0 || mine.cutOff() {
		t.Error("it takes what another has")
	}
	p.later(10 * time.Second)
	theirs.look(1)
	p.dev.Mine(4)
	theirs.look(2)
	theirs.is(third.TransactionID, Confirmed)
	theirs.gapless(3)
	for n := 1; n <= 3; n++ {
		if !p.recorded(n) {
			t.Errorf("%d is not recorded", n)
		}
	}
}

// An account that configuration does not name any more has sent something: it is followed to
// its end and sent again, nothing is signed for it, and whoever looks is told.
func TestAccountRemoved(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		s := p.sail(nil)
		one, two, three := s.send(1), s.send(2), s.prepare(3)
		p.dev.Mine(1)
		s.look(1)
		s.is(one.TransactionID, Mined)
		four := s.send(4)
		p.dev.DropPending() // four has to go out again
		s.sink()

		without := func(o *Options) { delete(o.Signers, "recorder"); o.Settings.BumpAfter = time.Minute }
		s = p.sail(nil, without)
		lead := func() {
			t.Helper()
			for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-time.After(100 * time.Millisecond) { // the lease of the one that went ends
				s.look(1)
				if list := s.all(); len(list) == 2 && list[1].lease.held() > 0 {
					return
				}
			}
			t.Fatal("nobody follows it")
		}
		lead()
		p.later(10 * time.Second)
		s.look(1)
		p.dev.Mine(1)
		s.look(1)
		s.is(four.TransactionID, Mined)
		p.dev.Reorg(1)
		p.later(10 * time.Second)
		s.look(2)
		s.is(four.TransactionID, Sent)
		p.later(10 * time.Second)
		s.look(1)
		p.dev.DropPending()
		for range bumpBlocks + 2 { // stuck: with its key it would offer more
			p.later(2 * time.Minute)
			p.dev.Mine(1)
			p.dev.DropPending()
			s.look(1)
		}
		st, err := s.Status(ctx)
		ok(t, err)
		if n := len(st.Accounts); n != 2 || st.Accounts[1].Configured || st.Accounts[1].Name != "recorder" || !strings.Contains(st.Accounts[1].Problem, "not configured") ||
			st.Accounts[1].Waiting != 1 || !st.Accounts[0].Configured || strings.Contains(st.Accounts[1].Lease, ":") {
			t.Errorf("%+v", st.Accounts)
		}
		for range 10 {
			p.later(10 * time.Second)
			s.look(1)
			p.dev.Mine(1)
		}
		s.look(1)
		for _, x := range []*Transaction{one, two, four} {
			if got := s.is(x.TransactionID, Confirmed); got.Attempts != 1 || got.Hash != x.Hash {
				t.Errorf("%+v", got)
			}
		}
		short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		if _, err := s.Sign(short, three.TransactionID); caos.KindOf(err) != caos.Unavailable || !strings.Contains(caos.AsError(err).Message, "not configured") {
			t.Errorf("%v", err)
		}
		s.look(2)
		s.is(three.TransactionID, Prepared)

		// Another node has its key: it takes the account at once, and signs.
		if strings.HasPrefix(p.url, "postgres") {
			able := p.sail(nil)
			able.look(1)
			if able.accounts[p.signers[0].Address()].lease.held() == 0 {
				t.Fatal("a node without the key keeps the account from one that has it")
			}
			_, err := able.Sign(ctx, three.TransactionID)
			ok(t, err)
			s.look(1)
			able.gapless(4)
		}
	})
}

// What was left behind for a node that has the key, and was not signed in time, is not signed
// later: whoever asked looks first whether the call may still be made.
func TestAskedLongAgo(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		s := p.sail(nil)
		old, fresh := s.prepare(1), s.prepare(2)
		s.sink()
		s = p.sail(nil, func(o *Options) { delete(o.Signers, "recorder") })
		for _, x := range []*Transaction{old, fresh} {
			short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
			if _, err := s.Sign(short, x.TransactionID); caos.KindOf(err) != caos.Unavailable {
				t.Errorf("%v", err)
			}
			cancel()
		}
		s.change(func(tx *db.Tx) error {
			tx.Exec(`UPDATE chain_transactions SET asked = asked - 2 WHERE transaction_id = $1 AND asked > 2`, old.TransactionID)
			return nil
		})
		s.sink()
		s = p.sail(nil)
		for end := time.Now().Add(30 * time.Second); s.get(fresh.TransactionID).Status == Prepared && time.Now().Before(end); <-time.After(50 * time.Millisecond) {
			s.look(1)
		}
		if got := s.get(fresh.TransactionID); got.Status == Prepared {
			t.Error("what another node has just asked for is not signed")
		}
		s.is(old.TransactionID, Prepared)
	})
}
