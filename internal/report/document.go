package report

import (
	"strings"
)

// document is the report as blocks, the same for both forms: what is said is decided here
// once, and HTML and PDF differ in how it looks alone.
type document struct {
	title    string   // of the window and the file
	subject  string   // one line of metadata
	marking  string   // classification, on every page
	left     string   // page header
	right    string   // page footer
	keywords []string // ids
	sheet    string   // style of blocks that other reports do not have
	sections []section
}

// drawn is a block of a report that has no other form than HTML: it writes itself.
type drawn interface {
	block
	html(p *page)
}

// section is a chapter; the first has no number and is the summary.
type section struct {
	id     string // anchor
	number string // "3"; "" for the summary
	title  string
	blocks []block
}

// block is one of the types below.
type block interface{ block() }

type (
	// masthead is the head of the first page.
	masthead struct {
		kicker, title, name string
		facts               []fact
	}
	// paragraph is a paragraph. A lead is larger, and a small one is an aside.
	paragraph struct {
		text line
		size int // -1 small, 0, 1 lead
	}
	// result is the first sentence of a chapter: what came of it.
	result struct{ text line }
	// subtitle heads a part of a chapter.
	subtitle struct{ id, text string }
	// facts are names with values.
	facts struct{ list []fact }
	// panels stand side by side and hold the most important statements.
	panels struct{ list []panel }
	// tiles are figures in brief.
	tiles struct{ list []tile }
	// table is a table; its header is repeated on each page.
	table struct {
		columns []column
		rows    [][]cell
		none    string // sentence that stands for an empty table
	}
	// matrices is the risk matrix, initial and residual.
	matrices struct{ list []matrix }
	// steps are things to do, with commands.
	steps struct{ list []step }
	// bullets is a list.
	bullets struct{ list []line }
	// contents is the table of contents.
	contents struct{}
)

func (masthead) block()  {}
func (paragraph) block() {}
func (result) block()    {}
func (subtitle) block()  {}
func (facts) block()     {}
func (panels) block()    {}
func (tiles) block()     {}
func (table) block()     {}
func (matrices) block()  {}
func (steps) block()     {}
func (bullets) block()   {}
func (contents) block()  {}

type fact struct {
	name  string
	value cell
}

type panel struct {
	label string
	head  span // the word, with its mark
	text  []line
}

type tile struct {
	name   string
	value  span
	detail string
	to     string // id of the chapter
}

type column struct {
	title string
	share int  // of the width, in percent
	right bool // aligned
}

type step struct {
	text    line
	command string
	expect  string
}

// tone is what a colour stands for. Nothing is said by a tone alone: a mark or a word says
// the same.
type tone int

const (
	ink tone = iota
	good
	warn
	bad
	quiet
)

// mark is a small drawn sign; each has a shape of its own.
type mark int

const (
	noMark  mark = iota
	yes          // a disc with a tick
	caution      // a triangle
	no           // a square with a cross
	open         // a ring
)

// style is how a span is set.
type style int

const (
	plainText style = iota
	strong
	code
	chip // a word on the colour of a risk level
)

// span is text in one style; line is a paragraph of them, cell holds paragraphs.
type span struct {
	text  string
	style style
	tone  tone
	mark  mark
	href  string
	level int // of a chip: 1 lowest to 4
}

type (
	line []span
	cell []line
)

// t is text: our own words, or anybody's, made harmless.
func t(s string) span          { return span{text: strings.ReplaceAll(clean(s), "\n", " ")} }
func b(s string) span          { return span{text: t(s).text, style: strong} }
func c(s string) span          { return span{text: t(s).text, style: code} }
func hush(s string) span       { return span{text: t(s).text, tone: quiet} }
func link(s, to string) span   { return span{text: t(s).text, href: webLink(to)} }
func say(texts ...string) line { return line{t(strings.Join(texts, ""))} }

// marked is a word in bold with its mark and tone.
func marked(m mark, s string) span {
	return span{text: t(s).text, style: strong, mark: m, tone: toneOf(m)}
}

func toneOf(m mark) tone {
	switch m {
	case yes:
		return good
	case caution:
		return warn
	case no:
		return bad
	}
	return ink
}

// outcome is a decision with its mark.
func outcome(s string) span {
	switch s {
	case Approved:
		return marked(yes, s)
	case Conditional:
		return marked(caution, s)
	case Rejected, "FAILED", "CANCELLED":
		return marked(no, s)
	}
	return marked(open, or(s, "NOT STATED"))
}

// text is a cell of one line, one is a cell of one span.
func text(s string) cell {
	if s == "" {
		return nil
	}
	return cell{{t(s)}}
}

func one(s span) cell {
	if s.text == "" {
		return nil
	}
	return cell{{s}}
}

// prose is a cell of the paragraphs of s.
func prose(s string) cell {
	var c cell
	for p := range strings.SplitSeq(clean(s), "\n") {
		if p = strings.TrimSpace(p); p != "" {
			c = append(c, line{t(p)})
		}
	}
	return c
}

// labelled puts a quiet label before the first line.
func labelled(label string, c cell) cell {
	if len(c) > 0 {
		c[0] = append(line{hush(label + " ")}, c[0]...)
	}
	return c
}

// join puts cells below each other.
func join(cells ...cell) cell {
	var all cell
	for _, c := range cells {
		all = append(all, c...)
	}
	return all
}

// ids are ids with commas.
func ids(all []string) cell { return text(strings.Join(all, ", ")) }

// backquotes turns what stands between backquotes into code.
func backquotes(s string) line {
	var l line
	for i, part := range strings.Split(clean(s), "`") {
		switch {
		case part == "":
		case i%2 == 1:
			l = append(l, c(part))
		default:
			l = append(l, t(part))
		}
	}
	return l
}
