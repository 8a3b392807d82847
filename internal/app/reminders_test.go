package app

import (
	"context"
	"strings"
	"sync"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/notify"
	"caos/internal/readiness"
	"caos/internal/registry"
)

// checklist opens the readiness checklist of a version that is frozen without gates.
func (n *node) checklist(model, version string) *readiness.Checklist {
	n.t.Helper()
	id := n.freeze(model, version, map[string]string{"config.json": "{}"})
	var c *readiness.Checklist
	err := n.db.Update(context.Background(), func(tx *db.Tx) (err error) {
		c, err = n.readiness.OpenChecklist(tx, readiness.ShippedTemplate, readiness.Subject{ModelID: model, Version: version, BaselineID: id, SafetyLevel: "DAL-D"}, readiness.By{Actor: "admin"})
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

// Reminders reach people once, however often and by however many they are sent.
func TestReminders(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		n := launch(t, dialect)
		ctx := context.Background()
		c := n.checklist("NN-FCS-001", "2.1.0")
		owner, due := "admin", n.now().UTC().AddDate(0, 0, 1).Format("2006-01-02")
		assign := func(item string) {
			t.Helper()
			if err := n.db.Update(ctx, func(tx *db.Tx) error {
				_, err := n.readiness.UpdateItem(tx, readiness.ItemRef{ChecklistID: c.ChecklistID, ItemID: item}, readiness.ItemChange{Owner: &owner, DueOn: &due}, 0, readiness.By{Actor: "admin"})
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		told := func() []string {
			t.Helper()
			list, _, err := n.notifier.List(ctx, "admin", notify.Filter{}, "")
			if err != nil {
				t.Fatal(err)
			}
			out := []string{}
			for _, one := range list {
				if one.Source == "reminders" {
					out = append(out, one.Subject+"\n"+one.Body)
				}
			}
			return out
		}
		assign("2.1")
		assign("2.2")
		var wait sync.WaitGroup
		for range 4 {
			wait.Go(func() {
				if _, err := n.remind(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		list := told()
		if len(list) != 1 || !strings.HasPrefix(list[0], "Reminder: 2 things are due") || !strings.Contains(list[0], "Item 2.1 of CHK-FCS-2.1.0 is due tomorrow") ||
			!strings.Contains(list[0], "Item 2.2 of CHK-FCS-2.1.0") {
			t.Errorf("%q", list)
		}
		assign("3.2")
		if sent, err := n.remind(ctx); err != nil || sent != 1 {
			t.Errorf("%d %v", sent, err)
		}
		if sent, err := n.remind(ctx); err != nil || sent != 0 || len(told()) != 2 {
			t.Errorf("%d %v", sent, err)
		}
	})
}

// In an installation as it runs, an item is completed with what is known about its version
// and with nothing else.
func TestEvidenceOfAnItem(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		n := launch(t, dialect)
		c := n.checklist("NN-FCS-001", "2.1.0")
		other := n.freeze("NN-ENG-001", "1.0.0", map[string]string{"config.json": "{}"})
		complete := func(evidence ...string) error {
			return n.db.Update(context.Background(), func(tx *db.Tx) error {
				_, err := n.readiness.CompleteItem(tx, readiness.ItemRef{ChecklistID: c.ChecklistID, ItemID: "1.1"}, readiness.Completion{Evidence: evidence}, readiness.Proof{}, caos.Principal{ID: "admin"})
				return err
			})
		}
		for _, evidence := range [][]string{{"EVID-20261123T100000.000000Z"}, {other}, {registry.FreezeID("NN-ENG-001", "1.0.0")}, {c.BaselineID, "95-00-07-01-001"}, {"admin"},
			{"NN-FCS-001"}, {c.ChecklistID}, {"DPP-NN-FCS-001-2.1.0-FREEZE"}, {"BL-FCS-9.9.9"}, {"AUDIT-20261123T100000.000000Z"}} {
			if e := caos.AsError(complete(evidence...)); e.Kind != caos.Invalid || e.Rule != readiness.RuleEvidenceKnown {
				t.Errorf("%v: %v", evidence, e)
			}
		}
		if err := complete(c.BaselineID, registry.FreezeID("NN-FCS-001", "2.1.0")); err != nil {
			t.Error(err)
		}
	})
}

// Who may not know of a model any more may not know of its checklist either.
func TestChecklistIsReclassified(t *testing.T) {
	n := launch(t, db.SQLite)
	ctx := context.Background()
	c := n.checklist("NN-FCS-001", "2.1.0")
	restricted := "Restricted"
	if err := n.db.Update(ctx, func(tx *db.Tx) error {
		_, err := n.registry.UpdateModel(tx, "NN-FCS-001", registry.ModelChange{Classification: &restricted}, 0, registry.By{Actor: "admin"})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got, err := n.readiness.Checklist(ctx, c.ChecklistID); err != nil || got.Classification != restricted {
		t.Errorf("%+v %v", got, err)
	}
}
