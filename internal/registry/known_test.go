package registry_test

import (
	"testing"

	"caos/internal/db"
	"caos/internal/registry"
)

func TestKnown(t *testing.T) {
	eachDB(t, func(t *testing.T, f *fixture) {
		f.model(fcs)
		f.version(fcs, v210)
		_, err := f.attach(fcs, v210, "m", "inference", "m")
		f.ok(err)
		f.freeze(fcs, v210)
		_, err = f.register(registry.Document{DocumentID: "95-00-01", Kind: "design"}, "x", anna)
		f.ok(err)
		for id, want := range map[string]bool{
			fcs: true, "NN-FCS-001@2.1.0": true, "BL-FCS-2.1.0": true, "FREEZE-NN-FCS-001-2.1.0": true, "95-00-01": true,
			"NN-FCS-002": false, "NN-FCS-001@9.9.9": false, "x@y": false, "BL-FCS-9.9.9": false, "": false, "a\x00b": false, "\xff": false,
		} {
			var got bool
			f.must(func(tx *db.Tx) (err error) {
				got, err = f.Known(tx, id)
				return err
			})
			if got != want {
				t.Errorf("%q: %v", id, got)
			}
		}
	})
}
