package db

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"caos"
)

// Dialect says which database a [DB] talks to.
type Dialect string

// The two databases.
const (
	SQLite     Dialect = "sqlite"
	PostgreSQL Dialect = "postgresql"
)

// Options say what to open and how. Only URL is required.
type Options struct {
	// URL is "sqlite:PATH" or a PostgreSQL URL ("postgres://user@host:port/database").
	URL string
	// Now is the clock used to tell slow functions; nil means time.Now.
	Now func() time.Time
	// Budget is the longest a function given to Update or Write may take; 0 means 250 ms.
	Budget time.Duration
	// MaxBatch is the most functions that share one transaction; 0 means 256.
	MaxBatch int
	// Log gets warnings about slow and failing functions; nil means slog.Default().
	Log *slog.Logger
	// Fault injects failures. It exists for fault tests and is nil everywhere else.
	Fault *Fault
}

// A Sealer closes each audited transaction. The audit log is one.
type Sealer interface {
	// Begin runs the first statements of the transaction: it locks and reads the log's
	// head, which makes one writer at a time out of any number of nodes.
	Begin(tx *Tx) error
	// Seal writes what the surviving functions emitted, in order, right before COMMIT. It
	// is called only if there is at least one entry.
	Seal(tx *Tx, entries []any) error
	// Done hears the answer to COMMIT. If unknown is true the transaction may or may not
	// be there, and everything cached about the head must be read again.
	Done(committed bool, unknown bool)
}

// DB is an open database. Its methods may be called from any goroutine, except from within
// a function given to Update or Write.
type DB struct {
	opt     Options
	dialect Dialect
	reads   *sql.DB
	connect func(ctx context.Context) (conn, error) // gives the writer a connection
	closers []func() error

	sealer  atomic.Pointer[Sealer]
	updates chan *request
	writes  chan *request // nil on PostgreSQL, where Write has connections of its own
	closing chan struct{} // closed by Close: nothing new begins
	stopped chan struct{} // closed when the commit loop has ended
	once    sync.Once
	running sync.WaitGroup // Writes under way on PostgreSQL
	gate    sync.RWMutex   // held for reading while a Write joins running
}

// Budgets of the group commit.
const (
	defaultBudget   = 250 * time.Millisecond
	defaultMaxBatch = 256
	slowFn          = 50 * time.Millisecond
	queueLength     = 4096
)

// Open opens the database, brings its schema up to date and starts the commit loop. The
// context bounds the opening only. Close the DB to release it.
func Open(ctx context.Context, opt Options) (*DB, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Budget <= 0 {
		opt.Budget = defaultBudget
	}
	if opt.MaxBatch <= 0 {
		opt.MaxBatch = defaultMaxBatch
	}
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	d := &DB{
		opt:     opt,
		updates: make(chan *request, queueLength),
		closing: make(chan struct{}),
		stopped: make(chan struct{}),
	}
	var err error
	switch {
	case strings.HasPrefix(opt.URL, "sqlite:"):
		d.dialect = SQLite
		d.writes = make(chan *request, queueLength)
		err = d.openSQLite(ctx, strings.TrimPrefix(opt.URL, "sqlite:"))
	case strings.HasPrefix(opt.URL, "postgres://"), strings.HasPrefix(opt.URL, "postgresql://"):
		d.dialect = PostgreSQL
		err = d.openPostgres(ctx)
	default:
		err = caos.Errorf(caos.Invalid, "unknown kind of database address").WithField("database").
			WithHint(`use "sqlite:PATH" or "postgres://user@host:port/database"`)
	}
	if err != nil {
		_ = d.release()
		return nil, fmt.Errorf("open database: %w", err)
	}
	go d.commitLoop()
	return d, nil
}

// Dialect says which database this is.
func (d *DB) Dialect() Dialect { return d.dialect }

// SetSealer installs the audit log. It is called once, before the first Update.
func (d *DB) SetSealer(s Sealer) {
	if s == nil || !d.sealer.CompareAndSwap(nil, &s) {
		panic("db: SetSealer takes one sealer, once")
	}
}

// Close lets the transaction under way end, answers Unavailable to whoever still waits and
// releases all connections. It may be called more than once.
func (d *DB) Close() error {
	var err error
	d.once.Do(func() {
		d.gate.Lock()
		close(d.closing)
		d.gate.Unlock()
		<-d.stopped
		d.running.Wait()
		err = d.release()
	})
	return err
}

func (d *DB) release() error {
	var first error
	for i := len(d.closers) - 1; i >= 0; i-- {
		if err := d.closers[i](); err != nil && first == nil {
			first = err
		}
	}
	d.closers = nil
	return first
}

// Query reads committed data. A function given to Update must use [Tx.Query] instead, which
// also sees what its own transaction wrote.
func (d *DB) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	args, err := arguments(args)
	if err != nil {
		return nil, err
	}
	rows, err := d.reads.QueryContext(ctx, query, args...)
	for try := 0; err != nil && try < postgresReaders && isConnectionLost(err) && ctx.Err() == nil; try++ {
		// A pooled connection whose server end was killed shows it on its next use, and
		// all in the pool may have been.
		rows, err = d.reads.QueryContext(ctx, query, args...)
	}
	if err != nil {
		return nil, fmt.Errorf("query %q: %w", brief(query), err)
	}
	return rows, nil
}

// QueryRow reads one committed row; see [DB.Query]. Errors come from Scan.
func (d *DB) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	fine, err := arguments(args)
	if err != nil {
		fine = []any{refused{err}} // for Scan to return
	}
	args = fine
	row := d.reads.QueryRowContext(ctx, query, args...)
	for try := 0; row.Err() != nil && try < postgresReaders && isConnectionLost(row.Err()) && ctx.Err() == nil; try++ {
		row = d.reads.QueryRowContext(ctx, query, args...)
	}
	return row
}

// Query reads rows and calls scan once for each, as [Tx.Query] does. A store that takes one
// reads the same from the pool and inside a transaction.
type Query func(query string, args []any, scan func(scan func(dest ...any) error) error) error

// Reader reads from the read pool.
func (d *DB) Reader(ctx context.Context) Query {
	return func(query string, args []any, scan func(scan func(dest ...any) error) error) error {
		rows, err := d.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := scan(rows.Scan); err != nil {
				return err
			}
		}
		return rows.Err()
	}
}
