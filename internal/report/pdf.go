package report

import (
	"bytes"
	"io"
	"strconv"
	"strings"

	"codeberg.org/go-pdf/fpdf"
)

// Measures of the page, in millimetres, and sizes of text, in points.
const (
	pageWidth, pageHeight = 210.0, 297.0
	marginLeft            = 18.0
	pageTop, pageBottom   = 24.0, 275.0
	bodyWidth             = pageWidth - 2*marginLeft

	bodySize, leadSize, smallSize, tableSize = 9.2, 11.2, 8.0, 8.2
	leading                                  = 1.42 // of the size
)

// PDF writes the report as a PDF file of A4 pages, with an outline, links and metadata. The
// bytes depend on r alone.
func PDF(w io.Writer, r *Review) error {
	faces, err := newTypefaces()
	if err != nil {
		return err
	}
	p := &sheets{Fpdf: fpdf.New("P", "mm", "A4", ""), typefaces: faces, links: map[string]int{}}
	for i, file := range faceFiles() {
		p.AddUTF8FontFromBytes(faceName(face(i)), "", bytes.Clone(file)) // it is written to
	}
	d := build(r)
	p.SetCatalogSort(true)
	p.SetCreationDate(r.CreatedAt.UTC())
	p.SetModificationDate(r.CreatedAt.UTC())
	if r.CreatedAt.IsZero() { // fpdf takes no time for the present one
		p.SetCreationDate(epoch())
		p.SetModificationDate(epoch())
	}
	p.SetTitle(p.cover(regular, d.title), true)
	p.SetSubject(p.cover(regular, d.subject), true)
	p.SetKeywords(p.cover(regular, t(strings.Join(d.keywords, ", ")).text), true)
	p.SetCreator("CAOS", true)
	p.SetProducer("CAOS", true)
	p.SetLang("en")
	p.SetDisplayMode("fullwidth", "continuous")
	p.SetMargins(marginLeft, pageTop, marginLeft)
	p.SetAutoPageBreak(false, 0)
	p.newPage()
	for i := range d.sections {
		p.links[d.sections[i].id] = p.AddLink()
	}
	for i := range d.sections {
		p.section(d, &d.sections[i])
	}
	p.finish(d)
	return p.Output(w)
}

func faceName(f face) string { return [...]string{"text", "bold", "mono"}[f] }

// sheets are the pages as they are written, from top to bottom.
type sheets struct {
	*fpdf.Fpdf
	*typefaces
	y       float64        // of the next thing
	links   map[string]int // by id of the section
	pages   map[string]int // on which sections begin
	entries []entry        // of the table of contents
}

// entry is where the number of a section's page belongs.
type entry struct {
	section string
	page    int
	x, y    float64
}

func (p *sheets) newPage() {
	p.AddPage()
	p.y = pageTop
}

// need begins a new page unless there is room.
func (p *sheets) need(height float64) {
	if p.y+height > pageBottom && p.y > pageTop {
		p.newPage()
	}
}

// rgb reads "#rrggbb".
func rgb(colour string) (r, g, b int) {
	n, _ := strconv.ParseUint(strings.TrimPrefix(colour, "#"), 16, 32)
	return int(n >> 16), int(n >> 8 & 255), int(n & 255)
}

// Colours of the PDF; those of the HTML are the same.
const (
	quietColour  = "#566272"
	lineColour   = "#c9d1da"
	faintColour  = "#f3f5f8"
	accentColour = "#1d4a7a"
)

func toneColour(t tone) string {
	return [...]string{ink: inkColour, good: "#0f5e4a", warn: "#8a5200", bad: "#9b2226", quiet: quietColour}[t]
}

// set is how a word is set.
type set struct {
	face   face
	points float64
	colour string
}

// string puts text on the page, its baseline at y.
func (p *sheets) string(x, y float64, s string, as set) {
	if s == "" {
		return
	}
	p.SetFont(faceName(as.face), "", as.points)
	p.SetTextColor(rgb(as.colour))
	p.Text(x, y, s)
}

func (p *sheets) fill(x, y, w, h float64, colour string) {
	p.SetFillColor(rgb(colour))
	p.Rect(x, y, w, h, "F")
}

func (p *sheets) rule(y, width float64, colour string) {
	p.SetDrawColor(rgb(colour))
	p.SetLineWidth(width)
	p.Line(marginLeft, y, pageWidth-marginLeft, y)
}

// row puts a set line on the page, its upper edge at y.
func (p *sheets) row(r row, x, y, points float64) {
	base := y + points*mm*1.08
	for _, s := range r.runs {
		at, colour := x, toneColour(s.tone)
		if s.mark != noMark {
			p.mark(s.mark, at, base, s.points*mm*0.86, colour)
			at += markWidth(s.points)
		}
		if s.style == chip {
			var fill string
			fill, colour = levelFill(s.level)
			p.fill(at, base-s.points*mm*0.92, p.typefaces.width(s.face, s.points, s.text)+2*chipPadding, s.points*mm*1.24, fill)
			at += chipPadding
		}
		if s.href != "" {
			colour = accentColour
			p.LinkString(at, y, s.width, points*mm*leading, s.href)
		}
		p.string(at, base, s.text, set{s.face, s.points, colour})
		x += s.width
	}
}

// mark draws a sign of the given size on the baseline.
func (p *sheets) mark(m mark, x, base, size float64, colour string) {
	p.SetFillColor(rgb(colour))
	p.SetDrawColor(rgb(colour))
	top, half := base-size*0.92, size/2
	p.SetLineWidth(size * 0.12)
	switch m {
	case open:
		p.Circle(x+half, top+half, half*0.85, "D")
		return
	case yes:
		p.Circle(x+half, top+half, half, "F")
	case caution:
		p.Polygon([]fpdf.PointType{{X: x + half, Y: top}, {X: x + size, Y: top + size}, {X: x, Y: top + size}}, "F")
	case no:
		p.Rect(x, top, size, size, "F")
	}
	p.SetDrawColor(255, 255, 255)
	at := func(x1, y1, x2, y2 float64) { p.Line(x+x1*size, top+y1*size, x+x2*size, top+y2*size) }
	switch m {
	case yes:
		at(0.26, 0.52, 0.43, 0.69)
		at(0.43, 0.69, 0.74, 0.34)
	case caution:
		at(0.5, 0.34, 0.5, 0.66)
		at(0.5, 0.76, 0.5, 0.87)
	case no:
		at(0.27, 0.27, 0.73, 0.73)
		at(0.73, 0.27, 0.27, 0.73)
	}
}

// paragraphs sets a cell over the width given and moves down; pages break between its lines.
func (p *sheets) paragraphs(c cell, x, width, points float64) {
	for _, r := range p.set(c, how{points, width}) {
		p.need(points * mm * leading)
		p.row(r, x, p.y, points)
		p.y += points * mm * leading
	}
}

func (p *sheets) section(d *document, s *section) {
	if s.number != "" {
		p.y += 7
		p.need(46)
		p.rule(p.y, 0.5, inkColour)
		p.y += 3
		p.string(marginLeft, p.y+5, s.number, set{regular, 15, quietColour})
		p.string(marginLeft+9, p.y+5, s.title, set{bold, 15, inkColour})
	}
	if p.pages == nil {
		p.pages = map[string]int{}
	}
	p.pages[s.id] = p.PageNo()
	p.SetLink(p.links[s.id], p.y-4, -1)
	p.SetFont(faceName(regular), "", bodySize)
	p.Bookmark(strings.TrimSpace(s.number+" "+s.title), 0, p.y-4)
	if s.number != "" {
		p.y += 9
	}
	for i, b := range s.blocks {
		if _, ok := b.(subtitle); ok && i+1 < len(s.blocks) {
			if t, ok := s.blocks[i+1].(table); ok {
				p.need(14 + p.beginning(t)) // a title goes with what it is the title of
			}
		}
		p.block(d, b)
	}
}

func (p *sheets) block(d *document, b block) {
	switch b := b.(type) {
	case masthead:
		p.masthead(b)
	case paragraph:
		points := [...]float64{smallSize, bodySize, leadSize}[b.size+1]
		l := b.text
		if b.size < 0 {
			l = nil
			for _, s := range b.text {
				if s.tone == ink && s.style == plainText {
					s.tone = quiet
				}
				l = append(l, s)
			}
		}
		p.y += 1
		p.paragraphs(cell{l}, marginLeft, bodyWidth, points)
		p.y += 1.5
	case result:
		p.paragraphs(cell{b.text}, marginLeft, bodyWidth, 10)
		p.y += 2
	case subtitle:
		p.y += 3.5
		p.need(30)
		p.string(marginLeft, p.y+4, b.text, set{bold, 10.2, inkColour})
		p.Bookmark(b.text, 1, p.y)
		p.y += 6
	case facts:
		p.facts(b.list, 46)
	case panels:
		p.panels(b)
	case tiles:
		p.tiles(b)
	case table:
		p.table(b)
	case matrices:
		p.matrices(b)
	default:
		p.lists(d, b)
	}
}

// finish writes what has to know all pages: heads, feet and the table of contents.
func (p *sheets) finish(d *document) {
	total := p.PageCount()
	for n := 1; n <= total; n++ {
		p.SetPage(n)
		p.again()
		number := "Page " + strconv.Itoa(n) + " of " + strconv.Itoa(total)
		for _, y := range []float64{12, 288} {
			marking := p.fit(bold, 8.5, strings.ToUpper(d.marking), 60)
			p.string((pageWidth-p.typefaces.width(bold, 8.5, marking))/2, y, marking, set{bold, 8.5, inkColour})
			side := d.left
			if y > 100 {
				side = d.right
			}
			p.string(marginLeft, y, p.fit(regular, 7.2, side, 54), set{regular, 7.2, quietColour})
			p.string(pageWidth-marginLeft-p.typefaces.width(regular, 7.2, number), y, number, set{regular, 7.2, quietColour})
		}
		p.rule(14.5, 0.15, lineColour)
		p.rule(283, 0.15, lineColour)
		for _, e := range p.entries {
			if e.page == n {
				number := strconv.Itoa(p.pages[e.section])
				p.string(e.x-p.typefaces.width(regular, bodySize, number), e.y, number, set{regular, bodySize, inkColour})
			}
		}
	}
}

// again makes the writer say font and colour on this page, which it thinks it has said.
func (p *sheets) again() {
	p.SetFillColor(1, 2, 3) // the colour of no text: equal ones are not said again
	p.SetFont(faceName(mono), "", 5)
	p.SetFont(faceName(regular), "", 6)
}
