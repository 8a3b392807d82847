package chain

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"caos"
	"caos/internal/ethereum"
)

const (
	watched  = 64  // blocks for which what is final is watched
	furthest = 256 // blocks that are walked one by one; beyond that each transaction is asked for
	few      = 8   // attempts that are asked for one by one instead of reading whole blocks
	abreast  = 8   // questions at once
)

// view is what everybody may know of where the chain is.
type view struct {
	mu      sync.Mutex
	tip     ethereum.Block
	at      time.Time // when a head was last read
	problem string
}

func (v *view) number() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.tip.Number
}

func (v *view) set(tip ethereum.Block, at time.Time, problem string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tip, v.problem = tip, problem
	if !at.IsZero() {
		v.at = at
	}
}

func (v *view) get() (ethereum.Block, time.Time, string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.tip, v.at, v.problem
}

// road is the canonical chain as far as the keeper has walked it: blocks without a gap, each
// the parent of the next.
type road struct {
	net    *network
	blocks map[uint64]ethereum.Block
	tip    ethereum.Block
	keep   uint64 // blocks that are kept behind the tip
	behind time.Time
	now    func() time.Time
}

// step is what changed by walking to a new head.
type step struct {
	fresh []ethereum.Block // new blocks in their order; after a cold start none
	fork  uint64           // blocks from here on were replaced, if reorg
	reorg bool
	cold  bool // the road begins anew: nothing is known of the blocks between
}

// walk goes to a head. A head that is behind on the same road is an endpoint that is late,
// unless it stays there for patience.
func (w *road) walk(ctx context.Context, head ethereum.Block, patience time.Duration) (step, error) {
	if len(w.blocks) == 0 {
		w.restart(head)
		return step{cold: true}, nil
	}
	known, has := w.blocks[head.Number]
	if has && known.Hash == head.Hash {
		if head.Number == w.tip.Number {
			w.behind = time.Time{}
			return step{}, nil
		}
		if w.behind.IsZero() {
			w.behind = w.now()
		}
		if w.now().Sub(w.behind) < patience {
			return step{}, nil
		}
		w.cut(head.Number) // the chain became shorter
		return step{reorg: true, fork: head.Number + 1}, nil
	}
	w.behind = time.Time{}
	list := []ethereum.Block{head}
	for {
		at := list[len(list)-1]
		if at.Number == 0 || len(list) > furthest {
			w.restart(head)
			return step{cold: true}, nil
		}
		if parent, has := w.blocks[at.Number-1]; has && parent.Hash == at.Parent {
			break
		} else if !has && at.Number-1 < w.low() {
			w.restart(head)
			return step{cold: true}, nil
		}
		parent, err := w.net.Block(ctx, at.Number-1)
		if err != nil {
			return step{}, err
		}
		if parent.Hash != at.Parent || parent.Number != at.Number-1 {
			return step{}, caos.Errorf(caos.Unavailable, "the chain changed while it was walked")
		}
		list = append(list, parent)
	}
	slices.Reverse(list)
	s := step{fresh: list, fork: list[0].Number, reorg: list[0].Number <= w.tip.Number}
	w.cut(list[0].Number - 1)
	for _, b := range list {
		w.blocks[b.Number] = b
	}
	w.tip = head
	maps.DeleteFunc(w.blocks, func(n uint64, _ ethereum.Block) bool { return n+w.keep < head.Number })
	return s, nil
}

func (w *road) low() uint64 {
	low := w.tip.Number
	for low > 0 {
		if _, has := w.blocks[low-1]; !has {
			break
		}
		low--
	}
	return low
}

func (w *road) restart(head ethereum.Block) {
	w.blocks, w.tip, w.behind = map[uint64]ethereum.Block{head.Number: head}, head, time.Time{}
}

// cut forgets the blocks above a number.
func (w *road) cut(number uint64) {
	maps.DeleteFunc(w.blocks, func(n uint64, _ ethereum.Block) bool { return n > number })
	w.tip, w.behind = w.blocks[number], time.Time{}
}

// canonical reports whether the block with a number has a hash.
func (w *road) canonical(ctx context.Context, number uint64, hash common.Hash) (bool, error) {
	if b, has := w.blocks[number]; has {
		return b.Hash == hash, nil
	}
	if number > w.tip.Number {
		return false, nil
	}
	b, err := w.net.Block(ctx, number)
	if ethereum.Is(err, ethereum.Missing) {
		return false, nil
	}
	return err == nil && b.Hash == hash, err
}

// inBlocks looks for attempts in whole blocks.
func (w *road) inBlocks(ctx context.Context, blocks []ethereum.Block, wanted map[common.Hash]bool) (map[common.Hash]*types.Receipt, error) {
	found := map[common.Hash]*types.Receipt{}
	for _, b := range blocks {
		list, err := w.net.Receipts(ctx, b.Hash)
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			if wanted[r.TxHash] && fits(r, b) {
				found[r.TxHash] = r
			}
		}
	}
	return found, nil
}

func fits(r *types.Receipt, b ethereum.Block) bool {
	return r.BlockHash == b.Hash && r.BlockNumber != nil && r.BlockNumber.IsUint64() && r.BlockNumber.Uint64() == b.Number
}

// oneByOne asks for attempts, and keeps those that lie on the road. An endpoint that is
// ahead of the road by a block is heard at the next step.
func (w *road) oneByOne(ctx context.Context, hashes []common.Hash) (map[common.Hash]*types.Receipt, error) {
	var mu sync.Mutex
	var first error
	found := map[common.Hash]*types.Receipt{}
	gate := make(chan struct{}, abreast)
	var parts sync.WaitGroup
	for _, h := range hashes {
		gate <- struct{}{}
		parts.Go(func() {
			defer func() { <-gate }()
			r, err := w.net.Receipt(ctx, h)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && r != nil && r.TxHash == h && r.BlockNumber != nil && r.BlockNumber.IsUint64():
				found[h] = r
			case err != nil && !ethereum.Is(err, ethereum.Missing) && caos.KindOf(err) != caos.NotFound && first == nil:
				first = err
			}
		})
	}
	parts.Wait()
	if first != nil {
		return nil, first
	}
	for h, r := range found {
		on, err := w.canonical(ctx, r.BlockNumber.Uint64(), r.BlockHash)
		if err != nil {
			return nil, err
		}
		if !on {
			delete(found, h)
		}
	}
	return found, nil
}
