package trigger

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/event"
)

// What comes with CAOS is well formed, comes disabled, and is left as people made it.
// Mutation that makes this fail: Ship that updates a row which is there.
func TestShipped(t *testing.T) {
	names := map[string]bool{}
	for _, d := range Shipped() {
		if _, err := d.normalise().compile(); err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
		if d.Enabled || names[d.Name] {
			t.Errorf("%s is enabled, or there twice", d.Name)
		}
		names[d.Name] = true
	}
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		d := Shipped()[0]
		d.Hook = "CAOS.PROD.CERT.AUDIT" // one that this world has
		d.Enabled = true
		ok(t, w.svc.Ship(ctx, d))
		got := must(w.svc.Get(ctx, d.Name))(t)
		if got.Enabled || got.CreatedBy != "caos" || got.Revision != 1 {
			t.Errorf("shipped: %+v", got)
		}
		changed := got.Definition
		changed.Description = "ours"
		must(w.svc.Update(ctx, Change{By: mo(), IfRevision: -1}, changed))(t)
		ok(t, w.svc.Ship(ctx, d))
		if again := must(w.svc.Get(ctx, d.Name))(t); again.Description != "ours" || again.Revision != 2 {
			t.Errorf("after the next start: %+v", again)
		}
		d.Hook = "CAOS.PROD.NO.SUCH"
		if err := w.svc.Ship(ctx, d); caos.KindOf(err) != caos.Invalid {
			t.Errorf("a hook that is not here: %v", err)
		}
	})
}

// Of what a pipeline published, what has a contract is submitted for validation; the rest is
// passed over, without a refusal and its alert.
// Mutation that makes this fail: a trigger without its condition.
func TestShippedValidation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.cursor()
		w.svc.o.Hooks = everyHook{w.hooks}
		at := slices.IndexFunc(Shipped(), func(d Definition) bool { return d.Name == "pipeline-validation" })
		d := Shipped()[at]
		ok(t, w.svc.Ship(ctx, d))
		w.enable(d.Name)
		w.hooks.fail(func(Submission) error { return caos.Errorf(caos.Unavailable, "this world validates nothing") }, nil)
		for n, contract := range []string{"95-00-09-02-004", "", "95-00-09-02-005"} {
			e := event.Event{ID: fmt.Sprintf("EVENT-%d", n), Type: "caos.pipeline.completed", Subject: "DP-DLY-001", Data: map[string]any{"execution_id": "EXEC-1",
				"dataset_uri": fmt.Sprintf("https://caos.test/v1/datasets/DP-DLY-001.t/versions/%d", n), "has_contract": contract != "", "validation_rules_id": contract}}
			w.hear(e)
			ok(t, w.d.Write(ctx, func(tx *db.Tx) error {
				names, err := w.svc.Listening(tx, e)
				if heard := slices.Equal(names, []string{d.Name}); heard != (contract != "") {
					t.Errorf("contract %q is heard by %q", contract, names)
				}
				return err
			}))
		}
		ok(t, w.settle())
		var inputs []string
		for _, sub := range w.hooks.asked {
			inputs = append(inputs, string(sub.Input))
		}
		slices.Sort(inputs) // firings of one moment have no order
		if len(inputs) != 2 || !strings.Contains(inputs[0], `"validation_rules_id":"95-00-09-02-004"`) || !strings.Contains(inputs[1], `"95-00-09-02-005"`) ||
			w.alarm(d.Name, "trigger_refused") != nil || w.get(d.Name).Fired != 2 {
			t.Errorf("submitted %q, %+v", inputs, w.get(d.Name))
		}
	})
}
