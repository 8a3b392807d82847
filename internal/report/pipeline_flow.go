package report

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// flow is the picture of a run: sources above, transforms in the order of what they read,
// targets below. Boxes have their measures in the picture's own units; the page scales it.
type flow struct {
	title string
	rows  [][]flowBox // layers, a layer of many boxes in several rows
	lines [][2]string // keys of boxes
	width float64
}

type flowBox struct {
	key, name, note string
	state           string
	kind            string // "source", "transform" or "target"
	x, y            float64
	row             int
}

const (
	flowBoxWidth, flowBoxHeight = 196.0, 54.0
	flowGapX, flowGapY          = 18.0, 34.0
	flowAcross                  = 3 // boxes in a row: what can still be read on a telephone
	flowLetters                 = 22
	flowMargin                  = 26.0 // beside the boxes, for lines that pass them
	maxFlowBoxes                = 120
)

func (*flow) block() {}

// runFlow is the chapter of the picture.
func runFlow(r *Pipeline) []block {
	n := len(r.Sources) + len(r.Steps) + len(r.Targets)
	if n == 0 {
		return []block{paragraph{text: say("Nothing was chosen.")}}
	}
	if n > maxFlowBoxes {
		return []block{paragraph{text: say("The pipeline has " + strconv.Itoa(n) + " parts, which are too many for a picture; the tables below have all.")}}
	}
	return []block{newFlow(r), paragraph{text: line{marked(yes, "done"), t(" · "), marked(caution, "missing"), t(" · "), marked(no, "failed or taken back"), t(" · "), marked(open, "not run")}, size: -1}}
}

// newFlow lays the picture out.
func newFlow(r *Pipeline) *flow {
	f := &flow{title: "What the run of " + t(r.PipelineID).text + " read, made and published"}
	depth := flowDepths(r)
	layers := make([][]flowBox, 1)
	for _, x := range r.Sources {
		note := thousands(x.Rows) + " rows"
		if x.State != PartDone {
			note = strings.ToLower(x.State)
		}
		layers[0] = append(layers[0], flowBox{key: "t:" + x.Name, name: x.Name, note: note, state: x.State, kind: "source"})
	}
	last := 0
	for _, x := range r.Steps {
		d := depth[x.Name]
		for len(layers) <= d {
			layers = append(layers, nil)
		}
		last = max(last, d)
		note := rowsOf(x.Rows) + " rows"
		switch {
		case x.State != PartDone:
			note = strings.ToLower(x.State)
		case x.Rows < 0:
			note = "view"
		}
		layers[d] = append(layers[d], flowBox{key: "t:" + x.Name, name: x.Name, note: note, state: x.State, kind: "transform"})
		for _, from := range x.From {
			f.lines = append(f.lines, [2]string{"t:" + from, "t:" + x.Name})
		}
	}
	layers = append(layers[:last+1:last+1], nil)
	for _, x := range r.Targets {
		note := rowsOf(x.Rows) + " rows"
		if x.State == PartUndone {
			note = "taken back"
		} else if x.State != PartDone {
			note = strings.ToLower(x.State)
		} else if x.N > 0 {
			note += ", v" + strconv.FormatInt(x.N, 10)
		}
		layers[last+1] = append(layers[last+1], flowBox{key: "o:" + x.Name, name: x.Name, note: note, state: x.State, kind: "target"})
		f.lines = append(f.lines, [2]string{"t:" + x.From, "o:" + x.Name})
	}
	across := 1
	for _, l := range layers {
		for part := range slices.Chunk(l, flowAcross) {
			f.rows = append(f.rows, part)
			across = max(across, len(part))
		}
	}
	f.width = float64(across)*(flowBoxWidth+flowGapX) - flowGapX + 2*flowMargin
	for i, row := range f.rows {
		left := (f.width - float64(len(row))*(flowBoxWidth+flowGapX) + flowGapX) / 2
		for n := range row {
			row[n].row = i
			row[n].x, row[n].y = left+float64(n)*(flowBoxWidth+flowGapX), 2+float64(i)*(flowBoxHeight+flowGapY)
		}
	}
	return f
}

// flowDepths puts each transform below all that it reads. What reads itself, which no
// registered definition does, ends where the number of transforms does.
func flowDepths(r *Pipeline) map[string]int {
	depth := map[string]int{}
	for range r.Steps {
		moved := false
		for _, x := range r.Steps {
			d := 1
			for _, from := range x.From {
				d = max(d, min(depth[from]+1, len(r.Steps)))
			}
			if d != depth[x.Name] {
				depth[x.Name], moved = d, true
			}
		}
		if !moved {
			break
		}
	}
	return depth
}

func (f *flow) html(p *page) {
	boxes := map[string]flowBox{}
	for _, row := range f.rows {
		for _, b := range row {
			boxes[b.key] = b
		}
	}
	height := 4 + float64(len(f.rows))*(flowBoxHeight+flowGapY) - flowGapY
	p.raw("<svg class=\"flow f").raw(strconv.Itoa(min(int(f.width)/int(flowBoxWidth), flowAcross))).raw("\" role=\"img\" viewBox=\"0 0 ").raw(decimal(f.width)).raw(" ").raw(decimal(height)).
		raw("\"><title>").text(f.title).raw("</title><desc>").text(f.says(boxes)).raw("</desc>\n")
	for _, l := range f.lines {
		from, ok := boxes[l[0]]
		to, ok2 := boxes[l[1]]
		if ok && ok2 {
			p.curve(from, to, f.way(from, to))
		}
	}
	for _, row := range f.rows {
		for _, b := range row {
			b.html(p)
		}
	}
	p.raw("</svg>\n")
}

// way is where a line runs that passes rows between its ends: beside their boxes, on the
// side that is nearer. 0 is straight.
func (f *flow) way(from, to flowBox) float64 {
	straight := (from.x + to.x + flowBoxWidth) / 2
	left, right, hit := f.width, 0.0, false
	for i := from.row + 1; i < to.row; i++ {
		for _, b := range f.rows[i] {
			left, right = min(left, b.x), max(right, b.x+flowBoxWidth)
			hit = hit || straight > b.x-8 && straight < b.x+flowBoxWidth+8
		}
	}
	switch {
	case to.row <= from.row+1, left > right:
		return 0
	case !hit:
		return straight
	case straight-left <= right-straight:
		return max(left-12, 6)
	}
	return min(right+12, f.width-6)
}

// curve leads from the foot of a box to the head of another, by x if that is not 0.
func (p *page) curve(from, to flowBox, by float64) {
	x1, y1, x2, y2 := from.x+flowBoxWidth/2, from.y+flowBoxHeight, to.x+flowBoxWidth/2, to.y-5
	class := "way"
	if from.state != PartDone || to.state != PartDone {
		class = "way broken"
	}
	p.raw("<path class=\"").raw(class).raw("\" d=\"M").point(x1, y1)
	if by == 0 {
		p.bend(x1, y1, x2, y2)
	} else {
		top, bottom := y1+flowGapY, y2+5-flowGapY
		p.bend(x1, y1, by, top)
		p.raw("L").point(by, bottom)
		p.bend(by, bottom, x2, y2)
	}
	p.raw("\"/><path class=\"tip\" d=\"M").point(x2-4, y2-2).raw("h8l-4 7z\"/>\n")
}

// bend is a curve from one point to another that begins and ends upright.
func (p *page) bend(x1, y1, x2, y2 float64) {
	half := (y2 - y1) / 2
	p.raw("C").point(x1, y1+half).raw(" ").point(x2, y2-half).raw(" ").point(x2, y2)
}

func (p *page) point(x, y float64) *page { return p.raw(decimal(x)).raw(" ").raw(decimal(y)) }

// html draws a box: what it is by its shape, how it went by a mark and the border.
func (b flowBox) html(p *page) {
	class, icon := "undone", "open"
	switch b.state {
	case PartDone:
		class, icon = "done", "yes"
	case PartMissing:
		class, icon = "missing", "caution"
	case PartFailed, PartUndone:
		class, icon = "failed", "no"
	}
	round := map[string]string{"source": "27", "transform": "2", "target": "9"}[b.kind]
	p.raw("<g class=\"box ").raw(b.kind).raw(" ").raw(class).raw("\"><rect x=\"").raw(decimal(b.x)).raw("\" y=\"").raw(decimal(b.y)).raw("\" width=\"").raw(decimal(flowBoxWidth)).
		raw("\" height=\"").raw(decimal(flowBoxHeight)).raw("\" rx=\"").raw(round).raw("\"/>")
	p.raw("<use href=\"#m-").raw(icon).raw("\" x=\"").raw(decimal(b.x + 13)).raw("\" y=\"").raw(decimal(b.y + 20)).raw("\" width=\"14\" height=\"14\"/>")
	p.raw("<text class=\"name\" x=\"").raw(decimal(b.x + 35)).raw("\" y=\"").raw(decimal(b.y + 24)).raw("\">").text(fits(b.name, flowLetters-3)).raw("</text>")
	p.raw("<text class=\"note\" x=\"").raw(decimal(b.x + 35)).raw("\" y=\"").raw(decimal(b.y + 42)).raw("\">").text(fits(b.note, flowLetters+2)).raw("</text></g>\n")
}

// fits cuts a text that is too long for its place.
func fits(s string, letters int) string {
	s = t(s).text
	if utf8.RuneCountInString(s) <= letters {
		return s
	}
	return string([]rune(s)[:letters-1]) + "…"
}

// says is the picture in words, for those who cannot see it.
func (f *flow) says(boxes map[string]flowBox) string {
	var b strings.Builder
	for _, row := range f.rows {
		for _, x := range row {
			b.WriteString(x.kind + " " + t(x.name).text + ": " + t(x.note).text)
			var from []string
			for _, l := range f.lines {
				if l[1] == x.key {
					from = append(from, t(boxes[l[0]].name).text)
				}
			}
			if len(from) > 0 {
				b.WriteString(", from " + strings.Join(from, ", "))
			}
			b.WriteString(". ")
		}
	}
	return strings.TrimSpace(b.String())
}
