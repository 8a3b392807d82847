package auditlog

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/tlog"
)

func leafHashes(n int) []tlog.Hash {
	hs := make([]tlog.Hash, n)
	for i := range hs {
		hs[i] = tlog.RecordHash(fmt.Appendf(nil, "leaf %d", i))
	}
	return hs
}

// TestGrowEqualsOracle grows trees in steps of many sizes and compares roots with another
// implementation and tiles with their definition.
func TestGrowEqualsOracle(t *testing.T) {
	const n = 70_000 // crosses into level 2
	leaves := leafHashes(n)
	oracle := testonly.New(rfc6962.DefaultHasher)
	for i := range n {
		oracle.AppendData(fmt.Appendf(nil, "leaf %d", i))
	}
	for _, steps := range [][]int{{1}, {255, 1, 256, 257}, {7, 1000, 3}, {n}} {
		store := map[[2]int64][]byte{}
		e := &edge{}
		for i := 0; e.size < n; i++ {
			if steps[0] == 1 && e.size > 2000 { // one by one only at first
				steps = []int{9973}
			}
			count := min(int64(steps[i%len(steps)]), n-e.size)
			next, tiles := e.grow(leaves[e.size : e.size+count])
			seen := map[[2]int64]bool{}
			for _, tl := range tiles {
				key := [2]int64{int64(tl.level), tl.index}
				if seen[key] {
					t.Fatalf("tile %v written twice", key)
				}
				seen[key] = true
				if old := store[key]; !bytes.HasPrefix(tl.data, old) || len(tl.data) == len(old) {
					t.Fatalf("tile %v did not grow", key)
				}
				store[key] = tl.data
			}
			e = next
			if got := e.root(); !bytes.Equal(got[:], oracle.HashAt(uint64(e.size))) {
				t.Fatalf("root of %d leaves differs", e.size)
			}
			checkEdge(t, e, store)
		}
		checkTiles(t, leaves, store)
	}
}

// checkEdge rebuilds the edge from the stored tiles.
func checkEdge(t *testing.T, e *edge, store map[[2]int64][]byte) {
	t.Helper()
	var tails [maxLevels][]byte
	for l := range tails {
		tails[l] = store[[2]int64{int64(l), e.size >> (8 * (l + 1))}]
	}
	again, err := edgeOf(e.size, tails)
	if err != nil || again.root() != e.root() {
		t.Fatalf("edge of %d leaves was not restored: %v", e.size, err)
	}
}

func checkTiles(t *testing.T, leaves []tlog.Hash, store map[[2]int64][]byte) {
	t.Helper()
	level := leaves
	for l := int64(0); len(level) > 0; l++ {
		var above []tlog.Hash
		for i := 0; i < len(level); i += tileWidth {
			part := level[i:min(i+tileWidth, len(level))]
			if !bytes.Equal(store[[2]int64{l, int64(i / tileWidth)}], tileData(part)) {
				t.Fatalf("tile %d/%d differs from its definition", l, i/tileWidth)
			}
			if len(part) == tileWidth {
				above = append(above, treeOf(part))
			}
		}
		level = above
	}
}

func TestTreeOfEqualsOracle(t *testing.T) {
	oracle := testonly.New(rfc6962.DefaultHasher)
	leaves := leafHashes(600)
	for n := range leaves {
		if got := treeOf(leaves[:n]); !bytes.Equal(got[:], oracle.HashAt(uint64(n))) {
			t.Fatalf("root of %d leaves differs", n)
		}
		oracle.AppendData(fmt.Appendf(nil, "leaf %d", n))
	}
}

func TestEdgeOfRefusesShortTiles(t *testing.T) {
	if _, err := edgeOf(5, [maxLevels][]byte{make([]byte, 4*32)}); err == nil {
		t.Error("an edge was made of too few hashes")
	}
}

func BenchmarkGrow256(b *testing.B) {
	leaves := leafHashes(256)
	e := &edge{}
	for b.Loop() {
		e, _ = e.grow(leaves)
		e.root()
	}
}
