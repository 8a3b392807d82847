package report

import (
	"strconv"
	"strings"
	"time"
)

// epoch is the date of a document that states none.
func epoch() time.Time { return time.Unix(0, 0).UTC() }

func (p *sheets) masthead(b masthead) {
	p.string(marginLeft, p.y+2, b.kicker, set{bold, 10, accentColour})
	p.y += 5
	title := p.set(cell{{span{text: or(b.title, "(not stated)"), style: strong}}}, how{23, bodyWidth})
	for _, r := range title[:min(len(title), 3)] { // ids are short; the chapters say what is not
		p.row(r, marginLeft, p.y, 23)
		p.y += 23 * mm * 1.3
	}
	p.paragraphs(cell{{hush(b.name)}}, marginLeft, bodyWidth, 13)
	p.y += 2
	p.rule(p.y, 0.2, lineColour)
	p.y += 1.5
	p.brief(b.facts)
	p.rule(p.y, 0.2, lineColour)
	p.y += 2
}

// brief is facts in two columns, where both of a pair are short.
func (p *sheets) brief(list []fact) {
	const names, half = 26.0, bodyWidth / 2
	var shown []fact
	for _, f := range list {
		if len(f.value) > 0 {
			shown = append(shown, f)
		}
	}
	for len(shown) > 0 {
		left := p.set(shown[0].value, how{bodySize, half - names - 3})
		if len(shown) > 1 {
			right := p.set(shown[1].value, how{bodySize, half - names})
			if len(left) == 1 && len(right) == 1 {
				label := func(f fact) []row { return p.set(cell{{hush(f.name)}}, how{bodySize, names - 2}) }
				p.cells([][]row{label(shown[0]), left, label(shown[1]), right}, []float64{0, names, half, half + names}, layout{points: bodySize, below: 0.5})
				shown = shown[2:]
				continue
			}
		}
		p.facts(shown[:1], names)
		p.y -= 1
		shown = shown[1:]
	}
	p.y += 1
}

// facts are rows of a name and a value.
func (p *sheets) facts(list []fact, names float64) {
	for _, f := range list {
		if len(f.value) > 0 {
			p.cells([][]row{
				p.set(cell{{hush(f.name)}}, how{bodySize, names - 3}),
				p.set(f.value, how{bodySize, bodyWidth - names}),
			}, []float64{0, names}, layout{points: bodySize, below: 0.5})
		}
	}
	p.y += 1
}

// layout is how rows of cells are placed.
type layout struct {
	points       float64
	above, below float64 // mm
	widths       []float64
	right        []bool
	head         func() // written again on each page
}

// cells places cells side by side. A row that does not fit moves to the next page; one that
// is too tall for that goes on there.
func (p *sheets) cells(cells [][]row, at []float64, l layout) {
	lines, high := 0, l.points*mm*leading
	for _, c := range cells {
		lines = max(lines, len(c))
	}
	room := func() int { return int((pageBottom - p.y - l.above - l.below) / high) }
	next := func() {
		p.newPage()
		if l.head != nil {
			l.head()
		}
	}
	for from := 0; from < lines; {
		fits := min(room(), lines-from)
		if fits < lines-from && (fits < 3 || from == 0 && float64(lines)*high < 70) && p.y > pageTop+20 {
			next()
			continue
		}
		fits = max(fits, 1)
		for i, c := range cells {
			for n := from; n < min(from+fits, len(c)); n++ {
				x := marginLeft + at[i]
				if l.right != nil && l.right[i] {
					x += l.widths[i] - c[n].width
				}
				p.row(c[n], x, p.y+l.above+float64(n-from)*high, l.points)
			}
		}
		p.y += l.above + float64(fits)*high + l.below
		if from += fits; from < lines {
			next()
		}
	}
}

const gutter = 3.2 // mm between columns

func (p *sheets) table(b table) {
	if len(b.rows) == 0 {
		p.paragraphs(one(hush(or(b.none, "None."))), marginLeft, bodyWidth, bodySize)
		p.y += 2
		return
	}
	l := layout{points: tableSize, above: 1.1, below: 1.3}
	var at []float64
	var head [][]row
	x, total := 0.0, 0
	for _, c := range b.columns {
		total += c.share
	}
	for i, c := range b.columns {
		w := (bodyWidth + gutter) * float64(c.share) / float64(total)
		at = append(at, x)
		x += w
		l.widths, l.right = append(l.widths, w-gutter), append(l.right, c.right)
		head = append(head, p.set(cell{{span{text: c.title, style: strong}}}, how{tableSize, l.widths[i]}))
	}
	title := func() {
		bare := l
		bare.head, bare.above, bare.below = nil, 0.6, 0.8
		p.cells(head, at, bare)
		p.rule(p.y, 0.35, inkColour)
	}
	l.head = title
	p.need(p.beginning(b))
	title()
	for _, r := range b.rows {
		p.cells(p.setRow(r, l.widths), at, l)
		p.rule(p.y, 0.15, lineColour)
	}
	p.y += 3
}

// setRow sets the cells of a row in their columns.
func (p *sheets) setRow(r []cell, widths []float64) [][]row {
	cells := make([][]row, 0, len(r))
	for i, c := range r {
		if len(c) == 0 {
			c = one(hush("–"))
		}
		cells = append(cells, p.set(c, how{tableSize, widths[i]}))
	}
	return cells
}

// beginning is the height of a table's head and its first row, which stay together: a head at
// the foot of a page has nothing under it. A first row that may be divided counts as far as
// it has to be there.
func (p *sheets) beginning(b table) float64 {
	const head, divided = 8.0, 70.0
	if len(b.rows) == 0 {
		return head
	}
	total, lines := 0, 0
	for _, c := range b.columns {
		total += c.share
	}
	widths := make([]float64, len(b.columns))
	for i, c := range b.columns {
		widths[i] = (bodyWidth+gutter)*float64(c.share)/float64(total) - gutter
	}
	for _, c := range p.setRow(b.rows[0], widths) {
		lines = max(lines, len(c))
	}
	return max(24, head+min(divided, float64(lines)*tableSize*mm*leading+3))
}

const maxPanelLines = 8 // the chapters say the rest

func (p *sheets) panels(b panels) {
	const gap, pad = 5.0, 4.0
	w := (bodyWidth - gap) / 2
	texts, high := make([][]row, len(b.list)), 0.0
	for i, x := range b.list {
		texts[i] = p.set(x.text, how{bodySize, w - 2*pad})
		if len(texts[i]) > maxPanelLines {
			texts[i] = append(texts[i][:maxPanelLines-1:maxPanelLines-1], p.set(cell{{hush("…")}}, how{bodySize, w})...)
		}
		high = max(high, 19+float64(len(texts[i]))*bodySize*mm*leading)
	}
	p.y += 2
	p.need(high)
	for i, x := range b.list {
		left := marginLeft + float64(i)*(w+gap)
		p.fill(left, p.y, w, high, faintColour)
		p.fill(left, p.y, 1.6, high, toneColour(x.head.tone))
		p.string(left+pad, p.y+5, x.label, set{regular, 8.4, quietColour})
		head := x.head
		head.text = p.fit(bold, 17, head.text, w-2*pad-8)
		for _, r := range p.set(one(head), how{17, w}) {
			p.row(r, left+pad, p.y+6.4, 17)
			break
		}
		for n, r := range texts[i] {
			p.row(r, left+pad, p.y+15.6+float64(n)*bodySize*mm*leading, bodySize)
		}
	}
	p.y += high + 2
}

func (p *sheets) tiles(b tiles) {
	const across, high = 4, 16.5
	w := bodyWidth / across
	p.need(high * float64((len(b.list)+across-1)/across))
	for i, x := range b.list {
		left, top := marginLeft+float64(i%across)*w, p.y+float64(i/across)*high
		p.SetDrawColor(rgb(lineColour))
		p.SetLineWidth(0.2)
		p.Rect(left, top, w, high, "D")
		p.string(left+2.5, top+4.4, p.fit(regular, 7.6, x.name, w-4), set{regular, 7.6, quietColour})
		value := x.value
		value.text = p.fit(bold, 12.5, value.text, w-11)
		for _, r := range p.set(one(value), how{12.5, w}) {
			p.row(r, left+2.5, top+5.4, 12.5)
			break
		}
		p.string(left+2.5, top+14.2, p.fit(regular, 7.6, x.detail, w-4), set{regular, 7.6, quietColour})
		p.Link(left, top, w, high, p.links[x.to])
	}
	p.y += high*float64((len(b.list)+across-1)/across) + 2
}

func (p *sheets) lists(d *document, b block) {
	switch b := b.(type) {
	case steps:
		for i, x := range b.list {
			p.numbered(strconv.Itoa(i+1)+".", cell{x.text})
			for _, c := range []struct{ label, text string }{{"", x.command}, {"It must say: ", x.expect}} {
				if c.text != "" {
					p.command(c.label, c.text)
				}
			}
			p.y += 1.2
		}
	case bullets:
		for _, l := range b.list {
			p.numbered("•", cell{l})
		}
	case contents:
		p.contents(d)
	}
}

func (p *sheets) numbered(label string, c cell) {
	p.cells([][]row{p.set(cell{{t(label)}}, how{bodySize, 6}), p.set(c, how{bodySize, bodyWidth - 7})}, []float64{1.5, 7}, layout{points: bodySize, below: 0.8})
}

// command is a line to be typed, on a tinted ground.
func (p *sheets) command(label, text string) {
	const in, points = 7.0, 8.6
	high := points * mm * 1.5
	for _, r := range p.set(cell{{hush(label), span{text: text, style: code}}}, how{points, bodyWidth - in - 6}) {
		p.need(high)
		p.fill(marginLeft+in, p.y, bodyWidth-in, high, faintColour)
		p.row(r, marginLeft+in+3, p.y+0.3, points)
		p.y += high
	}
	p.y += 0.6
}

// contents is the table of contents in two columns; finish adds the pages.
func (p *sheets) contents(d *document) {
	const high, gap = 5.0, 12.0
	list := d.sections[1:]
	half, w := (len(list)+1)/2, (bodyWidth-gap)/2
	p.need(float64(half) * high)
	for i, s := range list {
		x, y := marginLeft, p.y+float64(i%half)*high
		if i >= half {
			x += w + gap
		}
		p.string(x, y+3.6, s.number, set{regular, bodySize, quietColour})
		p.string(x+7, y+3.6, s.title, set{regular, bodySize, inkColour})
		p.Link(x, y, w, high, p.links[s.id])
		p.entries = append(p.entries, entry{s.id, p.PageNo(), x + w, y + 3.6})
	}
	p.y += float64(half) * high
}

// matrices draws the matrices side by side.
func (p *sheets) matrices(b matrices) {
	const gap = 5.0
	scale := (bodyWidth - gap) / 2 / matrixWidth
	p.need(matrixHeight * scale)
	for i, m := range b.list {
		m.draw(&drawing{p, marginLeft + float64(i)*(matrixWidth*scale+gap), p.y, scale})
	}
	p.y += matrixHeight * scale
}

// drawing is a canvas on a page.
type drawing struct {
	p           *sheets
	x, y, scale float64
}

func (d *drawing) rect(x, y, w, h float64, fill string) {
	d.p.SetFillColor(rgb(fill))
	d.p.SetDrawColor(255, 255, 255)
	d.p.SetLineWidth(0.5 * d.scale)
	d.p.Rect(d.x+x*d.scale, d.y+y*d.scale, w*d.scale, h*d.scale, "FD")
}

func (d *drawing) write(x, y float64, s string, as lettering) {
	in, points := regular, as.size*d.scale/mm
	if as.strong {
		in = bold
	}
	s = d.p.cover(in, s)
	left := d.x + x*d.scale
	if as.centre {
		left -= d.p.typefaces.width(in, points, s) / 2
	}
	d.p.string(left, d.y+y*d.scale, strings.TrimSpace(s), set{in, points, as.colour})
}

func (d *drawing) upwards(x, y float64, s string, as lettering) {
	d.p.TransformBegin()
	d.p.TransformRotate(90, d.x+x*d.scale, d.y+y*d.scale)
	d.write(x, y, s, as)
	d.p.TransformEnd()
}
