package event

import (
	"context"
	"fmt"
	"log/slog"
)

type watcher struct{ c chan struct{} }

// Watch returns a channel that has a value whenever there may be new events about subject
// ("" for any subject) since it was last read; Since has them. Values run together, so a
// slow reader blocks nobody. Call stop when done.
func (o *Outbox) Watch(subject string) (changed <-chan struct{}, stop func()) {
	w := &watcher{c: make(chan struct{}, 1)}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.watchers[subject] == nil {
		o.watchers[subject] = map[*watcher]bool{}
	}
	o.watchers[subject][w] = true
	return w.c, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.watchers[subject], w)
		if len(o.watchers[subject]) == 0 {
			delete(o.watchers, subject)
		}
	}
}

// announce wakes the workers and whoever watches one of the subjects. It does not block.
func (o *Outbox) announce(subjects []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range o.workers {
		nudge(w.wake)
	}
	for w := range o.watchers[""] {
		nudge(w.c)
	}
	for _, s := range subjects {
		if s == "" {
			continue
		}
		for w := range o.watchers[s] {
			nudge(w.c)
		}
	}
}

func (o *Outbox) announceAll() {
	o.mu.Lock()
	subjects := make([]string, 0, len(o.watchers))
	for s := range o.watchers {
		subjects = append(subjects, s)
	}
	o.mu.Unlock()
	o.announce(subjects)
}

func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pump looks for events that no commit of this process announced: those of other nodes,
// and those whose COMMIT went unanswered.
func (o *Outbox) pump(ctx context.Context, seen int64) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.opt.after(o.opt.Poll):
		}
		head, err := o.announceSince(ctx, seen)
		if err != nil {
			if ctx.Err() == nil {
				o.opt.Log.Warn("cannot look for events", slog.Any("error", err))
			}
			continue
		}
		seen = head
	}
}

// pumpMost is how many events are announced one by one; more wake everybody.
const pumpMost = 1000

func (o *Outbox) announceSince(ctx context.Context, seen int64) (int64, error) {
	var head int64
	if err := o.db.QueryRow(ctx, `SELECT seq FROM event_head WHERE id = 1`).Scan(&head); err != nil {
		return seen, fmt.Errorf("read event head: %w", err)
	}
	if head == seen {
		return seen, nil
	}
	if head-seen > pumpMost {
		o.announceAll()
		return head, nil
	}
	rows, err := o.db.Query(ctx, `SELECT DISTINCT subject FROM events WHERE seq > $1 AND seq <= $2`, seen, head)
	if err != nil {
		return seen, fmt.Errorf("read subjects: %w", err)
	}
	defer rows.Close()
	var subjects []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return seen, fmt.Errorf("read subjects: %w", err)
		}
		subjects = append(subjects, s)
	}
	if err := rows.Err(); err != nil {
		return seen, fmt.Errorf("read subjects: %w", err)
	}
	o.announce(subjects)
	return head, nil
}
