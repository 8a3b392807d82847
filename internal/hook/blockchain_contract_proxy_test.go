package hook

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/engine"
)

// slot1967 is where a proxy keeps its implementation.
const slot1967 = "360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc"

// switchable delegates to what its slot names, and takes 32 bytes as another implementation.
const switchable = "36602014" + "604a57" + "366000600037" + "60006000366000" + "7f" + slot1967 + "545af4" + "3d600060003e" + "604557" + "3d6000fd" + "5b3d6000f3" + "5b600035" + "7f" + slot1967 + "5500"

// Whoever upgrades a proxy changes what CAOS would call: the call is refused, also one that
// has waited for its signature since it was tried.
func TestProxyUpgraded(t *testing.T) {
	w := chainWorld(t, db.SQLite, nil)
	n, ctx := w.dirs.net, context.Background()
	one, two := w.deployed("00"), w.deployed("5b00")
	at := w.deployed(switchable)
	upgrade := func(to common.Address) {
		t.Helper()
		n.wallet(t, n.signers["other"], &at, common.LeftPadBytes(to[:], 32), 2, 0)
		w.eventually("the proxy names another", func() bool {
			c, err := w.chain.Code(ctx, at.Hex())
			return err == nil && len(c.Implementations) == 1 && c.Implementations[0].Address == to.Hex()
		})
	}
	upgrade(one)
	code, err := w.chain.Code(ctx, at.Hex())
	w.ok(err)
	w.ok(w.db.Update(ctx, func(tx *db.Tx) error {
		_, err := w.chain.Register(tx, chain.Contract{Address: at.Hex(), Name: "proxy", CodeHash: code.Hash, Implementations: code.Implementations,
			ABI:       json.RawMessage(`[{"type":"function","name":"poke","inputs":[],"outputs":[],"stateMutability":"nonpayable"}]`),
			Functions: []chain.Allowed{{Function: "poke", Roles: []string{"mlops-engineer"}, Account: "recorder", MaxGas: 100_000}}}, chain.By{Actor: "conny"})
		return err
	}))
	input := contractInput(n, func(m map[string]any) {
		m["contract_address"], m["contract_function"], m["function_parameters"], m["gas_limit"] = at.Hex(), "poke", map[string]any{}, 100_000
	})
	x, err := w.send("mlo", input)
	w.ok(err)
	if x, _ = w.end(x.ID); x.Status != engine.Succeeded {
		t.Fatal(failure(x))
	}
	upgrade(two)
	x, err = w.send("mlo", input)
	w.ok(err)
	x, out := w.end(x.ID)
	if said := failure(x); x.Status != engine.Failed || out.TransactionID != nil || !strings.Contains(said, chain.RuleContractCode) || !strings.Contains(said, two.Hex()) {
		t.Errorf("%s: %s", x.Status, said)
	}
	w.counts(map[string]int{`SELECT COUNT(*) FROM chain_transactions`: 1})

	// It was tried, and reserved, long ago.
	h := &blockchainContract{chain: w.chain}
	var reserved *chain.Transaction
	k, err := w.chain.Contract(ctx, at.Hex())
	w.ok(err)
	w.ok(w.db.Update(ctx, func(tx *db.Tx) (err error) {
		reserved, err = w.chain.Prepare(tx, chain.Request{ExecutionID: "EXEC-late", ContractID: k.ContractID, Address: k.Address, Function: "poke()", GasLimit: 100_000, Account: "recorder"}, chain.By{Actor: "mlo"})
		return err
	}))
	s := &contractState{In: contractRequest{Address: k.Address}, ContractID: k.ContractID, TransactionID: reserved.TransactionID, Tried: time.Now().Add(-time.Hour)}
	if err := h.signTransaction(ctx, &engine.Run{Now: time.Now(), Attempt: 1}, s); err == nil {
		t.Error("signed for another implementation than was registered")
	}
	after, err := w.chain.Transaction(ctx, reserved.TransactionID)
	w.ok(err)
	if after.Status != chain.Prepared {
		t.Errorf("%+v", after)
	}
}
