package ethereum

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// refusal is a JSON-RPC error as a node writes it.
type refusal struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

// fake is a node that answers whatever a test tells it to.
type fake struct {
	url string

	mu     sync.Mutex
	does   map[string]func(params []json.RawMessage) any // a refusal, or the result
	raw    func(w http.ResponseWriter, r *http.Request) bool
	counts map[string]int
}

// genesisHash is that of every honest fake.
func hashAt(branch string, n uint64) common.Hash {
	return crypto.Keccak256Hash([]byte(fmt.Sprint(branch, n)))
}

// node starts a fake on chain 1337 with a head.
func node(t testing.TB, head uint64) *fake {
	t.Helper()
	f := &fake{does: map[string]func([]json.RawMessage) any{}, counts: map[string]int{}}
	f.on("eth_chainId", func([]json.RawMessage) any { return "0x539" })
	f.chain("main", head, time.Unix(1_800_000_000, 0))
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	f.url = s.URL
	return f
}

// chain makes the fake answer for blocks up to head. All branches share their genesis.
func (f *fake) chain(branch string, head uint64, now time.Time) {
	f.on("eth_getBlockByNumber", func(p []json.RawMessage) any {
		var tag string
		_ = json.Unmarshal(p[0], &tag)
		n := head
		if tag != "latest" {
			_, _ = fmt.Sscanf(tag, "0x%x", &n)
		}
		if n > head {
			return nil
		}
		return fakeBlock(branch, n, now.Add(-time.Duration(head-n)*12*time.Second))
	})
}

func fakeBlock(branch string, n uint64, at time.Time) map[string]any {
	if n == 0 {
		branch = "genesis"
	}
	return map[string]any{
		"number": fmt.Sprintf("0x%x", n), "hash": hashAt(branch, n), "parentHash": hashAt(branch, n-1), "timestamp": fmt.Sprintf("0x%x", at.Unix()),
		"baseFeePerGas": "0x7", "gasLimit": "0x1c9c380",
	}
}

func (f *fake) on(method string, do func(params []json.RawMessage) any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.does[method] = do
}

// says makes a method answer one thing.
func (f *fake) says(method string, result any) {
	f.on(method, func([]json.RawMessage) any { return result })
}

// instead takes over the HTTP exchange; nil gives it back.
func (f *fake) instead(do func(w http.ResponseWriter, r *http.Request)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.raw = nil
	if do != nil {
		f.raw = func(w http.ResponseWriter, r *http.Request) bool { do(w, r); return true }
	}
}

func (f *fake) count(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[method]
}

// ServeHTTP is the node.
func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	raw := f.raw
	f.mu.Unlock()
	if raw != nil && raw(w, r) {
		return
	}
	var q struct {
		ID     json.RawMessage   `json:"id"`
		Method string            `json:"method"`
		Params []json.RawMessage `json:"params"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q.Params == nil {
		http.Error(w, "bad", http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	f.counts[q.Method]++
	do := f.does[q.Method]
	f.mu.Unlock()
	answer := map[string]any{"jsonrpc": "2.0", "id": q.ID}
	if do == nil {
		answer["error"] = refusal{Code: -32601, Message: "the method " + q.Method + " does not exist/is not available"}
	} else if result := do(q.Params); isRefusal(result) {
		answer["error"] = result
	} else {
		answer["result"] = result
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func isRefusal(v any) bool {
	_, is := v.(refusal)
	return is
}

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// open returns a client of the nodes, and its clock.
func open(t testing.TB, nodes ...*fake) (*Client, *clock) {
	t.Helper()
	k := &clock{at: time.Unix(1_800_000_000, 0)}
	s := Settings{ChainID: 1337, Timeout: 2 * time.Second, Now: k.now}
	for _, n := range nodes {
		s.Endpoints = append(s.Endpoints, n.url+"/v3/secret-key")
	}
	c, err := Open(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, k
}

func ctx(t testing.TB) context.Context {
	c, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return c
}

// noSecret fails when an error shows what only the configuration should.
func noSecret(t testing.TB, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), "secret-key") {
		t.Errorf("the error shows the endpoint's key: %v", err)
	}
}
