package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/spf13/cobra"

	registry "caos/internal/ethereum/binding"
)

// deployment is what `deploy` is asked for, and what it answers.
type deployment struct {
	url, data, keystore, passwordFile string
	recorders, anchorers, pausers     []string
	timeout                           time.Duration
}

type deployed struct {
	Address     string      `json:"address"` // addresses have the capitals of their check sum
	ChainID     uint64      `json:"chain_id"`
	Admin       string      `json:"admin"`
	Transaction common.Hash `json:"transaction_hash"`
	Block       uint64      `json:"block_number"`
	GasUsed     uint64      `json:"gas_used"` // of the deployment alone
	Roles       []granted   `json:"roles"`
}

type granted struct {
	Role        string      `json:"role"`
	Address     string      `json:"address"`
	Transaction common.Hash `json:"transaction_hash"`
}

func deployCommand() *cobra.Command {
	var d deployment
	cmd := &cobra.Command{
		Use:   "deploy --url URL (--data DIR | --keystore FILE --password-file FILE)",
		Short: "Deploys ProductionRegistry and grants its roles",
		Long: `deploy puts the contract ProductionRegistry on the chain at --url, from the account of
--keystore or else the first one in --data, and grants its roles to the addresses named; the
deployer itself becomes a recorder and anchorer where nobody is named. Who is named and has no
ether gets 1,000 with --data, where ether is worth nothing. It prints what it did as JSON. It works with any network; the deployer stays the contract's administrator there,
so take a key for it that CAOS does not have.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), d.timeout)
			defer cancel()
			done, err := d.run(ctx)
			if err != nil {
				return err
			}
			e := json.NewEncoder(cmd.OutOrStdout())
			e.SetIndent("", "  ")
			return e.Encode(done)
		},
	}
	f := cmd.Flags()
	f.StringVar(&d.url, "url", "", "JSON-RPC endpoint; with --data the one in its devchain.json unless given")
	f.StringVar(&d.data, "data", "", "folder of a caos-devchain: its first account deploys")
	f.StringVar(&d.keystore, "keystore", "", "V3 keystore of the deploying account")
	f.StringVar(&d.passwordFile, "password-file", "", "file with the keystore's password")
	f.StringSliceVar(&d.recorders, "recorder", nil, "address that may call recordProduction; may be repeated")
	f.StringSliceVar(&d.anchorers, "anchorer", nil, "address that may call anchorLog; may be repeated")
	f.StringSliceVar(&d.pausers, "pauser", nil, "address that may pause, besides the deployer; may be repeated")
	f.DurationVar(&d.timeout, "timeout", 5*time.Minute, "how long to wait for the transactions")
	return cmd
}

// complete takes from --data what was not given.
func (d *deployment) complete() error {
	if d.data != "" {
		text, err := os.ReadFile(filepath.Join(d.data, infoFile))
		if err != nil {
			return fmt.Errorf("--data %s holds no chain that was started: %w", d.data, err)
		}
		var i info
		if err := json.Unmarshal(text, &i); err != nil || len(i.Accounts) == 0 {
			return fmt.Errorf("%s cannot be read: start the chain again", filepath.Join(d.data, infoFile))
		}
		if d.url == "" {
			d.url = i.URL
		}
		if d.keystore == "" {
			d.keystore, d.passwordFile = i.Accounts[0].Keystore, i.PasswordFile
		}
	}
	switch {
	case d.url == "":
		return fmt.Errorf("%w: --url is required, or --data", errUsage)
	case d.keystore == "" || d.passwordFile == "":
		return fmt.Errorf("%w: --keystore and --password-file are required, or --data", errUsage)
	}
	return nil
}

// sender sends transactions of one account, one after the other.
type sender struct {
	client  *ethclient.Client
	key     *keystore.Key
	chainID *big.Int
	nonce   uint64
}

func (d *deployment) run(ctx context.Context) (*deployed, error) {
	if err := d.complete(); err != nil {
		return nil, err
	}
	grants, err := d.grants()
	if err != nil {
		return nil, err
	}
	s, err := d.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.client.Close()
	admin := s.key.Address
	for _, role := range []string{"RECORDER_ROLE", "ANCHORER_ROLE"} {
		if len(grants[role]) == 0 {
			grants[role] = []common.Address{admin}
		}
	}
	binding := registry.NewProductionRegistry()
	code := append(common.FromHex(registry.ProductionRegistryMetaData.Bin), binding.PackConstructor(admin)...)
	receipt, err := s.send(ctx, nil, nil, code)
	if err != nil {
		return nil, fmt.Errorf("the contract was not deployed: %w", err)
	}
	contract := receipt.ContractAddress
	done := &deployed{
		Address: receipt.ContractAddress.Hex(), ChainID: s.chainID.Uint64(), Admin: admin.Hex(), Transaction: receipt.TxHash,
		Block: receipt.BlockNumber.Uint64(), GasUsed: receipt.GasUsed,
	}
	for _, role := range []string{"RECORDER_ROLE", "ANCHORER_ROLE", "PAUSER_ROLE"} {
		for _, to := range grants[role] {
			receipt, err := s.send(ctx, &contract, nil, binding.PackGrantRole(crypto.Keccak256Hash([]byte(role)), to))
			if err != nil {
				return nil, fmt.Errorf("the contract is at %s, but %s was not granted to %s: %w", done.Address, role, to, err)
			}
			done.Roles = append(done.Roles, granted{Role: role, Address: to.Hex(), Transaction: receipt.TxHash})
		}
	}
	if d.data == "" {
		return done, nil
	}
	for _, g := range done.Roles {
		if err := s.fund(ctx, common.HexToAddress(g.Address)); err != nil {
			return nil, fmt.Errorf("the contract is at %s, but %s got no ether: %w", done.Address, g.Address, err)
		}
	}
	return done, nil
}

// fund gives an account of a development chain something to pay its transactions with.
func (s *sender) fund(ctx context.Context, to common.Address) error {
	if has, err := s.client.BalanceAt(ctx, to, nil); err != nil || has.Sign() > 0 {
		return err
	}
	_, err := s.send(ctx, &to, new(big.Int).Mul(big.NewInt(1000), big.NewInt(1e18)), nil)
	return err
}

// grants reads the addresses.
func (d *deployment) grants() (map[string][]common.Address, error) {
	grants := map[string][]common.Address{}
	for _, x := range []struct {
		flag, role string
		given      []string
	}{{"recorder", "RECORDER_ROLE", d.recorders}, {"anchorer", "ANCHORER_ROLE", d.anchorers}, {"pauser", "PAUSER_ROLE", d.pausers}} {
		for _, text := range x.given {
			a, err := common.NewMixedcaseAddressFromString(text)
			if err != nil || !strings.HasPrefix(text, "0x") || !a.ValidChecksum() && strings.ToLower(text) != text {
				return nil, fmt.Errorf("%w: --%s %q is not an address: 0x and 40 hex digits, with the capitals of its check sum or none", errUsage, x.flag, text)
			}
			grants[x.role] = append(grants[x.role], a.Address())
		}
	}
	return grants, nil
}

func (d *deployment) open(ctx context.Context) (*sender, error) {
	text, err := os.ReadFile(d.keystore)
	if err != nil {
		return nil, err
	}
	password, err := os.ReadFile(d.passwordFile)
	if err != nil {
		return nil, err
	}
	key, err := keystore.DecryptKey(text, strings.TrimRight(string(password), "\r\n"))
	if err != nil {
		return nil, fmt.Errorf("%s cannot be opened with the password in %s: %w", d.keystore, d.passwordFile, err)
	}
	client, err := ethclient.DialContext(ctx, d.url)
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	s := &sender{client: client, key: key}
	if s.chainID, err = client.ChainID(ctx); err == nil {
		s.nonce, err = client.PendingNonceAt(ctx, key.Address)
	}
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("the node at --url does not answer: %w", err)
	}
	return s, nil
}

// send sends a transaction and waits until a block has it.
func (s *sender) send(ctx context.Context, to *common.Address, value *big.Int, data []byte) (*types.Receipt, error) {
	tip, err := s.client.SuggestGasTipCap(ctx)
	if err != nil {
		return nil, err
	}
	head, err := s.client.HeaderByNumber(ctx, nil)
	if err != nil {
		return nil, err
	}
	if head.BaseFee == nil {
		return nil, errors.New("this network has no EIP-1559 fees")
	}
	gas, err := s.client.EstimateGas(ctx, ethereum.CallMsg{From: s.key.Address, To: to, Value: value, Data: data})
	if err != nil {
		return nil, err
	}
	// Twice the base fee lasts for six full blocks of rises.
	tx, err := types.SignNewTx(s.key.PrivateKey, types.LatestSignerForChainID(s.chainID), &types.DynamicFeeTx{
		ChainID: s.chainID, Nonce: s.nonce, To: to, Value: value, Data: data, Gas: gas + gas/5,
		GasTipCap: tip, GasFeeCap: new(big.Int).Add(tip, new(big.Int).Lsh(head.BaseFee, 1)),
	})
	if err != nil {
		return nil, err
	}
	if err := s.client.SendTransaction(ctx, tx); err != nil {
		return nil, err
	}
	s.nonce++
	for {
		receipt, err := s.client.TransactionReceipt(ctx, tx.Hash())
		if err == nil && receipt.Status != types.ReceiptStatusSuccessful {
			return nil, fmt.Errorf("transaction %s was reverted", tx.Hash())
		}
		if err == nil {
			// A node tells of a receipt a moment before the block is its head. What is estimated
			// then runs without the contract that was just deployed, and has too little gas.
			if head, err := s.client.BlockNumber(ctx); err != nil || head >= receipt.BlockNumber.Uint64() {
				return receipt, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("transaction %s was sent and is in no block yet: %w", tx.Hash(), ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
