package main

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
	"caos/internal/dataset"
	"caos/internal/trigger"
)

func newPipeline(e *environment) *cobra.Command {
	named := completed(e.ids("/v1/pipelines", "pipeline_id", "title"), pipelineShow(e), pipelineVersions(e), pipelineRun(e), pipelineBackfill(e), pipelineHistory(e), pipelineEnable(e), pipelineRetire(e))
	named = append(named, completed(e.pipelineRuns, pipelineReport(e))...)
	return parent("pipeline", "Build data pipelines, run them, see how they did",
		append([]*cobra.Command{pipelineInit(e), pipelineLint(e), pipelineApply(e), pipelineList(e)}, named...)...)
}

func pipelinePath(id string) string { return "/v1/pipelines/" + escape(id) }

// writeText writes a text to a file, or to standard output for "-".
func (e *environment) writeText(out string, force bool, text []byte) error {
	if out == "-" {
		_, err := e.out.Write(text)
		return err
	}
	return writeWhole(out, force, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

func pipelineList(e *environment) *cobra.Command {
	l := listed[dataset.Pipeline]{path: "/v1/pipelines", head: []string{"pipeline", "version", "state", "schedule", "project", "owner", "registered", "title"}, drop: []string{"registered", "project", "owner", "schedule"},
		row: func(p dataset.Pipeline) []string {
			return []string{p.PipelineID, p.PipelineVersion, inUse(&p), orDash(scheduleOf(&p)), orDash(p.Project), p.Owner, moment(p.RegisteredAt), p.Title}
		}}
	var owner, project string
	var retired bool
	c := &cobra.Command{
		Use: "list", Short: "List pipelines, latest registered first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			state := "false"
			if retired {
				state = "true"
			}
			l.query = query("owner", owner, "project", project, "retired", state)
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	f := c.Flags()
	f.StringVar(&owner, "owner", "", "of this account")
	f.StringVar(&project, "project", "", "of this project")
	f.BoolVar(&retired, "retired", false, "those that are out of use instead")
	return c
}

func inUse(p *dataset.Pipeline) string {
	if p.RetiredAt != nil {
		return "retired"
	}
	return "active"
}

func scheduleOf(p *dataset.Pipeline) string {
	if p.Schedule == nil {
		return ""
	}
	return strings.TrimSpace(p.Schedule.Cron + " " + p.Schedule.Zone)
}

func pipelineShow(e *environment) *cobra.Command {
	var text bool
	c := &cobra.Command{
		Use: "show PIPELINE", Short: "Show a pipeline: how data flows through it, and what it asks for", Args: wants("PIPELINE"),
		Long:    "Shows a version of a pipeline, the latest one or PIPELINE@VERSION: ○ is a source, ● a transform, ◆ a target; a line leads from what is read to who reads it.",
		Example: "  caos pipeline show DP-DLY-001\n  caos pipeline show DP-DLY-001@1.0 --definition > pipeline.yaml",
		RunE: func(c *cobra.Command, args []string) error {
			id, version, _ := strings.Cut(args[0], "@")
			if text {
				cl, err := e.connect()
				if err != nil {
					return err
				}
				_, err = cl.Download(c.Context(), pipelinePath(id)+"/definition", query("version", version), e.out)
				return err
			}
			p, body, err := ask[dataset.Pipeline](c.Context(), e, getting(pipelinePath(id), query("version", version)))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.pipeline(p) })
		},
	}
	c.Flags().BoolVar(&text, "definition", false, "the definition as it was written")
	return c
}

func (e *environment) pipeline(p *dataset.Pipeline) {
	retired := ""
	if p.RetiredAt != nil {
		retired = byWhom(when(p.RetiredAt), p.RetiredBy) + ": " + p.RetiredReason
	}
	latest := ""
	if !p.Latest {
		latest = " (not the latest)"
	}
	e.line("%s  %s", e.paint.bold(clean(p.PipelineID+" "+p.PipelineVersion)+latest), clean(p.Title))
	if p.Description != "" {
		e.prose("%s", p.Description)
	}
	e.line("")
	e.flowPicture(&p.Definition)
	e.line("")
	var events []string
	for _, s := range p.Events {
		events = append(events, s.Type)
	}
	about := map[string]string{dataset.IntervalSchedule: "the time between two runs", dataset.IntervalDay: "the day before", dataset.IntervalMonth: "the month before"}[p.Interval]
	e.pairs(pair{"schedule", scheduleOf(p)}, pair{"on events", strings.Join(events, ", ")}, pair{"is about", about}, pair{"compute", computeOf(p.Compute)},
		pair{"project", p.Project}, pair{"classification", p.Classification}, pair{"owner", p.Owner}, pair{"registered", byWhom(moment(p.RegisteredAt), p.RegisteredBy)}, pair{"retired", retired})
	e.pairs(pair{"digest", p.Digest})
}

func computeOf(c dataset.Compute) string {
	var parts []string
	if c.Memory != "" {
		parts = append(parts, c.Memory+" of memory")
	}
	if c.Threads > 0 {
		parts = append(parts, plural(c.Threads, "thread", "threads"))
	}
	if c.Scratch != "" {
		parts = append(parts, c.Scratch+" of disk")
	}
	if c.Timeout != "" {
		parts = append(parts, "at most "+c.Timeout)
	}
	return strings.Join(parts, ", ")
}

func pipelineVersions(e *environment) *cobra.Command {
	l := listed[dataset.Pipeline]{head: []string{"version", "registered", "by", "digest", "title"}, drop: []string{"digest"}, row: func(p dataset.Pipeline) []string {
		return []string{p.PipelineVersion, moment(p.RegisteredAt), p.RegisteredBy, short(p.Digest), p.Title}
	}}
	c := &cobra.Command{
		Use: "versions PIPELINE", Short: "List the versions of a pipeline, the highest first", Args: wants("PIPELINE"),
		RunE: func(c *cobra.Command, args []string) error {
			l.path = pipelinePath(args[0]) + "/versions"
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	return c
}

func pipelineHistory(e *environment) *cobra.Command {
	var p paging
	var status, mode, version string
	c := &cobra.Command{
		Use: "history PIPELINE", Short: "List the runs of a pipeline, latest first, with how good their data was", Args: wants("PIPELINE"),
		Example: "  caos pipeline history DP-DLY-001\n  caos pipeline history DP-DLY-001 --status FAILED",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			q := query("status", strings.ToUpper(status), "execution_mode", strings.ToUpper(mode), "version", version)
			runs, body, err := list[dataset.Run](c.Context(), cl, pipelinePath(args[0])+"/runs", q, p)
			if err != nil {
				return err
			}
			return e.give(body, func() { e.runs(runs) })
		},
	}
	p.bind(c)
	f := c.Flags()
	f.StringVar(&status, "status", "", "that are RUNNING, SUCCESS, PARTIAL, FAILED or CANCELLED")
	f.StringVar(&mode, "mode", "", "that are SCHEDULED, ON_DEMAND or EVENT_DRIVEN")
	f.StringVar(&version, "pipeline-version", "", "of this version")
	words(c, "status", runStatuses())
	words(c, "mode", []string{dataset.ModeScheduled, dataset.ModeOnDemand, dataset.ModeEventDriven})
	return c
}

func runStatuses() []string {
	return []string{dataset.RunRunning, dataset.RunSuccess, dataset.RunPartial, dataset.RunFailed, dataset.RunCancelled}
}

// runs writes a history: a table, and the scores as a line of bars, the oldest at the left.
func (e *environment) runs(list []dataset.Run) {
	rows := make([][]string, 0, len(list))
	var scores []*float64
	for _, r := range list {
		rows = append(rows, []string{r.ExecutionID, r.Status, r.Version, r.Mode, orDash(r.Interval), grouped(r.Records), scoreOf(r.Score), secondsOf(r.Seconds), moment(r.StartedAt), firstOf(r.Issues)})
		scores = append(scores, r.Score)
	}
	e.fitted([]string{"execution", "status", "version", "mode", "about", "rows", "score", "took", "started", "issues"}, rows, "mode", "started", "version", "took", "about")
	slices.Reverse(scores)
	if line := sparkline(scores); line != "" {
		e.line("")
		low, high := extent(scores)
		e.line("%s %s  %s", e.paint.dim("score"), e.paint.accent(line), e.paint.dim(fmt.Sprintf("%s to %s, the latest at the right", scoreOf(&low), scoreOf(&high))))
	}
}

func firstOf(issues []string) string {
	if len(issues) == 0 {
		return ""
	}
	if len(issues) > 1 {
		return fmt.Sprintf("%s (+%d)", issues[0], len(issues)-1)
	}
	return issues[0]
}

// scoreOf writes a score from 0 to 1; - for none.
func scoreOf(s *float64) string {
	if s == nil {
		return "-"
	}
	text := strconv.FormatFloat(*s, 'f', 4, 64)
	if *s < 1 && text == "1.0000" {
		return "0.9999" // what is not everything is not shown as everything
	}
	return text
}

func secondsOf(s float64) string {
	switch {
	case s <= 0:
		return "-"
	case s < 100:
		return strconv.FormatFloat(s, 'f', 1, 64) + " s"
	}
	n := int64(math.Round(s))
	if n < 3600 {
		return fmt.Sprintf("%d:%02d", n/60, n%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", n/3600, n/60%60, n%60)
}

// grouped writes a count in groups of three digits.
func grouped(n int64) string { return caos.GroupDigits(strconv.FormatInt(n, 10)) }

// sparkline draws scores as bars between the lowest and the highest, "" for fewer than two; a
// dot is a run without one.
func sparkline(scores []*float64) string {
	low, high := extent(scores)
	n := 0
	var b strings.Builder
	for _, s := range scores {
		if s == nil {
			b.WriteRune('·')
			continue
		}
		n++
		bars := []rune("▁▂▃▄▅▆▇█")
		at := len(bars) - 1
		if high > low {
			at = int(math.Round((*s - low) / (high - low) * float64(len(bars)-1)))
		}
		b.WriteRune(bars[at])
	}
	if n < 2 {
		return ""
	}
	return b.String()
}

func extent(scores []*float64) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, s := range scores {
		if s != nil {
			low, high = min(low, *s), max(high, *s)
		}
	}
	return low, high
}

// pipelineRuns completes the first argument with executions of pipelines.
func (e *environment) pipelineRuns(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return e.listIDs(c.Context(), "/v1/executions", query("hook_id", pipelineHook), "execution_id", "status"), cobra.ShellCompDirectiveNoFileComp
}

// pipelineOfRun is the pipeline in the id of a run: EXEC-DP-DLY-001-20261122T101500.123456Z.
func pipelineOfRun(id string) (string, error) {
	at := strings.LastIndexByte(id, '-')
	if of, ok := strings.CutPrefix(id[:max(0, at)], "EXEC-"); ok && caos.CheckID("pipeline", "execution", of) == nil {
		return of, nil
	}
	return "", usage("%q is not a run of a pipeline", id).WithField("execution").WithHint("its id begins with EXEC-DP-; caos pipeline history PIPELINE lists them")
}

func pipelineReport(e *environment) *cobra.Command {
	var out, format string
	var force bool
	c := &cobra.Command{
		Use: "report EXECUTION --out FILE", Short: "Download the execution report of a run", Args: wants("EXECUTION"),
		Long:    "Downloads the report of a run: how the data went through the pipeline, with a picture, every check before publication, files and digests, and what it took. A run that failed has one, too.",
		Example: "  caos pipeline report EXEC-DP-DLY-001-20261122T101500.123456Z --out run.html",
		RunE: func(c *cobra.Command, args []string) error {
			if err := oneOf("format", format, "html", "json"); err != nil {
				return err
			}
			of, err := pipelineOfRun(args[0])
			if err != nil {
				return err
			}
			cl, err := e.connect()
			if err != nil {
				return err
			}
			path := pipelinePath(of) + "/runs/" + escape(args[0]) + "/report"
			if out == "-" {
				_, err := cl.Download(c.Context(), path, query("format", format), e.out)
				return err
			}
			return e.save(c.Context(), cl, saving{path: path, query: query("format", format), out: out, force: force})
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

func pipelineRetire(e *environment) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "retire PIPELINE --reason TEXT", Short: "Take a pipeline out of use", Args: wants("PIPELINE"),
		Long: "Takes a pipeline out of use: no run of it begins any more. What it published stays, and so does its history.",
		RunE: func(c *cobra.Command, args []string) error {
			p, body, err := ask[dataset.Pipeline](c.Context(), e, posting(pipelinePath(args[0])+"/retire", map[string]string{"reason": reason}))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.line("%s is retired", p.PipelineID) })
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why")
	_ = c.MarkFlagRequired("reason")
	return c
}

func pipelineEnable(e *environment) *cobra.Command {
	var as string
	c := &cobra.Command{
		Use: "enable PIPELINE --as SERVICE", Short: "Let a pipeline run by its schedule and on its events", Args: wants("PIPELINE"),
		Long: "Switches on the triggers that a pipeline's schedule and events became. From then on they submit as the service account, and you answer for it. " +
			"It needs a second factor for each. caos trigger disable NAME switches one off again.",
		Example: "  caos pipeline enable DP-DLY-001 --as automation",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			all, _, err := list[trigger.Trigger](c.Context(), cl, "/v1/triggers", nil, paging{all: true})
			if err != nil {
				return err
			}
			of := strings.ToLower(args[0])
			all = slices.DeleteFunc(all, func(t trigger.Trigger) bool {
				return t.Name != of+"-schedule" && !strings.HasPrefix(t.Name, of+"-on-")
			})
			if len(all) == 0 {
				if _, err := cl.Do(c.Context(), client.Call{Method: http.MethodGet, Path: "/v1/pipelines/" + escape(args[0])}); err != nil {
					return err
				}
				return caos.Errorf(caos.NotFound, "%s has no trigger: neither schedule nor events", args[0]).WithField("pipeline_id").
					WithHint("give its definition a schedule or events, and apply that as a new version")
			}
			for i := range all {
				a, err := cl.Do(c.Context(), enabling(&all[i], as))
				if err != nil {
					return err
				}
				if err := a.Decode(&all[i]); err != nil {
					return err
				}
			}
			return e.giveValue(map[string]any{"items": all}, func() {
				for _, t := range all {
					e.line("%s  %s as %s  %s", padded(t.Name, 28), e.paint.good("enabled"), t.RunsAs, causeOf(t))
				}
			})
		},
	}
	c.Flags().StringVar(&as, "as", "", "the service account that submits")
	_ = c.MarkFlagRequired("as")
	_ = c.RegisterFlagCompletionFunc("as", e.flagIDs("/v1/users", "id", "name"))
	return c
}
