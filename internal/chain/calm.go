package chain

import (
	"context"
	"sync"
	"time"

	"caos"
	"caos/internal/alert"
	"caos/internal/auditlog"
	"caos/internal/db"
)

// The metrics of alerts that say how something is, and not what has happened. They end when
// it is over. The others (somebody used the account, an endpoint contradicted another or
// itself, a final transaction vanished) are for people to close: that it stopped explains
// nothing.
const (
	metricNotStarted  = "subject_not_started"  // of a kind of subject
	metricNotRecorded = "subject_not_recorded" // of a subject
	metricRefused     = "transaction_refused"  // of a transaction
	metricUnreachable = "chain_unreachable"
	metricWrongChain  = "wrong_chain"
	metricTooFew      = "too_few_endpoints"
	metricFeeCap      = "fee_cap_reached"      // of an account
	metricFunds       = "account_out_of_funds" // of an account
)

// triesAlert is how often the start of a subject fails before an alert says so.
const triesAlert = 3

// alarms remembers which alerts were raised, so that a loop does not raise one all the time,
// and of which none was there, so that a loop does not look all the time.
type alarms struct {
	mu   sync.Mutex
	at   map[[2]string]time.Time
	calm map[[2]string]time.Time
}

func (a *alarms) due(metric, subject string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := [2]string{metric, subject}
	delete(a.calm, key)
	if now.Sub(a.at[key]) < alertAgain {
		return false
	}
	if a.at == nil {
		a.at = map[[2]string]time.Time{}
	}
	a.at[key] = now
	return true
}

// silent reports whether no alert was there a moment ago. Another node may have raised one
// since, and have died: so it is looked for again after a while.
func (a *alarms) silent(metric, subject string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, known := a.calm[[2]string{metric, subject}]
	return known && now.Sub(at) < alertAgain
}

func (a *alarms) quiet(metric, subject string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.calm == nil {
		a.calm = map[[2]string]time.Time{}
	}
	a.calm[[2]string{metric, subject}] = now
}

// raise raises an alert in a transaction of its own, unless that was done a moment ago.
func (c *Chain) raise(ctx context.Context, a alarm) {
	if !c.alarms.due(a.metric, a.subject, c.opt.Now()) {
		return
	}
	c.warn(ctx, "raise an alert", c.opt.DB.Update(ctx, func(tx *db.Tx) error { return c.alarm(tx, a) }))
}

// over closes an alert in the transaction that ends what it says.
func (c *Chain) over(tx *db.Tx, metric, subject, reason string) error {
	me := caos.SystemPrincipal().ID
	a, had, err := c.opt.Alerts.Over(tx, alert.Alert{Source: alertSource, Subject: subject, MetricName: metric}, me, reason)
	if err != nil || !had {
		return err
	}
	_, err = c.opt.Log.Append(tx, auditlog.Record{Type: auditlog.Alert, Actor: me, RecordedBy: me, Resources: []string{a.AlertID},
		Details: map[string]any{"event": "closed", "note": a.Note, "state": a.State}, Project: a.Project, Classification: a.Classification})
	return err
}

// standing reports whether there is an alert that is not closed.
func standing(q query, metric, subject string) (bool, error) {
	var open int64
	err := q(`SELECT COUNT(*) FROM alerts WHERE source = $1 AND subject = $2 AND metric_name = $3 AND state <> 'CLOSED'`, []any{alertSource, subject, metric},
		func(scan func(...any) error) error { return scan(&open) })
	return open > 0, err
}

// ended closes an alert, if there is one, in a transaction of its own. It costs nothing while
// there is none, so that a loop may call it whenever it finds that all is well.
func (c *Chain) ended(ctx context.Context, metric, subject, reason string) {
	if c.alarms.silent(metric, subject, c.opt.Now()) {
		return
	}
	open, err := standing(c.opt.DB.Reader(ctx), metric, subject)
	if err == nil && open {
		err = c.opt.DB.Update(ctx, func(tx *db.Tx) error { return c.over(tx, metric, subject, reason) })
	}
	if err != nil {
		c.warn(ctx, "close an alert", err)
		return
	}
	c.alarms.quiet(metric, subject, c.opt.Now())
}

// started closes the alert of a kind of subject that could not be started, once none is left
// that cannot.
func (c *Chain) started(tx *db.Tx, kind SubjectKind, executionID string) error {
	open, err := standing(tx.Query, metricNotStarted, string(kind))
	if err != nil || !open {
		return err
	}
	var left int64
	err = tx.Query(`SELECT COUNT(*) FROM (SELECT 1 FROM chain_subjects WHERE kind = $1 AND state = 'WANTED' AND tries > $2 LIMIT 1) AS one`, []any{string(kind), triesAlert},
		func(scan func(...any) error) error { return scan(&left) })
	if err != nil || left > 0 {
		return err
	}
	return c.over(tx, metricNotStarted, string(kind), "what was to be recorded is started: "+executionID)
}
