package contract

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// fields is a mapping with its keys in order, for writing a document that people will read.
type fields []member

type member struct {
	key   string
	value any // fields, []any, string, bool, json.Number, nil
}

// yamlText writes YAML in block style, strings quoted as in JSON wherever they could be
// taken for anything else.
type yamlText struct{ bytes.Buffer }

var plainScalar = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*\.?$`)

func (w *yamlText) node(v any, indent int, inList bool) {
	pad := strings.Repeat("  ", indent)
	switch v := v.(type) {
	case fields:
		for i, m := range v {
			if i > 0 || !inList {
				w.WriteString(pad)
			}
			w.scalar(m.key)
			w.WriteByte(':')
			w.child(m.value, indent)
		}
	case []any:
		for _, e := range v {
			w.WriteString(pad + "- ")
			if f, ok := e.(fields); ok && len(f) > 0 {
				w.node(f, indent+1, true)
				continue
			}
			w.flow(e)
			w.WriteByte('\n')
		}
	}
}

// child writes what follows a key.
func (w *yamlText) child(v any, indent int) {
	switch v := v.(type) {
	case fields:
		if len(v) > 0 {
			w.WriteByte('\n')
			w.node(v, indent+1, false)
			return
		}
	case []any:
		if slices.ContainsFunc(v, func(e any) bool { _, ok := e.(fields); return ok }) {
			w.WriteByte('\n')
			w.node(v, indent+1, false)
			return
		}
	}
	w.WriteByte(' ')
	w.flow(v)
	w.WriteByte('\n')
}

// flow writes a value on one line.
func (w *yamlText) flow(v any) {
	switch v := v.(type) {
	case string:
		w.scalar(v)
	case []any:
		w.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				w.WriteString(", ")
			}
			w.flow(e)
		}
		w.WriteByte(']')
	case fields:
		w.WriteByte('{')
		for i, m := range v {
			if i > 0 {
				w.WriteString(", ")
			}
			w.quoted(m.key)
			w.WriteString(": ")
			w.flow(m.value)
		}
		w.WriteByte('}')
	case json.Number:
		w.WriteString(v.String())
	default:
		b, err := json.Marshal(v)
		if err != nil {
			b = []byte("null")
		}
		w.Write(b)
	}
}

func (w *yamlText) scalar(s string) {
	reserved := []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"}
	if len(s) < 60 && plainScalar.MatchString(s) && !slices.Contains(reserved, strings.ToLower(s)) {
		w.WriteString(s)
		return
	}
	w.quoted(s)
}

func (w *yamlText) quoted(s string) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string can be encoded
	w.WriteString(strings.ReplaceAll(strings.TrimRight(b.String(), "\n"), "\x7f", `\u007f`))
}
