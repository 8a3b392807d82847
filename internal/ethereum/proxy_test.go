package ethereum

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

func TestScan(t *testing.T) {
	at := strings.Repeat("ab", 20)
	for name, c := range map[string]struct {
		code      string
		literal   string
		delegates bool
	}{
		"nothing":               {"", "", false},
		"stop":                  {"00", "", false},
		"EIP-1167":              {"363d3d373d3d3d363d73" + at + "5af43d82803e903d91602b57fd5bf3", at, true},
		"with PUSH0":            {"365f5f375f5f365f73" + at + "5af43d5f5f3e5f3d91602a57fd5bf3", at, true},
		"16 bytes":              {"363d3d373d3d3d363d6f" + at[:32] + "5af43d82803e903d91602b57fd5bf3", at[:32], true},
		"in what it pushes":     {"62" + "f4f4f4" + "00", "", false},
		"behind what it pushes": {"60f4" + "f4", "", true},
		"CALLCODE":              {"f2", "", true},
		"cut off":               {"73abab", "", false},
		"CALL":                  {"73" + at + "5af1", "", false},
	} {
		literal, delegates := scan(common.FromHex(c.code))
		got := ""
		if len(literal) == 1 {
			got = hex.EncodeToString(common.TrimLeftZeroes(literal[0][:]))
		}
		if got != c.literal || delegates != c.delegates {
			t.Errorf("%s: %s %v", name, got, delegates)
		}
	}
}

// What no chain of these tests has: accounts that delegate, nodes that write words in their
// own way, and two that differ.
func TestDeployed(t *testing.T) {
	account, to := common.HexToAddress("0xA1"), common.HexToAddress("0xB2")
	code := map[common.Address]string{account: "0xef0100" + hex.EncodeToString(to[:]), to: "0xf4"}
	slots := proxySlots()
	holder := to // in whose storage a word lies
	answer := func(f *fake, word any) {
		f.on("eth_getCode", func(p []json.RawMessage) any {
			var at common.Address
			_ = json.Unmarshal(p[0], &at)
			if code[at] == "" {
				return "0x"
			}
			return code[at]
		})
		f.on("eth_getStorageAt", func(p []json.RawMessage) any {
			var at common.Address
			var slot common.Hash
			_, _ = json.Unmarshal(p[0], &at), json.Unmarshal(p[1], &slot)
			if slot == slots[0].slot && at == holder {
				return word
			}
			return "0x0"
		})
	}
	one, two := node(t, 3), node(t, 3)
	answer(one, "0xC3")
	answer(two, "0x"+strings.Repeat("0", 62)+"c3")
	c, k := open(t, one, two)
	links, err := c.Deployed(ctx(t), account)
	if err != nil || len(links) != 3 || links[1].How != "EIP-7702" || links[1].Address != to || links[2].Address != common.HexToAddress("0xC3") || !links[2].Empty || links[2].Depth != 2 {
		t.Fatalf("%+v %v", links, err)
	}
	if CodeHash(links) == CodeHash(links[:2]) || CodeHash(links[:1]) != crypto.Keccak256Hash(common.FromHex(code[account])) {
		t.Error("hashes")
	}
	// Somebody deploys where there was nothing.
	before := CodeHash(links)
	code[common.HexToAddress("0xC3")] = "0x00"
	if links, err = c.Deployed(ctx(t), account); err != nil || CodeHash(links) == before {
		t.Errorf("%+v %v", links, err)
	}
	// An account that delegates to a proxy's code runs what its own storage names, which whoever
	// has it can change.
	holder = account
	if links, err = c.Deployed(ctx(t), account); err != nil || len(links) != 3 || links[2].How != "EIP-1967" || links[2].Address != common.HexToAddress("0xC3") || links[2].Depth != 1 {
		t.Errorf("%+v %v", links, err)
	}
	holder = to
	answer(two, "0xC4")
	if _, err = c.Deployed(ctx(t), account); !Is(err, Disagree) {
		t.Errorf("two nodes that differ: %v", err)
	}
	for _, bad := range []any{nil, 5, "c3", "0x" + strings.Repeat("0", 65), "0xzz"} {
		k.pass(wrongPause * 2)
		answer(one, bad)
		answer(two, bad)
		if _, err = c.Deployed(ctx(t), account); err == nil {
			t.Errorf("%v is a word", bad)
		}
	}
}
