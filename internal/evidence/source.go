package evidence

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"unicode/utf8"

	"caos"
)

// source is the reader under every parser. It counts, checks UTF-8, refuses U+0000, and
// stops a parser that takes in more than one value may have: parsers of the standard
// library buffer a value whole, so mark is told where the last one ended.
type source struct {
	ctx    context.Context
	r      io.Reader
	lim    Limits
	text   bool
	total  int64
	marked int64
	tail   []byte // beginning of a character that the last read cut
	failed error  // sticky, and what explain tells
}

func newSource(ctx context.Context, r io.Reader, lim Limits, text bool) *source {
	return &source{ctx: ctx, r: r, lim: lim, text: text}
}

// mark says that everything before offset has been dealt with.
func (s *source) mark(offset int64) { s.marked = offset }

func (s *source) Read(p []byte) (int, error) {
	if s.failed != nil {
		return 0, s.failed
	}
	if err := s.ctx.Err(); err != nil {
		return 0, s.fail(caos.Wrap(caos.Unavailable, err, "reading the artifact was stopped"))
	}
	if len(p) > 32<<10 {
		p = p[:32<<10]
	}
	n, err := s.r.Read(p)
	s.total += int64(n)
	if s.total > s.lim.MaxBytes {
		return 0, s.fail(caos.Errorf(caos.TooLarge, "the artifact has more than %d bytes", s.lim.MaxBytes))
	}
	if s.total-s.marked > int64(s.lim.MaxValue)+64<<10 { // parsers read ahead
		return 0, s.fail(caos.Errorf(caos.TooLarge, "one value in the artifact has more than %d bytes", s.lim.MaxValue))
	}
	if s.text {
		if bytes.IndexByte(p[:n], 0) >= 0 {
			return 0, s.fail(refuse("the artifact is not text: it contains the byte 0"))
		}
		if !s.valid(p[:n], errors.Is(err, io.EOF)) {
			return 0, s.fail(refuse("the artifact is not valid UTF-8"))
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return n, s.fail(caos.Wrap(caos.Unavailable, err, "the artifact cannot be read"))
	}
	return n, err
}

func (s *source) fail(err error) error {
	s.failed = err
	return err
}

// valid checks UTF-8 across the borders of reads.
func (s *source) valid(p []byte, end bool) bool {
	if len(s.tail) > 0 {
		for len(p) > 0 && !utf8.FullRune(s.tail) {
			s.tail = append(s.tail, p[0])
			p = p[1:]
		}
		if !utf8.FullRune(s.tail) {
			return !end
		}
		if !utf8.Valid(s.tail) {
			return false
		}
		s.tail = s.tail[:0]
	}
	cut := len(p)
	for i := 1; i <= 3 && i <= len(p); i++ {
		if utf8.RuneStart(p[len(p)-i]) {
			if !utf8.FullRune(p[len(p)-i:]) {
				cut = len(p) - i
			}
			break
		}
	}
	s.tail = append(s.tail, p[cut:]...)
	return utf8.Valid(p[:cut]) && (!end || len(s.tail) == 0)
}

// lines calls fn for every line without its end. A line longer than limit is refused.
func (rd *reading) lines(limit int, fn func(n int, line []byte) error) error {
	br := bufio.NewReaderSize(rd.src, min(limit, 64<<10))
	var long []byte
	var done int64
	for n := 1; ; n++ {
		if n > rd.lim.MaxItems {
			return caos.Errorf(caos.TooLarge, "the artifact has more than %d lines", rd.lim.MaxItems)
		}
		long = long[:0]
		var err error
		for {
			var part []byte
			part, err = br.ReadSlice('\n')
			if len(long)+len(part) > limit {
				return caos.Errorf(caos.TooLarge, "line %d has more than %d bytes", n, limit)
			}
			long = append(long, part...)
			if !errors.Is(err, bufio.ErrBufferFull) {
				break
			}
		}
		done += int64(len(long))
		rd.src.mark(done)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(long) > 0 {
			if err := fn(n, bytes.TrimRight(long, "\r\n")); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}
