package chain

import (
	"context"
	"encoding/json"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/ethereum"
)

// ContractStatus says whether a contract may be called.
type ContractStatus string

// The states of a contract.
const (
	Active  ContractStatus = "ACTIVE"
	Retired ContractStatus = "RETIRED"
)

// Allowed is a function of a contract that may be called.
type Allowed struct {
	Function  string   `json:"function"`  // signature, such as "recordProduction(string,string,bytes32,uint64)"; a name that only one function has is turned into it
	Roles     []string `json:"roles"`     // whoever holds one of them may call it
	Account   string   `json:"account"`   // name of the account that signs
	Automatic bool     `json:"automatic"` // CAOS may call it of itself
	MaxGas    uint64   `json:"max_gas"`   // the highest gas limit of a call
}

// Contract is a contract that may be called. It is registered by a person, once.
type Contract struct {
	ContractID     string          `json:"contract_id"` // CTR-<stamp>, set by Register
	Address        string          `json:"address"`     // EIP-55
	ChainID        uint64          `json:"chain_id"`
	Name           string          `json:"name"`
	ABI            json.RawMessage `json:"abi,omitempty"` // canonical; not in lists
	ABIDigest      string          `json:"abi_digest"`    // SHA256:… of ABI
	CodeHash       string          `json:"code_hash"`     // keccak256 of the code at registration, 0x…; see Chain.CodeHash
	Functions      []Allowed       `json:"functions"`
	Project        string          `json:"project"`
	Classification string          `json:"classification"`
	Status         ContractStatus  `json:"status"`
	Version        int64           `json:"version"` // grows with every change, for ETags
	RegisteredBy   string          `json:"registered_by"`
	RegisteredAt   time.Time       `json:"registered_at"`
	ChangedAt      time.Time       `json:"changed_at"`
	RetiredAt      *time.Time      `json:"retired_at"`
	RetiredBy      string          `json:"retired_by"`
	RetiredReason  string          `json:"retired_reason"`
}

// Interface is the contract's ABI, parsed. Lists have none.
func (c *Contract) Interface() (*ethereum.ABI, error) { return ethereum.ParseABI(c.ABI) }

// ContractFilter chooses contracts; empty fields match all.
type ContractFilter struct {
	Status  ContractStatus
	Address string
	Project string
	Limit   int // of a page; 0 means 100
}

// Rules that refuse a registration or a call.
const (
	RuleFunctionForbidden  = "function-forbidden"  // roles, ownership, pause, upgrades: people alone
	RuleFunctionAllowed    = "function-allowed"    // not among the contract's functions, not for these roles, not of itself
	RuleContractRegistered = "contract-registered" // no contract at this address
	RuleContractActive     = "contract-active"     // retired
	RuleContractCode       = "contract-code"       // no code there, or another than was registered
	RuleGasLimit           = "gas-limit"           // beyond what the function is allowed
)

// CodeHash asks the network for the code at an address and returns its hash (keccak256,
// 0x…). It is to be called outside a transaction. An address without code is Invalid, with
// the rule contract-code.
func (c *Chain) CodeHash(ctx context.Context, address string) (string, error) {
	return "", errSoon()
}

// Register stores a contract; address, name, ABI, code hash, functions, project and
// classification are read. The same contract again answers the one there is. Errors:
// Invalid by the field; Denied, with the rule function-forbidden, for a function that
// CAOS never calls; Conflict for an address that is registered.
func (c *Chain) Register(tx *db.Tx, k Contract, by By) (*Contract, error) { return nil, errSoon() }

// Replace changes name, functions, ABI, code hash, project and classification of a contract. version is the
// revision that the caller has seen, 0 for any. Errors as Register's, and Conflict for
// another revision or a retired contract.
func (c *Chain) Replace(tx *db.Tx, id string, version int64, k Contract, by By) (*Contract, error) {
	return nil, errSoon()
}

// Retire takes a contract out of use: nothing is sent to it any more, except what is signed.
// version is the revision that the caller has seen, 0 for any.
func (c *Chain) Retire(tx *db.Tx, id string, version int64, reason string, by By) (*Contract, error) {
	return nil, errSoon()
}

// Contract returns a contract by its id, or the one that is registered at an address; of
// several in the course of time the active one, else the newest. Else NotFound.
func (c *Chain) Contract(ctx context.Context, idOrAddress string) (*Contract, error) {
	return nil, errSoon()
}

// ContractIn is Contract as a transaction sees it.
func (c *Chain) ContractIn(tx *db.Tx, idOrAddress string) (*Contract, error) { return nil, errSoon() }

// Contracts lists contracts without their ABIs, the newest first.
func (c *Chain) Contracts(ctx context.Context, f ContractFilter, cursor string) ([]*Contract, string, error) {
	return nil, "", errSoon()
}

// Allowed returns the contract at an address and what is allowed of a function of it
// (signature, or a name that only one function has). automatic says that CAOS calls of
// itself: then roles do not count. Errors: NotFound and Conflict, field contract_address;
// Denied, field contract_function; each with its rule.
func (c *Chain) Allowed(tx *db.Tx, address, function string, roles []string, automatic bool) (*Contract, Allowed, error) {
	return nil, Allowed{}, errSoon()
}

func errSoon() error { return caos.Errorf(caos.Unavailable, "not built yet") }
