package readiness

import (
	"cmp"
	"slices"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
)

// StatedItem is what a file from before CAOS says about an item.
type StatedItem struct {
	Name   string // the file's name of it, "Category / Item"; or the item's id or title
	Stated string // the file's words: status, owner, date, and which file
	Note   string // becomes the item's note where there is none
}

// ImportedItems says what became of what a file stated.
type ImportedItems struct {
	ChecklistID string
	Items       map[string]string // the file's name → item id
	Unknown     []string          // names that no item goes by, in the file's order
	Meant       int               // items that the file means
	Changed     []string          // ids of those that changed
}

// ImportItems keeps what a file states beside the items that it means. It never changes a
// status: a file proves nothing. The same statements again change nothing.
func (r *Readiness) ImportItems(tx *db.Tx, checklistID string, stated []StatedItem, by By) (*ImportedItems, error) {
	if len(stated) > maxTemplateItems {
		return nil, caos.Errorf(caos.TooLarge, "more than %d rows for a checklist", maxTemplateItems).WithField("items").WithHint("divide the file")
	}
	c, err := r.ChecklistIn(tx, checklistID)
	if err != nil {
		return nil, err
	}
	t, err := r.TemplateIn(tx, c.TemplateID, c.TemplateVersion)
	if err != nil {
		return nil, err
	}
	out := &ImportedItems{ChecklistID: checklistID, Items: map[string]string{}}
	names, says, notes := t.names(), map[string]string{}, map[string]string{}
	for _, s := range stated {
		if err := cmp.Or(checkText("stated", s.Stated), checkText("note", s.Note)); err != nil {
			return nil, err
		}
		id := names[plainName(s.Name)]
		if id == "" {
			out.Unknown = append(out.Unknown, s.Name)
			continue
		}
		out.Items[s.Name] = id
		if have := says[id]; have == "" {
			says[id], notes[id] = s.Stated, s.Note
		} else if len(have)+1+len(s.Stated) <= maxText { // several rows may mean one item
			says[id] = have + "\n" + s.Stated
		}
	}
	out.Meant = len(says)
	for _, i := range c.Items {
		changed, err := r.stateItem(tx, c, i, says[i.ItemID], notes[i.ItemID])
		if err != nil {
			return nil, err
		}
		if changed {
			out.Changed = append(out.Changed, i.ItemID)
		}
	}
	if len(out.Changed) == 0 {
		return out, nil
	}
	return out, r.record(tx, by, auditlog.Record{Resources: c.resources(), Project: c.Project, Classification: c.Classification,
		Details: map[string]any{"event": "a file's statements put beside checklist items", "items": out.Changed}})
}

// stateItem keeps what a file states about an item; "" is nothing.
func (r *Readiness) stateItem(tx *db.Tx, c *Checklist, i *Item, says, note string) (bool, error) {
	if i.Note != "" {
		note = i.Note
	}
	if says == "" || i.Imported == says && i.Note == note {
		return false, nil
	}
	i.Imported, i.Note = says, note
	return true, r.storeItem(tx, c, i)
}

// names are the names that the items of a template go by, plain, and the ids. A name that
// two items could go by is none.
func (t *Template) names() map[string]string {
	out := map[string]string{}
	add := func(name, id string) {
		if have, there := out[plainName(name)]; there && have != id {
			id = ""
		}
		out[plainName(name)] = id
	}
	for _, g := range t.Groups {
		for _, i := range g.Items {
			for _, name := range slices.Concat([]string{i.ItemID, i.Title, g.Title + " / " + i.Title}, i.AlsoCalled) {
				add(name, i.ItemID)
			}
		}
	}
	return out
}
