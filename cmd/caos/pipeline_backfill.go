package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"caos/internal/client"
	"caos/internal/dataset"
	"caos/internal/engine"
)

// maxIntervals is the most that one backfill runs.
const maxIntervals = 2000

func pipelineBackfill(e *environment) *cobra.Command {
	var from, to, every string
	var again, keepGoing bool
	var o runOptions
	c := &cobra.Command{
		Use: "backfill PIPELINE --from DAY --to DAY --every month", Short: "Run a pipeline for past intervals, one after another", Args: wants("PIPELINE"),
		Long: "Runs a pipeline once for each interval between two days, the last day not included, in order and one at a time. Intervals that a run of this version has done (SUCCESS or PARTIAL) " +
			"are passed over, and one that is being run is waited for: give the same command again to go on where it stopped. It stops at the first that is FAILED, with exit code 1.",
		Example: "  caos pipeline backfill DP-DLY-001 --from 2001-01-01 --to 2002-01-01 --every month",
		RunE: func(c *cobra.Command, args []string) error {
			spans, err := intervals(from, to, every)
			if err != nil {
				return err
			}
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
			b := backfill{e: e, cl: cl, pipeline: p, options: o, again: again, keepGoing: keepGoing, done: map[string]*dataset.Run{}, busy: map[string]string{}}
			return b.run(c.Context(), spans)
		},
	}
	o.bind(c)
	f := c.Flags()
	f.StringVar(&from, "from", "", "first day, such as 2001-01-01")
	f.StringVar(&to, "to", "", "day after the last one")
	f.StringVar(&every, "every", "month", "length of an interval: day, week, month or year")
	f.BoolVar(&again, "again", false, "also run those that are done")
	f.BoolVar(&keepGoing, "keep-going", false, "go on after one that is FAILED")
	_ = c.MarkFlagRequired("from")
	_ = c.MarkFlagRequired("to")
	words(c, "every", []string{"day", "week", "month", "year"})
	return c
}

// intervals cuts the time between two days into pieces, each as the hook reads it. The last
// one ends where it is told to, even in the middle.
func intervals(from, to, every string) ([]string, error) {
	if err := checkDay("from", from); err != nil {
		return nil, err
	}
	if err := checkDay("to", to); err != nil {
		return nil, err
	}
	if err := oneOf("every", every, "day", "week", "month", "year"); err != nil {
		return nil, err
	}
	at, _ := time.Parse(time.DateOnly, from) // checked above
	end, _ := time.Parse(time.DateOnly, to)
	if !at.Before(end) {
		return nil, usage("%s is not before %s", from, to).WithField("from")
	}
	var out []string
	for n := 1; at.Before(end); n++ {
		if n > maxIntervals {
			return nil, usage("these are more than %d intervals", maxIntervals).WithField("every").WithHint("take longer ones, or do it in parts")
		}
		next := at
		switch every {
		case "day":
			next = at.AddDate(0, 0, 1)
		case "week":
			next = at.AddDate(0, 0, 7)
		case "month":
			next = time.Date(at.Year(), at.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		case "year":
			next = time.Date(at.Year()+1, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		if next.After(end) {
			next = end
		}
		out = append(out, at.Format(time.DateOnly)+"/"+next.Format(time.DateOnly))
		at = next
	}
	return out, nil
}

// backfill is a backfill under way.
type backfill struct {
	e                *environment
	cl               *client.Client
	pipeline         *dataset.Pipeline
	options          runOptions
	again, keepGoing bool
	done             map[string]*dataset.Run // by interval
	busy             map[string]string       // interval → execution that is at it
	results          []filledIn
	failed           int
}

// filledIn is what became of one interval, for programs.
type filledIn struct {
	Interval    string   `json:"interval"`
	ExecutionID string   `json:"execution_id"`
	Outcome     string   `json:"outcome"` // SKIPPED if it was done before, else the run's status
	Records     int64    `json:"records_processed"`
	Score       *float64 `json:"data_quality_score"`
	Issues      []string `json:"issues"`
}

// known reads which intervals are done, or being done, by this version of the pipeline.
func (b *backfill) known(ctx context.Context) error {
	runs, _, err := list[dataset.Run](ctx, b.cl, pipelinePath(b.pipeline.PipelineID)+"/runs", query("version", b.pipeline.PipelineVersion), paging{all: true})
	for i := range runs {
		r := &runs[i]
		switch {
		case r.Status == dataset.RunRunning:
			b.busy[r.Interval] = r.ExecutionID
		case (r.Status == dataset.RunSuccess || r.Status == dataset.RunPartial) && b.done[r.Interval] == nil:
			b.done[r.Interval] = r
		}
	}
	return err
}

func (b *backfill) run(ctx context.Context, spans []string) error {
	if err := b.known(ctx); err != nil {
		return err
	}
	for i, span := range spans {
		stop, err := b.one(ctx, span, fmt.Sprintf("%*d of %d", len(fmt.Sprint(len(spans))), i+1, len(spans)))
		if err != nil {
			return err
		}
		if stop {
			break
		}
	}
	left := len(spans) - len(b.results)
	err := b.e.giveValue(map[string]any{"pipeline_id": b.pipeline.PipelineID, "pipeline_version": b.pipeline.PipelineVersion, "left": left, "items": b.results}, func() {
		b.e.line("")
		if b.failed == 0 {
			b.e.line("%s %s", b.e.paint.good("done:"), plural(len(spans), "interval", "intervals"))
			return
		}
		b.e.line("%s failed, %d not begun; mend it and give the same command again", b.e.paint.bad(plural(b.failed, "interval", "intervals")), left)
	})
	if err == nil && b.failed > 0 {
		return failed()
	}
	return err
}

// one runs one interval, unless it is done, and reports whether to stop.
func (b *backfill) one(ctx context.Context, span, count string) (stop bool, err error) {
	if was := b.done[span]; was != nil && !b.again {
		b.results = append(b.results, filledIn{span, was.ExecutionID, "SKIPPED", was.Records, was.Score, was.Issues})
		b.say(count, span, "SKIPPED", "done by "+was.ExecutionID)
		return false, nil
	}
	id := b.busy[span]
	if id == "" {
		o := b.options
		o.interval = span
		x, err := b.begin(ctx, o)
		if err != nil {
			return true, err
		}
		id = x.ID
	}
	bar := &runBar{e: b.e, began: b.e.now()}
	x, err := watch(ctx, b.cl, watching{id: id, progress: bar.show, state: func(_ []byte, x *engine.Execution) { bar.under(x) }})
	bar.clear()
	if ctx.Err() != nil {
		return true, b.e.leave(b.cl, id)
	}
	if err != nil {
		return true, err
	}
	var out pipelineOutput
	_ = json.Unmarshal(x.Output, &out) // what is not there is not shown
	r := filledIn{Interval: span, ExecutionID: x.ID, Outcome: string(x.Status), Score: out.Score, Issues: out.Issues}
	if out.Status != nil {
		r.Outcome = *out.Status
	}
	if out.Records != nil {
		r.Records = *out.Records
	}
	b.results = append(b.results, r)
	text := grouped(r.Records) + " rows, score " + scoreOf(r.Score)
	if why := firstOf(r.Issues); why != "" {
		text += ": " + why
	} else if x.Error != nil {
		text += ": " + errorText(x.Error)
	}
	b.say(count, span, r.Outcome, text)
	if outcome(x) != nil {
		b.failed++
		return !b.keepGoing, nil
	}
	return false, nil
}

func (b *backfill) begin(ctx context.Context, o runOptions) (*engine.Execution, error) {
	body, err := json.Marshal(o.inputOf(b.pipeline))
	if err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	a, err := submit(ctx, b.cl, submission{hook: pipelineHook, body: body})
	if err != nil {
		return nil, err
	}
	return execution(a.Body)
}

func (b *backfill) say(count, span, word, text string) {
	if b.e.machine() {
		return
	}
	b.e.flow(b.e.paint.dim(count)+"  "+span+"  "+padded(b.e.paint.word(word), len("SUCCESS"))+"  ", "    ", clean(text), asIs)
}
