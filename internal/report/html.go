package report

import (
	"bytes"
	_ "embed"
	"html"
	"io"
	"strconv"
	"strings"
)

//go:embed style.css
var sheet string

// HTML writes the report as one HTML file without scripts or anything from elsewhere. The
// bytes depend on r alone. It is well-formed XML, too. Serve it with a Content-Security-Policy
// of "sandbox; default-src 'none'; style-src 'unsafe-inline'": its style sheet is inside.
func HTML(w io.Writer, r *Review) error { return writeHTML(w, build(r)) }

// writeHTML writes any report as HTML.
func writeHTML(w io.Writer, d *document) error {
	p := &page{}
	p.Grow(64 << 10)
	p.head(d)
	for i := range d.sections {
		p.section(d, &d.sections[i])
	}
	p.raw("</main>\n<footer><p class=\"marking\">").text(d.marking).raw("</p><p>").text(d.left).raw("<br/>").text(d.right).raw("</p></footer>\n</body>\n</html>\n")
	_, err := w.Write(p.Bytes())
	return err
}

// page is the HTML as it is written. Markup is written by raw and consists of constants of
// this file alone; all else goes through text.
type page struct{ bytes.Buffer }

func (p *page) raw(s string) *page  { p.WriteString(s); return p }
func (p *page) text(s string) *page { p.WriteString(html.EscapeString(s)); return p }

// icons are the marks, drawn once and used by name. Each has a shape of its own.
const icons = `<svg class="icons" width="0" height="0" aria-hidden="true"><defs>
<symbol id="m-yes" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7.5" fill="currentColor"/><path d="M4.4 8.3l2.5 2.5 4.8-5.2" fill="none" stroke="#fff" stroke-width="1.9"/></symbol>
<symbol id="m-caution" viewBox="0 0 16 16"><path d="M8 .8L15.7 15H.3z" fill="currentColor"/><path d="M8 5.6v4.6M8 11.4v1.9" stroke="#fff" stroke-width="1.9"/></symbol>
<symbol id="m-no" viewBox="0 0 16 16"><rect x=".6" y=".6" width="14.8" height="14.8" fill="currentColor"/><path d="M4.6 4.6l6.8 6.8M11.4 4.6l-6.8 6.8" stroke="#fff" stroke-width="1.9"/></symbol>
<symbol id="m-open" viewBox="0 0 16 16"><circle cx="8" cy="8" r="6.3" fill="none" stroke="currentColor" stroke-width="2"/></symbol>
</defs></svg>
`

func (p *page) head(d *document) {
	p.raw("<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head><meta charset=\"utf-8\"/><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/><title>").
		text(d.title).raw("</title>\n<meta name=\"description\" content=\"").text(d.subject).raw("\"/>\n<meta name=\"keywords\" content=\"").text(t(strings.Join(d.keywords, ", ")).text).raw("\"/>\n<style>\n")
	p.raw(sheet).raw(d.sheet)
	for n := 5; n <= 70; n++ { // widths of columns, in percent, without style attributes
		p.raw(".w").raw(strconv.Itoa(n)).raw("{width:").raw(strconv.Itoa(n)).raw("%}")
	}
	p.raw("\n@page{@top-left{content:\"").raw(quoteCSS(d.left)).raw("\"}@top-center{content:\"").raw(quoteCSS(d.marking)).
		raw("\"}@bottom-center{content:\"").raw(quoteCSS(d.marking)).raw("\"}@bottom-left{content:\"").raw(quoteCSS(d.right)).raw("\"}}\n</style></head>\n<body>\n")
	p.raw(icons)
	p.raw("<header><p class=\"marking\">").text(d.marking).raw("</p></header>\n<main>\n")
}

// quoteCSS writes a text so that it can stand in a string of a style sheet inside a page:
// whatever is not plainly harmless is written by its number.
func quoteCSS(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r == ' ' || r == '-' || r == '.' || r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			b.WriteRune(r)
		} else {
			b.WriteString(`\` + strconv.FormatInt(int64(r), 16) + " ")
		}
	}
	return b.String()
}

func (p *page) section(d *document, s *section) {
	p.raw("<section id=\"").raw(s.id).raw("\">\n")
	if s.number != "" {
		p.raw("<h2><span class=\"no\">").raw(s.number).raw("</span> ").text(s.title).raw("</h2>\n")
	}
	for _, b := range s.blocks {
		p.block(d, b)
	}
	p.raw("</section>\n")
}

func (p *page) block(d *document, b block) {
	switch b := b.(type) {
	case masthead:
		p.raw("<p class=\"kicker\">").text(b.kicker).raw("</p>\n<h1>").text(or(b.title, "(not stated)")).raw("</h1>\n")
		if b.name != "" {
			p.raw("<p class=\"name\">").bidi(b.name).raw("</p>\n")
		}
		p.facts("brief", b.facts)
	case paragraph:
		p.raw([]string{"<p class=\"small\">", "<p>", "<p class=\"lead\">"}[b.size+1]).line(b.text).raw("</p>\n")
	case result:
		p.raw("<p class=\"result\">").line(b.text).raw("</p>\n")
	case subtitle:
		p.raw("<h3 id=\"").raw(b.id).raw("\">").text(b.text).raw("</h3>\n")
	case facts:
		p.facts("facts", b.list)
	case panels:
		p.panels(b)
	case tiles:
		p.raw("<div class=\"tiles\">")
		for _, x := range b.list {
			p.raw("<a href=\"#").raw(x.to).raw("\"><span class=\"label\">").text(x.name).raw("</span><span class=\"figure\">").span(x.value).raw("</span><span class=\"label\">").text(x.detail).raw("</span></a>")
		}
		p.raw("</div>\n")
	case table:
		p.table(b)
	case matrices:
		p.raw("<div class=\"matrices\">")
		for _, m := range b.list {
			p.matrix(m)
		}
		p.raw("</div>\n")
	default:
		p.lists(d, b)
	}
}

func (p *page) lists(d *document, b block) {
	switch b := b.(type) {
	case steps:
		p.raw("<ol class=\"steps\">\n")
		for _, x := range b.list {
			p.raw("<li>").line(x.text)
			if x.command != "" {
				p.raw("<pre><code>").text(x.command).raw("</code></pre>")
			}
			if x.expect != "" {
				p.raw("<p>It must say: <code>").text(x.expect).raw("</code></p>")
			}
			p.raw("</li>\n")
		}
		p.raw("</ol>\n")
	case bullets:
		p.raw("<ul>\n")
		for _, l := range b.list {
			p.raw("<li>").line(l).raw("</li>\n")
		}
		p.raw("</ul>\n")
	case contents:
		p.raw("<nav><ol>")
		for _, s := range d.sections[1:] {
			p.raw("<li><a href=\"#").raw(s.id).raw("\">").text(s.title).raw("</a></li>")
		}
		p.raw("</ol></nav>\n")
	case drawn:
		b.html(p)
	}
}

func (p *page) facts(class string, list []fact) {
	p.raw("<dl class=\"").raw(class).raw("\">\n")
	for _, f := range list {
		if len(f.value) > 0 {
			p.raw("<div><dt>").text(f.name).raw("</dt><dd>").cell(f.value).raw("</dd></div>\n")
		}
	}
	p.raw("</dl>\n")
}

func (p *page) panels(b panels) {
	p.raw("<div class=\"panels\">\n")
	for _, x := range b.list {
		p.raw("<div class=\"panel ").raw(toneClass(x.head.tone)).raw("\"><p class=\"label\">").text(x.label).raw("</p><p class=\"head\">").span(x.head).raw("</p>")
		for _, l := range x.text {
			p.raw("<p>").line(l).raw("</p>")
		}
		p.raw("</div>\n")
	}
	p.raw("</div>\n")
}

func (p *page) table(b table) {
	if len(b.rows) == 0 {
		p.raw("<p class=\"none\">").text(or(b.none, "None.")).raw("</p>\n")
		return
	}
	p.raw("<table><colgroup>")
	for _, c := range b.columns {
		p.raw("<col class=\"w").raw(strconv.Itoa(c.share)).raw("\"/>")
	}
	p.raw("</colgroup><thead><tr>")
	for _, c := range b.columns {
		p.raw("<th scope=\"col\"").raw(right(c)).raw(">").text(c.title).raw("</th>")
	}
	p.raw("</tr></thead><tbody>\n")
	for _, row := range b.rows {
		p.raw("<tr>")
		for i, c := range row {
			p.raw("<td data-label=\"").text(b.columns[i].title).raw("\"").raw(right(b.columns[i])).raw("><div>")
			if len(c) == 0 {
				c = one(hush("–"))
			}
			p.cell(c).raw("</div></td>")
		}
		p.raw("</tr>\n")
	}
	p.raw("</tbody></table>\n")
}

func right(c column) string {
	if c.right {
		return " class=\"right\""
	}
	return ""
}

func (p *page) cell(c cell) *page {
	for i, l := range c {
		if i > 0 {
			p.raw("<br/>")
		}
		p.line(l)
	}
	return p
}

func (p *page) line(l line) *page {
	for _, s := range l {
		p.span(s)
	}
	return p
}

func toneClass(t tone) string {
	return [...]string{ink: "ink", good: "good", warn: "warn", bad: "bad", quiet: "quiet"}[t]
}

func (p *page) span(s span) *page {
	if s.mark != noMark {
		p.raw("<span class=\"mark ").raw(toneClass(s.tone)).raw("\"><svg aria-hidden=\"true\"><use href=\"#m-").
			raw([...]string{"", "yes", "caution", "no", "open"}[s.mark]).raw("\"/></svg>").text("\u00A0").bidi(s.text).raw("</span>")
		return p
	}
	switch {
	case s.href != "":
		p.raw("<a rel=\"noreferrer\" href=\"").text(s.href).raw("\">").bidi(s.text).raw("</a>")
	case s.style == code:
		p.raw("<code>").text(s.text).raw("</code>")
	case s.style == chip:
		p.raw("<span class=\"chip l").raw(strconv.Itoa(s.level)).raw("\">").bidi(s.text).raw("</span>")
	case s.style == strong:
		p.raw("<b>").bidi(s.text).raw("</b>")
	case s.tone != ink:
		p.raw("<span class=\"").raw(toneClass(s.tone)).raw("\">").bidi(s.text).raw("</span>")
	default:
		p.bidi(s.text)
	}
	return p
}

// bidi writes text; what is read from the right stays within its own borders.
func (p *page) bidi(s string) *page {
	if rightToLeft(s) {
		return p.raw("<bdi>").text(s).raw("</bdi>")
	}
	return p.text(s)
}

// matrix draws a risk matrix as SVG.
func (p *page) matrix(m matrix) {
	p.raw("<svg class=\"matrix\" role=\"img\" viewBox=\"0 0 ").raw(strconv.Itoa(matrixWidth)).raw(" ").raw(strconv.Itoa(matrixHeight)).raw("\"><title>").text(m.title).
		raw("</title><desc>").text(m.says()).raw("</desc>\n")
	m.draw(p)
	p.raw("</svg>\n")
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

func (p *page) rect(x, y, w, h float64, fill string) {
	p.raw("<rect x=\"").raw(decimal(x)).raw("\" y=\"").raw(decimal(y)).raw("\" width=\"").raw(decimal(w)).raw("\" height=\"").raw(decimal(h)).
		raw("\" fill=\"").raw(fill).raw("\" stroke=\"#ffffff\" stroke-width=\"0.5\"/>\n")
}

func (p *page) write(x, y float64, s string, as lettering) {
	p.raw("<text x=\"").raw(decimal(x)).raw("\" y=\"").raw(decimal(y)).raw("\"")
	p.letters(s, as)
}

func (p *page) upwards(x, y float64, s string, as lettering) {
	p.raw("<text transform=\"translate(").raw(decimal(x)).raw(" ").raw(decimal(y)).raw(") rotate(-90)\"")
	p.letters(s, as)
}

func (p *page) letters(s string, as lettering) {
	p.raw(" font-size=\"").raw(decimal(as.size)).raw("\" fill=\"").raw(as.colour).raw("\"")
	if as.centre {
		p.raw(" text-anchor=\"middle\"")
	}
	if as.strong {
		p.raw(" font-weight=\"600\"")
	}
	p.raw(">").text(s).raw("</text>\n")
}
