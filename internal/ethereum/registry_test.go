package ethereum

import (
	"bytes"
	"caos/internal/ethereum/binding"
	"encoding/json"
	"math/big"
	"reflect"
	"testing"

	"caos"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// TestRegistryConstants derives what is written out from the contract's ABI.
func TestRegistryConstants(t *testing.T) {
	a, _, err := RegistryABI()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"recordProduction": SelectorRecordProduction, "recordOf": SelectorRecordOf, "anchorLog": SelectorAnchorLog,
		"lastAnchor": SelectorLastAnchor, "anchorOf": SelectorAnchorOf,
	} {
		if f, err := a.Function(name); err != nil || f.Selector != want {
			t.Errorf("%s: %s %v, want %s", name, f.Selector, err, want)
		}
	}
	ref, err := binding.ProductionRegistryMetaData.ParseABI()
	if err != nil {
		t.Fatal(err)
	}
	if got := ref.Events["ProductionRecorded"].ID.Hex(); got != TopicProductionRecorded {
		t.Error(got)
	}
	if got := ref.Events["LogAnchored"].ID.Hex(); got != TopicLogAnchored {
		t.Error(got)
	}
	if len(ref.Methods) != len(a.Functions()) || len(ref.Errors) != len(a.errors) || len(ref.Events) != len(a.events) {
		t.Error("the committed ABI and the binding differ")
	}
}

// TestRegistryAgainstBinding packs and unpacks as the generated binding does.
func TestRegistryAgainstBinding(t *testing.T) {
	b := binding.NewProductionRegistry()
	p := Production{"NN-FCS-001", "2.1.0", hashAt("content", 1), 1_700_000_000}
	l := LogAnchor{"log.example/caos", 1 << 40, hashAt("root", 1)}
	same := func(what string, got []byte, err error, want []byte) {
		t.Helper()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %x %v\nwant %x", what, got, err, want)
		}
	}
	data, err := PackRecord(p)
	same("record", data, err, b.PackRecordProduction(p.ModelID, p.Version, p.ContentHash, p.Timestamp))
	data, err = PackRecordOf(p)
	same("recordOf", data, err, b.PackRecordOf(p.ModelID, p.Version, p.ContentHash))
	data, err = PackAnchor(l)
	same("anchor", data, err, b.PackAnchorLog(l.Origin, l.TreeSize, l.Root))
	data, err = PackLastAnchor(l.Origin)
	same("lastAnchor", data, err, b.PackLastAnchor(l.Origin))
	data, err = PackAnchorOf(l.Origin, l.TreeSize)
	same("anchorOf", data, err, b.PackAnchorOf(l.Origin, l.TreeSize))

	a, _, err := RegistryABI()
	if err != nil {
		t.Fatal(err)
	}
	data, _, err = a.Pack("recordProduction", p.Params())
	same("by parameters", data, err, b.PackRecordProduction(p.ModelID, p.Version, p.ContentHash, p.Timestamp))
	data, _, err = a.Pack("anchorLog", l.Params())
	same("by parameters", data, err, b.PackAnchorLog(l.Origin, l.TreeSize, l.Root))

	ref, err := binding.ProductionRegistryMetaData.ParseABI()
	if err != nil {
		t.Fatal(err)
	}
	out := func(name string, values ...any) []byte {
		enc, err := ref.Methods[name].Outputs.Pack(values...)
		if err != nil {
			t.Fatal(err)
		}
		return enc
	}
	who := common.HexToAddress("0x0a")
	if r, err := UnpackRecordOf(out("recordOf", true, uint64(1), uint64(2), uint64(3), who)); err != nil || r != (Recorded{true, 1, 2, 3, who}) {
		t.Errorf("recordOf: %+v %v", r, err)
	}
	if r, err := UnpackLastAnchor(out("lastAnchor", uint64(9), l.Root, uint64(2), uint64(3))); err != nil || r != (Anchored{true, 9, l.Root, 2, 3}) {
		t.Errorf("lastAnchor: %+v %v", r, err)
	}
	if r, err := UnpackAnchorOf(9, out("anchorOf", true, l.Root, uint64(2), uint64(3))); err != nil || r != (Anchored{true, 9, l.Root, 2, 3}) {
		t.Errorf("anchorOf: %+v %v", r, err)
	}
	for _, bad := range [][]byte{nil, {1}, bytes.Repeat([]byte{0xff}, 160)} {
		if _, err := UnpackRecordOf(bad); caos.KindOf(err) != caos.Invalid {
			t.Errorf("%x: %v", bad, err)
		}
		if _, err := UnpackLastAnchor(bad); caos.KindOf(err) != caos.Invalid {
			t.Errorf("%x: %v", bad, err)
		}
	}

	enc, err := ref.Events["ProductionRecorded"].Inputs.NonIndexed().Pack(p.ModelID, p.Version, p.Timestamp, who)
	if err != nil {
		t.Fatal(err)
	}
	log := &types.Log{Topics: []common.Hash{common.HexToHash(TopicProductionRecorded), p.Key(), p.ContentHash}, Data: enc}
	e, err := DecodeProductionRecorded(log)
	if err != nil || !reflect.DeepEqual(e, ProductionRecorded{p.Key(), p.ContentHash, p.ModelID, p.Version, p.Timestamp, who}) {
		t.Errorf("%+v %v", e, err)
	}
	if _, err := DecodeLogAnchored(log); caos.KindOf(err) != caos.NotFound {
		t.Error(err)
	}
	enc, err = ref.Events["LogAnchored"].Inputs.NonIndexed().Pack(l.Root, l.Origin)
	if err != nil {
		t.Fatal(err)
	}
	log = &types.Log{Topics: []common.Hash{common.HexToHash(TopicLogAnchored), crypto.Keccak256Hash([]byte(l.Origin)), common.BigToHash(new(big.Int).SetUint64(l.TreeSize))}, Data: enc}
	if e, err := DecodeLogAnchored(log); err != nil || e.Root != l.Root || e.Origin != l.Origin || e.TreeSize != l.TreeSize {
		t.Errorf("%+v %v", e, err)
	}
	log.Data = log.Data[:40]
	if _, err := DecodeLogAnchored(log); caos.KindOf(err) != caos.Invalid {
		t.Error(err)
	}
	if _, err := DecodeLogAnchored(nil); caos.KindOf(err) != caos.NotFound {
		t.Error(err)
	}
}

func TestRegistryABIText(t *testing.T) {
	_, text, err := RegistryABI()
	if err != nil || !json.Valid(text) || text[0] != '[' {
		t.Error(err)
	}
}
