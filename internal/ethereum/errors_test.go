package ethereum

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"caos"

	"github.com/ethereum/go-ethereum/common"
)

// TestWordings are refusals as the nodes write them.
func TestWordings(t *testing.T) {
	const send, call = "eth_sendRawTransaction", "eth_call"
	for _, x := range []struct {
		node, method string
		code         int
		text         string
		want         ErrorKind
	}{
		{"geth", send, -32000, "nonce too low: next nonce 5, tx nonce 4", NonceTooLow},
		{"geth", send, -32000, "already known", AlreadyKnown},
		{"geth", send, -32000, "replacement transaction underpriced: new tx gas fee cap 7 <= 9 queued", Underpriced},
		{"geth", send, -32000, "transaction underpriced: tip needed 1000000, tip permitted 0", Underpriced},
		{"geth", send, -32000, "transaction gas price below minimum: gas tip cap 1, minimum needed 2", Underpriced},
		{"geth", send, -32000, "insufficient funds for gas * price + value: balance 0, tx cost 21000, overshot 21000", InsufficientFunds},
		{"geth", send, -32000, "intrinsic gas too low: gas 20000, minimum needed 21000", GasTooLow},
		{"geth", send, -32000, "insufficient gas for floor data gas cost: have 21000, want 22000", GasTooLow},
		{"geth", send, -32000, "exceeds block gas limit", ExceedsCap},
		{"geth", send, -32000, "transaction gas limit too high (cap: 16777216, tx: 30000000)", ExceedsCap},
		{"geth", send, -32000, "tx fee (1.10 ether) exceeds the configured cap (1.00 ether)", ExceedsCap},
		{"geth", send, -32000, "txpool is full", Down},
		{"geth", send, -32000, "nonce too high: tx nonce 9, state 5", Down},
		{"geth", send, -32000, "oversized data: transaction size 140000, limit 131072", BadRequest},
		{"geth", send, -32000, "invalid sender", BadRequest},
		{"geth", send, -32602, "invalid argument 0: hex string of odd length", BadRequest},
		{"geth", send, -32000, "invalid chain id for signer: have 1 want 1337", WrongChain},
		{"geth", call, 3, "execution reverted: nonce too low", Reverted},
		{"geth", call, 3, "execution reverted", Reverted},
		{"geth", call, -32000, "execution reverted", Reverted},
		{"geth", call, -32000, "out of gas: gas exhausted", GasTooLow},
		{"geth", "eth_estimateGas", -32000, "gas required exceeds allowance (21000)", GasTooLow},
		{"geth", call, -32000, "intrinsic gas too low: have 100, want 21000 (supplied gas 100)", GasTooLow},
		{"geth", call, -32000, "invalid opcode: opcode 0xfe not defined", Reverted},
		{"geth", call, -32000, "invalid jump destination", Reverted},
		{"geth", call, -32000, "err: max fee per gas less than block base fee: address 0x1, maxFeePerGas: 1, baseFee: 7 (supplied gas 30000000)", Underpriced},
		{"geth", call, -32000, "header not found", Down},
		{"geth", call, -32000, "missing trie node 01 (path ) state 0x02 is not available", Down},
		{"geth", call, -32002, "request timed out", Down},
		{"geth", "eth_foo", -32601, "the method eth_foo does not exist/is not available", Down},
		{"Nethermind", send, -32010, "AlreadyKnown", AlreadyKnown},
		{"Nethermind", send, -32010, "OldNonce, Current nonce: 5, nonce of rejected tx: 4", NonceTooLow},
		{"Nethermind", send, -32010, "FeeTooLow, FeePerGas needs to be higher than 5", Underpriced},
		{"Nethermind", send, -32010, "FeeTooLowToCompete", Underpriced},
		{"Nethermind", send, -32010, "ReplacementNotAllowed", Underpriced},
		{"Nethermind", send, -32010, "InsufficientFunds, Account balance: 0, cumulative cost: 1", InsufficientFunds},
		{"Nethermind", send, -32010, "GasLimitExceeded, Gas limit: 30000000, gas limit of rejected tx: 40000000", ExceedsCap},
		{"Nethermind", send, -32010, "NonceGap, Future nonce. Expected nonce: 5", Down},
		{"Nethermind", send, -32010, "Syncing", Down},
		{"Nethermind", send, -32010, "nonce too low, Current nonce: 5", NonceTooLow},
		{"Nethermind", send, -32010, "Invalid, transaction type", BadRequest},
		{"Nethermind", call, -32015, "VM execution error.", Reverted},
		{"Nethermind", call, 3, "execution reverted: no", Reverted},
		{"Nethermind", call, -32000, "insufficient sender balance", InsufficientFunds},
		{"Besu", send, -32001, "Nonce too low", NonceTooLow},
		{"Besu", send, -32000, "Known transaction", AlreadyKnown},
		{"Besu", send, -32000, "Replacement transaction underpriced", Underpriced},
		{"Besu", send, -32009, "Gas price below configured minimum gas price", Underpriced},
		{"Besu", send, -32009, "Gas price below current base fee", Underpriced},
		{"Besu", send, -32004, "Upfront cost exceeds account balance", InsufficientFunds},
		{"Besu", send, -32003, "Intrinsic gas exceeds gas limit", GasTooLow},
		{"Besu", send, -32005, "Transaction gas limit exceeds block gas limit", ExceedsCap},
		{"Besu", send, -32000, "Transaction fee cap exceeded", ExceedsCap},
		{"Besu", send, -32000, "Wrong chainId", WrongChain},
		{"Besu", send, -32000, "Transaction nonce is too distant from current sender nonce", Down},
		{"Besu", send, -32008, "Initial sync is still in progress", Down},
		{"Besu", send, -32000, "An invalid transaction with a lower nonce exists", Down},
		{"Besu", call, -32000, "Execution reverted: already known", Reverted},
		{"Besu", call, -32000, "Transaction processing could not be completed due to an exception", Reverted},
		{"Besu", call, -32000, "World state unavailable", Down},
		{"Erigon", send, -32000, "existing tx with same hash", AlreadyKnown},
		{"Erigon", send, -32000, "could not replace existing tx", Underpriced},
		{"Erigon", send, -32000, "underpriced", Underpriced},
		{"Erigon", send, -32000, "fee too low", Underpriced},
		{"Erigon", send, -32000, "nonce too low", NonceTooLow},
		{"Erigon", send, -32000, "insufficient funds", InsufficientFunds},
		{"Erigon", send, -32000, "IntrinsicGas", GasTooLow},
		{"Erigon", send, -32000, "pending sub-pool is full", Down},
		{"Erigon", send, -32000, "baseFee sub-pool is full", Down},
		{"a provider", call, -32005, "daily request count exceeded, request rate limited", Down},
		{"a provider", call, -32603, "Internal error", Down},
		{"nobody known", send, -32000, "the moon is in the wrong house", BadRequest},
		{"nobody known", call, -32000, "the moon is in the wrong house", Down},
	} {
		if got := classify(x.method, x.code, x.text, nil); got != x.want {
			t.Errorf("%s says %q: %s, want %s", x.node, x.text, got, x.want)
		}
	}
}

func TestPublicErrors(t *testing.T) {
	for kind, want := range map[ErrorKind]caos.Kind{
		NonceTooLow: caos.Conflict, AlreadyKnown: caos.Conflict, Underpriced: caos.Unavailable, InsufficientFunds: caos.Unavailable,
		GasTooLow: caos.Invalid, Reverted: caos.Conflict, ExceedsCap: caos.Unavailable, Down: caos.Unavailable, WrongChain: caos.Unavailable,
		Disagree: caos.Unavailable, Missing: caos.NotFound, BadRequest: caos.Invalid,
	} {
		err := (&RPCError{Kind: kind, Text: "words"}).public()
		if caos.KindOf(err) != want || !Is(err, kind) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	err := (&RPCError{Kind: ExceedsCap, Text: "GasLimitExceeded, Gas limit: 1"}).public()
	if caos.KindOf(err) != caos.Invalid || caos.AsError(err).Field != "gas_limit" {
		t.Error(err)
	}
}

// TestRevertThroughTheNode: the data of a revert, as the nodes carry it.
func TestRevertThroughTheNode(t *testing.T) {
	enc, err := arguments([]string{"string"}, "not yet")
	if err != nil {
		t.Fatal(err)
	}
	reason := "0x08c379a0" + common.Bytes2Hex(enc)
	for name, r := range map[string]refusal{
		"geth":             {Code: 3, Message: "execution reverted: not yet", Data: reason},
		"old Nethermind":   {Code: -32015, Message: "VM execution error.", Data: "Reverted " + reason},
		"Besu":             {Code: -32000, Message: "Execution reverted (not yet)", Data: reason},
		"an object":        {Code: 3, Message: "execution reverted", Data: map[string]any{"data": reason}},
		"without words":    {Code: -32000, Message: "x", Data: reason},
		"hostile words":    {Code: 3, Message: "execution reverted: \x1b[2Jalready known", Data: reason},
		"without data":     {Code: 3, Message: "execution reverted"},
		"data is no bytes": {Code: 3, Message: "execution reverted", Data: 17},
		"three bytes":      {Code: 3, Message: "execution reverted", Data: "0x010203"},
	} {
		n := node(t, 9)
		n.says("eth_call", r)
		n.says("eth_estimateGas", r)
		c, _ := open(t, n)
		_, err := c.Call(ctx(t), Call{}, nil)
		if !Is(err, Reverted) || caos.KindOf(err) != caos.Conflict {
			t.Errorf("%s: %v", name, err)
		}
		if _, ok := r.Data.(string); ok && len(r.Data.(string)) > 20 && !strings.Contains(err.Error(), "not yet") || r.Data != nil && name != "data is no bytes" && RevertData(err) == nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.Estimate(ctx(t), Call{}); !Is(err, Reverted) {
			t.Errorf("%s: %v", name, err)
		}
		if c.endpoints[0].away() != 0 {
			t.Errorf("%s: a revert was held against the node", name)
		}
	}
}

// FuzzAnswers reads whatever an endpoint may answer.
func FuzzAnswers(f *testing.F) {
	tx, block := hashAt("tx", 1), hashAt("main", 5)
	for _, v := range []any{fakeReceipt(tx, "main", 5), []any{fakeReceipt(tx, "main", 5)}, fakeBlock("main", 5, time.Unix(1, 0)), "0x5", nil, map[string]any{"baseFeePerGas": []string{"0x1"}}} {
		text, err := json.Marshal(map[string]any{"id": 1, "result": v})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"id":1,"error":{"code":3,"message":"execution reverted","data":"0x08c379a0"}}`))
	e := &endpoint{shown: "x"}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, method := range []string{"eth_call", "eth_sendRawTransaction"} {
			raw, err := e.open(text, 200, 1, method)
			if err != nil {
				if err.Kind == "" || caos.KindOf(err.public()) == caos.Internal || len(err.Text) > 2000 {
					t.Fatalf("%+v", err)
				}
				continue
			}
			if r, err := receiptOf(raw, tx); err == nil && (r.TxHash != tx || r.BlockNumber == nil) {
				t.Fatal("a receipt that does not fit")
			}
			if list, err := receiptsOf(raw, block); err == nil {
				for _, r := range list {
					_ = sameReceipt(r, r)
				}
			}
			_, _ = blockOf(raw)
			_, _ = feesOf(raw)
			_, _ = transactionOf(raw, tx)
			_, _ = quantity(raw)
			_, _ = bigQuantity(raw)
			_, _ = hashOf(raw)
		}
	})
}
