package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"

	registry "caos/internal/ethereum/binding"
)

// evm is a chain in memory with the contract on it, as its callers see it.
type evm struct {
	t        *testing.T
	chain    *chain
	client   *ethclient.Client
	keys     []*ecdsa.PrivateKey
	contract common.Address
	bind     *registry.ProductionRegistry
	deployed uint64 // gas
}

// Who the accounts of an evm are.
const (
	admin = iota
	recorder
	anchorer
	stranger
)

func newEVM(t *testing.T) *evm {
	t.Helper()
	e := &evm{t: t, bind: registry.NewProductionRegistry()}
	var accounts []account
	for i := range 4 {
		key := derive("test", i)
		e.keys = append(e.keys, key)
		accounts = append(accounts, account{Address: crypto.PubkeyToAddress(key.PublicKey).Hex()})
	}
	var err error
	if e.chain, err = openChain("", "", 0, genesis{ChainID: 1337}, accounts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.chain.close() })
	e.client = ethclient.NewClient(e.chain.node.Attach())
	t.Cleanup(e.client.Close)
	receipt := e.send(admin, nil, append(common.FromHex(registry.ProductionRegistryMetaData.Bin), e.bind.PackConstructor(e.address(admin))...))
	e.contract, e.deployed = receipt.ContractAddress, receipt.GasUsed
	e.must(admin, e.bind.PackGrantRole(role("RECORDER_ROLE"), e.address(recorder)))
	e.must(admin, e.bind.PackGrantRole(role("ANCHORER_ROLE"), e.address(anchorer)))
	return e
}

func role(name string) common.Hash { return crypto.Keccak256Hash([]byte(name)) }

func (e *evm) address(i int) common.Address { return crypto.PubkeyToAddress(e.keys[i].PublicKey) }

// send mines a transaction in a block of its own, whether it is reverted or not.
func (e *evm) send(from int, to *common.Address, data []byte) *types.Receipt {
	e.t.Helper()
	ctx := e.t.Context()
	nonce, err := e.client.PendingNonceAt(ctx, e.address(from))
	if err != nil {
		e.t.Fatal(err)
	}
	id := big.NewInt(1337)
	tx, err := types.SignNewTx(e.keys[from], types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: nonce, To: to, Data: data, Gas: 3_000_000, GasFeeCap: big.NewInt(3e9), GasTipCap: big.NewInt(1e9),
	})
	if err != nil {
		e.t.Fatal(err)
	}
	if err := e.client.SendTransaction(ctx, tx); err != nil {
		e.t.Fatal(err)
	}
	if err := e.chain.mine(1); err != nil {
		e.t.Fatal(err)
	}
	receipt, err := e.client.TransactionReceipt(ctx, tx.Hash())
	if err != nil {
		e.t.Fatal(err)
	}
	return receipt
}

// must is a call of the contract that succeeds.
func (e *evm) must(from int, data []byte) *types.Receipt {
	e.t.Helper()
	r := e.send(from, &e.contract, data)
	if r.Status != types.ReceiptStatusSuccessful {
		e.t.Fatalf("reverted: %v", e.refusal(from, data))
	}
	return r
}

// call asks the contract and sends nothing.
func (e *evm) call(from int, data []byte) ([]byte, error) {
	return e.client.CallContract(e.t.Context(), ethereum.CallMsg{From: e.address(from), To: &e.contract, Data: data}, nil)
}

// refusal is the error that a call is reverted with, nil if it is not.
func (e *evm) refusal(from int, data []byte) any {
	e.t.Helper()
	_, err := e.call(from, data)
	if err == nil {
		return nil
	}
	var with rpc.DataError
	if !errors.As(err, &with) {
		e.t.Fatal(err)
	}
	text, ok := with.ErrorData().(string)
	if !ok {
		e.t.Fatalf("%v has no data", err)
	}
	why, err := e.bind.UnpackError(common.FromHex(text))
	if err != nil {
		e.t.Fatal(err)
	}
	return why
}

// now is the time of the next block, at the latest that of the newest.
func (e *evm) now() uint64 { return e.chain.head().Time }

func hash(s string) common.Hash { return crypto.Keccak256Hash([]byte(s)) }

func TestRecordProduction(t *testing.T) {
	e := newEVM(t)
	digest, stated := hash("passport"), e.now()-1000
	data := e.bind.PackRecordProduction("MDL-1", "2.0.0", digest, stated)

	answer, err := e.call(recorder, data)
	if err != nil {
		t.Fatal(err)
	}
	if created, _ := e.bind.UnpackRecordProduction(answer); !created {
		t.Fatal("a first recording is not new")
	}
	r := e.must(recorder, data)
	if len(r.Logs) != 1 {
		t.Fatal(len(r.Logs))
	}
	event, err := e.bind.UnpackProductionRecordedEvent(r.Logs[0])
	if err != nil {
		t.Fatal(err)
	}
	if event.Key != key("MDL-1", "2.0.0", digest) || event.ContentHash != digest || event.ModelId != "MDL-1" || event.Version != "2.0.0" ||
		event.Timestamp != stated || event.Recorder != e.address(recorder) {
		t.Fatalf("%+v", event)
	}
	first := e.recordOf("MDL-1", "2.0.0", digest)
	if !first.Exists || first.Timestamp != stated || first.BlockNumber != r.BlockNumber.Uint64() || first.BlockTime != e.now() || first.Recorder != e.address(recorder) {
		t.Fatalf("%+v", first)
	}

	t.Run("again changes nothing", func(t *testing.T) {
		for _, again := range [][]byte{data, e.bind.PackRecordProduction("MDL-1", "2.0.0", digest, stated+1)} {
			answer, err := e.call(recorder, again)
			if err != nil {
				t.Fatal(err)
			}
			if created, err := e.bind.UnpackRecordProduction(answer); err != nil || created {
				t.Fatal(created, err)
			}
			if r := e.must(recorder, again); len(r.Logs) != 0 {
				t.Fatal("it logs again")
			}
			if now := e.recordOf("MDL-1", "2.0.0", digest); now != first {
				t.Fatalf("%+v, was %+v", now, first)
			}
		}
	})
	t.Run("every part is part of the key", func(t *testing.T) {
		for _, x := range []struct {
			model, version string
			digest         common.Hash
		}{{"MDL-12", ".0.0", digest}, {"MDL-1", "2.0.1", digest}, {"MDL-1", "2.0.0", hash("other")}, {"MDL-12.0.0", "2.0.0", digest}} {
			if e.recordOf(x.model, x.version, x.digest).Exists {
				t.Fatalf("%+v is there", x)
			}
		}
	})
	t.Run("refusals", func(t *testing.T) {
		ahead := e.now() + 16*60
		for _, x := range []struct {
			name string
			from int
			data []byte
			want any
		}{
			{"not a recorder", stranger, data, &registry.ProductionRegistryAccessControlUnauthorizedAccount{Account: e.address(stranger), NeededRole: role("RECORDER_ROLE")}},
			{"not even the administrator", admin, data, &registry.ProductionRegistryAccessControlUnauthorizedAccount{Account: e.address(admin), NeededRole: role("RECORDER_ROLE")}},
			{"no model", recorder, e.bind.PackRecordProduction("", "1.0.0", digest, stated), &registry.ProductionRegistryEmptyText{Field: "modelId"}},
			{"no version", recorder, e.bind.PackRecordProduction("M", "", digest, stated), &registry.ProductionRegistryEmptyText{Field: "version"}},
			{"long model", recorder, e.bind.PackRecordProduction(strings.Repeat("x", 257), "1", digest, stated), &registry.ProductionRegistryTextTooLong{Field: "modelId", Max: big.NewInt(256)}},
			{"long version", recorder, e.bind.PackRecordProduction("M", strings.Repeat("x", 129), digest, stated), &registry.ProductionRegistryTextTooLong{Field: "version", Max: big.NewInt(128)}},
			{"no digest", recorder, e.bind.PackRecordProduction("M", "1", common.Hash{}, stated), &registry.ProductionRegistryZeroHash{}},
			{"time to come", recorder, e.bind.PackRecordProduction("M", "1", digest, ahead), &registry.ProductionRegistryTimestampInFuture{Stated: ahead}},
		} {
			got := e.refusal(x.from, x.data)
			if f, ok := got.(*registry.ProductionRegistryTimestampInFuture); ok {
				f.BlockTime = 0 // a call's block has the time of the call
			}
			if fmt.Sprintf("%T%+v", got, got) != fmt.Sprintf("%T%+v", x.want, x.want) {
				t.Errorf("%s: %T%+v, want %T%+v", x.name, got, got, x.want, x.want)
			}
			if r := e.send(x.from, &e.contract, x.data); r.Status != types.ReceiptStatusFailed || len(r.Logs) != 0 {
				t.Errorf("%s: mined with status %d", x.name, r.Status)
			}
		}
	})
	t.Run("limits are allowed", func(t *testing.T) {
		e.must(recorder, e.bind.PackRecordProduction(strings.Repeat("x", 256), strings.Repeat("y", 128), digest, e.now()+14*60))
	})
}

// key is how the contract names what is recorded.
func key(model, version string, digest common.Hash) common.Hash {
	text, _ := abi.NewType("string", "", nil)
	word, _ := abi.NewType("bytes32", "", nil)
	packed, _ := abi.Arguments{{Type: text}, {Type: text}, {Type: word}}.Pack(model, version, digest)
	return crypto.Keccak256Hash(packed)
}

func (e *evm) recordOf(model, version string, digest common.Hash) registry.RecordOfOutput {
	e.t.Helper()
	answer, err := e.call(stranger, e.bind.PackRecordOf(model, version, digest))
	if err != nil {
		e.t.Fatal(err)
	}
	r, err := e.bind.UnpackRecordOf(answer)
	if err != nil {
		e.t.Fatal(err)
	}
	return r
}

func TestAnchorLog(t *testing.T) {
	e := newEVM(t)
	const origin = "caos.example/log"
	last := func() registry.LastAnchorOutput {
		t.Helper()
		answer, err := e.call(stranger, e.bind.PackLastAnchor(origin))
		if err != nil {
			t.Fatal(err)
		}
		a, err := e.bind.UnpackLastAnchor(answer)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	at := func(size uint64) registry.AnchorOfOutput {
		t.Helper()
		answer, err := e.call(stranger, e.bind.PackAnchorOf(origin, size))
		if err != nil {
			t.Fatal(err)
		}
		a, err := e.bind.UnpackAnchorOf(answer)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := last(); a.TreeSize != 0 || a.RootHash != (common.Hash{}) {
		t.Fatalf("%+v", a)
	}
	r := e.must(anchorer, e.bind.PackAnchorLog(origin, 10, hash("ten")))
	event, err := e.bind.UnpackLogAnchoredEvent(r.Logs[0])
	if err != nil || event.OriginHash != hash(origin) || event.TreeSize != 10 || event.RootHash != hash("ten") || event.Origin != origin {
		t.Fatalf("%+v %v", event, err)
	}
	if r := e.must(anchorer, e.bind.PackAnchorLog(origin, 10, hash("ten"))); len(r.Logs) != 0 {
		t.Fatal("it logs again")
	}
	second := e.must(anchorer, e.bind.PackAnchorLog(origin, 25, hash("twenty-five")))
	if a := last(); a.TreeSize != 25 || a.RootHash != hash("twenty-five") || a.BlockNumber != second.BlockNumber.Uint64() || a.BlockTime == 0 {
		t.Fatalf("%+v", a)
	}
	if a := at(10); !a.Exists || a.RootHash != hash("ten") || a.BlockNumber != r.BlockNumber.Uint64() {
		t.Fatalf("%+v", a)
	}
	if a := at(11); a.Exists {
		t.Fatalf("%+v", a)
	}
	e.must(anchorer, e.bind.PackAnchorLog("another.example/log", 5, hash("five"))) // logs do not touch

	for _, x := range []struct {
		name string
		from int
		data []byte
		want any
	}{
		{"not an anchorer", recorder, e.bind.PackAnchorLog(origin, 30, hash("x")), &registry.ProductionRegistryAccessControlUnauthorizedAccount{Account: e.address(recorder), NeededRole: role("ANCHORER_ROLE")}},
		{"smaller", anchorer, e.bind.PackAnchorLog(origin, 24, hash("x")), &registry.ProductionRegistryStaleAnchor{Stated: 24, Last: 25}},
		{"smaller, though recorded", anchorer, e.bind.PackAnchorLog(origin, 10, hash("ten")), &registry.ProductionRegistryStaleAnchor{Stated: 10, Last: 25}},
		{"forked", anchorer, e.bind.PackAnchorLog(origin, 25, hash("x")), &registry.ProductionRegistryForkedAnchor{TreeSize: 25, Recorded: hash("twenty-five"), Stated: hash("x")}},
		{"no leaves", anchorer, e.bind.PackAnchorLog(origin, 0, hash("x")), &registry.ProductionRegistryEmptyTree{}},
		{"no root", anchorer, e.bind.PackAnchorLog(origin, 30, common.Hash{}), &registry.ProductionRegistryZeroHash{}},
		{"no origin", anchorer, e.bind.PackAnchorLog("", 30, hash("x")), &registry.ProductionRegistryEmptyText{Field: "origin"}},
		{"long origin", anchorer, e.bind.PackAnchorLog(strings.Repeat("x", 257), 30, hash("x")), &registry.ProductionRegistryTextTooLong{Field: "origin", Max: big.NewInt(256)}},
	} {
		if got := e.refusal(x.from, x.data); fmt.Sprintf("%T%+v", got, got) != fmt.Sprintf("%T%+v", x.want, x.want) {
			t.Errorf("%s: %T%+v, want %T%+v", x.name, got, got, x.want, x.want)
		}
	}
}

func TestPause(t *testing.T) {
	e := newEVM(t)
	record := e.bind.PackRecordProduction("M", "1", hash("x"), e.now())
	anchor := e.bind.PackAnchorLog("o", 1, hash("x"))
	e.must(recorder, record)
	for name, data := range map[string][]byte{"pause": e.bind.PackPause(), "unpause": e.bind.PackUnpause()} {
		if got, ok := e.refusal(stranger, data).(*registry.ProductionRegistryAccessControlUnauthorizedAccount); !ok || got.NeededRole != role("PAUSER_ROLE") {
			t.Fatal(name)
		}
	}
	e.must(admin, e.bind.PackPause())
	for name, refusal := range map[string]any{"record": e.refusal(recorder, record), "anchor": e.refusal(anchorer, anchor), "pause": e.refusal(admin, e.bind.PackPause())} {
		if _, ok := refusal.(*registry.ProductionRegistryEnforcedPause); !ok {
			t.Errorf("%s while paused: %T", name, refusal)
		}
	}
	if !e.recordOf("M", "1", hash("x")).Exists {
		t.Error("what is recorded cannot be read while paused")
	}
	e.must(admin, e.bind.PackUnpause())
	e.must(anchorer, anchor)
	if _, ok := e.refusal(admin, e.bind.PackUnpause()).(*registry.ProductionRegistryExpectedPause); !ok {
		t.Error("unpaused twice")
	}
}

// TestGas holds the figures of docs/smart-contract.md against the EVM.
func TestGas(t *testing.T) {
	e := newEVM(t)
	model, version, origin := "MDL-20260101T000000-ABC", "1.0.0", "caos.example.com/audit-log"
	record := e.bind.PackRecordProduction(model, version, hash("p"), e.now())
	used := []struct {
		what string
		gas  uint64
	}{
		{"deployment", e.deployed},
		{"`recordProduction`, first time", e.must(recorder, record).GasUsed},
		{"`recordProduction`, again", e.must(recorder, record).GasUsed},
		{"`anchorLog`, first of a log", e.must(anchorer, e.bind.PackAnchorLog(origin, 1000, hash("a"))).GasUsed},
		{"`anchorLog`, each one after it", e.must(anchorer, e.bind.PackAnchorLog(origin, 2000, hash("b"))).GasUsed},
		{"`anchorLog`, again", e.must(anchorer, e.bind.PackAnchorLog(origin, 2000, hash("b"))).GasUsed},
		{"`pause`", e.must(admin, e.bind.PackPause()).GasUsed},
		{"`unpause`", e.must(admin, e.bind.PackUnpause()).GasUsed},
		{"`grantRole`", e.must(admin, e.bind.PackGrantRole(role("RECORDER_ROLE"), e.address(stranger))).GasUsed},
	}
	text, err := os.ReadFile("../../docs/smart-contract.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range used {
		// A zero byte of an argument is cheaper than another one, and times differ between
		// runs: the figures are rounded.
		line := fmt.Sprintf("| %s | %s |", u.what, thousands((u.gas+50)/100*100))
		if !bytes.Contains(text, []byte(line)) {
			t.Errorf("docs/smart-contract.md should have the line %s", line)
		}
	}
}

func thousands(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}

// TestCompiled compiles the contract anew and compares: what Go deploys is what the source
// says.
func TestCompiled(t *testing.T) {
	committed, err := os.ReadFile("../../internal/ethereum/production_registry.json")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("../../contracts/ProductionRegistry.sol")
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Source           string `json:"source_sha256"`
		ABI              json.RawMessage
		Bytecode         string
		DeployedBytecode string `json:"deployed_bytecode"`
	}
	if err := json.Unmarshal(committed, &c); err != nil {
		t.Fatal(err)
	}
	if c.Source != fmt.Sprintf("%x", sha256.Sum256(source)) { // noticed where nothing can be compiled, too
		t.Error("contracts/ProductionRegistry.sol was changed after its last `make contracts`")
	}
	if c.Bytecode != registry.ProductionRegistryMetaData.Bin {
		t.Error("production_registry.go and production_registry.json have different bytecode: make contracts")
	}
	var short bytes.Buffer
	if err := json.Compact(&short, c.ABI); err != nil || short.String() != registry.ProductionRegistryMetaData.ABI {
		t.Error("production_registry.go and production_registry.json have different ABIs: make contracts")
	}
	e := newEVM(t)
	code, err := e.client.CodeAt(context.Background(), e.contract, nil)
	if err != nil || common.Bytes2Hex(code) != strings.TrimPrefix(c.DeployedBytecode, "0x") {
		t.Error("the code on the chain is not deployed_bytecode", err)
	}

	folder := contractsFolder(t)
	compile := exec.Command("node", "compile.js")
	compile.Dir = folder
	now, err := compile.Output()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(now, committed) {
		t.Error("contracts/ was changed after its last `make contracts`")
	}
}

// contractsFolder is a folder with the source, its compiler and its libraries. What
// `make contracts` left is used; else the packages are fetched into a folder of the test.
func contractsFolder(t *testing.T) string {
	t.Helper()
	const here = "../../contracts"
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("no node: the contract is not compiled anew")
	}
	if _, err := os.Stat(filepath.Join(here, "node_modules", "solc")); err == nil {
		return here
	}
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("no npm: the contract is not compiled anew")
	}
	dir := t.TempDir()
	for _, name := range []string{"ProductionRegistry.sol", "compile.js", "package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join(here, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-timeout=20000")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("npm cannot fetch the compiler: %v\n%s", err, out)
	}
	return dir
}
