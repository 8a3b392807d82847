package db

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrations embed.FS

// migrate brings the schema up to date. On PostgreSQL an advisory lock keeps nodes that
// start together apart.
func migrate(ctx context.Context, d Dialect, conn *sql.DB) error {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	kind := goose.DialectSQLite3
	if d == PostgreSQL {
		kind = goose.DialectPostgres
		unlock, err := lockMigrations(ctx, conn)
		if err != nil {
			return err
		}
		defer unlock()
	}
	p, err := goose.NewProvider(kind, conn, dialectFS{sub, d}, goose.WithDisableGlobalRegistry(true))
	if errors.Is(err, goose.ErrNoMigrations) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// migrationLock is the advisory lock that a migrating node holds; the number is any.
const migrationLock = 7_236_095_000_907

// lockMigrations waits for its turn in the server's queue (goose's own lock polls, seconds
// apart). The lock belongs to a session, so it ends with a node that dies.
func lockMigrations(ctx context.Context, pool *sql.DB) (unlock func(), err error) {
	c, err := pool.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if _, err := c.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("lock migrations: %w", err)
	}
	return func() {
		_ = c.Raw(func(any) error { return driver.ErrBadConn }) // ends the session and so the lock
		_ = c.Close()
	}, nil
}

// dialectFS shows the migrations with {{bytes}} replaced by the dialect's word for a byte
// string, the one type whose name the two databases do not share.
type dialectFS struct {
	fs.FS
	dialect Dialect
}

// Open opens a file; the content of .sql files is translated.
func (f dialectFS) Open(name string) (fs.File, error) {
	file, err := f.FS.Open(name)
	if err != nil || path.Ext(name) != ".sql" {
		return file, err
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	word := "BLOB"
	if f.dialect == PostgreSQL {
		word = "BYTEA"
	}
	text = bytes.ReplaceAll(text, []byte("{{bytes}}"), []byte(word))
	return &textFile{Reader: bytes.NewReader(text), info: sizedInfo{info, int64(len(text))}}, nil
}

type textFile struct {
	*bytes.Reader
	info fs.FileInfo
}

func (f *textFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *textFile) Close() error               { return nil }

type sizedInfo struct {
	fs.FileInfo
	size int64
}

func (i sizedInfo) Size() int64 { return i.size }
