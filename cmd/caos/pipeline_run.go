package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"caos/internal/client"
	"caos/internal/dataset"
	"caos/internal/engine"
	"caos/internal/httpapi"
)

const (
	pipelineHook = "CAOS.PROD.DATA.PIPELINE"
	validateHook = "CAOS.PROD.DATA.VALIDATE"
)

// pipelineInput is the input of CAOS.PROD.DATA.PIPELINE.
type pipelineInput struct {
	PipelineID string   `json:"pipeline_id"`
	Version    string   `json:"pipeline_version"`
	Mode       string   `json:"execution_mode"`
	Sources    []string `json:"data_sources"`
	Targets    []string `json:"target_datasets"`
}

// pipelineOutput is what it returns.
type pipelineOutput struct {
	Status  *string  `json:"status"`
	Records *int64   `json:"records_processed"`
	Score   *float64 `json:"data_quality_score"`
	Seconds *float64 `json:"execution_time_seconds"`
	Outputs []string `json:"output_datasets"`
	Issues  []string `json:"issues"`
}

// runOptions are what one run is to do.
type runOptions struct {
	sources, targets []string
	version          string
	interval         string
	key              string
	dry, detach      bool
}

func (o *runOptions) bind(c *cobra.Command) {
	f := c.Flags()
	f.StringSliceVar(&o.sources, "source", nil, "only this source; may be repeated")
	f.StringSliceVar(&o.targets, "target", nil, "only this target; may be repeated")
	f.StringVar(&o.version, "pipeline-version", "", "of the pipeline; the latest if left out")
}

func pipelineRun(e *environment) *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use: "run PIPELINE", Short: "Run a pipeline and show how far it is", Args: wants("PIPELINE"),
		Long: "Runs a pipeline and follows it: its seven actions as they end, rows and bytes of the one under way, then the verdict, the score, issues and what was published. " +
			"The exit code is 1 if the run is FAILED; a PARTIAL run published what it could, and exits with 0. Ctrl-C leaves the run going, or cancels it if you say so.",
		Example: "  caos pipeline run DP-DLY-001\n  caos pipeline run DP-DLY-001 --interval 2001-01-01/2001-02-01\n  caos pipeline run DP-DLY-001 --target train --dry-run",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			id, version, _ := strings.Cut(args[0], "@")
			if o.version == "" {
				o.version = version
			}
			p, err := readPipelineOf(c.Context(), cl, id, o.version)
			if err != nil {
				return err
			}
			_, err = e.runPipeline(c.Context(), cl, p, o)
			return err
		},
	}
	o.bind(c)
	f := c.Flags()
	f.StringVar(&o.interval, "interval", "", "that the run is about, START/END, such as 2001-01-01/2001-02-01")
	f.StringVar(&o.key, "idempotency-key", "", "gives the same run when it is sent again")
	f.BoolVar(&o.dry, "dry-run", false, "explain every gate and change nothing")
	f.BoolVar(&o.detach, "detach", false, "do not wait for the end")
	c.MarkFlagsMutuallyExclusive("dry-run", "detach")
	return c
}

func readPipelineOf(ctx context.Context, cl *client.Client, id, version string) (*dataset.Pipeline, error) {
	var p dataset.Pipeline
	return &p, cl.Get(ctx, pipelinePath(id), query("version", version), &p)
}

// inputOf is the hook's input for a run.
func (o runOptions) inputOf(p *dataset.Pipeline) pipelineInput {
	in := pipelineInput{PipelineID: p.PipelineID, Version: p.PipelineVersion, Mode: dataset.ModeOnDemand, Sources: []string{}, Targets: []string{}}
	in.Sources = append(in.Sources, o.sources...)
	in.Targets = append(in.Targets, o.targets...)
	if o.interval == "" {
		return in
	}
	if len(in.Sources) == 0 { // the interval is said of a source, and naming one leaves out the others
		for _, s := range p.Sources {
			in.Sources = append(in.Sources, s.Name)
		}
	}
	in.Sources[0] += "@" + o.interval
	return in
}

// runPipeline submits a run and, unless it is not wanted, follows it to its end.
func (e *environment) runPipeline(ctx context.Context, cl *client.Client, p *dataset.Pipeline, o runOptions) (*engine.Execution, error) {
	body, err := json.Marshal(o.inputOf(p))
	if err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	a, err := submit(ctx, cl, submission{hook: pipelineHook, body: body, key: o.key, dry: o.dry})
	if err != nil {
		return nil, err
	}
	if o.dry {
		return nil, e.explained(a)
	}
	x, err := execution(a.Body)
	if err != nil {
		return nil, err
	}
	if o.detach {
		return x, e.give(a.Body, func() {
			e.pairs(pair{"execution", x.ID}, pair{"status", string(x.Status)})
			e.line("%s", e.paint.dim("follow it with: caos execution watch "+x.ID))
		})
	}
	return e.followRun(ctx, cl, x, e.ranPipeline)
}

// followRun shows an execution's actions as they end and how far the one under way is, then
// what came of it, which ran writes.
func (e *environment) followRun(ctx context.Context, cl *client.Client, x *engine.Execution, ran func(*engine.Execution)) (*engine.Execution, error) {
	shown := map[string]bool{}
	bar := &runBar{e: e, began: e.now()}
	defer bar.clear()
	var last []byte
	final, err := watch(ctx, cl, watching{id: x.ID, progress: bar.show, state: func(body []byte, x *engine.Execution) {
		last = body
		bar.clear()
		if e.machine() {
			return
		}
		if len(shown) == 0 {
			e.line("%s", e.paint.bold(x.ID))
			shown[""] = true
		}
		for _, s := range x.Steps {
			key := fmt.Sprintf("%s/%s/%d/%d/%s", s.Step, s.Item, s.Round, s.Attempt, s.Status)
			if !shown[key] && s.Status != engine.StepIntent {
				shown[key] = true
				e.step(s)
			}
		}
		bar.under(x)
	}})
	bar.clear()
	if ctx.Err() != nil {
		return nil, e.leave(cl, x.ID)
	}
	if err != nil {
		return nil, err
	}
	if e.machine() {
		return final, e.ended(last, final)
	}
	e.line("")
	ran(final)
	return final, outcome(final)
}

// leave is what happens on Ctrl-C: the run goes on without us, unless the person says that it
// must not.
func (e *environment) leave(cl *client.Client, id string) error {
	goesOn := func() error {
		fmt.Fprintf(e.err, "%s goes on; follow it with: caos execution watch %s\n", id, id)
		return &ended{exitFailed}
	}
	in, ok := e.in.(*os.File)
	if !ok || !e.errTerminal || !term.IsTerminal(int(in.Fd())) {
		return goesOn()
	}
	fmt.Fprintf(e.err, "\n%s ", e.errPaint.accent("Cancel the run, too? [y/N]"))
	answer, _ := bufio.NewReader(in).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return goesOn()
	}
	ctx, cancel := context.WithTimeout(context.Background(), cancelTime)
	defer cancel()
	if _, err := cl.Do(ctx, posting(executionPath(id)+"/cancel", map[string]string{"reason": "stopped by whoever started it"})); err != nil {
		return err
	}
	fmt.Fprintf(e.err, "%s is being cancelled; what it had staged is taken back\n", id)
	return &ended{exitFailed}
}

// cancelTime is how long the server may take to say that it cancels.
const cancelTime = 15 * time.Second

// ranPipeline writes the verdict of a run.
func (e *environment) ranPipeline(x *engine.Execution) {
	var out pipelineOutput
	_ = json.Unmarshal(x.Output, &out) // what is not there is not shown
	status := string(x.Status)
	if out.Status != nil {
		status = *out.Status
	}
	facts := []string{e.paint.bold(e.paint.word(status))}
	if out.Records != nil {
		facts = append(facts, grouped(*out.Records)+" rows read")
	}
	facts = append(facts, "score "+scoreOf(out.Score))
	if out.Seconds != nil {
		facts = append(facts, "in "+secondsOf(*out.Seconds))
	}
	e.line("%s", strings.Join(facts, "  "))
	for _, uri := range out.Outputs {
		e.line("%s  %s", e.paint.dim("published"), clean(uri))
	}
	if uri := e.reportAt(x); uri != "" {
		e.line("%s     %s", e.paint.dim("report"), clean(uri))
	}
	for _, issue := range out.Issues {
		e.flow(e.paint.warn("issue")+"      ", "           ", clean(issue), asIs)
	}
	if x.Error != nil {
		e.hanging(e.paint.bad("error")+"      ", "           ", errorText(x.Error))
		if x.Error.Hint != "" {
			e.hanging(e.paint.accent("hint:")+"      ", "           ", x.Error.Hint)
		}
	}
	e.findings(x.Findings)
}

// reportAt is the address of a run's report, "" if there is none. The run is over: that its
// report cannot be found does not change what came of it.
func (e *environment) reportAt(x *engine.Execution) string {
	var in pipelineInput
	if json.Unmarshal(x.Input, &in) != nil || in.PipelineID == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), cancelTime)
	defer cancel()
	r, _, err := ask[httpapi.RunView](ctx, e, getting(pipelinePath(in.PipelineID)+"/runs/"+escape(x.ID), nil))
	if err != nil {
		return ""
	}
	return r.Report
}

// runBar is the last line of a terminal while a run goes on: which step, how far, how long.
type runBar struct {
	e     *environment
	began time.Time
	drawn time.Time
	shown bool
}

// barPause is how often the line is drawn anew at most.
const barPause = 100 * time.Millisecond

func (b *runBar) visible() bool { return b.e.errTerminal && !b.e.machine() }

// under shows which step is under way before it says how far it is.
func (b *runBar) under(x *engine.Execution) {
	b.drawn = time.Time{}
	for _, s := range x.Steps {
		if s.Status == engine.StepIntent {
			b.show(engine.Progress{Step: s.Step, Item: s.Item})
			return
		}
	}
	if x.Status == engine.Queued || x.Status == engine.Waiting {
		b.show(engine.Progress{Message: strings.ToLower(string(x.Status))})
	}
}

func (b *runBar) show(p engine.Progress) {
	now := b.e.now()
	if !b.visible() || now.Sub(b.drawn) < barPause {
		return
	}
	b.drawn, b.shown = now, true
	width := b.e.width
	if width == 0 {
		width = helpUsual
	}
	fmt.Fprint(b.e.err, "\r\x1b[2K"+b.e.errPaint.dim(cut(progressLine(p, now.Sub(b.began), width), width-1)))
}

func (b *runBar) clear() {
	if b.shown {
		fmt.Fprint(b.e.err, "\r\x1b[2K")
		b.shown = false
	}
}

// progressLine writes how far a step is, on one line.
func progressLine(p engine.Progress, took time.Duration, width int) string {
	what := clean(p.Message)
	if what == "" {
		what = strings.TrimSpace(clean(p.Step) + " " + clean(p.Item))
	}
	var parts []string
	if p.Percent > 0 {
		const cells = 16
		full := min(cells, int(p.Percent/100*cells+0.5))
		parts = append(parts, "▕"+strings.Repeat("█", full)+strings.Repeat("░", cells-full)+"▏"+fmt.Sprintf("%3.0f %%", min(p.Percent, 100)))
	}
	switch {
	case p.Unit == "bytes" && p.Total > 0:
		parts = append(parts, bytesOf(p.Done)+" of "+bytesOf(p.Total))
	case p.Unit == "bytes" && p.Done > 0:
		parts = append(parts, bytesOf(p.Done))
	case p.Total > 0:
		parts = append(parts, grouped(p.Done)+" of "+strings.TrimSpace(grouped(p.Total)+" "+p.Unit))
	case p.Done > 0:
		parts = append(parts, strings.TrimSpace(grouped(p.Done)+" "+p.Unit))
	}
	parts = append(parts, fmt.Sprintf("%d:%02d", int(took.Minutes()), int(took.Seconds())%60))
	rest := strings.Join(parts, "  ")
	room := width - lipgloss.Width(rest) - 5
	if room < 8 {
		return "  " + rest
	}
	return "  " + padded(cut(what, room), min(room, 32)) + "  " + rest
}
