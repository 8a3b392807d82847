package chain

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/event"
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
	Confirmations     uint64          `json:"confirmations"`       // blocks on top of it, its own included, at the last look before it became final
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
	RequestedBy       string          `json:"requested_by"` // for whom its execution runs; "" for one that fills a gap
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

const transactionColumns = `transaction_id, execution_id, contract_id, chain_id, address, function, params, data, account, sender, nonce, gas_limit, hash, attempts,
	status, reason, live, asked, lost, overtaken_block, priced_block, priced_at, block_number, block_hash, reverted, gas_used, effective_gas_price, confirmations,
	receipt_digest, subject_kind, subject_id, prepared_at, signed_at, sent_at, mined_at, confirmed_at, project, classification, requested_by`

// row is a transaction with what the keeper alone needs.
type row struct {
	Transaction
	live, asked, lost int64
	overtaken         uint64
	pricedBlock       uint64
	pricedAt          time.Time
	versions          []version // live attempts, where they were asked for
	said              error     // what the network said when it was last sent, nil if it took it
}

func scanRow(scan func(...any) error) (*row, error) {
	var r row
	var params, status, kind, subject string
	var chainID, gas, priced, prepared, signed, sent, mined, confirmed, reverted, overtaken, pricedBlock, confirmations int64
	var nonce, block, used *int64
	err := scan(&r.TransactionID, &r.ExecutionID, &r.ContractID, &chainID, &r.Address, &r.Function, &params, &r.Data, &r.Account, &r.From, &nonce, &gas, &r.Hash, &r.Attempts,
		&status, &r.Reason, &r.live, &r.asked, &r.lost, &overtaken, &pricedBlock, &priced, &block, &r.BlockHash, &reverted, &used, &r.EffectiveGasPrice, &confirmations,
		&r.ReceiptDigest, &kind, &subject, &prepared, &signed, &sent, &mined, &confirmed, &r.Project, &r.Classification, &r.RequestedBy)
	if err != nil {
		return nil, err
	}
	r.ChainID, r.GasLimit, r.Status, r.Params, r.Reverted = uint64(chainID), uint64(gas), Status(status), json.RawMessage(params), reverted == 1
	r.Nonce, r.BlockNumber, r.GasUsed, r.Confirmations = unsigned(nonce), unsigned(block), unsigned(used), uint64(confirmations)
	r.overtaken, r.pricedBlock, r.pricedAt = uint64(overtaken), uint64(pricedBlock), db.Moment(priced)
	r.PreparedAt, r.SignedAt, r.SentAt, r.MinedAt, r.ConfirmedAt = db.Moment(prepared), db.Optional(signed), db.Optional(sent), db.Optional(mined), db.Optional(confirmed)
	r.Hashes = []string{}
	if kind != "" {
		r.Subject = &Subject{Kind: SubjectKind(kind), ID: subject}
	}
	return &r, nil
}

// unsigned turns a column that may be NULL into a number that may be missing.
func unsigned(n *int64) *uint64 {
	if n == nil {
		return nil
	}
	u := uint64(*n)
	return &u
}

// Prepare reserves a transaction for an execution, which has one at most: the same again
// answers it, whatever became of it. Its gates are the hook's.
func (c *Chain) Prepare(tx *db.Tx, r Request, by By) (*Transaction, error) {
	if r.ExecutionID == "" || r.ContractID == "" || r.Function == "" {
		return nil, caos.Errorf(caos.Internal, "a transaction belongs to an execution and calls a function of a contract")
	}
	old, err := c.TransactionOf(tx, r.ExecutionID)
	if err != nil || old != nil {
		return old, err
	}
	signer, known := c.opt.Signers[r.Account]
	if !known || c.net == nil {
		return nil, errNoChain()
	}
	to, err := parseAddress("contract_address", r.Address)
	if err != nil {
		return nil, err
	}
	if r.GasLimit < minGas || r.GasLimit > maxGas {
		return nil, caos.Errorf(caos.Invalid, "a gas limit is %d to %d", minGas, maxGas).WithField("gas_limit").WithRule(RuleGasLimit)
	}
	if len(r.Params) == 0 {
		r.Params = json.RawMessage("{}")
	}
	subject := Subject{}
	if r.Subject != nil {
		subject = *r.Subject
	}
	id := c.opt.Stamps.ID("TX-")
	tx.Exec(`INSERT INTO chain_transactions (transaction_id, execution_id, contract_id, chain_id, address, function, params, data, account, sender, nonce, gas_limit, hash,
			attempts, status, reason, live, asked, lost, overtaken_block, priced_block, priced_at, block_number, block_hash, reverted, gas_used, effective_gas_price,
			confirmations, receipt_digest, subject_kind, subject_id, prepared_at, signed_at, sent_at, mined_at, confirmed_at, project, classification, requested_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, NULL, $11, '', 0, 'PREPARED', '', 1, 0, 0, 0, 0, 0, NULL, '', 0, NULL, '', 0, '', $12, $13, $14, 0, 0, 0, 0, $15, $16, $17)`,
		id, r.ExecutionID, r.ContractID, int64(c.opt.Settings.ChainID), to.Hex(), r.Function, string(r.Params), "0x"+hex.EncodeToString(r.Data), r.Account, signer.Address().Hex(),
		int64(r.GasLimit), string(subject.Kind), subject.ID, c.now().UnixMicro(), r.Project, r.Classification, by.Actor)
	t, err := c.TransactionIn(tx, id)
	if err != nil {
		return nil, err
	}
	return t, c.transactionRecord(tx, by, t, "transaction prepared", map[string]any{"function": t.Function, "parameters": t.Params, "gas_limit": t.GasLimit, "from": t.From})
}

// transactionRecord appends the audit record of what happened to a transaction.
func (c *Chain) transactionRecord(tx *db.Tx, by By, t *Transaction, what string, more map[string]any) error {
	details := map[string]any{"event": what, "status": t.Status, "contract_address": t.Address, "chain_id": t.ChainID}
	if t.Hash != "" {
		details["hash"] = t.Hash
	}
	for name, v := range more {
		details[name] = v
	}
	resources := []string{t.TransactionID}
	if t.ContractID != "" {
		resources = append(resources, t.ContractID)
	}
	if t.Subject != nil {
		resources = append(resources, t.Subject.ID)
	}
	return c.record(tx, by, auditlog.Record{Resources: resources, Details: details, Project: t.Project, Classification: t.Classification})
}

// tell emits the event of a change.
func (c *Chain) tell(tx *db.Tx, kind string, t *Transaction, reorganised bool) error {
	return c.opt.Events.Emit(tx, event.Event{Type: kind, Subject: t.TransactionID, Project: t.Project, Classification: t.Classification,
		Data: TransactionEvent{TransactionID: t.TransactionID, ExecutionID: t.ExecutionID, Hash: t.Hash, Status: t.Status, Reason: t.Reason, BlockNumber: t.BlockNumber,
			Subject: t.Subject, Reorganised: reorganised}})
}

// wake makes a transaction's execution look again.
func (c *Chain) wake(tx *db.Tx, t *Transaction) error {
	if t.ExecutionID == "" {
		return nil
	}
	if err := c.opt.Wake(tx, t.ExecutionID); err != nil {
		// An execution that cannot be woken looks by itself in the end. It must not hold up
		// what the chain says of others.
		c.log.Warn("chain: cannot wake an execution", "execution", t.ExecutionID, "error", err)
	}
	return tx.Err()
}

// GiveUp ends a PREPARED transaction FAILED. One that is FAILED already stays as it is; any
// other is a Conflict: it will be mined.
func (c *Chain) GiveUp(tx *db.Tx, id, reason string, by By) (*Transaction, error) {
	t, err := c.TransactionIn(tx, id)
	if err != nil || t.Status == Failed {
		return t, err
	}
	signed := caos.Errorf(caos.Conflict, "%s is %s: it goes its way on the chain", id, t.Status).WithHint("what it recorded can be recorded anew, not taken back")
	if t.Status != Prepared || t.Attempts > 0 {
		return nil, signed
	}
	return t, c.giveUp(tx, t, ReasonGivenUp+": "+clip(reason, maxReason), by)
}

// giveUp ends a transaction of which nothing is, or can be, on the chain.
func (c *Chain) giveUp(tx *db.Tx, t *Transaction, reason string, by By) error {
	now := c.now()
	tx.ExecOne(errMoved(t), `UPDATE chain_transactions SET status = 'FAILED', reason = $1, live = 0, asked = 0, nonce = NULL, confirmed_at = $2 WHERE transaction_id = $3 AND status = $4`,
		reason, now.UnixMicro(), t.TransactionID, string(t.Status))
	t.Status, t.Reason, t.ConfirmedAt, t.Nonce = Failed, reason, &now, nil
	if _, err := c.Settle(tx, t.ExecutionID, t); err != nil {
		return err
	}
	return errors.Join(c.transactionRecord(tx, by, t, "transaction failed", map[string]any{"reason": reason}), c.tell(tx, EventFailed, t, false), c.wake(tx, t))
}

func errMoved(t *Transaction) error {
	return caos.Errorf(caos.Unavailable, "%s was changed meanwhile", t.TransactionID)
}

// clip bounds a text that others wrote to what a row and a page can hold.
func clip(text string, most int) string {
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "?")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// StoreReceipt notes the digest of the receipt that was stored as an object.
func (c *Chain) StoreReceipt(tx *db.Tx, id, digest string) error {
	if !strings.HasPrefix(digest, "SHA256:") || len(digest) != len("SHA256:")+64 {
		return caos.Errorf(caos.Internal, "not a digest of a receipt")
	}
	tx.ExecOne(caos.Errorf(caos.NotFound, "there is no transaction %.60q", id), `UPDATE chain_transactions SET receipt_digest = $1 WHERE transaction_id = $2`, digest, id)
	return nil
}

// rows reads transactions, with the hashes of all their attempts.
func rows(q query, where string, args ...any) ([]*row, error) {
	var out []*row
	byID := map[string]*row{}
	err := q(`SELECT `+transactionColumns+` FROM chain_transactions WHERE `+where, args, func(scan func(...any) error) error {
		r, err := scanRow(scan)
		if err == nil {
			out = append(out, r)
			byID[r.TransactionID] = r
		}
		return err
	})
	if err != nil || len(out) == 0 {
		return out, err
	}
	return out, hashes(q, byID)
}

// some is how many ids go into one statement.
const some = 200

// hashes reads the attempts' hashes of transactions.
func hashes(q query, byID map[string]*row) error {
	ids := make([]any, 0, len(byID))
	for id, r := range byID {
		if r.Attempts > 0 {
			ids = append(ids, id)
		}
	}
	for len(ids) > 0 {
		part := ids[:min(some, len(ids))]
		ids = ids[len(part):]
		err := q(`SELECT transaction_id, hash FROM chain_attempts WHERE transaction_id IN (`+places(1, len(part))+`) ORDER BY transaction_id, n`, part,
			func(scan func(...any) error) error {
				var id, hash string
				err := scan(&id, &hash)
				if r := byID[id]; r != nil {
					r.Hashes = append(r.Hashes, hash)
				}
				return err
			})
		if err != nil {
			return err
		}
	}
	return nil
}

// places are n placeholders from $first on.
func places(first, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("$" + strconv.Itoa(first+i))
	}
	return b.String()
}

func findTransaction(q query, key string) (*Transaction, error) {
	missing := caos.Errorf(caos.NotFound, "there is no transaction %.80q, or it is not for you", key).WithHint("caos transaction list shows those there are")
	if !db.Storable(key) || key == "" {
		return nil, missing
	}
	where := `transaction_id = $1`
	if strings.HasPrefix(key, "0x") {
		key, where = strings.ToLower(key), `transaction_id = (SELECT transaction_id FROM chain_attempts WHERE hash = $1)`
	}
	found, err := rows(q, where, key)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, missing
	}
	return &found[0].Transaction, nil
}

// Transaction returns a transaction by its id or the hash of one of its attempts, or NotFound.
func (c *Chain) Transaction(ctx context.Context, idOrHash string) (*Transaction, error) {
	return findTransaction(c.opt.DB.Reader(ctx), idOrHash)
}

// TransactionIn is Transaction as a transaction of the database sees it.
func (c *Chain) TransactionIn(tx *db.Tx, idOrHash string) (*Transaction, error) {
	return findTransaction(tx.Query, idOrHash)
}

// TransactionOf returns an execution's transaction, nil if it has none.
func (c *Chain) TransactionOf(tx *db.Tx, executionID string) (*Transaction, error) {
	if executionID == "" || !db.Storable(executionID) {
		return nil, nil
	}
	found, err := rows(tx.Query, `execution_id = $1`, executionID)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0].Transaction, nil
}

// Transactions lists transactions, the newest first.
func (c *Chain) Transactions(ctx context.Context, f TransactionFilter, cursor string) ([]*Transaction, string, error) {
	w := new(db.Where)
	w.Is("status", string(f.Status))
	w.Is("contract_id", f.ContractID)
	w.Is("execution_id", f.ExecutionID)
	w.Is("sender", f.From)
	w.Is("subject_kind", string(f.SubjectKind))
	w.Is("subject_id", f.SubjectID)
	w.Is("project", f.Project)
	if f.Open {
		w.And("live = 1")
	}
	q := c.opt.DB.Reader(ctx)
	list, next, err := db.Page(q, w, db.Listing[*row]{Columns: transactionColumns, From: "chain_transactions", At: "prepared_at", ID: "transaction_id", Limit: f.Limit,
		Scan: scanRow, Key: func(r *row) (time.Time, string) { return r.PreparedAt, r.TransactionID },
	}, cursor)
	if err != nil {
		return nil, "", err
	}
	out, byID := make([]*Transaction, len(list)), map[string]*row{}
	for i, r := range list {
		out[i], byID[r.TransactionID] = &r.Transaction, r
	}
	return out, next, hashes(q, byID)
}

// Attempts lists the attempts of a transaction in their order.
func (c *Chain) Attempts(ctx context.Context, id string) ([]Attempt, error) {
	out := []Attempt{}
	if !db.Storable(id) {
		return out, nil
	}
	err := c.opt.DB.Reader(ctx)(`SELECT n, hash, nonce, max_fee, tip, cancels, dead, signed_at, sent_at, error FROM chain_attempts WHERE transaction_id = $1 ORDER BY n`, []any{id},
		func(scan func(...any) error) error {
			var a Attempt
			var nonce, cancels, dead, signed, sent int64
			err := scan(&a.Number, &a.Hash, &nonce, &a.MaxFee, &a.Tip, &cancels, &dead, &signed, &sent, &a.Error)
			a.Nonce, a.Cancels, a.Dead, a.SignedAt, a.SentAt = uint64(nonce), cancels == 1, dead == 1, db.Moment(signed), db.Optional(sent)
			out = append(out, a)
			return err
		})
	return out, err
}
