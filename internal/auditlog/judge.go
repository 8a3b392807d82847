package auditlog

import (
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// group is 256 leaves (fewer at the end of the log) with what three places say about them.
type group struct {
	index  int64
	rows   []tlog.Hash // hashes of the stored leaves
	there  []bool      // which rows exist
	tile   []tlog.Hash // the level 0 tile; nil if it is missing or of another width
	parent *tlog.Hash  // the entry of the level 1 tile; nil if missing or the group is unfinished
}

// verdict says which of them to believe.
type verdict struct {
	hash    tlog.Hash // of the subtree
	leaves  []tlog.Hash
	rows    []int // rows that are not the leaves they should be
	tileBad bool
	// disputed: rows and tile agree, the parent says otherwise. One of them was rewritten;
	// the root of the tree tells which.
	disputed bool
}

// judge compares the three. Two that agree outvote the third.
func (g *group) judge() verdict {
	complete := !slices.Contains(g.there, false)
	var bad []int
	for i := range g.tile { // what a missing tile would say is decided below
		if !g.there[i] || g.rows[i] != g.tile[i] {
			bad = append(bad, i)
		}
	}
	switch {
	case g.tile != nil && len(bad) == 0:
		v := verdict{hash: treeOf(g.tile), leaves: g.tile}
		v.disputed = g.parent != nil && *g.parent != v.hash
		return v
	case g.tile != nil && g.parent != nil && treeOf(g.tile) == *g.parent:
		return verdict{hash: *g.parent, leaves: g.tile, rows: bad}
	case complete && g.parent != nil && treeOf(g.rows) == *g.parent:
		return verdict{hash: *g.parent, leaves: g.rows, tileBad: true}
	case g.tile == nil:
		v := verdict{hash: treeOf(g.rows), leaves: g.rows, tileBad: true}
		for i, there := range g.there {
			if !there {
				v.rows = append(v.rows, i)
			}
		}
		v.disputed = g.parent != nil && complete
		if g.parent != nil && !complete {
			v.hash = *g.parent
		}
		return v
	}
	v := verdict{hash: treeOf(g.tile), leaves: g.tile, rows: bad, tileBad: g.parent != nil}
	if g.parent != nil {
		v.hash = *g.parent
	}
	return v
}

// forest holds the hashes of all full groups and of the perfect subtrees above them.
type forest struct{ levels [][]tlog.Hash }

func newForest(groups []tlog.Hash) *forest {
	f := &forest{levels: [][]tlog.Hash{groups}}
	for below := groups; len(below) > 1; {
		level := make([]tlog.Hash, len(below)/2)
		for i := range level {
			level[i] = tlog.NodeHash(below[2*i], below[2*i+1])
		}
		f.levels = append(f.levels, level)
		below = level
	}
	return f
}

// root returns the root of the tree of the first full groups and a tail of further leaves,
// whose own root is given; the tail is ignored if it is empty.
func (f *forest) root(full int64, tail tlog.Hash, tailLen int) tlog.Hash {
	h, have := tail, tailLen > 0
	for k := 0; full>>k > 0; k++ {
		if full>>k&1 == 0 {
			continue
		}
		peak := f.levels[k][full>>k-1]
		if have {
			h = tlog.NodeHash(peak, h)
		} else {
			h, have = peak, true
		}
	}
	if !have {
		return emptyRoot()
	}
	return h
}

// entries returns what the tiles of a level above 0 must hold, all of them.
func (f *forest) entries(level int) []tlog.Hash {
	k := tileBits * (level - 1)
	if k >= len(f.levels) {
		return nil
	}
	return f.levels[k]
}

// topLevel is the highest level of tiles of a log.
func topLevel(size int64) int {
	if size == 0 {
		return 0
	}
	return (bits.Len64(uint64(size)) - 1) / tileBits
}
