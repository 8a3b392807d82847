package modelfile

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// The formats that hold tensors and nothing that runs: safetensors, NumPy arrays, GGUF.

const remedyAgain = "save the file again; an upload that was cut off looks like this"

// safetensors reads the header: eight bytes of its length, and JSON.
func (in *inspector) safetensors(f file, r *Report) {
	r.Format = FormatSafetensors
	bad := func(format string, args ...any) {
		r.add(Finding{Rule: "safetensors-header", Severity: High, Message: "the header of the safetensors file " + fmt.Sprintf(format, args...), Remedy: remedyAgain})
	}
	n := int64(binary.LittleEndian.Uint64(f.prefix(8)))
	if n > maxWhole { // the format allows 100 MB; those of the largest models have some megabytes
		bad("has %d bytes, more than are read", n)
		return
	}
	text := make([]byte, n)
	if got, _ := f.r.ReadAt(text, 8); int64(got) < n {
		bad("ends early")
		return
	}
	var head map[string]json.RawMessage
	if err := json.Unmarshal(text, &head); err != nil {
		bad("is not JSON")
		return
	}
	types := map[string]float64{}
	var ends [][2]int64
	var parameters uint64
	for _, name := range slices.Sorted(maps.Keys(head)) {
		if name == "__metadata__" {
			continue
		}
		var t struct {
			Type    string   `json:"dtype"`
			Shape   []uint64 `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}
		if json.Unmarshal(head[name], &t) != nil || t.Offsets[0] < 0 || t.Offsets[1] < t.Offsets[0] || t.Offsets[1] > f.size-8-n {
			bad("describes the tensor %q with bytes that the file does not have", clip(name, 200))
			return
		}
		count := uint64(1)
		for _, d := range t.Shape {
			count = times(count, d)
		}
		parameters = sum(parameters, count)
		if len(types) < maxListed {
			types[clip(t.Type, 20)]++
		}
		ends = append(ends, t.Offsets)
	}
	slices.SortFunc(ends, func(a, b [2]int64) int { return int(min(1, max(-1, a[0]-b[0]))) })
	at := int64(0)
	for _, e := range ends {
		if e[0] != at {
			bad("leaves a gap or an overlap at byte %d of the tensors", at)
			break
		}
		at = e[1]
	}
	if at != f.size-8-n {
		bad("accounts for %d bytes of tensors and the file has %d", at, f.size-8-n)
	}
	r.fact("tensors", float64(len(ends)))
	r.fact("parameters", float64(parameters))
	r.fact("types", plain(types))
}

// numpy reads the header of a .npy file. An array of Python objects is a pickle.
func (in *inspector) numpy(f file, r *Report) {
	r.Format = FormatNumPy
	head := f.prefix(sniffBytes)
	bad := func() {
		r.add(Finding{Rule: "numpy-header", Severity: High, Message: "the header of the NumPy file cannot be read", Remedy: remedyAgain})
	}
	if len(head) < 12 {
		bad()
		return
	}
	start, n := int64(10), int64(binary.LittleEndian.Uint16(head[8:]))
	if head[6] >= 2 {
		start, n = 12, int64(binary.LittleEndian.Uint32(head[8:]))
	}
	if n <= 0 || start+n > int64(len(head)) {
		bad()
		return
	}
	text := string(head[start : start+n])
	typ := between(text, "'descr'", ",")
	r.fact("type", clip(strings.Trim(typ, " :'\""), 100))
	r.fact("shape", clip(between(text, "'shape':", ")")+")", 100))
	if typ != "" && !objectType.MatchString(text) && !strings.Contains(text, `\`) {
		return
	}
	inner := &Report{}
	in.pickle(file{name: f.name, r: f.section(start+n, f.size-start-n), size: f.size - start - n, depth: f.depth}, inner)
	r.Code = true
	r.add(Finding{Rule: "numpy-objects", Severity: High, Message: "the array holds Python objects, which are a pickle", Remedy: "save the array with a type of numbers"})
	for _, found := range inner.Findings {
		r.add(found)
	}
	r.fact("imports", inner.Summary["imports"])
}

// objectType finds the type of Python objects in any of the spellings that numpy.dtype
// reads: "O", "|O8", "f4,O", "object".
var objectType = regexp.MustCompile(`['"]([^'"]*[|<>=,() 0-9])?(O[0-9]*|object_?[0-9]*)([,)][^'"]*)?['"]`)

func between(s, from, to string) string {
	_, s, ok := strings.Cut(s, from)
	if !ok {
		return ""
	}
	s, _, _ = strings.Cut(s, to)
	return s
}

// gguf reads the keys of a GGUF file (version 2 and 3). A chat template is a Jinja program:
// what it may reach is up to whoever renders it.
func (in *inspector) gguf(f file, r *Report) {
	r.Format = FormatGGUF
	g := &ggufReader{w: newWindow(f.r, f.size), at: 4}
	version, tensors, keys := g.uint(4), g.uint(8), g.uint(8)
	r.fact("version", float64(version))
	r.fact("tensors", float64(tensors))
	shown := map[string]any{}
	for i := uint64(0); i < keys && !g.bad && i < maxMembers; i++ {
		key := g.text()
		typ := g.uint(4)
		text, isText := g.value(typ, 0)
		if isText && strings.HasPrefix(key, "tokenizer.chat_template") {
			judgeTemplate(text, r)
		} else if isText && strings.HasPrefix(key, "general.") && len(shown) < 50 {
			shown[clip(key, 100)] = clip(text, 300)
		}
	}
	r.fact("keys", shown)
	if g.bad || version < 2 || version > 3 || keys > maxMembers {
		r.add(Finding{Rule: "gguf-header", Severity: High, Message: "the keys of the GGUF file cannot be read to their end", Remedy: remedyAgain})
	}
}

func judgeTemplate(text string, r *Report) {
	for _, word := range []string{"__class__", "__globals__", "__import__", "__builtins__", "__subclasses__", "__mro__", "__init__", "popen", "import os"} {
		if strings.Contains(text, word) {
			r.Code = true
			r.add(Finding{Rule: "gguf-template", Severity: Critical, Message: fmt.Sprintf("the chat template reaches for %s: it breaks out of the template", word), Remedy: remedyAttack})
		}
	}
	r.fact("chat_template_bytes", float64(len(text)))
}

// ggufReader reads little-endian values one after another.
type ggufReader struct {
	w   *window
	at  int64
	ops int
	bad bool
}

func (g *ggufReader) uint(n int) (v uint64) {
	b := g.w.peek(g.at, n)
	if len(b) < n {
		g.bad = true
		return 0
	}
	for i := n - 1; i >= 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	g.at += int64(n)
	return v
}

// text reads a string; of a long one the beginning.
func (g *ggufReader) text() string {
	n := g.uint(8)
	if g.bad || n > uint64(g.w.size-g.at) {
		g.bad = true
		return ""
	}
	b := make([]byte, min(n, 1<<20))
	got, _ := g.w.r.ReadAt(b, g.at)
	g.at += int64(n)
	return string(bytes.ToValidUTF8(b[:got], nil))
}

// value reads a value of a type and returns it if it is a string.
func (g *ggufReader) value(typ uint64, depth int) (string, bool) {
	if g.ops++; g.ops > 10_000_000 || depth > 4 {
		g.bad = true
	}
	if g.bad {
		return "", false
	}
	switch typ {
	case 0, 1, 7:
		g.uint(1)
	case 2, 3:
		g.uint(2)
	case 4, 5, 6:
		g.uint(4)
	case 10, 11, 12:
		g.uint(8)
	case 8:
		return g.text(), true
	case 9:
		inner, n := g.uint(4), g.uint(8)
		for i := uint64(0); i < n && !g.bad; i++ {
			g.skip(inner, depth)
		}
	default:
		g.bad = true
	}
	return "", false
}

// skip passes over an element of an array.
func (g *ggufReader) skip(typ uint64, depth int) {
	if typ != 8 {
		g.value(typ, depth+1)
		return
	}
	if g.ops++; g.ops > 10_000_000 {
		g.bad = true
	}
	n := g.uint(8)
	if g.bad || n > uint64(g.w.size-g.at) {
		g.bad = true
		return
	}
	g.at += int64(n)
}
