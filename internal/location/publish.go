package location

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"caos"
)

// Staged is a publication under way: all that Commit, Undo and Finish need. It may be saved
// as JSON between any two steps; each step may be done again after a crash within it.
type Staged struct {
	Key    string       `json:"key"`
	Target string       `json:"target"`
	Scope  Scope        `json:"scope"`
	Files  []StagedFile `json:"files"`
	New    bool         `json:"new,omitempty"` // Publication.New of a folder: Commit refuses what came there meanwhile

	Identity string   `json:"identity,omitempty"` // file: inode and birth of what Commit puts in the target's place
	Owner    string   `json:"owner,omitempty"`    // s3: metadata of the objects that this Stage has made
	Old      []Object `json:"old,omitempty"`      // s3: what was below a folder before
}

// StagedFile is one file of a publication.
type StagedFile struct {
	Name     string `json:"name"`
	URI      string `json:"uri"` // where Commit makes it visible
	Size     int64  `json:"size"`
	Digest   string `json:"digest"`             // SHA256:…
	Upload   string `json:"upload,omitempty"`   // s3: the multipart upload that Commit completes
	Checksum string `json:"checksum,omitempty"` // s3: CRC-64/NVME of all, base64
}

// Object is an object of a bucket as it was seen.
type Object struct {
	Key  string `json:"key"`
	ETag string `json:"etag"`
}

// Stage writes a publication whole beside its target, durable, and changes nothing that
// anybody reads. Under the same key it begins anew and removes what an earlier attempt left.
func (l *Locations) Stage(ctx context.Context, pub Publication, progress Progress) (*Staged, error) {
	p, err := l.target(pub.Target, pub.Scope)
	if err != nil {
		return nil, err
	}
	if pub.Key == "" {
		return nil, caos.Errorf(caos.Internal, "a publication has a key")
	}
	if err := checkFiles(p, pub.Files); err != nil {
		return nil, err
	}
	src, err := openSource(pub.Folder)
	if err != nil {
		return nil, err
	}
	defer src.close()
	total, err := src.total(pub.Files)
	if err != nil {
		return nil, err
	}
	done := int64(0)
	told := func(n int64) {
		done += n
		if progress != nil {
			progress(done, total)
		}
	}
	st := &Staged{Key: pub.Key, Target: pub.Target, Scope: pub.Scope, New: pub.New && wholeFolder(p, pub.Files)}
	if p.scheme == "s3" {
		err = l.buckets[p.bucket].stage(ctx, staging{p: p, st: st, src: src, files: pub.Files, told: told})
	} else {
		err = l.stageLocal(ctx, staging{p: p, st: st, src: src, files: pub.Files, told: told})
	}
	if err != nil {
		return nil, targeted(ctx, err)
	}
	return st, nil
}

// staging is what a Stage works with.
type staging struct {
	p     *place
	st    *Staged
	src   *source
	files []Local
	told  func(n int64) // further bytes are written
}

// Commit makes a staged publication visible and keeps what was there, for Undo.
func (l *Locations) Commit(ctx context.Context, st *Staged) error {
	p, err := l.target(st.Target, st.Scope)
	if err != nil {
		return err
	}
	if len(st.Files) == 0 {
		return caos.Errorf(caos.Internal, "nothing is staged for %s", st.Target)
	}
	if p.scheme == "s3" {
		return targeted(ctx, l.buckets[p.bucket].commit(ctx, p, st))
	}
	return targeted(ctx, l.commitLocal(p, st))
}

// Undo takes a publication back, before or after Commit, half done or not at all: what was
// there is there again. Of a publication whose Stage never answered, key, target and scope
// are enough. A target that somebody else has changed since is left as it is.
func (l *Locations) Undo(ctx context.Context, st *Staged) error {
	p, err := l.target(st.Target, st.Scope)
	if err != nil {
		return err
	}
	if p.scheme == "s3" {
		return targeted(ctx, l.buckets[p.bucket].undo(ctx, p, st))
	}
	return targeted(ctx, l.undoLocal(p, st))
}

// Finish drops what Undo needed: there is no way back.
func (l *Locations) Finish(ctx context.Context, st *Staged) error {
	p, err := l.target(st.Target, st.Scope)
	if err != nil {
		return err
	}
	if p.scheme == "s3" {
		return targeted(ctx, l.buckets[p.bucket].finish(ctx, p, st))
	}
	return targeted(ctx, l.finishLocal(p, st))
}

// errOccupied refuses to replace a folder full of what its publisher did not make: most
// likely the target's location is too short by a part, or somebody else's.
func errOccupied() error {
	return caos.Errorf(caos.Conflict, "the target is a folder with files that this pipeline has not published, and it would be replaced whole").WithRule("target-occupied").
		WithHint("give the target a folder of its own, or move what is in this one somewhere else")
}

// target reads the location that is published to.
func (l *Locations) target(uri string, s Scope) (*place, error) {
	p, err := parse(uri)
	if err == nil {
		err = l.usable(p, true, s)
	}
	if err != nil {
		return nil, caos.AsError(err).WithField("target")
	}
	return p, nil
}

func targeted(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	e := caos.AsError(err)
	if e.Field == "" || e.Field == "uri" {
		return e.WithField("target")
	}
	return e
}

// aside is the name under which a publication keeps its own beside its target: the same for
// every attempt, and another one for each key and target.
func aside(p *place, st *Staged) string {
	sum := sha256.Sum256([]byte(st.Key + "\x00" + p.parts[len(p.parts)-1]))
	return own + hex.EncodeToString(sum[:12])
}

// wholeFolder reports whether a publication replaces a folder and not one file.
func wholeFolder(p *place, files []Local) bool {
	return p.folder || len(files) != 1 || strings.Contains(files[0].Name, "/")
}

// checkFiles refuses names that would lead elsewhere or meet each other.
func checkFiles(p *place, files []Local) error {
	if len(files) == 0 || len(files) > maxFiles {
		return caos.Errorf(caos.Invalid, "a publication has 1 to %d files, not %d", maxFiles, len(files)).WithField("files")
	}
	if !wholeFolder(p, files) {
		return nil
	}
	seen := map[string]bool{}
	for _, f := range files {
		parts := strings.Split(f.Name, "/")
		for i, part := range parts {
			if err := checkName(part); err != nil {
				return caos.AsError(err).WithField("files")
			}
			folder := strings.Join(parts[:i], "/")
			if i > 0 && seen[folder] {
				return caos.Errorf(caos.Invalid, "%.100q is a file and a folder", folder).WithField("files")
			}
		}
		if len(parts) > maxDepth || seen[f.Name] {
			return caos.Errorf(caos.Invalid, "%.100q is there twice, or too deep", f.Name).WithField("files")
		}
		seen[f.Name] = true
	}
	for _, f := range files { // a folder that came before the file of its name
		for parent := f.Name; strings.Contains(parent, "/"); {
			parent = parent[:strings.LastIndex(parent, "/")]
			if seen[parent] {
				return caos.Errorf(caos.Invalid, "%.100q is a file and a folder", parent).WithField("files")
			}
		}
	}
	return nil
}

// source is where the files that are published lie: made by the worker, so not trusted.
type source struct{ root *os.Root }

func openSource(folder string) (*source, error) {
	if folder == "" {
		return &source{}, nil
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, stored(err, "the files to publish cannot be read")
	}
	return &source{root}, nil
}

func (s *source) close() {
	if s.root != nil {
		_ = s.root.Close() // nothing was written
	}
}

func (s *source) open(f Local) (*os.File, os.FileInfo, error) {
	if s.root != nil {
		return openRegular(s.root, f.Path)
	}
	root, err := os.OpenRoot(filepath.Dir(f.Path))
	if err != nil {
		return nil, nil, unread(err)
	}
	defer root.Close()
	return openRegular(root, filepath.Base(f.Path))
}

// total is how many bytes there are to publish.
func (s *source) total(files []Local) (int64, error) {
	var n int64
	for _, f := range files {
		file, st, err := s.open(f)
		if err != nil {
			return 0, caos.AsError(err).WithField("files")
		}
		n += st.Size()
		_ = file.Close() // only looked at
	}
	return n, nil
}

// same refuses a file that is not the one that was checked.
func same(f Local, got string) error {
	if f.Digest != "" && f.Digest != got {
		return caos.Errorf(caos.Conflict, "%.100q changed after it was checked", f.Name).WithRule("scratch-changed").WithField("files")
	}
	return nil
}

// sorted are files by their name, so that every attempt goes the same way.
func sorted(files []Local) []Local {
	out := slices.Clone(files)
	slices.SortFunc(out, func(a, b Local) int { return compare(a.Name, b.Name) })
	return out
}
