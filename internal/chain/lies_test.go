package chain

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/ethereum"
	"caos/internal/ethereum/chaintest"
)

// two makes a node ask two endpoints, the port's proxy first.
func two(p *port, other *chaintest.Proxy) rule {
	return func(o *Options) {
		at := &http.Transport{DisableKeepAlives: true}
		client, err := ethereum.Open(ethereum.Settings{ChainID: p.dev.ChainID, Endpoints: []string{p.proxy.URL, other.URL}, HTTP: &http.Client{Transport: at}, Timeout: patience})
		ok(p.t, err)
		o.Client = client
	}
}

// Endpoints that contradict each other: nothing is confirmed, an alert of compliance says
// so, and when they agree again all goes on.
func TestDisagreement(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		other := chaintest.NewProxy(t, p.dev.URL)
		s := p.sail(nil, two(p, other))
		x := s.send(1)
		p.dev.Mine(1)
		s.look(1)
		s.is(x.TransactionID, Mined)
		p.dev.Mine(3)
		other.Lie("eth_getBlockByNumber", func(result json.RawMessage) json.RawMessage {
			var b map[string]json.RawMessage
			if json.Unmarshal(result, &b) != nil || b == nil {
				return result
			}
			if n := string(b["number"]); n == `"0x0"` { // that one is how an endpoint is known
				return result
			}
			b["hash"] = json.RawMessage(`"0x` + strings.Repeat("ab", 32) + `"`)
			out, _ := json.Marshal(b)
			return out
		})
		_ = s.k.look(context.Background())
		_ = s.k.look(context.Background())
		if got := s.is(x.TransactionID, Mined); got.ConfirmedAt != nil {
			t.Errorf("%+v", got)
		}
		if s.alerts("endpoints_disagree") != 1 {
			t.Error("nobody was told")
		}
		var id string
		ok(t, s.d.QueryRow(context.Background(), `SELECT alert_id FROM alerts WHERE metric_name = 'endpoints_disagree'`).Scan(&id))
		if !strings.HasPrefix(id, "ALERT-COMPLIANCE-") {
			t.Error(id)
		}
		other.Lie("eth_getBlockByNumber", nil)
		p.dev.Mine(1)
		for end := time.Now().Add(30 * time.Second); s.get(x.TransactionID).Status != Confirmed && time.Now().Before(end); {
			_ = s.k.look(context.Background())
			p.dev.Mine(1)
		}
		s.is(x.TransactionID, Confirmed)
	})
}

// An endpoint that says a nonce is spent which is not, or that a transaction is not mined
// which is, makes nobody sign twice.
func TestLies(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		s := p.sail(nil)
		x := s.send(1)
		p.proxy.Lie("eth_getTransactionCount", func(json.RawMessage) json.RawMessage { return json.RawMessage(`"0x30"`) })
		p.dev.DropPending()
		for range 6 {
			p.dev.Mine(1)
			s.look(1)
		}
		if got := s.get(x.TransactionID); got.Status != Mined && got.Status != Confirmed || got.Attempts != 1 || s.alerts("endpoint_contradicts_itself") != 1 {
			t.Fatalf("%+v", got)
		}
		p.proxy.Lie("eth_getTransactionCount", nil)
		x = s.send(5)
		p.dev.DropPending()
		p.later(10 * time.Second)
		s.look(2)
		// Mined, and the endpoint hides it; the pool's index still knows it.
		hide := func(json.RawMessage) json.RawMessage { return json.RawMessage(`null`) }
		p.proxy.Lie("eth_getTransactionReceipt", hide)
		for range 6 {
			p.dev.Mine(1)
			s.look(1)
		}
		if got := s.get(x.TransactionID); got.Attempts != 1 {
			t.Fatalf("signed anew although it is mined: %+v", got)
		}
		p.proxy.Lie("eth_getTransactionReceipt", nil)
		p.dev.Mine(1)
		s.look(2)
		s.is(x.TransactionID, Confirmed)

		// A nonce that cannot be is not believed at all.
		p.proxy.Lie("eth_getTransactionCount", func(json.RawMessage) json.RawMessage { return json.RawMessage(`"0xffffffff"`) })
		y := s.prepare(2)
		<-time.After(factsLast)
		if _, err := s.Sign(context.Background(), y.TransactionID); err == nil {
			t.Error("signed under a nonce that cannot be")
		}
		s.is(y.TransactionID, Prepared)
		if s.alerts("nonce_implausible") != 1 {
			t.Error("nobody was told")
		}
	})
}

// The chain's node is killed and comes back with fewer blocks, or without what waited.
func TestNodeKilled(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		s := p.sail(nil)
		x := s.send(1)
		p.dev.Mine(1)
		s.look(1)
		y := s.send(2)
		p.dev.Kill()
		_ = s.k.look(ctx)
		p.dev.Restart()
		for end := time.Now().Add(30 * time.Second); s.k.look(ctx) != nil && time.Now().Before(end); {
			<-time.After(100 * time.Millisecond)
		}
		for range 4 {
			p.later(15 * time.Second)
			s.look(1)
			p.dev.Mine(1)
		}
		s.look(1)
		p.dev.Mine(3)
		s.look(1)
		s.is(x.TransactionID, Confirmed)
		s.is(y.TransactionID, Confirmed)
		s.gapless(2)
		if !p.recorded(1) || !p.recorded(2) {
			t.Error("not recorded")
		}
	})
}

// A repetition of what is known is no work for anybody: no transaction, no head.
func TestIdle(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		s := p.sail(nil)
		s.look(1)
		before := p.proxy.Count("eth_getBlockByNumber")
		s.look(20)
		if n := p.proxy.Count("eth_getBlockByNumber") - before; n > 0 {
			t.Errorf("asked %d times for nothing", n)
		}
	})
}

// A database that has transactions of another chain: they are left alone, and not sent here.
func TestOtherChainsTransactions(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		s := p.sail(nil)
		x, y := s.prepare(1), s.prepare(2)
		x, err := s.Sign(ctx, x.TransactionID)
		ok(t, err)
		s.change(func(tx *db.Tx) error {
			tx.Exec(`UPDATE chain_transactions SET chain_id = 5, asked = 2000000000`)
			return nil
		})
		p.later(time.Hour)
		s.look(3)
		if _, err := s.Submit(ctx, x.TransactionID); caos.AsError(err).Rule != "chain-changed" {
			t.Error(err)
		}
		if _, err := s.Sign(ctx, y.TransactionID); caos.AsError(err).Rule != "chain-changed" {
			t.Error(err)
		}
		if n := p.proxy.Count("eth_sendRawTransaction"); n != 0 {
			t.Errorf("sent %d times", n)
		}
	})
}
