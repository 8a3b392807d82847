package object

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"caos"
)

// Problem is something that the check of the store found.
type Problem struct {
	Kind    string // "changed", "missing" or "extra"
	Digest  string // "" for a file whose name is no digest
	Name    string // path inside the store
	Message string
}

// Sweep removes objects that no row refers to and that are older than Grace, and what
// broken uploads left behind. It returns how many objects it removed. It may run while
// objects are put and while another process sweeps.
func (s *Store) Sweep(ctx context.Context) (int, error) {
	if err := s.sweepTmp(ctx); err != nil {
		return 0, err
	}
	if err := s.forgetUploads(ctx); err != nil {
		return 0, err
	}
	removed := 0
	err := s.shards(ctx, func(shard string, files []fs.DirEntry, rows map[string]int64) error {
		for _, e := range files {
			h := shard + e.Name()
			if _, err := ParseDigest(prefix + h); err != nil {
				continue // not ours to remove: Verify reports it
			}
			if _, bound := rows[prefix+h]; bound || !s.old(e) {
				continue
			}
			gone, err := s.remove(ctx, h)
			if err != nil {
				return err
			}
			if gone {
				removed++
			}
		}
		return nil
	})
	return removed, err
}

func (s *Store) old(e fs.DirEntry) bool {
	fi, err := e.Info()
	return err == nil && s.now().Sub(fi.ModTime()) > Grace
}

// remove takes one object away in two moves. A Put of the same bytes makes the file young
// before it relies on it, so after the file is out of everybody's way its age is judged
// once more, and so is its row: if either says stay, it goes back.
func (s *Store) remove(ctx context.Context, h string) (bool, error) {
	aside := fmt.Sprintf("%s/%s%s-%d-%s", tmpDir, asidePrefix, h, s.now().Unix(), rand.Text())
	if err := s.root.Rename(path(h), aside); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil // another sweep was here
		}
		return false, diskError(err)
	}
	return s.judge(ctx, aside, h)
}

// judge decides about an object that was moved aside. Only the sweep that moved it does
// so, unless that one is an hour late and therefore dead: two judges could come to two
// answers, and the one who removes would win.
func (s *Store) judge(ctx context.Context, aside, h string) (bool, error) {
	fi, err := s.root.Stat(aside)
	stay := err != nil || s.now().Sub(fi.ModTime()) <= Grace
	if !stay {
		refs, err := s.References(ctx, prefix+h)
		stay = err != nil || len(refs) > 0
	}
	if stay {
		if err := s.root.Link(aside, path(h)); err != nil && !errors.Is(err, fs.ErrExist) {
			return false, diskError(err)
		}
		if err := s.syncDir(h[:2]); err != nil {
			return false, err
		}
	}
	if err := s.root.Remove(aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, diskError(err)
	}
	return !stay, nil
}

// sweepTmp removes what broken uploads left, and finishes what a sweep that died had moved
// aside.
func (s *Store) sweepTmp(ctx context.Context) error {
	files, err := s.list(tmpDir)
	if err != nil {
		return err
	}
	for _, e := range files {
		name := tmpDir + "/" + e.Name()
		if rest, ok := strings.CutPrefix(e.Name(), asidePrefix); ok {
			h, rest, _ := strings.Cut(rest, "-")
			at, _, _ := strings.Cut(rest, "-")
			moved, err := strconv.ParseInt(at, 10, 64)
			if _, bad := ParseDigest(prefix + h); err != nil || bad != nil || s.now().Sub(time.Unix(moved, 0)) < time.Hour {
				continue
			}
			if _, err := s.judge(ctx, name, h); err != nil {
				return err
			}
			continue
		}
		if fi, err := e.Info(); err == nil && s.now().Sub(fi.ModTime()) > tmpLifetime {
			if err := s.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return diskError(err)
			}
		}
	}
	return nil
}

// Verify hashes every object that a row refers to and reports each one that is missing or
// changed, and each file that does not belong in the store. It returns how many objects
// it found in order; an error means that it could not finish.
func (s *Store) Verify(ctx context.Context, report func(Problem)) (int, error) {
	good := 0
	err := s.shards(ctx, func(shard string, files []fs.DirEntry, rows map[string]int64) error {
		for _, e := range files {
			name := shard + "/" + e.Name()
			digest := prefix + shard + e.Name()
			size, bound := rows[digest]
			delete(rows, digest)
			_, err := ParseDigest(digest)
			switch {
			case err != nil:
				report(Problem{Kind: "extra", Name: name, Message: fmt.Sprintf("%q is not the name of an object", name)})
			case bound:
				p, err := s.check(ctx, digest, size)
				if err != nil {
					return err
				}
				if p != nil {
					report(*p)
				} else {
					good++
				}
			case s.old(e):
				report(Problem{Kind: "extra", Digest: digest, Name: name, Message: fmt.Sprintf("nothing refers to %s, the next sweep removes it", digest)})
			}
		}
		for digest := range rows {
			h, _ := ParseDigest(digest)
			report(Problem{Kind: "missing", Digest: digest, Name: path(h), Message: fmt.Sprintf("the object %s is missing", digest)})
		}
		return nil
	})
	if err != nil {
		return good, err
	}
	return good, s.strangers(report)
}

// check re-hashes one object.
func (s *Store) check(ctx context.Context, digest string, size int64) (*Problem, error) {
	h, _ := ParseDigest(digest)
	changed := func(format string, args ...any) *Problem {
		return &Problem{Kind: "changed", Digest: digest, Name: path(h), Message: fmt.Sprintf("the object %s was changed: ", digest) + fmt.Sprintf(format, args...)}
	}
	f, err := s.root.Open(path(h))
	if err != nil {
		return changed("it cannot be opened"), nil
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		return changed("it is not a file"), nil
	}
	if fi.Size() != size {
		return changed("it has %d bytes, not %d", fi.Size(), size), nil
	}
	got, err := digestOf(ctx, f)
	if ctx.Err() != nil {
		return nil, caos.Wrap(caos.Unavailable, ctx.Err(), "the check was stopped")
	}
	if err != nil {
		return changed("it cannot be read"), nil
	}
	if got != h {
		return changed("its digest is %s%s", prefix, got), nil
	}
	return nil, nil
}

// strangers reports what lies in the store's own folder and is neither a shard nor tmp.
func (s *Store) strangers(report func(Problem)) error {
	files, err := s.list(".")
	if err != nil {
		return err
	}
	for _, e := range files {
		n := e.Name()
		if n == tmpDir || e.IsDir() && len(n) == 2 && strings.Trim(n, "0123456789abcdef") == "" {
			continue
		}
		report(Problem{Kind: "extra", Name: n, Message: fmt.Sprintf("%q does not belong in the object store", n)})
	}
	return nil
}

// shards calls fn for each of the 256 folders with its files and the rows of its objects,
// by digest, so that memory holds one 256th of the store's names at a time.
func (s *Store) shards(ctx context.Context, fn func(shard string, files []fs.DirEntry, rows map[string]int64) error) error {
	for i := range 256 {
		shard := fmt.Sprintf("%02x", i)
		if err := ctx.Err(); err != nil {
			return caos.Wrap(caos.Unavailable, err, "the walk over the object store was stopped")
		}
		files, err := s.list(shard) // before the rows: a file whose row is younger is then never taken for missing
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		rows, err := s.rows(ctx, shard)
		if err != nil {
			return err
		}
		// A row may be younger than the list: its file is there all the same.
		listed := make(map[string]bool, len(files))
		for _, e := range files {
			listed[e.Name()] = true
		}
		for digest := range rows {
			if h, _ := ParseDigest(digest); !listed[h[2:]] {
				if fi, err := s.root.Stat(path(h)); err == nil {
					files = append(files, fs.FileInfoToDirEntry(fi))
				}
			}
		}
		if err := fn(shard, files, rows); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) list(name string) ([]fs.DirEntry, error) {
	d, err := s.root.Open(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return nil, diskError(err)
	}
	defer d.Close()
	files, err := d.ReadDir(-1)
	if err != nil {
		return nil, diskError(err)
	}
	return files, nil
}

// rows returns digest and size of the bound objects of a shard.
func (s *Store) rows(ctx context.Context, shard string) (map[string]int64, error) {
	q, err := s.db.Query(ctx, `SELECT o.digest, o.size FROM objects o WHERE o.digest >= $1 AND o.digest < $2
		AND EXISTS (SELECT 1 FROM object_refs r WHERE r.digest = o.digest)`, prefix+shard, prefix+shard+"g")
	if err != nil {
		return nil, err
	}
	defer q.Close()
	out := map[string]int64{}
	for q.Next() {
		var digest string
		var size int64
		if err := q.Scan(&digest, &size); err != nil {
			return nil, fmt.Errorf("object: read rows: %w", err)
		}
		out[digest] = size
	}
	return out, q.Err()
}
