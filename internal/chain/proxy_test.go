package chain

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"caos"
	"caos/internal/db"
	"caos/internal/ethereum"
)

// slotBefore is a slot of EIP-1967.
func slotBefore(text string) common.Hash {
	n := new(big.Int).SetBytes(crypto.Keccak256([]byte(text)))
	return common.BigToHash(n.Sub(n, big.NewInt(1)))
}

// proxyCode delegates to what a slot names. Called with 32 bytes it stores them there, as an
// upgrade does.
func proxyCode(slot common.Hash) string {
	named := "7f" + hex.EncodeToString(slot[:])
	call := "36602014" + "60%02x57" + "366000600037" + "60006000366000" + named + "545af4" + "3d600060003e" + "60%02x57" + "3d6000fd"
	back := "5b3d6000f3"
	good := len(fmt.Sprintf(call, 0, 0)) / 2
	return fmt.Sprintf(call, good+len(back)/2, good) + back + "5b600035" + named + "5500"
}

// cloneCode is EIP-1167's.
func cloneCode(of common.Address) string {
	return "363d3d373d3d3d363d73" + hex.EncodeToString(of[:]) + "5af43d82803e903d91602b57fd5bf3"
}

// beacon answers every question with what lies in slot 0, and takes 32 bytes as new.
func beacon() string {
	// CALLDATASIZE 0x20 EQ PUSH1 set JUMPI | SLOAD(0) MSTORE RETURN | JUMPDEST SSTORE(0, CALLDATALOAD(0)) STOP
	return "36602014601257" + "60005460005260206000f3" + "5b60003560005500"
}

// builder puts contracts on a port's chain, from the third account.
type builder struct {
	p      *port
	client *ethereum.Client
}

func (p *port) builder() *builder {
	p.t.Helper()
	client, err := ethereum.Open(ethereum.Settings{ChainID: p.dev.ChainID, Endpoints: []string{p.dev.URL}, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
	ok(p.t, err)
	return &builder{p, client}
}

func (b *builder) transact(to *common.Address, data []byte) common.Address {
	b.p.t.Helper()
	ctx, from := context.Background(), b.p.signers[2]
	nonce, err := b.client.Nonce(ctx, from.Address(), true)
	ok(b.p.t, err)
	id := new(big.Int).SetUint64(b.p.dev.ChainID)
	tx, err := from.Sign(ctx, types.NewTx(&types.DynamicFeeTx{ChainID: id, Nonce: nonce, GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(200e9), Gas: 500_000, To: to, Value: new(big.Int), Data: data}), id)
	ok(b.p.t, err)
	raw, err := tx.MarshalBinary()
	ok(b.p.t, err)
	ok(b.p.t, b.client.Send(ctx, raw))
	b.p.dev.Mine(1)
	r, err := b.client.Receipt(ctx, tx.Hash())
	ok(b.p.t, err)
	if r.Status != types.ReceiptStatusSuccessful {
		b.p.t.Fatalf("the contract was not made: %+v", r)
	}
	return r.ContractAddress
}

func (b *builder) deploy(code string) common.Address {
	b.p.t.Helper()
	size := fmt.Sprintf("%02x", len(code)/2)
	return b.transact(nil, common.FromHex("60"+size+"600c60003960"+size+"6000f3"+code))
}

// set has a proxy or a beacon name another contract.
func (b *builder) set(at, named common.Address) {
	b.p.t.Helper()
	b.transact(&at, common.LeftPadBytes(named[:], 32))
}

func (b *builder) proxy(slot string, of common.Address) common.Address {
	b.p.t.Helper()
	at := b.deploy(proxyCode(slotBefore(slot)))
	b.set(at, of)
	return at
}

const pokeABI = `[{"type":"function","name":"poke","inputs":[],"outputs":[],"stateMutability":"nonpayable"}]`

// A contract is what runs when it is called: a proxy is another one when what it calls is.
func TestProxies(t *testing.T) {
	ctx := context.Background()
	p := newPort(t, db.SQLite)
	s, b := p.sail(nil), p.builder()
	one, two := b.deploy("00"), b.deploy("5b00")
	code := func(at common.Address) Code {
		t.Helper()
		c, err := s.Code(ctx, at.Hex())
		ok(t, err)
		return c
	}
	says := func(c Code, want ...common.Address) {
		t.Helper()
		for i := range want {
			if len(c.Implementations) != len(want) || c.Implementations[i].Address != want[i].Hex() || c.Implementations[i].How == "" {
				t.Errorf("%+v, want %v", c.Implementations, want)
				return
			}
		}
		if c.Hash == c.Own {
			t.Error("the hash of a proxy is that of its own code")
		}
	}
	plain, err := b.client.Code(ctx, p.registry)
	ok(t, err)
	if c := code(p.registry); c.Hash != crypto.Keccak256Hash(plain).Hex() || c.Own != c.Hash || len(c.Implementations) != 0 {
		t.Errorf("a plain contract: %+v", c)
	}

	standard := b.proxy("eip1967.proxy.implementation", one)
	before := code(standard)
	says(before, one)
	b.set(standard, two)
	after := code(standard)
	says(after, two)
	if after.Hash == before.Hash || after.Own != before.Own {
		t.Error("an upgrade leaves no trace")
	}
	b.set(standard, one)
	if code(standard).Hash != before.Hash {
		t.Error("the same again has another hash")
	}

	light := b.deploy(beacon())
	b.set(light, one)
	lit := b.proxy("eip1967.proxy.beacon", light)
	before = code(lit)
	says(before, light, one)
	b.set(light, two)
	if after = code(lit); after.Hash == before.Hash {
		t.Error("what a beacon names is not noticed")
	}
	says(after, light, two)

	old := b.deploy(proxyCode(crypto.Keccak256Hash([]byte("PROXIABLE"))))
	b.set(old, one)
	says(code(old), one)

	clone := b.deploy(cloneCode(one))
	says(code(clone), one)
	if code(clone).Hash == code(b.deploy(cloneCode(two))).Hash {
		t.Error("clones of different contracts have one hash")
	}
	// The first of a row is upgraded, and the last one notices.
	of := b.deploy(cloneCode(standard))
	before = code(of)
	says(before, standard, one)
	b.set(standard, two)
	if code(of).Hash == before.Hash {
		t.Error("an upgrade behind a clone is not noticed")
	}
	row := b.deploy(cloneCode(of)) // a row of three: of, standard, two
	says(code(row), of, standard, two)
	if _, err := s.Code(ctx, b.deploy(cloneCode(row)).Hex()); caos.AsError(err).Rule != RuleContractCode || caos.AsError(err).Hint == "" {
		t.Errorf("a row of four: %v", err)
	}
	// One that names itself ends as well.
	b.set(standard, standard)
	says(code(standard), standard)
}

// The registration of a proxy names what it calls, and ends when that is another.
func TestProxyRegistered(t *testing.T) {
	eachPort(t, func(t *testing.T, p *port) {
		ctx := context.Background()
		s, b := p.sail(nil), p.builder()
		one, two := b.deploy("00"), b.deploy("5b00")
		at := b.proxy("eip1967.proxy.implementation", one)
		register := func(code Code) *Contract {
			t.Helper()
			var k *Contract
			s.change(func(tx *db.Tx) (err error) {
				k, err = s.Register(tx, Contract{Address: at.Hex(), Name: "proxy", ABI: json.RawMessage(pokeABI), CodeHash: code.Hash, Implementations: code.Implementations,
					Functions: []Allowed{{Function: "poke", Account: "recorder", Automatic: true}}}, By{Actor: "carla"})
				return err
			})
			return k
		}
		refused := func(k *Contract, words ...string) {
			t.Helper()
			err := s.SameCode(ctx, k)
			e := caos.AsError(err)
			if err == nil || e.Kind != caos.Conflict || e.Rule != RuleContractCode || e.Field != "contract_address" {
				t.Fatalf("%v", err)
			}
			for _, w := range append(words, k.ContractID) {
				if !strings.Contains(e.Message+e.Hint, w) {
					t.Errorf("it does not say %q: %s; %s", w, e.Message, e.Hint)
				}
			}
		}
		again := func(k *Contract) *Contract {
			t.Helper()
			s.change(func(tx *db.Tx) error {
				_, err := s.Retire(tx, k.ContractID, 0, "another implementation", By{Actor: "carla"})
				return err
			})
			code, err := s.Code(ctx, at.Hex())
			ok(t, err)
			return register(code)
		}
		code, err := s.Code(ctx, at.Hex())
		ok(t, err)
		// Registered by a version that took no notice of proxies.
		k := register(Code{Hash: code.Own})
		refused(k, "proxy", one.Hex(), "register the contract again")
		k = again(k)
		if len(k.Implementations) != 1 || k.Implementations[0].Address != one.Hex() || k.Implementations[0].How != "EIP-1967" {
			t.Fatalf("%+v", k.Implementations)
		}
		list, _, err := s.Contracts(ctx, ContractFilter{}, "")
		ok(t, err)
		if len(list[0].Implementations) != 1 || list[1].Implementations == nil {
			t.Errorf("%+v %+v", list[0], list[1])
		}
		ok(t, s.SameCode(ctx, k))
		b.set(at, two)
		refused(k, "implementation of the proxy", one.Hex(), two.Hex())
		k = again(k)
		ok(t, s.SameCode(ctx, k))
		// Its implementation stays where it is and becomes a proxy itself.
		middle := b.proxy("eip1967.proxy.implementation", one)
		b.set(at, middle)
		k = again(k)
		b.set(middle, two)
		refused(k, two.Hex())
	})
}
