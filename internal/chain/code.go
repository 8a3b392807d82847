package chain

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"caos"
	"caos/internal/ethereum"
)

// Implementation is code that a contract runs in its own place, or a beacon that names it.
type Implementation struct {
	Address  string `json:"address"`   // EIP-55
	How      string `json:"how"`       // by what it is named, such as "EIP-1967"; see ethereum.Link
	Depth    int    `json:"depth"`     // 1: the contract names it, 2: what that names, and so on
	CodeHash string `json:"code_hash"` // keccak256 of its code, 0x…
}

// Code is what runs when a contract is called.
type Code struct {
	Hash            string           // of all of it; of the code itself where the contract is no proxy; keccak256, 0x…
	Own             string           // of the code at the contract's address
	Implementations []Implementation // empty where it is no proxy
}

// Code asks the network what runs when the contract at an address is called. It is to be
// called outside a transaction. An address without code is Invalid, with the rule
// contract-code; so is one behind more proxies than are followed.
func (c *Chain) Code(ctx context.Context, address string) (Code, error) {
	at, err := parseAddress("address", address)
	if err != nil {
		return Code{}, err
	}
	if c.net == nil {
		return Code{}, errNoChain()
	}
	links, err := c.net.Deployed(ctx, at)
	if err != nil {
		return Code{}, err
	}
	if links[0].Empty {
		return Code{}, caos.Errorf(caos.Invalid, "there is no contract at %s on chain %d", at.Hex(), c.opt.Settings.ChainID).WithField("address").WithRule(RuleContractCode).
			WithHint("check the address, and that it was deployed on this network")
	}
	code := Code{Hash: ethereum.CodeHash(links).Hex(), Own: links[0].Code.Hex(), Implementations: []Implementation{}}
	for _, l := range links[1:] {
		code.Implementations = append(code.Implementations, Implementation{Address: l.Address.Hex(), How: l.How, Depth: l.Depth, CodeHash: l.Code.Hex()})
	}
	return code, nil
}

// CodeHash is the hash of Code.
func (c *Chain) CodeHash(ctx context.Context, address string) (string, error) {
	code, err := c.Code(ctx, address)
	return code.Hash, err
}

// SameCode refuses a contract that runs other code than was registered: its own, or that of
// what it calls in its place. It is to be called outside a transaction. Errors: Conflict with
// the rule contract-code, and those of Code.
func (c *Chain) SameCode(ctx context.Context, k *Contract) error {
	now, err := c.Code(ctx, k.Address)
	if err != nil || now.Hash == k.CodeHash {
		return err
	}
	refuse := func(format string, args ...any) error {
		return caos.Errorf(caos.Conflict, format, args...).WithField("contract_address").WithRule(RuleContractCode).
			WithHint("find out who changed it and what it does now; then retire %s and register the contract again", k.ContractID)
	}
	was, is := names(k.Implementations), names(now.Implementations)
	switch {
	case now.Own == k.CodeHash: // by a version that took no notice of proxies, or before it became one
		return caos.Errorf(caos.Conflict, "the contract at %s is a proxy of %s, which its registration does not cover", k.Address, is).WithField("contract_address").WithRule(RuleContractCode).
			WithHint("see that %s is what is meant; then retire %s and register the contract again", is, k.ContractID)
	case len(k.Implementations) > 0 && was != is:
		return refuse("the implementation of the proxy at %s was changed: %s was registered, and it calls %s now", k.Address, was, is)
	case len(k.Implementations) > 0 && len(now.Implementations) == len(k.Implementations):
		if i := slices.IndexFunc(now.Implementations, func(x Implementation) bool { return !slices.Contains(k.Implementations, x) }); i >= 0 {
			return refuse("the code of %s, which the proxy at %s calls, is not what was registered", now.Implementations[i].Address, k.Address)
		}
	}
	return refuse("the code at %s is not what was registered", k.Address)
}

// names are the addresses of implementations, for sentences.
func names(list []Implementation) string {
	out := make([]string, 0, len(list))
	for _, i := range list {
		out = append(out, fmt.Sprintf("%s (%s)", i.Address, i.How))
	}
	if len(out) == 0 {
		return "no other contract"
	}
	return strings.Join(out, ", ")
}
