package chain

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

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

	// Lease is how long a silent node keeps an account; 0 means 15 s.
	Lease time.Duration
}

// Chain keeps contracts, transactions and subjects, and sends. Its methods may be called
// from any goroutine.
type Chain struct {
	opt Options
}

// By is who does something, for the audit record.
type By struct {
	Actor      string // who is said to have acted
	RecordedBy string // who authenticated; "" for the same
	Execution  string // EXEC-… if a hook does it
	Hook       string
	Actions    []auditlog.Action
}

// Open returns the chain kept in a database. Nothing is asked of the network before Run.
func Open(opt Options) (*Chain, error) {
	if opt.DB == nil || opt.Log == nil || opt.Events == nil || opt.Alerts == nil || opt.Stamps == nil {
		return nil, caos.Errorf(caos.Internal, "a chain needs a database, an audit log, an outbox, alerts and a stamper")
	}
	c := &Chain{opt: opt}
	return c, nil
}

// Configured reports whether there is a network to send to.
func (c *Chain) Configured() bool { return c.opt.Client != nil }

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
	<-ctx.Done()
	return nil
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
