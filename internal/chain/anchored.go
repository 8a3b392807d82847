package chain

import (
	"context"

	"github.com/ethereum/go-ethereum/common"

	"caos"
	"caos/internal/ethereum"
)

// LogAnchor is a checkpoint of a log that the registry has. The zero value is none.
type LogAnchor struct {
	Size  uint64 // leaves
	Root  [32]byte
	Block uint64 // that has its transaction
	Final bool   // Block is as deep as Settings.Confirmations asks
	Sole  bool   // one endpoint alone says so, or that there is none, and others are configured: it proves nothing
}

// LastAnchor asks the registry for the largest checkpoint of a log. All endpoints that answer
// have to say the same. Errors: Unavailable, among them that they do not; Invalid (of
// chain.registry) if no registry is there.
func (c *Chain) LastAnchor(ctx context.Context, origin string) (LogAnchor, error) {
	data, err := ethereum.PackLastAnchor(origin)
	if err != nil {
		return LogAnchor{}, err
	}
	return c.anchorRead(ctx, data, ethereum.UnpackLastAnchor)
}

// AnchorAt asks the registry for the checkpoint of a log of exactly so many leaves, as
// LastAnchor does.
func (c *Chain) AnchorAt(ctx context.Context, origin string, size uint64) (LogAnchor, error) {
	data, err := ethereum.PackAnchorOf(origin, size)
	if err != nil {
		return LogAnchor{}, err
	}
	return c.anchorRead(ctx, data, func(raw []byte) (ethereum.Anchored, error) { return ethereum.UnpackAnchorOf(size, raw) })
}

func (c *Chain) anchorRead(ctx context.Context, data []byte, read func([]byte) (ethereum.Anchored, error)) (a LogAnchor, err error) {
	client, registry, err := c.registry()
	if err != nil {
		return a, err
	}
	head, err := client.Head(ctx)
	if err != nil {
		return a, err
	}
	raw, voices, err := client.CallAgreed(ctx, ethereum.Call{To: registry, Data: data}, head.Number)
	if err != nil {
		return a, err
	}
	_, configured := client.Quorum()
	a.Sole = voices < 2 && configured > 1
	got, err := read(raw)
	if err != nil || !got.Exists {
		return a, err
	}
	if got.BlockNumber > head.Number || got.TreeSize == 0 {
		return a, caos.Errorf(caos.Unavailable, "the registry's answer makes no sense: %d leaves in block %d, and the newest block is %d", got.TreeSize, got.BlockNumber, head.Number).
			WithHint("check chain.registry and chain.endpoints")
	}
	a.Size, a.Root, a.Block, a.Final = got.TreeSize, got.Root, got.BlockNumber, head.Number-got.BlockNumber+1 >= c.opt.Settings.Confirmations
	return a, nil
}

func (c *Chain) registry() (*ethereum.Client, common.Address, error) {
	if c.opt.Client == nil || c.opt.Settings.Registry == "" {
		return nil, common.Address{}, caos.Errorf(caos.Unavailable, "there is no chain with a registry").WithHint("configure chain with its registry")
	}
	return c.opt.Client, common.HexToAddress(c.opt.Settings.Registry), nil
}

// AnchorsSince lists the checkpoints of a log that the registry told of in final blocks, from
// a block on, or in the newest back of them if from is 0; next is where to go on, which is from
// while an endpoint cannot be reached. It is one list for each endpoint that lists any, and
// that endpoint's word alone: ask AnchorAt before it counts, and judge each list by itself, so
// that one endpoint's inventions do not cover up what another says. Only Size and Root are set.
func (c *Chain) AnchorsSince(ctx context.Context, origin string, from, back uint64) (lists [][]LogAnchor, next uint64, err error) {
	client, registry, err := c.registry()
	if err != nil {
		return nil, from, err
	}
	told, next, err := client.AnchorsTold(ctx, ethereum.Telling{Registry: registry, Origin: origin, From: from, Back: back, Depth: c.opt.Settings.Confirmations})
	for _, one := range told {
		list := make([]LogAnchor, len(one))
		for i, a := range one {
			list[i] = LogAnchor{Size: a.TreeSize, Root: a.Root}
		}
		lists = append(lists, list)
	}
	return lists, next, err
}
