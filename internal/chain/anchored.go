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
}

// maxLists bounds the questions for one list of checkpoints: nodes refuse long ones, and are
// then asked for halves.
const maxLists = 128

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
	raw, err := client.CallAgreed(ctx, ethereum.Call{To: registry, Data: data}, head.Number)
	if err != nil {
		return a, err
	}
	got, err := read(raw)
	if err != nil || !got.Exists {
		return a, err
	}
	if got.BlockNumber > head.Number || got.TreeSize == 0 {
		return a, caos.Errorf(caos.Unavailable, "the registry's answer makes no sense: %d leaves in block %d, and the newest block is %d", got.TreeSize, got.BlockNumber, head.Number).
			WithHint("check chain.registry and chain.endpoints")
	}
	return LogAnchor{got.TreeSize, got.Root, got.BlockNumber, head.Number-got.BlockNumber+1 >= c.opt.Settings.Confirmations}, nil
}

func (c *Chain) registry() (*ethereum.Client, common.Address, error) {
	if c.opt.Client == nil || c.opt.Settings.Registry == "" {
		return nil, common.Address{}, caos.Errorf(caos.Unavailable, "there is no chain with a registry").WithHint("configure chain with its registry")
	}
	return c.opt.Client, common.HexToAddress(c.opt.Settings.Registry), nil
}

// AnchorsSince lists the checkpoints of a log that the registry told of in final blocks, from
// a block on, or in the newest back of them if from is 0; next is where to go on. It is one
// endpoint's word: ask AnchorAt before it counts. Only Size and Root are set.
func (c *Chain) AnchorsSince(ctx context.Context, origin string, from, back uint64) (list []LogAnchor, next uint64, err error) {
	client, registry, err := c.registry()
	if err != nil {
		return nil, 0, err
	}
	head, err := client.Head(ctx)
	if err != nil {
		return nil, 0, err
	}
	if head.Number+1 < c.opt.Settings.Confirmations+from {
		return nil, from, nil // nothing is final since then
	}
	to := head.Number + 1 - c.opt.Settings.Confirmations
	if from == 0 && to > back {
		from = to - back
	}
	l := listing{client: client, registry: registry, origin: origin, left: maxLists}
	if err := l.read(ctx, from, to); err != nil {
		return nil, 0, err
	}
	return l.list, to + 1, nil
}

// listing is the reading of one list in parts.
type listing struct {
	client   *ethereum.Client
	registry common.Address
	origin   string
	left     int // questions
	list     []LogAnchor
}

func (l *listing) read(ctx context.Context, from, to uint64) error {
	if l.left--; l.left < 0 {
		return caos.Errorf(caos.Unavailable, "the endpoints list the registry's entries in too small parts")
	}
	part, err := l.client.AnchorsListed(ctx, l.registry, l.origin, from, to)
	if err != nil {
		if ctx.Err() != nil || from == to || ethereum.Is(err, ethereum.Down) {
			return err
		}
		middle := from + (to-from)/2
		if err := l.read(ctx, from, middle); err != nil {
			return err
		}
		return l.read(ctx, middle+1, to)
	}
	for _, a := range part {
		l.list = append(l.list, LogAnchor{Size: a.TreeSize, Root: a.Root})
	}
	return nil
}
