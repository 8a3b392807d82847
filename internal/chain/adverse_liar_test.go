package chain

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"

	"caos"
	"caos/internal/ethereum"
	"caos/internal/ethereum/chaintest"
)

// twoEndpoints has a node ask the port's proxy first, and a second one that a test may bend
// as well.
func twoEndpoints(t *testing.T, p *port) (second *chaintest.Proxy, ask rule) {
	t.Helper()
	second = chaintest.NewProxy(t, p.dev.URL)
	client, err := ethereum.Open(ethereum.Settings{ChainID: p.dev.ChainID, Endpoints: []string{p.proxy.URL, second.URL}, Timeout: patience,
		HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
	ok(t, err)
	return second, func(o *Options) { o.Client = client }
}

// Two endpoints give the same block and different receipts: nothing is final until they
// agree, whichever of the two is asked first.
func TestAdverseReceipt(t *testing.T) {
	t.Parallel()
	for name, bend := range map[string]func(json.RawMessage) json.RawMessage{
		"a success called a failure": asFailure,
		"other gas":                  setGas,
	} {
		t.Run(name, func(t *testing.T) {
			eachPort(t, func(t *testing.T, p *port) {
				_, ask := twoEndpoints(t, p)
				s := p.sail(nil, ask)
				x := s.send(1)
				p.proxy.Lie("eth_getTransactionReceipt", bend)
				p.proxy.Lie("eth_getBlockReceipts", bend)
				p.dev.Mine(1)
				s.look(1)
				p.dev.Mine(4)
				s.look(2)
				if y := s.get(x.TransactionID); y.Status.Final() {
					t.Errorf("one endpoint's word made it %s", y.Status)
				}
				if s.alerts("endpoints_disagree") != 1 {
					t.Error("nobody was told")
				}
				p.proxy.Lie("eth_getTransactionReceipt", nil)
				p.proxy.Lie("eth_getBlockReceipts", nil)
				p.dev.Mine(1)
				s.look(1)
				if y := s.is(x.TransactionID, Confirmed); y.Reverted || *y.GasUsed < 30_000 {
					t.Errorf("%+v", y)
				}
				s.gapless(1)
			})
		})
	}
}

// eachReceipt bends the receipts of an answer, one or many.
func eachReceipt(r json.RawMessage, bend func(map[string]any)) json.RawMessage {
	var one map[string]any
	var all []map[string]any
	var out []byte
	switch {
	case string(r) == "null":
		return r
	case json.Unmarshal(r, &one) == nil:
		bend(one)
		out, _ = json.Marshal(one)
	case json.Unmarshal(r, &all) == nil:
		for _, m := range all {
			bend(m)
		}
		out, _ = json.Marshal(all)
	}
	return out
}

// asFailure makes receipts say that the contract refused.
func asFailure(r json.RawMessage) json.RawMessage {
	return eachReceipt(r, func(m map[string]any) { m["status"], m["logs"] = "0x0", []any{} })
}

// setGas makes receipts say that 21,001 gas were used.
func setGas(r json.RawMessage) json.RawMessage {
	return eachReceipt(r, func(m map[string]any) { m["gasUsed"] = "0x5209" })
}

// An endpoint invents the receipt of a transaction that the network forgot. It never becomes
// final; once the lie ends it is sent again and mined.
func TestAdverseInventedReceipt(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		_, ask := twoEndpoints(t, p)
		s := p.sail(nil, ask)
		x := s.send(1)
		p.dev.DropPending()
		p.dev.Mine(1)
		head, err := s.net.Head(context.Background())
		ok(t, err)
		invented, err := json.Marshal(map[string]any{
			"transactionHash": x.Hash, "blockHash": head.Hash, "blockNumber": hexutil.Uint64(head.Number), "transactionIndex": "0x0", "status": "0x1",
			"gasUsed": "0xc350", "cumulativeGasUsed": "0xc350", "effectiveGasPrice": "0x1", "logs": []any{}, "type": "0x2",
			"logsBloom": hexutil.Bytes(make([]byte, 256)),
		})
		ok(t, err)
		p.proxy.Lie("eth_getTransactionReceipt", func(json.RawMessage) json.RawMessage { return invented })
		p.proxy.Lie("eth_getBlockReceipts", func(json.RawMessage) json.RawMessage { return json.RawMessage("[" + string(invented) + "]") })
		p.dev.Mine(1)
		s.look(1)
		p.dev.Mine(4)
		s.look(2)
		if y := s.get(x.TransactionID); y.Status.Final() {
			t.Fatalf("one endpoint's word made it %s", y.Status)
		}
		p.proxy.Lie("eth_getTransactionReceipt", nil)
		p.proxy.Lie("eth_getBlockReceipts", nil)
		for range 4 {
			p.later(10 * time.Second)
			s.look(1)
			p.dev.Mine(1)
		}
		s.look(1)
		p.dev.Mine(3)
		s.look(2)
		if y := s.is(x.TransactionID, Confirmed); y.Attempts != 1 {
			t.Errorf("%+v", y)
		}
		if !p.recorded(1) {
			t.Error("not recorded")
		}
		s.gapless(1)
	})
}

// An endpoint says that the account's nonce is far ahead. Neither is a nonce skipped nor is
// one given up while the other endpoint knows better.
func TestAdverseNonce(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		_, ask := twoEndpoints(t, p)
		s := p.sail(nil, ask)
		p.proxy.Lie("eth_getTransactionCount", func(json.RawMessage) json.RawMessage { return json.RawMessage(`"0x384"`) })
		x, y := s.send(1), s.send(2)
		if *y.Nonce != *x.Nonce+1 || *x.Nonce > 20 {
			t.Fatalf("nonces %d and %d", *x.Nonce, *y.Nonce)
		}
		p.dev.DropPending()
		for range 8 {
			p.dev.Mine(1)
			s.look(1)
		}
		for _, z := range []*Transaction{x, y} {
			if got := s.get(z.TransactionID); got.Nonce == nil || *got.Nonce != *z.Nonce || got.Attempts != 1 {
				t.Errorf("%+v", got)
			}
		}
		p.later(10 * time.Second)
		s.look(1)
		p.dev.Mine(3)
		s.look(2)
		s.is(x.TransactionID, Confirmed)
		s.is(y.TransactionID, Confirmed)
		s.gapless(2)
	})
}

// The only endpoint tells a nonce that is a little too high. The gap that this leaves is
// filled when it tells the truth again.
func TestAdverseGapByLie(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		s := p.sail(nil)
		first := s.send(1)
		p.dev.Mine(1)
		s.look(1)
		p.proxy.Lie("eth_getTransactionCount", func(r json.RawMessage) json.RawMessage {
			var n hexutil.Uint64
			_ = json.Unmarshal(r, &n)
			out, _ := json.Marshal(n + 3)
			return out
		})
		<-time.After(factsLast)
		x := s.send(2)
		if *x.Nonce != *first.Nonce+4 {
			t.Fatalf("nonce %d", *x.Nonce)
		}
		p.proxy.Lie("eth_getTransactionCount", nil)
		for range 24 {
			p.later(10 * time.Second)
			s.look(1)
			p.dev.Mine(1)
			if s.get(x.TransactionID).Status == Confirmed {
				break
			}
		}
		p.dev.Mine(4)
		s.look(2)
		s.is(x.TransactionID, Confirmed)
		s.gapless(5)
	})
}

// Blocks that one endpoint makes up on top of the true ones confirm nothing.
func TestAdverseHead(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		_, ask := twoEndpoints(t, p)
		s := p.sail(nil, ask)
		x := s.send(1)
		p.dev.Mine(1)
		s.look(1)
		s.is(x.TransactionID, Mined)
		p.proxy.Lie("eth_getBlockByNumber", func(r json.RawMessage) json.RawMessage {
			var b map[string]any
			if json.Unmarshal(r, &b) != nil || b == nil || b["number"] == "0x0" {
				return r
			}
			var n hexutil.Uint64
			_ = n.UnmarshalText([]byte(fmt.Sprint(b["number"])))
			b["number"] = n + 50
			out, _ := json.Marshal(b)
			return out
		})
		for range 3 {
			_ = s.k.look(context.Background()) // it may refuse to believe anything
		}
		if y := s.get(x.TransactionID); y.Status != Mined || y.Confirmations > 1 {
			t.Errorf("%s with %d confirmations", y.Status, y.Confirmations)
		}
		p.proxy.Lie("eth_getBlockByNumber", nil)
		p.later(time.Minute)
		p.dev.Mine(3)
		s.look(2)
		s.is(x.TransactionID, Confirmed)
	})
}

// An endpoint that answers for another chain in the middle of things is not believed, and
// nothing goes to it.
func TestAdverseOtherChain(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		s := p.sail(nil)
		x, y := s.send(1), s.prepare(2)
		p.proxy.Down(true)
		_ = s.k.look(context.Background())
		p.proxy.WrongChain(1)
		p.proxy.Down(false)
		err := s.k.look(context.Background())
		if caos.KindOf(err) != caos.Unavailable {
			t.Errorf("%v", err)
		}
		<-time.After(factsLast) // what our chain said a moment ago may be signed with
		before := p.proxy.Count("eth_sendRawTransaction")
		if _, err := s.Sign(context.Background(), y.TransactionID); caos.KindOf(err) != caos.Unavailable {
			t.Errorf("signed by what another chain says: %v", err)
		}
		if p.proxy.Count("eth_sendRawTransaction") != before {
			t.Error("bytes went to another chain")
		}
		s.is(x.TransactionID, Sent)
		if y := s.get(y.TransactionID); y.Status != Prepared || y.Nonce != nil {
			t.Errorf("%+v", y)
		}
	})
}
