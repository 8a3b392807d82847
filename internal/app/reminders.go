package app

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"caos/internal/db"
	"caos/internal/notify"
	"caos/internal/readiness"
)

// remindAtOnce is how many reminders one transaction sends at most: everybody waits for it,
// and a notice has to stay one that people read.
const remindAtOnce = 10

// keepReminding sends what people should be reminded of, at the start and every hour. Any
// number of nodes may do so: a reminder is taken in the transaction that sends it.
func (a *App) keepReminding(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if n, err := a.remind(ctx); err != nil && ctx.Err() == nil {
			a.logger.Warn("reminders", "sent", n, "error", err)
		} else if n > 0 {
			a.logger.Info("reminders sent", "reminders", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// remind sends what is due now and was not sent, and returns how many reminders that were.
// What cannot be sent now is due the next time.
func (a *App) remind(ctx context.Context) (int, error) {
	now := a.now()
	list, err := a.readiness.Due(ctx, now)
	if err != nil {
		return 0, err
	}
	slices.SortStableFunc(list, func(x, y readiness.Reminder) int { return strings.Compare(audience(x), audience(y)) })
	sent := 0
	var failed error
	for part := range slices.Chunk(list, remindAtOnce) {
		n := 0
		err := a.db.Update(ctx, func(tx *db.Tx) (err error) {
			n, err = a.sendReminders(tx, now, part)
			return err
		})
		if ctx.Err() != nil {
			return sent, ctx.Err()
		}
		if err != nil {
			failed = err // the others have not to wait for what does not go out
			continue
		}
		sent += n
	}
	if failed != nil {
		return sent, failed
	}
	return sent, a.readiness.ForgetReminders(ctx, now)
}

// audience is equal for reminders that one notice may carry: nobody is told of more than
// they may know.
func audience(m readiness.Reminder) string {
	return strings.Join([]string{strings.Join(m.People, ","), strings.Join(m.Roles, ","), m.Project, m.Classification}, "|")
}

// sendReminders sends those of a list that nobody sent yet and that are still due, in one
// notice for each audience.
func (a *App) sendReminders(tx *db.Tx, now time.Time, list []readiness.Reminder) (int, error) {
	var to []string
	by := map[string][]*readiness.Reminder{}
	n := 0
	for _, m := range list {
		mine, err := a.readiness.Remind(tx, now, m)
		if err != nil {
			return 0, err
		}
		if mine == nil {
			continue
		}
		n++
		who := audience(*mine)
		if by[who] == nil {
			to = append(to, who)
		}
		by[who] = append(by[who], mine)
	}
	for _, who := range to {
		d, err := a.notifier.Send(tx, reminderNotice(by[who]))
		if err != nil {
			return 0, err
		}
		for _, f := range d.Findings {
			a.logger.Warn("a reminder does not reach everybody", "rule", f.Rule, "subject", f.Subject, "problem", f.Message)
		}
	}
	return n, nil
}

// reminderNotice makes one notice of reminders for the same audience.
func reminderNotice(list []*readiness.Reminder) notify.Notice {
	m := list[0]
	n := notify.Notice{Subject: m.Subject, Body: m.Body, Link: m.Link, Source: "reminders", People: m.People, Roles: m.Roles,
		Project: m.Project, Classification: m.Classification}
	if len(list) == 1 {
		return n
	}
	n.Subject, n.Link = "Reminder: "+strconv.Itoa(len(list))+" things are due", ""
	texts := make([]string, len(list))
	for i, m := range list {
		texts[i] = m.Subject + "\n" + m.Body
	}
	n.Body = strings.Join(texts, "\n\n")
	return n
}
