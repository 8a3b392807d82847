package ethereum

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"caos"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

const toldOrigin = "log.example/caos"

func toldRegistry() common.Address { return common.HexToAddress("0xA1") }

// anchorEntry is how a node lists a checkpoint.
func anchorEntry(size, block uint64, root byte) map[string]any {
	text := fmt.Sprintf("%x", toldOrigin)
	return map[string]any{
		"address": toldRegistry(), "blockNumber": fmt.Sprintf("0x%x", block), "blockHash": hashAt("main", block), "transactionHash": hashAt("tx", size),
		"transactionIndex": "0x0", "logIndex": "0x0", "removed": false,
		"topics": []any{TopicLogAnchored, crypto.Keccak256Hash([]byte(toldOrigin)), fmt.Sprintf("0x%064x", size)},
		"data":   fmt.Sprintf("0x%064x%064x%064x%s%s", root, 64, len(toldOrigin), text, strings.Repeat("0", 64-len(text))),
	}
}

// lists makes a node list entries, those of the blocks that it is asked for.
func (f *fake) lists(entries ...map[string]any) {
	f.on("eth_getLogs", func(p []json.RawMessage) any {
		from, to := asked(p)
		out := []any{}
		for _, e := range entries {
			var block uint64
			_, _ = fmt.Sscanf(e["blockNumber"].(string), "0x%x", &block)
			if block >= from && block <= to {
				out = append(out, e)
			}
		}
		return out
	})
}

func asked(p []json.RawMessage) (from, to uint64) {
	var q struct{ FromBlock, ToBlock string }
	_ = json.Unmarshal(p[0], &q)
	_, _ = fmt.Sscanf(q.FromBlock, "0x%x", &from)
	_, _ = fmt.Sscanf(q.ToBlock, "0x%x", &to)
	return from, to
}

func telling(from uint64) Telling {
	return Telling{Registry: toldRegistry(), Origin: toldOrigin, From: from, Back: 1000, Depth: 3}
}

func sizes(lists [][]LogAnchor) string {
	out := make([][]uint64, len(lists))
	for i, l := range lists {
		for _, a := range l {
			out[i] = append(out[i], a.TreeSize)
		}
	}
	return fmt.Sprint(out)
}

// Each endpoint's list is handed over by itself, and no endpoint decides for the others from
// where on entries are looked at later.
func TestAnchorsTold(t *testing.T) {
	two := []map[string]any{anchorEntry(5, 10, 1), anchorEntry(9, 20, 2)}
	for name, c := range map[string]struct {
		second func(f *fake, k *clock)
		want   string
		next   uint64
	}{
		"both":               {func(f *fake, _ *clock) { f.lists(two...) }, "[[5 9] [5 9]]", 29},
		"one hides an entry": {func(f *fake, _ *clock) { f.lists(two[1]) }, "[[5 9] [9]]", 29},
		"one hides all":      {func(f *fake, _ *clock) { f.lists() }, "[[5 9] []]", 29},
		"one invents":        {func(f *fake, _ *clock) { f.lists(two[0], anchorEntry(7, 11, 9)) }, "[[5 9] [5 7]]", 29},
		"one is far ahead":   {func(f *fake, k *clock) { f.chain("main", 1<<24, k.now().Add(time.Hour)); f.lists() }, "[[5 9] []]", 29},
		"one is without end": {func(f *fake, k *clock) { f.chain("main", math.MaxUint64, k.now()); f.lists() }, "[[5 9] []]", 29},
		"one stands still":   {func(f *fake, k *clock) { f.chain("main", 1, k.now()); f.lists() }, "[[5 9] []]", 5},
		"one lists other's": {func(f *fake, _ *clock) {
			f.lists(anchorEntry(5, 10, 1), func() map[string]any { e := anchorEntry(6, 12, 1); e["address"] = common.Address{1}; return e }())
		}, "[[5 9]]", 5},
		"one lists null": {func(f *fake, _ *clock) { f.says("eth_getLogs", []any{nil}) }, "[[5 9]]", 5},
		"one says null":  {func(f *fake, _ *clock) { f.says("eth_getLogs", nil) }, "[[5 9]]", 5},
		"one is down": {func(f *fake, _ *clock) {
			f.instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
		}, "[[5 9]]", 5},
		"one keeps no events": {func(f *fake, _ *clock) {
			f.says("eth_getLogs", refusal{Code: -32000, Message: "history has been pruned"})
		}, "[[5 9]]", 29},
		"one has no method": {func(f *fake, _ *clock) { f.on("eth_getLogs", nil) }, "[[5 9]]", 29},
		"one keeps the newest": {func(f *fake, _ *clock) {
			f.lists(two...)
			all := f.does["eth_getLogs"]
			f.on("eth_getLogs", func(p []json.RawMessage) any {
				if from, _ := asked(p); from < 15 {
					return refusal{Code: 4444, Message: "pruned history unavailable"}
				}
				return all(p)
			})
		}, "[[5 9] [9]]", 29},
		"one lists a few blocks at a time": {func(f *fake, _ *clock) {
			f.lists(two...)
			all := f.does["eth_getLogs"]
			f.on("eth_getLogs", func(p []json.RawMessage) any {
				if from, to := asked(p); to-from > 4 {
					return refusal{Code: -32005, Message: "query exceeds max block range 5"}
				}
				return all(p)
			})
		}, "[[5 9] [5 9]]", 29},
		"one answers a flood": {func(f *fake, _ *clock) {
			f.lists(two...)
			all := f.does["eth_getLogs"]
			f.on("eth_getLogs", func(p []json.RawMessage) any {
				if from, to := asked(p); to-from > 4 {
					return strings.Repeat("x", maxAnswer+1)
				}
				return all(p)
			})
		}, "[[5 9] [5 9]]", 29},
		"one lists very many": {func(f *fake, _ *clock) {
			f.lists(two...)
			all := f.does["eth_getLogs"]
			f.on("eth_getLogs", func(p []json.RawMessage) any {
				if from, to := asked(p); to-from > 10 {
					return make([]any, maxListed+1)
				}
				return all(p)
			})
		}, "[[5 9] [5 9]]", 29},
	} {
		t.Run(name, func(t *testing.T) {
			honest, other := node(t, 30), node(t, 30)
			honest.lists(two...)
			cl, k := open(t, honest, other)
			c.second(other, k)
			lists, next, err := cl.AnchorsTold(ctx(t), telling(5))
			if err != nil || sizes(lists) != c.want || next != c.next {
				t.Errorf("%s, next %d, %v; want %s, %d", sizes(lists), next, err, c.want, c.next)
			}
			if n := other.count("eth_getLogs"); n > maxLists {
				t.Errorf("%d questions", n)
			}
			noSecret(t, err)
		})
	}
}

// An honest endpoint whose registry has more entries than one answer may hold is no liar.
func TestManyEntriesAreNoLie(t *testing.T) {
	f := node(t, 30)
	f.lists(anchorEntry(5, 10, 1))
	all := f.does["eth_getLogs"]
	f.on("eth_getLogs", func(p []json.RawMessage) any {
		if from, to := asked(p); to-from > 10 {
			return make([]any, maxListed+1)
		}
		return all(p)
	})
	c, _ := open(t, f)
	if _, _, err := c.AnchorsTold(ctx(t), telling(0)); err != nil {
		t.Fatal(err)
	}
	if s := c.Status(ctx(t)); s[0].Error != "" {
		t.Errorf("it is blamed: %s", s[0].Error)
	}
}

// That nobody lists is an error, and says why; so is a list in parts without end.
func TestNobodyLists(t *testing.T) {
	one, two := node(t, 5000), node(t, 5000)
	c, _ := open(t, one, two)
	for _, says := range []any{refusal{Code: -32000, Message: "history has been pruned"}, make([]any, maxListed+1)} {
		one.says("eth_getLogs", says)
		two.says("eth_getLogs", says)
		lists, next, err := c.AnchorsTold(ctx(t), Telling{Registry: toldRegistry(), Origin: toldOrigin, From: 3, Depth: 3})
		if err == nil || next != 3 || len(lists) != 0 {
			t.Errorf("%v %d %v", lists, next, err)
		}
	}
	one.on("eth_getLogs", func(p []json.RawMessage) any {
		if from, to := asked(p); from != to {
			return refusal{Code: -32005, Message: "too long"}
		}
		return []any{}
	})
	lists, next, err := c.AnchorsTold(ctx(t), Telling{Registry: toldRegistry(), Origin: toldOrigin, From: 3, Depth: 3})
	if err == nil || next != 3 || len(lists) != 0 || one.count("eth_getLogs") > 3*maxLists {
		t.Errorf("%v %d %v after %d questions", lists, next, err, one.count("eth_getLogs"))
	}
}

// What a contract says counts as far as endpoints say the same: a value and a refusal are not
// the same, and one voice of two is told from two.
func TestCallAgreedVoices(t *testing.T) {
	call := Call{To: toldRegistry()}
	for name, c := range map[string]struct {
		second func(f *fake)
		voices int
		kind   ErrorKind
	}{
		"the same":        {func(f *fake) { f.says("eth_call", "0x01") }, 2, ""},
		"another value":   {func(f *fake) { f.says("eth_call", "0x02") }, 0, Disagree},
		"no contract":     {func(f *fake) { f.says("eth_call", "0x") }, 0, Disagree},
		"a refusal":       {func(f *fake) { f.says("eth_call", refusal{3, "execution reverted", "0x12345678"}) }, 0, Disagree},
		"nonsense":        {func(f *fake) { f.says("eth_call", 7) }, 1, ""},
		"no old state":    {func(f *fake) { f.says("eth_call", refusal{-32000, "missing trie node", nil}) }, 1, ""},
		"another history": {func(f *fake) { f.chain("other", 10, time.Unix(1_800_000_000, 0)); f.says("eth_call", "0x01") }, 0, Disagree},
		"a flood":         {func(f *fake) { f.says("eth_call", "0x"+strings.Repeat("00", maxAnswer)) }, 1, ""},
		"it is down": {func(f *fake) {
			f.instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
		}, 1, ""},
		"it lacks a block": {func(f *fake) { f.says("eth_getBlockByNumber", nil); f.says("eth_call", "0x02") }, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			honest, other := node(t, 10), node(t, 10)
			honest.says("eth_call", "0x01")
			cl, _ := open(t, honest, other)
			c.second(other)
			data, voices, err := cl.CallAgreed(ctx(t), call, 10)
			if c.kind != "" {
				if !Is(err, c.kind) || caos.AsError(err).Hint == "" {
					t.Errorf("%x by %d, %v", data, voices, err)
				}
				return
			}
			if err != nil || voices != c.voices || len(data) != 1 {
				t.Errorf("%x by %d, %v", data, voices, err)
			}
		})
	}
}
