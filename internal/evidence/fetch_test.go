package evidence_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/evidence"
	"caos/internal/object"
	"caos/internal/outbound"
)

// leftovers lists what a refused artifact left in the scratch folder and the store.
func (w *world) leftovers() []string {
	w.t.Helper()
	var out []string
	for _, dir := range []string{w.scratch, filepath.Join(w.dir, "objects")} {
		w.ok(filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				out = append(out, p)
			}
			return err
		}))
	}
	return out
}

func TestFetchAndRefuse(t *testing.T) {
	stop := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/good.xml":
			io.WriteString(w, junit("", ""))
		case "/redirect":
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
		case "/hang":
			io.WriteString(w, junit("")[:50])
			w.(http.Flusher).Flush()
			select {
			case <-stop:
			case <-r.Context().Done():
			}
		case "/large":
			for range 300 {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		case "/short":
			w.Header().Set("Content-Length", "10000")
			io.WriteString(w, "short")
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, "\x1f\x8b")
		case "/down":
			w.WriteHeader(http.StatusBadGateway)
		case "/empty":
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	defer close(stop)
	client := outbound.New(outbound.Config{Allow: []string{strings.TrimPrefix(srv.URL, "http://")}, IdleBody: 200 * time.Millisecond, Header: 2 * time.Second}).Client()
	w := newWorld(t, dbtest.Open(t, db.SQLite), client)
	pkg := w.create(evidence.Package{ModelID: model})

	inside := filepath.Join(w.dir, "in")
	w.ok(os.WriteFile(filepath.Join(w.dir, "secret"), []byte("secret"), 0o600))
	w.ok(os.Symlink(filepath.Join(w.dir, "secret"), filepath.Join(inside, "link")))
	w.ok(syscall.Mkfifo(filepath.Join(inside, "pipe"), 0o600))
	for _, c := range []struct {
		uri  string
		meta evidence.Metadata
		kind caos.Kind
		say  string
	}{
		{srv.URL + "/redirect", evidence.Metadata{}, caos.Invalid, "another host"},
		{srv.URL + "/hang", evidence.Metadata{}, caos.Unavailable, "sent nothing"},
		{srv.URL + "/large", evidence.Metadata{}, caos.TooLarge, "more than 8388608"},
		{srv.URL + "/short", evidence.Metadata{}, caos.Unavailable, "broke off"},
		{srv.URL + "/gzip", evidence.Metadata{}, caos.Invalid, "compresses"},
		{srv.URL + "/down", evidence.Metadata{}, caos.Unavailable, "answers 502"},
		{srv.URL + "/none", evidence.Metadata{}, caos.Invalid, "answers 404"},
		{srv.URL + "/empty", evidence.Metadata{}, caos.Invalid, "empty"},
		{srv.URL + "/good.xml", evidence.Metadata{Format: evidence.SARIF}, caos.Invalid, "not well-formed sarif"},
		{"https://127.0.0.1:1/x", evidence.Metadata{}, caos.Invalid, "loopback"},
		{"https://169.254.169.254/latest/meta-data", evidence.Metadata{}, caos.Invalid, "link-local"},
		{"https://[::1]/x", evidence.Metadata{}, caos.Invalid, "loopback"},
		{"http://93.184.216.34/x", evidence.Metadata{}, caos.Invalid, "plain http"},
		{"https://user:pw@93.184.216.34/x", evidence.Metadata{}, caos.Invalid, "password"},
		{"s3://bucket/evidence/a", evidence.Metadata{}, caos.Invalid, "S3 configuration"},
		{"ftp://example.com/a", evidence.Metadata{}, caos.Invalid, "not fetched"},
		{"artifact.xml", evidence.Metadata{}, caos.Invalid, "not an address"},
		{"", evidence.Metadata{}, caos.Invalid, "not an address"},
		{"https://" + strings.Repeat("a", 5000), evidence.Metadata{}, caos.Invalid, "4096"},
		{"object://SHA256:" + strings.Repeat("0", 64), evidence.Metadata{}, caos.NotFound, "no object"},
		{"object://sha256/../../etc/passwd", evidence.Metadata{}, caos.Invalid, "not a digest"},
		{"file:///etc/passwd", evidence.Metadata{}, caos.Invalid, "may not read"},
		{"file://" + w.dir + "/secret", evidence.Metadata{}, caos.Invalid, "may not read"},
		{"file://" + inside + "/../secret", evidence.Metadata{}, caos.Invalid, "may not read"},
		{"file://" + inside + "/%2e%2e/secret", evidence.Metadata{}, caos.Invalid, "may not read"},
		{"file://" + inside + "/link", evidence.Metadata{}, caos.NotFound, "no file"},
		{"file://" + inside + "/pipe", evidence.Metadata{}, caos.Invalid, "regular file"},
		{"file://" + inside, evidence.Metadata{}, caos.Invalid, "regular file"},
		{"file://" + inside + "/none", evidence.Metadata{}, caos.NotFound, "no file"},
		{"file://host" + inside + "/x", evidence.Metadata{}, caos.Invalid, "absolute path"},
	} {
		t.Run(c.uri[:min(len(c.uri), 60)], func(t *testing.T) {
			_, err := w.collect(w.request(pkg.PackageID, c.uri, evidence.TestResult, c.meta))
			wantError(t, err, c.kind, "artifact_uri", c.say)
			if left := w.leftovers(); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
	_, err := w.collect(w.request(pkg.PackageID, srv.URL+"/good.xml", evidence.TestResult, evidence.Metadata{SHA256: strings.Repeat("0", 64)}))
	wantError(t, err, caos.Invalid, "artifact_metadata.sha256", "not the one announced")

	ins, err := w.collect(w.request(pkg.PackageID, srv.URL+"/good.xml?signature=secret", evidence.TestResult, evidence.Metadata{}))
	w.ok(err)
	if strings.Contains(ins.Item.Envelope, "c2VjcmV0") || ins.Item.Verdict != evidence.Passed {
		t.Fatalf("%+v", ins.Item)
	}
	again, err := w.collect(w.request(pkg.PackageID, "object://"+ins.Item.Digest, evidence.TestResult, evidence.Metadata{SHA256: ins.Item.Digest}))
	w.ok(err)
	if again.Item.Digest != ins.Item.Digest || again.Item.EvidenceID == ins.Item.EvidenceID {
		t.Fatalf("%+v", again.Item)
	}
}

// TestUploads stages bodies as an upload gives them.
func TestUploads(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite), nil)
	pkg := w.create(evidence.Package{ModelID: model})
	for name, body := range map[string]io.Reader{
		"breaks off": io.MultiReader(strings.NewReader("some"), iotest.ErrReader(io.ErrUnexpectedEOF)),
		"too large":  io.LimitReader(zeros{}, 9<<20),
	} {
		if _, err := w.Stage(t.Context(), name, body); caos.KindOf(err) != caos.Invalid && caos.KindOf(err) != caos.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
	a, err := w.Stage(t.Context(), "run.log", iotest.OneByteReader(strings.NewReader("line 1\nline 2\n")))
	w.ok(err)
	defer a.Close()
	req := w.request(pkg.PackageID, "object://"+a.Ref.Digest, evidence.Log, evidence.Metadata{ObjectiveIDs: []string{"A-7.1"}})
	sum, err := w.Inspect(t.Context(), req, a)
	w.ok(err)
	if left := w.leftovers(); sum.Lines != 2 || len(left) > 0 {
		t.Fatal(sum, left)
	}
	ref, err := w.Store(t.Context(), a)
	w.ok(err)
	if ref != a.Ref {
		t.Fatal(ref)
	}
	it, err := w.Sign(t.Context(), w.NewID(model), req, evidence.Kept{Ref: ref, Summary: sum}, "anna")
	w.ok(err)
	w.ok(w.update(func(tx *db.Tx) error { _, err := w.Insert(tx, *it, by); return err }))
	if !strings.HasPrefix(it.EvidenceID, "EVID-FCS-2026") {
		t.Error(it.EvidenceID)
	}
	_, err = w.collect(w.request(pkg.PackageID, "https://example.com/x", evidence.Log, evidence.Metadata{}))
	wantError(t, err, caos.Invalid, "artifact_uri", "over the network")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestRequests(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite), nil)
	pkg := w.create(evidence.Package{ModelID: model})
	w.create(evidence.Package{ModelID: "NN-ENG-001"})
	good := w.request(pkg.PackageID, "object://SHA256:"+strings.Repeat("0", 64), evidence.Log, evidence.Metadata{})
	check := func(change func(*evidence.Request), kind caos.Kind, field string) {
		t.Helper()
		req := good
		change(&req)
		err := w.update(func(tx *db.Tx) error { return w.CheckOpen(tx, req) })
		wantError(t, err, kind, field, "")
	}
	w.ok(w.update(func(tx *db.Tx) error { return w.CheckOpen(tx, good) }))
	check(func(r *evidence.Request) { r.ModelID = "FCS" }, caos.Invalid, "model_id")
	check(func(r *evidence.Request) { r.ModelID = "NN-ENG-001" }, caos.Invalid, "model_id")
	check(func(r *evidence.Request) { r.Type = "log" }, caos.Invalid, "evidence_type")
	check(func(r *evidence.Request) { r.Category = "" }, caos.Invalid, "evidence_category")
	check(func(r *evidence.Request) { r.PackageID = "PKG" }, caos.Invalid, "certification_package_id")
	check(func(r *evidence.Request) { r.PackageID = "CERT-PKG-NONE" }, caos.NotFound, "certification_package_id")
	check(func(r *evidence.Request) { r.ArtifactURI = "s3://b/k" }, caos.Invalid, "artifact_uri")
	// An execution's input is kept for ever: a password is refused before there is one.
	check(func(r *evidence.Request) { r.ArtifactURI = "https://user:secret@example.com/a" }, caos.Invalid, "artifact_uri")
	check(func(r *evidence.Request) { r.Metadata.Format = evidence.PDF }, caos.Invalid, "artifact_metadata.format")
	check(func(r *evidence.Request) { r.Metadata.RequirementIDs = []string{"x y"} }, caos.Invalid, "artifact_metadata.requirement_ids[0]")
}

// TestDiskFull fills the disk under scratch folder and store.
func TestDiskFull(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite), nil)
	if err := syscall.Mount("tmpfs", w.scratch, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("no right to mount a small disk: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(w.scratch, syscall.MNT_DETACH) })
	if _, err := w.Stage(t.Context(), "x", io.LimitReader(zeros{}, 1<<20)); caos.KindOf(err) != caos.Full {
		t.Fatal(err)
	}
	a, err := w.Stage(t.Context(), "x", strings.NewReader("small"))
	w.ok(err)
	a.Close()
}

// TestDamagedArtifact changes a stored artifact: serving and exporting must both fail.
func TestDamagedArtifact(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite), nil)
	pkg := w.create(evidence.Package{ModelID: model})
	ins, err := w.collect(w.request(pkg.PackageID, w.file("a.txt", "the truth\n"), evidence.Document, evidence.Metadata{}))
	w.ok(err)
	h, err := object.ParseDigest(ins.Item.Digest)
	w.ok(err)
	p := filepath.Join(w.dir, "objects", h[:2], h[2:])
	w.ok(os.Chmod(p, 0o600))
	w.ok(os.WriteFile(p, []byte("the trick\n"), 0o600))
	_, dl, err := w.Artifact(t.Context(), ins.Item.EvidenceID)
	w.ok(err)
	defer dl.Body.Close()
	if _, err := io.ReadAll(dl.Body); caos.KindOf(err) != caos.Internal {
		t.Error(err)
	}
	if err := w.Export(t.Context(), pkg.PackageID, evidence.Authority, nil, io.Discard); caos.KindOf(err) != caos.Internal {
		t.Error(err)
	}
	if left, err := os.ReadDir(w.scratch); err != nil || len(left) > 0 {
		t.Error(fmt.Sprint(left), err)
	}
}
