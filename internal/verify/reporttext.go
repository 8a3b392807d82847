package verify

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// reportWidth is how many columns the text of a report takes at most: what is read in a
// terminal of unknown width, or printed, must not lose its ends.
const reportWidth = 100

// fold writes text after head, in lines of at most reportWidth columns, the further ones
// indented. It breaks at spaces; a word that is longer than a line is cut.
func fold(b *strings.Builder, head string, indent int, text string) {
	line, at := head, columns(head)
	start := at
	for _, word := range strings.Fields(text) {
		if at > start && at+1+columns(word) > reportWidth {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line, at = strings.Repeat(" ", indent), indent
			start = at
		}
		if at > start {
			line, at = line+" ", at+1
		}
		for at+columns(word) > reportWidth {
			cut, rest := cutColumns(word, reportWidth-at)
			b.WriteString(line + cut + "\n")
			word, line, at = rest, strings.Repeat(" ", indent), indent
			start = at
		}
		line, at = line+word, at+columns(word)
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
}

// columns is how wide s stands in a terminal, colours aside.
func columns(s string) int {
	n := 0
	for {
		i := strings.IndexByte(s, 0x1b)
		if i < 0 {
			return n + utf8.RuneCountInString(s)
		}
		n += utf8.RuneCountInString(s[:i])
		end := strings.IndexByte(s[i:], 'm')
		if end < 0 {
			return n
		}
		s = s[i+end+1:]
	}
}

// cutColumns cuts s behind its first n columns; colours belong to what they begin.
func cutColumns(s string, n int) (head, rest string) {
	for i := 0; i < len(s); {
		if s[i] == 0x1b {
			if end := strings.IndexByte(s[i:], 'm'); end >= 0 {
				i += end + 1
				continue
			}
		}
		if n--; n < 0 {
			return s[:i], s[i:]
		}
		_, k := utf8.DecodeRuneInString(s[i:])
		i += k
	}
	return s, ""
}

// maxLines bounds how many decisions the text lists; JSON has all.
const maxLines = 500

// writeDecisions writes the table of who decided what, by subject, and what it came to.
func writeDecisions(b *strings.Builder, p painter, r *Report) {
	if len(r.Decisions)+len(r.Outcomes) == 0 {
		return
	}
	b.WriteString("\nDecisions (the words that were signed: --json):\n")
	keys := keysOf(r.Decisions)
	shown := 0
	for _, g := range groupsOf(r) {
		if shown >= maxLines {
			break
		}
		fold(b, "\n  ", 4, shownText(or(g.subject, "of no object")))
		rows := [][]string{{"", "WHEN (UTC)", "WHO", "AS", "DECIDED", "PROVEN BY"}}
		for _, d := range g.decisions[:min(len(g.decisions), maxLines-shown)] {
			rows = append(rows, d.row(p, keys))
		}
		if len(rows) > 1 {
			writeTable(b, rows)
		}
		shown += len(rows) - 1
		for _, o := range g.outcomes[:min(len(g.outcomes), maxLines-shown)] {
			writeOutcome(b, p, o)
			shown++
		}
	}
	if n := len(r.Decisions) + len(r.Outcomes) - shown; n > 0 {
		fmt.Fprintf(b, "\n  and %d more: --json lists all\n", n)
	}
	if len(keys.list) > 0 {
		b.WriteString("\n")
	}
	for i, k := range keys.list[:min(len(keys.list), maxLines)] {
		fold(b, fmt.Sprintf("  key %d = ", i+1), 10, k.fingerprint+", which signed for "+shownText(k.person))
	}
	if slices.ContainsFunc(r.Decisions, func(d DecisionLine) bool { return d.Proof == ProofServer }) {
		fold(b, "  ", 2, "server: asserted by the server, which checked a second factor; no key of the person's own signed")
	}
}

func writeOutcome(b *strings.Builder, p painter, o OutcomeLine) {
	outcome := shownText(or(o.Outcome, "nothing decided"))
	if !o.OK {
		outcome = p.red(outcome + " (FAILED)")
	}
	name, ok := map[string]string{OutcomeOfReview: "Review", OutcomeOfConditions: "Conditions", OutcomeOfRelease: "Release"}[o.OutcomeOf]
	if !ok {
		name = shownText(o.OutcomeOf)
	}
	fold(b, "    ", 6, name+": "+fmt.Sprintf("%s at %s, by the policy %.19s…", outcome, shortTime(o.Time), shownText(o.Policy)))
	if o.OutcomeOf != OutcomeOfReview {
		return
	}
	for _, c := range o.Conditions[:min(len(o.Conditions), maxConditions)] {
		fold(b, "      ", 8, shownText(fmt.Sprintf("%s: %s (owner %s, due %s)", c.ConditionID, c.Text, c.Owner, c.DueOn)))
	}
}

func (d DecisionLine) row(p painter, keys personKeys) []string {
	proof := "server"
	if d.Proof == ProofSSH {
		proof = fmt.Sprintf("key %d", keys.number[personKey{d.Key, d.Person}])
	}
	mark := ""
	if !d.OK {
		mark, proof = p.red("!"), p.red(proof+" (FAILED)")
	}
	return []string{mark, shortTime(d.Time), shownText(d.Person), shownText(or(d.Role, "-")), shownText(d.verdict()), proof}
}

// verdict is what was decided, without what it was decided on.
func (d DecisionLine) verdict() string {
	verb, rest, _ := strings.Cut(d.What, ":")
	object, rest, _ := strings.Cut(rest, ":")
	if verb == "vote" && rest != "" {
		return rest
	}
	if done, ok := map[string]string{"accept": "ACCEPTED", "approve": OutcomeApproved, "close": OutcomeClosed, "complete": "COMPLETE",
		"reject": OutcomeRejected, "revoke": "REVOKED"}[verb]; ok {
		verb = done
	}
	if verb == "COMPLETE" && strings.HasPrefix(d.Meaning, "NOT_APPLICABLE:") {
		verb = "NOT_APPLICABLE" // said in the words that were signed; the act is the same
	}
	if rest == d.Role {
		rest = ""
	}
	_, item, _ := strings.Cut(object, "/")
	return strings.Join(strings.Fields(verb+" "+item+" "+rest), " ")
}

// shortTime shows a time of caos.TimeLayout to the second.
func shortTime(t string) string {
	t = shownText(t)
	if len(t) < 19 || !plainTime(t) {
		return t
	}
	return t[:10] + " " + t[11:19]
}

// personKey is a key with which somebody signed.
type personKey struct{ fingerprint, person string }

// personKeys are the keys of a report, numbered from 1.
type personKeys struct {
	list   []personKey
	number map[personKey]int
}

func keysOf(list []DecisionLine) personKeys {
	keys := personKeys{number: map[personKey]int{}}
	for _, d := range list {
		if k := (personKey{d.Key, d.Person}); d.Key != "" && keys.number[k] == 0 {
			keys.list = append(keys.list, k)
			keys.number[k] = len(keys.list)
		}
	}
	return keys
}

// group is what was decided on one subject.
type group struct {
	subject   string
	decisions []DecisionLine
	outcomes  []OutcomeLine
}

// groupsOf sorts decisions and outcomes by subject, in the order of the log.
func groupsOf(r *Report) (list []*group) {
	by := map[string]*group{}
	of := func(subject string) *group {
		g := by[subject]
		if g == nil {
			g = &group{subject: subject}
			by[subject], list = g, append(list, g)
		}
		return g
	}
	for _, d := range r.Decisions {
		subject, _, _ := strings.Cut(d.Subject, "/") // the items of a checklist stand together
		g := of(subject)
		g.decisions = append(g.decisions, d)
	}
	for _, o := range r.Outcomes {
		g := of(o.Subject)
		g.outcomes = append(g.outcomes, o)
	}
	return list
}

// writeTable writes the rows of decisions in columns. What is wider than its column goes on
// below.
func writeTable(b *strings.Builder, rows [][]string) {
	maxCells := [...]int{1, 19, 18, 24, 12, 14}
	widths := make([]int, len(maxCells))
	widths[0] = 1
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = min(max(widths[i], columns(cell)), maxCells[i])
		}
	}
	for _, row := range rows {
		for more := true; more; {
			more = false
			line := "  "
			for i := range row {
				cell, rest := cutCell(row[i], widths[i])
				row[i] = rest
				more = more || rest != ""
				line += cell + strings.Repeat(" ", max(0, widths[i]-columns(cell)))
				if i > 0 {
					line += "  "
				} else {
					line += " "
				}
			}
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
}

// cutCell cuts what fits into a cell, at a space, comma or colon where there is one.
func cutCell(s string, n int) (head, rest string) {
	if columns(s) <= n {
		return s, ""
	}
	head, rest = cutColumns(s, n)
	if i := strings.LastIndexAny(head, " -.:"); i > 0 {
		head, rest = s[:i+1], s[i+1:]
	}
	return strings.TrimRight(head, " "), rest
}

// writeAnchors writes who beside the operator saw the log, and when.
func writeAnchors(b *strings.Builder, p painter, list []AnchorLine) {
	if len(list) == 0 {
		return
	}
	b.WriteString("\nAnchors (who beside the operator saw the log, and when):\n")
	for _, l := range list[:min(len(list), maxLines)] {
		mark := "  "
		if !l.OK {
			mark = p.red("! ")
		}
		at := "time not checked"
		if l.Checked {
			at = "no time that can be relied on"
		}
		if l.At != "" {
			at = shortTime(l.At)
		}
		fold(b, "  "+mark, 6, shownText(fmt.Sprintf("%s %s: %s, %d leaves with %s of this package; %s", l.Kind, l.Destination, at, l.Size, count(int64(l.Covers), "record", "records"), l.Says)))
	}
	if n := len(list) - maxLines; n > 0 {
		fmt.Fprintf(b, "\n  and %d more: --json lists all\n", n)
	}
}
