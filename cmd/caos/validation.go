package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"caos/internal/dataset"
	"caos/internal/httpapi"
)

func newValidation(e *environment) *cobra.Command {
	ids := e.ids("/v1/validations", "validation_id", "dataset_id")
	return parent("validation", "See what validations found", append(append([]*cobra.Command{validationList(e)},
		completed(ids, validationShow(e), validationReport(e))...), completed(e.ids("/v1/datasets", "dataset_id", "uri"), validationTrend(e))...)...)
}

func validationPath(id string) string { return "/v1/validations/" + escape(id) }

func validationList(e *environment) *cobra.Command {
	l := listed[dataset.Validation]{path: "/v1/validations", head: []string{"validation", "verdict", "score", "failed", "anomalies", "dataset", "contract", "at"}, drop: []string{"at", "anomalies", "contract"},
		row: func(v dataset.Validation) []string {
			return []string{v.ValidationID, v.Status, scoreOf(v.Score), fmt.Sprintf("%d of %d", v.Failed, v.Performed), grouped(v.Anomalies),
				v.DatasetID + "@" + strconv.FormatInt(v.N, 10), v.ContractID + "@" + v.ContractVersion, moment(v.ValidatedAt)}
		}}
	var of, contractID, pipeline, execution, status, project string
	c := &cobra.Command{
		Use: "list", Short: "List validations, latest first", Args: noArgs, Example: "  caos validation list --dataset DP-DLY-001.train --status FAIL",
		RunE: func(c *cobra.Command, _ []string) error {
			id, n, err := datasetAt(of)
			if err != nil {
				return err
			}
			l.query = query("dataset_id", id, "contract_id", contractID, "pipeline_id", pipeline, "execution_id", execution, "overall_status", strings.ToUpper(status), "project", project)
			if n > 0 {
				l.query.Set("dataset_version", strconv.FormatInt(n, 10))
			}
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	f := c.Flags()
	f.StringVar(&of, "dataset", "", "of this dataset, or of a version of it: DATASET@VERSION")
	f.StringVar(&contractID, "contract", "", "by this contract")
	f.StringVar(&pipeline, "pipeline", "", "of what this pipeline published")
	f.StringVar(&execution, "execution", "", "by this execution, or of what it published")
	f.StringVar(&status, "status", "", "that are "+strings.Join(dataset.ValidationStatuses(), ", "))
	f.StringVar(&project, "project", "", "of this project")
	words(c, "status", dataset.ValidationStatuses())
	return c
}

func validationShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "show VALIDATION", Short: "Show a validation: verdict, scores, every check, what changed", Args: wants("VALIDATION"),
		RunE: func(c *cobra.Command, args []string) error {
			v, body, err := ask[httpapi.ValidationView](c.Context(), e, getting(validationPath(args[0]), nil))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.validation(v, true) })
		},
	}
}

// validation writes a validation: all of its checks, or those alone that failed.
func (e *environment) validation(v *httpapi.ValidationView, all bool) {
	e.line("%s  score %s  %s failed  %s", e.paint.bold(e.paint.word(v.Status)), scoreOf(v.Score), ratio(v.Failed, v.Performed), plural(int(v.Anomalies), "anomaly", "anomalies"))
	e.pairs(pair{"validation", v.ValidationID}, pair{"dataset", v.DatasetID + "@" + strconv.FormatInt(v.N, 10) + ", " + grouped(v.Rows) + " rows"},
		pair{"contract", v.ContractID + "@" + v.ContractVersion}, pair{"at", moment(v.ValidatedAt) + ", took " + secondsOf(v.Seconds)}, pair{"alert", v.AlertID}, pair{"report", v.Report})
	if len(v.Dimensions) > 0 {
		e.line("")
		for _, name := range slices.Sorted(maps.Keys(v.Dimensions)) {
			score := v.Dimensions[name]
			bar := strings.Repeat("·", scoreCells)
			if score != nil {
				full := int(*score * scoreCells)
				bar = strings.Repeat("█", full) + strings.Repeat("░", scoreCells-full)
			}
			e.line("  %-14s %s %s", clean(name), e.paint.accent(bar), scoreOf(score))
		}
	}
	e.checkResults(v, all)
	for _, f := range v.Findings {
		e.hanging(e.paint.warn("finding")+"  ", "         ", f.Rule+": "+f.Message)
	}
	e.changes(v.Changes)
}

// scoreCells is how wide the bar of a score is.
const scoreCells = 24

func (e *environment) checkResults(v *httpapi.ValidationView, all bool) {
	rows := [][]string{}
	for _, k := range v.Checks {
		if k.Passed && !all {
			continue
		}
		word := "passed"
		switch {
		case k.CannotRun:
			word = "cannot run"
		case !k.Passed:
			word = "failed"
		}
		what := k.Message
		if what == "" {
			what = firstText(k.Name, k.Description)
		}
		rows = append(rows, []string{word, k.Severity, k.ID, orDash(k.Column), orDash(k.Value), orDash(k.Expected), what})
	}
	if len(rows) == 0 {
		return
	}
	e.line("")
	e.fitted([]string{"check", "severity", "id", "column", "measured", "expected", "message"}, rows, "severity", "column")
}

// changes writes what differs from the validation before.
func (e *environment) changes(c *dataset.ValidationChanges) {
	if c == nil {
		return
	}
	parts := []string{"it was " + c.Status}
	if c.Score != nil && *c.Score != 0 {
		parts = append(parts, fmt.Sprintf("score %+.4f", *c.Score))
	}
	if c.Rows != 0 {
		parts = append(parts, fmt.Sprintf("%+d rows", c.Rows))
	}
	for _, x := range []struct {
		word string
		list []string
	}{{"fails now: ", c.FailingNow}, {"passes now: ", c.PassingNow}, {"new: ", c.Added}, {"gone: ", c.Dropped}} {
		if len(x.list) > 0 {
			parts = append(parts, x.word+strings.Join(x.list, ", "))
		}
	}
	if !c.Dataset && !c.Contract {
		parts = append(parts, "neither data nor contract changed")
	}
	e.line("")
	e.hanging(e.paint.dim("before")+"  ", "        ", c.Previous+": "+strings.Join(parts, "; "))
}

func validationReport(e *environment) *cobra.Command {
	var out, format string
	var force bool
	c := &cobra.Command{
		Use: "report VALIDATION --out FILE", Short: "Download the report of a validation", Args: wants("VALIDATION"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := oneOf("format", format, "html", "json"); err != nil {
				return err
			}
			cl, err := e.connect()
			if err != nil {
				return err
			}
			if out == "-" {
				_, err := cl.Download(c.Context(), validationPath(args[0])+"/report", query("format", format), e.out)
				return err
			}
			return e.save(c.Context(), cl, saving{path: validationPath(args[0]) + "/report", query: query("format", format), out: out, force: force})
		},
	}
	f := c.Flags()
	f.StringVar(&out, "out", "", "file to write, - for standard output")
	f.StringVar(&format, "format", "html", "html or json")
	f.BoolVar(&force, "force", false, "write over a file that exists")
	_ = c.MarkFlagRequired("out")
	words(c, "format", []string{"html", "json"})
	return c
}

func validationTrend(e *environment) *cobra.Command {
	var contractID string
	var limit int
	c := &cobra.Command{
		Use: "trend DATASET", Short: "Show how good a dataset was over time", Args: wants("DATASET"),
		Example: "  caos validation trend DP-DLY-001.train",
		RunE: func(c *cobra.Command, args []string) error {
			if limit < 1 || limit > 400 {
				return usage("it is 1 to 400").WithField("limit")
			}
			x, body, err := ask[httpapi.TrendView](c.Context(), e, getting(datasetPath(args[0])+"/trend", query("contract_id", contractID, "limit", strconv.Itoa(limit))))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.trend(x) })
		},
	}
	f := c.Flags()
	f.StringVar(&contractID, "contract", "", "by this contract alone")
	f.IntVar(&limit, "limit", 60, "validations at most, the latest")
	return c
}

func (e *environment) trend(x *httpapi.TrendView) {
	rows := make([][]string, 0, len(x.Points))
	var scores []*float64
	for _, p := range x.Points {
		scores = append(scores, p.Score)
		rows = append(rows, []string{moment(p.At), p.Status, scoreOf(p.Score), strconv.Itoa(p.Failed), grouped(p.Anomalies), grouped(p.Rows), strconv.FormatInt(p.N, 10), p.ContractVersion, p.ValidationID})
	}
	if line := sparkline(scores); line != "" {
		low, high := extent(scores)
		e.line("%s  %s %s  %s", e.paint.bold(clean(x.DatasetID)), e.paint.dim("score"), e.paint.accent(line), e.paint.dim(scoreOf(&low)+" to "+scoreOf(&high)))
		e.line("")
	}
	e.fitted([]string{"at", "verdict", "score", "failed", "anomalies", "rows", "version", "contract", "validation"}, rows, "contract", "version", "anomalies")
}
