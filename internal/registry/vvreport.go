package registry

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"caos"
)

const (
	maxTestRequirements = 200 // requirements that one test names
	passed              = "PASSED"
)

// VVReport is a V&V report as it is written.
type VVReport struct {
	DocumentID   string          `json:"document_id"`
	ModelID      string          `json:"model_id"`
	ModelVersion string          `json:"model_version"`
	Status       string          `json:"status"`       // PASSED, FAILED, INCOMPLETE
	PerformedOn  string          `json:"performed_on"` // YYYY-MM-DD
	Environment  string          `json:"environment,omitempty"`
	Artifacts    []VVArtifact    `json:"artifacts,omitempty"` // what was tested
	Requirements []VVRequirement `json:"requirements,omitempty"`
	Tests        []VVTest        `json:"tests"`
	Summary      string          `json:"summary,omitempty"`
}

// VVArtifact is a file that a V&V report says it tested.
type VVArtifact struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// VVTest is one test of a V&V report. Value, Operator and Threshold are what was measured
// and what it was held against.
type VVTest struct {
	TestID         string   `json:"test_id"`
	Title          string   `json:"title"`
	RequirementIDs []string `json:"requirement_ids"`
	Result         string   `json:"result"` // PASSED, FAILED, SKIPPED, ERROR
	Metric         string   `json:"metric,omitempty"`
	Value          *float64 `json:"value,omitempty"`
	Unit           string   `json:"unit,omitempty"`
	Operator       string   `json:"operator,omitempty"` // <=, <, >=, >, ==
	Threshold      *float64 `json:"threshold,omitempty"`
	Note           string   `json:"note,omitempty"`
}

// ParseVVReport reads a V&V report, JSON or YAML, strictly: unknown, duplicate and missing
// fields, ids of the wrong form, tests listed twice and numbers that are none are refused,
// naming the field.
func ParseVVReport(data []byte) (*VVReport, error) {
	var v VVReport
	if err := decodeStrict(data, &v); err != nil {
		return nil, err
	}
	if err := v.check(); err != nil {
		return nil, err
	}
	return &v, nil
}

func (v *VVReport) check() error {
	if err := caos.CheckID("document", "document_id", v.DocumentID); err != nil {
		return err
	}
	if err := caos.CheckID("model", "model_id", v.ModelID); err != nil {
		return err
	}
	if _, err := parseVersion("model_version", v.ModelVersion); err != nil {
		return err
	}
	if err := caos.CheckWord("status", v.Status, []string{passed, "FAILED", "INCOMPLETE"}); err != nil {
		return err
	}
	if _, err := time.Parse(time.DateOnly, v.PerformedOn); err != nil {
		return caos.Errorf(caos.Invalid, "%.40q is not a day", v.PerformedOn).WithField("performed_on").WithHint("YYYY-MM-DD")
	}
	if err := cmp.Or(checkTitle("environment", v.Environment), checkText("summary", v.Summary)); err != nil {
		return err
	}
	if err := v.checkArtifacts(); err != nil {
		return err
	}
	if err := checkRequirements("requirements", v.Requirements); err != nil {
		return err
	}
	if v.Tests == nil {
		return caos.Errorf(caos.Invalid, "the report lists no tests").WithField("tests").WithHint("list each test with its result, or [] if none ran")
	}
	if err := tooMany("tests", len(v.Tests), maxTests); err != nil {
		return err
	}
	ids, reqs := make(map[string]bool, len(v.Tests)), map[string]bool{}
	for i := range v.Tests {
		t := &v.Tests[i]
		if err := t.check(); err != nil {
			return inList("tests", i, err)
		}
		if ids[t.TestID] {
			return inList("tests", i, caos.Errorf(caos.Invalid, "the test %s is listed twice", t.TestID).WithField("test_id").
				WithHint("one entry for each test, with the result that counts"))
		}
		ids[t.TestID] = true
		for _, id := range t.RequirementIDs {
			reqs[id] = true
		}
	}
	if len(reqs) > maxRequirements {
		return caos.Errorf(caos.TooLarge, "the tests name %d requirements, more than %d", len(reqs), maxRequirements).WithField("tests").WithHint("split the document")
	}
	return nil
}

func (v *VVReport) checkArtifacts() error {
	if err := tooMany("artifacts", len(v.Artifacts), maxArtifacts); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i, a := range v.Artifacts {
		if err := cmp.Or(CheckArtifactName("name", a.Name), checkDigest("digest", a.Digest)); err != nil {
			return inList("artifacts", i, err)
		}
		if seen[a.Name] {
			return inList("artifacts", i, caos.Errorf(caos.Invalid, "the artifact %s is listed twice", a.Name).WithField("name"))
		}
		seen[a.Name] = true
	}
	return nil
}

func (t *VVTest) check() error {
	if strings.TrimSpace(t.TestID) == "" || strings.TrimSpace(t.TestID) != t.TestID {
		return caos.Errorf(caos.Invalid, "the test has no id, or one with spaces around it").WithField("test_id")
	}
	for _, f := range []struct {
		name, v string
		most    int
	}{{"test_id", t.TestID, maxName}, {"title", t.Title, maxLine}, {"metric", t.Metric, maxLine}, {"unit", t.Unit, maxWord}} {
		if err := checkLine(f.name, f.v, f.most); err != nil {
			return err
		}
	}
	if err := caos.CheckWord("result", t.Result, []string{passed, "FAILED", "SKIPPED", "ERROR"}); err != nil {
		return err
	}
	if t.RequirementIDs == nil {
		t.RequirementIDs = []string{}
	}
	if err := tooMany("requirement_ids", len(t.RequirementIDs), maxTestRequirements); err != nil {
		return err
	}
	for i, id := range t.RequirementIDs {
		if err := checkRequirement("", id); err != nil {
			return inList("requirement_ids", i, err)
		}
		if slices.Contains(t.RequirementIDs[:i], id) {
			return inList("requirement_ids", i, caos.Errorf(caos.Invalid, "the requirement %s is named twice", id))
		}
	}
	if (t.Operator == "") != (t.Threshold == nil) {
		return caos.Errorf(caos.Invalid, "a threshold and its operator belong together").WithField("operator").
			WithHint("give both, such as operator <= and threshold 12.5, or neither")
	}
	if t.Operator != "" {
		if err := caos.CheckWord("operator", t.Operator, []string{"<=", "<", ">=", ">", "=="}); err != nil {
			return err
		}
	}
	return checkText("note", t.Note)
}

// holds reports whether what was measured is what the test's own threshold wants. A test
// without a threshold wants nothing; one that states no value does not hold.
func (t *VVTest) holds() bool {
	if t.Threshold == nil {
		return true
	}
	if t.Value == nil {
		return false
	}
	switch v, limit := *t.Value, *t.Threshold; t.Operator {
	case "<=":
		return v <= limit
	case "<":
		return v < limit
	case ">=":
		return v >= limit
	case ">":
		return v > limit
	case "==":
		return v == limit
	}
	return false
}

// VVFacts is what a V&V report says, counted. Lists that can be long hold the first
// entries; the counts beside them are complete.
type VVFacts struct {
	DocumentID     string                        `json:"document_id"` // as the report itself states it, and so on
	ModelID        string                        `json:"model_id"`
	ModelVersion   string                        `json:"model_version"`
	Status         string                        `json:"status"`
	PerformedOn    string                        `json:"performed_on"`
	Artifacts      []VVArtifact                  `json:"artifacts"` // what was tested
	Tests          int                           `json:"tests"`
	Results        map[string]int                `json:"results"`        // tests by result
	NotPassed      []VVTest                      `json:"not_passed"`     // the first 100 tests whose result is not PASSED
	Contradicted   []VVTest                      `json:"contradicted"`   // the first 100 that say PASSED and miss, or do not state, what their own threshold wants
	Contradictions int                           `json:"contradictions"` // all of those
	Requirements   map[string]VVRequirementFacts `json:"requirements"`   // by id: those that the report lists or a test names
}

// VVRequirementFacts is what a report says about one requirement.
type VVRequirementFacts struct {
	Tests    int    `json:"tests"`               // that name it
	Passed   int    `json:"passed"`              // of them, with nothing to contradict it
	FirstBad string `json:"first_bad,omitempty"` // id of the first test of it that did not pass, or contradicts itself
}

// Verified reports whether at least one test of the requirement passed and none did not.
func (f VVRequirementFacts) Verified() bool { return f.Tests > 0 && f.Passed == f.Tests }

func (v *VVReport) facts() *VVFacts {
	f := &VVFacts{
		DocumentID: v.DocumentID, ModelID: v.ModelID, ModelVersion: v.ModelVersion, Status: v.Status, PerformedOn: v.PerformedOn,
		Artifacts: slices.Clone(v.Artifacts), Tests: len(v.Tests), Results: map[string]int{}, NotPassed: []VVTest{}, Contradicted: []VVTest{},
		Requirements: make(map[string]VVRequirementFacts, len(v.Requirements)),
	}
	for _, q := range v.Requirements {
		f.Requirements[q.RequirementID] = VVRequirementFacts{}
	}
	for i := range v.Tests {
		t := &v.Tests[i]
		f.Results[t.Result]++
		good := t.Result == passed && t.holds()
		switch {
		case t.Result != passed:
			f.NotPassed = shown(f.NotPassed, t)
		case !good:
			f.Contradictions++
			f.Contradicted = shown(f.Contradicted, t)
		}
		for _, id := range t.RequirementIDs {
			q := f.Requirements[id]
			q.Tests++
			if good {
				q.Passed++
			} else if q.FirstBad == "" {
				q.FirstBad = t.TestID
			}
			f.Requirements[id] = q
		}
	}
	return f
}

// shown adds a test, shortened, while the list is not full.
func shown(list []VVTest, t *VVTest) []VVTest {
	if len(list) >= maxShown {
		return list
	}
	short := *t
	short.Note = clip(t.Note)
	short.RequirementIDs = slices.Clone(t.RequirementIDs[:min(len(t.RequirementIDs), 20)])
	return append(list, short)
}

// storedVV is how the facts of a report are stored. The requirements, of which there may be
// thousands, are lines of id, tests, passed and first bad test with tabs between them: they
// are read in every freeze, and a line costs a fraction of what JSON does.
type storedVV struct {
	VVFacts
	Requirements string `json:"requirements"`
}

func (f *VVFacts) stored() string {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(f.Requirements)) {
		q := f.Requirements[id]
		fmt.Fprintf(&b, "%s\t%d\t%d\t%s\n", id, q.Tests, q.Passed, q.FirstBad)
	}
	raw, err := json.Marshal(storedVV{VVFacts: *f, Requirements: b.String()})
	if err != nil { // only numbers that are none could do that, and JSON has none
		return ""
	}
	return string(raw)
}

func readVVFacts(stored string) (*VVFacts, error) {
	var s storedVV
	if err := json.Unmarshal([]byte(stored), &s); err != nil {
		return nil, fmt.Errorf("registry: read facts of a V&V report: %w", err)
	}
	f := s.VVFacts
	f.Requirements = make(map[string]VVRequirementFacts, strings.Count(s.Requirements, "\n"))
	for line := range strings.Lines(s.Requirements) {
		parts := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(parts) != 4 {
			return nil, fmt.Errorf("registry: read facts of a V&V report: bad line of %d parts", len(parts))
		}
		tests, err := strconv.Atoi(parts[1])
		if err != nil {
			return nil, fmt.Errorf("registry: read facts of a V&V report: %w", err)
		}
		ok, err := strconv.Atoi(parts[2])
		if err != nil {
			return nil, fmt.Errorf("registry: read facts of a V&V report: %w", err)
		}
		f.Requirements[parts[0]] = VVRequirementFacts{Tests: tests, Passed: ok, FirstBad: parts[3]}
	}
	return &f, nil
}
