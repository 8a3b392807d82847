package chain

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/ethereum/go-ethereum/common"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/codec"
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
	ContractID string          `json:"contract_id"` // CTR-<stamp>, set by Register
	Address    string          `json:"address"`     // EIP-55
	ChainID    uint64          `json:"chain_id"`
	Name       string          `json:"name"`
	ABI        json.RawMessage `json:"abi,omitempty"` // canonical; not in lists
	ABIDigest  string          `json:"abi_digest"`    // SHA256:… of ABI
	CodeHash   string          `json:"code_hash"`     // of what runs when it is called, at registration, 0x…; see Chain.Code
	// Implementations are what a proxy called in its own place when it was registered.
	Implementations []Implementation `json:"implementations"`
	Functions       []Allowed        `json:"functions"`
	Project         string           `json:"project"`
	Classification  string           `json:"classification"`
	Status          ContractStatus   `json:"status"`
	Version         int64            `json:"version"` // grows with every change, for ETags
	RegisteredBy    string           `json:"registered_by"`
	RegisteredAt    time.Time        `json:"registered_at"`
	ChangedAt       time.Time        `json:"changed_at"`
	RetiredAt       *time.Time       `json:"retired_at"`
	RetiredBy       string           `json:"retired_by"`
	RetiredReason   string           `json:"retired_reason"`
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

// Bounds of a contract.
const (
	maxName      = 200
	maxFunctions = 64
	maxRoles     = 20
	minGas       = 21_000
	maxGas       = 30_000_000
	maxReason    = 1000
)

const contractColumns = `contract_id, address, chain_id, name, abi_digest, code_hash, functions, status, version, project, classification,
	registered_by, registered_at, changed_at, retired_at, retired_by, retired_reason, implementations`

func scanContract(scan func(...any) error, further ...any) (*Contract, error) {
	var k Contract
	var functions, status, implementations string
	var chainID, registered, changed, retired int64
	err := scan(append([]any{&k.ContractID, &k.Address, &chainID, &k.Name, &k.ABIDigest, &k.CodeHash, &functions, &status, &k.Version, &k.Project, &k.Classification,
		&k.RegisteredBy, &registered, &changed, &retired, &k.RetiredBy, &k.RetiredReason, &implementations}, further...)...)
	if err != nil {
		return nil, err
	}
	k.ChainID, k.Status = uint64(chainID), ContractStatus(status)
	k.RegisteredAt, k.ChangedAt, k.RetiredAt = db.Moment(registered), db.Moment(changed), db.Optional(retired)
	return &k, errors.Join(readJSON(functions, &k.Functions), readJSON(implementations, &k.Implementations))
}

func errNoChain() error {
	return caos.Errorf(caos.Unavailable, "no chain is configured").WithHint("name it in caos.yaml, under chain: chain_id, endpoints, accounts")
}

// parseAddress reads an address: 40 hex digits, and the check sum of EIP-55 where their
// case is mixed.
func parseAddress(field, text string) (common.Address, error) {
	digits, ok := strings.CutPrefix(text, "0x")
	if !ok || len(digits) != 40 || !common.IsHexAddress(text) {
		return common.Address{}, caos.Errorf(caos.Invalid, "%.60q is not an address", text).WithField(field).WithHint("0x and 40 hex digits")
	}
	at := common.HexToAddress(text)
	if digits != strings.ToLower(digits) && digits != strings.ToUpper(digits) && at.Hex() != text {
		return common.Address{}, caos.Errorf(caos.Invalid, "the check sum of the address %s is wrong: a digit was mistyped", text).WithField(field).
			WithHint("copy the address again; in one case it carries no check sum")
	}
	return at, nil
}

var hash256 = regexp.MustCompile(`^0x[0-9a-f]{64}$`)

func plain(text string) bool {
	return db.Storable(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// check puts a contract into its stored form, or says what is wrong with it.
func (c *Chain) check(k *Contract) error {
	at, err := parseAddress("address", k.Address)
	if err != nil {
		return err
	}
	k.Address = at.Hex()
	if k.ChainID == 0 {
		k.ChainID = c.opt.Settings.ChainID
	}
	switch {
	case k.ChainID != c.opt.Settings.ChainID:
		return caos.Errorf(caos.Invalid, "the contract is on chain %d, and CAOS sends to %d", k.ChainID, c.opt.Settings.ChainID).WithField("chain_id")
	case strings.TrimSpace(k.Name) == "" || len(k.Name) > maxName || !plain(k.Name):
		return caos.Errorf(caos.Invalid, "a name is text of 1 to %d bytes", maxName).WithField("name")
	case !plain(k.Project) || len(k.Project) > maxName:
		return caos.Errorf(caos.Invalid, "not the name of a project").WithField("project")
	case !hash256.MatchString(k.CodeHash):
		return caos.Errorf(caos.Internal, "the contract's code was not asked for").WithField("code_hash")
	}
	if k.Classification == "" {
		k.Classification = "Internal"
	}
	if err := caos.CheckWord("classification", k.Classification, caos.Classifications()); err != nil {
		return err
	}
	abi, err := ethereum.ParseABI(k.ABI)
	if err != nil {
		return err
	}
	var tree any
	if err := json.Unmarshal(k.ABI, &tree); err != nil {
		return caos.Wrap(caos.Invalid, err, "the ABI is not JSON").WithField("abi")
	}
	if k.ABI, err = codec.Canonical(tree); err != nil {
		return caos.Wrap(caos.Invalid, err, "the ABI has no canonical form").WithField("abi")
	}
	sum := sha256.Sum256(k.ABI)
	k.ABIDigest = "SHA256:" + hex.EncodeToString(sum[:])
	return c.checkFunctions(k, abi)
}

// checkFunctions puts signatures in the place of names, and refuses functions that people
// alone call.
func (c *Chain) checkFunctions(k *Contract, abi *ethereum.ABI) error {
	if len(k.Functions) == 0 || len(k.Functions) > maxFunctions {
		return caos.Errorf(caos.Invalid, "a contract allows 1 to %d functions", maxFunctions).WithField("functions").WithHint("name those that CAOS shall call")
	}
	k.Functions = slices.Clone(k.Functions)
	seen := map[string]bool{}
	for i := range k.Functions {
		f, at := &k.Functions[i], fmt.Sprintf("functions[%d].", i)
		fn, err := abi.Function(f.Function)
		if err != nil {
			return caos.AsError(err).WithField(at + "function")
		}
		if why := forbidden(fn); why != "" {
			return caos.Errorf(caos.Denied, "CAOS never calls %s: %s", fn.Signature, why).WithField(at + "function").WithRule(RuleFunctionForbidden).
				WithHint("whoever holds the contract's keys does that, with a wallet of their own")
		}
		f.Function = fn.Signature
		if f.MaxGas == 0 {
			f.MaxGas = 500_000
		}
		_, known := c.opt.Signers[f.Account]
		slices.Sort(f.Roles)
		f.Roles = slices.Compact(f.Roles)
		switch {
		case fn.Mutability == "view" || fn.Mutability == "pure":
			return caos.Errorf(caos.Invalid, "%s changes nothing: there is nothing to send", fn.Signature).WithField(at + "function")
		case seen[f.Function]:
			return caos.Errorf(caos.Invalid, "%s is named twice", f.Function).WithField(at + "function")
		case !known:
			return caos.Errorf(caos.Invalid, "there is no account %.60q", f.Account).WithField(at + "account").WithHint("accounts are named in caos.yaml, under chain.accounts")
		case f.MaxGas < minGas || f.MaxGas > maxGas:
			return caos.Errorf(caos.Invalid, "max_gas is %d to %d", minGas, maxGas).WithField(at + "max_gas").WithRule(RuleGasLimit)
		case len(f.Roles) > maxRoles || len(f.Roles) == 0 && !f.Automatic:
			return caos.Errorf(caos.Invalid, "nobody may call %s: name a role, or let CAOS call it of itself", f.Function).WithField(at + "roles")
		}
		for _, role := range f.Roles {
			if err := caos.CheckWord(at+"roles", role, caos.Roles()); err != nil {
				return err
			}
		}
		seen[f.Function] = true
	}
	return nil
}

// lists are those of a contract as they are stored.
func (c *Contract) lists() (functions, implementations string, err error) {
	if functions, err = writeJSON(c.Functions); err != nil {
		return "", "", err
	}
	if c.Implementations == nil {
		c.Implementations = []Implementation{}
	}
	implementations, err = writeJSON(c.Implementations)
	return functions, implementations, err
}

func sameContract(a, b *Contract) bool {
	x, err1 := json.Marshal(a.Functions)
	y, err2 := json.Marshal(b.Functions)
	return err1 == nil && err2 == nil && string(x) == string(y) && a.Name == b.Name && a.ABIDigest == b.ABIDigest && a.CodeHash == b.CodeHash &&
		a.Project == b.Project && a.Classification == b.Classification
}

// Register stores a contract; address, name, ABI, code hash, functions, project and
// classification are read. The same contract again answers the one there is. Errors:
// Invalid by the field; Denied, with the rule function-forbidden, for a function that
// CAOS never calls; Conflict for an address that is registered.
func (c *Chain) Register(tx *db.Tx, k Contract, by By) (*Contract, error) {
	if err := c.check(&k); err != nil {
		return nil, err
	}
	old, err := findContract(tx.Query, k.Address)
	if err != nil && caos.KindOf(err) != caos.NotFound {
		return nil, err
	}
	if old != nil && old.Status == Active {
		if sameContract(old, &k) {
			return old, nil
		}
		return nil, caos.Errorf(caos.Conflict, "the contract at %s is registered as %s, with other content", k.Address, old.ContractID).WithField("address").
			WithHint("change %s, or retire it first", old.ContractID)
	}
	functions, implementations, err := k.lists()
	if err != nil {
		return nil, err
	}
	now := c.now()
	k.ContractID = c.opt.Stamps.ID("CTR-")
	tx.Exec(`INSERT INTO chain_contracts (contract_id, address, chain_id, name, abi, abi_digest, code_hash, functions, status, version, project, classification,
			registered_by, registered_at, changed_at, retired_at, retired_by, retired_reason, implementations)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'ACTIVE', 1, $9, $10, $11, $12, $13, 0, '', '', $14)`,
		k.ContractID, k.Address, int64(k.ChainID), k.Name, string(k.ABI), k.ABIDigest, k.CodeHash, functions, k.Project, k.Classification,
		by.Actor, now.UnixMicro(), now.UnixMicro(), implementations)
	c.awake(tx)
	if err := c.contractRecord(tx, by, &k, "contract registered", nil); err != nil {
		return nil, err
	}
	return findContract(tx.Query, k.ContractID)
}

// Replace changes name, functions, ABI, code hash, project and classification of a contract.
// version is the revision that the caller has seen, 0 for any. Errors as Register's, and
// Conflict for another revision or a retired contract.
func (c *Chain) Replace(tx *db.Tx, id string, version int64, k Contract, by By) (*Contract, error) {
	old, err := findContract(tx.Query, id)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(inUse(old), caos.CheckRevision(old.ContractID, version, old.Version)); err != nil {
		return nil, err
	}
	if k.Address != "" && !strings.EqualFold(k.Address, old.Address) {
		return nil, caos.Errorf(caos.Conflict, "the address of %s is %s", old.ContractID, old.Address).WithField("address").WithHint("register the other address as a contract of its own")
	}
	k.Address, k.ChainID = old.Address, old.ChainID
	if err := c.check(&k); err != nil {
		return nil, err
	}
	if sameContract(old, &k) {
		return old, nil
	}
	functions, implementations, err := k.lists()
	if err != nil {
		return nil, err
	}
	k.ContractID = old.ContractID
	tx.ExecOne(caos.Errorf(caos.Conflict, "%s was changed meanwhile", old.ContractID), `UPDATE chain_contracts SET name = $1, abi = $2, abi_digest = $3, code_hash = $4,
			functions = $5, version = version + 1, project = $6, classification = $7, changed_at = $8, implementations = $9
		WHERE contract_id = $10 AND version = $11 AND status = 'ACTIVE'`,
		k.Name, string(k.ABI), k.ABIDigest, k.CodeHash, functions, k.Project, k.Classification, c.now().UnixMicro(), implementations, old.ContractID, old.Version)
	c.awake(tx)
	if err := c.contractRecord(tx, by, &k, "contract changed", map[string]any{"from": old.Functions, "from_code_hash": old.CodeHash, "from_abi_digest": old.ABIDigest}); err != nil {
		return nil, err
	}
	return findContract(tx.Query, old.ContractID)
}

// Retire takes a contract out of use: nothing is sent to it any more, except what is signed.
// version is the revision that the caller has seen, 0 for any.
func (c *Chain) Retire(tx *db.Tx, id string, version int64, reason string, by By) (*Contract, error) {
	if strings.TrimSpace(reason) == "" || len(reason) > maxReason || !plain(reason) {
		return nil, caos.Errorf(caos.Invalid, "a reason is text of 1 to %d bytes", maxReason).WithField("reason").WithHint("say why nothing is recorded there any more")
	}
	k, err := findContract(tx.Query, id)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(inUse(k), caos.CheckRevision(k.ContractID, version, k.Version)); err != nil {
		return nil, err
	}
	now := c.now().UnixMicro()
	tx.ExecOne(caos.Errorf(caos.Conflict, "%s was changed meanwhile", k.ContractID), `UPDATE chain_contracts SET status = 'RETIRED', version = version + 1, changed_at = $1,
			retired_at = $2, retired_by = $3, retired_reason = $4 WHERE contract_id = $5 AND version = $6 AND status = 'ACTIVE'`,
		now, now, by.Actor, reason, k.ContractID, k.Version)
	c.awake(tx)
	if err := c.contractRecord(tx, by, k, "contract retired", map[string]any{"reason": reason}); err != nil {
		return nil, err
	}
	return findContract(tx.Query, k.ContractID)
}

func inUse(k *Contract) error {
	if k.Status == Active {
		return nil
	}
	return caos.Errorf(caos.Conflict, "%s was retired by %s: %s", k.ContractID, k.RetiredBy, k.RetiredReason).WithField("contract_address").WithRule(RuleContractActive).
		WithHint("register the address anew if it is to be used again")
}

func (c *Chain) contractRecord(tx *db.Tx, by By, k *Contract, what string, more map[string]any) error {
	details := map[string]any{"event": what, "address": k.Address, "chain_id": k.ChainID, "functions": k.Functions, "abi_digest": k.ABIDigest, "code_hash": k.CodeHash}
	if len(k.Implementations) > 0 {
		details["implementations"] = k.Implementations
	}
	for name, v := range more {
		details[name] = v
	}
	return c.record(tx, by, auditlog.Record{Type: auditlog.ConfigChange, Resources: []string{k.ContractID}, Details: details, Project: k.Project, Classification: k.Classification})
}

// findContract finds a contract by id or address, with its ABI.
func findContract(q query, key string) (*Contract, error) {
	var k *Contract
	missing := caos.Errorf(caos.NotFound, "there is no contract %.60q, or it is not for you", key).WithField("contract_address").WithRule(RuleContractRegistered).
		WithHint("a configuration manager registers it: caos chain contract register ADDRESS; caos chain contract list shows those there are")
	where := `contract_id = $1`
	if strings.HasPrefix(key, "0x") {
		at, err := parseAddress("contract_address", key)
		if err != nil {
			return nil, err
		}
		key, where = at.Hex(), `address = $1 ORDER BY CASE WHEN status = 'ACTIVE' THEN 0 ELSE 1 END, registered_at DESC LIMIT 1`
	}
	if !db.Storable(key) {
		return nil, missing
	}
	err := q(`SELECT `+contractColumns+`, abi FROM chain_contracts WHERE `+where, []any{key}, func(scan func(...any) error) (err error) {
		var abi string
		if k, err = scanContract(scan, &abi); err == nil {
			k.ABI = json.RawMessage(abi)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if k == nil {
		return nil, missing
	}
	return k, nil
}

// Contract returns a contract by its id, or the one that is registered at an address; of
// several in the course of time the active one, else the newest. Else NotFound.
func (c *Chain) Contract(ctx context.Context, idOrAddress string) (*Contract, error) {
	return findContract(c.opt.DB.Reader(ctx), idOrAddress)
}

// ContractIn is Contract as a transaction sees it.
func (c *Chain) ContractIn(tx *db.Tx, idOrAddress string) (*Contract, error) {
	return findContract(tx.Query, idOrAddress)
}

// Contracts lists contracts without their ABIs, the newest first.
func (c *Chain) Contracts(ctx context.Context, f ContractFilter, cursor string) ([]*Contract, string, error) {
	w := new(db.Where)
	w.Is("status", string(f.Status))
	w.Is("project", f.Project)
	if f.Address != "" {
		at, err := parseAddress("address", f.Address)
		if err != nil {
			return nil, "", err
		}
		w.Is("address", at.Hex())
	}
	return db.Page(c.opt.DB.Reader(ctx), w, db.Listing[*Contract]{Columns: contractColumns, From: "chain_contracts", At: "registered_at", ID: "contract_id", Limit: f.Limit,
		Scan: func(scan func(...any) error) (*Contract, error) { return scanContract(scan) },
		Key:  func(k *Contract) (time.Time, string) { return k.RegisteredAt, k.ContractID },
	}, cursor)
}

// names are the functions that may be called, as many as a hint has room for.
func (k *Contract) names() string {
	const most = 20
	var out []string
	for _, f := range k.Functions[:min(len(k.Functions), most)] {
		out = append(out, f.Function)
	}
	if more := len(k.Functions) - most; more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(out, ", ")
}

// Allowed returns the contract at an address and what is allowed of a function of it
// (signature, or a name that only one function has). automatic says that CAOS calls of
// itself: then roles do not count. Errors: NotFound and Conflict, field contract_address;
// Denied, field contract_function; each with its rule.
func (c *Chain) Allowed(tx *db.Tx, address, function string, roles []string, automatic bool) (*Contract, Allowed, error) {
	k, err := findContract(tx.Query, address)
	if err != nil {
		return nil, Allowed{}, err
	}
	if err := inUse(k); err != nil {
		return nil, Allowed{}, err
	}
	if k.ChainID != c.opt.Settings.ChainID {
		return nil, Allowed{}, caos.Errorf(caos.Conflict, "%s is on chain %d, and CAOS sends to %d", k.ContractID, k.ChainID, c.opt.Settings.ChainID).WithField("contract_address").
			WithRule(RuleContractActive).WithHint("register the contract of this chain")
	}
	refuse := func(hint, format string, args ...any) (*Contract, Allowed, error) {
		return nil, Allowed{}, caos.Errorf(caos.Denied, format, args...).WithField("contract_function").WithRule(RuleFunctionAllowed).WithHint("%s", hint)
	}
	found := []Allowed{}
	for _, f := range k.Functions {
		if name, _, _ := strings.Cut(f.Function, "("); f.Function == function || name == function {
			found = append(found, f)
		}
	}
	switch {
	case len(found) == 0:
		return refuse("the registration has "+k.names(), "%.80q is not among the functions of %s that may be called", function, k.ContractID)
	case len(found) > 1:
		return refuse("name it by its signature", "%s has several functions %.80q", k.ContractID, function)
	}
	f := found[0]
	switch {
	case automatic && !f.Automatic:
		return refuse("a configuration manager sets automatic in the contract's registration", "CAOS may not call %s of itself", f.Function)
	case !automatic && !slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(f.Roles, r) }):
		return refuse("whoever has one of these roles can: "+strings.Join(f.Roles, ", "), "none of your roles may call %s", f.Function)
	}
	if _, known := c.opt.Signers[f.Account]; !known {
		return nil, Allowed{}, caos.Errorf(caos.Unavailable, "the account %s, which signs %s, is not configured", f.Account, f.Function).WithField("contract_function").
			WithHint("name it in caos.yaml, under chain.accounts")
	}
	return k, f, nil
}
