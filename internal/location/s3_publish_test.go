package location_test

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"caos"
	"caos/internal/location"
	"caos/internal/location/s3test"
)

// objects is what a bucket holds, keys and contents, without what publications keep aside.
func objects(t testing.TB, s *s3test.Server) (visible map[string]string, aside []string) {
	t.Helper()
	visible = map[string]string{}
	all, uploads := s.List(t, "lake", "")
	for _, key := range all {
		if strings.Contains(key, ".caos-") {
			aside = append(aside, key)
			continue
		}
		visible[key], _ = s.Get(t, "lake", key)
	}
	for _, u := range uploads {
		aside = append(aside, "upload "+u)
	}
	return visible, aside
}

func clean(t testing.TB, s *s3test.Server) {
	t.Helper()
	all, _ := s.List(t, "lake", "")
	for _, key := range all {
		if _, err := s.Client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("lake"), Key: &key}); err != nil {
			t.Fatal(err)
		}
	}
	out, err := s.Client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String("lake")})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range out.Uploads {
		if _, err := s.Client.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: aws.String("lake"), Key: u.Key, UploadId: u.UploadId}); err != nil {
			t.Fatal(err)
		}
	}
}

type s3bench struct {
	*location.Locations
	s    *s3test.Server
	pub  location.Publication
	kind published
}

func newS3Bench(t *testing.T, s *s3test.Server, endpoint string, k published) *s3bench {
	t.Helper()
	clean(t, s)
	for key, text := range k.before {
		s.Put(t, "lake", key, text)
	}
	src := t.TempDir()
	b := &s3bench{s: s, kind: k, Locations: openLake(t, s, endpoint, func(o *location.Options) { o.Wait = 2 * time.Second })}
	b.pub = location.Publication{Key: "EXEC-1/publish/t", Target: "s3://lake/" + k.target, Folder: src}
	for _, name := range k.files {
		write(t, filepath.Join(src, name), "new "+name)
		b.pub.Files = append(b.pub.Files, location.Local{Path: name, Name: name, Digest: sha("new " + name)})
	}
	return b
}

// committed is what is visible between Commit and Finish: of a prefix, the old objects, too.
func (b *s3bench) committed() map[string]string {
	out := maps.Clone(b.kind.after)
	for key, text := range b.kind.before {
		if _, ok := out[key]; !ok {
			out[key] = text
		}
	}
	return out
}

func (b *s3bench) is(t *testing.T, when string, want map[string]string, aside bool) {
	t.Helper()
	if want == nil {
		want = map[string]string{}
	}
	got, kept := objects(t, b.s)
	if !same(got, want) {
		t.Errorf("%s: %v, want %v", when, got, want)
	}
	if !aside && len(kept) > 0 {
		t.Errorf("%s: %v is left", when, kept)
	}
}

func (b *s3bench) stage(t *testing.T) *location.Staged {
	t.Helper()
	st, err := b.Stage(t.Context(), b.pub, nil)
	if err != nil {
		t.Fatal(err)
	}
	return roundTrip(t, st)
}

// TestPublishS3 takes every kind of target through each order of the steps, each step twice.
func TestPublishS3(t *testing.T) {
	s := s3test.Start(t, "lake")
	for name, k := range kinds() {
		twice := func(t *testing.T, what string, step func() error) {
			t.Helper()
			for i := range 2 {
				do(t, fmt.Sprintf("%s, time %d", what, i+1), step())
			}
		}
		t.Run(name+", commit, finish", func(t *testing.T) {
			b := newS3Bench(t, s, s.URL, k)
			b.stage(t)
			b.is(t, "staged", k.before, true)
			st := b.stage(t)
			if _, aside := objects(t, s); len(aside) != len(k.files)+1 {
				t.Errorf("staged twice: %v", aside)
			}
			if err := b.Finish(t.Context(), st); caos.AsError(err).Rule != "not-committed" {
				t.Errorf("finished before commit: %v", err)
			}
			twice(t, "commit", func() error { return b.Commit(t.Context(), st) })
			b.is(t, "committed", b.committed(), true)
			twice(t, "finish", func() error { return b.Finish(t.Context(), st) })
			b.is(t, "finished", k.after, false)
			for _, f := range st.Files {
				found, err := b.Probe(t.Context(), f.URI, location.Scope{})
				if err != nil {
					t.Fatal(err)
				}
				if got, err := b.Fetch(t.Context(), found[0], location.Scope{}, filepath.Join(t.TempDir(), "x"), nil); err != nil || got.Digest != f.Digest {
					t.Errorf("%+v, %v", got, err)
				}
			}
		})
		t.Run(name+", undo", func(t *testing.T) {
			b := newS3Bench(t, s, s.URL, k)
			st := b.stage(t)
			twice(t, "undo", func() error { return b.Undo(t.Context(), st) })
			b.is(t, "undone", k.before, false)
			if err := b.Commit(t.Context(), st); caos.AsError(err).Rule != "staged-lost" {
				t.Errorf("commit of what was undone: %v", err)
			}
			do(t, "undo", b.Undo(t.Context(), st))
			b.is(t, "refused", k.before, false)
		})
		t.Run(name+", commit, undo", func(t *testing.T) {
			b := newS3Bench(t, s, s.URL, k)
			st := b.stage(t)
			do(t, "commit", b.Commit(t.Context(), st))
			twice(t, "undo", func() error { return b.Undo(t.Context(), st) })
			b.is(t, "undone", k.before, false)
		})
		t.Run(name+", undo by key", func(t *testing.T) {
			b := newS3Bench(t, s, s.URL, k)
			b.stage(t)
			twice(t, "undo", func() error { return b.Undo(t.Context(), &location.Staged{Key: b.pub.Key, Target: b.pub.Target}) })
			b.is(t, "undone", k.before, false)
		})
	}
}

// TestPublishS3Killed cuts the way to the store before or after each single request of each
// step, as a crash would, and goes on from there in both directions.
func TestPublishS3Killed(t *testing.T) {
	s := s3test.Start(t, "lake")
	k := kinds()["folder, replaced"]
	dead := func(g *gateway, n int, after bool) (reached *bool) {
		count, hit := 0, false
		g.set(func(g *gateway) {
			g.before = func(w http.ResponseWriter, r *http.Request) bool {
				g.mu.Lock()
				count++
				mine, done := count == n, hit
				if mine {
					hit = true
				}
				g.mu.Unlock()
				if done || mine && !after {
					panic(http.ErrAbortHandler) // it never comes
				}
				return false
			}
			g.cut = func(*http.Request) int { return -1 }
			g.change = func(r *http.Response) {
				g.mu.Lock()
				mine := hit && count == n
				g.mu.Unlock()
				if mine && after {
					panic(http.ErrAbortHandler) // done, and its answer is lost
				}
			}
		})
		return &hit
	}
	alive := func(g *gateway) { g.set(func(g *gateway) { g.before, g.cut, g.change = nil, nil, nil }) }
	for _, step := range []string{"stage", "commit", "undo", "finish"} {
		for _, after := range []bool{false, true} {
			for n := 1; ; n++ {
				g := newGateway(t, s)
				b := newS3Bench(t, s, g.URL, k)
				var st *location.Staged
				if step != "stage" {
					st = b.stage(t)
				}
				if step == "undo" || step == "finish" {
					do(t, "commit", b.Commit(t.Context(), st))
				}
				reached := dead(g, n, after)
				what := fmt.Sprintf("%s, dead at request %d (after %v)", step, n, after)
				var err error
				switch step {
				case "stage":
					st, err = b.Stage(t.Context(), b.pub, nil)
				case "commit":
					err = b.Commit(t.Context(), st)
				case "undo":
					err = b.Undo(t.Context(), st)
				case "finish":
					err = b.Finish(t.Context(), st)
				}
				if !*reached {
					break
				}
				if err == nil {
					t.Errorf("%s: no error", what)
				}
				alive(g)
				switch step {
				case "stage":
					if n%2 == 0 {
						do(t, what, b.Undo(t.Context(), &location.Staged{Key: b.pub.Key, Target: b.pub.Target}))
						b.is(t, what, k.before, false)
						continue
					}
					st = b.stage(t)
					do(t, what, b.Commit(t.Context(), st))
					do(t, what, b.Finish(t.Context(), st))
					b.is(t, what, k.after, false)
				case "commit":
					if n%2 == 0 {
						do(t, what, b.Undo(t.Context(), st))
						b.is(t, what, k.before, false)
						continue
					}
					do(t, what, b.Commit(t.Context(), st))
					do(t, what, b.Finish(t.Context(), st))
					b.is(t, what, k.after, false)
				case "undo":
					do(t, what, b.Undo(t.Context(), st))
					b.is(t, what, k.before, false)
				case "finish":
					do(t, what, b.Finish(t.Context(), st))
					b.is(t, what, k.after, false)
				}
			}
		}
	}
}
