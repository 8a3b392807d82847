package report

import (
	_ "embed"
	"math"
	"strconv"
)

// The pictures of a validation. Lines and areas are SVG that stretches with the page; every
// word and figure stands beside it as text, so that it can be read at any width.

//go:embed validation.css
var pictureSheet string

type (
	// bars are shares of a whole.
	bars struct{ list []bar }
	// trend is a score over time.
	trend struct{ points []QualityPoint }
	// columns is a table of columns, each with a picture of its values.
	columns struct {
		list []QualityColumn
		rows int64
	}
	// details are texts that are shown on demand.
	details struct{ list []detail }
)

func (bars) block()    {}
func (trend) block()   {}
func (columns) block() {}
func (details) block() {}

type bar struct {
	name   string
	share  *float64
	value  string
	detail string
	mark   mark
}

type detail struct {
	head line
	code string
}

func (x bars) html(p *page) {
	p.raw("<div class=\"bars\">\n")
	for _, r := range x.list {
		p.raw("<div><span>").bidi(t(or(r.name, "(no dimension)")).text).raw("</span><svg class=\"share\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"track\" width=\"100\" height=\"10\"/>")
		if r.share != nil {
			p.raw("<rect class=\"fill-").raw(toneClass(toneOf(r.mark))).raw("\" width=\"").raw(decimal(100 * clamp(*r.share))).raw("\" height=\"10\"/>")
		}
		p.raw("</svg><span class=\"right\">").span(marked(r.mark, r.value)).raw("</span><span class=\"label\">").text(r.detail).raw("</span></div>\n")
	}
	p.raw("</div>\n")
}

func clamp(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return math.Min(1, math.Max(0, v))
}

// html draws the scores as a line from the first to the last. The scale begins at 0, or
// higher where all scores are high, and says so at its ends.
func (x trend) html(p *page) {
	low := 1.0
	for _, at := range x.points {
		if at.Score != nil {
			low = math.Min(low, clamp(*at.Score))
		}
	}
	floor := 0.0
	if low > 0.5 {
		floor = math.Max(0, math.Floor((low-0.05)*10)/10)
	}
	place := func(i int) (float64, float64) {
		return 100 * float64(i) / float64(max(len(x.points)-1, 1)), 100 * (1 - (clamp(*x.points[i].Score)-floor)/(1-floor))
	}
	path, pen := "", "M"
	for i, at := range x.points {
		if at.Score == nil {
			pen = "M" // what has no score is a gap
			continue
		}
		h, v := place(i)
		path += pen + decimal(h) + " " + decimal(v)
		pen = "L"
	}
	p.raw("<div class=\"plot\"><div class=\"ends\"><span>1.0</span><span>").text(strconv.FormatFloat(floor, 'f', 1, 64)).
		raw("</span></div><svg role=\"img\" viewBox=\"0 0 100 100\" preserveAspectRatio=\"none\"><title>").text(x.says()).raw("</title>")
	p.raw("<path class=\"grid\" vector-effect=\"non-scaling-stroke\" d=\"M0 0H100M0 50H100\"/>")
	if path != "" {
		p.raw("<path class=\"wire\" vector-effect=\"non-scaling-stroke\" d=\"").raw(path).raw("\"/>\n")
	}
	for i, at := range x.points {
		if at.Score != nil {
			h, v := place(i)
			p.raw("<path class=\"dot d-").raw(toneClass(verdictOf(at.Status).tone)).raw("\" vector-effect=\"non-scaling-stroke\" d=\"M").raw(decimal(h)).raw(" ").raw(decimal(v)).raw("h0.01\"/>")
		}
	}
	p.raw("</svg><div class=\"dates\"><span>").text(instant(x.points[0].At)).raw("</span><span>").text(instant(x.points[len(x.points)-1].At)).raw("</span></div></div>\n")
	p.raw("<p class=\"legend\">")
	for _, s := range []string{Pass, Warning, Fail} {
		p.raw("<svg viewBox=\"0 0 16 16\" aria-hidden=\"true\"><circle cx=\"8\" cy=\"8\" r=\"7\" class=\"fill-").raw(toneClass(verdictOf(s).tone)).raw("\"/></svg> ").text(s).raw("   ")
	}
	p.raw("</p>\n")
}

// says is the picture in words.
func (x trend) says() string {
	first, last := x.points[0], x.points[len(x.points)-1]
	return "Quality score of " + strconv.Itoa(len(x.points)) + " validations, from " + scoreText(first.Score) + " to " + scoreText(last.Score)
}

func (x columns) html(p *page) {
	p.raw("<table><colgroup><col class=\"w24\"/><col class=\"w16\"/><col class=\"w15\"/><col class=\"w45\"/></colgroup><thead><tr><th scope=\"col\">Column</th><th scope=\"col\" class=\"right\">Missing</th>" +
		"<th scope=\"col\" class=\"right\">Distinct</th><th scope=\"col\">Values</th></tr></thead><tbody>\n")
	for _, q := range x.list {
		p.raw("<tr><td data-label=\"Column\"><div>").line(line{c(q.Name)}).raw("<br/>").line(line{hush(q.Type)}).raw("</div></td>")
		missing := cell{{t(thousands(q.Nulls))}}
		if q.Nulls > 0 && x.rows > 0 {
			missing = append(missing, line{hush(percent(q.Nulls, x.rows))})
		}
		p.raw("<td data-label=\"Missing\" class=\"right\"><div>").cell(missing).raw("</div></td><td data-label=\"Distinct\" class=\"right\"><div>")
		if q.Distinct < 0 {
			p.line(line{hush("–")})
		} else {
			p.text(thousands(q.Distinct))
		}
		p.raw("</div></td><td data-label=\"Values\"><div>")
		q.values(p)
		p.raw("</div></td></tr>\n")
	}
	p.raw("</tbody></table>\n")
}

func (q QualityColumn) values(p *page) {
	switch {
	case q.Masked:
		p.line(line{hush("(masked)")})
		return
	case len(q.Quantiles) == 7 && finiteAll(q.Quantiles):
		q.boxPlot(p)
		p.raw("<div class=\"scale\"><span>").text(short(q.Quantiles[0])).raw("</span><span>median ").text(short(q.Quantiles[3])).raw("</span><span>").text(short(q.Quantiles[6])).raw("</span></div>")
	case q.Min != "" || q.Max != "":
		p.line(line{c(clipped(q.Min)), hush(" to "), c(clipped(q.Max))})
	default:
		p.line(line{hush("–")})
	}
	if q.Mean != nil && finiteAll([]float64{*q.Mean}) {
		p.raw("<div class=\"scale\"><span>mean ").text(short(*q.Mean)).raw("</span></div>")
	}
}

func clipped(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}

// short is a number for a label.
func short(v float64) string {
	s := strconv.FormatFloat(v, 'g', 6, 64)
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		s = thousands(int64(v))
	}
	if len(s) > 0 && s[0] == '-' {
		s = "−" + s[1:]
	}
	return s
}

func finiteAll(list []float64) bool {
	for _, v := range list {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

// boxPlot draws a box with whiskers. Where few values lie far out, the picture ends before
// them and has an arrow, so that the box does not shrink to a line.
func (q QualityColumn) boxPlot(p *page) {
	z := q.Quantiles
	span := z[5] - z[1]
	low, high := math.Max(z[0], z[1]-1.5*span), math.Min(z[6], z[5]+1.5*span)
	if span == 0 {
		low, high = z[0], z[6]
	}
	for _, o := range q.Outliers {
		for _, v := range []*float64{o.Low, o.High} {
			if v != nil && finiteAll([]float64{*v}) && *v > z[1]-3*span && *v < z[5]+3*span {
				low, high = math.Min(low, *v), math.Max(high, *v)
			}
		}
	}
	at := func(v float64) float64 {
		if high-low <= 0 || math.IsInf(high-low, 0) {
			return 50
		}
		return 3 + 94*math.Min(1, math.Max(0, (v-low)/(high-low)))
	}
	p.raw("<svg class=\"box\" role=\"img\" viewBox=\"0 0 100 24\" preserveAspectRatio=\"none\"><title>").text("from " + short(z[0]) + ", middle half " + short(z[2]) + " to " + short(z[4]) + ", median " + short(z[3]) + ", to " + short(z[6])).raw("</title>")
	stroke := func(class, d string) {
		p.raw("<path class=\"").raw(class).raw("\" vector-effect=\"non-scaling-stroke\" d=\"").raw(d).raw("\"/>")
	}
	stroke("whisker", "M"+decimal(at(z[1]))+" 12H"+decimal(at(z[5]))+"M"+decimal(at(z[1]))+" 7V17M"+decimal(at(z[5]))+" 7V17")
	p.raw("<rect class=\"half\" vector-effect=\"non-scaling-stroke\" x=\"").raw(decimal(at(z[2]))).raw("\" y=\"4\" width=\"").raw(decimal(math.Max(0.3, at(z[4])-at(z[2])))).raw("\" height=\"16\"/>")
	stroke("median", "M"+decimal(at(z[3]))+" 3V21")
	if z[0] < low {
		stroke("beyond", "M2.2 8L0 12L2.2 16")
	}
	if z[6] > high {
		stroke("beyond", "M97.8 8L100 12L97.8 16")
	}
	for _, o := range q.Outliers {
		for _, v := range []*float64{o.Low, o.High} {
			if v != nil && *v >= low && *v <= high {
				stroke("bound", "M"+decimal(at(*v))+" 0V24")
			}
		}
	}
	p.raw("</svg>")
}

func (x details) html(p *page) {
	for _, d := range x.list {
		p.raw("<details><summary>").line(d.head).raw("</summary><pre><code>").text(clean(d.code)).raw("</code></pre></details>\n")
	}
}
