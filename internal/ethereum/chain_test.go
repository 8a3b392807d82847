package ethereum_test

import (
	"context"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/ethereum"
	"caos/internal/ethereum/chaintest"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// station is a client with an account on a running chain.
type station struct {
	*testing.T
	chain    *chaintest.Chain
	proxies  []*chaintest.Proxy
	client   *ethereum.Client
	signer   ethereum.Signer
	registry common.Address
	ctx      context.Context
}

func start(t *testing.T, blockTime time.Duration) *station {
	s := &station{T: t, chain: chaintest.Start(t, chaintest.Options{BlockTime: blockTime})}
	s.ctx = t.Context()
	if blockTime == chaintest.Manual {
		s.chain.SetBlockTime(0)
	}
	s.registry = s.chain.Deploy(t)
	if blockTime == chaintest.Manual {
		s.chain.SetBlockTime(chaintest.Manual)
	}
	settings := ethereum.Settings{ChainID: s.chain.ChainID, Timeout: 5 * time.Second}
	for range 2 {
		p := chaintest.NewProxy(t, s.chain.URL)
		s.proxies = append(s.proxies, p)
		settings.Endpoints = append(settings.Endpoints, p.URL)
	}
	var err error
	if s.client, err = ethereum.Open(settings); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	a := s.chain.Accounts[0]
	if s.signer, err = ethereum.OpenKeystore(a.Keystore, []byte(a.Password)); err != nil {
		t.Fatal(err)
	}
	return s
}

// sign signs a call of the registry.
func (s *station) sign(nonce uint64, data []byte, gas uint64) *types.Transaction {
	s.Helper()
	fees, err := s.client.Fees(s.ctx)
	if err != nil {
		s.Fatal(err)
	}
	offer, err := ethereum.Price(fees, ethereum.Caps{})
	if err != nil {
		s.Fatal(err)
	}
	id := new(big.Int).SetUint64(s.chain.ChainID)
	tx, err := s.signer.Sign(s.ctx, types.NewTx(&types.DynamicFeeTx{
		ChainID: id, Nonce: nonce, To: &s.registry, Gas: gas, GasFeeCap: offer.MaxFee, GasTipCap: offer.Tip, Data: data, Value: new(big.Int),
	}), id)
	if err != nil {
		s.Fatal(err)
	}
	return tx
}

func (s *station) send(tx *types.Transaction) error {
	s.Helper()
	raw, err := tx.MarshalBinary()
	if err != nil {
		s.Fatal(err)
	}
	return s.client.Send(s.ctx, raw)
}

// receipt waits for a receipt.
func (s *station) receipt(hash common.Hash) *types.Receipt {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := s.client.Receipt(ctx, hash)
		if err == nil {
			return r
		}
		if !ethereum.Is(err, ethereum.Missing) {
			s.Fatal(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.Fatal("no receipt")
		}
	}
}

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func production(n byte) ethereum.Production {
	return ethereum.Production{ModelID: "NN-FCS-001", Version: "2.1.0", ContentHash: common.Hash{n}, Timestamp: 1_700_000_000}
}

// TestRegistryOnChain records a production on a real chain and reads it back.
func TestRegistryOnChain(t *testing.T) {
	s := start(t, 0)
	p := production(1)
	data := must(ethereum.PackRecord(p))(t)
	call := ethereum.Call{From: s.signer.Address(), To: s.registry, Data: data}
	gas := must(s.client.Estimate(s.ctx, call))(t)
	nonce := must(s.client.Nonce(s.ctx, s.signer.Address(), true))(t)
	tx := s.sign(nonce, data, gas*12/10)
	if err := s.send(tx); err != nil {
		t.Fatal(err)
	}
	r := s.receipt(tx.Hash())
	if r.Status != types.ReceiptStatusSuccessful || len(r.Logs) != 1 || r.GasUsed > gas {
		t.Fatalf("receipt %+v", r)
	}
	if err := s.client.AgreeReceipt(s.ctx, r); err != nil {
		t.Error(err)
	}
	e, err := ethereum.DecodeProductionRecorded(r.Logs[0])
	if err != nil || e.Key != p.Key() || e.ContentHash != p.ContentHash || e.ModelID != p.ModelID || e.Timestamp != p.Timestamp || e.Recorder != s.signer.Address() {
		t.Errorf("event %+v %v", e, err)
	}
	all := must(s.client.Receipts(s.ctx, r.BlockHash))(t)
	if len(all) != 1 || all[0].TxHash != tx.Hash() {
		t.Errorf("receipts of the block: %v", all)
	}
	out := must(s.client.Call(s.ctx, ethereum.Call{To: s.registry, Data: must(ethereum.PackRecordOf(p))(t)}, nil))(t)
	rec := must(ethereum.UnpackRecordOf(out))(t)
	if !rec.Exists || rec.BlockNumber != r.BlockNumber.Uint64() || rec.Timestamp != p.Timestamp {
		t.Errorf("recordOf %+v", rec)
	}
	block := must(s.client.Block(s.ctx, rec.BlockNumber))(t)
	if block.Hash != r.BlockHash || uint64(block.Time.Unix()) != rec.BlockTime || block.BaseFee == nil {
		t.Errorf("block %+v", block)
	}
	if found, pending, err := s.client.Transaction(s.ctx, tx.Hash()); !found || pending || err != nil {
		t.Error(found, pending, err)
	}
	if code := must(s.client.Code(s.ctx, s.registry))(t); len(code) < 1000 {
		t.Errorf("%d bytes of code", len(code))
	}
	if b := must(s.client.Balance(s.ctx, s.signer.Address()))(t); b.Sign() <= 0 {
		t.Error(b)
	}

	// The same bytes again are known or spent, never sent twice.
	if err := s.send(tx); !ethereum.Is(err, ethereum.AlreadyKnown) && !ethereum.Is(err, ethereum.NonceTooLow) {
		t.Errorf("sent again: %v", err)
	}
	if n := must(s.client.Nonce(s.ctx, s.signer.Address(), false))(t); n != nonce+1 {
		t.Errorf("nonce %d after %d", n, nonce)
	}

	anchor := ethereum.LogAnchor{Origin: "log.example/caos", TreeSize: 10, Root: common.Hash{9}}
	tx = s.sign(nonce+1, must(ethereum.PackAnchor(anchor))(t), 300_000)
	if err := s.send(tx); err != nil {
		t.Fatal(err)
	}
	r = s.receipt(tx.Hash())
	if a, err := ethereum.DecodeLogAnchored(r.Logs[0]); err != nil || a.Root != anchor.Root || a.TreeSize != 10 {
		t.Errorf("event %+v %v", a, err)
	}
	for name, data := range map[string][]byte{"last": must(ethereum.PackLastAnchor(anchor.Origin))(t), "of": must(ethereum.PackAnchorOf(anchor.Origin, 10))(t)} {
		out := must(s.client.Call(s.ctx, ethereum.Call{To: s.registry, Data: data}, r.BlockNumber))(t)
		got, err := ethereum.UnpackLastAnchor(out)
		if name == "of" {
			got, err = ethereum.UnpackAnchorOf(10, out)
		}
		if err != nil || !got.Exists || got.Root != anchor.Root || got.TreeSize != 10 || got.BlockNumber != r.BlockNumber.Uint64() {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}

// TestRefusalsOnChain are a real node's words for what goes wrong.
func TestRefusalsOnChain(t *testing.T) {
	s := start(t, chaintest.Manual)
	me := s.signer.Address()
	abi, _, err := ethereum.RegistryABI()
	if err != nil {
		t.Fatal(err)
	}
	// Reverts, decoded by the contract's own ABI.
	for _, x := range []struct {
		name, words string
		data        []byte
	}{
		{"EmptyText", "EmptyText (field", must(ethereum.PackRecord(ethereum.Production{Version: "1", ContentHash: common.Hash{1}}))(t)},
		{"ZeroHash", "ZeroHash", must(ethereum.PackRecord(ethereum.Production{ModelID: "a", Version: "1", Timestamp: 1}))(t)},
		{"TimestampInFuture", "TimestampInFuture (stated 999999999999", must(ethereum.PackRecord(ethereum.Production{ModelID: "a", Version: "1", ContentHash: common.Hash{1}, Timestamp: 999_999_999_999}))(t)},
	} {
		for _, try := range []func() error{
			func() error {
				_, err := s.client.Estimate(s.ctx, ethereum.Call{From: me, To: s.registry, Data: x.data})
				return err
			},
			func() error {
				_, err := s.client.Call(s.ctx, ethereum.Call{From: me, To: s.registry, Data: x.data}, nil)
				return err
			},
		} {
			err := try()
			if r := abi.Revert(ethereum.RevertData(err)); !ethereum.Is(err, ethereum.Reverted) || r.Name != x.name || !strings.Contains(r.Text, x.words) {
				t.Errorf("%s: %v, %+v", x.name, err, r)
			}
		}
	}
	stranger := common.HexToAddress("0x1234")
	_, err = s.client.Call(s.ctx, ethereum.Call{From: stranger, To: s.registry, Data: must(ethereum.PackRecord(production(1)))(t)}, nil)
	if r := abi.Revert(ethereum.RevertData(err)); r.Name != "AccessControlUnauthorizedAccount" || r.Args["account"] != stranger.Hex() {
		t.Errorf("no role: %v %+v", err, r)
	}

	data := must(ethereum.PackRecord(production(2)))(t)
	nonce := must(s.client.Nonce(s.ctx, me, true))(t)
	tx := s.sign(nonce, data, 300_000)
	if err := s.send(tx); err != nil {
		t.Fatal(err)
	}
	if found, pending, err := s.client.Transaction(s.ctx, tx.Hash()); !found || !pending || err != nil {
		t.Error(found, pending, err)
	}
	if p, l := must(s.client.Nonce(s.ctx, me, true))(t), must(s.client.Nonce(s.ctx, me, false))(t); p != nonce+1 || l != nonce {
		t.Errorf("pending %d, latest %d", p, l)
	}
	if err := s.send(tx); !ethereum.Is(err, ethereum.AlreadyKnown) {
		t.Errorf("the same bytes: %v", err)
	}
	if err := s.send(s.sign(nonce, must(ethereum.PackRecord(production(3)))(t), 300_000)); !ethereum.Is(err, ethereum.Underpriced) || caos.KindOf(err) != caos.Unavailable {
		t.Errorf("another one at the same price: %v", err)
	}
	if err := s.send(s.sign(nonce+1, data, 20_000)); !ethereum.Is(err, ethereum.GasTooLow) || caos.AsError(err).Field != "gas_limit" {
		t.Errorf("too little gas: %v", err)
	}
	if err := s.send(s.sign(nonce+1, data, 20_000_000)); !ethereum.Is(err, ethereum.ExceedsCap) || caos.AsError(err).Field != "gas_limit" {
		t.Errorf("too much gas: %v", err)
	}
	if _, err := s.client.Estimate(s.ctx, ethereum.Call{From: me, To: s.registry, Data: data, Gas: 30_000}); !ethereum.Is(err, ethereum.GasTooLow) {
		t.Errorf("an estimate within too little gas: %v", err)
	}
	// A replacement at a bumped price is taken.
	old := ethereum.Offer{MaxFee: tx.GasFeeCap(), Tip: tx.GasTipCap()}
	offer := must(ethereum.Bump(old, must(s.client.Fees(s.ctx))(t), ethereum.Caps{}))(t)
	id := new(big.Int).SetUint64(s.chain.ChainID)
	bumped := must(s.signer.Sign(s.ctx, types.NewTx(&types.DynamicFeeTx{
		ChainID: id, Nonce: nonce, To: &s.registry, Gas: 300_000, GasFeeCap: offer.MaxFee, GasTipCap: offer.Tip, Data: data, Value: new(big.Int),
	}), id))(t)
	if err := s.send(bumped); err != nil {
		t.Errorf("bumped: %v", err)
	}
	s.chain.Mine(1)
	if r := s.receipt(bumped.Hash()); r.Status != types.ReceiptStatusSuccessful {
		t.Errorf("%+v", r)
	}
	if err := s.send(tx); !ethereum.Is(err, ethereum.NonceTooLow) {
		t.Errorf("a nonce that is spent: %v", err)
	}
	// An account without funds.
	text, poor, err := ethereum.NewKeystore([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	s.signer = must(ethereum.OpenKeystore(text, []byte("x")))(t)
	if err := s.send(s.sign(0, data, 300_000)); !ethereum.Is(err, ethereum.InsufficientFunds) || caos.KindOf(err) != caos.Unavailable {
		t.Errorf("no funds (%s): %v", poor, err)
	}
}

// TestEndpointsOfAChain bends one of two endpoints of a real chain.
func TestEndpointsOfAChain(t *testing.T) {
	s := start(t, 0)
	head := must(s.client.Head(s.ctx))(t)
	if err := s.client.Agree(s.ctx, head.Number); err != nil {
		t.Fatal(err)
	}
	s.proxies[1].Lie("eth_getBlockByNumber", func(result json.RawMessage) json.RawMessage {
		return json.RawMessage(strings.Replace(string(result), head.Hash.Hex(), common.Hash{0xba, 0xd0}.Hex(), 1))
	})
	if err := s.client.Agree(s.ctx, head.Number); !ethereum.Is(err, ethereum.Disagree) {
		t.Errorf("a lie about a block: %v", err)
	}
	s.proxies[1].Lie("eth_getBlockByNumber", nil)
	if err := s.client.Agree(s.ctx, head.Number); err != nil {
		t.Error(err)
	}

	// The answer to a broadcast is lost by both; what was sent is there.
	data := must(ethereum.PackRecord(production(4)))(t)
	nonce := must(s.client.Nonce(s.ctx, s.signer.Address(), true))(t)
	tx := s.sign(nonce, data, 300_000)
	for _, p := range s.proxies {
		p.LoseAnswer("eth_sendRawTransaction", 1)
	}
	if err := s.send(tx); err != nil && caos.KindOf(err) != caos.Unavailable {
		t.Errorf("a lost answer: %v", err)
	}
	for _, p := range s.proxies {
		p.LoseAnswer("eth_sendRawTransaction", 0)
	}
	r := s.receipt(tx.Hash())

	// A false receipt, and one that is kept back.
	s.proxies[0].Lie("eth_getTransactionReceipt", func(result json.RawMessage) json.RawMessage {
		return json.RawMessage(strings.Replace(string(result), `"status":"0x1"`, `"status":"0x0","logs":[]`, 1))
	})
	if err := s.client.AgreeReceipt(s.ctx, r); !ethereum.Is(err, ethereum.Disagree) {
		t.Errorf("a false receipt: %v", err)
	}
	s.proxies[0].Lie("eth_getTransactionReceipt", func(json.RawMessage) json.RawMessage { return json.RawMessage("null") })
	if err := s.client.AgreeReceipt(s.ctx, r); !ethereum.Is(err, ethereum.Disagree) {
		t.Errorf("a receipt kept back: %v", err)
	}
	if _, err := s.client.Receipt(s.ctx, tx.Hash()); err != nil {
		t.Errorf("the other endpoint has the receipt: %v", err)
	}
	s.proxies[0].Lie("eth_getTransactionReceipt", nil)

	// A reorganisation: the receipt is gone, and the block is another.
	s.chain.Reorg(1)
	if _, err := s.client.Receipt(s.ctx, tx.Hash()); !ethereum.Is(err, ethereum.Missing) {
		t.Errorf("after a reorganisation: %v", err)
	}
	if b := must(s.client.Block(s.ctx, r.BlockNumber.Uint64()))(t); b.Hash == r.BlockHash {
		t.Error("the block is the same")
	}
	if err := s.send(tx); err != nil {
		t.Errorf("the same bytes again: %v", err)
	}
	if again := s.receipt(tx.Hash()); again.BlockHash == r.BlockHash {
		t.Error("mined in the block that is gone")
	}

	// One endpoint moves to another chain; then the chain goes away and comes back.
	s.proxies[0].WrongChain(1)
	s.proxies[0].Down(true)
	for range 3 {
		if _, err := s.client.Head(s.ctx); err != nil {
			t.Fatal(err)
		}
	}
	s.proxies[0].Down(false)
	if st := s.client.Status(s.ctx); st[1].Error != "" || st[1].Head == 0 {
		t.Errorf("status %+v", st)
	}
	s.proxies[0].WrongChain(0)
	s.chain.Kill()
	if _, err := s.client.Balance(s.ctx, s.registry); caos.KindOf(err) != caos.Unavailable {
		t.Errorf("a dead chain: %v", err)
	}
	s.chain.Restart()
	ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := s.client.Receipt(ctx, tx.Hash()); err == nil {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the chain did not come back: %+v", s.client.Status(s.ctx))
		}
	}
}
