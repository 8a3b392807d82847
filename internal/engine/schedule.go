package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/adhocore/gronx"

	"caos"
	"caos/internal/db"
)

// Schedule is recurring work: a hook submitted at the nominal times of a cron expression
// in a time zone. Missed times (the machine was off) are not made up one by one: the
// latest is run once. A clock that jumps back runs nothing twice, because a nominal time
// names its execution's idempotency key and the next one is always later than the last.
type Schedule struct {
	Name    string          `json:"name"`
	Cron    string          `json:"cron"` // five fields
	Zone    string          `json:"zone"` // IANA name, "UTC" when empty
	Hook    string          `json:"hook_id"`
	Input   json.RawMessage `json:"input"`
	By      caos.Principal  `json:"-"` // service identity, with who enabled it
	Enabled bool            `json:"enabled"`

	NextAt        time.Time `json:"-"`
	LastExecution string    `json:"last_execution,omitempty"`
}

// next returns the first nominal time of the schedule after t.
func (s Schedule) next(t time.Time) (time.Time, error) {
	zone := time.UTC
	if s.Zone != "" {
		z, err := time.LoadLocation(s.Zone)
		if err != nil {
			return time.Time{}, caos.Errorf(caos.Invalid, "no time zone %q", s.Zone).WithField("zone").WithHint("use an IANA name such as Europe/Paris or UTC")
		}
		zone = z
	}
	n, err := gronx.NextTickAfter(s.Cron, t.In(zone), false)
	if err != nil {
		return time.Time{}, caos.Wrap(caos.Invalid, err, "%q is not a cron expression", s.Cron).WithField("cron").WithHint("five fields: minute hour day month weekday")
	}
	return n, nil
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
	tx.Exec(`INSERT INTO schedules (name, cron, zone, hook_id, input, principal, enabled, next_at, last_execution)
 VALUES ($1,$2,$3,$4,$5,$6,$7,$8,'')
 ON CONFLICT (name) DO UPDATE SET cron=excluded.cron, zone=excluded.zone, hook_id=excluded.hook_id, input=excluded.input,
 principal=excluded.principal, enabled=excluded.enabled, next_at=excluded.next_at`,
		s.Name, s.Cron, s.Zone, s.Hook, string(s.Input), by, enabled, next.UnixMicro())
	return tx.Err()
}

// Schedules lists the schedules by name.
func (e *Engine) Schedules(ctx context.Context) ([]Schedule, error) {
	rows, err := e.db.Query(ctx, `SELECT name, cron, zone, hook_id, input, principal, enabled, next_at, last_execution FROM schedules ORDER BY name`)
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
		if err := rows.Scan(&s.Name, &s.Cron, &s.Zone, &s.Hook, &input, &by, &enabled, &next, &s.LastExecution); err != nil {
			return nil, err
		}
		s.Input, s.Enabled, s.NextAt = json.RawMessage(input), enabled != 0, time.UnixMicro(next).UTC()
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
	for _, s := range all {
		if now := e.now(); s.Enabled && !s.NextAt.After(now) {
			err = errors.Join(err, e.runSchedule(ctx, s, now))
		}
	}
	return err
}

func (e *Engine) runSchedule(ctx context.Context, s Schedule, now time.Time) error {
	nominal := s.NextAt
	for { // the latest time that has passed
		n, err := s.next(nominal)
		if err != nil {
			return err
		}
		if n.After(now) {
			break
		}
		nominal = n
	}
	next, err := s.next(nominal)
	if err != nil {
		return err
	}
	key := fmt.Sprintf("schedule/%s/%s", s.Name, caos.Stamp(nominal))
	x, err := e.Submit(ctx, Submission{Hook: s.Hook, Input: s.Input, By: s.By, IdemKey: key, BodyHash: digest(s.Input),
		Check: func(tx *db.Tx) error {
			// Another node may have moved it on already: then this time is not ours.
			tx.ExecOne(errStale, `UPDATE schedules SET next_at=$1, last_at=$2 WHERE name=$3 AND next_at=$4 AND enabled=1`,
				next.UnixMicro(), nominal.UnixMicro(), s.Name, s.NextAt.UnixMicro())
			return tx.Err()
		}})
	if errors.Is(err, errStale) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("schedule %s: %w", s.Name, err)
	}
	return e.db.Write(ctx, func(tx *db.Tx) error {
		tx.Exec(`UPDATE schedules SET last_execution=$1 WHERE name=$2`, x.ID, s.Name)
		return tx.Err()
	})
}
