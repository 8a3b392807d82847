package report

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// baseline is the chapter about what was frozen.
func baseline(r *Review) []block {
	v := &r.Baseline
	if v.BaselineID == "" {
		return []block{result{line{marked(no, "No baseline is stated.")}}}
	}
	head := line{t(v.BaselineID + " holds " + count(len(v.Files), "file", "files") + " of " + size(v.Bytes) + " together; no file of it can be changed since.")}
	if v.CheckedSays != "" {
		head = append(head, t(" Last check of the stored files"+prefixed(", ", instant(v.CheckedAt))+": "+sentence(v.CheckedSays)))
	}
	list := []fact{
		{"Baseline", text(v.BaselineID)},
		{"Root digest of all files", one(c(v.RootDigest))},
		{"Freeze", text(strings.Join(present(v.FreezeID, prefixed("at ", instant(v.FrozenAt)), prefixed("by ", v.FrozenBy.String())), " "))},
		{"Rationale", prose(v.Rationale)},
		{"Passport", text(v.PassportID)},
		{"Supersedes", text(v.Supersedes)},
		{"Compatible with", text(v.CompatibleWith)},
		{"Impact on safety", prose(v.SafetyImpact)},
		{"Impact on certification", prose(v.CertImpact)},
	}
	for _, p := range v.ToolsAndVersion {
		list = append(list, fact{t(p.Name).text, prose(p.Value)})
	}
	tab := table{
		columns: []column{{title: "File", share: 33}, {title: "Kind", share: 14}, {title: "Size", share: 11, right: true}, {title: "SHA-256", share: 42}},
		none:    "The baseline lists no files.",
	}
	for _, f := range v.Files {
		tab.rows = append(tab.rows, []cell{text(f.Name), text(word(f.Role)), text(size(f.Bytes)), digest(f.Digest)})
	}
	return []block{result{head}, facts{list}, subtitle{"manifest", "Manifest"}, tab}
}

// digest shows a digest without its prefix, which the column's title says.
func digest(s string) cell {
	if s == "" {
		return nil
	}
	return one(c(strings.TrimPrefix(s, "SHA256:")))
}

// validation is the chapter about tests and requirements.
func validation(r *Review) []block {
	v, n := &r.Validation, r.count()
	if v.ReportID == "" && n.tests == 0 && n.requirements == 0 {
		return []block{result{line{marked(no, "There is no V&V report.")}}}
	}
	m := no
	if v.Status == "PASSED" && n.passed == n.tests && n.verified == n.requirements {
		m = yes
	}
	head := line{marked(m, or(v.Status, "NO STATUS")), t(": " + strconv.Itoa(n.passed) + " of " + count(n.tests, "test", "tests") + " passed; " +
		strconv.Itoa(n.verified) + " of " + count(n.requirements, "requirement is", "requirements are") + " verified by passed tests.")}
	list := []fact{
		{"V&V report", text(strings.Join(present(v.ReportID, prefixed("version ", v.ReportVersion)), ", "))},
		{"Digest", one(c(v.ReportDigest))},
		{"Performed on", text(v.PerformedOn)},
		{"Environment", prose(v.Environment)},
		{"Registered by", text(v.Author.String())},
		{"Summary", prose(v.Summary)},
	}
	tests := slices.Clone(v.Tests)
	slices.SortStableFunc(tests, func(a, b Test) int { return cmp.Compare(bit(a.Result == "PASSED"), bit(b.Result == "PASSED")) })
	tab := table{
		columns: []column{{title: "Test", share: 36}, {title: "Result", share: 14}, {title: "Measured", share: 17, right: true}, {title: "Required", share: 13, right: true}, {title: "Requirements", share: 20}},
		none:    "The report lists no tests.",
	}
	for _, x := range tests {
		tab.rows = append(tab.rows, []cell{
			join(one(b(x.TestID)), text(x.Title), labelled("Note:", prose(x.Note))), one(testResult(x.Result)),
			join(text(strings.Join(present(number(x.Value), x.Unit), " ")), quietly(x.Metric)),
			text(strings.Join(present(operator(x.Operator), number(x.Threshold), unitOf(x)), " ")), ids(x.Requirements),
		})
	}
	return []block{result{head}, facts{list}, subtitle{"tests", "Tests"}, tab, subtitle{"requirements", "Requirements"}, requirements(v.Requirements)}
}

// unitOf is the unit of the threshold, if there is a threshold.
func unitOf(x Test) string {
	if x.Threshold == nil {
		return ""
	}
	return x.Unit
}

func quietly(s string) cell {
	if s == "" {
		return nil
	}
	return one(hush(s))
}

func testResult(s string) span {
	switch s {
	case "PASSED":
		return marked(yes, word(s))
	case "SKIPPED", "":
		return marked(open, or(word(s), "not stated"))
	}
	return marked(no, word(s))
}

func requirements(all []Requirement) table {
	tab := table{
		columns: []column{{title: "Requirement", share: 60}, {title: "Verified", share: 18}, {title: "Tests passed", share: 22, right: true}},
		none:    "No requirement is linked to the model.",
	}
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b Requirement) int { return cmp.Compare(bit(a.Verified), bit(b.Verified)) })
	for _, x := range sorted {
		is := marked(no, "no")
		if x.Verified {
			is = marked(yes, "yes")
		}
		tab.rows = append(tab.rows, []cell{join(one(b(x.RequirementID)), text(x.Title), labelled("Note:", prose(x.Note))), one(is), text(strconv.Itoa(x.Passed) + " of " + strconv.Itoa(x.Tests))})
	}
	return tab
}

// open says that the item is not closed: neither complete nor not applicable.
func (i Item) open() bool { return i.Status != "COMPLETE" && i.Status != "NOT_APPLICABLE" }

// dismissed says that the item was closed because its question does not arise.
func (i Item) dismissed() bool { return i.Status == "NOT_APPLICABLE" }

// checklist is the chapter about the criteria, open ones first.
func checklist(r *Review) []block {
	v, n := &r.Checklist, r.count()
	if v.ChecklistID == "" && n.items == 0 {
		return []block{result{line{marked(no, "There is no checklist for this baseline.")}}}
	}
	head := line{marked(yes, "All "+count(n.items, "criterion is", "criteria are")+" closed.")}
	switch {
	case n.items == 0:
		head = line{marked(no, "The checklist has no items.")}
	case n.critical > 0:
		head = line{marked(no, count(n.critical, "critical criterion is", "critical criteria are")+" open"), t(", and " + count(n.minor, "minor one", "minor ones") + ", of " + strconv.Itoa(n.items) + ".")}
	case n.minor > 0:
		head = line{marked(caution, count(n.minor, "minor criterion is", "minor criteria are")+" open"), t(" of " + strconv.Itoa(n.items) + "; every critical one is closed.")}
	}
	if n.dismissed > 0 {
		head = append(head, t(" "), marked(caution, count(n.dismissed, "criterion is", "criteria are")+" not applicable"), t(" by a signed statement."))
	}
	if n.overdue > 0 {
		head = append(head, t(" "+count(n.overdue, "is", "are")+" overdue."))
	}
	blocks := []block{result{head}, facts{[]fact{
		{"Checklist", text(v.ChecklistID)},
		{"Template", text(strings.Join(present(v.TemplateID, prefixed("version ", v.TemplateVersion), v.Title), ", "))},
	}}}
	var openItems, closed []Item
	for _, x := range v.Items {
		if x.open() {
			openItems = append(openItems, x)
		} else {
			closed = append(closed, x)
		}
	}
	slices.SortStableFunc(openItems, func(a, b Item) int { return cmp.Compare(bit(b.Critical), bit(a.Critical)) })
	slices.SortStableFunc(closed, func(a, b Item) int { return cmp.Compare(bit(b.dismissed()), bit(a.dismissed())) })
	if len(openItems) > 0 {
		blocks = append(blocks, subtitle{"open-items", "Open"}, items(openItems, true))
	}
	if len(closed) > 0 {
		blocks = append(blocks, subtitle{"closed-items", "Closed"}, items(closed, false))
	}
	return blocks
}

// items is a table of open or of closed items.
func items(all []Item, isOpen bool) table {
	last := "Closed by"
	if isOpen {
		last = "Owner and date"
	}
	tab := table{columns: []column{{title: "Criterion", share: 30}, {title: "State", share: 17}, {title: "Evidence", share: 33}, {title: last, share: 20}}}
	for _, x := range all {
		what := join(cell{{b(x.ItemID + " "), t(x.Title)}}, quietly(x.Group))
		if isOpen {
			what = join(what, text(x.Question))
		}
		what = join(what, labelled("Note:", prose(x.Note)))
		who := join(text(x.CompletedBy.String()), text(instant(x.CompletedAt)))
		if isOpen {
			who = join(text(or(x.Owner.String(), prefixed("nobody; role ", x.OwnerRole), "nobody")), due(x.DueOn, x.Overdue))
		}
		tab.rows = append(tab.rows, []cell{what, itemState(x), join(ids(x.Evidence), labelled("Reason:", prose(x.Reason)), labelled("Statement:", prose(x.Statement))), who})
	}
	return tab
}

func itemState(x Item) cell {
	weight := "minor"
	if x.Critical {
		weight = "critical"
	}
	switch {
	case x.dismissed():
		return join(one(marked(caution, word(x.Status))), one(hush(weight)))
	case !x.open():
		return join(one(marked(yes, word(x.Status))), one(hush(weight)))
	case x.Critical:
		return join(one(marked(no, or(word(x.Status), "not stated"))), one(b(weight)))
	}
	return join(one(marked(caution, or(word(x.Status), "not stated"))), one(hush(weight)))
}

// due is a date, and whether it is over.
func due(on string, over bool) cell {
	switch {
	case on == "":
		return nil
	case over:
		return cell{{marked(caution, "overdue"), t(" since " + on)}}
	}
	return text("due " + on)
}
