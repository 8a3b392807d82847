package db

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"caos"
)

// Sizes of the PostgreSQL pools of one node. The writers are the commit loop's one and
// those of Write.
const (
	postgresWriters = 8
	postgresReaders = 8
)

// openPostgres opens a pool for writing and one whose sessions are read only.
func (d *DB) openPostgres(ctx context.Context) error {
	cfg, err := pgxpool.ParseConfig(d.opt.URL)
	if err != nil {
		// The driver's text may hold the password.
		return caos.Errorf(caos.Invalid, "malformed PostgreSQL address").WithField("database").
			WithHint(`use "postgres://user@host:port/database"`)
	}
	cc := cfg.ConnConfig
	if cc.RuntimeParams == nil {
		cc.RuntimeParams = map[string]string{}
	}
	if cc.RuntimeParams["application_name"] == "" {
		cc.RuntimeParams["application_name"] = "caos"
	}
	// A node that freezes inside a transaction holds the log's head; the server must end
	// its session, else all nodes stand still.
	cc.RuntimeParams["idle_in_transaction_session_timeout"] = "3000"
	if v := cc.RuntimeParams["synchronous_commit"]; v == "" || v == "off" || v == "local" {
		// A server may be set to answer COMMIT before it is durable. We may not.
		cc.RuntimeParams["synchronous_commit"] = "on"
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3,
	}}
	cc.DialFunc = dialer.DialContext
	cfg.MaxConns, cfg.MinConns = postgresWriters, 0
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	d.closers = append(d.closers, func() error { pool.Close(); return nil })

	// Migrations have a pool of their own that closes at once: their lock needs a session
	// that may sit in a transaction for as long as an index takes.
	mc := cc.Copy()
	mc.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	m := stdlib.OpenDB(*mc)
	if err := migrate(ctx, PostgreSQL, m); err != nil {
		_ = m.Close()
		return err
	}
	if err := m.Close(); err != nil {
		return fmt.Errorf("close migration connections: %w", err)
	}
	rc := cc.Copy()
	rc.RuntimeParams["default_transaction_read_only"] = "on"
	d.reads = stdlib.OpenDB(*rc)
	d.closers = append(d.closers, d.reads.Close)
	d.reads.SetMaxOpenConns(postgresReaders)
	d.reads.SetMaxIdleConns(postgresReaders)
	d.reads.SetConnMaxIdleTime(5 * time.Minute)
	if err := d.reads.PingContext(ctx); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	d.connect = func(ctx context.Context) (conn, error) {
		c, err := pool.Acquire(ctx)
		if err != nil {
			return nil, fmt.Errorf("connect: %w", err)
		}
		return &pgConn{pool: c, c: c.Conn()}, nil
	}
	return nil
}

// pgConn is a connection of the writing pool for the length of one transaction.
type pgConn struct {
	pool *pgxpool.Conn
	c    *pgx.Conn
}

// preparedKey is where a connection keeps its prepared statements by text, as it outlives
// the transaction in the pool.
const preparedKey = "caos.prepared"

type preparedSet struct {
	texts map[string]*pgconn.StatementDescription
	next  int // names are never used twice: a failed Prepare may leave its name taken
}

func (c *pgConn) prepared() *preparedSet {
	data := c.c.PgConn().CustomData()
	set, ok := data[preparedKey].(*preparedSet)
	if !ok {
		set = &preparedSet{texts: map[string]*pgconn.StatementDescription{}}
		data[preparedKey] = set
	}
	return set
}

// prepare makes a text ready; it takes a round trip.
func (c *pgConn) prepare(set *preparedSet, query string) error {
	ctx := context.Background()
	if len(set.texts) >= maxPrepared {
		if _, err := c.c.PgConn().Exec(ctx, "DEALLOCATE ALL").ReadAll(); err != nil {
			return err
		}
		clear(set.texts)
	}
	set.next++
	d, err := c.c.PgConn().Prepare(ctx, "caos_"+strconv.Itoa(set.next), query, nil)
	if err != nil {
		return err
	}
	set.texts[query] = d
	return nil
}

// send runs the statements in as few round trips as it can, usually one. A text that this
// connection sees for the first time is prepared on its own, behind what comes before it;
// so a defect in it, as one in arguments, is the fault of its function alone.
func (c *pgConn) send(sts []*statement) (int, error) {
	set := c.prepared()
	var build pgx.ExtendedQueryBuilder
	batch, start := &pgconn.Batch{}, 0
	for i, st := range sts {
		if st.kind == kindControl {
			batch.ExecParams(st.sql, nil, nil, nil, nil)
			continue
		}
		if set.texts[st.sql] == nil {
			if n, err := c.pipeline(batch, sts[start:i]); err != nil {
				return start + n, err
			}
			batch, start = &pgconn.Batch{}, i
			if err := c.prepare(set, st.sql); err != nil {
				return i, err
			}
		}
		err := build.Build(c.c.TypeMap(), set.texts[st.sql], st.args)
		if err != nil {
			if n, err := c.pipeline(batch, sts[start:i]); err != nil {
				return start + n, err
			}
			return i, err
		}
		batch.ExecStatement(set.texts[st.sql], build.ParamValues, build.ParamFormats, slices.Clone(build.ResultFormats))
	}
	n, err := c.pipeline(batch, sts[start:])
	return start + n, err
}

// pipeline runs a batch made of sts in one round trip. The server skips what is behind an
// error.
func (c *pgConn) pipeline(batch *pgconn.Batch, sts []*statement) (int, error) {
	if len(sts) == 0 {
		return 0, nil
	}
	results := c.c.PgConn().ExecBatch(context.Background(), batch)
	for i, st := range sts {
		if !results.NextResult() {
			err := results.Close()
			if err == nil {
				err = errors.New("result missing")
			}
			return i, err
		}
		if err := c.result(results.ResultReader(), st); err != nil {
			if lost := results.Close(); lost != nil && isConnectionLost(lost) {
				err, st.missed = lost, false
			}
			return i, err
		}
	}
	if err := results.Close(); err != nil {
		return len(sts) - 1, err // what is left to fail is the way back
	}
	return len(sts), nil
}

func (c *pgConn) result(reader *pgconn.ResultReader, st *statement) error {
	if st.kind == kindQuery {
		read := reader.Read()
		st.rows = c.rows(read)
		return read.Err
	}
	tag, err := reader.Close()
	if err != nil {
		return err
	}
	st.affected = tag.RowsAffected()
	if st.missed = st.ifNot != nil && st.affected != 1; st.missed {
		return st.ifNot
	}
	return nil
}

func (c *pgConn) rows(read *pgconn.Result) rowset {
	types := c.c.TypeMap()
	return rowset{count: len(read.Rows), scan: func(n int, dest []any) error {
		if len(dest) != len(read.FieldDescriptions) {
			return fmt.Errorf("%d destinations for %d columns", len(dest), len(read.FieldDescriptions))
		}
		for i, f := range read.FieldDescriptions {
			if err := scanField(types, f, read.Rows[n][i], dest[i]); err != nil {
				return fmt.Errorf("column %q: %w", f.Name, err)
			}
		}
		return nil
	}}
}

func scanField(types *pgtype.Map, f pgconn.FieldDescription, raw []byte, dest any) error {
	if b, ok := dest.(*bool); ok && f.DataTypeOID != pgtype.BoolOID && raw != nil {
		var n int64 // a flag in an integer column, as SQLite has no other
		if err := types.Scan(f.DataTypeOID, f.Format, raw, &n); err != nil {
			return err
		}
		*b = n != 0
		return nil
	}
	return types.Scan(f.DataTypeOID, f.Format, raw, dest)
}

func (c *pgConn) commit() error {
	if s := c.c.PgConn().TxStatus(); s != 'T' {
		// Without a transaction COMMIT would succeed, and mean nothing.
		return fmt.Errorf("%w: the session's transaction state is %q", ErrAborted, s)
	}
	tag, err := c.c.Exec(context.Background(), "COMMIT")
	if err != nil {
		var pe *pgconn.PgError
		if errors.As(err, &pe) && pe.Severity == "ERROR" {
			return fmt.Errorf("%w: %w", ErrAborted, err) // the server said no, such as a deferred constraint
		}
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	if tag.String() != "COMMIT" { // a failed transaction answers COMMIT with ROLLBACK
		return fmt.Errorf("%w: COMMIT was answered with %s", ErrAborted, tag)
	}
	return nil
}

// close gives the connection back to the pool, closed if it must not be used again.
func (c *pgConn) close(reuse bool) {
	if !reuse {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = c.c.Close(ctx)
		cancel()
	}
	c.pool.Release()
}

func (c *pgConn) fault(a Action) error {
	ctx := context.Background()
	switch a {
	case Refuse:
		_, _ = c.c.Exec(ctx, "SELECT 1/0") // a failed transaction answers COMMIT with ROLLBACK
		return nil
	case KillSoon:
		go func() { _ = c.kill(ctx) }()
		return nil
	case Kill:
		return c.kill(ctx)
	}
	return nil
}

// kill ends the session from another one and waits until it is gone.
func (c *pgConn) kill(ctx context.Context) error {
	pid := c.c.PgConn().PID()
	other, err := pgx.ConnectConfig(ctx, c.c.Config())
	if err != nil {
		return err
	}
	defer other.Close(ctx)
	_, err = other.Exec(ctx, "SELECT pg_terminate_backend($1, 5000)", int32(pid))
	return err
}
