package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// A run waits for its turn for as long as the one ahead takes, and the binary may be another
// one afterwards: what revision 1 stored is gone on with. A file is never changed; -update
// writes one that is not there.
func TestDataPipelineGoldenState(t *testing.T) {
	t.Parallel()
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	w.write("flights.csv", flightsCSV)
	w.registerData(w.daily(""), dailyRules)
	held, err := w.engine.Allocator().Acquire(context.Background(), holdAll(w))
	if err != nil {
		t.Fatal(err)
	}
	defer held()
	first, err := w.submitAsync(pipelineRequest(nil))
	if err != nil {
		t.Fatal(err)
	}
	w.reaches(first.ID, "allocate-compute")
	second, err := w.submitAsync(pipelineRequest(nil))
	if err != nil {
		t.Fatal(err)
	}
	w.reaches(second.ID, "await-turn")
	places := []string{w.files, "{files}", w.dirs.targets, "{targets}", second.ID, "{execution}", first.ID, "{ahead}"}
	back := make([]string, len(places))
	for i := 0; i < len(places); i += 2 {
		back[i], back[i+1] = places[i+1], places[i]
	}
	ctx, name := context.Background(), filepath.Join("testdata", "states", "data_pipeline-r1-await-turn.json")
	var now golden
	var state, cursor string
	if err := w.db.QueryRow(ctx, `SELECT revision, state_schema, state, cursor FROM executions WHERE execution_id = $1`, second.ID).Scan(&now.Revision, &now.Schema, &state, &cursor); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(name)
	if os.IsNotExist(err) && *update {
		now.State, now.Cursor = json.RawMessage(strings.NewReplacer(places...).Replace(state)), json.RawMessage(strings.NewReplacer(places...).Replace(cursor))
		out, err := json.MarshalIndent(now, "", "  ")
		if err == nil {
			err = os.WriteFile(name, append(out, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		raw = append(out, '\n')
	} else if err != nil {
		t.Fatal(err)
	}
	var old golden
	if err := json.Unmarshal([]byte(strings.NewReplacer(back...).Replace(string(raw))), &old); err != nil {
		t.Fatal(err)
	}
	var plain bytes.Buffer
	if err := json.Compact(&plain, old.State); err != nil {
		t.Fatal(err)
	}
	if err := w.db.Write(ctx, func(tx *db.Tx) error { // the position is its own: it names the moment at which it looks again
		tx.ExecOne(nil, `UPDATE executions SET revision = $1, state_schema = $2, state = $3 WHERE execution_id = $4`, old.Revision, old.Schema, plain.String(), second.ID)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	held()
	w.ended(w.await(first.ID), pipelineSuccess)
	if out := w.ended(w.await(second.ID), pipelineSuccess); *out.RecordsProcessed != 4 || out.ExecutionID != second.ID {
		t.Errorf("%+v", out)
	}
}
