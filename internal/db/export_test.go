package db

import "runtime"

// AwaitWaiting returns when n requests wait for the transaction under way.
func AwaitWaiting(d *DB, n int) {
	for len(d.updates) < n {
		runtime.Gosched()
	}
}

// AwaitClosing returns when Close has begun.
func AwaitClosing(d *DB) { <-d.closing }
