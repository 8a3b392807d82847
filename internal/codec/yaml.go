package codec

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"unicode/utf8"

	"caos"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// YAML is read as the part of it that every version and every library reads the same way:
// one document of mappings, sequences and scalars. Anchors, aliases, merge keys, tags and
// directives are refused, not bounded: nothing that people send here needs them, and a
// document that is small to send stays small in memory.
//
// The library builds a path string for every node, so its memory is nodes × path length.
// The tokens are therefore weighed before they are parsed.
const (
	maxYAMLKey    = 256      // bytes of one key
	maxYAMLWeight = 64 << 20 // bytes of paths that the library may build, estimated from above
)

// jsonNumber is the one form of number that YAML 1.1, YAML 1.2 and JSON agree on.
var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// yamlToJSON translates a YAML document. The result still has to pass the JSON scan,
// which finds duplicate keys and counts exactly.
func yamlToJSON(data []byte, lim Limits) ([]byte, error) {
	if !utf8.Valid(data) {
		return nil, caos.Errorf(caos.Invalid, "the document is not valid UTF-8")
	}
	text := string(data)
	if strings.HasPrefix(text, "\ufeff") {
		return nil, caos.Errorf(caos.Invalid, "the document begins with a byte order mark").WithHint("send UTF-8 without one")
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0x7f }); i >= 0 {
		return nil, caos.Errorf(caos.Invalid, "not YAML: a control character at byte %d", i)
	}
	if err := rawNesting(text, lim); err != nil {
		return nil, err
	}
	tokens := lexer.Tokenize(text)
	if err := weigh(tokens, lim); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, yamlSyntax(err)
	}
	w := &yamlWriter{lim: lim}
	n := 0
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if n++; n > 1 {
			return nil, caos.Errorf(caos.Invalid, "the YAML text holds more than one document").WithHint("send one document a request")
		}
		if err := w.node(doc.Body, 0); err != nil {
			return nil, err
		}
	}
	return w.out, nil
}

// rawNesting refuses, before the library sees it, text whose brackets open deeper than the
// limit or whose lines begin with a ladder of dashes: its parser is recursive. Brackets
// inside quotes and comments count too, up to a slack that ordinary text never reaches.
func rawNesting(text string, lim Limits) error {
	open, ladder, lineStart := 0, 0, true
	for i := range len(text) {
		switch c := text[i]; c {
		case '[', '{':
			if open++; open > lim.MaxDepth+1000 {
				return tooDeep(lim)
			}
			lineStart = false
		case ']', '}':
			open = max(0, open-1)
			lineStart = false
		case '\n':
			lineStart, ladder = true, 0
		case '-', '?', ':':
			if lineStart {
				if ladder++; ladder > 2*lim.MaxDepth+80 {
					return tooDeep(lim)
				}
			}
		case ' ', '\t', '\r':
		default:
			lineStart = false
		}
	}
	return nil
}

func tooDeep(lim Limits) error {
	return caos.Errorf(caos.TooLarge, "the document is nested more than %d deep", lim.MaxDepth)
}

// weigh refuses what the subset leaves out, and token lists that would make the parser
// recurse or allocate without measure.
func weigh(tokens token.Tokens, lim Limits) error {
	if len(tokens) > 4*lim.MaxNodes+64 {
		return caos.Errorf(caos.TooLarge, "the document has more than %d values", lim.MaxNodes)
	}
	flow, deepest, longest, values := 0, 0, 0, 0
	columns := map[int]bool{}
	for i, tk := range tokens {
		if err := subset(tk); err != nil {
			return err
		}
		switch tk.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
			deepest = max(deepest, flow)
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType:
			if flow == 0 {
				columns[tk.Position.Column] = true
			}
		case token.MappingValueType:
			if i > 0 {
				key := tokens[i-1]
				longest = max(longest, len(key.Value))
				if flow == 0 {
					columns[key.Position.Column] = true
				}
			}
		default:
			values++
		}
		if flow > lim.MaxDepth || len(columns) > 4*lim.MaxDepth {
			return tooDeep(lim)
		}
	}
	if longest > maxYAMLKey {
		return caos.Errorf(caos.TooLarge, "a YAML key has more than %d bytes", maxYAMLKey)
	}
	if depth := deepest + 2*len(columns); int64(values)*int64(depth)*int64(longest+8) > maxYAMLWeight {
		return caos.Errorf(caos.TooLarge, "the YAML document is too complex").WithHint("send it as JSON")
	}
	return nil
}

func subset(tk *token.Token) error {
	what := ""
	switch tk.Type {
	case token.AnchorType:
		what = "an anchor"
	case token.AliasType:
		what = "an alias"
	case token.MergeKeyType:
		what = "a merge key"
	case token.TagType:
		what = "a tag"
	case token.DirectiveType:
		what = "a directive"
	default:
		return nil
	}
	return caos.Errorf(caos.Invalid, "YAML with %s is not accepted", what).
		WithHint("line %d: write the value out", tk.Position.Line)
}

func yamlSyntax(err error) error {
	var se yaml.Error
	if errors.As(err, &se) {
		e := caos.Errorf(caos.Invalid, "not YAML: %s", se.GetMessage())
		if tk := se.GetToken(); tk != nil && tk.Position != nil {
			return e.WithHint("line %d, column %d", tk.Position.Line, tk.Position.Column)
		}
		return e
	}
	return caos.Wrap(caos.Invalid, err, "not YAML")
}

// yamlWriter writes the syntax tree as JSON text.
type yamlWriter struct {
	lim   Limits
	nodes int
	out   []byte
}

func (w *yamlWriter) node(n ast.Node, depth int) error {
	if depth > w.lim.MaxDepth {
		return tooDeep(w.lim)
	}
	if w.nodes++; w.nodes > w.lim.MaxNodes {
		return caos.Errorf(caos.TooLarge, "the document has more than %d values", w.lim.MaxNodes)
	}
	switch n := n.(type) {
	case nil:
		w.out = append(w.out, "null"...)
	case *ast.NullNode:
		w.out = append(w.out, "null"...)
	case *ast.BoolNode:
		return w.boolean(n)
	case *ast.IntegerNode:
		return w.number(n.Token)
	case *ast.FloatNode:
		return w.number(n.Token)
	case *ast.InfinityNode:
		return w.number(n.Token)
	case *ast.NanNode:
		return w.number(n.Token)
	case *ast.StringNode:
		return w.plainOrQuoted(n)
	case *ast.LiteralNode:
		return w.str(n.Value.Value)
	case *ast.MappingNode:
		return w.mapping(n.Values, depth)
	case *ast.MappingValueNode:
		return w.mapping([]*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		return w.sequence(n.Values, depth)
	default:
		e := caos.Errorf(caos.Invalid, "YAML of this kind is not accepted here")
		if tk := n.GetToken(); tk != nil && tk.Position != nil {
			return e.WithHint("line %d: use mappings, sequences, strings, numbers, true, false and null", tk.Position.Line)
		}
		return e
	}
	return nil
}

func (w *yamlWriter) mapping(values []*ast.MappingValueNode, depth int) error {
	w.out = append(w.out, '{')
	for i, v := range values {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		key, ok := v.Key.(*ast.StringNode)
		if !ok {
			e := caos.Errorf(caos.Invalid, "a YAML key is not a string")
			if tk := v.Key.GetToken(); tk != nil && tk.Position != nil {
				return e.WithField(clip(tk.Value)).WithHint("line %d: put the key in quotes", tk.Position.Line)
			}
			return e
		}
		if err := w.str(key.Value); err != nil {
			return err
		}
		w.out = append(w.out, ':')
		if err := w.node(v.Value, depth+1); err != nil {
			return err
		}
	}
	w.out = append(w.out, '}')
	return nil
}

func (w *yamlWriter) sequence(values []ast.Node, depth int) error {
	w.out = append(w.out, '[')
	for i, v := range values {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		if err := w.node(v, depth+1); err != nil {
			return err
		}
	}
	w.out = append(w.out, ']')
	return nil
}

func (w *yamlWriter) boolean(n *ast.BoolNode) error {
	if n.Value {
		w.out = append(w.out, "true"...)
	} else {
		w.out = append(w.out, "false"...)
	}
	return nil
}

// number copies a number that is written as in JSON. 0123, 0x1F, 1_000, +1 and .inf mean
// different things to different readers.
func (w *yamlWriter) number(tk *token.Token) error {
	if !jsonNumber.MatchString(tk.Value) {
		return ambiguous(tk)
	}
	w.out = append(w.out, tk.Value...)
	return nil
}

// looksNumeric matches plain scalars that some version of YAML reads as a number.
var looksNumeric = regexp.MustCompile(`^[-+]?(\.[0-9][0-9_]*|[0-9][0-9_]*\.?[0-9_]*)([eE][-+]?[0-9]+)?$|^[-+]?0[xob][0-9a-fA-F_]+$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$`)

// plainOrQuoted writes a string. A plain one that some reader would take for a number is
// refused, and one that is a JSON number is a number.
func (w *yamlWriter) plainOrQuoted(n *ast.StringNode) error {
	if tk := n.Token; tk.Type == token.StringType {
		if jsonNumber.MatchString(n.Value) {
			w.out = append(w.out, n.Value...)
			return nil
		}
		if looksNumeric.MatchString(n.Value) {
			return ambiguous(tk)
		}
	}
	return w.str(n.Value)
}

func ambiguous(tk *token.Token) error {
	return caos.Errorf(caos.Invalid, "%q is a number to some YAML readers and not to others", clip(tk.Value)).
		WithHint("line %d: write the number as in JSON, or put it in quotes", tk.Position.Line)
}

func (w *yamlWriter) str(s string) error {
	if strings.IndexByte(s, 0) >= 0 {
		return caos.Errorf(caos.Invalid, "the character U+0000 cannot be stored")
	}
	if !utf8.ValidString(s) {
		return caos.Errorf(caos.Invalid, "an escape in a string is not a character")
	}
	b, err := json.Marshal(s)
	if err != nil {
		return caos.Wrap(caos.Internal, err, "codec: a string cannot be written")
	}
	w.out = append(w.out, b...)
	return nil
}

func clip(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
