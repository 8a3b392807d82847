package hook

import (
	"context"
	"strings"
	"testing"

	"caos"
	"caos/internal/auth"
	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/registry"
)

// classify gives a model another classification.
func (w *world) classify(id, level string) {
	w.t.Helper()
	w.ok(w.db.Update(context.Background(), func(tx *db.Tx) error {
		_, err := w.registry.UpdateModel(tx, id, registry.ModelChange{Classification: &level}, 0, registry.By{Actor: "olga", RecordedBy: "olga"})
		return err
	}))
}

// Anybody reads the chain: a classified model is not named there, neither for its passports
// nor because somebody types its id, nor if it was classified while the call waited.
func TestClassifiedModelStaysOffTheChain(t *testing.T) {
	t.Parallel()
	w := chainWorld(t, db.SQLite, func(n *testNetwork) { n.passports = true })
	n, ctx := w.dirs.net, context.Background()
	w.registerRegistry(nil)
	w.sealed(model, "2.1.0", "w=1")

	t.Run("classified while the call waits", func(t *testing.T) {
		n.proxy.Down(true)
		x, err := w.send("mlo", contractInput(n, nil))
		w.ok(err)
		w.reaches(x.ID, "pack-call")
		w.classify(model, "Restricted")
		n.proxy.Down(false)
		if x, _ := w.end(x.ID); x.Status == engine.Succeeded || !strings.Contains(failure(x), ruleChainPublic) {
			t.Errorf("%s: %s", x.Status, failure(x))
		}
	})
	t.Run("its passport", func(t *testing.T) {
		for _, change := range []func(map[string]any){nil, func(m map[string]any) { param("modelId", "a model")(m); param("version", model)(m) }} {
			_, err := w.send("mlo", contractInput(n, change))
			if e := caos.AsError(err); e.Rule != "classified-input" || strings.Contains(e.Error(), "Restricted") {
				t.Errorf("typed by hand, by somebody who is not cleared: %v", err)
			}
		}
		w.ok(w.auth.SetScope(ctx, w.as("admin"), "mlo", auth.Scope{AllProjects: true, Clearances: []string{"Restricted"}}))
		var out DPPCreateOutput
		x := w.done("mlo", dppHook, dppInput(nil), &out)
		row, err := w.dpp.Get(ctx, *out.DPPRecordID)
		w.ok(err)
		s, err := w.chain.SubjectOf(ctx, chain.KindPassport, row.PassportID)
		if err != nil || s != nil || len(x.Children) != 0 || !strings.Contains(row.ChainReason, "classified Restricted") || !strings.Contains(string(x.Output), `"blockchain_confirmed":false`) {
			t.Errorf("%+v %v %s %s", s, err, row.ChainReason, x.Output)
		}
	})
	t.Run("typed by hand", func(t *testing.T) {
		for field, change := range map[string]func(map[string]any){"modelId": nil, "version": func(m map[string]any) { param("modelId", "a model")(m); param("version", model)(m) }} {
			_, err := w.send("mlo", contractInput(n, change))
			if e := caos.AsError(err); e.Kind != caos.Denied || e.Rule != ruleChainPublic || e.Field != "function_parameters."+field {
				t.Errorf("%s: %v", field, err)
			}
		}
		x, err := w.send("mlo", contractInput(n, param("modelId", "NN-ENG-001")))
		w.ok(err)
		if x, _ := w.end(x.ID); x.Status != engine.Succeeded {
			t.Errorf("of another model: %s", failure(x))
		}
	})
	if c := n.recordedOn(t, model); c != 0 {
		t.Errorf("the chain names it %d times", c)
	}
	w.counts(map[string]int{`SELECT COUNT(*) FROM chain_transactions`: 1})
}
