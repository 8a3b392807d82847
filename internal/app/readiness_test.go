package app

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/readiness"
	"caos/internal/registry"
)

// Whoever asked for a freeze of a version, or did for another, has a hand in it, although the
// freeze came to nothing; one of another version does not.
func TestHands(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		n := launch(t, dialect)
		ctx := context.Background()
		n.freeze("NN-FCS-001", "2.1.0", map[string]string{"config.json": "{}"})
		for version, people := range map[string][3]string{"2.1.0": {"rita", "sven", "enno"}, "2.2.0": {"other1", "other2", "other3"}} {
			in, err := json.Marshal(map[string]string{"model_id": "NN-FCS-001", "model_version": version, "vv_report_id": "95-00-07-01-001", "vv_status": "PASSED",
				"freeze_requester": people[0], "freeze_rationale": "none"})
			if err != nil {
				t.Fatal(err)
			}
			_, err = n.engine.Submit(ctx, engine.Submission{ID: n.engine.NewID("EXEC-"), Hook: freezeHook, Input: in, RequestedBy: people[0], ModelID: "NN-FCS-001",
				By: caos.Principal{ID: people[1], Roles: []string{"service"}, EnabledBy: people[2]}})
			if err != nil {
				t.Fatal(err)
			}
		}
		got := map[string]string{}
		err := n.db.Update(ctx, func(tx *db.Tx) error {
			list, err := n.hands(tx, "NN-FCS-001", "2.1.0")
			for _, h := range list {
				got[h.Person] += h.Part + " "
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 4 || got["rita"] != "FREEZE_REQUESTER " || got["sven"] != "FREEZE_REQUESTER_RECORDER " || got["enno"] != got["sven"] || got["admin"] == "" {
			t.Errorf("%v", got)
		}
		if err := n.db.Update(ctx, func(tx *db.Tx) error { _, err := n.hands(tx, "NN-NOT-001", "2.1.0"); return err }); caos.KindOf(err) != caos.NotFound {
			t.Errorf("a model that is not there: %v", err)
		}
	})
}

// What counts as evidence of a version: its baseline and freeze, and records about it.
func TestKnownEvidence(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		n := launch(t, dialect)
		ctx := context.Background()
		id := n.freeze("NN-FCS-001", "2.1.0", map[string]string{"config.json": "{}"})
		record := func(what auditlog.Type, resource string) string {
			var r auditlog.Receipt
			if err := n.db.Update(ctx, func(tx *db.Tx) (err error) {
				r, err = n.log.Append(tx, auditlog.Record{Type: what, Actor: "admin", RecordedBy: "admin", Resources: []string{resource}})
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return r.ID
		}
		about, refused, other := record(auditlog.Data, id), record(auditlog.Access, id), record(auditlog.Data, "NN-FCS-002")
		good := []string{id, "FREEZE-NN-FCS-001-2.1.0", about}
		bad := []string{"BL-FCS-9.9.9", "FREEZE-NN-FCS-002-2.1.0", "EVID-NOT-1", "DPP-NN-FCS-001-2.1.0-FREEZE", "95-00-07-01-001", "AUDIT-20200101T000000.000000Z", refused, other, "x"}
		var missing, elsewhere []string
		err := n.db.Update(ctx, func(tx *db.Tx) (err error) {
			s := readiness.Subject{ModelID: "NN-FCS-001", Version: "2.1.0", BaselineID: id}
			if missing, err = n.knownEvidence(tx, s, slices.Concat(good, bad)); err != nil {
				return err
			}
			s.Version, s.BaselineID = "2.2.0", "BL-FCS-2.2.0"
			elsewhere, err = n.knownEvidence(tx, s, good)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(missing, bad) {
			t.Errorf("missing: %v", missing)
		}
		if !slices.Equal(elsewhere, good) {
			t.Errorf("of another version: only %v are missing", elsewhere)
		}
	})
}

// What was signed becomes RELEASED, once; a version that was retired meanwhile, or that no
// review found ready, refuses the signature.
func TestMarkReleased(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		n := launch(t, dialect)
		ctx := context.Background()
		s := readiness.Subject{ModelID: "NN-FCS-001", Version: "2.1.0", BaselineID: n.freeze("NN-FCS-001", "2.1.0", map[string]string{"config.json": "{}"})}
		mark := func() error {
			return n.db.Update(ctx, func(tx *db.Tx) error { return n.markReleased(tx, s, readiness.By{Actor: "admin"}) })
		}
		move := func(to registry.State) {
			t.Helper()
			if err := n.db.Update(ctx, func(tx *db.Tx) error {
				_, err := n.registry.Transition(tx, s.ModelID, s.Version, to, registry.By{Actor: "admin"})
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		if err := mark(); caos.KindOf(err) != caos.Conflict {
			t.Errorf("a version that was only frozen: %v", err)
		}
		move(registry.ProductionReady)
		for range 2 {
			if err := mark(); err != nil {
				t.Fatal(err)
			}
		}
		if v, err := n.registry.Version(ctx, s.ModelID, s.Version); err != nil || v.State != registry.Released {
			t.Errorf("it is %v: %v", v, err)
		}
		move(registry.Retired)
		if err := mark(); caos.KindOf(err) != caos.Conflict {
			t.Errorf("a version that was retired: %v", err)
		}
	})
}
