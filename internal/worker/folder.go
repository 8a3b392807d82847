package worker

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// maxOutFiles is the most files that one run may write.
const maxOutFiles = 100_000

// prepare makes a run's folder ready, and tells how many bytes its inputs take.
func prepare(folder string) (int64, error) {
	for _, name := range []string{OutFolder, TempFolder} {
		if err := os.RemoveAll(filepath.Join(folder, name)); err != nil {
			return 0, &Failure{Kind: KindDisk, Phase: PhaseStart, Message: "the run's folder cannot be emptied: " + err.Error()}
		}
	}
	for _, name := range []string{InFolder, OutFolder, TempFolder} {
		if err := os.MkdirAll(filepath.Join(folder, name), 0o700); err != nil {
			return 0, &Failure{Kind: KindDisk, Phase: PhaseStart, Message: "the run's folder cannot be made: " + err.Error()}
		}
	}
	return size(folder), nil
}

// size is what a folder takes on the disk. Files that come and go meanwhile are left out. A
// folder that cannot be looked into, or that lies deeper than a path is long, hides what it
// has: nothing but a worker that was fooled makes one, and no limit is enough for it.
func size(folder string) (total int64) {
	err := filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, syscall.ENAMETOOLONG) || errors.Is(err, fs.ErrPermission) {
			return err
		}
		if err != nil {
			return nil //nolint:nilerr // gone since
		}
		if info, err := d.Info(); err == nil && d.Type().IsRegular() {
			total += onDisk(info)
		}
		return nil
	})
	if err != nil {
		return math.MaxInt64
	}
	return total
}

// onDisk counts what a file takes or will take: a sparse file its blocks, one whose blocks
// are not counted yet its length.
func onDisk(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Blocks > 0 {
		return st.Blocks * 512
	}
	return info.Size()
}

// collect lists and hashes what the outputs wrote. Whatever else lies in out/ is a sign of
// a worker that was fooled.
func (r *Result) collect(folder string) error {
	root, err := os.OpenRoot(filepath.Join(folder, OutFolder))
	if err != nil {
		return &Failure{Kind: KindDisk, Phase: PhaseOutput, Message: err.Error()}
	}
	defer root.Close()
	known := map[string]*OutputResult{}
	for i := range r.Outputs {
		r.Outputs[i].Files, r.Outputs[i].Bytes = []File{}, 0
		known[r.Outputs[i].Name] = &r.Outputs[i]
	}
	var names []string
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if len(names) == maxOutFiles {
			return fmt.Errorf("more than %d files", maxOutFiles)
		}
		output, _, _ := strings.Cut(name, "/")
		if known[output] == nil || !d.Type().IsRegular() {
			return fmt.Errorf("%s belongs to no output", name)
		}
		names = append(names, name)
		return nil
	})
	var files []File
	if err == nil {
		files, err = hash(root, names)
	}
	if err != nil {
		return &Failure{Kind: KindCrash, Phase: PhaseOutput, Message: "what the worker wrote cannot be taken: " + err.Error()}
	}
	for i, f := range files {
		output, _, _ := strings.Cut(names[i], "/")
		o := known[output]
		o.Files, o.Bytes = append(o.Files, f), o.Bytes+f.Bytes
	}
	for _, o := range known {
		slices.SortFunc(o.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	}
	return nil
}

// Several files are hashed at once, each through a buffer that stays in a processor's cache.
const (
	mostHashing = 4
	hashBuffer  = 256 << 10
)

// hash reads files and says what they are, in the order of their names.
func hash(root *os.Root, names []string) ([]File, error) {
	files := make([]File, len(names))
	errs := make([]error, min(mostHashing, runtime.GOMAXPROCS(0), len(names)))
	var next atomic.Int64
	var all sync.WaitGroup
	for worker := range errs {
		all.Go(func() {
			buffer := make([]byte, hashBuffer)
			for errs[worker] == nil {
				i := int(next.Add(1)) - 1
				if i >= len(names) {
					return
				}
				files[i], errs[worker] = hashOne(root, names[i], buffer)
			}
		})
	}
	all.Wait()
	return files, errors.Join(errs...)
}

func hashOne(root *os.Root, name string, buffer []byte) (File, error) {
	f, err := root.Open(name)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.CopyBuffer(h, struct{ io.Reader }{f}, buffer) // a file by itself would copy through a buffer of its own
	return File{Path: path.Join(OutFolder, name), Bytes: n, Digest: "SHA256:" + hex.EncodeToString(h.Sum(nil))}, err
}

// lines reads bounded lines of a bounded stream.
type lines struct {
	r    *bufio.Reader
	said int
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, 64<<10)} }

// next returns the next line without its end; io.EOF after the last whole one.
func (l *lines) next() ([]byte, error) {
	var line []byte
	for {
		part, err := l.r.ReadSlice('\n')
		if l.said += len(part); l.said > maxSaid {
			return nil, fmt.Errorf("more than %d MiB", maxSaid>>20)
		}
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return nil, fmt.Errorf("a line of more than %d MiB", maxLine>>20)
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil && len(bytes.TrimSpace(line)) > 0 && errors.Is(err, io.EOF):
			return nil, io.EOF // a line that was cut off by the end is none
		case err != nil:
			return nil, err
		default:
			return line[:len(line)-1], nil
		}
	}
}

// tail keeps the beginning and the end of what is written to it.
type tail struct {
	limit int

	mu    sync.Mutex
	first []byte
	last  []byte
	lost  bool
}

// Write keeps what there is room for.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	if room := t.limit - len(t.first); room > 0 {
		k := min(room, len(p))
		t.first, p = append(t.first, p[:k]...), p[k:]
	}
	t.last = append(t.last, p...)
	if extra := len(t.last) - t.limit; extra > 0 {
		t.last, t.lost = append(t.last[:0], t.last[extra:]...), true
	}
	return n, nil
}

// String returns what was kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost {
		return string(t.first) + "\n…\n" + string(t.last)
	}
	return string(t.first) + string(t.last)
}

// clean makes text of somebody else's harmless to show: valid, printable, bounded.
func clean(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.TrimSpace(s)
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// outOfMemory recognises the last words of a program that got none.
func outOfMemory(words string) bool {
	for _, sign := range []string{"out of memory", "cannot allocate memory", "bad_alloc", "runtime: cannot map pages", "pthread_create failed: Resource"} {
		if strings.Contains(strings.ToLower(words), strings.ToLower(sign)) {
			return true
		}
	}
	return false
}
