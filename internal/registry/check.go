package registry

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"caos"
)

const (
	maxLine = 300  // bytes of a one-line field
	maxWord = 64   // bytes of a short name
	maxText = 4000 // bytes of a paragraph
)

// checkLine refuses a one-line text that is too long or has control characters.
func checkLine(field, v string, most int) error {
	if len(v) > most || !utf8.ValidString(v) || strings.ContainsFunc(v, func(r rune) bool { return r < 0x20 || r == 0x7f || r == 0x2028 || r == 0x2029 }) {
		return caos.Errorf(caos.Invalid, "the text is longer than %d bytes, is no UTF-8 or has control characters", most).WithField(field).
			WithHint("one line of at most %d bytes", most)
	}
	return nil
}

// checkText refuses a text of several lines that is too long or is not text.
func checkText(field, v string) error {
	if len(v) > maxText {
		return caos.Errorf(caos.TooLarge, "the text is longer than %d bytes", maxText).WithField(field).
			WithHint("put long text into a document of its own")
	}
	if !utf8.ValidString(v) || strings.ContainsFunc(v, func(r rune) bool { return r < 0x20 && r != '\n' && r != '\r' && r != '\t' || r == 0x7f }) {
		return caos.Errorf(caos.Invalid, "the text is no UTF-8 or has control characters").WithField(field)
	}
	return nil
}

// checkScope refuses a project or classification that cannot be one. The empty
// classification means Internal.
func checkScope(project, classification string) error {
	if err := checkLine("project", project, maxWord); err != nil {
		return err
	}
	if classification == "" {
		return nil
	}
	return caos.CheckWord("classification", classification, caos.Classifications())
}

// requirementID is the grammar of requirement ids: words joined by one of - . _ / and :,
// such as 95-00-03-REQ-001, REQ-FCS-12 or. Evidence uses the same.
var requirementID = regexp.MustCompile(`^[A-Z0-9][A-Za-z0-9]*([-._/:][A-Za-z0-9]+)*$`)

// checkRequirement refuses an id of the wrong form.
func checkRequirement(field, id string) error {
	if len(id) > 64 || !requirementID.MatchString(id) {
		return caos.Errorf(caos.Invalid, "%.80q is not the id of a requirement", id).WithField(field).
			WithHint("an id such as 95-00-03-REQ-001 has at most 64 letters and digits, with single - . _ / or : between them")
	}
	return nil
}

// kindOfDocument is the grammar of document kinds.
var kindOfDocument = regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)

func checkKind(kind string) error {
	if len(kind) < 2 || len(kind) > 32 || !kindOfDocument.MatchString(kind) {
		return caos.Errorf(caos.Invalid, "%.40q is not a kind of document", kind).WithField("kind").
			WithHint("2 to 32 small letters with single dashes, such as vv-report, vv-plan, safety-assessment, defect-list or documentation-review")
	}
	return nil
}

// documentVersion is the grammar of document versions: 1, 1.0, 2.1.3, 1.0-draft.
var documentVersion = regexp.MustCompile(`^(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){0,3}(-[0-9a-z]+)?$`)

func checkDocumentVersion(field, v string) error {
	if len(v) > 16 || !documentVersion.MatchString(v) {
		return caos.Errorf(caos.Invalid, "%.40q is not a document's version", v).WithField(field).WithHint("at most 16 characters, such as 1.0 or 2.1.3")
	}
	return nil
}

// compareDocumentVersions orders document versions by their numbers; one with a suffix,
// such as 1.0-draft, comes before the same without. 1 and 1.0 are equal.
func compareDocumentVersions(a, b string) int {
	an, as, _ := strings.Cut(a, "-")
	bn, bs, _ := strings.Cut(b, "-")
	x, y := strings.Split(an, "."), strings.Split(bn, ".")
	for i := range max(len(x), len(y)) {
		if c := cmp.Compare(versionPart(x, i), versionPart(y, i)); c != 0 {
			return c
		}
	}
	switch {
	case as == bs:
		return 0
	case as == "":
		return 1
	case bs == "":
		return -1
	}
	return cmp.Compare(as, bs)
}

func versionPart(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	n, _ := strconv.Atoi(parts[i]) // the grammar has digits alone
	return n
}
