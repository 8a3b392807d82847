package main

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
	"caos/internal/hook"
)

// newWhy asks what stands between a version and an operation.
func newWhy(e *environment) *cobra.Command {
	var at string
	c := &cobra.Command{
		Use: "why MODEL@VERSION freeze|prr|release", Short: "Say what stands between a version and its freeze, review or release",
		Long: "Asks every gate of the operation about the version as it is now and changes nothing. Each gate shows the facts that it looked at; " +
			"one that does not hold shows why, what would clear it, and who could. Of a freeze the latest V&V report of the version is taken; of a readiness review it says " +
			"the best decision that the board could come to; of a release whether the authorisation is in force. " +
			"With --at it answers for a moment that is past, of a review or a release. " +
			"The exit code is 0 if nothing stands in the way and 1 if something does.",
		Example: "  caos why NN-DLY-001@1.0.0 freeze\n  caos why NN-DLY-001@1.0.0 prr --at 2026-11-30T12:00:00Z\n  caos why NN-DLY-001@1.0.0 release -o json",
		Args:    wants("MODEL@VERSION", "OPERATION"),
		ValidArgsFunction: func(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return whyOperations(), cobra.ShellCompDirectiveNoFileComp
			}
			return e.versions(c, args, typed)
		},
		RunE: func(c *cobra.Command, args []string) error {
			model, version, ok := strings.Cut(args[0], "@")
			if !ok {
				return usage("%q names no version", args[0]).WithField("MODEL@VERSION").WithHint("write it as NN-DLY-001@1.0.0")
			}
			if err := caos.CheckID("model", "MODEL@VERSION", model); err != nil {
				return err
			}
			if err := caos.CheckID("version", "MODEL@VERSION", version); err != nil {
				return err
			}
			if err := oneOf("OPERATION", args[1], whyOperations()...); err != nil {
				return err
			}
			q, what := url.Values{}, args[0]+" "+args[1]
			if at != "" {
				t, err := instantOf("at", at, false)
				if err != nil {
					return err
				}
				q.Set("at", caos.FormatTime(t))
				what += " at " + moment(t)
			}
			cl, err := e.connect()
			if err != nil {
				return err
			}
			a, err := cl.Do(c.Context(), getting(versionPath(model, version)+"/why/"+escape(args[1]), q))
			if err != nil {
				return err
			}
			return e.explainedFor(a, what)
		},
	}
	c.Flags().StringVar(&at, "at", "", "a moment that is past, such as 2026-11-30T12:00:00Z; of a review or a release")
	return c
}

func whyOperations() []string { return []string{"freeze", "prr", "release"} }

// explainedFor writes what every gate says, under a line that says what would happen to what.
func (e *environment) explainedFor(a *client.Answer, what string) error {
	var x hook.Explanation
	if err := a.Decode(&x); err != nil {
		return err
	}
	stop := 0
	for _, g := range x.Gates {
		if !g.Pass {
			stop++
		}
	}
	err := e.give(a.Body, func() {
		verb := "do"
		if stop == 1 {
			verb = "does"
		}
		short := fmt.Sprintf("%d of %s %s not hold", stop, plural(len(x.Gates), "gate", "gates"), verb)
		name := e.paint.bold(clean(what) + ":")
		switch {
		case stop == 0:
			e.flow(name+" ", "  ", fmt.Sprintf("nothing stands in the way, %s hold", plural(len(x.Gates), "gate", "gates")), e.paint.good)
		case x.Would == hook.WouldRun && x.Best != "":
			e.flow(name+" the best decision possible is "+e.verdict(x.Best)(clean(x.Best))+", ", "  ", short, asIs)
		default:
			e.flow(name+" it would "+e.paint.bad(clean(x.Would))+", ", "  ", short, asIs)
		}
		e.line("")
		e.gates(x.Gates, what)
	})
	if err == nil && (x.Would != hook.WouldRun || stop > 0) {
		return failed()
	}
	return err
}

// gates writes verdicts about something: a mark and the gate's words, its facts, and what is
// to be done. What several gates say alike is there once.
func (e *environment) gates(list []hook.Verdict, about string) {
	const under = "        "
	said := map[[2]string]bool{} // subjects and messages
	for _, g := range list {
		mark := e.paint.good("pass")
		if !g.Pass {
			mark = e.paint.bad("stop")
		}
		e.flow("  "+mark+"  ", under, clean(g.Action), asIs)
		if !g.Pass && g.Ceiling != "" {
			e.flow(under+e.paint.dim("allows")+" ", under+"  ", "at most "+clean(g.Ceiling), e.verdict(g.Ceiling))
		}
		if text := factsOf(g.Facts); text != "" {
			e.flow(under, under, text, e.paint.dim)
		}
		f := g.Finding
		if f == nil {
			continue
		}
		if said[[2]string{f.Subject, f.Message}] {
			e.flow(under+e.paint.accent(f.Rule)+" ", under+"  ", "as above", e.paint.dim)
			continue
		}
		said[[2]string{f.Subject, f.Message}] = true
		e.flow(under+e.paint.accent(f.Rule)+" ", under+"  ", clean(messageOf(f, about)), asIs)
		if f.Remedy != "" {
			e.flow(under+e.paint.dim("remedy")+" ", under+"  ", clean(f.Remedy), asIs)
		}
		if text := whoOf(g.Who); text != "" {
			e.flow(under+e.paint.dim("who")+" ", under+"  ", text, asIs)
		}
	}
}

// messageOf is a finding's message, behind its subject where that is not told already.
func messageOf(f *caos.Finding, about string) string {
	if f.Subject == "" || strings.Contains(f.Message, f.Subject) || strings.Contains(about, f.Subject) {
		return f.Message
	}
	return f.Subject + ": " + f.Message
}

// factsOf writes facts in the order of their names.
func factsOf(facts map[string]any) string {
	var parts []string
	for name, v := range facts {
		parts = append(parts, name+" "+factOf(v))
	}
	slices.Sort(parts)
	return clean(strings.Join(parts, ", "))
}

func factOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "none"
	case string:
		if v == "" {
			return "none"
		}
		return v
	case map[string]any:
		if len(v) == 0 {
			return "none"
		}
		var parts []string
		for name, one := range v {
			parts = append(parts, name+" "+factOf(one))
		}
		slices.Sort(parts)
		return "(" + strings.Join(parts, ", ") + ")"
	case []any:
		parts := make([]string, len(v))
		for i, one := range v {
			parts[i] = factOf(one)
		}
		return "(" + strings.Join(parts, ", ") + ")"
	}
	return numberOf(v)
}

// numberOf writes what is left of JSON: numbers without an exponent, true and false.
func numberOf(v any) string {
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// whoOf names who could clear a gate.
func whoOf(w *hook.Who) string {
	switch {
	case w == nil:
		return ""
	case len(w.Roles) == 0:
		return "nobody: the policies give this to no role"
	case len(w.People) == 0:
		return "nobody here holds the role " + clean(strings.Join(w.Roles, " or "))
	case len(w.Roles) > fewRoles:
		return clean(strings.Join(w.People, ", ")) + fmt.Sprintf(" (%d roles may)", len(w.Roles))
	}
	return clean(strings.Join(w.People, ", ") + " (" + strings.Join(w.Roles, " or ") + ")")
}

// fewRoles is how many roles are worth their names.
const fewRoles = 3

func asIs(s string) string { return s }

// flow writes text behind first and breaks it between words at the width of the terminal;
// the lines that follow begin with rest. What is no terminal gets one line.
func (e *environment) flow(first, rest, text string, style func(string) string) {
	line := first
	used, empty := lipgloss.Width(first), true
	for word := range strings.FieldsSeq(text) {
		w := lipgloss.Width(word)
		if !empty && e.width > 0 && used+1+w > e.width {
			fmt.Fprintln(e.out, strings.TrimRight(line, " "))
			line, used, empty = rest, lipgloss.Width(rest), true
		}
		if !empty {
			line, used = line+" ", used+1
		}
		line, used, empty = line+style(word), used+w, false
	}
	fmt.Fprintln(e.out, strings.TrimRight(line, " "))
}
