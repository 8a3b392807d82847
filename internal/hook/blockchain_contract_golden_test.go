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

// An execution waits for its block for as long as the chain takes, and the binary may be
// another one afterwards: what revision 1 stored is gone on with. A file is never changed;
// -update writes one that is not there.
func TestBlockchainContractGoldenState(t *testing.T) {
	t.Parallel()
	p := newPlaces(t)
	p.net = newNetwork(t, -1)
	w := p.open(t, dbtest.Open(t, db.SQLite), true)
	k := w.registerRegistry(nil)
	x, err := w.send("mlo", contractInput(p.net, nil))
	w.ok(err)
	w.reaches(x.ID, "await-confirmation")
	ctx, name := context.Background(), filepath.Join("testdata", "states", "blockchain_contract-r1-await-confirmation.json")
	var now golden
	var state, cursor string
	w.ok(w.db.QueryRow(ctx, `SELECT revision, state_schema, state, cursor FROM executions WHERE execution_id = $1`, x.ID).Scan(&now.Revision, &now.Schema, &state, &cursor))
	var at contractState
	w.ok(json.Unmarshal([]byte(state), &at))
	places := []string{p.net.registry.Hex(), "{registry}", k.ContractID, "{contract}", at.TransactionID, "{transaction}", *at.Out.TransactionID, "{hash}"}
	back := make([]string, len(places))
	for i := 0; i < len(places); i += 2 {
		back[i], back[i+1] = places[i+1], places[i]
	}
	raw, err := os.ReadFile(name)
	if os.IsNotExist(err) && *update {
		now.State, now.Cursor = json.RawMessage(strings.NewReplacer(places...).Replace(state)), json.RawMessage(cursor)
		raw, err = json.MarshalIndent(now, "", "  ")
		w.ok(err)
		raw = append(raw, '\n')
		w.ok(os.WriteFile(name, raw, 0o644))
	}
	w.ok(err)
	var old golden
	w.ok(json.Unmarshal([]byte(strings.NewReplacer(back...).Replace(string(raw))), &old))
	var plain bytes.Buffer
	w.ok(json.Compact(&plain, old.State))
	w.ok(w.db.Write(ctx, func(tx *db.Tx) error { // the position is its own: it names the moment at which it looks again
		tx.ExecOne(nil, `UPDATE executions SET revision = $1, state_schema = $2, state = $3 WHERE execution_id = $4`, old.Revision, old.Schema, plain.String(), x.ID)
		return nil
	}))
	p.net.node.Mine(2)
	w.confirmedOnce(x.ID)
}
