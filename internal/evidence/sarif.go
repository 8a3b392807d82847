package evidence

import (
	"fmt"

	"caos"
)

// sarif reads a SARIF 2.1.0 log: every run, its tool and the level of each of its results.
// A run that its tool says did not end well fails, as does an open result of level error.
// Results that are suppressed, absent against the baseline, or of a kind that reports no
// fault do not count against it.
//
// A level that a result leaves out is its rule's, which the file may give after the
// results, so those are kept by rule until the end of the run.
func (rd *reading) sarif() error {
	j := rd.json()
	s := &sarifReader{rd: rd, j: j, out: &Results{}}
	version := ""
	runs := false
	err := j.object("the SARIF log", func(key string) (err error) {
		switch key {
		case "version":
			version, err = j.str("version")
			return err
		case "runs":
			runs = true
			return j.array("runs", s.run)
		}
		return j.skip()
	})
	if err == nil {
		err = j.end()
	}
	switch {
	case err != nil:
		return err
	case version != "2.1.0":
		return refuse("the SARIF log is of version %.20q, not 2.1.0", version)
	case !runs || s.out.Runs == 0:
		return refuse("the SARIF log holds no run").WithHint("nothing to check is not a pass: was the right file written?")
	}
	rd.out.Results = s.out
	rd.out.Verdict = Passed
	if s.out.Error > 0 || s.broken {
		rd.out.Verdict = Failed
	}
	return nil
}

type sarifReader struct {
	rd     *reading
	j      *jsonStream
	out    *Results
	total  int
	broken bool // a tool that did not end well

	open   map[string]int    // results of this run without a level, by rule
	levels map[string]string // default levels of this run's rules
}

// maxRules bounds what is remembered of one run's rules.
const maxRules = 20_000

func (s *sarifReader) run(int) error {
	s.out.Runs++
	s.open, s.levels = map[string]int{}, map[string]string{}
	tool, results := "", false
	err := s.j.object("a run", func(key string) error {
		switch key {
		case "tool":
			return s.j.object("tool", func(key string) error {
				if key == "driver" {
					return s.driver(&tool)
				}
				return s.j.skip()
			})
		case "results":
			results = true
			return s.j.array("results", s.result)
		case "invocations":
			return s.j.array("invocations", s.invocation)
		}
		return s.j.skip()
	})
	if err != nil {
		return err
	}
	if tool == "" {
		return refuse("a run of the SARIF log does not name its tool")
	}
	if !results {
		return refuse("a run of the SARIF log has no results").WithHint("a tool that found nothing writes an empty list; one that only listed rules checked nothing")
	}
	if s.rd.out.Tool == "" {
		s.rd.out.Tool = clip(tool, 100)
	}
	for rule, n := range s.open {
		level := s.levels[rule]
		if level == "" {
			level = "warning"
		}
		if err := s.count(level, n); err != nil {
			return err
		}
	}
	return nil
}

func (s *sarifReader) driver(tool *string) error {
	name, version := "", ""
	err := s.j.object("driver", func(key string) (err error) {
		switch key {
		case "name":
			name, err = s.j.str("the tool's name")
			return err
		case "version", "semanticVersion":
			v, err := s.j.str("the tool's version")
			if version == "" {
				version = v
			}
			return err
		case "rules":
			return s.j.array("rules", s.rule)
		}
		return s.j.skip()
	})
	*tool = name
	if version != "" {
		*tool += " " + version
	}
	return err
}

func (s *sarifReader) rule(i int) error {
	v, err := s.j.value()
	if err != nil {
		return err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return refuse("rule %d is not an object", i)
	}
	if i >= maxRules {
		return caos.Errorf(caos.TooLarge, "a run has more than %d rules", maxRules)
	}
	id := text(m["id"])
	if c, ok := m["defaultConfiguration"].(map[string]any); ok {
		s.levels[id] = text(c["level"])
		s.levels[fmt.Sprint("#", i)] = text(c["level"])
	}
	return nil
}

func (s *sarifReader) invocation(int) error {
	v, err := s.j.value()
	if err != nil {
		return err
	}
	if m, ok := v.(map[string]any); ok && m["executionSuccessful"] == false {
		s.broken = true
	}
	return nil
}

func (s *sarifReader) result(i int) error {
	v, err := s.j.value()
	if err != nil {
		return err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return refuse("result %d is not an object", i)
	}
	if _, ok := m["message"].(map[string]any); !ok {
		return refuse("result %d has no message", i)
	}
	if s.total++; s.total > s.rd.lim.MaxItems {
		return caos.Errorf(caos.TooLarge, "the SARIF log has more than %d results", s.rd.lim.MaxItems)
	}
	if suppressed(m) || m["baselineState"] == "absent" {
		s.out.Suppressed++
		return nil
	}
	switch kind := text(m["kind"]); kind {
	case "", "fail":
	case "pass", "open", "informational", "notApplicable", "review":
		s.out.None++
		return nil
	default:
		return refuse("result %d is of the unknown kind %.40q", i, kind)
	}
	if level, ok := m["level"]; ok {
		return s.count(text(level), 1)
	}
	rule := text(m["ruleId"])
	if r, ok := m["rule"].(map[string]any); ok && rule == "" {
		rule = text(r["id"])
	}
	if idx := text(m["ruleIndex"]); rule == "" && idx != "" {
		rule = "#" + idx
	}
	if _, known := s.open[rule]; !known && len(s.open) >= maxRules {
		return caos.Errorf(caos.TooLarge, "the results name more than %d rules", maxRules)
	}
	s.open[rule]++
	return nil
}

func (s *sarifReader) count(level string, n int) error {
	switch level {
	case "error":
		s.out.Error += n
	case "warning":
		s.out.Warning += n
	case "note":
		s.out.Note += n
	case "none":
		s.out.None += n
	default:
		return refuse("a result is of the unknown level %.40q", level)
	}
	return nil
}

// suppressed reports whether somebody accepted the result: a suppression under review or
// rejected does not hide it.
func suppressed(m map[string]any) bool {
	list, _ := m["suppressions"].([]any)
	for _, v := range list {
		if sup, ok := v.(map[string]any); ok {
			if st := text(sup["status"]); st != "" && st != "accepted" {
				return false
			}
		}
	}
	return len(list) > 0
}
