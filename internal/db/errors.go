package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"caos"
)

// The bad answers of a transaction. They come wrapped in a *caos.Error.
var (
	// ErrAborted means that COMMIT was never sent, or was refused for certain: nothing
	// happened, and the same function may be run again.
	ErrAborted = errors.New("db: transaction aborted, nothing happened")
	// ErrUnknown means that COMMIT was sent and no answer came: the effect may be there.
	// Submit again under the same unique key. Never settle it by a SELECT: the lost
	// session may still be committing, and only an INSERT waits for it.
	ErrUnknown = errors.New("db: outcome of COMMIT unknown")

	// ErrBudget means that a function took longer than its budget and was undone; the
	// others in its transaction were not.
	ErrBudget = errors.New("db: function out of time")

	errClosed  = errors.New("db: closed")
	errControl = errors.New("db: a function must not control the transaction that it shares")
	errRevoked = errors.New("db: transaction used after its function ended or ran out of time")
)

// IsUnique reports whether err comes from a violated primary key or unique constraint.
func IsUnique(err error) bool {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code == "23505"
	}
	var se *sqlite.Error
	if errors.As(err, &se) {
		switch se.Code() {
		case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
			return true
		}
	}
	return false
}

// IsFull reports whether err says that the database has no room left.
func IsFull(err error) bool {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code == "53100"
	}
	return sqliteCode(err) == sqlite3.SQLITE_FULL || caos.KindOf(err) == caos.Full
}

// sqliteCode gives the primary result code of a SQLite error, 0 for other errors.
func sqliteCode(err error) int {
	var se *sqlite.Error
	if errors.As(err, &se) {
		return se.Code() & 0xff
	}
	return 0
}

// isConnectionLost reports whether err says that the server or the way to it went away.
func isConnectionLost(err error) bool {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return strings.HasPrefix(pe.Code, "08") || strings.HasPrefix(pe.Code, "57P0") || pe.Code == "25P03"
	}
	var ne net.Error
	return errors.As(err, &ne) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err) ||
		(err != nil && strings.Contains(err.Error(), "conn closed"))
}

// isFatal reports whether err ends the whole transaction and not only the function that
// met it. SQLite may have rolled everything back by itself after the errors listed here;
// the next statement would then be committed alone and unsealed.
func isFatal(err error) bool {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_BUSY,
		sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN,
		sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_ABORT:
		return true
	}
	return IsFull(err) || isConnectionLost(err)
}

// aborted makes the answer for everybody in a batch that did not reach COMMIT.
func aborted(cause error) error {
	both := fmt.Errorf("%w: %w", ErrAborted, cause)
	var own *caos.Error
	if errors.As(cause, &own) { // the sealer's, which knows better
		c := *own
		c.Err = both
		return &c
	}
	if IsFull(cause) {
		return caos.Wrap(caos.Full, both, "the database has no room left, nothing was written").
			WithHint("free space on the database's disk, then try again")
	}
	return caos.Wrap(caos.Unavailable, both, "the database could not take the write, nothing happened").WithHint("try again")
}

// unknown makes the answer for everybody in a batch whose COMMIT was not answered.
func unknown(cause error) error {
	return caos.Wrap(caos.Unavailable, fmt.Errorf("%w: %w", ErrUnknown, cause), "the database did not confirm the write").
		WithHint("send the same request again under the same key")
}

// ofStatement names the statement that failed. A lost fight for locks is worth a retry.
func ofStatement(err error, query string) error {
	err = fmt.Errorf("%q: %w", brief(query), err)
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		switch pe.Code {
		case "40001", "40P01", "55P03":
			return caos.Wrap(caos.Unavailable, err, "the database gave other work precedence").WithHint("try again")
		}
	}
	return err
}

// notBegun makes the answer for a caller that left, or was sent away, while it waited.
func notBegun(cause error) error {
	both := fmt.Errorf("%w: %w", ErrAborted, cause)
	if errors.Is(cause, errClosed) {
		return caos.Wrap(caos.Unavailable, both, "the database is closing").WithHint("try again when the server is back")
	}
	if errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
		return caos.Wrap(caos.Unavailable, both, "the caller gave up before the write began").WithHint("try again")
	}
	return caos.Wrap(caos.Unavailable, both, "the write did not begin").WithHint("try again")
}

// brief gives the beginning of a statement for error texts.
func brief(query string) string {
	query = strings.Join(strings.Fields(query), " ")
	if len(query) > 80 {
		query = query[:80] + "…"
	}
	return query
}
