package db

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// Tx is one function's guarded part of a transaction. It is valid until the function
// returns or runs out of time, and serves one goroutine at a time. The first SQL error is
// sticky: everything after it is refused, and the function fails even if it swallows it.
type Tx struct {
	dialect Dialect

	mu      sync.Mutex // held while a statement runs, so that revoking waits for it
	w       *wire      // nil once ended
	err     error      // first error, sticky
	emitted []any
	after   []func()
	kept    map[any]any

	// The wire's own notes; see wire.go.
	root   bool   // the sealer's, which has no savepoint: its failure ends the transaction
	name   string // savepoint, "" until the first statement
	opened bool   // the savepoint exists on the server
	late   error  // failure found when statements that were kept back were run
}

// Dialect says which database the transaction runs on.
func (tx *Tx) Dialect() Dialect { return tx.dialect }

// Keep remembers a value under a key until the function ends, so that packages which are
// asked several times in one function need not read the same rows again. The key should be
// a pointer of the package that keeps.
func (tx *Tx) Keep(key, value any) {
	if tx.kept == nil {
		tx.kept = map[any]any{}
	}
	tx.kept[key] = value
}

// Kept returns what Keep remembered, nil for nothing.
func (tx *Tx) Kept(key any) any { return tx.kept[key] }

// Exec runs a statement whose result is not needed. On PostgreSQL it is kept back and sent
// together with others; an error is sticky and fails the function at its end.
func (tx *Tx) Exec(query string, args ...any) {
	_ = tx.run(&statement{kind: kindExec, sql: query, args: args})
}

// ExecOne is Exec for a statement that must affect exactly one row; otherwise the function
// fails with ifNot.
func (tx *Tx) ExecOne(ifNot error, query string, args ...any) {
	if ifNot == nil {
		ifNot = fmt.Errorf("%q did not affect exactly one row", brief(query))
	}
	_ = tx.run(&statement{kind: kindExec, sql: query, args: args, ifNot: ifNot})
}

// ExecRows runs a statement at once and returns how many rows it affected.
func (tx *Tx) ExecRows(query string, args ...any) (int64, error) {
	st := &statement{kind: kindExecNow, sql: query, args: args}
	err := tx.run(st)
	return st.affected, err
}

// Query runs a query, reads its whole result and then calls scan once per row; the argument
// of scan copies the row's columns as sql.Rows.Scan does. The transaction may be used
// inside scan. An error of scan ends the query and is returned; it is not sticky.
func (tx *Tx) Query(query string, args []any, scan func(scan func(dest ...any) error) error) error {
	st := &statement{kind: kindQuery, sql: query, args: args}
	if err := tx.run(st); err != nil {
		return err
	}
	for i := range st.rows.count {
		err := scan(func(dest ...any) error { return tx.scan(st, i, dest) })
		if err != nil {
			return err
		}
	}
	return nil
}

// QueryRow runs a query at once and keeps its first row for Scan.
func (tx *Tx) QueryRow(query string, args ...any) *Row {
	st := &statement{kind: kindQuery, sql: query, args: args}
	err := tx.run(st)
	return &Row{tx: tx, st: st, err: err}
}

// Row is the result of [Tx.QueryRow].
type Row struct {
	tx  *Tx
	st  *statement
	err error
}

// Scan copies the row's columns. It returns sql.ErrNoRows, which is not sticky, if there is
// no row.
func (r *Row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	if r.st.rows.count == 0 {
		return sql.ErrNoRows
	}
	return r.tx.scan(r.st, 0, dest)
}

// Emit hands v to the sealer if the function succeeds.
func (tx *Tx) Emit(v any) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.w == nil {
		tx.stick(errRevoked)
		return
	}
	tx.emitted = append(tx.emitted, v)
}

// AfterCommit has fn called after a successful COMMIT, before the caller is answered. It
// must not block, as everybody waits for it, and must not use the database.
func (tx *Tx) AfterCommit(fn func()) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.w == nil {
		tx.stick(errRevoked)
		return
	}
	tx.after = append(tx.after, fn)
}

// Err returns the first error of the transaction, nil if there was none so far. Errors of
// statements that were kept back show up only when these have been sent.
func (tx *Tx) Err() error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.err
}

func (tx *Tx) run(st *statement) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.err != nil {
		return tx.err
	}
	if tx.w == nil {
		tx.stick(errRevoked)
		return tx.err
	}
	args, err := arguments(st.args)
	if err == nil && controls(st.sql) {
		err = errControl
	}
	if err != nil {
		tx.stick(fmt.Errorf("%q: %w", brief(st.sql), err))
		return tx.err
	}
	st.tx, st.args = tx, args
	if err := tx.w.run(st); err != nil {
		tx.stick(err)
	}
	return tx.err
}

// stick keeps the first error. The caller holds mu.
func (tx *Tx) stick(err error) {
	if tx.err == nil {
		tx.err = err
	}
}

// scan copies a row of st. A failed conversion is sticky: it is a defect, and half a result
// must not be acted on. The lock keeps a function that was given up away from the
// connection's type map.
func (tx *Tx) scan(st *statement, row int, dest []any) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.w == nil {
		tx.stick(errRevoked)
		return errRevoked
	}
	if err := st.rows.scan(row, dest); err != nil {
		err = fmt.Errorf("scan %q: %w", brief(st.sql), err)
		tx.stick(err)
		return err
	}
	return nil
}

// controls reports whether a statement would begin or end something that other functions
// share.
func controls(query string) bool {
	word := strings.TrimLeft(query, " \t\r\n")
	if i := strings.IndexAny(word, " \t\r\n;"); i > 0 {
		word = word[:i]
	}
	switch len(word) {
	case 3, 5, 6, 7, 8, 9:
	default:
		return false
	}
	for _, c := range [...]string{"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PRAGMA", "ATTACH", "DETACH"} {
		if strings.EqualFold(word, c) {
			return true
		}
	}
	return false
}

// end revokes the transaction and returns the function's verdict: its own error or the
// sticky one. It waits for a statement in flight.
func (tx *Tx) end(fnErr error) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.w = nil
	if fnErr == nil {
		fnErr = tx.err
	} else if tx.err != nil && !errors.Is(fnErr, tx.err) {
		fnErr = fmt.Errorf("%w (after: %w)", fnErr, tx.err)
	}
	return fnErr
}
