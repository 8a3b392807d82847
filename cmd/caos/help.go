package main

import (
	"fmt"
	"slices"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The help is ours because what it must do is read at 80 columns: sentences break between
// words, and an example can be copied whole.

const (
	helpWidest = 92 // columns at most: longer lines are hard to read
	helpUsual  = 80 // columns where nothing says how many there are, such as in a pager
	helpNames  = 26 // columns of names at most; a longer one has a line to itself
	helpIndent = "  "
)

// help writes what a command is for, how it is called and what it takes.
func (e *environment) help(c *cobra.Command) {
	h := &helper{e: e, width: helpUsual}
	if e.width > 0 {
		h.width = max(40, min(helpWidest, e.width))
	}
	about := c.Long
	if about == "" {
		about = c.Short + "."
	}
	e.line("")
	for _, paragraph := range strings.Split(strings.TrimSpace(about), "\n") {
		h.block(helpIndent, paragraph)
	}
	h.title("usage")
	use := strings.TrimSuffix(c.UseLine(), " [flags]")
	if c.HasAvailableSubCommands() {
		use += " COMMAND"
	}
	h.block("    ", use+" [flags]")
	if c.Example != "" {
		h.title("examples")
		for _, l := range strings.Split(strings.Trim(c.Example, "\n"), "\n") {
			h.example(l)
		}
	}
	h.commands(c)
	if c.HasParent() {
		h.flags("flags", c.NonInheritedFlags())
		h.flags("flags of every command", c.InheritedFlags(), row{"-h, --help", "this text"})
	} else {
		h.flags("flags of every command", c.NonInheritedFlags(), row{"-h, --help", "this text"})
	}
	e.line("")
}

// helper is a help on its way to the screen.
type helper struct {
	e     *environment
	width int
}

func (h *helper) title(s string) {
	h.e.line("\n%s%s\n", helpIndent, h.e.paint.bold(strings.ToUpper(s)))
}

// block writes a text, each of its lines indented.
func (h *helper) block(indent, text string) {
	for _, l := range strings.Split(fold(text, h.width-len(indent)), "\n") {
		h.e.line("%s", strings.TrimRight(indent+l, " "))
	}
}

// example writes a command for copying: a long one goes on in the next line, as a shell
// reads it. It is broken before a flag, which is never inside quotes, and between other words
// only where what is between two flags does not fit a line.
func (h *helper) example(text string) {
	const indent = "    "
	indented := strings.HasPrefix(text, indent)
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		h.e.line("")
		return
	case strings.HasPrefix(text, "#"):
		h.e.line("%s%s", indent, h.e.paint.dim(text))
		return
	}
	first := indent
	if indented {
		first += indent
	}
	var b strings.Builder
	used := len(first)
	for i, part := range strings.Split(text, " --") {
		if i > 0 {
			part = "--" + part
		}
		pieces := []string{part}
		if 2*len(indent)+lipgloss.Width(part)+2 > h.width && !strings.ContainsAny(part, `'"`) {
			pieces = strings.Fields(part)
		}
		for _, piece := range pieces {
			switch w := lipgloss.Width(piece); {
			case b.Len() == 0:
				used += w
			case used+1+w+2 > h.width:
				b.WriteString(" \\\n" + indent + indent)
				used = 2*len(indent) + w
			default:
				b.WriteByte(' ')
				used += 1 + w
			}
			b.WriteString(piece)
		}
	}
	h.e.line("%s%s", first, b.String())
}

// row is a name and what it is.
type row struct{ name, about string }

func (h *helper) rows(list []row) {
	width := 0
	for _, r := range list {
		if n := lipgloss.Width(r.name); n <= helpNames {
			width = max(width, n)
		}
	}
	if width == 0 {
		width = helpNames / 2
	}
	for _, r := range list {
		margin := strings.Repeat(" ", 4+width+2)
		text := strings.Split(fold(r.about, h.width-len(margin)), "\n")
		name := h.e.paint.accent(r.name)
		if pad := width - lipgloss.Width(r.name); pad >= 0 {
			h.e.line("    %s%s  %s", name, strings.Repeat(" ", pad), text[0])
			text = text[1:]
		} else {
			h.e.line("    %s", name)
		}
		for _, l := range text {
			h.e.line("%s%s", margin, l)
		}
	}
}

func (h *helper) commands(c *cobra.Command) {
	groups := []*cobra.Group{{Title: "commands"}}
	if list := c.Groups(); len(list) > 0 {
		groups = append(slices.Clone(list), &cobra.Group{Title: "else"})
	}
	for _, g := range groups {
		var list []row
		for _, sub := range c.Commands() {
			if sub.GroupID != g.ID || !sub.IsAvailableCommand() && sub.Name() != "help" {
				continue
			}
			name := sub.Name()
			if c.HasParent() { // of the root's many commands the names are enough
				name, _, _ = strings.Cut(sub.Use, " [flags]")
			}
			list = append(list, row{name, sub.Short})
		}
		if len(list) > 0 {
			h.title(g.Title)
			h.rows(list)
		}
	}
}

// flags writes the flags of a set, and further rows after them.
func (h *helper) flags(title string, set *pflag.FlagSet, further ...row) {
	var list []row
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name, about := "    --"+f.Name, f.Usage
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", --" + f.Name
		}
		switch f.DefValue {
		case "", "false", "0", "0s", "[]":
		default:
			about += fmt.Sprintf(" (%s)", f.DefValue)
		}
		list = append(list, row{name, about})
	})
	if list = append(list, further...); len(list) > 0 {
		h.title(title)
		h.rows(list)
	}
}
