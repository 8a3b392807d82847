package verify

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

func TestPackageVerifies(t *testing.T) {
	w := newWorld(t, 3)
	file := w.write()
	r := w.verify(file)
	if !r.OK {
		t.Fatalf("a good package fails: %q", failures(r))
	}
	if r.Evidence != 3 || r.Records != 8 || r.Coverage.Requirements.Covered != 3 || r.Coverage.Requirements.Planned != 4 {
		t.Errorf("%+v", r)
	}
	if !bytes.Equal(file, w.write()) {
		t.Error("the same contents make another file")
	}
	var text, colour strings.Builder
	if err := errors.Join(r.Text(&text, false), r.Text(&colour, true), r.JSON(io.Discard)); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "\x1b") || !strings.Contains(colour.String(), "\x1b[1;31m"+testOrigin) {
		t.Error("colours, or the SANDBOX warning, are wrong")
	}
	t.Log("\n" + text.String())
}

// TestPackageIsTar reads a package with the standard library, as an auditor may.
func TestPackageIsTar(t *testing.T) {
	w := newWorld(t, 2)
	tr := tar.NewReader(bytes.NewReader(w.write()))
	n := 0
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if want, ok := w.contents[h.Name]; n >= 2 && (!ok || !bytes.Equal(want, data)) {
			t.Errorf("%s differs", h.Name)
		}
		n++
	}
	if n != len(w.contents)+2 {
		t.Errorf("%d entries of %d", n, len(w.contents)+2)
	}
}

// entryAt names the entry that a byte belongs to, from the file's own headers.
func layoutOf(t testing.TB, file []byte) (list []found) {
	t.Helper()
	for pos := int64(0); ; {
		name, n, ok := readHeader((*[block]byte)(file[pos:]))
		if !ok {
			return list
		}
		list = append(list, found{name, pos, n})
		pos += span(n)
	}
}

func TestEveryFlippedByteIsFound(t *testing.T) {
	w := newSmallWorld(t)
	file := w.write()
	list := layoutOf(t, file)
	owner := func(pos int) string {
		for _, e := range list {
			if int64(pos) < e.offset+span(e.size) {
				return e.name
			}
		}
		return "end of file"
	}
	// One bit of every byte, another one each time.
	flip := func(t *testing.T, file []byte, pos int, bit byte) {
		file[pos] ^= bit
		report, err := Package(bytes.NewReader(file), int64(len(file)), w.trust, PackageOptions{Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		if report.OK {
			t.Fatalf("byte %d (%s) flipped by %#x is not found", pos, owner(pos), bit)
		}
		if !blames(report, owner(pos)) {
			t.Fatalf("byte %d of %s flipped by %#x is blamed on %q", pos, owner(pos), bit, failures(report))
		}
		file[pos] ^= bit
	}
	const parts = 4
	for part := range parts {
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			t.Parallel()
			mine := bytes.Clone(file)
			for pos := part; pos < len(file); pos += parts {
				flip(t, mine, pos, 1<<(pos%8))
			}
		})
	}
	t.Logf("%d bytes of %d entries", len(file), len(list))
}

func TestTruncationAtEveryLength(t *testing.T) {
	w := newSmallWorld(t)
	file := w.write()
	for n := range file {
		r, err := Package(bytes.NewReader(file[:n]), int64(n), w.trust, PackageOptions{Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		if r.OK {
			t.Fatalf("the first %d of %d bytes verify", n, len(file))
		}
		if len(failures(r)) == 0 {
			t.Fatalf("%d bytes: nothing named", n)
		}
	}
}

// TestRearrangedEntries moves whole entries about in the file, leaving the manifest alone.
func TestRearrangedEntries(t *testing.T) {
	w := newWorld(t, 3)
	file := w.write()
	list := layoutOf(t, file)
	piece := func(i int) []byte { return file[list[i].offset : list[i].offset+span(list[i].size)] }
	join := func(order []int, extra ...[]byte) []byte {
		var b []byte
		for _, i := range order {
			b = append(b, piece(i)...)
		}
		for _, e := range extra {
			b = append(b, e...)
		}
		return append(b, make([]byte, trailer)...)
	}
	all := make([]int, len(list))
	for i := range all {
		all[i] = i
	}
	stranger := header("documents/stranger", 3)
	added := append(append(stranger[:], "abc"...), make([]byte, padding(3))...)
	cut := func(i int) []int { return append(append([]int{}, all[:i]...), all[i+1:]...) }
	tests := 0
	try := func(what string, f []byte, names ...string) {
		t.Helper()
		tests++
		r := w.verify(f)
		if r.OK {
			t.Errorf("%s: not found", what)
		}
		for _, n := range names {
			if !blames(r, n) {
				t.Errorf("%s: %s is not named in %q", what, n, failures(r))
			}
		}
	}
	for i, e := range list {
		try("without "+e.name, join(cut(i)), e.name)
		twice := append(append(append([]int{}, all[:i+1]...), i), all[i+1:]...)
		if i == 0 {
			try("twice "+e.name, join(twice))
		} else {
			try("twice "+e.name, join(twice), e.name)
		}
		try("again at the end "+e.name, join(append(append([]int{}, all...), i)), e.name)
		if i > 0 {
			swapped := append([]int{}, all...)
			swapped[i-1], swapped[i] = swapped[i], swapped[i-1]
			try("swapped "+e.name, join(swapped), e.name)
		}
	}
	try("stranger at the end", join(all, added), `documents/stranger`)
	try("stranger first", append(append([]byte{}, added...), file...), ManifestName)
	try("stranger in the middle", join(all[:5], added, join(all[5:])), `documents/stranger`)
	try("garbage after the end", append(append([]byte{}, file...), 'x'), "end of file")
	try("a zero block more", append(append([]byte{}, file...), make([]byte, 512)...), "end of file")
	try("no trailer", file[:len(file)-trailer], "end of file")
	try("only the trailer", make([]byte, trailer), ManifestName)
	try("empty", nil, ManifestName)
	t.Logf("%d rearranged files", tests)
}

type brokenDisk struct{ io.ReaderAt }

func (b brokenDisk) ReadAt(p []byte, off int64) (int, error) {
	if off > 4096 {
		return 0, os.ErrPermission
	}
	return b.ReaderAt.ReadAt(p, off)
}

func TestUnreadableFileIsNotAForgery(t *testing.T) {
	w := newWorld(t, 3)
	file := w.write()
	if _, err := Package(brokenDisk{bytes.NewReader(file)}, int64(len(file)), w.trust, PackageOptions{}); !errors.Is(err, os.ErrPermission) {
		t.Fatal(err)
	}
}
