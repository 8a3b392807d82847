package db

import (
	"fmt"
	"slices"
	"strconv"
)

type kind int

const (
	kindControl kind = iota // ours: BEGIN, SAVEPOINT, …
	kindExec                // may be kept back
	kindExecNow             // somebody waits for the number of rows
	kindQuery               // somebody waits for the rows
)

// statement is one statement and, once run, its result.
type statement struct {
	kind  kind
	tx    *Tx // whose it is; nil for control statements
	opens *Tx // for SAVEPOINT: whose it opens
	sql   string
	args  []any
	ifNot error // not nil: must affect exactly one row

	affected int64
	missed   bool // it did not affect exactly one row, and ifNot is the error
	rows     rowset
}

// rowset is a result that has been read to its end.
type rowset struct {
	count int
	scan  func(row int, dest []any) error
}

// conn is a database connection that runs one transaction.
type conn interface {
	// send runs statements in order. It returns the index of the first that failed, or did
	// not affect the one row it must, and why; statements behind that one may or may not
	// have run.
	send(sts []*statement) (int, error)
	// commit sends COMMIT; its error wraps ErrAborted or ErrUnknown.
	commit() error
	// close gives the connection back for reuse, or destroys it.
	close(reuse bool)
	// fault does what a fault test asks for; see fault.go.
	fault(a Action) error
}

// Limits of what is kept back before it is sent.
const (
	maxPending      = 512     // statements
	maxPendingBytes = 1 << 20 // of texts and byte strings in arguments
	maxOpen         = 32      // savepoints inside one another
)

// wire orders the statements of one transaction on its connection.
//
// Each function has a savepoint, opened with its first statement. Where the connection is
// pipelined (PostgreSQL, whose cost is round trips), statements whose result nobody waits
// for are kept in pending, across functions too, and sent in one go. A function whose kept
// statements turn out to fail is rolled back to its savepoint and the functions behind it,
// which cannot have seen any result yet, have theirs sent again. That is why a savepoint is
// released only after everything in it is known to have succeeded, and why savepoints lie
// inside one another until then.
type wire struct {
	c         conn
	pipelined bool
	pending   []*statement
	bytes     int   // of arguments in pending, roughly
	open      []*Tx // unreleased savepoints, outermost first
	broken    error // the whole transaction is lost
}

func (w *wire) control(query string) {
	w.pending = append(w.pending, &statement{kind: kindControl, sql: query})
}

// run runs st, or keeps it, for the transaction part st.tx. It returns the part's error.
func (w *wire) run(st *statement) error {
	if w.broken != nil {
		return w.broken
	}
	tx := st.tx
	if tx.name == "" && !tx.root {
		w.savepoint(tx)
	}
	w.pending = append(w.pending, st)
	for _, a := range st.args {
		switch v := a.(type) {
		case string:
			w.bytes += len(v)
		case []byte:
			w.bytes += len(v)
		}
	}
	if !w.pipelined || st.kind != kindExec || len(w.pending) >= maxPending || w.bytes >= maxPendingBytes {
		if err := w.flush(tx); err != nil {
			return err
		}
	}
	return tx.late
}

func (w *wire) savepoint(tx *Tx) {
	// A name must differ from all that are open, else ROLLBACK TO finds the inner one.
	for i := 0; tx.name == ""; i++ {
		name := savepointName(i)
		if !slices.ContainsFunc(w.open, func(o *Tx) bool { return o.name == name }) {
			tx.name = name
		}
	}
	w.open = append(w.open, tx)
	w.pending = append(w.pending, &statement{kind: kindControl, opens: tx, sql: "SAVEPOINT " + tx.name})
}

func savepointName(i int) string { return "s" + strconv.Itoa(i) }

// finish ends a part: keeps what it did, or undoes it. The part is the latest opened one.
func (w *wire) finish(tx *Tx, keep bool) error {
	if w.broken != nil {
		return w.broken
	}
	if tx.name == "" {
		return nil // it never ran a statement
	}
	if tx.late != nil {
		keep = false
	}
	last := len(w.open) - 1
	switch {
	case !keep:
		w.pending = slices.DeleteFunc(w.pending, func(st *statement) bool { return st.tx == tx || st.opens == tx })
		w.open = w.open[:last]
		if tx.opened {
			w.control("ROLLBACK TO " + tx.name)
			w.control("RELEASE " + tx.name)
		}
		if !w.pipelined {
			return w.flush(nil) // find out at once whether the savepoint was still there
		}
	case !w.pipelined:
		w.open = w.open[:last]
		w.control("RELEASE " + tx.name)
		return w.flush(nil)
	case len(w.open) >= maxOpen:
		if err := w.flush(nil); err != nil {
			return err
		}
		if len(w.open) > 0 { // all are known to be good: the outermost takes the rest along
			w.control("RELEASE " + w.open[0].name)
			w.open = w.open[:0]
		}
	}
	return nil
}

// rollback ends the transaction and reports whether the connection is fit for another.
func (w *wire) rollback() bool {
	w.pending, w.bytes = w.pending[:0], 0
	w.control("ROLLBACK")
	return w.flush(nil) == nil
}

// flush sends what was kept back. current is the part whose function is running, if any. A
// failing part gets its error in late; the error returned is that of the whole transaction.
func (w *wire) flush(current *Tx) error {
	for len(w.pending) > 0 && w.broken == nil {
		n, err := w.c.send(w.pending)
		for _, st := range w.pending[:min(n, len(w.pending))] {
			if st.opens != nil {
				st.opens.opened = true
			}
		}
		if err == nil {
			w.pending, w.bytes = w.pending[:0], 0
			break
		}
		st := w.pending[n]
		if st.kind == kindControl || st.tx.root || !st.missed && isFatal(err) {
			w.broken = fmt.Errorf("%q: %w", brief(st.sql), err)
			break
		}
		failed := st.tx
		failed.late = err
		if !st.missed {
			failed.late = ofStatement(err, st.sql)
		}
		if failed == current {
			w.pending = w.pending[:0] // nothing can be behind it; finish rolls it back
			break
		}
		rest := slices.DeleteFunc(slices.Clone(w.pending[n+1:]), func(st *statement) bool { return st.tx == failed })
		w.open = slices.DeleteFunc(w.open, func(o *Tx) bool { return o == failed })
		w.pending = w.pending[:0]
		w.control("ROLLBACK TO " + failed.name)
		w.control("RELEASE " + failed.name)
		w.pending = append(w.pending, rest...)
	}
	return w.broken
}
