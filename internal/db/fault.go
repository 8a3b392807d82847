package db

import "errors"

// Fault lets fault tests break transactions at chosen points. Nothing else uses it.
type Fault struct {
	// At is asked at each point of each transaction what shall happen there. It runs in
	// the committing goroutine and must not block.
	At func(Point) Action
}

// Point is a place in the life of a transaction.
type Point int

// The points, in their order.
const (
	AtBegin     Point = iota // before BEGIN
	AtFunction               // before each function
	AtSeal                   // before the sealer's Seal
	AtCommit                 // before COMMIT
	AtCommitted              // after a COMMIT that succeeded
)

// Action is what happens at a point.
type Action int

// The actions.
const (
	Proceed  Action = iota // nothing
	Fail                   // the point reports an error: aborted before COMMIT is sent, unknown after it
	Refuse                 // at AtCommit: COMMIT is answered by an error and has no effect
	Kill                   // the connection is destroyed (PostgreSQL: pg_terminate_backend), then all goes on
	KillSoon               // PostgreSQL: as Kill, while what comes next goes on
	DiskFull               // SQLite: the database file may not grow any more on this connection
	DiskFree               // SQLite: it may again
)

var errInjected = errors.New("injected fault")

func (b *batch) fault(p Point) error {
	f := b.d.opt.Fault
	if f == nil || f.At == nil {
		return nil
	}
	switch a := f.At(p); a {
	case Proceed:
		return nil
	case Fail:
		return errInjected
	default:
		return b.w.c.fault(a)
	}
}
