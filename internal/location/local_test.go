package location_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"caos"
	"caos/internal/location"
)

func sha(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "SHA256:" + hex.EncodeToString(sum[:])
}

func write(t testing.TB, name, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		return "!" + err.Error()
	}
	return string(text)
}

func open(t testing.TB, opt location.Options) *location.Locations {
	t.Helper()
	if opt.Backoff == 0 {
		opt.Backoff = time.Millisecond
	}
	l, err := location.Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// files is what a folder holds: names, with the folders in them, and contents.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		if d.Type().IsRegular() {
			out[rel] = read(t, name)
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return out
}

func same(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

func TestCheck(t *testing.T) {
	l := open(t, location.Options{Roots: []string{"/srv/in"}, TargetRoots: []string{"/srv/out"}, Allow: []string{"data:80"}, Buckets: []location.Bucket{
		{Bucket: "lake", Project: "P1", Classification: "Restricted", Write: true, AccessKey: "vault:a#b", SecretKey: "vault:a#c"}, {Bucket: "open"}}})
	p1, p2 := location.Scope{Project: "P1", Classification: "Restricted"}, location.Scope{Project: "P2"}
	for _, c := range []struct {
		uri   string
		write bool
		scope location.Scope
		want  string // kind, or kind/rule
	}{
		{"file:///srv/in/a.csv", false, p2, ""},
		{"file://localhost/srv/in/a.csv", false, p2, ""},
		{"file:///srv/in/", false, p2, ""},
		{"file:///srv/in/2001-*/part-*.csv", false, p2, ""},
		{"file:///srv/in/a%20b.csv", false, p2, ""},
		{"file:///srv/out/a.csv", false, p2, ""},
		{"file:///srv/in/a.csv", true, p2, "denied/location-root"},
		{"file:///srv/out/a.csv", true, p2, ""},
		{"file:///srv/out/a/", true, p2, ""},
		{"file:///srv/out/", true, p2, "denied/location-root"},
		{"file:///srv/out/a-*", true, p2, "invalid"},
		{"file:///srv/inner/a.csv", false, p2, "denied/location-root"},
		{"file:///etc/passwd", false, p2, "denied/location-root"},
		{"file:///srv/in/../../etc/passwd", false, p2, "invalid/location-name"},
		{"file:///srv/in/%2e%2e/%2e%2e/etc/passwd", false, p2, "invalid/location-name"},
		{"file:///srv/in/a%2f..%2fb", false, p2, "invalid/location-name"},
		{"file:///srv/in//a", false, p2, "invalid/location-name"},
		{"file:///srv/in/./a", false, p2, "invalid/location-name"},
		{"file:///srv/in/a%00b", false, p2, "invalid"},
		{"file:///srv/in/a%0ab", false, p2, "invalid/location-name"},
		{"file:///srv/in/a\nb", false, p2, "invalid"},
		{"file:///srv/in/a%E2%80%AEb", false, p2, "invalid/location-name"},
		{"file:///srv/in/a?b", false, p2, "invalid"},
		{"file:///srv/in/a#b", false, p2, "invalid"},
		{"file://host/srv/in/a", false, p2, "invalid"},
		{"file:srv/in/a", false, p2, "invalid"},
		{"file:///", false, p2, "invalid"},
		{"", false, p2, "invalid"},
		{"/srv/in/a", false, p2, "invalid"},
		{"ftp://host/a", false, p2, "invalid"},
		{strings.Repeat("a", 3000), false, p2, "invalid"},
		{"s3://lake/a/b.csv", false, p1, ""},
		{"s3://lake/a/b.csv", true, p1, ""},
		{"s3://lake/a/b.csv", false, p2, "denied/location-project"},
		{"s3://lake/a/b.csv", false, location.Scope{Project: "P1"}, "denied/location-classification"},
		{"s3://lake/a/b.csv", true, location.Scope{Project: "P1"}, ""},
		{"s3://lake/a/b.csv", true, location.Scope{Project: "P1", Classification: "Regulated"}, "denied/location-classification"},
		{"s3://open/a", false, p2, ""},
		{"s3://open/a", true, p2, "denied/location-write"},
		{"s3://other/a", false, p2, "not_found/location-bucket"},
		{"s3://lake", false, p1, "invalid"},
		{"s3://lake/", false, p1, "invalid"},
		{"s3://Lake/a", false, p1, "invalid"},
		{"s3://u:p@lake/a", false, p1, "invalid"},
		{"https://data.example.org/a.csv?v=1", false, p2, ""},
		{"https://data.example.org/a.csv", true, p2, "invalid"},
		{"https://u:p@data.example.org/a.csv", false, p2, "invalid"},
		{"http://data.example.org/a.csv", false, p2, "invalid/outbound"},
		{"http://data/a.csv", false, p2, ""},
	} {
		err := l.Check(c.uri, c.write, c.scope)
		got := string(caos.KindOf(err))
		if e := caos.AsError(err); err != nil {
			if e.Rule != "" {
				got += "/" + e.Rule
			}
			if e.Field != "uri" {
				t.Errorf("%q: field %q", c.uri, e.Field)
			}
		}
		if got != c.want {
			t.Errorf("%q write=%v: %q, want %q: %v", c.uri, c.write, got, c.want, err)
		}
	}
}

func TestProbeLocal(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"one.csv", "y/2001-01/part-0.csv", "y/2001-01/part-1.csv", "y/2001-02/part-0.csv", "y/2001-02/_SUCCESS", "y/.tmp/part-9.csv", "y/a b+c%.csv", "y/star*.csv"} {
		write(t, filepath.Join(dir, name), "text of "+name)
	}
	l := open(t, location.Options{Roots: []string{dir}})
	for uri, want := range map[string][]string{
		"/one.csv":              {"one.csv"},
		"/":                     {"one.csv", "star_.csv", "a_b_c_.csv", "part-0.csv", "part-1.csv", "part-0-2.csv"},
		"/y/":                   {"star_.csv", "a_b_c_.csv", "part-0.csv", "part-1.csv", "part-0-2.csv"},
		"/y/2001-*/part-0.csv":  {"part-0.csv", "part-0-2.csv"},
		"/y/2001-*/":            {"part-0.csv", "part-1.csv", "part-0-2.csv"},
		"/y/*-0*/p*-*.csv":      {"part-0.csv", "part-1.csv", "part-0-2.csv"},
		"/y/2001-02/_*":         {"_SUCCESS"},
		"/y/star%2A.csv":        {"star_.csv"},
		"/y/a%20b%2Bc%25.csv":   {"a_b_c_.csv"},
		"/*.csv":                {"one.csv"},
		"/none.csv":             nil,
		"/none/":                nil,
		"/y/2001-*/none-*.csv":  nil,
		"/y/2001-01/part-0.csv": {"part-0.csv"},
	} {
		found, err := l.Probe(t.Context(), "file://"+dir+uri, location.Scope{})
		if want == nil {
			if e := caos.AsError(err); e.Kind != caos.NotFound || e.Rule != "source-missing" || e.Field != "uri" {
				t.Errorf("%s: %v", uri, err)
			}
			continue
		}
		var got []string
		for _, f := range found {
			got = append(got, f.Name)
			dst := filepath.Join(t.TempDir(), "x")
			again, err := l.Fetch(t.Context(), f, location.Scope{}, dst, nil)
			if err != nil || again.Digest != f.Digest || sha(read(t, dst)) != f.Digest || !strings.HasPrefix(read(t, dst), "text of ") {
				t.Errorf("%s: %v", f.URI, err)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", uri, got, err, want)
		}
	}
	if _, err := l.Probe(t.Context(), "file://"+dir+"/y", location.Scope{}); caos.KindOf(err) != caos.Invalid {
		t.Errorf("a folder without a slash: %v", err)
	}
	if _, err := l.Probe(t.Context(), "file://"+dir+"/one.csv/", location.Scope{}); caos.KindOf(err) != caos.Invalid {
		t.Errorf("a file with a slash: %v", err)
	}
}

// TestLinksAndDevices refuses what leads outside or never ends.
func TestLinksAndDevices(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "in")
	write(t, filepath.Join(top, "outside/key"), "key")
	write(t, filepath.Join(dir, "real/a.csv"), "a")
	for link, to := range map[string]string{"out.csv": "../outside/key", "abs.csv": filepath.Join(top, "outside/key"), "folder": "../outside", "fine.csv": "real/a.csv", "loop": "loop", "dangling": "nothing"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, location.Options{Roots: []string{dir, "/dev"}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for name, fine := range map[string]bool{"out.csv": false, "abs.csv": false, "folder/key": false, "folder/": false, "loop": false, "dangling": false, "pipe": false, "fine.csv": true, "*.csv": false} {
		found, err := l.Probe(ctx, "file://"+dir+"/"+name, location.Scope{})
		if (err == nil) != fine || err != nil && caos.KindOf(err) == caos.Internal {
			t.Errorf("%s: %v, %v", name, found, err)
		}
	}
	for _, dev := range []string{"/dev/zero", "/dev/null"} {
		if _, err := l.Probe(ctx, "file://"+dev, location.Scope{}); caos.KindOf(err) != caos.Invalid {
			t.Errorf("%s: %v", dev, err)
		}
	}
}

func TestFetchLocalNoticesChange(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, path string){
		"replaced, same size":  func(t *testing.T, p string) { write(t, p+".new", "efgh"); _ = os.Rename(p+".new", p) },
		"written in place":     func(t *testing.T, p string) { write(t, p, "wxyz") },
		"longer":               func(t *testing.T, p string) { write(t, p, "abcde") },
		"shorter":              func(t *testing.T, p string) { write(t, p, "abc") },
		"gone":                 func(t *testing.T, p string) { _ = os.Remove(p) },
		"touched, not changed": func(t *testing.T, p string) { _ = os.Chtimes(p, time.Now(), time.Now().Add(time.Hour)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := write(t, filepath.Join(dir, "a"), "abcd")
			l := open(t, location.Options{Roots: []string{dir}})
			found, err := l.Probe(t.Context(), "file://"+path, location.Scope{})
			if err != nil {
				t.Fatal(err)
			}
			change(t, path)
			dst := filepath.Join(t.TempDir(), "x")
			_, err = l.Fetch(t.Context(), found[0], location.Scope{}, dst, nil)
			if name == "touched, not changed" {
				if err != nil || read(t, dst) != "abcd" {
					t.Errorf("%v", err)
				}
				return
			}
			if e := caos.AsError(err); e.Kind != caos.Conflict || e.Rule != "source-changed" {
				t.Errorf("%v", err)
			}
			if _, err := os.Stat(dst); err == nil {
				t.Error("a file that is not the source's is left behind")
			}
		})
	}
}

// TestFetchLocalGrowing has a file grow while it is read.
func TestFetchLocalGrowing(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "a"), strings.Repeat("x", 3<<20))
	l := open(t, location.Options{Roots: []string{dir}})
	found, err := l.Probe(t.Context(), "file://"+path, location.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	grown := false
	_, err = l.Fetch(t.Context(), found[0], location.Scope{}, filepath.Join(t.TempDir(), "x"), func(done, total int64) {
		if !grown && done > 1<<20 {
			grown = true
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err == nil {
				_, err = f.WriteString("more")
				_ = f.Close()
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	if !grown || caos.AsError(err).Rule != "source-changed" {
		t.Errorf("grown %v: %v", grown, err)
	}
}

func TestFetchLimits(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "a"), "0123456789")
	if _, err := open(t, location.Options{Roots: []string{dir}, MaxBytes: 9}).Probe(t.Context(), "file://"+path, location.Scope{}); caos.KindOf(err) != caos.TooLarge {
		t.Errorf("%v", err)
	}
	l := open(t, location.Options{Roots: []string{dir}})
	found, err := l.Probe(t.Context(), "file://"+path, location.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := caos.Errorf(caos.Unavailable, "stopped by a test")
	cancel(stopped)
	if _, err := l.Fetch(ctx, found[0], location.Scope{}, filepath.Join(t.TempDir(), "x"), nil); err == nil || err.Error() != stopped.Error() {
		t.Errorf("cancelled: %v", err)
	}
	for i := range 10_001 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("many-%05d", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Probe(t.Context(), "file://"+dir+"/many-*", location.Scope{}); caos.KindOf(err) != caos.TooLarge {
		t.Errorf("10,001 files: %v", err)
	}
	if found, err := l.Probe(t.Context(), "file://"+dir+"/many-0*", location.Scope{}); err != nil || len(found) != 10_000 {
		t.Errorf("10,000 files: %d, %v", len(found), err)
	}
}

// roundTrip is a Staged that was saved and read again, as an execution does between steps.
func roundTrip(t testing.TB, st *location.Staged) *location.Staged {
	t.Helper()
	text, err := json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	out := new(location.Staged)
	if err := json.Unmarshal(text, out); err != nil {
		t.Fatal(err)
	}
	return out
}
