package db

import (
	"fmt"
	"runtime/debug"
	"time"

	"caos"
)

// caller runs functions in a goroutine that it keeps for the next one, so that a function
// that hangs, panics or ends its goroutine takes nobody along.
type caller struct {
	calls chan call // nil if there is no goroutine at hand
	timer *time.Timer
}

type call struct {
	tx   *Tx
	fn   func(*Tx) error
	done chan outcome // buffered: a function that was given up still ends
}

type outcome struct {
	err  error
	exit bool // the goroutine is gone
}

// call runs fn within the budget. When that is spent the function is given up, and whoever
// calls must revoke its transaction.
func (c *caller) call(budget time.Duration, tx *Tx, fn func(*Tx) error) error {
	if c.calls == nil {
		c.calls = make(chan call)
		go func(calls <-chan call) {
			for one := range calls {
				one.run()
			}
		}(c.calls)
	}
	if c.timer == nil {
		c.timer = time.NewTimer(budget)
	} else {
		c.timer.Reset(budget)
	}
	one := call{tx: tx, fn: fn, done: make(chan outcome, 1)}
	c.calls <- one
	select {
	case out := <-one.done:
		c.timer.Stop()
		if out.exit {
			c.calls = nil
		}
		return out.err
	case <-c.timer.C:
		c.stop() // the goroutine ends when the function does
		return caos.Wrap(caos.Unavailable, ErrBudget, "the write took longer than %v and was undone", budget).WithHint("try again; if it stays, the server is overloaded")
	}
}

func (c *caller) stop() {
	if c.calls != nil {
		close(c.calls)
		c.calls = nil
	}
}

func (c call) run() {
	out := outcome{err: caos.Errorf(caos.Internal, "a database function ended its goroutine"), exit: true}
	defer func() {
		if p := recover(); p != nil {
			out = outcome{err: caos.Wrap(caos.Internal, fmt.Errorf("panic: %v\n%s", p, debug.Stack()), "a database function panicked")}
		}
		c.done <- out
	}()
	out = outcome{err: c.fn(c.tx)}
}
