package evidence

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"caos"
	"caos/internal/object"
)

// Artifact is bytes on their way in: read completely, digest known, not yet kept. Close
// forgets them.
type Artifact struct {
	Ref  object.Ref
	Name string // last part of the address, a hint at the format

	f io.ReadSeekCloser
}

// Close forgets the staged bytes.
func (a *Artifact) Close() error { return a.f.Close() }

// where is a parsed artifact_uri.
type where struct {
	scheme string
	digest string   // of object
	url    *url.URL // of http and file
}

// parseURI refuses addresses that no configuration could fetch.
func parseURI(uri string) (where, error) {
	if len(uri) > 4096 {
		return where{}, refuse("the address has more than 4096 bytes")
	}
	if d, ok := strings.CutPrefix(uri, "object://"); ok {
		if _, err := object.ParseDigest(d); err != nil {
			return where{}, caos.AsError(err).WithField("artifact_uri")
		}
		return where{scheme: "object", digest: d}, nil
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" {
		return where{}, refuse("%.80q is not an address", uri).
			WithHint("an address begins with https:// or object:// (what an upload returned), or with file:// for files the server may read")
	}
	switch u.Scheme {
	case "https", "http":
		if u.Hostname() == "" {
			return where{}, refuse("the address names no host")
		}
		if u.User != nil {
			// Refused before the request is kept: it would be kept for ever.
			return where{}, refuse("the address carries a user name or password").WithHint("upload the artifact to /v1/objects and give the object:// address that it returns")
		}
		return where{scheme: "http", url: u}, nil
	case "file":
		if u.Host != "" && u.Host != "localhost" || !strings.HasPrefix(u.Path, "/") {
			return where{}, refuse("the address is not file:// and an absolute path")
		}
		return where{scheme: "file", url: u}, nil
	case "s3":
		return where{}, refuse("this server has no S3 access").
			WithHint("upload the artifact to /v1/objects and give the object:// address that it returns; s3:// comes with the S3 configuration")
	}
	return where{}, refuse("addresses with %.20q are not fetched", u.Scheme).
		WithHint("use https://, or upload the artifact to /v1/objects and give the object:// address that it returns")
}

// Fetch brings the bytes of an address into a scratch file that has no name, so that
// nothing of a refused artifact is left. Errors are about the field artifact_uri; a
// server that is down is Unavailable.
func (r *Repository) Fetch(ctx context.Context, uri string) (*Artifact, error) {
	w, err := parseURI(uri)
	if err != nil {
		return nil, err
	}
	var a *Artifact
	switch w.scheme {
	case "object":
		a, err = r.fetchObject(w.digest)
	case "file":
		a, err = r.fetchFile(ctx, w.url.Path)
	default:
		a, err = r.fetchHTTP(ctx, w.url)
	}
	if err != nil {
		e := caos.AsError(err)
		if e.Field == "" {
			e = e.WithField("artifact_uri")
		}
		return nil, e
	}
	return a, nil
}

// Stage takes in the bytes of a body, such as an upload, under a name that hints at their
// format.
func (r *Repository) Stage(ctx context.Context, name string, body io.Reader) (*Artifact, error) {
	f, err := os.CreateTemp(r.scratch, "caos-artifact-*")
	if err != nil {
		return nil, scratchError(err)
	}
	if err := os.Remove(f.Name()); err != nil { // the open file is all there is
		f.Close()
		return nil, scratchError(err)
	}
	sum := sha256.New()
	n, err := r.copy(ctx, io.MultiWriter(f, sum), body)
	if err != nil {
		f.Close()
		return nil, err
	}
	digest := "SHA256:" + hex.EncodeToString(sum.Sum(nil))
	return &Artifact{Ref: object.Ref{Digest: digest, Size: n}, Name: name, f: f}, nil
}

func (r *Repository) copy(ctx context.Context, w io.Writer, body io.Reader) (int64, error) {
	buf := make([]byte, 128<<10)
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return 0, caos.Wrap(caos.Unavailable, err, "fetching the artifact was stopped")
		}
		n, err := body.Read(buf)
		if total += int64(n); total > r.lim.MaxBytes {
			return 0, caos.Errorf(caos.TooLarge, "the artifact has more than %d bytes", r.lim.MaxBytes).WithField("artifact_uri")
		}
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return 0, scratchError(err)
			}
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			var e *caos.Error
			if errors.As(err, &e) {
				return 0, e
			}
			return 0, caos.Wrap(caos.Invalid, err, "the artifact broke off after %d bytes", total).WithField("artifact_uri").WithHint("send it again")
		}
	}
}

func scratchError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return caos.Wrap(caos.Full, err, "there is no room left to take in the artifact").WithHint("free space on the server's disk")
	}
	return caos.Wrap(caos.Unavailable, err, "the artifact cannot be taken in").WithHint("the server's log has the cause")
}

func (r *Repository) fetchObject(digest string) (*Artifact, error) {
	f, size, err := r.objects.Open(digest)
	if err != nil {
		return nil, err
	}
	if size > r.lim.MaxBytes {
		f.Close()
		return nil, caos.Errorf(caos.TooLarge, "the artifact has more than %d bytes", r.lim.MaxBytes)
	}
	return &Artifact{Ref: object.Ref{Digest: digest, Size: size}, f: f}, nil
}

// fetchFile reads a file below one of the configured folders. os.Root keeps links and
// dots inside; only regular files are opened, so that no pipe or device can hang or flood.
func (r *Repository) fetchFile(ctx context.Context, name string) (*Artifact, error) {
	name = path.Clean(name)
	for _, folder := range r.roots {
		rel, err := filepath.Rel(folder, filepath.FromSlash(name))
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		root, err := os.OpenRoot(folder)
		if err != nil {
			return nil, caos.Wrap(caos.Unavailable, err, "the configured folder cannot be opened")
		}
		defer root.Close()
		f, err := root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return nil, caos.Wrap(caos.NotFound, err, "there is no file %.200q that may be read", name)
		}
		defer f.Close()
		if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
			return nil, refuse("%.200q is not a regular file", name)
		}
		return r.Stage(ctx, path.Base(name), f)
	}
	return nil, refuse("the server may not read files there").WithRule("file-roots").
		WithHint("upload the artifact to /v1/objects, or have an administrator name the folder in the configuration")
}

func (r *Repository) fetchHTTP(ctx context.Context, u *url.URL) (*Artifact, error) {
	if r.http == nil {
		return nil, refuse("this server fetches nothing over the network").WithHint("upload the artifact to /v1/objects")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, refuse("the address cannot be asked for")
	}
	resp, err := r.http.Do(req)
	if err != nil {
		var e *caos.Error
		if errors.As(err, &e) {
			return nil, e
		}
		return nil, caos.Wrap(caos.Unavailable, err, "the server cannot be reached")
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK:
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return nil, caos.Errorf(caos.Unavailable, "the server answers %d", resp.StatusCode)
	default:
		return nil, refuse("the server answers %d", resp.StatusCode).WithHint("the address has to answer a plain GET with 200")
	}
	return r.Stage(ctx, path.Base(u.Path), resp.Body)
}
