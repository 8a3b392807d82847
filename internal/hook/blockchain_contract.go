package hook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"caos"
	"caos/internal/auth"
	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/dpp"
	"caos/internal/engine"
	"caos/internal/ethereum"
	"caos/internal/object"
	"caos/internal/registry"
)

// CAOS.PROD.BLOCKCHAIN.CONTRACT, section 10.2: calls a function of a registered contract by a
// transaction, and stays with it until the chain has decided.
//
// Nothing is sent that would fail: the call is tried first. What is signed goes out whatever
// becomes of the execution, because the account's later transactions queue behind it. PENDING
// is said until the block of the transaction is as deep as configuration asks for.

// ContractInput is the hook's input.
type ContractInput struct {
	ContractAddress    string         `json:"contract_address" jsonschema:"pattern=^0x[0-9a-fA-F]{40}$,description=A registered contract. Capital letters are a checksum (EIP-55)."`
	ContractFunction   string         `json:"contract_function" jsonschema:"minLength=1,maxLength=512,description=The function's name; its whole signature where several have the name."`
	FunctionParameters map[string]any `json:"function_parameters"`
	GasLimit           int64          `json:"gas_limit" jsonschema:"minimum=21000,maximum=1000000000"`
}

// ContractOutput is the hook's output.
type ContractOutput struct {
	TransactionID         *string `json:"transaction_id" jsonschema:"pattern=^0x[0-9a-f]{64}$"`
	TransactionStatus     *string `json:"transaction_status" jsonschema:"enum=CONFIRMED,enum=PENDING,enum=FAILED"`
	BlockNumber           *uint64 `json:"block_number"`
	GasUsed               *uint64 `json:"gas_used"`
	TransactionReceiptURI *string `json:"transaction_receipt_uri"`
	OnChainVerification   *string `json:"on_chain_verification_uri"`
}

// The statuses of the output.
const (
	txConfirmed = "CONFIRMED"
	txPending   = "PENDING"
	txFailed    = "FAILED"
)

const contractHook = "CAOS.PROD.BLOCKCHAIN.CONTRACT"

// contractState is what the hook remembers between commits.
type contractState struct {
	In            contractRequest `json:"in"`
	ContractID    string          `json:"contract_id"`          // from step 1
	Function      string          `json:"function"`             // its signature
	Account       string          `json:"account"`              // that signs
	Params        json.RawMessage `json:"params"`               // canonical
	Data          string          `json:"data"`                 // of the call, hex
	ABIDigest     string          `json:"abi_digest,omitempty"` // by which the call was made; "" for one of an earlier version
	GasLimit      uint64          `json:"gas_limit"`            // that the transaction gets
	Project       string          `json:"project"`
	Class         string          `json:"classification"`
	Tried         time.Time       `json:"tried,omitzero"` // when the call, and the contract's code, were tried
	TransactionID string          `json:"transaction_id"` // TX-…, from the reservation
	Verdict       chainVerdict    `json:"verdict"`        // of step 5
	Receipt       object.Ref      `json:"receipt"`        // stored, zero when there is none
	Stored        time.Time       `json:"stored"`         // when; what nothing refers to is swept some time after
	Settled       bool            `json:"settled"`        // nothing is left to wait for
	Out           ContractOutput  `json:"out"`
}

// contractRequest is the input, read: numbers stay what they are.
type contractRequest struct {
	Address  string          `json:"contract_address"` // EIP-55
	Function string          `json:"contract_function"`
	Params   json.RawMessage `json:"function_parameters"`
	GasLimit uint64          `json:"gas_limit"`
}

// blockchainContract holds the only things the hook may touch.
type blockchainContract struct {
	chain     *chain.Chain
	policy    ChainPolicy
	objects   *object.Store
	passports Confirmer
	registry  *registry.Registry
	allowed   func(tx *db.Tx, p caos.Principal, action string, res auth.Resource, further map[string]any) error
	baseURL   string
}

// Confirmer enters into a passport that its transaction is on the chain for good.
type Confirmer interface {
	Confirmed(tx *db.Tx, passportID, hash string, block, chainID uint64) error
}

// confirmer is p, if it can.
func confirmer(p any) Confirmer {
	c, _ := p.(Confirmer)
	return c
}

// BlockchainContract makes the hook.
func BlockchainContract(c Collaborators) *Hook {
	h := &blockchainContract{chain: c.Chain.Chain, policy: c.Chain, objects: c.Objects, passports: confirmer(c.Passports), registry: c.Registry, allowed: c.Allowed, baseURL: c.BaseURL}
	return &Hook{
		ID: contractHook, Version: "1.0.0", Section: "10.2", Title: "Smart Contract Interaction Hook",
		Trigger: "Production event requiring blockchain recording",
		Owner:   "Production Planning Board", Retry: engine.DefaultRetry(), Timeout: 24 * time.Hour,
		Input: reflect.TypeFor[ContractInput](), Output: reflect.TypeFor[ContractOutput](),
		Read: h.read,
		Gates: []Gate{
			{Name: "chain-configured", Action: "This installation has a chain and an account that pays for the function", Test: h.gate(h.chainConfigured)},
			{Name: "contract-registered", Action: "The contract is registered, active and on this chain", Test: h.gate(h.contractKnown)},
			{Name: "function-allowed", Action: "The registration lets a role of the caller call the function", Test: h.gate(h.functionAllowed)},
			{Name: "parameters-fit", Action: "The parameters are those of the function in the contract's ABI", Test: h.gate(h.parametersFit)},
			{Name: "gas-limit", Action: "The gas limit is at most what the registration allows for the function", Test: h.gate(h.gasAllowed)},
		},
		Explain: h.explain,
		Flow:    h.plan().Flow(),
	}
}

func (h *blockchainContract) plan() engine.Plan[contractState] {
	return engine.Plan[contractState]{
		Hook: contractHook, Version: "1.0.0", Revision: 1, Schema: 1,
		Begin: func(_ *engine.Run, input json.RawMessage) (*contractState, error) {
			req, err := readContractInput(input)
			return &contractState{In: req}, err
		},
		Steps: []engine.Step[contractState]{
			engine.InTx(1, "Prepare transaction", "pack-call", h.packCall),
			engine.Call(1, "Prepare transaction", "try-call", h.tryCall).Retry(chainPatience()).Timeout(chainAttempt),
			engine.InTx(1, "Prepare transaction", "reserve-transaction", h.reserveTransaction),
			engine.Call(2, "Sign transaction with authorized key", "sign-transaction", h.signTransaction).Before(h.mayStillCall).Retry(chainPatience()).Timeout(chainAttempt),
			engine.Call(3, "Submit to blockchain network", "submit-transaction", h.submitTransaction).Retry(chainPatience()).Timeout(chainAttempt),
			engine.Repeat("until-final", func(s *contractState) bool { return s.Settled },
				engine.Wait(4, "Monitor transaction confirmation", "await-confirmation", h.awaitConfirmation, h.lookAgain),
				engine.Call(5, "Verify transaction success", "verify-success", h.verifySuccess).Retry(chainPatience()).Timeout(chainAttempt),
				engine.Each("final", (*contractState).final,
					engine.Call(6, "Store transaction receipt", "store-receipt", h.storeReceipt).Retry(chainPatience()).Timeout(chainAttempt),
					engine.InTx(7, "Update local records with tx_id", "update-records", h.updateRecords))),
		},
		Output: func(s *contractState) any { return s.Out },
		Failed: func(s *contractState) bool {
			return s.Out.TransactionStatus != nil && *s.Out.TransactionStatus == txFailed
		},
		Compensate: []engine.Step[contractState]{engine.InTx(7, "Update local records with tx_id", "give-up-transaction", h.giveUp)},
	}
}

// chainAttempt bounds one attempt of a step that asks the chain.
const chainAttempt = 2 * time.Minute

// chainPatience outlives a chain that is down: an execution waits for it as long as it takes,
// and its step says so. Each attempt is two audit records for ever, so that after some minutes
// there is one in two minutes at most: in a measured hour without a chain three executions
// that tried twice a minute had left 800 records.
func chainPatience() engine.RetryPolicy {
	return engine.RetryPolicy{MaxAttempts: 1 << 30, InitialIntervalMS: 1000, MaxIntervalMS: 120_000, Factor: 2, Jitter: 0.2}
}

// patient is the error of an attempt under chainPatience. A chain that is away is waited for;
// a defect is not, for ever.
func patient(r *engine.Run, err error) error {
	switch {
	case err == nil:
		return nil
	case caos.KindOf(err) == caos.Internal && r.Attempt >= engine.DefaultRetry().MaxAttempts:
		return caos.Wrap(caos.Conflict, err, "attempt %d failed in an unforeseen way; the server's log has the cause", r.Attempt)
	case caos.KindOf(err) == caos.Unavailable:
		e := *caos.AsError(err)
		e.Message += "; the execution waits for it"
		return &e
	}
	return err
}

// readContractInput reads the input: what the request alone shows to be wrong is refused here.
func readContractInput(input json.RawMessage) (contractRequest, error) {
	var in struct {
		Address  string          `json:"contract_address"`
		Function string          `json:"contract_function"`
		Params   json.RawMessage `json:"function_parameters"`
		GasLimit uint64          `json:"gas_limit"`
	}
	if err := json.Unmarshal(input, &in); err != nil {
		return contractRequest{}, caos.Wrap(caos.Invalid, err, "the input cannot be read")
	}
	req := contractRequest{Function: in.Function, Params: in.Params, GasLimit: in.GasLimit}
	a := common.HexToAddress(in.Address)
	mixed := in.Address != "0x"+string(bytes.ToLower([]byte(in.Address[min(2, len(in.Address)):]))) && in.Address != "0x"+string(bytes.ToUpper([]byte(in.Address[min(2, len(in.Address)):])))
	switch {
	case !common.IsHexAddress(in.Address):
		return req, caos.Errorf(caos.Invalid, "%q is not an address", clip(in.Address)).WithField("contract_address").WithHint("0x and 40 hexadecimal digits")
	case mixed && in.Address != a.Hex():
		return req, caos.Errorf(caos.Invalid, "%s has a wrong checksum", in.Address).WithField("contract_address").WithRule("address-checksum").
			WithHint("capital letters are a checksum (EIP-55), so a digit or a letter was changed: compare the address with where you have it from")
	}
	req.Address = a.Hex()
	return req, nil
}

// read says what an input names. Project and classification are the contract's; of one that is
// not registered the gate will say so.
func (h *blockchainContract) read(ctx context.Context, input json.RawMessage) (Named, error) {
	req, err := readContractInput(input)
	if err != nil {
		return Named{}, err
	}
	n := Named{Model: modelOf(req.Params)}
	if h.chain == nil {
		return n, noChain()
	}
	k, err := h.chain.Contract(ctx, req.Address)
	if caos.KindOf(err) == caos.NotFound {
		return n, nil
	}
	if err != nil {
		return n, err
	}
	n.Project, n.Classification = k.Project, k.Classification
	for _, id := range namedModels(req.Params) {
		m, err := h.registry.Model(ctx, id)
		if caos.KindOf(err) == caos.NotFound {
			continue
		}
		if err != nil {
			return n, err
		}
		if above(m.Classification, n.highest()) {
			n.InputClassification = m.Classification // it will be refused, to those alone who may know why
		}
	}
	return n, nil
}

// namedModels are the texts among parameters that have the form of a model's id. More than any
// function has are not looked at: they do not fit the ABI.
func namedModels(params json.RawMessage) map[string]string {
	var given map[string]any
	if err := json.Unmarshal(params, &given); err != nil || len(given) > 256 {
		return nil
	}
	out := map[string]string{}
	for name, v := range given {
		if id, ok := v.(string); ok && caos.CheckID("model", "", id) == nil {
			out[name] = id
		}
	}
	return out
}

// modelOf is the model that the parameters name, as recordProduction does, "" for none.
func modelOf(params json.RawMessage) string {
	var p struct {
		ModelID any `json:"modelId"`
	}
	if err := json.Unmarshal(params, &p); err != nil {
		return ""
	}
	id, _ := p.ModelID.(string)
	if caos.CheckID("model", "", id) != nil {
		return ""
	}
	return id
}

func noChain() error {
	return caos.Errorf(caos.Unavailable, "this installation has no chain").WithRule("chain-configured").
		WithHint("add the section chain to caos.yaml (docs/configuration.md) and start the server again")
}

// called is a call that was found well formed and allowed, as far as it was looked at.
type called struct {
	req       contractRequest
	roles     []string
	automatic bool
	contract  *chain.Contract
	function  chain.Allowed
	data      []byte
	params    json.RawMessage
}

// automatic reports whether CAOS itself calls: of its own accord, or as a step of another hook.
func automatic(by caos.Principal, parent string) bool {
	return parent != "" || by.ID == caos.SystemPrincipal().ID
}

// gate makes the test of a gate that needs the call.
func (h *blockchainContract) gate(test func(tx *db.Tx, c *called) (map[string]any, error)) func(*db.Tx, Question) (map[string]any, error) {
	return func(tx *db.Tx, q Question) (map[string]any, error) {
		req, err := readContractInput(q.Input)
		if err != nil {
			return nil, err
		}
		return test(tx, &called{req: req, roles: q.By.Roles, automatic: automatic(q.By, "")})
	}
}

// contractKnown finds the contract that is called.
func (h *blockchainContract) contractKnown(tx *db.Tx, c *called) (map[string]any, error) {
	if h.chain == nil {
		return nil, noChain()
	}
	k, err := h.chain.ContractIn(tx, c.req.Address)
	if caos.KindOf(err) == caos.NotFound {
		return nil, caos.Errorf(caos.NotFound, "no contract is registered at %s", c.req.Address).WithField("contract_address").
			WithRule(chain.RuleContractRegistered).WithHint("caos chain contract register makes it known; caos chain contract list shows what is")
	}
	if err != nil {
		return nil, err
	}
	c.contract = k
	facts := map[string]any{"contract_id": k.ContractID, "name": k.Name, "status": k.Status, "chain_id": k.ChainID}
	switch want := h.chain.Settings().ChainID; {
	case k.Status != chain.Active:
		return facts, caos.Errorf(caos.Conflict, "the contract %s at %s is %s", k.Name, k.Address, k.Status).WithField("contract_address").
			WithRule(chain.RuleContractActive).WithHint("register the contract that took its place")
	case h.chain.Configured() && k.ChainID != want:
		return facts, caos.Errorf(caos.Conflict, "the contract %s is on chain %d and this installation on %d", k.Name, k.ChainID, want).WithField("contract_address").
			WithRule("contract-chain").WithHint("register the contract of this chain")
	}
	return facts, nil
}

// functionAllowed finds what the registration says of the function.
func (h *blockchainContract) functionAllowed(tx *db.Tx, c *called) (map[string]any, error) {
	if _, err := h.contractKnown(tx, c); err != nil {
		return nil, err
	}
	_, f, err := h.chain.Allowed(tx, c.req.Address, c.req.Function, c.roles, c.automatic)
	if err != nil {
		return map[string]any{"contract_function": clip(c.req.Function)}, err
	}
	c.function = f
	return map[string]any{"contract_function": f.Function, "account": f.Account, "max_gas": f.MaxGas}, nil
}

// chainConfigured finds the account that would sign.
func (h *blockchainContract) chainConfigured(tx *db.Tx, c *called) (map[string]any, error) {
	if h.chain == nil || !h.chain.Configured() {
		return nil, noChain()
	}
	s := h.chain.Settings()
	facts := map[string]any{"chain_id": s.ChainID, "confirmations": s.Confirmations}
	if _, err := h.functionAllowed(tx, c); err != nil {
		if tx.Err() != nil {
			return nil, err
		}
		return facts, nil // the gates after this one say so
	}
	if h.policy.Senders[c.function.Account] == "" {
		return facts, caos.Errorf(caos.Unavailable, "the account %s, which sends for %s, is not configured", c.function.Account, c.function.Function).WithRule("chain-configured").
			WithHint("add it to chain.accounts in caos.yaml, or register the contract with another account")
	}
	facts["from"] = h.policy.Senders[c.function.Account]
	return facts, nil
}

// parametersFit turns the parameters into the call's data.
func (h *blockchainContract) parametersFit(tx *db.Tx, c *called) (map[string]any, error) {
	if _, err := h.functionAllowed(tx, c); err != nil {
		return nil, err
	}
	abi, err := c.contract.Interface()
	if err != nil {
		return nil, caos.Wrap(caos.Conflict, err, "the ABI of %s cannot be read", c.contract.ContractID).WithField("contract_address").
			WithHint("replace the registration's ABI")
	}
	var params map[string]any
	dec := json.NewDecoder(bytes.NewReader(c.req.Params))
	dec.UseNumber()
	if err := dec.Decode(&params); err != nil {
		return nil, caos.Wrap(caos.Invalid, err, "the parameters cannot be read").WithField("function_parameters")
	}
	if c.data, c.params, err = abi.Pack(c.function.Function, params); err == nil {
		err = h.forAnybody(tx, c.params)
	}
	return map[string]any{"data_bytes": len(c.data)}, err
}

// forAnybody refuses parameters that name a classified model: anybody reads the chain, and
// nothing there can be taken back.
func (h *blockchainContract) forAnybody(tx *db.Tx, params json.RawMessage) error {
	named := namedModels(params)
	for _, name := range slices.Sorted(maps.Keys(named)) {
		id := named[name]
		m, err := h.registry.ModelIn(tx, id)
		if caos.KindOf(err) == caos.NotFound {
			continue
		}
		if err != nil {
			return err
		}
		if !dpp.Public(m.Classification) {
			return caos.Errorf(caos.Denied, "%s is classified %s, and anybody reads the chain", id, m.Classification).WithField("function_parameters." + name).WithRule(ruleChainPublic).
				WithHint("the published checkpoints of the audit log cover it without naming it")
		}
	}
	return nil
}

// ruleChainPublic keeps what is classified from the chain.
const ruleChainPublic = "chain-public"

// gasAllowed compares the gas limit with the registration's.
func (h *blockchainContract) gasAllowed(tx *db.Tx, c *called) (map[string]any, error) {
	if _, err := h.functionAllowed(tx, c); err != nil {
		return nil, err
	}
	facts := map[string]any{"gas_limit": c.req.GasLimit, "max_gas": c.function.MaxGas}
	if c.req.GasLimit > c.function.MaxGas {
		return facts, caos.Errorf(caos.Denied, "%s may use %d gas at most", c.function.Function, c.function.MaxGas).WithField("gas_limit").WithRule(chain.RuleGasLimit).
			WithHint("lower gas_limit: what is not used is not paid; or have the registration's max_gas raised")
	}
	return facts, nil
}

// resolve asks all gates at once.
func (h *blockchainContract) resolve(tx *db.Tx, c *called) error {
	for _, test := range []func(*db.Tx, *called) (map[string]any, error){h.contractKnown, h.functionAllowed, h.chainConfigured, h.parametersFit, h.gasAllowed} {
		if _, err := test(tx, c); err != nil {
			return err
		}
	}
	return nil
}

// explain tries the call for a dry run.
func (h *blockchainContract) explain(ctx context.Context, d *db.DB, q Question) ([]Verdict, error) {
	v := Verdict{Gate: "call-succeeds", Action: "The call would succeed now, within its gas limit"}
	req, err := readContractInput(q.Input)
	if err != nil {
		return nil, err
	}
	c := called{req: req, roles: q.By.Roles, automatic: automatic(q.By, "")}
	err = d.Write(ctx, func(tx *db.Tx) error { return h.resolve(tx, &c) })
	if err == nil {
		var gas uint64
		if gas, err = h.try(ctx, &c); err == nil {
			v.Facts = map[string]any{"gas_limit": gas}
		}
	}
	var known *caos.Error
	if err != nil && !errors.As(err, &known) {
		return nil, err
	}
	if v.Pass = err == nil; !v.Pass {
		v.Finding = &caos.Finding{Rule: cmp.Or(known.Rule, v.Gate), Message: known.Message, Subject: known.Field, Remedy: known.Hint}
	}
	return []Verdict{v}, nil
}

// try asks the chain whether a call would succeed, and returns the gas limit that its
// transaction gets: what the call needs now and the margin on top, within what was asked for.
func (h *blockchainContract) try(ctx context.Context, c *called) (uint64, error) {
	client := h.chain.Client()
	if client == nil {
		return 0, noChain()
	}
	if err := h.chain.SameCode(ctx, c.contract); err != nil {
		return 0, err
	}
	call := ethereum.Call{From: common.HexToAddress(h.policy.Senders[c.function.Account]), To: common.HexToAddress(c.contract.Address), Data: c.data}
	_, err := client.Call(ctx, call, nil)
	var gas uint64
	if err == nil {
		gas, err = client.Estimate(ctx, call)
	}
	if ethereum.Is(err, ethereum.Reverted) {
		return 0, h.refusal(c, err)
	}
	if err != nil {
		return 0, err
	}
	if gas > c.req.GasLimit {
		return 0, caos.Errorf(caos.Conflict, "the call needs %d gas and gas_limit is %d: nothing was sent", gas, c.req.GasLimit).WithField("gas_limit").WithRule(chain.RuleGasLimit).
			WithHint("set gas_limit to %d or more: what is not used is not paid", withMargin(gas, h.chain.Settings().Margin))
	}
	return min(withMargin(gas, h.chain.Settings().Margin), c.req.GasLimit), nil
}

func withMargin(gas uint64, margin float64) uint64 {
	return uint64(float64(gas)*max(margin, 1) + 0.999999)
}

// refusal is the error of a call that the contract refuses, in the contract's words.
func (h *blockchainContract) refusal(c *called, cause error) error {
	abi, err := c.contract.Interface()
	if err != nil {
		abi = nil
	}
	words := abi.Revert(ethereum.RevertData(cause))
	return caos.Wrap(caos.Conflict, cause, "the contract refuses the call: %s; nothing was sent", words.Text).WithField("function_parameters").WithRule("call-reverts").
		WithHint("correct the parameters, or what the contract finds wrong, and submit it again")
}

func unhex(s string) ([]byte, error) {
	b, err := hex.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("stored call: %w", err)
	}
	return b, nil
}
