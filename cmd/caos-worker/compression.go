//go:build cgo

package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"caos/internal/worker"
)

// sniffed is how much of a file is looked at before the engine reads it.
const sniffed = 64 << 10

// magic are the first bytes of kinds of files that are met where text is expected.
var magic = []struct {
	kind  string
	bytes string
}{
	{worker.Gzip, "\x1f\x8b"},
	{worker.Zstd, "\x28\xb5\x2f\xfd"},
	{"zip", "PK\x03\x04"},
	{"bzip2", "BZh"},
	{"xz", "\xfd7zXZ\x00"},
	{"lz4", "\x04\x22\x4d\x18"},
	{"Parquet", "PAR1"},
	{"Arrow", "ARROW1"},
	{"Avro", "Obj\x01"},
	{"ORC", "ORC"},
	{"SQLite", "SQLite format 3"},
	{"PDF", "%PDF-"},
}

func kindOf(head []byte) string {
	for _, m := range magic {
		if bytes.HasPrefix(head, []byte(m.bytes)) {
			return m.kind
		}
	}
	return ""
}

func looksLike(head []byte) string {
	if kind := kindOf(head); kind != "" {
		return ", it looks like " + kind
	}
	return ""
}

// compressionOf tells by the first bytes of an input's files how they are compressed, and
// refuses what says one thing and is another: an engine that is told wrong reads noise.
func compressionOf(in worker.Input) (string, error) {
	found := ""
	for _, name := range in.Files {
		head, err := firstBytes(name)
		if err != nil {
			return "", err
		}
		is := worker.NoCompression
		switch kind := kindOf(head); kind {
		case worker.Gzip, worker.Zstd:
			is = kind
		case "", "ORC", "%PDF-": // text may begin with these letters
		default:
			return "", &worker.Failure{Kind: worker.KindInput, File: name, Message: fmt.Sprintf("expected %s, plain or compressed as gzip or zstd; it looks like %s", in.Format, kind)}
		}
		if in.Compression != "" && is != in.Compression {
			return "", &worker.Failure{Kind: worker.KindInput, File: name, Message: fmt.Sprintf("expected compression %s, found %s", in.Compression, is)}
		}
		if found != "" && found != is {
			return "", &worker.Failure{Kind: worker.KindInput, File: name, Message: fmt.Sprintf("one input's files are compressed alike; this one is %s, another %s", is, found)}
		}
		found = is
	}
	return found, nil
}

// verify reads compressed files to their ends beside the engine, which takes a file that
// is cut off for one that ends, and does not look at check sums.
func verify(in worker.Input) <-chan error {
	done := make(chan error, 1)
	if in.Compression == worker.NoCompression {
		done <- nil
		return done
	}
	go func() {
		for _, name := range in.Files {
			if err := readThrough(name, in.Compression); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	return done
}

func readThrough(name, compression string) error {
	r, done, err := decompressed(name, compression)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
		done()
	}
	return damage(name, compression, err)
}

// damage says what the end of reading a compressed file means.
func damage(name, compression string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return &worker.Failure{Kind: worker.KindInput, File: name, Message: "the " + compression + " file is cut off before its end"}
	}
	return &worker.Failure{Kind: worker.KindInput, File: name, Message: "the " + compression + " file is damaged: " + err.Error()}
}

// decompressed opens a file for reading what is in it.
func decompressed(name, compression string) (r io.Reader, done func(), err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	done = func() { _ = f.Close() }
	switch compression {
	case worker.Gzip:
		r, err = gzip.NewReader(f)
	case worker.Zstd:
		var z *zstd.Decoder
		z, err = zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(128<<20), zstd.WithDecoderLowmem(true))
		if err == nil {
			r, done = z, func() { z.Close(); _ = f.Close() }
		}
	default:
		r = f
	}
	if err != nil {
		_ = f.Close()
	}
	return r, done, err
}

// sameHeaders says whether all CSV files of an input name their columns alike. The engine
// takes the names from the first and the others' columns by their place.
func sameHeaders(in worker.Input) error {
	if len(in.Files) < 2 || in.CSV != nil && in.CSV.Header != nil && !*in.CSV.Header {
		return nil
	}
	var first []byte
	for i, name := range in.Files {
		r, done, err := decompressed(name, in.Compression)
		if err != nil {
			return damage(name, in.Compression, err)
		}
		head := make([]byte, sniffed)
		n, _ := io.ReadFull(r, head) // what is wrong with the file is found by who reads all of it
		done()
		line, _, _ := bytes.Cut(head[:n], []byte("\n"))
		line = bytes.TrimPrefix(bytes.TrimSuffix(line, []byte("\r")), []byte("\xef\xbb\xbf"))
		if i == 0 {
			first = line
		} else if !bytes.Equal(first, line) {
			return &worker.Failure{Kind: worker.KindSchema, File: name, Line: 1,
				Message: fmt.Sprintf("the first line is %q, in the other files of this input %q", short(line), short(first))}
		}
	}
	return nil
}

func short(line []byte) string {
	if len(line) > 200 {
		return string(line[:200]) + "…"
	}
	return string(line)
}

// isText looks at the beginning of a file that must be UTF-8 text: the engine takes a line
// of noise for a header, and a file of it for an empty table.
func isText(name, compression string) error {
	r, done, err := decompressed(name, compression)
	if err != nil {
		return damage(name, compression, err)
	}
	defer done()
	head := make([]byte, sniffed)
	n, err := io.ReadFull(r, head)
	switch {
	case errors.Is(err, io.EOF) && n == 0 && compression == worker.NoCompression:
		return &worker.Failure{Kind: worker.KindInput, File: name, Message: "the file is empty: there is not even a header"}
	case err != nil && n == 0:
		return damage(name, compression, err)
	}
	head = head[:n]
	for at := 0; at < len(head); {
		c, size := utf8.DecodeRune(head[at:])
		if c == utf8.RuneError && size == 1 && !(len(head) == sniffed && !utf8.FullRune(head[at:])) || c == 0 {
			return &worker.Failure{Kind: worker.KindInput, File: name, Line: int64(1 + bytes.Count(head[:at], []byte("\n"))),
				Message: "this is not text in UTF-8" + looksLike(head) + "; if it is text, its encoding must be said"}
		}
		at += size
	}
	return nil
}
