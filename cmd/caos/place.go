package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"caos"
)

// place is where something stands in a text, both counted from 1; 0 is not known.
type place struct{ line, column int }

// of writes a place as editors and compilers do: FILE:LINE:COLUMN.
func (p place) of(file string) string {
	if file == "-" {
		file = "standard input"
	}
	if p.line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d:%d", file, p.line, p.column)
}

// placeOf finds the value that a path such as transforms[2].sql names in a YAML or JSON text.
// Of a path that leads further than the text does it finds as much as there is.
func placeOf(text []byte, field string) (found place) {
	defer func() {
		if recover() != nil { // the parser is not ours; without a place the message still stands
			found = place{}
		}
	}()
	file, err := parser.ParseBytes(text, 0)
	if err != nil || len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return place{}
	}
	at := file.Docs[0].Body
	for _, step := range steps(field) {
		next, key := below(at, step)
		if next == nil {
			break
		}
		at, found = next, positionOf(next)
		if key != nil {
			found = positionOf(key)
		}
	}
	return found
}

// pathStep is one part of a path: a key, or a position in a list.
type pathStep struct {
	key   string
	index int // -1 for a key
}

// pathPart is a key, ["a key"] or [3].
var pathPart = regexp.MustCompile(`^\.?(?:\["((?:[^"\\]|\\.)*)"\]|\[([0-9]{1,6})\]|([^.\[\]]+))`)

func steps(field string) (out []pathStep) {
	for field != "" && len(out) < 64 {
		m := pathPart.FindStringSubmatch(field)
		if m == nil {
			return out
		}
		field = field[len(m[0]):]
		switch {
		case m[2] != "":
			n, _ := strconv.Atoi(m[2]) // at most six digits
			out = append(out, pathStep{index: n})
		case m[3] != "":
			out = append(out, pathStep{key: m[3], index: -1})
		default:
			key, err := strconv.Unquote(`"` + m[1] + `"`)
			if err != nil {
				return out
			}
			out = append(out, pathStep{key: key, index: -1})
		}
	}
	return out
}

// below returns what a step leads to, with the key in front of it if there is one.
func below(at ast.Node, s pathStep) (next, key ast.Node) {
	switch n := at.(type) {
	case *ast.SequenceNode:
		if s.index >= 0 && s.index < len(n.Values) {
			return n.Values[s.index], nil
		}
	case *ast.MappingNode:
		for _, v := range n.Values {
			if s.index < 0 && v.Key.GetToken().Value == s.key {
				return v.Value, v.Key
			}
		}
	case *ast.MappingValueNode:
		if s.index < 0 && n.Key.GetToken().Value == s.key {
			return n.Value, n.Key
		}
	}
	return nil, nil
}

func positionOf(n ast.Node) place {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 {
		n = m.Values[0].Key // a mapping itself stands at its first colon
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		n = m.Key
	}
	t := n.GetToken()
	if t == nil || t.Position == nil {
		return place{}
	}
	return place{t.Position.Line, t.Position.Column}
}

// said is a place that a message about the form of a text names.
var said = regexp.MustCompile(`line (\d{1,7})(?:, column (\d{1,7}))?`)

// placeOfError finds where an error about a text is: by its field, or by what it says.
func placeOfError(text []byte, err error) place {
	e := caos.AsError(err)
	if m := said.FindStringSubmatch(e.Hint + " " + e.Message); m != nil {
		line, _ := strconv.Atoi(m[1]) // digits
		column, _ := strconv.Atoi(m[2])
		return place{line, max(1, column)}
	}
	return placeOf(text, e.Field)
}

// inSQL moves the place of a statement to the line of it that a message names, where the
// statement is written below its key, as a block.
func inSQL(text []byte, p place, message string) place {
	m := said.FindStringSubmatch(strings.ToLower(message))
	lines := strings.Split(string(text), "\n")
	if m == nil || p.line == 0 || p.line > len(lines) {
		return p
	}
	head := strings.TrimSpace(lines[p.line-1])
	if !strings.HasSuffix(head, "|") && !strings.HasSuffix(head, "|-") && !strings.HasSuffix(head, "|+") {
		return p
	}
	n, _ := strconv.Atoi(m[1])
	if at := p.line + n; n > 0 && at <= len(lines) {
		body := lines[at-1]
		return place{at, 1 + len(body) - len(strings.TrimLeft(body, " "))}
	}
	return p
}
