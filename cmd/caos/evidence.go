package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
	"caos/internal/evidence"
	"caos/internal/hook"
)

func newEvidence(e *environment) *cobra.Command {
	return parent("evidence", "Collect and see evidence", evidenceAdd(e), evidenceList(e), evidenceShow(e), evidenceGet(e))
}

func escape(s string) string { return url.PathEscape(s) }

func trimObject(s string) string { return strings.TrimPrefix(s, "object://") }

type addFlags struct {
	pkg, model, typ, category string
	meta                      evidence.Metadata
	format                    string
	key                       string
	noWait                    bool
}

func evidenceAdd(e *environment) *cobra.Command {
	var o addFlags
	c := &cobra.Command{
		Use: "add FILE|URI… --package PACKAGE", Short: "Upload artifacts and make them evidence (CERT.EVIDENCE)",
		Long: "Uploads each file, or names an https://, file:// or object:// address that the server fetches, and runs CAOS.PROD.CERT.EVIDENCE on it. " +
			"What kind of evidence it is and how it is written is found out from the name unless it is said. The exit code is 1 if any of them was refused.",
		Example: "  caos evidence add junit.xml --package CERT-PKG-FCS --covers 95-00-03-REQ-001\n  caos evidence add hazards.pdf --package CERT-PKG-FCS --category VALIDATION --objective A-7.5",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("FILE or URI is missing").WithHint("usage: %s", c.UseLine())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			return e.addEvidence(c, cl, args, o)
		},
	}
	f := c.Flags()
	f.StringVarP(&o.pkg, "package", "p", "", "certification package")
	f.StringVar(&o.model, "model", "", "model; that of the package if left out")
	f.StringVar(&o.typ, "type", "", "TEST_RESULT, LOG, METRIC or DOCUMENT; from the file's name if left out")
	f.StringVar(&o.category, "category", "VERIFICATION", "VERIFICATION, VALIDATION or AUDIT")
	f.StringVar(&o.format, "format", "", "junit, sarif, json, ndjson, csv, text, markdown, pdf or html; found out if left out")
	f.StringSliceVar(&o.meta.RequirementIDs, "covers", nil, "requirement that this is evidence for")
	f.StringSliceVar(&o.meta.ObjectiveIDs, "objective", nil, "objective that this is evidence for")
	f.StringVar(&o.meta.Title, "title", "", "one line; the file's name if left out")
	f.StringVar(&o.meta.Tool, "tool", "", "what made it")
	f.StringVar(&o.meta.ToolVersion, "tool-version", "", "its version")
	f.StringVar(&o.meta.TestEnvironment, "environment", "", "where it was made: rig, simulator, target")
	f.StringVar(&o.meta.SHA256, "sha256", "", "digest that the artifact must have")
	f.StringVar(&o.key, "idempotency-key", "", "gives the same evidence when it is sent again; one artifact only")
	f.BoolVar(&o.noWait, "no-wait", false, "do not wait for the end")
	_ = c.MarkFlagRequired("package")
	return c
}

func (e *environment) addEvidence(c *cobra.Command, cl *client.Client, args []string, o addFlags) error {
	if o.key != "" && len(args) > 1 {
		return usage("one key stands for one artifact").WithField("idempotency-key").WithHint("add them one by one")
	}
	if o.model == "" {
		var p evidence.Package
		if err := cl.Get(c.Context(), "/v1/packages/"+escape(o.pkg), nil, &p); err != nil {
			return err
		}
		o.model = p.ModelID
	}
	bad := false
	for i, name := range args {
		if i > 0 && !e.machine() {
			e.line("")
		}
		err := e.addOne(c, cl, name, o)
		if err != nil && len(args) == 1 {
			return err
		}
		if err != nil { // the others are still worth a try
			e.report(fmt.Errorf("%s: %w", name, err))
			bad = true
		}
	}
	if bad {
		return failed()
	}
	return nil
}

func (e *environment) addOne(c *cobra.Command, cl *client.Client, name string, o addFlags) error {
	uri, meta := name, o.meta
	if !strings.Contains(name, "://") {
		_, stored, err := e.upload(c.Context(), cl, name)
		if err != nil {
			return err
		}
		uri = stored.URI
		if meta.Title == "" {
			meta.Title = filepath.Base(name)
		}
	}
	typ, format := guess(name)
	if o.typ != "" {
		typ, format = evidence.Type(strings.ToUpper(o.typ)), ""
	}
	if meta.Format = format; o.format != "" {
		meta.Format = evidence.Format(strings.ToLower(o.format))
	}
	if typ == "" {
		return usage("what kind of evidence %s is cannot be told from its name", filepath.Base(name)).WithField("type").
			WithHint("give --type TEST_RESULT, LOG, METRIC or DOCUMENT")
	}
	body, err := evidenceInput(o, typ, uri, meta)
	if err != nil {
		return err
	}
	return e.runHook(c, cl, "CAOS.PROD.CERT.EVIDENCE", body, runFlags{key: o.key, wait: !o.noWait})
}

// evidenceInput is the hook's input.
func evidenceInput(o addFlags, typ evidence.Type, uri string, meta evidence.Metadata) ([]byte, error) {
	text, err := json.Marshal(meta)
	if err != nil {
		return nil, err
	}
	in := hook.EvidenceInput{ModelID: o.model, EvidenceType: typ, EvidenceCategory: evidence.Category(strings.ToUpper(o.category)),
		ArtifactURI: uri, CertificationPackageID: o.pkg}
	if err := json.Unmarshal(text, &in.ArtifactMetadata); err != nil {
		return nil, err
	}
	return json.Marshal(in)
}

// guess tells from a name what evidence it usually is. The server reads it as that and
// refuses what is not.
func guess(name string) (evidence.Type, evidence.Format) {
	switch ext := strings.ToLower(filepath.Ext(name)); ext {
	case ".xml":
		return evidence.TestResult, evidence.JUnit
	case ".sarif":
		return evidence.TestResult, evidence.SARIF
	case ".log":
		return evidence.Log, evidence.Text
	case ".ndjson", ".jsonl":
		return evidence.Log, evidence.NDJSON
	case ".csv":
		return evidence.Document, evidence.CSV
	case ".json":
		return evidence.Document, evidence.JSON
	case ".txt":
		return evidence.Document, evidence.Text
	case ".md":
		return evidence.Document, evidence.Markdown
	case ".pdf":
		return evidence.Document, evidence.PDF
	case ".html", ".htm":
		return evidence.Document, evidence.HTML
	}
	return "", ""
}

func evidenceList(e *environment) *cobra.Command {
	var p paging
	var pkg, model, typ, verdict, covers string
	c := &cobra.Command{
		Use: "list", Short: "List evidence, latest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			q := query("package_id", pkg, "model_id", model, "evidence_type", strings.ToUpper(typ), "verdict", strings.ToUpper(verdict), "covers", covers)
			items, body, err := list[evidence.Item](c.Context(), cl, "/v1/evidence", q, p)
			if err != nil {
				return err
			}
			return e.give(body, func() {
				var rows [][]string
				for _, it := range items {
					rows = append(rows, []string{it.EvidenceID, string(it.Type), string(it.Summary.Format), string(it.Verdict), bytesOf(it.Size), it.PackageID, it.Metadata.Title})
				}
				e.table([]string{"evidence", "type", "format", "verdict", "size", "package", "title"}, rows)
			})
		},
	}
	p.bind(c)
	f := c.Flags()
	f.StringVarP(&pkg, "package", "p", "", "of this package")
	f.StringVar(&model, "model", "", "of this model")
	f.StringVar(&typ, "type", "", "of this type")
	f.StringVar(&verdict, "verdict", "", "PASSED, FAILED or RECORDED")
	f.StringVar(&covers, "covers", "", "naming this requirement or objective")
	return c
}

func evidenceShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "show EVIDENCE", Short: "Show an item of evidence", Args: wants("EVIDENCE"),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			a, err := cl.Do(c.Context(), client.Call{Method: http.MethodGet, Path: "/v1/evidence/" + escape(args[0])})
			if err != nil {
				return err
			}
			var it evidence.Item
			if err := a.Decode(&it); err != nil {
				return err
			}
			return e.give(a.Body, func() { e.evidence(it) })
		},
	}
}

func (e *environment) evidence(it evidence.Item) {
	e.pairs(pair{"evidence", it.EvidenceID}, pair{"title", it.Metadata.Title}, pair{"verdict", string(it.Verdict)},
		pair{"is", fmt.Sprintf("%s %s, %s, %s", it.Category, it.Type, it.Summary.Format, bytesOf(it.Size))}, pair{"says", saysOf(it.Summary)},
		pair{"package", it.PackageID}, pair{"model", it.ModelID}, pair{"digest", it.Digest}, pair{"from", it.ArtifactURI},
		pair{"collected", moment(it.CollectedAt) + " by " + it.CollectedBy}, pair{"classification", it.Classification}, pair{"project", it.Project},
		pair{"requirements", strings.Join(it.Metadata.RequirementIDs, ", ")}, pair{"objectives", strings.Join(it.Metadata.ObjectiveIDs, ", ")},
		pair{"execution", it.ExecutionID}, pair{"audit record", it.RecordID})
	ids := make([]string, 0, len(it.Summary.Requirements))
	for id := range it.Summary.Requirements {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	for _, id := range ids {
		e.line("  %s  %s", clean(id), e.paint.word(string(it.Summary.Requirements[id])))
	}
}

// saysOf is what reading an artifact found.
func saysOf(s evidence.Summary) string {
	var parts []string
	if t := s.Tests; t != nil {
		parts = append(parts, fmt.Sprintf("%s: %d passed, %d failed, %d skipped", plural(t.Total, "test", "tests"), t.Passed, t.Failed, t.Skipped))
	}
	if r := s.Results; r != nil {
		parts = append(parts, fmt.Sprintf("%s, %s, %s", plural(r.Error, "error", "errors"), plural(r.Warning, "warning", "warnings"), plural(r.Note, "note", "notes")))
	}
	if m := s.Series; m != nil {
		parts = append(parts, fmt.Sprintf("%s of %s", plural(m.Points, "point", "points"), plural(len(m.Metrics), "metric", "metrics")))
	}
	if s.Rows > 0 {
		parts = append(parts, plural(s.Rows, "row", "rows"))
	}
	if s.Lines > 0 {
		parts = append(parts, plural(s.Lines, "line", "lines"))
	}
	if s.Tool != "" {
		parts = append(parts, "made by "+s.Tool)
	}
	return strings.Join(parts, ", ")
}

func evidenceGet(e *environment) *cobra.Command {
	var out string
	var force, envelope bool
	c := &cobra.Command{
		Use: "get EVIDENCE --out FILE", Short: "Download the artifact, or the signed statement about it", Args: wants("EVIDENCE"),
		RunE: func(c *cobra.Command, args []string) error {
			what := "/artifact"
			if envelope {
				what = "/envelope"
			}
			return e.download(c.Context(), "/v1/evidence/"+escape(args[0])+what, out, force)
		},
	}
	f := c.Flags()
	f.StringVar(&out, "out", "", "file to write, - for standard output")
	f.BoolVar(&force, "force", false, "write over a file that exists")
	f.BoolVar(&envelope, "envelope", false, "the signed statement instead of the artifact")
	_ = c.MarkFlagRequired("out")
	return c
}

// known words are checked where they are typed, so that a mistake costs no upload.
func oneOf(field, value string, words ...string) error {
	for _, w := range words {
		if value == w {
			return nil
		}
	}
	return caos.Errorf(caos.Invalid, "%q is none of its values", value).WithField(field).WithHint("one of %s", strings.Join(words, ", "))
}
