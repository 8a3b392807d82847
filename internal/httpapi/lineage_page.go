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
	maxPictured         = 120 // nodes: more is no picture any more
)

// spot is the upper left corner of a node's box.
type spot struct{ x, y int }

// layout puts what the root was made from to its left and what was made from it to its
// right, a column for each number of edges. It is deterministic.
func layout(nodes []dataset.LineageNode) (at map[string]spot, width, height int) {
	columns := map[int][]string{}
	for _, n := range nodes {
		column := n.Distance
		if n.Side == dataset.LineageUp {
			column = -column
		}
		columns[column] = append(columns[column], n.Key)
	}
	var order []int
	tallest := 0
	for column, keys := range columns {
		order = append(order, column)
		tallest = max(tallest, len(keys))
	}
	slices.Sort(order)
	at = map[string]spot{}
	height = tallest*(boxHeight+rowGap) - rowGap
	for i, column := range order {
		keys := columns[column]
		top := (height - (len(keys)*(boxHeight+rowGap) - rowGap)) / 2
		for j, key := range keys {
			at[key] = spot{pictureEdge + i*(boxWidth+columnGap), pictureEdge + top + j*(boxHeight+rowGap)}
		}
	}
	return at, 2*pictureEdge + len(order)*(boxWidth+columnGap) - columnGap, 2*pictureEdge + height
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
	at, width, height := layout(nodes)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="Lineage of %s" fill="none" stroke="currentColor" font-family="system-ui, sans-serif" font-size="13">`,
		width, height, width, height, template.HTMLEscapeString(l.Root))
	b.WriteString(`<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="currentColor" stroke="none"/></marker></defs>`)
	for _, e := range l.Edges {
		from, ok := at[e.From]
		to, there := at[e.To]
		if !ok || !there {
			continue
		}
		x1, y1, x2, y2 := from.x+boxWidth, from.y+boxHeight/2, to.x, to.y+boxHeight/2
		bend := max(columnGap/2, (x2-x1)/2)
		fmt.Fprintf(&b, `<path d="M%d %dC%d %d %d %d %d %d" opacity=".55" marker-end="url(#tip)"><title>%s</title></path>`,
			x1, y1, x1+bend, y1, x2-bend, y2, x2, y2, template.HTMLEscapeString(e.From+" "+edgeWords(e.Kind)+" "+e.To))
	}
	for _, n := range nodes {
		box(&b, n, at[n.Key])
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) //nolint:gosec // every text in it is escaped above
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
	fmt.Fprintf(b, `<g stroke="none" fill="currentColor" text-anchor="middle"><text x="%d" y="%d">%s</text><text x="%d" y="%d" font-size="11" opacity=".7">%s</text></g></a>`,
		p.x+boxWidth/2, p.y+20, template.HTMLEscapeString(short(n.Label, 27)), p.x+boxWidth/2, p.y+36, template.HTMLEscapeString(short(under, 34)))
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
