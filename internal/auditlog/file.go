package auditlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"caos"
)

// file is a SQLite database opened for reading only, beside a server or without one.
type file struct{ pool *sql.DB }

// openFile opens a database file without changing anything in its folder. If there is a
// write-ahead log, a server may be running or have been killed, and both files are read
// together by SQLite's own rules; if there is none the file is complete in itself, and
// lies still.
func openFile(ctx context.Context, path string) (*file, error) {
	if _, err := os.Stat(path); err != nil {
		kind := caos.Internal
		if errors.Is(err, os.ErrNotExist) {
			kind = caos.NotFound
		}
		return nil, caos.Wrap(kind, err, "there is no database %s", path).WithField("data").
			WithHint("name the data folder that the server was started with")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	options := url.Values{"mode": {"ro"}, "_pragma": {"query_only(1)", "busy_timeout(10000)", "cache_size(-8192)"}}
	if _, err := os.Stat(path + "-wal"); errors.Is(err, os.ErrNotExist) {
		// A file that lies still can be mapped; one that a server may shorten cannot.
		options.Set("immutable", "1")
		options.Add("_pragma", "mmap_size(8589934592)")
	}
	pool, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: abs}).String()+"?"+options.Encode())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	var n int
	if err := pool.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master WHERE name = 'log_head'`).Scan(&n); err != nil {
		_ = pool.Close()
		return nil, caos.Wrap(caos.Invalid, err, "the database %s cannot be read", path).WithField("data").
			WithHint("copy it together with the files -wal and -shm beside it")
	}
	if n == 0 {
		_ = pool.Close()
		return nil, caos.Errorf(caos.Invalid, "%s is not a database of CAOS", path).WithField("data")
	}
	return &file{pool}, nil
}

// Query reads like db.DB does.
func (f *file) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	rows, err := f.pool.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read the database: %w", err)
	}
	return rows, nil
}

// QueryRow reads like db.DB does.
func (f *file) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	return f.pool.QueryRowContext(ctx, query, args...)
}

// Close releases the file.
func (f *file) Close() error { return f.pool.Close() }
