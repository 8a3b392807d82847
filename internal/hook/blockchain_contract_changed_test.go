package hook

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/engine"
)

// A registration that says something else than when the call was made ends the call: it would
// go out by the wrong account, for the wrong registration, or mean something else.
func TestRegistrationChangesInFlight(t *testing.T) {
	t.Parallel()
	w := chainWorld(t, db.SQLite, nil)
	n, ctx := w.dirs.net, context.Background()
	k := w.registerRegistry(nil)
	replace := func(change func(*chain.Contract)) func(tx *db.Tx) error {
		return func(tx *db.Tx) error {
			old, err := w.chain.ContractIn(tx, k.ContractID)
			if err != nil {
				return err
			}
			next := *old
			next.Functions = append([]chain.Allowed(nil), old.Functions...)
			change(&next)
			k, err = w.chain.Replace(tx, k.ContractID, 0, next, chain.By{Actor: "conny"})
			return err
		}
	}
	for _, c := range []struct {
		name   string
		change func(tx *db.Tx) error
		fails  bool
	}{
		{"another name", replace(func(k *chain.Contract) { k.Name = "the registry" }), false},
		{"another account", replace(func(k *chain.Contract) { k.Functions[0].Account = "other" }), true},
		{"names of parameters in another order", replace(func(k *chain.Contract) {
			k.ABI = json.RawMessage(strings.NewReplacer(`"modelId"`, `"version"`, `"version"`, `"modelId"`).Replace(string(k.ABI)))
			k.Functions[0].Account = "recorder"
		}), true},
		{"registered anew", func(tx *db.Tx) error {
			again, err := w.chain.ContractIn(tx, k.ContractID)
			if err == nil {
				_, err = w.chain.Retire(tx, k.ContractID, 0, "again", chain.By{Actor: "conny"})
			}
			if err == nil {
				k, err = w.chain.Register(tx, *again, chain.By{Actor: "conny"})
			}
			return err
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			n.proxy.Down(true)
			x, err := w.send("mlo", contractInput(n, param("version", "of "+c.name)))
			w.ok(err)
			w.reaches(x.ID, "pack-call")
			w.eventually("the call was made", func() bool {
				x, err := w.engine.Get(ctx, x.ID)
				w.ok(err)
				return x.Steps[len(x.Steps)-1].Step == "try-call"
			})
			w.ok(w.db.Update(ctx, c.change))
			n.proxy.Down(false)
			x, _ = w.end(x.ID)
			if failed := x.Status != engine.Succeeded; failed != c.fails || failed && !strings.Contains(failure(x), ruleRegistrationChanged) {
				t.Errorf("%s: %s", x.Status, failure(x))
			}
		})
	}
	w.counts(map[string]int{`SELECT COUNT(*) FROM chain_transactions`: 1})
}
