package hook

import (
	"context"
	"testing"
	"time"

	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
)

// The block of a transaction vanished between the word that it is final and the look at it,
// and the keeper has seen that. The next word that it is final ends the wait: an execution that
// let it pass slept until monitorNet was over. Mutation that makes this fail:
// awaitConfirmation that keeps the doubt.
func TestSecondWordIsHeard(t *testing.T) {
	t.Parallel()
	p := newPlaces(t)
	p.net = newNetwork(t, -1) // blocks by hand
	w := p.open(t, dbtest.Open(t, db.SQLite), true)
	w.registerRegistry(nil)
	x, err := w.send("mlo", contractInput(p.net, nil))
	w.ok(err)
	w.reaches(x.ID, "await-confirmation")
	var id string
	w.ok(w.db.QueryRow(context.Background(), `SELECT transaction_id FROM chain_transactions`).Scan(&id))
	h := &blockchainContract{chain: w.chain, objects: w.objects}
	run := &engine.Run{Now: time.Now()}
	in := func(fn func(tx *db.Tx) error) {
		t.Helper()
		w.ok(w.db.Write(context.Background(), fn))
	}
	waits := func(s *contractState) (spec engine.WaitSpec) {
		in(func(tx *db.Tx) (err error) {
			spec, err = h.awaitConfirmation(tx, run, s)
			return err
		})
		return spec
	}
	hears := func(s *contractState) (ends bool) {
		in(func(tx *db.Tx) (err error) {
			ends, err = h.lookAgain(tx, run, s, engine.Wake{Kind: engine.WakeSignal})
			return err
		})
		return ends
	}
	doubtful := func() *contractState {
		return &contractState{TransactionID: id, Verdict: chainVerdict{Status: txConfirmed, Doubt: true}}
	}

	s := doubtful()
	if spec := waits(s); !spec.Signal || spec.Until.Sub(run.Now) != monitorNet {
		t.Fatalf("of a transaction in no block: %+v", spec)
	}
	if hears(s) {
		t.Error("a word about something else ended the wait")
	}
	p.net.node.Mine(2)
	if x, _ := w.end(x.ID); x.Status != engine.Succeeded {
		t.Fatalf("%s: %s", x.Status, failure(x))
	}
	if !hears(s) {
		t.Error("the word that it is final again was not heard")
	}
	// While the keeper still believes in the block, its word says nothing: the wait is short.
	if s = doubtful(); hears(s) {
		t.Error("what is in doubt counts as final")
	}
	if spec := waits(s); spec.Until.Sub(run.Now) > time.Minute {
		t.Errorf("in doubt: %+v", spec)
	}
}
