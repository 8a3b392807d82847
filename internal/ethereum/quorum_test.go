package ethereum

import (
	"strings"
	"testing"

	"caos"
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
