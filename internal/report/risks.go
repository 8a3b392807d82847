package report

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// programmeScale is the scale where a review brings none.
func programmeScale() []RiskLevel {
	return []RiskLevel{{"Low", 1, 4}, {"Medium", 5, 9}, {"High", 10, 14}, {"Critical", 15, 25}}
}

func (r *Risks) scale() []RiskLevel {
	if len(r.Scale) == 0 {
		return programmeScale()
	}
	return r.Scale
}

// level is the place of a score on the scale, 1 to 4, and 0 for a score that is on none.
func (r *Risks) level(score int) int {
	for i, l := range r.scale() {
		if score >= l.From && score <= l.To {
			return min(i+1, 4)
		}
	}
	return 0
}

func (x *Risk) initial() int { return x.Likelihood * x.Impact }

// assessed says that there is a residual.
func (x *Risk) assessed() bool { return x.ResidualLikelihood > 0 && x.ResidualImpact > 0 }

// residual is the score that counts.
func (x *Risk) residual() int {
	if x.assessed() {
		return x.ResidualLikelihood * x.ResidualImpact
	}
	return x.initial()
}

// sorted is the register with the worst first and closed risks last.
func (r *Risks) sorted() []Risk {
	all := slices.Clone(r.Risks)
	slices.SortStableFunc(all, func(a, b Risk) int {
		return cmp.Or(cmp.Compare(bit(a.Status == "CLOSED"), bit(b.Status == "CLOSED")), cmp.Compare(b.residual(), a.residual()),
			cmp.Compare(b.initial(), a.initial()), compareIDs(a.RiskID, b.RiskID))
	})
	return all
}

// compareIDs puts RISK-DLY-9 before RISK-DLY-10.
func compareIDs(a, b string) int {
	na, nb := strings.TrimRight(a, "0123456789"), strings.TrimRight(b, "0123456789")
	if na == nb {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	}
	return cmp.Compare(a, b)
}

// risks is the chapter with the matrix and the register.
func risks(r *Review) []block {
	v, n := &r.Risks, r.count()
	if len(v.Risks) == 0 {
		return []block{result{line{marked(open, "No risk is registered"), t(" for this version.")}}}
	}
	head := line{riskMark(n), t(" " + count(n.risks, "risk is", "risks are") + " open: by what remains after mitigation " +
		levelCounts(v, n) + ".")}
	if n.levels[3] > 0 {
		head = append(head, t(" "+strconv.Itoa(n.highAccepted)+" of "+strconv.Itoa(n.levels[3])+" of level "+v.scale()[min(2, len(v.scale())-1)].Name+" "+
			map[bool]string{true: "is", false: "are"}[n.highAccepted == 1]+" accepted."))
	}
	all := v.sorted()
	labels, note := matrixLabels(all)
	pictures := matrices{[]matrix{
		v.matrix("Initial: before mitigation", all, labels, func(x Risk) (int, int) { return x.Likelihood, x.Impact }),
		v.matrix("Residual: what remains", all, labels, func(x Risk) (int, int) {
			if x.assessed() {
				return x.ResidualLikelihood, x.ResidualImpact
			}
			return x.Likelihood, x.Impact
		}),
	}}
	legend := line{t("Levels: ")}
	for i, l := range v.scale() {
		legend = append(legend, span{text: t(l.Name + " " + strconv.Itoa(l.From) + "–" + strconv.Itoa(l.To)).text, style: chip, level: min(i+1, 4)}, t("  "))
	}
	return []block{result{head}, subtitle{"matrix", "Risk matrix"}, pictures, paragraph{text: legend, size: -1}, paragraph{text: say(note), size: -1},
		subtitle{"register", "Register"}, v.register(all, labels)}
}

func riskMark(n tally) span {
	s := riskFigure(n)
	s.text = map[mark]string{yes: "Acceptable.", caution: "Acceptable, accepted by name.", no: "Not acceptable as it stands."}[s.mark]
	return s
}

func levelCounts(v *Risks, n tally) string {
	var parts []string
	for i, l := range slices.Backward(v.scale()) {
		if i < 4 {
			parts = append(parts, strconv.Itoa(n.levels[i+1])+" "+strings.ToLower(l.Name))
		}
	}
	return strings.Join(parts, ", ")
}

// matrixLabels gives each risk a short name for the picture: its id without what all ids
// begin with, or its number in the register where ids are too long for a cell.
func matrixLabels(all []Risk) (labels []string, note string) {
	const longest = 8
	const closed = " Closed risks are in the register alone. Risks that nobody has assessed after mitigation stand in both at the same place."
	prefix := all[0].RiskID
	for _, x := range all {
		for !strings.HasPrefix(x.RiskID, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	prefix = prefix[:strings.LastIndex(prefix, "-")+1]
	for i, x := range all {
		label := clean(strings.TrimPrefix(x.RiskID, prefix))
		if label == "" || len([]rune(label)) > longest {
			for i = range all {
				labels = append(labels[:i], "no. "+strconv.Itoa(i+1))
			}
			return labels, "Numbers are those of the register below." + closed
		}
		labels = append(labels, label)
	}
	if prefix == "" {
		return labels, strings.TrimSpace(closed)
	}
	return labels, "Ids are written without " + clean(prefix) + "." + closed
}

// register is the table of risks.
func (v *Risks) register(all []Risk, labels []string) table {
	tab := table{columns: []column{{title: "Risk", share: 34}, {title: "Initial", share: 12}, {title: "Residual", share: 12}, {title: "Mitigation", share: 21}, {title: "Owner, state", share: 21}}}
	for i, x := range all {
		name := line{b(x.RiskID)}
		if strings.HasPrefix(labels[i], "no. ") {
			name = append(name, hush("  "+labels[i]))
		}
		residual := one(hush("not assessed"))
		if x.assessed() {
			residual = v.score(x.ResidualLikelihood, x.ResidualImpact, x.ResidualLevel)
		}
		tab.rows = append(tab.rows, []cell{
			join(cell{name}, text(x.Title), quietly(x.Category), prose(x.Description)),
			v.score(x.Likelihood, x.Impact, x.Level), residual, prose(x.Mitigation), riskState(x),
		})
	}
	return tab
}

// score is "12 High" with its factors.
func (v *Risks) score(likelihood, impact int, name string) cell {
	s := likelihood * impact
	level := v.level(s)
	if name == "" && level > 0 {
		name = v.scale()[min(level, len(v.scale()))-1].Name
	}
	return cell{{span{text: t(strconv.Itoa(s) + " " + name).text, style: chip, level: level}}, {hush(strconv.Itoa(likelihood) + " × " + strconv.Itoa(impact))}}
}

func riskState(x Risk) cell {
	c := join(text(or(x.Owner.String(), "nobody")), text(word(x.Status)))
	if x.AcceptedBy != (Person{}) {
		c = join(c, cell{{marked(yes, "accepted"), t(" by " + x.AcceptedBy.String() + prefixed(", ", x.AcceptedAs))}}, text(instant(x.AcceptedAt)), text(x.AcceptDecisionID))
	}
	if x.ReviewOn != "" && x.Status != "CLOSED" {
		if x.Overdue {
			c = join(c, cell{{marked(caution, "review overdue"), t(" since " + x.ReviewOn)}})
		} else {
			c = join(c, one(hush("next review "+x.ReviewOn)))
		}
	}
	return c
}
