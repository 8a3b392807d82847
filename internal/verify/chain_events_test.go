package verify

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestAnchorsOf: all checkpoints that a registry told of are found, whatever the node takes at
// once; a node that lies or does not agree is named.
func TestAnchorsOf(t *testing.T) {
	event := func(size uint64, origin string, block uint64) map[string]any {
		return map[string]any{"address": testRegistry, "blockNumber": fmt.Sprintf("0x%x", block), "removed": false,
			"topics": []string{topicAnchored, "0x" + word(0), "0x" + word(size)}, "data": "0x" + strings.Repeat("09", 32) + word(64) + abiText(origin)}
	}
	all := func() []map[string]any {
		return []map[string]any{event(3, testOrigin, 10), event(4, "other.test", 11), event(7, testOrigin, 90)}
	}
	for name, c := range map[string]struct {
		bend  func(events []map[string]any, from, to uint64) any
		sizes string // of what is listed
		says  string // of the error
	}{
		"at once": {func(e []map[string]any, _, _ uint64) any { return e }, "3 7", ""},
		"in parts": {func(e []map[string]any, from, to uint64) any {
			if to-from > 8 {
				return nil
			}
			return slices.DeleteFunc(e, func(one map[string]any) bool {
				n, _ := quantity(one["blockNumber"].(string))
				return n < from || n > to
			})
		}, "3 7", ""},
		"none":             {func([]map[string]any, uint64, uint64) any { return []any{} }, "", ""},
		"no list":          {func([]map[string]any, uint64, uint64) any { return nil }, "", "no list"},
		"of the future":    {func(e []map[string]any, _, _ uint64) any { e[0]["blockNumber"] = "0xffff"; return e }, "", "does not make"},
		"another contract": {func(e []map[string]any, _, _ uint64) any { e[0]["address"] = testBlockHash(1)[:42]; return e }, "", "does not make"},
		"another event": {func(e []map[string]any, _, _ uint64) any {
			e[0]["topics"] = []string{testBlockHash(1), "0x" + word(0), "0x" + word(1)}
			return e
		}, "", "does not make"},
		"two topics": {func(e []map[string]any, _, _ uint64) any {
			e[0]["topics"] = []string{topicAnchored, "0x" + word(1)}
			return e
		}, "", "does not make"},
		"an empty tree": {func(e []map[string]any, _, _ uint64) any { return []any{event(0, testOrigin, 1)} }, "", "does not make"},
		"no data":       {func(e []map[string]any, _, _ uint64) any { e[0]["data"] = "0x"; return e }, "", "does not make"},
		"a text beyond it": {func(e []map[string]any, _, _ uint64) any {
			e[0]["data"] = "0x" + word(9) + word(64) + word(1<<40)
			return e
		}, "", "does not make"},
		"another offset": {func(e []map[string]any, _, _ uint64) any {
			e[0]["data"] = "0x" + word(9) + word(96) + word(0)
			return e
		}, "", "does not make"},
		"taken back":        {func(e []map[string]any, _, _ uint64) any { e[0]["removed"] = true; return e }, "7", ""},
		"nothing but a sum": {func([]map[string]any, uint64, uint64) any { return "0x" }, "", "of another form"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newAnchoredWorld(t)
			w.node.ranged = func(from, to uint64) any { return c.bend(all(), from, to) }
			chains, err := OpenChains(t.Context(), []string{w.node.url}, nil)
			if err != nil {
				t.Fatal(err)
			}
			list, err := chains.AnchorsOf(t.Context(), w.trust.Chains[0], testOrigin)
			var sizes []string
			for _, a := range list {
				sizes = append(sizes, fmt.Sprint(a.Size))
			}
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) || err == nil && strings.Join(sizes, " ") != c.sizes {
				t.Errorf("%v, %v", sizes, err)
			}
			honest := newTestNode(t, 1337, testRegistry)
			honest.anchors = w.node.anchors
			honest.ranged = func(uint64, uint64) any { return all()[2:] }
			if chains, err = OpenChains(t.Context(), []string{w.node.url, honest.url}, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := chains.AnchorsOf(t.Context(), w.trust.Chains[0], testOrigin); (err == nil) != (c.sizes == "7") {
				t.Errorf("two that do not agree: %v", err)
			}
		})
	}
}
