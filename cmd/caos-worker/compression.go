package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"caos/internal/worker"
)

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
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var r io.Reader
	if compression == worker.Gzip {
		r, err = gzip.NewReader(f)
	} else {
		var z *zstd.Decoder
		z, err = zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(128<<20), zstd.WithDecoderLowmem(true))
		if err == nil {
			defer z.Close()
			r = z
		}
	}
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return &worker.Failure{Kind: worker.KindInput, File: name, Message: "the " + compression + " file is cut off before its end"}
	}
	return &worker.Failure{Kind: worker.KindInput, File: name, Message: "the " + compression + " file is damaged: " + err.Error()}
}
