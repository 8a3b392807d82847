package httpapi

import (
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strings"

	"caos/internal/dataset"
)

// Lineage is a lineage that pages draw.
type Lineage struct {
	*dataset.Lineage
}

// pictured is an answer that has a picture, which its page shows first.
type pictured interface {
	picture() template.HTML
}

// Sizes of the picture, in pixels.
const (
	boxWidth, boxHeight = 210, 46
	columnGap, rowGap   = 70, 14
	pictureEdge         = 12
	pictureTop          = 40  // room for the edges that pass over a column
	maxPictured         = 120 // nodes: more is no picture any more
)

// spot is the upper left corner of a node's box.
type spot struct{ x, y int }

// columnsOf gives each node a column: 0 for the root, to the left what it was made from, to
// the right what was made from it, as far away as the longest way there, so that edges lead
// to the right. Edges that close a circle are no part of a way.
func columnsOf(l *dataset.Lineage, nodes []dataset.LineageNode) map[string]int {
	side := map[string]string{}
	for _, n := range nodes {
		side[n.Key] = n.Side
	}
	columns := map[string]int{l.Root: 0}
	for _, way := range []string{dataset.LineageUp, dataset.LineageDown} {
		next := map[string][]string{}
		for _, e := range l.Edges {
			from, to := e.From, e.To
			if way == dataset.LineageUp {
				from, to = to, from
			}
			if side[to] == way && (side[from] == way || from == l.Root) {
				next[from] = append(next[from], to)
			}
		}
		step := 1
		if way == dataset.LineageUp {
			step = -1
		}
		for key, far := range longest(l.Root, next) {
			columns[key] = step * far
		}
	}
	return columns
}

// longest is how far each thing is from a root by the longest way, without the steps that
// lead back to where a way came from.
func longest(root string, next map[string][]string) map[string]int {
	const open, done = 1, 2
	state, forward := map[string]int{}, map[string][]string{}
	var order []string // what comes later is nearer
	var visit func(key string)
	visit = func(key string) {
		state[key] = open
		for _, to := range next[key] {
			if state[to] == open {
				continue
			}
			forward[key] = append(forward[key], to)
			if state[to] == 0 {
				visit(to)
			}
		}
		state[key] = done
		order = append(order, key)
	}
	visit(root)
	far := map[string]int{}
	for _, key := range slices.Backward(order) {
		for _, to := range forward[key] {
			far[to] = max(far[to], far[key]+1)
		}
		far[key] = max(far[key], 0)
	}
	return far
}

// layout places the nodes of each column below each other. It is deterministic.
func layout(l *dataset.Lineage, nodes []dataset.LineageNode) (at map[string]spot, width, height int) {
	column, columns := columnsOf(l, nodes), map[int][]string{}
	for _, n := range nodes {
		columns[column[n.Key]] = append(columns[column[n.Key]], n.Key)
	}
	var order []int
	tallest := 0
	for c, keys := range columns {
		order = append(order, c)
		tallest = max(tallest, len(keys))
	}
	slices.Sort(order)
	at = map[string]spot{}
	height = tallest*(boxHeight+rowGap) - rowGap
	for i, c := range order {
		keys := columns[c]
		top := pictureTop + (height-(len(keys)*(boxHeight+rowGap)-rowGap))/2
		for j, key := range keys {
			at[key] = spot{pictureEdge + i*(boxWidth+columnGap), top + j*(boxHeight+rowGap)}
		}
	}
	return at, 2*pictureEdge + len(order)*(boxWidth+columnGap) - columnGap, pictureTop + height + pictureEdge
}

// edgeWords say what an edge is, on its way.
func edgeWords(kind string) string {
	switch kind {
	case dataset.EdgeRead:
		return "read"
	case dataset.EdgeWrote:
		return "wrote"
	case dataset.EdgeValidated:
		return "validated"
	case dataset.EdgeTrainedOn:
		return "trained on"
	case dataset.EdgeValidatedOn:
		return "validated on"
	case dataset.EdgeFrozenAs:
		return "frozen as"
	}
	return strings.ToLower(kind)
}

// picture draws the graph as SVG. It has no style of its own, as the page's policy allows
// none, and takes its colours from the text around it.
func (l *Lineage) picture() template.HTML {
	nodes := l.Nodes[:min(len(l.Nodes), maxPictured)]
	at, width, height := layout(l.Lineage, nodes)
	var b strings.Builder
	openPicture(&b, width, height, "Lineage of "+l.Root)
	for _, e := range l.Edges {
		from, ok := at[e.From]
		to, there := at[e.To]
		if !ok || !there {
			continue
		}
		arrow(&b, from, to, e.From+" "+edgeWords(e.Kind)+" "+e.To)
	}
	for _, n := range nodes {
		box(&b, n, at[n.Key])
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) //nolint:gosec // every text in it is escaped above
}

func openPicture(b *strings.Builder, width, height int, label string) {
	fmt.Fprintf(b, `<svg viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s" fill="none" stroke="currentColor" font-family="system-ui, sans-serif" font-size="13">`,
		width, height, width, height, template.HTMLEscapeString(label))
	b.WriteString(`<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="currentColor" stroke="none"/></marker></defs>`)
}

// arrow leads from one box to another further to the right.
func arrow(b *strings.Builder, from, to spot, title string) {
	x1, y1, x2, y2 := from.x+boxWidth, from.y+boxHeight/2, to.x, to.y+boxHeight/2
	bend, over := max(columnGap/2, (x2-x1)/2), 0
	if x2-x1 > columnGap { // over the boxes between them, not through
		bend, over = columnGap, boxHeight+rowGap
	}
	fmt.Fprintf(b, `<path d="M%d %dC%d %d %d %d %d %d" opacity=".55" marker-end="url(#tip)"><title>%s</title></path>`,
		x1, y1, x1+bend, y1-over, x2-bend, y2-over, x2, y2, template.HTMLEscapeString(title))
}

// boxWords are the two lines in a box.
func boxWords(b *strings.Builder, p spot, name, under string) {
	fmt.Fprintf(b, `<g stroke="none" fill="currentColor" text-anchor="middle"><text x="%d" y="%d">%s</text><text x="%d" y="%d" font-size="11" opacity=".7">%s</text></g>`,
		p.x+boxWidth/2, p.y+20, template.HTMLEscapeString(short(name, 27)), p.x+boxWidth/2, p.y+36, template.HTMLEscapeString(short(under, 34)))
}

// box draws a node: what it is, which one, and a way to its own lineage.
func box(b *strings.Builder, n dataset.LineageNode, p spot) {
	stroke := "1"
	if n.Side == "root" {
		stroke = "2.5"
	}
	round := 4
	if n.Kind == dataset.NodeExecution || n.Kind == dataset.NodeValidation { // what happened is round, what there is has corners
		round = boxHeight / 2
	}
	under := strings.ReplaceAll(n.Kind, "-", " ")
	if n.Rows != nil {
		under += ", " + countOf(*n.Rows, "row", "rows")
	}
	if n.Status != "" {
		under += ", " + n.Status
	}
	fmt.Fprintf(b, `<a href="/v1/lineage?node=%s"><title>%s</title><rect x="%d" y="%d" width="%d" height="%d" rx="%d" stroke-width="%s" fill="currentColor" fill-opacity=".05"/>`,
		template.HTMLEscapeString(url.QueryEscape(n.Key)), template.HTMLEscapeString(strings.TrimSpace(n.ID+"\n"+n.URI+"\n"+n.Digest)), p.x, p.y, boxWidth, boxHeight, round, stroke)
	boxWords(b, p, n.Label, under)
	b.WriteString(`</a>`)
}

// short is a text of at most n characters; the middle of a longer one is left out, as ids
// differ at their ends.
func short(text string, n int) string {
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	return string(runes[:n/2]) + "…" + string(runes[len(runes)-(n-n/2-1):])
}
