package importer

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"caos"
	"caos/internal/codec"
)

// node is a JSON value and its place. encoding/json forgets places, and a refusal has to
// name one.
type node struct {
	kind       byte // '{', '[', '"', '0' for a number, 't', 'f', 'n'
	start, end int  // in the text
	members    []member
	items      []*node
	text       string // of a string
}

// member is a key of an object with its value.
type member struct {
	key string
	at  int // of the key
	val *node
}

// parse reads a JSON document strictly, by the codec, and returns it with its places.
func (s *source) parse() (*node, error) {
	if s.bom {
		return nil, s.at(0, "", "the file begins with a byte order mark").WithHint("save it as UTF-8 without one")
	}
	lim := codec.Limits{MaxBytes: MaxBytes, MaxDepth: maxDepth, MaxNodes: maxNodes}
	_, bad := codec.JSON(s.data, "", lim)
	p := &parser{data: s.data}
	p.space()
	p.root = p.value(0)
	if bad == nil {
		if p.broken {
			return nil, caos.Errorf(caos.Internal, "%s: two readers of JSON differ", s.name)
		}
		return p.root, nil
	}
	// The codec says what is wrong, and the line only where the text is no JSON at all. The
	// rest is found by its path.
	e := caos.AsError(bad)
	line, column, ok := lineOf(e.Hint)
	if ok {
		e = e.WithHint("")
	} else {
		line, column = s.place(p.find(e.Field, strings.Contains(e.Message, "twice")))
	}
	return nil, s.refuseAt(line, column, e.Field, e)
}

// lineOf reads "line 3, column 7".
func lineOf(hint string) (line, column int, ok bool) {
	rest, found := strings.CutPrefix(hint, "line ")
	l, c, two := strings.Cut(rest, ", column ")
	line, err := strconv.Atoi(l)
	column, err2 := strconv.Atoi(c)
	return line, column, found && two && err == nil && err2 == nil
}

// parser builds the tree of a text that is JSON, or of the part of it before it is none.
type parser struct {
	data   []byte
	pos    int
	broken bool
	nodes  int
	root   *node
}

func (p *parser) peek() byte {
	if p.pos < len(p.data) {
		return p.data[p.pos]
	}
	return 0
}

func (p *parser) space() {
	for c := p.peek(); c == ' ' || c == '\t' || c == '\r' || c == '\n'; c = p.peek() {
		p.pos++
	}
}

// find returns where the value with a path is, written as the codec writes paths, or the
// nearest thing around it. second asks for the second of two equal keys, and its key.
func (p *parser) find(path string, second bool) int {
	n, at := p.root, p.root.start
	for n != nil && path != "" {
		var in *node
		rest, met := path, 0
		for _, m := range n.members {
			after, ok := strings.CutPrefix(strings.TrimPrefix(path, "."), keyIn(m.key))
			if !ok || after != "" && after[0] != '.' && after[0] != '[' {
				continue
			}
			in, rest, at = m.val, after, m.at
			if met++; !second || after != "" || met == 2 {
				break
			}
		}
		for i, item := range n.items {
			if after, ok := strings.CutPrefix(path, "["+strconv.Itoa(i)+"]"); ok {
				in, rest, at = item, after, item.start
				break
			}
		}
		if rest == path {
			return at
		}
		if n, path = in, rest; path == "" && n != nil && !second {
			at = n.start
		}
	}
	return at
}

// keyIn is a key as it stands in the codec's paths.
func keyIn(key string) string {
	plain := len(key) > 0 && len(key) <= 64
	for i := 0; i < len(key); i++ {
		c := key[i]
		plain = plain && (c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z')
	}
	if plain {
		return key
	}
	if len(key) > 64 {
		key = key[:64]
	}
	return "[" + strconv.QuoteToASCII(strings.ToValidUTF8(key, "")) + "]"
}

// value reads one value, as far as the text is JSON.
func (p *parser) value(depth int) *node {
	n := &node{kind: p.peek(), start: p.pos}
	p.nodes++
	switch {
	case depth > maxDepth, p.nodes > maxNodes:
		p.broken = true
	case n.kind == '{':
		p.object(n, depth)
	case n.kind == '[':
		p.list(n, depth)
	case n.kind == '"':
		n.text = p.str()
	case n.kind == '-' || n.kind >= '0' && n.kind <= '9':
		n.kind = '0'
		for c := p.peek(); c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E' || c >= '0' && c <= '9'; c = p.peek() {
			p.pos++
		}
	default:
		p.word(n)
	}
	n.end = p.pos
	return n
}

func (p *parser) word(n *node) {
	for _, w := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(p.data[p.pos:], []byte(w)) {
			n.kind = w[0]
			p.pos += len(w)
			return
		}
	}
	p.broken = true
}

func (p *parser) object(n *node, depth int) {
	p.pos++
	p.space()
	for p.peek() != '}' && !p.broken {
		at := p.pos
		if p.peek() != '"' {
			p.broken = true
			return
		}
		m := member{key: p.str(), at: at}
		p.space()
		if p.peek() != ':' {
			p.broken = true
		}
		n.members = append(n.members, m)
		if p.broken {
			return
		}
		p.pos++
		p.space()
		n.members[len(n.members)-1].val = p.value(depth + 1)
		p.next('}')
	}
	p.pos++
}

func (p *parser) list(n *node, depth int) {
	p.pos++
	p.space()
	for p.peek() != ']' && !p.broken {
		n.items = append(n.items, p.value(depth+1))
		p.next(']')
	}
	p.pos++
}

// next steps over a comma, or up to the end of the object or list.
func (p *parser) next(end byte) {
	if p.broken {
		return
	}
	p.space()
	switch p.peek() {
	case ',':
		p.pos++
		p.space()
	case end:
	default:
		p.broken = true
	}
}

func (p *parser) str() string {
	start := p.pos
	for p.pos++; p.pos < len(p.data); p.pos++ {
		switch p.data[p.pos] {
		case '\\':
			p.pos++
		case '"':
			p.pos++
			var out string
			if json.Unmarshal(p.data[start:p.pos], &out) != nil {
				p.broken = true
			}
			return out
		}
	}
	p.pos = len(p.data)
	p.broken = true
	return ""
}
