package trigger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"caos"
	"caos/internal/db"
)

const columns = `name, kind, description, hook_id, input, event_type, conditions, cron, zone, runs_as, project, classification, secret,
	enabled, enabled_by, enabled_at, stopped, revision, created_at, created_by, updated_at, updated_by, next_at, nominal_at, window_at, window_count,
	fired, submitted, refused, last_fired_at, last_execution, last_error, last_error_at`

func scanTrigger(scan func(...any) error) (*Trigger, error) {
	var t Trigger
	var kind, input, conditions string
	var enabled int
	var enabledAt, created, updated, next, firedAt, errorAt int64
	err := scan(&t.Name, &kind, &t.Description, &t.Hook, &input, &t.EventType, &conditions, &t.Cron, &t.Zone, &t.RunsAs, &t.Project, &t.Classification, &t.sealed,
		&enabled, &t.EnabledBy, &enabledAt, &t.Stopped, &t.Revision, &created, &t.CreatedBy, &updated, &t.UpdatedBy, &next, &t.nominalAt, &t.windowAt, &t.window,
		&t.Fired, &t.Submitted, &t.Refused, &firedAt, &t.LastExecution, &t.LastError, &errorAt)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(conditions), &t.Where); err != nil {
		return nil, fmt.Errorf("conditions of trigger %s: %w", t.Name, err)
	}
	t.Kind, t.Input, t.Enabled = Kind(kind), json.RawMessage(input), enabled != 0
	t.CreatedAt, t.UpdatedAt = time.UnixMicro(created).UTC(), time.UnixMicro(updated).UTC()
	t.EnabledAt, t.LastFiredAt, t.LastErrorAt, t.NextAt = db.Optional(enabledAt), db.Optional(firedAt), db.Optional(errorAt), db.Optional(next)
	return &t, nil
}

func notFound() error {
	return caos.Errorf(caos.NotFound, "there is no such trigger, or it is not for you").WithField("name")
}

// Get returns a trigger.
func (s *Service) Get(ctx context.Context, name string) (*Trigger, error) {
	if !nameWord.MatchString(name) {
		return nil, notFound()
	}
	t, err := scanTrigger(s.o.DB.QueryRow(ctx, `SELECT `+columns+` FROM triggers WHERE name=$1`, name).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound()
	}
	return t, err
}

// List returns triggers by name, those after a name, at most limit.
func (s *Service) List(ctx context.Context, after string, limit int) ([]*Trigger, error) {
	rows, err := s.o.DB.Query(ctx, `SELECT `+columns+` FROM triggers WHERE name > $1 ORDER BY name LIMIT $2`, clip(after, 100), limit)
	if err != nil {
		return nil, fmt.Errorf("list triggers: %w", err)
	}
	defer rows.Close()
	var out []*Trigger
	for rows.Next() {
		t, err := scanTrigger(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("list triggers: %w", err)
		}
		out = append(out, t)
	}
	return out, rows.Err()
}

// load returns a trigger as the transaction sees it, nil if there is none.
func load(tx *db.Tx, name string) (*Trigger, error) {
	t, err := scanTrigger(tx.QueryRow(`SELECT `+columns+` FROM triggers WHERE name=$1`, name).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return t, err
}

// insert writes a new row.
func (t *Trigger) insert(tx *db.Tx) error {
	where, err := json.Marshal(t.Where)
	if err != nil {
		return fmt.Errorf("encode conditions: %w", err)
	}
	n, err := tx.ExecRows(`INSERT INTO triggers (`+columns+`) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21,$22,$23,
		0,0,0,0,0,0,0,'','',0) ON CONFLICT (name) DO NOTHING`,
		t.Name, string(t.Kind), t.Description, t.Hook, string(t.Input), t.EventType, string(where), t.Cron, t.Zone, t.RunsAs, t.Project, t.Classification, t.sealed,
		flag(t.Enabled), t.EnabledBy, db.Instant(t.EnabledAt), t.Stopped, t.Revision, t.CreatedAt.UnixMicro(), t.CreatedBy, t.UpdatedAt.UnixMicro(), t.UpdatedBy, db.Instant(t.NextAt))
	if err == nil && n == 0 {
		return caos.Errorf(caos.Conflict, "there is a trigger of this name already").WithField("name").WithHint("choose another name, or change that one with PUT")
	}
	return err
}

// update writes the definition of a row, and leaves its history alone.
func (t *Trigger) update(tx *db.Tx, from int64) error {
	where, err := json.Marshal(t.Where)
	if err != nil {
		return fmt.Errorf("encode conditions: %w", err)
	}
	tx.ExecOne(changedMeanwhile(), `UPDATE triggers SET description=$1, hook_id=$2, input=$3, event_type=$4, conditions=$5, cron=$6, zone=$7, runs_as=$8,
		project=$9, classification=$10, secret=$11, enabled=$12, enabled_by=$13, enabled_at=$14, stopped=$15, revision=$16, updated_at=$17, updated_by=$18, next_at=$19
		WHERE name=$20 AND revision=$21`,
		t.Description, t.Hook, string(t.Input), t.EventType, string(where), t.Cron, t.Zone, t.RunsAs,
		t.Project, t.Classification, t.sealed, flag(t.Enabled), t.EnabledBy, db.Instant(t.EnabledAt), t.Stopped, t.Revision, t.UpdatedAt.UnixMicro(), t.UpdatedBy, db.Instant(t.NextAt),
		t.Name, from)
	return tx.Err()
}

func changedMeanwhile() error {
	return caos.Errorf(caos.Conflict, "the trigger was changed by somebody else").WithField("If-Match").WithHint("read it again and repeat the change")
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
