package httpapi

import (
	"fmt"
	"html/template"
	"net/url"
	"strings"

	"caos/internal/dataset"
)

// part is a source, a transform or a target in the picture of a pipeline.
type part struct {
	key, name, under, link, title string
	round                         int
	from                          []string // keys
}

// partsOf are the parts of a pipeline in columns: sources, transforms as far to the right as
// what they read makes them, targets.
func partsOf(p *dataset.Pipeline) [][]part {
	columns, depth := make([][]part, 1), map[string]int{}
	for _, s := range p.Sources {
		under := "source"
		if s.Optional {
			under = "optional " + under
		}
		if s.Reference {
			under += " for reference"
		}
		depth[s.Name] = 0
		columns[0] = append(columns[0], part{key: s.Name, name: s.Name, under: under + ", " + s.Format, title: s.URI, round: boxHeight / 2})
	}
	steps, err := p.Ordered()
	if err != nil {
		steps = p.Transforms // what was registered has no circle
	}
	reads := p.Reads()
	for _, t := range steps {
		at := part{key: t.Name, name: t.Name, under: "view", title: t.SQL}
		if t.Materialise {
			at.under = "table"
		}
		column := 1
		for _, from := range reads[t.Name] {
			if far, ok := depth[from]; ok {
				column = max(column, far+1)
				at.from = append(at.from, from)
			}
		}
		for len(columns) <= column {
			columns = append(columns, nil)
		}
		depth[t.Name], columns[column] = column, append(columns[column], at)
	}
	var targets []part
	for _, t := range p.Targets {
		id := dataset.DatasetID(p.PipelineID, t.Name)
		at := part{key: "target " + t.Name, name: t.Name, under: "target, " + t.Format, link: "/v1/datasets/" + url.PathEscape(id), title: t.URI, round: 4, from: []string{strings.ToLower(t.From)}}
		if t.Optional {
			at.under = "optional " + at.under
		}
		if p.ContractOf(t) != "" {
			at.under += ", checked"
		}
		targets = append(targets, at)
	}
	return append(columns, targets)
}

// pipelinePicture draws how data flows through a pipeline, like the picture of a lineage.
func pipelinePicture(p *dataset.Pipeline) template.HTML {
	columns := partsOf(p)
	tallest, all := 0, 0
	for _, c := range columns {
		tallest, all = max(tallest, len(c)), all+len(c)
	}
	if all > maxPictured {
		return ""
	}
	at := map[string]spot{}
	height := tallest*(boxHeight+rowGap) - rowGap
	for i, c := range columns {
		top := pictureTop + (height-(len(c)*(boxHeight+rowGap)-rowGap))/2
		for j, x := range c {
			at[x.key] = spot{pictureEdge + i*(boxWidth+columnGap), top + j*(boxHeight+rowGap)}
		}
	}
	width, tall := 2*pictureEdge+len(columns)*(boxWidth+columnGap)-columnGap, pictureTop+height+pictureEdge
	var b strings.Builder
	openPicture(&b, width, tall, "What "+p.PipelineID+" reads, makes and publishes")
	for _, c := range columns {
		for _, x := range c {
			for _, from := range x.from {
				if start, ok := at[from]; ok {
					arrow(&b, start, at[x.key], from+" to "+x.name)
				}
			}
		}
	}
	for _, c := range columns {
		for _, x := range c {
			x.draw(&b, at[x.key])
		}
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) //nolint:gosec // every text in it is escaped
}

func (x *part) draw(b *strings.Builder, p spot) {
	end := "</g>"
	if b.WriteString("<g>"); x.link != "" {
		fmt.Fprintf(b, `<a href="%s">`, template.HTMLEscapeString(x.link))
		end = "</a></g>"
	}
	fmt.Fprintf(b, `<title>%s</title><rect x="%d" y="%d" width="%d" height="%d" rx="%d" fill="currentColor" fill-opacity=".05"/>`,
		template.HTMLEscapeString(x.title), p.x, p.y, boxWidth, boxHeight, x.round)
	boxWords(b, p, x.name, x.under)
	b.WriteString(end)
}
