package ethereum

import (
	"context"
	"log/slog"
	"math/big"
	"net/http"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// Settings says which network is meant and where it is asked. Zero fields have defaults.
type Settings struct {
	ChainID   uint64           // of the network; an endpoint on another is never used
	Endpoints []string         // URLs of JSON-RPC over HTTP, the preferred one first; 1 to 8
	HTTP      *http.Client     // outbound's
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
	BaseFee  *big.Int  // wei
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

// Client asks a network's endpoints. It is safe for concurrent use.
type Client struct {
	settings Settings
}

// Open checks settings and returns a client. It does not touch the network: an endpoint
// that is down now may be up when it is needed.
func Open(s Settings) (*Client, error) { return &Client{settings: s}, nil }

// Head returns the newest block.
func (c *Client) Head(ctx context.Context) (Block, error) { return Block{}, errSoon() }

// Block returns the block with a number in the canonical chain, or an error of kind
// not-found when the chain has not come that far.
func (c *Client) Block(ctx context.Context, number uint64) (Block, error) { return Block{}, errSoon() }

// Receipt returns the receipt of a mined transaction, or an error of kind not-found.
func (c *Client) Receipt(ctx context.Context, hash common.Hash) (*types.Receipt, error) {
	return nil, errSoon()
}

// Receipts returns all receipts of a block, in its order.
func (c *Client) Receipts(ctx context.Context, block common.Hash) ([]*types.Receipt, error) {
	return nil, errSoon()
}

// Transaction reports whether an endpoint knows a transaction, and whether it is not mined
// yet.
func (c *Client) Transaction(ctx context.Context, hash common.Hash) (found, pending bool, err error) {
	return false, false, errSoon()
}

// Nonce returns the number of transactions an account has sent: the nonce of its next one.
// With pending, those that wait in the node's pool count.
func (c *Client) Nonce(ctx context.Context, account common.Address, pending bool) (uint64, error) {
	return 0, errSoon()
}

// Balance returns what an account has, in wei, at the newest block.
func (c *Client) Balance(ctx context.Context, account common.Address) (*big.Int, error) {
	return nil, errSoon()
}

// Code returns the code at an address, empty when there is no contract.
func (c *Client) Code(ctx context.Context, address common.Address) ([]byte, error) {
	return nil, errSoon()
}

// Estimate returns the gas that a call would use now. A call that would revert is an error
// of kind reverted with the revert's data.
func (c *Client) Estimate(ctx context.Context, call Call) (uint64, error) { return 0, errSoon() }

// Call tries a call on the state after a block, nil meaning the newest, and returns what it
// returned. A revert is an error of kind reverted with the revert's data.
func (c *Client) Call(ctx context.Context, call Call, block *big.Int) ([]byte, error) {
	return nil, errSoon()
}

// Fees returns what a transaction has to pay at present.
func (c *Client) Fees(ctx context.Context) (Fees, error) { return Fees{}, errSoon() }

// Send broadcasts a signed transaction. An error of kind already-known means that the
// network has it.
func (c *Client) Send(ctx context.Context, raw []byte) error { return errSoon() }

// ChainID returns the network's id as an endpoint states it.
func (c *Client) ChainID(ctx context.Context) (uint64, error) { return 0, errSoon() }

// Agree asks every reachable endpoint for the hash of a block and returns an error of kind
// disagreement if they differ. With one endpoint there is nobody to ask: nil.
func (c *Client) Agree(ctx context.Context, number uint64) error { return errSoon() }

// Status asks every endpoint how it is.
func (c *Client) Status(ctx context.Context) []EndpointStatus { return nil }
