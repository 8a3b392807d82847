package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"caos/internal/verify"
)

// What caos-verify reads of the contract's events is what the contract makes: all checkpoints
// of a log, those below the largest as well, and no other log's.
func TestVerifierListsAnchors(t *testing.T) {
	e := newEVM(t)
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Method string `json:"method"`
			Params []any  `json:"params"`
		}
		var result json.RawMessage
		err := json.NewDecoder(r.Body).Decode(&q)
		if err == nil {
			err = e.client.Client().CallContext(r.Context(), &result, q.Method, q.Params...)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": 1, "result": result})
	}))
	t.Cleanup(node.Close)
	const origin = "log.example/with-an-origin-of-more-than-thirty-two-bytes"
	e.must(anchorer, e.bind.PackAnchorLog(origin, 10, common.Hash{1}))
	e.must(anchorer, e.bind.PackAnchorLog("another.example/log", 11, common.Hash{2}))
	last := e.must(anchorer, e.bind.PackAnchorLog(origin, 25, common.Hash{3}))
	chains, err := verify.OpenChains(t.Context(), []string{node.URL}, node.Client())
	if err != nil {
		t.Fatal(err)
	}
	list, err := chains.AnchorsOf(t.Context(), verify.TrustChain{ChainID: 1337, Registry: e.contract.Hex()}, origin)
	if err != nil || len(list) != 2 || list[0].Size != 10 || list[0].Root != (common.Hash{1}) || list[1].Size != 25 || list[1].Root != (common.Hash{3}) || list[1].Block != last.BlockNumber.Uint64() {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := chains.AnchorsOf(t.Context(), verify.TrustChain{ChainID: 1337, Registry: e.contract.Hex()}, "nobody.example"); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}
