package chain

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"caos"
	"caos/internal/alert"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/ethereum"
	"caos/internal/event"
)

// Recorder is the audit log, as far as this package needs it.
type Recorder interface {
	Append(tx *db.Tx, r auditlog.Record) (auditlog.Receipt, error)
}

// Settings are what configuration says of the network and of our ways there.
type Settings struct {
	ChainID       uint64
	Confirmations uint64        // blocks on top of a transaction's, its own included, before it is believed; 0 means 3
	BlockTime     time.Duration // how often the network makes a block; 0 means 12 s
	BumpAfter     time.Duration // how long a transaction is left with the fees it has; 0 means 3 min
	Caps          ethereum.Caps // the most that is paid for gas
	Margin        float64       // what an estimate of gas is multiplied by; 0 means 1.2
	Registry      string        // address of the ProductionRegistry; "" for none
	Explorer      string        // URL of a transaction's page with {tx} for its hash; "" for none
}

// Options say what a Chain is made of. DB, Log, Events, Alerts and Stamps are required.
type Options struct {
	DB     *db.DB
	Log    Recorder
	Events *event.Outbox
	Alerts *alert.Store
	Stamps *caos.Stamper
	Now    func() time.Time // nil means time.Now
	Logger *slog.Logger     // nil means slog.Default()
	Node   string           // this node's id; "" means "local"

	// Client asks the network. Without one nothing is signed or sent; what was recorded can
	// be read.
	Client *ethereum.Client
	// Signers sign, by the account's name in configuration.
	Signers  map[string]ethereum.Signer
	Settings Settings

	// Wake makes an execution look again, in the transaction that changed what it waits for.
	// An execution that waits for nothing is no error.
	Wake func(tx *db.Tx, executionID string) error
	// Start begins the execution that records a subject and returns its id. It may be called
	// again for the same subject: Subject.Key is the idempotency key.
	Start func(ctx context.Context, s Subject) (executionID string, err error)
	// Ended reports whether an execution is over, whatever became of it. Without it nothing
	// that an execution left behind is given up.
	Ended func(tx *db.Tx, executionID string) (bool, error)

	// Class is the classification of a model as it is now, or NotFound. Without it a subject
	// keeps the one that it was wanted with.
	Class func(tx *db.Tx, modelID string) (string, error)

	// Lease is how long a silent node keeps an account; 0 means 15 s.
	Lease time.Duration
}

// Chain keeps contracts, transactions and subjects, and sends. Its methods may be called
// from any goroutine.
type Chain struct {
	opt  Options
	net  *network // nil: no chain
	log  *slog.Logger
	ours string // condition: of this chain, as the database may have transactions of another
	sql  string // the database server's clock, microseconds

	accounts map[common.Address]*account // whose keys we have
	kick     chan struct{}               // holds one: the keeper has something to do
	wanted   chan struct{}               // holds one: there may be a subject to start
	view     view
	ways     *ways
	cries    cries
	alarms   alarms
	reach    reach
	crew     crew

	life context.Context // ends with Run: what was begun for somebody who waited
	end  context.CancelFunc
	work sync.WaitGroup
}

// By is who does something, for the audit record.
type By struct {
	Actor      string // who is said to have acted
	RecordedBy string // who authenticated; "" for the same
	Execution  string // EXEC-… if a hook does it
	Hook       string
	Actions    []auditlog.Action
}

// record appends the audit record of a change, by whoever made it. An empty type is
// auditlog.Data.
func (c *Chain) record(tx *db.Tx, by By, rec auditlog.Record) error {
	if rec.Type == "" {
		rec.Type = auditlog.Data
	}
	rec.Actor, rec.RecordedBy, rec.Execution, rec.Hook, rec.Actions = by.Actor, by.RecordedBy, by.Execution, by.Hook, by.Actions
	if rec.RecordedBy == "" {
		rec.RecordedBy = by.Actor
	}
	_, err := c.opt.Log.Append(tx, rec)
	return err
}

// itself is CAOS, which does what nobody asked it to do at that moment.
func itself(executionID string) By {
	return By{Actor: "caos", RecordedBy: "caos", Execution: executionID}
}

// now is the moment of a change as it can be stored.
func (c *Chain) now() time.Time { return c.opt.Now().UTC().Truncate(time.Microsecond) }

// Open returns the chain kept in a database. Nothing is asked of the network before it is
// needed.
func Open(opt Options) (*Chain, error) {
	if opt.Client == nil {
		return open(opt, nil)
	}
	return open(opt, &network{opt.Client, opt.Client, opt.Client, opt.Client})
}

func open(opt Options, net *network) (*Chain, error) {
	if opt.DB == nil || opt.Log == nil || opt.Events == nil || opt.Alerts == nil || opt.Stamps == nil {
		return nil, caos.Errorf(caos.Internal, "a chain needs a database, an audit log, an outbox, alerts and a stamper")
	}
	opt.fill()
	c := &Chain{opt: opt, net: net, log: opt.Logger, accounts: map[common.Address]*account{},
		kick: make(chan struct{}, 1), wanted: make(chan struct{}, 1), ways: newWays(cryWidth), crew: crew{list: map[common.Address]*account{}}}
	c.life, c.end = context.WithCancel(context.Background())
	c.ours = fmt.Sprintf("chain_id = %d", opt.Settings.ChainID)
	c.sql = `(CAST(unixepoch('subsec') * 1000000 AS INTEGER))`
	if opt.DB.Dialect() == db.PostgreSQL {
		c.sql = `(CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT))`
	}
	if r := opt.Settings.Registry; r != "" {
		at, err := parseAddress("chain.registry", r)
		if err != nil {
			return nil, err
		}
		c.opt.Settings.Registry = at.Hex()
	}
	for _, name := range slices.Sorted(maps.Keys(opt.Signers)) {
		s := opt.Signers[name]
		at := s.Address()
		if _, twice := c.accounts[at]; !twice {
			c.accounts[at] = &account{c: c, name: name, address: at, signer: s, turn: make(chan struct{}, 1),
				lease: &lease{c: c, name: c.leases() + at.Hex()}}
		}
	}
	return c, nil
}

// fill puts defaults in the place of zero values.
func (o *Options) fill() {
	s := &o.Settings
	s.Confirmations = cmp.Or(s.Confirmations, 3)
	s.BlockTime = cmp.Or(s.BlockTime, 12*time.Second)
	s.BumpAfter = cmp.Or(s.BumpAfter, 3*time.Minute)
	s.Margin = cmp.Or(s.Margin, 1.2)
	o.Lease = cmp.Or(o.Lease, 15*time.Second)
	o.Node = cmp.Or(o.Node, "local")
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Wake == nil {
		o.Wake = func(*db.Tx, string) error { return nil }
	}
}

// Configured reports whether there is a network to send to.
func (c *Chain) Configured() bool { return c.net != nil }

// Client returns what asks the network, nil without one.
func (c *Chain) Client() *ethereum.Client { return c.opt.Client }

// Settings returns the settings with their defaults filled in.
func (c *Chain) Settings() Settings { return c.opt.Settings }

// ExplorerURL is where people look at a transaction, "" if configuration names no place.
func (c *Chain) ExplorerURL(hash string) string {
	if c.opt.Settings.Explorer == "" || hash == "" {
		return ""
	}
	return strings.ReplaceAll(c.opt.Settings.Explorer, "{tx}", hash)
}

// Run keeps what was sent until the context ends: it follows the chain, signs, sends again,
// and starts what is to record subjects. It returns nil when the context ended. It is called
// once, and without a client does nothing but wait.
func (c *Chain) Run(ctx context.Context) error {
	if c.net == nil {
		<-ctx.Done()
		return nil
	}
	var parts sync.WaitGroup
	parts.Go(func() { c.keep(ctx) })
	parts.Go(func() { c.renew(ctx) })
	if c.opt.Start != nil {
		parts.Go(func() { c.startWanted(ctx) })
	}
	parts.Wait()
	c.end()
	c.work.Wait()
	for _, a := range c.all() {
		a.lease.drop()
	}
	return nil
}

// network is what is asked of an ethereum.Client, in four small parts.
type network struct {
	reader
	purse
	crier
	comparer
}

type reader interface {
	Head(ctx context.Context) (ethereum.Block, error)
	Block(ctx context.Context, number uint64) (ethereum.Block, error)
	Receipt(ctx context.Context, hash common.Hash) (*types.Receipt, error)
	Receipts(ctx context.Context, block common.Hash) ([]*types.Receipt, error)
}

type purse interface {
	Nonce(ctx context.Context, account common.Address, pending bool) (uint64, error)
	Balance(ctx context.Context, account common.Address) (*big.Int, error)
	Deployed(ctx context.Context, address common.Address) ([]ethereum.Link, error)
	Fees(ctx context.Context) (ethereum.Fees, error)
}

type crier interface {
	Send(ctx context.Context, raw []byte) error
	Transaction(ctx context.Context, hash common.Hash) (found, pending bool, err error)
	Status(ctx context.Context) []ethereum.EndpointStatus
}

// comparer asks several endpoints whether they say the same.
type comparer interface {
	Agree(ctx context.Context, number uint64) error
	Agreed(ctx context.Context, number uint64) (common.Hash, error)
	AgreeReceipts(ctx context.Context, list []*types.Receipt) error
	Quorum() (need, of int)
}

// poke makes a loop look, unless it is about to.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// query reads rows, from the read pool or inside a transaction.
type query = db.Query

func readJSON(text string, into any) error {
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("chain: read what is stored: %w", err)
	}
	return nil
}

func writeJSON(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("chain: write what is to be stored: %w", err)
	}
	return string(text), nil
}
