package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Failure is one thing that is wrong, and where.
type Failure struct {
	Entry   string `json:"entry"` // entry of the package, or the file's name for the whole
	Problem string `json:"problem"`
}

// Check is one thing that was looked at.
type Check struct {
	Name     string    `json:"name"`     // short and stable: "layout", "manifest", "digests" …
	Says     string    `json:"says"`     // what holds if OK, in words
	OK       bool      `json:"ok"`       //
	Count    int       `json:"count"`    // how many things were looked at
	Failed   int       `json:"failed"`   // how many of them failed
	Failures []Failure `json:"failures"` // the first of them
}

// maxFailures bounds what a report lists for one check; Failed counts all.
const maxFailures = 100

func (c *Check) fail(entry, format string, args ...any) {
	c.OK = false
	c.Failed++
	if len(c.Failures) < maxFailures {
		c.Failures = append(c.Failures, Failure{entry, fmt.Sprintf(format, args...)})
	}
}

// Report is what a verifier found. It is OK only if every check is.
type Report struct {
	OK        bool      `json:"ok"`
	PackageID string    `json:"package_id"`
	ModelID   string    `json:"model_id"`
	Created   string    `json:"created"`
	Audience  string    `json:"audience"`
	Origin    string    `json:"origin"`   // of the trust file
	Trust     string    `json:"trust"`    // "SHA256:" and hex of the trust file; "" if the caller did not set it
	LogSize   int64     `json:"log_size"` // leaves of the checkpoint
	LogRoot   string    `json:"log_root"` // "SHA256:" and hex
	Evidence  int       `json:"evidence"` // evidence items
	Records   int       `json:"records"`  // audit records
	Coverage  *Coverage `json:"coverage"` // recomputed; null if it could not be
	Checks    []*Check  `json:"checks"`   // in the order they were made

	Decisions []DecisionLine `json:"decisions,omitempty"` // who decided what, in the order of the log
	Outcomes  []OutcomeLine  `json:"outcomes,omitempty"`  // what it came to, likewise

	Anchors []AnchorLine `json:"anchors,omitempty"` // who beside the operator saw the log, in file order

	Findings   []string `json:"findings"`    // true but worth knowing
	NotChecked []string `json:"not_checked"` // what this program cannot tell
}

// check opens a new check, OK until it fails.
func (r *Report) check(name string) *Check {
	c := &Check{Name: name, OK: true, Failures: []Failure{}}
	r.Checks = append(r.Checks, c)
	return c
}

func (r *Report) finding(format string, args ...any) {
	r.Findings = append(r.Findings, fmt.Sprintf(format, args...))
}

// settle computes OK. A report without checks proves nothing and is not OK.
func (r *Report) settle() {
	r.OK = len(r.Checks) > 0
	for _, c := range r.Checks {
		r.OK = r.OK && c.OK
	}
}

// Sandbox reports whether the log says of itself that it is for trying things out.
func (r *Report) Sandbox() bool { return isSandbox(r.Origin) }

// JSON writes the report as one JSON object, indented.
func (r *Report) JSON(w io.Writer) error { return writeJSON(w, r) }

// writeJSON writes a report for programs. People look at it in terminals all the same, so what
// could command one is escaped.
func writeJSON(w io.Writer, report any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(report); err != nil {
		return err
	}
	var out strings.Builder
	for _, r := range b.String() {
		if r != '\n' && commanding(r) { // stands in a text: elsewhere there are none, and those below 0x20 are escaped by now
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			out.WriteRune(r)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// Text writes the report for a person; with colour only if asked to.
func (r *Report) Text(w io.Writer, colour bool) error {
	p := painter(colour)
	var b strings.Builder
	writeSandbox(&b, p, r.Origin)
	if r.PackageID != "" {
		fold(&b, "Package ", 8, fmt.Sprintf("%s of model %s, made for %s at %s", shownText(r.PackageID), shownText(r.ModelID), shownText(r.Audience), shownText(r.Created)))
	}
	origin := shownText(r.Origin)
	if r.Sandbox() {
		origin = p.red(origin)
	}
	if r.LogRoot != "" { // else the file said nothing of it that could be read
		origin += fmt.Sprintf(", %d leaves, root %s", r.LogSize, shownText(r.LogRoot))
	}
	fold(&b, "Log     ", 8, origin)
	if r.Trust != "" {
		fold(&b, "Trust   ", 8, shownText(r.Trust)+": compare it with what the operator of the log publishes")
	}
	b.WriteString("\n")
	writeChecks(&b, p, r.Checks)
	writeDecisions(&b, p, r)
	writeAnchors(&b, p, r.Anchors)
	section(&b, "Worth knowing:", r.Findings)
	section(&b, "Not checked by this program:", r.NotChecked)
	if r.OK {
		b.WriteString("\n" + p.green("VERIFIED") + ": every check above holds.\n")
	} else {
		b.WriteString("\n" + p.red("VERIFICATION FAILED") + ": do not rely on this file.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func section(b *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	b.WriteString("\n" + title + "\n")
	for _, l := range lines {
		fold(b, "  - ", 4, shownText(l))
	}
}

// painter colours words with ANSI sequences, or not.
type painter bool

func (p painter) red(s string) string   { return p.paint("\x1b[1;31m", s) }
func (p painter) green(s string) string { return p.paint("\x1b[32m", s) }

func (p painter) paint(code, s string) string {
	if !p {
		return s
	}
	return code + s + "\x1b[0m"
}

// shownText keeps a hostile file from writing to the terminal: characters that command one are
// replaced.
func shownText(s string) string {
	return strings.Map(func(r rune) rune {
		if commanding(r) {
			return '?'
		}
		return r
	}, s)
}

// commanding reports whether a character does something to a terminal, or to the order in
// which it shows others: controls, the ends of lines and what turns the direction of writing.
func commanding(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x061c || r == 0x200e || r == 0x200f ||
		r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}
