package trigger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/event"
)

// due names a firing that is to be tried, as it was read.
type due struct {
	trigger, occurrence string
	nextAt              int64
}

const batchSize = 64

// dispatch tries the firings that are due, several at a time. It reports whether there may
// be more. One that fails keeps no other waiting.
func (s *Service) dispatch(ctx context.Context) (more bool, err error) {
	rows, err := s.o.DB.Query(ctx, `SELECT trigger_name, occurrence, next_at FROM trigger_firings WHERE state='PENDING' AND next_at <= $1
		ORDER BY next_at, trigger_name, occurrence LIMIT $2`, s.now().UnixMicro(), batchSize)
	if err != nil {
		return false, fmt.Errorf("read firings: %w", err)
	}
	defer rows.Close()
	var list []due
	for rows.Next() {
		var d due
		if err := rows.Scan(&d.trigger, &d.occurrence, &d.nextAt); err != nil {
			return false, fmt.Errorf("read firings: %w", err)
		}
		list = append(list, d)
	}
	if err := rows.Err(); err != nil {
		return false, fmt.Errorf("read firings: %w", err)
	}
	rows.Close()
	var all sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, workers)
	for _, d := range list {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if _, failed := s.carryOut(ctx, d); failed != nil {
				mu.Lock()
				defer mu.Unlock()
				err = errors.Join(err, fmt.Errorf("trigger %s, %s: %w", d.trigger, d.occurrence, failed))
			}
		})
	}
	all.Wait()
	return len(list) == batchSize, err
}

// errTaken means that somebody else is at a firing, or is done with it.
var errTaken = errors.New("trigger: the firing is somebody else's")

// carryOut tries one firing: it takes it, submits it and writes down what came of it. Its
// error says that the database failed; the firing is then tried again after its lease.
func (s *Service) carryOut(ctx context.Context, d due) (*firing, error) {
	f, p, err := s.take(ctx, d)
	if errors.Is(err, errTaken) {
		return nil, nil
	}
	if err != nil || f.state != pending {
		return f, err
	}
	run, cancel := context.WithTimeout(ctx, submitTime)
	defer cancel()
	execution, failure := s.o.Hooks.Submit(run, Submission{Hook: f.hook, Input: f.input, Key: f.key(), By: p})
	// What came of it is written down even if the node stops now.
	settle, done := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer done()
	switch {
	case failure == nil:
		return f, s.succeed(settle, f, execution)
	case ctx.Err() != nil:
		return f, s.giveBack(settle, f)
	case passing(failure) && f.attempt < maxAttempts:
		return f, s.later(settle, f, failure)
	}
	return f, s.giveUp(settle, f, failure)
}

// giveBack ends the lease of a firing whose attempt was cut short because the node stops.
func (s *Service) giveBack(ctx context.Context, f *firing) error {
	return s.o.DB.Write(ctx, func(tx *db.Tx) error {
		tx.Exec(`UPDATE trigger_firings SET next_at=$1 WHERE trigger_name=$2 AND occurrence=$3 AND state='PENDING' AND next_at=$4`,
			s.now().UnixMicro(), f.trigger, f.occurrence, f.nextAt)
		return nil
	})
}

// passing reports whether a submission that failed may succeed later.
func passing(err error) bool {
	kind := caos.KindOf(err)
	return kind.Retryable() || kind == caos.Limited || errors.Is(err, db.ErrAborted) || errors.Is(err, db.ErrUnknown)
}

// key is the idempotency key of the firing's submission. It is the same for every attempt;
// what does not fit into a key is hashed.
func (f *firing) key() string {
	const most = 128 // bytes, of the hook service
	key := "trigger/" + f.trigger + "/" + f.occurrence
	plain := len(key) <= most
	for _, c := range []byte(key) {
		plain = plain && c > ' ' && c < 0x7f
	}
	if plain {
		return key
	}
	sum := sha256.Sum256([]byte(f.occurrence))
	return "trigger/" + f.trigger + "/" + hex.EncodeToString(sum[:])
}

// take makes a firing this node's for the time of a lease, and decides on the facts of now
// whether its trigger may act: it is enabled, whoever enabled it may still write triggers,
// and its account is there. The firing's state says what was decided.
func (s *Service) take(ctx context.Context, d due) (f *firing, p caos.Principal, err error) {
	err = s.o.DB.Update(ctx, func(tx *db.Tx) error {
		now := s.now()
		n, err := tx.ExecRows(`UPDATE trigger_firings SET attempt=attempt+1, next_at=$1 WHERE trigger_name=$2 AND occurrence=$3 AND state='PENDING' AND next_at=$4`,
			now.Add(lease).UnixMicro(), d.trigger, d.occurrence, d.nextAt)
		if err != nil {
			return err
		}
		if n == 0 {
			return errTaken
		}
		if f, err = loadFiring(tx, d.trigger, d.occurrence); err != nil {
			return err
		}
		t, err := load(tx, d.trigger)
		if err != nil {
			return err
		}
		if t == nil || f == nil {
			return errTaken
		}
		if !t.Enabled && f.attempt == 1 { // later attempts may have made an execution already
			reason := "the trigger was switched off before"
			if t.Stopped != "" {
				reason = t.Stopped
			}
			return s.end(tx, f, dropped, reason)
		}
		var why error
		p, why = s.authority(tx, f, t)
		if why == nil {
			p.Cause = f.cause(t.Kind)
			return nil
		}
		if passing(why) {
			return why
		}
		if t.Enabled {
			if err := s.stop(tx, t, said(why)); err != nil {
				return err
			}
		}
		if err := s.end(tx, f, refused, said(why)); err != nil {
			return err
		}
		return s.complain(tx, t, f, why)
	})
	return f, p, err
}

// cause is what the hook is told of why it runs. A trigger's kind never changes, and its
// firings go when it is deleted, so that the row's kind is that of the firing.
func (f *firing) cause(kind Kind) *caos.Cause {
	c := &caos.Cause{Trigger: f.trigger, Kind: string(kind), Occurrence: f.occurrence}
	if kind == KindCron {
		if at, err := time.Parse(caos.StampLayout, f.occurrence); err == nil { // as strike wrote it
			at = at.UTC()
			c.Nominal = &at
		}
	}
	return c
}

// authority returns the principal to submit as, or why the trigger must not act any more.
func (s *Service) authority(tx *db.Tx, f *firing, t *Trigger) (caos.Principal, error) {
	// The second factor was given when the trigger was enabled. All roles are claimed, so
	// that those count which the person holds now.
	person := caos.Principal{ID: f.enabledBy, Roles: caos.Roles(), MFA: "totp"}
	if err := s.o.Auth.Authorize(tx, person, "trigger:write", t.Resource(), nil); err != nil {
		if passing(err) {
			return caos.Principal{}, err
		}
		return caos.Principal{}, caos.Wrap(caos.Denied, err, "%s, who enabled it, may not write triggers any more: %s", f.enabledBy, caos.AsError(err).Message).
			WithRule(caos.AsError(err).Rule)
	}
	p, err := s.principal(tx, f.runsAs, f.enabledBy, f.project)
	if err != nil && !passing(err) {
		return p, caos.Wrap(caos.Denied, err, "its account %s is not an enabled service any more", f.runsAs).WithRule("trigger-account")
	}
	return p, err
}

// end writes the last state of a firing.
func (s *Service) end(tx *db.Tx, f *firing, to state, why string) error {
	f.state, f.err = to, clip(why, maxText)
	tx.ExecOne(errTaken, `UPDATE trigger_firings SET state=$1, error=$2, execution_id=$3, input='', ended_at=$4 WHERE trigger_name=$5 AND occurrence=$6 AND state='PENDING'`,
		string(to), f.err, f.execution, s.now().UnixMicro(), f.trigger, f.occurrence)
	return tx.Err()
}

// succeed notes the execution, and that a trigger started it, in whose name.
func (s *Service) succeed(ctx context.Context, f *firing, execution string) error {
	err := s.o.DB.Update(ctx, func(tx *db.Tx) error {
		f.execution = execution
		if err := s.end(tx, f, submitted, ""); err != nil {
			return err
		}
		tx.Exec(`UPDATE triggers SET submitted=submitted+1, last_execution=$1 WHERE name=$2`, execution, f.trigger)
		_, err := s.o.Log.Append(tx, auditlog.Record{Type: auditlog.Execution, Time: s.now(), Actor: f.runsAs, RecordedBy: f.runsAs, Execution: execution, Hook: f.hook,
			Resources: []string{"trigger:" + f.trigger}, Project: f.project,
			Details: map[string]any{"event": "trigger-fired", "trigger": f.trigger, "occurrence": f.occurrence, "enabled_by": f.enabledBy, "depth": f.depth}})
		return err
	})
	if errors.Is(err, errTaken) {
		return nil // an attempt whose lease ran out was not dead, and said it first
	}
	return err
}

// later has the firing tried again after a pause that grows.
func (s *Service) later(ctx context.Context, f *firing, cause error) error {
	pause := longestPause
	if f.attempt < 10 {
		pause = min(firstPause<<(f.attempt-1), longestPause)
	}
	s.o.Logger.Warn("a trigger's submission failed and is tried again", "trigger", f.trigger, "occurrence", f.occurrence, "attempt", f.attempt, "pause", pause, "error", cause)
	f.err = clip(said(cause), maxText)
	now := s.now()
	return s.o.DB.Write(ctx, func(tx *db.Tx) error {
		tx.Exec(`UPDATE trigger_firings SET next_at=$1, error=$2 WHERE trigger_name=$3 AND occurrence=$4 AND state='PENDING'`, now.Add(pause).UnixMicro(), f.err, f.trigger, f.occurrence)
		tx.Exec(`UPDATE triggers SET last_error=$1, last_error_at=$2 WHERE name=$3`, f.err, now.UnixMicro(), f.trigger)
		return nil
	})
}

// giveUp ends a firing that no further attempt can help. An account that can no longer act
// stops the trigger.
func (s *Service) giveUp(ctx context.Context, f *firing, cause error) error {
	err := s.o.DB.Update(ctx, func(tx *db.Tx) error {
		if err := s.end(tx, f, refused, said(cause)); err != nil {
			return err
		}
		t, err := load(tx, f.trigger)
		if err != nil || t == nil {
			return err
		}
		if caos.KindOf(cause) == caos.Unauthenticated && t.Enabled {
			if err := s.stop(tx, t, said(cause)); err != nil {
				return err
			}
		}
		return s.complain(tx, t, f, cause)
	})
	if errors.Is(err, errTaken) {
		return nil
	}
	return err
}

// schedules lets the triggers fire whose time has come. Any number of nodes may do so: the
// transaction that moves a schedule on writes its firing.
func (s *Service) schedules(ctx context.Context) error {
	now := s.now()
	rows, err := s.o.DB.Query(ctx, `SELECT name, next_at FROM triggers WHERE kind='CRON' AND enabled=1 AND (next_at <= $1 OR nominal_at > $2) ORDER BY name`,
		now.UnixMicro(), now.Add(clockDoubt).UnixMicro())
	if err != nil {
		return fmt.Errorf("read schedules: %w", err)
	}
	defer rows.Close()
	var list []due
	for rows.Next() {
		var d due
		if err := rows.Scan(&d.trigger, &d.nextAt); err != nil {
			return fmt.Errorf("read schedules: %w", err)
		}
		list = append(list, d)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read schedules: %w", err)
	}
	rows.Close()
	for _, d := range list {
		if failed := s.o.DB.Update(ctx, func(tx *db.Tx) error { return s.strike(tx, d, now) }); failed != nil {
			err = errors.Join(err, fmt.Errorf("schedule of trigger %s: %w", d.trigger, failed))
		}
	}
	return err
}

// strike lets one schedule fire for the latest nominal time that has come, once however many
// were missed, and moves it on.
func (s *Service) strike(tx *db.Tx, d due, now time.Time) error {
	t, err := load(tx, d.trigger)
	if err != nil || t == nil || !t.Enabled || db.Instant(t.NextAt) != d.nextAt {
		return err // somebody was faster
	}
	if t.NextAt.After(now) {
		// It last fired in what is now the future, because a clock was wrong. It goes on from
		// now; times that fired already are rows already.
		next, err := event.NextTick(t.Cron, t.Zone, now)
		if err == nil && next.Before(*t.NextAt) {
			tx.Exec(`UPDATE triggers SET next_at=$1 WHERE name=$2`, next.UnixMicro(), t.Name)
		}
		tx.Exec(`UPDATE triggers SET nominal_at=0 WHERE name=$1`, t.Name) // it need not be asked again
		return err
	}
	nominal, err := latestTick(t.Cron, t.Zone, now)
	if err == nil && nominal.Before(*t.NextAt) {
		nominal = *t.NextAt
	}
	var next time.Time
	if err == nil {
		next, err = event.NextTick(t.Cron, t.Zone, nominal)
	}
	if err != nil {
		return s.stop(tx, t, "its schedule has no next time")
	}
	tx.Exec(`UPDATE triggers SET next_at=$1, nominal_at=$2 WHERE name=$3`, next.UnixMicro(), nominal.UnixMicro(), t.Name)
	o := occurrence{id: caos.Stamp(nominal), kind: "cron", time: caos.FormatTime(nominal)}
	_, err = s.fire(tx, t, o, 1)
	return err
}
