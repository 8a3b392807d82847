package ethereum

import (
	"testing"

	"github.com/ethereum/go-ethereum/common"
)

// What code a contract has lets calls out: it is believed of as many endpoints as a block is.
func TestCodeOfMany(t *testing.T) {
	one, two := node(t, 10), node(t, 10)
	one.says("eth_getCode", "0x6001")
	two.says("eth_getCode", refusal{Code: -32000, Message: "missing trie node"})
	c, _ := open(t, one, two)
	if code, err := c.Code(ctx(t), common.HexToAddress("0xA1")); err != nil || len(code) != 2 {
		t.Errorf("one is enough where one was asked for: %x %v", code, err)
	}
	c, _ = open(t, one, two)
	c.quorum = 2
	if _, err := c.Code(ctx(t), common.HexToAddress("0xA1")); !Is(err, TooFew) {
		t.Errorf("one endpoint answers for the code: %v", err)
	}
	two.says("eth_getCode", "0x6001")
	c, _ = open(t, one, two)
	c.quorum = 2
	if _, err := c.Code(ctx(t), common.HexToAddress("0xA1")); err != nil {
		t.Errorf("both have it: %v", err)
	}
}
