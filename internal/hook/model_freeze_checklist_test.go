package hook

import (
	"context"
	"slices"
	"strings"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/engine"
	"caos/internal/readiness"
)

// checklistOpened checks the checklist that a freeze opens, and that what the freeze has
// shown is complete in it and nothing else.
func checklistOpened(t *testing.T, w *world, x *engine.Execution) {
	t.Helper()
	c, err := w.readiness.Checklist(context.Background(), "CHK-DLY-1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if c.BaselineID != "BL-DLY-1.0.0" || c.TemplateID != "95-00-09-01-005" || len(c.Items) != 32 || c.ExecutionID != x.ID || c.SafetyLevel != "DAL-D" || c.CompletedAt != nil ||
		!strings.HasPrefix(c.RootDigest, "SHA256:") || len(c.RootDigest) != 71 {
		t.Errorf("%+v", c)
	}
	shown := map[string]string{"1.1": "", "1.2": dlyReport, "1.3": dlyReport, "1.4": "95-00-07-03-001", "3.1": "95-00-07-02-001", "7.1": "95-00-07-04-001", "8.4": "DPP-NN-DLY-001-1.0.0-FREEZE"}
	for _, i := range c.Items {
		want, complete := shown[i.ItemID]
		if complete != (i.Status == readiness.ItemComplete) || complete && want != "" && !slices.Contains(i.Evidence, want) ||
			complete && i.ItemID != "8.4" && !slices.Contains(i.Evidence, "FREEZE-NN-DLY-001-1.0.0") {
			t.Errorf("%s %s: %s %v", i.ItemID, i.Title, i.Status, i.Evidence)
		}
	}
}

// A checklist that cannot be opened is a finding: the freeze stands.
func TestFreezeWithoutChecklist(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.ready(4 << 10)
		w.do(func(tx *db.Tx) error {
			tx.Exec(`DELETE FROM checklist_templates`)
			return nil
		})
		x, err := w.submit("conny", freezeHook, freezeRequest(nil))
		if err != nil || x.Status != engine.Succeeded || !slices.ContainsFunc(x.Findings, func(f caos.Finding) bool {
			return f.Rule == "checklist-not-opened" && f.Remedy != "" && f.Subject == "BL-DLY-1.0.0"
		}) {
			t.Errorf("%v %+v %v", x.Status, x.Findings, err)
		}
		if _, err := w.registry.Industrialisation(context.Background(), dly, dlyVersion); err != nil {
			t.Error(err)
		}
	})
}
