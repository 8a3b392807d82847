package chain

import (
	"context"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"caos"
	"caos/internal/db"
	"caos/internal/ethereum"
)

// AccountStatus is an account that sends.
type AccountStatus struct {
	Name       string     `json:"name"`
	Address    string     `json:"address"`
	Configured bool       `json:"configured"` // false: its transactions are followed, and nothing is signed for it
	Balance    string     `json:"balance"`    // wei, decimal; "" when the network did not say
	NextNonce  uint64     `json:"next_nonce"` // as stored
	Pending    int64      `json:"pending"`    // signed and not final
	Waiting    int64      `json:"waiting"`    // prepared
	Lease      string     `json:"lease"`      // node that sends for it, "" for none
	LeaseEnds  *time.Time `json:"lease_ends"`
	Problem    string     `json:"problem"` // what holds it up, in words
}

// ChainStatus is how the way to the network is.
type ChainStatus struct {
	Configured    bool                      `json:"configured"`
	ChainID       uint64                    `json:"chain_id"`
	Confirmations uint64                    `json:"confirmations"`
	Agree         int                       `json:"agree"` // so many endpoints must have a block before what is in it is confirmed
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
func (c *Chain) Status(ctx context.Context) (*ChainStatus, error) {
	s := c.opt.Settings
	out := &ChainStatus{Configured: c.net != nil, ChainID: s.ChainID, Confirmations: s.Confirmations, Registry: s.Registry, Explorer: s.Explorer,
		Endpoints: []ethereum.EndpointStatus{}, Accounts: []AccountStatus{}, Transactions: map[Status]int64{}, Subjects: map[SubjectState]int64{}}
	if c.net != nil {
		ask, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		out.Endpoints = append(out.Endpoints, c.net.Status(ask)...)
		out.Agree, _ = c.net.Quorum()
		if err := c.accountStatus(ask, out); err != nil {
			return nil, err
		}
	}
	tip, at, problem := c.view.get()
	out.Head, out.Problem = tip.Number, problem
	if c.net != nil && problem == "" {
		out.Problem = c.lacking(out.Endpoints)
	}
	if !at.IsZero() {
		out.HeadAt = &at
	}
	q := c.opt.DB.Reader(ctx)
	err := q(`SELECT status, COUNT(*) FROM chain_transactions GROUP BY status`, nil, func(scan func(...any) error) error {
		var status string
		var n int64
		err := scan(&status, &n)
		out.Transactions[Status(status)] = n
		return err
	})
	if err != nil {
		return nil, err
	}
	err = q(`SELECT state, COUNT(*) FROM chain_subjects GROUP BY state`, nil, func(scan func(...any) error) error {
		var state string
		var n int64
		err := scan(&state, &n)
		out.Subjects[SubjectState(state)] = n
		return err
	})
	if err != nil {
		return nil, err
	}
	err = q(`SELECT `+subjectColumns+` FROM chain_subjects WHERE kind = $1 AND state = 'CONFIRMED' ORDER BY wanted_at DESC, id DESC LIMIT 1`, []any{string(KindCheckpoint)},
		func(scan func(...any) error) (err error) {
			out.Anchor, err = scanSubject(scan)
			return err
		})
	return out, err
}

// lacking says that fewer endpoints answer than have to agree, "" if it is not so.
func (c *Chain) lacking(list []ethereum.EndpointStatus) string {
	need, of := c.net.Quorum()
	answers := 0
	for _, e := range list {
		if e.Error == "" {
			answers++
		}
	}
	if answers >= need {
		return ""
	}
	return ethereum.QuorumWords(need, of, answers) + ": nothing is confirmed"
}

// accountStatus adds the accounts of configuration, and those that it no longer names while
// something is under way that they have sent.
func (c *Chain) accountStatus(ctx context.Context, out *ChainStatus) error {
	for _, name := range slices.Sorted(maps.Keys(c.opt.Signers)) {
		at := c.opt.Signers[name].Address()
		a := AccountStatus{Name: name, Address: at.Hex(), Configured: true}
		if err := c.fillAccount(ctx, &a); err != nil {
			return err
		}
		if words := unready(ctx, c.opt.Signers[name]); a.Problem == "" {
			a.Problem = words
		}
		if a.Waiting > 0 && a.Problem == "" {
			a.Problem = c.accounts[at].trouble()
		}
		if balance, err := c.net.Balance(ctx, at); err == nil {
			a.Balance = balance.String()
		} else if a.Problem == "" {
			a.Problem = caos.AsError(err).Message
		}
		out.Accounts = append(out.Accounts, a)
	}
	strays, err := c.strays(ctx, "live = 1")
	if err != nil {
		return err
	}
	for _, at := range slices.SortedFunc(maps.Keys(strays), common.Address.Cmp) {
		a := AccountStatus{Name: strays[at], Address: at.Hex()}
		if err := c.fillAccount(ctx, &a); err != nil {
			return err
		}
		a.Problem = "it is not configured: what it has sent is followed, and nothing is signed for it. Name it under chain.accounts"
		if balance, err := c.net.Balance(ctx, at); err == nil {
			a.Balance = balance.String()
		}
		out.Accounts = append(out.Accounts, a)
	}
	return nil
}

// fillAccount reads what the database has of an account.
func (c *Chain) fillAccount(ctx context.Context, a *AccountStatus) error {
	q := c.opt.DB.Reader(ctx)
	var next, ends int64
	err := q(`SELECT next_nonce FROM chain_accounts WHERE chain_id = $1 AND address = $2`, []any{int64(c.opt.Settings.ChainID), a.Address},
		func(scan func(...any) error) error { return scan(&next) })
	if err != nil {
		return err
	}
	a.NextNonce = uint64(next)
	err = q(c.atServer(`SELECT node, ends_at FROM chain_leases WHERE name = $1 AND ends_at > {{now}}`), []any{c.leases() + a.Address}, func(scan func(...any) error) error { return scan(&a.Lease, &ends) })
	if err != nil {
		return err
	}
	a.Lease, a.LeaseEnds = strings.TrimPrefix(a.Lease, keylessMark), db.Optional(ends)
	return q(`SELECT COALESCE(SUM(CASE WHEN status = 'PREPARED' THEN 0 ELSE 1 END), 0), COALESCE(SUM(CASE WHEN status = 'PREPARED' THEN 1 ELSE 0 END), 0),
			COALESCE(MAX(CASE WHEN status IN ('SIGNED', 'SENT') THEN reason ELSE '' END), '')
		FROM chain_transactions WHERE live = 1 AND `+c.ours+` AND sender = $1`, []any{a.Address}, func(scan func(...any) error) error { return scan(&a.Pending, &a.Waiting, &a.Problem) })
}

// wei reads a stored amount, 0 if it is none.
func wei(text string) *big.Int {
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		return new(big.Int)
	}
	return n
}
