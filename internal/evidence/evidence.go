// Package evidence turns what was tested, measured, logged or written into evidence that
// an authority can check: artifacts that are what they claim to be, signed statements
// about them, and certification packages that show which planned requirement or objective
// has evidence and which has not.
//
// An artifact is read before it is kept (validate.go and a file per format). What a report
// says decides its verdict: evidence that failed is kept and shown, and covers nothing.
// Nothing to check is never a pass, so a report without a single test is refused.
//
// Life of an item: Fetch stages the bytes, Inspect reads them, Collect stores them and
// signs an in-toto statement about them, Insert puts the item, its audit record and the
// package's counts into one transaction.
package evidence

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"

	"caos"
	"caos/internal/codec"
)

// Type is what an artifact is evidence of. The words are the specification's.
type Type string

// The evidence types of the specification.
const (
	TestResult Type = "TEST_RESULT"
	Log        Type = "LOG"
	Metric     Type = "METRIC"
	Document   Type = "DOCUMENT"
)

// Types lists them in the specification's order.
func Types() []Type { return []Type{TestResult, Log, Metric, Document} }

// Category is what the evidence is for.
type Category string

// The evidence categories of the specification.
const (
	Verification Category = "VERIFICATION"
	Validation   Category = "VALIDATION"
	Audit        Category = "AUDIT"
)

// Categories lists them in the specification's order.
func Categories() []Category { return []Category{Verification, Validation, Audit} }

// Format is how an artifact is written.
type Format string

// The formats that are read.
const (
	JUnit    Format = "junit"
	SARIF    Format = "sarif"
	JSON     Format = "json"
	NDJSON   Format = "ndjson"
	CSV      Format = "csv"
	Text     Format = "text"
	Markdown Format = "markdown"
	PDF      Format = "pdf"
	HTML     Format = "html"
)

// Formats lists the formats that an evidence type may have.
func (t Type) Formats() []Format {
	switch t {
	case TestResult:
		return []Format{JUnit, SARIF, JSON}
	case Log:
		return []Format{Text, NDJSON}
	case Metric:
		return []Format{CSV, JSON, NDJSON}
	case Document:
		return []Format{PDF, Markdown, Text, JSON, CSV, HTML}
	}
	return nil
}

// MediaType is the media type under which artifacts of the format are served.
func (f Format) MediaType() string {
	switch f {
	case JUnit:
		return "application/xml"
	case SARIF:
		return "application/sarif+json"
	case JSON:
		return "application/json"
	case NDJSON:
		return "application/x-ndjson"
	case CSV:
		return "text/csv; charset=utf-8"
	case Text:
		return "text/plain; charset=utf-8"
	case Markdown:
		return "text/markdown; charset=utf-8"
	case PDF:
		return "application/pdf"
	case HTML:
		return "text/html; charset=utf-8"
	}
	return "application/octet-stream"
}

// Verdict is what an item says about what it covers.
type Verdict string

// The verdicts. An item covers its ids unless it failed.
const (
	Passed   Verdict = "PASSED"   // a check ran and found nothing wrong
	Failed   Verdict = "FAILED"   // a check ran and found something wrong, or did not get to its end
	Recorded Verdict = "RECORDED" // there was nothing to pass or fail: a log, a series, a document
)

// Metadata is the artifact_metadata of CERT.EVIDENCE. Every field may be left out.
type Metadata struct {
	Format          Format   `json:"format,omitempty"`           // of the artifact; found out if left out
	RequirementIDs  []string `json:"requirement_ids,omitempty"`  // requirements that this is evidence for
	ObjectiveIDs    []string `json:"objective_ids,omitempty"`    // objectives of the means of compliance, likewise
	TestEnvironment string   `json:"test_environment,omitempty"` // where it was made: rig, simulator, target
	Tool            string   `json:"tool,omitempty"`             // what made it
	ToolVersion     string   `json:"tool_version,omitempty"`     // its version
	SHA256          string   `json:"sha256,omitempty"`           // digest that the artifact must have
	Title           string   `json:"title,omitempty"`            // one line
	Description     string   `json:"description,omitempty"`      // a paragraph
	Source          string   `json:"source,omitempty"`           // where it comes from, in words
}

const (
	maxIDs  = 1000
	maxLine = 300  // bytes of a one-line field
	maxText = 4000 // bytes of the description
)

// coverID is the grammar of requirement and objective ids: words joined by one of - . _ /
// and :, such as 95-00-03-REQ-001, REQ-FCS-12 or.
var coverID = regexp.MustCompile(`^[A-Z0-9][A-Za-z0-9]*([-._/:][A-Za-z0-9]+)*$`)

// sha256Field is a digest as people paste it.
var sha256Field = regexp.MustCompile(`^(SHA256:)?[0-9a-f]{64}$`)

// CheckCoverID returns an Invalid error that names field unless id is well formed for a
// requirement or an objective.
func CheckCoverID(field, id string) error {
	if len(id) > 64 || !coverID.MatchString(id) {
		return caos.Errorf(caos.Invalid, "%.80q is not the id of a requirement or objective", id).WithField(field).
			WithHint("an id such as 95-00-03-REQ-001 has at most 64 letters and digits, with single - . _ / or : between them")
	}
	return nil
}

// ParseMetadata reads artifact_metadata strictly. Errors name the field below
// artifact_metadata.
func ParseMetadata(raw json.RawMessage) (Metadata, error) {
	var m Metadata
	if len(raw) == 0 || string(raw) == "null" {
		return m, nil
	}
	err := codec.Decode(raw, "application/json", &m, codec.DefaultLimits())
	if err == nil {
		err = m.Check()
	}
	var e *caos.Error
	if errors.As(err, &e) {
		return Metadata{}, e.WithField(strings.TrimSuffix("artifact_metadata."+e.Field, "."))
	}
	return m, err
}

// Check refuses values that are malformed, naming the field.
func (m Metadata) Check() error {
	if m.Format != "" && m.Format.MediaType() == "application/octet-stream" {
		return caos.Errorf(caos.Invalid, "%.40q is not a format that is read", string(m.Format)).WithField("format").
			WithHint("leave it out, or use one of junit, sarif, json, ndjson, csv, text, markdown, pdf, html")
	}
	if err := checkIDs("requirement_ids", m.RequirementIDs); err != nil {
		return err
	}
	if err := checkIDs("objective_ids", m.ObjectiveIDs); err != nil {
		return err
	}
	if m.SHA256 != "" && !sha256Field.MatchString(m.SHA256) {
		return caos.Errorf(caos.Invalid, "not a SHA-256 digest").WithField("sha256").WithHint("64 lower-case hexadecimal digits")
	}
	for field, v := range map[string]string{
		"test_environment": m.TestEnvironment, "tool": m.Tool, "tool_version": m.ToolVersion, "title": m.Title, "source": m.Source,
	} {
		if len(v) > maxLine || strings.ContainsFunc(v, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
			return caos.Errorf(caos.Invalid, "the text is longer than %d bytes or has control characters", maxLine).WithField(field)
		}
	}
	if len(m.Description) > maxText {
		return caos.Errorf(caos.Invalid, "the text is longer than %d bytes", maxText).WithField("description").
			WithHint("put long text into a document of its own")
	}
	return nil
}

func checkIDs(field string, ids []string) error {
	if len(ids) > maxIDs {
		return caos.Errorf(caos.TooLarge, "%d ids, more than %d", len(ids), maxIDs).WithField(field)
	}
	seen := make(map[string]bool, len(ids))
	for i, id := range ids {
		at := indexed(field, i)
		if err := CheckCoverID(at, id); err != nil {
			return err
		}
		if seen[id] {
			return caos.Errorf(caos.Invalid, "the id %s is listed twice", id).WithField(at)
		}
		seen[id] = true
	}
	return nil
}

// Request is what CERT.EVIDENCE and the API are asked to collect.
type Request struct {
	ModelID     string
	Type        Type
	Category    Category
	ArtifactURI string
	Metadata    Metadata
	PackageID   string
}

// Check refuses a malformed request, naming the field as the specification does.
func (r Request) Check() error {
	if err := caos.CheckID("model", "model_id", r.ModelID); err != nil {
		return err
	}
	if !slices.Contains(Types(), r.Type) {
		return caos.Errorf(caos.Invalid, "%.40q is not an evidence type", string(r.Type)).WithField("evidence_type").
			WithHint("one of TEST_RESULT, LOG, METRIC, DOCUMENT")
	}
	if !slices.Contains(Categories(), r.Category) {
		return caos.Errorf(caos.Invalid, "%.40q is not an evidence category", string(r.Category)).WithField("evidence_category").
			WithHint("one of VERIFICATION, VALIDATION, AUDIT")
	}
	if err := caos.CheckID("package", "certification_package_id", r.PackageID); err != nil {
		return err
	}
	if _, err := parseURI(r.ArtifactURI); err != nil {
		return err
	}
	if err := r.Metadata.Check(); err != nil {
		e := caos.AsError(err)
		return e.WithField("artifact_metadata." + e.Field)
	}
	if f := r.Metadata.Format; f != "" && !slices.Contains(r.Type.Formats(), f) {
		return wrongFormat(r.Type, f)
	}
	return nil
}

func wrongFormat(t Type, f Format) error {
	return caos.Errorf(caos.Invalid, "%s evidence is not written in the format %s", t, f).WithField("artifact_metadata.format").
		WithHint("%s is read as one of %v", t, t.Formats())
}
