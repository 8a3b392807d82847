package importer

import (
	"bytes"
	"encoding/json"
	"path"
	"regexp"
	"strconv"
	"strings"

	"caos"
	"caos/internal/codec"

	"github.com/goccy/go-yaml/ast"
	yamlparser "github.com/goccy/go-yaml/parser"
)

// maxRiskYAML bounds a register in YAML: reading it takes a hundred times its length in
// memory.
const maxRiskYAML = 1 << 20

// riskYAML is how a risk register in YAML may begin, below comments.
var riskYAML = regexp.MustCompile(`^(---|- |risks[ \t]*:|model_id[ \t]*:|model_version[ \t]*:)`)

// isRiskYAML tells a risk register in YAML from a table.
func isRiskYAML(name string, data []byte) bool {
	if ext := strings.ToLower(path.Ext(name)); ext == ".yaml" || ext == ".yml" {
		return true
	}
	for line := range bytes.Lines(data) {
		if text := bytes.TrimSpace(line); len(text) == 0 || text[0] == '#' {
			continue
		}
		return riskYAML.Match(line)
	}
	return false
}

// readRiskYAML reads a risk register: a list of risks, or an object with the list under
// "risks" and what all of them have in common, model_id and model_version.
func readRiskYAML(s *source, p *Plan) error {
	p.Kind = RiskRegister
	y := &riskReader{source: s, plan: p, seen: map[string]int{}}
	text, err := codec.JSON(s.data, "application/yaml", codec.Limits{MaxBytes: maxRiskYAML, MaxDepth: 8, MaxNodes: 40 * maxRisks})
	if err != nil {
		return y.refuseYAML(err)
	}
	list, err := y.top(text)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return s.where(1, 1, "risks", "the file lists no risk").WithHint("a list under risks: with risk_id, title, likelihood and impact each")
	}
	if len(list) > maxRisks {
		return y.at("["+strconv.Itoa(maxRisks)+"]", "the register has more than %d risks", maxRisks).WithHint("divide the file by model")
	}
	for i, raw := range list {
		if err := y.entry(y.prefix+"["+strconv.Itoa(i)+"]", raw); err != nil {
			return err
		}
	}
	if s.bom {
		p.notes = append(p.notes, "the file begins with a byte order mark, which was passed over")
	}
	p.notes = append(append(p.notes, y.unknown.all()...), y.unsafe.all()...)
	return nil
}

// riskReader reads a register in YAML.
type riskReader struct {
	*source
	plan    *Plan
	prefix  string            // path of the list
	common  riskCells         // what all risks have in common
	places  map[string][2]int // line and column by path
	seen    map[string]int    // line by id
	warned  map[string]bool   // keys that were noted
	unknown notes
	unsafe  notes
}

// top reads what is around the list.
func (y *riskReader) top(text []byte) ([]json.RawMessage, error) {
	var list []json.RawMessage
	if json.Unmarshal(text, &list) == nil {
		return list, nil
	}
	var whole map[string]json.RawMessage
	if err := json.Unmarshal(text, &whole); err != nil {
		return nil, y.where(1, 1, "", "a list of risks, or an object with one under risks, belongs here")
	}
	y.prefix, y.common = "risks", riskCells{}
	for key, raw := range whole {
		switch key {
		case "risks":
			if err := json.Unmarshal(raw, &list); err != nil {
				return nil, y.at(key, "a list of risks belongs here")
			}
		case "model_id", "model_version":
			v, err := scalar(raw)
			if err != nil {
				return nil, y.at(key, "a text belongs here")
			}
			y.common[key] = v
		default:
			return nil, y.at(key, "the key %s is not known here", clip(key)).WithHint("risks, model_id and model_version are")
		}
	}
	return list, nil
}

// entry reads a risk.
func (y *riskReader) entry(at string, raw json.RawMessage) error {
	line, _ := y.position(at)
	var row map[string]json.RawMessage
	if err := json.Unmarshal(raw, &row); err != nil || row == nil {
		return y.at(at, "an object with risk_id, title, likelihood and impact belongs here")
	}
	keys := map[string]string{}
	for name, value := range row {
		field := riskField(name)
		text, err := scalar(value)
		switch {
		case err != nil:
			return y.at(at+"."+name, "a text or a number belongs here")
		case len(name) > 64 || strings.ContainsFunc(name, control):
			return y.at(at, "a key has more than 64 bytes or control characters")
		case len(text) > maxCell:
			return y.at(at+"."+name, "the text has %d bytes, the limit is %d", len(text), maxCell)
		case field != "" && keys[field] != "":
			return y.at(at, "the keys %s and %s both mean %s", clip(min(name, keys[field])), clip(max(name, keys[field])), field).WithHint("rename or remove one of the two")
		case field == "" && !y.warned[name]:
			if y.warned == nil {
				y.warned = map[string]bool{}
			}
			y.warned[name] = true
			y.unknown.add("line %d: the key %s is not known; it is kept in the statements", line, clip(name))
		}
		if field != "" {
			keys[field] = name
		}
		if formula(text) {
			y.unsafe.add("line %d: %s begins with %q; it is kept as it is, but a spreadsheet would run it as a formula", line, clip(name), text[:1])
		}
	}
	var body bytes.Buffer
	if err := json.Compact(&body, raw); err != nil {
		return caos.Wrap(caos.Internal, err, "%s: an entry cannot be copied", y.name)
	}
	cells, err := cellsOf(raw)
	if err != nil {
		return y.refuseField(at, caos.AsError(err), keys)
	}
	for field, v := range y.common {
		if cells[field] == "" {
			cells[field] = v
		}
	}
	s, err := cells.risk()
	if err != nil {
		return y.refuseField(at, caos.AsError(err), keys)
	}
	id := riskKey(s)
	if first := y.seen[id]; first > 0 {
		return y.at(at+"."+keys["risk_id"], "the risk %s is in line %d already", clip(s.RiskID), first).WithHint("remove one of the two")
	}
	y.seen[id] = line
	it := riskItem(s)
	it.line, it.pointer, it.body = line, "line "+strconv.Itoa(line), body.Bytes()
	y.plan.items = append(y.plan.items, it)
	return nil
}

// refuseField refuses a risk for one of its fields.
func (y *riskReader) refuseField(at string, e *caos.Error, keys map[string]string) error {
	if key := keys[e.Field]; key != "" {
		at += "." + key
	}
	out := y.at(at, "%s", e.Message)
	out.Kind, out.Hint, out.Field = e.Kind, e.Hint, at
	return out
}

// refuseYAML refuses the file for what the codec found, with its place: the codec's own
// where the text is no YAML, that of the path otherwise.
func (y *riskReader) refuseYAML(err error) error {
	e := caos.AsError(err)
	if m := codecPlace.FindStringSubmatch(e.Hint); m != nil {
		line, _ := strconv.Atoi(m[1]) // the form has digits alone
		column := 1
		if m[2] != "" {
			column, _ = strconv.Atoi(m[2])
		}
		return y.refuseAt(max(line, 1), max(column, 1), e.Field, e.WithHint("%s", m[3]))
	}
	if e.Field == "" {
		return y.refuseAt(1, 1, "", e)
	}
	line, column := y.position(e.Field)
	return y.refuseAt(line, column, e.Field, e)
}

// codecPlace is how the codec names a place in YAML.
var codecPlace = regexp.MustCompile(`^line ([0-9]{1,8})(?:, column ([0-9]{1,8}))?(?:: )?(.*)$`)

// at refuses the file for what is at a path.
func (y *riskReader) at(where, format string, args ...any) *caos.Error {
	line, column := y.position(where)
	return y.where(line, column, where, format, args...)
}

// position is the line and column of a path, or of the nearest thing around it. It is asked
// once the codec has read the text, so that the tree is small.
func (y *riskReader) position(where string) (line, column int) {
	if y.places == nil {
		y.places = map[string][2]int{}
		if file, err := yamlparser.ParseBytes(y.data, 0, yamlparser.AllowDuplicateMapKey()); err == nil {
			for _, doc := range file.Docs {
				if doc.Body != nil {
					y.walk("", doc.Body)
				}
			}
		}
	}
	for {
		if p, ok := y.places[where]; ok {
			return p[0], p[1]
		}
		cut := strings.LastIndexAny(where, ".[")
		if cut < 0 {
			return 1, 1
		}
		where = where[:cut]
	}
}

// walk notes the places of a part of the tree. The codec has bounded its depth.
func (y *riskReader) walk(at string, n ast.Node) {
	if tk := n.GetToken(); tk != nil && tk.Position != nil {
		y.places[at] = [2]int{max(tk.Position.Line, 1), max(tk.Position.Column, 1)}
	}
	switch n := n.(type) {
	case *ast.SequenceNode:
		for i, v := range n.Values {
			y.walk(at+"["+strconv.Itoa(i)+"]", v)
		}
	case *ast.MappingNode:
		for i, v := range n.Values {
			if tk := v.Key.GetToken(); i == 0 && tk != nil && tk.Position != nil { // the token of a mapping is its first colon
				y.places[at] = [2]int{max(tk.Position.Line, 1), max(tk.Position.Column, 1)}
			}
			y.walk(strings.TrimPrefix(at+"."+keyOf(v), "."), v.Value)
		}
	case *ast.MappingValueNode:
		if tk := n.Key.GetToken(); tk != nil && tk.Position != nil {
			y.places[at] = [2]int{max(tk.Position.Line, 1), max(tk.Position.Column, 1)}
		}
		y.walk(strings.TrimPrefix(at+"."+keyOf(n), "."), n.Value)
	}
}

func keyOf(v *ast.MappingValueNode) string {
	if s, ok := v.Key.(*ast.StringNode); ok {
		return s.Value
	}
	return v.Key.String()
}
