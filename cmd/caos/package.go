package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
	"caos/internal/evidence"
	"caos/internal/httpapi"
)

func newPackage(e *environment) *cobra.Command {
	return parent("package", "Keep certification packages", packageCreate(e), packagePlan(e), packageStatus(e), packageList(e), packageAttach(e), packageClose(e), packageExport(e))
}

func packagePath(id string) string { return "/v1/packages/" + escape(id) }

func packageCreate(e *environment) *cobra.Command {
	var b httpapi.NewPackageBody
	c := &cobra.Command{
		Use: "create --model MODEL", Short: "Open a certification package", Args: noArgs,
		Example: "  caos package create --model NN-FCS-001 --title 'Flight control, release 2.1.0'",
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			a, err := cl.Do(c.Context(), client.Call{Method: http.MethodPost, Path: "/v1/packages", JSON: b})
			if err != nil {
				return err
			}
			var p evidence.Package
			if err := a.Decode(&p); err != nil {
				return err
			}
			return e.give(a.Body, func() { e.line("%s", p.PackageID) })
		},
	}
	f := c.Flags()
	f.StringVar(&b.ModelID, "model", "", "model that it is about")
	f.StringVar(&b.PackageID, "id", "", "made from the model's id if left out")
	f.StringVar(&b.Title, "title", "", "one line")
	f.StringVar(&b.Project, "project", "", "yours if left out")
	f.StringVar(&b.Classification, "classification", "", "of items that have none: "+strings.Join(caos.Classifications(), ", "))
	_ = c.MarkFlagRequired("model")
	return c
}

type planFlags struct {
	requirements, objectives []string
	csv, column, source      string
	where                    []string
	objective                bool
}

func packagePlan(e *environment) *cobra.Command {
	var o planFlags
	c := &cobra.Command{
		Use: "plan PACKAGE", Short: "Say what a package has to give evidence for, or show it", Args: wants("PACKAGE"),
		Long: "Sets the requirement and objective ids that the package must have evidence for: from flags, from a column of a CSV file, or both. " +
			"Without any it shows the plan. A new plan replaces the one before; the old ones are kept.",
		Example: "  caos package plan CERT-PKG-FCS --requirement 95-00-03-REQ-001\n  caos package plan CERT-PKG-FCS --from-csv matrix.csv --column Source_ID --where Source_Type=Requirement",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			if o.csv == "" && len(o.requirements)+len(o.objectives) == 0 {
				return e.showPlan(c.Context(), cl, args[0])
			}
			body, err := e.planOf(o)
			if err != nil {
				return err
			}
			a, err := cl.Do(c.Context(), client.Call{Method: http.MethodPut, Path: packagePath(args[0]) + "/plan", JSON: body})
			if err != nil {
				return err
			}
			return e.plan(a)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.requirements, "requirement", nil, "id of a requirement")
	f.StringSliceVar(&o.objectives, "objective", nil, "id of an objective")
	f.StringVar(&o.csv, "from-csv", "", "file with ids in a column, - for standard input")
	f.StringVar(&o.column, "column", "", "name of that column")
	f.StringArrayVar(&o.where, "where", nil, "only rows with COLUMN=VALUE")
	f.BoolVar(&o.objective, "as-objectives", false, "the file's ids are objectives")
	f.StringVar(&o.source, "source", "", "where the ids come from, in words; the file's name if left out")
	return c
}

func (e *environment) showPlan(ctx context.Context, cl *client.Client, id string) error {
	a, err := cl.Do(ctx, client.Call{Method: http.MethodGet, Path: packagePath(id) + "/plan"})
	if err != nil {
		return err
	}
	return e.plan(a)
}

func (e *environment) plan(a *client.Answer) error {
	var p evidence.Plan
	if err := a.Decode(&p); err != nil {
		return err
	}
	return e.give(a.Body, func() {
		e.line("%s, plan %d: %s, %s", e.paint.bold(p.PackageID), p.Version, plural(len(p.Requirements), "requirement", "requirements"), plural(len(p.Objectives), "objective", "objectives"))
		if p.Source != "" {
			e.line("%s", e.paint.dim("from "+clean(p.Source)))
		}
		for _, id := range append(slices.Clone(p.Requirements), p.Objectives...) {
			e.line("  %s", clean(id))
		}
	})
}

func (e *environment) planOf(o planFlags) (httpapi.PlanBody, error) {
	body := httpapi.PlanBody{Requirements: o.requirements, Objectives: o.objectives, Source: o.source}
	if o.csv == "" {
		return body, nil
	}
	text, err := e.readInput(o.csv, maxTable)
	if err != nil {
		return body, err
	}
	ids, err := column(strings.NewReader(string(text)), o.column, o.where)
	if err != nil {
		return body, err
	}
	to := &body.Requirements
	if o.objective {
		to = &body.Objectives
	}
	for _, id := range ids {
		if !slices.Contains(*to, id) {
			*to = append(*to, id)
		}
	}
	if body.Source == "" && o.csv != "-" {
		body.Source = fmt.Sprintf("column %s of %s", o.column, filepath.Base(o.csv))
	}
	return body, nil
}

// maxTable bounds a table that ids are taken from.
const maxTable = 64 << 20

// column takes the different values of a column from a CSV table with a head, in the order
// of the rows, from the rows that have the given values in other columns.
func column(r io.Reader, name string, where []string) ([]string, error) {
	table := csv.NewReader(r)
	table.FieldsPerRecord = -1
	head, err := table.Read()
	if err != nil {
		return nil, caos.Wrap(caos.Invalid, err, "it has no head of column names").WithField("from-csv")
	}
	if len(head) > 0 {
		head[0] = strings.TrimPrefix(head[0], "\ufeff")
	}
	find := func(field, name string) (int, error) {
		if i := slices.Index(head, name); i >= 0 {
			return i, nil
		}
		return 0, usage("there is no column %q", name).WithField(field).WithHint("the columns are %s", strings.Join(head, ", "))
	}
	at, err := find("column", name)
	if err != nil {
		return nil, err
	}
	wanted := map[int]string{}
	for _, w := range where {
		col, value, ok := strings.Cut(w, "=")
		i, err := find("where", col)
		if err != nil || !ok {
			return nil, errors.Join(err, missingEquals(ok, w))
		}
		wanted[i] = value
	}
	var ids []string
	seen := map[string]bool{}
	for {
		row, err := table.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, caos.Wrap(caos.Invalid, err, "the table cannot be read: %v", err).WithField("from-csv")
		}
		if id := cell(row, at); id != "" && !seen[id] && matches(row, wanted) {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil, usage("no row has a value in column %s", name).WithField("from-csv").WithHint("is --where right?")
	}
	return ids, nil
}

func missingEquals(ok bool, w string) error {
	if ok {
		return nil
	}
	return usage("%q is not COLUMN=VALUE", w).WithField("where")
}

func cell(row []string, i int) string {
	if i >= len(row) {
		return ""
	}
	return strings.TrimSpace(row[i])
}

func matches(row []string, wanted map[int]string) bool {
	for i, v := range wanted {
		if cell(row, i) != v {
			return false
		}
	}
	return true
}

func packageStatus(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "status PACKAGE", Short: "What is covered, and what speaks against closing", Args: wants("PACKAGE"),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			a, err := cl.Do(c.Context(), client.Call{Method: http.MethodGet, Path: packagePath(args[0]) + "/status"})
			if err != nil {
				return err
			}
			return e.packageStatus(a)
		},
	}
}

func (e *environment) packageStatus(a *client.Answer) error {
	var s evidence.PackageStatus
	if err := a.Decode(&s); err != nil {
		return err
	}
	return e.give(a.Body, func() {
		p := s.Package
		e.pairs(pair{"package", p.PackageID}, pair{"model", p.ModelID}, pair{"title", p.Title}, pair{"status", string(p.Status)},
			pair{"evidence", fmt.Sprintf("%s: %d passed, %d recorded, %d failed", plural(int(p.Counts.Items), "item", "items"), p.Counts.Passed, p.Counts.Recorded, p.Counts.Failed)},
			pair{"requirements", fmt.Sprintf("%d of %d covered", s.Coverage.Requirements.Covered, s.Coverage.Requirements.Planned)},
			pair{"objectives", fmt.Sprintf("%d of %d covered", s.Coverage.Objectives.Covered, s.Coverage.Objectives.Planned)},
			pair{"statement", p.Statement})
		if s.Full {
			e.line("%s", e.paint.good("Everything planned is covered, and nothing speaks against it."))
		}
		e.findings(s.Findings)
	})
}

func packageList(e *environment) *cobra.Command {
	var p paging
	var model, status string
	c := &cobra.Command{
		Use: "list", Short: "List certification packages, latest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			items, body, err := list[evidence.Package](c.Context(), cl, "/v1/packages", query("model_id", model, "status", strings.ToUpper(status)), p)
			if err != nil {
				return err
			}
			return e.give(body, func() {
				var rows [][]string
				for _, x := range items {
					rows = append(rows, []string{x.PackageID, x.ModelID, string(x.Status), strconv.FormatInt(x.Counts.Items, 10),
						fmt.Sprintf("%d/%d", x.Counts.Covered, x.Counts.Planned), moment(x.UpdatedAt), x.Title})
				}
				e.table([]string{"package", "model", "status", "items", "covered", "changed", "title"}, rows)
			})
		},
	}
	p.bind(c)
	c.Flags().StringVar(&model, "model", "", "of this model")
	c.Flags().StringVar(&status, "status", "", "OPEN or CLOSED")
	return c
}

func packageAttach(e *environment) *cobra.Command {
	var decision string
	c := &cobra.Command{
		Use: "attach PACKAGE RECORD", Short: "Put an audit record into a package", Args: wants("PACKAGE", "RECORD"),
		RunE: func(c *cobra.Command, args []string) error {
			body := httpapi.AttachBody{RecordID: args[1]}
			if decision != "" {
				text, err := e.readInput(decision, maxInput)
				if err != nil {
					return err
				}
				body.Decision = text
			}
			cl, err := e.connect()
			if err != nil {
				return err
			}
			a, err := cl.Do(c.Context(), client.Call{Method: http.MethodPost, Path: packagePath(args[0]) + "/records", JSON: body})
			if err != nil {
				return err
			}
			return e.give(a.Body, func() { e.line("%s is in %s", args[1], args[0]) })
		},
	}
	c.Flags().StringVar(&decision, "decision", "", "JSON file of the personally signed decision that the record is about")
	return c
}

func packageClose(e *environment) *cobra.Command {
	var statement string
	c := &cobra.Command{
		Use: "close PACKAGE", Short: "Close a package: it takes nothing more", Args: wants("PACKAGE"),
		Long: "Closes a package. If findings stand, say with --statement why it is closed all the same. It needs a second factor.",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			a, err := cl.Do(c.Context(), client.Call{Method: http.MethodPost, Path: packagePath(args[0]) + "/close", JSON: httpapi.CloseBody{Statement: statement}})
			if err != nil {
				return err
			}
			return e.packageStatus(a)
		},
	}
	c.Flags().StringVar(&statement, "statement", "", "why it is closed in spite of findings")
	return c
}

func packageExport(e *environment) *cobra.Command {
	s := saving{}
	c := &cobra.Command{
		Use: "export PACKAGE", Short: "Write the package as one file that proves itself", Args: wants("PACKAGE"),
		Long:    "Writes one file with the evidence, its signatures, the audit records and their proofs. caos verify, or caos-verify on a machine without CAOS, checks it offline.",
		Example: "  caos package export CERT-PKG-FCS --out fcs.caospkg\n  caos verify fcs.caospkg --trust trust.json",
		RunE: func(c *cobra.Command, args []string) error {
			if err := oneOf("for", s.audience, "authority", "supplier", "public"); err != nil {
				return err
			}
			if s.out == "" {
				s.out = args[0] + ".caospkg"
			}
			s.path = packagePath(args[0]) + "/export"
			cl, err := e.connect()
			if err != nil {
				return err
			}
			if s.out == "-" {
				_, err := cl.Download(c.Context(), s.path, query("for", s.audience), e.out)
				return err
			}
			return e.save(c.Context(), cl, s)
		},
	}
	f := c.Flags()
	f.StringVar(&s.audience, "for", "authority", "who it is for: authority, supplier or public; items that are not for them stay out")
	f.StringVar(&s.out, "out", "", "file to write; PACKAGE.caospkg if left out, - for standard output")
	f.BoolVar(&s.force, "force", false, "write over a file that exists")
	return c
}
