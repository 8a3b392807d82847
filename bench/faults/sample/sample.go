// Package sample is what the fault campaigns run: hooks with every kind of step, and for
// each hook the traces that one whole run of it leaves.
package sample

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/engine"
)

// What node and campaign agree on.
const (
	Origin    = "caos.test/faults"
	Published = "checkpoints.txt"
	Topic     = "go"
	// Table has no unique key: an effect that happened twice is seen twice.
	Table = `CREATE TABLE IF NOT EXISTS effects (trace TEXT NOT NULL)`
)

// Answer is the node's answer about an execution.
type Answer struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Topic  string `json:"topic"`
}

// The hooks.
const (
	Plain  = "CAOS.PROD.TEST.PLAIN"  // nothing but InTx: ends in its submission
	Mixed  = "CAOS.PROD.TEST.MIXED"  // InTx and Call in turn
	Spread = "CAOS.PROD.TEST.SPREAD" // Each and Repeat
	Ask    = "CAOS.PROD.TEST.ASK"    // waits for a decision
	Timed  = "CAOS.PROD.TEST.TIMED"  // waits for a moment
	Parent = "CAOS.PROD.TEST.PARENT" // waits for a child, which is Mixed
	Flaky  = "CAOS.PROD.TEST.FLAKY"  // has a Call whose first attempt fails after its effect
)

// Hooks lists those that clients submit, the frequent ones more than once.
func Hooks() []string {
	return []string{Plain, Mixed, Spread, Ask, Mixed, Timed, Parent, Flaky, Plain, Mixed}
}

type state struct {
	Done   []string `json:"done"`
	Rounds int      `json:"rounds"`
}

type (
	step = engine.Step[state]
	tx   = db.Tx
	run  = engine.Run
)

func effect(t *tx, r *run, s *state) error {
	s.Done = append(s.Done, r.Key())
	t.Exec(`INSERT INTO effects (trace) VALUES ($1)`, r.Key())
	return nil
}

func inTx(n int, name string) step { return engine.InTx(n, name, name, effect) }

// Flows makes the hooks. Calls append their key to outside, which keeps it however the
// process ends, and take up to 30 ms.
func Flows(outside *os.File) []*engine.Flow {
	do := func(ctx context.Context, r *run) error {
		if _, err := outside.WriteString(r.Key() + "\n"); err != nil {
			return caos.Wrap(caos.Unavailable, err, "the outside")
		}
		t := time.NewTimer(time.Duration(rand.IntN(30)) * time.Millisecond)
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	call := func(n int, name string) step {
		return engine.Call(n, name, name, func(ctx context.Context, r *run, s *state) error {
			err := do(ctx, r)
			s.Done = append(s.Done, r.Key())
			return err
		})
	}
	flaky := engine.Call(2, "flaky", "flaky", func(ctx context.Context, r *run, _ *state) error {
		if err := do(ctx, r); err != nil || r.Attempt > 1 {
			return err
		}
		return caos.Errorf(caos.Unavailable, "the first attempt fails")
	})
	return []*engine.Flow{
		flow(Plain, inTx(1, "a"), inTx(2, "b"), inTx(3, "c")),
		flow(Mixed, inTx(1, "a"), call(2, "b"), inTx(3, "c"), call(4, "d"), inTx(5, "e"), call(6, "f"), inTx(7, "g")),
		flow(Spread, inTx(1, "a"),
			engine.Each("items", func(*state) []string { return []string{"x", "y", "z"} }, call(2, "push"), inTx(3, "note")),
			engine.Repeat("rounds", func(s *state) bool { return s.Rounds >= 2 }, call(4, "bake"),
				engine.InTx(5, "count", "count", func(t *tx, r *run, s *state) error { s.Rounds++; return effect(t, r, s) })),
			inTx(6, "end")),
		flow(Ask, inTx(1, "a"), call(2, "b"),
			engine.Wait(3, "ask", "ask",
				func(*tx, *run, *state) (engine.WaitSpec, error) { return engine.WaitSpec{Topic: Topic}, nil },
				func(t *tx, r *run, s *state, _ engine.Wake) (bool, error) { return true, effect(t, r, s) }),
			inTx(4, "end")),
		flow(Timed, inTx(1, "a"),
			engine.Wait(2, "sleep", "sleep",
				func(_ *tx, r *run, _ *state) (engine.WaitSpec, error) {
					return engine.WaitSpec{Until: r.Now.Add(150 * time.Millisecond)}, nil
				},
				func(t *tx, r *run, s *state, _ engine.Wake) (bool, error) { return true, effect(t, r, s) }),
			call(3, "b"), inTx(4, "end")),
		flow(Parent, inTx(1, "a"),
			engine.Child(2, "child", "child",
				func(*tx, *run, *state) (engine.ChildSpec, error) {
					return engine.ChildSpec{Hook: Mixed, Input: struct{}{}}, nil
				},
				func(t *tx, r *run, s *state, c *engine.Execution) error {
					if c.Status != engine.Succeeded {
						return caos.Errorf(caos.Conflict, "the child is %s", c.Status)
					}
					return effect(t, r, s)
				}),
			inTx(3, "end")),
		flow(Flaky, inTx(1, "a"), flaky, inTx(3, "end")),
	}
}

func flow(hook string, steps ...step) *engine.Flow {
	return engine.Plan[state]{
		Hook: hook, Version: "1.0.0", Revision: 1, Schema: 1,
		Retry: engine.RetryPolicy{MaxAttempts: 5, InitialIntervalMS: 20, MaxIntervalMS: 100, Factor: 2},
		Begin: func(*run, json.RawMessage) (*state, error) { return &state{}, nil },
		Steps: steps, Output: func(s *state) any { return map[string]int{"done": len(s.Done)} },
	}.Flow()
}

// Expect lists the traces that one whole run of a hook leaves in the database and outside.
func Expect(hook, id string) (effects, calls []string) {
	in := map[string][2][]string{
		Plain:  {{"a", "b", "c"}, nil},
		Mixed:  {{"a", "c", "e", "g"}, {"b", "d", "f"}},
		Spread: {{"a", "note/x", "note/y", "note/z", "count/1", "count/2", "end"}, {"push/x", "push/y", "push/z", "bake/1", "bake/2"}},
		Ask:    {{"a", "ask", "end"}, {"b"}},
		Timed:  {{"a", "sleep", "end"}, {"b"}},
		Parent: {{"a", "child", "end"}, nil},
		Flaky:  {{"a", "end"}, {"flaky"}},
	}[hook]
	key := func(list []string) []string {
		out := slices.Clone(list)
		for i, s := range out {
			out[i] = fmt.Sprintf("%s/%s", id, s)
		}
		return out
	}
	return key(in[0]), key(in[1])
}

// Least is how often each Call of a hook happens when nothing goes wrong.
func Least(hook string) int {
	if hook == Flaky {
		return 2
	}
	return 1
}
