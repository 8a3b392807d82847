package main

import (
	"slices"
	"strings"

	"charm.land/lipgloss/v2"

	"caos/internal/dataset"
)

// flowNode is a source, a transform or a target as the picture of a pipeline shows it.
type flowNode struct {
	name, kind, text string   // kind: source, view, table or target
	from             []string // names of what it is made of
}

// flowOf lists the parts of a definition so that each stands after what it is made of.
func flowOf(d *dataset.Definition) []flowNode {
	var out []flowNode
	done := map[string]bool{} // what stands above already
	for _, s := range d.Sources {
		done[s.Name] = true
		text := s.Format
		if s.Optional {
			text += ", optional"
		}
		if s.Reference {
			text += ", for reference"
		}
		out = append(out, flowNode{name: s.Name, kind: "source", text: strings.TrimPrefix(text, ", ") + "  " + s.URI})
	}
	transforms, err := d.Ordered()
	if err != nil {
		transforms = d.Transforms // what was registered has no circle
	}
	reads := d.Reads()
	for _, t := range transforms {
		n := flowNode{name: t.Name, kind: "view"}
		if t.Materialise {
			n.kind = "table"
		}
		for _, name := range reads[t.Name] {
			if done[name] {
				n.from = append(n.from, name)
			}
		}
		done[t.Name] = true
		n.text = "← " + strings.Join(n.from, ", ")
		if len(n.from) == 0 {
			n.text = "of nothing"
		}
		out = append(out, n)
	}
	for _, t := range d.Targets {
		text := t.Format
		if len(t.PartitionBy) > 0 {
			text += " by " + strings.Join(t.PartitionBy, ", ")
		}
		if t.Optional {
			text += ", optional"
		}
		if k := d.ContractOf(t); k != "" {
			text += ", checked by " + k
		}
		out = append(out, flowNode{name: t.Name, kind: "target", text: strings.TrimPrefix(text, ", ") + "  " + t.URI, from: []string{strings.ToLower(t.From)}})
	}
	return out
}

// flowGraph draws the lines between parts, a row for each, as the histories of version control
// are drawn: ○ a source, ● a transform, ◆ a target. A line goes down until its last reader.
func flowGraph(nodes []flowNode) []string {
	last := map[string]int{} // name → row of its last reader
	for i, n := range nodes {
		for _, f := range n.from {
			last[f] = i
		}
	}
	var lanes []string // whose line a column is, "" for nobody's
	rows := make([]string, len(nodes))
	for i, n := range nodes {
		at := -1
		for c, owner := range lanes { // its place is that of a line which ends here
			if owner != "" && slices.Contains(n.from, owner) && last[owner] == i {
				at = c
				break
			}
		}
		for c := 0; at < 0 && c < len(lanes); c++ {
			if lanes[c] == "" {
				at = c
			}
		}
		if at < 0 {
			lanes = append(lanes, "")
			at = len(lanes) - 1
		}
		rows[i] = flowRow(lanes, n, at, i, last)
		for c, owner := range lanes {
			if owner != "" && last[owner] == i {
				lanes[c] = ""
			}
		}
		lanes[at] = ""
		if last[n.name] > i {
			lanes[at] = n.name
		}
		for len(lanes) > 0 && lanes[len(lanes)-1] == "" {
			lanes = lanes[:len(lanes)-1]
		}
	}
	return rows
}

// flowRow draws one row: the part itself in column at, and what leads to it.
func flowRow(lanes []string, n flowNode, at, row int, last map[string]int) string {
	low, high := at, at
	for c, owner := range lanes {
		if owner != "" && slices.Contains(n.from, owner) {
			low, high = min(low, c), max(high, c)
		}
	}
	var b strings.Builder
	for c, owner := range lanes {
		feeds := owner != "" && slices.Contains(n.from, owner)
		ends := feeds && last[owner] == row
		crossed := c > low && c < high
		switch {
		case c == at:
			b.WriteString(map[string]string{"source": "○", "target": "◆"}[n.kind])
			if n.kind != "source" && n.kind != "target" {
				b.WriteString("●")
			}
		case feeds && c < at && ends:
			b.WriteString(pick(crossed, "┴", "└"))
		case feeds && c < at:
			b.WriteString(pick(crossed, "┼", "├"))
		case feeds && ends:
			b.WriteString(pick(crossed, "┴", "┘"))
		case feeds:
			b.WriteString(pick(crossed, "┼", "┤"))
		case owner != "":
			b.WriteString(pick(crossed, "┼", "│"))
		default:
			b.WriteString(pick(crossed, "─", " "))
		}
		if c < len(lanes)-1 {
			b.WriteString(pick(c >= low && c < high, "─", " "))
		}
	}
	return strings.TrimRight(b.String(), " ")
}

func pick(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

// flowPicture writes the picture of a pipeline with what each part is.
func (e *environment) flowPicture(d *dataset.Definition) {
	nodes := flowOf(d)
	graph := flowGraph(nodes)
	wide, name := 0, 0
	for i, n := range nodes {
		wide, name = max(wide, lipgloss.Width(graph[i])), max(name, lipgloss.Width(n.name))
	}
	for i, n := range nodes {
		lead := "  " + padded(graph[i], wide) + "  " + padded(n.name, name) + "  " + padded(n.kind, len("source")) + "  "
		text := clean(n.text)
		if room := e.width - lipgloss.Width(lead); e.width > 0 && room > 12 && lipgloss.Width(text) > room {
			text = cut(text, room)
		}
		styled := "  " + e.paint.accent(padded(graph[i], wide)) + "  " + e.paint.bold(padded(clean(n.name), name)) + "  " + e.paint.dim(padded(n.kind, len("source"))) + "  "
		e.line("%s", strings.TrimRight(styled+text, " "))
	}
}
