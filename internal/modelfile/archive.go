package modelfile

import (
	"archive/tar"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
)

// tar looks at a tar archive: torch before 0.4 and several model servers use it.
func (in *inspector) tar(f file, r *Report) {
	r.Format = FormatTar
	if f.depth >= maxNesting {
		tooDeep(r)
		return
	}
	section := f.section(0, f.size)
	reader := tar.NewReader(section)
	var names []any
	kinds := map[string]any{}
	count := 0
	for {
		h, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			r.add(Finding{Rule: "tar-broken", Severity: High, Message: fmt.Sprintf("the tar archive cannot be read after %d members", count), Remedy: "make the archive again; an upload that was cut off looks like this"})
			break
		}
		if count++; count > maxLooked {
			r.add(Finding{Rule: "tar-members", Severity: High, Message: fmt.Sprintf("the archive has more than %d members", maxLooked), Remedy: "attach what matters as files of their own"})
			break
		}
		if len(names) < 50 {
			names = append(names, clip(h.Name, 200))
		}
		at, err := section.Seek(0, io.SeekCurrent)
		if err != nil {
			break
		}
		judgeTar(h, r)
		if h.Typeflag != tar.TypeReg || h.Size == 0 || at+h.Size > f.size {
			continue
		}
		inner := in.look(file{name: h.Name, r: f.section(at, h.Size), size: h.Size, depth: f.depth + 1})
		n, _ := kinds[string(inner.Format)].(float64)
		kinds[string(inner.Format)] = n + 1
		r.Code = r.Code || inner.Code
		for _, found := range inner.Findings {
			found.Message = fmt.Sprintf("%s: %s", clip(h.Name, 200), found.Message)
			r.add(found)
		}
	}
	r.fact("members", float64(count))
	r.fact("names", names)
	r.fact("contents", kinds)
}

// judgeTar finds what a member of a tar archive should not be.
func judgeTar(h *tar.Header, r *Report) {
	add := func(rule, format string, args ...any) {
		r.add(Finding{Rule: rule, Severity: High, Message: fmt.Sprintf("the member %q ", clip(h.Name, 200)) + fmt.Sprintf(format, args...), Remedy: "make the archive again from the model's own files"})
	}
	if outside(h.Name) {
		add("tar-traversal", "would be unpacked outside the folder that somebody unpacks it to")
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir, tar.TypeXGlobalHeader, tar.TypeXHeader:
	case tar.TypeSymlink, tar.TypeLink:
		add("tar-link", "is a link to %q", clip(h.Linkname, 200))
	default:
		add("tar-special", "is neither a file nor a folder")
	}
}

// gzip looks at a file that is compressed as a whole.
func (in *inspector) gzip(f file, r *Report) {
	r.Format = FormatGzip
	if f.depth >= maxNesting {
		tooDeep(r)
		return
	}
	open := func() io.Reader {
		section := f.section(0, f.size)
		if head := f.prefix(2); len(head) == 2 && head[0] == 0x78 {
			z, err := zlib.NewReader(section)
			if err != nil {
				return &broken{err}
			}
			return z
		}
		z, err := gzip.NewReader(section)
		if err != nil {
			return &broken{err}
		}
		return z
	}
	if _, err := io.CopyN(io.Discard, open(), 1); err != nil {
		if head := f.prefix(2); len(head) == 2 && head[0] == 0x78 { // two bytes may look like zlib by chance
			r.Format = FormatUnknown
			in.noMagic(f, f.prefix(sniffBytes), r)
			return
		}
		r.add(Finding{Rule: "gzip-broken", Severity: High, Message: "it begins like gzip and cannot be decompressed", Remedy: "make the file again"})
		return
	}
	inner := in.inflated(file{name: f.name, depth: f.depth + 1}, open)
	r.Code = inner.Code
	r.fact("content", string(inner.Format))
	for name, v := range inner.Summary {
		r.fact(name, v)
	}
	for _, found := range inner.Findings {
		found.Message = "decompressed: " + found.Message
		r.add(found)
	}
}

// broken is a reader of what cannot be read.
type broken struct{ err error }

func (b *broken) Read([]byte) (int, error) { return 0, b.err }
