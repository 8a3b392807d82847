package ethereum

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"time"

	"caos"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// remoteSigner asks a server that has the key.
type remoteSigner struct {
	account common.Address
	server  *endpoint
	bad     error // the address cannot be used
}

// Remote returns a signer that asks a server (web3signer, or what speaks as it does) by
// eth_signTransaction. What comes back must be our transaction, field by field, with our
// account's signature. With client nil the server is dialled as endpoints are.
func Remote(url string, account common.Address, client *http.Client) Signer {
	u, err := endpointURL(url)
	if err != nil {
		return &remoteSigner{account: account, bad: caos.AsError(err).WithField("signer")}
	}
	if client == nil {
		client, _ = keeping([]string{hostPort(u)})
	}
	return &remoteSigner{account: account, server: &endpoint{
		url: url, shown: redact(u), hidden: hiding(u), client: client, limit: 30 * time.Second, now: time.Now, logger: slog.New(slog.DiscardHandler),
	}}
}

// Address returns the account.
func (s *remoteSigner) Address() common.Address { return s.account }

// Close closes connections that nobody uses.
func (s *remoteSigner) Close() error {
	if s.server != nil {
		s.server.client.CloseIdleConnections()
	}
	return nil
}

// Sign asks the server.
func (s *remoteSigner) Sign(ctx context.Context, tx *types.Transaction, chainID *big.Int) (*types.Transaction, error) {
	if s.bad != nil {
		return nil, s.bad
	}
	if err := signable(tx, chainID); err != nil {
		return nil, err
	}
	if tx.To() == nil || len(tx.AccessList()) > 0 {
		return nil, caos.Errorf(caos.Internal, "a remote signer is asked for plain calls alone")
	}
	raw, rerr := s.server.post(ctx, "eth_signTransaction", []any{map[string]any{
		"from": s.account, "to": tx.To(), "nonce": hexutil.Uint64(tx.Nonce()), "gas": hexutil.Uint64(tx.Gas()),
		"value": (*hexutil.Big)(tx.Value()), "data": hexutil.Bytes(tx.Data()), "chainId": (*hexutil.Big)(chainID),
		"maxFeePerGas": (*hexutil.Big)(tx.GasFeeCap()), "maxPriorityFeePerGas": (*hexutil.Big)(tx.GasTipCap()),
	}})
	if rerr != nil {
		if rerr.Code != 0 {
			return nil, caos.Wrap(caos.Unavailable, rerr, "the signer of the account %s refuses: %s", s.account, rerr.Text).
				WithHint("check that it has the key of this account and that its policy allows the transaction")
		}
		return nil, caos.Wrap(caos.Unavailable, rerr, "the signer of the account %s does not answer: %s", s.account, rerr.Text).
			WithHint("start the signer; what waits goes on by itself")
	}
	signed, err := signedOf(raw)
	if err == nil {
		err = s.ours(tx, signed, chainID)
	}
	if err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the signer of the account %s answers wrongly: %v", s.account, err).
			WithRule("signer-answer").WithHint("nothing was sent; find out who answers at the signer's address")
	}
	return signed, nil
}

// signedOf reads the transaction from an answer: its bytes, or an object that has them.
func signedOf(raw json.RawMessage) (*types.Transaction, error) {
	var text hexutil.Bytes
	if json.Unmarshal(raw, &text) != nil {
		var in struct {
			Raw hexutil.Bytes `json:"raw"`
		}
		if json.Unmarshal(raw, &in) != nil || len(in.Raw) == 0 {
			return nil, errors.New("there is no signed transaction in it")
		}
		text = in.Raw
	}
	if len(text) > 2*maxData {
		return nil, errors.New("it is larger than any transaction")
	}
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(text); err != nil {
		return nil, fmt.Errorf("it is no transaction (%w)", err)
	}
	return tx, nil
}

// ours holds what came back against what was sent.
func (s *remoteSigner) ours(want, got *types.Transaction, chainID *big.Int) error {
	if got.Type() != want.Type() {
		return errors.New("its type is another")
	}
	for _, f := range []struct {
		name string
		same bool
	}{
		{"chain id", got.ChainId().Cmp(want.ChainId()) == 0},
		{"nonce", got.Nonce() == want.Nonce()},
		{"tip", got.GasTipCap().Cmp(want.GasTipCap()) == 0},
		{"fee", got.GasFeeCap().Cmp(want.GasFeeCap()) == 0},
		{"gas limit", got.Gas() == want.Gas()},
		{"receiver", got.To() != nil && *got.To() == *want.To()},
		{"value", got.Value().Cmp(want.Value()) == 0},
		{"data", bytes.Equal(got.Data(), want.Data())},
		{"access list", len(got.AccessList()) == 0},
	} {
		if !f.same {
			return fmt.Errorf("its %s is another", f.name)
		}
	}
	signer := types.LatestSignerForChainID(chainID)
	if signer.Hash(got) != signer.Hash(want) { // whatever a later kind of transaction may carry besides
		return errors.New("it differs from what was to be signed")
	}
	from, err := types.Sender(signer, got)
	if err != nil {
		return errors.New("its signature is none")
	}
	if from != s.account {
		return fmt.Errorf("it is signed by %s", from)
	}
	return nil
}
