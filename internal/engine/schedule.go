package engine

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/adhocore/gronx"

	"caos"
	"caos/internal/db"
)

// Schedule is recurring work: a hook submitted at the nominal times of a cron expression
// in a time zone. Missed times (the machine was off) are not made up one by one: the
// latest is run once. A clock that jumps back runs nothing twice, because a nominal time
// names its execution's idempotency key; one that was far ahead for a while delays nothing.
type Schedule struct {
	Name    string          `json:"name"`
	Cron    string          `json:"cron"` // five fields
	Zone    string          `json:"zone"` // IANA name, "UTC" when empty
	Hook    string          `json:"hook_id"`
	Input   json.RawMessage `json:"input"`
	By      caos.Principal  `json:"-"` // service identity, with who enabled it
	Enabled bool            `json:"enabled"`

	NextAt        time.Time `json:"-"`
	LastAt        time.Time `json:"-"` // nominal time of the last run, zero for never
	LastExecution string    `json:"last_execution,omitempty"`
	LastError     string    `json:"last_error,omitempty"` // why the last run was refused, if it was
}

// next returns the first nominal time of the schedule after t.
func (s Schedule) next(t time.Time) (time.Time, error) {
	return s.tick(t, gronx.NextTickAfter, false)
}

// latest returns the last nominal time that is not after t.
func (s Schedule) latest(t time.Time) (time.Time, error) {
	return s.tick(t, gronx.PrevTickBefore, true)
}

func (s Schedule) tick(t time.Time, find func(string, time.Time, bool) (time.Time, error), inclusive bool) (time.Time, error) {
	zone := time.UTC
	if s.Zone != "" {
		z, err := time.LoadLocation(s.Zone)
		if err != nil {
			return time.Time{}, caos.Errorf(caos.Invalid, "no time zone %q", s.Zone).WithField("zone").WithHint("use an IANA name such as Europe/Paris or UTC")
		}
		zone = z
	}
	if len(strings.Fields(s.Cron)) != 5 { // the library also knows seconds, years and words
		return time.Time{}, caos.Errorf(caos.Invalid, "%q is not a cron expression", s.Cron).WithField("cron").WithHint("five fields: minute hour day month weekday")
	}
	// Nominal times are whole minutes; the library would keep the seconds of a minute that
	// is itself one.
	n, err := find(s.Cron, t.In(zone).Truncate(time.Minute), inclusive)
	if err != nil {
		return time.Time{}, caos.Wrap(caos.Invalid, err, "%q is not a cron expression", s.Cron).WithField("cron").WithHint("five fields: minute hour day month weekday")
	}
	return n.UTC(), nil
}

// PutSchedule creates or replaces a schedule inside an audited transaction of the caller.
func (e *Engine) PutSchedule(tx *db.Tx, s Schedule) error {
	if e.newest[s.Hook] == nil {
		return caos.Errorf(caos.NotFound, "no hook %q", s.Hook).WithField("hook_id")
	}
	next, err := s.next(e.now())
	if err != nil {
		return err
	}
	by, err := jsonText(s.By)
	if err != nil {
		return err
	}
	enabled := 0
	if s.Enabled {
		enabled = 1
	}
	tx.Exec(`INSERT INTO schedules (name, cron, zone, hook_id, input, principal, enabled, next_at, last_execution, last_error)
 VALUES ($1,$2,$3,$4,$5,$6,$7,$8,'','')
 ON CONFLICT (name) DO UPDATE SET cron=excluded.cron, zone=excluded.zone, hook_id=excluded.hook_id, input=excluded.input,
 principal=excluded.principal, enabled=excluded.enabled, next_at=excluded.next_at, last_error=''`,
		s.Name, s.Cron, s.Zone, s.Hook, string(s.Input), by, enabled, next.UnixMicro())
	return tx.Err()
}

// Schedules lists the schedules by name.
func (e *Engine) Schedules(ctx context.Context) ([]Schedule, error) {
	rows, err := e.db.Query(ctx, `SELECT name, cron, zone, hook_id, input, principal, enabled, next_at, last_at, last_execution, last_error
 FROM schedules ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", err)
	}
	defer rows.Close()
	var out []Schedule
	for rows.Next() {
		var s Schedule
		var input, by string
		var enabled int
		var next int64
		var last sql.NullInt64
		if err := rows.Scan(&s.Name, &s.Cron, &s.Zone, &s.Hook, &input, &by, &enabled, &next, &last, &s.LastExecution, &s.LastError); err != nil {
			return nil, err
		}
		s.Input, s.Enabled, s.NextAt, s.LastAt = json.RawMessage(input), enabled != 0, time.UnixMicro(next).UTC(), fromMicros(last)
		if err := json.Unmarshal([]byte(by), &s.By); err != nil {
			return nil, fmt.Errorf("schedule %s: %w", s.Name, err)
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// runSchedules submits what is due, now and then every period, until ctx ends. Any number
// of nodes may do it: the idempotency key makes one execution of each nominal time.
func (e *Engine) runSchedules(ctx context.Context, period time.Duration) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		if err := e.dueSchedules(ctx); err != nil && ctx.Err() == nil {
			e.logger.Warn("schedules", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (e *Engine) dueSchedules(ctx context.Context) error {
	all, err := e.Schedules(ctx)
	if err != nil {
		return err
	}
	var failed error
	for _, s := range all {
		now := e.now()
		switch {
		case !s.Enabled:
		case !s.NextAt.After(now):
			err = e.runSchedule(ctx, s, now)
		case s.LastAt.After(now.Add(clockDoubt)):
			err = e.rewind(ctx, s, now)
		}
		if err != nil {
			failed, err = errors.Join(failed, fmt.Errorf("schedule %s: %w", s.Name, err)), nil
		}
	}
	return failed
}

// clockDoubt is how far the clocks of nodes may differ before one of them counts as wrong.
const clockDoubt = time.Minute

// rewind makes a schedule go on that last ran in what is now the future, because a clock was
// wrong. Times that were run already are not run again: their keys are taken.
func (e *Engine) rewind(ctx context.Context, s Schedule, now time.Time) error {
	next, err := s.next(now)
	if err != nil || !next.Before(s.NextAt) {
		return err
	}
	return e.db.Write(ctx, func(tx *db.Tx) error {
		tx.Exec(`UPDATE schedules SET next_at=$1 WHERE name=$2 AND next_at=$3`, next.UnixMicro(), s.Name, s.NextAt.UnixMicro())
		return nil
	})
}

// runSchedule submits the latest nominal time that has come and moves the schedule on in
// the same commit. A refusal that would be repeated for ever moves it on, too, and is shown
// in the schedule.
func (e *Engine) runSchedule(ctx context.Context, s Schedule, now time.Time) error {
	nominal, err := s.latest(now)
	if err == nil && nominal.Before(s.NextAt) {
		nominal = s.NextAt
	}
	var next time.Time
	if err == nil {
		next, err = s.next(nominal)
	}
	if err != nil {
		return err
	}
	if e.newest[s.Hook] == nil && now.Sub(s.NextAt) < clockDoubt {
		return nil // a node with another binary may know the hook
	}
	const move = `UPDATE schedules SET next_at=$1, last_at=$2, last_error=$3 WHERE name=$4 AND next_at=$5 AND enabled=1`
	args := func(problem string) []any {
		return []any{next.UnixMicro(), nominal.UnixMicro(), problem, s.Name, s.NextAt.UnixMicro()}
	}
	key := fmt.Sprintf("schedule/%s/%s", s.Name, caos.Stamp(nominal))
	x, err := e.Submit(ctx, Submission{Hook: s.Hook, Input: s.Input, By: s.By, IdemKey: key, BodyHash: digest(s.Input),
		Check: func(tx *db.Tx) error {
			// Another node may have moved it on already: then this time is not ours.
			tx.ExecOne(errStale, move, args("")...)
			return tx.Err()
		}})
	switch {
	case errors.Is(err, errStale):
		return nil
	case err == nil && !x.Existing:
		return e.db.Write(ctx, func(tx *db.Tx) error {
			tx.Exec(`UPDATE schedules SET last_execution=$1 WHERE name=$2`, x.ID, s.Name)
			return nil
		})
	case waits(caos.KindOf(err)), caos.KindOf(err) == caos.Internal && now.Sub(s.NextAt) < clockDoubt:
		return err // a defect that lasts does not keep the schedule from going on
	}
	problem := ""
	if err != nil {
		problem = caos.AsError(err).Message
	}
	return errors.Join(err, e.db.Write(ctx, func(tx *db.Tx) error {
		tx.Exec(move, args(problem)...)
		return nil
	}))
}
