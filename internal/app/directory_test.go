package app

import (
	"context"
	"slices"
	"testing"

	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/hook"
)

// An audit report may name whatever the registry has; what it has not is unknown.
func TestKnownResources(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		n := launch(t, dialect)
		id := n.freeze("NN-AAA-001", "1.0.0", map[string]string{"a.txt": "the first"})
		d := &directory{auth: n.auth, log: n.log, evidence: n.evidence, registry: n.registry, dpp: n.dpp, hooks: func() []*hook.Hook { return n.hooks }}
		known := []string{"NN-AAA-001", "NN-AAA-001@1.0.0", id, "FREEZE-NN-AAA-001-1.0.0", "admin", "CAOS.PROD.MODEL.FREEZE"}
		strange := []string{"NN-BBB-001", "NN-AAA-001@2.0.0", "NN-AAA-001@", "BL-BBB-1.0.0", "DPP-NN-AAA-001-1.0.0-FREEZE", "95-00-07-01-001", "nobody"}
		err := n.db.Update(context.Background(), func(tx *db.Tx) error {
			got, err := d.UnknownResources(tx, append(slices.Clone(known), strange...))
			if err == nil && !slices.Equal(got, strange) {
				t.Errorf("unknown: %q, want %q", got, strange)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
