package report

import (
	"strconv"
)

// tally counts what the figures, and the first sentences of the chapters, are about.
type tally struct {
	tests, passed            int
	requirements, verified   int
	items, closed            int
	dismissed                int // closed items that do not apply
	critical, minor, overdue int // open items
	needs, met               int
	objectives, shown        int // applicable ones; shown are those with evidence
	risks                    int // that are not closed
	levels                   [5]int
	highAccepted             int
	problems, changes        int // open ones
}

// count counts everything once.
func (r *Review) count() tally {
	var n tally
	for _, x := range r.Validation.Tests {
		n.tests++
		n.passed += bit(x.Result == "PASSED")
	}
	for _, x := range r.Validation.Requirements {
		n.requirements++
		n.verified += bit(x.Verified)
	}
	for _, x := range r.Checklist.Items {
		n.items++
		n.closed += bit(!x.open())
		n.dismissed += bit(x.dismissed())
		n.critical += bit(x.open() && x.Critical)
		n.minor += bit(x.open() && !x.Critical)
		n.overdue += bit(x.open() && x.Overdue)
	}
	for _, x := range r.Evidence.Required {
		n.needs++
		n.met += bit(x.Met)
	}
	for _, x := range r.Objectives.Objectives {
		n.objectives += bit(x.Applicable)
		n.shown += bit(x.Applicable && len(x.Evidence) > 0)
	}
	for _, x := range r.Risks.Risks {
		if x.Status != "CLOSED" {
			n.risks++
			n.levels[r.Risks.level(x.residual())]++
			n.highAccepted += bit(r.Risks.level(x.residual()) == 3 && x.AcceptedBy != Person{})
		}
	}
	for _, x := range r.Problems {
		n.problems += bit(x.Open)
	}
	for _, x := range r.Changes {
		n.changes += bit(x.Open)
	}
	return n
}

func bit(is bool) int {
	if is {
		return 1
	}
	return 0
}

// figures are the chapters in one number each.
func figures(r *Review) []tile {
	n := r.count()
	return []tile{
		{"Tests passed", share(n.passed, n.tests, no), or(word(r.Validation.Status), "no V&V report"), "validation"},
		{"Requirements verified", share(n.verified, n.requirements, no), "by passed tests", "validation"},
		{"Criteria closed", share(n.closed, n.items, worst(n.critical > 0)), n.criteria(), "checklist"},
		{"Open risks", riskFigure(n), "residual: " + strconv.Itoa(n.levels[4]) + " critical, " + strconv.Itoa(n.levels[3]) + " high", "risks"},
		{"Required evidence", share(n.met, n.needs, no), count(len(r.Evidence.Items), "item", "items") + " collected", "evidence"},
		{"Objectives with evidence", share(n.shown, n.objectives, caution), or(r.Objectives.Regime, or(r.Objectives.PlanID, "no plan")), "objectives"},
		{"Open problem reports", zero(n.problems), count(n.changes, "open change", "open changes"), "problems"},
		{"Conditions closed", share(len(r.Conditions)-openOf(r.Conditions), len(r.Conditions), caution), count(len(r.Votes), "vote", "votes"), "conditions"},
	}
}

// criteria says what is open of the checklist, and what was closed without an answer. The
// latter comes first: there is room for little, and what is open is also among the checks.
func (n *tally) criteria() string {
	text := "none open"
	if n.critical+n.minor > 0 {
		text = count(n.critical, "critical", "critical") + ", " + count(n.minor, "minor", "minor") + " open"
	}
	if n.dismissed > 0 {
		text = strconv.Itoa(n.dismissed) + " not applicable, " + text
	}
	return text
}

func worst(is bool) mark {
	if is {
		return no
	}
	return caution
}

// share is "3 of 4", with a tick if it is all of them.
func share(n, of int, otherwise mark) span {
	switch {
	case of == 0:
		return marked(open, "none")
	case n == of:
		otherwise = yes
	}
	return marked(otherwise, strconv.Itoa(n)+" of "+strconv.Itoa(of))
}

func zero(n int) span {
	if n == 0 {
		return marked(yes, "0")
	}
	return marked(caution, strconv.Itoa(n))
}

func riskFigure(n tally) span {
	m := yes
	switch {
	case n.levels[4] > 0 || n.levels[3] > n.highAccepted:
		m = no
	case n.levels[3] > 0:
		m = caution
	}
	return marked(m, strconv.Itoa(n.risks))
}
