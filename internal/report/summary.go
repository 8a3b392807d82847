package report

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// build decides what the document says.
func build(r *Review) *document {
	d := &document{
		title:    strings.TrimSpace("Production readiness review " + r.PRRID),
		subject:  strings.TrimSpace("Is version " + r.Version + " of " + r.ModelID + " ready for production?"),
		marking:  t(or(r.Classification, "not classified")).text,
		left:     t(strings.Join(present(r.PRRID, r.Baseline.BaselineID), "  ·  ")).text,
		right:    t(strings.Join(present(r.ReportID, prefixed("version ", r.ReportVersion)), "  ·  ")).text,
		keywords: present(r.PRRID, r.ReportID, r.ModelID, r.Version, r.Baseline.BaselineID, r.Project),
	}
	d.title, d.subject = t(d.title).text, t(d.subject).text
	d.sections = []section{
		{id: "summary", title: "Summary", blocks: summary(r)},
		{id: "checks", title: "Checks of this review", blocks: checks(r)},
		{id: "baseline", title: "Baseline", blocks: baseline(r)},
		{id: "validation", title: "Verification and validation", blocks: validation(r)},
		{id: "checklist", title: "Readiness checklist", blocks: checklist(r)},
		{id: "risks", title: "Risks", blocks: risks(r)},
		{id: "evidence", title: "Certification evidence", blocks: evidence(r)},
		{id: "objectives", title: "Certification objectives", blocks: objectives(r)},
		{id: "problems", title: "Problem reports and changes", blocks: problems(r)},
		{id: "conditions", title: "Conditions", blocks: conditions(r)},
		{id: "votes", title: "Votes", blocks: votes(r)},
		{id: "log", title: "Position in the audit log", blocks: logPosition(r)},
		{id: "verify", title: "How to verify this document", blocks: verification(r)},
	}
	for i := range d.sections[1:] {
		d.sections[i+1].number = strconv.Itoa(i + 1)
	}
	return d
}

// present are the texts that say something.
func present(texts ...string) []string {
	return slices.DeleteFunc(texts, func(s string) bool { return s == "" })
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// summary is the first page: what is asked, what is possible and why, what was decided.
func summary(r *Review) []block {
	blocks := []block{
		masthead{
			kicker: "Production readiness review",
			title:  t(strings.TrimSpace(r.ModelID + " " + r.Version)).text,
			name:   t(r.ModelName).text,
			facts: []fact{
				{"Review", text(r.PRRID)},
				{"Report", text(strings.Join(present(r.ReportID, prefixed("version ", r.ReportVersion), edition(r)), ", "))},
				{"Made", text(moment(r.CreatedAt))},
				{"Safety level", text(or(r.SafetyLevel, "not assessed"))},
				{"Classification", text(or(r.Classification, "not classified"))},
				{"Project", text(r.Project)},
				{"Organisation", text(r.Organisation)},
				{"Purpose", prose(r.ModelPurpose)},
				{"Request", prose(r.RequestNote)},
			},
		},
		paragraph{text: question(r), size: 1},
		panels{[]panel{decisionPanel(r), bestPanel(r)}},
	}
	if r.Decision == "" && r.BoardDecision == "" && r.Status != "FAILED" && r.Status != "CANCELLED" {
		p := blocks[2].(panels)
		slices.Reverse(p.list) // what is possible comes first while nothing is decided
	}
	blocks = append(blocks, why(r)...)
	blocks = append(blocks, openConditions(r)...)
	blocks = append(blocks, subtitle{"figures", "In figures"}, tiles{figures(r)})
	blocks = append(blocks, board(r)...)
	if len(r.NextSteps) > 0 {
		var l []line
		for _, s := range r.NextSteps {
			l = append(l, backquotes(s))
		}
		blocks = append(blocks, subtitle{"next", "Next steps"}, bullets{l})
	}
	return append(blocks, subtitle{"contents", "Contents"}, contents{})
}

// edition says which of the three this is.
func edition(r *Review) string {
	switch {
	case r.Status == "FAILED" || r.Status == "CANCELLED":
		return "after the end of the review"
	case r.BoardDecision == "" && r.Decision == "":
		return "before the decision"
	case len(r.Conditions) > 0 && openOf(r.Conditions) == 0:
		return "after the last condition was closed"
	}
	return "after the decision"
}

func openOf(conditions []Condition) int {
	n := 0
	for _, c := range conditions {
		if !c.Closed {
			n++
		}
	}
	return n
}

// question is what the board is asked.
func question(r *Review) line {
	l := line{t("Is version "), b(or(r.Version, "(not stated)")), t(" of "), b(or(r.ModelID, "(not stated)"))}
	if r.Baseline.BaselineID != "" {
		l = append(l, t(", frozen as "), b(r.Baseline.BaselineID), t(","))
	}
	l = append(l, t(" ready for production? "))
	if who := r.RequestedBy.String(); who != "" {
		members := 0
		for _, m := range r.Members {
			if slices.Contains(m.Roles, "prr-board") || len(m.Roles) == 0 {
				members++
			}
		}
		l = append(l, t(who+" asks a board of "+count(members, "member", "members")+" and the Chief Engineer."))
	}
	return l
}

func bestPanel(r *Review) panel {
	p := panel{label: "Best decision possible", head: outcome(r.Best)}
	blocking := blockers(r)
	switch {
	case len(r.Verdicts) == 0:
		p.text = []line{say("No check was made.")}
	case len(blocking) == 0:
		p.text = []line{say("All ", count(len(r.Verdicts), "check holds.", "checks hold."), " Votes may lower this, and cannot raise it.")}
	default:
		p.text = []line{say(strconv.Itoa(len(blocking)), " of ", count(len(r.Verdicts), "check", "checks"), " ",
			stands(len(blocking)), " in the way. Votes may lower this, and cannot raise it.")}
	}
	return p
}

func stands(n int) string {
	if n == 1 {
		return "stands"
	}
	return "stand"
}

func decisionPanel(r *Review) panel {
	p := panel{label: "Decision", head: outcome(r.Decision)}
	if r.Decision == "" {
		p.head = outcome(r.BoardDecision)
	}
	switch {
	case r.Status == "FAILED":
		p.head = marked(no, "NONE")
		p.text = append(p.text, say("The review ended without a decision."))
	case r.Status == "CANCELLED":
		p.head = marked(no, "NONE")
		p.text = append(p.text, say("The review was cancelled."))
	case r.Decision == "" && r.BoardDecision == "":
		p.head = marked(open, "NOT YET TAKEN")
		if r.Best == Rejected {
			p.text = append(p.text, say("No vote can change what was found, so none is waited for."))
		} else if !r.ClosesAt.IsZero() {
			p.text = append(p.text, say("Votes close on ", moment(r.ClosesAt), "."))
		}
	default:
		if !r.DecidedAt.IsZero() {
			p.text = append(p.text, say("Decided on ", moment(r.DecidedAt), "."))
		}
		if r.BoardDecision != "" && r.Decision != "" && r.BoardDecision != r.Decision {
			p.text = append(p.text, line{t("The board decided "), b(r.BoardDecision), t(". Since then every condition was closed by someone other than its owner.")})
		} else if n := openOf(r.Conditions); n > 0 {
			p.text = append(p.text, say(strconv.Itoa(n), " of ", count(len(r.Conditions), "condition is", "conditions are"), " open."))
		}
	}
	if r.DecisionNote != "" {
		p.text = append(p.text, line{t(sentence(r.DecisionNote))})
	}
	if to := webLink(r.VoteLink); to != "" && r.Status == "VOTING" {
		p.text = append(p.text, line{link("Vote here", to)})
	}
	return p
}

// severity orders decisions from the worst.
func severity(outcome string) int {
	return max(0, slices.Index([]string{Rejected, Conditional, Approved}, outcome))
}

// blockers are the checks that stand in the way, the worst first.
func blockers(r *Review) []Verdict {
	var f []Verdict
	for _, v := range r.Verdicts {
		if !v.Pass {
			f = append(f, v)
		}
	}
	slices.SortStableFunc(f, func(a, b Verdict) int { return cmp.Compare(severity(a.Ceiling), severity(b.Ceiling)) })
	return f
}

// onFirstPage is how many findings and conditions the summary shows; all are in their chapters.
const onFirstPage = 8

// why says what stands in the way, each finding with its remedy.
func why(r *Review) []block {
	f := blockers(r)
	if len(f) == 0 {
		return nil
	}
	tab := table{columns: []column{{title: "Allows at most", share: 19}, {title: "What was found", share: 43}, {title: "What clears it", share: 38}}}
	for _, v := range f[:min(len(f), onFirstPage)] {
		tab.rows = append(tab.rows, []cell{one(outcome(v.Ceiling)), text(sentence(or(v.Finding, v.Title, v.Rule))), remedy(v)})
	}
	blocks := []block{subtitle{"why", "What stands in the way"}, tab}
	if n := len(f) - onFirstPage; n > 0 {
		blocks = append(blocks, paragraph{text: say(count(n, "more is", "more are"), " in chapter 1."), size: -1})
	}
	return blocks
}

func remedy(v Verdict) cell {
	if v.Remedy == "" {
		return one(hush("nothing is stated"))
	}
	return cell{backquotes(sentence(v.Remedy))}
}

// openConditions are on the first page once there is a decision.
func openConditions(r *Review) []block {
	if len(r.Conditions) == 0 {
		return nil
	}
	tab := table{columns: []column{{title: "State", share: 13}, {title: "Condition", share: 49}, {title: "Owner", share: 25}, {title: "Due", share: 13}}}
	list := sortedConditions(r.Conditions)
	for _, c := range list[:min(len(list), onFirstPage)] {
		tab.rows = append(tab.rows, []cell{one(conditionState(c)), text(c.Text), text(c.Owner.String()), text(c.DueOn)})
	}
	blocks := []block{subtitle{"conditions-brief", "Conditions"}, tab}
	if n := len(list) - onFirstPage; n > 0 {
		blocks = append(blocks, paragraph{text: say(count(n, "more is", "more are"), " in chapter 9."), size: -1})
	}
	return blocks
}

// board is who decides, and what they said so far.
func board(r *Review) []block {
	tab := table{columns: []column{{title: "Member", share: 35}, {title: "Role", share: 29}, {title: "Vote", share: 36}}, none: "Nobody is named."}
	for _, m := range r.Members {
		var says cell
		for _, v := range r.Votes {
			if v.ID == m.ID {
				says = append(says, line{outcome(v.Outcome)})
				if !v.Counted {
					says = append(says, line{hush("not counted: " + or(v.NotCounted, "no reason is stated"))})
				}
			}
		}
		switch {
		case m.Barred != "":
			says = append(says, line{hush("cannot vote: " + m.Barred)})
		case len(says) == 0 && m.Voted:
			says = one(marked(yes, "voted"))
		case len(says) == 0:
			says = one(hush("no vote"))
		}
		tab.rows = append(tab.rows, []cell{text(m.String()), text(strings.Join(m.Roles, ", ")), says})
	}
	blocks := []block{subtitle{"board", "Who decides"}, tab}
	if r.Rule != "" {
		blocks = append(blocks, paragraph{text: say(sentence(r.Rule)), size: -1})
	}
	return blocks
}

// checks lists all checks, those in the way first.
func checks(r *Review) []block {
	tab := table{
		columns: []column{{title: "Check", share: 33}, {title: "Result", share: 17}, {title: "What was found, and what clears it", share: 50}},
		none:    "No check was made.",
	}
	all := blockers(r)
	for _, v := range r.Verdicts {
		if v.Pass {
			all = append(all, v)
		}
	}
	for _, v := range all {
		result := one(marked(yes, "holds"))
		found := text(sentence(v.Finding))
		if !v.Pass {
			result = join(one(outcome(v.Ceiling)), one(hush("at most")))
			found = join(found, labelled("Remedy:", remedy(v)))
		}
		tab.rows = append(tab.rows, []cell{join(text(or(v.Title, v.Rule)), one(hush("rule "+v.Rule))), result, join(found, labelled("About:", ids(v.IDs)))})
	}
	n := len(blockers(r))
	head := result{line{marked(yes, "Nothing stands in the way of an approval.")}}
	if n > 0 {
		m := caution
		if r.Best == Rejected {
			m = no
		}
		head = result{line{marked(m, strconv.Itoa(n)+" of "+count(len(r.Verdicts), "check", "checks")), t(" " + stands(n) + " in the way. What each of them allows at most limits the decision; the worst of them is the best decision possible.")}}
	}
	if len(r.Verdicts) == 0 {
		head = result{line{marked(open, "No check was made.")}}
	}
	return []block{head, tab}
}
