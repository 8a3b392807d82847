package chain

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"caos/internal/db"
	"caos/internal/ethereum"
	"caos/internal/ethereum/chaintest"
)

// three has a node ask three endpoints, the port's proxy first, of which some must agree.
func three(p *port, agree int) (second, third *chaintest.Proxy, ask rule) {
	p.t.Helper()
	second, third = chaintest.NewProxy(p.t, p.dev.URL), chaintest.NewProxy(p.t, p.dev.URL)
	client, err := ethereum.Open(ethereum.Settings{ChainID: p.dev.ChainID, Endpoints: []string{p.proxy.URL, second.URL, third.URL}, Agree: agree, Timeout: 2 * time.Second, Now: p.now,
		HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
	ok(p.t, err)
	return second, third, func(o *Options) { o.Client = client }
}

// otherHash gives blocks other hashes, the first excepted.
func otherHash(result json.RawMessage) json.RawMessage {
	var b map[string]json.RawMessage
	if json.Unmarshal(result, &b) != nil || b == nil || string(b["number"]) == `"0x0"` {
		return result
	}
	b["hash"] = json.RawMessage(`"0x` + strings.Repeat("cd", 32) + `"`)
	out, _ := json.Marshal(b)
	return out
}

// Two of three endpoints have to have a block before what is in it is final. Without them
// everything waits, and says for what; when they are back it goes on, also without a block.
func TestQuorum(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		second, third, ask := three(p, 2)
		s := p.sail(nil, ask)
		final := func(n int) *Transaction {
			t.Helper()
			x := s.send(n)
			p.dev.Mine(4)
			s.look(2)
			return x
		}
		problem := func() string {
			t.Helper()
			st, err := s.Status(ctx)
			ok(t, err)
			if st.Agree != 2 {
				t.Errorf("%d must agree", st.Agree)
			}
			return st.Problem
		}
		s.is(final(1).TransactionID, Confirmed)
		third.Down(true)
		s.is(final(2).TransactionID, Confirmed)
		if got := problem(); got != "" {
			t.Error(got)
		}

		x := s.send(3)
		second.WrongChain(5) // on another chain is as good as down
		second.Down(true)
		if _, err := s.Code(ctx, p.registry.Hex()); !ethereum.Is(err, ethereum.TooFew) {
			t.Errorf("the code of a contract is believed of one: %v", err)
		}
		second.Down(false)
		p.dev.Mine(4)
		s.look(2)
		s.is(x.TransactionID, Mined)
		const few = "2 of 3 endpoints asked for, 1 answers"
		if got := problem(); !strings.Contains(got, few) {
			t.Errorf("status says %q", got)
		}
		if s.alerts("too_few_endpoints") != 0 {
			t.Error("an alert at once")
		}
		p.later(alertAfter + time.Minute)
		p.dev.Mine(1)
		s.look(2)
		s.is(x.TransactionID, Mined)
		if s.alerts("too_few_endpoints") != 1 || s.alerts("endpoints_disagree") != 0 {
			t.Error("nobody was told after a while")
		}

		second.WrongChain(0)
		p.later(time.Minute) // an endpoint that failed is left alone for a while
		_, err := s.net.Head(ctx)
		ok(t, err)
		s.look(1)
		s.is(x.TransactionID, Confirmed)
		if got := problem(); got != "" || s.open("too_few_endpoints") != 0 {
			t.Errorf("%s, or the alert is open", got)
		}

		third.Down(false)
		p.later(time.Minute)
		third.Lie("eth_getBlockByNumber", otherHash)
		x = s.send(4)
		p.dev.Mine(4)
		_ = s.k.look(ctx)
		_ = s.k.look(ctx)
		if got := s.get(x.TransactionID); got.Status.Final() || s.alerts("endpoints_disagree") != 1 {
			t.Errorf("%s although an endpoint says otherwise", got.Status)
		}
		third.Lie("eth_getBlockByNumber", nil)
		p.later(time.Minute)
		p.dev.Mine(1)
		s.look(3)
		s.is(x.TransactionID, Confirmed)
		s.gapless(4)
		if s.open("endpoints_disagree") != 1 {
			t.Error("that an endpoint contradicted the others is for people to close")
		}
	})
}

// A receipt counts when as many endpoints have it.
func TestQuorumOfReceipts(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		second, third, ask := three(p, 3)
		s := p.sail(nil, ask)
		x := s.send(1)
		for _, e := range []*chaintest.Proxy{second, third} {
			e.Fail("eth_getTransactionReceipt", -32603, "internal error")
		}
		p.dev.Mine(4)
		s.look(2)
		s.is(x.TransactionID, Mined)
		second.Fail("eth_getTransactionReceipt", 0, "")
		s.look(1)
		s.is(x.TransactionID, Mined)
		third.Fail("eth_getTransactionReceipt", 0, "")
		s.look(1)
		s.is(x.TransactionID, Confirmed)
	})
}

// What is final is taken back when as many endpoints say that its block is gone as had to
// agree on it, whether the chain became shorter or another.
func TestQuorumTakesBack(t *testing.T) {
	for name, grows := range map[string]bool{"shorter": false, "another": true} {
		t.Run(name, func(t *testing.T) {
			eachPort(t, func(t *testing.T, p *port) {
				second, third, ask := three(p, 2)
				s := p.sail(nil, ask)
				x := s.send(1)
				p.dev.Mine(4)
				s.look(2)
				before := s.is(x.TransactionID, Confirmed)

				second.Down(true)
				third.Down(true)
				p.dev.Reorg(4)
				if grows {
					p.dev.Mine(6)
				}
				p.later(time.Minute) // longer than a chain may be behind
				for range 3 {
					_ = s.k.look(context.Background())
				}
				p.later(time.Minute)
				for range 3 {
					_ = s.k.look(context.Background())
				}
				if got := s.is(x.TransactionID, Confirmed); got.BlockHash != before.BlockHash || s.alerts("confirmed_transaction_vanished") != 0 {
					t.Errorf("taken back by one endpoint's word: %+v", got)
				}
				if st, err := s.Status(context.Background()); err != nil || !strings.Contains(st.Problem, "2 of 3 endpoints asked for, 1 answers") {
					t.Errorf("%v, %+v", err, st)
				}
				if grows { // past the blocks for which what is final is watched
					p.dev.Mine(watched + 10)
					for range 3 {
						_ = s.k.look(context.Background())
					}
				}

				second.Down(false)
				p.later(time.Minute)
				s.look(2)
				if s.alerts("confirmed_transaction_vanished") != 1 {
					t.Errorf("%+v was not taken back", s.get(x.TransactionID))
				}
				p.dev.Mine(5)
				s.look(3)
				if got := s.is(x.TransactionID, Confirmed); got.BlockHash == before.BlockHash {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

// An endpoint says for a moment that another block is in the place of a final one, and is not
// asked, or says what the others say, when they are compared: they agree, on the block that is
// there, and nothing is taken back.
func TestQuorumOnTheSameBlock(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		_, _, ask := three(p, 2)
		s := p.sail(nil, ask)
		x := s.send(1)
		p.dev.Mine(4)
		s.look(2)
		before := s.is(x.TransactionID, Confirmed)
		s.k.road.blocks[*before.BlockNumber] = ethereum.Block{Number: *before.BlockNumber, Hash: common.HexToHash("0xcd")}
		s.k.unsure[p.signers[0].Address()] = true
		s.look(2)
		if got := s.is(x.TransactionID, Confirmed); got.BlockHash != before.BlockHash || s.alerts("confirmed_transaction_vanished") != 0 || s.alerts("endpoints_disagree") != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// A transaction whose nonce another wallet took is not given another one while too few
// endpoints say so.
func TestQuorumOfTheLost(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		second, third, ask := three(p, 2)
		s := p.sail(nil, ask)
		x := s.prepare(1)
		x, err := s.Sign(ctx, x.TransactionID)
		ok(t, err)
		nonce := *x.Nonce
		p.elsewhere(nonce, 2)
		p.dev.Mine(1)
		second.Down(true)
		third.Down(true)
		for range 8 {
			p.later(5 * time.Second)
			p.dev.Mine(1)
			_ = s.k.look(ctx)
		}
		if got := s.get(x.TransactionID); got.Nonce == nil || *got.Nonce != nonce || got.Status.Final() {
			t.Fatalf("given up by one endpoint's word: %+v", got)
		}
		second.Down(false)
		p.later(time.Minute)
		for range 3 {
			p.dev.Mine(1)
			s.look(1)
		}
		x, err = s.Sign(ctx, x.TransactionID)
		ok(t, err)
		p.later(10 * time.Second)
		s.look(1)
		p.dev.Mine(4)
		s.look(2)
		if got := s.is(x.TransactionID, Confirmed); *got.Nonce == nonce {
			t.Errorf("%+v", got)
		}
		if !p.recorded(1) {
			t.Error("not recorded")
		}
	})
}

// A look that fails half-way does not begin the wait anew after which somebody is told that too
// few endpoints answer.
func TestDoubtOutlivesALook(t *testing.T) {
	p := newPort(t, db.SQLite)
	s := p.sail(nil)
	s.send(1)
	s.look(1)
	at := p.signers[0].Address()
	ch := &charge{a: s.accounts[at], epoch: s.accounts[at].lease.held()}
	ok(t, s.k.read(context.Background(), []*charge{ch}))
	was := doubt{words: "too few", few: p.now()}
	s.k.doubts[at] = was
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.k.account(gone, ch, step{cold: true}); err == nil || s.k.doubts[at] != was {
		t.Errorf("%v, %+v", err, s.k.doubts[at])
	}
}
