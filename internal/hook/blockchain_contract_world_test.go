package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	geth "github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/ethclient"

	"caos"
	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/ethereum"
	"caos/internal/ethereum/chaintest"
)

// testNetwork is a development chain with a registry, and how a world is configured for it.
type testNetwork struct {
	node      *chaintest.Chain
	proxy     *chaintest.Proxy
	registry  common.Address
	signers   map[string]ethereum.Signer // by account's name: recorder, poor
	since     *atomic.Uint64             // block from which sent looks
	endpoints []string
	settings  chain.Settings
	passports bool
	evidence  []string
	idle      bool // no keeper, and nobody starts what is wanted
	explorer  string

	keys []ethereum.Signer
	runs *atomic.Int64 // lives of a test that share the chain
}

// with is the network for somebody who records from an account of their own.
func (n *testNetwork) with(account int) *testNetwork {
	out := *n
	out.since = new(atomic.Uint64)
	out.signers = map[string]ethereum.Signer{"recorder": n.keys[account]}
	return &out
}

// blockTime is how often the chains of the tests make a block.
const blockTime = 100 * time.Millisecond

// keysOf opens the keys of a chain's accounts once: that takes a while.
func keysOf(t testing.TB, c *chaintest.Chain) []ethereum.Signer {
	t.Helper()
	out := make([]ethereum.Signer, 0, len(c.Accounts))
	for _, a := range c.Accounts {
		s, err := ethereum.OpenKeystore(a.Keystore, []byte(a.Password))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

// newNetwork starts a chain with a registry behind a proxy.
func newNetwork(t testing.TB, every time.Duration) *testNetwork {
	t.Helper()
	n := &testNetwork{node: chaintest.Start(t, chaintest.Options{BlockTime: every})}
	n.registry = n.node.Deploy(t)
	n.proxy = chaintest.NewProxy(t, n.node.URL)
	n.endpoints = []string{n.proxy.URL}
	keys := keysOf(t, n.node)
	n.keys, n.runs, n.since = keys, new(atomic.Int64), new(atomic.Uint64)
	n.signers = map[string]ethereum.Signer{"recorder": keys[0], "other": keys[1]}
	n.settings = chain.Settings{ChainID: n.node.ChainID, Confirmations: 2, BlockTime: blockTime, BumpAfter: 10 * time.Second, Registry: n.registry.Hex(),
		Caps: ethereum.Caps{MaxFee: big.NewInt(200e9), MaxTip: big.NewInt(5e9)}}
	return n
}

// openChain opens the chain of a world, if its places have one.
func (w *world) openChain(stamps *caos.Stamper, wake func(tx *db.Tx, id string) error) ChainPolicy {
	w.t.Helper()
	p := ChainPolicy{Required: []string{"MODEL_FREEZE"}}
	n := w.dirs.net
	if n == nil {
		return p
	}
	quiet := slog.New(slog.DiscardHandler)
	client, err := ethereum.Open(ethereum.Settings{ChainID: n.settings.ChainID, Endpoints: n.endpoints, Timeout: patience, Logger: quiet, Now: w.dirs.now})
	w.ok(err)
	s := n.settings
	s.Explorer = n.explorer
	w.chain, err = chain.Open(chain.Options{DB: w.db, Log: w.log, Events: w.events, Alerts: w.alerts, Stamps: stamps, Logger: quiet, Client: client, Signers: n.signers, Settings: s,
		Wake: wake, Ended: engine.Ended, Lease: 500 * time.Millisecond,
		Start: func(ctx context.Context, s chain.Subject) (string, error) { return w.startRecording(ctx, s) }})
	w.ok(err)
	p.Chain, p.Passports, p.Evidence, p.Senders = w.chain, n.passports, n.evidence, map[string]string{}
	for name, s := range n.signers {
		p.Senders[name] = s.Address().Hex()
	}
	return p
}

// startRecording starts what records a subject, as the app does.
func (w *world) startRecording(ctx context.Context, s chain.Subject) (string, error) {
	var input json.RawMessage
	if err := w.db.Write(ctx, func(tx *db.Tx) (err error) {
		input, err = w.parts.Chain.RecordSubject(tx, s)
		return err
	}); err != nil {
		return "", err
	}
	x, err := w.Submit(ctx, Request{Hook: contractHook, Body: input, ContentType: "application/json", IdemKey: s.Key(), By: caos.SystemPrincipal(),
		Within: func(tx *db.Tx, id string) error { return w.chain.Link(tx, s.Kind, s.ID, id) }})
	if err != nil {
		return "", err
	}
	return x.ID, nil
}

// runChain sets the keeper in motion and returns what stops it.
func (w *world) runChain() func() error {
	if w.dirs.net.idle {
		return func() error { return nil }
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = w.chain.Run(ctx) })
	return func() error { cancel(); wg.Wait(); return nil }
}

// registerRegistry registers the registry with what CAOS calls of it.
func (w *world) registerRegistry(change func(*chain.Contract)) *chain.Contract {
	w.t.Helper()
	n := w.dirs.net
	_, abi, err := ethereum.RegistryABI()
	w.ok(err)
	k := chain.Contract{Address: n.registry.Hex(), Name: "registry", ABI: abi, Functions: []chain.Allowed{
		{Function: "recordProduction", Roles: []string{"mlops-engineer"}, Account: "recorder", Automatic: true, MaxGas: 500_000},
		{Function: "anchorLog", Roles: []string{"configuration-manager"}, Account: "recorder", Automatic: true, MaxGas: 300_000}}}
	if change != nil {
		change(&k)
	}
	ctx := context.Background()
	k.CodeHash, err = w.chain.CodeHash(ctx, k.Address)
	w.ok(err)
	var made *chain.Contract
	w.ok(w.db.Update(ctx, func(tx *db.Tx) (err error) {
		made, err = w.chain.Register(tx, k, chain.By{Actor: "conny"})
		return err
	}))
	return made
}

// contentHash is one that a test may record.
const contentHash = "0x1111111111111111111111111111111111111111111111111111111111111111"

func contractInput(n *testNetwork, change func(m map[string]any)) map[string]any {
	m := map[string]any{"contract_address": n.registry.Hex(), "contract_function": "recordProduction", "gas_limit": 400000,
		"function_parameters": map[string]any{"modelId": model, "version": "2.1.0", "contentHash": contentHash, "timestamp": 1700000000}}
	if change != nil {
		change(m)
	}
	return m
}

// param changes one of the parameters.
func param(name string, v any) func(m map[string]any) {
	return func(m map[string]any) {
		p := m["function_parameters"].(map[string]any)
		if v == nil {
			delete(p, name)
		} else {
			p[name] = v
		}
	}
}

// send submits a call and does not wait for its end.
func (w *world) send(who string, input map[string]any) (*engine.Execution, error) {
	w.t.Helper()
	raw, err := json.Marshal(input)
	w.ok(err)
	return w.Submit(context.Background(), Request{Hook: contractHook, Body: raw, ContentType: "application/json", By: w.as(who)})
}

// end waits for the end of a call and returns its output.
func (w *world) end(id string) (*engine.Execution, ContractOutput) {
	w.t.Helper()
	x, err := w.engine.Await(context.Background(), id, patience)
	w.ok(err)
	var out ContractOutput
	w.ok(json.Unmarshal(x.Output, &out))
	if !x.Status.Final() {
		raw, _ := json.Marshal(x)
		w.t.Fatalf("it does not end: %s", raw)
	}
	return x, out
}

// recordedOn counts how often a production was recorded, by the chain's own word: the events
// of its registry.
func (n *testNetwork) recordedOn(t testing.TB, model string) int {
	t.Helper()
	c, err := ethclient.Dial(n.node.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	list, err := c.FilterLogs(context.Background(), geth.FilterQuery{Addresses: []common.Address{n.registry}})
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for i := range list {
		if e, err := ethereum.DecodeProductionRecorded(&list[i]); err == nil && e.ModelID == model {
			count++
		}
	}
	return count
}

// fromHere has sent look no further back than the newest block.
func (w *world) fromHere() {
	w.t.Helper()
	head, err := w.chain.Client().Head(context.Background())
	w.ok(err)
	w.dirs.net.since.Store(head.Number)
}

// sent counts the mined calls that recorded a version, also those that changed nothing.
func (n *testNetwork) sent(t testing.TB, version string) int {
	t.Helper()
	ctx := context.Background()
	c, err := ethclient.Dial(n.node.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	head, err := c.BlockNumber(ctx)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for at := head; at > n.since.Load(); at-- {
		block, err := c.BlockByNumber(ctx, new(big.Int).SetUint64(at))
		if err != nil {
			t.Fatal(err)
		}
		for _, tx := range block.Transactions() {
			if bytes.Contains(tx.Data(), []byte(version+"\x00")) {
				count++
			}
		}
	}
	return count
}

// failure is the first finding, or the error, of an execution.
func failure(x *engine.Execution) string {
	var b strings.Builder
	for _, f := range x.Findings {
		b.WriteString(f.Rule + ": " + f.Message + "\n")
	}
	if x.Error != nil {
		b.WriteString(x.Error.Message)
	}
	return b.String()
}

// chainWorld is a world on one database with a chain that makes blocks by itself.
func chainWorld(t *testing.T, dialect db.Dialect, change func(*testNetwork)) *world {
	t.Helper()
	p := newPlaces(t)
	p.net = newNetwork(t, blockTime)
	if change != nil {
		change(p.net)
	}
	return p.open(t, dbtest.Open(t, dialect), true)
}
