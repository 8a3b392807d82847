package ethereum

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// This file judges what endpoints answer: the shape, and whether it fits the question.

var errNull = errors.New("it says null")

func isNull(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "null" }

func quantity(raw json.RawMessage) (uint64, error) {
	if isNull(raw) {
		return 0, errNull
	}
	var n hexutil.Uint64
	if err := json.Unmarshal(raw, &n); err != nil {
		return 0, fmt.Errorf("%s is not a quantity", clip(string(raw), 60))
	}
	return uint64(n), nil
}

func bigQuantity(raw json.RawMessage) (*big.Int, error) {
	if isNull(raw) {
		return nil, errNull
	}
	var n hexutil.Big
	if err := json.Unmarshal(raw, &n); err != nil {
		return nil, fmt.Errorf("%s is not a quantity", clip(string(raw), 60))
	}
	return n.ToInt(), nil
}

func byteString(raw json.RawMessage) ([]byte, error) {
	if isNull(raw) {
		return nil, errNull
	}
	var b hexutil.Bytes
	if err := json.Unmarshal(raw, &b); err != nil {
		return nil, fmt.Errorf("%s is not a byte string", clip(string(raw), 60))
	}
	return b, nil
}

func hashOf(raw json.RawMessage) (common.Hash, error) {
	b, err := byteString(raw)
	if err != nil {
		return common.Hash{}, err
	}
	if len(b) != common.HashLength {
		return common.Hash{}, fmt.Errorf("a hash has %d bytes", len(b))
	}
	return common.Hash(b), nil
}

func blockOf(raw json.RawMessage) (Block, error) {
	if isNull(raw) {
		return Block{}, errMissing("no such block")
	}
	var b struct {
		Number   *hexutil.Uint64 `json:"number"`
		Hash     *common.Hash    `json:"hash"`
		Parent   *common.Hash    `json:"parentHash"`
		Time     *hexutil.Uint64 `json:"timestamp"`
		BaseFee  *hexutil.Big    `json:"baseFeePerGas"`
		GasLimit *hexutil.Uint64 `json:"gasLimit"`
	}
	if err := json.Unmarshal(raw, &b); err != nil {
		return Block{}, fmt.Errorf("a block cannot be read: %w", err)
	}
	if b.Number == nil || b.Hash == nil || b.Parent == nil || b.Time == nil || b.GasLimit == nil {
		return Block{}, errors.New("a block lacks its number, hash, parent, time or gas limit")
	}
	if uint64(*b.Time) > 1<<40 {
		return Block{}, errors.New("a block's time is absurd")
	}
	return Block{
		Number: uint64(*b.Number), Hash: *b.Hash, Parent: *b.Parent, Time: time.Unix(int64(*b.Time), 0).UTC(),
		BaseFee: b.BaseFee.ToInt(), GasLimit: uint64(*b.GasLimit),
	}, nil
}

// errMissing is "not there", which is an answer and no failure.
type errMissing string

// Error returns the words.
func (e errMissing) Error() string { return string(e) }

func receiptOf(raw json.RawMessage, hash common.Hash) (*types.Receipt, error) {
	if isNull(raw) {
		return nil, errMissing("no receipt of " + short(hash))
	}
	r := new(types.Receipt)
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, fmt.Errorf("a receipt cannot be read: %w", err)
	}
	if r.TxHash != hash {
		return nil, fmt.Errorf("it was asked for the receipt of %s and gives that of %s", short(hash), short(r.TxHash))
	}
	return r, soundReceipt(r)
}

// soundReceipt finds what contradicts itself in a receipt.
func soundReceipt(r *types.Receipt) error {
	switch {
	case r.BlockHash == (common.Hash{}) || r.BlockNumber == nil || !r.BlockNumber.IsUint64():
		return errors.New("a receipt names no block")
	case r.Status != types.ReceiptStatusFailed && r.Status != types.ReceiptStatusSuccessful:
		return errors.New("a receipt has no status")
	case r.GasUsed == 0 || r.GasUsed > r.CumulativeGasUsed:
		return errors.New("a receipt's gas cannot be")
	case r.Status == types.ReceiptStatusFailed && len(r.Logs) > 0:
		return errors.New("a failed transaction has log entries")
	}
	for _, l := range r.Logs {
		switch {
		case l == nil:
			return errors.New("a receipt's log entry is null")
		case l.TxHash != r.TxHash, l.BlockHash != r.BlockHash, l.BlockNumber != r.BlockNumber.Uint64():
			return errors.New("a receipt's log entry is of another transaction or block")
		case l.Removed:
			return errors.New("a receipt's log entry was removed")
		case len(l.Topics) > 4:
			return errors.New("a log entry has more than four topics")
		}
	}
	return nil
}

func receiptsOf(raw json.RawMessage, block common.Hash) ([]*types.Receipt, error) {
	if isNull(raw) {
		return nil, errMissing("no block " + short(block))
	}
	var list []*types.Receipt
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("receipts cannot be read: %w", err)
	}
	for i, r := range list {
		switch {
		case r == nil:
			return nil, errors.New("a receipt is null")
		case r.BlockHash != block:
			return nil, fmt.Errorf("it was asked for the receipts of block %s and gives one of %s", short(block), short(r.BlockHash))
		case r.TransactionIndex != uint(i):
			return nil, errors.New("receipts are not in the block's order, or some are missing")
		}
		if err := soundReceipt(r); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func transactionOf(raw json.RawMessage, hash common.Hash) (pending bool, err error) {
	if isNull(raw) {
		return false, errMissing("no transaction " + short(hash))
	}
	var t struct {
		Hash  *common.Hash    `json:"hash"`
		Block *common.Hash    `json:"blockHash"`
		Num   *hexutil.Uint64 `json:"blockNumber"`
	}
	if err := json.Unmarshal(raw, &t); err != nil {
		return false, fmt.Errorf("a transaction cannot be read: %w", err)
	}
	if t.Hash == nil || *t.Hash != hash {
		return false, fmt.Errorf("it was asked for the transaction %s and gives another", short(hash))
	}
	return t.Block == nil || t.Num == nil, nil
}

// feesOf reads eth_feeHistory: the newest base fee is the next block's.
func feesOf(raw json.RawMessage) (Fees, error) {
	if isNull(raw) {
		return Fees{}, errNull
	}
	var h struct {
		Base   []*hexutil.Big   `json:"baseFeePerGas"`
		Reward [][]*hexutil.Big `json:"reward"`
	}
	if err := json.Unmarshal(raw, &h); err != nil {
		return Fees{}, fmt.Errorf("a fee history cannot be read: %w", err)
	}
	if len(h.Base) == 0 || h.Base[len(h.Base)-1] == nil {
		return Fees{}, errors.New("a fee history without base fees")
	}
	var tips []*big.Int
	for _, block := range h.Reward {
		if len(block) > 0 && block[0] != nil && block[0].ToInt().Sign() > 0 { // empty blocks say 0
			tips = append(tips, block[0].ToInt())
		}
	}
	f := Fees{Base: h.Base[len(h.Base)-1].ToInt(), Tip: median(tips)}
	if f.Base.BitLen() > maxFeeBits || f.Tip.BitLen() > maxFeeBits {
		return Fees{}, errors.New("its fees are absurd")
	}
	return f, nil
}

// sameReceipt says how two receipts of one transaction differ, "" when they do not.
func sameReceipt(a, b *types.Receipt) string {
	switch {
	case a.BlockHash != b.BlockHash || a.BlockNumber.Cmp(b.BlockNumber) != 0:
		return "the block"
	case a.Status != b.Status:
		return "the status"
	case a.TransactionIndex != b.TransactionIndex:
		return "the index"
	case a.GasUsed != b.GasUsed || a.CumulativeGasUsed != b.CumulativeGasUsed:
		return "the gas"
	case len(a.Logs) != len(b.Logs):
		return "the number of log entries"
	}
	for i, l := range a.Logs {
		m := b.Logs[i]
		if l.Address != m.Address || !bytes.Equal(l.Data, m.Data) || len(l.Topics) != len(m.Topics) {
			return "a log entry"
		}
		for j, t := range l.Topics {
			if t != m.Topics[j] {
				return "a log entry"
			}
		}
	}
	return ""
}
