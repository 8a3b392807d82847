package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"caos"
	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/dpp"
	"caos/internal/engine"
	"caos/internal/ethereum"
	"caos/internal/event"
	"caos/internal/hook"
	"caos/internal/outbound"
	"caos/internal/secret"
)

// openChain opens what is recorded on a chain. Without one in the configuration it can be
// read, and nothing is sent.
func (a *App) openChain() (err error) {
	o := chain.Options{DB: a.db, Log: a.log, Events: a.events, Alerts: a.alerts, Stamps: a.stamps, Now: a.now, Logger: a.logger, Node: a.node.Name,
		Ended: engine.Ended, Start: a.record, Class: a.classOf,
		// The engine comes after the chain, and before anything of it runs.
		Wake: func(tx *db.Tx, executionID string) error { a.engine.Wake(tx, executionID); return tx.Err() }}
	a.recorded = hook.ChainPolicy{Required: []string{"MODEL_FREEZE", "DEPLOYMENT", "ROLLBACK"}}
	if a.cfg.Chain != nil {
		c := a.cfg.Chain.filled()
		if o.Client, err = ethereum.Open(ethereum.Settings{ChainID: c.ChainID, Endpoints: c.Endpoints, Agree: c.Agree, Logger: a.logger, Now: a.now}); err != nil {
			return err
		}
		if o.Settings, err = c.settings(); err != nil {
			return err
		}
		if err := a.openAccounts(c); err != nil {
			return err
		}
		o.Signers = map[string]ethereum.Signer{}
		senders := map[string]string{}
		for name, s := range a.accounts {
			o.Signers[name], senders[name] = s, s.Address().Hex()
		}
		a.recorded = hook.ChainPolicy{Required: c.Record, Evidence: c.RecordEvidence, Passports: c.recordsPassports(), Senders: senders}
	}
	if a.chain, err = chain.Open(o); err != nil {
		return err
	}
	a.recorded.Chain = a.chain
	return a.events.Subscribe(event.Subscription{Name: "passports-on-chain", Pattern: "caos.transaction.*", InTx: a.passportMoved})
}

// openPins lets passports be given to an IPFS node, if there is one in the configuration.
func (a *App) openPins() (err error) {
	if a.cfg.IPFS == nil {
		return nil
	}
	client := outbound.New(outbound.Config{Allow: a.cfg.chainAllow(), MaxBytes: 1 << 20, MaxRedirects: -1}).Client()
	if a.pins, err = a.dpp.NewPinner(dpp.PinOptions{URL: a.cfg.IPFS.API, HTTP: client, Logger: a.logger}); err != nil {
		return err
	}
	return a.events.Subscribe(a.pins.Subscription())
}

// settings are the configuration as package chain wants it.
func (c ChainConfig) settings() (chain.Settings, error) {
	s := chain.Settings{ChainID: c.ChainID, Confirmations: uint64(c.Confirmations), Caps: ethereum.Caps{MaxFee: wei(c.MaxFeeGwei), MaxTip: wei(c.MaxTipGwei)},
		Registry: c.Registry, Explorer: c.Explorer}
	var err error
	if s.BlockTime, err = time.ParseDuration(c.BlockTime); err != nil {
		return s, fmt.Errorf("chain.block_time: %w", err)
	}
	if s.BumpAfter, err = time.ParseDuration(c.BumpAfter); err != nil {
		return s, fmt.Errorf("chain.bump_after: %w", err)
	}
	return s, nil
}

// classOf is the classification of a model.
func (a *App) classOf(tx *db.Tx, modelID string) (string, error) {
	m, err := a.registry.ModelIn(tx, modelID)
	if err != nil {
		return "", err
	}
	return m.Classification, nil
}

// record submits the call that records something of ours, as CAOS itself.
func (a *App) record(ctx context.Context, s chain.Subject) (string, error) {
	var input json.RawMessage
	err := a.db.Write(ctx, func(tx *db.Tx) (err error) {
		input, err = a.recorded.RecordSubject(tx, s)
		return err
	})
	if err != nil {
		return "", err
	}
	x, err := a.service.Submit(ctx, hook.Request{Hook: "CAOS.PROD.BLOCKCHAIN.CONTRACT", Body: input, ContentType: "application/json", IdemKey: s.Key(), By: caos.SystemPrincipal(),
		Within: func(tx *db.Tx, executionID string) error { return a.chain.Link(tx, s.Kind, s.ID, executionID) }})
	if err != nil {
		return "", err
	}
	return x.ID, nil
}

// passportMoved keeps a passport's transaction true, whatever became of the execution that
// sent it: final once it is, and taken back if its block vanishes from the chain.
func (a *App) passportMoved(tx *db.Tx, e event.Event) error {
	var d chain.TransactionEvent
	if err := e.Decode(&d); err != nil {
		return err
	}
	if d.Subject != nil && d.Subject.Kind == chain.KindCheckpoint && d.Status.Final() && a.anchors != nil {
		tx.AfterCommit(a.anchors.Nudge) // it would see by itself, some seconds later
	}
	if d.Subject == nil || d.Subject.Kind != chain.KindPassport {
		return nil
	}
	t, err := a.chain.TransactionIn(tx, d.TransactionID)
	if err != nil {
		return err
	}
	switch {
	case t.Status == chain.Confirmed && t.BlockNumber != nil:
		return a.dpp.Confirmed(tx, d.Subject.ID, t.Hash, *t.BlockNumber, t.ChainID)
	case d.Reorganised && !t.Status.Final():
		for _, hash := range t.Hashes {
			if err := a.dpp.Withdrawn(tx, d.Subject.ID, hash, "the block of its transaction vanished from the chain; it was sent again"); err != nil {
				return err
			}
		}
	}
	return nil
}

// startChain keeps what was sent, and gives passports to IPFS, until the node stops.
func (a *App) startChain(run context.Context) {
	var working sync.WaitGroup
	run, cancel := context.WithCancel(run)
	working.Go(func() {
		if err := a.chain.Run(run); err != nil && run.Err() == nil {
			a.fail(fmt.Errorf("chain: %w", err))
		}
	})
	working.Go(func() { // those of an earlier version
		if _, err := a.dpp.PublishMissing(run); err != nil && run.Err() == nil {
			a.logger.WarnContext(run, "passports lack their public records", "error", err)
		}
	})
	if a.pins != nil {
		working.Go(func() { a.pins.Run(run) })
	}
	for _, s := range a.accounts {
		working.Go(func() { s.warm(run, a) })
	}
	a.onStop("chain", func(context.Context) error { cancel(); working.Wait(); return nil })
}

// maxKeyFile bounds a file with an encrypted key.
const maxKeyFile = 64 << 10

// openAccounts makes the signers of the configured accounts. A key file must be there; its
// password may come into the vault later, because the vault is filled by a running server.
func (a *App) openAccounts(c ChainConfig) error {
	a.accounts = map[string]*account{}
	client := outbound.New(outbound.Config{Allow: a.cfg.chainAllow(), Timeout: 30 * time.Second, MaxBytes: 1 << 20, MaxRedirects: -1}).Client()
	for i, cfg := range c.Accounts {
		field := func(name string) string { return fmt.Sprintf("chain.accounts[%d].%s", i, name) }
		s := &account{name: cfg.Name}
		if cfg.Signer != "" {
			s.address = common.HexToAddress(cfg.Address)
			s.signer = ethereum.Remote(cfg.Signer, s.address, client)
			a.accounts[cfg.Name] = s
			continue
		}
		path := cfg.Keystore
		if !filepath.IsAbs(path) {
			path = a.cfg.path(path)
		}
		text, err := readKeyFile(path)
		if err != nil {
			return caos.AsError(err).WithField(field("keystore"))
		}
		if s.address, err = keyFileAddress(text, cfg.Address); err != nil {
			return caos.AsError(err).WithField(field("address"))
		}
		if s.ref, err = secret.ParseRef(cfg.Password); err != nil {
			return caos.AsError(err).WithField(field("password"))
		}
		s.path, s.vault = path, a.vault
		a.accounts[cfg.Name] = s
	}
	return nil
}

func readKeyFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, caos.Errorf(caos.Invalid, "there is no key file %s", path).WithHint("caos chain account new makes one")
	}
	if err != nil {
		return nil, caos.Wrap(caos.Invalid, err, "the key file %s cannot be read", path)
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return nil, caos.Errorf(caos.Invalid, "%s is no key file of at most %d bytes", path, maxKeyFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, caos.Wrap(caos.Invalid, err, "the key file %s cannot be read", path)
	}
	return text, nil
}

// keyFileAddress is the address that a key file states, or that configuration states for it.
func keyFileAddress(text []byte, stated string) (common.Address, error) {
	var f struct {
		Address string `json:"address"`
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return common.Address{}, caos.Wrap(caos.Invalid, err, "the key file is not JSON of Web3 Secret Storage")
	}
	switch {
	case f.Address == "" && stated == "":
		return common.Address{}, caos.Errorf(caos.Invalid, "the key file does not say its address").WithHint("write the address beside it")
	case f.Address == "":
		return common.HexToAddress(stated), nil
	case !common.IsHexAddress(f.Address):
		return common.Address{}, caos.Errorf(caos.Invalid, "the key file states an address that is none")
	case stated != "" && common.HexToAddress(stated) != common.HexToAddress(f.Address):
		return common.Address{}, caos.Errorf(caos.Invalid, "the key file is of %s and not of %s", common.HexToAddress(f.Address).Hex(), stated)
	}
	return common.HexToAddress(f.Address), nil
}

// account signs for one address. The key of a file is opened when it is first needed, and
// again after it could not be: the right password may have come into the vault since.
type account struct {
	name    string
	address common.Address
	path    string // of the key file, "" with a remote signer
	ref     secret.Ref
	vault   *secret.Vault

	mu     sync.Mutex
	signer ethereum.Signer // nil while the key is not open
	tried  []byte          // password with which the file did not open, and why
	failed error
}

// Address is the account's address.
func (s *account) Address() common.Address { return s.address }

// Sign signs with the account's key. Errors: Unavailable while the key cannot be opened.
func (s *account) Sign(ctx context.Context, tx *types.Transaction, chainID *big.Int) (*types.Transaction, error) {
	signer, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	return signer.Sign(ctx, tx, chainID)
}

func (s *account) open(ctx context.Context) (ethereum.Signer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.signer != nil {
		return s.signer, nil
	}
	password, err := s.password(ctx)
	if err != nil {
		return nil, err
	}
	defer clear(password)
	if s.failed != nil && bytes.Equal(password, s.tried) {
		return nil, s.failed // trying again costs a second of a processor
	}
	text, err := readKeyFile(s.path)
	if err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the account %s cannot sign: %s", s.name, caos.AsError(err).Message)
	}
	signer, err := ethereum.OpenKeystore(text, password)
	switch {
	case err != nil:
		s.failed = caos.Wrap(caos.Unavailable, err, "the account %s cannot sign: %s", s.name, caos.AsError(err).Message).WithRule("account-key").
			WithHint("put the password of %s into the vault as %s", s.path, s.ref)
	case signer.Address() != s.address:
		s.failed = caos.Errorf(caos.Unavailable, "the account %s cannot sign: its key is of %s and not of %s", s.name, signer.Address().Hex(), s.address.Hex()).WithRule("account-key").
			WithHint("correct chain.accounts in caos.yaml")
	default:
		s.signer, s.failed, s.tried = signer, nil, nil
		return signer, nil
	}
	s.tried = bytes.Clone(password)
	return nil, s.failed
}

// Ready says what is known to keep the account from signing, nil for nothing. It opens no key:
// that costs a second.
func (s *account) Ready(ctx context.Context) error {
	if s.path == "" {
		return nil // what a remote signer could is not known before it is asked
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.signer != nil {
		return nil
	}
	password, err := s.password(ctx)
	if err != nil {
		return err
	}
	defer clear(password)
	if s.failed != nil && bytes.Equal(password, s.tried) {
		return s.failed
	}
	return nil
}

// password gets the key file's password out of the vault.
func (s *account) password(ctx context.Context) ([]byte, error) {
	password, err := s.vault.Get(ctx, s.ref)
	if err != nil {
		e := *caos.AsError(err)
		return nil, caos.Wrap(caos.Unavailable, err, "the account %s cannot sign: %s", s.name, e.Message).WithHint("put the password of %s into the vault as %s", s.path, s.ref)
	}
	return password, nil
}

// warm opens the key before it is needed, so that what is wrong with it is said at once.
func (s *account) warm(ctx context.Context, a *App) {
	if s.path == "" {
		return
	}
	if _, err := s.open(ctx); err != nil && ctx.Err() == nil {
		a.logger.Warn("an account of the chain cannot sign yet", "account", s.name, "address", s.address.Hex(), "error", caos.AsError(err).Message)
	}
}
