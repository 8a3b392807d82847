package ethereum

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
	"sync"
	"time"

	"caos"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// maxEndpoints bounds who is asked: comparing costs a question to each.
const maxEndpoints = 8

// Settings says which network is meant and where it is asked. Zero fields have defaults.
type Settings struct {
	ChainID   uint64           // of the network; an endpoint on another is never used
	Endpoints []string         // URLs of JSON-RPC over HTTP, the preferred one first; 1 to 8
	Agree     int              // so many endpoints must have a block before it counts, see Client.Agree; 1
	HTTP      *http.Client     // nil: one that reaches the endpoints alone, and keeps its connections
	Timeout   time.Duration    // of one question to one endpoint; 10 s
	Logger    *slog.Logger     // none
	Now       func() time.Time // time.Now
}

// Block is the header of a block, as far as anybody here needs it.
type Block struct {
	Number   uint64
	Hash     common.Hash
	Parent   common.Hash
	Time     time.Time // whole seconds, UTC
	BaseFee  *big.Int  // wei; nil on a chain without EIP-1559
	GasLimit uint64
}

// Call is a transaction that is only tried.
type Call struct {
	From  common.Address
	To    common.Address
	Data  []byte
	Value *big.Int // wei; nil is 0
	Gas   uint64   // limit; 0 leaves it to the node
}

// EndpointStatus is what is known of one endpoint.
type EndpointStatus struct {
	URL     string `json:"url"`              // scheme, host and port: paths and queries carry keys
	ChainID uint64 `json:"chain_id"`         // 0 while it has not answered
	Head    uint64 `json:"head"`             // number of its newest block
	Behind  uint64 `json:"behind,omitempty"` // blocks behind the best endpoint
	Error   string `json:"error,omitempty"`  // why it is not used at present
}

// Client asks a network's endpoints, the first that answers sensibly counting. Where a lie
// would cost most (how far the chain is, the nonce, whether a block or a receipt is final)
// it asks all of them. It is safe for concurrent use.
type Client struct {
	chainID   uint64
	endpoints []*endpoint
	quorum    int    // endpoints that must have a block before it counts, at least 1
	idle      func() // closes connections that nobody uses

	mu      sync.Mutex
	genesis common.Hash // of the first endpoint that was right about the chain id
}

// Open checks settings and returns a client. It does not touch the network: an endpoint
// that is down now may be up when it is needed.
func Open(s Settings) (*Client, error) {
	if s.ChainID == 0 {
		return nil, caos.Errorf(caos.Invalid, "the chain has no id").WithField("chain.chain_id").
			WithHint("give the network's id, such as 1 for mainnet: endpoints are checked against it")
	}
	if len(s.Endpoints) == 0 || len(s.Endpoints) > maxEndpoints {
		return nil, caos.Errorf(caos.Invalid, "there are %d endpoints", len(s.Endpoints)).WithField("chain.endpoints").
			WithHint("give 1 to %d URLs of JSON-RPC endpoints, two or more so that they can be compared", maxEndpoints)
	}
	if s.Agree == 0 {
		s.Agree = 1
	}
	if s.Agree < 1 || s.Agree > len(s.Endpoints) {
		return nil, caos.Errorf(caos.Invalid, "%d endpoints are to agree, and there are %d", s.Agree, len(s.Endpoints)).WithField("chain.agree").
			WithHint("give a number from 1 to that of the endpoints")
	}
	if s.Timeout <= 0 {
		s.Timeout = 10 * time.Second
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Client{chainID: s.ChainID, quorum: s.Agree, idle: func() {}}
	var allow []string
	seen := make(map[string]bool, len(s.Endpoints))
	for i, text := range s.Endpoints {
		u, err := endpointURL(text)
		if err == nil && seen[text] {
			err = caos.Errorf(caos.Invalid, "the endpoint is there twice").WithHint("an endpoint agrees with itself: name another")
		}
		if err != nil {
			return nil, caos.AsError(err).WithField(fmt.Sprintf("chain.endpoints[%d]", i))
		}
		seen[text] = true
		allow = append(allow, hostPort(u))
		c.endpoints = append(c.endpoints, &endpoint{
			url: text, shown: redact(u), hidden: hiding(u), client: s.HTTP, limit: s.Timeout, now: s.Now, logger: s.Logger, gate: make(chan struct{}, 1),
		})
	}
	if s.HTTP == nil {
		client, idle := keeping(allow)
		c.idle = idle
		for _, e := range c.endpoints {
			e.client = client
		}
	}
	return c, nil
}

// endpointURL judges an address from the configuration.
func endpointURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "":
		return nil, caos.Errorf(caos.Invalid, "this is not the URL of an endpoint").WithHint("give one as https://host:port/path")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, caos.Errorf(caos.Invalid, "the scheme %q is not spoken", clip(u.Scheme, 20)).WithHint("give an https URL")
	case u.User != nil:
		return nil, caos.Errorf(caos.Invalid, "the URL carries a user name or password").WithHint("use an endpoint without, or with a key in its path")
	case u.Fragment != "":
		return nil, caos.Errorf(caos.Invalid, "the URL has a fragment").WithHint("leave out what follows the #")
	}
	return u, nil
}

// Close closes connections that are kept for later. The client stays usable.
func (c *Client) Close() { c.idle() }

// firstGenesis returns the genesis that all endpoints must have; the first one states it.
func (c *Client) firstGenesis(stated common.Hash) common.Hash {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.genesis == (common.Hash{}) {
		c.genesis = stated
	}
	return c.genesis
}

// Block returns the block with a number in the canonical chain, or an error of kind
// not-found when the chain has not come that far.
func (c *Client) Block(ctx context.Context, number uint64) (Block, error) {
	return ask(ctx, c, blockAt(number))
}

func blockAt(number uint64) question[Block] {
	return question[Block]{"eth_getBlockByNumber", []any{hexutil.Uint64(number), false}, func(raw json.RawMessage) (Block, error) {
		b, err := blockOf(raw)
		if err == nil && b.Number != number {
			err = fmt.Errorf("it was asked for block %d and gives %d", number, b.Number)
		}
		return b, err
	}}
}

// Receipt returns the receipt of a mined transaction, or an error of kind not-found. One
// endpoint's word is enough here: before a receipt counts, ask AgreeReceipt.
func (c *Client) Receipt(ctx context.Context, hash common.Hash) (*types.Receipt, error) {
	return ask(ctx, c, receiptFor(hash))
}

func receiptFor(hash common.Hash) question[*types.Receipt] {
	return question[*types.Receipt]{"eth_getTransactionReceipt", []any{hash}, func(raw json.RawMessage) (*types.Receipt, error) {
		return receiptOf(raw, hash)
	}}
}

// Receipts returns all receipts of a block, in its order.
func (c *Client) Receipts(ctx context.Context, block common.Hash) ([]*types.Receipt, error) {
	return ask(ctx, c, question[[]*types.Receipt]{"eth_getBlockReceipts", []any{block}, func(raw json.RawMessage) ([]*types.Receipt, error) {
		return receiptsOf(raw, block)
	}})
}

// Transaction reports whether an endpoint knows a transaction, and whether it is not mined
// yet.
func (c *Client) Transaction(ctx context.Context, hash common.Hash) (found, pending bool, err error) {
	pending, err = ask(ctx, c, question[bool]{"eth_getTransactionByHash", []any{hash}, func(raw json.RawMessage) (bool, error) {
		return transactionOf(raw, hash)
	}})
	if Is(err, Missing) {
		return false, false, nil
	}
	return err == nil, pending, err
}

// Nonce returns the number of transactions an account has sent: the nonce of its next one.
// With pending, those that wait in the node's pool count. All endpoints are asked and the
// smallest counts: a nonce too low is refused and tried again, one too high leaves a gap
// that stops the account.
func (c *Client) Nonce(ctx context.Context, account common.Address, pending bool) (uint64, error) {
	tag := "latest"
	if pending {
		tag = "pending"
	}
	all, err := everywhere(ctx, c, c.usable(true), question[uint64]{"eth_getTransactionCount", []any{account, tag}, quantity}, grace)
	if err != nil {
		return 0, err
	}
	least := all[0].value
	for _, a := range all[1:] {
		least = min(least, a.value)
	}
	return least, nil
}

// Balance returns what an account has, in wei, at the newest block.
func (c *Client) Balance(ctx context.Context, account common.Address) (*big.Int, error) {
	return ask(ctx, c, question[*big.Int]{"eth_getBalance", []any{account, "latest"}, bigQuantity})
}

// Code returns the code at an address, empty when there is no contract. All endpoints are
// asked, and have to agree.
func (c *Client) Code(ctx context.Context, address common.Address) ([]byte, error) {
	return agreed(ctx, c, question[[]byte]{"eth_getCode", []any{address, "latest"}, byteString}, func(code []byte) string {
		return fmt.Sprintf("%d bytes of code with the hash %s", len(code), short(crypto.Keccak256Hash(code)))
	})
}

func (call Call) params() map[string]any {
	m := map[string]any{"from": call.From, "to": call.To, "data": hexutil.Bytes(call.Data)}
	if call.Value != nil && call.Value.Sign() != 0 {
		m["value"] = (*hexutil.Big)(call.Value)
	}
	if call.Gas != 0 {
		m["gas"] = hexutil.Uint64(call.Gas)
	}
	return m
}

// Estimate returns the gas that a call would use now. A call that would revert is an error
// of kind reverted with the revert's data.
func (c *Client) Estimate(ctx context.Context, call Call) (uint64, error) {
	return ask(ctx, c, question[uint64]{"eth_estimateGas", []any{call.params()}, quantity})
}

// Call tries a call on the state after a block, nil meaning the newest, and returns what it
// returned. A revert is an error of kind reverted with the revert's data.
func (c *Client) Call(ctx context.Context, call Call, block *big.Int) ([]byte, error) {
	at := any("latest")
	if block != nil {
		at = (*hexutil.Big)(block)
	}
	return ask(ctx, c, question[[]byte]{"eth_call", []any{call.params(), at}, byteString})
}

// Fees returns what a transaction has to pay at present.
func (c *Client) Fees(ctx context.Context) (Fees, error) {
	return ask(ctx, c, question[Fees]{"eth_feeHistory", []any{hexutil.Uint64(10), "latest", []int{50}}, feesOf})
}

// ChainID returns the network's id as an endpoint states it.
func (c *Client) ChainID(ctx context.Context) (uint64, error) {
	return ask(ctx, c, question[uint64]{"eth_chainId", nil, quantity})
}

// question is a method with its parameters, and how its answer is read.
type question[T any] struct {
	method string
	params []any
	read   func(json.RawMessage) (T, error)
}

// one puts a question to one endpoint, and keeps the books of its trust.
func one[T any](ctx context.Context, c *Client, e *endpoint, q question[T]) (T, *RPCError) {
	var none T
	if err := e.ready(ctx, c); err != nil {
		return none, err
	}
	since := e.since()
	raw, err := e.post(ctx, q.method, q.params)
	if err == nil {
		v, bad := q.read(raw)
		var missing errMissing
		switch {
		case errors.As(bad, &missing):
			e.answers()
			return none, &RPCError{Kind: Missing, Method: q.method, Endpoint: e.shown, Text: string(missing)}
		case bad == nil:
			e.answers()
			return v, nil
		}
		err = e.nonsense(q.method, bad)
	}
	if err.answered() {
		e.answers()
	} else {
		e.blame(ctx, err, since)
	}
	return none, err
}

// ask puts a question to the endpoints in order, until one answers. That there is no such
// thing is an answer only when no endpoint knows better.
func ask[T any](ctx context.Context, c *Client, q question[T]) (T, error) {
	var none T
	var missing, last *RPCError
	for _, e := range c.usable(false) {
		v, err := one(ctx, c, e, q)
		switch {
		case err == nil:
			return v, nil
		case err.answered():
			return none, err.public()
		case err.Kind == Missing:
			missing = err
		default:
			last = worse(last, err)
		}
		if ctx.Err() != nil {
			return none, caos.Wrap(caos.Unavailable, context.Cause(ctx), "the chain was not asked to the end").WithHint("try again")
		}
	}
	switch {
	case missing != nil:
		return none, missing.public()
	case last != nil:
		return none, last.public()
	}
	return none, c.nobody(q.method)
}

// worse keeps what matters more of two failures.
func worse(a, b *RPCError) *RPCError {
	if a == nil || a.Kind == Down && b.Kind != Down {
		return b
	}
	return a
}

// usable lists the endpoints that may be asked now, in order; those that are far behind
// last, or with fresh not at all, unless there is no other.
func (c *Client) usable(fresh bool) []*endpoint {
	var out, late []*endpoint
	for _, e := range c.endpoints {
		if e.away() > 0 {
			continue
		}
		e.mu.Lock()
		behind := e.behind
		e.mu.Unlock()
		if behind {
			late = append(late, e)
		} else {
			out = append(out, e)
		}
	}
	if fresh && len(out) > 0 {
		return out
	}
	return append(out, late...)
}

// nobody is the error when every endpoint is left alone at present: what is wrong with the
// one that matters most, and when it is asked again.
func (c *Client) nobody(method string) error {
	var worst *RPCError
	var whys []string
	soon := time.Duration(1<<63 - 1)
	for _, e := range c.endpoints {
		e.mu.Lock()
		if e.why != "" {
			whys = append(whys, e.why)
			worst = worse(worst, &RPCError{Kind: e.kind, Method: method, Endpoint: e.shown, Text: e.why})
		}
		soon = min(soon, max(0, e.until.Sub(e.now())))
		e.mu.Unlock()
	}
	if worst == nil {
		worst = &RPCError{Kind: Down, Method: method, Text: "none was tried"}
	}
	worst.Text += fmt.Sprintf(" (asked again in %s)", soon.Round(100*time.Millisecond))
	worst.Endpoints = whys
	return worst.public()
}
