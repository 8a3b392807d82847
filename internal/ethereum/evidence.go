package ethereum

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// This file has what is read of a contract to hold it against somebody.

// maxListed bounds the entries that one answer may list.
const maxListed = 10_000

// CallAgreed is Call at a block of which the endpoints that answer say the same: an accusation
// must not rest on one that made it up. A difference is an error of kind disagreement; fewer
// answers than Settings.Agree asks for are one of kind too-few.
func (c *Client) CallAgreed(ctx context.Context, call Call, block uint64) ([]byte, error) {
	if err := c.Agree(ctx, block); err != nil {
		return nil, err
	}
	all, err := everywhere(ctx, c, c.usable(true), question[[]byte]{"eth_call", []any{call.params(), hexutil.Uint64(block)}, byteString}, patience)
	if err != nil {
		return nil, err
	}
	same := true
	says := make([]string, 0, len(all))
	for _, a := range all {
		same = same && string(a.value) == string(all[0].value)
		says = append(says, fmt.Sprintf("%s says that %s answers %d bytes with the hash %s at block %d", a.from.shown, call.To.Hex(), len(a.value), short(crypto.Keccak256Hash(a.value)), block))
	}
	if !same {
		return nil, disagreement("eth_call", says)
	}
	// That so many have the block says nothing of who answers for the contract.
	return all[0].value, c.enough("eth_call", len(all))
}

// AnchorsListed lists what an endpoint says a registry told of a log's checkpoints in some
// blocks, both included. It is one endpoint's word, and may leave out what it likes: ask the
// contract before it counts. An endpoint may refuse a list for its length; ask for fewer blocks
// then.
func (c *Client) AnchorsListed(ctx context.Context, registry common.Address, origin string, from, to uint64) ([]LogAnchor, error) {
	filter := map[string]any{"address": registry, "fromBlock": hexutil.Uint64(from), "toBlock": hexutil.Uint64(to),
		"topics": []any{TopicLogAnchored, crypto.Keccak256Hash([]byte(origin))}}
	return ask(ctx, c, question[[]LogAnchor]{"eth_getLogs", []any{filter}, func(raw json.RawMessage) ([]LogAnchor, error) {
		var logs []*types.Log
		switch err := json.Unmarshal(raw, &logs); {
		case err != nil:
			return nil, fmt.Errorf("its list of entries cannot be read: %w", err)
		case isNull(raw) || len(logs) > maxListed:
			return nil, fmt.Errorf("it gives no list, or one of more than %d entries", maxListed)
		}
		out := make([]LogAnchor, 0, len(logs))
		for _, l := range logs {
			e, err := DecodeLogAnchored(l)
			switch {
			case err != nil:
				return nil, err
			case l.Address != registry || e.Origin != origin || l.BlockNumber < from || l.BlockNumber > to:
				return nil, fmt.Errorf("it lists an entry that was not asked for")
			case !l.Removed:
				out = append(out, LogAnchor{Origin: e.Origin, TreeSize: e.TreeSize, Root: e.Root})
			}
		}
		return out, nil
	}})
}
