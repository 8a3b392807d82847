package evidence

import (
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"

	"caos"
)

// junit reads a JUnit XML report. There is no standard, so it reads what pytest, Surefire,
// Gradle, gotestsum and CTest have in common: testcase elements anywhere below testsuite,
// each passed unless it holds a failure, an error or a skipped. Elements and attributes it
// does not know are left alone. A document type declaration is refused: it is where
// entities come from.
//
// What a suite declares must be what it holds, since a report that was cut short, or
// tidied by hand, differs in that first.
func (rd *reading) junit() error {
	dec := xml.NewDecoder(rd.src)
	dec.Strict = true
	j := &junitReader{rd: rd, tests: &Tests{}, requirements: map[string]Verdict{}}
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		rd.src.mark(dec.InputOffset())
		switch t := tok.(type) {
		case xml.Directive:
			return refuse("the report has a document type declaration").WithHint("write it without <!DOCTYPE …>")
		case xml.StartElement:
			err = j.start(t)
		case xml.EndElement:
			err = j.end()
		case xml.CharData:
			if len(j.stack) == 0 && strings.TrimSpace(string(t)) != "" {
				err = refuse("text stands outside the report")
			}
		}
		if err != nil {
			return err
		}
	}
	if !j.rooted {
		return refuse("the artifact is not a JUnit report: it has no element")
	}
	if j.tests.Total == 0 {
		return refuse("the report holds no test").WithHint("nothing to check is not a pass: was the right file written?")
	}
	rd.out.Tests, rd.out.Verdict = j.tests, j.tests.verdict()
	rd.out.Requirements = settle(j.requirements)
	return nil
}

// junitReader holds the open elements and what was counted so far.
type junitReader struct {
	rd           *reading
	rooted       bool
	stack        []string
	suites       []junitSuite
	test         *junitCase
	tests        *Tests
	requirements map[string]Verdict
}

type junitSuite struct {
	name          string
	declared      int // tests, -1 if not declared
	bad           int // declared failures and errors, -1 if neither is
	held, heldBad int // tests and failed tests found, those of inner suites included
}

type junitCase struct {
	id           string
	verdict      Verdict
	requirements []string
}

func (j *junitReader) start(e xml.StartElement) error {
	name := e.Name.Local
	parent := ""
	if len(j.stack) > 0 {
		parent = j.stack[len(j.stack)-1]
	}
	if parent == "" {
		if j.rooted {
			return refuse("the artifact holds two documents")
		}
		j.rooted = true
		if name != "testsuites" && name != "testsuite" {
			return refuse("the artifact is not a JUnit report: its root is %.40q", name).WithHint("the root is testsuites or testsuite")
		}
	}
	if j.stack = append(j.stack, name); len(j.stack) > j.rd.lim.MaxDepth {
		return caos.Errorf(caos.TooLarge, "the report is nested more than %d deep", j.rd.lim.MaxDepth)
	}
	switch name {
	case "testsuite":
		return j.openSuite(e)
	case "testcase":
		if j.test != nil || parent != "testsuite" {
			return refuse("a testcase stands in %.40q", parent)
		}
		if j.tests.Total >= j.rd.lim.MaxItems {
			return caos.Errorf(caos.TooLarge, "the report has more than %d tests", j.rd.lim.MaxItems)
		}
		id := attr(e, "name")
		if id == "" {
			return refuse("test %d has no name", j.tests.Total+1)
		}
		if class := attr(e, "classname"); class != "" {
			id = class + "." + id
		}
		j.test = &junitCase{id: id, verdict: Passed}
		if s := attr(e, "status"); s == "notrun" || s == "disabled" {
			j.test.verdict = ""
		}
	case "failure", "error":
		if parent == "testcase" {
			j.test.verdict = Failed
		}
	case "skipped":
		if parent == "testcase" && j.test.verdict == Passed {
			j.test.verdict = ""
		}
	case "property":
		return j.property(e)
	}
	return nil
}

func (j *junitReader) openSuite(e xml.StartElement) error {
	if j.test != nil {
		return refuse("a testsuite stands in a testcase")
	}
	s := junitSuite{name: attr(e, "name"), declared: -1, bad: -1}
	for _, a := range []struct {
		name string
		into *int
	}{{"tests", &s.declared}, {"failures", &s.bad}, {"errors", &s.bad}} {
		v := attr(e, a.name)
		if v == "" {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(v))
		if err != nil || n < 0 || n > 1<<30 {
			return refuse("the suite %.60q declares %s=%.20q", s.name, a.name, v)
		}
		if a.name == "tests" {
			*a.into = n
		} else {
			*a.into = max(0, *a.into) + n
		}
	}
	j.suites = append(j.suites, s)
	return nil
}

// property takes the requirement that a test names, in the words that test tools' users
// settled on.
func (j *junitReader) property(e xml.StartElement) error {
	if j.test == nil {
		return nil
	}
	switch strings.ToLower(attr(e, "name")) {
	case "requirement", "requirements", "requirement_id", "requirement_ids", "req":
	default:
		return nil
	}
	for id := range strings.FieldsFuncSeq(attr(e, "value"), func(r rune) bool { return r == ',' || r == ';' || r == ' ' }) {
		if err := CheckCoverID("artifact_uri", id); err != nil {
			return refuse("the test %.80q names the requirement %.60q, which is not a requirement id", j.test.id, id)
		}
		j.test.requirements = append(j.test.requirements, id)
	}
	return nil
}

func (j *junitReader) end() error {
	name := j.stack[len(j.stack)-1]
	j.stack = j.stack[:len(j.stack)-1]
	switch name {
	case "testcase":
		t := j.test
		j.test = nil
		j.tests.add(t.id, t.verdict)
		s := &j.suites[len(j.suites)-1]
		s.held++
		if t.verdict == Failed {
			s.heldBad++
		}
		return tally(j.requirements, t.requirements, t.verdict)
	case "testsuite":
		s := j.suites[len(j.suites)-1]
		j.suites = j.suites[:len(j.suites)-1]
		if s.declared >= 0 && s.declared != s.held {
			return refuse("the suite %.60q declares %d tests and holds %d", s.name, s.declared, s.held).
				WithHint("send the report as the tool wrote it, complete")
		}
		if s.bad >= 0 && (s.bad > 0) != (s.heldBad > 0) {
			return refuse("the suite %.60q declares %d failures and errors and holds %d", s.name, s.bad, s.heldBad).
				WithHint("send the report as the tool wrote it, complete")
		}
		if n := len(j.suites); n > 0 {
			j.suites[n-1].held += s.held
			j.suites[n-1].heldBad += s.heldBad
		}
	}
	return nil
}

// tally joins a test's verdict to those of the requirements it names: one failure fails a
// requirement, and a test that did not run neither passes nor saves it.
func tally(into map[string]Verdict, ids []string, v Verdict) error {
	for _, id := range ids {
		if _, known := into[id]; !known && len(into) >= maxIDs {
			return caos.Errorf(caos.TooLarge, "the report names more than %d requirements", maxIDs)
		}
		switch {
		case v == Failed:
			into[id] = Failed
		case v == Passed && into[id] != Failed:
			into[id] = Passed
		case into[id] == "":
			into[id] = Recorded // named, but nothing ran yet
		}
	}
	return nil
}

// settle turns requirements whose tests never ran into failed ones, and no requirements
// into nil.
func settle(m map[string]Verdict) map[string]Verdict {
	if len(m) == 0 {
		return nil
	}
	for id, v := range m {
		if v == Recorded {
			m[id] = Failed
		}
	}
	return m
}

func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name && a.Name.Space == "" {
			return a.Value
		}
	}
	return ""
}
