package importer

import (
	"encoding/json"
	"fmt"
	"strings"

	"caos"
	"caos/internal/readiness"
	"caos/internal/registry"
)

// checklists puts what a readiness table states beside the items of the checklists that are
// open for its baseline. It never answers an item: a table proves nothing.
func (a *applying) checklists() error {
	if a.opt.Readiness == nil {
		return nil
	}
	ids, err := a.opt.Readiness.ChecklistsOf(a.tx, registry.BaselineID(a.modelID, a.version))
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		a.note("%s has no readiness checklist yet; import the table again once it has: the rows then stand beside its items", registry.BaselineID(a.modelID, a.version))
		return nil
	}
	stated := make([]readiness.StatedItem, len(a.plan.items))
	for i := range a.plan.items {
		if stated[i], err = statedItem(a.plan.Name, a.plan.items[i].body); err != nil {
			return err
		}
	}
	by := readiness.By{Actor: a.by.Actor, RecordedBy: a.by.RecordedBy, Execution: a.by.Execution, Hook: a.by.Hook}
	for _, id := range ids {
		done, err := a.opt.Readiness.ImportItems(a.tx, id, stated, by)
		if err != nil {
			return err
		}
		items := a.mapped(readinessSection, "checklist items")
		for _, item := range done.Changed {
			items.count(registry.Updated)
			a.touched(registry.Updated, id+"/"+item)
		}
		items.Unchanged += done.Meant - len(done.Changed)
		for _, name := range done.Unknown {
			a.note("no item of %s is called %q; the row is kept as a statement alone", id, clip(name))
		}
	}
	return nil
}

// statedItem is a row of a readiness table as a checklist item keeps it.
func statedItem(file string, body []byte) (readiness.StatedItem, error) {
	var row map[string]string
	if err := json.Unmarshal(body, &row); err != nil {
		return readiness.StatedItem{}, caos.Wrap(caos.Internal, err, "a row cannot be read again")
	}
	parts := []string{"status " + row["Status"]}
	for _, f := range []struct{ column, word string }{{"Owner", "owner "}, {"Target_Date", "date "}} {
		if v := strings.TrimSpace(row[f.column]); v != "" {
			parts = append(parts, f.word+v)
		}
	}
	return readiness.StatedItem{Name: row["Category"] + " / " + row["Item"], Note: plainText(row["Notes"]),
		Stated: plainText(fmt.Sprintf("%s states: %s", file, strings.Join(parts, ", ")))}, nil
}

// plainText is a cell without characters that control how others are shown: an item's note
// has none.
func plainText(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if readiness.Hidden(r) && r != '\n' {
			return ' '
		}
		return r
	}, s))
}
