package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
	"caos/internal/httpapi"
	"caos/internal/modelfile"
	"caos/internal/registry"
)

func modelArtifact(e *environment) *cobra.Command {
	return parent("artifact", "Keep the files of a version", completed(e.versions, artifactAdd(e), artifactList(e), artifactGet(e), artifactRemove(e))...)
}

func artifactAdd(e *environment) *cobra.Command {
	var o httpapi.NewArtifactBody
	c := &cobra.Command{
		Use: "add MODEL@VERSION FILE… --role ROLE", Short: "Upload files and attach them to a version",
		Long: "Hashes each file, uploads it unless the server has its bytes already, and attaches it. The server must find the digest that was found here. " +
			"Every file is scanned, and never loaded: what the scan found is shown. Repeating the command goes on where it stopped.\n\n" +
			"Roles: " + strings.Join(registry.ArtifactRoles(), ", ") + ".",
		Example: "  caos model artifact add NN-DLY-001@1.0.0 model.onnx --role inference\n  caos model artifact add NN-DLY-001@1.0.0 train.parquet --role training-dataset --name data/train.parquet",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) < 2 {
				return wants("MODEL@VERSION", "FILE")(c, args)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			model, version, err := modelVersion(args[0])
			if err != nil {
				return err
			}
			if err := oneOf("role", o.Role, registry.ArtifactRoles()...); err != nil {
				return err
			}
			if o.Name != "" && len(args) > 2 {
				return usage("one name stands for one file").WithField("name").WithHint("add them one by one")
			}
			cl, err := e.connect()
			if err != nil {
				return err
			}
			return e.addArtifacts(c.Context(), cl, attaching{model, version, o}, args[1:])
		},
	}
	f := c.Flags()
	f.StringVar(&o.Role, "role", "", "what the file is to the model; see above")
	f.StringVar(&o.Name, "name", "", "its name in the version, a relative path with slashes; the file's own if left out")
	f.StringVar(&o.MediaType, "media-type", "", "guessed from the name if left out")
	f.StringVar(&o.Source, "source", "", "where it came from, in words")
	f.StringVar(&o.Description, "description", "", "in a paragraph")
	words(c, "role", registry.ArtifactRoles())
	_ = c.MarkFlagRequired("role")
	return c
}

// attaching is what is to be attached to which version.
type attaching struct {
	model, version string
	body           httpapi.NewArtifactBody
}

func (e *environment) addArtifacts(ctx context.Context, cl *client.Client, at attaching, files []string) error {
	there, _, err := unpaged[registry.Artifact](ctx, cl, versionPath(at.model, at.version)+"/artifacts", nil)
	if err != nil {
		return err
	}
	var made []json.RawMessage
	for _, file := range files {
		one := at
		if one.body.Name == "" {
			one.body.Name = filepath.Base(file)
		}
		a, body, err := e.addArtifact(ctx, cl, one, file, there)
		if err != nil {
			if len(files) > 1 {
				err = fmt.Errorf("%s: %w", file, err)
			}
			return err
		}
		if made = append(made, body); !e.machine() {
			e.artifact(a)
		}
	}
	switch {
	case !e.machine():
		return nil
	case len(made) == 1:
		return e.give(made[0], nil)
	}
	return e.giveValue(map[string]any{"items": made}, nil)
}

// addArtifact attaches a file.
func (e *environment) addArtifact(ctx context.Context, cl *client.Client, at attaching, name string, there []registry.Artifact) (made *registry.Artifact, body []byte, err error) {
	if at.body.MediaType == "" {
		at.body.MediaType = mediaType(at.body.Name)
	}
	err = e.bring(ctx, cl, name, func(digest string) error {
		at.body.Digest = digest
		for _, a := range there {
			if a.Name == at.body.Name && a.Digest != digest {
				return otherBytes(at, a.Digest)
			}
		}
		made, body, err = attach(ctx, cl, at)
		return err
	})
	return made, body, err
}

// bring has the server use the bytes of a file under their digest. They are sent only if
// the server does not have them.
func (e *environment) bring(ctx context.Context, cl *client.Client, name string, use func(digest string) error) error {
	f, err := openFile(name)
	if err != nil {
		return err
	}
	defer f.Close()
	size, sum, err := e.digestOf(f)
	if err != nil {
		return caos.Wrap(caos.Invalid, err, "%s cannot be read", name)
	}
	if size == 0 {
		return usage("%s is empty", name).WithHint("was it written to the end?")
	}
	digest := "SHA256:" + hex.EncodeToString(sum)
	if err := use(digest); !unknownObject(err) {
		return err
	}
	bar := e.bar(size, "uploading "+filepath.Base(name))
	a, err := cl.Upload(ctx, "/v1/objects", io.TeeReader(io.LimitReader(f, size), bar), size, sum)
	_ = bar.Clear()
	if err != nil {
		return err
	}
	if err := sameDigest(a, digest); err != nil {
		return err
	}
	return use(digest)
}

// unknownObject reports whether the server has no bytes of the digest that it was told.
func unknownObject(err error) bool {
	return caos.KindOf(err) == caos.NotFound && caos.AsError(err).Field == "digest"
}

// mediaType guesses from a name what kind of file it is; "" if it cannot be told.
func mediaType(name string) string {
	kind, _, _ := strings.Cut(mime.TypeByExtension(filepath.Ext(name)), ";")
	return kind
}

func otherBytes(at attaching, has string) error {
	return caos.Errorf(caos.Conflict, "%s@%s has other bytes under the name %s: %s", at.model, at.version, at.body.Name, has).WithField("name").
		WithHint("remove them first with: caos model artifact remove %s@%s %s, or give another --name", at.model, at.version, at.body.Name)
}

// sameDigest refuses an upload of which the server has other bytes than were sent.
func sameDigest(a *client.Answer, want string) error {
	var o httpapi.StoredObject
	if err := a.Decode(&o); err != nil {
		return err
	}
	if o.Digest != want {
		return caos.Errorf(caos.Invalid, "the server has stored %s, not the %s that was sent; nothing was attached", o.Digest, want).WithField("digest").
			WithHint("the file was changed while it was sent, or a proxy changes what passes: send it again")
	}
	return nil
}

// attach names uploaded bytes as a file of the version.
func attach(ctx context.Context, cl *client.Client, at attaching) (*registry.Artifact, []byte, error) {
	a, err := cl.Do(ctx, posting(versionPath(at.model, at.version)+"/artifacts", at.body))
	if err != nil {
		return nil, nil, err
	}
	made := new(registry.Artifact)
	return made, a.Body, a.Decode(made)
}

// artifact writes a file of a version, and what the scan found.
func (e *environment) artifact(a *registry.Artifact) {
	e.line("%s  %s  %s  %s  %s", clean(a.Name), a.Role, orDash(a.Format), bytesOf(a.Size), e.paint.dim(a.Digest))
	e.scanned(a)
}

func (e *environment) scanned(a *registry.Artifact) {
	if a.Scan == nil {
		return
	}
	for _, f := range a.Scan.Findings {
		e.line("  %s %s: %s", e.paint.word(string(f.Severity)), e.paint.accent(clean(f.Rule)), clean(f.Message))
		if f.Remedy != "" {
			e.line("    %s %s", e.paint.dim("remedy:"), clean(f.Remedy))
		}
	}
}

// artifacts writes the files of a version as a table, and under it what was found in them.
func (e *environment) artifacts(list []registry.Artifact) {
	e.fitted([]string{"file", "role", "format", "size", "scan", "digest"}, rowsOf(list, func(a registry.Artifact) []string {
		return []string{a.Name, a.Role, orDash(a.Format), bytesOf(a.Size), scanWord(a.Scan), short(a.Digest)}
	}), "format", "size")
	for _, a := range list {
		if a.Scan != nil && len(a.Scan.Findings) > 0 {
			e.line("%s", clean(a.Name))
			e.scanned(&a)
		}
	}
}

// scanWord is the worst thing that a scan found.
func scanWord(r *modelfile.Report) string {
	if r == nil {
		return "-"
	}
	worst := "clean"
	for _, s := range []modelfile.Severity{modelfile.Low, modelfile.Medium, modelfile.High, modelfile.Critical} {
		for _, f := range r.Findings {
			if f.Severity == s {
				worst = string(s)
			}
		}
	}
	return worst
}

func artifactList(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "list MODEL@VERSION", Short: "List the files of a version, with what a scan found in them", Args: wants("MODEL@VERSION"),
		RunE: func(c *cobra.Command, args []string) error {
			model, version, err := modelVersion(args[0])
			if err != nil {
				return err
			}
			cl, err := e.connect()
			if err != nil {
				return err
			}
			items, body, err := unpaged[registry.Artifact](c.Context(), cl, versionPath(model, version)+"/artifacts", nil)
			if err != nil {
				return err
			}
			return e.give(body, func() { e.artifacts(items) })
		},
	}
}

func artifactGet(e *environment) *cobra.Command {
	var out string
	var force bool
	c := &cobra.Command{
		Use: "get MODEL@VERSION NAME --out FILE", Short: "Download a file of a version", Args: wants("MODEL@VERSION", "NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			model, version, err := modelVersion(args[0])
			if err != nil {
				return err
			}
			cl, err := e.connect()
			if err != nil {
				return err
			}
			items, _, err := unpaged[registry.Artifact](c.Context(), cl, versionPath(model, version)+"/artifacts", nil)
			if err != nil {
				return err
			}
			for _, a := range items {
				if a.Name == args[1] {
					return e.download(c.Context(), "/v1/objects/"+escape(a.Digest), out, force)
				}
			}
			return caos.Errorf(caos.NotFound, "%s has no file %s", args[0], args[1]).WithField("name").WithHint("caos model artifact list %s", args[0])
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to write, - for standard output")
	c.Flags().BoolVar(&force, "force", false, "write over a file that exists")
	_ = c.MarkFlagRequired("out")
	return c
}

func artifactRemove(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "remove MODEL@VERSION NAME", Short: "Take a file out of a version that is not frozen", Args: wants("MODEL@VERSION", "NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			model, version, err := modelVersion(args[0])
			if err != nil {
				return err
			}
			_, body, err := ask[httpapi.Done](c.Context(), e, removing(versionPath(model, version)+"/artifacts", "name", args[1]))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.line("%s is no file of %s any more", clean(args[1]), args[0]) })
		},
	}
}
