package evidence

import (
	"strings"
)

// testsJSON reads test results as JSON: an object with a list named tests, results or
// test_cases, or the list alone. A test is an object with an id (id, test_id, nodeid,
// fullName or name), an outcome (status, outcome, result or verdict) and, if it likes,
// requirement_ids. Other members are left alone.
func (rd *reading) testsJSON() error {
	j := rd.json()
	r := &resultsReader{rd: rd, j: j, tests: &Tests{}, requirements: map[string]Verdict{}}
	tok, err := j.token()
	if err != nil {
		return err
	}
	if err := j.deeper(); err != nil {
		return err
	}
	switch delim(tok) {
	case '{':
		err = j.members(func(key string) error {
			switch key {
			case "tests", "results", "test_cases":
				r.lists++
				return j.array(key, r.test)
			case "tool":
				v, err := j.value()
				rd.out.Tool = clip(text(v), 100)
				return err
			}
			return j.skip()
		})
	case '[':
		r.lists++
		err = j.items(r.test)
	default:
		return refuse("the test results are neither an object nor a list")
	}
	if err == nil {
		err = j.end()
	}
	if err != nil {
		return err
	}
	if r.lists != 1 {
		return refuse("the test results hold %d lists of tests, not one", r.lists).
			WithHint("an object with one list named tests, results or test_cases, each item with id and status")
	}
	if r.tests.Total == 0 {
		return refuse("the report holds no test").WithHint("nothing to check is not a pass: was the right file written?")
	}
	rd.out.Tests, rd.out.Verdict, rd.out.Requirements = r.tests, r.tests.verdict(), settle(r.requirements)
	return nil
}

type resultsReader struct {
	rd           *reading
	j            *jsonStream
	lists        int
	tests        *Tests
	requirements map[string]Verdict
}

func (r *resultsReader) test(i int) error {
	v, err := r.j.value()
	if err != nil {
		return err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return refuse("test %d is not an object", i)
	}
	id := text(first(m, "id", "test_id", "nodeid", "fullName", "name"))
	if id == "" {
		return refuse("test %d has no id", i)
	}
	var verdict Verdict
	outcome := first(m, "status", "outcome", "result", "verdict")
	switch strings.ToLower(text(outcome)) {
	case "pass", "passed", "ok", "success", "xfailed":
		verdict = Passed
	case "fail", "failed", "error", "errored", "broken", "timeout", "crashed", "xpassed", "inconclusive":
		verdict = Failed
	case "skip", "skipped", "pending", "todo", "disabled", "not_run", "notrun", "ignored", "deselected":
	default:
		return refuse("test %d (%.60q) has the outcome %.40q", i, id, text(outcome)).
			WithHint("an outcome is passed, failed, error or skipped")
	}
	r.tests.add(id, verdict)
	ids := words(first(m, "requirement_ids", "requirements", "requirement_id", "requirement"))
	for _, req := range ids {
		if CheckCoverID("", req) != nil {
			return refuse("test %d (%.60q) names the requirement %.60q, which is not a requirement id", i, id, req)
		}
	}
	return tally(r.requirements, ids, verdict)
}

// anyJSON reads a document that only has to be JSON.
func (rd *reading) anyJSON() error {
	j := rd.json()
	tok, err := j.dec.Token()
	if err != nil {
		return err
	}
	empty := false
	if d := delim(tok); d != 0 {
		empty = !j.dec.More()
		if err := j.deeper(); err != nil {
			return err
		}
		if d == '{' {
			err = j.members(func(string) error { return j.skip() })
		} else {
			err = j.items(func(int) error { return j.skip() })
		}
		if err != nil {
			return err
		}
	}
	if empty || tok == nil {
		return refuse("the JSON document is empty")
	}
	return j.end()
}

// logNDJSON reads a log of one JSON object a line.
func (rd *reading) logNDJSON() error {
	err := rd.lines(rd.lim.MaxValue, func(n int, line []byte) error {
		if len(strings.TrimSpace(string(line))) == 0 {
			return nil
		}
		if _, err := lineObject(line, n, rd.lim); err != nil {
			return err
		}
		rd.out.Lines++
		return nil
	})
	if err == nil && rd.out.Lines == 0 {
		err = refuse("the log holds no line")
	}
	return err
}

func delim(tok any) rune {
	if d, ok := tok.(interface{ String() string }); ok {
		switch d.String() {
		case "{":
			return '{'
		case "[":
			return '['
		}
	}
	return 0
}
