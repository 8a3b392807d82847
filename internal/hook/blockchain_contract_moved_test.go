package hook

import (
	"context"
	"encoding/json"
	"testing"

	"caos/internal/db"
	"caos/internal/engine"
)

// The block of a transaction vanishes after it was verified and before its receipt is stored:
// that is no failure of the execution, which looks again.
func TestReceiptOfABlockThatVanished(t *testing.T) {
	t.Parallel()
	w := chainWorld(t, db.SQLite, nil)
	n := w.dirs.net
	w.registerRegistry(nil)
	x, err := w.send("mlo", contractInput(n, nil))
	w.ok(err)
	if x, _ = w.end(x.ID); x.Status != engine.Succeeded {
		t.Fatalf("%s: %s", x.Status, failure(x))
	}
	row, err := w.chain.Transaction(context.Background(), *outputOf(t, x).TransactionID)
	w.ok(err)
	h := &blockchainContract{chain: w.chain, objects: w.objects}
	store := func(block string) *contractState {
		s := &contractState{TransactionID: row.TransactionID, Verdict: chainVerdict{Status: txConfirmed, BlockHash: block}}
		w.ok(h.storeReceipt(context.Background(), &engine.Run{}, s))
		return s
	}
	if s := store(row.BlockHash); s.Verdict.Doubt || s.Receipt.Digest == "" {
		t.Fatalf("the receipt of a block that is there: %+v", s.Verdict)
	}
	n.proxy.Lie("eth_getTransactionReceipt", func(json.RawMessage) json.RawMessage { return json.RawMessage("null") })
	if s := store(row.BlockHash); !s.Verdict.Doubt || s.Receipt.Digest != "" {
		t.Errorf("no receipt: %+v, stored %q", s.Verdict, s.Receipt.Digest)
	}
}

func outputOf(t testing.TB, x *engine.Execution) (out ContractOutput) {
	t.Helper()
	if err := json.Unmarshal(x.Output, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
