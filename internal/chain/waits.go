package chain

import (
	"context"
	"errors"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"caos"
	"caos/internal/db"
	"caos/internal/ethereum"
)

// readier is a signer that can tell whether it could sign now, without opening its key. Its
// error is for people.
type readier interface {
	Ready(ctx context.Context) error
}

// unready says why a signer could not sign now, "" if nothing is known against it.
func unready(ctx context.Context, s ethereum.Signer) string {
	r, asks := s.(readier)
	if !asks {
		return ""
	}
	if err := r.Ready(ctx); err != nil {
		return caos.AsError(err).Message
	}
	return ""
}

// noteWaits keeps with transactions why they were not signed, so that every node can tell. A
// node that another one keeps from signing knows nothing, and of its own troubles the database
// is not told.
func (c *Chain) noteWaits(batch []*ask, answers []answer) {
	words := map[string][]any{}
	for i, k := range batch {
		err := answers[i].err
		if err != nil && !errors.Is(err, errHeld) && !errors.Is(err, errLost) && !errors.Is(err, db.ErrAborted) && !errors.Is(err, db.ErrUnknown) {
			text := clip(caos.AsError(err).Message, maxReason)
			words[text] = append(words[text], k.id)
		}
	}
	if len(words) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(c.life, 5*time.Second)
	defer cancel()
	err := c.opt.DB.Write(ctx, func(tx *db.Tx) error {
		for text, ids := range words {
			tx.Exec(`UPDATE chain_transactions SET reason = $1 WHERE status = 'PREPARED' AND reason <> $2 AND transaction_id IN (`+places(3, len(ids))+`)`, append([]any{text, text}, ids...)...)
		}
		return nil
	})
	c.warn(ctx, "note why transactions wait", err)
}

// Waits says why a transaction does not go on, in words, as far as this node can tell; "" if
// nothing holds it up but the network's pace. Of one that is final there is nothing to say.
func (c *Chain) Waits(ctx context.Context, t *Transaction) (string, error) {
	switch {
	case t.Status.Final():
		return "", nil
	case t.Reason != "":
		return t.Reason, nil
	case c.net == nil:
		return caos.AsError(errNoChain()).Message, nil
	}
	if err := c.elsewhere(t); err != nil {
		return caos.AsError(err).Message, nil
	}
	words, err := "", error(nil)
	switch t.Status {
	case Prepared:
		words, err = c.unsignedYet(ctx, t)
	case Signed, Sent:
		words, err = c.behind(ctx, t)
	}
	if words == "" && err == nil {
		_, _, words = c.view.get()
	}
	return words, err
}

// unsignedYet says why a transaction has no signature.
func (c *Chain) unsignedYet(ctx context.Context, t *Transaction) (string, error) {
	a := c.accounts[common.HexToAddress(t.From)]
	if a == nil {
		return caos.AsError(c.unsigned(t)).Message, nil
	}
	if words := unready(ctx, a.signer); words != "" {
		return words, nil
	}
	s := AccountStatus{Address: t.From}
	if err := c.fillAccount(ctx, &s); err != nil {
		return "", err
	}
	if s.Lease != "" && s.Lease != c.opt.Node {
		return "the node " + s.Lease + " has the account " + t.Account + ", and signs for it", nil
	}
	return "", nil
}

// behind says which transaction of the same account has to be mined before one.
func (c *Chain) behind(ctx context.Context, t *Transaction) (words string, err error) {
	if t.Nonce == nil {
		return "", nil
	}
	err = c.opt.DB.Reader(ctx)(`SELECT transaction_id, reason FROM chain_transactions WHERE live = 1 AND `+c.ours+` AND sender = $1 AND status IN ('SIGNED', 'SENT') AND nonce < $2
		ORDER BY nonce LIMIT 1`, []any{t.From, int64(*t.Nonce)}, func(scan func(...any) error) error {
		var id, reason string
		err := scan(&id, &reason)
		if words = "it waits behind " + id + ", which has an earlier nonce"; reason != "" {
			words += ": " + reason
		}
		return err
	})
	return words, err
}
