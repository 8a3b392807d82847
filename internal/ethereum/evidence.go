package ethereum

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"sync"
	"time"

	"caos"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// This file has what is read of a contract to hold it against somebody.

const (
	// maxListed bounds the entries that one answer may list, and all of one endpoint.
	maxListed = 10_000
	// maxLists bounds the questions to one endpoint for one list: nodes refuse long ones, and are
	// then asked for halves.
	maxLists = 128
	// listWithin is how long one endpoint has to list, so that one which is slow on purpose
	// keeps nobody from what the others list.
	listWithin = 20 * time.Second
)

// CallAgreed is Call at a block of which the endpoints that answer say the same: an accusation
// must not rest on one that made it up. voices is how many of them say so: one, where several
// are configured, proves nothing. A difference, also between a value and a refusal by the
// contract, is an error of kind disagreement; fewer answers than Settings.Agree asks for are one
// of kind too-few.
func (c *Client) CallAgreed(ctx context.Context, call Call, block uint64) (data []byte, voices int, err error) {
	if err := c.Agree(ctx, block); err != nil {
		return nil, 0, err
	}
	const method = "eth_call"
	var says, said []string
	var refused, last *RPCError
	same := true
	for _, a := range everyone(ctx, c, c.usable(true), question[[]byte]{method, []any{call.params(), hexutil.Uint64(block)}, byteString}, patience) {
		switch {
		case a.err == nil:
			said = append(said, "value "+string(a.value))
			data = a.value
			says = append(says, fmt.Sprintf("%s says that %s answers %d bytes with the hash %s at block %d", a.from.shown, call.To.Hex(), len(a.value), short(crypto.Keccak256Hash(a.value)), block))
		case a.err.Kind == Reverted:
			said, refused = append(said, "revert"), a.err
			says = append(says, fmt.Sprintf("%s says that %s refuses at block %d", a.from.shown, call.To.Hex(), block))
		default:
			last = worse(last, a.err)
			continue
		}
		same = same && said[0] == said[len(said)-1]
	}
	switch {
	case !same:
		return nil, 0, disagreement(method, says)
	case refused != nil:
		return nil, 0, refused.public()
	case len(said) > 0: // that so many have the block says nothing of who answers for the contract
		return data, len(said), c.enough(method, len(said))
	case last != nil:
		return nil, 0, last.public()
	}
	return nil, 0, c.nobody(method)
}

// Telling asks for what a registry told of the checkpoints of a log.
type Telling struct {
	Registry common.Address
	Origin   string
	From     uint64 // first block
	Back     uint64 // if From is 0: so many blocks before the last at most
	Depth    uint64 // blocks from an entry's to the newest, both counted, before it is of interest
}

// AnchorsTold has every endpoint list what a registry told of a log's checkpoints, each up to
// the block that lies deep enough below its own newest: one that leaves out or makes up what it
// likes, or is ahead of all others, must not decide what is looked at. It is one list for each
// endpoint that lists anything at all, in the order of the blocks, and nothing in them counts
// before the contract was asked. next is the first block that is not done with: From again
// while an endpoint that may have something to say cannot be reached. An error says that no
// endpoint lists all; there may be lists of the newest nevertheless.
func (c *Client) AnchorsTold(ctx context.Context, q Telling) (lists [][]LogAnchor, next uint64, err error) {
	tellers := make([]*teller, 0, len(c.endpoints))
	for _, e := range c.usable(false) {
		tellers = append(tellers, &teller{c: c, e: e, q: q, left: maxLists})
	}
	var wg sync.WaitGroup
	for _, t := range tellers {
		wg.Go(func() { t.tell(ctx) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, q.From, caos.Wrap(caos.Unavailable, context.Cause(ctx), "the endpoints were not asked to the end").WithHint("try again")
	}
	var last *RPCError
	all := len(tellers) == len(c.endpoints)
	whole := false
	next = math.MaxUint64
	for _, t := range tellers {
		switch {
		case t.err == nil:
			next, whole = min(next, t.next), true
		case t.err.answered(): // it lists no more than it did, now or later
			last = worse(last, t.err)
		default:
			last, all = worse(last, t.err), false
		}
		if t.err == nil || len(t.list) > 0 {
			lists = append(lists, t.list)
		}
	}
	if !all || !whole {
		next = q.From
	}
	switch {
	case whole:
		return lists, next, nil
	case last != nil:
		return lists, next, last.public()
	}
	return nil, next, c.nobody("eth_getLogs")
}

// teller is one endpoint that lists.
type teller struct {
	c    *Client
	e    *endpoint
	q    Telling
	left int // questions
	next uint64
	list []LogAnchor
	err  *RPCError // why it did not list all; what it listed is there
}

func (t *teller) tell(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, listWithin)
	defer cancel()
	t.next = t.q.From
	head, err := one(ctx, t.c, t.e, question[Block]{"eth_getBlockByNumber", []any{"latest", false}, blockOf})
	if t.err = err; err != nil {
		return
	}
	above := max(t.q.Depth, 1) - 1
	if head.Number < above || head.Number-above < t.q.From {
		return // nothing is deep enough since then
	}
	from, to := t.q.From, head.Number-above
	if from == 0 && to > t.q.Back {
		from = to - t.q.Back
	}
	if t.err = t.read(ctx, from, to); t.err == nil {
		t.next = min(to, math.MaxUint64-1) + 1
	}
}

// told is one answer to the question for a list.
type told struct {
	list    []LogAnchor
	tooMany bool
}

// read lists the entries of some blocks, the newest first: a node that has thrown away what is
// old still has the rest.
func (t *teller) read(ctx context.Context, from, to uint64) *RPCError {
	if t.left--; t.left < 0 {
		return &RPCError{Kind: BadRequest, Method: "eth_getLogs", Endpoint: t.e.shown, Text: t.e.shown + " lists the registry's entries in too small parts"}
	}
	part, err := one(ctx, t.c, t.e, t.question(from, to))
	if err == nil && !part.tooMany {
		t.list = append(part.list, t.list...)
		return nil
	}
	if err == nil && from == to {
		err = &RPCError{Kind: BadRequest, Method: "eth_getLogs", Endpoint: t.e.shown, Text: fmt.Sprintf("%s lists more than %d entries of one block", t.e.shown, maxListed)}
	}
	const unknownMethod = -32601
	if err != nil && (from == to || !err.answered() && !err.huge || err.Code == unknownMethod) {
		return err
	}
	middle := from + (to-from)/2
	if err := t.read(ctx, middle+1, to); err != nil {
		return err
	}
	if len(t.list) >= maxListed {
		return &RPCError{Kind: BadRequest, Method: "eth_getLogs", Endpoint: t.e.shown, Text: fmt.Sprintf("%s lists more than %d entries", t.e.shown, maxListed)}
	}
	return t.read(ctx, from, middle)
}

func (t *teller) question(from, to uint64) question[told] {
	filter := map[string]any{"address": t.q.Registry, "fromBlock": hexutil.Uint64(from), "toBlock": hexutil.Uint64(to),
		"topics": []any{TopicLogAnchored, crypto.Keccak256Hash([]byte(t.q.Origin))}}
	return question[told]{"eth_getLogs", []any{filter}, func(raw json.RawMessage) (out told, err error) {
		var logs []*types.Log
		switch err := json.Unmarshal(raw, &logs); {
		case err != nil:
			return out, fmt.Errorf("its list of entries cannot be read: %w", err)
		case isNull(raw):
			return out, fmt.Errorf("it gives no list")
		case len(logs) > maxListed: // no lie by itself: a registry may have so many
			return told{tooMany: true}, nil
		}
		out.list = make([]LogAnchor, 0, len(logs))
		for _, l := range logs {
			if l == nil {
				return out, fmt.Errorf("it lists an entry that is none")
			}
			e, err := DecodeLogAnchored(l)
			switch {
			case err != nil:
				return out, err
			case l.Address != t.q.Registry || e.Origin != t.q.Origin || l.BlockNumber < from || l.BlockNumber > to:
				return out, fmt.Errorf("it lists an entry that was not asked for")
			case !l.Removed:
				out.list = append(out.list, LogAnchor{Origin: e.Origin, TreeSize: e.TreeSize, Root: e.Root})
			}
		}
		return out, nil
	}}
}
