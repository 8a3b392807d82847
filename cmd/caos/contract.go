package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
	"caos/internal/contract"
	"caos/internal/dataset"
	"caos/internal/httpapi"
)

func newContract(e *environment) *cobra.Command {
	return parent("contract", "Say what data has to be", append([]*cobra.Command{contractApply(e), contractLint(e), contractImport(e), contractList(e)},
		completed(e.ids("/v1/contracts", "contract_id", "name"), contractShow(e), contractVersions(e))...)...)
}

func contractPath(id string) string { return "/v1/contracts/" + escape(id) }

func contractLint(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "lint FILE|-", Short: "Say what is wrong with a data contract", Args: wants("FILE"),
		Long: "Checks a contract of the Open Data Contract Standard v3.1.0 without a server: its form by the standard's schema, and whether every metric, operator and rule is one that CAOS knows. " +
			"What is wrong is named with file, line, column, field and remedy, and the exit code is 1.",
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := e.readInput(args[0], maxDefinition)
			if err != nil {
				return err
			}
			k, err := contract.Parse(text)
			if err != nil {
				return e.badContract(args[0], text, err)
			}
			return e.giveValue(map[string]any{"ok": true, "contract": k}, func() {
				e.line("%s %s %s", e.paint.good("ok"), k.ID, k.Version)
				e.line("")
				e.checks(k.Objects)
			})
		},
	}
}

// badContract says where a contract is wrong.
func (e *environment) badContract(file string, text []byte, err error) error {
	x := caos.AsError(err)
	if x.Kind != caos.Invalid {
		return err
	}
	var list []placed
	for _, x := range contract.Lint(text) {
		p := placeOfError(text, x)
		list = append(list, placed{file, p.line, p.column, dataset.LintFinding{Rule: x.Rule, Severity: dataset.LintError, Field: x.Field, Message: x.Message, Remedy: x.Hint}})
	}
	if e.machine() {
		if err := e.giveValue(map[string]any{"ok": false, "findings": list}, nil); err != nil {
			return err
		}
		return failed()
	}
	e.aside().lintFindings(list)
	return failed()
}

// checks writes what a contract checks, a table for each object.
func (e *environment) checks(objects []contract.Object) {
	for i, o := range objects {
		if i > 0 {
			e.line("")
		}
		e.line("%s  %s", e.paint.bold(clean(o.Name)), e.paint.dim(plural(len(o.Checks), "check", "checks")))
		rows := make([][]string, 0, len(o.Checks))
		for _, k := range o.Checks {
			weight := ""
			if k.Weight != 1 {
				weight = numberOf(k.Weight)
			}
			rows = append(rows, []string{k.ID, orDash(k.Property), boundOf(&k), k.Severity, weight, k.Dimension, firstText(k.Name, k.Description)})
		}
		e.fitted([]string{"check", "column", "rule", "severity", "weight", "dimension", "name"}, rows, "weight", "dimension", "name")
	}
}

// boundOf is what a check asks, in the words of the standard.
func boundOf(k *contract.Check) string {
	parts := []string{k.Metric}
	if k.Operator != "" {
		parts = append(parts, k.Operator)
	}
	for _, b := range k.Bounds {
		parts = append(parts, numberOf(b))
	}
	if k.Unit != "" && k.Unit != "rows" {
		parts = append(parts, k.Unit)
	}
	return strings.Join(parts, " ")
}

func firstText(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// scopeFlags say whose a contract is.
func scopeFlags(c *cobra.Command, project, classification *string) {
	c.Flags().StringVar(project, "project", "", "whose data it is about; yours if left out")
	c.Flags().StringVar(classification, "classification", "", "of the contract; Internal if left out")
	words(c, "classification", caos.Classifications())
}

func contractApply(e *environment) *cobra.Command {
	var file, project, classification string
	var dry bool
	c := &cobra.Command{
		Use: "apply -f FILE|-", Aliases: []string{"register"}, Short: "Register a version of a data contract", Args: noArgs,
		Long: "Registers a contract of the Open Data Contract Standard v3.1.0, YAML or JSON. A version never changes: the same content again is fine, another content needs a higher version.",
		RunE: func(c *cobra.Command, _ []string) error {
			text, err := e.readInput(file, maxDefinition)
			if err != nil {
				return err
			}
			if _, err := contract.Parse(text); err != nil {
				if err := e.badContract(file, text, err); exitCode(err) != exitFailed {
					return err
				}
				return &ended{exitUsage}
			}
			q := query("project", project, "classification", classification)
			if dry {
				q.Set("dry_run", "true")
			}
			h := http.Header{"Content-Type": {"application/json"}}
			if isYAML(file, text) {
				h.Set("Content-Type", "application/yaml")
			}
			x, body, err := ask[httpapi.RegisteredContract](c.Context(), e, client.Call{Method: http.MethodPost, Path: "/v1/contracts", Query: q, Header: h, Body: text})
			if err != nil {
				return err
			}
			return e.give(body, func() { e.registered(x) })
		},
	}
	f := c.Flags()
	f.StringVarP(&file, "file", "f", "", "the contract, - for standard input")
	f.BoolVar(&dry, "dry-run", false, "check it and register nothing")
	scopeFlags(c, &project, &classification)
	_ = c.MarkFlagRequired("file")
	return c
}

func (e *environment) registered(x *httpapi.RegisteredContract) {
	k := x.Contract
	if k == nil {
		return
	}
	did := map[string]string{"CREATED": "is registered", "UNCHANGED": "was registered already, with this very content", "CHECKED": "is well formed; nothing was registered"}[x.Outcome]
	e.line("%s %s %s: %s of %s", e.paint.bold(clean(k.ContractID)), clean(k.Version), did, plural(k.Checks, "check", "checks"), strings.Join(k.Objects, ", "))
	e.pairs(pair{"digest", k.Digest}, pair{"project", k.Project}, pair{"status", k.Status})
}

func contractList(e *environment) *cobra.Command {
	l := listed[dataset.Contract]{path: "/v1/contracts", head: []string{"contract", "version", "status", "checks", "tables", "project", "registered", "name"}, drop: []string{"registered", "project", "status", "tables"},
		row: func(k dataset.Contract) []string {
			return []string{k.ContractID, k.Version, orDash(k.Status), number(k.Checks), strings.Join(k.Objects, ", "), orDash(k.Project), moment(k.RegisteredAt), k.Name}
		}}
	var project string
	c := &cobra.Command{
		Use: "list", Short: "List data contracts, latest registered first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l.query = query("project", project)
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	c.Flags().StringVar(&project, "project", "", "of this project")
	return c
}

func contractShow(e *environment) *cobra.Command {
	var text bool
	c := &cobra.Command{
		Use: "show CONTRACT", Short: "Show a contract and what it checks", Args: wants("CONTRACT"),
		Long:    "Shows a version of a contract, the latest one or CONTRACT@VERSION.",
		Example: "  caos contract show 95-00-09-02-004\n  caos contract show 95-00-09-02-004@1.0.0 --document > contract.yaml",
		RunE: func(c *cobra.Command, args []string) error {
			id, version, _ := strings.Cut(args[0], "@")
			if text {
				cl, err := e.connect()
				if err != nil {
					return err
				}
				_, err = cl.Download(c.Context(), contractPath(id)+"/document", query("version", version), e.out)
				return err
			}
			k, body, err := ask[httpapi.ContractView](c.Context(), e, getting(contractPath(id), query("version", version)))
			if err != nil {
				return err
			}
			return e.give(body, func() {
				e.line("%s  %s", e.paint.bold(clean(k.ContractID+" "+k.Version)), clean(k.Name))
				e.pairs(pair{"status    ", k.Status}, pair{"project", k.Project}, pair{"classification", k.Classification}, pair{"registered", byWhom(moment(k.RegisteredAt), k.RegisteredBy)})
				e.pairs(pair{"digest", k.Digest})
				e.line("")
				e.checks(k.Schema)
			})
		},
	}
	c.Flags().BoolVar(&text, "document", false, "the contract as it was written")
	return c
}

func contractVersions(e *environment) *cobra.Command {
	l := listed[dataset.Contract]{head: []string{"version", "status", "checks", "registered", "by", "digest"}, drop: []string{"digest"}, row: func(k dataset.Contract) []string {
		return []string{k.Version, orDash(k.Status), number(k.Checks), moment(k.RegisteredAt), k.RegisteredBy, short(k.Digest)}
	}}
	c := &cobra.Command{Use: "versions CONTRACT", Short: "List the versions of a contract, the highest first", Args: wants("CONTRACT"),
		RunE: func(c *cobra.Command, args []string) error {
			l.path = contractPath(args[0]) + "/versions"
			return l.show(c.Context(), e)
		}}
	l.page.bind(c)
	return c
}

// expecting is what is wanted of a suite.
type expecting struct {
	id, version, out        string
	project, classification string
	register, force         bool
}

func contractImport(e *environment) *cobra.Command {
	var o expecting
	c := &cobra.Command{
		Use: "import-ge FILE --id CONTRACT", Short: "Make a contract of a suite of Great Expectations", Args: wants("FILE"),
		Long: "Reads an expectation suite of Great Expectations 0.18 or 1.x (JSON), writes the contract that says the same, and reports what became of each expectation. " +
			"What has no counterpart is named, never dropped; the exit code is 1 then. With --register the contract is registered, too.",
		Example: "  caos contract import-ge suite.json --id 95-00-09-02-004 --out contract.yaml",
		RunE: func(c *cobra.Command, args []string) error {
			if err := caos.CheckID("document", "id", o.id); err != nil {
				return err
			}
			text, err := e.readInput(args[0], maxDefinition)
			if err != nil {
				return err
			}
			made, report, err := contract.ImportExpectations(text, o.id, o.version)
			if err != nil {
				return err
			}
			return e.expected(c.Context(), made, &report, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.id, "id", "", "of the contract that is made, such as 95-00-09-02-004")
	f.StringVar(&o.version, "version", "1.0.0", "of the contract that is made")
	f.StringVar(&o.out, "out", "", "file to write the contract to, - for standard output")
	f.BoolVar(&o.force, "force", false, "write over a file that exists")
	f.BoolVar(&o.register, "register", false, "register the contract")
	scopeFlags(c, &o.project, &o.classification)
	_ = c.MarkFlagRequired("id")
	return c
}

func (e *environment) expected(ctx context.Context, made []byte, report *contract.ImportReport, o expecting) error {
	out := httpapi.RegisteredContract{Outcome: "CHECKED", Text: string(made), Report: report}
	if o.register {
		q := url.Values{}
		for name, v := range map[string]string{"project": o.project, "classification": o.classification} {
			if v != "" {
				q.Set(name, v)
			}
		}
		x, _, err := ask[httpapi.RegisteredContract](ctx, e, client.Call{Method: http.MethodPost, Path: "/v1/contracts", Query: q, Header: http.Header{"Content-Type": {"application/yaml"}}, Body: made})
		if err != nil {
			return err
		}
		out.Outcome, out.Contract = x.Outcome, x.Contract
	}
	if o.out != "" {
		if err := e.writeText(o.out, o.force, made); err != nil {
			return err
		}
	}
	show := e
	if o.out == "-" {
		show = e.aside() // the contract is what a program reads
	}
	err := show.giveValue(out, func() { show.importReport(report, &out, o) })
	if err == nil && len(report.Unmapped) > 0 {
		return failed()
	}
	return err
}

func (e *environment) importReport(r *contract.ImportReport, out *httpapi.RegisteredContract, o expecting) {
	e.line("%s  %s", e.paint.bold(clean(r.Suite)), e.paint.dim("Great Expectations "+r.Format))
	rows := make([][]string, 0, len(r.Mapped))
	for _, m := range r.Mapped {
		rows = append(rows, []string{number(m.Index), m.Expectation, orDash(m.Column), strings.Join(m.Checks, ", "), m.Note})
	}
	e.fitted([]string{"#", "expectation", "column", "became", "note"}, rows, "note", "column")
	if len(r.Unmapped) > 0 {
		e.line("")
		e.line("%s", e.paint.bad("could not be mapped"))
		for _, u := range r.Unmapped {
			e.flow(fmt.Sprintf("  %d  %s ", u.Index, clean(u.Expectation)), "     ", clean(strings.TrimPrefix(": "+u.Reason, ": ")), asIs)
		}
	}
	e.line("")
	e.line("%d of %d mapped", len(r.Mapped), len(r.Mapped)+len(r.Unmapped))
	switch {
	case out.Contract != nil:
		e.registered(out)
	case o.out != "" && o.out != "-":
		e.line("%s has the contract; register it with: caos contract apply -f %s", o.out, o.out)
	}
}
