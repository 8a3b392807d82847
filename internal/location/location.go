// Package location reads the files that pipelines take and publishes those that they make:
// file:// under allowed folders, s3:// in configured buckets, https:// for reading alone.
//
// What is read is copied into a scratch folder, whole and verified, because the worker has
// no network and because a source that changes while it is read must be noticed. What is
// published is written whole beside its target first; one rename or one request makes it
// visible, and until [Locations.Finish] it can be taken back.
//
// Everything a server says is hostile: names, sizes, redirects, silence.
package location

import (
	"context"
	"crypto/x509"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"caos"
	"caos/internal/outbound"
	"caos/internal/secret"
)

// Options say what may be read and written. Zero fields mean defaults.
type Options struct {
	Roots       []string       // folders that file:// may read from, absolute
	TargetRoots []string       // folders that file:// may publish to, absolute; may be read from, too
	Allow       []string       // "host:port" that https:// sources may name although private; by http too
	Buckets     []Bucket       // for s3://
	Secrets     secret.Store   // of the buckets' keys
	MaxBytes    int64          // of one file; 64 GiB
	Wait        time.Duration  // the longest silence of a server; 30 s
	Backoff     time.Duration  // before the first repetition, doubled for each further one; 200 ms
	RootCAs     *x509.CertPool // the system's
}

// Scope is for whom a location is used: it decides which buckets may be.
type Scope struct {
	Project        string `json:"project"`
	Classification string `json:"classification"`
}

// File is one file of a source, as Probe found it and Fetch took it.
type File struct {
	URI      string    `json:"uri"`
	Name     string    `json:"name"`             // safe as a file's name, unique among those of its probe
	Size     int64     `json:"size"`             // bytes; -1: the server did not say
	Digest   string    `json:"digest,omitempty"` // SHA256:…; of what is not file:// known once it was fetched
	ETag     string    `json:"etag,omitempty"`
	Version  string    `json:"version,omitempty"` // of a bucket that keeps versions
	Modified time.Time `json:"modified,omitzero"`
}

// Local is a file to publish.
type Local struct {
	Path   string `json:"path"`             // on this machine
	Name   string `json:"name"`             // below the target, slash-separated; not used where the target is one file
	Digest string `json:"digest,omitempty"` // SHA256:… that it must have; unchecked if empty
}

// Publication is what is to be published, and where.
type Publication struct {
	Key    string // the same for every attempt of one publication, and of no other
	Target string // a folder that is replaced whole, with a slash behind it; or one file
	Files  []Local
	Folder string // if set, paths are relative to it, and nothing outside it is read
	Scope  Scope

	// New says that its publisher has never published to Target: a folder there that has
	// anything in it is somebody else's, and is refused instead of replaced.
	New bool
}

// Progress is told how much of a transfer is done, in bytes; total is -1 if it is not known.
// It may be nil.
type Progress = func(done, total int64)

// Locations are all places that may be read from or published to.
type Locations struct {
	opt     Options
	buckets map[string]*bucket
	http    *http.Client
}

// Open checks the options; it asks no server and opens no folder.
func Open(opt Options) (*Locations, error) {
	if opt.MaxBytes <= 0 {
		opt.MaxBytes = 64 << 30
	}
	if opt.Wait <= 0 {
		opt.Wait = 30 * time.Second
	}
	if opt.Backoff <= 0 {
		opt.Backoff = 200 * time.Millisecond
	}
	for _, roots := range [][]string{opt.Roots, opt.TargetRoots} {
		for i, r := range roots {
			if !filepath.IsAbs(r) {
				return nil, caos.Errorf(caos.Invalid, "%q is not an absolute path", r)
			}
			roots[i] = filepath.Clean(r)
		}
	}
	l := &Locations{opt: opt, buckets: map[string]*bucket{}}
	l.http = outbound.New(outbound.Config{Allow: opt.Allow, MaxBytes: opt.MaxBytes, Timeout: longest, Connect: min(opt.Wait, 10*time.Second), Header: opt.Wait,
		IdleBody: opt.Wait, RootCAs: opt.RootCAs}).Client()
	for _, b := range opt.Buckets {
		if err := b.Check(opt.Allow); err != nil {
			return nil, err
		}
		if l.buckets[b.Bucket] != nil {
			return nil, caos.Errorf(caos.Invalid, "the bucket %q is there twice", b.Bucket)
		}
		l.buckets[b.Bucket] = newBucket(b, &l.opt)
	}
	return l, nil
}

// longest is how long one transfer may take, however lively it is.
const longest = 24 * time.Hour

// Check says whether a location is well formed and may be used in a scope, without touching
// it. Errors have the field "uri".
func (l *Locations) Check(uri string, write bool, s Scope) error {
	p, err := parse(uri)
	if err != nil {
		return err
	}
	if err := l.usable(p, write, s); err != nil {
		return caos.AsError(err).WithField("uri")
	}
	return nil
}

func (l *Locations) usable(p *place, write bool, s Scope) error {
	if write && !p.one() && p.pattern() {
		return caos.Errorf(caos.Invalid, "a target is a file or a folder, not a pattern").WithHint("end a folder with a slash")
	}
	switch p.scheme {
	case "file":
		_, _, err := l.root(p, write)
		return err
	case "s3":
		b := l.buckets[p.bucket]
		if b == nil {
			return caos.Errorf(caos.NotFound, "the bucket %s is not configured", p.bucket).WithRule("location-bucket").
				WithHint("an administrator adds it under s3 in caos.yaml")
		}
		return b.usable(write, s)
	}
	if write {
		return caos.Errorf(caos.Invalid, "%s is for reading alone", p.scheme).WithHint("publish to file:// or s3://")
	}
	if p.scheme == "http" && !slices.Contains(l.opt.Allow, HostPort(p.url)) {
		return caos.Errorf(caos.Invalid, "plain http is not fetched").WithRule("outbound").WithHint("use https, or have an administrator name host and port in fetch_allow")
	}
	return nil
}

// Probe finds the files of a source, sorted by URI: one file, all below a folder, or all that
// fit a pattern. What is there is described so that Fetch notices if it is not the same any
// more: file:// is read and hashed. No file at all is NotFound.
func (l *Locations) Probe(ctx context.Context, uri string, s Scope) ([]File, error) {
	p, err := l.readable(uri, s)
	if err != nil {
		return nil, err
	}
	var files []File
	switch p.scheme {
	case "file":
		files, err = l.probeLocal(ctx, p)
	case "s3":
		files, err = l.buckets[p.bucket].probe(ctx, p)
	default:
		files, err = l.probeWeb(ctx, p)
	}
	if err != nil {
		return nil, located(ctx, err)
	}
	if len(files) == 0 {
		return nil, caos.Errorf(caos.NotFound, "there is no file").WithField("uri").WithRule("source-missing").WithHint("names that begin with . or _ do not count unless the location names them")
	}
	slices.SortFunc(files, func(a, b File) int { return compare(a.URI, b.URI) })
	var n names
	for i := range files {
		files[i].Name = n.of(files[i].Name)
		if files[i].Size > l.opt.MaxBytes {
			return nil, errTooLarge(files[i].Size, l.opt.MaxBytes)
		}
	}
	return files, nil
}

func (l *Locations) readable(uri string, s Scope) (*place, error) {
	p, err := parse(uri)
	if err != nil {
		return nil, err
	}
	if err := l.usable(p, false, s); err != nil {
		return nil, caos.AsError(err).WithField("uri")
	}
	return p, nil
}

// Fetch copies a probed file to dst, which it makes or overwrites, and returns it with its
// digest. A broken transfer goes on where it stopped. A file that is not the one that was
// probed is a Conflict with the rule source-changed; after any error there is no dst.
func (l *Locations) Fetch(ctx context.Context, f File, s Scope, dst string, progress Progress) (File, error) {
	p, err := l.readable(f.URI, s)
	if err != nil {
		return f, err
	}
	if !p.one() {
		return f, caos.Errorf(caos.Invalid, "one file is fetched at a time").WithField("uri")
	}
	t, err := newTransfer(dst, f, l, progress)
	if err != nil {
		return f, err
	}
	switch p.scheme {
	case "file":
		err = l.fetchLocal(ctx, p, t)
	case "s3":
		err = l.buckets[p.bucket].fetch(ctx, p, t)
	default:
		err = l.fetchWeb(ctx, p, t)
	}
	if err = t.end(err); err != nil {
		return f, located(ctx, err)
	}
	got := t.got
	got.Name = f.Name
	return got, nil
}

// located is an error of a location with its field, and the reason for which ctx ended where
// that is what it is about.
func located(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	e := caos.AsError(err)
	if e.Field == "" {
		return e.WithField("uri")
	}
	return e
}

func errTooLarge(size, limit int64) error {
	return caos.Errorf(caos.TooLarge, "the file has %d bytes, %d are allowed", size, limit).WithField("uri")
}

func errChanged(what string) error {
	return caos.Errorf(caos.Conflict, "the source changed after it was found: %s", what).WithRule("source-changed").WithField("uri").
		WithHint("run it again once nobody writes to the source; what writes it should write aside and rename")
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func itoa(n int) string { return strconv.Itoa(n) }
