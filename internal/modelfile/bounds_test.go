package modelfile

import (
	"archive/zip"
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"testing"
)

// TestBounds gives the inspector files that ask for more than anybody would have: each is
// told so in a finding, and none takes much memory.
func TestBounds(t *testing.T) {
	var many bytes.Buffer
	z := zip.NewWriter(&many)
	for i := range maxMembers + 1 {
		if _, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	strings := []byte("\x80\x04")
	for i := range 600_000 {
		strings = append(strings, fmt.Sprintf("\x8c\x08%08d\x94", i)...)
	}
	for _, c := range []struct {
		name, rule string
		content    []byte
	}{
		{"marks", "pickle-too-long", slices.Concat([]byte("\x80\x04"), bytes.Repeat([]byte("("), 3*maxStack), []byte("."))},
		{"memo", "pickle-broken", strings},
		{"far memo", "pickle-too-long", []byte("\x80\x04\x8c\x01xr\xff\xff\xff\xff.")},
		{"long count", "pickle-broken", []byte("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f")},
		{"members", "zip-members", many.Bytes()},
		{"graphs", "name-mismatch", nested(200)},
		{"keys", "gguf-header", []byte("GGUF\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff")},
		{"header", "safetensors-header", append([]byte("\x00\x00\x00\x02\x00\x00\x00\x00{"), make([]byte, 32<<20)...)},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := inspectBytes(t, c.name+".onnx", c.content)
		runtime.ReadMemStats(&after)
		if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Rule == c.rule }) {
			t.Errorf("%s: %+v", c.name, r.Findings)
		}
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 192 {
			t.Errorf("%s took %d MiB", c.name, took)
		}
	}
}

// nested is a model with graphs within graphs.
func nested(depth int) []byte {
	field := func(number byte, b []byte) []byte {
		n := []byte{}
		for v := len(b); ; v >>= 7 {
			if v < 128 {
				n = append(n, byte(v))
				break
			}
			n = append(n, byte(v)|128)
		}
		return slices.Concat([]byte{number<<3 | 2}, n, b)
	}
	graph := []byte{}
	for range depth {
		node := slices.Concat(field(4, []byte("If")), field(5, field(6, graph))) // op_type, attribute{g}
		graph = field(1, node)
	}
	return slices.Concat([]byte{8, 8}, field(7, graph))
}
