package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
	"caos/internal/engine"
)

func newExecution(e *environment) *cobra.Command {
	return parent("execution", "See and steer executions", executionList(e), executionShow(e), executionWatch(e), executionCancel(e), executionRetry(e), executionDecide(e))
}

// submission is a hook's input on its way.
type submission struct {
	hook, key, version string
	body               []byte
	yaml, dry          bool
	wait               int // seconds
}

func submit(ctx context.Context, cl *client.Client, s submission) (*client.Answer, error) {
	h := http.Header{"Content-Type": {"application/json"}}
	if s.yaml {
		h.Set("Content-Type", "application/yaml")
	}
	for name, v := range map[string]string{"Idempotency-Key": s.key, "CAOS-Hook-Version": s.version} {
		if v != "" {
			h.Set(name, v)
		}
	}
	if s.wait > 0 {
		h.Set("Prefer", fmt.Sprintf("wait=%d", s.wait))
	}
	var q url.Values
	if s.dry {
		q = query("dry_run", "true")
	}
	return cl.Do(ctx, client.Call{Method: http.MethodPost, Path: "/v1/hooks/" + url.PathEscape(s.hook) + "/executions", Query: q, Header: h, Body: s.body})
}

func executionPath(id string) string { return "/v1/executions/" + url.PathEscape(id) }

func executionList(e *environment) *cobra.Command {
	var p paging
	var hook, status, model, by, project string
	c := &cobra.Command{
		Use: "list", Short: "List executions, newest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			q := query("hook_id", hook, "status", strings.ToUpper(status), "model_id", model, "requested_by", by, "project", project)
			items, body, err := list[engine.Execution](c.Context(), cl, "/v1/executions", q, p)
			if err != nil {
				return err
			}
			return e.give(body, func() {
				var rows [][]string
				for _, x := range items {
					rows = append(rows, []string{x.ID, x.HookID, string(x.Status), x.RequestedBy, momentOf(x.CreatedAt)})
				}
				e.fitted([]string{"execution", "hook", "status", "by", "created"}, rows, "created")
			})
		},
	}
	p.bind(c)
	f := c.Flags()
	f.StringVar(&hook, "hook", "", "of this hook")
	f.StringVar(&status, "status", "", "with this status")
	f.StringVar(&model, "model", "", "about this model")
	f.StringVar(&by, "by", "", "requested by this account")
	f.StringVar(&project, "project", "", "of this project")
	return c
}

func executionShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "show EXECUTION", Short: "Show an execution with its actions", Args: wants("EXECUTION"),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			a, err := cl.Do(c.Context(), client.Call{Method: http.MethodGet, Path: executionPath(args[0])})
			if err != nil {
				return err
			}
			x, err := execution(a.Body)
			if err != nil {
				return err
			}
			return e.give(a.Body, func() { e.execution(x) })
		},
	}
}

func executionWatch(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "watch EXECUTION", Short: "Follow an execution to its end", Args: wants("EXECUTION"),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			return e.follow(c.Context(), cl, &engine.Execution{ID: args[0]})
		},
	}
}

// follow shows an execution's actions as they end, then its outcome.
func (e *environment) follow(ctx context.Context, cl *client.Client, x *engine.Execution) error {
	shown, retries := map[string]bool{}, retries{}
	var last []byte
	var bar *progressbar.ProgressBar // of the step under way, if it tells how far it is
	defer func() { clearBar(bar) }()
	progress := func(p engine.Progress) {
		if p.Total <= 0 || p.Unit != "bytes" {
			return
		}
		if bar == nil {
			bar = e.bar(p.Total, p.Step)
		}
		_ = bar.Set64(p.Done)
	}
	final, err := watch(ctx, cl, watching{id: x.ID, progress: progress, state: func(body []byte, x *engine.Execution) {
		last = body
		clearBar(bar)
		bar = nil
		if e.machine() {
			return
		}
		if len(shown) == 0 {
			e.executionHead(x)
			e.line("")
			shown[""] = true
		}
		for _, s := range x.Steps {
			key := fmt.Sprintf("%s/%s/%d/%d/%s", s.Step, s.Item, s.Round, s.Attempt, s.Status)
			if !shown[key] && s.Status != engine.StepIntent {
				shown[key] = true
				if retries.worth(s) {
					e.step(s)
				}
			}
		}
	}})
	if err != nil {
		return err
	}
	if e.machine() {
		return e.ended(last, final)
	}
	e.line("")
	e.pairs(pair{"status", string(final.Status)})
	e.executionTail(final)
	return outcome(final)
}

// retries is what was last shown of the steps that are tried again, by step, item and round.
type retries map[string]retry

type retry struct {
	attempt int
	why     string
}

// worth says whether a step has news: what waits for hours fails in the same way every few
// seconds, so the same failure is told at attempts 1, 2, 4, 8, … alone.
func (r retries) worth(s engine.StepRecord) bool {
	if s.Status != engine.StepRetrying || s.Error == nil {
		return true
	}
	key := fmt.Sprintf("%s/%s/%d", s.Step, s.Item, s.Round)
	// Two tellings of one failure differ in how long it takes until the next attempt.
	why := strings.Map(func(c rune) rune {
		if '0' <= c && c <= '9' || c == '.' || c == 'm' || c == 'µ' {
			return -1
		}
		return c
	}, *s.Error)
	if last, told := r[key]; told && last.why == why && s.Attempt < 2*last.attempt {
		return false
	}
	r[key] = retry{s.Attempt, why}
	return true
}

// errStreamEnded says that the execution is over.
var errStreamEnded = errors.New("the execution ended")

// watching is what is wanted of an execution.
type watching struct {
	id       string
	state    func(body []byte, x *engine.Execution) // told every state
	progress func(engine.Progress)                  // told how far a step is; may be nil
}

func clearBar(bar *progressbar.ProgressBar) {
	if bar != nil {
		_ = bar.Clear()
	}
}

// watch tells every state of an execution until the last, which it returns. It comes back
// to a server that was away for a while.
func watch(ctx context.Context, cl *client.Client, w watching) (*engine.Execution, error) {
	var last *engine.Execution
	after := ""
	for away := 0; ; {
		err := cl.Events(ctx, executionPath(w.id)+"/events", after, func(ev client.Event) error {
			if ev.Name == "progress" && w.progress != nil {
				var p engine.Progress
				if json.Unmarshal(ev.Data, &p) == nil {
					w.progress(p)
				}
			}
			if ev.Name != "execution" {
				return nil
			}
			x, err := execution(ev.Data)
			if err != nil {
				return err
			}
			last, after, away = x, ev.ID, 0
			w.state(ev.Data, x)
			if x.Status.Final() {
				return errStreamEnded
			}
			return nil
		})
		switch {
		case errors.Is(err, errStreamEnded), err == nil && last != nil && last.Status.Final():
			return last, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil && caos.KindOf(err) != caos.Unavailable:
			return nil, err
		}
		if away++; away > maxAway {
			return nil, caos.Wrap(caos.Unavailable, err, "the server is away; the execution goes on without us").
				WithHint("come back with: caos execution watch %s", w.id)
		}
		if err := sleep(ctx, awayPause); err != nil {
			return nil, err
		}
	}
}

const (
	maxAway   = 150
	awayPause = 200 * time.Millisecond
)

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// ended writes an execution and fails if it did.
func (e *environment) ended(body []byte, x *engine.Execution) error {
	if err := e.give(body, func() { e.execution(x) }); err != nil {
		return err
	}
	return outcome(x)
}

func outcome(x *engine.Execution) error {
	if x.Status == engine.Failed || x.Status == engine.Cancelled {
		return failed()
	}
	return nil
}

// execution writes an execution for people.
func (e *environment) execution(x *engine.Execution) {
	finished := ""
	if x.FinishedAt != nil {
		finished = momentOf(*x.FinishedAt)
	}
	e.executionHead(x)
	e.pairs(pair{"status      ", string(x.Status)}, pair{"finished", finished}, pair{"children", strings.Join(x.Children, ", ")})
	if len(x.Steps) > 0 {
		e.line("")
		for _, s := range x.Steps {
			e.step(s)
		}
	}
	e.executionTail(x)
}

func (e *environment) executionHead(x *engine.Execution) {
	e.pairs(pair{"execution", x.ID}, pair{"hook", x.HookID + " " + x.HookVersion}, pair{"requested by", x.RequestedBy}, pair{"created", momentOf(x.CreatedAt)})
}

func (e *environment) executionTail(x *engine.Execution) {
	if x.Error != nil {
		e.line("")
		e.hanging(e.paint.bad("error")+" ", "      ", errorText(x.Error))
		if x.Error.Hint != "" {
			e.line("%s %s", e.paint.accent("hint:"), clean(x.Error.Hint))
		}
	}
	e.findings(x.Findings)
	e.output(x.Output)
}

func errorText(x *caos.Error) string {
	s := x.Message
	if x.Field != "" {
		s = x.Field + ": " + s
	}
	if x.Rule != "" {
		s += " (" + x.Rule + ")"
	}
	return s
}

// actionRoom is how many columns the number and name of an action get.
const actionRoom = 49

func (e *environment) step(s engine.StepRecord) {
	text, name := cut(fmt.Sprintf("  %d. %s", s.Number, s.Action), actionRoom), s.Step
	if s.Item != "" {
		name += " " + clean(s.Item)
	}
	more := ""
	if s.Attempt > 1 {
		more = e.paint.dim(fmt.Sprintf("  attempt %d", s.Attempt))
	}
	status := string(s.Status)
	e.line("%-*s %s%*s %s%s", actionRoom, text, e.paint.word(status), max(0, len("SUCCEEDED")-len(status)), "", e.paint.dim(name), more)
	if s.Error != nil {
		e.hanging("     ", "     ", *s.Error)
	}
}

func (e *environment) findings(list []caos.Finding) {
	if len(list) == 0 {
		return
	}
	e.line("")
	e.line("%s", e.paint.bold("findings"))
	for _, f := range list {
		e.hanging("  ", "    ", f.Rule+": "+f.Message)
		if f.Remedy != "" {
			e.hanging("    ", "    ", "remedy: "+f.Remedy)
		}
	}
}

// output writes a hook's output in the order of the specification.
func (e *environment) output(raw json.RawMessage) {
	if len(raw) == 0 || string(raw) == "null" {
		return
	}
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return
	}
	e.line("")
	e.line("%s", e.paint.bold("output"))
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return
		}
		text := string(v)
		var s string
		if json.Unmarshal(v, &s) == nil && text != "null" {
			text = s
		}
		e.line("  %s  %s", e.paint.dim(fmt.Sprintf("%-30s", name)), e.paint.word(clean(text)))
	}
}

// change sends a request that changes an execution and shows what became of it.
func (e *environment) change(ctx context.Context, path string, body any) error {
	cl, err := e.connect()
	if err != nil {
		return err
	}
	a, err := cl.Do(ctx, client.Call{Method: http.MethodPost, Path: path, JSON: body})
	if err != nil {
		return err
	}
	x, err := execution(a.Body)
	if err != nil {
		return err
	}
	return e.give(a.Body, func() { e.execution(x) })
}

func executionCancel(e *environment) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "cancel EXECUTION --reason TEXT", Short: "Stop an execution", Args: wants("EXECUTION"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.change(c.Context(), executionPath(args[0])+"/cancel", map[string]string{"reason": reason})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why")
	_ = c.MarkFlagRequired("reason")
	return c
}

func executionRetry(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "retry EXECUTION", Short: "Try the failed step of an execution again", Args: wants("EXECUTION"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.change(c.Context(), executionPath(args[0])+"/retry", nil)
		},
	}
}

func executionDecide(e *environment) *cobra.Command {
	var topic, actor, payload string
	c := &cobra.Command{
		Use: "decide EXECUTION --topic TOPIC", Short: "Give a decision to a waiting execution", Args: wants("EXECUTION"),
		Long: "Gives what a waiting execution waits for. It needs a second factor.",
		RunE: func(c *cobra.Command, args []string) error {
			body := map[string]any{"topic": topic}
			if actor != "" {
				body["actor_id"] = actor
			}
			if payload != "" {
				text, err := e.readInput(payload, maxInput)
				if err != nil {
					return err
				}
				if !json.Valid(text) {
					return usage("%s is not JSON", payload).WithField("payload")
				}
				body["payload"] = json.RawMessage(text)
			}
			return e.change(c.Context(), executionPath(args[0])+"/decisions", body)
		},
	}
	f := c.Flags()
	f.StringVar(&topic, "topic", "", "what the execution waits for")
	f.StringVar(&actor, "actor", "", "who decides, if not you")
	f.StringVar(&payload, "payload", "", "JSON file with the decision, - for standard input")
	_ = c.MarkFlagRequired("topic")
	return c
}
