// Package chaining is what is measured and tormented of CAOS.PROD.BLOCKCHAIN.CONTRACT: the
// hook with the sender of transactions behind it, wired as the product wires them, and a
// development chain before it.
package chaining

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"caos"
	"caos/bench/faults/sample"
	"caos/internal/alert"
	"caos/internal/auditlog"
	"caos/internal/auth"
	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/ethereum"
	"caos/internal/ethereum/binding"
	"caos/internal/event"
	"caos/internal/hook"
	"caos/internal/object"
	"caos/internal/registry"
	"caos/internal/sign"
)

// Hook is the hook.
const Hook = "CAOS.PROD.BLOCKCHAIN.CONTRACT"

// Account is the name of the account that sends everything.
const Account = "sender"

// Function records what is asked for.
const Function = "recordProduction(string,string,bytes32,uint64)"

// Base is the address that transactions are named by.
const Base = "https://caos.test"

// Network is the way to a chain, as nodes read it from a file.
type Network struct {
	URL       string        `json:"url"`
	ChainID   uint64        `json:"chain_id"`
	Registry  string        `json:"registry"`
	Keystore  []byte        `json:"keystore"`
	Password  string        `json:"password"`
	BlockTime time.Duration `json:"block_time"`
	BumpAfter time.Duration `json:"bump_after"`
	Lease     time.Duration `json:"lease"`
}

// File is where nodes that share a folder find the network.
func File(dir string) string { return filepath.Join(dir, "network.json") }

// Write stores a network for the nodes of a folder.
func (n Network) Write(dir string) error {
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return os.WriteFile(File(dir), text, 0o600)
}

// Read reads what Write stored.
func Read(dir string) (n Network, err error) {
	text, err := os.ReadFile(File(dir))
	if err != nil {
		return n, err
	}
	return n, json.Unmarshal(text, &n)
}

// Parts are what a Desk stands on.
type Parts struct {
	DB     *db.DB
	Log    *auditlog.Log
	Stamps *caos.Stamper
	Dir    string // of objects, which the nodes share
	Node   string // name of this one
	Now    func() time.Time
	Logger *slog.Logger
}

// Desk is everything that a transaction touches.
type Desk struct {
	Parts
	Network Network
	Objects *object.Store
	Events  *event.Outbox
	Chain   *chain.Chain
	Hooks   []*hook.Hook
	Service *hook.Service

	engine  *engine.Engine
	cancel  context.CancelFunc
	working sync.WaitGroup
	closers []func() error // of what OpenAlone opened
}

// Open opens a desk on a network. Close ends what it opened and not what it stands on.
func Open(p Parts, n Network) (d *Desk, err error) {
	d = &Desk{Parts: p, Network: n}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if d.Objects, err = object.Open(filepath.Join(p.Dir, "objects"), p.DB, p.Now); err != nil {
		return d, err
	}
	if d.Events, err = event.Open(event.Options{DB: p.DB, Stamps: p.Stamps, Now: p.Now, Node: p.Node, Log: slog.New(slog.DiscardHandler)}); err != nil {
		return d, err
	}
	signer, err := ethereum.OpenKeystore(n.Keystore, []byte(n.Password))
	if err != nil {
		return d, err
	}
	client, err := ethereum.Open(ethereum.Settings{ChainID: n.ChainID, Endpoints: []string{n.URL}, Logger: p.Logger})
	if err != nil {
		return d, err
	}
	d.Chain, err = chain.Open(chain.Options{DB: p.DB, Log: p.Log, Events: d.Events, Alerts: alert.New(p.DB, d.Events, p.Stamps, p.Now), Stamps: p.Stamps, Now: p.Now,
		Logger: p.Logger, Node: p.Node, Client: client, Signers: map[string]ethereum.Signer{Account: signer}, Lease: n.Lease, Ended: engine.Ended,
		Settings: chain.Settings{ChainID: n.ChainID, BlockTime: n.BlockTime, BumpAfter: n.BumpAfter, Registry: n.Registry},
		Wake:     func(tx *db.Tx, executionID string) error { d.engine.Wake(tx, executionID); return tx.Err() }})
	if err != nil {
		return d, err
	}
	models, err := registry.Open(registry.Options{DB: p.DB, Objects: d.Objects, Log: p.Log, Events: d.Events, Now: p.Now})
	if err != nil {
		return d, err
	}
	d.Hooks = []*hook.Hook{hook.BlockchainContract(hook.Collaborators{Registry: models, Objects: d.Objects, BaseURL: Base, Now: p.Now, DB: p.DB, Log: p.Log, Events: d.Events, Allowed: anybody{}.Authorize,
		Chain: hook.ChainPolicy{Chain: d.Chain, Senders: map[string]string{Account: signer.Address().Hex()}}})}
	return d, nil
}

// Register registers the network's contract, as an administrator does once.
func (d *Desk) Register(ctx context.Context, n Network) error {
	code, err := d.Chain.CodeHash(ctx, n.Registry)
	if err != nil {
		return err
	}
	k := chain.Contract{Address: n.Registry, ChainID: n.ChainID, Name: "ProductionRegistry", ABI: json.RawMessage(binding.ProductionRegistryMetaData.ABI), CodeHash: code,
		Functions: []chain.Allowed{{Function: Function, Roles: []string{"mlops-engineer"}, Account: Account, Automatic: true, MaxGas: MaxGas}}}
	return d.DB.Write(ctx, func(tx *db.Tx) error {
		_, err := d.Chain.Register(tx, k, chain.By{Actor: Requester})
		return err
	})
}

// Serve makes the service on top of an engine that does not run yet.
func (d *Desk) Serve(ctx context.Context, e *engine.Engine) (err error) {
	d.engine = e
	d.Service, err = hook.NewService(ctx, hook.ServiceOptions{DB: d.DB, Engine: e, Auth: anybody{}, Log: d.Log, Hooks: d.Hooks, Now: d.Now, Logger: d.Logger})
	return err
}

// Start keeps what was sent, once the engine runs.
func (d *Desk) Start(ctx context.Context) error {
	if err := d.Events.Start(ctx); err != nil {
		return err
	}
	run, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	d.working.Go(func() {
		if err := d.Chain.Run(run); err != nil && run.Err() == nil {
			d.Logger.Error("chain", "error", err)
		}
	})
	return nil
}

// Quiet stops what Start began.
func (d *Desk) Quiet() {
	if d.cancel == nil {
		return
	}
	d.cancel()
	d.working.Wait()
	d.Events.Close()
}

// Close ends what was opened.
func (d *Desk) Close() error {
	var err error
	if d.Objects != nil {
		err = d.Objects.Close()
	}
	for i := len(d.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, d.closers[i]())
	}
	return err
}

// Requester asks for every transaction.
const Requester = "mia"

// MaxGas is what a transaction may use.
const MaxGas = 200_000

// Submitter is who authenticates when a transaction is asked for.
func Submitter() caos.Principal {
	return caos.Principal{ID: Requester, Roles: []string{"mlops-engineer"}, MFA: "totp"}
}

// Content is the content hash of production number i: nothing else has it.
func Content(i int) common.Hash { return sha256.Sum256([]byte("production " + strconv.Itoa(i))) }

// Model and version of production number i.
func Model(i int) (model, version string) { return "NN-CHAIN-001", fmt.Sprintf("1.%d.0", i) }

// Moment is the time that every production states, in Unix seconds.
const Moment = 1_700_000_000

// Request is the submission of production number i.
func Request(n Network, i int, key string) (hook.Request, error) {
	content := Content(i)
	model, version := Model(i)
	body, err := json.Marshal(map[string]any{"contract_address": n.Registry, "contract_function": Function, "gas_limit": MaxGas,
		"function_parameters": map[string]any{"modelId": model, "version": version, "contentHash": "0x" + hex.EncodeToString(content[:]), "timestamp": strconv.Itoa(Moment)}})
	return hook.Request{Hook: Hook, Body: body, ContentType: "application/json", IdemKey: key, By: Submitter()}, err
}

// anybody may do everything: who may is what others test.
type anybody struct{}

func (anybody) AuthorizeHook(*db.Tx, caos.Principal, string, string, string) error { return nil }
func (anybody) Authorize(*db.Tx, caos.Principal, string, auth.Resource, map[string]any) error {
	return nil
}

// OpenAlone opens a desk, and what it stands on, where no node runs.
func OpenAlone(ctx context.Context, url, dir string) (d *Desk, err error) {
	n, err := Read(dir)
	if err != nil {
		return nil, err
	}
	p := Parts{Dir: dir, Node: "alone", Now: time.Now, Logger: slog.New(slog.DiscardHandler)}
	var closers []func() error
	defer func() {
		if err != nil {
			for _, end := range closers {
				err = errors.Join(err, end())
			}
		}
	}()
	if p.DB, err = db.Open(ctx, db.Options{URL: url, Log: p.Logger, Budget: dbtest.Budget}); err != nil {
		return nil, err
	}
	closers = append(closers, p.DB.Close)
	keys, err := sign.OpenKeys(filepath.Join(dir, "keys"))
	if err != nil {
		return nil, err
	}
	closers = append(closers, keys.Close)
	floor, err := auditlog.LastTime(ctx, p.DB)
	if err != nil {
		return nil, err
	}
	p.Stamps = caos.NewStamper(time.Now, floor, 0, 1)
	p.Log, err = auditlog.Open(ctx, auditlog.Options{DB: p.DB, Keys: keys, Origin: sample.Origin, Stamps: p.Stamps,
		Sink: auditlog.NewFileSink(filepath.Join(dir, sample.Published)), Log: p.Logger})
	if err != nil {
		return nil, err
	}
	closers = append(closers, p.Log.Close)
	if d, err = Open(p, n); err != nil {
		return nil, err
	}
	d.closers = closers
	return d, nil
}
