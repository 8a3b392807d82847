package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
)

// A passport that was begun under revision 1, which knew no chain, is made under the present
// one. The file is what revision 1 stored after its first commit, and is never changed.
func TestDPPCreateGoldenState(t *testing.T) {
	ctx := context.Background()
	url, dirs := dbtest.URL(t, db.SQLite), newPlaces(t)
	d := &death{point: db.AtCommitted, act: db.Fail, at: 1, now: make(chan struct{})}
	first, err := db.Open(ctx, db.Options{URL: url, Fault: &db.Fault{At: d.fault}, Log: slog.New(slog.DiscardHandler), Budget: dbtest.Budget})
	if err != nil {
		t.Fatal(err)
	}
	w := dirs.open(t, first, true)
	w.sealed(model, "2.1.0", "w=1.25")
	body, err := json.Marshal(dppInput(nil))
	w.ok(err)
	life, dies := context.WithCancel(ctx)
	d.arm(true)
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = w.Submit(life, Request{Hook: dppHook, Body: body, ContentType: "application/json", IdemKey: "once", By: w.as("mlo")}) // a dead process answers nobody
	}()
	<-d.now
	dies()
	w.close()
	<-over
	d.arm(false)
	_ = first.Close()

	second, err := db.Open(ctx, db.Options{URL: url, Budget: dbtest.Budget})
	w.ok(err)
	defer second.Close()
	var id string
	var old golden
	w.ok(second.QueryRow(ctx, `SELECT execution_id FROM executions`).Scan(&id))
	name := filepath.Join("testdata", "states", "dpp_create-r1-collect-metadata.json")
	raw, err := os.ReadFile(name)
	w.ok(err)
	w.ok(json.Unmarshal(bytes.ReplaceAll(raw, []byte("{execution}"), []byte(id)), &old))
	var plain bytes.Buffer
	w.ok(json.Compact(&plain, old.State))
	w.ok(second.Write(ctx, func(tx *db.Tx) error {
		tx.ExecOne(nil, `UPDATE executions SET revision = $1, state_schema = $2, state = $3 WHERE execution_id = $4`, old.Revision, old.Schema, plain.String(), id)
		return nil
	}))
	w = dirs.open(t, second, false)
	defer w.close()
	x := w.await(id)
	if x.Status != engine.Succeeded || x.Revision != 2 || !strings.Contains(string(x.Output), "DPP-NN-FCS-001-2.1.0-FREEZE") {
		t.Errorf("%s, revision %d: %s %s", x.Status, x.Revision, failure(x), x.Output)
	}
}
