package chain

import (
	"context"
	"encoding/json"
	"time"

	"caos/internal/db"
)

// Status is how far a transaction is; see the package comment. Stored: never rename one.
type Status string

// The states of a transaction.
const (
	Prepared  Status = "PREPARED"
	Signed    Status = "SIGNED"
	Sent      Status = "SENT"
	Mined     Status = "MINED"
	Confirmed Status = "CONFIRMED"
	Failed    Status = "FAILED"
)

// Final reports whether a transaction goes no further by itself. A reorganisation of the
// chain may still bring it back for 64 blocks.
func (s Status) Final() bool { return s == Confirmed || s == Failed }

// Events of transactions. Their subject is the transaction's id, their data what
// TransactionEvent has.
const (
	EventSent      = "caos.transaction.sent"
	EventMined     = "caos.transaction.mined"
	EventConfirmed = "caos.transaction.confirmed"
	EventFailed    = "caos.transaction.failed"
)

// TransactionEvent is the data of an event.
type TransactionEvent struct {
	TransactionID string   `json:"transaction_id"`
	ExecutionID   string   `json:"execution_id"`
	Hash          string   `json:"hash"`
	Status        Status   `json:"status"`
	Reason        string   `json:"reason,omitempty"`
	BlockNumber   *uint64  `json:"block_number"`
	Subject       *Subject `json:"subject,omitempty"`
	Reorganised   bool     `json:"reorganised,omitempty"` // it was further before, and its block is gone
}

// Reasons that FAILED begins with, before ": " and words.
const (
	ReasonReverted  = "reverted"       // the contract refused, in a block that is final
	ReasonNonce     = "nonce-lost"     // other transactions of the account took its nonces
	ReasonRefused   = "refused"        // the network never takes it
	ReasonGivenUp   = "given-up"       // before it was signed
	ReasonAbandoned = "execution-over" // its execution ended before it was signed
)

// Request is what a transaction is to do.
type Request struct {
	ExecutionID    string          // which it belongs to; the same again is the same transaction
	ContractID     string          // of a registered contract
	Address        string          // of that contract
	Function       string          // signature
	Params         json.RawMessage // canonical, by name
	Data           []byte          // the call
	GasLimit       uint64
	Account        string   // name of the account that signs
	Subject        *Subject // what of ours it records; nil for nothing
	Project        string
	Classification string
}

// Transaction is what is sent, or was.
type Transaction struct {
	TransactionID     string          `json:"transaction_id"` // TX-<stamp>
	ExecutionID       string          `json:"execution_id"`   // "" for one that fills a gap
	ContractID        string          `json:"contract_id"`
	ChainID           uint64          `json:"chain_id"`
	Address           string          `json:"contract_address"`
	Function          string          `json:"contract_function"`
	Params            json.RawMessage `json:"function_parameters"`
	Data              string          `json:"data"` // 0x…
	Account           string          `json:"account"`
	From              string          `json:"from"`
	Nonce             *uint64         `json:"nonce"` // null before it is signed
	GasLimit          uint64          `json:"gas_limit"`
	Hash              string          `json:"hash"`   // of the attempt that was mined, else of the last; "" before it is signed
	Hashes            []string        `json:"hashes"` // of all attempts, in their order
	Status            Status          `json:"status"`
	Reason            string          `json:"reason"` // why it FAILED, or what holds it up
	BlockNumber       *uint64         `json:"block_number"`
	BlockHash         string          `json:"block_hash"`
	Reverted          bool            `json:"reverted"`            // the receipt's status is 0
	GasUsed           *uint64         `json:"gas_used"`            // of the receipt
	EffectiveGasPrice string          `json:"effective_gas_price"` // wei, decimal; "" before it is mined
	Confirmations     uint64          `json:"confirmations"`       // blocks on top of it, its own included, at the last look; at most 64 more than asked for
	ReceiptDigest     string          `json:"receipt_digest"`      // SHA256:… of the stored receipt; see StoreReceipt
	Subject           *Subject        `json:"subject"`             // kind and id of what it records
	Attempts          int             `json:"attempts"`
	PreparedAt        time.Time       `json:"prepared_at"`
	SignedAt          *time.Time      `json:"signed_at"`
	SentAt            *time.Time      `json:"sent_at"`
	MinedAt           *time.Time      `json:"mined_at"`
	ConfirmedAt       *time.Time      `json:"confirmed_at"` // when it became CONFIRMED or FAILED
	Project           string          `json:"project"`
	Classification    string          `json:"classification"`
}

// Attempt is one version of a transaction: the bytes that were signed.
type Attempt struct {
	Number   int        `json:"number"` // from 1
	Hash     string     `json:"hash"`
	Nonce    uint64     `json:"nonce"`
	MaxFee   string     `json:"max_fee_per_gas"`          // wei, decimal
	Tip      string     `json:"max_priority_fee_per_gas"` // wei, decimal
	Cancels  bool       `json:"cancels"`                  // it does nothing but spend the nonce
	Dead     bool       `json:"dead"`                     // its nonce was spent by something else, for good
	SignedAt time.Time  `json:"signed_at"`
	SentAt   *time.Time `json:"sent_at"`
	Error    string     `json:"error"` // what the network said when it was last sent; "" when it took it
}

// TransactionFilter chooses transactions; empty fields match all.
type TransactionFilter struct {
	Status      Status
	Open        bool // not final
	ContractID  string
	ExecutionID string
	From        string
	SubjectKind SubjectKind
	SubjectID   string
	Project     string
	Limit       int // of a page; 0 means 100
}

// Prepare reserves a transaction for an execution, which has one at most: the same again
// answers it, whatever became of it. Its gates are the hook's.
func (c *Chain) Prepare(tx *db.Tx, r Request, by By) (*Transaction, error) { return nil, errSoon() }

// GiveUp ends a PREPARED transaction FAILED. One that is FAILED already stays as it is; any
// other is a Conflict: it will be mined.
func (c *Chain) GiveUp(tx *db.Tx, id, reason string, by By) (*Transaction, error) {
	return nil, errSoon()
}

// Sign gives a transaction its nonce and signs it, unless that was done. It returns when it
// is committed. Errors: Unavailable (no chain, no funds, network away, another node has
// the account and does not answer: try again), Conflict for one that was given up.
func (c *Chain) Sign(ctx context.Context, id string) (*Transaction, error) { return nil, errSoon() }

// Submit sends a signed transaction to the network, unless that was done. It may be called
// any number of times, on any node. Unavailable means that no endpoint took it yet: it goes
// out later by itself, and trying again does no harm.
func (c *Chain) Submit(ctx context.Context, id string) (*Transaction, error) { return nil, errSoon() }

// StoreReceipt notes the digest of the receipt that was stored as an object.
func (c *Chain) StoreReceipt(tx *db.Tx, id, digest string) error { return errSoon() }

// Transaction returns a transaction by its id or the hash of one of its attempts, or NotFound.
func (c *Chain) Transaction(ctx context.Context, idOrHash string) (*Transaction, error) {
	return nil, errSoon()
}

// TransactionIn is Transaction as a transaction of the database sees it.
func (c *Chain) TransactionIn(tx *db.Tx, idOrHash string) (*Transaction, error) {
	return nil, errSoon()
}

// TransactionOf returns an execution's transaction, nil if it has none.
func (c *Chain) TransactionOf(tx *db.Tx, executionID string) (*Transaction, error) {
	return nil, errSoon()
}

// Transactions lists transactions, the newest first.
func (c *Chain) Transactions(ctx context.Context, f TransactionFilter, cursor string) ([]*Transaction, string, error) {
	return nil, "", errSoon()
}

// Attempts lists the attempts of a transaction in their order.
func (c *Chain) Attempts(ctx context.Context, id string) ([]Attempt, error) { return nil, errSoon() }
