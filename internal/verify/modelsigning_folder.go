package verify

import (
	"cmp"
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// The kinds of problems of a signed model.
const (
	ModelChanged   = "changed"   // other bytes, or something that is no file
	ModelMissing   = "missing"   // listed by the bundle and not there
	ModelExtra     = "extra"     // there and not listed by the bundle
	ModelSignature = "signature" // the bundle is not signed by the key
	ModelManifest  = "manifest"  // the bundle cannot be read or is another model's
)

// ModelProblem is one difference between a folder and its bundle.
type ModelProblem struct {
	Path    string `json:"path"`    // in the folder; "model.sig" for the bundle
	Kind    string `json:"kind"`    // one of the constants above
	Message string `json:"message"` // in words, without the path
}

// maxModelProblems bounds what is listed; a folder with more differences is another folder.
const maxModelProblems = 1000

// ModelEntry is something that a folder or a file of folders has in it.
type ModelEntry struct {
	Path string
	Size int64
	Odd  string                        // why it is no file: "a symbolic link", "a folder" …; "" for a file
	Open func() (io.ReadCloser, error) // of a file
}

// CheckModelFolder compares a folder with a bundle that a key signed. A bundle that cannot
// be read is the only problem found; with one that is signed by another key, the files are
// compared nevertheless. The error is that of a folder that cannot be listed.
func CheckModelFolder(fsys fs.FS, bundle []byte, pub crypto.PublicKey) ([]ModelProblem, error) {
	b, err := ParseModelBundle(bundle)
	if err != nil {
		return []ModelProblem{{ModelSignatureName, ModelManifest, err.Error()}}, nil
	}
	var problems []ModelProblem
	if err := b.Verify(pub); err != nil {
		problems = append(problems, ModelProblem{ModelSignatureName, ModelSignature, err.Error()})
	}
	entries, err := ListModel(fsys)
	if err != nil {
		return problems, err
	}
	more, err := b.Compare(context.Background(), entries, nil)
	return append(problems, more...), err
}

// ListModel lists a folder, without following links. Folders with files in them are not
// listed.
func ListModel(fsys fs.FS) ([]ModelEntry, error) {
	var out []ModelEntry
	full := map[string]bool{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if len(out) > 2*MaxModelFiles {
			return refuse("folder", "has more than %d things in it", 2*MaxModelFiles)
		}
		full[path.Dir(name)] = true
		e := ModelEntry{Path: name}
		switch t := d.Type(); {
		case t.IsRegular():
			info, err := d.Info()
			if err != nil {
				return err
			}
			e.Size = info.Size()
			e.Open = func() (io.ReadCloser, error) { return fsys.Open(name) }
		case t.IsDir():
			e.Odd = "a folder"
		case t&fs.ModeSymlink != 0:
			e.Odd = "a symbolic link"
		default:
			e.Odd = "a device, pipe or socket"
		}
		out = append(out, e)
		return nil
	})
	return slices.DeleteFunc(out, func(e ModelEntry) bool {
		return e.Path == "." || e.Odd == "a folder" && full[e.Path]
	}), err
}

// Compare compares what there is with what the statement lists, and reads all of it.
// report, which may be nil, is told how many of the total bytes are done, by one caller at
// a time. The problems are in the order of their paths.
func (s *ModelStatement) Compare(ctx context.Context, entries []ModelEntry, report func(done, total int64)) ([]ModelProblem, error) {
	c := comparison{ctx: ctx, report: report, want: make(map[string]string, len(s.Resources)), dirs: map[string]bool{}}
	for _, r := range s.Resources {
		c.want[r.Name] = r.Digest
	}
	for _, r := range s.Resources {
		for dir := path.Dir(r.Name); dir != "." && !c.dirs[dir]; dir = path.Dir(dir) {
			c.dirs[dir] = true
		}
	}
	var files []modelJob
	for _, e := range entries {
		if s.ignores(e.Path) {
			continue
		}
		digest, listed := c.want[e.Path]
		switch {
		case listed && digest == "":
			c.problem(e.Path, ModelExtra, "stands there twice")
			continue
		case listed && e.Odd != "":
			c.problem(e.Path, ModelChanged, "is "+e.Odd+" now, not a file")
		case listed:
			c.want[e.Path] = ""
			files = append(files, modelJob{e, digest})
			c.total += e.Size
			continue
		case e.Odd != "" && c.dirs[e.Path]:
			c.problem(e.Path, ModelChanged, "is "+e.Odd+" in the place of a folder")
		case e.Odd != "":
			c.problem(e.Path, ModelExtra, "is "+e.Odd+" that the bundle does not know")
		default:
			c.problem(e.Path, ModelExtra, "is a file that the bundle does not know")
		}
		if listed {
			c.want[e.Path] = ""
		}
	}
	for name, digest := range c.want {
		if digest != "" {
			c.problem(name, ModelMissing, "is missing")
		}
	}
	c.hash(files)
	slices.SortFunc(c.problems, func(a, b ModelProblem) int { return compareModelNames(a.Path, b.Path) })
	if c.dropped > 0 {
		c.problems = append(c.problems, ModelProblem{".", ModelChanged, fmt.Sprintf("and %d more differences", c.dropped)})
	}
	return c.problems, ctx.Err()
}

// modelJob is a file that is to be read, and the digest that it should have.
type modelJob struct {
	ModelEntry
	digest string
}

// comparison is one run of Compare.
type comparison struct {
	ctx    context.Context // it lives for one call
	report func(done, total int64)
	want   map[string]string // digest of each listed path, "" once it was seen
	dirs   map[string]bool   // folders of the listed files
	total  int64

	mu       sync.Mutex
	done     int64
	problems []ModelProblem
	dropped  int
}

func (c *comparison) problem(name, kind, message string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.problems) >= maxModelProblems {
		c.dropped++
	} else {
		c.problems = append(c.problems, ModelProblem{shownPath(name), kind, message})
	}
}

// shownPath makes a name from a folder fit for JSON, logs and terminals.
func shownPath(name string) string {
	return shownText(strings.ToValidUTF8(name, "\uFFFD"))
}

func (c *comparison) progress(n int64) {
	if c.report == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done += n
	c.report(min(c.done, c.total), c.total)
}

// hash reads the files, several at once and the largest first, so that no processor waits
// long for the last of them.
func (c *comparison) hash(files []modelJob) {
	slices.SortStableFunc(files, func(a, b modelJob) int {
		return cmp.Compare(b.Size, a.Size)
	})
	next := make(chan modelJob)
	var wg sync.WaitGroup
	for range min(len(files), runtime.GOMAXPROCS(0), 8) {
		wg.Go(func() {
			for e := range next {
				c.one(e)
			}
		})
	}
	for _, e := range files {
		next <- e
	}
	close(next)
	wg.Wait()
}

func (c *comparison) one(e modelJob) {
	name, want := e.Path, e.digest
	if c.ctx.Err() != nil {
		return
	}
	r, err := e.Open()
	if err != nil {
		c.problem(name, ModelChanged, "cannot be read: "+plainCause(err))
		return
	}
	defer r.Close()
	got, n, err := HashModelFile(c.ctx, io.LimitReader(r, e.Size+1), e.Size, c.progress)
	switch {
	case c.ctx.Err() != nil:
	case err != nil:
		c.problem(name, ModelChanged, "cannot be read to its end: "+plainCause(err))
	case n != e.Size:
		c.problem(name, ModelChanged, "changed its size while it was read")
	case got != want:
		c.problem(name, ModelChanged, fmt.Sprintf("has the digest %s, not %s", got, want))
	}
}

// plainCause drops the path from an error of the file system: it is named already, and a
// full one says where somebody keeps their files.
func plainCause(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return err.Error()
}

const (
	modelBuffer  = 1 << 20
	modelBuffers = 3 // one being read, one being hashed, one on its way
)

// HashModelFile reads r, of about size bytes, to its end and returns "SHA256:" and hex of
// them, and how many they are. Reading and hashing go on at the same time.
func HashModelFile(ctx context.Context, r io.Reader, size int64, progress func(n int64)) (string, int64, error) {
	h := StartModelHash(size)
	var total int64
	var err error
	for err == nil {
		buf := h.Buffer()
		var n int
		n, err = io.ReadFull(r, buf)
		h.Add(buf[:n])
		total += int64(n)
		if progress != nil && n > 0 {
			progress(int64(n))
		}
		if ctx.Err() != nil {
			err = ctx.Err()
		}
	}
	digest := h.Sum()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return digest, total, nil
	}
	return digest, total, err
}

// ModelHash computes SHA-256 beside whoever fills its buffers. Each buffer from Buffer has
// to be given back with Add, and Sum has to be called in the end.
type ModelHash struct {
	free, full chan []byte
	sum        chan [32]byte
}

// StartModelHash starts a hash of about size bytes. It takes 3 MiB of memory at most.
func StartModelHash(size int64) *ModelHash {
	n, each := modelBuffers, int64(modelBuffer)
	if size < modelBuffer {
		n, each = 1, max(size+1, 512)
	}
	h := &ModelHash{free: make(chan []byte, n), full: make(chan []byte, n), sum: make(chan [32]byte, 1)}
	for range n {
		h.free <- make([]byte, each)
	}
	go func() {
		s := sha256.New()
		for b := range h.full {
			s.Write(b)
			h.free <- b[:cap(b)]
		}
		h.sum <- [32]byte(s.Sum(nil))
	}()
	return h
}

// Buffer returns a free buffer, waiting for one if need be.
func (h *ModelHash) Buffer() []byte { return <-h.free }

// Add hashes the used part of a buffer. It may be read, not written, until Buffer returns
// it again.
func (h *ModelHash) Add(b []byte) { h.full <- b }

// Sum returns "SHA256:" and hex of all that was added.
func (h *ModelHash) Sum() string {
	close(h.full)
	return FormatHash(<-h.sum)
}
