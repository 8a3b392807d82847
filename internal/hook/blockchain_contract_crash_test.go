package hook

import (
	"encoding/json"
	"strconv"
	"testing"

	"caos/internal/engine"
)

// A process dies at a commit of BLOCKCHAIN.CONTRACT, or of the keeper that follows its
// transaction, and another one takes over: the call is recorded once, by one transaction with
// one nonce, and its receipt is kept once. The chain goes on meanwhile. Mutation that makes
// this fail: signTransaction that prepares another transaction.
func TestBlockchainContractDiesAtEveryCommit(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, blockTime)
	ordeal{commits: 6, ends: engine.Succeeded, brief: true, net: n, prepare: func(w *world) (string, any) {
		w.registerRegistry(nil)
		w.fromHere()
		// Each life of the test has a record of its own on the one chain.
		version := "1.0." + strconv.FormatInt(1000+n.runs.Add(1), 10)
		return contractHook, contractInput(n, param("version", version))
	}, holds: func(w *world, x *engine.Execution) {
		var out ContractOutput
		if err := json.Unmarshal(x.Output, &out); err != nil || out.TransactionStatus == nil || *out.TransactionStatus != txConfirmed {
			w.t.Fatalf("%s %v", x.Output, err)
		}
		var in struct {
			Params struct {
				Version string `json:"version"`
			} `json:"function_parameters"`
		}
		w.ok(json.Unmarshal(x.Input, &in))
		if sent := w.dirs.net.sent(w.t, in.Params.Version); sent != 1 {
			w.t.Errorf("version %s is in %d mined calls", in.Params.Version, sent)
		}
		w.counts(map[string]int{`SELECT COUNT(*) FROM chain_transactions`: 1, `SELECT COUNT(*) FROM chain_transactions WHERE status='CONFIRMED' AND receipt_digest<>''`: 1,
			`SELECT COUNT(*) FROM object_refs`: 1})
	}}.everywhere(t)
}
