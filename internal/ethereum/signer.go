package ethereum

import (
	"context"
	"math/big"
	"net/http"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// Signer signs for one account.
type Signer interface {
	Address() common.Address
	// Sign returns tx with the account's signature for a chain. tx itself is not changed.
	Sign(ctx context.Context, tx *types.Transaction, chainID *big.Int) (*types.Transaction, error)
}

// OpenKeystore opens an encrypted key of the Web3 Secret Storage form, version 3. A wrong
// password is an error on the field password.
func OpenKeystore(text, password []byte) (Signer, error) { return nil, errSoon() }

// NewKeystore makes a new key, encrypted with a password.
func NewKeystore(password []byte) (text []byte, address common.Address, err error) {
	return nil, common.Address{}, errSoon()
}

// Remote returns a signer that asks a server (web3signer, or what speaks as it does) by
// eth_signTransaction. What comes back must be our transaction, field by field, with our
// account's signature.
func Remote(url string, account common.Address, client *http.Client) Signer { return nil }
