package hook

import (
	"context"
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"caos"
	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/ethereum"
)

// wallet sends from an account behind CAOS's back, at the account's next nonce.
func (n *testNetwork) wallet(t testing.TB, from ethereum.Signer, to *common.Address, data []byte, gwei, value int64) *types.Transaction {
	t.Helper()
	ctx := context.Background()
	c, err := ethclient.Dial(n.node.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	nonce, err := c.NonceAt(ctx, from.Address(), nil)
	if err != nil {
		t.Fatal(err)
	}
	id := new(big.Int).SetUint64(n.settings.ChainID)
	tip := new(big.Int).Mul(big.NewInt(gwei), big.NewInt(1e9))
	wei := new(big.Int).Mul(big.NewInt(value), big.NewInt(1e15)) // in thousandths of an ether
	signed, err := from.Sign(ctx, types.NewTx(&types.DynamicFeeTx{ChainID: id, Nonce: nonce, To: to, Data: data, Value: wei, Gas: 500_000,
		GasTipCap: tip, GasFeeCap: new(big.Int).Mul(tip, big.NewInt(20))}), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SendTransaction(ctx, signed); err != nil {
		t.Fatal(err)
	}
	return signed
}

// deployed waits for a contract that a wallet made.
func (w *world) deployed(code string) common.Address {
	w.t.Helper()
	n := w.dirs.net
	// init code that returns the runtime code behind it
	size := len(code) / 2
	made := n.wallet(w.t, n.signers["other"], nil, common.FromHex("60"+hex2(size)+"600c60003960"+hex2(size)+"6000f3"+code), 2, 0)
	address := crypto.CreateAddress(n.signers["other"].Address(), made.Nonce())
	w.eventually("the contract is there", func() bool {
		found, err := w.chain.Client().Code(context.Background(), address)
		return err == nil && len(found) > 0
	})
	return address
}

func hex2(n int) string { return common.Bytes2Hex([]byte{byte(n)}) }

// What is wrong with a call is named before it exists, and nothing is sent.
func TestBlockchainContractRefusals(t *testing.T) {
	t.Parallel()
	w := chainWorld(t, db.SQLite, nil)
	n, ctx := w.dirs.net, context.Background()
	k := w.registerRegistry(func(k *chain.Contract) {
		k.Functions = append(k.Functions, chain.Allowed{Function: "anchorLog", Roles: []string{"mlops-engineer"}, Account: "nobody", MaxGas: 300_000})
		k.Functions[1].Roles, k.Functions = []string{"configuration-manager"}, k.Functions[:2]
	})
	set := func(name string, v any) func(map[string]any) { return func(m map[string]any) { m[name] = v } }
	lower := strings.ToLower(n.registry.Hex())
	bent := []byte(n.registry.Hex()) // one letter in the other case
	for i := 2; i < len(bent); i++ {
		if c := bent[i]; c >= 'a' && c <= 'f' {
			bent[i] = c - 32
			break
		} else if c >= 'A' && c <= 'F' {
			bent[i] = c + 32
			break
		}
	}
	for name, c := range map[string]struct {
		who    string
		change func(map[string]any)
		kind   caos.Kind
		field  string
		says   string
	}{
		"no role":                {"aud", nil, caos.Denied, "", ""},
		"a role without this":    {"mlo", func(m map[string]any) { m["contract_function"] = "anchorLog" }, caos.Denied, "contract_function", ""},
		"unknown function":       {"mlo", set("contract_function", "burn"), caos.Denied, "contract_function", ""},
		"a function for people":  {"mlo", set("contract_function", "grantRole"), caos.Denied, "contract_function", ""},
		"address too short":      {"mlo", set("contract_address", "0x12"), caos.Invalid, "contract_address", ""},
		"address without 0x":     {"mlo", set("contract_address", lower[2:]), caos.Invalid, "contract_address", ""},
		"address's checksum":     {"mlo", set("contract_address", string(bent)), caos.Invalid, "contract_address", "checksum"},
		"nobody's address":       {"mlo", set("contract_address", "0x00000000000000000000000000000000000000aa"), caos.NotFound, "contract_address", ""},
		"gas below any":          {"mlo", set("gas_limit", 20_999), caos.Invalid, "gas_limit", ""},
		"gas above the allowed":  {"mlo", set("gas_limit", 500_001), caos.Denied, "gas_limit", "500000"},
		"gas of a fraction":      {"mlo", set("gas_limit", 21000.5), caos.Invalid, "gas_limit", ""},
		"no parameters":          {"mlo", func(m map[string]any) { delete(m, "function_parameters") }, caos.Invalid, "function_parameters", ""},
		"a parameter missing":    {"mlo", param("version", nil), caos.Invalid, "function_parameters.version", ""},
		"a parameter too many":   {"mlo", param("owner", "x"), caos.Invalid, "function_parameters.owner", ""},
		"beyond 64 bits":         {"mlo", param("timestamp", "18446744073709551616"), caos.Invalid, "function_parameters.timestamp", ""},
		"negative":               {"mlo", param("timestamp", -1), caos.Invalid, "function_parameters.timestamp", ""},
		"beyond 2^53, no string": {"mlo", param("timestamp", json.Number("9007199254740993")), caos.Invalid, "function_parameters.timestamp", "string"},
		"no number":              {"mlo", param("timestamp", "soon"), caos.Invalid, "function_parameters.timestamp", ""},
		"31 bytes":               {"mlo", param("contentHash", contentHash[:64]), caos.Invalid, "function_parameters.contentHash", ""},
		"no hex":                 {"mlo", param("contentHash", "0xzz"), caos.Invalid, "function_parameters.contentHash", ""},
		"text that is none":      {"mlo", param("modelId", 7), caos.Invalid, "function_parameters.modelId", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.send(c.who, contractInput(n, c.change))
			e := caos.AsError(err)
			if err == nil || e.Kind != c.kind || c.field != "" && e.Field != c.field || !strings.Contains(e.Message+e.Hint, c.says) {
				t.Errorf("kind %s, field %q: %v", e.Kind, e.Field, err)
			}
		})
	}
	t.Run("no second factor", func(t *testing.T) {
		raw, err := json.Marshal(contractInput(n, nil))
		w.ok(err)
		bare := w.as("mlo")
		bare.MFA = ""
		if _, err := w.Submit(ctx, Request{Hook: contractHook, Body: raw, ContentType: "application/json", By: bare}); caos.KindOf(err) != caos.StepUp {
			t.Errorf("%v", err)
		}
	})
	t.Run("an address in small letters is one", func(t *testing.T) {
		x, err := w.send("mlo", contractInput(n, set("contract_address", lower)))
		w.ok(err)
		if x, _ := w.end(x.ID); x.Status != engine.Succeeded {
			t.Error(failure(x))
		}
	})
	t.Run("retired", func(t *testing.T) {
		w.ok(w.db.Update(ctx, func(tx *db.Tx) error {
			_, err := w.chain.Retire(tx, k.ContractID, 0, "replaced", chain.By{Actor: "conny"})
			return err
		}))
		if _, err := w.send("mlo", contractInput(n, nil)); caos.KindOf(err) != caos.Conflict || caos.AsError(err).Field != "contract_address" {
			t.Errorf("%v", err)
		}
	})
	w.counts(map[string]int{`SELECT COUNT(*) FROM chain_transactions`: 1})
}

// Without a chain the answer says what to do.
func TestBlockchainContractWithoutChain(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		_, err := w.send("mlo", map[string]any{"contract_address": "0x00000000000000000000000000000000000000aa", "contract_function": "f", "function_parameters": map[string]any{}, "gas_limit": 21000})
		if e := caos.AsError(err); e.Kind != caos.Unavailable || !strings.Contains(e.Hint, "caos.yaml") {
			t.Errorf("%v", err)
		}
	})
}

// A call that the contract refuses is not sent, and told in the contract's words; so is one
// that needs more gas than it may use.
func TestBlockchainContractTried(t *testing.T) {
	t.Parallel()
	w := chainWorld(t, db.SQLite, nil)
	n, ctx := w.dirs.net, context.Background()
	w.registerRegistry(nil)
	register := func(code, abi string) string {
		at := w.deployed(code)
		hash, err := w.chain.CodeHash(ctx, at.Hex())
		w.ok(err)
		w.ok(w.db.Update(ctx, func(tx *db.Tx) error {
			_, err := w.chain.Register(tx, chain.Contract{Address: at.Hex(), Name: "odd", ABI: json.RawMessage(abi), CodeHash: hash,
				Functions: []chain.Allowed{{Function: "poke", Roles: []string{"mlops-engineer"}, Account: "recorder", MaxGas: 100_000}}}, chain.By{Actor: "conny"})
			return err
		}))
		return at.Hex()
	}
	const poke = `[{"type":"function","name":"poke","inputs":[],"outputs":[],"stateMutability":"nonpayable"}]`
	odd := func(code string) func(map[string]any) {
		at := register(code, poke)
		return func(m map[string]any) {
			m["contract_address"], m["contract_function"], m["function_parameters"], m["gas_limit"] = at, "poke", map[string]any{}, 100_000
		}
	}
	for name, c := range map[string]struct {
		change func(map[string]any)
		rule   string
		says   []string
	}{
		"custom error":             {param("modelId", ""), "call-reverts", []string{"EmptyText", "modelId"}},
		"zero hash":                {param("contentHash", "0x"+strings.Repeat("0", 64)), "call-reverts", []string{"ZeroHash"}},
		"time to come":             {param("timestamp", 99999999999), "call-reverts", []string{"TimestampInFuture", "99999999999"}},
		"gas too low for the call": {func(m map[string]any) { m["gas_limit"] = 30_000 }, chain.RuleGasLimit, []string{"gas", "30000"}},
		"no reason":                {odd("60006000fd"), "call-reverts", []string{"nothing was sent"}},
		"two bytes of reason":      {odd("60026000fd"), "call-reverts", []string{"0x0000"}},
		"an error nobody knows":    {odd("63deadbeef6000526004601cfd"), "call-reverts", []string{"deadbeef"}},
	} {
		t.Run(name, func(t *testing.T) {
			x, err := w.send("mlo", contractInput(n, c.change))
			w.ok(err)
			x, out := w.end(x.ID)
			said := failure(x)
			if x.Status != engine.Failed || *out.TransactionStatus != txFailed || out.TransactionID != nil || !strings.Contains(said, c.rule) {
				t.Errorf("%s %s", said, x.Output)
			}
			for _, s := range c.says {
				if !strings.Contains(said, s) {
					t.Errorf("it does not say %q: %s", s, said)
				}
			}
		})
	}
	t.Run("an ABI that is not the contract's", func(t *testing.T) {
		// Another function's selector: the registry has no such function, and no words for it.
		at := register("6000600060003560e01c63"+"11223344"+"14600f57fd5b00", poke)
		x, err := w.send("mlo", contractInput(n, func(m map[string]any) {
			m["contract_address"], m["contract_function"], m["function_parameters"], m["gas_limit"] = at, "poke", map[string]any{}, 100_000
		}))
		w.ok(err)
		if x, _ := w.end(x.ID); x.Status != engine.Failed || !strings.Contains(failure(x), "call-reverts") {
			t.Error(failure(x))
		}
	})
	t.Run("a dry run says the same", func(t *testing.T) {
		raw, err := json.Marshal(contractInput(n, param("modelId", "")))
		w.ok(err)
		e, err := w.DryRun(ctx, Request{Hook: contractHook, Body: raw, ContentType: "application/json", By: w.as("mlo")})
		w.ok(err)
		if last := e.Gates[len(e.Gates)-1]; e.Would != WouldFail || last.Pass || !strings.Contains(last.Finding.Message, "EmptyText") {
			t.Errorf("%+v", e)
		}
	})
	w.counts(map[string]int{`SELECT COUNT(*) FROM chain_transactions`: 0})
}
