package hook

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
)

// A call goes its way, action by action, on a running chain.
func TestBlockchainContract(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		w := chainWorld(t, dialect, nil)
		n, ctx := w.dirs.net, context.Background()
		k := w.registerRegistry(nil)
		x, err := w.send("mlo", contractInput(n, nil))
		w.ok(err)
		x, out := w.end(x.ID)
		if x.Status != engine.Succeeded {
			t.Fatalf("%s: %s", x.Status, failure(x))
		}
		page, _, err := w.chain.Transactions(ctx, chain.TransactionFilter{ExecutionID: x.ID}, "")
		w.ok(err)
		if len(page) != 1 {
			t.Fatalf("%d transactions", len(page))
		}
		row := page[0]
		client := w.chain.Client()
		receipt, err := client.Receipt(ctx, common.HexToHash(*out.TransactionID))
		w.ok(err)

		t.Run("1 Prepare transaction", func(t *testing.T) {
			var p map[string]any
			w.ok(json.Unmarshal(row.Params, &p))
			if row.ContractID != k.ContractID || row.Function != functionRecord || p["modelId"] != model || p["timestamp"] != "1700000000" || row.Account != "recorder" {
				t.Errorf("%+v %v", row, p)
			}
			if row.GasLimit <= receipt.GasUsed || row.GasLimit >= 400000 {
				t.Errorf("a gas limit of %d for a call that used %d", row.GasLimit, receipt.GasUsed)
			}
		})
		t.Run("2 Sign transaction with authorized key", func(t *testing.T) {
			if row.From != n.signers["recorder"].Address().Hex() || row.Nonce == nil || row.SignedAt == nil {
				t.Errorf("%+v", row)
			}
		})
		t.Run("3 Submit to blockchain network", func(t *testing.T) {
			if row.SentAt == nil || row.Hash != *out.TransactionID || n.recordedOn(t, model) != 1 {
				t.Errorf("%+v, %d records", row, n.recordedOn(t, model))
			}
		})
		t.Run("4 Monitor transaction confirmation", func(t *testing.T) {
			head, err := client.Head(ctx)
			w.ok(err)
			if row.Status != chain.Confirmed || row.BlockNumber == nil || head.Number < *row.BlockNumber+1 || *out.BlockNumber != *row.BlockNumber {
				t.Errorf("head %d, %+v", head.Number, row)
			}
		})
		t.Run("5 Verify transaction success", func(t *testing.T) {
			if *out.TransactionStatus != txConfirmed || receipt.Status != 1 || *out.GasUsed != receipt.GasUsed || receipt.BlockHash.Hex() != row.BlockHash {
				t.Errorf("%+v", out)
			}
		})
		t.Run("6 Store transaction receipt", func(t *testing.T) {
			f, _, err := w.objects.Open(row.ReceiptDigest)
			w.ok(err)
			text, err := io.ReadAll(f)
			w.ok(err)
			w.ok(f.Close())
			var doc receiptDocument
			w.ok(json.Unmarshal(text, &doc))
			if doc.Transaction.Hash != *out.TransactionID || doc.Block.Hash != row.BlockHash || doc.ChainID != n.settings.ChainID || len(doc.Events) != 1 ||
				doc.Events[0].Name != "ProductionRecorded" || doc.Events[0].Args["modelId"] != model {
				t.Errorf("%s", text)
			}
			if want := baseURL + "/v1/transactions/" + row.TransactionID + "/receipt"; *out.TransactionReceiptURI != want {
				t.Errorf("%s", *out.TransactionReceiptURI)
			}
			refs, err := w.objects.References(ctx, row.ReceiptDigest)
			if err != nil || len(refs) != 1 || refs[0].Owner != row.TransactionID {
				t.Errorf("%+v %v", refs, err)
			}
		})
		t.Run("7 Update local records with tx_id", func(t *testing.T) {
			if want := baseURL + "/v1/transactions/" + row.TransactionID; *out.OnChainVerification != want {
				t.Errorf("%s", *out.OnChainVerification)
			}
			last := w.recordText(x.Steps[len(x.Steps)-1].AuditRecordID)
			if !strings.Contains(last, row.TransactionID) || !strings.Contains(last, k.ContractID) || !strings.Contains(last, *out.TransactionID) {
				t.Errorf("record %s", last)
			}
		})
	})
}

// recordText is the text of an audit record.
func (w *world) recordText(id string) string {
	w.t.Helper()
	raw, err := json.Marshal(w.record(id))
	w.ok(err)
	return string(raw)
}

// The chain answers on demand what it is asked for: an explorer is named when configuration
// names one, and the call that changes nothing is no error.
func TestBlockchainContractTwice(t *testing.T) {
	t.Parallel()
	w := chainWorld(t, db.SQLite, func(n *testNetwork) { n.explorer = "https://etherscan.io/tx/{tx}" })
	w.registerRegistry(nil)
	for i := range 2 {
		x, err := w.send("mlo", contractInput(w.dirs.net, nil))
		w.ok(err)
		x, out := w.end(x.ID)
		if x.Status != engine.Succeeded || *out.OnChainVerification != "https://etherscan.io/tx/"+*out.TransactionID {
			t.Errorf("call %d: %s %s", i, failure(x), x.Output)
		}
	}
	if n := w.dirs.net.recordedOn(t, model); n != 1 {
		t.Errorf("recorded %d times", n)
	}
}

// Until the block is deep enough the output says PENDING, and null for what is not true yet.
func TestBlockchainContractPending(t *testing.T) {
	t.Parallel()
	p := newPlaces(t)
	p.net = newNetwork(t, -1) // blocks by hand
	w := p.open(t, dbtest.Open(t, db.SQLite), true)
	w.registerRegistry(nil)
	x, err := w.send("mlo", contractInput(p.net, nil))
	w.ok(err)
	w.reaches(x.ID, "await-confirmation")
	see := func() (ContractOutput, engine.Status) {
		x, err := w.engine.Get(context.Background(), x.ID)
		w.ok(err)
		var out ContractOutput
		w.ok(json.Unmarshal(x.Output, &out))
		return out, x.Status
	}
	if out, status := see(); *out.TransactionStatus != txPending || out.TransactionID == nil || out.BlockNumber != nil || out.GasUsed != nil || out.TransactionReceiptURI != nil || status != engine.Waiting {
		t.Errorf("%+v", out)
	}
	p.net.node.Mine(1)
	w.eventually("its block is seen", func() bool { out, _ := see(); return out.BlockNumber != nil })
	if out, status := see(); *out.TransactionStatus != txPending || out.TransactionReceiptURI != nil || status != engine.Waiting {
		t.Errorf("%+v %s", out, status)
	}
	p.net.node.Mine(1)
	if x, out := w.end(x.ID); *out.TransactionStatus != txConfirmed || x.Status != engine.Succeeded {
		t.Errorf("%s", x.Output)
	}
}

// eventually waits for something that another goroutine does.
func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			w.t.Fatalf("%s: not in %s", what, patience)
		case <-tick.C:
		}
	}
}
