package chain

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"caos"
	"caos/internal/db"
)

// cutOffAfter is how long no endpoint has answered a node before it gives its accounts back:
// another node's endpoints may work.
const cutOffAfter = 30 * time.Second

// reach is since when no endpoint answers this node.
type reach struct {
	mu   sync.Mutex
	down time.Time // zero while one answers
}

// heard notes that the network was asked, and returns since when it does not answer.
func (r *reach) heard(now time.Time, answers bool) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case answers:
		r.down = time.Time{}
	case r.down.IsZero():
		r.down = now
	}
	return r.down
}

// cutOff reports whether this node has to leave its accounts to others. SQLite belongs to one
// process: there are no others.
func (c *Chain) cutOff() bool {
	c.reach.mu.Lock()
	down := c.reach.down
	c.reach.mu.Unlock()
	return !down.IsZero() && c.since(down) >= cutOffAfter && c.opt.DB.Dialect() != db.SQLite
}

// unsigned is the error of a signature that this node cannot make and no other one has made.
func (c *Chain) unsigned(t *Transaction) error {
	switch {
	case c.accounts[common.HexToAddress(t.From)] == nil:
		return caos.Errorf(caos.Unavailable, "the account %s (%s) is not configured here, and no other node has signed", t.Account, t.From).
			WithHint("name it in caos.yaml, under chain.accounts, and start the server again")
	case c.cutOff():
		return caos.Errorf(caos.Unavailable, "no endpoint of the chain answers this node, and no other node has signed").
			WithHint("check chain.endpoints; what waits for the chain goes on by itself")
	}
	return errHeld
}

// crew are the accounts that configuration no longer names and whose transactions are under
// way. What is signed goes on without their keys: it is followed and sent again, but nothing
// is signed for them.
type crew struct {
	mu   sync.Mutex
	list map[common.Address]*account
}

// all are the accounts that the keeper acts for.
func (c *Chain) all() []*account {
	c.crew.mu.Lock()
	defer c.crew.mu.Unlock()
	return append(slices.Collect(maps.Values(c.accounts)), slices.Collect(maps.Values(c.crew.list))...)
}

// leases is what the names of the accounts' leases begin with; the address follows.
func (c *Chain) leases() string { return fmt.Sprintf("account/%d/", c.opt.Settings.ChainID) }

// strays are the accounts, with their names, that have transactions as a condition says and
// are not configured.
func (c *Chain) strays(ctx context.Context, condition string) (map[common.Address]string, error) {
	out := map[common.Address]string{}
	err := c.opt.DB.Reader(ctx)(`SELECT sender, MAX(account) FROM chain_transactions WHERE `+condition+` AND `+c.ours+` GROUP BY sender`, nil, func(scan func(...any) error) error {
		var sender, name string
		err := scan(&sender, &name)
		if at := common.HexToAddress(sender); c.accounts[at] == nil {
			out[at] = name
		}
		return err
	})
	return out, err
}

// enlist finds the accounts of which nobody has a key any more.
func (k *keeper) enlist(ctx context.Context) error {
	c := k.c
	if c.since(k.enlisted) < sweepEvery {
		return nil
	}
	found, err := c.strays(ctx, "live > 0")
	if err != nil {
		return err
	}
	k.enlisted = c.opt.Now()
	var gone []*account
	c.crew.mu.Lock()
	for at, a := range c.crew.list {
		if _, still := found[at]; !still {
			gone = append(gone, a)
			delete(c.crew.list, at)
		}
	}
	for at, name := range found {
		if c.crew.list[at] == nil {
			c.crew.list[at] = &account{c: c, name: name, address: at, turn: make(chan struct{}, 1), lease: &lease{c: c, name: c.leases() + at.Hex(), keyless: true}}
			c.log.Warn("chain: an account that is not configured has transactions under way: they are followed, and nothing is signed for it", "account", name, "address", at.Hex())
		}
	}
	c.crew.mu.Unlock()
	for _, a := range gone {
		a.lease.drop()
	}
	return nil
}

// leave gives back the accounts of a node that the network does not answer.
func (k *keeper) leave(ctx context.Context) {
	for _, a := range k.c.all() {
		if a.lease.held() > 0 {
			k.c.log.WarnContext(ctx, "chain: no endpoint answers this node: it leaves the account to others", "account", a.name)
			a.lease.drop()
		}
	}
}

// listen asks whether the network answers again, without acting for any account.
func (k *keeper) listen(ctx context.Context) error {
	_, err := k.c.net.Head(ctx)
	if err == nil {
		return k.heard(ctx, false, nil)
	}
	var left int64 // of which no other node takes care
	failed := k.c.opt.DB.Reader(ctx)(k.c.atServer(`SELECT COUNT(*) FROM chain_transactions WHERE live > 0 AND status <> 'PREPARED' AND `+k.c.ours+`
		AND NOT EXISTS (SELECT 1 FROM chain_leases WHERE name = $1 || chain_transactions.sender AND ends_at > {{now}})`), []any{k.c.leases()},
		func(scan func(...any) error) error { return scan(&left) })
	return k.heard(ctx, failed == nil && left > 0, err)
}
