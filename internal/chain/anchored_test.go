package chain

import (
	"context"
	"encoding/json"
	"math/big"
	"net/http"
	"slices"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"caos/internal/db"
	"caos/internal/ethereum"
	"caos/internal/ethereum/chaintest"
)

// anchorLog records a checkpoint in the registry, from its deployer's account.
func (p *port) anchorLog(nonce, size uint64, root byte) {
	p.t.Helper()
	client, err := ethereum.Open(ethereum.Settings{ChainID: p.dev.ChainID, Endpoints: []string{p.dev.URL}, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
	ok(p.t, err)
	data, err := ethereum.PackAnchor(ethereum.LogAnchor{Origin: "log.example/caos", TreeSize: size, Root: common.Hash{root}})
	ok(p.t, err)
	id, gwei := new(big.Int).SetUint64(p.dev.ChainID), big.NewInt(1_000_000_000)
	tx, err := p.signers[0].Sign(context.Background(), types.NewTx(&types.DynamicFeeTx{ChainID: id, Nonce: nonce, GasTipCap: gwei,
		GasFeeCap: new(big.Int).Mul(gwei, big.NewInt(200)), Gas: 300_000, To: &p.registry, Data: data}), id)
	ok(p.t, err)
	raw, err := tx.MarshalBinary()
	ok(p.t, err)
	ok(p.t, client.Send(context.Background(), raw))
	p.dev.Mine(1)
}

// What is read of a registry to hold it against a log: final only when it is deep, gone with a
// reorganisation, and one endpoint that lies or is alone is told from two that agree.
func TestAnchorsRead(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p := newPort(t, db.SQLite)
	other := chaintest.NewProxy(t, p.dev.URL)
	s := p.sail(nil, two(p, other))
	p.dev.Mine(2) // what was there before is not taken back below
	nonce, err := s.opt.Client.Nonce(ctx, p.signers[0].Address(), false)
	ok(t, err)
	p.anchorLog(nonce, 5, 1)
	last := func() LogAnchor {
		t.Helper()
		a, err := s.LastAnchor(ctx, "log.example/caos")
		ok(t, err)
		return a
	}
	if a := last(); a.Size != 5 || a.Final || a.Sole {
		t.Fatalf("%+v", a)
	}
	p.dev.Reorg(2) // its block is none any more
	if a := last(); a.Size != 0 || a.Sole {
		t.Fatalf("of a block that vanished: %+v", a)
	}
	if lists, _, err := s.AnchorsSince(ctx, "log.example/caos", 0, 1000); err != nil || len(slices.Concat(lists...)) != 0 {
		t.Fatalf("of a block that vanished: %v %v", lists, err)
	}
	p.anchorLog(nonce, 5, 1)
	p.dev.Mine(2)
	if a := last(); a.Size != 5 || !a.Final || a.Sole {
		t.Fatalf("%+v", a)
	}
	lists, next, err := s.AnchorsSince(ctx, "log.example/caos", 0, 1000)
	if err != nil || len(lists) != 2 || len(lists[0]) != 1 || lists[1][0].Size != 5 || next == 0 {
		t.Fatalf("%v %d %v", lists, next, err)
	}

	// One leaves out the entry, and what it says of the contract is made up.
	p.proxy.Lie("eth_getLogs", func(json.RawMessage) json.RawMessage { return json.RawMessage(`[]`) })
	p.proxy.Lie("eth_call", func(json.RawMessage) json.RawMessage {
		return json.RawMessage(`"0x` + common.Hash{31: 9}.Hex()[2:] + common.Hash{9}.Hex()[2:] + common.Hash{31: 1}.Hex()[2:] + common.Hash{31: 1}.Hex()[2:] + `"`)
	})
	if lists, _, err = s.AnchorsSince(ctx, "log.example/caos", 0, 1000); err != nil || len(lists) != 2 || len(lists[0])+len(lists[1]) != 1 {
		t.Errorf("%v %v", lists, err)
	}
	if a, err := s.LastAnchor(ctx, "log.example/caos"); !ethereum.Is(err, ethereum.Disagree) {
		t.Errorf("%+v %v", a, err)
	}
	other.Down(true)
	if a := last(); a.Size != 9 || !a.Sole {
		t.Errorf("the liar alone: %+v", a)
	}
	lists, next, err = s.AnchorsSince(ctx, "log.example/caos", 0, 1000)
	if err != nil || len(lists) != 1 || next != 0 {
		t.Errorf("the liar alone decides where to go on: %v %d %v", lists, next, err)
	}
	other.Down(false)
	p.proxy.Lie("eth_getLogs", nil)
	p.proxy.Lie("eth_call", nil)
}
