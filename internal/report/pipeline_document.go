package report

import (
	_ "embed"
	"strconv"
	"strings"
	"time"
)

//go:embed pipeline.css
var pipelineSheet string

// Bounds of what the page shows; the JSON has the rest.
const (
	maxRunFiles   = 40
	maxRunRejects = 25
	maxRunChecks  = 60
	maxRunIssues  = 60
)

// buildPipeline decides what the execution report says.
func buildPipeline(r *Pipeline) *document {
	d := &document{
		title:    t("Data pipeline " + r.ExecutionID).text,
		subject:  t(strings.TrimSpace("What the run of " + r.PipelineID + " read, made and published")).text,
		marking:  t(or(r.Classification, "not classified")).text,
		left:     t(strings.Join(present(r.PipelineID, prefixed("version ", r.Version)), "  ·  ")).text,
		right:    t(r.ExecutionID).text,
		keywords: present(r.ExecutionID, r.PipelineID, r.Project),
		sheet:    pipelineSheet,
	}
	d.sections = []section{
		{id: "summary", title: "Summary", blocks: runSummary(r)},
		{id: "flow", title: "From sources to targets", blocks: runFlow(r)},
		{id: "in", title: "What went in", blocks: runSources(r)},
		{id: "made", title: "What was made of it", blocks: runSteps(r)},
		{id: "quality", title: "Quality checks", blocks: runQuality(r)},
		{id: "out", title: "What came out", blocks: runTargets(r)},
		{id: "compute", title: "Compute and time", blocks: runCosts(r)},
		{id: "verify", title: "How to verify this report", blocks: runVerify(r)},
	}
	for i := range d.sections[1:] {
		d.sections[i+1].number = strconv.Itoa(i + 1)
	}
	return d
}

// runWord is the verdict with its mark.
func runWord(status string) span {
	switch status {
	case "SUCCESS", "PASS", PartDone:
		return marked(yes, status)
	case "PARTIAL", "WARNING", PartMissing:
		return marked(caution, status)
	case "FAILED", "FAIL", "CANCELLED", PartUndone:
		return marked(no, status)
	}
	return marked(open, or(status, "NOT STATED"))
}

func runSummary(r *Pipeline) []block {
	blocks := []block{
		masthead{kicker: "Data pipeline execution report", title: t(strings.TrimSpace(r.PipelineID + " " + r.Version)).text, name: t(r.Title).text, facts: []fact{
			{"Execution", one(c(r.ExecutionID))},
			{"Mode", text(word(r.Mode))},
			{"Interval", text(r.Interval)},
			{"Requested by", text(r.RequestedBy)},
			{"Began", text(moment(r.BeganAt))},
			{"Ended", text(moment(r.EndedAt))},
			{"Owner", text(r.Owner)},
			{"Project", text(r.Project)},
			{"Classification", text(or(r.Classification, "not classified"))},
		}},
		panels{[]panel{{"Outcome", runWord(r.Status), []line{runVerdict(r)}}, {"Data quality, blocking checks", runScore(r), []line{runScoreText(r)}}}},
	}
	blocks = append(blocks, runIssues(r)...)
	return append(blocks, subtitle{"figures", "In figures"}, tiles{runFigures(r)})
}

// runVerdict says in a sentence what the outcome means.
func runVerdict(r *Pipeline) line {
	switch r.Status {
	case "SUCCESS":
		return say("All sources were read, no blocking check failed, and all targets are published.")
	case "PARTIAL":
		return say("Published, without something that the definition calls optional; the issues name it.")
	case "FAILED", "CANCELLED":
		for _, f := range r.Findings {
			if f.Rule == "target-not-undone" {
				return say("No version is published, but a target could not be put back as it was; the issues name it.")
			}
		}
	}
	switch r.Status {
	case "CANCELLED":
		return say("It was cancelled. Nothing is published, and the targets are as they were.")
	case "FAILED":
		return say("Nothing is published. The targets are as they were before.")
	}
	return say("The run has not ended.")
}

func runScore(r *Pipeline) span {
	if r.Score == nil {
		return marked(open, "none")
	}
	m := yes
	if *r.Score < 1 {
		m = caution
	}
	return marked(m, runMark(r.Score))
}

// runMark is a share between 0 and 1 as it is printed: never rounded up to 1.
func runMark(v *float64) string {
	if v == nil {
		return ""
	}
	s := strconv.FormatFloat(*v, 'f', 4, 64)
	if *v < 1 && s == "1.0000" {
		s = "0.9999"
	}
	return s
}

func runScoreText(r *Pipeline) line {
	performed, failed, blocking, contracts := 0, 0, 0, 0
	for _, x := range r.Targets {
		if x.Quality != nil {
			contracts++
			performed += x.Quality.Performed
			failed += x.Quality.Failed
			for _, k := range x.Quality.Checks {
				blocking += bit(!k.Passed && k.Severity == "error")
			}
		}
	}
	if contracts == 0 {
		return say("No contract was checked, so nothing is known of the data's quality.")
	}
	text := count(performed, "check", "checks") + " of " + count(contracts, "target", "targets")
	switch {
	case failed == 0:
		return say(text, ", all passed.")
	case blocking == 0:
		return say(text, ". "+count(failed, "check", "checks")+" failed, none that blocks.")
	}
	return say(text, ". "+count(failed, "check", "checks")+" failed, ", strconv.Itoa(blocking), " of them blocking.")
}

// runIssues come first: what is wrong, and what to do about it.
func runIssues(r *Pipeline) []block {
	if len(r.Issues) == 0 && len(r.Findings) == 0 {
		return []block{subtitle{"issues", "Issues"}, paragraph{text: line{marked(yes, "None."), t(" ")}}}
	}
	blocks := []block{subtitle{"issues", "Issues"}}
	told := map[string]bool{}
	var rows [][]cell
	for _, f := range r.Findings {
		told[sentence(f.Message)] = true
		rows = append(rows, []cell{one(runWord("FAILED")), join(line1(sentence(f.Message)), one(hush(prefixed("rule ", f.Rule)))), prose(f.Remedy)})
	}
	for _, s := range r.Issues {
		if !told[sentence(s)] {
			rows = append(rows, []cell{one(runWord("WARNING")), text(sentence(s)), nil})
		}
	}
	if more := len(rows) - maxRunIssues; more > 0 {
		rows = append(rows[:maxRunIssues], []cell{nil, text("And " + strconv.Itoa(more) + " more; the report as JSON has all."), nil})
	}
	for i := range rows {
		if i >= len(r.Findings) {
			rows[i][0] = one(marked(caution, "issue"))
		} else {
			rows[i][0] = one(marked(no, "stopped it"))
		}
	}
	if len(r.Findings) == 0 { // an issue says all there is to say
		for i := range rows {
			rows[i] = rows[i][:2]
		}
		return append(blocks, table{columns: []column{{"", 14, false}, {"What", 70, false}}, rows: rows})
	}
	return append(blocks, table{columns: []column{{"", 14, false}, {"What", 50, false}, {"What to do", 36, false}}, rows: rows})
}

func line1(s string) cell {
	if s == "" {
		return nil
	}
	return cell{{b(s)}}
}

func runFigures(r *Pipeline) []tile {
	sources, missing, published, rejected := 0, 0, 0, int64(0)
	var rows int64
	for _, x := range r.Sources {
		sources += bit(x.State == PartDone)
		missing += bit(x.State != PartDone)
		rejected += x.Rejected
	}
	for _, x := range r.Targets {
		published += bit(x.State == PartDone)
		if x.State == PartDone {
			rows += x.Rows
		}
	}
	detail := "all read"
	if missing > 0 {
		detail = strconv.Itoa(missing) + " not read"
	}
	left := "none rejected"
	if rejected > 0 {
		left = thousands(rejected) + " rejected"
	}
	return []tile{
		{"Sources", share(sources, len(r.Sources), caution), detail, "in"},
		{"Rows read", plainFigure(thousands(r.Records)), left, "in"},
		{"Targets published", share(published, len(r.Targets), caution), thousands(rows) + " rows", "out"},
		{"Time", plainFigure(runTime(r.Seconds)), "without waiting", "compute"},
	}
}

func plainFigure(s string) span { return span{text: s, style: strong} }

// runTime is a duration as people read it.
func runTime(s float64) string {
	switch {
	case s < 0:
		return ""
	case s < 0.9995:
		return strconv.FormatFloat(s*1000, 'f', 0, 64) + " ms"
	case s < 60:
		return strconv.FormatFloat(s, 'f', 1, 64) + " s"
	}
	return (time.Duration(s) * time.Second).String()
}

// rowsOf is a number of rows, or that they are counted where they are read.
func rowsOf(n int64) string {
	if n < 0 {
		return "view"
	}
	return thousands(n)
}

// runState is a part's state with its mark, and the reason below it.
func runState(s, reason string) cell {
	c := one(runWord(s))
	switch s {
	case PartNotRun:
		c = one(marked(open, "not run"))
	case PartDone:
		c = one(marked(yes, "done"))
	case PartMissing:
		c = one(marked(caution, "missing"))
	case PartFailed:
		c = one(marked(no, "failed"))
	case PartUndone:
		c = one(marked(no, "taken back"))
	}
	return join(c, text(reason))
}

func runSources(r *Pipeline) []block {
	rows := make([][]cell, 0, len(r.Sources))
	for _, x := range r.Sources {
		name := join(line1(x.Name), one(hush(map[bool]string{true: "optional", false: "required"}[x.Optional]+prefixed(", ", x.Format))))
		rows = append(rows, []cell{name, join(one(c(x.URI)), one(hush(x.Dataset)), one(runDigest(x.Digest))), runState(x.State, x.Reason),
			text(filesOf(len(x.Files), x.Bytes)), text(thousands(x.Rows)), text(thousands(x.Rejected))})
	}
	blocks := []block{
		result{say(thousands(r.Records), " rows were read, rejected ones included.")},
		table{columns: []column{{"Source", 15, false}, {"Where, and what was there", 38, false}, {"State", 15, false}, {"Files", 12, true}, {"Rows", 10, true}, {"Rejected", 10, true}}, rows: rows, none: "The run read no source."},
	}
	for n, x := range r.Sources {
		blocks = append(blocks, rejects(n, x)...)
	}
	return blocks
}

func filesOf(n int, bytes int64) string {
	if n == 0 {
		return ""
	}
	return count(n, "file", "files") + ", " + size(bytes)
}

func runDigest(s string) span {
	if s == "" {
		return span{}
	}
	return c(s)
}

// rejects are rows that were left out, with file and line.
func rejects(n int, x PipeIn) []block {
	if len(x.Rejects) == 0 {
		return nil
	}
	shown := x.Rejects[:min(len(x.Rejects), maxRunRejects)]
	rows := make([][]cell, 0, len(shown))
	for _, j := range shown {
		at := j.File
		if j.Line > 0 {
			at += ":" + strconv.FormatInt(j.Line, 10)
		}
		rows = append(rows, []cell{one(c(at)), one(c(j.Column)), text(j.Message)})
	}
	return []block{subtitle{"rejects-" + strconv.Itoa(n+1), "Rows of " + t(x.Name).text + " that were left out"},
		paragraph{text: say("The first " + strconv.Itoa(len(shown)) + " of " + thousands(x.Rejected) + "."), size: -1},
		table{columns: []column{{"File and line", 32, false}, {"Column", 18, false}, {"Why", 50, false}}, rows: rows}}
}

func runSteps(r *Pipeline) []block {
	rows := make([][]cell, 0, len(r.Steps))
	for _, x := range r.Steps {
		took := ""
		if x.State == PartDone && x.Rows >= 0 {
			took = runTime(x.Seconds)
		}
		n := ""
		if x.State == PartDone {
			n = rowsOf(x.Rows)
		}
		rows = append(rows, []cell{line1(x.Name), text(strings.Join(x.From, ", ")), runState(x.State, x.Reason), text(n), text(columnsOf(x.Columns)), text(took)})
	}
	blocks := []block{table{columns: []column{{"Transform", 22, false}, {"Reads", 26, false}, {"State", 20, false}, {"Rows", 12, true}, {"Columns", 10, true}, {"Time", 10, true}}, rows: rows,
		none: "The targets are written from sources as they are."}}
	if len(r.Steps) > 0 {
		var list []sqlText
		for _, x := range r.Steps {
			list = append(list, sqlText{x.Name, x.SQL})
		}
		blocks = append(blocks, subtitle{"sql", "SQL"}, sqlTexts{list})
	}
	return blocks
}

func columnsOf(list []PipeColumn) string {
	if len(list) == 0 {
		return ""
	}
	return strconv.Itoa(len(list))
}

// sqlTexts shows what a run computed, folded up.
type sqlTexts struct{ list []sqlText }

type sqlText struct{ name, sql string }

func (sqlTexts) block() {}

func (x sqlTexts) html(p *page) {
	for _, s := range x.list {
		p.raw("<details><summary><code>").text(t(s.name).text).raw("</code></summary><pre><code>").text(clean(s.sql)).raw("</code></pre></details>\n")
	}
}

func runQuality(r *Pipeline) []block {
	var blocks []block
	for n, x := range r.Targets {
		q := x.Quality
		if q == nil {
			continue
		}
		blocks = append(blocks, subtitle{"checks-" + strconv.Itoa(n+1), t(x.Name).text}, facts{[]fact{
			{"Outcome", join(one(runWord(q.Status)), text(q.Reason))},
			{"Contract", join(text(q.Contract), one(runDigest(q.Digest)))},
			{"Checks", text(strconv.Itoa(q.Passed) + " of " + strconv.Itoa(q.Performed) + " passed")},
			{"Score of all checks", text(or(runMark(q.Score), "none"))},
			{"Score of blocking checks", text(or(runMark(q.Blocking), "none"))},
			{"Anomalies", text(thousands(q.Anomalies))},
		}}, checksTable(q))
	}
	if len(blocks) == 0 {
		return []block{paragraph{text: line{marked(open, "No contract was checked."), t(" Name one in the definition, so that bad data is kept from being published.")}}}
	}
	return blocks
}

// checksTable shows the checks, those that failed first.
func checksTable(q *PipeQuality) table {
	var rows [][]cell
	add := func(passed bool) {
		for _, x := range q.Checks {
			if x.Passed != passed || len(rows) >= maxRunChecks {
				continue
			}
			m := marked(yes, "passed")
			switch {
			case !passed && x.Severity == "error":
				m = marked(no, "failed")
			case !passed:
				m = marked(caution, "failed")
			}
			failing := ""
			if x.Failing > 0 {
				failing = thousands(x.Failing)
			}
			rows = append(rows, []cell{join(line1(or(x.Name, x.ID)), one(hush(x.Column))), one(m), text(x.Severity), join(text(x.Value), text(x.Message)), text(x.Expected), text(failing)})
		}
	}
	add(false)
	add(true)
	return table{columns: []column{{"Check", 26, false}, {"Result", 12, false}, {"Severity", 10, false}, {"Measured", 22, false}, {"Expected", 18, false}, {"Rows", 12, true}}, rows: rows, none: "The contract has no checks."}
}

func runTargets(r *Pipeline) []block {
	rows := make([][]cell, 0, len(r.Targets))
	for _, x := range r.Targets {
		version := cell(nil)
		if x.N > 0 {
			version = line1(x.Dataset + ", version " + strconv.FormatInt(x.N, 10))
			if s := link(x.Page, x.Page); s.href != "" {
				version = join(version, one(s))
			}
		}
		name := join(line1(x.Name), one(hush(map[bool]string{true: "optional", false: "required"}[x.Optional]+prefixed(", ", x.Format))))
		rows = append(rows, []cell{name, join(one(c(x.URI)), version, one(runDigest(x.Digest))), runState(x.State, x.Reason), text(filesOf(len(x.Files), x.Bytes)), text(rowsOf(x.Rows))})
	}
	blocks := []block{table{columns: []column{{"Target", 16, false}, {"Where, and which version", 42, false}, {"State", 18, false}, {"Files", 13, true}, {"Rows", 11, true}}, rows: rows}}
	for n, x := range r.Targets {
		if len(x.Files) == 0 {
			continue
		}
		shown := x.Files[:min(len(x.Files), maxRunFiles)]
		var list [][]cell
		for _, f := range shown {
			list = append(list, []cell{one(c(f.Name)), one(c(f.Digest)), text(size(f.Bytes))})
		}
		blocks = append(blocks, subtitle{"files-" + strconv.Itoa(n+1), "Files of " + t(x.Name).text})
		if len(shown) < len(x.Files) {
			blocks = append(blocks, paragraph{text: say("The first ", strconv.Itoa(len(shown)), " of ", strconv.Itoa(len(x.Files)), "; the report as JSON has all."), size: -1})
		}
		blocks = append(blocks, table{columns: []column{{"File", 32, false}, {"Digest", 55, false}, {"Size", 13, true}}, rows: list})
	}
	return blocks
}

func runCosts(r *Pipeline) []block {
	k := r.Compute
	used := size(k.PeakBytes)
	if k.PeakBytes == 0 {
		used = ""
	}
	blocks := []block{facts{[]fact{
		{"Memory", text(strings.Join(present(prefixed("asked for ", size(k.MemoryBytes)), prefixed("used at most ", used)), ", "))},
		{"Threads", text(strconv.Itoa(k.Threads))},
		{"Scratch", text("at most " + size(k.ScratchBytes))},
		{"Time limit", text(runTime(k.Timeout))},
		{"Fetching", text(runTime(k.FetchSeconds))},
		{"In the worker", text(runTime(k.WorkerSeconds))},
		{"Waited for its turn", text(runTime(k.WaitedTurn))},
		{"Waited for compute", text(runTime(k.WaitedCompute))},
		{"Node", text(k.Node)},
	}}}
	rows := make([][]cell, 0, len(r.Moments))
	for _, m := range r.Moments {
		took := ""
		if m.Seconds > 0 {
			took = runTime(m.Seconds)
		}
		rows = append(rows, []cell{text(instant(m.At)), text(m.Text), text(took)})
	}
	return append(blocks, subtitle{"timeline", "Timeline"}, table{columns: []column{{"Time (UTC)", 26, false}, {"What", 60, false}, {"Took", 14, true}}, rows: rows})
}

func runVerify(r *Pipeline) []block {
	l := make([]step, 0, len(r.Verification))
	for _, i := range r.Verification {
		l = append(l, step{text: say(i.Text), command: t(i.Command).text, expect: t(i.Expect).text})
	}
	return []block{steps{l}}
}
