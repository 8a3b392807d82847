package chain

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"time"

	"caos"
	"caos/internal/alert"
	"caos/internal/db"
)

// errHeld means that another node has the lease.
var errHeld = caos.Errorf(caos.Unavailable, "another node has this account").WithHint("it is asked; try again if it does not answer")

// errLost means that the lease changed hands, or something else that a write was compared
// with: what was to be written is not true any more.
var errLost = caos.Errorf(caos.Unavailable, "the account changed hands meanwhile").WithHint("try again")

// lease is a row of chain_leases as this node has it. The server's clock decides who may
// take it; until is the moment, by this node's clock, before which nobody else can have.
type lease struct {
	c    *Chain
	name string
	// keyless: this node can sign nothing for the account. Who can takes the lease from it
	// at any time; the epoch tells who was first.
	keyless bool

	mu    sync.Mutex // held over the statements of a renewal: nothing of a commit takes it
	epoch int64      // 0: not ours
	until time.Time
}

// hold takes the lease, or renews it when a third of it is over. It returns errHeld if
// another node has it.
func (l *lease) hold(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now() // of the machine: it is compared with nothing but itself
	if l.epoch > 0 && now.Before(l.until.Add(-l.c.opt.Lease*2/3)) {
		return nil
	}
	err := l.c.opt.DB.Write(ctx, func(tx *db.Tx) error {
		return l.write(tx)
	})
	if err != nil {
		if errors.Is(err, errHeld) || now.After(l.until) {
			l.epoch = 0
		}
		if l.epoch > 0 { // the database is away for a moment, and nobody else can have it yet
			return nil
		}
		return err
	}
	l.until = now.Add(l.c.opt.Lease)
	return nil
}

// write renews the lease that we have, or takes it if it is free or overdue. SQLite belongs
// to one process: whatever lease its predecessor left is void.
func (l *lease) write(tx *db.Tx) error {
	length := l.c.opt.Lease.Microseconds()
	if l.epoch > 0 {
		n, err := tx.ExecRows(l.c.atServer(`UPDATE chain_leases SET ends_at = {{now}} + $1 WHERE name = $2 AND epoch = $3`), length, l.name, l.epoch)
		if err != nil || n == 1 {
			return err
		}
	}
	free := "chain_leases.ends_at < {{now}}"
	switch {
	case l.c.opt.DB.Dialect() == db.SQLite:
		free = "chain_leases.name <> ''"
	case !l.keyless:
		free += " OR chain_leases.node LIKE '" + keylessMark + "%'"
	}
	err := tx.QueryRow(l.c.atServer(`INSERT INTO chain_leases (name, node, ends_at, epoch) VALUES ($1, $2, {{now}} + $3, 1)
		ON CONFLICT (name) DO UPDATE SET node = excluded.node, ends_at = excluded.ends_at, epoch = chain_leases.epoch + 1 WHERE `+free+`
		RETURNING epoch`), l.name, l.holder(), length).Scan(&l.epoch)
	if errors.Is(err, sql.ErrNoRows) {
		return errHeld
	}
	return err
}

// atServer puts the database server's clock into a statement.
func (c *Chain) atServer(text string) string { return strings.ReplaceAll(text, "{{now}}", c.sql) }

// fence fails a write of somebody whose lease another node has taken since.
func (l *lease) fence(tx *db.Tx, epoch int64) {
	tx.ExecOne(errLost, `UPDATE chain_leases SET node = $1 WHERE name = $2 AND epoch = $3`, l.holder(), l.name, epoch)
}

// keylessMark is what the holder of a lease begins with that can sign nothing.
const keylessMark = "keyless:"

// holder is this node as the row has it.
func (l *lease) holder() string {
	if l.keyless {
		return keylessMark + l.c.opt.Node
	}
	return l.c.opt.Node
}

// held returns the epoch, 0 if the lease is not ours.
func (l *lease) held() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch
}

// drop gives the lease back, so that another node need not wait for its end.
func (l *lease) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epoch == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = l.c.opt.DB.Write(ctx, func(tx *db.Tx) error { // else it ends by itself
		tx.Exec(`UPDATE chain_leases SET ends_at = 0 WHERE name = $1 AND epoch = $2`, l.name, l.epoch)
		return nil
	})
	l.epoch = 0
}

// alertSource is that of the alerts of this package.
const alertSource = "chain"

// The severities that this package uses.
const (
	medium   = alert.Medium
	high     = alert.High
	critical = alert.Critical
)

// alarm is an alert of this package. kind is the word in its id: COMPLIANCE for what
// contradicts what was believed, CHAIN for the rest.
type alarm struct {
	kind, metric, subject   string
	severity                alert.Severity
	message                 string
	project, classification string
	actions                 []string
}

// alarm raises an alert in a transaction.
func (c *Chain) alarm(tx *db.Tx, a alarm) error {
	if a.actions == nil {
		a.actions = []string{"investigate"}
	}
	_, err := c.opt.Alerts.Raise(tx, alert.Alert{AlertType: alert.Anomaly, Kind: a.kind, Severity: a.severity, MetricName: a.metric, AlertMessage: clip(a.message, maxReason),
		RecommendedActions: a.actions, Subject: a.subject, Source: alertSource, Project: a.project, Classification: a.classification})
	return err
}

// warn logs what went wrong, unless it is the end.
func (c *Chain) warn(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		c.log.Warn("chain: cannot "+what, "error", err)
	}
}
