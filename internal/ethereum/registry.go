package ethereum

import (
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

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

// Key is the registry's key of a production: keccak256(abi.encode(modelId, version,
// contentHash)).
func (p Production) Key() common.Hash { return common.Hash{} }

// PackRecord returns the data of recordProduction.
func PackRecord(p Production) ([]byte, error) { return nil, errSoon() }

// PackRecordOf returns the data of recordOf.
func PackRecordOf(p Production) ([]byte, error) { return nil, errSoon() }

// PackAnchor returns the data of anchorLog.
func PackAnchor(a LogAnchor) ([]byte, error) { return nil, errSoon() }

// PackLastAnchor returns the data of lastAnchor.
func PackLastAnchor(origin string) ([]byte, error) { return nil, errSoon() }

// PackAnchorOf returns the data of anchorOf.
func PackAnchorOf(origin string, treeSize uint64) ([]byte, error) { return nil, errSoon() }

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
func UnpackRecordOf(returned []byte) (Recorded, error) { return Recorded{}, errSoon() }

// UnpackLastAnchor reads the answer of lastAnchor.
func UnpackLastAnchor(returned []byte) (Anchored, error) { return Anchored{}, errSoon() }

// UnpackAnchorOf reads the answer of anchorOf for a tree size.
func UnpackAnchorOf(treeSize uint64, returned []byte) (Anchored, error) {
	return Anchored{}, errSoon()
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
	OriginHash common.Hash
	TreeSize   uint64
	Root       common.Hash
	Origin     string
}

// DecodeProductionRecorded reads the event from a log entry of the registry.
func DecodeProductionRecorded(log *types.Log) (ProductionRecorded, error) {
	return ProductionRecorded{}, errSoon()
}

// DecodeLogAnchored reads the event from a log entry of the registry.
func DecodeLogAnchored(log *types.Log) (LogAnchored, error) { return LogAnchored{}, errSoon() }
