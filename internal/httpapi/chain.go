package httpapi

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/auth"
	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/ethereum"
)

// The chain: the contracts that may be called, what was sent to them, and what of ours is
// recorded there. Sending is for the hook CAOS.PROD.BLOCKCHAIN.CONTRACT.

// ContractBody registers a contract, or changes what is registered of it.
type ContractBody struct {
	Address        string         `json:"address" maxLength:"42" doc:"of the contract, 0x and 40 hexadecimal digits; mixed case is checked (EIP-55)" example:"0x5FbDB2315678afecb367f032d93F642f64180aa3"`
	Name           string         `json:"name" minLength:"1" maxLength:"200"`
	ABI            []any          `json:"abi,omitempty" maxItems:"2000" doc:"as compilers write it; the product's own registry if left out"`
	Functions      []FunctionBody `json:"functions" minItems:"1" maxItems:"100"`
	Project        string         `json:"project,omitempty" maxLength:"100"`
	Classification string         `json:"classification,omitempty" enum:"Public,Internal,Restricted,Confidential,Regulated"`
}

// FunctionBody is a function that may be called.
type FunctionBody struct {
	Function  string   `json:"function" minLength:"1" maxLength:"400" doc:"its name, or its signature where several have that name" example:"recordProduction"`
	Roles     []string `json:"roles" maxItems:"20" doc:"whoever holds one of them may call it"`
	Account   string   `json:"account" minLength:"1" maxLength:"64" doc:"name of the account in the configuration that signs and pays"`
	Automatic bool     `json:"automatic,omitempty" doc:"CAOS may call it of itself: for passports, audit records and checkpoints"`
	MaxGas    uint64   `json:"max_gas,omitempty" minimum:"21000" maximum:"30000000" doc:"the highest gas_limit of a call; 500000 if left out"`
}

// ChainContractPath names a contract on the chain.
type ChainContractPath struct {
	ID string `path:"contract" maxLength:"200" doc:"CTR-…, or its address"`
}

type chainContractEditPath struct {
	ChainContractPath
	IfMatch string `header:"If-Match" maxLength:"64" doc:"ETag of the registration that is changed"`
}

type chainContractList struct {
	Paging
	Status  string `query:"status" enum:"ACTIVE,RETIRED"`
	Address string `query:"address" maxLength:"42"`
	Project string `query:"project" maxLength:"100"`
}

type transactionList struct {
	Paging
	Status    string `query:"status" enum:"PREPARED,SIGNED,SENT,MINED,CONFIRMED,FAILED"`
	Open      bool   `query:"open" doc:"only those that are not final"`
	Contract  string `query:"contract_id" maxLength:"100"`
	Execution string `query:"execution_id" maxLength:"200"`
	From      string `query:"from" maxLength:"42" doc:"the account that sent"`
	Kind      string `query:"subject_kind" enum:"passport,audit,evidence,checkpoint"`
	Subject   string `query:"subject_id" maxLength:"300"`
	Project   string `query:"project" maxLength:"100"`
}

// TransactionPath names a transaction.
type TransactionPath struct {
	ID string `path:"transaction_id" maxLength:"200" doc:"TX-…, or its hash" example:"TX-20261122T101500.123456Z"`
}

// TransactionView is a transaction with all that was signed for it.
type TransactionView struct {
	chain.Transaction
	AttemptList []chain.Attempt `json:"attempt_list" nullable:"false" doc:"what was signed, in its order; all but the one that was mined do nothing"`
	Explorer    string          `json:"explorer_uri" doc:"its page at the explorer that is configured; \"\" without one"`
	Receipt     string          `json:"transaction_receipt_uri" doc:"its stored receipt; \"\" before there is one"`

	sheet *transactionSheet // for a page
}

type subjectList struct {
	Paging
	Kind    string `query:"kind" enum:"passport,audit,evidence,checkpoint"`
	State   string `query:"state" enum:"WANTED,STARTED,CONFIRMED,FAILED"`
	Project string `query:"project" maxLength:"100"`
}

// SubjectPath names something of ours that is recorded.
type SubjectPath struct {
	Kind string `path:"kind" enum:"passport,audit,evidence,checkpoint"`
	ID   string `path:"id" maxLength:"300"`
}

// defaultMaxGas is the highest gas limit of a call unless the registration says otherwise:
// that of the specification's example.
const defaultMaxGas = 500_000

func (a *API) registerChain() {
	operation(a, get("/v1/chain", may("chain:read")).as("chain-status", "chain", "Endpoints, accounts, and how far the recording is").
		about("It asks the endpoints, and takes as long as the slowest of them, 10 seconds at most."),
		func(c *call, _ *none, _ *none) (*chain.ChainStatus, error) { return a.Chain.Status(c.ctx()) })
	read, write := may("smartcontract:read"), mayWithMFA("smartcontract:write")
	operation(a, get("/v1/chain/contracts", read).as("list-chain-contracts", "chain", "Contracts that may be called, newest first"), a.listChainContracts)
	operation(a, post("/v1/chain/contracts", write).answers(http.StatusCreated).as("register-chain-contract", "chain", "Register a contract that may be called").
		about("With the functions that CAOS.PROD.BLOCKCHAIN.CONTRACT may call, for which roles, and which account signs. "+
			"Functions that give power over the contract (roles, ownership, pause, upgrade) are refused: those are for people with keys of their own. The code at the address is hashed and must stay; of a proxy also the code that it calls in its place, which the answer names."),
		a.registerChainContract)
	operation(a, get("/v1/chain/contracts/{contract}", read).as("get-chain-contract", "chain", "A contract that may be called"),
		func(c *call, p *ChainContractPath, _ *none) (*chain.Contract, error) {
			k, err := a.chainContract(c, p.ID)
			if err == nil {
				c.set("ETag", etag(k.Version))
			}
			return k, err
		})
	operation(a, put("/v1/chain/contracts/{contract}", write).as("replace-chain-contract", "chain", "Change what is registered of a contract"), a.replaceChainContract)
	operation(a, post("/v1/chain/contracts/{contract}/retire", write).as("retire-chain-contract", "chain", "Take a contract out of use").
		about("Nothing more is sent to it, except what is signed already."), a.retireChainContract)
	see := may("transaction:read")
	operation(a, get("/v1/transactions", see).as("list-transactions", "chain", "Transactions, latest first"), a.listTransactions)
	operation(a, get("/v1/transactions/{transaction_id}", see).as("get-transaction", "chain", "A transaction, with every attempt that was signed for it"), a.getTransaction)
	a.plain(get("/v1/transactions/{transaction_id}/receipt", see).as("get-transaction-receipt", "chain", "The stored receipt of a transaction").
		about("JSON: the transaction, its receipt, the decoded events and the block's header, as they were when it was believed."),
		huma.Operation{
			Parameters: []*huma.Param{param("transaction_id", "path", "TX-… or its hash", words())},
			Responses:  binary("200", "The receipt; Content-Digest says which bytes", "application/json"),
		}, a.transactionReceipt)
	operation(a, get("/v1/chain/records", see).as("list-chain-records", "chain", "What of this installation is recorded on the chain, or is to be, latest first"), a.listSubjects)
	operation(a, get("/v1/chain/records/{kind}/{id}", see).as("get-chain-record", "chain", "How far the recording of something is"),
		func(c *call, p *SubjectPath, _ *none) (*chain.Subject, error) { return a.subject(c, p) })
	operation(a, post("/v1/chain/records/{kind}/{id}/again", may("anchor:write")).as("retry-chain-record", "chain", "Try to record again what FAILED"), a.recordAgain)
}

func chainContractResource(k *chain.Contract) auth.Resource {
	return auth.Resource{Type: "Smartcontract", ID: k.ContractID, Project: k.Project, Classification: k.Classification}
}

func transactionResource(t *chain.Transaction) auth.Resource {
	return auth.Resource{Type: "Transaction", ID: t.TransactionID, Project: t.Project, Classification: t.Classification, Owner: t.RequestedBy}
}

func subjectResource(s *chain.Subject) auth.Resource {
	return auth.Resource{Type: "Transaction", ID: s.ID, Project: s.Project, Classification: s.Classification}
}

// sender is the caller, for the records of the chain.
func (c *call) sender() chain.By { return chain.By{Actor: c.by.ID, RecordedBy: c.by.ID} }

func (a *API) listChainContracts(c *call, p *chainContractList, _ *none) (Page[*chain.Contract], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*chain.Contract]{}, err
	}
	f := chain.ContractFilter{Status: chain.ContractStatus(p.Status), Address: p.Address, Project: onlyProject(sees, p.Project)}
	return lister[chain.Contract]{
		read: func(cursor string, limit int) ([]*chain.Contract, string, error) {
			f.Limit = limit
			return a.Chain.Contracts(c.ctx(), f, cursor)
		},
		resource: chainContractResource,
		key:      func(k *chain.Contract) (time.Time, string) { return k.RegisteredAt, k.ContractID },
	}.page(sees, p.Limit, p.Cursor)
}

// chainContract returns a contract that the caller may see.
func (a *API) chainContract(c *call, id string) (*chain.Contract, error) {
	const hint = "caos chain contract list shows those that are for you"
	k, err := a.Chain.Contract(c.ctx(), id)
	if err != nil {
		return nil, hinted(c.unknown("contract on the chain", err), hint)
	}
	return k, hinted(a.seeFor(c, "smartcontract:read", "contract on the chain", chainContractResource(k)), hint)
}

// stated is a registration as a caller states it, with the hash of the code that the network
// has there now.
func (a *API) stated(c *call, body *ContractBody) (chain.Contract, error) {
	k := chain.Contract{Address: body.Address, Name: body.Name, Project: body.Project, Classification: body.Classification}
	var err error
	if len(body.ABI) > 0 {
		k.ABI, err = json.Marshal(body.ABI)
	} else {
		_, k.ABI, err = ethereum.RegistryABI()
	}
	if err != nil {
		return k, fmt.Errorf("abi: %w", err)
	}
	for _, f := range body.Functions {
		if f.MaxGas == 0 {
			f.MaxGas = defaultMaxGas
		}
		k.Functions = append(k.Functions, chain.Allowed{Function: f.Function, Roles: filled(f.Roles), Account: f.Account, Automatic: f.Automatic, MaxGas: f.MaxGas})
	}
	code, err := a.Chain.Code(c.ctx(), body.Address)
	k.CodeHash, k.Implementations = code.Hash, code.Implementations
	return k, err
}

func (a *API) registerChainContract(c *call, _ *none, body *ContractBody) (*chain.Contract, error) {
	k, err := a.stated(c, body)
	if err != nil {
		return nil, err
	}
	var made *chain.Contract
	err = a.DB.Update(c.ctx(), func(tx *db.Tx) (err error) {
		if made, err = a.Chain.Register(tx, k, c.sender()); err != nil {
			return err
		}
		return a.authorize(c, tx, chainContractResource(made))
	})
	if err != nil {
		return nil, err
	}
	c.set("Location", "/v1/chain/contracts/"+url.PathEscape(made.ContractID))
	c.set("ETag", etag(made.Version))
	return made, nil
}

func (a *API) replaceChainContract(c *call, p *chainContractEditPath, body *ContractBody) (*chain.Contract, error) {
	revision, err := seen(p.IfMatch)
	if err != nil {
		return nil, err
	}
	before, err := a.chainContract(c, p.ID)
	if err != nil {
		return nil, err
	}
	k, err := a.stated(c, body)
	if err != nil {
		return nil, err
	}
	return a.changeChainContract(c, before.ContractID, func(tx *db.Tx) (*chain.Contract, error) {
		return a.Chain.Replace(tx, before.ContractID, revision, k, c.sender())
	})
}

func (a *API) retireChainContract(c *call, p *chainContractEditPath, body *ReasonBody) (*chain.Contract, error) {
	revision, err := seen(p.IfMatch)
	if err != nil {
		return nil, err
	}
	before, err := a.chainContract(c, p.ID)
	if err != nil {
		return nil, err
	}
	return a.changeChainContract(c, before.ContractID, func(tx *db.Tx) (*chain.Contract, error) {
		return a.Chain.Retire(tx, before.ContractID, revision, body.Reason, c.sender())
	})
}

// changeChainContract runs do for somebody who may change the contract as it is, and as it
// would be.
func (a *API) changeChainContract(c *call, id string, do func(tx *db.Tx) (*chain.Contract, error)) (*chain.Contract, error) {
	var after *chain.Contract
	err := a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		before, err := a.Chain.ContractIn(tx, id)
		if err != nil {
			return err
		}
		if err := a.authorize(c, tx, chainContractResource(before)); err != nil {
			return err
		}
		if after, err = do(tx); err != nil {
			return err
		}
		return a.authorize(c, tx, chainContractResource(after))
	})
	if err != nil {
		return nil, stale(err)
	}
	c.set("ETag", etag(after.Version))
	return after, nil
}

func (a *API) listTransactions(c *call, p *transactionList, _ *none) (Page[*chain.Transaction], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*chain.Transaction]{}, err
	}
	f := chain.TransactionFilter{Status: chain.Status(p.Status), Open: p.Open, ContractID: p.Contract, ExecutionID: p.Execution, From: p.From,
		SubjectKind: chain.SubjectKind(p.Kind), SubjectID: p.Subject, Project: onlyProject(sees, p.Project)}
	return lister[chain.Transaction]{
		read: func(cursor string, limit int) ([]*chain.Transaction, string, error) {
			f.Limit = limit
			list, next, err := a.Chain.Transactions(c.ctx(), f, cursor)
			if err == nil {
				err = a.unsent(c, list...)
			}
			return list, next, err
		},
		resource: transactionResource,
		key:      func(t *chain.Transaction) (time.Time, string) { return t.PreparedAt, t.TransactionID },
	}.page(sees, p.Limit, p.Cursor)
}

// transaction returns a transaction that the caller may see.
func (a *API) transaction(c *call, id string) (*chain.Transaction, error) {
	const hint = "caos transaction list shows those that are for you"
	t, err := a.Chain.Transaction(c.ctx(), id)
	if err != nil {
		return nil, hinted(c.unknown("transaction", err), hint)
	}
	if err := a.unsent(c, t); err != nil {
		return nil, err
	}
	return t, hinted(a.seeFor(c, "transaction:read", "transaction", transactionResource(t)), hint)
}

func (a *API) getTransaction(c *call, p *TransactionPath, _ *none) (*TransactionView, error) {
	t, err := a.transaction(c, p.ID)
	if err != nil {
		return nil, err
	}
	v := &TransactionView{Transaction: *t, Explorer: a.Chain.ExplorerURL(t.Hash)}
	if !t.Status.Final() {
		if v.Reason, err = a.Chain.Waits(c.ctx(), t); err != nil {
			return nil, err
		}
	}
	if t.ReceiptDigest != "" {
		v.Receipt = a.BaseURL + "/v1/transactions/" + url.PathEscape(t.TransactionID) + "/receipt"
	}
	attempts, err := a.Chain.Attempts(c.ctx(), t.TransactionID)
	v.AttemptList = filled(attempts)
	if err == nil && c.wantsPage() {
		v.sheet, err = a.transactionSheet(c, v)
	}
	return v, err
}

func (a *API) transactionReceipt(c *call) error {
	t, err := a.transaction(c, c.path("transaction_id"))
	if err != nil {
		return err
	}
	if t.ReceiptDigest == "" || a.Objects == nil {
		return caos.Errorf(caos.NotFound, "the transaction has no receipt yet: it is %s", t.Status).WithField("transaction_id").
			WithHint("a receipt is stored once the transaction is believed")
	}
	f, size, err := a.Objects.VerifyReader(t.ReceiptDigest)
	if err != nil {
		return err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, size))
	if err != nil {
		return err
	}
	return c.signed(raw, t.ReceiptDigest, jsonMedia)
}

func (a *API) listSubjects(c *call, p *subjectList, _ *none) (Page[*chain.Subject], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*chain.Subject]{}, err
	}
	f := chain.SubjectFilter{Kind: chain.SubjectKind(p.Kind), State: chain.SubjectState(p.State), Project: onlyProject(sees, p.Project)}
	return lister[chain.Subject]{
		read: func(cursor string, limit int) ([]*chain.Subject, string, error) {
			f.Limit = limit
			list, next, err := a.Chain.Subjects(c.ctx(), f, cursor)
			if err == nil {
				err = a.classified(c, list...)
			}
			return list, next, err
		},
		resource: subjectResource,
		key:      func(s *chain.Subject) (time.Time, string) { return s.WantedAt, s.ID },
	}.page(sees, p.Limit, p.Cursor)
}

// subject returns how far the recording of something is, for whoever may know of it.
func (a *API) subject(c *call, p *SubjectPath) (*chain.Subject, error) {
	s, err := a.Chain.SubjectOf(c.ctx(), chain.SubjectKind(p.Kind), p.ID)
	if err != nil {
		return nil, err
	}
	const hint = "caos chain record list shows those that are for you"
	if s == nil {
		return nil, hinted(c.absent("record on the chain"), hint)
	}
	if err := a.classified(c, s); err != nil {
		return nil, err
	}
	return s, hinted(a.seeFor(c, "transaction:read", "record on the chain", subjectResource(s)), hint)
}

func (a *API) recordAgain(c *call, p *SubjectPath, _ *none) (*chain.Subject, error) {
	if _, err := a.subject(c, p); err != nil {
		return nil, err
	}
	var after *chain.Subject
	err := a.DB.Update(c.ctx(), func(tx *db.Tx) (err error) {
		if err := a.authorize(c, tx, auth.Resource{Type: "Anchor", ID: p.Kind + ":" + p.ID}); err != nil {
			return err
		}
		after, err = a.Chain.Again(tx, chain.SubjectKind(p.Kind), p.ID, c.sender())
		return err
	})
	return after, err
}
