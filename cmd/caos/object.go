package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
	"caos/internal/httpapi"
)

func newObject(e *environment) *cobra.Command {
	return parent("object", "Upload artifacts", objectPut(e), objectGet(e))
}

func objectPut(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "put FILE", Short: "Upload a file and print its address", Args: wants("FILE"),
		Long:    "Uploads a file. What is printed is its address for artifact_uri and other inputs. What nothing refers to is removed after seven days.",
		Example: "  caos object put report.xml",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			a, o, err := e.upload(c.Context(), cl, args[0])
			if err != nil {
				return err
			}
			return e.give(a.Body, func() { e.line("%s", o.URI) })
		},
	}
}

// upload sends a file with its digest, so that other bytes would be refused.
func (e *environment) upload(ctx context.Context, cl *client.Client, name string) (*client.Answer, httpapi.StoredObject, error) {
	var o httpapi.StoredObject
	f, err := openFile(name)
	if err != nil {
		return nil, o, err
	}
	defer f.Close()
	size, digest, err := e.digestOf(f)
	if err != nil {
		return nil, o, caos.Wrap(caos.Invalid, err, "%s cannot be read", name)
	}
	bar := e.bar(size, "uploading "+filepath.Base(name))
	defer func() { _ = bar.Clear() }()
	a, err := cl.Upload(ctx, "/v1/objects", io.TeeReader(io.LimitReader(f, size), bar), size, digest)
	if err != nil {
		return nil, o, err
	}
	return a, o, a.Decode(&o)
}

func (e *environment) digestOf(f *os.File) (int64, []byte, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, nil, err
	}
	bar := e.bar(info.Size(), "hashing "+filepath.Base(f.Name()))
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(h, bar), f)
	_ = bar.Clear()
	if err != nil {
		return 0, nil, err
	}
	_, err = f.Seek(0, io.SeekStart)
	return n, h.Sum(nil), err
}

func objectGet(e *environment) *cobra.Command {
	var out string
	var force bool
	c := &cobra.Command{
		Use: "get DIGEST --out FILE", Short: "Download an artifact", Args: wants("DIGEST"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.download(c.Context(), "/v1/objects/"+escape(trimObject(args[0])), out, force)
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to write, - for standard output")
	c.Flags().BoolVar(&force, "force", false, "write over a file that exists")
	_ = c.MarkFlagRequired("out")
	return c
}

// download writes what is at path to a file, complete or not at all.
func (e *environment) download(ctx context.Context, path, out string, force bool) error {
	cl, err := e.connect()
	if err != nil {
		return err
	}
	if out == "-" {
		_, err := cl.Download(ctx, path, nil, e.out)
		return err
	}
	return e.save(ctx, cl, saving{path: path, out: out, force: force})
}

// saving is a download to a file.
type saving struct {
	path, out, audience string
	query               url.Values // instead of audience
	force               bool
}

func (e *environment) save(ctx context.Context, cl *client.Client, s saving) error {
	var n int64
	h := sha256.New()
	bar := e.bar(-1, s.out)
	defer bar.Close()
	q := s.query
	if q == nil {
		q = query("for", s.audience)
	}
	err := writeWhole(s.out, s.force, func(w io.Writer) (err error) {
		n, err = cl.Download(ctx, s.path, q, io.MultiWriter(w, h, bar))
		return err
	})
	if err != nil {
		return err
	}
	digest := "SHA256:" + hex.EncodeToString(h.Sum(nil))
	_ = bar.Clear()
	return e.giveValue(map[string]any{"file": s.out, "size": n, "digest": digest}, func() {
		e.line("%s  %s  %s", s.out, bytesOf(n), e.paint.dim(digest))
	})
}
