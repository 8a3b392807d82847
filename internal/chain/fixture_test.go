package chain

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"go.uber.org/goleak"

	"caos"
	"caos/internal/alert"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/ethereum"
	"caos/internal/ethereum/chaintest"
	"caos/internal/event"
)

func TestMain(m *testing.M) {
	dbtest.Waiting(atOnce)
	goleak.VerifyTestMain(m)
}

// atOnce is how many tests, each with a chain of its own, run at once.
const atOnce = 6

const recordSignature = "recordProduction(string,string,bytes32,uint64)"

// port is a development chain and a database, with what a node stands on.
type port struct {
	t        *testing.T
	dev      *chaintest.Chain
	proxy    *chaintest.Proxy
	registry common.Address
	abi      []byte
	signers  []ethereum.Signer
	url      string
	nodes    int
	ahead    atomic.Int64 // microseconds that the clock is ahead
}

// ship is a node.
type ship struct {
	*Chain
	p      *port
	t      *testing.T
	d      *db.DB
	log    *auditlog.Log
	events *event.Outbox
	k      *keeper
	http   *http.Transport
	closed bool

	mu    sync.Mutex
	woken map[string]int
}

// patience is how long nodes wait for an endpoint: a busy machine is no endpoint that hangs.
const patience = 20 * time.Second

// rule changes what a test's node is opened with.
type rule func(*Options)

func confirmations(n uint64) rule { return func(o *Options) { o.Settings.Confirmations = n } }

func newPort(t *testing.T, dialect db.Dialect) *port {
	t.Helper()
	p := &port{t: t, dev: chaintest.Start(t, chaintest.Options{BlockTime: chaintest.Manual, Accounts: 3}), url: dbtest.URL(t, dialect)}
	p.registry = p.dev.Deploy(t)
	p.proxy = chaintest.NewProxy(t, p.dev.URL)
	for _, a := range p.dev.Accounts {
		s, err := ethereum.OpenKeystore(a.Keystore, []byte(a.Password))
		ok(t, err)
		p.signers = append(p.signers, s)
	}
	text, err := os.ReadFile("../ethereum/production_registry.json")
	ok(t, err)
	var file struct{ ABI json.RawMessage }
	ok(t, json.Unmarshal(text, &file))
	p.abi = file.ABI
	return p
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (p *port) now() time.Time {
	return time.Now().Add(time.Duration(p.ahead.Load()) * time.Microsecond)
}

// later moves the clock of all nodes.
func (p *port) later(d time.Duration) { p.ahead.Add(d.Microseconds()) }

// sail opens another node on the port's database.
func (p *port) sail(fault *db.Fault, rules ...rule) *ship {
	p.t.Helper()
	ctx := context.Background()
	s := &ship{p: p, t: p.t, woken: map[string]int{}}
	quiet := slog.New(slog.DiscardHandler)
	if testing.Verbose() && os.Getenv("CHAIN_LOG") != "" {
		quiet = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	s.d = dbtest.OpenWith(p.t, db.Options{URL: p.url, Fault: fault, Log: quiet})
	p.nodes++
	floor, err := auditlog.LastTime(ctx, s.d)
	ok(p.t, err)
	stamps := caos.NewStamper(p.now, floor, p.nodes, 64)
	s.log, err = auditlog.Open(ctx, auditlog.Options{DB: s.d, Origin: "log.example/caos", Stamps: stamps, Now: p.now, Log: quiet, PublishEvery: time.Hour})
	ok(p.t, err)
	node := fmt.Sprint("node-", p.nodes)
	s.events, err = event.Open(event.Options{DB: s.d, Stamps: stamps, Now: p.now, Log: quiet, Node: node, Poll: time.Hour})
	ok(p.t, err)
	s.http = &http.Transport{MaxIdleConnsPerHost: 64}
	client, err := ethereum.Open(ethereum.Settings{ChainID: p.dev.ChainID, Endpoints: []string{p.proxy.URL}, HTTP: &http.Client{Transport: s.http}, Timeout: patience})
	ok(p.t, err)
	opt := Options{DB: s.d, Log: s.log, Events: s.events, Alerts: alert.New(s.d, s.events, stamps, p.now), Stamps: stamps, Now: p.now, Logger: quiet, Node: node,
		Client: client, Signers: map[string]ethereum.Signer{}, Lease: 15 * time.Second,
		Settings: Settings{ChainID: p.dev.ChainID, Confirmations: 3, BlockTime: time.Second, Registry: p.registry.Hex(), Explorer: "https://explorer.example/tx/{tx}"},
		Wake: func(_ *db.Tx, id string) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.woken[id]++
			return nil
		}}
	for i, signer := range p.signers[:2] {
		opt.Signers[[]string{"recorder", "second"}[i]] = signer
	}
	for _, r := range rules {
		r(&opt)
	}
	s.Chain, err = Open(opt)
	ok(p.t, err)
	s.k = newKeeper(s.Chain)
	p.t.Cleanup(s.sink)
	return s
}

// sink ends a node without a word to anybody: its leases stay.
func (s *ship) sink() {
	if s.closed {
		return
	}
	s.closed = true
	s.end()
	s.Chain.work.Wait()
	s.events.Close()
	_ = s.log.Close()
	_ = s.d.Close()
	s.http.CloseIdleConnections()
}

// eachPort runs a test on both databases, each with a chain of its own, beside other tests.
func eachPort(t *testing.T, fn func(t *testing.T, p *port)) {
	t.Parallel()
	dbtest.EachAtOnce(t, func(t *testing.T, dialect db.Dialect) { fn(t, newPort(t, dialect)) })
}

func (s *ship) change(fn func(tx *db.Tx) error) {
	s.t.Helper()
	ok(s.t, s.d.Update(context.Background(), fn))
}

// contract registers the registry, or finds it.
func (s *ship) contract() *Contract {
	s.t.Helper()
	hash, err := s.CodeHash(context.Background(), s.p.registry.Hex())
	ok(s.t, err)
	var k *Contract
	s.change(func(tx *db.Tx) (err error) {
		k, err = s.Register(tx, Contract{Address: s.p.registry.Hex(), Name: "Registry", ABI: s.p.abi, CodeHash: hash, Project: "P1",
			Functions: []Allowed{{Function: "recordProduction", Roles: []string{"mlops-engineer"}, Account: "recorder", Automatic: true}}}, By{Actor: "carla"})
		return err
	})
	return k
}

func contentOf(n int) common.Hash { return common.BigToHash(big.NewInt(int64(n) + 1)) }

// prepare reserves the recording of content n.
func (s *ship) prepare(n int) *Transaction {
	s.t.Helper()
	data, err := ethereum.PackRecord(ethereum.Production{ModelID: "NN-FCS-001", Version: "2.1.0", ContentHash: contentOf(n), Timestamp: 1_700_000_000})
	ok(s.t, err)
	return s.prepareData(n, data)
}

func (s *ship) prepareData(n int, data []byte) *Transaction {
	s.t.Helper()
	k := s.contract()
	var out *Transaction
	s.change(func(tx *db.Tx) (err error) {
		out, err = s.Prepare(tx, Request{ExecutionID: fmt.Sprint("EXEC-", n), ContractID: k.ContractID, Address: k.Address, Function: recordSignature, Data: data, GasLimit: 300_000,
			Account: "recorder", Project: "P1", Classification: "Internal"}, By{Actor: "mia", Execution: fmt.Sprint("EXEC-", n)})
		return err
	})
	return out
}

// send prepares, signs and submits.
func (s *ship) send(n int) *Transaction {
	s.t.Helper()
	t := s.prepare(n)
	t, err := s.Sign(context.Background(), t.TransactionID)
	ok(s.t, err)
	t, err = s.Submit(context.Background(), t.TransactionID)
	ok(s.t, err)
	return t
}

// look has the keeper look n times.
func (s *ship) look(n int) {
	s.t.Helper()
	for range n {
		ok(s.t, s.k.look(context.Background()))
	}
}

func (s *ship) get(id string) *Transaction {
	s.t.Helper()
	t, err := s.Transaction(context.Background(), id)
	ok(s.t, err)
	return t
}

func (s *ship) is(id string, want Status) *Transaction {
	s.t.Helper()
	t := s.get(id)
	if t.Status != want {
		s.t.Fatalf("%s is %s (%s), want %s", id, t.Status, t.Reason, want)
	}
	return t
}

// recorded asks the contract whether content n is recorded.
func (p *port) recorded(n int) bool {
	p.t.Helper()
	at := &http.Transport{DisableKeepAlives: true}
	client, err := ethereum.Open(ethereum.Settings{ChainID: p.dev.ChainID, Endpoints: []string{p.dev.URL}, HTTP: &http.Client{Transport: at}})
	ok(p.t, err)
	data, err := ethereum.PackRecordOf(ethereum.Production{ModelID: "NN-FCS-001", Version: "2.1.0", ContentHash: contentOf(n)})
	ok(p.t, err)
	back, err := client.Call(context.Background(), ethereum.Call{To: p.registry, Data: data}, nil)
	ok(p.t, err)
	r, err := ethereum.UnpackRecordOf(back)
	ok(p.t, err)
	return r.Exists
}

// elsewhere sends from the recorder's account as another wallet would.
func (p *port) elsewhere(nonce uint64, tipGwei int64) common.Hash {
	p.t.Helper()
	hash, err := p.send(nonce, tipGwei)
	ok(p.t, err)
	return hash
}

// tryElsewhere does so if the network takes it.
func (p *port) tryElsewhere(nonce uint64) bool {
	_, err := p.send(nonce, 3)
	return err == nil
}

func (p *port) send(nonce uint64, tipGwei int64) (common.Hash, error) {
	p.t.Helper()
	to := p.signers[2].Address()
	gwei := big.NewInt(1_000_000_000)
	id := new(big.Int).SetUint64(p.dev.ChainID)
	tx, err := p.signers[0].Sign(context.Background(), types.NewTx(&types.DynamicFeeTx{ChainID: id, Nonce: nonce, GasTipCap: new(big.Int).Mul(gwei, big.NewInt(tipGwei)),
		GasFeeCap: new(big.Int).Mul(gwei, big.NewInt(200+tipGwei)), Gas: 21_000, To: &to, Value: big.NewInt(1)}), id)
	ok(p.t, err)
	raw, err := tx.MarshalBinary()
	ok(p.t, err)
	client, err := ethereum.Open(ethereum.Settings{ChainID: p.dev.ChainID, Endpoints: []string{p.dev.URL}, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
	ok(p.t, err)
	return tx.Hash(), client.Send(context.Background(), raw)
}

// alerts counts the open alerts of a metric.
func (s *ship) alerts(metric string) (n int) {
	s.t.Helper()
	ok(s.t, s.d.QueryRow(context.Background(), `SELECT COUNT(*) FROM alerts WHERE metric_name = $1`, metric).Scan(&n))
	return n
}

// told counts the events of a type about a transaction.
func (s *ship) told(kind, id string) (n int) {
	s.t.Helper()
	ok(s.t, s.d.QueryRow(context.Background(), `SELECT COUNT(*) FROM events WHERE type = $1 AND subject = $2`, kind, id).Scan(&n))
	return n
}

// gapless fails the test unless the nonces of the recorder are 0…n-1, each given once to
// what is not dead.
func (s *ship) gapless(n int) {
	s.t.Helper()
	var count, low, high, distinct int
	ok(s.t, s.d.QueryRow(context.Background(), `SELECT COUNT(nonce), COALESCE(MIN(nonce), 0), COALESCE(MAX(nonce), 0), COUNT(DISTINCT nonce) FROM chain_transactions WHERE sender = $1`,
		s.p.signers[0].Address().Hex()).Scan(&count, &low, &high, &distinct))
	if count != n || distinct != n || high-low != n-1 {
		s.t.Errorf("%d nonces %d…%d, %d different ones, want %d without a gap", count, low, high, distinct, n)
	}
}
