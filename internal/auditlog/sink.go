package auditlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"caos/internal/verify"
)

// Sink is a place outside the database where checkpoints are published, so that a log
// that was cut or rewritten can be told from an honest one.
type Sink interface {
	// Publish stores a signed checkpoint durably. It refuses one that is smaller than the
	// last of the same origin with ErrStale and another tree of the same size with
	// ErrFork; the same checkpoint again is no error. Many nodes may publish at once.
	Publish(ctx context.Context, signed []byte) error
	// Last returns the last checkpoint of an origin, nil if there is none.
	Last(ctx context.Context, origin string) ([]byte, error)
	// All calls fn with every checkpoint, of every origin, in the order of publication.
	All(ctx context.Context, fn func(signed []byte) error) error
}

// What a Sink refuses.
var (
	ErrStale = errors.New("auditlog: a larger checkpoint is already published")
	ErrFork  = errors.New("auditlog: another tree of the same size is already published")
)

// FileSink appends checkpoints to a text file: each note followed by an empty line, as it
// can be read by eye and by any program for signed notes. The file only ever grows, so it
// may carry the append-only attribute, and it may lie on storage shared by all nodes.
type FileSink struct{ path string }

// torn marks the end of what a crash left half written.
const torn = "(torn)"

// NewFileSink returns a sink for a file, which Publish creates (0644: checkpoints are
// public). It belongs outside the data folder.
func NewFileSink(path string) *FileSink { return &FileSink{path: path} }

// Publish appends a checkpoint and syncs the file.
func (s *FileSink) Publish(_ context.Context, signed []byte) error {
	next, err := readNote(signed)
	if err != nil {
		return err
	}
	f, err := s.open()
	if err != nil {
		return err
	}
	defer f.Close() // also releases the lock
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", s.path, err)
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("read %s: %w", s.path, err)
	}
	last, clean, err := lastNote(f, end, next.Origin)
	if err != nil {
		return fmt.Errorf("read %s: %w", s.path, err)
	}
	if last != nil {
		prev, err := readNote(last)
		switch {
		case err != nil:
			return fmt.Errorf("last checkpoint in %s: %w", s.path, err)
		case next.Size < prev.Size:
			return fmt.Errorf("%w: %d after %d", ErrStale, next.Size, prev.Size)
		case next.Size == prev.Size && next.Root != prev.Root:
			return fmt.Errorf("%w: size %d", ErrFork, next.Size)
		case next.Size == prev.Size:
			return nil
		}
	}
	var buf bytes.Buffer
	if !clean {
		buf.WriteString("\n\n" + torn + "\n\n")
	}
	buf.Write(signed)
	buf.WriteByte('\n')
	if _, err := f.Write(buf.Bytes()); err != nil {
		return fmt.Errorf("write %s: %w", s.path, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", s.path, err)
	}
	return nil
}

// open opens the file for appending. A new file is durable before anything is in it.
func (s *FileSink) open() (*os.File, error) {
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_APPEND, 0)
	if !errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	dir := filepath.Dir(s.path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if f, err = os.OpenFile(s.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644); err != nil {
		return nil, err
	}
	d, err := os.Open(dir)
	if err == nil {
		err = d.Sync()
		_ = d.Close()
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("sync %s: %w", dir, err)
	}
	return f, nil
}

// Last returns the last checkpoint of an origin; a missing file has none.
func (s *FileSink) Last(_ context.Context, origin string) ([]byte, error) {
	f, err := os.Open(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.path, err)
	}
	last, _, err := lastNote(f, end, origin)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.path, err)
	}
	return last, nil
}

// All reads the file from its beginning, a piece at a time.
func (s *FileSink) All(_ context.Context, fn func(signed []byte) error) error {
	f, err := os.Open(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var data []byte
	for {
		piece := make([]byte, len(data)+1<<20)
		copy(piece, data)
		n, err := io.ReadFull(f, piece[len(data):])
		data = piece[:len(data)+n]
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !ended {
			return fmt.Errorf("read %s: %w", s.path, err)
		}
		notes, rest := splitNotes(data)
		if !ended && len(notes) > 0 {
			// What follows may say that the last one was torn.
			rest = data[len(data)-len(rest)-len(notes[len(notes)-1])-1:]
			notes = notes[:len(notes)-1]
		}
		for _, n := range notes {
			if err := fn(n); err != nil {
				return err
			}
		}
		if ended {
			return nil
		}
		data = rest
	}
}

// lastNote finds the last note of an origin before end, reading backwards in windows that
// double. clean is false when the file ends in something half written.
func lastNote(r io.ReaderAt, end int64, origin string) (last []byte, clean bool, err error) {
	clean = true
	for window := int64(2 * verify.MaxCheckpoint); ; window *= 2 {
		from := max(end-window, 0)
		data := make([]byte, end-from)
		if _, err := r.ReadAt(data, from); err != nil && !errors.Is(err, io.EOF) {
			return nil, false, err
		}
		notes, rest := splitNotes(data)
		clean = len(rest) == 0
		// The first piece of a window that starts in mid-file may be the end of a note.
		for i := len(notes) - 1; i > 0 || i == 0 && from == 0; i-- {
			if o, _, _ := bytes.Cut(notes[i], []byte("\n")); string(o) == origin {
				return notes[i], clean, nil
			}
		}
		if from == 0 {
			return nil, clean, nil
		}
	}
}

// splitNotes cuts a file into its notes: paragraphs up to one of signature lines. Pieces
// that a crash tore are left out; rest is an unfinished end. A paragraph of signatures
// without a text is kept, for whoever checks it to complain about.
func splitNotes(data []byte) (notes [][]byte, rest []byte) {
	start, pos := 0, 0
	for pos < len(data) {
		n := bytes.Index(data[pos:], []byte("\n\n"))
		if n < 0 {
			return notes, data[start:]
		}
		begin, paragraph := pos, data[pos:pos+n]
		pos += n + 2
		switch {
		case string(bytes.TrimSpace(paragraph)) == torn:
			if start == begin && len(notes) > 0 {
				notes = notes[:len(notes)-1] // it was torn in its signatures
			}
			start = pos
		case bytes.HasPrefix(paragraph, []byte("— ")):
			notes = append(notes, data[start:pos-1])
			start = pos
		case len(paragraph) == 0 && start == pos-2:
			start = pos
		}
	}
	return notes, data[start:]
}

// readNote reads what a signed checkpoint says, without looking at the signature.
func readNote(signed []byte) (verify.Checkpoint, error) {
	i := bytes.LastIndex(signed, []byte("\n\n"))
	if i < 0 {
		return verify.Checkpoint{}, fmt.Errorf("a checkpoint without a signature")
	}
	return verify.ParseCheckpoint(signed[:i+1])
}
