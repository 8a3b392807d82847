package faults

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"caos/bench/faults/sample"
	"caos/internal/auditlog"
	"caos/internal/db"
)

// verdict is a line of the campaign's table.
type verdict struct {
	Name       string
	Kills      int
	Acked      int
	Executions int
	Unfinished int
	Lost       int // acknowledged, and not there or not the one that was named
	Failed     int // ended other than SUCCEEDED
	Doubled    int // InTx effects that happened more than once, submissions that made two
	Missing    int // InTx effects and Calls that did not happen
	Strange    int // effects and Calls that nobody asked for: keys that were not constant
	Repeated   int // Calls that happened more than once, which is allowed
	Calls      int
	Published  int // checkpoints, published ones and those that a witness collected
	LogSize    int64
	Freezes    frozenCount
	Reviews    reviewedCount
	Pipes      pipedCount
	Sends      sentCount
	Problems   []string
	kinds      map[string]int
	Drained    time.Duration // from the last submission's answer to the end of the last execution
	Took       time.Duration
}

func (v *verdict) ok() bool { return len(v.Problems) == 0 }

// counts is what a special campaign counts besides.
func (v *verdict) counts() fmt.Stringer {
	if v.Reviews.Versions > 0 {
		return v.Reviews
	}
	if v.Pipes.Runs > 0 {
		return v.Pipes
	}
	if v.Sends.Asked > 0 {
		return v.Sends
	}
	return v.Freezes
}

// problem notes what is wrong, the first few of each kind.
func (v *verdict) problem(format string, args ...any) {
	if v.kinds == nil {
		v.kinds = map[string]int{}
	}
	if v.kinds[format]++; v.kinds[format] <= 4 {
		v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
	}
}

// witness keeps every checkpoint that it saw, as an outsider who trusts nobody would.
type witness struct {
	mu    sync.Mutex
	notes [][]byte
}

func (w *witness) Publish(context.Context, []byte) error { return nil }
func (w *witness) Last(context.Context, string) ([]byte, error) {
	return nil, nil
}

func (w *witness) All(_ context.Context, fn func([]byte) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.notes {
		if err := fn(n); err != nil {
			return err
		}
	}
	return nil
}

// watch collects checkpoints of all nodes until ctx ends.
func (w *witness) watch(ctx context.Context, k *client) {
	for ctx.Err() == nil {
		for i := range k.c.nodes {
			r, err := k.askNode(i, http.MethodGet, "/checkpoint", "")
			if err != nil || r.status != http.StatusOK {
				continue
			}
			w.mu.Lock()
			if n := len(w.notes); n == 0 || !bytes.Equal(w.notes[n-1], r.body) {
				w.notes = append(w.notes, r.body)
			}
			w.mu.Unlock()
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// drain waits until no execution is left unfinished, and says how long that took.
func drain(ctx context.Context, k *client) time.Duration {
	start := time.Now()
	for ctx.Err() == nil {
		r, err := k.ask(http.MethodGet, "/pending", "")
		if err == nil && r.status == http.StatusOK && strings.TrimSpace(string(r.body)) == "0" {
			break
		}
		pause(ctx, 50*time.Millisecond)
	}
	return time.Since(start)
}

// check looks at what the campaign left: at the database itself, after all nodes have
// ended, and at what Calls did outside.
func check(ctx context.Context, c *cluster, t *traffic, w *witness, v *verdict) error {
	d, err := db.Open(ctx, db.Options{URL: c.url})
	if err != nil {
		return err
	}
	defer d.Close()
	rows, err := executions(ctx, d)
	if err != nil {
		return err
	}
	v.Executions = len(rows)
	checkAcks(t, rows, v)
	if err := checkTraces(ctx, c, d, rows, v); err != nil {
		return err
	}
	if err := checkRecords(ctx, d, rows, v); err != nil {
		return err
	}
	if err := checkLog(ctx, c, d, w, v); err != nil {
		return err
	}
	v.Problems = append(v.Problems, t.problems...)
	return nil
}

// checkLog verifies the log against what was published and what the witness saw.
func checkLog(ctx context.Context, c *cluster, d *db.DB, w *witness, v *verdict) error {
	sum, err := auditlog.Verify(ctx, auditlog.VerifyOptions{DB: d,
		Published: []auditlog.Sink{auditlog.NewFileSink(filepath.Join(c.dir, sample.Published)), w},
		OnProblem: func(p auditlog.Problem) { v.problem("audit verify: %s", p) }})
	if err != nil {
		return err
	}
	v.LogSize, v.Published = sum.Size, sum.Checkpoints
	if sum.Problems > 0 {
		v.problem("audit verify: %d problems", sum.Problems)
	}
	if sum.Checkpoints == 0 {
		v.problem("no checkpoint was published")
	}
	return nil
}

// execution is a row as the check needs it.
type execution struct {
	id, hook, status, idem, parent string
	version                        int64
}

func executions(ctx context.Context, d *db.DB) (map[string]execution, error) {
	rows, err := d.Query(ctx, `SELECT execution_id, hook_id, status, idem_key, COALESCE(parent,''), version FROM executions`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]execution{}
	for rows.Next() {
		var x execution
		if err := rows.Scan(&x.id, &x.hook, &x.status, &x.idem, &x.parent, &x.version); err != nil {
			return nil, err
		}
		out[x.id] = x
	}
	return out, rows.Err()
}

func checkAcks(t *traffic, rows map[string]execution, v *verdict) {
	v.Acked = len(t.acks)
	for key, a := range t.acks {
		if x, ok := rows[a.id]; !ok || x.idem != key {
			v.Lost++
			v.problem("%s was acknowledged as %s, which is not there", key, a.id)
		}
	}
	submitted := 0
	for _, x := range rows {
		if x.parent == "" {
			submitted++
		}
		switch x.status {
		case "SUCCEEDED":
		case "FAILED", "CANCELLED":
			v.Failed++
			v.problem("execution %s of %s is %s", x.id, x.hook, x.status)
		default:
			v.Unfinished++
			v.problem("execution %s of %s is still %s", x.id, x.hook, x.status)
		}
	}
	if n := submitted - int(t.next.Load()); n > 0 {
		v.Doubled += n
		v.problem("%d submissions made %d executions", t.next.Load(), submitted)
	}
}

// stuck notes what can be known of executions that do not end while their nodes run.
func stuck(ctx context.Context, c *cluster, v *verdict) {
	d, err := db.Open(ctx, db.Options{URL: c.url})
	if err != nil {
		v.problem("%v", err)
		return
	}
	defer d.Close()
	rows, err := executions(ctx, d)
	if err != nil {
		v.problem("%v", err)
		return
	}
	for _, x := range rows {
		if x.status != "SUCCEEDED" && x.status != "FAILED" && x.status != "CANCELLED" {
			v.problem("stuck: %s of %s is %s%s", x.id, x.hook, x.status, wakeUp(ctx, d, x))
		}
	}
}

// wakeUp says what is known about when an unfinished execution would have been looked at.
func wakeUp(ctx context.Context, d *db.DB, x execution) string {
	var wake, updated int64
	if err := d.QueryRow(ctx, `SELECT COALESCE(wake_at,0), updated_at FROM executions WHERE execution_id=$1`, x.id).Scan(&wake, &updated); err != nil {
		return err.Error()
	}
	out := fmt.Sprintf(" (version %d, changed at %s, wake-up at %s", x.version, time.UnixMicro(updated).UTC().Format(time.RFC3339Nano), time.UnixMicro(wake).UTC().Format(time.RFC3339Nano))
	if d.Dialect() == db.PostgreSQL {
		var job string
		err := d.QueryRow(ctx, `SELECT COALESCE((SELECT state::text||' since '||created_at||' for '||scheduled_at||' by '||COALESCE(array_to_string(attempted_by,','),'nobody')
 FROM river_job WHERE args->>'id'=$1 ORDER BY finalized_at NULLS FIRST LIMIT 1),'none')`, x.id).Scan(&job)
		if err != nil {
			job = err.Error()
		}
		out += ", job " + job
	}
	return out + ")"
}

// checkTraces compares effects and Calls with what one whole run of each leaves.
func checkTraces(ctx context.Context, c *cluster, d *db.DB, rows map[string]execution, v *verdict) error {
	effects := map[string]int{}
	found, err := d.Query(ctx, `SELECT trace FROM effects`)
	if err != nil {
		return err
	}
	defer found.Close()
	for found.Next() {
		var s string
		if err := found.Scan(&s); err != nil {
			return err
		}
		effects[s]++
	}
	if err := found.Err(); err != nil {
		return err
	}
	calls := map[string]int{}
	for i := range c.nodes {
		text, err := os.ReadFile(filepath.Join(c.dir, "outside-"+strconv.Itoa(i)))
		if err != nil {
			return err
		}
		for _, s := range strings.Fields(string(text)) {
			calls[s]++
		}
	}
	for _, x := range rows {
		wantEffects, wantCalls := sample.Expect(x.hook, x.id)
		for _, k := range wantEffects {
			switch n := effects[k]; {
			case n == 0:
				v.Missing++
				v.problem("the effect %s is missing", k)
			case n > 1:
				v.Doubled += n - 1
				v.problem("the effect %s happened %d times", k, n)
			}
			delete(effects, k)
		}
		for _, k := range wantCalls {
			n, least := calls[k], sample.Least(x.hook)
			if n < least {
				v.Missing++
				v.problem("the Call %s happened %d times of %d", k, n, least)
			} else {
				v.Calls += n
				v.Repeated += n - least
			}
			delete(calls, k)
		}
	}
	for k := range effects {
		v.Strange++
		v.problem("nobody asked for the effect %s", k)
	}
	for k := range calls {
		v.Strange++
		v.problem("nobody asked for the Call %s", k)
	}
	return nil
}

// checkRecords holds that each commit on an execution has one audit record. A parent's
// version also moves when its child ends, without a record.
func checkRecords(ctx context.Context, d *db.DB, rows map[string]execution, v *verdict) error {
	found, err := d.Query(ctx, `SELECT execution, count(*) FROM audit_records WHERE execution <> '' GROUP BY execution`)
	if err != nil {
		return err
	}
	defer found.Close()
	records := map[string]int64{}
	for found.Next() {
		var id string
		var n int64
		if err := found.Scan(&id, &n); err != nil {
			return err
		}
		records[id] = n
	}
	for _, x := range rows {
		n := records[x.id]
		delete(records, x.id)
		if n != x.version && (x.hook != sample.Parent || n > x.version || n == 0) {
			v.problem("execution %s of %s was changed %d times and has %d records", x.id, x.hook, x.version, n)
		}
	}
	for id := range records {
		v.problem("the log speaks of the execution %s, which is not there", id)
	}
	return found.Err()
}
