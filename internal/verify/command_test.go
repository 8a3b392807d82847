package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

func TestCommand(t *testing.T) {
	w := newWorld(t, 2)
	dir := t.TempDir()
	put := func(name string, data []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	text, err := w.trust.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	trust, file := put("trust.json", text), w.write()
	good := put("good.caospkg", file)
	file[len(file)/2] ^= 1
	bad := put("bad.caospkg", file)
	for _, c := range []struct {
		args []string
		exit int
		out  string // expected in stdout and stderr together
	}{
		{[]string{good, "--trust", trust}, ExitOK, "VERIFIED"},
		{[]string{"--trust", trust, good}, ExitOK, "SANDBOX"},
		{[]string{"-trust=" + trust, "--json", good}, ExitOK, `"ok": true`},
		{[]string{good, "--trust", trust, "--trust", trust}, ExitUsage, "given twice"},
		{[]string{bad, "--trust", trust}, ExitFailed, "VERIFICATION FAILED"},
		{[]string{bad, "--json", "--trust", trust}, ExitFailed, `"ok": false`},
		{[]string{put("empty.caospkg", nil), "--trust", trust}, ExitFailed, "FAILED"},
		{[]string{put("notes.txt", []byte("# Notes")), "--trust", trust}, ExitFailed, "is it the right one?"},
		{[]string{good}, ExitUsage, "--trust is missing"},
		{[]string{}, ExitUsage, "name one package, baseline or passport"},
		{[]string{good, bad, "--trust", trust}, ExitUsage, "name one package, baseline or passport"},
		{[]string{good, "--trust", good}, ExitUsage, "trust file"},
		{[]string{good, "--trust", filepath.Join(dir, "none")}, ExitUsage, "no such file"},
		{[]string{filepath.Join(dir, "none"), "--trust", trust}, ExitUsage, "no such file"},
		{[]string{dir, "--trust", trust}, ExitUsage, "no model.sig"},
		{[]string{os.DevNull, "--trust", trust}, ExitUsage, "neither a regular file nor a folder"},
		{[]string{good, "--trust", trust, "--fast"}, ExitUsage, "usage:"},
		{[]string{"--help"}, ExitOK, "usage:"},
	} {
		var stdout, stderr bytes.Buffer
		exit := Main(c.args, &stdout, &stderr, false)
		if exit != c.exit || !strings.Contains(stdout.String()+stderr.String(), c.out) {
			t.Errorf("%q: exit %d\n%s%s", c.args, exit, stdout.String(), stderr.String())
		}
		if strings.Contains(stdout.String(), "\x1b") {
			t.Errorf("%q: colours without a terminal", c.args)
		}
	}
	var stdout, stderr bytes.Buffer
	Main([]string{good, "--trust", trust, "--json"}, &stdout, &stderr, false)
	var r Report
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil || !r.OK || len(r.Checks) != 11 {
		t.Errorf("%v: %+v", err, r)
	}
}

// TestReportDoesNotObeyTheFile: escape sequences in names and values never reach the
// terminal.
func TestReportDoesNotObeyTheFile(t *testing.T) {
	r := &Report{Origin: "o\x1b[2J", PackageID: "p\u202eq", Findings: []string{"f\r\x9b"}}
	r.check("x").fail("e\x1b]0;t\a", "p\x1b[31m")
	const commands = "\x1b\a\r\x7f\u009b\u061c\u200e\u202e\u2028"
	passport := &PassportReport{Passport: &PassportSubject{ModelFamily: "f\u202eg"}, Findings: []string{commands}}
	for name, write := range map[string]func(io.Writer) error{
		"text": func(w io.Writer) error { return r.Text(w, false) }, "JSON": r.JSON, "a passport's JSON": passport.JSON,
		"a passport's text": func(w io.Writer) error { return passport.Text(w, false) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil || strings.ContainsAny(b.String(), commands) {
			t.Errorf("%s: %v %q", name, err, b.String())
		}
	}
	// Programs get every character as it was.
	var b bytes.Buffer
	var back PassportReport
	if err := passport.JSON(&b); err != nil || json.Unmarshal(b.Bytes(), &back) != nil || back.Findings[0] != commands || back.Passport.ModelFamily != "f\u202eg" {
		t.Errorf("%v %q", err, b.String())
	}
}

// What a node says is shown like what a file says, also where there is no report; and an
// address, which may hold a password, is not shown at all.
func TestErrorsDoNotObeyNodes(t *testing.T) {
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("{\"error\":{\"message\":\"no\u009b2J\u202e\x7f\"}}"))
	}))
	defer node.Close()
	files := honestFiles(t)
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, url := range []string{node.URL, strings.Replace(node.URL, "//", "//me:secret@", 1) + "/secret", "htps://me:secret@127.0.0.1/secret", "http://me:secret@127.0.0.1:1/secret", "http://me:secret@/"} {
		var stdout, stderr bytes.Buffer
		exit := Main([]string{filepath.Join(dir, "credential"), "--trust", filepath.Join(dir, "trust"), "--ethereum", url}, &stdout, &stderr, false)
		if exit != ExitUsage || strings.ContainsAny(stderr.String(), "\u009b\u202e\x7f") || strings.Contains(stderr.String(), "secret") || stdout.Len() > 0 {
			t.Errorf("%s: %d %q", url, exit, stderr.String())
		}
	}
}

// hole is a file with a long run of zeros in it that takes no memory: as a writer it keeps
// what comes before and after, as a reader it gives back all.
type hole struct {
	before, after []byte
	zeros         int64
}

func (f *hole) Write(b []byte) (int, error) {
	switch {
	case len(b) >= 16<<10 && zero(b) && f.after == nil:
		f.zeros += int64(len(b))
	case f.zeros == 0:
		f.before = append(f.before, b...)
	default:
		f.after = append(f.after, b...)
	}
	return len(b), nil
}

func (f *hole) size() int64 { return int64(len(f.before)) + f.zeros + int64(len(f.after)) }

func (f *hole) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) && err == nil {
		switch p := off + int64(n); {
		case p < int64(len(f.before)):
			n += copy(b[n:], f.before[p:])
		case p < int64(len(f.before))+f.zeros:
			k := min(int64(len(b)-n), int64(len(f.before))+f.zeros-p)
			clear(b[n : n+int(k)])
			n += int(k)
		case p < f.size():
			n += copy(b[n:], f.after[p-int64(len(f.before))-f.zeros:])
		default:
			err = io.EOF
		}
	}
	return n, err
}

type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestLargeArtifactIsStreamed writes and verifies a package with an artifact of 256 MB
// without holding it.
func TestLargeArtifactIsStreamed(t *testing.T) {
	if testing.Short() {
		t.Skip("hashes 512 MB")
	}
	const size = 256 << 20
	sum := sha256.New()
	if _, err := io.CopyN(sum, zeroReader{}, size); err != nil {
		t.Fatal(err)
	}
	digest := [32]byte(sum.Sum(nil))
	w := newBareWorld(t)
	w.item(0, digest)
	w.seal()
	list := []Content{{Name: artifact, SHA256: digest, Size: size, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.LimitReader(zeroReader{}, size)), nil
	}}}
	for name, data := range w.contents {
		list = append(list, BytesContent(name, data))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var file hole
	err := WritePackage(&file, w.info, list, func(st []byte) ([]byte, error) { return w.ev.envelope(InTotoType, st), nil })
	if err != nil {
		t.Fatal(err)
	}
	r, err := Package(&file, file.size(), w.trust, PackageOptions{})
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if !r.OK || file.size() < size {
		t.Error(failures(r))
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("allocated %d MB", grown>>20)
	}
}

// TestWriterRefuses contents that are not what was announced, and names that no package
// has.
func TestWriterRefuses(t *testing.T) {
	w := newSmallWorld(t)
	sign := func(st []byte) ([]byte, error) { return w.ev.envelope(InTotoType, st), nil }
	good := BytesContent("documents/a", []byte("abc"))
	edit := func(f func(c *Content)) []Content { c := good; f(&c); return []Content{c} }
	broken := errors.New("broken")
	for name, list := range map[string][]Content{
		"longer":      edit(func(c *Content) { c.Size = 2 }),
		"shorter":     edit(func(c *Content) { c.Size = 4 }),
		"other bytes": edit(func(c *Content) { c.SHA256[0] ^= 1 }),
		"negative":    edit(func(c *Content) { c.Size = -1 }),
		"huge":        edit(func(c *Content) { c.Size = maxTarSize + 1 }),
		"twice":       {good, good},
		"escape":      edit(func(c *Content) { c.Name = "documents/../../etc/passwd" }),
		"absolute":    edit(func(c *Content) { c.Name = "/etc/passwd" }),
		"unknown":     edit(func(c *Content) { c.Name = "stranger" }),
		"long name":   edit(func(c *Content) { c.Name = DocumentName(strings.Repeat("a", 100)) }),
		"manifest":    edit(func(c *Content) { c.Name = ManifestName }),
		"cannot open": edit(func(c *Content) { c.Open = func() (io.ReadCloser, error) { return nil, broken } }),
		"cannot read": edit(func(c *Content) {
			c.Open = func() (io.ReadCloser, error) { return io.NopCloser(iotest.ErrReader(broken)), nil }
		}),
	} {
		if err := WritePackage(io.Discard, w.info, list, sign); err == nil {
			t.Errorf("%s: written", name)
		}
	}
	if err := WritePackage(io.Discard, w.info, []Content{good}, sign); err != nil {
		t.Error(err)
	}
	loose := func(st []byte) ([]byte, error) { b, err := sign(st); return append(b, '\n'), err }
	if err := WritePackage(io.Discard, w.info, []Content{good}, loose); err == nil {
		t.Error("an envelope in another spelling was written")
	}
	if err := WritePackage(io.Discard, w.info, []Content{good}, func([]byte) ([]byte, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}
