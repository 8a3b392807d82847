package auditlog

import (
	"crypto/sha256"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// The tree is cut into tiles of 256 hashes (C2SP tlog-tiles): entry i of level l is the
// hash of the perfect subtree over leaves [i*256^l, (i+1)*256^l).
const (
	tileBits  = 8
	tileWidth = 1 << tileBits
	// maxLevels is enough for 2^56 leaves, more than positions have room for.
	maxLevels = 7
)

// tile is a tile as it is stored: full, or partial at the right edge of its level.
type tile struct {
	level int
	index int64
	data  []byte // 32 bytes per hash
}

// edge is the right edge of a tree: all that is needed to add leaves and to know the
// root. It is a few kilobytes for a tree of any size. An edge is never changed once it was
// made; grow returns a new one, so that an aborted batch costs nothing.
type edge struct {
	size  int64
	peaks [maxLevels * tileBits]tlog.Hash // peaks[k] counts when bit k of size is set
	tiles [maxLevels][]tlog.Hash          // hashes of the unfinished tile of each level
}

// grow returns the edge after leaves were added, and the tiles to store: every one that
// was finished or lengthened, each once.
func (e *edge) grow(leaves []tlog.Hash) (*edge, []tile) {
	next := &edge{size: e.size, peaks: e.peaks}
	for l, t := range e.tiles {
		next.tiles[l] = append(make([]tlog.Hash, 0, tileWidth), t...)
	}
	var out []tile
	for _, h := range leaves {
		out = next.add(h, out)
	}
	for l, t := range next.tiles {
		if width := len(t); width > 0 && next.size>>(tileBits*l) != e.size>>(tileBits*l) {
			out = append(out, tile{l, next.size >> (tileBits * (l + 1)), tileData(t)})
		}
	}
	return next, out
}

// add appends one leaf hash and the subtree hashes that it completes.
func (e *edge) add(h tlog.Hash, out []tile) []tile {
	k := 0
	for {
		if k%tileBits == 0 {
			l := k / tileBits
			e.tiles[l] = append(e.tiles[l], h)
			if len(e.tiles[l]) == tileWidth {
				out = append(out, tile{l, e.size >> (tileBits * (l + 1)), tileData(e.tiles[l])})
				e.tiles[l] = e.tiles[l][:0]
			}
		}
		if e.size>>k&1 == 0 {
			break
		}
		h = tlog.NodeHash(e.peaks[k], h)
		k++
	}
	e.peaks[k] = h
	e.size++
	return out
}

// root returns the RFC 6962 hash of the tree.
func (e *edge) root() tlog.Hash {
	if e.size == 0 {
		return emptyRoot()
	}
	k := bits.TrailingZeros64(uint64(e.size))
	h := e.peaks[k]
	for k++; k < len(e.peaks); k++ {
		if e.size>>k&1 == 1 {
			h = tlog.NodeHash(e.peaks[k], h)
		}
	}
	return h
}

// edgeOf rebuilds the edge of a tree of size leaves from its stored unfinished tiles, by
// level. It fails if one is shorter than size demands; longer ones are cut, because a
// longer tile is what a larger tree stores.
func edgeOf(size int64, tiles [maxLevels][]byte) (*edge, error) {
	e := &edge{size: size}
	for l := range tiles {
		width := tailWidth(size, l)
		if len(tiles[l]) < width*tlog.HashSize {
			return nil, fmt.Errorf("tile %d/%d holds %d bytes, a log of %d leaves needs %d",
				l, size>>(tileBits*(l+1)), len(tiles[l]), size, width*tlog.HashSize)
		}
		hs := tileHashes(tiles[l][:width*tlog.HashSize])
		e.tiles[l] = hs
		for b := tileBits - 1; b >= 0; b-- {
			if n := 1 << b; width&n != 0 {
				e.peaks[l*tileBits+b] = subtree(hs[:n])
				hs = hs[n:]
			}
		}
	}
	return e, nil
}

// tailWidth is the number of hashes in the unfinished tile of a level, 0 to 255.
func tailWidth(size int64, level int) int {
	return int(size>>(tileBits*level)) & (tileWidth - 1)
}

// levelWidth is the number of hashes that a level holds in all.
func levelWidth(size int64, level int) int64 { return size >> (tileBits * level) }

// subtree returns the hash over a power of two of hashes.
func subtree(hs []tlog.Hash) tlog.Hash {
	if len(hs) == 1 {
		return hs[0]
	}
	var buf [tileWidth / 2]tlog.Hash
	n := len(hs) / 2
	for i := range n {
		buf[i] = tlog.NodeHash(hs[2*i], hs[2*i+1])
	}
	for ; n > 1; n /= 2 {
		for i := range n / 2 {
			buf[i] = tlog.NodeHash(buf[2*i], buf[2*i+1])
		}
	}
	return buf[0]
}

// treeOf returns the RFC 6962 hash of a tree whose leaves have the hashes hs.
func treeOf(hs []tlog.Hash) tlog.Hash {
	switch len(hs) {
	case 0:
		return emptyRoot()
	case 1:
		return hs[0]
	}
	k := 1 << (bits.Len(uint(len(hs)-1)) - 1)
	return tlog.NodeHash(treeOf(hs[:k]), treeOf(hs[k:]))
}

func emptyRoot() tlog.Hash { return tlog.Hash(sha256.Sum256(nil)) }

func tileData(hs []tlog.Hash) []byte {
	data := make([]byte, 0, len(hs)*tlog.HashSize)
	for i := range hs {
		data = append(data, hs[i][:]...)
	}
	return data
}

func tileHashes(data []byte) []tlog.Hash {
	hs := make([]tlog.Hash, len(data)/tlog.HashSize)
	for i := range hs {
		copy(hs[i][:], data[i*tlog.HashSize:])
	}
	return hs
}
