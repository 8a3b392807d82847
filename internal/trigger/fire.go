package trigger

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"caos"
	"caos/internal/alert"
	"caos/internal/db"
	"caos/internal/event"
)

// state is what became of a firing.
type state string

const (
	pending   state = "PENDING"   // to be submitted, or being submitted
	submitted state = "SUBMITTED" // there is an execution
	refused   state = "REFUSED"   // there is none and will be none; an alert says why
	dropped   state = "DROPPED"   // switched off before it was tried
)

// firing is a row: one time that a trigger fired.
type firing struct {
	trigger    string
	occurrence string
	hook       string
	input      json.RawMessage
	digest     string
	runsAs     string
	enabledBy  string
	project    string
	depth      int
	state      state
	attempt    int
	nextAt     int64 // microseconds
	execution  string
	err        string
}

const firingColumns = `trigger_name, occurrence, hook_id, input, digest, runs_as, enabled_by, project, depth, state, attempt, next_at, execution_id, error`

func scanFiring(scan func(...any) error) (*firing, error) {
	var f firing
	var input, st string
	if err := scan(&f.trigger, &f.occurrence, &f.hook, &input, &f.digest, &f.runsAs, &f.enabledBy, &f.project, &f.depth, &st, &f.attempt, &f.nextAt, &f.execution, &f.err); err != nil {
		return nil, err
	}
	f.input, f.state = json.RawMessage(input), state(st)
	return &f, nil
}

// loadFiring returns a firing as the transaction sees it, nil if there is none.
func loadFiring(tx *db.Tx, name, occurrence string) (*firing, error) {
	f, err := scanFiring(tx.QueryRow(`SELECT `+firingColumns+` FROM trigger_firings WHERE trigger_name=$1 AND occurrence=$2`, name, occurrence).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return f, err
}

func (f *firing) insert(tx *db.Tx, now time.Time) (bool, error) {
	ended := int64(0)
	if f.state != pending {
		ended = now.UnixMicro()
	}
	n, err := tx.ExecRows(`INSERT INTO trigger_firings (`+firingColumns+`, created_at, ended_at)
		VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16) ON CONFLICT (trigger_name, occurrence) DO NOTHING`,
		f.trigger, f.occurrence, f.hook, string(f.input), f.digest, f.runsAs, f.enabledBy, f.project, f.depth, string(f.state), f.attempt, f.nextAt, f.execution, f.err,
		now.UnixMicro(), ended)
	return n > 0, err
}

// onEvent lets the triggers fire that an event is for. It runs in the transaction that moves
// the subscriber's cursor, so each event is looked at once. It returns an error only when
// the database fails: no event can hold up those behind it.
func (s *Service) onEvent(tx *db.Tx, e event.Event) error {
	var list []*Trigger
	err := tx.Query(`SELECT `+columns+` FROM triggers WHERE kind='EVENT' AND enabled=1 ORDER BY name`, nil, func(scan func(...any) error) error {
		t, err := scanTrigger(scan)
		list = append(list, t)
		return err
	})
	if err != nil || len(list) == 0 {
		return err
	}
	o := occurrence{id: e.ID, kind: e.Type, source: e.Source, subject: e.Subject, time: caos.FormatTime(e.Time), project: e.Project, classification: e.Classification}
	if o.data, err = decodeData(e); err != nil {
		s.o.Logger.Error("an event that triggers cannot read", "event", e.ID, "error", err)
		return nil
	}
	depth := 0 // of what caused the event; found when the first trigger asks
	for _, t := range list {
		if !t.sees(e.Project, e.Classification) {
			continue
		}
		c, err := s.compiledOf(t)
		if err != nil { // a row of another version of CAOS
			if err := s.stop(tx, t, "its definition cannot be used: "+caos.AsError(err).Message); err != nil {
				return err
			}
			continue
		}
		if !c.filter.match(o) {
			continue
		}
		if depth == 0 {
			if depth, err = s.depthOf(tx, o); err != nil {
				return err
			}
			depth++
		}
		if _, err := s.fire(tx, t, o, depth); err != nil {
			return err
		}
	}
	return nil
}

func decodeData(e event.Event) (any, error) {
	raw, ok := e.Data.(json.RawMessage)
	if !ok || len(raw) == 0 {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	return v, nil
}

// depthOf returns how many triggers in a row led to an event: 0 if none did. A child
// execution counts as its parent. The execution that an event tells of may have ended before
// the firing that started it heard of its id; then the deepest firing that is being
// submitted for this hook counts, which is never too little.
func (s *Service) depthOf(tx *db.Tx, o occurrence) (int, error) {
	execution, parent := o.text("execution_id"), o.text("parent_id")
	if execution == "" {
		execution = o.subject
	}
	var depth sql.NullInt64
	err := tx.QueryRow(`SELECT max(depth) FROM trigger_firings WHERE execution_id IN ($1, $2) AND execution_id <> ''`, execution, parent).Scan(&depth)
	if _, ending := endings()[o.kind]; err != nil || depth.Valid || !ending {
		return int(depth.Int64), err
	}
	err = tx.QueryRow(`SELECT max(depth) FROM trigger_firings WHERE state='PENDING' AND attempt > 0 AND hook_id=$1`, o.text("hook_id")).Scan(&depth)
	return int(depth.Int64), err
}

// text is a field of the data that is a text, "" otherwise.
func (o occurrence) text(field string) string {
	v, _ := dig(o.data, []string{field})
	s, _ := v.(string)
	return s
}

// fire writes a firing: PENDING, or REFUSED with an alert if there is nothing to submit. It
// returns the firing that stands, which is an earlier one if the same occurrence came
// before, or nil if the trigger was stopped.
func (s *Service) fire(tx *db.Tx, t *Trigger, o occurrence, depth int) (*firing, error) {
	now := s.now()
	if before, err := loadFiring(tx, t.Name, o.id); err != nil || before != nil {
		return before, err
	}
	over, err := s.count(tx, t, now)
	if err != nil {
		return nil, err
	}
	if over {
		return nil, s.stop(tx, t, fmt.Sprintf("it fired more than %d times in a minute, which looks like a loop", s.o.MaxPerMinute))
	}
	f := &firing{trigger: t.Name, occurrence: o.id, hook: t.Hook, digest: o.digest, runsAs: t.RunsAs, enabledBy: t.EnabledBy, project: t.Project,
		depth: depth, state: pending, nextAt: now.UnixMicro()}
	if t.Kind == KindWebhook {
		f.nextAt = now.Add(receiveGrace).UnixMicro() // whoever takes the delivery in submits it
	}
	if f.project == "" {
		f.project = o.project // work about a project's thing belongs to the project
	}
	var cause error
	c, err := s.compiledOf(t)
	switch {
	case err != nil:
		cause = err
	case depth > MaxDepth:
		cause = caos.Errorf(caos.Denied, "it is link %d of a chain of triggers, and %d are allowed", depth, MaxDepth).WithRule("trigger-depth")
	default:
		f.input, cause = c.template.render(t, o)
	}
	if cause != nil {
		f.state, f.err = refused, clip(said(cause), maxText)
	}
	fresh, err := f.insert(tx, now)
	if err != nil || !fresh {
		return f, err
	}
	if cause != nil {
		return f, s.complain(tx, t, f, cause)
	}
	if t.Kind != KindWebhook {
		tx.AfterCommit(s.kick)
	}
	return f, nil
}

// said is an error as people may read it.
func said(err error) string {
	e := caos.AsError(err)
	if e.Field != "" {
		return e.Field + ": " + e.Message
	}
	return e.Message
}

// count counts a firing, and reports whether there are too many in this minute.
func (s *Service) count(tx *db.Tx, t *Trigger, now time.Time) (over bool, err error) {
	begin := now.Truncate(time.Minute).UnixMicro()
	if t.windowAt != begin {
		t.windowAt, t.window = begin, 0
	}
	if t.window++; t.window > int64(s.o.MaxPerMinute) {
		return true, nil
	}
	tx.Exec(`UPDATE triggers SET fired=fired+1, last_fired_at=$1, window_at=$2, window_count=$3 WHERE name=$4`, now.UnixMicro(), t.windowAt, t.window, t.Name)
	return false, tx.Err()
}

// complain counts a refusal and raises the trigger's alert.
func (s *Service) complain(tx *db.Tx, t *Trigger, f *firing, cause error) error {
	now := s.now()
	tx.Exec(`UPDATE triggers SET refused=refused+1, last_error=$1, last_error_at=$2 WHERE name=$3`, clip(said(cause), maxText), now.UnixMicro(), t.Name)
	_, err := s.o.Alerts.Raise(tx, alert.Alert{
		AlertType: alert.Anomaly, Severity: alert.Medium, Kind: "TRIGGER", MetricName: "trigger_refused", Source: "trigger", Subject: "trigger:" + t.Name,
		Project: t.Project, Classification: t.Classification,
		AlertMessage:       fmt.Sprintf("trigger %s fired for %s and %s was not run: %s", t.Name, clip(f.occurrence, 200), f.hook, said(cause)),
		RecommendedActions: []string{"correct the trigger, or what its account may do", "submit by hand what was missed"},
	})
	return err
}

// stop switches a trigger off because it must not go on, and raises an alert.
func (s *Service) stop(tx *db.Tx, t *Trigger, reason string) error {
	from := t.Revision
	enabledBy := t.EnabledBy
	t.Enabled, t.EnabledBy, t.EnabledAt, t.NextAt, t.Stopped = false, "", nil, nil, clip(reason, maxText)
	t.Revision, t.UpdatedAt, t.UpdatedBy = from+1, s.now(), caos.SystemPrincipal().ID
	if err := t.update(tx, from); err != nil {
		return err
	}
	tx.Exec(`UPDATE triggers SET last_error=$1, last_error_at=$2 WHERE name=$3`, t.Stopped, t.UpdatedAt.UnixMicro(), t.Name)
	if err := s.record(tx, caos.SystemPrincipal().ID, "trigger-stopped", t); err != nil {
		return err
	}
	_, err := s.o.Alerts.Raise(tx, alert.Alert{
		AlertType: alert.Anomaly, Severity: alert.High, Kind: "TRIGGER", MetricName: "trigger_stopped", Source: "trigger", Subject: "trigger:" + t.Name,
		Project: t.Project, Classification: t.Classification,
		AlertMessage:       fmt.Sprintf("trigger %s, enabled by %s, was stopped: %s", t.Name, enabledBy, t.Stopped),
		RecommendedActions: []string{"find out what was missed", "enable it again when the reason is gone"},
	})
	return err
}
