package dataset

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
)

// minute is a moment as the databases keep it.
func minute(n int) time.Time { return time.Date(2026, 11, 23, 11, n, 0, 0, time.UTC) }

func aRun(id, status string) Run {
	r := Run{ExecutionID: id, PipelineID: "DP-A-001", Version: "1.0", Mode: ModeOnDemand, Status: status, Project: "P1", Classification: "Internal", StartedAt: minute(0)}
	if status != RunRunning {
		end := minute(1)
		r.EndedAt = &end
	}
	return r
}

func (k *shelf) take(execution string) string {
	k.t.Helper()
	var ahead string
	k.change(func(tx *db.Tx) (err error) {
		ahead, err = k.TakeTurn(tx, "DP-A-001", execution)
		return err
	})
	return ahead
}

func (k *shelf) leave(execution string) {
	k.t.Helper()
	k.change(func(tx *db.Tx) error { return k.LeaveTurn(tx, execution) })
}

func TestTurns(t *testing.T) {
	eachShelf(t, func(t *testing.T, k *shelf) {
		dead := map[string]bool{}
		k.ended = func(_ *db.Tx, id string) (bool, error) { return dead[id], nil }
		for _, step := range []struct{ execution, ahead string }{
			{"EXEC-1", ""}, {"EXEC-2", "EXEC-1"}, {"EXEC-3", "EXEC-2"}, {"EXEC-1", ""}, {"EXEC-2", "EXEC-1"}, {"EXEC-4", "EXEC-3"},
		} {
			if got := k.take(step.execution); got != step.ahead {
				t.Errorf("%s waits for %q, want %q", step.execution, got, step.ahead)
			}
		}
		// Who waits may give up, or die; those behind wait for who is left.
		k.leave("EXEC-3")
		if got := k.take("EXEC-4"); got != "EXEC-2" {
			t.Error(got)
		}
		dead["EXEC-2"] = true
		if got := k.take("EXEC-4"); got != "EXEC-1" {
			t.Error(got)
		}
		dead["EXEC-1"] = true // it ended, and never said so
		if got := k.take("EXEC-4"); got != "" {
			t.Error(got)
		}
		k.leave("EXEC-4")
		k.leave("EXEC-4")
		var left int
		k.ok(k.d.QueryRow(t.Context(), `SELECT COUNT(*) FROM pipeline_turns`).Scan(&left))
		if left != 0 {
			t.Errorf("%d turns are left", left)
		}
		// Pipelines do not wait for each other, and no execution is of two.
		k.take("EXEC-5")
		k.change(func(tx *db.Tx) error {
			ahead, err := k.TakeTurn(tx, "DP-B-001", "EXEC-6")
			if ahead != "" {
				t.Error(ahead)
			}
			return err
		})
		k.refused(caos.Internal, "", "", func(tx *db.Tx) error {
			_, err := k.TakeTurn(tx, "DP-B-001", "EXEC-5")
			return err
		})
		// A refused transaction leaves no place.
		if err := k.d.Update(t.Context(), func(tx *db.Tx) error {
			if _, err := k.TakeTurn(tx, "DP-A-001", "EXEC-7"); err != nil {
				return err
			}
			return caos.Errorf(caos.Conflict, "no")
		}); err == nil {
			t.Error("it was committed")
		}
		if got := k.take("EXEC-8"); got != "EXEC-5" {
			t.Error(got)
		}
	})
}

// One run at a time, in the order in which they came, also when some die in their turn.
func TestTurnsAtOnce(t *testing.T) {
	eachShelf(t, func(t *testing.T, k *shelf) {
		var dead sync.Map
		k.ended = func(_ *db.Tx, id string) (bool, error) {
			_, over := dead.Load(id)
			return over, nil
		}
		const runs = 12
		var inside, most atomic.Int64
		var order []string
		var all sync.WaitGroup
		var mu sync.Mutex
		for i := range runs {
			id := fmt.Sprintf("EXEC-%02d", i)
			k.take(id) // they came in this order
			all.Go(func() {
				for {
					var ahead string
					err := k.d.Update(context.Background(), func(tx *db.Tx) (err error) {
						ahead, err = k.TakeTurn(tx, "DP-A-001", id)
						return err
					})
					if err != nil {
						t.Error(err)
						return
					}
					if ahead == "" {
						break
					}
				}
				n := inside.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				mu.Lock()
				order = append(order, id)
				mu.Unlock()
				inside.Add(-1)
				if i%3 == 1 {
					dead.Store(id, true) // without leaving
				} else if err := k.d.Update(context.Background(), func(tx *db.Tx) error { return k.LeaveTurn(tx, id) }); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		want := make([]string, runs)
		for i := range want {
			want[i] = fmt.Sprintf("EXEC-%02d", i)
		}
		if most.Load() != 1 || strings.Join(order, " ") != strings.Join(want, " ") {
			t.Errorf("%d at once, in the order %v", most.Load(), order)
		}
	})
}

func TestTurnsAreBounded(t *testing.T) {
	eachShelf(t, func(t *testing.T, k *shelf) {
		k.change(func(tx *db.Tx) error {
			for i := range maxTurns {
				tx.Exec(`INSERT INTO pipeline_turns (execution_id, pipeline_id, place) VALUES ($1, $2, $3)`, fmt.Sprintf("EXEC-%d", i), "DP-A-001", i)
			}
			return tx.Err()
		})
		k.refused(caos.TooLarge, "pipeline-turns", "pipeline_id", func(tx *db.Tx) error {
			_, err := k.TakeTurn(tx, "DP-A-001", "EXEC-x")
			return err
		})
		// All of them are dead: one look clears the way.
		k.ended = func(*db.Tx, string) (bool, error) { return true, nil }
		if got := k.take("EXEC-999"); got != "" {
			t.Error(got)
		}
		k.take("EXEC-x")
	})
}

func TestRuns(t *testing.T) {
	eachShelf(t, func(t *testing.T, k *shelf) {
		ctx := t.Context()
		put := func(r Run) {
			t.Helper()
			k.change(func(tx *db.Tx) error { return k.PutRun(tx, r) })
		}
		put(aRun("EXEC-1", RunRunning))
		if r, err := k.RunOf(ctx, "EXEC-1"); err != nil || r.EndedAt != nil || r.Score != nil || r.Outputs == nil || r.Issues == nil || r.Contracts == nil {
			t.Errorf("%+v %v", r, err)
		}
		score := 0.97
		done := aRun("EXEC-1", RunPartial)
		done.Records, done.Score, done.Seconds, done.Outputs, done.Interval = 3_000_000, &score, 12.5, []string{"file:///x"}, "2001-01-01/2001-02-01"
		for i := range 300 {
			done.Issues = append(done.Issues, fmt.Sprint("issue ", i, strings.Repeat(" é\x00", 400)))
		}
		put(done)
		put(done) // the commit's answer was lost, and it is done again
		r, err := k.RunOf(ctx, "EXEC-1")
		if err != nil || r.Status != RunPartial || r.Records != 3_000_000 || *r.Score != score || r.Seconds != 12.5 || !r.EndedAt.Equal(minute(1)) || !r.StartedAt.Equal(minute(0)) {
			t.Errorf("%+v %v", r, err)
		}
		if len(r.Issues) != maxIssues || r.Issues[maxIssues-1] != "and 101 more" || len(r.Issues[0]) > maxIssue {
			t.Errorf("%d issues, %q, %d bytes", len(r.Issues), r.Issues[len(r.Issues)-1], len(r.Issues[0]))
		}
		other := aRun("EXEC-1", RunRunning)
		other.PipelineID = "DP-B-001"
		k.refused(caos.Internal, "", "", func(tx *db.Tx) error { return k.PutRun(tx, other) })
		for _, bad := range []func(r *Run){
			func(r *Run) { r.Status = "DONE" }, func(r *Run) { r.Mode = "" }, func(r *Run) { r.EndedAt = nil }, func(r *Run) { r.ExecutionID = "" },
			func(r *Run) { nan := math.NaN(); r.Score = &nan }, func(r *Run) { over := 1.1; r.Score = &over }, func(r *Run) { r.Seconds = math.Inf(1) }, func(r *Run) { r.Records = -1 },
		} {
			r := aRun("EXEC-2", RunFailed)
			bad(&r)
			if err := k.d.Update(ctx, func(tx *db.Tx) error { return k.PutRun(tx, r) }); caos.KindOf(err) != caos.Invalid {
				t.Errorf("%+v: %v", r, err)
			}
		}
		for i := 2; i < 7; i++ {
			r := aRun(fmt.Sprint("EXEC-", i), []string{RunFailed, RunSuccess}[i%2])
			r.StartedAt = minute(i / 2)
			put(r)
		}
		var got []string
		for cursor := ""; ; {
			list, next, err := k.Runs(ctx, RunFilter{PipelineID: "DP-A-001", Limit: 2}, cursor)
			k.ok(err)
			got = append(got, collect(list, func(r *Run) string { return r.ExecutionID })...)
			if cursor = next; next == "" {
				break
			}
		}
		if strings.Join(got, " ") != "EXEC-6 EXEC-5 EXEC-4 EXEC-3 EXEC-2 EXEC-1" {
			t.Error(got)
		}
		list, _, err := k.Runs(ctx, RunFilter{Status: RunSuccess, Version: "1.0", Mode: ModeOnDemand, Project: "P1"}, "")
		k.ok(err)
		if len(list) != 2 {
			t.Error(list)
		}
		if list, _, err = k.Runs(ctx, RunFilter{Interval: "2001-01-01/2001-02-01"}, ""); err != nil || len(list) != 1 {
			t.Error(list, err)
		}
		if _, err := k.RunOf(ctx, "EXEC-none\x00"); caos.KindOf(err) != caos.NotFound {
			t.Error(err)
		}
	})
}
