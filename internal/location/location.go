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
	"time"

	"caos"
	"caos/internal/secret"
)

// Options say what may be read and written.
type Options struct {
	Roots       []string       // folders that file:// may read from, absolute
	TargetRoots []string       // folders that file:// may publish to, absolute; may be read from, too
	Allow       []string       // "host:port" that https:// sources may name although private; by http too
	Buckets     []Bucket       // for s3://
	Secrets     secret.Store   // of the buckets' keys
	MaxBytes    int64          // of one file; 64 GiB if 0
	Wait        time.Duration  // the longest silence of a server; 30 s if 0
	Backoff     time.Duration  // before the first repetition, doubled for each further one; 200 ms if 0
	RootCAs     *x509.CertPool // the system's if nil
	Now         func() time.Time
}

// Scope is for whom a location is used: it decides which buckets may be.
type Scope struct {
	Project        string `json:"project"`
	Classification string `json:"classification"`
}

// File is one file of a source, as Probe found it and Fetch took it.
type File struct {
	URI      string    `json:"uri"`
	Name     string    `json:"name"` // safe as a file's name, unique among those of its probe
	Size     int64     `json:"size"` // bytes; -1: the server did not say
	Digest   string    `json:"digest,omitempty"`
	ETag     string    `json:"etag,omitempty"`
	Version  string    `json:"version,omitempty"` // of a bucket that keeps versions
	Modified time.Time `json:"modified,omitzero"`
}

// Local is a file to publish.
type Local struct {
	Path string `json:"path"` // on this machine
	Name string `json:"name"` // below the target, slash-separated; not used for a target that is one file
}

// Staged is a publication under way. It may be saved as JSON between any two steps.
type Staged struct {
	Key    string `json:"key"`
	Target string `json:"target"`
	Scope  Scope  `json:"scope"`
}

// Locations are all places that may be read from or published to.
type Locations struct {
	opt Options
}

// Open checks the options; it asks no server.
func Open(opt Options) (*Locations, error) { return &Locations{opt: opt}, nil }

// Check says whether a location is well formed and may be used in a scope, without touching it.
func (l *Locations) Check(_ string, _ bool, _ Scope) error {
	return caos.Errorf(caos.Unavailable, "not there yet")
}

// Probe lists the files of a source.
func (l *Locations) Probe(_ context.Context, _ string, _ Scope) ([]File, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// Fetch copies a probed file to dst.
func (l *Locations) Fetch(_ context.Context, f File, _ Scope, _ string, _ func(done, total int64)) (File, error) {
	return f, caos.Errorf(caos.Unavailable, "not there yet")
}

// Publication is what is to be published, and where.
type Publication struct {
	Key    string // the same for every attempt of one publication
	Target string
	Files  []Local
	Scope  Scope
}

// Stage writes a publication whole beside its target.
func (l *Locations) Stage(_ context.Context, _ Publication, _ func(done, total int64)) (*Staged, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// Commit makes a staged publication visible and keeps what was there.
func (l *Locations) Commit(_ context.Context, _ *Staged) error {
	return caos.Errorf(caos.Unavailable, "not there yet")
}

// Undo takes a publication back, before or after Commit.
func (l *Locations) Undo(_ context.Context, _ *Staged) error {
	return caos.Errorf(caos.Unavailable, "not there yet")
}

// Finish drops what Undo needed.
func (l *Locations) Finish(_ context.Context, _ *Staged) error {
	return caos.Errorf(caos.Unavailable, "not there yet")
}
