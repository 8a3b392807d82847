package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"caos/internal/engine"
)

// screen draws the demo: numbered parts, and in them lines that are only ever added, so
// that it reads the same in a terminal, a pipe and a log.
type screen struct {
	w       io.Writer
	p       paint
	width   int
	ok, no  string
	started time.Time
	part    int
}

const (
	screenUsual  = 92
	screenNarrow = 60
	indent       = "   "
)

func newScreen(e *environment, toErr bool, started time.Time) *screen {
	s := &screen{w: e.out, p: e.paint, width: screenUsual, ok: "✓", no: "✗", started: started}
	if toErr {
		s.w, s.p = e.err, e.errPaint
	}
	if !toErr && e.width > 0 {
		s.width = max(screenNarrow, min(screenUsual, e.width))
	}
	return s
}

// title opens the demo.
func (s *screen) title(name, about string) {
	fmt.Fprintf(s.w, "\n%s  %s\n%s\n", s.p.bold(name), about, s.p.dim(strings.Repeat("─", s.width)))
}

// chapter begins a part; the time since the start stands at its right.
func (s *screen) chapter(title string) {
	s.part++
	left := fmt.Sprintf("%d  %s", s.part, title)
	clock := fmt.Sprintf("%.1f s", time.Since(s.started).Seconds())
	gap := max(2, s.width-lipgloss.Width(left)-len(clock))
	fmt.Fprintf(s.w, "\n%s  %s%s%s\n", s.p.accent(fmt.Sprint(s.part)), s.p.bold(title), strings.Repeat(" ", gap), s.p.dim(clock))
}

// say writes a sentence, broken to the width.
func (s *screen) say(format string, args ...any) {
	s.wrapped(indent, indent, fmt.Sprintf(format, args...), func(t string) string { return t })
}

// good and bad write a sentence behind a mark.
func (s *screen) good(format string, args ...any) {
	s.wrapped(indent+s.p.good(s.ok)+" ", indent+"  ", fmt.Sprintf(format, args...), func(t string) string { return t })
}

// caught is for what was refused or found: it went wrong, as it must.
func (s *screen) caught(format string, args ...any) {
	s.wrapped(indent+s.p.warn(s.no)+" ", indent+"  ", fmt.Sprintf(format, args...), func(t string) string { return t })
}

// note writes what is worth little attention.
func (s *screen) note(format string, args ...any) {
	s.wrapped(indent+"  ", indent+"  ", fmt.Sprintf(format, args...), s.p.dim)
}

func (s *screen) wrapped(first, rest, text string, style func(string) string) {
	room := s.width - lipgloss.Width(rest)
	lead := first
	for line := range strings.SplitSeq(fold(clean(text), room), "\n") {
		fmt.Fprintf(s.w, "%s%s\n", lead, style(line))
		lead = rest
	}
}

// fold breaks text at spaces; a word longer than a line stays whole.
func fold(text string, room int) string {
	var b strings.Builder
	used := 0
	for i, word := range strings.Split(text, " ") {
		w := lipgloss.Width(word)
		switch {
		case i == 0:
		case used+1+w > room:
			b.WriteByte('\n')
			used = 0
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += w
	}
	return b.String()
}

// facts writes names and values in columns.
func (s *screen) facts(list ...pair) {
	width := 0
	for _, p := range list {
		width = max(width, len(p.name))
	}
	for _, p := range list {
		name := fmt.Sprintf("%-*s", width, p.name)
		s.wrapped(indent+s.p.dim(name)+"  ", indent+strings.Repeat(" ", width+2), p.value, func(t string) string { return t })
	}
}

// hook announces a run of a hook.
func (s *screen) hook(id, what, who string) {
	what, who = clean(what), "as "+who
	gap := "  "
	if len(indent)+len(id)+lipgloss.Width(what)+len(who)+4 > s.width {
		gap = "\n" + indent + "  "
	}
	fmt.Fprintf(s.w, "%s%s%s%s  %s\n", indent, s.p.bold(id), gap, what, s.p.dim(who))
}

// step writes a finished action of an execution.
func (s *screen) step(r engine.StepRecord) {
	mark := s.p.good(s.ok)
	if r.Status != engine.StepDone {
		mark = s.p.warn(s.no)
	}
	text := fmt.Sprintf("%d  %s", r.Number, r.Action)
	more := took(r)
	if r.Attempt > 1 {
		more = strings.TrimSpace(fmt.Sprintf("attempt %d  %s", r.Attempt, more))
	}
	gap := max(2, 58-lipgloss.Width(text))
	fmt.Fprintf(s.w, "%s  %s %s%s%s\n", indent, mark, text, strings.Repeat(" ", gap), s.p.dim(more))
}

// took is how long an action ran; what took no time of its own, inside a transaction,
// says so by saying nothing.
func took(r engine.StepRecord) string {
	if r.FinishedAt == nil {
		return ""
	}
	from, err1 := time.Parse(time.RFC3339Nano, r.StartedAt)
	to, err2 := time.Parse(time.RFC3339Nano, *r.FinishedAt)
	if d := to.Sub(from); err1 == nil && err2 == nil && d >= time.Millisecond {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return ""
}

// command writes something to type.
func (s *screen) command(format string, args ...any) {
	fmt.Fprintf(s.w, "%s%s\n", indent, s.p.accent(fmt.Sprintf(format, args...)))
}

func (s *screen) blank() { fmt.Fprintln(s.w) }
