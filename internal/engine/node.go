package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"time"

	"caos"
	"caos/internal/db"
)

// The life signs of a node that shares its database with others.
const (
	beatEvery  = 2 * time.Second  // between two heartbeats
	deadAfter  = 6 * time.Second  // of silence a node's work is given to others
	slotAfter  = 60 * time.Second // of silence its slot is given to another node
	sweepEvery = time.Minute      // between two searches for lost wake-ups
	nodeSlots  = 32               // nodes that can share a database; see Node.Slots
)

// serverNow is the database server's clock in microseconds since 1970. Nodes are judged by
// this one clock, as theirs may differ.
const serverNow = `(extract(epoch from clock_timestamp())*1000000)::bigint`

// localNode is the name of a node that is alone.
const localNode = "local"

// Node is the place of one process among those that share a database.
type Node struct {
	Name string // unique for each life of a process; goes into Options.Node
	Slot int    // no other living node has it; for caos.NewStamper
	// Slots is how many slots there are, 1 on SQLite, whose one process needs no place. A
	// node has 1,000,000/Slots identifiers a second before its stamps run ahead of its clock.
	Slots int
}

// ClaimNode gives this process a place in the database, under a name made of name (or of
// the host's) and of a random part. It keeps the place by the heartbeats of an Engine that
// is started with Options.Node; until then it is safe for a minute. On SQLite it does
// nothing. An error is Unavailable when all slots are taken.
func ClaimNode(ctx context.Context, d *db.DB, name string) (Node, error) {
	if name == "" {
		name, _ = os.Hostname()
	}
	if d.Dialect() != db.PostgreSQL {
		return Node{Name: localNode, Slots: 1}, nil
	}
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	n := Node{Name: clean(name) + "-" + hex.EncodeToString(b[:]), Slots: nodeSlots}
	for try := 1; ; try++ {
		err := d.Write(ctx, func(tx *db.Tx) error { return n.claim(tx) })
		if err == nil {
			return n, nil
		}
		if !caos.KindOf(err).Retryable() || try >= 5 || ctx.Err() != nil {
			return Node{}, fmt.Errorf("claim a place for this node: %w", err)
		}
	}
}

// clean keeps of a host's name what is safe in a log line and short.
func clean(name string) string {
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return -1
	}, name)
	return "node-" + name[:min(len(name), 40)]
}

// claim takes the smallest slot that is free. Nodes that start together take turns.
func (n *Node) claim(tx *db.Tx) error {
	tx.Exec(`LOCK TABLE nodes IN EXCLUSIVE MODE`)
	tx.Exec(`DELETE FROM nodes WHERE node=$1 OR seen < `+serverNow+` - $2`, n.Name, slotAfter.Microseconds())
	taken := map[int]bool{}
	err := tx.Query(`SELECT slot FROM nodes`, nil, func(scan func(...any) error) error {
		var s int
		if err := scan(&s); err != nil {
			return err
		}
		taken[s] = true
		return nil
	})
	if err != nil {
		return err
	}
	for n.Slot = 0; taken[n.Slot]; n.Slot++ {
	}
	if n.Slot >= n.Slots {
		return caos.Errorf(caos.Full, "%d nodes share this database already", n.Slots).
			WithHint("stop one; the place of a node that was killed is free after %v", slotAfter)
	}
	tx.Exec(`INSERT INTO nodes (node, slot, started, seen) VALUES ($1,$2,`+serverNow+`,`+serverNow+`)`, n.Name, n.Slot)
	return nil
}

// errLost says that this node was silent for so long that its place was given away.
var errLost = fmt.Errorf("this node's place was given to another")

// beat notes by the server's clock that the node is alive.
func beat(ctx context.Context, d *db.DB, node string) error {
	return d.Write(ctx, func(tx *db.Tx) error {
		tx.ExecOne(errLost, `UPDATE nodes SET seen=`+serverNow+` WHERE node=$1`, node)
		return nil
	})
}

// leave says that the node's work may go to others at once. Its slot stays reserved for a
// minute, as the process may mint identifiers until its end.
func leave(ctx context.Context, d *db.DB, node string, dead time.Duration) error {
	return d.Write(ctx, func(tx *db.Tx) error {
		tx.Exec(`UPDATE nodes SET seen=LEAST(seen, `+serverNow+` - $1) WHERE node=$2`, dead.Microseconds(), node)
		return nil
	})
}

// due reports whether the execution is to be looked at by now. A moment that was no later
// than the commit which wrote it meant at once, and stays due when the clock is set back;
// so does the pause before a retry when the clock is far behind that commit.
func (r *row) due(now time.Time) bool {
	return !r.WakeAt.After(now) || !r.WakeAt.After(r.updated) ||
		r.Status == Running && r.updated.Sub(now) > time.Minute
}

// missed makes an execution that was parked look at its child if that ended meanwhile: it
// woke nobody.
func (r *row) missed(tx *db.Tx) error {
	if r.cur.Wait == nil || r.cur.Wait.Child == "" {
		return nil
	}
	child, err := loadTx(tx, r.cur.Wait.Child)
	if err == nil && child.Status.Final() {
		r.WakeAt = r.updated
	}
	return err
}

// doubt asks for a search for lost wake-ups, soon.
func (e *Engine) doubt() {
	select {
	case e.doubts <- struct{}{}:
	default:
	}
}

// sweeps searches for lost wake-ups, now and then every period, until ctx ends.
func (e *Engine) sweeps(ctx context.Context, period time.Duration) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-e.doubts:
		}
		if err := e.sweep(ctx); err != nil && ctx.Err() == nil {
			e.logger.Warn("search for lost wake-ups", "error", err)
			e.pause(ctx, time.Second)
		}
	}
}

// underway lists the executions that this node drives, with the version each was at when
// it was last read.
func (e *Engine) underway() map[string]int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make(map[string]int64, len(e.active))
	for id, a := range e.active {
		out[id] = a.seen
	}
	return out
}

// overtaken stops the Call of an execution that somebody else has moved on since version
// seen was read: its result could not be written any more.
func (e *Engine) overtaken(id string, seen int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if a := e.active[id]; a != nil && a.seen == seen && a.cancel != nil {
		a.cancel()
	}
}
