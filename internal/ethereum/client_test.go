package ethereum

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"caos"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

func TestOpenRefuses(t *testing.T) {
	many := make([]string, 9)
	for i := range many {
		many[i] = fmt.Sprintf("https://node%d.example", i)
	}
	for _, c := range []struct {
		name, field, words string
		s                  Settings
	}{
		{"no chain id", "chain.chain_id", "no id", Settings{Endpoints: []string{"https://a.example"}}},
		{"no endpoints", "chain.endpoints", "0 endpoints", Settings{ChainID: 1}},
		{"too many", "chain.endpoints", "9 endpoints", Settings{ChainID: 1, Endpoints: many}},
		{"twice", "chain.endpoints[1]", "twice", Settings{ChainID: 1, Endpoints: []string{"https://a.example", "https://a.example"}}},
		{"websocket", "chain.endpoints[0]", "scheme", Settings{ChainID: 1, Endpoints: []string{"wss://a.example"}}},
		{"a path", "chain.endpoints[0]", "not the URL", Settings{ChainID: 1, Endpoints: []string{"/run/geth.ipc"}}},
		{"password", "chain.endpoints[0]", "password", Settings{ChainID: 1, Endpoints: []string{"https://me:hush@a.example"}}},
	} {
		_, err := Open(c.s)
		var e *caos.Error
		if !errors.As(err, &e) || e.Field != c.field || !strings.Contains(e.Message, c.words) || e.Hint == "" || strings.Contains(e.Error(), "hush") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestAnswers(t *testing.T) {
	n := node(t, 100)
	c, _ := open(t, n)
	who := common.HexToAddress("0x01")
	n.says("eth_getTransactionCount", "0x5")
	n.says("eth_getBalance", "0xde0b6b3a7640000")
	n.says("eth_getCode", "0x6001")
	n.says("eth_estimateGas", "0xb000")
	n.says("eth_call", "0x2a")
	n.says("eth_feeHistory", map[string]any{
		"oldestBlock": "0x5a", "baseFeePerGas": []string{"0x1", "0x2", "0x3b9aca00"}, "reward": [][]string{{"0x0"}, {"0x5f5e100"}}, "gasUsedRatio": []float64{0, 0.5},
	})
	if h, err := c.Head(ctx(t)); err != nil || h.Number != 100 || h.Hash != hashAt("main", 100) || h.BaseFee.Int64() != 7 || h.GasLimit != 30_000_000 {
		t.Errorf("head %v %v", h, err)
	}
	if b, err := c.Block(ctx(t), 7); err != nil || b.Parent != hashAt("main", 6) {
		t.Errorf("block %v %v", b, err)
	}
	if _, err := c.Block(ctx(t), 101); !Is(err, Missing) || caos.KindOf(err) != caos.NotFound {
		t.Errorf("a block that is not there: %v", err)
	}
	if v, err := c.Nonce(ctx(t), who, true); err != nil || v != 5 {
		t.Errorf("nonce %v %v", v, err)
	}
	if v, err := c.Balance(ctx(t), who); err != nil || v.String() != "1000000000000000000" {
		t.Errorf("balance %v %v", v, err)
	}
	if v, err := c.Code(ctx(t), who); err != nil || len(v) != 2 {
		t.Errorf("code %v %v", v, err)
	}
	if v, err := c.Estimate(ctx(t), Call{From: who, To: who, Data: []byte{1}, Value: big.NewInt(3), Gas: 21000}); err != nil || v != 0xb000 {
		t.Errorf("estimate %v %v", v, err)
	}
	if v, err := c.Call(ctx(t), Call{To: who}, big.NewInt(99)); err != nil || len(v) != 1 {
		t.Errorf("call %v %v", v, err)
	}
	if v, err := c.Fees(ctx(t)); err != nil || v.Base.Int64() != 1_000_000_000 || v.Tip.Int64() != 100_000_000 {
		t.Errorf("fees %v %v", v, err)
	}
	if v, err := c.ChainID(ctx(t)); err != nil || v != 1337 {
		t.Errorf("chain id %v %v", v, err)
	}
	if n.count("eth_chainId") != 2 { // once to be believed, once asked
		t.Errorf("the chain id was asked %d times", n.count("eth_chainId"))
	}
	n.says("eth_getTransactionByHash", nil)
	if found, _, err := c.Transaction(ctx(t), hashAt("x", 1)); err != nil || found {
		t.Errorf("transaction %v %v", found, err)
	}
	n.says("eth_getTransactionByHash", map[string]any{"hash": hashAt("x", 1), "blockHash": nil})
	if found, pending, err := c.Transaction(ctx(t), hashAt("x", 1)); err != nil || !found || !pending {
		t.Errorf("transaction %v %v %v", found, pending, err)
	}
	n.says("eth_getTransactionByHash", map[string]any{"hash": hashAt("x", 1), "blockHash": hashAt("main", 3), "blockNumber": "0x3"})
	if found, pending, err := c.Transaction(ctx(t), hashAt("x", 1)); err != nil || !found || pending {
		t.Errorf("transaction %v %v %v", found, pending, err)
	}
}

// fakeReceipt is a sound receipt of a transaction in block n.
func fakeReceipt(tx common.Hash, branch string, n uint64) map[string]any {
	return map[string]any{
		"transactionHash": tx, "blockHash": hashAt(branch, n), "blockNumber": fmt.Sprintf("0x%x", n), "transactionIndex": "0x0", "status": "0x1",
		"gasUsed": "0x5208", "cumulativeGasUsed": "0x5208", "logsBloom": hexutil.Encode(make([]byte, 256)), "type": "0x2", "effectiveGasPrice": "0x9",
		"logs": []any{map[string]any{
			"address": common.HexToAddress("0x02"), "topics": []common.Hash{hashAt("topic", 1)}, "data": "0x01", "blockNumber": fmt.Sprintf("0x%x", n),
			"transactionHash": tx, "transactionIndex": "0x0", "blockHash": hashAt(branch, n), "logIndex": "0x0", "removed": false,
		}},
	}
}

// TestLies gives wrong answers. Every one must be refused as the endpoint's fault, and a
// second endpoint's right answer taken.
func TestLies(t *testing.T) {
	tx := hashAt("tx", 1)
	honest := func() map[string]any { return fakeReceipt(tx, "main", 5) }
	bent := func(bend func(map[string]any)) any {
		r := honest()
		bend(r)
		return r
	}
	logOf := func(r map[string]any) map[string]any { return r["logs"].([]any)[0].(map[string]any) }
	receipt := func(c *Client) error { _, err := c.Receipt(ctx(t), tx); return err }
	block := func(c *Client) error { _, err := c.Block(ctx(t), 5); return err }
	for _, x := range []struct {
		name, method string
		lie          any
		ask          func(*Client) error
	}{
		{"the receipt of another", "eth_getTransactionReceipt", fakeReceipt(hashAt("tx", 2), "main", 5), receipt},
		{"a receipt in no block", "eth_getTransactionReceipt", bent(func(r map[string]any) { r["blockHash"] = common.Hash{} }), receipt},
		{"a receipt without a status", "eth_getTransactionReceipt", bent(func(r map[string]any) { r["status"] = "0x7" }), receipt},
		{"a receipt without a number", "eth_getTransactionReceipt", bent(func(r map[string]any) { delete(r, "blockNumber") }), receipt},
		{"a receipt without gas", "eth_getTransactionReceipt", bent(func(r map[string]any) { r["gasUsed"] = "0x0" }), receipt},
		{"more gas than the block", "eth_getTransactionReceipt", bent(func(r map[string]any) { r["gasUsed"] = "0xffffff" }), receipt},
		{"an entry of another transaction", "eth_getTransactionReceipt", bent(func(r map[string]any) { logOf(r)["transactionHash"] = hashAt("tx", 2) }), receipt},
		{"an entry of another block", "eth_getTransactionReceipt", bent(func(r map[string]any) { logOf(r)["blockHash"] = hashAt("side", 5) }), receipt},
		{"a removed entry", "eth_getTransactionReceipt", bent(func(r map[string]any) { logOf(r)["removed"] = true }), receipt},
		{"entries of a failure", "eth_getTransactionReceipt", bent(func(r map[string]any) { r["status"] = "0x0" }), receipt},
		{"a null entry", "eth_getTransactionReceipt", bent(func(r map[string]any) { r["logs"] = []any{nil} }), receipt},
		{"a number", "eth_getTransactionReceipt", 5, receipt},
		{"a list", "eth_getTransactionReceipt", []any{}, receipt},
		{"another block", "eth_getBlockByNumber", nil, block}, // replaced below
		{"the receipts of another block", "eth_getBlockReceipts", []any{fakeReceipt(tx, "side", 5)}, func(c *Client) error {
			_, err := c.Receipts(ctx(t), hashAt("main", 5))
			return err
		}},
		{"a receipt left out", "eth_getBlockReceipts", []any{bent(func(r map[string]any) { r["transactionIndex"] = "0x1" })}, func(c *Client) error {
			_, err := c.Receipts(ctx(t), hashAt("main", 5))
			return err
		}},
		{"another transaction", "eth_getTransactionByHash", map[string]any{"hash": hashAt("tx", 2)}, func(c *Client) error {
			_, _, err := c.Transaction(ctx(t), tx)
			return err
		}},
		{"a nonce beyond 64 bits", "eth_getTransactionCount", "0x10000000000000000", func(c *Client) error { _, err := c.Nonce(ctx(t), common.Address{}, false); return err }},
		{"a nonce in decimal", "eth_getTransactionCount", "5", func(c *Client) error { _, err := c.Nonce(ctx(t), common.Address{}, false); return err }},
		{"a negative balance", "eth_getBalance", "-0x5", func(c *Client) error { _, err := c.Balance(ctx(t), common.Address{}); return err }},
		{"absurd fees", "eth_feeHistory", map[string]any{"baseFeePerGas": []string{"0x" + strings.Repeat("f", 60)}}, func(c *Client) error { _, err := c.Fees(ctx(t)); return err }},
		{"no fees", "eth_feeHistory", map[string]any{"baseFeePerGas": []string{}}, func(c *Client) error { _, err := c.Fees(ctx(t)); return err }},
		{"null fees", "eth_feeHistory", map[string]any{"baseFeePerGas": []any{nil}}, func(c *Client) error { _, err := c.Fees(ctx(t)); return err }},
	} {
		t.Run(x.name, func(t *testing.T) {
			liar, good := node(t, 100), node(t, 100)
			liar.says(x.method, x.lie)
			if x.method == "eth_getBlockByNumber" {
				liar.on(x.method, func(p []json.RawMessage) any {
					if string(p[0]) == `"0x0"` {
						return fakeBlock("main", 0, time.Unix(1, 0))
					}
					return fakeBlock("main", 6, time.Unix(1, 0))
				})
			}
			c, _ := open(t, liar)
			err := x.ask(c)
			if !Is(err, Disagree) || caos.KindOf(err) != caos.Unavailable {
				t.Errorf("the liar alone: %v", err)
			}
			noSecret(t, err)
			good.says("eth_getTransactionReceipt", honest())
			good.says("eth_getBlockReceipts", []any{honest()})
			good.says("eth_getTransactionByHash", map[string]any{"hash": tx})
			good.says("eth_getTransactionCount", "0x5")
			good.says("eth_getBalance", "0x5")
			good.says("eth_feeHistory", map[string]any{"baseFeePerGas": []string{"0x5"}})
			c, _ = open(t, liar, good)
			if err := x.ask(c); err != nil {
				t.Errorf("with an honest one: %v", err)
			}
			asked := liar.count(x.method)
			if err := x.ask(c); err != nil || liar.count(x.method) != asked {
				t.Errorf("the liar is asked again: %v", err)
			}
		})
	}
}

// TestBrokenServers are endpoints that are no endpoints.
func TestBrokenServers(t *testing.T) {
	for name, serve := range map[string]func(w http.ResponseWriter, r *http.Request){
		"HTML":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>sign in</html>") },
		"502":     func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bad gateway", http.StatusBadGateway) },
		"empty":   func(http.ResponseWriter, *http.Request) {},
		"neither": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1}`) },
		"another id": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"id":77777,"result":"0x539"}`)
		},
		"a batch": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `[{"id":1,"result":"0x539"}]`) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		},
		"a closed line": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"deep nesting":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("[", 1<<20)) },
		"too much":      func(w http.ResponseWriter, _ *http.Request) { flood(w) },
		"a long error": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"id":1,"error":{"code":-32000,"message":"`+strings.Repeat("x", 1<<20)+`"}}`)
		},
		"an odd error": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"id":1,"error":{"code":"x"}}`)
		},
		"a rate limit": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"id":null,"error":{"code":-32005,"message":"daily request count exceeded"}}`)
		},
		"chain id as text": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"id":1,"result":"mainnet"}`) },
	} {
		t.Run(name, func(t *testing.T) {
			bad, good := node(t, 9), node(t, 9)
			bad.instead(serve)
			c, _ := open(t, bad)
			_, err := c.Head(ctx(t))
			if caos.KindOf(err) != caos.Unavailable || len(err.Error()) > 2000 {
				t.Errorf("alone: %.300v", err)
			}
			noSecret(t, err)
			c, _ = open(t, bad, good)
			if b, err := c.Block(ctx(t), 9); err != nil || b.Number != 9 {
				t.Errorf("with a good one: %v", err)
			}
			for _, s := range c.Status(ctx(t)) {
				if strings.Contains(s.URL+s.Error, "secret-key") {
					t.Errorf("the status shows the key: %+v", s)
				}
			}
		})
	}
}

func flood(w http.ResponseWriter) {
	_, _ = io.WriteString(w, `{"id":1,"result":"0x`)
	block := strings.Repeat("0", 1<<16)
	for range 160 {
		if _, err := io.WriteString(w, block); err != nil {
			return
		}
	}
}

// TestFailover follows an endpoint that goes away and comes back.
func TestFailover(t *testing.T) {
	first, second := node(t, 9), node(t, 9)
	c, k := open(t, first, second)
	ask := func() {
		t.Helper()
		if _, err := c.Block(ctx(t), 3); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	if first.count("eth_getBlockByNumber") != 2 || second.count("eth_chainId") != 0 {
		t.Fatal("the first endpoint is preferred, the second not asked")
	}
	first.instead(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for range 5 {
		ask()
	}
	var asked int
	var mu sync.Mutex
	first.instead(func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		asked++
		mu.Unlock()
		panic(http.ErrAbortHandler)
	})
	for range 3600 { // an hour of one question a second
		k.pass(time.Second)
		ask()
	}
	if asked > 3600/15+10 || asked < 100 {
		t.Errorf("an endpoint that was down for an hour was asked %d times", asked)
	}
	first.instead(nil)
	before := first.count("eth_chainId")
	k.pass(20 * time.Second)
	ask()
	if first.count("eth_chainId") != before+1 {
		t.Error("which chain it is was not asked again after it was away")
	}
	// It comes back as a node of another chain.
	first.instead(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	ask()
	first.instead(nil)
	first.says("eth_chainId", "0x1")
	k.pass(20 * time.Second)
	blocks := first.count("eth_getBlockByNumber")
	ask()
	if first.count("eth_getBlockByNumber") != blocks {
		t.Error("an endpoint of another chain was asked for a block")
	}
	if s := c.Status(ctx(t)); !strings.Contains(s[0].Error, "chain 1, not on 1337") || s[0].ChainID != 1 || s[1].Error != "" {
		t.Errorf("status %+v", s)
	}
}

func TestOneEndpointDown(t *testing.T) {
	n := node(t, 9)
	c, k := open(t, n)
	if _, err := c.Head(ctx(t)); err != nil {
		t.Fatal(err)
	}
	var asked int
	var mu sync.Mutex
	n.instead(func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		asked++
		mu.Unlock()
		panic(http.ErrAbortHandler)
	})
	var wg sync.WaitGroup
	for range 64 { // all at once count as one failure
		wg.Go(func() { _, _ = c.Block(ctx(t), 3) })
	}
	wg.Wait()
	n.instead(nil)
	k.pass(600 * time.Millisecond)
	if _, err := c.Block(ctx(t), 3); err != nil {
		t.Errorf("64 callers' one failure kept the endpoint away: %v", err)
	}
	n.instead(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for range 100 {
		_, err := c.Block(ctx(t), 3)
		if !Is(err, Down) || caos.KindOf(err) != caos.Unavailable {
			t.Fatal(err)
		}
		noSecret(t, err)
		k.pass(time.Minute)
	}
	n.instead(nil)
	if _, err := c.Block(ctx(t), 3); err != nil {
		t.Errorf("after it came back: %v", err)
	}
}

func TestWrongChain(t *testing.T) {
	n := node(t, 9)
	n.says("eth_chainId", "0x5")
	c, _ := open(t, n)
	_, err := c.Head(ctx(t))
	if !Is(err, WrongChain) || caos.KindOf(err) != caos.Unavailable || !strings.Contains(err.Error(), "on chain 5, not on 1337") {
		t.Error(err)
	}
	if _, err := c.Head(ctx(t)); !Is(err, WrongChain) || n.count("eth_chainId") != 1 {
		t.Errorf("while it is left alone: %v", err)
	}
	if err := c.Send(ctx(t), signedTx(t)); err == nil || n.count("eth_sendRawTransaction") != 0 {
		t.Error("a transaction went to another chain")
	}
	// The same id, but another chain: one of the two lies, and nothing is agreed.
	honest, forged := node(t, 9), node(t, 9)
	forged.on("eth_getBlockByNumber", func(p []json.RawMessage) any {
		b := fakeBlock("forged", 1, time.Unix(1, 0))
		b["number"] = "0x0"
		return b
	})
	c, _ = open(t, honest, forged)
	if _, err := c.Head(ctx(t)); err != nil {
		t.Error(err)
	}
	if err := c.Agree(ctx(t), 3); !Is(err, Disagree) {
		t.Errorf("a forged genesis: %v", err)
	}
}

// TestChainChangesUnseen puts another chain behind an address that never fails.
func TestChainChangesUnseen(t *testing.T) {
	n := node(t, 9)
	c, k := open(t, n)
	if _, err := c.Head(ctx(t)); err != nil {
		t.Fatal(err)
	}
	n.says("eth_chainId", "0x5")
	k.pass(trusted)
	if err := c.Send(ctx(t), signedTx(t)); !Is(err, WrongChain) || n.count("eth_sendRawTransaction") != 0 {
		t.Errorf("sent to another chain: %v", err)
	}
}

func signedTx(t testing.TB) []byte {
	t.Helper()
	key, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	to := common.HexToAddress("0x02")
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(big.NewInt(1337)), &types.DynamicFeeTx{ChainID: big.NewInt(1337), To: &to, Gas: 21000, GasFeeCap: big.NewInt(9), GasTipCap: big.NewInt(1)})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestSend(t *testing.T) {
	raw := signedTx(t)
	hash := crypto.Keccak256Hash(raw)
	low := refusal{Code: -32000, Message: "nonce too low: next nonce 5, tx nonce 4"}
	known := refusal{Code: -32000, Message: "already known"}
	for _, x := range []struct {
		name          string
		first, second any
		want          ErrorKind // "" for none
	}{
		{"both take it", hash, hash, ""},
		{"the second knows it", hash, known, ""},
		{"the first refuses", refusal{Code: -32000, Message: "txpool is full"}, hash, ""},
		{"the first says it is spent", low, hash, ""},
		{"the first lies about the hash", hashAt("x", 1), hash, ""},
		{"both know it", known, known, AlreadyKnown},
		{"one knows, one says spent", low, known, AlreadyKnown},
		{"spent", low, low, NonceTooLow},
		{"one is down", low, refusal{Code: -32603, Message: "internal error"}, NonceTooLow},
		{"both lie", hashAt("x", 1), hashAt("x", 2), Disagree},
		{"both full", refusal{Code: -32000, Message: "txpool is full"}, refusal{Code: -32000, Message: "pending sub-pool is full"}, Down},
	} {
		t.Run(x.name, func(t *testing.T) {
			a, b := node(t, 9), node(t, 9)
			a.says("eth_sendRawTransaction", x.first)
			b.says("eth_sendRawTransaction", x.second)
			c, _ := open(t, a, b)
			err := c.Send(ctx(t), raw)
			if x.want == "" && err != nil || x.want != "" && !Is(err, x.want) {
				t.Errorf("got %v, want %q", err, x.want)
			}
			if a.count("eth_sendRawTransaction") != 1 || b.count("eth_sendRawTransaction") != 1 {
				t.Error("it did not go to both")
			}
		})
	}
	c, _ := open(t, node(t, 9))
	if err := c.Send(ctx(t), []byte{1, 2, 3}); caos.KindOf(err) != caos.Internal {
		t.Error(err)
	}
}

// TestHanging: an endpoint that never answers costs a second, once.
func TestHanging(t *testing.T) {
	hung, good := node(t, 9), node(t, 9)
	c, _ := open(t, hung, good)
	if _, err := c.Head(ctx(t)); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	hung.instead(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(release) })
	begin := time.Now()
	for range 20 {
		if h, err := c.Head(ctx(t)); err != nil || h.Number != 9 {
			t.Fatal(err)
		}
	}
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("20 questions took %s", took)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Block(gone, 3); caos.KindOf(err) != caos.Unavailable {
		t.Error(err)
	}
	if _, err := c.Block(ctx(t), 3); err != nil {
		t.Errorf("a caller who left was held against the endpoint: %v", err)
	}
}

func TestHeads(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	a, b := node(t, 100), node(t, 100)
	c, _ := open(t, a, b)
	head := func() uint64 {
		t.Helper()
		h, err := c.Head(ctx(t))
		if err != nil {
			t.Fatal(err)
		}
		return h.Number
	}
	b.chain("main", 97, now.Add(-36*time.Second))
	if h := head(); h != 97 {
		t.Errorf("head %d: the lower of two counts", h)
	}
	b.chain("main", 50, now.Add(-10*time.Minute))
	if h := head(); h != 100 {
		t.Errorf("head %d: one that is far behind does not count", h)
	}
	if s := c.Status(ctx(t)); s[0].Behind != 0 || s[1].Behind != 50 {
		t.Errorf("status %+v", s)
	}
	b.says("eth_getTransactionCount", "0x1") // what it has not seen yet
	a.says("eth_getTransactionCount", "0x9")
	if n, err := c.Nonce(ctx(t), common.Address{}, false); err != nil || n != 9 {
		t.Errorf("nonce %d %v: one that is far behind is not asked", n, err)
	}
	b.chain("main", 100, now)
	_ = head()
	if n, err := c.Nonce(ctx(t), common.Address{}, false); err != nil || n != 1 {
		t.Errorf("nonce %d %v: the smallest counts", n, err)
	}
	// A liar cannot make a block look deep.
	b.chain("main", 100_000, now)
	if h := head(); h != 100 {
		t.Errorf("head %d: a liar moved it", h)
	}
	// Not by leaving the honest behind either, as far as it goes by time.
	b.chain("main", 100_000, now.Add(time.Hour))
	if h := head(); h != 100 {
		t.Errorf("head %d: one that comes from the future left the others behind", h)
	}
	a.chain("main", 100, now.Add(time.Hour)) // it is our clock
	if h := head(); h != 100 {
		t.Errorf("head %d: a clock that is behind makes liars of them all", h)
	}
}

func TestAgree(t *testing.T) {
	a, b := node(t, 100), node(t, 100)
	c, _ := open(t, a, b)
	if err := c.Agree(ctx(t), 50); err != nil {
		t.Error(err)
	}
	b.chain("side", 100, time.Unix(1_800_000_000, 0))
	err := c.Agree(ctx(t), 50)
	var e *RPCError
	if !errors.As(err, &e) || e.Kind != Disagree || len(e.Endpoints) != 2 || caos.AsError(err).Rule != "chain-disagreement" {
		t.Errorf("got %v", err)
	}
	noSecret(t, err)
	b.chain("main", 40, time.Unix(1_800_000_000, 0))
	if err := c.Agree(ctx(t), 50); err != nil {
		t.Errorf("one that has not come that far: %v", err)
	}
	b.instead(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if err := c.Agree(ctx(t), 50); err != nil {
		t.Errorf("one that is down: %v", err)
	}
	a.instead(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if err := c.Agree(ctx(t), 50); !Is(err, Down) {
		t.Errorf("both down: %v", err)
	}
	alone, _ := open(t, node(t, 9))
	if err := alone.Agree(ctx(t), 5); err != nil {
		t.Error(err)
	}
	// A block that reaches the second node a moment later is no disagreement.
	x, y := node(t, 100), node(t, 100)
	late := 0
	y.on("eth_getBlockByNumber", func(p []json.RawMessage) any {
		if string(p[0]) == `"0x0"` {
			return fakeBlock("main", 0, time.Unix(1, 0))
		}
		if late++; late == 1 {
			return fakeBlock("side", 100, time.Unix(1, 0))
		}
		return fakeBlock("main", 100, time.Unix(1, 0))
	})
	c, _ = open(t, x, y)
	if err := c.Agree(ctx(t), 100); err != nil {
		t.Error(err)
	}
}

func TestAgreeReceipt(t *testing.T) {
	tx := hashAt("tx", 1)
	raw, err := json.Marshal(fakeReceipt(tx, "main", 5))
	if err != nil {
		t.Fatal(err)
	}
	r := new(types.Receipt)
	if err := json.Unmarshal(raw, r); err != nil {
		t.Fatal(err)
	}
	bent := func(bend func(map[string]any)) map[string]any {
		m := fakeReceipt(tx, "main", 5)
		bend(m)
		return m
	}
	for _, x := range []struct {
		name  string
		other any
		same  bool
	}{
		{"the same", fakeReceipt(tx, "main", 5), true},
		{"none of a block that is there", nil, false},
		{"a failure", bent(func(m map[string]any) { m["status"] = "0x0"; m["logs"] = []any{} }), false},
		{"another block", fakeReceipt(tx, "main", 6), false},
		{"other gas", bent(func(m map[string]any) { m["gasUsed"] = "0x5207" }), false},
		{"other data", bent(func(m map[string]any) { m["logs"].([]any)[0].(map[string]any)["data"] = "0x02" }), false},
		{"another topic", bent(func(m map[string]any) {
			m["logs"].([]any)[0].(map[string]any)["topics"] = []common.Hash{hashAt("topic", 2)}
		}), false},
		{"no entries", bent(func(m map[string]any) { m["logs"] = []any{} }), false},
		{"nonsense", "x", true},
		{"out of order", refusal{Code: -32603, Message: "internal error"}, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			a, b := node(t, 100), node(t, 100)
			a.says("eth_getTransactionReceipt", fakeReceipt(tx, "main", 5))
			b.says("eth_getTransactionReceipt", x.other)
			c, _ := open(t, a, b)
			err := c.AgreeReceipt(ctx(t), r)
			if all := c.AgreeReceipts(ctx(t), []*types.Receipt{r, r}); (all == nil) != (err == nil) {
				t.Errorf("one says %v, many %v", err, all)
			}
			if x.same != (err == nil) || !x.same && !Is(err, Disagree) {
				t.Errorf("got %v", err)
			}
		})
	}
	a, b := node(t, 100), node(t, 4)
	a.says("eth_getTransactionReceipt", fakeReceipt(tx, "main", 5))
	b.says("eth_getTransactionReceipt", nil)
	c, _ := open(t, a, b)
	if err := c.AgreeReceipt(ctx(t), r); err != nil {
		t.Errorf("one that has not come that far: %v", err)
	}
}

func TestCode(t *testing.T) {
	a, b := node(t, 9), node(t, 9)
	a.says("eth_getCode", "0x6001")
	b.says("eth_getCode", "0x6002")
	c, _ := open(t, a, b)
	if _, err := c.Code(ctx(t), common.Address{}); !Is(err, Disagree) {
		t.Error(err)
	}
}

// A key in an endpoint's address stays out of what is said of it, also where the node or a
// gateway before it repeats the address.
func TestKeysAreNotRepeated(t *testing.T) {
	const key, token = "0123456789abcdefKEY", "t%6Fp-secret-token"
	n := node(t, 5)
	n.on("eth_getCode", func([]json.RawMessage) any {
		return refusal{Code: -32000, Message: "bad: /v2/" + key + "?apikey=" + token + " " + key + " top-secret-token " + strings.Repeat("x", 270) + key}
	})
	at := n.url + "/v2/" + key + "?apikey=" + token
	var log strings.Builder
	c, err := Open(Settings{ChainID: 1337, Endpoints: []string{at}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	_, err = c.Code(context.Background(), common.Address{1})
	if err == nil {
		t.Fatal("no error")
	}
	status, err2 := json.Marshal(c.Status(context.Background()))
	if err2 != nil {
		t.Fatal(err2)
	}
	_, signing := Remote(at, common.Address{1}, nil).(*remoteSigner).server.open([]byte(`{"id":1,"error":{"code":-1,"message":"no account for `+key+`"}}`), 200, 1, "eth_signTransaction")
	for _, said := range []string{err.Error(), caos.AsError(err).Hint, string(status), log.String(), signing.Text} {
		for _, secret := range []string{key, key[:10], token, "top-secret-token"} {
			if strings.Contains(said, secret) {
				t.Errorf("%q is said in %s", secret, said)
			}
		}
	}
	if !strings.Contains(err.Error(), "bad: ") {
		t.Errorf("the node's other words are lost: %v", err)
	}
}
