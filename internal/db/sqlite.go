package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"caos"
)

// openSQLite opens one connection for writing and a pool that can only read. A second
// writing connection would starve the first: SQLite's lock has no queue.
func (d *DB) openSQLite(ctx context.Context, path string) error {
	if path == "" || path == ":memory:" {
		return caos.Errorf(caos.Invalid, "SQLite needs a file").WithField("database").WithHint(`use "sqlite:PATH"`)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("find %s: %w", path, err)
	}
	// Made here for its mode: the file holds what only the server may read.
	f, err := os.OpenFile(abs, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("create database file: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("create database file: %w", err)
	}
	dsn := (&url.URL{Scheme: "file", Path: abs}).String() + "?" + url.Values{
		"_txlock": {"immediate"},
		"_pragma": {
			"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
			"temp_store(MEMORY)", "cache_size(-16384)", "journal_size_limit(67108864)",
		},
	}.Encode()
	w, err := sql.Open("sqlite", dsn)
	if err != nil {
		return fmt.Errorf("open writer: %w", err)
	}
	d.closers = append(d.closers, w.Close)
	w.SetMaxOpenConns(1)
	if err := migrate(ctx, SQLite, w); err != nil {
		return err
	}
	if err := syncFolder(filepath.Dir(abs)); err != nil {
		return err
	}
	var mode string
	if err := w.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return fmt.Errorf("read journal mode: %w", err)
	}
	if mode != "wal" {
		return caos.Errorf(caos.Invalid, "the file system of %s does not allow SQLite's WAL mode (it says %q)", path, mode).
			WithHint("keep the data folder on a local disk")
	}
	d.reads, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)")
	if err != nil {
		return fmt.Errorf("open readers: %w", err)
	}
	d.closers = append(d.closers, d.reads.Close)
	d.reads.SetMaxOpenConns(4)
	d.reads.SetMaxIdleConns(4)

	var kept *liteConn
	d.closers = append(d.closers, func() error {
		if kept != nil {
			kept.destroy()
		}
		return nil
	})
	d.connect = func(ctx context.Context) (conn, error) {
		if kept != nil && !kept.gone {
			return kept, nil
		}
		c, err := w.Conn(ctx)
		if err != nil {
			return nil, fmt.Errorf("connect: %w", err)
		}
		kept = &liteConn{c: c, prepared: map[string]*sql.Stmt{}}
		return kept, nil
	}
	return nil
}

// syncFolder makes the names of the database's files as durable as their content.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}

// liteConn is the one writing connection of SQLite with its prepared statements.
type liteConn struct {
	c        *sql.Conn
	prepared map[string]*sql.Stmt
	gone     bool
}

// maxPrepared bounds the statement cache against texts that are made at run time.
const maxPrepared = 512

func (c *liteConn) stmt(query string) (*sql.Stmt, error) {
	if s := c.prepared[query]; s != nil {
		return s, nil
	}
	if len(c.prepared) >= maxPrepared {
		for _, s := range c.prepared {
			_ = s.Close()
		}
		clear(c.prepared)
	}
	s, err := c.c.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	c.prepared[query] = s
	return s, nil
}

func (c *liteConn) send(sts []*statement) (int, error) {
	for i, st := range sts {
		if err := c.one(st); err != nil {
			return i, err
		}
		if st.missed = st.ifNot != nil && st.affected != 1; st.missed {
			return i, st.ifNot
		}
	}
	return len(sts), nil
}

func (c *liteConn) one(st *statement) error {
	query := st.sql
	if st.kind == kindControl && query == "BEGIN" {
		query = "BEGIN IMMEDIATE"
	}
	s, err := c.stmt(query)
	if err != nil {
		return err
	}
	if st.kind == kindQuery {
		st.rows, err = readAll(s, st.args)
		return err
	}
	res, err := s.ExecContext(context.Background(), st.args...)
	if err != nil {
		return err
	}
	st.affected, err = res.RowsAffected()
	return err
}

func readAll(s *sql.Stmt, args []any) (rowset, error) {
	rows, err := s.QueryContext(context.Background(), args...)
	if err != nil {
		return rowset{}, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return rowset{}, err
	}
	var values [][]any
	for rows.Next() {
		row := make([]any, len(names))
		into := make([]any, len(names))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return rowset{}, err
		}
		values = append(values, row)
	}
	if err := rows.Err(); err != nil {
		return rowset{}, err
	}
	return rowset{count: len(values), scan: func(n int, dest []any) error {
		if len(dest) != len(names) {
			return fmt.Errorf("%d destinations for %d columns", len(dest), len(names))
		}
		for i := range dest {
			if err := assign(dest[i], values[n][i]); err != nil {
				return fmt.Errorf("column %q: %w", names[i], err)
			}
		}
		return nil
	}}, nil
}

func (c *liteConn) commit() error {
	s, err := c.stmt("COMMIT")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAborted, err)
	}
	if _, err := s.ExecContext(context.Background()); err != nil {
		switch sqliteCode(err) {
		case sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_ERROR:
			// The commit frame was not written, or not whole, or there was no transaction
			// any more. After anything else, such as a failed fsync, the next recovery may
			// find it.
			return fmt.Errorf("%w: %w", ErrAborted, err)
		}
		if isConnectionLost(err) {
			return fmt.Errorf("%w: %w", ErrAborted, err) // closed by us before: never sent
		}
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return nil
}

// close keeps the connection for the next transaction, or destroys it: after an error only
// a new connection is sure to have no transaction open.
func (c *liteConn) close(reuse bool) {
	if !reuse {
		c.destroy()
	}
}

func (c *liteConn) destroy() {
	if c.gone {
		return
	}
	c.gone = true
	for _, s := range c.prepared {
		_ = s.Close()
	}
	_ = c.c.Raw(func(any) error { return driver.ErrBadConn })
	_ = c.c.Close()
}

func (c *liteConn) fault(a Action) error {
	query := ""
	switch a {
	case DiskFull:
		query = "PRAGMA max_page_count = 1" // SQLite raises it to the present size
	case DiskFree:
		query = "PRAGMA max_page_count = 1073741823"
	case Kill, KillSoon:
		c.destroy()
		return nil
	case Refuse:
		_, _ = c.c.ExecContext(context.Background(), "ROLLBACK")
		return nil
	default:
		return nil
	}
	var n int64
	if err := c.c.QueryRowContext(context.Background(), query).Scan(&n); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return nil
}
