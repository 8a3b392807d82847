package main

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/registry"
)

func TestModelVersion(t *testing.T) {
	if m, v, err := modelVersion("NN-DLY-001@1.0.0-rc.1"); err != nil || m != "NN-DLY-001" || v != "1.0.0-rc.1" {
		t.Errorf("%s %s %v", m, v, err)
	}
	for arg, field := range map[string]string{"NN-DLY-001": "version", "NN-DLY-001@": "version", "NN-DLY-001@1": "version", "dly@1.0.0": "model_id", "@1.0.0": "model_id", "NN-DLY-001@1.0.0@2": "version"} {
		_, _, err := modelVersion(arg)
		if e := caos.AsError(err); e.Kind != caos.Invalid || e.Field != field || e.Hint == "" {
			t.Errorf("%s: %v", arg, err)
		}
	}
}

// entry is one of a tar.
type entry struct {
	name, text string
	kind       byte
}

func tarOf(t *testing.T, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, x := range entries {
		h := &tar.Header{Name: x.name, Mode: 0o444, Size: int64(len(x.text)), Typeflag: x.kind}
		if x.kind != tar.TypeReg {
			h.Linkname, h.Size = x.text, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if x.kind == tar.TypeReg {
			if _, err := w.Write([]byte(x.text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A baseline is unpacked under its folder and nowhere else, whatever a server sends.
func TestUnpack(t *testing.T) {
	good := []entry{{"BL-X-1.0.0.pub", "key", tar.TypeReg}, {"BL-X-1.0.0/model.sig", "{}", tar.TypeReg}, {"BL-X-1.0.0/a/b.bin", "abc", tar.TypeReg}}
	dir := t.TempDir()
	out, err := unpack(bytes.NewReader(tarOf(t, good)), dir)
	if err != nil || out.Baseline != "BL-X-1.0.0" || out.Files != 3 || out.Bytes != 8 {
		t.Fatalf("%+v, %v", out, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "BL-X-1.0.0", "a", "b.bin")); err != nil || string(text) != "abc" {
		t.Errorf("%q, %v", text, err)
	}
	whole := tarOf(t, good)
	cases := map[string]struct {
		data []byte
		says string
	}{
		"climbs":   {tarOf(t, []entry{{"BL-X/../../evil", "x", tar.TypeReg}}), "outside of its folder"},
		"absolute": {tarOf(t, []entry{{"/tmp/evil", "x", tar.TypeReg}}), "outside of its folder"},
		"dot":      {tarOf(t, []entry{{"./BL-X/a", "x", tar.TypeReg}}), "outside of its folder"},
		"link":     {tarOf(t, []entry{{"BL-X/a", "/etc/passwd", tar.TypeSymlink}, {"BL-X/a", "x", tar.TypeReg}}), "no file"},
		"device":   {tarOf(t, []entry{{"BL-X/a", "", tar.TypeChar}}), "no file"},
		"twice":    {tarOf(t, []entry{{"BL-X/a", "x", tar.TypeReg}, {"BL-X/a", "y", tar.TypeReg}}), "cannot be written"},
		"under":    {tarOf(t, []entry{{"BL-X/a", "x", tar.TypeReg}, {"BL-X/a/b", "y", tar.TypeReg}}), "cannot be written"},
		"nothing":  {tarOf(t, nil), "no files"},
		"no tar":   {[]byte(strings.Repeat("no tar at all ", 100)), "no tar file"},
		"cut":      {whole[:len(whole)-1600], ""},
	}
	for name, tc := range cases {
		parent := t.TempDir()
		into := filepath.Join(parent, "into")
		if err := os.Mkdir(into, 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := unpack(bytes.NewReader(tc.data), into)
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
		if entries, _ := os.ReadDir(parent); len(entries) != 1 {
			t.Errorf("%s left something beside its folder: %v", name, entries)
		}
	}
}

// A narrow terminal drops columns in order, and a program gets all of them.
func TestFitted(t *testing.T) {
	head := []string{"id", "when", "who", "title"}
	row := []string{"CHG-DLY-1", "2026-11-23 07:32:44Z", "somebody", "A title of some length that is cut"}
	for width, want := range map[int]string{0: "ID WHEN WHO TITLE", 200: "ID WHEN WHO TITLE", 60: "ID WHEN WHO TITLE", 50: "ID WHO TITLE", 30: "ID TITLE", 10: "ID TITLE"} {
		e, out, _ := newTest()
		e.width = width
		e.fitted(head, [][]string{row}, "when", "who", "nothing")
		first, _, _ := strings.Cut(out.String(), "\n")
		if got := strings.Join(strings.Fields(first), " "); got != want {
			t.Errorf("%d: %s, want %s", width, got, want)
		}
	}
}

func TestProse(t *testing.T) {
	e, out, _ := newTest()
	e.width = 20
	e.prose("one two three four five a-word-longer-than-the-line six\x1b[2J")
	if got := out.String(); got != "one two three four\nfive\na-word-longer-than-the-line\nsix·[2J\n" {
		t.Errorf("%q", got)
	}
}

// Only flags that were given are sent, under the names of their fields.
func TestGiven(t *testing.T) {
	c := &cobra.Command{Run: func(*cobra.Command, []string) {}}
	versionFlags(c)
	c.SetArgs([]string{"--safety-impact", "", "--compatible-with", "1.0.x,1.1.x"})
	if err := c.Execute(); err != nil {
		t.Fatal(err)
	}
	body := given(c, versionFields()...)
	if len(body) != 2 || body["safety_impact"] != "" {
		t.Errorf("%v", body)
	}
	if list, ok := body["compatible_with"].([]string); !ok || strings.Join(list, " ") != "1.0.x 1.1.x" {
		t.Errorf("%v", body)
	}
}

// A trace that goes round in circles ends, and shows every link that leads on.
func TestTraceOfACircle(t *testing.T) {
	e, out, _ := newTest()
	link := func(id, from, to string) *registry.Link {
		return &registry.Link{LinkID: id, SourceID: from, TargetID: to, Relation: registry.Depends}
	}
	e.trace(&registry.Trace{Root: "A", Depth: 3, More: true,
		Nodes: []registry.TraceNode{{ID: "A", Distance: 0}, {ID: "B", Distance: 1}, {ID: "C", Distance: 1}, {ID: "D\x1b[2J", Distance: 2}},
		Links: []*registry.Link{link("1", "A", "B"), link("2", "B", "C"), link("3", "C", "A"), link("4", "C", "D\x1b[2J"), link("5", "A", "B")}})
	want := "A \n├─ needed by B \n│  └─ needed by C  …\n├─ needed by B  …\n└─ depends on C \n   ├─ depends on B  …\n   └─ needed by D·[2J \n\n" +
		"3 things, 5 links, up to 3 links away\nThere is more: give a greater --depth, or trace from what is at the edge.\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
