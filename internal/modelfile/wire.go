package modelfile

import (
	"encoding/binary"
	"errors"
	"io"
	"strconv"

	"caos"
)

// This file reads the wire format of protocol buffers, in place: a field is where it
// lies, and nothing is taken into memory but what somebody asks for. A library for it
// would want the whole message as one slice; a model may have 2 GiB.

// window reads small pieces of a file through a buffer.
type window struct {
	r     io.ReaderAt
	size  int64
	buf   []byte
	start int64 // of what buf holds
	held  int
}

func newWindow(r io.ReaderAt, size int64) *window {
	return &window{r: r, size: size, buf: make([]byte, max(64, min(size, sniffBytes)))}
}

// peek returns up to n bytes from at on, which are valid until the next call. It returns
// fewer at the end of the file, or when the file cannot be read.
func (w *window) peek(at int64, n int) []byte {
	if at < 0 || at >= w.size {
		return nil
	}
	n = int(min(int64(min(n, len(w.buf))), w.size-at))
	if at < w.start || at+int64(n) > w.start+int64(w.held) {
		got, _ := w.r.ReadAt(w.buf[:min(int64(len(w.buf)), w.size-at)], at) // a shorter answer says it
		w.start, w.held = at, got
	}
	from := int(at - w.start)
	return w.buf[from:min(from+n, w.held)]
}

// text returns the bytes from..to as a bounded string.
func (w *window) text(from, to int64, limit int) string {
	n := min(to-from, int64(limit))
	if n <= 0 {
		return ""
	}
	return string(w.peek(from, int(n)))
}

// The wire types of protocol buffers. The two group types are deprecated and appear in no
// format read here: they are refused.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// message is a span of the file that holds fields.
type message struct {
	w       *window
	at, end int64
	budget  *int64 // fields that may still be read, all messages together
}

// field is one field: value for numbers, from and to for bytes.
type field struct {
	number   int64
	wire     int
	value    uint64
	from, to int64
}

// sub reads the bytes of a field as a message.
func (m *message) sub(f field) *message {
	return &message{w: m.w, at: f.from, end: f.to, budget: m.budget}
}

// next reads a field; ok is false at the end.
func (m *message) next() (f field, ok bool, err error) {
	if m.at == m.end {
		return f, false, nil
	}
	if *m.budget--; *m.budget < 0 {
		return f, false, malformed(m.at, "more fields than a model has")
	}
	start := m.at
	tag, err := m.varint()
	if err != nil {
		return f, false, err
	}
	f.number, f.wire = int64(tag>>3), int(tag&7)
	if f.number == 0 || tag>>3 > 1<<29-1 {
		return f, false, malformed(start, "field number %d", tag>>3)
	}
	switch f.wire {
	case wireVarint:
		f.value, err = m.varint()
		return f, err == nil, err
	case wireFixed64, wireFixed32:
		n := 8
		if f.wire == wireFixed32 {
			n = 4
		}
		b := m.w.peek(m.at, n)
		if len(b) < n || m.at+int64(n) > m.end {
			return f, false, malformed(m.at, "the file ends inside a number")
		}
		for i := n - 1; i >= 0; i-- {
			f.value = f.value<<8 | uint64(b[i])
		}
		m.at += int64(n)
		return f, true, nil
	case wireBytes:
		n, err := m.varint()
		if err != nil {
			return f, false, err
		}
		if n > uint64(m.end-m.at) {
			return f, false, malformed(start, "field %d says that it has %d bytes and %d are left", f.number, n, m.end-m.at)
		}
		f.from, f.to = m.at, m.at+int64(n)
		m.at = f.to
		return f, true, nil
	}
	return f, false, malformed(start, "wire type %d", f.wire)
}

func (m *message) varint() (uint64, error) {
	b := m.w.peek(m.at, int(min(binary.MaxVarintLen64, m.end-m.at)))
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, malformed(m.at, "the file ends inside a number, or the number is too long")
	}
	m.at += int64(n)
	return v, nil
}

// text is the bounded string of a field.
func (m *message) text(f field) string { return m.w.text(f.from, f.to, maxText) }

// malformed is an error that says where a file stops making sense.
func malformed(at int64, format string, args ...any) *caos.Error {
	e := caos.Errorf(caos.Invalid, format, args...)
	e.Message = e.Message + " (at byte " + itoa(at) + ")"
	return e
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// messageOf is what an error says without its field.
func messageOf(err error) string {
	var e *caos.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}
