package alert

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/event"
)

// Emitter is what an alert is announced by: the event outbox.
type Emitter interface {
	Emit(tx *db.Tx, e event.Event) error
}

// The events of an alert. Their subject is the alert's id, their data the alert. An alert
// raised again without getting more severe is not announced again.
const (
	EventRaised       = "caos.alert.raised"
	EventEscalated    = "caos.alert.escalated"
	EventAcknowledged = "caos.alert.acknowledged"
	EventClosed       = "caos.alert.closed"
)

// Store keeps alerts. Its methods may be called from any goroutine.
type Store struct {
	db     *db.DB
	events Emitter
	stamps *caos.Stamper
	now    func() time.Time
}

// New makes a Store. All but now (time.Now when nil) are required.
func New(d *db.DB, events Emitter, stamps *caos.Stamper, now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	return &Store{db: d, events: events, stamps: stamps, now: now}
}

const columns = `alert_id, alert_type, severity, model_id, metric_name, current_value, threshold_value, alert_message, recommended_actions,
	subject, source, project, classification, state, count, raised_at, last_seen_at,
	acknowledged_at, acknowledged_by, closed_at, closed_by, note, version`

// Raise writes an alert in the caller's audited transaction and returns its id. If an alert of the
// same source, subject and metric is not closed yet, that one gets the new values, counts
// one more and its id is returned; it keeps the highest severity it had, and if the new one
// is higher still it is open again even if somebody had acknowledged it.
//
// Errors: Invalid, naming the field.
func (s *Store) Raise(tx *db.Tx, a Alert) (string, error) {
	a, err := a.normalise()
	if err != nil {
		return "", fmt.Errorf("raise alert: %w", err)
	}
	actions, err := json.Marshal(a.RecommendedActions)
	if err != nil {
		return "", fmt.Errorf("raise alert: %w", err)
	}
	at := s.stamps.Next()
	id, rank := "ALERT-"+a.Kind+"-"+caos.Stamp(at), a.Severity.rank()
	old, had, err := s.standing(tx, a)
	if err != nil {
		return "", err
	}
	if had {
		return old.AlertID, s.again(tx, old, a, string(actions))
	}
	// Another node may have raised the same since the look above; its row then wins.
	var stored string
	err = tx.QueryRow(`INSERT INTO alerts (alert_id, alert_type, severity, model_id, metric_name, current_value, threshold_value, alert_message,
			recommended_actions, severity_rank, subject, source, project, classification, state, count, raised_at, last_seen_at,
			acknowledged_by, closed_by, note, version)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 'OPEN', 1, $15, $16, '', '', '', 1)
		ON CONFLICT (source, subject, metric_name) WHERE state <> 'CLOSED'
		DO UPDATE SET count = alerts.count + 1, last_seen_at = excluded.last_seen_at, version = alerts.version + 1
		RETURNING alert_id`,
		id, string(a.AlertType), string(a.Severity), a.ModelID, a.MetricName, number(a.CurrentValue), number(a.ThresholdValue), a.AlertMessage,
		string(actions), rank, a.Subject, a.Source, a.Project, a.Classification, at.UnixMicro(), at.UnixMicro()).Scan(&stored)
	if err != nil {
		return "", fmt.Errorf("raise alert: %w", err)
	}
	if stored != id {
		return stored, nil
	}
	a.AlertID, a.State, a.Count, a.RaisedAt, a.LastSeenAt, a.Version = id, Open, 1, at, at, 1
	return id, s.tell(tx, EventRaised, a)
}

// standing finds the alert that a repetition adds to.
func (s *Store) standing(tx *db.Tx, a Alert) (old Alert, had bool, err error) {
	old, err = scan(tx.QueryRow(`SELECT `+columns+` FROM alerts WHERE source = $1 AND subject = $2 AND metric_name = $3 AND state <> 'CLOSED'`,
		a.Source, a.Subject, a.MetricName).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return old, false, nil
	}
	if err != nil {
		return old, false, fmt.Errorf("raise alert: %w", err)
	}
	return old, true, nil
}

// again adds a repetition to a standing alert.
func (s *Store) again(tx *db.Tx, old, a Alert, actions string) error {
	worse := a.Severity.rank() > old.Severity.rank()
	next := old
	if worse {
		next.Severity = a.Severity
		next.State, next.AcknowledgedAt, next.AcknowledgedBy, next.Note = Open, nil, "", ""
	}
	next.AlertType, next.CurrentValue, next.ThresholdValue = a.AlertType, a.CurrentValue, a.ThresholdValue
	next.AlertMessage, next.RecommendedActions = a.AlertMessage, a.RecommendedActions
	next.Count, next.Version, next.LastSeenAt = old.Count+1, old.Version+1, s.now().UTC()
	tx.ExecOne(caos.Errorf(caos.Unavailable, "alert %s changed meanwhile", old.AlertID), `UPDATE alerts
		SET alert_type = $1, severity = $2, severity_rank = $3, current_value = $4, threshold_value = $5, alert_message = $6,
			recommended_actions = $7, count = count + 1, last_seen_at = $8, state = $9, acknowledged_at = $10, acknowledged_by = $11,
			note = $12, version = version + 1
		WHERE alert_id = $13 AND state <> 'CLOSED'`,
		string(next.AlertType), string(next.Severity), next.Severity.rank(), number(next.CurrentValue), number(next.ThresholdValue), next.AlertMessage,
		actions, next.LastSeenAt.UnixMicro(), string(next.State), micros(next.AcknowledgedAt), next.AcknowledgedBy,
		next.Note, old.AlertID)
	if worse {
		return s.tell(tx, EventEscalated, next)
	}
	return nil
}

// Acknowledge says that by looks after an open alert. The caller has authorised it and
// writes the audit record.
//
// Errors: NotFound; Conflict when it is acknowledged or closed already.
func (s *Store) Acknowledge(tx *db.Tx, id, by, note string) (Alert, error) {
	return s.change(tx, id, func(a *Alert, now time.Time) error {
		if a.State != Open {
			return caos.Errorf(caos.Conflict, "alert %s is %s", id, a.State).WithHint("only an OPEN alert can be acknowledged")
		}
		a.State, a.AcknowledgedAt, a.AcknowledgedBy, a.Note = Acknowledged, &now, by, clip(note, maxMessage)
		return nil
	})
}

// Close ends an alert for a reason; if the trouble comes back it is a new alert. The caller
// has authorised it and writes the audit record.
//
// Errors: NotFound; Invalid without a reason; Conflict when it is closed already.
func (s *Store) Close(tx *db.Tx, id, by, reason string) (Alert, error) {
	if strings.TrimSpace(reason) == "" {
		return Alert{}, caos.Errorf(caos.Invalid, "an alert is closed for a reason").WithField("reason").WithHint("say what was found and done")
	}
	return s.change(tx, id, func(a *Alert, now time.Time) error {
		if a.State == Closed {
			return caos.Errorf(caos.Conflict, "alert %s was closed by %s", id, a.ClosedBy)
		}
		a.State, a.ClosedAt, a.ClosedBy, a.Note = Closed, &now, by, clip(reason, maxMessage)
		return nil
	})
}

func (s *Store) change(tx *db.Tx, id string, decide func(*Alert, time.Time) error) (Alert, error) {
	if !alertID.MatchString(id) {
		return Alert{}, notFound(id, sql.ErrNoRows)
	}
	a, err := scan(tx.QueryRow(`SELECT `+columns+` FROM alerts WHERE alert_id = $1`, id).Scan)
	if err != nil {
		return a, notFound(id, err)
	}
	if err := decide(&a, s.now().UTC()); err != nil {
		return a, err
	}
	a.Version++
	tx.ExecOne(caos.Errorf(caos.Conflict, "alert %s changed meanwhile", id).WithHint("read it again"), `UPDATE alerts
		SET state = $1, acknowledged_at = $2, acknowledged_by = $3, closed_at = $4, closed_by = $5, note = $6, version = $7
		WHERE alert_id = $8 AND version = $9`,
		string(a.State), micros(a.AcknowledgedAt), a.AcknowledgedBy, micros(a.ClosedAt), a.ClosedBy, a.Note, a.Version, id, a.Version-1)
	kind := EventAcknowledged
	if a.State == Closed {
		kind = EventClosed
	}
	return a, s.tell(tx, kind, a)
}

func (s *Store) tell(tx *db.Tx, kind string, a Alert) error {
	return s.events.Emit(tx, event.Event{Type: kind, Subject: a.AlertID, Time: s.now(), Project: a.Project, Classification: a.Classification, Data: a})
}

// Get reads an alert. Error: NotFound.
func (s *Store) Get(ctx context.Context, id string) (Alert, error) {
	if !alertID.MatchString(id) {
		return Alert{}, notFound(id, sql.ErrNoRows)
	}
	a, err := scan(s.db.QueryRow(ctx, `SELECT `+columns+` FROM alerts WHERE alert_id = $1`, id).Scan)
	if err != nil {
		return a, notFound(id, err)
	}
	return a, nil
}

func notFound(id string, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return caos.Errorf(caos.NotFound, "there is no alert %q", clip(id, 80)).WithField("alert_id")
	}
	return fmt.Errorf("read alert: %w", err)
}

// Filter chooses alerts. Empty fields choose all.
type Filter struct {
	State       State
	Unclosed    bool // OPEN or ACKNOWLEDGED
	Type        Type
	MinSeverity Severity // this one and worse
	ModelID     string
	Source      string
	Subject     string
	Project     string
	Limit       int // 0 means 50, the most is 500
}

// List reads alerts, the newest first. next is the cursor of the following page, "" after
// the last. Error: Invalid for a cursor that no List gave.
func (s *Store) List(ctx context.Context, f Filter, cursor string) (page []Alert, next string, err error) {
	var where []string
	var args []any
	add := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(args)), 1)
		}
		where = append(where, condition)
	}
	for column, value := range map[string]string{
		"state": string(f.State), "alert_type": string(f.Type), "model_id": f.ModelID, "source": f.Source, "subject": f.Subject, "project": f.Project,
	} {
		if value == "" {
			continue
		}
		if value != clip(value, maxWord) {
			return nil, "", invalid(column, "not a text that an alert could have")
		}
		add(column+" = ?", value)
	}
	if f.Unclosed {
		add("state <> 'CLOSED'")
	}
	if f.MinSeverity != "" {
		if f.MinSeverity.rank() == 0 {
			return nil, "", invalid("severity", "%q is not a severity", clip(string(f.MinSeverity), 40)).WithHint("one of LOW, MEDIUM, HIGH, CRITICAL")
		}
		add("severity_rank >= ?", f.MinSeverity.rank())
	}
	if cursor != "" {
		at, id, err := db.ParseCursor(cursor)
		if err != nil {
			return nil, "", err
		}
		add("(raised_at, alert_id) < (?, ?)", at, id)
	}
	if f.Limit <= 0 {
		f.Limit = 50
	}
	f.Limit = min(f.Limit, 500)
	query := `SELECT ` + columns + ` FROM alerts`
	if len(where) > 0 {
		query += ` WHERE ` + strings.Join(where, " AND ")
	}
	query += fmt.Sprintf(` ORDER BY raised_at DESC, alert_id DESC LIMIT %d`, f.Limit+1)
	rows, err := s.db.Query(ctx, query, args...)
	if err != nil {
		return nil, "", fmt.Errorf("list alerts: %w", err)
	}
	defer rows.Close()
	page = []Alert{}
	for rows.Next() {
		a, err := scan(rows.Scan)
		if err != nil {
			return nil, "", fmt.Errorf("list alerts: %w", err)
		}
		page = append(page, a)
	}
	if err := rows.Err(); err != nil {
		return nil, "", fmt.Errorf("list alerts: %w", err)
	}
	if len(page) > f.Limit {
		page = page[:f.Limit]
		last := page[f.Limit-1]
		next = db.Cursor(last.RaisedAt, last.AlertID)
	}
	return page, next, nil
}

// CountOpen counts the alerts that are not closed, by severity, for metrics.
func (s *Store) CountOpen(ctx context.Context) (map[Severity]int64, error) {
	rows, err := s.db.Query(ctx, `SELECT severity, count(*) FROM alerts WHERE state <> 'CLOSED' GROUP BY severity`)
	if err != nil {
		return nil, fmt.Errorf("count alerts: %w", err)
	}
	defer rows.Close()
	counts := map[Severity]int64{Low: 0, Medium: 0, High: 0, Critical: 0}
	for rows.Next() {
		var sev string
		var n int64
		if err := rows.Scan(&sev, &n); err != nil {
			return nil, fmt.Errorf("count alerts: %w", err)
		}
		counts[Severity(sev)] = n
	}
	return counts, rows.Err()
}

func scan(read func(...any) error) (Alert, error) {
	var a Alert
	var kind, severity, state, actions string
	var raised, seen int64
	var acknowledged, closed sql.NullInt64
	var current, threshold sql.NullFloat64
	err := read(&a.AlertID, &kind, &severity, &a.ModelID, &a.MetricName, &current, &threshold, &a.AlertMessage, &actions,
		&a.Subject, &a.Source, &a.Project, &a.Classification, &state, &a.Count, &raised, &seen,
		&acknowledged, &a.AcknowledgedBy, &closed, &a.ClosedBy, &a.Note, &a.Version)
	if err != nil {
		return a, err
	}
	a.AlertType, a.Severity, a.State = Type(kind), Severity(severity), State(state)
	a.RaisedAt, a.LastSeenAt = time.UnixMicro(raised).UTC(), time.UnixMicro(seen).UTC()
	a.AcknowledgedAt, a.ClosedAt = moment(acknowledged), moment(closed)
	if current.Valid {
		a.CurrentValue = &current.Float64
	}
	if threshold.Valid {
		a.ThresholdValue = &threshold.Float64
	}
	// The word in the id stays what it was.
	a.Kind, _, _ = strings.Cut(strings.TrimPrefix(a.AlertID, "ALERT-"), "-")
	if err := json.Unmarshal([]byte(actions), &a.RecommendedActions); err != nil {
		return a, fmt.Errorf("recommended actions of %s: %w", a.AlertID, err)
	}
	return a, nil
}

func moment(v sql.NullInt64) *time.Time {
	if !v.Valid {
		return nil
	}
	t := time.UnixMicro(v.Int64).UTC()
	return &t
}

func number(v *float64) any {
	if v == nil {
		return nil
	}
	return *v
}

func micros(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UnixMicro()
}
