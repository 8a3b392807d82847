package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/db"
)

// Filter selects executions; empty fields select all.
type Filter struct {
	Hook, Model, RequestedBy, Parent string
	Projects                         []string // any of these; nil for every project
	Status                           Status
}

// MaxPage is the most executions that List returns at once.
const MaxPage = 500

// List returns executions, newest first, and the cursor of the next page ("" at the end).
// The cursor is opaque; limit 0 means 50.
func (e *Engine) List(ctx context.Context, f Filter, cursor string, limit int) ([]Execution, string, error) {
	if limit <= 0 {
		limit = 50
	}
	limit = min(limit, MaxPage)
	var where []string
	var args []any
	add := func(cond string, v ...any) {
		for _, x := range v {
			args = append(args, x)
			cond = strings.Replace(cond, "?", fmt.Sprintf("$%d", len(args)), 1)
		}
		where = append(where, cond)
	}
	for _, c := range []struct{ column, value string }{
		{"hook_id", f.Hook}, {"model_id", f.Model}, {"requested_by", f.RequestedBy}, {"parent", f.Parent}, {"status", string(f.Status)},
	} {
		if c.value != "" {
			add(c.column+"=?", c.value)
		}
	}
	if f.Projects != nil {
		marks := make([]string, len(f.Projects))
		vals := make([]any, len(f.Projects))
		for i, p := range f.Projects {
			marks[i], vals[i] = "?", p
		}
		add("project IN ("+strings.Join(append(marks, "''"), ",")+")", vals...)
	}
	if cursor != "" {
		at, id, err := db.ParseCursor(cursor)
		if err != nil {
			return nil, "", err
		}
		add("(created_at<? OR (created_at=? AND execution_id<?))", at, at, id)
	}
	q := `SELECT ` + rowColumns + ` FROM executions`
	if len(where) > 0 {
		q += ` WHERE ` + strings.Join(where, " AND ")
	}
	q += fmt.Sprintf(` ORDER BY created_at DESC, execution_id DESC LIMIT %d`, limit+1)
	rows, err := e.db.Query(ctx, q, args...)
	if err != nil {
		return nil, "", fmt.Errorf("list executions: %w", err)
	}
	defer rows.Close()
	var out []*row
	for rows.Next() {
		r, err := scanRow(rows.Scan)
		if err != nil {
			return nil, "", err
		}
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, "", fmt.Errorf("list executions: %w", err)
	}
	next := ""
	if len(out) > limit {
		last := out[limit-1]
		next = db.Cursor(last.created, last.ID)
		out = out[:limit]
	}
	list := make([]Execution, len(out))
	for i, r := range out {
		list[i] = r.Execution
	}
	return list, next, nil
}

// Stats are what §11.2 of the specification asks to be monitored of a hook: success and
// failure, latency, errors and versions, over the executions of the last day (at most the
// newest 10,000).
type Stats struct {
	Hook        string         `json:"hook_id"`
	Since       string         `json:"since"`
	Executions  int            `json:"executions"`
	ByStatus    map[string]int `json:"by_status"`
	SuccessRate *float64       `json:"success_rate"` // of the ended ones; null when none ended
	LatencyMS   Quantiles      `json:"latency_ms"`   // submission to end, waits included
	RunningMS   Quantiles      `json:"running_ms"`   // time spent in steps outside the database
	ByVersion   map[string]int `json:"by_version"`
	Errors      map[string]int `json:"errors"` // by kind and failed step
	Steps       []StepStats    `json:"steps"`
}

// StepStats are the figures of one step.
type StepStats struct {
	Version  string `json:"version"`
	Number   int    `json:"number"`
	Step     string `json:"step"`
	Done     int    `json:"done"`
	Failed   int    `json:"failed"`
	Attempts int    `json:"attempts"`
}

// Quantiles of a duration in milliseconds; all zero when there is nothing to measure.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func quantiles(d []time.Duration) Quantiles {
	if len(d) == 0 {
		return Quantiles{}
	}
	slices.Sort(d)
	at := func(q float64) float64 { return float64(d[int(q*float64(len(d)-1))]) / float64(time.Millisecond) }
	return Quantiles{P50: at(.5), P95: at(.95), P99: at(.99), Max: at(1)}
}

// Stats computes the figures of one hook.
func (e *Engine) Stats(ctx context.Context, hook string) (Stats, error) {
	since := e.now().Add(-24 * time.Hour)
	st := Stats{Hook: hook, Since: caos.FormatTime(since), ByStatus: map[string]int{}, ByVersion: map[string]int{}, Errors: map[string]int{}, Steps: []StepStats{}}
	rows, err := e.db.Query(ctx, `SELECT `+rowColumns+` FROM executions WHERE hook_id=$1 AND created_at>=$2 ORDER BY created_at DESC LIMIT 10000`, hook, since.UnixMicro())
	if err != nil {
		return st, fmt.Errorf("statistics of %s: %w", hook, err)
	}
	defer rows.Close()
	var latency, running []time.Duration
	var ended, good int
	steps := map[string]*StepStats{}
	for rows.Next() {
		r, err := scanRow(rows.Scan)
		if err != nil {
			return st, err
		}
		st.Executions++
		st.ByStatus[string(r.Status)]++
		st.ByVersion[r.HookVersion]++
		if r.Status.Final() {
			ended++
			latency = append(latency, r.finished.Sub(r.created))
			running = append(running, r.running)
		}
		if r.Status == Succeeded {
			good++
		}
		for _, s := range r.Steps {
			key := r.HookVersion + "\x00" + s.Step
			if steps[key] == nil {
				steps[key] = &StepStats{Version: r.HookVersion, Number: s.Number, Step: s.Step}
			}
			steps[key].Attempts += s.Attempt
			switch s.Status {
			case StepDone:
				steps[key].Done++
			case StepFailed:
				steps[key].Failed++
				if r.Error != nil {
					st.Errors[string(r.Error.Kind)+" at "+s.Step]++
				}
			}
		}
	}
	if ended > 0 {
		rate := float64(good) / float64(ended)
		st.SuccessRate = &rate
	}
	st.LatencyMS, st.RunningMS = quantiles(latency), quantiles(running)
	for _, s := range steps {
		st.Steps = append(st.Steps, *s)
	}
	slices.SortFunc(st.Steps, func(a, b StepStats) int {
		if c := strings.Compare(a.Version, b.Version); c != 0 {
			return c
		}
		if a.Number != b.Number {
			return a.Number - b.Number
		}
		return strings.Compare(a.Step, b.Step)
	})
	return st, rows.Err()
}
