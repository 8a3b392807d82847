package chain

import (
	"context"
	"time"

	"caos/internal/ethereum"
)

// AccountStatus is an account that sends.
type AccountStatus struct {
	Name      string     `json:"name"`
	Address   string     `json:"address"`
	Balance   string     `json:"balance"`    // wei, decimal; "" when the network did not say
	NextNonce uint64     `json:"next_nonce"` // as stored
	Pending   int64      `json:"pending"`    // signed and not final
	Waiting   int64      `json:"waiting"`    // prepared
	Lease     string     `json:"lease"`      // node that sends for it, "" for none
	LeaseEnds *time.Time `json:"lease_ends"`
	Problem   string     `json:"problem"` // what holds it up, in words
}

// ChainStatus is how the way to the network is.
type ChainStatus struct {
	Configured    bool                      `json:"configured"`
	ChainID       uint64                    `json:"chain_id"`
	Confirmations uint64                    `json:"confirmations"`
	Registry      string                    `json:"registry"`
	Explorer      string                    `json:"explorer"`
	Head          uint64                    `json:"head"` // the newest block that this node has seen
	HeadAt        *time.Time                `json:"head_at"`
	Problem       string                    `json:"problem"` // what is wrong with the network, in words
	Endpoints     []ethereum.EndpointStatus `json:"endpoints"`
	Accounts      []AccountStatus           `json:"accounts"`
	Transactions  map[Status]int64          `json:"transactions"`
	Subjects      map[SubjectState]int64    `json:"subjects"`
	Anchor        *Subject                  `json:"anchor"` // the newest checkpoint that is on the chain
}

// Status asks the endpoints and reads the accounts. It is for people: it takes as long as
// the slowest endpoint, 10 s at most.
func (c *Chain) Status(ctx context.Context) (*ChainStatus, error) { return nil, errSoon() }
