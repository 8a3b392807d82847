package report

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// face is one of the three typefaces of the PDF.
type face int

const (
	regular face = iota
	bold
	mono
)

// faceFiles are the Go fonts: free, made to tell 0 from O and 1 from l, and with Latin,
// Greek, Cyrillic and the signs of engineering in one small file each.
func faceFiles() [3][]byte { return [...][]byte{goregular.TTF, gobold.TTF, gomono.TTF} }

// missing stands for a sign that the typefaces do not have.
const missing = '□'

// typefaces measures text.
type typefaces struct {
	fonts  [3]*sfnt.Font
	buffer sfnt.Buffer
	widths [3]map[rune]float64 // in thousandths of the size; negative if there is no such sign
}

func newTypefaces() (*typefaces, error) {
	f := &typefaces{}
	for i, file := range faceFiles() {
		parsed, err := sfnt.Parse(file)
		if err != nil {
			return nil, err
		}
		f.fonts[i], f.widths[i] = parsed, map[rune]float64{}
	}
	return f, nil
}

// advance is the width of a sign, negative if the face does not have it.
func (f *typefaces) advance(in face, r rune) float64 {
	if w, ok := f.widths[in][r]; ok {
		return w
	}
	w := -1.0
	if g, err := f.fonts[in].GlyphIndex(&f.buffer, r); err == nil && g != 0 && r <= 0xFFFF {
		if a, err := f.fonts[in].GlyphAdvance(&f.buffer, g, fixed.I(1000), font.HintingNone); err == nil {
			w = float64(a) / 64
		}
	}
	f.widths[in][r] = w
	return w
}

// cover replaces signs that the face does not have. The writer of the PDF cannot take others.
func (f *typefaces) cover(in face, s string) string {
	return strings.Map(func(r rune) rune {
		if f.advance(in, r) < 0 {
			return missing
		}
		return r
	}, s)
}

// width of text that is covered, in millimetres.
func (f *typefaces) width(in face, points float64, s string) float64 {
	w := 0.0
	for _, r := range s {
		w += max(0, f.advance(in, r))
	}
	return w * points * mm / 1000
}

// mm is a point in millimetres.
const mm = 25.4 / 72

// fit cuts text to a width.
func (f *typefaces) fit(in face, points float64, s string, width float64) string {
	s = f.cover(in, s)
	if f.width(in, points, s) <= width {
		return s
	}
	width -= f.width(in, points, "…")
	for i, r := range s {
		if width -= max(0, f.advance(in, r)) * points * mm / 1000; width < 0 {
			return s[:i] + "…"
		}
	}
	return s
}

// run is text in one style on one line.
type run struct {
	span
	face   face
	points float64
	width  float64 // mm, with the mark
}

// row is a line as it is set.
type row struct {
	runs  []run
	width float64
}

// how is what a cell is set in.
type how struct {
	points float64
	width  float64 // of the cell, mm
}

// faceOf a span, and its size: typewriter faces look larger than they are.
func (h how) faceOf(s span) (face, float64) {
	switch {
	case s.style == code:
		return mono, h.points * 0.88
	case s.style == strong || s.style == chip || s.mark != noMark:
		return bold, h.points
	}
	return regular, h.points
}

const chipPadding = 1.0 // mm on each side

// markWidth is the room of a mark and the gap behind it.
func markWidth(points float64) float64 { return points * mm * 1.15 }

// set breaks the paragraphs of a cell into lines.
func (f *typefaces) set(c cell, h how) []row {
	var rows []row
	for _, l := range c {
		s := setter{faces: f, how: h}
		for _, sp := range l {
			s.add(sp)
		}
		rows = append(rows, s.end()...)
	}
	return rows
}

// setter fills lines with words.
type setter struct {
	faces *typefaces
	how   how
	done  []row
	now   row
	space bool // a space is due before the next word
}

func (s *setter) add(sp span) {
	in, points := s.how.faceOf(sp)
	text := s.faces.cover(in, sp.text)
	for text != "" {
		if text[0] == ' ' {
			s.space, text = true, text[1:]
			continue
		}
		end := strings.IndexByte(text, ' ')
		if end < 0 || sp.style == chip {
			end = len(text)
		}
		s.word(run{span: sp, face: in, points: points}, text[:end])
		text, sp.mark = text[end:], noMark
	}
}

// word puts a word on this line or on the next.
func (s *setter) word(r run, text string) {
	for {
		r.text = text
		r.width = s.extra(r) + s.faces.width(r.face, r.points, text)
		gap := 0.0
		if s.space && len(s.now.runs) > 0 {
			gap = s.faces.width(r.face, r.points, " ")
		}
		glued := !s.space && len(s.now.runs) > 0 && utf8.RuneCountInString(text) <= 2 // a full stop stays with its word
		if s.now.width+gap+r.width <= s.how.width || glued {
			s.put(r, gap)
			return
		}
		if len(s.now.runs) > 0 && (s.space || r.width <= s.how.width) {
			s.breakLine()
			continue
		}
		head := s.cut(r, text, s.how.width-s.now.width-gap)
		if head == 0 {
			if len(s.now.runs) > 0 {
				s.breakLine()
				continue
			}
			_, head = utf8.DecodeRuneInString(text) // narrower than one sign: nothing else can be done
		}
		r.text = text[:head]
		r.width = s.extra(r) + s.faces.width(r.face, r.points, r.text)
		s.put(r, gap)
		s.breakLine()
		if text, r.mark = text[head:], noMark; text == "" {
			return
		}
	}
}

func (s *setter) extra(r run) float64 {
	w := 0.0
	if r.mark != noMark {
		w += markWidth(r.points)
	}
	if r.style == chip {
		w += 2 * chipPadding
	}
	return w
}

// cut is how many bytes of a word that is too long fit, preferably up to a sign after which
// ids and paths may be broken.
func (s *setter) cut(r run, text string, width float64) int {
	width -= s.extra(r)
	best, last := 0, 0
	for i, c := range text {
		if width -= max(0, s.faces.advance(r.face, c)) * r.points * mm / 1000; width < 0 {
			break
		}
		last = i + utf8.RuneLen(c)
		if strings.ContainsRune("-/._:,", c) {
			best = last
		}
	}
	if best*2 > last {
		return best
	}
	return last
}

// put adds the word to this line, into the run before it if that is alike.
func (s *setter) put(r run, gap float64) {
	if n := len(s.now.runs); n > 0 {
		prev := &s.now.runs[n-1]
		if same := prev.style == r.style && prev.tone == r.tone && prev.href == r.href && r.mark == noMark && r.style != chip; same {
			if gap > 0 {
				prev.text += " "
			}
			prev.text += r.text
			prev.width += gap + r.width
			s.now.width += gap + r.width
			s.space = false
			return
		}
		prev.width += gap // the gap belongs to the run before it
	}
	s.now.runs = append(s.now.runs, r)
	s.now.width += gap + r.width
	s.space = false
}

func (s *setter) breakLine() {
	s.done = append(s.done, s.now)
	s.now, s.space = row{}, false
}

func (s *setter) end() []row {
	if len(s.now.runs) > 0 {
		s.breakLine()
	}
	return s.done
}
