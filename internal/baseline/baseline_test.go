package baseline

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"

	"caos"
	"caos/internal/sign"
	"caos/internal/verify"
)

func TestMain(m *testing.M) {
	if steps := os.Getenv("CAOS_BASELINE_CHILD"); steps != "" {
		os.Exit(child(steps))
	}
	goleak.VerifyTestMain(m)
}

const (
	testID    = "BL-FCS-2.1.0"
	testOwner = "EXEC-20261123T070000.000001Z"
)

var testTime = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)

func openStore(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, func() time.Time { return testTime })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// tempDir is a folder that can be removed in the end, whatever was frozen in it.
func tempDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		if err := RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func newSigner(t testing.TB) sign.Signer {
	t.Helper()
	k, err := sign.OpenKeys(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return signerOf(t, k)
}

func signerOf(t testing.TB, k *sign.Keys) sign.Signer {
	t.Helper()
	if _, err := k.Create(context.Background(), sign.Baseline, testTime); err != nil {
		t.Fatal(err)
	}
	s, err := k.Signer(sign.Baseline)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func source(path string, data []byte) Source {
	return Source{Path: path, Digest: digestOf(data), Size: int64(len(data)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "SHA256:" + hex.EncodeToString(sum[:])
}

// testFiles are a model of several files, one larger than the buffers.
func testFiles() []Source {
	big := bytes.Repeat([]byte("0123456789abcdef"), (3<<16)+1)
	return []Source{
		source("model.onnx", big),
		source("sub-x/weights.bin", []byte("w")),
		source("sub/deep/notes é.txt", []byte("notes")),
		source("sub/empty", nil),
	}
}

func draft(signer sign.Signer) Draft {
	return Draft{ID: testID, Owner: testOwner, Files: testFiles(), Signer: signer}
}

func write(t testing.TB, s *Store, d Draft) *Sealed {
	t.Helper()
	sealed, err := s.Write(context.Background(), d, nil)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func intact(t testing.TB, s *Store, signer sign.Signer) {
	t.Helper()
	problems, err := s.Verify(context.Background(), testID, signer.Public(), nil)
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v %+v", err, problems)
	}
}

func TestWriteAndVerify(t *testing.T) {
	dir, signer := tempDir(t), newSigner(t)
	s := openStore(t, dir)
	var last, total int64
	sealed, err := s.Write(context.Background(), draft(signer), func(done, of int64) {
		if done < last {
			t.Errorf("went back from %d to %d", last, done)
		}
		last, total = done, of
	})
	if err != nil {
		t.Fatal(err)
	}
	if last != total || total != sealed.Bytes || sealed.Bytes != 3<<20+16+6 {
		t.Errorf("%d of %d bytes, sealed %d", last, total, sealed.Bytes)
	}
	// The digests of all files in their order, by hand.
	sum := sha256.New()
	for _, f := range []string{"model.onnx", "sub/deep/notes é.txt", "sub/empty", "sub-x/weights.bin"} {
		i := slices.IndexFunc(testFiles(), func(s Source) bool { return s.Path == f })
		h, _ := hex.DecodeString(testFiles()[i].Digest[7:])
		sum.Write(h)
	}
	if want := "SHA256:" + hex.EncodeToString(sum.Sum(nil)); sealed.Root != want {
		t.Errorf("root %s, not %s", sealed.Root, want)
	}
	bundle, err := s.Bundle(testID)
	if err != nil {
		t.Fatal(err)
	}
	st, err := verify.CheckModelBundle(bundle, signer.Public())
	if err != nil || st.Root != sealed.Root || st.Name != testID || st.StatementDigest != sealed.StatementDigest ||
		digestOf(bundle) != sealed.BundleDigest || sealed.KeyID != signer.KeyID() || st.KeyID != signer.KeyID() {
		t.Errorf("%v %+v %+v", err, st, sealed)
	}
	intact(t, s, signer)
	for name, want := range map[string]fs.FileMode{"": fs.ModeDir | 0o555, "sub/deep": fs.ModeDir | 0o555, "sub/empty": 0o444, "model.sig": 0o444} {
		if info, err := os.Stat(filepath.Join(dir, testID, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v %v", name, err, info.Mode())
		}
	}
	f, size, err := s.Open(testID, "sub/deep/notes é.txt")
	if err != nil || size != 5 {
		t.Fatal(err, size)
	}
	defer f.Close()
	if b, err := io.ReadAll(f); err != nil || string(b) != "notes" {
		t.Errorf("%q %v", b, err)
	}
	if ids, err := s.List(context.Background()); err != nil || !reflect.DeepEqual(ids, []string{testID}) {
		t.Errorf("%v %v", ids, err)
	}
	if owner, err := s.Owner(testID); err != nil || owner != testOwner {
		t.Errorf("%v %v", owner, err)
	}
}

// TestWriteAgain: the same owner gets the same answer, also after its key was retired, and
// nobody else gets anything.
func TestWriteAgain(t *testing.T) {
	dir, signer := tempDir(t), newSigner(t)
	s := openStore(t, dir)
	first := write(t, s, draft(signer))
	if again := write(t, openStore(t, dir), draft(newSigner(t))); !reflect.DeepEqual(first, again) {
		t.Errorf("%+v\n%+v", first, again)
	}
	ctx := context.Background()
	other := draft(signer)
	other.Owner = "EXEC-20261123T080000.000001Z"
	if _, err := s.Write(ctx, other, nil); caos.KindOf(err) != caos.Conflict || !strings.Contains(err.Error(), testOwner) {
		t.Error(err)
	}
	changed := draft(signer)
	changed.Files[1] = source(changed.Files[1].Path, []byte("v"))
	if _, err := s.Write(ctx, changed, nil); caos.KindOf(err) != caos.Conflict {
		t.Error(err)
	}
	if err := s.Discard(ctx, testID, other.Owner); caos.KindOf(err) != caos.Conflict {
		t.Error(err)
	}
	intact(t, s, signer)
	for range 2 {
		if err := s.Discard(ctx, testID, testOwner); err != nil {
			t.Fatal(err)
		}
	}
	if left := listing(t, dir); len(left) > 0 {
		t.Error(left)
	}
	write(t, s, other)
	// Without its record only the very same baseline is taken for the owner's.
	if err := os.Remove(filepath.Join(dir, recordName(testID))); err != nil {
		t.Fatal(err)
	}
	write(t, s, other)
	intact(t, s, signer)
	// A damaged one is not.
	mangle(t, filepath.Join(dir, testID, "model.onnx"))
	if _, err := s.Write(ctx, other, nil); caos.KindOf(err) != caos.Conflict || !strings.Contains(err.Error(), "model.onnx") {
		t.Error(err)
	}
}

// mangle flips one bit of a read-only file.
func mangle(t testing.TB, name string) {
	t.Helper()
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, 0o444); err != nil {
		t.Fatal(err)
	}
}

// listing is everything in a store but its empty folder of records.
func listing(t testing.TB, dir string) (out []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, _ fs.DirEntry, err error) error {
		if name != "." && name != recordsDir {
			out = append(out, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRefusedDrafts(t *testing.T) {
	dir, signer := tempDir(t), newSigner(t)
	s := openStore(t, dir)
	k, err := sign.OpenKeys(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if _, err := k.Create(context.Background(), sign.Evidence, testTime); err != nil {
		t.Fatal(err)
	}
	evidence, err := k.Signer(sign.Evidence)
	if err != nil {
		t.Fatal(err)
	}
	paths := func(names ...string) func(*Draft) {
		return func(d *Draft) {
			d.Files = nil
			for _, n := range names {
				d.Files = append(d.Files, source(n, []byte("x")))
			}
		}
	}
	for name, change := range map[string]func(*Draft){
		"no files":          paths(),
		"parent":            paths("../x"),
		"parent inside":     paths("a/../../x"),
		"absolute":          paths("/etc/passwd"),
		"empty":             paths(""),
		"dot":               paths("."),
		"dot inside":        paths("a/./b"),
		"double slash":      paths("a//b"),
		"trailing slash":    paths("a/"),
		"hidden":            paths(".git/config"),
		"hidden inside":     paths("a/.b"),
		"backslash":         paths(`a\b`),
		"NUL":               paths("a\x00b"),
		"newline":           paths("a\nb"),
		"right to left":     paths("a\u202eb"),
		"not UTF-8":         paths("a\xffb"),
		"long":              paths(strings.Repeat("abcdefghij/", 19) + "0123456789ab"),
		"long part":         paths(strings.Repeat("a", 101)),
		"twice":             paths("a", "a"),
		"case":              paths("Model.onnx", "model.onnx"),
		"case of a folder":  paths("Sub/a", "sub/b"),
		"file and folder":   paths("a", "a/b"),
		"the bundle":        paths("model.sig"),
		"the bundle, cased": paths("Model.SIG"),
		"in the bundle":     paths("model.sig/x"),
		"digest":            func(d *Draft) { d.Files[0].Digest = "SHA256:00" },
		"size":              func(d *Draft) { d.Files[0].Size = -1 },
		"sizes":             func(d *Draft) { d.Files[0].Size = 1<<63 - 1 },
		"source":            func(d *Draft) { d.Files[0].Open = nil },
		"id":                func(d *Draft) { d.ID = "../x" },
		"hidden id":         func(d *Draft) { d.ID = ".records" },
		"owner":             func(d *Draft) { d.Owner = "" },
		"signer":            func(d *Draft) { d.Signer = evidence },
		"no signer":         func(d *Draft) { d.Signer = nil },
	} {
		d := draft(signer)
		change(&d)
		_, err := s.Write(context.Background(), d, nil)
		if k := caos.KindOf(err); k != caos.Invalid && !strings.Contains(name, "signer") || err == nil {
			t.Errorf("%s: %v", name, err)
		}
		if left := listing(t, dir); len(left) > 0 {
			t.Fatalf("%s left %v", name, left)
		}
	}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

// TestSources: what a source does wrong ends the freeze, names the file, and leaves nothing.
func TestSources(t *testing.T) {
	dir, signer := tempDir(t), newSigner(t)
	s := openStore(t, dir)
	gone := caos.Errorf(caos.NotFound, "there is no object")
	reader := func(r io.Reader) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return io.NopCloser(r), nil }
	}
	data := bytes.Repeat([]byte("x"), 3<<20)
	ctx, cancel := context.WithCancel(context.Background())
	for _, c := range []struct {
		name string
		open func() (io.ReadCloser, error)
		kind caos.Kind
	}{
		{"other bytes", reader(bytes.NewReader(append(data[1:len(data):len(data)], 'y'))), caos.Invalid},
		{"too short", reader(bytes.NewReader(data[1:])), caos.Invalid},
		{"empty", reader(bytes.NewReader(nil)), caos.Invalid},
		{"too long", reader(io.MultiReader(bytes.NewReader(data), strings.NewReader("x"))), caos.Invalid},
		{"endless", reader(io.MultiReader(bytes.NewReader(data), rand.Reader)), caos.Invalid},
		{"breaks off", reader(iotest.TimeoutReader(bytes.NewReader(data))), caos.Unavailable},
		{"unexpected end", reader(io.MultiReader(bytes.NewReader(data[1:]), failing{io.ErrUnexpectedEOF})), caos.Invalid},
		{"its own error", func() (io.ReadCloser, error) { return nil, gone }, caos.NotFound},
		{"its own error while read", reader(failing{gone}), caos.NotFound},
		{"another error", func() (io.ReadCloser, error) { return nil, errors.New("boom") }, caos.Unavailable},
		{"cancelled", func() (io.ReadCloser, error) { cancel(); return io.NopCloser(bytes.NewReader(data)), nil }, caos.Unavailable},
	} {
		d := draft(signer)
		src := source("big.bin", data)
		src.Open = c.open
		d.Files = append(d.Files, src)
		_, err := s.Write(ctx, d, nil)
		if caos.KindOf(err) != c.kind {
			t.Errorf("%s: %v", c.name, err)
		}
		if left := listing(t, dir); len(left) > 0 {
			t.Fatalf("%s left %v", c.name, left)
		}
	}
	d := draft(signer)
	d.Files[0].Size++ // the right bytes, and not as many as are recorded
	if _, err := s.Write(context.Background(), d, nil); caos.KindOf(err) != caos.Invalid {
		t.Error(err)
	}
	write(t, s, draft(signer))
}

func TestExport(t *testing.T) {
	dir, signer := tempDir(t), newSigner(t)
	s := openStore(t, dir)
	ctx := context.Background()
	write(t, s, draft(signer))
	var one, two bytes.Buffer
	if err := errors.Join(s.Export(ctx, testID, &one), s.Export(ctx, testID, &two)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("two exports differ")
	}
	var names []string
	for r := tar.NewReader(&two); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	want := []string{testID + ".pub", testID + "/model.sig", testID + "/model.onnx", testID + "/sub/deep/notes é.txt", testID + "/sub/empty", testID + "/sub-x/weights.bin"}
	if !slices.Equal(names, want) {
		t.Error(names)
	}
	mangle(t, filepath.Join(dir, testID, "sub/deep/notes é.txt"))
	if err := s.Export(ctx, testID, io.Discard); caos.KindOf(err) != caos.Internal || !strings.Contains(err.Error(), "notes") {
		t.Error(err)
	}
	if err := s.Export(ctx, "BL-NONE-1.0.0", io.Discard); caos.KindOf(err) != caos.NotFound {
		t.Error(err)
	}
}

// TestOpenIsConfined: no path and no link leads out of a baseline, and nothing that is no
// file is opened.
func TestOpenIsConfined(t *testing.T) {
	dir, signer := tempDir(t), newSigner(t)
	s := openStore(t, dir)
	write(t, s, draft(signer))
	put := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	in := filepath.Join(dir, testID)
	put(os.Chmod(in, 0o755))
	put(os.Symlink("/etc/passwd", filepath.Join(in, "out")))
	put(os.Symlink("model.onnx", filepath.Join(in, "inside")))
	put(syscall.Mkfifo(filepath.Join(in, "fifo"), 0o644))
	for _, p := range []string{"", ".", "..", "../" + testID + "/model.onnx", "/etc/passwd", "sub/../model.onnx", "none", "out", "inside", "fifo", "sub", "model.onnx/x"} {
		if f, _, err := s.Open(testID, p); err == nil {
			f.Close()
			t.Errorf("opened %q", p)
		}
	}
	for _, id := range []string{"", "..", ".records", "x/../" + testID, "BL-NONE-1"} {
		if f, _, err := s.Open(id, "model.onnx"); err == nil {
			f.Close()
			t.Errorf("opened %q", id)
		}
	}
}

// TestOneWriter: a second writer of the same baseline is told to wait, also one from
// another process, for which another open store stands.
func TestOneWriter(t *testing.T) {
	dir, signer := tempDir(t), newSigner(t)
	s := openStore(t, dir)
	var inside error
	d := draft(signer)
	open := d.Files[0].Open
	d.Files[0].Open = func() (io.ReadCloser, error) {
		second, err := Open(dir, time.Now)
		if err != nil {
			return nil, err
		}
		defer second.Close()
		_, inside = second.Write(context.Background(), draft(signer), nil)
		if err := second.Discard(context.Background(), testID, testOwner); caos.KindOf(err) != caos.Unavailable {
			return nil, fmt.Errorf("discarded what is being written: %w", err)
		}
		return open()
	}
	write(t, s, d)
	if caos.KindOf(inside) != caos.Unavailable {
		t.Error(inside)
	}
	intact(t, s, signer)
}
