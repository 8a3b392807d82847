package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
	"caos/internal/engine"
	"caos/internal/hook"
)

func newHook(e *environment) *cobra.Command {
	return parent("hook", "See and run the hooks", hookList(e), hookShow(e), hookRun(e), hookStats(e), hookSchema(e))
}

func hookList(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the hooks of the installation", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			items, body, err := unpaged[hook.Registration](c.Context(), cl, "/v1/hooks", nil)
			if err != nil {
				return err
			}
			return e.give(body, func() {
				var rows [][]string
				for _, r := range items {
					rows = append(rows, []string{r.HookID, r.HookVersion, r.HookStatus, timeout(r.TimeoutSeconds), r.HookOwner})
				}
				e.table([]string{"hook", "version", "status", "timeout", "owner"}, rows)
			})
		},
	}
}

// timeout writes seconds in the largest unit that they fill, such as 6 h.
func timeout(seconds int) string {
	switch {
	case seconds >= 3600 && seconds%3600 == 0:
		return strconv.Itoa(seconds/3600) + " h"
	case seconds >= 60 && seconds%60 == 0:
		return strconv.Itoa(seconds/60) + " min"
	}
	return strconv.Itoa(seconds) + " s"
}

func hookShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "show HOOK", Short: "Show a hook's registration", Args: wants("HOOK"),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			a, err := cl.Do(c.Context(), client.Call{Method: http.MethodGet, Path: "/v1/hooks/" + url.PathEscape(args[0])})
			if err != nil {
				return err
			}
			var r hook.Registration
			if err := a.Decode(&r); err != nil {
				return err
			}
			return e.give(a.Body, func() {
				e.pairs(pair{"hook", r.HookID}, pair{"version", r.HookVersion}, pair{"status", r.HookStatus}, pair{"owner", r.HookOwner},
					pair{"timeout", timeout(r.TimeoutSeconds) + " of running time"},
					pair{"retries", fmt.Sprintf("%d attempts, from %d ms to %d ms apart, factor %g", r.Retry.MaxAttempts, r.Retry.InitialIntervalMS, r.Retry.MaxIntervalMS, r.Retry.Factor)},
					pair{"input", r.InputSchema}, pair{"output", r.OutputSchema})
			})
		},
	}
}

type runFlags struct {
	input, key, version string
	dry, wait           bool
}

func hookRun(e *environment) *cobra.Command {
	var o runFlags
	c := &cobra.Command{
		Use: "run HOOK --input FILE|-", Short: "Run a hook", Args: wants("HOOK"),
		Long: "Submits the hook's input, JSON or YAML as the specification has it. With --wait the execution is followed to its end, and the exit code is 1 if it failed. " +
			"With --dry-run nothing happens, and every gate is explained. The same idempotency key with the same input gives the same execution.",
		Example: "  caos hook run CAOS.PROD.CERT.AUDIT --input freeze.json\n  caos hook run CAOS.PROD.CERT.EVIDENCE --input - --wait < evidence.yaml",
		RunE: func(c *cobra.Command, args []string) error {
			if o.input == "" {
				return usage("no input is given").WithField("input").WithHint("--input FILE, or --input - for standard input; caos hook schema %s describes it", args[0])
			}
			body, err := e.readInput(o.input, maxInput)
			if err != nil {
				return err
			}
			cl, err := e.connect()
			if err != nil {
				return err
			}
			return e.runHook(c, cl, args[0], body, o)
		},
	}
	f := c.Flags()
	f.StringVarP(&o.input, "input", "i", "", "file with the hook's input, - for standard input")
	f.BoolVar(&o.dry, "dry-run", false, "explain every gate and change nothing")
	f.BoolVarP(&o.wait, "wait", "w", false, "follow the execution to its end")
	f.StringVar(&o.key, "idempotency-key", "", "gives the same execution when it is sent again")
	f.StringVar(&o.version, "hook-version", "", "version whose input this is")
	c.MarkFlagsMutuallyExclusive("dry-run", "wait")
	return c
}

// maxInput is the most that the server reads as a hook's input.
const maxInput = 1 << 20

func (e *environment) runHook(c *cobra.Command, cl *client.Client, id string, body []byte, o runFlags) error {
	a, err := submit(c.Context(), cl, submission{hook: id, body: body, key: o.key, version: o.version, dry: o.dry, yaml: isYAML(o.input, body)})
	if err != nil {
		return err
	}
	if o.dry {
		return e.explained(a)
	}
	x, err := execution(a.Body)
	if err != nil {
		return err
	}
	if o.wait && !x.Status.Final() {
		return e.follow(c.Context(), cl, x)
	}
	return e.ended(a.Body, x)
}

// isYAML tells which of the two an input is: by its name, else by its first character.
func isYAML(name string, body []byte) bool {
	switch {
	case strings.HasSuffix(name, ".json"):
		return false
	case strings.HasSuffix(name, ".yaml"), strings.HasSuffix(name, ".yml"):
		return true
	}
	return !strings.HasPrefix(strings.TrimSpace(string(body)), "{")
}

func (e *environment) explained(a *client.Answer) error {
	var x hook.Explanation
	if err := a.Decode(&x); err != nil {
		return err
	}
	err := e.give(a.Body, func() {
		e.line("%s would %s.", x.Hook, e.paint.bold(x.Would))
		e.line("")
		e.gates(x.Gates, "")
		e.line("")
		for _, s := range x.Steps {
			e.line("  %d. %s %s", s.Number, s.Action, e.paint.dim("("+s.Kind+")"))
		}
	})
	if err == nil && x.Would != "run" {
		return failed()
	}
	return err
}

func hookStats(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "stats HOOK", Short: "Figures of a hook's executions in the last day", Args: wants("HOOK"),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			a, err := cl.Do(c.Context(), client.Call{Method: http.MethodGet, Path: "/v1/hooks/" + url.PathEscape(args[0]) + "/stats"})
			if err != nil {
				return err
			}
			var s engine.Stats
			if err := a.Decode(&s); err != nil {
				return err
			}
			return e.give(a.Body, func() { e.stats(s) })
		},
	}
}

func (e *environment) stats(s engine.Stats) {
	rate := "none ended"
	if s.SuccessRate != nil {
		rate = fmt.Sprintf("%.1f %%", *s.SuccessRate*100)
	}
	quantiles := func(q engine.Quantiles) string {
		return fmt.Sprintf("p50 %.1f ms, p95 %.1f ms, p99 %.1f ms, at most %.1f ms", q.P50, q.P95, q.P99, q.Max)
	}
	e.pairs(pair{"hook", s.Hook}, pair{"since", momentOf(s.Since)}, pair{"executions", strconv.Itoa(s.Executions)}, pair{"by status", counts(s.ByStatus)},
		pair{"success", rate}, pair{"latency", quantiles(s.LatencyMS)}, pair{"running", quantiles(s.RunningMS)}, pair{"errors", counts(s.Errors)})
	if len(s.Steps) == 0 {
		return
	}
	e.line("")
	var rows [][]string
	for _, x := range s.Steps {
		rows = append(rows, []string{strconv.Itoa(x.Number), x.Step, x.Version, strconv.Itoa(x.Done), strconv.Itoa(x.Failed), strconv.Itoa(x.Attempts)})
	}
	e.table([]string{"#", "step", "version", "done", "failed", "attempts"}, rows)
}

func counts(m map[string]int) string {
	var parts []string
	for k, n := range m {
		parts = append(parts, fmt.Sprintf("%s %d", k, n))
	}
	sort.Strings(parts)
	return strings.Join(parts, ", ")
}

func hookSchema(e *environment) *cobra.Command {
	var version string
	c := &cobra.Command{
		Use: "schema HOOK [input|output]", Short: "Print the JSON Schema of a hook's input or output", ValidArgs: []string{"input", "output"},
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 2 {
				if err := oneOf("schema", args[1], "input", "output"); err != nil {
					return err
				}
				args = args[:1]
			}
			return wants("HOOK")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			if version == "" {
				var r hook.Registration
				if err := cl.Get(c.Context(), "/v1/hooks/"+url.PathEscape(args[0]), nil, &r); err != nil {
					return err
				}
				version = r.HookVersion
			}
			which := "input"
			if len(args) == 2 {
				which = args[1]
			}
			a, err := cl.Do(c.Context(), client.Call{Method: http.MethodGet,
				Path: "/v1/schemas/" + url.PathEscape(args[0]) + "/" + url.PathEscape(version) + "/" + which})
			if err != nil {
				return err
			}
			return e.give(a.Body, func() { _ = e.writeJSON(a.Body) })
		},
	}
	c.Flags().StringVar(&version, "hook-version", "", "of this version; the current one if left out")
	return c
}

// execution reads an execution.
func execution(body []byte) (*engine.Execution, error) {
	var x engine.Execution
	if err := json.Unmarshal(body, &x); err != nil {
		return nil, caos.Wrap(caos.Internal, err, "the server's answer cannot be read").WithHint("is this program as new as the server?")
	}
	return &x, nil
}
