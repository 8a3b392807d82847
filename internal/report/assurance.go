package report

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// evidence is the chapter about certification evidence.
func evidence(r *Review) []block {
	v, n := &r.Evidence, r.count()
	head := line{marked(open, "No evidence is required"), t(" by a rule or a plan. " + count(len(v.Items), "item is", "items are") + " collected.")}
	switch {
	case n.needs > 0 && n.met == n.needs:
		head = line{marked(yes, "All required evidence is there"), t(": " + count(n.needs, "requirement", "requirements") + ", " + count(len(v.Items), "item", "items") + ".")}
	case n.needs > 0:
		head = line{marked(no, strconv.Itoa(n.needs-n.met)+" of "+strconv.Itoa(n.needs)+" required pieces of evidence are missing"), t("; " + count(len(v.Items), "item is", "items are") + " collected.")}
	}
	blocks := []block{result{head}, facts{[]fact{{"Packages", ids(v.Packages)}}}}
	if n.needs > 0 {
		tab := table{columns: []column{{title: "Required", share: 45}, {title: "There", share: 15}, {title: "Evidence", share: 40}}}
		needs := slices.Clone(v.Required)
		slices.SortStableFunc(needs, func(a, b Need) int { return cmp.Compare(bit(a.Met), bit(b.Met)) })
		for _, x := range needs {
			is := marked(no, "missing")
			if x.Met {
				is = marked(yes, "yes")
			}
			tab.rows = append(tab.rows, []cell{join(text(x.Name), labelled("Note:", prose(x.Note))), one(is), ids(x.Items)})
		}
		blocks = append(blocks, subtitle{"needs", "Required"}, tab)
	}
	tab := table{
		columns: []column{{title: "Evidence", share: 34}, {title: "Kind", share: 15}, {title: "Collected", share: 15}, {title: "SHA-256", share: 36}},
		none:    "No evidence is collected.",
	}
	for _, x := range v.Items {
		tab.rows = append(tab.rows, []cell{
			join(one(b(x.EvidenceID)), text(x.Title), labelled("Covers", ids(x.Covers))),
			join(text(word(x.Type)), quietly(word(x.Category))), text(instant(x.CollectedAt)), digest(x.Digest),
		})
	}
	return append(blocks, subtitle{"items", "Items"}, tab)
}

// objectives is the chapter about the certification plan.
func objectives(r *Review) []block {
	v, n := &r.Objectives, r.count()
	if v.PlanID == "" && len(v.Objectives) == 0 {
		return []block{result{line{marked(open, "There is no certification plan"), t(" for this model.")}}}
	}
	m := caution
	if n.shown == n.objectives {
		m = yes
	}
	head := line{marked(m, strconv.Itoa(n.shown)+" of "+strconv.Itoa(n.objectives)), t(" applicable objectives have evidence; " + strconv.Itoa(len(v.Objectives)-n.objectives) + " of the catalogue's do not apply.")}
	blocks := []block{result{head}, facts{[]fact{
		{"Plan", text(v.PlanID)},
		{"Regime", text(v.Regime)},
		{"Catalogue", text(strings.Join(present(v.CatalogueID, prefixed("version ", v.Version), v.CatalogueTitle), ", "))},
		{"Note", prose(v.Caveat)},
	}}}
	tab := table{
		columns: []column{{title: "Objective", share: 36}, {title: "State", share: 17}, {title: "Means of compliance", share: 25}, {title: "Evidence", share: 22}},
		none:    "The plan lists no objectives.",
	}
	sorted := slices.Clone(v.Objectives)
	slices.SortStableFunc(sorted, func(a, b Objective) int { return cmp.Compare(a.rank(), b.rank()) })
	for _, x := range sorted {
		means := join(prose(x.Means), labelled("Owner", text(x.Owner.String())))
		if !x.Applicable {
			means = prose(or(x.Justification, "No justification is stated."))
		}
		tab.rows = append(tab.rows, []cell{
			join(one(b(x.ObjectiveID)), text(x.Title), labelled("Requirements", ids(x.Requirements))),
			one(x.state()), means, ids(x.Evidence),
		})
	}
	return append(blocks, tab)
}

// rank puts objectives without evidence first and those that do not apply last.
func (x *Objective) rank() int {
	switch {
	case !x.Applicable:
		return 2
	case len(x.Evidence) > 0:
		return 1
	}
	return 0
}

func (x *Objective) state() span {
	switch {
	case !x.Applicable:
		return hush("does not apply")
	case len(x.Evidence) == 0:
		return marked(caution, or(word(x.Status), "open")+", no evidence")
	case x.Status == "SHOWN":
		return marked(yes, "shown")
	}
	return marked(open, or(word(x.Status), "not stated"))
}

// problems is the chapter about problem reports and changes.
func problems(r *Review) []block {
	n := r.count()
	m := yes
	if n.problems+n.changes > 0 {
		m = caution
	}
	head := line{marked(m, count(n.problems, "problem report", "problem reports")+" and "+count(n.changes, "change", "changes")), t(" of this model are open.")}
	reports := table{columns: []column{{title: "Problem report", share: 52}, {title: "Severity", share: 14}, {title: "State", share: 16}, {title: "Owner, since", share: 18}}, none: "There are no problem reports."}
	sorted := slices.Clone(r.Problems)
	slices.SortStableFunc(sorted, func(a, b Problem) int { return cmp.Compare(bit(b.Open), bit(a.Open)) })
	for _, x := range sorted {
		severity := one(t(word(x.Severity)))
		if x.Open && (x.Severity == "CRITICAL" || x.Severity == "HIGH") {
			severity = one(marked(no, word(x.Severity)))
		}
		reports.rows = append(reports.rows, []cell{
			join(one(b(x.ProblemID)), text(x.Title), labelled("Note:", prose(x.Note))), severity, one(state(x.Open, x.Status)),
			join(text(x.Owner.String()), text(instant(x.OpenedAt))),
		})
	}
	changes := table{columns: []column{{title: "Change", share: 52}, {title: "Class", share: 14}, {title: "State", share: 16}, {title: "Since", share: 18}}, none: "There are no changes."}
	changed := slices.Clone(r.Changes)
	slices.SortStableFunc(changed, func(a, b Change) int { return cmp.Compare(bit(b.Open), bit(a.Open)) })
	for _, x := range changed {
		changes.rows = append(changes.rows, []cell{
			join(one(b(x.ChangeID)), text(x.Title), labelled("Note:", prose(x.Note))), text(word(x.Class)), one(state(x.Open, x.Status)), text(instant(x.OpenedAt)),
		})
	}
	return []block{result{head}, subtitle{"reports", "Problem reports"}, reports, subtitle{"changes", "Changes"}, changes}
}

func state(isOpen bool, status string) span {
	if isOpen {
		return marked(caution, or(word(status), "open"))
	}
	return marked(yes, or(word(status), "closed"))
}
