package chaining

import (
	"context"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"

	"caos/internal/chain"
	"caos/internal/ethereum/binding"
)

// Evidence is what a chain says of itself, block by block, to somebody who has nothing of
// CAOS.
type Evidence struct {
	Productions map[common.Hash]int // how often each content was recorded
	Sent        int                 // transactions to the registry that were mined after its deployment and its roles
	Reverted    int                 // of those
	Hashes      map[common.Hash]bool
}

// Recorded reads a whole chain.
func Recorded(ctx context.Context, n Network) (*Evidence, error) {
	client, err := ethclient.DialContext(ctx, n.URL)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	head, err := client.BlockNumber(ctx)
	if err != nil {
		return nil, err
	}
	e := &Evidence{Productions: map[common.Hash]int{}, Hashes: map[common.Hash]bool{}}
	bind := binding.NewProductionRegistry()
	call := string(bind.PackRecordProduction("", "", common.Hash{}, 0)[:4])
	at := common.HexToAddress(n.Registry)
	for i := uint64(1); i <= head; i++ {
		block, err := client.BlockByNumber(ctx, new(big.Int).SetUint64(i))
		if err != nil {
			return nil, err
		}
		for _, tx := range block.Transactions() {
			if tx.To() == nil || *tx.To() != at || len(tx.Data()) < 4 || string(tx.Data()[:4]) != call {
				continue
			}
			r, err := client.TransactionReceipt(ctx, tx.Hash())
			if err != nil {
				return nil, err
			}
			e.Sent++
			e.Hashes[tx.Hash()] = true
			if r.Status != types.ReceiptStatusSuccessful {
				e.Reverted++
			}
			for _, l := range r.Logs {
				if p, err := bind.UnpackProductionRecordedEvent(l); err == nil {
					e.Productions[p.ContentHash]++
				}
			}
		}
	}
	return e, nil
}

// Gapless holds that what this installation signed has nonces without a gap or a double,
// except what was given up before it was signed.
func (d *Desk) Gapless(ctx context.Context) error {
	rows, err := d.DB.Query(ctx, `SELECT transaction_id, nonce FROM chain_transactions WHERE nonce IS NOT NULL ORDER BY nonce`)
	if err != nil {
		return err
	}
	defer rows.Close()
	next := int64(-1)
	for rows.Next() {
		var id string
		var nonce int64
		if err := rows.Scan(&id, &nonce); err != nil {
			return err
		}
		if next >= 0 && nonce != next {
			return fmt.Errorf("%s has nonce %d after %d", id, nonce, next-1)
		}
		next = nonce + 1
	}
	return rows.Err()
}

// Unconfirmed counts transactions that are neither CONFIRMED nor FAILED.
func (d *Desk) Unconfirmed(ctx context.Context) (n int, err error) {
	err = d.DB.QueryRow(ctx, `SELECT count(*) FROM chain_transactions WHERE status NOT IN ($1, $2)`, string(chain.Confirmed), string(chain.Failed)).Scan(&n)
	return n, err
}

// Has reports whether a transaction is among those that were mined.
func (e *Evidence) Has(hash string) bool { return e.Hashes[common.HexToHash(hash)] }
