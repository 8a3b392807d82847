package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
	"caos/internal/registry"
	"caos/internal/verify"
)

func newBaseline(e *environment) *cobra.Command {
	named := completed(e.ids("/v1/baselines", "baseline_id", "model_id"), baselineShow(e), baselineVerify(e), baselineExport(e))
	return parent("baseline", "See, verify and export frozen versions", append([]*cobra.Command{baselineList(e)}, named...)...)
}

func baselinePath(id string) string { return "/v1/baselines/" + escape(id) }

func baselineList(e *environment) *cobra.Command {
	l := listed[registry.Baseline]{path: "/v1/baselines", head: []string{"baseline", "model", "version", "files", "size", "frozen", "check", "root"}, drop: []string{"root", "version", "files", "model"},
		row: func(b registry.Baseline) []string {
			return []string{b.BaselineID, b.ModelID, b.Version, strconv.Itoa(b.FileCount), bytesOf(b.Bytes), moment(b.FrozenAt), orDash(b.CheckStatus), short(b.RootDigest)}
		}}
	var model, check, project string
	c := &cobra.Command{
		Use: "list", Short: "List baselines, latest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l.query = query("model_id", model, "check_status", strings.ToUpper(check), "project", project)
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	c.Flags().StringVar(&model, "model", "", "of this model")
	c.Flags().StringVar(&check, "check", "", "that is INTACT or DAMAGED, as the last check found")
	c.Flags().StringVar(&project, "project", "", "of this project")
	words(c, "check", []string{"INTACT", "DAMAGED"})
	return c
}

func baselineShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "show BASELINE", Short: "Show a baseline with its files", Args: wants("BASELINE"),
		RunE: func(c *cobra.Command, args []string) error {
			b, body, err := ask[registry.Baseline](c.Context(), e, getting(baselinePath(args[0]), nil))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.baseline(b) })
		},
	}
}

// baseline writes a baseline for people.
func (e *environment) baseline(b *registry.Baseline) {
	e.pairs(pair{"baseline", b.BaselineID}, pair{"model", about(b.ModelID, b.Version)}, pair{"freeze", b.FreezeID}, pair{"frozen", byWhom(moment(b.FrozenAt), b.FrozenBy)},
		pair{"holds", fmt.Sprintf("%s, %s", plural(b.FileCount, "file", "files"), bytesOf(b.Bytes))}, pair{"root digest", b.RootDigest}, pair{"signed with", b.KeyID},
		pair{"V&V report", strings.TrimSpace(b.VVReportID + " " + b.VVReportVersion)}, pair{"supersedes", b.Supersedes},
		pair{"compatible with", strings.Join(b.CompatibleWith, ", ")}, pair{"safety impact", b.SafetyImpact}, pair{"certification impact", b.CertificationImpact},
		pair{"execution", b.ExecutionID}, pair{"project", b.Project}, pair{"classification", b.Classification}, checkedPair(b))
	e.differences(b)
	if len(b.Files) > 0 {
		e.line("")
		e.table([]string{"file", "role", "size", "digest"}, rowsOf(b.Files, func(f registry.BaselineFile) []string {
			return []string{f.Path, f.Role, bytesOf(f.Size), short(f.Digest)}
		}))
	}
}

func checkedPair(b *registry.Baseline) pair {
	if b.CheckedAt == nil {
		return pair{"checked", "not yet"}
	}
	return pair{"checked", when(b.CheckedAt) + ", found " + b.CheckStatus}
}

func (e *environment) differences(b *registry.Baseline) {
	for _, p := range b.Problems {
		e.line("  %s %s", e.paint.bad("DIFFERS"), clean(p))
	}
}

func baselineVerify(e *environment) *cobra.Command {
	var dir, file, trust string
	c := &cobra.Command{
		Use: "verify BASELINE | --dir DIR | --file TAR", Short: "Read every byte of a baseline again and compare it with what was frozen",
		Long: "With the id of a baseline the server reads its bytes again, and remembers what it found; damage is an alert as well. " +
			"With --dir or --file an exported baseline is checked here, offline: its signature by a key of the trust file, every byte of every file, and that there is nothing else. " +
			"The exit code is 1 if anything differs.",
		Example: "  caos baseline verify BL-DLY-1.0.0\n  caos baseline verify --dir export/BL-DLY-1.0.0 --trust trust.json\n  caos baseline verify --file BL-DLY-1.0.0.tar --trust trust.json",
		Args:    cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if name := dir + file; name != "" {
				if len(args) > 0 {
					return usage("%s is on the server, and --dir and --file are here", args[0]).WithHint("verify one after the other")
				}
				if file != "" {
					if _, err := os.Stat(file); err != nil {
						return unreadable(file, err)
					}
				} else if _, err := os.Stat(dir); err != nil {
					return unreadable(dir, err)
				}
				return e.verifyHere(name, trust)
			}
			if trust != "" {
				return usage("the trust file is for what is checked here").WithField("trust").WithHint("name an exported baseline with --dir or --file")
			}
			if err := wants("BASELINE")(c, args); err != nil {
				return err
			}
			return e.verifyThere(c.Context(), args[0])
		},
	}
	f := c.Flags()
	f.StringVar(&dir, "dir", "", "folder of an exported baseline, with its model.sig")
	f.StringVar(&file, "file", "", "exported baseline as one file")
	f.StringVar(&trust, "trust", "", "trust file of the log, from its operator by a way other than the baseline")
	c.MarkFlagsMutuallyExclusive("dir", "file")
	return c
}

// verifyHere checks an exported baseline as caos-verify does.
func (e *environment) verifyHere(name, trust string) error {
	if trust == "" {
		return usage("without the log's keys nothing can be checked").WithField("trust").WithHint("give --trust trust.json, which caos init wrote into the data folder")
	}
	call := []string{"--trust", trust}
	if e.format == "json" {
		call = append(call, "--json")
	}
	if name[0] == '-' { // "--" would not be understood
		name = "./" + name
	}
	if code := verify.Main(append(call, name), e.out, e.err, e.paint.on); code != verify.ExitOK {
		return &ended{code}
	}
	return nil
}

// verifyThere has the server check a baseline.
func (e *environment) verifyThere(ctx context.Context, id string) error {
	bar := e.bar(-1, "the server reads "+id)
	_ = bar.Add(0)
	b, body, err := ask[registry.Baseline](ctx, e, posting(baselinePath(id)+"/verify", nil))
	_ = bar.Clear()
	if err != nil {
		return err
	}
	err = e.give(body, func() {
		e.pairs(pair{"baseline", b.BaselineID}, pair{"model", about(b.ModelID, b.Version)}, pair{"holds", fmt.Sprintf("%s, %s", plural(b.FileCount, "file", "files"), bytesOf(b.Bytes))},
			pair{"root digest", b.RootDigest}, checkedPair(b))
		e.differences(b)
		if b.CheckStatus == "INTACT" {
			e.line("%s: every byte is what was frozen.", e.paint.good("VERIFIED"))
			return
		}
		e.line("%s: do not release or deploy from it; restore it from a backup.", e.paint.bad("VERIFICATION FAILED"))
	})
	if err == nil && b.CheckStatus != "INTACT" { // nothing checked is not a pass
		return failed()
	}
	return err
}

func baselineExport(e *environment) *cobra.Command {
	var s saving
	var dir string
	c := &cobra.Command{
		Use: "export BASELINE", Short: "Write a baseline as one file, or as a folder, that proves itself", Args: wants("BASELINE"),
		Long: "Writes a tar file with the files, the signature (OpenSSF Model Signing) and the public key, or with --dir the folder that is in it. " +
			"caos baseline verify, caos-verify, or the model_signing tool check it offline.",
		Example: "  caos baseline export BL-DLY-1.0.0 --out dly.tar\n  caos baseline export BL-DLY-1.0.0 --dir export\n  caos baseline verify --dir export/BL-DLY-1.0.0 --trust trust.json",
		RunE: func(c *cobra.Command, args []string) error {
			s.path = baselinePath(args[0]) + "/export"
			if dir != "" {
				return e.exportFolder(c.Context(), s.path, dir)
			}
			if s.out == "" {
				s.out = filepath.Base(args[0]) + ".tar"
			}
			return e.download(c.Context(), s.path, s.out, s.force)
		},
	}
	f := c.Flags()
	f.StringVar(&s.out, "out", "", "file to write; BASELINE.tar if left out, - for standard output")
	f.StringVar(&dir, "dir", "", "folder to make instead, with the files in it")
	f.BoolVar(&s.force, "force", false, "write over a file that exists")
	c.MarkFlagsMutuallyExclusive("dir", "out")
	c.MarkFlagsMutuallyExclusive("dir", "force")
	return c
}

// exportFolder unpacks an exported baseline into a new folder, which appears whole or not at
// all.
func (e *environment) exportFolder(ctx context.Context, from, dir string) error {
	cl, err := e.connect()
	if err != nil {
		return err
	}
	if _, err := os.Lstat(dir); err == nil {
		return caos.Errorf(caos.Conflict, "%s exists", dir).WithField("dir").WithHint("name a folder that does not exist yet")
	}
	staging, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".*")
	if err != nil {
		return caos.Wrap(caos.Unavailable, err, "%s cannot be made", dir).WithField("dir")
	}
	defer func() {
		if err := os.RemoveAll(staging); err != nil {
			fmt.Fprintf(e.err, "%s\n", e.errPaint.warn("what was begun is left in "+staging))
		}
	}()
	out, err := unpackFrom(ctx, e, cl, from, staging)
	if err != nil {
		return err
	}
	if err := os.Chmod(staging, 0o755); err != nil {
		return err
	}
	if err := os.Rename(staging, dir); err != nil {
		return caos.Wrap(caos.Unavailable, err, "%s cannot be made", dir).WithField("dir")
	}
	out.Dir = dir
	return e.giveValue(out, func() {
		e.line("%s  %s  %s", dir, plural(out.Files, "file", "files"), bytesOf(out.Bytes))
		e.line("%s", e.paint.dim("caos baseline verify --dir "+filepath.Join(dir, out.Baseline)+" --trust trust.json"))
	})
}

// unpacked is what came out of an exported baseline.
type unpacked struct {
	Dir      string `json:"dir"`
	Baseline string `json:"baseline_id"` // the folder inside
	Files    int    `json:"files"`
	Bytes    int64  `json:"bytes"`
}

// unpackFrom downloads an exported baseline and unpacks it as it comes.
func unpackFrom(ctx context.Context, e *environment, cl *client.Client, from, into string) (unpacked, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the download when unpacking has failed
	bar := e.bar(-1, "exporting")
	defer func() { _ = bar.Clear() }()
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := cl.Download(ctx, from, nil, io.MultiWriter(w, bar))
		_ = w.CloseWithError(err) // nil is the end
		done <- err
	}()
	out, err := unpack(r, into)
	if err == nil {
		// What follows the end of a tar is padding.
		var more int64
		if more, err = io.Copy(io.Discard, io.LimitReader(r, maxPadding+1)); more > maxPadding {
			err = caos.Errorf(caos.Invalid, "the server's baseline goes on after its end").WithRule("baseline-export")
		}
	}
	if err != nil { // a refusal by the server comes through the pipe
		cancel()
		_ = r.CloseWithError(err)
		<-done
		return out, err
	}
	return out, <-done
}

// maxPadding is how many bytes a tar may have after its end.
const maxPadding = 1 << 20

// Bounds of an exported baseline.
const (
	maxUnpacked     = 100_000   // files
	maxUnpackedByte = 256 << 30 // of all of them
)

// unpack writes the regular files of a tar under a folder and nothing outside of it.
func unpack(r io.Reader, into string) (unpacked, error) {
	var out unpacked
	root, err := os.OpenRoot(into)
	if err != nil {
		return out, err
	}
	defer root.Close()
	odd := func(format string, args ...any) (unpacked, error) {
		return out, caos.Errorf(caos.Invalid, "the server's baseline has "+format, args...).WithRule("baseline-export").WithHint("nothing was kept; is the address that of a CAOS server?")
	}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		var known *caos.Error
		if errors.As(err, &known) {
			return out, known
		}
		if err != nil {
			return out, caos.Wrap(caos.Invalid, err, "the server's baseline is no tar file").WithRule("baseline-export")
		}
		name := h.Name
		switch {
		case h.Typeflag != tar.TypeReg:
			return odd("something that is no file: %q", name)
		case !filepath.IsLocal(name) || path.Clean(name) != name || strings.Contains(name, `\`):
			return odd("a file outside of its folder: %q", name)
		}
		if out.Files, out.Bytes = out.Files+1, out.Bytes+h.Size; out.Files > maxUnpacked || out.Bytes > maxUnpackedByte {
			return odd("more than %d files or %s", maxUnpacked, bytesOf(maxUnpackedByte))
		}
		if top, _, inside := strings.Cut(name, "/"); inside && out.Baseline == "" {
			out.Baseline = top
		}
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return out, caos.Wrap(caos.Unavailable, err, "%s cannot be written", name)
		}
		if err := writeInto(root, name, tr); err != nil {
			return out, err
		}
	}
	if out.Baseline == "" {
		return odd("no files")
	}
	return out, nil
}

func writeInto(root *os.Root, name string, r io.Reader) error {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
	if err != nil {
		return caos.Wrap(caos.Unavailable, err, "%s cannot be written", name)
	}
	_, err = io.Copy(f, r)
	if err := errors.Join(err, f.Close()); err != nil {
		var known *caos.Error
		if errors.As(err, &known) {
			return known
		}
		return caos.Wrap(caos.Unavailable, err, "%s cannot be written", name)
	}
	return nil
}
