package ethereum

import (
	"strings"
	"testing"

	"caos"

	"github.com/ethereum/go-ethereum/common"
)

// A block counts when as many endpoints as were asked for have it; being there is not enough.
func TestAgreeOfMany(t *testing.T) {
	one, two, three := node(t, 10), node(t, 10), node(t, 10)
	for n, field := range map[int]string{-1: "chain.agree", 4: "chain.agree", 3: ""} {
		_, err := Open(Settings{ChainID: 1337, Endpoints: []string{one.url, two.url, three.url}, Agree: n})
		if got := caos.AsError(err); (err == nil) != (field == "") || err != nil && (got.Field != field || got.Hint == "") {
			t.Errorf("%d of 3: %v", n, err)
		}
	}
	c, k := open(t, one, two, three)
	c.quorum = 3
	if err := c.Agree(ctx(t), 10); err != nil {
		t.Errorf("all have it: %v", err)
	}
	two.chain("main", 9, k.now()) // it has not come that far
	if err := c.Agree(ctx(t), 9); err != nil {
		t.Errorf("all have it: %v", err)
	}
	err := c.Agree(ctx(t), 10)
	if e := caos.AsError(err); !Is(err, TooFew) || e.Kind != caos.Unavailable || e.Rule != "chain-agree" || e.Hint == "" || !strings.Contains(e.Message, "3 of 3 endpoints asked for, 2 answer") {
		t.Errorf("two have it: %v", err)
	}
	two.chain("other", 10, k.now())
	if err := c.Agree(ctx(t), 10); !Is(err, Disagree) {
		t.Errorf("one has another: %v", err)
	}
}

// A contract's answer is held against somebody. That enough endpoints have the block does not
// make one of them, which alone answers for the contract, enough.
func TestCallAgreedByMany(t *testing.T) {
	one, two, three := node(t, 10), node(t, 10), node(t, 10)
	one.says("eth_call", "0x01")
	for _, f := range []*fake{two, three} {
		f.says("eth_call", refusal{Code: -32000, Message: "missing trie node"})
	}
	c, _ := open(t, one, two, three)
	if got, _, err := c.CallAgreed(ctx(t), Call{To: common.HexToAddress("0xA1")}, 10); err != nil || len(got) != 1 {
		t.Errorf("one is enough where one was asked for: %x %v", got, err)
	}
	c, _ = open(t, one, two, three)
	c.quorum = 2
	if _, _, err := c.CallAgreed(ctx(t), Call{To: common.HexToAddress("0xA1")}, 10); !Is(err, TooFew) {
		t.Errorf("one endpoint accuses: %v", err)
	}
	two.says("eth_call", "0x01")
	c, _ = open(t, one, two, three)
	c.quorum = 2
	if got, _, err := c.CallAgreed(ctx(t), Call{To: common.HexToAddress("0xA1")}, 10); err != nil || len(got) != 1 {
		t.Errorf("two say it: %x %v", got, err)
	}
}
