package ethereum

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"

	"caos"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// A proxy runs the code of another address as its own. Whoever can change which address that
// is changes the contract, and the code of the proxy stays what it was. So the code of a
// contract is its own and that of all that it names, where proxies are known to name it.

// Bounds of what a contract may name: a chain that is longer is nobody's to judge.
const (
	maxProxyDepth = 3
	maxProxyLinks = 16
)

// Link is an address whose code runs when a contract is called. The first of several is the
// contract itself.
type Link struct {
	Address common.Address
	How     string      // in which way the one before names it, such as "EIP-1967"; "" for the contract itself
	Depth   int         // 0 for the contract itself
	Named   common.Hash // the word that names it: more than an address, where somebody put more there
	Code    common.Hash // keccak256 of its code
	Empty   bool        // there is no code, at present
}

// Deployed returns the contract at an address and all that it calls in its place: what the
// storage of a proxy names (EIP-1967 with its beacons, EIP-1822, the slot that came before
// them), what the code of a clone names (EIP-1167), and what an account delegates to
// (EIP-7702). Endpoints have to agree on all of it. Errors: Invalid, with the rule
// contract-code, for more than 3 of them one behind the other, or more than 16.
func (c *Client) Deployed(ctx context.Context, address common.Address) ([]Link, error) {
	w := walker{c: c, seen: map[common.Address]bool{}}
	err := w.visit(ctx, Link{Address: address})
	return w.links, err
}

// CodeHash is the hash of what Deployed returned: of a contract that names no other the hash
// of its code.
func CodeHash(links []Link) common.Hash {
	if len(links) == 1 {
		return links[0].Code
	}
	// No contract's code begins with 0xef (EIP-3541), so that this is the hash of none.
	text := []byte("\xefcaos proxy 1\x00")
	for _, l := range links {
		text = binary.BigEndian.AppendUint16(text, uint16(l.Depth)) //nolint:gosec // at most maxProxyDepth
		text = append(append(text, l.How...), 0)
		text = append(append(append(text, l.Named[:]...), l.Address[:]...), l.Code[:]...)
	}
	return crypto.Keccak256Hash(text)
}

// walker follows what contracts name.
type walker struct {
	c     *Client
	seen  map[common.Address]bool
	links []Link
}

func (w *walker) visit(ctx context.Context, l Link) error {
	bound := caos.Errorf(caos.Invalid, "what is called at %s lies behind too many proxies: more than %d one behind the other, or %d in all", l.Address.Hex(), maxProxyDepth, maxProxyLinks).
		WithField("address").WithRule("contract-code").WithHint("register the contract that does the work, or a proxy that names it itself")
	if l.Depth > maxProxyDepth || len(w.links) >= maxProxyLinks {
		return bound
	}
	code, err := w.c.Code(ctx, l.Address)
	if err != nil {
		return err
	}
	l.Code, l.Empty = crypto.Keccak256Hash(code), len(code) == 0
	w.links = append(w.links, l)
	if w.seen[l.Address] || l.Empty { // what it names is there already
		return nil
	}
	w.seen[l.Address] = true
	next, err := w.named(ctx, l.Address, code)
	if err != nil {
		return err
	}
	for _, n := range next {
		n.Address, n.Depth = common.BytesToAddress(n.Named[12:]), l.Depth+1
		if err := w.visit(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// named are the addresses that a contract names, as words.
func (w *walker) named(ctx context.Context, at common.Address, code []byte) ([]Link, error) {
	var out []Link
	literal, delegates := scan(code)
	if to, ok := delegation(code); ok { // what it delegates to may be a proxy, which then reads this storage
		out, literal, delegates = append(out, Link{How: "EIP-7702", Named: to}), nil, true
	}
	if !delegates { // it runs no code but its own, whatever lies in its storage
		return nil, nil
	}
	for _, to := range literal {
		out = append(out, Link{How: "EIP-1167", Named: to})
	}
	slots := proxySlots()
	values, errs := make([]common.Hash, len(slots)), make([]error, len(slots))
	var parts sync.WaitGroup
	for i := range slots {
		parts.Go(func() { values[i], errs[i] = w.c.storage(ctx, at, slots[i].slot) })
	}
	parts.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for i, s := range slots {
		if values[i] == (common.Hash{}) {
			continue
		}
		out = append(out, Link{How: s.how, Named: values[i]})
		if !s.beacon {
			continue
		}
		to, err := w.c.beaconSays(ctx, common.BytesToAddress(values[i][12:]))
		if err != nil {
			return nil, err
		}
		if to != (common.Hash{}) {
			out = append(out, Link{How: "implementation of the beacon", Named: to})
		}
	}
	return out, nil
}

// proxySlot is where in its storage a proxy says what it calls.
type proxySlot struct {
	how    string
	slot   common.Hash
	beacon bool // it names whom to ask
}

func proxySlots() []proxySlot {
	before := func(text string) common.Hash { // EIP-1967: so that no hash of a mapping's key can be there
		n := new(big.Int).SetBytes(crypto.Keccak256([]byte(text)))
		return common.BigToHash(n.Sub(n, big.NewInt(1)))
	}
	return []proxySlot{
		{"EIP-1967", before("eip1967.proxy.implementation"), false},
		{"EIP-1967 beacon", before("eip1967.proxy.beacon"), true},
		{"EIP-1822", crypto.Keccak256Hash([]byte("PROXIABLE")), false},
		{"org.zeppelinos.proxy", crypto.Keccak256Hash([]byte("org.zeppelinos.proxy.implementation")), false},
	}
}

// delegation is what an account delegates to by EIP-7702.
func delegation(code []byte) (common.Hash, bool) {
	to, ok := bytes.CutPrefix(code, []byte{0xef, 0x01, 0x00})
	if !ok || len(to) != common.AddressLength {
		return common.Hash{}, false
	}
	return common.BytesToHash(to), true
}

// The EVM's instructions that matter here.
const (
	opPush1        = 0x60
	opPush20       = 0x73
	opPush32       = 0x7f
	opGas          = 0x5a
	opCallCode     = 0xf2
	opDelegateCall = 0xf4
)

// scan reports whether code can run another's as its own, and the addresses that it does so
// with which stand in the code, as those of clones do. Jumps lead to instructions alone and
// never into what one pushes, so that reading them in their order finds every one.
func scan(code []byte) (literal []common.Hash, delegates bool) {
	for i := 0; i < len(code); i++ {
		op := code[i]
		delegates = delegates || op == opDelegateCall || op == opCallCode
		if op < opPush1 || op > opPush32 {
			continue
		}
		end := i + 1 + int(op-opPush1) + 1
		// Clones of an address with leading zeros push fewer bytes than 20.
		if op <= opPush20 && op >= opPush20-8 && end+1 < len(code) && code[end] == opGas && code[end+1] == opDelegateCall {
			literal = append(literal, common.BytesToHash(code[i+1:end]))
		}
		i = end - 1
	}
	return literal, delegates
}

// storage returns a word of an account's storage, on which all endpoints have to agree.
func (c *Client) storage(ctx context.Context, at common.Address, slot common.Hash) (common.Hash, error) {
	word, err := agreed(ctx, c, question[[]byte]{"eth_getStorageAt", []any{at, slot, "latest"}, storageWord}, func(v []byte) string {
		return fmt.Sprintf("%#x in the slot %s of %s", v, short(slot), at.Hex())
	})
	return common.BytesToHash(word), err
}

// storageWord reads a word of storage. Some nodes leave out leading zeros.
func storageWord(raw json.RawMessage) ([]byte, error) {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, errors.New("a word of storage is no text")
	}
	digits, ok := strings.CutPrefix(text, "0x")
	if !ok || len(digits) > 64 || strings.Trim(digits, "0123456789abcdefABCDEF") != "" {
		return nil, errors.New("a word of storage is not 32 bytes")
	}
	word := common.HexToHash(text)
	return word[:], nil
}

// beaconSays asks a beacon which implementation it names, zero for none. What answers
// otherwise than a beacon does names none.
func (c *Client) beaconSays(ctx context.Context, beacon common.Address) (common.Hash, error) {
	call := Call{To: beacon, Data: crypto.Keccak256([]byte("implementation()"))[:4]}
	answer, err := agreed(ctx, c, question[[]byte]{"eth_call", []any{call.params(), "latest"}, byteString}, func(b []byte) string {
		return fmt.Sprintf("%d bytes with the hash %s, by which the beacon %s names an implementation", len(b), short(crypto.Keccak256Hash(b)), beacon.Hex())
	})
	if Is(err, Reverted) || err == nil && len(answer) < common.HashLength {
		return common.Hash{}, nil
	}
	if err != nil {
		return common.Hash{}, err
	}
	return common.BytesToHash(answer[:common.HashLength]), nil
}
