package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"caos/internal/readiness"
)

// showing says how much of a checklist is wanted.
type showing struct {
	open        bool
	item, owner string
}

// checklist writes a checklist: how far it is, then what is open, then what is closed.
func (e *environment) checklist(x *readiness.Checklist, s showing) {
	e.line("%s  %s", e.paint.bold(clean(x.ChecklistID)), clean(x.Title))
	e.flow("", "", clean(fmt.Sprintf("%s, baseline %s, template %s %s, opened %s", about(x.ModelID, x.Version), x.BaselineID, x.TemplateID, x.TemplateVersion, day(x.OpenedAt))), e.paint.dim)
	e.line("")
	e.checklistProgress(x)
	shown := slices.DeleteFunc(slices.Clone(x.Items), func(i *readiness.Item) bool { return s.owner != "" && i.Owner != s.owner })
	var open, closed []*readiness.Item
	for _, i := range shown {
		if i.Closed() {
			closed = append(closed, i)
		} else {
			open = append(open, i)
		}
	}
	e.openItems(open)
	if !s.open {
		e.closedItems(closed)
	}
	if len(open) > 0 {
		e.line("")
		e.flow("", "", "! critical: open, it allows no approval. Close one with: caos checklist complete "+clean(x.ChecklistID)+" ITEM", e.paint.dim)
	}
}

// checklistProgress draws how far a checklist is.
func (e *environment) checklistProgress(x *readiness.Checklist) {
	critical, minor := x.Open()
	done := len(x.Items) - len(critical) - len(minor)
	text := ratio(done, len(x.Items)) + " closed"
	switch {
	case len(x.Items) == 0:
		text = e.paint.warn("it has no items")
	case len(critical) > 0:
		text += ", " + e.paint.bad(plural(len(critical), "critical item open", "critical items open"))
	case len(minor) > 0:
		text += ", no critical item open, " + e.paint.warn(plural(len(minor), "minor one", "minor ones"))
	default:
		text += ", " + e.paint.good("nothing is open")
	}
	if len(critical) > 0 && len(minor) > 0 {
		text += ", " + e.paint.warn(number(len(minor))+" minor")
	}
	e.line("%s  %s", e.gauge(done, len(x.Items)), text)
}

// gaugeWidth is how many columns a gauge has.
const gaugeWidth = 24

// gauge draws done of all. It is full only when nothing is missing, and empty only when
// nothing is done.
func (e *environment) gauge(done, all int) string {
	n := 0
	if all > 0 {
		n = done * gaugeWidth / all
		if done > 0 {
			n = max(1, n)
		}
	}
	paint := e.paint.warn
	if n == gaugeWidth {
		paint = e.paint.good
	}
	return paint(strings.Repeat("█", n)) + e.paint.dim(strings.Repeat("░", gaugeWidth-n))
}

// byGroup calls fn for each group of items, in the order in which they come.
func byGroup(items []*readiness.Item, fn func(title string, items []*readiness.Item)) {
	var order []string
	groups := map[string][]*readiness.Item{}
	for _, i := range items {
		if _, ok := groups[i.Group]; !ok {
			order = append(order, i.Group)
		}
		groups[i.Group] = append(groups[i.Group], i)
	}
	for _, id := range order {
		title := id
		if t := groups[id][0].GroupTitle; t != "" {
			title += "  " + t
		}
		fn(title, groups[id])
	}
}

// openItems writes what is open, by group, the critical items of each first.
func (e *environment) openItems(items []*readiness.Item) {
	if len(items) == 0 {
		return
	}
	e.line("")
	e.line("%s", e.paint.bold("OPEN"))
	t := newTiles(e, 6) // mark, item, title, status, owner, due
	for _, i := range items {
		t.measure(t.openRow(i))
	}
	byGroup(items, func(title string, list []*readiness.Item) {
		e.line("%s", e.paint.accent(clean(title)))
		slices.SortStableFunc(list, func(a, b *readiness.Item) int { return rank(a) - rank(b) })
		for _, i := range list {
			row := t.openRow(i)
			due := e.paint.dim
			switch left := daysLeft(i.DueOn, e.now()); {
			case i.DueOn == "":
			case left < 0:
				due = e.paint.bad
			case left <= 7:
				due = e.paint.warn
			}
			t.write(row, []func(string) string{e.paint.bad, asIs, asIs, e.paint.word, asIs, due})
			if i.Imported != "" {
				e.flow("           "+e.paint.dim("file says:")+" ", "             ", clean(i.Imported), e.paint.dim)
			}
		}
	})
}

func rank(i *readiness.Item) int {
	if i.Criticality == readiness.MinorItem {
		return 1
	}
	return 0
}

// closedItems writes what is closed, and what shows it.
func (e *environment) closedItems(items []*readiness.Item) {
	if len(items) == 0 {
		return
	}
	e.line("")
	e.line("%s", e.paint.bold("CLOSED"))
	t := newTiles(e, 5) // mark, item, title, status, shown by
	for _, i := range items {
		t.measure(t.closedRow(i))
	}
	byGroup(items, func(title string, list []*readiness.Item) {
		e.line("%s", e.paint.accent(clean(title)))
		for _, i := range list {
			t.write(t.closedRow(i), []func(string) string{e.paint.good, asIs, asIs, e.paint.dim, e.paint.dim})
		}
	})
}

// tiles are rows of columns, of which the title gives way on a narrow terminal.
type tiles struct {
	e      *environment
	widths []int
}

const tileTitle = 2 // the column that gives way

func newTiles(e *environment, columns int) *tiles { return &tiles{e, make([]int, columns)} }

func (t *tiles) openRow(i *readiness.Item) []string {
	mark := "!"
	if i.Criticality == readiness.MinorItem {
		mark = " "
	}
	due := ""
	if i.DueOn != "" {
		due = i.DueOn + " " + distance(daysLeft(i.DueOn, t.e.now()))
	}
	owner := i.Owner
	if owner == "" {
		owner = "(" + i.OwnerRole + ")"
	}
	return []string{mark, clean(i.ItemID), clean(i.Title), string(i.Status), clean(owner), due}
}

func (t *tiles) closedRow(i *readiness.Item) []string {
	by := strings.Join(i.Evidence, ", ")
	if by == "" && i.DecisionID != "" {
		by = i.DecisionID
	}
	if by == "" {
		by = "by " + i.CompletedBy
	}
	status := "done"
	if i.Status == readiness.ItemNotApplicable {
		status = "n/a"
	}
	return []string{"✓", clean(i.ItemID), clean(i.Title), status, clean(by)}
}

func (t *tiles) measure(row []string) {
	for i, cell := range row {
		t.widths[i] = max(t.widths[i], lipgloss.Width(cell))
	}
}

// write writes a row; a title or a last column that has no room is cut.
func (t *tiles) write(row []string, style []func(string) string) {
	widths := slices.Clone(t.widths)
	for len(widths) > tileTitle+1 && widths[len(widths)-1] == 0 { // no item has one
		widths = widths[:len(widths)-1]
	}
	row = row[:len(widths)]
	if t.e.width > 0 {
		used := 2 + 2*(len(widths)-1)
		for _, w := range widths {
			used += w
		}
		last := len(widths) - 1
		if over := used - t.e.width; over > 0 { // ids of evidence first: they can be had with --item
			give := min(over, max(0, widths[last]-22))
			widths[last] -= give
			over -= give
			widths[tileTitle] = max(16, widths[tileTitle]-over)
		}
	}
	var b strings.Builder
	b.WriteString("  ")
	for i, cell := range row {
		cell = cut(cell, widths[i])
		b.WriteString(style[i](cell))
		if i < len(row)-1 {
			b.WriteString(strings.Repeat(" ", widths[i]-lipgloss.Width(cell)+2))
		}
	}
	t.e.line("%s", strings.TrimRight(b.String(), " "))
}

// item writes one item with all that is said of it.
func (e *environment) item(x *readiness.Checklist, i *readiness.Item) {
	e.line("%s  %s", e.paint.bold(clean(x.ChecklistID+" "+i.ItemID)), clean(i.Title))
	e.flow("  ", "  ", clean(i.Question), e.paint.dim)
	due := i.DueOn
	if due != "" && !i.Closed() {
		due += " " + distance(daysLeft(i.DueOn, e.now()))
	}
	owner := i.Owner
	if owner == "" {
		owner = "nobody yet; usually a " + i.OwnerRole
	}
	e.pairs(pair{"status", string(i.Status)}, pair{"criticality", strings.ToLower(string(i.Criticality))}, pair{"group", strings.TrimSpace(i.Group + " " + i.GroupTitle)},
		pair{"owner", owner}, pair{"due", due}, pair{"note", i.Note}, pair{"shown by", i.EvidenceHint}, pair{"evidence", strings.Join(i.Evidence, ", ")},
		pair{"decision", i.DecisionID}, pair{"closed", byWhom(when(i.CompletedAt), i.CompletedBy)}, pair{"file says", i.Imported}, pair{"revision", strconv.FormatInt(i.Revision, 10)})
}

// day writes the UTC day of a moment.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// daysLeft counts the days from now to a day; below zero it is over.
func daysLeft(on string, now time.Time) int {
	t, err := time.Parse(time.DateOnly, on)
	if err != nil {
		return 0
	}
	today, _ := time.Parse(time.DateOnly, day(now))
	return int(t.Sub(today).Hours() / 24)
}

// distance says how far away a day is.
func distance(days int) string {
	switch {
	case days < 0:
		return "(" + plural(-days, "day", "days") + " late)"
	case days == 0:
		return "(today)"
	}
	return "(" + plural(days, "day", "days") + ")"
}

// left says how far away a moment is, in the largest unit that tells something.
func left(t, now time.Time) string {
	d := t.Sub(now)
	if d <= 0 {
		return "over"
	}
	switch {
	case d >= 48*time.Hour:
		return "in " + plural(int(d.Hours()/24), "day", "days")
	case d >= 2*time.Hour:
		return "in " + plural(int(d.Hours()), "hour", "hours")
	}
	return "in " + plural(max(1, int(d.Minutes())), "minute", "minutes")
}

func number(n int) string { return strconv.Itoa(n) }

func ratio(n, of int) string { return fmt.Sprintf("%d of %d", n, of) }

// padded fills a cell.
func padded(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-lipgloss.Width(s)))
}
