package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
	"caos/internal/importer"
)

// importing is what is said of the files of an import.
type importing struct {
	baseline, project, classification string
	dry                               bool
}

func newImport(e *environment) *cobra.Command {
	var o importing
	c := &cobra.Command{
		Use: "import FILE…", Short: "Take over a programme's registry and tables",
		Long: "Reads the files in which a programme kept its records before: an industrialisation registry (JSON), a traceability matrix and a production readiness table (CSV), a risk register (CSV or YAML), " +
			"told apart by what is in them. A readiness table names no model, and a risk register need not: say with --baseline what it is about.\n\n" +
			"A broken file is refused whole, with the line and column. Importing a file again changes nothing. What a file states is kept as its statement: " +
			"it proves nothing, and an imported baseline neither passes a gate nor blocks the freeze of its version.\n\n" +
			"Models of MLflow are taken over by caos model import.",
		Example: "  caos import registry.json matrix.csv --dry-run\n  caos import readiness.csv --baseline BL-FCS-2.1.0",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return wants("FILE")(c, args)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return e.importFiles(c.Context(), args, o) },
	}
	f := c.Flags()
	f.StringVar(&o.baseline, "baseline", "", "baseline that a readiness table is about, or its MODEL@VERSION; a risk register may be about a MODEL")
	f.StringVar(&o.project, "project", "", "project in which everything is made; yours if left out")
	f.StringVar(&o.classification, "classification", "", "of what is made: "+strings.Join(caos.Classifications(), ", "))
	f.BoolVar(&o.dry, "dry-run", false, "only report what would be made of it")
	words(c, "classification", caos.Classifications())
	return c
}

// importFiles imports each file. One that is refused does not keep the others back, and the
// exit code is that of the first refusal.
func (e *environment) importFiles(ctx context.Context, files []string, o importing) error {
	cl, err := e.connect()
	if err != nil {
		return err
	}
	code := exitOK
	reports := []json.RawMessage{}
	for i, file := range files {
		r, body, err := e.importFile(ctx, cl, file, o)
		if err != nil {
			if len(files) == 1 {
				return err
			}
			if e.report(fmt.Errorf("%s: %w", file, err)); code == exitOK {
				code = exitCode(err)
			}
			continue
		}
		if reports = append(reports, body); !e.machine() {
			if i > 0 {
				e.line("")
			}
			e.imported(r)
		}
	}
	if e.machine() {
		var err error
		if len(files) == 1 {
			err = e.give(reports[0], nil)
		} else {
			err = e.giveValue(map[string]any{"items": reports}, nil)
		}
		if err != nil {
			return err
		}
	}
	if code != exitOK {
		return &ended{code}
	}
	return nil
}

func (e *environment) importFile(ctx context.Context, cl *client.Client, file string, o importing) (*importer.Report, []byte, error) {
	text, err := e.readInput(file, importer.MaxBytes)
	if err != nil {
		return nil, nil, err
	}
	name := filepath.Base(file)
	if file == "-" {
		name = "standard input"
	}
	q := query("name", name, "baseline", o.baseline, "project", o.project, "classification", o.classification)
	if o.dry {
		q.Set("dry_run", "true")
	}
	bar := e.bar(-1, "importing "+name)
	defer func() { _ = bar.Clear() }()
	_ = bar.Add(0)
	a, err := cl.Do(ctx, client.Call{Method: http.MethodPost, Path: "/v1/imports", Query: q, Body: text, Header: http.Header{"Content-Type": {"application/octet-stream"}}})
	if err != nil {
		return nil, nil, err
	}
	r := new(importer.Report)
	return r, a.Body, a.Decode(r)
}

// imported writes what was made of a file.
func (e *environment) imported(r *importer.Report) {
	kinds := map[importer.Kind]string{importer.Registry: "an industrialisation registry", importer.Traceability: "a traceability matrix", importer.Readiness: "a readiness table",
		importer.RiskRegister: "a risk register"}
	kind := kinds[r.Kind]
	if kind == "" {
		kind = string(r.Kind)
	}
	e.prose("%s is %s of %s", r.File, kind, plural(r.Entries, "entry", "entries"))
	e.pairs(pair{"digest", r.Digest}, pair{"project", r.Project})
	e.line("")
	rows := make([][]string, 0, len(r.Mapped)+len(r.Kept))
	var records []string
	for _, m := range r.Mapped {
		rows = append(rows, counted(m.Section, m.Counts, m.As))
	}
	for _, k := range r.Kept {
		as := k.As
		if len(k.Under) > 0 {
			as += ", in records"
		}
		for _, v := range k.Under {
			if !slices.Contains(records, v) {
				records = append(records, v)
			}
		}
		rows = append(rows, counted(k.Section, k.Counts, as))
	}
	e.table([]string{"section", "new", "changed", "same", "kept as"}, rows)
	e.line("")
	e.prose("%s", statedLine(r))
	if len(records) > 0 {
		e.prose("What is in records is kept whole in the industrialisation of %s.", strings.Join(records, ", "))
	}
	for _, n := range r.Notes {
		e.prose("note: %s", n)
	}
	switch {
	case r.DryRun:
		e.line("%s", e.paint.warn("Dry run: nothing was kept."))
	case !r.Changed:
		e.line("%s", e.paint.good("It was there already: nothing has changed."))
	default:
		e.line("%s", e.paint.good("Imported."))
	}
}

func counted(section string, c importer.Counts, as string) []string {
	n := func(v int) string {
		if v == 0 {
			return "-"
		}
		return strconv.Itoa(v)
	}
	return []string{section, n(c.Created), n(c.Updated), n(c.Unchanged), as}
}

func statedLine(r *importer.Report) string {
	s := fmt.Sprintf("It states %s: %d new, %d changed, %d as before", plural(r.Said.Created+r.Said.Updated+r.Said.Unchanged, "thing", "things"), r.Said.Created, r.Said.Updated, r.Said.Unchanged)
	if r.Ended > 0 {
		s += fmt.Sprintf("; %d that it stated before it states no more", r.Ended)
	}
	return s + "."
}
