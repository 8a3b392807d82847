package report

import (
	"cmp"
	"slices"
	"strconv"
)

// sortedConditions are the conditions, open ones first.
func sortedConditions(all []Condition) []Condition {
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b Condition) int { return cmp.Compare(bit(a.Closed), bit(b.Closed)) })
	return sorted
}

func conditionState(c Condition) span {
	switch {
	case c.Closed:
		return marked(yes, "closed")
	case c.Overdue:
		return marked(no, "overdue")
	}
	return marked(caution, "open")
}

// conditions is the chapter about conditions.
func conditions(r *Review) []block {
	if len(r.Conditions) == 0 {
		return []block{result{say("There are no conditions.")}}
	}
	n := openOf(r.Conditions)
	head := line{marked(yes, "Every condition is closed"), t(", each by someone other than its owner, with evidence.")}
	if n > 0 {
		head = line{marked(caution, strconv.Itoa(n)+" of "+count(len(r.Conditions), "condition is", "conditions are")+" open."), t(" Someone other than its owner closes each of them, with evidence.")}
	}
	tab := table{columns: []column{{title: "Condition", share: 40}, {title: "State", share: 13}, {title: "Owner, due", share: 17}, {title: "Closed with", share: 30}}}
	for _, x := range sortedConditions(r.Conditions) {
		with := join(ids(x.Evidence), prose(x.ClosedNote))
		if x.Closed {
			with = join(with, text("by "+or(x.ClosedBy.String(), "a person not stated")), text(instant(x.ClosedAt)), proof(x.CloseProof, x.CloseKey),
				labelled("Record", text(x.CloseRecordID)), labelled("Signed", statementDigest(x.CloseStatement)))
		}
		tab.rows = append(tab.rows, []cell{
			join(one(b(x.ConditionID)), prose(x.Text), labelled("From", text(x.From))), one(conditionState(x)),
			join(text(or(x.Owner.String(), "nobody")), text(prefixed("due ", x.DueOn))), with,
		})
	}
	return []block{result{head}, tab}
}

func statementDigest(s string) cell {
	if s == "" {
		return nil
	}
	return one(c(s))
}

// proof says how a decision is proven.
func proof(kind, key string) cell {
	switch kind {
	case "sshsig":
		c := one(t("personal key"))
		return join(c, statementDigest(key))
	case "server":
		return text("asserted by the server, which checked a second factor")
	}
	return quietly(kind)
}

// votes is the chapter about the votes.
func votes(r *Review) []block {
	counted, by := 0, map[string]int{}
	for _, x := range r.Votes {
		if x.Counted {
			counted++
			by[x.Outcome]++
		}
	}
	head := line{marked(open, "Nobody has voted yet.")}
	switch {
	case len(r.Votes) > 0:
		head = line{b(count(counted, "vote counts", "votes count")), t(": " + strconv.Itoa(by[Approved]) + " approved, " + strconv.Itoa(by[Conditional]) + " conditional, " + strconv.Itoa(by[Rejected]) + " rejected.")}
		if rest := len(r.Votes) - counted; rest > 0 {
			head = append(head, t(" "+count(rest, "vote does", "votes do")+" not count."))
		}
	case r.Status == "FAILED" || r.Status == "CANCELLED" || r.BoardDecision != "" || r.Decision != "":
		head = line{marked(open, "Nobody voted.")}
	}
	blocks := []block{result{head}}
	if r.Rule != "" {
		blocks = append(blocks, paragraph{text: say(sentence(r.Rule))})
	}
	if r.DecisionNote != "" {
		blocks = append(blocks, facts{[]fact{{"Board's decision", one(outcome(or(r.BoardDecision, r.Decision)))}, {"Why", prose(sentence(r.DecisionNote))}}})
	}
	if len(r.Votes) == 0 {
		return blocks
	}
	tab := table{columns: []column{{title: "Who, when", share: 18}, {title: "Vote", share: 18}, {title: "What was signed", share: 30}, {title: "Proof", share: 34}}}
	for _, x := range r.Votes {
		says := one(outcome(x.Outcome))
		if !x.Counted {
			says = join(says, one(hush("not counted: "+or(x.NotCounted, "no reason is stated"))))
		}
		tab.rows = append(tab.rows, []cell{
			join(one(b(x.String())), quietly(x.Role), text(instant(x.At))), says,
			join(prose(x.Meaning), labelled("Comment:", prose(x.Comment))),
			join(proof(x.Proof, x.Key), labelled("Decision", text(x.DecisionID)), labelled("Record", text(x.RecordID)), labelled("Report", statementDigest(x.Digest))),
		})
	}
	return append(blocks, tab)
}

// logPosition is the chapter that ties the document to the audit log.
func logPosition(r *Review) []block {
	v := &r.Log
	head := result{line{marked(open, "The position is not stated.")}}
	if v.Root != "" {
		head = result{say("When this edition was made, the audit log "+v.Origin+" had ", count(int(v.Size), "record", "records"), ". What the log says of this review can be proven against this position, and every later one.")}
	}
	blocks := []block{head, facts{[]fact{
		{"Log", text(v.Origin)},
		{"Records", text(strconv.FormatInt(v.Size, 10))},
		{"Root hash", one(c(v.Root))},
		{"At", text(instant(v.At))},
		{"Execution", text(v.ExecutionID)},
		{"Policy of decisions", one(c(v.PolicyDigest))},
		{"Facts of this document", one(c(v.FactsDigest))},
	}}}
	if len(r.Earlier) > 0 {
		tab := table{columns: []column{{title: "Edition", share: 14}, {title: "Made", share: 18}, {title: "Stage", share: 24}, {title: "SHA-256 of the HTML", share: 44}}}
		for _, e := range r.Earlier {
			tab.rows = append(tab.rows, []cell{text(e.Version), text(instant(e.CreatedAt)), text(e.Says), digest(e.Digest)})
		}
		blocks = append(blocks, subtitle{"editions", "Earlier editions"}, tab)
	}
	return blocks
}

// verification is the chapter for those who take nobody's word.
func verification(r *Review) []block {
	blocks := []block{
		paragraph{text: say("A reader need not trust the server that made this document. The votes are about its digest: whoever changes one character of it has a document that nobody voted on. The HTML and the PDF of an edition are made from the same facts; a vote names the digest of the HTML.")},
	}
	var l []step
	for _, x := range r.Verification {
		l = append(l, step{text: backquotes(sentence(x.Text)), command: t(x.Command).text, expect: t(x.Expect).text})
	}
	if len(l) > 0 {
		blocks = append(blocks, steps{l})
	}
	return append(blocks, paragraph{size: -1, text: say("Times are UTC. Signs that cannot be seen, or that change the order in which text is read, are shown as "+string(unknown)+".",
		" The PDF shows signs that its typefaces lack as □; the HTML has them.")})
}
