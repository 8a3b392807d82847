package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
	"caos/internal/dataset"
	"caos/internal/httpapi"
)

//go:embed pipeline_example.yaml
var pipelineExample string

// maxDefinition is the most that the server reads as a definition or a contract.
const maxDefinition = 1 << 20

func pipelineInit(e *environment) *cobra.Command {
	var source, target, out string
	var force bool
	c := &cobra.Command{
		Use: "init PIPELINE", Short: "Write a commented example of a pipeline to begin with", Args: wants("PIPELINE"),
		Long: "Writes a definition that works, with a comment on everything that can be said, to standard output or to --out. " +
			"It reads flights in CSV and publishes a table for training; change what it says.",
		Example: "  caos pipeline init DP-DLY-001 > pipeline.yaml\n  caos pipeline init DP-DLY-001 --source file:///srv/data/flights.csv --target file:///srv/published/train.parquet --out pipeline.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			if err := caos.CheckID("pipeline", "pipeline_id", args[0]); err != nil {
				return err
			}
			for flag, uri := range map[string]string{"source": source, "target": target} {
				if strings.ContainsAny(uri, "\n\r\"'#") {
					return usage("%q cannot be written into the example", uri).WithField(flag)
				}
			}
			text := strings.NewReplacer("PIPELINE_ID", args[0], "SOURCE_URI", source, "TARGET_URI", target).Replace(pipelineExample)
			return e.writeText(out, force, []byte(text))
		},
	}
	f := c.Flags()
	f.StringVar(&source, "source", "file:///srv/caos/in/flights.csv", "what the example reads")
	f.StringVar(&target, "target", "file:///srv/caos/out/train.parquet", "what the example publishes")
	f.StringVar(&out, "out", "-", "file to write, - for standard output")
	f.BoolVar(&force, "force", false, "write over a file that exists")
	return c
}

// pipelineText is a definition on its way: its bytes, and how they are to be read.
type pipelineText struct {
	file, kind string
	body       []byte
}

func (e *environment) readPipeline(file string) (pipelineText, error) {
	body, err := e.readInput(file, maxDefinition)
	t := pipelineText{file: file, body: body, kind: "application/yaml"}
	if err == nil && !isYAML(file, body) {
		t.kind = "application/json"
	}
	return t, err
}

// lints checks a definition without a server, and returns it if it can be read.
func (t pipelineText) lints() (*dataset.Definition, []dataset.LintFinding) {
	d, err := dataset.ParseDefinition(t.body, t.kind)
	if err != nil {
		x := caos.AsError(err)
		return nil, []dataset.LintFinding{{Rule: x.Rule, Severity: dataset.LintError, Field: x.Field, Message: x.Message, Remedy: x.Hint}}
	}
	return &d, dataset.Lint(d, dataset.Limits{})
}

// placed is a finding with where it is.
type placed struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	dataset.LintFinding
}

func (t pipelineText) placed(list []dataset.LintFinding) []placed {
	out := make([]placed, 0, len(list))
	for _, f := range list {
		p := placeOfError(t.body, caos.Errorf(caos.Invalid, "").WithField(f.Field).WithHint("%s", formHint(f)))
		if strings.HasSuffix(f.Field, ".sql") {
			p = inSQL(t.body, p, f.Message)
		}
		out = append(out, placed{t.file, p.line, p.column, f})
	}
	slices.SortStableFunc(out, func(a, b placed) int {
		if a.Severity != b.Severity {
			return strings.Compare(a.Severity, b.Severity) // error before warning
		}
		return a.Line - b.Line
	})
	return out
}

// formHint is what a finding about the form of a text says of its place, "" for any other:
// a remedy may speak of lines, too.
func formHint(f dataset.LintFinding) string {
	if f.Rule == "" || f.Rule == "pipeline-form" {
		return f.Remedy
	}
	return ""
}

// findingsOf writes findings as compilers do.
func (e *environment) lintFindings(list []placed) {
	for _, f := range list {
		word := e.paint.bad("error:")
		if f.Severity == dataset.LintWarning {
			word = e.paint.warn("warning:")
		}
		text := f.Message
		if f.Rule != "" {
			text += " (" + f.Rule + ")"
		}
		where := place{f.Line, f.Column}.of(f.File)
		if f.Field != "" {
			text = f.Field + ": " + text
		}
		e.flow(e.paint.bold(clean(where))+": "+word+" ", "    ", clean(text), asIs)
		if f.Remedy != "" {
			e.flow("    "+e.paint.accent("hint:")+" ", "    ", clean(f.Remedy), asIs)
		}
	}
}

func errorsOf(list []placed) (n int) {
	for _, f := range list {
		if f.Severity == dataset.LintError {
			n++
		}
	}
	return n
}

// linted is the outcome of a check, for programs.
type linted struct {
	OK         bool     `json:"ok"`
	PipelineID string   `json:"pipeline_id"`
	Version    string   `json:"pipeline_version"`
	Server     string   `json:"server"` // that was asked, "" for none
	Outcome    string   `json:"outcome"`
	Findings   []placed `json:"findings"`
}

func pipelineLint(e *environment) *cobra.Command {
	var offline bool
	c := &cobra.Command{
		Use: "lint FILE|-", Short: "Say everything that is wrong with a pipeline's definition", Args: wants("FILE"),
		Long: "Checks a definition and says what is wrong, each with file, line, column, field and remedy: its form, names, SQL, order, schedule and sizes here, " +
			"and whether its locations may be used, its contracts are there and its version is new on the server, if one is configured. Nothing is changed. The exit code is 1 if there is an error.",
		Example: "  caos pipeline lint pipeline.yaml\n  caos pipeline lint pipeline.yaml --offline -o json",
		RunE: func(c *cobra.Command, args []string) error {
			t, err := e.readPipeline(args[0])
			if err != nil {
				return err
			}
			d, found := t.lints()
			x := linted{Findings: t.placed(found)}
			if d != nil {
				x.PipelineID, x.Version = d.PipelineID, d.PipelineVersion
			}
			asked := !offline && e.or(e.url, "CAOS_URL") != ""
			if asked && d != nil {
				if err := e.lintThere(c.Context(), t, &x); err != nil {
					return err
				}
			}
			x.OK = errorsOf(x.Findings) == 0
			if err := e.giveValue(x, func() { e.lintedText(t, d, x) }); err != nil {
				return err
			}
			if !x.OK {
				return failed()
			}
			return nil
		},
	}
	c.Flags().BoolVar(&offline, "offline", false, "ask no server")
	return c
}

func (e *environment) lintedText(t pipelineText, d *dataset.Definition, x linted) {
	e.lintFindings(x.Findings)
	n := errorsOf(x.Findings)
	switch {
	case n > 0:
		e.line("")
		e.line("%s", e.paint.bad(plural(n, "error", "errors"))+more(len(x.Findings)-n))
	case x.Outcome == "UNCHANGED":
		e.line("%s %s %s is registered with this very content%s", e.paint.good("ok"), x.PipelineID, x.Version, more(len(x.Findings)))
	default:
		e.line("%s %s %s%s", e.paint.good("ok"), x.PipelineID, x.Version, more(len(x.Findings)))
	}
	if d != nil && n == 0 {
		e.line("")
		e.flowPicture(d)
	}
	if x.Server == "" && d != nil {
		e.line("")
		e.prose("No server was asked: whether its locations may be used and its contracts are there is not known.")
	}
}

func more(warnings int) string {
	if warnings == 0 {
		return ""
	}
	return ", " + plural(warnings, "warning", "warnings")
}

// lintThere adds what the server finds. It lints the definition too, so that its answer is the
// whole.
func (e *environment) lintThere(ctx context.Context, t pipelineText, x *linted) error {
	cl, err := e.connect()
	if err != nil {
		return err
	}
	a, err := applyTo(ctx, cl, t, true)
	if err != nil {
		return err
	}
	var out httpapi.AppliedPipeline
	if err := a.Decode(&out); err != nil {
		return err
	}
	x.Server, x.Outcome, x.Findings = cl.URL(), out.Outcome, t.placed(out.Findings)
	return nil
}

func applyTo(ctx context.Context, cl *client.Client, t pipelineText, dry bool) (*client.Answer, error) {
	q := query()
	if dry {
		q = query("dry_run", "true")
	}
	return cl.Do(ctx, client.Call{Method: http.MethodPost, Path: "/v1/pipelines", Query: q, Header: http.Header{"Content-Type": {t.kind}}, Body: t.body})
}

func pipelineApply(e *environment) *cobra.Command {
	var file string
	var dry bool
	c := &cobra.Command{
		Use: "apply -f FILE|-", Short: "Register a version of a pipeline", Args: noArgs,
		Long: "Registers a definition, YAML or JSON. A version never changes: the same content again is fine, another content needs a higher version. " +
			"What speaks against it is listed with file, line and column, and then nothing is registered. Its schedule and events become triggers, which stay off until caos pipeline enable.",
		Example: "  caos pipeline apply -f pipeline.yaml",
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := e.readPipeline(file)
			if err != nil {
				return err
			}
			if _, found := t.lints(); errorsOf(t.placed(found)) > 0 {
				return e.refusedPipeline(t, found, caos.Invalid)
			}
			cl, err := e.connect()
			if err != nil {
				return err
			}
			a, err := applyTo(c.Context(), cl, t, true)
			if err != nil {
				return err
			}
			var judged httpapi.AppliedPipeline
			if err := a.Decode(&judged); err != nil {
				return err
			}
			if judged.Outcome == "REFUSED" {
				return e.refusedPipeline(t, judged.Findings, caos.Kind(judged.Kind))
			}
			if !dry {
				if a, err = applyTo(c.Context(), cl, t, false); err != nil {
					return err
				}
			}
			var out httpapi.AppliedPipeline
			if err := a.Decode(&out); err != nil {
				return err
			}
			return e.give(a.Body, func() { e.applied(t, &out) })
		},
	}
	f := c.Flags()
	f.StringVarP(&file, "file", "f", "", "the definition, - for standard input")
	f.BoolVar(&dry, "dry-run", false, "say what would be, and register nothing")
	_ = c.MarkFlagRequired("file")
	return c
}

// refusedPipeline lists why a definition was not registered.
func (e *environment) refusedPipeline(t pipelineText, found []dataset.LintFinding, kind caos.Kind) error {
	list := t.placed(found)
	end := &ended{exitCode(caos.Errorf(kind, "refused"))}
	if e.machine() {
		body, err := json.Marshal(linted{Outcome: "REFUSED", Findings: list})
		if err != nil {
			return fmt.Errorf("write JSON: %w", err)
		}
		if err := e.give(body, nil); err != nil {
			return err
		}
		return end
	}
	side := e.aside()
	side.lintFindings(list)
	side.line("")
	side.line("%s: nothing was registered", side.paint.bad(plural(errorsOf(list), "error", "errors")))
	return end
}

func (e *environment) applied(t pipelineText, x *httpapi.AppliedPipeline) {
	p := x.Pipeline
	if p == nil {
		return
	}
	did := "is registered"
	switch {
	case x.DryRun && x.Outcome == "CREATED":
		did = "would be registered"
	case x.Outcome == "UNCHANGED":
		did = "was registered already, with this very content"
	}
	e.line("%s %s %s", e.paint.bold(p.PipelineID), p.PipelineVersion, did)
	e.pairs(pair{"digest", p.Digest}, pair{"project", p.Project}, pair{"owner", p.Owner}, pair{"triggers", strings.Join(x.Triggers, ", ")})
	e.line("")
	e.flowPicture(&p.Definition)
	if len(x.Findings) > 0 {
		e.line("")
		e.lintFindings(t.placed(x.Findings))
	}
	e.line("")
	e.line("%s", e.paint.dim("run it with: caos pipeline run "+p.PipelineID))
	if len(x.Triggers) > 0 {
		e.line("%s", e.paint.dim("let it run by itself with: caos pipeline enable "+p.PipelineID+" --as SERVICE"))
	}
}
