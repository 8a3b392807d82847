package db

import (
	"context"
	"errors"
	"fmt"
	"net"
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

// preparedKey is where a connection keeps the set of texts it has prepared.
const preparedKey = "caos.prepared"

func (c *pgConn) prepared() map[string]bool {
	data := c.c.PgConn().CustomData()
	set, ok := data[preparedKey].(map[string]bool)
	if !ok {
		set = map[string]bool{}
		data[preparedKey] = set
	}
	return set
}

// send runs the statements in one round trip. A text that this connection sees for the
// first time is prepared on its own, behind what comes before it, so that a defect in it is
// the fault of its function alone.
func (c *pgConn) send(sts []*statement) (int, error) {
	set := c.prepared()
	start := 0
	for i, st := range sts {
		if set[st.sql] {
			continue
		}
		if n, err := c.pipeline(sts[start:i]); err != nil {
			return start + n, err
		}
		start = i
		if len(set) >= maxPrepared {
			if err := c.c.DeallocateAll(context.Background()); err != nil {
				return i, err
			}
			clear(set)
		}
		if _, err := c.c.Prepare(context.Background(), st.sql, st.sql); err != nil {
			return i, err
		}
		set[st.sql] = true
	}
	n, err := c.pipeline(sts[start:])
	return start + n, err
}

func (c *pgConn) pipeline(sts []*statement) (int, error) {
	if len(sts) == 0 {
		return 0, nil
	}
	batch := &pgx.Batch{}
	for _, st := range sts {
		batch.Queue(st.sql, st.args...)
	}
	results := c.c.SendBatch(context.Background(), batch)
	for i, st := range sts {
		if err := c.result(results, st); err != nil {
			_ = results.Close()
			return i, err
		}
	}
	return len(sts), results.Close()
}

func (c *pgConn) result(results pgx.BatchResults, st *statement) error {
	if st.kind == kindQuery {
		rows, err := results.Query()
		if err != nil {
			return err
		}
		st.rows, err = c.readAll(rows)
		return err
	}
	tag, err := results.Exec()
	if err != nil {
		return err
	}
	st.affected = tag.RowsAffected()
	if st.ifNot != nil && st.affected != 1 {
		return st.ifNot
	}
	return nil
}

func (c *pgConn) readAll(rows pgx.Rows) (rowset, error) {
	defer rows.Close()
	var values [][][]byte
	fields := append([]pgconn.FieldDescription(nil), rows.FieldDescriptions()...)
	for rows.Next() {
		raw := rows.RawValues()
		row := make([][]byte, len(raw))
		for i, v := range raw {
			if v != nil {
				row[i] = append([]byte{}, v...)
			}
		}
		values = append(values, row)
	}
	if err := rows.Err(); err != nil {
		return rowset{}, err
	}
	types := c.c.TypeMap()
	return rowset{count: len(values), scan: func(n int, dest []any) error {
		if len(dest) != len(fields) {
			return fmt.Errorf("%d destinations for %d columns", len(dest), len(fields))
		}
		for i, f := range fields {
			if err := scanField(types, f, values[n][i], dest[i]); err != nil {
				return fmt.Errorf("column %q: %w", f.Name, err)
			}
		}
		return nil
	}}, nil
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
		_, err := c.c.Exec(ctx, "ROLLBACK")
		return err
	case Kill:
		other, err := pgx.ConnectConfig(ctx, c.c.Config())
		if err != nil {
			return err
		}
		defer other.Close(ctx)
		_, err = other.Exec(ctx, "SELECT pg_terminate_backend($1, 5000)", int32(c.c.PgConn().PID()))
		return err
	}
	return nil
}
