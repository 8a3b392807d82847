package trigger

import (
	"testing"

	"caos"
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
