package location_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"caos"
	"caos/internal/location"
	"caos/internal/location/s3test"
)

// lockingLake makes the bucket lake, with Object Lock.
func lockingLake(t *testing.T) *s3test.Server {
	t.Helper()
	s := s3test.Start(t)
	if _, err := s.Client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("lake"), ObjectLockEnabledForBucket: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	return s
}

// What was locked is there, cannot be changed or removed, and can be written again only as it
// is.
func TestPutLocked(t *testing.T) {
	s := lockingLake(t)
	l := openLake(t, s, s.URL, nil)
	until := time.Now().Add(48 * time.Hour)
	const uri = "s3://lake/anchors/00000000000000000042"
	for range 2 { // again is as once: the first answer may have been lost
		if err := l.PutLocked(t.Context(), uri, []byte("forty-two"), until, location.Scope{}); err != nil {
			t.Fatal(err)
		}
	}
	err := l.PutLocked(t.Context(), uri, []byte("forty-three"), until, location.Scope{})
	if caos.KindOf(err) != caos.Conflict || caos.AsError(err).Rule != "object-taken" {
		t.Errorf("another content under the name: %v", err)
	}
	if err := l.PutLocked(t.Context(), uri, []byte("forty-two"), until.Add(72*time.Hour), location.Scope{}); caos.AsError(err).Rule != "object-lock" {
		t.Errorf("a lock that is shorter than asked for: %v", err)
	}
	versions, err := s.Client.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: aws.String("lake")})
	if err != nil || len(versions.Versions) != 1 {
		t.Fatalf("%d versions: %v", len(versions.Versions), err)
	}
	if _, err := s.Client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("lake"), Key: aws.String("anchors/00000000000000000042"), VersionId: versions.Versions[0].VersionId}); err == nil {
		t.Error("the locked version could be removed")
	}
	text, err := l.GetLocked(t.Context(), uri, location.Scope{})
	if err != nil || string(text) != "forty-two" {
		t.Errorf("read %q, %v", text, err)
	}
	if text, err := l.GetLocked(t.Context(), "s3://lake/anchors/none", location.Scope{}); err != nil || text != nil {
		t.Errorf("read %q, %v of no object", text, err)
	}
	if err := l.PutLocked(t.Context(), "s3://lake/anchors/00000000000000000100", []byte("hundred"), until, location.Scope{}); err != nil {
		t.Fatal(err)
	}
	for after, want := range map[string]string{"": "42 100", "00000000000000000042": "100", "00000000000000000100": ""} {
		uris, err := l.ListAfter(t.Context(), "s3://lake/anchors/", after, 10, location.Scope{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, u := range uris {
			got = append(got, strings.TrimLeft(strings.TrimPrefix(u, "s3://lake/anchors/"), "0"))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("after %q: %v, want %s", after, got, want)
		}
	}
}

// An answer that is lost leaves the object; the next attempt finds its own.
func TestPutLockedAnswerLost(t *testing.T) {
	s := lockingLake(t)
	g := newGateway(t, s)
	var puts atomic.Int32
	g.cut = func(r *http.Request) int { return -1 }
	g.change = func(r *http.Response) {
		if r.Request.Method == http.MethodPut && puts.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
	}
	l := openLake(t, s, g.URL, func(o *location.Options) { o.Backoff = time.Millisecond })
	if err := l.PutLocked(t.Context(), "s3://lake/a", []byte("once"), time.Now().Add(48*time.Hour), location.Scope{}); err != nil {
		t.Fatal(err)
	}
	if puts.Load() < 2 {
		t.Error("nothing was lost: the test tests nothing")
	}
	versions, err := s.Client.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: aws.String("lake")})
	if err != nil || len(versions.Versions) != 1 {
		t.Fatalf("%d versions: %v", len(versions.Versions), err)
	}
}

// A bucket without Object Lock is refused by name, and so is what is no object.
func TestPutLockedRefusals(t *testing.T) {
	s := s3test.Start(t, "lake")
	l := openLake(t, s, s.URL, nil)
	until := time.Now().Add(48 * time.Hour)
	for _, c := range []struct{ uri, kind, rule string }{
		{"s3://lake/a", string(caos.Invalid), "object-lock"},
		{"s3://lake/folder/", string(caos.Invalid), ""},
		{"s3://other/a", string(caos.NotFound), "location-bucket"},
		{"file:///tmp/a", string(caos.Invalid), ""},
		{"s3://lake/*", string(caos.Invalid), ""},
	} {
		err := l.PutLocked(t.Context(), c.uri, []byte("x"), until, location.Scope{})
		if e := caos.AsError(err); err == nil || string(e.Kind) != c.kind || e.Rule != c.rule || e.Field != "uri" {
			t.Errorf("%s: %v (%+v)", c.uri, err, e)
		}
	}
	if _, err := l.ListAfter(t.Context(), "s3://lake/a", "", 1, location.Scope{}); caos.KindOf(err) != caos.Invalid {
		t.Errorf("listing an object: %v", err)
	}
	if err := l.PutLocked(t.Context(), "s3://lake/a", make([]byte, 2<<20), until, location.Scope{}); caos.KindOf(err) != caos.TooLarge {
		t.Errorf("two megabytes: %v", err)
	}
}
