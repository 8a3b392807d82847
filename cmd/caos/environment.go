package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"caos"
	"caos/internal/client"
)

// environment is what commands have in common: the streams, what kind they are, and the
// flags of every command.
type environment struct {
	in     io.Reader
	out    io.Writer
	err    io.Writer
	getenv func(string) string
	now    func() time.Time

	terminal    bool  // out is one
	errTerminal bool  // err is one
	width       int   // columns of out, 0 if it is no terminal
	paint       paint // for out
	errPaint    paint // for err

	url, token, ca, mfa string
	format              string
}

func newEnvironment(in *os.File, out, errs *os.File, getenv func(string) string) *environment {
	e := &environment{in: in, out: out, err: errs, getenv: getenv, now: time.Now}
	e.terminal, e.errTerminal = term.IsTerminal(int(out.Fd())), term.IsTerminal(int(errs.Fd()))
	colour := getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	e.paint, e.errPaint = newPaint(colour && e.terminal), newPaint(colour && e.errTerminal)
	if e.terminal {
		if w, _, err := term.GetSize(int(out.Fd())); err == nil {
			e.width = w
		}
	}
	return e
}

// bind adds the flags that every command has.
func (e *environment) bind(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&e.url, "url", "", "address of the server (CAOS_URL)")
	f.StringVar(&e.token, "token", "", "API token (CAOS_TOKEN, which does not show in the list of processes)")
	f.StringVar(&e.ca, "ca", "", "certificate authority of the server, PEM file (CAOS_CA)")
	f.StringVar(&e.mfa, "mfa", "", "code of the second factor, where one is asked for (or CAOS_MFA_SECRET, from which codes are computed)")
	f.StringVarP(&e.format, "output", "o", "text", "how to answer: text, json or yaml")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		switch e.format {
		case "text", "json", "yaml":
			return nil
		}
		return usage("%q is not a form of output", e.format).WithField("output").WithHint("one of text, json, yaml")
	}
}

// machine reports whether a program reads the output.
func (e *environment) machine() bool { return e.format != "text" }

// or returns the flag, or what the environment says.
func (e *environment) or(flag, name string) string {
	if flag != "" {
		return flag
	}
	return strings.TrimSpace(e.getenv(name))
}

// connect returns a client of the configured server.
func (e *environment) connect() (*client.Client, error) {
	url, token := e.or(e.url, "CAOS_URL"), e.or(e.token, "CAOS_TOKEN")
	if url == "" {
		return nil, usage("no server is named").WithField("url").WithHint("set CAOS_URL (and CAOS_TOKEN, CAOS_CA) to what caos init printed, or give --url")
	}
	if token == "" {
		return nil, caos.Errorf(caos.Unauthenticated, "no token is given").WithField("token").WithHint("set CAOS_TOKEN to your API token, or give --token")
	}
	codes, err := e.codes()
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{URL: url, Token: token, CAFile: e.or(e.ca, "CAOS_CA"), Agent: "caos/" + version, Codes: codes})
}

// codes is where the second factor comes from: a flag, a secret, or the person.
func (e *environment) codes() (client.Codes, error) {
	if e.mfa != "" {
		return client.Once(e.mfa), nil
	}
	if secret := strings.TrimSpace(e.getenv("CAOS_MFA_SECRET")); secret != "" {
		s := &client.Secret{Base32: secret, Now: e.now, Memory: e.codeMemory(secret), Waiting: func(d time.Duration) {
			fmt.Fprintf(e.err, "%s\n", e.errPaint.dim(fmt.Sprintf("waiting %d s for the next code of the second factor", int(d.Seconds())+1)))
		}}
		return s, s.Check()
	}
	if in, ok := e.in.(*os.File); ok && e.errTerminal && term.IsTerminal(int(in.Fd())) {
		return asked{e}, nil
	}
	return unasked{}, nil
}

// codeMemory remembers the last code that was computed from a secret, so that the next
// command does not send it again. It holds a number; the file's name is a digest.
type codeMemory struct{ path string }

func (e *environment) codeMemory(secret string) client.Memory {
	dir := e.getenv("XDG_CACHE_HOME")
	if home := e.getenv("HOME"); dir == "" && home != "" {
		dir = filepath.Join(home, ".cache")
	}
	if !filepath.IsAbs(dir) {
		return nil
	}
	sum := sha256.Sum256([]byte("caos codes " + secret))
	return codeMemory{filepath.Join(dir, "caos", "codes-"+hex.EncodeToString(sum[:8]))}
}

// Last is best effort, as Remember is: without it the server refuses what was used.
func (m codeMemory) Last() int64 {
	text, err := os.ReadFile(m.path)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	// What lies far ahead was written under another clock.
	if err != nil || n > time.Now().Unix()/30+4 {
		return 0
	}
	return n
}

func (m codeMemory) Remember(at int64) {
	if os.MkdirAll(filepath.Dir(m.path), 0o700) == nil {
		_ = os.WriteFile(m.path, []byte(strconv.FormatInt(at, 10)), 0o600)
	}
}

// asked asks the person at the terminal.
type asked struct{ e *environment }

func (a asked) Next(ctx context.Context, attempt int) (string, error) {
	if attempt > 1 {
		fmt.Fprintln(a.e.err, a.e.errPaint.warn("The code was not taken; each counts once."))
	}
	fmt.Fprint(a.e.err, a.e.errPaint.accent("Code of your second factor: "))
	answer := make(chan string, 1)
	go func() { // the read itself cannot be ended; the program ends instead
		var code string
		_, _ = fmt.Fscanln(a.e.in, &code)
		answer <- code
	}()
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case code := <-answer:
		if code == "" {
			return "", caos.Errorf(caos.StepUp, "no code was given")
		}
		return code, nil
	}
}

// unasked is where nobody can be asked.
type unasked struct{}

func (unasked) Next(context.Context, int) (string, error) {
	return "", caos.Errorf(caos.StepUp, "this operation needs a second factor").WithRule("step-up").
		WithHint("repeat it with --mfa CODE, or set CAOS_MFA_SECRET")
}

// paint colours text, if at all.
type paint struct {
	on                                       bool
	boldS, dimS, goodS, badS, warnS, accentS lipgloss.Style
}

func newPaint(on bool) paint {
	s := lipgloss.NewStyle
	return paint{on: on, boldS: s().Bold(true), dimS: s().Faint(true), goodS: s().Foreground(lipgloss.Green), badS: s().Bold(true).Foreground(lipgloss.Red),
		warnS: s().Foreground(lipgloss.Yellow), accentS: s().Foreground(lipgloss.Cyan)}
}

func (p paint) with(s lipgloss.Style, text string) string {
	if !p.on || text == "" {
		return text
	}
	return s.Render(text)
}

func (p paint) bold(s string) string   { return p.with(p.boldS, s) }
func (p paint) dim(s string) string    { return p.with(p.dimS, s) }
func (p paint) good(s string) string   { return p.with(p.goodS, s) }
func (p paint) bad(s string) string    { return p.with(p.badS, s) }
func (p paint) warn(s string) string   { return p.with(p.warnS, s) }
func (p paint) accent(s string) string { return p.with(p.accentS, s) }

// word colours a status by what it means.
func (p paint) word(s string) string {
	switch s {
	case "SUCCEEDED", "SUCCESS", "PASS", "COMPLIANT", "PASSED", "ACTIVE", "active", "CLOSED", "ok", "yes", "FROZEN", "PRODUCTION_READY", "RELEASED", "APPROVED", "INTACT", "clean", "COMPLETE", "AUTHORISED", "SHOWN":
		return p.good(s)
	case "FAILED", "REVOKED", "revoked", "compromised", "CRITICAL", "HIGH", "CANCELLED", "no", "REJECTED", "DAMAGED", "ERROR", "EXPIRED", "FAIL":
		return p.bad(s)
	case "QUEUED", "RUNNING", "WAITING", "BLOCKED", "REVIEW_REQUIRED", "OPEN", "ACKNOWLEDGED", "RETRYING", "INTENT", "MEDIUM", "enrolled", "disabled", "RECORDED", "DEPRECATED", "REGISTERED", "INCOMPLETE", "IN_PROGRESS", "SKIPPED", "SUPERSEDED", "RETIRED", "PREPARING", "VOTING", "CONDITIONAL", "DRAFT", "REQUESTED",
		"MITIGATING", "ACCEPTED", "PARTIAL", "WARNING", "retired":
		return p.warn(s)
	}
	return s
}
