package ethereum

import (
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"math/big"
	"strconv"
	"strings"

	"caos"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// What a call to ProductionRegistry and its log entries begin with: the first four bytes of
// the hash of a function's signature, and the hash of an event's. They are written out
// because internal/verify, which imports nothing of this, has to hold the same; a test
// derives them from the contract.
const (
	SelectorRecordProduction = "0x6107e723" // recordProduction(string,string,bytes32,uint64)
	SelectorRecordOf         = "0xe8ef2834" // recordOf(string,string,bytes32)
	SelectorAnchorLog        = "0x2f4027e4" // anchorLog(string,uint64,bytes32)
	SelectorLastAnchor       = "0xab72f78b" // lastAnchor(string)
	SelectorAnchorOf         = "0xb12868dc" // anchorOf(string,uint64)

	TopicProductionRecorded = "0xc36059bb89cd80c5ab1214dd4adfbff0995000bbc633f633b0e75fae3bbd0d39" // ProductionRecorded(bytes32,bytes32,string,string,uint64,address)
	TopicLogAnchored        = "0x41c49877b9a80bb6333195533a8781148440aaf0785ed8a065f28e874a491d30" // LogAnchored(bytes32,uint64,bytes32,string)
)

//go:embed production_registry.json
var registryJSON []byte

// RegistryABI is the ABI of ProductionRegistry, and its text as it is registered.
func RegistryABI() (*ABI, json.RawMessage, error) {
	var artifact struct {
		ABI json.RawMessage `json:"abi"`
	}
	if err := json.Unmarshal(registryJSON, &artifact); err != nil {
		return nil, nil, caos.Wrap(caos.Internal, err, "the registry's ABI cannot be read")
	}
	a, err := ParseABI(artifact.ABI)
	return a, artifact.ABI, err
}

// Production is what ProductionRegistry records of a model.
type Production struct {
	ModelID     string
	Version     string
	ContentHash common.Hash
	Timestamp   uint64 // unix seconds
}

// LogAnchor is a checkpoint of a transparency log, as ProductionRegistry keeps it.
type LogAnchor struct {
	Origin   string
	TreeSize uint64
	Root     common.Hash
}

// Params are the parameters of recordProduction, as the hook takes them.
func (p Production) Params() map[string]any {
	return map[string]any{
		"modelId": p.ModelID, "version": p.Version, "contentHash": p.ContentHash.Hex(), "timestamp": strconv.FormatUint(p.Timestamp, 10),
	}
}

// Params are the parameters of anchorLog, as the hook takes them.
func (a LogAnchor) Params() map[string]any {
	return map[string]any{"origin": a.Origin, "treeSize": strconv.FormatUint(a.TreeSize, 10), "rootHash": a.Root.Hex()}
}

// Key is the registry's key of a production: keccak256(abi.encode(modelId, version,
// contentHash)).
func (p Production) Key() common.Hash {
	enc, err := arguments([]string{"string", "string", "bytes32"}, p.ModelID, p.Version, p.ContentHash)
	if err != nil { // longer than any call: no contract knows such a key
		return common.Hash{}
	}
	return crypto.Keccak256Hash(enc)
}

// PackRecord returns the data of recordProduction.
func PackRecord(p Production) ([]byte, error) {
	return packCall(SelectorRecordProduction, []string{"string", "string", "bytes32", "uint64"}, p.ModelID, p.Version, p.ContentHash, p.Timestamp)
}

// PackRecordOf returns the data of recordOf.
func PackRecordOf(p Production) ([]byte, error) {
	return packCall(SelectorRecordOf, []string{"string", "string", "bytes32"}, p.ModelID, p.Version, p.ContentHash)
}

// PackAnchor returns the data of anchorLog.
func PackAnchor(a LogAnchor) ([]byte, error) {
	return packCall(SelectorAnchorLog, []string{"string", "uint64", "bytes32"}, a.Origin, a.TreeSize, a.Root)
}

// PackLastAnchor returns the data of lastAnchor.
func PackLastAnchor(origin string) ([]byte, error) {
	return packCall(SelectorLastAnchor, []string{"string"}, origin)
}

// PackAnchorOf returns the data of anchorOf.
func PackAnchorOf(origin string, treeSize uint64) ([]byte, error) {
	return packCall(SelectorAnchorOf, []string{"string", "uint64"}, origin, treeSize)
}

func packCall(selector string, types []string, values ...any) ([]byte, error) {
	enc, err := arguments(types, values...)
	if err != nil {
		return nil, err
	}
	return append(common.FromHex(selector), enc...), nil
}

// arguments encodes values side by side.
func arguments(types []string, values ...any) ([]byte, error) {
	fields, err := fieldsOf(types)
	if err != nil {
		return nil, err
	}
	named := make(map[string]any, len(values))
	for i, v := range values {
		named[fields[i].name] = v
	}
	p := packer{left: maxData}
	enc, _, err := p.named(fields, named, "registry")
	return enc, err
}

func fieldsOf(types []string) ([]abiField, error) {
	out := make([]abiField, 0, len(types))
	for i, name := range types {
		t, err := scalarOf(name)
		if err != nil {
			return nil, err
		}
		out = append(out, abiField{name: "arg" + strconv.Itoa(i), typ: t})
	}
	return out, nil
}

// Recorded is what recordOf says.
type Recorded struct {
	Exists      bool
	Timestamp   uint64 // unix seconds, as stated
	BlockNumber uint64
	BlockTime   uint64 // unix seconds
	Recorder    common.Address
}

// Anchored is what lastAnchor and anchorOf say.
type Anchored struct {
	Exists      bool // for lastAnchor: whether there is any
	TreeSize    uint64
	Root        common.Hash
	BlockNumber uint64
	BlockTime   uint64 // unix seconds
}

// UnpackRecordOf reads the answer of recordOf.
func UnpackRecordOf(returned []byte) (Recorded, error) {
	w, err := returnedWords(returned, "bool", "uint64", "uint64", "uint64", "address")
	if err != nil {
		return Recorded{}, err
	}
	return Recorded{w.flag(0), w.number(1), w.number(2), w.number(3), common.BytesToAddress(w[4])}, nil
}

// UnpackLastAnchor reads the answer of lastAnchor.
func UnpackLastAnchor(returned []byte) (Anchored, error) {
	w, err := returnedWords(returned, "uint64", "bytes32", "uint64", "uint64")
	if err != nil {
		return Anchored{}, err
	}
	return Anchored{w.number(2) != 0, w.number(0), common.BytesToHash(w[1]), w.number(2), w.number(3)}, nil
}

// UnpackAnchorOf reads the answer of anchorOf for a tree size.
func UnpackAnchorOf(treeSize uint64, returned []byte) (Anchored, error) {
	w, err := returnedWords(returned, "bool", "bytes32", "uint64", "uint64")
	if err != nil {
		return Anchored{}, err
	}
	return Anchored{w.flag(0), treeSize, common.BytesToHash(w[1]), w.number(2), w.number(3)}, nil
}

// wordsOf are the 32-byte words of an answer whose types have been checked.
type wordsOf [][]byte

func (w wordsOf) flag(i int) bool     { return w[i][word-1] == 1 }
func (w wordsOf) number(i int) uint64 { return binary.BigEndian.Uint64(w[i][word-8:]) }

func returnedWords(returned []byte, types ...string) (wordsOf, error) {
	fields, err := fieldsOf(types)
	if err != nil {
		return nil, err
	}
	if _, err := unpackNamed(fields, returned); err != nil {
		return nil, caos.Wrap(caos.Invalid, err, "what the registry returned is not what a registry returns").
			WithHint("check chain.registry: at this address is another contract, or none")
	}
	out := make(wordsOf, len(types))
	for i := range types {
		out[i] = returned[i*word : (i+1)*word]
	}
	return out, nil
}

// ProductionRecorded is the event of a first recordProduction.
type ProductionRecorded struct {
	Key         common.Hash
	ContentHash common.Hash
	ModelID     string
	Version     string
	Timestamp   uint64
	Recorder    common.Address
}

// LogAnchored is the event of an anchorLog that changed something.
type LogAnchored struct {
	OriginHash common.Hash // keccak256 of the origin
	TreeSize   uint64
	Root       common.Hash
	Origin     string
}

// DecodeProductionRecorded reads the event from a log entry of the registry. Any other
// entry is an error of kind caos.NotFound.
func DecodeProductionRecorded(log *types.Log) (ProductionRecorded, error) {
	args, err := eventArgs(log, TopicProductionRecorded, 2, "string", "string", "uint64", "address")
	if err != nil {
		return ProductionRecorded{}, err
	}
	when, _ := new(big.Int).SetString(args["arg2"].(string), 10)
	return ProductionRecorded{
		Key: log.Topics[1], ContentHash: log.Topics[2], ModelID: args["arg0"].(string), Version: args["arg1"].(string),
		Timestamp: when.Uint64(), Recorder: common.HexToAddress(args["arg3"].(string)),
	}, nil
}

// DecodeLogAnchored reads the event from a log entry of the registry. Any other entry is an
// error of kind caos.NotFound.
func DecodeLogAnchored(log *types.Log) (LogAnchored, error) {
	args, err := eventArgs(log, TopicLogAnchored, 2, "bytes32", "string")
	if err != nil {
		return LogAnchored{}, err
	}
	size := new(big.Int).SetBytes(log.Topics[2][:])
	if !size.IsUint64() {
		return LogAnchored{}, caos.Errorf(caos.Invalid, "the log entry's tree size is absurd")
	}
	return LogAnchored{
		OriginHash: log.Topics[1], TreeSize: size.Uint64(), Root: common.HexToHash(args["arg0"].(string)), Origin: args["arg1"].(string),
	}, nil
}

// eventArgs decodes what is not indexed of a log entry, if it is of the event.
func eventArgs(log *types.Log, topic string, indexed int, types ...string) (map[string]any, error) {
	if log == nil || len(log.Topics) != indexed+1 || !strings.EqualFold(log.Topics[0].Hex(), topic) {
		return nil, caos.Errorf(caos.NotFound, "the log entry is of another event")
	}
	fields, err := fieldsOf(types)
	if err != nil {
		return nil, err
	}
	args, err := unpackNamed(fields, log.Data)
	if err != nil {
		return nil, caos.Wrap(caos.Invalid, err, "the log entry does not fit its event")
	}
	return args, nil
}
