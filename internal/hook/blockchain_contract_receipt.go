package hook

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"caos"
	"caos/internal/chain"
	"caos/internal/codec"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/ethereum"
	"caos/internal/object"
)

// This file has the steps of BLOCKCHAIN.CONTRACT once a transaction is final.

// chainVerdict is what step 5 found.
type chainVerdict struct {
	Status    string `json:"status"`     // CONFIRMED, FAILED, or "" while nothing is final
	BlockHash string `json:"block_hash"` // in which the receipt lies, "" for none
	Doubt     bool   `json:"doubt"`      // the block is not where it was said to be
	Rule      string `json:"rule"`       // why it FAILED
	Message   string `json:"message"`
	Remedy    string `json:"remedy"`
}

// final names the transaction once step 5 has decided about it.
func (s *contractState) final() []string {
	if s.Verdict.Status == "" {
		return nil
	}
	return []string{s.TransactionID}
}

// verifySuccess reads the receipt from the chain itself and compares it with the canonical
// block at its number. Of a transaction that failed it finds out why.
func (h *blockchainContract) verifySuccess(ctx context.Context, r *engine.Run, s *contractState) error {
	s.Verdict = chainVerdict{}
	t, err := h.chain.Transaction(ctx, s.TransactionID)
	if err != nil {
		return patient(r, err)
	}
	if !t.Status.Final() {
		return nil
	}
	if t.BlockNumber == nil || t.BlockHash == "" { // it was never mined
		s.Verdict = chainVerdict{Status: txFailed, Rule: "transaction-failed", Message: "the transaction was not mined: " + t.Reason, Remedy: "see caos transaction show " + t.TransactionID + "; submit the call again"}
		return nil
	}
	receipt, err := h.chain.Client().Receipt(ctx, common.HexToHash(t.Hash))
	if ethereum.Is(err, ethereum.Missing) {
		s.Verdict.Doubt = true
		return nil
	}
	if err != nil {
		return patient(r, err)
	}
	block, err := h.chain.Client().Block(ctx, *t.BlockNumber)
	if ethereum.Is(err, ethereum.Missing) {
		s.Verdict.Doubt = true
		return nil
	}
	if err != nil {
		return patient(r, err)
	}
	if want := common.HexToHash(t.BlockHash); receipt.BlockHash != want || block.Hash != want {
		s.Verdict.Doubt = true
		return nil
	}
	if receipt.Status == types.ReceiptStatusSuccessful && t.Status == chain.Confirmed {
		s.Verdict = chainVerdict{Status: txConfirmed, BlockHash: t.BlockHash}
		return nil
	}
	v, err := h.whyFailed(ctx, t, receipt)
	if err != nil {
		return patient(r, err)
	}
	v.Status, v.BlockHash = txFailed, t.BlockHash
	s.Verdict = v
	return nil
}

// whyFailed replays a mined call that failed, on the state after its block and on the one
// before it: something else in the block may have been the reason, or taken it away.
func (h *blockchainContract) whyFailed(ctx context.Context, t *chain.Transaction, receipt *types.Receipt) (chainVerdict, error) {
	if receipt.Status == types.ReceiptStatusSuccessful {
		return chainVerdict{Rule: "transaction-failed", Message: t.Reason, Remedy: "see caos transaction show " + t.TransactionID}, nil
	}
	data, err := unhex(trimHex(t.Data))
	if err != nil {
		return chainVerdict{}, err
	}
	call := ethereum.Call{From: common.HexToAddress(t.From), To: common.HexToAddress(t.Address), Data: data, Gas: t.GasLimit}
	usedUp := chainVerdict{Rule: "gas-used-up", Message: fmt.Sprintf("the call used up its %d gas in block %d and was undone", t.GasLimit, *t.BlockNumber),
		Remedy: "submit it again with a higher gas_limit"}
	at := new(big.Int).SetUint64(*t.BlockNumber)
	for _, block := range []*big.Int{at, new(big.Int).Sub(at, big.NewInt(1))} {
		_, err := h.chain.Client().Call(ctx, call, block)
		switch {
		case ethereum.Is(err, ethereum.Reverted):
			k, err2 := h.chain.Contract(ctx, t.ContractID)
			if err2 != nil {
				return chainVerdict{}, err2
			}
			abi, err2 := k.Interface()
			if err2 != nil {
				abi = nil
			}
			return chainVerdict{Rule: "transaction-reverted", Message: fmt.Sprintf("the contract refused the call in block %d: %s", *t.BlockNumber, abi.Revert(ethereum.RevertData(err)).Text),
				Remedy: "see to what the contract finds wrong, and submit the call again"}, nil
		case ethereum.Is(err, ethereum.GasTooLow):
			return usedUp, nil
		case caos.KindOf(err) == caos.Unavailable:
			return chainVerdict{}, err
		}
	}
	if receipt.GasUsed >= t.GasLimit {
		return usedUp, nil
	}
	return chainVerdict{Rule: "transaction-reverted", Message: fmt.Sprintf("the contract refused the call in block %d and gave no reason that can be found out any more", *t.BlockNumber),
		Remedy: "try the call again: a dry run tells whether the contract would still refuse it"}, nil
}

func trimHex(s string) string { return string(bytes.TrimPrefix([]byte(s), []byte("0x"))) }

// receiptDocument is what is stored of a final transaction.
type receiptDocument struct {
	Version     int              `json:"v"`
	ChainID     uint64           `json:"chain_id"`
	Transaction receiptCall      `json:"transaction"`
	Block       receiptBlock     `json:"block"`
	Receipt     json.RawMessage  `json:"receipt"` // as the chain gives it
	Events      []ethereum.Event `json:"events"`  // of the contract, decoded
	Failure     string           `json:"failure,omitempty"`
}

type receiptCall struct {
	ID         string          `json:"transaction_id"`
	Hash       string          `json:"hash"`
	Attempts   []string        `json:"attempts"`
	From       string          `json:"from"`
	To         string          `json:"to"`
	Nonce      string          `json:"nonce"`
	Function   string          `json:"contract_function"`
	Parameters json.RawMessage `json:"function_parameters"`
	Data       string          `json:"data"`
	GasLimit   string          `json:"gas_limit"`
	GasUsed    string          `json:"gas_used"`
	GasPrice   string          `json:"effective_gas_price"`
	Status     string          `json:"transaction_status"`
	Execution  string          `json:"execution_id"`
}

type receiptBlock struct {
	Number        string `json:"number"`
	Hash          string `json:"hash"`
	Parent        string `json:"parent_hash"`
	Time          string `json:"time"`
	Confirmations string `json:"confirmations"`
}

// maxReceipt bounds a stored receipt.
const maxReceipt = 16 << 20

// storeReceipt writes the receipt with what it is about. A transaction that was never mined
// has none.
func (h *blockchainContract) storeReceipt(ctx context.Context, r *engine.Run, s *contractState) error {
	s.Receipt = object.Ref{}
	if s.Verdict.BlockHash == "" {
		return nil
	}
	t, err := h.chain.Transaction(ctx, s.TransactionID)
	if err != nil {
		return patient(r, err)
	}
	if t.BlockNumber == nil || t.BlockHash != s.Verdict.BlockHash {
		return nil // it moved meanwhile: the next round looks again
	}
	text, err := h.receiptText(ctx, s, t)
	if ethereum.Is(err, ethereum.Missing) || errors.Is(err, errMoved) {
		s.Verdict.Doubt = true // its block vanished since it was verified: the next round waits for another
		return nil
	}
	if err != nil {
		return patient(r, err)
	}
	s.Stored = r.Now // from before it was stored: the safe side
	s.Receipt, err = h.objects.Put(ctx, bytes.NewReader(text), object.PutOptions{MaxBytes: maxReceipt})
	return patient(r, err)
}

// errMoved says that a transaction is in another block than the one that was verified.
var errMoved = errors.New("the transaction is in another block by now")

func (h *blockchainContract) receiptText(ctx context.Context, s *contractState, t *chain.Transaction) ([]byte, error) {
	receipt, err := h.chain.Client().Receipt(ctx, common.HexToHash(t.Hash))
	if err != nil {
		return nil, err
	}
	block, err := h.chain.Client().Block(ctx, *t.BlockNumber)
	if err != nil {
		return nil, err
	}
	if want := common.HexToHash(s.Verdict.BlockHash); receipt.BlockHash != want || block.Hash != want {
		return nil, errMoved
	}
	k, err := h.chain.Contract(ctx, t.ContractID)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(receipt)
	if err != nil {
		return nil, fmt.Errorf("encode receipt: %w", err)
	}
	number := func(n uint64) string { return new(big.Int).SetUint64(n).String() }
	doc := receiptDocument{Version: 1, ChainID: t.ChainID, Receipt: raw, Events: h.events(k, receipt), Failure: s.Verdict.Message,
		Transaction: receiptCall{ID: t.TransactionID, Hash: t.Hash, Attempts: t.Hashes, From: t.From, To: t.Address, Function: t.Function, Parameters: t.Params, Data: t.Data,
			GasLimit: number(t.GasLimit), GasUsed: number(receipt.GasUsed), GasPrice: t.EffectiveGasPrice, Status: s.Verdict.Status, Execution: t.ExecutionID},
		Block: receiptBlock{Number: number(block.Number), Hash: block.Hash.Hex(), Parent: block.Parent.Hex(), Time: block.Time.UTC().Format(time.RFC3339), Confirmations: number(t.Confirmations)}}
	if t.Nonce != nil {
		doc.Transaction.Nonce = number(*t.Nonce)
	}
	return codec.Canonical(doc)
}

// events decodes what the contract has said. An entry of another contract, or one that the
// ABI does not have, is in the receipt alone.
func (h *blockchainContract) events(k *chain.Contract, receipt *types.Receipt) []ethereum.Event {
	out := []ethereum.Event{}
	abi, err := k.Interface()
	if err != nil {
		return out
	}
	for _, entry := range receipt.Logs {
		if entry.Address != common.HexToAddress(k.Address) {
			continue
		}
		if e, err := abi.Event(entry); err == nil {
			out = append(out, e)
		}
	}
	return out
}

// updateRecords says what became of the transaction, to all that asked for it. One that moved
// since it was looked at is waited for once more.
func (h *blockchainContract) updateRecords(tx *db.Tx, r *engine.Run, s *contractState) error {
	t, err := h.chain.TransactionIn(tx, s.TransactionID)
	if err != nil {
		return err
	}
	h.see(s, t)
	late := r.Now.Sub(s.Stored) > object.Grace/2 // the receipt may have been swept since
	if !t.Status.Final() || t.BlockHash != s.Verdict.BlockHash || s.Verdict.BlockHash != "" && (s.Receipt.Digest == "" || late) {
		return nil
	}
	if err := h.keepReceipt(tx, s, t); err != nil {
		return err
	}
	status := s.Verdict.Status
	s.Out.TransactionStatus, s.Settled = &status, true
	subject, err := h.chain.Settle(tx, r.ExecutionID, t)
	if err != nil {
		return err
	}
	r.Record.Resources = append(r.Record.Resources, t.TransactionID, s.ContractID)
	if subject != nil {
		r.Record.Resources = append(r.Record.Resources, subject.ID)
	}
	if status == txFailed {
		r.Find(caos.Finding{Rule: s.Verdict.Rule, Subject: t.TransactionID, Message: s.Verdict.Message, Remedy: s.Verdict.Remedy})
		return nil
	}
	if subject != nil && subject.Kind == chain.KindPassport && h.passports != nil {
		return h.passports.Confirmed(tx, subject.ID, t.Hash, *t.BlockNumber, t.ChainID)
	}
	return nil
}

func (h *blockchainContract) keepReceipt(tx *db.Tx, s *contractState, t *chain.Transaction) error {
	if s.Receipt.Digest == "" {
		return nil
	}
	b := object.Binding{Owner: t.TransactionID, Kind: "receipt", Hold: true, Project: t.Project, Classification: t.Classification}
	if err := h.objects.Bind(tx, s.Receipt, b); err != nil {
		return err
	}
	if err := h.chain.StoreReceipt(tx, t.TransactionID, s.Receipt.Digest); err != nil {
		return err
	}
	s.Out.TransactionReceiptURI = optional(h.baseURL + "/v1/transactions/" + t.TransactionID + "/receipt")
	return nil
}

// hexOf is the 32 bytes of a digest "SHA256:…" as a contract takes them.
func hexOf(digest string) string {
	b, err := hex.DecodeString(string(bytes.TrimPrefix([]byte(digest), []byte("SHA256:"))))
	if err != nil || len(b) != 32 {
		return ""
	}
	return "0x" + hex.EncodeToString(b)
}
