package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"caos"
)

// How much of a validation is shown. What is left out is counted in a sentence.
const (
	maxShownChecks  = 1000
	maxShownColumns = 300
	maxShownSamples = 100
	maxShownWrong   = 12 // failed checks in the summary
	maxShownSQL     = 6000
)

func buildQuality(q *Quality) *document {
	name := strings.TrimSpace(q.DatasetID + " version " + strconv.FormatInt(q.DatasetVersion, 10))
	d := &document{
		title:    t("Data validation " + q.ValidationID).text,
		subject:  t("Does " + name + " meet " + q.ContractID + "?").text,
		marking:  t(or(q.Classification, "not classified")).text,
		left:     t(strings.Join(present(q.ValidationID, q.DatasetID), "  ·  ")).text,
		right:    t(strings.Join(present(q.ContractID, prefixed("version ", q.ContractVersion)), "  ·  ")).text,
		keywords: present(q.ValidationID, q.DatasetID, q.ContractID, q.PipelineID, q.Project),
		sheet:    pictureSheet,
	}
	d.sections = []section{
		{id: "summary", title: "Summary", blocks: qualitySummary(q, name)},
		{id: "dimensions", title: "Dimensions and trend", blocks: qualityDimensions(q)},
		{id: "checks", title: "Every check", blocks: qualityChecks(q)},
		{id: "columns", title: "Columns", blocks: qualityColumns(q)},
		{id: "outliers", title: "Anomalies and outliers", blocks: qualityOutliers(q)},
		{id: "samples", title: "Rows that were flagged", blocks: qualitySamples(q)},
		{id: "read", title: "What was read", blocks: qualityRead(q)},
		{id: "again", title: "How to check it again", blocks: qualityAgain(q)},
	}
	for i := range d.sections[1:] {
		d.sections[i+1].number = strconv.Itoa(i + 1)
	}
	return d
}

// verdictOf is a verdict with its mark.
func verdictOf(s string) span {
	switch s {
	case Pass:
		return marked(yes, s)
	case Warning:
		return marked(caution, s)
	case Fail:
		return marked(no, s)
	}
	return marked(open, or(s, "NOT STATED"))
}

func qualitySummary(q *Quality, name string) []block {
	failed := q.failed()
	blocks := []block{
		masthead{kicker: "Data validation", title: t(name).text, name: t(q.ContractName).text, facts: []fact{
			{"Validation", text(q.ValidationID)},
			{"Made", text(moment(q.At))},
			{"Rules", text(strings.Join(present(q.ContractID, prefixed("version ", q.ContractVersion)), ", "))},
			{"Pipeline run", text(q.PipelineExecution)},
			{"Classification", text(or(q.Classification, "not classified"))},
			{"Project", text(q.Project)},
		}},
		paragraph{text: q.answer(name, failed), size: 1},
		panels{[]panel{q.verdictPanel(failed), q.scorePanel()}},
	}
	if wrong := q.wrong(failed); len(wrong) > 0 {
		blocks = append(blocks, subtitle{"wrong", "What is wrong"}, bullets{wrong})
	}
	if len(q.Findings) > 0 {
		var l []line
		for _, f := range q.Findings {
			one := line{t(sentence(f.Message))}
			if f.Remedy != "" {
				one = append(one, hush(" "), hush(sentence(f.Remedy)))
			}
			l = append(l, one)
		}
		blocks = append(blocks, subtitle{"findings", "Also to know"}, bullets{l})
	}
	blocks = append(blocks, subtitle{"figures", "In figures"}, tiles{q.figures()})
	return append(blocks, append(q.since(), subtitle{"contents", "Contents"}, contents{})...)
}

// failed are the checks that failed, those that block first, then by how much they weigh.
func (q *Quality) failed() []QualityCheck {
	var out []QualityCheck
	for _, k := range q.Checks {
		if !k.Passed {
			out = append(out, k)
		}
	}
	slices.SortStableFunc(out, func(a, b QualityCheck) int {
		if d := rankOf(a.Severity) - rankOf(b.Severity); d != 0 {
			return d
		}
		switch {
		case a.Weight > b.Weight:
			return -1
		case a.Weight < b.Weight:
			return 1
		}
		return 0
	})
	return out
}

func rankOf(severity string) int {
	switch severity {
	case "error":
		return 0
	case "warning":
		return 1
	}
	return 2
}

// answer is the first sentence: does the dataset meet its rules?
func (q *Quality) answer(name string, failed []QualityCheck) line {
	l := line{b(name)}
	blocking := 0
	for _, k := range failed {
		blocking += bit(rankOf(k.Severity) == 0)
	}
	rules := []span{t(" the rules "), b(or(q.ContractID, "(not stated)"))}
	switch {
	case q.Status == Pass:
		return append(append(append(l, t(" meets")), rules...), t(fmt.Sprintf(": all of its %s passed on %s rows.", count(len(q.Checks), "check", "checks"), thousands(q.Rows))))
	case q.Status == Warning:
		return append(append(append(l, t(" meets")), rules...), t(fmt.Sprintf(" where they block; %s out of %d failed that do not.", count(len(failed), "check", "checks"), len(q.Checks))))
	case len(q.Checks) == 0:
		return append(append(append(l, t(" cannot be said to meet")), rules...), t(": there was nothing to check."))
	case len(failed) == 0:
		return append(append(append(l, t(" does not meet")), rules...), t(fmt.Sprintf(", although no check failed: %s rows were read.", thousands(q.Rows))))
	case blocking == 0:
		return append(append(append(l, t(" does not meet")), rules...), t(fmt.Sprintf(": %d of %s failed.", len(failed), count(len(q.Checks), "check", "checks"))))
	}
	return append(append(append(l, t(" does not meet")), rules...), t(fmt.Sprintf(": %s that must hold failed, of %d.", count(blocking, "check", "checks"), len(q.Checks))))
}

func (q *Quality) verdictPanel(failed []QualityCheck) panel {
	text := []line{say(fmt.Sprintf("%d of %s passed, %d failed.", len(q.Checks)-len(failed), count(len(q.Checks), "check", "checks"), len(failed)))}
	if n := len(q.Trend); n > 1 {
		text = append(text, line{hush("Before that: " + or(q.Trend[n-2].Status, "no verdict") + ".")})
	}
	return panel{label: "Verdict", head: verdictOf(q.Status), text: text}
}

func (q *Quality) scorePanel() panel {
	p := panel{label: "Quality score", head: span{text: scoreText(q.Score), style: strong, tone: verdictOf(q.Status).tone}}
	if q.Score == nil {
		p.text = []line{say("There was nothing to score.")}
		return p
	}
	p.text = []line{say("Weight of the checks that passed, of the weight of all.")}
	if q.Change != nil && q.Change.Score != nil && *q.Change.Score != 0 {
		p.text = append(p.text, line{hush("Since the last validation: " + signed(*q.Change.Score) + ".")})
	}
	return p
}

// wrong says in a sentence each what failed.
func (q *Quality) wrong(failed []QualityCheck) []line {
	var out []line
	for i, k := range failed {
		if i == maxShownWrong {
			return append(out, line{link0("#checks", fmt.Sprintf("%d more checks failed.", len(failed)-i))})
		}
		out = append(out, k.sentence(q.Rows))
	}
	return out
}

// link0 is a link within the page.
func link0(to, s string) span { return span{text: t(s).text, href: to} }

// sentence says what is wrong, for people.
func (k QualityCheck) sentence(rows int64) line {
	m := caution
	if rankOf(k.Severity) == 0 {
		m = no
	}
	l := line{marked(m, or(k.Name, k.ID))}
	if k.Column != "" && !strings.Contains(k.Name, k.Column) {
		l = append(l, t(" ("), c(k.Column), t(")"))
	}
	if k.CannotRun {
		return append(l, t(" could not be checked: "+sentence(or(k.Message, "no reason was given"))))
	}
	l = append(l, t(": "))
	if k.Description != "" {
		l = append(l, t(sentence(k.Description)+" "))
	}
	l = append(l, t("Measured "), b(or(k.Value, "nothing")), t(", expected "+or(k.Expected, "(not stated)")))
	switch {
	case k.FailingRows == 0 || strings.Contains(k.Value, " row"): // it is said
	case rows > 0:
		l = append(l, t(fmt.Sprintf("; %s of %s rows (%s)", thousands(k.FailingRows), thousands(rows), percent(k.FailingRows, rows))))
	default:
		l = append(l, t(fmt.Sprintf("; %s rows", thousands(k.FailingRows))))
	}
	l = append(l, t("."))
	if k.Message != "" {
		l = append(l, hush(" "+sentence(k.Message)))
	}
	return l
}

func (q *Quality) figures() []tile {
	passed := len(q.Checks) - len(q.failed())
	cells := int64(0)
	for _, x := range q.Columns {
		cells += x.Nulls
	}
	anomalies := span{text: thousands(q.Anomalies), style: strong}
	if q.Anomalies > 0 {
		anomalies = marked(caution, thousands(q.Anomalies))
	}
	return []tile{
		{"Checks passed", share(passed, len(q.Checks), worst(q.Status == Fail)), count(len(q.Dimensions), "dimension", "dimensions"), "checks"},
		{"Rows", span{text: thousands(q.Rows), style: strong}, or(size(q.Bytes), ""), "read"},
		{"Missing values", span{text: thousands(cells), style: strong}, "in " + count(len(q.Columns), "column", "columns"), "columns"},
		{"Anomalies", anomalies, "distinct values flagged", "outliers"},
	}
}

// since says what differs from the validation before.
func (q *Quality) since() []block {
	if q.Change == nil {
		return nil
	}
	x := q.Change
	var l []line
	add := func(m mark, what string, names []string) {
		if len(names) > 0 {
			l = append(l, line{marked(m, what), t(" " + strings.Join(names[:min(len(names), 20)], ", ") + more(len(names)-20))})
		}
	}
	add(no, "Failing now:", x.FailingNow)
	add(yes, "Passing again:", x.PassingNow)
	add(open, "New checks:", x.Added)
	add(open, "Checks that are gone:", x.Dropped)
	if x.Status != q.Status {
		l = append(l, say("The verdict was "+or(x.Status, "none")+"."))
	}
	if x.Score != nil && *x.Score != 0 {
		l = append(l, say("The score changed by "+signed(*x.Score)+"."))
	}
	if x.Rows != 0 {
		l = append(l, say(fmt.Sprintf("There are %s %s rows.", thousands(abs(x.Rows)), map[bool]string{true: "more", false: "fewer"}[x.Rows > 0])))
	}
	if x.ContractChanged {
		l = append(l, say("The rules are another version."))
	}
	if len(l) == 0 {
		l = append(l, say("Every check came to the same answer."))
	}
	if !x.DatasetChanged {
		l = append(l, say("The data are the same bytes."))
	}
	return []block{subtitle{"since", "Since " + t(x.Previous).text}, bullets{l}}
}

func qualityDimensions(q *Quality) []block {
	var rows []bar
	for _, x := range q.Dimensions {
		m := yes
		switch {
		case x.Failed > 0:
			m = caution
		case x.Score == nil:
			m = open
		}
		rows = append(rows, bar{name: x.Name, share: x.Score, value: scoreText(x.Score), detail: fmt.Sprintf("%d of %d passed", x.Passed, x.Passed+x.Failed), mark: m})
	}
	blocks := []block{}
	if len(rows) == 0 {
		blocks = append(blocks, paragraph{text: line{hush("No check names a dimension of quality.")}})
	} else {
		blocks = append(blocks, bars{rows})
	}
	if len(q.Trend) > 1 {
		blocks = append(blocks, subtitle{"trend", "Score of the last " + count(len(q.Trend), "validation", "validations")}, trend{q.Trend})
	}
	return blocks
}

func qualityChecks(q *Quality) []block {
	tab := table{columns: []column{{"Check", 34, false}, {"Dimension", 13, false}, {"Measured", 15, true}, {"Expected", 17, true}, {"Rows", 11, true}, {"Weight", 10, true}},
		none: "There is no check."}
	shown := append(q.failed(), q.passed()...)
	for _, k := range shown[:min(len(shown), maxShownChecks)] {
		m := yes
		switch {
		case k.CannotRun, !k.Passed && rankOf(k.Severity) == 0:
			m = no
		case !k.Passed:
			m = caution
		}
		name := cell{{marked(m, or(k.Name, k.ID))}}
		if k.Column != "" {
			name = append(name, line{c(k.Column)})
		}
		if k.CannotRun {
			name = append(name, line{hush("could not run: " + k.Message)})
		} else if k.Description != "" {
			name = append(name, line{hush(k.Description)})
		}
		failing := ""
		if k.FailingRows > 0 {
			failing = thousands(k.FailingRows)
		}
		weight := text(strconv.FormatFloat(k.Weight, 'g', 6, 64))
		if k.Severity != "" {
			weight = append(weight, line{hush(k.Severity)})
		}
		tab.rows = append(tab.rows, []cell{name, text(k.Dimension), one(b(k.Value)), text(k.Expected), text(failing), weight})
	}
	blocks := []block{result{say(fmt.Sprintf("%d of %s passed.", len(q.Checks)-len(q.failed()), count(len(q.Checks), "check", "checks")))}, tab}
	return leftOut(blocks, len(shown)-maxShownChecks, "checks")
}

func (q *Quality) passed() (out []QualityCheck) {
	for _, k := range q.Checks {
		if k.Passed {
			out = append(out, k)
		}
	}
	return out
}

func leftOut(blocks []block, n int, what string) []block {
	if n > 0 {
		blocks = append(blocks, paragraph{text: line{hush(fmt.Sprintf("%d more %s are in the report's JSON.", n, what))}, size: -1})
	}
	return blocks
}

func qualityColumns(q *Quality) []block {
	if len(q.Columns) == 0 {
		return []block{paragraph{text: line{hush("No column was described.")}}}
	}
	blocks := []block{
		paragraph{text: say("The box holds the middle half of the values, the line in it is the median, the whiskers reach from 5 to 95 percent. Dashed lines are the bounds of a check of outliers; an arrow says that values go on beyond the picture."), size: -1},
		columns{q.Columns[:min(len(q.Columns), maxShownColumns)], q.Rows},
	}
	return leftOut(blocks, len(q.Columns)-maxShownColumns, "columns")
}

func qualityOutliers(q *Quality) []block {
	tab := table{columns: []column{{"Column", 22, false}, {"Rule", 34, false}, {"Below", 14, true}, {"Above", 14, true}, {"Rows", 16, true}}, none: "No check looks for outliers."}
	for _, x := range q.Columns {
		for _, o := range x.Outliers {
			tab.rows = append(tab.rows, []cell{one(c(x.Name)), text(o.Rule), text(number(o.Low)), text(number(o.High)), one(b(thousands(o.Rows)))})
		}
	}
	return []block{result{say(fmt.Sprintf("%s distinct %s flagged. An outlier is not an error: it decides the verdict only where a check says so.", thousands(q.Anomalies), plural(q.Anomalies, "value is", "values are")))}, tab}
}

func qualitySamples(q *Quality) []block {
	if len(q.Samples) == 0 {
		return []block{paragraph{text: line{hush("No row was kept: none was flagged, or the checks that failed are not about single rows.")}}}
	}
	names := map[string]string{}
	for _, k := range q.Checks {
		names[k.ID] = or(k.Name, k.ID)
	}
	blocks := []block{paragraph{text: say("A few of the rows that were flagged, with their key and the column that is wrong. Values that may not be shown are masked."), size: -1}}
	shown := q.Samples[:min(len(q.Samples), maxShownSamples)]
	for len(shown) > 0 {
		n := 1
		for n < len(shown) && shown[n].Check == shown[0].Check && sameColumns(shown[n], shown[0]) {
			n++
		}
		tab := table{}
		for _, v := range shown[0].Values {
			tab.columns = append(tab.columns, column{title: t(v.Column).text, share: max(5, min(70, 100/max(len(shown[0].Values), 1)))})
		}
		for _, s := range shown[:n] {
			var row []cell
			for _, v := range s.Values {
				row = append(row, v.cell())
			}
			tab.rows = append(tab.rows, row)
		}
		blocks = append(blocks, subtitle{"sample-" + strconv.Itoa(len(blocks)), or(names[shown[0].Check], shown[0].Check)}, tab)
		shown = shown[n:]
	}
	return leftOut(blocks, len(q.Samples)-maxShownSamples, "rows")
}

func sameColumns(a, b QualitySample) bool {
	return slices.EqualFunc(a.Values, b.Values, func(x, y QualityValue) bool { return x.Column == y.Column })
}

func (v QualityValue) cell() cell {
	switch {
	case v.Masked:
		return one(hush("(masked)"))
	case v.Value == "":
		return one(hush("(empty)"))
	}
	return one(c(v.Value))
}

func qualityRead(q *Quality) []block {
	return []block{facts{[]fact{
		{"Dataset", text(q.DatasetID + ", version " + strconv.FormatInt(q.DatasetVersion, 10))},
		{"Address", one(c(q.DatasetURI))},
		{"Digest", one(c(q.DatasetDigest))},
		{"Rows, bytes", text(thousands(q.Rows) + ", " + thousands(q.Bytes))},
		{"Written by", text(strings.Join(present(q.PipelineID, q.PipelineExecution), ", "))},
		{"Rules", text(strings.Join(present(q.ContractID, prefixed("version ", q.ContractVersion), prefixed("object ", q.ContractObject)), ", "))},
		{"Digest of the rules", one(c(q.ContractDigest))},
		{"Counted by", text(q.Engine)},
		{"Written up by", text(q.Program)},
		{"Took", text(strconv.FormatFloat(q.Seconds, 'f', 2, 64) + " s")},
		{"Execution", text(q.ExecutionID)},
		{"Asked for by", text(q.RequestedBy)},
	}}}
}

func qualityAgain(q *Quality) []block {
	blocks := []block{steps{[]step{
		{text: line{t("Fetch the files of the version and compare their digest with the one above.")}, command: "caos dataset show " + safeWord(q.DatasetID) + " --version " + strconv.FormatInt(q.DatasetVersion, 10)},
		{text: line{t("Fetch the rules and compare their digest.")}, command: "caos contract show " + safeWord(q.ContractID) + " --version " + safeWord(q.ContractVersion)},
		{text: line{t("Run the statements below, in their order, in DuckDB: the table that they begin with is the dataset. The first counts everything in one pass, the second looks at single rows.")}},
		{text: line{t("Or let CAOS do all of it again.")}, command: "caos validate " + safeWord(q.PipelineExecution) + " --rules " + safeWord(q.ContractID)},
	}}}
	list := details{}
	for _, x := range q.Statements[:min(len(q.Statements), maxShownChecks)] {
		sql := x.SQL
		if len(sql) > maxShownSQL {
			sql = strings.ToValidUTF8(sql[:maxShownSQL], "") + " …"
		}
		list.list = append(list.list, detail{head: line{b(x.Name)}, code: sql})
	}
	if len(list.list) > 0 {
		blocks = append(blocks, subtitle{"sql", "The statements"}, list)
	}
	return leftOut(blocks, len(q.Statements)-maxShownChecks, "statements")
}

// safeWord is a word that may stand in a command line that people copy.
func safeWord(s string) string {
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._:@-", r)) {
			return "…"
		}
	}
	return or(s, "…")
}

// scoreText shows a score so that one below 1 never reads as 1.
func scoreText(v *float64) string {
	if v == nil {
		return "none"
	}
	s := strconv.FormatFloat(*v, 'f', 4, 64)
	if *v < 1 && s == "1.0000" {
		s = "0.9999"
	}
	return strings.TrimSuffix(strings.TrimSuffix(s, "0"), "0")
}

func signed(v float64) string {
	s := strconv.FormatFloat(math.Abs(v), 'f', 4, 64)
	if v < 0 {
		return "−" + s
	}
	return "+" + s
}

// percent of rows, never shown as 0 or 100 if it is not.
func percent(n, of int64) string {
	if of <= 0 {
		return ""
	}
	f := 100 * float64(n) / float64(of)
	switch {
	case n > 0 && f < 0.01:
		return "under 0.01 %"
	case n < of && f > 99.99:
		return "over 99.99 %"
	}
	return strconv.FormatFloat(f, 'f', 2, 64) + " %"
}

// thousands writes a number in groups of three digits, with a typographic minus.
func thousands(n int64) string {
	return strings.Replace(caos.GroupDigits(strconv.FormatInt(n, 10)), "-", "−", 1)
}

func more(n int) string {
	if n > 0 {
		return fmt.Sprintf(" and %d more", n)
	}
	return ""
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}
