package report

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// matrix is a risk matrix: likelihood upwards, impact to the right.
type matrix struct {
	title  string
	cells  [5][5]matrixCell // [likelihood-1][impact-1]
	placed int              // risks in it
}

type matrixCell struct {
	level  int    // 0 to 4
	name   string // of the level
	labels []string
}

// matrix puts the risks that are not closed into their cells.
func (v *Risks) matrix(title string, all []Risk, labels []string, at func(Risk) (likelihood, impact int)) matrix {
	m := matrix{title: title}
	for l := range 5 {
		for i := range 5 {
			cell := &m.cells[l][i]
			if cell.level = v.level((l + 1) * (i + 1)); cell.level > 0 {
				cell.name = t(v.scale()[cell.level-1].Name).text
			}
		}
	}
	for n, x := range all {
		if l, i := at(x); x.Status != "CLOSED" && l >= 1 && l <= 5 && i >= 1 && i <= 5 {
			cell := &m.cells[l-1][i-1]
			cell.labels = append(cell.labels, strings.TrimPrefix(labels[n], "no. "))
			m.placed++
		}
	}
	return m
}

// canvas is what a picture is drawn on, in millimetres from the upper left corner.
type canvas interface {
	rect(x, y, w, h float64, fill string) // with a thin border
	write(x, y float64, s string, as lettering)
	upwards(x, y float64, s string, as lettering)
}

// lettering is how a word in a picture is set. The point given is on the baseline.
type lettering struct {
	size   float64 // mm
	centre bool
	strong bool
	colour string
}

// Measures of the picture, in millimetres.
const (
	matrixWidth, matrixHeight = 86, 79
	cellWidth, cellHeight     = 15.4, 12.4
	matrixLeft, matrixTop     = 9, 6
	labelSize, labelLine      = 2.35, 2.95
	labelsPerCell             = 3 // lines
	lettersPerLine            = 11
)

// Colours get darker with the level, so that they can be told apart in grey, too.
func levelFill(level int) (fill, on string) {
	switch level {
	case 1:
		return "#eaf1f6", inkColour
	case 2:
		return "#fbe5ae", inkColour
	case 3:
		return "#eb9f5c", inkColour
	case 4:
		return "#9b2226", "#ffffff"
	}
	return "#ffffff", inkColour
}

// inkColour is that of text.
const inkColour = "#1b2430"

// draw draws the matrix.
func (m matrix) draw(to canvas) {
	to.write(matrixLeft, 3.6, m.title, lettering{size: 3.1, strong: true, colour: inkColour})
	axis := lettering{size: 2.5, centre: true, colour: inkColour}
	for l := range 5 {
		y := matrixTop + float64(4-l)*cellHeight
		to.write(matrixLeft-2.4, y+cellHeight/2+0.9, strconv.Itoa(l+1), axis)
		for i := range 5 {
			x := matrixLeft + float64(i)*cellWidth
			m.cells[l][i].draw(to, x, y, (l+1)*(i+1))
		}
	}
	bottom := matrixTop + 5*cellHeight
	for i := range 5 {
		to.write(matrixLeft+(float64(i)+0.5)*cellWidth, bottom+3.6, strconv.Itoa(i+1), axis)
	}
	to.write(matrixLeft+2.5*cellWidth, bottom+8, "Impact", axis)
	to.upwards(3, matrixTop+2.5*cellHeight, "Likelihood", axis)
}

func (c matrixCell) draw(to canvas, x, y float64, score int) {
	fill, on := levelFill(c.level)
	to.rect(x, y, cellWidth, cellHeight, fill)
	to.write(x+0.9, y+2.5, strings.TrimSpace(strconv.Itoa(score)+" "+c.name), lettering{size: 1.9, colour: on})
	for n, row := range packLabels(c.labels) {
		to.write(x+0.9, y+5.6+float64(n)*labelLine, row, lettering{size: labelSize, strong: true, colour: on})
	}
}

// packLabels lays out as many labels as fit into a cell, and says how many do not.
func packLabels(labels []string) []string {
	for shown := len(labels); shown >= 0; shown-- {
		words := labels[:shown:shown]
		if rest := len(labels) - shown; rest > 0 {
			words = append(words, "+"+strconv.Itoa(rest))
		}
		var rows []string
		row := ""
		for i, w := range words {
			if i < shown-1 {
				w += ","
			}
			switch {
			case row == "":
				row = w
			case utf8.RuneCountInString(row)+1+utf8.RuneCountInString(w) <= lettersPerLine:
				row += " " + w
			default:
				rows, row = append(rows, row), w
			}
		}
		if row != "" {
			rows = append(rows, row)
		}
		if len(rows) <= labelsPerCell {
			return rows
		}
		if shown > 40 {
			shown = 40 // no cell shows more
		}
	}
	return nil
}

// says is the matrix in words, for those who cannot see it.
func (m matrix) says() string {
	var b strings.Builder
	b.WriteString(m.title + ".")
	for l := 4; l >= 0; l-- {
		for i := 4; i >= 0; i-- {
			if c := m.cells[l][i]; len(c.labels) > 0 {
				b.WriteString(" Likelihood " + strconv.Itoa(l+1) + ", impact " + strconv.Itoa(i+1) + ", score " + strconv.Itoa((l+1)*(i+1)) + " " + c.name + ": " + strings.Join(c.labels, ", ") + ".")
			}
		}
	}
	if m.placed == 0 {
		b.WriteString(" It is empty.")
	}
	return b.String()
}
