package verify

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto"
	"fmt"
	"io"
	"strings"
	"time"

	"caos"
)

// An exported baseline is one tar file of which every byte follows from its contents:
//
//	<id>.pub          the public key, PEM, as the reference tool takes it
//	<id>/model.sig    the bundle
//	<id>/<file> …     the files, in the order of the bundle
//
// All entries are files of mode 0444, owner 0 and time 0; folders have none of their own.
// Unpacked, it is what `model_signing verify key <id>` wants. Names and sizes that USTAR
// cannot say are in PAX records.

// maxModelHeader is more than the longest entry header takes.
const maxModelHeader = 16 << 10

// modelTarHeader makes the one header that an entry can have.
func modelTarHeader(name string, size int64) ([]byte, error) {
	var b bytes.Buffer
	err := tar.NewWriter(&b).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o444, Size: size, ModTime: time.Unix(0, 0)})
	return b.Bytes(), err
}

// WriteModelTar writes a baseline as one file. entries has what ListModel found. Every
// byte is compared with the bundle on its way; if one differs, the file is left without an
// end and an Internal error says which.
func WriteModelTar(ctx context.Context, w io.Writer, bundle []byte, pub crypto.PublicKey, entries []ModelEntry) error {
	b, err := ParseModelBundle(bundle)
	if err != nil {
		return err
	}
	if err := b.Verify(pub); err != nil {
		return err
	}
	key, err := ModelKeyPEM(pub)
	if err != nil {
		return err
	}
	if err := writeModelEntry(w, b.Name+".pub", int64(len(key)), bytes.NewReader(key)); err != nil {
		return err
	}
	if err := writeModelEntry(w, b.Name+"/"+ModelSignatureName, int64(len(bundle)), bytes.NewReader(bundle)); err != nil {
		return err
	}
	have := make(map[string]ModelEntry, len(entries))
	for _, e := range entries {
		have[e.Path] = e
	}
	for _, r := range b.Resources {
		e, ok := have[r.Name]
		if !ok || e.Odd != "" {
			return damagedModel(r.Name)
		}
		if err := exportModelFile(ctx, w, b.Name, e, r.Digest); err != nil {
			return err
		}
	}
	_, err = w.Write(make([]byte, trailer))
	return err
}

func damagedModel(name string) error {
	return caos.Errorf(caos.Internal, "the file %s of the baseline is missing or was changed", quote(name)).
		WithHint("verify the baseline, and restore it from a backup")
}

func exportModelFile(ctx context.Context, w io.Writer, id string, e ModelEntry, digest string) error {
	f, err := e.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	h := StartModelHash(e.Size)
	written := writeModelEntry(w, id+"/"+e.Path, e.Size, &hashedReader{ctx, f, h})
	if sum := h.Sum(); written == nil && sum != digest {
		return damagedModel(e.Path)
	}
	return written
}

// hashedReader hashes what is read through it, beside the reader. It lives for one file.
type hashedReader struct {
	ctx context.Context
	r   io.Reader
	h   *ModelHash
}

func (r *hashedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.add(p[:n])
	return n, err
}

func (r *hashedReader) add(p []byte) {
	for len(p) > 0 {
		b := r.h.Buffer()
		n := copy(b, p)
		r.h.Add(b[:n])
		p = p[n:]
	}
}

// WriteTo spares the copy: the writer gets the buffers that are hashed.
func (r *hashedReader) WriteTo(w io.Writer) (total int64, err error) {
	for err == nil {
		b := r.h.Buffer()
		var n int
		n, err = io.ReadFull(r.r, b)
		r.h.Add(b[:n])
		if m, werr := w.Write(b[:n]); werr != nil {
			return total + int64(m), werr
		}
		total += int64(n)
		if cerr := r.ctx.Err(); cerr != nil {
			return total, cerr
		}
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return total, err
}

func writeModelEntry(w io.Writer, name string, size int64, r io.Reader) error {
	h, err := modelTarHeader(name, size)
	if err != nil {
		return refuse("path", "%s cannot be a name in a tar file: %v", quote(name), err)
	}
	if _, err := w.Write(h); err != nil {
		return err
	}
	n, err := io.Copy(w, r)
	if err != nil {
		return err
	}
	if n != size {
		return damagedModel(name)
	}
	_, err = w.Write(make([]byte, padding(size)))
	return err
}

// ModelTar is an exported baseline that was taken apart.
type ModelTar struct {
	ID      string // from the names of its entries
	Key     []byte // the PEM in it
	Bundle  []byte
	Entries []ModelEntry // the files, in the order of the file
}

// ReadModelTar takes an exported baseline apart. Anything that WriteModelTar would have
// written otherwise is refused, so that there is no byte that nothing accounts for.
func ReadModelTar(r io.ReaderAt, size int64) (*ModelTar, error) {
	t := &ModelTar{}
	var pos int64
	for i := 0; ; i++ {
		name, n, at, err := readModelEntry(r, pos, size)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		switch {
		case i == 0:
			t.ID, _ = strings.CutSuffix(name, ".pub")
			if !plainID(t.ID) || name == t.ID || n > 1024 {
				return nil, refuse("file", "does not begin with the key of a baseline")
			}
			t.Key, err = readSection(r, at, n)
		case i == 1:
			if name != t.ID+"/"+ModelSignatureName || n > MaxModelBundle {
				return nil, refuse("file", "does not have the bundle of %s in second place", quote(t.ID))
			}
			t.Bundle, err = readSection(r, at, n)
		case i > MaxModelFiles+2:
			return nil, refuse("file", "has more than %d files", MaxModelFiles)
		default:
			inner, ok := strings.CutPrefix(name, t.ID+"/")
			if !ok {
				return nil, refuse("file", "has %s in it, which is not in the folder of %s", quote(name), quote(t.ID))
			}
			t.Entries = append(t.Entries, ModelEntry{Path: inner, Size: n, Open: func() (io.ReadCloser, error) {
				return io.NopCloser(io.NewSectionReader(r, at, n)), nil
			}})
		}
		if err != nil {
			return nil, err
		}
		pos = at + n + padding(n)
	}
	if len(t.Entries) == 0 {
		return nil, refuse("file", "is not an exported baseline")
	}
	return t, nil
}

func readSection(r io.ReaderAt, at, n int64) ([]byte, error) {
	return io.ReadAll(io.NewSectionReader(r, at, n))
}

// readModelEntry reads the header at pos and returns name and size of the entry and where
// its bytes begin; io.EOF at the end of a file that is complete.
func readModelEntry(r io.ReaderAt, pos, size int64) (name string, n, at int64, err error) {
	head, err := readSection(r, pos, min(size-pos, maxModelHeader))
	if err != nil {
		return "", 0, 0, err
	}
	if len(head) == trailer && allZero(head) {
		return "", 0, 0, io.EOF
	}
	h, err := tar.NewReader(bytes.NewReader(head)).Next()
	if err != nil {
		return "", 0, 0, refuse("file", "is not readable as an exported baseline at byte %d", pos)
	}
	want, err := modelTarHeader(h.Name, h.Size)
	if err != nil || !bytes.HasPrefix(head, want) {
		return "", 0, 0, refuse("file", "has an entry %s that was not written by CAOS", quote(h.Name)).(*caos.Error).
			WithHint("unpack it and check the folder")
	}
	at = pos + int64(len(want))
	if h.Size < 0 || h.Size > size || at+h.Size+padding(h.Size)+trailer > size {
		return "", 0, 0, refuse("file", "ends within %s", quote(h.Name))
	}
	pad, err := readSection(r, at+h.Size, padding(h.Size))
	if err != nil {
		return "", 0, 0, err
	}
	if !allZero(pad) {
		return "", 0, 0, refuse("file", "has something behind %s", quote(h.Name))
	}
	return h.Name, h.Size, at, nil
}

func allZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// isModelTar reports whether a file begins like an exported baseline.
func isModelTar(r io.ReaderAt, size int64) bool {
	name, _, _, err := readModelEntry(r, 0, size)
	return err == nil && strings.HasSuffix(name, ".pub")
}

// checkOrder says where a file has its entries in another order than the bundle.
func (t *ModelTar) checkOrder(s *ModelStatement) error {
	if t.ID != s.Name {
		return refuse("file", "says that it is %s, its bundle is that of %s", quote(t.ID), quote(s.Name))
	}
	for i, e := range t.Entries {
		if i < len(s.Resources) && e.Path != s.Resources[i].Name {
			return fmt.Errorf("%s is out of order: %s belongs there", quote(e.Path), quote(s.Resources[i].Name))
		}
	}
	return nil
}
