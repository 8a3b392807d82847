package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/report"
)

// golden is a stored execution as a released revision left it: a review waits for days, and
// the binary may be another one afterwards.
type golden struct {
	Revision int             `json:"revision"`
	Schema   int             `json:"schema"`
	State    json.RawMessage `json:"state"`
	Cursor   json.RawMessage `json:"cursor"`
}

// Every released revision's waiting reviews are resumed by this binary: the state and the
// position that it stored are put in the place of what this one stored, and the review goes
// on from there. A file is never changed; a new revision adds its own (-update writes those
// that are not there).
func TestModelPRRGoldenStates(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"collect-votes", "close-conditions"} {
		t.Run(step, func(t *testing.T) {
			url := dbtest.URL(t, db.SQLite)
			w := newWorld(t, openAt(t, url))
			w.reviewable()
			x := w.voting(nil)
			vote := func() {
				for _, who := range []string{"bo", "bea", "carl"} {
					w.must(w.cast(x, who, report.Conditional, w.condition("Show the alarm")))
				}
				w.until(x.ID, "close-conditions", engine.StepWaiting)
			}
			if step == "close-conditions" {
				vote()
			}
			name := filepath.Join("testdata", "states", "model_prr-r1-"+step+".json")
			w.transplant(x.ID, name)
			w = w.restart(url, 0)
			if step == "collect-votes" {
				vote()
			}
			for _, c := range w.review(dlyPRR).Conditions {
				w.must(w.meet(x, "quin", c.ConditionID))
			}
			if _, out := w.ends(x, engine.Succeeded); *out.PRRDecision != report.Approved {
				t.Errorf("%+v", out)
			}
		})
	}
}

// transplant puts a stored state and position into an execution that waits at the same step.
// The moments that it waits for are its own.
func (w *world) transplant(id, name string) {
	w.t.Helper()
	ctx := context.Background()
	var now golden
	var state, cursor string
	if err := w.db.QueryRow(ctx, `SELECT revision, state_schema, state, cursor FROM executions WHERE execution_id = $1`, id).Scan(&now.Revision, &now.Schema, &state, &cursor); err != nil {
		w.t.Fatal(err)
	}
	now.State, now.Cursor = json.RawMessage(state), json.RawMessage(cursor)
	raw, err := os.ReadFile(name)
	if os.IsNotExist(err) && *update {
		out, err := json.MarshalIndent(now, "", "  ")
		if err == nil {
			err = os.MkdirAll(filepath.Dir(name), 0o755)
		}
		if err == nil {
			err = os.WriteFile(name, append(out, '\n'), 0o644)
		}
		if err != nil {
			w.t.Fatal(err)
		}
		return
	}
	var old golden
	if err == nil {
		err = json.Unmarshal(raw, &old)
	}
	var was, is map[string]any
	if err == nil {
		err = json.Unmarshal(old.Cursor, &was)
	}
	if err == nil {
		err = json.Unmarshal(now.Cursor, &is)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	was["wait"] = is["wait"]
	position, err := json.Marshal(was)
	if err != nil {
		w.t.Fatal(err)
	}
	var plain bytes.Buffer
	if err := json.Compact(&plain, old.State); err != nil {
		w.t.Fatal(err)
	}
	if err := w.db.Write(ctx, func(tx *db.Tx) error {
		tx.ExecOne(nil, `UPDATE executions SET revision = $1, state_schema = $2, state = $3, cursor = $4 WHERE execution_id = $5`, old.Revision, old.Schema, plain.String(), string(position), id)
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
}
