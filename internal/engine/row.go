package engine

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

// row is the executions row: the whole truth about an execution.
type row struct {
	Execution
	schema     int            // of state
	state      []byte         // JSON of the plan's S
	cur        cursor         // position in the plan
	by         caos.Principal // who authenticated the submission
	idem       string         // idempotency key, unique
	bodyHash   string         // of the request, to tell a repeat from a misuse of the key
	lastRecord string         // audit record id of the last commit; settles an unknown COMMIT
	running    time.Duration  // running time used so far
	created    time.Time
	updated    time.Time
	finished   time.Time // zero while not final
}

const rowColumns = `execution_id, hook_id, hook_version, revision, state_schema, status, version,
 input, output, error, findings, steps, children, state, cursor, principal, requested_by,
 parent, model_id, project, idem_key, body_hash, last_record, topic, wake_at, running_us,
 created_at, updated_at, finished_at, classification`

// jsonText marshals v for a TEXT column.
func jsonText(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// args returns the row's values in the order of rowColumns.
func (r *row) args() ([]any, error) {
	var errText, output any
	var enc [6]string
	by := r.by
	by.MFA = "" // a second factor counts for the request that carried it, and not for what follows
	for i, v := range []any{r.Findings, r.Steps, r.Children, r.cur, by, r.Error} {
		s, err := jsonText(v)
		if err != nil {
			return nil, fmt.Errorf("encode execution %s: %w", r.ID, err)
		}
		enc[i] = s
	}
	if r.Error != nil {
		errText = enc[5]
	}
	if r.Output != nil {
		output = string(r.Output)
	}
	return []any{r.ID, r.HookID, r.HookVersion, r.Revision, r.schema, string(r.Status), r.Version,
		string(r.Input), output, errText, enc[0], enc[1], enc[2], string(r.state), enc[3], enc[4], r.RequestedBy,
		r.Parent, r.ModelID, r.Project, r.idem, r.bodyHash, r.lastRecord, r.Topic, micros(r.WakeAt), r.running.Microseconds(),
		r.created.UnixMicro(), r.updated.UnixMicro(), micros(r.finished), r.Classification}, nil
}

// micros is NULL for the zero time.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

func fromMicros(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.UnixMicro(n.Int64).UTC()
}

// scanRow reads one executions row through scan, which is Scan of a row or of rows.
func scanRow(scan func(...any) error) (*row, error) {
	var (
		r                                             row
		status, findings, steps, children, state, cur string
		principal, input                              string
		output, errText                               sql.NullString
		wake, finished                                sql.NullInt64
		runningUS, createdUS, updatedUS               int64
	)
	err := scan(&r.ID, &r.HookID, &r.HookVersion, &r.Revision, &r.schema, &status, &r.Version,
		&input, &output, &errText, &findings, &steps, &children, &state, &cur, &principal, &r.RequestedBy,
		&r.Parent, &r.ModelID, &r.Project, &r.idem, &r.bodyHash, &r.lastRecord, &r.Topic, &wake, &runningUS,
		&createdUS, &updatedUS, &finished, &r.Classification)
	if err != nil {
		return nil, err
	}
	r.Status, r.Input, r.state = Status(status), json.RawMessage(input), []byte(state)
	if output.Valid {
		r.Output = json.RawMessage(output.String)
	}
	if errText.Valid {
		r.Error = new(caos.Error)
		err = errors.Join(err, json.Unmarshal([]byte(errText.String), r.Error))
	}
	err = errors.Join(err, json.Unmarshal([]byte(findings), &r.Findings), json.Unmarshal([]byte(steps), &r.Steps),
		json.Unmarshal([]byte(children), &r.Children), json.Unmarshal([]byte(cur), &r.cur),
		json.Unmarshal([]byte(principal), &r.by))
	if err != nil {
		return nil, fmt.Errorf("read execution %s: %w", r.ID, err)
	}
	r.WakeAt, r.finished = fromMicros(wake), fromMicros(finished)
	r.running = time.Duration(runningUS) * time.Microsecond
	r.created, r.updated = time.UnixMicro(createdUS).UTC(), time.UnixMicro(updatedUS).UTC()
	r.show()
	return &r, nil
}

// show fills the API's forms of what the row holds in its own.
func (r *row) show() {
	r.By = r.by.ID
	r.CreatedAt = caos.FormatTime(r.created)
	r.FinishedAt = nil
	if !r.finished.IsZero() {
		s := caos.FormatTime(r.finished)
		r.FinishedAt = &s
	}
}

// clone copies what a turn changes, so that a turn that is rolled back leaves no trace.
func (r *row) clone() *row {
	c := *r
	c.Findings = append([]caos.Finding{}, r.Findings...)
	c.Children = append([]string{}, r.Children...)
	c.Steps = append([]StepRecord{}, r.Steps...)
	c.cur.Frames = append([]frame{}, r.cur.Frames...)
	for i := range c.cur.Frames {
		c.cur.Frames[i].Items = append([]string(nil), r.cur.Frames[i].Items...)
	}
	if r.cur.Wait != nil {
		w := *r.cur.Wait
		c.cur.Wait = &w
	}
	return &c
}

const insertRow = `INSERT INTO executions (` + rowColumns + `) VALUES
 ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21,$22,$23,$24,$25,$26,$27,$28,$29,$30)`

func (r *row) insert(tx *db.Tx) error {
	args, err := r.args()
	if err != nil {
		return err
	}
	tx.Exec(insertRow, args...)
	return tx.Err()
}

const updateRow = `UPDATE executions SET state_schema=$1, status=$2, version=$3, output=$4, error=$5,
 findings=$6, steps=$7, children=$8, state=$9, cursor=$10, last_record=$11, topic=$12, wake_at=$13,
 running_us=$14, updated_at=$15, finished_at=$16, revision=$17, hook_version=$18
 WHERE execution_id=$19 AND version=$20`

// errStale is returned when somebody else has moved the execution on since it was read.
var errStale = errors.New("execution was changed by somebody else")

// update writes the row if it is still at version from.
func (r *row) update(tx *db.Tx, from int64) error {
	a, err := r.args()
	if err != nil {
		return err
	}
	tx.ExecOne(errStale, updateRow, a[4], a[5], a[6], a[8], a[9], a[10], a[11], a[12], a[13], a[14],
		a[22], a[23], a[24], a[25], a[27], a[28], a[3], a[2], r.ID, from)
	return tx.Err()
}

const selectRow = `SELECT ` + rowColumns + ` FROM executions WHERE execution_id=$1`

// load reads an execution outside a transaction.
func (e *Engine) load(ctx context.Context, id string) (*row, error) {
	r, err := scanRow(e.db.QueryRow(ctx, selectRow, id).Scan)
	return r, notFound(err, id)
}

// loadTx reads an execution inside one.
func loadTx(tx *db.Tx, id string) (*row, error) {
	r, err := scanRow(tx.QueryRow(selectRow, id).Scan)
	return r, notFound(err, id)
}

func notFound(err error, id string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return caos.Errorf(caos.NotFound, "no execution %q", id).WithField("execution_id").
			WithHint("list executions with GET /v1/executions or caos execution list")
	}
	return err
}
