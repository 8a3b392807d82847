package engine

import (
	"errors"
	"maps"

	"caos"
	"caos/internal/db"
)

// stepFailure is the error by which a step ends the transaction it ran in.
type stepFailure struct {
	path string
	err  error
}

func (f *stepFailure) Error() string { return f.path + ": " + f.err.Error() }
func (f *stepFailure) Unwrap() error { return f.err }

// amends is what a turn does instead of what it was to do, because earlier tries of it
// were undone. A turn that nobody asked for has nobody to be refused to: whatever is wrong
// with it is charged to the execution, by one rung after the other, so that a defect ends
// an execution and never keeps a worker busy for ever.
type amends struct {
	stops   map[string]error // steps by path: not run but recorded as failed, so that what came before them is kept
	careful bool             // after every step its statements are waited for, to blame the right one
	whole   error            // the step that the execution stands on is recorded as failed, and nothing else done
	dead    error            // the execution ends FAILED as it stands
}

// errNoPlan stands for a plan that this binary does not have.
var errNoPlan = errors.New("no plan")

// learn takes in why a try was undone and reports whether another one makes sense. at is
// the path of the step that was running when the try was given up, nil for none.
func (a *amends) learn(spec turnSpec, err error, at *string) bool {
	var failure *stepFailure
	overrun := errors.Is(err, db.ErrBudget)
	switch {
	case spec.fresh != nil && spec.flow.atOnce:
		return false
	case errors.As(err, &failure):
		return a.stop(failure.path, failure.err)
	case !spec.own, errors.Is(err, errStale):
		return false
	case overrun && spec.overruns < 2: // perhaps the machine was busy: the same again, later
		return false
	case overrun && at != nil && a.stop(*at, err):
		return true
	case overrun && spec.overruns < 6: // it was in no step
		return false
	case !overrun && waits(caos.KindOf(err)):
		return false
	case a.dead != nil:
		return false
	case a.whole != nil:
		a.dead = err
	case !a.careful && !overrun:
		a.careful = true
	default:
		a.whole = err
	}
	return true
}

// stop notes a step that failed. A step fails once in a turn, so a second time means that
// it was not even recorded.
func (a *amends) stop(path string, err error) bool {
	if a.stops[path] != nil {
		return false
	}
	stops := map[string]error{path: err} // a new one: a try that was given up may still read the old
	maps.Copy(stops, a.stops)
	a.stops = stops
	return true
}

// waits reports whether an error of a commit is that of the database or of the log, which
// no execution is to blame for.
func waits(k caos.Kind) bool { return k == caos.Unavailable || k == caos.Full || k == caos.Limited }

// settle finds out whether the statements of the step that was just run succeeded, as far
// as that is known without waiting; in a careful turn it waits.
func (t *turn) settle() error {
	if t.amends.careful {
		var one int
		if err := t.tx.QueryRow(`SELECT 1`).Scan(&one); err != nil {
			return err
		}
	}
	return t.tx.Err()
}
