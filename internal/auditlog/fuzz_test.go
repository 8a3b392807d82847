package auditlog

import (
	"bytes"
	"testing"
	"time"

	"caos/internal/verify"
)

func FuzzCursor(f *testing.F) {
	f.Add(mark{1, 2}.cursor())
	f.Add("MS4x")
	f.Fuzz(func(t *testing.T, s string) {
		m, err := parseCursor(s)
		if err == nil && m.cursor() != s {
			t.Errorf("%q is another spelling of %q", s, m.cursor())
		}
	})
}

// FuzzRecord reads arbitrary records, and sees that the quick reader of the verifier finds
// in them what the thorough one does.
func FuzzRecord(f *testing.F) {
	r := sample(1)
	r.ID, r.Time = "AUDIT-1", time.UnixMicro(1)
	text, err := r.encode(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"actor":"\"\\\u0001","details":{"a":[1,"}",{"b":"]"}]},"id":"x","resources":["a","\n"],"v":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var c columns
		scanned := scanColumns(text, &c)
		r, err := ParseRecord(text)
		if err != nil {
			return
		}
		if again, err := r.encode(nil); err != nil || !bytes.Equal(again, text) || r.ID == "" {
			return // not what encode writes, so the quick reader may say anything
		}
		if !scanned {
			t.Fatalf("%q was not read", text)
		}
		for _, p := range [][2]string{
			{string(c.id), r.ID}, {string(c.typ), string(r.Type)}, {string(c.actor), r.Actor}, {string(c.recordedBy), r.RecordedBy},
			{string(c.execution), r.Execution}, {string(c.project), r.Project}, {string(c.class), r.Classification},
		} {
			if p[0] != p[1] {
				t.Fatalf("%q: %q is not %q", text, p[0], p[1])
			}
		}
		if len(c.resources) != len(r.Resources) {
			t.Fatalf("%q: %d resources", text, len(c.resources))
		}
		for i := range c.resources {
			if string(c.resources[i]) != r.Resources[i] {
				t.Fatalf("%q: resource %q", text, c.resources[i])
			}
		}
	})
}

func FuzzTilePath(f *testing.F) {
	f.Add("x001/x234/067.p/8")
	f.Add("000")
	f.Fuzz(func(t *testing.T, path string) {
		index, width, ok := parseTilePath(path)
		if ok && (index < 0 || width < 1 || width > tileWidth) {
			t.Errorf("%q: %d, %d", path, index, width)
		}
	})
}

func FuzzNotes(f *testing.F) {
	f.Add([]byte("a\n1\nx\n\n— a b\n\n(torn)\n\nb\n\n— c d\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		notes, _ := splitNotes(data)
		for _, n := range notes {
			if c, err := readNote(n); err == nil && verify.CheckOrigin(c.Origin) != nil {
				t.Errorf("%q", n)
			}
		}
	})
}
