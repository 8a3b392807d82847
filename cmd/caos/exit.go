package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/client"
)

// The exit codes: the one place where errors become numbers.
const (
	exitOK           = 0
	exitFailed       = 1 // it was done and the answer is no, or it went wrong
	exitUsage        = 2 // it can never work as it was asked
	exitUnauthorised = 3 // not who, not allowed, or a second factor is missing
	exitNotFound     = 4
	exitConflict     = 5 // the state of things forbids it
	exitUnavailable  = 6 // worth another try later
)

const exitHelp = "Exit codes: 0 done; 1 failed, or not what it claims to be; 2 wrong usage or malformed input; 3 not authorised, or a second factor is missing; " +
	"4 not found; 5 conflict; 6 unavailable, try again later."

// ended is the error of a command that has said already what there is to say.
type ended struct{ code int }

func (e *ended) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// errStopped is what a signal ends a command with.
var errStopped = errors.New("stopped")

// failed ends a command whose output says that the answer is no.
func failed() error { return &ended{exitFailed} }

// exitCode is the number that an error ends the program with.
func exitCode(err error) int {
	var e *ended
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &e):
		return e.code
	case isCobraUsage(err):
		return exitUsage
	}
	switch caos.KindOf(err) {
	case caos.Invalid, caos.TooLarge:
		return exitUsage
	case caos.Unauthenticated, caos.StepUp, caos.Denied:
		return exitUnauthorised
	case caos.NotFound:
		return exitNotFound
	case caos.Conflict:
		return exitConflict
	case caos.Unavailable, caos.Limited, caos.Full:
		return exitUnavailable
	}
	return exitFailed
}

// usage is an error about how the command was called.
func usage(format string, args ...any) *caos.Error { return caos.Errorf(caos.Invalid, format, args...) }

// usageOf makes an error of what the flag parser says, with the way to the help.
func usageOf(c *cobra.Command, err error) error {
	return usage("%s", err.Error()).WithHint("%s --help shows the flags", c.CommandPath())
}

// isCobraUsage recognises what cobra says about commands and arguments, which has no type.
func isCobraUsage(err error) bool {
	s := err.Error()
	for _, prefix := range []string{"unknown command", "unknown flag", "required flag(s)", "accepts ", "requires ", "invalid argument"} {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	return false
}

// report writes an error for a person: what is wrong, and what to do on a line of its own.
func (e *environment) report(err error) {
	var done *ended
	if errors.As(err, &done) {
		return
	}
	if errors.Is(err, errStopped) {
		fmt.Fprintln(e.err, err)
		return
	}
	p := e.errPaint
	text, hint, rule, cause := err.Error(), "", "", ""
	var x *caos.Error
	if errors.As(err, &x) {
		prefix := strings.TrimSuffix(text, x.Error()) // what the way here has added
		if prefix == text {
			prefix = ""
		}
		text, hint, rule = x.Message, x.Hint, x.Rule
		if x.Field != "" {
			text = x.Field + ": " + text
		}
		text = prefix + text
		if x.Err != nil && !strings.Contains(text, x.Err.Error()) {
			cause = x.Err.Error()
		}
		if hint == "" && x.Kind == caos.NotFound {
			hint = listing(x.Field)
		}
	} else if isCobraUsage(err) {
		hint = "caos --help lists the commands"
	}
	room := 0 // columns behind what leads a line, 0 where it is no terminal
	if e.errTerminal && e.width >= 40 {
		room = e.width - len("      ")
	}
	say := func(lead, text string) {
		if text = clean(text); room > 0 {
			text = strings.ReplaceAll(fold(text, room), "\n", "\n      ")
		}
		fmt.Fprintf(e.err, "%s%s\n", lead, text)
	}
	say(p.bad("caos:")+" ", text)
	if rule != "" {
		say("      ", "refused by "+rule)
	}
	if cause != "" {
		say("      ", cause)
	}
	if hint != "" {
		say(p.accent("hint:")+" ", hint)
	}
	var r *client.Refusal
	if errors.As(err, &r) && r.Status >= 500 && r.TraceID != "" {
		fmt.Fprintf(e.err, "      trace id %s, in the server's log\n", r.TraceID)
	}
}

// listing is the hint for an id that the server does not know, or does not tell of.
func listing(field string) string {
	switch field {
	case "model_id":
		return "caos model list has those that you may see"
	case "version", "model_version":
		return "caos model show MODEL has its versions"
	case "document_id":
		return "caos document list has those that you may see"
	case "baseline_id":
		return "caos baseline list has those that you may see"
	case "pipeline_id":
		return "caos pipeline list has those that you may see"
	case "contract_id":
		return "caos contract list has those that you may see"
	case "dataset_id":
		return "caos dataset list has those that you may see"
	case "validation_id":
		return "caos validation list has those that you may see"
	case "passport_id":
		return "caos passport list has those that you may see"
	}
	return ""
}

// noArgs refuses arguments of a command that takes none; of one that has subcommands an
// argument was meant as one.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if c.HasSubCommands() {
		err := usage("%s has no command %q", c.CommandPath(), args[0])
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			return err.WithHint("did you mean: %s %s", c.CommandPath(), near[0])
		}
		return err.WithHint("%s --help lists its commands", c.CommandPath())
	}
	return usage("%s takes no argument, and %q is one", c.CommandPath(), args[0]).WithHint("%s --help shows how it is used", c.CommandPath())
}

// wants checks the number of arguments; words are what they are called. A last one that ends
// with … stands for one or more.
func wants(words ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if more := strings.HasSuffix(words[len(words)-1], "…"); len(args) == len(words) || more && len(args) > len(words) {
			return nil
		}
		if len(args) < len(words) {
			return usage("%s is missing", words[len(args)]).WithHint("usage: %s", c.UseLine())
		}
		return usage("%q is one argument too many", args[len(words)]).WithHint("usage: %s", c.UseLine())
	}
}

// showHelp is what a command does that only has subcommands.
func showHelp(c *cobra.Command, _ []string) error { return c.Help() }

// parent makes a command that only has subcommands.
func parent(use, short string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: noArgs, RunE: showHelp}
	c.AddCommand(children...)
	return c
}
